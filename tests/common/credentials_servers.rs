//! Stand-ins for what gives AWS credentials: STS, the EKS Pod Identity agent and the instance metadata service. Each
//! listens on 127.0.0.1 and notes what it was asked.
//!
//! tests/it/bedrock checks them with boto3, so that what passes here passes there.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use parking_lot::Mutex;
use serde_json::json;

use super::{bedrock_server::credential_scope, serving::Serving};

/// Returns a time from now as credentials carry it.
fn expiration(seconds: i64) -> String {
    let time = jiff::Timestamp::now()
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .expect("time");
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A list that grows while a server runs.
type Log<T> = Arc<Mutex<Vec<T>>>;

/// An error of STS.
#[derive(Debug, Clone)]
pub struct StsFault {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

/// What STS was asked: the parameters of the form, and the region and access key ID of the signature.
pub type StsRequest = BTreeMap<String, String>;

/// A stand-in for STS (awsQuery): `AssumeRole`, `AssumeRoleWithWebIdentity` and `GetCallerIdentity`.
pub struct StsServer {
    serving: Serving,
    state: StsState,
}

#[derive(Clone, Default)]
struct StsState {
    log: Log<StsRequest>,
    faults: Arc<Mutex<VecDeque<StsFault>>>,
}

impl StsServer {
    pub async fn start() -> Self {
        let state = StsState::default();
        let router = Router::new()
            .route("/", post(sts))
            .with_state(state.clone());
        Self {
            serving: Serving::router(router).await,
            state,
        }
    }

    /// Returns the URL for `AWS_ENDPOINT_URL_STS`.
    pub fn url(&self) -> String {
        self.serving.url()
    }

    /// Lets the next requests fail.
    pub fn fail(&self, faults: impl IntoIterator<Item = StsFault>) {
        let mut queue = self.state.faults.lock();
        queue.extend(faults);
    }

    /// Returns all requests so far.
    pub fn log(&self) -> Vec<StsRequest> {
        self.state.log.lock().clone()
    }
}

/// Answers with credentials whose access key ID is `ASIA` and the role's name in capitals.
async fn sts(
    State(state): State<StsState>,
    headers: HeaderMap,
    Form(mut form): Form<BTreeMap<String, String>>,
) -> Response {
    if let Some(scope) = credential_scope(&headers) {
        form.insert("signed-by".to_owned(), scope[0].clone());
        form.insert("signed-for".to_owned(), scope[2].clone());
    }
    state.log.lock().push(form.clone());
    let fault = state.faults.lock().pop_front();
    if let Some(fault) = fault {
        return sts_error(&fault);
    }
    let action = form.get("Action").cloned().unwrap_or_default();
    if action == "GetCallerIdentity" && form.contains_key("signed-by") {
        let body = format!(
            r#"<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Arn>arn:aws:sts::111122223333:assumed-role/discovery/session</Arn><UserId>AROAEXAMPLE:session</UserId><Account>111122223333</Account></{action}Result><ResponseMetadata><RequestId>{:016x}</RequestId></ResponseMetadata></{action}Response>"#,
            fastrand::u64(..)
        );
        return ([(header::CONTENT_TYPE, "text/xml")], body).into_response();
    }
    let known = match action.as_str() {
        "AssumeRole" => form.contains_key("signed-by"),
        "AssumeRoleWithWebIdentity" => form.contains_key("WebIdentityToken"),
        _ => false,
    };
    let (Some(arn), Some(session), true) =
        (form.get("RoleArn"), form.get("RoleSessionName"), known)
    else {
        return sts_error(&StsFault {
            status: 400,
            code: "ValidationError",
            message: "the request is not valid".to_owned(),
        });
    };
    let name = arn.rsplit('/').next().unwrap_or_default();
    let account = arn.split(':').nth(4).unwrap_or_default();
    let body = format!(
        r#"<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{session}</AssumedRoleId><Arn>arn:aws:sts::{account}:assumed-role/{name}/{session}</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIAXXXXXXXX{}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>{}</Expiration></Credentials></{action}Result><ResponseMetadata><RequestId>{:016x}</RequestId></ResponseMetadata></{action}Response>"#,
        name.to_uppercase(),
        expiration(3600),
        fastrand::u64(..)
    );
    ([(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn sts_error(fault: &StsFault) -> Response {
    let body = format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{:016x}</RequestId></ErrorResponse>"#,
        fault.code,
        fault.message,
        fastrand::u64(..)
    );
    let status = StatusCode::from_u16(fault.status).expect("status");
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

/// A stand-in for the portal of AWS IAM Identity Center: `GetRoleCredentials`.
pub struct IdentityCenter {
    serving: Serving,
    log: Log<BTreeMap<String, String>>,
}

impl IdentityCenter {
    /// Starts a portal that knows one access token.
    pub async fn start(token: &'static str) -> Self {
        let log = Log::default();
        let state: (&'static str, Log<BTreeMap<String, String>>) = (token, log.clone());
        let router = Router::new()
            .route("/federation/credentials", get(role_credentials))
            .with_state(state);
        Self {
            serving: Serving::router(router).await,
            log,
        }
    }

    /// Returns the URL for `AWS_ENDPOINT_URL_SSO`.
    pub fn url(&self) -> String {
        self.serving.url()
    }

    /// Returns the queries so far.
    pub fn log(&self) -> Vec<BTreeMap<String, String>> {
        self.log.lock().clone()
    }
}

/// Refuses another token as an expired one is refused, and the role `Nobody` as one that is not assigned.
async fn role_credentials(
    State((token, log)): State<(&'static str, Log<BTreeMap<String, String>>)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    log.lock().push(query.clone());
    let given = headers.get("x-amz-sso_bearer_token");
    let refusal = |status, code: &'static str, message: &str| {
        (
            status,
            [("x-amzn-errortype", code)],
            Json(json!({"message": message})),
        )
            .into_response()
    };
    if given.is_none_or(|given| given != token) {
        let message = "Session token not found or invalid";
        return refusal(StatusCode::UNAUTHORIZED, "UnauthorizedException", message);
    }
    if query.get("role_name").is_some_and(|role| role == "Nobody") {
        return refusal(StatusCode::FORBIDDEN, "ForbiddenException", "No access");
    }
    let until = jiff::Timestamp::now().as_millisecond() + 3_600_000;
    Json(json!({"roleCredentials": {
        "accessKeyId": "ASIAXXXXXXXXSSO",
        "secretAccessKey": "secret",
        "sessionToken": "token",
        "expiration": until,
    }}))
    .into_response()
}

/// A stand-in for the EKS Pod Identity agent. It writes a new token into the token file after each answer, as the kubelet
/// does from time to time, and its credentials are to be renewed at once.
pub struct PodIdentityAgent {
    serving: Serving,
    state: AgentState,
}

#[derive(Clone)]
struct AgentState {
    token_file: PathBuf,
    tokens: Log<String>,
}

impl PodIdentityAgent {
    /// Starts an agent, and writes `token-1` into the file.
    pub async fn start(token_file: &Path) -> Self {
        fs::write(token_file, "token-1").expect("token file");
        let state = AgentState {
            token_file: token_file.to_owned(),
            tokens: Log::default(),
        };
        let router = Router::new()
            .route("/v1/credentials", get(pod_identity))
            .with_state(state.clone());
        Self {
            serving: Serving::router(router).await,
            state,
        }
    }

    /// Returns the value for `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub fn uri(&self) -> String {
        format!("{}/v1/credentials", self.serving.url())
    }

    /// Returns the tokens that were presented so far.
    pub fn tokens(&self) -> Vec<String> {
        self.state.tokens.lock().clone()
    }
}

async fn pod_identity(State(state): State<AgentState>, headers: HeaderMap) -> Response {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let expected = fs::read_to_string(&state.token_file).expect("token file");
    state.tokens.lock().push(token.clone());
    if token != expected {
        return (StatusCode::BAD_REQUEST, "[token]: not the current one").into_response();
    }
    let next = state.tokens.lock().len() + 1;
    fs::write(&state.token_file, format!("token-{next}")).expect("token file");
    Json(json!({
        "AccessKeyId": "ASIAXXXXXXXXPOD",
        "SecretAccessKey": "secret",
        "Token": "token",
        "AccountId": "111122223333",
        "Expiration": expiration(5),
    }))
    .into_response()
}

/// A stand-in for the instance metadata service, version 2: without a session token it answers 401.
pub struct InstanceMetadata {
    serving: Serving,
    log: Log<String>,
}

impl InstanceMetadata {
    pub async fn start() -> Self {
        let log = Log::default();
        let router = Router::new()
            .route("/latest/api/token", put(imds_token))
            .route("/latest/meta-data/{*path}", get(imds))
            .with_state(log.clone());
        Self {
            serving: Serving::router(router).await,
            log,
        }
    }

    /// Returns the value for `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub fn url(&self) -> String {
        self.serving.url()
    }

    /// Returns the paths that were asked for so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }
}

async fn imds_token(State(log): State<Log<String>>, headers: HeaderMap) -> Response {
    log.lock().push("token".to_owned());
    match headers.get("x-aws-ec2-metadata-token-ttl-seconds") {
        Some(ttl) => (
            [("x-aws-ec2-metadata-token-ttl-seconds", ttl.clone())],
            "session",
        )
            .into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn imds(
    State(log): State<Log<String>>,
    axum::extract::Path(path): axum::extract::Path<String>,
    headers: HeaderMap,
) -> Response {
    log.lock().push(path.clone());
    if headers
        .get("x-aws-ec2-metadata-token")
        .is_none_or(|token| token != "session")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match path.as_str() {
        "iam/security-credentials/" => "node".into_response(),
        "iam/security-credentials/node" => Json(json!({
            "Code": "Success",
            "LastUpdated": expiration(-60),
            "Type": "AWS-HMAC",
            "AccessKeyId": "ASIAXXXXXXXXNODE",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": expiration(3600),
        }))
        .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
