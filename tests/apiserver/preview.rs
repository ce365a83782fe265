//! The preview of an edit, and that exactly this happens once it is applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use inference_profile_operator::api::InferenceProfileClass;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    common::program::{Output, PROGRAM},
    operator::{Options, SONNET},
    stage::{EU, GLOBAL, Stage, embedded, empty, profile_in_use, verdict},
    support::{eventually, yaml},
};

pub fn cases() -> Vec<Case> {
    cases![
        empty(exactly_what_is_shown_happens),
        embedded(what_may_not_be_read_is_named),
    ]
}

async fn preview(kubeconfig: &Path, class: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(["preview", "-f", "-", "--at", "2026-11-28"])
        .args(arguments)
        .env("KUBECONFIG", kubeconfig);
    Output::awaited(command, class).await
}

/// Value, status and reason of Ready.
type State = (Option<String>, String, String);

/// Returns the states of the bindings of these namespaces.
async fn states(among: &[&Stage]) -> BTreeMap<String, State> {
    let mut found = BTreeMap::new();
    for stage in among {
        let listed = stage
            .bindings()
            .list(&kube::api::ListParams::default())
            .await;
        for binding in listed.expect("a list").items {
            let name = binding.metadata.name.clone().expect("a name");
            let (status, reason) = verdict(&binding, "Ready").expect("a verdict");
            let value = profile_in_use(&binding).map(str::to_owned);
            found.insert(
                format!("{}/{name}", stage.namespace),
                (value, status, reason),
            );
        }
    }
    found
}

fn class(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "inferenceprofiles.dev/v1alpha1",
        "kind": "InferenceProfileClass",
        "metadata": {"name": name},
        "spec": spec,
    })
    .to_string()
}

/// Creates the class of the case, and its bindings with what they restart.
async fn furnish(stage: &Stage, dev: &Stage, spec: &Value) {
    let name = &stage.namespace;
    let now = class(name, spec);
    let create = ["create", "-f", "-"];
    stage.cluster.kubectl_reading(&now, &create).await.ok();
    let of_class = |rest: Value| {
        let mut spec = json!({"className": name});
        for (field, value) in rest.as_object().expect("fields") {
            spec[field] = value.clone();
        }
        spec
    };
    let restarting = |name: &str| json!([{"kind": "Deployment", "name": name}]);
    for deployment in ["web", "fixed", "own"] {
        stage.deployment(deployment).await;
    }
    dev.deployment("web").await;
    let web = of_class(json!({"rollout": restarting("web")}));
    stage.bound("web", web.clone()).await;
    dev.bound("web", web).await;
    stage.bound("plain", of_class(json!({}))).await;
    let fixed = json!({"allowedRegions": ["@eu"], "rollout": restarting("fixed")});
    stage.bound("fixed", of_class(fixed)).await;
    let own = json!({"model": SONNET, "geography": "eu", "rollout": restarting("own")});
    stage.bound("own", own).await;
}

async fn exactly_what_is_shown_happens(stage: &mut Stage) {
    let dev = stage.another().await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"stage": "dev"}}}));
    Api::<Namespace>::all(stage.cluster.client.clone())
        .patch(&dev.namespace, &PatchParams::default(), &label)
        .await
        .expect("labelled");
    stage.start(Options {
        enable_rollout: true,
        more_namespaces: vec![dev.namespace.clone()],
        ..Options::default()
    });
    let name = stage.namespace.clone();
    let canary = json!([{
        "name": "canary", "geography": "eu",
        "namespaceSelector": {"matchLabels": {"stage": "dev"}},
    }]);
    let now = json!({"model": SONNET, "geography": "eu", "stages": canary});
    furnish(stage, &dev, &now).await;

    let edited = class(
        &name,
        &json!({"model": SONNET, "geography": "global", "stages": canary}),
    );
    let only = format!("{name},{}", dev.namespace);
    let kubeconfig = stage.cluster.kubeconfig();
    let table = preview(kubeconfig, &edited, &["-n", &only]).await;
    assert_eq!(table.code, Some(3), "one would lose Ready: {table:#?}");
    assert!(
        table.stdout.starts_with("EFFECT") && table.stderr.contains("would change: 3"),
        "{table:#?}"
    );
    let output = preview(kubeconfig, &edited, &["-n", &only, "-o", "json"]).await;
    assert_eq!(output.code, Some(3), "{output:#?}");
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(report["summary"]["bindings"], 5, "{report:#}");

    // What is shown, laid over what there is.
    let stages = [&*stage, &dev];
    let before = states(&stages).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut expected = before.clone();
    let mut restarts = BTreeSet::new();
    for row in report["bindings"].as_array().expect("rows") {
        let key = format!("{}/{}", text(&row["namespace"]), text(&row["name"]));
        assert_eq!(
            row["valueNow"].as_str(),
            before[&key].0.as_deref(),
            "{row:#}"
        );
        let ready = &row["readyThen"];
        let value = row["valueThen"].as_str().map(str::to_owned);
        let then = (value, text(&ready["status"]), text(&ready["reason"]));
        expected.insert(key, then);
        for workload in row["restarts"].as_array().expect("workloads") {
            let namespace = text(&workload["namespace"]);
            restarts.insert((namespace, text(&workload["name"])));
        }
    }
    assert_eq!(expected[&format!("{name}/web")].0.as_deref(), Some(GLOBAL));
    assert_eq!(expected[&format!("{name}/fixed")].1, "False");
    assert_eq!(expected[&format!("{name}/fixed")].0.as_deref(), Some(EU));
    assert_eq!(restarts, BTreeSet::from([(name.clone(), "web".to_owned())]));
    stage.settled().await;
    assert_eq!(states(&stages).await, before, "the preview changed nothing");

    let apply = ["replace", "-f", "-"];
    stage.cluster.kubectl_reading(&edited, &apply).await.ok();
    eventually("exactly what was shown", || async {
        let found = states(&stages).await;
        if found == expected {
            Ok(())
        } else {
            Err(found)
        }
    })
    .await;
    stage.settled().await;
    assert_eq!(states(&stages).await, expected);
    let mut restarted = BTreeSet::new();
    for (stage, names) in [(&*stage, &["web", "fixed", "own"][..]), (&dev, &["web"])] {
        for name in names {
            if stage.restarts(name).await > 0 {
                restarted.insert((stage.namespace.clone(), (*name).to_owned()));
            }
        }
    }
    assert_eq!(restarted, restarts);

    // Once it is applied, it changes nothing any more.
    let again = preview(kubeconfig, &edited, &["-n", &only]).await;
    assert_eq!((again.code, &*again.stdout), (Some(0), ""), "{again:#?}");
    let classes = Api::<InferenceProfileClass>::all(stage.cluster.client.clone());
    let deleted = classes.delete(&name, &DeleteParams::default()).await;
    deleted.expect("deleted");
}

/// By a user who may read nothing but bindings: not their Namespace, no classes, no `ConfigMaps`.
async fn what_may_not_be_read_is_named(stage: &Stage) {
    const USER: &str = "previewer";
    stage
        .bound("chat", json!({"model": SONNET, "geography": "eu"}))
        .await;
    stage
        .bind("of-class", json!({"className": "no-such-class"}))
        .await;
    stage.grant_inside(USER, &[]).await;
    let mut kubeconfig = yaml(&fs::read_to_string(stage.cluster.kubeconfig()).expect("kubeconfig"));
    kubeconfig["users"][0]["user"]["as"] = USER.into();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).expect("written");
    let binding = json!({
        "apiVersion": "inferenceprofiles.dev/v1alpha1",
        "kind": "InferenceProfileBinding",
        "metadata": {"name": "chat", "namespace": stage.namespace},
        "spec": {"model": SONNET, "geography": "global"},
    })
    .to_string();
    let only = ["-n", &stage.namespace, "-o", "json"];
    // Rights count a little after they were granted.
    let output = eventually("the bindings are read", || async {
        let output = preview(&path, &binding, &only).await;
        if output.stdout.is_empty() {
            Err(output)
        } else {
            Ok(output)
        }
    })
    .await;
    assert_eq!(
        output.code,
        Some(1),
        "what is not read proves nothing: {output:#?}"
    );
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(report["bindings"][0]["effect"], "Moves", "the rest goes on");
    assert_eq!(report["bindings"][0]["valueThen"], GLOBAL);
    assert_eq!(report["notJudged"][0]["name"], "of-class", "{report:#}");
    for right in [
        "list namespaces",
        "list configmaps",
        "list inferenceprofileclasses.inferenceprofiles.dev",
    ] {
        let says = format!("it takes the right to {right}: ");
        assert!(output.stderr.contains(&says), "{output:#?}");
    }
    let missing = preview(
        stage.cluster.kubeconfig(),
        &binding,
        &["-n", "no-such-namespace"],
    )
    .await;
    assert_eq!(missing.code, Some(2), "{missing:#?}");
}
