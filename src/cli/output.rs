//! Output for programs: JSON, YAML and times.

use std::io;

use serde::Serialize;

use super::Error;

/// Returns a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    Ok(text + "\n")
}

/// Returns a value as a YAML document.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Error> {
    Ok(serde_yaml::to_string(value).map_err(io::Error::other)?)
}

/// Returns the present time as an RFC 3339 time in UTC, to the second.
pub(super) fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
