use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use proptest::prelude::*;

use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::{Catalog, FeedState, FoundationModel, Lifecycle, embedded::Embedded},
    class::{Class, Labels, RequestError},
    plan::{
        Plan,
        action::RemovalCause,
        observed::Binding,
        plan,
        publication::{Contradiction, Publication, contradiction},
        status::{ModelInUse, Status},
        testing::{
            NOW, SETTINGS, SONNET, binding, condition, failing, full, observed, ready_message,
            succeed, visit, with_models, without,
        },
    },
};

use super::*;

const HAIKU: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
/// A target that holds a value of each of the two models.
const TARGET: &str = "targets: [{kind: ConfigMap, name: t, keys: {A: a.ProfileID, B: b.ProfileID}, templates: {f: '{% for m in models %}{{ m.name }}={{ m.id }} {% endfor %}'}}]";

/// Returns a new binding with the models `a` and `b`, given as YAML, and the rest of its spec.
fn two(a: &str, b: &str, rest: &str) -> Binding {
    binding(&format!("{{models: {{a: {a}, b: {b}}}, {TARGET}, {rest}}}"))
}

/// Returns a binding after an edit of its spec.
fn edited(before: &Binding, after: &Binding) -> Binding {
    Binding {
        generation: before.generation + 1,
        status: before.status.clone(),
        ..after.clone()
    }
}

fn model(id: &str, geography: &str) -> String {
    format!("{{model: '{id}', geography: {geography}}}")
}

fn ids(binding: &Binding) -> Vec<String> {
    let written = binding.status.written();
    written
        .map(|(_, route)| route.route.id().to_owned())
        .collect()
}

fn supported(binding: &Binding) -> (Reason, String) {
    let finding = binding.status.finding(ConditionType::RegionSupported);
    let finding = finding.expect("a condition");
    (finding.reason, finding.message.to_string())
}

#[test]
fn all_are_written_at_once() {
    let spec = two(&model(SONNET, "eu"), &model(HAIKU, "global"), "");
    let (after, actions, outcome) = visit(&spec, full(), &SETTINGS);
    let content = &actions.writes[0].as_ref().expect("a write").content;
    let (a, b) = (format!("eu.{SONNET}"), format!("global.{HAIKU}"));
    let expected = [
        ("A", a.clone()),
        ("B", b.clone()),
        ("f", format!("a={a} b={b} ")),
    ];
    assert_eq!(
        *content,
        expected.map(|(key, value)| (key.to_owned(), value)).into()
    );
    assert_eq!(outcome.notices, []);
    assert_eq!(
        condition(&after, ConditionType::Ready),
        (ConditionStatus::True, Reason::Bound)
    );
    assert_eq!(
        *ready_message(&after),
        *format!("a: {a}, b: {b} are written to the targets; valid when called from eu-west-1")
    );
    let wire = after.status.to_wire();
    assert_eq!(
        (wire.profile.as_ref(), wire.model_names.as_deref()),
        (None, Some("a,b"))
    );
    assert_eq!(
        wire.models[1]
            .profile
            .as_ref()
            .expect("a profile")
            .geography,
        "global"
    );
    assert_eq!(Status::from_wire(&wire, &"shop".into()), after.status);
    assert_eq!(
        visit(&after, full(), &SETTINGS).2.status,
        None,
        "nothing changes"
    );
}

#[test]
fn one_that_has_no_route_holds_back_the_others_and_is_named() {
    let spec = two(&model(SONNET, "eu"), &model("anthropic.no-such", "eu"), "");
    let (after, actions, _) = visit(&spec, full(), &SETTINGS);
    assert!(actions.writes.is_empty() && ids(&after).is_empty());
    let (reason, message) = supported(&after);
    assert_eq!(reason, Reason::ModelUnsupported);
    assert!(
        message.starts_with("b: ") && !message.contains("a: "),
        "{message}"
    );
    assert_eq!(
        Status::from_wire(&after.status.to_wire(), &"shop".into()),
        after.status
    );
    // Once it has one, all are written.
    let corrected = edited(&after, &two(&model(SONNET, "eu"), &model(HAIKU, "eu"), ""));
    let (after, actions, _) = visit(&corrected, full(), &SETTINGS);
    assert_eq!(actions.writes.len(), 1);
    assert_eq!(ids(&after), [format!("eu.{SONNET}"), format!("eu.{HAIKU}")]);
}

#[test]
fn what_is_written_stays_whole_while_one_has_no_route() {
    let before = two(&model(SONNET, "eu"), &model(HAIKU, "eu"), "");
    let before = visit(&before, full(), &SETTINGS).0;
    for (name, a, b) in [
        (
            "another model of one, mistyped, and a move of the other",
            model(SONNET, "global"),
            model("anthropic.hiaku", "eu"),
        ),
        (
            "a model mistyped",
            model("anthropic.sonet", "eu"),
            model(HAIKU, "eu"),
        ),
    ] {
        let (after, actions, outcome) =
            visit(&edited(&before, &two(&a, &b, "")), full(), &SETTINGS);
        assert_eq!(ids(&after), ids(&before), "{name}");
        assert!(actions.removals.is_empty(), "{name}");
        for write in actions.writes.iter().flatten() {
            assert_eq!(write.content["A"], format!("eu.{SONNET}"), "{name}");
            assert_eq!(write.content["B"], format!("eu.{HAIKU}"), "{name}");
        }
        assert_eq!(
            condition(&after, ConditionType::Ready).0,
            ConditionStatus::False
        );
        assert!(
            outcome
                .notices
                .iter()
                .all(|notice| notice.reason != "ProfileChanged")
        );
    }
    // AWS can't be asked, and then one profile is gone.
    for feed in [failing(), without("eu")] {
        let (after, actions, _) = visit(&before, feed, &SETTINGS);
        assert_eq!((ids(&after), actions.removals.len()), (ids(&before), 0));
    }
}

#[test]
fn one_that_breaks_a_limit_takes_the_whole_file_with_it() {
    let before = two(&model(SONNET, "eu"), &model(HAIKU, "global"), "");
    let before = visit(&before, full(), &SETTINGS).0;
    let limited = two(
        &model(SONNET, "eu"),
        &model(HAIKU, "global"),
        "allowedRegions: ['@eu']",
    );
    let (after, actions, outcome) = visit(&edited(&before, &limited), full(), &SETTINGS);
    assert_eq!(actions.removed(), ["t"]);
    assert_eq!(actions.removals[0].cause, RemovalCause::Withdrawn);
    assert!(ids(&after).is_empty());
    let message = &outcome.notices[0].message;
    assert!(
        message.contains("b: not allowed by") && message.contains(SONNET),
        "{message}"
    );
    // Where all can be replaced at once, they are.
    let moved = two(
        &model(SONNET, "eu"),
        &model(HAIKU, "eu"),
        "allowedRegions: ['@eu']",
    );
    let (after, actions, _) = visit(&edited(&before, &moved), full(), &SETTINGS);
    assert!(actions.removals.is_empty());
    assert_eq!(ids(&after)[1], format!("eu.{HAIKU}"));
    // One that has left the spec stands in the file until the others can be written.
    let gone = binding(&format!(
        "{{models: {{a: {}}}, targets: [{{kind: ConfigMap, name: t}}], allowedRegions: ['@eu']}}",
        model("anthropic.sonet", "eu")
    ));
    let (_, actions, _) = visit(&edited(&before, &gone), full(), &SETTINGS);
    assert_eq!(actions.removed(), ["t"], "it breaks the limit too");
}

#[test]
fn a_contradiction_that_is_certain_takes_the_whole_file_and_one_that_is_held_back_does_not() {
    let before = two(&model(SONNET, "eu"), &model(HAIKU, "eu"), "");
    let before = visit(&before, full(), &SETTINGS).0;
    let abroad = two(&model(SONNET, "eu"), &model(HAIKU, "jp"), "");
    let (after, actions, _) = visit(&edited(&before, &abroad), full(), &SETTINGS);
    assert_eq!((actions.removed(), ids(&after).len()), (vec!["t"], 0));
    // `a` may go to global, and would: `b` holds it back, and asks for nothing that its value contradicts.
    let held = two(
        &model(SONNET, "global"),
        &model("anthropic.hiaku", "eu"),
        "",
    );
    let (after, actions, _) = visit(&edited(&before, &held), full(), &SETTINGS);
    assert!(actions.removals.is_empty() && actions.writes.is_empty());
    assert_eq!(ids(&after), ids(&before));
}

#[test]
fn names_that_come_and_go_leave_the_file_until_all_can_be_written() {
    let before = two(&model(SONNET, "eu"), &model(HAIKU, "eu"), "");
    let before = visit(&before, full(), &SETTINGS).0;
    let three = |c: &str| {
        binding(&format!(
            "{{models: {{a: {}, c: {c}}}, targets: [{{kind: ConfigMap, name: t, keys: {{C: c.ProfileID}}}}]}}",
            model(SONNET, "eu"),
        ))
    };
    let (after, actions, _) = visit(
        &edited(&before, &three(&model("anthropic.x", "eu"))),
        full(),
        &SETTINGS,
    );
    assert!(actions.writes.is_empty() && actions.removals.is_empty());
    assert_eq!(ids(&after), ids(&before));
    let (after, actions, _) = visit(
        &edited(&after, &three(&model(HAIKU, "eu"))),
        full(),
        &SETTINGS,
    );
    assert_eq!(actions.writes.len(), 1);
    assert_eq!(after.status.to_wire().model_names.as_deref(), Some("a,c"));

    let one = visit(
        &binding(&format!("{{model: '{SONNET}', geography: eu}}")),
        full(),
        &SETTINGS,
    )
    .0;
    let several = |b: &str| {
        edited(
            &one,
            &binding(&format!(
                "{{models: {{a: {}, b: {b}}}}}",
                model(SONNET, "eu")
            )),
        )
    };
    let (kept, actions, _) = visit(&several(&model("anthropic.x", "eu")), full(), &SETTINGS);
    assert!(actions.writes.is_empty() && actions.removals.is_empty());
    assert_eq!(ids(&kept), ids(&one));
    let (moved, actions, _) = visit(&several(&model(HAIKU, "eu")), full(), &SETTINGS);
    let content = &actions.writes[0].as_ref().expect("a write").content;
    assert_eq!(
        content["BEDROCK_B_INFERENCE_PROFILE_ID"],
        format!("eu.{HAIKU}")
    );
    assert_eq!(content.len(), 10);
    assert_eq!(moved.status.to_wire().profile, None);
}

#[test]
fn the_life_of_each_is_known_and_the_worst_gives_the_reason() {
    let listed = |id: &str, lifecycle| FoundationModel {
        id: id.parse().expect(id),
        lifecycle,
        on_demand: false,
    };
    let models = |haiku| vec![listed(SONNET, Lifecycle::ACTIVE), listed(HAIKU, haiku)];
    let feed = |haiku| with_models(full(), Some(models(haiku)));
    let spec = two(&model(SONNET, "eu"), &model(HAIKU, "eu"), "");
    let (active, ..) = visit(&spec, feed(Lifecycle::ACTIVE), &SETTINGS);
    assert_eq!(
        condition(&active, ConditionType::ModelActive).1,
        Reason::Active
    );
    let (legacy, _, outcome) = visit(&active, feed(Lifecycle::LEGACY), &SETTINGS);
    assert_eq!(
        condition(&legacy, ConditionType::ModelActive).1,
        Reason::LegacyModel
    );
    let [notice] = outcome.notices.as_slice() else {
        panic!("one Event: {:?}", outcome.notices)
    };
    assert!(notice.message.starts_with("b: "), "{}", notice.message);
    let states: Vec<_> = legacy.status.models.values().map(|it| it.state).collect();
    assert_eq!(states, [Some(Reason::Active), Some(Reason::LegacyModel)]);
    assert_eq!(
        Status::from_wire(&legacy.status.to_wire(), &"shop".into()),
        legacy.status
    );
    assert_eq!(
        visit(&legacy, feed(Lifecycle::LEGACY), &SETTINGS).2.status,
        None
    );
    // What was known of each stays known.
    for unknown in [failing(), with_models(full(), None)] {
        let (later, ..) = visit(&legacy, unknown, &SETTINGS);
        assert_eq!(later.status.models, legacy.status.models);
    }
}

#[test]
fn a_message_is_bounded_whatever_is_asked_for() {
    let names = ('a'..='p').map(|name| format!("{name}: {}", model("anthropic.no-such", "eu")));
    let names: Vec<String> = names.collect();
    let spec = binding(&format!("{{models: {{{}}}}}", names.join(", ")));
    let (after, ..) = visit(&spec, full(), &SETTINGS);
    let (_, message) = supported(&after);
    assert!(
        message.ends_with("; and 13 more of the models"),
        "{message}"
    );
}

/// What a binding may ask for under a name.
#[derive(Debug, Clone)]
struct Wish {
    model: &'static str,
    geography: &'static str,
    /// The class that says so, and whether it can be found.
    class: Option<Found>,
}

#[derive(Debug, Clone, Copy)]
enum Found {
    Yes,
    No,
    Unreadable,
}

/// A state of the world that a binding is visited in.
#[derive(Debug, Clone)]
struct Step {
    wishes: BTreeMap<&'static str, Wish>,
    limit: Option<&'static str>,
    feed: usize,
    suspend: bool,
}

impl Step {
    /// Returns what stands in the spec itself: what a class asks for does not.
    fn said(&self) -> impl PartialEq {
        let said = |wish: &Wish| (wish.class.is_none()).then_some((wish.model, wish.geography));
        let wishes: Vec<_> = self
            .wishes
            .iter()
            .map(|(name, wish)| (*name, said(wish)))
            .collect();
        (wishes, self.limit, self.suspend)
    }
}

static FEEDS: LazyLock<Vec<FeedState>> = LazyLock::new(|| {
    let dead = Lifecycle {
        end_of_life: "2020-01-01".parse().ok(),
        ..Lifecycle::LEGACY
    };
    let haiku = FoundationModel {
        id: HAIKU.parse().expect("a model"),
        lifecycle: dead,
        on_demand: false,
    };
    let nothing = FeedState {
        catalog: full().catalog.map(|it| {
            Arc::new(Catalog::new(
                it.source(),
                it.source_region().clone(),
                it.account().cloned(),
                None,
                Vec::new(),
            ))
        }),
        ..full()
    };
    vec![
        full(),
        without("eu"),
        without("global"),
        failing(),
        with_models(full(), Some(vec![haiku])),
        nothing,
    ]
});

fn wish() -> impl Strategy<Value = Wish> {
    let found = prop_oneof![Just(Found::Yes), Just(Found::No), Just(Found::Unreadable)];
    (
        prop_oneof![4 => Just(SONNET), 4 => Just(HAIKU), 1 => Just("anthropic.no-such")],
        prop_oneof![4 => Just("eu"), 3 => Just("global"), 1 => Just("jp")],
        proptest::option::weighted(0.3, found),
    )
        .prop_map(|(model, geography, class)| Wish {
            model,
            geography,
            class,
        })
}

fn step() -> impl Strategy<Value = Step> {
    (
        proptest::collection::btree_map(
            prop_oneof![3 => Just("a"), 3 => Just("b"), 1 => Just("c")],
            wish(),
            1..4,
        ),
        prop_oneof![4 => Just(None), 1 => Just(Some("@eu")), 1 => Just(Some("*"))],
        prop_oneof![3 => Just(0_usize), 2 => 1..FEEDS.len()],
        proptest::bool::weighted(0.1),
    )
        .prop_map(|(wishes, limit, feed, suspend)| Step {
            wishes,
            limit,
            feed,
            suspend,
        })
}

/// Returns the spec of a step, for all its models, or for one of them alone as a binding with one model.
fn spec(step: &Step, only: Option<&str>) -> Binding {
    let of = |(name, wish): (&&'static str, &Wish)| match &wish.class {
        Some(_) => format!("className: class-{name}"),
        None => format!("model: '{}', geography: {}", wish.model, wish.geography),
    };
    let limit = step.limit.map_or(String::new(), |limit| {
        format!("allowedRegions: ['{limit}'],")
    });
    let asked = if let Some(only) = only {
        let found = step.wishes.iter().find(|(name, _)| **name == only);
        of(found.expect("a wish"))
    } else {
        let models = step.wishes.iter();
        let models: Vec<String> = models
            .map(|wish| format!("{}: {{{}}}", wish.0, of(wish)))
            .collect();
        format!("models: {{{}}}", models.join(", "))
    };
    let mut binding = binding(&format!("{{{asked}, {limit} suspend: {}}}", step.suspend));
    let class = |name: &Arc<str>| {
        let wish = &step.wishes[name.trim_start_matches("class-")];
        match wish.class {
            Some(Found::Yes) => {
                let yaml = format!("{{model: '{}', geography: {}}}", wish.model, wish.geography);
                let wire = serde_yaml::from_str(&yaml).expect("a class");
                Ok(Arc::new(Class::parse(name, &wire)))
            }
            Some(Found::No) => Err(RequestError::ClassNotFound(name.clone())),
            _ => Err(RequestError::ClassesUnreadable(name.clone())),
        }
    };
    binding
        .spec
        .apply_class(class, "shop", Some(&Labels::default()));
    binding
}

fn planned(binding: &Binding, feed: &FeedState) -> Plan {
    plan(
        observed(binding, feed.clone()),
        &SETTINGS,
        Embedded::load(),
        NOW,
    )
}

/// Returns what the rules for one model say about one of several, as if it were alone.
fn alone(whole: &Binding, step: &Step, name: &str) -> (Binding, Plan) {
    let written = whole
        .status
        .models
        .get(Some(name))
        .cloned()
        .unwrap_or_default();
    let mut one = spec(step, Some(name));
    one.generation = whole.generation;
    one.status = Status {
        models: Models::One(ModelInUse {
            state: None,
            lifecycle: None,
            ..written
        }),
        conditions: Arc::default(),
        ..whole.status.clone()
    };
    let plan = planned(&one, &FEEDS[step.feed]);
    (one, plan)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the catalog, the classes and the limits say about each, and whatever was written before: what the targets hold is of one
    /// decision about all of them, something new is written only where each has a route, and what is written goes only where
    /// one breaks a limit, or certainly contradicts the spec.
    #[test]
    fn no_target_is_ever_half_new(steps in proptest::collection::vec(step(), 1..6)) {
        let mut before = spec(&steps[0], None);
        let mut held: Option<BTreeMap<String, String>> = None;
        let mut last = &steps[0];
        for step in &steps {
            let mut now = spec(step, None);
            now.generation = before.generation + i64::from(step.said() != last.said());
            now.status = before.status.clone();
            let singles: Vec<_> = step.wishes.keys().map(|name| alone(&now, step, name)).collect();
            let plan = planned(&now, &FEEDS[step.feed]);
            let publication = plan.decisions.publication.clone();
            let violated = plan.decisions.residency_violated;
            let (actions, outcome) = succeed(plan, NOW);
            for write in actions.writes.iter().flatten() {
                held = Some(write.content.clone());
            }
            if !actions.removals.is_empty() {
                held = None;
            }
            let status = outcome.status.unwrap_or(now.status.clone());
            let after = Binding { status, ..now.clone() };

            let all_fresh = singles.iter().all(|(_, plan)| matches!(plan.decisions.publication, Publication::Publish(_)));
            let is_published = matches!(publication, Publication::Publish(_));
            prop_assert!(!is_published || all_fresh, "new values without an answer to each");
            prop_assert!(is_published || !all_fresh || violated || step.suspend, "nothing new although each has a route");

            let routes: Vec<bool> = after.status.models.values().map(|it| it.route.is_some()).collect();
            prop_assert!(routes.iter().all(|it| *it) || routes.iter().all(|it| !it), "written in part");
            let ids: Vec<&str> = after.status.written().map(|(_, it)| it.route.id()).collect();
            match &held {
                None => prop_assert!(ids.is_empty()),
                Some(held) => {
                    let written: Vec<&str> = held.iter().filter(|(key, _)| key.ends_with("INFERENCE_PROFILE_ID")).map(|(_, id)| id.as_str()).collect();
                    prop_assert_eq!(written, ids, "the targets hold what the status says");
                }
            }

            if now.status.is_written() && !after.status.is_written() {
                let certainly = |(one, plan): &(Binding, Plan)| {
                    let entries = one.entries();
                    let mut entries = entries.values();
                    matches!(plan.decisions.publication, Publication::Withdraw { .. })
                        && entries.any(|entry| contradiction(*entry) == Some(Contradiction::Call))
                };
                prop_assert!(violated || singles.iter().any(certainly), "withdrawn without a reason");
            }
            if violated {
                let replaced = is_published && !step.suspend;
                prop_assert!(replaced || !after.status.is_written(), "what breaks a limit stays");
            }
            let back = Status::from_wire(&after.status.to_wire(), &"shop".into());
            prop_assert_eq!(&back, &after.status);
            if !matches!(publication, Publication::Withdraw { .. }) {
                let again = succeed(planned(&after, &FEEDS[step.feed]), NOW).1;
                prop_assert_eq!(again.status, None, "the next visit finds nothing to do");
            }
            last = step;
            before = after;
        }
    }
}
