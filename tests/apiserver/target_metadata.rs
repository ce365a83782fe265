//! Labels and annotations of targets: written, corrected and taken away with the values, and never those of the operator.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    operator::Options,
    stage::{EU, Stage, empty, live},
    targets::{History, LABEL, data, owner, spec, version},
};

pub fn cases() -> Vec<Case> {
    cases![
        live(
            labels_and_annotations_follow_the_spec,
            changed_labels_and_annotations_are_corrected,
            labels_and_annotations_of_others_stay,
        ),
        empty(a_change_of_labels_alone_is_one_write_and_restarts_nothing),
    ]
}

/// Returns the target `model` with these labels and annotations.
fn labelled(labels: &Value, annotations: &Value) -> Value {
    let mut target = owner("model");
    target["metadata"] = json!({"labels": labels, "annotations": annotations});
    target
}

fn label<'a>(object: &'a ConfigMap, key: &str) -> Option<&'a str> {
    object.labels().get(key).map(String::as_str)
}

fn annotation<'a>(object: &'a ConfigMap, key: &str) -> Option<&'a str> {
    object.annotations().get(key).map(String::as_str)
}

async fn labels_and_annotations_follow_the_spec(stage: &Stage) {
    let labels = json!({"team": "chat", "example.com/tier": ""});
    let target = labelled(&labels, &json!({"note": "one: two"}));
    stage.bound("claude", spec([target])).await;
    let first = stage.object("model").await;
    assert_eq!(label(&first, "team"), Some("chat"));
    assert_eq!(label(&first, "example.com/tier"), Some(""));
    assert_eq!(annotation(&first, "note"), Some("one: two"));
    assert_eq!(label(&first, LABEL), Some("true"));

    let target = labelled(&json!({"team": "search"}), &Value::Null);
    stage.retarget("claude", [target]).await;
    stage
        .until_object("model", "labelled as the spec says", |model| {
            label(model, "team") == Some("search")
                && label(model, "example.com/tier").is_none()
                && annotation(model, "note").is_none()
        })
        .await;

    stage.retarget("claude", [owner("model")]).await;
    let last = stage
        .until_object("model", "without labels of the spec", |model| {
            label(model, "team").is_none()
        })
        .await;
    assert_eq!(last.uid(), first.uid());
    assert_eq!(label(&last, LABEL), Some("true"));
    assert_eq!(data(&last, "MODEL"), Some(EU));
    stage.ready("claude").await;
}

async fn changed_labels_and_annotations_are_corrected(stage: &Stage) {
    let target = labelled(&json!({"team": "chat"}), &json!({"note": "ours"}));
    stage.bound("claude", spec([target])).await;
    for change in [
        json!({"labels": {"team": "other"}}),
        json!({"labels": {"team": null}}),
        json!({"annotations": null}),
    ] {
        let before = version(&stage.object("model").await);
        stage.meddle("model", json!({"metadata": change})).await;
        stage
            .until_object("model", "as it was", |model| {
                version(model) > before
                    && label(model, "team") == Some("chat")
                    && annotation(model, "note") == Some("ours")
            })
            .await;
    }
    stage.settled().await;
    stage.ready("claude").await;
}

async fn labels_and_annotations_of_others_stay(stage: &Stage) {
    let target = labelled(&json!({"team": "chat"}), &Value::Null);
    stage.bound("claude", spec([target])).await;
    let theirs = json!({"metadata": {"labels": {"mine": "1"}, "annotations": {"note": "theirs"}}});
    stage.change("model", "someone", theirs).await;
    let before = stage.object("model").await;
    stage.settled().await;
    assert_eq!(stage.object("model").await, before, "it is no drift");

    stage.retarget("claude", [owner("model")]).await;
    let after = stage
        .until_object("model", "without the label of the spec", |model| {
            label(model, "team").is_none()
        })
        .await;
    assert_eq!(label(&after, "mine"), Some("1"));
    assert_eq!(annotation(&after, "note"), Some("theirs"));
}

async fn a_change_of_labels_alone_is_one_write_and_restarts_nothing(stage: &mut Stage) {
    stage.deployment("chat").await;
    let with = |target: Value| {
        let mut spec = spec([target]);
        spec["rollout"] = json!([{"kind": "Deployment", "name": "chat"}]);
        spec
    };
    stage.start(Options {
        enable_rollout: true,
        ..stage.options()
    });
    stage.bound("claude", with(owner("model"))).await;
    stage.settled().await;
    let seen: History<ConfigMap> = History::watch(stage.config_maps()).await;

    let target = labelled(&json!({"team": "chat"}), &Value::Null);
    stage.edit("claude", with(target)).await;
    stage.ready("claude").await;
    stage.settled().await;
    let writes = || -> Vec<ConfigMap> {
        let states = seen.states().into_iter();
        states.filter(|state| state.name_any() == "model").collect()
    };
    let states = writes();
    assert_eq!(states.len(), 1, "{states:#?}");
    assert_eq!(label(&states[0], "team"), Some("chat"));
    assert_eq!(stage.restarts("chat").await, 0);

    // Another start finds nothing to do.
    stage.stop().await;
    stage.start(Options {
        enable_rollout: true,
        ..stage.options()
    });
    stage.settled().await;
    assert_eq!(writes().len(), 1);
}
