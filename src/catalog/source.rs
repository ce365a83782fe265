//! Where catalogs come from, what can go wrong there, and how current a feed's catalog is.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use super::{ApplicationProfile, Catalog, Usability};
use crate::{
    api::condition::Reason,
    types::{ModelId, Region, RoleArn},
};

/// Kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// The live service.
    Bedrock,
    /// The data compiled in.
    Embedded,
    /// Files in the format that the AWS CLI prints.
    Directory,
}

impl SourceKind {
    /// Returns the name that `--catalog` and `status.profile.catalog.source` use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bedrock => "bedrock",
            Self::Embedded => "embedded",
            Self::Directory => "directory",
        }
    }

    /// Returns the kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Bedrock, Self::Embedded, Self::Directory]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    /// Returns whether this source gives the current answers of an account. Only such a source can retire a profile, and only
    /// such a source knows roles.
    #[must_use]
    pub fn is_live(self) -> bool {
        self == Self::Bedrock
    }
}

/// What identifies a feed: the role that asks and the region that is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedKey {
    /// The role to assume, or `None` for the operator's own credentials.
    pub role: Option<RoleArn>,
    /// The source region.
    pub region: Region,
}

/// Why a catalog could not be listed. Each variant is a reason of the condition `CatalogFresh`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// AWS knows the caller and refuses the call.
    #[error("{0}")]
    AccessDenied(String),
    /// AWS asks to slow down.
    #[error("{message}")]
    Throttled {
        /// What happened.
        message: String,
        /// How long AWS asks to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// No credentials were found, or they have expired or belong to another partition.
    #[error("{0}")]
    CredentialsUnavailable(String),
    /// The endpoint's name does not resolve, or the endpoint does not answer in time.
    #[error("{0}")]
    EndpointUnreachable(String),
    /// The role is not on the operator's allow-list.
    #[error("{0}")]
    RoleNotAllowed(String),
    /// AWS failed, or gave an unexpected answer.
    #[error("{0}")]
    ServiceError(String),
    /// A file of a directory catalog is missing, malformed, or belongs to another region.
    #[error("{0}")]
    SnapshotInvalid(String),
}

impl CatalogError {
    /// Returns the reason that `CatalogFresh` shows.
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

/// Where catalogs come from.
pub trait Source: Send + Sync {
    /// Returns which kind of source this is.
    fn kind(&self) -> SourceKind;

    /// Returns the whole catalog of a role and region. A catalog is never partial: a listing that is cut off is an error.
    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>>;

    /// Returns the application profiles of a role and region, all of them. They are asked for after `list`, whose answer is
    /// `catalog`, and only where a binding names one. `None` if this source has them in its catalogs, or has none.
    fn applications<'a>(
        &'a self,
        _key: &'a FeedKey,
        _catalog: &'a Catalog,
    ) -> Option<BoxFuture<'a, Result<Vec<Arc<ApplicationProfile>>, CatalogError>>> {
        None
    }

    /// Returns the checker of access to models, or `None` if this source can't check it.
    fn access(&self) -> Option<&dyn Access> {
        None
    }

    /// Returns a number that changes when the next listing may differ. It is cheap to get. `None` means that only a listing can
    /// tell.
    fn version(&self, _: &FeedKey) -> Option<u64> {
        None
    }
}

/// Checks whether models can be used: a listed profile does not prove that.
pub trait Access: Send + Sync {
    /// Returns whether a role can use a model from a region.
    fn usability<'a>(
        &'a self,
        key: &'a FeedKey,
        model: &'a ModelId,
    ) -> BoxFuture<'a, Result<Usability, CatalogError>>;
}

/// How current a feed's catalog is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// No answer has come yet.
    Pending,
    /// The last listing succeeded.
    Fresh,
    /// The data have a date, which is recent enough.
    Snapshot,
    /// No listing has succeeded yet, and none has failed for long: what is known to be so from before still counts as current.
    Interrupted {
        /// A False reason of `CatalogFresh`.
        reason: Reason,
        /// What happened and what to do.
        message: Arc<str>,
    },
    /// Listings have failed for a while, and an earlier catalog, if there is one, is kept; or the catalog is too old.
    Failed {
        /// A False reason of `CatalogFresh`.
        reason: Reason,
        /// What happened and what to do. The text stays the same as long as the failure does.
        message: Arc<str>,
    },
}

impl Freshness {
    /// Returns what a failed listing means.
    #[must_use]
    pub fn failed(error: &CatalogError) -> Self {
        Self::Failed {
            reason: error.reason(),
            message: error.to_string().into(),
        }
    }

    /// Returns the reason and the message of a failure, or `None` if nothing fails.
    #[must_use]
    pub fn failure(&self) -> Option<(Reason, &Arc<str>)> {
        match self {
            Self::Interrupted { reason, message } | Self::Failed { reason, message } => {
                Some((*reason, message))
            }
            Self::Pending | Self::Fresh | Self::Snapshot => None,
        }
    }
}

/// What a feed knows at one moment.
#[derive(Debug, Clone)]
pub struct FeedState {
    /// The last good catalog.
    pub catalog: Option<Arc<Catalog>>,
    /// How current it is.
    pub freshness: Freshness,
}

impl FeedState {
    /// Returns what is known before the first answer.
    #[must_use]
    pub fn pending() -> Self {
        Self {
            catalog: None,
            freshness: Freshness::Pending,
        }
    }
}
