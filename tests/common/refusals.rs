//! What is refused and what is accepted, as data: specs by the schema and the rules of the custom resource definition,
//! manifests by all that `kubectl apply` and the apiserver ask of them. Each case is judged by a real apiserver
//! (tests/apiserver/crd.rs, tests/apiserver/manifests.rs) and by the program (tests/it/input.rs).

use serde_json::{Value, json};

/// Specs that are refused: a case each. The fields replace those of [`spec`]; the message is a part of the whole one.
pub const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "an_empty_model",
        fields: "model: ''",
        at: "spec.model",
        message: "not a foundation model ID: expected PROVIDER.MODEL",
    },
    Refusal {
        name: "a_missing_model",
        fields: "model: null",
        at: "spec",
        message: "model and geography are required: give both, or className or models in their place",
    },
    Refusal {
        name: "a_class_beside_a_model",
        fields: "className: chat",
        at: "spec",
        message: "className takes the place of model, geography and fallback",
    },
    Refusal {
        name: "a_class_beside_a_fallback",
        fields: "{className: chat, model: null, geography: null, fallback: {onDemand: true}}",
        at: "spec",
        message: "className takes the place of model, geography and fallback",
    },
    Refusal {
        name: "a_class_whose_name_is_none",
        fields: "{className: Chat, model: null, geography: null}",
        at: "spec.className",
        message: "not an object name",
    },
    Refusal {
        name: "models_beside_a_model",
        fields: "models: {a: {className: chat}}",
        at: "spec",
        message: "models takes the place of className, model, geography, fallback and application",
    },
    Refusal {
        name: "models_beside_an_application",
        fields: "{model: null, geography: null, application: {name: shop}, models: {a: {className: chat}}}",
        at: "spec",
        message: "models takes the place of",
    },
    Refusal {
        name: "no_models",
        fields: "{model: null, geography: null, models: {}}",
        at: "spec.models",
        message: "no model is given: name at least one",
    },
    Refusal {
        name: "a_name_that_no_variable_can_hold",
        fields: "{model: null, geography: null, models: {a_b: {className: chat}}}",
        at: "spec.models",
        message: "not a name for a model: expected at most 32 lower case letters and digits",
    },
    Refusal {
        name: "one_of_several_models_without_geography",
        fields: "{model: null, geography: null, models: {a: {model: a.b}}}",
        at: "spec.models[a]",
        message: "model and geography are required: give both, or className in their place",
    },
    Refusal {
        name: "one_of_several_models_with_a_class_too",
        fields: "{model: null, geography: null, models: {a: {className: chat, fallback: {onDemand: true}}}}",
        at: "spec.models[a]",
        message: "className takes the place of model, geography and fallback",
    },
    Refusal {
        name: "an_arn_as_one_of_several_models",
        fields: "{model: null, geography: null, models: {a: {model: 'arn:aws:bedrock:us-east-1::foundation-model/a.b', geography: eu}}}",
        at: "spec.models[a].model",
        message: "give the foundation model ID instead of an ARN",
    },
    Refusal {
        name: "a_key_without_the_name_of_a_model",
        fields: "{model: null, geography: null, models: {a: {className: chat}}, targets: [{kind: ConfigMap, name: a, keys: {A: ProfileID}}]}",
        at: "spec",
        message: "with models, each key says of which one it has the value: give the name of a model in spec.models first, as in haiku.ProfileID",
    },
    Refusal {
        name: "a_key_of_a_model_that_is_not_named",
        fields: "{model: null, geography: null, models: {a: {className: chat}}, targets: [{kind: ConfigMap, name: a, keys: {A: b.ProfileID}}]}",
        at: "spec",
        message: "with models, each key says of which one it has the value",
    },
    Refusal {
        name: "a_key_with_the_name_of_a_model_where_there_is_one",
        fields: "targets: [{kind: ConfigMap, name: a, keys: {A: a.ProfileID}}]",
        at: "spec",
        message: "a key asks for a value of a named model, and there is no spec.models",
    },
    Refusal {
        name: "a_preset_that_no_program_has",
        fields: "targets: [{kind: ConfigMap, name: a, preset: Codex}]",
        at: "spec.targets[0].preset",
        message: r#"supported values: "ClaudeCode", "LiteLLM""#,
    },
    Refusal {
        name: "a_preset_beside_keys",
        fields: "targets: [{kind: ConfigMap, name: a, preset: LiteLLM, keys: {A: ProfileID}}]",
        at: "spec.targets[0]",
        message: "preset says what the target holds",
    },
    Refusal {
        name: "a_whole_file_that_is_merged",
        fields: "targets: [{kind: ConfigMap, name: a, preset: LiteLLM, creationPolicy: Merge}]",
        at: "spec.targets[0]",
        message: "the preset LiteLLM needs creationPolicy Owner",
    },
    Refusal {
        name: "claude_code_without_one_of_its_models",
        fields: "{model: null, geography: null, models: {chat: {className: chat}}, targets: [{kind: ConfigMap, name: a, preset: ClaudeCode}]}",
        at: "spec",
        message: "the preset ClaudeCode reads the models default, sonnet, opus, haiku and fable",
    },
    Refusal {
        name: "a_model_without_provider",
        fields: "model: claude-sonnet-4-5",
        at: "spec.model",
        message: "expected PROVIDER.MODEL in lower case, such as anthropic.claude-sonnet-5-5",
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
        name: "an_application_without_a_name",
        fields: "application: {}",
        at: "spec.application.name",
        message: "Required value",
    },
    Refusal {
        name: "an_arn_as_application",
        fields: "application: {name: 'arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1'}",
        at: "spec.application.name",
        message: "give the name of the application inference profile instead of its ARN",
    },
    Refusal {
        name: "an_empty_name_of_an_application",
        fields: "application: {name: ''}",
        at: "spec.application.name",
        message: "expected at most 64 letters and digits, with single spaces, _ and - after them, such as shop-chat",
    },
    Refusal {
        name: "an_application_with_two_separators",
        fields: "application: {name: shop--chat}",
        at: "spec.application.name",
        message: "not the name of an application inference profile",
    },
    Refusal {
        name: "an_application_with_too_long_a_name",
        fields: "application: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
        at: "spec.application.name",
        message: "not the name of an application inference profile: expected at most 64 letters",
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
        // What follows differs between versions of Kubernetes.
        message: "Duplicate value: ",
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
        at: "spec.targets[0].keys[MODEL]",
        message: "not the name of a value: expected one of ProfileID, ProfileARN,",
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
        name: "a_label_of_the_operator",
        fields: "targets: [{kind: ConfigMap, name: a, metadata: {labels: {inferenceprofiles.dev/managed: 'false'}}}]",
        at: "spec.targets[0].metadata.labels",
        message: "labels and annotations of inferenceprofiles.dev are set by the operator",
    },
    Refusal {
        name: "an_annotation_of_a_subdomain_of_the_operator",
        fields: "targets: [{kind: ConfigMap, name: a, metadata: {annotations: {team: a, rollout.inferenceprofiles.dev/a: b}}}]",
        at: "spec.targets[0].metadata.annotations",
        message: "labels and annotations of inferenceprofiles.dev are set by the operator",
    },
    Refusal {
        name: "a_label_whose_key_is_none",
        fields: "targets: [{kind: ConfigMap, name: a, metadata: {labels: {Example.com/team: a}}}]",
        at: "spec.targets[0].metadata.labels",
        message: "not a valid key: expected a name of at most 63 letters, digits, -, _ and .",
    },
    Refusal {
        name: "an_annotation_whose_key_is_none",
        fields: "targets: [{kind: ConfigMap, name: a, metadata: {annotations: {a/b/c: a}}}]",
        at: "spec.targets[0].metadata.annotations",
        message: "not a valid key: expected a name of at most 63 letters, digits, -, _ and .",
    },
    Refusal {
        name: "a_label_with_a_value_that_is_none",
        fields: "targets: [{kind: ConfigMap, name: a, metadata: {labels: {team: a b}}}]",
        at: "spec.targets[0].metadata.labels[team]",
        message: "not a valid label: expected at most 63 letters, digits, -, _ and .",
    },
    Refusal {
        name: "metadata_under_merge",
        fields: "targets: [{kind: ConfigMap, name: a, creationPolicy: Merge, metadata: {labels: {team: a}}}]",
        at: "spec.targets[0]",
        message: "metadata needs creationPolicy Owner",
    },
    Refusal {
        name: "an_unknown_deletion_policy",
        fields: "deletionPolicy: Retain",
        at: "spec.deletionPolicy",
        message: r#"supported values: "Delete", "Orphan""#,
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
pub const ACCEPTED: &[(&str, &str)] = &[
    ("the_smallest_spec", "{}"),
    (
        "a_class",
        "{className: chat, model: null, geography: null, fallback: null}",
    ),
    (
        "a_class_with_an_application",
        "{className: chat, model: null, geography: null, application: {name: shop-chat}}",
    ),
    (
        "several_models",
        "
model: null
geography: null
models:
  default: {className: chat}
  small-fast-2: {model: a.b, geography: eu, fallback: {geographies: [global], models: [a.c], onDemand: true}, application: {name: shop}}
targets:
- {kind: ConfigMap, name: a, keys: {A: default.ProfileID, B: small-fast-2.InvocationID}, templates: {f: '{{ models }}'}}
- {kind: ConfigMap, name: b, preset: ClaudeCode, creationPolicy: Merge}
- {kind: Secret, name: c, preset: LiteLLM}
",
    ),
    (
        "presets_of_one_model",
        "targets: [{kind: ConfigMap, name: a, preset: ClaudeCode}, {kind: ConfigMap, name: b, preset: LiteLLM}]",
    ),
    (
        "everything_that_can_be_said",
        "
geography: jp
fallback: {geographies: [apac], onDemand: false}
sourceRegion: ap-northeast-1
application: {name: Shop Chat_1-}
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
        "targets: [{kind: ConfigMap, name: a, keys: {A: ProfileID, B: ProfileARN, C: FoundationModelID, D: FoundationModelARN, E: Provider, F: Geography, G: SourceRegion, H: DestinationRegions, I: RuntimeEndpoint, J: OpenAIBaseURL, K: AnthropicBaseURL}}]",
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
    (
        "labels_and_annotations",
        "targets: [{kind: ConfigMap, name: a, metadata: {labels: {app.kubernetes.io/part-of: chat, empty: '', Team_1.x: a.B_c}, annotations: {example.com/note: 'a b: c', inferenceprofiles.dev.example.com/a: ''}}}]",
    ),
    (
        "no_labels_and_annotations",
        "targets: [{kind: ConfigMap, name: a, metadata: {labels: {}, annotations: null}}, {kind: ConfigMap, name: b, metadata: {}}]",
    ),
    ("orphans", "deletionPolicy: Orphan"),
    // Templates of manifests leave them behind where a value is not given.
    (
        "nulls",
        "
fallback: null
sourceRegion: null
allowedRegions: null
roleARN: null
targets: [{kind: Secret, name: a, creationPolicy: null, keys: null, templates: null, metadata: null}]
deletionPolicy: null
rollout: null
suspend: null
",
    ),
];

/// Limits of the schema: two cases each, one at the limit and one just above it.
pub const LIMITS: &[Limit] = &[
    Limit {
        of: "characters_of_a_model",
        at: "spec.model",
        most: 140,
        fields: |n| json!({"model": format!("anthropic.{}:{}:{}", "a".repeat(63), "b".repeat(63), "c".repeat(n - 138))}),
    },
    Limit {
        of: "models",
        at: "spec.models",
        most: 16,
        fields: |n| json!({"model": null, "geography": null, "models": (0..n).map(|i| (letters(i), json!({"className": "chat"}))).collect::<serde_json::Map<_, _>>()}),
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
        of: "labels_of_a_target",
        at: "spec.targets[0].metadata.labels",
        most: 32,
        fields: |n| target(json!({"metadata": {"labels": entries(n)}})),
    },
    Limit {
        of: "annotations_of_a_target",
        at: "spec.targets[0].metadata.annotations",
        most: 32,
        fields: |n| target(json!({"metadata": {"annotations": entries(n)}})),
    },
    Limit {
        of: "characters_of_a_label",
        at: "spec.targets[0].metadata.labels.a",
        most: 63,
        fields: |n| target(json!({"metadata": {"labels": {"a": "b".repeat(n)}}})),
    },
    Limit {
        of: "characters_of_an_annotation",
        at: "spec.targets[0].metadata.annotations.a",
        most: 1024,
        fields: |n| target(json!({"metadata": {"annotations": {"a": "b".repeat(n)}}})),
    },
    Limit {
        of: "characters_of_the_name_of_a_label",
        at: "spec.targets[0].metadata.labels",
        most: 63,
        fields: |n| target(json!({"metadata": {"labels": {"b".repeat(n): "a"}}})),
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
pub struct Refusal {
    pub name: &'static str,
    pub fields: &'static str,
    pub at: &'static str,
    pub message: &'static str,
}

/// A limit of the schema and how to make a spec of that size.
pub struct Limit {
    pub of: &'static str,
    pub at: &'static str,
    pub most: usize,
    pub fields: fn(usize) -> Value,
}

/// Returns the smallest spec with these fields in place of its own.
pub fn spec(fields: Value) -> Value {
    let mut spec = json!({
        "model": "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "geography": "eu",
    });
    if let (Value::Object(spec), Value::Object(fields)) = (&mut spec, fields) {
        spec.extend(fields);
    }
    spec
}

/// Returns a binding of this spec.
pub fn binding(spec: &Value) -> Value {
    json!({
        "apiVersion": "inferenceprofiles.dev/v1alpha1",
        "kind": "InferenceProfileBinding",
        "metadata": {"name": "a"},
        "spec": spec,
    })
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

/// Returns as many entries with short keys and values.
fn entries(count: usize) -> Value {
    let entries = (0..count).map(|i| (format!("k{i}"), json!("v")));
    Value::Object(entries.collect())
}

/// A binding in its smallest form. Manifests are made of it by a replacement.
const MANIFEST: &str = "apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: a}
spec: {model: anthropic.claude-sonnet-4-5-20250929-v1:0, geography: eu}
";

/// A manifest that is refused: what stands in it in place of a part of [`MANIFEST`], and what is said then.
pub struct RefusedManifest {
    pub name: &'static str,
    pub replaced: &'static str,
    pub by: &'static str,
    /// A part of what kubectl says, in the apiserver's words or its own.
    pub kubectl: &'static str,
    /// A part of what the program says.
    pub render: &'static str,
}

impl RefusedManifest {
    pub fn text(&self) -> String {
        replaced(self.replaced, self.by)
    }
}

/// Returns the manifest with a part replaced.
pub fn replaced(part: &str, by: &str) -> String {
    assert!(MANIFEST.contains(part), "{part}");
    MANIFEST.replace(part, by)
}

const fn refused(
    name: &'static str,
    replaced: &'static str,
    by: &'static str,
    kubectl: &'static str,
    render: &'static str,
) -> RefusedManifest {
    RefusedManifest {
        name,
        replaced,
        by,
        kubectl,
        render,
    }
}

/// Manifests that are refused.
pub const REFUSED_MANIFESTS: &[RefusedManifest] = &[
    refused(
        "a_mistyped_field_of_the_spec",
        "geography: eu",
        "geography: eu, allowedregions: ['@eu']",
        r#"unknown field "spec.allowedregions""#,
        "spec.allowedregions: unknown field: did you mean allowedRegions?",
    ),
    refused(
        "a_mistyped_field_that_is_required",
        "geography: eu",
        "geografy: eu",
        r#"unknown field "spec.geografy""#,
        "spec.geografy: unknown field: did you mean geography?",
    ),
    refused(
        "a_field_at_the_wrong_level",
        "geography: eu",
        "geography: eu, onDemand: true",
        r#"unknown field "spec.onDemand""#,
        "spec.onDemand: unknown field: it belongs to spec.fallback",
    ),
    refused(
        "an_unknown_field_in_a_fallback",
        "geography: eu",
        "geography: eu, fallback: {geographys: [us]}",
        r#"unknown field "spec.fallback.geographys""#,
        "spec.fallback.geographys: unknown field: did you mean geographies?",
    ),
    refused(
        "an_unknown_field_in_a_target",
        "geography: eu",
        "geography: eu, targets: [{kind: ConfigMap, name: a, key: {A: ProfileID}}]",
        r#"unknown field "spec.targets[0].key""#,
        "spec.targets[0].key: unknown field: did you mean keys?",
    ),
    refused(
        "an_unknown_field_in_a_workload",
        "geography: eu",
        "geography: eu, rollout: [{kind: Deployment, name: a, namespace: b}]",
        r#"unknown field "spec.rollout[0].namespace""#,
        "spec.rollout[0].namespace: unknown field: known here: kind, name",
    ),
    refused(
        "an_unknown_field_of_the_object",
        "metadata:",
        "data: {}\nmetadata:",
        r#"unknown field "data""#,
        "data: unknown field",
    ),
    refused(
        "an_unknown_field_of_metadata",
        "name: a",
        "name: a, label: {team: shop}",
        r#"unknown field "metadata.label""#,
        "metadata.label: unknown field: did you mean labels?",
    ),
    refused(
        "an_unknown_field_of_the_status",
        "metadata:",
        "status: {ready: true}\nmetadata:",
        r#"unknown field "status.ready""#,
        "status.ready: unknown field",
    ),
    refused(
        "no_spec",
        "spec: {model: anthropic.claude-sonnet-4-5-20250929-v1:0, geography: eu}",
        "",
        "spec: Required value",
        "spec: Required value",
    ),
    refused(
        "a_spec_that_is_null",
        "spec: {model: anthropic.claude-sonnet-4-5-20250929-v1:0, geography: eu}",
        "spec:",
        "spec: Required value",
        "spec: Required value",
    ),
    refused(
        "a_spec_that_is_a_list",
        "spec: {model: anthropic.claude-sonnet-4-5-20250929-v1:0, geography: eu}",
        "spec: []",
        "must be of type object",
        "spec: Invalid value: [...]: must be of type object, and is array",
    ),
    refused(
        "an_empty_spec",
        "spec: {model: anthropic.claude-sonnet-4-5-20250929-v1:0, geography: eu}",
        "spec: {}",
        "model and geography are required",
        "spec: Invalid value: model and geography are required",
    ),
    refused(
        "a_number_as_geography",
        "geography: eu",
        "geography: 1",
        "must be of type string",
        "spec.geography: Invalid value: 1: must be of type string, and is integer: put it into quotes",
    ),
    refused(
        "no_as_geography",
        "geography: eu",
        "geography: no",
        "must be of type string",
        "spec.geography: Invalid value: false: must be of type string, and is boolean: put it into quotes",
    ),
    refused(
        "a_string_where_a_list_is_expected",
        "geography: eu",
        "geography: eu, allowedRegions: '@eu'",
        "must be of type array",
        "spec.allowedRegions: Invalid value: \"@eu\": must be of type array, and is string",
    ),
    refused(
        "a_boolean_in_quotes",
        "geography: eu",
        "geography: eu, suspend: 'true'",
        "must be of type boolean",
        "spec.suspend: Invalid value: \"true\": must be of type boolean, and is string: leave out the quotes",
    ),
    refused(
        "a_null_in_a_list",
        "geography: eu",
        "geography: eu, targets: [null]",
        "must be of type object",
        "spec.targets[0]: Invalid value: null: must be of type object, and is null",
    ),
    refused(
        "a_null_in_a_set",
        "geography: eu",
        "geography: eu, allowedRegions: [null]",
        "must be of type string",
        "spec.allowedRegions[0]: Invalid value: null: must be of type string",
    ),
    refused(
        "a_required_field_of_a_target_that_is_null",
        "geography: eu",
        "geography: eu, targets: [{kind: ConfigMap, name: null}]",
        "spec.targets[0].name: Required value",
        "spec.targets[0].name: Required value",
    ),
    refused(
        "keys_that_are_all_null",
        "geography: eu",
        "geography: eu, targets: [{kind: ConfigMap, name: a, keys: {A: null}}]",
        "no key is given",
        "spec.targets[0].keys: Invalid value: no key is given",
    ),
    refused(
        "another_version",
        "v1alpha1",
        "v1",
        r#"no matches for kind "InferenceProfileBinding" in version "inferenceprofiles.dev/v1""#,
        "apiVersion: \"inferenceprofiles.dev/v1\" is not available: use inferenceprofiles.dev/v1alpha1",
    ),
    refused(
        "another_group",
        "inferenceprofiles.dev",
        "inferenceprofile.dev",
        r#"no matches for kind "InferenceProfileBinding" in version "inferenceprofile.dev/v1alpha1""#,
        "is not available: use inferenceprofiles.dev/v1alpha1",
    ),
    refused(
        "another_kind",
        "kind: InferenceProfileBinding",
        "kind: InferenceProfileBindings",
        r#"no matches for kind "InferenceProfileBindings""#,
        "kind: \"InferenceProfileBindings\" is not a kind of inferenceprofiles.dev/v1alpha1: use InferenceProfileBinding",
    ),
    refused(
        "a_kind_in_lower_case",
        "kind: InferenceProfileBinding",
        "kind: inferenceprofilebinding",
        "must be InferenceProfileBinding",
        "kind: \"inferenceprofilebinding\" is not a kind",
    ),
    refused(
        "no_kind",
        "kind: InferenceProfileBinding",
        "",
        "kind not set",
        "kind: Required value",
    ),
    refused(
        "no_version",
        "apiVersion: inferenceprofiles.dev/v1alpha1",
        "",
        "apiVersion not set",
        "apiVersion: Required value",
    ),
    refused(
        "a_name_that_is_no_dns_name",
        "name: a",
        "name: Chat_Model",
        "metadata.name: Invalid value: \"Chat_Model\"",
        "metadata.name: Invalid value: \"Chat_Model\": not an object name",
    ),
    refused(
        "a_name_of_64_characters",
        "name: a",
        "name: nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
        "metadata.name: the name of a binding has at most 63 characters",
        "metadata.name: the name of a binding has at most 63 characters",
    ),
    refused(
        "a_name_that_is_a_number",
        "name: a",
        "name: 12",
        "cannot unmarshal number",
        "metadata.name: Invalid value: 12: must be of type string",
    ),
    refused(
        "no_name",
        "name: a",
        "",
        "resource name may not be empty",
        "metadata.name: Required value",
    ),
    refused(
        "a_name_that_only_a_cluster_knows",
        "name: a",
        "generateName: a-",
        "cannot use generate name with apply",
        "metadata.name: Required value",
    ),
    refused(
        "no_metadata",
        "metadata: {name: a}",
        "",
        "resource name may not be empty",
        "metadata.name: Required value",
    ),
    refused(
        "metadata_that_is_a_string",
        "metadata: {name: a}",
        "metadata: a",
        "cannot unmarshal string",
        "metadata: Invalid value: \"a\": must be of type object",
    ),
    refused(
        "a_label_that_is_a_boolean",
        "name: a",
        "name: a, labels: {on-call: yes}",
        "cannot unmarshal bool",
        "metadata.labels[\"on-call\"]: Invalid value: true: must be of type string, and is boolean: put it into quotes",
    ),
    refused(
        "an_annotation_that_is_a_number",
        "name: a",
        "name: a, annotations: {inferenceprofiles.dev/refresh: 0755}",
        "cannot unmarshal number",
        "metadata.annotations[\"inferenceprofiles.dev/refresh\"]: Invalid value: 493: must be of type string",
    ),
    refused(
        "labels_that_are_a_list",
        "name: a",
        "name: a, labels: [a]",
        "cannot unmarshal array",
        "metadata.labels: Invalid value: [...]: must be of type object",
    ),
    refused(
        "a_label_with_a_space",
        "name: a",
        "name: a, labels: {team: the shop}",
        "metadata.labels: Invalid value: \"the shop\"",
        "metadata.labels.team: Invalid value: \"the shop\": not a valid label",
    ),
    refused(
        "a_label_whose_key_has_a_space",
        "name: a",
        "name: a, labels: {the team: shop}",
        "metadata.labels: Invalid value: \"the team\"",
        "metadata.labels: Invalid value: \"the team\": not a valid key",
    ),
    refused(
        "a_label_whose_key_is_in_upper_case",
        "name: a",
        "name: a, labels: {Example.com/team: shop}",
        "metadata.labels: Invalid value: \"Example.com/team\"",
        "metadata.labels: Invalid value: \"Example.com/team\": not a valid key",
    ),
    refused(
        "an_annotation_whose_key_has_a_space",
        "name: a",
        "name: a, annotations: {the team: shop}",
        "metadata.annotations: Invalid value: \"the team\"",
        "metadata.annotations: Invalid value: \"the team\": not a valid key",
    ),
    refused(
        "a_time_that_is_not_one",
        "name: a",
        "name: a, creationTimestamp: today",
        "cannot parse",
        "metadata.creationTimestamp: Invalid value: \"today\": not a time",
    ),
    refused(
        "an_owner_without_a_uid",
        "name: a",
        "name: a, ownerReferences: [{apiVersion: v1, kind: Pod, name: a}]",
        // What follows differs between versions of Kubernetes.
        "metadata.ownerReferences",
        "metadata.ownerReferences[0].uid: Required value",
    ),
    refused(
        "infinity_as_a_number",
        "name: a",
        "name: a, annotations: {a: .inf}",
        "unsupported value: +Inf",
        "is not a finite number",
    ),
    refused(
        "a_tab_for_indentation",
        "metadata: {name: a}",
        "metadata:\n\tname: a",
        "found character that cannot start any token",
        "line 4: it is indented by a tab: YAML allows spaces only",
    ),
];

/// Returns the exit code of `render` for a manifest that is accepted: a suspended binding is not Ready.
pub fn rendered_code(accepted: &str) -> i32 {
    if accepted.contains("suspend: ") { 3 } else { 0 }
}

/// Manifests that are accepted: a name, and what is replaced by what.
pub const ACCEPTED_MANIFESTS: &[(&str, &str, &str)] = &[
    ("the_smallest_manifest", "", ""),
    (
        "a_status_of_known_fields",
        "metadata:",
        "status: {observedGeneration: x}\nmetadata:",
    ),
    (
        "a_status_that_is_not_an_object",
        "metadata:",
        "status: 3\nmetadata:",
    ),
    (
        "yes_as_a_boolean",
        "geography: eu",
        "geography: eu, suspend: yes",
    ),
    (
        "on_as_a_boolean",
        "geography: eu",
        "geography: eu, suspend: on",
    ),
    (
        "y_as_a_boolean",
        "geography: eu",
        "geography: eu, suspend: y",
    ),
    (
        "a_null_among_keys",
        "geography: eu",
        "geography: eu, targets: [{kind: ConfigMap, name: a, keys: {A: null, B: ProfileID}}]",
    ),
    ("a_name_with_dots", "name: a", "name: a.b"),
    (
        "a_date_and_a_time_as_strings",
        "name: a",
        "name: a, annotations: {day: 2001-01-01, hour: 12:30}",
    ),
    (
        "a_key_that_is_a_number",
        "name: a",
        "name: a, annotations: {1: a}",
    ),
    (
        "a_key_of_an_annotation_in_upper_case",
        "name: a",
        "name: a, annotations: {Example.com/team: shop}",
    ),
    (
        "nulls_in_metadata",
        "name: a",
        "name: a, creationTimestamp: null, finalizers: null, labels: {a: null}, annotations: null",
    ),
    (
        "what_a_cluster_adds",
        "name: a",
        "name: a, uid: 5f9c0c6e-7a4c-4a5e-9a52-0d1f4b1d9f3b, generation: 3, creationTimestamp: '2026-01-02T03:04:05Z', selfLink: x, managedFields: []",
    ),
    (
        "json",
        MANIFEST,
        r#"{"apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": "InferenceProfileBinding",
	"metadata": {"name": "a"}, "spec": {"model": "anthropic.claude-sonnet-4-5-20250929-v1:0", "geography": "eu"}}"#,
    ),
];
