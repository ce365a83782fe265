//! Policy documents, as the builders of policies write them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Most characters of a managed policy, not counting white space.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MANAGED_POLICY_LIMIT: usize = 6_144;
/// Most characters of all inline policies of a role together, not counting white space.
pub const INLINE_POLICIES_LIMIT: usize = 10_240;
/// Most characters of a service control policy.
///
/// Source: <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html>
pub const SERVICE_CONTROL_POLICY_LIMIT: usize = 5_120;

/// Operator -> condition key -> values.
pub type Conditions = BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>;

/// Whether a statement allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// Allow.
    Allow,
    /// Deny.
    Deny,
}

impl Effect {
    /// Returns the effect's name in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Deny => "Deny",
        }
    }
}

/// A statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Name within the policy: letters and digits.
    pub sid: String,
    /// Allow or Deny.
    pub effect: Effect,
    /// Actions, sorted.
    #[serde(serialize_with = "one_or_many")]
    pub action: Vec<String>,
    /// ARNs, sorted.
    #[serde(serialize_with = "one_or_many")]
    pub resource: Vec<String>,
    /// Conditions, all of which must hold.
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "conditions"
    )]
    pub condition: Conditions,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    /// The statements.
    pub statement: Vec<Statement>,
}

impl Document {
    /// Version of the policy language.
    pub const VERSION: &'static str = "2012-10-17";

    /// Returns a policy of these statements.
    #[must_use]
    pub fn new(statement: Vec<Statement>) -> Self {
        Self {
            version: Self::VERSION,
            statement,
        }
    }

    /// Returns the size as IAM counts it: characters without white space.
    #[must_use]
    pub fn size(&self) -> usize {
        serde_json::to_string(self).map_or(usize::MAX, |text| {
            text.chars().filter(|c| !c.is_whitespace()).count()
        })
    }
}

fn one_or_many<S: Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match values {
        [one] => serializer.serialize_str(one),
        many => many.serialize(serializer),
    }
}

fn conditions<S: Serializer>(conditions: &Conditions, serializer: S) -> Result<S::Ok, S::Error> {
    struct Values<'a>(&'a [String]);
    impl Serialize for Values<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            one_or_many(self.0, serializer)
        }
    }
    serializer.collect_map(conditions.iter().map(|(operator, keys)| {
        let keys: BTreeMap<_, _> = keys
            .iter()
            .map(|(key, values)| (key, Values(values)))
            .collect();
        (operator, keys)
    }))
}
