//! Replicas die, stand still, and lose the Lease.

use crate::{
    Outcome,
    clock::MovedClock,
    faults::{Fault, HALF_A_CAP, ONE_CAP, faults},
    world::World,
};

pub fn faults() -> Vec<Fault> {
    faults![
        leader_killed_in_a_burst(Short, ONE_CAP),
        leader_stopped_past_its_lease(Long, ONE_CAP),
        both_replicas_killed(Short, ONE_CAP),
        lease_deleted(Short, HALF_A_CAP),
        clock_jumps(Long, HALF_A_CAP),
    ]
}

/// `kill -9` of the leader while it works; it comes back as the standby.
async fn leader_killed_in_a_burst(world: &mut World) -> Outcome {
    let leader = world.some_leader().await?;
    let burst = world.in_a_burst().await?;
    world.replicas[leader].kill().await;
    burst.await.map_err(|error| error.to_string())??;
    world.replicas[leader].start()
}

/// SIGSTOP of the leader while it works, until the other one leads; then it goes on where it was.
async fn leader_stopped_past_its_lease(world: &mut World) -> Outcome {
    let leader = world.some_leader().await?;
    let burst = world.in_a_burst().await?;
    world.replicas[leader].signal("STOP").await?;
    burst.await.map_err(|error| error.to_string())??;
    world.other_leader(leader).await?;
    world.bursts().await?;
    world.replicas[leader].signal("CONT").await
}

/// `kill -9` of both while one works; specs and targets change while nobody looks.
async fn both_replicas_killed(world: &mut World) -> Outcome {
    let burst = world.in_a_burst().await?;
    for replica in &mut world.replicas {
        replica.kill().await;
    }
    burst.await.map_err(|error| error.to_string())??;
    world.bursts().await?;
    for replica in &mut world.replicas {
        replica.start()?;
    }
    Ok(())
}

/// The Lease is deleted, twice, while the leader works.
async fn lease_deleted(world: &mut World) -> Outcome {
    for _ in 0..2 {
        let burst = world.in_a_burst().await?;
        world.delete_lease().await?;
        burst.await.map_err(|error| error.to_string())??;
        world.some_leader().await?;
    }
    Ok(())
}

/// The clock of both jumps by an hour and back, while they work.
async fn clock_jumps(world: &mut World) -> Outcome {
    const HOUR: i64 = 3600;
    let folder = world.plane.folder.clone();
    let mut clocks = Vec::new();
    for replica in &mut world.replicas {
        let clock = MovedClock::new(&folder, replica.user)?;
        replica.clock = Some(clock.clone());
        clocks.push(clock);
    }
    restart_replicas(world).await?;
    for offset in [HOUR, 0] {
        let burst = world.in_a_burst().await?;
        for clock in &clocks {
            clock.set(offset)?;
        }
        burst.await.map_err(|error| error.to_string())??;
        world.bursts().await?;
    }
    for replica in &mut world.replicas {
        replica.clock = None;
    }
    Ok(())
}

/// Kills both replicas and starts them again; returns when one leads and has worked.
async fn restart_replicas(world: &mut World) -> Outcome {
    let before = world.writes();
    for replica in &mut world.replicas {
        replica.kill().await;
        replica.start()?;
    }
    world.bursts().await?;
    world.until_writes(before + 1).await
}
