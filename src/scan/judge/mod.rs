//! Says what is wrong with what a text names, from facts: a catalog, the embedded data, limits and a day.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::civil::Date;

use super::{Named, Reference, Verdict};
use crate::{
    catalog::{Catalog, Lifecycle, embedded::Embedded},
    lifecycle::{self, Basis, Known, State},
    residency::Limits,
    resolve,
    route::{Destinations, Invocation, Route},
    types::{Geography, ModelId, ProfileId, Region},
};

/// Most regions that a message names.
const NAMED: usize = 6;

/// What names are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The embedded data.
    pub embedded: &'a Embedded,
    /// What can be called from where, for every region that is asked for.
    pub catalogs: &'a BTreeMap<Region, Arc<Catalog>>,
    /// Where requests are sent from that name no region themselves.
    pub region: Option<&'a Region>,
    /// The geographies that profiles may have. Empty: any.
    pub geographies: &'a [Geography],
    /// The limits.
    pub limits: &'a Limits,
    /// Today, in UTC.
    pub day: Date,
}

/// A verdict, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opinion {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, and what is available instead. Empty where nothing is wrong but that it is hard-coded.
    pub message: String,
}

/// What was found out about a reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// What is wrong, the most serious first; never empty, and each verdict once.
    pub opinions: Vec<Opinion>,
    /// The day on which the life of the model ends, in the region that is asked or in every one.
    pub end_of_life: Option<Date>,
}

/// Says what is wrong with a reference.
#[must_use]
pub fn judge(reference: &Reference, scene: &Scene<'_>) -> Judged {
    let mut judging = Judging {
        scene,
        region: reference.arn_region().or(match reference.arn {
            // An ARN without a region is that of a global profile's models, or of any region.
            Some(None) => None,
            _ => scene.region,
        }),
        judged: Judged::default(),
    };
    match &reference.named {
        Named::ApplicationProfile => judging.application_profile(),
        Named::Model(model) if reference.arn.is_some() => judging.model_arn(model),
        Named::Model(model) => judging.model(model),
        Named::Profile {
            id,
            geography,
            model,
        } => judging.profile(id, geography, model),
    }
    let mut judged = judging.judged;
    if judged.opinions.is_empty() {
        judged.opinions.push(Opinion {
            verdict: Verdict::HardCoded,
            message: String::new(),
        });
    }
    judged.opinions.sort_by_key(|opinion| opinion.verdict);
    judged.opinions.dedup_by_key(|opinion| opinion.verdict);
    if judged.opinions.iter().any(|it| it.verdict == Verdict::Gone) {
        // What came before the end of a life is no news after it.
        let is_earlier = |verdict| matches!(verdict, Verdict::EndOfLife | Verdict::Legacy);
        judged.opinions.retain(|it| !is_earlier(it.verdict));
    }
    judged
}

struct Judging<'a> {
    scene: &'a Scene<'a>,
    region: Option<&'a Region>,
    judged: Judged,
}

impl<'a> Judging<'a> {
    fn say(&mut self, verdict: Verdict, message: String) {
        self.judged.opinions.push(Opinion { verdict, message });
    }

    fn catalog(&self) -> Option<(&'a Region, &'a Catalog)> {
        let region = self.region?;
        Some((region, self.scene.catalogs.get(region)?))
    }

    fn by_the_data(&self) -> String {
        format!("(by the embedded data of {})", self.scene.embedded.as_of())
    }

    /// Says whether anything knows a model.
    fn is_known(&self, model: &ModelId) -> bool {
        let data = self.scene.embedded;
        let listed = self.scene.catalogs.values();
        data.models().any(|known| known == model)
            || !data.on_demand_regions(model).is_empty()
            || data.lifecycles().any(|(known, ..)| known == model)
            || listed
                .into_iter()
                .any(|it| it.model(model).is_some() || !it.profiles_of(model).is_empty())
    }

    fn unknown_model(&mut self, model: &ModelId) {
        let message = format!(
            "no model {model} is known: mistyped, long gone, or newer than the data; see `catalog list --model '{}.*'` {}",
            model.provider(),
            self.by_the_data()
        );
        self.say(Verdict::UnknownModel, message);
    }

    fn application_profile(&mut self) {
        let Some(region) = self.region else { return };
        let alone = Destinations::regions(vec![region.clone()]);
        if self.scene.limits.verdict(region, &alone).forbids() {
            let message = format!(
                "it is called from {region}, which is not allowed; where requests are served, its ARN does not tell"
            );
            self.say(Verdict::OutsideLimit, message);
        }
    }

    fn model_arn(&mut self, model: &ModelId) {
        if !self.is_known(model) {
            return self.unknown_model(model);
        }
        let regions = match self.region {
            Some(region) => vec![region.clone()],
            None => self.regions_of(model),
        };
        self.life(model, &regions, false);
        if let Some(region) = self.region {
            self.limit(&[Route::on_demand(model.clone(), region.clone())]);
        }
    }

    fn model(&mut self, model: &ModelId) {
        if !self.is_known(model) {
            return self.unknown_model(model);
        }
        let data = self.scene.embedded;
        let on_demand = data.on_demand_regions(model);
        let Some((region, catalog)) = self.catalog() else {
            let regions = self.regions_of(model);
            self.life(model, &regions, false);
            if regions.is_empty() {
                self.no_longer_offered(model);
            } else if on_demand.is_empty() {
                let geographies: Vec<String> = data
                    .current_routes(model)
                    .keys()
                    .map(ToString::to_string)
                    .collect();
                let message = format!(
                    "{model} is on demand in no region; its profiles are of: {} {}",
                    geographies.join(", "),
                    self.by_the_data()
                );
                self.say(Verdict::ProfileOnlyModel, message);
            } else {
                let routes = on_demand.iter().cloned();
                let routes: Vec<Route> = routes
                    .map(|region| Route::on_demand(model.clone(), region))
                    .collect();
                self.limit(&routes);
            }
            return;
        };
        let is_listed = catalog.model(model).is_some();
        let is_on_demand = match catalog.models() {
            Some(_) => catalog.model(model).is_some_and(|model| model.on_demand),
            None => on_demand.contains(region),
        };
        let profiles = catalog.profiles_of(model);
        self.life(model, std::slice::from_ref(region), is_listed);
        if is_on_demand {
            self.limit(&[Route::on_demand(model.clone(), region.clone())]);
        } else if !profiles.is_empty() {
            let ids: Vec<&str> = profiles.iter().map(|profile| profile.id.as_str()).collect();
            let message = format!(
                "{model} is not on demand in {region}: call it through {}",
                ids.join(" or ")
            );
            self.say(Verdict::ProfileOnlyModel, message);
        } else if self.regions_of(model).is_empty() {
            self.no_longer_offered(model);
        } else {
            let message = format!(
                "{model} can't be called from {region}; it can from {} {}",
                list(&self.regions_of(model)),
                self.by_the_data()
            );
            self.say(Verdict::WrongGeography, message);
        }
    }

    fn profile(&mut self, id: &ProfileId, geography: &Geography, model: &ModelId) {
        let data = self.scene.embedded;
        let wanted = self.scene.geographies;
        let is_of_another = !wanted.is_empty() && !wanted.contains(geography);
        let in_data = data.current_routes(model).remove(geography);
        let sources = in_data.unwrap_or_default();
        let catalog = self.catalog();
        let listed = catalog.and_then(|(region, catalog)| {
            let mut profiles = catalog.profiles_of(model).iter();
            Some((region, profiles.find(|profile| profile.id == *id)?))
        });
        if let Some((region, profile)) = listed {
            self.life(model, std::slice::from_ref(region), true);
            self.limit(&[profile.route(region)]);
        } else if sources.is_empty() && !self.is_geography(geography) {
            let why = resolve::not_a_geography(geography, data).unwrap_or_default();
            self.say(Verdict::UnknownPrefix, format!("{geography} is {why}"));
            if !self.is_known(model) {
                self.unknown_model(model);
            }
            return;
        } else if !self.is_known(model) {
            return self.unknown_model(model);
        } else if sources.is_empty() {
            self.not_current(id, geography, model);
        } else if let Some((region, catalog)) = catalog {
            self.life(model, std::slice::from_ref(region), false);
            if sources.contains(region) {
                let message = format!(
                    "{id} was listed in {region} on {}, and the {} catalog does not have it",
                    data.as_of(),
                    catalog.source().as_str()
                );
                self.say(Verdict::Gone, message);
            } else {
                let here: Vec<&str> = catalog
                    .profiles_of(model)
                    .iter()
                    .map(|profile| profile.geography.as_str())
                    .collect();
                let here = if here.is_empty() {
                    format!("{region} has no profile of {model}")
                } else {
                    format!("{region} has: {}", here.join(", "))
                };
                let message = format!(
                    "{id} can't be called from {region}, only from {}; {here} {}",
                    list(&sources),
                    self.by_the_data()
                );
                self.say(Verdict::WrongGeography, message);
            }
        } else {
            self.life(model, &sources, false);
            let routes: Vec<Route> = sources
                .iter()
                .filter_map(|source| {
                    let destinations = data.destinations(id, source)?;
                    Some(Route {
                        invocation: Invocation::Profile {
                            id: id.clone(),
                            geography: geography.clone(),
                        },
                        model: model.clone(),
                        source_region: source.clone(),
                        destinations: destinations.clone(),
                    })
                })
                .collect();
            self.limit(&routes);
        }
        let is_said = |verdict| self.judged.opinions.iter().any(|it| it.verdict == verdict);
        if is_of_another && !is_said(Verdict::WrongGeography) {
            let wanted: Vec<&str> = wanted.iter().map(Geography::as_str).collect();
            let message = format!(
                "the geography is {geography}, and --geography asks for {}",
                wanted.join(" or ")
            );
            self.say(Verdict::WrongGeography, message);
        }
    }

    /// Judges a profile of a known model and geography that nothing lists.
    fn not_current(&mut self, id: &ProfileId, geography: &Geography, model: &ModelId) {
        let data = self.scene.embedded;
        let regions: Vec<Region> = self.region.cloned().into_iter().collect();
        self.life(model, &regions, false);
        let mut retired = data.retired(model);
        if let Some(retired) = retired.find(|retired| retired.geography == *geography) {
            let message = format!(
                "{id} was last listed on {} {}",
                retired.last_seen,
                self.by_the_data()
            );
            return self.say(Verdict::Gone, message);
        }
        if data.unconfirmed(model).any(|known| known == id) {
            return;
        }
        let others: Vec<String> = data
            .current_routes(model)
            .keys()
            .map(ToString::to_string)
            .collect();
        let others = if others.is_empty() {
            "it has none".to_owned()
        } else {
            format!("there are: {}", others.join(", "))
        };
        let message = format!(
            "no {geography} profile of {model} is known; {others} {}",
            self.by_the_data()
        );
        self.say(Verdict::WrongGeography, message);
    }

    fn no_longer_offered(&mut self, model: &ModelId) {
        let message = format!(
            "{model} can be called from no region any more {}",
            self.by_the_data()
        );
        self.say(Verdict::Gone, message);
    }

    fn is_geography(&self, geography: &Geography) -> bool {
        let mut listed = self.scene.catalogs.values().flat_map(|it| it.profiles());
        resolve::geographies(self.scene.embedded).contains(geography)
            || listed.any(|profile| profile.geography == *geography)
    }

    /// Returns the regions that a model can be called from, on demand or through a profile, by the embedded data.
    fn regions_of(&self, model: &ModelId) -> Vec<Region> {
        let data = self.scene.embedded;
        let through_profiles = data.current_routes(model).into_values().flatten();
        let on_demand = data.on_demand_regions(model).iter().cloned();
        let regions: BTreeSet<Region> = through_profiles.chain(on_demand).collect();
        regions.into_iter().collect()
    }

    /// Judges the life of a model in regions, by the one where it is longest: what holds there holds in all of them. Where there is
    /// no region, all that is known of the model counts.
    fn life(&mut self, model: &ModelId, regions: &[Region], is_listed: bool) {
        let data = self.scene.embedded;
        let day = self.scene.day;
        let known = |region: &Region| match self.scene.catalogs.get(region) {
            Some(catalog) => lifecycle::known(catalog, data, model),
            None => Some(Known {
                lifecycle: data.lifecycle(model, region),
                basis: Basis::Embedded,
            }),
        };
        let lives: Vec<(Option<&Region>, Known)> = if regions.is_empty() {
            let of_model = data.lifecycles().filter(|(of, ..)| *of == model);
            of_model
                .map(|(_, regions, lifecycle)| {
                    let basis = Basis::Embedded;
                    let region = regions.and_then(<[Region]>::first);
                    (region, Known { lifecycle, basis })
                })
                .collect()
        } else {
            let lives = regions.iter();
            lives
                .filter_map(|region| Some((Some(region), known(region)?)))
                .collect()
        };
        let longest = lives.iter().min_by_key(|(_, known)| {
            let Lifecycle { end_of_life, .. } = known.lifecycle;
            let state = State::of(&known.lifecycle, day);
            (state, std::cmp::Reverse(end_of_life.unwrap_or(Date::MAX)))
        });
        let Some((region, known)) = longest else {
            return;
        };
        self.judged.end_of_life = known.lifecycle.end_of_life;
        let verdict = match State::of(&known.lifecycle, day) {
            State::Active => return,
            State::Legacy | State::ExtendedAccess => Verdict::Legacy,
            State::EndOfLifeNear => Verdict::EndOfLife,
            // A live listing that still has it is believed.
            State::EndOfLifePassed if is_listed && known.basis == Basis::Listing => {
                Verdict::EndOfLife
            }
            State::EndOfLifePassed => Verdict::Gone,
        };
        let message = match region {
            Some(region) => lifecycle::describe(model, region, known, day, data),
            None => format!("{model} is legacy in all regions{}", known.origin(data)),
        };
        self.say(verdict, message);
    }

    /// Judges routes by the limits. Where several are possible, all of them must break a limit.
    fn limit(&mut self, routes: &[Route]) {
        let judgements = routes
            .iter()
            .map(|route| self.scene.limits.judge(route, self.scene.embedded));
        let broken: Option<Vec<String>> = judgements
            .map(|judgement| judgement.forbids().then(|| judgement.message()))
            .collect();
        if let Some(message) = broken.and_then(|messages| messages.into_iter().next()) {
            self.say(Verdict::OutsideLimit, message);
        }
    }
}

fn list(regions: &[Region]) -> String {
    let names: Vec<&str> = regions.iter().take(NAMED).map(Region::as_str).collect();
    let names = names.join(", ");
    match regions.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
