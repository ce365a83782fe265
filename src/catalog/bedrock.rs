//! The live catalog: `ListInferenceProfiles` of Amazon Bedrock. The only place that knows the AWS SDK.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::{SharedCredentialsProvider, error::CredentialsError};
use aws_sdk_bedrock::{
    Client,
    config::{self, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    operation::list_inference_profiles::{ListInferenceProfilesError, ListInferenceProfilesOutput},
    types::InferenceProfileType,
};
use futures::future::{BoxFuture, FutureExt};

use super::{
    Catalog, CatalogError, FeedKey, Source, SourceKind,
    listing::{self, ModelReference, Summary},
};
use crate::types::{Arn, Region};

/// The most that AWS gives on one page.
const PAGE_SIZE: i32 = 1000;
/// More pages than any account has: a listing that goes on after them goes round in circles.
const MAX_PAGES: usize = 100;

/// How the live catalog is asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The operator's own region: where credentials are obtained (STS).
    pub region: Region,
    /// Where to send requests instead of the region's endpoint. Without it `AWS_ENDPOINT_URL_BEDROCK` and the shared
    /// configuration file are honoured.
    pub endpoint_url: Option<String>,
    /// Credentials to use instead of what the environment provides.
    pub credentials: Option<SharedCredentialsProvider>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How often a request is tried in all, at least once.
    pub attempts: u32,
}

impl Options {
    /// Returns the usual options for an operator in `region`: credentials from the environment, three attempts.
    #[must_use]
    pub fn new(region: Region) -> Self {
        Self {
            region,
            endpoint_url: None,
            credentials: None,
            timeouts: Timeouts::default(),
            attempts: 3,
        }
    }
}

/// How long a request for one page may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect.
    pub connect: Duration,
    /// To the first byte of the answer.
    pub read: Duration,
    /// For one attempt.
    pub attempt: Duration,
    /// For all attempts and the waits between them.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(10),
            attempt: Duration::from_secs(15),
            operation: Duration::from_secs(45),
        }
    }
}

/// The live service, with one client per region.
#[derive(Debug)]
pub struct Bedrock {
    config: SdkConfig,
    endpoint_url: Option<String>,
    clients: Mutex<HashMap<Region, Client>>,
}

impl Bedrock {
    /// Returns the live catalog. Reads the environment and the shared configuration files, and sends nothing:
    /// credentials are obtained with the first listing.
    pub async fn connect(options: Options) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(options.timeouts.connect)
            .read_timeout(options.timeouts.read)
            .operation_attempt_timeout(options.timeouts.attempt)
            .operation_timeout(options.timeouts.operation)
            .build();
        // The region is given, so that the instance metadata service is not asked for it.
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(config::Region::new(options.region.to_string()))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(options.attempts));
        if let Some(credentials) = options.credentials {
            loader = loader.credentials_provider(credentials);
        }
        Self {
            config: loader.load().await,
            endpoint_url: options.endpoint_url,
            clients: Mutex::default(),
        }
    }

    fn client(&self, region: &Region) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry(region.clone()).or_insert_with(|| {
            let mut builder =
                config::Builder::from(&self.config).region(config::Region::new(region.to_string()));
            if let Some(url) = &self.endpoint_url {
                builder = builder.endpoint_url(url);
            }
            Client::from_conf(builder.build())
        });
        client.clone()
    }

    async fn listing(&self, key: &FeedKey) -> Result<Catalog, CatalogError> {
        if let Some(role) = &key.role {
            return Err(CatalogError::RoleNotAllowed(format!(
                "this operator allows no roles: remove roleARN {role} from the binding"
            )));
        }
        let summaries = self.summaries(&key.region).await?;
        let found = listing::profiles(&summaries, &key.region).map_err(|contradiction| {
            CatalogError::ServiceError(format!(
                "the endpoint that was asked for {} answered for something else ({contradiction}): check \
                 AWS_ENDPOINT_URL_BEDROCK",
                key.region
            ))
        })?;
        Ok(Catalog::new(
            SourceKind::Bedrock,
            key.region.clone(),
            found.account,
            None,
            found.profiles,
        ))
    }

    async fn summaries(&self, region: &Region) -> Result<Vec<Summary>, CatalogError> {
        let client = self.client(region);
        let mut summaries = Vec::new();
        let mut token = None;
        let mut tokens = HashSet::new();
        loop {
            let page = client
                .list_inference_profiles()
                .type_equals(InferenceProfileType::SystemDefined)
                .max_results(PAGE_SIZE)
                .set_next_token(token)
                .send()
                .await
                .map_err(|error| classify(failure(&error), region))?;
            token = page.next_token().map(ToOwned::to_owned);
            summaries.extend(summaries_of(page));
            let Some(token) = &token else {
                return Ok(summaries);
            };
            if !tokens.insert(token.clone()) || tokens.len() == MAX_PAGES {
                return Err(CatalogError::ServiceError(format!(
                    "Bedrock in {region} answered with pages without end; the operator tries again"
                )));
            }
        }
    }
}

impl Source for Bedrock {
    fn kind(&self) -> SourceKind {
        SourceKind::Bedrock
    }

    /// Asks for all pages. A role is refused without asking.
    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
        self.listing(key).boxed()
    }
}

fn summaries_of(page: ListInferenceProfilesOutput) -> impl Iterator<Item = Summary> {
    page.inference_profile_summaries
        .unwrap_or_default()
        .into_iter()
        .map(|summary| Summary {
            inference_profile_name: summary.inference_profile_name,
            inference_profile_arn: summary.inference_profile_arn,
            models: summary
                .models
                .into_iter()
                .map(|model| ModelReference {
                    model_arn: model.model_arn.unwrap_or_default(),
                })
                .collect(),
            inference_profile_id: summary.inference_profile_id,
            status: summary.status.as_str().to_owned(),
            kind: summary.r#type.as_str().to_owned(),
        })
}

/// What is known of a failed request, without anything that differs between two equal failures.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// AWS answered with an error.
    Answer {
        code: Option<String>,
        status: u16,
        message: Option<String>,
        retry_after: Option<Duration>,
    },
    /// An answer that is not one of Bedrock.
    NotUnderstood { status: u16 },
    /// The host name has no address.
    NameNotResolved,
    /// No connection, or one that broke.
    NoConnection,
    /// No answer in time.
    TimedOut,
    /// Nothing provides credentials.
    NoCredentials,
    /// Something provides credentials, and failed to.
    CredentialsFailed,
    /// The request could not even be made.
    NotSent,
}

fn failure(error: &SdkError<ListInferenceProfilesError, HttpResponse>) -> Failure {
    match error {
        SdkError::ServiceError(answer) if !answer.raw().status().is_success() => Failure::Answer {
            code: answer.err().code().map(ToOwned::to_owned),
            status: answer.raw().status().as_u16(),
            message: answer.err().message().map(ToOwned::to_owned),
            retry_after: answer
                .raw()
                .headers()
                .get("retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
        },
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => Failure::NotUnderstood {
            status: error.raw_response().map_or(0, |raw| raw.status().as_u16()),
        },
        SdkError::TimeoutError(_) => Failure::TimedOut,
        SdkError::DispatchFailure(dispatch) => {
            if let Some(credentials) = find::<CredentialsError>(error) {
                return match credentials {
                    CredentialsError::CredentialsNotLoaded(_) => Failure::NoCredentials,
                    _ => Failure::CredentialsFailed,
                };
            }
            // The HTTP client gives the resolver's failure no type of its own.
            let unresolved = causes(error).any(|cause| cause.to_string().starts_with("dns error"));
            if unresolved {
                Failure::NameNotResolved
            } else if dispatch.is_timeout() {
                Failure::TimedOut
            } else {
                Failure::NoConnection
            }
        }
        _ => Failure::NotSent,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Codes that mean: slow down.
const THROTTLING: &[&str] = &[
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceQuotaExceededException",
    "SlowDown",
];
/// Codes that mean: these credentials are no good.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>
const BAD_CREDENTIALS: &[&str] = &[
    "UnrecognizedClientException",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "AuthFailure",
];

/// Returns what a failure means and what to do about it: equal failures make equal texts.
fn classify(failure: Failure, region: &Region) -> CatalogError {
    let host = format!("bedrock.{region}.{}", region.partition().dns_suffix);
    match failure {
        Failure::Answer {
            code,
            status,
            message,
            retry_after,
        } => {
            let code = code.as_deref().unwrap_or_default();
            if status == 429 || THROTTLING.contains(&code) {
                CatalogError::Throttled {
                    message: format!(
                        "Bedrock in {region} limits the rate of requests; the operator tries again by itself"
                    ),
                    retry_after,
                }
            } else if BAD_CREDENTIALS.contains(&code) {
                CatalogError::CredentialsUnavailable(format!(
                    "Bedrock in {region} does not accept the operator's credentials ({code}): check that they are not \
                     expired, that they are of the partition {}, that the account has opted in to {region}, and that \
                     the clock is right",
                    region.partition().name
                ))
            } else if status == 401 || status == 403 {
                CatalogError::AccessDenied(denied(message.as_deref(), region))
            } else {
                let code = if code.is_empty() { "no code" } else { code };
                CatalogError::ServiceError(format!(
                    "Bedrock in {region} failed (HTTP {status}, {code}); the operator tries again by itself; see \
                     https://health.aws.amazon.com if it goes on"
                ))
            }
        }
        Failure::NotUnderstood { status } => CatalogError::ServiceError(format!(
            "the answer for {region} is not one of Bedrock (HTTP {status}): check proxies and AWS_ENDPOINT_URL_BEDROCK"
        )),
        Failure::NameNotResolved => CatalogError::EndpointUnreachable(format!(
            "the name of the Bedrock control plane of {region} does not resolve ({host}, unless \
             AWS_ENDPOINT_URL_BEDROCK is set): check that Bedrock is offered in {region}, DNS, and that a VPC endpoint \
             is one of `bedrock`, not only of `bedrock-runtime`"
        )),
        Failure::NoConnection => CatalogError::EndpointUnreachable(format!(
            "no connection to the Bedrock control plane of {region} ({host}, unless AWS_ENDPOINT_URL_BEDROCK is set): \
             check egress rules, proxies and the VPC endpoint of `bedrock`"
        )),
        Failure::TimedOut => CatalogError::EndpointUnreachable(format!(
            "the Bedrock control plane of {region} ({host}, unless AWS_ENDPOINT_URL_BEDROCK is set) did not answer in \
             time: check egress rules, proxies and the VPC endpoint of `bedrock`"
        )),
        Failure::NoCredentials => CatalogError::CredentialsUnavailable(
            "no AWS credentials were found: give the operator's service account an IAM role (EKS Pod Identity or \
             IRSA), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without an account use --catalog embedded"
                .to_owned(),
        ),
        Failure::CredentialsFailed => CatalogError::CredentialsUnavailable(
            "AWS credentials could not be obtained: check that the role exists, that its trust policy names the \
             operator's service account, and that STS or the Pod Identity agent can be reached"
                .to_owned(),
        ),
        Failure::NotSent => CatalogError::ServiceError(format!(
            "the request for {region} could not be made: check the AWS configuration (AWS_ENDPOINT_URL_BEDROCK, the \
             shared configuration file)"
        )),
    }
}

/// Returns who may not list and why, as far as AWS says so in its usual form; the name of the session, which differs
/// each time, is left out.
fn denied(message: Option<&str>, region: &Region) -> String {
    let (who, resource) = message
        .and_then(|message| {
            message
                .split_once("User: ")?
                .1
                .split_once(" is not authorized")
        })
        .and_then(|(user, _)| principal(user))
        .unwrap_or_else(|| ("the operator".to_owned(), "ACCOUNT".to_owned()));
    let why = message.and_then(reason).unwrap_or_default();
    format!(
        "{who} may not list the inference profiles of {region}{why}: allow bedrock:ListInferenceProfiles on \
         arn:{}:bedrock:*:{resource}:inference-profile/*",
        region.partition().name
    )
}

/// Returns a principal without its session, and its account.
fn principal(user: &str) -> Option<(String, String)> {
    let arn = Arn::parse(user).ok()?;
    let account = arn.account?.to_string();
    let who = match arn.resource.strip_prefix("assumed-role/") {
        Some(role) => {
            let role = role.rsplit_once('/').map_or(role, |(role, _session)| role);
            format!("the role {role} of account {account}")
        }
        None => user.to_owned(),
    };
    Some((who, account))
}

/// Returns AWS's reason where it is one of the sentences it is known to give.
fn reason(message: &str) -> Option<String> {
    let start = message
        .find("because no ")
        .or_else(|| message.find("with an explicit deny in "))?;
    let reason = message[start..].split(['\n', '.', '(']).next()?.trim_end();
    (reason.len() <= 160).then(|| format!(", {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    fn answer(status: u16, code: &str, message: &str) -> Failure {
        Failure::Answer {
            code: (!code.is_empty()).then(|| code.to_owned()),
            status,
            message: (!message.is_empty()).then(|| message.to_owned()),
            retry_after: None,
        }
    }

    #[test]
    fn each_failure_has_its_class() {
        use crate::api::condition::Reason;

        for (failure, reason) in [
            (
                answer(403, "AccessDeniedException", ""),
                Reason::AccessDenied,
            ),
            (answer(403, "", ""), Reason::AccessDenied),
            (
                answer(403, "UnrecognizedClientException", ""),
                Reason::CredentialsUnavailable,
            ),
            (
                answer(403, "ExpiredTokenException", ""),
                Reason::CredentialsUnavailable,
            ),
            (
                answer(403, "InvalidSignatureException", ""),
                Reason::CredentialsUnavailable,
            ),
            (answer(429, "ThrottlingException", ""), Reason::Throttled),
            (answer(429, "", ""), Reason::Throttled),
            (answer(400, "ThrottlingException", ""), Reason::Throttled),
            (
                answer(500, "InternalServerException", ""),
                Reason::ServiceError,
            ),
            (answer(400, "ValidationException", ""), Reason::ServiceError),
            (answer(503, "", ""), Reason::ServiceError),
            (Failure::NotUnderstood { status: 200 }, Reason::ServiceError),
            (Failure::NotSent, Reason::ServiceError),
            (Failure::NameNotResolved, Reason::EndpointUnreachable),
            (Failure::NoConnection, Reason::EndpointUnreachable),
            (Failure::TimedOut, Reason::EndpointUnreachable),
            (Failure::NoCredentials, Reason::CredentialsUnavailable),
            (Failure::CredentialsFailed, Reason::CredentialsUnavailable),
        ] {
            let error = classify(failure.clone(), &region("eu-west-1"));
            assert_eq!(error.reason(), reason, "{failure:?}");
        }
    }

    #[test]
    fn a_denial_says_who_and_why_and_never_which_session() {
        let message = |session: &str, why: &str| {
            format!(
                "User: arn:aws:sts::111122223333:assumed-role/discovery/{session} is not authorized to perform: \
                 bedrock:ListInferenceProfiles on resource: arn:aws:bedrock:eu-west-2:111122223333:inference-profile/* \
                 {why}"
            )
        };
        let because =
            "because no identity-based policy allows the bedrock:ListInferenceProfiles action";
        let text = |message: &str| {
            classify(
                answer(403, "AccessDeniedException", message),
                &region("eu-west-2"),
            )
            .to_string()
        };
        assert_eq!(
            text(&message("web-identity-token-1", because)),
            "the role discovery of account 111122223333 may not list the inference profiles of eu-west-2, because no \
             identity-based policy allows the bedrock:ListInferenceProfiles action: allow \
             bedrock:ListInferenceProfiles on arn:aws:bedrock:*:111122223333:inference-profile/*"
        );
        assert_eq!(
            text(&message("web-identity-token-1", because)),
            text(&message("web-identity-token-2", because))
        );
        assert!(
            text(&message(
                "s",
                "with an explicit deny in a service control policy"
            ))
            .contains(", with an explicit deny in a service control policy: allow")
        );
        for odd in [
            "",
            "no",
            "request 4d5f1c0e-0000-4000-8000-000000000000 refused",
            "User: x is not authorized",
        ] {
            assert_eq!(
                text(odd),
                "the operator may not list the inference profiles of eu-west-2: allow bedrock:ListInferenceProfiles \
                 on arn:aws:bedrock:*:ACCOUNT:inference-profile/*"
            );
        }
    }

    #[test]
    fn the_endpoint_is_named_as_the_partition_has_it() {
        for (name, host) in [
            ("ap-east-1", "bedrock.ap-east-1.amazonaws.com"),
            ("us-gov-west-1", "bedrock.us-gov-west-1.amazonaws.com"),
            ("eusc-de-east-1", "bedrock.eusc-de-east-1.amazonaws.eu"),
        ] {
            let text = classify(Failure::NameNotResolved, &region(name)).to_string();
            assert!(text.contains(host), "{text}");
        }
    }
}
