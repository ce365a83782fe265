//! What the operator does while it hears nothing of the apiserver, or may not ask it, and afterwards.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{Api, api::DeleteParams};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    case::{Case, cases},
    common::program::PROGRAM,
    leader::Wire,
    operator::Operator,
    probes::terminate,
    restore::Servers,
    stage::{EU, GLOBAL, Stage, empty, sonnet},
    support::eventually,
};

const EVERY: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

pub fn cases() -> Vec<Case> {
    cases![empty(
        a_limit_that_cannot_be_watched_any_more_is_unknown,
        a_silent_connection_is_noticed,
        an_outage_is_one_line,
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
    let mut program = Command::new(PROGRAM)
        .args(["run", "--region=eu-west-1", "--catalog=embedded"])
        .args(["--leader-elect", "--lease-namespace", &stage.namespace])
        .args(["--namespace", &stage.namespace])
        .env("KUBECONFIG", stage.cluster.kubeconfig())
        .env_remove("RUST_LOG")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program runs");
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let (noted, stderr) = (lines.clone(), program.stderr.take().expect("piped"));
    tokio::spawn(async move {
        let mut read = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = read.next_line().await {
            noted.lock().expect("not poisoned").push(line);
        }
    });
    for name in NAMES {
        stage.bound(name, sonnet()).await;
    }
    let count = |what: &str| {
        let lines = lines.lock().expect("not poisoned");
        lines.iter().filter(|line| line.contains(what)).count()
    };
    for (outage, geography) in [(1, "global"), (2, "eu")] {
        servers.stop_apiserver();
        eventually("the outage is noticed", || async {
            let found = count("the apiserver does not answer");
            if found == outage { Ok(()) } else { Err(found) }
        })
        .await;
        servers.start_apiserver();
        servers.until_ready().await;
        for name in NAMES {
            stage.edit(name, json!({"geography": geography})).await;
        }
        for name in NAMES {
            stage.ready(name).await;
        }
        assert_eq!(count("the apiserver answers again"), outage);
    }
    terminate(&mut program).await;
    let lines = lines.lock().expect("not poisoned");
    let problems: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("WARN") || line.contains("ERROR"))
        // Where the apiserver starts slowly, the term ends meanwhile.
        .filter(|line| !line.contains("no longer leads"))
        .collect();
    assert_eq!(problems.len(), 2, "{problems:#?}");
}
