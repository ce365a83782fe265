//! What is cleaned up: targets that were renamed or taken from the spec, and what deleted bindings leave.

use inference_profile_operator::api::InferenceProfileBinding;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    case::{Case, cases, needing_controllers},
    operator::SONNET,
    stage::{EU, ID, Stage, assert_host_is_clean, live, merging, sonnet, verdict, with_secrets},
    support::eventually,
    targets::{ALLOW, FINALIZER, History},
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![
        live(
            a_renamed_target_is_moved,
            a_renamed_target_is_cleaned_without_a_status,
            merged_keys_are_cleaned_without_a_status,
            an_object_of_others_is_not_deleted_without_a_status,
            a_deleted_binding_takes_its_keys_out,
            the_finalizer_is_there_only_for_merging,
        ),
        with_secrets(a_target_taken_from_the_spec_is_cleaned),
    ];
    cases.extend(needing_controllers(cases![live(
        a_deleted_binding_takes_its_object_with_it,
        a_terminating_namespace_gets_only_removals,
    )]));
    cases
}

async fn a_renamed_target_is_moved(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "renamed"}]}),
        )
        .await;
    stage.until_id("renamed", Some(EU)).await;
    stage.until_gone("claude").await;
    let binding = stage.ready("claude").await;
    let names: Vec<String> = binding
        .status
        .expect("a status")
        .targets
        .into_iter()
        .map(|target| target.name)
        .collect();
    assert_eq!(names, ["renamed"]);
}

async fn a_target_taken_from_the_spec_is_cleaned(stage: &Stage) {
    let both =
        json!([{"kind": "ConfigMap", "name": "claude"}, {"kind": "Secret", "name": "claude"}]);
    let binding = stage
        .bound(
            "claude",
            json!({"model": SONNET, "geography": "eu", "targets": both}),
        )
        .await;
    let reference = binding
        .status
        .and_then(|status| status.binding)
        .map(|binding| binding.name);
    assert_eq!(
        reference.as_deref(),
        Some("claude"),
        "the Secret of the Provisioned Service"
    );
    let secrets = stage.secrets();
    let secret = secrets.get("claude").await.expect("a Secret");
    assert_eq!(secret.type_.as_deref(), Some("servicebinding.io/bedrock"));
    assert_eq!(secret.data.expect("data")[ID].0, EU.as_bytes());

    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "claude"}]}),
        )
        .await;
    let binding = stage.ready("claude").await;
    assert_eq!(secrets.get_opt("claude").await.expect("an answer"), None);
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert_eq!(binding.status.expect("a status").binding, None);
}

async fn a_renamed_target_is_cleaned_without_a_status(stage: &mut Stage) {
    stage.bound("claude", sonnet()).await;
    stage.stop().await;
    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "renamed"}]}),
        )
        .await;
    stage.wipe_status("claude").await;
    stage.start(stage.options());
    stage.until_id("renamed", Some(EU)).await;
    stage.until_gone("claude").await;
    stage.ready("claude").await;
}

async fn merged_keys_are_cleaned_without_a_status(stage: &mut Stage) {
    stage.host("host", Some("claude")).await;
    stage.bound("claude", merging()).await;
    stage.stop().await;
    stage.edit("claude", json!({"targets": null})).await;
    stage.wipe_status("claude").await;
    stage.start(stage.options());
    stage.until_id("claude", Some(EU)).await;
    stage.until_id("host", None).await;
    assert_host_is_clean(stage).await;
}

async fn an_object_of_others_is_not_deleted_without_a_status(stage: &mut Stage) {
    let empty = json!({
        "metadata": {"name": "host", "annotations": {ALLOW: "claude"}},
        "binaryData": {"theirs": "AAAA"},
    });
    stage.create(empty).await;
    stage.bound("claude", merging()).await;
    stage.stop().await;
    let consent = json!({"metadata": {"annotations": {ALLOW: null}}});
    stage.meddle("host", consent).await;
    stage.edit("claude", json!({"targets": null})).await;
    stage.wipe_status("claude").await;
    stage.start(stage.options());
    stage.ready("claude").await;
    eventually("the key is gone", || async {
        let host = stage
            .config_map("host")
            .await
            .expect("it is not ours to delete");
        if host.data.is_none() && host.binary_data.is_some() {
            Ok(())
        } else {
            Err(host)
        }
    })
    .await;
}

async fn a_deleted_binding_takes_its_object_with_it(stage: &Stage) {
    let binding = stage.bound("claude", sonnet()).await;
    assert_eq!(binding.metadata.finalizers, None);
    stage.unbind("claude").await;
    stage.until_gone("claude").await;
}

async fn a_deleted_binding_takes_its_keys_out(stage: &Stage) {
    stage.host("host", Some("claude")).await;
    stage.bound("claude", merging()).await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
    stage.unbind("claude").await;
    assert_host_is_clean(stage).await;
}

async fn the_finalizer_is_there_only_for_merging(stage: &Stage) {
    stage.host("host", Some("claude")).await;
    stage.bind("claude", sonnet()).await;
    assert_eq!(stage.ready("claude").await.metadata.finalizers, None);
    stage
        .edit("claude", json!({"targets": merging()["targets"]}))
        .await;
    let finalizers = stage.ready("claude").await.metadata.finalizers;
    assert_eq!(
        finalizers.as_deref(),
        Some([FINALIZER.to_owned()].as_slice())
    );
    stage.edit("claude", json!({"targets": null})).await;
    stage.ready("claude").await;
    assert_host_is_clean(stage).await;
    eventually("the finalizer is gone", || async {
        match stage.binding("claude").await.metadata.finalizers {
            None => Ok(()),
            Some(finalizers) => Err(finalizers),
        }
    })
    .await;
}

/// What is deleted with its namespace is neither corrected nor complained of. Only merged keys are taken out, because deletion
/// waits for that.
async fn a_terminating_namespace_gets_only_removals(stage: &Stage) {
    const BINDINGS: usize = 20;
    stage.host("host", Some("claude")).await;
    stage.bound("claude", merging()).await;
    for number in 0..BINDINGS {
        stage.bind(&format!("b{number}"), sonnet()).await;
    }
    for number in 0..BINDINGS {
        stage.ready(&format!("b{number}")).await;
    }
    stage.settled().await;
    let client = stage.cluster.client.clone();
    let written: History<InferenceProfileBinding> =
        History::watch(Api::namespaced(client.clone(), &stage.namespace)).await;
    let namespaces: Api<Namespace> = Api::all(client);
    let params = DeleteParams::default();
    let name = &stage.namespace;
    namespaces.delete(name, &params).await.expect("deleted");
    eventually("the namespace is gone", || async {
        match namespaces.get_opt(name).await.expect("an answer") {
            None => Ok(()),
            Some(namespace) => Err(namespace.status),
        }
    })
    .await;
    for binding in written.states() {
        let synced = verdict(&binding, "TargetsSynced");
        let synced = synced.map(|(status, _)| status);
        assert_eq!(synced.as_deref(), Some("True"), "{binding:#?}");
    }
}
