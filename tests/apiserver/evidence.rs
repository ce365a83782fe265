//! The report on the bindings of a cluster, as the program makes it.

use std::{fs, path::Path, process::Command};

use inference_profile_operator::api::condition::Reason;
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    common::program::{Output, PROGRAM},
    operator::{Options, SONNET},
    stage::{EU, Stage, embedded, empty},
    support::{Cluster, eventually, yaml},
};

pub fn cases() -> Vec<Case> {
    cases![
        empty(
            every_binding_is_reported_with_its_route_and_limits,
            lists_go_on_past_a_page,
        ),
        embedded(what_may_not_be_read_is_no_assurance),
    ]
}

async fn evidence(cluster: &Cluster, arguments: &[&str]) -> Output {
    evidence_by(cluster.kubeconfig(), arguments).await
}

async fn evidence_by(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .arg("evidence")
        .args(arguments)
        .env("KUBECONFIG", kubeconfig);
    Output::awaited(command, "").await
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"))
}

async fn every_binding_is_reported_with_its_route_and_limits(stage: &mut Stage) {
    stage.start(Options {
        allowed_regions: vec!["eu-*"],
        ..Options::default()
    });
    stage.limit_namespace(Some("@eu")).await;
    let inside = json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu", "@uk"]});
    stage.bound("inside", inside).await;
    let namespace = stage.namespace.clone();
    let only = ["-n", &namespace, "--allowed-regions", "eu-*"];

    let output = evidence(&stage.cluster, &only).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    let report = json_of(&output);
    assert_eq!(report["programVersion"], env!("CARGO_PKG_VERSION"));
    let row = &report["bindings"][0];
    assert_eq!(row["namespace"], namespace);
    assert_eq!(row["name"], "inside");
    assert_eq!(row["profile"]["id"], EU);
    assert_eq!(row["profile"]["sourceRegion"], "eu-west-1");
    assert_eq!(row["profile"]["catalog"]["source"], "embedded");
    assert_eq!(row["residency"]["reason"], "AllRegionsAllowed");
    assert_eq!(row["recheck"]["permitted"], true);
    assert_eq!(row["ready"]["status"], "True");
    assert_eq!(row["targets"], json!(["ConfigMap/inside"]));
    let limits: Vec<(&str, &Value)> = row["limits"]
        .as_array()
        .expect("limits")
        .iter()
        .map(|limit| {
            (
                limit["setBy"].as_str().expect("who"),
                &limit["allowedRegions"],
            )
        })
        .collect();
    assert_eq!(
        limits,
        [
            ("spec.allowedRegions", &json!(["@eu", "@uk"])),
            (
                "the Namespace's annotation inferenceprofiles.dev/allowed-regions",
                &json!(["@eu"])
            ),
            ("the operator's --allowed-regions", &json!(["eu-*"])),
        ]
    );

    what_was_served_is_judged_and_added(stage, &only).await;

    let outside = json!({"model": SONNET, "geography": "global"});
    stage.bind("global", outside).await;
    let reason = Reason::RegionNotAllowed;
    stage
        .until("global", "ResidencySatisfied", "False", reason)
        .await;
    let output = evidence(&stage.cluster, &[&only[..], &["-o", "csv"]].concat()).await;
    assert_eq!(output.code, Some(3), "one is not satisfied: {output:#?}");
    assert!(
        output
            .stderr
            .contains("bindings: 2, not shown to be within their limits: 1"),
        "{output:#?}"
    );
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{output:#?}");
    assert!(lines[0].starts_with("namespace,name,model,geography,profileID,"));
    assert!(
        lines[1].starts_with(&format!("{namespace},global,{SONNET},global,,")),
        "{output:#?}"
    );
    assert!(lines[2].starts_with(&format!("{namespace},inside,{SONNET},eu,{EU},eu-west-1,")));

    // A limit that the operator was not given: the report says so by itself.
    let output = evidence(
        &stage.cluster,
        &["-n", &namespace, "--allowed-regions", "@jp"],
    )
    .await;
    assert_eq!(output.code, Some(3));
    let report = json_of(&output);
    assert_eq!(report["bindings"][1]["residency"]["status"], "True");
    assert_eq!(report["bindings"][1]["recheck"]["permitted"], false);
}

/// Requests from the logs of Bedrock are judged by the bindings in the cluster, and the result goes into the evidence.
async fn what_was_served_is_judged_and_added(stage: &Stage, only: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (logs, report) = (file("logs.json"), file("report.json"));
    for (region, code, in_evidence, outside) in [("eu-west-3", 0, 0, 0), ("us-east-1", 4, 3, 1)] {
        let record = json!({
            "schemaType": "ModelInvocationLog", "timestamp": "2026-04-14T08:57:15Z", "requestId": "r", "modelId": EU,
            "region": "eu-west-1", "inferenceRegion": region,
        });
        fs::write(&logs, record.to_string()).expect("written");
        let mut command = Command::new(PROGRAM);
        command
            .args(["served-regions", &logs, "--cluster", "-o", "json"])
            .args(["-n", &stage.namespace])
            .env("KUBECONFIG", stage.cluster.kubeconfig());
        let output = Output::awaited(command, "").await;
        assert_eq!(output.code, Some(code), "{output:#?}");
        let audit = &json_of(&output)["audit"];
        assert_eq!(audit["outsideRequests"], outside, "{output:#?}");
        let why = audit["outside"][0]["why"].to_string();
        assert_eq!(why.contains("/inside by"), outside > 0, "{output:#?}");
        fs::write(&report, &output.stdout).expect("written");
        let output = evidence(&stage.cluster, &[only, &["--served", &report]].concat()).await;
        assert_eq!(output.code, Some(in_evidence), "{output:#?}");
        let served = &json_of(&output)["bindings"][0]["served"];
        assert_eq!(served["requests"], json!({region: 1}), "{output:#?}");
        assert_eq!(served["outside"], outside, "{output:#?}");
    }
}

/// As many bindings as need a second page, in all namespaces, found by their label.
async fn lists_go_on_past_a_page(stage: &Stage) {
    const MANY: usize = 501;
    let manifests: Vec<Value> = (0..MANY)
        .map(|number| {
            json!({
                "apiVersion": "inferenceprofiles.dev/v1alpha1",
                "kind": "InferenceProfileBinding",
                "metadata": {
                    "name": format!("b-{number:03}"), "namespace": stage.namespace,
                    "labels": {"report": stage.namespace},
                },
                "spec": {"model": SONNET, "geography": "eu"},
            })
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    stage
        .cluster
        .kubectl_reading(&list, &["create", "-f", "-"])
        .await
        .ok();
    let selector = format!("report={}", stage.namespace);
    let output = evidence(&stage.cluster, &["-l", &selector]).await;
    assert_eq!(
        output.code,
        Some(3),
        "nobody has judged them: {}",
        output.stderr
    );
    let report = json_of(&output);
    let rows = report["bindings"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names.len(), MANY);
    assert!(names.is_sorted());
}

/// A user who may read bindings, and at first not their Namespace.
async fn what_may_not_be_read_is_no_assurance(stage: &Stage) {
    const USER: &str = "auditor";
    stage
        .bound("chat", json!({"model": SONNET, "geography": "eu"}))
        .await;
    stage.grant_inside(USER, &[]).await;
    let mut kubeconfig = yaml(&fs::read_to_string(stage.cluster.kubeconfig()).expect("kubeconfig"));
    kubeconfig["users"][0]["user"]["as"] = USER.into();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).expect("written");
    let only = ["-n", &stage.namespace];

    // Rights count a little after they were granted.
    let output = eventually("the bindings are reported", || async {
        let output = evidence_by(&path, &only).await;
        if output.code == Some(1) {
            Err(output)
        } else {
            Ok(output)
        }
    })
    .await;
    assert_eq!(output.code, Some(3), "{output:#?}");
    assert!(
        output.stderr.contains("limits of Namespaces are unknown: "),
        "{output:#?}"
    );
    let row = &json_of(&output)["bindings"][0];
    assert_eq!(row["residency"]["status"], "True");
    assert_eq!(row["recheck"]["permitted"], false, "{row}");
    assert!(row["limits"][0]["problem"].is_string(), "{row}");

    stage.show_namespace(USER).await;
    eventually("the Namespace is read", || async {
        let output = evidence_by(&path, &only).await;
        if output.code == Some(0) {
            Ok(())
        } else {
            Err(output)
        }
    })
    .await;

    let output = evidence_by(&path, &[]).await;
    assert_eq!(
        output.code,
        Some(1),
        "not those of all namespaces: {output:#?}"
    );
    assert!(
        output
            .stderr
            .contains("the bindings of all namespaces can't be listed")
    );
    let output = evidence(&stage.cluster, &["-n", "no-such-namespace"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output
            .stderr
            .contains("there is no namespace no-such-namespace")
    );
}
