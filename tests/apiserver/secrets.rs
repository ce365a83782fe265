//! Secret targets, which the operator writes only where it is told to.

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    operator::{Operator, Options, SONNET, until_ready},
    support::{Case, Cluster, case, eventually},
    targets::{
        ALLOW, CHART, LABEL, barrier, bind, controller, edit, owner, secrets, spec, unbind,
        until_not_synced,
    },
};

pub fn cases() -> Vec<Case> {
    vec![
        case("secrets::are_off_by_default", off_by_default),
        case(
            "secrets::an_owned_one_is_a_service_binding",
            a_service_binding,
        ),
        case("secrets::a_removed_key_goes", a_removed_key_goes),
        case("secrets::drift_is_corrected", drift_is_corrected),
        case("secrets::a_foreign_one_is_left_alone", a_foreign_one),
        case("secrets::keys_are_merged_and_removed", merged),
    ]
}

fn start(cluster: &Cluster, namespace: &str) -> Operator {
    let options = Options {
        enable_secrets: true,
        ..Options::default()
    };
    Operator::start_with(cluster, namespace, options)
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

async fn off_by_default(cluster: Cluster) {
    let namespace = cluster.namespace("secrets").await;
    let operator = Operator::start(&cluster, &namespace);
    let both = spec(json!([
        target("s", &json!({"model": "ProfileID"})),
        owner("c")
    ]));
    bind(&cluster, &namespace, "claude", both).await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::SecretsDisabled).await;
    assert!(message.contains("--enable-secrets"), "{message}");
    let secret = secrets(&cluster, &namespace).get_opt("s").await;
    assert_eq!(secret.expect("an answer"), None);
    operator.stop().await;
}

async fn a_service_binding(cluster: Cluster) {
    let namespace = cluster.namespace("secrets").await;
    let operator = start(&cluster, &namespace);
    let keys = json!({"model": "ProfileID", "region": "SourceRegion"});
    let binding = bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("plain"), target("chat", &keys)])),
    )
    .await;
    let ready = until_ready(&cluster, &namespace, "claude").await;
    let chat = secrets(&cluster, &namespace).get("chat").await;
    let chat = chat.expect("the Secret");
    assert_eq!(chat.type_.as_deref(), Some("servicebinding.io/bedrock"));
    let model = format!("eu.{SONNET}");
    assert_eq!(
        content(&chat),
        pairs(&[
            ("model", &model),
            ("provider", "aws"),
            ("region", "eu-west-1"),
            ("type", "bedrock"),
        ])
    );
    assert_eq!(controller(&chat), binding.uid());
    let named = |binding: &inference_profile_operator::api::InferenceProfileBinding| {
        serde_json::to_value(&binding.status).expect("JSON")["binding"]["name"].clone()
    };
    assert_eq!(named(&ready), json!("chat"));

    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"targets": [owner("plain")]}),
    )
    .await;
    let ready = until_ready(&cluster, &namespace, "claude").await;
    assert_eq!(named(&ready), Value::Null, "there is no Secret any more");
    let chat = secrets(&cluster, &namespace).get_opt("chat").await;
    assert_eq!(chat.expect("an answer"), None);
    operator.stop().await;
}

async fn a_removed_key_goes(cluster: Cluster) {
    let namespace = cluster.namespace("secrets").await;
    let operator = start(&cluster, &namespace);
    let two = target("s", &json!({"model": "ProfileID", "spare": "ProfileID"}));
    bind(&cluster, &namespace, "claude", spec(json!([two]))).await;
    until_ready(&cluster, &namespace, "claude").await;
    let one = target("s", &json!({"model": "ProfileID"}));
    edit(&cluster, &namespace, "claude", json!({"targets": [one]})).await;
    until_ready(&cluster, &namespace, "claude").await;
    let secret = secrets(&cluster, &namespace).get("s").await;
    let model = format!("eu.{SONNET}");
    assert_eq!(
        content(&secret.expect("the Secret")),
        pairs(&[("model", &model), ("provider", "aws"), ("type", "bedrock")])
    );
    operator.stop().await;
}

async fn drift_is_corrected(cluster: Cluster) {
    let namespace = cluster.namespace("secrets").await;
    let operator = start(&cluster, &namespace);
    let target = target("s", &json!({"model": "ProfileID"}));
    bind(&cluster, &namespace, "claude", spec(json!([target]))).await;
    until_ready(&cluster, &namespace, "claude").await;
    let api = secrets(&cluster, &namespace);
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
    operator.stop().await;
}

async fn create(cluster: &Cluster, namespace: &str, object: Value) -> Secret {
    let object: Secret = serde_json::from_value(object).expect("a Secret");
    let params = PostParams {
        field_manager: Some(CHART.to_owned()),
        ..PostParams::default()
    };
    let api = secrets(cluster, namespace);
    api.create(&params, &object).await.expect("created")
}

async fn a_foreign_one(cluster: Cluster) {
    let namespace = cluster.namespace("secrets").await;
    let theirs = json!({"metadata": {"name": "s"}, "stringData": {"password": "theirs"}});
    let before = create(&cluster, &namespace, theirs).await;
    let operator = start(&cluster, &namespace);
    let target = target("s", &json!({"model": "ProfileID"}));
    bind(&cluster, &namespace, "claude", spec(json!([target]))).await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;
    assert!(message.contains("Secret s"), "{message}");
    assert!(!message.contains("theirs"), "no value is told: {message}");
    barrier(&cluster, &namespace).await;
    let api = secrets(&cluster, &namespace);
    assert_eq!(api.get("s").await.expect("the Secret"), before);

    api.delete("s", &DeleteParams::default())
        .await
        .expect("deleted");
    until_ready(&cluster, &namespace, "claude").await;
    operator.stop().await;
}

async fn merged(cluster: Cluster) {
    let namespace = cluster.namespace("secrets").await;
    let theirs = json!({
        "metadata": {"name": "app", "annotations": {ALLOW: "claude"}},
        "type": "example.com/app",
        "stringData": {"password": "theirs"},
    });
    create(&cluster, &namespace, theirs).await;
    let operator = start(&cluster, &namespace);
    let mut target = target(
        "app",
        &json!({"model": "ProfileID", "provider": "Provider"}),
    );
    target["creationPolicy"] = json!("Merge");
    bind(&cluster, &namespace, "claude", spec(json!([target]))).await;
    let ready = until_ready(&cluster, &namespace, "claude").await;
    let status = serde_json::to_value(&ready.status).expect("JSON");
    assert_eq!(
        status["binding"],
        Value::Null,
        "the Secret of others is not offered"
    );
    let api = secrets(&cluster, &namespace);
    let app = api.get("app").await.expect("the Secret");
    let model = format!("eu.{SONNET}");
    assert_eq!(
        content(&app),
        pairs(&[
            ("model", &model),
            ("password", "theirs"),
            ("provider", "anthropic"),
        ])
    );
    assert_eq!(app.type_.as_deref(), Some("example.com/app"));

    unbind(&cluster, &namespace, "claude").await;
    let app = api.get("app").await.expect("the Secret");
    assert_eq!(content(&app), pairs(&[("password", "theirs")]));
    assert!(!app.labels().contains_key(LABEL));
    operator.stop().await;
}
