//! Bindings that name a class: one edit moves all of them, takes nothing away, and restarts stop where a workload does not come up.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use inference_profile_operator::api::{
    InferenceProfileBinding, InferenceProfileClass, condition::Reason,
};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Namespace},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    case::{Case, cases},
    operator::{Options, SONNET},
    stage::{EU, GLOBAL, ID, Stage, embedded, empty, profile_in_use, verdict},
    support::{eventually, within},
};

/// A model with profiles of `eu` and `global`.
const HAIKU: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
const NAMESPACES: usize = 50;
const BINDINGS: usize = 200;
/// Longest wait for all bindings of the fleet, beside all other cases.
const FLEET_PATIENCE: Duration = Duration::from_mins(4);
/// The label `stage` of the namespaces, in turn.
const STAGES: [&str; 3] = ["dev", "test", "prod"];
/// The label by which the operator of a case selects its bindings.
const CASE: &str = "example.com/case";

pub fn cases() -> Vec<Case> {
    cases![
        empty(
            without_the_right_to_read_classes_it_says_so,
            one_edit_for_fifty_namespaces,
            a_wave_stops_at_a_workload_that_does_not_come_up
        ),
        embedded(
            a_binding_says_why_its_class_gives_it_nothing,
            the_limit_of_a_class_withdraws_and_nothing_else_does,
            a_binding_asks_in_one_way,
            a_class_that_is_not_one_is_refused,
        ),
    ]
}

impl Stage {
    fn classes(&self) -> Api<InferenceProfileClass> {
        Api::all(self.cluster.client.clone())
    }

    /// Returns the name of the case's class: classes have no namespace.
    pub fn class_name(&self) -> String {
        self.namespace.clone()
    }

    /// Creates the case's class.
    pub async fn offer(&self, spec: Value) {
        let class = json!({"metadata": {"name": self.class_name()}, "spec": spec});
        let class = serde_json::from_value(class).expect("a class");
        let created = self.classes().create(&PostParams::default(), &class).await;
        created.expect("accepted");
    }

    /// Changes these fields of the class's spec; null takes one away.
    pub async fn edit_class(&self, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        let edited = self
            .classes()
            .patch(&self.class_name(), &PatchParams::default(), &patch)
            .await;
        edited.expect("accepted");
    }

    /// Lets a user read classes and write their status.
    async fn show_classes(&self, user: &str) {
        let name = format!("{user}-classes");
        let group = "inferenceprofiles.dev";
        let rules = json!([
            {"apiGroups": [group], "resources": ["inferenceprofileclasses"], "verbs": ["list", "watch"]},
            {"apiGroups": [group], "resources": ["inferenceprofileclasses/status"], "verbs": ["patch"]},
        ]);
        let role = json!({"metadata": {"name": name}, "rules": rules});
        let role = serde_json::from_value(role).expect("a role");
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        });
        let binding = serde_json::from_value(binding).expect("a role binding");
        let client = &self.cluster.client;
        Api::<ClusterRole>::all(client.clone())
            .create(&PostParams::default(), &role)
            .await
            .expect("a role");
        let bindings = Api::<ClusterRoleBinding>::all(client.clone());
        let bound = bindings.create(&PostParams::default(), &binding).await;
        bound.expect("a role binding");
    }

    pub async fn delete_class(&self) {
        let deleted = self
            .classes()
            .delete(&self.class_name(), &DeleteParams::default())
            .await;
        deleted.expect("deleted");
    }

    /// Labels a Namespace.
    async fn label(&self, namespace: &str, stage: &str) {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"stage": stage}}}));
        let labelled = Api::<Namespace>::all(self.cluster.client.clone())
            .patch(namespace, &PatchParams::default(), &patch)
            .await;
        labelled.expect("labelled");
    }

    /// Waits until the class's status is as it should be, and returns it.
    async fn until_class(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async {
            let class = self.classes().get(&self.class_name()).await;
            let status = json!(class.expect("the class").status);
            if is_so(&status) {
                Ok(status)
            } else {
                Err(status)
            }
        })
        .await
    }
}

/// Returns status and reason of a condition of a class.
fn class_condition(status: &Value, kind: &str) -> Option<(String, String)> {
    let conditions = status["conditions"].as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason")))
}

/// The fifty namespaces of a case.
struct Fleet<'s> {
    stage: &'s Stage,
    namespaces: Vec<String>,
    counted: Counted,
}

/// The writes that a watch saw.
struct Counted {
    statuses: Arc<AtomicUsize>,
    targets: Arc<AtomicUsize>,
    watches: Vec<JoinHandle<()>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        for watch in &self.watches {
            watch.abort();
        }
    }
}

impl Counted {
    fn take(&self) -> (usize, usize) {
        (
            self.statuses.swap(0, Ordering::SeqCst),
            self.targets.swap(0, Ordering::SeqCst),
        )
    }
}

/// Counts the changes of the objects that are counted.
async fn count<K>(
    api: Api<K>,
    labels: &str,
    counts: fn(&K, &str) -> bool,
    case: &str,
) -> (Arc<AtomicUsize>, JoinHandle<()>)
where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let counter = Arc::new(AtomicUsize::new(0));
    let listed = api
        .list(&ListParams::default().labels(labels))
        .await
        .expect("a list");
    let mut version = listed.metadata.resource_version.expect("a version");
    let (counter_of_task, case, labels) = (counter.clone(), case.to_owned(), labels.to_owned());
    let watch = tokio::spawn(async move {
        loop {
            let params = WatchParams::default().labels(&labels);
            let events = api.watch(&params, &version).await.expect("a watch");
            let mut events = events.boxed();
            while let Some(event) = events.try_next().await.expect("an event") {
                match event {
                    WatchEvent::Added(object)
                    | WatchEvent::Modified(object)
                    | WatchEvent::Deleted(object) => {
                        version = object.resource_version().expect("a version");
                        if counts(&object, &case) {
                            counter_of_task.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    WatchEvent::Bookmark(mark) => version = mark.metadata.resource_version,
                    WatchEvent::Error(error) => panic!("{error:?}"),
                }
            }
        }
    });
    (counter, watch)
}

impl<'s> Fleet<'s> {
    async fn new(stage: &'s Stage) -> Fleet<'s> {
        let prefix = stage.namespace.clone();
        let namespaces: Vec<String> = (0..NAMESPACES).map(|n| format!("{prefix}-{n}")).collect();
        let api = Api::<Namespace>::all(stage.cluster.client.clone());
        for (index, name) in namespaces.iter().enumerate() {
            let labels = json!({"stage": STAGES[index % STAGES.len()]});
            let namespace = json!({"metadata": {"name": name, "labels": labels}});
            let namespace = serde_json::from_value(namespace).expect("a Namespace");
            api.create(&PostParams::default(), &namespace)
                .await
                .expect("created");
        }
        let fleet = Self {
            counted: Self::count(stage).await,
            stage,
            namespaces,
        };
        stream::iter(0..BINDINGS)
            .for_each_concurrent(16, |number| fleet.bind(number))
            .await;
        fleet
    }

    async fn bind(&self, number: usize) {
        let namespace = &self.namespaces[number % NAMESPACES];
        let binding = json!({
            "metadata": {"name": format!("chat-{number}"), "labels": {CASE: self.stage.namespace}},
            "spec": {"className": self.stage.class_name()},
        });
        let binding = serde_json::from_value(binding).expect("a binding");
        let created = self.stage.cluster.bindings(namespace);
        let created = created.create(&PostParams::default(), &binding).await;
        created.expect("accepted");
    }

    async fn count(stage: &Stage) -> Counted {
        let client = &stage.cluster.client;
        let mine = format!("{CASE}={}", stage.namespace);
        let bindings: Api<InferenceProfileBinding> = Api::all(client.clone());
        let named =
            |object: &InferenceProfileBinding, case: &str| object.name_any().starts_with(case);
        let (statuses, first) = count(bindings, &mine, named, "chat-").await;
        let targets: Api<ConfigMap> = Api::all(client.clone());
        let managed = "inferenceprofiles.dev/managed=true";
        let in_case = |object: &ConfigMap, case: &str| {
            object.namespace().is_some_and(|it| it.starts_with(case))
        };
        let case = format!("{}-", stage.namespace);
        let (targets, second) = count(targets, managed, in_case, &case).await;
        Counted {
            statuses,
            targets,
            watches: vec![first, second],
        }
    }

    async fn bindings(&self) -> Vec<InferenceProfileBinding> {
        let mine = format!("{CASE}={}", self.stage.namespace);
        let all: Api<InferenceProfileBinding> = Api::all(self.stage.cluster.client.clone());
        let listed = all.list(&ListParams::default().labels(&mine)).await;
        listed.expect("a list").items
    }

    /// As [`Stage::settled`], for an operator that serves what has the label of the case.
    async fn settled(&self) {
        let name = format!("barrier-{}", fastrand::u64(..));
        let binding = json!({
            "metadata": {"name": name, "labels": {CASE: self.stage.namespace}},
            "spec": {"model": SONNET, "geography": "eu"},
        });
        let binding = serde_json::from_value(binding).expect("a binding");
        let created = self
            .stage
            .bindings()
            .create(&PostParams::default(), &binding)
            .await;
        created.expect("accepted");
        self.stage.until_id(&name, Some(EU)).await;
        self.stage
            .meddle(&name, json!({"data": {ID: "drifted"}}))
            .await;
        self.stage.until_id(&name, Some(EU)).await;
        self.stage.unbind(&name).await;
    }

    /// Waits until so many bindings have a Ready of this reason.
    async fn until(&self, what: &str, reason: Reason, expected: usize) {
        within(FLEET_PATIENCE, what, || async {
            let bindings = self.bindings().await;
            let so = bindings.iter().filter(|binding| {
                verdict(binding, "Ready").is_some_and(|(_, it)| it == reason.as_str())
            });
            match so.count() {
                found if found == expected => Ok(()),
                found => Err(found),
            }
        })
        .await;
        self.settled().await;
    }

    /// Waits until so many bindings use this profile.
    async fn until_profile(&self, profile: &str, expected: usize) {
        within(
            FLEET_PATIENCE,
            &format!("{expected} use {profile}"),
            || async {
                let bindings = self.bindings().await;
                let so = bindings
                    .iter()
                    .filter(|binding| profile_in_use(binding) == Some(profile));
                match so.count() {
                    found if found == expected => Ok(()),
                    found => Err(found),
                }
            },
        )
        .await;
        self.settled().await;
    }

    /// Returns the profiles in the targets, with how many there are.
    async fn values(&self) -> (BTreeSet<String>, usize) {
        let all: Api<ConfigMap> = Api::all(self.stage.cluster.client.clone());
        let params = ListParams::default().labels("inferenceprofiles.dev/managed=true");
        let listed = all.list(&params).await.expect("a list");
        let prefix = format!("{}-", self.stage.namespace);
        let ours = listed
            .items
            .into_iter()
            .filter(|it| it.namespace().is_some_and(|it| it.starts_with(&prefix)));
        let values: Vec<String> = ours.filter_map(|it| it.data?.remove(ID)).collect();
        (values.iter().cloned().collect(), values.len())
    }
}

async fn one_edit_for_fifty_namespaces(stage: &mut Stage) {
    stage
        .offer(json!({
            "model": SONNET,
            "geography": "eu",
            "stages": [
                {"name": "abroad", "namespaceSelector": {"matchLabels": {"stage": "dev"}}, "geography": "global"},
                {"name": "second", "namespaceSelector": {"matchLabels": {"stage": "test"}}},
                {"name": "third", "namespaceSelector": {"matchExpressions": [{"key": "stage", "operator": "In", "values": ["frozen"]}]}},
            ],
        }))
        .await;
    stage.start(Options {
        all_namespaces: true,
        selector: Some(format!("{CASE}={}", stage.namespace)),
        ..Options::default()
    });
    let stage = &*stage;
    let fleet = Fleet::new(stage).await;
    fleet.until("all are Ready", Reason::Bound, BINDINGS).await;
    let (statuses, targets) = fleet.counted.take();
    // Each binding's own creation is an event too.
    assert_eq!(
        (statuses, targets),
        (2 * BINDINGS, BINDINGS),
        "two writes for each"
    );
    let dev = fleet
        .namespaces
        .iter()
        .enumerate()
        .filter(|(n, _)| n % 3 == 0)
        .count()
        * 4;
    fleet.until_profile(GLOBAL, dev).await;
    fleet.until_profile(EU, BINDINGS - dev).await;
    let in_use = fleet
        .bindings()
        .await
        .remove(0)
        .status
        .and_then(|it| it.profile)
        .expect("a profile");
    assert_eq!(in_use.class.expect("a class").name, stage.class_name());

    // An edit moves all of them: a target and a status each.
    stage.edit_class(json!({"model": HAIKU})).await;
    fleet.until_profile(&format!("global.{HAIKU}"), dev).await;
    fleet
        .until_profile(&format!("eu.{HAIKU}"), BINDINGS - dev)
        .await;
    assert_eq!(
        fleet.counted.take(),
        (BINDINGS, BINDINGS),
        "an edit of the model"
    );

    // A mistyped model takes nothing away.
    let before = fleet.values().await;
    assert_eq!(before.1, BINDINGS);
    stage
        .edit_class(json!({"model": "anthropic.claude-hiaku-4-5"}))
        .await;
    fleet
        .until("none is Ready", Reason::ModelUnsupported, BINDINGS)
        .await;
    assert_eq!(fleet.counted.take(), (BINDINGS, 0), "a mistyped model");
    assert_eq!(fleet.values().await, before);
    stage.edit_class(json!({"model": HAIKU})).await;
    fleet.until("undone", Reason::Bound, BINDINGS).await;
    assert_eq!(fleet.counted.take(), (BINDINGS, 0), "undone");

    relabelling_and_recreating_lose_nothing(&fleet, dev).await;
    the_status_counts_them(&fleet).await;
    stage.delete_class().await;
}

async fn relabelling_and_recreating_lose_nothing(fleet: &Fleet<'_>, dev: usize) {
    let stage = fleet.stage;
    // A relabelled Namespace moves its bindings and no other.
    stage.label(&fleet.namespaces[0], "prod").await;
    fleet
        .until_profile(&format!("global.{HAIKU}"), dev - 4)
        .await;
    assert_eq!(fleet.counted.take(), (4, 4), "a relabelled Namespace");

    // A stage that selects nobody moves nobody.
    stage.edit_class(json!({"namespaceSelector": {"matchExpressions": [{"key": "stage", "operator": "Exists"}]}})).await;
    stage
        .until_class("the edit is taken in", |status| {
            status["observedGeneration"] == 5
        })
        .await;
    fleet.settled().await;
    assert_eq!(fleet.counted.take(), (0, 0), "an edit that moves nobody");

    // A class that is gone and comes back.
    let before = fleet.values().await;
    let spec = stage
        .classes()
        .get(&stage.class_name())
        .await
        .expect("the class")
        .spec;
    stage.delete_class().await;
    fleet
        .until("the class is gone", Reason::ClassNotFound, BINDINGS)
        .await;
    assert_eq!(fleet.counted.take(), (BINDINGS, 0), "deleted");
    stage.offer(json!(spec)).await;
    fleet
        .until("the class is back", Reason::Bound, BINDINGS)
        .await;
    assert_eq!(fleet.counted.take(), (BINDINGS, 0), "recreated");
    assert_eq!(fleet.values().await, before, "no value is lost");
}

async fn the_status_counts_them(fleet: &Fleet<'_>) {
    let stage = fleet.stage;
    let counted = stage.until_class("its bindings are counted", |status| {
        status["bindings"] == BINDINGS && status["readyBindings"] == BINDINGS
    });
    let status = counted.await;
    assert_eq!(status["stages"], json!(["abroad", "second", "third"]));
    assert_eq!(
        class_condition(&status, "Ready"),
        Some(("True".into(), "Offered".into()))
    );
    assert_eq!(
        fleet.counted.take(),
        (0, 0),
        "counting writes to no binding"
    );
    let shown = stage
        .cluster
        .kubectl(&["get", "ipc", &stage.class_name()])
        .await
        .stdout;
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "NAME",
            "MODEL",
            "GEOGRAPHY",
            "STAGES",
            "ACTIVE",
            "BINDINGS",
            "READY",
            "AGE"
        ]
    );
    assert_eq!(
        lines[1][1..5],
        [HAIKU, "eu", r#"["abroad","second","third"]"#, "True"],
        "{shown}"
    );
    assert_eq!(lines[1][5..7], ["200", "200"], "{shown}");
}

async fn a_binding_says_why_its_class_gives_it_nothing(stage: &Stage) {
    let class = || json!({"className": stage.class_name()});
    stage.bind("early", class()).await;
    let told = stage
        .until("early", "Ready", "False", Reason::ClassNotFound)
        .await;
    assert!(told.contains("there is no class"), "{told}");
    assert_eq!(stage.id("early").await, None);
    stage.offer(json!({"model": SONNET, "geography": "eu", "namespaceSelector": {"matchLabels": {"team": "shop"}}})).await;
    let told = stage
        .until("early", "Ready", "False", Reason::ClassNotAllowed)
        .await;
    assert!(told.contains("team=shop"), "{told}");
    assert_eq!(stage.id("early").await, None);
    stage.edit_class(json!({"namespaceSelector": null})).await;
    stage.until_id("early", Some(EU)).await;
    stage.ready("early").await;
    // Who may no longer name it keeps its value, and gets no other.
    stage
        .edit_class(
            json!({"geography": "global", "namespaceSelector": {"matchLabels": {"team": "shop"}}}),
        )
        .await;
    stage
        .until("early", "Ready", "False", Reason::ClassNotAllowed)
        .await;
    stage.bind("late", class()).await;
    stage
        .until("late", "Ready", "False", Reason::ClassNotAllowed)
        .await;
    stage.settled().await;
    assert_eq!(stage.id("early").await.as_deref(), Some(EU));
    assert_eq!(stage.id("late").await, None);
    // Drift is corrected all the same.
    stage
        .meddle("early", json!({"data": {ID: "drifted"}}))
        .await;
    stage.until_id("early", Some(EU)).await;
    stage.delete_class().await;
}

async fn without_the_right_to_read_classes_it_says_so(stage: &mut Stage) {
    const EVERY: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
    let user = format!("{}-classless", stage.namespace);
    stage.grant(&user, EVERY).await;
    stage
        .offer(json!({"model": SONNET, "geography": "eu"}))
        .await;
    stage.start_as(&user, stage.options()).await;
    let class = json!({"className": stage.class_name()});
    stage.bind("by-class", class).await;
    let told = stage
        .until("by-class", "Ready", "Unknown", Reason::ClassUnknown)
        .await;
    assert!(
        told.contains("allow the operator's service account to list and watch"),
        "{told}"
    );
    // Others are not concerned.
    stage
        .bound("own", json!({"model": SONNET, "geography": "eu"}))
        .await;
    assert_eq!(stage.id("by-class").await, None);
    stage.show_classes(&user).await;
    stage.until_id("by-class", Some(EU)).await;
    stage.ready("by-class").await;
    stage
        .until_class("its bindings are counted", |status| {
            status["readyBindings"] == 1
        })
        .await;
    stage.delete_class().await;
}

async fn the_limit_of_a_class_withdraws_and_nothing_else_does(stage: &Stage) {
    stage
        .offer(json!({"model": SONNET, "geography": "eu", "allowedRegions": ["@eu"]}))
        .await;
    let binding = stage
        .bound("claude", json!({"className": stage.class_name()}))
        .await;
    let residency = verdict(&binding, "ResidencySatisfied").expect("a condition");
    assert_eq!(residency.1, Reason::AllRegionsAllowed.as_str());
    for (edit, reason) in [
        (json!({"geography": "jp"}), Reason::GeographyUnsupported),
        (json!({"geography": "global"}), Reason::RegionNotAllowed),
        (
            json!({"geography": "eu", "model": "anthropic.claude-x"}),
            Reason::ModelUnsupported,
        ),
    ] {
        stage.edit_class(edit).await;
        stage.until("claude", "Ready", "False", reason).await;
        assert_eq!(stage.id("claude").await.as_deref(), Some(EU), "{reason}");
    }
    stage.edit_class(json!({"model": SONNET})).await;
    stage.ready("claude").await;
    stage.edit_class(json!({"allowedRegions": ["@us"]})).await;
    stage.until_gone("claude").await;
    let told = stage
        .until("claude", "Ready", "False", Reason::RegionNotAllowed)
        .await;
    assert!(told.contains("the class's spec.allowedRegions"), "{told}");
    stage.delete_class().await;
}

async fn a_binding_asks_in_one_way(stage: &Stage) {
    for (spec, says) in [
        (
            json!({"className": "chat", "model": SONNET}),
            "className takes the place of model, geography and fallback",
        ),
        (
            json!({"className": "chat", "fallback": {"onDemand": true}}),
            "className takes the place of model, geography and fallback",
        ),
        (
            json!({"className": "chat", "model": SONNET, "geography": "eu"}),
            "className takes the place of model, geography and fallback",
        ),
        (json!({"model": SONNET}), "model and geography are required"),
        (
            json!({"geography": "eu"}),
            "model and geography are required",
        ),
        (
            json!({"className": null}),
            "model and geography are required",
        ),
        (json!({"className": "Chat"}), "not an object name"),
    ] {
        let refused = stage
            .try_bind("no", spec.clone())
            .await
            .expect_err("refused");
        assert!(refused.to_string().contains(says), "{spec}: {refused}");
    }
    // Templates of manifests leave nulls behind.
    stage
        .bind(
            "yes",
            json!({"className": "chat", "model": null, "geography": null, "fallback": null}),
        )
        .await;
}

async fn a_class_that_is_not_one_is_refused(stage: &Stage) {
    for (name, spec, says) in [
        ("no", json!({"model": SONNET}), "geography"),
        (
            "no",
            json!({"model": "arn:aws:bedrock:x", "geography": "eu"}),
            "instead of an ARN",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "EU"}),
            "not a geography",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "eu", "allowedRegions": []}),
            "leave allowedRegions out",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "eu", "stages": [{"name": "a"}]}),
            "namespaceSelector",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "eu", "stages": [{"name": "A", "namespaceSelector": {}}]}),
            "not the name of a stage",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "eu", "stages": [{"name": "a", "namespaceSelector": {}}, {"name": "a", "namespaceSelector": {}}]}),
            "Duplicate value",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "eu", "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            "In and NotIn need values",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "eu", "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}),
            "Exists and DoesNotExist take none",
        ),
        (
            "no",
            json!({"model": SONNET, "geography": "eu", "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}),
            "Unsupported value",
        ),
        (
            &"x".repeat(64),
            json!({"model": SONNET, "geography": "eu"}),
            "at most 63 characters",
        ),
    ] {
        let class = json!({
            "apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": "InferenceProfileClass",
            "metadata": {"name": name}, "spec": spec,
        });
        let class = serde_json::from_value(class).expect("an object");
        let objects: Api<kube::api::DynamicObject> = Api::all_with(
            stage.cluster.client.clone(),
            &kube::api::ApiResource::erase::<InferenceProfileClass>(&()),
        );
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let refused = objects.create(&dry, &class).await.expect_err("refused");
        assert!(refused.to_string().contains(says), "{spec}: {refused}");
    }
}

async fn a_wave_stops_at_a_workload_that_does_not_come_up(stage: &mut Stage) {
    const WORKLOADS: usize = 20;
    let options = |stage: &Stage| Options {
        enable_rollout: true,
        concurrent_rollouts: 1,
        ..stage.options()
    };
    stage.start(options(stage));
    stage
        .offer(json!({"model": SONNET, "geography": "eu"}))
        .await;
    let names: Vec<String> = (0..WORKLOADS)
        .map(|number| format!("web-{number:02}"))
        .collect();
    for name in &names {
        stage.deployment(name).await;
        let rollout = json!([{"kind": "Deployment", "name": name}]);
        stage
            .bind(
                name,
                json!({"className": stage.class_name(), "rollout": rollout}),
            )
            .await;
    }
    for name in &names {
        stage.ready(name).await;
    }
    stage.edit_class(json!({"geography": "global"})).await;
    let mut done: Vec<String> = Vec::new();
    while done.len() < 2 {
        let next = stage.until_one_more_restarts(&names, &done).await;
        stage.complete(&next).await;
        done.push(next);
    }
    let stuck = stage.until_one_more_restarts(&names, &done).await;
    stage.exceed_deadline(&stuck).await;
    let status = stage
        .until_class("the wave has stopped", |status| {
            class_condition(status, "RolloutHealthy").is_some_and(|(status, _)| status == "False")
        })
        .await;
    let workload = json!({"kind": "Deployment", "namespace": stage.namespace, "name": stuck});
    assert_eq!(status["stuckWorkloads"], json!([workload]));
    let (_, reason) = class_condition(&status, "RolloutHealthy").expect("a condition");
    assert_eq!(reason, "ProgressDeadlineExceeded");
    // Values are written all the same.
    for name in &names {
        stage.until_id(name, Some(GLOBAL)).await;
    }
    stage.settled().await;
    assert_eq!(stage.restarted(&names).await.len(), 3, "no fourth");
    // Others go on.
    stage.deployment("other").await;
    let rollout = json!([{"kind": "Deployment", "name": "other"}]);
    stage
        .bound(
            "other",
            json!({"model": SONNET, "geography": "eu", "rollout": rollout}),
        )
        .await;
    stage.edit("other", json!({"geography": "global"})).await;
    let other = ["other".to_owned()];
    stage.until_one_more_restarts(&other, &[]).await;
    stage.complete("other").await;

    // It survives the operator.
    stage.restart(options(stage)).await;
    for name in &names {
        stage.ready(name).await;
    }
    stage.settled().await;
    assert_eq!(
        stage.restarted(&names).await.len(),
        3,
        "after a restart of the operator"
    );

    // Corrected: the rest follows.
    stage.complete(&stuck).await;
    done.push(stuck);
    while done.len() < WORKLOADS {
        let next = stage.until_one_more_restarts(&names, &done).await;
        stage.complete(&next).await;
        done.push(next);
    }
    stage
        .until_class("the class is healthy", |status| {
            class_condition(status, "RolloutHealthy").is_some_and(|(status, _)| status == "True")
        })
        .await;
    for name in &names {
        assert_eq!(stage.restarts(name).await, 1, "{name}: once");
    }
    stage.delete_class().await;
}

impl Stage {
    /// Returns the Deployments among these that were restarted.
    async fn restarted(&self, names: &[String]) -> Vec<String> {
        let mut restarted = Vec::new();
        for name in names {
            if self.restarts(name).await > 0 {
                restarted.push(name.clone());
            }
        }
        restarted
    }

    /// Waits until one Deployment more than these is restarted, and returns it.
    async fn until_one_more_restarts(&self, names: &[String], before: &[String]) -> String {
        eventually("one more restarts", || async {
            let restarted = self.restarted(names).await;
            let new: Vec<String> = restarted
                .into_iter()
                .filter(|name| !before.contains(name))
                .collect();
            match new.as_slice() {
                [one] => Ok(one.clone()),
                _ => Err(new),
            }
        })
        .await
    }
}
