//! Each row of "what happens to the written value", on a real apiserver.

use inference_profile_operator::api::condition::Reason;
use serde_json::json;

use crate::{
    case::{Case, case, cases},
    operator::{FAILURES, SONNET, Script, condition},
    stage::{
        EU, GLOBAL, ID, REGION, Stage, embedded, live, message, profile_in_use, sonnet, verdict,
    },
    support::eventually,
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![
        embedded(
            a_resolved_binding_is_written,
            an_unsupported_binding_is_not,
            drift_of_an_owned_object_is_corrected,
            a_deleted_object_is_written_again,
            an_object_without_its_label_gets_it_back,
        ),
        live(
            a_changed_request_replaces_the_value,
            a_restart_while_aws_fails_changes_nothing,
            a_retired_profile_stays_written,
            a_retired_profile_is_not_withdrawn_by_a_restart,
            a_binding_made_again_is_answered_by_a_new_listing,
        ),
    ];
    for (name, break_it, reason) in FAILURES {
        cases.push(case!(
            live,
            format!("the_value_stays_while_aws_is_{name}"),
            without_aws(break_it, reason)
        ));
    }
    cases
}

async fn a_resolved_binding_is_written(stage: &Stage) {
    let binding = stage.bound("claude", sonnet()).await;
    let object = stage.object("claude").await;
    let data = object.data.expect("values");
    let expected = [
        (
            "BEDROCK_DESTINATION_REGIONS",
            "eu-central-1,eu-north-1,eu-south-1,eu-south-2,eu-west-1,eu-west-3",
        ),
        ("BEDROCK_FOUNDATION_MODEL_ID", SONNET),
        ("BEDROCK_GEOGRAPHY", "eu"),
        ("BEDROCK_INFERENCE_PROFILE_ID", EU),
        ("BEDROCK_SOURCE_REGION", REGION),
    ];
    assert_eq!(
        data.into_iter().collect::<Vec<_>>(),
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
    let status = binding.status.expect("a status");
    assert_eq!(status.profile.expect("a profile").id, EU);
    let [target] = status.targets.as_slice() else {
        panic!("one target: {:?}", status.targets)
    };
    assert_eq!(
        (target.name.as_str(), Some(&target.uid)),
        ("claude", object.metadata.uid.as_ref())
    );
}

async fn an_unsupported_binding_is_not(stage: &Stage) {
    stage
        .bind("claude", json!({"model": SONNET, "geography": "jp"}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert_eq!(stage.config_map("claude").await, None);
}

async fn drift_of_an_owned_object_is_corrected(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage
        .meddle("claude", json!({"data": {ID: "other", "extra": "theirs"}}))
        .await;
    stage.until_id("claude", Some(EU)).await;
    stage.meddle("claude", json!({"data": {ID: null}})).await;
    stage.until_id("claude", Some(EU)).await;
    let data = stage
        .config_map("claude")
        .await
        .and_then(|object| object.data)
        .expect("values");
    assert_eq!(
        data.get("extra").map(String::as_str),
        Some("theirs"),
        "not a key of the binding"
    );
}

async fn a_deleted_object_is_written_again(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.delete_object("claude").await;
    stage.until_id("claude", Some(EU)).await;
    let uid = stage
        .config_map("claude")
        .await
        .and_then(|object| object.metadata.uid);
    eventually("the inventory knows the new object", || async {
        let targets = stage
            .binding("claude")
            .await
            .status
            .expect("a status")
            .targets;
        if targets.first().map(|target| &target.uid) == uid.as_ref() {
            Ok(())
        } else {
            Err(targets)
        }
    })
    .await;
}

async fn an_object_without_its_label_gets_it_back(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    let label = "inferenceprofiles.dev/managed";
    stage
        .meddle(
            "claude",
            json!({"metadata": {"labels": {label: null}}, "data": {ID: "other"}}),
        )
        .await;
    stage.until_id("claude", Some(EU)).await;
    let labels = stage
        .config_map("claude")
        .await
        .and_then(|object| object.metadata.labels);
    assert_eq!(
        labels.expect("labels").get(label).map(String::as_str),
        Some("true")
    );
}

async fn a_changed_request_replaces_the_value(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    let binding = stage.ready("claude").await;
    assert_eq!(profile_in_use(&binding), Some(GLOBAL));
    assert_eq!(stage.id("claude").await.as_deref(), Some(GLOBAL));
    stage
        .until_events("claude", &[("Normal", "ProfileChanged", 1)])
        .await;
}

async fn without_aws(stage: &Stage, break_it: fn(&Script, &str), reason: Reason) {
    stage.bind("claude", sonnet()).await;
    let ready = condition(&stage.ready("claude").await, "Ready");
    break_it(&stage.script, REGION);
    let why = stage.until("claude", "CatalogFresh", "False", reason).await;
    assert!(why.contains("by script"), "what AWS said: {why}");
    // Drift is corrected from the last good value.
    stage.meddle("claude", json!({"data": {ID: "other"}})).await;
    stage.until_id("claude", Some(EU)).await;
    assert_eq!(condition(&stage.binding("claude").await, "Ready"), ready);

    stage.script.recovers(REGION);
    stage
        .until("claude", "CatalogFresh", "True", Reason::Fresh)
        .await;
    let binding = stage.ready("claude").await;
    assert_eq!(condition(&binding, "Ready"), ready);
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert_eq!(stage.events("claude").await, [], "Ready never changed");
}

async fn a_restart_while_aws_fails_changes_nothing(stage: &mut Stage) {
    stage.bind("claude", sonnet()).await;
    stage
        .bind("unsupported", json!({"model": SONNET, "geography": "jp"}))
        .await;
    let ready = condition(&stage.ready("claude").await, "Ready");
    stage
        .until(
            "unsupported",
            "Ready",
            "False",
            Reason::GeographyUnsupported,
        )
        .await;
    let unsupported = condition(&stage.binding("unsupported").await, "Ready");

    stage.stop().await;
    stage.meddle("claude", json!({"data": {ID: "other"}})).await;
    stage.script.fails(REGION);
    stage.start(stage.options());

    for name in ["claude", "unsupported"] {
        stage
            .until(name, "CatalogFresh", "False", Reason::ServiceError)
            .await;
    }
    stage.until_id("claude", Some(EU)).await;
    assert_eq!(condition(&stage.binding("claude").await, "Ready"), ready);
    assert_eq!(
        condition(&stage.binding("unsupported").await, "Ready"),
        unsupported
    );
    // An edit that the written value does not contradict is acted on.
    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "second"}]}),
        )
        .await;
    stage.until_id("second", Some(EU)).await;
    stage.until_gone("claude").await;
    stage.ready("claude").await;

    stage.script.recovers(REGION);
    stage
        .until("claude", "CatalogFresh", "True", Reason::Fresh)
        .await;
    stage.ready("claude").await;
}

async fn a_retired_profile_stays_written(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.script.lists_without(REGION, EU);
    let why = stage
        .until("claude", "Ready", "False", Reason::ProfileRetired)
        .await;
    assert!(
        why.contains(EU) && why.contains("111122223333") && why.contains("global"),
        "{why}"
    );
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));

    let targets =
        json!([{"kind": "ConfigMap", "name": "claude"}, {"kind": "ConfigMap", "name": "second"}]);
    stage.edit("claude", json!({"targets": targets})).await;
    stage
        .until("claude", "Ready", "False", Reason::ProfileRetired)
        .await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert_eq!(stage.id("second").await.as_deref(), Some(EU));
    stage.asked(3).await;
    stage
        .until_events("claude", &[("Warning", "ProfileRetired", 1)])
        .await;

    stage.script.recovers(REGION);
    let binding = stage.ready("claude").await;
    assert_eq!(profile_in_use(&binding), Some(EU));
    stage
        .until_events(
            "claude",
            &[("Warning", "ProfileRetired", 1), ("Normal", "Bound", 1)],
        )
        .await;
}

async fn a_retired_profile_is_not_withdrawn_by_a_restart(stage: &mut Stage) {
    stage.bound("claude", sonnet()).await;
    stage.script.lists_without(REGION, EU);
    stage
        .until("claude", "Ready", "False", Reason::ProfileRetired)
        .await;
    stage
        .until_events("claude", &[("Warning", "ProfileRetired", 1)])
        .await;
    stage.restart(stage.options()).await;
    stage.asked(3).await;
    stage.settled().await;
    let binding = stage.binding("claude").await;
    assert_eq!(
        verdict(&binding, "Ready"),
        Some(("False".to_owned(), "ProfileRetired".to_owned()))
    );
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    stage
        .until_events("claude", &[("Warning", "ProfileRetired", 1)])
        .await;
}

async fn a_binding_made_again_is_answered_by_a_new_listing(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.unbind("claude").await;
    stage.script.falls_silent();
    stage.bind("again", sonnet()).await;
    let why = stage
        .until("again", "Ready", "Unknown", Reason::Pending)
        .await;
    assert!(why.contains(REGION), "{why}");
    assert!(message(&stage.binding("again").await, "CatalogFresh").contains(REGION));
    stage.script.answers_again();
    stage.ready("again").await;
}
