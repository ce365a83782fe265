use crate::{
    api::{InferenceProfileBindingSpec, TargetKind},
    catalog::Freshness,
    class::Class,
    plan::observed::{Controller, Holding, Spec},
};

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        namespace: "n".into(),
        name: name.into(),
    }
}

/// Returns a cache for a live catalog, without roles and with the default limits.
fn default_cache() -> Cache {
    Cache::new(FeedRules {
        roles: Some(AllowedRoles::default()),
        ..FeedRules::default()
    })
}

fn target(name: &str) -> TargetKey {
    TargetKey {
        kind: TargetKind::ConfigMap,
        namespace: "n".into(),
        name: name.into(),
    }
}

fn binding_from(name: &str, region: &str, yaml: &str) -> Binding {
    let wire: InferenceProfileBindingSpec = serde_yaml::from_str(yaml).expect("a spec");
    Binding {
        key: key(name),
        uid: format!("uid-{name}").into(),
        generation: 1,
        created: 1,
        deleting: false,
        finalizer: false,
        refresh: None,
        spec: Spec::parse(&wire, &name.into(), &region.parse().expect("a region")),
        status: Status::default(),
    }
}

fn binding(name: &str) -> Binding {
    binding_from(name, "eu-west-1", "{model: a.b, geography: eu}")
}

/// Returns a target that a binding owns and wrote to.
fn owned_by(name: &str) -> TargetView {
    TargetView {
        uid: "uid-t".into(),
        labelled: true,
        controller: Some(Controller {
            uid: format!("uid-{name}").into(),
            binding: Some(name.into()),
            description: "x".into(),
        }),
        ours: [Holding {
            holder: name.into(),
            keys: [(1, 1)].into(),
        }]
        .into(),
        ..TargetView::default()
    }
}

fn woken(follow_up: &FollowUp) -> Vec<(&str, Lane)> {
    follow_up
        .wake
        .iter()
        .map(|(key, lane)| (key.name.as_ref(), *lane))
        .collect()
}

fn observe(cache: &Cache, name: &str) -> Observed {
    let state = FeedState::pending();
    cache
        .observe(&key(name), |_| state)
        .expect("a known binding")
}

fn visited(mut binding: Binding) -> Binding {
    binding.status.observed_generation = Some(binding.generation);
    binding
}

#[test]
fn new_and_edited_bindings_go_first() {
    let mut cache = default_cache();
    assert_eq!(
        woken(&cache.apply_binding(binding("a"), 1, Via::Event)),
        [("a", Lane::High)]
    );
    assert_eq!(
        woken(&cache.apply_binding(visited(binding("a")), 2, Via::Event)),
        [("a", Lane::Low)]
    );
    let edited = Binding {
        generation: 2,
        ..visited(binding("a"))
    };
    assert_eq!(
        woken(&cache.apply_binding(edited, 3, Via::Event)),
        [("a", Lane::High)]
    );
    assert_eq!(
        woken(&default_cache().apply_binding(visited(binding("a")), 1, Via::Event)),
        [("a", Lane::Low)]
    );
}

#[test]
fn an_own_write_wakes_no_binding() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 5, Via::Event);
    let after = visited(binding("a"));
    cache.assume_status(&key("a"), "uid-a", after.status.clone(), 7);
    assert_eq!(observe(&cache, "a").binding.status, after.status);
    // Older events arrive late, then the write's own.
    assert_eq!(
        cache.apply_binding(binding("a"), 6, Via::Event),
        FollowUp::default()
    );
    assert_eq!(
        cache.apply_binding(after.clone(), 7, Via::Event),
        FollowUp::default()
    );
    assert_eq!(observe(&cache, "a").binding.status, after.status);
    // A new version in which only labels of others changed.
    assert_eq!(
        cache.apply_binding(after, 8, Via::Event),
        FollowUp::default()
    );

    cache.begin_write(&target("a"));
    assert!(!cache.end_write(&target("a"), Some((owned_by("a"), 9))));
    assert_eq!(
        cache.apply_target(&target("a"), owned_by("a"), 9, Via::Event),
        FollowUp::default()
    );
}

#[test]
fn a_status_is_assumed_only_of_the_object_it_was_written_to() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 5, Via::Event);
    cache.assume_status(
        &key("a"),
        "uid-of-a-predecessor",
        visited(binding("a")).status,
        7,
    );
    assert_eq!(observe(&cache, "a").binding.status, Status::default());
}

#[test]
fn drift_wakes_the_bindings_that_name_the_target_or_wrote_to_it() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 1, Via::Event);
    cache.apply_binding(
        binding_from(
            "b",
            "eu-west-1",
            "{model: a.b, geography: eu, targets: [{kind: ConfigMap, name: x}]}",
        ),
        2,
        Via::Event,
    );
    assert_eq!(
        woken(&cache.apply_target(&target("x"), owned_by("a"), 3, Via::Event)),
        [("a", Lane::Low), ("b", Lane::Low)]
    );
    let mut drifted = owned_by("a");
    drifted.ours[0].keys = [(1, 2)].into();
    assert_eq!(
        woken(&cache.apply_target(&target("x"), drifted, 4, Via::Event)),
        [("a", Lane::Low), ("b", Lane::Low)]
    );
    assert_eq!(
        observe(&cache, "a").held_objects.len(),
        1,
        "it wrote to the target, though its spec does not name it"
    );
    assert_eq!(
        woken(&cache.delete_target(&target("x"), 5)),
        [("a", Lane::Low), ("b", Lane::Low)]
    );
    assert!(observe(&cache, "a").held_objects.is_empty());
}

#[test]
fn a_target_that_disappeared_during_its_write_is_not_assumed_to_exist() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 1, Via::Event);
    cache.begin_write(&target("a"));
    // Written as version 5; deleted as version 6 before the answer to the write was read.
    cache.delete_target(&target("a"), 6);
    assert!(
        cache.end_write(&target("a"), Some((owned_by("a"), 5))),
        "the caller must visit the binding again"
    );
    assert!(observe(&cache, "a").targets[0].view.is_none());
    // The other order: the deleted object was an earlier one.
    cache.begin_write(&target("a"));
    cache.delete_target(&target("a"), 6);
    assert!(!cache.end_write(&target("a"), Some((owned_by("a"), 7))));
    assert!(observe(&cache, "a").targets[0].view.is_some());
}

#[test]
fn a_late_deletion_does_not_remove_a_later_write() {
    let mut cache = default_cache();
    cache.begin_write(&target("a"));
    cache.end_write(&target("a"), Some((owned_by("a"), 9)));
    assert_eq!(cache.delete_target(&target("a"), 8), FollowUp::default());
    assert_eq!(cache.targets.len(), 1);
}

#[test]
fn feeds_run_while_a_binding_needs_them() {
    let mut cache = default_cache();
    let feed = FeedKey {
        role: None,
        region: "eu-west-1".parse().expect("a region"),
    };
    assert_eq!(
        cache.apply_binding(binding("a"), 1, Via::Event).hold,
        std::slice::from_ref(&feed)
    );
    assert_eq!(cache.apply_binding(binding("b"), 2, Via::Event).hold, []);
    assert_eq!(cache.delete_binding(&key("a")).release, []);
    let suspended = binding_from(
        "b",
        "eu-west-1",
        "{model: a.b, geography: eu, suspend: true}",
    );
    assert_eq!(
        cache.apply_binding(suspended, 3, Via::Event).release,
        std::slice::from_ref(&feed)
    );
    assert_eq!(
        cache.audience(&feed, None),
        [key("b")],
        "a suspended binding still follows the feed"
    );
    let edited = binding_from("b", "us-east-1", "{model: a.b, geography: us}");
    let follow_up = cache.apply_binding(edited, 4, Via::Event);
    assert_eq!((follow_up.hold.len(), follow_up.release.len()), (1, 0));
    assert!(cache.audience(&feed, None).is_empty());
}

#[test]
fn an_edit_within_a_feed_neither_ends_nor_starts_it() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 1, Via::Event);
    let edited = Binding {
        generation: 2,
        ..binding_from("a", "eu-west-1", "{model: a.c, geography: eu}")
    };
    let follow_up = cache.apply_binding(edited, 2, Via::Event);
    assert_eq!((follow_up.hold, follow_up.release), (vec![], vec![]));
}

#[test]
fn roles_have_feeds_only_if_the_catalog_is_live() {
    let yaml = "{model: a.b, geography: eu, roleARN: 'arn:aws:iam::111122223333:role/r'}";
    let with_role = binding_from("a", "eu-west-1", yaml);
    assert!(
        default_cache()
            .feed_of(&with_role)
            .expect("a feed")
            .role
            .is_some()
    );
    assert!(
        Cache::new(FeedRules::default())
            .feed_of(&with_role)
            .expect("a feed")
            .role
            .is_none()
    );
}

#[test]
fn a_model_wakes_its_own_audience() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 1, Via::Event);
    cache.apply_binding(
        binding_from("b", "eu-west-1", "{model: c.d, geography: eu}"),
        2,
        Via::Event,
    );
    let feed = cache.feed_of(&binding("a")).expect("a feed");
    let models = BTreeSet::from(["c.d".parse().expect("a model")]);
    assert_eq!(cache.audience(&feed, Some(&models)), [key("b")]);
}

#[test]
fn rivals_are_woken_when_a_claim_ends() {
    let mut cache = default_cache();
    let claim = "{model: a.b, geography: eu, targets: [{kind: ConfigMap, name: x}]}";
    cache.apply_binding(
        visited(binding_from("a", "eu-west-1", claim)),
        1,
        Via::Event,
    );
    cache.apply_binding(
        visited(Binding {
            created: 2,
            ..binding_from("b", "eu-west-1", claim)
        }),
        2,
        Via::Event,
    );
    assert_eq!(observe(&cache, "a").targets[0].claimed_by, None);
    assert_eq!(
        observe(&cache, "b").targets[0].claimed_by.as_deref(),
        Some("a")
    );
    assert_eq!(woken(&cache.delete_binding(&key("a"))), [("b", Lane::Low)]);
    assert_eq!(observe(&cache, "b").targets[0].claimed_by, None);
}

#[test]
fn a_complete_list_removes_what_it_does_not_contain() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 1, Via::Event);
    cache.apply_binding(binding("b"), 2, Via::Event);
    cache.apply_target(&target("a"), owned_by("a"), 3, Via::Event);
    cache.retain_bindings(Some("other"), &HashSet::new());
    assert_eq!(cache.bindings(), 2);
    cache.retain_bindings(Some("n"), &HashSet::from([key("b")]));
    assert_eq!(cache.bindings(), 1);
    let empty = CompleteList {
        start: cache.begin_list(),
        version: 4,
        seen: &HashSet::new(),
    };
    let follow_up = cache.retain_targets(TargetKind::ConfigMap, None, &empty);
    assert_eq!(woken(&follow_up), [], "its binding is gone");
    assert!(cache.targets.is_empty());
}

#[test]
fn nothing_is_left_after_everything_is_deleted() {
    let mut cache = default_cache();
    for round in 0..100_u64 {
        let name = format!("b{round}");
        cache.apply_binding(binding(&name), round * 3 + 1, Via::Event);
        cache.apply_target(&target(&name), owned_by(&name), round * 3 + 2, Via::Event);
        cache.delete_binding(&key(&name));
        cache.delete_target(&target(&name), round * 3 + 3);
    }
    assert!(cache.bindings.is_empty() && cache.targets.is_empty() && cache.claimants.is_empty());
    assert!(
        cache.held_objects.is_empty() && cache.audiences.is_empty() && cache.in_flight.is_empty()
    );
    assert!(cache.admission.is_empty());
}

const ROLE: &str = "arn:aws:iam::111122223333:role/bedrock-shop";

fn with_role(name: &str) -> Binding {
    let yaml = format!("{{model: a.b, geography: eu, roleARN: '{ROLE}'}}");
    binding_from(name, "eu-west-1", &yaml)
}

/// Returns the cache of an operator that allows these roles.
fn allowing(entry: &str) -> Cache {
    Cache::new(FeedRules {
        roles: Some(AllowedRoles::parse(&[entry]).expect("an entry")),
        ..FeedRules::default()
    })
}

fn reason(observed: &Observed) -> Option<Reason> {
    match &observed.feed.freshness {
        Freshness::Failed { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn a_role_that_is_not_permitted_gets_no_feed() {
    for (entry, permitted) in [
        (
            "arn:aws:iam::111122223333:role/bedrock-*;namespaces=n",
            true,
        ),
        ("arn:aws:iam::111122223333:role/other-*;namespaces=n", false),
        (
            "arn:aws:iam::111122223333:role/bedrock-*;namespaces=m",
            false,
        ),
    ] {
        let mut cache = allowing(entry);
        let follow_up = cache.apply_binding(with_role("a"), 1, Via::Event);
        assert_eq!(follow_up.hold.len(), usize::from(permitted), "{entry}");
        let refused = (!permitted).then_some(Reason::RoleNotAllowed);
        assert_eq!(reason(&observe(&cache, "a")), refused, "{entry}");
        // It may not use the catalog that bindings elsewhere get by the role either.
        let mut suspended = with_role("a");
        suspended.spec.suspend = true;
        cache.apply_binding(suspended, 2, Via::Event);
        assert_eq!(reason(&observe(&cache, "a")), refused, "{entry}");
    }
}

#[test]
fn a_binding_beyond_the_limit_waits_for_another_to_go() {
    let mut cache = Cache::new(FeedRules {
        limits: FeedLimits {
            total: 1,
            per_namespace: 8,
        },
        ..FeedRules::default()
    });
    cache.apply_binding(binding("a"), 1, Via::Event);
    let other = || binding_from("b", "us-east-1", "{model: a.b, geography: us}");
    let follow_up = cache.apply_binding(other(), 2, Via::Event);
    assert_eq!(
        (follow_up.hold.len(), woken(&follow_up)),
        (0, vec![("b", Lane::High)])
    );
    assert_eq!(
        reason(&observe(&cache, "b")),
        Some(Reason::FeedLimitReached)
    );
    assert_eq!(reason(&observe(&cache, "a")), None);
    let follow_up = cache.delete_binding(&key("a"));
    assert_eq!((follow_up.hold.len(), follow_up.release.len()), (1, 1));
    assert_eq!(woken(&follow_up), [("b", Lane::Low)]);
    assert_eq!(reason(&observe(&cache, "b")), None);
}

#[test]
fn an_edit_that_does_not_change_the_feed_keeps_it() {
    let mut cache = Cache::new(FeedRules {
        limits: FeedLimits {
            total: 1,
            per_namespace: 1,
        },
        ..FeedRules::default()
    });
    let holding = |model: &str| Binding {
        created: 9,
        ..binding_from(
            "a",
            "eu-west-1",
            &format!("{{model: {model}, geography: eu}}"),
        )
    };
    cache.apply_binding(holding("a.b"), 1, Via::Event);
    let older = binding_from("b", "us-east-1", "{model: a.b, geography: us}");
    cache.apply_binding(older, 2, Via::Event);
    let follow_up = cache.apply_binding(holding("a.c"), 3, Via::Event);
    assert_eq!((follow_up.hold, follow_up.release), (vec![], vec![]));
    assert_eq!(reason(&observe(&cache, "a")), None);
}

#[test]
fn a_changed_annotation_asks_for_a_listing() {
    let asking = |value: Option<u64>| Binding {
        refresh: value,
        ..visited(binding("a"))
    };
    let mut cache = default_cache();
    let mut version = 0;
    let mut refreshes = |binding: Binding| {
        version += 1;
        cache
            .apply_binding(binding, version, Via::Event)
            .refresh
            .len()
    };
    assert_eq!(refreshes(asking(Some(1))), 0, "present at the start");
    assert_eq!(refreshes(asking(Some(1))), 0);
    assert_eq!(refreshes(asking(Some(2))), 1);
    assert_eq!(refreshes(asking(None)), 0, "removed");
    assert_eq!(refreshes(asking(Some(2))), 1);
    let mut suspended = asking(Some(3));
    suspended.spec.suspend = true;
    assert_eq!(
        refreshes(suspended),
        0,
        "a suspended binding requests nothing"
    );
}

#[test]
fn nothing_is_held_before_all_lists_are_complete() {
    let mut cache = Cache::new(FeedRules {
        limits: FeedLimits {
            total: 1,
            per_namespace: 1,
        },
        lists: 1,
        ..FeedRules::default()
    });
    let waited = |mut binding: Binding, reason| {
        let finding = crate::plan::status::Finding::new(ConditionStatus::False, reason, "");
        let none = Status::default();
        binding
            .status
            .add_condition(&none, ConditionType::CatalogFresh, finding, 1, 1);
        binding
    };
    let held = binding_from("b", "us-east-1", "{model: a.b, geography: us}");
    assert_eq!(
        cache
            .apply_binding(
                waited(binding("a"), Reason::FeedLimitReached),
                1,
                Via::Event
            )
            .hold,
        []
    );
    cache.apply_binding(waited(held, Reason::Throttled), 2, Via::Event);
    assert_eq!(
        reason(&observe(&cache, "a")),
        None,
        "nothing is decided yet"
    );
    let follow_up = cache.list_complete();
    assert_eq!(follow_up.hold[0].region.as_str(), "us-east-1");
    assert_eq!(follow_up.wake, []);
    assert_eq!(
        reason(&observe(&cache, "a")),
        Some(Reason::FeedLimitReached)
    );
}

/// Lists these targets of a version, as the watch does.
fn list_targets(cache: &mut Cache, start: ListStart, version: u64, listed: &[(&str, u64)]) {
    for (name, version) in listed {
        cache.apply_target(&target(name), owned_by(name), *version, Via::List(start));
    }
    let seen = listed.iter().map(|(name, _)| target(name)).collect();
    let list = CompleteList {
        start,
        version,
        seen: &seen,
    };
    cache.retain_targets(TargetKind::ConfigMap, None, &list);
}

fn versions(cache: &Cache) -> Vec<(&str, u64)> {
    let mut versions: Vec<(&str, u64)> = cache
        .targets
        .iter()
        .map(|(key, known)| (key.name.as_ref(), known.version))
        .collect();
    versions.sort_unstable();
    versions
}

#[test]
fn a_complete_list_replaces_what_is_newer() {
    let mut cache = default_cache();
    cache.apply_binding(binding("a"), 100, Via::Event);
    let edited = binding_from("a", "eu-west-1", "{model: a.b, geography: us}");
    cache.apply_binding(edited.clone(), 900, Via::Event);
    cache.assume_status(&key("a"), "uid-a", visited(binding("a")).status, 901);
    for name in ["a", "late"] {
        cache.begin_write(&target(name));
        cache.end_write(&target(name), Some((owned_by(name), 902)));
    }
    // etcd is put back to its copy of version 200.
    let start = cache.begin_list();
    let follow_up = cache.apply_binding(binding("a"), 100, Via::List(start));
    assert_eq!(woken(&follow_up), [("a", Lane::High)]);
    list_targets(&mut cache, start, 200, &[("a", 101)]);
    assert_eq!(versions(&cache), [("a", 101)]);
    // From now on the lower versions are the new ones.
    cache.apply_binding(edited, 201, Via::Event);
    assert_eq!(cache.bindings[&key("a")].version, 201);
    cache.delete_target(&target("a"), 202);
    assert_eq!(versions(&cache), []);
}

#[test]
fn what_was_written_while_the_list_was_under_way_stands_if_it_is_newer() {
    let mut cache = default_cache();
    cache.begin_write(&target("waiting"));
    let start = cache.begin_list();
    for (name, version) in [("newer", 210), ("older", 190), ("replaced", 220)] {
        cache.begin_write(&target(name));
        cache.end_write(&target(name), Some((owned_by(name), version)));
    }
    list_targets(&mut cache, start, 200, &[("replaced", 195)]);
    assert_eq!(
        versions(&cache),
        [("newer", 210), ("replaced", 220)],
        "what is older than the list and not in it is gone"
    );
    let vanished = cache.end_write(&target("waiting"), Some((owned_by("waiting"), 199)));
    assert!(vanished, "it was written before the list, which has it not");
    cache.begin_write(&target("waiting"));
    let vanished = cache.end_write(&target("waiting"), Some((owned_by("waiting"), 230)));
    assert!(!vanished);
}

#[test]
fn a_list_of_what_is_known_wakes_nobody() {
    let mut cache = default_cache();
    cache.apply_binding(visited(binding("a")), 1, Via::Event);
    cache.apply_target(&target("a"), owned_by("a"), 2, Via::Event);
    let start = cache.begin_list();
    let via = Via::List(start);
    let follow_up = cache.apply_binding(visited(binding("a")), 1, via);
    assert_eq!(follow_up, FollowUp::default());
    let follow_up = cache.apply_target(&target("a"), owned_by("a"), 2, via);
    assert_eq!(follow_up, FollowUp::default());
}

#[test]
fn a_limit_that_cannot_be_watched_is_unknown() {
    let namespace: Arc<str> = "n".into();
    for only in [None, Some(&namespace)] {
        let mut cache = default_cache();
        cache.apply_binding(visited(binding("a")), 1, Via::Event);
        cache.apply_namespace(&namespace, NamespaceLimit::Unset, Labels::default());
        let limit = |cache: &Cache| {
            let observed = cache.observe(&key("a"), |_| FeedState::pending());
            observed.expect("a binding").namespace
        };
        assert_eq!(limit(&cache), NamespaceLimit::Unset);
        let follow_up = cache.namespaces_unreadable(only);
        assert_eq!(woken(&follow_up), [("a", Lane::Low)]);
        assert_eq!(cache.namespaces_unreadable(only), FollowUp::default());
        assert_eq!(limit(&cache), NamespaceLimit::Unknown);
        // What is listed is known, and counts when the list is complete.
        cache.apply_namespace(
            &namespace,
            NamespaceLimit::of_annotation(Some("us-*")),
            Labels::default(),
        );
        assert_eq!(limit(&cache), NamespaceLimit::Unknown);
        let seen = HashSet::from([namespace.clone()]);
        let follow_up = cache.retain_namespaces(only, &seen);
        assert_eq!(woken(&follow_up), [("a", Lane::Low)]);
        assert!(matches!(limit(&cache), NamespaceLimit::Set(_)));
    }
}

#[test]
fn a_feed_lists_application_profiles_from_the_first_binding_that_names_one_to_the_last() {
    let mut cache = default_cache();
    let feed = cache.feed_of(&binding("a")).expect("a feed");
    let naming = |name: &str, application: &str, more: &str| {
        let yaml =
            format!("{{model: a.b, geography: eu, application: {{name: {application}}}{more}}}");
        binding_from(name, "eu-west-1", &yaml)
    };
    let edited = |mut binding: Binding, generation| {
        binding.generation = generation;
        binding
    };
    let mut version = 0;
    let mut apply = |cache: &mut Cache, binding: Binding| {
        version += 1;
        let follow_up = cache.apply_binding(binding, version, Via::Event);
        follow_up.applications
    };
    assert_eq!(apply(&mut cache, binding("plain")), []);
    assert_eq!(
        apply(&mut cache, naming("asleep", "chat", ", suspend: true")),
        []
    );
    assert_eq!(
        apply(&mut cache, naming("a", "chat", "")),
        [(feed.clone(), true)]
    );
    assert_eq!(apply(&mut cache, naming("b", "search", "")), []);
    let found = |cache: &Cache, names: Option<&[&str]>| {
        let names = names.map(|names| names.iter().map(|it| (*it).to_owned()).collect());
        let found = cache.naming_applications(&feed, names.as_ref());
        found
            .iter()
            .map(|key| key.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&cache, None), ["a", "asleep", "b"]);
    assert_eq!(found(&cache, Some(&["chat"])), ["a", "asleep"]);
    assert_eq!(apply(&mut cache, edited(binding("a"), 2)), []);
    assert_eq!(found(&cache, Some(&["chat"])), ["asleep"]);
    let gone = cache.delete_binding(&key("b"));
    assert_eq!(gone.applications, [(feed.clone(), false)]);
    let awake = edited(naming("asleep", "chat", ""), 2);
    assert_eq!(apply(&mut cache, awake), [(feed.clone(), true)]);
}

#[test]
fn application_profiles_are_listed_whatever_is_known_of_a_class() {
    let mut cache = default_cache();
    let feed = cache.feed_of(&binding("a")).expect("a feed");
    let named = |cache: &Cache| cache.naming_applications(&feed, None).len();
    let yaml = "{className: chat, application: {name: shop-chat}}";
    let naming = binding_from("a", "eu-west-1", yaml);
    let first = cache.apply_binding(naming, 1, Via::Event);
    assert_eq!(first.applications, [(feed.clone(), true)]);
    assert_eq!(named(&cache), 1);
    let chat = |geography| class("chat", &format!("{{model: a.b, geography: {geography}}}"));
    let seen = HashSet::from(["chat".into()]);
    let changes: [&dyn Fn(&mut Cache) -> FollowUp; 6] = [
        &|cache| cache.retain_classes(&HashSet::new()),
        &|cache| cache.apply_class(chat("eu"), 2, Via::Event),
        &|cache| cache.apply_class(chat("us"), 3, Via::Event),
        &|cache| cache.classes_unreadable(),
        &|cache| cache.retain_classes(&seen),
        &|cache| cache.delete_class(&"chat".into()),
    ];
    for change in changes {
        let follow_up = change(&mut cache);
        assert_eq!(woken(&follow_up), [("a", Lane::Low)]);
        assert_eq!(follow_up.applications, []);
        assert_eq!(named(&cache), 1);
    }
    let gone = cache.delete_binding(&key("a"));
    assert_eq!(gone.applications, [(feed.clone(), false)]);
    assert_eq!(named(&cache), 0);
}

fn class(name: &str, yaml: &str) -> KnownClass {
    let wire = serde_yaml::from_str(yaml).expect("a class");
    let class = Class::parse(name, &wire);
    KnownClass::from_file(Arc::new(class))
}

#[test]
fn each_of_several_models_wakes_its_binding_and_leaves_nothing_behind() {
    let mut cache = default_cache();
    cache.retain_classes(&HashSet::from(["chat".into()]));
    let yaml = "{models: {x: {model: a.x, geography: eu, application: {name: shop}}, y: {className: chat}, z: {className: chat, application: {name: shop}}}}";
    let several = binding_from("a", "eu-west-1", yaml);
    let feed = cache.feed_of(&several).expect("a feed");
    cache.apply_binding(several, 1, Via::Event);
    let chat = |model| class("chat", &format!("{{model: {model}, geography: eu}}"));
    for (model, version) in [("a.y", 2), ("a.z", 3)] {
        let follow_up = cache.apply_class(chat(model), version, Via::Event);
        assert_eq!(woken(&follow_up), [("a", Lane::Low)]);
        let mut models = cache.models_of(&feed);
        models.sort();
        let expected = ["a.x", model].map(|model| model.parse().expect("a model"));
        assert_eq!(models, expected);
        for model in expected {
            let audience = cache.audience(&feed, Some(&BTreeSet::from([model])));
            assert_eq!(audience, [key("a")]);
        }
    }
    assert_eq!(cache.naming_applications(&feed, None).len(), 1);
    let census = cache.census(&"chat".into());
    assert_eq!(
        census.ready.values().sum::<usize>(),
        1,
        "a binding counts once"
    );
    let gone = cache.delete_binding(&key("a"));
    assert_eq!(gone.applications, [(feed.clone(), false)]);
    assert!(cache.models_of(&feed).is_empty());
    assert!(cache.naming_applications(&feed, None).is_empty());
    assert_eq!(
        cache.census(&"chat".into()),
        crate::plan::class_status::Census::default()
    );
}

fn of_class(namespace: &str, name: &str) -> Binding {
    let mut binding = binding_from(name, "eu-west-1", "{className: chat}");
    binding.key.namespace = namespace.into();
    binding
}

fn asked(cache: &Cache, namespace: &str, name: &str) -> Result<String, Reason> {
    let key = ObjectKey {
        namespace: namespace.into(),
        name: name.into(),
    };
    let observed = cache.observe(&key, |_| FeedState::pending());
    let spec = &observed.expect("a binding").binding.spec;
    let ask = spec.asks.values().next().expect("a model");
    let request = ask.request.as_ref().map_err(|error| error.reason())?;
    Ok(request.model.to_string())
}

#[test]
fn a_class_wakes_those_for_whom_it_changes_and_nobody_else() {
    const PLAIN: &str = "{model: a.b, geography: eu}";
    const STAGED: &str = "{model: a.b, geography: eu, stages: [{name: dev, namespaceSelector: {matchLabels: {stage: dev}}, model: a.next}]}";
    let mut cache = default_cache();
    let label = |cache: &mut Cache, namespace: &str, stage: &str| {
        let labels = Labels::new([("stage", stage)]);
        cache.apply_namespace(&namespace.into(), NamespaceLimit::Unset, labels)
    };
    label(&mut cache, "dev", "dev");
    label(&mut cache, "prod", "prod");
    for (namespace, name) in [("dev", "a"), ("prod", "b")] {
        cache.apply_binding(of_class(namespace, name), 1, Via::Event);
        assert_eq!(asked(&cache, namespace, name), Err(Reason::ClassUnknown));
    }
    cache.apply_binding(binding("c"), 1, Via::Event);
    assert_eq!(woken(&cache.retain_classes(&HashSet::new())).len(), 2);
    assert_eq!(asked(&cache, "dev", "a"), Err(Reason::ClassNotFound));

    let follow_up = cache.apply_class(class("chat", PLAIN), 5, Via::Event);
    assert_eq!(woken(&follow_up), [("a", Lane::Low), ("b", Lane::Low)]);
    assert!(follow_up.hold.is_empty(), "feeds don't depend on classes");
    assert_eq!(asked(&cache, "dev", "a"), Ok("a.b".to_owned()));
    let feed = FeedKey {
        role: None,
        region: "eu-west-1".parse().expect("a region"),
    };
    let models = BTreeSet::from(["a.next".parse().expect("a model")]);
    assert!(cache.audience(&feed, Some(&models)).is_empty());

    let staged = cache.apply_class(class("chat", STAGED), 6, Via::Event);
    assert_eq!(woken(&staged), [("a", Lane::Low)], "only its stage moves");
    assert_eq!(asked(&cache, "dev", "a"), Ok("a.next".to_owned()));
    assert_eq!(cache.audience(&feed, Some(&models)).len(), 1);
    let older = cache.apply_class(class("chat", PLAIN), 5, Via::Event);
    assert!(older.wake.is_empty());

    // A relabelled Namespace wakes the bindings of its class.
    assert_eq!(woken(&label(&mut cache, "prod", "dev")), [("b", Lane::Low)]);
    assert_eq!(asked(&cache, "prod", "b"), Ok("a.next".to_owned()));
    assert!(label(&mut cache, "prod", "dev").wake.is_empty());
    assert!(
        woken(&label(&mut cache, "n", "dev")).contains(&("c", Lane::Low)),
        "a new Namespace"
    );
    assert!(
        label(&mut cache, "n", "prod").wake.is_empty(),
        "no class, no wake"
    );

    assert_eq!(woken(&cache.delete_class(&"chat".into())).len(), 2);
    assert_eq!(asked(&cache, "dev", "a"), Err(Reason::ClassNotFound));
    cache.apply_class(class("chat", STAGED), 9, Via::Event);
    assert_eq!(woken(&cache.classes_unreadable()).len(), 2);
    assert_eq!(asked(&cache, "dev", "a"), Err(Reason::ClassUnknown));
    let seen = HashSet::from(["chat".into()]);
    assert_eq!(woken(&cache.retain_classes(&seen)).len(), 2);
    assert!(woken(&cache.retain_classes(&seen)).is_empty());
    assert_eq!(asked(&cache, "dev", "a"), Ok("a.next".to_owned()));
}

#[test]
fn a_class_counts_the_bindings_that_name_it() {
    let mut cache = default_cache();
    let chat: Arc<str> = "chat".into();
    cache.apply_binding(of_class("n", "a"), 1, Via::Event);
    cache.apply_binding(of_class("n", "b"), 1, Via::Event);
    cache.apply_binding(binding("c"), 1, Via::Event);
    assert_eq!(cache.take_touched_classes(), BTreeSet::from([chat.clone()]));
    let ready = |cache: &Cache| cache.census(&chat).ready.into_iter().collect::<Vec<_>>();
    assert_eq!(ready(&cache), [(ConditionStatus::Unknown, 2)]);
    let uid = "uid-a";
    let status = Status {
        conditions: Arc::new(vec![crate::plan::status::Condition {
            kind: ConditionType::Ready,
            status: ConditionStatus::True,
            reason: Reason::Bound,
            message: "".into(),
            generation: 1,
            since: 1,
        }]),
        ..Status::default()
    };
    cache.assume_status(&key("a"), uid, status, 2);
    assert_eq!(
        cache.take_touched_classes().len(),
        1,
        "our own writes count"
    );
    assert_eq!(
        ready(&cache),
        [(ConditionStatus::True, 1), (ConditionStatus::Unknown, 1)]
    );
    assert_eq!(cache.by_class().len(), 2);
    cache.delete_binding(&key("a"));
    cache.delete_binding(&key("b"));
    assert!(cache.by_class().is_empty());
    assert!(cache.take_touched_classes().contains(&chat));
}

#[test]
fn failing_bindings_are_named_up_to_a_bound() {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{ModelActive, Ready};
    let mut cache = default_cache();
    let mut add = |name: &str, conditions: &[(ConditionType, ConditionStatus, Reason)]| {
        let mut known = binding(name);
        let conditions = conditions.iter();
        let conditions = conditions
            .map(|&(kind, status, reason)| crate::plan::status::Condition {
                kind,
                status,
                reason,
                message: "".into(),
                generation: 1,
                since: 1,
            })
            .collect();
        known.status.conditions = Arc::new(conditions);
        cache.apply_binding(known, 1, Via::Event);
    };
    let active = (ModelActive, True, Reason::Active);
    let legacy = (ModelActive, False, Reason::LegacyModel);
    add("well", &[(Ready, True, Reason::Bound), active]);
    add("not-visited", &[]);
    add("d", &[(Ready, Unknown, Reason::CatalogUnavailable)]);
    add("b", &[(Ready, False, Reason::TargetConflict), legacy]);
    add("a", &[(Ready, True, Reason::Bound), legacy]);
    add("c", &[(Ready, False, Reason::TargetConflict)]);
    for (most, expected, left_out) in [
        (9, &["a", "b", "c", "d"][..], 0),
        (4, &["a", "b", "c", "d"], 0),
        (2, &["a", "b"], 2),
        (0, &[], 4),
    ] {
        let (named, more) = cache.failing(most);
        let found: Vec<&str> = named.keys().map(|key| key.name.as_ref()).collect();
        assert_eq!((found.as_slice(), more), (expected, left_out), "{most}");
    }
    let (named, _) = cache.failing(9);
    let said =
        |name: &str| -> Vec<Reason> { named[&key(name)].iter().map(|it| it.reason).collect() };
    assert_eq!(said("a"), [Reason::LegacyModel]);
    assert_eq!(said("b"), [Reason::TargetConflict, Reason::LegacyModel]);
}
