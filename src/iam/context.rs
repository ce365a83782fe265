//! Condition keys of a request, as far as they are known.

use std::collections::BTreeMap;

/// Value of a condition key in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The request has it.
    Is(String),
    /// The request does not have it.
    Absent,
    /// It is not known.
    Unknown,
}

/// Condition keys of a request. A key that is not named is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Value>);

impl Context {
    /// Returns this context with one key more. Names of keys have no case.
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

    /// Returns the keys whose values are known, in lower case.
    pub fn known(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
