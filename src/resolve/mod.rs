//! Finds the route that serves a request, and says why each other candidate was passed over.
//!
//! "Unsupported" is an outcome, not a failure: it has a reason and a message that names what is available.

mod hints;

use std::{fmt, sync::Arc};

use crate::{
    api::condition::Reason,
    catalog::{Catalog, SourceKind, embedded::Embedded},
    residency::{Judgement, Limits, Outside, Verdict},
    route::{Invocation, Route},
    types::{Geography, ModelId, ON_DEMAND, Region},
};

pub use hints::{Known, not_a_geography, successors_in_words};

/// A binding's request, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// The foundation model.
    pub model: ModelId,
    /// The wanted geography.
    pub geography: Geography,
    /// Geographies that may be used instead, in this order.
    pub fallbacks: Vec<Geography>,
    /// Whether the model may, as a last resort, be invoked on demand in the source region.
    pub on_demand: bool,
    /// The region that the workload calls Bedrock from.
    pub source_region: Region,
}

impl Request {
    /// Returns the geographies that may be used; the wanted one comes first.
    pub fn geographies(&self) -> impl Iterator<Item = &Geography> {
        std::iter::once(&self.geography).chain(&self.fallbacks)
    }
}

/// The route that serves a request, and what was considered for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The route that serves it.
    pub route: Route,
    /// The judgement of the limits on that route.
    pub judgement: Judgement,
    /// All candidates, in the order in which they were considered.
    pub candidates: Vec<Candidate>,
}

impl Resolution {
    /// Returns the reason of the condition `RegionSupported`.
    #[must_use]
    pub fn reason(&self, request: &Request) -> Reason {
        match &self.route.invocation {
            Invocation::Profile { geography, .. } if *geography == request.geography => {
                Reason::ProfileFound
            }
            Invocation::Profile { .. } => Reason::FallbackGeographyUsed,
            Invocation::OnDemand => Reason::OnDemandFallback,
        }
    }

    /// Returns the message of the condition `RegionSupported`.
    #[must_use]
    pub fn message(&self, request: &Request) -> String {
        let from = &request.source_region;
        let found = match &self.route.invocation {
            Invocation::Profile { id, geography } if *geography == request.geography => {
                return format!("{id} is callable from {from}");
            }
            Invocation::Profile { id, geography } => {
                format!("{id} is callable from {from} by fallback to {geography}")
            }
            Invocation::OnDemand => format!(
                "{} is invoked on demand in {from}, without an inference profile, as fallback.onDemand allows: requests stay in {from} and have the throughput of that region alone",
                request.model
            ),
        };
        let passed_over: Vec<String> = self
            .candidates
            .iter()
            .filter(|candidate| {
                !matches!(
                    candidate.outcome,
                    CandidateOutcome::Chosen | CandidateOutcome::NotNeeded
                )
            })
            .map(|candidate| format!("{}: {}", candidate.choice, candidate.outcome))
            .collect();
        format!("{found}; passed over: {}", passed_over.join("; "))
    }
}

/// A way to call the model that a request allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The profile of a geography.
    Geography(Geography),
    /// The foundation model on demand, without a profile.
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
    /// The choice.
    pub choice: Choice,
    /// The model ID that workloads would use, or `None` if the catalog does not have it.
    pub id: Option<Arc<str>>,
    /// Whether the choice was taken, and if not, why.
    pub outcome: CandidateOutcome,
}

/// Whether a candidate was taken, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateOutcome {
    /// The candidate serves the request.
    Chosen,
    /// The catalog lists no such profile for the source region.
    NotCallable {
        /// What the embedded data say of it instead.
        known: Known,
    },
    /// The model is not available on demand in the source region, according to the catalog.
    NotOnDemand,
    /// The catalog does not contain models, so that it is unknown whether this one is available on demand.
    ModelsUnknown(SourceKind),
    /// The candidate is a fallback that would break a residency limit.
    NotAllowed(Outside),
    /// An earlier candidate serves the request.
    NotNeeded,
}

impl fmt::Display for CandidateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen"),
            Self::NotCallable { known } => known.fmt(f),
            Self::NotOnDemand => f.write_str("the model is not on demand there"),
            Self::ModelsUnknown(SourceKind::Bedrock) => f.write_str(
                "the models could not be listed, so this is not known: allow bedrock:ListFoundationModels",
            ),
            Self::ModelsUnknown(source) => write!(
                f,
                "not known, because the {} catalog has no models: use --catalog bedrock or embedded",
                source.as_str()
            ),
            Self::NotAllowed(outside) => write!(f, "breaks the residency limit: {outside}"),
            Self::NotNeeded => f.write_str("not needed"),
        }
    }
}

/// Says why nothing serves a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// `SourceRegionUnsupported`, `GeographyUnsupported` or `ModelUnsupported`.
    pub reason: Reason,
    /// What was requested, what is available instead, and what to do.
    pub message: String,
    /// All candidates, in the order in which they were considered.
    pub candidates: Vec<Candidate>,
}

impl Unresolved {
    /// Returns whether this is definite. It is not if the model might be available on demand but the models are unknown.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        let unknown =
            |candidate: &Candidate| matches!(candidate.outcome, CandidateOutcome::ModelsUnknown(_));
        !self.candidates.iter().any(unknown)
    }
}

/// Returns the route that serves a request.
///
/// The wanted geography is chosen if it is callable, whatever the limits say: the caller decides what follows from their
/// judgement. A fallback is chosen only if the limits allow it; on demand is considered after all geographies. The reason
/// depends only on the catalog; `hints` are only used in messages and judgements.
///
/// # Errors
/// Returns [`Unresolved`] if no allowed geography has a profile of the model that is callable from the source region, and the
/// model is not, or must not be, invoked on demand there.
pub fn resolve(
    request: &Request,
    catalog: &Catalog,
    limits: &Limits,
    hints: &Embedded,
) -> Result<Resolution, Unresolved> {
    let mut candidates = Vec::new();
    let mut chosen: Option<(Route, Judgement)> = None;
    for (position, geography) in request.geographies().enumerate() {
        let profile = catalog.find(&request.model, geography);
        let outcome = match profile {
            None => CandidateOutcome::NotCallable {
                known: Known::of(request, geography, catalog, hints),
            },
            Some(_) if chosen.is_some() => CandidateOutcome::NotNeeded,
            Some(profile) => {
                let route = profile.route(&request.source_region);
                let judgement = limits.judge(&route, hints);
                match judgement.verdict {
                    Verdict::RegionNotAllowed { outside, .. } if position > 0 => {
                        CandidateOutcome::NotAllowed(outside)
                    }
                    _ => {
                        chosen = Some((route, judgement));
                        CandidateOutcome::Chosen
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
        let outcome = if chosen.is_some() {
            CandidateOutcome::NotNeeded
        } else {
            match on_demand(request, catalog, limits, hints) {
                Ok(found) => {
                    chosen = Some(found);
                    CandidateOutcome::Chosen
                }
                Err(why_not) => why_not,
            }
        };
        candidates.push(Candidate {
            choice: Choice::OnDemand,
            id: is_on_demand(request, catalog).then(|| request.model.clone().into()),
            outcome,
        });
    }
    match chosen {
        Some((route, judgement)) => Ok(Resolution {
            route,
            judgement,
            candidates,
        }),
        None => Err(unresolved(request, catalog, hints, candidates)),
    }
}

/// Returns the route to the model on demand, with the limits' judgement of it.
///
/// # Errors
/// Returns why on demand does not serve the request.
fn on_demand(
    request: &Request,
    catalog: &Catalog,
    limits: &Limits,
    hints: &Embedded,
) -> Result<(Route, Judgement), CandidateOutcome> {
    if catalog.models().is_none() {
        return Err(CandidateOutcome::ModelsUnknown(catalog.source()));
    }
    if !is_on_demand(request, catalog) {
        return Err(CandidateOutcome::NotOnDemand);
    }
    let route = Route::on_demand(request.model.clone(), request.source_region.clone());
    let judgement = limits.judge(&route, hints);
    match judgement.verdict {
        Verdict::RegionNotAllowed { outside, .. } => Err(CandidateOutcome::NotAllowed(outside)),
        _ => Ok((route, judgement)),
    }
}

fn is_on_demand(request: &Request, catalog: &Catalog) -> bool {
    let model = catalog.model(&request.model);
    model.is_some_and(|model| model.on_demand)
}

/// Returns at most three models that can replace a request's model, the most similar first.
#[must_use]
pub fn successors(request: &Request, hints: &Embedded) -> Vec<ModelId> {
    let mut successors = hints::successors(request, hints);
    successors.truncate(hints::SUGGESTIONS);
    successors
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
            hints::no_profile_of_model(request, catalog, &candidates, hints),
        )
    } else {
        (
            Reason::GeographyUnsupported,
            hints::no_profile_in_geography(request, catalog, &candidates, hints),
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
