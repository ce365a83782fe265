//! Foundation models: where they stand in their lives, and whether an account can use them.

use std::sync::Arc;

use crate::types::ModelId;

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
