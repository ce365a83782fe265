//! Foundation models: their lifecycle, and whether an account can use them.

use std::sync::Arc;

use jiff::civil::Date;

use crate::types::ModelId;

/// The lifecycle of a foundation model in one region, as AWS states it. Days are those of UTC.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    /// Whether AWS calls the model legacy.
    pub is_legacy: bool,
    /// The day on which it becomes, or became, legacy: closed to new customers.
    pub legacy: Option<Date>,
    /// The first day of public extended access, in which the provider may charge more.
    pub extended_access: Option<Date>,
    /// The day on which requests begin to fail.
    pub end_of_life: Option<Date>,
}

impl Lifecycle {
    /// The lifecycle of a model that is active, without any date.
    pub const ACTIVE: Self = Self {
        is_legacy: false,
        legacy: None,
        extended_access: None,
        end_of_life: None,
    };
    /// The lifecycle of a legacy model, without any date.
    pub const LEGACY: Self = Self {
        is_legacy: true,
        ..Self::ACTIVE
    };

    /// Says whether any date is known.
    #[must_use]
    pub fn has_dates(&self) -> bool {
        self.legacy
            .or(self.extended_access)
            .or(self.end_of_life)
            .is_some()
    }
}

/// A foundation model as `ListFoundationModels` has it in the catalog's source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundationModel {
    /// Its ID.
    pub id: ModelId,
    /// Its lifecycle in the catalog's source region.
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
