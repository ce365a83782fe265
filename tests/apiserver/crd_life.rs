//! The life of the CRD: missing at the start, updated under way, older or newer than the program; and an apiserver that does
//! not stream lists. The cases have a control plane of their own, because they change what it serves to all.

use futures::future::join_all;
use inference_profile_operator::api::{InferenceProfileBinding, names};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, WatchParams},
    core::ApiResource,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    operator::SONNET,
    restore::{Servers, definition},
    running::Running,
    stage::{EU, GLOBAL, ID, Stage, empty, sonnet},
    support::eventually,
};

/// The schema of bindings in a CRD.
const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema/properties";
/// Fields that an older CRD does not have.
const NEWER_FIELDS: [&str; 7] = [
    "spec/properties/fallback/properties/models",
    "status/properties/binding",
    "status/properties/missingWorkloads",
    "status/properties/modelLifecycle",
    "status/properties/profile/properties/catalog/properties/account",
    "status/properties/targets/items/properties/lastChangeTime",
    "status/properties/targets/items/properties/restartPendingKeys",
];

pub fn cases() -> Vec<Case> {
    cases![empty(
        a_missing_crd_is_waited_for,
        an_update_of_the_crd_moves_nothing,
        what_an_older_version_stored_is_taken_over,
        an_older_crd_is_served,
        a_newer_crd_is_served,
        an_apiserver_without_streaming_lists_is_served,
    )]
}

/// Returns the CRD as an older version had it.
fn older() -> Value {
    let mut definition = definition();
    for field in NEWER_FIELDS {
        let (parent, name) = field.rsplit_once('/').expect("a path");
        let parent = definition.pointer_mut(&format!("{SCHEMA}/{parent}"));
        let fields = parent.and_then(Value::as_object_mut).expect(field);
        assert!(fields.remove(name).is_some(), "{field}");
    }
    definition
}

/// Returns the CRD as a newer version may have it: with more fields in the spec and in the status.
fn newer() -> Value {
    let mut definition = definition();
    for place in ["spec", "status", "status/properties/targets/items"] {
        let properties = definition.pointer_mut(&format!("{SCHEMA}/{place}/properties"));
        properties.expect("an object")["future"] =
            json!({"type": "object", "additionalProperties": {"type": "string"}});
    }
    definition
}

/// Applies a CRD, and waits until its fields are served.
async fn redefine(servers: &Servers, definition: &Value) {
    servers.define(definition).await;
    let expected = definition.pointer(&format!("{SCHEMA}/status/properties"));
    let expected: Vec<&String> = expected
        .and_then(Value::as_object)
        .expect("fields")
        .keys()
        .collect();
    let client = &servers.cluster.client;
    eventually("the new fields are served", || async {
        let path = "/openapi/v3/apis/inferenceprofiles.dev/v1alpha1";
        let request = http::Request::get(path).body(Vec::new());
        let found: Value = client
            .request(request.expect("a request"))
            .await
            .map_err(|error| error.to_string())?;
        let schemas = found["components"]["schemas"].as_object().expect("schemas");
        let status = schemas
            .iter()
            .find(|(name, _)| name.ends_with("InferenceProfileBinding"));
        let served = &status.expect("the kind").1["properties"]["status"]["properties"];
        let served: Vec<&String> = served.as_object().expect("fields").keys().collect();
        if served == expected {
            Ok(())
        } else {
            Err(format!("{served:?}"))
        }
    })
    .await;
}

fn untyped(stage: &Stage) -> Api<DynamicObject> {
    let kind = ApiResource::erase::<InferenceProfileBinding>(&());
    Api::namespaced_with(stage.cluster.client.clone(), &stage.namespace, &kind)
}

async fn untyped_binding(stage: &Stage, name: &str) -> Value {
    untyped(stage).get(name).await.expect("a binding").data
}

async fn a_missing_crd_is_waited_for(stage: &Stage) {
    let servers = Servers::start_without_crd(&stage.cluster, &[]).await;
    let stage = Stage::new(servers.cluster.clone(), "missing").await;
    let another = stage.another().await;
    // One line, however many namespaces are watched.
    let more = format!("--namespace={}", another.namespace);
    let running = Running::start(&stage, &["--catalog=embedded", &more], &[]).await;
    running.until_logged("kubectl apply", 1).await;
    let ready = running.get("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains("the watches are not complete"), "{ready}");
    let alive = running.get("/healthz").await;
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    servers.define(&definition()).await;
    eventually("ready", || async {
        let ready = running.get("/readyz").await;
        if ready.starts_with("HTTP/1.1 200") {
            Ok(())
        } else {
            Err(ready)
        }
    })
    .await;
    stage.bound("claude", sonnet()).await;
    another.bound("claude", sonnet()).await;
    let problems = running.problems();
    assert_eq!(problems.len(), 1, "{:#?}", running.lines());
    assert!(
        problems[0].contains("inferenceprofilebindings.inferenceprofiles.dev"),
        "{problems:?}"
    );
    running.stop().await;
}

/// Creates the workload `web`.
async fn workload(stage: &Stage) {
    let create = [
        "create",
        "deployment",
        "web",
        "--image=a",
        "-n",
        &stage.namespace,
    ];
    stage.cluster.kubectl(&create).await.ok();
}

/// Returns the generation of the workload `web`, which a restart moves.
async fn workload_generation(stage: &Stage) -> Option<i64> {
    let workloads = Api::<Deployment>::namespaced(stage.cluster.client.clone(), &stage.namespace);
    workloads
        .get("web")
        .await
        .expect("the workload")
        .meta()
        .generation
}

/// Creates bindings of several kinds, and waits until they are Ready: owned, merged, with a Secret, with a workload to restart.
async fn bindings_of_several_kinds(stage: &Stage) -> [&'static str; 4] {
    workload(stage).await;
    stage.host("host", Some("merged")).await;
    let merge = json!([{"kind": "ConfigMap", "name": "host", "creationPolicy": "Merge", "keys": {"MODEL": "ProfileID"}}]);
    let secret = json!([{"kind": "Secret", "name": "secret"}]);
    let rollout = json!([{"kind": "Deployment", "name": "web"}]);
    let with =
        |field: &str, value: Value| json!({"model": SONNET, "geography": "eu", field: value});
    stage.bound("owned", sonnet()).await;
    stage.bound("merged", with("targets", merge)).await;
    stage.bound("secret", with("targets", secret)).await;
    stage.bound("restarted", with("rollout", rollout)).await;
    ["owned", "merged", "secret", "restarted"]
}

const ARGUMENTS: [&str; 3] = ["--catalog=embedded", "--enable-secrets", "--enable-rollout"];

/// Returns the resource versions of what bindings are written to.
async fn targets(stage: &Stage) -> Vec<Option<String>> {
    let mut versions = Vec::new();
    for name in ["owned", "host", "restarted"] {
        versions.push(stage.object(name).await.resource_version());
    }
    let secret = stage.secrets().get("secret").await.expect("the Secret");
    versions.push(secret.resource_version());
    versions
}

/// Returns the resource versions of these bindings.
async fn bindings(stage: &Stage, names: &[&str]) -> Vec<Option<String>> {
    let mut versions = Vec::new();
    for name in names {
        versions.push(stage.binding(name).await.resource_version());
    }
    versions
}

async fn an_update_of_the_crd_moves_nothing(stage: &Stage) {
    let servers = Servers::start(&stage.cluster).await;
    let stage = Stage::new(servers.cluster.clone(), "updated").await;
    let running = Running::start(&stage, &ARGUMENTS, &[]).await;
    let names = bindings_of_several_kinds(&stage).await;
    stage.settled().await;
    let before = (
        targets(&stage).await,
        bindings(&stage, &names).await,
        workload_generation(&stage).await,
    );
    let mut definition = newer();
    // A bound moves too, and a column comes.
    let targets_schema = definition.pointer_mut(&format!("{SCHEMA}/spec/properties/targets"));
    targets_schema.expect("targets")["maxItems"] = json!(12);
    let columns = definition.pointer_mut("/spec/versions/0/additionalPrinterColumns");
    columns
        .and_then(Value::as_array_mut)
        .expect("columns")
        .push(json!({"name": "Future", "type": "string", "jsonPath": ".status.future.a"}));
    redefine(&servers, &definition).await;
    stage.settled().await;
    let after = (
        targets(&stage).await,
        bindings(&stage, &names).await,
        workload_generation(&stage).await,
    );
    assert_eq!(after, before, "nothing was written and nothing restarted");
    // Work goes on.
    stage.edit("owned", json!({"geography": "global"})).await;
    stage.until_id("owned", Some(GLOBAL)).await;
    stage.ready("owned").await;
    assert!(running.problems().is_empty(), "{:#?}", running.lines());
    running.stop().await;
}

/// Applies a status as this operator does, with what is given here in the place of some of its fields.
async fn apply_status(stage: &Stage, name: &str, changes: Value, manager: &str) {
    let (bindings, params) = (untyped(stage), PatchParams::apply(manager).force());
    let mut status = bindings.get(name).await.expect("a binding").data["status"].take();
    for (field, value) in changes.as_object().expect("fields") {
        status[field] = value.clone();
    }
    let object = json!({
        "apiVersion": InferenceProfileBinding::api_version(&()),
        "kind": InferenceProfileBinding::kind(&()),
        "metadata": {"name": name}, "status": status,
    });
    let object = Patch::Apply(object);
    let patched = bindings.patch_status(name, &params, &object).await;
    patched.expect("applied");
}

/// Returns what a status keeps of the past: the profile, the objects that were written, and since when the binding is Ready.
fn kept(binding: &InferenceProfileBinding) -> (Value, Vec<(String, String)>, Option<String>) {
    let status = binding.status.as_ref().expect("a status");
    let ready = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    let targets = status.targets.iter();
    (
        serde_json::to_value(&status.profile).expect("JSON"),
        targets
            .map(|target| (target.name.clone(), target.uid.clone()))
            .collect(),
        ready.map(|ready| ready.last_transition_time.0.to_string()),
    )
}

async fn what_an_older_version_stored_is_taken_over(stage: &Stage) {
    let servers = Servers::start_without_crd(&stage.cluster, &[]).await;
    // It had fields that are no more, and lacked one that must be there now.
    let mut older = older();
    for place in ["spec", "status", "status/properties/targets/items"] {
        let properties = older.pointer_mut(&format!("{SCHEMA}/{place}/properties"));
        properties.expect("an object")["relic"] = json!({"type": "string"});
    }
    let items = older.pointer_mut(&format!(
        "{SCHEMA}/status/properties/targets/items/required"
    ));
    items
        .and_then(Value::as_array_mut)
        .expect("a list")
        .retain(|name| name != "valuesHash");
    servers.define(&older).await;
    let stage = Stage::new(servers.cluster.clone(), "stored").await;
    let running = Running::start(&stage, &ARGUMENTS, &[]).await;
    let names = bindings_of_several_kinds(&stage).await;
    stage.bound("unreadable", sonnet()).await;
    stage.settled().await;
    running.stop().await;
    for name in names {
        stage.edit(name, json!({"relic": "a"})).await;
        let status = &untyped_binding(&stage, name).await["status"];
        let mut conditions = status["conditions"].clone();
        let conditions = conditions.as_array_mut().expect("conditions");
        let mut relic = conditions[0].clone();
        relic["type"] = json!("Relic");
        relic["reason"] = json!("Relic");
        conditions.push(relic);
        let changes = json!({"relic": "a", "conditions": conditions});
        apply_status(&stage, name, changes, names::STATUS_MANAGER).await;
    }
    let unreadable = json!({"targets": [{"kind": "ConfigMap", "name": "unreadable", "uid": "u", "creationPolicy": "Owner"}]});
    apply_status(&stage, "unreadable", unreadable, names::STATUS_MANAGER).await;

    redefine(&servers, &definition()).await;
    let mut before = Vec::new();
    for name in names {
        before.push(kept(&stage.binding(name).await));
    }
    let unreadable = stage.object("unreadable").await;
    let written = (targets(&stage).await, workload_generation(&stage).await);
    let running = Running::start(&stage, &ARGUMENTS, &[]).await;
    let ready = names.iter().chain(&["unreadable"]);
    for name in ready.clone() {
        stage.ready(name).await;
    }
    stage.settled().await;
    assert_eq!(
        (targets(&stage).await, workload_generation(&stage).await),
        written
    );
    assert_eq!(stage.object("unreadable").await, unreadable);
    let mut after = Vec::new();
    for name in names {
        after.push(kept(&stage.binding(name).await));
        let status = &untyped_binding(&stage, name).await["status"];
        assert!(!status.to_string().contains("elic"), "{status}");
    }
    assert_eq!(after, before, "the statuses");
    for name in ready {
        let line = format!("binding={}/{name} decision=", stage.namespace);
        let statuses = running.count(&line);
        assert!(statuses <= 1, "{statuses} statuses of {name} were written");
    }
    assert!(running.problems().is_empty(), "{:#?}", running.lines());
    running.stop().await;
}

async fn an_older_crd_is_served(stage: &Stage) {
    let servers = Servers::start_without_crd(&stage.cluster, &[]).await;
    servers.define(&older()).await;
    let stage = Stage::new(servers.cluster.clone(), "older").await;
    let running = Running::start(&stage, &ARGUMENTS, &[]).await;
    let names = bindings_of_several_kinds(&stage).await;
    let fallback = json!({"model": SONNET, "geography": "eu", "fallback": {"models": ["amazon.nova-lite-v1:0"]}});
    let pruned = stage.bound("fallback", fallback).await;
    assert_eq!(
        pruned.spec.fallback.and_then(|fallback| fallback.models),
        None
    );
    assert_eq!(stage.id("fallback").await.as_deref(), Some(EU));
    stage.settled().await;
    // Visits write nothing more: not after drift, and not after a restart.
    let before = bindings(&stage, &names).await;
    let decisions = |running: &Running| {
        let line = |name: &&str| format!("binding={}/{name} decision=", stage.namespace);
        names
            .iter()
            .map(|name| running.count(&line(name)))
            .sum::<usize>()
    };
    let decided = decisions(&running);
    stage
        .meddle("owned", json!({"data": {ID: "drifted"}}))
        .await;
    stage.until_id("owned", Some(EU)).await;
    stage.settled().await;
    assert_eq!(decisions(&running), decided, "{:#?}", running.lines());
    let problems = running.problems();
    assert!(!problems.is_empty(), "it is said that the CRD is older");
    let told = |line: &String| line.contains("the CRD is older than this program");
    assert!(problems.iter().all(told), "{:#?}", running.lines());
    running.stop().await;
    let running = Running::start(&stage, &ARGUMENTS, &[]).await;
    stage.settled().await;
    assert_eq!(bindings(&stage, &names).await, before);
    assert!(decisions(&running) <= names.len(), "{:#?}", running.lines());
    // With the CRD of this version the fields come, with the next change.
    redefine(&servers, &definition()).await;
    let field = async || {
        let binding = untyped_binding(&stage, "restarted").await;
        binding["status"]["targets"][0]["lastChangeTime"].clone()
    };
    assert_eq!(field().await, Value::Null);
    stage
        .edit("restarted", json!({"geography": "global"}))
        .await;
    eventually("the field is there", || async {
        match field().await {
            Value::Null => Err(untyped_binding(&stage, "restarted").await),
            found => Ok(found),
        }
    })
    .await;
    running.stop().await;
}

async fn a_newer_crd_is_served(stage: &Stage) {
    let servers = Servers::start_without_crd(&stage.cluster, &[]).await;
    servers.define(&newer()).await;
    let stage = Stage::new(servers.cluster.clone(), "newer").await;
    let running = Running::start(&stage, &ARGUMENTS, &[]).await;
    let names = bindings_of_several_kinds(&stage).await;
    let future = json!({"future": {"a": "b"}});
    for name in names {
        stage.edit(name, future.clone()).await;
        stage.observed(name).await;
    }
    // A replica of a newer version, while the Deployment rolls, and another controller.
    apply_status(&stage, "owned", future.clone(), names::STATUS_MANAGER).await;
    let object = json!({
        "apiVersion": InferenceProfileBinding::api_version(&()),
        "kind": InferenceProfileBinding::kind(&()),
        "metadata": {"name": "merged"}, "status": future,
    });
    untyped(&stage)
        .patch_status(
            "merged",
            &PatchParams::apply("another").force(),
            &Patch::Apply(object),
        )
        .await
        .expect("applied");
    let before = (targets(&stage).await, bindings(&stage, &names).await);
    stage.settled().await;
    assert_eq!(
        (targets(&stage).await, bindings(&stage, &names).await),
        before
    );
    // What it writes leaves what it does not know.
    stage.edit("merged", json!({"geography": "global"})).await;
    stage.ready("merged").await;
    let merged = untyped_binding(&stage, "merged").await;
    assert_eq!(merged["spec"]["future"], future["future"]);
    assert_eq!(merged["status"]["future"], future["future"]);
    assert!(running.problems().is_empty(), "{:#?}", running.lines());
    running.stop().await;
}

async fn an_apiserver_without_streaming_lists_is_served(stage: &Stage) {
    const GATE: &[&str] = &["--feature-gates=WatchList=false"];
    let mut servers = Servers::start_without_crd(&stage.cluster, GATE).await;
    servers.define(&definition()).await;
    let stage = Stage::new(servers.cluster.clone(), "pages").await;
    let streaming = WatchParams {
        send_initial_events: true,
        ..WatchParams::default()
    };
    let refused = stage.config_maps().watch(&streaming, "").await.err();
    assert!(
        matches!(&refused, Some(kube::Error::Api(status)) if status.code == 422),
        "{refused:?}"
    );
    // More than fit on a page of a list.
    for some in (0..510).collect::<Vec<_>>().chunks(30) {
        let created = some.iter().map(|number| stage.create(json!({
            "metadata": {"name": format!("filler-{number}"), "labels": {"inferenceprofiles.dev/managed": "true"}},
        })));
        join_all(created).await;
    }
    let running = Running::start(&stage, &ARGUMENTS, &[]).await;
    bindings_of_several_kinds(&stage).await;
    assert!(running.problems().is_empty(), "{:#?}", running.lines());
    let about_lists = running.lines();
    let about_lists = about_lists
        .iter()
        .filter(|line| line.contains("list") || line.contains("stream"));
    assert!(about_lists.count() <= 1, "{:#?}", running.lines());
    servers.stop_apiserver();
    running
        .until_logged("the apiserver does not answer", 1)
        .await;
    servers.start_apiserver();
    servers.until_ready().await;
    stage.edit("owned", json!({"geography": "global"})).await;
    stage.until_id("owned", Some(GLOBAL)).await;
    running.stop().await;
}
