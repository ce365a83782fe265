//! Limits against every route that the embedded data have, and against an independent model.

use std::{collections::BTreeSet, fs, sync::LazyLock};

use inference_profile_operator::{
    catalog::{Catalog, Profile, embedded::Embedded},
    residency::{Limit, LimitOrigin, Limits, Outside, Verdict, sets::SETS},
    resolve::{Context, Request, resolve},
    route::Destinations,
    types::Region,
};
use proptest::{prelude::*, sample::select};

/// A region that no route reaches, so that no limit here is empty.
const NOWHERE: &str = "xx-nowhere-1";

/// Returns what the limit of a binding says of the profile that its request gets.
fn verdict(catalog: &Catalog, profile: &Profile, allowed: &[&str]) -> Verdict {
    let source = catalog.source_region();
    let request = Request {
        on_demand: false,
        model: profile.model.clone(),
        geography: profile.geography.clone(),
        fallback_models: Vec::new(),
        fallbacks: Vec::new(),
        source_region: source.clone(),
        application: None,
    };
    let limits = Limits::all([Limit::parse(LimitOrigin::Binding, allowed)]);
    let context = Context {
        catalog,
        limits: &limits,
        embedded: Embedded::load(),
        // No life of a listed model has ended on this day.
        day: jiff::civil::date(2026, 8, 1),
    };
    let found = resolve(&request, &context).expect("it is listed");
    assert_eq!(found.route.id(), profile.id.as_str());
    found.judgement.verdict
}

#[test]
fn every_route_is_satisfied_by_its_own_regions_and_by_no_fewer() {
    let (mut routes, mut omissions) = (0, 0);
    let everywhere: BTreeSet<&str> = REGIONS.iter().map(Region::as_str).collect();
    for source in Embedded::load().source_regions() {
        let catalog = Embedded::load().catalog(source);
        for profile in catalog.profiles() {
            routes += 1;
            let what = format!("{} from {source}", profile.id);
            let regions = match &profile.destinations {
                Destinations::Regions(regions) => regions,
                Destinations::Anywhere => {
                    let all: Vec<&str> = everywhere.iter().copied().collect();
                    let outside = Outside::AnyRegion;
                    let origin = LimitOrigin::Binding;
                    let broken = Verdict::RegionNotAllowed { origin, outside };
                    assert_eq!(verdict(&catalog, profile, &all), broken, "{what}");
                    let border = verdict(&catalog, profile, &["*"]);
                    assert_eq!(border, Verdict::AllRegionsAllowed, "{what}");
                    continue;
                }
            };
            let reached: BTreeSet<&str> =
                regions.iter().chain([source]).map(Region::as_str).collect();
            let allowed = |omitted: Option<&str>| -> Vec<&str> {
                let kept = reached.iter().copied();
                kept.filter(|name| Some(*name) != omitted)
                    .chain([NOWHERE])
                    .collect()
            };
            let whole = verdict(&catalog, profile, &allowed(None));
            assert_eq!(whole, Verdict::AllRegionsAllowed, "{what}");
            for omitted in &reached {
                omissions += 1;
                let outside = Outside::Regions(vec![omitted.parse().expect("a region")]);
                let origin = LimitOrigin::Binding;
                assert_eq!(
                    verdict(&catalog, profile, &allowed(Some(omitted))),
                    Verdict::RegionNotAllowed { origin, outside },
                    "{what} without {omitted}"
                );
            }
        }
    }
    assert_eq!(routes, routes_in_the_file(), "as many as the data have");
    assert!(omissions > routes, "{omissions}");
}

/// Counts the routes in the data file, a source region of a profile each, without the parser of the program.
fn routes_in_the_file() -> usize {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/catalog/embedded/profiles.txt"
    );
    let text = fs::read_to_string(path).expect("the data file");
    let profiles = text.lines().filter(|line| line.starts_with("current "));
    // ID | MODEL | NAME | DESTINATIONS: SOURCE-REGION...; DESTINATIONS: ...
    let routes = profiles.flat_map(|line| line.rsplit('|').next().expect("routes").split(';'));
    let sources = routes.map(|route| route.split_once(':').expect("sources").1);
    sources
        .map(|regions| regions.split_whitespace().count())
        .sum()
}

/// Every region that is a source or a destination.
static REGIONS: LazyLock<Vec<Region>> = LazyLock::new(|| {
    let data = Embedded::load();
    let mut all: BTreeSet<Region> = data.source_regions().cloned().collect();
    for source in data.source_regions() {
        for profile in data.catalog(source).profiles() {
            if let Destinations::Regions(regions) = &profile.destinations {
                all.extend(regions.iter().cloned());
            }
        }
    }
    all.into_iter().collect()
});

/// Says whether a pattern matches, by a table of prefixes.
fn glob(pattern: &str, text: &str) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for character in pattern.bytes() {
        let before = reached.clone();
        for end in 0..=text.len() {
            reached[end] = if character == b'*' {
                before[..=end].contains(&true)
            } else {
                end > 0 && before[end - 1] && text.as_bytes()[end - 1] == character
            };
        }
    }
    reached[text.len()]
}

/// Says whether an entry allows a region: names and patterns are globs, a set is what stands in it.
fn allows(entry: &str, region: &str) -> bool {
    match SETS.iter().find(|set| set.name == entry) {
        Some(set) => set.regions.contains(&region),
        None => glob(entry, region),
    }
}

fn entry() -> impl Strategy<Value = String> {
    let name = select(REGIONS.as_slice()).prop_map(|region| region.to_string());
    // A part of a name, or two, replaced by a star; the first letter stays.
    let pattern = (name.clone(), 1..12_usize, 0..12_usize, any::<bool>()).prop_map(
        |(name, start, length, also_last)| {
            let start = start.min(name.len());
            let end = (start + length).min(name.len());
            let mut pattern = format!("{}*{}", &name[..start], &name[end..]);
            if also_last && !pattern.ends_with('*') {
                pattern.pop();
                pattern.push('*');
            }
            pattern
        },
    );
    let set = (0..SETS.len()).prop_map(|index| SETS[index].name.to_owned());
    prop_oneof![
        4 => name,
        4 => pattern,
        4 => set,
        1 => Just("*".to_owned()),
    ]
}

fn limits() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec(entry(), 1..6), 0..4)
}

fn destinations() -> impl Strategy<Value = Destinations> {
    let regions = prop::collection::vec(select(REGIONS.as_slice()), 1..8);
    prop_oneof![
        8 => regions.prop_map(Destinations::regions),
        1 => Just(Destinations::Anywhere),
    ]
}

const ORIGINS: [LimitOrigin; 3] = [
    LimitOrigin::Binding,
    LimitOrigin::Namespace,
    LimitOrigin::Operator,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn limits_agree_with_a_naive_model(
        given in limits(),
        source in select(REGIONS.as_slice()),
        destinations in destinations(),
    ) {
        let parsed = given.iter().zip(ORIGINS).map(|(entries, origin)| Limit::parse(origin, entries));
        let verdict = Limits::all(parsed).verdict(&source, &destinations);
        let outside = |entries: &Vec<String>| -> BTreeSet<String> {
            let reached: Vec<&Region> = match &destinations {
                Destinations::Regions(regions) => regions.iter().chain([&source]).collect(),
                Destinations::Anywhere if entries.contains(&"*".to_owned()) => Vec::new(),
                Destinations::Anywhere => return BTreeSet::from(["anywhere".to_owned()]),
            };
            let names = reached.into_iter().map(Region::to_string);
            names.filter(|name| !entries.iter().any(|entry| allows(entry, name))).collect()
        };
        let broken = given.iter().zip(ORIGINS).map(|(entries, origin)| (origin, outside(entries)));
        match broken.into_iter().find(|(_, outside)| !outside.is_empty()) {
            None if given.is_empty() => prop_assert_eq!(verdict, Verdict::NoLimitSet),
            None => prop_assert_eq!(verdict, Verdict::AllRegionsAllowed),
            Some((expected_origin, expected)) => {
                let Verdict::RegionNotAllowed { origin, outside } = verdict else {
                    return Err(TestCaseError::fail(format!("{verdict:?}, but outside is {expected:?}")));
                };
                prop_assert_eq!(origin, expected_origin);
                let outside: BTreeSet<String> = match outside {
                    Outside::AnyRegion => BTreeSet::from(["anywhere".to_owned()]),
                    Outside::Regions(regions) => regions.iter().map(Region::to_string).collect(),
                };
                prop_assert_eq!(outside, expected);
            }
        }
    }
}
