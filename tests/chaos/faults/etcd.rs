//! etcd stands still, forgets its history, and comes back with older data.

use std::time::Duration;

use crate::{
    Outcome,
    etcd::until,
    faults::{Fault, HALF_A_CAP, ONE_CAP, faults},
    wire::Network,
    world::{PATIENCE, World},
};

pub fn faults() -> Vec<Fault> {
    faults![
        etcd_paused(Short, ONE_CAP),
        history_compacted_while_cut_off(Long, HALF_A_CAP),
        etcd_restored_from_an_older_copy(Long, ONE_CAP),
    ]
}

/// etcd stands still for 12 s, longer than a leader may write without a renewal.
async fn etcd_paused(world: &mut World) -> Outcome {
    let burst = world.in_a_burst().await?;
    world.plane.pause_etcd().await?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    world.plane.resume_etcd().await?;
    burst.await.map_err(|error| error.to_string())?
}

/// While no replica reaches the apiserver, everything that they would have to make up for is forgotten.
async fn history_compacted_while_cut_off(world: &mut World) -> Outcome {
    world.network(Network::Cut);
    world.bursts().await?;
    world.recorder.compact().await?;
    // The apiserver's own memory of the history goes too.
    world.plane.kill_apiserver().await;
    world.plane.start_apiserver()?;
    world.plane.answers().await?;
    world.network(Network::Fine);
    Ok(())
}

/// etcd loses what happened since a copy was made, as a restore from a backup does it.
async fn etcd_restored_from_an_older_copy(world: &mut World) -> Outcome {
    world.plane.keep_copy().await?;
    let bindings = world.bindings.clone();
    let before = world.writes();
    world.bursts().await?;
    world.until_writes(before + world.ledger.least / 2).await?;
    let recorder = std::sync::Arc::clone(&world.recorder);
    world.plane.restore_copy(&recorder).await?;
    let deleted = bindings
        .keys()
        .filter(|id| !world.bindings.contains_key(*id));
    world.ledger.came_back = deleted.cloned().collect();
    world.bindings = bindings;
    // What came after the copy is not there.
    let present: Vec<String> = world.bindings.keys().cloned().collect();
    world.ledger.values.retain(|id, _| present.contains(id));
    world.note();
    until("etcd's data were looked at", PATIENCE, || {
        if world.recorder.follows() {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await
}
