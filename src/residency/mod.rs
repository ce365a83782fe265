//! Residency: whether every region that a request can reach is one that the limits allow.
//!
//! The regions that matter are the source region and every destination from that source. All limits must hold; a
//! malformed one fails closed. A global profile can run in any commercial region, so only the limit `*` satisfies it.

pub mod sets;

use std::{fmt, sync::Arc};

use crate::{
    api::names,
    catalog::{Catalog, Profile, embedded::Embedded},
    glob::{Glob, GlobError, MOST_STARS},
    route::{Destinations, Route},
    types::Region,
};

use sets::{RegionSet, SETS};

/// The most entries of one limit, whoever sets it.
pub const MOST_ENTRIES: usize = 64;
/// The most characters of one entry.
pub const MOST_CHARACTERS: usize = 32;

/// Who set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitOrigin {
    /// `spec.allowedRegions` of the binding.
    Binding,
    /// The annotation `inferenceprofiles.dev/allowed-regions` of the binding's Namespace.
    Namespace,
    /// `--allowed-regions` of the operator.
    Operator,
}

impl fmt::Display for LimitOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binding => f.write_str("spec.allowedRegions"),
            Self::Namespace => write!(
                f,
                "the Namespace's annotation {}",
                names::ALLOWED_REGIONS_ANNOTATION
            ),
            Self::Operator => f.write_str("the operator's --allowed-regions"),
        }
    }
}

/// One entry of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// `*` alone: no border at all.
    Anywhere,
    /// A region name.
    Region(Region),
    /// A name with `*` in it.
    Pattern(Glob),
    /// A named set.
    Set(&'static RegionSet),
}

impl Entry {
    fn matches(&self, region: &Region) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Region(allowed) => allowed == region,
            Self::Pattern(pattern) => pattern.matches(region.as_str()),
            Self::Set(set) => set.regions.contains(&region.as_str()),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anywhere => "*",
            Self::Region(region) => region.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
            Self::Set(set) => set.name,
        })
    }
}

/// Says what is wrong with a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The limit lists nothing.
    #[error(
        "{origin} is empty: nothing is allowed by it; list regions, patterns with *, sets, or * for no border"
    )]
    Empty {
        /// Who set the limit.
        origin: LimitOrigin,
    },
    /// The limit lists too much.
    #[error(
        "{origin} has {entries} entries, and at most {MOST_ENTRIES} are allowed: use patterns with * and sets in the place of single regions"
    )]
    TooManyEntries {
        /// Who set the limit.
        origin: LimitOrigin,
        /// How many entries it has.
        entries: usize,
    },
    /// An entry is neither a region, nor a pattern, nor a set.
    #[error(
        "{entry:?} in {origin} is not a valid limit: expected a region name (eu-west-1), a pattern with * (eu-*) of at most {MOST_CHARACTERS} characters, * alone, or one of the sets {}",
        set_names()
    )]
    Malformed {
        /// Who set the limit.
        origin: LimitOrigin,
        /// The entry, or its beginning.
        entry: String,
    },
    /// A pattern has too many stars.
    #[error(
        "{entry:?} in {origin} is not a valid limit: it has {stars} stars (*), and at most {MOST_STARS} are allowed; leave some out, or list the regions"
    )]
    TooManyStars {
        /// Who set the limit.
        origin: LimitOrigin,
        /// The entry.
        entry: String,
        /// How many stars it has.
        stars: usize,
    },
}

impl LimitError {
    /// Returns who set the limit.
    #[must_use]
    pub fn origin(&self) -> LimitOrigin {
        match self {
            Self::Empty { origin }
            | Self::TooManyEntries { origin, .. }
            | Self::Malformed { origin, .. }
            | Self::TooManyStars { origin, .. } => *origin,
        }
    }
}

fn set_names() -> String {
    SETS.iter()
        .map(|set| set.name)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A list of what is allowed, and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    origin: LimitOrigin,
    entries: Vec<Entry>,
}

impl Limit {
    /// Parses a limit.
    ///
    /// # Errors
    /// [`LimitError`]: there are no entries or too many, or the first that is not valid.
    pub fn parse<S: AsRef<str>>(origin: LimitOrigin, entries: &[S]) -> Result<Self, LimitError> {
        if entries.is_empty() {
            return Err(LimitError::Empty { origin });
        }
        if entries.len() > MOST_ENTRIES {
            let entries = entries.len();
            return Err(LimitError::TooManyEntries { origin, entries });
        }
        let entries = entries
            .iter()
            .map(|entry| parse_entry(origin, entry.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { origin, entries })
    }

    /// Parses a limit as an annotation has it: entries separated by commas.
    ///
    /// # Errors
    /// As [`Limit::parse`].
    pub fn parse_annotation(text: &str) -> Result<Self, LimitError> {
        let origin = LimitOrigin::Namespace;
        if text.trim().is_empty() {
            return Err(LimitError::Empty { origin });
        }
        Self::parse(origin, &text.split(',').collect::<Vec<_>>())
    }

    /// Returns who set the limit.
    #[must_use]
    pub fn origin(&self) -> LimitOrigin {
        self.origin
    }

    /// Returns the entries as they were given.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(ToString::to_string)
    }

    /// Returns the names and patterns of this limit, its sets as the names in them, sorted. `*` alone is no border.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .entries
            .iter()
            .flat_map(|entry| match entry {
                Entry::Anywhere => vec!["*".to_owned()],
                Entry::Region(region) => vec![region.to_string()],
                Entry::Pattern(pattern) => vec![pattern.to_string()],
                Entry::Set(set) => set.regions.iter().map(ToString::to_string).collect(),
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn allows(&self, region: &Region) -> bool {
        self.entries.iter().any(|entry| entry.matches(region))
    }

    fn allows_anywhere(&self) -> bool {
        self.entries.contains(&Entry::Anywhere)
    }
}

fn parse_entry(origin: LimitOrigin, given: &str) -> Result<Entry, LimitError> {
    let malformed = || LimitError::Malformed {
        origin,
        entry: shortened(given),
    };
    let text = given.trim();
    if text == "*" {
        return Ok(Entry::Anywhere);
    }
    if text.starts_with('@') {
        let set = SETS.iter().find(|set| set.name == text);
        return set.map(Entry::Set).ok_or_else(malformed);
    }
    if !text.contains('*') {
        return text.parse().map(Entry::Region).map_err(|_| malformed());
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*';
    if text.len() > MOST_CHARACTERS
        || !text.starts_with(|c: char| c.is_ascii_lowercase())
        || !text.chars().all(plain)
    {
        return Err(malformed());
    }
    Glob::parse(text)
        .map(Entry::Pattern)
        .map_err(
            |GlobError::TooManyStars { stars }| LimitError::TooManyStars {
                origin,
                entry: text.to_owned(),
                stars,
            },
        )
}

/// Returns the beginning of what was given: an annotation can have 256 KiB, and the status of every binding that it holds
/// for repeats the message.
fn shortened(text: &str) -> String {
    let most = 2 * MOST_CHARACTERS;
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// What is known of the limit that a Namespace sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NamespaceLimit {
    /// The Namespace can't be read.
    #[default]
    Unknown,
    /// It sets none.
    Unset,
    /// It sets this one.
    Set(Arc<Result<Limit, LimitError>>),
}

impl NamespaceLimit {
    /// Returns what a Namespace sets whose annotation is this.
    #[must_use]
    pub fn of_annotation(annotation: Option<&str>) -> Self {
        annotation.map_or(Self::Unset, |text| {
            Self::Set(Arc::new(Limit::parse_annotation(text)))
        })
    }
}

/// The limits that hold for one binding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    set: Vec<Result<Limit, LimitError>>,
    /// Whether some limit can't be read.
    unknown: bool,
    /// Whether there must be one.
    required: bool,
}

impl Limits {
    /// Returns these limits together; all of them must hold.
    #[must_use]
    pub fn all(limits: impl IntoIterator<Item = Result<Limit, LimitError>>) -> Self {
        Self {
            set: limits.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds the limit of the Namespace.
    #[must_use]
    pub fn and_namespace(mut self, limit: &NamespaceLimit) -> Self {
        match limit {
            NamespaceLimit::Unknown => self.unknown = true,
            NamespaceLimit::Unset => {}
            NamespaceLimit::Set(limit) => self.set.push((**limit).clone()),
        }
        self
    }

    /// Says that there must be a limit: without one nothing is allowed.
    #[must_use]
    pub fn required(mut self, required: bool) -> Self {
        self.required = required;
        self
    }

    /// Says whether some limit can't be read.
    #[must_use]
    pub fn are_unknown(&self) -> bool {
        self.unknown
    }

    /// Judges a route, with every region that is known to be reachable by it, by every limit.
    #[must_use]
    pub fn judge(&self, route: &Route, embedded: &Embedded) -> Judgement {
        let reachable = reachable(route, embedded);
        Judgement {
            verdict: self.verdict(&route.source_region, &reachable),
            source_region: route.source_region.clone(),
            reachable,
        }
    }

    /// Returns what every limit says of a source region and destinations.
    #[must_use]
    pub fn verdict(&self, source: &Region, destinations: &Destinations) -> Verdict {
        if let Some(error) = self.set.iter().find_map(|limit| limit.as_ref().err()) {
            return Verdict::LimitInvalid(error.clone());
        }
        let broken = self.set.iter().flatten().find_map(|limit| {
            let regions = match destinations {
                Destinations::Anywhere if limit.allows_anywhere() => return None,
                Destinations::Anywhere => return Some((limit.origin, Outside::AnyRegion)),
                Destinations::Regions(regions) => regions,
            };
            let outside: Vec<Region> = std::iter::once(source)
                .chain(regions.iter().filter(|region| *region != source))
                .filter(|region| !limit.allows(region))
                .cloned()
                .collect();
            (!outside.is_empty()).then_some((limit.origin, Outside::Regions(outside)))
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

/// Returns where requests can be served as far as anybody knows: as listed, and as the embedded data have it.
///
/// The destinations of a geographic profile never change
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html>), so where the two differ
/// one of them is wrong; a limit must hold for both.
#[must_use]
pub fn reachable(route: &Route, embedded: &Embedded) -> Destinations {
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

/// What the limits say of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody set a limit. That is no assurance.
    NoLimitSet,
    /// Every region is allowed by every limit.
    AllRegionsAllowed,
    /// Some region is outside a limit.
    RegionNotAllowed {
        /// Who set the limit.
        origin: LimitOrigin,
        /// What is outside of it.
        outside: Outside,
    },
    /// A limit is malformed, which fails closed.
    LimitInvalid(LimitError),
    /// Nobody set a limit, and there must be one.
    LimitMissing,
    /// Some limit can't be read; those that can be hold.
    LimitUnknown,
}

impl Verdict {
    /// Says whether a value may be published under this verdict.
    #[must_use]
    pub fn permits(&self) -> bool {
        matches!(self, Self::NoLimitSet | Self::AllRegionsAllowed)
    }

    /// Says whether a value may not stay where it is written: not knowing forbids nothing that is there.
    #[must_use]
    pub fn forbids(&self) -> bool {
        !self.permits() && *self != Self::LimitUnknown
    }
}

/// What the limits say of a route, with what they were asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What the limits say.
    pub verdict: Verdict,
    /// Where the route is called from.
    pub source_region: Region,
    /// Where requests can be served as far as anybody knows.
    pub reachable: Destinations,
}

impl Judgement {
    /// Says whether a value may be published under this judgement.
    #[must_use]
    pub fn permits(&self) -> bool {
        self.verdict.permits()
    }

    /// Says whether a value may not stay where it is written.
    #[must_use]
    pub fn forbids(&self) -> bool {
        self.verdict.forbids()
    }

    /// Returns the judgement in words.
    #[must_use]
    pub fn message(&self) -> String {
        self.verdict.message(&self.source_region, &self.reachable)
    }
}

impl Verdict {
    /// Returns the verdict in words, for the route it was made of.
    #[must_use]
    fn message(&self, source: &Region, destinations: &Destinations) -> String {
        let served = match destinations {
            Destinations::Anywhere => "any commercial region".to_owned(),
            Destinations::Regions(_) => destinations.names().join(", "),
        };
        match self {
            Self::NoLimitSet => {
                format!(
                    "no limit is set, which is no assurance: called from {source}, requests may be served in {served}"
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
                "the Namespace can't be read, so its annotation {} is not known: allow the operator's service account to get, list and watch it",
                names::ALLOWED_REGIONS_ANNOTATION
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{route::Invocation, types::ModelId};

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
            // A limit that is known and broken counts, whatever else is not known.
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

    /// An annotation, and what its refusal says; nothing where it is a limit.
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

    #[test]
    fn names_of_a_limit_hold_what_is_in_its_sets() {
        let limit = Limit::parse(LimitOrigin::Operator, &["us-*", "@jp", "ap-northeast-1"]);
        assert_eq!(
            limit.expect("a limit").names(),
            ["ap-northeast-1", "ap-northeast-3", "us-*"]
        );
    }

    #[test]
    fn the_schema_knows_the_sets_and_the_bounds() {
        let names: Vec<&str> = SETS.iter().map(|set| &set.name[1..]).collect();
        let crd = serde_json::to_value(crate::api::custom_resource_definition()).expect("JSON");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let limit = &schema["properties"]["spec"]["properties"]["allowedRegions"];
        assert_eq!(limit["maxItems"], MOST_ENTRIES);
        assert_eq!(limit["items"]["maxLength"], MOST_CHARACTERS);
        let rule = &limit["items"]["x-kubernetes-validations"][0]["rule"];
        let rule = rule.as_str().expect("a rule");
        assert!(rule.contains(&format!("@({})", names.join("|"))), "{rule}");
        assert!(
            rule.contains(&format!("([*][a-z0-9-]*){{1,{MOST_STARS}}}")),
            "{rule}"
        );
    }

    #[test]
    fn sets_hold_well_formed_sorted_regions() {
        for set in SETS {
            assert!(set.regions.is_sorted(), "{}", set.name);
            for name in set.regions {
                region(name);
            }
        }
    }
}
