//! What must hold after a fault, judged by what stood in etcd and by the apiserver's audit log alone.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    audit::Write,
    bindings::{Binding, Shape},
    etcd::Change,
    manifests,
    replica::LEASE_KEY,
    world::{NAMESPACES, World},
};

/// How many times the fewest possible writes are accepted. A write that was under way when something failed is repeated.
const FACTOR: usize = 3;
/// How many writes more: those under way at the worst moment.
const SLACK: usize = 10;

/// What was found in a try.
#[derive(Debug, Default)]
pub struct Findings {
    pub writes: usize,
    pub refused: usize,
    pub least: usize,
    /// Values that were blanked or changed and should have stood.
    pub lost: usize,
    /// Changes of objects that are none of the operator's business.
    pub foreign: usize,
    /// Workloads that restarted too often, or not at all.
    pub restarts: usize,
    /// Writes of a replica while another one held the Lease.
    pub overlaps: usize,
    /// What was found, in words.
    pub words: Vec<String>,
}

/// What differs from the fixed point.
#[derive(Debug)]
pub struct Difference {
    pub words: String,
    /// Whether nothing but a restart is outstanding.
    pub is_restart: bool,
}

impl From<String> for Difference {
    fn from(words: String) -> Self {
        Self {
            words,
            is_restart: false,
        }
    }
}

/// Returns in which bindings something differs from the fixed point.
pub fn differences(world: &World) -> Vec<Difference> {
    let mut found: Vec<Difference> = world
        .bindings
        .values()
        .filter_map(|binding| {
            let difference = difference(world, binding).map(Difference::from);
            difference.or_else(|| restart_outstanding(world, binding))
        })
        .collect();
    for (id, (binding, _)) in &world.ledger.values {
        if world.bindings.contains_key(id) {
            continue;
        }
        let target = world.recorder.get(&binding.target_key());
        if world.recorder.get(&binding.key()).is_some()
            || binding.found(target.as_deref()).is_some()
        {
            found.push(format!("{id}: it was deleted, and is there or has left its value").into());
        }
    }
    if !world.recorder.follows() {
        found.push(
            "etcd has other data, which were not looked at"
                .to_owned()
                .into(),
        );
    }
    found
}

fn difference(world: &World, binding: &Binding) -> Option<String> {
    let id = binding.id();
    let Some(object) = world.recorder.get(&binding.key()) else {
        return Some(format!("{id}: it is not there"));
    };
    let expected = world.expected(binding);
    let status = &object["status"];
    if status["observedGeneration"] != object["metadata"]["generation"] {
        return Some(format!("{id}: its spec was not looked at"));
    }
    let condition = |kind: &str| {
        let conditions = status["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions
            .find(|condition| condition["type"] == kind)
            .cloned()
            .unwrap_or_default()
    };
    let ready = condition("Ready");
    if ready["reason"] != expected.reason {
        return Some(format!(
            "{id}: Ready is {} {}, not {}",
            ready["reason"], ready["message"], expected.reason
        ));
    }
    if condition("CatalogFresh")["status"] != "True" {
        return Some(format!(
            "{id}: CatalogFresh is {}",
            condition("CatalogFresh")["reason"]
        ));
    }
    if binding.kind.shape == Shape::Conflict {
        return None;
    }
    let target = world.recorder.get(&binding.target_key());
    let found = binding.found(target.as_deref());
    if found != expected.value {
        return Some(format!(
            "{id}: its target holds {found:?}, not {:?}",
            expected.value
        ));
    }
    let labelled = target.is_some_and(|target| {
        target["metadata"]["labels"]["inferenceprofiles.dev/managed"] == "true"
    });
    if expected.value.is_some() && !labelled {
        return Some(format!("{id}: its target has no label"));
    }
    None
}

fn restart_outstanding(world: &World, binding: &Binding) -> Option<Difference> {
    let object = world.recorder.get(&binding.key())?;
    let targets = object["status"]["targets"].as_array();
    let is_pending = |target: &Value| {
        let keys = target["restartPendingKeys"].as_array();
        keys.is_some_and(|keys| !keys.is_empty())
    };
    let pending = targets.into_iter().flatten().any(is_pending);
    pending.then(|| Difference {
        words: format!("{}: a restart is outstanding", binding.id()),
        is_restart: true,
    })
}

/// Judges a try that has settled.
pub fn judge(world: &World) -> Findings {
    let changes = world.recorder.since(world.ledger.mark);
    let mut by_key: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in &changes {
        by_key.entry(&change.key).or_default().push(change);
    }
    let writes = &world.audit.writes[world.ledger.writes_before.min(world.audit.writes.len())..];
    let mut findings = Findings {
        writes: writes.iter().filter(|write| write.succeeded()).count(),
        refused: writes.iter().filter(|write| !write.succeeded()).count(),
        least: world.ledger.least,
        ..Findings::default()
    };
    values(world, &by_key, &mut findings);
    foreign(world, &by_key, &mut findings);
    restarts(world, &by_key, &mut findings);
    overlaps(world, &changes, &mut findings);
    let most = FACTOR * findings.least + SLACK;
    if findings.writes > most {
        let words = format!(
            "{} writes, and {most} would be accepted: {}",
            findings.writes,
            kinds(world)
        );
        findings.words.push(words);
    }
    findings
}

/// Returns how many writes there were of each kind.
fn kinds(world: &World) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for write in &world.audit.writes[world.ledger.writes_before..] {
        let name = format!(
            "{} {} {} {}",
            write.verb, write.resource, write.subresource, write.code
        );
        *kinds.entry(name).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    kinds.join(", ")
}

type ByKey<'a> = BTreeMap<&'a str, Vec<&'a Change>>;

fn of<'a>(changes: &ByKey<'a>, key: &str) -> Vec<&'a Change> {
    changes.get(key).cloned().unwrap_or_default()
}

/// Each value that was seen must be one of those that may stand there, in their order.
fn values(world: &World, changes: &ByKey, findings: &mut Findings) {
    for (id, (binding, allowed)) in &world.ledger.values {
        if binding.kind.shape == Shape::Conflict {
            continue;
        }
        let mut at = 0;
        for change in of(changes, &binding.target_key()) {
            let seen = binding.found(change.object.as_deref());
            // What garbage collection takes may come back until the operator sees that the binding is gone.
            let was_deleted = if change.life < world.recorder.life() {
                world.ledger.came_back.contains(id)
            } else {
                !world.bindings.contains_key(id)
            };
            if was_deleted && allowed.contains(&seen) {
                continue;
            }
            if let Some(further) = allowed[at..].iter().position(|value| *value == seen) {
                at += further;
            } else {
                findings.lost += 1;
                findings.words.push(format!(
                    "{id}: its target held {seen:?}, and may hold {:?}",
                    &allowed[at..]
                ));
            }
        }
    }
}

/// Nobody but the suite may touch what is of others; of the objects that keys are merged into, the rest.
fn foreign(world: &World, changes: &ByKey, findings: &mut Findings) {
    let emptied = |namespace: &str| world.ledger.emptied.contains(namespace);
    let mut touched = |key: &str, words: String| {
        findings.foreign += 1;
        findings
            .words
            .push(format!("{key}, which is of others, {words}"));
    };
    for namespace in NAMESPACES.iter().filter(|namespace| !emptied(namespace)) {
        for key in manifests::bystander_keys(namespace) {
            for _ in of(changes, &key).iter().filter(|change| !change.restored) {
                touched(&key, "was written".to_owned());
            }
        }
        let key = format!("/registry/deployments/{namespace}/bystander");
        let restarted = of(changes, &key)
            .into_iter()
            .filter(|change| annotations(change).is_some());
        restarted.for_each(|_| touched(&key, "was restarted".to_owned()));
    }
    for (binding, _) in world.ledger.values.values() {
        let theirs = matches!(binding.kind.shape, Shape::Merge | Shape::Conflict);
        if !theirs || emptied(&binding.namespace) {
            continue;
        }
        for change in of(changes, &binding.target_key())
            .into_iter()
            .filter(|change| !change.restored)
        {
            let object = change.object.as_deref();
            let untouched = object.is_some_and(|object| object["data"]["theirs"] == "untouched");
            let own_only = binding.kind.shape == Shape::Merge
                || object.is_some_and(|object| {
                    object["data"]
                        .as_object()
                        .is_some_and(|data| data.len() == 1)
                });
            if !(untouched && own_only) {
                touched(&change.key, format!("became {object:?}"));
            }
        }
    }
}

/// Returns the restart annotations of a Deployment's pods; None where it was never restarted.
fn annotations(change: &Change) -> Option<Value> {
    change.object.as_ref()?["spec"]["template"]["metadata"]
        .get("annotations")
        .cloned()
}

/// A workload restarts where a written value changed: at most once for each change, and after the last one.
fn restarts(world: &World, changes: &ByKey, findings: &mut Findings) {
    let all = restarts_by_workload(world);
    for (id, (binding, allowed)) in &world.ledger.values {
        let emptied = world.ledger.emptied.contains(&binding.namespace);
        if !binding.kind.workload || emptied || !world.bindings.contains_key(id) {
            continue;
        }
        let mut moved: Vec<(u32, u64)> = Vec::new();
        let mut value = allowed[0].clone();
        for change in of(changes, &binding.target_key()) {
            let seen = binding.found(change.object.as_deref());
            let edited = seen
                .as_ref()
                .is_some_and(|seen| world.ledger.edits.contains(seen));
            if edited || seen == value {
                continue;
            }
            // Neither a first value nor one that came with etcd's data is a change.
            if seen.is_some() && value.is_some() && !change.restored {
                moved.push((change.life, change.revision));
            }
            value = seen;
        }
        let restarted = all
            .get(&binding.workload_key())
            .cloned()
            .unwrap_or_default();
        // Where etcd was put back, its workloads were, too; and without a value new pods could not start.
        let life = world.recorder.life();
        let due = moved
            .last()
            .filter(|(moved_in, _)| *moved_in == life && value.is_some());
        let most = moved.len().max(usize::from(world.ledger.went_back_unseen));
        if restarted.len() > most || restarted.last() < due {
            findings.restarts += 1;
            findings.words.push(format!(
                "{id}: its value changed at (life, revision) {moved:?}, and its workload restarted at {restarted:?}"
            ));
        }
    }
}

/// Returns when workloads restarted since the try began, as life and revision.
fn restarts_by_workload(world: &World) -> BTreeMap<String, Vec<(u32, u64)>> {
    let mut restarts: BTreeMap<String, Vec<(u32, u64)>> = BTreeMap::new();
    let mut last: BTreeMap<String, Option<Value>> = BTreeMap::new();
    for (index, change) in world.recorder.since(0).into_iter().enumerate() {
        if !change.key.starts_with("/registry/deployments/") {
            continue;
        }
        let now = annotations(&change);
        let before = last.insert(change.key.clone(), now.clone()).flatten();
        if index >= world.ledger.mark && !change.restored && now.is_some() && now != before {
            restarts
                .entry(change.key)
                .or_default()
                .push((change.life, change.revision));
        }
    }
    restarts
}

/// Says whether the holder of the Lease has not written an object before this revision, in the try.
fn is_first_of_the_term(world: &World, late: &Write, holder: &str, revision: u64) -> bool {
    let mut writes = world.audit.writes[world.ledger.writes_before..].iter();
    !writes.any(|write| {
        write.succeeded()
            && write.life == late.life
            && write.key() == late.key()
            && holder.starts_with(&write.user)
            && write.revision.is_some_and(|written| written < revision)
    })
}

/// Whoever changes something holds the Lease at that revision, or nobody does. What was on its way when the Lease changed hands
/// may arrive where the new holder has written nothing yet.
fn overlaps(world: &World, changes: &[Change], findings: &mut Findings) {
    let leases: Vec<Change> = world
        .recorder
        .since(0)
        .into_iter()
        .filter(|change| change.key == LEASE_KEY)
        .collect();
    let written: BTreeMap<(&str, u32, u64), Timestamp> = changes
        .iter()
        .map(|change| {
            (
                (change.key.as_str(), change.life, change.revision),
                change.at,
            )
        })
        .collect();
    for write in &world.audit.writes[world.ledger.writes_before..] {
        let (Some(revision), true) = (write.revision, write.succeeded()) else {
            continue;
        };
        let key = write.key();
        // A write that changes nothing is answered with the revision of an earlier one.
        if written
            .get(&(key.as_str(), write.life, revision))
            .is_none_or(|at| *at < write.received)
        {
            continue;
        }
        let mut terms = leases.iter().rev();
        let term = terms.find(|lease| lease.life == write.life && lease.revision <= revision);
        let holder =
            term.and_then(|lease| lease.object.as_ref()?["spec"]["holderIdentity"].as_str());
        if let Some(holder) = holder
            && !holder.is_empty()
            && !holder.starts_with(&write.user)
            && !(world.ledger.delayed && is_first_of_the_term(world, write, holder, revision))
        {
            findings.overlaps += 1;
            findings.words.push(format!(
                "{} wrote {key} while {holder} held the Lease",
                write.user
            ));
        }
    }
}
