//! The SDK's clients, one for each role and region, and the credentials that they sign with.

use std::{collections::HashMap, sync::Arc};

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, sts::AssumeRoleProvider, timeout::TimeoutConfig,
};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_bedrock::{Client, config};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use parking_lot::Mutex;

use super::{
    network::{self, Clock, Host},
    options::Options,
    requests::Counted,
};
use crate::{
    catalog::{CatalogError, FeedKey, FoundationModel},
    types::{Arn, Region, RoleArn},
};

/// Makes clients, and keeps those that got an answer.
///
/// The others are dropped, because bindings can name any number of regions and roles that do not exist.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) config: SdkConfig,
    pub(super) options: Options,
    known: Mutex<HashMap<FeedKey, Arc<FeedClient>>>,
    /// One provider per role for all regions: credentials are cached by provider.
    roles: Mutex<HashMap<RoleArn, SharedCredentialsProvider>>,
}

/// The client of one feed: it asks one region's control plane as one role.
#[derive(Debug)]
pub(super) struct FeedClient {
    pub(super) sdk: Client,
    pub(super) host: Host,
    pub(super) clock: Clock,
    /// `None` for the operator's own credentials.
    pub(super) role: Option<AssumedRole>,
    pub(super) models: Mutex<KnownModels>,
}

/// The foundation models that were listed last.
#[derive(Debug, Default)]
pub(super) struct KnownModels {
    pub(super) last: Option<Vec<FoundationModel>>,
    /// Whether the log says already that they can't be listed.
    pub(super) warned: bool,
}

/// A role, and the provider of its credentials.
#[derive(Debug)]
pub(super) struct AssumedRole {
    arn: RoleArn,
    pub(super) external_id: Option<Arc<str>>,
    credentials: SharedCredentialsProvider,
}

/// Reads the environment and the shared configuration files. Sends nothing.
///
/// # Errors
/// [`CatalogError::EndpointUnreachable`] if the CA bundle can't be used.
pub(in crate::sources) async fn sdk_config(options: &Options) -> Result<SdkConfig, CatalogError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(options.timeouts.connect)
        .read_timeout(options.timeouts.read)
        .operation_attempt_timeout(options.timeouts.attempt)
        .operation_timeout(options.timeouts.operation)
        .build();
    let http = network::http_client(options.ca_bundle.clone(), options.resolver.clone())
        .map_err(|problem| {
            CatalogError::EndpointUnreachable(format!(
                "the file in AWS_CA_BUNDLE {problem}: name a file of CA certificates in PEM, or unset it"
            ))
        })?;
    // With a region given, the instance metadata service is not asked for one.
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(config::Region::new(options.region.to_string()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(options.attempts))
        .http_client(http);
    if let Some(credentials) = &options.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    Ok(loader.load().await)
}

impl Clients {
    /// Reads the environment and the shared configuration files. Sends nothing: credentials are obtained by the first request.
    pub(super) async fn new(options: Options) -> Result<Self, CatalogError> {
        Ok(Self {
            config: sdk_config(&options).await?,
            options,
            known: Mutex::default(),
            roles: Mutex::default(),
        })
    }

    /// Returns the client of a feed, if its role may be assumed. Sends nothing.
    pub(super) async fn of(&self, key: &FeedKey) -> Result<Arc<FeedClient>, CatalogError> {
        if let Some(client) = self.known.lock().get(key) {
            return Ok(client.clone());
        }
        let (host, clock) = (Host::default(), Clock::default());
        let mut builder = config::Builder::from(&self.config)
            .region(config::Region::new(key.region.to_string()))
            .interceptor(host.clone())
            .interceptor(clock.clone());
        let url = self.options.endpoints.get(&key.region);
        if let Some(url) = url.or(self.options.endpoint_url.as_ref()) {
            builder = builder.endpoint_url(url);
        }
        if let Some(counter) = &self.options.counter {
            builder = builder.interceptor(Counted(counter.clone()));
        }
        let mut role = None;
        if let Some(arn) = &key.role {
            let assumed = self.assume(arn, &key.region).await?;
            // A new wrapper would have its own cache, and each region would assume the role again.
            builder.set_credentials_provider(Some(assumed.credentials.clone()));
            // Otherwise an API key in AWS_BEARER_TOKEN_BEDROCK would take precedence over the role.
            builder = builder.auth_scheme_preference([AuthSchemeId::from("sigv4")]);
            role = Some(assumed);
        }
        Ok(Arc::new(FeedClient {
            sdk: Client::from_conf(builder.build()),
            host,
            clock,
            role,
            models: Mutex::default(),
        }))
    }

    /// Keeps a client that got an answer.
    pub(super) fn keep(&self, key: &FeedKey, client: &Arc<FeedClient>) {
        if let Some(role) = &client.role {
            self.roles
                .lock()
                .entry(role.arn.clone())
                .or_insert_with(|| role.credentials.clone());
        }
        self.known
            .lock()
            .entry(key.clone())
            .or_insert_with(|| client.clone());
    }

    /// Returns whether a region has answered any role.
    pub(super) fn have_reached(&self, region: &Region) -> bool {
        self.known
            .lock()
            .keys()
            .any(|known| known.region == *region)
    }

    /// Returns the external ID of a role, if it may be assumed at all. Whether the namespace may use it was checked when the
    /// feed was requested.
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
                "the role {role} is in the partition {of_role}, sourceRegion {region} in {partition}, and a role is valid in one \
                 partition only: set roleARN to a role of {partition}, or leave it out"
            ));
        }
        if of_role != own.partition().name {
            return refuse(format!(
                "the role {role} is in the partition {of_role}, the operator's region {own} in {}, and a role is valid in one \
                 partition only: serve {region} by an operator in {of_role}",
                own.partition().name
            ));
        }
        Ok(permission.external_id)
    }

    /// Returns a role for a region, if it may be assumed. Sends nothing.
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

    /// Returns the configuration of STS.
    pub(super) fn sts_config(&self) -> SdkConfig {
        match &self.options.sts_endpoint_url {
            Some(url) => self.config.to_builder().endpoint_url(url).build(),
            None => self.config.clone(),
        }
    }

    async fn role_provider(
        &self,
        role: &RoleArn,
        external_id: Option<&str>,
    ) -> SharedCredentialsProvider {
        let config = self.sts_config();
        let mut builder = AssumeRoleProvider::builder(role.as_str())
            .session_name(self.options.session_name.as_str())
            .configure(&config);
        if let Some(external_id) = external_id {
            builder = builder.external_id(external_id);
        }
        SharedCredentialsProvider::new(builder.build().await)
    }
}
