//! The API group `inferenceprofiles.dev`: the kinds `InferenceProfileBinding` and `InferenceProfileClass`, their conditions and
//! their names.
//!
//! The types mirror the wire format and decide nothing. The validation rules of the apiserver are next to the fields that
//! they check, so that the CRD and the code cannot diverge.

mod application;
mod class;
pub mod condition;
mod crd;
mod models;
pub mod names;
mod target_metadata;
pub mod validation;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    glob::MOST_STARS,
    route::{Destinations, Invocation, Route},
    types::{GEOGRAPHY_PATTERN, MODEL_ID_PATTERN, ModelId, ON_DEMAND, ParseError, REGION_PATTERN},
};

pub use application::Application;
pub use class::{
    InferenceProfileClass, InferenceProfileClassSpec, InferenceProfileClassStatus,
    NamespaceSelector, SelectorOperator, SelectorRequirement, Stage, StuckWorkload,
};
pub use crd::{binding_definition, class_definition};
pub use models::{
    AskedModel, NamedModel, NamedModelStatus, UnknownValue, ValueReference, written_names,
};
use models::{MODEL_NAMES_MESSAGE, MODEL_NAMES_RULE};
pub use target_metadata::TargetMetadata;

/// DNS subdomain names (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
const OBJECT_NAME_RULE: &str =
    "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')";
const OBJECT_NAME_MESSAGE: &str = "not an object name: expected lower case letters, digits, - and ., beginning and ending with a letter or digit";
/// Keys of `data` (<https://kubernetes.io/docs/concepts/configuration/configmap/#configmap-object>).
const KEYS_RULE: &str = "self.all(k, k.size() <= 253 && k.matches('^[-._a-zA-Z0-9]+$') && k != '.' && !k.startsWith('..'))";
const KEYS_MESSAGE: &str = "not a valid key: expected letters, digits, -, _ and ., at most 253 of them, neither . alone nor beginning with ..";
const NO_ARN_RULE: &str = "!self.startsWith('arn:')";
const MODEL_ARN_MESSAGE: &str =
    "give the foundation model ID instead of an ARN: the part after foundation-model/";
const NO_PROFILE_ID_RULE: &str = "!self.matches('^(us|us-gov|eu|apac|jp|au|ca|in|global)[.]')";
const PROFILE_ID_MESSAGE: &str = "give the foundation model ID instead of a profile ID: leave out the geography before the provider, as in anthropic.claude-sonnet-5-5";
const MODEL_MESSAGE: &str = "not a foundation model ID: expected PROVIDER.MODEL in lower case, such as anthropic.claude-sonnet-5-5";
const GEOGRAPHY_MESSAGE: &str =
    "not a geography: expected the prefix of a profile ID, such as us, eu, apac, jp or global";

/// A binding says what it asks for itself, or names a class: never both.
const ONE_WAY_RULE: &str =
    "!has(self.className) || !(has(self.model) || has(self.geography) || has(self.fallback))";
const ONE_WAY_MESSAGE: &str = "className takes the place of model, geography and fallback: leave these out, or leave className out";
const SOME_WAY_RULE: &str = "has(self.className) || (has(self.model) && has(self.geography))";
const SOME_WAY_MESSAGE: &str =
    "model and geography are required: give both, or className in their place";

/// A binding asks for one model, or for several by name.
const SEVERAL_RULE: &str = "!has(self.models) || !(has(self.className) || has(self.model) || has(self.geography) || has(self.fallback) || has(self.application))";
const SEVERAL_MESSAGE: &str = "models takes the place of className, model, geography, fallback and application: give these to each model, or leave models out";
const ONE_OR_SEVERAL_MESSAGE: &str =
    "model and geography are required: give both, or className or models in their place";
/// With several models, each key says whose value it has.
const ALONE_RULE: &str = "has(self.models) || !has(self.targets) || self.targets.all(t, !has(t.keys) || t.keys.all(k, !t.keys[k].contains('.')))";
const ALONE_MESSAGE: &str = "a key asks for a value of a named model, and there is no spec.models: give the name of the value alone, such as ProfileID";
const NAMED_RULE: &str = "!has(self.models) || !has(self.targets) || self.targets.all(t, !has(t.keys) || t.keys.all(k, self.models.exists(m, t.keys[k].startsWith(m + '.'))))";
const NAMED_MESSAGE: &str = "with models, each key says of which one it has the value: give the name of a model in spec.models first, as in haiku.ProfileID";
const TIERS_RULE: &str = "!has(self.models) || !has(self.targets) || self.targets.all(t, !has(t.preset) || t.preset != 'ClaudeCode') || self.models.exists(m, m in ['default', 'sonnet', 'opus', 'haiku', 'fable'])";
const TIERS_MESSAGE: &str = "the preset ClaudeCode reads the models default, sonnet, opus, haiku and fable: give one of spec.models one of these names";

/// Specifies which inference profile workloads of this namespace use, and where its ID is written.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "inferenceprofiles.dev",
    version = "v1alpha1",
    kind = "InferenceProfileBinding",
    plural = "inferenceprofilebindings",
    shortname = "ipb",
    category = "bedrock",
    namespaced,
    status = "InferenceProfileBindingStatus",
    derive = "PartialEq",
    doc = "Names a foundation model and a geography. The operator finds the matching system-defined Amazon Bedrock inference profile and writes its ID into ConfigMaps or Secrets.",
    label("servicebinding.io/provisioned-service", "true"),
    selectable = ".spec.model",
    selectable = ".spec.geography",
    selectable = ".spec.className",
    // A path with * looks into spec and status alike: what is in use stands first, then what is asked for.
    printcolumn(name = "Model", type_ = "string", json_path = ".*['className','model','modelNames']", description = "Foundation model or InferenceProfileClass that the binding asks for, or the names of several models"),
    printcolumn(name = "Geography", type_ = "string", json_path = ".*['profile.geography','geography']", description = "Geography of the profile in use, or the one asked for"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Profile", type_ = "string", json_path = ".status.profile.id", description = "ID of the inference profile in use", priority = 1),
    printcolumn(name = "Class", type_ = "string", json_path = ".spec.className", description = "InferenceProfileClass that the binding names", priority = 1),
    printcolumn(name = "In Use", type_ = "string", json_path = ".status.profile.foundationModelID", description = "Foundation model whose values are written", priority = 1),
    printcolumn(name = "Source", type_ = "string", json_path = ".status.profile.sourceRegion", description = "Region that workloads call Bedrock from", priority = 1),
    printcolumn(name = "Destinations", type_ = "string", json_path = ".status.profile['destinations','destinationRegions']", description = "Regions that may serve a request", priority = 1),
    printcolumn(name = "Limit", type_ = "string", json_path = ".status.limitedBy", description = "Who set the residency limit that forbids what was asked for", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name: the name of a binding has at most 63 characters")
)]
#[x_kube(
    validation = Rule::new(ONE_WAY_RULE).message(ONE_WAY_MESSAGE),
    validation = Rule::new(SEVERAL_RULE).message(SEVERAL_MESSAGE),
    validation = Rule::new(format!("has(self.models) || {SOME_WAY_RULE}")).message(ONE_OR_SEVERAL_MESSAGE),
    validation = Rule::new(ALONE_RULE).message(ALONE_MESSAGE),
    validation = Rule::new(NAMED_RULE).message(NAMED_MESSAGE),
    validation = Rule::new(TIERS_RULE).message(TIERS_MESSAGE)
)]
#[serde(rename_all = "camelCase")]
pub struct InferenceProfileBindingSpec {
    /// Several models by name, in the place of model, geography, fallback, className and application. Their values are written
    /// together or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(
        validation = Rule::new("self.size() > 0").message("no model is given: name at least one"),
        validation = Rule::new(MODEL_NAMES_RULE).message(MODEL_NAMES_MESSAGE)
    )]
    pub models: Option<BTreeMap<String, NamedModel>>,

    /// Name of an `InferenceProfileClass`, in the place of model, geography and fallback: the class says what they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new(OBJECT_NAME_RULE).message(OBJECT_NAME_MESSAGE))]
    pub class_name: Option<String>,

    /// Foundation model ID, such as `anthropic.claude-sonnet-5-5`; not an ARN and not a profile ID. Required without className.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 140))]
    #[x_kube(
        validation = Rule::new(NO_ARN_RULE).message(MODEL_ARN_MESSAGE),
        validation = Rule::new(NO_PROFILE_ID_RULE).message(PROFILE_ID_MESSAGE),
        validation = Rule::new(format!("self.startsWith('arn:') || self.matches('{MODEL_ID_PATTERN}')")).message(MODEL_MESSAGE)
    )]
    pub model: Option<String>,

    /// Prefix of the profile ID: `us`, `eu`, `apac`, `jp`, `au`, `ca`, `in`, `us-gov`, `global`, or one that AWS adds later.
    /// Required without className.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(format!("self.matches('{GEOGRAPHY_PATTERN}')")).message(GEOGRAPHY_MESSAGE))]
    pub geography: Option<String>,

    /// What may be used if the geography has no profile of the model. There is no fallback unless it is listed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,

    /// Application inference profile that workloads invoke instead of the system-defined one, for example because its tags
    /// attribute costs. It is found by its name, and never made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,

    /// Region that the workload calls Bedrock from. Defaults to the operator's `--region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(format!("self.matches('{REGION_PATTERN}')")).message("not an AWS region name such as eu-west-1"))]
    pub source_region: Option<String>,

    /// Residency limit: every region that a request can reach, the source region included, must match one of these
    /// region names, patterns with at most 4 `*`, or sets (`@eu @eea @uk @ch @us @ca @jp @au @in`). A global profile
    /// satisfies only `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("items" = limit_entry()))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self.size() > 0").message("an empty limit would allow no region: leave allowedRegions out where the binding sets no limit")
    )]
    pub allowed_regions: Option<Vec<String>>,

    /// IAM role that the operator assumes for discovery. The operator must allow it.
    #[serde(default, rename = "roleARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600))]
    #[x_kube(validation = Rule::new("self.matches('^arn:aws(-[a-z]{1,8}){0,2}:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$')").message("not the ARN of an IAM role: expected arn:PARTITION:iam::ACCOUNT:role/NAME"))]
    pub role_arn: Option<String>,

    /// Objects that the values are written to. Defaults to one `ConfigMap` with the name of the binding, also if the list is
    /// empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub targets: Option<Vec<Target>>,

    /// Workloads that restart when, and only when, a written value changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub rollout: Option<Vec<WorkloadReference>>,

    /// What becomes of the objects that the binding owns when it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// While true, targets and workloads are left unchanged. Residency limits and deletion still take effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

impl InferenceProfileBindingSpec {
    /// Returns what is asked for: of the only model, which has no name, or of each of several.
    pub fn asked(&self) -> impl Iterator<Item = (Option<&str>, AskedModel<'_>)> {
        let only = AskedModel {
            class: self.class_name.as_deref(),
            model: self.model.as_deref(),
            geography: self.geography.as_deref(),
            fallback: self.fallback.as_ref(),
            application: self.application.as_ref(),
        };
        let only = self.models.is_none().then_some((None, only));
        let several = self.models.iter().flatten();
        let several = several.map(|(name, named)| (Some(name.as_str()), named.asked()));
        only.into_iter().chain(several)
    }

    /// Says whether the binding names a class: for its only model, or for one of several.
    #[must_use]
    pub fn names_a_class(&self) -> bool {
        self.asked().any(|(_, asked)| asked.class.is_some())
    }
}

/// Returns the schema of an entry of a limit.
fn limit_entry() -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": format!("self == '*' || self.matches('^([a-z][a-z0-9-]*([*][a-z0-9-]*){{1,{MOST_STARS}}}|[a-z]{{2,5}}(-[a-z]{{2,12}}){{1,3}}-[0-9]{{1,2}}|@(eu|eea|uk|ch|us|ca|jp|au|in))$')"),
            "message": format!("not a valid limit: expected a region name (eu-west-1), a pattern with at most {MOST_STARS} * (eu-*), a set (@eu, @eea, @uk, @ch, @us, @ca, @jp, @au, @in) or * alone"),
        }],
    })
}

/// What may be used if the geography has no profile of the model, or if the life of the model has ended.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Geographies to try, in this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), extend("items" = {
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{GEOGRAPHY_PATTERN}')"),
            "message": GEOGRAPHY_MESSAGE,
        }],
    }))]
    pub geographies: Option<Vec<String>>,

    /// Foundation models to try, in this order, where the model is not callable or its life has ended. Nothing else ever
    /// moves a binding to another model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), extend("items" = {
        "type": "string",
        "maxLength": 140,
        "x-kubernetes-validations": [
            {"rule": NO_ARN_RULE, "message": MODEL_ARN_MESSAGE},
            {"rule": NO_PROFILE_ID_RULE, "message": PROFILE_ID_MESSAGE},
            {"rule": format!("self.startsWith('arn:') || self.matches('{MODEL_ID_PATTERN}')"), "message": MODEL_MESSAGE},
        ],
    }))]
    pub models: Option<Vec<String>>,

    /// Whether the foundation model ID may be used if the model is available on demand in the source region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_demand: Option<bool>,
}

/// A `ConfigMap` or Secret that the values are written to, in the binding's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.templates) || !has(self.creationPolicy) || self.creationPolicy != 'Merge'").message("templates need creationPolicy Owner: whole files are written only into objects that the binding owns"),
    validation = Rule::new("!has(self.preset) || !(has(self.keys) || has(self.templates))").message("preset says what the target holds: leave keys and templates out, or leave preset out"),
    validation = Rule::new("!has(self.preset) || self.preset != 'LiteLLM' || !has(self.creationPolicy) || self.creationPolicy != 'Merge'").message("the preset LiteLLM needs creationPolicy Owner: it is a whole file, and these are written only into objects that the binding owns"),
    validation = Rule::new("!has(self.metadata) || !has(self.creationPolicy) || self.creationPolicy != 'Merge'").message("metadata needs creationPolicy Owner: whoever owns an object gives it its labels and annotations"),
    validation = Rule::new("!has(self.keys) || !has(self.templates) || self.templates.all(k, !(k in self.keys))").message("a key is given both in keys and in templates"),
    validation = Rule::new("self.kind != 'Secret' || (has(self.creationPolicy) && self.creationPolicy == 'Merge') || ((!has(self.keys) || !('type' in self.keys || 'provider' in self.keys)) && (!has(self.templates) || !('type' in self.templates || 'provider' in self.templates)))").message("the keys type and provider of an owned Secret are set by the operator (servicebinding.io)")
)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Kind of the object.
    pub kind: TargetKind,

    /// Name of the object.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(OBJECT_NAME_RULE).message(OBJECT_NAME_MESSAGE))]
    pub name: String,

    /// Whether the binding owns the object or only keys in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_policy: Option<CreationPolicy>,

    /// Value to write for each key: `ProfileID`, `ProfileARN`, `FoundationModelID`, `FoundationModelARN`, `Provider`,
    /// `Geography`, `SourceRegion`, `DestinationRegions`, `RuntimeEndpoint`, `OpenAIBaseURL`, `AnthropicBaseURL`,
    /// `InvocationID` or `ApplicationProfileARN`. With `models` the name of a model stands first, as in `haiku.ProfileID`.
    /// Defaults to the five keys `BEDROCK_*` if there are neither keys, templates nor a preset; with `application` to
    /// `BEDROCK_INVOCATION_ID` too. With `models` each model has these keys, with its name in them:
    /// `BEDROCK_HAIKU_INFERENCE_PROFILE_ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(
        validation = Rule::new("self.size() > 0").message("no key is given: leave keys out for the default keys"),
        validation = Rule::new(KEYS_RULE).message(KEYS_MESSAGE)
    )]
    pub keys: Option<BTreeMap<String, ValueReference>>,

    /// Jinja template of a whole file for each key, for clients that read a configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 8, "additionalProperties" = {"type": "string", "maxLength": 16384}))]
    #[x_kube(
        validation = Rule::new("self.size() > 0").message("no template is given: leave templates out"),
        validation = Rule::new(KEYS_RULE).message(KEYS_MESSAGE)
    )]
    pub templates: Option<BTreeMap<String, String>>,

    /// What a program reads, in the place of keys and templates. `ClaudeCode`: the environment variables of Claude Code.
    /// `LiteLLM`: `config.yaml` with a `model_list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,

    /// Labels and annotations of the object, beside those of the operator. Those that leave the spec leave the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TargetMetadata>,
}

/// Programs for which the content of a target is known.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Preset {
    /// The environment variables that Claude Code reads.
    ClaudeCode,
    /// The configuration file of `LiteLLM`.
    LiteLLM,
}

/// Kinds of objects that values are written to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum TargetKind {
    /// A `ConfigMap`.
    ConfigMap,
    /// A Secret; requires that the operator runs with `--enable-secrets`.
    Secret,
}

impl TargetKind {
    /// Returns the kind's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

impl std::fmt::Display for TargetKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether the binding owns an object or only keys in it. Owner (the default): create and own the object. Merge: own only these
/// keys of an object that others own and that allows it by the annotation `inferenceprofiles.dev/allow-merge`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum CreationPolicy {
    /// The binding creates and owns the object.
    #[default]
    Owner,
    /// The binding owns only its keys in an object that others own.
    Merge,
}

/// What becomes of the objects that the binding owns when it is deleted. Delete (the default): they are deleted too. Orphan: they
/// stay, without an owner. Merged keys are removed either way.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum DeletionPolicy {
    /// They are deleted.
    #[default]
    Delete,
    /// They stay, and belong to nobody.
    Orphan,
}

/// Defines [`ValueName`], whose variants have the same names on the wire as in the code.
macro_rules! value_names {
    ($($variant:ident),+ $(,)?) => {
        /// Values that a key can hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the names are their own description")]
        pub enum ValueName { $($variant),+ }

        impl ValueName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }
        }
    };
}

value_names!(
    ProfileID,
    ProfileARN,
    FoundationModelID,
    FoundationModelARN,
    Provider,
    Geography,
    SourceRegion,
    DestinationRegions,
    RuntimeEndpoint,
    OpenAIBaseURL,
    AnthropicBaseURL,
    InvocationID,
    ApplicationProfileARN,
);

/// A workload of the binding's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadReference {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Name of the workload.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(OBJECT_NAME_RULE).message(OBJECT_NAME_MESSAGE))]
    pub name: String,
}

/// Kinds of workloads that can be restarted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[allow(missing_docs, reason = "the names are their own description")]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl WorkloadKind {
    /// Returns the kind's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

impl std::fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the operator found and wrote.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceProfileBindingStatus {
    /// Generation of the spec that this status describes; -1 before the operator's first visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, `RegionSupported`, `ResidencySatisfied`, `TargetsSynced` and `CatalogFresh`; `ModelActive` and `ModelUsable` if they are known; `ServedWithinLimits` once it was False; Reconciling, Stalled and Suspended while true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,

    /// The profile whose values are written. Absent where the spec asks for several models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileStatus>,

    /// The models whose values are written, where the spec asks for several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub models: Vec<NamedModelStatus>,

    /// The names of these models, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_names: Option<String>,

    /// Who set the residency limit that forbids what the spec asks for, or that can't be read: binding, class, namespace or operator;
    /// for several models separated by commas. Absent where every limit allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,

    /// Objects that values were written to: the inventory for clean-up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub targets: Vec<TargetStatus>,

    /// Workloads of the spec that did not exist when they should have been restarted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kind".into(), "name".into()]))]
    pub missing_workloads: Vec<MissingWorkload>,

    /// Lifecycle of the model in use. Present if the model is not active, or if a date is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_lifecycle: Option<LifecycleStatus>,

    /// Secret of the Provisioned Service (servicebinding.io).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingReference>,

    /// Requests that ran outside of the limits, by profile, as invocation logs say. There while `ServedWithinLimits` is False.
    #[serde(
        rename = "servedOutsideLimits",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["profile".into(), "sourceRegion".into()]))]
    pub served_outside: Vec<ServedOutsideStatus>,
}

/// Requests that ran outside of the limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServedOutsideStatus {
    /// ID of the profile, or of the model where it is invoked on demand.
    pub profile: String,
    /// Region from which it was called.
    pub source_region: String,
    /// Regions outside of the limits in which requests ran.
    pub regions: Vec<String>,
    /// When the first of these requests ran that was seen.
    pub since: Time,
}

impl InferenceProfileBindingStatus {
    /// Returns the profiles whose values are written, each with the name of its model where there are several.
    pub fn profiles(&self) -> impl Iterator<Item = (Option<&str>, &ProfileStatus)> {
        let one = self.profile.iter().map(|profile| (None, profile));
        let several = self.models.iter();
        one.chain(
            several.filter_map(|model| Some((Some(model.name.as_str()), model.profile.as_ref()?))),
        )
    }
}

/// The lifecycle of a model in the source region, and models that can replace it. Dates are days in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleStatus {
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Day on which the model becomes, or became, legacy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<String>,
    /// First day of public extended access, in which the provider may charge more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_extended_access: Option<String>,
    /// Day on which requests begin to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_life: Option<String>,
    /// Models that can replace it, the most similar first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub successors: Vec<String>,
}

/// The inference profile in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// Model ID that workloads use: the ID of the profile, or of the foundation model if it is invoked on demand.
    pub id: String,
    /// ARN that can be used instead of the ID. The ARN of a profile is known only if the account is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// ARN of the application inference profile that workloads invoke, if the spec names one.
    #[serde(
        default,
        rename = "applicationProfileARN",
        skip_serializing_if = "Option::is_none"
    )]
    pub application_profile_arn: Option<String>,
    /// Geography of the profile. It differs from the spec if a fallback is used; `on-demand` means that there is no profile.
    pub geography: String,
    /// Region that workloads call Bedrock from.
    pub source_region: String,
    /// Foundation model behind the profile.
    #[serde(rename = "foundationModelID")]
    pub foundation_model_id: String,
    /// Regions that may serve a request, sorted; `*` for a global profile.
    pub destination_regions: Vec<String>,
    /// The same regions, separated by commas. Absent in the status of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destinations: Option<String>,
    /// Catalog that the profile comes from.
    pub catalog: CatalogReference,
    /// Class that asked for the profile. Absent if the binding itself did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassReference>,
}

/// The class that asked for a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassReference {
    /// Name of the `InferenceProfileClass`.
    pub name: String,
    /// Stage of the class that selected the namespace. Absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

impl ProfileStatus {
    /// Returns the route that this status describes.
    ///
    /// # Errors
    /// Returns [`ParseError`] for the first field that does not have the form in which the operator writes it.
    pub fn route(&self) -> Result<Route, ParseError> {
        let model: ModelId = self.foundation_model_id.parse()?;
        // Only a model that is invoked on demand has the model's own ID here.
        let invocation = if self.id == model.as_str() && self.geography == ON_DEMAND {
            Invocation::OnDemand
        } else {
            Invocation::Profile {
                id: self.id.parse()?,
                geography: self.geography.parse()?,
            }
        };
        Ok(Route {
            invocation,
            model,
            source_region: self.source_region.parse()?,
            destinations: Destinations::from_names(&self.destination_regions)?,
        })
    }
}

/// The catalog that a profile comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogReference {
    /// `bedrock`, `embedded` or `directory`.
    pub source: String,
    /// Account whose catalog it is, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// When this profile first appeared: a time, or the date of a snapshot.
    pub as_of: String,
}

/// An object that values were written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Kind of the object.
    pub kind: TargetKind,
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Whether the binding owns the object or only keys in it.
    pub creation_policy: CreationPolicy,
    /// Hashes of the values that were last written, key by key.
    pub values_hash: String,
    /// Keys whose value changed and for which workloads still have to be restarted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart_pending_keys: Vec<String>,
    /// When these values were written, and all restarts for them were done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change_time: Option<Time>,
}

/// A workload that did not exist when it should have been restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingWorkload {
    /// Kind of the workload.
    pub kind: WorkloadKind,
    /// Name of the workload.
    pub name: String,
}

/// A reference to a Secret by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BindingReference {
    /// Name of the Secret.
    pub name: String,
}
