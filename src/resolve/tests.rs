use super::*;
use crate::residency::{Limit, LimitOrigin};

fn request(model: &str, geography: &str, fallbacks: &[&str], from: &str) -> Request {
    Request {
        model: model.parse().expect(model),
        geography: geography.parse().expect(geography),
        fallbacks: fallbacks
            .iter()
            .map(|name| name.parse().expect(name))
            .collect(),
        source_region: from.parse().expect(from),
    }
}

fn resolved(request: &Request, limits: &Limits) -> Result<Resolution, Unresolved> {
    let embedded = Embedded::load();
    resolve(
        request,
        &embedded.catalog(&request.source_region),
        limits,
        embedded,
    )
}

const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

#[test]
fn the_wanted_geography_is_taken_where_it_is_callable() {
    for (geography, from) in [
        ("eu", "eu-west-1"),
        ("us", "us-east-1"),
        ("jp", "ap-northeast-1"),
        ("global", "eu-west-1"),
    ] {
        let request = request(SONNET, geography, &[], from);
        let resolution = resolved(&request, &Limits::default()).expect(geography);
        assert_eq!(
            resolution.profile.id.as_str(),
            format!("{geography}.{SONNET}")
        );
        assert_eq!(resolution.reason(), Reason::ProfileFound);
    }
}

#[test]
fn a_fallback_is_taken_only_where_it_is_listed_and_says_what_was_passed_over() {
    let request = request(SONNET, "jp", &["eu"], "eu-west-1");
    let resolution = resolved(&request, &Limits::default()).expect("fallback");
    assert_eq!(resolution.reason(), Reason::FallbackGeographyUsed);
    assert_eq!(
        resolution.message(&request),
        format!(
            "eu.{SONNET} is callable from eu-west-1 by fallback to eu; passed over: jp: callable only from ap-northeast-1, ap-northeast-3"
        )
    );
}

#[test]
fn a_fallback_that_breaks_residency_is_passed_over() {
    let request = request(SONNET, "jp", &["global", "eu"], "eu-west-1");
    let limits = Limits::all([Limit::parse(LimitOrigin::Binding, &["@eu"])]);
    let resolution = resolved(&request, &limits).expect("second fallback");
    assert_eq!(resolution.profile.geography.as_str(), "eu");
    assert!(matches!(
        resolution.candidates[1].outcome,
        Outcome::NotAllowed(Outside::AnyRegion)
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
                "jp from: ap-northeast-1, ap-northeast-3",
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
            vec!["nearest model IDs: anthropic.claude-sonnet-4-5-20250929-v1:0"],
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
                "no inference profile is callable from xx-nowhere-1: AWS had no such region on",
                "nearest: ",
                "set sourceRegion",
            ],
        ),
        (
            request(SONNET, "eu", &[], "ap-east-1"),
            Reason::SourceRegionUnsupported,
            vec![
                "no inference profile is callable from ap-east-1: Amazon Bedrock had no endpoint there on",
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
        for profile in catalog.profiles() {
            let request = request(
                profile.model.as_str(),
                profile.geography.as_str(),
                &[],
                source.as_str(),
            );
            let resolution =
                resolve(&request, &catalog, &Limits::default(), embedded).expect("current route");
            assert_eq!(resolution.profile, *profile);
            routes += 1;
        }
    }
    assert!(routes > 1_000, "{routes}");
}
