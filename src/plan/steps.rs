//! The steps of a visit as types. Each consumes the one before, so that no step can be left out or taken twice:
//! [`Plan`] -> [`Writing`] -> [`Written`] -> [`Finishing`] -> [`Outcome`].
//!
//! Each step hands out its actions by value, and takes them back with their outcomes ([`Tried`]). An action that does not
//! come back counts as failed: nothing is taken to be done that nobody says was done.

use std::sync::Arc;

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    models::Models,
    residency::LimitOrigins,
};

use super::{
    action::{
        Problem, Refused, Removal, RemovalCause, Retry, Tried, TriedRemoval, TriedRestart,
        TriedWrite, Write, WriteMode,
    },
    identity::TargetKey,
    observed::Binding,
    outcome::{self, Outcome},
    publication::Publication,
    restarts::{self, Restart},
    status::{Finding, ModelInUse, ServedOutside, Status, TargetRecord},
    values_hash::values_hash,
};

/// What is decided before anything is tried. It does not change afterwards.
#[derive(Debug, Clone)]
pub(super) struct Decisions {
    pub binding: Arc<Binding>,
    pub publication: Publication,
    /// Whether the value that is written before this plan breaks a residency limit.
    pub residency_violated: bool,
    pub restarts_enabled: bool,
    /// The inventory before restarts were marked in it. `None` if none were.
    pub unmarked: Option<Vec<TargetRecord>>,
    pub supported: Finding,
    pub residency: Finding,
    /// Who set limits that forbid what is asked for.
    pub limited_by: LimitOrigins,
    pub catalog: Finding,
    /// The finding of `ModelActive`. `None` when the state of no model is known.
    pub active: Option<Finding>,
    /// What the status has of the life of each model that the spec asks for; without routes.
    pub lives: Models<ModelInUse>,
    /// The finding of `ServedWithinLimits`, with what the status remembers. `None` when there is nothing to say.
    pub served: Option<(Finding, Box<[ServedOutside]>)>,
    /// The finding of `ModelUsable`. `None` when access is not checked, or when its result is not known.
    pub usable: Option<Finding>,
}

/// What to do about a binding: the first step.
#[derive(Debug)]
pub struct Plan {
    pub(super) decisions: Decisions,
    /// For each target of the spec, in order: the write, or why it is refused.
    pub(super) writes: Vec<Result<Write, Refused>>,
    /// What to remove after the writes.
    pub(super) removals: Vec<Removal>,
    pub(super) needs_finalizer: bool,
    /// Whether the catalog lacks the route that is in use and was listed before.
    pub(super) is_unconfirmed: bool,
}

impl Plan {
    /// Returns the binding.
    #[must_use]
    pub fn binding(&self) -> &Arc<Binding> {
        &self.decisions.binding
    }

    /// Says whether the operator's finalizer must be added to the binding before anything is written.
    #[must_use]
    pub fn needs_finalizer(&self) -> bool {
        self.needs_finalizer
    }

    /// Says whether a first listing is to be confirmed before this plan is carried out: it lacks the route that is in use. What
    /// breaks a limit does not wait.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        let deleting = self.decisions.binding.deleting;
        self.is_unconfirmed && !self.decisions.residency_violated && !deleting
    }

    /// Says whether there is nothing to do but to write the status.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_deleting = self.decisions.binding.deleting;
        self.writes.is_empty() && self.removals.is_empty() && !self.needs_finalizer && !is_deleting
    }

    /// Says whether this plan corrects drift: it writes what was written before and others have changed or removed.
    #[must_use]
    pub fn corrects(&self) -> bool {
        let status = &self.decisions.binding.status;
        let mut tried = self
            .writes
            .iter()
            .flatten()
            .filter(|write| !matches!(write.mode, WriteMode::Unchanged(_)));
        // The inventory does not tell which labels and annotations were written: those of a new spec never were.
        let synced = status.condition(ConditionType::TargetsSynced);
        let is_written = status.observed_generation == Some(self.decisions.binding.generation)
            && synced.is_some_and(|synced| synced.status == ConditionStatus::True);
        tried.any(|write| {
            let record = status.record(&write.key);
            record.is_some_and(|record| *record.hash == *values_hash(&write.content))
                && (is_written || !write.changes_metadata())
        })
    }

    /// Says whether the written value breaks a residency limit.
    #[must_use]
    pub fn residency_violated(&self) -> bool {
        self.decisions.residency_violated
    }

    /// Returns the status to record before anything is written, because restarts will be owed for what changes. Returns `None`
    /// if there is nothing to record. `now` is in seconds since the Unix epoch.
    #[must_use]
    pub fn mark(&self, now: i64) -> Option<Status> {
        if !self.decisions.restarts_enabled {
            return None;
        }
        let binding = &*self.decisions.binding;
        if was_refused(binding) {
            // It will be again, mostly: a mark and its removal would be two writes for nothing at each try. Where it is not, the
            // hash in the inventory tells of the change.
            return None;
        }
        let targets = restarts::marked(binding, self.writes.iter().flatten(), now)?;
        Some(Status {
            targets,
            ..binding.status.clone()
        })
    }

    /// Takes in that the status of [`Plan::mark`] was recorded.
    #[must_use]
    pub fn marked(mut self, status: Status) -> Self {
        let binding = Arc::make_mut(&mut self.decisions.binding);
        let before = std::mem::replace(&mut binding.status, status);
        self.decisions.unmarked = Some(before.targets);
        self
    }

    /// Hands out the writes.
    #[must_use]
    pub fn begin(self) -> (Writing, Vec<Write>) {
        let mut refused = Vec::new();
        let mut writes = Vec::new();
        for write in self.writes {
            match write {
                Ok(write) => writes.push(write),
                Err(refusal) => refused.push(refusal),
            }
        }
        let writing = Writing {
            decisions: self.decisions,
            handed_out: writes.iter().map(|write| write.key.clone()).collect(),
            refused,
            removals: self.removals,
        };
        (writing, writes)
    }
}

/// Says whether targets of this very spec were refused when it was looked at last.
fn was_refused(binding: &Binding) -> bool {
    let status = &binding.status;
    let synced = status.condition(ConditionType::TargetsSynced);
    status.observed_generation == Some(binding.generation)
        && synced.is_some_and(|synced| synced.status == ConditionStatus::False)
}

/// A plan whose writes are under way.
#[derive(Debug)]
pub struct Writing {
    decisions: Decisions,
    handed_out: Vec<TargetKey>,
    refused: Vec<Refused>,
    removals: Vec<Removal>,
}

impl Writing {
    /// Takes back the writes with their outcomes, and decides on removals and restarts.
    #[must_use]
    pub fn finish(self, tried: Vec<TriedWrite>) -> Written {
        let Self {
            decisions,
            handed_out,
            mut refused,
            mut removals,
        } = self;
        let missing = handed_out
            .into_iter()
            .filter(|key| tried.iter().all(|it| it.what.key != *key));
        refused.extend(missing.map(|key| Refused {
            problem: not_tried(&key),
            key,
        }));
        let writes = WriteOutcomes { refused, tried };
        if decisions.residency_violated {
            removals.extend(fail_closed(&decisions.binding, &writes, &removals));
        }
        let restarts = if decisions.restarts_enabled {
            restarts::due(&decisions.binding, &writes)
        } else {
            Vec::new()
        };
        Written {
            decisions,
            writes,
            removals,
            restarts,
        }
    }
}

/// Returns the removals that are needed because the written value breaks a residency limit and could not be replaced.
fn fail_closed(binding: &Binding, writes: &WriteOutcomes, planned: &[Removal]) -> Vec<Removal> {
    writes
        .left_behind(binding)
        .filter(|record| planned.iter().all(|removal| removal.key != record.key))
        .map(|record| Removal {
            key: record.key.clone(),
            uid: record.uid.clone(),
            policy: record.policy,
            view: None,
            cause: RemovalCause::Withdrawn,
        })
        .collect()
}

/// The outcome of each target of the spec.
#[derive(Debug)]
pub(super) struct WriteOutcomes {
    pub refused: Vec<Refused>,
    pub tried: Vec<TriedWrite>,
}

impl WriteOutcomes {
    /// Returns the writes that succeeded, with the UID of the object that holds the content.
    pub fn succeeded(&self) -> impl Iterator<Item = (&Write, &Arc<str>)> {
        self.tried
            .iter()
            .filter_map(|Tried { what, outcome }| Some((what, outcome.as_ref().ok()?)))
    }

    /// Returns the targets that could not be written, each with its problem, in no particular order.
    fn failures(&self) -> impl Iterator<Item = (&TargetKey, &Problem)> {
        let refused = self.refused.iter().map(|it| (&it.key, &it.problem));
        let failed = self
            .tried
            .iter()
            .filter_map(|it| Some((&it.what.key, it.outcome.as_ref().err()?)));
        refused.chain(failed)
    }

    /// Says whether a write failed and is retried soon.
    pub fn any_transient_failure(&self) -> bool {
        self.failures()
            .any(|(_, problem)| problem.retry == Retry::Soon)
    }

    /// Returns the problems, in the order of the spec's targets.
    pub fn problems(&self, binding: &Binding) -> Vec<&Problem> {
        let mut problems: Vec<_> = self.failures().collect();
        problems.sort_by_cached_key(|(key, _)| {
            let targets = binding.spec.targets.iter();
            targets
                .map(|target| binding.target_key(target))
                .position(|target| target == **key)
        });
        problems.into_iter().map(|(_, problem)| problem).collect()
    }

    /// Returns the targets that certainly hold what they held before: their write was refused.
    pub fn refused(&self) -> impl Iterator<Item = &TargetKey> {
        let definite = self.failures().filter(|(_, it)| it.retry != Retry::Soon);
        definite.map(|(key, _)| key)
    }

    /// Returns the inventory's entries of the targets that could not be written. They hold what they held before.
    pub fn left_behind<'a>(
        &'a self,
        binding: &'a Binding,
    ) -> impl Iterator<Item = &'a TargetRecord> {
        self.failures()
            .filter_map(|(key, _)| binding.status.record(key))
    }
}

/// A plan whose writes were tried.
#[derive(Debug)]
pub struct Written {
    decisions: Decisions,
    writes: WriteOutcomes,
    /// What to remove.
    removals: Vec<Removal>,
    /// What to restart.
    restarts: Vec<Restart>,
}

impl Written {
    /// Hands out the removals and the restarts.
    #[must_use]
    pub fn begin(self) -> (Finishing, Vec<Removal>, Vec<Restart>) {
        let finishing = Finishing {
            decisions: self.decisions,
            writes: self.writes,
            removals: self.removals.clone(),
            restarts: self.restarts.clone(),
        };
        (finishing, self.removals, self.restarts)
    }
}

/// A plan whose removals and restarts are under way.
#[derive(Debug)]
pub struct Finishing {
    pub(super) decisions: Decisions,
    pub(super) writes: WriteOutcomes,
    removals: Vec<Removal>,
    restarts: Vec<Restart>,
}

impl Finishing {
    /// Takes back the removals and the restarts with their outcomes, and returns the outcome of the plan. `now` is in seconds
    /// since the Unix epoch.
    #[must_use]
    pub fn conclude(
        mut self,
        mut removals: Vec<TriedRemoval>,
        mut restarts: Vec<TriedRestart>,
        now: i64,
    ) -> Outcome {
        for what in std::mem::take(&mut self.removals) {
            if removals.iter().all(|it| it.what != what) {
                let outcome = Err(not_tried(&what.key));
                removals.push(Tried { what, outcome });
            }
        }
        for what in std::mem::take(&mut self.restarts) {
            if restarts.iter().all(|it| it.what != what) {
                let outcome = Err(not_tried(&what.workload));
                restarts.push(Tried { what, outcome });
            }
        }
        outcome::conclude(self, removals, &restarts, now)
    }
}

/// Returns the problem of an action that did not come back.
fn not_tried(what: &impl std::fmt::Display) -> Problem {
    Problem {
        reason: Reason::Retrying,
        message: format!("{what}: not tried yet; retrying"),
        retry: Retry::Soon,
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        api::{
            TargetKind,
            condition::{ConditionStatus, ConditionType},
        },
        plan::{
            observed::{Controller, Holding, TargetView, fingerprints},
            restarts::RestartOutcome,
            testing::{
                NOW, SETTINGS, bound, bound_with_workload, condition, edited, full, observed,
                planned, planned_with_restarts, problem, sonnet, visit,
                visit_with_failing_removals, visit_with_restarts, with_workload, write_succeeds,
            },
        },
    };

    use super::*;

    #[test]
    fn a_value_that_breaks_residency_goes_even_where_the_new_one_cannot_take_its_place() {
        let two = |rest: &str| {
            format!(
                "targets: [{{kind: ConfigMap, name: good}}, {{kind: ConfigMap, name: bad, templates: {{f: '{{{{ profile.{rest} }}}}'}}}}], "
            )
        };
        let before = bound(&format!("{}geography: global", two("id")));
        let limited = edited(
            &before,
            &format!("{}geography: eu, allowedRegions: ['@eu']", two("nothing")),
        );
        let (after, actions, _) = visit(&limited, full(), &SETTINGS);
        assert_eq!(actions.removed(), ["bad"]);
        assert_eq!(after.status.targets.len(), 1);
        assert_eq!(
            condition(&after, ConditionType::TargetsSynced),
            (ConditionStatus::False, Reason::TemplateInvalid)
        );

        // If the removal fails too, the old profile stays in the status, so that the next visit tries again.
        let refused = problem(Reason::TargetForbidden, "no", Retry::Rarely);
        let outcome = visit_with_failing_removals(&limited, &refused);
        let status = outcome.status.expect("a status");
        assert_eq!(status.models, before.status.models);
        assert_eq!(status.targets.len(), 2);

        let unlimited = edited(&before, &format!("{}geography: eu", two("nothing")));
        let (after, actions, _) = visit(&unlimited, full(), &SETTINGS);
        assert!(
            actions.removals.is_empty(),
            "a broken template alone withdraws nothing"
        );
        assert_eq!(after.status.targets.len(), 2);
    }

    #[test]
    fn what_does_not_come_back_is_not_taken_to_be_done() {
        let before = bound_with_workload("geography: eu");
        let changed = edited(&before, &with_workload("geography: global"));
        let (writing, writes) = planned_with_restarts(observed(&changed, full()), NOW).begin();
        assert_eq!(writes.len(), 1);
        let (finishing, _, restarts) = writing.finish(Vec::new()).begin();
        assert_eq!(restarts, [], "nothing was written");
        let outcome = finishing.conclude(Vec::new(), Vec::new(), NOW);
        let status = outcome.status.expect("a status");
        assert_eq!(status.targets, before.status.targets);
        let synced = status.finding(ConditionType::TargetsSynced);
        assert_eq!(synced.expect("a finding").reason, Reason::Retrying);
        assert_eq!(outcome.retry, Retry::Soon);

        let (writing, writes) = planned_with_restarts(observed(&changed, full()), NOW).begin();
        let written = writes.into_iter().map(|what| Tried {
            outcome: write_succeeds(&what),
            what,
        });
        let (finishing, _, restarts) = writing.finish(written.collect()).begin();
        assert_eq!(restarts.len(), 1);
        let outcome = finishing.conclude(Vec::new(), Vec::new(), NOW);
        let status = outcome.status.expect("a status");
        assert!(!status.targets[0].restart_pending.is_empty());

        let merged = "geography: eu, targets: [{kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]";
        let deleted = Binding {
            deleting: true,
            finalizer: true,
            ..bound(merged)
        };
        let (writing, _) = planned(observed(&deleted, full())).begin();
        let (finishing, removals, _) = writing.finish(Vec::new()).begin();
        assert_eq!(removals.len(), 1);
        let outcome = finishing.conclude(Vec::new(), Vec::new(), NOW);
        assert!(!outcome.drop_finalizer, "the key may still be there");
    }

    #[test]
    fn only_what_was_written_before_is_a_correction() {
        let before = bound("geography: eu");
        let corrects = |binding: &Binding| planned(observed(binding, full())).corrects();
        assert!(!corrects(&sonnet("geography: eu")), "a first write");
        assert!(corrects(&before), "the object is gone");
        let edited = edited(&before, "geography: global");
        assert!(!corrects(&edited), "another value");
    }

    #[test]
    fn labels_of_a_new_spec_are_no_correction() {
        let labels = "geography: eu, targets: [{kind: ConfigMap, name: claude, metadata: {labels: {team: a}}}]";
        let before = bound("geography: eu");
        let write = planned(observed(&before, full())).writes.remove(0);
        let view = Arc::new(TargetView {
            uid: "uid-t".into(),
            labelled: true,
            controller: Some(Controller {
                uid: before.uid.clone(),
                binding: Some(before.key.name.clone()),
                description: "".into(),
            }),
            ours: [Holding {
                holder: before.key.name.clone(),
                keys: fingerprints(TargetKind::ConfigMap, &write.expect("a write").content),
            }]
            .into(),
            ..TargetView::default()
        });
        let seen = |binding: &Binding| {
            let mut seen = observed(binding, full());
            seen.targets[0].view = Some(view.clone());
            planned(seen)
        };
        let edited = edited(&before, labels);
        let plan = seen(&edited);
        assert!(!plan.corrects());
        assert!(plan.writes[0].as_ref().is_ok_and(Write::changes_metadata));
        let written = visit(&edited, full(), &SETTINGS).0;
        assert!(seen(&written).corrects(), "others took the label away");
    }

    #[test]
    fn drift_is_a_correction_while_a_restart_is_due() {
        let changed = edited(
            &bound_with_workload("geography: eu"),
            &with_workload("geography: global"),
        );
        assert!(!planned_with_restarts(observed(&changed, full()), NOW).corrects());
        let (waiting, ..) =
            visit_with_restarts(&changed, full(), &Ok(RestartOutcome::Waiting), NOW);
        assert!(planned_with_restarts(observed(&waiting, full()), NOW).corrects());
    }
}
