//! Manifests that stand beside the bindings: namespaces, objects of others, workloads, rights.

use serde_json::{Value, json};

use crate::{
    bindings::{Binding, Shape},
    calls::Call,
    controlplane::REPLICAS,
};

/// Annotation of the limit that a Namespace sets.
const LIMIT: &str = "inferenceprofiles.dev/allowed-regions";

/// Returns a namespace; without a limit it sets none.
pub fn namespace(name: &str, limit: Option<&[&str]>) -> Value {
    let annotations = limit.map_or(json!({}), |limit| json!({LIMIT: limit.join(",")}));
    json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations},
    })
}

/// Returns the objects of others in a namespace, which nobody allowed the operator to touch.
pub fn bystanders(namespace: &str) -> Vec<Value> {
    let object = |kind: &str, name: &str, labels: Value| {
        let mut object = json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
        });
        let field = if kind == "Secret" {
            "stringData"
        } else {
            "data"
        };
        object[field] = json!({"BEDROCK_INFERENCE_PROFILE_ID": "theirs", "MODEL": "theirs"});
        object
    };
    let labelled = json!({"inferenceprofiles.dev/managed": "true"});
    vec![
        object("ConfigMap", "bystander", json!({})),
        object("Secret", "bystander", json!({})),
        // The label alone makes nothing the operator's.
        object("ConfigMap", "labelled", labelled.clone()),
        object("Secret", "labelled", labelled),
        deployment(namespace, "bystander"),
    ]
}

/// Returns where etcd has the objects of [`bystanders`].
pub fn bystander_keys(namespace: &str) -> Vec<String> {
    ["configmaps", "secrets"]
        .iter()
        .flat_map(|kind| {
            ["bystander", "labelled"].map(|name| format!("/registry/{kind}/{namespace}/{name}"))
        })
        .collect()
}

fn deployment(namespace: &str, name: &str) -> Value {
    let labels = json!({"app": name});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]},
            },
        },
    })
}

/// Returns what a binding needs to be there before, and the binding.
pub fn with_surroundings(binding: &Binding) -> Vec<Call> {
    let mut calls = Vec::new();
    let theirs = |annotations: Value| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": binding.target(), "namespace": binding.namespace, "annotations": annotations},
            "data": {"theirs": "untouched"},
        })
    };
    match binding.kind.shape {
        Shape::Merge => calls.push(Call::Apply(theirs(
            json!({"inferenceprofiles.dev/allow-merge": binding.name}),
        ))),
        Shape::Conflict => calls.push(Call::Apply(theirs(json!({})))),
        Shape::Owned | Shape::Template | Shape::Secret => {}
    }
    if binding.kind.workload {
        calls.push(Call::Apply(deployment(&binding.namespace, &binding.name)));
    }
    calls.push(Call::Apply(binding.manifest()));
    calls
}

/// Rights of the operator as the chart gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Statuses,
    Namespaces,
    Targets,
}

/// Returns the operator's role without some right.
pub fn role(without: Option<Right>) -> Value {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let mut rules = vec![
        rule(
            "inferenceprofiles.dev",
            &["inferenceprofilebindings"],
            &["list", "watch", "patch"],
        ),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
        rule(
            "apps",
            &["deployments", "statefulsets", "daemonsets"],
            &["get", "patch"],
        ),
        rule(
            "coordination.k8s.io",
            &["leases"],
            &["get", "create", "update"],
        ),
        rule("", &["configmaps", "secrets"], &["get", "list", "watch"]),
    ];
    if without != Some(Right::Statuses) {
        rules.push(rule(
            "inferenceprofiles.dev",
            &["inferenceprofilebindings/status"],
            &["patch"],
        ));
    }
    if without != Some(Right::Namespaces) {
        rules.push(rule("", &["namespaces"], &["get", "list", "watch"]));
    }
    if without != Some(Right::Targets) {
        rules.push(rule(
            "",
            &["configmaps", "secrets"],
            &["create", "patch", "delete"],
        ));
    }
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "operator"}, "rules": rules,
    })
}

/// Returns who has the role.
pub fn role_binding() -> Value {
    let subjects = REPLICAS
        .map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}));
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
        "subjects": subjects,
    })
}

/// Returns a policy that refuses the operator every change of a `ConfigMap`, and its binding.
pub fn refusal() -> [Value; 2] {
    let group = "admissionregistration.k8s.io/v1";
    [
        json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "frozen.example.com"},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                }]},
                "validations": [{
                    "expression": "!request.userInfo.username.startsWith('operator-') && request.name != 'probe'",
                    "message": "changes are frozen",
                }],
            },
        }),
        json!({
            "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "frozen.example.com"},
            "spec": {"policyName": "frozen.example.com", "validationActions": ["Deny"]},
        }),
    ]
}

/// Returns an object that is refused as soon as the policy is in force.
pub fn probe() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "namespace": "default"}})
}

/// Returns a quota that is used up.
pub fn quota(namespace: &str) -> [Call; 2] {
    let full = json!({"count/configmaps": "1", "count/secrets": "1"});
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "full", "namespace": namespace}, "spec": {"hard": full},
    });
    let path = format!("{}/status", crate::calls::path_of(&quota));
    // Nobody counts here: the suite says that it is used up.
    let status = json!({"status": {"hard": full, "used": full}});
    [Call::Apply(quota), Call::Merge(path, status)]
}

/// Returns the custom resource definition.
pub fn definition() -> Result<Value, String> {
    let text = include_str!("../../crds/inferenceprofilebindings.yaml");
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}
