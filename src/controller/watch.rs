//! The watches: streams of the apiserver into the cache, and what follows from each event into the queue and the feeds.

use std::{collections::HashSet, fmt::Debug, future::ready, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, pin_mut};
use kube::{Api, Resource, core::Status};
use kube_runtime::{
    WatchStreamExt,
    watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    api::TargetKind,
    cache::{
        Cache, Effect,
        decode::{WatchedBinding, WatchedNamespace, WatchedTarget},
        target_selector,
    },
    plan::identity::{ObjectKey, TargetKey},
};

use super::Context;

/// Tells once that a watch has shown everything there is.
type Synced = Option<oneshot::Sender<()>>;

fn tell(synced: &mut Synced) {
    if let Some(synced) = synced.take() {
        // Nobody waits any more when the operator stops.
        let _ = synced.send(());
    }
}

/// Streams events. A server without streaming lists is asked by plain ones.
fn events<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    attempts(api, config).filter_map(|event| ready(event.ok()))
}

/// Streams events and failures; after a failure the watch is started again.
fn attempts<K>(
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
    // Reached only where the first stream ended by the refusal.
    let plain = watcher::watcher(api, config);
    streaming
        .chain(plain)
        .default_backoff()
        .map(move |event| event.inspect_err(|error| log_failure(&kind, error)))
}

fn log_failure(kind: &str, error: &watcher::Error) {
    let hint = match refusal(error).map(|status| status.code) {
        Some(404) => "the cluster does not know the kind: apply the CRD (crds/)",
        Some(403) => "the operator's service account may not list and watch it",
        _ => "it is started again",
    };
    let error = error as &dyn std::error::Error;
    tracing::warn!(kind, error, "a watch failed: {hint}");
}

fn refuses_streaming_lists(error: &watcher::Error) -> bool {
    refusal(error).is_some_and(|status| {
        status.code == 422 || (status.code == 400 && status.message.contains("sendInitialEvents"))
    })
}

/// Returns the apiserver's answer to the start of a watch, where it gave one.
fn refusal(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

/// Keeps the bindings of a namespace, or of all, in the cache.
pub(super) async fn bindings(
    context: Arc<Context>,
    namespace: Option<String>,
    synced: oneshot::Sender<()>,
) {
    let api: Api<WatchedBinding> = context.scoped(namespace.as_deref());
    let config = watcher::Config {
        label_selector: context.config.selector.clone(),
        ..watcher::Config::default()
    };
    let events = events(api, config);
    pin_mut!(events);
    let mut synced = Some(synced);
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => seen.clear(),
            Event::InitApply(binding) => {
                seen.insert(binding.key());
                context.take_binding(binding);
            }
            Event::InitDone => {
                context.change(|cache| cache.retain_bindings(namespace.as_deref(), &seen));
                seen = HashSet::new();
                if synced.is_some() {
                    context.change(Cache::list_complete);
                }
                tell(&mut synced);
            }
            Event::Apply(binding) => context.take_binding(binding),
            Event::Delete(binding) => context.change(|cache| cache.delete_binding(&binding.key())),
        }
    }
}

/// Keeps the limits of one Namespace, or of all, in the cache. Where the apiserver refuses, work begins all the same: such
/// limits are not known.
pub(super) async fn namespaces(
    context: Arc<Context>,
    only: Option<String>,
    synced: oneshot::Sender<()>,
) {
    let api: Api<WatchedNamespace> = Api::all(context.client.clone());
    let config = watcher::Config {
        // RBAC can allow single Namespaces: they are listed by name then.
        field_selector: only.as_ref().map(|name| format!("metadata.name={name}")),
        ..watcher::Config::default()
    };
    let attempts = attempts(api, config);
    pin_mut!(attempts);
    let mut synced = Some(synced);
    let mut seen = HashSet::new();
    while let Some(attempt) = attempts.next().await {
        let event = match attempt {
            Ok(event) => event,
            Err(error) => {
                if refusal(&error).is_some() {
                    tell(&mut synced);
                }
                continue;
            }
        };
        match event {
            Event::Init => seen.clear(),
            Event::InitApply(namespace) => {
                let (name, limit) = namespace.limit();
                seen.insert(name.clone());
                context.change(|cache| cache.apply_namespace(&name, limit));
            }
            Event::InitDone => {
                context.change(|cache| cache.retain_namespaces(only.as_deref(), &seen));
                seen = HashSet::new();
                tell(&mut synced);
            }
            Event::Apply(namespace) => {
                let (name, limit) = namespace.limit();
                context.change(|cache| cache.apply_namespace(&name, limit));
            }
            Event::Delete(namespace) => {
                let (name, _) = namespace.limit();
                context.change(|cache| cache.delete_namespace(&name));
            }
        }
    }
}

/// Keeps the targets of a kind and namespace, or of all, in the cache.
pub(super) async fn targets<K>(
    context: Arc<Context>,
    kind: TargetKind,
    namespace: Option<String>,
    synced: oneshot::Sender<()>,
) where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Send
        + Sync
        + 'static,
    WatchedTarget<K>: Debug,
{
    let api: Api<WatchedTarget<K>> = context.scoped(namespace.as_deref());
    let events = events(api, watcher::Config::default().labels(&target_selector()));
    pin_mut!(events);
    let mut synced = Some(synced);
    let mut seen = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Init => seen.clear(),
            Event::InitApply(target) => {
                seen.insert(target_key(kind, &target));
                context.take_target(kind, target);
            }
            Event::InitDone => {
                context.change(|cache| cache.retain_targets(kind, namespace.as_deref(), &seen));
                seen = HashSet::new();
                tell(&mut synced);
            }
            Event::Apply(target) => context.take_target(kind, target),
            Event::Delete(target) => {
                let key = target_key(kind, &target);
                let (_, version) = target.into_view();
                context.change_target(|cache| cache.delete_target(&key, version));
            }
        }
    }
}

fn target_key<K>(kind: TargetKind, target: &WatchedTarget<K>) -> TargetKey {
    let (namespace, name) = target.names();
    TargetKey {
        kind,
        namespace: namespace.into(),
        name: name.into(),
    }
}

impl Context {
    fn take_binding(&self, watched: WatchedBinding) {
        let key: ObjectKey = watched.key();
        if let Some((binding, version)) = watched.into_binding(&self.config.default_region) {
            self.change(|cache| cache.apply_binding(binding, version));
        } else {
            tracing::error!(
                binding = %key,
                "the binding can't be read and is left as it is: apply the operator's CRD, \
                 then correct its spec"
            );
        }
    }

    fn take_target<K>(&self, kind: TargetKind, watched: WatchedTarget<K>) {
        let key = target_key(kind, &watched);
        let (view, version) = watched.into_view();
        self.change_target(|cache| cache.apply_target(&key, view, version));
    }

    /// Changes the cache by what a watch shows of a target, and follows up: later where others keep changing it.
    fn change_target(&self, change: impl FnOnce(&mut Cache) -> Effect) {
        let effect = change(&mut self.cache());
        let now = Instant::now();
        for (key, lane) in effect.wake {
            match self.corrections().wait(&key, now) {
                Duration::ZERO => self.queue.push(key, lane),
                wait => self.queue.push_after(key, lane, wait),
            }
        }
    }

    /// Changes the cache and follows up. The feeds are held and let go under the lock, in the order of the changes.
    fn change(&self, change: impl FnOnce(&mut Cache) -> Effect) {
        let mut cache = self.cache();
        let effect = change(&mut cache);
        self.follow(effect);
    }

    fn follow(&self, effect: Effect) {
        for feed in &effect.hold {
            self.feeds.hold(feed);
        }
        for feed in &effect.release {
            self.feeds.release(feed);
        }
        for feed in &effect.refresh {
            self.feeds.refresh(feed);
        }
        for (key, lane) in effect.wake {
            self.queue.push(key, lane);
        }
    }

    fn scoped<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}
