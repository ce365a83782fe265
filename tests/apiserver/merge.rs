//! Targets that others own: the operator holds its own keys there and nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use inference_profile_operator::api::{InferenceProfileBinding, condition::Reason};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{
    case::{Case, case, cases, needing_controllers},
    operator::{Options, condition},
    stage::{EU, GLOBAL, Stage, assert_kept_out, embedded, empty},
    support::eventually,
    targets::{
        ALLOW, CHART, FINALIZER, History, LABEL, controller, data, holds, merge, owner, spec,
        version,
    },
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![
        embedded(
            waits_for_the_object,
            an_owner_keeps_mergers_out,
            from_owner_to_merge,
            the_finalizer_goes_with_the_last_merge_target,
        ),
        empty(
            needs_the_consent_of_the_owner,
            a_consent_taken_back_stops_writes,
            leaves_the_other_keys_alone_through_its_life,
            an_object_that_took_the_place_is_not_touched_by_a_removal,
            a_removed_target_is_cleaned,
            a_removed_key_goes,
            drift_of_our_keys_is_corrected,
            a_key_taken_by_others_is_not_fought_over,
            a_removal_says_who_still_holds_a_key,
            two_bindings_share_an_object,
            two_bindings_don_t_share_a_key,
            a_holder_keeps_its_key_against_one_that_holds_another,
            a_merger_keeps_owners_out,
            a_lost_status_does_not_make_the_object_ours,
            the_finalizer_frames_the_writes,
        ),
    ];
    for (name, theirs) in [
        ("a_key_of_others_is_a_conflict", "theirs"),
        ("a_key_of_others_with_our_value_is_a_conflict", EU),
    ] {
        cases.push(case!(empty, name, a_key_of_others(theirs)));
    }
    for (name, theirs) in [
        ("from_merge_to_owner", Some("untouched")),
        ("from_merge_to_owner_of_an_otherwise_empty_object", None),
    ] {
        cases.push(case!(empty, name, from_merge_to_owner(theirs)));
    }
    cases.extend(needing_controllers(cases![embedded(
        a_namespace_can_be_deleted
    )]));
    cases
}

/// Starts an operator, and lets a binding `claude` hold these keys of the `ConfigMap` `app`.
async fn merged(stage: &mut Stage, keys: &[&str]) {
    stage.host("app", Some("claude")).await;
    stage.start(Options::default());
    stage.bound("claude", spec([merge("app", keys)])).await;
}

/// Starts an operator, and lets two bindings `one` and `two` hold a key each, `ONE` and `TWO`, of the `ConfigMap` `app`.
async fn shared(stage: &mut Stage) {
    stage.host("app", Some("one, two")).await;
    stage.start(Options::default());
    stage.bind("one", spec([merge("app", &["ONE"])])).await;
    stage.bind("two", spec([merge("app", &["TWO"])])).await;
    stage.ready("one").await;
    stage.ready("two").await;
}

/// Another field manager that writes a key of its own all the time.
struct Busy {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u32>,
}

impl Busy {
    fn start(stage: &Stage, name: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, api) = (stop.clone(), stage.config_maps());
        let params = PatchParams {
            field_manager: Some("busy".to_owned()),
            ..PatchParams::default()
        };
        let task = tokio::spawn(async move {
            let mut count = 0;
            while !stopped.load(Ordering::SeqCst) {
                let patch = Patch::Merge(json!({"data": {"COUNT": format!("{}", count + 1)}}));
                match api.patch(name, &params, &patch).await {
                    Ok(_) => count += 1,
                    // The owner replaces the object.
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    Err(error) => panic!("the other writer is disturbed: {error}"),
                }
            }
            count
        });
        Self { stop, task }
    }

    /// Stops, and returns what was written last.
    async fn stop(self) -> String {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("undisturbed").to_string()
    }
}

async fn needs_the_consent_of_the_owner(stage: &mut Stage) {
    let before = stage.host("app", Some("another,claude-2")).await;
    stage.start(Options::default());
    stage.bind("claude", spec([merge("app", &["MODEL"])])).await;
    let message = stage
        .until_not_synced("claude", Reason::TargetForbidden)
        .await;
    assert!(
        message.contains(&format!("{ALLOW}: claude")),
        "it says what to do: {message}"
    );
    stage.settled().await;
    assert_eq!(stage.object("app").await, before);

    let consent = json!({"metadata": {"annotations": {ALLOW: "another, claude"}}});
    stage.change("app", CHART, consent).await;
    stage.ready("claude").await;
    let app = stage.object("app").await;
    assert_eq!(data(&app, "MODEL"), Some(EU));
    assert_eq!(data(&app, "theirs"), Some("untouched"));
    assert_eq!(controller(&app), None, "it is not captured");
}

async fn a_consent_taken_back_stops_writes(stage: &mut Stage) {
    merged(stage, &["MODEL"]).await;

    let no_consent = json!({"metadata": {"annotations": {ALLOW: null}}});
    stage.change("app", CHART, no_consent).await;
    stage
        .until_not_synced("claude", Reason::TargetForbidden)
        .await;
    stage.edit("claude", json!({"geography": "global"})).await;
    stage
        .until_not_synced("claude", Reason::TargetForbidden)
        .await;
    assert_eq!(
        stage.value("app", "MODEL").await.as_deref(),
        Some(EU),
        "nothing is written any more, and nothing breaks"
    );

    // Our own keys go without consent.
    stage.unbind("claude").await;
    let app = stage.object("app").await;
    assert_eq!(data(&app, "MODEL"), None);
    assert_eq!(data(&app, "theirs"), Some("untouched"));
}

async fn waits_for_the_object(stage: &Stage) {
    stage.bind("claude", spec([merge("app", &["MODEL"])])).await;
    let message = stage
        .until_not_synced("claude", Reason::TargetNotFound)
        .await;
    assert!(message.contains("ConfigMap app"), "{message}");
    assert_eq!(
        stage.config_map("app").await,
        None,
        "a merge creates nothing"
    );
    stage.host("app", Some("claude")).await;
    stage.ready("claude").await;
    assert_eq!(stage.value("app", "MODEL").await.as_deref(), Some(EU));
}

async fn leaves_the_other_keys_alone_through_its_life(stage: &mut Stage) {
    stage.host("app", Some("claude")).await;
    let busy = Busy::start(stage, "app");
    stage.start(Options::default());
    stage
        .bound("claude", spec([merge("app", &["MODEL"])]))
        .await;
    let written = stage.object("app").await;
    assert_eq!(data(&written, "MODEL"), Some(EU));
    assert_eq!(data(&written, "theirs"), Some("untouched"));

    stage.edit("claude", json!({"geography": "global"})).await;
    stage.ready("claude").await;
    let changed = stage.object("app").await;
    assert_eq!(data(&changed, "MODEL"), Some(GLOBAL));
    assert_eq!(data(&changed, "theirs"), Some("untouched"));

    // The owner replaces the object: our keys come back by themselves.
    stage.delete_object("app").await;
    let replaced = stage.host("app", Some("claude")).await;
    let back = stage
        .until_object("app", "has our key again", |app| {
            data(app, "MODEL") == Some(GLOBAL)
        })
        .await;
    assert_eq!(back.uid(), replaced.uid(), "it is still the owner's object");
    assert_eq!(data(&back, "theirs"), Some("untouched"));
    eventually("the inventory has the new object", || async {
        let binding = stage.binding("claude").await;
        let uids = binding.status.as_ref().map(|status| {
            let targets = status.targets.iter();
            targets.map(|target| target.uid.clone()).collect::<Vec<_>>()
        });
        if uids == replaced.uid().map(|uid| vec![uid]) {
            Ok(())
        } else {
            Err(binding.status)
        }
    })
    .await;
    stage.ready("claude").await;

    stage.unbind("claude").await;
    let count = busy.stop().await;
    let after = stage.object("app").await;
    let left: Vec<(&str, &str)> = after
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(left, [("COUNT", count.as_str()), ("theirs", "untouched")]);
    assert!(!after.labels().contains_key(LABEL), "our label goes too");
}

async fn an_object_that_took_the_place_is_not_touched_by_a_removal(stage: &mut Stage) {
    merged(stage, &["MODEL"]).await;
    stage.stop().await;

    stage.delete_object("app").await;
    stage
        .create(json!({"metadata": {"name": "app"}, "data": {"MODEL": "theirs"}}))
        .await;
    // Not even a field manager of our name counts on another object than the one that was written to.
    let forged = json!({"FORGED": "1"});
    let manager = "inferenceprofiles.dev:claude";
    stage.take("app", manager, forged).await;
    let before = stage.object("app").await;
    stage.delete("claude").await;
    stage.start(Options::default());
    stage.until_unbound("claude").await;
    assert_eq!(stage.object("app").await, before);
}

async fn a_removed_target_is_cleaned(stage: &mut Stage) {
    merged(stage, &["MODEL"]).await;
    stage.host("app-2", Some("claude")).await;

    stage.retarget("claude", [merge("app-2", &["MODEL"])]).await;
    stage.ready("claude").await;
    let cleaned = stage.object("app").await;
    assert_eq!(data(&cleaned, "MODEL"), None);
    assert_eq!(data(&cleaned, "theirs"), Some("untouched"));
    assert!(!cleaned.labels().contains_key(LABEL));
    assert_eq!(stage.value("app-2", "MODEL").await.as_deref(), Some(EU));
}

async fn a_removed_key_goes(stage: &mut Stage) {
    merged(stage, &["MODEL", "SPARE"]).await;
    assert_eq!(stage.value("app", "SPARE").await.as_deref(), Some(EU));
    stage.retarget("claude", [merge("app", &["MODEL"])]).await;
    stage.ready("claude").await;
    let app = stage.object("app").await;
    assert_eq!(data(&app, "SPARE"), None);
    assert_eq!(data(&app, "MODEL"), Some(EU));
    assert_eq!(data(&app, "theirs"), Some("untouched"));
}

async fn drift_of_our_keys_is_corrected(stage: &mut Stage) {
    merged(stage, &["MODEL"]).await;
    let drifts = [
        ("deleted", json!({"data": {"MODEL": null}})),
        ("unlabelled", json!({"metadata": {"labels": null}})),
    ];
    for (drift, patch) in drifts {
        stage.meddle("app", patch).await;
        let what = format!("our key is back where it was {drift}");
        let app = stage
            .until_object("app", &what, |app| {
                data(app, "MODEL") == Some(EU) && app.labels().contains_key(LABEL)
            })
            .await;
        assert_eq!(data(&app, "theirs"), Some("untouched"));
    }
    stage.ready("claude").await;
}

async fn a_key_of_others(stage: &mut Stage, theirs: &str) {
    let object = json!({
        "metadata": {"name": "app", "annotations": {ALLOW: "claude"}},
        "data": {"MODEL": theirs},
    });
    let before = stage.create(object).await;
    stage.start(Options::default());
    stage.bind("claude", spec([merge("app", &["MODEL"])])).await;
    let message = stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;
    assert!(
        message.contains("MODEL") && message.contains(CHART),
        "key and manager are named: {message}"
    );
    stage.settled().await;
    assert_eq!(stage.object("app").await, before);

    let given_up = json!({"data": {"MODEL": null}});
    stage.change("app", CHART, given_up).await;
    stage.ready("claude").await;
    assert_eq!(stage.value("app", "MODEL").await.as_deref(), Some(EU));
}

async fn a_key_taken_by_others_is_not_fought_over(stage: &mut Stage) {
    merged(stage, &["MODEL", "SPARE"]).await;
    stage.take("app", "someone", json!({"MODEL": "mine"})).await;
    let before = stage.object("app").await;
    let message = stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;
    assert!(
        message.contains("MODEL") && message.contains("someone"),
        "{message}"
    );
    stage.settled().await;
    assert_eq!(stage.object("app").await, before);

    // What is left to us goes, what was taken stays.
    stage.unbind("claude").await;
    let after = stage.object("app").await;
    assert_eq!(data(&after, "MODEL"), Some("mine"));
    assert_eq!(data(&after, "SPARE"), None);
}

async fn a_removal_says_who_still_holds_a_key(stage: &mut Stage) {
    merged(stage, &["MODEL", "SPARE"]).await;
    stage.stop().await;
    // The equal value: both hold the key from now on.
    stage.take("app", "someone", json!({"MODEL": EU})).await;
    stage.retarget("claude", [owner("elsewhere")]).await;
    let history = History::watch(stage.bindings()).await;

    stage.start(Options::default());
    let said = history
        .first(
            "the removal is incomplete",
            |binding: &InferenceProfileBinding| {
                condition(binding, "TargetsSynced")
                    .is_some_and(|(_, reason, _)| reason == Reason::TargetConflict.as_str())
            },
        )
        .await;
    let (_, _, message) = condition(&said, "TargetsSynced").expect("said");
    assert!(
        message.contains("ConfigMap app") && message.contains("someone"),
        "{message}"
    );
    let app = stage.object("app").await;
    assert_eq!(data(&app, "MODEL"), Some(EU), "it is theirs too");
    assert_eq!(data(&app, "SPARE"), None, "what was ours alone is gone");
    assert!(!holds(&app, "inferenceprofiles.dev:claude", "MODEL"));
}

async fn two_bindings_share_an_object(stage: &mut Stage) {
    shared(stage).await;
    let app = stage.object("app").await;
    assert_eq!(data(&app, "ONE"), Some(EU));
    assert_eq!(data(&app, "TWO"), Some(EU));

    // The one that stays is served as before: the label stays with it.
    stage.unbind("one").await;
    let app = stage.object("app").await;
    assert_eq!(data(&app, "ONE"), None);
    assert_eq!(data(&app, "TWO"), Some(EU));
    assert!(app.labels().contains_key(LABEL));
    let deleted = json!({"data": {"TWO": null}});
    stage.meddle("app", deleted).await;
    stage
        .until_object("app", "drift is seen", |app| data(app, "TWO") == Some(EU))
        .await;
}

async fn two_bindings_don_t_share_a_key(stage: &mut Stage) {
    stage.host("app", Some("one, two")).await;
    stage.start(Options::default());
    let same = spec([merge("app", &["MODEL"])]);
    stage.bound("one", same.clone()).await;
    let before = stage.object("app").await;
    stage.bind("two", same).await;
    assert_kept_out(stage, "two", "one", &before).await;

    stage.unbind("one").await;
    stage.ready("two").await;
    let app = stage.object("app").await;
    assert_eq!(data(&app, "MODEL"), Some(EU));
    assert!(holds(&app, "inferenceprofiles.dev:two", "MODEL"));
}

async fn a_holder_keeps_its_key_against_one_that_holds_another(stage: &mut Stage) {
    shared(stage).await;
    let before = stage.object("app").await;

    for (greedy, holder) in [("one", "two"), ("two", "one")] {
        stage
            .retarget(greedy, [merge("app", &["ONE", "TWO"])])
            .await;
        assert_kept_out(stage, greedy, holder, &before).await;
        stage
            .retarget(greedy, [merge("app", &[&*greedy.to_uppercase()])])
            .await;
        stage.ready(greedy).await;
    }
}

async fn an_owner_keeps_mergers_out(stage: &Stage) {
    stage.bound("owner", spec([owner("model")])).await;
    let consent = json!({"metadata": {"annotations": {ALLOW: "merger"}}});
    stage.change("model", CHART, consent).await;
    let before = stage.object("model").await;
    stage
        .bind("merger", spec([merge("model", &["OTHER"])]))
        .await;
    assert_kept_out(stage, "merger", "owner", &before).await;
}

async fn a_merger_keeps_owners_out(stage: &mut Stage) {
    stage.host("app", Some("merger")).await;
    stage.start(Options::default());
    stage
        .bound("merger", spec([merge("app", &["MODEL"])]))
        .await;
    let before = stage.object("app").await;
    stage.bind("owner", spec([owner("app")])).await;
    assert_kept_out(stage, "owner", "merger", &before).await;
}

async fn from_owner_to_merge(stage: &Stage) {
    let binding = stage.bound("claude", spec([owner("model")])).await;
    let owned = stage.object("model").await;
    assert_eq!(controller(&owned), binding.uid());

    stage.retarget("claude", [merge("model", &["MODEL"])]).await;
    stage
        .until_not_synced("claude", Reason::TargetForbidden)
        .await;
    assert_eq!(
        stage.object("model").await,
        owned,
        "a merge needs consent, and nothing is lost without it"
    );

    let consent =
        json!({"metadata": {"annotations": {ALLOW: "claude"}}, "data": {"theirs": "untouched"}});
    stage.change("model", CHART, consent).await;
    stage.ready("claude").await;
    let merged = stage.object("model").await;
    assert_eq!(merged.uid(), owned.uid());
    assert_eq!(data(&merged, "MODEL"), Some(EU));
    assert_eq!(controller(&merged), None, "the object is given up");

    stage.unbind("claude").await;
    let left = stage.object("model").await;
    assert_eq!(left.uid(), owned.uid());
    assert_eq!(data(&left, "MODEL"), None);
    assert_eq!(data(&left, "theirs"), Some("untouched"));
}

async fn from_merge_to_owner(stage: &mut Stage, theirs: Option<&str>) {
    let object = json!({
        "metadata": {"name": "app", "annotations": {ALLOW: "claude"}},
        "data": theirs.map(|text| json!({"theirs": text})),
    });
    let before = stage.create(object).await;
    stage.start(Options::default());
    stage
        .bound("claude", spec([merge("app", &["MODEL"])]))
        .await;

    stage.retarget("claude", [owner("app")]).await;
    stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;
    let cleaned = stage
        .until_object("app", "our key is gone", |app| data(app, "MODEL").is_none())
        .await;
    let is_the_owners = |app: &ConfigMap| {
        assert_eq!(app.uid(), before.uid());
        assert_eq!(controller(app), None, "it is not captured");
        assert_eq!(
            app.data.clone().unwrap_or_default(),
            before.data.clone().unwrap_or_default()
        );
    };
    is_the_owners(&cleaned);
    stage.settled().await;
    is_the_owners(&stage.object("app").await);
    stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;
    stage.unbind("claude").await;
    stage.settled().await;
    is_the_owners(&stage.object("app").await);
}

/// The status is lost, and the target leaves the spec: all that is left are the traces on an object that holds no keys
/// but ours. It is the owner's all the same.
async fn a_lost_status_does_not_make_the_object_ours(stage: &mut Stage) {
    let object = json!({"metadata": {"name": "app", "annotations": {ALLOW: "claude"}}});
    let before = stage.create(object).await;
    stage.start(Options::default());
    stage
        .bound("claude", spec([merge("app", &["MODEL"])]))
        .await;
    stage.stop().await;

    stage.wipe_status("claude").await;
    stage.retarget("claude", [owner("elsewhere")]).await;
    stage.start(Options::default());
    stage.ready("claude").await;
    let app = stage
        .until_object("app", "our key is gone", |app| data(app, "MODEL").is_none())
        .await;
    assert_eq!(app.uid(), before.uid(), "it is not deleted");
    assert_eq!(controller(&app), None);
}

async fn the_finalizer_frames_the_writes(stage: &mut Stage) {
    stage.host("app", Some("claude")).await;
    let bindings = History::watch(stage.bindings()).await;
    let objects = History::watch(stage.config_maps()).await;
    stage.start(Options::default());
    stage
        .bound("claude", spec([merge("app", &["MODEL"])]))
        .await;
    let has_finalizer = |binding: &InferenceProfileBinding| {
        binding.finalizers().iter().any(|name| name == FINALIZER)
    };
    let framed = bindings
        .first("the finalizer is put on", has_finalizer)
        .await;
    let written = objects
        .first("the key is written", |app: &ConfigMap| {
            data(app, "MODEL").is_some()
        })
        .await;
    assert!(
        version(&framed) < version(&written),
        "the finalizer comes before the first write"
    );

    stage.unbind("claude").await;
    let removed = objects
        .first("the key is removed", |app: &ConfigMap| {
            version(app) > version(&written) && data(app, "MODEL").is_none()
        })
        .await;
    let released = bindings.deletion("the binding is gone").await;
    assert!(
        version(&removed) < version(&released),
        "the finalizer goes after the last removal"
    );
}

async fn the_finalizer_goes_with_the_last_merge_target(stage: &Stage) {
    stage.host("app", Some("claude")).await;
    let bindings = stage.bindings();
    let finalizers = |binding: &InferenceProfileBinding| binding.finalizers().to_vec();
    let ready = stage.bound("claude", spec([owner("own")])).await;
    assert!(finalizers(&ready).is_empty(), "an owner needs none");
    let theirs = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/theirs"]}}));
    bindings
        .patch("claude", &PatchParams::default(), &theirs)
        .await
        .expect("changed");

    stage
        .retarget("claude", [owner("own"), merge("app", &["MODEL"])])
        .await;
    let ready = stage.ready("claude").await;
    let mut present = finalizers(&ready);
    present.sort();
    assert_eq!(present, ["example.com/theirs", FINALIZER]);

    stage.retarget("claude", [owner("own")]).await;
    eventually("our finalizer is off, theirs stays", || async {
        let left = finalizers(&stage.binding("claude").await);
        if left == ["example.com/theirs"] {
            Ok(())
        } else {
            Err(left)
        }
    })
    .await;
    assert_eq!(stage.value("app", "MODEL").await, None);
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    bindings
        .patch("claude", &PatchParams::default(), &none)
        .await
        .expect("changed");
}

async fn a_namespace_can_be_deleted(stage: &Stage) {
    stage.host("app", Some("claude")).await;
    stage
        .bind("claude", spec([merge("app", &["MODEL"]), owner("own")]))
        .await;
    // One whose object is not there, and one that nothing was written for.
    stage
        .bind("waiting", spec([merge("absent", &["MODEL"])]))
        .await;
    stage.ready("claude").await;
    stage
        .until("waiting", "TargetsSynced", "False", Reason::TargetNotFound)
        .await;
    let namespaces = Api::<Namespace>::all(stage.cluster.client.clone());
    namespaces
        .delete(&stage.namespace, &DeleteParams::default())
        .await
        .expect("deleted");
    eventually("the namespace is gone", || async {
        match namespaces
            .get_opt(&stage.namespace)
            .await
            .expect("an answer")
        {
            None => Ok(()),
            Some(left) => Err(left.status),
        }
    })
    .await;
}
