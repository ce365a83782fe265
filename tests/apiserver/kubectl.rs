//! What people see of bindings through kubectl.

use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::{
    case::{Case, cases},
    crd::bound_status,
    operator::Options,
    stage::{Stage, embedded, empty},
    support::eventually,
};

const SMALLEST: &str = "
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: claude}
spec:
  model: anthropic.claude-sonnet-4-5-20250929-v1:0
  geography: eu
";

pub fn cases() -> Vec<Case> {
    let mut cases = cases![embedded(
        prints_what_the_readme_shows,
        shows_what_was_asked_for
    )];
    cases.extend(cases![empty(
        lists_bindings_by_every_name_of_theirs,
        shows_the_columns,
        shows_the_wide_columns,
        sees_no_difference_after_an_apply,
        sees_no_difference_after_a_visit,
        explains_targets,
        names_an_unknown_field,
        applies_the_crd_within_the_annotation_limit,
    )]);
    cases
}

/// But for the age and the width of columns.
async fn prints_what_the_readme_shows(stage: &Stage) {
    for example in ["01-smallest", "08-unsupported"] {
        let path = format!("examples/{example}.yaml");
        let arguments = ["apply", "-n", &stage.namespace, "-f", &path];
        stage.cluster.kubectl(&arguments).await.ok();
    }
    stage.observed("claude").await;
    stage.observed("claude-jp-from-ireland").await;
    let table = stage
        .cluster
        .kubectl(&["get", "ipb", "-n", &stage.namespace])
        .await
        .ok();
    let readme = include_str!("../../README.md");
    let shown = readme
        .split("$ kubectl get ipb\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a transcript");
    let without_age = |table: &str| -> Vec<Vec<String>> {
        table
            .lines()
            .map(words)
            .map(|row| {
                row[..row.len() - 1]
                    .iter()
                    .map(ToString::to_string)
                    .collect()
            })
            .collect()
    };
    assert_eq!(without_age(shown), without_age(&table), "{table}");
}

async fn lists_bindings_by_every_name_of_theirs(stage: &Stage) {
    apply(stage).await;
    for kind in [
        "ipb",
        "bedrock",
        "inferenceprofilebinding",
        "inferenceprofilebindings",
    ] {
        let names = stage
            .cluster
            .kubectl(&["get", kind, "-o", "name", "-n", &stage.namespace])
            .await
            .ok();
        assert_eq!(
            names.trim(),
            "inferenceprofilebinding.inferenceprofiles.dev/claude",
            "kubectl get {kind}"
        );
    }
}

async fn shows_the_columns(stage: &Stage) {
    bind(stage).await;
    let table = stage
        .cluster
        .kubectl(&["get", "ipb", "-n", &stage.namespace])
        .await
        .ok();
    let [header, row] = rows(&table)[..] else {
        panic!("{table}")
    };
    assert_eq!(
        words(header),
        ["NAME", "MODEL", "GEOGRAPHY", "READY", "REASON", "AGE"]
    );
    assert_eq!(
        words(row)[..5],
        [
            "claude",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "eu",
            "True",
            "Bound"
        ]
    );
    assert!(header.len() <= 100, "{header}");
}

/// A row says what was asked for, whatever came of it.
async fn shows_what_was_asked_for(stage: &Stage) {
    let model = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    stage
        .bind("no-geography", json!({"model": model, "geography": "jp"}))
        .await;
    let fallback = json!({"model": model, "geography": "jp", "fallback": {"geographies": ["eu"]}});
    stage.bind("fallback", fallback).await;
    let limited = json!({"model": model, "geography": "eu", "allowedRegions": ["us-*"]});
    stage.bind("limited", limited).await;
    let allowed = json!({"model": model, "geography": "eu", "allowedRegions": ["eu-*"]});
    stage.bind("allowed", allowed).await;
    stage.bind("of-a-class", json!({"className": "none"})).await;
    for name in [
        "no-geography",
        "fallback",
        "limited",
        "allowed",
        "of-a-class",
    ] {
        stage.observed(name).await;
    }
    let get = ["get", "ipb", "-n", &stage.namespace];
    let table = stage.cluster.kubectl(&get).await.ok();
    let starts_of = |table: &str, name: &str, count: usize| -> Vec<String> {
        let mut lines = table.lines();
        let row = lines.find(|line| words(line)[0] == name).expect(name);
        words(row)[1..=count]
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    for (name, expected) in [
        ("no-geography", &[model, "jp", "False"][..]),
        ("fallback", &[model, "eu", "True"]),
        ("limited", &[model, "eu", "False"]),
        ("of-a-class", &["none", "False", "ClassNotFound"]),
    ] {
        assert_eq!(starts_of(&table, name, 3), expected, "{table}");
    }
    let get = ["get", "ipb", "-n", &stage.namespace, "-o", "wide"];
    let table = stage.cluster.kubectl(&get).await.ok();
    let last = |name: &str| {
        let row = table.lines().find(|line| words(line)[0] == name);
        *words(row.expect(name)).last().expect("a word")
    };
    assert_eq!(last("limited"), "binding", "{table}");
    for name in ["allowed", "fallback"] {
        assert!(last(name).starts_with("eu-central-1,eu-"), "{table}");
    }
}

async fn shows_the_wide_columns(stage: &Stage) {
    bind(stage).await;
    let table = stage
        .cluster
        .kubectl(&["get", "ipb", "-o", "wide", "-n", &stage.namespace])
        .await
        .ok();
    let [header, row] = rows(&table)[..] else {
        panic!("{table}")
    };
    assert_eq!(
        words(header)[6..],
        [
            "PROFILE",
            "CLASS",
            "IN",
            "USE",
            "SOURCE",
            "DESTINATIONS",
            "LIMIT"
        ]
    );
    assert_eq!(
        words(row)[6..],
        [
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "eu-west-1",
            "eu-central-1,eu-west-1"
        ]
    );
}

async fn sees_no_difference_after_an_apply(stage: &Stage) {
    for how in [&[][..], &["--server-side"]] {
        let stage = stage.another().await;
        let rest = [how, &["-n", &stage.namespace, "-f", "-"]].concat();
        for verb in ["apply", "diff"] {
            let arguments = [&[verb][..], &rest].concat();
            stage
                .cluster
                .kubectl_reading(SMALLEST, &arguments)
                .await
                .ok();
        }
    }
}

/// What the operator writes into bindings and into objects that bindings merge keys into is no drift to GitOps.
async fn sees_no_difference_after_a_visit(stage: &Stage) {
    for how in [&[][..], &["--server-side"]] {
        let mut stage = stage.another().await;
        let examples = ["-n", &stage.namespace.clone(), "-f", "examples"];
        let arguments = [&["apply"], how, &examples].concat();
        stage.cluster.kubectl(&arguments).await.ok();
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
        stage.cluster.kubectl(&arguments).await.ok();
        stage.end().await;
    }
}

async fn explains_targets(stage: &Stage) {
    // The apiserver publishes the schema a little after it serves the kind.
    let page = eventually("ipb.spec.targets is explained", || async {
        let output = stage
            .cluster
            .kubectl(&["explain", "ipb.spec.targets"])
            .await;
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

async fn names_an_unknown_field(stage: &Stage) {
    let mistyped = SMALLEST.replace("geography", "geografy");
    let output = stage
        .cluster
        .kubectl_reading(&mistyped, &["apply", "-n", &stage.namespace, "-f", "-"])
        .await;
    assert_ne!(output.code, Some(0));
    assert!(
        output.stderr.contains(r#"unknown field "spec.geografy""#),
        "{output:#?}"
    );
}

async fn applies_the_crd_within_the_annotation_limit(stage: &Stage) {
    stage
        .cluster
        .kubectl(&["apply", "--dry-run=server", "-f", "crds"])
        .await
        .ok();
}

/// Applies the smallest binding.
async fn apply(stage: &Stage) {
    stage
        .cluster
        .kubectl_reading(SMALLEST, &["apply", "-n", &stage.namespace, "-f", "-"])
        .await
        .ok();
}

/// Applies the smallest binding and gives it the status of a bound one.
async fn bind(stage: &Stage) {
    apply(stage).await;
    stage
        .bindings()
        .patch_status(
            "claude",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": bound_status()})),
        )
        .await
        .expect("the status is written");
}

fn rows(table: &str) -> Vec<&str> {
    table.lines().collect()
}

fn words(row: &str) -> Vec<&str> {
    row.split_whitespace().collect()
}
