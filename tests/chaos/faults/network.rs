//! The network between the operator and the apiserver fails. The suite reaches the apiserver meanwhile.

use std::time::Duration;

use crate::{
    Outcome,
    etcd::until,
    faults::{Fault, HALF_A_CAP, ONE_CAP, TWO_CAPS, faults},
    wire::Network,
    world::World,
};

/// Longer than writes and the Lease wait.
const LATE: Duration = Duration::from_secs(30);

pub fn faults() -> Vec<Fault> {
    faults![
        network_cut(Short, ONE_CAP),
        network_delayed_by_30_s(Long, ONE_CAP),
        requests_held_back(Long, ONE_CAP),
        answers_held_back(Long, ONE_CAP),
        connections_frozen(Long, TWO_CAPS),
        connections_silent_for_good(Long, HALF_A_CAP),
    ]
}

/// Does something to the leader's network while it works, until the other one leads and works; then mends it.
async fn to_the_leader(world: &mut World, network: Network) -> Outcome {
    let leader = world.some_leader().await?;
    let burst = world.in_a_burst().await?;
    world.replicas[leader].wire.set(network);
    burst.await.map_err(|error| error.to_string())??;
    world.other_leader(leader).await?;
    world.bursts().await?;
    world.replicas[leader].wire.set(Network::Fine);
    Ok(())
}

async fn network_cut(world: &mut World) -> Outcome {
    to_the_leader(world, Network::Cut).await
}

/// What the leader sent arrives 30 s later, in the term of the other one.
async fn network_delayed_by_30_s(world: &mut World) -> Outcome {
    world.ledger.delayed = true;
    let leader = world.some_leader().await?;
    to_the_leader(world, Network::Slow(LATE)).await?;
    until("what was delayed has arrived", 10 * LATE, || {
        if world.replicas[leader].wire.is_empty() {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    })
    .await
}

/// What the leader sent arrives when the other one leads.
async fn requests_held_back(world: &mut World) -> Outcome {
    world.ledger.delayed = true;
    to_the_leader(world, Network::RequestsHeld).await
}

/// The leader's writes are made, and it does not hear of it.
async fn answers_held_back(world: &mut World) -> Outcome {
    to_the_leader(world, Network::AnswersHeld).await
}

/// Neither replica gets an answer for 20 s, and no connection is closed.
async fn connections_frozen(world: &mut World) -> Outcome {
    let burst = world.in_a_burst().await?;
    world.network(Network::Frozen);
    burst.await.map_err(|error| error.to_string())??;
    world.bursts().await?;
    // Longer than a Lease lasts: nobody leads by then.
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.network(Network::Fine);
    Ok(())
}

/// The connections that are there never carry anything again, as when a firewall forgets them; new ones work.
async fn connections_silent_for_good(world: &mut World) -> Outcome {
    for replica in &world.replicas {
        replica.wire.silence();
    }
    world.bursts().await
}
