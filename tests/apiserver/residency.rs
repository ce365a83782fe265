//! Residency limits of Namespaces: who is withdrawn, who is left alone, and what happens while they can't be read.

use inference_profile_operator::api::{InferenceProfileBinding, condition::Reason};
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PartialObjectMeta},
};
use serde_json::json;

use crate::{
    case::{Case, cases},
    operator::{Options, SONNET},
    stage::{EU, GLOBAL, REGION, Stage, empty, live, sonnet, verdict},
    support::eventually,
    targets::History,
};

/// How many bindings of a namespace a limit lets stand, and how many it does not.
const EACH: usize = 25;

pub fn cases() -> Vec<Case> {
    cases![
        live(
            an_annotation_withdraws_just_what_it_forbids,
            an_annotation_acts_while_suspended_and_without_aws,
            a_malformed_annotation_fails_closed,
            an_unreadable_namespace_writes_nothing_new,
            a_limit_can_be_required,
            a_fallback_that_breaks_a_limit_is_passed_over,
            embedded_data_that_contradict_the_listing_are_shown_and_forbid_nothing,
        ),
        empty(an_annotation_is_read_before_the_first_write,),
    ]
}

/// Returns the names and versions of the objects that the operator wrote, sorted.
async fn versions(stage: &Stage) -> Vec<(String, String)> {
    let targets: Vec<ConfigMap> = stage
        .config_maps()
        .list(&ListParams::default().labels("inferenceprofiles.dev/managed=true"))
        .await
        .expect("a list")
        .items;
    let mut versions: Vec<(String, String)> = targets
        .iter()
        .map(|target| (target.name_any(), target.resource_version().expect("one")))
        .collect();
    versions.sort();
    versions
}

/// Returns what Events of a reason say of a binding.
async fn notes(stage: &Stage, name: &str, reason: &str) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let params = ListParams::default().fields(&format!("reason={reason},regarding.name={name}"));
    let found = events.list(&params).await.expect("events").items;
    found.into_iter().filter_map(|event| event.note).collect()
}

async fn an_annotation_withdraws_just_what_it_forbids(stage: &Stage) {
    for number in 0..EACH {
        let inside = json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]});
        stage.bind(&format!("inside-{number}"), inside).await;
        let outside = json!({"model": SONNET, "geography": "global"});
        stage.bind(&format!("outside-{number}"), outside).await;
    }
    for number in 0..EACH {
        stage.ready(&format!("inside-{number}")).await;
        stage.ready(&format!("outside-{number}")).await;
    }
    let before = versions(stage).await;
    assert_eq!(before.len(), 2 * EACH);
    let of_inside = |versions: &[(String, String)]| -> Vec<(String, String)> {
        let inside = versions
            .iter()
            .filter(|(name, _)| name.starts_with("inside"));
        inside.cloned().collect()
    };
    let bindings = stage.cluster.bindings(&stage.namespace);
    let history: History<PartialObjectMeta<InferenceProfileBinding>> = History::watch(
        Api::namespaced(stage.cluster.client.clone(), &stage.namespace),
    )
    .await;

    stage.limit_namespace(Some("@eu, @uk")).await;
    for number in 0..EACH {
        let name = format!("outside-{number}");
        let message = stage
            .until(
                &name,
                "ResidencySatisfied",
                "False",
                Reason::RegionNotAllowed,
            )
            .await;
        assert!(
            message.contains("the Namespace's annotation inferenceprofiles.dev/allowed-regions"),
            "{message}"
        );
        stage.until_gone(&name).await;
    }
    assert_eq!(versions(stage).await, of_inside(&before), "the others");
    let written = |history: &History<PartialObjectMeta<InferenceProfileBinding>>| {
        let mut names: Vec<String> = history.states().iter().map(ResourceExt::name_any).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        (
            all,
            names.len(),
            names.iter().all(|name| name.starts_with("outside")),
        )
    };
    assert_eq!(written(&history), (EACH, EACH, true), "one status each");

    stage.limit_namespace(None).await;
    for number in 0..EACH {
        let name = format!("outside-{number}");
        stage.ready(&name).await;
        assert_eq!(stage.id(&name).await.as_deref(), Some(GLOBAL));
    }
    assert_eq!(of_inside(&versions(stage).await), of_inside(&before));
    assert_eq!(written(&history), (2 * EACH, EACH, true), "and one more");
    let notes = notes(stage, "outside-0", "Withdrawn").await;
    assert!(
        notes.len() == 1
            && notes[0].contains("the Namespace's annotation")
            && notes[0].contains("any commercial region"),
        "{notes:?}"
    );
    let count = bindings.list(&ListParams::default()).await.expect("a list");
    assert_eq!(count.items.len(), 2 * EACH);
}

/// A wrong line in the data of a newer program must not take the values of a fleet.
async fn embedded_data_that_contradict_the_listing_are_shown_and_forbid_nothing(stage: &mut Stage) {
    // By the embedded data the profile reaches other regions too.
    stage
        .script
        .reroutes(REGION, EU, &["eu-west-1", "eu-west-3"]);
    let spec =
        json!({"model": SONNET, "geography": "eu", "allowedRegions": ["eu-west-1", "eu-west-3"]});
    stage.bound("claude", spec).await;
    let why = stage
        .until(
            "claude",
            "ResidencySatisfied",
            "True",
            Reason::AllRegionsAllowed,
        )
        .await;
    for part in [
        "destinations eu-west-1, eu-west-3;",
        "eu-central-1",
        "(by the embedded data of ",
    ] {
        assert!(why.contains(part), "{part:?} in {why:?}");
    }
    // What is listed now, and what was written, both count.
    stage
        .script
        .reroutes(REGION, EU, &["eu-west-1", "eu-north-1"]);
    stage.until_gone("claude").await;
    let why = stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert!(why.contains("eu-north-1"), "{why}");
    // While AWS can't be asked, what was written counts alone.
    stage.script.reroutes(REGION, EU, &["eu-west-1"]);
    let written = stage.ready("claude").await;
    stage.script.fails(REGION);
    stage.restart(stage.options()).await;
    stage
        .until("claude", "CatalogFresh", "False", Reason::ServiceError)
        .await;
    let ready = verdict(&stage.binding("claude").await, "Ready");
    assert_eq!(ready, verdict(&written, "Ready"));
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn an_annotation_acts_while_suspended_and_without_aws(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.suspend("claude").await;
    stage.script.falls_silent();
    stage.limit_namespace(Some("us-*")).await;
    stage.until_gone("claude").await;
    // The status is written after the target is gone.
    stage
        .until(
            "claude",
            "ResidencySatisfied",
            "False",
            Reason::RegionNotAllowed,
        )
        .await;
    let binding = stage.binding("claude").await;
    assert_eq!(binding.status.expect("a status").profile, None);
}

async fn a_malformed_annotation_fails_closed(stage: &Stage) {
    stage.bound("a", sonnet()).await;
    stage
        .bound("b", json!({"model": SONNET, "geography": "global"}))
        .await;
    stage.limit_namespace(Some("@eu, europe")).await;
    for name in ["a", "b"] {
        let message = stage
            .until(name, "ResidencySatisfied", "False", Reason::LimitInvalid)
            .await;
        assert!(
            message.contains("\" europe\" in the Namespace's annotation"),
            "{message}"
        );
        stage.until_gone(name).await;
    }
    // However much is given, a status repeats little of it.
    for (annotation, says) in [
        ("e*u*-*-**", "it has 5 stars (*), and at most 4 are allowed"),
        (&"eu-*,".repeat(40_000), "at most 64 are allowed"),
        (
            &"e".repeat(200_000),
            "eee...\" in the Namespace's annotation",
        ),
    ] {
        stage.limit_namespace(Some("@eu")).await;
        stage.ready("a").await;
        stage
            .until("b", "ResidencySatisfied", "False", Reason::RegionNotAllowed)
            .await;
        stage.limit_namespace(Some(annotation)).await;
        for name in ["a", "b"] {
            let message = stage
                .until(name, "ResidencySatisfied", "False", Reason::LimitInvalid)
                .await;
            assert!(message.contains(says) && message.len() < 512, "{message}");
            stage.until_gone(name).await;
        }
    }
    stage.limit_namespace(Some("@eu")).await;
    stage.ready("a").await;
    stage
        .until("b", "ResidencySatisfied", "False", Reason::RegionNotAllowed)
        .await;
}

async fn an_annotation_is_read_before_the_first_write(stage: &mut Stage) {
    stage.limit_namespace(Some("@us")).await;
    for number in 0..10 {
        stage.bind(&format!("b{number}"), sonnet()).await;
    }
    let history: History<ConfigMap> = History::watch(stage.config_maps()).await;
    stage.start(stage.options());
    for number in 0..10 {
        stage
            .until(
                &format!("b{number}"),
                "ResidencySatisfied",
                "False",
                Reason::RegionNotAllowed,
            )
            .await;
    }
    let written = history.states();
    let ours = written.iter().filter(|object| {
        object
            .labels()
            .contains_key("inferenceprofiles.dev/managed")
    });
    assert_eq!(ours.count(), 0);
}

async fn an_unreadable_namespace_writes_nothing_new(stage: &mut Stage) {
    stage.bound("before", sonnet()).await;
    stage.stop().await;
    let rights: [(&str, &str, &[&str]); 2] = [
        (
            "inferenceprofiles.dev",
            "inferenceprofilebindings/status",
            &["patch"],
        ),
        (
            "",
            "configmaps",
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
    ];
    stage.grant_inside("blind", &rights).await;
    stage.bind("new", sonnet()).await;
    stage.start_as("blind", stage.options()).await;
    for name in ["before", "new"] {
        let message = stage
            .until(name, "ResidencySatisfied", "Unknown", Reason::LimitUnknown)
            .await;
        assert!(message.contains("get, list and watch"), "{message}");
    }
    assert_eq!(stage.id("before").await.as_deref(), Some(EU));
    assert_eq!(stage.config_map("new").await, None);
    let binding = stage.binding("before").await;
    assert_eq!(
        verdict(&binding, "Ready"),
        Some(("Unknown".to_owned(), "LimitUnknown".to_owned()))
    );

    stage.show_namespace("blind").await;
    stage.ready("before").await;
    stage.ready("new").await;
    assert_eq!(stage.id("new").await.as_deref(), Some(EU));
}

async fn a_limit_can_be_required(stage: &mut Stage) {
    stage
        .bound(
            "limited",
            json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]}),
        )
        .await;
    stage.bound("free", sonnet()).await;
    let options = Options {
        require_limit: true,
        ..stage.options()
    };
    stage.restart(options).await;
    let message = stage
        .until("free", "ResidencySatisfied", "False", Reason::NoLimitSet)
        .await;
    assert!(message.contains("--require-residency"), "{message}");
    stage.until_gone("free").await;
    assert_eq!(stage.id("limited").await.as_deref(), Some(EU));
    stage.limit_namespace(Some("eu-*")).await;
    stage.ready("free").await;
}

async fn a_fallback_that_breaks_a_limit_is_passed_over(stage: &Stage) {
    stage.script.lists_without(REGION, EU);
    let spec = json!({
        "model": SONNET, "geography": "eu", "fallback": {"geographies": ["global"]},
    });
    stage.bind("claude", spec).await;
    eventually("the fallback is written", || async {
        let id = stage.id("claude").await;
        if id.as_deref() == Some(GLOBAL) {
            Ok(())
        } else {
            Err(id)
        }
    })
    .await;
    stage.limit_namespace(Some("@eu")).await;
    let message = stage
        .until(
            "claude",
            "RegionSupported",
            "False",
            Reason::GeographyUnsupported,
        )
        .await;
    assert!(message.contains("breaks the residency limit"), "{message}");
    stage.until_gone("claude").await;
}
