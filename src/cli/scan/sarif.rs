//! The findings in the format of static analysis tools: SARIF 2.1.0.
//!
//! Source: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html>

use std::io::Write;

use serde_json::{Value, json};

use super::{Error, Finding, Place, Scanned, report::messages};
use crate::{cli::output, scan::Verdict};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn print(
    findings: &[Finding<'_>],
    scanned: &Scanned,
    out: &mut impl Write,
) -> Result<(), Error> {
    let rules: Vec<Value> = Verdict::ALL
        .into_iter()
        .map(|verdict| {
            json!({
                "id": verdict.as_str(),
                "shortDescription": { "text": format!("{}.", verdict.meaning()) },
                "defaultConfiguration": { "level": level(verdict) },
            })
        })
        .collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    let notifications: Vec<Value> = scanned
        .incomplete
        .iter()
        .map(|what| json!({ "level": "warning", "message": { "text": what } }))
        .collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": env!("CARGO_PKG_NAME"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    out.write_all(output::json(&log)?.as_bytes())?;
    Ok(())
}

/// Returns how serious a verdict is: `error` where requests fail or leave what is allowed.
fn level(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::OutsideLimit
        | Verdict::Gone
        | Verdict::UnknownPrefix
        | Verdict::WrongGeography
        | Verdict::ProfileOnlyModel => "error",
        Verdict::UnknownModel | Verdict::EndOfLife | Verdict::Legacy => "warning",
        Verdict::HardCoded => "note",
    }
}

fn result(finding: &Finding<'_>) -> Value {
    let verdict = finding.verdict();
    let rule = Verdict::ALL.into_iter().position(|it| it == verdict);
    let mention = finding.mention;
    let said: Vec<&str> = messages(finding).collect();
    let message = if said.is_empty() {
        format!("{} is hard-coded", mention.text)
    } else {
        format!("{}: {}", mention.text, said.join("; "))
    };
    let region = json!({
        "startLine": mention.line,
        "startColumn": mention.column,
        "endColumn": mention.column + mention.text.chars().count(),
        "snippet": { "text": mention.text },
    });
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(finding.place) },
            "region": region,
        },
    });
    if let (Some(field), Some(object)) = (&finding.place.field, location.as_object_mut()) {
        let name = format!("{}/{field}", finding.place.name);
        object.insert(
            "logicalLocations".to_owned(),
            json!([{ "fullyQualifiedName": name }]),
        );
    }
    json!({
        "ruleId": verdict.as_str(),
        "ruleIndex": rule,
        "level": level(verdict),
        "message": { "text": message },
        "locations": [location],
    })
}

/// Returns a relative reference to a file, as RFC 3986 has it.
fn uri(place: &Place) -> String {
    let mut uri = String::new();
    if place.field.is_some() {
        uri.push_str("cluster/");
    }
    // A path of Windows has the other separator.
    let name = place.name.replace(std::path::MAIN_SEPARATOR, "/");
    if name.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.extend(["%", &format!("{byte:02X}")]);
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_references() {
        for (name, field, expected) in [
            ("charts/shop/values.yaml", None, "charts/shop/values.yaml"),
            ("/a b/ä#1%.yaml", None, "file:///a%20b/%C3%A4%231%25.yaml"),
            ("a:b?.yaml", None, "a%3Ab%3F.yaml"),
            (
                "ConfigMap shop/chat",
                Some("data.m"),
                "cluster/ConfigMap%20shop/chat",
            ),
        ] {
            let place = Place {
                name: name.into(),
                field: field.map(Into::into),
            };
            assert_eq!(uri(&place), expected);
        }
    }
}
