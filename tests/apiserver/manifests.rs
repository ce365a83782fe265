//! Whole manifests, as `kubectl apply` gives them to the apiserver, and as `render` reads them: what one refuses, the other
//! refuses.
//!
//! With `REFUSALS_TABLE=1`, each refusal is printed as a line of a table: the case, what the cluster says, what the program
//! says.

use std::io::Write as _;
use std::process::{Command, Stdio};

use inference_profile_operator::api::InferenceProfileBinding;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, case, cases},
    common::refusals::{
        ACCEPTED_MANIFESTS, LIMITS, REFUSALS, REFUSED_MANIFESTS, RefusedManifest, replaced, spec,
    },
    stage::{Stage, empty},
    support::{Output, refusal, yaml},
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
    let (code, said) = render(&manifest).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains(refused.render),
        "{:?} is not in {said}",
        refused.render
    );
    show(refused.name, &output.stderr, &said);
}

async fn accepts(stage: &Stage, manifest: String) {
    apply(stage, &manifest).await.ok();
    let (code, said) = render(&manifest).await;
    // 3 where the binding is suspended.
    assert!(matches!(code, Some(0 | 3)), "{said}");
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
        let (code, said) = render(&manifest(&spec)).await;
        assert_eq!(code, Some(2), "{name}: {said}");
        show(&name, &refused, &said);
    }
}

/// Returns what the apiserver says to a binding that it refuses.
async fn try_create(stage: &Stage, spec: &Value) -> String {
    let kind = ApiResource::erase::<InferenceProfileBinding>(&());
    let mut object = DynamicObject::new("a", &kind);
    object.data = json!({"spec": spec});
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let created = Api::<DynamicObject>::namespaced_with(
        stage.cluster.client.clone(),
        &stage.namespace,
        &kind,
    )
    .create(&parameters, &object)
    .await;
    refusal(created).message.clone()
}

fn manifest(spec: &Value) -> String {
    json!({
        "apiVersion": "inferenceprofiles.dev/v1alpha1",
        "kind": "InferenceProfileBinding",
        "metadata": {"name": "a"},
        "spec": spec,
    })
    .to_string()
}

/// Applies a manifest, without effect.
async fn apply(stage: &Stage, manifest: &str) -> Output {
    let arguments = ["apply", "--dry-run=server", "-n", "default", "-f", "-"];
    stage.cluster.kubectl_reading(manifest, &arguments).await
}

/// Returns the exit code of `render`, and what it says of an error.
async fn render(manifest: &str) -> (Option<i32>, String) {
    let manifest = manifest.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_inference-profile-operator"))
            .args(["render", "--region", "eu-west-1", "-f", "-"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        let mut pipe = child.stdin.take().expect("piped");
        pipe.write_all(manifest.as_bytes()).expect("it reads");
        drop(pipe);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    })
    .await
    .expect("the program was run")
}

fn show(name: &str, cluster: &str, render: &str) {
    if std::env::var("REFUSALS_TABLE").is_ok_and(|value| value == "1") {
        let cell = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        println!("| {name} | {} | {} |", cell(cluster), cell(render));
    }
}
