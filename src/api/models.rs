//! Several models in one binding: what the spec asks for by name, how keys name a value of one of them, and the status of each.

use std::{borrow::Cow, fmt, str::FromStr};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{
    Application, Fallback, GEOGRAPHY_MESSAGE, GEOGRAPHY_PATTERN, LifecycleStatus,
    MODEL_ARN_MESSAGE, MODEL_ID_PATTERN, MODEL_MESSAGE, NO_ARN_RULE, NO_PROFILE_ID_RULE,
    OBJECT_NAME_MESSAGE, OBJECT_NAME_RULE, ONE_WAY_MESSAGE, ONE_WAY_RULE, PROFILE_ID_MESSAGE,
    ProfileStatus, SOME_WAY_MESSAGE, SOME_WAY_RULE, ValueName,
};

/// A name of a model fits into keys, templates and, in upper case, environment variables.
pub(super) const MODEL_NAMES_RULE: &str =
    "self.all(m, m.size() <= 32 && m.matches('^[a-z][a-z0-9]*(-[a-z0-9]+)*$'))";
pub(super) const MODEL_NAMES_MESSAGE: &str = "not a name for a model: expected at most 32 lower case letters and digits, beginning with a letter, with single - between them, such as haiku or small-fast";

/// Most characters of a reference to a value.
const LONGEST_REFERENCE: u32 = 80;

/// One of several models: what a binding asks for under a name.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(ONE_WAY_RULE).message(ONE_WAY_MESSAGE),
    validation = Rule::new(SOME_WAY_RULE).message(SOME_WAY_MESSAGE)
)]
#[serde(rename_all = "camelCase")]
pub struct NamedModel {
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

    /// Prefix of the profile ID. Required without className.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(format!("self.matches('{GEOGRAPHY_PATTERN}')")).message(GEOGRAPHY_MESSAGE))]
    pub geography: Option<String>,

    /// What may be used if the geography has no profile of the model. There is no fallback unless it is listed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,

    /// Application inference profile that workloads invoke for this model, found by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,
}

impl NamedModel {
    /// Returns what is asked for.
    #[must_use]
    pub fn asked(&self) -> AskedModel<'_> {
        AskedModel {
            class: self.class_name.as_deref(),
            model: self.model.as_deref(),
            geography: self.geography.as_deref(),
            fallback: self.fallback.as_ref(),
            application: self.application.as_ref(),
        }
    }
}

/// What a spec says about a model: about its only one, or about one of several.
#[derive(Clone, Copy, Debug, Default)]
pub struct AskedModel<'a> {
    /// `className`.
    pub class: Option<&'a str>,
    /// `model`.
    pub model: Option<&'a str>,
    /// `geography`.
    pub geography: Option<&'a str>,
    /// `fallback`.
    pub fallback: Option<&'a Fallback>,
    /// `application`.
    pub application: Option<&'a Application>,
}

/// A value that a key holds: the name of the value and, where the spec asks for several models, the name of one of them before
/// it, as in `haiku.ProfileID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ValueReference {
    /// The model. `None` where there is one without a name.
    pub model: Option<String>,
    /// The value.
    pub value: ValueName,
}

impl From<ValueName> for ValueReference {
    fn from(value: ValueName) -> Self {
        Self { model: None, value }
    }
}

impl fmt::Display for ValueReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(model) = &self.model {
            write!(f, "{model}.")?;
        }
        f.write_str(self.value.as_str())
    }
}

impl From<ValueReference> for String {
    fn from(reference: ValueReference) -> Self {
        reference.to_string()
    }
}

/// No value has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no value has the name {0:?}")]
pub struct UnknownValue(String);

impl FromStr for ValueReference {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        let (model, name) = match text.split_once('.') {
            Some((model, name)) => (Some(model.to_owned()), name),
            None => (None, text),
        };
        let mut all = ValueName::ALL.iter();
        match all.find(|value| value.as_str() == name) {
            Some(value) => Ok(Self {
                model,
                value: *value,
            }),
            None => Err(UnknownValue(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ValueReference {
    type Error = UnknownValue;

    fn try_from(text: String) -> Result<Self, UnknownValue> {
        text.parse()
    }
}

impl JsonSchema for ValueReference {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ValueReference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = ValueName::ALL.iter().map(|name| name.as_str()).collect();
        json_schema!({
            "type": "string",
            "maxLength": LONGEST_REFERENCE,
            "x-kubernetes-validations": [{
                "rule": format!("self.matches('^([a-z0-9-]+[.])?({})$')", names.join("|")),
                "message": format!("not the name of a value: expected one of {}; with models, a model and a . before it", names.join(", ")),
            }],
        })
    }
}

/// One of several models in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedModelStatus {
    /// Its name in the spec.
    pub name: String,

    /// The profile whose values are written. Absent while nothing is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileStatus>,

    /// State of the foundation model in its life: a reason of the condition `ModelActive`. Absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_state: Option<String>,

    /// Lifecycle of the model in use. Present if the model is not active, or if a date is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_lifecycle: Option<LifecycleStatus>,
}

/// Returns the names of these models as a column shows them. Returns `None` if nothing is written.
#[must_use]
pub fn written_names(models: &[NamedModelStatus]) -> Option<String> {
    let written = models.iter().filter(|model| model.profile.is_some());
    let names: Vec<&str> = written.map(|model| model.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(","))
}
