//! Three-valued logic: yes, no, and unknown.

use std::collections::BTreeSet;

/// Whether something holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// It depends on these, which are not known.
    Unknown(BTreeSet<String>),
}

impl Truth {
    /// Returns `Unknown`, depending on this one thing.
    #[must_use]
    pub fn unknown(what: impl Into<String>) -> Self {
        Self::Unknown(BTreeSet::from([what.into()]))
    }

    /// Returns whether both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, other) => other,
            (truth, Self::Yes) => truth,
            (Self::Unknown(a), Self::Unknown(b)) => Self::Unknown(&a | &b),
        }
    }

    /// Returns whether at least one of the two holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }

    /// Returns whether all hold. Stops at the first that does not.
    #[must_use]
    pub fn all(truths: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::Yes;
        for truth in truths {
            all = all.and(truth);
            if all == Self::No {
                break;
            }
        }
        all
    }

    /// Returns whether any holds. Stops at the first that does.
    #[must_use]
    pub fn any(truths: impl IntoIterator<Item = Self>) -> Self {
        Self::all(truths.into_iter().map(Self::not)).not()
    }

    /// Returns whether it does not hold.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "beside and() and or()")]
    pub fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            unknown @ Self::Unknown(_) => unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}
