//! Labels and annotations that a target has beside those of the operator.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Keys of labels and annotations
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
const KEYS_RULE: &str = "self.all(k, k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$') && k.matches('^([^/]{1,253}/)?[^/]+$'))";
const KEYS_MESSAGE: &str = "not a valid key: expected a name of at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit, with or without a DNS name and / before it";
const OURS_RULE: &str = "self.all(k, !k.matches('^([^/]*[.])?inferenceprofiles[.]dev/'))";
const OURS_MESSAGE: &str =
    "labels and annotations of inferenceprofiles.dev are set by the operator: give others";
const LABEL_RULE: &str = "self.matches('^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$')";
const LABEL_MESSAGE: &str = "not a valid label: expected at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit";

/// Labels and annotations that the operator writes with the values, for those who select objects by them.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMetadata {
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = label()))]
    #[x_kube(
        validation = Rule::new(KEYS_RULE).message(KEYS_MESSAGE),
        validation = Rule::new(OURS_RULE).message(OURS_MESSAGE)
    )]
    pub labels: Option<BTreeMap<String, String>>,

    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 1024}))]
    #[x_kube(
        validation = Rule::new(KEYS_RULE).message(KEYS_MESSAGE),
        validation = Rule::new(OURS_RULE).message(OURS_MESSAGE)
    )]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Returns the schema of a label's value.
fn label() -> Value {
    json!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{"rule": LABEL_RULE, "message": LABEL_MESSAGE}],
    })
}
