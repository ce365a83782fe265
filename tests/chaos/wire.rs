//! The network between a replica and the apiserver: a TCP proxy that does to connections what networks do.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use crate::{Outcome, etcd::until};

/// What happens to what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// It arrives.
    #[default]
    Fine,
    /// Connections are closed, old ones and new ones.
    Cut,
    /// It arrives so much later.
    Slow(Duration),
    /// Requests don't arrive, answers do. What is held back arrives in the end.
    RequestsHeld,
    /// Answers don't arrive, requests do. What is held back arrives in the end.
    AnswersHeld,
    /// Connections are accepted, and nothing arrives. What is held back arrives in the end.
    Frozen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

/// A way to the apiserver, for one replica.
pub struct Wire {
    pub port: u16,
    network: watch::Sender<Network>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Number of the next connection.
    next: AtomicU64,
    /// Connections with a lower number are silent for good: nothing arrives, and nobody is told.
    silent_below: AtomicU64,
    /// Connections that are open.
    open: AtomicUsize,
    /// Pieces that are on their way.
    under_way: AtomicUsize,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// Opens a way to a port of this machine.
    pub async fn to(server: u16) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let port = listener
            .local_addr()
            .map_err(|error| error.to_string())?
            .port();
        let network = watch::Sender::new(Network::Fine);
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(accept(
            listener,
            server,
            network.subscribe(),
            Arc::clone(&shared),
        ));
        Ok(Self {
            port,
            network,
            shared,
            task,
        })
    }

    /// From now on, the network is so.
    pub fn set(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Closes all present connections; new ones work.
    pub async fn sever(&self) -> Outcome {
        self.set(Network::Cut);
        let open = || self.shared.open.load(Ordering::SeqCst);
        until(
            "connections are closed",
            Duration::from_secs(10),
            || match open() {
                0 => Ok(()),
                open => Err(format!("{open} are open")),
            },
        )
        .await?;
        self.set(Network::Fine);
        Ok(())
    }

    /// Lets all present connections fall silent for good; new ones work.
    pub fn silence(&self) {
        let next = self.shared.next.load(Ordering::SeqCst);
        self.shared.silent_below.store(next, Ordering::SeqCst);
    }

    /// Says whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.shared.under_way.load(Ordering::SeqCst) == 0
    }
}

async fn accept(
    listener: TcpListener,
    server: u16,
    network: watch::Receiver<Network>,
    shared: Arc<Shared>,
) {
    // Connections end with the wire.
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        connections.spawn(lead(
            near,
            server,
            network.clone(),
            Arc::clone(&shared),
            number,
        ));
        while connections.try_join_next().is_some() {}
    }
}

async fn lead(
    near: TcpStream,
    server: u16,
    mut network: watch::Receiver<Network>,
    shared: Arc<Shared>,
    number: u64,
) {
    if *network.borrow() == Network::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    // Small answers are not to wait for more.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    shared.open.fetch_add(1, Ordering::SeqCst);
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let pump = |direction, read, write| {
        Pump {
            direction,
            network: network.clone(),
            shared: Arc::clone(&shared),
            number,
        }
        .run(read, write)
    };
    let requests = pump(Direction::Requests, near_read, far_write);
    let answers = pump(Direction::Answers, far_read, near_write);
    tokio::select! {
        _ = async { tokio::join!(requests, answers) } => {}
        // Both ends are dropped, which closes the connection.
        _ = network.wait_for(|network| *network == Network::Cut) => {}
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

/// Carries what is sent in one direction of one connection.
struct Pump {
    direction: Direction,
    network: watch::Receiver<Network>,
    shared: Arc<Shared>,
    number: u64,
}

/// What was sent and has not arrived; an empty piece is the end.
struct Line {
    pieces: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    more: Notify,
    shared: Arc<Shared>,
}

impl Line {
    fn push(&self, due: Instant, piece: Vec<u8>) {
        self.shared.under_way.fetch_add(1, Ordering::SeqCst);
        self.pieces.lock().push_back((due, piece));
        self.more.notify_one();
    }

    fn pop(&self) -> Option<(Instant, Vec<u8>)> {
        self.pieces.lock().pop_front()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let left = self.pieces.lock().len();
        self.shared.under_way.fetch_sub(left, Ordering::SeqCst);
    }
}

impl Pump {
    async fn run(self, read: OwnedReadHalf, write: OwnedWriteHalf) {
        let line = Line {
            shared: Arc::clone(&self.shared),
            pieces: Mutex::default(),
            more: Notify::new(),
        };
        tokio::join!(self.receive(read, &line), self.send(write, &line));
    }

    async fn receive(&self, mut read: OwnedReadHalf, line: &Line) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = read.read(&mut buffer).await.unwrap_or(0);
            let later = match *self.network.borrow() {
                Network::Slow(later) => later,
                _ => Duration::ZERO,
            };
            line.push(Instant::now() + later, buffer[..length].to_vec());
            if length == 0 {
                return;
            }
        }
    }

    async fn send(&self, mut write: OwnedWriteHalf, line: &Line) {
        let mut network = self.network.clone();
        loop {
            let Some((due, piece)) = line.pop() else {
                line.more.notified().await;
                continue;
            };
            tokio::time::sleep_until(due).await;
            let held = |network: &Network| match network {
                Network::Frozen => true,
                Network::RequestsHeld => self.direction == Direction::Requests,
                Network::AnswersHeld => self.direction == Direction::Answers,
                Network::Fine | Network::Cut | Network::Slow(_) => false,
            };
            let open = network.wait_for(|network| !held(network)).await.is_ok();
            self.shared.under_way.fetch_sub(1, Ordering::SeqCst);
            if self.number < self.shared.silent_below.load(Ordering::SeqCst) || !open {
                return std::future::pending().await;
            }
            if piece.is_empty() || write.write_all(&piece).await.is_err() {
                // The other direction may still have something to say; dropping this half ends it here.
                return;
            }
        }
    }
}
