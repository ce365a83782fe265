//! Whose an object is, judged from its metadata: the guard before every write to a target.
//!
//! The label alone never decides: anyone can put it on. What decides is the controller reference, which only a writer
//! who knows the binding's UID can have set.

use std::sync::Arc;

use crate::api::{CreationPolicy, names};

use super::{
    identity::TargetKey,
    observed::{Binding, TargetSpec, TargetView},
};

/// Whose an object is, seen from one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The binding controls it.
    Ours,
    /// A predecessor of the same name controlled it, or nobody does and only this binding ever wrote values there.
    Adoptable,
    /// Someone else's.
    Foreign {
        /// Whose, in words.
        owner: String,
    },
}

/// Judges an object in the place of an owned target.
///
/// An object without a controller is taken back only where no other field manager holds a key in it and the inventory
/// does not know it as merged into: else a binding that once merged could own, and garbage-collect, an object of others.
#[must_use]
pub fn judge(binding: &Binding, key: &TargetKey, view: &TargetView) -> Standing {
    match &view.controller {
        Some(controller) if controller.uid == binding.uid => Standing::Ours,
        Some(controller) if controller.binding.as_ref() == Some(&binding.key.name) => {
            Standing::Adoptable
        }
        Some(controller) => Standing::Foreign {
            owner: format!("it is controlled by {}", controller.description),
        },
        None => {
            let merged = binding
                .status
                .record(key)
                .is_some_and(|record| record.policy == CreationPolicy::Merge);
            let only_ours = view.labelled
                && view.held_by(&binding.key.name).is_some()
                && view.foreign.is_empty();
            // An object that allows the merge is someone's who wants to keep it, even where we lost the record.
            if only_ours && !merged && !merge_allowed(view, binding) {
                Standing::Adoptable
            } else {
                Standing::Foreign {
                    owner: match view.foreign.first() {
                        Some(holding) => {
                            format!("it has no controller and is written by {}", holding.holder)
                        }
                        None => "it was not created by this binding".to_owned(),
                    },
                }
            }
        }
    }
}

/// Says whether a binding, or a predecessor of its name, controls an object.
#[must_use]
pub fn controls(binding: &Binding, view: &TargetView) -> bool {
    view.controller.as_ref().is_some_and(|controller| {
        controller.uid == binding.uid || controller.binding.as_ref() == Some(&binding.key.name)
    })
}

/// A binding's claim on a target.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The claimant.
    pub binding: &'a Binding,
    /// What it wants there.
    pub target: &'a TargetSpec,
}

impl Claim<'_> {
    /// Says whether the claimant holds something of what it and another one claim.
    fn holds_against(&self, other: &Claim<'_>, view: Option<&TargetView>) -> bool {
        let Some(view) = view else { return false };
        let name = &self.binding.key.name;
        if self.target.policy == CreationPolicy::Owner {
            return controls(self.binding, view);
        }
        view.held_by(name).is_some_and(|holding| {
            other.target.policy == CreationPolicy::Owner
                || self.contested(other).any(|key| holding.has(key))
        })
    }

    /// Returns the keys that both claim.
    fn contested<'b>(&'b self, other: &'b Claim<'_>) -> impl Iterator<Item = &'b str> {
        self.target
            .key_names()
            .filter(|key| other.target.key_names().any(|theirs| theirs == *key))
    }

    /// Says whether two claims exclude each other. An owner claims the object, a merger single keys.
    fn excludes(&self, other: &Claim<'_>) -> bool {
        self.target.policy == CreationPolicy::Owner
            || other.target.policy == CreationPolicy::Owner
            || self.contested(other).next().is_some()
    }

    /// Orders claims that nobody holds: the older binding first, then the lower UID.
    fn age(&self) -> (i64, &str) {
        (self.binding.created, &self.binding.uid)
    }
}

/// Returns the binding whose claim on a target goes before `mine`, if one does.
///
/// The present holder keeps its claim; only where none holds it does the older binding win.
#[must_use]
pub fn better_claim<'a>(
    mine: &Claim<'a>,
    others: impl IntoIterator<Item = Claim<'a>>,
    view: Option<&TargetView>,
) -> Option<Arc<str>> {
    others
        .into_iter()
        .filter(|other| other.excludes(mine))
        .find(|other| {
            let held = (
                mine.holds_against(other, view),
                other.holds_against(mine, view),
            );
            match held {
                (false, true) => true,
                (true, false) => false,
                _ => !other.binding.deleting && other.age() < mine.age(),
            }
        })
        .map(|other| other.binding.key.name.clone())
}

/// Says whether the owner of an object lets this binding merge keys into it.
#[must_use]
pub fn merge_allowed(view: &TargetView, binding: &Binding) -> bool {
    view.allow_merge
        .as_deref()
        .is_some_and(|annotation| names::allows_merge(annotation, &binding.key.name))
}

#[cfg(test)]
mod tests;
