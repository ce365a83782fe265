//! Secret targets, which the operator writes only where it is told to.

use inference_profile_operator::api::{InferenceProfileBinding, condition::Reason};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    stage::{EU, Stage, embedded, empty, with_secrets},
    support::eventually,
    targets::{ALLOW, CHART, LABEL, controller, owner, spec},
};

pub fn cases() -> Vec<Case> {
    cases![
        embedded(are_off_by_default),
        with_secrets(
            an_owned_one_is_a_service_binding,
            a_removed_key_goes,
            drift_is_corrected,
        ),
        empty(a_foreign_one_is_left_alone, keys_are_merged_and_removed),
    ]
}

fn target(name: &str, keys: &Value) -> Value {
    json!({"kind": "Secret", "name": name, "keys": keys})
}

/// Returns the keys of a Secret with their values in clear.
fn content(secret: &Secret) -> Vec<(String, String)> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| {
        let text = String::from_utf8(value.0.clone()).expect("UTF-8");
        (key.clone(), text)
    })
    .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let expected = expected.iter();
    expected
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

async fn are_off_by_default(stage: &Stage) {
    let both = spec([target("s", &json!({"model": "ProfileID"})), owner("c")]);
    stage.bind("claude", both).await;
    let message = stage
        .until_not_synced("claude", Reason::SecretsDisabled)
        .await;
    assert!(message.contains("--enable-secrets"), "{message}");
    let secret = stage.secrets().get_opt("s").await;
    assert_eq!(secret.expect("an answer"), None);
}

async fn an_owned_one_is_a_service_binding(stage: &Stage) {
    let keys = json!({"model": "ProfileID", "region": "SourceRegion"});
    let ready = stage
        .bound("claude", spec([owner("plain"), target("chat", &keys)]))
        .await;
    let chat = stage.secrets().get("chat").await;
    let chat = chat.expect("the Secret");
    assert_eq!(chat.type_.as_deref(), Some("servicebinding.io/bedrock"));
    assert_eq!(
        content(&chat),
        pairs(&[
            ("model", EU),
            ("provider", "aws"),
            ("region", "eu-west-1"),
            ("type", "bedrock"),
        ])
    );
    assert_eq!(controller(&chat), ready.uid());
    let named = |binding: &InferenceProfileBinding| {
        serde_json::to_value(&binding.status).expect("JSON")["binding"]["name"].clone()
    };
    assert_eq!(named(&ready), json!("chat"));

    stage.retarget("claude", [owner("plain")]).await;
    let ready = stage.ready("claude").await;
    assert_eq!(named(&ready), Value::Null, "there is no Secret any more");
    let chat = stage.secrets().get_opt("chat").await;
    assert_eq!(chat.expect("an answer"), None);
}

async fn a_removed_key_goes(stage: &Stage) {
    let two = target("s", &json!({"model": "ProfileID", "spare": "ProfileID"}));
    stage.bound("claude", spec([two])).await;
    let one = target("s", &json!({"model": "ProfileID"}));
    stage.retarget("claude", [one]).await;
    stage.ready("claude").await;
    let secret = stage.secrets().get("s").await;
    assert_eq!(
        content(&secret.expect("the Secret")),
        pairs(&[("model", EU), ("provider", "aws"), ("type", "bedrock")])
    );
}

async fn drift_is_corrected(stage: &Stage) {
    let target = target("s", &json!({"model": "ProfileID"}));
    stage.bound("claude", spec([target])).await;
    let api = stage.secrets();
    let before = content(&api.get("s").await.expect("the Secret"));
    let drifts = [
        json!({"stringData": {"model": "mine"}}),
        json!({"data": {"type": null, "model": null}}),
        json!({"metadata": {"labels": null}}),
    ];
    for drift in drifts {
        let drifted = api
            .patch("s", &PatchParams::default(), &Patch::Merge(&drift))
            .await
            .expect("changed");
        eventually(&format!("{drift} is corrected"), || async {
            let secret = api.get("s").await.expect("the Secret");
            let corrected = secret.resource_version() != drifted.resource_version()
                && content(&secret) == before
                && secret.labels().contains_key(LABEL);
            if corrected { Ok(()) } else { Err(secret) }
        })
        .await;
    }
}

async fn create(stage: &Stage, object: Value) -> Secret {
    let object: Secret = serde_json::from_value(object).expect("a Secret");
    let params = PostParams {
        field_manager: Some(CHART.to_owned()),
        ..PostParams::default()
    };
    let api = stage.secrets();
    api.create(&params, &object).await.expect("created")
}

async fn a_foreign_one_is_left_alone(stage: &mut Stage) {
    let theirs = json!({"metadata": {"name": "s"}, "stringData": {"password": "theirs"}});
    let before = create(stage, theirs).await;
    with_secrets(stage);
    let target = target("s", &json!({"model": "ProfileID"}));
    stage.bind("claude", spec([target])).await;
    let message = stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;
    assert!(message.contains("Secret s"), "{message}");
    assert!(!message.contains("theirs"), "no value is told: {message}");
    stage.settled().await;
    let api = stage.secrets();
    assert_eq!(api.get("s").await.expect("the Secret"), before);

    api.delete("s", &DeleteParams::default())
        .await
        .expect("deleted");
    stage.ready("claude").await;
}

async fn keys_are_merged_and_removed(stage: &mut Stage) {
    let theirs = json!({
        "metadata": {"name": "app", "annotations": {ALLOW: "claude"}},
        "type": "example.com/app",
        "stringData": {"password": "theirs"},
    });
    create(stage, theirs).await;
    with_secrets(stage);
    let mut target = target(
        "app",
        &json!({"model": "ProfileID", "provider": "Provider"}),
    );
    target["creationPolicy"] = json!("Merge");
    let ready = stage.bound("claude", spec([target])).await;
    let status = serde_json::to_value(&ready.status).expect("JSON");
    assert_eq!(
        status["binding"],
        Value::Null,
        "the Secret of others is not offered"
    );
    let api = stage.secrets();
    let app = api.get("app").await.expect("the Secret");
    assert_eq!(
        content(&app),
        pairs(&[
            ("model", EU),
            ("password", "theirs"),
            ("provider", "anthropic"),
        ])
    );
    assert_eq!(app.type_.as_deref(), Some("example.com/app"));

    stage.unbind("claude").await;
    let app = api.get("app").await.expect("the Secret");
    assert_eq!(content(&app), pairs(&[("password", "theirs")]));
    assert!(!app.labels().contains_key(LABEL));
}
