//! What the chart's policies do to pods that ask for `ConfigMaps` by annotation, and to those that don't.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases, needing_controllers, needing_minor},
    chart_render::{MUTATING_SINCE, apply_policies, needing_helm},
    stage::{Stage, empty},
    support::{answer, dry_run, eventually},
};

const INJECT: &str = "inferenceprofiles.dev/inject";
const CONTAINERS: &str = "inferenceprofiles.dev/inject-containers";

pub fn cases() -> Vec<Case> {
    // Pods need the service account of their namespace.
    let cases = needing_controllers(needing_helm(cases![empty(
        appends_what_the_annotation_names,
        refuses_what_it_can_not_read,
        leaves_pods_alone_that_do_not_ask,
        serves_containers_that_another_policy_adds,
    )]));
    needing_minor(MUTATING_SINCE, cases)
}

/// A stage in whose namespace the policies are in force.
struct Injecting<'a> {
    stage: &'a Stage,
}

impl<'a> Injecting<'a> {
    async fn new(stage: &'a Stage) -> Self {
        apply_policies(stage, "injection.yaml", "injection").await;
        let injecting = Self { stage };
        let probe = pod(
            json!({INJECT: "probe"}),
            json!([{"name": "app"}]),
            json!([]),
        );
        eventually("the mutating policy is in force", || async {
            let created = injecting.create(&probe).await?;
            if env_from(&created)["app"] == json!([entry("probe")]) {
                Ok(())
            } else {
                Err(format!("{created:?}"))
            }
        })
        .await;
        let probe = pod(json!({INJECT: ""}), json!([{"name": "app"}]), json!([]));
        eventually("the validating policy is in force", || async {
            injecting.create(&probe).await.err().ok_or("accepted")
        })
        .await;
        injecting
    }

    /// Creates a pod, without keeping it; Err: why it was refused.
    async fn create(&self, pod: &Value) -> Result<Pod, String> {
        create_on(self.stage, pod).await
    }
}

async fn create_on(stage: &Stage, pod: &Value) -> Result<Pod, String> {
    let pod = serde_json::from_value(pod.clone()).expect("a pod");
    let pods = Api::<Pod>::namespaced(stage.cluster.client.clone(), &stage.namespace);
    answer(pods.create(&dry_run(), &pod).await)
}

/// Returns a pod with these annotations, containers and init containers.
fn pod(annotations: impl Into<Value>, mut containers: Value, mut init: Value) -> Value {
    for list in [&mut containers, &mut init] {
        for container in list.as_array_mut().expect("a list") {
            container["image"] = "app".into();
        }
    }
    json!({
        "metadata": {"name": "app", "annotations": annotations.into()},
        "spec": {
            "containers": containers,
            "initContainers": init,
            "automountServiceAccountToken": false,
        },
    })
}

/// Returns envFrom of each container by the container's name; null where there is none.
fn env_from(pod: &Pod) -> Value {
    let spec = serde_json::to_value(pod.spec.as_ref().expect("a spec")).expect("JSON");
    ["containers", "initContainers"]
        .iter()
        .filter_map(|field| spec[field].as_array())
        .flatten()
        .map(|container| {
            let name = container["name"].as_str().expect("a name").to_owned();
            (name, container["envFrom"].clone())
        })
        .collect()
}

fn entry(config_map: &str) -> Value {
    json!({"configMapRef": {"name": config_map}})
}

fn prefixed(config_map: &str, prefix: &str) -> Value {
    json!({"configMapRef": {"name": config_map}, "prefix": prefix})
}

async fn appends_what_the_annotation_names(stage: &Stage) {
    let injecting = Injecting::new(stage).await;
    let app = || json!([{"name": "app"}]);
    let secret = json!({"secretRef": {"name": "theirs"}});
    let both = json!([prefixed("chat", "CHAT_"), prefixed("embed", "EMBED_")]);
    let most: Vec<(String, String)> = (0..16)
        .map(|i| (format!("model-{i}"), format!("M{i}_")))
        .collect();
    let all = most
        .iter()
        .map(|(name, prefix)| format!("{name}={prefix}"))
        .collect::<Vec<_>>()
        .join(",");
    let all_entries: Value = most
        .iter()
        .map(|(name, prefix)| prefixed(name, prefix))
        .collect();
    let rows = [
        (
            json!({INJECT: "chat"}),
            app(),
            json!([]),
            json!({"app": [entry("chat")]}),
        ),
        (
            json!({INJECT: "models.chat"}),
            json!([{"name": "app"}, {"name": "worker"}]),
            json!([{"name": "prepare"}]),
            json!({"app": [entry("models.chat")], "worker": [entry("models.chat")], "prepare": [entry("models.chat")]}),
        ),
        (
            json!({INJECT: "chat=CHAT_,embed=EMBED_"}),
            app(),
            json!([]),
            json!({"app": both}),
        ),
        (
            json!({INJECT: "  chat = CHAT_ ,\n embed=EMBED_ "}),
            app(),
            json!([]),
            json!({"app": both}),
        ),
        (
            json!({INJECT: "chat,embed=EMBED_"}),
            app(),
            json!([]),
            json!({"app": [entry("chat"), prefixed("embed", "EMBED_")]}),
        ),
        (
            json!({INJECT: "chat", CONTAINERS: " prepare , worker"}),
            json!([{"name": "app"}, {"name": "worker"}]),
            json!([{"name": "prepare"}, {"name": "other"}]),
            json!({"app": null, "worker": [entry("chat")], "prepare": [entry("chat")], "other": null}),
        ),
        // What is there stays, in its order and in front; an equal entry is not added again.
        (
            json!({INJECT: "chat,embed=EMBED_"}),
            json!([
                {"name": "app", "envFrom": [secret, prefixed("embed", "OTHER_")]},
                {"name": "worker", "envFrom": [prefixed("embed", "EMBED_"), secret]},
                {"name": "done", "envFrom": [prefixed("embed", "EMBED_"), entry("chat")]},
            ]),
            json!([]),
            json!({
                "app": [secret, prefixed("embed", "OTHER_"), entry("chat"), prefixed("embed", "EMBED_")],
                "worker": [prefixed("embed", "EMBED_"), secret, entry("chat")],
                "done": [prefixed("embed", "EMBED_"), entry("chat")],
            }),
        ),
        (
            json!({INJECT: all}),
            app(),
            json!([]),
            json!({"app": all_entries}),
        ),
    ];
    for (annotations, containers, init, expected) in rows {
        let created = injecting
            .create(&pod(annotations.clone(), containers, init))
            .await
            .unwrap_or_else(|message| panic!("{annotations}: {message}"));
        assert_eq!(env_from(&created), expected, "{annotations}");
    }

    let many: Value = (0..50)
        .map(|i| json!({"name": format!("worker-{i}"), "envFrom": all_entries}))
        .collect();
    let largest = pod(json!({INJECT: all}), many, json!([]));
    let created = injecting
        .create(&largest)
        .await
        .expect("within what an expression may cost");
    assert_eq!(env_from(&created)["worker-49"], all_entries);
}

async fn refuses_what_it_can_not_read(stage: &Stage) {
    let injecting = Injecting::new(stage).await;
    let seventeen = ["a"; 17].join(",");
    let long = "a".repeat(254);
    let malformed = "has malformed entries: ";
    for (inject, words) in [
        (
            "",
            r#"has malformed entries: "": write NAME or NAME=PREFIX"#,
        ),
        ("chat,", malformed),
        (",chat", malformed),
        ("chat=,embed", r#"entries: "chat=": write"#),
        ("=CHAT_", malformed),
        ("chat=1CHAT", malformed),
        ("chat=CHAT-", malformed),
        ("chat=A=B", malformed),
        ("Chat", malformed),
        ("chat_model", malformed),
        ("chat embed", malformed),
        ("-chat", malformed),
        ("chat..model", malformed),
        (&long, malformed),
        ("Chat, embed, a b", r#"entries: "Chat", "a b": write"#),
        (
            "chat,embed",
            "gives no prefix to more than one ConfigMap, so that their keys collide: chat, embed: give each a prefix",
        ),
        (
            "chat=A_,embed=B_,code=A_",
            "gives the same prefix A_ to more than one ConfigMap, so that their keys collide: chat, code: ",
        ),
        ("chat,chat", "names the ConfigMap chat more than once"),
        ("chat=A_,chat=B_", "names the ConfigMap chat more than once"),
        (&seventeen, "has more than 16 entries"),
    ] {
        assert_refused(&injecting, json!({INJECT: inject}), words).await;
    }
    for (containers, words) in [
        (
            "app,wroker",
            r#"names what is no container of this pod: "wroker": its containers are app, worker, prepare"#,
        ),
        ("", r#"no container of this pod: "": "#),
        ("app,", r#"no container of this pod: "": "#),
        ("app,app", "names the container app more than once"),
    ] {
        let annotations = json!({INJECT: "chat", CONTAINERS: containers});
        assert_refused(&injecting, annotations, words).await;
    }
}

async fn assert_refused(injecting: &Injecting<'_>, annotations: Value, words: &str) {
    let containers = json!([{"name": "app"}, {"name": "worker"}]);
    let pod = pod(
        annotations.clone(),
        containers,
        json!([{"name": "prepare"}]),
    );
    match injecting.create(&pod).await {
        Err(message) => assert!(message.contains(words), "{annotations}: {message}"),
        Ok(_) => panic!("{annotations} is accepted"),
    }
}

async fn leaves_pods_alone_that_do_not_ask(stage: &Stage) {
    Injecting::new(stage).await;
    let elsewhere = stage.another().await;
    let env_from = json!([{"secretRef": {"name": "theirs"}}, entry("chat"), entry("chat")]);
    let containers = json!([{"name": "app", "envFrom": env_from}, {"name": "worker"}]);
    let mut mirror = pod(
        json!({INJECT: "chat", "kubernetes.io/config.mirror": "hash"}),
        json!([{"name": "app"}]),
        json!([]),
    );
    mirror["spec"]["nodeName"] = "node".into();
    for asked in [
        mirror,
        pod(json!({}), containers.clone(), json!([{"name": "prepare"}])),
        pod(Value::Null, containers.clone(), json!([])),
        // Which containers, but not what.
        pod(json!({CONTAINERS: "nobody"}), containers.clone(), json!([])),
    ] {
        let [here, there] = [stage, &elsewhere].map(|stage| {
            let asked = &asked;
            eventually("the service account is there", move || async move {
                create_on(stage, asked).await
            })
        });
        let (here, there) = (here.await, there.await);
        let bytes = |pod: &Pod| serde_json::to_string(&pod.spec).expect("JSON");
        assert_eq!(bytes(&here), bytes(&there), "{asked}");
        assert_eq!(here.metadata.annotations, there.metadata.annotations);
    }

    // A pod that is there is nobody's business: its environment can't change.
    let pods = Api::<Pod>::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let pod = serde_json::from_value(pod(Value::Null, containers, json!([]))).expect("a pod");
    pods.create(&PostParams::default(), &pod)
        .await
        .expect("created");
    let annotate = json!({"metadata": {"annotations": {INJECT: "Not a name"}}});
    pods.patch("app", &PatchParams::default(), &Patch::Merge(annotate))
        .await
        .expect("annotated");
}

/// Policies run in no order that one could rely on, so that of some sidecars one comes later than the injection.
async fn serves_containers_that_another_policy_adds(stage: &Stage) {
    let injecting = Injecting::new(stage).await;
    let api = "admissionregistration.k8s.io/v1";
    let mut expected = json!({"app": [entry("chat")]});
    let mut items = Vec::new();
    for i in 1..=6 {
        let sidecar = format!("sidecar-{i}");
        let name = format!("{}-{sidecar}", stage.namespace);
        let add = format!(
            r#"[JSONPatch{{op: "add", path: "/spec/containers/-", value: Object.spec.containers{{name: "{sidecar}", image: "sidecar"}}}}]"#
        );
        items.push(json!({"apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "reinvocationPolicy": "Never",
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}},
            },
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": add}}],
        }}));
        items.push(json!({
            "apiVersion": api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {"policyName": name},
        }));
        expected[sidecar] = json!([entry("chat")]);
    }
    let policies = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    stage
        .cluster
        .kubectl_reading(&policies, &["create", "-f", "-"])
        .await
        .ok();
    let asked = pod(json!({INJECT: "chat"}), json!([{"name": "app"}]), json!([]));
    eventually("each sidecar has what every container has", || async {
        let found = env_from(&injecting.create(&asked).await?);
        if found == expected {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await;
}
