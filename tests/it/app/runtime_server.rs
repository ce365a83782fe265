//! A stand-in for Amazon Bedrock Runtime: Converse, and the three refusals that callers of inference profiles meet, with
//! AWS's codes and messages. It listens on 127.0.0.1 and notes every request.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{OriginalUri, Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::common::{
    bedrock_server::{Fault, credential_scope},
    serving::Serving,
};

/// What the server knows.
#[derive(Debug, Clone, Default)]
pub struct Runtime {
    /// Pairs of source region and the ID of a profile that can be called there.
    pub profiles: Vec<(String, String)>,
    /// IDs of models that no region serves by their own ID.
    pub profile_only_models: Vec<String>,
    /// Destination region that the caller's policies deny.
    pub denied_destination: Option<String>,
    /// Text of every answer.
    pub answer: String,
}

/// A call of Converse.
#[derive(Debug, Clone)]
pub struct Call {
    /// Path, as sent.
    pub path: String,
    /// Model ID in the path, decoded.
    pub model_id: String,
    /// Region out of the signature's credential scope.
    pub signing_region: String,
    /// Text of the first message.
    pub question: Value,
}

type Shared = Arc<(Runtime, watch::Sender<Vec<Call>>)>;

/// A running server; it ends with this value.
pub struct RuntimeServer {
    serving: Serving,
    shared: Shared,
}

impl RuntimeServer {
    /// Starts a server on a free port.
    pub async fn start(runtime: Runtime) -> Self {
        let shared = Shared::new((runtime, watch::Sender::default()));
        let router = Router::new()
            .route("/model/{id}/converse", post(converse))
            .with_state(shared.clone());
        Self {
            serving: Serving::router(router).await,
            shared,
        }
    }

    /// Returns the URL for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    pub fn url(&self) -> String {
        self.serving.url()
    }

    /// Returns all calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.1.borrow().clone()
    }

    /// Waits for so many calls in all.
    pub async fn called(&self, times: usize) {
        let mut calls = self.shared.1.subscribe();
        calls
            .wait_for(|calls| calls.len() >= times)
            .await
            .expect("the server runs");
    }
}

async fn converse(
    State(shared): State<Shared>,
    Path(model_id): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let Some(region) = credential_scope(&headers).and_then(|scope| scope.get(2).cloned()) else {
        let (code, message) = (
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        );
        return Fault::error(403, code, message).into_response();
    };
    let (runtime, calls) = &*shared;
    let call = Call {
        path: uri.path().to_owned(),
        model_id: model_id.clone(),
        signing_region: region.clone(),
        question: body["messages"][0]["content"][0]["text"].clone(),
    };
    calls.send_modify(|calls| calls.push(call));
    if let Some(fault) = runtime.refusal(&region, &model_id) {
        return fault.into_response();
    }
    Json(json!({
        "output": {"message": {"role": "assistant", "content": [{"text": runtime.answer}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 14, "outputTokens": 4, "totalTokens": 18},
        "metrics": {"latencyMs": 411},
    }))
    .into_response()
}

impl Runtime {
    /// Returns how AWS refuses the call, if it does.
    fn refusal(&self, region: &str, id: &str) -> Option<Fault> {
        if self.profile_only_models.iter().any(|model| model == id) {
            let message = format!(
                "Invocation of model ID {id} with on-demand throughput isn\u{2019}t supported. Retry your request with \
                 the ID or ARN of an inference profile that contains this model."
            );
            return Some(Fault::error(400, "ValidationException", &message));
        }
        let callable = |(source, profile): &(String, String)| source == region && profile == id;
        if !self.profiles.iter().any(callable) {
            let message = "The provided model identifier is invalid.";
            return Some(Fault::error(400, "ValidationException", message));
        }
        let denied = self.denied_destination.as_ref()?;
        let (_, model) = id.split_once('.').unwrap_or(("", id));
        let message = format!(
            "User: arn:aws:sts::111122223333:assumed-role/converse/pod is not authorized to perform: bedrock:InvokeModel \
             on resource: arn:aws:bedrock:{denied}::foundation-model/{model} with an explicit deny in a service control \
             policy"
        );
        Some(Fault::error(403, "AccessDeniedException", &message))
    }
}
