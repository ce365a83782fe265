//! A stand-in for an endpoint that speaks TLS, with an authority of its own. It listens on 127.0.0.1.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{fs, net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{io::copy_bidirectional, net::TcpStream};
use tokio_rustls::TlsAcceptor;

use super::serving::Serving;

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
        let path = folder.path().join("ca.pem");
        fs::write(&path, &self.authority).expect("written");
        path.to_string_lossy().into_owned()
    }

    /// Returns the certificate of its authority, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}
