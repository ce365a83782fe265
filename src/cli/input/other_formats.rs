//! What people give instead of manifests: templates, kustomizations, values, texts of other encodings. Each is recognised by
//! facts of the text, and the message names the command that makes manifests of it.

use std::path::Path;

use serde_json::{Map, Value};

/// The name of the program in commands.
const PROGRAM: &str = "inference-profile-operator";

/// Most characters of a template or placeholder that a message shows.
const SHOWN: usize = 60;
/// Bytes that are looked at after each beginning, so that many beginnings on one long line take no longer.
const WINDOW: usize = 256;

/// A command of this program that reads manifests from its standard input, such as `render`.
#[derive(Clone, Copy)]
pub(super) struct Reading(pub(super) &'static str);

impl Reading {
    /// Returns the advice to pipe the output of another command into this one.
    pub(super) fn pipe(self, command: &str) -> String {
        format!("run `{command} | {PROGRAM} {} -f -`", self.0)
    }

    /// Returns the advice to render a Helm chart.
    pub(super) fn helm_template(self, chart: Option<&Path>) -> String {
        let chart = chart.map_or_else(|| "CHART".to_owned(), word);
        self.pipe(&format!("helm template RELEASE {chart}"))
    }

    /// Returns the advice to build a kustomization.
    pub(super) fn kustomize(self, folder: Option<&Path>) -> String {
        let folder = folder.map_or_else(|| "DIR".to_owned(), word);
        self.pipe(&format!("kubectl kustomize {folder}"))
    }
}

/// Returns a path as a word of a shell's command line; the present folder for an empty one.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match text.as_str() {
        "" => ".".to_owned(),
        text if text.chars().all(plain) => text.to_owned(),
        text => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Returns what is wrong with bytes that are no text in UTF-8, or `None` if they may be.
pub(super) fn not_utf8(bytes: &[u8], name: &Path, reading: Reading) -> Option<String> {
    let file = word(name);
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let advice = if name.extension().is_some_and(|end| end == "tgz") {
            reading.helm_template(Some(name))
        } else {
            reading.pipe(&format!("gunzip -c {file}"))
        };
        return Some(format!("is compressed by gzip: {advice}"));
    }
    let convert = |from: &str| reading.pipe(&format!("iconv -f {from} -t UTF-8 {file}"));
    if let Some(encoding) = utf_16_or_32(bytes) {
        return Some(format!(
            "is {encoding} text, and UTF-8 is expected: {}",
            convert(encoding)
        ));
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Some(format!(
            "is binary, not text: see byte {at}; give YAML or JSON"
        ));
    }
    let at = std::str::from_utf8(bytes).err()?.valid_up_to();
    let line = bytes[..at].split(|byte| *byte == b'\n').count();
    Some(format!(
        "is not UTF-8 text: see byte {at}, in line {line}; if it is of another encoding, {}",
        convert("ENCODING")
    ))
}

/// Returns the name of the encoding that the beginning of a text shows: by its byte order mark, or by the zeros that ASCII
/// characters have in it.
fn utf_16_or_32(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => Some("UTF-16LE"),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => Some("UTF-16BE"),
        _ => None,
    }
}

/// What an object is that is no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    /// What builds manifests from others, with or without its kind.
    Kustomization,
    /// The description of a Helm chart.
    Chart,
    /// Values of a Helm chart.
    Values,
}

/// Recognises what an object without apiVersion or kind is. `file` is the name of its file, without folders.
pub(super) fn other(object: &Map<String, Value>, file: &str) -> Option<Other> {
    /// Fields of a kustomization that are lists.
    const LISTS: [&str; 16] = [
        "bases",
        "components",
        "configMapGenerator",
        "crds",
        "generators",
        "helmCharts",
        "images",
        "patches",
        "patchesJson6902",
        "patchesStrategicMerge",
        "replacements",
        "replicas",
        "resources",
        "secretGenerator",
        "transformers",
        "vars",
    ];
    const OTHERS: [&str; 10] = [
        "apiVersion",
        "buildMetadata",
        "commonAnnotations",
        "commonLabels",
        "generatorOptions",
        "labels",
        "metadata",
        "namePrefix",
        "nameSuffix",
        "namespace",
    ];
    let text = |name| object.get(name).and_then(Value::as_str);
    if object.contains_key("kind") {
        return None;
    }
    if let Some(version) = text("apiVersion") {
        if version.starts_with("kustomize.config.k8s.io/") {
            return Some(Other::Kustomization);
        }
        let is_chart =
            ["v1", "v2"].contains(&version) && text("name").is_some() && text("version").is_some();
        return is_chart.then_some(Other::Chart);
    }
    let is_list = |name: &String| LISTS.contains(&name.as_str()) && object[name].is_array();
    let mut names = object.keys();
    if object.keys().any(is_list)
        && names.all(|name| is_list(name) || OTHERS.contains(&name.as_str()))
    {
        return Some(Other::Kustomization);
    }
    let stem = file.split('.').next().unwrap_or_default();
    let mut words = file.split(['.', '-', '_']);
    (words.any(|word| word == "values") || stem == "values").then_some(Other::Values)
}

/// What makes the manifests of an object that stands for others.
pub(super) fn builder(api_version: &str, kind: &str) -> Option<&'static str> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("kustomize.toolkit.fluxcd.io", "Kustomization") => {
            Some("flux build kustomization NAME --path DIR")
        }
        ("helm.toolkit.fluxcd.io", "HelmRelease") => Some("helm template RELEASE CHART -f VALUES"),
        ("argoproj.io", "Application" | "ApplicationSet") => Some("argocd app manifests NAME"),
        _ => None,
    }
}

/// Returns the first expression of a Helm template in a text, comments aside. Templates of bindings are Jinja, and look
/// different.
pub(super) fn helm_expression(text: &str) -> Option<&str> {
    const WORDS: [&str; 13] = [
        "if", "else", "range", "with", "end", "define", "template", "include", "tpl", "toYaml",
        "printf", "required", "lookup",
    ];
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines
        .flat_map(|line| {
            line.match_indices("{{")
                .map(move |(start, _)| (line, start))
        })
        .find_map(|(line, start)| {
            let expression = &line[start..line.floor_char_boundary(start + WINDOW)];
            let inner = expression[2..].trim_start_matches('-').trim_start();
            let is_helm = inner.starts_with(['.', '$', '/'])
                || WORDS.iter().any(|word| {
                    inner
                        .strip_prefix(word)
                        .is_some_and(|rest| rest.starts_with([' ', '-', '}']))
                });
            is_helm.then(|| up_to(expression, "}}"))
        })
}

/// Returns the text up to an ending, but no more than a message shows.
fn up_to<'t>(text: &'t str, ending: &str) -> &'t str {
    let end = text.find(ending).map_or(text.len(), |at| at + ending.len());
    let longest = text.char_indices().nth(SHOWN);
    &text[..longest.map_or(end, |(longest, _)| end.min(longest))]
}

/// What somebody or something is to put a value in place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder<'t> {
    /// A variable as envsubst and Flux replace it: `${NAME}` or `$NAME`.
    Variable(&'t str),
    /// Anything else: `{{name}}`, `$(name)`, `<name>`.
    Other(&'t str),
}

impl Placeholder<'_> {
    /// Says what to do.
    pub(super) fn in_words(self, file: &str, reading: Reading) -> String {
        match self {
            Self::Variable(text) => {
                let command = format!("envsubst < {}", word(Path::new(file)));
                format!(
                    "the variable {text} is not replaced by its value: {} (with Flux, `flux envsubst`)",
                    reading.pipe(&command)
                )
            }
            Self::Other(text) => format!(
                "the placeholder {text} is not replaced by a value: render the file with the tool that it is written for"
            ),
        }
    }
}

/// Returns the first placeholder in a text. None of its beginnings occurs in names, regions or IDs.
pub(super) fn placeholder(text: &str) -> Option<Placeholder<'_>> {
    /// Bytes that are looked at: names and IDs are shorter.
    const LONGEST: usize = 4096;
    let text = &text[..text.floor_char_boundary(LONGEST)];
    text.match_indices(['$', '{', '<']).find_map(|(start, _)| {
        let rest = &text[start..text.floor_char_boundary(start + WINDOW)];
        let is_name = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let closed = |open: &str, close: &str| {
            let inner = rest.strip_prefix(open)?;
            let end = inner.find(close)?;
            is_name(inner[..end].trim_start()).then(|| up_to(rest, close))
        };
        if let Some(found) = closed("${", "}") {
            return Some(Placeholder::Variable(found));
        }
        let other = closed("$(", ")")
            .or_else(|| closed("{{", "}}"))
            .or_else(|| closed("<", ">"));
        if let Some(found) = other {
            return Some(Placeholder::Other(found));
        }
        let name = rest.strip_prefix('$').filter(|name| is_name(name))?;
        let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        let after = name.find(is_end).map_or("", |end| &name[end..]);
        let variable = &rest[..rest.len() - after.len()];
        Some(Placeholder::Variable(up_to(variable, "\n")))
    })
}

/// Returns the first placeholder in a line that is no YAML because of it: it has braces.
fn braces(line: &str) -> Option<Placeholder<'_>> {
    placeholder(line).filter(|found| match found {
        Placeholder::Variable(text) | Placeholder::Other(text) => text.contains('{'),
    })
}

/// Why a text is not YAML, where that is clearer than what the parser says. Lines are those of the document, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Syntax<'t> {
    /// A line is indented by something other than spaces.
    Indentation { line: usize, by: char },
    /// A second JSON value begins.
    SecondValue { line: usize },
    /// Git left both sides of a conflict.
    Conflict { line: usize },
    /// A placeholder stands in the line.
    Placeholder(Placeholder<'t>),
}

/// Says why a document can't be parsed. `at` is the line where the parser gave up.
pub(super) fn syntax(document: &str, at: usize) -> Option<Syntax<'_>> {
    let line = |number: usize| document.lines().nth(number.checked_sub(1)?);
    let conflict = document
        .lines()
        .position(|line| line.starts_with("<<<<<<< "));
    if let Some(before) = conflict
        && document.lines().any(|line| line.starts_with(">>>>>>> "))
    {
        return Some(Syntax::Conflict { line: before + 1 });
    }
    if let Some(line) = second_value(document) {
        return Some(Syntax::SecondValue { line });
    }
    // The parser gives up at the line, or behind the one before.
    let next = document
        .lines()
        .enumerate()
        .skip(at)
        .find(|(_, line)| !line.trim().is_empty())
        .map(|(before, _)| before + 1);
    let is_json = document.trim_start().starts_with(['{', '[']);
    let indentation = [Some(at), next, at.checked_sub(1)]
        .into_iter()
        .flatten()
        .find_map(|number| {
            let text = line(number)?;
            let by = text
                .chars()
                .take_while(|c| c.is_whitespace())
                .find(|c| *c != ' ')?;
            // The line before is well-formed with a tab, such as in a text of several lines.
            let blank = text.trim().is_empty();
            (!blank && (by != '\t' || number >= at))
                .then_some(Syntax::Indentation { line: number, by })
        });
    if !is_json && indentation.is_some() {
        return indentation;
    }
    line(at).and_then(braces).map(Syntax::Placeholder)
}

/// Returns the line where a second JSON object begins right behind a first one.
fn second_value(document: &str) -> Option<usize> {
    if !document.trim_start().starts_with('{') {
        return None;
    }
    let mut values =
        serde_json::Deserializer::from_str(document).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    let second = document[values.byte_offset()..].trim_start();
    let before = &document[..document.len() - second.len()];
    second
        .starts_with('{')
        .then(|| before.matches('\n').count() + 1)
}

impl Syntax<'_> {
    /// Says where in the file it is and what to do. `lines_before` is how many lines of the file stand before the document, and
    /// `parser` what the parser says.
    pub(super) fn in_words(
        &self,
        lines_before: usize,
        parser: &str,
        file: &str,
        reading: Reading,
    ) -> String {
        match self {
            Self::Indentation { line, by } => {
                let by = match by {
                    '\t' => "a tab".to_owned(),
                    other => format!(
                        "the character U+{:04X}, which only looks like a space",
                        u32::from(*other)
                    ),
                };
                format!(
                    ", line {}: it is indented by {by}: YAML allows spaces only",
                    lines_before + line
                )
            }
            Self::SecondValue { line } => format!(
                ", line {}: a second JSON object begins here: put a line --- before it, or both into the items of a List",
                lines_before + line
            ),
            Self::Conflict { line } => format!(
                ", line {}: a merge conflict is not resolved: keep one side",
                lines_before + line
            ),
            Self::Placeholder(placeholder) => {
                format!("{parser}; {}", placeholder.in_words(file, reading))
            }
        }
    }
}

/// Returns the value at a field's path, such as `spec.targets[0].name`.
pub(super) fn value_at<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            if inner.starts_with('"') {
                let mut names = serde_json::Deserializer::from_str(inner).into_iter::<String>();
                let name = names.next()?.ok()?;
                rest = inner[names.byte_offset()..].strip_prefix(']')?;
                value = value.get(&name)?;
            } else {
                let (index, after) = inner.split_once(']')?;
                value = value.get(index.parse::<usize>().ok()?)?;
                rest = after;
            }
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            value = value.get(&name[..end])?;
            rest = &name[end..];
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RENDER: Reading = Reading("render");

    #[test]
    fn templates_of_helm_are_told_from_those_of_bindings() {
        for (text, expected) in [
            ("a: {{ .Values.a }}", Some("{{ .Values.a }}")),
            ("{{- if .Values.a }}\nb", Some("{{- if .Values.a }}")),
            (
                "a: {{ include \"x\" . | nindent 4 }}",
                Some("{{ include \"x\" . | nindent 4 }}"),
            ),
            ("{{/* c */}}", Some("{{/* c */}}")),
            ("{{- end }}", Some("{{- end }}")),
            ("a: {{ $a }}", Some("{{ $a }}")),
            ("# as in {{ .Values.a }}\nb: {{ .b }}", Some("{{ .b }}")),
            ("  # as in {{ .Values.a }}", None),
            ("a: '{{ profile.id }}'", None),
            ("a: '{{ range(3) }}'", None),
            ("a: '{% if x %}'", None),
            ("a: {b: {c: d}}", None),
        ] {
            assert_eq!(helm_expression(text), expected, "{text}");
        }
        let long = format!("a: {{{{ .Values.{} }}}}", "ä".repeat(1000));
        assert_eq!(
            helm_expression(&long).map(|text| text.chars().count()),
            Some(60)
        );
    }

    #[test]
    fn placeholders() {
        for (text, expected) in [
            ("${GEO}", Some(Placeholder::Variable("${GEO}"))),
            ("${GEO:=eu}", Some(Placeholder::Variable("${GEO:=eu}"))),
            ("chat-${env}-a", Some(Placeholder::Variable("${env}"))),
            ("$GEO-a", Some(Placeholder::Variable("$GEO"))),
            ("$(GEO)", Some(Placeholder::Other("$(GEO)"))),
            ("{{ name }}", Some(Placeholder::Other("{{ name }}"))),
            ("a{{name}}", Some(Placeholder::Other("{{name}}"))),
            ("<GEOGRAPHY>", Some(Placeholder::Other("<GEOGRAPHY>"))),
            ("<path:a/b#c>", Some(Placeholder::Other("<path:a/b#c>"))),
            ("eu", None),
            ("$5", None),
            ("a < b", None),
            ("${", None),
            ("{a: {b: c}}", None),
        ] {
            assert_eq!(placeholder(text), expected, "{text}");
        }
        let long = format!("${}", "A".repeat(1_000_000));
        let found = placeholder(&long);
        assert!(matches!(found, Some(Placeholder::Variable(text)) if text.len() == SHOWN));
        assert_eq!(placeholder(&"${".repeat(500_000)), None);
    }

    #[test]
    fn syntax_errors_with_a_reason_that_the_parser_does_not_know() {
        let tab = |line| Some(Syntax::Indentation { line, by: '\t' });
        let variable = Some(Syntax::Placeholder(Placeholder::Variable("${b}")));
        for (text, at, expected) in [
            ("a:\n\tb: 1", 2, tab(2)),
            ("a:\n  \tb: 1", 2, tab(2)),
            // The parser gives up behind the line before, blank lines between them.
            ("a: b\n\n\tc: d", 1, tab(3)),
            // A tab in a text is one.
            ("a: |\n  \tx\nb: [", 3, None),
            ("{\n\t\"a\": }", 2, None),
            ("a:\n\t\nb: [", 3, None),
            (
                "a:\n\u{a0}\u{a0}b: c\n  d: e",
                3,
                Some(Syntax::Indentation {
                    line: 2,
                    by: '\u{a0}',
                }),
            ),
            ("{}{}", 1, Some(Syntax::SecondValue { line: 1 })),
            (
                "{\"a\":\n1}\n\n{\"b\": 2}",
                4,
                Some(Syntax::SecondValue { line: 4 }),
            ),
            ("{\"a\": 1} b", 1, None),
            ("{\"a\": {\"b\": 1}", 1, None),
            (
                "<<<<<<< a\nb: 1\n=======\nb: 2\n>>>>>>> c",
                2,
                Some(Syntax::Conflict { line: 1 }),
            ),
            ("a: {x: ${b}}", 1, variable),
            (
                "a: {{ b }}",
                1,
                Some(Syntax::Placeholder(Placeholder::Other("{{ b }}"))),
            ),
            ("a: [$b", 1, None),
            ("a: [", 1, None),
            ("", 9, None),
        ] {
            assert_eq!(syntax(text, at), expected, "{text:?}");
        }
    }

    #[test]
    fn objects_that_are_no_manifests() {
        for (object, file, expected) in [
            (
                json!({"resources": ["a.yaml"], "namespace": "x"}),
                "a.yaml",
                Some(Other::Kustomization),
            ),
            (
                json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "x": 1}),
                "a.yaml",
                Some(Other::Kustomization),
            ),
            (json!({"namespace": "x"}), "a.yaml", None),
            (json!({"resources": {"limits": {}}}), "a.yaml", None),
            (
                json!({"resources": [], "replicaCount": 1}),
                "values.yaml",
                Some(Other::Values),
            ),
            (
                json!({"apiVersion": "v2", "name": "a", "version": "0.1.0"}),
                "a.yaml",
                Some(Other::Chart),
            ),
            (
                json!({"apiVersion": "v1", "metadata": {}}),
                "values.yaml",
                None,
            ),
            (json!({"a": 1}), "values.yaml", Some(Other::Values)),
            (json!({"a": 1}), "values-prod.yaml", Some(Other::Values)),
            (json!({"a": 1}), "prod.values.yaml", Some(Other::Values)),
            (json!({"a": 1}), "evaluesx.yaml", None),
            (json!({"kind": "ConfigMap"}), "values.yaml", None),
        ] {
            let Value::Object(object) = object else {
                panic!("{object}")
            };
            assert_eq!(other(&object, file), expected, "{object:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf8() {
        let utf16 = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        let le = utf16("kind: a", u16::to_le_bytes);
        let be = utf16("kind: a", u16::to_be_bytes);
        let marked = utf16("\u{feff}kind: a", u16::to_le_bytes);
        for (bytes, expected) in [
            (&b"kind: a"[..], None),
            (b"", None),
            (
                b"\x1f\x8b\x08\0\0",
                Some(
                    "is compressed by gzip: run `gunzip -c 'a b' | inference-profile-operator render -f -`",
                ),
            ),
            (
                &marked,
                Some(
                    "is UTF-16 text, and UTF-8 is expected: run `iconv -f UTF-16 -t UTF-8 'a b' | inference-profile-operator \
                     render -f -`",
                ),
            ),
            (
                &le,
                Some(
                    "is UTF-16LE text, and UTF-8 is expected: run `iconv -f UTF-16LE -t UTF-8 'a b' | \
                     inference-profile-operator render -f -`",
                ),
            ),
            (
                &be,
                Some(
                    "is UTF-16BE text, and UTF-8 is expected: run `iconv -f UTF-16BE -t UTF-8 'a b' | \
                     inference-profile-operator render -f -`",
                ),
            ),
            (
                b"\x7fELF\0\x01",
                Some("is binary, not text: see byte 4; give YAML or JSON"),
            ),
            (
                b"a: b\nc: \xe9",
                Some(
                    "is not UTF-8 text: see byte 8, in line 2; if it is of another encoding, run `iconv -f ENCODING -t UTF-8 \
                     'a b' | inference-profile-operator render -f -`",
                ),
            ),
        ] {
            let said = not_utf8(bytes, Path::new("a b"), RENDER);
            assert_eq!(said.as_deref(), expected);
        }
        let chart = not_utf8(b"\x1f\x8b", Path::new("a-0.1.0.tgz"), RENDER).expect("gzip");
        assert!(
            chart.contains("`helm template RELEASE a-0.1.0.tgz |"),
            "{chart}"
        );
    }

    #[test]
    fn values_are_found_by_the_path_of_their_field() {
        let object = json!({"spec": {"a": [{"b": "x"}], "m": {"c.d/e": "y"}}});
        for (path, expected) in [
            ("spec.a[0].b", Some("x")),
            ("spec.m[\"c.d/e\"]", Some("y")),
            ("spec.a[1].b", None),
            ("spec.a[x", None),
            ("spec.n", None),
        ] {
            let found = value_at(&object, path).and_then(Value::as_str);
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(value_at(&object, ""), Some(&object));
    }
}
