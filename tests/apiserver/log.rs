//! What the log of a running operator says: one line per change, and none while nothing changes.

use serde_json::json;

use crate::{
    case::{Case, cases},
    common::bedrock_server::profile,
    operator::SONNET,
    probes::{Bedrock, run_logged, terminate},
    stage::{GLOBAL, REGION, Stage, empty, sonnet},
    support::eventually,
};

/// How many refreshes pass while nothing may be logged.
const REFRESHES: usize = 5;

pub fn cases() -> Vec<Case> {
    cases![empty(one_line_per_change_and_none_in_between)]
}

async fn one_line_per_change_and_none_in_between(stage: &Stage) {
    let bedrock = Bedrock::start(&[REGION]).await;
    let profiles = ["eu", "global"].map(|geography| profile(REGION, geography, SONNET, &[REGION]));
    bedrock.server.set_profiles(REGION, profiles.to_vec());
    let arguments = ["--catalog=bedrock", "--refresh-interval=1s"];
    let (mut program, _, log) = run_logged(stage, &arguments, &bedrock.environment()).await;
    let first = log.lines().into_iter().next().unwrap_or_default();
    assert!(
        first.contains("started") && first.contains("cluster=https://127.0.0.1:"),
        "whose bindings it serves: {first}"
    );
    for name in ["claude", "sonnet"] {
        stage.bound(name, sonnet()).await;
    }
    stage
        .bind("jp", json!({"model": SONNET, "geography": "jp"}))
        .await;
    stage.observed("jp").await;
    // What the listing of profiles that are missing confirms is looked at once more.
    eventually("the log is quiet", || async {
        let before = log.lines();
        bedrock.listed(2).await;
        let after = log.lines();
        if before == after { Ok(()) } else { Err(after) }
    })
    .await;

    let before = log.lines();
    bedrock.listed(REFRESHES).await;
    assert_eq!(log.lines(), before, "nothing changed");

    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_id("claude", Some(GLOBAL)).await;
    stage.ready("claude").await;
    bedrock.listed(REFRESHES).await;
    let after = log.lines();
    let [line] = &after[before.len()..] else {
        panic!("one line: {after:#?}");
    };
    let binding = format!("binding={}/claude", stage.namespace);
    for part in [&binding, "decision=\"publish\"", GLOBAL] {
        assert!(line.contains(part), "{part}: {line}");
    }
    terminate(&mut program).await;
}
