//! Output for programs.

use serde::Serialize;

/// Returns JSON. Values of this module can't fail to serialize: their keys are texts.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// Returns YAML. Values of this module can't fail to serialize: their keys are texts.
pub(super) fn yaml(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}
