//! What `ListInferenceProfiles` says for one role and source region at one time, and where it comes from.
//!
//! A [`Catalog`] is immutable and shared; a [`Source`] makes one; a feed keeps one current.

pub mod embedded;
pub mod listing;
pub mod regions;
pub mod roles;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::{
    api::condition::Reason,
    route::{Destinations, Invocation, Route},
    types::{AccountId, Geography, ModelId, ProfileId, Region, RoleArn},
};

/// A system-defined inference profile as seen from one source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What workloads give as model ID.
    pub id: ProfileId,
    /// The display name. Never to be parsed: it differs by region and carries typos.
    pub name: String,
    /// The foundation model behind it, read from the model ARNs.
    pub model: ModelId,
    /// The prefix of the ID.
    pub geography: Geography,
    /// Where requests may be served when called from the catalog's source region.
    pub destinations: Destinations,
}

impl Profile {
    /// Returns the route through this profile from its catalog's source region.
    #[must_use]
    pub fn route(&self, source_region: &Region) -> Route {
        Route {
            invocation: Invocation::Profile {
                id: self.id.clone(),
                geography: self.geography.clone(),
            },
            model: self.model.clone(),
            source_region: source_region.clone(),
            destinations: self.destinations.clone(),
        }
    }
}

/// Where a foundation model stands in its life.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifecycle {
    /// In full service.
    Active,
    /// Closed to new customers; gone from all regions at its end of life.
    Legacy {
        /// The end of its life, an RFC 3339 date, where it is known.
        end_of_life: Option<Arc<str>>,
    },
}

/// A foundation model as `ListFoundationModels` has it in the catalog's source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundationModel {
    /// Its ID.
    pub id: ModelId,
    /// Where it stands in its life.
    pub lifecycle: Lifecycle,
    /// Whether it can be invoked by its own ID, without a profile.
    pub on_demand: bool,
}

/// Kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// The live service.
    Bedrock,
    /// Data compiled in.
    Embedded,
    /// Files in the form that the AWS CLI prints.
    Directory,
}

impl SourceKind {
    /// Returns the name as `--catalog` and `status.profile.catalog.source` have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bedrock => "bedrock",
            Self::Embedded => "embedded",
            Self::Directory => "directory",
        }
    }

    /// Returns the kind of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Bedrock, Self::Embedded, Self::Directory]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// Says whether answers are current ones of an account: only these can retire a profile, and only these have roles.
    #[must_use]
    pub fn is_live(self) -> bool {
        self == Self::Bedrock
    }
}

/// The profiles that one role may call from one source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    source: SourceKind,
    source_region: Region,
    account: Option<AccountId>,
    as_of: Option<String>,
    profiles: Vec<Arc<Profile>>,
    models: Option<Vec<FoundationModel>>,
}

impl Catalog {
    /// Makes a catalog. `as_of` is the date of a snapshot (RFC 3339 date or time), nothing for a live listing.
    #[must_use]
    pub fn new(
        source: SourceKind,
        source_region: Region,
        account: Option<AccountId>,
        as_of: Option<String>,
        mut profiles: Vec<Arc<Profile>>,
    ) -> Self {
        profiles
            .sort_by(|a, b| (&a.model, &a.geography, &a.id).cmp(&(&b.model, &b.geography, &b.id)));
        profiles.dedup_by(|a, b| a.id == b.id);
        Self {
            source,
            source_region,
            account,
            as_of,
            profiles,
            models: None,
        }
    }

    /// Adds what is known of the foundation models of the region; nothing where they could not be listed.
    #[must_use]
    pub fn with_models(mut self, models: Option<Vec<FoundationModel>>) -> Self {
        self.models = models.map(|mut models| {
            models.sort_by(|a, b| a.id.cmp(&b.id));
            models.dedup_by(|a, b| a.id == b.id);
            models
        });
        self
    }

    /// Returns the foundation models, sorted; nothing where they could not be listed.
    #[must_use]
    pub fn models(&self) -> Option<&[FoundationModel]> {
        self.models.as_deref()
    }

    /// Returns a foundation model; nothing where it is not listed, or none could be.
    #[must_use]
    pub fn model(&self, id: &ModelId) -> Option<&FoundationModel> {
        let models = self.models.as_deref()?;
        let position = models.binary_search_by(|model| model.id.cmp(id)).ok()?;
        Some(&models[position])
    }

    /// Returns where this came from.
    #[must_use]
    pub fn source(&self) -> SourceKind {
        self.source
    }

    /// Returns the region whose control plane was asked.
    #[must_use]
    pub fn source_region(&self) -> &Region {
        &self.source_region
    }

    /// Returns the account that was asked, as the listed ARNs say.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// Returns the date of a snapshot; nothing for a live listing.
    #[must_use]
    pub fn as_of(&self) -> Option<&str> {
        self.as_of.as_deref()
    }

    /// Returns all profiles, sorted by model, geography and ID.
    #[must_use]
    pub fn profiles(&self) -> &[Arc<Profile>] {
        &self.profiles
    }

    /// Returns the profiles of one model, sorted by geography.
    #[must_use]
    pub fn profiles_of(&self, model: &ModelId) -> &[Arc<Profile>] {
        let start = self
            .profiles
            .partition_point(|profile| profile.model < *model);
        let len = self.profiles[start..].partition_point(|profile| profile.model == *model);
        &self.profiles[start..start + len]
    }

    /// Returns the profile of a model and geography.
    #[must_use]
    pub fn find(&self, model: &ModelId, geography: &Geography) -> Option<&Arc<Profile>> {
        self.profiles_of(model)
            .iter()
            .find(|profile| profile.geography == *geography)
    }
}

/// What a feed is of: the role that asks, if not the operator's own, and the region that is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedKey {
    /// ARN of the role to assume.
    pub role: Option<RoleArn>,
    /// Source region.
    pub region: Region,
}

/// Says why a catalog could not be had. Each kind is a reason of the condition `CatalogFresh`.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// AWS knows the caller and refuses the call.
    #[error("{0}")]
    AccessDenied(String),
    /// AWS asks to slow down.
    #[error("{message}")]
    Throttled {
        /// What AWS said.
        message: String,
        /// How long AWS asks to wait, if it says.
        retry_after: Option<Duration>,
    },
    /// No credentials were found, or they are expired or of another partition.
    #[error("{0}")]
    CredentialsUnavailable(String),
    /// The endpoint's name does not resolve, or nothing answers in time.
    #[error("{0}")]
    EndpointUnreachable(String),
    /// The role is not inside the operator's allow-list.
    #[error("{0}")]
    RoleNotAllowed(String),
    /// AWS failed, or answered with something unexpected.
    #[error("{0}")]
    ServiceError(String),
    /// A file of a directory catalog is missing, malformed or of another region.
    #[error("{0}")]
    SnapshotInvalid(String),
}

impl CatalogError {
    /// Returns the reason under which `CatalogFresh` shows this.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::AccessDenied(_) => Reason::AccessDenied,
            Self::Throttled { .. } => Reason::Throttled,
            Self::CredentialsUnavailable(_) => Reason::CredentialsUnavailable,
            Self::EndpointUnreachable(_) => Reason::EndpointUnreachable,
            Self::RoleNotAllowed(_) => Reason::RoleNotAllowed,
            Self::ServiceError(_) => Reason::ServiceError,
            Self::SnapshotInvalid(_) => Reason::SnapshotInvalid,
        }
    }
}

/// Something that catalogs come from.
pub trait Source: Send + Sync {
    /// Returns which kind of source this is.
    fn kind(&self) -> SourceKind;

    /// Returns the whole catalog of a role and region, or why it can't be had. A listing is never partial: one that is
    /// cut off is an error.
    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>>;

    /// Returns what knows whether models can be used; nothing where this source can't say.
    fn access(&self) -> Option<&dyn Access> {
        None
    }

    /// Returns a number that differs once a listing may say something else, cheaply; nothing where only a listing tells.
    fn version(&self, _: &FeedKey) -> Option<u64> {
        None
    }
}

/// Whether an account can use a model that it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usability {
    /// Nothing is known to be in the way.
    Usable,
    /// Something is.
    NotUsable {
        /// What is in the way and what to do; the same text as long as it is.
        message: Arc<str>,
    },
}

/// Something that knows whether models can be used: that a profile is listed does not say so.
pub trait Access: Send + Sync {
    /// Returns whether a role can use a model from a region, or why that can't be had.
    fn usability<'a>(
        &'a self,
        key: &'a FeedKey,
        model: &'a ModelId,
    ) -> BoxFuture<'a, Result<Usability, CatalogError>>;
}

/// How current a feed's catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing was answered yet.
    Pending,
    /// The last listing succeeded.
    Fresh,
    /// The data is of a date that is not too long ago.
    Snapshot,
    /// The last listing failed, and an earlier catalog, if any, is kept; or the catalog is older than it may be.
    Failed {
        /// A False reason of `CatalogFresh`.
        reason: Reason,
        /// What happened and what to do; the same text as long as the same failure goes on.
        message: Arc<str>,
    },
}

/// What a feed knows at one moment.
#[derive(Debug, Clone)]
pub struct FeedState {
    /// The last good catalog.
    pub catalog: Option<Arc<Catalog>>,
    /// How current it is.
    pub freshness: Freshness,
}
