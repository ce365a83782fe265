//! The traces that a running operator sends, to a stand-in for a receiver of OTLP over HTTP.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;

use crate::{
    case::{Case, cases},
    common::{serving::Serving, tls_server::TlsServer},
    probes::{Bedrock, run_logged, terminate},
    stage::{EU, GLOBAL, ID, REGION, Stage, empty, sonnet},
    support::eventually,
};

/// The delay with which spans are sent here, in milliseconds.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

pub fn cases() -> Vec<Case> {
    cases![empty(
        a_visit_arrives_with_its_writes,
        a_receiver_can_speak_tls,
        a_receiver_that_fails_is_one_line,
        a_receiver_that_is_silent_holds_nothing_up,
    )]
}

/// How a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Well,
    WithAnError,
    Never,
}

/// A stand-in for a receiver, which keeps what it was sent.
#[derive(Clone)]
struct Receiver {
    answers: Arc<Mutex<Answers>>,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Receiver {
    async fn start(answers: Answers) -> (Self, Serving) {
        let receiver = Self {
            answers: Arc::new(Mutex::new(answers)),
            requests: Arc::default(),
        };
        let router = Router::new()
            .route("/v1/traces", post(Self::receive))
            .with_state(receiver.clone());
        (receiver, Serving::router(router).await)
    }

    async fn receive(State(receiver): State<Self>, body: Bytes) -> StatusCode {
        let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
        receiver
            .requests
            .lock()
            .expect("not poisoned")
            .push(request);
        let answers = *receiver.answers.lock().expect("not poisoned");
        match answers {
            Answers::Well => StatusCode::OK,
            Answers::WithAnError => StatusCode::SERVICE_UNAVAILABLE,
            Answers::Never => pending().await,
        }
    }

    fn answer(&self, answers: Answers) {
        *self.answers.lock().expect("not poisoned") = answers;
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.requests.lock().expect("not poisoned").clone()
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests();
        let resources = requests.into_iter().flat_map(|it| it.resource_spans);
        let scopes = resources.flat_map(|it| it.scope_spans);
        scopes.flat_map(|it| it.spans).collect()
    }

    /// Waits for a span of this name that has these attributes.
    async fn span(&self, name: &str, expected: &[(&str, &str)]) -> Span {
        eventually(&format!("{name} {expected:?}"), || async {
            let spans = self.spans();
            let found = spans.iter().find(|span| {
                let attributes = attributes(&span.attributes);
                span.name == name
                    && expected
                        .iter()
                        .all(|(key, value)| attributes.get(*key).is_some_and(|it| it == value))
            });
            found.cloned().ok_or(spans)
        })
        .await
    }
}

fn attributes(of: &[KeyValue]) -> BTreeMap<&str, String> {
    of.iter()
        .map(|it| {
            let value = match &it.value {
                Some(AnyValue {
                    value: Some(Value::StringValue(text)),
                }) => text.clone(),
                other => format!("{other:?}"),
            };
            (it.key.as_str(), value)
        })
        .collect()
}

async fn a_visit_arrives_with_its_writes(stage: &Stage) {
    let (receiver, serving) = Receiver::start(Answers::Well).await;
    let bedrock = Bedrock::start(&[REGION]).await;
    let endpoint = format!("--otlp-endpoint={}/", serving.url());
    let arguments = ["--catalog=bedrock", &endpoint];
    let [a, b, c, d] = bedrock.environment();
    let (mut program, _, log) = run_logged(stage, &arguments, &[a, b, c, d, SOON]).await;
    stage.bound("claude", sonnet()).await;

    let namespace = stage.namespace.as_str();
    let expected = [
        ("binding.namespace", namespace),
        ("binding.name", "claude"),
        ("lane", "high"),
        ("result", "success"),
    ];
    receiver.span("visit", &expected).await;
    let applied = [("operation", "apply"), ("result", "success")];
    for kind in ["ConfigMap", "InferenceProfileBinding"] {
        let expected = [("kind", kind), applied[0], applied[1]];
        let write = receiver.span("write", &expected).await;
        // The visit ends, and is sent, after its writes.
        let parent = eventually("the visit of a write", || async {
            let spans = receiver.spans();
            let is_parent = |it: &&Span| it.span_id == write.parent_span_id;
            spans.iter().find(is_parent).cloned().ok_or(spans)
        })
        .await;
        assert_eq!(parent.name, "visit");
        assert_eq!(parent.trace_id, write.trace_id);
    }
    let listing = [
        ("source", "bedrock"),
        ("region", REGION),
        ("result", "success"),
    ];
    receiver.span("list", &listing).await;

    // What is written stands in no trace, nor do lines of the log, and no line of the log names a span.
    for span in receiver.spans() {
        assert!(span.events.is_empty(), "{span:#?}");
        for value in attributes(&span.attributes).values() {
            assert!(!value.contains(EU) && !value.contains(ID), "{span:#?}");
        }
    }
    assert_eq!(log.count("visit{"), 0, "{:#?}", log.lines());
    let requests = receiver.requests();
    let resource = requests[0].resource_spans[0].resource.as_ref();
    let resource = attributes(&resource.expect("a resource").attributes);
    assert_eq!(resource["service.name"], "inference-profile-operator");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    terminate(&mut program).await;
}

/// With the certificate of its authority, and not without.
async fn a_receiver_can_speak_tls(stage: &Stage) {
    let (receiver, serving) = Receiver::start(Answers::Well).await;
    let tls = TlsServer::start(serving.address(), &["localhost"]).await;
    let endpoint = format!("--otlp-endpoint={}", tls.url());
    let arguments = ["--catalog=embedded", &endpoint];
    let (mut program, _, log) = run_logged(stage, &arguments, &[SOON]).await;
    stage.bound("untrusted", sonnet()).await;
    eventually("it is not trusted", || async {
        match log.count("traces can't be sent") {
            1 => Ok(()),
            _ => Err(log.lines()),
        }
    })
    .await;
    terminate(&mut program).await;
    assert_eq!(receiver.requests(), []);

    let folder = tempfile::tempdir().expect("a folder");
    let bundle = tls.bundle(&folder);
    let trusting = ("SSL_CERT_FILE", bundle.as_str());
    let (mut program, _, _) = run_logged(stage, &arguments, &[SOON, trusting]).await;
    stage.bound("claude", sonnet()).await;
    receiver.span("visit", &[("binding.name", "claude")]).await;
    terminate(&mut program).await;
}

async fn a_receiver_that_fails_is_one_line(stage: &Stage) {
    let (receiver, serving) = Receiver::start(Answers::WithAnError).await;
    let endpoint = format!("--otlp-endpoint={}", serving.url());
    let arguments = ["--catalog=embedded", &endpoint];
    let (mut program, _, log) = run_logged(stage, &arguments, &[SOON]).await;
    let sent = async |times: usize| {
        let before = receiver.requests().len();
        eventually("spans are sent", || async {
            // A change each time, so that there is something to send.
            let geography = ["eu", "global"][usize::from(fastrand::bool())];
            let spec = serde_json::json!({"geography": geography});
            stage.edit("claude", spec).await;
            let since = receiver.requests().len() - before;
            if since >= times { Ok(()) } else { Err(since) }
        })
        .await;
    };
    stage.bound("claude", sonnet()).await;
    sent(4).await;
    assert_eq!(log.count("traces can't be sent"), 1, "{:#?}", log.lines());
    receiver.answer(Answers::Well);
    sent(4).await;
    assert_eq!(log.count("traces can't be sent"), 1, "{:#?}", log.lines());
    assert_eq!(log.count("traces are sent again"), 1, "{:#?}", log.lines());
    terminate(&mut program).await;
}

/// Requests that nobody answers, and then, with the receiver gone, connections that nobody takes.
async fn a_receiver_that_is_silent_holds_nothing_up(stage: &Stage) {
    let (receiver, serving) = Receiver::start(Answers::Never).await;
    let endpoint = format!("--otlp-endpoint={}", serving.url());
    let arguments = ["--catalog=embedded", &endpoint];
    // Few spans have room, so that most of them find none.
    let small = ("OTEL_BSP_MAX_QUEUE_SIZE", "2");
    let (mut program, _, log) = run_logged(stage, &arguments, &[SOON, small]).await;
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        stage.bound(name, sonnet()).await;
    }
    eventually("a request waits", || async {
        let waiting = receiver.requests().len();
        if waiting > 0 { Ok(()) } else { Err(waiting) }
    })
    .await;
    drop(serving);
    for name in names {
        let spec = serde_json::json!({"geography": "global"});
        stage.edit(name, spec).await;
        stage.until_id(name, Some(GLOBAL)).await;
    }
    terminate(&mut program).await;
    assert!(log.count("traces can't be sent") <= 1, "{:#?}", log.lines());
}
