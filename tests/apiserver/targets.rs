//! Targets as cases write them into specs, and what their objects tell.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{operator::SONNET, support::eventually};

/// Manager of objects that are not the operator's.
pub const CHART: &str = "chart";
/// Label that the operator's watches select by.
pub const LABEL: &str = "inferenceprofiles.dev/managed";
/// Annotation that allows a merge.
pub const ALLOW: &str = "inferenceprofiles.dev/allow-merge";
/// Finalizer of bindings with Merge targets.
pub const FINALIZER: &str = "inferenceprofiles.dev/merged-keys";

/// Returns a spec for the `eu` profile of a model, with these targets.
pub fn spec(targets: impl Into<Value>) -> Value {
    json!({"model": SONNET, "geography": "eu", "targets": targets.into()})
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

    /// Returns all states so far.
    pub fn states(&self) -> Vec<K> {
        let states = self.states.lock().expect("not poisoned");
        states.iter().map(|(_, state)| state.clone()).collect()
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
