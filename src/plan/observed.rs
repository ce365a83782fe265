//! What a plan is made from: bindings and targets, reduced to what decisions need.
//!
//! The cache keeps these types, so they are small: no `ObjectMeta`, no values that others wrote, equal texts shared.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use crate::{
    api::{CreationPolicy, InferenceProfileBindingSpec, TargetKind, ValueName, WorkloadKind},
    catalog::{FeedState, Usability},
    class::{Class, ClassUse, Labels, RequestError, Terms},
    render::{APPLICATION_KEYS, DEFAULT_KEYS},
    residency::{Limit, LimitError, LimitOrigin, NamespaceLimit},
    resolve::Request,
    types::{AccountId, ApplicationName, ParseError, Region, RoleArn},
};

use super::{
    identity::{ObjectKey, TargetKey},
    status::Status,
};

/// Key -> value name.
pub type Keys = Arc<[(Arc<str>, ValueName)]>;
/// Key -> template.
pub type Templates = Arc<[(Arc<str>, Arc<str>)]>;
/// Kind and name of workloads.
pub type Workloads = Arc<[(WorkloadKind, Arc<str>)]>;

/// A target of a spec, with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// Kind.
    pub kind: TargetKind,
    /// Name.
    pub name: Arc<str>,
    /// Whether the binding owns the object or merges keys into it.
    pub policy: CreationPolicy,
    /// Key -> value name.
    pub keys: Keys,
    /// Key -> template.
    pub templates: Templates,
}

impl TargetSpec {
    /// Returns the keys that this target writes, in no particular order.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        let keys = self.keys.iter().map(|(key, _)| key.as_ref());
        keys.chain(self.templates.iter().map(|(key, _)| key.as_ref()))
    }
}

/// The parsed spec of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What is asked for: by the spec itself, or by the class that it names.
    pub request: Result<Arc<Request>, Box<RequestError>>,
    /// The class that the spec names. `None` if it names none, or if the spec is not valid.
    pub class: Option<Arc<ClassUse>>,
    /// `allowedRegions`.
    pub limit: Option<Arc<Result<Limit, LimitError>>>,
    /// `roleARN`.
    pub role: Option<RoleArn>,
    /// Targets. The default target when the spec names none.
    pub targets: Arc<[TargetSpec]>,
    /// Workloads that restart when a written value changes.
    pub rollout: Workloads,
    /// Whether targets and workloads are left as they are.
    pub suspend: bool,
}

static SHARED_DEFAULT_KEYS: LazyLock<Keys> = LazyLock::new(|| {
    DEFAULT_KEYS
        .iter()
        .map(|(key, name)| (Arc::from(*key), *name))
        .collect()
});
/// The default keys of a binding that names an application profile.
static SHARED_APPLICATION_KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let keys = DEFAULT_KEYS.iter().chain(&APPLICATION_KEYS);
    keys.map(|(key, name)| (Arc::from(*key), *name)).collect()
});
static NO_TEMPLATES: LazyLock<Templates> = LazyLock::new(|| Arc::new([]));
static NO_WORKLOADS: LazyLock<Workloads> = LazyLock::new(|| Arc::new([]));

impl Spec {
    /// Parses a spec. `binding` is the name of the binding, and of its default target. A class that it names is not known yet:
    /// what it asks for is put in by [`Spec::apply_class`].
    #[must_use]
    pub fn parse(
        wire: &InferenceProfileBindingSpec,
        binding: &Arc<str>,
        default_region: &Region,
    ) -> Self {
        let default_keys = match &wire.application {
            Some(_) => &SHARED_APPLICATION_KEYS,
            None => &SHARED_DEFAULT_KEYS,
        };
        let targets: Arc<[TargetSpec]> = match wire.targets.as_deref() {
            None | Some([]) => Arc::new([TargetSpec {
                kind: TargetKind::ConfigMap,
                name: binding.clone(),
                policy: CreationPolicy::Owner,
                keys: (*default_keys).clone(),
                templates: NO_TEMPLATES.clone(),
            }]),
            Some(targets) => targets
                .iter()
                .map(|target| parse_target(target, default_keys))
                .collect(),
        };
        let role: Option<Result<RoleArn, _>> = wire.role_arn.as_deref().map(str::parse);
        let (role, role_error) = match role {
            Some(Ok(role)) => (Some(role), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let (request, class) = match (role_error, parse_asked(wire, default_region)) {
            (Some(error), _) | (None, Err(error)) => (Err(Box::new(error.into())), None),
            (None, Ok(Asked::Request(request))) => (Ok(Arc::new(request)), None),
            (None, Ok(Asked::Class(class))) => {
                let unknown = RequestError::ClassesUnreadable(class.name.clone());
                (Err(Box::new(unknown)), Some(Arc::new(class)))
            }
        };
        Self {
            request,
            class,
            limit: wire
                .allowed_regions
                .as_ref()
                .map(|entries| Arc::new(Limit::parse(LimitOrigin::Binding, entries))),
            role,
            targets,
            rollout: match wire.rollout.as_deref() {
                None | Some([]) => NO_WORKLOADS.clone(),
                Some(workloads) => workloads
                    .iter()
                    .map(|workload| (workload.kind, Arc::from(workload.name.as_str())))
                    .collect(),
            },
            suspend: wire.suspend.unwrap_or_default(),
        }
    }

    /// Returns the region that the workload calls Bedrock from. `None` if the spec is not valid.
    #[must_use]
    pub fn source_region(&self) -> Option<&Region> {
        match (&self.class, &self.request) {
            (Some(class), _) => Some(&class.source_region),
            (None, Ok(request)) => Some(&request.source_region),
            (None, Err(_)) => None,
        }
    }

    /// Returns the application profile that the spec names. It does not depend on what is known of a class. `None` if the spec names
    /// none, or is not valid.
    #[must_use]
    pub fn application(&self) -> Option<&ApplicationName> {
        match (&self.class, &self.request) {
            (Some(class), _) => class.application.as_ref(),
            (None, Ok(request)) => request.application.as_ref(),
            (None, Err(_)) => None,
        }
    }

    /// Returns the residency limits of this spec and of its class.
    pub fn limits(&self) -> impl Iterator<Item = &Result<Limit, LimitError>> {
        let class = self.class.as_ref().and_then(|class| class.limit.as_deref());
        self.limit.as_deref().into_iter().chain(class)
    }

    /// Puts in what the class of this spec asks for, for a binding in this namespace. Nothing changes where it names none.
    pub fn apply_class(
        &mut self,
        class: impl FnOnce(&Arc<str>) -> Result<Arc<Class>, RequestError>,
        namespace: &str,
        labels: Option<&Labels>,
    ) {
        let Some(mine) = &self.class else {
            return;
        };
        let class = class(&mine.name);
        let class = class.as_deref().map_err(Clone::clone);
        let (mine, request) = mine.applied(class, namespace, labels);
        self.class = Some(Arc::new(mine));
        self.request = request.map(Arc::new).map_err(Box::new);
    }

    /// Says whether a target of this spec merges keys into an object that the binding does not own.
    #[must_use]
    pub fn merges(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.policy == CreationPolicy::Merge)
    }
}

/// What a spec asks for.
enum Asked {
    Request(Request),
    /// What this class says.
    Class(ClassUse),
}

fn parse_asked(
    wire: &InferenceProfileBindingSpec,
    default_region: &Region,
) -> Result<Asked, ParseError> {
    let source_region = match &wire.source_region {
        Some(name) => name.parse()?,
        None => default_region.clone(),
    };
    let application = match &wire.application {
        Some(application) => Some(application.name.parse()?),
        None => None,
    };
    if let Some(class) = &wire.class_name {
        let class = ClassUse::new(class, source_region, application);
        return Ok(Asked::Class(class));
    }
    // The CRD requires both where there is no class.
    let model = wire.model.as_deref().unwrap_or_default();
    let geography = wire.geography.as_deref().unwrap_or_default();
    let terms = Terms::parse(model, geography, wire.fallback.as_ref())?;
    Ok(Asked::Request(terms.request(source_region, application)))
}

fn parse_target(wire: &crate::api::Target, default_keys: &Keys) -> TargetSpec {
    let keys = match (&wire.keys, &wire.templates) {
        (None, None) => default_keys.clone(),
        (keys, _) => keys
            .iter()
            .flatten()
            .map(|(key, name)| (Arc::from(key.as_str()), *name))
            .collect(),
    };
    TargetSpec {
        kind: wire.kind,
        name: Arc::from(wire.name.as_str()),
        policy: wire.creation_policy.unwrap_or_default(),
        keys,
        templates: match &wire.templates {
            None => NO_TEMPLATES.clone(),
            Some(templates) => templates
                .iter()
                .map(|(key, text)| (Arc::from(key.as_str()), Arc::from(text.as_str())))
                .collect(),
        },
    }
}

/// A binding as the cache keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Namespace and name.
    pub key: ObjectKey,
    /// UID.
    pub uid: Arc<str>,
    /// Generation of the spec.
    pub generation: i64,
    /// Creation time, in seconds since the Unix epoch.
    pub created: i64,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Whether it has the operator's finalizer.
    pub finalizer: bool,
    /// Fingerprint of the annotation that asks for a new listing. `None` when the binding does not have it.
    pub refresh: Option<u64>,
    /// The spec.
    pub spec: Spec,
    /// The status that was last read or written.
    pub status: Status,
}

impl Binding {
    /// Returns the identity of a target of the spec, in the binding's namespace.
    #[must_use]
    pub fn target_key(&self, target: &TargetSpec) -> TargetKey {
        TargetKey {
            kind: target.kind,
            namespace: self.key.namespace.clone(),
            name: target.name.clone(),
        }
    }
}

/// The controller of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Its UID.
    pub uid: Arc<str>,
    /// Its name if it is a binding.
    pub binding: Option<Arc<str>>,
    /// Kind and name, for messages.
    pub description: Arc<str>,
}

/// The keys of an object that one field manager holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// For a field manager of ours the name of the binding, for others the name of the field manager.
    pub holder: Arc<str>,
    /// Fingerprints of keys and values, sorted by key. Those of values are 0 unless the field manager is ours.
    pub keys: Box<[(u64, u64)]>,
}

impl Holding {
    /// Says whether a key is among them.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let key = fingerprint(key);
        self.keys
            .binary_search_by_key(&key, |(key, _)| *key)
            .is_ok()
    }
}

/// An object as the cache keeps it: enough to tell whose it is, and whether it holds our values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetView {
    /// UID.
    pub uid: Arc<str>,
    /// Whether it has the label that watches select by.
    pub labelled: bool,
    /// Its controller.
    pub controller: Option<Controller>,
    /// Value of the allow-merge annotation.
    pub allow_merge: Option<Arc<str>>,
    /// The keys that bindings hold.
    pub ours: Box<[Holding]>,
    /// The keys that other field managers hold. Their values are not known.
    pub foreign: Box<[Holding]>,
}

impl TargetView {
    /// Returns the keys that a binding holds. Returns `None` when it holds none.
    #[must_use]
    pub fn held_by(&self, binding: &str) -> Option<&Holding> {
        self.ours
            .iter()
            .find(|holding| holding.holder.as_ref() == binding)
    }

    /// Says whether a binding holds exactly this content: these keys and no others, with these values.
    #[must_use]
    pub fn holds(
        &self,
        binding: &str,
        kind: TargetKind,
        content: &BTreeMap<String, String>,
    ) -> bool {
        let expected = fingerprints(kind, content);
        self.held_by(binding)
            .is_some_and(|holding| *holding.keys == *expected)
    }

    /// Returns the name of a foreign field manager that holds a key. Returns `None` when none does.
    #[must_use]
    pub fn foreign_holder(&self, key: &str) -> Option<&str> {
        self.foreign
            .iter()
            .find(|holding| holding.has(key))
            .map(|holding| holding.holder.as_ref())
    }
}

/// Returns a hash of a text. It can be compared only with hashes from the same process.
#[must_use]
pub fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Returns the fingerprints of a content's keys and of its values as they are stored in `data`, sorted by key.
#[must_use]
pub fn fingerprints(kind: TargetKind, content: &BTreeMap<String, String>) -> Box<[(u64, u64)]> {
    let mut pairs: Box<[(u64, u64)]> = content
        .iter()
        .map(|(key, value)| (fingerprint(key), fingerprint(&wire_value(kind, value))))
        .collect();
    pairs.sort_unstable();
    pairs
}

/// Returns a value as it is stored in `data`: base64 in a Secret.
#[must_use]
pub fn wire_value(kind: TargetKind, value: &str) -> String {
    match kind {
        TargetKind::ConfigMap => value.to_owned(),
        TargetKind::Secret => {
            let bytes = k8s_openapi::ByteString(value.as_bytes().to_vec());
            match serde_json::to_value(bytes) {
                Ok(serde_json::Value::String(text)) => text,
                _ => String::new(),
            }
        }
    }
}

/// What is known about a target of the spec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedTarget {
    /// The object. `None` when the watch, which selects by the label, does not show it.
    pub view: Option<Arc<TargetView>>,
    /// The name of another binding that has a better claim to it. `None` when there is none.
    pub claimed_by: Option<Arc<str>>,
}

/// An object that the binding controls or holds keys in, as the watch shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldObject {
    /// The object.
    pub key: TargetKey,
    /// What is known about it.
    pub view: Arc<TargetView>,
}

/// The operator's configuration, as far as it affects plans.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether Secrets may be written.
    pub enable_secrets: bool,
    /// Whether workloads may be restarted.
    pub enable_rollout: bool,
    /// Whether it is checked that the account can use the models.
    pub check_access: bool,
    /// Account for ARNs when the catalog names none.
    pub account: Option<AccountId>,
    /// The operator's own residency limit.
    pub limit: Option<Limit>,
    /// Whether a binding is written only if a residency limit applies to it.
    pub require_limit: bool,
    /// Whether newer embedded data may change a value that was written from older ones.
    pub follow_embedded: bool,
}

/// Everything that one plan is made from.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The binding.
    pub binding: Arc<Binding>,
    /// The residency limit that its Namespace sets.
    pub namespace: NamespaceLimit,
    /// The state of its feed.
    pub feed: FeedState,
    /// Whether its model can be used. `None` when that is not checked, or not known.
    pub usability: Option<Usability>,
    /// What is known about the targets of the spec, in the order of the spec.
    pub targets: Vec<ObservedTarget>,
    /// The objects that this binding controls or holds keys in, whether or not the spec still names them.
    pub held_objects: Vec<HeldObject>,
}
