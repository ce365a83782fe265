//! Every reason of the conditions: what provokes it, what it says, and what cures it.

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::ConfigMap,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, case, cases},
    operator::{ACCOUNT, FAILURES, Options, SONNET, Script, condition},
    stage::{EU, GLOBAL, ID, REGION, Stage, embedded, empty, live, message, verdict},
    support::eventually,
    targets::ALLOW,
};

/// A request to the embedded catalog and what comes of it: a case each.
struct Answer {
    name: &'static str,
    spec: fn() -> Value,
    condition: &'static str,
    status: &'static str,
    reason: Reason,
    /// Parts of the message.
    says: &'static [&'static str],
    /// Whether Ready says the same.
    not_ready: bool,
}

const ANSWERS: &[Answer] = &[
    Answer {
        name: "profile_found",
        spec: || json!({"model": SONNET, "geography": "eu"}),
        condition: "RegionSupported",
        status: "True",
        reason: Reason::ProfileFound,
        says: &[EU, "callable from eu-west-1"],
        not_ready: false,
    },
    Answer {
        name: "fallback_geography_used",
        spec: || json!({"model": SONNET, "geography": "jp", "fallback": {"geographies": ["eu", "global"]}}),
        condition: "RegionSupported",
        status: "True",
        reason: Reason::FallbackGeographyUsed,
        says: &[
            EU,
            "by fallback to eu",
            "jp: callable only from ap-northeast-1, ap-northeast-3",
        ],
        not_ready: false,
    },
    Answer {
        name: "fallback_that_breaks_a_limit_is_passed_over",
        spec: || json!({"model": SONNET, "geography": "jp", "fallback": {"geographies": ["global"]}, "allowedRegions": ["@eu"]}),
        condition: "RegionSupported",
        status: "False",
        reason: Reason::GeographyUnsupported,
        says: &["fallback global passed over", "residency limit"],
        not_ready: true,
    },
    Answer {
        name: "source_region_unsupported",
        spec: || json!({"model": SONNET, "geography": "eu", "sourceRegion": "eu-central-9"}),
        condition: "RegionSupported",
        status: "False",
        reason: Reason::SourceRegionUnsupported,
        says: &["eu-central-9", "eu-central-1", "set sourceRegion"],
        not_ready: true,
    },
    Answer {
        name: "geography_unsupported",
        spec: || json!({"model": SONNET, "geography": "jp"}),
        condition: "RegionSupported",
        status: "False",
        reason: Reason::GeographyUnsupported,
        says: &[
            "no jp profile",
            "from there: eu, global",
            "jp is callable from: ap-northeast-1, ap-northeast-3",
        ],
        not_ready: true,
    },
    Answer {
        name: "model_unsupported_names_the_nearest",
        spec: || json!({"model": "anthropic.claude-sonet-4-5-20250929-v1:0", "geography": "eu"}),
        condition: "RegionSupported",
        status: "False",
        reason: Reason::ModelUnsupported,
        says: &["nearest model IDs: anthropic.claude-sonnet-4-5-20250929-v1:0"],
        not_ready: true,
    },
    Answer {
        name: "model_unsupported_dates_a_retired_model_and_names_successors",
        spec: || json!({"model": "anthropic.claude-3-7-sonnet-20250219-v1:0", "geography": "eu"}),
        condition: "RegionSupported",
        status: "False",
        reason: Reason::ModelUnsupported,
        says: &[
            "last listed on 2026-04-25",
            "successors: anthropic.claude-sonnet-",
        ],
        not_ready: true,
    },
    Answer {
        name: "no_limit_set",
        spec: || json!({"model": SONNET, "geography": "eu"}),
        condition: "ResidencySatisfied",
        status: "True",
        reason: Reason::NoLimitSet,
        says: &["eu-west-1", "no limit"],
        not_ready: false,
    },
    Answer {
        name: "all_regions_allowed",
        spec: || json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]}),
        condition: "ResidencySatisfied",
        status: "True",
        reason: Reason::AllRegionsAllowed,
        says: &["called from eu-west-1"],
        not_ready: false,
    },
    Answer {
        name: "region_not_allowed",
        spec: || json!({"model": SONNET, "geography": "eu", "sourceRegion": "eu-west-2", "allowedRegions": ["@eu"]}),
        condition: "ResidencySatisfied",
        status: "False",
        reason: Reason::RegionNotAllowed,
        says: &["not allowed by spec.allowedRegions: eu-west-2"],
        not_ready: true,
    },
    Answer {
        name: "region_not_allowed_for_a_global_profile",
        spec: || json!({"model": SONNET, "geography": "global", "allowedRegions": ["eu-*", "us-*", "ap-*"]}),
        condition: "ResidencySatisfied",
        status: "False",
        reason: Reason::RegionNotAllowed,
        says: &["spec.allowedRegions", "any"],
        not_ready: true,
    },
    Answer {
        name: "no_profile_to_judge",
        spec: || json!({"model": SONNET, "geography": "jp", "allowedRegions": ["@eu"]}),
        condition: "ResidencySatisfied",
        status: "Unknown",
        reason: Reason::NoProfile,
        says: &["no profile"],
        not_ready: false,
    },
    Answer {
        name: "no_profile_to_write",
        spec: || json!({"model": SONNET, "geography": "jp"}),
        condition: "TargetsSynced",
        status: "Unknown",
        reason: Reason::NoProfile,
        says: &["no value"],
        not_ready: false,
    },
    Answer {
        name: "synced",
        spec: || json!({"model": SONNET, "geography": "eu", "targets": [{"kind": "ConfigMap", "name": "a"}, {"kind": "ConfigMap", "name": "b"}]}),
        condition: "TargetsSynced",
        status: "True",
        reason: Reason::Synced,
        says: &["ConfigMap a", "ConfigMap b"],
        not_ready: false,
    },
    Answer {
        name: "template_invalid",
        spec: || {
            targets(
                &json!([{"kind": "ConfigMap", "name": "a", "templates": {"conf": "first\n{{ profile.idd }}"}}]),
            )
        },
        condition: "TargetsSynced",
        status: "False",
        reason: Reason::TemplateInvalid,
        says: &["ConfigMap a", "conf", "line 2", "profile.id"],
        not_ready: true,
    },
    Answer {
        name: "template_that_never_ends",
        spec: || {
            targets(
                &json!([{"kind": "ConfigMap", "name": "a", "templates": {"conf": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"}}]),
            )
        },
        condition: "TargetsSynced",
        status: "False",
        reason: Reason::TemplateInvalid,
        says: &["too many steps"],
        not_ready: true,
    },
    Answer {
        name: "secrets_disabled",
        spec: || targets(&json!([{"kind": "Secret", "name": "a"}])),
        condition: "TargetsSynced",
        status: "False",
        reason: Reason::SecretsDisabled,
        says: &["Secret a", "--enable-secrets"],
        not_ready: true,
    },
    Answer {
        name: "snapshot",
        spec: || json!({"model": SONNET, "geography": "eu"}),
        condition: "CatalogFresh",
        status: "True",
        reason: Reason::Snapshot,
        says: &["eu-west-1", "embedded", "2026-"],
        not_ready: false,
    },
];

pub fn cases() -> Vec<Case> {
    let mut cases = cases![
        empty(
            pending_then_fresh,
            catalog_unavailable_names_the_snapshot,
            region_not_allowed_by_the_operator,
            target_forbidden_without_rights,
            a_renewed_catalog_cures_stalled,
        ),
        live(
            role_not_allowed,
            live_source_region_without_profiles,
            value_available_from_a_live_account,
            suspended_is_neither_reconciling_nor_stalled,
        ),
        embedded(
            ready_follows_the_first_that_is_not_true,
            target_conflict_with_an_object_of_others,
            target_conflict_over_a_merged_key,
            target_forbidden_without_consent,
            target_forbidden_by_an_admission_policy,
            target_not_found,
            target_invalid_where_it_is_immutable,
            value_unavailable_is_cured_by_an_account,
            secrets_disabled_is_cured_by_the_flag,
            retrying,
            one_bad_target_holds_up_no_other,
        ),
    ];
    for (name, break_it, reason) in FAILURES {
        cases.push(case!(
            empty,
            format!("first_listing_while_aws_is_{name}"),
            first_listing_fails(break_it, reason)
        ));
    }
    for answer in ANSWERS {
        cases.push(case!(embedded, answer.name, given_answer(answer)));
    }
    cases
}

/// Returns a spec that resolves, with these targets.
fn targets(targets: &Value) -> Value {
    json!({"model": SONNET, "geography": "eu", "targets": targets})
}

/// Asserts what holds of every binding: all conditions are there, Ready follows the first that is not True, and kstatus
/// is told just one thing.
async fn assert_coherent(stage: &Stage, name: &str) {
    let binding = stage.observed(name).await;
    let ready = condition(&binding, "Ready").expect("Ready");
    let first = ["RegionSupported", "ResidencySatisfied", "TargetsSynced"]
        .into_iter()
        .map(|kind| condition(&binding, kind).expect(kind))
        .find(|(status, _, _)| status != "True");
    match first {
        Some(first) => assert_eq!(ready, first),
        None => assert_eq!((ready.0.as_str(), ready.1.as_str()), ("True", "Bound")),
    }
    assert!(condition(&binding, "CatalogFresh").is_some());
    let progress = |kind: &str| condition(&binding, kind).map(|(status, _, _)| status);
    let (reconciling, stalled) = (progress("Reconciling"), progress("Stalled"));
    let expected = match ready.0.as_str() {
        _ if progress("Suspended").is_some() => (None, None),
        "True" => (None, None),
        "False" => (None, Some("True".to_owned())),
        _ => (Some("True".to_owned()), None),
    };
    assert_eq!((reconciling, stalled), expected, "{binding:#?}");
    let conditions = binding.status.expect("a status").conditions;
    for condition in conditions {
        assert_eq!(
            condition.observed_generation, binding.metadata.generation,
            "{condition:?}"
        );
    }
}

async fn given_answer(stage: &Stage, answer: &Answer) {
    stage.bind("claude", (answer.spec)()).await;
    let said = stage
        .until("claude", answer.condition, answer.status, answer.reason)
        .await;
    for part in answer.says {
        assert!(said.contains(part), "{part:?} in {said:?}");
    }
    if answer.not_ready {
        stage
            .until("claude", "Ready", answer.status, answer.reason)
            .await;
    }
    assert_coherent(stage, "claude").await;
}

async fn pending_then_fresh(stage: &mut Stage) {
    stage.script.falls_silent();
    stage.start(stage.options());
    stage.bind("claude", targets(&json!([]))).await;
    let why = stage
        .until("claude", "Ready", "Unknown", Reason::Pending)
        .await;
    assert!(why.contains(REGION), "{why}");
    stage
        .until("claude", "CatalogFresh", "Unknown", Reason::Pending)
        .await;
    assert_coherent(stage, "claude").await;
    assert_eq!(stage.config_map("claude").await, None);
    stage.script.answers_again();
    stage.ready("claude").await;
    stage
        .until("claude", "CatalogFresh", "True", Reason::Fresh)
        .await;
    assert_coherent(stage, "claude").await;
    assert_eq!(
        stage.events("claude").await,
        [],
        "a first success is no event"
    );
}

async fn first_listing_fails(stage: &mut Stage, break_it: fn(&Script, &str), reason: Reason) {
    break_it(&stage.script, REGION);
    stage.start(stage.options());
    stage.bind("claude", targets(&json!([]))).await;
    let why = stage.until("claude", "CatalogFresh", "False", reason).await;
    assert!(why.contains("by script"), "{why}");
    stage
        .until("claude", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    assert_coherent(stage, "claude").await;
    assert_eq!(stage.config_map("claude").await, None);
    stage.script.recovers(REGION);
    stage.ready("claude").await;
    assert_coherent(stage, "claude").await;
}

async fn catalog_unavailable_names_the_snapshot(stage: &mut Stage) {
    stage.script.denies(REGION);
    stage.start(stage.options());
    stage.bind("claude", targets(&json!([]))).await;
    let why = stage
        .until(
            "claude",
            "RegionSupported",
            "Unknown",
            Reason::CatalogUnavailable,
        )
        .await;
    assert!(
        why.contains("denied by script") && why.contains(EU) && why.contains("--catalog embedded"),
        "{why}"
    );
    stage
        .bind("jp", json!({"model": SONNET, "geography": "jp"}))
        .await;
    let why = stage
        .until(
            "jp",
            "RegionSupported",
            "Unknown",
            Reason::CatalogUnavailable,
        )
        .await;
    assert!(why.contains("no jp profile"), "{why}");
}

async fn role_not_allowed(stage: &Stage) {
    let role = "arn:aws:iam::444455556666:role/discovery";
    stage
        .bind(
            "claude",
            json!({"model": SONNET, "geography": "eu", "roleARN": role}),
        )
        .await;
    let why = stage
        .until("claude", "CatalogFresh", "False", Reason::RoleNotAllowed)
        .await;
    assert!(why.contains("allows no roles"), "{why}");
    assert!(
        stage.script.log().keys().all(|key| key.role.is_none()),
        "nobody is asked"
    );
    stage
        .until("claude", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    // Without the role the operator's own listing is used.
    stage.edit("claude", json!({"roleARN": null})).await;
    stage.ready("claude").await;
    // With another role's account the written value contradicts the spec, and nothing is known of that: it stays.
    stage.edit("claude", json!({"roleARN": role})).await;
    stage
        .until("claude", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert_coherent(stage, "claude").await;
}

async fn live_source_region_without_profiles(stage: &Stage) {
    stage.script.lists("me-south-1", Vec::new());
    stage
        .bind(
            "claude",
            json!({"model": SONNET, "geography": "eu", "sourceRegion": "me-south-1"}),
        )
        .await;
    let why = stage
        .until("claude", "Ready", "False", Reason::SourceRegionUnsupported)
        .await;
    assert!(why.contains("me-south-1"), "{why}");
    stage
        .until_events("claude", &[("Warning", "SourceRegionUnsupported", 1)])
        .await;
    assert_coherent(stage, "claude").await;
}

async fn region_not_allowed_by_the_operator(stage: &mut Stage) {
    let options = Options {
        allowed_regions: vec!["us-*"],
        ..Options::default()
    };
    stage.start(options);
    // Every limit must hold: a wide one of the binding does not widen the operator's.
    stage
        .bind(
            "claude",
            json!({"model": SONNET, "geography": "eu", "allowedRegions": ["*"]}),
        )
        .await;
    let why = stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert!(
        why.contains("the operator's --allowed-regions") && why.contains("eu-west-1"),
        "{why}"
    );
    assert_eq!(stage.config_map("claude").await, None);
    assert_coherent(stage, "claude").await;
}

async fn ready_follows_the_first_that_is_not_true(stage: &Stage) {
    // Not allowed, and a Secret: residency stands before targets, support before both.
    let secret = json!([{"kind": "Secret", "name": "a"}]);
    let spec =
        json!({"model": SONNET, "geography": "jp", "allowedRegions": ["us-*"], "targets": secret});
    stage.bind("claude", spec).await;
    stage
        .until("claude", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    assert_coherent(stage, "claude").await;
    stage.edit("claude", json!({"geography": "eu"})).await;
    stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert_coherent(stage, "claude").await;
    stage
        .edit("claude", json!({"allowedRegions": ["eu-*"]}))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::SecretsDisabled)
        .await;
    assert_coherent(stage, "claude").await;
    stage.edit("claude", json!({"targets": null})).await;
    stage.ready("claude").await;
    assert_coherent(stage, "claude").await;
    let expected = [
        ("Warning", "GeographyUnsupported", 1),
        ("Warning", "RegionNotAllowed", 1),
        ("Warning", "SecretsDisabled", 1),
        ("Normal", "Bound", 1),
    ];
    stage.until_events("claude", &expected).await;
}

async fn target_conflict_with_an_object_of_others(stage: &Stage) {
    let before = stage.host("claude", None).await;
    stage.bind("claude", targets(&json!([]))).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::TargetConflict)
        .await;
    assert!(
        why.contains("ConfigMap claude") && why.contains("creationPolicy Merge"),
        "{why}"
    );
    assert_coherent(stage, "claude").await;
    assert_eq!(
        stage.config_map("claude").await.as_ref(),
        Some(&before),
        "left as it was"
    );
    stage.delete_object("claude").await;
    stage.ready("claude").await;
}

fn merging(key: &str) -> Value {
    targets(
        &json!([{"kind": "ConfigMap", "name": "host", "creationPolicy": "Merge", "keys": {key: "ProfileID"}}]),
    )
}

async fn target_conflict_over_a_merged_key(stage: &Stage) {
    stage.host("host", Some("claude")).await;
    stage.bind("claude", merging("theirs")).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::TargetConflict)
        .await;
    assert!(why.contains("theirs") && why.contains("held by"), "{why}");
    assert_coherent(stage, "claude").await;
    let data = stage
        .config_map("host")
        .await
        .and_then(|host| host.data)
        .expect("data");
    assert_eq!(data["theirs"], "untouched");
}

async fn target_forbidden_without_consent(stage: &Stage) {
    let before = stage.host("host", Some("another, claude-2")).await;
    stage.bind("claude", merging(ID)).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::TargetForbidden)
        .await;
    assert!(why.contains(&format!("{ALLOW}: claude")), "{why}");
    assert_coherent(stage, "claude").await;
    assert_eq!(stage.config_map("host").await.as_ref(), Some(&before));
    let consent = json!({"metadata": {"annotations": {ALLOW: "another, claude"}}});
    stage.meddle("host", consent).await;
    stage.ready("claude").await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
}

/// A policy answers 422 by default, as the apiserver does for an object that is not valid.
async fn target_forbidden_by_an_admission_policy(stage: &Stage) {
    let name = format!("refuses-{}", stage.namespace);
    let client = &stage.cluster.client;
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
    let in_force: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let policy = json!({
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}],
            },
            "validations": [{"expression": "object.metadata.name != 'claude'", "message": "not this one"}],
        },
    });
    let binding = json!({
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    let params = PostParams::default();
    let policy = serde_json::from_value(policy).expect("a policy");
    policies.create(&params, &policy).await.expect("created");
    let binding = serde_json::from_value(binding).expect("its binding");
    in_force.create(&params, &binding).await.expect("created");
    let refused = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let probe = json!({"metadata": {"name": "claude"}});
    let probe: ConfigMap = serde_json::from_value(probe).expect("a ConfigMap");
    eventually("the policy is in force", || async {
        match stage.config_maps().create(&refused, &probe).await {
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    stage.bind("claude", targets(&json!([]))).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::TargetForbidden)
        .await;
    assert!(
        why.contains("not this one") && why.contains("change the admission policy"),
        "{why}"
    );
    assert_coherent(stage, "claude").await;
    let params = DeleteParams::default();
    in_force.delete(&name, &params).await.expect("deleted");
    policies.delete(&name, &params).await.expect("deleted");
}

async fn target_forbidden_without_rights(stage: &mut Stage) {
    stage.grant("reader", &["get", "list", "watch"]).await;
    stage.start_as("reader", stage.options()).await;
    stage.bind("claude", targets(&json!([]))).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::TargetForbidden)
        .await;
    assert!(
        why.contains("ConfigMap claude") && why.contains("service account"),
        "{why}"
    );
    assert_coherent(stage, "claude").await;
    stage
        .grant("reader", &["get", "list", "watch", "create", "patch"])
        .await;
    stage.ready("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn target_not_found(stage: &Stage) {
    stage.bind("claude", merging(ID)).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::TargetNotFound)
        .await;
    assert!(
        why.contains("ConfigMap host") && why.contains("create it"),
        "{why}"
    );
    assert_coherent(stage, "claude").await;
    assert_eq!(
        stage.config_map("host").await,
        None,
        "merging creates nothing"
    );
    stage.host("host", Some("claude")).await;
    stage.ready("claude").await;
    assert_eq!(stage.id("host").await.as_deref(), Some(EU));
}

async fn target_invalid_where_it_is_immutable(stage: &Stage) {
    stage.bound("claude", targets(&json!([]))).await;
    stage.meddle("claude", json!({"immutable": true})).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::TargetInvalid)
        .await;
    assert!(
        why.contains("ConfigMap claude") && why.contains("immutable"),
        "{why}"
    );
    assert_coherent(stage, "claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    stage.delete_object("claude").await;
    stage.ready("claude").await;
    stage.until_id("claude", Some(GLOBAL)).await;
}

fn asking_for_the_arn() -> Value {
    targets(&json!([{"kind": "ConfigMap", "name": "claude", "keys": {"ARN": "ProfileARN"}}]))
}

async fn assert_arn(stage: &Stage) {
    let data = stage
        .config_map("claude")
        .await
        .and_then(|object| object.data)
        .expect("data");
    assert_eq!(
        data["ARN"],
        format!("arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{EU}")
    );
}

async fn value_unavailable_is_cured_by_an_account(stage: &mut Stage) {
    stage.bind("claude", asking_for_the_arn()).await;
    let why = stage
        .until("claude", "Ready", "False", Reason::ValueUnavailable)
        .await;
    assert!(
        why.contains("ARN asks for ProfileARN") && why.contains("--account"),
        "{why}"
    );
    assert_coherent(stage, "claude").await;
    assert_eq!(stage.config_map("claude").await, None);
    stage
        .restart(Options {
            account: Some(ACCOUNT),
            ..Options::default()
        })
        .await;
    stage.ready("claude").await;
    assert_arn(stage).await;
}

async fn value_available_from_a_live_account(stage: &Stage) {
    stage.bound("claude", asking_for_the_arn()).await;
    assert_arn(stage).await;
}

async fn secrets_disabled_is_cured_by_the_flag(stage: &mut Stage) {
    stage
        .bind("claude", targets(&json!([{"kind": "Secret", "name": "a"}])))
        .await;
    stage
        .until("claude", "Ready", "False", Reason::SecretsDisabled)
        .await;
    stage
        .restart(Options {
            enable_secrets: true,
            ..Options::default()
        })
        .await;
    let binding = stage.ready("claude").await;
    assert_eq!(message(&binding, "TargetsSynced"), "up to date: Secret a");
}

/// An admission webhook that can't be reached fails a write on its way, which says nothing definite of the target.
async fn retrying(stage: &Stage) {
    stage.obstruct::<ConfigMap>("try").await;
    stage.bind("claude", targets(&json!([]))).await;
    let why = stage
        .until("claude", "Ready", "Unknown", Reason::Retrying)
        .await;
    assert!(
        why.contains("ConfigMap claude") && why.contains("unreachable.example.com"),
        "{why}"
    );
    assert_coherent(stage, "claude").await;
    stage.clear().await;
    stage.ready("claude").await;
    assert_coherent(stage, "claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    assert_eq!(
        stage.events("claude").await,
        [],
        "nothing definite was wrong"
    );
}

async fn one_bad_target_holds_up_no_other(stage: &Stage) {
    stage.host("taken", None).await;
    let both = json!([{"kind": "ConfigMap", "name": "taken"}, {"kind": "ConfigMap", "name": "free"}, {"kind": "Secret", "name": "off"}]);
    stage.bind("claude", targets(&both)).await;
    stage
        .until("claude", "Ready", "False", Reason::TargetConflict)
        .await;
    let why = stage
        .until("claude", "TargetsSynced", "False", Reason::TargetConflict)
        .await;
    assert!(
        why.contains("ConfigMap taken") && why.contains("Secret off"),
        "{why}"
    );
    assert_eq!(stage.id("free").await.as_deref(), Some(EU));
    assert_coherent(stage, "claude").await;
}

async fn suspended_is_neither_reconciling_nor_stalled(stage: &Stage) {
    stage
        .bind(
            "claude",
            json!({"model": SONNET, "geography": "eu", "suspend": true}),
        )
        .await;
    let why = stage
        .until("claude", "Suspended", "True", Reason::SuspendedBySpec)
        .await;
    assert!(
        why.contains("residency limits and deletion still act"),
        "{why}"
    );
    let why = stage
        .until("claude", "Ready", "Unknown", Reason::Pending)
        .await;
    assert!(why.contains("while the binding is suspended"), "{why}");
    assert_coherent(stage, "claude").await;
    stage.edit("claude", json!({"suspend": false})).await;
    let binding = stage.ready("claude").await;
    assert_eq!(verdict(&binding, "Suspended"), None);
    assert_coherent(stage, "claude").await;
    stage.suspend("claude").await;
    stage.until("claude", "Ready", "True", Reason::Bound).await;
    assert_coherent(stage, "claude").await;
}

async fn a_renewed_catalog_cures_stalled(stage: &mut Stage) {
    stage.script.lists_without(REGION, EU);
    stage.start(stage.options());
    stage.bind("claude", targets(&json!([]))).await;
    stage
        .until("claude", "Stalled", "True", Reason::GeographyUnsupported)
        .await;
    stage.script.recovers(REGION);
    let binding = stage.ready("claude").await;
    assert_eq!(verdict(&binding, "Stalled"), None);
    assert_coherent(stage, "claude").await;
}
