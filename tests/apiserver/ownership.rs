//! Whose a target is: what the operator writes, what it leaves alone, and who of two bindings gets an object.

use inference_profile_operator::api::{InferenceProfileBinding, condition::Reason};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, case, cases, needing_controllers},
    operator::Options,
    stage::{EU, GLOBAL, Stage, assert_kept_out, embedded, empty},
    support::{assert_cause, eventually},
    targets::{CHART, LABEL, controller, data, holds, owner, spec},
};

pub fn cases() -> Vec<Case> {
    let mut cases = cases![
        embedded(
            a_holder_keeps_its_claim_against_an_older_binding,
            a_target_given_up_goes_to_the_other_binding,
            a_recreated_binding_has_its_target_again,
            a_recreated_binding_adopts_the_object_of_its_predecessor,
            a_target_renamed_moves,
            templates_are_whole_files,
            a_key_that_another_manager_takes_comes_back,
            a_key_of_others_in_an_owned_object_stays,
        ),
        empty(
            the_apiserver_guards_uids_and_creations,
            the_older_of_two_bindings_wins,
            a_selector_leaves_other_bindings_alone,
            bindings_of_two_namespaces_don_t_meet,
        ),
    ];
    cases.extend(needing_controllers(cases![embedded(
        a_target_of_a_deleted_binding_goes_to_the_other,
        an_orphaned_object_is_adopted_by_a_binding_of_the_same_name,
    )]));
    for foreign in FOREIGN {
        cases.push(case!(
            empty,
            format!("{}_is_left_alone", foreign.name),
            is_left_alone(foreign)
        ));
        cases.push(case!(
            empty,
            format!("{}_that_vanishes_makes_room", foreign.name),
            makes_room(foreign)
        ));
    }
    for drift in DRIFTS {
        cases.push(case!(
            embedded,
            format!("{}_is_corrected", drift.name),
            is_corrected(drift)
        ));
    }
    cases
}

/// The guards that every write carries, as the apiserver understands them.
async fn the_apiserver_guards_uids_and_creations(stage: &Stage) {
    let object = json!({"metadata": {"name": "there"}});
    let there = stage.create(object).await;
    let api = stage.config_maps();
    let apply = |name: &'static str, guard: &'static str, value: &'static str| {
        let mut object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        object["metadata"][guard] = json!(value);
        let api = api.clone();
        async move {
            let params = PatchParams::apply("guarded").force();
            match api.patch(name, &params, &Patch::Apply(object)).await {
                Err(kube::Error::Api(status)) => *status,
                other => panic!("{name} with {guard} {value} is not refused: {other:?}"),
            }
        }
    };
    let uid = "00000000-0000-0000-0000-000000000000";
    assert_eq!(apply("absent", "uid", uid).await.code, 409);
    let replaced = apply("there", "uid", uid).await;
    assert_eq!(replaced.code, 422);
    assert_cause(&replaced, "metadata.uid", "immutable");
    assert_eq!(apply("there", "resourceVersion", "1").await.code, 409);
    assert_eq!(stage.object("there").await, there);
}

/// What an object of others has.
#[derive(PartialEq)]
enum With {
    OurLabel,
    Data,
    Controller,
    /// A key that somebody applied under the name of the binding's field manager.
    ForgedKey,
}

/// An object of others in the place of an owned target.
struct Foreign {
    name: &'static str,
    with: &'static [With],
    /// Whom the message names.
    owner: &'static str,
}

const FOREIGN: &[Foreign] = &[
    Foreign {
        name: "an_object_without_controller",
        with: &[With::Data],
        owner: "written by chart",
    },
    Foreign {
        name: "an_empty_object",
        with: &[],
        owner: "was not created by this binding",
    },
    Foreign {
        name: "an_object_of_another_controller",
        with: &[With::Data, With::Controller],
        owner: "controlled by ConfigMap app",
    },
    Foreign {
        name: "an_object_labelled_by_hand",
        with: &[With::OurLabel, With::Data],
        owner: "written by chart",
    },
    Foreign {
        name: "an_empty_object_labelled_by_hand",
        with: &[With::OurLabel],
        owner: "was not created by this binding",
    },
    Foreign {
        name: "an_object_with_our_label_and_manager_forged",
        with: &[With::OurLabel, With::Data, With::ForgedKey],
        owner: "written by chart",
    },
    Foreign {
        name: "an_object_of_another_controller_with_our_label_and_manager_forged",
        with: &[With::OurLabel, With::Controller, With::ForgedKey],
        owner: "controlled by ConfigMap app",
    },
];

impl Foreign {
    /// Creates the object `model`.
    async fn create(&self, stage: &Stage) -> ConfigMap {
        let mut object = json!({"metadata": {"name": "model"}});
        if self.with.contains(&With::OurLabel) {
            object["metadata"]["labels"] = json!({LABEL: "true"});
        }
        if self.with.contains(&With::Data) {
            object["data"] = json!({"MODEL": "mine", "OTHER": "1"});
        }
        if self.with.contains(&With::Controller) {
            let app = stage.create(json!({"metadata": {"name": "app"}})).await;
            object["metadata"]["ownerReferences"] = json!([{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "app",
                "uid": app.uid().expect("a uid"), "controller": true,
            }]);
        }
        stage.create(object).await;
        if self.with.contains(&With::ForgedKey) {
            let forged = json!({"FORGED": "1"});
            stage
                .take("model", "inferenceprofiles.dev:claude", forged)
                .await;
        }
        stage.object("model").await
    }
}

async fn is_left_alone(stage: &mut Stage, foreign: &Foreign) {
    let before = foreign.create(stage).await;
    stage.start(Options::default());
    stage.bind("claude", spec([owner("model")])).await;
    let message = stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;
    assert!(
        message.contains("ConfigMap model") && message.contains(foreign.owner),
        "the owner is named: {message}"
    );
    assert_eq!(stage.object("model").await, before, "at first");

    stage.edit("claude", json!({"geography": "global"})).await;
    stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;
    assert_eq!(stage.object("model").await, before, "after an edit");

    stage.unbind("claude").await;
    stage.settled().await;
    assert_eq!(stage.object("model").await, before, "after the binding");
}

async fn makes_room(stage: &mut Stage, foreign: &Foreign) {
    foreign.create(stage).await;
    stage.start(Options::default());
    let binding = stage.bind("claude", spec([owner("model")])).await;
    stage
        .until_not_synced("claude", Reason::TargetConflict)
        .await;

    stage.delete_object("model").await;
    stage.ready("claude").await;
    let written = stage.object("model").await;
    assert_eq!(data(&written, "MODEL"), Some(EU));
    assert_eq!(controller(&written), binding.uid());
}

/// Creates a binding whose creation time is later than that of another one, in the whole seconds that Kubernetes keeps.
async fn bind_later(stage: &Stage, name: &str, spec: Value, than: &str) -> String {
    let older = stage.binding(than).await;
    eventually("a second goes by", || async {
        let younger = stage.bind(name, spec.clone()).await;
        if younger.creation_timestamp() > older.creation_timestamp() {
            return Ok(younger.uid().expect("a uid"));
        }
        stage.unbind(name).await;
        Err(younger.creation_timestamp())
    })
    .await
}

async fn the_older_of_two_bindings_wins(stage: &mut Stage) {
    let targets = spec([owner("model")]);
    let older = stage.bind("zebra", targets.clone()).await;
    bind_later(stage, "ant", targets, "zebra").await;

    stage.start(Options::default());
    stage.ready("zebra").await;
    let message = stage.until_not_synced("ant", Reason::TargetConflict).await;
    assert!(
        message.contains("claimed by the binding zebra"),
        "{message}"
    );
    let written = stage.object("model").await;
    assert_eq!(controller(&written), older.uid());
    assert!(!holds(&written, "inferenceprofiles.dev:ant", "MODEL"));
}

async fn a_holder_keeps_its_claim_against_an_older_binding(stage: &mut Stage) {
    stage.bind("older", spec([owner("own")])).await;
    let shared = spec([owner("model")]);
    let holder = bind_later(stage, "holder", shared, "older").await;
    stage.ready("holder").await;
    let before = stage.object("model").await;

    stage
        .retarget("older", [owner("own"), owner("model")])
        .await;
    assert_kept_out(stage, "older", "holder", &before).await;
    assert_eq!(controller(&before), Some(holder));
    stage.stop().await;

    // A restart changes nothing: the claim is read from the object.
    stage.start(Options::default());
    stage.settled().await;
    stage.ready("holder").await;
    assert_eq!(stage.object("model").await, before);
}

/// Makes two bindings for one object: `holder` has it, the other, which is returned, waits.
async fn contested(stage: &Stage) -> InferenceProfileBinding {
    let shared = spec([owner("model")]);
    stage.bound("holder", shared.clone()).await;
    let other = stage.bind("other", shared).await;
    stage
        .until_not_synced("other", Reason::TargetConflict)
        .await;
    other
}

async fn a_target_given_up_goes_to_the_other_binding(stage: &Stage) {
    let other = contested(stage).await;
    stage.retarget("holder", [owner("elsewhere")]).await;
    stage.ready("other").await;
    stage.ready("holder").await;
    let model = stage.object("model").await;
    assert_eq!(controller(&model), other.uid());
}

async fn a_target_of_a_deleted_binding_goes_to_the_other(stage: &Stage) {
    let other = contested(stage).await;
    stage.unbind("holder").await;
    stage.ready("other").await;
    let model = stage.object("model").await;
    assert_eq!(controller(&model), other.uid());
}

async fn a_recreated_binding_has_its_target_again(stage: &Stage) {
    let targets = spec([owner("model")]);
    stage.bound("claude", targets.clone()).await;

    stage.unbind("claude").await;
    let successor = stage.bind("claude", targets).await;
    // Garbage collection may come before the adoption, after it or never: the end is the same.
    stage.ready("claude").await;
    stage
        .until_object("model", "the successor's", |model| {
            controller(model) == successor.uid() && data(model, "MODEL").is_some()
        })
        .await;
}

async fn a_recreated_binding_adopts_the_object_of_its_predecessor(stage: &mut Stage) {
    let targets = spec([owner("model")]);
    stage.bound("claude", targets.clone()).await;
    // A second owner keeps garbage collection from deleting the object.
    stage.add_owner("model", "keeper").await;
    stage.stop().await;
    stage.unbind("claude").await;
    let before = stage.object("model").await;

    let successor = stage.bind("claude", targets).await;
    stage.start(Options::default());
    stage.ready("claude").await;
    let adopted = stage.object("model").await;
    assert_eq!(adopted.uid(), before.uid(), "the object is the same");
    assert_eq!(controller(&adopted), successor.uid());
    assert_eq!(
        adopted.owner_references().len(),
        2,
        "the other owner stays, the predecessor goes"
    );
}

async fn an_orphaned_object_is_adopted_by_a_binding_of_the_same_name(stage: &Stage) {
    let targets = spec([owner("model")]);
    stage.bound("claude", targets.clone()).await;
    let before = stage.object("model").await;

    stage
        .bindings()
        .delete("claude", &DeleteParams::orphan())
        .await
        .expect("deleted");
    stage
        .until_object("model", "an orphan", |model| {
            model.owner_references().is_empty()
        })
        .await;
    stage.until_unbound("claude").await;

    let successor = stage.bound("claude", targets).await;
    let adopted = stage.object("model").await;
    assert_eq!(adopted.uid(), before.uid(), "the object is the same");
    assert_eq!(controller(&adopted), successor.uid());
}

async fn a_target_renamed_moves(stage: &Stage) {
    stage.bound("claude", spec([owner("old")])).await;
    stage.retarget("claude", [owner("new")]).await;
    stage.ready("claude").await;
    assert!(stage.value("new", "MODEL").await.is_some());
    stage.until_gone("old").await;
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

async fn is_corrected(stage: &Stage, drift: &Drift) {
    let binding = stage.bound("claude", spec([owner("model")])).await;
    let before = stage.object("model").await;

    match (drift.patch)() {
        Some(patch) => stage.meddle("model", patch).await,
        None => stage.delete_object("model").await,
    }
    let manager = "inferenceprofiles.dev:claude";
    let after = stage
        .until_object("model", "as it was", |model| {
            model.data == before.data
                && model.labels() == before.labels()
                && controller(model) == binding.uid()
                && holds(model, manager, "MODEL")
        })
        .await;
    assert_ne!(after.resource_version(), before.resource_version());
    stage.ready("claude").await;

    // The next value gets through as ever.
    stage.edit("claude", json!({"geography": "global"})).await;
    stage.ready("claude").await;
    assert_eq!(stage.value("model", "MODEL").await.as_deref(), Some(GLOBAL));
}

async fn a_key_that_another_manager_takes_comes_back(stage: &Stage) {
    stage.bound("claude", spec([owner("model")])).await;
    let taken = json!({"MODEL": "mine", "EXTRA": "1"});
    stage.take("model", "someone", taken).await;
    let back = stage
        .until_object("model", "taken back", |model| {
            data(model, "MODEL") == Some(EU)
        })
        .await;
    assert!(!holds(&back, "someone", "MODEL"), "by force");
    assert_eq!(data(&back, "EXTRA"), Some("1"), "what is theirs stays");
    stage.ready("claude").await;
}

async fn a_key_of_others_in_an_owned_object_stays(stage: &Stage) {
    stage.bound("claude", spec([owner("model")])).await;
    let extra = json!({"data": {"EXTRA": "1"}, "metadata": {"annotations": {"note": "theirs"}}});
    stage.change("model", CHART, extra).await;
    let before = stage.object("model").await;
    stage.settled().await;
    assert_eq!(stage.object("model").await, before);

    let change = json!({
        "geography": "global",
        "targets": [{"kind": "ConfigMap", "name": "model", "keys": {"ID": "ProfileID"}}],
    });
    stage.edit("claude", change).await;
    stage.ready("claude").await;
    let after = stage.object("model").await;
    assert_eq!(data(&after, "EXTRA"), Some("1"));
    assert_eq!(after.annotations(), before.annotations());
    assert_eq!(data(&after, "ID"), Some(GLOBAL));
    assert_eq!(data(&after, "MODEL"), None, "a key of ours goes");
}

async fn a_selector_leaves_other_bindings_alone(stage: &mut Stage) {
    let options = Options {
        selector: Some("team=chat".to_owned()),
        ..Options::default()
    };
    stage.start(options);
    let other = stage.bind("other", spec([owner("other")])).await;
    stage.bind("claude", spec([owner("model")])).await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"team": "chat"}}}));
    stage
        .bindings()
        .patch("claude", &PatchParams::default(), &label)
        .await
        .expect("labelled");
    stage.ready("claude").await;
    assert_eq!(
        stage.binding("other").await.resource_version(),
        other.resource_version(),
        "it has no status"
    );
    assert_eq!(stage.value("other", "MODEL").await, None);
}

async fn bindings_of_two_namespaces_don_t_meet(one: &mut Stage) {
    let (two, unserved) = (one.another().await, one.another().await);
    one.start(Options {
        more_namespaces: vec![two.namespace.clone()],
        ..Options::default()
    });
    let targets = spec([owner("model")]);
    unserved.bind("claude", targets.clone()).await;
    let mut global = targets.clone();
    global["geography"] = json!("global");
    one.bind("claude", targets).await;
    two.bind("claude", global).await;
    one.ready("claude").await;
    two.ready("claude").await;
    assert_eq!(one.value("model", "MODEL").await.as_deref(), Some(EU));
    assert_eq!(two.value("model", "MODEL").await.as_deref(), Some(GLOBAL));

    // What happens in one namespace is nothing to the other.
    let before = two.object("model").await;
    one.delete_object("model").await;
    one.until_object("model", "comes back", |_| true).await;
    one.unbind("claude").await;
    two.settled().await;
    assert_eq!(two.object("model").await, before);
    assert_eq!(unserved.value("model", "MODEL").await, None);
}

async fn templates_are_whole_files(stage: &Stage) {
    let target = |templates: Value| json!({"kind": "ConfigMap", "name": "files", "keys": {"MODEL": "ProfileID"}, "templates": templates});
    let two = json!({
        "litellm.yaml": "model: bedrock/{{ profile.id }}\nregion: {{ profile.sourceRegion }}\n",
        "regions.txt": "{% for region in profile.destinationRegions %}{{ region }}\n{% endfor %}",
    });
    stage.bound("claude", spec([target(two)])).await;
    let files = stage.object("files").await;
    assert_eq!(
        data(&files, "litellm.yaml"),
        Some(&*format!("model: bedrock/{EU}\nregion: eu-west-1\n"))
    );
    let regions = data(&files, "regions.txt").expect("the second file");
    assert!(regions.lines().any(|line| line == "eu-west-1"), "{regions}");
    assert_eq!(data(&files, "MODEL"), Some(EU));

    stage
        .retarget(
            "claude",
            [target(json!({"litellm.yaml": "id: {{ profile.id }}"}))],
        )
        .await;
    stage.ready("claude").await;
    let files = stage.object("files").await;
    assert_eq!(data(&files, "litellm.yaml"), Some(&*format!("id: {EU}")));
    assert_eq!(data(&files, "regions.txt"), None);

    // A template that can't be rendered is said so, and what is there stays.
    stage
        .retarget(
            "claude",
            [target(json!({"litellm.yaml": "{{ profile.nothing }}"}))],
        )
        .await;
    let message = stage
        .until_not_synced("claude", Reason::TemplateInvalid)
        .await;
    assert!(message.contains("litellm.yaml"), "{message}");
    assert_eq!(stage.object("files").await, files);
}
