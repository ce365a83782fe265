//! What an edit does to a binding: its status now, without the edit and with it, compared.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    models::listed,
    plan::{
        identity::{ObjectKey, TargetKey, WorkloadKey},
        status::{ClassOrigin, Finding, Status},
    },
};

/// Classes that ask for models of a binding, each with the name of the model among several.
pub(super) type NamedClasses = Vec<(Option<Arc<str>>, ClassOrigin)>;

/// The most characters of a condition's message that a reason repeats.
const SHOWN: usize = 200;

/// What becomes of a binding, the most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    /// Its value is taken away.
    Withdrawn,
    /// It is Ready, and would not be any more.
    LosesReady,
    /// It is new, and would not be Ready.
    NotReady,
    /// It would have another value.
    Moves,
    /// It has no value, and would have one.
    GetsValue,
    /// It is not Ready, and would be, with the value that it has.
    BecomesReady,
    /// Its value stays, and its targets would hold other keys or texts, or would be others.
    Rewritten,
    /// It would say something else of why it is not Ready.
    OtherReason,
}

impl Effect {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawn => "Withdrawn",
            Self::LosesReady => "LosesReady",
            Self::NotReady => "NotReady",
            Self::Moves => "Moves",
            Self::GetsValue => "GetsValue",
            Self::BecomesReady => "BecomesReady",
            Self::Rewritten => "Rewritten",
            Self::OtherReason => "OtherReason",
        }
    }

    /// Says whether it is a loss, for which the command exits with 3.
    pub(super) fn is_loss(self) -> bool {
        matches!(self, Self::Withdrawn | Self::LosesReady | Self::NotReady)
    }
}

/// What a plan makes of a binding, if all that it does succeeds.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) status: Status,
    /// The workloads that restart.
    pub(super) restarts: Vec<WorkloadKey>,
    /// The classes that ask for it, each with the name of its model among several.
    pub(super) classes: NamedClasses,
    /// Why it is not known what the operator would decide.
    pub(super) unknown: Option<String>,
}

/// What happens to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetChange {
    Created,
    Updated,
    Removed,
}

impl TargetChange {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Updated => "Updated",
            Self::Removed => "Removed",
        }
    }
}

/// A binding that would change.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) binding: ObjectKey,
    pub(super) effect: Effect,
    pub(super) value_now: Option<String>,
    pub(super) value_then: Option<String>,
    pub(super) ready_now: Option<Finding>,
    pub(super) ready_then: Option<Finding>,
    /// The classes that ask for the value then.
    pub(super) classes: NamedClasses,
    /// The reason in short.
    pub(super) why: String,
    pub(super) targets: Vec<(TargetKey, TargetChange)>,
    pub(super) restarts: Vec<WorkloadKey>,
}

/// Returns what the edit does to a binding. `now` is its status, `None` if it is not there yet; `without` is what a plan makes
/// of it without the edit, which is what it is due to become anyway; `then` with the edit. Returns `None` if the edit
/// changes neither value, targets nor `Ready`.
pub(super) fn row(
    binding: &ObjectKey,
    now: Option<&Status>,
    without: Option<&Planned>,
    then: &Planned,
) -> Option<Row> {
    // What is not known without the edit is as it is recorded.
    let anyway = without.filter(|it| it.unknown.is_none());
    let anyway = anyway.map(|it| &it.status).or(now);
    if anyway.is_some_and(|anyway| Seen::of(anyway) == Seen::of(&then.status)) {
        return None;
    }
    let nothing = Status::default();
    let before = now.unwrap_or(&nothing);
    let (ready_now, ready_then) = (ready(before), ready(&then.status));
    let targets = changes(before, &then.status);
    let effect = effect(now.is_none(), before, &then.status, !targets.is_empty());
    Some(Row {
        binding: binding.clone(),
        effect,
        value_now: value(before),
        value_then: value(&then.status),
        why: why(&then.status, &then.classes),
        ready_now,
        ready_then,
        classes: then.classes.clone(),
        targets,
        restarts: then.restarts.clone(),
    })
}

/// What of a status an edit is judged by. Messages and times are left out.
#[derive(Debug, PartialEq, Eq)]
struct Seen<'s> {
    value: Option<String>,
    ready: Option<(ConditionStatus, Reason)>,
    contents: BTreeMap<&'s TargetKey, &'s str>,
}

impl<'s> Seen<'s> {
    fn of(status: &'s Status) -> Self {
        let ready = status.condition(ConditionType::Ready);
        Self {
            value: value(status),
            ready: ready.map(|ready| (ready.status, ready.reason)),
            contents: contents(status),
        }
    }
}

fn value(status: &Status) -> Option<String> {
    status.invoked()
}

fn ready(status: &Status) -> Option<Finding> {
    status.finding(ConditionType::Ready)
}

/// Returns the hash of what each target holds.
fn contents(status: &Status) -> BTreeMap<&TargetKey, &str> {
    let records = status.targets.iter();
    records.map(|record| (&record.key, &*record.hash)).collect()
}

fn changes(before: &Status, then: &Status) -> Vec<(TargetKey, TargetChange)> {
    let (before, then) = (contents(before), contents(then));
    let written = then.iter().filter_map(|(key, hash)| {
        let change = match before.get(key) {
            None => TargetChange::Created,
            Some(held) if held != hash => TargetChange::Updated,
            Some(_) => return None,
        };
        Some(((*key).clone(), change))
    });
    let gone = before.keys().filter(|key| !then.contains_key(*key));
    let gone = gone.map(|key| ((*key).clone(), TargetChange::Removed));
    let mut changes: Vec<_> = written.chain(gone).collect();
    changes.sort_by(|(one, _), (other, _)| one.cmp(other));
    changes
}

fn effect(is_new: bool, before: &Status, then: &Status, targets_change: bool) -> Effect {
    let is_ready = |status: &Status| ready(status).is_some_and(|ready| ready.is_true());
    match (value(before), value(then)) {
        (Some(_), None) => Effect::Withdrawn,
        _ if is_ready(before) && !is_ready(then) => Effect::LosesReady,
        _ if is_new && !is_ready(then) => Effect::NotReady,
        (None, Some(_)) => Effect::GetsValue,
        (Some(now), Some(then)) if now != then => Effect::Moves,
        _ if !is_ready(before) && is_ready(then) => Effect::BecomesReady,
        _ if targets_change => Effect::Rewritten,
        _ => Effect::OtherReason,
    }
}

/// Returns the reason in short: why it is not Ready, or how its value was found, and for which classes.
fn why(then: &Status, classes: &NamedClasses) -> String {
    let finding = match ready(then) {
        Some(ready) if !ready.is_true() => Some((ready.reason, Some(ready.message))),
        _ => {
            let supported = then.finding(ConditionType::RegionSupported);
            supported.map(|supported| (supported.reason, None))
        }
    };
    let words = classes.iter().map(|(name, class)| {
        let stage = class.stage.as_deref();
        let stage = stage.map_or_else(String::new, |stage| format!(", stage {stage}"));
        (name.as_ref(), format!("class {}{stage}", class.name))
    });
    let class = match classes.as_slice() {
        [] => String::new(),
        _ => format!(" ({})", listed(words)),
    };
    match finding {
        None => class.trim_start().to_owned(),
        Some((reason, None)) => format!("{reason}{class}"),
        Some((reason, Some(message))) => format!("{reason}{class}: {}", shortened(&message)),
    }
}

fn shortened(message: &Arc<str>) -> String {
    match message.char_indices().nth(SHOWN) {
        None => message.to_string(),
        Some((end, _)) => format!("{}...", &message[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{CreationPolicy, TargetKind},
        catalog::SourceKind,
        models::Models,
        plan::status::{Condition, ModelInUse, Provenance, TargetRecord, WrittenRoute},
        route::{Destinations, Invocation, Route},
    };

    /// Returns a status with this value, this Ready and these targets, each with what it holds.
    fn status(value: Option<&str>, ready: bool, targets: &[(&str, &str)]) -> Status {
        let route = value.map(|model| {
            Arc::new(WrittenRoute {
                application: None,
                route: Route {
                    model: model.parse().expect("a model"),
                    source_region: "eu-west-1".parse().expect("a region"),
                    invocation: Invocation::OnDemand,
                    destinations: Destinations::Anywhere,
                },
                account: None,
                provenance: Provenance {
                    source: SourceKind::Embedded,
                    account: None,
                    as_of: "2026-11-01".into(),
                },
                class: None,
            })
        });
        let (status, reason) = if ready {
            (ConditionStatus::True, Reason::Bound)
        } else {
            (ConditionStatus::False, Reason::ModelUnsupported)
        };
        Status {
            conditions: Arc::new(vec![Condition {
                kind: ConditionType::Ready,
                status,
                reason,
                message: "a message".into(),
                generation: 1,
                since: 0,
            }]),
            models: Models::One(ModelInUse {
                route,
                ..ModelInUse::default()
            }),
            targets: targets
                .iter()
                .map(|(name, hash)| TargetRecord {
                    key: key(name),
                    uid: "uid".into(),
                    policy: CreationPolicy::Owner,
                    hash: (*hash).into(),
                    restart_pending: Box::default(),
                    since: None,
                })
                .collect(),
            ..Status::default()
        }
    }

    fn key(name: &str) -> TargetKey {
        TargetKey {
            kind: TargetKind::ConfigMap,
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    fn planned(status: Status) -> Planned {
        Planned {
            status,
            restarts: Vec::new(),
            classes: Vec::new(),
            unknown: None,
        }
    }

    fn compared(now: Option<&Status>, without: Option<Status>, then: &Status) -> Option<Row> {
        let binding = ObjectKey {
            namespace: "shop".into(),
            name: "chat".into(),
        };
        let without = without.map(planned);
        row(&binding, now, without.as_ref(), &planned(then.clone()))
    }

    #[test]
    fn what_an_edit_does() {
        let bound = status(Some("a.one"), true, &[("t", "1")]);
        let nothing = status(None, false, &[]);
        for (now, then, expected) in [
            (Some(&bound), bound.clone(), None),
            (Some(&nothing), nothing.clone(), None),
            (Some(&bound), nothing.clone(), Some(Effect::Withdrawn)),
            (
                Some(&bound),
                status(Some("a.one"), false, &[("t", "1")]),
                Some(Effect::LosesReady),
            ),
            (
                Some(&bound),
                status(Some("a.two"), false, &[("t", "1")]),
                Some(Effect::LosesReady),
            ),
            (
                Some(&bound),
                status(Some("a.two"), true, &[("t", "2")]),
                Some(Effect::Moves),
            ),
            (
                Some(&bound),
                status(Some("a.one"), true, &[("t", "1"), ("u", "1")]),
                Some(Effect::Rewritten),
            ),
            (
                Some(&status(Some("a.one"), false, &[("t", "1")])),
                bound.clone(),
                Some(Effect::BecomesReady),
            ),
            (Some(&nothing), bound.clone(), Some(Effect::GetsValue)),
            (None, bound.clone(), Some(Effect::GetsValue)),
            (None, nothing.clone(), Some(Effect::NotReady)),
        ] {
            let found = compared(now, now.cloned(), &then);
            let found = found.map(|row| row.effect);
            assert_eq!(found, expected, "{now:?} -> {then:?}");
        }
    }

    #[test]
    fn what_changes_without_the_edit_too_is_not_its_effect() {
        let now = status(Some("a.one"), true, &[("t", "1")]);
        let moved = status(Some("a.two"), true, &[("t", "2")]);
        assert!(compared(Some(&now), Some(moved.clone()), &moved).is_none());
        // The row tells from what is there, not from what would be there anyway.
        let third = status(Some("a.three"), true, &[("t", "3")]);
        let row = compared(Some(&now), Some(moved), &third).expect("a row");
        assert_eq!(row.value_now.as_deref(), Some("a.one"));
    }

    #[test]
    fn what_is_not_known_without_the_edit_is_as_recorded() {
        let now = status(Some("a.one"), true, &[("t", "1")]);
        let unknown = Planned {
            unknown: Some("no right".to_owned()),
            ..planned(status(Some("a.one"), false, &[("t", "1")]))
        };
        let binding = ObjectKey {
            namespace: "shop".into(),
            name: "chat".into(),
        };
        let then = planned(now.clone());
        assert!(row(&binding, Some(&now), Some(&unknown), &then).is_none());
    }

    #[test]
    fn a_row_names_targets_and_reasons() {
        let now = status(Some("a.one"), true, &[("a", "1"), ("b", "1"), ("c", "1")]);
        let then = status(Some("a.one"), true, &[("b", "2"), ("c", "1"), ("d", "1")]);
        let row = compared(Some(&now), Some(now.clone()), &then).expect("a row");
        let targets: Vec<(&str, &str)> = row
            .targets
            .iter()
            .map(|(key, change)| (&*key.name, change.as_str()))
            .collect();
        assert_eq!(
            targets,
            [("a", "Removed"), ("b", "Updated"), ("d", "Created")]
        );
        let class = ClassOrigin {
            name: "chat".into(),
            stage: Some("canary".into()),
        };
        let broken = status(None, false, &[]);
        assert_eq!(
            why(&broken, &vec![(None, class)]),
            "ModelUnsupported (class chat, stage canary): a message"
        );
    }

    #[test]
    fn a_long_message_is_shortened() {
        let long: Arc<str> = "ä".repeat(SHOWN + 1).into();
        let short = shortened(&long);
        assert_eq!(short.chars().count(), SHOWN + 3);
        assert!(short.ends_with("..."));
    }
}
