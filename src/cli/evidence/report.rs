//! The report: what it has of each binding, and its form as CSV. Pure.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use crate::{
    api::{InferenceProfileBinding, ProfileStatus, condition::ConditionType},
    catalog::embedded::Embedded,
    cli::Error,
    residency::{Limit, LimitError, LimitOrigin, Limits, NamespaceLimit},
};

/// What is reported.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// When the report was made.
    #[serde(rename = "reportTime")]
    pub(super) time: String,
    /// Version of the program that made the report.
    pub(super) program_version: &'static str,
    /// Address of the apiserver.
    pub(super) cluster: String,
    pub(super) bindings: Vec<Row>,
}

/// What is reported of a binding.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    namespace: String,
    name: String,
    model: String,
    /// The geography asked for.
    geography: String,
    profile: Option<ProfileStatus>,
    limits: Vec<LimitRow>,
    /// `ResidencySatisfied`, as the operator wrote it.
    residency: ConditionRow,
    /// Whether the status speaks of the spec as it is.
    current: bool,
    /// The route of the status, judged by these limits.
    recheck: Option<Recheck>,
    ready: ConditionRow,
    /// Objects written, as KIND/NAME.
    targets: Vec<String>,
}

/// A limit in force.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LimitRow {
    set_by: String,
    allowed_regions: Vec<String>,
    /// Why the limit can't be used.
    problem: Option<String>,
}

/// A condition; empty where there is none.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ConditionRow {
    status: String,
    reason: String,
    message: String,
}

/// What the limits say of the route.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Recheck {
    permitted: bool,
    message: String,
}

impl Row {
    /// Says whether the report shows that the binding is within its limits: by the operator's verdict on the spec as it is,
    /// and by the limits as they are.
    pub(super) fn is_satisfied(&self) -> bool {
        self.residency.status == "True"
            && self.current
            && self.recheck.as_ref().is_some_and(|check| check.permitted)
    }
}

/// Returns what is reported, ordered by namespace and name.
pub(super) fn rows(
    bindings: &[InferenceProfileBinding],
    namespaces: &BTreeMap<Arc<str>, NamespaceLimit>,
    operator: Option<&Limit>,
) -> Vec<Row> {
    let mut rows: Vec<Row> = bindings
        .iter()
        .map(|binding| {
            let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
            let limit = namespaces.get(namespace).cloned().unwrap_or_default();
            row(binding, namespace, &limit, operator)
        })
        .collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    rows
}

fn row(
    binding: &InferenceProfileBinding,
    namespace: &str,
    of_namespace: &NamespaceLimit,
    of_operator: Option<&Limit>,
) -> Row {
    let spec = &binding.spec;
    let status = binding.status.clone().unwrap_or_default();
    let own = spec.allowed_regions.as_ref();
    let own = own.map(|entries| Limit::parse(LimitOrigin::Binding, entries));
    let operator = of_operator.cloned().map(Ok);
    let mut limits: Vec<LimitRow> = own.iter().map(limit_row).collect();
    match of_namespace {
        NamespaceLimit::Set(limit) => limits.push(limit_row(limit)),
        NamespaceLimit::Unset => {}
        NamespaceLimit::Unknown => limits.push(LimitRow {
            set_by: LimitOrigin::Namespace.to_string(),
            allowed_regions: Vec::new(),
            problem: Some(
                "the Namespace can't be read: whether it sets a limit is not known".into(),
            ),
        }),
    }
    limits.extend(operator.iter().map(limit_row));
    let all = Limits::all(own.into_iter().chain(operator)).and_namespace(of_namespace);
    let condition = |kind: ConditionType| {
        let found = status.conditions.iter();
        let mut found = found.filter(|condition| condition.type_ == kind.as_str());
        found.next().map(condition_row).unwrap_or_default()
    };
    Row {
        namespace: namespace.to_owned(),
        name: binding.metadata.name.clone().unwrap_or_default(),
        model: spec.model.clone(),
        geography: spec.geography.clone(),
        limits,
        residency: condition(ConditionType::ResidencySatisfied),
        current: status.observed_generation.is_some()
            && status.observed_generation == binding.metadata.generation,
        recheck: status
            .profile
            .as_ref()
            .and_then(|profile| recheck(profile, &all)),
        ready: condition(ConditionType::Ready),
        targets: status
            .targets
            .iter()
            .map(|target| format!("{}/{}", target.kind, target.name))
            .collect(),
        profile: status.profile,
    }
}

fn limit_row(limit: &Result<Limit, LimitError>) -> LimitRow {
    match limit {
        Ok(limit) => LimitRow {
            set_by: limit.origin().to_string(),
            allowed_regions: limit.entries().collect(),
            problem: None,
        },
        Err(error) => LimitRow {
            set_by: error.origin().to_string(),
            allowed_regions: Vec::new(),
            problem: Some(error.to_string()),
        },
    }
}

fn condition_row(condition: &Condition) -> ConditionRow {
    ConditionRow {
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

/// Judges the route of a status; nothing where it can't be read.
fn recheck(profile: &ProfileStatus, limits: &Limits) -> Option<Recheck> {
    if profile.destination_regions.is_empty() {
        return None;
    }
    let judgement = limits.judge(&profile.route().ok()?, Embedded::load());
    Some(Recheck {
        permitted: judgement.permits(),
        message: judgement.message(),
    })
}

/// The columns of the CSV form, and what stands in them.
type Column = (&'static str, fn(&Report, &Row) -> String);

const COLUMNS: &[Column] = &[
    ("namespace", |_, row| row.namespace.clone()),
    ("name", |_, row| row.name.clone()),
    ("model", |_, row| row.model.clone()),
    ("geography", |_, row| row.geography.clone()),
    ("profileID", |_, row| of_profile(row, |p| p.id.clone())),
    ("sourceRegion", |_, row| {
        of_profile(row, |p| p.source_region.clone())
    }),
    ("destinationRegions", |_, row| {
        of_profile(row, |p| p.destination_regions.join(" "))
    }),
    ("limits", |_, row| limits_text(&row.limits)),
    ("residencySatisfied", |_, row| row.residency.status.clone()),
    ("residencyReason", |_, row| row.residency.reason.clone()),
    ("residencyMessage", |_, row| row.residency.message.clone()),
    ("current", |_, row| row.current.to_string()),
    ("recheckPermitted", |_, row| {
        let check = row.recheck.as_ref();
        check.map_or_else(String::new, |check| check.permitted.to_string())
    }),
    ("recheckMessage", |_, row| {
        let check = row.recheck.as_ref();
        check.map_or_else(String::new, |check| check.message.clone())
    }),
    ("ready", |_, row| row.ready.status.clone()),
    ("readyReason", |_, row| row.ready.reason.clone()),
    ("catalogSource", |_, row| {
        of_profile(row, |p| p.catalog.source.clone())
    }),
    ("catalogAccount", |_, row| {
        of_profile(row, |p| p.catalog.account.clone().unwrap_or_default())
    }),
    ("catalogAsOf", |_, row| {
        of_profile(row, |p| p.catalog.as_of.clone())
    }),
    ("targets", |_, row| row.targets.join(" ")),
    ("cluster", |report, _| report.cluster.clone()),
    ("programVersion", |report, _| {
        report.program_version.to_owned()
    }),
    ("reportTime", |report, _| report.time.clone()),
];

fn of_profile(row: &Row, field: impl FnOnce(&ProfileStatus) -> String) -> String {
    row.profile.as_ref().map_or_else(String::new, field)
}

fn limits_text(limits: &[LimitRow]) -> String {
    let texts: Vec<String> = limits
        .iter()
        .map(|limit| {
            let says = match &limit.problem {
                Some(problem) => problem.clone(),
                None => limit.allowed_regions.join(" "),
            };
            format!("{}: {says}", limit.set_by)
        })
        .collect();
    texts.join("; ")
}

pub(super) fn csv(report: &Report) -> Result<Vec<u8>, Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = |error: csv::Error| Error::Output(error.into());
    let header = COLUMNS.iter().map(|(name, _)| *name);
    writer.write_record(header).map_err(written)?;
    for row in &report.bindings {
        let fields = COLUMNS.iter().map(|(_, text)| plain(text(report, row)));
        writer.write_record(fields).map_err(written)?;
    }
    writer
        .into_inner()
        .map_err(|error| Error::Output(error.into_error()))
}

/// Keeps a spreadsheet from taking a text for a formula, by a quotation mark before it.
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
    use serde_json::{Value, json};

    use super::*;

    fn binding(name: &str, geography: &str, more: &Value) -> InferenceProfileBinding {
        let mut object = json!({
            "apiVersion": "inferenceprofiles.dev/v1alpha1",
            "kind": "InferenceProfileBinding",
            "metadata": {"name": name, "namespace": "shop", "generation": 2},
            "spec": {"model": "amazon.nova-lite-v1:0", "geography": geography},
            "status": {
                "observedGeneration": 2,
                "conditions": [{
                    "type": "ResidencySatisfied", "status": "True", "reason": "AllRegionsAllowed",
                    "message": "fine", "lastTransitionTime": "2026-10-27T00:00:00Z",
                }],
                "profile": {
                    "id": format!("{geography}.amazon.nova-lite-v1:0"), "geography": geography,
                    "sourceRegion": "eu-west-1", "foundationModelID": "amazon.nova-lite-v1:0",
                    "destinationRegions": ["eu-central-1", "eu-west-1"],
                    "catalog": {"source": "bedrock", "account": "111122223333", "asOf": "2026-10-27T00:00:00Z"},
                },
                "targets": [{
                    "kind": "ConfigMap", "name": name, "uid": "u", "creationPolicy": "Owner", "valuesHash": "h",
                }],
            },
        });
        for (pointer, value) in more.as_object().expect("pointers") {
            *object.pointer_mut(pointer).expect("a field") = value.clone();
        }
        serde_json::from_value(object).expect("a binding")
    }

    fn known(limit: &NamespaceLimit) -> BTreeMap<Arc<str>, NamespaceLimit> {
        BTreeMap::from([("shop".into(), limit.clone())])
    }

    fn report(bindings: Vec<Row>) -> Report {
        Report {
            time: "2026-10-27T00:00:00Z".to_owned(),
            program_version: "0.1.0",
            cluster: "https://cluster.example/".to_owned(),
            bindings,
        }
    }

    #[test]
    fn only_a_current_true_verdict_that_the_limits_confirm_is_satisfied() {
        let eu = NamespaceLimit::of_annotation(Some("@eu"));
        let elsewhere = json!({"/status/profile/destinationRegions": ["eu-west-1", "us-east-1"]});
        let no_profile = json!({"/status/profile": null});
        let denied = json!({"/status/conditions/0/status": "False"});
        let unknown = json!({"/status/conditions/0/status": "Unknown"});
        for (what, changes, limit, satisfied) in [
            ("fine", json!({}), &eu, true),
            ("no limit", json!({}), &NamespaceLimit::Unset, true),
            ("no Namespace", json!({}), &NamespaceLimit::Unknown, false),
            (
                "malformed",
                json!({}),
                &NamespaceLimit::of_annotation(Some("europe")),
                false,
            ),
            (
                "another spec",
                json!({"/metadata/generation": 3}),
                &eu,
                false,
            ),
            ("no status", json!({"/status": null}), &eu, false),
            ("False", denied, &eu, false),
            ("Unknown", unknown, &eu, false),
            ("a region outside", elsewhere, &eu, false),
            ("no profile", no_profile, &eu, false),
        ] {
            let rows = rows(&[binding("chat", "eu", &changes)], &known(limit), None);
            assert_eq!(rows[0].is_satisfied(), satisfied, "{what}: {rows:#?}");
        }
    }

    #[test]
    fn limits_are_named_with_who_set_them() {
        let mut own = binding("chat", "eu", &json!({}));
        own.spec.allowed_regions = Some(vec!["eu-*".to_owned()]);
        let eu = NamespaceLimit::of_annotation(Some("@eu, @uk"));
        let operator = Limit::parse(LimitOrigin::Operator, &["eu-west-1"]).expect("a limit");
        let rows = rows(&[own], &known(&eu), Some(&operator));
        assert_eq!(
            limits_text(&rows[0].limits),
            "spec.allowedRegions: eu-*; the Namespace's annotation inferenceprofiles.dev/allowed-regions: @eu @uk; the operator's --allowed-regions: eu-west-1"
        );
        let check = rows[0].recheck.as_ref().expect("a route");
        assert!(
            !check.permitted && check.message.contains("the operator's --allowed-regions"),
            "{check:?}"
        );
    }

    #[test]
    fn the_order_does_not_depend_on_the_lists() {
        let (a, b) = (
            binding("a", "eu", &json!({})),
            binding("b", "eu", &json!({})),
        );
        let none = BTreeMap::new();
        assert_eq!(
            rows(&[a.clone(), b.clone()], &none, None),
            rows(&[b, a], &none, None)
        );
    }

    #[test]
    fn csv_is_quoted_and_runs_nothing() {
        let message = "=HYPERLINK(\"https://example.com\"), \"quoted\"\nline";
        let changes = json!({"/status/conditions/0/message": message});
        let rows = rows(&[binding("chat", "eu", &changes)], &BTreeMap::new(), None);
        let text = csv(&report(rows)).expect("CSV");
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let header = reader.headers().expect("a header").clone();
        let record = reader.records().next().expect("a line").expect("a record");
        let field = |name: &str| {
            let at = header.iter().position(|field| field == name);
            &record[at.expect(name)]
        };
        assert_eq!(field("residencyMessage"), format!("'{message}"));
        assert_eq!(field("destinationRegions"), "eu-central-1 eu-west-1");
        assert_eq!(field("targets"), "ConfigMap/chat");
        for text in ["=1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"] {
            assert_eq!(plain(text.to_owned()), format!("'{text}"));
        }
        for text in ["", "eu-west-1", "*", "111122223333"] {
            assert_eq!(plain(text.to_owned()), text);
        }
        let nothing = csv(&report(Vec::new())).expect("CSV");
        assert_eq!(String::from_utf8(nothing).expect("text").lines().count(), 1);
    }
}
