//! Which profile a request gets from a catalog, and why each other candidate was passed over.
//!
//! "Unsupported" is an outcome here, not an error: it has a reason and a message that names what is available.

mod hints;

use std::{fmt, sync::Arc};

use crate::{
    api::condition::Reason,
    catalog::{Catalog, Destinations, Profile, SourceKind, embedded::Embedded},
    residency::{Limits, Outside, Verdict, reachable},
    types::{Geography, ModelId, ON_DEMAND, Region},
};

/// What a binding asks for, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// The foundation model.
    pub model: ModelId,
    /// The geography wanted.
    pub geography: Geography,
    /// What may be used instead, in this order.
    pub fallbacks: Vec<Geography>,
    /// Whether, last of all, the model may be invoked by its own ID where it is on demand in the source region.
    pub on_demand: bool,
    /// Where the workload calls Bedrock from.
    pub source_region: Region,
}

impl Request {
    /// Returns the geographies that may be used, the wanted one first.
    pub fn geographies(&self) -> impl Iterator<Item = &Geography> {
        std::iter::once(&self.geography).chain(&self.fallbacks)
    }
}

/// What serves a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An inference profile.
    Profile(Arc<Profile>),
    /// The foundation model itself, on demand in the source region.
    OnDemand,
}

impl Found {
    /// Returns where requests may be served.
    #[must_use]
    pub fn destinations(&self, request: &Request) -> Destinations {
        match self {
            Self::Profile(profile) => profile.destinations.clone(),
            Self::OnDemand => Destinations::regions(vec![request.source_region.clone()]),
        }
    }

    /// Returns where requests can be served as far as anybody knows: what residency is judged by.
    #[must_use]
    pub fn reachable(&self, request: &Request) -> Destinations {
        match self {
            Self::Profile(profile) => {
                reachable(&profile.id, &request.source_region, &profile.destinations)
            }
            Self::OnDemand => self.destinations(request),
        }
    }

    /// Returns what workloads give as model ID.
    #[must_use]
    pub fn id<'a>(&'a self, request: &'a Request) -> &'a str {
        match self {
            Self::Profile(profile) => profile.id.as_str(),
            Self::OnDemand => request.model.as_str(),
        }
    }
}

/// That a request is served, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// What serves it.
    pub found: Found,
    /// Everything that was considered, in its order.
    pub candidates: Vec<Candidate>,
}

impl Resolution {
    /// Returns the reason of the condition `RegionSupported`.
    #[must_use]
    pub fn reason(&self, request: &Request) -> Reason {
        match &self.found {
            Found::Profile(profile) if profile.geography == request.geography => {
                Reason::ProfileFound
            }
            Found::Profile(_) => Reason::FallbackGeographyUsed,
            Found::OnDemand => Reason::OnDemandFallback,
        }
    }

    /// Returns the message of the condition `RegionSupported`.
    #[must_use]
    pub fn message(&self, request: &Request) -> String {
        let from = &request.source_region;
        let found = match &self.found {
            Found::Profile(profile) if profile.geography == request.geography => {
                return format!("{} is callable from {from}", profile.id);
            }
            Found::Profile(profile) => format!(
                "{} is callable from {from} by fallback to {}",
                profile.id, profile.geography
            ),
            Found::OnDemand => format!(
                "{} is invoked on demand in {from}, without an inference profile, as fallback.onDemand allows: requests stay in {from} and have the throughput of that region alone",
                request.model
            ),
        };
        let passed_over: Vec<String> = self
            .candidates
            .iter()
            .filter(|candidate| !matches!(candidate.outcome, Outcome::Chosen | Outcome::NotNeeded))
            .map(|candidate| format!("{}: {}", candidate.choice, candidate.outcome))
            .collect();
        format!("{found}; passed over: {}", passed_over.join("; "))
    }
}

/// Something that a request allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The profile of a geography.
    Geography(Geography),
    /// No profile: the foundation model itself.
    OnDemand,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Geography(geography) => geography.fmt(f),
            Self::OnDemand => f.pad(ON_DEMAND),
        }
    }
}

/// A choice that was considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What was considered.
    pub choice: Choice,
    /// What workloads would give as model ID, where the catalog has it.
    pub id: Option<Arc<str>>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It serves the request.
    Chosen,
    /// The catalog lists no such profile for the source region; public data knows it from these regions, if any.
    NotCallable {
        /// Source regions from which the profile is callable, as the embedded data has them.
        callable_from: Vec<Region>,
        /// When public data last saw the profile, where it is seen no more.
        last_listed: Option<&'static str>,
    },
    /// The catalog has the models of the source region, and this one is not on demand there.
    NotOnDemand,
    /// The catalog has no models, so it can't be known whether this one is on demand.
    ModelsUnknown(SourceKind),
    /// A fallback that would break a residency limit.
    NotAllowed(Outside),
    /// An earlier candidate serves the request.
    NotNeeded,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen"),
            Self::NotCallable {
                callable_from,
                last_listed,
            } if callable_from.is_empty() => match last_listed {
                Some(date) => write!(f, "last listed on {date}"),
                None => f.write_str("no such profile is known"),
            },
            Self::NotCallable { callable_from, .. } => {
                write!(
                    f,
                    "callable only from {}",
                    hints::list(callable_from.iter().map(Region::as_str), 8)
                )
            }
            Self::NotOnDemand => f.write_str("the model is not on demand there"),
            Self::ModelsUnknown(SourceKind::Bedrock) => f.write_str(
                "the models could not be listed, so that it is not known: allow bedrock:ListFoundationModels",
            ),
            Self::ModelsUnknown(source) => write!(
                f,
                "not known, as the {} catalog has no models: use --catalog bedrock or embedded",
                source.as_str()
            ),
            Self::NotAllowed(outside) => write!(f, "breaks the residency limit: {outside}"),
            Self::NotNeeded => f.write_str("not needed"),
        }
    }
}

/// Says that nothing serves the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// `SourceRegionUnsupported`, `GeographyUnsupported` or `ModelUnsupported`.
    pub reason: Reason,
    /// What is asked for, what is available instead, and what to do.
    pub message: String,
    /// Everything that was considered.
    pub candidates: Vec<Candidate>,
}

impl Unresolved {
    /// Says whether this is definite: not where on demand might serve, and the models could not be listed.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        let unknown =
            |candidate: &Candidate| matches!(candidate.outcome, Outcome::ModelsUnknown(_));
        !self.candidates.iter().any(unknown)
    }
}

/// Returns what serves a request, or why nothing does.
///
/// The wanted geography is taken wherever it is callable; what the limits say of it is the caller's to judge. A fallback
/// is taken only where the limits permit it, on demand after all geographies. The reason depends on the catalog alone;
/// `hints` only feed messages.
///
/// # Errors
/// [`Unresolved`] where neither the geography nor a fallback geography has a profile of the model callable from the source
/// region, and the model is not, or may not be, invoked on demand there.
pub fn resolve(
    request: &Request,
    catalog: &Catalog,
    limits: &Limits,
    hints: &Embedded,
) -> Result<Resolution, Unresolved> {
    let mut candidates = Vec::new();
    let mut chosen: Option<Found> = None;
    for (position, geography) in request.geographies().enumerate() {
        let profile = catalog.find(&request.model, geography);
        let outcome = match profile {
            None => Outcome::NotCallable {
                callable_from: hints::callable_from(hints, &request.model, geography),
                last_listed: hints::last_listed(hints, &request.model, geography),
            },
            Some(_) if chosen.is_some() => Outcome::NotNeeded,
            Some(profile) => {
                let source = &request.source_region;
                let reachable = reachable(&profile.id, source, &profile.destinations);
                match limits.judge(source, &reachable) {
                    Verdict::RegionNotAllowed { outside, .. } if position > 0 => {
                        Outcome::NotAllowed(outside)
                    }
                    _ => {
                        chosen = Some(Found::Profile(profile.clone()));
                        Outcome::Chosen
                    }
                }
            }
        };
        candidates.push(Candidate {
            choice: Choice::Geography(geography.clone()),
            id: profile.map(|profile| profile.id.clone().into()),
            outcome,
        });
    }
    if request.on_demand {
        let outcome = match chosen {
            Some(_) => Outcome::NotNeeded,
            None => on_demand(request, catalog, limits),
        };
        if outcome == Outcome::Chosen {
            chosen = Some(Found::OnDemand);
        }
        candidates.push(Candidate {
            choice: Choice::OnDemand,
            id: is_on_demand(request, catalog).then(|| request.model.clone().into()),
            outcome,
        });
    }
    match chosen {
        Some(found) => Ok(Resolution { found, candidates }),
        None => Err(unresolved(request, catalog, hints, candidates)),
    }
}

/// Returns what becomes of the model itself where no profile serves.
fn on_demand(request: &Request, catalog: &Catalog, limits: &Limits) -> Outcome {
    if catalog.models().is_none() {
        return Outcome::ModelsUnknown(catalog.source());
    }
    if !is_on_demand(request, catalog) {
        return Outcome::NotOnDemand;
    }
    let destinations = Found::OnDemand.destinations(request);
    match limits.judge(&request.source_region, &destinations) {
        Verdict::RegionNotAllowed { outside, .. } => Outcome::NotAllowed(outside),
        _ => Outcome::Chosen,
    }
}

fn is_on_demand(request: &Request, catalog: &Catalog) -> bool {
    let model = catalog.model(&request.model);
    model.is_some_and(|model| model.on_demand)
}

/// Returns successors of a request's model in words, for a model that is on its way out.
#[must_use]
pub fn successors(request: &Request, hints: &Embedded) -> String {
    hints::successors(request, hints)
}

fn unresolved(
    request: &Request,
    catalog: &Catalog,
    hints: &Embedded,
    candidates: Vec<Candidate>,
) -> Unresolved {
    let available = catalog.profiles_of(&request.model);
    let (reason, mut message) = if catalog.profiles().is_empty() {
        (
            Reason::SourceRegionUnsupported,
            hints::no_profiles_from(&request.source_region, hints),
        )
    } else if available.is_empty() {
        (
            Reason::ModelUnsupported,
            hints::no_profile_of_model(request, hints),
        )
    } else {
        (
            Reason::GeographyUnsupported,
            hints::no_profile_in_geography(request, available, &candidates),
        )
    };
    if let Some(on_demand) = hints::on_demand(request, is_on_demand(request, catalog), &candidates)
    {
        message = format!("{message}; {on_demand}");
    }
    Unresolved {
        reason,
        message,
        candidates,
    }
}

#[cfg(test)]
mod tests;
