//! The messages of unresolved requests: what is available instead, and what to do next.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::{
    catalog::{Profile, embedded::Embedded},
    lifecycle::{self, Basis, Known, State},
    route::Route,
    types::{Geography, ModelId, ProfileId, Region},
};

use super::{Candidate, CandidateOutcome, Choice, Context, Request};

/// Most suggestions in a message; people do not read more.
pub(super) const SUGGESTIONS: usize = 3;

/// Returns the source regions from which a model's profile of this geography is callable, according to the embedded data.
pub(super) fn callable_from(
    hints: &Embedded,
    model: &ModelId,
    geography: &Geography,
) -> Vec<Region> {
    hints
        .current_routes(model)
        .remove(geography)
        .unwrap_or_default()
}

/// Returns the date on which the embedded data last saw a model's profile of this geography, or `None` if the profile is still
/// listed or never was.
pub(super) fn last_listed(
    hints: &Embedded,
    model: &ModelId,
    geography: &Geography,
) -> Option<&'static str> {
    hints
        .retired(model)
        .find(|profile| profile.geography == *geography)
        .map(|profile| profile.last_seen)
}

/// Joins the first `most` names with commas and counts the rest.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>, most: usize) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.len().min(most);
    let mut text = names[..shown].join(", ");
    if names.len() > shown {
        text = format!("{text} and {} more", names.len() - shown);
    }
    text
}

/// Returns the message for a source region without any profile.
pub(super) fn no_profiles_from(region: &Region, hints: &Embedded) -> String {
    let advice = "set sourceRegion to the region that the workload calls Bedrock from";
    let regions = hints.regions();
    let why = match regions.facts(region) {
        None => {
            return format!(
                "no inference profile is callable from {region}: AWS had no such region on {}; nearest: {}; {advice}",
                regions.as_of(),
                regions.nearest(region).join(", ")
            );
        }
        Some(facts) if !facts.bedrock => format!(
            ": Amazon Bedrock had no endpoint there on {}",
            regions.as_of()
        ),
        Some(_) => String::new(),
    };
    let area = region.as_str().split('-').next().unwrap_or_default();
    let nearby: Vec<&str> = hints
        .source_regions()
        .filter(|known| *known != region && known.as_str().split('-').next() == Some(area))
        .map(Region::as_str)
        .collect();
    let instead = if nearby.is_empty() {
        String::new()
    } else {
        format!(
            "; regions of this area that are source regions: {}",
            list(nearby.into_iter(), 12)
        )
    };
    format!("no inference profile is callable from {region}{why}{instead}; {advice}")
}

/// Returns the message for a model that has profiles callable from the source region, but of other geographies.
pub(super) fn no_profile_in_geography(
    request: &Request,
    available: &[std::sync::Arc<Profile>],
    candidates: &[Candidate],
) -> String {
    let Request {
        model,
        geography,
        source_region,
        ..
    } = request;
    let from_there = list(
        available.iter().map(|profile| profile.geography.as_str()),
        12,
    );
    let head = format!(
        "no {geography} profile of {model} is callable from {source_region}; callable from there: {from_there}"
    );
    let details = candidates
        .iter()
        .filter(|candidate| candidate.model == *model)
        .filter_map(|candidate| match &candidate.outcome {
            CandidateOutcome::NotCallable { callable_from, .. } if !callable_from.is_empty() => {
                Some(format!(
                    "{} is callable from: {}",
                    candidate.choice,
                    list(callable_from.iter().map(Region::as_str), 8)
                ))
            }
            CandidateOutcome::NotAllowed(outside) if candidate.choice != Choice::OnDemand => {
                Some(format!(
                    "fallback {} passed over, because it breaks the residency limit: {outside}",
                    candidate.choice
                ))
            }
            _ => None,
        });
    let advice = "set geography to one of these or list it in fallback.geographies".to_owned();
    std::iter::once(head)
        .chain(details)
        .chain([advice])
        .collect::<Vec<_>>()
        .join("; ")
}

/// Returns what to add about the model on demand if no profile serves: how to use it, or why it cannot be used.
pub(super) fn on_demand(
    request: &Request,
    is_on_demand: bool,
    candidates: &[Candidate],
) -> Option<String> {
    let Request {
        model,
        source_region,
        ..
    } = request;
    let considered = candidates
        .iter()
        .find(|candidate| candidate.choice == Choice::OnDemand && candidate.model == *model);
    match considered {
        None if is_on_demand => Some(format!(
            "{model} is on demand in {source_region}: set fallback.onDemand to use it without a profile"
        )),
        None => None,
        Some(candidate) => Some(format!("fallback.onDemand: {}", candidate.outcome)),
    }
}

/// Returns what to add about `fallback.models`, or `None` if the request has none.
pub(super) fn fallback_models(request: &Request, candidates: &[Candidate]) -> Option<String> {
    let of_fallbacks = candidates
        .iter()
        .filter(|candidate| candidate.model != request.model);
    let outcomes: Vec<String> = of_fallbacks
        .map(|candidate| format!("{}: {}", candidate.name(request), candidate.outcome))
        .collect();
    (!outcomes.is_empty()).then(|| format!("fallback.models: {}", outcomes.join(", ")))
}

/// Returns the message for a model whose life has ended.
pub(super) fn life_ended(
    request: &Request,
    end: Date,
    known: &Known,
    context: &Context<'_>,
) -> String {
    let Request {
        model,
        source_region,
        ..
    } = request;
    let catalog = match known.basis {
        Basis::Listing => String::new(),
        Basis::Embedded => format!(
            ", so the {} catalog of {} proves nothing",
            context.catalog.source().as_str(),
            context.catalog.as_of().unwrap_or("an unknown date")
        ),
    };
    let origin = known.origin(context.embedded);
    let successors = successors_in_words(request, &super::successors(model, request, context));
    format!(
        "the life of {model} in {source_region} ended on {end}{origin}{catalog}; successors: {successors}; set model to one of them"
    )
}

/// Returns the message for a model without any profile that is callable from the source region.
pub(super) fn no_profile_of_model(request: &Request, context: &Context<'_>) -> String {
    let hints = context.embedded;
    let Request {
        model,
        source_region,
        ..
    } = request;
    let head = format!("no inference profile of {model} is callable from {source_region}");
    if let Some((geography, meant)) = as_profile_id(model, hints) {
        return format!(
            "{model} is a profile ID, not a foundation model ID; set model to {meant} and geography to {geography}"
        );
    }
    let routes: Vec<String> = hints
        .current_routes(model)
        .iter()
        .map(|(geography, regions)| {
            format!(
                "{geography} from {}",
                list(regions.iter().map(Region::as_str), 6)
            )
        })
        .collect();
    let elsewhere = format!("it is callable as {}", routes.join("; "));
    let wanted = |geography: &Geography| request.geographies().any(|wanted| wanted == geography);
    let retired: Vec<_> = hints
        .retired(model)
        .filter(|profile| routes.is_empty() || wanted(&profile.geography))
        .collect();
    if let Some(last) = retired.iter().max_by_key(|profile| profile.last_seen) {
        let ids: Vec<&str> = retired.iter().map(|profile| profile.id.as_str()).collect();
        let elsewhere = if routes.is_empty() {
            String::new()
        } else {
            format!("; {elsewhere}")
        };
        return format!(
            "{head}; {} was last listed on {}; successors: {}{elsewhere}",
            ids.join(", "),
            last.last_seen,
            successors_in_words(request, &super::successors(model, request, context))
        );
    }
    if !routes.is_empty() {
        return format!("{head}; {elsewhere}; set sourceRegion to one of these");
    }
    let on_demand = hints.on_demand_regions(model);
    if !on_demand.is_empty() {
        return format!(
            "{head}: it has no profile; invoke it on demand, by its model ID, from {}",
            list(on_demand.iter().map(Region::as_str), 8)
        );
    }
    format!(
        "{head}, and none is known in public data of {}; nearest model IDs: {}",
        hints.as_of(),
        nearest(model, hints).join(", ")
    )
}

/// Splits a model ID that is in fact a profile ID into geography and model.
fn as_profile_id(given: &ModelId, hints: &Embedded) -> Option<(Geography, ModelId)> {
    let id: ProfileId = given.as_str().parse().ok()?;
    let (_, rest) = id.as_str().split_once('.')?;
    let model: ModelId = rest.parse().ok()?;
    let known = hints.models().any(|known| *known == model);
    known.then(|| Some((id.geography(&model)?, model)))?
}

/// Returns the model IDs whose spelling is most similar to this one, the most similar first.
fn nearest(model: &ModelId, hints: &Embedded) -> Vec<String> {
    let distance = |known: &ModelId| strsim::damerau_levenshtein(model.as_str(), known.as_str());
    let mut known: Vec<&ModelId> = hints
        .models()
        .filter(|known| !hints.current_routes(known).is_empty())
        .collect();
    known.sort_by_cached_key(|known| (distance(known), known.as_str().to_owned()));
    known
        .into_iter()
        .take(SUGGESTIONS)
        .map(ToString::to_string)
        .collect()
}

/// Returns the provider's other active models that are callable from the source region, as the request asks and the limits
/// allow. Models that share more words with the given one come first, then those with later names.
pub(super) fn successors(
    model: &ModelId,
    request: &Request,
    context: &Context<'_>,
) -> Vec<ModelId> {
    let Context {
        catalog,
        limits,
        embedded,
        day,
    } = *context;
    let is_active = |other: &ModelId| {
        let known = lifecycle::known(catalog, embedded, other);
        known.is_none_or(|known| State::of(&known.lifecycle, day) == State::Active)
    };
    let profiles = catalog.profiles().iter();
    let by_profile = profiles
        .filter(|profile| request.geographies().any(|it| *it == profile.geography))
        .map(|profile| profile.route(&request.source_region));
    let models = catalog.models().unwrap_or_default().iter();
    let on_demand = models
        .filter(|model| request.on_demand && model.on_demand)
        .map(|model| Route::on_demand(model.id.clone(), request.source_region.clone()));
    let found: BTreeSet<ModelId> = by_profile
        .chain(on_demand)
        .filter(|route| route.model.provider() == model.provider() && route.model != *model)
        .filter(|route| is_active(&route.model) && limits.judge(route, embedded).permits())
        .map(|route| route.model)
        .collect();
    let family = words(model);
    let mut found: Vec<(usize, ModelId)> = found
        .into_iter()
        .map(|other| (words(&other).intersection(&family).count(), other))
        .collect();
    found.sort_by(|(a_shared, a), (b_shared, b)| b_shared.cmp(a_shared).then_with(|| b.cmp(a)));
    found.into_iter().map(|(_, model)| model).collect()
}

/// Describes successors: the first few of them, or where to look for other models if there are none.
#[must_use]
pub fn successors_in_words(request: &Request, successors: &[ModelId]) -> String {
    if successors.is_empty() {
        return format!(
            "none in {} from {}; see `catalog list --region {}`",
            request.geography, request.source_region, request.source_region
        );
    }
    list(successors.iter().map(ModelId::as_str), SUGGESTIONS)
}

/// Returns the words of a model ID without numbers and versions, which name its family.
fn words(model: &ModelId) -> BTreeSet<&str> {
    model
        .as_str()
        .split(['.', '-', ':'])
        .filter(|word| word.chars().all(|c| c.is_ascii_alphabetic()) && !word.is_empty())
        .collect()
}
