//! Foundation models: their lifecycle, and whether an account can use them.

use std::sync::Arc;

use crate::types::ModelId;

/// The lifecycle state of a foundation model.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lifecycle {
    /// Fully supported.
    Active,
    /// Closed to new customers, and removed from all regions at its end of life.
    Legacy {
        /// The end of its life, an RFC 3339 date, if it is known.
        end_of_life: Option<Arc<str>>,
    },
}

/// A foundation model as `ListFoundationModels` has it in the catalog's source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundationModel {
    /// Its ID.
    pub id: ModelId,
    /// Its lifecycle state.
    pub lifecycle: Lifecycle,
    /// Whether it can be invoked by its own ID, without a profile.
    pub on_demand: bool,
}

/// Whether an account can use a model that it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usability {
    /// No obstacle is known.
    Usable,
    /// There are obstacles.
    NotUsable {
        /// What they are and what to do. The text stays the same as long as they do.
        message: Arc<str>,
    },
}
