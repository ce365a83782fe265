//! The apiserver dies and comes back.

use crate::{
    Outcome,
    faults::{A_QUARTER, Fault, HALF_A_CAP, faults},
    world::{NAMESPACES, World},
};

pub fn faults() -> Vec<Fault> {
    faults![
        apiserver_killed_in_a_burst(Short, HALF_A_CAP),
        apiserver_killed_twice(Long, A_QUARTER),
    ]
}

/// Kills the apiserver while the operator works, and starts it again.
async fn killed(world: &mut World) -> Outcome {
    let burst = world.in_a_burst().await?;
    world.plane.kill_apiserver().await;
    world.plane.start_apiserver()?;
    world.plane.answers().await?;
    burst.await.map_err(|error| error.to_string())?
}

async fn apiserver_killed_in_a_burst(world: &mut World) -> Outcome {
    killed(world).await
}

/// Twice in short order; afterwards a Namespace sets a limit that breaks, which must act at once.
async fn apiserver_killed_twice(world: &mut World) -> Outcome {
    killed(world).await?;
    world.plane.kill_apiserver().await;
    world.plane.start_apiserver()?;
    world.plane.answers().await?;
    world
        .limit_namespace(NAMESPACES[0], Some(&["eu-west-1"]))
        .await
}
