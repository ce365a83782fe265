//! Verdicts: what limits say about a route.

use std::fmt;

use super::limit::{LimitError, LimitOrigin, Limits};
use crate::{
    api::names,
    catalog::{Catalog, Profile, embedded::Embedded},
    route::{Destinations, Route},
    types::Region,
};

impl Limits {
    /// Judges a route and every region that it is known to reach by all limits.
    #[must_use]
    pub fn judge(&self, route: &Route, embedded: &Embedded) -> Judgement {
        let reachable = reachable(route, embedded);
        let unlisted = match (&route.destinations, &reachable) {
            (Destinations::Regions(listed), Destinations::Regions(all)) => all
                .iter()
                .filter(|region| !listed.contains(region))
                .cloned()
                .collect(),
            _ => Vec::new(),
        };
        Judgement {
            unlisted,
            as_of: embedded.as_of(),
            verdict: self.verdict(&route.source_region, &reachable),
            source_region: route.source_region.clone(),
            reachable,
        }
    }

    /// Returns what all limits together say about a source region and destinations.
    #[must_use]
    pub fn verdict(&self, source: &Region, destinations: &Destinations) -> Verdict {
        if let Some(error) = self.set.iter().find_map(|limit| limit.as_ref().err()) {
            return Verdict::LimitInvalid(error.clone());
        }
        let broken = self.set.iter().flatten().find_map(|limit| {
            let regions = match destinations {
                Destinations::Anywhere if limit.allows_anywhere() => return None,
                Destinations::Anywhere => return Some((limit.origin(), Outside::AnyRegion)),
                Destinations::Regions(regions) => regions,
            };
            let outside: Vec<Region> = std::iter::once(source)
                .chain(regions.iter().filter(|region| *region != source))
                .filter(|region| !limit.allows(region))
                .cloned()
                .collect();
            (!outside.is_empty()).then_some((limit.origin(), Outside::Regions(outside)))
        });
        match broken {
            Some((origin, outside)) => Verdict::RegionNotAllowed { origin, outside },
            None if self.unknown => Verdict::LimitUnknown,
            None if !self.set.is_empty() => Verdict::AllRegionsAllowed,
            None if self.required => Verdict::LimitMissing,
            None => Verdict::NoLimitSet,
        }
    }
}

/// Returns every region that is known to serve requests: those that are listed, and those in the embedded data.
///
/// The destinations of a geographic profile never change, so if the two differ, one of them is wrong. A limit must hold for
/// both.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>
fn reachable(route: &Route, embedded: &Embedded) -> Destinations {
    let listed = &route.destinations;
    let known = route
        .profile()
        .and_then(|profile| embedded.destinations(profile, &route.source_region));
    match (listed, known) {
        (Destinations::Regions(listed), Some(Destinations::Regions(known))) if listed != known => {
            Destinations::regions(listed.iter().chain(known.iter()).cloned().collect())
        }
        _ => listed.clone(),
    }
}

/// Returns the profiles whose listed destinations differ from those of the embedded data.
pub fn contradictions<'a>(
    catalog: &'a Catalog,
    embedded: &'a Embedded,
) -> impl Iterator<Item = &'a Profile> {
    let source = catalog.source_region();
    catalog
        .profiles()
        .iter()
        .map(AsRef::as_ref)
        .filter(|profile| {
            match (
                &profile.destinations,
                embedded.destinations(&profile.id, source),
            ) {
                (Destinations::Regions(listed), Some(Destinations::Regions(known))) => {
                    listed != known
                }
                _ => false,
            }
        })
}

/// What lies outside a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outside {
    /// These regions.
    Regions(Vec<Region>),
    /// A global profile may run in any commercial region.
    AnyRegion,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regions(regions) => f.write_str(
                &regions
                    .iter()
                    .map(Region::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
            Self::AnyRegion => {
                f.write_str("any commercial region (a global profile; only the limit * allows it)")
            }
        }
    }
}

/// What the limits say about a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No limit is set, so nothing is assured.
    NoLimitSet,
    /// All limits allow every region.
    AllRegionsAllowed,
    /// A region is outside a limit.
    RegionNotAllowed {
        /// Who set the limit.
        origin: LimitOrigin,
        /// What is outside it.
        outside: Outside,
    },
    /// A limit is malformed, so nothing is allowed.
    LimitInvalid(LimitError),
    /// No limit is set, and one is required.
    LimitMissing,
    /// A limit can't be read, and all others hold.
    LimitUnknown,
}

impl Verdict {
    /// Returns whether a value may be published.
    #[must_use]
    pub fn permits(&self) -> bool {
        matches!(self, Self::NoLimitSet | Self::AllRegionsAllowed)
    }

    /// Returns whether a written value must be withdrawn. Not knowing withdraws nothing.
    #[must_use]
    pub fn forbids(&self) -> bool {
        !self.permits() && *self != Self::LimitUnknown
    }

    /// Returns the verdict in words, for the route that it is about.
    fn message(&self, source: &Region, destinations: &Destinations) -> String {
        let served = match destinations {
            Destinations::Anywhere => "any commercial region".to_owned(),
            Destinations::Regions(_) => destinations.names().join(", "),
        };
        match self {
            Self::NoLimitSet => {
                format!(
                    "no limit is set, so nothing is assured: called from {source}, requests may be served in {served}"
                )
            }
            Self::AllRegionsAllowed => format!(
                "every region is allowed: source {source}, destinations {served}; valid only when called from {source}"
            ),
            Self::RegionNotAllowed { origin, outside } => format!(
                "not allowed by {origin}: {outside}; called from {source}, requests may be served in {served}; choose another geography, or widen the limit"
            ),
            Self::LimitInvalid(error) => error.to_string(),
            Self::LimitMissing => format!(
                "no limit is set, and this operator requires one (--require-residency): set spec.allowedRegions, or the annotation {} of the Namespace",
                names::ALLOWED_REGIONS_ANNOTATION
            ),
            Self::LimitUnknown => format!(
                "the Namespace can't be read, so its annotation {} is unknown: allow the operator's service account to get, list and watch it",
                names::ALLOWED_REGIONS_ANNOTATION
            ),
        }
    }
}

/// A verdict with the route that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The source region of the route.
    pub source_region: Region,
    /// Every region that is known to serve requests.
    pub reachable: Destinations,
    /// Those of them that the embedded data have and the listing does not.
    unlisted: Vec<Region>,
    /// The date of the embedded data, an RFC 3339 date.
    as_of: &'static str,
}

impl Judgement {
    /// Returns whether a value may be published.
    #[must_use]
    pub fn permits(&self) -> bool {
        self.verdict.permits()
    }

    /// Returns whether a written value must be withdrawn.
    #[must_use]
    pub fn forbids(&self) -> bool {
        self.verdict.forbids()
    }

    /// Returns the verdict in words.
    #[must_use]
    pub fn message(&self) -> String {
        let message = self.verdict.message(&self.source_region, &self.reachable);
        if self.unlisted.is_empty() {
            return message;
        }
        let unlisted: Vec<&str> = self.unlisted.iter().map(Region::as_str).collect();
        format!(
            "{message}; not in the listing: {} (by the embedded data of {})",
            unlisted.join(", "),
            self.as_of
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        residency::{Limit, NamespaceLimit},
        route::Invocation,
        types::ModelId,
    };

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    fn route(names: &[&str]) -> Destinations {
        Destinations::regions(names.iter().map(|name| region(name)).collect())
    }

    fn limits(binding: &[&str]) -> Limits {
        Limits::all([Limit::parse(LimitOrigin::Binding, binding)])
    }

    /// Limit, source region, destinations, what is outside.
    type Case<'a> = (&'a [&'a str], &'a str, &'a [&'a str], Option<&'a str>);

    #[test]
    fn routes_judged_by_one_limit() {
        let eu = &["eu-central-1", "eu-west-1"][..];
        let cases: &[Case<'_>] = &[
            (&["@eu"], "eu-west-1", eu, None),
            (&["@eea"], "eu-west-1", eu, None),
            (&["eu-*"], "eu-west-2", eu, None),
            (&["@eu"], "eu-west-2", eu, Some("eu-west-2")),
            (&["@eu", "@uk"], "eu-west-2", eu, None),
            (&["@eu"], "eu-central-2", eu, Some("eu-central-2")),
            (&["eu-west-1", "eu-central-1"], "eu-west-1", eu, None),
            (&["eu-west-1"], "eu-west-1", eu, Some("eu-central-1")),
            (&["eu-central-1"], "eu-west-1", eu, Some("eu-west-1")),
            (&["*"], "us-east-1", eu, None),
            (
                &["@us"],
                "ca-central-1",
                &["us-east-1", "ca-central-1"],
                Some("ca-central-1"),
            ),
            (
                &["us-gov-west-1"],
                "us-gov-east-1",
                &["us-gov-west-1"],
                Some("us-gov-east-1"),
            ),
        ];
        for (limit, source, destinations, outside) in cases {
            let verdict = limits(limit).verdict(&region(source), &route(destinations));
            match (outside, verdict) {
                (None, Verdict::AllRegionsAllowed) => {}
                (
                    Some(name),
                    Verdict::RegionNotAllowed {
                        outside,
                        origin: LimitOrigin::Binding,
                    },
                ) => {
                    assert_eq!(outside.to_string(), *name, "{limit:?} from {source}");
                }
                (_, verdict) => panic!("{limit:?} from {source}: {verdict:?}"),
            }
        }
    }

    #[test]
    fn only_a_star_satisfies_a_global_profile() {
        let source = region("eu-west-1");
        for limit in [&["@eu", "@us"][..], &["eu-*", "us-*", "ap-*"]] {
            assert!(
                !limits(limit)
                    .verdict(&source, &Destinations::Anywhere)
                    .permits(),
                "{limit:?}"
            );
        }
        assert!(
            limits(&["*"])
                .verdict(&source, &Destinations::Anywhere)
                .permits()
        );
        assert_eq!(
            Limits::default().verdict(&source, &Destinations::Anywhere),
            Verdict::NoLimitSet
        );
    }

    #[test]
    fn all_limits_must_hold() {
        let both = Limits::all([
            Limit::parse(LimitOrigin::Binding, &["*"]),
            Limit::parse(LimitOrigin::Operator, &["@eu"]),
        ]);
        assert_eq!(
            both.verdict(&region("us-east-1"), &route(&["us-east-1", "us-west-2"])),
            Verdict::RegionNotAllowed {
                origin: LimitOrigin::Operator,
                outside: Outside::Regions(vec![region("us-east-1"), region("us-west-2")]),
            }
        );
    }

    #[test]
    fn what_is_not_known_permits_nothing_and_forbids_nothing() {
        let (source, destinations) = (region("eu-west-1"), route(&["eu-west-1"]));
        let own = || Limits::all([Limit::parse(LimitOrigin::Binding, &["@eu"])]);
        let set = |text: &str| NamespaceLimit::of_annotation(Some(text));
        let cases = [
            (
                own().and_namespace(&NamespaceLimit::Unknown),
                "LimitUnknown",
                false,
                false,
            ),
            (
                own().and_namespace(&NamespaceLimit::Unset),
                "AllRegionsAllowed",
                true,
                false,
            ),
            (
                own().and_namespace(&set("eu-west-1, eu-west-3")),
                "AllRegionsAllowed",
                true,
                false,
            ),
            (
                own().and_namespace(&set("@us")),
                "RegionNotAllowed",
                false,
                true,
            ),
            (own().and_namespace(&set("")), "LimitInvalid", false, true),
            (
                own().and_namespace(&set("europe")),
                "LimitInvalid",
                false,
                true,
            ),
            // A known limit that is broken counts, whatever else is unknown.
            (
                Limits::all([Limit::parse(LimitOrigin::Binding, &["@us"])])
                    .and_namespace(&NamespaceLimit::Unknown),
                "RegionNotAllowed",
                false,
                true,
            ),
            (
                Limits::default().required(true),
                "LimitMissing",
                false,
                true,
            ),
            (own().required(true), "AllRegionsAllowed", true, false),
            (
                Limits::default()
                    .required(true)
                    .and_namespace(&NamespaceLimit::Unknown),
                "LimitUnknown",
                false,
                false,
            ),
        ];
        for (limits, expected, permits, forbids) in cases {
            let verdict = limits.verdict(&source, &destinations);
            let name = format!("{verdict:?}");
            assert!(name.starts_with(expected), "{expected}: {name}");
            assert_eq!(
                (verdict.permits(), verdict.forbids()),
                (permits, forbids),
                "{name}"
            );
        }
    }

    #[test]
    fn data_that_contradict_each_other_both_count() {
        let embedded = Embedded::load();
        let listed_as = |id: &str, destinations: &Destinations| {
            let model: ModelId = id["eu.".len()..].parse().expect("a model");
            let listed = Route {
                invocation: Invocation::Profile {
                    id: id.parse().expect("an ID"),
                    geography: "eu".parse().expect("a geography"),
                },
                model,
                source_region: region("eu-west-1"),
                destinations: destinations.clone(),
            };
            reachable(&listed, embedded)
        };
        let id = "eu.amazon.nova-lite-v1:0";
        let known = embedded
            .destinations(&id.parse().expect("an ID"), &region("eu-west-1"))
            .expect("a route");
        assert_eq!(listed_as(id, known), *known);
        let listed = route(&["eu-west-1", "il-central-1"]);
        let both = listed_as(id, &listed).names();
        assert!(both.contains(&"il-central-1".to_owned()));
        assert!(
            known.names().iter().all(|name| both.contains(name)),
            "{both:?}"
        );
        assert_eq!(listed_as("eu.example.new-v1:0", &listed), listed);
        let judged = limits(&["eu-west-1"]).judge(
            &Route {
                invocation: Invocation::Profile {
                    id: id.parse().expect("an ID"),
                    geography: "eu".parse().expect("a geography"),
                },
                model: "amazon.nova-lite-v1:0".parse().expect("a model"),
                source_region: region("eu-west-1"),
                destinations: route(&["eu-west-1", "eu-central-1"]),
            },
            embedded,
        );
        let message = judged.message();
        let marked = format!(
            "widen the limit; not in the listing: eu-north-1, eu-west-3 (by the embedded data of {})",
            embedded.as_of()
        );
        assert!(message.ends_with(&marked), "{message}");
        assert_eq!(
            listed_as(id, &Destinations::Anywhere),
            Destinations::Anywhere
        );
    }

    #[test]
    fn malformed_limits_fail_closed() {
        for bad in [
            "",
            "eu",
            "@nowhere",
            "EU-WEST-1",
            "eu-west-1,eu-west-3",
            "**",
            "eu west",
            "@eu*",
            "e*u*-*w*t*",
            "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee*",
        ] {
            let verdict = limits(&["*", bad]).verdict(&region("eu-west-1"), &route(&["eu-west-1"]));
            assert!(
                matches!(verdict, Verdict::LimitInvalid(_)),
                "{bad}: {verdict:?}"
            );
        }
        assert!(
            !limits(&[])
                .verdict(&region("eu-west-1"), &route(&["eu-west-1"]))
                .permits()
        );
    }

    #[test]
    fn an_annotation_has_bounds() {
        let list = |entries: usize| vec!["eu-west-1"; entries].join(",");
        let huge = 256 * 1024;
        for (annotation, refusal) in [
            ("e*u*w*1*".to_owned(), None),
            ("eu-****".to_owned(), None),
            (
                "@us,e*u*w*1**".to_owned(),
                Some(
                    "\"e*u*w*1**\" in the Namespace's annotation inferenceprofiles.dev/allowed-regions is not a valid limit: it has 5 stars (*), and at most 4 are allowed; leave some out, or list the regions",
                ),
            ),
            (list(64), None),
            (
                list(65),
                Some("allowed-regions has 65 entries, and at most 64 are allowed: use patterns"),
            ),
            ("e*,".repeat(huge / 3), Some("and at most 64 are allowed")),
            (
                "e".repeat(huge),
                Some(
                    "eee...\" in the Namespace's annotation inferenceprofiles.dev/allowed-regions is not a valid limit: expected",
                ),
            ),
            (
                "é*".repeat(huge / 3),
                Some("*...\" in the Namespace's annotation"),
            ),
            (
                format!("e{}", "*".repeat(huge - 1)),
                Some("a pattern with * (eu-*) of at most 32 characters"),
            ),
        ] {
            let limit = NamespaceLimit::of_annotation(Some(&annotation));
            let (source, destinations) = (region("eu-west-1"), route(&["eu-west-1"]));
            let verdict = Limits::default()
                .and_namespace(&limit)
                .verdict(&source, &destinations);
            let message = verdict.message(&source, &destinations);
            let Some(refusal) = refusal else {
                assert_eq!(verdict, Verdict::AllRegionsAllowed, "{message}");
                continue;
            };
            assert!(matches!(verdict, Verdict::LimitInvalid(_)), "{message}");
            assert!(verdict.forbids() && message.contains(refusal), "{message}");
            assert!(message.len() < 512, "{} bytes", message.len());
        }
    }
}
