use crate::{
    api::condition::{ConditionStatus, ConditionType, Reason},
    catalog::{FeedState, Freshness, Lifecycle, SourceKind, embedded::Embedded},
    plan::{
        action::RemovalCause,
        observed::Binding,
        status::Status,
        testing::{
            SETTINGS, SONNET, bound, condition, edited, failing, full, listing, live, of_class,
            on_demand, planned_in, profile_id, ready_message, route_of, sonnet, sonnet_model,
            visit, with_class, with_model, with_models, without,
        },
    },
    residency::NamespaceLimit,
};

use super::*;

#[test]
fn the_withdraw_rule() {
    use Contradiction::{Call, Class, ModelAlone};
    for contradiction in [None, Some(ModelAlone), Some(Class), Some(Call)] {
        for certain in [false, true] {
            let expected = contradiction == Some(Call) && certain;
            assert_eq!(must_withdraw(contradiction, certain, false), expected);
            assert!(must_withdraw(contradiction, certain, true));
        }
    }
}

/// A model ID with a typing mistake.
const MISTYPED: &str = "anthropic.claude-sonet-4-5-20250929-v1:0";

#[test]
fn a_model_that_does_not_resolve_takes_no_value_away() {
    // The second one is not valid; an older definition of the resource let it pass.
    for (model, stays) in [
        (
            MISTYPED,
            format!("the value of the old model stays: eu.{SONNET}"),
        ),
        (
            "anthropic claude",
            format!("eu.{SONNET}, written earlier, stays"),
        ),
    ] {
        let before = bound("geography: eu");
        let typo = with_model(&before, model, "geography: eu");
        let (after, actions, _) = visit(&typo, full(), &SETTINGS);
        assert!(actions.removals.is_empty(), "{model}");
        assert_eq!(route_of(&after), route_of(&before));
        assert_eq!(after.status.targets, before.status.targets);
        let message = ready_message(&after);
        assert!(message.contains(&stays), "{message}");
        assert_eq!(visit(&after, full(), &SETTINGS).2.status, None);

        let (cured, _, outcome) = visit(&edited(&after, "geography: eu"), full(), &SETTINGS);
        assert_eq!(
            condition(&cured, ConditionType::Ready),
            (ConditionStatus::True, Reason::Bound)
        );
        let events: Vec<&str> = outcome.notices.iter().map(|notice| notice.reason).collect();
        assert_eq!(events, ["Bound"], "nothing was replaced");
    }
}

#[test]
fn the_old_model_is_judged_while_its_value_stays() {
    let limited = with_model(
        &bound("geography: eu"),
        MISTYPED,
        "geography: eu, allowedRegions: ['@us']",
    );
    let (after, actions, _) = visit(&limited, full(), &SETTINGS);
    assert_eq!(actions.removals[0].cause, RemovalCause::Withdrawn);
    assert_eq!(route_of(&after), None);
}

#[test]
fn a_new_model_that_a_limit_forbids_takes_nothing_away_either() {
    // Called from eu-west-1, the older model keeps to the limit, and the newer one does not.
    let (old, new) = (SONNET, "example.wide-v1:0");
    let mut profiles = full().catalog.expect("a catalog").profiles().to_vec();
    profiles.push(Arc::new(crate::catalog::Profile {
        id: format!("eu.{new}").parse().expect("an ID"),
        geography: "eu".parse().expect("a geography"),
        model: new.parse().expect("a model"),
        name: "Wide".into(),
        destinations: crate::route::Destinations::regions(vec![
            "eu-west-1".parse().expect("a region"),
            "eu-west-2".parse().expect("a region"),
        ]),
    }));
    let before = bound("geography: eu, allowedRegions: ['@eu']");
    let rest = "geography: eu, allowedRegions: ['@eu']";
    let (after, actions, _) = visit(&with_model(&before, new, rest), live(profiles), &SETTINGS);
    assert!(actions.removals.is_empty());
    assert_eq!(profile_id(&after), format!("eu.{old}"));
    assert_eq!(
        condition(&after, ConditionType::Ready),
        (ConditionStatus::False, Reason::RegionNotAllowed)
    );
    let message = ready_message(&after);
    assert!(
        message.contains("eu-west-2") && message.contains("the value of the old model stays"),
        "{message}"
    );
}

/// Every combination of ways in which a spec can differ from what is written, against an independent statement of the rule.
#[test]
fn only_where_and_how_it_is_called_can_take_a_value_away() {
    let role = "roleARN: 'arn:aws:iam::444455556666:role/r'";
    for bits in 0_u8..32 {
        let [model, geography, region, on_demand, account] =
            [1, 2, 4, 8, 16].map(|bit| bits & bit != 0);
        // What is written: the profile, or the model itself where that is to be contradicted.
        let before = if on_demand {
            bound_on_demand()
        } else {
            bound("geography: eu")
        };
        // The geography of a value on demand is nothing that a spec can contradict.
        if on_demand && geography {
            continue;
        }
        let wanted = if on_demand || geography { "jp" } else { "eu" };
        let mut rest = format!("geography: {wanted}");
        if region {
            rest.push_str(", sourceRegion: xx-west-9");
        }
        if account {
            rest = format!("{rest}, {role}");
        }
        let model_id = if model { MISTYPED } else { SONNET };
        let edit = with_model(&before, model_id, &rest);
        let nothing = live(Vec::new());
        let (after, ..) = visit(&edit, nothing, &SETTINGS);
        let withdrawn = geography || region || on_demand || account;
        assert_eq!(route_of(&after).is_none(), withdrawn, "{model} {rest}");
        // Not knowing withdraws none of them.
        let (after, actions, _) = visit(&edit, failing(), &SETTINGS);
        assert!(route_of(&after).is_some() && actions.removals.is_empty());
    }
}

#[test]
fn only_what_was_listed_live_and_is_asked_for_can_be_missing() {
    let missing = |binding: &Binding, feed| {
        let observed = crate::plan::testing::observed(binding, feed);
        let entries = observed.binding.entries();
        entries.values().any(|entry| is_missing(*entry, &observed))
    };
    let eu = bound("geography: eu");
    let retired = visit(&eu, without("eu"), &SETTINGS).0;
    let dated = |without| listing(SourceKind::Directory, None, Some("2026-01-01"), without);
    let from_files = visit(&sonnet("geography: eu"), dated("none"), &SETTINGS).0;
    let of_another = listing(SourceKind::Bedrock, Some("444455556666"), None, "eu");
    for (name, binding, feed, expected) in [
        ("it is gone", &eu, without("eu"), true),
        ("it is there", &eu, full(), false),
        ("nothing is listed yet", &eu, failing(), false),
        ("it is known to be gone", &retired, without("eu"), false),
        (
            "something else is asked for",
            &edited(&eu, "geography: jp"),
            without("eu"),
            false,
        ),
        ("files lack it", &eu, dated("eu"), false),
        ("files had it", &from_files, without("eu"), false),
        ("another account lacks it", &eu, of_another, false),
        ("on demand", &bound_on_demand(), on_demand(true), false),
        (
            "no longer on demand",
            &bound_on_demand(),
            on_demand(false),
            true,
        ),
        (
            "models can't be listed",
            &bound_on_demand(),
            with_models(full(), None),
            false,
        ),
    ] {
        assert_eq!(missing(binding, feed), expected, "{name}");
    }
    // A limit that is broken does not wait.
    let limited = edited(&eu, "geography: eu, allowedRegions: ['@us']");
    for (binding, waits) in [(&eu, true), (&limited, false)] {
        let seen = crate::plan::testing::observed(binding, without("eu"));
        assert_eq!(
            crate::plan::testing::planned(seen).needs_confirmation(),
            waits
        );
    }
}

#[test]
fn an_inventory_without_a_route_is_withdrawn_only_for_a_limit() {
    let lost = |rest: &str| {
        let mut binding = edited(&bound("geography: eu"), rest);
        binding.status.models = Models::default();
        binding
    };
    for (rest, withdrawn) in [
        ("geography: jp", false),
        ("geography: eu, allowedRegions: ['@us']", true),
    ] {
        let (after, actions, _) = visit(&lost(rest), full(), &SETTINGS);
        assert_eq!(!actions.removals.is_empty(), withdrawn, "{rest}");
        assert_eq!(after.status.targets.is_empty(), withdrawn, "{rest}");
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
            "the model changed to one that does not resolve",
            with_model(&eu(), MISTYPED, "geography: eu"),
            full(),
            Expected {
                kept: true,
                ready: (False, Reason::ModelUnsupported),
                events: &["ModelUnsupported"],
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
        assert_eq!(route_of(&after).is_some(), expected.kept, "{name}");
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
    assert_eq!(route_of(&after), None);
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
        route_of(&after),
        None,
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
        assert_eq!(route_of(&after).is_some(), kept, "{case}");
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

/// A leader that is killed between the value and the status leaves a target that is newer than the status.
#[test]
fn a_target_is_not_taken_back_to_the_old_model_while_nothing_is_known() {
    let before = bound("geography: eu");
    let edited = with_model(&before, "anthropic.claude-sonnet-5-5", "geography: eu");
    for feed in [FeedState::pending(), failing()] {
        let (after, actions, _) = visit(&edited, feed, &SETTINGS);
        assert!(actions.writes.is_empty(), "{:?}", actions.writes);
        assert!(actions.removals.is_empty());
        assert_eq!(route_of(&after), route_of(&before));
    }
}

const CHAT: &str = "{model: 'anthropic.claude-sonnet-4-5-20250929-v1:0', geography: eu}";

fn bound_by_class() -> Binding {
    visit(&of_class(Some(CHAT)), full(), &SETTINGS).0
}

fn class_of(binding: &Binding) -> Option<(String, Option<String>)> {
    let class = binding.status.to_wire().profile?.class?;
    Some((class.name, class.stage))
}

#[test]
fn a_class_moves_a_binding_as_an_edit_of_its_spec_does() {
    let before = bound_by_class();
    assert_eq!(profile_id(&before), format!("eu.{SONNET}"));
    assert_eq!(class_of(&before), Some(("chat".to_owned(), None)));
    let staged = "{model: a.b, geography: us, stages: [{name: all, namespaceSelector: {}, model: 'anthropic.claude-sonnet-4-5-20250929-v1:0', geography: global}]}";
    let (after, actions, _) = visit(&with_class(&before, Some(staged)), full(), &SETTINGS);
    assert_eq!(actions.writes.len(), 1);
    assert_eq!(profile_id(&after), format!("global.{SONNET}"));
    let staged = Some(("chat".to_owned(), Some("all".to_owned())));
    assert_eq!(class_of(&after), staged);
    let wire = after.status.to_wire();
    assert_eq!(Status::from_wire(&wire, &"shop".into()), after.status);
    assert_eq!(visit(&after, full(), &SETTINGS).2.status, None, "quiet");
}

#[test]
fn an_edit_of_a_class_withdraws_nothing() {
    let before = bound_by_class();
    for (class, reason, says) in [
        (
            "{model: anthropic.claude-mistyped, geography: eu}",
            Reason::ModelUnsupported,
            "the value of the old model stays",
        ),
        // An edit of the binding's own spec to such a geography takes the value away.
        (
            "{model: 'anthropic.claude-sonnet-4-5-20250929-v1:0', geography: jp}",
            Reason::GeographyUnsupported,
            "the value from before the class changed stays",
        ),
        (
            "{model: anthropic.claude-mistyped, geography: jp}",
            Reason::ModelUnsupported,
            "the value from before the class changed stays",
        ),
        (
            "{model: 'arn:x', geography: eu}",
            Reason::ClassInvalid,
            "written earlier, stays",
        ),
        (
            "{model: a.b, geography: eu, namespaceSelector: {matchLabels: {team: x}}}",
            Reason::ClassNotAllowed,
            "written earlier, stays",
        ),
    ] {
        let edited = with_class(&before, Some(class));
        let (after, actions, outcome) = visit(&edited, full(), &SETTINGS);
        assert!(actions.removals.is_empty(), "{class}");
        assert_eq!(route_of(&after), route_of(&before), "{class}");
        assert_eq!(
            condition(&after, ConditionType::Ready),
            (ConditionStatus::False, reason),
            "{class}"
        );
        let message = ready_message(&after);
        assert!(message.contains(says), "{message}");
        assert_eq!(outcome.notices, [], "the class has an Event");
        assert_eq!(
            visit(&after, full(), &SETTINGS).2.status,
            None,
            "quiet: {class}"
        );
        let undone = with_class(&after, Some(CHAT));
        let (undone, actions, _) = visit(&undone, full(), &SETTINGS);
        assert!(actions.removals.is_empty());
        assert_eq!(undone.status, before.status, "{class}");
    }
    let own = bound("geography: eu");
    let (_, actions, _) = visit(&edited(&own, "geography: jp"), full(), &SETTINGS);
    assert_eq!(actions.removals.len(), 1, "of its own spec");
}

#[test]
fn a_class_that_is_gone_takes_no_value_away_and_gives_none() {
    let before = bound_by_class();
    let (after, actions, _) = visit(&with_class(&before, None), full(), &SETTINGS);
    assert!(actions.removals.is_empty());
    assert_eq!(route_of(&after), route_of(&before));
    assert_eq!(
        condition(&after, ConditionType::Ready),
        (ConditionStatus::False, Reason::ClassNotFound)
    );
    let (back, ..) = visit(&with_class(&after, Some(CHAT)), full(), &SETTINGS);
    assert_eq!(back.status, before.status);
    let (new, actions, _) = visit(&of_class(None), full(), &SETTINGS);
    assert!(actions.writes.is_empty() && route_of(&new).is_none());
    assert_eq!(
        condition(&new, ConditionType::Ready),
        (ConditionStatus::False, Reason::ClassNotFound)
    );
    // On demand, what was known is not taken for what is asked.
    let spec = "{model: 'anthropic.claude-sonnet-4-5-20250929-v1:0', geography: jp, fallback: {onDemand: true}}";
    let (on_demand_bound, ..) = visit(&of_class(Some(spec)), on_demand(true), &SETTINGS);
    let (gone, ..) = visit(
        &with_class(&on_demand_bound, None),
        on_demand(true),
        &SETTINGS,
    );
    assert_eq!(
        condition(&gone, ConditionType::Ready).1,
        Reason::ClassNotFound
    );
    assert_eq!(route_of(&gone), route_of(&on_demand_bound));
}

#[test]
fn the_limit_of_a_class_withdraws() {
    let before = bound_by_class();
    let limited = "{model: 'anthropic.claude-sonnet-4-5-20250929-v1:0', geography: eu, allowedRegions: ['@us']}";
    let (after, actions, _) = visit(&with_class(&before, Some(limited)), full(), &SETTINGS);
    assert_eq!(actions.removals[0].cause, RemovalCause::Withdrawn);
    assert_eq!(route_of(&after), None);
    let message = ready_message(&after);
    assert!(
        message.contains("the class's spec.allowedRegions"),
        "{message}"
    );
    // The limit holds also where the class is not for the namespace.
    let refused = "{model: a.b, geography: eu, allowedRegions: ['@us'], namespaceSelector: {matchLabels: {team: x}}}";
    let (after, ..) = visit(&with_class(&before, Some(refused)), full(), &SETTINGS);
    assert_eq!(route_of(&after), None);
}
