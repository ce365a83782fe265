//! The page: what it says of a binding, and how it is printed. Pure.

use std::io::Write;

use jiff::civil::Date;
use serde::Serialize;

use crate::{
    api::{
        Fallback, InferenceProfileBinding, LifecycleStatus, ProfileStatus, ValueName,
        condition::{ConditionStatus, ConditionType},
    },
    catalog::{Catalog, embedded::Embedded},
    class::{Class, ClassUse, Labels, RequestError, Terms},
    cli::{Error, printable},
    render::{APPLICATION_KEYS, DEFAULT_KEYS},
    residency::{Limit, LimitError, LimitOrigin, Limits, NamespaceLimit},
    resolve::{self, Context, Request},
    route::Route,
    types::Region,
};

/// What a binding is judged by, as it is in the cluster.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Limit and labels of the Namespace. `None` if it may not be read.
    pub(super) namespace: Option<(NamespaceLimit, Labels)>,
    /// The class that the binding names: inside `None` if there is none, Err if it may not be read. `None` if it names none.
    pub(super) class: Option<Result<Option<Class>, String>>,
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
    asks_for: AsksFor,
    conditions: Vec<ConditionLine>,
    profile: Option<ProfileStatus>,
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
        let route = status
            .profile
            .as_ref()
            .filter(|profile| !profile.destination_regions.is_empty())
            .and_then(|profile| profile.route().ok());
        let limits = limits(binding, around, of_operator);
        Self {
            namespace: namespace.to_owned(),
            name: binding.metadata.name.clone().unwrap_or_default(),
            current: status.observed_generation.is_some()
                && status.observed_generation == binding.metadata.generation,
            suspended: spec.suspend.unwrap_or_default(),
            asks_for: AsksFor {
                class: spec.class_name.clone(),
                stage: None,
                model: spec.model.clone(),
                geography: spec.geography.clone(),
                fallback: spec.fallback.clone(),
                application: spec.application.as_ref().map(|it| it.name.clone()),
                source_region: spec.source_region.clone(),
                role_arn: spec.role_arn.clone(),
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
            limits: limits
                .iter()
                .map(|limit| limit_line(limit, route.as_ref(), embedded))
                .collect(),
            judged_by: String::new(),
            candidates: Vec::new(),
            targets: targets(binding),
            lifecycle: status.model_lifecycle.clone(),
            restarts: restarts(binding),
            profile: status.profile,
        }
    }

    /// Returns the region that workloads call from: that of the spec, or the one in use.
    pub(super) fn source_region(&self) -> Option<Region> {
        let used = self.profile.as_ref().map(|it| it.source_region.as_str());
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
        let region = catalog.source_region().clone();
        let (stage, request) = request(binding, around, &self.namespace, region)
            .map_err(|why| format!("no candidates: {why}"))?;
        self.asks_for.stage = stage;
        let limits = in_force(binding, around, of_operator);
        let context = Context {
            catalog,
            limits: &limits,
            embedded,
            day,
        };
        let candidates = match resolve::resolve(&request, &context) {
            Ok(resolution) => resolution.candidates,
            Err(unresolved) => unresolved.candidates,
        };
        self.judged_by = match catalog.as_of() {
            Some(date) => format!("the {} catalog of {date}", catalog.source().as_str()),
            None => format!("the {} catalog", catalog.source().as_str()),
        };
        self.candidates = candidates
            .iter()
            .map(|candidate| CandidateLine {
                model: candidate.model.to_string(),
                geography: candidate.choice.to_string(),
                profile: candidate.id.as_deref().map(ToOwned::to_owned),
                outcome: candidate.outcome.to_string(),
            })
            .collect();
        Ok(())
    }

    /// Prints the page for a person.
    pub(super) fn print(&self, out: &mut impl Write) -> Result<(), Error> {
        let mut lines = Lines(Vec::new());
        let suspended = if self.suspended { ", suspended" } else { "" };
        lines.field(
            "Binding",
            &format!("{}/{}{suspended}", self.namespace, self.name),
        );
        if !self.current {
            lines.field(
                "Status",
                "older than the spec: no operator has looked at it since",
            );
        }
        self.print_request(&mut lines);
        match &self.profile {
            None => lines.field("Profile", "none: nothing is written"),
            Some(profile) => {
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
        }
        self.print_life(&mut lines);
        self.print_conditions(&mut lines);
        self.print_limits_and_candidates(&mut lines);
        self.print_targets(&mut lines);
        for line in lines.0 {
            writeln!(out, "{}", printable(&line).trim_end())?;
        }
        Ok(())
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
            let fallback = match &self.asks_for.model {
                Some(model) if *model == candidate.model => String::new(),
                _ => format!("{} ", candidate.model),
            };
            let id = candidate.profile.as_deref().unwrap_or("-");
            lines.row(&format!(
                "{fallback}{}: {id}: {}",
                candidate.geography, candidate.outcome
            ));
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
        if let Some(class) = &asks.class {
            let stage = asks.stage.as_ref();
            let stage = stage.map_or_else(String::new, |stage| format!(", stage {stage}"));
            lines.field("Class", &format!("{class}{stage}"));
        }
        if let (Some(model), Some(geography)) = (&asks.model, &asks.geography) {
            lines.field("Asks for", &format!("{model} in {geography}"));
        }
        if let Some(fallback) = &asks.fallback {
            let mut parts = Vec::new();
            parts.extend(fallback.geographies.iter().flatten().cloned());
            parts.extend(fallback.models.iter().flatten().cloned());
            if fallback.on_demand.unwrap_or_default() {
                parts.push("on demand".to_owned());
            }
            if !parts.is_empty() {
                lines.field("Fallbacks", &parts.join(", "));
            }
        }
        if let Some(name) = &asks.application {
            lines.field("Application", &format!("the application profile {name}"));
        }
        if let Some(role) = &asks.role_arn {
            lines.field("Role", role);
        }
    }

    fn print_life(&self, lines: &mut Lines) {
        let Some(life) = &self.lifecycle else {
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

/// Returns the limits that hold, and those of which it is not known whether they do.
fn limits(
    binding: &InferenceProfileBinding,
    around: &Around,
    of_operator: Option<&Limit>,
) -> Vec<KnownLimit> {
    let read = |limit: Result<Limit, LimitError>| {
        limit.map_err(|error| (error.origin(), error.to_string()))
    };
    let mut limits = Vec::new();
    if let Some(entries) = &binding.spec.allowed_regions {
        limits.push(read(Limit::parse(LimitOrigin::Binding, entries)));
    }
    match &around.class {
        Some(Err(why)) => limits.push(Err((LimitOrigin::Class, format!("not known: {why}")))),
        Some(Ok(Some(class))) => limits.extend(class.limit.as_deref().cloned().map(read)),
        Some(Ok(None)) | None => {}
    }
    match &around.namespace {
        Some((NamespaceLimit::Set(limit), _)) => limits.push(read((**limit).clone())),
        Some((NamespaceLimit::Unset, _)) => {}
        Some((NamespaceLimit::Unknown | NamespaceLimit::Terminating, _)) | None => {
            let why = "not known: the Namespace can't be read, or is being deleted";
            limits.push(Err((LimitOrigin::Namespace, why.to_owned())));
        }
    }
    limits.extend(of_operator.cloned().map(Ok));
    limits
}

/// Returns the same limits in the form in which routes are judged.
fn in_force(
    binding: &InferenceProfileBinding,
    around: &Around,
    of_operator: Option<&Limit>,
) -> Limits {
    let own = binding.spec.allowed_regions.as_ref();
    let own = own.map(|entries| Limit::parse(LimitOrigin::Binding, entries));
    let class = around.class.as_ref().and_then(|class| class.as_ref().ok());
    let class = class.and_then(Option::as_ref);
    let class = class.and_then(|class| class.limit.as_deref().cloned());
    let operator = of_operator.cloned().map(Ok);
    let limits = Limits::all(own.into_iter().chain(class).chain(operator));
    let of_namespace = around.namespace.as_ref().map(|(limit, _)| limit.clone());
    let limits = limits.and_namespace(&of_namespace.unwrap_or_default());
    if matches!(around.class, Some(Err(_))) {
        limits.and_unknown()
    } else {
        limits
    }
}

fn limit_line(limit: &KnownLimit, route: Option<&Route>, embedded: &Embedded) -> LimitLine {
    match limit {
        Ok(limit) => LimitLine {
            set_by: limit.origin().to_string(),
            allowed_regions: limit.entries().collect(),
            verdict: route.map(|route| {
                let alone = Limits::all([Ok(limit.clone())]);
                if alone.judge(route, embedded).permits() {
                    "permits"
                } else {
                    "forbids"
                }
            }),
            problem: None,
        },
        Err((origin, problem)) => LimitLine {
            set_by: origin.to_string(),
            allowed_regions: Vec::new(),
            verdict: None,
            problem: Some(problem.clone()),
        },
    }
}

/// Returns what the binding asks for, with the stage of its class.
fn request(
    binding: &InferenceProfileBinding,
    around: &Around,
    namespace: &str,
    region: Region,
) -> Result<(Option<String>, Request), String> {
    let spec = &binding.spec;
    let application = spec.application.as_ref();
    let application = application.map(|it| it.name.parse()).transpose();
    let application = application.map_err(|error| format!("{error}"))?;
    if let Some(name) = &spec.class_name {
        let used = ClassUse::new(name, region, application);
        let class = match &around.class {
            Some(Ok(Some(class))) => Ok(class),
            Some(Ok(None)) => Err(RequestError::ClassNotFound(used.name.clone())),
            Some(Err(_)) | None => Err(RequestError::ClassesUnreadable(used.name.clone())),
        };
        let labels = around.namespace.as_ref().map(|(_, labels)| labels);
        let (used, request) = used.applied(class, namespace, labels);
        let request = request.map_err(|error| error.to_string())?;
        return Ok((used.stage.map(|stage| stage.to_string()), request));
    }
    let (Some(model), Some(geography)) = (&spec.model, &spec.geography) else {
        return Err("the spec names neither model and geography nor a class".to_owned());
    };
    let terms = Terms::parse(model, geography, spec.fallback.as_ref());
    let terms = terms.map_err(|error| error.to_string())?;
    Ok((None, terms.request(region, application)))
}

fn targets(binding: &InferenceProfileBinding) -> Vec<TargetLine> {
    let written = binding.status.as_ref().map(|status| &status.targets[..]);
    let written = written.unwrap_or_default();
    let default = || -> Vec<String> {
        let more: &[(&str, ValueName)] = if binding.spec.application.is_some() {
            &APPLICATION_KEYS
        } else {
            &[]
        };
        let keys = DEFAULT_KEYS.iter().chain(more);
        keys.map(|(key, _)| (*key).to_owned()).collect()
    };
    let line = |kind: String, name: String, policy: String, keys: Vec<String>| {
        let mut records = written.iter();
        let record = records.find(|record| record.kind.as_str() == kind && record.name == name);
        let time = record.and_then(|record| record.last_change_time.as_ref());
        TargetLine {
            written: record.is_some(),
            last_change_time: time.map(|time| time.0.to_string()),
            creation_policy: policy,
            kind,
            name,
            keys,
        }
    };
    let named = binding.spec.targets.as_deref().unwrap_or_default();
    if named.is_empty() {
        let name = binding.metadata.name.clone().unwrap_or_default();
        return vec![line("ConfigMap".into(), name, "Owner".into(), default())];
    }
    let lines = named.iter().map(|target| {
        let mut keys: Vec<String> = target
            .keys
            .iter()
            .flat_map(|keys| keys.keys().cloned())
            .collect();
        keys.extend(
            target
                .templates
                .iter()
                .flat_map(|texts| texts.keys().cloned()),
        );
        if keys.is_empty() {
            keys = default();
        }
        let policy = format!("{:?}", target.creation_policy.unwrap_or_default());
        line(target.kind.to_string(), target.name.clone(), policy, keys)
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
            class: None,
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
    fn what_can_not_be_read_is_said() {
        let around = Around {
            namespace: None,
            class: Some(Err("forbidden".to_owned())),
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
            class: Some(Ok(Some(class))),
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
}
