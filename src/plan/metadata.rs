//! Labels and annotations that a spec gives a target, and the fingerprint by which they are compared with those of the object.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use crate::api::{self, names};

/// Key -> value.
type Entries = Box<[(Arc<str>, Arc<str>)]>;

/// The labels and annotations of a target, without those of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetMetadata {
    /// Labels, sorted by key.
    pub labels: Entries,
    /// Annotations, sorted by key.
    pub annotations: Entries,
    /// Fingerprint of both; see [`fingerprint`].
    pub fingerprint: u64,
}

impl TargetMetadata {
    /// Returns the labels and annotations of a spec. Returns `None` when there are none. Keys of the operator's own are left out,
    /// which only a CRD that is not of this version lets through.
    #[must_use]
    pub fn parse(wire: &api::TargetMetadata) -> Option<Arc<Self>> {
        let entries = |map: &Option<BTreeMap<String, String>>| -> Entries {
            let all = map.iter().flatten();
            all.filter(|(key, _)| !names::is_reserved(key))
                .map(|(key, value)| (Arc::from(key.as_str()), Arc::from(value.as_str())))
                .collect()
        };
        let (labels, annotations) = (entries(&wire.labels), entries(&wire.annotations));
        if labels.is_empty() && annotations.is_empty() {
            return None;
        }
        Some(Arc::new(Self {
            fingerprint: fingerprint(&held(&labels), &held(&annotations)),
            labels,
            annotations,
        }))
    }
}

/// Returns the fingerprint of what a target is to have. Returns 0 where it is nothing.
#[must_use]
pub fn fingerprint_of(metadata: Option<&TargetMetadata>) -> u64 {
    metadata.map_or(0, |metadata| metadata.fingerprint)
}

/// A key with its value. `None` when it has none.
pub type Held<'a> = (&'a str, Option<&'a str>);

fn held(entries: &Entries) -> Vec<Held<'_>> {
    let entries = entries.iter();
    entries
        .map(|(key, value)| (key.as_ref(), Some(value.as_ref())))
        .collect()
}

/// Returns a hash of labels and annotations, each sorted by key. Returns 0 where there are none. It can be compared only with hashes
/// from the same process.
#[must_use]
pub fn fingerprint(labels: &[Held<'_>], annotations: &[Held<'_>]) -> u64 {
    if labels.is_empty() && annotations.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    (labels, annotations).hash(&mut hasher);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(wire: serde_json::Value) -> Option<Arc<TargetMetadata>> {
        TargetMetadata::parse(&serde_json::from_value(wire).expect("metadata"))
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        for nothing in [
            json!({}),
            json!({"labels": null}),
            json!({"labels": {}, "annotations": {}}),
            json!({"labels": {names::MANAGED_LABEL: "false"}}),
            json!({"annotations": {names::ALLOW_MERGE_ANNOTATION: "x", "a.Inferenceprofiles.dev/b": "x"}}),
        ] {
            assert_eq!(parsed(nothing.clone()), None, "{nothing}");
        }
        assert_eq!(fingerprint(&[], &[]), 0);
    }

    #[test]
    fn a_fingerprint_tells_every_difference() {
        let all = [
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"a": "2"}}),
            json!({"labels": {"a": ""}}),
            json!({"labels": {"b": "1"}}),
            json!({"annotations": {"a": "1"}}),
            json!({"labels": {"a": "1"}, "annotations": {"a": "1"}}),
            json!({"labels": {"a": "1", "b": "1"}}),
        ];
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate() {
                let print =
                    |wire: &serde_json::Value| parsed(wire.clone()).expect("some").fingerprint;
                assert_eq!(print(one) == print(other), at == other_at, "{one} {other}");
            }
        }
        assert_ne!(
            fingerprint(&[("a", None)], &[]),
            fingerprint(&[("a", Some(""))], &[])
        );
    }

    #[test]
    fn keys_of_ours_are_left_out() {
        let mixed = parsed(json!({"labels": {names::MANAGED_LABEL: "false", "team": "a"}}));
        assert_eq!(mixed, parsed(json!({"labels": {"team": "a"}})));
    }
}
