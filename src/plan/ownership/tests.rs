use std::collections::BTreeMap;

use crate::{
    api::{InferenceProfileBindingSpec, TargetKind},
    plan::{
        identity::ObjectKey,
        observed::{Controller, Holding, Spec, fingerprints},
        status::{Status, TargetRecord},
    },
};

use super::*;

/// Returns a binding with this creation time, UID and one target `t`, given as the rest of its YAML.
fn binding(name: &str, created: i64, uid: &str, target: &str) -> Binding {
    let wire: InferenceProfileBindingSpec = serde_yaml::from_str(&format!(
        "{{model: a.b, geography: eu, targets: [{{kind: ConfigMap, name: t, {target}}}]}}"
    ))
    .expect("a spec");
    let name: Arc<str> = name.into();
    Binding {
        spec: Spec::parse(&wire, &name, &"eu-west-1".parse().expect("a region")),
        key: ObjectKey {
            namespace: "shop".into(),
            name,
        },
        uid: uid.into(),
        generation: 1,
        created,
        deleting: false,
        finalizer: false,
        refresh: None,
        status: Status::default(),
    }
}

fn key() -> TargetKey {
    TargetKey {
        kind: TargetKind::ConfigMap,
        namespace: "shop".into(),
        name: "t".into(),
    }
}

fn holding(holder: &str, keys: &[&str]) -> Holding {
    let content: BTreeMap<String, String> = keys
        .iter()
        .map(|key| ((*key).to_owned(), String::new()))
        .collect();
    Holding {
        holder: holder.into(),
        keys: fingerprints(TargetKind::ConfigMap, &content),
    }
}

fn controlled(uid: &str, name: &str) -> TargetView {
    TargetView {
        uid: "uid-t".into(),
        labelled: true,
        controller: Some(Controller {
            uid: uid.into(),
            binding: Some(name.into()),
            description: format!("InferenceProfileBinding {name}").into(),
        }),
        ours: [holding(name, &["K"])].into(),
        ..TargetView::default()
    }
}

fn merged(holdings: &[(&str, &[&str])]) -> TargetView {
    TargetView {
        uid: "uid-t".into(),
        labelled: true,
        ours: holdings
            .iter()
            .map(|(holder, keys)| holding(holder, keys))
            .collect(),
        ..TargetView::default()
    }
}

const OWNS: &str = "keys: {K: ProfileID}";
const MERGES_K: &str = "creationPolicy: Merge, keys: {K: ProfileID}";
const MERGES_L: &str = "creationPolicy: Merge, keys: {L: ProfileID}";
const MERGES_BOTH: &str = "creationPolicy: Merge, keys: {K: ProfileID, L: ProfileID}";

/// Two bindings that claim the target `t`.
struct Row {
    name: &'static str,
    /// Creation time, UID and target of `a`, then of `b`.
    a: (i64, &'static str, &'static str),
    b: (i64, &'static str, &'static str),
    view: Option<TargetView>,
    wins: &'static [&'static str],
}

impl Row {
    /// Asks for each of the two whether the other takes precedence.
    fn check(self) {
        let a = binding("a", self.a.0, self.a.1, self.a.2);
        let b = binding("b", self.b.0, self.b.1, self.b.2);
        let (a, b) = (claim(&a), claim(&b));
        let mut wins = Vec::new();
        if better_claim(&a, [b], self.view.as_ref()).is_none() {
            wins.push("a");
        }
        if better_claim(&b, [a], self.view.as_ref()).is_none() {
            wins.push("b");
        }
        assert_eq!(wins, self.wins, "{}", self.name);
    }
}

#[test]
fn who_of_two_gets_an_object() {
    [
        Row {
            name: "the older one",
            a: (1, "z", OWNS),
            b: (2, "y", OWNS),
            view: None,
            wins: &["a"],
        },
        Row {
            name: "the lower UID among equals",
            a: (1, "z", OWNS),
            b: (1, "y", OWNS),
            view: None,
            wins: &["b"],
        },
        Row {
            name: "the present controller before an older one",
            a: (1, "y", OWNS),
            b: (2, "z", OWNS),
            view: Some(controlled("z", "b")),
            wins: &["b"],
        },
        Row {
            name: "the successor of the present controller before an older one",
            a: (1, "y", OWNS),
            b: (2, "z", OWNS),
            view: Some(controlled("predecessor", "b")),
            wins: &["b"],
        },
        Row {
            name: "the older one where a third controls the object",
            a: (1, "z", OWNS),
            b: (2, "y", OWNS),
            view: Some(controlled("x", "c")),
            wins: &["a"],
        },
        Row {
            name: "an owner before a younger merger",
            a: (1, "z", OWNS),
            b: (2, "y", MERGES_L),
            view: None,
            wins: &["a"],
        },
        Row {
            name: "a merger that holds keys before an older owner",
            a: (1, "z", OWNS),
            b: (2, "y", MERGES_L),
            view: Some(merged(&[("b", &["L"])])),
            wins: &["b"],
        },
        Row {
            name: "the owner that has the object before an older merger",
            a: (1, "z", MERGES_L),
            b: (2, "y", OWNS),
            view: Some(controlled("y", "b")),
            wins: &["b"],
        },
    ]
    .into_iter()
    .for_each(Row::check);
}

#[test]
fn who_of_two_gets_a_key() {
    [
        Row {
            name: "both mergers of different keys",
            a: (1, "z", MERGES_K),
            b: (2, "y", MERGES_L),
            view: None,
            wins: &["a", "b"],
        },
        Row {
            name: "the older merger of one key",
            a: (2, "y", MERGES_K),
            b: (1, "z", MERGES_K),
            view: None,
            wins: &["b"],
        },
        Row {
            name: "the merger that holds the key before an older one",
            a: (1, "y", MERGES_K),
            b: (2, "z", MERGES_K),
            view: Some(merged(&[("b", &["K"])])),
            wins: &["b"],
        },
        Row {
            name: "the merger that holds the key before an older one that holds another key",
            a: (1, "y", MERGES_BOTH),
            b: (2, "z", MERGES_K),
            view: Some(merged(&[("a", &["L"]), ("b", &["K"])])),
            wins: &["b"],
        },
        Row {
            name: "the older one where each holds a key of the other",
            a: (1, "y", MERGES_BOTH),
            b: (2, "z", MERGES_BOTH),
            view: Some(merged(&[("a", &["L"]), ("b", &["K"])])),
            wins: &["a"],
        },
    ]
    .into_iter()
    .for_each(Row::check);
}

fn claim(binding: &Binding) -> Claim<'_> {
    Claim {
        binding,
        target: &binding.spec.targets[0],
    }
}

#[test]
fn a_binding_that_goes_claims_nothing_new_but_keeps_what_it_holds() {
    let mut going = binding("a", 1, "y", OWNS);
    going.deleting = true;
    let other = binding("b", 2, "z", OWNS);
    let (going, other) = (claim(&going), claim(&other));
    assert_eq!(better_claim(&other, [going], None), None);
    let held = controlled("y", "a");
    assert_eq!(
        better_claim(&other, [going], Some(&held)).as_deref(),
        Some("a")
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn whose_an_object_is() {
    let chat = binding("chat", 1, "uid-chat", OWNS);
    let record = |policy| TargetRecord {
        key: key(),
        uid: "uid-t".into(),
        policy,
        hash: "".into(),
        restart_pending: Box::default(),
        since: None,
    };
    let with_record = |policy| {
        let mut chat = chat.clone();
        chat.status.targets = vec![record(policy)];
        chat
    };
    let ours_alone = merged(&[("chat", &["K"])]);
    let shared = TargetView {
        foreign: [holding("kubectl", &["L"])].into(),
        ..ours_alone.clone()
    };
    let unlabelled = TargetView {
        labelled: false,
        ..ours_alone.clone()
    };
    let consenting = TargetView {
        allow_merge: Some("chat".into()),
        ..ours_alone.clone()
    };
    let of_deployment = TargetView {
        controller: Some(Controller {
            uid: "uid-d".into(),
            binding: None,
            description: "Deployment d".into(),
        }),
        ..ours_alone.clone()
    };
    let foreign = |owner: &str| Ownership::Foreign {
        owner: owner.to_owned(),
    };
    let nobodys = || foreign("it was not created by this binding");
    let rows = [
        (
            "controlled",
            &chat,
            controlled("uid-chat", "chat"),
            Ownership::Ours,
        ),
        (
            "a predecessor's",
            &chat,
            controlled("old", "chat"),
            Ownership::Adoptable,
        ),
        (
            "another binding's",
            &chat,
            controlled("uid-2", "other"),
            foreign("it is controlled by InferenceProfileBinding other"),
        ),
        (
            "of another kind that bears our held_objects",
            &chat,
            of_deployment,
            foreign("it is controlled by Deployment d"),
        ),
        (
            "an orphan with our values alone",
            &chat,
            ours_alone.clone(),
            Ownership::Adoptable,
        ),
        (
            "an orphan that we know as ours",
            &with_record(CreationPolicy::Owner),
            ours_alone.clone(),
            Ownership::Adoptable,
        ),
        (
            "merged into",
            &with_record(CreationPolicy::Merge),
            ours_alone,
            nobodys(),
        ),
        ("one that allows the merge", &chat, consenting, nobodys()),
        ("without the label", &chat, unlabelled, nobodys()),
        (
            "written by others too",
            &chat,
            shared,
            foreign("it has no controller and is written by kubectl"),
        ),
        ("the label alone", &chat, merged(&[]), nobodys()),
        (
            "another binding's keys",
            &chat,
            merged(&[("other", &["K"])]),
            nobodys(),
        ),
    ];
    for (name, binding, view, ownership) in rows {
        assert_eq!(judge(binding, &key(), &view), ownership, "{name}");
    }
}
