//! The chart on a real apiserver: it accepts every set of values, and the rights it gives are enough and no more.
//!
//! The kinds of the Prometheus operator are there by name only.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::{
    case::{Case, case, cases, needing_minor},
    chart_render::{MUTATING_SINCE, needing_helm},
    common::{
        chart::{CHART, rendered, run, sets_of_values},
        program::Output,
        tools::tool,
        yaml::documents,
    },
    operator::Options,
    restore::Servers,
    running::Running,
    stage::{EU, ID, Stage, assert_host_is_clean, empty, merging, sonnet},
    support::{Cluster, ROOT, eventually, yaml},
    targets::spec,
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![empty(
        rights_in_a_namespace_are_these,
        rights_in_the_cluster_are_these,
        rights_of_users_are_these,
        an_operator_with_these_rights_does_its_work,
        an_operator_with_rights_on_secrets_writes_them,
        a_release_leaves_the_crd_and_the_bindings_behind,
        install_yaml_is_all_that_is_needed,
    )];
    for (name, values) in sets_of_values() {
        let needs_minor = match yaml(&values).pointer("/injection/enabled") {
            Some(Value::Bool(true)) => MUTATING_SINCE,
            _ => 0,
        };
        let name = format!("applies_{name}");
        let case = case!(empty, name, applies(values.clone()));
        cases.extend(needing_minor(needs_minor, vec![case]));
    }
    needing_helm(cases)
}

fn helm() -> PathBuf {
    tool("helm").expect("looked for before")
}

/// Returns what a release gives for these values.
fn release(namespace: &str, values: &str) -> Vec<Value> {
    let text = rendered(&helm(), "ipo", namespace, values);
    documents(&text.unwrap_or_else(|error| panic!("{values}: {error}")))
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no text {pointer} in {object:#}"))
}

/// Makes the kinds of the Prometheus operator known, with nothing of their schemas.
async fn know_monitoring(cluster: &Cluster) {
    for (kind, plural) in [
        ("ServiceMonitor", "servicemonitors"),
        ("PrometheusRule", "prometheusrules"),
    ] {
        let name = format!("{plural}.monitoring.coreos.com");
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": name},
            "spec": {
                "group": "monitoring.coreos.com",
                "names": {"kind": kind, "plural": plural},
                "scope": "Namespaced",
                "versions": [{
                    "name": "v1",
                    "served": true,
                    "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }],
            },
        });
        let apply = ["apply", "--server-side", "-f", "-"];
        cluster.kubectl_reading(&crd.to_string(), &apply).await.ok();
        eventually(&format!("{name} is served"), || async {
            let found = cluster.kubectl(&["get", &name, "-A"]).await;
            if found.code == Some(0) {
                Ok(())
            } else {
                Err(found)
            }
        })
        .await;
    }
}

/// Gives everything that the chart makes of these values to the apiserver, as Helm does and as `kubectl apply` does. Pods
/// are held to the restricted Pod Security standard.
async fn applies(stage: &Stage, values: String) {
    let (cluster, namespace) = (&stage.cluster, stage.namespace.as_str());
    let mut objects = release(namespace, &values);
    for served in ["shop", "chat"] {
        // Another case may have made it.
        cluster.kubectl(&["create", "namespace", served]).await;
    }
    if objects
        .iter()
        .any(|object| object["apiVersion"] == "monitoring.coreos.com/v1")
    {
        know_monitoring(cluster).await;
    }
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
    let deployment = deployment.expect("a Deployment");
    let home = text(deployment, "/metadata/namespace").to_owned();
    if home == namespace && !values.contains("hostNetwork") {
        let enforce = "pod-security.kubernetes.io/enforce=restricted";
        cluster
            .kubectl(&["label", "namespace", namespace, enforce])
            .await
            .ok();
    }
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("one-of-the-deployment");
    pod["metadata"]["namespace"] = json!(home);
    // A pod is refused without its service account, which a dry run doesn't leave behind.
    let account = text(&pod, "/spec/serviceAccountName");
    cluster
        .kubectl(&["create", "serviceaccount", account, "-n", &home])
        .await
        .ok();
    objects.push(pod);

    let manifests = list(&objects);
    for how in [&[][..], &["--server-side", "--force-conflicts"]] {
        let arguments = [
            &["apply", "--dry-run=server", "--validate=strict", "-f", "-"],
            how,
        ]
        .concat();
        let applied = cluster.kubectl_reading(&manifests, &arguments).await.ok();
        assert_eq!(applied.lines().count(), objects.len(), "{applied}");
    }
}

/// Installs the service account and the rights of a release, and returns its user and its namespace, which is also the
/// name of its objects.
async fn install_rights(cluster: &Cluster, values: &str) -> (String, String) {
    let namespace = cluster.namespace("release").await;
    let values = format!("region: eu-west-1\nfullnameOverride: {namespace}\n{values}");
    let rights: Vec<Value> = release(&namespace, &values)
        .into_iter()
        .filter(|object| {
            object["kind"] == "ServiceAccount"
                || object["apiVersion"] == "rbac.authorization.k8s.io/v1"
        })
        .collect();
    cluster
        .kubectl_reading(&list(&rights), &["apply", "-f", "-"])
        .await
        .ok();
    let user = format!("system:serviceaccount:{namespace}:{namespace}");
    (user, namespace)
}

/// A right: a resource, the names that it is limited to, and the verbs.
type Right<'a> = (&'a str, &'a str, &'a str);

/// The rights on which the operator works, without Secrets and workloads.
const WORK: &[Right] = &[
    ("configmaps", "", "get list watch create patch delete"),
    ("events.events.k8s.io", "", "create patch"),
    (
        "inferenceprofilebindings.inferenceprofiles.dev",
        "",
        "list watch patch",
    ),
    (
        "inferenceprofilebindings.inferenceprofiles.dev/status",
        "",
        "patch",
    ),
];

/// The rights on classes, which have no namespace: the same whether the operator serves all namespaces or some.
const CLASSES: &[Right] = &[
    (
        "inferenceprofileclasses.inferenceprofiles.dev",
        "",
        "list watch",
    ),
    (
        "inferenceprofileclasses.inferenceprofiles.dev/status",
        "",
        "patch",
    ),
];

/// Asserts that a user has these rights in a namespace, and no others but those of everyone.
async fn assert_rights(cluster: &Cluster, user: &str, namespace: &str, expected: &[&[Right<'_>]]) {
    let mut expected: Vec<_> = expected.concat();
    expected.sort_unstable();
    // The authorizer follows the roles with a delay.
    eventually(&format!("rights of {user} in {namespace}"), || async {
        let arguments = ["auth", "can-i", "--list", "--as", user, "-n", namespace];
        let table = cluster.kubectl(&arguments).await.ok();
        let mut rights: Vec<Right> = table
            .lines()
            .skip(1)
            .filter_map(row)
            .filter(|(resource, ..)| !of_everyone(resource))
            .collect();
        rights.sort_unstable();
        if rights == expected {
            Ok(())
        } else {
            Err(table)
        }
    })
    .await;
}

/// Says whether every service account has rights on this: on reviews of itself, and on the certificates of the cluster.
fn of_everyone(resource: &str) -> bool {
    resource.starts_with("selfsubject") || resource.starts_with("clustertrustbundles")
}

/// Reads a row of `kubectl auth can-i --list`; nothing where it is about a URL.
fn row(line: &str) -> Option<Right<'_>> {
    let (resource, rest) = line.split_once(' ')?;
    let mut columns = rest.trim().strip_suffix(']')?.split(']');
    let mut column = || columns.next()?.trim().strip_prefix('[');
    let (_, names, verbs) = (column()?, column()?, column()?);
    (!resource.is_empty()).then_some((resource, names, verbs))
}

/// Asserts what `kubectl auth can-i` answers.
async fn assert_can(cluster: &Cluster, user: &str, table: &[(&str, &str, bool)]) {
    for (namespace, request, expected) in table {
        let words: Vec<&str> = request.split(' ').collect();
        let arguments = [
            &["auth", "can-i"],
            &words[..],
            &["--as", user, "-n", namespace],
        ]
        .concat();
        let output = cluster.kubectl(&arguments).await;
        let answer = if *expected { "yes" } else { "no" };
        assert_eq!(output.stdout.trim(), answer, "{arguments:?}: {output:#?}");
    }
}

async fn rights_in_a_namespace_are_these(stage: &Stage) {
    let (cluster, served) = (&stage.cluster, stage.namespace.as_str());
    let other = cluster.namespace("other").await;
    let values = format!("namespaces: [{served}]");
    let (user, home) = install_rights(cluster, &values).await;
    let namespaces: &[Right] = &[("namespaces", served, "get list watch")];
    let lease: &[Right] = &[
        ("leases.coordination.k8s.io", "", "create"),
        ("leases.coordination.k8s.io", &home, "get update"),
    ];
    assert_rights(cluster, &user, served, &[namespaces, CLASSES, WORK]).await;
    assert_rights(cluster, &user, &home, &[namespaces, CLASSES, lease]).await;
    assert_rights(cluster, &user, &other, &[namespaces, CLASSES]).await;

    let its_lease = format!("update leases.coordination.k8s.io/{home}");
    let its_namespace = format!("watch namespaces/{served}");
    let table = [
        (served, "patch configmaps", true),
        (
            served,
            "patch inferenceprofilebindings --subresource=status",
            true,
        ),
        (served, &its_namespace, true),
        (&home, &its_lease, true),
        (served, "update configmaps", false),
        (served, "get secrets", false),
        (served, "list secrets", false),
        (served, "create secrets", false),
        (served, "get deployments.apps", false),
        (served, "patch deployments.apps", false),
        (served, "create inferenceprofilebindings", false),
        (served, "delete inferenceprofilebindings", false),
        (served, "create inferenceprofileclasses", false),
        (served, "patch inferenceprofileclasses", false),
        (served, "create pods", false),
        (served, "impersonate serviceaccounts", false),
        (&other, "get configmaps", false),
        (&other, "list inferenceprofilebindings", false),
        (&other, "list namespaces", false),
        (&home, "list leases.coordination.k8s.io", false),
        (&home, "update leases.coordination.k8s.io/other", false),
        (&home, "get secrets", false),
    ];
    assert_can(cluster, &user, &table).await;
}

async fn rights_in_the_cluster_are_these(stage: &Stage) {
    let (cluster, other) = (&stage.cluster, stage.namespace.as_str());
    let namespaces: &[Right] = &[("namespaces", "", "get list watch")];
    let (user, _) = install_rights(cluster, "").await;
    assert_rights(cluster, &user, other, &[namespaces, CLASSES, WORK]).await;

    let values = "secrets: {enabled: true}\nrollout: {enabled: true}";
    let (user, _) = install_rights(cluster, values).await;
    let more: &[Right] = &[
        ("secrets", "", "get list watch create patch delete"),
        ("daemonsets.apps", "", "get patch"),
        ("deployments.apps", "", "get patch"),
        ("statefulsets.apps", "", "get patch"),
    ];
    assert_rights(cluster, &user, other, &[namespaces, CLASSES, WORK, more]).await;
}

/// Here nothing aggregates roles into `view` and `edit`: they are granted as they are.
async fn rights_of_users_are_these(stage: &Stage) {
    let (cluster, namespace) = (&stage.cluster, stage.namespace.as_str());
    let (_, release) = install_rights(cluster, "").await;
    let bindings = "inferenceprofilebindings.inferenceprofiles.dev";
    let status = "inferenceprofilebindings.inferenceprofiles.dev/status";
    let classes = "inferenceprofileclasses.inferenceprofiles.dev";
    let class_status = "inferenceprofileclasses.inferenceprofiles.dev/status";
    for (role, expected) in [
        (
            "view",
            &[
                (bindings, "", "get list watch"),
                (status, "", "get"),
                (classes, "", "get list watch"),
                (class_status, "", "get"),
            ][..],
        ),
        (
            "edit",
            &[(bindings, "", "create update patch delete deletecollection")],
        ),
        ("service-binding", &[(bindings, "", "get list watch")]),
    ] {
        let grant = [
            "create",
            "rolebinding",
            role,
            "-n",
            namespace,
            &format!("--clusterrole={release}-{role}"),
            &format!("--user={role}"),
        ];
        cluster.kubectl(&grant).await.ok();
        assert_rights(cluster, role, namespace, &[expected]).await;
    }
    let write_status = "patch inferenceprofilebindings --subresource=status";
    assert_can(cluster, "edit", &[(namespace, write_status, false)]).await;
}

async fn an_operator_with_these_rights_does_its_work(stage: &mut Stage) {
    let values = format!("namespaces: [{}]", stage.namespace);
    let (user, _) = install_rights(&stage.cluster, &values).await;
    stage.start_as(&user, stage.options()).await;

    stage.bound("claude", sonnet()).await;
    stage.until_id("claude", Some(EU)).await;
    stage.meddle("claude", json!({"data": {ID: "mine"}})).await;
    stage.until_id("claude", Some(EU)).await;
    stage.edit("claude", json!({"geography": "jp"})).await;
    stage.until_gone("claude").await;

    stage.host("host", Some("guest")).await;
    stage.bound("guest", merging()).await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
    stage.unbind("guest").await;
    assert_host_is_clean(stage).await;

    let secret = json!([{"kind": "Secret", "name": "s"}]);
    stage.bind("secret", spec(secret)).await;
    stage
        .until_not_synced("secret", Reason::SecretsDisabled)
        .await;
    eventually("Events about claude", || async {
        let events = stage.events("claude").await;
        let unsupported = Reason::GeographyUnsupported.as_str();
        if events.iter().any(|(_, reason, _)| reason == unsupported) {
            Ok(())
        } else {
            Err(events)
        }
    })
    .await;
}

async fn an_operator_with_rights_on_secrets_writes_them(stage: &mut Stage) {
    let values = format!(
        "namespaces: [{}]\nsecrets: {{enabled: true}}",
        stage.namespace
    );
    let (user, _) = install_rights(&stage.cluster, &values).await;
    let options = Options {
        enable_secrets: true,
        ..stage.options()
    };
    stage.start_as(&user, options).await;
    let secret = json!([{"kind": "Secret", "name": "s"}]);
    stage.bound("claude", spec(secret)).await;
    let secret = stage.secrets().get("s").await.expect("the Secret");
    assert_eq!(secret.type_.as_deref(), Some("servicebinding.io/bedrock"));
    stage.retarget("claude", json!([])).await;
    stage.ready("claude").await;
    let secret = stage.secrets().get_opt("s").await.expect("an answer");
    assert_eq!(secret, None);
}

/// Installs, upgrades and uninstalls a release with Helm itself. The Deployment has no pods here.
async fn a_release_leaves_the_crd_and_the_bindings_behind(stage: &Stage) {
    let (cluster, namespace) = (&stage.cluster, stage.namespace.as_str());
    let helm_does = |arguments: &[&str], values: &str| {
        let kubeconfig = cluster.kubeconfig().to_string_lossy().into_owned();
        let to = ["--namespace", namespace, "--kubeconfig", &kubeconfig];
        let arguments: Vec<String> = [arguments, &to]
            .concat()
            .iter()
            .map(|&text| text.to_owned())
            .collect();
        let values = values.to_owned();
        async move {
            let output = tokio::task::spawn_blocking(move || {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                run(&helm(), &arguments, &values)
            });
            let output = output.await.expect("Helm was run");
            output.ok();
        }
    };
    // The guard would act on the bindings of other cases.
    let values = format!(
        "region: eu-west-1\nfullnameOverride: {namespace}\nnamespaces: [{namespace}]\nguard: {{enabled: false}}\n"
    );
    // The CRD is there already.
    let install = [
        "install",
        "ipo",
        CHART,
        "--take-ownership",
        "--force-conflicts",
        "--values",
        "-",
    ];
    helm_does(&install, &values).await;
    let binding = stage.bind("claude", sonnet()).await;
    let upgrade = ["upgrade", "ipo", CHART, "--values", "-"];
    helm_does(&upgrade, &format!("{values}secrets: {{enabled: true}}")).await;
    let deployment = [
        "get",
        "deployment",
        namespace,
        "-n",
        namespace,
        "-o",
        "yaml",
    ];
    let deployed = cluster.kubectl(&deployment).await.ok();
    assert!(deployed.contains("--enable-secrets"), "{deployed}");
    helm_does(&["uninstall", "ipo"], "").await;

    let output = cluster.kubectl(&deployment).await;
    assert!(output.stderr.contains("NotFound"), "{output:#?}");
    let crds = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    for kind in ["inferenceprofilebindings", "inferenceprofileclasses"] {
        let crd = crds.get(&format!("{kind}.inferenceprofiles.dev")).await;
        let crd = crd.expect("the CRD");
        assert_eq!(crd.metadata.deletion_timestamp, None, "{kind}");
    }
    assert_eq!(stage.binding("claude").await.uid(), binding.uid());
}

/// Applies the file of a release as users do, and runs the operator with the rights that it gives, under the guard.
async fn install_yaml_is_all_that_is_needed(stage: &Stage) {
    let servers = Servers::start_empty(&stage.cluster, &[]).await;
    let script = Path::new(ROOT).join("dev/release/install-yaml");
    let manifests = Output::awaited(Command::new(script), "").await.ok();
    let apply = ["apply", "--server-side", "-f", "-"];
    let applied = servers.cluster.kubectl_reading(&manifests, &apply).await;
    // Such as of pods that Pod Security would not let run.
    assert_eq!(applied.stderr, "", "{applied:#?}");
    let objects = documents(&manifests);
    assert_eq!(applied.ok().lines().count(), objects.len());
    servers.until_bindings_are_served().await;
    servers.until_classes_are_served().await;

    let home = "inference-profile-operator";
    let stage = Stage::at(servers.cluster.clone(), home.to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let user = format!("system:serviceaccount:{home}:{home}");
    let kubeconfig = stage.cluster.kubeconfig_as(&user, folder.path());
    let embedded = ["--catalog=embedded"];
    let running = Running::start_with(&kubeconfig, &stage, &embedded, &[]).await;
    stage.bound("claude", sonnet()).await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert!(running.problems().is_empty(), "{:#?}", running.lines());
    running.stop().await;
    // A second time, as for an upgrade, it changes nothing.
    let again = servers.cluster.kubectl_reading(&manifests, &apply).await;
    assert_eq!(again.stderr, "", "{again:#?}");
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}
