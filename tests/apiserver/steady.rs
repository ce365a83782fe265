//! What does not change is not written: over refreshes, restarts and two operators at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use inference_profile_operator::{api::condition::Reason, catalog::Profile};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use crate::{
    case::{Case, cases},
    operator::{Options, SONNET, Script, ShiftedClock},
    stage::{EU, ID, REGION, Stage, embedded, live, profile_in_use, sonnet, verdict},
    support::eventually,
};

/// How often the catalog is asked before nothing is taken to have come of it.
const REFRESHES: usize = 8;

pub fn cases() -> Vec<Case> {
    cases![
        live(
            refreshes_write_nothing,
            a_restart_writes_nothing,
            a_restart_while_aws_is_silent_writes_nothing,
            a_failure_that_goes_on_is_written_once,
            another_models_profiles_move_nothing,
            an_edit_beside_the_spec_writes_nothing,
            as_of_is_when_the_answer_first_appeared,
            events_come_only_with_a_change,
            two_operators_agree,
            two_operators_agree_on_a_merge,
        ),
        embedded(a_restart_writes_nothing_with_the_embedded_catalog,),
    ]
}

/// Creates bindings that end in every way: written, merged, of no profile, of no allowed region, withdrawn, suspended; and
/// waits until they have.
async fn bindings_of_every_kind(stage: &Stage) -> Vec<&'static str> {
    stage.host("host", Some("merged")).await;
    let merge = json!([{"kind": "ConfigMap", "name": "host", "creationPolicy": "Merge", "keys": {ID: "ProfileID"}}]);
    stage.bind("written", sonnet()).await;
    stage
        .bind(
            "merged",
            json!({"model": SONNET, "geography": "eu", "targets": merge}),
        )
        .await;
    stage
        .bind("unsupported", json!({"model": SONNET, "geography": "jp"}))
        .await;
    stage
        .bind(
            "outside",
            json!({"model": SONNET, "geography": "eu", "allowedRegions": ["us-*"]}),
        )
        .await;
    stage.bind("withdrawn", sonnet()).await;
    stage.bind("suspended", sonnet()).await;
    for name in ["written", "merged", "withdrawn", "suspended"] {
        stage.ready(name).await;
    }
    stage
        .edit("withdrawn", json!({"allowedRegions": ["eu-west-1"]}))
        .await;
    stage.suspend("suspended").await;
    for name in ["outside", "withdrawn"] {
        stage
            .until(name, "Ready", "False", Reason::RegionNotAllowed)
            .await;
    }
    stage
        .until(
            "unsupported",
            "Ready",
            "False",
            Reason::GeographyUnsupported,
        )
        .await;
    stage.settled().await;
    vec![
        "written",
        "merged",
        "unsupported",
        "outside",
        "withdrawn",
        "suspended",
    ]
}

/// Returns the resource versions of these bindings, of the objects that carry values, and how many Events there are.
async fn versions(stage: &Stage, names: &[&str]) -> Vec<String> {
    let mut versions = Vec::new();
    for name in names {
        let version = stage.binding(name).await.resource_version();
        versions.push(format!("{name} {}", version.expect("a version")));
        versions.push(format!("{:?}", stage.events(name).await));
    }
    for name in ["written", "host", "suspended"] {
        let object = stage.object(name).await;
        versions.push(format!(
            "{name} {}",
            object.resource_version().expect("a version")
        ));
    }
    versions
}

/// Returns the profiles of the region in another order.
fn reversed() -> Vec<Arc<Profile>> {
    Script::embedded(REGION).into_iter().rev().collect()
}

async fn refreshes_write_nothing(stage: &Stage) {
    let names = bindings_of_every_kind(stage).await;
    let before = versions(stage, &names).await;
    stage.asked(REFRESHES).await;
    for _ in 0..2 {
        // AWS lists in no order.
        stage.script.lists(REGION, reversed());
        stage.asked(2).await;
        stage.script.recovers(REGION);
        stage.asked(2).await;
    }
    stage.settled().await;
    assert_eq!(versions(stage, &names).await, before);
}

async fn a_restart_writes_nothing(stage: &mut Stage) {
    let names = bindings_of_every_kind(stage).await;
    let before = versions(stage, &names).await;
    stage.restart(stage.options()).await;
    stage.asked(2).await;
    stage.settled().await;
    stage.asked(2).await;
    assert_eq!(versions(stage, &names).await, before);
}

async fn a_restart_writes_nothing_with_the_embedded_catalog(stage: &mut Stage) {
    let names = bindings_of_every_kind(stage).await;
    let before = versions(stage, &names).await;
    stage.restart(Options::default()).await;
    stage.settled().await;
    assert_eq!(versions(stage, &names).await, before);
}

/// Before the first answer nothing is known, which is no news.
async fn a_restart_while_aws_is_silent_writes_nothing(stage: &mut Stage) {
    let names = bindings_of_every_kind(stage).await;
    stage.bound("last", sonnet()).await;
    let before = versions(stage, &names).await;
    stage.stop().await;
    stage.script.falls_silent();
    stage.start(stage.options());
    // Drift waits in line behind the visits of the start, and is corrected in silence.
    stage.meddle("last", json!({"data": {ID: "drifted"}})).await;
    stage.until_id("last", Some(EU)).await;
    assert_eq!(versions(stage, &names).await, before);
    stage.script.answers_again();
    stage.settled().await;
    assert_eq!(versions(stage, &names).await, before);
}

async fn a_failure_that_goes_on_is_written_once(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.script.throttles(REGION);
    stage
        .until("claude", "CatalogFresh", "False", Reason::Throttled)
        .await;
    let before = stage.binding("claude").await;
    stage.asked(REFRESHES).await;
    stage.settled().await;
    assert_eq!(stage.binding("claude").await, before);
}

async fn another_models_profiles_move_nothing(stage: &Stage) {
    stage.bind("claude", sonnet()).await;
    stage
        .bind(
            "nova",
            json!({"model": "amazon.nova-pro-v1:0", "geography": "eu"}),
        )
        .await;
    let before = stage.ready("claude").await;
    stage.ready("nova").await;
    stage
        .script
        .lists_without(REGION, "eu.amazon.nova-pro-v1:0");
    stage
        .until("nova", "Ready", "False", Reason::ProfileRetired)
        .await;
    stage.asked(2).await;
    stage.settled().await;
    assert_eq!(stage.binding("claude").await, before);
}

async fn an_edit_beside_the_spec_writes_nothing(stage: &Stage) {
    let before = stage.bound("claude", sonnet()).await;
    let object = stage.config_map("claude").await;
    stage
        .cluster
        .kubectl(&[
            "label",
            "-n",
            &stage.namespace,
            "ipb",
            "claude",
            "team=shop",
        ])
        .await
        .ok();
    stage.settled().await;
    let after = stage.binding("claude").await;
    assert_eq!(after.status, before.status);
    assert_eq!(
        stage.config_map("claude").await,
        object,
        "nothing is copied from the binding's labels"
    );
}

async fn as_of_is_when_the_answer_first_appeared(stage: &mut Stage) {
    stage.bind("claude", sonnet()).await;
    let as_of = async |stage: &Stage| {
        let status = stage.binding("claude").await.status.expect("a status");
        status.profile.expect("a profile").catalog.as_of
    };
    stage.ready("claude").await;
    let first = as_of(stage).await;
    assert!(first.parse::<Timestamp>().is_ok(), "{first}");
    let appeared = Instant::now();
    eventually("the clock shows another second", || async {
        let since = appeared.elapsed();
        if since > Duration::from_secs(1) {
            Ok(())
        } else {
            Err(since)
        }
    })
    .await;
    // A restart, a failure, a profile that goes and comes back, another target: the answer is the same.
    let later = Options {
        clock: Arc::new(ShiftedClock::at("2026-11-28T13:00:00Z")),
        ..stage.options()
    };
    stage.restart(later).await;
    stage.script.fails(REGION);
    stage
        .until("claude", "CatalogFresh", "False", Reason::ServiceError)
        .await;
    stage.script.lists_without(REGION, EU);
    stage
        .until("claude", "Ready", "False", Reason::ProfileRetired)
        .await;
    stage.script.recovers(REGION);
    stage.ready("claude").await;
    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "second"}]}),
        )
        .await;
    stage.ready("claude").await;
    assert_eq!(as_of(stage).await, first);
    // Other destinations are another answer.
    stage.script.reroutes(REGION, EU, &["eu-west-1"]);
    eventually("the destinations change", || async {
        let profile = stage
            .binding("claude")
            .await
            .status
            .and_then(|status| status.profile);
        let destinations = profile.expect("a profile").destination_regions;
        if destinations == ["eu-west-1"] {
            Ok(())
        } else {
            Err(destinations)
        }
    })
    .await;
    assert_ne!(as_of(stage).await, first);
}

async fn events_come_only_with_a_change(stage: &mut Stage) {
    stage.bound("claude", sonnet()).await;
    stage.settled().await;
    assert_eq!(stage.events("claude").await, [], "a first success");
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.ready("claude").await;
    let mut expected = vec![("Normal", "ProfileChanged", 1)];
    stage.until_events("claude", &expected).await;
    stage
        .edit(
            "claude",
            json!({"geography": "global", "targets": [{"kind": "Secret", "name": "a"}]}),
        )
        .await;
    stage
        .until("claude", "Ready", "False", Reason::SecretsDisabled)
        .await;
    expected.push(("Warning", "SecretsDisabled", 1));
    stage.until_events("claude", &expected).await;
    // The same complaint about another target, and a while longer, is none anew.
    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "Secret", "name": "b"}]}),
        )
        .await;
    stage
        .until("claude", "Ready", "False", Reason::SecretsDisabled)
        .await;
    stage.restart(stage.options()).await;
    stage.asked(REFRESHES).await;
    stage.settled().await;
    stage.until_events("claude", &expected).await;
    stage.edit("claude", json!({"targets": null})).await;
    stage.ready("claude").await;
    expected.push(("Normal", "Bound", 1));
    stage.until_events("claude", &expected).await;
}

/// Waits until nothing is written any more: two looks, with refreshes and a barrier between them, show the same.
async fn until_quiet(stage: &Stage, names: &[&str]) {
    eventually("nothing is written any more", || async {
        let before = versions(stage, names).await;
        stage.asked(4).await;
        stage.settled().await;
        let after = versions(stage, names).await;
        if before == after {
            Ok(())
        } else {
            Err((before, after))
        }
    })
    .await;
}

async fn two_operators_agree(stage: &mut Stage) {
    stage.start_beside();
    let names = bindings_of_every_kind(stage).await;
    until_quiet(stage, &names).await;
    for name in ["written", "merged"] {
        let binding = stage.ready(name).await;
        assert_eq!(profile_in_use(&binding), Some(EU));
    }
    assert_eq!(stage.id("written").await.as_deref(), Some(EU));
    let host = stage
        .config_map("host")
        .await
        .and_then(|host| host.data)
        .expect("data");
    assert_eq!(host["theirs"], "untouched");
    assert_eq!(host[ID], EU);
    for name in ["outside", "withdrawn"] {
        let ready = verdict(&stage.binding(name).await, "Ready");
        assert_eq!(
            ready,
            Some(("False".to_owned(), "RegionNotAllowed".to_owned()))
        );
        assert_eq!(stage.config_map(name).await, None);
    }
    // Both act on a change, and agree again.
    stage.script.lists_without(REGION, EU);
    stage
        .until("written", "Ready", "False", Reason::ProfileRetired)
        .await;
    until_quiet(stage, &names).await;
    stage.script.recovers(REGION);
    stage.ready("written").await;
    until_quiet(stage, &names).await;
    assert_eq!(stage.id("written").await.as_deref(), Some(EU));
}

async fn two_operators_agree_on_a_merge(stage: &mut Stage) {
    stage.start_beside();
    stage.host("host", Some("claude")).await;
    let merge = json!([{"kind": "ConfigMap", "name": "host", "creationPolicy": "Merge", "keys": {ID: "ProfileID"}}]);
    for _ in 0..3 {
        stage
            .bound(
                "claude",
                json!({"model": SONNET, "geography": "eu", "targets": merge}),
            )
            .await;
        assert_eq!(stage.id("host").await.as_deref(), Some(EU));
        stage.unbind("claude").await;
        stage.settled().await;
        assert_eq!(stage.id("host").await, None);
    }
    let host = stage
        .config_map("host")
        .await
        .and_then(|host| host.data)
        .expect("data");
    assert_eq!(host["theirs"], "untouched");
}
