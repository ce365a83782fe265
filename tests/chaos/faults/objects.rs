//! Others edit, unlabel and delete what the operator wrote, and people change their minds.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    Outcome,
    bindings::{Binding, KINDS, Shape},
    calls::{Call, path, path_of},
    etcd::until,
    faults::{Fault, HALF_A_CAP, ONE_CAP, faults},
    manifests,
    wire::Network,
    world::{NAMESPACES, PATIENCE, World},
};

/// Where etcd has custom resource definitions.
const DEFINITIONS: &str = "/registry/apiextensions.k8s.io/customresourcedefinitions/";

pub fn faults() -> Vec<Fault> {
    faults![
        targets_edited(Short, HALF_A_CAP),
        targets_unlabelled(Short, HALF_A_CAP),
        targets_deleted(Short, HALF_A_CAP),
        specs_changed_as_soon_as_they_are_created(Short, HALF_A_CAP),
        specs_changed_there_and_back(Short, HALF_A_CAP),
        specs_changed_there_and_back_while_nobody_looks(Long, HALF_A_CAP),
        limits_changed_during_an_outage(Long, ONE_CAP),
        namespace_deleted_and_restored(Long, ONE_CAP),
        definition_deleted_and_restored(Long, ONE_CAP),
    ]
}

/// Says whether a binding has a target of its own that holds a value.
fn owns(world: &World) -> impl Fn(&Binding) -> bool + use<> {
    let valued = valued(world);
    move |binding| binding.kind.shape != Shape::Merge && valued(binding)
}

/// Says whether a binding has a target that holds a value.
fn valued(world: &World) -> impl Fn(&Binding) -> bool + use<> {
    let bindings = world.bindings.values();
    let valued: Vec<String> = bindings
        .filter(|binding| world.expected(binding).value.is_some())
        .map(Binding::id)
        .collect();
    move |binding| valued.contains(&binding.id())
}

async fn targets_edited(world: &mut World) -> Outcome {
    let edited = world.choose(world.share(20), owns(world));
    world.edit(&edited).await
}

async fn targets_unlabelled(world: &mut World) -> Outcome {
    let unlabelled = world.choose(world.share(20), valued(world));
    world.unlabel(&unlabelled).await
}

async fn targets_deleted(world: &mut World) -> Outcome {
    let deleted = world.choose(world.share(20), owns(world));
    world.delete_targets(&deleted).await
}

/// Bindings come, and ask for something else while the operator looks at them for the first time.
async fn specs_changed_as_soon_as_they_are_created(world: &mut World) -> Outcome {
    let before: BTreeSet<String> = world.bindings.keys().cloned().collect();
    let created = world.create(4 * KINDS.len());
    let fresh: Vec<Binding> = world
        .bindings
        .values()
        .filter(|binding| !before.contains(&binding.id()) && binding.kind.changes)
        .cloned()
        .collect();
    let mut changes = world.turn(&fresh);
    let mut calls = created;
    for sequence in &mut calls {
        let created = sequence.last().and_then(Call::manifest).map(path_of);
        let change = changes
            .iter_mut()
            .find(|change| change.last().and_then(Call::manifest).map(path_of) == created);
        sequence.extend(change.map(std::mem::take).unwrap_or_default());
    }
    world.caller.run(calls).await
}

/// A -> B -> A, as fast as the apiserver takes it, and then A -> B, which must act.
async fn specs_changed_there_and_back(world: &mut World) -> Outcome {
    let turned = world.choose(world.share(20), |binding| binding.kind.changes);
    for _ in 0..3 {
        let calls = world.turn(&turned);
        world.caller.run(calls).await?;
    }
    Ok(())
}

/// A -> B, then `kill -9` of both, and B -> A before they are back.
async fn specs_changed_there_and_back_while_nobody_looks(world: &mut World) -> Outcome {
    let turned = world.choose(world.share(20), |binding| binding.kind.changes);
    let before = world.writes();
    let calls = world.turn(&turned);
    world.caller.run(calls).await?;
    world.until_writes(before + turned.len()).await?;
    for replica in &mut world.replicas {
        replica.kill().await;
    }
    world.ledger.went_back_unseen = true;
    let calls = world.turn(&turned);
    world.caller.run(calls).await?;
    for replica in &mut world.replicas {
        replica.start()?;
    }
    Ok(())
}

/// For 12 s, long enough to know that limits may be new, no replica reaches the apiserver. A Namespace sets a limit that breaks, another one's limit goes, and bindings come.
async fn limits_changed_during_an_outage(world: &mut World) -> Outcome {
    world.network(Network::Cut);
    world
        .limit_namespace(NAMESPACES[0], Some(&["eu-west-1"]))
        .await?;
    world.limit_namespace("chaos-limited", None).await?;
    world.bursts().await?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    world.network(Network::Fine);
    Ok(())
}

/// A namespace goes with everything in it, and comes back from the repository.
async fn namespace_deleted_and_restored(world: &mut World) -> Outcome {
    let namespace = NAMESPACES[1];
    world.ledger.emptied.insert(namespace.to_owned());
    let lost = world.lose(|binding| binding.namespace == namespace);
    world
        .caller
        .make(&Call::Delete(path("Namespace", "", namespace)))
        .await?;
    let key = format!("/registry/namespaces/{namespace}");
    until("the namespace is gone", PATIENCE, || {
        match world.recorder.get(&key) {
            None => Ok(()),
            Some(_) => Err(world
                .recorder
                .keys(&format!(
                    "/registry/inferenceprofiles.dev/inferenceprofilebindings/{namespace}/"
                ))
                .join(", ")),
        }
    })
    .await?;
    world
        .caller
        .make(&Call::Apply(manifests::namespace(namespace, None)))
        .await?;
    let bystanders = manifests::bystanders(namespace);
    world
        .caller
        .run(
            bystanders
                .into_iter()
                .map(|object| vec![Call::Apply(object)])
                .collect(),
        )
        .await?;
    world
        .bindings
        .extend(lost.into_iter().map(|binding| (binding.id(), binding)));
    world.apply_bindings(Some(namespace)).await
}

/// The definition goes with all bindings, and both come back from the repository.
async fn definition_deleted_and_restored(world: &mut World) -> Outcome {
    let lost = world.lose(|_| true);
    world.collected_again();
    let definition = manifests::definition()?;
    world
        .caller
        .make(&Call::Delete(path_of(&definition)))
        .await?;
    until("the bindings and what they own are gone", PATIENCE, || {
        let left = lost.iter().filter(|binding| {
            let target = world.recorder.get(&binding.target_key());
            world.recorder.get(&binding.key()).is_some()
                || binding.kind.shape != Shape::Conflict
                    && binding.found(target.as_deref()).is_some()
        });
        match (left.count(), world.recorder.keys(DEFINITIONS).len()) {
            (0, 0) => Ok(()),
            left => Err(format!("{left:?} are left")),
        }
    })
    .await?;
    world.caller.make(&Call::Apply(definition)).await?;
    world
        .bindings
        .extend(lost.into_iter().map(|binding| (binding.id(), binding)));
    world.apply_bindings(None).await
}
