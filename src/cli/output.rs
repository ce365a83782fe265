//! Output for programs: JSON, YAML, CSV and times.

use std::io;

use serde::Serialize;

use super::Error;

/// Returns a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    Ok(text + "\n")
}

/// A format for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Form {
    /// Returns a value in this format.
    pub(super) fn print(self, value: &impl Serialize) -> Result<String, Error> {
        match self {
            Self::Json => json(value),
            Self::Yaml => yaml(value),
        }
    }
}

/// Returns a value as a YAML document that kubectl reads as the same value.
///
/// The serializer quotes what YAML 1.2 would not read as a string. kubectl reads YAML 1.1, in which more is a boolean or a
/// number: those strings are quoted here.
pub(super) fn yaml(value: &impl Serialize) -> Result<String, Error> {
    let mut value = serde_yaml::to_value(value).map_err(io::Error::other)?;
    let mut quoted = Vec::new();
    let word = unused_word(&value);
    quote(&mut value, &word, &mut quoted);
    let text = serde_yaml::to_string(&value).map_err(io::Error::other)?;
    let (mut done, mut rest) = (String::with_capacity(text.len()), text.as_str());
    for (placeholder, string) in quoted {
        if let Some((before, after)) = rest.split_once(&placeholder) {
            done.extend([before, "\"", &string, "\""]);
            rest = after;
        }
    }
    Ok(done + rest)
}

/// Returns a word that occurs in no string of a value.
fn unused_word(value: &serde_yaml::Value) -> String {
    let mut word = "quoted".to_owned();
    while contains(value, &word) {
        word.push('q');
    }
    word
}

fn contains(value: &serde_yaml::Value, word: &str) -> bool {
    match value {
        serde_yaml::Value::String(string) => string.contains(word),
        serde_yaml::Value::Sequence(items) => items.iter().any(|item| contains(item, word)),
        serde_yaml::Value::Mapping(mapping) => mapping
            .iter()
            .any(|(key, value)| contains(key, word) || contains(value, word)),
        _ => false,
    }
}

/// Puts a placeholder in the place of each string that YAML 1.1 reads as something else, in the order of the output.
fn quote(value: &mut serde_yaml::Value, word: &str, quoted: &mut Vec<(String, String)>) {
    match value {
        serde_yaml::Value::String(string) if is_other_in_yaml_1_1(string) => {
            let placeholder = format!("{word}-{}.", quoted.len());
            quoted.push((placeholder.clone(), std::mem::replace(string, placeholder)));
        }
        serde_yaml::Value::Sequence(items) => {
            for item in items {
                quote(item, word, quoted);
            }
        }
        serde_yaml::Value::Mapping(mapping) => {
            for (mut key, mut value) in std::mem::take(mapping) {
                quote(&mut key, word, quoted);
                quote(&mut value, word, quoted);
                mapping.insert(key, value);
            }
        }
        _ => {}
    }
}

/// Says whether YAML 1.1 reads a plain string as a boolean or a number, and YAML 1.2 does not.
///
/// Sources: <https://yaml.org/type/bool.html>, <https://yaml.org/type/int.html>, <https://yaml.org/type/float.html>.
fn is_other_in_yaml_1_1(string: &str) -> bool {
    const BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let unsigned = string.strip_prefix(['+', '-']).unwrap_or(string);
    let is_numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && string
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_+-.:".contains(&b));
    BOOLEANS
        .iter()
        .any(|word| word.eq_ignore_ascii_case(string))
        || (is_numeric
            && (string.contains(['_', ':'])
                || ["0b", "0o", "0x"].iter().any(|base| {
                    let start = unsigned.get(..2).unwrap_or_default();
                    start.eq_ignore_ascii_case(base)
                })))
}

/// Returns the present time as an RFC 3339 time in UTC, to the second.
pub(super) fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// Returns lines of comma-separated values, for spreadsheets too.
pub(super) fn csv<'h, R>(
    header: impl IntoIterator<Item = &'h str>,
    rows: impl IntoIterator<Item = R>,
) -> Result<Vec<u8>, Error>
where
    R: IntoIterator<Item = String>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = |error: csv::Error| Error::Output(error.into());
    writer.write_record(header).map_err(written)?;
    for row in rows {
        let fields = row.into_iter().map(plain);
        writer.write_record(fields).map_err(written)?;
    }
    writer
        .into_inner()
        .map_err(|error| Error::Output(error.into_error()))
}

/// Puts a quotation mark before a text that a spreadsheet would take for a formula.
///
/// Source: <https://owasp.org/www-community/attacks/CSV_Injection>
fn plain(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Reads YAML as kubectl does.
    fn read(text: &str) -> serde_json::Value {
        let options = serde_saphyr::options! { legacy_octal_numbers: true };
        serde_saphyr::from_str_with_options(text, options).expect(text)
    }

    #[test]
    fn what_yaml_1_1_would_read_as_something_else_is_quoted() {
        let strings = BTreeMap::from([
            ("on", "y"),
            ("y", "1_000"),
            ("1_000", "0b1_0"),
            ("plain", "quoted-0."),
            ("0b1", "685_230.15"),
            ("A", "NO"),
            ("hex", "0X0"),
        ]);
        assert_eq!(
            yaml(&strings).expect("YAML"),
            "\"0b1\": \"685_230.15\"\n\"1_000\": \"0b1_0\"\nA: \"NO\"\nhex: \"0X0\"\n\"on\": \"y\"\nplain: quoted-0.\n\"y\": \"1_000\"\n"
        );
        let plain = BTreeMap::from([("a", "eu-west-1"), ("b", "anthropic.claude-sonnet-4-6")]);
        assert_eq!(
            yaml(&plain).expect("YAML"),
            "a: eu-west-1\nb: anthropic.claude-sonnet-4-6\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            strings in prop::collection::btree_map("[-+.0-9a-zA-Z_:]{1,6}", "[-+.0-9a-zA-Z_: \\n]{0,8}", 0..6),
        ) {
            let text = yaml(&strings).expect("YAML");
            prop_assert_eq!(read(&text), serde_json::json!(strings), "{}", text);
        }
    }

    #[test]
    fn spreadsheets_run_nothing() {
        for text in ["=1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"] {
            assert_eq!(plain(text.to_owned()), format!("'{text}"));
        }
        for text in ["", "eu-west-1", "*", "111122223333"] {
            assert_eq!(plain(text.to_owned()), text);
        }
    }
}
