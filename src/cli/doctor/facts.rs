//! What is known of a cluster, as the checks need it.

use std::collections::BTreeSet;

use serde_json::Value;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The apiserver refuses to say, in these words.
    Forbidden(String),
    /// There is no such thing.
    NotFound,
    /// The apiserver does not know who asks.
    NotAuthenticated,
    /// The call failed.
    Failed(String),
}

/// What was asked of a cluster.
pub(super) type Answer<T> = Result<T, NoAnswer>;

/// What is known of a cluster.
#[derive(Debug)]
pub(super) struct ClusterFacts {
    /// Where it is.
    pub(super) url: String,
    /// Version of the apiserver, such as `v1.37.2`.
    pub(super) version: Answer<String>,
    /// The schemas of bindings and classes against those of this program.
    pub(super) schemas: Answer<Vec<SchemaFacts>>,
    /// What the caller may do.
    pub(super) own_rights: Answer<Vec<(Right, bool)>>,
    /// The Deployments of operators.
    pub(super) operators: Answer<Vec<OperatorFacts>>,
    /// The policies of guards.
    pub(super) policies: Answer<Vec<PolicyFacts>>,
    /// The bindings.
    pub(super) bindings: Answer<Bindings>,
    /// Namespaces that were looked at. Empty: all.
    pub(super) namespaces: Vec<String>,
    /// Those of them that do not exist.
    pub(super) absent_namespaces: Vec<String>,
    /// The namespace in which operators were looked for. `None`: all.
    pub(super) operator_namespace: Option<String>,
}

/// The schema of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchemaFacts {
    pub(super) kind: String,
    /// `None` if the cluster does not have the kind.
    pub(super) difference: Option<Difference>,
}

/// The fields in which a schema differs from that of this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Those that only this program has.
    pub(super) missing: Vec<String>,
    /// Those that only the cluster has.
    pub(super) extra: Vec<String>,
}

impl Difference {
    pub(super) fn of(ours: &Value, theirs: &Value) -> Self {
        let (ours, theirs) = (fields(ours), fields(theirs));
        Self {
            missing: ours.difference(&theirs).cloned().collect(),
            extra: theirs.difference(&ours).cloned().collect(),
        }
    }
}

/// Returns the paths of all fields in the spec and the status of a schema.
fn fields(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in ["spec", "status"] {
        collect(part, &schema["properties"][part], &mut found);
    }
    found
}

fn collect(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        collect(&path, field, found);
        found.insert(path);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            collect(path, &schema[inner], found);
        }
    }
}

/// Something that RBAC can allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) verb: &'static str,
    pub(super) group: &'static str,
    /// The resource, with its subresource after a `/`.
    pub(super) resource: &'static str,
    /// In which namespace. `None`: in all, or in the cluster.
    pub(super) namespace: Option<String>,
    /// On which object. `None`: on all.
    pub(super) name: Option<String>,
}

impl Right {
    pub(super) fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            group,
            resource,
            namespace: None,
            name: None,
        }
    }

    pub(super) fn in_namespace(mut self, namespace: Option<&str>) -> Self {
        self.namespace = namespace.map(ToOwned::to_owned);
        self
    }

    pub(super) fn on(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Returns the resource as RBAC and kubectl name it.
    pub(super) fn resource(&self) -> String {
        if self.group.is_empty() {
            return self.resource.to_owned();
        }
        match self.resource.split_once('/') {
            Some((resource, sub)) => format!("{resource}.{}/{sub}", self.group),
            None => format!("{}.{}", self.resource, self.group),
        }
    }
}

/// A Deployment of an operator.
#[derive(Debug, Clone, Default)]
pub(super) struct OperatorFacts {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) service_account: String,
    /// How many replicas are wanted.
    pub(super) wanted: i64,
    /// How many are ready.
    pub(super) ready: i64,
    /// The version in its label.
    pub(super) version: Option<String>,
    /// The release in its label.
    pub(super) release: Option<String>,
    /// Its arguments.
    pub(super) args: Vec<String>,
    /// Its environment, as far as values stand there.
    pub(super) env: Vec<(String, String)>,
    /// What its service account may do, of what it needs.
    pub(super) rights: Option<Answer<Vec<(Right, bool)>>>,
    /// Its Lease, if replicas elect a leader.
    pub(super) lease: Option<Answer<LeaseFacts>>,
}

impl OperatorFacts {
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Says whether a switch is on, by argument or environment.
    pub(super) fn is_on(&self, option: &str) -> bool {
        let variable = variable(option);
        self.args.iter().any(|arg| arg == option)
            || self
                .env
                .iter()
                .any(|(name, value)| *name == variable && value == "true")
    }

    /// Returns the values of an option, by argument or environment.
    pub(super) fn values(&self, option: &str) -> Vec<&str> {
        let mut values = Vec::new();
        let mut args = self.args.iter();
        while let Some(arg) = args.next() {
            if arg == option {
                values.extend(args.next().map(String::as_str));
            } else if let Some(value) = arg
                .strip_prefix(option)
                .and_then(|rest| rest.strip_prefix('='))
            {
                values.push(value);
            }
        }
        if values.is_empty() {
            let variable = variable(option);
            let set = self.env.iter().find(|(name, _)| *name == variable);
            values.extend(set.map(|(_, value)| value.as_str()));
        }
        values.iter().flat_map(|value| value.split(',')).collect()
    }

    /// Returns its catalog, as `--catalog` names it.
    pub(super) fn catalog(&self) -> &str {
        self.values("--catalog")
            .last()
            .copied()
            .unwrap_or("bedrock")
    }

    /// Returns what it must be allowed, by its options. Source: docs/cli.md.
    pub(super) fn needed_rights(&self) -> Vec<Right> {
        const GROUP: &str = "inferenceprofiles.dev";
        const OBJECTS: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
        let mut rights = Vec::new();
        let mut add = |verbs: &[&'static str], group, resource, namespace: Option<&str>| {
            rights.extend(
                verbs
                    .iter()
                    .map(|verb| Right::new(verb, group, resource).in_namespace(namespace)),
            );
        };
        let served = self.values("--namespace");
        let served: Vec<Option<&str>> = if served.is_empty() {
            vec![None]
        } else {
            served.into_iter().map(Some).take(MOST_NAMESPACES).collect()
        };
        for namespace in served {
            add(
                &["list", "watch", "patch"],
                GROUP,
                "inferenceprofilebindings",
                namespace,
            );
            add(
                &["patch"],
                GROUP,
                "inferenceprofilebindings/status",
                namespace,
            );
            add(OBJECTS, "", "configmaps", namespace);
            if self.is_on("--enable-secrets") {
                add(OBJECTS, "", "secrets", namespace);
            }
            if self.is_on("--enable-rollout") {
                for kind in ["deployments", "statefulsets", "daemonsets"] {
                    add(&["get", "patch"], "apps", kind, namespace);
                }
            }
            add(&["create", "patch"], "events.k8s.io", "events", namespace);
        }
        add(&["list", "watch"], GROUP, "inferenceprofileclasses", None);
        add(&["patch"], GROUP, "inferenceprofileclasses/status", None);
        let namespaces = self.values("--namespace");
        for verb in ["get", "list", "watch"] {
            let right = Right::new(verb, "", "namespaces");
            if namespaces.is_empty() {
                rights.push(right);
            } else {
                let named = namespaces.iter().take(MOST_NAMESPACES);
                rights.extend(named.map(|name| right.clone().on(name)));
            }
        }
        if let Some((namespace, name)) = self.lease_name() {
            let lease = |verb| {
                Right::new(verb, "coordination.k8s.io", "leases").in_namespace(Some(&namespace))
            };
            rights.push(lease("create"));
            rights.push(lease("get").on(&name));
            rights.push(lease("update").on(&name));
        }
        rights
    }

    /// Returns namespace and name of its Lease, if its replicas elect a leader.
    pub(super) fn lease_name(&self) -> Option<(String, String)> {
        let first = |option, default: &str| {
            let values = self.values(option);
            values
                .first()
                .map_or_else(|| default.to_owned(), |value| (*value).to_owned())
        };
        self.is_on("--leader-elect").then(|| {
            (
                first("--lease-namespace", &self.namespace),
                first("--lease-name", "inference-profile-operator"),
            )
        })
    }
}

/// Most namespaces that an operator's rights are asked in.
const MOST_NAMESPACES: usize = 5;

/// Returns the variable of an option of `run`.
fn variable(option: &str) -> String {
    let name = option.trim_start_matches('-').replace('-', "_");
    ["IPO", &name.to_uppercase()].join("_")
}

/// A Lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LeaseFacts {
    /// Who holds it.
    pub(super) holder: Option<String>,
    /// When it was renewed last, in seconds since the Unix epoch.
    pub(super) renewed: Option<i64>,
    /// For how many seconds a renewal counts.
    pub(super) duration: i64,
}

/// A `ValidatingAdmissionPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PolicyFacts {
    pub(super) name: String,
    /// The release in its label.
    pub(super) release: Option<String>,
    /// Whether a binding of it denies.
    pub(super) denies: bool,
}

/// The bindings that were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Bindings {
    pub(super) all: Vec<BindingFacts>,
    /// Whether there are more.
    pub(super) more: bool,
}

/// A binding.
#[derive(Debug, Clone, Default)]
pub(super) struct BindingFacts {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) suspended: bool,
    /// Whether it names an application profile.
    pub(super) application: bool,
    pub(super) ready: Option<ConditionFacts>,
    pub(super) fresh: Option<ConditionFacts>,
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ConditionFacts {
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::binding_definition;

    fn operator(args: &[&str], env: &[(&str, &str)]) -> OperatorFacts {
        let own = |text: &&str| (*text).to_owned();
        OperatorFacts {
            namespace: "system".to_owned(),
            args: args.iter().map(own).collect(),
            env: env.iter().map(|(a, b)| (own(a), own(b))).collect(),
            ..OperatorFacts::default()
        }
    }

    #[test]
    fn options_come_from_arguments_and_environment() {
        let found = operator(
            &[
                "run",
                "--namespace=a,b",
                "--namespace",
                "c",
                "--leader-elect",
            ],
            &[("IPO_ENABLE_SECRETS", "true"), ("IPO_LEASE_NAME", "lease")],
        );
        assert_eq!(found.values("--namespace"), ["a", "b", "c"]);
        assert!(found.is_on("--enable-secrets") && !found.is_on("--enable-rollout"));
        assert_eq!(
            found.lease_name(),
            Some(("system".to_owned(), "lease".to_owned()))
        );
        assert_eq!(operator(&["run"], &[]).lease_name(), None);
        assert_eq!(operator(&["run"], &[]).catalog(), "bedrock");
        assert_eq!(operator(&["--catalog=embedded"], &[]).catalog(), "embedded");
    }

    #[test]
    fn rights_follow_the_options() {
        let names = |found: &OperatorFacts| -> BTreeSet<String> {
            found
                .needed_rights()
                .iter()
                .map(|right| {
                    format!(
                        "{} {} {}",
                        right.verb,
                        right.resource(),
                        right.namespace.as_deref().unwrap_or("*")
                    )
                })
                .collect()
        };
        let all = names(&operator(&["run"], &[]));
        assert!(all.contains("patch inferenceprofilebindings.inferenceprofiles.dev/status *"));
        assert!(all.contains("delete configmaps *") && !all.contains("list secrets *"));
        let some = names(&operator(
            &[
                "run",
                "--namespace=a",
                "--enable-secrets",
                "--enable-rollout",
                "--leader-elect",
            ],
            &[],
        ));
        for right in [
            "list secrets a",
            "patch daemonsets.apps a",
            "update leases.coordination.k8s.io system",
            "list inferenceprofileclasses.inferenceprofiles.dev *",
        ] {
            assert!(some.contains(right), "{right} in {some:#?}");
        }
        assert!(!some.contains("list configmaps *"));
        let many: Vec<String> = (0..100)
            .map(|number| format!("--namespace=n{number}"))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(operator(&many, &[]).needed_rights().len() < 150, "bounded");
    }

    #[test]
    fn schemas_are_compared_field_by_field() {
        let crd = serde_json::to_value(binding_definition()).expect("JSON");
        let ours = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        assert_eq!(Difference::of(&ours, &ours), Difference::default());
        let mut theirs = ours.clone();
        let spec = theirs["properties"]["spec"]["properties"].as_object_mut();
        spec.expect("fields").remove("application");
        theirs["properties"]["status"]["properties"]["targets"]["items"]["properties"]["newer"] =
            json!({"type": "string"});
        let difference = Difference::of(&ours, &theirs);
        assert_eq!(
            difference.missing,
            ["spec.application", "spec.application.name"]
        );
        assert_eq!(difference.extra, ["status.targets.newer"]);
    }
}
