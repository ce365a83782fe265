//! What the apiserver accepts and refuses by itself, and whether its refusals help.

use inference_profile_operator::api::condition::{ConditionStatus, ConditionType, Reason};
use inference_profile_operator::api::{InferenceProfileBindingStatus, ProfileStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, case, cases, needing_minor},
    common::refusals::{ACCEPTED, LIMITS, REFUSALS, spec},
    stage::{Stage, empty},
    support::{assert_cause, refusal, yaml},
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![empty(
        accepts_63_characters_of_a_name,
        refuses_64_characters_of_a_name,
        a_binding_starts_with_observed_generation_minus_one,
        the_status_is_a_subresource,
    )];
    // Kubernetes 1.31 is the first that serves `selectableFields` without being asked to.
    let selected = cases![empty(bindings_are_selected_by_model_and_geography)];
    cases.extend(needing_minor(31, selected));
    for refused in REFUSALS {
        cases.push(case!(
            empty,
            format!("refuses_{}", refused.name),
            refuses(yaml(refused.fields), refused.at, refused.message.to_owned())
        ));
    }
    for (name, fields) in ACCEPTED {
        cases.push(case!(
            empty,
            format!("accepts_{name}"),
            accepts(yaml(fields))
        ));
    }
    for limit in LIMITS {
        let (most, more) = (limit.most, limit.most + 1);
        cases.push(case!(
            empty,
            format!("accepts_{most}_{}", limit.of),
            accepts((limit.fields)(most))
        ));
        cases.push(case!(
            empty,
            format!("refuses_{more}_{}", limit.of),
            refuses((limit.fields)(more), limit.at, most.to_string())
        ));
    }
    cases
}

async fn accepts(stage: &Stage, fields: Value) {
    stage.bind("a", spec(fields)).await;
}

async fn refuses(stage: &Stage, fields: Value, at: &str, message: String) {
    let result = stage.try_bind("a", spec(fields)).await;
    assert_cause(&refusal(result), at, &message);
}

async fn accepts_63_characters_of_a_name(stage: &Stage) {
    stage.bind(&"n".repeat(63), spec(json!({}))).await;
}

async fn refuses_64_characters_of_a_name(stage: &Stage) {
    let result = stage.try_bind(&"n".repeat(64), spec(json!({}))).await;
    let refused = refusal(result);
    assert!(
        refused
            .message
            .contains("metadata.name: the name of a binding has at most 63 characters"),
        "{}",
        refused.message
    );
}

async fn a_binding_starts_with_observed_generation_minus_one(stage: &Stage) {
    let binding = stage.bind("a", spec(json!({}))).await;
    let status = binding.status.expect("a default status");
    assert_eq!(status.observed_generation, Some(-1));
}

async fn the_status_is_a_subresource(stage: &Stage) {
    let created = stage.bind("a", spec(json!({}))).await;
    let status = bound_status();
    let bindings = stage.bindings();
    let patch = Patch::Merge(json!({"status": status, "spec": {"geography": "us"}}));
    let patched = bindings
        .patch_status("a", &PatchParams::default(), &patch)
        .await
        .expect("the status is written");
    assert_eq!(
        patched.status,
        Some(status),
        "the status comes back as it was written"
    );
    assert_eq!(
        patched.spec, created.spec,
        "a write of the status leaves the spec"
    );
    assert_eq!(patched.metadata.generation, created.metadata.generation);
}

async fn bindings_are_selected_by_model_and_geography(stage: &Stage) {
    for (name, geography) in [("in-eu", "eu"), ("in-us", "us")] {
        stage
            .bind(name, spec(json!({"geography": geography})))
            .await;
    }
    let nova = spec(json!({"model": "amazon.nova-lite-v1:0"}));
    stage.bind("nova", nova).await;
    for (selector, expected) in [
        ("spec.model=amazon.nova-lite-v1:0", vec!["nova"]),
        ("spec.geography=eu", vec!["in-eu", "nova"]),
        (
            "spec.geography=eu,spec.model!=amazon.nova-lite-v1:0",
            vec!["in-eu"],
        ),
    ] {
        let found = stage
            .bindings()
            .list(&ListParams::default().fields(selector))
            .await
            .expect(selector);
        let names: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, expected, "{selector}");
    }
}

/// Returns a status as a bound binding has it.
pub fn bound_status() -> InferenceProfileBindingStatus {
    InferenceProfileBindingStatus {
        observed_generation: Some(1),
        conditions: vec![Condition {
            type_: ConditionType::Ready.to_string(),
            status: ConditionStatus::True.to_string(),
            reason: Reason::Bound.to_string(),
            message: "bound".to_owned(),
            last_transition_time: Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH),
            observed_generation: Some(1),
        }],
        profile: Some(ProfileStatus {
            id: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0".to_owned(),
            geography: "eu".to_owned(),
            source_region: "eu-west-1".to_owned(),
            foundation_model_id: "anthropic.claude-sonnet-4-5-20250929-v1:0".to_owned(),
            destination_regions: vec!["eu-central-1".to_owned(), "eu-west-1".to_owned()],
            destinations: Some("eu-central-1,eu-west-1".to_owned()),
            ..ProfileStatus::default()
        }),
        ..InferenceProfileBindingStatus::default()
    }
}
