//! How requests to AWS travel: connections, trusted certificates, proxies, names.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use aws_sdk_bedrock::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, SharedHttpClient,
        interceptors::{
            BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
        },
    },
    error::BoxError,
};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use parking_lot::Mutex;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::types::Region;

/// How long to wait for an answer of the resolver.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// The variables that name a proxy for HTTPS, in the order in which the HTTP client reads them.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Resolves host names.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// Returns the addresses of a host.
    ///
    /// # Errors
    /// If the host has no addresses, or the resolver does not answer.
    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> futures::future::BoxFuture<'a, std::io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug)]
pub(super) struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses<'a>(
        &'a self,
        host: &'a str,
    ) -> futures::future::BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let lookup = tokio::net::lookup_host((host, 443));
            let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await??;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A resolver in the form that the HTTP client takes.
#[derive(Debug, Clone)]
struct Names(Arc<dyn Resolver>);

impl ResolveDns for Names {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { self.0.addresses(name).await.map_err(ResolveDnsError::new) })
    }
}

/// Returns the HTTP client of all requests, also of those for credentials. It uses the proxies of the environment, and trusts
/// the given certificates besides the system's.
///
/// It is the SDK's own default, which does not take further certificates.
pub(super) fn http_client(
    ca_bundle: Option<Vec<u8>>,
    resolver: Arc<dyn Resolver>,
) -> Result<SharedHttpClient, &'static str> {
    let mut trust = TrustStore::default();
    if let Some(pem) = ca_bundle {
        trust.add_pem_certificate(usable_certificates(&pem)?);
    }
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|_| "can't be used for TLS")?;
    let names = Names(resolver);
    Ok(
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(context.clone())
                .proxy_config(ProxyConfig::from_env());
            builder.set_connector_settings(settings.cloned());
            if let Some(components) = components {
                builder.set_sleep_impl(components.sleep_impl());
            }
            builder.build_with_resolver(names.clone())
        }),
    )
}

/// Returns the certificates that can be used. With any other, the HTTP client panics when it connects; the bundles of whole
/// systems have some.
fn usable_certificates(pem: &[u8]) -> Result<Vec<u8>, &'static str> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(pem).map_err(|_| "is not PEM")?;
    let mut roots = RootCertStore::empty();
    let usable: String = text
        .split_inclusive(END)
        .filter(|part| {
            let certificate = CertificateDer::from_pem_slice(part.as_bytes());
            certificate.is_ok_and(|certificate| roots.add(certificate).is_ok())
        })
        .collect();
    if usable.is_empty() {
        return Err("has no usable CA certificate in PEM");
    }
    let given = text.matches(END).count();
    if roots.len() < given {
        tracing::warn!(
            given,
            usable = roots.len(),
            "some certificates in AWS_CA_BUNDLE can't be used"
        );
    }
    Ok(usable.into_bytes())
}

/// Returns whether a proxy resolves the names of HTTPS hosts, according to the environment.
pub(super) fn behind_proxy() -> bool {
    PROXY_VARIABLES
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Records which host a client talks to: an endpoint can be chosen in so many ways that only the SDK knows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Host(Arc<OnceLock<String>>);

impl Host {
    /// Returns the host, or `None` before the first request.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl Intercept for Host {
    fn name(&self) -> &'static str {
        "Host"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let after_scheme = context.request().uri().split_once("://");
        if let Some(host) = after_scheme.and_then(|(_, rest)| rest.split('/').next()) {
            self.0.get_or_init(|| host.to_owned());
        }
        Ok(())
    }
}

/// Records by how many seconds the clock of this machine is ahead of that of the answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<Mutex<Option<i64>>>);

impl Clock {
    /// Returns the difference of the last answer that carried its time.
    pub(super) fn seconds_ahead(&self) -> Option<i64> {
        *self.0.lock()
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(ahead) = date.and_then(|date| seconds_ahead(date, SystemTime::now())) {
            *self.0.lock() = Some(ahead);
        }
        Ok(())
    }
}

/// Returns by how many seconds `now` is ahead of the time in an answer's `Date` header.
pub(super) fn seconds_ahead(date: &str, now: SystemTime) -> Option<i64> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let ours = jiff::Timestamp::try_from(now).ok()?;
    Some(ours.as_second() - theirs.as_second())
}

/// Returns whether a host is AWS's own for the region, not a configured one.
pub(super) fn is_public_host(host: &str, region: &Region) -> bool {
    host.starts_with(&format!("bedrock.{region}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_can_not_be_used_are_left_out() {
        let good = rcgen::generate_simple_self_signed(Vec::new()).expect("certificate");
        let good = good.cert.pem();
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, usable) in [
            ("", 0),
            ("text", 0),
            (odd, 0),
            (&good, 1),
            (&format!("# one\n{good}\n# two\n{good}"), 2),
            (&format!("{odd}{good}"), 1),
        ] {
            let found = usable_certificates(pem.as_bytes()).unwrap_or_default();
            let found = CertificateDer::pem_slice_iter(&found).map(|der| der.expect("DER"));
            assert_eq!(found.count(), usable, "{pem}");
        }
        assert!(usable_certificates(b"\xff").is_err());
    }
}
