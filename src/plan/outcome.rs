//! What came of a plan: the inventory, the status, Events and the next visit.

use std::{collections::BTreeMap, sync::Arc};

use crate::api::{
    CreationPolicy, TargetKind,
    condition::{ConditionStatus, ConditionType, Reason},
};

use super::{
    action::{Problem, Removal, Retry, TriedRemoval, TriedRestart},
    findings,
    identity::{TargetKey, WorkloadKey},
    observed::{Binding, Workloads},
    publication::Publication,
    restarts::{self, Restarted},
    status::{Finding, Status, TargetRecord, WrittenRoute},
    steps::{Decided, Finishing, WriteOutcomes},
    values_hash::{changed_keys, values_hash},
};

/// An Event to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether something is wrong.
    pub warning: bool,
    /// Reason, in CamelCase.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// What came of a plan: the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The binding that this is about.
    pub binding: Arc<Binding>,
    /// The status to write, where it differs from the one observed; nothing where the binding is being deleted.
    pub status: Option<Status>,
    /// What was to be removed.
    pub removals: Vec<Removal>,
    /// Whether our finalizer may go.
    pub drop_finalizer: bool,
    /// Events.
    pub notices: Vec<Notice>,
    /// Whether, and how soon, to come back without being called.
    pub retry: Retry,
}

pub(super) fn conclude(
    finishing: Finishing,
    removals: Vec<TriedRemoval>,
    restarts: &[TriedRestart],
    now: i64,
) -> Outcome {
    let Finishing { decided, writes } = finishing;
    let binding = &*decided.binding;
    let settled = restarts::settled(binding, &writes, restarts);
    let inventory = inventory(&decided, &writes, &removals, settled, now);
    let failed_removals = removals.iter().filter_map(|it| it.outcome.as_ref().err());
    let failed_restarts = restarts.iter().filter_map(|it| it.outcome.as_ref().err());
    let problems: Vec<&Problem> = writes
        .problems(binding)
        .into_iter()
        .chain(failed_removals)
        .chain(failed_restarts)
        .collect();
    let retry = problems
        .iter()
        .map(|problem| problem.retry)
        .max()
        .unwrap_or(Retry::OnChange);
    // An immutable object lets go of nothing, ever: it holds up no deletion.
    let is_cleaned = |removal: &TriedRemoval| {
        is_final(removal)
            || matches!(&removal.outcome, Err(problem) if problem.reason == Reason::TargetInvalid)
    };
    if binding.deleting {
        return Outcome {
            status: None,
            drop_finalizer: binding.finalizer && removals.iter().all(is_cleaned),
            notices: Vec::new(),
            retry,
            removals: removals.into_iter().map(|it| it.what).collect(),
            binding: decided.binding,
        };
    }
    let merges = binding.spec.merges()
        || inventory
            .iter()
            .any(|record| record.policy == CreationPolicy::Merge);
    let missing = missing_workloads(&decided, restarts);
    let synced = decided.synced(&problems, restarts, &missing);
    let status = decided.status(inventory, &writes, missing, synced, now);
    let mut notices = decided.notices(&status);
    if settled {
        notices.extend(restarted(restarts));
    }
    Outcome {
        status: (status != binding.status).then_some(status),
        drop_finalizer: binding.finalizer && !merges,
        notices,
        retry,
        removals: removals.into_iter().map(|it| it.what).collect(),
        binding: decided.binding,
    }
}

fn inventory(
    decided: &Decided,
    writes: &WriteOutcomes,
    removals: &[TriedRemoval],
    settled: bool,
    now: i64,
) -> Vec<TargetRecord> {
    let binding = &*decided.binding;
    let outstanding = decided.restarts_enabled && !binding.spec.rollout.is_empty() && !settled;
    let mut records: BTreeMap<TargetKey, TargetRecord> = binding
        .status
        .targets
        .iter()
        .map(|record| (record.key.clone(), record.clone()))
        .collect();
    for removal in removals {
        if is_final(removal) {
            records.remove(&removal.what.key);
        }
    }
    for (write, uid) in writes.succeeded() {
        let before = records.get(&write.key);
        let hash = values_hash(&write.content);
        let changed = before
            .filter(|_| outstanding)
            .map(|before| changed_keys(before, &write.content))
            .unwrap_or_default();
        let since = match before {
            // What is still to be restarted is due until it is, whatever is written meanwhile.
            Some(before) if !changed.is_empty() => before.since,
            Some(before) if *before.hash == *hash && before.restart_pending.is_empty() => {
                before.since
            }
            _ => Some(now),
        };
        let record = TargetRecord {
            key: write.key.clone(),
            uid: uid.clone(),
            policy: write.policy,
            hash: hash.into(),
            restart_pending: changed.into_iter().map(Arc::from).collect(),
            since,
        };
        records.insert(write.key.clone(), record);
    }
    records.into_values().collect()
}

/// Returns the workloads of the spec that were not there when they were to be restarted. What a restart did not find is not
/// looked for again; that it was not found stands until the spec changes.
fn missing_workloads(decided: &Decided, restarts: &[TriedRestart]) -> Workloads {
    let binding = &*decided.binding;
    let same_spec = binding.status.observed_generation == Some(binding.generation);
    let still_out_there = !matches!(
        decided.publication,
        Publication::Withdraw { .. } | Publication::Nothing
    );
    if restarts.is_empty() && same_spec && still_out_there {
        return binding.status.missing_workloads.clone();
    }
    became(restarts, Restarted::Missing)
        .map(|workload| (workload.kind, workload.name.clone()))
        .collect()
}

impl Decided {
    fn status(
        &self,
        inventory: Vec<TargetRecord>,
        writes: &WriteOutcomes,
        missing_workloads: Workloads,
        synced: Finding,
        now: i64,
    ) -> Status {
        let binding = &*self.binding;
        let prior = &binding.status;
        let generation = binding.generation;
        let route = self.route_in_use(&inventory, writes);
        let ready = findings::ready(&self.supported, &self.residency, &synced, route.as_deref());
        let secret = inventory
            .iter()
            .find(|record| {
                record.key.kind == TargetKind::Secret && record.policy == CreationPolicy::Owner
            })
            .map(|record| record.key.name.clone());
        let (active, lifecycle) = match &self.active {
            Some((active, lifecycle)) => (Some(active), lifecycle.clone()),
            None => (None, None),
        };
        let mut status = Status {
            observed_generation: Some(generation),
            conditions: Vec::with_capacity(ConditionType::ALL.len()),
            route,
            targets: inventory,
            missing_workloads,
            lifecycle,
            secret,
        };
        let progress = match ready.status {
            _ if binding.spec.suspend => None,
            ConditionStatus::True => None,
            ConditionStatus::False => Some((ConditionType::Stalled, ready.clone())),
            ConditionStatus::Unknown => Some((ConditionType::Reconciling, ready.clone())),
        };
        let mut set = |kind, finding| status.upsert(prior, kind, finding, generation, now);
        set(ConditionType::Ready, ready);
        set(ConditionType::RegionSupported, self.supported.clone());
        set(ConditionType::ResidencySatisfied, self.residency.clone());
        set(ConditionType::TargetsSynced, synced);
        set(ConditionType::CatalogFresh, self.catalog.clone());
        if let Some(active) = active {
            set(ConditionType::ModelActive, active.clone());
        }
        if let Some(usable) = &self.usable {
            set(ConditionType::ModelUsable, usable.clone());
        }
        if let Some((kind, ready)) = progress {
            set(
                kind,
                Finding::new(ConditionStatus::True, ready.reason, ready.message),
            );
        }
        if binding.spec.suspend {
            set(
                ConditionType::Suspended,
                Finding::new(
                    ConditionStatus::True,
                    Reason::SuspendedBySpec,
                    "spec.suspend is true: targets are left as they are; residency limits and deletion still act",
                ),
            );
        }
        status
    }

    /// Returns the route whose values are out there now.
    fn route_in_use(
        &self,
        inventory: &[TargetRecord],
        writes: &WriteOutcomes,
    ) -> Option<Arc<WrittenRoute>> {
        let prior = &self.binding.status.route;
        let old_is_left = self.residency_violated
            && writes
                .left_behind(&self.binding)
                .any(|left| inventory.iter().any(|record| record.key == left.key));
        match &self.publication {
            // It is still out there, so it is what residency is judged by.
            _ if old_is_left => prior.clone(),
            Publication::Publish(route) | Publication::Keep(route) => Some(route.clone()),
            Publication::Withdraw { .. } if inventory.is_empty() => None,
            Publication::Withdraw { .. } | Publication::Leave => prior.clone(),
            Publication::Nothing => None,
        }
    }

    fn synced(
        &self,
        problems: &[&Problem],
        restarts: &[TriedRestart],
        missing: &Workloads,
    ) -> Finding {
        if let Some(finding) = problems_finding(problems) {
            return finding;
        }
        let no_route =
            |message: String| Finding::new(ConditionStatus::Unknown, Reason::NoProfile, message);
        let status = &self.binding.status;
        let before = status.finding(ConditionType::TargetsSynced);
        match &self.publication {
            Publication::Publish(_) | Publication::Keep(_) => self.up_to_date(restarts, missing),
            Publication::Withdraw { why } => no_route(format!("withdrawn: {why}")),
            Publication::Leave => {
                before.unwrap_or_else(|| no_route("nothing was written yet".to_owned()))
            }
            // Why a value was withdrawn stands until the spec changes.
            Publication::Nothing => before
                .filter(|before| {
                    before.reason == Reason::NoProfile
                        && status.observed_generation == Some(self.binding.generation)
                })
                .unwrap_or_else(|| no_route("there is no value to write".to_owned())),
        }
    }

    /// Returns what `TargetsSynced` says where all is written.
    fn up_to_date(&self, restarts: &[TriedRestart], missing: &Workloads) -> Finding {
        let binding = &*self.binding;
        let targets = binding.spec.targets.iter();
        let names = joined(targets.map(|target| binding.target_key(target)));
        let mut message = format!("up to date: {names}");
        if !binding.spec.rollout.is_empty() && !self.restarts_enabled {
            message.push_str(
                "; this operator does not restart workloads (start it with --enable-rollout)",
            );
        }
        if !missing.is_empty() {
            let missing = joined(missing.iter().map(|(kind, name)| format!("{kind} {name}")));
            message = format!("{message}; not restarted, as it does not exist: {missing}");
        }
        let waiting = joined(became(restarts, Restarted::Waits));
        if !waiting.is_empty() {
            message = format!("{message}; the restart of {waiting} waits for others");
        }
        Finding::new(ConditionStatus::True, Reason::Synced, message)
    }

    fn notices(&self, status: &Status) -> Vec<Notice> {
        let mut notices = Vec::new();
        let prior = &self.binding.status;
        if let (Publication::Withdraw { why }, Some(withdrawn), None) =
            (&self.publication, &prior.route, &status.route)
        {
            notices.push(Notice {
                warning: true,
                reason: "Withdrawn",
                message: format!(
                    "{} was removed from the targets: {why}. Pods that run keep the value",
                    withdrawn.route.id()
                ),
            });
        }
        if let (Some(old), Some(new)) = (&prior.route, &status.route)
            && old.route.id() != new.route.id()
        {
            notices.push(Notice {
                warning: false,
                reason: "ProfileChanged",
                message: format!("{} replaces {}", new.route.id(), old.route.id()),
            });
        }
        notices.extend(became_legacy(prior, status));
        notices.extend(ready_changed(prior, status));
        notices
    }
}

/// Returns the Event that tells that Ready has another reason, or became True after it was False.
fn ready_changed(prior: &Status, status: &Status) -> Option<Notice> {
    let before = prior.condition(ConditionType::Ready);
    let after = status.condition(ConditionType::Ready)?;
    if before.is_some_and(|before| (before.status, before.reason) == (after.status, after.reason)) {
        return None;
    }
    // The first success needs no Event: a write per new binding would say what the status says.
    let recovered = before.is_some_and(|before| before.status == ConditionStatus::False);
    match after.status {
        ConditionStatus::False => {}
        ConditionStatus::True if recovered => {}
        ConditionStatus::True | ConditionStatus::Unknown => return None,
    }
    Some(Notice {
        warning: after.status == ConditionStatus::False,
        reason: after.reason.as_str(),
        message: after.message.to_string(),
    })
}

/// Returns the Event that tells that a model which was active is legacy now. That it is legacy from the beginning, the status
/// says: an Event would be one more write per new binding.
fn became_legacy(prior: &Status, status: &Status) -> Option<Notice> {
    let was_active = prior.finding(ConditionType::ModelActive)?.is_true();
    let now = status.finding(ConditionType::ModelActive)?;
    (was_active && !now.is_true()).then(|| Notice {
        warning: true,
        reason: now.reason.as_str(),
        message: now.message.to_string(),
    })
}

/// Returns the workloads of which this became.
fn became(restarts: &[TriedRestart], what: Restarted) -> impl Iterator<Item = &WorkloadKey> {
    restarts
        .iter()
        .filter(move |tried| tried.outcome == Ok(what))
        .map(|tried| &tried.what.workload)
}

/// Returns the Event that tells which workloads were restarted for a change.
fn restarted(restarts: &[TriedRestart]) -> Option<Notice> {
    let workloads = joined(became(restarts, Restarted::Triggered));
    (!workloads.is_empty()).then(|| Notice {
        warning: false,
        reason: "RolloutTriggered",
        message: format!("restarted for a changed value: {workloads}"),
    })
}

fn joined(names: impl Iterator<Item = impl ToString>) -> String {
    names
        .map(|name| name.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns what `TargetsSynced` says of problems. What failed on the way comes first: as long as it does, nothing definite
/// is known of the targets.
fn problems_finding(problems: &[&Problem]) -> Option<Finding> {
    /// Messages that one condition carries in full.
    const SHOWN: usize = 3;
    let failed_on_the_way = |problem: &&&Problem| problem.retry == Retry::Soon;
    let (status, reason) = match problems.iter().find(failed_on_the_way) {
        Some(failed) => (ConditionStatus::Unknown, failed.reason),
        None => (ConditionStatus::False, problems.first()?.reason),
    };
    let mut messages: Vec<&str> = problems
        .iter()
        .filter(|problem| problem.reason == reason)
        .chain(problems.iter().filter(|problem| problem.reason != reason))
        .map(|problem| problem.message.as_str())
        .collect();
    let more = messages.len().saturating_sub(SHOWN);
    messages.truncate(SHOWN);
    let mut message = messages.join("; ");
    if more > 0 {
        message = format!("{message}; and {more} more");
    }
    Some(Finding::new(status, reason, message))
}

/// Says whether a removal needs no other try: what was refused is still there, and stays in the inventory.
fn is_final(removal: &TriedRemoval) -> bool {
    let problem = removal.outcome.as_ref().err();
    problem.is_none_or(|problem| problem.retry == Retry::OnChange)
}

#[cfg(test)]
mod tests {
    use crate::{
        catalog::embedded::Embedded,
        plan::{
            action::How,
            plan,
            restarts::Restart,
            testing::{
                DONE, NOW, SETTINGS, bound, carry_out, edited, full, message_of, observed, planned,
                restarting, running, says, says_of, sonnet, succeed, visit, visit_restarting,
                with_workload, written,
            },
        },
    };

    use super::*;

    #[test]
    fn a_new_binding_is_created_and_says_so_without_an_event() {
        let (after, plan, conclusion) = visit(&sonnet("geography: eu"), full(), &SETTINGS);
        let write = plan.writes[0].as_ref().expect("a write");
        assert_eq!((&write.how, write.content.len()), (&How::Create, 5));
        assert_eq!(
            says(&after, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        assert_eq!(conclusion.notices, []);
        assert_eq!(conclusion.retry, Retry::OnChange);
        let manifest = write.manifest(&after);
        assert_eq!(manifest["metadata"]["ownerReferences"][0]["uid"], "uid-1");
        assert!(
            manifest["metadata"]["ownerReferences"][0]
                .get("blockOwnerDeletion")
                .is_none()
        );
    }

    #[test]
    fn a_second_visit_changes_nothing() {
        let before = bound("geography: eu");
        let later = plan(
            observed(&before, full()),
            &SETTINGS,
            Embedded::load(),
            NOW + 3600,
        );
        let (_, later) = succeed(later, NOW + 3600);
        assert_eq!(later.status, None);
        assert_eq!(later.notices, []);
    }

    #[test]
    fn a_failed_write_is_unknown_and_keeps_the_inventory() {
        let before = bound("geography: eu");
        let failed = Problem {
            reason: Reason::Retrying,
            message: "ConfigMap claude: no answer".into(),
            retry: Retry::Soon,
        };
        let plan = planned(observed(&before, full()));
        let (_, conclusion) = carry_out(plan, |_| Err(failed.clone()), |_| Ok(()), |_| DONE, NOW);
        let status = conclusion.status.expect("a status");
        assert_eq!(status.targets, before.status.targets);
        let ready = status.condition(ConditionType::Ready).expect("ready");
        assert_eq!(
            (ready.status, ready.reason),
            (ConditionStatus::Unknown, Reason::Retrying)
        );
        assert_eq!(conclusion.retry, Retry::Soon);
    }

    #[test]
    fn every_problem_is_named_and_what_failed_on_the_way_comes_first() {
        let four = "geography: eu, targets: [{kind: Secret, name: a}, {kind: Secret, name: b}, \
                    {kind: Secret, name: c}, {kind: ConfigMap, name: d}]";
        let (after, ..) = visit(&sonnet(four), full(), &SETTINGS);
        let synced = after
            .status
            .condition(ConditionType::TargetsSynced)
            .expect("a condition");
        assert_eq!(synced.reason, Reason::SecretsDisabled);
        for target in ["Secret a", "Secret b", "Secret c"] {
            assert!(synced.message.contains(target), "{}", synced.message);
        }

        let before = sonnet(four);
        let failed = Problem {
            reason: Reason::Retrying,
            message: "ConfigMap d: no answer".into(),
            retry: Retry::Soon,
        };
        let plan = planned(observed(&before, full()));
        let (_, outcome) = carry_out(plan, |_| Err(failed.clone()), |_| Ok(()), |_| DONE, NOW);
        let status = outcome.status.expect("a status");
        let synced = status
            .condition(ConditionType::TargetsSynced)
            .expect("a condition");
        assert_eq!(
            (synced.status, synced.reason),
            (ConditionStatus::Unknown, Reason::Retrying)
        );
        assert!(
            synced
                .message
                .starts_with("ConfigMap d: no answer; Secret a")
        );
        assert!(
            synced.message.ends_with("; and 1 more"),
            "{}",
            synced.message
        );
    }

    #[test]
    fn one_event_names_all_workloads_of_a_change() {
        let rest = |geography: &str| {
            format!(
                "geography: {geography}, rollout: [{{kind: Deployment, name: a}}, {{kind: DaemonSet, name: b}}]"
            )
        };
        let before = visit_restarting(&sonnet(&rest("eu")), full(), &DONE, NOW).0;
        let changed = edited(&before, &rest("global"));
        for (second, expected) in [
            (Restarted::Waits, None),
            (
                Restarted::Missing,
                Some("restarted for a changed value: Deployment a"),
            ),
            (
                Restarted::Triggered,
                Some("restarted for a changed value: Deployment a, DaemonSet b"),
            ),
        ] {
            let plan = restarting(observed(&changed, full()), NOW + 60);
            let restart = |restart: &Restart| match restart.workload.name.as_ref() {
                "a" => DONE,
                _ => Ok(second),
            };
            let (_, outcome) = carry_out(plan, written, |_| Ok(()), restart, NOW + 60);
            let notices = outcome.notices;
            let told = notices
                .iter()
                .find(|notice| notice.reason == "RolloutTriggered");
            assert_eq!(
                told.map(|notice| notice.message.as_str()),
                expected,
                "{second:?}"
            );
        }
    }

    #[test]
    fn a_workload_that_is_not_there_is_said_and_not_looked_for_again() {
        let changed = edited(
            &running("geography: eu"),
            &with_workload("geography: global"),
        );
        let (after, _, conclusion) =
            visit_restarting(&changed, full(), &Ok(Restarted::Missing), NOW + 60);
        assert_eq!(says_of(&after), (ConditionStatus::True, Reason::Synced));
        assert!(
            message_of(&after).ends_with("; not restarted, as it does not exist: Deployment chat"),
            "{}",
            message_of(&after)
        );
        assert!(
            conclusion
                .notices
                .iter()
                .all(|notice| notice.reason != "RolloutTriggered")
        );
        let (_, restarts, later) = visit_restarting(&after, full(), &DONE, NOW + 120);
        assert_eq!((restarts, later.status), (vec![], None));
        let corrected = edited(
            &after,
            "geography: global, rollout: [{kind: Deployment, name: other}]",
        );
        let (corrected, restarts, _) = visit_restarting(&corrected, full(), &DONE, NOW + 120);
        assert_eq!(restarts, []);
        assert!(!message_of(&corrected).contains("not restarted"));
    }
}
