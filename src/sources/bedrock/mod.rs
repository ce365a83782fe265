//! The live catalog: `ListInferenceProfiles` and `ListFoundationModels` of Amazon Bedrock. The only place that knows the
//! AWS SDK.
//!
//! `options` says how AWS is asked, `client` by which clients and with whose credentials, `profile` what the shared configuration
//! files have for that, `network` how requests travel, and `requests` which there were. `examination` tries all of it for
//! `doctor`. `error` reduces what happened to a failed request, and `advice` says what that means and what
//! to do; `denial` reads which policy denied a request. `models` reads AWS's answers about foundation models.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html>

pub(super) mod advice;
pub(super) mod client;
mod denial;
pub(super) mod error;
mod examination;
mod models;
mod network;
mod options;
mod profile;
mod requests;

use std::{collections::HashSet, error::Error, sync::Arc, time::SystemTime};

use aws_sdk_bedrock::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::list_inference_profiles::ListInferenceProfilesOutput,
    types::InferenceProfileType,
};
use futures::future::{BoxFuture, FutureExt};

pub use examination::{Caller, Credentials, Examination, Permission, Provider};
pub use network::Resolver;
pub use options::{Options, SessionName, Timeouts};
pub use profile::{Gives, SharedProfile, shared_profile};
pub use requests::{CountRequests, OPERATIONS, RequestResult};

use self::{
    advice::{Action, Asked},
    client::{Clients, FeedClient},
    error::Failure,
};
use super::log_left_out;
use crate::{
    api::condition::Reason,
    catalog::{
        Access, ApplicationProfile, Catalog, CatalogError, FeedKey, FoundationModel, Source,
        SourceKind, Usability, application,
        listing::{self, Contradiction, ModelReference, Summary},
    },
    types::{ModelId, Region, RoleArn},
};

/// The largest page that AWS gives.
const PAGE_SIZE: i32 = 1000;
/// More pages than any account has. A listing that goes on after them never ends.
const MAX_PAGES: usize = 100;

/// The live service as a source of catalogs.
#[derive(Debug)]
pub struct Bedrock {
    clients: Clients,
    behind_proxy: bool,
}

impl Bedrock {
    /// Returns the live catalog. Reads the environment and the shared configuration files, and sends nothing:
    /// credentials are obtained with the first listing.
    ///
    /// # Errors
    /// [`CatalogError::EndpointUnreachable`] if the CA bundle can't be used.
    pub async fn connect(options: Options) -> Result<Self, CatalogError> {
        Ok(Self {
            clients: Clients::new(options).await?,
            behind_proxy: network::behind_proxy(),
        })
    }

    async fn listing(&self, key: &FeedKey) -> Result<Catalog, CatalogError> {
        let client = self.clients.of(key).await?;
        let system_defined = InferenceProfileType::SystemDefined;
        let summaries = match summaries(&client.sdk, system_defined).await {
            Ok(summaries) => summaries,
            Err(Interrupted::PagesWithoutEnd) => return Err(pages_without_end(&key.region)),
            Err(Interrupted::Failed(Failure::NameNotResolved))
                if self.region_has_no_bedrock(&client, &key.region).await =>
            {
                return Ok(catalog(key, listing::Profiles::default()));
            }
            Err(Interrupted::Failed(failure)) => {
                return Err(self.catalog_error(
                    &failure,
                    &client,
                    key,
                    Action::ListInferenceProfiles,
                ));
            }
        };
        let found = listing::profiles(&summaries, &key.region)
            .map_err(|contradiction| of_another(&contradiction, &key.region))?;
        log_left_out(&found.left_out, &key.region);
        self.clients.keep(key, &client);
        let models = self.models(&client, key).await;
        Ok(catalog(key, found).with_models(models))
    }

    /// Lists all pages of application profiles. `catalog` is what was listed before.
    async fn application_profiles(
        &self,
        key: &FeedKey,
        catalog: &Catalog,
    ) -> Result<Vec<Arc<ApplicationProfile>>, CatalogError> {
        let client = self.clients.of(key).await?;
        let listed = summaries(&client.sdk, InferenceProfileType::Application).await;
        let summaries = listed.map_err(|interrupted| match interrupted {
            Interrupted::PagesWithoutEnd => pages_without_end(&key.region),
            Interrupted::Failed(failure) => {
                self.catalog_error(&failure, &client, key, Action::ListApplicationProfiles)
            }
        })?;
        let (found, left_out) = application::profiles(&summaries, &key.region, catalog.account())
            .map_err(|contradiction| of_another(&contradiction, &key.region))?;
        log_left_out(&left_out, &key.region);
        Ok(found)
    }

    /// Returns whether a region whose endpoint did not resolve definitely has no Bedrock. That is an answer, not a failure.
    ///
    /// The network is asked before the data count, because the data age: a region can be newer than they are, and Bedrock can
    /// have come to a region that had none. A name that does not resolve proves nothing alone either: DNS may fail. So all of
    /// these must hold:
    /// - the data have no Bedrock in that region, and it has never answered;
    /// - the name is AWS's own, not a configured one, and no proxy resolves it for us;
    /// - another of AWS's names does resolve: STS in the operator's own region.
    ///
    /// In all other cases it stays an error, and written values stay too.
    async fn region_has_no_bedrock(&self, client: &FeedClient, region: &Region) -> bool {
        let regions = self.clients.options.embedded.regions();
        let known = regions.facts(region).is_some_and(|facts| facts.bedrock)
            || self.clients.have_reached(region);
        let public = client
            .host
            .get()
            .is_some_and(|host| network::is_public_host(host, region));
        if known || !public || self.behind_proxy {
            return false;
        }
        let own = &self.clients.options.region;
        let witness = format!("sts.{own}.{}", own.partition().dns_suffix);
        self.clients
            .options
            .resolver
            .addresses(&witness)
            .await
            .is_ok_and(|addresses| !addresses.is_empty())
    }

    /// Returns the foundation models of a region, or `None` if they may not be listed. If listing them fails otherwise, those
    /// that were listed last count.
    async fn models(&self, client: &FeedClient, key: &FeedKey) -> Option<Vec<FoundationModel>> {
        let answer = client.sdk.list_foundation_models().send().await;
        let mut known = client.models.lock();
        match answer {
            Ok(output) => {
                let models = output.model_summaries();
                known.last = Some(models.iter().filter_map(models::foundation_model).collect());
                known.warned = false;
            }
            Err(error) => {
                let failure = error::reduce(&error, SystemTime::now());
                let error = self.catalog_error(&failure, client, key, Action::ListFoundationModels);
                if error.reason() == Reason::AccessDenied {
                    known.last = None;
                }
                if !std::mem::replace(&mut known.warned, true) {
                    tracing::warn!(
                        region = %key.region,
                        role = key.role.as_ref().map(RoleArn::as_str),
                        %error,
                        "foundation models can't be listed: their lifecycle is unknown"
                    );
                }
            }
        }
        known.last.clone()
    }

    fn catalog_error(
        &self,
        failure: &Failure,
        client: &FeedClient,
        key: &FeedKey,
        action: Action,
    ) -> CatalogError {
        let profile = match failure {
            Failure::Credentials(_) => shared_profile().ok().flatten(),
            _ => None,
        };
        let asked = Asked {
            profile: profile.as_ref(),
            action,
            region: &key.region,
            regions: self.clients.options.embedded.regions(),
            own_region: &self.clients.options.region,
            host: client.host.get(),
            role: key.role.as_ref(),
            external_id: client
                .role
                .as_ref()
                .is_some_and(|role| role.external_id.is_some()),
        };
        advice::catalog_error(failure, asked)
    }
}

impl Source for Bedrock {
    fn kind(&self) -> SourceKind {
        SourceKind::Bedrock
    }

    /// Lists all pages of profiles, then the foundation models. A role that is not allowed is refused without asking AWS.
    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
        self.listing(key).boxed()
    }

    fn applications<'a>(
        &'a self,
        key: &'a FeedKey,
        catalog: &'a Catalog,
    ) -> Option<BoxFuture<'a, Result<Vec<Arc<ApplicationProfile>>, CatalogError>>> {
        Some(self.application_profiles(key, catalog).boxed())
    }

    fn access(&self) -> Option<&dyn Access> {
        Some(self)
    }
}

fn pages_without_end(region: &Region) -> CatalogError {
    CatalogError::ServiceError(format!(
        "Bedrock in {region} answered with pages without end; the operator retries"
    ))
}

fn of_another(contradiction: &Contradiction, region: &Region) -> CatalogError {
    CatalogError::ServiceError(format!(
        "the endpoint that was asked for {region} gave the answer of another region or account ({contradiction}): check \
         AWS_ENDPOINT_URL_BEDROCK and --bedrock-endpoint"
    ))
}

impl Access for Bedrock {
    /// Asks once. A role that is not allowed is refused without asking AWS.
    fn usability<'a>(
        &'a self,
        key: &'a FeedKey,
        model: &'a ModelId,
    ) -> BoxFuture<'a, Result<Usability, CatalogError>> {
        async move {
            let client = self.clients.of(key).await?;
            let answer = client
                .sdk
                .get_foundation_model_availability()
                .model_id(model.as_str())
                .send()
                .await;
            match answer {
                Ok(answer) => Ok(models::usability(&answer, model, &key.region)),
                Err(error) => {
                    let failure = error::reduce(&error, SystemTime::now());
                    Err(self.catalog_error(
                        &failure,
                        &client,
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

/// Why a listing did not come to its end.
enum Interrupted {
    Failed(Failure),
    PagesWithoutEnd,
}

impl<E> From<SdkError<E, HttpResponse>> for Interrupted
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        Self::Failed(error::reduce(&error, SystemTime::now()))
    }
}

/// Lists all pages of one type of profiles.
async fn summaries(
    client: &Client,
    kind: InferenceProfileType,
) -> Result<Vec<Summary>, Interrupted> {
    let mut summaries = Vec::new();
    let mut token = None;
    let mut tokens = HashSet::new();
    loop {
        let page = client
            .list_inference_profiles()
            .type_equals(kind.clone())
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
