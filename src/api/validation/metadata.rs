//! What the apiserver demands of every object's metadata, whatever its kind.

use serde_json::Value;

use super::{Path, Violations, shown};
use crate::api::OBJECT_NAME_MESSAGE;

/// Longest name of an object (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).
const NAME_LIMIT: usize = 253;
/// Longest label of a DNS name, and longest value of a label.
const LABEL_LIMIT: usize = 63;
/// Most bytes of all annotations, names included.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

const NAMESPACE: &str = "not the name of a Namespace: expected at most 63 lower case letters, digits and -, beginning and ending with a letter or digit";
const KEY: &str = "not a valid key: expected a name of at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit, with or without a DNS name and / before it";
const LABEL: &str = "not a valid label: expected at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit";

/// Checks names and sizes; types are the schema's.
pub(super) fn check(metadata: Option<&Value>, found: &mut Violations) {
    let root = Path::Root;
    let at = root.field("metadata");
    let field = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    let text = |name: &str| field(name).and_then(Value::as_str);
    if let Some(name) = text("name").filter(|name| !is_name(name)) {
        found.add(at.field("name"), || invalid(name, OBJECT_NAME_MESSAGE));
    }
    if let Some(namespace) = text("namespace").filter(|name| !name.is_empty() && !is_label(name)) {
        found.add(at.field("namespace"), || invalid(namespace, NAMESPACE));
    }
    let entries = |name: &str| {
        let object = field(name).and_then(Value::as_object);
        let entries = object.into_iter().flatten();
        entries.map(|(key, value)| (key, value.as_str().unwrap_or_default()))
    };
    let labels = at.field("labels");
    for (key, value) in entries("labels") {
        if !is_qualified_name(key) {
            found.add(labels, || invalid(key, KEY));
        }
        if !value.is_empty() && !is_short_name(value) {
            found.add(labels.field(key), || invalid(value, LABEL));
        }
    }
    let annotations = at.field("annotations");
    let mut size = 0;
    for (key, value) in entries("annotations") {
        // The case of an annotation's key does not matter.
        if !is_qualified_name(&key.to_lowercase()) {
            found.add(annotations, || invalid(key, KEY));
        }
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_LIMIT {
        found.add(annotations, || {
            format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes, and has {size}")
        });
    }
}

fn invalid(value: &str, what: &str) -> String {
    format!("Invalid value: {}: {what}", shown(value))
}

/// Says whether a text is a DNS subdomain.
fn is_name(text: &str) -> bool {
    text.len() <= NAME_LIMIT
        && text
            .split('.')
            .all(|label| is_delimited(label, |byte| byte == b'-', u8::is_ascii_lowercase))
}

/// Says whether a text is a DNS label.
fn is_label(text: &str) -> bool {
    text.len() <= LABEL_LIMIT && is_delimited(text, |byte| byte == b'-', u8::is_ascii_lowercase)
}

/// Says whether a text is the name of a label, or a value of one that is not empty.
fn is_short_name(text: &str) -> bool {
    let inner = |byte| matches!(byte, b'-' | b'_' | b'.');
    text.len() <= LABEL_LIMIT && is_delimited(text, inner, u8::is_ascii_alphabetic)
}

/// Says whether a text is a name with or without a DNS subdomain before it.
fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_name(prefix) && is_short_name(name),
        None => is_short_name(text),
    }
}

/// Says whether a text consists of letters, digits and what may stand inside, and begins and ends with a letter or digit.
fn is_delimited(text: &str, inner: impl Fn(u8) -> bool, letter: impl Fn(&u8) -> bool) -> bool {
    let outer = |byte: &u8| byte.is_ascii_digit() || letter(byte);
    let bytes = text.as_bytes();
    bytes.first().is_some_and(outer)
        && bytes.last().is_some_and(outer)
        && bytes.iter().all(|byte| outer(byte) || inner(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        for (text, name, label) in [
            ("a", true, true),
            ("a-1", true, true),
            ("a.b", true, false),
            ("1", true, true),
            ("", false, false),
            ("A", false, false),
            ("a_b", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a..b", false, false),
            ("a.-b", false, false),
            ("ä", false, false),
        ] {
            assert_eq!(is_name(text), name, "{text}");
            assert_eq!(is_label(text), label, "{text}");
        }
        assert!(is_name(&"n".repeat(253)) && !is_name(&"n".repeat(254)));
        assert!(is_label(&"n".repeat(63)) && !is_label(&"n".repeat(64)));
    }

    #[test]
    fn keys_are_those_of_kubernetes() {
        for (text, valid) in [
            ("app", true),
            ("App_1.x-y", true),
            ("app.kubernetes.io/name", true),
            ("Example.com/name", false),
            ("a b", false),
            ("-a", false),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a/b/c", false),
            ("a_b/c", false),
        ] {
            assert_eq!(is_qualified_name(text), valid, "{text}");
        }
        assert!(is_qualified_name(&format!(
            "{}/{}",
            "d".repeat(253),
            "n".repeat(63)
        )));
        assert!(!is_qualified_name(&"n".repeat(64)));
    }
}
