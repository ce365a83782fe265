//! What the chart's rules let bindings name.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    chart_render::{needing_helm, render},
    operator::SONNET,
    stage::{Stage, empty},
    support::{answer, dry_run, eventually},
    targets::FINALIZER,
};

const NOVA: &str = "amazon.nova-pro-v1:0";
const ROLE: &str = "arn:aws:iam::111122223333:role/bedrock-shop";

pub fn cases() -> Vec<Case> {
    needing_helm(cases![empty(
        only_what_a_rule_lists_is_allowed,
        global_is_a_matter_of_its_own,
        a_class_is_allowed_where_a_rule_lists_it,
        all_rules_of_a_namespace_hold,
        changes_of_a_spec_are_checked_alone,
        long_lists_are_within_the_cost,
    )])
}

/// Puts rules in force in the namespace of the stage alone, and waits until one of them refuses a binding of this spec.
async fn rules(stage: &Stage, rules: &[Value], refused: &Value) {
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}});
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            let mut rule = rule.clone();
            rule["namespaceSelector"] = selector.clone();
            rule
        })
        .collect();
    let manifest = render(
        "admission.yaml",
        &[
            "--name-template",
            &stage.namespace,
            "--set",
            "admission.enabled=true",
            "--set-json",
            &format!("admission.rules={}", json!(rules)),
        ],
    )
    .expect("rendered");
    let create = ["create", "-f", "-"];
    stage.cluster.kubectl_reading(&manifest, &create).await.ok();
    eventually("the rules are in force", || async {
        match attempt(stage, refused).await {
            Err(message) => Ok(message),
            Ok(()) => Err("allowed"),
        }
    })
    .await;
}

/// Tries to create a binding, without keeping it; Err: why it was refused.
async fn attempt(stage: &Stage, spec: &Value) -> Result<(), String> {
    let created = stage
        .cluster
        .try_bind(&stage.namespace, "chat", spec, &dry_run())
        .await;
    answer(created).map(drop)
}

async fn assert_answers(stage: &Stage, attempts: &[(Value, Option<&str>)]) {
    for (spec, refused) in attempts {
        match (attempt(stage, spec).await, refused) {
            (Ok(()), None) => {}
            (Err(message), Some(words)) if message.contains(words) => {}
            (answer, expected) => panic!("{spec}: {answer:?}, expected {expected:?}"),
        }
    }
}

fn spec(model: &str, geography: &str, fallbacks: &[&str]) -> Value {
    json!({"model": model, "geography": geography, "fallback": {"geographies": fallbacks}})
}

async fn a_class_is_allowed_where_a_rule_lists_it(stage: &Stage) {
    let rule = json!({"geographies": ["eu"], "classes": ["chat", "embed-*"]});
    let other = json!({"className": "other"});
    rules(stage, &[rule], &other).await;
    let namespace = &stage.namespace;
    let refused = format!(
        "not allowed in namespace {namespace}: class other; allowed: chat, embed-*; choose"
    );
    assert_answers(
        stage,
        &[
            (json!({"className": "chat"}), None),
            (json!({"className": "embed-small"}), None),
            (json!({"className": "embed"}), Some("class embed; allowed")),
            (
                json!({"models": {"a": {"className": "chat"}, "b": {"className": "embed-small"}}}),
                None,
            ),
            (
                json!({"models": {"a": {"className": "chat"}, "b": {"className": "embed"}}}),
                Some("class embed; allowed"),
            ),
            (other, Some(&refused)),
            (
                json!({"className": null, "model": SONNET, "geography": "eu"}),
                None,
            ),
            (
                json!({"model": SONNET, "geography": "us"}),
                Some("geography us"),
            ),
        ],
    )
    .await;
    let silent = stage.another().await;
    let class = json!({"className": "chat"});
    rules(&silent, &[json!({"geographies": ["eu"]})], &class).await;
    let refused = attempt(&silent, &class).await.expect_err("refused");
    assert!(refused.contains("class chat; allowed: none"), "{refused}");
}

async fn only_what_a_rule_lists_is_allowed(stage: &Stage) {
    let rule = json!({
        "geographies": ["eu", "apac"],
        "models": ["anthropic.*", NOVA],
        "roles": ["arn:aws:iam::111122223333:role/bedrock-*"],
    });
    let us = spec(SONNET, "us", &[]);
    rules(stage, &[rule], &us).await;
    let with_role = |role: Value| {
        let mut spec = spec(SONNET, "eu", &[]);
        spec["roleARN"] = role;
        spec
    };
    let namespace = &stage.namespace;
    let no_us = format!(
        "not allowed in namespace {namespace}: geography us; allowed, under fallback too: eu, apac; choose"
    );
    let no_lite = format!(
        "not allowed in namespace {namespace}: model amazon.nova-lite-v1:0; allowed, under fallback too: anthropic.*, {NOVA}; choose"
    );
    let with_models =
        |models: Value| json!({"model": SONNET, "geography": "eu", "fallback": {"models": models}});
    assert_answers(
        stage,
        &[
            (json!({"model": SONNET, "geography": "eu"}), None),
            (json!({"model": SONNET, "geography": "eu", "fallback": null}), None),
            (json!({"model": SONNET, "geography": "eu", "fallback": {"geographies": null}}), None),
            (spec(NOVA, "eu", &["apac"]), None),
            (us, Some(&no_us)),
            (spec(SONNET, "eu", &["apac", "us", "jp"]), Some("geography us, jp; allowed")),
            (spec(SONNET, "global", &[]), Some("geography global; allowed")),
            (spec("amazon.nova-lite-v1:0", "eu", &[]), Some(&no_lite)),
            // Each of several models is checked.
            (json!({"models": {"a": {"model": SONNET, "geography": "eu"}, "b": spec(NOVA, "eu", &["apac"])}}), None),
            (json!({"models": {"a": {"model": SONNET, "geography": "eu"}, "b": spec(NOVA, "us", &["jp"])}}), Some("geography us, jp; allowed")),
            (json!({"models": {"a": {"model": SONNET, "geography": "eu"}, "b": with_models(json!(["amazon.nova-lite-v1:0"]))}}), Some(&no_lite)),
            (json!({"models": {"a": {"className": "chat"}}}), Some("class chat; allowed: none")),
            // A dot is a dot, and a name is matched whole.
            (spec("anthropicx.claude", "eu", &[]), Some("model anthropicx.claude")),
            (spec(&format!("{NOVA}:24k"), "eu", &[]), Some("model amazon.nova-pro-v1:0:24k")),
            (with_models(json!([NOVA, "anthropic.claude-opus-5-5"])), None),
            (with_models(Value::Null), None),
            (with_models(json!([NOVA, "amazon.nova-lite-v1:0"])), Some(&no_lite)),
            (with_role(json!(ROLE)), None),
            (with_role(Value::Null), None),
            (
                with_role(json!("arn:aws:iam::111122223333:role/admin")),
                Some("role arn:aws:iam::111122223333:role/admin; allowed: arn:aws:iam::111122223333:role/bedrock-*"),
            ),
        ],
    )
    .await;
    // Another namespace is none of the rule's business.
    let other = stage.another().await;
    assert_answers(&other, &[(spec(SONNET, "us", &[]), None)]).await;
}

async fn global_is_a_matter_of_its_own(stage: &Stage) {
    let everywhere = spec(SONNET, "global", &[]);
    let fallback = spec(SONNET, "us", &["global"]);
    let models = json!({"models": ["*"]});
    rules(stage, &[models], &everywhere).await;
    let refused = Some("geography global; allowed, under fallback too: every geography but global");
    assert_answers(
        stage,
        &[
            (spec(SONNET, "us", &["jp"]), None),
            (everywhere.clone(), refused),
            (fallback.clone(), refused),
        ],
    )
    .await;

    let stage = &stage.another().await;
    let with_global = json!({"geographies": ["us"], "global": true});
    let eu = spec(SONNET, "eu", &[]);
    rules(stage, &[with_global], &eu).await;
    assert_answers(
        stage,
        &[
            (everywhere.clone(), None),
            (fallback, None),
            (
                eu,
                Some("geography eu; allowed, under fallback too: us, global"),
            ),
        ],
    )
    .await;

    let stage = &stage.another().await;
    let any = json!({"models": ["anthropic.*"], "global": true});
    let nova = spec(NOVA, "eu", &[]);
    rules(stage, &[any], &nova).await;
    assert_answers(stage, &[(everywhere, None)]).await;
}

async fn all_rules_of_a_namespace_hold(stage: &Stage) {
    let both = [
        json!({"geographies": ["eu", "us"]}),
        json!({"geographies": ["eu", "jp"], "models": ["anthropic.*"]}),
    ];
    // Refused by the second alone, and by the first alone: both are in force.
    let us = spec(SONNET, "us", &[]);
    rules(stage, &both, &us).await;
    let jp = spec(SONNET, "jp", &[]);
    eventually("both are in force", || async {
        match attempt(stage, &jp).await {
            Err(_) => Ok(()),
            Ok(()) => Err("allowed"),
        }
    })
    .await;
    assert_answers(
        stage,
        &[
            (spec(SONNET, "eu", &[]), None),
            (us, Some("allowed, under fallback too: eu, jp")),
            (jp, Some("allowed, under fallback too: eu, us")),
            (spec(NOVA, "eu", &[]), Some("model amazon.nova-pro-v1:0")),
        ],
    )
    .await;
}

async fn changes_of_a_spec_are_checked_alone(stage: &Stage) {
    let us = spec(SONNET, "us", &[]);
    // There is no rule yet.
    stage.bind("before", us.clone()).await;
    rules(stage, &[json!({"geographies": ["eu"]})], &us).await;
    let bindings = stage.bindings();
    let patch = async |patch: Value| {
        let params = PatchParams::default();
        bindings
            .patch("before", &params, &Patch::Merge(patch))
            .await
    };
    // As the operator writes, and as GitOps tools mark.
    for other in [
        json!({"metadata": {"finalizers": [FINALIZER]}}),
        json!({"metadata": {"finalizers": null, "labels": {"team": "shop"}}}),
    ] {
        patch(other).await.expect("not the spec");
    }
    let status = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    bindings
        .patch_status("before", &PatchParams::default(), &status)
        .await
        .expect("not the spec");
    let refused = patch(json!({"spec": {"suspend": true}})).await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.message.contains("geography us")),
        "{refused:?}"
    );
    patch(json!({"spec": {"geography": "eu"}}))
        .await
        .expect("allowed");
}

/// The apiserver refuses a policy that could cost too much, when it is created.
async fn long_lists_are_within_the_cost(stage: &Stage) {
    let models: Vec<String> = (0..200)
        .map(|number| format!("provider-{number:03}.*-a-model-with-a-long-name-*-v1:0"))
        .collect();
    let geographies: Vec<String> = (0..26_u8)
        .map(|letter| {
            format!(
                "geography-{}",
                char::from(b'a' + letter).to_string().repeat(2)
            )
        })
        .collect();
    let roles: Vec<String> = (0..100)
        .map(|number| format!("arn:aws:iam::111122223{number:03}:role/path/*/bedrock-*"))
        .collect();
    let rule = json!({"models": models, "geographies": geographies, "roles": roles});
    let refused = spec(SONNET, "geography-aa", &[]);
    rules(stage, &[rule], &refused).await;
    let last = "provider-199.x-a-model-with-a-long-name-y-v1:0";
    let fallbacks: Vec<&str> = geographies[..8].iter().map(String::as_str).collect();
    let mut allowed = spec(last, "geography-zz", &fallbacks);
    allowed["roleARN"] = json!("arn:aws:iam::111122223099:role/path/a/bedrock-b");
    assert_answers(stage, &[(allowed, None)]).await;
}
