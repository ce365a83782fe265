//! What people see of bindings through kubectl.

use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::crd::bound_status;
use crate::operator::Options;
use crate::stage::Stage;
use crate::support::{Case, Cluster, case, eventually};

const SMALLEST: &str = "
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: claude}
spec:
  model: anthropic.claude-sonnet-4-5-20250929-v1:0
  geography: eu
";

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "kubectl::lists_bindings_by_every_name_of_theirs",
            lists_by_every_name,
        ),
        case("kubectl::shows_the_columns", shows_the_columns),
        case("kubectl::shows_the_wide_columns", shows_the_wide_columns),
        case(
            "kubectl::sees_no_difference_after_an_apply",
            sees_no_difference,
        ),
        case(
            "kubectl::sees_no_difference_after_a_visit",
            sees_no_difference_after_a_visit,
        ),
        case("kubectl::explains_targets", explains_targets),
        case("kubectl::names_an_unknown_field", names_an_unknown_field),
        case(
            "kubectl::applies_the_crd_within_the_annotation_limit",
            applies_the_crd,
        ),
    ]
}

async fn lists_by_every_name(cluster: Cluster) {
    let namespace = applied(&cluster).await;
    for kind in [
        "ipb",
        "bedrock",
        "inferenceprofilebinding",
        "inferenceprofilebindings",
    ] {
        let names = cluster
            .kubectl(&["get", kind, "-o", "name", "-n", &namespace])
            .await
            .ok();
        assert_eq!(
            names.trim(),
            "inferenceprofilebinding.inferenceprofiles.dev/claude",
            "kubectl get {kind}"
        );
    }
}

async fn shows_the_columns(cluster: Cluster) {
    let namespace = bound(&cluster).await;
    let table = cluster
        .kubectl(&["get", "ipb", "-n", &namespace])
        .await
        .ok();
    let [header, row] = rows(&table)[..] else {
        panic!("{table}")
    };
    assert_eq!(
        words(header),
        ["NAME", "GEOGRAPHY", "PROFILE", "READY", "REASON", "AGE"]
    );
    assert_eq!(
        words(row)[..5],
        [
            "claude",
            "eu",
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "True",
            "Bound"
        ]
    );
}

async fn shows_the_wide_columns(cluster: Cluster) {
    let namespace = bound(&cluster).await;
    let table = cluster
        .kubectl(&["get", "ipb", "-o", "wide", "-n", &namespace])
        .await
        .ok();
    let [header, row] = rows(&table)[..] else {
        panic!("{table}")
    };
    assert_eq!(
        words(header)[6..],
        ["MODEL", "SOURCE", "DESTINATIONS", "LIMIT"]
    );
    assert_eq!(
        words(row)[6..],
        [
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "eu-west-1",
            r#"["eu-central-1","eu-west-1"]"#
        ]
    );
}

async fn sees_no_difference(cluster: Cluster) {
    for how in [&[][..], &["--server-side"]] {
        let namespace = cluster.namespace("kubectl").await;
        let rest = [how, &["-n", &namespace, "-f", "-"]].concat();
        for verb in ["apply", "diff"] {
            let arguments = [&[verb][..], &rest].concat();
            cluster.kubectl_reading(SMALLEST, &arguments).await.ok();
        }
    }
}

/// What the operator writes into bindings and into objects that bindings merge keys into is no drift to GitOps.
async fn sees_no_difference_after_a_visit(cluster: Cluster) {
    for how in [&[][..], &["--server-side"]] {
        let mut stage = Stage::empty(cluster.clone()).await;
        let examples = ["-n", &stage.namespace.clone(), "-f", "examples"];
        let arguments = [&["apply"], how, &examples].concat();
        cluster.kubectl(&arguments).await.ok();
        stage.start(Options {
            enable_secrets: true,
            ..stage.options()
        });
        let list = stage.bindings().list(&ListParams::default()).await;
        let names: Vec<String> = list
            .expect("bindings")
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        assert!(names.len() > 5, "{names:?}");
        for name in &names {
            stage.observed(name).await;
        }
        let arguments = [&["diff"], how, &examples].concat();
        cluster.kubectl(&arguments).await.ok();
        stage.stop().await;
    }
}

async fn explains_targets(cluster: Cluster) {
    // The apiserver publishes the schema a little after it serves the kind.
    let page = eventually("ipb.spec.targets is explained", || async {
        let output = cluster.kubectl(&["explain", "ipb.spec.targets"]).await;
        if output.code == Some(0) {
            Ok(output.stdout)
        } else {
            Err(output)
        }
    })
    .await;
    for part in [
        "creationPolicy",
        "keys",
        "templates",
        "allow-merge",
        "default",
    ] {
        assert!(page.contains(part), "{part:?} is missing in {page}");
    }
}

async fn names_an_unknown_field(cluster: Cluster) {
    let namespace = cluster.namespace("kubectl").await;
    let mistyped = SMALLEST.replace("geography", "geografy");
    let output = cluster
        .kubectl_reading(&mistyped, &["apply", "-n", &namespace, "-f", "-"])
        .await;
    assert_ne!(output.code, Some(0));
    assert!(
        output.stderr.contains(r#"unknown field "spec.geografy""#),
        "{output:#?}"
    );
}

async fn applies_the_crd(cluster: Cluster) {
    cluster
        .kubectl(&["apply", "--dry-run=server", "-f", "crds"])
        .await
        .ok();
}

/// Applies the smallest binding in a namespace of its own and returns the namespace.
async fn applied(cluster: &Cluster) -> String {
    let namespace = cluster.namespace("kubectl").await;
    cluster
        .kubectl_reading(SMALLEST, &["apply", "-n", &namespace, "-f", "-"])
        .await
        .ok();
    namespace
}

/// Likewise, with the status of a bound binding.
async fn bound(cluster: &Cluster) -> String {
    let namespace = applied(cluster).await;
    cluster
        .bindings(&namespace)
        .patch_status(
            "claude",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": bound_status()})),
        )
        .await
        .expect("the status is written");
    namespace
}

fn rows(table: &str) -> Vec<&str> {
    table.lines().collect()
}

fn words(row: &str) -> Vec<&str> {
    row.split_whitespace().collect()
}
