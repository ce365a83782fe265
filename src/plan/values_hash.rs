//! `status.targets[].valuesHash`: what the inventory keeps of the values that were written.
//!
//! For each key, 16 characters: 8 hexadecimal digits of SHA-256 of the key and 8 of the value, sorted. So two hashes tell a
//! value that changed from a key that was added or removed. A `!` in the place of a value's first digit says that the value
//! changed and that restarts for it are outstanding. The form stays the same between versions of the operator, because a
//! hash is compared with what an earlier version wrote; one of another form has no key in common with any other.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest, Sha256};

/// Characters of a key's part, and of a value's.
const PART: usize = 8;
/// Stands in the place of a value's first digit while restarts are outstanding.
const MARK: char = '!';

/// Returns the hash of a content.
#[must_use]
pub fn values_hash(content: &BTreeMap<String, String>) -> String {
    let mut entries: Vec<String> = content
        .iter()
        .map(|(key, value)| digits(key, PART) + &digits(value, PART))
        .collect();
    entries.sort_unstable();
    entries.concat()
}

/// Says whether a value changed from one to another, for which restarts are due. Keys that were added or removed change
/// no value.
#[must_use]
pub fn value_changed(before: &str, after: &str) -> bool {
    !changes(before, after).is_empty()
}

/// Returns the entries of `after` whose value changed, or had changed before and restarts for it are outstanding.
#[must_use]
pub fn changes<'a>(before: &str, after: &'a str) -> Vec<&'a str> {
    let known = entries(before);
    entries(after)
        .into_iter()
        .filter(|entry| {
            let (key, value) = entry.split_at(PART);
            let mut values = known
                .iter()
                .map(|entry| entry.split_at(PART))
                .filter(|(known, _)| *known == key)
                .map(|(_, value)| value)
                .peekable();
            values.peek().is_some() && values.all(|known| known != value)
        })
        .collect()
}

/// Returns `after` with a mark at each value that changed.
#[must_use]
pub fn with_marks(before: &str, after: &str) -> String {
    let changed = changes(before, after);
    entries(after)
        .into_iter()
        .map(|entry| {
            if changed.contains(&entry) {
                let (key, value) = entry.split_at(PART);
                format!("{key}{MARK}{}", &value[MARK.len_utf8()..])
            } else {
                entry.to_owned()
            }
        })
        .collect()
}

/// Says whether two hashes are of the same content, whatever is outstanding.
#[must_use]
pub fn same_content(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .chars()
            .zip(other.chars())
            .all(|(one, other)| one == other || one == MARK || other == MARK)
}

/// Returns the first hexadecimal digits of SHA-256 of a text.
#[must_use]
pub fn digits(text: &str, count: usize) -> String {
    let mut hex = String::with_capacity(count);
    for byte in Sha256::digest(text).iter().take(count / 2) {
        // Writing into a String can't fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Returns the entries of a hash; none where it has another form.
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

    fn of(pairs: &[(&str, &str)]) -> String {
        let content = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        values_hash(&content)
    }

    #[test]
    fn the_form_never_changes() {
        // As `printf a | sha256sum` has it: what stands in statuses must be understood by every version.
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
        let one = of(&[("a", "1"), ("b", "x")]);
        for (name, after, changed) in [
            ("nothing", of(&[("a", "1"), ("b", "x")]), false),
            ("a value", of(&[("a", "2"), ("b", "x")]), true),
            (
                "a key more",
                of(&[("a", "1"), ("b", "x"), ("c", "2")]),
                false,
            ),
            ("a key less", of(&[("a", "1")]), false),
            ("a key by another", of(&[("a", "1"), ("c", "y")]), false),
            (
                "a key more and a value",
                of(&[("a", "2"), ("b", "x"), ("c", "2")]),
                true,
            ),
            ("a key less and a value", of(&[("b", "y")]), true),
            ("values by each other", of(&[("a", "x"), ("b", "1")]), true),
            ("no keys", of(&[]), false),
        ] {
            assert_eq!(value_changed(&one, &after), changed, "{name}");
            assert_eq!(value_changed(&after, &one), changed, "{name}, backwards");
        }
    }

    #[test]
    fn another_form_is_no_change() {
        let hash = of(&[("a", "1")]);
        for other in [
            "",
            "7a2d897e94d107eb",
            "short",
            "ééééééééé",
            "x".repeat(17).as_str(),
        ] {
            assert!(!value_changed(other, &hash), "{other}");
            assert!(!value_changed(&hash, other), "{other}");
            assert_eq!(with_marks(other, &hash), hash);
        }
    }

    #[test]
    fn a_mark_stays_due_whatever_the_value_becomes() {
        let (first, second) = (of(&[("a", "1"), ("b", "x")]), of(&[("a", "2"), ("b", "x")]));
        let marked = with_marks(&first, &second);
        assert_eq!(marked.matches(MARK).count(), 1);
        assert_eq!(marked.len(), second.len());
        for after in [&first, &second, &of(&[("a", "3")])] {
            assert_eq!(changes(&marked, after).len(), 1, "{after}");
        }
        assert_eq!(with_marks(&marked, &second), marked, "nothing moves");
        assert_eq!(
            changes(&marked, &second),
            changes(&first, &second),
            "the same values are due"
        );
        let more = of(&[("a", "2"), ("b", "x"), ("c", "y")]);
        assert_eq!(
            changes(&marked, &more),
            changes(&first, &second),
            "a key more is not due"
        );
        assert!(
            !value_changed(&marked, &of(&[("b", "x")])),
            "the key is gone"
        );
    }

    #[test]
    fn a_mark_does_not_hide_the_content() {
        let (first, second) = (of(&[("a", "1")]), of(&[("a", "2")]));
        let marked = with_marks(&first, &second);
        assert!(same_content(&marked, &second));
        assert!(!same_content(&marked, &first));
        assert!(!same_content(&marked, &of(&[("a", "2"), ("b", "x")])));
    }
}
