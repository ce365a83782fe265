use jiff::civil::date;

use super::*;
use crate::{
    catalog::{FoundationModel, Lifecycle},
    residency::{Limit, LimitOrigin},
};

fn request(model: &str, geography: &str, fallbacks: &[&str], from: &str) -> Request {
    Request {
        model: model.parse().expect(model),
        fallback_models: Vec::new(),
        geography: geography.parse().expect(geography),
        fallbacks: fallbacks
            .iter()
            .map(|name| name.parse().expect(name))
            .collect(),
        on_demand: false,
        source_region: from.parse().expect(from),
        application: None,
    }
}

fn resolved(request: &Request, limits: &Limits) -> Result<Resolution, Unresolved> {
    let catalog = Embedded::load().catalog(&request.source_region);
    resolve(request, &context(&catalog, limits))
}

fn context<'a>(catalog: &'a Catalog, limits: &'a Limits) -> Context<'a> {
    Context {
        catalog,
        limits,
        embedded: Embedded::load(),
        day: DAY,
    }
}

/// A day on which no model of the embedded profiles has reached its end of life.
const DAY: Date = date(2026, 8, 1);
const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
/// The mark of what the embedded data say.
const DATA: &str = "(by the embedded data of 2026-10-27)";

#[test]
fn the_wanted_geography_is_chosen_if_it_is_callable() {
    for (geography, from) in [
        ("eu", "eu-west-1"),
        ("us", "us-east-1"),
        ("jp", "ap-northeast-1"),
        ("global", "eu-west-1"),
    ] {
        let request = request(SONNET, geography, &[], from);
        let resolution = resolved(&request, &Limits::default()).expect(geography);
        assert_eq!(resolution.route.id(), format!("{geography}.{SONNET}"));
        assert_eq!(resolution.reason(&request), Reason::ProfileFound);
    }
}

#[test]
fn a_fallback_is_chosen_only_if_it_is_listed_and_the_message_says_what_was_passed_over() {
    let request = request(SONNET, "jp", &["eu"], "eu-west-1");
    let resolution = resolved(&request, &Limits::default()).expect("fallback");
    assert_eq!(resolution.reason(&request), Reason::FallbackGeographyUsed);
    assert_eq!(
        resolution.message(&request),
        format!(
            "eu.{SONNET} is callable from eu-west-1 by fallback to eu; passed over: jp: callable only from ap-northeast-1, ap-northeast-3 {DATA}"
        )
    );
}

#[test]
fn a_fallback_that_breaks_residency_is_passed_over() {
    let request = request(SONNET, "jp", &["global", "eu"], "eu-west-1");
    let limits = Limits::all([Limit::parse(LimitOrigin::Binding, &["@eu"])]);
    let resolution = resolved(&request, &limits).expect("second fallback");
    assert_eq!(resolution.route.geography(), "eu");
    assert!(matches!(
        resolution.candidates[1].outcome,
        CandidateOutcome::NotAllowed(Outside::AnyRegion)
    ));
}

#[test]
fn unresolved_requests_say_what_is_available() {
    let cases = [
        (
            request(SONNET, "jp", &[], "eu-west-1"),
            Reason::GeographyUnsupported,
            vec![
                "no jp profile of",
                "from there: eu, global",
                "jp is callable from: ap-northeast-1, ap-northeast-3 (by the embedded data of 2026-10-27); set geography",
            ],
        ),
        (
            request(SONNET, "ap", &["europe"], "ap-northeast-1"),
            Reason::GeographyUnsupported,
            vec![
                "; ap is not a geography of Bedrock; for Asia it is apac, jp, au or in; europe is not a geography of Bedrock; for Europe it is eu; callable from there: global, jp (by",
            ],
        ),
        (
            request("anthropic.claude-x", "uk", &[], "eu-west-2"),
            Reason::ModelUnsupported,
            vec![
                "; uk is not a geography of Bedrock; none is for the United Kingdom and Switzerland alone",
            ],
        ),
        (
            request(SONNET, "atlantis", &[], "eu-west-1"),
            Reason::GeographyUnsupported,
            vec![
                "atlantis is not a geography of Bedrock; there are apac, au, ca, eu, global, in, jp, us, us-gov (by the embedded data",
            ],
        ),
        (
            request(
                "anthropic.claude-sonet-4-5-20250929-v1:0",
                "eu",
                &[],
                "eu-west-1",
            ),
            Reason::ModelUnsupported,
            vec![
                "nearest model IDs: anthropic.claude-sonnet-4-5-20250929-v1:0",
                "(by the embedded data of 2026-10-27)",
            ],
        ),
        (
            request(
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "us",
                &[],
                "us-east-1",
            ),
            Reason::ModelUnsupported,
            vec!["is a profile ID", "geography to us"],
        ),
        (
            request(
                "anthropic.claude-3-5-sonnet-20240620-v1:0",
                "us",
                &[],
                "us-east-1",
            ),
            Reason::ModelUnsupported,
            vec![
                "was last listed on 2026-03",
                "successors: anthropic.claude-sonnet-",
            ],
        ),
        (
            request(SONNET, "eu", &[], "xx-nowhere-1"),
            Reason::SourceRegionUnsupported,
            vec![
                "no inference profile is callable from xx-nowhere-1: AWS had no such region on 2026-11-01 (by the embedded data); nearest: ",
                "set sourceRegion",
            ],
        ),
        (
            request(SONNET, "eu", &[], "ap-east-1"),
            Reason::SourceRegionUnsupported,
            vec![
                "no inference profile is callable from ap-east-1: Amazon Bedrock had no endpoint there on 2026-11-01 (by the embedded data)",
                "regions of this area that are source regions: ap-east-2",
                "set sourceRegion",
            ],
        ),
    ];
    for (request, reason, parts) in cases {
        let unresolved = resolved(&request, &Limits::default()).expect_err("unresolved");
        assert_eq!(unresolved.reason, reason, "{}", unresolved.message);
        for part in parts {
            assert!(
                unresolved.message.contains(part),
                "{part:?} in {:?}",
                unresolved.message
            );
        }
    }
}

#[test]
fn every_current_route_resolves_to_itself_and_no_other() {
    let embedded = Embedded::load();
    let mut routes = 0;
    for source in embedded.source_regions() {
        let catalog = embedded.catalog(source);
        for listed in catalog.profiles() {
            let request = request(
                listed.model.as_str(),
                listed.geography.as_str(),
                &[],
                source.as_str(),
            );
            let resolution =
                resolve(&request, &context(&catalog, &Limits::default())).expect("current route");
            assert_eq!(resolution.route, listed.route(&request.source_region));
            routes += 1;
        }
    }
    assert!(routes > 1_000, "{routes}");
}

/// Returns the embedded profiles of eu-west-1 as a live listing with these models, and for each whether it is on demand.
fn with_models(models: Option<&[(&str, bool)]>) -> Catalog {
    let region: Region = "eu-west-1".parse().expect("region");
    let profiles = Embedded::load().catalog(&region).profiles().to_vec();
    let model = |(id, on_demand): &(&str, bool)| FoundationModel {
        id: id.parse().expect("model"),
        lifecycle: Lifecycle::ACTIVE,
        on_demand: *on_demand,
    };
    Catalog::new(SourceKind::Bedrock, region, None, None, profiles)
        .with_models(models.map(|models| models.iter().map(model).collect()))
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn on_demand_comes_last_and_only_if_it_is_allowed_and_known() {
    const BARE: &str = "amazon.bare-v1:0";
    let models: &[(&str, bool)] = &[(SONNET, true), (BARE, true)];
    let not: &[(&str, bool)] = &[(SONNET, false)];
    let stays = "requests stay in eu-west-1";
    let set = "is on demand in eu-west-1: set fallback.onDemand";
    // Model, geography, fallbacks, onDemand, limit, models -> reason, whether it is definite, parts of the message.
    #[allow(clippy::type_complexity, reason = "a table")]
    let cases: [(
        &str,
        &str,
        &[&str],
        bool,
        &str,
        Option<&[(&str, bool)]>,
        Reason,
        bool,
        &[&str],
    ); 12] = [
        (
            SONNET,
            "eu",
            &[],
            true,
            "*",
            Some(models),
            Reason::ProfileFound,
            true,
            &[],
        ),
        (
            SONNET,
            "jp",
            &["eu"],
            true,
            "*",
            Some(models),
            Reason::FallbackGeographyUsed,
            true,
            &[],
        ),
        (
            SONNET,
            "jp",
            &[],
            true,
            "*",
            Some(models),
            Reason::OnDemandFallback,
            true,
            &[
                stays,
                "throughput",
                "passed over: jp: callable only from ap-northeast-1",
            ],
        ),
        (
            SONNET,
            "jp",
            &["global"],
            true,
            "@eu",
            Some(models),
            Reason::OnDemandFallback,
            true,
            &[stays, "global: breaks the residency limit"],
        ),
        (
            BARE,
            "eu",
            &[],
            true,
            "*",
            Some(models),
            Reason::OnDemandFallback,
            true,
            &[stays],
        ),
        (
            SONNET,
            "jp",
            &[],
            false,
            "*",
            Some(models),
            Reason::GeographyUnsupported,
            true,
            &[set],
        ),
        (
            BARE,
            "eu",
            &[],
            false,
            "*",
            Some(models),
            Reason::ModelUnsupported,
            true,
            &[set],
        ),
        (
            SONNET,
            "jp",
            &[],
            true,
            "us-*",
            Some(models),
            Reason::GeographyUnsupported,
            true,
            &["fallback.onDemand: breaks the residency limit: eu-west-1"],
        ),
        (
            SONNET,
            "jp",
            &[],
            true,
            "*",
            Some(not),
            Reason::GeographyUnsupported,
            true,
            &["fallback.onDemand: the model is not on demand there"],
        ),
        (
            BARE,
            "jp",
            &[],
            true,
            "*",
            Some(not),
            Reason::ModelUnsupported,
            true,
            &["not on demand"],
        ),
        (
            SONNET,
            "jp",
            &[],
            true,
            "*",
            None,
            Reason::GeographyUnsupported,
            false,
            &[
                "fallback.onDemand: the models could not be listed",
                "bedrock:ListFoundationModels",
            ],
        ),
        (
            SONNET,
            "jp",
            &[],
            false,
            "*",
            None,
            Reason::GeographyUnsupported,
            true,
            &[],
        ),
    ];
    for (model, geography, fallbacks, on_demand, limit, models, reason, definite, parts) in cases {
        let request = Request {
            on_demand,
            ..request(model, geography, fallbacks, "eu-west-1")
        };
        let limits = Limits::all([Limit::parse(LimitOrigin::Binding, &[limit])]);
        let (found, certain, message) =
            match resolve(&request, &context(&with_models(models), &limits)) {
                Ok(resolution) => (
                    resolution.reason(&request),
                    true,
                    resolution.message(&request),
                ),
                Err(unresolved) => (
                    unresolved.reason,
                    unresolved.is_definite(),
                    unresolved.message,
                ),
            };
        assert_eq!((found, certain), (reason, definite), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
    }
}

#[test]
fn a_region_without_profiles_has_models_on_demand() {
    let region: Region = "eu-west-1".parse().expect("region");
    let model = FoundationModel {
        id: SONNET.parse().expect("model"),
        lifecycle: Lifecycle::ACTIVE,
        on_demand: true,
    };
    let catalog = Catalog::new(SourceKind::Bedrock, region, None, None, Vec::new())
        .with_models(Some(vec![model]));
    let request = Request {
        on_demand: true,
        ..request(SONNET, "eu", &[], "eu-west-1")
    };
    let resolution = resolve(&request, &context(&catalog, &Limits::default())).expect("on demand");
    assert_eq!(resolution.route.invocation, Invocation::OnDemand);
    assert_eq!(resolution.route.id(), SONNET);
    assert_eq!(resolution.route.destinations.to_string(), "eu-west-1");
}

/// Returns a listing of eu-west-1 from a source: all of the embedded profiles but those that contain a text.
fn without(source: SourceKind, left_out: &str) -> Catalog {
    let region: Region = "eu-west-1".parse().expect("region");
    let data = Embedded::load().catalog(&region);
    let profiles = data.profiles().iter();
    let kept = profiles.filter(|profile| !profile.id.as_str().contains(left_out));
    Catalog::new(source, region, None, None, kept.cloned().collect())
}

#[test]
fn what_a_listing_says_is_told_from_what_the_data_say() {
    let eu = format!("eu.{SONNET}");
    for (source, left_out, geography, message) in [
        (
            SourceKind::Embedded,
            "none",
            "jp",
            format!(
                "no jp profile of {SONNET} is callable from eu-west-1; callable from there: eu, global; jp is callable from: \
                 ap-northeast-1, ap-northeast-3 {DATA}; set geography to eu or global, or list it in fallback.geographies"
            ),
        ),
        (
            SourceKind::Bedrock,
            "none",
            "jp",
            format!(
                "no jp profile of {SONNET} is callable from eu-west-1; the listing of eu-west-1 has: eu, global; jp is callable \
                 from: ap-northeast-1, ap-northeast-3 {DATA}; set geography to eu or global, or list it in fallback.geographies"
            ),
        ),
        // Nothing here is from the data.
        (
            SourceKind::Directory,
            "none",
            "apac",
            format!(
                "no apac profile of {SONNET} is callable from eu-west-1; the listing of eu-west-1 has: eu, global; set \
                 geography to eu or global, or list it in fallback.geographies"
            ),
        ),
        // The listing contradicts the data: they do not send the reader to the region that he asked for.
        (
            SourceKind::Bedrock,
            &eu,
            "eu",
            format!(
                "no eu profile of {SONNET} is callable from eu-west-1; the listing of eu-west-1 has: global; eu is callable \
                 from: eu-central-1, eu-central-2, eu-north-1, eu-south-1, eu-south-2, eu-west-2, eu-west-3, and was from eu-west-1 {DATA}; set geography \
                 to global, or list it in fallback.geographies"
            ),
        ),
    ] {
        let request = request(SONNET, geography, &[], "eu-west-1");
        let catalog = without(source, left_out);
        let unresolved =
            resolve(&request, &context(&catalog, &Limits::default())).expect_err(geography);
        assert_eq!(unresolved.message, message);
    }
}

#[test]
fn successors_are_those_that_the_listing_has() {
    let gone = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    let request = request(gone, "eu", &[], "eu-west-1");
    let catalog = without(SourceKind::Bedrock, "claude-sonnet");
    let unresolved = resolve(&request, &context(&catalog, &Limits::default())).expect_err("gone");
    assert_eq!(unresolved.reason, Reason::ModelUnsupported);
    let expected = format!(
        "no inference profile of {gone} is callable from eu-west-1; it was callable from there: it was removed since, or is \
         not listed for this account; successors: anthropic.claude-"
    );
    assert!(
        unresolved.message.starts_with(&expected) && !unresolved.message.contains("sonnet-5"),
        "{}",
        unresolved.message
    );
    assert!(
        !unresolved.message.contains(", eu-west-1"),
        "{}",
        unresolved.message
    );
}

#[test]
fn what_is_passed_over_says_what_the_data_say() {
    let live = without(SourceKind::Bedrock, &format!("eu.{SONNET}"));
    let request = request(SONNET, "asia", &["eu", "ca", "global"], "eu-west-1");
    let resolution = resolve(&request, &context(&live, &Limits::default())).expect("a fallback");
    assert_eq!(
        resolution.message(&request),
        format!(
            "global.{SONNET} is callable from eu-west-1 by fallback to global; passed over: asia: not a geography of Bedrock; \
             for Asia it is apac, jp, au or in; eu: callable only from eu-central-1, eu-central-2, eu-north-1, \
             eu-south-1, eu-south-2, eu-west-2, eu-west-3 {DATA}; ca: no such profile is known {DATA}"
        )
    );
}

/// IDs of the old form end in a date and a version, those of the new form do not.
#[test]
fn both_forms_of_model_ids_are_known() {
    for (id, typo) in [
        ("anthropic.claude-opus-5-5", "anthropic.claude-opus-55"),
        (
            "anthropic.claude-opus-5-5",
            "anthropic.claude-opus-5-5-v1:0",
        ),
        (
            "anthropic.claude-opus-5-5",
            "anthropic.claude-opus-5-5-20260901-v1:0",
        ),
        ("anthropic.claude-sonnet-5", "anthropic.claude-sonet-5"),
        ("anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4.6"),
        ("amazon.nova-2-lite-v1:0", "amazon.nova-2-lite"),
        ("anthropic.claude-opus-4-6-v1", "anthropic.claude-opus-4-6"),
        ("cohere.embed-v4:0", "cohere.embed-v4"),
        (SONNET, "anthropic.claude-sonnet-4-5"),
    ] {
        let found = resolved(&request(id, "eu", &[], "eu-west-1"), &Limits::default()).expect(id);
        assert_eq!(found.route.id(), format!("eu.{id}"));

        let message = |model: &str, geography| {
            resolved(
                &request(model, geography, &[], "eu-west-1"),
                &Limits::default(),
            )
            .expect_err(model)
            .message
        };
        let as_profile = message(&format!("eu.{id}"), "eu");
        assert!(
            as_profile.contains(&format!("set model to {id} and geography to eu")),
            "{as_profile}"
        );
        let mistyped = message(typo, "eu");
        assert!(
            mistyped.contains("nearest model IDs") && mistyped.contains(id),
            "{mistyped}"
        );
        let elsewhere = message(id, "us");
        assert!(elsewhere.contains("us is callable from: "), "{elsewhere}");
    }
    let gone = request(
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "us",
        &[],
        "us-east-1",
    );
    let catalog = Embedded::load().catalog(&gone.source_region);
    let limits = Limits::default();
    let successors = successors(&gone.model, &gone, &context(&catalog, &limits));
    assert!(
        successors
            .iter()
            .all(|model| !model.as_str().ends_with("-v1:0")),
        "later models, whose IDs are of the new form: {successors:?}"
    );
    assert_eq!(successors.len(), 3);
}

/// Returns the listed profiles of eu-west-1, with the model of each: what is on demand, and when its life ends.
fn with_lives(source: SourceKind, models: &[(&str, bool, Option<Date>)]) -> Catalog {
    let region: Region = "eu-west-1".parse().expect("region");
    let profiles = Embedded::load().catalog(&region).profiles().to_vec();
    let as_of = (!source.is_live()).then(|| "2026-08-01".to_owned());
    let models = models
        .iter()
        .map(|(id, on_demand, end_of_life)| FoundationModel {
            id: id.parse().expect(id),
            lifecycle: Lifecycle {
                end_of_life: *end_of_life,
                ..Lifecycle::ACTIVE
            },
            on_demand: *on_demand,
        });
    Catalog::new(source, region, None, as_of, profiles).with_models(Some(models.collect()))
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn a_fallback_model_serves_where_the_model_does_not() {
    const GONE: &str = "anthropic.claude-3-5-sonnet-20240620-v1:0";
    const OPUS: &str = "anthropic.claude-opus-5-5";
    const BARE: &str = "amazon.bare-v1:0";
    let passed = Some(date(2026, 7, 31));
    let listed = with_lives(
        SourceKind::Bedrock,
        &[(SONNET, false, passed), (BARE, true, None)],
    );
    let alive = with_lives(
        SourceKind::Bedrock,
        &[(SONNET, false, Some(date(2026, 8, 2)))],
    );
    let unknown = listed.clone().with_models(None);
    let eu = |model: &str| format!("eu.{model}");
    // Catalog, model, geography, fallback models, onDemand, limit -> ID, reason, part of the message.
    for (catalog, model, geography, fallbacks, on_demand, limit, id, reason, part) in [
        (
            &listed,
            OPUS,
            "eu",
            &[SONNET][..],
            false,
            "*",
            Some(eu(OPUS)),
            Reason::ProfileFound,
            "callable",
        ),
        (
            &listed,
            GONE,
            "eu",
            &[BARE, OPUS],
            false,
            "*",
            Some(eu(OPUS)),
            Reason::FallbackModelUsed,
            "in the place of anthropic.claude-3-5-sonnet-20240620-v1:0, as fallback.models allows; passed over: eu: last listed on 2026-03-31 (by the embedded data of 2026-10-27); amazon.bare-v1:0 eu: no such profile is known",
        ),
        (
            &listed,
            GONE,
            "eu",
            &[BARE],
            true,
            "*",
            Some(BARE.to_owned()),
            Reason::FallbackModelUsed,
            "on demand",
        ),
        // The life of the model has ended: what is still listed serves only where nothing else does.
        (
            &listed,
            SONNET,
            "eu",
            &[OPUS],
            false,
            "*",
            Some(eu(OPUS)),
            Reason::FallbackModelUsed,
            "eu: its life ended on 2026-07-31",
        ),
        (
            &listed,
            SONNET,
            "eu",
            &[BARE],
            false,
            "*",
            Some(eu(SONNET)),
            Reason::ProfileFound,
            "callable",
        ),
        (
            &listed,
            SONNET,
            "eu",
            &[],
            false,
            "*",
            Some(eu(SONNET)),
            Reason::ProfileFound,
            "callable",
        ),
        (
            &alive,
            SONNET,
            "eu",
            &[OPUS],
            false,
            "*",
            Some(eu(SONNET)),
            Reason::ProfileFound,
            "callable",
        ),
        // A fallback that breaks the limit is passed over.
        (
            &listed,
            GONE,
            "global",
            &[OPUS],
            false,
            "@eu",
            None,
            Reason::ModelUnsupported,
            "fallback.models: anthropic.claude-opus-5-5 global: breaks the residency limit",
        ),
        // It is not known whether the model is on demand: nothing takes its place.
        (
            &unknown,
            GONE,
            "eu",
            &[OPUS],
            true,
            "*",
            None,
            Reason::ModelUnsupported,
            "anthropic.claude-opus-5-5 eu: not considered",
        ),
    ] {
        let request = Request {
            fallback_models: fallbacks.iter().map(|id| id.parse().expect(id)).collect(),
            on_demand,
            ..request(model, geography, &[], "eu-west-1")
        };
        let limits = Limits::all([Limit::parse(LimitOrigin::Binding, &[limit])]);
        let what = format!("{model} {fallbacks:?} {on_demand} {limit}");
        let (found, why, message, candidates) = match resolve(&request, &context(catalog, &limits))
        {
            Ok(found) => (
                Some(found.route.id().to_owned()),
                found.reason(&request),
                found.message(&request),
                found.candidates.len(),
            ),
            Err(none) => (None, none.reason, none.message, none.candidates.len()),
        };
        assert_eq!((found, why), (id, reason), "{what}: {message}");
        assert!(message.contains(part), "{what}: {part:?} in {message:?}");
        let choices = 1 + usize::from(on_demand);
        assert_eq!(candidates, choices * (1 + fallbacks.len()), "{what}");
    }
}

#[test]
fn a_snapshot_proves_nothing_after_the_end_of_a_life() {
    const OLD: &str = "anthropic.claude-sonnet-4-20250514-v1:0";
    let request = request(OLD, "eu", &[], "eu-west-1");
    let limits = Limits::default();
    let of = |source| with_lives(source, &[(OLD, true, Some(date(2027, 1, 1)))]);
    for source in [SourceKind::Embedded, SourceKind::Directory] {
        let catalog = of(source);
        let on = |day| {
            let context = Context {
                day,
                ..context(&catalog, &limits)
            };
            resolve(&request, &context)
        };
        assert!(on(date(2026, 10, 13)).is_ok());
        let ended = on(date(2026, 10, 14)).expect_err("its life ended");
        assert_eq!(ended.reason, Reason::ModelUnsupported);
        assert!(!ended.is_definite(), "AWS may have extended the life");
        for part in [
            "ended on 2026-10-14",
            "embedded data of 2026-11-27",
            "catalog of 2026-08-01 does not count",
            "successors: anthropic.claude-sonnet-5-5,",
        ] {
            assert!(
                ended.message.contains(part),
                "{part:?} in {:?}",
                ended.message
            );
        }
    }
    let live = of(SourceKind::Bedrock);
    let context = Context {
        day: date(2026, 10, 14),
        ..context(&live, &limits)
    };
    assert!(
        resolve(&request, &context).is_ok(),
        "a live listing is believed"
    );
}

#[test]
fn successors_are_active_callable_and_allowed() {
    let lives = [
        (
            "anthropic.claude-sonnet-5-5",
            false,
            Some(date(2026, 8, 20)),
        ),
        ("anthropic.claude-sonnet-5", false, None),
        ("anthropic.claude-sonnet-4-6", false, None),
        ("anthropic.on-demand", true, None),
    ];
    let catalog = with_lives(SourceKind::Bedrock, &lives);
    let limit = |text| Limits::all([Limit::parse(LimitOrigin::Binding, &[text])]);
    for (geography, on_demand, limit, first) in [
        ("eu", false, limit("*"), Some("anthropic.claude-sonnet-5")),
        ("eu", false, limit("us-*"), None),
        ("jp", false, limit("*"), None),
        ("jp", true, limit("*"), Some("anthropic.on-demand")),
    ] {
        let request = Request {
            on_demand,
            ..request(SONNET, geography, &[], "eu-west-1")
        };
        let found = successors(&request.model, &request, &context(&catalog, &limit));
        let found = found.first().map(ModelId::as_str);
        assert_eq!(found, first, "{geography} {on_demand}");
    }
}
