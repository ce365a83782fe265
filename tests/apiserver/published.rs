//! Each row of "what happens to the written value", on a real apiserver.

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    operator::{Options, SONNET, Script, condition},
    stage::{ID, REGION, Stage, message, profile_in_use, verdict},
    support::{Case, Cluster, case, eventually},
};

const EU: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
const GLOBAL: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
/// A region that a limit lets in and the EU profile does not keep to.
const TOO_NARROW: &str = "eu-west-1";

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("published::a_resolved_binding_is_written", resolved),
        case("published::an_unsupported_binding_is_not", unsupported),
        case("published::drift_of_an_owned_object_is_corrected", drift),
        case(
            "published::a_deleted_object_is_written_again",
            deleted_object,
        ),
        case(
            "published::an_object_without_its_label_gets_it_back",
            stripped_label,
        ),
        case("published::a_changed_request_replaces_the_value", replaced),
        case(
            "published::a_restart_while_aws_fails_changes_nothing",
            restart_without_aws,
        ),
        case("published::a_retired_profile_stays_written", retired),
        case(
            "published::a_retired_profile_is_not_withdrawn_by_a_restart",
            retired_and_restarted,
        ),
        case(
            "published::a_request_that_resolves_no_more_deletes_what_is_owned",
            unresolvable_owner,
        ),
        case(
            "published::a_request_that_resolves_no_more_takes_merged_keys_out",
            unresolvable_merge,
        ),
        case(
            "published::an_unresolvable_request_withdraws_nothing_while_aws_fails",
            unresolvable_unknown,
        ),
        case("published::a_limit_in_the_spec_withdraws", limited_by_spec),
        case(
            "published::a_limit_in_the_spec_withdraws_merged_keys",
            limited_by_spec_merge,
        ),
        case(
            "published::a_limit_of_the_operator_withdraws_at_its_restart",
            limited_by_operator,
        ),
        case(
            "published::a_new_destination_outside_the_limit_withdraws",
            rerouted,
        ),
        case(
            "published::a_limit_withdraws_while_aws_fails",
            limited_without_aws,
        ),
        case(
            "published::a_limit_withdraws_after_a_restart_without_aws",
            limited_after_restart_without_aws,
        ),
        case(
            "published::a_limit_withdraws_while_suspended",
            limited_while_suspended,
        ),
        case(
            "published::a_withdrawal_that_is_forbidden_is_tried_again",
            forbidden_withdrawal,
        ),
        case("published::a_renamed_target_is_moved", renamed),
        case(
            "published::a_target_taken_from_the_spec_is_cleaned",
            removed,
        ),
        case(
            "published::a_renamed_target_is_cleaned_without_a_status",
            renamed_without_status,
        ),
        case(
            "published::merged_keys_are_cleaned_without_a_status",
            merged_without_status,
        ),
        case(
            "published::an_object_of_others_is_not_deleted_without_a_status",
            foreign_without_status,
        ),
        case(
            "published::a_limit_acts_without_a_status",
            limited_without_status,
        ),
        case(
            "published::a_deleted_binding_takes_its_object_with_it",
            deleted_owner,
        )
        .with_controllers(),
        case(
            "published::a_deleted_binding_takes_its_keys_out",
            deleted_merge,
        ),
        case(
            "published::the_finalizer_is_there_only_for_merging",
            finalizer,
        ),
        case("published::a_suspended_binding_touches_nothing", suspended),
        case(
            "published::a_suspended_binding_asks_aws_nothing",
            suspended_asks_nothing,
        ),
        case(
            "published::a_suspended_binding_is_still_deleted",
            suspended_deleted,
        ),
        case(
            "published::a_binding_made_again_is_answered_by_a_new_listing",
            made_again,
        ),
    ];
    let failures: [(&str, fn(&Script, &str), Reason); 3] = [
        ("failing", Script::fails, Reason::ServiceError),
        ("throttling", Script::throttles, Reason::Throttled),
        ("denying", Script::denies, Reason::AccessDenied),
    ];
    cases.extend(failures.map(|(name, break_it, reason)| {
        case(
            format!("published::the_value_stays_while_aws_is_{name}"),
            move |cluster| without_aws(cluster, break_it, reason),
        )
    }));
    cases
}

fn sonnet() -> Value {
    json!({"model": SONNET, "geography": "eu"})
}

/// A spec that merges the profile ID into the `ConfigMap` `host`.
fn merging() -> Value {
    json!({
        "model": SONNET,
        "geography": "eu",
        "targets": [{"kind": "ConfigMap", "name": "host", "creationPolicy": "Merge", "keys": {ID: "ProfileID"}}],
    })
}

/// Asserts that the host holds what it held before anything was merged.
async fn assert_host_is_clean(stage: &Stage) {
    let host = stage
        .config_map("host")
        .await
        .expect("it is not ours to delete");
    let data = host.data.expect("their key");
    assert_eq!(
        data.into_iter().collect::<Vec<_>>(),
        [("theirs".to_owned(), "untouched".to_owned())]
    );
    assert_eq!(host.metadata.labels, None, "our label");
}

async fn resolved(cluster: Cluster) {
    let mut stage = Stage::with(cluster, Options::default()).await;
    stage.bind("claude", sonnet()).await;
    let binding = stage.ready("claude").await;
    let object = stage.config_map("claude").await.expect("written");
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
    stage.stop().await;
}

async fn unsupported(cluster: Cluster) {
    let mut stage = Stage::with(cluster, Options::default()).await;
    stage
        .bind("claude", json!({"model": SONNET, "geography": "jp"}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert_eq!(stage.config_map("claude").await, None);
    stage.stop().await;
}

async fn drift(cluster: Cluster) {
    let mut stage = Stage::with(cluster, Options::default()).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn deleted_object(cluster: Cluster) {
    let mut stage = Stage::with(cluster, Options::default()).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    crate::operator::config_maps(&stage.cluster, &stage.namespace)
        .delete("claude", &DeleteParams::default())
        .await
        .expect("deleted");
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
    stage.stop().await;
}

async fn stripped_label(cluster: Cluster) {
    let mut stage = Stage::with(cluster, Options::default()).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn replaced(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    stage.edit("claude", json!({"geography": "global"})).await;
    let binding = stage.ready("claude").await;
    assert_eq!(profile_in_use(&binding), Some(GLOBAL));
    assert_eq!(stage.id("claude").await.as_deref(), Some(GLOBAL));
    stage
        .until_events("claude", &[("Normal", "ProfileChanged", 1)])
        .await;
    stage.stop().await;
}

async fn without_aws(cluster: Cluster, break_it: fn(&Script, &str), reason: Reason) {
    let mut stage = Stage::live(cluster).await;
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
    stage.stop().await;
}

async fn restart_without_aws(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
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
    stage.stop().await;
}

async fn retired(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn retired_and_restarted(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn unresolvable_owner(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn unresolvable_merge(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.host("host", Some("claude")).await;
    stage.bind("claude", merging()).await;
    stage.ready("claude").await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
    stage
        .edit("claude", json!({"model": "anthropic.claude-none-v1:0"}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::ModelUnsupported)
        .await;
    assert_host_is_clean(&stage).await;
    stage.stop().await;
}

async fn unresolvable_unknown(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

/// Asserts that a binding is withdrawn because of its regions, names who set the limit, and stays so.
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

async fn limited_by_spec(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    assert_withdrawn(&stage, "claude", "spec.allowedRegions").await;
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
    stage.stop().await;
}

async fn limited_by_spec_merge(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.host("host", Some("claude")).await;
    stage.bind("claude", merging()).await;
    stage.ready("claude").await;
    stage
        .edit("claude", json!({"allowedRegions": [TOO_NARROW]}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert_host_is_clean(&stage).await;
    stage.stop().await;
}

async fn limited_by_operator(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    let options = Options {
        allowed_regions: vec![TOO_NARROW],
        ..stage.options()
    };
    stage.restart(options).await;
    assert_withdrawn(&stage, "claude", "--allowed-regions").await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    stage.restart(stage.options()).await;
    stage.ready("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    stage.stop().await;
}

async fn rerouted(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    let spec = json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]});
    stage.bind("claude", spec).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn limited_without_aws(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn limited_after_restart_without_aws(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn limited_while_suspended(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    stage.edit("claude", json!({"suspend": true})).await;
    stage
        .until("claude", "Suspended", "True", Reason::SuspendedBySpec)
        .await;
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
    stage.stop().await;
}

async fn forbidden_withdrawal(cluster: Cluster) {
    let mut stage = Stage::empty(cluster).await;
    stage
        .grant("operator", &["get", "list", "watch", "create", "patch"])
        .await;
    stage.start_as("operator", stage.options()).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn renamed(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "renamed"}]}),
        )
        .await;
    stage.until_id("renamed", Some(EU)).await;
    stage.until_gone("claude").await;
    let binding = stage.ready("claude").await;
    let names: Vec<String> = binding
        .status
        .expect("a status")
        .targets
        .into_iter()
        .map(|target| target.name)
        .collect();
    assert_eq!(names, ["renamed"]);
    stage.stop().await;
}

async fn removed(cluster: Cluster) {
    let mut stage = Stage::with(
        cluster,
        Options {
            enable_secrets: true,
            ..Options::default()
        },
    )
    .await;
    let both =
        json!([{"kind": "ConfigMap", "name": "claude"}, {"kind": "Secret", "name": "claude"}]);
    stage
        .bind(
            "claude",
            json!({"model": SONNET, "geography": "eu", "targets": both}),
        )
        .await;
    let binding = stage.ready("claude").await;
    let reference = binding
        .status
        .and_then(|status| status.binding)
        .map(|binding| binding.name);
    assert_eq!(
        reference.as_deref(),
        Some("claude"),
        "the Secret of the Provisioned Service"
    );
    let secrets = Api::<Secret>::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let secret = secrets.get("claude").await.expect("a Secret");
    assert_eq!(secret.type_.as_deref(), Some("servicebinding.io/bedrock"));
    assert_eq!(secret.data.expect("data")[ID].0, EU.as_bytes());

    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "claude"}]}),
        )
        .await;
    let binding = stage.ready("claude").await;
    assert_eq!(secrets.get_opt("claude").await.expect("an answer"), None);
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert_eq!(binding.status.expect("a status").binding, None);
    stage.stop().await;
}

async fn renamed_without_status(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    stage.stop().await;
    stage
        .edit(
            "claude",
            json!({"targets": [{"kind": "ConfigMap", "name": "renamed"}]}),
        )
        .await;
    stage.wipe_status("claude").await;
    stage.start(stage.options());
    stage.until_id("renamed", Some(EU)).await;
    stage.until_gone("claude").await;
    stage.ready("claude").await;
    stage.stop().await;
}

async fn merged_without_status(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.host("host", Some("claude")).await;
    stage.bind("claude", merging()).await;
    stage.ready("claude").await;
    stage.stop().await;
    stage.edit("claude", json!({"targets": null})).await;
    stage.wipe_status("claude").await;
    stage.start(stage.options());
    stage.until_id("claude", Some(EU)).await;
    stage.until_id("host", None).await;
    assert_host_is_clean(&stage).await;
    stage.stop().await;
}

/// An object without a key of its own looks much like one that the binding made and that lost its owner.
async fn foreign_without_status(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    let empty = json!({
        "metadata": {"name": "host", "annotations": {"inferenceprofiles.dev/allow-merge": "claude"}},
        "binaryData": {"theirs": "AAAA"},
    });
    crate::operator::config_maps(&stage.cluster, &stage.namespace)
        .create(
            &PostParams::default(),
            &serde_json::from_value(empty).expect("a ConfigMap"),
        )
        .await
        .expect("created");
    stage.bind("claude", merging()).await;
    stage.ready("claude").await;
    stage.stop().await;
    stage.edit("claude", json!({"targets": null})).await;
    stage.wipe_status("claude").await;
    stage.start(stage.options());
    stage.ready("claude").await;
    eventually("the key is gone", || async {
        let host = stage
            .config_map("host")
            .await
            .expect("it is not ours to delete");
        if host.data.is_none() && host.binary_data.is_some() {
            Ok(())
        } else {
            Err(host)
        }
    })
    .await;
    stage.stop().await;
}

async fn limited_without_status(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
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
    stage.stop().await;
}

async fn deleted_owner(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    let binding = stage.ready("claude").await;
    assert_eq!(binding.metadata.finalizers, None);
    stage.delete("claude").await;
    stage.until_unbound("claude").await;
    stage.until_gone("claude").await;
    stage.stop().await;
}

async fn deleted_merge(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.host("host", Some("claude")).await;
    stage.bind("claude", merging()).await;
    stage.ready("claude").await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
    stage.delete("claude").await;
    stage.until_unbound("claude").await;
    assert_host_is_clean(&stage).await;
    stage.stop().await;
}

async fn finalizer(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.host("host", Some("claude")).await;
    stage.bind("claude", sonnet()).await;
    assert_eq!(stage.ready("claude").await.metadata.finalizers, None);
    stage
        .edit("claude", json!({"targets": merging()["targets"]}))
        .await;
    let finalizers = stage.ready("claude").await.metadata.finalizers;
    assert_eq!(
        finalizers.as_deref(),
        Some(["inferenceprofiles.dev/merged-keys".to_owned()].as_slice())
    );
    stage.edit("claude", json!({"targets": null})).await;
    stage.ready("claude").await;
    assert_host_is_clean(&stage).await;
    eventually("the finalizer is gone", || async {
        match stage.binding("claude").await.metadata.finalizers {
            None => Ok(()),
            Some(finalizers) => Err(finalizers),
        }
    })
    .await;
    stage.stop().await;
}

async fn suspended(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    let ready = condition(&stage.ready("claude").await, "Ready");
    stage.edit("claude", json!({"suspend": true})).await;
    stage
        .until("claude", "Suspended", "True", Reason::SuspendedBySpec)
        .await;

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
    stage.stop().await;
}

async fn suspended_asks_nothing(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
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
    stage.edit("claude", json!({"suspend": true})).await;
    stage
        .until("claude", "Suspended", "True", Reason::SuspendedBySpec)
        .await;
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
    stage.stop().await;
}

async fn suspended_deleted(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.host("host", Some("claude")).await;
    stage.bind("claude", merging()).await;
    stage.ready("claude").await;
    stage.edit("claude", json!({"suspend": true})).await;
    stage
        .until("claude", "Suspended", "True", Reason::SuspendedBySpec)
        .await;
    stage.delete("claude").await;
    stage.until_unbound("claude").await;
    assert_host_is_clean(&stage).await;
    stage.stop().await;
}

/// The last binding of a region ends its listings; the next one begins them anew, with the same answer as before.
async fn made_again(cluster: Cluster) {
    let mut stage = Stage::live(cluster).await;
    stage.bind("claude", sonnet()).await;
    stage.ready("claude").await;
    stage.delete("claude").await;
    stage.until_unbound("claude").await;
    stage.script.falls_silent();
    stage.bind("again", sonnet()).await;
    let why = stage
        .until("again", "Ready", "Unknown", Reason::Pending)
        .await;
    assert!(why.contains(REGION), "{why}");
    assert!(message(&stage.binding("again").await, "CatalogFresh").contains(REGION));
    stage.script.answers_again();
    stage.ready("again").await;
    stage.stop().await;
}
