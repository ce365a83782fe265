//! Finds the route that serves a request, and says why each other candidate was passed over.
//!
//! "Unsupported" is an outcome, not a failure: it has a reason and a message that names what is available.

mod application;
mod hints;

use std::{fmt, sync::Arc};

use jiff::civil::Date;

use crate::{
    api::condition::Reason,
    catalog::{Catalog, SourceKind, embedded::Embedded},
    lifecycle::{self, Basis},
    residency::{Judgement, Limits, Outside, Verdict},
    route::{Invocation, Route},
    types::{ApplicationName, Geography, ModelId, ON_DEMAND, Region},
};

pub use application::{Unfound, application_profile};
pub use hints::{
    Known, SUGGESTIONS, geographies, is_taken_for_a_geography, not_a_geography, successors_in_words,
};

/// A binding's request, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// The foundation model.
    pub model: ModelId,
    /// Models that may be used instead, in this order.
    pub fallback_models: Vec<ModelId>,
    /// The wanted geography.
    pub geography: Geography,
    /// Geographies that may be used instead, in this order.
    pub fallbacks: Vec<Geography>,
    /// Whether the model may, as a last resort, be invoked on demand in the source region.
    pub on_demand: bool,
    /// The region that the workload calls Bedrock from.
    pub source_region: Region,
    /// The application profile through which the route is to be invoked.
    pub application: Option<ApplicationName>,
}

impl Request {
    /// Returns the request without models and geographies that stand in it before.
    #[must_use]
    pub fn without_repeats(mut self) -> Self {
        let mut models = vec![self.model.clone()];
        self.fallback_models
            .retain(|model| note(&mut models, model));
        let mut geographies = vec![self.geography.clone()];
        self.fallbacks
            .retain(|geography| note(&mut geographies, geography));
        self
    }

    /// Returns the geographies that may be used; the wanted one comes first.
    pub fn geographies(&self) -> impl Iterator<Item = &Geography> {
        std::iter::once(&self.geography).chain(&self.fallbacks)
    }

    /// Returns the models that may be used; the wanted one comes first.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        std::iter::once(&self.model).chain(&self.fallback_models)
    }
}

/// Notes what is not in a list yet, and says whether that was so.
fn note<T: PartialEq + Clone>(seen: &mut Vec<T>, item: &T) -> bool {
    let is_new = !seen.contains(item);
    if is_new {
        seen.push(item.clone());
    }
    is_new
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
            _ if self.route.model != request.model => Reason::FallbackModelUsed,
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
        let model = &self.route.model;
        let is_fallback_model = *model != request.model;
        let found = match &self.route.invocation {
            Invocation::Profile { id, geography }
                if *geography == request.geography && !is_fallback_model =>
            {
                return format!("{id} is callable from {from}");
            }
            Invocation::Profile { id, geography } if *geography == request.geography => {
                format!("{id} is callable from {from}")
            }
            Invocation::Profile { id, geography } => {
                format!("{id} is callable from {from} by fallback to {geography}")
            }
            Invocation::OnDemand => format!(
                "{model} is invoked on demand in {from}, without an inference profile, as fallback.onDemand allows: requests stay in {from} and have the throughput of that region alone"
            ),
        };
        let found = if is_fallback_model {
            format!(
                "{found}, in the place of {}, as fallback.models allows",
                request.model
            )
        } else {
            found
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
            .map(|candidate| format!("{}: {}", candidate.name(request), candidate.outcome))
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
    /// The model.
    pub model: ModelId,
    /// The choice.
    pub choice: Choice,
    /// The model ID that workloads would use, or `None` if the catalog does not have it.
    pub id: Option<Arc<str>>,
    /// Whether the choice was taken, and if not, why.
    pub outcome: CandidateOutcome,
}

impl Candidate {
    /// Returns what tells it from the request's other candidates: the choice, after the model if that is a fallback.
    #[must_use]
    pub fn name(&self, request: &Request) -> String {
        if self.model == request.model {
            self.choice.to_string()
        } else {
            format!("{} {}", self.model, self.choice)
        }
    }
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
    /// The life of the model has ended on this day.
    Ended(Date),
    /// It is not known whether an earlier model serves the request, so that this one is not taken.
    NotConsidered,
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
            Self::Ended(end) => write!(f, "its life ended on {end}"),
            Self::NotConsidered => {
                f.write_str("not considered, because it is not known whether an earlier model serves")
            }
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
    /// Returns whether this is definite. It is not if the model might be available on demand but the models are unknown, and not
    /// if the life of a model has ended by the data, which AWS may have extended.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        let unknown = |candidate: &Candidate| {
            matches!(
                candidate.outcome,
                CandidateOutcome::ModelsUnknown(_) | CandidateOutcome::Ended(_)
            )
        };
        !self.candidates.iter().any(unknown)
    }
}

/// What is known when a request is resolved.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What can be called from the source region.
    pub catalog: &'a Catalog,
    /// The residency limits that apply.
    pub limits: &'a Limits,
    /// The embedded data: for messages, judgements, and the lifecycles of models where the catalog is a snapshot.
    pub embedded: &'a Embedded,
    /// Today, in UTC.
    pub day: Date,
}

/// Returns the route that serves a request.
///
/// For each model in turn, the geographies are considered in order, and then on demand. The wanted geography of the wanted
/// model is chosen if it is callable, whatever the limits say: the caller decides what follows from their judgement. A
/// fallback is chosen only if the limits allow it. A model whose life has ended is passed over; if nothing else serves the
/// request, it is chosen if a live listing still has it. A snapshot proves nothing after the end of a model's life.
///
/// # Errors
/// Returns [`Unresolved`] if nothing that the request allows is callable from the source region.
pub fn resolve(request: &Request, context: &Context<'_>) -> Result<Resolution, Unresolved> {
    let mut search = Search {
        request,
        context,
        candidates: Vec::new(),
        chosen: None,
        is_open: true,
    };
    let (alive, ended): (Vec<&ModelId>, Vec<&ModelId>) = request
        .models()
        .partition(|model| context.ended(model).is_none());
    for model in alive {
        search.model(model);
    }
    for model in ended {
        search.ended_model(model);
    }
    let Search {
        chosen,
        mut candidates,
        ..
    } = search;
    // They are told in the order of the spec, whichever was considered first.
    candidates.sort_by_key(|candidate| request.models().position(|it| *it == candidate.model));
    match chosen {
        Some((route, judgement)) => Ok(Resolution {
            route,
            judgement,
            candidates,
        }),
        None => Err(unresolved(request, context, candidates)),
    }
}

impl Context<'_> {
    /// Returns when a model's life ended, and where that is known from. `None` if it has not, or if a later directory has it.
    fn ended(&self, model: &ModelId) -> Option<(Date, lifecycle::Known)> {
        let known = lifecycle::known(self.catalog, self.embedded, model)?;
        let end = if known.basis == Basis::Listing {
            lifecycle::ended(&known.lifecycle, self.day)
        } else {
            lifecycle::outlived(self.catalog, self.embedded, model, self.day)
        };
        Some((end?, known))
    }

    fn is_on_demand(&self, model: &ModelId) -> bool {
        let model = self.catalog.model(model);
        model.is_some_and(|model| model.on_demand)
    }
}

/// A search for the route that serves a request, under way.
struct Search<'a> {
    request: &'a Request,
    context: &'a Context<'a>,
    candidates: Vec<Candidate>,
    chosen: Option<(Route, Judgement)>,
    /// False once it is not known whether a model serves the request: no later model is taken in its place.
    is_open: bool,
}

impl Search<'_> {
    /// Considers a model whose life has ended. Only a live listing can say that it is callable all the same.
    fn ended_model(&mut self, model: &ModelId) {
        let is_last_choice = self.chosen.is_none() && self.is_open;
        if is_last_choice && self.context.catalog.source().is_live() {
            return self.model(model);
        }
        let Some((end, _)) = self.context.ended(model) else {
            return;
        };
        for geography in self.request.geographies() {
            let profile = self.context.catalog.find(model, geography);
            let id = profile.map(|profile| profile.id.clone().into());
            let choice = Choice::Geography(geography.clone());
            self.note(model, choice, id, CandidateOutcome::Ended(end));
        }
        if self.request.on_demand {
            self.note(model, Choice::OnDemand, None, CandidateOutcome::Ended(end));
        }
    }

    fn model(&mut self, model: &ModelId) {
        let was_open = self.is_open;
        for geography in self.request.geographies() {
            let profile = self.context.catalog.find(model, geography);
            let outcome = match profile {
                None => CandidateOutcome::NotCallable {
                    known: hints::Known::of(model, geography, self.request, self.context),
                },
                Some(_) if self.chosen.is_some() => CandidateOutcome::NotNeeded,
                Some(_) if !was_open => CandidateOutcome::NotConsidered,
                Some(profile) => {
                    let is_fallback =
                        *model != self.request.model || *geography != self.request.geography;
                    self.judge(profile.route(&self.request.source_region), is_fallback)
                }
            };
            let id = profile.map(|profile| profile.id.clone().into());
            self.note(model, Choice::Geography(geography.clone()), id, outcome);
        }
        if self.request.on_demand {
            let is_on_demand = self.context.is_on_demand(model);
            let outcome = if self.chosen.is_some() {
                CandidateOutcome::NotNeeded
            } else if !was_open {
                CandidateOutcome::NotConsidered
            } else if self.context.catalog.models().is_none() {
                self.is_open = false;
                CandidateOutcome::ModelsUnknown(self.context.catalog.source())
            } else if is_on_demand {
                let region = self.request.source_region.clone();
                self.judge(Route::on_demand(model.clone(), region), true)
            } else {
                CandidateOutcome::NotOnDemand
            };
            let id = is_on_demand.then(|| model.clone().into());
            self.note(model, Choice::OnDemand, id, outcome);
        }
    }

    /// Chooses a route, unless it is a fallback that a limit forbids.
    fn judge(&mut self, route: Route, is_fallback: bool) -> CandidateOutcome {
        let judgement = self.context.limits.judge(&route, self.context.embedded);
        match judgement.verdict {
            Verdict::RegionNotAllowed { outside, .. } if is_fallback => {
                CandidateOutcome::NotAllowed(outside)
            }
            _ => {
                self.chosen = Some((route, judgement));
                CandidateOutcome::Chosen
            }
        }
    }

    fn note(
        &mut self,
        model: &ModelId,
        choice: Choice,
        id: Option<Arc<str>>,
        outcome: CandidateOutcome,
    ) {
        self.candidates.push(Candidate {
            model: model.clone(),
            choice,
            id,
            outcome,
        });
    }
}

/// Returns every route that the request and the limits allow, whether or not another one comes before it. A snapshot gives none
/// of a model whose life has ended.
#[must_use]
pub fn allowed_routes(request: &Request, context: &Context<'_>) -> Vec<Route> {
    let Context {
        catalog,
        limits,
        embedded,
        day,
    } = *context;
    let of_model = |model: &ModelId| {
        let profiles = request
            .geographies()
            .filter_map(|geography| catalog.find(model, geography))
            .map(|profile| profile.route(&request.source_region));
        let on_demand = (request.on_demand && context.is_on_demand(model))
            .then(|| Route::on_demand(model.clone(), request.source_region.clone()));
        profiles.chain(on_demand).collect::<Vec<_>>()
    };
    request
        .models()
        .filter(|model| lifecycle::outlived(catalog, embedded, model, day).is_none())
        .flat_map(of_model)
        .filter(|route| limits.judge(route, embedded).permits())
        .collect()
}

/// Returns at most three models that can replace a model for a request: active, callable from its source region as it asks, and
/// allowed by the limits. The most similar comes first.
#[must_use]
pub fn successors(model: &ModelId, request: &Request, context: &Context<'_>) -> Vec<ModelId> {
    let mut successors = all_successors(model, request, context);
    successors.truncate(SUGGESTIONS);
    successors
}

/// Returns all models that can replace a model for a request, as [`successors`] does.
#[must_use]
pub fn all_successors(model: &ModelId, request: &Request, context: &Context<'_>) -> Vec<ModelId> {
    hints::successors(model, request, context)
}

fn unresolved(request: &Request, context: &Context<'_>, candidates: Vec<Candidate>) -> Unresolved {
    let Context {
        catalog, embedded, ..
    } = *context;
    let available = catalog.profiles_of(&request.model);
    let is_on_demand = context.is_on_demand(&request.model);
    let ended = context.ended(&request.model);
    let has_ended = ended.is_some();
    let (reason, mut message) = if let Some((end, known)) = ended {
        (
            Reason::ModelUnsupported,
            hints::life_ended(request, end, &known, context),
        )
    } else if catalog.profiles().is_empty() {
        (
            Reason::SourceRegionUnsupported,
            hints::no_profiles_from(&request.source_region, embedded),
        )
    } else if available.is_empty() {
        (
            Reason::ModelUnsupported,
            hints::no_profile_of_model(request, &candidates, context),
        )
    } else {
        (
            Reason::GeographyUnsupported,
            hints::no_profile_in_geography(request, &candidates, context),
        )
    };
    // What has reached its end of life is not to be called on demand either.
    let on_demand = hints::on_demand(request, is_on_demand, &candidates);
    if let Some(on_demand) = on_demand.filter(|_| !has_ended) {
        message = format!("{message}; {on_demand}");
    }
    if let Some(models) = hints::fallback_models(request, &candidates) {
        message = format!("{message}; {models}");
    }
    Unresolved {
        reason,
        message,
        candidates,
    }
}

#[cfg(test)]
mod tests;
