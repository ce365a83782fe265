//! What a tool that keeps a namespace like a repository sees of the operator's work: nothing to change, nothing to prune.

use std::{fs, path::Path, process::Command};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, case, cases},
    common::{program::Output, tools::tool},
    examples::manifests,
    stage::{EU, ID, Stage, embedded, empty, with_secrets},
    support::{ROOT, yaml},
};

/// A binding as tools leave it that mark their objects: Argo CD by label or annotation, Flux by labels.
const MARKED: &str = "
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata:
  name: claude
  labels:
    app.kubernetes.io/instance: shop
    kustomize.toolkit.fluxcd.io/name: shop
    kustomize.toolkit.fluxcd.io/namespace: flux-system
  annotations:
    argocd.argoproj.io/tracking-id: shop:inferenceprofiles.dev/InferenceProfileBinding:shop/claude
spec:
  model: anthropic.claude-sonnet-4-5-20250929-v1:0
  geography: eu
";

/// Another manager than kubectl: Argo CD with `ServerSideApply=true`, Flux always.
const SERVER_SIDE: [&str; 3] = [
    "--server-side",
    "--field-manager=argocd-controller",
    "--force-conflicts",
];

pub fn cases() -> Vec<Case> {
    let mut cases = cases![
        embedded(
            an_owned_object_is_not_marked_and_not_pruned,
            a_tool_that_waits_by_kstatus_sees_success_and_failure,
        ),
        empty(the_health_check_is_installed_beside_other_settings),
    ];
    for path in [manifests("examples"), manifests("examples/app")].concat() {
        // A class has no namespace: cases would share it.
        if path.ends_with("10-class.yaml") {
            continue;
        }
        let stem = path.file_stem().expect("a name").to_string_lossy();
        for (how, name) in [(&[][..], "client"), (&SERVER_SIDE, "server")] {
            let name = format!("{stem}_is_unchanged_after_an_apply_by_the_{name}");
            let path = path.to_string_lossy().into_owned();
            cases.push(case!(with_secrets, name, unchanged(path.clone(), how)));
        }
    }
    cases
}

async fn unchanged(stage: &Stage, path: String, how: &[&str]) {
    let apply = || async {
        let namespace = ["-n", &stage.namespace, "-f", &path];
        let arguments = [&["apply"][..], how, &namespace].concat();
        stage.cluster.kubectl(&arguments).await.ok()
    };
    apply().await;
    for binding in stage
        .bindings()
        .list(&ListParams::default())
        .await
        .expect("the bindings")
    {
        stage.observed(&binding.name_any()).await;
    }
    stage.settled().await;

    let before = objects(stage, &path).await;
    let diff = [&["diff"][..], how, &["-n", &stage.namespace, "-f", &path]].concat();
    assert_eq!(stage.cluster.kubectl(&diff).await.ok(), "", "kubectl diff");
    let said = apply().await;
    if how.is_empty() {
        for line in said.lines() {
            assert!(line.ends_with(" unchanged"), "{line}");
        }
    }
    assert_eq!(objects(stage, &path).await, before, "{said}");
}

/// Returns the objects of a manifest as they are, resource versions included.
async fn objects(stage: &Stage, path: &str) -> Value {
    let arguments = ["get", "-n", &stage.namespace, "-f", path, "-o", "yaml"];
    yaml(&stage.cluster.kubectl(&arguments).await.ok())
}

async fn an_owned_object_is_not_marked_and_not_pruned(stage: &Stage) {
    let arguments = [
        "apply",
        "--prune",
        "--selector=app.kubernetes.io/instance=shop",
        "--prune-allowlist=core/v1/ConfigMap",
        "-n",
        &stage.namespace,
        "-f",
        "-",
    ];
    stage.cluster.kubectl_reading(MARKED, &arguments).await.ok();
    stage.ready("claude").await;
    let object: ConfigMap = stage.object("claude").await;
    assert_eq!(
        object.labels().keys().collect::<Vec<_>>(),
        ["inferenceprofiles.dev/managed"]
    );
    assert!(
        object.annotations().is_empty(),
        "{:?}",
        object.annotations()
    );
    let [owner] = object.owner_references() else {
        panic!("one owner, whose child it is shown as: {object:?}")
    };
    assert_eq!(
        (owner.kind.as_str(), owner.name.as_str()),
        ("InferenceProfileBinding", "claude")
    );

    let said = stage.cluster.kubectl_reading(MARKED, &arguments).await.ok();
    assert!(!said.contains("pruned"), "{said}");
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU), "{ID}");
}

async fn the_health_check_is_installed_beside_other_settings(stage: &Stage) {
    let (cluster, namespace) = (&stage.cluster, stage.namespace.as_str());
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"},
        "data": {"url": "https://argocd.example.com"},
    });
    cluster
        .kubectl_reading(
            &settings.to_string(),
            &["apply", "-n", namespace, "-f", "-"],
        )
        .await
        .ok();
    // As the file says.
    let patch = [
        "patch",
        "configmap",
        "argocd-cm",
        "--namespace",
        namespace,
        "--type=merge",
        "--patch-file=gitops/argocd/argocd-cm.yaml",
    ];
    cluster.kubectl(&patch).await.ok();
    let found = cluster
        .kubectl(&["get", "cm", "argocd-cm", "-n", namespace, "-o", "yaml"])
        .await
        .ok();
    let data = &yaml(&found)["data"];
    assert_eq!(data["url"], "https://argocd.example.com");
    assert_eq!(
        data.as_object().map(serde_json::Map::len),
        Some(3),
        "{data}"
    );
}

/// Helm waits by the library that Flux waits by.
async fn a_tool_that_waits_by_kstatus_sees_success_and_failure(stage: &Stage) {
    let Some(helm) = tool("helm") else {
        return;
    };
    let install = async |name: &str, example: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let templates = folder.path().join("templates");
        fs::create_dir(&templates).expect("a folder");
        fs::copy(
            Path::new(ROOT).join("examples").join(example),
            templates.join(example),
        )
        .expect("copied");
        let chart = format!("{{apiVersion: v2, name: {name}, version: 0.1.0}}");
        fs::write(folder.path().join("Chart.yaml"), chart).expect("written");
        let mut command = Command::new(&helm);
        command
            .args(["install", name, "--wait", "--timeout=1m", "--namespace"])
            .arg(&stage.namespace)
            .arg(folder.path())
            .env("KUBECONFIG", stage.cluster.kubeconfig())
            .envs(
                ["CACHE", "CONFIG", "DATA"]
                    .map(|kind| (format!("HELM_{kind}_HOME"), folder.path().join("helm"))),
            );
        Output::awaited(command, "").await
    };
    let served = install("served", "01-smallest.yaml").await;
    served.ok();
    let refused = install("refused", "08-unsupported.yaml").await;
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    let said = refused.stderr;
    assert!(said.contains("status: Failed"), "{said}");
    assert!(said.contains("set geography to eu or global"), "{said}");
}
