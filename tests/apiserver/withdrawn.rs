//! When a written value is withdrawn: the request resolves to nothing any more, or residency is violated.

use inference_profile_operator::api::condition::Reason;
use serde_json::json;

use crate::{
    case::{Case, cases},
    operator::{Options, SONNET},
    stage::{
        EU, REGION, Stage, assert_host_is_clean, embedded, empty, live, merging, profile_in_use,
        sonnet, verdict,
    },
    support::eventually,
};

/// A region that a limit lets in and the EU profile does not keep to.
const TOO_NARROW: &str = "eu-west-1";

pub fn cases() -> Vec<Case> {
    cases![
        live(
            a_request_that_resolves_no_more_deletes_what_is_owned,
            a_request_that_resolves_no_more_takes_merged_keys_out,
            a_model_that_does_not_resolve_takes_nothing_away,
            an_unresolvable_request_withdraws_nothing_while_aws_fails,
            a_limit_in_the_spec_withdraws,
            a_limit_in_the_spec_withdraws_merged_keys,
            a_limit_of_the_operator_withdraws_at_its_restart,
            a_new_destination_outside_the_limit_withdraws,
            a_limit_withdraws_while_aws_fails,
            a_limit_withdraws_after_a_restart_without_aws,
            a_limit_withdraws_while_suspended,
            a_limit_acts_without_a_status,
        ),
        empty(a_withdrawal_that_is_forbidden_is_tried_again,),
        embedded(a_limit_replaces_an_immutable_object,),
    ]
}

async fn a_request_that_resolves_no_more_deletes_what_is_owned(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.edit("claude", json!({"geography": "jp"})).await;
    stage
        .until("claude", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert_eq!(stage.config_map("claude").await, None);
    let status = stage.binding("claude").await.status.expect("a status");
    assert_eq!(status.profile, None);
    assert_eq!(status.targets, []);
    stage
        .until_events(
            "claude",
            &[
                ("Warning", "Withdrawn", 1),
                ("Warning", "GeographyUnsupported", 1),
            ],
        )
        .await;

    stage.edit("claude", json!({"geography": "eu"})).await;
    stage.ready("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn a_request_that_resolves_no_more_takes_merged_keys_out(stage: &Stage) {
    stage.host("host", Some("claude")).await;
    stage.bound("claude", merging()).await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
    stage.edit("claude", json!({"geography": "jp"})).await;
    stage
        .until("claude", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert_host_is_clean(stage).await;
}

/// A typing mistake in `model` must not take the ConfigMap from pods that start meanwhile.
async fn a_model_that_does_not_resolve_takes_nothing_away(stage: &Stage) {
    stage.host("host", Some("merged")).await;
    stage.bound("merged", merging()).await;
    stage.bound("claude", sonnet()).await;
    let (object, host) = (stage.object("claude").await, stage.object("host").await);
    for name in ["claude", "merged"] {
        stage
            .edit(name, json!({"model": "anthropic.claude-none-v1:0"}))
            .await;
        let why = stage
            .until(name, "Ready", "False", Reason::ModelUnsupported)
            .await;
        let stays = format!("the value of the old model stays: {EU}");
        assert!(why.contains(&stays), "{why}");
    }
    stage.settled().await;
    assert_eq!(stage.object("claude").await, object);
    assert_eq!(stage.object("host").await, host);
    assert_eq!(profile_in_use(&stage.binding("claude").await), Some(EU));
    // The value is kept up: what others take away comes back.
    stage.delete_object("claude").await;
    stage.until_id("claude", Some(EU)).await;
    stage
        .until_events("claude", &[("Warning", "ModelUnsupported", 1)])
        .await;

    // With another geography too, nothing of it is asked for any more.
    stage.edit("claude", json!({"geography": "jp"})).await;
    stage.until_gone("claude").await;
    stage.edit("merged", json!({"model": SONNET})).await;
    stage.ready("merged").await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
}

/// The value that the limit forbids can't be overwritten, so its object goes before the allowed one is written.
async fn a_limit_replaces_an_immutable_object(stage: &Stage) {
    stage
        .bind("claude", json!({"model": SONNET, "geography": "global"}))
        .await;
    stage.ready("claude").await;
    stage.meddle("claude", json!({"immutable": true})).await;
    stage
        .edit(
            "claude",
            json!({"geography": "eu", "allowedRegions": ["@eu"]}),
        )
        .await;
    stage.ready("claude").await;
    stage.until_id("claude", Some(EU)).await;
    assert_eq!(profile_in_use(&stage.binding("claude").await), Some(EU));
}

async fn an_unresolvable_request_withdraws_nothing_while_aws_fails(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.script.fails("eu-west-3");
    // Another source region, of which nothing is known: the value contradicts the spec, but there is no definite No.
    stage
        .edit("claude", json!({"sourceRegion": "eu-west-3"}))
        .await;
    stage
        .until("claude", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert_eq!(profile_in_use(&stage.binding("claude").await), Some(EU));
    stage.script.recovers("eu-west-3");
    let binding = stage.ready("claude").await;
    let profile = binding
        .status
        .and_then(|status| status.profile)
        .expect("a profile");
    assert_eq!(profile.source_region, "eu-west-3");
}

async fn assert_withdrawn(stage: &Stage, name: &str, who: &str) {
    let why = stage
        .until(
            name,
            "ResidencySatisfied",
            "False",
            Reason::RegionNotAllowed,
        )
        .await;
    assert!(why.contains("eu-central-1") && why.contains(who), "{why}");
    stage.until_gone("claude").await;
    eventually("the status says so", || async {
        let status = stage.binding(name).await.status.expect("a status");
        if status.profile.is_none() && status.targets.is_empty() {
            Ok(())
        } else {
            Err(status)
        }
    })
    .await;
    stage.settled().await;
    assert_eq!(stage.config_map("claude").await, None);
    let binding = stage.binding(name).await;
    assert_eq!(
        verdict(&binding, "ResidencySatisfied"),
        Some(("False".to_owned(), "RegionNotAllowed".to_owned())),
        "{binding:#?}"
    );
}

async fn a_limit_in_the_spec_withdraws(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    assert_withdrawn(stage, "claude", "spec.allowedRegions").await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    stage
        .until_events(
            "claude",
            &[
                ("Warning", "Withdrawn", 1),
                ("Warning", "RegionNotAllowed", 1),
            ],
        )
        .await;

    stage
        .edit("claude", json!({"allowedRegions": ["@eu"]}))
        .await;
    stage.ready("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn a_limit_in_the_spec_withdraws_merged_keys(stage: &Stage) {
    stage.host("host", Some("claude")).await;
    stage.bound("claude", merging()).await;
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert_host_is_clean(stage).await;
}

async fn a_limit_of_the_operator_withdraws_at_its_restart(stage: &mut Stage) {
    stage.bound("claude", sonnet()).await;
    let options = Options {
        allowed_regions: vec![TOO_NARROW],
        ..stage.options()
    };
    stage.restart(options).await;
    assert_withdrawn(stage, "claude", "--allowed-regions").await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    stage.restart(stage.options()).await;
    stage.ready("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn a_new_destination_outside_the_limit_withdraws(stage: &Stage) {
    let spec = json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]});
    stage.bound("claude", spec).await;
    // London is in Europe, and not in the EU.
    stage
        .script
        .reroutes(REGION, EU, &["eu-central-1", "eu-west-2"]);
    let why = stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert!(
        why.contains("not allowed by spec.allowedRegions: eu-west-2;"),
        "{why}"
    );
    stage.until_gone("claude").await;
    stage.script.recovers(REGION);
    stage.ready("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn a_limit_withdraws_while_aws_fails(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.script.fails(REGION);
    stage
        .until("claude", "CatalogFresh", "False", Reason::ServiceError)
        .await;
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    stage.until_gone("claude").await;
}

async fn a_limit_withdraws_after_a_restart_without_aws(stage: &mut Stage) {
    stage.bound("claude", sonnet()).await;
    stage.script.fails(REGION);
    stage.script.falls_silent();
    let options = Options {
        allowed_regions: vec![TOO_NARROW],
        ..stage.options()
    };
    stage.restart(options).await;
    // Not even the first answer is waited for.
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    stage.until_gone("claude").await;
    stage.script.answers_again();
    stage
        .until("claude", "CatalogFresh", "False", Reason::ServiceError)
        .await;
    let why = stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert!(why.contains("--allowed-regions"), "{why}");
}

async fn a_limit_withdraws_while_suspended(stage: &Stage) {
    stage.bound("claude", sonnet()).await;
    stage.suspend("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    let why = stage
        .until(
            "claude",
            "ResidencySatisfied",
            "False",
            Reason::RegionNotAllowed,
        )
        .await;
    assert!(why.contains("eu-central-1"), "{why}");
    stage.until_gone("claude").await;
    stage
        .until("claude", "Suspended", "True", Reason::SuspendedBySpec)
        .await;
}

async fn a_withdrawal_that_is_forbidden_is_tried_again(stage: &mut Stage) {
    stage
        .grant("operator", &["get", "list", "watch", "create", "patch"])
        .await;
    stage.start_as("operator", stage.options()).await;
    stage.bound("claude", sonnet()).await;
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    let why = stage
        .until("claude", "TargetsSynced", "False", Reason::TargetForbidden)
        .await;
    assert!(
        why.contains("ConfigMap claude") && why.contains("delete"),
        "{why}"
    );
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert_eq!(
        profile_in_use(&stage.binding("claude").await),
        Some(EU),
        "it is still there"
    );

    stage
        .grant(
            "operator",
            &["get", "list", "watch", "create", "patch", "delete"],
        )
        .await;
    stage.until_gone("claude").await;
    stage
        .until("claude", "TargetsSynced", "Unknown", Reason::NoProfile)
        .await;
}

async fn a_limit_acts_without_a_status(stage: &mut Stage) {
    stage.bound("claude", sonnet()).await;
    stage.stop().await;
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    stage.wipe_status("claude").await;
    stage.start(stage.options());
    stage.until_gone("claude").await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
}
