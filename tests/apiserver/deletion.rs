//! What becomes of targets when their binding is deleted, by `spec.deletionPolicy`, and how that and Kubernetes' garbage collection
//! fit together.

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases, needing_controllers},
    stage::{EU, ID, Stage, assert_host_is_clean, empty, live, merging, sonnet},
    support::eventually,
    targets::{FINALIZER, LABEL, controller, data, owner, spec},
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![
        live(
            the_finalizer_follows_the_deletion_policy,
            what_leaves_the_spec_goes_whatever_the_deletion_policy,
            merged_keys_go_whatever_the_deletion_policy,
        ),
        empty(a_refused_cleanup_is_told_once),
    ];
    cases.extend(needing_controllers(cases![live(
        an_owned_object_stays_and_is_adopted_again,
        other_owners_of_an_object_that_stays_are_kept,
        a_foreground_deletion_leaves_no_object_with_a_dangling_owner,
    )]));
    cases
}

/// Returns a spec with these targets whose owned objects stay.
fn orphaning(targets: impl Into<Value>) -> Value {
    let mut spec = spec(targets);
    spec["deletionPolicy"] = json!("Orphan");
    spec
}

/// Waits until garbage collection has dealt with a binding that was deleted after all others.
async fn garbage_is_collected(stage: &Stage) {
    stage.bound("witness", sonnet()).await;
    stage.unbind("witness").await;
    stage.until_gone("witness").await;
}

async fn an_owned_object_stays_and_is_adopted_again(stage: &Stage) {
    let spec = orphaning([owner("model")]);
    let binding = stage.bound("claude", spec.clone()).await;
    assert_eq!(binding.finalizers(), [FINALIZER]);
    let before = stage.object("model").await;
    assert_eq!(controller(&before), binding.uid());

    stage.unbind("claude").await;
    garbage_is_collected(stage).await;
    let orphan = stage.object("model").await;
    assert_eq!(orphan.owner_references(), []);
    assert_eq!(orphan.labels()[LABEL], "true");
    assert_eq!(data(&orphan, "MODEL"), Some(EU));

    let successor = stage.bound("claude", spec).await;
    let adopted = stage.object("model").await;
    assert_eq!(adopted.uid(), before.uid(), "the object is the same");
    assert_eq!(controller(&adopted), successor.uid());
}

async fn other_owners_of_an_object_that_stays_are_kept(stage: &Stage) {
    stage.bound("claude", orphaning([owner("model")])).await;
    stage.add_owner("model", "keeper").await;
    stage.unbind("claude").await;
    garbage_is_collected(stage).await;
    let model = stage.object("model").await;
    let owners: Vec<&str> = model
        .owner_references()
        .iter()
        .map(|owner| owner.name.as_str())
        .collect();
    assert_eq!(owners, ["keeper"]);
}

/// The garbage collector deletes dependents by itself then, and the operator releases them: whoever is first. Neither waits for the
/// other.
async fn a_foreground_deletion_leaves_no_object_with_a_dangling_owner(stage: &Stage) {
    stage.bound("claude", orphaning([owner("model")])).await;
    stage
        .bindings()
        .delete("claude", &DeleteParams::foreground())
        .await
        .expect("deleted");
    stage.until_unbound("claude").await;
    garbage_is_collected(stage).await;
    if let Some(model) = stage.config_map("model").await {
        assert_eq!(model.owner_references(), []);
    }
}

async fn until_finalizers(stage: &Stage, expected: &[&str]) {
    eventually(&format!("the finalizers are {expected:?}"), || async {
        let binding = stage.binding("claude").await;
        if binding.finalizers() == expected {
            Ok(())
        } else {
            Err(binding.metadata)
        }
    })
    .await;
}

async fn the_finalizer_follows_the_deletion_policy(stage: &Stage) {
    let binding = stage.bound("claude", sonnet()).await;
    assert_eq!(binding.metadata.finalizers, None);
    let before = stage.object("claude").await;
    stage
        .edit("claude", json!({"deletionPolicy": "Orphan"}))
        .await;
    until_finalizers(stage, &[FINALIZER]).await;
    stage.edit("claude", json!({"deletionPolicy": null})).await;
    until_finalizers(stage, &[]).await;

    // A binding that is suspended keeps its objects too.
    let suspended = json!({"deletionPolicy": "Orphan", "suspend": true});
    stage.edit("claude", suspended).await;
    until_finalizers(stage, &[FINALIZER]).await;
    assert_eq!(
        stage.object("claude").await,
        before,
        "none of it is a write"
    );
    stage.unbind("claude").await;
    let after = stage.object("claude").await;
    assert_eq!(after.owner_references(), []);
}

async fn what_leaves_the_spec_goes_whatever_the_deletion_policy(stage: &Stage) {
    let both = orphaning([owner("one"), owner("two")]);
    stage.bound("claude", both).await;
    stage.retarget("claude", [owner("one")]).await;
    stage.until_gone("two").await;
    stage
        .edit("claude", json!({"allowedRegions": ["us-*"]}))
        .await;
    stage.until_gone("one").await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    stage.unbind("claude").await;
    assert_eq!(stage.config_map("one").await, None);
}

async fn merged_keys_go_whatever_the_deletion_policy(stage: &Stage) {
    stage.host("host", Some("claude")).await;
    let mut spec = merging();
    spec["deletionPolicy"] = json!("Orphan");
    stage.bound("claude", spec).await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
    stage.unbind("claude").await;
    assert_host_is_clean(stage).await;
}

async fn a_refused_cleanup_is_told_once(stage: &mut Stage) {
    const EVERY: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
    stage.grant("operator", EVERY).await;
    stage.start_as("operator", stage.options()).await;
    stage.host("host", Some("claude")).await;
    stage.bound("claude", merging()).await;

    stage.grant("operator", &["get", "list", "watch"]).await;
    eventually("the right is gone", || async {
        let cluster = stage.cluster.impersonating("operator").await;
        let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "host"}});
        let params = PatchParams::apply("probe").dry_run();
        let api = kube::Api::<ConfigMap>::namespaced(cluster.client, &stage.namespace);
        match api.patch("host", &params, &Patch::Apply(probe)).await {
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    stage.delete("claude").await;
    let message = stage
        .until_not_synced("claude", Reason::TargetForbidden)
        .await;
    assert!(
        message.starts_with("deletion waits for this: ConfigMap host: "),
        "{message}"
    );
    stage
        .until_events("claude", &[("Warning", "TargetForbidden", 1)])
        .await;
    assert_eq!(stage.value("host", ID).await.as_deref(), Some(EU));

    stage.grant("operator", EVERY).await;
    stage.until_unbound("claude").await;
    assert_host_is_clean(stage).await;
    stage
        .until_events("claude", &[("Warning", "TargetForbidden", 1)])
        .await;
}
