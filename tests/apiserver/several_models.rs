//! Bindings with several models: written together or not at all.

use inference_profile_operator::api::{
    InferenceProfileBinding, InferenceProfileBindingStatus, condition::Reason,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    operator::{Options, SONNET},
    stage::{EU, GLOBAL, Stage, embedded, empty},
    support::eventually,
    targets::History,
};

/// A model with profiles of `eu` and `global`.
const HAIKU: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
/// Another one.
const OPUS: &str = "anthropic.claude-opus-4-5-20251101-v1:0";
const NO_SUCH: &str = "anthropic.claude-hiaku";

pub fn cases() -> Vec<Case> {
    cases![
        embedded(
            three_models_are_one_write_of_the_target_and_one_of_the_status,
            one_without_a_route_holds_back_all_and_is_named,
            a_limit_that_one_breaks_takes_the_whole_file,
            an_edit_of_a_class_moves_the_models_that_name_it,
            columns_show_which_models_are_in_use,
        ),
        empty(a_change_of_one_is_one_write_and_one_restart),
    ]
}

fn model(id: &str, geography: &str) -> Value {
    json!({"model": id, "geography": geography})
}

/// Returns a spec for these models, with a key for each.
fn spec(models: &[(&str, Value)]) -> Value {
    let keys = models
        .iter()
        .map(|(name, _)| (name.to_uppercase(), json!(format!("{name}.ProfileID"))));
    let keys: serde_json::Map<_, _> = keys.collect();
    let template = "{% for m in models %}{{ m.name }} {{ m.id }}\n{% endfor %}";
    json!({
        "models": models.iter().cloned().map(|(name, model)| (name.to_owned(), model)).collect::<serde_json::Map<_, _>>(),
        "targets": [{"kind": "ConfigMap", "name": "chat", "keys": keys, "templates": {"models.txt": template}}],
    })
}

fn three(haiku: &str) -> Value {
    spec(&[
        ("haiku", model(haiku, "eu")),
        ("opus", model(OPUS, "eu")),
        ("sonnet", model(SONNET, "eu")),
    ])
}

/// Returns the IDs in the status, in the order of the names.
fn in_use(binding: &InferenceProfileBinding) -> Vec<&str> {
    let status = binding.status.iter();
    let profiles = status.flat_map(InferenceProfileBindingStatus::profiles);
    profiles.map(|(_, profile)| profile.id.as_str()).collect()
}

async fn data(stage: &Stage) -> Vec<(String, String)> {
    let object = stage.object("chat").await;
    object.data.expect("values").into_iter().collect()
}

async fn three_models_are_one_write_of_the_target_and_one_of_the_status(stage: &Stage) {
    let targets = History::<ConfigMap>::watch(stage.config_maps()).await;
    let bindings = History::<InferenceProfileBinding>::watch(stage.bindings()).await;
    let bound = stage.bound("claude", three(HAIKU)).await;
    stage.settled().await;
    let (haiku, opus) = (format!("eu.{HAIKU}"), format!("eu.{OPUS}"));
    let text = format!("haiku {haiku}\nopus {opus}\nsonnet {EU}\n");
    let expected = [
        ("HAIKU", haiku.as_str()),
        ("OPUS", &opus),
        ("SONNET", EU),
        ("models.txt", &text),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(data(stage).await, expected);
    assert_eq!(in_use(&bound), [haiku.as_str(), &opus, EU]);
    let states = targets.states();
    let written = states.iter().filter(|object| object.name_any() == "chat");
    assert_eq!(written.count(), 1, "one write of the target");
    let states = bindings.states();
    let states = states
        .iter()
        .filter(|binding| binding.name_any() == "claude");
    assert_eq!(states.count(), 2, "created, and one write of the status");
    stage.unbind("claude").await;
}

async fn one_without_a_route_holds_back_all_and_is_named(stage: &Stage) {
    stage.bind("claude", three(NO_SUCH)).await;
    let why = stage
        .until(
            "claude",
            "RegionSupported",
            "False",
            Reason::ModelUnsupported,
        )
        .await;
    assert!(
        why.starts_with("haiku: ") && !why.contains("sonnet"),
        "{why}"
    );
    stage.settled().await;
    assert_eq!(stage.config_map("chat").await, None);
    stage
        .edit("claude", json!({"models": {"haiku": {"model": HAIKU}}}))
        .await;
    let bound = stage.ready("claude").await;
    assert_eq!(in_use(&bound).len(), 3);
    let before = data(stage).await;

    // Written once, all stay as they are while one has no route, whatever the others ask for.
    let edit = json!({"models": {"haiku": {"model": NO_SUCH}, "sonnet": {"geography": "global"}}});
    stage.edit("claude", edit).await;
    stage
        .until(
            "claude",
            "RegionSupported",
            "False",
            Reason::ModelUnsupported,
        )
        .await;
    stage.settled().await;
    assert_eq!(data(stage).await, before);
    stage
        .edit(
            "claude",
            json!({"models": {"haiku": null}, "targets": null}),
        )
        .await;
    let bound = stage.ready("claude").await;
    assert_eq!(in_use(&bound), [format!("eu.{OPUS}").as_str(), GLOBAL]);
    let object = stage.object("claude").await.data.expect("values");
    assert_eq!(object["BEDROCK_SONNET_INFERENCE_PROFILE_ID"], GLOBAL);
    stage.until_gone("chat").await;
}

async fn a_limit_that_one_breaks_takes_the_whole_file(stage: &Stage) {
    let two = spec(&[
        ("haiku", model(HAIKU, "global")),
        ("sonnet", model(SONNET, "eu")),
    ]);
    stage.bound("claude", two).await;
    stage
        .edit("claude", json!({"allowedRegions": ["@eu"]}))
        .await;
    let why = stage
        .until(
            "claude",
            "ResidencySatisfied",
            "False",
            Reason::RegionNotAllowed,
        )
        .await;
    assert!(why.starts_with("haiku: "), "{why}");
    stage.until_gone("chat").await;
    stage
        .edit("claude", json!({"models": {"haiku": {"geography": "eu"}}}))
        .await;
    stage.ready("claude").await;
    assert_eq!(data(stage).await[0].1, format!("eu.{HAIKU}"));
}

async fn an_edit_of_a_class_moves_the_models_that_name_it(stage: &Stage) {
    stage.offer(model(SONNET, "eu")).await;
    let class = json!({"className": stage.class_name()});
    let two = spec(&[("haiku", model(HAIKU, "eu")), ("sonnet", class)]);
    stage.bound("claude", two).await;
    stage.edit_class(json!({"geography": "global"})).await;
    let moved = |object: &ConfigMap| {
        object
            .data
            .as_ref()
            .is_some_and(|data| data["SONNET"] == GLOBAL)
    };
    stage.until_object("chat", "the class's", moved).await;
    stage.edit_class(json!({"model": NO_SUCH})).await;
    let why = stage
        .until(
            "claude",
            "RegionSupported",
            "False",
            Reason::ModelUnsupported,
        )
        .await;
    assert!(why.starts_with("sonnet: "), "{why}");
    stage.delete_class().await;
    let why = stage
        .until("claude", "RegionSupported", "False", Reason::ClassNotFound)
        .await;
    assert!(why.starts_with("sonnet: "), "{why}");
    stage.settled().await;
    assert_eq!(stage.value("chat", "SONNET").await.as_deref(), Some(GLOBAL));
    assert_eq!(
        stage.value("chat", "HAIKU").await,
        Some(format!("eu.{HAIKU}"))
    );
    let status = stage.binding("claude").await.status.expect("a status");
    let named = status
        .profiles()
        .filter_map(|(name, profile)| Some((name?, profile.class.as_ref()?)));
    let named: Vec<_> = named
        .map(|(name, class)| (name, class.name.clone()))
        .collect();
    assert_eq!(named, [("sonnet", stage.class_name())]);
}

async fn columns_show_which_models_are_in_use(stage: &Stage) {
    stage.bound("claude", three(HAIKU)).await;
    stage.bound("one", crate::stage::sonnet()).await;
    let get = ["get", "ipb", "-n", &stage.namespace, "-o", "wide"];
    let printed = stage.cluster.kubectl(&get).await.ok();
    let line = |name: &str| {
        let mut lines = printed.lines();
        let line = lines.find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let several = line("claude");
    assert!(
        several.contains(&"haiku,opus,sonnet".to_owned()),
        "{printed}"
    );
    let one = line("one");
    assert!(
        one.contains(&EU.to_owned()) && one.contains(&"eu-west-1".to_owned()),
        "{printed}"
    );
}

async fn a_change_of_one_is_one_write_and_one_restart(stage: &mut Stage) {
    stage.start(Options {
        enable_rollout: true,
        ..Options::default()
    });
    stage.deployment("chat").await;
    let mut wanted = three(HAIKU);
    wanted["rollout"] = json!([{"kind": "Deployment", "name": "chat"}]);
    stage.bound("claude", wanted).await;
    let targets = History::<ConfigMap>::watch(stage.config_maps()).await;
    stage
        .edit(
            "claude",
            json!({"models": {"sonnet": {"geography": "global"}}}),
        )
        .await;
    let moved = |object: &ConfigMap| {
        object
            .data
            .as_ref()
            .is_some_and(|data| data["SONNET"] == GLOBAL)
    };
    targets.first("moved", moved).await;
    eventually("restarted once", || async {
        match stage.restarts("chat").await {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let written = targets
        .states()
        .into_iter()
        .filter(|object| object.name_any() == "chat");
    assert_eq!(written.count(), 1, "one write of the target");
    assert_eq!(stage.restarts("chat").await, 1);
    let events = [
        ("Normal", "ProfileChanged", 1),
        ("Normal", "RolloutTriggered", 1),
    ];
    stage.until_events("claude", &events).await;
}
