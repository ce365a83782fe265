//! Texts in YAML.

use serde::Deserialize;
use serde_json::Value;

/// Returns the documents of a text, but for empty ones.
pub fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .filter(|document| !document.is_null())
        .collect()
}
