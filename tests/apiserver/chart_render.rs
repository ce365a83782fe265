//! Templates of the Helm chart, as Helm renders them.

use std::process::Command;

use serde_json::json;

use crate::{
    case::Case,
    common::{chart::CHART, program::Output, tools::tool},
    stage::Stage,
    support::ROOT,
};

/// An API that `helm template`, which asks no cluster, has to be told of.
const MUTATING: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";

/// The minor version of Kubernetes that serves [`MUTATING`].
pub const MUTATING_SINCE: u32 = 36;

/// Returns these cases where there is Helm; none otherwise.
pub fn needing_helm(cases: Vec<Case>) -> Vec<Case> {
    if tool("helm").is_some() {
        cases
    } else {
        Vec::new()
    }
}

/// Renders one template of the chart with these arguments; Err: what Helm said.
pub fn render(template: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(tool("helm").expect("looked for before"));
    command
        .args(["template", CHART])
        .args(["--show-only", &format!("templates/{template}")])
        // Helm renders all templates, whichever it shows, and the operator needs its region.
        .args(["--set", "region=eu-west-1"])
        .args(arguments)
        .current_dir(ROOT);
    let output = Output::of(&mut command, "");
    if output.code == Some(0) {
        Ok(output.stdout)
    } else {
        Err(output.stderr)
    }
}

/// Applies a template that makes policies, the values of which stand under this name, for the stage's namespace alone.
pub async fn apply_policies(stage: &Stage, template: &str, values: &str) {
    let namespace = stage.namespace.as_str();
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let manifest = render(
        template,
        &[
            "--name-template",
            namespace,
            "--set",
            &format!("{values}.enabled=true"),
            "--set-json",
            &format!("{values}.namespaceSelector={selector}"),
            "--api-versions",
            MUTATING,
        ],
    )
    .expect("rendered");
    stage
        .cluster
        .kubectl_reading(&manifest, &["create", "-f", "-"])
        .await
        .ok();
}
