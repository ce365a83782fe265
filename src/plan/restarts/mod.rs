//! Decides which workloads are restarted: those of `spec.rollout`, if and only if a written value was replaced by another.

use std::sync::Arc;

use super::{
    action::{TriedRestart, Write, WriteMode},
    identity::WorkloadKey,
    observed::{Binding, fingerprint, fingerprints},
    status::TargetRecord,
    steps::WriteOutcomes,
    values_hash::{changed_keys, entries_of, hex_digits},
};

/// A workload to restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The workload.
    pub workload: WorkloadKey,
    /// The value of the annotation that triggers the restart. It identifies the change: the same change has the same token in
    /// every visit, so that a restart is not triggered twice.
    pub token: Arc<str>,
}

/// The outcome of a restart that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartOutcome {
    /// It was triggered, in this visit or in an earlier one.
    Triggered,
    /// The workload does not exist.
    Missing,
    /// It waits for other restarts to complete.
    Waiting,
}

/// Returns the inventory with a mark on every value that the writes are about to change, or `None` if there is nothing to mark.
/// `now` is in seconds since the Unix epoch.
///
/// A mark is a pending restart. It is recorded before the write, so that the restart is owed whatever happens afterwards: the
/// status may not be written, and the value may change back meanwhile. The time in it makes each change one of its own.
///
/// An object may hold values of ours that the status does not know: its write was answered too late, or the status could not be
/// written after it. Pods may have started with them, so that their change counts too.
pub(super) fn marked<'a>(
    binding: &Binding,
    writes: impl IntoIterator<Item = &'a Write>,
    now: i64,
) -> Option<Vec<TargetRecord>> {
    if binding.spec.rollout.is_empty() {
        return None;
    }
    let mut records = binding.status.targets.clone();
    for write in writes {
        if matches!(write.mode, WriteMode::Unchanged(_)) {
            continue;
        }
        let mut known = records.iter_mut();
        let Some(record) = known.find(|record| record.key == write.key) else {
            records.extend(unrecorded(binding, write, now));
            continue;
        };
        let changed: Vec<Arc<str>> = changed_keys(record, &write.content)
            .into_iter()
            .map(Arc::from)
            .collect();
        let is_new = |key: &Arc<str>| !record.restart_pending.contains(key);
        if changed.iter().any(is_new) {
            if record.restart_pending.is_empty() {
                record.since = Some(now);
            }
            record.restart_pending = changed.into();
        }
    }
    (records != binding.status.targets).then_some(records)
}

/// Returns the record of an object that is about to be written and that the status does not know, with a mark on each key under
/// which it holds another value of this binding. Returns `None` if there is no such key.
fn unrecorded(binding: &Binding, write: &Write, now: i64) -> Option<TargetRecord> {
    let (WriteMode::Update(view) | WriteMode::Merge(view)) = &write.mode else {
        return None;
    };
    let held = view.held_by(&binding.key.name)?;
    let wanted = fingerprints(write.key.kind, &write.content);
    let differs = |key: &str| {
        let key = fingerprint(key);
        let value = |pairs: &[(u64, u64)]| {
            let found = pairs.binary_search_by_key(&key, |(key, _)| *key);
            found.ok().map(|at| pairs[at].1)
        };
        value(&held.keys).is_some_and(|held| value(&wanted) != Some(held))
    };
    let keys = write.content.keys().filter(|key| differs(key));
    let changed: Box<[Arc<str>]> = keys.map(|key| Arc::from(key.as_str())).collect();
    (!changed.is_empty()).then(|| TargetRecord {
        key: write.key.clone(),
        uid: view.uid.clone(),
        policy: write.policy,
        hash: "".into(),
        restart_pending: changed,
        since: Some(now),
    })
}

/// Returns the restarts that are due after the writes.
///
/// Returns none when a write failed and is retried soon: the retry may change another value, and each workload is to restart
/// only once.
pub(super) fn due(binding: &Binding, writes: &WriteOutcomes) -> Vec<Restart> {
    if binding.spec.rollout.is_empty() || writes.any_transient_failure() {
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
    let token: Arc<str> = hex_digits(&changed.join("\n"), 16).into();
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

/// Returns text that identifies the changed values of a target, and since when it held the values before them: values can
/// alternate, and then the same change occurs again. Returns `None` when no value changed.
fn changed(binding: &Binding, write: &Write) -> Option<String> {
    let before = binding.status.record(&write.key)?;
    let keys = changed_keys(before, &write.content);
    let entries = entries_of(&write.content, &keys);
    let since = before.since.unwrap_or_default();
    (!entries.is_empty()).then(|| format!("{} {since} {}", write.key, entries.concat()))
}

/// Says whether no restart is pending any more.
pub(super) fn settled(writes: &WriteOutcomes, restarts: &[TriedRestart]) -> bool {
    !writes.any_transient_failure()
        && restarts.iter().all(|tried| {
            matches!(
                tried.outcome,
                Ok(RestartOutcome::Triggered | RestartOutcome::Missing)
            )
        })
}

#[cfg(test)]
mod tests;
