//! Verdicts: what limits say about a route.

use std::fmt;

use super::limit::{LimitError, LimitOrigin, LimitOrigins, Limits};
use crate::{
    api::names,
    catalog::{Catalog, Profile, embedded::Embedded},
    route::{Destinations, Route},
    types::Region,
};

impl Limits {
    /// Judges a route by all limits. The listing that it comes from says where it leads: embedded data that have other
    /// destinations are shown in the message, and forbid nothing.
    #[must_use]
    pub fn judge(&self, route: &Route, embedded: &Embedded) -> Judgement {
        self.judge_reaching(route, route.destinations.clone(), embedded)
    }

    /// Judges a route that was written, and that the catalog may list by now with other destinations: both count.
    #[must_use]
    pub fn judge_written(
        &self,
        written: &Route,
        catalog: Option<&Catalog>,
        embedded: &Embedded,
    ) -> Judgement {
        let listed = catalog
            .filter(|catalog| *catalog.source_region() == written.source_region)
            .and_then(|catalog| {
                let profiles = catalog.profiles_of(&written.model).iter();
                let mut same = profiles.filter(|it| Some(&it.id) == written.profile());
                same.next()
            });
        let reachable = match (&written.destinations, listed.map(|it| &it.destinations)) {
            (Destinations::Regions(written), Some(Destinations::Regions(listed))) => {
                Destinations::regions(written.iter().chain(listed.iter()).cloned().collect())
            }
            (_, Some(Destinations::Anywhere)) => Destinations::Anywhere,
            (written, _) => written.clone(),
        };
        self.judge_reaching(written, reachable, embedded)
    }

    fn judge_reaching(
        &self,
        route: &Route,
        reachable: Destinations,
        embedded: &Embedded,
    ) -> Judgement {
        let known = route
            .profile()
            .and_then(|profile| embedded.destinations(profile, &route.source_region))
            .filter(|known| are_other_regions(&route.destinations, known));
        let verdict = self.verdict(&route.source_region, &reachable);
        Judgement {
            forbidden_by: forbidding(&verdict),
            verdict,
            source_region: route.source_region.clone(),
            reachable,
            contradiction: known.map(|known| Contradiction {
                destinations: known.clone(),
                as_of: embedded.as_of(),
            }),
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

/// Returns who set the limit that leads to a verdict against a route.
fn forbidding(verdict: &Verdict) -> LimitOrigins {
    let origin = match verdict {
        Verdict::RegionNotAllowed { origin, .. } => Some(*origin),
        Verdict::LimitInvalid(error) => Some(error.origin()),
        Verdict::LimitUnknown => Some(LimitOrigin::Namespace),
        Verdict::AllRegionsAllowed | Verdict::NoLimitSet | Verdict::LimitMissing => None,
    };
    origin.into_iter().collect()
}

/// Says whether the embedded data have other destinations than a listing. The destinations of a geographic profile never
/// change, so then one of the two is wrong.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>
fn are_other_regions(listed: &Destinations, known: &Destinations) -> bool {
    matches!((listed, known), (Destinations::Regions(listed), Destinations::Regions(known)) if listed != known)
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
            let known = embedded.destinations(&profile.id, source);
            known.is_some_and(|known| are_other_regions(&profile.destinations, known))
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
    /// Who set the limit that does not allow it. None where all do.
    pub forbidden_by: LimitOrigins,
    /// The source region of the route.
    pub source_region: Region,
    /// Every region that counts.
    pub reachable: Destinations,
    /// What the embedded data have, if it is something else.
    contradiction: Option<Contradiction>,
}

/// Other destinations in the embedded data. They are shown, and do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Contradiction {
    destinations: Destinations,
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
        match &self.contradiction {
            Some(Contradiction {
                destinations,
                as_of,
            }) => format!(
                "{message}; other destinations, which do not count: {} (by the embedded data of {as_of})",
                destinations.names().join(", ")
            ),
            None => message,
        }
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

    /// A profile that the embedded data have, and its destinations there.
    const KNOWN: &str = "eu.amazon.nova-lite-v1:0";

    fn known() -> Destinations {
        let (embedded, id) = (Embedded::load(), KNOWN.parse().expect("an ID"));
        let known = embedded.destinations(&id, &region("eu-west-1"));
        known.expect("a route").clone()
    }

    /// Returns the route of a profile from eu-west-1, as a listing has it.
    fn listed_as(id: &str, destinations: &Destinations) -> Route {
        let model: ModelId = id["eu.".len()..].parse().expect("a model");
        Route {
            invocation: Invocation::Profile {
                id: id.parse().expect("an ID"),
                geography: "eu".parse().expect("a geography"),
            },
            model,
            source_region: region("eu-west-1"),
            destinations: destinations.clone(),
        }
    }

    #[test]
    fn a_listing_counts_and_embedded_data_that_contradict_it_are_shown() {
        let embedded = Embedded::load();
        let fewer = route(&["eu-west-1"]);
        let more = route(&["eu-west-1", "il-central-1"]);
        let says = "(by the embedded data of ";
        for (id, listed, limit, permits, shown) in [
            (KNOWN, &known(), "@eu", true, false),
            (KNOWN, &known(), "eu-west-1", false, false),
            // The embedded data have regions outside of the limit, and the listing has not.
            (KNOWN, &fewer, "eu-west-1", true, true),
            (KNOWN, &more, "@eu", false, true),
            (KNOWN, &Destinations::Anywhere, "*", true, false),
            ("eu.example.new-v1:0", &fewer, "eu-west-1", true, false),
        ] {
            let route = listed_as(id, listed);
            let judgement = limits(&[limit]).judge(&route, embedded);
            let message = judgement.message();
            assert_eq!(judgement.reachable, *listed, "{message}");
            assert_eq!(judgement.permits(), permits, "{message}");
            assert_eq!(message.contains(says), shown, "{message}");
        }
    }

    #[test]
    fn what_was_written_counts_beside_what_is_listed_now() {
        let embedded = Embedded::load();
        let catalog = |source: &str, listed: &Destinations| {
            let route = listed_as(KNOWN, listed);
            let profile = Profile {
                id: KNOWN.parse().expect("an ID"),
                name: "Nova Lite".into(),
                model: route.model,
                geography: "eu".parse().expect("a geography"),
                destinations: route.destinations,
            };
            let kind = crate::catalog::SourceKind::Bedrock;
            Catalog::new(kind, region(source), None, None, vec![profile.into()])
        };
        let (near, far) = (route(&["eu-west-1"]), route(&["eu-west-1", "eu-west-2"]));
        for (written, source, listed, permits) in [
            (&near, "eu-west-1", &near, true),
            (&near, "eu-west-1", &far, false),
            (&far, "eu-west-1", &near, false),
            (&near, "eu-west-1", &Destinations::Anywhere, false),
            (&near, "eu-west-3", &far, true),
        ] {
            let catalog = catalog(source, listed);
            let written = listed_as(KNOWN, written);
            let judgement = limits(&["@eu"]).judge_written(&written, Some(&catalog), embedded);
            assert_eq!(
                judgement.permits(),
                permits,
                "{written:?} {source} {listed:?}"
            );
        }
        let alone = limits(&["@eu"]).judge_written(&listed_as(KNOWN, &near), None, embedded);
        assert!(alone.permits());
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
