//! The status of a class: what bindings make of it, and whether the workloads that were restarted for it came up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::{
    api::{
        InferenceProfileClassStatus, StuckWorkload,
        condition::{ConditionStatus, ConditionType, Reason},
    },
    class::Class,
    types::ModelId,
};

use super::{identity::WorkloadKey, outcome::Notice, status::Finding};

/// The most models or workloads that a message names.
const NAMED: usize = 5;

/// A model that bindings use, and the state of its life by its reason of `ModelActive`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InUse {
    /// Its reason.
    pub reason: Reason,
    /// The model.
    pub model: ModelId,
}

/// The bindings that name a class, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// By Ready.
    pub ready: BTreeMap<ConditionStatus, usize>,
    /// Those whose Ready is False, by its reason.
    pub refused: BTreeMap<Reason, usize>,
    /// By the model in use. Models whose life is not known are left out.
    pub models: BTreeMap<InUse, usize>,
}

/// Returns the status of a class. `now` is in seconds since the Unix epoch.
#[must_use]
pub fn class_status(
    class: &Class,
    generation: i64,
    before: &InferenceProfileClassStatus,
    census: &Census,
    stuck: &[WorkloadKey],
    now: i64,
) -> InferenceProfileClassStatus {
    let mut status = InferenceProfileClassStatus {
        observed_generation: Some(generation),
        conditions: Vec::new(),
        stages: class.stages().map(str::to_owned).collect(),
        bindings: Some(number(census.ready.values().sum())),
        ready_bindings: Some(number(
            census
                .ready
                .get(&ConditionStatus::True)
                .copied()
                .unwrap_or_default(),
        )),
        stuck_workloads: stuck
            .iter()
            .map(|workload| StuckWorkload {
                kind: workload.kind,
                namespace: workload.namespace.to_string(),
                name: workload.name.to_string(),
            })
            .collect(),
    };
    let findings = [
        (ConditionType::Ready, Some(ready(class))),
        (ConditionType::ModelActive, active(census)),
        (ConditionType::RolloutHealthy, Some(healthy(class, stuck))),
    ];
    for (kind, finding) in findings {
        let Some(finding) = finding else { continue };
        let same = before
            .conditions
            .iter()
            .find(|it| it.type_ == kind.as_str() && it.status == finding.status.as_str());
        let since = Time(Timestamp::from_second(now).unwrap_or_default());
        status.conditions.push(Condition {
            type_: kind.to_string(),
            status: finding.status.to_string(),
            reason: finding.reason.to_string(),
            message: finding.message.to_string(),
            observed_generation: Some(generation),
            last_transition_time: same.map_or(since, |same| same.last_transition_time.clone()),
        });
    }
    status
}

/// Says whether a status differs from another one in more than what counts say, so that it is worth a write at once.
#[must_use]
pub fn is_urgent(
    before: &InferenceProfileClassStatus,
    after: &InferenceProfileClassStatus,
) -> bool {
    let state = |status: &InferenceProfileClassStatus| {
        let conditions = status.conditions.iter();
        let conditions: Vec<(String, String, String)> = conditions
            .map(|it| (it.type_.clone(), it.status.clone(), it.reason.clone()))
            .collect();
        (
            status.observed_generation,
            conditions,
            status.stages.clone(),
            status.stuck_workloads.clone(),
        )
    };
    state(before) != state(after)
}

/// Returns the Event about a class whose bindings were all served before, or some of which were not. `before` is how many were not.
#[must_use]
pub fn census_event(before: usize, census: &Census) -> Option<Notice> {
    let all: usize = census.ready.values().sum();
    let refused: usize = census.refused.values().sum();
    let (warning, reason, message) = match (before, refused) {
        (0, 0) => return None,
        (0, refused) => {
            let by_reason = census.refused.iter();
            let named: Vec<String> = by_reason
                .map(|(reason, count)| format!("{reason} ({count})"))
                .collect();
            let message = format!(
                "{refused} of {all} bindings are not Ready: {}",
                shortened(&named)
            );
            (true, "BindingsNotReady", message)
        }
        (_, 0) => (
            false,
            "BindingsReady",
            format!("none of {all} bindings is refused any more"),
        ),
        _ => return None,
    };
    Some(Notice {
        warning,
        reason,
        message,
    })
}

fn ready(class: &Class) -> Finding {
    match class.fault() {
        Some(fault) => Finding::new(ConditionStatus::False, Reason::ClassInvalid, fault),
        None => Finding::new(
            ConditionStatus::True,
            Reason::Offered,
            "bindings in the namespaces that it selects may name it",
        ),
    }
}

fn active(census: &Census) -> Option<Finding> {
    // Reasons are in the order of a life.
    let worst = census.models.keys().map(|it| it.reason).max()?;
    if worst == Reason::Active {
        let message = "every model that its bindings use is active";
        return Some(Finding::new(ConditionStatus::True, worst, message));
    }
    let models = census.models.iter();
    let ageing = models.filter(|(it, _)| it.reason != Reason::Active).rev();
    let named: Vec<String> = ageing
        .map(|(it, bindings)| {
            let s = if *bindings == 1 { "" } else { "s" };
            format!("{}: {} in {bindings} binding{s}", it.model, it.reason)
        })
        .collect();
    Some(Finding::new(
        ConditionStatus::False,
        worst,
        format!(
            "{}; their conditions ModelActive name successors",
            shortened(&named)
        ),
    ))
}

fn healthy(class: &Class, stuck: &[WorkloadKey]) -> Finding {
    if stuck.is_empty() {
        let message = "no workload that was restarted for the class is overdue";
        return Finding::new(ConditionStatus::True, Reason::Healthy, message);
    }
    let named: Vec<String> = stuck
        .iter()
        .map(|it| format!("{} {}/{}", it.kind, it.namespace, it.name))
        .collect();
    Finding::new(
        ConditionStatus::False,
        Reason::ProgressDeadlineExceeded,
        format!(
            "restarted for the class {}, and not up in time: {}; values are written, and no further restart of the class begins until it is up: correct the workload or the class, or delete the workload",
            class.name,
            shortened(&named)
        ),
    )
}

fn shortened(named: &[String]) -> String {
    let first = named[..named.len().min(NAMED)].join(", ");
    match named.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::api::WorkloadKind;

    use super::*;

    fn class() -> Class {
        let yaml = "{model: a.b, geography: eu, stages: [{name: one, namespaceSelector: {}}, {name: two, namespaceSelector: {}}]}";
        Class::parse("chat", &serde_yaml::from_str(yaml).expect("a class"))
    }

    fn census(ready: usize, not_ready: usize, models: &[(Reason, usize)]) -> Census {
        Census {
            ready: [
                (ConditionStatus::True, ready),
                (ConditionStatus::False, not_ready),
            ]
            .into(),
            refused: (not_ready > 0)
                .then_some((Reason::ModelUnsupported, not_ready))
                .into_iter()
                .collect(),
            models: models
                .iter()
                .map(|(reason, bindings)| {
                    let model = format!("a.{}", reason.as_str().to_lowercase());
                    let in_use = InUse {
                        reason: *reason,
                        model: model.parse().expect("a model"),
                    };
                    (in_use, *bindings)
                })
                .collect(),
        }
    }

    fn of(census: &Census, stuck: &[WorkloadKey]) -> InferenceProfileClassStatus {
        class_status(
            &class(),
            3,
            &InferenceProfileClassStatus::default(),
            census,
            stuck,
            7,
        )
    }

    fn conditions(status: &InferenceProfileClassStatus) -> Vec<String> {
        let conditions = status.conditions.iter();
        conditions
            .map(|it| format!("{}={} {}", it.type_, it.status, it.reason))
            .collect()
    }

    #[test]
    fn a_class_counts_its_bindings_and_tells_the_worst_of_their_models() {
        let status = of(&census(3, 1, &[]), &[]);
        assert_eq!((status.bindings, status.ready_bindings), (Some(4), Some(3)));
        assert_eq!(status.stages, ["one", "two"]);
        assert_eq!(
            conditions(&status),
            ["Ready=True Offered", "RolloutHealthy=True Healthy"]
        );
        for (models, expected) in [
            (&[(Reason::Active, 4)][..], "ModelActive=True Active"),
            (
                &[(Reason::Active, 3), (Reason::LegacyModel, 1)],
                "ModelActive=False LegacyModel",
            ),
            (
                &[
                    (Reason::EndOfLifePassed, 1),
                    (Reason::EndOfLifeNear, 1),
                    (Reason::LegacyModel, 2),
                ],
                "ModelActive=False EndOfLifePassed",
            ),
        ] {
            let status = of(&census(4, 0, models), &[]);
            assert_eq!(conditions(&status)[1], expected);
        }
    }

    #[test]
    fn an_event_tells_when_bindings_are_no_longer_served_and_when_they_are() {
        let refused = census(1, 3, &[]);
        let event = census_event(0, &refused).expect("an Event");
        assert_eq!((event.warning, event.reason), (true, "BindingsNotReady"));
        assert_eq!(
            event.message,
            "3 of 4 bindings are not Ready: ModelUnsupported (3)"
        );
        assert_eq!(census_event(2, &refused), None, "it is told");
        let served = census(4, 0, &[]);
        let event = census_event(2, &served).expect("an Event");
        assert_eq!((event.warning, event.reason), (false, "BindingsReady"));
        assert_eq!(census_event(0, &served), None);
    }

    #[test]
    fn a_stuck_workload_is_named_and_conditions_are_urgent() {
        let before = of(&census(3, 1, &[]), &[]);
        let counted = of(&census(4, 0, &[]), &[]);
        assert!(!is_urgent(&before, &counted) && before != counted);
        let workload = WorkloadKey {
            kind: WorkloadKind::Deployment,
            namespace: "shop".into(),
            name: "web".into(),
        };
        let stuck = of(&census(3, 1, &[]), &vec![workload; 7]);
        assert!(is_urgent(&before, &stuck));
        let condition = stuck.conditions.last().expect("a condition");
        assert_eq!(condition.reason, "ProgressDeadlineExceeded");
        let message = &condition.message;
        assert!(message.contains("Deployment shop/web"), "{message}");
        assert!(message.contains("and 2 more"), "{message}");
    }

    #[test]
    fn a_transition_time_moves_with_the_status_alone() {
        let before = of(&census(1, 0, &[(Reason::Active, 1)]), &[]);
        let census = census(1, 0, &[(Reason::LegacyModel, 1)]);
        let after = class_status(&class(), 4, &before, &census, &[], 60);
        let since = |status: &InferenceProfileClassStatus| -> Vec<i64> {
            let conditions = status.conditions.iter();
            conditions
                .map(|it| it.last_transition_time.0.as_second())
                .collect()
        };
        assert_eq!(since(&before), [7, 7, 7]);
        assert_eq!(since(&after), [7, 60, 7]);
    }
}
