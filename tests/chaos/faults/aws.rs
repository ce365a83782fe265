//! AWS throttles, denies, answers with rubbish, with nothing, and with this and that: what is written stands.

use std::time::Duration;

use crate::{
    Outcome,
    bindings::{REGION, VANISHING},
    common::bedrock_server::{Fault as AwsFault, Scripted},
    etcd::until,
    faults::{Fault, HALF_A_CAP, faults},
    world::{PATIENCE, World, profiles_without},
};

/// How many listings fail.
const LISTINGS: usize = 3;
/// How many requests a listing that is throttled takes: the SDK tries again by itself.
const REQUESTS: usize = 3;

pub fn faults() -> Vec<Fault> {
    faults![
        aws_throttles(Long, HALF_A_CAP),
        aws_denies(Long, HALF_A_CAP),
        aws_answers_with_a_part(Long, HALF_A_CAP),
        aws_lists_nothing(Long, HALF_A_CAP),
        aws_lists_a_profile_now_and_then(Long, HALF_A_CAP),
    ]
}

async fn aws_throttles(world: &mut World) -> Outcome {
    world
        .bedrock
        .stand(Some(Scripted::Fault(AwsFault::throttled())));
    asked(world, LISTINGS * REQUESTS).await?;
    world.bedrock.stand(None);
    Ok(())
}

async fn aws_denies(world: &mut World) -> Outcome {
    let denied = AwsFault::access_denied("arn:aws:sts::111122223333:assumed-role/r/s");
    outage(world, Scripted::Fault(denied)).await
}

async fn aws_answers_with_a_part(world: &mut World) -> Outcome {
    outage(world, Scripted::Truncated).await
}

/// Waits until AWS was asked so many times more.
async fn asked(world: &World, more: usize) -> Outcome {
    let before = world.bedrock.listings().len();
    until("AWS is asked", PATIENCE, || {
        let asked = world.bedrock.listings().len() - before;
        if asked >= more {
            Ok(())
        } else {
            Err(format!("{asked} of {more} times"))
        }
    })
    .await
}

/// Lets listings fail, while specs change: those are served from what was listed before.
async fn outage(world: &mut World, fault: Scripted) -> Outcome {
    world.bedrock.stand(Some(fault));
    asked(world, LISTINGS).await?;
    world.bursts().await?;
    asked(world, 1).await?;
    world.bedrock.stand(None);
    Ok(())
}

/// One listing is empty, as AWS gives it when it has just been asked too early.
async fn aws_lists_nothing(world: &mut World) -> Outcome {
    world.bedrock.set_profiles(REGION, Vec::new());
    asked(world, 1).await?;
    world.bedrock.set_profiles(REGION, profiles_without(None));
    Ok(())
}

/// A profile is missing in one listing of two.
async fn aws_lists_a_profile_now_and_then(world: &mut World) -> Outcome {
    for _ in 0..LISTINGS {
        world
            .bedrock
            .set_profiles(REGION, profiles_without(Some(VANISHING)));
        asked(world, 1).await?;
        world.bedrock.set_profiles(REGION, profiles_without(None));
        asked(world, 2).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
