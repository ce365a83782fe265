//! The preview as a table and as JSON.

use std::{collections::BTreeSet, io::Write};

use serde_json::{Map, Value, json};

use super::{Error, Preview, effect::Row, printable};
use crate::{
    cli::{output, tables},
    plan::{
        identity::WorkloadKey,
        status::{ClassOrigin, Finding},
    },
};

/// Most bindings that are named because they could not be judged.
const NAMED: usize = 5;

/// Prints a line for each binding that would change.
pub(super) fn table(preview: &Preview, out: &mut impl Write) -> Result<(), Error> {
    let header = ["EFFECT", "BINDING", "NOW", "THEN", "RESTARTS", "WHY"];
    let mut table = tables::table(header, None);
    for row in &preview.rows {
        let restarts: Vec<String> = row.restarts.iter().map(ToString::to_string).collect();
        table.add_row([
            row.effect.as_str().to_owned(),
            row.binding.to_string(),
            or_none(row.value_now.as_deref()),
            or_none(row.value_then.as_deref()),
            or_none(
                (!restarts.is_empty())
                    .then(|| restarts.join(", "))
                    .as_deref(),
            ),
            printable(&row.why),
        ]);
    }
    out.write_all(tables::printed(&table).as_bytes())?;
    Ok(())
}

fn or_none(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// Prints one JSON object.
pub(super) fn json_object(preview: &Preview, out: &mut impl Write) -> Result<(), Error> {
    let summary = Summary::of(preview);
    let unknown = preview.unknown.iter();
    let unknown = unknown
        .map(|(key, why)| json!({"namespace": *key.namespace, "name": *key.name, "why": why}));
    let report = json!({
        "bindings": preview.rows.iter().map(binding).collect::<Vec<_>>(),
        "notJudged": unknown.collect::<Vec<_>>(),
        "summary": {
            "bindings": preview.bindings,
            "unchanged": preview.unchanged,
            "changed": preview.rows.len(),
            "lost": summary.lost,
            "restarts": summary.restarts,
            "notJudged": preview.unknown.len(),
        },
    });
    out.write_all(output::json(&report)?.as_bytes())?;
    Ok(())
}

fn binding(row: &Row) -> Value {
    let targets = row.targets.iter();
    let targets = targets.map(
        |(key, change)| json!({"kind": key.kind, "name": *key.name, "change": change.as_str()}),
    );
    let of_class =
        |class: &ClassOrigin| json!({"name": *class.name, "stage": class.stage.as_deref()});
    let mut row_json = json!({
        "namespace": *row.binding.namespace,
        "name": *row.binding.name,
        "effect": row.effect.as_str(),
        "valueNow": row.value_now,
        "valueThen": row.value_then,
        "readyNow": row.ready_now.as_ref().map(finding),
        "readyThen": row.ready_then.as_ref().map(finding),
        "why": row.why,
        "class": row.classes.iter().find(|(name, _)| name.is_none()).map(|(_, class)| of_class(class)),
        "targets": targets.collect::<Vec<_>>(),
        "restarts": row.restarts.iter().map(workload).collect::<Vec<_>>(),
    });
    let named = row.classes.iter();
    let named =
        named.filter_map(|(name, class)| Some((name.as_ref()?.to_string(), of_class(class))));
    let named: Map<String, Value> = named.collect();
    if !named.is_empty() {
        row_json["classes"] = named.into();
    }
    row_json
}

fn finding(finding: &Finding) -> Value {
    json!({
        "status": finding.status.to_string(),
        "reason": finding.reason.to_string(),
        "message": *finding.message,
    })
}

fn workload(workload: &WorkloadKey) -> Value {
    json!({"kind": workload.kind, "namespace": *workload.namespace, "name": *workload.name})
}

/// What the rows add up to.
struct Summary {
    /// How many bindings would lose Ready or their value, or would be new and not Ready.
    lost: usize,
    /// How many workloads would restart.
    restarts: usize,
}

impl Summary {
    fn of(preview: &Preview) -> Self {
        let rows = || preview.rows.iter();
        let restarts: BTreeSet<&WorkloadKey> = rows().flat_map(|row| &row.restarts).collect();
        Self {
            lost: rows().filter(|row| row.effect.is_loss()).count(),
            restarts: restarts.len(),
        }
    }
}

/// Tells what the preview lacks, and what the rows add up to.
pub(super) fn summary(preview: &Preview, err: &mut impl Write) -> Result<(), Error> {
    for remark in preview.remarks.iter().chain(&preview.incomplete) {
        writeln!(err, "{}", printable(remark))?;
    }
    for (key, why) in preview.unknown.iter().take(NAMED) {
        writeln!(err, "{key} can't be judged: {}", printable(why))?;
    }
    let more = preview.unknown.len().saturating_sub(NAMED);
    if more > 0 {
        writeln!(err, "and {more} more that can't be judged")?;
    }
    let Summary { lost, restarts } = Summary::of(preview);
    writeln!(
        err,
        "bindings: {}, would stay as they are: {}, would change: {}, would lose Ready or their value: {lost}, not judged: {}; workloads that would restart: {restarts}",
        preview.bindings,
        preview.unchanged,
        preview.rows.len(),
        preview.unknown.len(),
    )?;
    Ok(())
}
