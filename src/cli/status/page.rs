//! The page: what it says of a binding, and how it is printed. Pure.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use jiff::civil::Date;
use serde::Serialize;

use crate::{
    api::{
        Application, AskedModel, Fallback, InferenceProfileBinding, LifecycleStatus, NamedModel,
        NamedModelStatus, ProfileStatus,
        condition::{ConditionStatus, ConditionType},
    },
    catalog::{Catalog, embedded::Embedded},
    class::{Class, Labels, RequestError},
    cli::{Error, printable},
    models::{ModelName, about},
    plan::observed::{Ask, Spec, TargetSpec},
    residency::{Limit, LimitError, LimitOrigin, Limits, NamespaceLimit},
    resolve::{self, Context},
    route::Route,
    types::Region,
};

/// What a binding is judged by, as it is in the cluster.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Limit and labels of the Namespace. `None` if it may not be read.
    pub(super) namespace: Option<(NamespaceLimit, Labels)>,
    /// The classes that the binding names: `None` if there is none of the name, Err if it may not be read.
    pub(super) classes: BTreeMap<String, Result<Option<Arc<Class>>, String>>,
}

impl Around {
    fn class(&self, name: &Arc<str>) -> Result<Arc<Class>, RequestError> {
        match self.classes.get(&**name) {
            Some(Ok(Some(class))) => Ok(class.clone()),
            Some(Ok(None)) => Err(RequestError::ClassNotFound(name.clone())),
            Some(Err(_)) | None => Err(RequestError::ClassesUnreadable(name.clone())),
        }
    }
}

/// A binding on one page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    namespace: String,
    name: String,
    /// Whether the status is about the current spec.
    current: bool,
    suspended: bool,
    /// When somebody deleted it, if it is not gone yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion_timestamp: Option<String>,
    asks_for: AsksFor,
    conditions: Vec<ConditionLine>,
    profile: Option<ProfileStatus>,
    /// What is written of each of several models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<NamedModelStatus>,
    limits: Vec<LimitLine>,
    /// By which catalog candidates are judged. Empty if they are not.
    judged_by: String,
    candidates: Vec<CandidateLine>,
    targets: Vec<TargetLine>,
    lifecycle: Option<LifecycleStatus>,
    restarts: Vec<RestartLine>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct AsksFor {
    class: Option<String>,
    stage: Option<String>,
    model: Option<String>,
    geography: Option<String>,
    fallback: Option<Fallback>,
    application: Option<String>,
    source_region: Option<String>,
    #[serde(rename = "roleARN")]
    role_arn: Option<String>,
    /// Several models by name, in the place of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<BTreeMap<String, NamedModel>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConditionLine {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
    since: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitLine {
    set_by: String,
    allowed_regions: Vec<String>,
    /// What it says to the profile in use: `permits`, `forbids`; or `unknown` if it can't be read. `None` without a profile.
    verdict: Option<&'static str>,
    problem: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CandidateLine {
    /// For which of several models it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    model: String,
    geography: String,
    profile: Option<String>,
    outcome: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetLine {
    kind: String,
    name: String,
    creation_policy: String,
    keys: Vec<String>,
    /// Whether the status records it as written.
    written: bool,
    /// When its values were written last.
    last_change_time: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct RestartLine {
    kind: String,
    name: String,
    /// `owed`: a value that it reads has changed; `missing`: it did not exist when it was to be restarted; `none`.
    restart: &'static str,
}

impl Page {
    /// Returns the page without candidates. `of_operator` is the operator's limit.
    pub(super) fn new(
        binding: &InferenceProfileBinding,
        namespace: &str,
        around: &Around,
        of_operator: Option<&Limit>,
        embedded: &Embedded,
    ) -> Self {
        let spec = &binding.spec;
        let status = binding.status.clone().unwrap_or_default();
        let routes = status.profiles().filter_map(|(model, profile)| {
            let is_known = !profile.destination_regions.is_empty();
            let route = is_known.then(|| profile.route().ok()).flatten()?;
            let (_, asked) = spec.asked().find(|(name, _)| *name == model)?;
            Some((asked.class, route))
        });
        let routes: Vec<(Option<&str>, Route)> = routes.collect();
        Self {
            namespace: namespace.to_owned(),
            name: binding.metadata.name.clone().unwrap_or_default(),
            current: status.observed_generation.is_some()
                && status.observed_generation == binding.metadata.generation,
            suspended: spec.suspend.unwrap_or_default(),
            deletion_timestamp: binding
                .metadata
                .deletion_timestamp
                .as_ref()
                .map(|time| time.0.to_string()),
            asks_for: AsksFor {
                class: spec.class_name.clone(),
                stage: None,
                model: spec.model.clone(),
                geography: spec.geography.clone(),
                fallback: spec.fallback.clone(),
                application: spec.application.as_ref().map(|it| it.name.clone()),
                source_region: spec.source_region.clone(),
                role_arn: spec.role_arn.clone(),
                models: spec.models.clone(),
            },
            conditions: status
                .conditions
                .iter()
                .map(|condition| ConditionLine {
                    kind: condition.type_.clone(),
                    status: condition.status.clone(),
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                    since: condition.last_transition_time.0.to_string(),
                })
                .collect(),
            limits: limits(binding, around, of_operator)
                .into_iter()
                .map(|(class, limit)| {
                    let concerned = routes
                        .iter()
                        .filter(|(named, _)| class.is_none() || *named == class);
                    limit_line(&limit, concerned.map(|(_, route)| route), embedded)
                })
                .collect(),
            judged_by: String::new(),
            candidates: Vec::new(),
            targets: targets(binding),
            lifecycle: status.model_lifecycle.clone(),
            restarts: restarts(binding),
            profile: status.profile,
            models: status.models,
        }
    }

    /// Returns the region that workloads call from: that of the spec, or the one in use.
    pub(super) fn source_region(&self) -> Option<Region> {
        let several = self.models.iter().filter_map(|it| it.profile.as_ref());
        let mut written = self.profile.iter().chain(several);
        let used = written.next().map(|it| it.source_region.as_str());
        let named = self.asks_for.source_region.as_deref().or(used)?;
        named.parse().ok()
    }

    pub(super) fn is_ready(&self) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.any(|condition| {
            condition.kind == ConditionType::Ready.as_str()
                && condition.status == ConditionStatus::True.as_str()
        })
    }

    /// Adds what became of each candidate, by this catalog.
    ///
    /// # Errors
    /// Why it is not known what the binding asks for.
    pub(super) fn judge(
        &mut self,
        binding: &InferenceProfileBinding,
        around: &Around,
        of_operator: Option<&Limit>,
        catalog: &Catalog,
        embedded: &'static Embedded,
        day: Date,
    ) -> Result<(), String> {
        let name = Arc::from(self.name.as_str());
        let mut spec = Spec::parse(&binding.spec, &name, catalog.source_region());
        let labels = around.namespace.as_ref().map(|(_, labels)| labels);
        spec.apply_class(|class| around.class(class), &self.namespace, labels);
        let mut unknown = Vec::new();
        for (model, ask) in spec.asks.iter() {
            let request = match &ask.request {
                Ok(request) => request,
                Err(error) => {
                    unknown.push(about(model, &error.to_string()));
                    continue;
                }
            };
            if model.is_none() {
                let stage = ask.class.as_ref().and_then(|class| class.stage.as_ref());
                self.asks_for.stage = stage.map(ToString::to_string);
            }
            self.judged_by = match catalog.as_of() {
                Some(date) => format!("the {} catalog of {date}", catalog.source().as_str()),
                None => format!("the {} catalog", catalog.source().as_str()),
            };
            let limits = in_force(&spec, ask, around, of_operator);
            let context = Context {
                catalog,
                limits: &limits,
                embedded,
                day,
            };
            let candidates = match resolve::resolve(request, &context) {
                Ok(resolution) => resolution.candidates,
                Err(unresolved) => unresolved.candidates,
            };
            let lines = candidates.iter().map(|candidate| CandidateLine {
                name: model.map(ToString::to_string),
                model: candidate.model.to_string(),
                geography: candidate.choice.to_string(),
                profile: candidate.id.as_deref().map(ToOwned::to_owned),
                outcome: candidate.outcome.to_string(),
            });
            self.candidates.extend(lines);
        }
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(format!("no candidates: {}", unknown.join("; ")))
        }
    }

    /// Prints the page for a person.
    pub(super) fn print(&self, out: &mut impl Write) -> Result<(), Error> {
        let mut lines = Lines(Vec::new());
        let suspended = if self.suspended { ", suspended" } else { "" };
        lines.field(
            "Binding",
            &format!("{}/{}{suspended}", self.namespace, self.name),
        );
        if let Some(since) = &self.deletion_timestamp {
            lines.field(
                "Deleted",
                &format!(
                    "{since}: it goes when the operator has let go of its targets; `kubectl describe ipb` says why it does not"
                ),
            );
        }
        if !self.current {
            lines.field(
                "Status",
                "older than the spec: no operator has looked at it since",
            );
        }
        self.print_request(&mut lines);
        self.print_profiles(&mut lines);
        self.print_conditions(&mut lines);
        self.print_limits_and_candidates(&mut lines);
        self.print_targets(&mut lines);
        for line in lines.0 {
            writeln!(out, "{}", printable(&line).trim_end())?;
        }
        Ok(())
    }

    fn print_profiles(&self, lines: &mut Lines) {
        if let Some(profile) = &self.profile {
            print_profile(lines, profile);
        }
        print_life(lines, self.lifecycle.as_ref());
        for model in &self.models {
            lines.field("Model", &model.name);
            if let Some(profile) = &model.profile {
                print_profile(lines, profile);
            }
            print_life(lines, model.model_lifecycle.as_ref());
        }
        let mut several = self.models.iter();
        if self.profile.is_none() && several.all(|model| model.profile.is_none()) {
            lines.field("Profile", "none: nothing is written");
        }
    }

    fn print_conditions(&self, lines: &mut Lines) {
        lines.title("Conditions");
        for condition in &self.conditions {
            lines.row(&format!(
                "{:<18} {:<8} {}, since {}",
                condition.kind, condition.status, condition.reason, condition.since
            ));
            lines.row(&format!("{:<18} {}", "", condition.message));
        }
        if self.conditions.is_empty() {
            lines.row("none: no operator has looked at it");
        }
    }

    fn print_limits_and_candidates(&self, lines: &mut Lines) {
        lines.title("Limits");
        for limit in &self.limits {
            let verdict = limit.verdict.map_or_else(String::new, |verdict| {
                format!(": {verdict} the profile in use")
            });
            let what = limit
                .problem
                .clone()
                .unwrap_or(limit.allowed_regions.join(", "));
            lines.row(&format!("{what} (set by {}){verdict}", limit.set_by));
        }
        if self.limits.is_empty() {
            lines.row("none that is known here");
        }
        if !self.candidates.is_empty() {
            lines.title(&format!("Candidates, by {}", self.judged_by));
        }
        for candidate in &self.candidates {
            let asked = match &candidate.name {
                Some(name) => {
                    let several = self.asks_for.models.as_ref();
                    several.and_then(|it| it.get(name)?.model.as_ref())
                }
                None => self.asks_for.model.as_ref(),
            };
            let fallback = match asked {
                Some(model) if *model == candidate.model => String::new(),
                _ => format!("{} ", candidate.model),
            };
            let id = candidate.profile.as_deref().unwrap_or("-");
            let text = format!(
                "{fallback}{}: {id}: {}",
                candidate.geography, candidate.outcome
            );
            let name = candidate.name.as_deref().map(Arc::from);
            lines.row(&about(name.as_ref(), &text));
        }
    }

    fn print_targets(&self, lines: &mut Lines) {
        lines.title("Targets");
        for target in &self.targets {
            let written = match (&target.last_change_time, target.written) {
                (Some(time), _) => format!("written {time}"),
                (None, true) => "written".to_owned(),
                (None, false) => "not written".to_owned(),
            };
            lines.row(&format!(
                "{}/{} ({}, {written})",
                target.kind, target.name, target.creation_policy
            ));
            lines.row(&format!("  {}", target.keys.join(", ")));
        }
        if !self.restarts.is_empty() {
            lines.title("Restarts");
        }
        for restart in &self.restarts {
            lines.row(&format!(
                "{}/{}: {}",
                restart.kind, restart.name, restart.restart
            ));
        }
    }

    fn print_request(&self, lines: &mut Lines) {
        let asks = &self.asks_for;
        let several = asks.models.iter().flatten();
        for (name, model) in several {
            print_ask(lines, Some(&Arc::from(name.as_str())), model.asked(), None);
        }
        let application = asks.application.clone().map(|name| Application { name });
        let only = AskedModel {
            class: asks.class.as_deref(),
            model: asks.model.as_deref(),
            geography: asks.geography.as_deref(),
            fallback: asks.fallback.as_ref(),
            application: application.as_ref(),
        };
        print_ask(lines, None, only, asks.stage.as_deref());
        if let Some(role) = &asks.role_arn {
            lines.field("Role", role);
        }
    }
}

/// Prints what is asked for as the only model, or under a name.
fn print_ask(lines: &mut Lines, name: ModelName<'_>, ask: AskedModel<'_>, stage: Option<&str>) {
    if let Some(class) = ask.class {
        let stage = stage.map_or_else(String::new, |stage| format!(", stage {stage}"));
        lines.field("Class", &about(name, &format!("{class}{stage}")));
    }
    if let (Some(model), Some(geography)) = (ask.model, ask.geography) {
        lines.field("Asks for", &about(name, &format!("{model} in {geography}")));
    }
    if let Some(fallback) = ask.fallback {
        let mut parts = Vec::new();
        parts.extend(fallback.geographies.iter().flatten().cloned());
        parts.extend(fallback.models.iter().flatten().cloned());
        if fallback.on_demand.unwrap_or_default() {
            parts.push("on demand".to_owned());
        }
        if !parts.is_empty() {
            lines.field("Fallbacks", &about(name, &parts.join(", ")));
        }
    }
    if let Some(application) = ask.application {
        let text = format!("the application profile {}", application.name);
        lines.field("Application", &about(name, &text));
    }
}

fn print_profile(lines: &mut Lines, profile: &ProfileStatus) {
    lines.field("Profile", &profile.id);
    if let Some(arn) = &profile.application_profile_arn {
        lines.field("Application", arn);
    }
    lines.field(
        "Route",
        &format!(
            "{} -> {}",
            profile.source_region,
            profile.destination_regions.join(", ")
        ),
    );
    let catalog = &profile.catalog;
    lines.field(
        "Catalog",
        &format!("{}, since {}", catalog.source, catalog.as_of),
    );
}

fn print_life(lines: &mut Lines, life: Option<&LifecycleStatus>) {
    let Some(life) = life else {
        return;
    };
    let dates = [
        ("legacy", &life.legacy),
        ("extended access", &life.public_extended_access),
        ("end of life", &life.end_of_life),
    ];
    let dates: Vec<String> = dates
        .into_iter()
        .filter_map(|(what, date)| Some(format!("{what} {}", date.as_ref()?)))
        .collect();
    if !dates.is_empty() {
        lines.field("Life", &dates.join(", "));
    }
    if !life.successors.is_empty() {
        lines.field("Successors", &life.successors.join(", "));
    }
}

struct Lines(Vec<String>);

impl Lines {
    fn field(&mut self, name: &str, value: &str) {
        self.0.push(format!("{:<13} {value}", format!("{name}:")));
    }

    fn title(&mut self, title: &str) {
        self.0.push(format!("{title}:"));
    }

    fn row(&mut self, row: &str) {
        self.0.push(format!("  {row}"));
    }
}

/// A limit, or why it can't be used. `None`: whether there is one can't be read; then with who would set it.
type KnownLimit = Result<Limit, (LimitOrigin, String)>;

/// Returns the limits that hold, and those of which it is not known whether they do; those of classes with the class for whose models
/// they hold.
fn limits<'a>(
    binding: &InferenceProfileBinding,
    around: &'a Around,
    of_operator: Option<&Limit>,
) -> Vec<(Option<&'a str>, KnownLimit)> {
    let read = |limit: Result<Limit, LimitError>| {
        limit.map_err(|error| (error.origin(), error.to_string()))
    };
    let mut limits = Vec::new();
    if let Some(entries) = &binding.spec.allowed_regions {
        limits.push((None, read(Limit::parse(LimitOrigin::Binding, entries))));
    }
    for (name, class) in &around.classes {
        let limit = match class {
            Err(why) => Some(Err((LimitOrigin::Class, format!("not known: {why}")))),
            Ok(class) => {
                let limit = class.as_ref().and_then(|class| class.limit.as_deref());
                limit.cloned().map(read)
            }
        };
        limits.extend(limit.map(|limit| (Some(name.as_str()), limit)));
    }
    let of_namespace = match &around.namespace {
        Some((NamespaceLimit::Set(limit), _)) => Some(read((**limit).clone())),
        Some((NamespaceLimit::Unset, _)) => None,
        Some((NamespaceLimit::Unknown | NamespaceLimit::Terminating, _)) | None => {
            let why = "not known: the Namespace can't be read, or is being deleted";
            Some(Err((LimitOrigin::Namespace, why.to_owned())))
        }
    };
    let others = of_namespace.into_iter().chain(of_operator.cloned().map(Ok));
    limits.extend(others.map(|limit| (None, limit)));
    limits
}

/// Returns the limits that hold for a model, in the form in which routes are judged.
fn in_force(spec: &Spec, ask: &Ask, around: &Around, of_operator: Option<&Limit>) -> Limits {
    let operator = of_operator.cloned().map(Ok);
    let limits = Limits::all(spec.limits(Some(ask)).cloned().chain(operator));
    let of_namespace = around.namespace.as_ref().map(|(limit, _)| limit.clone());
    limits.and_namespace(&of_namespace.unwrap_or_default())
}

fn limit_line<'a>(
    limit: &KnownLimit,
    routes: impl Iterator<Item = &'a Route>,
    embedded: &Embedded,
) -> LimitLine {
    match limit {
        Ok(limit) => {
            let alone = Limits::all([Ok(limit.clone())]);
            let mut permitted = routes
                .map(|route| alone.judge(route, embedded).permits())
                .peekable();
            let is_used = permitted.peek().is_some();
            let permits_all = permitted.all(|permits| permits);
            LimitLine {
                set_by: limit.origin().to_string(),
                allowed_regions: limit.entries().collect(),
                verdict: is_used.then_some(if permits_all { "permits" } else { "forbids" }),
                problem: None,
            }
        }
        Err((origin, problem)) => LimitLine {
            set_by: origin.to_string(),
            allowed_regions: Vec::new(),
            verdict: None,
            problem: Some(problem.clone()),
        },
    }
}

fn targets(binding: &InferenceProfileBinding) -> Vec<TargetLine> {
    let written = binding.status.as_ref().map(|status| &status.targets[..]);
    let written = written.unwrap_or_default();
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    let targets = TargetSpec::all_of(&binding.spec, &Arc::from(name));
    let lines = targets.iter().map(|target| {
        let mut records = written.iter();
        let record =
            records.find(|record| record.kind == target.kind && record.name == *target.name);
        let time = record.and_then(|record| record.last_change_time.as_ref());
        TargetLine {
            kind: target.kind.to_string(),
            name: target.name.to_string(),
            creation_policy: format!("{:?}", target.policy),
            keys: target.key_names().map(ToOwned::to_owned).collect(),
            written: record.is_some(),
            last_change_time: time.map(|time| time.0.to_string()),
        }
    });
    lines.collect()
}

fn restarts(binding: &InferenceProfileBinding) -> Vec<RestartLine> {
    let status = binding.status.as_ref();
    let is_owed = status.is_some_and(|status| {
        let mut targets = status.targets.iter();
        targets.any(|target| !target.restart_pending_keys.is_empty())
    });
    let workloads = binding.spec.rollout.iter().flatten();
    workloads
        .map(|workload| {
            let is_missing = status.is_some_and(|status| {
                let mut missing = status.missing_workloads.iter();
                missing.any(|it| it.kind == workload.kind && it.name == workload.name)
            });
            RestartLine {
                kind: workload.kind.to_string(),
                name: workload.name.clone(),
                restart: match (is_missing, is_owed) {
                    (true, _) => "missing",
                    (false, true) => "owed",
                    (false, false) => "none",
                },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    fn binding(spec: &serde_json::Value, status: &serde_json::Value) -> InferenceProfileBinding {
        let object = json!({
            "apiVersion": "inferenceprofiles.dev/v1alpha1",
            "kind": "InferenceProfileBinding",
            "metadata": {"name": "chat", "namespace": "shop", "generation": 2},
            "spec": spec,
            "status": status,
        });
        serde_json::from_value(object).expect("a binding")
    }

    fn bound() -> InferenceProfileBinding {
        binding(
            &json!({
                "model": "anthropic.claude-sonnet-5-5", "geography": "eu", "sourceRegion": "eu-west-1",
                "fallback": {"geographies": ["global"]}, "allowedRegions": ["@eu"],
                "targets": [
                    {"kind": "ConfigMap", "name": "a", "keys": {"MODEL": "ProfileID"}},
                    {"kind": "Secret", "name": "b", "creationPolicy": "Merge"},
                ],
                "rollout": [{"kind": "Deployment", "name": "web"}, {"kind": "Deployment", "name": "gone"}],
            }),
            &json!({
                "observedGeneration": 2,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Bound", "message": "m",
                    "lastTransitionTime": "2026-11-28T12:00:00Z",
                }],
                "profile": {
                    "id": "eu.anthropic.claude-sonnet-5-5", "geography": "eu", "sourceRegion": "eu-west-1",
                    "foundationModelID": "anthropic.claude-sonnet-5-5",
                    "destinationRegions": ["eu-central-1", "eu-west-1"],
                    "catalog": {"source": "embedded", "asOf": "2026-11-01"},
                },
                "targets": [{
                    "kind": "ConfigMap", "name": "a", "uid": "u", "creationPolicy": "Owner", "valuesHash": "h",
                    "restartPendingKeys": ["MODEL"],
                }],
                "missingWorkloads": [{"kind": "Deployment", "name": "gone"}],
                "modelLifecycle": {"legacy": "2027-01-01", "successors": ["anthropic.claude-opus-5-5"]},
            }),
        )
    }

    fn page(binding: &InferenceProfileBinding, around: &Around, operator: &[&str]) -> Page {
        let operator = Limit::parse(LimitOrigin::Operator, operator).ok();
        let embedded = Embedded::load();
        let mut page = Page::new(binding, "shop", around, operator.as_ref(), embedded);
        let catalog = embedded.catalog(&"eu-west-1".parse().expect("a region"));
        let day = jiff::civil::date(2026, 11, 28);
        page.judge(binding, around, operator.as_ref(), &catalog, embedded, day)
            .expect("judged");
        page
    }

    fn no_limit() -> Around {
        Around {
            namespace: Some((NamespaceLimit::Unset, Labels::default())),
            classes: BTreeMap::new(),
        }
    }

    #[test]
    fn a_page_has_all_of_a_binding() {
        let page = page(&bound(), &no_limit(), &["eu-west-1"]);
        assert!(page.current && page.is_ready());
        let verdicts: Vec<_> = page
            .limits
            .iter()
            .map(|it| (it.set_by.as_str(), it.verdict))
            .collect();
        assert_eq!(
            verdicts,
            [
                ("spec.allowedRegions", Some("permits")),
                ("the operator's --allowed-regions", Some("forbids")),
            ]
        );
        let keys: Vec<_> = page
            .targets
            .iter()
            .map(|it| (it.name.as_str(), it.written, it.keys.len()))
            .collect();
        assert_eq!(keys, [("a", true, 1), ("b", false, 5)]);
        let restarts: Vec<_> = page
            .restarts
            .iter()
            .map(|it| (it.name.as_str(), it.restart))
            .collect();
        assert_eq!(restarts, [("web", "owed"), ("gone", "missing")]);
        let candidates: Vec<_> = page
            .candidates
            .iter()
            .map(|it| it.geography.as_str())
            .collect();
        assert_eq!(candidates, ["eu", "global"]);
        // The limits judge what was chosen: they choose nothing in the place of the geography that is asked for.
        assert_eq!(page.candidates[0].outcome, "chosen");

        let mut out = Vec::new();
        page.print(&mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        for line in [
            "Binding:      shop/chat\n",
            "Asks for:     anthropic.claude-sonnet-5-5 in eu\n",
            "Fallbacks:    global\n",
            "Route:        eu-west-1 -> eu-central-1, eu-west-1\n",
            "Life:         legacy 2027-01-01\n",
            "  Ready              True     Bound, since 2026-11-28T12:00:00Z\n",
            "  @eu (set by spec.allowedRegions): permits the profile in use\n",
            "Candidates, by the embedded catalog of 2026-",
            "  ConfigMap/a (Owner, written)\n    MODEL\n",
            "  Secret/b (Merge, not written)\n    BEDROCK_",
            "  Deployment/web: owed\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_binding_that_waits_for_its_deletion_says_so() {
        let mut binding = bound();
        let time = "2026-11-28T13:00:00Z".parse().expect("a time");
        binding.metadata.deletion_timestamp = Some(Time(time));
        let page = page(&binding, &no_limit(), &["eu-west-1"]);
        let mut out = Vec::new();
        page.print(&mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        let line = "Deleted:      2026-11-28T13:00:00Z: it goes when";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_can_not_be_read_is_said() {
        let around = Around {
            namespace: None,
            classes: BTreeMap::from([("chat".to_owned(), Err("forbidden".to_owned()))]),
        };
        let binding = binding(&json!({"className": "chat"}), &json!({}));
        let mut page = Page::new(&binding, "shop", &around, None, Embedded::load());
        assert!(!page.current && !page.is_ready());
        let problems: Vec<_> = page
            .limits
            .iter()
            .filter_map(|it| it.problem.clone())
            .collect();
        assert_eq!(problems.len(), 2, "{page:#?}");
        let catalog = Embedded::load().catalog(&"eu-west-1".parse().expect("a region"));
        let day = jiff::civil::date(2026, 11, 28);
        let judged = page.judge(&binding, &around, None, &catalog, Embedded::load(), day);
        assert!(judged.expect_err("why").contains("can't read classes"));
        let mut out = Vec::new();
        page.print(&mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        assert!(
            text.contains("none: no operator has looked at it"),
            "{text}"
        );
        assert!(
            text.contains("Profile:      none: nothing is written"),
            "{text}"
        );
    }

    #[test]
    fn a_class_asks_with_its_stage() {
        let spec = json!({
            "model": "anthropic.claude-sonnet-5-5", "geography": "eu", "allowedRegions": ["@eu"],
            "stages": [{"name": "canary", "namespaceSelector": {}, "geography": "global"}],
        });
        let class = Class::parse("chat", &serde_json::from_value(spec).expect("a class"));
        let around = Around {
            classes: BTreeMap::from([("chat".to_owned(), Ok(Some(Arc::new(class))))]),
            ..no_limit()
        };
        let page = page(
            &binding(
                &json!({"className": "chat", "sourceRegion": "eu-west-1"}),
                &json!({}),
            ),
            &around,
            &["*"],
        );
        assert_eq!(page.asks_for.stage.as_deref(), Some("canary"));
        assert_eq!(page.candidates[0].geography, "global");
        assert_eq!(page.limits[0].set_by, "the class's spec.allowedRegions");
    }

    #[test]
    fn several_models_have_a_line_each() {
        let class = json!({"model": "anthropic.claude-sonnet-5-5", "geography": "eu", "allowedRegions": ["@eu"]});
        let class = Class::parse("chat", &serde_json::from_value(class).expect("a class"));
        let classes = [
            ("chat".to_owned(), Ok(Some(Arc::new(class)))),
            ("gone".to_owned(), Ok(None)),
        ];
        let around = Around {
            classes: classes.into(),
            ..no_limit()
        };
        let profile = |id: &str, geography: &str, regions: &[&str]| {
            json!({
                "id": id, "geography": geography, "sourceRegion": "eu-west-1",
                "foundationModelID": "anthropic.claude-sonnet-5-5", "destinationRegions": regions,
                "catalog": {"source": "embedded", "asOf": "2026-11-01"},
            })
        };
        let binding = binding(
            &json!({
                "models": {
                    "default": {"className": "chat"},
                    "haiku": {"model": "anthropic.claude-haiku-5-5", "geography": "global"},
                    "lost": {"className": "gone"},
                },
                "targets": [{"kind": "ConfigMap", "name": "a", "preset": "ClaudeCode"}],
            }),
            &json!({"models": [
                {"name": "default", "profile": profile("eu.anthropic.claude-sonnet-5-5", "eu", &["eu-west-1"])},
                {"name": "haiku", "profile": profile("us.anthropic.claude-haiku-5-5", "us", &["us-east-1"])},
            ]}),
        );
        let embedded = Embedded::load();
        let mut page = Page::new(&binding, "shop", &around, None, embedded);
        let region = page.source_region().expect("that of a written profile");
        let catalog = embedded.catalog(&region);
        let day = jiff::civil::date(2026, 11, 28);
        let unknown = page.judge(&binding, &around, None, &catalog, embedded, day);
        let unknown = unknown.expect_err("one class is not there");
        assert!(
            unknown.contains("lost: there is no class gone"),
            "{unknown}"
        );
        assert_eq!(page.limits[0].verdict, Some("permits"), "of its own models");
        let mut out = Vec::new();
        page.print(&mut out).expect("printed");
        let text = String::from_utf8(out).expect("text");
        for line in [
            "Class:        default: chat\n",
            "Asks for:     haiku: anthropic.claude-haiku-5-5 in global\n",
            "Model:        haiku\nProfile:      us.anthropic.claude-haiku-5-5\n",
            "  default: anthropic.claude-sonnet-5-5 eu: eu.anthropic.claude-sonnet-5-5: chosen\n",
            "  haiku: global: global.anthropic.claude-haiku-5-5: chosen\n",
            "ANTHROPIC_MODEL",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert!(!text.contains("nothing is written"), "{text}");
        assert!(!text.contains("BEDROCK_"), "{text}");
    }
}
