//! What to do about one binding: pure, infallible, the same for the controller and for `render`.
//!
//! [`plan`] turns what is observed into writes and removals; when the writes were tried, [`Plan::plan_restarts`] adds what
//! is restarted for them. [`Plan::conclude`] turns all outcomes into the status, Events and the next visit. None of them
//! reads a clock or talks to anyone.

mod action;
mod answer;
mod conclusion;
mod findings;
pub mod identity;
pub mod observed;
pub mod ownership;
mod publication;
mod restarts;
pub mod status;
mod targets;
mod upgrade;
mod values_hash;

use crate::residency::Limits;

use observed::Observed;
use publication::Publication;

pub use action::{How, Problem, Removal, RemovalCause, RemovalOutcome, Retry, Write, WriteOutcome};
pub use conclusion::{Conclusion, Notice, Plan};
pub use observed::Settings;
pub use restarts::{Restart, RestartOutcome, Restarted};
pub use targets::{check_merge, foreign_object};

/// Returns what to do about a binding. `now` is in seconds since 1970.
#[must_use]
pub fn plan(observed: &Observed, settings: &Settings, now: i64) -> Plan {
    let binding = &*observed.binding;
    let limits = limits(observed, settings);
    let answer = answer::answer(observed, &limits, settings, now);
    let answer = upgrade::hold_back(answer, observed, &limits, settings);
    let publication = if binding.deleting {
        Publication::Leave
    } else {
        publication::decide(observed, &answer, &limits)
    };
    let writes = match publication.profile() {
        Some(profile) => binding
            .spec
            .targets
            .iter()
            .zip(&observed.targets)
            .map(|(target, seen)| targets::plan_write(binding, target, seen, profile, settings))
            .collect(),
        None => Vec::new(),
    };
    Plan {
        add_finalizer: !binding.deleting
            && !binding.finalizer
            && publication.profile().is_some()
            && binding.spec.merges(),
        removals: targets::plan_removals(observed, &publication, &writes),
        residency_violated: publication::residency_violated(binding, &answer, &limits),
        supported: findings::supported(binding, &answer, &publication, &observed.feed),
        residency: findings::residency(binding, &answer, &publication, &limits, &observed.feed),
        catalog: findings::catalog(binding, &observed.feed),
        active: findings::active(binding, &observed.feed),
        usable: findings::usable(observed, settings),
        writes,
        restarts: Vec::new(),
        restarts_enabled: settings.enable_rollout,
        publication,
    }
}

/// Returns all limits that hold for a binding.
#[must_use]
pub fn limits(observed: &Observed, settings: &Settings) -> Limits {
    let own = observed.binding.spec.limit.as_deref().cloned();
    Limits::all(own.into_iter().chain(settings.limit.clone().map(Ok)))
        .and_namespace(&observed.namespace)
        .required(settings.require_limit)
}

#[cfg(test)]
mod tests;
