//! The live catalog: `ListInferenceProfiles` and `ListFoundationModels` of Amazon Bedrock. The only place that knows the
//! AWS SDK.
//!
//! `network` is how requests travel, `failure` what a failed one means, `models` how foundation models are read.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html>

mod failure;
mod models;
mod network;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_bedrock::{
    Client,
    config::{self, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    operation::list_inference_profiles::ListInferenceProfilesOutput,
    types::InferenceProfileType,
};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use futures::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

pub use network::Resolver;

use self::{
    failure::{Action, Asked, Failure},
    network::{Host, SystemResolver},
};
use crate::{
    api::condition::Reason,
    catalog::{
        Access, Catalog, CatalogError, FeedKey, FoundationModel, Source, SourceKind, Usability,
        embedded::Embedded,
        listing::{self, ModelReference, Summary},
        roles::AllowedRoles,
    },
    types::{Arn, ModelId, Region, RoleArn},
};

/// The most that AWS gives on one page.
const PAGE_SIZE: i32 = 1000;
/// More pages than any account has: a listing that goes on after them goes round in circles.
const MAX_PAGES: usize = 100;
/// The longest name of a session of a role.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const MAX_SESSION_NAME: usize = 64;

/// How the live catalog is asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The operator's own region: where credentials are obtained (STS).
    pub region: Region,
    /// Where to send requests for a region instead of its endpoint.
    pub endpoints: BTreeMap<Region, String>,
    /// Where to send requests for all other regions. Without it `AWS_ENDPOINT_URL_BEDROCK` and the shared configuration
    /// file are honoured.
    pub endpoint_url: Option<String>,
    /// Where to send requests to STS. Without it `AWS_ENDPOINT_URL_STS` and the shared configuration file are honoured.
    pub sts_endpoint_url: Option<String>,
    /// Credentials to use instead of what the environment provides.
    pub credentials: Option<SharedCredentialsProvider>,
    /// The roles that may be assumed.
    pub allowed_roles: AllowedRoles,
    /// What CloudTrail shows as name of the sessions of these roles.
    pub session_name: SessionName,
    /// Certificates of authorities to trust besides those of the system, in PEM.
    pub ca_bundle: Option<Vec<u8>>,
    /// What is known of regions, for messages.
    pub embedded: &'static Embedded,
    /// Resolves host names.
    pub resolver: Arc<dyn Resolver>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How often a request is tried in all, at least once.
    pub attempts: u32,
}

impl Options {
    /// Returns the usual options for an operator in `region`: credentials from the environment, no roles, three attempts.
    #[must_use]
    pub fn new(region: Region, embedded: &'static Embedded) -> Self {
        Self {
            session_name: SessionName::of(&region),
            region,
            endpoints: BTreeMap::new(),
            endpoint_url: None,
            sts_endpoint_url: None,
            credentials: None,
            allowed_roles: AllowedRoles::default(),
            ca_bundle: None,
            embedded,
            resolver: Arc::new(SystemResolver),
            timeouts: Timeouts::default(),
            attempts: 3,
        }
    }
}

/// The name of a session of a role, by which CloudTrail tells who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionName(String);

impl SessionName {
    /// Returns the name of an operator in a region.
    #[must_use]
    pub fn of(region: &Region) -> Self {
        let mut name = format!("inference-profile-operator-{region}");
        name.truncate(MAX_SESSION_NAME);
        Self(name)
    }
}

impl std::str::FromStr for SessionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let character = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !(2..=MAX_SESSION_NAME).contains(&text.len()) || !text.chars().all(character) {
            return Err("expected 2 to 64 letters, digits and characters of _+=,.@-");
        }
        Ok(Self(text.to_owned()))
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

/// The live service, with one control plane per role and region.
///
/// Only what answered is kept: bindings can name regions and roles that there are not, again and again others.
#[derive(Debug)]
pub struct Bedrock {
    config: SdkConfig,
    options: Options,
    planes: Mutex<HashMap<FeedKey, Arc<ControlPlane>>>,
    /// One provider per role, whatever the number of regions: it is what credentials are cached by.
    roles: Mutex<HashMap<RoleArn, SharedCredentialsProvider>>,
    behind_proxy: bool,
}

/// The control plane of one region as one role sees it.
#[derive(Debug)]
struct ControlPlane {
    client: Client,
    host: Host,
    /// Nothing for the operator's own credentials.
    role: Option<AssumedRole>,
    models: Mutex<KnownModels>,
}

/// A role and what assumes it.
#[derive(Debug)]
struct AssumedRole {
    arn: RoleArn,
    external_id: Option<Arc<str>>,
    credentials: SharedCredentialsProvider,
}

/// The foundation models that were listed last.
#[derive(Debug, Default)]
struct KnownModels {
    last: Option<Vec<FoundationModel>>,
    /// Whether the log has that they can't be listed.
    warned: bool,
}

impl Bedrock {
    /// Returns the live catalog. Reads the environment and the shared configuration files, and sends nothing:
    /// credentials are obtained with the first listing.
    ///
    /// # Errors
    /// [`CatalogError::EndpointUnreachable`] where the certificates to trust are none.
    pub async fn connect(options: Options) -> Result<Self, CatalogError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(options.timeouts.connect)
            .read_timeout(options.timeouts.read)
            .operation_attempt_timeout(options.timeouts.attempt)
            .operation_timeout(options.timeouts.operation)
            .build();
        let http = network::http_client(options.ca_bundle.clone(), options.resolver.clone())
            .map_err(|problem| {
                CatalogError::EndpointUnreachable(format!(
                    "the file in AWS_CA_BUNDLE {problem}: name a file of PEM certificates of authorities, or unset it"
                ))
            })?;
        // The region is given, so that the instance metadata service is not asked for it.
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(config::Region::new(options.region.to_string()))
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(options.attempts))
            .http_client(http);
        if let Some(credentials) = &options.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        Ok(Self {
            config: loader.load().await,
            options,
            planes: Mutex::default(),
            roles: Mutex::default(),
            behind_proxy: network::behind_proxy(),
        })
    }

    /// Returns the control plane of a feed; checks the role, and sends nothing.
    async fn plane(&self, key: &FeedKey) -> Result<Arc<ControlPlane>, CatalogError> {
        if let Some(plane) = self.planes.lock().get(key) {
            return Ok(plane.clone());
        }
        let host = Host::default();
        let mut builder = config::Builder::from(&self.config)
            .region(config::Region::new(key.region.to_string()))
            .interceptor(host.clone());
        let url = self.options.endpoints.get(&key.region);
        if let Some(url) = url.or(self.options.endpoint_url.as_ref()) {
            builder = builder.endpoint_url(url);
        }
        let mut role = None;
        if let Some(arn) = &key.role {
            let assumed = self.assume(arn, &key.region).await?;
            // Wrapped anew it would have a cache of its own, and each region would assume the role again.
            builder.set_credentials_provider(Some(assumed.credentials.clone()));
            // A key in AWS_BEARER_TOKEN_BEDROCK would otherwise come before the role.
            builder = builder.auth_scheme_preference([AuthSchemeId::from("sigv4")]);
            role = Some(assumed);
        }
        Ok(Arc::new(ControlPlane {
            client: Client::from_conf(builder.build()),
            host,
            role,
            models: Mutex::default(),
        }))
    }

    /// Keeps a control plane that answered.
    fn keep(&self, key: &FeedKey, plane: &Arc<ControlPlane>) {
        if let Some(role) = &plane.role {
            self.roles
                .lock()
                .entry(role.arn.clone())
                .or_insert_with(|| role.credentials.clone());
        }
        self.planes
            .lock()
            .entry(key.clone())
            .or_insert_with(|| plane.clone());
    }

    /// Returns the external ID of a role, if it may be assumed at all. Which namespaces may use it was checked where the
    /// feed was asked for.
    fn check_role(
        &self,
        role: &RoleArn,
        region: &Region,
    ) -> Result<Option<Arc<str>>, CatalogError> {
        let permission = self
            .options
            .allowed_roles
            .permits_anywhere(role)
            .map_err(|refusal| CatalogError::RoleNotAllowed(refusal.to_string()))?;
        let refuse = |message| Err(CatalogError::RoleNotAllowed(message));
        let of_role = Arn::parse(role.as_str()).map_or("none", |arn| arn.partition);
        let (own, partition) = (&self.options.region, region.partition().name);
        if of_role != partition {
            return refuse(format!(
                "the role {role} is of the partition {of_role}, sourceRegion {region} of {partition}, and roles hold in one \
                 partition only: set roleARN to a role of {partition}, or leave it out"
            ));
        }
        if of_role != own.partition().name {
            return refuse(format!(
                "the role {role} is of the partition {of_role}, the operator's region {own} of {}, and roles are assumed in \
                 one partition only: serve {region} by an operator of {of_role}",
                own.partition().name
            ));
        }
        Ok(permission.external_id)
    }

    /// Returns a role for a region, if it may be assumed; sends nothing.
    async fn assume(&self, arn: &RoleArn, region: &Region) -> Result<AssumedRole, CatalogError> {
        let external_id = self.check_role(arn, region)?;
        let known = self.roles.lock().get(arn).cloned();
        let credentials = match known {
            Some(credentials) => credentials,
            None => self.role_provider(arn, external_id.as_deref()).await,
        };
        Ok(AssumedRole {
            arn: arn.clone(),
            external_id,
            credentials,
        })
    }

    async fn role_provider(
        &self,
        role: &RoleArn,
        external_id: Option<&str>,
    ) -> SharedCredentialsProvider {
        let mut config = self.config.clone();
        if let Some(url) = &self.options.sts_endpoint_url {
            config = config.into_builder().endpoint_url(url).build();
        }
        let mut builder = AssumeRoleProvider::builder(role.as_str())
            .session_name(&self.options.session_name.0)
            .configure(&config);
        if let Some(external_id) = external_id {
            builder = builder.external_id(external_id);
        }
        SharedCredentialsProvider::new(builder.build().await)
    }

    async fn listing(&self, key: &FeedKey) -> Result<Catalog, CatalogError> {
        let plane = self.plane(key).await?;
        let summaries = match summaries(&plane.client).await {
            Ok(summaries) => summaries,
            Err(Interrupted::PagesWithoutEnd) => {
                return Err(CatalogError::ServiceError(format!(
                    "Bedrock in {} answered with pages without end; the operator tries again",
                    key.region
                )));
            }
            Err(Interrupted::Failed(Failure::NameNotResolved))
                if self.region_has_no_bedrock(&plane, &key.region).await =>
            {
                return Ok(catalog(key, listing::Profiles::default()));
            }
            Err(Interrupted::Failed(failure)) => {
                return Err(self.classify(&failure, &plane, key, Action::ListInferenceProfiles));
            }
        };
        let found = listing::profiles(&summaries, &key.region).map_err(|contradiction| {
            CatalogError::ServiceError(format!(
                "the endpoint that was asked for {} answered for something else ({contradiction}): check \
                 AWS_ENDPOINT_URL_BEDROCK and --bedrock-endpoint",
                key.region
            ))
        })?;
        self.keep(key, &plane);
        let models = self.models(&plane, key).await;
        Ok(catalog(key, found).with_models(models))
    }

    /// Says whether a region whose name did not resolve definitely has no Bedrock: an outcome, not a failure.
    ///
    /// The network is asked first and the data last, because the data age: a region can be newer than they are, and Bedrock
    /// can have come to one that had none. A name that does not resolve proves nothing alone either: DNS may fail. So all
    /// of this must hold:
    /// - the data have no Bedrock in that region, and it never answered;
    /// - the name is AWS's own, not one that was configured, and no proxy resolves it in our place;
    /// - another of AWS's names does resolve: STS in the operator's own region.
    ///
    /// In all other cases it stays an error, and what is written stays too.
    async fn region_has_no_bedrock(&self, plane: &ControlPlane, region: &Region) -> bool {
        let regions = self.options.embedded.regions();
        let known = regions.facts(region).is_some_and(|facts| facts.bedrock)
            || self
                .planes
                .lock()
                .keys()
                .any(|known| known.region == *region);
        let public = plane
            .host
            .get()
            .is_some_and(|host| failure::is_public_host(host, region));
        if known || !public || self.behind_proxy {
            return false;
        }
        let own = &self.options.region;
        let witness = format!("sts.{own}.{}", own.partition().dns_suffix);
        self.options
            .resolver
            .addresses(&witness)
            .await
            .is_ok_and(|addresses| !addresses.is_empty())
    }

    /// Returns the foundation models of a region. Where they may not be listed there are none; where listing them fails
    /// otherwise, those of the last time count.
    async fn models(&self, plane: &ControlPlane, key: &FeedKey) -> Option<Vec<FoundationModel>> {
        let answer = plane.client.list_foundation_models().send().await;
        let mut known = plane.models.lock();
        match answer {
            Ok(output) => {
                let models = output.model_summaries();
                known.last = Some(models.iter().filter_map(models::foundation_model).collect());
                known.warned = false;
            }
            Err(error) => {
                let failure = failure::failure(&error, SystemTime::now());
                let error = self.classify(&failure, plane, key, Action::ListFoundationModels);
                if error.reason() == Reason::AccessDenied {
                    known.last = None;
                }
                if !std::mem::replace(&mut known.warned, true) {
                    tracing::warn!(
                        region = %key.region,
                        role = key.role.as_ref().map(RoleArn::as_str),
                        %error,
                        "foundation models can't be listed: nothing is known of their lifecycle"
                    );
                }
            }
        }
        known.last.clone()
    }

    fn classify(
        &self,
        failure: &Failure,
        plane: &ControlPlane,
        key: &FeedKey,
        action: Action,
    ) -> CatalogError {
        let asked = Asked {
            action,
            region: &key.region,
            regions: self.options.embedded.regions(),
            own_region: &self.options.region,
            host: plane.host.get(),
            role: key.role.as_ref().map(RoleArn::as_str),
            external_id: plane
                .role
                .as_ref()
                .is_some_and(|role| role.external_id.is_some()),
        };
        failure::classify(failure, asked)
    }
}

impl Source for Bedrock {
    fn kind(&self) -> SourceKind {
        SourceKind::Bedrock
    }

    /// Asks for all pages, then for the foundation models. A role that is not allowed is refused without asking.
    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
        self.listing(key).boxed()
    }

    fn access(&self) -> Option<&dyn Access> {
        Some(self)
    }
}

impl Access for Bedrock {
    /// Asks once. A role that is not allowed is refused without asking.
    fn usability<'a>(
        &'a self,
        key: &'a FeedKey,
        model: &'a ModelId,
    ) -> BoxFuture<'a, Result<Usability, CatalogError>> {
        async move {
            let plane = self.plane(key).await?;
            let answer = plane
                .client
                .get_foundation_model_availability()
                .model_id(model.as_str())
                .send()
                .await;
            match answer {
                Ok(answer) => Ok(models::usability(&answer, model, &key.region)),
                Err(error) => {
                    let failure = failure::failure(&error, SystemTime::now());
                    Err(self.classify(
                        &failure,
                        &plane,
                        key,
                        Action::GetFoundationModelAvailability,
                    ))
                }
            }
        }
        .boxed()
    }
}

fn catalog(key: &FeedKey, found: listing::Profiles) -> Catalog {
    Catalog::new(
        SourceKind::Bedrock,
        key.region.clone(),
        found.account,
        None,
        found.profiles,
    )
}

/// Why a listing was not had to its end.
enum Interrupted {
    Failed(Failure),
    PagesWithoutEnd,
}

impl<E> From<SdkError<E, HttpResponse>> for Interrupted
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        Self::Failed(failure::failure(&error, SystemTime::now()))
    }
}

async fn summaries(client: &Client) -> Result<Vec<Summary>, Interrupted> {
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
            .await?;
        token = page.next_token().map(ToOwned::to_owned);
        summaries.extend(summaries_of(page));
        let Some(token) = &token else {
            return Ok(summaries);
        };
        if !tokens.insert(token.clone()) || tokens.len() == MAX_PAGES {
            return Err(Interrupted::PagesWithoutEnd);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_are_what_sts_takes() {
        let region: Region = "eu-west-1".parse().expect("region");
        assert_eq!(
            SessionName::of(&region).0,
            "inference-profile-operator-eu-west-1"
        );
        let longest: Region = "abcde-abcdefghijkl-abcdefghijkl-abcdefghijkl-12"
            .parse()
            .expect("region");
        assert!(SessionName::of(&longest).0.parse::<SessionName>().is_ok());
        for (text, good) in [
            ("cluster-1", true),
            ("a@b.c", true),
            ("x", false),
            ("", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(text.parse::<SessionName>().is_ok(), good, "{text}");
        }
        assert!("x".repeat(65).parse::<SessionName>().is_err());
    }
}
