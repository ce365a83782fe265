//! Which profile a request gets from a catalog, and why each other candidate was passed over.
//!
//! "Unsupported" is an outcome here, not an error: it has a reason and a message that names what is available.

mod hints;

use std::{fmt, sync::Arc};

use crate::{
    api::condition::Reason,
    catalog::{Catalog, Profile, embedded::Embedded},
    residency::{Limits, Outside, Verdict, reachable},
    types::{Geography, ModelId, ProfileId, Region},
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
    /// Where the workload calls Bedrock from.
    pub source_region: Region,
}

impl Request {
    /// Returns the geographies that may be used, the wanted one first.
    pub fn geographies(&self) -> impl Iterator<Item = &Geography> {
        std::iter::once(&self.geography).chain(&self.fallbacks)
    }
}

/// A profile that serves the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The profile.
    pub profile: Arc<Profile>,
    /// Whether a fallback was taken, or the wanted geography.
    pub fallback: bool,
    /// Every geography that was considered, the one chosen last.
    pub candidates: Vec<Candidate>,
}

impl Resolution {
    /// Returns the reason of the condition `RegionSupported`.
    #[must_use]
    pub fn reason(&self) -> Reason {
        if self.fallback {
            Reason::FallbackGeographyUsed
        } else {
            Reason::ProfileFound
        }
    }

    /// Returns the message of the condition `RegionSupported`.
    #[must_use]
    pub fn message(&self, request: &Request) -> String {
        let found = format!(
            "{} is callable from {}",
            self.profile.id, request.source_region
        );
        if !self.fallback {
            return found;
        }
        let passed_over: Vec<String> = self
            .candidates
            .iter()
            .filter(|candidate| !matches!(candidate.outcome, Outcome::Chosen))
            .map(|candidate| format!("{}: {}", candidate.geography, candidate.outcome))
            .collect();
        format!(
            "{found} by fallback to {}; passed over: {}",
            self.profile.geography,
            passed_over.join("; ")
        )
    }
}

/// A geography that was considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The geography.
    pub geography: Geography,
    /// The profile, where the catalog lists one.
    pub profile: Option<ProfileId>,
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
            Self::NotAllowed(outside) => write!(f, "breaks the residency limit: {outside}"),
            Self::NotNeeded => f.write_str("not needed"),
        }
    }
}

/// Says that no profile serves the request, definitely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// `SourceRegionUnsupported`, `GeographyUnsupported` or `ModelUnsupported`.
    pub reason: Reason,
    /// What is asked for, what is available instead, and what to do.
    pub message: String,
    /// Every geography that was considered.
    pub candidates: Vec<Candidate>,
}

/// Returns the profile that serves a request, or why none does.
///
/// The wanted geography is taken wherever it is callable; what the limits say of it is the caller's to judge. A fallback
/// is taken only where the limits permit it. The reason depends on the catalog alone; `hints` only feed messages.
///
/// # Errors
/// [`Unresolved`] where neither the geography nor a fallback has a profile of the model callable from the source region.
pub fn resolve(
    request: &Request,
    catalog: &Catalog,
    limits: &Limits,
    hints: &Embedded,
) -> Result<Resolution, Unresolved> {
    let mut candidates = Vec::new();
    let mut chosen: Option<Arc<Profile>> = None;
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
                        chosen = Some(profile.clone());
                        Outcome::Chosen
                    }
                }
            }
        };
        candidates.push(Candidate {
            geography: geography.clone(),
            profile: profile.map(|profile| profile.id.clone()),
            outcome,
        });
    }
    match chosen {
        Some(profile) => Ok(Resolution {
            fallback: profile.geography != request.geography,
            profile,
            candidates,
        }),
        None => Err(unresolved(request, catalog, hints, candidates)),
    }
}

fn unresolved(
    request: &Request,
    catalog: &Catalog,
    hints: &Embedded,
    candidates: Vec<Candidate>,
) -> Unresolved {
    let available = catalog.profiles_of(&request.model);
    let (reason, message) = if catalog.profiles().is_empty() {
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
    Unresolved {
        reason,
        message,
        candidates,
    }
}

#[cfg(test)]
mod tests;
