//! The audit: which requests ran outside of the destinations that are known, or outside of the limits of a binding.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::count::{Counts, Key, Request, Tally};
use crate::{
    catalog::{Catalog, listing::Listing},
    residency::{Limit, LimitError, LimitOrigin, Limits, Verdict},
    resolve,
    route::Destinations,
    types::{Arn, ModelId, Region},
};

/// What is known of an application profile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Application {
    model: ModelId,
    destinations: Destinations,
}

/// Application profiles by ARN, as `aws bedrock list-inference-profiles --type-equals APPLICATION` lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applications(BTreeMap<String, Application>);

impl Applications {
    /// Adds those of a listing. What is no application profile, or has no model that can be told, is passed over.
    pub fn add(&mut self, listing: &Listing) {
        for summary in &listing.summaries {
            let arns = summary.models.iter();
            let arns: Vec<Arn<'_>> = arns
                .filter_map(|model| Arn::parse(&model.model_arn).ok())
                .collect();
            let models: BTreeSet<ModelId> = arns.iter().filter_map(Arn::foundation_model).collect();
            let mut models = models.into_iter();
            let (Some(model), None) = (models.next(), models.next()) else {
                continue;
            };
            let regions: Option<Vec<Region>> = arns.into_iter().map(|arn| arn.region).collect();
            let destinations = regions.map_or(Destinations::Anywhere, Destinations::regions);
            self.0.insert(
                summary.inference_profile_arn.clone(),
                Application {
                    model,
                    destinations,
                },
            );
        }
    }

    /// Returns the ID of the system-defined profile that an application profile was made from, or that of its model.
    fn made_from(&self, arn: &str, catalog: Option<&Catalog>) -> Option<Arc<str>> {
        let application = self.0.get(arn)?;
        let region = Arn::parse(arn).ok()?.region?;
        let profiles = catalog
            .into_iter()
            .flat_map(|catalog| catalog.profiles_of(&application.model));
        let mut same = profiles.filter(|it| it.destinations == application.destinations);
        if let (Some(profile), None) = (same.next(), same.next()) {
            return Some(profile.id.as_str().into());
        }
        let stays = application.destinations == Destinations::regions(vec![region]);
        stays.then(|| application.model.as_str().into())
    }
}

/// What profiles and models are, and where they may be served.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// By source region.
    pub catalogs: BTreeMap<Region, Arc<Catalog>>,
    /// Application profiles.
    pub applications: Applications,
}

impl Known {
    /// Counts requests of application profiles as those of the profiles or models that they were made from, where that is known,
    /// and leaves out rows without requests.
    #[must_use]
    pub fn named(&self, mut counts: Counts, named: usize) -> Counts {
        for (key, tally) in std::mem::take(&mut counts.rows) {
            if tally.requests() == 0 && tally.tokens == super::Tokens::default() {
                continue;
            }
            let catalog = self.catalogs.get(&key.source_region);
            let made_from = self
                .applications
                .made_from(&key.profile, catalog.map(AsRef::as_ref));
            let profile = made_from.unwrap_or_else(|| key.profile.clone());
            let row = counts.rows.entry(Key { profile, ..key }).or_default();
            row.add(tally, named);
        }
        counts
    }

    /// Returns where a request may be served, or `None` if that is not known.
    #[must_use]
    pub fn destinations(&self, profile: &str, source: &Region) -> Option<Destinations> {
        if let Some(application) = self.applications.0.get(profile) {
            return Some(application.destinations.clone());
        }
        let catalog = self.catalogs.get(source)?;
        let mut profiles = catalog.profiles().iter();
        if let Some(profile) = profiles.find(|it| it.id.as_str() == profile) {
            return Some(profile.destinations.clone());
        }
        let model = catalog.model(&profile.parse().ok()?)?;
        model
            .on_demand
            .then(|| Destinations::regions(vec![source.clone()]))
    }
}

/// A binding, and what holds for it.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Namespace and name.
    pub name: String,
    /// What it asks for.
    pub request: Arc<resolve::Request>,
    /// Its limits.
    pub limits: Limits,
}

impl Bound {
    /// Returns the IDs that the binding's workloads may call: those of profiles, and that of the model where it may be invoked on
    /// demand. The catalog is not asked: it may be older than a profile that is in use.
    fn ids(&self) -> impl Iterator<Item = String> {
        let profiles = self.request.models().flat_map(|model| {
            let geographies = self.request.geographies();
            geographies.map(move |geography| format!("{geography}.{model}"))
        });
        let models = self.request.models().map(ToString::to_string);
        profiles.chain(models.filter(|_| self.request.on_demand))
    }
}

/// Why a request should not have been served where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The region is not a destination of the profile from its source region.
    NotADestination(Destinations),
    /// The region is outside a limit.
    OutsideLimit {
        /// Namespace and name of the binding that is judged. `None`: none may use the profile, so the operator's limit alone holds.
        binding: Option<String>,
        /// Who set the limit.
        origin: LimitOrigin,
    },
    /// A limit of a binding is malformed, so nothing is allowed.
    LimitInvalid {
        /// Namespace and name.
        binding: String,
        /// What is wrong.
        error: LimitError,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADestination(Destinations::Anywhere) => {
                f.write_str("not in the partition of the source region")
            }
            Self::NotADestination(destinations) => {
                write!(f, "not a destination: {}", destinations.names().join(", "))
            }
            Self::OutsideLimit {
                binding: Some(binding),
                origin,
            } => write!(f, "not allowed for binding {binding} by {origin}"),
            Self::OutsideLimit {
                binding: None,
                origin,
            } => write!(f, "not allowed by {origin}"),
            Self::LimitInvalid { binding, error } => write!(f, "binding {binding}: {error}"),
        }
    }
}

/// Requests that were served where they should not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// Profile, source region and region served.
    pub key: Key,
    /// Why, at least one reason.
    pub why: Vec<Why>,
    /// How many requests.
    pub requests: u64,
    /// The first of them.
    pub named: Vec<Request>,
}

/// Requests whose destinations are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The ID of a profile or model, or an ARN where no ID is known.
    pub profile: Arc<str>,
    /// Where Bedrock was called.
    pub source_region: Region,
    /// How many requests.
    pub requests: u64,
    /// Whether limits hold for them. Otherwise nothing judges them.
    pub is_limited: bool,
}

/// What the audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Requests outside of destinations or limits, by profile, source region and region served.
    pub outside: Vec<Outside>,
    /// Requests whose records do not say where they were served.
    pub not_stated: u64,
    /// Profiles and source regions whose destinations are not known.
    pub unknown: Vec<Unknown>,
    /// Bindings with a limit that can't be read: their requests were judged without it.
    pub unknown_limits: BTreeSet<String>,
}

/// Judges what was counted by what is known and by the limits of bindings. `operator` is the operator's own limit: it holds for
/// requests that no binding may have made, too.
#[must_use]
pub fn audit(
    counts: &Counts,
    known: &Known,
    bindings: &[Bound],
    operator: Option<&Limit>,
) -> Audit {
    let mut found = Audit::default();
    let mut bound: BTreeMap<(String, &Region), Vec<&Bound>> = BTreeMap::new();
    for binding in bindings {
        for id in binding.ids() {
            let source = &binding.request.source_region;
            bound.entry((id, source)).or_default().push(binding);
        }
    }
    let mut unknown: BTreeMap<(&Arc<str>, &Region), Unknown> = BTreeMap::new();
    for (key, tally) in &counts.rows {
        let source = &key.source_region;
        let Some(served_in) = &key.served_in else {
            found.not_stated += tally.requests();
            continue;
        };
        let mut why = Vec::new();
        let destinations = known.destinations(&key.profile, source);
        let is_known = destinations.is_some();
        if let Some(destinations) = destinations {
            let is_one = match &destinations {
                Destinations::Anywhere => served_in.partition() == source.partition(),
                Destinations::Regions(regions) => regions.contains(served_in),
            };
            if !is_one {
                why.push(Why::NotADestination(destinations));
            }
        }
        let mut is_limited = operator.is_some();
        let bindings = bound.get(&(key.profile.to_string(), source));
        for binding in bindings.into_iter().flatten() {
            // Where the request ran is all that counts here, not where it might have.
            let here = Destinations::regions(vec![served_in.clone()]);
            let name = binding.name.clone();
            let verdict = binding.limits.verdict(served_in, &here);
            is_limited |= !matches!(verdict, Verdict::NoLimitSet);
            match verdict {
                Verdict::RegionNotAllowed { origin, .. } => why.push(Why::OutsideLimit {
                    binding: Some(name),
                    origin,
                }),
                Verdict::LimitInvalid(error) => why.push(Why::LimitInvalid {
                    binding: name,
                    error,
                }),
                Verdict::LimitUnknown => {
                    found.unknown_limits.insert(name);
                }
                Verdict::NoLimitSet | Verdict::AllRegionsAllowed | Verdict::LimitMissing => {}
            }
        }
        // The limits of bindings have the operator's in them.
        if bindings.is_none() && operator.is_some_and(|limit| !limit.allows(served_in)) {
            why.push(Why::OutsideLimit {
                binding: None,
                origin: LimitOrigin::Operator,
            });
        }
        if !is_known {
            let of_profile = unknown.entry((&key.profile, source));
            let of_profile = of_profile.or_insert_with(|| Unknown {
                profile: key.profile.clone(),
                source_region: source.clone(),
                requests: 0,
                is_limited,
            });
            of_profile.requests += tally.requests();
        }
        if !why.is_empty() && tally.requests() > 0 {
            found.outside.push(outside(key, why, tally));
        }
    }
    found.unknown = unknown.into_values().collect();
    found
}

fn outside(key: &Key, why: Vec<Why>, tally: &Tally) -> Outside {
    Outside {
        key: key.clone(),
        why,
        requests: tally.requests(),
        named: tally.named.iter().cloned().collect(),
    }
}
