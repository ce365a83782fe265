//! The steps of a visit as types, each made from the one before, so that no step can be left out or taken twice:
//! [`Plan`] -> [`Writing`] -> [`Written`] -> [`Finishing`] -> [`Outcome`].
//!
//! Whoever carries out a step gets by value what is to be done, and gives it back with what became of it ([`Tried`]).

use std::sync::Arc;

use super::{
    action::{
        How, Problem, Refused, Removal, RemovalCause, Tried, TriedRemoval, TriedRestart,
        TriedWrite, Write,
    },
    observed::Binding,
    outcome::{self, Outcome},
    publication::Publication,
    restarts::{self, Restart},
    status::{Finding, LegacyModel, TargetRecord},
    values_hash::values_hash,
};

/// What is decided before anything is tried, and stays so.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub binding: Arc<Binding>,
    pub publication: Publication,
    /// Whether what is written now, before this plan, breaks a residency limit.
    pub residency_violated: bool,
    pub restarts_enabled: bool,
    pub supported: Finding,
    pub residency: Finding,
    pub catalog: Finding,
    /// With what the status says of a legacy model; nothing where the catalog does not know the model.
    pub active: Option<(Finding, Option<Arc<LegacyModel>>)>,
    /// Nothing where it is not asked whether the model can be used, or not known.
    pub usable: Option<Finding>,
}

/// What to do about a binding: the first step.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) decided: Decided,
    /// What to write, in the order of the spec's targets; or what is refused without a try.
    pub writes: Vec<Result<Write, Refused>>,
    /// What to remove when the writes were tried.
    pub removals: Vec<Removal>,
    pub(super) needs_finalizer: bool,
}

impl Plan {
    /// Returns the binding that this is about.
    #[must_use]
    pub fn binding(&self) -> &Arc<Binding> {
        &self.decided.binding
    }

    /// Says whether our finalizer must be on the binding before anything is written.
    #[must_use]
    pub fn needs_finalizer(&self) -> bool {
        self.needs_finalizer
    }

    /// Says whether this plan only puts back what was written before: others changed or removed it.
    #[must_use]
    pub fn corrects(&self) -> bool {
        let status = &self.decided.binding.status;
        let mut tried = self
            .writes
            .iter()
            .flatten()
            .filter(|write| !matches!(write.how, How::InPlace(_)));
        tried.any(|write| {
            let record = status.record(&write.key);
            record.is_some_and(|record| *record.hash == *values_hash(&write.content))
        })
    }

    /// Hands out what to write.
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
            decided: self.decided,
            refused,
            removals: self.removals,
        };
        (writing, writes)
    }
}

/// A plan whose writes are under way.
#[derive(Debug)]
pub struct Writing {
    decided: Decided,
    refused: Vec<Refused>,
    removals: Vec<Removal>,
}

impl Writing {
    /// Takes back what was written, and says what follows from it.
    #[must_use]
    pub fn finish(self, tried: Vec<TriedWrite>) -> Written {
        let Self {
            decided,
            refused,
            mut removals,
        } = self;
        let writes = WriteOutcomes { refused, tried };
        if decided.residency_violated {
            removals.extend(fail_closed(&decided.binding, &writes, &removals));
        }
        let restarts = if decided.restarts_enabled {
            restarts::due(&decided.binding, &writes)
        } else {
            Vec::new()
        };
        Written {
            decided,
            writes,
            removals,
            restarts,
        }
    }
}

/// Returns what must go after all: where the written value breaks a residency limit and the new one did not take its place.
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

/// What became of every target of the spec.
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

    /// Returns the problems, in the order of the spec's targets.
    pub fn problems(&self, binding: &Binding) -> Vec<&Problem> {
        let refused = self.refused.iter().map(|it| (&it.key, &it.problem));
        let failed = self
            .tried
            .iter()
            .filter_map(|it| Some((&it.what.key, it.outcome.as_ref().err()?)));
        let mut problems: Vec<_> = refused.chain(failed).collect();
        problems.sort_by_key(|(key, _)| {
            let targets = binding.spec.targets.iter();
            targets
                .map(|target| binding.target_key(target))
                .position(|target| target == **key)
        });
        problems.into_iter().map(|(_, problem)| problem).collect()
    }

    /// Returns the inventory's entries of targets that could not be written: they hold what they held before.
    pub fn left_behind<'a>(
        &'a self,
        binding: &'a Binding,
    ) -> impl Iterator<Item = &'a TargetRecord> {
        let refused = self.refused.iter().map(|it| &it.key);
        let failed = self.tried.iter().filter(|it| it.outcome.is_err());
        refused
            .chain(failed.map(|it| &it.what.key))
            .filter_map(|key| binding.status.record(key))
    }
}

/// A plan whose writes were tried.
#[derive(Debug)]
pub struct Written {
    decided: Decided,
    writes: WriteOutcomes,
    /// What to remove.
    pub removals: Vec<Removal>,
    /// What to restart.
    pub restarts: Vec<Restart>,
}

impl Written {
    /// Hands out what to remove, and what to restart.
    #[must_use]
    pub fn begin(self) -> (Finishing, Vec<Removal>, Vec<Restart>) {
        let finishing = Finishing {
            decided: self.decided,
            writes: self.writes,
        };
        (finishing, self.removals, self.restarts)
    }
}

/// A plan whose removals and restarts are under way.
#[derive(Debug)]
pub struct Finishing {
    pub(super) decided: Decided,
    pub(super) writes: WriteOutcomes,
}

impl Finishing {
    /// Takes back what was removed and restarted, and returns what came of it all. `now` is in seconds since 1970.
    #[must_use]
    pub fn conclude(
        self,
        removals: Vec<TriedRemoval>,
        restarts: &[TriedRestart],
        now: i64,
    ) -> Outcome {
        outcome::conclude(self, removals, restarts, now)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        api::condition::{ConditionStatus, ConditionType, Reason},
        plan::{
            action::Retry,
            restarts::Restarted,
            testing::{
                DONE, NOW, SETTINGS, bound, carry_out, edited, full, observed, planned, restarting,
                running, says, sonnet, visit, visit_restarting, with_workload, written,
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
        let (after, plan, _) = visit(&limited, full(), &SETTINGS);
        let removed: Vec<&str> = plan
            .removals
            .iter()
            .map(|removal| removal.key.name.as_ref())
            .collect();
        assert_eq!(removed, ["bad"]);
        assert_eq!(after.status.targets.len(), 1);
        assert_eq!(
            says(&after, ConditionType::TargetsSynced),
            (ConditionStatus::False, Reason::TemplateInvalid)
        );

        // Where not even that succeeds, the old profile stays on record, so that the next visit tries again.
        let refused = Problem {
            reason: Reason::TargetForbidden,
            message: "no".into(),
            retry: Retry::Rarely,
        };
        let plan = planned(observed(&limited, full()));
        let (_, outcome) = carry_out(plan, written, |_| Err(refused.clone()), |_| DONE, NOW);
        let status = outcome.status.expect("a status");
        assert_eq!(status.route, before.status.route);
        assert_eq!(status.targets.len(), 2);

        let unlimited = edited(&before, &format!("{}geography: eu", two("nothing")));
        let (after, plan, _) = visit(&unlimited, full(), &SETTINGS);
        assert!(
            plan.removals.is_empty(),
            "a broken template alone withdraws nothing"
        );
        assert_eq!(after.status.targets.len(), 2);
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
    fn drift_is_a_correction_while_a_restart_is_due() {
        let changed = edited(
            &running("geography: eu"),
            &with_workload("geography: global"),
        );
        assert!(!restarting(observed(&changed, full()), NOW).corrects());
        let (waiting, ..) = visit_restarting(&changed, full(), &Ok(Restarted::Waits), NOW);
        assert!(restarting(observed(&waiting, full()), NOW).corrects());
    }
}
