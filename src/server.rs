//! The HTTP endpoints of a running operator: `/healthz`, `/readyz` and `/metrics`.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::{
    controller::Health,
    metrics::{self, Metrics},
};

/// The state that the endpoints share.
#[derive(Clone)]
struct AppState {
    health: Health,
    metrics: Metrics,
    /// The file with the token that `/metrics` asks for. `None` if anybody may read it.
    token_file: Option<Arc<PathBuf>>,
}

/// Serves the endpoints for as long as it is polled. With a file, `/metrics` answers only who gives the token in it as a bearer
/// token; the file is read each time, so that a mounted Secret can be changed.
///
/// # Errors
/// Returns an error if the address can't be listened on.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    metrics: Metrics,
    token_file: Option<PathBuf>,
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
                match authorized(&app, &headers).await {
                    Ok(()) => page(&app.metrics),
                    Err(refusal) => refusal,
                }
            }),
        )
        .with_state(AppState {
            health,
            metrics,
            token_file: token_file.map(Arc::new),
        });
    axum::serve(listener, router).await
}

fn probe(answer: Result<(), &'static str>) -> (StatusCode, &'static str) {
    match answer {
        Ok(()) => (StatusCode::OK, "ok"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

/// Returns the answer to who may not read the metrics.
async fn authorized(app: &AppState, headers: &HeaderMap) -> Result<(), Response> {
    let Some(path) = &app.token_file else {
        return Ok(());
    };
    let token = match tokio::fs::read_to_string(path.as_ref()).await {
        Ok(token) => token,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the token of /metrics can't be read");
            let why = "the token that this endpoint asks for can't be read";
            return Err((StatusCode::SERVICE_UNAVAILABLE, why).into_response());
        }
    };
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok());
    if is_authorized(given, &token) {
        return Ok(());
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    Err((StatusCode::UNAUTHORIZED, challenge, "give the bearer token").into_response())
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
    use super::*;

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
