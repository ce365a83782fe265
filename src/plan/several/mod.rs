//! What is known and decided of each model of a binding, and how the findings about them become one.

use crate::{
    api::condition::{ConditionStatus, Reason},
    models::{Models, about},
    residency::{Judgement, Limits},
};

use super::{answer::Answer, observed::Entry, status::Finding};

/// The most models whose findings a message has in full.
const SHOWN: usize = 3;

/// A model of a binding, with the limits' and the catalog's say.
#[derive(Debug)]
pub struct Considered<'a> {
    /// The model.
    pub entry: Entry<'a>,
    /// The limits that hold for it.
    pub limits: Limits,
    /// Their judgement of the written route. `None` when none is written.
    pub written_judgement: Option<Judgement>,
    /// The catalog's answer to what is asked for.
    pub answer: Answer,
}

/// A finding about one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// What is found now.
    Now(Finding),
    /// What was found earlier still holds.
    Earlier {
        /// The finding that the status has. It is about all models of the binding.
        all: Finding,
        /// What would be told without it.
        otherwise: Finding,
    },
}

impl Told {
    /// Returns the earlier finding if there is one, or else what is found now.
    pub fn earlier_or(earlier: Option<Finding>, now: Finding) -> Self {
        match earlier {
            Some(all) => Self::Earlier {
                all,
                otherwise: now,
            },
            None => Self::Now(now),
        }
    }

    /// Returns what is found now, as far as that is told.
    pub fn now(&self) -> &Finding {
        match self {
            Self::Now(finding) => finding,
            Self::Earlier { otherwise, .. } => otherwise,
        }
    }
}

/// Returns the finding about a whole binding. An earlier one stays where it holds for every model, or where it was True and holds
/// for some while the others are True still. Else the first model that is False counts, then the first that is not known.
/// `notable` is what tells findings that are True apart: the first whose reason is another one gives the reason.
pub fn combined(models: &Models<Told>, notable: Reason) -> Finding {
    if let Models::One(told) = models {
        return match told {
            Told::Now(finding) | Told::Earlier { all: finding, .. } => finding.clone(),
        };
    }
    let earlier = models.values().find_map(|told| match told {
        Told::Earlier { all, .. } => Some(all),
        Told::Now(_) => None,
    });
    if let Some(earlier) = earlier {
        let holds = |told: &Told| match told {
            Told::Earlier { .. } => true,
            Told::Now(finding) => earlier.is_true() && finding.is_true(),
        };
        if models.values().all(holds) {
            return earlier.clone();
        }
    }
    first_that_counts(&models.map(|_, told| told.now().clone()), notable)
}

/// Returns the finding about several models: the first that is False counts, then the first that is not known, else the first whose
/// reason is not `notable`.
pub fn first_that_counts(models: &Models<Finding>, notable: Reason) -> Finding {
    let of = |status: ConditionStatus| {
        let found = models.iter();
        found.filter(move |(_, finding)| finding.status == status)
    };
    let (refused, unknown) = (ConditionStatus::False, ConditionStatus::Unknown);
    let mut open = of(refused).chain(of(unknown)).peekable();
    if let Some((_, first)) = open.peek() {
        let (status, reason) = (first.status, first.reason);
        return Finding::new(status, reason, in_words(open));
    }
    let (special, plain): (Vec<_>, Vec<_>) = models
        .iter()
        .partition(|(_, finding)| finding.reason != notable);
    let mut all = special.into_iter().chain(plain).peekable();
    let reason = all.peek().map_or(notable, |(_, first)| first.reason);
    Finding::new(ConditionStatus::True, reason, in_words(all))
}

/// Returns the messages of findings, each with the name of its model. Only some are told in full.
fn in_words<'a>(
    findings: impl Iterator<Item = (crate::models::ModelName<'a>, &'a Finding)>,
) -> String {
    let mut texts: Vec<String> = findings
        .map(|(name, finding)| about(name, &finding.message))
        .collect();
    let more = texts.len().saturating_sub(SHOWN);
    if more > 0 {
        texts.truncate(SHOWN);
        texts.push(format!("and {more} more of the models"));
    }
    texts.join("; ")
}

#[cfg(test)]
mod tests;
