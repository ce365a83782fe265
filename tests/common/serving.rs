//! What all stand-ins for servers have in common: a port of this machine, and an end.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::net::SocketAddr;

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

/// Something that serves on 127.0.0.1 until this value ends.
pub struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Serving {
    /// Starts what serves a listener, on a free port.
    pub async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(serve(listener));
        Self { address, task }
    }

    /// Starts a router on a free port.
    pub async fn router(router: Router) -> Self {
        Self::start(|listener| async { axum::serve(listener, router).await.expect("server") }).await
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
