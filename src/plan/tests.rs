//! Tables of plans: what is observed, and what follows.

use std::sync::{Arc, LazyLock};

use crate::{
    api::{
        CreationPolicy, InferenceProfileBindingSpec, TargetKind,
        condition::{ConditionStatus, ConditionType, Reason},
    },
    catalog::{
        Catalog, FeedState, FoundationModel, Freshness, Lifecycle, Profile, SourceKind, Usability,
        embedded::Embedded,
    },
    residency::{Limit, LimitOrigin, NamespaceLimit},
    types::Region,
};

use super::{
    identity::{ObjectKey, TargetKey},
    observed::{
        Binding, Controller, Holding, ObservedTarget, Spec, TargetView, Trace, fingerprints,
    },
    publication::must_withdraw,
    status::Status,
    *,
};

const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOW: i64 = 1_700_000_000;

fn region() -> Region {
    "eu-west-1".parse().expect("a region")
}

fn spec(yaml: &str) -> Spec {
    let wire: InferenceProfileBindingSpec = serde_yaml::from_str(yaml).expect("a spec");
    Spec::parse(&wire, &"claude".into(), &region())
}

fn binding(yaml: &str) -> Binding {
    Binding {
        key: ObjectKey {
            namespace: "shop".into(),
            name: "claude".into(),
        },
        uid: "uid-1".into(),
        generation: 1,
        created: NOW,
        deleting: false,
        finalizer: false,
        refresh: None,
        spec: spec(yaml),
        status: Status::default(),
    }
}

fn sonnet(rest: &str) -> Binding {
    binding(&format!("{{model: '{SONNET}', {rest}}}"))
}

fn live(profiles: Vec<Arc<Profile>>) -> FeedState {
    let account = "111122223333".parse().ok();
    FeedState {
        catalog: Some(Arc::new(Catalog::new(
            SourceKind::Bedrock,
            region(),
            account,
            None,
            profiles,
        ))),
        freshness: Freshness::Fresh,
    }
}

fn full() -> FeedState {
    live(Embedded::load().catalog(&region()).profiles().to_vec())
}

fn without(geography: &str) -> FeedState {
    let profiles = Embedded::load().catalog(&region()).profiles().to_vec();
    live(
        profiles
            .into_iter()
            .filter(|profile| profile.geography.as_str() != geography)
            .collect(),
    )
}

/// The same feed with what is known of the models of its region.
fn knowing(mut feed: FeedState, models: Option<Vec<FoundationModel>>) -> FeedState {
    feed.catalog = feed
        .catalog
        .map(|catalog| Arc::new((*catalog).clone().with_models(models)));
    feed
}

fn sonnet_model(lifecycle: Lifecycle, on_demand: bool) -> FoundationModel {
    FoundationModel {
        id: SONNET.parse().expect("a model"),
        lifecycle,
        on_demand,
    }
}

fn failing() -> FeedState {
    FeedState {
        catalog: None,
        freshness: Freshness::Failed {
            reason: Reason::Throttled,
            message: "slow down".into(),
        },
    }
}

static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::default);

fn observed(binding: &Binding, feed: FeedState) -> Observed {
    Observed {
        namespace: NamespaceLimit::Unset,
        targets: vec![ObservedTarget::default(); binding.spec.targets.len()],
        binding: Arc::new(binding.clone()),
        feed,
        usability: None,
        traces: Vec::new(),
    }
}

/// What a visit did.
struct Done {
    writes: Vec<Result<Write, Refused>>,
    removals: Vec<Removal>,
    restarts: Vec<Restart>,
}

/// Takes all steps of a plan, each action with the outcome that these functions give it.
fn carry_out(
    plan: Plan,
    write: impl Fn(&Write) -> Result<Arc<str>, Problem>,
    remove: impl Fn(&Removal) -> Result<(), Problem>,
    restart: impl Fn(&Restart) -> Result<Restarted, Problem>,
    now: i64,
) -> (Done, Outcome) {
    fn tried<T, O>(all: Vec<T>, outcome: impl Fn(&T) -> Result<O, Problem>) -> Vec<Tried<T, O>> {
        let one = |what| Tried {
            outcome: outcome(&what),
            what,
        };
        all.into_iter().map(one).collect()
    }
    let planned = plan.writes.clone();
    let (writing, writes) = plan.begin();
    let (finishing, removals, restarts) = writing.finish(tried(writes, write)).begin();
    let done = Done {
        writes: planned,
        removals: removals.clone(),
        restarts: restarts.clone(),
    };
    let outcome = finishing.conclude(tried(removals, remove), &tried(restarts, restart), now);
    (done, outcome)
}

/// Takes all steps of a plan, where every one succeeds.
fn succeed(plan: Plan, now: i64) -> (Done, Outcome) {
    carry_out(plan, written, |_| Ok(()), |_| DONE, now)
}

#[allow(clippy::unnecessary_wraps, reason = "an outcome like any other")]
fn written(_: &Write) -> Result<Arc<str>, Problem> {
    Ok("uid-t".into())
}

fn planned(observed: Observed) -> Plan {
    plan(observed, &SETTINGS, Embedded::load(), NOW)
}

/// Visits a binding: everything succeeds. Returns the binding as it is afterwards, what was done, and the outcome.
fn visit(binding: &Binding, feed: FeedState, settings: &Settings) -> (Binding, Done, Outcome) {
    let plan = plan(observed(binding, feed), settings, Embedded::load(), NOW);
    let (done, outcome) = succeed(plan, NOW);
    (after(binding, &outcome), done, outcome)
}

/// Returns the binding as it is after a visit.
fn after(binding: &Binding, outcome: &Outcome) -> Binding {
    Binding {
        status: outcome.status.as_ref().unwrap_or(&binding.status).clone(),
        ..binding.clone()
    }
}

fn bound(rest: &str) -> Binding {
    visit(&sonnet(rest), full(), &SETTINGS).0
}

fn says(binding: &Binding, kind: ConditionType) -> (ConditionStatus, Reason) {
    let condition = binding
        .status
        .condition(kind)
        .expect("every condition is set on the first visit");
    (condition.status, condition.reason)
}

/// The same binding asking for something else.
fn edited(before: &Binding, rest: &str) -> Binding {
    Binding {
        generation: before.generation + 1,
        status: before.status.clone(),
        ..sonnet(rest)
    }
}

#[test]
fn the_withdraw_rule() {
    for (contradicts, definite_no, violated, withdraws) in [
        (false, false, false, false),
        (false, true, false, false),
        (true, false, false, false),
        (true, true, false, true),
        (false, false, true, true),
        (true, false, true, true),
        (false, true, true, true),
        (true, true, true, true),
    ] {
        assert_eq!(must_withdraw(contradicts, definite_no, violated), withdraws);
    }
}

#[test]
fn a_new_binding_is_created_and_says_so_without_an_event() {
    let (after, plan, conclusion) = visit(&sonnet("geography: eu"), full(), &SETTINGS);
    let write = plan.writes[0].as_ref().expect("a write");
    assert_eq!((&write.how, write.content.len()), (&How::Create, 5));
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::True, Reason::Bound)
    );
    assert_eq!(conclusion.notices, []);
    assert_eq!(conclusion.retry, Retry::OnChange);
    let manifest = write.manifest(&after);
    assert_eq!(manifest["metadata"]["ownerReferences"][0]["uid"], "uid-1");
    assert!(
        manifest["metadata"]["ownerReferences"][0]
            .get("blockOwnerDeletion")
            .is_none()
    );
}

#[test]
fn a_second_visit_changes_nothing() {
    let before = bound("geography: eu");
    let later = plan(
        observed(&before, full()),
        &SETTINGS,
        Embedded::load(),
        NOW + 3600,
    );
    let (_, later) = succeed(later, NOW + 3600);
    assert_eq!(later.status, None);
    assert_eq!(later.notices, []);
}

#[test]
fn a_transition_time_moves_with_the_status_alone() {
    let before = bound("geography: eu");
    let changed = edited(&before, "geography: eu, allowedRegions: ['@eu']");
    let later = plan(
        observed(&changed, full()),
        &SETTINGS,
        Embedded::load(),
        NOW + 60,
    );
    let (_, later) = succeed(later, NOW + 60);
    let status = later.status.expect("the generation moved");
    let residency = status
        .condition(ConditionType::ResidencySatisfied)
        .expect("residency");
    assert_eq!(
        (residency.reason, residency.since),
        (Reason::AllRegionsAllowed, NOW)
    );
}

/// What a case of the table below expects.
struct Expected {
    kept: bool,
    ready: (ConditionStatus, Reason),
    events: &'static [&'static str],
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_happens_to_the_written_value() {
    use ConditionStatus::{False, True, Unknown};
    let eu = || bound("geography: eu");
    let limited = |limit: &str| {
        edited(
            &eu(),
            &format!("geography: eu, allowedRegions: ['{limit}']"),
        )
    };
    let cases: Vec<(&str, Binding, FeedState, Expected)> = vec![
        (
            "nothing changed",
            eu(),
            full(),
            Expected {
                kept: true,
                ready: (True, Reason::Bound),
                events: &[],
            },
        ),
        (
            "AWS fails",
            eu(),
            failing(),
            Expected {
                kept: true,
                ready: (True, Reason::Bound),
                events: &[],
            },
        ),
        (
            "the profile is no longer listed",
            eu(),
            without("eu"),
            Expected {
                kept: true,
                ready: (False, Reason::ProfileRetired),
                events: &["ProfileRetired"],
            },
        ),
        (
            "no longer listed, and another edit",
            edited(
                &eu(),
                "geography: eu, targets: [{kind: ConfigMap, name: claude}, {kind: ConfigMap, name: more}]",
            ),
            without("eu"),
            Expected {
                kept: true,
                ready: (False, Reason::ProfileRetired),
                events: &["ProfileRetired"],
            },
        ),
        (
            "the request changed to something that does not resolve",
            edited(&eu(), "geography: jp"),
            full(),
            Expected {
                kept: false,
                ready: (False, Reason::GeographyUnsupported),
                events: &["Withdrawn", "GeographyUnsupported"],
            },
        ),
        (
            "the request changed while AWS fails",
            edited(&eu(), "geography: jp"),
            failing(),
            Expected {
                kept: true,
                ready: (Unknown, Reason::CatalogUnavailable),
                events: &[],
            },
        ),
        (
            "a limit that the profile satisfies",
            limited("@eu"),
            full(),
            Expected {
                kept: true,
                ready: (True, Reason::Bound),
                events: &[],
            },
        ),
        (
            "a limit that the profile breaks",
            limited("eu-west-1"),
            full(),
            Expected {
                kept: false,
                ready: (False, Reason::RegionNotAllowed),
                events: &["Withdrawn", "RegionNotAllowed"],
            },
        ),
        (
            "a malformed limit",
            limited("@nowhere"),
            full(),
            Expected {
                kept: false,
                ready: (False, Reason::LimitInvalid),
                events: &["Withdrawn", "LimitInvalid"],
            },
        ),
        (
            "suspended, and the request changed",
            edited(&eu(), "geography: jp, suspend: true"),
            full(),
            Expected {
                kept: true,
                ready: (False, Reason::GeographyUnsupported),
                events: &["GeographyUnsupported"],
            },
        ),
        (
            "suspended, and a limit is broken",
            edited(
                &eu(),
                "geography: eu, suspend: true, allowedRegions: ['@us']",
            ),
            full(),
            Expected {
                kept: false,
                ready: (False, Reason::RegionNotAllowed),
                events: &["Withdrawn", "RegionNotAllowed"],
            },
        ),
    ];
    for (name, before, feed, expected) in cases {
        let (after, plan, conclusion) = visit(&before, feed, &SETTINGS);
        assert_eq!(after.status.route.is_some(), expected.kept, "{name}");
        assert_eq!(
            plan.removals.is_empty(),
            expected.kept,
            "{name}: {:?}",
            plan.removals
        );
        assert_eq!(
            says(&after, ConditionType::Ready),
            expected.ready,
            "{name}: {:?}",
            after.status
        );
        let events: Vec<&str> = conclusion
            .notices
            .iter()
            .map(|notice| notice.reason)
            .collect();
        assert_eq!(events, expected.events, "{name}");
        let both = [ConditionType::Reconciling, ConditionType::Stalled];
        assert!(
            both.iter()
                .filter(|kind| after.status.condition(**kind).is_some())
                .count()
                < 2,
            "{name}"
        );
    }
}

#[test]
fn residency_is_judged_while_aws_fails() {
    let before = edited(
        &bound("geography: eu"),
        "geography: eu, allowedRegions: ['@us']",
    );
    let (after, plan, _) = visit(&before, failing(), &SETTINGS);
    assert_eq!(plan.removals[0].cause, RemovalCause::Withdrawn);
    assert_eq!(after.status.route, None);
}

#[test]
fn the_operators_limit_counts_too() {
    let settings = Settings {
        limit: Limit::parse(LimitOrigin::Operator, &["@us"]).ok(),
        ..Settings::default()
    };
    let (after, plan, _) = visit(&bound("geography: eu"), full(), &settings);
    assert_eq!(plan.removals.len(), 1);
    let residency = after
        .status
        .condition(ConditionType::ResidencySatisfied)
        .expect("residency");
    assert!(
        residency.message.contains("--allowed-regions: eu-west-1"),
        "{}",
        residency.message
    );
}

/// Plans for a binding in a Namespace of which this is known.
fn planned_in(binding: &Binding, namespace: NamespaceLimit) -> Plan {
    let observed = Observed {
        namespace,
        ..observed(binding, full())
    };
    planned(observed)
}

#[test]
fn a_namespace_that_cannot_be_read_takes_nothing_back_and_adds_nothing() {
    let unknown = || NamespaceLimit::Unknown;
    let new = planned_in(&sonnet("geography: eu"), unknown());
    assert_eq!(new.decided.publication, Publication::Nothing);
    let before = bound("geography: eu");
    for (name, rest) in [
        ("unchanged", "geography: eu"),
        ("another geography", "geography: global"),
        (
            "another target",
            "geography: eu, targets: [{kind: ConfigMap, name: b}]",
        ),
        ("suspended", "geography: eu, suspend: true"),
    ] {
        let plan = planned_in(&edited(&before, rest), unknown());
        assert_eq!(plan.decided.publication, Publication::Leave, "{name}");
        assert!(plan.writes.is_empty() && plan.removals.is_empty(), "{name}");
        assert_eq!(
            plan.decided.residency.reason,
            Reason::LimitUnknown,
            "{name}"
        );
    }
    // What is known still acts: a limit that is broken, and a request that nothing serves.
    let limited = edited(&before, "geography: eu, allowedRegions: ['@us']");
    let plan = planned_in(&limited, unknown());
    assert_eq!(plan.decided.residency.reason, Reason::RegionNotAllowed);
    assert_eq!(plan.removals[0].cause, RemovalCause::Withdrawn);
    let unserved = edited(&before, "geography: jp");
    assert_eq!(planned_in(&unserved, unknown()).removals.len(), 1);
}

#[test]
fn the_limit_of_a_namespace_counts_too() {
    let annotated = |text: &str| NamespaceLimit::of_annotation(Some(text));
    let before = bound("geography: eu");
    let plan = planned_in(&before, annotated("@eu"));
    assert!(matches!(plan.decided.publication, Publication::Publish(_)));
    for (limit, reason) in [
        ("@us", Reason::RegionNotAllowed),
        ("europe", Reason::LimitInvalid),
    ] {
        let plan = planned_in(&before, annotated(limit));
        assert_eq!(plan.decided.residency.reason, reason);
        assert_eq!(plan.removals[0].cause, RemovalCause::Withdrawn, "{limit}");
    }
}

#[test]
fn a_limit_can_be_required() {
    let settings = Settings {
        require_limit: true,
        ..Settings::default()
    };
    let (after, plan, _) = visit(&bound("geography: eu"), full(), &settings);
    assert_eq!(plan.removals.len(), 1);
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::False, Reason::NoLimitSet)
    );
    let limited = sonnet("geography: eu, allowedRegions: ['@eu']");
    let (after, _, _) = visit(&limited, full(), &settings);
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::True, Reason::Bound)
    );
}

#[test]
fn a_global_profile_that_replaces_the_written_one_is_judged_before_it_is_written() {
    let before = edited(
        &bound("geography: eu, allowedRegions: ['@eu']"),
        "geography: global, allowedRegions: ['@eu']",
    );
    let (after, plan, _) = visit(&before, full(), &SETTINGS);
    assert!(plan.writes.is_empty());
    assert_eq!(
        after.status.route, None,
        "the written one contradicts the spec"
    );
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::False, Reason::RegionNotAllowed)
    );
}

#[test]
fn embedded_data_retires_nothing() {
    let snapshot = FeedState {
        catalog: Some(Arc::new(Catalog::new(
            SourceKind::Embedded,
            region(),
            None,
            Some("2026-10-27".into()),
            full()
                .catalog
                .expect("catalog")
                .profiles()
                .iter()
                .filter(|profile| profile.geography.as_str() != "eu")
                .cloned()
                .collect(),
        ))),
        freshness: Freshness::Snapshot,
    };
    let (after, plan, _) = visit(&bound("geography: eu"), snapshot, &SETTINGS);
    assert!(plan.removals.is_empty());
    assert_eq!(
        says(&after, ConditionType::RegionSupported),
        (ConditionStatus::False, Reason::GeographyUnsupported)
    );
}

#[test]
fn without_a_catalog_the_snapshot_is_only_spoken_of() {
    let (after, plan, _) = visit(&sonnet("geography: eu"), failing(), &SETTINGS);
    assert!(plan.writes.is_empty());
    let supported = after
        .status
        .condition(ConditionType::RegionSupported)
        .expect("a condition");
    assert_eq!(supported.reason, Reason::CatalogUnavailable);
    assert!(
        supported
            .message
            .contains(&format!("would give eu.{SONNET}")),
        "{}",
        supported.message
    );
    assert!(after.status.condition(ConditionType::Reconciling).is_some());
}

#[test]
fn a_target_that_left_the_spec_is_cleaned_by_inventory_and_by_trace() {
    let before = edited(
        &bound("geography: eu"),
        "geography: eu, targets: [{kind: ConfigMap, name: other}]",
    );
    let (after, cleaning, _) = visit(&before, full(), &SETTINGS);
    assert_eq!(
        cleaning
            .removals
            .iter()
            .map(|removal| removal.key.name.as_ref())
            .collect::<Vec<_>>(),
        ["claude"]
    );
    assert_eq!(
        after
            .status
            .targets
            .iter()
            .map(|record| record.key.name.as_ref())
            .collect::<Vec<_>>(),
        ["other"]
    );

    let forgotten = Binding {
        status: Status::default(),
        ..before
    };
    let mut seen = observed(&forgotten, full());
    seen.traces = vec![Trace {
        key: TargetKey {
            kind: TargetKind::ConfigMap,
            namespace: "shop".into(),
            name: "claude".into(),
        },
        view: Arc::new(TargetView {
            uid: "uid-t".into(),
            controller: Some(controller("uid-1", "claude")),
            ..TargetView::default()
        }),
    }];
    let plan = planned(seen);
    assert_eq!(plan.removals[0].policy, CreationPolicy::Owner);
}

fn controller(uid: &str, name: &str) -> Controller {
    Controller {
        uid: uid.into(),
        binding: Some(name.into()),
        description: format!("InferenceProfileBinding {name}").into(),
    }
}

/// Returns a view in which our binding holds just what `write` would write.
fn in_place(write: &Write, uid: &str) -> TargetView {
    TargetView {
        uid: "uid-t".into(),
        labelled: true,
        controller: Some(controller(uid, "claude")),
        ours: [Holding {
            holder: "claude".into(),
            keys: fingerprints(write.key.kind, &write.content),
        }]
        .into(),
        ..TargetView::default()
    }
}

#[test]
fn an_owned_target_is_written_only_where_it_differs() {
    let before = sonnet("geography: eu");
    let write = planned(observed(&before, full()))
        .writes
        .remove(0)
        .expect("a write");
    let good = in_place(&write, "uid-1");
    let mut drifted = good.clone();
    drifted.ours[0].keys[0].1 ^= 1;
    let stripped = TargetView {
        labelled: false,
        ..good.clone()
    };
    let predecessors = in_place(&write, "uid-0");
    let unheld = TargetView {
        ours: Box::default(),
        ..good.clone()
    };
    let foreign = TargetView {
        controller: Some(Controller {
            binding: None,
            ..controller("x", "other")
        }),
        ..good.clone()
    };
    for (name, view, kind) in [
        ("in place", &good, "in place"),
        ("a value drifted", &drifted, "update"),
        ("the label is gone", &stripped, "update"),
        ("a predecessor's", &predecessors, "update"),
        ("managed fields cleared", &unheld, "update"),
        ("of others", &foreign, "conflict"),
    ] {
        let mut seen = observed(&before, full());
        seen.targets[0].view = Some(Arc::new(view.clone()));
        let write = planned(seen).writes.remove(0);
        let got = match &write {
            Ok(Write {
                how: How::InPlace(_),
                ..
            }) => "in place",
            Ok(Write {
                how: How::Update(_),
                ..
            }) => "update",
            Err(refused) if refused.problem.reason == Reason::TargetConflict => "conflict",
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(got, kind, "{name}");
    }
}

#[test]
fn a_merge_needs_consent_and_free_keys() {
    let merging = sonnet(
        "geography: eu, targets: [{kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]",
    );
    let app = |allow: Option<&str>, foreign: &str| TargetView {
        uid: "uid-t".into(),
        labelled: true,
        allow_merge: allow.map(Arc::from),
        foreign: [Holding {
            holder: "kubectl".into(),
            keys: [(observed::fingerprint(foreign), 0)].into(),
        }]
        .into(),
        ..TargetView::default()
    };
    for (view, expected) in [
        (app(None, "X"), Err(Reason::TargetForbidden)),
        (app(Some("other"), "X"), Err(Reason::TargetForbidden)),
        (app(Some("claude"), "MODEL"), Err(Reason::TargetConflict)),
        (app(Some("other, claude"), "X"), Ok(())),
    ] {
        let mut seen = observed(&merging, full());
        seen.targets[0].view = Some(Arc::new(view));
        let plan = planned(seen);
        assert!(plan.needs_finalizer());
        let got = plan.writes[0]
            .as_ref()
            .map(|_| ())
            .map_err(|refused| refused.problem.reason);
        assert_eq!(got, expected);
    }
}

#[test]
fn deletion_takes_merged_keys_out_and_leaves_owned_objects_to_garbage_collection() {
    let two = "geography: eu, targets: [{kind: ConfigMap, name: own}, {kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]";
    let before = Binding {
        deleting: true,
        finalizer: true,
        ..bound(two)
    };
    let (_, plan, conclusion) = visit(&before, full(), &SETTINGS);
    assert_eq!(
        plan.removals
            .iter()
            .map(|removal| removal.key.name.as_ref())
            .collect::<Vec<_>>(),
        ["app"]
    );
    assert!(plan.writes.is_empty());
    assert!(conclusion.drop_finalizer && conclusion.status.is_none());

    let failed = Problem {
        reason: Reason::Retrying,
        message: "x".into(),
        retry: Retry::Soon,
    };
    let plan = planned(observed(&before, full()));
    let (_, conclusion) = carry_out(plan, written, |_| Err(failed.clone()), |_| DONE, NOW);
    assert!(!conclusion.drop_finalizer, "the keys are still there");
}

#[test]
fn a_failed_write_is_unknown_and_keeps_the_inventory() {
    let before = bound("geography: eu");
    let failed = Problem {
        reason: Reason::Retrying,
        message: "ConfigMap claude: no answer".into(),
        retry: Retry::Soon,
    };
    let plan = planned(observed(&before, full()));
    let (_, conclusion) = carry_out(plan, |_| Err(failed.clone()), |_| Ok(()), |_| DONE, NOW);
    let status = conclusion.status.expect("a status");
    assert_eq!(status.targets, before.status.targets);
    let ready = status.condition(ConditionType::Ready).expect("ready");
    assert_eq!(
        (ready.status, ready.reason),
        (ConditionStatus::Unknown, Reason::Retrying)
    );
    assert_eq!(conclusion.retry, Retry::Soon);
}

#[test]
fn status_goes_there_and_back() {
    let before = bound("geography: eu, allowedRegions: ['@eu']");
    let wire = serde_json::to_value(before.status.to_wire()).expect("json");
    let back = Status::from_wire(
        &serde_json::from_value(wire).expect("a status"),
        &"shop".into(),
    );
    assert_eq!(back, before.status);
}

#[test]
fn every_problem_is_named_and_what_failed_on_the_way_comes_first() {
    let four = "geography: eu, targets: [{kind: Secret, name: a}, {kind: Secret, name: b}, \
                {kind: Secret, name: c}, {kind: ConfigMap, name: d}]";
    let (after, ..) = visit(&sonnet(four), full(), &SETTINGS);
    let synced = after
        .status
        .condition(ConditionType::TargetsSynced)
        .expect("a condition");
    assert_eq!(synced.reason, Reason::SecretsDisabled);
    for target in ["Secret a", "Secret b", "Secret c"] {
        assert!(synced.message.contains(target), "{}", synced.message);
    }

    let before = sonnet(four);
    let failed = Problem {
        reason: Reason::Retrying,
        message: "ConfigMap d: no answer".into(),
        retry: Retry::Soon,
    };
    let plan = planned(observed(&before, full()));
    let (_, outcome) = carry_out(plan, |_| Err(failed.clone()), |_| Ok(()), |_| DONE, NOW);
    let status = outcome.status.expect("a status");
    let synced = status
        .condition(ConditionType::TargetsSynced)
        .expect("a condition");
    assert_eq!(
        (synced.status, synced.reason),
        (ConditionStatus::Unknown, Reason::Retrying)
    );
    assert!(
        synced
            .message
            .starts_with("ConfigMap d: no answer; Secret a")
    );
    assert!(
        synced.message.ends_with("; and 1 more"),
        "{}",
        synced.message
    );
}

#[test]
fn a_value_that_breaks_residency_goes_even_where_the_new_one_cannot_take_its_place() {
    let two = |rest: &str| {
        format!(
            "targets: [{{kind: ConfigMap, name: good}}, {{kind: ConfigMap, name: bad, templates: {{f: '{{{{ profile.{rest} }}}}'}}}}], "
        )
    };
    let before = bound(&format!("{}geography: global", two("id")));
    let limited = edited(
        &before,
        &format!("{}geography: eu, allowedRegions: ['@eu']", two("nothing")),
    );
    let (after, plan, _) = visit(&limited, full(), &SETTINGS);
    let removed: Vec<&str> = plan
        .removals
        .iter()
        .map(|removal| removal.key.name.as_ref())
        .collect();
    assert_eq!(removed, ["bad"]);
    assert_eq!(after.status.targets.len(), 1);
    assert_eq!(
        says(&after, ConditionType::TargetsSynced),
        (ConditionStatus::False, Reason::TemplateInvalid)
    );

    // Where not even that succeeds, the old profile stays on record, so that the next visit tries again.
    let refused = Problem {
        reason: Reason::TargetForbidden,
        message: "no".into(),
        retry: Retry::Rarely,
    };
    let plan = planned(observed(&limited, full()));
    let (_, outcome) = carry_out(plan, written, |_| Err(refused.clone()), |_| DONE, NOW);
    let status = outcome.status.expect("a status");
    assert_eq!(status.route, before.status.route);
    assert_eq!(status.targets.len(), 2);

    let unlimited = edited(&before, &format!("{}geography: eu", two("nothing")));
    let (after, plan, _) = visit(&unlimited, full(), &SETTINGS);
    assert!(
        plan.removals.is_empty(),
        "a broken template alone withdraws nothing"
    );
    assert_eq!(after.status.targets.len(), 2);
}

#[test]
fn only_what_was_written_before_is_a_correction() {
    let before = bound("geography: eu");
    let corrects = |binding: &Binding| planned(observed(binding, full())).corrects();
    assert!(!corrects(&sonnet("geography: eu")), "a first write");
    assert!(corrects(&before), "the object is gone");
    let edited = edited(&before, "geography: global");
    assert!(!corrects(&edited), "another value");
}

#[test]
fn an_object_that_the_inventory_does_not_know_yet_is_withdrawn_all_the_same() {
    // It was created anew, and the operator stopped before it wrote the status.
    let before = edited(
        &bound("geography: eu"),
        "geography: eu, allowedRegions: ['@us']",
    );
    let mut seen = observed(&before, full());
    seen.traces = vec![Trace {
        key: before.status.targets[0].key.clone(),
        view: Arc::new(TargetView {
            uid: "uid-new".into(),
            controller: Some(controller("uid-1", "claude")),
            ..TargetView::default()
        }),
    }];
    let removals = planned(seen).removals;
    let uids: Vec<&str> = removals
        .iter()
        .map(|removal| removal.uid.as_ref())
        .collect();
    assert_eq!(uids, ["uid-new"]);
}

static RESTARTING: LazyLock<Settings> = LazyLock::new(|| Settings {
    enable_rollout: true,
    ..Settings::default()
});

/// Visits a binding at a time, where every write succeeds and every restart ends so. Returns the binding as it is
/// afterwards, what was restarted, and the conclusion.
fn visit_restarting(
    binding: &Binding,
    feed: FeedState,
    outcome: &Result<Restarted, Problem>,
    now: i64,
) -> (Binding, Vec<Restart>, Outcome) {
    let plan = restarting(observed(binding, feed), now);
    let (done, outcome) = carry_out(plan, written, |_| Ok(()), |_| outcome.clone(), now);
    (after(binding, &outcome), done.restarts, outcome)
}

fn restarting(observed: Observed, now: i64) -> Plan {
    plan(observed, &RESTARTING, Embedded::load(), now)
}

const DONE: Result<Restarted, Problem> = Ok(Restarted::Triggered);

/// Returns the rest of a spec with workloads to restart.
fn with_workload(rest: &str) -> String {
    format!("{rest}, rollout: [{{kind: Deployment, name: chat}}]")
}

/// Returns a binding with a workload to restart, bound.
fn running(rest: &str) -> Binding {
    visit_restarting(&sonnet(&with_workload(rest)), full(), &DONE, NOW).0
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_restarts_workloads() {
    let eu = || running("geography: eu");
    let to = |rest: &str| edited(&eu(), &with_workload(rest));
    let key =
        |keys: &str| format!("targets: [{{kind: ConfigMap, name: claude, keys: {{{keys}}}}}]");
    let one = || running(&format!("geography: eu, {}", key("MODEL: ProfileID")));
    let lost = Binding {
        status: Status::default(),
        ..eu()
    };
    let withdrawn = visit_restarting(&to("geography: jp"), full(), &DONE, NOW).0;
    let rows: Vec<(&str, Binding, FeedState, usize)> = vec![
        (
            "a first write",
            sonnet(&with_workload("geography: eu")),
            full(),
            0,
        ),
        ("nothing", eu(), full(), 0),
        ("a lost status", lost, full(), 0),
        ("another value", to("geography: global"), full(), 1),
        (
            "each of several",
            edited(
                &eu(),
                "geography: global, rollout: [{kind: Deployment, name: a}, {kind: DaemonSet, name: b}]",
            ),
            full(),
            2,
        ),
        (
            "another value, no workloads",
            edited(&eu(), "geography: global"),
            full(),
            0,
        ),
        (
            "another value, suspended",
            to("geography: global, suspend: true"),
            full(),
            0,
        ),
        (
            "a fallback's value, since the profile is not listed any more",
            running("geography: eu, fallback: {geographies: [global]}"),
            without("eu"),
            1,
        ),
        ("a value that is kept", eu(), without("eu"), 0),
        ("a value that is kept while AWS fails", eu(), failing(), 0),
        ("a withdrawal", to("geography: jp"), full(), 0),
        (
            "a first write after a withdrawal",
            edited(&withdrawn, &with_workload("geography: global")),
            full(),
            0,
        ),
        (
            "a limit that is broken",
            to("geography: eu, allowedRegions: ['@us']"),
            full(),
            0,
        ),
        (
            "a key more",
            edited(
                &one(),
                &with_workload(&format!(
                    "geography: eu, {}",
                    key("MODEL: ProfileID, REGION: SourceRegion")
                )),
            ),
            full(),
            0,
        ),
        (
            "a key by another",
            edited(
                &one(),
                &with_workload(&format!("geography: eu, {}", key("REGION: SourceRegion"))),
            ),
            full(),
            0,
        ),
        (
            "a key more and another value",
            edited(
                &one(),
                &with_workload(&format!(
                    "geography: global, {}",
                    key("MODEL: ProfileID, REGION: SourceRegion")
                )),
            ),
            full(),
            1,
        ),
        (
            "another value under the same key",
            edited(
                &one(),
                &with_workload(&format!(
                    "geography: eu, {}",
                    key("MODEL: FoundationModelID")
                )),
            ),
            full(),
            1,
        ),
        (
            "a target more",
            to(
                "geography: eu, targets: [{kind: ConfigMap, name: claude}, {kind: ConfigMap, name: more}]",
            ),
            full(),
            0,
        ),
        (
            "a target by another, with another value",
            to("geography: global, targets: [{kind: ConfigMap, name: other}]"),
            full(),
            0,
        ),
        (
            "a target that can't be written",
            to(
                "geography: global, targets: [{kind: ConfigMap, name: claude, templates: {f: '{{ nothing }}'}}]",
            ),
            full(),
            0,
        ),
    ];
    for (name, before, feed, restarts) in rows {
        let (after, planned, conclusion) = visit_restarting(&before, feed.clone(), &DONE, NOW + 60);
        assert_eq!(planned.len(), restarts, "{name}");
        let told = conclusion
            .notices
            .iter()
            .filter(|notice| notice.reason == "RolloutTriggered");
        assert_eq!(told.count(), restarts.min(1), "{name}: one Event for all");
        let again = visit_restarting(&after, feed, &DONE, NOW + 120).1;
        assert_eq!(again, [], "{name}: once is enough");
    }
}

#[test]
fn an_operator_that_restarts_nothing_says_so_and_leaves_nothing_due() {
    let off = visit(
        &edited(
            &running("geography: eu"),
            &with_workload("geography: global"),
        ),
        full(),
        &SETTINGS,
    );
    let (after, plan, _) = off;
    assert_eq!(plan.restarts, []);
    let synced = after
        .status
        .finding(ConditionType::TargetsSynced)
        .expect("a condition");
    assert!(synced.is_true());
    assert!(
        synced
            .message
            .ends_with("this operator does not restart workloads (start it with --enable-rollout)"),
        "{}",
        synced.message
    );
    let (_, restarts, _) = visit_restarting(&after, full(), &DONE, NOW + 60);
    assert_eq!(
        restarts,
        [],
        "switched on, it restarts nothing for what changed before"
    );
}

#[test]
fn a_restart_is_due_until_it_was_triggered() {
    let eu = running("geography: eu");
    let global = edited(&eu, &with_workload("geography: global"));
    let refused = Problem {
        reason: Reason::RolloutFailed,
        message: "the values are written, but Deployment chat was not restarted for them".into(),
        retry: Retry::Rarely,
    };
    let on_the_way = Problem {
        reason: Reason::Retrying,
        message: "no answer".into(),
        retry: Retry::Soon,
    };
    for (outcome, synced, retry, says) in [
        (
            Ok(Restarted::Waits),
            (ConditionStatus::True, Reason::Synced),
            Retry::OnChange,
            "the restart of Deployment chat waits for others",
        ),
        (
            Err(refused),
            (ConditionStatus::False, Reason::RolloutFailed),
            Retry::Rarely,
            "not restarted",
        ),
        (
            Err(on_the_way),
            (ConditionStatus::Unknown, Reason::Retrying),
            Retry::Soon,
            "no answer",
        ),
    ] {
        let (undone, first, conclusion) = visit_restarting(&global, full(), &outcome, NOW + 60);
        assert_eq!(says_of(&undone), synced);
        assert!(
            message_of(&undone).contains(says),
            "{}",
            message_of(&undone)
        );
        assert_eq!(conclusion.retry, retry);
        assert!(
            conclusion
                .notices
                .iter()
                .all(|notice| notice.reason != "RolloutTriggered")
        );
        assert_eq!(
            profile_id(&undone),
            format!("global.{SONNET}"),
            "nothing is taken back"
        );
        assert!(!undone.status.targets[0].restart_pending.is_empty());

        let (same, second, conclusion) = visit_restarting(&undone, full(), &outcome, NOW + 120);
        assert_eq!(second, first, "by the same token");
        assert_eq!(
            conclusion.status, None,
            "nothing new is to be said: {same:?}"
        );

        let (back, third, _) = visit_restarting(
            &edited(&undone, &with_workload("geography: eu")),
            full(),
            &DONE,
            NOW + 120,
        );
        assert_ne!(
            third[0].token, first[0].token,
            "pods may have read the value in between"
        );
        assert_eq!(back.status.targets[0].hash, eu.status.targets[0].hash);

        let (done, last, _) = visit_restarting(&undone, full(), &DONE, NOW + 120);
        assert_eq!(last, first);
        assert!(done.status.targets[0].restart_pending.is_empty());
        assert_eq!(done.status.targets[0].since, Some(NOW + 120));
        assert_eq!(visit_restarting(&done, full(), &DONE, NOW + 180).1, []);
    }
}

fn says_of(binding: &Binding) -> (ConditionStatus, Reason) {
    says(binding, ConditionType::TargetsSynced)
}

fn message_of(binding: &Binding) -> Arc<str> {
    let synced = binding.status.finding(ConditionType::TargetsSynced);
    synced.expect("a condition").message
}

fn profile_id(binding: &Binding) -> String {
    let written = binding.status.route.as_ref().expect("a route");
    written.route.id().to_owned()
}

#[test]
fn a_crash_before_the_status_repeats_the_same_restart() {
    let changed = edited(
        &running("geography: eu"),
        &with_workload("geography: global"),
    );
    let first = visit_restarting(&changed, full(), &DONE, NOW + 60).1;
    let second = visit_restarting(&changed, full(), &DONE, NOW + 600).1;
    assert_eq!(first, second);
}

#[test]
fn a_change_that_comes_back_restarts_again() {
    let mut binding = running("geography: eu");
    let mut tokens = std::collections::BTreeSet::new();
    let mut now = NOW;
    let mut go = |binding: &mut Binding, geography: &str, restarts: usize| {
        now += 60;
        let spec = with_workload(&format!("geography: {geography}"));
        let (after, planned, _) = visit_restarting(&edited(binding, &spec), full(), &DONE, now);
        assert_eq!(planned.len(), restarts, "to {geography}");
        *binding = after;
        for restart in planned {
            assert!(
                tokens.insert(restart.token),
                "the workload has this token already"
            );
        }
    };
    for _ in 0..3 {
        go(&mut binding, "global", 1);
        go(&mut binding, "eu", 1);
    }
    // The annotation of the change to eu is there still, and the same change follows a first write.
    go(&mut binding, "jp", 0);
    go(&mut binding, "global", 0);
    go(&mut binding, "eu", 1);
}

#[test]
fn a_write_that_failed_on_the_way_puts_restarts_off() {
    let two = |geography: &str| {
        with_workload(&format!(
            "geography: {geography}, targets: [{{kind: ConfigMap, name: a}}, {{kind: ConfigMap, name: b}}]"
        ))
    };
    let before = visit_restarting(&sonnet(&two("eu")), full(), &DONE, NOW).0;
    let changed = edited(&before, &two("global"));
    let failed = |retry| Problem {
        reason: Reason::Retrying,
        message: "no".into(),
        retry,
    };
    for (retry, restarts, marked) in [(Retry::Soon, 0, true), (Retry::Rarely, 1, false)] {
        let first_alone = |write: &Write| match write.key.name.as_ref() {
            "a" => written(write),
            _ => Err(failed(retry)),
        };
        let plan = restarting(observed(&changed, full()), NOW + 60);
        let (done, outcome) = carry_out(plan, first_alone, |_| Ok(()), |_| DONE, NOW + 60);
        assert_eq!(done.restarts.len(), restarts, "{retry:?}");
        let status = outcome.status.expect("a status");
        let pending = !status.targets[0].restart_pending.is_empty();
        assert_eq!(pending, marked, "{retry:?}");
        assert_eq!(status.targets[1], before.status.targets[1], "not written");
        // Whatever the first visit did, the next one restarts for what is changed now.
        let next = Binding {
            status,
            ..changed.clone()
        };
        let (after, planned, _) = visit_restarting(&next, full(), &DONE, NOW + 120);
        assert_eq!(planned.len(), 1, "{retry:?}");
        assert!(
            after
                .status
                .targets
                .iter()
                .all(|record| record.restart_pending.is_empty())
        );
    }
}

#[test]
fn what_was_not_written_restarts_nothing() {
    let changed = edited(
        &running("geography: eu"),
        &with_workload("geography: global"),
    );
    let refused = Problem {
        reason: Reason::TargetForbidden,
        message: "no".into(),
        retry: Retry::Rarely,
    };
    let plan = restarting(observed(&changed, full()), NOW + 60);
    let refuse = |_: &Write| Err(refused.clone());
    let (done, _) = carry_out(plan, refuse, |_| Ok(()), |_| DONE, NOW + 60);
    assert_eq!(done.restarts, []);
}

#[test]
fn one_event_names_all_workloads_of_a_change() {
    let rest = |geography: &str| {
        format!(
            "geography: {geography}, rollout: [{{kind: Deployment, name: a}}, {{kind: DaemonSet, name: b}}]"
        )
    };
    let before = visit_restarting(&sonnet(&rest("eu")), full(), &DONE, NOW).0;
    let changed = edited(&before, &rest("global"));
    for (second, expected) in [
        (Restarted::Waits, None),
        (
            Restarted::Missing,
            Some("restarted for a changed value: Deployment a"),
        ),
        (
            Restarted::Triggered,
            Some("restarted for a changed value: Deployment a, DaemonSet b"),
        ),
    ] {
        let plan = restarting(observed(&changed, full()), NOW + 60);
        let restart = |restart: &Restart| match restart.workload.name.as_ref() {
            "a" => DONE,
            _ => Ok(second),
        };
        let (_, outcome) = carry_out(plan, written, |_| Ok(()), restart, NOW + 60);
        let notices = outcome.notices;
        let told = notices
            .iter()
            .find(|notice| notice.reason == "RolloutTriggered");
        assert_eq!(
            told.map(|notice| notice.message.as_str()),
            expected,
            "{second:?}"
        );
    }
}

#[test]
fn a_workload_that_is_not_there_is_said_and_not_looked_for_again() {
    let changed = edited(
        &running("geography: eu"),
        &with_workload("geography: global"),
    );
    let (after, _, conclusion) =
        visit_restarting(&changed, full(), &Ok(Restarted::Missing), NOW + 60);
    assert_eq!(says_of(&after), (ConditionStatus::True, Reason::Synced));
    assert!(
        message_of(&after).ends_with("; not restarted, as it does not exist: Deployment chat"),
        "{}",
        message_of(&after)
    );
    assert!(
        conclusion
            .notices
            .iter()
            .all(|notice| notice.reason != "RolloutTriggered")
    );
    let (_, restarts, later) = visit_restarting(&after, full(), &DONE, NOW + 120);
    assert_eq!((restarts, later.status), (vec![], None));
    let corrected = edited(
        &after,
        "geography: global, rollout: [{kind: Deployment, name: other}]",
    );
    let (corrected, restarts, _) = visit_restarting(&corrected, full(), &DONE, NOW + 120);
    assert_eq!(restarts, []);
    assert!(!message_of(&corrected).contains("not restarted"));
}

#[test]
fn drift_is_a_correction_while_a_restart_is_due() {
    let changed = edited(
        &running("geography: eu"),
        &with_workload("geography: global"),
    );
    assert!(!restarting(observed(&changed, full()), NOW).corrects());
    let (waiting, ..) = visit_restarting(&changed, full(), &Ok(Restarted::Waits), NOW);
    assert!(restarting(observed(&waiting, full()), NOW).corrects());
}

/// Returns a catalog of another kind, account or date than the usual ones: the usual profiles without a geography.
fn lists(
    source: SourceKind,
    account: Option<&str>,
    as_of: Option<&str>,
    without_geography: &str,
) -> FeedState {
    let catalog = Embedded::load().catalog(&region());
    let profiles = catalog.profiles().iter();
    let kept = profiles.filter(|profile| profile.geography.as_str() != without_geography);
    FeedState {
        catalog: Some(Arc::new(Catalog::new(
            source,
            region(),
            account.map(|account| account.parse().expect("an account")),
            as_of.map(str::to_owned),
            kept.cloned().collect(),
        ))),
        freshness: if source.is_live() {
            Freshness::Fresh
        } else {
            Freshness::Snapshot
        },
    }
}

#[test]
fn only_a_live_listing_of_the_account_that_had_it_retires_a_profile() {
    use SourceKind::{Bedrock, Directory, Embedded};
    let (one, two) = (Some("111122223333"), Some("444455556666"));
    let date = Some("2026-01-01");
    for (had, gone, retired) in [
        ((Bedrock, one), (Bedrock, one), true),
        ((Bedrock, None), (Bedrock, one), true),
        ((Bedrock, one), (Bedrock, None), true),
        ((Bedrock, one), (Bedrock, two), false),
        ((Bedrock, one), (Directory, one), false),
        ((Bedrock, one), (Embedded, None), false),
        ((Directory, one), (Bedrock, one), false),
        ((Directory, one), (Directory, one), false),
        ((Embedded, None), (Bedrock, one), false),
        ((Embedded, None), (Embedded, None), false),
    ] {
        let dated = |source: SourceKind| date.filter(|_| !source.is_live());
        let before = lists(had.0, had.1, dated(had.0), "none");
        let before = visit(&sonnet("geography: eu"), before, &SETTINGS).0;
        let after = lists(gone.0, gone.1, dated(gone.0), "eu");
        let (after, plan, _) = visit(&before, after, &SETTINGS);
        let expected = if retired {
            Reason::ProfileRetired
        } else {
            Reason::GeographyUnsupported
        };
        assert_eq!(
            says(&after, ConditionType::RegionSupported),
            (ConditionStatus::False, expected),
            "{had:?} {gone:?}"
        );
        assert!(plan.removals.is_empty(), "{had:?} {gone:?}");
        assert_eq!(after.status.route, before.status.route, "it stays");
    }
}

#[test]
fn a_profile_is_retired_for_who_had_it_in_this_account_only() {
    // Had in one account, found in another, then gone there: that account had it too.
    let of = |account, without| lists(SourceKind::Bedrock, Some(account), None, without);
    let moved = visit(
        &bound("geography: eu"),
        of("444455556666", "none"),
        &SETTINGS,
    )
    .0;
    let (gone, ..) = visit(&moved, of("444455556666", "eu"), &SETTINGS);
    let retired = gone.status.condition(ConditionType::RegionSupported);
    let retired = retired.expect("a condition");
    assert_eq!(retired.reason, Reason::ProfileRetired);
    assert!(
        retired.message.contains("444455556666"),
        "{}",
        retired.message
    );
}

#[test]
fn the_account_of_a_role_contradicts_only_what_was_listed_live() {
    let role = "roleARN: 'arn:aws:iam::444455556666:role/r', geography: eu";
    let none = |feed| lists(feed, Some("444455556666"), Some("2026-01-01"), "eu");
    for (source, withdrawn) in [(SourceKind::Bedrock, true), (SourceKind::Directory, false)] {
        let first = lists(source, Some("111122223333"), Some("2026-01-01"), "none");
        let before = visit(&sonnet("geography: eu"), first, &SETTINGS).0;
        let (_, plan, _) = visit(&edited(&before, role), none(source), &SETTINGS);
        assert_eq!(!plan.removals.is_empty(), withdrawn, "{source:?}");
    }
}

#[test]
fn arns_of_a_snapshot_are_of_the_given_account_or_of_none() {
    let (listed, given) = (Some("111122223333"), Some("444455556666"));
    for (source, account, expected) in [
        (SourceKind::Bedrock, None, listed),
        (SourceKind::Bedrock, given, listed),
        (SourceKind::Directory, None, None),
        (SourceKind::Directory, given, given),
        (SourceKind::Embedded, given, given),
    ] {
        let settings = Settings {
            account: account.map(|account| account.parse().expect("an account")),
            ..Settings::default()
        };
        let feed = lists(source, listed, Some("2026-01-01"), "none");
        let (after, ..) = visit(&sonnet("geography: eu"), feed, &settings);
        let written = after.status.to_wire().profile.expect("a profile");
        let account = written.arn.as_deref().and_then(|arn| arn.split(':').nth(4));
        assert_eq!(account, expected, "{source:?} {account:?}");
        assert_eq!(written.catalog.account.as_deref(), listed, "who was asked");
    }
}

/// Returns the embedded catalog of a date, without a geography.
fn data_of(as_of: &str, without_geography: &str) -> FeedState {
    lists(SourceKind::Embedded, None, Some(as_of), without_geography)
}

const FALLBACK: &str = "geography: jp, fallback: {geographies: [eu, global]}";

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn newer_embedded_data_move_nothing_by_themselves() {
    const EU: &str = "eu";
    const GLOBAL: &str = "global";
    let usual: &Settings = &SETTINGS;
    // In the old data eu is not known, so that the fallback is global; in the new ones it is.
    let bound_to = |feed, rest: &str| visit(&sonnet(rest), feed, &SETTINGS).0;
    let old = || bound_to(data_of("2026-01-01", EU), FALLBACK);
    let following = Settings {
        follow_embedded: true,
        ..Settings::default()
    };
    let limited = |limit: &str| Settings {
        limit: Limit::parse(LimitOrigin::Operator, &[limit]).ok(),
        ..Settings::default()
    };
    let new = || data_of("2026-02-01", "none");
    let directory = || lists(SourceKind::Directory, None, Some("2026-02-01"), "none");
    for (name, before, feed, settings, expected) in [
        ("newer data", old(), new(), usual, Some(GLOBAL)),
        (
            "older data",
            old(),
            data_of("2025-12-01", "none"),
            usual,
            Some(GLOBAL),
        ),
        ("the flag", old(), new(), &following, Some(EU)),
        (
            "the same date: something else than the data changed",
            old(),
            data_of("2026-01-01", "none"),
            usual,
            Some(EU),
        ),
        ("an edit", edited(&old(), FALLBACK), new(), usual, Some(EU)),
        (
            "an edit to what contradicts",
            edited(&old(), "geography: eu"),
            new(),
            usual,
            Some(EU),
        ),
        ("another catalog", old(), full(), usual, Some(EU)),
        ("files", old(), directory(), usual, Some(EU)),
        (
            "a limit that forbids it",
            old(),
            new(),
            &limited("@eu"),
            Some(EU),
        ),
        (
            "a limit that forbids both",
            old(),
            new(),
            &limited("@us"),
            None,
        ),
    ] {
        let (after, ..) = visit(&before, feed, settings);
        let found = after.status.route.as_ref();
        let found = found.map(|written| written.route.geography());
        assert_eq!(found, expected, "{name}");
    }

    let (after, plan, conclusion) = visit(&old(), new(), &SETTINGS);
    assert!(plan.removals.is_empty() && conclusion.notices.is_empty());
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::True, Reason::Bound)
    );
    let supported = after.status.condition(ConditionType::RegionSupported);
    let supported = supported.expect("a condition");
    assert_eq!(supported.reason, Reason::FallbackGeographyUsed);
    for part in [
        &format!("global.{SONNET} stays"),
        "2026-01-01",
        "2026-02-01",
        &format!("gives eu.{SONNET}"),
        "--follow-embedded",
    ] {
        assert!(
            supported.message.contains(part),
            "{part:?} in {}",
            supported.message
        );
    }
    let (_, _, again) = visit(&after, new(), &SETTINGS);
    assert_eq!(again.status, None, "said once");
}

#[test]
fn corrected_destinations_move_nothing_but_count_for_residency() {
    let nearer = |as_of: &str, reached: &[&str]| {
        let catalog = Embedded::load().catalog(&region());
        let reached = reached.iter().map(|name| name.parse().expect("a region"));
        let destinations = crate::route::Destinations::regions(reached.collect());
        let profiles = catalog.profiles().iter().map(|profile| {
            Arc::new(Profile {
                destinations: destinations.clone(),
                ..(**profile).clone()
            })
        });
        FeedState {
            catalog: Some(Arc::new(Catalog::new(
                SourceKind::Embedded,
                region(),
                None,
                Some(as_of.to_owned()),
                profiles.collect(),
            ))),
            freshness: Freshness::Snapshot,
        }
    };
    let rest = "geography: eu, allowedRegions: ['@eu']";
    let before = visit(
        &sonnet(rest),
        nearer("2026-01-01", &["eu-west-1"]),
        &SETTINGS,
    )
    .0;
    let harmless = nearer("2026-02-01", &["eu-west-1", "eu-west-3"]);
    let (after, plan, _) = visit(&before, harmless, &SETTINGS);
    assert_eq!(after.status.route, before.status.route);
    assert!(plan.removals.is_empty());
    let said = after.status.condition(ConditionType::RegionSupported);
    let said = &said.expect("a condition").message;
    assert!(
        said.contains("other destinations: eu-west-1,eu-west-3"),
        "{said}"
    );

    let outside = nearer("2026-02-01", &["eu-west-1", "eu-west-2"]);
    let (after, plan, _) = visit(&before, outside, &SETTINGS);
    assert_eq!(plan.removals.len(), 1);
    assert_eq!(after.status.route, None);
}

#[test]
fn an_account_completes_the_arn_of_what_stays() {
    let before = visit(&sonnet(FALLBACK), data_of("2026-01-01", "eu"), &SETTINGS).0;
    let settings = Settings {
        account: "111122223333".parse().ok(),
        ..Settings::default()
    };
    let (after, ..) = visit(&before, data_of("2026-02-01", "none"), &settings);
    let written = after.status.to_wire().profile.expect("a profile");
    let arn = format!("arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.{SONNET}");
    assert_eq!(written.arn.as_deref(), Some(arn.as_str()));
}

#[test]
fn a_stale_snapshot_is_used_all_the_same() {
    let mut feed = data_of("2026-01-01", "none");
    feed.freshness = Freshness::Failed {
        reason: Reason::SnapshotStale,
        message: "old".into(),
    };
    let (after, ..) = visit(&sonnet("geography: eu"), feed, &SETTINGS);
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::True, Reason::Bound)
    );
    assert_eq!(
        says(&after, ConditionType::CatalogFresh),
        (ConditionStatus::False, Reason::SnapshotStale)
    );
}

#[test]
fn a_binding_without_a_feed_keeps_its_value() {
    for reason in [Reason::FeedLimitReached, Reason::RoleNotAllowed] {
        let none = || FeedState {
            catalog: None,
            freshness: Freshness::Failed {
                reason,
                message: "not you".into(),
            },
        };
        let (after, plan, conclusion) = visit(&bound("geography: eu"), none(), &SETTINGS);
        assert!(plan.removals.is_empty() && conclusion.notices.is_empty());
        assert_eq!(
            says(&after, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        let (fresh, ..) = visit(&sonnet("geography: eu"), none(), &SETTINGS);
        assert_eq!(
            says(&fresh, ConditionType::Ready),
            (ConditionStatus::Unknown, Reason::CatalogUnavailable)
        );
        for binding in [after, fresh] {
            assert_eq!(
                says(&binding, ConditionType::CatalogFresh),
                (ConditionStatus::False, reason)
            );
        }
    }
}

const ON_DEMAND: &str = "geography: jp, fallback: {onDemand: true}";

/// A live listing in which the model is on demand, or is not.
fn on_demand(is: bool) -> FeedState {
    knowing(full(), Some(vec![sonnet_model(Lifecycle::Active, is)]))
}

fn bound_on_demand() -> Binding {
    let before = visit(&sonnet(ON_DEMAND), on_demand(true), &SETTINGS).0;
    assert_eq!(
        says(&before, ConditionType::RegionSupported),
        (ConditionStatus::True, Reason::OnDemandFallback)
    );
    before
}

#[test]
fn a_model_on_demand_is_written_by_its_own_id() {
    let spec = "geography: jp, fallback: {onDemand: true}, targets: [{kind: ConfigMap, name: t, keys: {ID: ProfileID, ARN: ProfileARN, GEOGRAPHY: Geography, REGIONS: DestinationRegions}}]";
    // No account is needed for a model's ARN.
    let mut feed = on_demand(true);
    feed.catalog = feed.catalog.map(|live| {
        let profiles = live.profiles().to_vec();
        let models = live.models().map(<[_]>::to_vec);
        let anonymous = Catalog::new(SourceKind::Bedrock, region(), None, None, profiles);
        Arc::new(anonymous.with_models(models))
    });
    let (after, plan, _) = visit(&sonnet(spec), feed, &SETTINGS);
    let content = &plan.writes[0].as_ref().expect("a write").content;
    let arn = format!("arn:aws:bedrock:eu-west-1::foundation-model/{SONNET}");
    let expected = [
        ("ARN", arn.as_str()),
        ("GEOGRAPHY", "on-demand"),
        ("ID", SONNET),
        ("REGIONS", "eu-west-1"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(*content, expected.into());
    let wire = after.status.to_wire().profile.expect("a profile");
    assert_eq!(
        (wire.id.as_str(), wire.geography.as_str()),
        (SONNET, "on-demand")
    );
    assert_eq!(
        Status::from_wire(&after.status.to_wire(), &"shop".into()),
        after.status
    );
}

fn ready_message(binding: &Binding) -> Arc<str> {
    let ready = binding.status.finding(ConditionType::Ready);
    ready.expect("Ready").message
}

#[test]
fn a_profile_that_appears_takes_the_place_of_the_model_itself() {
    let (after, _, conclusion) = visit(
        &Binding {
            status: bound_on_demand().status,
            ..sonnet(ON_DEMAND)
        },
        knowing(
            live(
                Embedded::load()
                    .catalog(&"ap-northeast-1".parse().expect("a region"))
                    .profiles()
                    .to_vec(),
            ),
            Some(vec![sonnet_model(Lifecycle::Active, true)]),
        ),
        &SETTINGS,
    );
    assert_eq!(profile_id(&after), format!("jp.{SONNET}"));
    let reasons: Vec<_> = conclusion
        .notices
        .iter()
        .map(|notice| notice.reason)
        .collect();
    assert_eq!(reasons, ["ProfileChanged"]);
}

#[test]
fn what_happens_to_a_value_that_was_written_on_demand() {
    use ConditionStatus::{False, True, Unknown};
    let unlisted = || knowing(full(), None);
    let same = bound_on_demand;
    let edit = |rest: &str| edited(&bound_on_demand(), rest);
    let limited = "geography: jp, fallback: {onDemand: true}, allowedRegions: ['us-*']";
    for (case, binding, feed, kept, ready) in [
        (
            "still on demand",
            same(),
            on_demand(true),
            true,
            (True, Reason::Bound),
        ),
        (
            "no longer on demand",
            same(),
            on_demand(false),
            true,
            (False, Reason::ProfileRetired),
        ),
        (
            "the models can't be listed",
            same(),
            unlisted(),
            true,
            (True, Reason::Bound),
        ),
        (
            "nothing can be listed",
            same(),
            failing(),
            true,
            (True, Reason::Bound),
        ),
        (
            "no longer wanted",
            edit("geography: jp"),
            on_demand(true),
            false,
            (False, Reason::GeographyUnsupported),
        ),
        (
            "something else is wanted, and the models can't be listed",
            edit("geography: jp, sourceRegion: eu-west-3, fallback: {onDemand: true}"),
            unlisted(),
            true,
            (False, Reason::GeographyUnsupported),
        ),
        (
            "something else is wanted, and nothing can be listed",
            edit("geography: jp"),
            failing(),
            true,
            (Unknown, Reason::CatalogUnavailable),
        ),
        (
            "outside a limit",
            edit(limited),
            on_demand(true),
            false,
            (False, Reason::GeographyUnsupported),
        ),
        (
            "outside a limit, and nothing can be listed",
            edit(limited),
            failing(),
            false,
            (False, Reason::RegionNotAllowed),
        ),
    ] {
        let (after, ..) = visit(&binding, feed, &SETTINGS);
        assert_eq!(after.status.route.is_some(), kept, "{case}");
        assert_eq!(says(&after, ConditionType::Ready), ready, "{case}");
    }
    let (after, ..) = visit(&same(), on_demand(false), &SETTINGS);
    let message = ready_message(&after);
    for part in [
        "no longer on demand for account 111122223333 in eu-west-1",
        "the value stays",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn models_that_could_not_be_listed_take_no_profile_back() {
    let unlisted = |geography| knowing(without(geography), None);
    let before = visit(
        &sonnet("geography: eu, fallback: {onDemand: true}"),
        unlisted("jp"),
        &SETTINGS,
    )
    .0;
    let (after, ..) = visit(&before, unlisted("eu"), &SETTINGS);
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::False, Reason::ProfileRetired)
    );
    let message = ready_message(&after);
    assert!(
        message.contains("allow bedrock:ListFoundationModels"),
        "{message}"
    );
}

#[test]
fn the_life_of_a_model_is_told_and_changes_nothing_else() {
    let legacy = |end: Option<&str>| Lifecycle::Legacy {
        end_of_life: end.map(Arc::from),
    };
    let feed = |lifecycle| knowing(full(), Some(vec![sonnet_model(lifecycle, false)]));
    let without_models = bound("geography: eu");
    assert_eq!(
        without_models.status.condition(ConditionType::ModelActive),
        None
    );

    let (active, _, conclusion) = visit(&without_models, feed(Lifecycle::Active), &SETTINGS);
    assert_eq!(
        says(&active, ConditionType::ModelActive),
        (ConditionStatus::True, Reason::Active)
    );
    assert_eq!(conclusion.notices, []);

    let (after, _, conclusion) = visit(&active, feed(legacy(Some("2027-03-31"))), &SETTINGS);
    assert_eq!(
        says(&after, ConditionType::ModelActive),
        (ConditionStatus::False, Reason::LegacyModel)
    );
    assert_eq!(
        says(&after, ConditionType::Ready),
        (ConditionStatus::True, Reason::Bound)
    );
    assert_eq!(after.status.condition(ConditionType::Stalled), None);
    let [notice] = conclusion.notices.as_slice() else {
        panic!("one Event: {:?}", conclusion.notices)
    };
    assert_eq!((notice.warning, notice.reason), (true, "LegacyModel"));
    for part in [SONNET, "2027-03-31", "anthropic.claude-sonnet-4-6"] {
        assert!(
            notice.message.contains(part),
            "{part} in {}",
            notice.message
        );
    }

    let (_, _, again) = visit(&after, feed(legacy(Some("2027-03-31"))), &SETTINGS);
    assert_eq!((again.status, again.notices), (None, vec![]));
    for unknown in [failing(), knowing(full(), None)] {
        let (later, ..) = visit(&after, unknown, &SETTINGS);
        assert_eq!(
            later.status.condition(ConditionType::ModelActive),
            after.status.condition(ConditionType::ModelActive),
            "what was known stays known"
        );
    }
    let (gone, ..) = visit(&after, knowing(full(), Some(Vec::new())), &SETTINGS);
    assert_eq!(gone.status.condition(ConditionType::ModelActive), None);

    let (new, _, conclusion) = visit(&sonnet("geography: eu"), feed(legacy(None)), &SETTINGS);
    assert_eq!(
        says(&new, ConditionType::ModelActive).1,
        Reason::LegacyModel
    );
    assert_eq!(conclusion.notices, [], "the status says it");
}

#[test]
fn whether_a_model_can_be_used_is_told_where_it_is_asked() {
    let checking = Settings {
        check_access: true,
        ..Settings::default()
    };
    let plan_with = |binding: &Binding, usability: Option<Usability>, settings: &Settings| {
        let observed = Observed {
            usability,
            ..observed(binding, full())
        };
        let plan = plan(observed, settings, Embedded::load(), NOW);
        succeed(plan, NOW).1.status
    };
    let not_usable = || {
        Some(Usability::NotUsable {
            message: "its agreement is not accepted".into(),
        })
    };
    let before = bound("geography: eu");
    assert_eq!(plan_with(&before, None, &checking), None, "not known yet");
    assert_eq!(plan_with(&before, not_usable(), &SETTINGS), None, "off");

    let mut refused = before.clone();
    refused.status = plan_with(&before, not_usable(), &checking).expect("a condition more");
    assert_eq!(
        says(&refused, ConditionType::ModelUsable),
        (ConditionStatus::False, Reason::NotUsable)
    );
    assert_eq!(
        says(&refused, ConditionType::Ready),
        (ConditionStatus::True, Reason::Bound)
    );
    let message = refused.status.finding(ConditionType::ModelUsable);
    assert_eq!(
        message.expect("a finding").message.as_ref(),
        "its agreement is not accepted"
    );
    assert_eq!(
        plan_with(&refused, None, &checking),
        None,
        "what was known stays known"
    );

    let usable = plan_with(&refused, Some(Usability::Usable), &checking).expect("it changed");
    let condition = usable
        .condition(ConditionType::ModelUsable)
        .expect("it is set");
    assert_eq!(
        (condition.status, condition.reason),
        (ConditionStatus::True, Reason::Usable)
    );
    let off = plan_with(&refused, None, &SETTINGS).expect("it changed");
    assert_eq!(off.condition(ConditionType::ModelUsable), None);
}
