use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::{FeedState, Freshness, Lifecycle, SourceKind, embedded::Embedded},
    plan::{
        action::RemovalCause,
        testing::{
            SETTINGS, SONNET, bound, condition, edited, failing, full, listing, live, on_demand,
            planned_in, profile_id, ready_message, sonnet, sonnet_model, visit, with_models,
            without,
        },
    },
    residency::NamespaceLimit,
};

use super::*;

#[test]
fn the_withdraw_rule() {
    for (contradicts, certain, violated, withdraws) in [
        (false, false, false, false),
        (false, true, false, false),
        (true, false, false, false),
        (true, true, false, true),
        (false, false, true, true),
        (true, false, true, true),
        (false, true, true, true),
        (true, true, true, true),
    ] {
        assert_eq!(must_withdraw(contradicts, certain, violated), withdraws);
    }
}

/// The expectation of a case in the table below.
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
        let (after, actions, outcome) = visit(&before, feed, &SETTINGS);
        assert_eq!(after.status.route.is_some(), expected.kept, "{name}");
        assert_eq!(
            actions.removals.is_empty(),
            expected.kept,
            "{name}: {:?}",
            actions.removals
        );
        assert_eq!(
            condition(&after, ConditionType::Ready),
            expected.ready,
            "{name}: {:?}",
            after.status
        );
        let events: Vec<&str> = outcome.notices.iter().map(|notice| notice.reason).collect();
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
    let (after, actions, _) = visit(&before, failing(), &SETTINGS);
    assert_eq!(actions.removals[0].cause, RemovalCause::Withdrawn);
    assert_eq!(after.status.route, None);
}

#[test]
fn a_namespace_that_cannot_be_read_takes_nothing_back_and_adds_nothing() {
    let unknown = || NamespaceLimit::Unknown;
    let new = planned_in(&sonnet("geography: eu"), unknown());
    assert_eq!(new.decisions.publication, Publication::Nothing);
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
        assert_eq!(plan.decisions.publication, Publication::Leave, "{name}");
        assert!(plan.writes.is_empty() && plan.removals.is_empty(), "{name}");
        assert_eq!(
            plan.decisions.residency.reason,
            Reason::LimitUnknown,
            "{name}"
        );
    }
    // What is known still counts: a limit that is broken, and a request that no route serves.
    let limited = edited(&before, "geography: eu, allowedRegions: ['@us']");
    let plan = planned_in(&limited, unknown());
    assert_eq!(plan.decisions.residency.reason, Reason::RegionNotAllowed);
    assert_eq!(plan.removals[0].cause, RemovalCause::Withdrawn);
    let unserved = edited(&before, "geography: jp");
    assert_eq!(planned_in(&unserved, unknown()).removals.len(), 1);
}

#[test]
fn a_global_profile_that_replaces_the_written_one_is_judged_before_it_is_written() {
    let before = edited(
        &bound("geography: eu, allowedRegions: ['@eu']"),
        "geography: global, allowedRegions: ['@eu']",
    );
    let (after, actions, _) = visit(&before, full(), &SETTINGS);
    assert!(actions.writes.is_empty());
    assert_eq!(
        after.status.route, None,
        "the written one contradicts the spec"
    );
    assert_eq!(
        condition(&after, ConditionType::Ready),
        (ConditionStatus::False, Reason::RegionNotAllowed)
    );
}

#[test]
fn the_account_of_a_role_contradicts_only_what_was_listed_live() {
    let role = "roleARN: 'arn:aws:iam::444455556666:role/r', geography: eu";
    let none = |feed| listing(feed, Some("444455556666"), Some("2026-01-01"), "eu");
    for (source, withdrawn) in [(SourceKind::Bedrock, true), (SourceKind::Directory, false)] {
        let first = listing(source, Some("111122223333"), Some("2026-01-01"), "none");
        let before = visit(&sonnet("geography: eu"), first, &SETTINGS).0;
        let (_, actions, _) = visit(&edited(&before, role), none(source), &SETTINGS);
        assert_eq!(!actions.removals.is_empty(), withdrawn, "{source:?}");
    }
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
        let (after, actions, outcome) = visit(&bound("geography: eu"), none(), &SETTINGS);
        assert!(actions.removals.is_empty() && outcome.notices.is_empty());
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        let (fresh, ..) = visit(&sonnet("geography: eu"), none(), &SETTINGS);
        assert_eq!(
            condition(&fresh, ConditionType::Ready),
            (ConditionStatus::Unknown, Reason::CatalogUnavailable)
        );
        for binding in [after, fresh] {
            assert_eq!(
                condition(&binding, ConditionType::CatalogFresh),
                (ConditionStatus::False, reason)
            );
        }
    }
}

const ON_DEMAND: &str = "geography: jp, fallback: {onDemand: true}";

fn bound_on_demand() -> Binding {
    let before = visit(&sonnet(ON_DEMAND), on_demand(true), &SETTINGS).0;
    assert_eq!(
        condition(&before, ConditionType::RegionSupported),
        (ConditionStatus::True, Reason::OnDemandFallback)
    );
    before
}

#[test]
fn a_profile_that_appears_takes_the_place_of_the_model_itself() {
    let (after, _, outcome) = visit(
        &Binding {
            status: bound_on_demand().status,
            ..sonnet(ON_DEMAND)
        },
        with_models(
            live(
                Embedded::load()
                    .catalog(&"ap-northeast-1".parse().expect("a region"))
                    .profiles()
                    .to_vec(),
            ),
            Some(vec![sonnet_model(Lifecycle::ACTIVE, true)]),
        ),
        &SETTINGS,
    );
    assert_eq!(profile_id(&after), format!("jp.{SONNET}"));
    let reasons: Vec<_> = outcome.notices.iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, ["ProfileChanged"]);
}

#[test]
fn what_happens_to_a_value_that_was_written_on_demand() {
    use ConditionStatus::{False, True, Unknown};
    let unlisted = || with_models(full(), None);
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
        assert_eq!(condition(&after, ConditionType::Ready), ready, "{case}");
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
