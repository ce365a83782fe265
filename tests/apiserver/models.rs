//! Models without a profile, models on their way out, and models that the account can't use.

use std::sync::Arc;

use futures::{StreamExt, future};
use inference_profile_operator::{
    api::{InferenceProfileBinding, condition::Reason},
    catalog::{Lifecycle, Usability, embedded::Embedded},
};
use kube::{
    ResourceExt,
    api::{WatchEvent, WatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    operator::{Options, SONNET, Script, ShiftedClock},
    stage::{ID, REGION, Stage, empty, live, profile_in_use, sonnet, verdict},
    support::eventually,
};

/// The profile of [`SONNET`] that the region of the cases lists for the EU.
const EU: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
/// A profile of [`SONNET`] that the region of the cases does not list.
const JP: &str = "jp.anthropic.claude-sonnet-4-5-20250929-v1:0";

pub fn cases() -> Vec<Case> {
    cases![
        on_demand(
            on_demand_is_written_where_it_is_allowed,
            on_demand_is_judged_by_its_region_alone,
            a_profile_that_appears_replaces_it,
            what_is_no_longer_on_demand_stays_written,
            models_that_cannot_be_listed_take_nothing_back,
        ),
        live(a_legacy_model_is_told_once),
        empty(
            each_step_of_a_life_is_one_write_and_one_event,
            a_fallback_model_takes_over_when_a_life_ends,
        ),
        empty(whether_a_model_can_be_used_is_asked_rarely),
    ]
}

/// Returns a spec that no profile of the region serves, and the model itself does.
fn last_of_all() -> Value {
    json!({"model": SONNET, "geography": "jp", "fallback": {"onDemand": true}})
}

/// Returns the same spec with a limit.
fn limited(limit: &str) -> Value {
    let mut spec = last_of_all();
    spec["allowedRegions"] = json!([limit]);
    spec
}

fn legacy_until(date: &str) -> Lifecycle {
    Lifecycle {
        end_of_life: Some(date.parse().expect(date)),
        ..Lifecycle::LEGACY
    }
}

/// The set-up of a case with an operator in whose region the model is on demand.
fn on_demand(stage: &mut Stage) {
    stage.script.knows(REGION, SONNET, Lifecycle::ACTIVE, true);
    stage.start(stage.options());
}

async fn on_demand_is_written_where_it_is_allowed(stage: &mut Stage) {
    stage
        .bind("hint", json!({"model": SONNET, "geography": "jp"}))
        .await;
    let why = stage
        .until("hint", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert!(
        why.contains(&format!(
            "{SONNET} is on demand in {REGION}: set fallback.onDemand"
        )),
        "{why}"
    );

    let keys = json!({ID: "ProfileID", "ARN": "ProfileARN", "GEOGRAPHY": "Geography", "REGIONS": "DestinationRegions"});
    let mut spec = last_of_all();
    spec["targets"] = json!([{"kind": "ConfigMap", "name": "claude", "keys": keys}]);
    let binding = stage.bound("claude", spec).await;
    let why = stage
        .until(
            "claude",
            "RegionSupported",
            "True",
            Reason::OnDemandFallback,
        )
        .await;
    for part in [
        "requests stay in eu-west-1",
        "passed over: jp: callable only from",
    ] {
        assert!(why.contains(part), "{part} in {why}");
    }
    let data = stage.object("claude").await.data.expect("values");
    let expected = [
        (
            "ARN",
            format!("arn:aws:bedrock:{REGION}::foundation-model/{SONNET}"),
        ),
        (ID, SONNET.to_owned()),
        ("GEOGRAPHY", "on-demand".to_owned()),
        ("REGIONS", REGION.to_owned()),
    ];
    assert_eq!(
        data,
        expected.map(|(key, value)| (key.to_owned(), value)).into()
    );
    let profile = binding
        .status
        .expect("a status")
        .profile
        .expect("a profile");
    assert_eq!(
        (profile.id.as_str(), profile.geography.as_str()),
        (SONNET, "on-demand")
    );

    let before = stage.binding("claude").await.resource_version();
    stage.restart(stage.options()).await;
    stage.asked(3).await;
    stage.settled().await;
    assert_eq!(stage.binding("claude").await.resource_version(), before);

    stage.edit("claude", json!({"fallback": null})).await;
    stage
        .until("claude", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    stage.until_gone("claude").await;
}

async fn on_demand_is_judged_by_its_region_alone(stage: &Stage) {
    stage.bound("inside", limited(REGION)).await;
    let why = stage
        .until(
            "inside",
            "ResidencySatisfied",
            "True",
            Reason::AllRegionsAllowed,
        )
        .await;
    assert!(why.contains("destinations eu-west-1;"), "{why}");
    stage.bind("outside", limited("ap-*")).await;
    let why = stage
        .until("outside", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert!(
        why.contains("fallback.onDemand: breaks the residency limit: eu-west-1"),
        "{why}"
    );
    assert_eq!(stage.config_map("outside").await, None);

    stage
        .edit("inside", json!({"allowedRegions": ["ap-*"]}))
        .await;
    stage.until_gone("inside").await;
}

async fn a_profile_that_appears_replaces_it(stage: &Stage) {
    stage.bound("claude", last_of_all()).await;
    stage.until_id("claude", Some(SONNET)).await;
    let mut profiles = Script::embedded(REGION);
    let elsewhere = Script::embedded("ap-northeast-1").into_iter();
    profiles.extend(elsewhere.filter(|profile| profile.id.as_str() == JP));
    stage.script.lists(REGION, profiles);
    stage.until_id("claude", Some(JP)).await;
    stage
        .until("claude", "RegionSupported", "True", Reason::ProfileFound)
        .await;
    assert_eq!(profile_in_use(&stage.binding("claude").await), Some(JP));
    stage
        .until_events("claude", &[("Normal", "ProfileChanged", 1)])
        .await;
}

async fn what_is_no_longer_on_demand_stays_written(stage: &Stage) {
    stage.bound("claude", last_of_all()).await;
    stage.script.knows(REGION, SONNET, Lifecycle::ACTIVE, false);
    let why = stage
        .until("claude", "Ready", "False", Reason::ProfileRetired)
        .await;
    for part in ["no longer on demand", "111122223333", "the value stays"] {
        assert!(why.contains(part), "{part} in {why}");
    }
    stage.settled().await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(SONNET));
    stage.script.knows(REGION, SONNET, Lifecycle::ACTIVE, true);
    stage.ready("claude").await;
    stage
        .until_events(
            "claude",
            &[("Warning", "ProfileRetired", 1), ("Normal", "Bound", 1)],
        )
        .await;
}

async fn models_that_cannot_be_listed_take_nothing_back(stage: &Stage) {
    let before = stage.bound("claude", last_of_all()).await;
    stage.script.forgets_models(REGION);
    stage.asked(2).await;
    stage.bind("new", last_of_all()).await;
    let why = stage
        .until("new", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert!(why.contains("allow bedrock:ListFoundationModels"), "{why}");
    stage.asked(2).await;
    stage.settled().await;
    assert_eq!(stage.binding("claude").await, before);

    // Something else is asked for, and whether that is on demand is not known: nothing is withdrawn.
    stage
        .edit("claude", json!({"model": "amazon.titan-embed-text-v2:0"}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::ModelUnsupported)
        .await;
    stage.settled().await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(SONNET));
}

async fn a_legacy_model_is_told_once(stage: &mut Stage) {
    let bound = stage.bound("claude", sonnet()).await;
    assert_eq!(verdict(&bound, "ModelActive"), None, "not known");
    stage.script.knows(REGION, SONNET, Lifecycle::ACTIVE, false);
    stage
        .until("claude", "ModelActive", "True", Reason::Active)
        .await;
    stage
        .script
        .knows(REGION, SONNET, legacy_until("2027-03-31"), false);
    let why = stage
        .until("claude", "ModelActive", "False", Reason::LegacyModel)
        .await;
    for part in ["2027-03-31", "successor", "anthropic.claude-sonnet-4-6"] {
        assert!(why.contains(part), "{part} in {why}");
    }
    let binding = stage.ready("claude").await;
    assert_eq!(verdict(&binding, "Stalled"), None);
    let told = [("Warning", "LegacyModel", 1)];
    stage.until_events("claude", &told).await;

    let before = stage.binding("claude").await;
    stage.asked(4).await;
    stage.script.forgets_models(REGION);
    stage.asked(2).await;
    stage
        .script
        .knows(REGION, SONNET, legacy_until("2027-03-31"), false);
    stage.restart(stage.options()).await;
    stage.asked(2).await;
    stage.settled().await;
    assert_eq!(stage.binding("claude").await, before);
    stage.until_events("claude", &told).await;
}

/// Returns how often a binding was written since this was read.
async fn writes_since(stage: &Stage, before: &InferenceProfileBinding) -> usize {
    let version = before.resource_version().expect("a version");
    let params = WatchParams::default()
        .fields(&format!("metadata.name={}", before.name_any()))
        .timeout(1);
    let bindings = stage.bindings();
    let events = bindings.watch(&params, &version).await.expect("a watch");
    events
        .filter(|event| future::ready(matches!(event, Ok(WatchEvent::Modified(_)))))
        .count()
        .await
}

/// Returns the lifecycle that the embedded data have for the model of these cases.
fn sonnets_life() -> Lifecycle {
    let region = REGION.parse().expect("a region");
    Embedded::load().lifecycle(&SONNET.parse().expect("a model"), &region)
}

async fn each_step_of_a_life_is_one_write_and_one_event(stage: &mut Stage) {
    let clock = Arc::new(ShiftedClock::at("2026-11-28T23:59:00Z"));
    stage.script.knows(REGION, SONNET, sonnets_life(), false);
    let live = |stage: &Stage| Options {
        clock: clock.clone(),
        ..stage.options()
    };
    let embedded = || Options {
        clock: clock.clone(),
        ..Options::default()
    };
    for name in ["live", "embedded"] {
        clock.set("2026-11-28T23:59:00Z");
        stage.start(if name == "live" {
            live(stage)
        } else {
            embedded()
        });
        let bound = stage.bound(name, sonnet()).await;
        let first = verdict(&bound, "ModelActive").expect("it is known");
        assert_eq!(first.1, "LegacyModel", "{first:?}");
        let mut told = Vec::new();
        for (time, reason, says) in [
            (
                "2027-01-09T00:00:01Z",
                Reason::ExtendedAccess,
                "since 2027-01-08",
            ),
            (
                "2027-03-09T00:00:01Z",
                Reason::EndOfLifeNear,
                "ends on 2027-04-08",
            ),
            (
                "2027-04-09T00:00:01Z",
                Reason::EndOfLifePassed,
                "ended on 2027-04-08",
            ),
        ] {
            stage.settled().await;
            let before = stage.binding(name).await;
            clock.set(time);
            let why = stage.until(name, "ModelActive", "False", reason).await;
            assert!(why.contains(says), "{says} in {why}");
            assert!(
                why.contains("successors: anthropic.claude-sonnet-5-5"),
                "{why}"
            );
            // At the end, a snapshot no longer serves the binding, and the Event for Ready says why.
            let is_over = reason == Reason::EndOfLifePassed && name == "embedded";
            let event = if is_over {
                Reason::ModelUnsupported
            } else {
                reason
            };
            told.push(("Warning", event.as_str(), 1));
            stage.until_events(name, &told).await;
            stage.settled().await;
            assert_eq!(writes_since(stage, &before).await, 1, "{name} {reason}");
            let id = stage.id(name).await;
            assert_eq!(id.as_deref(), Some(EU), "the value stays");
        }
        stage.stop().await;
    }
    // The life is over: a snapshot gives no new binding a value, a live listing is believed.
    stage.start(embedded());
    stage.bind("late", sonnet()).await;
    let why = stage
        .until("late", "Ready", "False", Reason::ModelUnsupported)
        .await;
    assert!(why.contains("ended on 2027-04-08"), "{why}");
    assert_eq!(stage.id("late").await, None);
    stage.restart(live(stage)).await;
    stage.ready("late").await;
}

async fn a_fallback_model_takes_over_when_a_life_ends(stage: &mut Stage) {
    let clock = Arc::new(ShiftedClock::at("2027-04-07T12:00:00Z"));
    let mut options = Options {
        clock: clock.clone(),
        ..Options::default()
    };
    stage.start(Options {
        clock: clock.clone(),
        ..Options::default()
    });
    let mut spec = sonnet();
    spec["fallback"] = json!({"models": ["anthropic.claude-sonnet-5-5"]});
    stage.bound("claude", spec).await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    clock.set("2027-04-08T00:00:01Z");
    stage
        .until(
            "claude",
            "RegionSupported",
            "True",
            Reason::FallbackModelUsed,
        )
        .await;
    assert_eq!(
        stage.id("claude").await.as_deref(),
        Some("eu.anthropic.claude-sonnet-5-5")
    );
    stage
        .until_events("claude", &[("Normal", "ProfileChanged", 1)])
        .await;
    options.follow_embedded = true;
    stage.restart(options).await;
    stage.settled().await;
    assert_eq!(
        stage.id("claude").await.as_deref(),
        Some("eu.anthropic.claude-sonnet-5-5")
    );
}

async fn whether_a_model_can_be_used_is_asked_rarely(stage: &mut Stage) {
    let options = |stage: &Stage| Options {
        check_access: true,
        ..stage.options()
    };
    stage.start(options(stage));
    stage.bound("claude", sonnet()).await;
    stage.bound("second", sonnet()).await;
    eventually("it is asked", || async {
        match stage.script.asked_of_access() {
            0 => Err(0),
            _ => Ok(()),
        }
    })
    .await;
    let binding = stage.binding("claude").await;
    assert_eq!(verdict(&binding, "ModelUsable"), None, "it can't be told");

    let message = "its agreement is not accepted";
    stage.script.tells_access(Usability::NotUsable {
        message: message.into(),
    });
    for name in ["claude", "second"] {
        let why = stage
            .until(name, "ModelUsable", "False", Reason::NotUsable)
            .await;
        assert_eq!(why, message);
        stage.ready(name).await;
    }
    let before = stage.binding("claude").await.resource_version();
    let asked = stage.script.asked_of_access();
    eventually("it is asked again", || async {
        let more = stage.script.asked_of_access() - asked;
        if more >= 2 { Ok(()) } else { Err(more) }
    })
    .await;
    stage.restart(options(stage)).await;
    stage.asked(2).await;
    stage.settled().await;
    assert_eq!(stage.binding("claude").await.resource_version(), before);

    stage.script.tells_access(Usability::Usable);
    stage
        .until("claude", "ModelUsable", "True", Reason::Usable)
        .await;
    stage.restart(stage.options()).await;
    eventually("it is not told where it is not asked", || async {
        match verdict(&stage.binding("claude").await, "ModelUsable") {
            None => Ok(()),
            Some(told) => Err(told),
        }
    })
    .await;
}
