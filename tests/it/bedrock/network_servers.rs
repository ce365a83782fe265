//! A stand-in for what stands between the operator and AWS: a proxy, which listens on 127.0.0.1.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

pub use crate::common::tls_server::TlsServer;

use crate::common::serving::Serving;

/// A proxy for HTTPS (CONNECT) that leads everywhere to one place.
pub struct ProxyServer {
    serving: Serving,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ProxyServer {
    pub async fn start(place: SocketAddr) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let serving = Serving::start(|listener| async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let log = log.clone();
                tokio::spawn(async move {
                    let head = head(&mut stream).await;
                    let words: Vec<&str> = head.split_whitespace().take(2).collect();
                    let ["CONNECT", host] = words.as_slice() else {
                        let _ = stream.write_all(b"HTTP/1.1 405 No\r\n\r\n").await;
                        return;
                    };
                    log.lock().push((*host).to_owned());
                    let mut server = TcpStream::connect(place).await.expect("place");
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Self {
            serving: serving.await,
            asked,
        }
    }

    /// Returns the URL for `HTTPS_PROXY`.
    pub fn url(&self) -> String {
        self.serving.url()
    }

    /// Returns the hosts with ports that it was asked to connect to.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// Reads up to the empty line.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
