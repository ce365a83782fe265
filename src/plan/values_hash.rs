//! `status.targets[].valuesHash`: what the inventory keeps of the values that were written.
//!
//! Each key has an entry of 16 characters: 8 hexadecimal digits of the SHA-256 of the key, and 8 of that of the value. The
//! entries are sorted. Two hashes therefore distinguish a changed value from an added or removed key. The format must stay the
//! same in all versions of the operator, because a hash is compared with one that an earlier version wrote. A hash of another
//! format has no key in common with any other.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest, Sha256};

use super::status::TargetRecord;

/// The number of characters for a key, and for a value.
const PART: usize = 8;

/// Returns the hash of a content: key -> value.
#[must_use]
pub fn values_hash(content: &BTreeMap<String, String>) -> String {
    let entries = content.iter().map(|(key, value)| entry(key, value));
    sorted(entries).concat()
}

/// Returns the sorted hash entries of some keys of a content, which identify their values.
#[must_use]
pub fn entries_of(content: &BTreeMap<String, String>, keys: &[&str]) -> Vec<String> {
    let entries = keys
        .iter()
        .filter_map(|key| Some(entry(key, content.get(*key)?)));
    sorted(entries)
}

/// Returns the keys of a content whose value differs from the written one, and those whose restarts are still pending. A key
/// that was added or removed is not a changed value.
#[must_use]
pub fn changed_keys<'a>(
    before: &TargetRecord,
    content: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let known = entries(&before.hash);
    let is_pending = |key: &str| before.restart_pending.iter().any(|it| **it == *key);
    let is_changed = |key: &str, value: &str| {
        let (key, value) = (hex_digits(key, PART), hex_digits(value, PART));
        let mut values = known
            .iter()
            .map(|entry| entry.split_at(PART))
            .filter(|(known, _)| *known == key)
            .map(|(_, value)| value)
            .peekable();
        values.peek().is_some() && values.all(|known| known != value)
    };
    content
        .iter()
        .filter(|(key, value)| is_pending(key) || is_changed(key, value))
        .map(|(key, _)| key.as_str())
        .collect()
}

/// Returns the first `count` hexadecimal digits of the SHA-256 of a text.
#[must_use]
pub fn hex_digits(text: &str, count: usize) -> String {
    let mut hex = String::with_capacity(count);
    for byte in Sha256::digest(text).iter().take(count / 2) {
        // Writing into a String can't fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn entry(key: &str, value: &str) -> String {
    hex_digits(key, PART) + &hex_digits(value, PART)
}

fn sorted(entries: impl Iterator<Item = String>) -> Vec<String> {
    let mut entries: Vec<String> = entries.collect();
    entries.sort_unstable();
    entries
}

/// Returns the entries of a hash. Returns none when it has another format.
fn entries(hash: &str) -> Vec<&str> {
    const ENTRY: usize = 2 * PART;
    if !hash.is_ascii() || !hash.len().is_multiple_of(ENTRY) {
        return Vec::new();
    }
    (0..hash.len())
        .step_by(ENTRY)
        .map(|start| &hash[start..start + ENTRY])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{CreationPolicy, TargetKind},
        plan::identity::TargetKey,
    };

    type Content = BTreeMap<String, String>;

    fn content(pairs: &[(&str, &str)]) -> Content {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn of(pairs: &[(&str, &str)]) -> String {
        values_hash(&content(pairs))
    }

    fn record(hash: &str, pending: &[&str]) -> TargetRecord {
        TargetRecord {
            key: TargetKey {
                kind: TargetKind::ConfigMap,
                namespace: "n".into(),
                name: "t".into(),
            },
            uid: "uid".into(),
            policy: CreationPolicy::Owner,
            hash: hash.into(),
            restart_pending: pending.iter().map(|key| (*key).into()).collect(),
            since: None,
        }
    }

    #[test]
    fn the_form_never_changes() {
        // As `printf a | sha256sum` has it: every version must be able to read the hashes in statuses.
        assert_eq!(of(&[("a", "b")]), "ca9781123e23e816");
        assert_eq!(
            of(&[("a", "b"), ("c", "d")]),
            "2e7d2c0318ac3e73ca9781123e23e816",
            "sorted by the keys' digits"
        );
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn what_counts_as_a_change_of_a_value() {
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let one = content(&[("a", "1"), ("b", "x")]);
        let cases: [(&str, Pairs<'_>, bool); 9] = [
            ("nothing", &[("a", "1"), ("b", "x")], false),
            ("a value", &[("a", "2"), ("b", "x")], true),
            ("a key more", &[("a", "1"), ("b", "x"), ("c", "2")], false),
            ("a key less", &[("a", "1")], false),
            ("a key by another", &[("a", "1"), ("c", "y")], false),
            (
                "a key more and a value",
                &[("a", "2"), ("b", "x"), ("c", "2")],
                true,
            ),
            ("a key less and a value", &[("b", "y")], true),
            ("values by each other", &[("a", "x"), ("b", "1")], true),
            ("no keys", &[], false),
        ];
        for (name, after, changed) in cases {
            let after = content(after);
            for (before, after) in [(&one, &after), (&after, &one)] {
                let before = record(&values_hash(before), &[]);
                assert_eq!(!changed_keys(&before, after).is_empty(), changed, "{name}");
            }
        }
    }

    #[test]
    fn another_form_is_no_change() {
        let after = content(&[("a", "1")]);
        for other in [
            "",
            "7a2d897e94d107eb",
            "short",
            "ééééééééé",
            "x".repeat(17).as_str(),
        ] {
            let none: Vec<&str> = Vec::new();
            assert_eq!(changed_keys(&record(other, &[]), &after), none, "{other}");
        }
    }

    #[test]
    fn a_pending_key_stays_due_whatever_its_value_becomes() {
        let (first, second) = ([("a", "1"), ("b", "x")], [("a", "2"), ("b", "x")]);
        let before = record(&of(&first), &[]);
        let changed = content(&second);
        assert_eq!(changed_keys(&before, &changed), ["a"]);
        let pending = record(&of(&second), &["a"]);
        for after in [&first[..], &second, &[("a", "3")]] {
            assert_eq!(changed_keys(&pending, &content(after)), ["a"], "{after:?}");
        }
        let more = content(&[("a", "2"), ("b", "x"), ("c", "y")]);
        assert_eq!(
            entries_of(&more, &changed_keys(&pending, &more)),
            entries_of(&changed, &changed_keys(&before, &changed)),
            "the same values are due, and a key more is not"
        );
        let gone = content(&[("b", "x")]);
        assert!(changed_keys(&pending, &gone).is_empty(), "the key is gone");
    }
}
