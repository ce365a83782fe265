//! Reduces objects of a watch to what the cache keeps. Everything else is dropped while decoding: `ObjectMeta`, unknown
//! fields, and every value that is not ours.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    FieldsV1, ManagedFieldsEntry, ObjectMeta, OwnerReference, Time,
};
use kube::Resource;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    api::{
        InferenceProfileBinding, InferenceProfileBindingSpec, InferenceProfileBindingStatus,
        InferenceProfileClass, InferenceProfileClassSpec, InferenceProfileClassStatus, names,
    },
    class::{Class, Labels},
    plain::{LONGEST_QUOTE, plain},
    plan::{
        identity::ObjectKey,
        metadata::{self, Held},
        observed::{Binding, Controller, Holding, Spec, TargetView, fingerprint},
        status::Status,
    },
    residency::NamespaceLimit,
    types::Region,
};

use super::KnownClass;

/// Returns the resource version as a number, by which the versions of one object can be ordered. Returns 0, which is older
/// than every version, if there is none.
#[must_use]
pub fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

/// Metadata as they are sent, without what no decision asks for. `M` is what is read of the field managers: as trees they would be
/// most of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReducedMeta<M> {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    annotations: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<M>,
}

impl<M> ReducedMeta<M> {
    fn into_meta(self, managers: impl FnOnce(M) -> Option<Vec<ManagedFieldsEntry>>) -> ObjectMeta {
        ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            annotations: self.annotations,
            labels: self.labels,
            finalizers: self.finalizers,
            owner_references: self.owner_references,
            managed_fields: self.managed_fields.and_then(managers),
            ..ObjectMeta::default()
        }
    }
}

/// A field manager, and the fields of data, labels and annotations that it holds.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReducedManager {
    manager: Option<String>,
    fields_v1: Option<HeldFields>,
}

/// Fields of a map. Each is sent with an empty object.
type Fields = BTreeMap<String, Value>;

#[derive(Deserialize)]
struct HeldFields {
    #[serde(rename = "f:data", default)]
    data: Option<Fields>,
    #[serde(rename = "f:metadata", default)]
    metadata: Option<HeldMetadata>,
}

#[derive(Deserialize)]
struct HeldMetadata {
    #[serde(rename = "f:labels", default)]
    labels: Option<Fields>,
    #[serde(rename = "f:annotations", default)]
    annotations: Option<Fields>,
}

/// Reads metadata without field managers.
fn without_managers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    ReducedMeta::<IgnoredAny>::deserialize(deserializer).map(|meta| meta.into_meta(|_| None))
}

/// Reads metadata with the field managers of `data`, and with those of ours that hold labels and annotations of a spec.
fn with_managers_of_data<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ObjectMeta, D::Error> {
    let meta = ReducedMeta::<Vec<ReducedManager>>::deserialize(deserializer)?;
    Ok(meta.into_meta(|managers| Some(managers.into_iter().filter_map(reduced_manager).collect())))
}

fn reduced_manager(reduced: ReducedManager) -> Option<ManagedFieldsEntry> {
    let held = reduced.fields_v1?;
    let is_ours = || {
        let manager = reduced.manager.as_deref().unwrap_or_default();
        names::binding_of_manager(manager).is_some()
    };
    let mut fields = Map::new();
    if let Some(data) = held.data {
        fields.insert("f:data".to_owned(), as_tree(data));
    }
    if let Some(metadata) = held.metadata.filter(|_| is_ours()) {
        let of_spec = |fields: Option<Fields>| {
            let mut fields = fields.unwrap_or_default();
            fields.retain(|field, _| {
                let key = field.strip_prefix("f:");
                key.is_some_and(|key| !names::is_reserved(key))
            });
            fields
        };
        let (labels, annotations) = (of_spec(metadata.labels), of_spec(metadata.annotations));
        if !labels.is_empty() || !annotations.is_empty() {
            let metadata = [
                ("f:labels".to_owned(), as_tree(labels)),
                ("f:annotations".to_owned(), as_tree(annotations)),
            ];
            let metadata = Value::Object(metadata.into_iter().collect());
            fields.insert("f:metadata".to_owned(), metadata);
        }
    }
    (!fields.is_empty()).then(|| ManagedFieldsEntry {
        manager: reduced.manager.clone(),
        fields_v1: Some(FieldsV1(Value::Object(fields))),
        ..ManagedFieldsEntry::default()
    })
}

fn as_tree(fields: Fields) -> Value {
    let fields = fields.into_keys().map(|field| (field, Value::Null));
    Value::Object(fields.collect())
}

/// The answer to a write, without field managers.
#[derive(Debug, Deserialize)]
pub struct WrittenObject {
    /// The metadata.
    #[serde(default, deserialize_with = "without_managers")]
    pub metadata: ObjectMeta,
}

/// The answer to a write of a target, with the field managers of its data.
#[derive(Debug, Deserialize)]
pub struct WrittenTarget {
    /// The metadata.
    #[serde(default, deserialize_with = "with_managers_of_data")]
    pub metadata: ObjectMeta,
}

/// A binding as the watch sends it. A spec or status that cannot be read does not fail the watch: that one object is
/// reported, and the others are processed.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedBinding {
    #[serde(default, deserialize_with = "without_managers")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Lenient<InferenceProfileBindingSpec>>,
    #[serde(default)]
    status: Option<Lenient<InferenceProfileBindingStatus>>,
}

/// A value that may be unreadable.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Lenient<T> {
    Readable(Box<T>),
    Unreadable(serde::de::IgnoredAny),
}

impl WatchedBinding {
    /// Returns the object's name.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            namespace: self
                .metadata
                .namespace
                .as_deref()
                .unwrap_or_default()
                .into(),
            name: self.metadata.name.as_deref().unwrap_or_default().into(),
        }
    }

    /// Returns the source region that the spec names. `None` if it names none.
    #[must_use]
    pub fn named_region(&self) -> Option<Region> {
        let Some(Lenient::Readable(spec)) = &self.spec else {
            return None;
        };
        spec.source_region.as_ref()?.parse().ok()
    }

    /// Returns the source region of the written value, as the status has it.
    #[must_use]
    pub fn written_region(&self) -> Option<Region> {
        let Some(Lenient::Readable(status)) = &self.status else {
            return None;
        };
        let (_, profile) = status.profiles().next()?;
        profile.source_region.parse().ok()
    }

    /// Returns the binding and its version, or `None` if its spec cannot be read.
    #[must_use]
    pub fn into_binding(self, default_region: &Region) -> Option<(Binding, u64)> {
        let key = self.key();
        let Some(Lenient::Readable(spec)) = self.spec else {
            return None;
        };
        let version = version(&self.metadata);
        let meta = self.metadata;
        let status = match &self.status {
            Some(Lenient::Readable(status)) => Status::from_wire(status, &key.namespace),
            _ => Status::default(),
        };
        let binding = Binding {
            uid: meta.uid.unwrap_or_default().into(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.map_or(0, |time| time.0.as_second()),
            deleting: meta.deletion_timestamp.is_some(),
            finalizer: meta
                .finalizers
                .iter()
                .flatten()
                .any(|name| name == names::MERGE_FINALIZER),
            refresh: meta
                .annotations
                .as_ref()
                .and_then(|annotations| annotations.get(names::REFRESH_ANNOTATION))
                .map(|value| fingerprint(value)),
            spec: Spec::parse(&spec, &key.name, default_region),
            status,
            key,
        };
        Some((binding, version))
    }
}

/// A class as the watch sends it.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedClass {
    #[serde(default, deserialize_with = "without_managers")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Option<Lenient<InferenceProfileClassSpec>>,
    #[serde(default)]
    status: Option<Lenient<InferenceProfileClassStatus>>,
}

impl WatchedClass {
    /// Returns the class's name.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.metadata.name.as_deref().unwrap_or_default().into()
    }

    /// Returns the class and its version, or `None` if its spec cannot be read.
    #[must_use]
    pub fn into_class(self) -> Option<(KnownClass, u64)> {
        let name = self.name();
        let Some(Lenient::Readable(spec)) = self.spec else {
            return None;
        };
        let known = KnownClass {
            uid: self.metadata.uid.as_deref().unwrap_or_default().into(),
            generation: self.metadata.generation.unwrap_or_default(),
            class: Arc::new(Class::parse(&name, &spec)),
            status: match self.status {
                Some(Lenient::Readable(status)) => *status,
                _ => InferenceProfileClassStatus::default(),
            },
        };
        Some((known, version(&self.metadata)))
    }
}

/// Implements [`Resource`] for a reduced form of a kind, so that requests go to that kind's path.
macro_rules! resource_of {
    ([$($generics:tt)*] $reduced:ty => $kind:ty) => {
        impl<$($generics)*> Resource for $reduced {
            type DynamicType = ();
            type Scope = <$kind as Resource>::Scope;

            fn kind((): &()) -> Cow<'_, str> {
                <$kind>::kind(&())
            }
            fn group((): &()) -> Cow<'_, str> {
                <$kind>::group(&())
            }
            fn version((): &()) -> Cow<'_, str> {
                <$kind>::version(&())
            }
            fn plural((): &()) -> Cow<'_, str> {
                <$kind>::plural(&())
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

/// A Namespace as the watch sends it.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedNamespace {
    #[serde(default, deserialize_with = "without_managers")]
    metadata: ObjectMeta,
}

impl From<ObjectMeta> for WatchedNamespace {
    fn from(metadata: ObjectMeta) -> Self {
        Self { metadata }
    }
}

impl WatchedNamespace {
    /// Returns the Namespace's name.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.metadata.name.as_deref().unwrap_or_default().into()
    }

    /// Returns the Namespace's name and the residency limit that it sets.
    #[must_use]
    pub fn limit(&self) -> (Arc<str>, NamespaceLimit) {
        if self.metadata.deletion_timestamp.is_some() {
            return (self.name(), NamespaceLimit::Terminating);
        }
        let annotations = self.metadata.annotations.as_ref();
        let annotation =
            annotations.and_then(|annotations| annotations.get(names::ALLOWED_REGIONS_ANNOTATION));
        (
            self.name(),
            NamespaceLimit::of_annotation(annotation.map(String::as_str)),
        )
    }

    /// Returns the labels that selectors of classes look at.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let labels = self.metadata.labels.iter().flatten();
        Labels::new(labels.map(|(key, value)| (key.as_str(), value.as_str())))
    }
}

resource_of!([] WatchedNamespace => Namespace);
resource_of!([] WatchedBinding => InferenceProfileBinding);
resource_of!([] WatchedClass => InferenceProfileClass);
resource_of!([K: Resource<DynamicType = ()>] WatchedTarget<K> => K);

/// A `ConfigMap` or Secret as the watch sends it. Its values are replaced by fingerprints while they are decoded.
#[derive(Debug, Deserialize)]
#[serde(bound = "")]
pub struct WatchedTarget<K> {
    #[serde(default, deserialize_with = "with_managers_of_data")]
    metadata: ObjectMeta,
    #[serde(default)]
    data: Option<BTreeMap<String, Fingerprint>>,
    #[serde(skip)]
    kind: PhantomData<K>,
}

impl<K> Clone for WatchedTarget<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            data: self.data.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> WatchedTarget<K> {
    /// Returns namespace and name.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        (
            self.metadata.namespace.as_deref().unwrap_or_default(),
            self.metadata.name.as_deref().unwrap_or_default(),
        )
    }

    /// Returns the form that the cache keeps, and its version.
    #[must_use]
    pub fn into_view(self) -> (TargetView, u64) {
        let data = self.data.unwrap_or_default();
        let view = target_view(&self.metadata, |key| data.get(key).map(|value| value.0));
        (view, version(&self.metadata))
    }
}

/// The fingerprint of a text that is not kept.
#[derive(Debug, Clone, Copy)]
struct Fingerprint(u64);

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Fingerprint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Fingerprint, E> {
                Ok(Fingerprint(fingerprint(text)))
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<Fingerprint, E> {
                Err(E::custom("null is not a string"))
            }
        }
        deserializer.deserialize_str(Text).map_err(D::Error::custom)
    }
}

/// Reads from an object's metadata who owns the object and who holds which keys. `value` returns the fingerprint of a key's
/// value; a key without one counts as drifted.
#[must_use]
pub fn target_view(meta: &ObjectMeta, value: impl Fn(&str) -> Option<u64>) -> TargetView {
    let mut ours: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    let mut foreign: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for entry in meta.managed_fields.iter().flatten() {
        let manager = entry.manager.as_deref().unwrap_or_default();
        for key in held_keys(entry) {
            match names::binding_of_manager(manager) {
                Some(binding) => ours
                    .entry(binding)
                    .or_default()
                    .push((fingerprint(key), value(key).unwrap_or_default())),
                None => foreign
                    .entry(manager)
                    .or_default()
                    .push((fingerprint(key), 0)),
            }
        }
    }
    let annotations = meta.annotations.as_ref();
    let labels = meta.labels.as_ref();
    TargetView {
        uid: meta.uid.as_deref().unwrap_or_default().into(),
        labelled: labels
            .and_then(|labels| labels.get(names::MANAGED_LABEL))
            .is_some_and(|value| value == "true"),
        controller: controller(meta),
        allow_merge: annotations
            .and_then(|annotations| annotations.get(names::ALLOW_MERGE_ANNOTATION))
            .map(|value| Arc::from(value.as_str())),
        ours: holdings(ours),
        foreign: holdings(foreign),
        metadata: held_metadata(meta),
    }
}

/// Returns the fingerprint of the labels and annotations that the binding that controls the object holds. Objects of others have
/// none.
fn held_metadata(meta: &ObjectMeta) -> u64 {
    let Some(binding) = controlling(meta).filter(|owner| is_binding(owner)) else {
        return 0;
    };
    let mut of_binding = meta.managed_fields.iter().flatten().filter(|entry| {
        let manager = entry.manager.as_deref().unwrap_or_default();
        names::binding_of_manager(manager) == Some(&binding.name)
    });
    let Some(fields) = of_binding.find_map(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.and_then(|fields| fields.0.get("f:metadata"))
    }) else {
        return 0;
    };
    metadata::fingerprint(
        &held_entries(&fields["f:labels"], meta.labels.as_ref()),
        &held_entries(&fields["f:annotations"], meta.annotations.as_ref()),
    )
}

/// Returns the labels, or the annotations, that `fields` lists, without those of the operator, sorted by key.
fn held_entries<'a>(
    fields: &'a Value,
    values: Option<&'a BTreeMap<String, String>>,
) -> Vec<Held<'a>> {
    let keys = fields.as_object().into_iter().flat_map(Map::keys);
    let keys = keys.filter_map(|key| key.strip_prefix("f:"));
    let mut held: Vec<Held<'a>> = keys
        .filter(|key| !names::is_reserved(key))
        .map(|key| {
            let value = values.and_then(|values| values.get(key));
            (key, value.map(String::as_str))
        })
        .collect();
    held.sort_unstable();
    held
}

/// Returns the keys of `data` that an entry of `managedFields` lists.
fn held_keys(entry: &ManagedFieldsEntry) -> impl Iterator<Item = &str> {
    let data = entry
        .fields_v1
        .as_ref()
        .and_then(|fields| fields.0.get("f:data"))
        .and_then(|data| data.as_object());
    data.into_iter()
        .flat_map(|keys| keys.keys())
        .filter_map(|key| key.strip_prefix("f:"))
}

fn holdings(by_holder: BTreeMap<&str, Vec<(u64, u64)>>) -> Box<[Holding]> {
    by_holder
        .into_iter()
        .map(|(holder, mut keys)| {
            keys.sort_unstable();
            keys.dedup_by_key(|(key, _)| *key);
            Holding {
                holder: holder.into(),
                keys: keys.into(),
            }
        })
        .collect()
}

/// Returns the owner reference of the controller.
fn controlling(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = meta.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// Says whether an owner is a binding.
fn is_binding(owner: &OwnerReference) -> bool {
    owner.kind == "InferenceProfileBinding"
        && owner.api_version.split('/').next() == Some(names::GROUP)
}

fn controller(meta: &ObjectMeta) -> Option<Controller> {
    let owner = controlling(meta)?;
    let is_binding = is_binding(owner);
    Some(Controller {
        uid: owner.uid.as_str().into(),
        binding: is_binding.then(|| owner.name.as_str().into()),
        description: if is_binding {
            Arc::default()
        } else {
            plain(&format!("{} {}", owner.kind, owner.name), LONGEST_QUOTE).into()
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    fn region() -> Region {
        "eu-west-1".parse().expect("region")
    }

    #[test]
    fn an_unreadable_spec_affects_only_its_own_object() {
        let metadata = json!({"name": "a", "namespace": "n"});
        for broken in [
            json!({"metadata": metadata, "spec": {"model": 7}}),
            json!({"metadata": metadata, "spec": "none"}),
            json!({"metadata": metadata}),
        ] {
            let broken: WatchedBinding = serde_json::from_value(broken).expect("the envelope");
            assert_eq!(broken.key().to_string(), "n/a");
            assert!(broken.into_binding(&region()).is_none());
        }
    }

    #[test]
    fn an_unreadable_status_is_replaced() {
        let odd: WatchedBinding = serde_json::from_value(json!({
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 2, "resourceVersion": "7"},
            "spec": {"model": "a.b", "geography": "eu"},
            "status": {"targets": "none"},
        }))
        .expect("the envelope");
        let (binding, version) = odd.into_binding(&region()).expect("a binding");
        assert_eq!((version, binding.status), (7, Status::default()));
    }

    #[test]
    fn a_target_keeps_the_holders_of_its_keys_and_no_value() {
        let object: WatchedTarget<ConfigMap> = serde_json::from_value(json!({
            "metadata": {
                "name": "t", "namespace": "n", "uid": "u", "resourceVersion": "9",
                "labels": {"inferenceprofiles.dev/managed": "true"},
                "annotations": {"inferenceprofiles.dev/allow-merge": "chat"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "x", "controller": true}],
                "managedFields": [
                    {"manager": "inferenceprofiles.dev:chat", "operation": "Apply", "fieldsV1": {"f:data": {"f:MODEL": {}}}},
                    {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {".": {}, "f:THEIRS": {}}}},
                ],
            },
            "data": {"MODEL": "eu.x", "THEIRS": "a password"},
        }))
        .expect("an object");
        assert!(!format!("{object:?}").contains("password"));
        let (view, version) = object.into_view();
        assert_eq!(version, 9);
        assert!(view.labelled);
        assert_eq!(view.foreign_holder("THEIRS"), Some("kubectl"));
        assert_eq!(view.foreign_holder("MODEL"), None);
        let content = BTreeMap::from([("MODEL".to_owned(), "eu.x".to_owned())]);
        assert!(view.holds("chat", crate::api::TargetKind::ConfigMap, &content));
        assert_eq!(
            view.controller.expect("controller").description.as_ref(),
            "Deployment d"
        );
    }

    #[test]
    fn of_labels_and_annotations_those_count_that_the_controlling_binding_holds() {
        let view = |owner: &str, labels: serde_json::Value, held: serde_json::Value| {
            let object: WatchedTarget<ConfigMap> = serde_json::from_value(json!({
                "metadata": {
                    "name": "t", "namespace": "n",
                    "labels": labels,
                    "annotations": {"note": "n"},
                    "ownerReferences": [{
                        "apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": owner, "name": "chat", "uid": "x", "controller": true,
                    }],
                    "managedFields": [
                        {"manager": "inferenceprofiles.dev:other", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}},
                        {"manager": "inferenceprofiles.dev:chat", "fieldsV1": {"f:metadata": held}},
                        {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
                    ],
                },
            }))
            .expect("an object");
            object.into_view().0.metadata
        };
        let binding = "InferenceProfileBinding";
        let ours = names::MANAGED_LABEL;
        let only_ours = json!({"f:labels": {".": {}, format!("f:{ours}"): {}}});
        let all = json!({ours: "true", "team": "a", "x": "y"});
        assert_eq!(view(binding, all.clone(), only_ours), 0);
        assert_eq!(view(binding, all.clone(), json!({})), 0);
        let team = json!({"f:labels": {format!("f:{ours}"): {}, "f:team": {}}});
        let of_spec = |wire: serde_json::Value| {
            let wire = serde_json::from_value(wire).expect("metadata");
            metadata::TargetMetadata::parse(&wire)
                .expect("some")
                .fingerprint
        };
        assert_eq!(
            view(binding, all.clone(), team.clone()),
            of_spec(json!({"labels": {"team": "a"}}))
        );
        assert_ne!(
            view(binding, json!({"team": "b"}), team.clone()),
            of_spec(json!({"labels": {"team": "a"}}))
        );
        assert_eq!(view("Deployment", all.clone(), team), 0, "not a binding's");
        let both = json!({"f:labels": {"f:x": {}, "f:team": {}}, "f:annotations": {"f:note": {}}});
        assert_eq!(
            view(binding, all, both),
            of_spec(json!({"labels": {"team": "a", "x": "y"}, "annotations": {"note": "n"}}))
        );
    }
}
