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
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    operator::{Operator, SONNET, condition, config_maps, until, until_ready, value},
    support::{Case, Cluster, case, eventually},
    targets::{
        ALLOW, CHART, FINALIZER, History, LABEL, barrier, bind, change, controller, create, data,
        delete, edit, get, holds, merge, mergeable, owner, spec, take, unbind, until_not_synced,
        until_object, version,
    },
};

pub fn cases() -> Vec<Case> {
    vec![
        case("merge::needs_the_consent_of_the_owner", needs_consent),
        case(
            "merge::a_consent_taken_back_stops_writes",
            consent_taken_back,
        ),
        case("merge::waits_for_the_object", waits_for_the_object),
        case(
            "merge::leaves_the_other_keys_alone_through_its_life",
            leaves_other_keys_alone,
        ),
        case(
            "merge::an_object_that_took_the_place_is_not_touched_by_a_removal",
            a_replaced_object_is_not_touched,
        ),
        case(
            "merge::a_removed_target_is_cleaned",
            a_removed_target_is_cleaned,
        ),
        case("merge::a_removed_key_goes", a_removed_key_goes),
        case("merge::drift_of_our_keys_is_corrected", drift_is_corrected),
        case("merge::a_key_of_others_is_a_conflict", |cluster| {
            a_key_of_others(cluster, "theirs".to_owned())
        }),
        case(
            "merge::a_key_of_others_with_our_value_is_a_conflict",
            |cluster| a_key_of_others(cluster, format!("eu.{SONNET}")),
        ),
        case(
            "merge::a_key_taken_by_others_is_not_fought_over",
            a_taken_key,
        ),
        case(
            "merge::a_removal_says_who_still_holds_a_key",
            a_removal_says_who_holds_it,
        ),
        case("merge::two_bindings_share_an_object", two_share_an_object),
        case(
            "merge::two_bindings_don_t_share_a_key",
            two_don_t_share_a_key,
        ),
        case(
            "merge::a_holder_keeps_its_key_against_one_that_holds_another",
            a_holder_keeps_its_key,
        ),
        case(
            "merge::an_owner_keeps_mergers_out",
            an_owner_keeps_mergers_out,
        ),
        case(
            "merge::a_merger_keeps_owners_out",
            a_merger_keeps_owners_out,
        ),
        case("merge::from_owner_to_merge", from_owner_to_merge),
        case("merge::from_merge_to_owner", |cluster| {
            from_merge_to_owner(cluster, json!({"THEIRS": "1"}))
        }),
        case(
            "merge::from_merge_to_owner_of_an_otherwise_empty_object",
            |cluster| from_merge_to_owner(cluster, Value::Null),
        ),
        case(
            "merge::a_lost_status_does_not_make_the_object_ours",
            a_lost_status,
        ),
        case("merge::the_finalizer_frames_the_writes", the_finalizer),
        case(
            "merge::the_finalizer_goes_with_the_last_merge_target",
            the_finalizer_goes,
        ),
        case(
            "merge::a_namespace_can_be_deleted",
            a_namespace_can_be_deleted,
        )
        .with_controllers(),
    ]
}

fn id(geography: &str) -> String {
    format!("{geography}.{SONNET}")
}

/// Another field manager that writes a key of its own all the time.
struct Busy {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u32>,
}

impl Busy {
    fn start(cluster: &Cluster, namespace: &str, name: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, api) = (stop.clone(), config_maps(cluster, namespace));
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

async fn needs_consent(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    let before = mergeable(&cluster, &namespace, "app", "another,claude-2").await;
    let operator = Operator::start(&cluster, &namespace);
    bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([merge("app", &["MODEL"])])),
    )
    .await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::TargetForbidden).await;
    assert!(
        message.contains(&format!("{ALLOW}: claude")),
        "it says what to do: {message}"
    );
    barrier(&cluster, &namespace).await;
    assert_eq!(get(&cluster, &namespace, "app").await, before);

    let consent = json!({"metadata": {"annotations": {ALLOW: "another, claude"}}});
    change(&cluster, &namespace, "app", CHART, consent).await;
    until_ready(&cluster, &namespace, "claude").await;
    let app = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&app, "MODEL"), Some(&*id("eu")));
    assert_eq!(data(&app, "THEIRS"), Some("1"));
    assert_eq!(controller(&app), None, "it is not captured");
    operator.stop().await;
}

async fn consent_taken_back(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;

    let no_consent = json!({"metadata": {"annotations": {ALLOW: null}}});
    change(&cluster, &namespace, "app", CHART, no_consent).await;
    until_not_synced(&cluster, &namespace, "claude", Reason::TargetForbidden).await;
    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"geography": "global"}),
    )
    .await;
    until_not_synced(&cluster, &namespace, "claude", Reason::TargetForbidden).await;
    assert_eq!(
        value(&cluster, &namespace, "app", "MODEL").await,
        Some(id("eu")),
        "nothing is written any more, and nothing breaks"
    );

    // Our own keys go without consent.
    unbind(&cluster, &namespace, "claude").await;
    let app = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&app, "MODEL"), None);
    assert_eq!(data(&app, "THEIRS"), Some("1"));
    operator.stop().await;
}

async fn waits_for_the_object(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::TargetNotFound).await;
    assert!(message.contains("ConfigMap app"), "{message}");
    assert!(
        config_maps(&cluster, &namespace)
            .get_opt("app")
            .await
            .expect("an answer")
            .is_none(),
        "a merge creates nothing"
    );
    mergeable(&cluster, &namespace, "app", "claude").await;
    until_ready(&cluster, &namespace, "claude").await;
    assert_eq!(
        value(&cluster, &namespace, "app", "MODEL").await,
        Some(id("eu"))
    );
    operator.stop().await;
}

async fn leaves_other_keys_alone(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let busy = Busy::start(&cluster, &namespace, "app");
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    let written = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&written, "MODEL"), Some(&*id("eu")));
    assert_eq!(data(&written, "THEIRS"), Some("1"));

    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"geography": "global"}),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    let changed = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&changed, "MODEL"), Some(&*id("global")));
    assert_eq!(data(&changed, "THEIRS"), Some("1"));

    // The owner replaces the object: our keys come back by themselves.
    delete(&cluster, &namespace, "app").await;
    let replaced = mergeable(&cluster, &namespace, "app", "claude").await;
    let back = until_object(&cluster, &namespace, "app", "has our key again", |app| {
        data(app, "MODEL") == Some(&*id("global"))
    })
    .await;
    assert_eq!(back.uid(), replaced.uid(), "it is still the owner's object");
    assert_eq!(data(&back, "THEIRS"), Some("1"));
    let bindings = cluster.bindings(&namespace);
    eventually("the inventory has the new object", || async {
        let binding = bindings.get("claude").await.expect("the binding");
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
    until_ready(&cluster, &namespace, "claude").await;

    unbind(&cluster, &namespace, "claude").await;
    let count = busy.stop().await;
    let after = get(&cluster, &namespace, "app").await;
    let left: Vec<(&str, &str)> = after
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(left, [("COUNT", count.as_str()), ("THEIRS", "1")]);
    assert!(!after.labels().contains_key(LABEL), "our label goes too");
    operator.stop().await;
}

async fn a_replaced_object_is_not_touched(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    operator.stop().await;

    delete(&cluster, &namespace, "app").await;
    create(
        &cluster,
        &namespace,
        json!({"metadata": {"name": "app"}, "data": {"MODEL": "theirs"}}),
    )
    .await;
    // Not even a field manager of our name counts on another object than the one that was written to.
    let forged = json!({"FORGED": "1"});
    let manager = "inferenceprofiles.dev:claude";
    take(&cluster, &namespace, "app", manager, forged).await;
    let before = get(&cluster, &namespace, "app").await;
    cluster
        .bindings(&namespace)
        .delete("claude", &DeleteParams::default())
        .await
        .expect("deleted");
    let operator = Operator::start(&cluster, &namespace);
    let bindings = cluster.bindings(&namespace);
    eventually("the binding is gone", || async {
        match bindings.get_opt("claude").await.expect("an answer") {
            None => Ok(()),
            Some(left) => Err(left.metadata),
        }
    })
    .await;
    assert_eq!(get(&cluster, &namespace, "app").await, before);
    operator.stop().await;
}

async fn a_removed_target_is_cleaned(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    mergeable(&cluster, &namespace, "app-2", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;

    let other = json!({"targets": [merge("app-2", &["MODEL"])]});
    edit(&cluster, &namespace, "claude", other).await;
    until_ready(&cluster, &namespace, "claude").await;
    let cleaned = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&cleaned, "MODEL"), None);
    assert_eq!(data(&cleaned, "THEIRS"), Some("1"));
    assert!(!cleaned.labels().contains_key(LABEL));
    assert_eq!(
        value(&cluster, &namespace, "app-2", "MODEL").await,
        Some(id("eu"))
    );
    operator.stop().await;
}

async fn a_removed_key_goes(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL", "SPARE"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    assert_eq!(
        value(&cluster, &namespace, "app", "SPARE").await,
        Some(id("eu"))
    );
    let fewer = json!({"targets": [merge("app", &["MODEL"])]});
    edit(&cluster, &namespace, "claude", fewer).await;
    until_ready(&cluster, &namespace, "claude").await;
    let app = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&app, "SPARE"), None);
    assert_eq!(data(&app, "MODEL"), Some(&*id("eu")));
    assert_eq!(data(&app, "THEIRS"), Some("1"));
    operator.stop().await;
}

async fn drift_is_corrected(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    let drifts = [
        ("deleted", json!({"data": {"MODEL": null}})),
        ("unlabelled", json!({"metadata": {"labels": null}})),
    ];
    for (drift, patch) in drifts {
        change(&cluster, &namespace, "app", "someone", patch).await;
        let what = format!("our key is back where it was {drift}");
        let app = until_object(&cluster, &namespace, "app", &what, |app| {
            data(app, "MODEL") == Some(&*id("eu")) && app.labels().contains_key(LABEL)
        })
        .await;
        assert_eq!(data(&app, "THEIRS"), Some("1"));
    }
    until_ready(&cluster, &namespace, "claude").await;
    operator.stop().await;
}

async fn a_key_of_others(cluster: Cluster, theirs: String) {
    let namespace = cluster.namespace("merge").await;
    let object = json!({
        "metadata": {"name": "app", "annotations": {ALLOW: "claude"}},
        "data": {"MODEL": theirs},
    });
    let before = create(&cluster, &namespace, object).await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;
    assert!(
        message.contains("MODEL") && message.contains(CHART),
        "key and manager are named: {message}"
    );
    barrier(&cluster, &namespace).await;
    assert_eq!(get(&cluster, &namespace, "app").await, before);

    let given_up = json!({"data": {"MODEL": null}});
    change(&cluster, &namespace, "app", CHART, given_up).await;
    until_ready(&cluster, &namespace, "claude").await;
    assert_eq!(
        value(&cluster, &namespace, "app", "MODEL").await,
        Some(id("eu"))
    );
    operator.stop().await;
}

async fn a_taken_key(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL", "SPARE"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    take(
        &cluster,
        &namespace,
        "app",
        "someone",
        json!({"MODEL": "mine"}),
    )
    .await;
    let before = get(&cluster, &namespace, "app").await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;
    assert!(
        message.contains("MODEL") && message.contains("someone"),
        "{message}"
    );
    barrier(&cluster, &namespace).await;
    assert_eq!(get(&cluster, &namespace, "app").await, before);

    // What is left to us goes, what was taken stays.
    unbind(&cluster, &namespace, "claude").await;
    let after = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&after, "MODEL"), Some("mine"));
    assert_eq!(data(&after, "SPARE"), None);
    operator.stop().await;
}

async fn a_removal_says_who_holds_it(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL", "SPARE"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    operator.stop().await;
    // The equal value: both hold the key from now on.
    take(
        &cluster,
        &namespace,
        "app",
        "someone",
        json!({"MODEL": id("eu")}),
    )
    .await;
    let elsewhere = json!({"targets": [owner("elsewhere")]});
    edit(&cluster, &namespace, "claude", elsewhere).await;
    let history = History::watch(cluster.bindings(&namespace)).await;

    let operator = Operator::start(&cluster, &namespace);
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
    let app = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&app, "MODEL"), Some(&*id("eu")), "it is theirs too");
    assert_eq!(data(&app, "SPARE"), None, "what was ours alone is gone");
    assert!(!holds(&app, "inferenceprofiles.dev:claude", "MODEL"));
    operator.stop().await;
}

async fn two_share_an_object(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "one, two").await;
    let operator = Operator::start(&cluster, &namespace);
    let first = spec(json!([merge("app", &["ONE"])]));
    let second = spec(json!([merge("app", &["TWO"])]));
    bind(&cluster, &namespace, "one", first).await;
    bind(&cluster, &namespace, "two", second).await;
    until_ready(&cluster, &namespace, "one").await;
    until_ready(&cluster, &namespace, "two").await;
    let app = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&app, "ONE"), Some(&*id("eu")));
    assert_eq!(data(&app, "TWO"), Some(&*id("eu")));

    // The one that stays is served as before: the label stays with it.
    unbind(&cluster, &namespace, "one").await;
    let app = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&app, "ONE"), None);
    assert_eq!(data(&app, "TWO"), Some(&*id("eu")));
    assert!(app.labels().contains_key(LABEL));
    let deleted = json!({"data": {"TWO": null}});
    change(&cluster, &namespace, "app", "someone", deleted).await;
    until_object(&cluster, &namespace, "app", "drift is seen", |app| {
        data(app, "TWO") == Some(&*id("eu"))
    })
    .await;
    operator.stop().await;
}

async fn two_don_t_share_a_key(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "one, two").await;
    let operator = Operator::start(&cluster, &namespace);
    let same = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "one", same.clone()).await;
    until_ready(&cluster, &namespace, "one").await;
    let before = get(&cluster, &namespace, "app").await;
    bind(&cluster, &namespace, "two", same).await;
    let message = until_not_synced(&cluster, &namespace, "two", Reason::TargetConflict).await;
    assert!(message.contains("claimed by the binding one"), "{message}");
    barrier(&cluster, &namespace).await;
    until_ready(&cluster, &namespace, "one").await;
    assert_eq!(get(&cluster, &namespace, "app").await, before);

    unbind(&cluster, &namespace, "one").await;
    until_ready(&cluster, &namespace, "two").await;
    let app = get(&cluster, &namespace, "app").await;
    assert_eq!(data(&app, "MODEL"), Some(&*id("eu")));
    assert!(holds(&app, "inferenceprofiles.dev:two", "MODEL"));
    operator.stop().await;
}

async fn a_holder_keeps_its_key(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "one, two").await;
    let operator = Operator::start(&cluster, &namespace);
    let first = spec(json!([merge("app", &["ONE"])]));
    let second = spec(json!([merge("app", &["TWO"])]));
    bind(&cluster, &namespace, "one", first).await;
    bind(&cluster, &namespace, "two", second).await;
    until_ready(&cluster, &namespace, "one").await;
    until_ready(&cluster, &namespace, "two").await;
    let before = get(&cluster, &namespace, "app").await;

    for (greedy, holder) in [("one", "two"), ("two", "one")] {
        let more = json!({"targets": [merge("app", &["ONE", "TWO"])]});
        edit(&cluster, &namespace, greedy, more).await;
        let message = until_not_synced(&cluster, &namespace, greedy, Reason::TargetConflict).await;
        assert!(
            message.contains(&format!("claimed by the binding {holder}")),
            "{message}"
        );
        barrier(&cluster, &namespace).await;
        until_ready(&cluster, &namespace, holder).await;
        assert_eq!(get(&cluster, &namespace, "app").await, before);
        let own = json!({"targets": [merge("app", &[&*greedy.to_uppercase()])]});
        edit(&cluster, &namespace, greedy, own).await;
        until_ready(&cluster, &namespace, greedy).await;
    }
    operator.stop().await;
}

async fn an_owner_keeps_mergers_out(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    let operator = Operator::start(&cluster, &namespace);
    bind(&cluster, &namespace, "owner", spec(json!([owner("model")]))).await;
    until_ready(&cluster, &namespace, "owner").await;
    let consent = json!({"metadata": {"annotations": {ALLOW: "merger"}}});
    change(&cluster, &namespace, "model", CHART, consent).await;
    let before = get(&cluster, &namespace, "model").await;
    let targets = spec(json!([merge("model", &["OTHER"])]));
    bind(&cluster, &namespace, "merger", targets).await;
    let message = until_not_synced(&cluster, &namespace, "merger", Reason::TargetConflict).await;
    assert!(
        message.contains("claimed by the binding owner"),
        "{message}"
    );
    barrier(&cluster, &namespace).await;
    until_ready(&cluster, &namespace, "owner").await;
    assert_eq!(get(&cluster, &namespace, "model").await, before);
    operator.stop().await;
}

async fn a_merger_keeps_owners_out(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "merger").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "merger", targets).await;
    until_ready(&cluster, &namespace, "merger").await;
    let before = get(&cluster, &namespace, "app").await;
    bind(&cluster, &namespace, "owner", spec(json!([owner("app")]))).await;
    let message = until_not_synced(&cluster, &namespace, "owner", Reason::TargetConflict).await;
    assert!(
        message.contains("claimed by the binding merger"),
        "{message}"
    );
    barrier(&cluster, &namespace).await;
    until_ready(&cluster, &namespace, "merger").await;
    assert_eq!(get(&cluster, &namespace, "app").await, before);
    operator.stop().await;
}

async fn from_owner_to_merge(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    let operator = Operator::start(&cluster, &namespace);
    let binding = bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("model")])),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    let owned = get(&cluster, &namespace, "model").await;
    assert_eq!(controller(&owned), binding.uid());

    let merging = json!({"targets": [merge("model", &["MODEL"])]});
    edit(&cluster, &namespace, "claude", merging).await;
    until_not_synced(&cluster, &namespace, "claude", Reason::TargetForbidden).await;
    assert_eq!(
        get(&cluster, &namespace, "model").await,
        owned,
        "a merge needs consent, and nothing is lost without it"
    );

    let consent = json!({"metadata": {"annotations": {ALLOW: "claude"}}, "data": {"THEIRS": "1"}});
    change(&cluster, &namespace, "model", CHART, consent).await;
    until_ready(&cluster, &namespace, "claude").await;
    let merged = get(&cluster, &namespace, "model").await;
    assert_eq!(merged.uid(), owned.uid());
    assert_eq!(data(&merged, "MODEL"), Some(&*id("eu")));
    assert_eq!(controller(&merged), None, "the object is given up");

    unbind(&cluster, &namespace, "claude").await;
    let left = get(&cluster, &namespace, "model").await;
    assert_eq!(left.uid(), owned.uid());
    assert_eq!(data(&left, "MODEL"), None);
    assert_eq!(data(&left, "THEIRS"), Some("1"));
    operator.stop().await;
}

async fn from_merge_to_owner(cluster: Cluster, theirs: Value) {
    let namespace = cluster.namespace("merge").await;
    let object = json!({
        "metadata": {"name": "app", "annotations": {ALLOW: "claude"}},
        "data": theirs,
    });
    let before = create(&cluster, &namespace, object).await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;

    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"targets": [owner("app")]}),
    )
    .await;
    until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;
    let cleaned = until_object(&cluster, &namespace, "app", "our key is gone", |app| {
        data(app, "MODEL").is_none()
    })
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
    barrier(&cluster, &namespace).await;
    is_the_owners(&get(&cluster, &namespace, "app").await);
    until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;
    unbind(&cluster, &namespace, "claude").await;
    barrier(&cluster, &namespace).await;
    is_the_owners(&get(&cluster, &namespace, "app").await);
    operator.stop().await;
}

/// The status is lost, and the target leaves the spec: all that is left are the traces on an object that holds no keys
/// but ours. It is the owner's all the same.
async fn a_lost_status(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    let object = json!({"metadata": {"name": "app", "annotations": {ALLOW: "claude"}}});
    let before = create(&cluster, &namespace, object).await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    operator.stop().await;

    let bindings = cluster.bindings(&namespace);
    let lost = Patch::Merge(json!({"status": null}));
    bindings
        .patch_status("claude", &PatchParams::default(), &lost)
        .await
        .expect("lost");
    let elsewhere = json!({"targets": [owner("elsewhere")]});
    edit(&cluster, &namespace, "claude", elsewhere).await;
    let operator = Operator::start(&cluster, &namespace);
    until_ready(&cluster, &namespace, "claude").await;
    let app = until_object(&cluster, &namespace, "app", "our key is gone", |app| {
        data(app, "MODEL").is_none()
    })
    .await;
    assert_eq!(app.uid(), before.uid(), "it is not deleted");
    assert_eq!(controller(&app), None);
    operator.stop().await;
}

async fn the_finalizer(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let bindings = History::watch(cluster.bindings(&namespace)).await;
    let objects = History::watch(config_maps(&cluster, &namespace)).await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"])]));
    bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
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

    unbind(&cluster, &namespace, "claude").await;
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
    operator.stop().await;
}

async fn the_finalizer_goes(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let bindings = cluster.bindings(&namespace);
    let operator = Operator::start(&cluster, &namespace);
    bind(&cluster, &namespace, "claude", spec(json!([owner("own")]))).await;
    let finalizers = |binding: &InferenceProfileBinding| binding.finalizers().to_vec();
    let ready = until_ready(&cluster, &namespace, "claude").await;
    assert!(finalizers(&ready).is_empty(), "an owner needs none");
    let theirs = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/theirs"]}}));
    bindings
        .patch("claude", &PatchParams::default(), &theirs)
        .await
        .expect("changed");

    let both = json!({"targets": [owner("own"), merge("app", &["MODEL"])]});
    edit(&cluster, &namespace, "claude", both).await;
    let ready = until_ready(&cluster, &namespace, "claude").await;
    let mut present = finalizers(&ready);
    present.sort();
    assert_eq!(present, ["example.com/theirs", FINALIZER]);

    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"targets": [owner("own")]}),
    )
    .await;
    eventually("our finalizer is off, theirs stays", || async {
        let left = finalizers(&bindings.get("claude").await.expect("the binding"));
        if left == ["example.com/theirs"] {
            Ok(())
        } else {
            Err(left)
        }
    })
    .await;
    assert_eq!(value(&cluster, &namespace, "app", "MODEL").await, None);
    let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    bindings
        .patch("claude", &PatchParams::default(), &none)
        .await
        .expect("changed");
    operator.stop().await;
}

async fn a_namespace_can_be_deleted(cluster: Cluster) {
    let namespace = cluster.namespace("merge").await;
    mergeable(&cluster, &namespace, "app", "claude").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([merge("app", &["MODEL"]), owner("own")]));
    bind(&cluster, &namespace, "claude", targets).await;
    // One whose object is not there, and one that nothing was written for.
    let absent = spec(json!([merge("absent", &["MODEL"])]));
    bind(&cluster, &namespace, "waiting", absent).await;
    until_ready(&cluster, &namespace, "claude").await;
    until(
        &cluster,
        &namespace,
        "waiting",
        "TargetsSynced",
        "False",
        Reason::TargetNotFound,
    )
    .await;
    let namespaces = Api::<Namespace>::all(cluster.client.clone());
    namespaces
        .delete(&namespace, &DeleteParams::default())
        .await
        .expect("deleted");
    eventually("the namespace is gone", || async {
        match namespaces.get_opt(&namespace).await.expect("an answer") {
            None => Ok(()),
            Some(left) => Err(left.status),
        }
    })
    .await;
    operator.stop().await;
}
