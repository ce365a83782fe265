//! Which profiles and models one role can call from one source region, and where that information comes from.
//!
//! A [`Catalog`] is immutable and shared. A [`Source`] makes one, and a feed keeps one current. Everything here is pure.

pub mod application;
pub mod embedded;
pub mod listing;
mod models;
mod profiles;
pub mod regions;
pub mod roles;
mod source;

use std::sync::Arc;

use crate::types::{AccountId, Geography, ModelId, Region};

pub use application::{ApplicationProfile, Applications};
pub use models::{FoundationModel, Lifecycle, Usability};
pub use profiles::Profile;
pub use source::{Access, CatalogError, FeedKey, FeedState, Freshness, Source, SourceKind};

/// The profiles and models that one role can call from one source region, at one time. Application profiles are in it only where
/// they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    source: SourceKind,
    source_region: Region,
    account: Option<AccountId>,
    as_of: Option<String>,
    profiles: Vec<Arc<Profile>>,
    models: Option<Vec<FoundationModel>>,
    applications: Applications,
}

impl Catalog {
    /// Returns a catalog without models. `as_of` is the date of a snapshot, an RFC 3339 date or time, and `None` for a live
    /// listing. Of profiles with the same ID only one is kept.
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
            applications: Applications::default(),
        }
    }

    /// Adds the foundation models of the region, or `None` if they could not be listed.
    #[must_use]
    pub fn with_models(mut self, models: Option<Vec<FoundationModel>>) -> Self {
        self.models = models.map(|mut models| {
            models.sort_by(|a, b| a.id.cmp(&b.id));
            models.dedup_by(|a, b| a.id == b.id);
            models
        });
        self
    }

    /// Adds the application profiles of the region and account.
    #[must_use]
    pub fn with_applications(mut self, applications: Applications) -> Self {
        self.applications = applications;
        self
    }

    /// Returns what is known of application profiles.
    #[must_use]
    pub fn applications(&self) -> &Applications {
        &self.applications
    }

    /// Returns the foundation models, sorted by ID, or `None` if they could not be listed.
    #[must_use]
    pub fn models(&self) -> Option<&[FoundationModel]> {
        self.models.as_deref()
    }

    /// Returns a foundation model. `None` means that it is not listed, or that models could not be listed.
    #[must_use]
    pub fn model(&self, id: &ModelId) -> Option<&FoundationModel> {
        let models = self.models.as_deref()?;
        let position = models.binary_search_by(|model| model.id.cmp(id)).ok()?;
        Some(&models[position])
    }

    /// Returns the kind of source that this came from.
    #[must_use]
    pub fn source(&self) -> SourceKind {
        self.source
    }

    /// Returns the region whose control plane was asked.
    #[must_use]
    pub fn source_region(&self) -> &Region {
        &self.source_region
    }

    /// Returns the account that was asked, if a listed ARN names it.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// Returns the date of a snapshot, or `None` for a live listing.
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
