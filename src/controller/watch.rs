//! The watches: which there are, and what their events mean for the cache. One loop serves all kinds; an [`EventHandler`] holds
//! what differs.

use std::{
    collections::HashSet,
    fmt::Debug,
    hash::Hash,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, Resource, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{
    api::TargetKind,
    cache::{
        Cache, CompleteList, ListStart, Via,
        decode::{WatchedBinding, WatchedClass, WatchedNamespace, WatchedTarget},
        target_selector,
    },
    metrics::Change,
    plan::identity::{ObjectKey, TargetKey},
    types::Region,
};

use super::{Config, state::State, sync_gate::SyncGate, watch_loop::WatchLoop};

/// Starts the watches. They tell the gate of the state how far they are.
pub(super) fn start(client: &Client, config: &Config, state: &Arc<State>, tasks: &mut JoinSet<()>) {
    let scopes: Vec<Option<String>> = match config.namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    };
    let classes = Classes {
        state: state.clone(),
    };
    tasks.spawn(WatchLoop::new(Api::all(client.clone()), classes).run());
    for namespace in scopes {
        let namespaces = Namespaces {
            state: state.clone(),
            only: namespace.as_deref().map(Arc::from),
        };
        tasks.spawn(WatchLoop::new(Api::all(client.clone()), namespaces).run());
        let bindings = Bindings {
            state: state.clone(),
            namespace: namespace.clone(),
            selector: config.selector.clone(),
            default_region: config.default_region.clone(),
            first: AtomicBool::new(true),
        };
        let api = scoped(client, namespace.as_deref());
        tasks.spawn(WatchLoop::new(api, bindings).run());
        let config_maps: Targets<ConfigMap> =
            Targets::new(state, TargetKind::ConfigMap, namespace.as_deref());
        let api = scoped(client, namespace.as_deref());
        tasks.spawn(WatchLoop::new(api, config_maps).run());
        if config.settings.enable_secrets {
            let secrets: Targets<Secret> =
                Targets::new(state, TargetKind::Secret, namespace.as_deref());
            let api = scoped(client, namespace.as_deref());
            tasks.spawn(WatchLoop::new(api, secrets).run());
        }
    }
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

/// What a watch selects.
#[derive(Debug, Default)]
pub(super) struct Selectors {
    pub labels: Option<String>,
    pub fields: Option<String>,
}

/// The objects of a watch, and what each event means for the cache.
pub(super) trait EventHandler: Send + 'static {
    /// The object as the watch sends it.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static;
    /// Its identity.
    type Key: Eq + Hash + Send + Sync;

    /// Returns what the tasks share.
    fn state(&self) -> &State;
    /// Returns the selectors of the watch.
    fn selectors(&self) -> Selectors;
    /// Returns the identity of an object.
    fn key(&self, object: &Self::Object) -> Self::Key;
    /// Applies an object that was listed, created or changed.
    fn apply(&self, object: Self::Object, via: Via);
    /// Takes in that an object is gone.
    fn forget(&self, object: Self::Object);
    /// Applies the end of a complete list of this version.
    fn list_complete(&self, seen: &HashSet<Self::Key>, start: ListStart, version: u64);
    /// Returns whether work goes on even if there is no watch.
    fn is_optional(&self) -> bool {
        false
    }
    /// Takes in that there is no watch, although all others work.
    fn is_unreadable(&self) {}

    /// Returns the gate that waits for the watch.
    fn gate(&self) -> &SyncGate {
        &self.state().gate
    }
    /// Takes in that a list begins.
    fn begin_list(&self) -> ListStart {
        self.state().cache().begin_list()
    }
}

/// The bindings of one namespace or of all.
struct Bindings {
    state: Arc<State>,
    namespace: Option<String>,
    selector: Option<String>,
    default_region: Region,
    /// Whether no list was complete yet.
    first: AtomicBool,
}

impl EventHandler for Bindings {
    type Object = WatchedBinding;
    type Key = ObjectKey;

    fn state(&self) -> &State {
        &self.state
    }

    fn selectors(&self) -> Selectors {
        Selectors {
            labels: self.selector.clone(),
            fields: None,
        }
    }

    fn key(&self, binding: &WatchedBinding) -> ObjectKey {
        binding.key()
    }

    fn apply(&self, watched: WatchedBinding, via: Via) {
        let key = watched.key();
        if let Some((binding, version)) = watched.into_binding(&self.default_region) {
            self.state
                .change_binding(&key, |cache| cache.apply_binding(binding, version, via));
        } else {
            tracing::error!(
                binding = %key,
                "the binding can't be read and is left unchanged: apply the operator's CRD, \
                 then correct the binding's spec"
            );
        }
    }

    fn forget(&self, binding: WatchedBinding) {
        self.state.change(Change::Binding, |cache| {
            cache.delete_binding(&binding.key())
        });
    }

    fn list_complete(&self, seen: &HashSet<ObjectKey>, _: ListStart, _: u64) {
        let namespace = self.namespace.as_deref();
        self.state.change(Change::Binding, |cache| {
            cache.retain_bindings(namespace, seen)
        });
        if self.first.swap(false, Ordering::Relaxed) {
            self.state.change(Change::Binding, Cache::list_complete);
        }
    }
}

/// The classes. They have no namespace.
struct Classes {
    state: Arc<State>,
}

impl EventHandler for Classes {
    type Object = WatchedClass;
    type Key = Arc<str>;

    fn state(&self) -> &State {
        &self.state
    }

    fn selectors(&self) -> Selectors {
        Selectors::default()
    }

    fn key(&self, class: &WatchedClass) -> Arc<str> {
        class.name()
    }

    fn apply(&self, watched: WatchedClass, via: Via) {
        let name = watched.name();
        if let Some((class, version)) = watched.into_class() {
            self.state.change(Change::Class, |cache| {
                cache.apply_class(class, version, via)
            });
        } else {
            tracing::error!(
                class = %name,
                "the class can't be read and is taken to be absent: apply the operator's CRDs, \
                 then correct the class's spec"
            );
            self.state
                .change(Change::Class, |cache| cache.delete_class(&name));
        }
    }

    fn forget(&self, class: WatchedClass) {
        self.state
            .change(Change::Class, |cache| cache.delete_class(&class.name()));
    }

    fn list_complete(&self, seen: &HashSet<Arc<str>>, _: ListStart, _: u64) {
        self.state
            .change(Change::Class, |cache| cache.retain_classes(seen));
    }

    /// A cluster that was set up for an older operator does not know classes, or allows it not to read them: bindings that name
    /// one say so.
    fn is_optional(&self) -> bool {
        true
    }

    fn is_unreadable(&self) {
        self.state.change(Change::Class, Cache::classes_unreadable);
    }
}

/// The residency limits and the labels of one Namespace or of all.
struct Namespaces {
    state: Arc<State>,
    only: Option<Arc<str>>,
}

impl EventHandler for Namespaces {
    type Object = WatchedNamespace;
    type Key = Arc<str>;

    fn state(&self) -> &State {
        &self.state
    }

    fn selectors(&self) -> Selectors {
        Selectors {
            labels: None,
            // RBAC can restrict the operator to single Namespaces, which can only be listed by name.
            fields: self
                .only
                .as_ref()
                .map(|name| format!("metadata.name={name}")),
        }
    }

    fn key(&self, namespace: &WatchedNamespace) -> Arc<str> {
        namespace.name()
    }

    fn apply(&self, namespace: WatchedNamespace, _: Via) {
        let (name, limit) = namespace.limit();
        let labels = namespace.labels();
        self.state.change(Change::Namespace, |cache| {
            cache.apply_namespace(&name, limit, labels)
        });
    }

    fn forget(&self, namespace: WatchedNamespace) {
        self.state.change(Change::Namespace, |cache| {
            cache.delete_namespace(&namespace.name())
        });
    }

    fn list_complete(&self, seen: &HashSet<Arc<str>>, _: ListStart, _: u64) {
        let only = self.only.as_ref();
        self.state.change(Change::Namespace, |cache| {
            cache.retain_namespaces(only, seen)
        });
    }

    /// Plans treat a limit that the operator may not read as unknown.
    fn is_optional(&self) -> bool {
        true
    }

    fn is_unreadable(&self) {
        let only = self.only.as_ref();
        self.state
            .change(Change::Namespace, |cache| cache.namespaces_unreadable(only));
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

    fn state(&self) -> &State {
        &self.state
    }

    fn selectors(&self) -> Selectors {
        Selectors {
            labels: Some(target_selector()),
            fields: None,
        }
    }

    fn key(&self, target: &WatchedTarget<K>) -> TargetKey {
        let (namespace, name) = target.names();
        TargetKey {
            kind: self.kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    fn apply(&self, target: WatchedTarget<K>, via: Via) {
        let key = self.key(&target);
        let (view, version) = target.into_view();
        self.state
            .change_target(|cache| cache.apply_target(&key, view, version, via));
    }

    fn forget(&self, target: WatchedTarget<K>) {
        let key = self.key(&target);
        let (_, version) = target.into_view();
        self.state
            .change_target(|cache| cache.delete_target(&key, version));
    }

    fn list_complete(&self, seen: &HashSet<TargetKey>, start: ListStart, version: u64) {
        let namespace = self.namespace.as_deref();
        let list = CompleteList {
            start,
            version,
            seen,
        };
        self.state.change(Change::Target, |cache| {
            cache.retain_targets(self.kind, namespace, &list)
        });
    }
}
