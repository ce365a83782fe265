//! Names the bindings that would take the place of what is hard-coded.

use std::collections::{BTreeMap, BTreeSet};

use super::{Named, Reference, Verdict, judge::Judged, judge::Scene};
use crate::{
    catalog::Catalog,
    resolve::{self, Context, Request},
    route::Route,
    types::{Geography, ModelId, Region},
};

/// Most characters of the name of a binding.
const NAME: usize = 63;

/// A binding that would take the place of what is hard-coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggested {
    /// A name for it, which no other one has.
    pub name: String,
    /// The model.
    pub model: ModelId,
    /// The geography.
    pub geography: Geography,
    /// The source region, if an ARN or the user names one.
    pub source_region: Option<Region>,
    /// Whether the model has to be called on demand, for want of a profile.
    pub on_demand: bool,
    /// The texts that it replaces.
    pub replaces: BTreeSet<String>,
    /// What it changes, if it is another model or geography than a text names.
    pub changes: BTreeSet<String>,
}

/// What tells bindings apart: model, geography and source region.
type Key = (ModelId, Geography, Option<Region>);

/// Returns a binding for each model, geography and source region, and for each text that none can replace, why.
#[must_use]
pub fn suggest<'a>(
    findings: impl IntoIterator<Item = (&'a str, &'a Reference, &'a Judged)>,
    scene: &Scene<'_>,
) -> (Vec<Suggested>, BTreeMap<String, String>) {
    let mut bindings: BTreeMap<Key, Suggested> = BTreeMap::new();
    let mut without = BTreeMap::new();
    for (text, reference, judged) in findings {
        match proposal(reference, judged, scene) {
            Err(why) => {
                without.insert(text.to_owned(), why);
            }
            Ok(found) => {
                let key = (
                    found.model.clone(),
                    found.geography.clone(),
                    found.source_region.clone(),
                );
                let changes = found.changes(reference);
                let binding = bindings.entry(key).or_insert_with(|| found.binding());
                binding.replaces.insert(text.to_owned());
                binding.changes.extend(changes);
            }
        }
    }
    let mut bindings: Vec<Suggested> = bindings.into_values().collect();
    name(&mut bindings);
    (bindings, without)
}

/// What is proposed in the place of one reference.
struct Proposal {
    model: ModelId,
    geography: Geography,
    source_region: Option<Region>,
    on_demand: bool,
}

impl Proposal {
    fn binding(self) -> Suggested {
        Suggested {
            name: String::new(),
            model: self.model,
            geography: self.geography,
            source_region: self.source_region,
            on_demand: self.on_demand,
            replaces: BTreeSet::new(),
            changes: BTreeSet::new(),
        }
    }

    fn changes(&self, reference: &Reference) -> Vec<String> {
        let mut changes = Vec::new();
        if let Some(model) = reference.named.model().filter(|it| **it != self.model) {
            changes.push(format!(
                "{} takes the place of {model}: try it first",
                self.model
            ));
        }
        let geography = reference.named.geography();
        if let Some(geography) = geography.filter(|it| **it != self.geography) {
            changes.push(format!("{} takes the place of {geography}", self.geography));
        }
        changes
    }
}

fn proposal(reference: &Reference, judged: &Judged, scene: &Scene<'_>) -> Result<Proposal, String> {
    let Some(model) = reference.named.model() else {
        return Err(
            "an application profile: its ARN does not tell the model, so write the binding by hand"
                .to_owned(),
        );
    };
    let is = |verdict| judged.opinions.iter().any(|it| it.verdict == verdict);
    if is(Verdict::UnknownModel) {
        return Err(format!("no model {model} is known"));
    }
    let own = reference.named.geography();
    let own = own.filter(|_| !is(Verdict::UnknownPrefix));
    let region = reference.arn_region().or(scene.region);
    let catalog = region.and_then(|region| Some((region, scene.catalogs.get(region)?)));
    let Some((region, catalog)) = catalog else {
        return without_region(model, own, is(Verdict::Gone), scene);
    };
    let needs_another = is(Verdict::Gone) || is(Verdict::EndOfLife);
    let is_bare = matches!(reference.named, Named::Model(_));
    let geographies = geographies(model, own, catalog, scene);
    for geography in &geographies {
        let request = Request {
            model: model.clone(),
            fallback_models: Vec::new(),
            geography: geography.clone(),
            fallbacks: Vec::new(),
            on_demand: false,
            source_region: region.clone(),
            application: None,
        };
        let context = Context {
            catalog,
            limits: scene.limits,
            embedded: scene.embedded,
            day: scene.day,
        };
        let mut models = Vec::new();
        if !needs_another {
            models.push(model.clone());
        }
        models.extend(
            resolve::successors(model, &request, &context)
                .into_iter()
                .filter(|_| needs_another),
        );
        let served = models.into_iter().find(|model| {
            let profile = catalog.find(model, geography);
            profile.is_some_and(|profile| {
                let judgement = scene.limits.judge(&profile.route(region), scene.embedded);
                judgement.permits()
            })
        });
        if let Some(model) = served {
            return Ok(Proposal {
                model,
                geography: geography.clone(),
                source_region: Some(region.clone()),
                on_demand: false,
            });
        }
    }
    let on_demand = catalog.model(model).is_some_and(|model| model.on_demand) && !needs_another;
    let route = Route::on_demand(model.clone(), region.clone());
    let is_allowed = scene.limits.judge(&route, scene.embedded).permits();
    match geographies.into_iter().next() {
        Some(geography) if is_bare && on_demand && is_allowed => Ok(Proposal {
            model: model.clone(),
            geography,
            source_region: Some(region.clone()),
            on_demand: true,
        }),
        _ => Err(format!(
            "nothing that is allowed can be called from {region} in its place: see `catalog list --region {region}`"
        )),
    }
}

/// Returns the geographies to try, in this order: those that were asked for, or the one that stands there, or those that have a
/// profile of the model, or else those of the region. Global is never chosen for a text that does not say so.
fn geographies(
    model: &ModelId,
    own: Option<&Geography>,
    catalog: &Catalog,
    scene: &Scene<'_>,
) -> Vec<Geography> {
    if !scene.geographies.is_empty() {
        return scene.geographies.to_vec();
    }
    let mut found: Vec<Geography> = own.cloned().into_iter().collect();
    let of_model = catalog.profiles_of(model).iter();
    // The geography with the most profiles is the one of the region.
    let mut counts: BTreeMap<&Geography, usize> = BTreeMap::new();
    for profile in catalog.profiles() {
        *counts.entry(&profile.geography).or_default() += 1;
    }
    let mut of_region: Vec<(&Geography, usize)> = counts.into_iter().collect();
    of_region.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others = of_model
        .map(|profile| &profile.geography)
        .chain(of_region.into_iter().map(|(geography, _)| geography))
        .filter(|geography| geography.as_str() != "global");
    for geography in others {
        if !found.contains(geography) {
            found.push(geography.clone());
        }
    }
    found
}

fn without_region(
    model: &ModelId,
    own: Option<&Geography>,
    is_gone: bool,
    scene: &Scene<'_>,
) -> Result<Proposal, String> {
    if is_gone {
        return Err("give --region, to see what can take its place".to_owned());
    }
    let current = scene.embedded.current_routes(model);
    let mut wanted = scene.geographies.iter().chain(own);
    let geography = wanted.find(|geography| current.contains_key(*geography));
    match geography {
        Some(geography) => Ok(Proposal {
            model: model.clone(),
            geography: geography.clone(),
            source_region: None,
            on_demand: false,
        }),
        None => Err("give --region, or --geography, to see what can take its place".to_owned()),
    }
}

/// Gives each binding a name of its own, made from its model and geography, and from its source region where that tells it from
/// another.
fn name(bindings: &mut [Suggested]) {
    let short = |binding: &Suggested| {
        let model = binding.model.as_str();
        let model = model.split_once('.').map_or(model, |(_, name)| name);
        format!("{model}-{}", binding.geography).replace(['.', ':'], "-")
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for binding in bindings.iter() {
        *counts.entry(short(binding)).or_default() += 1;
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for binding in bindings {
        let mut name = short(binding);
        if counts.get(&name).is_some_and(|count| *count > 1)
            && let Some(region) = &binding.source_region
        {
            name = format!("{name}-{region}");
        }
        name.truncate(NAME);
        let stem = name.trim_matches('-').to_owned();
        let mut name = stem.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            let end = format!("-{number}");
            name = stem.chars().take(NAME - end.len()).collect::<String>() + &end;
            number += 1;
        }
        binding.name = name;
    }
}

#[cfg(test)]
mod tests;
