//! What a plan is made from: bindings and targets, reduced to what decisions need.
//!
//! The cache keeps these types, so they are small: no `ObjectMeta`, no values that others wrote, equal texts shared.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use crate::{
    api::{
        AskedModel, CreationPolicy, DeletionPolicy, InferenceProfileBindingSpec, Preset,
        TargetKind, WorkloadKind,
    },
    catalog::{FeedState, Usability},
    class::{Class, ClassUse, Labels, RequestError, Terms},
    models::{ModelName, Models},
    render::{self, KeySource},
    residency::{Limit, LimitError, LimitOrigin, NamespaceLimit},
    resolve::Request,
    types::{AccountId, ApplicationName, ParseError, Region, RoleArn},
};

use super::{
    identity::{ObjectKey, TargetKey},
    metadata::TargetMetadata,
    served::SeenServed,
    status::{ModelInUse, Status, WrittenRoute},
};

/// Key -> what it holds.
pub type Keys = Arc<[(Arc<str>, KeySource)]>;
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
    /// Key -> what it holds.
    pub keys: Keys,
    /// Key -> template.
    pub templates: Templates,
    /// Labels and annotations beside those of the operator. `None` when there are none.
    pub metadata: Option<Arc<TargetMetadata>>,
}

impl TargetSpec {
    /// Returns the targets of a spec: they do not depend on what is known of classes and regions. `binding` is as for
    /// [`Spec::parse`].
    #[must_use]
    pub fn all_of(wire: &InferenceProfileBindingSpec, binding: &Arc<str>) -> Arc<[Self]> {
        parse_targets(wire, binding, &asked(wire))
    }

    /// Returns the keys that this target writes, in no particular order.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        let keys = self.keys.iter().map(|(key, _)| key.as_ref());
        keys.chain(self.templates.iter().map(|(key, _)| key.as_ref()))
    }
}

/// What a binding asks for: as its only model, or under one of several names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is asked for: by the spec itself, or by the class that it names.
    pub request: Result<Arc<Request>, Box<RequestError>>,
    /// The class that it names. `None` if it names none, or if it is not valid.
    pub class: Option<Arc<ClassUse>>,
}

impl Ask {
    /// Returns the region that the workload calls Bedrock from. `None` if this is not valid.
    #[must_use]
    pub fn source_region(&self) -> Option<&Region> {
        match (&self.class, &self.request) {
            (Some(class), _) => Some(&class.source_region),
            (None, Ok(request)) => Some(&request.source_region),
            (None, Err(_)) => None,
        }
    }

    /// Returns the application profile that it names. It does not depend on what is known of a class. `None` if it names none,
    /// or is not valid.
    #[must_use]
    pub fn application(&self) -> Option<&ApplicationName> {
        match (&self.class, &self.request) {
            (Some(class), _) => class.application.as_ref(),
            (None, Ok(request)) => request.application.as_ref(),
            (None, Err(_)) => None,
        }
    }
}

/// The parsed spec of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What is asked for.
    pub asks: Models<Ask>,
    /// `allowedRegions`.
    pub limit: Option<Arc<Result<Limit, LimitError>>>,
    /// `roleARN`.
    pub role: Option<RoleArn>,
    /// Targets. The default target when the spec names none.
    pub targets: Arc<[TargetSpec]>,
    /// Workloads that restart when a written value changes.
    pub rollout: Workloads,
    /// What becomes of owned objects when the binding is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether targets and workloads are left as they are.
    pub suspend: bool,
}

static SHARED_DEFAULT_KEYS: LazyLock<Keys> =
    LazyLock::new(|| render::default_keys(None, false).collect());
/// The default keys of a binding that names an application profile.
static SHARED_APPLICATION_KEYS: LazyLock<Keys> =
    LazyLock::new(|| render::default_keys(None, true).collect());
static NO_KEYS: LazyLock<Keys> = LazyLock::new(|| Arc::new([]));
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
        let asked = asked(wire);
        let role: Option<Result<RoleArn, _>> = wire.role_arn.as_deref().map(str::parse);
        let (role, role_error) = match role {
            Some(Ok(role)) => (Some(role), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let source_region = match (role_error, &wire.source_region) {
            (Some(error), _) => Err(error),
            (None, Some(name)) => name.parse(),
            (None, None) => Ok(default_region.clone()),
        };
        Self {
            asks: asked.map(|_, asked| parse_ask(asked, source_region.as_ref())),
            limit: wire
                .allowed_regions
                .as_ref()
                .map(|entries| Arc::new(Limit::parse(LimitOrigin::Binding, entries))),
            role,
            targets: parse_targets(wire, binding, &asked),
            rollout: match wire.rollout.as_deref() {
                None | Some([]) => NO_WORKLOADS.clone(),
                Some(workloads) => workloads
                    .iter()
                    .map(|workload| (workload.kind, Arc::from(workload.name.as_str())))
                    .collect(),
            },
            deletion_policy: wire.deletion_policy.unwrap_or_default(),
            suspend: wire.suspend.unwrap_or_default(),
        }
    }

    /// Returns the region that the workload calls Bedrock from. `None` if the spec is not valid.
    #[must_use]
    pub fn source_region(&self) -> Option<&Region> {
        self.asks.values().find_map(Ask::source_region)
    }

    /// Returns the application profiles that the spec names.
    pub fn applications(&self) -> impl Iterator<Item = &ApplicationName> {
        self.asks.values().filter_map(Ask::application)
    }

    /// Says whether the spec names an application profile.
    #[must_use]
    pub fn names_application(&self) -> bool {
        self.applications().next().is_some()
    }

    /// Returns the classes that the spec names, each as often as it does.
    pub fn classes(&self) -> impl Iterator<Item = &Arc<ClassUse>> {
        self.asks.values().filter_map(|ask| ask.class.as_ref())
    }

    /// Says whether classes say what is asked for, and the spec itself of no model does.
    #[must_use]
    pub fn is_of_classes(&self) -> bool {
        self.asks.values().all(|ask| ask.class.is_some())
    }

    /// Returns what is asked for, as far as it is known and valid.
    pub fn requests(&self) -> impl Iterator<Item = &Arc<Request>> {
        self.asks
            .values()
            .filter_map(|ask| ask.request.as_ref().ok())
    }

    /// Returns the residency limits of this spec and of the class of one of its models.
    pub fn limits<'a>(
        &'a self,
        ask: Option<&'a Ask>,
    ) -> impl Iterator<Item = &'a Result<Limit, LimitError>> {
        let class = ask.and_then(|ask| ask.class.as_ref());
        let class = class.and_then(|class| class.limit.as_deref());
        self.limit.as_deref().into_iter().chain(class)
    }

    /// Puts in what the classes of this spec ask for, for a binding in this namespace. Nothing changes where it names none.
    pub fn apply_class(
        &mut self,
        class: impl Fn(&Arc<str>) -> Result<Arc<Class>, RequestError>,
        namespace: &str,
        labels: Option<&Labels>,
    ) {
        for ask in self.asks.values_mut() {
            let Some(mine) = &ask.class else {
                continue;
            };
            let class = class(&mine.name);
            let class = class.as_deref().map_err(Clone::clone);
            let (mine, request) = mine.applied(class, namespace, labels);
            ask.class = Some(Arc::new(mine));
            ask.request = request.map(Arc::new).map_err(Box::new);
        }
    }

    /// Says whether a target of this spec merges keys into an object that the binding does not own.
    #[must_use]
    pub fn merges(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.policy == CreationPolicy::Merge)
    }

    /// Says whether objects that the binding owns stay when it is deleted.
    #[must_use]
    pub fn orphans(&self) -> bool {
        self.deletion_policy == DeletionPolicy::Orphan
    }

    /// Says whether there will be something to do when the binding is deleted, if its targets are written: merged keys are removed,
    /// and objects that stay are released.
    #[must_use]
    pub fn needs_cleanup(&self) -> bool {
        let owns = |target: &TargetSpec| target.policy == CreationPolicy::Owner;
        self.merges() || (self.orphans() && self.targets.iter().any(owns))
    }
}

/// Returns what the spec says about each of its models.
fn asked(wire: &InferenceProfileBindingSpec) -> Models<AskedModel<'_>> {
    let several = |(name, asked): (Option<&str>, _)| Some((Arc::from(name?), asked));
    match wire.asked().next() {
        Some((None, only)) => Models::One(only),
        _ => Models::several(wire.asked().filter_map(several)),
    }
}

fn parse_ask(asked: &AskedModel<'_>, source_region: Result<&Region, &ParseError>) -> Ask {
    let invalid = |error: ParseError| Ask {
        request: Err(Box::new(error.into())),
        class: None,
    };
    let source_region = match source_region {
        Ok(region) => region.clone(),
        Err(error) => return invalid(error.clone()),
    };
    let application = match asked.application.map(|it| it.name.parse()).transpose() {
        Ok(application) => application,
        Err(error) => return invalid(error),
    };
    if let Some(class) = asked.class {
        let class = ClassUse::new(class, source_region, application);
        return Ask {
            request: Err(Box::new(RequestError::ClassesUnreadable(
                class.name.clone(),
            ))),
            class: Some(Arc::new(class)),
        };
    }
    // The CRD requires both where there is no class.
    let model = asked.model.unwrap_or_default();
    let geography = asked.geography.unwrap_or_default();
    match Terms::parse(model, geography, asked.fallback) {
        Ok(terms) => Ask {
            request: Ok(Arc::new(terms.request(source_region, application))),
            class: None,
        },
        Err(error) => invalid(error),
    }
}

/// What targets hold that say nothing about it themselves.
struct Defaults<'a> {
    binding: &'a str,
    keys: Keys,
    models: Models<()>,
}

fn default_keys(asked: &Models<AskedModel<'_>>) -> Keys {
    match asked {
        Models::One(asked) if asked.application.is_some() => SHARED_APPLICATION_KEYS.clone(),
        Models::One(_) => SHARED_DEFAULT_KEYS.clone(),
        Models::Several(_) => asked
            .iter()
            .flat_map(|(name, asked)| render::default_keys(name, asked.application.is_some()))
            .collect(),
    }
}

fn parse_targets(
    wire: &InferenceProfileBindingSpec,
    binding: &Arc<str>,
    asked: &Models<AskedModel<'_>>,
) -> Arc<[TargetSpec]> {
    let defaults = Defaults {
        binding,
        keys: default_keys(asked),
        models: asked.map(|_, _| ()),
    };
    match wire.targets.as_deref() {
        None | Some([]) => Arc::new([TargetSpec {
            kind: TargetKind::ConfigMap,
            name: binding.clone(),
            policy: CreationPolicy::Owner,
            keys: defaults.keys,
            templates: NO_TEMPLATES.clone(),
            metadata: None,
        }]),
        Some(targets) => targets
            .iter()
            .map(|target| parse_target(target, &defaults))
            .collect(),
    }
}

fn parse_target(wire: &crate::api::Target, defaults: &Defaults<'_>) -> TargetSpec {
    let (keys, templates): (Keys, Templates) = match (wire.preset, &wire.keys, &wire.templates) {
        (Some(Preset::ClaudeCode), ..) => (
            render::claude_code(&defaults.models).into(),
            NO_TEMPLATES.clone(),
        ),
        (Some(Preset::LiteLLM), ..) => (
            NO_KEYS.clone(),
            render::lite_llm(&defaults.models, defaults.binding).into(),
        ),
        (None, None, None) => (defaults.keys.clone(), NO_TEMPLATES.clone()),
        (None, keys, templates) => {
            let keys = keys.iter().flatten().map(|(key, reference)| {
                let source = KeySource::Value {
                    model: reference.model.as_deref().map(Arc::from),
                    value: reference.value,
                };
                (Arc::from(key.as_str()), source)
            });
            let texts = |templates: &BTreeMap<String, String>| {
                templates
                    .iter()
                    .map(|(key, text)| (Arc::from(key.as_str()), Arc::from(text.as_str())))
                    .collect()
            };
            let none = || NO_TEMPLATES.clone();
            (keys.collect(), templates.as_ref().map_or_else(none, texts))
        }
    };
    let policy = wire.creation_policy.unwrap_or_default();
    TargetSpec {
        kind: wire.kind,
        name: Arc::from(wire.name.as_str()),
        policy,
        keys,
        templates,
        metadata: wire
            .metadata
            .as_ref()
            .filter(|_| policy == CreationPolicy::Owner)
            .and_then(TargetMetadata::parse),
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

/// One of the models of a binding: what is asked for, and what is in use for it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The binding.
    pub binding: &'a Binding,
    /// The name of the model. `None` where it is the only one.
    pub name: ModelName<'a>,
    /// What is asked for.
    pub ask: &'a Ask,
    /// What the status has of this name.
    pub in_use: Option<&'a ModelInUse>,
}

impl<'a> Entry<'a> {
    /// Returns the route that is written for this model.
    #[must_use]
    pub fn written(&self) -> Option<&'a Arc<WrittenRoute>> {
        self.in_use?.route.as_ref()
    }

    /// Returns the request.
    #[must_use]
    pub fn request(&self) -> Option<&'a Arc<Request>> {
        self.ask.request.as_ref().ok()
    }
}

impl Binding {
    /// Returns the models that the binding asks for, in the order of their names.
    #[must_use]
    pub fn entries(&self) -> Models<Entry<'_>> {
        self.spec.asks.map(|name, ask| Entry {
            binding: self,
            name,
            ask,
            in_use: self.status.models.get(name.map(|name| &**name)),
        })
    }

    /// Returns what one of the models is called outside of the binding: namespace, name and, among several, its own name.
    #[must_use]
    pub fn model_name(&self, name: ModelName<'_>) -> String {
        match name {
            Some(name) => format!("{}/{name}", self.key),
            None => self.key.to_string(),
        }
    }

    /// Says whether the names of the models in the status are those of the spec.
    #[must_use]
    pub fn has_same_names(&self) -> bool {
        self.status.models.has_names_of(&self.spec.asks)
    }

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
    /// Kind and name, for messages; empty if it is a binding.
    pub description: Arc<str>,
}

impl Controller {
    /// Returns kind and name, for messages.
    #[must_use]
    pub fn described(&self) -> String {
        match &self.binding {
            Some(name) => format!("InferenceProfileBinding {name}"),
            None => self.description.to_string(),
        }
    }
}

/// The keys of an object that one field manager holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// For a field manager of ours the name of the binding, for others the name of the field manager.
    pub holder: Arc<str>,
    /// Fingerprints of keys and values, sorted by key. Those of values are 0 unless the field manager is ours.
    pub keys: Arc<[(u64, u64)]>,
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
    /// Fingerprint of the labels and annotations that the binding that controls the object holds, without the operator's own. 0 where
    /// there are none.
    pub metadata: u64,
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
pub fn fingerprints(kind: TargetKind, content: &BTreeMap<String, String>) -> Arc<[(u64, u64)]> {
    let mut pairs: Box<[(u64, u64)]> = content
        .iter()
        .map(|(key, value)| (fingerprint(key), fingerprint(&wire_value(kind, value))))
        .collect();
    pairs.sort_unstable();
    pairs.into()
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
    /// Whether each of its models can be used, in the order of their names. Empty when that is not checked, `None` when it is not
    /// known.
    pub usability: Vec<Option<Usability>>,
    /// Where requests of the written profiles ran. `None` when that is not looked at.
    pub served: Option<SeenServed>,
    /// What is known about the targets of the spec, in the order of the spec.
    pub targets: Vec<ObservedTarget>,
    /// The objects that this binding controls or holds keys in, whether or not the spec still names them.
    pub held_objects: Vec<HeldObject>,
}
