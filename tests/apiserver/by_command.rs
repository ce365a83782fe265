//! What a person sees of a binding, and changes of it, by the program's commands.

use std::process::Command;

use inference_profile_operator::api::condition::Reason;
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    common::program::{Output, PROGRAM},
    stage::{ID, Stage, embedded, live, sonnet},
    support::eventually,
};

pub fn cases() -> Vec<Case> {
    cases![
        embedded(a_binding_on_one_page, suspends_and_resumes),
        live(refreshes)
    ]
}

async fn by_command(stage: &Stage, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .args(["-n", &stage.namespace])
        .arg("--kubeconfig")
        .arg(stage.cluster.kubeconfig())
        .env_remove("KUBECONFIG");
    Output::awaited(command, "").await
}

async fn a_binding_on_one_page(stage: &Stage) {
    let mut spec = sonnet();
    spec["fallback"] = json!({"geographies": ["global"]});
    spec["allowedRegions"] = json!(["@eu"]);
    stage.bound("chat", spec).await;
    stage.limit_namespace(Some("eu-*")).await;
    let page = by_command(stage, &["status", "chat"]).await;
    println!("{}", page.stdout);
    assert_eq!(page.code, Some(0), "{page:#?}");
    let name = format!("Binding:      {}/chat", stage.namespace);
    for part in [
        name.as_str(),
        "Ready              True     Bound",
        "@eu (set by spec.allowedRegions): permits the profile in use",
        "eu-* (set by the Namespace's annotation",
        "eu: eu.anthropic.claude-sonnet-4-5-20250929-v1:0: chosen",
        "global: ",
        "ConfigMap/chat (Owner, written",
        ID,
    ] {
        assert!(page.stdout.contains(part), "{part:?} is not in {page:#?}");
    }
    let json = by_command(stage, &["status", "chat", "-o", "json"])
        .await
        .ok();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["profile"]["geography"], "eu");
    assert_eq!(json["candidates"][0]["outcome"], "chosen");

    stage.bind("lost", json!({"className": "none"})).await;
    stage
        .until("lost", "RegionSupported", "False", Reason::ClassNotFound)
        .await;
    let page = by_command(stage, &["status", "lost"]).await;
    assert_eq!(page.code, Some(3), "{page:#?}");
    assert!(
        page.stdout
            .contains("Profile:      none: nothing is written"),
        "{page:#?}"
    );
    let page = by_command(stage, &["status", "nobody"]).await;
    assert_eq!(page.code, Some(2), "{page:#?}");
    assert!(
        page.stderr
            .contains("there is no binding nobody in namespace"),
        "{page:#?}"
    );
    let page = by_command(stage, &["status", "chat", "--as", "jane"]).await;
    assert_eq!(page.code, Some(1), "{page:#?}");
    assert!(page.stderr.contains("cannot get resource"), "{page:#?}");
}

async fn suspends_and_resumes(stage: &Stage) {
    stage.bound("chat", sonnet()).await;
    let output = by_command(stage, &["suspend", "chat"]).await;
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "{output:#?}"
    );
    stage
        .until("chat", "Suspended", "True", Reason::SuspendedBySpec)
        .await;
    let binding = stage.bindings().get("chat").await.expect("there");
    let managers: Vec<_> = binding.metadata.managed_fields.iter().flatten().collect();
    let ours = managers
        .iter()
        .any(|it| it.manager.as_deref() == Some("kubectl-ipb"));
    assert!(ours, "{managers:#?}");

    by_command(stage, &["resume", "chat"]).await.ok();
    eventually("it is not suspended", || async {
        let binding = stage.bindings().get("chat").await.expect("there");
        let conditions = binding.status.clone().unwrap_or_default().conditions;
        let suspended = conditions.iter().any(|it| it.type_ == "Suspended");
        if binding.spec.suspend.is_none() && !suspended {
            Ok(())
        } else {
            Err(binding)
        }
    })
    .await;

    // A tool of GitOps would undo it.
    let manifest = json!({
        "apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": "InferenceProfileBinding",
        "metadata": {"name": "applied", "namespace": stage.namespace}, "spec": sonnet(),
    });
    let apply = [
        "apply",
        "--server-side",
        "--field-manager=kustomize-controller",
        "-f",
        "-",
    ];
    stage
        .cluster
        .kubectl_reading(&manifest.to_string(), &apply)
        .await
        .ok();
    let output = by_command(stage, &["suspend", "applied"]).await;
    assert!(
        output
            .stderr
            .contains("kustomize-controller applies this binding, and may undo that"),
        "{output:#?}"
    );

    let output = by_command(stage, &["suspend", "nobody"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    let output = by_command(stage, &["suspend", "chat", "--as", "jane"]).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output.stderr.contains("cannot patch resource"),
        "{output:#?}"
    );
}

async fn refreshes(stage: &Stage) {
    stage.bound("chat", sonnet()).await;
    let before = stage.bindings().get("chat").await.expect("there").metadata;
    let output = by_command(stage, &["refresh", "chat"]).await;
    assert!(output.ok().contains("refresh requested"));
    let after = stage.bindings().get("chat").await.expect("there").metadata;
    let value = |metadata: &kube::api::ObjectMeta| {
        let annotations = metadata.annotations.clone().unwrap_or_default();
        annotations.get("inferenceprofiles.dev/refresh").cloned()
    };
    assert_ne!(value(&before), value(&after));
    assert_eq!(before.generation, after.generation, "the spec is as it was");
}
