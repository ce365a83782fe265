//! Whose a target is: what the operator writes, what it leaves alone, and who of two bindings gets an object.

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    operator::{Operator, Options, SONNET, config_maps, until_ready, value},
    support::{Case, Cluster, case, eventually},
    targets::{
        CHART, LABEL, barrier, bind, change, controller, create, data, delete, edit, get, holds,
        owner, spec, take, unbind, until_gone, until_not_synced, until_object,
    },
};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("ownership::the_older_of_two_bindings_wins", the_older_wins),
        case(
            "ownership::a_holder_keeps_its_claim_against_an_older_binding",
            the_holder_keeps_its_claim,
        ),
        case(
            "ownership::a_target_given_up_goes_to_the_other_binding",
            a_target_given_up_goes_over,
        ),
        case(
            "ownership::a_target_of_a_deleted_binding_goes_to_the_other",
            a_target_of_a_deleted_binding_goes_over,
        )
        .with_controllers(),
        case(
            "ownership::a_recreated_binding_has_its_target_again",
            a_recreated_binding,
        ),
        case(
            "ownership::a_recreated_binding_adopts_the_object_of_its_predecessor",
            a_recreated_binding_adopts,
        ),
        case(
            "ownership::an_orphaned_object_is_adopted_by_a_binding_of_the_same_name",
            an_orphan_is_adopted,
        )
        .with_controllers(),
        case("ownership::a_target_renamed_moves", a_renamed_target_moves),
        case(
            "ownership::a_selector_leaves_other_bindings_alone",
            a_selector_leaves_others_alone,
        ),
        case(
            "ownership::bindings_of_two_namespaces_don_t_meet",
            two_namespaces,
        ),
        case("ownership::templates_are_whole_files", templates),
        case(
            "ownership::a_key_that_another_manager_takes_comes_back",
            a_taken_key_comes_back,
        ),
        case(
            "ownership::a_key_of_others_in_an_owned_object_stays",
            a_key_of_others_stays,
        ),
    ];
    for foreign in FOREIGN {
        cases.push(case(
            format!("ownership::{}_is_left_alone", foreign.name),
            move |cluster| is_left_alone(cluster, foreign),
        ));
        cases.push(case(
            format!("ownership::{}_that_vanishes_makes_room", foreign.name),
            move |cluster| makes_room(cluster, foreign),
        ));
    }
    for drift in DRIFTS {
        cases.push(case(
            format!("ownership::{}_is_corrected", drift.name),
            move |cluster| is_corrected(cluster, drift),
        ));
    }
    cases
}

/// An object of others in the place of an owned target.
struct Foreign {
    name: &'static str,
    labelled: bool,
    data: bool,
    controlled: bool,
    /// Whether somebody applied a key under the name of the binding's field manager.
    forged: bool,
    /// Whom the message names.
    owner: &'static str,
}

const FOREIGN: &[Foreign] = &[
    Foreign {
        name: "an_object_without_controller",
        labelled: false,
        data: true,
        controlled: false,
        forged: false,
        owner: "written by chart",
    },
    Foreign {
        name: "an_empty_object",
        labelled: false,
        data: false,
        controlled: false,
        forged: false,
        owner: "was not created by this binding",
    },
    Foreign {
        name: "an_object_of_another_controller",
        labelled: false,
        data: true,
        controlled: true,
        forged: false,
        owner: "controlled by ConfigMap app",
    },
    Foreign {
        name: "an_object_labelled_by_hand",
        labelled: true,
        data: true,
        controlled: false,
        forged: false,
        owner: "written by chart",
    },
    Foreign {
        name: "an_empty_object_labelled_by_hand",
        labelled: true,
        data: false,
        controlled: false,
        forged: false,
        owner: "was not created by this binding",
    },
    Foreign {
        name: "an_object_with_our_label_and_manager_forged",
        labelled: true,
        data: true,
        controlled: false,
        forged: true,
        owner: "written by chart",
    },
    Foreign {
        name: "an_object_of_another_controller_with_our_label_and_manager_forged",
        labelled: true,
        data: false,
        controlled: true,
        forged: true,
        owner: "controlled by ConfigMap app",
    },
];

impl Foreign {
    /// Creates the object `model`.
    async fn create(&self, cluster: &Cluster, namespace: &str) -> ConfigMap {
        let mut object = json!({"metadata": {"name": "model"}});
        if self.labelled {
            object["metadata"]["labels"] = json!({LABEL: "true"});
        }
        if self.data {
            object["data"] = json!({"MODEL": "mine", "OTHER": "1"});
        }
        if self.controlled {
            let app = create(cluster, namespace, json!({"metadata": {"name": "app"}})).await;
            object["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "app",
                "uid": app.uid().expect("a uid"), "controller": true,
            }]);
        }
        create(cluster, namespace, object).await;
        if self.forged {
            let forged = json!({"FORGED": "1"});
            take(
                cluster,
                namespace,
                "model",
                "inferenceprofiles.dev:claude",
                forged,
            )
            .await;
        }
        get(cluster, namespace, "model").await
    }
}

async fn is_left_alone(cluster: Cluster, foreign: &Foreign) {
    let namespace = cluster.namespace("ownership").await;
    let before = foreign.create(&cluster, &namespace).await;
    let operator = Operator::start(&cluster, &namespace);
    bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("model")])),
    )
    .await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;
    assert!(
        message.contains("ConfigMap model") && message.contains(foreign.owner),
        "the owner is named: {message}"
    );
    assert_eq!(get(&cluster, &namespace, "model").await, before, "at first");

    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"geography": "global"}),
    )
    .await;
    until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;
    assert_eq!(
        get(&cluster, &namespace, "model").await,
        before,
        "after an edit"
    );

    unbind(&cluster, &namespace, "claude").await;
    barrier(&cluster, &namespace).await;
    assert_eq!(
        get(&cluster, &namespace, "model").await,
        before,
        "after the binding"
    );
    operator.stop().await;
}

async fn makes_room(cluster: Cluster, foreign: &Foreign) {
    let namespace = cluster.namespace("ownership").await;
    foreign.create(&cluster, &namespace).await;
    let operator = Operator::start(&cluster, &namespace);
    let binding = bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("model")])),
    )
    .await;
    until_not_synced(&cluster, &namespace, "claude", Reason::TargetConflict).await;

    delete(&cluster, &namespace, "model").await;
    until_ready(&cluster, &namespace, "claude").await;
    let written = get(&cluster, &namespace, "model").await;
    assert_eq!(data(&written, "MODEL"), Some(&*format!("eu.{SONNET}")));
    assert_eq!(controller(&written), binding.uid());
    operator.stop().await;
}

/// Creates a binding whose creation time is later than that of another one, in the whole seconds that Kubernetes keeps.
async fn bind_later(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    spec: Value,
    than: &str,
) -> String {
    let bindings = cluster.bindings(namespace);
    let older = bindings.get(than).await.expect("the older binding");
    eventually("a second goes by", || async {
        let younger = bind(cluster, namespace, name, spec.clone()).await;
        if younger.creation_timestamp() > older.creation_timestamp() {
            return Ok(younger.uid().expect("a uid"));
        }
        unbind(cluster, namespace, name).await;
        Err(younger.creation_timestamp())
    })
    .await
}

async fn the_older_wins(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let targets = spec(json!([owner("model")]));
    let older = bind(&cluster, &namespace, "zebra", targets.clone()).await;
    bind_later(&cluster, &namespace, "ant", targets, "zebra").await;

    let operator = Operator::start(&cluster, &namespace);
    until_ready(&cluster, &namespace, "zebra").await;
    let message = until_not_synced(&cluster, &namespace, "ant", Reason::TargetConflict).await;
    assert!(
        message.contains("claimed by the binding zebra"),
        "{message}"
    );
    let written = get(&cluster, &namespace, "model").await;
    assert_eq!(controller(&written), older.uid());
    assert!(!holds(&written, "inferenceprofiles.dev:ant", "MODEL"));
    operator.stop().await;
}

async fn the_holder_keeps_its_claim(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let own = spec(json!([owner("own")]));
    bind(&cluster, &namespace, "older", own).await;
    let shared = spec(json!([owner("model")]));
    let holder = bind_later(&cluster, &namespace, "holder", shared, "older").await;
    until_ready(&cluster, &namespace, "holder").await;
    let before = get(&cluster, &namespace, "model").await;

    let both = json!({"targets": [owner("own"), owner("model")]});
    edit(&cluster, &namespace, "older", both).await;
    let message = until_not_synced(&cluster, &namespace, "older", Reason::TargetConflict).await;
    assert!(
        message.contains("claimed by the binding holder"),
        "{message}"
    );
    barrier(&cluster, &namespace).await;
    until_ready(&cluster, &namespace, "holder").await;
    let after = get(&cluster, &namespace, "model").await;
    assert_eq!(controller(&after), Some(holder));
    assert_eq!(after, before);
    operator.stop().await;

    // A restart changes nothing: the claim is read from the object.
    let operator = Operator::start(&cluster, &namespace);
    barrier(&cluster, &namespace).await;
    until_ready(&cluster, &namespace, "holder").await;
    assert_eq!(get(&cluster, &namespace, "model").await, before);
    operator.stop().await;
}

async fn a_target_given_up_goes_over(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let shared = spec(json!([owner("model")]));
    bind(&cluster, &namespace, "holder", shared.clone()).await;
    until_ready(&cluster, &namespace, "holder").await;
    let other = bind(&cluster, &namespace, "other", shared).await;
    until_not_synced(&cluster, &namespace, "other", Reason::TargetConflict).await;

    edit(
        &cluster,
        &namespace,
        "holder",
        json!({"targets": [owner("elsewhere")]}),
    )
    .await;
    until_ready(&cluster, &namespace, "other").await;
    until_ready(&cluster, &namespace, "holder").await;
    let model = get(&cluster, &namespace, "model").await;
    assert_eq!(controller(&model), other.uid());
    operator.stop().await;
}

async fn a_target_of_a_deleted_binding_goes_over(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let shared = spec(json!([owner("model")]));
    bind(&cluster, &namespace, "holder", shared.clone()).await;
    until_ready(&cluster, &namespace, "holder").await;
    let other = bind(&cluster, &namespace, "other", shared).await;
    until_not_synced(&cluster, &namespace, "other", Reason::TargetConflict).await;

    unbind(&cluster, &namespace, "holder").await;
    until_ready(&cluster, &namespace, "other").await;
    let model = get(&cluster, &namespace, "model").await;
    assert_eq!(controller(&model), other.uid());
    operator.stop().await;
}

async fn a_recreated_binding(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([owner("model")]));
    bind(&cluster, &namespace, "claude", targets.clone()).await;
    until_ready(&cluster, &namespace, "claude").await;

    unbind(&cluster, &namespace, "claude").await;
    let successor = bind(&cluster, &namespace, "claude", targets).await;
    // Garbage collection may come before the adoption, after it or never: the end is the same.
    until_ready(&cluster, &namespace, "claude").await;
    until_object(&cluster, &namespace, "model", "the successor's", |model| {
        controller(model) == successor.uid() && data(model, "MODEL").is_some()
    })
    .await;
    operator.stop().await;
}

async fn a_recreated_binding_adopts(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([owner("model")]));
    bind(&cluster, &namespace, "claude", targets.clone()).await;
    until_ready(&cluster, &namespace, "claude").await;
    // A second owner keeps garbage collection from deleting the object.
    let keeper = create(
        &cluster,
        &namespace,
        json!({"metadata": {"name": "keeper"}}),
    )
    .await;
    let second = json!([{
        "op": "add", "path": "/metadata/ownerReferences/-", "value": {
            "apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "uid": keeper.uid().expect("a uid"),
        },
    }]);
    config_maps(&cluster, &namespace)
        .patch(
            "model",
            &PatchParams::default(),
            &Patch::<()>::Json(serde_json::from_value(second).expect("a patch")),
        )
        .await
        .expect("changed");
    operator.stop().await;
    unbind(&cluster, &namespace, "claude").await;
    let before = get(&cluster, &namespace, "model").await;

    let successor = bind(&cluster, &namespace, "claude", targets).await;
    let operator = Operator::start(&cluster, &namespace);
    until_ready(&cluster, &namespace, "claude").await;
    let adopted = get(&cluster, &namespace, "model").await;
    assert_eq!(adopted.uid(), before.uid(), "the object is the same");
    assert_eq!(controller(&adopted), successor.uid());
    assert_eq!(
        adopted.owner_references().len(),
        2,
        "the other owner stays, the predecessor goes"
    );
    operator.stop().await;
}

async fn an_orphan_is_adopted(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let targets = spec(json!([owner("model")]));
    bind(&cluster, &namespace, "claude", targets.clone()).await;
    until_ready(&cluster, &namespace, "claude").await;
    let before = get(&cluster, &namespace, "model").await;

    let bindings = cluster.bindings(&namespace);
    bindings
        .delete("claude", &DeleteParams::orphan())
        .await
        .expect("deleted");
    until_object(&cluster, &namespace, "model", "an orphan", |model| {
        model.owner_references().is_empty()
    })
    .await;
    eventually("the binding is gone", || async {
        match bindings.get_opt("claude").await.expect("an answer") {
            None => Ok(()),
            Some(left) => Err(left),
        }
    })
    .await;

    let successor = bind(&cluster, &namespace, "claude", targets).await;
    until_ready(&cluster, &namespace, "claude").await;
    let adopted = get(&cluster, &namespace, "model").await;
    assert_eq!(adopted.uid(), before.uid(), "the object is the same");
    assert_eq!(controller(&adopted), successor.uid());
    operator.stop().await;
}

async fn a_renamed_target_moves(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    bind(&cluster, &namespace, "claude", spec(json!([owner("old")]))).await;
    until_ready(&cluster, &namespace, "claude").await;
    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"targets": [owner("new")]}),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    assert!(value(&cluster, &namespace, "new", "MODEL").await.is_some());
    until_gone(&cluster, &namespace, "old").await;
    operator.stop().await;
}

/// Something that changes an owned object behind the operator's back.
struct Drift {
    name: &'static str,
    /// What is done to the object; nothing: it is deleted.
    patch: fn() -> Option<Value>,
}

const DRIFTS: &[Drift] = &[
    Drift {
        name: "a_changed_value",
        patch: || Some(json!({"data": {"MODEL": "mine"}})),
    },
    Drift {
        name: "a_deleted_key",
        patch: || Some(json!({"data": {"MODEL": null}})),
    },
    Drift {
        name: "deleted_data",
        patch: || Some(json!({"data": null})),
    },
    Drift {
        name: "a_deleted_object",
        patch: || None,
    },
    Drift {
        name: "a_stripped_label",
        patch: || Some(json!({"metadata": {"labels": null}})),
    },
    Drift {
        name: "another_value_of_the_label",
        patch: || Some(json!({"metadata": {"labels": {LABEL: "false"}}})),
    },
    Drift {
        name: "a_removed_owner_reference",
        patch: || Some(json!({"metadata": {"ownerReferences": null}})),
    },
    Drift {
        name: "cleared_managed_fields",
        patch: || Some(json!({"metadata": {"managedFields": [{}]}})),
    },
    Drift {
        name: "everything_at_once",
        patch: || {
            Some(json!({
                "metadata": {"labels": null, "managedFields": [{}]},
                "data": {"MODEL": "mine"},
            }))
        },
    },
];

async fn is_corrected(cluster: Cluster, drift: &Drift) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let binding = bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("model")])),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    let before = get(&cluster, &namespace, "model").await;

    match (drift.patch)() {
        Some(patch) => change(&cluster, &namespace, "model", "someone", patch).await,
        None => delete(&cluster, &namespace, "model").await,
    }
    let manager = "inferenceprofiles.dev:claude";
    let after = until_object(&cluster, &namespace, "model", "as it was", |model| {
        model.data == before.data
            && model.labels() == before.labels()
            && controller(model) == binding.uid()
            && holds(model, manager, "MODEL")
    })
    .await;
    assert_ne!(after.resource_version(), before.resource_version());
    until_ready(&cluster, &namespace, "claude").await;

    // The next value gets through as ever.
    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"geography": "global"}),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    assert_eq!(
        value(&cluster, &namespace, "model", "MODEL").await,
        Some(format!("global.{SONNET}"))
    );
    operator.stop().await;
}

async fn a_taken_key_comes_back(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("model")])),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    let taken = json!({"MODEL": "mine", "EXTRA": "1"});
    take(&cluster, &namespace, "model", "someone", taken).await;
    let back = until_object(&cluster, &namespace, "model", "taken back", |model| {
        data(model, "MODEL") == Some(&*format!("eu.{SONNET}"))
    })
    .await;
    assert!(!holds(&back, "someone", "MODEL"), "by force");
    assert_eq!(data(&back, "EXTRA"), Some("1"), "what is theirs stays");
    until_ready(&cluster, &namespace, "claude").await;
    operator.stop().await;
}

async fn a_key_of_others_stays(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("model")])),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    let extra = json!({"data": {"EXTRA": "1"}, "metadata": {"annotations": {"note": "theirs"}}});
    change(&cluster, &namespace, "model", CHART, extra).await;
    let before = get(&cluster, &namespace, "model").await;
    barrier(&cluster, &namespace).await;
    assert_eq!(get(&cluster, &namespace, "model").await, before);

    let change = json!({
        "geography": "global",
        "targets": [{"kind": "ConfigMap", "name": "model", "keys": {"ID": "ProfileID"}}],
    });
    edit(&cluster, &namespace, "claude", change).await;
    until_ready(&cluster, &namespace, "claude").await;
    let after = get(&cluster, &namespace, "model").await;
    assert_eq!(data(&after, "EXTRA"), Some("1"));
    assert_eq!(after.annotations(), before.annotations());
    assert_eq!(data(&after, "ID"), Some(&*format!("global.{SONNET}")));
    assert_eq!(data(&after, "MODEL"), None, "a key of ours goes");
    operator.stop().await;
}

async fn a_selector_leaves_others_alone(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let options = Options {
        selector: Some("team=chat".to_owned()),
        ..Options::default()
    };
    let operator = Operator::start_with(&cluster, &namespace, options);
    let other = bind(&cluster, &namespace, "other", spec(json!([owner("other")]))).await;
    bind(
        &cluster,
        &namespace,
        "claude",
        spec(json!([owner("model")])),
    )
    .await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "chat"}}}));
    cluster
        .bindings(&namespace)
        .patch("claude", &PatchParams::default(), &label)
        .await
        .expect("labelled");
    until_ready(&cluster, &namespace, "claude").await;
    let untouched = cluster.bindings(&namespace).get("other").await;
    assert_eq!(
        untouched.expect("the other").resource_version(),
        other.resource_version(),
        "it has no status"
    );
    assert_eq!(value(&cluster, &namespace, "other", "MODEL").await, None);
    operator.stop().await;
}

async fn two_namespaces(cluster: Cluster) {
    let one = cluster.namespace("ownership").await;
    let two = cluster.namespace("ownership").await;
    let unserved = cluster.namespace("ownership").await;
    let options = Options {
        more_namespaces: vec![two.clone()],
        ..Options::default()
    };
    let operator = Operator::start_with(&cluster, &one, options);
    let targets = spec(json!([owner("model")]));
    bind(&cluster, &unserved, "claude", targets.clone()).await;
    let mut global = targets.clone();
    global["geography"] = json!("global");
    bind(&cluster, &one, "claude", targets).await;
    bind(&cluster, &two, "claude", global).await;
    until_ready(&cluster, &one, "claude").await;
    until_ready(&cluster, &two, "claude").await;
    assert_eq!(
        value(&cluster, &one, "model", "MODEL").await,
        Some(format!("eu.{SONNET}"))
    );
    assert_eq!(
        value(&cluster, &two, "model", "MODEL").await,
        Some(format!("global.{SONNET}"))
    );

    // What happens in one namespace is nothing to the other.
    let before = get(&cluster, &two, "model").await;
    delete(&cluster, &one, "model").await;
    until_object(&cluster, &one, "model", "comes back", |_| true).await;
    unbind(&cluster, &one, "claude").await;
    barrier(&cluster, &two).await;
    assert_eq!(get(&cluster, &two, "model").await, before);
    assert_eq!(value(&cluster, &unserved, "model", "MODEL").await, None);
    operator.stop().await;
}

async fn templates(cluster: Cluster) {
    let namespace = cluster.namespace("ownership").await;
    let operator = Operator::start(&cluster, &namespace);
    let target = |templates: Value| json!({"kind": "ConfigMap", "name": "files", "keys": {"MODEL": "ProfileID"}, "templates": templates});
    let two = json!({
        "litellm.yaml": "model: bedrock/{{ profile.id }}\nregion: {{ profile.sourceRegion }}\n",
        "regions.txt": "{% for region in profile.destinationRegions %}{{ region }}\n{% endfor %}",
    });
    bind(&cluster, &namespace, "claude", spec(json!([target(two)]))).await;
    until_ready(&cluster, &namespace, "claude").await;
    let files = get(&cluster, &namespace, "files").await;
    assert_eq!(
        data(&files, "litellm.yaml"),
        Some(&*format!("model: bedrock/eu.{SONNET}\nregion: eu-west-1\n"))
    );
    let regions = data(&files, "regions.txt").expect("the second file");
    assert!(regions.lines().any(|line| line == "eu-west-1"), "{regions}");
    assert_eq!(data(&files, "MODEL"), Some(&*format!("eu.{SONNET}")));

    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"targets": [target(json!({"litellm.yaml": "id: {{ profile.id }}"}))]}),
    )
    .await;
    until_ready(&cluster, &namespace, "claude").await;
    let files = get(&cluster, &namespace, "files").await;
    assert_eq!(
        data(&files, "litellm.yaml"),
        Some(&*format!("id: eu.{SONNET}"))
    );
    assert_eq!(data(&files, "regions.txt"), None);

    // A template that can't be rendered is said so, and what is there stays.
    edit(
        &cluster,
        &namespace,
        "claude",
        json!({"targets": [target(json!({"litellm.yaml": "{{ profile.nothing }}"}))]}),
    )
    .await;
    let message = until_not_synced(&cluster, &namespace, "claude", Reason::TemplateInvalid).await;
    assert!(message.contains("litellm.yaml"), "{message}");
    assert_eq!(get(&cluster, &namespace, "files").await, files);
    operator.stop().await;
}
