//! The watches: streams from the apiserver into the cache. One loop serves all kinds; an [`EventHandler`] holds what differs.

use std::{
    collections::HashSet, fmt::Debug, future::ready, hash::Hash, marker::PhantomData, sync::Arc,
};

use futures::{Stream, StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, Resource, core::NamespaceResourceScope, core::Status};
use kube_runtime::{
    WatchStreamExt,
    watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    api::TargetKind,
    cache::{
        Cache,
        decode::{WatchedBinding, WatchedNamespace, WatchedTarget},
        target_selector,
    },
    plan::identity::{ObjectKey, TargetKey},
    types::Region,
};

use super::{Config, state::State};

/// Sends once that the first list of a watch is complete.
type Synced = oneshot::Sender<()>;

/// Starts the watches. Each returned receiver resolves when the first list of its watch is complete.
pub(super) fn start(
    client: &Client,
    config: &Config,
    state: &Arc<State>,
    tasks: &mut JoinSet<()>,
) -> Vec<oneshot::Receiver<()>> {
    let scopes: Vec<Option<String>> = match config.namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    };
    let mut synced = Vec::new();
    let mut wait = || {
        let (tell, told) = oneshot::channel();
        synced.push(told);
        tell
    };
    for namespace in scopes {
        let namespaces = Namespaces {
            state: state.clone(),
            only: namespace.clone(),
        };
        tasks.spawn(follow(Api::all(client.clone()), namespaces, wait()));
        let bindings = Bindings {
            state: state.clone(),
            namespace: namespace.clone(),
            selector: config.selector.clone(),
            default_region: config.default_region.clone(),
        };
        let api = scoped(client, namespace.as_deref());
        tasks.spawn(follow(api, bindings, wait()));
        let config_maps: Targets<ConfigMap> =
            Targets::new(state, TargetKind::ConfigMap, namespace.as_deref());
        let api = scoped(client, namespace.as_deref());
        tasks.spawn(follow(api, config_maps, wait()));
        if config.settings.enable_secrets {
            let secrets: Targets<Secret> =
                Targets::new(state, TargetKind::Secret, namespace.as_deref());
            let api = scoped(client, namespace.as_deref());
            tasks.spawn(follow(api, secrets, wait()));
        }
    }
    synced
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The objects of a watch, and what each event means for the cache.
trait EventHandler: Send + 'static {
    /// The object as the watch sends it.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static;
    /// Its identity.
    type Key: Eq + Hash + Send;

    /// Returns the selectors of the watch.
    fn config(&self) -> watcher::Config;
    /// Returns the identity of an object.
    fn key(&self, object: &Self::Object) -> Self::Key;
    /// Applies an object that was listed, created or changed.
    fn apply(&self, object: Self::Object);
    /// Takes in that an object is gone.
    fn forget(&self, object: Self::Object);
    /// Applies the end of a complete list. `first` is true for the first list of this watch.
    fn list_complete(&self, seen: &HashSet<Self::Key>, first: bool);
    /// Returns whether work begins even if the apiserver refuses the watch.
    fn is_optional(&self) -> bool {
        false
    }
}

/// Keeps the objects of a watch in the cache for as long as it is polled.
async fn follow<S: EventHandler>(api: Api<S::Object>, handler: S, synced: Synced) {
    let events = events(api, handler.config());
    pin_mut!(events);
    let mut synced = Some(synced);
    let mut tell = || {
        // The receiver is dropped when the operator stops.
        synced.take().is_some_and(|synced| synced.send(()).is_ok())
    };
    let mut first = true;
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Err(error) => {
                if handler.is_optional() && refusal(&error).is_some() {
                    tell();
                }
            }
            Ok(Event::Init) => seen.clear(),
            Ok(Event::InitApply(object)) => {
                seen.insert(handler.key(&object));
                handler.apply(object);
            }
            Ok(Event::InitDone) => {
                handler.list_complete(&seen, std::mem::take(&mut first));
                seen = HashSet::new();
                tell();
            }
            Ok(Event::Apply(object)) => handler.apply(object),
            Ok(Event::Delete(object)) => handler.forget(object),
        }
    }
}

/// Streams events and failures. After a failure the watch is restarted. A server that does not support streaming lists is
/// asked for plain lists.
fn events<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let lists = watcher::watcher(api.clone(), config.clone().streaming_lists());
    let kind = K::kind(&()).into_owned();
    let mut fallback = false;
    let streaming = lists.take_while(move |event| {
        fallback |= matches!(event, Err(error) if refuses_streaming_lists(error));
        ready(!fallback)
    });
    // Reached only if the server refused streaming lists, which ends the first stream.
    let plain = watcher::watcher(api, config);
    streaming
        .chain(plain)
        .default_backoff()
        .map(move |event| event.inspect_err(|error| log_failure(&kind, error)))
}

fn log_failure(kind: &str, error: &watcher::Error) {
    let hint = match refusal(error).map(|status| status.code) {
        Some(404) => "the cluster does not know the kind: apply the CRD (crds/)",
        Some(403) => "allow the operator's service account to list and watch this kind",
        _ => "it is restarted",
    };
    let error = error as &dyn std::error::Error;
    tracing::warn!(kind, error, "a watch failed: {hint}");
}

fn refuses_streaming_lists(error: &watcher::Error) -> bool {
    refusal(error).is_some_and(|status| {
        status.code == 422 || (status.code == 400 && status.message.contains("sendInitialEvents"))
    })
}

/// Returns the apiserver's answer if it refused to start a watch.
fn refusal(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// The bindings of one namespace or of all.
struct Bindings {
    state: Arc<State>,
    namespace: Option<String>,
    selector: Option<String>,
    default_region: Region,
}

impl EventHandler for Bindings {
    type Object = WatchedBinding;
    type Key = ObjectKey;

    fn config(&self) -> watcher::Config {
        watcher::Config {
            label_selector: self.selector.clone(),
            ..watcher::Config::default()
        }
    }

    fn key(&self, binding: &WatchedBinding) -> ObjectKey {
        binding.key()
    }

    fn apply(&self, watched: WatchedBinding) {
        let key = watched.key();
        if let Some((binding, version)) = watched.into_binding(&self.default_region) {
            self.state
                .change(|cache| cache.apply_binding(binding, version));
        } else {
            tracing::error!(
                binding = %key,
                "the binding can't be read and is left unchanged: apply the operator's CRD, \
                 then correct the binding's spec"
            );
        }
    }

    fn forget(&self, binding: WatchedBinding) {
        self.state
            .change(|cache| cache.delete_binding(&binding.key()));
    }

    fn list_complete(&self, seen: &HashSet<ObjectKey>, first: bool) {
        let namespace = self.namespace.as_deref();
        self.state
            .change(|cache| cache.retain_bindings(namespace, seen));
        if first {
            self.state.change(Cache::list_complete);
        }
    }
}

/// The residency limits of one Namespace or of all.
struct Namespaces {
    state: Arc<State>,
    only: Option<String>,
}

impl EventHandler for Namespaces {
    type Object = WatchedNamespace;
    type Key = Arc<str>;

    fn config(&self) -> watcher::Config {
        watcher::Config {
            // RBAC can restrict the operator to single Namespaces, which can only be listed by name.
            field_selector: self
                .only
                .as_ref()
                .map(|name| format!("metadata.name={name}")),
            ..watcher::Config::default()
        }
    }

    fn key(&self, namespace: &WatchedNamespace) -> Arc<str> {
        namespace.name()
    }

    fn apply(&self, namespace: WatchedNamespace) {
        let (name, limit) = namespace.limit();
        self.state
            .change(|cache| cache.apply_namespace(&name, limit));
    }

    fn forget(&self, namespace: WatchedNamespace) {
        self.state
            .change(|cache| cache.delete_namespace(&namespace.name()));
    }

    fn list_complete(&self, seen: &HashSet<Arc<str>>, _: bool) {
        let only = self.only.as_deref();
        self.state
            .change(|cache| cache.retain_namespaces(only, seen));
    }

    /// Plans treat a limit that the operator may not read as unknown.
    fn is_optional(&self) -> bool {
        true
    }
}

/// The targets of a kind, in one namespace or in all.
struct Targets<K> {
    state: Arc<State>,
    kind: TargetKind,
    namespace: Option<String>,
    object: PhantomData<fn() -> K>,
}

impl<K> Targets<K> {
    fn new(state: &Arc<State>, kind: TargetKind, namespace: Option<&str>) -> Self {
        Self {
            state: state.clone(),
            kind,
            namespace: namespace.map(ToOwned::to_owned),
            object: PhantomData,
        }
    }
}

impl<K> EventHandler for Targets<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Send + Sync + 'static,
    WatchedTarget<K>: Debug,
{
    type Object = WatchedTarget<K>;
    type Key = TargetKey;

    fn config(&self) -> watcher::Config {
        watcher::Config::default().labels(&target_selector())
    }

    fn key(&self, target: &WatchedTarget<K>) -> TargetKey {
        let (namespace, name) = target.names();
        TargetKey {
            kind: self.kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn apply(&self, target: WatchedTarget<K>) {
        let key = self.key(&target);
        let (view, version) = target.into_view();
        self.state
            .change_target(|cache| cache.apply_target(&key, view, version));
    }

    fn forget(&self, target: WatchedTarget<K>) {
        let key = self.key(&target);
        let (_, version) = target.into_view();
        self.state
            .change_target(|cache| cache.delete_target(&key, version));
    }

    fn list_complete(&self, seen: &HashSet<TargetKey>, _: bool) {
        let namespace = self.namespace.as_deref();
        self.state
            .change(|cache| cache.retain_targets(self.kind, namespace, seen));
    }
}
