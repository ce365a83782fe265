//! The messages of unresolved requests: what is available instead, and what to do next.

use std::{collections::BTreeSet, fmt};

use jiff::civil::Date;

use crate::{
    catalog::{SourceKind, embedded::Embedded, regions::Absence},
    lifecycle::{self, Basis, State},
    route::Route,
    types::{Geography, ModelId, ProfileId, Region},
};

use super::{Candidate, CandidateOutcome, Choice, Context, Request};

/// Most suggestions in a message; people do not read more.
pub const SUGGESTIONS: usize = 3;

/// What the embedded data say of a profile that the catalog does not list for a request's source region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The date of the data, an RFC 3339 date.
    as_of: &'static str,
    /// Other source regions from which the profile is callable.
    callable_from: Vec<Region>,
    /// Whether the data have it from the request's own source region, which the listing contradicts.
    listed_here: bool,
    /// When the data last saw the profile, an RFC 3339 date, if it is no longer listed.
    last_listed: Option<&'static str>,
    /// Why the geography is none, if neither the catalog nor the data know it.
    not_a_geography: Option<String>,
}

impl Known {
    pub(super) fn of(
        model: &ModelId,
        geography: &Geography,
        request: &Request,
        context: &Context<'_>,
    ) -> Self {
        let (catalog, hints) = (context.catalog, context.embedded);
        let mut callable_from = hints
            .current_routes(model)
            .remove(geography)
            .unwrap_or_default();
        let all = callable_from.len();
        callable_from.retain(|region| *region != request.source_region);
        let is_listed = catalog
            .profiles()
            .iter()
            .any(|profile| profile.geography == *geography);
        Self {
            as_of: hints.as_of(),
            listed_here: callable_from.len() < all,
            callable_from,
            last_listed: hints
                .retired(model)
                .find(|profile| profile.geography == *geography)
                .map(|profile| profile.last_seen),
            not_a_geography: (!is_listed)
                .then(|| not_a_geography(geography, hints))
                .flatten(),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            as_of,
            callable_from,
            listed_here,
            last_listed,
            not_a_geography,
        } = self;
        if let Some(why) = not_a_geography {
            return f.write_str(why);
        }
        match (callable_from.as_slice(), listed_here, last_listed) {
            ([], true, _) => f.write_str("not listed there any more, or not for this account"),
            ([], false, Some(date)) => write!(f, "last listed on {date}"),
            ([], false, None) => f.write_str("no such profile is known"),
            (regions, ..) => {
                let regions = list(regions.iter().map(Region::as_str), 8);
                write!(f, "callable only from {regions}")
            }
        }?;
        write!(f, " {}", by_the_data(as_of))
    }
}

/// Marks what goes before as taken from the embedded data, which a listing may contradict.
fn by_the_data(as_of: &str) -> String {
    format!("(by the embedded data of {as_of})")
}

/// What people write for a part of the world, and the geographies that serve it.
struct Guess {
    names: &'static [&'static str],
    place: &'static str,
    geographies: &'static [&'static str],
    /// Whether there are geographies for this place. If not, these serve it together with others.
    own: bool,
}

/// Names that are no geographies of Bedrock. A test insists that the geographies in it are.
const GUESSES: &[Guess] = &[
    Guess {
        names: &[
            "ap",
            "asia",
            "apj",
            "asia-pacific",
            "ap-northeast",
            "ap-southeast",
            "ap-south",
            "ap-east",
        ],
        place: "Asia",
        geographies: &["apac", "jp", "au", "in"],
        own: true,
    },
    Guess {
        names: &["japan", "jpn", "ja", "tokyo", "osaka"],
        place: "Japan",
        geographies: &["jp"],
        own: true,
    },
    Guess {
        names: &["australia", "aus", "anz", "nz", "sydney"],
        place: "Australia",
        geographies: &["au"],
        own: true,
    },
    Guess {
        names: &["india", "ind", "mumbai"],
        place: "India",
        geographies: &["in"],
        own: true,
    },
    Guess {
        names: &[
            "europe",
            "eur",
            "eea",
            "emea",
            "eu-west",
            "eu-central",
            "eu-north",
            "eu-south",
            "de",
            "germany",
            "fr",
            "france",
            "ie",
            "ireland",
        ],
        place: "Europe",
        geographies: &["eu"],
        own: true,
    },
    Guess {
        names: &[
            "america",
            "americas",
            "usa",
            "na",
            "amer",
            "nam",
            "north-america",
            "us-east",
            "us-west",
        ],
        place: "North America",
        geographies: &["us", "ca"],
        own: true,
    },
    Guess {
        names: &["canada", "can", "ca-central", "ca-west"],
        place: "Canada",
        geographies: &["ca"],
        own: true,
    },
    Guess {
        names: &[
            "gov",
            "govcloud",
            "usgov",
            "us-govcloud",
            "us-gov-west",
            "us-gov-east",
        ],
        place: "AWS GovCloud (US)",
        geographies: &["us-gov"],
        own: true,
    },
    Guess {
        names: &[
            "world",
            "worldwide",
            "ww",
            "any",
            "all",
            "anywhere",
            "default",
            "auto",
        ],
        place: "any region",
        geographies: &["global"],
        own: true,
    },
    Guess {
        names: &[
            "uk",
            "gb",
            "britain",
            "england",
            "london",
            "ch",
            "switzerland",
        ],
        place: "the United Kingdom and Switzerland",
        geographies: &["eu", "global"],
        own: false,
    },
    Guess {
        names: &["kr", "korea", "sg", "singapore", "id", "indonesia"],
        place: "Korea, Singapore and Indonesia",
        geographies: &["apac", "global"],
        own: false,
    },
    Guess {
        names: &[
            "sa",
            "latam",
            "south-america",
            "br",
            "brazil",
            "mx",
            "mexico",
        ],
        place: "Latin America",
        geographies: &["global"],
        own: false,
    },
    Guess {
        names: &["me", "mea", "af", "africa", "middle-east", "za"],
        place: "Africa and the Middle East",
        geographies: &["global"],
        own: false,
    },
];

/// Returns why a name is not a geography, with those that may be meant, as the rest of a sentence that begins with
/// "NAME is". Returns `None` for a geography that the embedded data know.
#[must_use]
pub fn not_a_geography(geography: &Geography, hints: &Embedded) -> Option<String> {
    let known = geographies(hints);
    if known.contains(geography) {
        return None;
    }
    let guess = GUESSES
        .iter()
        .find(|guess| guess.names.contains(&geography.as_str()));
    Some(match guess {
        Some(guess) if guess.own => format!(
            "not a geography of Bedrock; for {} it is {}",
            guess.place,
            alternatives(guess.geographies)
        ),
        Some(guess) => format!(
            "not a geography of Bedrock; none is for {} alone, which {} may serve",
            guess.place,
            alternatives(guess.geographies)
        ),
        None => format!(
            "not a geography of Bedrock; there are {} {}",
            list(known.iter().map(Geography::as_str), 12),
            by_the_data(hints.as_of())
        ),
    })
}

/// Says whether a name that is no geography is one that people take for one, such as `ap`.
#[must_use]
pub fn is_taken_for_a_geography(name: &Geography) -> bool {
    GUESSES
        .iter()
        .any(|guess| guess.names.contains(&name.as_str()))
}

/// Returns the geographies that the embedded data have, or had, a profile of.
#[must_use]
pub fn geographies(hints: &Embedded) -> BTreeSet<Geography> {
    let of = |model| {
        let retired = hints
            .retired(model)
            .map(|profile| profile.geography.clone());
        hints.current_routes(model).into_keys().chain(retired)
    };
    hints.models().flat_map(of).collect()
}

/// Joins names with commas, and the last two with "or".
fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
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
    let head = format!("no inference profile is callable from {region}");
    let why = match hints.regions().absence(region) {
        Some(why @ Absence::NoRegion { .. }) => return format!("{head}: {why}; {advice}"),
        Some(why) => format!(": {why}"),
        None => String::new(),
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
            "; regions of this area that are source regions: {} {}",
            list(nearby.into_iter(), 12),
            by_the_data(hints.as_of())
        )
    };
    format!("{head}{why}{instead}; {advice}")
}

/// Returns the message for a model that has profiles callable from the source region, but of other geographies.
pub(super) fn no_profile_in_geography(
    request: &Request,
    candidates: &[Candidate],
    context: &Context<'_>,
) -> String {
    let (catalog, hints) = (context.catalog, context.embedded);
    let Request {
        model,
        geography,
        source_region,
        ..
    } = request;
    let available = catalog.profiles_of(model).iter();
    let permitted: Vec<&str> = available
        .clone()
        .filter(|profile| {
            let route = profile.route(source_region);
            context.limits.judge(&route, hints).permits()
        })
        .map(|profile| profile.geography.as_str())
        .collect();
    let advice = if permitted.is_empty() {
        "none of these is within the residency limits: call from another source region, or widen them".to_owned()
    } else {
        format!(
            "set geography to {}, or list it in fallback.geographies",
            alternatives(&permitted)
        )
    };
    let available = list(available.map(|profile| profile.geography.as_str()), 12);
    let from_data = catalog.source() == SourceKind::Embedded;
    let listed = if from_data {
        format!("callable from there: {available}")
    } else {
        format!("the listing of {source_region} has: {available}")
    };
    let elsewhere: Vec<String> = candidates
        .iter()
        .filter_map(|candidate| match &candidate.outcome {
            CandidateOutcome::NotCallable { known } => known.in_words(&candidate.choice, request),
            _ => None,
        })
        .collect();
    let mark = if from_data || !elsewhere.is_empty() {
        format!(" {}", by_the_data(hints.as_of()))
    } else {
        String::new()
    };
    let known = std::iter::once(listed)
        .chain(elsewhere)
        .collect::<Vec<_>>()
        .join("; ");
    let passed_over = candidates
        .iter()
        .filter_map(|candidate| match &candidate.outcome {
            CandidateOutcome::NotAllowed(outside) if candidate.choice != Choice::OnDemand => {
                Some(format!(
                    "fallback {} passed over, because it breaks the residency limit: {outside}",
                    candidate.choice
                ))
            }
            _ => None,
        });
    std::iter::once(format!(
        "no {geography} profile of {model} is callable from {source_region}"
    ))
    .chain(no_geographies(candidates))
    .chain([format!("{known}{mark}")])
    .chain(passed_over)
    .chain([advice])
    .collect::<Vec<_>>()
    .join("; ")
}

impl Known {
    /// Returns from where else the profile is callable, without the mark of the embedded data.
    fn in_words(&self, choice: &Choice, request: &Request) -> Option<String> {
        let from = &request.source_region;
        let regions = list(self.callable_from.iter().map(Region::as_str), 8);
        match (self.callable_from.is_empty(), self.listed_here) {
            (true, false) => None,
            (true, true) => Some(format!("{choice} was callable from {from}")),
            (false, false) => Some(format!("{choice} is callable from: {regions}")),
            (false, true) => Some(format!(
                "{choice} is callable from: {regions}, and was from {from}"
            )),
        }
    }
}

/// Returns a sentence for each requested geography that is none.
fn no_geographies(candidates: &[Candidate]) -> impl Iterator<Item = String> {
    candidates
        .iter()
        .filter_map(|candidate| match &candidate.outcome {
            CandidateOutcome::NotCallable { known } => {
                let why = known.not_a_geography.as_ref()?;
                Some(format!("{} is {why}", candidate.choice))
            }
            _ => None,
        })
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
    known: &lifecycle::Known,
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
            ", so the {} catalog of {} does not count",
            context.catalog.source().as_str(),
            context.catalog.as_of().unwrap_or("an unknown date")
        ),
    };
    let origin = known.origin(context.embedded);
    let successors = super::successors(model, request, context);
    let advice = if successors.is_empty() {
        ""
    } else {
        "; set model to one of them"
    };
    format!(
        "the life of {model} in {source_region} ended on {end}{origin}{catalog}; successors: {}{advice}",
        successors_in_words(request, &successors)
    )
}

/// Returns the message for a model without any profile that is callable from the source region.
pub(super) fn no_profile_of_model(
    request: &Request,
    candidates: &[Candidate],
    context: &Context<'_>,
) -> String {
    let hints = context.embedded;
    let Request {
        model,
        source_region,
        ..
    } = request;
    if let Some((geography, meant)) = as_profile_id(model, hints) {
        return format!(
            "{model} is a profile ID, not a foundation model ID; set model to {meant} and geography to {geography}"
        );
    }
    let head = format!("no inference profile of {model} is callable from {source_region}");
    let mark = by_the_data(hints.as_of());
    let message = match elsewhere(request, context) {
        Some((known, None)) => format!("{head}; {known} {mark}"),
        Some((known, Some(advice))) => format!("{head}; {known} {mark}; {advice}"),
        None => format!(
            "{head}, and no such model is known; nearest model IDs: {} {mark}",
            nearest(model, hints).join(", ")
        ),
    };
    std::iter::once(message)
        .chain(no_geographies(candidates))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Returns what the embedded data know of a model that has no profile from the source region, and what to do. Returns `None`
/// for a model that they do not know.
fn elsewhere(request: &Request, context: &Context<'_>) -> Option<(String, Option<String>)> {
    let (catalog, hints) = (context.catalog, context.embedded);
    let Request {
        model,
        source_region,
        ..
    } = request;
    let current = hints.current_routes(model);
    let was_here = current
        .values()
        .any(|regions| regions.contains(source_region));
    let routes: Vec<String> = current
        .iter()
        .filter_map(|(geography, regions)| {
            let others = regions.iter().filter(|region| *region != source_region);
            let others = list(others.map(Region::as_str), 6);
            (!others.is_empty()).then(|| format!("{geography} from {others}"))
        })
        .collect();
    let callable = (!routes.is_empty()).then(|| format!("it is callable as {}", routes.join("; ")));
    let wanted = |geography: &Geography| request.geographies().any(|wanted| wanted == geography);
    let retired: Vec<_> = hints
        .retired(model)
        .filter(|profile| current.is_empty() || wanted(&profile.geography))
        .collect();
    if let Some(last) = retired.iter().max_by_key(|profile| profile.last_seen) {
        let ids: Vec<&str> = retired.iter().map(|profile| profile.id.as_str()).collect();
        let gone = format!(
            "{} was last listed on {}; successors: {}",
            ids.join(", "),
            last.last_seen,
            successors_in_words(request, &super::successors(model, request, context))
        );
        let parts: Vec<String> = std::iter::once(gone).chain(callable).collect();
        return Some((parts.join("; "), None));
    }
    if was_here {
        let gone = format!(
            "it was callable from there: it was removed since, or is not listed for this account; successors: {}",
            successors_in_words(request, &super::successors(model, request, context))
        );
        let parts: Vec<String> = std::iter::once(gone).chain(callable).collect();
        return Some((parts.join("; "), None));
    }
    if let Some(callable) = callable {
        let successors = super::successors(model, request, context);
        let advice = if successors.is_empty() {
            "set sourceRegion and geography to these".to_owned()
        } else {
            format!(
                "set sourceRegion and geography to these, or model to one that is callable from {source_region}: {}",
                successors_in_words(request, &successors)
            )
        };
        return Some((callable, Some(advice)));
    }
    let on_demand = hints.on_demand_regions(model);
    // A listing of models says itself whether this one is on demand here.
    let here_is_listed = catalog.models().is_some();
    let others = on_demand
        .iter()
        .filter(|region| !here_is_listed || *region != source_region);
    let others = list(others.map(Region::as_str), 8);
    if on_demand.is_empty() {
        None
    } else if others.is_empty() {
        Some((
            format!("it has no profile, and is on demand in {source_region} alone"),
            None,
        ))
    } else {
        Some((
            format!("it has no profile; invoke it on demand, by its model ID, from {others}"),
            None,
        ))
    }
}

/// Splits a model ID that is in fact a profile ID into geography and model.
fn as_profile_id(given: &ModelId, hints: &Embedded) -> Option<(Geography, ModelId)> {
    let id: ProfileId = given.as_str().parse().ok()?;
    let (_, rest) = id.as_str().split_once('.')?;
    let model: ModelId = rest.parse().ok()?;
    let known = hints.models().any(|known| *known == model);
    known.then(|| Some((id.geography(&model)?, model)))?
}

/// Returns the model IDs whose spelling is most similar to this one, the most similar first. Those that differ by an ending
/// come before all others: not every ID has a date and a version.
fn nearest(model: &ModelId, hints: &Embedded) -> Vec<String> {
    let continues = |long: &ModelId, short: &ModelId| {
        let ending = long.as_str().strip_prefix(short.as_str());
        ending.is_some_and(|ending| ending.starts_with(['-', ':']))
    };
    let distance = |known: &ModelId| {
        let other = !(continues(known, model) || continues(model, known));
        let distance = strsim::damerau_levenshtein(model.as_str(), known.as_str());
        (other, distance)
    };
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
        .filter(|route| kind(&route.model) == kind(model))
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

/// Words in model IDs that tell what a model makes of what, where it is not text of text.
const KINDS: [&str; 9] = [
    "canvas", "embed", "image", "marengo", "pegasus", "reel", "rerank", "sonic", "voice",
];

/// Returns the kind of a model: one of another kind can't replace it.
fn kind(model: &ModelId) -> Vec<&'static str> {
    let words = words(model);
    KINDS
        .into_iter()
        .filter(|kind| words.contains(kind))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn geography(name: &str) -> Geography {
        name.parse().expect(name)
    }

    #[test]
    fn guesses_are_no_geographies_and_lead_to_some() {
        let data = Embedded::load();
        let known = geographies(data);
        let names: Vec<&str> = known.iter().map(Geography::as_str).collect();
        assert_eq!(
            names,
            [
                "apac", "au", "ca", "eu", "global", "in", "jp", "us", "us-gov"
            ]
        );
        let mut seen = BTreeSet::new();
        for guess in GUESSES {
            assert!(!guess.geographies.is_empty(), "{}", guess.place);
            for geography in guess.geographies {
                assert!(names.contains(geography), "{geography}");
            }
            for name in guess.names {
                assert!(seen.insert(name), "{name} is there twice");
                assert!(!known.contains(&geography(name)), "{name}");
                let why = not_a_geography(&geography(name), data).expect(name);
                assert!(why.starts_with("not a geography of Bedrock; "), "{why}");
            }
        }
        for name in names {
            assert_eq!(not_a_geography(&geography(name), data), None);
        }
    }

    #[test]
    fn guesses_in_words() {
        for (name, expected) in [
            ("ap", "for Asia it is apac, jp, au or in"),
            ("jpn", "for Japan it is jp"),
            ("usa", "for North America it is us or ca"),
            ("govcloud", "for AWS GovCloud (US) it is us-gov"),
            ("worldwide", "for any region it is global"),
            (
                "uk",
                "none is for the United Kingdom and Switzerland alone, which eu or global may serve",
            ),
        ] {
            let why = not_a_geography(&geography(name), Embedded::load()).expect(name);
            assert_eq!(why, format!("not a geography of Bedrock; {expected}"));
        }
    }
}
