//! Stand-ins for what stands between the operator and AWS: an endpoint that speaks TLS with an authority of its own, and a
//! proxy. Both listen on 127.0.0.1.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::written;
use crate::common::serving::Serving;

/// Speaks TLS for a server that does not.
pub struct TlsServer {
    serving: Serving,
    authority: String,
}

impl TlsServer {
    /// Starts a server with a certificate for these names, which hands all it hears to `backend`.
    pub async fn start(backend: SocketAddr, names: &[&str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().expect("key");
        let pem = authority
            .self_signed(&authority_key)
            .expect("certificate")
            .pem();
        let issuer = Issuer::new(authority, authority_key);
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().expect("key");
        let certificate = CertificateParams::new(names)
            .expect("parameters")
            .signed_by(&key, &issuer)
            .expect("certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).expect("key"),
            )
            .expect("configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = Serving::start(|listener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut server = TcpStream::connect(backend).await.expect("backend");
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Self {
            serving: serving.await,
            authority: pem,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Returns its URL, where `localhost` is among its names.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address().port())
    }

    /// Writes the certificate of its authority into a folder and returns its path.
    pub fn bundle(&self, folder: &TempDir) -> String {
        written(folder, "ca.pem", &self.authority)
    }

    /// Returns the certificate of its authority, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

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
