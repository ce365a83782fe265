//! Whole manifests, as `kubectl apply` gives them to the apiserver, and as `render` reads them: what one refuses, the other
//! refuses.
//!
//! With `REFUSALS_TABLE=1`, each refusal is printed as a line of a table: the case, what the cluster says, what the program
//! says.

use std::process::Command;

use serde_json::Value;

use crate::{
    case::{Case, case, cases},
    common::{
        program::{Output, PROGRAM},
        refusals::{
            ACCEPTED_MANIFESTS, LIMITS, REFUSALS, REFUSED_MANIFESTS, RefusedManifest, binding,
            rendered_code, replaced, spec,
        },
    },
    stage::{Stage, empty},
    support::{dry_run, refusal, yaml},
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![empty(
        specs_that_the_apiserver_refuses_are_refused_by_render
    )];
    for refused in REFUSED_MANIFESTS {
        let name = format!("refuses_{}", refused.name);
        cases.push(case!(empty, name, refuses(refused)));
    }
    for (name, part, by) in ACCEPTED_MANIFESTS {
        let name = format!("accepts_{name}");
        cases.push(case!(empty, name, accepts(replaced(part, by))));
    }
    cases
}

async fn refuses(stage: &Stage, refused: &'static RefusedManifest) {
    let manifest = refused.text();
    let output = apply(stage, &manifest).await;
    assert_ne!(output.code, Some(0), "{output:#?}");
    assert!(
        output.stderr.contains(refused.kubectl),
        "{:?} is not in {output:#?}",
        refused.kubectl
    );
    let rendered = render(&manifest).await;
    assert_eq!(rendered.code, Some(2), "{rendered:#?}");
    assert!(
        rendered.stderr.contains(refused.render),
        "{:?} is not in {rendered:#?}",
        refused.render
    );
    show(refused.name, &output.stderr, &rendered.stderr);
}

async fn accepts(stage: &Stage, manifest: String) {
    apply(stage, &manifest).await.ok();
    let rendered = render(&manifest).await;
    let code = rendered_code(&manifest);
    assert_eq!(rendered.code, Some(code), "{rendered:#?}");
}

async fn specs_that_the_apiserver_refuses_are_refused_by_render(stage: &Stage) {
    let limits = LIMITS.iter().map(|limit| {
        let more = limit.most + 1;
        (format!("{more} {}", limit.of), (limit.fields)(more))
    });
    let specs = REFUSALS
        .iter()
        .map(|refused| (refused.name.to_owned(), yaml(refused.fields)))
        .chain(limits);
    for (name, fields) in specs {
        let spec = spec(fields);
        let refused = try_create(stage, &spec).await;
        let rendered = render(&binding(&spec).to_string()).await;
        assert_eq!(rendered.code, Some(2), "{name}: {rendered:#?}");
        show(&name, &refused, &rendered.stderr);
    }
}

/// Returns what the apiserver says to a binding that it refuses.
async fn try_create(stage: &Stage, spec: &Value) -> String {
    let created = stage
        .cluster
        .try_bind(&stage.namespace, "a", spec, &dry_run())
        .await;
    refusal(created).message.clone()
}

/// Applies a manifest, without effect.
async fn apply(stage: &Stage, manifest: &str) -> Output {
    let arguments = ["apply", "--dry-run=server", "-n", "default", "-f", "-"];
    stage.cluster.kubectl_reading(manifest, &arguments).await
}

/// Returns how `render` ends, given this manifest.
async fn render(manifest: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(["render", "--region", "eu-west-1", "-f", "-"])
        .env_clear();
    Output::awaited(command, manifest).await
}

fn show(name: &str, cluster: &str, render: &str) {
    if std::env::var("REFUSALS_TABLE").is_ok_and(|value| value == "1") {
        let cell = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        println!("| {name} | {} | {} |", cell(cluster), cell(render));
    }
}
