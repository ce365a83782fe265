use crate::{
    api::condition::ConditionType,
    catalog::{FeedState, Freshness, Profile},
    plan::testing::{
        SETTINGS, SONNET, condition, edited, embedded_of, full, listing, region, route_of, sonnet,
        visit,
    },
    residency::{Limit, LimitOrigin},
};

use super::*;

const FALLBACK: &str = "geography: jp, fallback: {geographies: [eu, global]}";

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn newer_embedded_data_move_nothing_by_themselves() {
    const EU: &str = "eu";
    const GLOBAL: &str = "global";
    let usual: &Settings = &SETTINGS;
    // The old data have no eu profile, so the fallback is global; the new data have one.
    let bound_to = |feed, rest: &str| visit(&sonnet(rest), feed, &SETTINGS).0;
    let old = || bound_to(embedded_of("2026-01-01", EU), FALLBACK);
    let following = Settings {
        follow_embedded: true,
        ..Settings::default()
    };
    let limited = |limit: &str| Settings {
        limit: Limit::parse(LimitOrigin::Operator, &[limit]).ok(),
        ..Settings::default()
    };
    let new = || embedded_of("2026-02-01", "none");
    let directory = || listing(SourceKind::Directory, None, Some("2026-02-01"), "none");
    for (name, before, feed, settings, expected) in [
        ("newer data", old(), new(), usual, Some(GLOBAL)),
        (
            "older data",
            old(),
            embedded_of("2025-12-01", "none"),
            usual,
            Some(GLOBAL),
        ),
        ("the flag", old(), new(), &following, Some(EU)),
        (
            "the same date: something else than the data changed",
            old(),
            embedded_of("2026-01-01", "none"),
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
        let found = route_of(&after);
        let found = found.map(|written| written.route.geography());
        assert_eq!(found, expected, "{name}");
    }

    let (after, actions, outcome) = visit(&old(), new(), &SETTINGS);
    assert!(actions.removals.is_empty() && outcome.notices.is_empty());
    assert_eq!(
        condition(&after, ConditionType::Ready),
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
    let (after, actions, _) = visit(&before, harmless, &SETTINGS);
    assert_eq!(route_of(&after), route_of(&before));
    assert!(actions.removals.is_empty());
    let said = after.status.condition(ConditionType::RegionSupported);
    let said = &said.expect("a condition").message;
    assert!(
        said.contains("other destinations: eu-west-1,eu-west-3"),
        "{said}"
    );

    let outside = || nearer("2026-02-01", &["eu-west-1", "eu-west-2"]);
    let (after, actions, _) = visit(&before, outside(), &SETTINGS);
    assert_eq!(actions.removals.len(), 1);
    assert_eq!(route_of(&after), None);

    // The new data would give another profile, which the limit forbids too: the written one is judged all the same.
    let fallback = "geography: global, fallback: {geographies: [eu]}, allowedRegions: ['@eu']";
    let mut before = visit(
        &sonnet(rest),
        nearer("2026-01-01", &["eu-west-1"]),
        &SETTINGS,
    )
    .0;
    before.spec = sonnet(fallback).spec;
    let (after, actions, _) = visit(&before, outside(), &SETTINGS);
    assert_eq!(actions.removals.len(), 1);
    assert_eq!(route_of(&after), None);
}

#[test]
fn an_account_completes_the_arn_of_what_stays() {
    let before = visit(
        &sonnet(FALLBACK),
        embedded_of("2026-01-01", "eu"),
        &SETTINGS,
    )
    .0;
    let settings = Settings {
        account: "111122223333".parse().ok(),
        ..Settings::default()
    };
    let (after, ..) = visit(&before, embedded_of("2026-02-01", "none"), &settings);
    let written = after.status.to_wire().profile.expect("a profile");
    let arn = format!("arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.{SONNET}");
    assert_eq!(written.arn.as_deref(), Some(arn.as_str()));
}
