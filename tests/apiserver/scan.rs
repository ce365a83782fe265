//! The scan of a cluster, as the program makes it.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    common::program::{Output, PROGRAM},
    operator::SONNET,
    stage::{Stage, embedded},
    support::{eventually, yaml},
};

pub fn cases() -> Vec<Case> {
    cases![embedded(
        what_is_hard_coded_is_found_but_for_secrets_and_for_what_the_operator_writes
    )]
}

async fn scan(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(["scan", "--cluster", "-o", "json"])
        .args(arguments)
        .env("KUBECONFIG", kubeconfig);
    Output::awaited(command, "").await
}

/// Returns the findings, each as its object, field and text.
fn found(output: &Output) -> Vec<String> {
    let report: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("a list").iter();
    findings
        .map(|it| [text(&it["object"]), text(&it["field"]), text(&it["text"])].join(" "))
        .collect()
}

/// First by a user who may list ConfigMaps alone, who has no right to Secrets at any time.
async fn what_is_hard_coded_is_found_but_for_secrets_and_for_what_the_operator_writes(
    stage: &Stage,
) {
    const USER: &str = "scanner";
    const HARD_CODED: &str = "us.amazon.nova-pro-v1:0";
    let namespace = stage.namespace.clone();
    stage
        .bound("chat", json!({"model": SONNET, "geography": "eu"}))
        .await;
    let object = |kind: &str, rest: Value| {
        let mut object = json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {"name": "app", "namespace": namespace},
        });
        for (field, value) in rest.as_object().expect("fields") {
            object[field] = value.clone();
        }
        object
    };
    let labels = json!({"app": "app"});
    let container = json!({
        "name": "app", "image": "app", "env": [{"name": "MODEL", "value": HARD_CODED}],
    });
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        object("ConfigMap", json!({"data": {"settings": format!("a: 1\nmodel: {HARD_CODED}\n")}})),
        object("Secret", json!({"stringData": {"model": HARD_CODED}})),
        object("Deployment", json!({"apiVersion": "apps/v1", "spec": spec})),
    ]});
    stage
        .cluster
        .kubectl_reading(&list.to_string(), &["create", "-f", "-"])
        .await
        .ok();
    let config_map = format!("ConfigMap {namespace}/app data[settings] {HARD_CODED}");
    let deployment = format!(
        "Deployment {namespace}/app spec.template.spec.containers[app].env[MODEL] {HARD_CODED}"
    );

    stage
        .grant_inside(USER, &[("", "configmaps", &["list"])])
        .await;
    let mut kubeconfig = yaml(&fs::read_to_string(stage.cluster.kubeconfig()).expect("kubeconfig"));
    kubeconfig["users"][0]["user"]["as"] = USER.into();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).expect("written");
    // Rights count a little after they were granted.
    let output = eventually("the ConfigMaps are scanned", || async {
        let output = scan(&path, &["-n", &namespace]).await;
        if output.code == Some(0) && !found(&output).is_empty() {
            Ok(output)
        } else {
            Err(output)
        }
    })
    .await;
    assert_eq!(found(&output), std::slice::from_ref(&config_map));
    for kind in [
        "deployments",
        "statefulsets",
        "daemonsets",
        "cronjobs",
        "jobs",
    ] {
        let says = format!("the {kind} of namespace {namespace} may not be listed: ");
        assert!(output.stderr.contains(&says), "{output:#?}");
    }

    let output = scan(stage.cluster.kubeconfig(), &["-n", &namespace]).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(found(&output), [config_map, deployment]);
    assert!(
        output
            .stderr
            .contains("objects that the operator writes: 1"),
        "{output:#?}"
    );
    let output = scan(stage.cluster.kubeconfig(), &["-n", "no-such-namespace"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
}
