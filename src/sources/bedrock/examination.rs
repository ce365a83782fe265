//! What `doctor` asks of AWS: each step that a listing takes, by itself.

use std::time::{Duration, SystemTime};

use aws_credential_types::{
    credential_feature::AwsCredentialFeature, provider::ProvideCredentials,
};
use aws_sdk_bedrock::types::InferenceProfileType;

use super::{
    Bedrock, Interrupted,
    advice::Action,
    client::FeedClient,
    error::{self, Failure},
    network, pages_without_end, summaries,
};
use crate::{
    api::condition::Reason,
    catalog::{CatalogError, FeedKey},
    types::{Arn, Region},
};

/// How long to wait for credentials. Their providers have timeouts of their own; a command has none.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(30);

/// What became of each step of a listing in one region.
#[derive(Debug)]
pub struct Examination {
    /// The credentials.
    pub credentials: Result<Credentials, CatalogError>,
    /// As whom AWS knows them. Needs no permission. Err: why STS did not say so. `None` without credentials.
    pub caller: Option<Result<Caller, String>>,
    /// The host that was asked. `None` before the first request.
    pub host: Option<String>,
    /// Whether it is AWS's own for the region, not a configured one.
    pub is_public_host: bool,
    /// What each permission gave. Empty without credentials; ends where the endpoint is not reached.
    pub permissions: Vec<(Permission, Result<usize, CatalogError>)>,
    /// By how many seconds the clock of this machine is ahead of AWS's. `None` if no answer told the time.
    pub seconds_ahead: Option<i64>,
}

/// Credentials that were found, without what is secret of them.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Where they came from.
    pub provider: Provider,
    /// The access key ID, which is no secret.
    pub access_key_id: String,
    /// When they end. `None` if they do not.
    pub expiry: Option<SystemTime>,
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// `AWS_ACCESS_KEY_ID`.
    Environment,
    /// Access keys, or a role, of the profile in the shared configuration files.
    Profile,
    /// A session of AWS IAM Identity Center.
    IdentityCenter,
    /// `credential_process`.
    Process,
    /// A token of a service account, and STS.
    WebIdentity,
    /// EKS Pod Identity, or another container endpoint.
    Container,
    /// The instance metadata service.
    InstanceMetadata,
    /// Not known.
    Other,
}

impl Provider {
    /// The features that the SDK notes at credentials; the first that is there says most.
    const FEATURES: [(AwsCredentialFeature, Self); 11] = [
        (
            AwsCredentialFeature::CredentialsProfileSso,
            Self::IdentityCenter,
        ),
        (AwsCredentialFeature::CredentialsSso, Self::IdentityCenter),
        (
            AwsCredentialFeature::CredentialsProfileProcess,
            Self::Process,
        ),
        (AwsCredentialFeature::CredentialsProcess, Self::Process),
        (
            AwsCredentialFeature::CredentialsEnvVarsStsWebIdToken,
            Self::WebIdentity,
        ),
        (
            AwsCredentialFeature::CredentialsStsAssumeRoleWebId,
            Self::WebIdentity,
        ),
        (AwsCredentialFeature::CredentialsHttp, Self::Container),
        (
            AwsCredentialFeature::CredentialsImds,
            Self::InstanceMetadata,
        ),
        (AwsCredentialFeature::CredentialsProfile, Self::Profile),
        (AwsCredentialFeature::CredentialsEnvVars, Self::Environment),
        (
            AwsCredentialFeature::CredentialsStsAssumeRole,
            Self::Profile,
        ),
    ];

    fn of(features: &[AwsCredentialFeature]) -> Self {
        let mut known = Self::FEATURES.into_iter();
        known
            .find(|(feature, _)| features.contains(feature))
            .map_or(Self::Other, |(_, provider)| provider)
    }

    /// Returns the provider in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "the environment (AWS_ACCESS_KEY_ID)",
            Self::Profile => "the shared configuration files",
            Self::IdentityCenter => "IAM Identity Center",
            Self::Process => "credential_process",
            Self::WebIdentity => "IAM roles for service accounts",
            Self::Container => "EKS Pod Identity or another container endpoint",
            Self::InstanceMetadata => "instance metadata",
            Self::Other => "another provider",
        }
    }
}

/// As whom AWS knows credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The ARN of the user or of the session of the role.
    pub arn: String,
    /// The account.
    pub account: String,
}

/// What an operator may need to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// `bedrock:ListInferenceProfiles` on system-defined profiles.
    SystemDefined,
    /// `bedrock:ListInferenceProfiles` on application profiles.
    Applications,
    /// `bedrock:ListFoundationModels`.
    Models,
    /// `bedrock:GetFoundationModelAvailability`.
    Availability,
}

impl Bedrock {
    /// Asks AWS for each thing that the operator asks for in a region, once. Never fails: what failed is what it returns.
    pub async fn examine(&self, region: &Region) -> Examination {
        let key = FeedKey {
            role: None,
            region: region.clone(),
        };
        let mut examination = Examination {
            credentials: Err(CatalogError::CredentialsUnavailable(String::new())),
            caller: None,
            host: None,
            is_public_host: false,
            permissions: Vec::new(),
            seconds_ahead: None,
        };
        let client = match self.clients.of(&key).await {
            Ok(client) => client,
            Err(error) => {
                examination.credentials = Err(error);
                return examination;
            }
        };
        examination.credentials = self.credentials(&client, &key).await;
        if examination.credentials.is_ok() {
            examination.caller = Some(self.caller().await);
            self.permissions(&client, &key, &mut examination.permissions)
                .await;
        }
        examination.host = client.host.get().map(ToOwned::to_owned);
        examination.is_public_host = client
            .host
            .get()
            .is_some_and(|host| network::is_public_host(host, region));
        examination.seconds_ahead = client.clock.seconds_ahead();
        examination
    }

    async fn credentials(
        &self,
        client: &FeedClient,
        key: &FeedKey,
    ) -> Result<Credentials, CatalogError> {
        let failed = |why| {
            let failure = Failure::Credentials(why);
            self.catalog_error(&failure, client, key, Action::ListInferenceProfiles)
        };
        let Some(provider) = self.clients.config.credentials_provider() else {
            return Err(failed(error::CredentialsFailure::Missing));
        };
        let asked = tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await;
        let Ok(answer) = asked else {
            return Err(failed(error::CredentialsFailure::Unreachable));
        };
        let found = answer
            .map_err(|error| failed(error::credentials_failure(&error, SystemTime::now())))?;
        let features = found.get_property::<Vec<AwsCredentialFeature>>();
        Ok(Credentials {
            provider: Provider::of(features.map_or(&[], Vec::as_slice)),
            access_key_id: found.access_key_id().to_owned(),
            expiry: found.expiry(),
        })
    }

    async fn caller(&self) -> Result<Caller, String> {
        let config = self.clients.sts_config();
        let answer = aws_sdk_sts::Client::new(&config)
            .get_caller_identity()
            .send()
            .await;
        match answer {
            Ok(answer) => {
                let arn = answer.arn().unwrap_or_default().to_owned();
                let account = Arn::parse(&arn)
                    .ok()
                    .and_then(|arn| arn.account.map(|account| account.to_string()));
                account
                    .map(|account| Caller { arn, account })
                    .ok_or_else(|| "the answer has no account".to_owned())
            }
            Err(error) => Err(match error::reduce(&error, SystemTime::now()) {
                Failure::ErrorResponse(response) => format!(
                    "STS answered HTTP {}, {}",
                    response.status,
                    response.shown_code()
                ),
                Failure::NotUnderstood { status } => {
                    format!("the answer did not come from STS (HTTP {status})")
                }
                _ => "STS can't be reached".to_owned(),
            }),
        }
    }

    async fn permissions(
        &self,
        client: &FeedClient,
        key: &FeedKey,
        permissions: &mut Vec<(Permission, Result<usize, CatalogError>)>,
    ) {
        for (permission, kind, action) in [
            (
                Permission::SystemDefined,
                InferenceProfileType::SystemDefined,
                Action::ListInferenceProfiles,
            ),
            (
                Permission::Applications,
                InferenceProfileType::Application,
                Action::ListApplicationProfiles,
            ),
        ] {
            let listed = match summaries(&client.sdk, kind).await {
                Ok(summaries) => Ok(summaries.len()),
                Err(Interrupted::PagesWithoutEnd) => Err(pages_without_end(&key.region)),
                Err(Interrupted::Failed(failure)) => {
                    Err(self.catalog_error(&failure, client, key, action))
                }
            };
            let is_cut_off = listed.as_ref().is_err_and(cuts_off);
            permissions.push((permission, listed));
            if is_cut_off {
                return;
            }
        }
        let models = client.sdk.list_foundation_models().send().await;
        let models = models.map_err(|error| {
            let failure = error::reduce(&error, SystemTime::now());
            self.catalog_error(&failure, client, key, Action::ListFoundationModels)
        });
        // Any model will do: what is asked is whether one may ask.
        let model = models.as_ref().ok().and_then(|output| {
            let first = output.model_summaries().first()?;
            Some(first.model_id().to_owned())
        });
        permissions.push((
            Permission::Models,
            models.map(|output| output.model_summaries().len()),
        ));
        let Some(model) = model else {
            return;
        };
        let availability = client
            .sdk
            .get_foundation_model_availability()
            .model_id(model)
            .send()
            .await;
        let availability = availability.map(|_| 1).map_err(|error| {
            let failure = error::reduce(&error, SystemTime::now());
            self.catalog_error(
                &failure,
                client,
                key,
                Action::GetFoundationModelAvailability,
            )
        });
        permissions.push((Permission::Availability, availability));
    }
}

/// Says whether what failed would fail all the same for every other request.
fn cuts_off(error: &CatalogError) -> bool {
    matches!(
        error.reason(),
        Reason::EndpointUnreachable | Reason::CredentialsUnavailable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_that_says_most_counts() {
        for (features, provider) in [
            (vec![], Provider::Other),
            (
                vec![AwsCredentialFeature::CredentialsEnvVars],
                Provider::Environment,
            ),
            (
                vec![
                    AwsCredentialFeature::CredentialsProcess,
                    AwsCredentialFeature::CredentialsProfile,
                ],
                Provider::Process,
            ),
            (
                vec![
                    AwsCredentialFeature::CredentialsStsAssumeRole,
                    AwsCredentialFeature::CredentialsProfile,
                ],
                Provider::Profile,
            ),
        ] {
            assert_eq!(Provider::of(&features), provider, "{features:?}");
        }
    }
}
