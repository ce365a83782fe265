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
pub mod metadata;
pub mod observed;
mod outcome;
pub mod ownership;
mod publication;
mod restarts;
pub mod served;
mod several;
pub mod status;
pub mod steps;
mod targets;
mod unknown_life;
mod upgrade;
mod values_hash;

use crate::{
    catalog::embedded::Embedded,
    lifecycle,
    models::{Models, about},
    residency::{Judgement, Limits},
};

use observed::{Ask, Entry, Observed};
use publication::Publication;
use several::Considered;
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
    let shared = observed.binding.clone();
    let binding = &*shared;
    let day = lifecycle::day_of(now);
    let models = considered(binding, &observed, settings, embedded, now);
    let violation = violation(binding, &models, &observed, settings, embedded);
    let publication = if binding.deleting {
        Publication::Leave
    } else {
        publication::decide(&observed, &models, violation.as_deref())
    };
    let writes: Vec<_> = match publication.routes() {
        Some(routes) => {
            let values = routes.map(|_, route| route.values());
            let targets = binding.spec.targets.iter().zip(&observed.targets);
            targets
                .map(|(target, seen)| targets::plan_write(binding, target, seen, &values, settings))
                .collect()
        }
        None => Vec::new(),
    };
    let supported = findings::supported(&models, &publication, &observed.feed);
    let catalog = findings::catalog(binding, &observed.feed);
    let residency = findings::residency(&models, &publication, &observed.feed);
    let (active, lives) = findings::active(&models, &observed, &publication, embedded, day);
    Plan {
        is_unconfirmed: binding
            .entries()
            .values()
            .any(|entry| publication::is_missing(*entry, &observed)),
        needs_finalizer: !binding.deleting
            && !binding.finalizer
            && (publication.routes().is_some() && binding.spec.needs_cleanup()
                || targets::keeps_owned(binding, &binding.status.targets)
                    && !matches!(publication, Publication::Withdraw { .. })),
        removals: targets::plan_removals(&observed, &publication, violation.is_some(), &writes),
        writes,
        decisions: Decisions {
            residency_violated: violation.is_some(),
            catalog: application::catalog_fresh(catalog, &supported, &observed),
            supported,
            limited_by: findings::limited_by(&models, &publication, &residency, &binding.status),
            residency,
            active,
            lives,
            usable: findings::usable(binding, &observed, settings),
            served: served::within_limits(&observed, &models, &publication, now),
            restarts_enabled: settings.enable_rollout,
            unmarked: None,
            publication,
            binding: observed.binding,
        },
    }
}

/// Returns what is known of each model: the limits, their judgement of what is written, and the answer to act on.
fn considered<'a>(
    binding: &'a observed::Binding,
    observed: &Observed,
    settings: &Settings,
    embedded: &Embedded,
    now: i64,
) -> Models<Considered<'a>> {
    let catalog = observed.feed.catalog.as_deref();
    binding.entries().map(|_, entry| {
        let entry: Entry<'a> = *entry;
        let limits = limits(observed, Some(entry.ask), settings);
        let written = entry.written();
        let written_judgement =
            written.map(|written| limits.judge_written(&written.route, catalog, embedded));
        let judgement = written_judgement.as_ref();
        let answer = answer(entry, observed, &limits, judgement, settings, embedded, now);
        Considered {
            entry,
            limits,
            written_judgement,
            answer,
        }
    })
}

/// Returns the answer to act on: the catalog's, with what is held back.
fn answer(
    entry: Entry<'_>,
    observed: &Observed,
    limits: &Limits,
    written_judgement: Option<&Judgement>,
    settings: &Settings,
    embedded: &Embedded,
    now: i64,
) -> answer::Answer {
    let answer = answer::answer(entry, observed, limits, settings, embedded, now);
    let answer = unknown_life::hold_back(answer, entry, observed, limits, embedded);
    let answer = upgrade::hold_back(
        answer,
        entry,
        observed,
        written_judgement,
        settings,
        embedded,
        lifecycle::day_of(now),
    );
    application::require(answer, entry, observed)
}

/// Returns how a written route breaks a limit, in words. `None` if none does. A model that has left the spec counts as long as its
/// value stands in the targets.
fn violation(
    binding: &observed::Binding,
    models: &Models<Considered<'_>>,
    observed: &Observed,
    settings: &Settings,
    embedded: &Embedded,
) -> Option<String> {
    let catalog = observed.feed.catalog.as_deref();
    let asked = models.iter().find_map(|(name, model)| {
        let judgement = model.written_judgement.as_ref()?;
        judgement
            .forbids()
            .then(|| about(name, &judgement.message()))
    });
    asked.or_else(|| {
        let limits = limits(observed, None, settings);
        let mut gone = binding
            .status
            .written()
            .filter(|(name, _)| models.get(name.map(|name| &**name)).is_none());
        gone.find_map(|(name, written)| {
            let judgement = limits.judge_written(&written.route, catalog, embedded);
            judgement
                .forbids()
                .then(|| about(name, &judgement.message()))
        })
    })
}

/// Returns all residency limits that apply to a model of a binding: the binding's own, its class's, the operator's and its
/// Namespace's.
fn limits(observed: &Observed, ask: Option<&Ask>, settings: &Settings) -> Limits {
    let of_spec = observed.binding.spec.limits(ask).cloned();
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
        catalog::FeedState,
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
            assert_eq!(
                plan.decisions.limited_by.words().as_deref(),
                Some("namespace")
            );
            assert_eq!(plan.removals[0].cause, RemovalCause::Withdrawn, "{limit}");
        }
    }

    #[test]
    fn a_status_says_whose_limit_forbids() {
        let settings = |limit: &str| Settings {
            limit: Limit::parse(LimitOrigin::Operator, &[limit]).ok(),
            ..Settings::default()
        };
        let by = |spec: &str, settings: &Settings| {
            let (after, ..) = visit(&bound(spec), full(), settings);
            after.status.limited_by.words()
        };
        let unlimited = Settings::default();
        let limited = "geography: eu, allowedRegions: ['@eu']";
        let elsewhere = "geography: eu, allowedRegions: ['@us']";
        for (spec, settings, expected) in [
            ("geography: eu", &unlimited, None),
            (limited, &unlimited, None),
            (limited, &settings("eu-*"), None),
            (limited, &settings("us-*"), Some("operator")),
            (elsewhere, &unlimited, Some("binding")),
            (elsewhere, &settings("us-*"), Some("binding")),
            ("geography: jp, allowedRegions: ['@eu']", &unlimited, None),
        ] {
            assert_eq!(by(spec, settings).as_deref(), expected, "{spec}");
        }
        // Where nothing can be found out, what was found earlier stays.
        let before = bound(elsewhere);
        let (after, ..) = visit(&before, FeedState::pending(), &unlimited);
        assert_eq!(after.status.limited_by.words().as_deref(), Some("binding"));
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
