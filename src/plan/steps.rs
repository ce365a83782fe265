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
