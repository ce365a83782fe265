//! Workloads restart when, and only when, a written value changes. No controller of workloads runs here: cases play them.

use std::{collections::BTreeMap, fmt::Debug};

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    leader::replica_with,
    operator::{Options, SONNET},
    stage::{EU, GLOBAL, ID, REGION, Stage, empty, live, message, profile_in_use, verdict},
    support::eventually,
    targets::History,
};

const EVERY: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

pub fn cases() -> Vec<Case> {
    cases![
        restarting(
            a_changed_value_restarts_each_workload_once,
            ten_starts_of_the_operator_restart_nothing,
            nothing_else_restarts_a_workload,
            a_changed_catalog_restarts,
            a_workload_that_does_not_exist_is_told,
            a_restart_that_fails_on_the_way_is_tried_again,
        ),
        live(off_it_restarts_nothing_and_says_so),
        empty(
            without_rights_it_fails_and_is_cured_by_them,
            a_value_that_changed_back_restarts_all_the_same,
            an_operator_that_stopped_before_the_restart_makes_up_for_it,
            a_restart_is_owed_where_statuses_cannot_be_written_for_a_while,
            a_few_at_a_time_in_the_order_of_the_spec,
            whoever_leaves_the_line_holds_up_nobody,
            two_bindings_restart_one_workload,
            another_leader_restarts_only_what_is_due,
        ),
    ]
}

/// What these cases do with workloads.
impl Stage {
    fn restarting(&self) -> Options {
        Options {
            enable_rollout: true,
            ..self.options()
        }
    }

    fn workloads<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Creates a workload of a replica.
    async fn workload<K>(&self, name: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let labels = json!({"app": name});
        let object = json!({
            "metadata": {"name": name},
            "spec": {
                "serviceName": name,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10"}]},
                },
            },
        });
        let object = serde_json::from_value(object).expect("a workload");
        self.workloads::<K>()
            .create(&PostParams::default(), &object)
            .await
            .expect("created");
    }

    /// Creates a Deployment.
    pub(crate) async fn deployment(&self, name: &str) {
        self.workload::<Deployment>(name).await;
    }

    /// Returns how often a Deployment was restarted: each time its generation moves.
    pub(crate) async fn restarts(&self, name: &str) -> i64 {
        let found = self.workloads::<Deployment>().get(name).await;
        found
            .expect("a Deployment")
            .metadata
            .generation
            .expect("a generation")
            - 1
    }

    async fn until_restarts(&self, name: &str, expected: i64) {
        eventually(
            &format!("{name} was restarted {expected} times"),
            || async {
                let found = self.restarts(name).await;
                if found == expected {
                    Ok(())
                } else {
                    Err(found)
                }
            },
        )
        .await;
    }

    /// Plays the Deployment controller that gives up: the pods did not come up within the progress deadline.
    pub(crate) async fn exceed_deadline(&self, name: &str) {
        let now = jiff::Timestamp::now().to_string();
        let status = json!({"status": {
            "observedGeneration": self.restarts(name).await + 1,
            "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "unavailableReplicas": 1,
            "conditions": [{
                "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                "message": "timed out progressing", "lastUpdateTime": now, "lastTransitionTime": now,
            }],
        }});
        self.workloads::<Deployment>()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("accepted");
    }

    /// Plays the Deployment controller that has replaced all pods.
    pub(crate) async fn complete(&self, name: &str) {
        let deployments = self.workloads::<Deployment>();
        let generation = self.restarts(name).await + 1;
        let status = json!({"status": {
            "observedGeneration": generation,
            "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "unavailableReplicas": 0,
            "conditions": [],
        }});
        deployments
            .patch_status(name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("accepted");
    }

    /// Waits until a binding's targets are synced and the message says this.
    async fn until_told(&self, name: &str, told: &str) {
        eventually(&format!("{name} tells {told:?}"), || async {
            let binding = self.observed(name).await;
            let message = message(&binding, "TargetsSynced");
            let synced = verdict(&binding, "TargetsSynced").map(|(status, _)| status);
            if synced.as_deref() == Some("True") && message.contains(told) {
                Ok(())
            } else {
                Err(message)
            }
        })
        .await;
    }

    /// Waits until a binding of the present spec has this profile, all its workloads are restarted, and it is Ready.
    async fn until_rolled_out(&self, name: &str, profile: &str) {
        eventually(&format!("{name} rolled out {profile}"), || async {
            let binding = self.ready(name).await;
            let told = message(&binding, "TargetsSynced");
            let outstanding = binding.status.as_ref().is_some_and(|status| {
                let mut hashes = status.targets.iter().map(|target| &target.values_hash);
                hashes.any(|hash| hash.contains('!'))
            });
            if profile_in_use(&binding) == Some(profile) && !outstanding && !told.contains("waits")
            {
                Ok(())
            } else {
                Err(binding.status)
            }
        })
        .await;
    }
}

/// Returns a spec that restarts these Deployments.
fn spec(geography: &str, deployments: &[&str]) -> Value {
    let rollout: Vec<Value> = deployments
        .iter()
        .map(|name| json!({"kind": "Deployment", "name": name}))
        .collect();
    json!({"model": SONNET, "geography": geography, "rollout": rollout})
}

/// The set-up of a case with an operator that restarts workloads, on the scripted live catalog.
fn restarting(stage: &mut Stage) {
    stage.start(stage.restarting());
}

/// Creates the Deployment `chat` and a binding `claude` that restarts it.
async fn chat(stage: &Stage) {
    stage.deployment("chat").await;
    stage.bound("claude", spec("eu", &["chat"])).await;
}

async fn a_changed_value_restarts_each_workload_once(stage: &Stage) {
    stage.deployment("chat").await;
    stage.workload::<StatefulSet>("index").await;
    stage.workload::<DaemonSet>("agent").await;
    let mut wanted = spec("eu", &["chat"]);
    let more = [
        json!({"kind": "StatefulSet", "name": "index"}),
        json!({"kind": "DaemonSet", "name": "agent"}),
    ];
    wanted["rollout"]
        .as_array_mut()
        .expect("a list")
        .extend(more);
    // Two targets and five keys are one change.
    wanted["targets"] =
        json!([{"kind": "ConfigMap", "name": "a"}, {"kind": "ConfigMap", "name": "b"}]);
    stage.bound("claude", wanted).await;
    let generations = async |stage: &Stage| {
        let deployment = stage
            .workloads::<Deployment>()
            .get("chat")
            .await
            .expect("there");
        let stateful_set = stage
            .workloads::<StatefulSet>()
            .get("index")
            .await
            .expect("there");
        let daemon_set = stage
            .workloads::<DaemonSet>()
            .get("agent")
            .await
            .expect("there");
        let all = [
            deployment.metadata,
            stateful_set.metadata,
            daemon_set.metadata,
        ];
        all.map(|meta| meta.generation.expect("a generation"))
    };
    stage.settled().await;
    assert_eq!(generations(stage).await, [1, 1, 1], "a first write");

    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_rolled_out("claude", GLOBAL).await;
    assert_eq!(generations(stage).await, [2, 2, 2]);
    assert_eq!(stage.id("a").await.as_deref(), Some(GLOBAL));
    let told = message(&stage.binding("claude").await, "TargetsSynced");
    assert_eq!(told, "up to date: ConfigMap a, ConfigMap b");
    let chat = stage
        .workloads::<Deployment>()
        .get("chat")
        .await
        .expect("there");
    let template = chat
        .spec
        .and_then(|spec| spec.template.metadata)
        .expect("metadata");
    let annotations: Vec<String> = template
        .annotations
        .unwrap_or_default()
        .into_keys()
        .collect();
    assert_eq!(annotations, ["rollout.inferenceprofiles.dev/claude"]);
    let events = [
        ("Normal", "ProfileChanged", 1),
        ("Normal", "RolloutTriggered", 1),
    ];
    stage.until_events("claude", &events).await;

    stage.settled().await;
    assert_eq!(generations(stage).await, [2, 2, 2], "once");
    stage.edit("claude", json!({"geography": "eu"})).await;
    stage.until_rolled_out("claude", EU).await;
    stage.settled().await;
    assert_eq!(generations(stage).await, [3, 3, 3], "back is a change too");
}

async fn ten_starts_of_the_operator_restart_nothing(stage: &mut Stage) {
    chat(stage).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_rolled_out("claude", GLOBAL).await;
    let before = stage.binding("claude").await;
    for _ in 0..10 {
        stage.restart(stage.restarting()).await;
        stage.settled().await;
    }
    assert_eq!(stage.restarts("chat").await, 1);
    assert_eq!(stage.binding("claude").await, before);
}

async fn nothing_else_restarts_a_workload(stage: &mut Stage) {
    chat(stage).await;
    let assert_untouched = async |stage: &Stage, what: &str| {
        stage.settled().await;
        assert_eq!(stage.restarts("chat").await, 0, "{what}");
    };
    assert_untouched(stage, "a first write").await;
    stage
        .meddle("claude", json!({"data": {ID: "drifted"}}))
        .await;
    stage.until_id("claude", Some(EU)).await;
    assert_untouched(stage, "drift").await;
    let target = |keys: Value| json!([{"kind": "ConfigMap", "name": "claude", "keys": keys}]);
    for (what, keys) in [
        ("keys removed", json!({ID: "ProfileID"})),
        (
            "a key added",
            json!({ID: "ProfileID", "REGION": "SourceRegion"}),
        ),
        ("keys by others", json!({"MODEL": "ProfileID"})),
    ] {
        stage.retarget("claude", target(keys)).await;
        stage.ready("claude").await;
        assert_untouched(stage, what).await;
    }
    stage
        .retarget(
            "claude",
            json!([{"kind": "ConfigMap", "name": "claude"}, {"kind": "ConfigMap", "name": "more"}]),
        )
        .await;
    stage.ready("claude").await;
    assert_untouched(stage, "a target added").await;
    stage
        .retarget("claude", json!([{"kind": "ConfigMap", "name": "renamed"}]))
        .await;
    stage.ready("claude").await;
    stage.until_gone("claude").await;
    assert_untouched(stage, "a target renamed").await;
    stage.delete_object("renamed").await;
    stage.until_id("renamed", Some(EU)).await;
    assert_untouched(stage, "a target deleted by others").await;

    stage.edit("claude", json!({"geography": "jp"})).await;
    stage.until_gone("renamed").await;
    assert_untouched(stage, "a withdrawal").await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.ready("claude").await;
    assert_untouched(stage, "a first write after a withdrawal, of another value").await;
    stage
        .edit("claude", json!({"allowedRegions": ["eu-*"]}))
        .await;
    stage.until_gone("renamed").await;
    assert_untouched(stage, "a limit that is broken").await;
    stage
        .edit("claude", json!({"allowedRegions": null, "geography": "eu"}))
        .await;
    stage.ready("claude").await;
    assert_untouched(stage, "a first write after that").await;

    stage.suspend("claude").await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.observed("claude").await;
    assert_untouched(stage, "an edit while suspended").await;
    stage
        .edit("claude", json!({"geography": "eu", "suspend": null}))
        .await;
    stage.ready("claude").await;
    assert_untouched(stage, "resumed with the value that it had").await;

    stage.stop().await;
    stage.wipe_status("claude").await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.start(stage.restarting());
    stage.ready("claude").await;
    stage.until_id("renamed", Some(GLOBAL)).await;
    stage.settled().await;
    assert_eq!(
        stage.restarts("chat").await,
        1,
        "adopted, with another value"
    );
    stage.edit("claude", json!({"rollout": [{"kind": "Deployment", "name": "chat"}, {"kind": "Deployment", "name": "b"}]})).await;
    stage.ready("claude").await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, 1, "a workload added");
}

async fn a_changed_catalog_restarts(stage: &Stage) {
    stage.deployment("chat").await;
    let mut wanted = spec("eu", &["chat"]);
    wanted["fallback"] = json!({"geographies": ["global"]});
    stage.bound("claude", wanted).await;
    stage.script.lists_without(REGION, EU);
    stage.until_rolled_out("claude", GLOBAL).await;
    assert_eq!(stage.restarts("chat").await, 1);
    // What fails, or is only listed again, changes no value.
    stage.script.throttles(REGION);
    stage
        .until("claude", "CatalogFresh", "False", Reason::Throttled)
        .await;
    stage.script.lists_without(REGION, EU);
    stage
        .until("claude", "CatalogFresh", "True", Reason::Fresh)
        .await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, 1);
    stage.script.recovers(REGION);
    stage.until_rolled_out("claude", EU).await;
    assert_eq!(stage.restarts("chat").await, 2);
}

async fn off_it_restarts_nothing_and_says_so(stage: &mut Stage) {
    stage.deployment("chat").await;
    stage.bound("claude", spec("eu", &["chat"])).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_rolled_out("claude", GLOBAL).await;
    stage
        .until_told(
            "claude",
            "this operator does not restart workloads (start it with --enable-rollout)",
        )
        .await;
    // Switched on, it does not make up for what changed before.
    stage.restart(stage.restarting()).await;
    eventually("the message is gone", || async {
        let told = message(&stage.binding("claude").await, "TargetsSynced");
        if told == "up to date: ConfigMap claude" {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, 0);
    stage.edit("claude", json!({"geography": "eu"})).await;
    stage.until_rolled_out("claude", EU).await;
    assert_eq!(stage.restarts("chat").await, 1);
}

async fn a_workload_that_does_not_exist_is_told(stage: &mut Stage) {
    stage.deployment("chat").await;
    stage.bound("claude", spec("eu", &["gone", "chat"])).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_rolled_out("claude", GLOBAL).await;
    stage
        .until_told("claude", "not found, so not restarted: Deployment gone")
        .await;
    assert_eq!(stage.restarts("chat").await, 1, "it holds up no other");
    let before = stage.binding("claude").await;
    // It is not looked for again, and that it was not there stands.
    stage.restart(stage.restarting()).await;
    stage.deployment("gone").await;
    stage.settled().await;
    assert_eq!(stage.binding("claude").await, before);
    assert_eq!(stage.restarts("gone").await, 0);
    stage.edit("claude", json!({"geography": "eu"})).await;
    stage.until_rolled_out("claude", EU).await;
    assert_eq!(stage.restarts("gone").await, 1);
    let told = message(&stage.binding("claude").await, "TargetsSynced");
    assert_eq!(told, "up to date: ConfigMap claude");
}

/// Gives the user `limited` what an operator needs, with these rights on the status of bindings and on Deployments.
async fn grant(stage: &Stage, status: &[&str], deployments: &[&str]) {
    let rights: [(&str, &str, &[&str]); 3] = [
        ("", "configmaps", EVERY),
        (
            "inferenceprofiles.dev",
            "inferenceprofilebindings/status",
            status,
        ),
        ("apps", "deployments", deployments),
    ];
    let given: Vec<_> = rights
        .into_iter()
        .filter(|(_, _, verbs)| !verbs.is_empty())
        .collect();
    stage.grant_all("limited", &given).await;
}

async fn without_rights_it_fails_and_is_cured_by_them(stage: &mut Stage) {
    grant(stage, &["patch"], &["get"]).await;
    stage.start_as("limited", stage.restarting()).await;
    stage.deployment("chat").await;
    stage.bound("claude", spec("eu", &["chat"])).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    let why = stage
        .until_not_synced("claude", Reason::RolloutFailed)
        .await;
    for part in [
        "the values are written",
        "Deployment chat",
        "service account",
        "patch",
    ] {
        assert!(why.contains(part), "{part:?} in {why:?}");
    }
    let binding = stage.binding("claude").await;
    assert!(verdict(&binding, "Stalled").is_some());
    assert_eq!(
        profile_in_use(&binding),
        Some(GLOBAL),
        "nothing is taken back"
    );
    assert_eq!(stage.id("claude").await.as_deref(), Some(GLOBAL));
    assert_eq!(stage.restarts("chat").await, 0);

    grant(stage, &["patch"], &["get", "patch"]).await;
    stage.until_rolled_out("claude", GLOBAL).await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, 1);
    let events = [
        ("Normal", "ProfileChanged", 1),
        ("Warning", "RolloutFailed", 1),
        ("Normal", "Bound", 1),
        ("Normal", "RolloutTriggered", 1),
    ];
    stage.until_events("claude", &events).await;
}

async fn a_restart_that_fails_on_the_way_is_tried_again(stage: &Stage) {
    chat(stage).await;
    stage.obstruct::<Deployment>("chat").await;
    stage.edit("claude", json!({"geography": "global"})).await;
    let why = stage
        .until("claude", "TargetsSynced", "Unknown", Reason::Retrying)
        .await;
    assert!(why.contains("Deployment chat"), "{why}");
    assert_eq!(stage.id("claude").await.as_deref(), Some(GLOBAL));
    stage.clear().await;
    stage.until_rolled_out("claude", GLOBAL).await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, 1);
}

async fn a_value_that_changed_back_restarts_all_the_same(stage: &mut Stage) {
    grant(stage, &["patch"], &["get"]).await;
    stage.start_as("limited", stage.restarting()).await;
    stage.deployment("chat").await;
    stage.bound("claude", spec("eu", &["chat"])).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage
        .until_not_synced("claude", Reason::RolloutFailed)
        .await;
    // Pods that started meanwhile have read the value in between.
    stage.edit("claude", json!({"geography": "eu"})).await;
    stage
        .until_not_synced("claude", Reason::RolloutFailed)
        .await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    grant(stage, &["patch"], &["get", "patch"]).await;
    stage.until_rolled_out("claude", EU).await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, 1);
}

async fn an_operator_that_stopped_before_the_restart_makes_up_for_it(stage: &mut Stage) {
    stage.start(stage.restarting());
    chat(stage).await;
    stage.stop().await;
    grant(stage, &["patch"], &["get"]).await;
    stage.start_as("limited", stage.restarting()).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_id("claude", Some(GLOBAL)).await;
    stage.stop().await;
    stage.start(stage.restarting());
    stage.until_rolled_out("claude", GLOBAL).await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, 1);
}

/// Without a record of the change before it, the change could not be told from the same change a second time.
async fn a_restart_is_owed_where_statuses_cannot_be_written_for_a_while(stage: &mut Stage) {
    let all: &[&str] = &["get", "patch"];
    grant(stage, &["patch"], all).await;
    stage.start_as("limited", stage.restarting()).await;
    chat(stage).await;
    stage.bound("plain", spec("eu", &[])).await;
    grant(stage, &[], all).await;
    for (geography, id) in [("global", GLOBAL), ("eu", EU)] {
        for name in ["claude", "plain"] {
            stage.edit(name, json!({"geography": geography})).await;
        }
        // What restarts nothing needs no record.
        stage.until_id("plain", Some(id)).await;
    }
    grant(stage, &["patch"], all).await;
    stage.ready("claude").await;
    let before = stage.restarts("chat").await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.until_rolled_out("claude", GLOBAL).await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(GLOBAL));
    stage.until_restarts("chat", before + 1).await;
    stage.settled().await;
    assert_eq!(stage.restarts("chat").await, before + 1);
}

/// Says whether a Deployment was restarted and its pods are not replaced yet.
fn restarts_now(deployment: &Deployment) -> bool {
    let observed = deployment
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    let generation = deployment.metadata.generation.expect("a generation");
    generation > 1 && observed.unwrap_or_default() < generation
}

async fn a_few_at_a_time_in_the_order_of_the_spec(stage: &mut Stage) {
    const NAMES: [&str; 6] = ["f", "b", "d", "a", "e", "c"];
    stage.start(Options {
        concurrent_rollouts: 2,
        ..stage.restarting()
    });
    for name in NAMES {
        stage.deployment(name).await;
    }
    stage.bound("claude", spec("eu", &NAMES)).await;
    let history = History::watch(stage.workloads::<Deployment>()).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage
        .until_told("claude", "the restart of Deployment d, Deployment a, Deployment e, Deployment c waits for others")
        .await;
    stage.settled().await;
    stage.until_restarts(NAMES[1], 1).await;
    for (index, name) in NAMES.into_iter().enumerate() {
        stage.complete(name).await;
        if let Some(next) = NAMES.get(index + 2) {
            stage.until_restarts(next, 1).await;
        }
    }
    stage.until_rolled_out("claude", GLOBAL).await;
    history
        .first("the last one is complete", |state| {
            state.name_any() == NAMES[5]
                && state.metadata.generation == Some(2)
                && !restarts_now(state)
        })
        .await;

    let mut latest: BTreeMap<String, bool> = BTreeMap::new();
    let mut order = Vec::new();
    for state in history.states() {
        let (name, now) = (state.name_any(), restarts_now(&state));
        if now && latest.insert(name.clone(), now) != Some(true) {
            order.push(name.clone());
        }
        latest.insert(name, now);
        let at_once = latest.values().filter(|now| **now).count();
        assert!(at_once <= 2, "{latest:?}");
    }
    assert_eq!(order[2..], NAMES[2..], "first in line, first out");
    for name in NAMES {
        assert_eq!(stage.restarts(name).await, 1);
    }
    let events = [
        ("Normal", "ProfileChanged", 1),
        ("Normal", "RolloutTriggered", 1),
    ];
    stage.until_events("claude", &events).await;
}

async fn whoever_leaves_the_line_holds_up_nobody(stage: &mut Stage) {
    stage.start(Options {
        concurrent_rollouts: 1,
        ..stage.restarting()
    });
    for name in ["first", "deleted", "changed", "suspended", "last"] {
        stage.deployment(name).await;
        stage.bound(name, spec("eu", &[name])).await;
    }
    for name in ["first", "deleted", "changed", "suspended", "last"] {
        stage.edit(name, json!({"geography": "global"})).await;
        if name == "first" {
            stage.until_rolled_out(name, GLOBAL).await;
        } else {
            stage
                .until_told(
                    name,
                    &format!("the restart of Deployment {name} waits for others"),
                )
                .await;
        }
    }
    stage.delete("deleted").await;
    stage.edit("changed", json!({"rollout": null})).await;
    stage.suspend("suspended").await;
    stage.settled().await;
    assert_eq!(stage.restarts("last").await, 0);
    stage.complete("first").await;
    stage.until_rolled_out("last", GLOBAL).await;
    stage.settled().await;
    for (name, restarts) in [
        ("first", 1),
        ("deleted", 0),
        ("changed", 0),
        ("suspended", 0),
        ("last", 1),
    ] {
        assert_eq!(stage.restarts(name).await, restarts, "{name}");
    }
    // Its restart is due still.
    stage.edit("suspended", json!({"suspend": null})).await;
    stage.until_told("suspended", "waits for others").await;
    stage.complete("last").await;
    stage.until_rolled_out("suspended", GLOBAL).await;
    assert_eq!(stage.restarts("suspended").await, 1);
}

async fn two_bindings_restart_one_workload(stage: &mut Stage) {
    stage.start(Options {
        concurrent_rollouts: 1,
        ..stage.restarting()
    });
    stage.deployment("chat").await;
    for name in ["a", "b"] {
        stage.bound(name, spec("eu", &["chat"])).await;
    }
    for (index, name) in ["a", "b", "a", "b"].into_iter().enumerate() {
        let (geography, profile) = if index < 2 {
            ("global", GLOBAL)
        } else {
            ("eu", EU)
        };
        stage.edit(name, json!({"geography": geography})).await;
        // The second needs no slot of its own.
        stage.until_rolled_out(name, profile).await;
        stage.settled().await;
        let expected = i64::try_from(index + 1).expect("a number");
        assert_eq!(
            stage.restarts("chat").await,
            expected,
            "neither undoes the other's"
        );
    }
}

async fn another_leader_restarts_only_what_is_due(stage: &Stage) {
    let one_slot = || Options {
        concurrent_rollouts: 1,
        ..stage.restarting()
    };
    let (first, election) = replica_with(stage, "first", one_slot());
    election.leadership().acquired().await;
    let (second, standby) = replica_with(stage, "second", one_slot());
    for name in ["a", "b"] {
        stage.deployment(name).await;
    }
    stage.bound("claude", spec("eu", &["a", "b"])).await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage
        .until_told("claude", "the restart of Deployment b waits for others")
        .await;
    first.stop().await;
    election.resign().await;
    standby.leadership().acquired().await;
    // It repeats the patch of the first replica, which changes nothing, and waits for what that restarted.
    stage.complete("a").await;
    stage.until_rolled_out("claude", GLOBAL).await;
    stage.settled().await;
    for name in ["a", "b"] {
        assert_eq!(stage.restarts(name).await, 1, "{name}");
    }
    second.stop().await;
    standby.resign().await;
}
