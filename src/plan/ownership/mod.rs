//! Judges from its metadata whose an object is. This is the guard before every write to a target.
//!
//! The label alone never decides, because anyone can set it. The controller reference does: only a writer who knows the
//! binding's UID can have set it.

use std::sync::Arc;

use crate::api::{CreationPolicy, names};

use super::{
    identity::TargetKey,
    observed::{Binding, TargetSpec, TargetView},
};

/// Whose an object is, from the point of view of one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// The binding controls it.
    Ours,
    /// The binding may take control of it: a deleted binding of the same name controlled it, or it has no controller and only
    /// this binding has written values to it.
    Adoptable,
    /// It belongs to someone else.
    Foreign {
        /// Says who, for messages.
        owner: String,
    },
}

/// Judges whose an object is that has the name of an owned target.
///
/// An object without a controller can be adopted only if no other field manager holds a key in it and the inventory does
/// not list it as merged into. Otherwise a binding that once merged keys could come to own an object that belongs to
/// others, and its deletion would delete that object.
#[must_use]
pub fn judge(binding: &Binding, key: &TargetKey, view: &TargetView) -> Ownership {
    match &view.controller {
        Some(controller) if controller.uid == binding.uid => Ownership::Ours,
        Some(controller) if controller.binding.as_ref() == Some(&binding.key.name) => {
            Ownership::Adoptable
        }
        Some(controller) => Ownership::Foreign {
            owner: format!("it is controlled by {}", controller.described()),
        },
        None => {
            let merged = binding
                .status
                .record(key)
                .is_some_and(|record| record.policy == CreationPolicy::Merge);
            let only_ours = view.labelled
                && view.held_by(&binding.key.name).is_some()
                && view.foreign.is_empty();
            // Whoever allows the merge wants to keep the object, even if the inventory no longer lists it.
            if only_ours && !merged && !merge_allowed(view, binding) {
                Ownership::Adoptable
            } else {
                Ownership::Foreign {
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

/// Says whether a binding, or a deleted one of the same name, controls an object.
#[must_use]
pub fn controls(binding: &Binding, view: &TargetView) -> bool {
    view.controller.as_ref().is_some_and(|controller| {
        controller.uid == binding.uid || controller.binding.as_ref() == Some(&binding.key.name)
    })
}

/// A binding's claim to a target.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The claimant.
    pub binding: &'a Binding,
    /// The target as its spec has it.
    pub target: &'a TargetSpec,
}

impl Claim<'_> {
    /// Says whether the claimant already holds something that the other claim asks for too.
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

    /// Returns the keys that both claims ask for.
    fn contested<'b>(&'b self, other: &'b Claim<'_>) -> impl Iterator<Item = &'b str> {
        self.target
            .key_names()
            .filter(|key| other.target.key_names().any(|theirs| theirs == *key))
    }

    /// Says whether two claims exclude each other. Owner claims the whole object, Merge claims single keys.
    fn excludes(&self, other: &Claim<'_>) -> bool {
        self.target.policy == CreationPolicy::Owner
            || other.target.policy == CreationPolicy::Owner
            || self.contested(other).next().is_some()
    }

    /// Returns what orders claims when neither claimant holds anything: the older binding first, then the lower UID.
    fn age(&self) -> (i64, &str) {
        (self.binding.created, &self.binding.uid)
    }
}

/// Returns the name of a binding whose claim to a target takes precedence over `mine`. Returns `None` when there is no
/// such binding.
///
/// The current holder keeps its claim. If there is none, the older binding wins.
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

/// Says whether the owner of an object allows this binding to merge keys into it.
#[must_use]
pub fn merge_allowed(view: &TargetView, binding: &Binding) -> bool {
    view.allow_merge
        .as_deref()
        .is_some_and(|annotation| names::allows_merge(annotation, &binding.key.name))
}

#[cfg(test)]
mod tests;
