//! The condition keys of a request, as far as they are known.

use std::collections::BTreeMap;

/// The value of a condition key in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The request has the key with this value.
    Is(String),
    /// The request does not have the key.
    Absent,
    /// Whether the request has the key, and with which value, is not known.
    Unknown,
}

/// The condition keys of a request. A key that is not listed is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Value>);

impl Context {
    /// Returns this context with another key. Names of keys are not case-sensitive.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.to_ascii_lowercase(), value);
        self
    }

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> &Value {
        self.0
            .get(&key.to_ascii_lowercase())
            .unwrap_or(&Value::Unknown)
    }

    /// Returns the listed keys, in lower case, and their values.
    pub fn known(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
