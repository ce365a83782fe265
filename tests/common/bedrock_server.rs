//! A stand-in for the control plane of Amazon Bedrock that speaks its wire protocol (restJson1): inference profiles,
//! foundation models and their availability, paging, errors, and faults on demand. It listens on 127.0.0.1 and notes every
//! request and connection.
//!
//! tests/it/bedrock checks it with boto3, so that what passes here passes there.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
    serve::ListenerExt,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::serving::Serving;

/// A failure to answer with.
#[derive(Debug, Clone)]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// Value of `x-amzn-errortype`, if there is one.
    pub error_type: Option<String>,
    /// Body.
    pub body: String,
    /// Value of `retry-after`, if there is one.
    pub retry_after: Option<u64>,
    /// Value of `date`, instead of the time.
    pub date: Option<String>,
}

impl Fault {
    /// An error as Bedrock gives it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            error_type: Some(code.to_owned()),
            body: json!({ "message": message }).to_string(),
            retry_after: None,
            date: None,
        }
    }

    pub fn throttled() -> Self {
        Self::error(
            429,
            "ThrottlingException",
            "Too many requests, please wait before trying again.",
        )
    }

    pub fn throttled_for(seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::throttled()
        }
    }

    pub fn access_denied(principal: &str) -> Self {
        Self::denied(
            principal,
            "bedrock:ListInferenceProfiles",
            "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/*",
        )
    }

    /// A denial in the words that AWS has for it.
    pub fn denied(principal: &str, action: &str, resource: &str) -> Self {
        Self::error(
            403,
            "AccessDeniedException",
            &format!(
                "User: {principal} is not authorized to perform: {action} on resource: {resource} because no \
                 identity-based policy allows the {action} action"
            ),
        )
    }

    /// What a server says whose clock is so many seconds ahead of the caller's.
    pub fn skewed(code: &str, seconds: i64) -> Self {
        let theirs = jiff::Timestamp::now()
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .expect("time");
        let basic = |time: jiff::Timestamp| time.strftime("%Y%m%dT%H%M%SZ").to_string();
        Self {
            date: Some(theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()),
            ..Self::error(
                403,
                code,
                &format!(
                    "Signature expired: {} is now earlier than {}",
                    basic(jiff::Timestamp::now()),
                    basic(theirs)
                ),
            )
        }
    }

    /// Bad credentials; the error type goes on after a colon, and the message is not where it mostly is.
    pub fn unrecognized_client() -> Self {
        Self {
            body: json!({ "Message": "The security token included in the request is invalid." })
                .to_string(),
            ..Self::error(
                403,
                "UnrecognizedClientException:http://internal.amazon.com/coral/com.amazon.coral.service/",
                "",
            )
        }
    }

    pub fn internal() -> Self {
        Self::error(
            500,
            "InternalServerException",
            "The server encountered an internal error.",
        )
    }

    /// What a proxy or a captive portal would say.
    pub fn not_bedrock(status: u16) -> Self {
        Self {
            status,
            error_type: None,
            body: "<html>no</html>".to_owned(),
            retry_after: None,
            date: None,
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("status");
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        if let Some(kind) = &self.error_type {
            headers.insert("x-amzn-errortype", kind.parse().expect("header"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(date) = &self.date {
            headers.insert(header::DATE, date.parse().expect("header"));
        }
        response
    }
}

/// What the server does with the next request.
#[derive(Debug, Clone)]
pub enum Scripted {
    /// Fails.
    Fault(Fault),
    /// Never answers.
    Hang,
    /// Answers with this body, whatever was asked.
    Body(Value),
    /// Answers with a part of a document, as if it were whole.
    Truncated,
    /// Begins to answer and closes the connection.
    Reset,
    /// Answers as usual.
    Pass,
}

/// A request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// HTTP method.
    pub method: String,
    /// Path, as sent.
    pub path: String,
    /// Query, decoded.
    pub query: BTreeMap<String, String>,
    /// Region out of the signature's credential scope.
    pub signing_region: Option<String>,
    /// Service out of the signature's credential scope.
    pub signing_name: Option<String>,
    /// Access key ID out of the signature.
    pub access_key_id: Option<String>,
}

#[derive(Default)]
struct Content {
    /// Region -> summaries as the wire has them.
    profiles: HashMap<String, Vec<Value>>,
    /// Region -> summaries as the wire has them.
    models: HashMap<String, Vec<Value>>,
    /// Model -> its availability as the wire has it.
    availability: HashMap<String, Value>,
    page_size: Option<usize>,
    script: VecDeque<Scripted>,
    /// What happens to each request that no script is left for.
    standing: Option<Scripted>,
    /// How each listing of application profiles fails.
    application_fault: Option<Fault>,
    log: Vec<Logged>,
    tokens: HashMap<String, (String, usize)>,
}

type Shared = Arc<Mutex<Content>>;

/// A running server; it ends with this value.
pub struct BedrockServer {
    serving: Serving,
    content: Shared,
    connections: Arc<AtomicUsize>,
}

impl BedrockServer {
    /// Starts a server without profiles on a free port.
    pub async fn start() -> Self {
        let content = Shared::default();
        let router = Router::new()
            .route("/inference-profiles", get(list))
            .route("/inference-profiles/{id}", get(fetch))
            .route("/foundation-models", get(list_models))
            .route("/foundation-model-availability/{id}", get(availability))
            .layer(middleware::from_fn_with_state(content.clone(), note))
            .with_state(content.clone());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let serving = Serving::start(|listener| async move {
            let listener = listener.tap_io(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            });
            axum::serve(listener, router).await.expect("server");
        });
        Self {
            serving: serving.await,
            content,
            connections,
        }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Returns how many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns the URL for `AWS_ENDPOINT_URL_BEDROCK`.
    pub fn url(&self) -> String {
        self.serving.url()
    }

    /// Sets what a region lists.
    pub fn set_profiles(&self, region: &str, profiles: Vec<Value>) {
        self.content
            .lock()
            .profiles
            .insert(region.to_owned(), profiles);
    }

    /// Sets which foundation models a region lists.
    pub fn set_models(&self, region: &str, models: Vec<Value>) {
        self.content.lock().models.insert(region.to_owned(), models);
    }

    /// Sets what the server says of a model's availability.
    pub fn set_availability(&self, model: &str, availability: Value) {
        self.content
            .lock()
            .availability
            .insert(model.to_owned(), availability);
    }

    /// Gives at most so many profiles on a page, whatever is asked for.
    pub fn set_page_size(&self, size: usize) {
        self.content.lock().page_size = Some(size);
    }

    /// Appends to what happens to the next requests; after that the server answers as usual.
    pub fn script(&self, next: impl IntoIterator<Item = Scripted>) {
        self.content.lock().script.extend(next);
    }

    /// From now on, does this with every request; nothing: answers as usual.
    pub fn stand(&self, standing: Option<Scripted>) {
        self.content.lock().standing = standing;
    }

    /// From now on, every listing of application profiles fails so, or none does; all others are answered.
    pub fn fail_applications(&self, fault: Option<Fault>) {
        self.content.lock().application_fault = fault;
    }

    /// Lets the next requests fail.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script(faults.into_iter().map(Scripted::Fault));
    }

    /// Returns all requests so far.
    pub fn log(&self) -> Vec<Logged> {
        self.content.lock().log.clone()
    }

    /// Returns the number of requests so far for pages of this type of inference profiles.
    pub fn listings_of(&self, kind: &str) -> usize {
        let listings = self.listings();
        let of_kind = listings
            .iter()
            .filter(|request| request.query.get("type").is_some_and(|asked| asked == kind));
        of_kind.count()
    }

    /// Returns the requests so far for pages of inference profiles.
    pub fn listings(&self) -> Vec<Logged> {
        let mut log = self.log();
        log.retain(|request| request.path == "/inference-profiles");
        log
    }
}

/// Returns a foundation model as the wire has it. `rest` is merged into it.
pub fn model(source: &str, id: &str, inference_types: &[&str], rest: &Value) -> Value {
    let mut model = json!({
        "modelArn": format!("arn:aws:bedrock:{source}::foundation-model/{id}"),
        "modelId": id,
        "modelName": id,
        "providerName": "Provider",
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": true,
        "customizationsSupported": [],
        "inferenceTypesSupported": inference_types,
        "modelLifecycle": { "status": "ACTIVE" },
    });
    for (name, value) in rest.as_object().into_iter().flatten() {
        model[name] = value.clone();
    }
    model
}

/// Returns a system-defined profile as the wire has it. No destinations: a global one.
pub fn profile(source: &str, geography: &str, model: &str, destinations: &[&str]) -> Value {
    let partition = if source.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    };
    let id = format!("{geography}.{model}");
    let model_arn = |region: &str| json!({ "modelArn": format!("arn:{partition}:bedrock:{region}::foundation-model/{model}") });
    let models: Vec<Value> = if destinations.is_empty() {
        vec![model_arn(source), model_arn("")]
    } else {
        destinations
            .iter()
            .map(|region| model_arn(region))
            .collect()
    };
    json!({
        "inferenceProfileName": format!("{} {model}", geography.to_uppercase()),
        "description": format!("Routes requests to {model}."),
        "createdAt": "2025-09-29T00:00:00Z",
        "updatedAt": "2025-10-03T11:22:33.456Z",
        "inferenceProfileArn": format!("arn:{partition}:bedrock:{source}:111122223333:inference-profile/{id}"),
        "models": models,
        "inferenceProfileId": id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    })
}

/// Returns an application profile as the wire has it.
pub fn application_profile(source: &str, id: &str, model: &str) -> Value {
    json!({
        "inferenceProfileName": format!("app-{id}"),
        "inferenceProfileArn": format!("arn:aws:bedrock:{source}:111122223333:application-inference-profile/{id}"),
        "models": [{ "modelArn": format!("arn:aws:bedrock:{source}::foundation-model/{model}") }],
        "inferenceProfileId": id,
        "status": "ACTIVE",
        "type": "APPLICATION",
    })
}

/// Returns an application profile of this name and ID as the wire has it, made of a system-defined one.
pub fn application_profile_of(name: &str, id: &str, of: &Value) -> Value {
    let arn = of["inferenceProfileArn"].as_str().expect("an ARN");
    let (account, _) = arn.split_once(":inference-profile/").expect("its kind");
    let mut copy = of.clone();
    copy["inferenceProfileName"] = name.into();
    copy["inferenceProfileArn"] = format!("{account}:application-inference-profile/{id}").into();
    copy["inferenceProfileId"] = id.into();
    copy["type"] = "APPLICATION".into();
    copy
}

/// Notes the request, checks that it is signed, and plays what is scripted.
async fn note(State(content): State<Shared>, request: Request, next: Next) -> Response {
    let scope = credential_scope(request.headers());
    let query = Query::<BTreeMap<String, String>>::try_from_uri(request.uri())
        .map(|query| query.0)
        .unwrap_or_default();
    let scripted = {
        let mut content = content.lock();
        let part = |index: usize| scope.as_ref().and_then(|scope| scope.get(index).cloned());
        content.log.push(Logged {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query,
            access_key_id: part(0),
            signing_region: part(2),
            signing_name: part(3),
        });
        content
            .script
            .pop_front()
            .or_else(|| content.standing.clone())
    };
    match scripted {
        Some(Scripted::Fault(fault)) => return with_request_id(fault.into_response()),
        Some(Scripted::Hang) => std::future::pending().await,
        Some(Scripted::Body(body)) => return with_request_id(axum::Json(body).into_response()),
        Some(Scripted::Truncated) => {
            let body = r#"{"inferenceProfileSummaries":[{"inferenceProfileName":"EU "#;
            return with_request_id(json_of(Body::from(body)));
        }
        Some(Scripted::Reset) => {
            let part = futures::stream::iter([
                Ok(r#"{"inferenceProfileSummaries":["#),
                Err(std::io::Error::other("reset")),
            ]);
            return with_request_id(json_of(Body::from_stream(part)));
        }
        Some(Scripted::Pass) | None => {}
    }
    if scope.is_none_or(|scope| scope.get(3).is_none_or(|name| name != "bedrock")) {
        let fault = Fault::error(
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        );
        return with_request_id(fault.into_response());
    }
    with_request_id(next.run(request).await)
}

fn json_of(body: Body) -> Response {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("response")
}

/// Gives each answer an ID of its own, as AWS does: nothing that users see may depend on it.
fn with_request_id(mut response: Response) -> Response {
    let id = format!("{:016x}", fastrand::u64(..));
    response
        .headers_mut()
        .insert("x-amzn-requestid", id.parse().expect("header"));
    response
}

/// Returns access key ID, date, region, service and the final word out of
/// `AWS4-HMAC-SHA256 Credential=AKID/20261027/eu-west-1/bedrock/aws4_request, SignedHeaders=..., Signature=...`.
pub fn credential_scope(headers: &HeaderMap) -> Option<Vec<String>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let credential = value.split_once("Credential=")?.1.split(',').next()?;
    Some(credential.split('/').map(ToOwned::to_owned).collect())
}

async fn list(
    State(content): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let invalid = |message: &str| Fault::error(400, "ValidationException", message).into_response();
    let kind = query.get("type").map_or("SYSTEM_DEFINED", String::as_str);
    if !["SYSTEM_DEFINED", "APPLICATION"].contains(&kind) {
        return invalid(
            "Value at 'typeEquals' failed to satisfy constraint: Member must satisfy enum value set: [SYSTEM_DEFINED, APPLICATION]",
        );
    }
    let asked = match query
        .get("maxResults")
        .map(|number| number.parse::<usize>())
    {
        None => 1000,
        Some(Ok(number @ 1..=1000)) => number,
        Some(_) => {
            return invalid(
                "Value at 'maxResults' failed to satisfy constraint: Member must be between 1 and 1000",
            );
        }
    };
    let region = credential_scope(&headers).and_then(|scope| scope.get(2).cloned());
    let mut content = content.lock();
    if let ("APPLICATION", Some(fault)) = (kind, &content.application_fault) {
        return fault.clone().into_response();
    }
    let start = match query.get("nextToken") {
        None => 0,
        Some(token) => match content.tokens.get(token) {
            Some((of, start)) if of == kind => *start,
            _ => return invalid("The nextToken is invalid."),
        },
    };
    let all: Vec<Value> = region
        .and_then(|region| content.profiles.get(&region))
        .into_iter()
        .flatten()
        .filter(|profile| profile["type"] == kind)
        .cloned()
        .collect();
    let end = all
        .len()
        .min(start + content.page_size.map_or(asked, |size| size.min(asked)));
    let mut answer = json!({ "inferenceProfileSummaries": all[start.min(end)..end] });
    if end < all.len() {
        let token = format!("AQ{:016x}==", fastrand::u64(..));
        content.tokens.insert(token.clone(), (kind.to_owned(), end));
        answer["nextToken"] = token.into();
    }
    axum::Json(answer).into_response()
}

async fn fetch(
    State(content): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let region = credential_scope(&headers).and_then(|scope| scope.get(2).cloned());
    let content = content.lock();
    let found = region
        .and_then(|region| content.profiles.get(&region))
        .into_iter()
        .flatten()
        .find(|profile| {
            profile["inferenceProfileId"] == id.as_str()
                || profile["inferenceProfileArn"] == id.as_str()
        });
    match found {
        Some(profile) => json_of(Body::from(profile.to_string())),
        None => Fault::error(
            404,
            "ResourceNotFoundException",
            "The specified inference profile was not found.",
        )
        .into_response(),
    }
}

async fn list_models(State(content): State<Shared>, headers: HeaderMap) -> Response {
    let region = credential_scope(&headers).and_then(|scope| scope.get(2).cloned());
    let content = content.lock();
    let models = region.and_then(|region| content.models.get(&region));
    axum::Json(json!({ "modelSummaries": models.cloned().unwrap_or_default() })).into_response()
}

async fn availability(State(content): State<Shared>, Path(id): Path<String>) -> Response {
    match content.lock().availability.get(&id) {
        Some(availability) => axum::Json(availability).into_response(),
        None => Fault::error(
            404,
            "ResourceNotFoundException",
            "Could not resolve the foundation model from the model identifier.",
        )
        .into_response(),
    }
}
