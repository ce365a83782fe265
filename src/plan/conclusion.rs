//! What came of a plan: the inventory, the status, Events and the next visit.

use std::collections::BTreeMap;

use crate::api::{
    CreationPolicy, TargetKind,
    condition::{ConditionStatus, ConditionType, Reason},
};

use super::{
    action::{How, Problem, Removal, RemovalCause, RemovalOutcome, Retry, Write, WriteOutcome},
    findings,
    identity::{TargetKey, WorkloadKey},
    observed::Binding,
    publication::Publication,
    restarts::{self, Restart, RestartOutcome, Restarted},
    status::{Finding, Status, TargetRecord},
    targets::target_key,
    values_hash::{same_content, value_changed, values_hash, with_marks},
};

/// How `TargetsSynced` begins to say of workloads that there are none of their names.
const NOT_FOUND: &str = "; not restarted, as it does not exist: ";

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

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether our finalizer must be there before anything is written.
    pub add_finalizer: bool,
    /// What to write, by position among the targets of the spec; a problem where nothing is to be tried.
    pub writes: Vec<Result<Write, Problem>>,
    /// What to remove.
    pub removals: Vec<Removal>,
    /// What to restart: nothing before [`Plan::plan_restarts`].
    pub restarts: Vec<Restart>,
    pub(super) restarts_enabled: bool,
    /// Whether what is written now, before this plan, breaks a residency limit.
    pub(super) residency_violated: bool,
    pub(super) publication: Publication,
    pub(super) supported: Finding,
    pub(super) residency: Finding,
    pub(super) catalog: Finding,
    /// Nothing where the catalog does not know the model.
    pub(super) active: Option<Finding>,
    /// Nothing where it is not asked whether the model can be used, or not known.
    pub(super) usable: Option<Finding>,
}

/// What came of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The status to write, where it differs from the one observed; nothing where the binding is being deleted.
    pub status: Option<Status>,
    /// Whether our finalizer may go.
    pub drop_finalizer: bool,
    /// Events.
    pub notices: Vec<Notice>,
    /// Whether, and how soon, to come back without being called.
    pub retry: Retry,
}

impl Plan {
    /// Says whether this plan only puts back what was written before: others changed or removed it.
    #[must_use]
    pub fn corrects(&self, binding: &Binding) -> bool {
        let mut tried = self
            .writes
            .iter()
            .flatten()
            .filter(|write| !matches!(write.how, How::InPlace(_)));
        tried.any(|write| {
            let record = binding.status.record(&write.key);
            record.is_some_and(|record| same_content(&record.hash, &values_hash(&write.content)))
        })
    }

    /// Adds what must go after all: where the written value breaks a residency limit and the new one did not take its
    /// place. To be called when the writes were tried, before the removals are.
    pub fn fail_closed(&mut self, binding: &Binding, writes: &[WriteOutcome]) {
        if self.residency_violated {
            let planned: Vec<TargetKey> = self
                .removals
                .iter()
                .map(|removal| removal.key.clone())
                .collect();
            let left = left_behind(binding, writes);
            let more = left.filter(|record| !planned.contains(&record.key));
            self.removals.extend(more.map(|record| Removal {
                key: record.key.clone(),
                uid: record.uid.clone(),
                policy: record.policy,
                view: None,
                cause: RemovalCause::Withdrawn,
            }));
        }
    }

    /// Adds the restarts that the writes make due. To be called when they were tried.
    pub fn plan_restarts(&mut self, binding: &Binding, writes: &[WriteOutcome]) {
        if self.restarts_enabled {
            self.restarts = restarts::due(binding, &self.writes, writes);
        }
    }

    /// Returns the inventory, the conditions, Events and the next visit from what became of the plan. `writes` has an
    /// outcome for each element of [`Plan::writes`], `removals` for each of [`Plan::removals`], `restarts` for each of
    /// [`Plan::restarts`].
    #[must_use]
    pub fn conclude(
        self,
        binding: &Binding,
        writes: &[WriteOutcome],
        removals: &[RemovalOutcome],
        restarts: &[RestartOutcome],
        now: i64,
    ) -> Conclusion {
        let settled = restarts::settled(writes, restarts);
        let inventory = self.inventory(binding, writes, removals, settled, now);
        let problems: Vec<&Problem> = writes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .chain(removals.iter().filter_map(|outcome| outcome.as_ref().err()))
            .chain(restarts.iter().filter_map(|outcome| outcome.as_ref().err()))
            .collect();
        let retry = problems
            .iter()
            .map(|problem| problem.retry)
            .max()
            .unwrap_or(Retry::Stop);
        // An immutable object lets go of nothing, ever: it holds up no deletion.
        let cleaned = removals.iter().all(|outcome| {
            is_final(outcome)
                || matches!(outcome, Err(problem) if problem.reason == Reason::TargetInvalid)
        });
        if binding.deleting {
            return Conclusion {
                status: None,
                drop_finalizer: binding.finalizer && cleaned,
                notices: Vec::new(),
                retry,
            };
        }
        let merges = binding.spec.merges()
            || inventory
                .iter()
                .any(|record| record.policy == CreationPolicy::Merge);
        let drop_finalizer = binding.finalizer && !merges;
        let synced = self.synced_finding(binding, &problems, restarts);
        let status = self.status(binding, inventory, writes, synced, now);
        let mut notices = self.notices(binding, &status);
        if settled {
            notices.extend(self.restarted(restarts));
        }
        Conclusion {
            status: (status != binding.status).then_some(status),
            drop_finalizer,
            notices,
            retry,
        }
    }

    fn inventory(
        &self,
        binding: &Binding,
        writes: &[WriteOutcome],
        removals: &[RemovalOutcome],
        settled: bool,
        now: i64,
    ) -> Vec<TargetRecord> {
        let outstanding = self.restarts_enabled && !binding.spec.rollout.is_empty() && !settled;
        let mut records: BTreeMap<TargetKey, TargetRecord> = binding
            .status
            .targets
            .iter()
            .map(|record| (record.key.clone(), record.clone()))
            .collect();
        for (removal, outcome) in self.removals.iter().zip(removals) {
            if is_final(outcome) {
                records.remove(&removal.key);
            }
        }
        for (write, outcome) in self.writes.iter().zip(writes) {
            if let (Ok(write), Ok(uid)) = (write, outcome) {
                let before = records.get(&write.key);
                let hash = values_hash(&write.content);
                let (hash, since) = match before {
                    // What is still to be restarted is due until it is, whatever is written meanwhile.
                    Some(before) if outstanding && value_changed(&before.hash, &hash) => {
                        (with_marks(&before.hash, &hash), before.since)
                    }
                    Some(before) if *before.hash == *hash => (hash, before.since),
                    _ => (hash, Some(now)),
                };
                records.insert(
                    write.key.clone(),
                    TargetRecord {
                        key: write.key.clone(),
                        uid: uid.clone(),
                        policy: write.policy,
                        hash: hash.into(),
                        since,
                    },
                );
            }
        }
        records.into_values().collect()
    }

    fn status(
        &self,
        binding: &Binding,
        inventory: Vec<TargetRecord>,
        writes: &[WriteOutcome],
        synced: Finding,
        now: i64,
    ) -> Status {
        let prior = &binding.status;
        let generation = binding.generation;
        let old_is_left = self.residency_violated
            && left_behind(binding, writes)
                .any(|left| inventory.iter().any(|record| record.key == left.key));
        let profile = match &self.publication {
            // It is still out there, so it is what residency is judged by.
            _ if old_is_left => prior.profile.clone(),
            Publication::Publish(profile) | Publication::Keep(profile) => Some(profile.clone()),
            Publication::Withdraw { .. } if inventory.is_empty() => None,
            Publication::Withdraw { .. } | Publication::Leave => prior.profile.clone(),
            Publication::Nothing => None,
        };
        let ready = findings::ready(
            &self.supported,
            &self.residency,
            &synced,
            profile.as_deref(),
        );
        let secret = inventory
            .iter()
            .find(|record| {
                record.key.kind == TargetKind::Secret && record.policy == CreationPolicy::Owner
            })
            .map(|record| record.key.name.clone());
        let mut status = Status {
            observed_generation: Some(generation),
            conditions: Vec::with_capacity(ConditionType::ALL.len()),
            profile,
            targets: inventory,
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
        if let Some(active) = &self.active {
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

    fn synced_finding(
        &self,
        binding: &Binding,
        problems: &[&Problem],
        restarts: &[RestartOutcome],
    ) -> Finding {
        if let Some(finding) = problems_finding(problems) {
            return finding;
        }
        match &self.publication {
            Publication::Publish(_) | Publication::Keep(_) => self.up_to_date(binding, restarts),
            Publication::Withdraw { why } => Finding::new(
                ConditionStatus::Unknown,
                Reason::NoProfile,
                format!("withdrawn: {why}"),
            ),
            Publication::Leave => binding
                .status
                .finding(ConditionType::TargetsSynced)
                .unwrap_or_else(|| {
                    Finding::new(
                        ConditionStatus::Unknown,
                        Reason::NoProfile,
                        "nothing was written yet",
                    )
                }),
            // Why a value was withdrawn stands until the spec changes.
            Publication::Nothing => binding
                .status
                .finding(ConditionType::TargetsSynced)
                .filter(|before| {
                    before.reason == Reason::NoProfile
                        && binding.status.observed_generation == Some(binding.generation)
                })
                .unwrap_or_else(|| {
                    Finding::new(
                        ConditionStatus::Unknown,
                        Reason::NoProfile,
                        "there is no value to write",
                    )
                }),
        }
    }

    /// Returns what `TargetsSynced` says where all is written.
    fn up_to_date(&self, binding: &Binding, restarts: &[RestartOutcome]) -> Finding {
        let names = self.writes.iter().flatten();
        let mut message = format!("up to date: {}", joined(names.map(|write| &write.key)));
        if !binding.spec.rollout.is_empty() && !self.restarts_enabled {
            message.push_str(
                "; this operator does not restart workloads (start it with --enable-rollout)",
            );
        }
        let stands = |before: &Finding| {
            let same_spec = binding.status.observed_generation == Some(binding.generation);
            let rest = before.message.strip_prefix(&message);
            same_spec && before.is_true() && rest.is_some_and(|rest| rest.starts_with(NOT_FOUND))
        };
        // What a restart did not find is not looked for again; that it was not found stands until the spec changes.
        let before = binding.status.finding(ConditionType::TargetsSynced);
        if let Some(before) = before.filter(|before| restarts.is_empty() && stands(before)) {
            return before;
        }
        let missing = joined(self.became(restarts, Restarted::Missing));
        if !missing.is_empty() {
            message = format!("{message}{NOT_FOUND}{missing}");
        }
        let waiting = joined(self.became(restarts, Restarted::Waits));
        if !waiting.is_empty() {
            message = format!("{message}; the restart of {waiting} waits for others");
        }
        Finding::new(ConditionStatus::True, Reason::Synced, message)
    }

    /// Returns the workloads of which this became.
    fn became(
        &self,
        restarts: &[RestartOutcome],
        what: Restarted,
    ) -> impl Iterator<Item = &WorkloadKey> {
        let all = self.restarts.iter().zip(restarts);
        all.filter(move |(_, outcome)| **outcome == Ok(what))
            .map(|(restart, _)| &restart.workload)
    }

    /// Returns the Event that tells which workloads were restarted for a change.
    fn restarted(&self, restarts: &[RestartOutcome]) -> Option<Notice> {
        let workloads = joined(self.became(restarts, Restarted::Triggered));
        (!workloads.is_empty()).then(|| Notice {
            warning: false,
            reason: "RolloutTriggered",
            message: format!("restarted for a changed value: {workloads}"),
        })
    }

    fn notices(&self, binding: &Binding, status: &Status) -> Vec<Notice> {
        let mut notices = Vec::new();
        let prior = &binding.status;
        let (before, after) = (
            prior.condition(ConditionType::Ready),
            status.condition(ConditionType::Ready),
        );
        if let Publication::Withdraw { why } = &self.publication
            && prior.profile.is_some()
            && status.profile.is_none()
        {
            let id = prior
                .profile
                .as_ref()
                .map(|written| written.profile.id())
                .unwrap_or_default();
            notices.push(Notice {
                warning: true,
                reason: "Withdrawn",
                message: format!(
                    "{id} was removed from the targets: {why}. Pods that run keep the value"
                ),
            });
        }
        if let (Some(old), Some(new)) = (&prior.profile, &status.profile)
            && old.profile.id() != new.profile.id()
        {
            notices.push(Notice {
                warning: false,
                reason: "ProfileChanged",
                message: format!("{} replaces {}", new.profile.id(), old.profile.id()),
            });
        }
        notices.extend(became_legacy(prior, status));
        if let Some(after) = after
            && before
                .is_none_or(|before| (before.status, before.reason) != (after.status, after.reason))
        {
            match (before, after.status) {
                (_, ConditionStatus::False) => notices.push(Notice {
                    warning: true,
                    reason: after.reason.as_str(),
                    message: after.message.to_string(),
                }),
                // The first success needs no Event: a write per new binding would say what the status says.
                (Some(before), ConditionStatus::True)
                    if before.status == ConditionStatus::False =>
                {
                    notices.push(Notice {
                        warning: false,
                        reason: after.reason.as_str(),
                        message: after.message.to_string(),
                    });
                }
                _ => {}
            }
        }
        notices
    }
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

fn joined(names: impl Iterator<Item = impl ToString>) -> String {
    names
        .map(|name| name.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns the inventory's entries of targets that could not be written: they hold what they held before.
fn left_behind<'a>(
    binding: &'a Binding,
    writes: &'a [WriteOutcome],
) -> impl Iterator<Item = &'a TargetRecord> {
    binding
        .spec
        .targets
        .iter()
        .zip(writes)
        .filter(|(_, outcome)| outcome.is_err())
        .filter_map(|(target, _)| binding.status.record(&target_key(binding, target)))
}

/// Returns what `TargetsSynced` says of problems. What failed on the way comes first: as long as it does, nothing definite
/// is known of the targets.
fn problems_finding(problems: &[&Problem]) -> Option<Finding> {
    /// Messages that one condition carries in full.
    const SHOWN: usize = 3;
    let failed_on_the_way = |problem: &&&Problem| problem.retry == Retry::Retry;
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
fn is_final(outcome: &RemovalOutcome) -> bool {
    outcome
        .as_ref()
        .err()
        .is_none_or(|problem| problem.retry == Retry::Stop)
}
