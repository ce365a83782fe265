use std::sync::Arc;

use jiff::civil::date;

use super::*;
use crate::{
    catalog::embedded::Embedded,
    residency::{Limit, LimitOrigin, Limits},
    scan::{Bounds, Finder, judge},
};

/// Returns the bindings for a text, and what has none.
fn suggested(
    text: &str,
    from: Option<&str>,
    geographies: &[&str],
    limit: &[&str],
) -> (Vec<Suggested>, BTreeMap<String, String>) {
    let embedded = Embedded::load();
    let finder = Finder::new(embedded, []).expect("a finder");
    let found = finder.find(text.as_bytes(), Bounds { findings: 99 });
    let region: Option<Region> = from.map(|name| name.parse().expect(name));
    let regions = found
        .mentions
        .iter()
        .filter_map(|it| it.reference.arn_region());
    let catalogs = regions
        .chain(&region)
        .map(|region| (region.clone(), Arc::new(embedded.catalog(region))))
        .collect();
    let geographies: Vec<Geography> = geographies
        .iter()
        .map(|name| name.parse().expect("a geography"))
        .collect();
    let limit = (!limit.is_empty()).then(|| Limit::parse(LimitOrigin::Operator, limit));
    let scene = Scene {
        embedded,
        catalogs: &catalogs,
        region: region.as_ref(),
        geographies: &geographies,
        limits: &Limits::all(limit),
        day: date(2026, 11, 28),
    };
    let judged: Vec<(&str, &Reference, Judged)> = found
        .mentions
        .iter()
        .map(|it| {
            (
                it.text.as_str(),
                &it.reference,
                judge(&it.reference, &scene),
            )
        })
        .collect();
    suggest(
        judged
            .iter()
            .map(|(text, reference, judged)| (*text, *reference, judged)),
        &scene,
    )
}

#[test]
fn a_binding_that_serves_takes_the_place_of_each() {
    for (text, from, geographies, limit, expected) in [
        // What works stays what it is.
        (
            "eu.amazon.nova-lite-v1:0",
            Some("eu-west-1"),
            [].as_slice(),
            [].as_slice(),
            "nova-lite-v1-0-eu: amazon.nova-lite-v1:0 eu eu-west-1",
        ),
        (
            "eu.amazon.nova-lite-v1:0",
            None,
            &[],
            &[],
            "nova-lite-v1-0-eu: amazon.nova-lite-v1:0 eu -",
        ),
        (
            "global.anthropic.claude-sonnet-5-5",
            Some("eu-west-1"),
            &[],
            &[],
            "claude-sonnet-5-5-global: anthropic.claude-sonnet-5-5 global eu-west-1",
        ),
        // Another prefix is corrected, never to global.
        (
            "us.amazon.nova-lite-v1:0",
            Some("eu-west-1"),
            &[],
            &[],
            "nova-lite-v1-0-eu: amazon.nova-lite-v1:0 eu eu-west-1",
        ),
        (
            "ap.amazon.nova-lite-v1:0",
            Some("ap-northeast-1"),
            &[],
            &[],
            "nova-lite-v1-0-apac: amazon.nova-lite-v1:0 apac ap-northeast-1",
        ),
        (
            "global.anthropic.claude-sonnet-5-5",
            Some("eu-west-1"),
            &[],
            &["@eu"],
            "claude-sonnet-5-5-eu: anthropic.claude-sonnet-5-5 eu eu-west-1",
        ),
        (
            "us.anthropic.claude-sonnet-5-5",
            Some("eu-west-1"),
            &["global"],
            &[],
            "claude-sonnet-5-5-global: anthropic.claude-sonnet-5-5 global eu-west-1",
        ),
        // A bare model gets the profile of the region.
        (
            "anthropic.claude-sonnet-5-5",
            Some("eu-west-1"),
            &[],
            &[],
            "claude-sonnet-5-5-eu: anthropic.claude-sonnet-5-5 eu eu-west-1",
        ),
        (
            "anthropic.claude-sonnet-5-5",
            None,
            &["eu"],
            &[],
            "claude-sonnet-5-5-eu: anthropic.claude-sonnet-5-5 eu -",
        ),
        (
            "amazon.titan-embed-text-v2:0",
            Some("eu-west-1"),
            &[],
            &[],
            "titan-embed-text-v2-0-eu: amazon.titan-embed-text-v2:0 eu eu-west-1 on-demand",
        ),
        // The region of an ARN is its own.
        (
            "arn:aws:bedrock:eu-west-3:111122223333:inference-profile/eu.amazon.nova-lite-v1:0",
            Some("us-east-1"),
            &[],
            &[],
            "nova-lite-v1-0-eu: amazon.nova-lite-v1:0 eu eu-west-3",
        ),
    ] {
        let (bindings, without) = suggested(text, from, geographies, limit);
        let bindings: Vec<String> = bindings
            .iter()
            .map(|binding| {
                let region = binding.source_region.as_ref().map_or("-", Region::as_str);
                let on_demand = if binding.on_demand { " on-demand" } else { "" };
                let Suggested {
                    name,
                    model,
                    geography,
                    ..
                } = binding;
                format!("{name}: {model} {geography} {region}{on_demand}")
            })
            .collect();
        assert_eq!(bindings, [expected], "{text}: {without:?}");
    }
}

#[test]
fn what_is_gone_is_replaced_by_a_successor() {
    let (bindings, without) = suggested(
        "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
        Some("us-east-1"),
        &[],
        &[],
    );
    let [binding] = bindings.as_slice() else {
        panic!("{bindings:?} {without:?}")
    };
    assert_eq!(binding.model.provider(), "anthropic");
    assert!(
        binding.model.as_str().contains("sonnet"),
        "{}",
        binding.model
    );
    let changes: Vec<&String> = binding.changes.iter().collect();
    assert!(
        changes[0].ends_with(
            "takes the place of anthropic.claude-3-5-sonnet-20240620-v1:0: try it first"
        ),
        "{changes:?}"
    );
}

#[test]
fn where_there_is_no_binding_it_is_said_why() {
    for (text, from, says) in [
        (
            "anthropic.claude-sonnet-5-5",
            None,
            "give --region, or --geography",
        ),
        (
            "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
            None,
            "give --region",
        ),
        (
            "anthropic.claude-v2:1",
            Some("us-east-1"),
            "no model anthropic.claude-v2:1 is known",
        ),
        (
            "us.meta.llama4-maverick-17b-instruct-v1:0",
            Some("eu-west-1"),
            "nothing that is allowed can be called",
        ),
        (
            "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc",
            None,
            "its ARN does not tell the model",
        ),
    ] {
        let (bindings, without) = suggested(text, from, &[], &[]);
        assert_eq!(bindings, [], "{text}");
        let why = without.get(text).expect(text);
        assert!(why.contains(says), "{text}: {why}");
    }
}

#[test]
fn there_is_one_binding_for_a_model_and_geography_and_each_has_a_name_of_its_own() {
    let (bindings, _) = suggested(
        "eu.amazon.nova-lite-v1:0 us.amazon.nova-lite-v1:0 amazon.nova-lite-v1:0 eu.amazon.nova-pro-v1:0 \
         arn:aws:bedrock:eu-west-3:111122223333:inference-profile/eu.amazon.nova-lite-v1:0",
        Some("eu-west-1"),
        &[],
        &[],
    );
    let names: Vec<(&str, usize)> = bindings
        .iter()
        .map(|binding| (binding.name.as_str(), binding.replaces.len()))
        .collect();
    assert_eq!(
        names,
        [
            ("nova-lite-v1-0-eu-eu-west-1", 3),
            ("nova-lite-v1-0-eu-eu-west-3", 1),
            ("nova-pro-v1-0-eu", 1),
        ]
    );
}
