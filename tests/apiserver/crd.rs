//! What the apiserver accepts and refuses by itself, and whether its refusals help.

use inference_profile_operator::api::condition::{ConditionStatus, ConditionType, Reason};
use inference_profile_operator::api::{InferenceProfileBindingStatus, ProfileStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::refusals::{ACCEPTED, LIMITS, REFUSALS, spec};
use crate::support::{Case, Cluster, assert_cause, case, refusal, yaml};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "crd::accepts_63_characters_of_a_name",
            accepts_the_longest_name,
        ),
        case(
            "crd::refuses_64_characters_of_a_name",
            refuses_a_longer_name,
        ),
        case(
            "crd::a_binding_starts_with_observed_generation_minus_one",
            starts_unobserved,
        ),
        case("crd::the_status_is_a_subresource", status_is_a_subresource),
        case(
            "crd::bindings_are_selected_by_model_and_geography",
            selects_by_field,
        ),
    ];
    for refused in REFUSALS {
        let name = format!("crd::refuses_{}", refused.name);
        cases.push(case(name, |cluster| {
            refuses(
                cluster,
                yaml(refused.fields),
                refused.at,
                refused.message.to_owned(),
            )
        }));
    }
    for (name, fields) in ACCEPTED {
        let name = format!("crd::accepts_{name}");
        cases.push(case(name, |cluster| accepts(cluster, yaml(fields))));
    }
    for limit in LIMITS {
        let (most, more) = (limit.most, limit.most + 1);
        let name = format!("crd::accepts_{most}_{}", limit.of);
        cases.push(case(name, move |cluster| {
            accepts(cluster, (limit.fields)(most))
        }));
        let name = format!("crd::refuses_{more}_{}", limit.of);
        cases.push(case(name, move |cluster| {
            refuses(cluster, (limit.fields)(more), limit.at, most.to_string())
        }));
    }
    cases
}

async fn accepts(cluster: Cluster, fields: Value) {
    let namespace = cluster.namespace("crd").await;
    cluster
        .create_binding(&namespace, "a", spec(fields))
        .await
        .expect("accepted");
}

async fn refuses(cluster: Cluster, fields: Value, at: &str, message: String) {
    let namespace = cluster.namespace("crd").await;
    let result = cluster.create_binding(&namespace, "a", spec(fields)).await;
    assert_cause(&refusal(result), at, &message);
}

async fn accepts_the_longest_name(cluster: Cluster) {
    let namespace = cluster.namespace("crd").await;
    cluster
        .create_binding(&namespace, &"n".repeat(63), spec(json!({})))
        .await
        .expect("accepted");
}

async fn refuses_a_longer_name(cluster: Cluster) {
    let namespace = cluster.namespace("crd").await;
    let result = cluster
        .create_binding(&namespace, &"n".repeat(64), spec(json!({})))
        .await;
    let refused = refusal(result);
    assert!(
        refused
            .message
            .contains("metadata.name: the name of a binding has at most 63 characters"),
        "{}",
        refused.message
    );
}

async fn starts_unobserved(cluster: Cluster) {
    let namespace = cluster.namespace("crd").await;
    let binding = cluster
        .create_binding(&namespace, "a", spec(json!({})))
        .await
        .expect("accepted");
    let status = binding.status.expect("a default status");
    assert_eq!(status.observed_generation, Some(-1));
}

async fn status_is_a_subresource(cluster: Cluster) {
    let namespace = cluster.namespace("crd").await;
    let created = cluster
        .create_binding(&namespace, "a", spec(json!({})))
        .await
        .expect("accepted");
    let status = bound_status();
    let bindings = cluster.bindings(&namespace);
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

async fn selects_by_field(cluster: Cluster) {
    let namespace = cluster.namespace("crd").await;
    for (name, geography) in [("in-eu", "eu"), ("in-us", "us")] {
        cluster
            .create_binding(&namespace, name, spec(json!({"geography": geography})))
            .await
            .expect("accepted");
    }
    let nova = spec(json!({"model": "amazon.nova-lite-v1:0"}));
    cluster
        .create_binding(&namespace, "nova", nova)
        .await
        .expect("accepted");
    for (selector, expected) in [
        ("spec.model=amazon.nova-lite-v1:0", vec!["nova"]),
        ("spec.geography=eu", vec!["in-eu", "nova"]),
        (
            "spec.geography=eu,spec.model!=amazon.nova-lite-v1:0",
            vec!["in-eu"],
        ),
    ] {
        let found = cluster
            .bindings(&namespace)
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
            destination_regions: vec!["eu-central-1".to_owned(), "eu-west-1".to_owned()],
            ..ProfileStatus::default()
        }),
        ..InferenceProfileBindingStatus::default()
    }
}
