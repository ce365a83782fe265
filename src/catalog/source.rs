//! What catalogs come from, what can go wrong there, and how current the one is that a feed keeps.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{Catalog, Usability};
use crate::{
    api::condition::Reason,
    types::{ModelId, Region, RoleArn},
};

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

/// What a feed is of: the role that asks, if not the operator's own, and the region that is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedKey {
    /// ARN of the role to assume.
    pub role: Option<RoleArn>,
    /// Source region.
    pub region: Region,
}

/// Says why a catalog could not be had. Each kind is a reason of the condition `CatalogFresh`.
#[derive(Debug, Clone, thiserror::Error)]
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
