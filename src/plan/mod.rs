//! Decides what to do about one binding. The functions are pure and infallible; the controller, `render` and
//! `preview` share them.
//!
//! [`plan`] turns [`Observed`] into a [`Plan`]. The steps of a plan ([`steps`]) end in an [`Outcome`]: the status, Events
//! and the next visit. None of them reads a clock or does I/O.

mod action;
mod answer;
mod application;
pub mod class_status;
mod findings;
pub mod identity;
pub mod observed;
mod outcome;
pub mod ownership;
mod publication;
mod restarts;
pub mod status;
pub mod steps;
mod targets;
mod unknown_life;
mod upgrade;
mod values_hash;

use crate::{catalog::embedded::Embedded, lifecycle, residency::Limits};

use observed::Observed;
use publication::Publication;
use steps::Decisions;

pub use action::{
    Problem, Refused, Removal, RemovalCause, Retry, Tried, TriedRemoval, TriedRestart, TriedWrite,
    Write, WriteMode,
};
pub use observed::Settings;
pub use outcome::{Notice, Outcome};
pub use restarts::{Restart, RestartOutcome};
pub use steps::Plan;
pub use targets::{check_merge, foreign_object};

/// Returns what to do about a binding. `now` is in seconds since the Unix epoch.
#[must_use]
pub fn plan(observed: Observed, settings: &Settings, embedded: &Embedded, now: i64) -> Plan {
    let binding = &observed.binding;
    let limits = limits(&observed, settings);
    let written = binding.status.route.as_ref();
    let catalog = observed.feed.catalog.as_deref();
    let written_judgement =
        written.map(|written| limits.judge_written(&written.route, catalog, embedded));
    let written_judgement = written_judgement.as_ref();
    let answer = answer::answer(&observed, &limits, settings, embedded, now);
    let answer = unknown_life::hold_back(answer, &observed, &limits, embedded);
    let day = lifecycle::day_of(now);
    let answer = upgrade::hold_back(
        answer,
        &observed,
        written_judgement,
        settings,
        embedded,
        day,
    );
    let answer = application::require(answer, &observed);
    let publication = if binding.deleting {
        Publication::Leave
    } else {
        publication::decide(&observed, &answer, written_judgement)
    };
    let writes: Vec<_> = match publication.route() {
        Some(route) => binding
            .spec
            .targets
            .iter()
            .zip(&observed.targets)
            .map(|(target, seen)| targets::plan_write(binding, target, seen, route, settings))
            .collect(),
        None => Vec::new(),
    };
    let supported = findings::supported(binding, &answer, &publication, &observed.feed);
    let catalog = findings::catalog(binding, &observed.feed);
    Plan {
        is_unconfirmed: publication::is_missing(&observed),
        needs_finalizer: !binding.deleting
            && !binding.finalizer
            && publication.route().is_some()
            && binding.spec.merges(),
        removals: targets::plan_removals(&observed, &publication, &writes),
        writes,
        decisions: Decisions {
            residency_violated: publication::residency_violated(written_judgement),
            catalog: application::catalog_fresh(catalog, &supported, &observed),
            supported,
            residency: findings::residency(
                binding,
                &answer,
                &publication,
                written_judgement,
                &observed.feed,
            ),
            active: findings::active(&observed, &publication, &limits, embedded, day),
            usable: findings::usable(&observed, settings),
            restarts_enabled: settings.enable_rollout,
            unmarked: None,
            publication,
            binding: observed.binding,
        },
    }
}

/// Returns all residency limits that apply to a binding: its own, its class's, the operator's and its Namespace's.
fn limits(observed: &Observed, settings: &Settings) -> Limits {
    let of_spec = observed.binding.spec.limits().cloned();
    Limits::all(of_spec.chain(settings.limit.clone().map(Ok)))
        .and_namespace(&observed.namespace)
        .required(settings.require_limit)
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use crate::{
        api::condition::{ConditionStatus, ConditionType, Reason},
        plan::{
            action::RemovalCause,
            observed::Settings,
            testing::{bound, condition, full, planned_in, sonnet, visit},
        },
        residency::{Limit, LimitOrigin, NamespaceLimit},
    };

    use super::*;

    #[test]
    fn the_operators_limit_counts_too() {
        let settings = Settings {
            limit: Limit::parse(LimitOrigin::Operator, &["@us"]).ok(),
            ..Settings::default()
        };
        let (after, actions, _) = visit(&bound("geography: eu"), full(), &settings);
        assert_eq!(actions.removals.len(), 1);
        let residency = after
            .status
            .condition(ConditionType::ResidencySatisfied)
            .expect("residency");
        assert!(
            residency.message.contains("--allowed-regions: eu-west-1"),
            "{}",
            residency.message
        );
    }

    #[test]
    fn the_limit_of_a_namespace_counts_too() {
        let annotated = |text: &str| NamespaceLimit::of_annotation(Some(text));
        let before = bound("geography: eu");
        let plan = planned_in(&before, annotated("@eu"));
        assert!(matches!(
            plan.decisions.publication,
            Publication::Publish(_)
        ));
        for (limit, reason) in [
            ("@us", Reason::RegionNotAllowed),
            ("europe", Reason::LimitInvalid),
        ] {
            let plan = planned_in(&before, annotated(limit));
            assert_eq!(plan.decisions.residency.reason, reason);
            assert_eq!(plan.removals[0].cause, RemovalCause::Withdrawn, "{limit}");
        }
    }

    #[test]
    fn a_limit_can_be_required() {
        let settings = Settings {
            require_limit: true,
            ..Settings::default()
        };
        let (after, actions, _) = visit(&bound("geography: eu"), full(), &settings);
        assert_eq!(actions.removals.len(), 1);
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::False, Reason::NoLimitSet)
        );
        let limited = sonnet("geography: eu, allowedRegions: ['@eu']");
        let (after, _, _) = visit(&limited, full(), &settings);
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
    }
}
