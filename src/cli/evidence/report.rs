//! The report: what it says about each binding, and its CSV format. Pure.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use crate::{
    api::{
        AskedModel, InferenceProfileBinding, InferenceProfileBindingStatus, ProfileStatus,
        condition::ConditionType,
    },
    catalog::embedded::Embedded,
    class::{Class, ClassUse, Labels, RequestError},
    cli::{
        Error, output,
        served_regions::{SeenServed, ServedReport},
        tables,
    },
    residency::{Limit, LimitError, LimitOrigin, Limits, NamespaceLimit},
    resolve::Request,
};

/// The report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// When it was made, an RFC 3339 time.
    #[serde(rename = "reportTime")]
    pub(super) time: String,
    /// The version of the program that made it.
    pub(super) program_version: &'static str,
    /// The address of the apiserver.
    pub(super) cluster: String,
    pub(super) bindings: Vec<BindingReport>,
}

/// What is reported about a binding, or about one of its models where it asks for several.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BindingReport {
    namespace: String,
    name: String,
    /// The name of the model among several.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_name: Option<String>,
    /// The class that the binding names.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// The stage of the class that selects the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// The model that the spec, or the class that it names, asks for. Empty if that is not known.
    model: String,
    /// The geography, likewise.
    geography: String,
    profile: Option<ProfileStatus>,
    limits: Vec<LimitReport>,
    /// The condition `ResidencySatisfied`, as the operator wrote it.
    residency: ConditionReport,
    /// Whether the status is about the current spec.
    current: bool,
    /// The route in the status, judged by these limits. `None` if there is none that can be read.
    recheck: Option<Recheck>,
    ready: ConditionReport,
    /// The objects written, as KIND/NAME.
    targets: Vec<String>,
    /// Where requests of the profile were served, if a report on that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<SeenServed>,
}

/// A limit in force.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LimitReport {
    set_by: String,
    allowed_regions: Vec<String>,
    /// Why the limit can't be used, if it can't.
    problem: Option<String>,
}

/// A condition. Its texts are empty if the status does not have it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ConditionReport {
    status: String,
    reason: String,
    message: String,
}

/// What the limits say about the route.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Recheck {
    permitted: bool,
    message: String,
}

impl BindingReport {
    /// Returns namespace and name of the binding.
    pub(super) fn key(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    /// Returns whether the report shows that the binding is within its limits: by the operator's verdict on the current spec, and
    /// by the current limits.
    pub(super) fn is_satisfied(&self) -> bool {
        self.residency.status == "True"
            && self.current
            && self.recheck.as_ref().is_some_and(|check| check.permitted)
            && !self.is_served_outside()
    }

    /// Returns whether a request of the profile is known to have been served where it must not be.
    fn is_served_outside(&self) -> bool {
        let outside = self.served.as_ref().and_then(|served| served.outside);
        outside.is_some_and(|requests| requests > 0)
    }

    /// Adds what was seen of the profile.
    pub(super) fn add_served(&mut self, served: &ServedReport) {
        let profile = self.profile.as_ref();
        self.served = profile.map(|it| served.seen(&it.id, &it.source_region));
    }
}

/// What bindings are judged by, as it is in the cluster now.
#[derive(Debug, Default)]
pub(in crate::cli) struct InForce {
    /// The Namespaces that may be read, by name.
    pub(in crate::cli) namespaces: BTreeMap<Arc<str>, (NamespaceLimit, Labels)>,
    /// The classes by name. `None` if they may not be read.
    pub(in crate::cli) classes: Option<BTreeMap<Arc<str>, Class>>,
}

impl InForce {
    /// Returns a class by its name.
    pub(in crate::cli) fn class(&self, name: &Arc<str>) -> Result<Arc<Class>, RequestError> {
        let Some(classes) = &self.classes else {
            return Err(RequestError::ClassesUnreadable(name.clone()));
        };
        let found = classes.get(name).cloned().map(Arc::new);
        found.ok_or_else(|| RequestError::ClassNotFound(name.clone()))
    }

    /// Returns what of this class holds for a binding, and what the binding asks for by it.
    fn class_of(
        &self,
        binding: &InferenceProfileBinding,
        name: &str,
        namespace: &str,
    ) -> Option<(ClassUse, Result<Request, RequestError>)> {
        let region = binding.spec.source_region.as_deref();
        let mut used = binding
            .status
            .iter()
            .flat_map(InferenceProfileBindingStatus::profiles);
        let used = used.next();
        let region = region.or(used.map(|(_, profile)| profile.source_region.as_str()));
        // A class does not depend on the region, which is not known of a binding that names none and has no profile.
        let region = region.unwrap_or("us-east-1").parse().ok()?;
        // Nor does it depend on the application profile, which is not judged.
        let class = ClassUse::new(name, region, None);
        let found = self.class(&class.name);
        let found = found.as_deref().map_err(Clone::clone);
        let labels = self.namespaces.get(namespace).map(|(_, labels)| labels);
        Some(class.applied(found, namespace, labels))
    }
}

/// Returns the reports, sorted by namespace and name.
pub(super) fn binding_reports(
    bindings: &[InferenceProfileBinding],
    in_force: &InForce,
    operator: Option<&Limit>,
    embedded: &Embedded,
) -> Vec<BindingReport> {
    let mut reports: Vec<BindingReport> = bindings
        .iter()
        .flat_map(|binding| {
            let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
            let models = Asked::of(binding).into_iter();
            models.map(move |asked| {
                binding_report(binding, &asked, namespace, in_force, operator, embedded)
            })
        })
        .collect();
    reports.sort_by(|a, b| {
        let by_binding = a.key().cmp(&b.key());
        by_binding.then_with(|| a.model_name.cmp(&b.model_name))
    });
    reports
}

/// A model that a binding asks for, with the profile that is written for it.
struct Asked<'a> {
    name: Option<&'a str>,
    spec: AskedModel<'a>,
    profile: Option<&'a ProfileStatus>,
}

impl<'a> Asked<'a> {
    /// Returns what a binding asks for, and what is written besides: a model may have left the spec.
    fn of(binding: &'a InferenceProfileBinding) -> Vec<Self> {
        let written: BTreeMap<Option<&str>, &ProfileStatus> = binding
            .status
            .iter()
            .flat_map(InferenceProfileBindingStatus::profiles)
            .collect();
        let asked = binding.spec.asked().map(|(name, spec)| Self {
            name,
            spec,
            profile: None,
        });
        let mut asked: Vec<Self> = asked.collect();
        for (name, profile) in written {
            match asked.iter_mut().find(|it| it.name == name) {
                Some(known) => known.profile = Some(profile),
                None => asked.push(Self {
                    name,
                    spec: AskedModel::default(),
                    profile: Some(profile),
                }),
            }
        }
        asked
    }
}

fn binding_report(
    binding: &InferenceProfileBinding,
    asked: &Asked<'_>,
    namespace: &str,
    in_force: &InForce,
    of_operator: Option<&Limit>,
    embedded: &Embedded,
) -> BindingReport {
    let spec = &binding.spec;
    let status = binding.status.clone().unwrap_or_default();
    let own = spec.allowed_regions.as_ref();
    let own = own.map(|entries| Limit::parse(LimitOrigin::Binding, entries));
    let class = asked.spec.class;
    let class = class.and_then(|name| in_force.class_of(binding, name, namespace));
    let of_class = class.as_ref().and_then(|(class, _)| class.limit.as_deref());
    let is_class_unknown = matches!(class, Some((_, Err(RequestError::ClassesUnreadable(_)))));
    let of_namespace = in_force.namespaces.get(namespace);
    let of_namespace = of_namespace.map(|(limit, _)| limit.clone());
    let of_namespace = &of_namespace.unwrap_or_default();
    let operator = of_operator.cloned().map(Ok);
    let own = own.iter().chain(of_class);
    let mut limits: Vec<LimitReport> = own.clone().map(limit_report).collect();
    if is_class_unknown {
        limits.push(LimitReport {
            set_by: LimitOrigin::Class.to_string(),
            allowed_regions: Vec::new(),
            problem: Some("classes can't be read: whether this one sets a limit is unknown".into()),
        });
    }
    match of_namespace {
        NamespaceLimit::Set(limit) => limits.push(limit_report(limit)),
        NamespaceLimit::Unset => {}
        NamespaceLimit::Unknown | NamespaceLimit::Terminating => limits.push(LimitReport {
            set_by: LimitOrigin::Namespace.to_string(),
            allowed_regions: Vec::new(),
            problem: Some("the Namespace can't be read: whether it sets a limit is unknown".into()),
        }),
    }
    limits.extend(operator.iter().map(limit_report));
    let mut all = Limits::all(own.cloned().chain(operator)).and_namespace(of_namespace);
    if is_class_unknown {
        all = all.and_unknown();
    }
    let (model, geography) = match &class {
        Some((_, Ok(request))) => (request.model.to_string(), request.geography.to_string()),
        Some((_, Err(_))) => (String::new(), String::new()),
        None => (
            asked.spec.model.unwrap_or_default().to_owned(),
            asked.spec.geography.unwrap_or_default().to_owned(),
        ),
    };
    let condition = |kind: ConditionType| {
        let found = status.conditions.iter();
        let mut found = found.filter(|condition| condition.type_ == kind.as_str());
        found.next().map(condition_report).unwrap_or_default()
    };
    BindingReport {
        namespace: namespace.to_owned(),
        name: binding.metadata.name.clone().unwrap_or_default(),
        model_name: asked.name.map(str::to_owned),
        class: asked.spec.class.map(str::to_owned),
        stage: class.and_then(|(class, _)| Some(class.stage?.to_string())),
        model,
        geography,
        limits,
        residency: condition(ConditionType::ResidencySatisfied),
        current: status.observed_generation.is_some()
            && status.observed_generation == binding.metadata.generation,
        recheck: asked
            .profile
            .and_then(|profile| recheck(profile, &all, embedded)),
        ready: condition(ConditionType::Ready),
        targets: status
            .targets
            .iter()
            .map(|target| format!("{}/{}", target.kind, target.name))
            .collect(),
        profile: asked.profile.cloned(),
        served: None,
    }
}

fn limit_report(limit: &Result<Limit, LimitError>) -> LimitReport {
    match limit {
        Ok(limit) => LimitReport {
            set_by: limit.origin().to_string(),
            allowed_regions: limit.entries().collect(),
            problem: None,
        },
        Err(error) => LimitReport {
            set_by: error.origin().to_string(),
            allowed_regions: Vec::new(),
            problem: Some(error.to_string()),
        },
    }
}

fn condition_report(condition: &Condition) -> ConditionReport {
    ConditionReport {
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

/// Judges the route in a status, or returns `None` if it can't be read.
fn recheck(profile: &ProfileStatus, limits: &Limits, embedded: &Embedded) -> Option<Recheck> {
    if profile.destination_regions.is_empty() {
        return None;
    }
    let judgement = limits.judge(&profile.route().ok()?, embedded);
    Some(Recheck {
        permitted: judgement.permits(),
        message: judgement.message(),
    })
}

/// Returns the report as a table for people.
pub(super) fn table(report: &Report) -> String {
    let header = [
        "WITHIN",
        "BINDING",
        "PROFILE",
        "DESTINATIONS",
        "LIMITS",
        "RESIDENCY",
    ];
    let mut table = tables::table(header, None);
    for binding in &report.bindings {
        let within = if binding.is_satisfied() {
            "yes"
        } else {
            "not shown"
        };
        table.add_row([
            within.to_owned(),
            match &binding.model_name {
                None => format!("{}/{}", binding.namespace, binding.name),
                Some(model) => format!("{}/{} ({model})", binding.namespace, binding.name),
            },
            of_profile(binding, |p| p.id.clone()),
            of_profile(binding, |p| p.destination_regions.join(" ")),
            limits_text(&binding.limits),
            binding.residency.reason.clone(),
        ]);
    }
    tables::printed(&table)
}

/// A column of the CSV format: its name and its field.
type Column = (&'static str, fn(&Report, &BindingReport) -> String);

const COLUMNS: &[Column] = &[
    ("namespace", |_, binding| binding.namespace.clone()),
    ("name", |_, binding| binding.name.clone()),
    ("model", |_, binding| binding.model.clone()),
    ("geography", |_, binding| binding.geography.clone()),
    ("profileID", |_, binding| {
        of_profile(binding, |p| p.id.clone())
    }),
    ("sourceRegion", |_, binding| {
        of_profile(binding, |p| p.source_region.clone())
    }),
    ("destinationRegions", |_, binding| {
        of_profile(binding, |p| p.destination_regions.join(" "))
    }),
    ("limits", |_, binding| limits_text(&binding.limits)),
    ("residencySatisfied", |_, binding| {
        binding.residency.status.clone()
    }),
    ("residencyReason", |_, binding| {
        binding.residency.reason.clone()
    }),
    ("residencyMessage", |_, binding| {
        binding.residency.message.clone()
    }),
    ("current", |_, binding| binding.current.to_string()),
    ("recheckPermitted", |_, binding| {
        let check = binding.recheck.as_ref();
        check.map_or_else(String::new, |check| check.permitted.to_string())
    }),
    ("recheckMessage", |_, binding| {
        let check = binding.recheck.as_ref();
        check.map_or_else(String::new, |check| check.message.clone())
    }),
    ("ready", |_, binding| binding.ready.status.clone()),
    ("readyReason", |_, binding| binding.ready.reason.clone()),
    ("catalogSource", |_, binding| {
        of_profile(binding, |p| p.catalog.source.clone())
    }),
    ("catalogAccount", |_, binding| {
        of_profile(binding, |p| p.catalog.account.clone().unwrap_or_default())
    }),
    ("catalogAsOf", |_, binding| {
        of_profile(binding, |p| p.catalog.as_of.clone())
    }),
    ("applicationProfileARN", |_, binding| {
        of_profile(binding, |p| {
            p.application_profile_arn.clone().unwrap_or_default()
        })
    }),
    ("targets", |_, binding| binding.targets.join(" ")),
    ("cluster", |report, _| report.cluster.clone()),
    ("programVersion", |report, _| {
        report.program_version.to_owned()
    }),
    ("reportTime", |report, _| report.time.clone()),
    ("servedIn", |_, binding| {
        let served = binding.served.iter().flat_map(|it| &it.requests);
        let regions = served.map(|(region, requests)| format!("{region}={requests}"));
        regions.collect::<Vec<_>>().join(" ")
    }),
    ("servedOutside", |_, binding| {
        let outside = binding.served.as_ref().and_then(|it| it.outside);
        outside.map(|it| it.to_string()).unwrap_or_default()
    }),
    ("class", |_, binding| {
        binding.class.clone().unwrap_or_default()
    }),
    ("stage", |_, binding| {
        binding.stage.clone().unwrap_or_default()
    }),
    ("modelName", |_, binding| {
        binding.model_name.clone().unwrap_or_default()
    }),
];

fn of_profile(binding: &BindingReport, field: impl FnOnce(&ProfileStatus) -> String) -> String {
    binding.profile.as_ref().map_or_else(String::new, field)
}

fn limits_text(limits: &[LimitReport]) -> String {
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
    let header = COLUMNS.iter().map(|(name, _)| *name);
    let bindings = report.bindings.iter();
    let row = |binding| COLUMNS.iter().map(move |(_, text)| text(report, binding));
    output::csv(header, bindings.map(row))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::NamedModelStatus;

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

    fn known(limit: &NamespaceLimit) -> InForce {
        InForce {
            namespaces: [("shop".into(), (limit.clone(), Labels::default()))].into(),
            classes: None,
        }
    }

    fn report(bindings: Vec<BindingReport>) -> Report {
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
            let reports = binding_reports(
                &[binding("chat", "eu", &changes)],
                &known(limit),
                None,
                Embedded::load(),
            );
            assert_eq!(reports[0].is_satisfied(), satisfied, "{what}: {reports:#?}");
        }
    }

    #[test]
    fn limits_are_named_with_who_set_them() {
        let mut own = binding("chat", "eu", &json!({}));
        own.spec.allowed_regions = Some(vec!["eu-*".to_owned()]);
        let eu = NamespaceLimit::of_annotation(Some("@eu, @uk"));
        let operator = Limit::parse(LimitOrigin::Operator, &["eu-west-1"]).expect("a limit");
        let reports = binding_reports(&[own], &known(&eu), Some(&operator), Embedded::load());
        assert_eq!(
            limits_text(&reports[0].limits),
            "spec.allowedRegions: eu-*; the Namespace's annotation inferenceprofiles.dev/allowed-regions: @eu @uk; the operator's --allowed-regions: eu-west-1"
        );
        let check = reports[0].recheck.as_ref().expect("a route");
        assert!(
            !check.permitted && check.message.contains("the operator's --allowed-regions"),
            "{check:?}"
        );
    }

    #[test]
    fn each_of_several_models_is_reported_with_the_limits_that_hold_for_it() {
        let one = binding("chat", "eu", &json!({}));
        let profile = one
            .status
            .as_ref()
            .and_then(|status| status.profile.clone());
        let mut several = one.clone();
        let models = json!({"a": {"model": "amazon.nova-lite-v1:0", "geography": "eu"}, "b": {"className": "chat"}});
        several.spec = serde_json::from_value(json!({"models": models})).expect("a spec");
        let status = several.status.as_mut().expect("a status");
        status.profile = None;
        status.models = ["a", "b", "gone"]
            .map(|name| NamedModelStatus {
                name: name.to_owned(),
                profile: profile.clone(),
                ..NamedModelStatus::default()
            })
            .into();
        let class = serde_yaml::from_str("{model: a.b, geography: us, allowedRegions: ['@us']}");
        let class = Class::parse("chat", &class.expect("a class"));
        let in_force = InForce {
            classes: Some(BTreeMap::from([("chat".into(), class)])),
            ..known(&NamespaceLimit::Unset)
        };
        let reports = binding_reports(&[several], &in_force, None, Embedded::load());
        let said: Vec<_> = reports
            .iter()
            .map(|it| {
                (
                    it.model_name.as_deref(),
                    &*it.model,
                    it.class.as_deref(),
                    it.is_satisfied(),
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                (Some("a"), "amazon.nova-lite-v1:0", None, true),
                (Some("b"), "a.b", Some("chat"), false),
                (Some("gone"), "", None, true),
            ]
        );
        let table = table(&report(reports));
        for row in ["shop/chat (a)", "shop/chat (b)", "shop/chat (gone)"] {
            assert!(table.contains(row), "{table}");
        }
    }

    #[test]
    fn the_limit_of_a_class_counts_too() {
        let mut own = binding("chat", "eu", &json!({}));
        (own.spec.model, own.spec.geography) = (None, None);
        own.spec.class_name = Some("chat".to_owned());
        let class = |limit: &str| {
            let yaml = format!("{{model: a.b, geography: us, allowedRegions: ['{limit}']}}");
            Class::parse("chat", &serde_yaml::from_str(&yaml).expect("a class"))
        };
        let named = |class: Class| Some(BTreeMap::from([("chat".into(), class)]));
        let unset = known(&NamespaceLimit::Unset);
        for (classes, satisfied, says) in [
            (
                named(class("@eu")),
                true,
                "the class's spec.allowedRegions: @eu",
            ),
            (
                named(class("@us")),
                false,
                "the class's spec.allowedRegions: @us",
            ),
            (Some(BTreeMap::new()), true, ""),
            (None, false, "whether this one sets a limit is unknown"),
        ] {
            let in_force = InForce {
                classes,
                namespaces: unset.namespaces.clone(),
            };
            let bindings = [own.clone()];
            let reports = binding_reports(&bindings, &in_force, None, Embedded::load());
            let limits = limits_text(&reports[0].limits);
            assert!(limits.contains(says), "{limits}");
            assert_eq!(reports[0].is_satisfied(), satisfied, "{says}");
            assert_eq!(reports[0].class.as_deref(), Some("chat"));
        }
    }

    #[test]
    fn the_order_does_not_depend_on_the_lists() {
        let (a, b) = (
            binding("a", "eu", &json!({})),
            binding("b", "eu", &json!({})),
        );
        let none = InForce::default();
        assert_eq!(
            binding_reports(&[a.clone(), b.clone()], &none, None, Embedded::load()),
            binding_reports(&[b, a], &none, None, Embedded::load())
        );
    }

    #[test]
    fn what_was_seen_served_is_added_and_counts() {
        let changes = json!({});
        let limit = Limit::parse(LimitOrigin::Operator, &["@eu"]).ok();
        let mut reports = binding_reports(
            &[binding("chat", "eu", &changes)],
            &known(&NamespaceLimit::Unset),
            limit.as_ref(),
            Embedded::load(),
        );
        let profile = reports[0].profile.clone().expect("a profile");
        let row = |outside: u64| {
            json!({
                "profiles": [
                    {"profile": profile.id, "sourceRegion": profile.source_region, "servedIn": [
                        {"region": "eu-west-3", "requests": 7}, {"region": null, "requests": 1},
                    ]},
                    {"profile": profile.id, "sourceRegion": "us-east-1", "servedIn": [{"region": "us-east-1", "requests": 9}]},
                ],
                "audit": {"outside": [
                    {"profile": profile.id, "sourceRegion": profile.source_region, "requests": outside},
                ]},
            })
        };
        let parse = |text: &str| ServedReport::parse("served.json".as_ref(), text.as_bytes());
        let was_satisfied = reports[0].is_satisfied();
        for (outside, is_satisfied) in [(0, was_satisfied), (2, false)] {
            let text = row(outside).to_string();
            let served = parse(&text).expect("a report");
            reports[0].add_served(&served);
            let seen = reports[0].served.clone().expect("seen");
            let requests =
                BTreeMap::from([("eu-west-3".to_owned(), 7), ("not stated".to_owned(), 1)]);
            assert_eq!((seen.requests, seen.outside), (requests, Some(outside)));
            assert_eq!(reports[0].is_satisfied(), is_satisfied);
        }
        assert!(was_satisfied, "{reports:#?}");
        let mut by_no_binding = row(0);
        by_no_binding["audit"]["bindings"] = json!(0);
        let served = parse(&by_no_binding.to_string()).expect("a report");
        reports[0].add_served(&served);
        let seen = reports[0].served.clone().expect("seen");
        assert_eq!(seen.outside, None, "its limits were not looked at");
        for text in ["{}", "\"a prompt\"", "{\"profiles\": \"a prompt\"}"] {
            let error = parse(text).expect_err("no report").to_string();
            assert!(error.contains("served.json, line 1"), "{error}");
            assert!(!error.contains("prompt"), "{error}");
        }
    }

    #[test]
    fn csv_is_quoted_and_runs_nothing() {
        let message = "=HYPERLINK(\"https://example.com\"), \"quoted\"\nline";
        let changes = json!({"/status/conditions/0/message": message});
        let reports = binding_reports(
            &[binding("chat", "eu", &changes)],
            &InForce::default(),
            None,
            Embedded::load(),
        );
        let text = csv(&report(reports)).expect("CSV");
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
        let nothing = csv(&report(Vec::new())).expect("CSV");
        assert_eq!(String::from_utf8(nothing).expect("text").lines().count(), 1);
    }
}
