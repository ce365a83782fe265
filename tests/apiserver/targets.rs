//! Target objects as cases make, change, watch and read them. A case acts under field managers of its own.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, pin_mut};
use inference_profile_operator::api::{InferenceProfileBinding, condition::Reason};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    operator::{SONNET, condition, config_maps, until, until_ready},
    support::{Cluster, eventually},
};

/// Manager of objects that are not the operator's.
pub const CHART: &str = "chart";
/// Label that the operator's watches select by.
pub const LABEL: &str = "inferenceprofiles.dev/managed";
/// Annotation that allows a merge.
pub const ALLOW: &str = "inferenceprofiles.dev/allow-merge";
/// Finalizer of bindings with Merge targets.
pub const FINALIZER: &str = "inferenceprofiles.dev/merged-keys";

/// Returns a spec for the `eu` profile of a model, with these targets.
pub fn spec(targets: Value) -> Value {
    json!({"model": SONNET, "geography": "eu", "targets": targets})
}

/// Returns a target of one key, `MODEL`.
pub fn owner(name: &str) -> Value {
    json!({"kind": "ConfigMap", "name": name, "keys": {"MODEL": "ProfileID"}})
}

/// Returns a Merge target of these keys, each the profile ID.
pub fn merge(name: &str, keys: &[&str]) -> Value {
    let keys: BTreeMap<&str, &str> = keys.iter().map(|key| (*key, "ProfileID")).collect();
    json!({"kind": "ConfigMap", "name": name, "creationPolicy": "Merge", "keys": keys})
}

/// Creates a binding.
pub async fn bind(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    spec: Value,
) -> InferenceProfileBinding {
    cluster
        .create_binding(namespace, name, spec)
        .await
        .expect("accepted")
}

/// Changes fields of a binding's spec.
pub async fn edit(cluster: &Cluster, namespace: &str, name: &str, fields: Value) {
    let patch = Patch::Merge(json!({"spec": fields}));
    cluster
        .bindings(namespace)
        .patch(name, &PatchParams::default(), &patch)
        .await
        .expect("edited");
}

/// Deletes a binding and waits until it is gone.
pub async fn unbind(cluster: &Cluster, namespace: &str, name: &str) {
    let bindings = cluster.bindings(namespace);
    bindings
        .delete(name, &DeleteParams::default())
        .await
        .expect("deleted");
    eventually(&format!("the binding {name} is gone"), || async {
        match bindings.get_opt(name).await.expect("an answer") {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
}

/// Creates a `ConfigMap` from its wire form, as [`CHART`].
pub async fn create(cluster: &Cluster, namespace: &str, object: Value) -> ConfigMap {
    let object: ConfigMap = serde_json::from_value(object).expect("a ConfigMap");
    let params = PostParams {
        field_manager: Some(CHART.to_owned()),
        ..PostParams::default()
    };
    config_maps(cluster, namespace)
        .create(&params, &object)
        .await
        .expect("created")
}

/// Creates a `ConfigMap` of others, with a key of theirs, that these bindings may merge into.
pub async fn mergeable(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    bindings: &str,
) -> ConfigMap {
    let object = json!({
        "metadata": {"name": name, "annotations": {ALLOW: bindings}},
        "data": {"THEIRS": "1"},
    });
    create(cluster, namespace, object).await
}

/// Changes a `ConfigMap` by a merge patch, as a manager of this name.
pub async fn change(cluster: &Cluster, namespace: &str, name: &str, manager: &str, patch: Value) {
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    config_maps(cluster, namespace)
        .patch(name, &params, &Patch::Merge(patch))
        .await
        .expect("changed");
}

/// Applies data to a `ConfigMap` as a manager of this name, taking over what others hold.
pub async fn take(cluster: &Cluster, namespace: &str, name: &str, manager: &str, data: Value) {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    config_maps(cluster, namespace)
        .patch(
            name,
            &PatchParams::apply(manager).force(),
            &Patch::Apply(object),
        )
        .await
        .expect("applied");
}

/// Returns a `ConfigMap`.
pub async fn get(cluster: &Cluster, namespace: &str, name: &str) -> ConfigMap {
    config_maps(cluster, namespace)
        .get(name)
        .await
        .expect("the ConfigMap")
}

/// Deletes a `ConfigMap`.
pub async fn delete(cluster: &Cluster, namespace: &str, name: &str) {
    config_maps(cluster, namespace)
        .delete(name, &DeleteParams::default())
        .await
        .expect("deleted");
}

/// Returns the Secrets of a namespace.
pub fn secrets(cluster: &Cluster, namespace: &str) -> Api<Secret> {
    Api::namespaced(cluster.client.clone(), namespace)
}

/// Waits until a `ConfigMap` is there and as expected.
pub async fn until_object(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    what: &str,
    as_expected: impl Fn(&ConfigMap) -> bool,
) -> ConfigMap {
    let api = config_maps(cluster, namespace);
    let as_expected = &as_expected;
    eventually(&format!("{name}: {what}"), || async {
        match api.get_opt(name).await.expect("an answer") {
            Some(found) if as_expected(&found) => Ok(found),
            other => Err(other),
        }
    })
    .await
}

/// Waits until a `ConfigMap` is gone.
pub async fn until_gone(cluster: &Cluster, namespace: &str, name: &str) {
    let api = config_maps(cluster, namespace);
    eventually(&format!("{name} is gone"), || async {
        match api.get_opt(name).await.expect("an answer") {
            None => Ok(()),
            Some(found) => Err(found),
        }
    })
    .await;
}

/// Waits until a binding's targets are not synced for this reason, and returns the message.
pub async fn until_not_synced(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    reason: Reason,
) -> String {
    let binding = until(cluster, namespace, name, "TargetsSynced", "False", reason).await;
    let (_, ready, message) = condition(&binding, "Ready").expect("Ready");
    assert_eq!(ready, reason.as_str(), "Ready says it too");
    message
}

/// Waits until the operator has gone through everything that happened before: a binding made now is written, and, what
/// runs in the slow lane, its object comes back when it is deleted. Then it removes them.
pub async fn barrier(cluster: &Cluster, namespace: &str) {
    bind(
        cluster,
        namespace,
        "barrier",
        spec(json!([owner("barrier")])),
    )
    .await;
    until_ready(cluster, namespace, "barrier").await;
    let before = get(cluster, namespace, "barrier").await.uid();
    delete(cluster, namespace, "barrier").await;
    until_object(cluster, namespace, "barrier", "comes back", |found| {
        found.uid() != before
    })
    .await;
    unbind(cluster, namespace, "barrier").await;
    // Without kube-controller-manager nobody else does it.
    let _ = config_maps(cluster, namespace)
        .delete("barrier", &DeleteParams::default())
        .await;
    until_gone(cluster, namespace, "barrier").await;
}

/// Returns a value of a `ConfigMap` that was read.
pub fn data<'a>(object: &'a ConfigMap, key: &str) -> Option<&'a str> {
    object.data.as_ref()?.get(key).map(String::as_str)
}

/// Returns the UID of an object's controller.
pub fn controller(object: &impl ResourceExt) -> Option<String> {
    object
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.clone())
}

/// Says whether a field manager holds a key of `data`.
pub fn holds(object: &impl ResourceExt, manager: &str, key: &str) -> bool {
    object.managed_fields().iter().any(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        entry.manager.as_deref() == Some(manager)
            && fields.is_some_and(|fields| fields["f:data"].get(format!("f:{key}")).is_some())
    })
}

/// Returns the version of an object: of all objects in one etcd, the greater is the later.
pub fn version(object: &impl ResourceExt) -> u64 {
    object
        .resource_version()
        .expect("a resource version")
        .parse()
        .expect("a number")
}

/// Every state of the objects of a kind and namespace, from now on, however short it lasts.
pub struct History<K> {
    /// Each with whether it is the last one, that of the deletion.
    states: Arc<Mutex<Vec<(bool, K)>>>,
    task: JoinHandle<()>,
}

impl<K> History<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Starts to watch.
    pub async fn watch(api: Api<K>) -> Self {
        let now = api.list(&ListParams::default()).await.expect("a list");
        let since = now.metadata.resource_version.expect("a version");
        let states = Arc::new(Mutex::new(Vec::new()));
        let seen = states.clone();
        let task = tokio::spawn(async move {
            let params = WatchParams::default();
            let events = api.watch(&params, &since).await.expect("a watch");
            pin_mut!(events);
            while let Some(event) = events.next().await {
                let state = match event.expect("an event") {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (false, object),
                    WatchEvent::Deleted(object) => (true, object),
                    _ => continue,
                };
                seen.lock().expect("not poisoned").push(state);
            }
        });
        Self { states, task }
    }

    /// Waits until there was a state as expected, and returns the first.
    pub async fn first(&self, what: &str, as_expected: impl Fn(&K) -> bool) -> K {
        self.find(what, |_, state| as_expected(state)).await
    }

    /// Waits until an object was deleted, and returns its last state, with the version of the deletion.
    pub async fn deletion(&self, what: &str) -> K {
        self.find(what, |deleted, _| deleted).await
    }

    async fn find(&self, what: &str, as_expected: impl Fn(bool, &K) -> bool) -> K {
        let as_expected = &as_expected;
        eventually(what, || async {
            let states = self.states.lock().expect("not poisoned");
            states
                .iter()
                .find(|(deleted, state)| as_expected(*deleted, state))
                .map(|(_, state)| state.clone())
                .ok_or_else(|| states.clone())
        })
        .await
    }
}

impl<K> Drop for History<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
