//! The HTTP endpoints of a running operator: `/healthz`, `/readyz` and `/metrics`.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use sha2::{Digest, Sha256};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    time::{sleep, timeout},
};

use crate::{
    controller::Health,
    metrics::{self, Metrics},
};

/// Reads the bearer token that `/metrics` asks for. It is called at each request, so that a mounted Secret can be changed.
pub type ReadToken = Arc<dyn Fn() -> io::Result<String> + Send + Sync>;

/// How long `/metrics` waits for its token to be read.
const READ: Duration = Duration::from_secs(2);

/// How long a connection may be without a request, or take to send the head of one. Longer than the usual pause between two scrapes.
const IDLE: Duration = Duration::from_secs(75);

/// Most connections at once: a few probes and scrapers need a handful. Others wait until one ends.
const CONNECTIONS: usize = 64;

/// How long nothing is accepted after that has failed, which is where the process has no file descriptor left.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_secs(1);

/// Reads the token, with bounds: a file may lie on a mount that hangs.
#[derive(Clone)]
struct Token {
    read: ReadToken,
    /// At most one read is under way, whatever becomes of it.
    one: Arc<Semaphore>,
    /// Whether the last read failed, which is logged once.
    failing: Arc<AtomicBool>,
}

impl Token {
    fn new(read: ReadToken) -> Self {
        Self {
            read,
            one: Arc::new(Semaphore::new(1)),
            failing: Arc::default(),
        }
    }

    async fn get(&self) -> io::Result<String> {
        let read = timeout(READ, self.read_in_a_thread());
        let read = read
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let was_failing = self.failing.swap(read.is_err(), Ordering::Relaxed);
        if let Err(error) = &read
            && !was_failing
        {
            tracing::warn!(%error, "the token of /metrics can't be read: check --metrics-token-file");
        }
        read
    }

    /// Reads in a thread of its own, which nobody waits for when the program ends.
    async fn read_in_a_thread(&self) -> io::Result<String> {
        let permit = self.one.clone().acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let (tell, told) = oneshot::channel();
        let read = self.read.clone();
        thread::Builder::new().spawn(move || {
            // Nobody may wait any more.
            let _ = tell.send(read());
            drop(permit);
        })?;
        told.await.map_err(io::Error::other)?
    }
}

/// The state that the endpoints share.
#[derive(Clone)]
struct AppState {
    health: Health,
    metrics: Metrics,
    /// What reads the token that `/metrics` asks for. `None` if anybody may read it.
    token: Option<Token>,
}

/// Serves the endpoints for as long as it is polled. With a token, `/metrics` answers only who gives it.
///
/// # Errors
/// Returns an error if the address can't be listened on.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    token: Option<ReadToken>,
) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /healthz, /readyz and /metrics");
    let router = Router::new()
        .route(
            "/healthz",
            get(async |State(app): State<AppState>| probe(app.health.alive())),
        )
        .route(
            "/readyz",
            get(async |State(app): State<AppState>| probe(app.health.ready())),
        )
        .route(
            "/metrics",
            get(async |State(app): State<AppState>, headers: HeaderMap| {
                let refusal = refusal(&app, &headers).await;
                refusal.unwrap_or_else(|| page(&app.metrics))
            }),
        )
        .with_state(AppState {
            health,
            metrics,
            token: token.map(Token::new),
        });
    answer(listener, router, IDLE).await
}

/// Answers the requests of all connections, and closes those that are idle for too long.
async fn answer(listener: TcpListener, router: Router, idle: Duration) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await;
        let place = place.map_err(io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AFTER_FAILED_ACCEPT).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let mut http = http1::Builder::new();
        let http = http.timer(TokioTimer::new()).header_read_timeout(idle);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // How a connection ends is the peer's affair.
            let _ = connection.await;
            drop(place);
        });
    }
}

fn probe(answer: Result<(), &'static str>) -> (StatusCode, &'static str) {
    match answer {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// Returns the answer to who may not read the metrics, or `None` to who may.
async fn refusal(app: &AppState, headers: &HeaderMap) -> Option<Response> {
    let Ok(token) = app.token.as_ref()?.get().await else {
        let why = "the token that this endpoint asks for can't be read";
        return Some((StatusCode::SERVICE_UNAVAILABLE, why).into_response());
    };
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok());
    if is_authorized(given, &token) {
        return None;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    Some((StatusCode::UNAUTHORIZED, challenge, "give the bearer token").into_response())
}

/// Says whether an `Authorization` header gives this token. White space around the token in the file does not count. An empty
/// token lets nobody in.
fn is_authorized(header: Option<&str>, token: &str) -> bool {
    let token = token.trim();
    let given = header.and_then(|header| {
        let (scheme, given) = header.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(given.trim())
    });
    // Digests are compared, so that the time tells nothing of the token.
    given.is_some_and(|given| !token.is_empty() && Sha256::digest(given) == Sha256::digest(token))
}

fn page(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(page) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn connections_that_say_nothing_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/healthz", get(async || "ok"));
        tokio::spawn(answer(listener, router, Duration::from_millis(50)));
        let connect = async |said: &str| {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            stream.write_all(said.as_bytes()).await.expect("written");
            stream
        };
        let mut silent = Vec::new();
        for number in 0..CONNECTIONS {
            let said = ["", "GET /healthz HTTP/1.1\r\n"][number % 2];
            silent.push(connect(said).await);
        }
        // They have all places: this one is answered when one of them is closed.
        let mut asking = connect("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut answer = String::new();
        asking.read_to_string(&mut answer).await.expect("closed");
        assert!(answer.ends_with("ok"), "{answer}");
        for mut stream in silent {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("closed");
            assert_eq!(answer, "");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_holds_up_nothing_else() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = parking_lot::Mutex::new(held);
        let token = Token::new(Arc::new(move || {
            // Ends when the test does.
            let _ = held.lock().recv();
            Ok("token".to_owned())
        }));
        for _ in 0..3 {
            let error = token.get().await.expect_err("it hangs");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        drop(release);
    }

    #[test]
    fn only_the_token_opens() {
        for (header, token, opens) in [
            (Some("Bearer s3cret"), "s3cret\n", true),
            (Some("bearer  s3cret"), "s3cret", true),
            (Some("Bearer s3cre"), "s3cret", false),
            (Some("Bearer s3cret2"), "s3cret", false),
            (Some("Basic s3cret"), "s3cret", false),
            (Some("s3cret"), "s3cret", false),
            (Some("Bearer "), "", false),
            (None, "s3cret", false),
            (None, "", false),
        ] {
            assert_eq!(is_authorized(header, token), opens, "{header:?} {token:?}");
        }
    }
}
