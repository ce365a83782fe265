//! What the operator does while it hears nothing of the apiserver, or may not ask it, and afterwards.

use std::time::{Duration, Instant};

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    case::{Case, cases},
    leader::Wire,
    operator::Operator,
    restore::Servers,
    running::Running,
    stage::{EU, GLOBAL, Stage, empty, sonnet},
    support::eventually,
};

const EVERY: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// What the log has when an outage begins, and when it is over.
const OUTAGE: &str = "the apiserver does not answer";
const RECOVERY: &str = "the apiserver answers again: the watches are complete";

pub fn cases() -> Vec<Case> {
    cases![empty(
        a_limit_that_cannot_be_watched_any_more_is_unknown,
        a_silent_connection_is_noticed,
        an_outage_is_one_line,
        the_watches_are_back_after_two_outages_of_3_s,
    )]
}

async fn a_limit_that_cannot_be_watched_any_more_is_unknown(stage: &mut Stage) {
    stage.grant("limited", EVERY).await;
    stage.start_as("limited", stage.options()).await;
    stage.bound("claude", sonnet()).await;
    let name = format!("{}-limited", stage.namespace);
    Api::<ClusterRoleBinding>::all(stage.cluster.client.clone())
        .delete(&name, &DeleteParams::default())
        .await
        .expect("deleted");
    stage
        .until(
            "claude",
            "ResidencySatisfied",
            "Unknown",
            Reason::LimitUnknown,
        )
        .await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU), "it stays");
    // A limit that is set meanwhile is not seen, and nothing is written against it.
    stage.limit_namespace(Some("us-*")).await;
    stage.bind("late", sonnet()).await;
    stage
        .until("late", "Ready", "Unknown", Reason::LimitUnknown)
        .await;
    assert_eq!(stage.config_map("late").await, None);
    stage.show_namespace("limited").await;
    stage.until_gone("claude").await;
    for name in ["claude", "late"] {
        stage
            .until(name, "Ready", "False", Reason::RegionNotAllowed)
            .await;
    }
    assert_eq!(stage.config_map("late").await, None);
}

/// The connections stay open, and nothing comes; new ones work.
async fn a_silent_connection_is_noticed(stage: &Stage) {
    let wire = Wire::to(&stage.cluster).await;
    let mut cluster = stage.cluster.clone();
    cluster.client = wire.client.clone();
    let operator = Operator::start(&cluster, &stage.namespace, stage.options());
    stage.bound("claude", sonnet()).await;
    wire.cut();
    eventually("the watches are silent", || async {
        let silent = wire.silent();
        if silent >= 3 { Ok(()) } else { Err(silent) }
    })
    .await;
    wire.mend();
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_id("claude", Some(GLOBAL)).await;
    stage.ready("claude").await;
    operator.stop().await;
}

/// Twice, because what an outage leaves behind must not make the next one longer.
async fn an_outage_is_one_line(stage: &Stage) {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let mut servers = Servers::start(&stage.cluster).await;
    let stage = Stage::new(servers.cluster.clone(), "outage").await;
    let running = Running::start(&stage, &["--catalog=embedded"], &[]).await;
    for name in NAMES {
        stage.bound(name, sonnet()).await;
    }
    for (outage, geography) in [(1, "global"), (2, "eu")] {
        servers.stop_apiserver();
        running.until_logged(OUTAGE, outage).await;
        servers.start_apiserver();
        servers.until_ready().await;
        for name in NAMES {
            stage.edit(name, json!({"geography": geography})).await;
        }
        for name in NAMES {
            stage.ready(name).await;
        }
        assert_eq!(running.count(RECOVERY), outage);
    }
    // Where the apiserver starts slowly, the term ends meanwhile.
    let mut problems = running.problems();
    problems.retain(|line| !line.contains("no longer leads"));
    assert_eq!(problems.len(), 2, "{problems:#?}");
    running.stop().await;
}

/// Prints, for each outage, how long after the apiserver was ready the watches were complete. `OUTAGE_TRIES` sets how often
/// the two are tried.
async fn the_watches_are_back_after_two_outages_of_3_s(stage: &Stage) {
    let tries = std::env::var("OUTAGE_TRIES").map_or(1, |tries| tries.parse().expect("a number"));
    let mut servers = Servers::start(&stage.cluster).await;
    let stage = Stage::new(servers.cluster.clone(), "away").await;
    let running = Running::start(&stage, &["--catalog=embedded"], &[]).await;
    stage.bound("claude", sonnet()).await;
    let mut back = Vec::new();
    for _ in 0..2 * tries {
        let outages = running.count(RECOVERY);
        servers.stop_apiserver();
        let stopped = Instant::now();
        running.until_logged(OUTAGE, outages + 1).await;
        tokio::time::sleep(Duration::from_secs(3).saturating_sub(stopped.elapsed())).await;
        servers.start_apiserver();
        servers.until_ready().await;
        let ready = Instant::now();
        running.until_logged(RECOVERY, outages + 1).await;
        back.push(ready.elapsed().as_secs_f64());
    }
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_id("claude", Some(GLOBAL)).await;
    running.stop().await;
    for (number, pair) in back.chunks(2).enumerate() {
        println!("try {}: back after {pair:.1?} s", number + 1);
    }
    back.sort_by(f64::total_cmp);
    let (least, median, most) = (back[0], back[back.len() / 2], back[back.len() - 1]);
    println!("{tries} tries: least {least:.1} s, median {median:.1} s, most {most:.1} s");
}
