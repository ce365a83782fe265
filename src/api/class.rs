//! The kind `InferenceProfileClass`.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Fallback, GEOGRAPHY_MESSAGE, GEOGRAPHY_PATTERN, MODEL_ARN_MESSAGE, MODEL_ID_PATTERN,
    MODEL_MESSAGE, NO_ARN_RULE, NO_PROFILE_ID_RULE, PROFILE_ID_MESSAGE, WorkloadKind, limit_entry,
};

const STAGE_NAME_RULE: &str = "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')";
const STAGE_NAME_MESSAGE: &str = "not the name of a stage: expected lower case letters, digits and -, beginning and ending with a letter or digit";
const OPERATOR_RULE: &str =
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)";
const OPERATOR_MESSAGE: &str = "In and NotIn need values, Exists and DoesNotExist take none";

/// Specifies what bindings that name this class get, and who may name it.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "inferenceprofiles.dev",
    version = "v1alpha1",
    kind = "InferenceProfileClass",
    plural = "inferenceprofileclasses",
    shortname = "ipc",
    status = "InferenceProfileClassStatus",
    derive = "PartialEq",
    doc = "Offers a foundation model and a geography to the bindings that name this class. One edit of a class moves all of them.",
    selectable = ".spec.model",
    selectable = ".spec.geography",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
    printcolumn(name = "Geography", type_ = "string", json_path = ".spec.geography"),
    printcolumn(name = "Stages", type_ = "string", json_path = ".status.stages", description = "Names of the stages, in their order"),
    printcolumn(name = "Active", type_ = "string", json_path = ".status.conditions[?(@.type==\"ModelActive\")].status", description = "Whether every model that bindings of the class use is active"),
    printcolumn(name = "Bindings", type_ = "integer", json_path = ".status.bindings", description = "Bindings that name the class"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyBindings", description = "Bindings that name the class and are Ready"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Healthy", type_ = "string", json_path = ".status.conditions[?(@.type==\"RolloutHealthy\")].status", description = "Whether the workloads that were restarted for the class came up", priority = 1),
    printcolumn(name = "Limit", type_ = "string", json_path = ".spec.allowedRegions", description = "Residency limit of the class", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name: the name of a class has at most 63 characters")
)]
#[serde(rename_all = "camelCase")]
pub struct InferenceProfileClassSpec {
    /// Foundation model ID, such as `anthropic.claude-sonnet-5-5`; not an ARN and not a profile ID.
    #[schemars(length(max = 140))]
    #[x_kube(
        validation = Rule::new(NO_ARN_RULE).message(MODEL_ARN_MESSAGE),
        validation = Rule::new(NO_PROFILE_ID_RULE).message(PROFILE_ID_MESSAGE),
        validation = Rule::new(format!("self.startsWith('arn:') || self.matches('{MODEL_ID_PATTERN}')")).message(MODEL_MESSAGE)
    )]
    pub model: String,

    /// Prefix of the profile ID: `us`, `eu`, `apac`, `jp`, `au`, `ca`, `in`, `us-gov`, `global`, or one that AWS adds later.
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(format!("self.matches('{GEOGRAPHY_PATTERN}')")).message(GEOGRAPHY_MESSAGE))]
    pub geography: String,

    /// What may be used if the geography has no profile of the model. There is no fallback unless it is listed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,

    /// Residency limit of every binding that names the class, beside its own, its Namespace's and the operator's. The entries
    /// are those of a binding's `allowedRegions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("items" = limit_entry()))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.size() > 0").message("an empty limit would allow no region: leave allowedRegions out where the class sets no limit")
    )]
    pub allowed_regions: Option<Vec<String>>,

    /// Labels of the Namespaces whose bindings may name the class. Defaults to all Namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<NamespaceSelector>,

    /// What some namespaces get instead: the first stage that selects the Namespace of a binding counts, and none of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub stages: Option<Vec<Stage>>,
}

/// What bindings in some namespaces get instead. What a stage leaves out is as the class has it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Name of the stage.
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new(STAGE_NAME_RULE).message(STAGE_NAME_MESSAGE))]
    pub name: String,

    /// Labels of the Namespaces of this stage.
    pub namespace_selector: NamespaceSelector,

    /// Foundation model ID, in the place of the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    #[x_kube(
        validation = Rule::new(NO_ARN_RULE).message(MODEL_ARN_MESSAGE),
        validation = Rule::new(NO_PROFILE_ID_RULE).message(PROFILE_ID_MESSAGE),
        validation = Rule::new(format!("self.startsWith('arn:') || self.matches('{MODEL_ID_PATTERN}')")).message(MODEL_MESSAGE)
    )]
    pub model: Option<String>,

    /// Geography, in the place of the class's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(format!("self.matches('{GEOGRAPHY_PATTERN}')")).message(GEOGRAPHY_MESSAGE))]
    pub geography: Option<String>,

    /// Fallback, in the place of the whole fallback of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// A label selector, as Kubernetes defines them: all requirements must hold, and one without any selects everything.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels with their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = {"type": "string", "maxLength": 63}))]
    pub match_labels: Option<BTreeMap<String, String>>,

    /// Requirements on labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub match_expressions: Option<Vec<SelectorRequirement>>,
}

/// A requirement on a label.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new(OPERATOR_RULE).message(OPERATOR_MESSAGE))]
pub struct SelectorRequirement {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How the label is compared with the values.
    pub operator: SelectorOperator,
    /// Values of In and `NotIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("items" = {"type": "string", "maxLength": 63}))]
    pub values: Option<Vec<String>>,
}

/// How a label is compared with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are those of Kubernetes")]
pub enum SelectorOperator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

/// What the operator sees of a class.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceProfileClassStatus {
    /// Generation of the spec that this status describes; -1 before the operator has seen the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready and `RolloutHealthy`; `ModelActive` if the life of a model in use is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// Names of the stages, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,

    /// Number of bindings that name the class. Counts are brought up to date every 30 seconds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bindings: Option<i64>,

    /// Number of these bindings that are Ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_bindings: Option<i64>,

    /// Workloads that were restarted for the class and did not come up in time. No further restart for the class begins until
    /// they do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck_workloads: Vec<StuckWorkload>,
}

/// A workload that was restarted and did not come up in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StuckWorkload {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Namespace of the workload.
    pub namespace: String,
    /// Name of the workload.
    pub name: String,
}
