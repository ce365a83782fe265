//! What the apiserver accepts and refuses by itself, and whether its refusals help.

use inference_profile_operator::api::condition::{ConditionStatus, ConditionType, Reason};
use inference_profile_operator::api::{InferenceProfileBindingStatus, ProfileStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, case, cases},
    stage::{Stage, empty},
    support::{assert_cause, refusal, yaml},
};

/// Specs that are refused: a case each. The fields replace those of [`spec`]; the message is a part of the whole one.
const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "an_empty_model",
        fields: "model: ''",
        at: "spec.model",
        message: "not a foundation model ID: expected PROVIDER.MODEL",
    },
    Refusal {
        name: "a_missing_model",
        fields: "model: null",
        at: "spec.model",
        message: "Required value",
    },
    Refusal {
        name: "a_model_without_provider",
        fields: "model: claude-sonnet-4-5",
        at: "spec.model",
        message: "expected PROVIDER.MODEL in lower case, such as anthropic.claude-sonnet-4-5-20250929-v1:0",
    },
    Refusal {
        name: "an_upper_case_model",
        fields: "model: Anthropic.Claude",
        at: "spec.model",
        message: "in lower case",
    },
    Refusal {
        name: "an_arn_as_model",
        fields: "model: 'arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0'",
        at: "spec.model",
        message: "give the foundation model ID instead of an ARN: the part after foundation-model/",
    },
    Refusal {
        name: "a_profile_id_as_model",
        fields: "model: us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
        at: "spec.model",
        message: "give the foundation model ID instead of a profile ID: leave out the geography",
    },
    Refusal {
        name: "an_empty_geography",
        fields: "geography: ''",
        at: "spec.geography",
        message: "not a geography: expected the prefix of a profile ID, such as us, eu, apac, jp or global",
    },
    Refusal {
        name: "a_region_as_geography",
        fields: "geography: eu-west-1",
        at: "spec.geography",
        message: "not a geography",
    },
    Refusal {
        name: "a_malformed_fallback_geography",
        fields: "fallback: {geographies: [apac, EU]}",
        at: "spec.fallback.geographies[1]",
        message: "not a geography: expected the prefix of a profile ID",
    },
    Refusal {
        name: "a_malformed_source_region",
        fields: "sourceRegion: eu",
        at: "spec.sourceRegion",
        message: "not an AWS region name such as eu-west-1",
    },
    Refusal {
        name: "an_availability_zone_as_source_region",
        fields: "sourceRegion: eu-west-1a",
        at: "spec.sourceRegion",
        message: "not an AWS region name",
    },
    Refusal {
        name: "an_empty_residency_limit",
        fields: "allowedRegions: []",
        at: "spec.allowedRegions",
        message: "leave allowedRegions out where the binding sets no limit",
    },
    Refusal {
        name: "a_limit_that_is_no_pattern",
        fields: "allowedRegions: [eu-west-1, eu]",
        at: "spec.allowedRegions[1]",
        message: "not a valid limit: expected a region name (eu-west-1), a pattern with at most 4 * (eu-*), a set (@eu,",
    },
    Refusal {
        name: "a_limit_with_five_stars",
        fields: "allowedRegions: ['eu-*', 'e*u*-*-**']",
        at: "spec.allowedRegions[1]",
        message: "a pattern with at most 4 * (eu-*)",
    },
    // Which a matcher that tries every place anew would not end with.
    Refusal {
        name: "a_limit_with_thirty_stars",
        fields: "allowedRegions: ['e******************************z']",
        at: "spec.allowedRegions[0]",
        message: "a pattern with at most 4 * (eu-*)",
    },
    Refusal {
        name: "a_limit_that_is_an_unknown_set",
        fields: "allowedRegions: ['@xx']",
        at: "spec.allowedRegions[0]",
        message: "a set (@eu, @eea, @uk, @ch, @us, @ca, @jp, @au, @in) or * alone",
    },
    Refusal {
        name: "a_limit_given_twice",
        fields: "allowedRegions: ['@eu', '@eu']",
        at: "spec.allowedRegions[1]",
        message: r#"Duplicate value: "@eu""#,
    },
    Refusal {
        name: "a_role_that_is_no_arn",
        fields: "roleARN: bedrock-discovery",
        at: "spec.roleARN",
        message: "not the ARN of an IAM role: expected arn:PARTITION:iam::ACCOUNT:role/NAME",
    },
    Refusal {
        name: "the_arn_of_a_user_as_role",
        fields: "roleARN: 'arn:aws:iam::111122223333:user/someone'",
        at: "spec.roleARN",
        message: "not the ARN of an IAM role",
    },
    Refusal {
        name: "a_target_name_that_is_no_dns_name",
        fields: "targets: [{kind: ConfigMap, name: Chat_Model}]",
        at: "spec.targets[0].name",
        message: "not an object name: expected lower case letters, digits, - and .",
    },
    Refusal {
        name: "an_empty_target_name",
        fields: "targets: [{kind: ConfigMap, name: ''}]",
        at: "spec.targets[0].name",
        message: "not an object name",
    },
    Refusal {
        name: "a_target_of_an_unknown_kind",
        fields: "targets: [{kind: Deployment, name: a}]",
        at: "spec.targets[0].kind",
        message: r#"supported values: "ConfigMap", "Secret""#,
    },
    Refusal {
        name: "an_unknown_creation_policy",
        fields: "targets: [{kind: ConfigMap, name: a, creationPolicy: Orphan}]",
        at: "spec.targets[0].creationPolicy",
        message: r#"supported values: "Owner", "Merge""#,
    },
    Refusal {
        name: "two_targets_of_one_kind_and_name",
        fields: "targets: [{kind: ConfigMap, name: a}, {kind: Secret, name: a}, {kind: ConfigMap, name: a}]",
        at: "spec.targets[2]",
        message: r#"Duplicate value: {"kind":"ConfigMap","name":"a"}"#,
    },
    Refusal {
        name: "an_empty_map_of_keys",
        fields: "targets: [{kind: ConfigMap, name: a, keys: {}}]",
        at: "spec.targets[0].keys",
        message: "no key is given: leave keys out for the default keys",
    },
    Refusal {
        name: "an_empty_map_of_templates",
        fields: "targets: [{kind: ConfigMap, name: a, templates: {}}]",
        at: "spec.targets[0].templates",
        message: "no template is given: leave templates out",
    },
    Refusal {
        name: "an_unknown_value_name",
        fields: "targets: [{kind: ConfigMap, name: a, keys: {MODEL: ProfileName}}]",
        at: "spec.targets[0].keys.MODEL",
        message: r#"supported values: "ProfileID", "ProfileARN""#,
    },
    Refusal {
        name: "an_invalid_key_in_keys",
        fields: "targets: [{kind: ConfigMap, name: a, keys: {A: ProfileID, a b: ProfileID}}]",
        at: "spec.targets[0].keys",
        message: "not a valid key: expected letters, digits, -, _ and .",
    },
    Refusal {
        name: "a_key_that_leaves_the_volume",
        fields: "targets: [{kind: ConfigMap, name: a, keys: {..a: ProfileID}}]",
        at: "spec.targets[0].keys",
        message: "neither . alone nor beginning with ..",
    },
    Refusal {
        name: "an_invalid_key_in_templates",
        fields: "targets: [{kind: ConfigMap, name: a, templates: {conf/litellm.yaml: a}}]",
        at: "spec.targets[0].templates",
        message: "not a valid key: expected letters, digits, -, _ and .",
    },
    Refusal {
        name: "a_key_given_both_in_keys_and_in_templates",
        fields: "targets: [{kind: ConfigMap, name: a, keys: {A: ProfileID, B: ProfileARN}, templates: {B: b}}]",
        at: "spec.targets[0]",
        message: "a key is given both in keys and in templates",
    },
    Refusal {
        name: "templates_under_merge",
        fields: "targets: [{kind: ConfigMap, name: a, creationPolicy: Merge, templates: {A: a}}]",
        at: "spec.targets[0]",
        message: "templates need creationPolicy Owner",
    },
    Refusal {
        name: "the_reserved_key_type_in_an_owned_secret",
        fields: "targets: [{kind: Secret, name: a, keys: {type: ProfileID}}]",
        at: "spec.targets[0]",
        message: "the keys type and provider of an owned Secret are set by the operator",
    },
    Refusal {
        name: "the_reserved_key_provider_in_an_owned_secret",
        fields: "targets: [{kind: Secret, name: a, creationPolicy: Owner, keys: {provider: Provider}}]",
        at: "spec.targets[0]",
        message: "the keys type and provider of an owned Secret are set by the operator",
    },
    Refusal {
        name: "a_reserved_key_as_a_template_of_an_owned_secret",
        fields: "targets: [{kind: Secret, name: a, templates: {provider: a}}]",
        at: "spec.targets[0]",
        message: "the keys type and provider of an owned Secret are set by the operator",
    },
    Refusal {
        name: "a_workload_of_an_unknown_kind",
        fields: "rollout: [{kind: CronJob, name: a}]",
        at: "spec.rollout[0].kind",
        message: r#"supported values: "Deployment", "StatefulSet", "DaemonSet""#,
    },
    Refusal {
        name: "a_workload_name_that_is_no_dns_name",
        fields: "rollout: [{kind: Deployment, name: -a}]",
        at: "spec.rollout[0].name",
        message: "not an object name",
    },
    Refusal {
        name: "two_workloads_of_one_kind_and_name",
        fields: "rollout: [{kind: Deployment, name: a}, {kind: Deployment, name: a}]",
        at: "spec.rollout[1]",
        message: "Duplicate value",
    },
];

/// Specs that are accepted: a case each.
const ACCEPTED: &[(&str, &str)] = &[
    ("the_smallest_spec", "{}"),
    (
        "everything_that_can_be_said",
        "
geography: jp
fallback: {geographies: [apac], onDemand: false}
sourceRegion: ap-northeast-1
allowedRegions: [ap-northeast-1, ap-northeast-3]
roleARN: arn:aws:iam::111122223333:role/bedrock-discovery
targets:
- kind: ConfigMap
  name: chat-model
  creationPolicy: Owner
  keys: {ANTHROPIC_MODEL: ProfileID}
  templates:
    litellm.yaml: \"model_list: [{model_name: chat, litellm_params: {model: 'bedrock/{{ profile.id }}'}}]\"
rollout:
- {kind: Deployment, name: chat}
suspend: false
",
    ),
    ("an_empty_list_of_targets", "targets: []"),
    ("a_geography_yet_to_come", "geography: sa"),
    ("a_geography_with_a_dash", "geography: us-gov"),
    ("a_model_with_a_context_variant", "model: 'meta.llama3-1-8b-instruct-v1:0:128k'"),
    (
        "every_form_of_limit",
        "allowedRegions: [eu-west-1, us-gov-west-1, eusc-de-east-1, eu-*, '@eu', '@eea', '@uk', '@ch', '@us', '@ca', '@jp', '@au', '@in', '*']",
    ),
    ("limits_with_four_stars", "allowedRegions: ['e*u*-*-*', 'eu-****']"),
    (
        "every_value_name",
        "targets: [{kind: ConfigMap, name: a, keys: {A: ProfileID, B: ProfileARN, C: FoundationModelID, D: FoundationModelARN, E: Provider, F: Geography, G: SourceRegion, H: DestinationRegions, I: RuntimeEndpoint}}]",
    ),
    (
        "a_configmap_and_a_secret_of_one_name",
        "targets: [{kind: ConfigMap, name: a}, {kind: Secret, name: a}]",
    ),
    (
        "reserved_keys_in_a_configmap",
        "targets: [{kind: ConfigMap, name: a, keys: {type: Provider, provider: Provider}}]",
    ),
    (
        "reserved_keys_in_a_merged_secret",
        "targets: [{kind: Secret, name: a, creationPolicy: Merge, keys: {type: Provider, provider: Provider}}]",
    ),
    (
        "roles_of_other_partitions_and_with_a_path",
        "roleARN: 'arn:aws-us-gov:iam::111122223333:role/teams/chat/bedrock-discovery'",
    ),
    // Templates of manifests leave them behind where a value is not given.
    (
        "nulls",
        "
fallback: null
sourceRegion: null
allowedRegions: null
roleARN: null
targets: [{kind: Secret, name: a, creationPolicy: null, keys: null, templates: null}]
rollout: null
suspend: null
",
    ),
];

/// Limits of the schema: two cases each, one at the limit and one just above it.
const LIMITS: &[Limit] = &[
    Limit {
        of: "characters_of_a_model",
        at: "spec.model",
        most: 140,
        fields: |n| json!({"model": format!("anthropic.{}:{}:{}", "a".repeat(63), "b".repeat(63), "c".repeat(n - 138))}),
    },
    Limit {
        of: "characters_of_a_geography",
        at: "spec.geography",
        most: 32,
        fields: |n| json!({"geography": dashed(n)}),
    },
    Limit {
        of: "fallback_geographies",
        at: "spec.fallback.geographies",
        most: 8,
        fields: |n| json!({"fallback": {"geographies": (0..n).map(letters).collect::<Vec<_>>()}}),
    },
    Limit {
        of: "characters_of_a_fallback_geography",
        at: "spec.fallback.geographies[0]",
        most: 32,
        fields: |n| json!({"fallback": {"geographies": [dashed(n)]}}),
    },
    Limit {
        of: "characters_of_a_source_region",
        at: "spec.sourceRegion",
        most: 32,
        fields: |n| json!({"sourceRegion": format!("us-aaaaaaaaaaaa-{}-cc-1", "b".repeat(n - 21))}),
    },
    Limit {
        of: "allowed_regions",
        at: "spec.allowedRegions",
        most: 64,
        fields: |n| json!({"allowedRegions": (0..n).map(|i| format!("eu-{}-1", letters(i))).collect::<Vec<_>>()}),
    },
    Limit {
        of: "characters_of_an_allowed_region",
        at: "spec.allowedRegions[0]",
        most: 32,
        fields: |n| json!({"allowedRegions": [format!("{}*", "e".repeat(n - 1))]}),
    },
    Limit {
        of: "characters_of_a_role",
        at: "spec.roleARN",
        most: 600,
        fields: |n| json!({"roleARN": format!("arn:aws:iam::111122223333:role/{}", "r".repeat(n - 31))}),
    },
    Limit {
        of: "targets",
        at: "spec.targets",
        most: 16,
        fields: |n| json!({"targets": (0..n).map(|i| json!({"kind": "ConfigMap", "name": format!("t{i}")})).collect::<Vec<_>>()}),
    },
    Limit {
        of: "characters_of_a_target_name",
        at: "spec.targets[0].name",
        most: 253,
        fields: |n| target(json!({"name": "t".repeat(n)})),
    },
    Limit {
        of: "keys_of_a_target",
        at: "spec.targets[0].keys",
        most: 64,
        fields: |n| {
            target(
                json!({"keys": (0..n).map(|i| (format!("K{i}"), json!("ProfileID"))).collect::<serde_json::Map<_, _>>()}),
            )
        },
    },
    Limit {
        of: "characters_of_a_key",
        at: "spec.targets[0].keys",
        most: 253,
        fields: |n| target(json!({"keys": {"K".repeat(n): "ProfileID"}})),
    },
    Limit {
        of: "templates_of_a_target",
        at: "spec.targets[0].templates",
        most: 8,
        fields: |n| {
            target(
                json!({"templates": (0..n).map(|i| (format!("f{i}"), json!("x"))).collect::<serde_json::Map<_, _>>()}),
            )
        },
    },
    Limit {
        of: "characters_of_the_key_of_a_template",
        at: "spec.targets[0].templates",
        most: 253,
        fields: |n| target(json!({"templates": {"f".repeat(n): "x"}})),
    },
    Limit {
        of: "bytes_of_a_template",
        at: "spec.targets[0].templates.f",
        most: 16384,
        fields: |n| target(json!({"templates": {"f": "x".repeat(n)}})),
    },
    Limit {
        of: "workloads",
        at: "spec.rollout",
        most: 16,
        fields: |n| json!({"rollout": (0..n).map(|i| json!({"kind": "Deployment", "name": format!("w{i}")})).collect::<Vec<_>>()}),
    },
    Limit {
        of: "characters_of_a_workload_name",
        at: "spec.rollout[0].name",
        most: 253,
        fields: |n| json!({"rollout": [{"kind": "Deployment", "name": "w".repeat(n)}]}),
    },
];

/// A spec that is refused.
struct Refusal {
    name: &'static str,
    fields: &'static str,
    at: &'static str,
    message: &'static str,
}

/// A limit of the schema and how to make a spec of that size.
struct Limit {
    of: &'static str,
    at: &'static str,
    most: usize,
    fields: fn(usize) -> Value,
}

pub fn cases() -> Vec<Case> {
    let mut cases = cases![empty(
        accepts_63_characters_of_a_name,
        refuses_64_characters_of_a_name,
        a_binding_starts_with_observed_generation_minus_one,
        the_status_is_a_subresource,
        bindings_are_selected_by_model_and_geography,
    )];
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

/// Returns the smallest spec with these fields in place of its own.
fn spec(fields: Value) -> Value {
    let mut spec = json!({
        "model": "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "geography": "eu",
    });
    if let (Value::Object(spec), Value::Object(fields)) = (&mut spec, fields) {
        spec.extend(fields);
    }
    spec
}

/// Returns the fields of a spec with one target, made of these fields.
fn target(fields: Value) -> Value {
    let mut target = json!({"kind": "ConfigMap", "name": "a"});
    if let (Value::Object(target), Value::Object(fields)) = (&mut target, fields) {
        target.extend(fields);
    }
    json!({"targets": [target]})
}

/// Returns a word of lower case letters, another one for each number below 676.
fn letters(number: usize) -> String {
    ["abcdefghijklmnopqrstuvwxyz"; 2]
        .iter()
        .zip([number / 26, number % 26])
        .filter_map(|(alphabet, index)| alphabet.chars().nth(index))
        .collect()
}

/// Returns a well-formed geography of this length, between 18 and 50.
fn dashed(length: usize) -> String {
    format!("{}-{}", "a".repeat(16), "b".repeat(length - 17))
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
            destination_regions: vec!["eu-central-1".to_owned(), "eu-west-1".to_owned()],
            ..ProfileStatus::default()
        }),
        ..InferenceProfileBindingStatus::default()
    }
}
