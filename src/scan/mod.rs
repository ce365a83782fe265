//! Which models, profiles and ARNs of Bedrock does a text name, and what is wrong with naming them?
//!
//! `finder` finds them, `judge` says what is wrong, and `suggestion` names the bindings that would take their place. A text is any
//! text: nothing here knows YAML, so that nothing that is written in another language is missed.

mod finder;
mod judge;
mod suggestion;

use std::fmt;

use crate::types::{Geography, ModelId, ProfileId, Region};

pub use finder::{Bounds, Finder, Found, IGNORE_MARKER};
pub use judge::{Judged, Opinion, Scene, judge};
pub use suggestion::{Suggested, suggest};

/// What is wrong with a name that stands in a text, the most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Requests may be served outside of the regions that are allowed.
    OutsideLimit,
    /// Requests fail: the life of the model has ended, or AWS no longer lists the profile.
    Gone,
    /// The part before the model is no geography of Bedrock.
    UnknownPrefix,
    /// It can't be called from the source region, or it is of another geography than was asked for.
    WrongGeography,
    /// The model can't be called by its own ID, only through a profile.
    ProfileOnlyModel,
    /// No such model is known: it is mistyped, long gone, or newer than the data.
    UnknownModel,
    /// The life of the model ends within 30 days.
    EndOfLife,
    /// The model is closed to new customers.
    Legacy,
    /// It stands in the text, and nothing else is wrong with it.
    HardCoded,
}

impl Verdict {
    /// All verdicts, the most serious first.
    pub const ALL: [Self; 9] = [
        Self::OutsideLimit,
        Self::Gone,
        Self::UnknownPrefix,
        Self::WrongGeography,
        Self::ProfileOnlyModel,
        Self::UnknownModel,
        Self::EndOfLife,
        Self::Legacy,
        Self::HardCoded,
    ];

    /// Returns the name, as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutsideLimit => "OutsideLimit",
            Self::Gone => "Gone",
            Self::UnknownPrefix => "UnknownPrefix",
            Self::WrongGeography => "WrongGeography",
            Self::ProfileOnlyModel => "ProfileOnlyModel",
            Self::UnknownModel => "UnknownModel",
            Self::EndOfLife => "EndOfLife",
            Self::Legacy => "Legacy",
            Self::HardCoded => "HardCoded",
        }
    }

    /// Returns what it means, as a sentence without its full stop.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::OutsideLimit => "Requests may be served outside of the allowed regions",
            Self::Gone => {
                "Requests fail: the life of the model has ended, or AWS no longer lists the profile"
            }
            Self::UnknownPrefix => "The part before the model is no geography of Bedrock",
            Self::WrongGeography => {
                "It can't be called from the source region, or it is of another geography than was asked for"
            }
            Self::ProfileOnlyModel => {
                "The model can't be called by its own ID, only through an inference profile"
            }
            Self::UnknownModel => {
                "No such model is known: it is mistyped, long gone, or newer than the data"
            }
            Self::EndOfLife => "The life of the model ends within 30 days",
            Self::Legacy => "The model is closed to new customers",
            Self::HardCoded => "It is hard-coded: a change of the model is an edit here",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a text names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    /// A foundation model.
    Model(ModelId),
    /// A system-defined inference profile.
    Profile {
        /// The ID.
        id: ProfileId,
        /// The part of it before the model.
        geography: Geography,
        /// The rest of it.
        model: ModelId,
    },
    /// An application inference profile. Its ARN does not tell the model.
    ApplicationProfile,
}

impl Named {
    /// Returns the foundation model, if the text tells it.
    #[must_use]
    pub fn model(&self) -> Option<&ModelId> {
        match self {
            Self::Model(model) | Self::Profile { model, .. } => Some(model),
            Self::ApplicationProfile => None,
        }
    }

    /// Returns the geography of a system-defined profile.
    #[must_use]
    pub fn geography(&self) -> Option<&Geography> {
        match self {
            Self::Profile { geography, .. } => Some(geography),
            Self::Model(_) | Self::ApplicationProfile => None,
        }
    }
}

/// What is named, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// What is named.
    pub named: Named,
    /// Whether it is named by an ARN, and which region that has: none where it is left out, a pattern or a template.
    pub arn: Option<Option<Region>>,
}

impl Reference {
    /// Returns the region of the ARN.
    #[must_use]
    pub fn arn_region(&self) -> Option<&Region> {
        self.arn.as_ref()?.as_ref()
    }
}

/// A place in a text where something of Bedrock is named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// The line, from 1.
    pub line: usize,
    /// The column of the first character, in characters, from 1.
    pub column: usize,
    /// The text, as it stands there.
    pub text: String,
    /// What it names.
    pub reference: Reference,
}
