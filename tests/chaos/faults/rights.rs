//! The apiserver refuses: rights are withdrawn, quotas are used up, a policy freezes changes. What was refused is made up for
//! when the refusal ends.

use std::collections::BTreeSet;

use crate::{
    Outcome,
    bindings::{Binding, KINDS},
    calls::{Call, path_of},
    etcd::until,
    faults::{Fault, ONE_CAP, faults},
    manifests::{self, Right},
    world::{NAMESPACES, PATIENCE, World},
};

pub fn faults() -> Vec<Fault> {
    faults![
        rights_on_statuses_withdrawn(Long, ONE_CAP),
        rights_on_namespaces_withdrawn(Long, ONE_CAP),
        rights_on_targets_withdrawn(Long, ONE_CAP),
        quota_used_up(Long, ONE_CAP),
        changes_refused_by_a_policy(Long, ONE_CAP),
    ]
}

/// Waits until so many writes were refused.
async fn refused(world: &mut World, number: usize) -> Outcome {
    let before = world.ledger.writes_before;
    until("writes are refused", PATIENCE, || {
        world.writes();
        let refused = world.audit.writes[before..]
            .iter()
            .filter(|write| [403, 422].contains(&write.code))
            .count();
        if refused >= number {
            Ok(())
        } else {
            Err(format!("{refused} of {number} were"))
        }
    })
    .await
}

/// A -> B -> A while no status can be written, and A -> B when it can.
async fn rights_on_statuses_withdrawn(world: &mut World) -> Outcome {
    let turned = world.choose(world.share(20), |binding| binding.kind.changes);
    world.grant_all_but(Some(Right::Statuses)).await?;
    for _ in 0..2 {
        let calls = world.turn(&turned);
        world.caller.run(calls).await?;
        refused(world, turned.len()).await?;
        written(world, &turned).await?;
    }
    world.grant_all_but(None).await?;
    let calls = world.turn(&turned);
    world.caller.run(calls).await
}

/// Waits until the targets of bindings hold what they must, but for those with a workload: what can't be recorded may wait
/// there.
async fn written(world: &World, bindings: &[Binding]) -> Outcome {
    let without = bindings.iter().filter(|binding| !binding.kind.workload);
    let ids: BTreeSet<String> = without.map(Binding::id).collect();
    until("the values are written", PATIENCE, || {
        let behind = ids
            .iter()
            .filter_map(|id| world.bindings.get(id))
            .find(|binding| {
                let target = world.recorder.get(&binding.target_key());
                binding.found(target.as_deref()) != world.expected(binding).value
            });
        behind.map_or(Ok(()), |binding| Err(binding.id()))
    })
    .await
}

/// A Namespace sets a limit that breaks, where nobody may see it, and bindings come, which must not be written against it.
async fn rights_on_namespaces_withdrawn(world: &mut World) -> Outcome {
    world.grant_all_but(Some(Right::Namespaces)).await?;
    // Watches that were begun with the right go on: they are cut.
    for replica in &world.replicas {
        replica.wire.sever().await?;
    }
    // By the documentation, nothing new is written ten seconds later.
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    world
        .limit_namespace(NAMESPACES[0], Some(&["eu-west-1"]))
        .await?;
    let calls = world.create(3 * KINDS.len());
    world.caller.run(calls).await?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    // Every status says that limits are unknown, and then that they are known.
    world.ledger.least += 2 * world.bindings.len();
    world.grant_all_but(None).await
}

async fn rights_on_targets_withdrawn(world: &mut World) -> Outcome {
    world.grant_all_but(Some(Right::Targets)).await?;
    world.bursts().await?;
    let enough = world.share(20);
    refused(world, enough).await?;
    world.grant_all_but(None).await
}

/// New targets are refused in all namespaces.
async fn quota_used_up(world: &mut World) -> Outcome {
    let quotas = NAMESPACES.map(manifests::quota);
    let paths: Vec<String> = quotas
        .iter()
        .filter_map(|[quota, _]| quota.manifest())
        .map(path_of)
        .collect();
    // What others make is there before: only the bindings come when nothing more may be created.
    let mut calls = world.create(2 * KINDS.len());
    let bindings = calls
        .iter_mut()
        .filter_map(Vec::pop)
        .map(|call| vec![call])
        .collect();
    world.caller.run(calls).await?;
    world.caller.run(quotas.map(Vec::from).into()).await?;
    world.caller.run(bindings).await?;
    refused(world, KINDS.len() / 2).await?;
    world
        .caller
        .run(
            paths
                .into_iter()
                .map(|path| vec![Call::Delete(path)])
                .collect(),
        )
        .await
}

async fn changes_refused_by_a_policy(world: &mut World) -> Outcome {
    let policy = manifests::refusal();
    let paths = [path_of(&policy[1]), path_of(&policy[0])];
    world
        .caller
        .run(vec![policy.map(Call::Apply).into()])
        .await?;
    world
        .caller
        .until_refused(&Call::Apply(manifests::probe()))
        .await?;
    world.bursts().await?;
    let enough = world.share(10);
    refused(world, enough).await?;
    world.caller.run(vec![paths.map(Call::Delete).into()]).await
}
