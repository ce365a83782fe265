//! Which workloads are restarted: those of `spec.rollout` when, and only when, a written value changed from one to another.

use std::sync::Arc;

use super::{
    action::{Retry, TriedRestart, Write},
    identity::WorkloadKey,
    observed::Binding,
    steps::WriteOutcomes,
    values_hash::{changed_keys, digits, entries_of},
};

/// A workload to be restarted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The workload.
    pub workload: WorkloadKey,
    /// Names what it is restarted for: the value of the annotation. The same change has the same token in every visit, so
    /// that a restart that was triggered already is not triggered again.
    pub token: Arc<str>,
}

/// What became of a restart that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restarted {
    /// It was triggered, in this visit or an earlier one.
    Triggered,
    /// There is no such workload.
    Missing,
    /// It waits until others are complete.
    Waits,
}

/// Returns the restarts that are due now that the writes were tried.
///
/// None while a write failed on the way: its next try may change another value, and each workload restarts once.
pub(super) fn due(binding: &Binding, writes: &WriteOutcomes) -> Vec<Restart> {
    if binding.spec.rollout.is_empty() || any_failed_on_the_way(binding, writes) {
        return Vec::new();
    }
    let mut changed: Vec<String> = writes
        .succeeded()
        .filter_map(|(write, _)| changed(binding, write))
        .collect();
    if changed.is_empty() {
        return Vec::new();
    }
    changed.sort_unstable();
    let token: Arc<str> = digits(&changed.join("\n"), 16).into();
    let workloads = binding.spec.rollout.iter().map(|(kind, name)| WorkloadKey {
        kind: *kind,
        namespace: binding.key.namespace.clone(),
        name: name.clone(),
    });
    workloads
        .map(|workload| Restart {
            workload,
            token: token.clone(),
        })
        .collect()
}

/// Says which values of a target changed, and since when the ones before them stood there: where values come and go, the
/// same change comes back.
fn changed(binding: &Binding, write: &Write) -> Option<String> {
    let before = binding.status.record(&write.key)?;
    let keys = changed_keys(before, &write.content);
    let entries = entries_of(&write.content, &keys);
    let since = before.since.unwrap_or_default();
    (!entries.is_empty()).then(|| format!("{} {since} {}", write.key, entries.concat()))
}

/// Says whether every restart that was due is done with.
pub(super) fn settled(
    binding: &Binding,
    writes: &WriteOutcomes,
    restarts: &[TriedRestart],
) -> bool {
    !any_failed_on_the_way(binding, writes)
        && restarts
            .iter()
            .all(|tried| matches!(tried.outcome, Ok(Restarted::Triggered | Restarted::Missing)))
}

fn any_failed_on_the_way(binding: &Binding, writes: &WriteOutcomes) -> bool {
    let mut problems = writes.problems(binding).into_iter();
    problems.any(|problem| problem.retry == Retry::Soon)
}

#[cfg(test)]
mod tests;
