//! `make demo CONTEXT=...`, on the apiserver of the tests under a name that tools for local clusters give.

use std::{path::Path, process::Output, time::Duration};

use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt, config::Kubeconfig};
use tokio::process::Command;

use crate::{
    case::{Case, cases, needing_controllers},
    stage::{Stage, empty},
    support::{Cluster, ROOT},
};

/// Longest run of the demo, which is built already.
const LIMIT: Duration = Duration::from_mins(3);

pub fn cases() -> Vec<Case> {
    let mut cases = needing_controllers(cases![empty(leaves_a_cluster_as_it_was)]);
    cases.extend(cases![empty(
        refuses_a_cluster_that_is_not_of_this_machine,
        names_the_contexts_that_there_are,
    )]);
    cases
}

/// Runs the demo where kubectl has this one context, with the apiserver at another address if one is given.
async fn demo(cluster: &Cluster, has: &str, server: Option<&str>, wants: &str) -> Output {
    let mut config = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
    config.current_context = None;
    has.clone_into(&mut config.contexts[0].name);
    if let (Some(server), Some(there)) = (server, config.clusters[0].cluster.as_mut()) {
        there.server = Some(server.to_owned());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, serde_yaml::to_string(&config).expect("YAML")).expect("written");
    let mut search: Vec<_> = vec![cluster.kubectl_path().parent().expect("a folder").into()];
    search.extend(std::env::split_paths(
        &std::env::var_os("PATH").expect("a PATH"),
    ));
    let run = Command::new(Path::new(ROOT).join("dev/demo/run"))
        .args(["--context", wants])
        .env("PATH", std::env::join_paths(search).expect("a PATH"))
        .env("KUBECONFIG", &path)
        .env("KUBECACHEDIR", folder.path().join("cache"))
        .env("KUBERC", "off")
        .env_remove("FORCE")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(LIMIT, run)
        .await
        .expect("the demo ends")
        .expect("the demo can be run")
}

async fn leaves_a_cluster_as_it_was(stage: &Stage) {
    let client = &stage.cluster.client;
    let crds = Api::<CustomResourceDefinition>::all(client.clone());
    let crd = async || {
        let name = "inferenceprofilebindings.inferenceprofiles.dev";
        crds.get(name).await.expect("the CRD").uid()
    };
    let before = crd().await;

    let output = demo(&stage.cluster, "kind-kind", None, "kind-kind").await;
    assert!(output.status.success(), "{output:#?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        printed.contains("claude-jp-from-ireland is not, as it should be"),
        "{printed}"
    );

    let namespace = printed
        .lines()
        .find_map(|line| line.strip_prefix("namespace/")?.strip_suffix(" created"))
        .unwrap_or_else(|| panic!("no namespace was made: {printed}"));
    let there = Api::<Namespace>::all(client.clone())
        .get_opt(namespace)
        .await
        .expect("an answer");
    assert!(there.is_none(), "{namespace} was left behind");
    assert_eq!(crd().await, before, "the CRD was there before");
}

/// Neither a name nor an address is enough.
async fn refuses_a_cluster_that_is_not_of_this_machine(stage: &Stage) {
    for (context, server) in [
        ("production", None),
        ("kind-production", Some("https://203.0.113.1:6443")),
        ("kind-production", Some("https://10.0.0.1.example:6443")),
        ("kind-production", Some("https://localhost.example")),
    ] {
        let output = demo(&stage.cluster, context, server, context).await;
        assert_eq!(output.status.code(), Some(1), "{output:#?}");
        let (printed, told) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            told.contains("nothing was written. FORCE=1 makes it go on"),
            "{told}"
        );
        assert!(!printed.contains(" created"), "{printed}");
    }
}

async fn names_the_contexts_that_there_are(stage: &Stage) {
    let output = demo(&stage.cluster, "kind-kind", None, "kind-other").await;
    assert_eq!(output.status.code(), Some(1), "{output:#?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("kubectl has no context 'kind-other'; it has: kind-kind\n"),
        "{told}"
    );
}
