//! The documents in a text: YAML as Kubernetes reads it, so that `yes` is true and `010` is a number. JSON is YAML.

use std::{cell::Cell, rc::Rc};

use serde_json::Value;
use serde_saphyr::{Error, MessageFormatter, UserMessageFormatter};

/// Deepest nesting of a document. Schemas of custom resources, the deepest manifests there are, have about 30 levels; 100
/// overflow the stack of a thread of 2 MiB.
const DEPTH: usize = 64;

/// A part of a text between lines `---`.
#[derive(Debug, PartialEq)]
pub(super) struct Document<'t> {
    /// From 1.
    pub(super) number: usize,
    /// Lines of the text before it.
    pub(super) lines_before: usize,
    pub(super) text: &'t str,
}

/// Why a document can't be parsed.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    /// The line of the document, from 1, where the parser gave up, if it says so.
    pub(super) line: Option<usize>,
    /// Where in the file it is, and what the parser says, to be told after the file and document.
    pub(super) message: String,
}

/// Returns the documents of a text. What stands before the first `---` is one only where there is more than comments.
pub(super) fn split(text: &str) -> impl Iterator<Item = Document<'_>> {
    let mut rest = Some(text);
    let mut lines_before = 0;
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let (document, next) = split_first(text);
            rest = next;
            let before = lines_before;
            lines_before += document.matches('\n').count();
            if number == 0 && !has_content(document) {
                continue;
            }
            number += 1;
            return Some(Document {
                number,
                lines_before: before,
                text: document,
            });
        }
    })
}

/// Splits a text before the first line `---` that is not its first line.
fn split_first(text: &str) -> (&str, Option<&str>) {
    let next = text
        .match_indices("\n---")
        .find(|(at, separator)| {
            let after = text[at + separator.len()..].chars().next();
            after.is_none_or(char::is_whitespace)
        })
        .map(|(at, _)| at + 1);
    match next {
        Some(next) => (&text[..next], Some(&text[next..])),
        None => (text, None),
    }
}

/// Says whether a document is more than blank lines, comments and directives.
fn has_content(document: &str) -> bool {
    document
        .lines()
        .map(|line| line.trim_start_matches('\u{feff}').trim())
        .any(|line| !(line.is_empty() || line.starts_with('#') || line.starts_with('%')))
}

/// How much a file may still hold: aliases, which repeat what they stand for, count with what they become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Parts: beginnings and ends of lists and mappings, keys and values.
    pub(super) parts: usize,
    /// Bytes of all keys and values.
    pub(super) bytes: usize,
}

/// Reads a document, or says what is wrong with it and where.
pub(super) fn parse(document: &Document<'_>, left: &mut Allowance) -> Result<Value, Fault> {
    let used = Rc::new(Cell::new((0, 0)));
    let report = used.clone();
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: left.parts,
            max_nodes: left.parts,
            max_recorded_anchor_events: left.parts,
            max_aliases: left.parts,
            max_anchors: left.parts,
            max_merge_keys: left.parts,
            max_total_scalar_bytes: left.bytes,
            max_recorded_anchor_bytes: left.bytes,
            max_depth: DEPTH,
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: left.parts,
            max_replay_stack_depth: DEPTH,
        },
        legacy_octal_numbers: true,
        // kubectl lets a later one win over a key that is given: what is meant is for the author to say.
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
    }
    .with_budget_report(move |spent| report.set((spent.events, spent.total_scalar_bytes)));
    let value = serde_saphyr::from_str_with_options(document.text, options);
    let (parts, bytes) = used.get();
    left.parts = left.parts.saturating_sub(parts);
    left.bytes = left.bytes.saturating_sub(bytes);
    value.map_err(|error| {
        let error = error.without_snippet();
        let what = describe(error);
        let location = error.location().filter(|location| location.line() > 0);
        let line = location.and_then(|location| usize::try_from(location.line()).ok());
        Fault {
            message: match (line, location) {
                (Some(line), Some(location)) => format!(
                    ", line {}, column {}: {what}",
                    document.lines_before + line,
                    location.column()
                ),
                _ => format!(": {what}"),
            },
            line,
        }
    })
}

fn describe(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => describe(error.without_snippet()),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key:?} is given twice")
        }
        Error::MergeKeyNotAllowed { .. } => {
            "a merge key << is not accepted: write its fields out, so that it is clear which value wins"
                .to_owned()
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins here: put a line --- before it".to_owned()
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "the file holds too much, is nested too deeply, or repeats too much by aliases: split it".to_owned()
        }
        error => UserMessageFormatter
            .format_message(error)
            .escape_debug()
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLENTY: Allowance = Allowance {
        parts: 10_000,
        bytes: 100_000,
    };

    fn parsed(text: &str) -> Vec<Result<Value, String>> {
        let mut left = PLENTY;
        split(text)
            .map(|document| parse(&document, &mut left).map_err(|fault| fault.message))
            .collect()
    }

    fn one(text: &str) -> Result<Value, String> {
        let mut all = parsed(text);
        assert_eq!(all.len(), 1, "{text}");
        all.remove(0)
    }

    #[test]
    fn documents_are_separated_by_lines_of_three_dashes() {
        for (text, expected) in [
            ("a", &[(1, "a")][..]),
            ("", &[]),
            ("# nothing\n\n", &[]),
            ("---\na", &[(1, "---\na")]),
            ("# a comment\n---\na", &[(1, "---\na")]),
            ("%YAML 1.1\n---\na", &[(1, "---\na")]),
            ("a\n---\nb", &[(1, "a\n"), (2, "---\nb")]),
            ("a\r\n---\r\nb", &[(1, "a\r\n"), (2, "---\r\nb")]),
            ("a\n--- # b\nb", &[(1, "a\n"), (2, "--- # b\nb")]),
            ("a\n---\n---\nb", &[(1, "a\n"), (2, "---\n"), (3, "---\nb")]),
            ("a: |\n  ---\n  b", &[(1, "a: |\n  ---\n  b")]),
            ("a\n----\nb", &[(1, "a\n----\nb")]),
            ("a\n---", &[(1, "a\n"), (2, "---")]),
        ] {
            let found: Vec<(usize, &str)> = split(text)
                .map(|document| (document.number, document.text))
                .collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn yaml_is_read_as_kubernetes_reads_it() {
        for (text, expected) in [
            ("a: yes", json!({"a": true})),
            ("a: off", json!({"a": false})),
            ("a: 'no'", json!({"a": "no"})),
            ("a: !!str no", json!({"a": "no"})),
            ("a: 010", json!({"a": 8})),
            ("a: 2001-01-01", json!({"a": "2001-01-01"})),
            ("a: 12:30", json!({"a": "12:30"})),
            ("a:", json!({"a": null})),
            ("1: a", json!({"1": "a"})),
            ("x: &x {a: 1}\ny: *x", json!({"x": {"a": 1}, "y": {"a": 1}})),
            ("{\"a\":\n\t\"\\ud83d\\ude00\"}", json!({"a": "\u{1f600}"})),
            ("\u{feff}a: 1", json!({"a": 1})),
            ("---\n# nothing", json!(null)),
        ] {
            assert_eq!(one(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_names_the_line_of_the_file() {
        for (text, place, message) in [
            ("a: 1\na: 2", ", line 2, column 1: ", "\"a\" is given twice"),
            ("a:\n\tb: 1", ", line 2, column 2: ", "tabs disallowed"),
            ("a: [", ", line 1, column 4: ", "unclosed bracket"),
            ("a: *b", ", line 1, column 4: ", "unknown value"),
            ("a: .inf", ", line 1, column 4: ", "finite"),
            ("a\n...\nb", ", line 3, column 1: ", "put a line ---"),
        ] {
            let error = one(text).expect_err(text);
            assert!(error.starts_with(place), "{text:?}: {error}");
            assert!(error.contains(message), "{text:?}: {error}");
        }
        let second = parsed("a: 1\n---\nb:\n\tc").remove(1);
        let error = second.expect_err("a tab");
        assert!(error.starts_with(", line 4, "), "{error}");
    }

    /// A few lines whose aliases stand for more and more, ten times the line before: a billion laughs.
    fn bomb(levels: usize, first: &str, line: fn(&str) -> String) -> String {
        let mut lines = vec![format!("a0: &a0 {first}\n")];
        for level in 1..levels {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            lines.push(format!("a{level}: &a{level} {}\n", line(&below)));
        }
        lines.concat()
    }

    fn lists(levels: usize) -> String {
        bomb(levels, "[x]", |below| format!("[{below}]"))
    }

    #[test]
    fn aliases_count_with_what_they_stand_for() {
        assert!(one(&lists(3)).is_ok());
        let error = one(&lists(10)).expect_err("too much");
        assert!(error.contains("repeats too much by aliases"), "{error}");
        let merged = bomb(10, "{x: 1}", |below| format!("{{<<: [{below}]}}"));
        assert!(one(&merged).is_err());
        let error = one("a: &a {x: 1}\nb: {x: 2, <<: *a}").expect_err("ambiguous");
        assert!(error.contains("write its fields out"), "{error}");
        let text = format!("a: &a {}\nb: [*a, *a]\n", "x".repeat(50_000));
        assert!(one(&text).is_err());
    }

    #[test]
    fn the_documents_of_a_file_share_what_it_may_hold() {
        let text = format!("---\n{}", lists(4)).repeat(20);
        let parsed = parsed(&text);
        assert!(parsed[0].is_ok());
        assert!(parsed[19].is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(one(&nested(DEPTH)).is_ok());
        for text in [nested(DEPTH + 1), "[".repeat(100_000), "- ".repeat(100_000)] {
            let error = one(&text).expect_err("too deep");
            assert!(error.len() < 200, "{error}");
        }
    }
}
