//! An upgrade from the release before: its chart and what its operator had written, as tests/upgrade/capture noted them, and then
//! the chart and the operator of this version. The case has a control plane of its own, because it installs CRDs.

use std::{collections::BTreeMap, fs, path::Path};

use kube::{
    ResourceExt,
    api::{Api, DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    chart_render::needing_helm,
    common::{chart::rendered, tools::tool, yaml::documents},
    restore::Servers,
    running::Running,
    stage::{Stage, empty},
    support::{Cluster, ROOT, eventually, yaml},
};

/// What the release before was installed with, and this one is.
const VALUES: &str = "{region: eu-west-1, secrets: {enabled: true}, rollout: {enabled: true}}";
const RELEASE: &str = "inference-profile-operator";
const ARGUMENTS: [&str; 3] = ["--catalog=embedded", "--enable-secrets", "--enable-rollout"];

pub fn cases() -> Vec<Case> {
    needing_helm(cases![empty(an_upgrade_writes_to_no_target)])
}

fn captured(name: &str) -> String {
    let path = Path::new(ROOT).join("tests/upgrade").join(name);
    fs::read_to_string(path).expect(name)
}

/// Applies the manifests of a release as Helm does.
async fn release(cluster: &Cluster, manifests: &str) {
    let apply = [
        "apply",
        "--server-side",
        "--field-manager=helm",
        "--force-conflicts",
        "-f",
        "-",
    ];
    cluster.kubectl_reading(manifests, &apply).await.ok();
}

/// The kind of an object, by which it is listed and written.
fn kind(object: &Value) -> ApiResource {
    let text = |field: &str| object[field].as_str().expect(field).to_owned();
    let version = text("apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &text("kind")))
}

fn api(stage: &Stage, object: &Value) -> Api<DynamicObject> {
    let client = stage.cluster.client.clone();
    Api::namespaced_with(client, &stage.namespace, &kind(object))
}

/// Puts objects into the stage's namespace as they were noted, with status and field managers. They get other UIDs: what names
/// one of the old names the new one.
async fn put_back(stage: &Stage, mut objects: Vec<Value>) {
    // Owners before what they own.
    objects.sort_by_key(|object| object["kind"] != "InferenceProfileBinding");
    let mut uids: BTreeMap<String, String> = BTreeMap::new();
    let with_new_uids = |object: &Value, uids: &BTreeMap<String, String>| -> Value {
        let text = uids.iter().fold(object.to_string(), |text, (old, new)| {
            text.replace(old, new)
        });
        serde_json::from_str(&text).expect("JSON")
    };
    let typed =
        |value: Value| -> DynamicObject { serde_json::from_value(value).expect("an object") };
    let create = PostParams::default();
    for object in &mut objects {
        object["metadata"]["namespace"] = json!(stage.namespace);
        let old = object["metadata"]["uid"]
            .as_str()
            .expect("a UID")
            .to_owned();
        let mut new = with_new_uids(object, &uids);
        let metadata = new["metadata"].as_object_mut().expect("metadata");
        for field in [
            "uid",
            "resourceVersion",
            "managedFields",
            "creationTimestamp",
        ] {
            metadata.remove(field);
        }
        // A status says which generation it is about.
        if new["kind"] == "InferenceProfileBinding" && new["metadata"]["generation"] == 2 {
            new["spec"]["sourceRegion"] = json!("eu-central-1");
        }
        let created = api(stage, object).create(&create, &typed(new)).await;
        uids.insert(old, created.expect("created").uid().expect("a UID"));
    }
    for object in &objects {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let api = api(stage, object);
        let mut object = with_new_uids(object, &uids);
        if object["kind"] == "InferenceProfileBinding" {
            let mut live = api.get(name).await.expect("there");
            live.data["status"] = object["status"].clone();
            let replaced = api.replace_subresource("status", name, &create, &live);
            replaced.await.expect("a status");
        }
        // The last write says who manages the fields: nothing else changes with it.
        let live = api.get(name).await.expect("there");
        object["metadata"]["resourceVersion"] = json!(live.resource_version());
        object["metadata"]["creationTimestamp"] = json!(live.metadata.creation_timestamp);
        let replaced = api.replace(name, &create, &typed(object.clone())).await;
        let replaced = replaced.expect("replaced");
        if object["kind"] == "InferenceProfileBinding" {
            let noted = &object["status"]["observedGeneration"];
            assert_eq!(&json!(replaced.metadata.generation), noted, "{name}");
        }
        let managers = |fields: &Value| -> Vec<Value> {
            let entries = fields.as_array().into_iter().flatten();
            entries
                .map(|entry| json!([entry["manager"], entry["operation"]]))
                .collect()
        };
        assert_eq!(
            managers(&json!(replaced.metadata.managed_fields)),
            managers(&object["metadata"]["managedFields"]),
            "{name}"
        );
    }
}

/// What there is: each object with its version.
async fn versions(stage: &Stage, objects: &[Value]) -> BTreeMap<String, Option<String>> {
    let mut versions = BTreeMap::new();
    for object in objects {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let live = api(stage, object).get(name).await.expect("there");
        versions.insert(
            format!("{} {name}", object["kind"]),
            live.resource_version(),
        );
    }
    versions
}

async fn an_upgrade_writes_to_no_target(stage: &Stage) {
    let servers = Servers::start_empty(&stage.cluster, &[]).await;
    let stage = Stage::new(servers.cluster.clone(), "upgraded").await;
    let before = captured("release.yaml").replace("NAMESPACE", &stage.namespace);
    release(&stage.cluster, &before).await;
    servers.until_bindings_are_served().await;
    let objects = yaml(&captured("objects.yaml"))["items"]
        .as_array()
        .expect("items")
        .clone();
    put_back(&stage, objects.clone()).await;
    let (bindings, targets): (Vec<Value>, Vec<Value>) = objects
        .into_iter()
        .partition(|object| object["kind"] == "InferenceProfileBinding");
    assert!(bindings.len() >= 10, "the captured bindings were not found");
    let written = versions(&stage, &targets).await;

    let helm = tool("helm").expect("looked for before");
    let now = rendered(&helm, RELEASE, &stage.namespace, VALUES).expect("rendered");
    let now: Vec<Value> = documents(&now)
        .into_iter()
        .filter(|object| {
            object["metadata"]["annotations"]
                .get("helm.sh/hook")
                .is_none()
        })
        .collect();
    let manifests = json!({"apiVersion": "v1", "kind": "List", "items": now});
    release(&stage.cluster, &manifests.to_string()).await;
    servers.until_classes_are_served().await;
    assert_eq!(versions(&stage, &targets).await, written, "by the new CRDs");

    let folder = tempfile::tempdir().expect("a folder");
    let user = format!("system:serviceaccount:{}:{RELEASE}", stage.namespace);
    let kubeconfig = stage.cluster.kubeconfig_as(&user, folder.path());
    let running = Running::start_with(&kubeconfig, &stage, &ARGUMENTS, &[]).await;
    eventually("every binding is visited", || async {
        let visits = running
            .metric("controller_runtime_reconcile_total", &[])
            .await;
        let waiting = running.metric("workqueue_depth", &[]).await;
        if visits >= bindings.len() as u64 && waiting == 0 {
            Ok(())
        } else {
            Err((visits, waiting, running.lines()))
        }
    })
    .await;
    assert_eq!(running.writes().await, 0, "{:#?}", running.lines());
    stage.settled().await;
    assert_eq!(
        versions(&stage, &targets).await,
        written,
        "nothing was written"
    );
    for binding in &bindings {
        let name = binding["metadata"]["name"].as_str().expect("a name");
        let times = running.count(&format!("binding={}/{name} decision=", stage.namespace));
        assert!(
            times <= 1,
            "{times} statuses of {name}: {:#?}",
            running.lines()
        );
        // What is known of the past stays.
        let live = api(&stage, binding).get(name).await.expect("there").data;
        let (live, noted) = (&live["status"], &binding["status"]);
        assert_eq!(live["profile"]["id"], noted["profile"]["id"], "{name}");
        let ready = |status: &Value| status["conditions"][0]["status"].clone();
        assert_eq!(ready(live), ready(noted), "{name}");
        let names = |status: &Value| -> Vec<Value> {
            let targets = status["targets"].as_array().into_iter().flatten();
            targets
                .map(|target| json!([target["name"], target["valuesHash"]]))
                .collect()
        };
        assert_eq!(names(live), names(noted), "{name}");
    }
    assert!(running.problems().is_empty(), "{:#?}", running.lines());
    // Work goes on, with the rights that the release gives.
    stage.edit("owned", json!({"geography": "global"})).await;
    stage
        .until_id("owned", Some("global.anthropic.claude-sonnet-5-5"))
        .await;
    let class = json!({
        "apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": "InferenceProfileClass", "metadata": {"name": "chat"},
        "spec": {"model": "anthropic.claude-sonnet-5-5", "geography": "eu"},
    });
    stage
        .cluster
        .kubectl_reading(&class.to_string(), &["create", "-f", "-"])
        .await
        .ok();
    stage.bound("classed", json!({"className": "chat"})).await;
    running.stop().await;
}
