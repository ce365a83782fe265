//! Makes the outcome of a plan: the inventory, the status, Events and the next visit.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    api::{
        CreationPolicy, TargetKind,
        condition::{ConditionStatus, ConditionType, Reason},
    },
    models::{Models, listed},
};

use super::{
    action::{Problem, Removal, Retry, TriedRemoval, TriedRestart},
    findings,
    identity::{TargetKey, WorkloadKey},
    observed::{Binding, Workloads},
    publication::Publication,
    restarts::{self, RestartOutcome},
    status::{Finding, ModelInUse, Status, TargetRecord, WrittenRoute},
    steps::{Decisions, Finishing, WriteOutcomes},
    targets,
    values_hash::{changed_keys, values_hash},
};

/// An Event to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is of type Warning, else Normal.
    pub warning: bool,
    /// Reason, in `UpperCamelCase`.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// The outcome of a plan: the last step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The binding.
    pub binding: Arc<Binding>,
    /// The status to write. `None` when it is as observed, or when the binding is being deleted and nothing refuses that.
    pub status: Option<Status>,
    /// The removals that were tried, whatever their outcome.
    pub removals: Vec<Removal>,
    /// Whether the operator's finalizer can be removed.
    pub drop_finalizer: bool,
    /// Events.
    pub notices: Vec<Notice>,
    /// Whether, and how soon, to visit the binding again although nothing about it changed.
    pub retry: Retry,
}

pub(super) fn conclude(
    finishing: Finishing,
    removals: Vec<TriedRemoval>,
    restarts: &[TriedRestart],
    now: i64,
) -> Outcome {
    let Finishing {
        decisions, writes, ..
    } = finishing;
    let binding = &*decisions.binding;
    let settled = restarts::settled(&writes, restarts);
    let inventory = inventory(&decisions, &writes, &removals, settled, now);
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
    // Keys can never be removed from an immutable object, so it does not block the deletion.
    let is_cleaned = |removal: &TriedRemoval| {
        is_final(removal)
            || matches!(&removal.outcome, Err(problem) if problem.reason == Reason::TargetInvalid)
    };
    if binding.deleting {
        let refused = removals.iter().filter(|it| !is_cleaned(it));
        let refused = refused.filter_map(|it| it.outcome.as_ref().err());
        let refused: Vec<&Problem> = refused.filter(|it| it.retry != Retry::Soon).collect();
        let status = hindered(binding, &refused, now);
        return Outcome {
            notices: status
                .iter()
                .filter_map(|status| ready_event(&binding.status, status))
                .collect(),
            status: status.filter(|status| *status != binding.status),
            drop_finalizer: binding.finalizer && removals.iter().all(is_cleaned),
            retry,
            removals: removals.into_iter().map(|it| it.what).collect(),
            binding: decisions.binding,
        };
    }
    let merged = inventory
        .iter()
        .any(|record| record.policy == CreationPolicy::Merge);
    let needs_finalizer =
        binding.spec.needs_cleanup() || merged || targets::keeps_owned(binding, &inventory);
    let missing = missing_workloads(&decisions, restarts);
    let synced = decisions.synced(&problems, restarts, &missing);
    let status = decisions.status(inventory, &writes, missing, synced, now);
    let mut notices = decisions.notices(&status);
    if settled {
        notices.extend(restart_event(restarts));
    }
    Outcome {
        status: (status != binding.status).then_some(status),
        drop_finalizer: binding.finalizer && !needs_finalizer,
        notices,
        retry,
        removals: removals.into_iter().map(|it| it.what).collect(),
        binding: decisions.binding,
    }
}

/// Returns the status of a binding whose deletion waits for removals that are refused: what it was, and why it waits. Returns
/// `None` if none is refused.
fn hindered(binding: &Binding, refused: &[&Problem], now: i64) -> Option<Status> {
    let problems = problems_finding(refused)?;
    let message = format!("deletion waits for this: {}", problems.message);
    let synced = Finding::new(problems.status, problems.reason, message);
    let prior = &binding.status;
    let mut status = Status {
        observed_generation: Some(binding.generation),
        conditions: Arc::new(Vec::with_capacity(prior.conditions.len() + 1)),
        ..prior.clone()
    };
    let stalled = Finding::new(ConditionStatus::True, synced.reason, synced.message.clone());
    for kind in ConditionType::ALL.iter().copied() {
        let finding = match kind {
            ConditionType::Ready | ConditionType::TargetsSynced => synced.clone(),
            ConditionType::Stalled => stalled.clone(),
            ConditionType::Reconciling => continue,
            _ => {
                let conditions = Arc::make_mut(&mut status.conditions);
                conditions.extend(prior.condition(kind).cloned());
                continue;
            }
        };
        status.add_condition(prior, kind, finding, binding.generation, now);
    }
    Some(status)
}

fn inventory(
    decisions: &Decisions,
    writes: &WriteOutcomes,
    removals: &[TriedRemoval],
    settled: bool,
    now: i64,
) -> Vec<TargetRecord> {
    let binding = &*decisions.binding;
    let outstanding = decisions.restarts_enabled && !binding.spec.rollout.is_empty() && !settled;
    let mut records: BTreeMap<TargetKey, TargetRecord> = binding
        .status
        .targets
        .iter()
        .map(|record| (record.key.clone(), record.clone()))
        .collect();
    // Where nothing was written no restart is owed: the mark is taken back.
    if let Some(unmarked) = &decisions.unmarked {
        for key in writes.refused() {
            match unmarked.iter().find(|record| record.key == *key) {
                Some(before) => records.insert(key.clone(), before.clone()),
                None => records.remove(key),
            };
        }
    }
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
            // A pending restart stays due until it is triggered, whatever is written in the meantime.
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

/// Returns the workloads of the spec that did not exist when they were to be restarted. They are not looked for again, and
/// stay in the status until the spec changes.
fn missing_workloads(decisions: &Decisions, restarts: &[TriedRestart]) -> Workloads {
    let binding = &*decisions.binding;
    let same_spec = binding.status.observed_generation == Some(binding.generation);
    let has_value = !matches!(
        decisions.publication,
        Publication::Withdraw { .. } | Publication::Nothing
    );
    if restarts.is_empty() && same_spec && has_value {
        return binding.status.missing_workloads.clone();
    }
    workloads_with(restarts, RestartOutcome::Missing)
        .map(|workload| (workload.kind, workload.name.clone()))
        .collect()
}

impl Decisions {
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
        let models = self.models_in_use(&inventory, writes);
        let ready = findings::ready(&self.supported, &self.residency, &synced, &models);
        let secret = inventory
            .iter()
            .find(|record| {
                record.key.kind == TargetKind::Secret && record.policy == CreationPolicy::Owner
            })
            .map(|record| record.key.name.clone());
        let (within, served_outside) = match &self.served {
            Some((within, outside)) => (Some(within), outside.clone()),
            None => (None, Box::default()),
        };
        let mut status = Status {
            observed_generation: Some(generation),
            conditions: Arc::new(Vec::with_capacity(ConditionType::ALL.len())),
            models,
            targets: inventory,
            missing_workloads,
            secret,
            served_outside,
            limited_by: self.limited_by,
        };
        let progress = match ready.status {
            _ if binding.spec.suspend => None,
            ConditionStatus::True => None,
            ConditionStatus::False => Some((ConditionType::Stalled, ready.clone())),
            ConditionStatus::Unknown => Some((ConditionType::Reconciling, ready.clone())),
        };
        let mut set = |kind, finding| status.add_condition(prior, kind, finding, generation, now);
        set(ConditionType::Ready, ready);
        set(ConditionType::RegionSupported, self.supported.clone());
        set(ConditionType::ResidencySatisfied, self.residency.clone());
        set(ConditionType::TargetsSynced, synced);
        set(ConditionType::CatalogFresh, self.catalog.clone());
        if let Some(active) = &self.active {
            set(ConditionType::ModelActive, active.clone());
        }
        if let Some(usable) = &self.usable {
            set(ConditionType::ModelUsable, usable.clone());
        }
        if let Some(within) = within {
            set(ConditionType::ServedWithinLimits, within.clone());
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

    /// Returns the models whose values the targets hold now, with what is known of the lives of those that the spec asks for.
    fn models_in_use(
        &self,
        inventory: &[TargetRecord],
        writes: &WriteOutcomes,
    ) -> Models<ModelInUse> {
        let prior = &self.binding.status.models;
        let with = |route: &dyn Fn(Option<&str>) -> Option<Arc<WrittenRoute>>| {
            let models = self.lives.map(|name, life| ModelInUse {
                route: route(name.map(|name| &**name)),
                ..life.clone()
            });
            models.or_none()
        };
        let prior_route = |name: Option<&str>| prior.get(name)?.route.clone();
        let as_before = || {
            if self.binding.status.is_written() && !self.binding.has_same_names() {
                prior.map(|name, in_use| {
                    let life = self.lives.get(name.map(|name| &**name));
                    let route = in_use.route.clone();
                    match (name, life) {
                        (_, Some(life)) => ModelInUse {
                            route,
                            ..life.clone()
                        },
                        (Some(_), None) => in_use.clone(),
                        // On the wire, the condition has the state of the only model.
                        (None, None) => ModelInUse {
                            route,
                            lifecycle: in_use.lifecycle.clone(),
                            state: self.active.as_ref().map(|active| active.reason),
                        },
                    }
                })
            } else {
                with(&prior_route)
            }
        };
        let old_is_left = self.residency_violated
            && writes
                .left_behind(&self.binding)
                .any(|left| inventory.iter().any(|record| record.key == left.key));
        match &self.publication {
            // Targets still hold its values, so residency must be judged by it.
            _ if old_is_left => as_before(),
            Publication::Publish(routes) | Publication::Keep(routes) => {
                with(&|name| routes.get(name).cloned())
            }
            Publication::Withdraw { .. } if inventory.is_empty() => with(&|_| None),
            Publication::Withdraw { .. } | Publication::Leave => as_before(),
            Publication::Nothing => with(&|_| None),
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
                before.unwrap_or_else(|| no_route("nothing has been written yet".to_owned()))
            }
            // The message says why a value was withdrawn, and stays until the spec changes.
            Publication::Nothing => before
                .filter(|before| {
                    before.reason == Reason::NoProfile
                        && status.observed_generation == Some(self.binding.generation)
                })
                .unwrap_or_else(|| no_route("there is no value to write".to_owned())),
        }
    }

    /// Returns the finding of `TargetsSynced` when everything is written.
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
            message = format!("{message}; not found, so not restarted: {missing}");
        }
        let waiting = joined(workloads_with(restarts, RestartOutcome::Waiting));
        if !waiting.is_empty() {
            message = format!("{message}; the restart of {waiting} waits for others");
        }
        Finding::new(ConditionStatus::True, Reason::Synced, message)
    }

    fn notices(&self, status: &Status) -> Vec<Notice> {
        let mut notices = Vec::new();
        let prior = &self.binding.status;
        if let Publication::Withdraw { why } = &self.publication
            && let Some(withdrawn) = withdrawn(prior, status)
        {
            notices.push(Notice {
                warning: true,
                reason: "Withdrawn",
                message: format!(
                    "{withdrawn} removed from the targets: {why}. Running pods keep the value"
                ),
            });
        }
        let replaced = replaced(prior, status);
        if !replaced.is_empty() {
            notices.push(Notice {
                warning: false,
                reason: "ProfileChanged",
                message: replaced,
            });
        }
        notices.extend(lifecycle_event(prior, status));
        notices.extend(served_event(prior, status));
        let of_class = self.binding.spec.is_of_classes();
        notices.extend(
            ready_event(prior, status).filter(|_| !(of_class && is_of_class(prior, status))),
        );
        notices.extend(refusal_event(prior, status));
        notices
    }
}

/// Returns what was withdrawn, with its verb. Returns `None` if values are still written, or none were.
fn withdrawn(prior: &Status, status: &Status) -> Option<String> {
    if status.is_written() {
        return None;
    }
    let ids = prior.written();
    let ids = listed(ids.map(|(name, written)| (name, written.route.id())));
    Some(match prior.written().count() {
        0 => return None,
        1 => format!("{ids} was"),
        _ => format!("{ids} were"),
    })
}

/// Returns which written values took the place of which, in words, as far as an Event tells it. Empty if there are none.
fn replaced(prior: &Status, status: &Status) -> String {
    let changes = status.written().filter_map(|(name, new)| {
        let old = prior.models.get(name.map(|name| &**name))?.route.as_ref()?;
        let is_told = is_told(old, new);
        let (old, new) = (old.values(), new.values());
        is_told.then(|| {
            let message = format!("{} replaces {}", new.invocation_id(), old.invocation_id());
            (name, message)
        })
    });
    listed(changes)
}

/// Says whether an Event tells that one written route took the place of another. Where a class asked for the other one, an Event about
/// the class does; another application profile of the same route is the binding's own matter.
fn is_told(old: &WrittenRoute, new: &WrittenRoute) -> bool {
    if old.route.id() == new.route.id() {
        old.application != new.application
    } else {
        new.class.is_none()
    }
}

/// Says whether `Ready` moved only because of what the class asks for. One edit of a class moves hundreds of bindings: an Event about
/// the class says so, and none about each binding.
fn is_of_class(prior: &Status, status: &Status) -> bool {
    let asks = |status: &Status| {
        let supported = status.condition(ConditionType::RegionSupported);
        let ready = status.condition(ConditionType::Ready);
        let (Some(supported), Some(ready)) = (supported, ready) else {
            return true;
        };
        ready.status == ConditionStatus::True || ready.reason == supported.reason
    };
    asks(prior) && asks(status)
}

/// Returns the Event for `Ready` that is False for a new reason, or True after it was False.
fn ready_event(prior: &Status, status: &Status) -> Option<Notice> {
    let before = prior.condition(ConditionType::Ready);
    let after = status.condition(ConditionType::Ready)?;
    if before.is_some_and(|before| (before.status, before.reason) == (after.status, after.reason)) {
        return None;
    }
    // The first success needs no Event: it would cost each new binding a write, and repeat the status.
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

/// Returns the Event for a binding that has no value because the operator lacks credentials or a permission. What passes by itself has
/// none, nor has a binding with a value: it stays, and one refusal concerns thousands.
fn refusal_event(prior: &Status, status: &Status) -> Option<Notice> {
    let refusal = |status: &Status| {
        let ready = status.condition(ConditionType::Ready)?;
        let fresh = status.finding(ConditionType::CatalogFresh)?;
        let is_refusal = ready.status == ConditionStatus::Unknown
            && !status.is_written()
            && matches!(
                fresh.reason,
                Reason::AccessDenied | Reason::CredentialsUnavailable | Reason::RoleNotAllowed
            );
        is_refusal.then_some(fresh)
    };
    let now = refusal(status)?;
    let is_new = refusal(prior).is_none_or(|before| before.reason != now.reason);
    is_new.then(|| Notice {
        warning: true,
        reason: now.reason.as_str(),
        message: now.message.to_string(),
    })
}

/// Returns the Event for a step in the life of a model. A model whose state is found for the first time gets none: it would
/// cost each new binding a write, and repeat the status.
fn lifecycle_event(prior: &Status, status: &Status) -> Option<Notice> {
    prior.condition(ConditionType::ModelActive)?;
    let now = status.finding(ConditionType::ModelActive)?;
    let model = |in_use: &ModelInUse| Some(in_use.route.as_ref()?.route.model.clone());
    let stepped = status.models.iter().any(|(name, after)| {
        let Some(before) = prior.models.get(name.map(|name| &**name)) else {
            return false;
        };
        let both = before.state.zip(after.state);
        let moved = both.is_some_and(|(before, after)| before != after && after != Reason::Active);
        moved && model(before) == model(after)
    });
    // Where a snapshot does not count after the end of a life, the Event for Ready says so.
    let is_said = now.reason == Reason::EndOfLifePassed
        && ready_event(prior, status)
            .is_some_and(|event| event.reason == Reason::ModelUnsupported.as_str());
    (stepped && !now.is_true() && !is_said).then(|| Notice {
        warning: true,
        reason: now.reason.as_str(),
        message: now.message.to_string(),
    })
}

/// Returns the Event for requests that begin to run outside of the limits.
fn served_event(prior: &Status, status: &Status) -> Option<Notice> {
    let is_outside = |status: &Status| {
        let within = status.condition(ConditionType::ServedWithinLimits);
        within.is_some_and(|within| within.status == ConditionStatus::False)
    };
    let now = status.condition(ConditionType::ServedWithinLimits)?;
    (is_outside(status) && !is_outside(prior)).then(|| Notice {
        warning: true,
        reason: now.reason.as_str(),
        message: now.message.to_string(),
    })
}

/// Returns the workloads whose restart had this outcome.
fn workloads_with(
    restarts: &[TriedRestart],
    what: RestartOutcome,
) -> impl Iterator<Item = &WorkloadKey> {
    restarts
        .iter()
        .filter(move |tried| tried.outcome == Ok(what))
        .map(|tried| &tried.what.workload)
}

/// Returns the Event that names the workloads that were restarted.
fn restart_event(restarts: &[TriedRestart]) -> Option<Notice> {
    let workloads = joined(workloads_with(restarts, RestartOutcome::Triggered));
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

/// Returns the finding of `TargetsSynced` when there are problems. Transient failures come first: until they are over, the
/// state of the targets is not known.
fn problems_finding(problems: &[&Problem]) -> Option<Finding> {
    /// The number of messages that a condition has in full.
    const SHOWN: usize = 3;
    let is_transient = |problem: &&&Problem| problem.retry == Retry::Soon;
    let (status, reason) = match problems.iter().find(is_transient) {
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

/// Says whether a removal is not retried. What is retried stays in the inventory.
fn is_final(removal: &TriedRemoval) -> bool {
    let problem = removal.outcome.as_ref().err();
    problem.is_none_or(|problem| problem.retry == Retry::OnChange)
}

#[cfg(test)]
mod tests {
    use crate::{
        catalog::embedded::Embedded,
        plan::{
            action::WriteMode,
            plan,
            restarts::Restart,
            testing::{
                NOW, SETTINGS, TRIGGERED, bound, bound_with_workload, carry_out, condition, edited,
                full, observed, planned_with_restarts, problem, sonnet, succeed, synced_message,
                targets_synced, visit, visit_with_failing_removals, visit_with_failing_writes,
                visit_with_restarts, with_workload, write_succeeds,
            },
        },
    };

    use super::*;

    #[test]
    fn a_new_binding_is_created_and_says_so_without_an_event() {
        let (after, actions, outcome) = visit(&sonnet("geography: eu"), full(), &SETTINGS);
        let write = actions.writes[0].as_ref().expect("a write");
        assert_eq!((&write.mode, write.content.len()), (&WriteMode::Create, 5));
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        assert_eq!(outcome.notices, []);
        assert_eq!(outcome.retry, Retry::OnChange);
        let manifest = write.manifest(&after);
        assert_eq!(manifest["metadata"]["ownerReferences"][0]["uid"], "uid-1");
        assert!(
            manifest["metadata"]["ownerReferences"][0]
                .get("blockOwnerDeletion")
                .is_none()
        );
    }

    #[test]
    fn what_aws_refuses_a_binding_without_an_answer_is_an_event_once() {
        use ConditionStatus::{False, True, Unknown};
        let status = |ready, fresh| {
            let condition = |kind, status, reason| crate::plan::status::Condition {
                kind,
                status,
                reason,
                message: "x".into(),
                generation: 1,
                since: 1,
            };
            Status {
                conditions: Arc::new(vec![
                    condition(ConditionType::Ready, ready, Reason::CatalogUnavailable),
                    condition(ConditionType::CatalogFresh, False, fresh),
                ]),
                ..Status::default()
            }
        };
        let denied = status(Unknown, Reason::AccessDenied);
        let without = status(Unknown, Reason::CredentialsUnavailable);
        let throttled = status(Unknown, Reason::Throttled);
        let answered = status(True, Reason::AccessDenied);
        for (prior, now, expected) in [
            (&Status::default(), &denied, Some("AccessDenied")),
            (&throttled, &denied, Some("AccessDenied")),
            (&denied, &without, Some("CredentialsUnavailable")),
            (&denied, &denied, None),
            (&Status::default(), &throttled, None),
            (&Status::default(), &answered, None),
        ] {
            let found = refusal_event(prior, now).map(|notice| (notice.warning, notice.reason));
            assert_eq!(found, expected.map(|reason| (true, reason)));
        }
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
        let failed = problem(Reason::Retrying, "ConfigMap claude: no answer", Retry::Soon);
        let outcome = visit_with_failing_writes(&before, &failed);
        let status = outcome.status.expect("a status");
        assert_eq!(status.targets, before.status.targets);
        let ready = status.condition(ConditionType::Ready).expect("ready");
        assert_eq!(
            (ready.status, ready.reason),
            (ConditionStatus::Unknown, Reason::Retrying)
        );
        assert_eq!(outcome.retry, Retry::Soon);
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
        let failed = problem(Reason::Retrying, "ConfigMap d: no answer", Retry::Soon);
        let outcome = visit_with_failing_writes(&before, &failed);
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
    fn a_refused_cleanup_is_told_once() {
        let merged = "geography: eu, targets: [{kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]";
        let before = Binding {
            deleting: true,
            finalizer: true,
            ..bound(merged)
        };
        let soon = problem(Reason::Retrying, "no answer", Retry::Soon);
        let outcome = visit_with_failing_removals(&before, &soon);
        assert_eq!((outcome.status, outcome.notices), (None, vec![]));
        let never = problem(Reason::TargetInvalid, "immutable", Retry::Rarely);
        let outcome = visit_with_failing_removals(&before, &never);
        assert_eq!((outcome.status, outcome.notices), (None, vec![]));

        let refused = problem(Reason::TargetForbidden, "ConfigMap app: no", Retry::Rarely);
        let outcome = visit_with_failing_removals(&before, &refused);
        assert!(!outcome.drop_finalizer);
        let told: Vec<_> = outcome
            .notices
            .iter()
            .map(|it| it.message.as_str())
            .collect();
        assert_eq!(told, ["deletion waits for this: ConfigMap app: no"]);
        let status = outcome.status.expect("a status");
        assert_eq!(
            status.models, before.status.models,
            "the keys are still there"
        );
        assert_eq!(status.targets, before.status.targets);
        let after = Binding { status, ..before };
        for kind in [ConditionType::Ready, ConditionType::TargetsSynced] {
            let expected = (ConditionStatus::False, Reason::TargetForbidden);
            assert_eq!(condition(&after, kind), expected);
        }
        let stalled = condition(&after, ConditionType::Stalled);
        assert_eq!(stalled.0, ConditionStatus::True);
        let order: Vec<_> = after.status.conditions.iter().map(|it| it.kind).collect();
        assert!(order.is_sorted(), "{order:?}");

        let again = visit_with_failing_removals(&after, &refused);
        assert_eq!((again.status, again.notices), (None, vec![]));
    }

    #[test]
    fn one_event_names_all_workloads_of_a_change() {
        let rest = |geography: &str| {
            format!(
                "geography: {geography}, rollout: [{{kind: Deployment, name: a}}, {{kind: DaemonSet, name: b}}]"
            )
        };
        let before = visit_with_restarts(&sonnet(&rest("eu")), full(), &TRIGGERED, NOW).0;
        let changed = edited(&before, &rest("global"));
        for (second, expected) in [
            (RestartOutcome::Waiting, None),
            (
                RestartOutcome::Missing,
                Some("restarted for a changed value: Deployment a"),
            ),
            (
                RestartOutcome::Triggered,
                Some("restarted for a changed value: Deployment a, DaemonSet b"),
            ),
        ] {
            let plan = planned_with_restarts(observed(&changed, full()), NOW + 60);
            let restart = |restart: &Restart| match restart.workload.name.as_ref() {
                "a" => TRIGGERED,
                _ => Ok(second),
            };
            let (_, outcome) = carry_out(plan, write_succeeds, |_| Ok(()), restart, NOW + 60);
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
            &bound_with_workload("geography: eu"),
            &with_workload("geography: global"),
        );
        let (after, _, outcome) =
            visit_with_restarts(&changed, full(), &Ok(RestartOutcome::Missing), NOW + 60);
        assert_eq!(
            targets_synced(&after),
            (ConditionStatus::True, Reason::Synced)
        );
        assert!(
            synced_message(&after).ends_with("; not found, so not restarted: Deployment chat"),
            "{}",
            synced_message(&after)
        );
        assert!(
            outcome
                .notices
                .iter()
                .all(|notice| notice.reason != "RolloutTriggered")
        );
        let (_, restarts, later) = visit_with_restarts(&after, full(), &TRIGGERED, NOW + 120);
        assert_eq!((restarts, later.status), (vec![], None));
        let corrected = edited(
            &after,
            "geography: global, rollout: [{kind: Deployment, name: other}]",
        );
        let (corrected, restarts, _) =
            visit_with_restarts(&corrected, full(), &TRIGGERED, NOW + 120);
        assert_eq!(restarts, []);
        assert!(!synced_message(&corrected).contains("not restarted"));
    }
}
