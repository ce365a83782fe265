use jiff::civil::date;

use super::*;
use crate::{
    catalog::{Profile, SourceKind},
    residency::{Limit, LimitOrigin},
    scan::{Bounds, Finder},
};

const DAY: Date = date(2026, 11, 28);
const ARN: &str = "arn:aws:bedrock:";

/// What a case is judged by, besides the text.
#[derive(Default)]
struct Given<'a> {
    region: Option<&'a str>,
    geographies: &'a [&'a str],
    limit: &'a [&'a str],
    day: Option<Date>,
    catalog: Option<Catalog>,
}

fn region(name: &str) -> Region {
    name.parse().expect(name)
}

fn judged(text: &str, given: Given<'_>) -> Judged {
    let embedded = Embedded::load();
    let finder = Finder::new(embedded, []).expect("a finder");
    let found = finder.find(text.as_bytes(), Bounds { findings: 9 });
    let [mention] = found.mentions.as_slice() else {
        panic!("{text}: {found:?}")
    };
    let source = given.region.map(region);
    let regions = source.iter().chain(mention.reference.arn_region());
    let mut catalogs: BTreeMap<Region, Arc<Catalog>> = regions
        .map(|region| (region.clone(), Arc::new(embedded.catalog(region))))
        .collect();
    if let Some(catalog) = given.catalog {
        catalogs.insert(catalog.source_region().clone(), Arc::new(catalog));
    }
    let geographies: Vec<Geography> = given
        .geographies
        .iter()
        .map(|name| name.parse().expect("a geography"))
        .collect();
    let limit = (!given.limit.is_empty()).then(|| Limit::parse(LimitOrigin::Operator, given.limit));
    let scene = Scene {
        embedded,
        catalogs: &catalogs,
        region: source.as_ref(),
        geographies: &geographies,
        limits: &Limits::all(limit),
        day: given.day.unwrap_or(DAY),
    };
    judge(&mention.reference, &scene)
}

fn verdicts(judged: &Judged) -> Vec<Verdict> {
    judged.opinions.iter().map(|it| it.verdict).collect()
}

/// Asserts the verdicts, and that the first one says this.
#[track_caller]
fn assert_judged(text: &str, given: Given<'_>, expected: &[Verdict], says: &str) {
    let judged = judged(text, given);
    assert_eq!(verdicts(&judged), expected, "{text}: {judged:#?}");
    let message = &judged.opinions[0].message;
    assert!(
        message.contains(says),
        "{text}: {says:?} is not in {message:?}"
    );
}

#[test]
fn without_a_region_only_what_holds_everywhere_is_said() {
    use Verdict::*;
    for (text, expected, says) in [
        ("eu.anthropic.claude-sonnet-5-5", vec![HardCoded], ""),
        ("amazon.nova-lite-v1:0", vec![HardCoded], ""),
        (
            "anthropic.claude-sonnet-5-5",
            vec![ProfileOnlyModel],
            "is on demand in no region; its profiles are of: au, eu, global, us",
        ),
        (
            "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
            vec![Gone],
            "was last listed on 2026-03-31",
        ),
        (
            "amazon.nova-canvas-v1:0",
            vec![Gone],
            "the life of amazon.nova-canvas-v1:0 in ap-northeast-1 ended on 2026-09-30",
        ),
        (
            "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            vec![Legacy],
            "is legacy in ",
        ),
        (
            "ap.amazon.nova-pro-v1:0",
            vec![UnknownPrefix],
            "ap is not a geography of Bedrock; for Asia it is apac, jp, au or in",
        ),
        (
            "eu.amazon.titan-embed-text-v2:0",
            vec![WrongGeography],
            "no eu profile of amazon.titan-embed-text-v2:0 is known; it has none",
        ),
        (
            "jp.amazon.nova-pro-v1:0",
            vec![WrongGeography],
            "no jp profile of amazon.nova-pro-v1:0 is known; there are: apac, eu, us",
        ),
        (
            "anthropic.claude-v2:1",
            vec![UnknownModel],
            "no model anthropic.claude-v2:1 is known: mistyped, long gone, or newer than the data",
        ),
        ("us.anthropic.claude-sonnet-9", vec![UnknownModel], ""),
    ] {
        assert_judged(text, Given::default(), &expected, says);
    }
}

#[test]
fn a_region_tells_what_can_be_called() {
    use Verdict::*;
    for (text, from, expected, says) in [
        ("eu.amazon.nova-lite-v1:0", "eu-west-1", vec![HardCoded], ""),
        (
            "us.amazon.nova-lite-v1:0",
            "eu-west-1",
            vec![WrongGeography],
            "us.amazon.nova-lite-v1:0 can't be called from eu-west-1, only from ",
        ),
        (
            "us.meta.llama4-maverick-17b-instruct-v1:0",
            "eu-west-1",
            vec![WrongGeography],
            "eu-west-1 has no profile of meta.llama4-maverick-17b-instruct-v1:0",
        ),
        (
            "jp.amazon.nova-2-lite-v1:0",
            "eu-west-9",
            vec![WrongGeography],
            "eu-west-9 has no profile of",
        ),
        ("amazon.nova-lite-v1:0", "us-east-1", vec![HardCoded], ""),
        (
            "amazon.nova-lite-v1:0",
            "eu-west-1",
            vec![ProfileOnlyModel],
            "is not on demand in eu-west-1: call it through eu.amazon.nova-lite-v1:0",
        ),
        (
            "amazon.titan-embed-text-v1",
            "eu-west-1",
            vec![WrongGeography],
            "can't be called from eu-west-1; it can from ap-northeast-1, eu-central-1, us-east-1, us-west-2",
        ),
    ] {
        let given = Given {
            region: Some(from),
            ..Given::default()
        };
        assert_judged(text, given, &expected, says);
    }
}

#[test]
fn an_arn_has_a_region_of_its_own() {
    use Verdict::*;
    for (rest, expected, says) in [
        (
            "us-east-1:111122223333:inference-profile/us.amazon.nova-lite-v1:0",
            vec![HardCoded],
            "",
        ),
        (
            "eu-west-1:111122223333:inference-profile/us.amazon.nova-lite-v1:0",
            vec![WrongGeography],
            "can't be called from eu-west-1",
        ),
        // In a policy, the ARN of a model that only profiles call is right.
        (
            "eu-west-1::foundation-model/amazon.nova-lite-v1:0",
            vec![HardCoded],
            "",
        ),
        (
            "::foundation-model/anthropic.claude-sonnet-5-5",
            vec![HardCoded],
            "",
        ),
        (
            "*::foundation-model/anthropic.claude-sonnet-5-5",
            vec![HardCoded],
            "",
        ),
        (
            "${var.region}::foundation-model/anthropic.claude-sonnet-5-5",
            vec![HardCoded],
            "",
        ),
        // A policy for any region is right where the profile is anywhere.
        (
            "*:*:inference-profile/us.amazon.nova-lite-v1:0",
            vec![HardCoded],
            "",
        ),
        (
            "us-east-1:${local.account}:inference-profile/us.amazon.nova-lite-v1:0",
            vec![HardCoded],
            "",
        ),
        (
            "eu-west-1:${local.account}:inference-profile/us.amazon.nova-lite-v1:0",
            vec![WrongGeography],
            "can't be called from eu-west-1",
        ),
        (
            "${var.region}:${local.account}:inference-profile/us.amazon.nova-lite-v1:0",
            vec![WrongGeography],
            "can't be called from ap-northeast-1",
        ),
        (
            "us-east-1::foundation-model/amazon.nova-reel-v1:1",
            vec![Gone],
            "ended on 2026-09-30",
        ),
        (
            "eu-west-1:111122223333:application-inference-profile/abc",
            vec![HardCoded],
            "",
        ),
    ] {
        let given = Given {
            region: Some("ap-northeast-1"),
            ..Given::default()
        };
        assert_judged(&format!("{ARN}{rest}"), given, &expected, says);
    }
}

#[test]
fn limits_and_geographies() {
    use Verdict::*;
    let eu: &[&str] = &["@eu"];
    for (text, from, limit, geographies, expected, says) in [
        (
            "eu.amazon.nova-lite-v1:0",
            None,
            eu,
            [].as_slice(),
            vec![HardCoded],
            "",
        ),
        (
            "us.amazon.nova-lite-v1:0",
            None,
            eu,
            &[],
            vec![OutsideLimit],
            "not allowed by",
        ),
        (
            "global.anthropic.claude-sonnet-5-5",
            Some("eu-west-1"),
            eu,
            &[],
            vec![OutsideLimit],
            "any commercial region",
        ),
        // From London, eu. leads out of the EU at its source.
        (
            "eu.anthropic.claude-sonnet-5-5",
            Some("eu-west-2"),
            eu,
            &[],
            vec![OutsideLimit],
            "eu-west-2",
        ),
        (
            "amazon.nova-lite-v1:0",
            Some("us-east-1"),
            eu,
            &[],
            vec![OutsideLimit],
            "us-east-1",
        ),
        (
            "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc",
            None,
            eu,
            &[],
            vec![OutsideLimit],
            "it is called from us-east-1, which is not allowed",
        ),
        (
            "us.amazon.nova-lite-v1:0",
            None,
            &[],
            &["eu", "global"],
            vec![WrongGeography],
            "the geography is us, and --geography asks for eu or global",
        ),
        (
            "us.amazon.nova-lite-v1:0",
            Some("us-east-1"),
            eu,
            &["eu"],
            vec![OutsideLimit, WrongGeography],
            "",
        ),
        (
            "eu.amazon.nova-lite-v1:0",
            None,
            &[],
            &["eu"],
            vec![HardCoded],
            "",
        ),
    ] {
        let given = Given {
            region: from,
            limit,
            geographies,
            ..Given::default()
        };
        assert_judged(text, given, &expected, says);
    }
}

#[test]
fn a_life_is_judged_on_the_day_and_by_the_longest() {
    use Verdict::*;
    let sonnet = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
    for (day, expected) in [
        (date(2026, 10, 8), Legacy),
        (date(2027, 1, 8), Legacy),
        (date(2027, 3, 8), Legacy),
        (date(2027, 3, 9), EndOfLife),
        (date(2027, 4, 7), EndOfLife),
        (date(2027, 4, 8), Gone),
    ] {
        for from in [None, Some("eu-west-1")] {
            let judged = judged(
                sonnet,
                Given {
                    region: from,
                    day: Some(day),
                    ..Given::default()
                },
            );
            assert_eq!(verdicts(&judged), [expected], "{day} {from:?}: {judged:#?}");
            assert_eq!(judged.end_of_life, Some(date(2027, 4, 8)));
        }
    }
}

#[test]
fn a_listing_is_believed() {
    use Verdict::*;
    let from = region("eu-west-1");
    let listing = |kind, profiles| Catalog::new(kind, from.clone(), None, None, profiles);
    let given = |catalog| Given {
        region: Some("eu-west-1"),
        catalog: Some(catalog),
        ..Given::default()
    };
    let text = "eu.amazon.nova-lite-v1:0";
    let empty = listing(SourceKind::Bedrock, Vec::new());
    assert_judged(
        text,
        given(empty),
        &[Gone],
        "was listed in eu-west-1 on 2026-10-27, and the bedrock catalog does not have it",
    );
    // A geography that is newer than the data.
    let profile = Arc::new(Profile {
        id: "mx.amazon.nova-lite-v1:0".parse().expect("a profile"),
        name: "MX".to_owned(),
        model: "amazon.nova-lite-v1:0".parse().expect("a model"),
        geography: "mx".parse().expect("a geography"),
        destinations: Destinations::regions(vec![from.clone()]),
    });
    let new = listing(SourceKind::Directory, vec![profile]);
    assert_judged("mx.amazon.nova-lite-v1:0", given(new), &[HardCoded], "");
    assert_judged(
        "mx.amazon.nova-lite-v1:0",
        Given::default(),
        &[UnknownPrefix],
        "mx is not a geography of Bedrock",
    );
}
