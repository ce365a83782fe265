//! What a suspended binding does, and what it leaves alone.

use inference_profile_operator::api::condition::Reason;
use serde_json::json;

use crate::{
    case::{Case, cases},
    operator::{SONNET, condition},
    stage::{
        EU, ID, REGION, Stage, assert_host_is_clean, live, merging, profile_in_use, sonnet, verdict,
    },
};

pub fn cases() -> Vec<Case> {
    cases![live(
        a_suspended_binding_touches_nothing,
        a_suspended_binding_asks_aws_nothing,
        a_suspended_binding_is_still_deleted,
    )]
}

async fn a_suspended_binding_touches_nothing(stage: &Stage) {
    stage.bind("claude", sonnet()).await;
    let ready = condition(&stage.ready("claude").await, "Ready");
    stage.suspend("claude").await;

    stage
        .meddle("claude", json!({"data": {ID: "drifted"}}))
        .await;
    stage.settled().await;
    assert_eq!(stage.id("claude").await.as_deref(), Some("drifted"));
    stage
        .edit(
            "claude",
            json!({"geography": "global", "targets": [{"kind": "ConfigMap", "name": "second"}]}),
        )
        .await;
    stage.observed("claude").await;
    stage.settled().await;
    assert_eq!(stage.id("claude").await.as_deref(), Some("drifted"));
    assert_eq!(stage.config_map("second").await, None);
    // A profile that disappears and a request without an answer withdraw nothing either.
    stage.edit("claude", json!({"geography": "jp"})).await;
    stage.observed("claude").await;
    stage.settled().await;
    let binding = stage.binding("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some("drifted"));
    assert_eq!(profile_in_use(&binding), Some(EU));

    stage
        .edit(
            "claude",
            json!({"geography": "eu", "targets": null, "suspend": null}),
        )
        .await;
    let binding = stage.ready("claude").await;
    assert_eq!(condition(&binding, "Ready"), ready);
    assert_eq!(verdict(&binding, "Suspended"), None);
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn a_suspended_binding_asks_aws_nothing(stage: &mut Stage) {
    let spec =
        json!({"model": SONNET, "geography": "eu", "sourceRegion": "eu-west-3", "suspend": true});
    stage.bind("claude", spec).await;
    stage
        .until("claude", "Suspended", "True", Reason::SuspendedBySpec)
        .await;
    // The operator is awake and asks for another region.
    stage.settled().await;
    assert!(stage.script.asked_of(REGION) > 0);
    assert_eq!(stage.script.asked_of("eu-west-3"), 0);
    assert_eq!(stage.config_map("claude").await, None);

    stage.edit("claude", json!({"suspend": false})).await;
    stage.ready("claude").await;
    stage.suspend("claude").await;
    let asked = stage.script.asked_of("eu-west-3");
    stage.bind("other", sonnet()).await;
    stage.asked(5).await;
    assert_eq!(stage.script.asked_of("eu-west-3"), asked);
    // A restart asks nothing either, and changes nothing.
    let before = stage.binding("claude").await;
    stage.restart(stage.options()).await;
    stage.asked(5).await;
    stage.settled().await;
    assert_eq!(stage.script.asked_of("eu-west-3"), asked);
    assert_eq!(stage.binding("claude").await, before);
}

async fn a_suspended_binding_is_still_deleted(stage: &Stage) {
    stage.host("host", Some("claude")).await;
    stage.bound("claude", merging()).await;
    stage.suspend("claude").await;
    stage.unbind("claude").await;
    assert_host_is_clean(stage).await;
}
