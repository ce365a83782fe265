//! The findings as a table and as JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufWriter, Write},
};

use serde_json::{Value, json as value};

use super::{Error, Finding, Scanned, printable};
use crate::{
    cli::output::Form,
    scan::{Named, Reference, Verdict},
};

/// Prints the findings, grouped by file. What is wrong is told once in each file.
pub(super) fn table(findings: &[Finding<'_>], out: &mut impl Write) -> Result<(), Error> {
    // Standard output is flushed with each line.
    let mut out = BufWriter::new(out);
    for (index, of_file) in findings.chunk_by(same_file).enumerate() {
        let Some(first) = of_file.first() else {
            continue;
        };
        if index > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", printable(&first.place.name))?;
        let rows: Vec<[String; 2]> = of_file
            .iter()
            .map(|finding| [place(finding), verdicts(finding)])
            .collect();
        let width = |column: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths = [width(0), width(1)];
        let mut told = BTreeSet::new();
        for (finding, [place, verdicts]) in of_file.iter().zip(&rows) {
            writeln!(
                out,
                "  {place:<0$}  {verdicts:<1$}  {2}",
                widths[0], widths[1], finding.mention.text
            )?;
            for message in messages(finding) {
                if told.insert(message.to_owned()) {
                    writeln!(out, "  {:<1$}  {message}", "", widths[0])?;
                }
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn same_file(a: &Finding<'_>, b: &Finding<'_>) -> bool {
    a.place.name == b.place.name
}

fn place(finding: &Finding<'_>) -> String {
    let at = format!("{}:{}", finding.mention.line, finding.mention.column);
    match &finding.place.field {
        None => at,
        Some(field) => format!("{}:{at}", printable(field)),
    }
}

fn verdicts(finding: &Finding<'_>) -> String {
    let verdicts = finding.judged.opinions.iter();
    let names: Vec<&str> = verdicts.map(|it| it.verdict.as_str()).collect();
    names.join(", ")
}

/// Returns what is wrong, in words.
pub(super) fn messages<'f>(finding: &'f Finding<'_>) -> impl Iterator<Item = &'f str> {
    let opinions = finding.judged.opinions.iter();
    opinions
        .map(|opinion| opinion.message.as_str())
        .chain(finding.too_short_a_life.as_deref())
        .filter(|message| !message.is_empty())
}

/// Prints one object for programs.
pub(super) fn object(
    findings: &[Finding<'_>],
    scanned: &Scanned,
    form: Form,
    out: &mut impl Write,
) -> Result<(), Error> {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let verdicts: Vec<Value> = finding
                .judged
                .opinions
                .iter()
                .map(|opinion| {
                    value!({ "verdict": opinion.verdict.as_str(), "message": opinion.message })
                })
                .collect();
            let reference = &finding.mention.reference;
            value!({
                "file": finding.place.field.is_none().then_some(&*finding.place.name),
                "object": finding.place.field.is_some().then_some(&*finding.place.name),
                "field": finding.place.field.as_deref(),
                "line": finding.mention.line,
                "column": finding.mention.column,
                "text": finding.mention.text,
                "kind": kind(reference),
                "isARN": reference.arn.is_some(),
                "foundationModelID": reference.named.model(),
                "geography": reference.named.geography(),
                "region": reference.arn_region(),
                "verdicts": verdicts,
                "endOfLife": finding.judged.end_of_life,
                "livesTooShort": finding.too_short_a_life,
            })
        })
        .collect();
    let report = value!({
        "findings": findings,
        "summary": {
            "read": scanned.read,
            "passedOver": scanned.passed_over,
            "ignored": scanned.ignored,
            "inBindings": scanned.in_bindings,
            "incomplete": scanned.incomplete,
        },
    });
    out.write_all(form.print(&report)?.as_bytes())?;
    Ok(())
}

fn kind(reference: &Reference) -> &'static str {
    match reference.named {
        Named::Model(_) => "FoundationModel",
        Named::Profile { .. } => "InferenceProfile",
        Named::ApplicationProfile => "ApplicationInferenceProfile",
    }
}

/// Says on standard error what was read, and what was not.
pub(super) fn summary(
    findings: &[Finding<'_>],
    scanned: &Scanned,
    is_cluster: bool,
    err: &mut impl Write,
) -> Result<(), Error> {
    for what in &scanned.incomplete {
        writeln!(err, "{}", printable(what))?;
    }
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.verdict()).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(verdict, count)| format!("{verdict} {count}"))
        .collect();
    let counts = if counts.is_empty() {
        String::new()
    } else {
        format!(" ({})", counts.join(", "))
    };
    let [read, passed_over] = if is_cluster {
        ["texts read", "objects that the operator writes"]
    } else {
        ["files read", "binary files"]
    };
    let mut parts = vec![
        format!("findings: {}{counts}", findings.len()),
        format!("{read}: {}", scanned.read),
    ];
    for (what, number) in [
        (passed_over, scanned.passed_over),
        ("on lines to ignore", scanned.ignored),
        ("in bindings", scanned.in_bindings),
    ] {
        if number > 0 {
            parts.push(format!("{what}: {number}"));
        }
    }
    writeln!(err, "{}", parts.join("; "))?;
    Ok(())
}
