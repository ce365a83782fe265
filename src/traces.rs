//! Traces by OTLP: spans of visits, of their writes, and of listings. Without an [`Exporter`] no span is made, and there is no
//! thread. A receiver that can't be reached holds nothing up: what it can't be sent in time is dropped.

use std::{
    error::Error,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, hyper::HyperClient};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::{runtime::Handle, task::spawn_blocking};
use tracing::{Metadata, Span, Subscriber, field, info_span, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer,
    filter::{FilterFn, filter_fn},
    registry::LookupSpan,
};

/// The target of the spans, by which logs leave them out.
const TARGET: &str = module_path!();
/// The name of the service, unless `OTEL_SERVICE_NAME` gives another one.
const SERVICE: &str = "inference-profile-operator";
/// Where a receiver takes spans, below its base URL.
const PATH: &str = "/v1/traces";
/// Longest wait for an answer of the receiver.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the last spans to be sent when the operator stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns the span of a visit of a binding.
pub fn visit(namespace: &str, name: &str, lane: &'static str) -> Span {
    info_span!(
        "visit",
        binding.namespace = namespace,
        binding.name = name,
        lane,
        result = field::Empty,
        otel.status_code = field::Empty
    )
}

/// Returns the span of a write to the apiserver.
pub fn write(kind: &'static str, operation: &'static str) -> Span {
    info_span!(
        "write",
        otel.kind = "client",
        kind,
        operation,
        result = field::Empty,
        otel.status_code = field::Empty
    )
}

/// Returns the span of a listing of a catalog. `source`: its kind.
pub fn list(source: &'static str, region: &str, role: Option<&str>) -> Span {
    info_span!(
        "list",
        otel.kind = "client",
        source,
        region,
        role,
        result = field::Empty,
        otel.status_code = field::Empty
    )
}

/// Records how what a span is about ended.
pub fn ended(span: &Span, result: &'static str, failed: bool) {
    span.record("result", result);
    if failed {
        span.record("otel.status_code", "ERROR");
    }
}

/// Returns a filter of log lines that leaves the spans of this module out.
#[must_use]
pub fn no_spans() -> FilterFn {
    let is_other: fn(&Metadata<'_>) -> bool = |metadata| !is_ours(metadata);
    FilterFn::new(is_other).with_max_level_hint(LevelFilter::TRACE)
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == TARGET
}

/// The base URL of a receiver of OTLP over HTTP, such as `http://collector:4318`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    is_https: bool,
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a URL such as http://collector:4318";
        let url: Uri = text.parse().map_err(|_| EXPECTED)?;
        let is_https = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(EXPECTED),
        };
        let authority = url.authority().ok_or(EXPECTED)?;
        if authority.as_str().contains('@') {
            return Err(
                "credentials do not belong in the URL: give a header in OTEL_EXPORTER_OTLP_HEADERS",
            );
        }
        if url.query().is_some() {
            return Err("expected a URL without a query");
        }
        let url = text.trim_end_matches('/').to_owned();
        Ok(Self { url, is_https })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Says why traces can't be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system's CA certificates can't be read.
    #[error("the CA certificates of the system can't be read: check SSL_CERT_FILE")]
    Certificates(#[source] std::io::Error),
    /// A variable of OpenTelemetry has a value that is not understood.
    #[error("a variable OTEL_* has a value that is not understood")]
    Configuration(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// Sends the spans to a receiver, from a thread of its own.
#[derive(Debug)]
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// Starts the thread that sends spans. It connects when there is something to send.
    ///
    /// # Errors
    /// Returns [`StartError`] if the configuration does not let anything be sent.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start(endpoint: &Endpoint) -> Result<Self, StartError> {
        let sender = Sender {
            runtime: Handle::current(),
            client: client(endpoint).map_err(StartError::Certificates)?,
            endpoint: endpoint.clone(),
            is_failing: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_endpoint(format!("{endpoint}{PATH}"))
            .build()
            .map_err(StartError::Configuration)?;
        let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| SERVICE.to_owned());
        let resource = Resource::builder()
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_service_name(name)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Self { provider })
    }

    /// Returns the layer that takes the spans of this module, and nothing else: no log line becomes part of a trace.
    #[must_use]
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_ours).with_max_level_hint(LevelFilter::INFO))
    }

    /// Sends what is left, and stops. Takes at most 2 s.
    pub async fn stop(self) {
        // What the receiver does not take by then is lost, as when it can't be reached.
        let _ = spawn_blocking(move || self.provider.shutdown_with_timeout(STOP_TIMEOUT)).await;
    }
}

/// Returns a client for the endpoint, with the system's CA certificates where it needs them.
fn client(endpoint: &Endpoint) -> std::io::Result<Arc<dyn HttpClient>> {
    if !endpoint.is_https {
        return Ok(Arc::new(HyperClient::with_default_connector(
            SEND_TIMEOUT,
            None,
        )));
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(provider)?
        .https_only()
        .enable_http1()
        .build();
    Ok(Arc::new(HyperClient::new(connector, SEND_TIMEOUT, None)))
}

/// Sends requests from the thread of the exporter, and tells in the log when that begins to fail and when it works again.
#[derive(Debug)]
struct Sender {
    /// The thread of the exporter has none.
    runtime: Handle,
    client: Arc<dyn HttpClient>,
    endpoint: Endpoint,
    is_failing: AtomicBool,
}

impl Sender {
    fn log(&self, failure: Option<String>) {
        let endpoint = &self.endpoint;
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(why) if !was_failing => {
                tracing::warn!(%endpoint, why, "traces can't be sent, and are dropped until they can: check --otlp-endpoint");
            }
            None if was_failing => tracing::info!(%endpoint, "traces are sent again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = Arc::clone(&self.client);
        let sending = self
            .runtime
            .spawn(async move { client.send_bytes(request).await });
        let answer = sending.await?;
        self.log(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status())),
            Err(error) => Some(with_sources(error.as_ref())),
        });
        answer
    }
}

/// Returns an error in words, with what caused it.
fn with_sources(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let endpoint = |text: &str| text.parse::<Endpoint>();
        for (text, url) in [
            ("http://collector:4318", "http://collector:4318"),
            ("https://otlp.example.com/", "https://otlp.example.com"),
            (
                "http://10.0.0.1:4318/tenant/",
                "http://10.0.0.1:4318/tenant",
            ),
        ] {
            assert_eq!(endpoint(text).expect(text).to_string(), url);
        }
        for bad in [
            "",
            "collector:4318",
            "collector",
            "grpc://collector:4317",
            "http://",
            "/v1/traces",
            "http://user:secret@collector:4318",
            "http://collector:4318?a=b",
        ] {
            let why = endpoint(bad).expect_err(bad);
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
