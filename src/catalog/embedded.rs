//! The data compiled in: the system-defined profiles of one date, where models are on demand, and the lifecycles of models.
//!
//! They answer without an AWS account, and they feed the hints of messages. They have a date and never prove that something
//! does *not* exist: nothing is retired because of them.
//!
//! The first lines of each file in `embedded/` explain its format.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, LazyLock},
};

use futures::future::{self, BoxFuture, FutureExt};
use jiff::civil::Date;

use super::{
    Catalog, CatalogError, FeedKey, FoundationModel, Lifecycle, Profile, Source, SourceKind,
    regions::Regions,
};
use crate::{
    route::Destinations,
    types::{Geography, ModelId, ProfileId, Region},
};

/// The files that are compiled in, in the order in which they are parsed.
const FILES: [&str; 3] = [
    include_str!("embedded/profiles.txt"),
    include_str!("embedded/models.txt"),
    include_str!("embedded/lifecycles.txt"),
];

static EMBEDDED: LazyLock<Embedded> = LazyLock::new(|| {
    let mut data = Parser::default();
    for line in FILES.into_iter().flat_map(str::lines) {
        // A test parses every line that is compiled in, so there is no error to report.
        let _ = data.line(line);
    }
    data.finish()
});

/// The catalogs of all regions, and what hints are made from.
#[derive(Debug)]
pub struct Embedded {
    as_of: &'static str,
    /// Sorted by model and geography.
    current: Vec<CurrentProfile>,
    /// Position of each current profile, by ID: looked up on every visit of a binding.
    by_id: HashMap<ProfileId, usize>,
    /// Sorted by model and geography.
    retired: Vec<(ModelId, RetiredProfile)>,
    /// Sorted by model.
    unconfirmed: Vec<(ModelId, ProfileId)>,
    models: BTreeSet<ModelId>,
    on_demand: BTreeMap<ModelId, Arc<[Region]>>,
    lifecycles_as_of: &'static str,
    /// The models that are not active everywhere, or have dates. Of a model, the lifecycle of all other regions is the last.
    lifecycles: BTreeMap<ModelId, Vec<RegionalLifecycle>>,
    source_regions: BTreeSet<Region>,
    regions: Regions,
}

/// A profile that can be called. All profiles share the texts of regions and destinations.
#[derive(Debug)]
struct CurrentProfile {
    id: ProfileId,
    model: ModelId,
    geography: Geography,
    name: &'static str,
    /// Sorted by source region.
    routes: Box<[(Region, Destinations)]>,
}

/// A lifecycle, and where it holds.
#[derive(Debug)]
struct RegionalLifecycle {
    /// Sorted. `None` means all regions that no other lifecycle of the model names.
    regions: Option<Vec<Region>>,
    lifecycle: Lifecycle,
}

impl RegionalLifecycle {
    fn holds_in(&self, region: &Region) -> bool {
        let regions = self.regions.as_ref();
        regions.is_none_or(|regions| regions.binary_search(region).is_ok())
    }
}

/// A line that says nothing that the data can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line:?}: {problem}")]
pub struct LineError {
    /// The line.
    pub line: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// A profile that public data once listed and no longer list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredProfile {
    /// The ID.
    pub id: ProfileId,
    /// The geography.
    pub geography: Geography,
    /// When it was last seen, an RFC 3339 date.
    pub last_seen: &'static str,
}

impl Embedded {
    /// Returns the data, parsed by the first call. Only the command line calls this; everything below is handed the data.
    #[must_use]
    pub fn load() -> &'static Self {
        &EMBEDDED
    }

    /// Returns the data that files say, given as profiles.txt, models.txt and lifecycles.txt: other ones than those compiled in,
    /// as `dev/catalog-data` writes them.
    ///
    /// # Errors
    /// [`LineError`] for the first line that says nothing.
    pub fn parse(files: [&'static str; 3]) -> Result<Self, LineError> {
        let mut data = Parser::default();
        for line in files.into_iter().flat_map(str::lines) {
            data.line(line)
                .map_err(|problem| LineError { line, problem })?;
        }
        Ok(data.finish())
    }

    /// Returns the date of the data, an RFC 3339 date.
    #[must_use]
    pub fn as_of(&self) -> &'static str {
        self.as_of
    }

    /// Returns the catalog of a source region, which is empty if the region is unknown. A profile whose display name is unknown
    /// has its ID as name.
    #[must_use]
    pub fn catalog(&self, region: &Region) -> Catalog {
        let profiles: Vec<Arc<Profile>> = self
            .current
            .iter()
            .filter_map(|profile| {
                let route = profile
                    .routes
                    .binary_search_by(|(source, _)| source.cmp(region))
                    .ok()?;
                let name = if profile.name.is_empty() {
                    profile.id.as_str()
                } else {
                    profile.name
                };
                Some(Arc::new(Profile {
                    id: profile.id.clone(),
                    name: name.to_owned(),
                    model: profile.model.clone(),
                    geography: profile.geography.clone(),
                    destinations: profile.routes[route].1.clone(),
                }))
            })
            .collect();
        let models = self.models_in(region, &profiles);
        Catalog::new(
            SourceKind::Embedded,
            region.clone(),
            None,
            Some(self.as_of.to_owned()),
            profiles,
        )
        .with_models(Some(models))
    }

    /// Returns the models that are on demand in a region, and the models of its profiles.
    fn models_in(&self, region: &Region, profiles: &[Arc<Profile>]) -> Vec<FoundationModel> {
        let on_demand = self
            .on_demand
            .iter()
            .filter(|(_, regions)| regions.binary_search(region).is_ok())
            .map(|(model, _)| model);
        let model = |id: &ModelId, on_demand| FoundationModel {
            id: id.clone(),
            lifecycle: self.lifecycle(id, region),
            on_demand,
        };
        let known: BTreeSet<&ModelId> = on_demand.collect();
        let others = profiles
            .iter()
            .map(|profile| &profile.model)
            .filter(|id| !known.contains(id));
        let others: Vec<FoundationModel> = others.map(|id| model(id, false)).collect();
        known
            .into_iter()
            .map(|id| model(id, true))
            .chain(others)
            .collect()
    }

    /// Returns the date of the data about lifecycles, an RFC 3339 date.
    #[must_use]
    pub fn lifecycles_as_of(&self) -> &'static str {
        self.lifecycles_as_of
    }

    /// Returns the lifecycle of a model in a region. A model without an entry counts as active.
    #[must_use]
    pub fn lifecycle(&self, model: &ModelId, region: &Region) -> Lifecycle {
        let mut known = self.lifecycles.get(model).into_iter().flatten();
        known
            .find(|known| known.holds_in(region))
            .map_or(Lifecycle::ACTIVE, |known| known.lifecycle)
    }

    /// Returns the models that are not active everywhere, or have dates, with each lifecycle and the regions where it holds,
    /// sorted by model. `None` stands for all regions that no other lifecycle of the model names.
    pub fn lifecycles(&self) -> impl Iterator<Item = (&ModelId, Option<&[Region]>, Lifecycle)> {
        self.lifecycles.iter().flat_map(|(model, known)| {
            let known = known.iter();
            known.map(move |known| (model, known.regions.as_deref(), known.lifecycle))
        })
    }

    /// Returns the destinations of a profile when it is called from `source`, or `None` if the data don't have that route.
    #[must_use]
    pub fn destinations(&self, profile: &ProfileId, source: &Region) -> Option<&Destinations> {
        let routes = &self.current[*self.by_id.get(profile)?].routes;
        let route = routes
            .binary_search_by(|(region, _)| region.cmp(source))
            .ok()?;
        Some(&routes[route].1)
    }

    /// Returns the models that have or had a profile, sorted.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        self.models.iter()
    }

    /// Returns the models that never had a profile and are on demand somewhere, sorted.
    pub fn models_without_profile(&self) -> impl Iterator<Item = &ModelId> {
        self.on_demand
            .keys()
            .filter(|model| !self.models.contains(*model))
    }

    /// Returns the geographies that have a profile of the model, each with its source regions, sorted.
    #[must_use]
    pub fn current_routes(&self, model: &ModelId) -> BTreeMap<Geography, Vec<Region>> {
        slice_of(&self.current, model, |profile| &profile.model)
            .iter()
            .map(|profile| {
                let sources = profile.routes.iter().map(|(source, _)| source.clone());
                (profile.geography.clone(), sources.collect())
            })
            .collect()
    }

    /// Returns the profiles of the model that are no longer listed, sorted by geography.
    pub fn retired(&self, model: &ModelId) -> impl Iterator<Item = &RetiredProfile> {
        slice_of(&self.retired, model, |(of, _)| of)
            .iter()
            .map(|(_, profile)| profile)
    }

    /// Returns the profiles of the model that are said to exist, but whose source regions are unknown.
    pub fn unconfirmed(&self, model: &ModelId) -> impl Iterator<Item = &ProfileId> {
        slice_of(&self.unconfirmed, model, |(of, _)| of)
            .iter()
            .map(|(_, id)| id)
    }

    /// Returns all regions that a profile can be called from, sorted.
    pub fn source_regions(&self) -> impl Iterator<Item = &Region> {
        self.source_regions.iter()
    }

    /// Returns the regions that AWS has, and which of them have Bedrock.
    #[must_use]
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    /// Returns the regions where the model can be invoked by its own ID, sorted. There are none for an unknown model.
    #[must_use]
    pub fn on_demand_regions(&self, model: &ModelId) -> &[Region] {
        self.on_demand.get(model).map_or(&[], |regions| regions)
    }
}

fn positions(profiles: &[CurrentProfile]) -> HashMap<ProfileId, usize> {
    let ids = profiles.iter().map(|profile| profile.id.clone());
    ids.zip(0..).collect()
}

impl Source for &'static Embedded {
    fn kind(&self) -> SourceKind {
        SourceKind::Embedded
    }

    /// Answers at once. The role is ignored: the data belong to no account.
    fn list<'a>(&'a self, key: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
        future::ready(Ok(self.catalog(&key.region))).boxed()
    }
}

/// Returns the items of one model from a list that is sorted by model.
fn slice_of<'a, T>(list: &'a [T], model: &ModelId, of: impl Fn(&T) -> &ModelId) -> &'a [T] {
    let start = list.partition_point(|item| of(item) < model);
    let len = list[start..].partition_point(|item| of(item) == model);
    &list[start..start + len]
}

/// Parses lines. Equal regions, models, geographies and destinations share one allocation.
#[derive(Default)]
struct Parser {
    as_of: &'static str,
    regions: BTreeSet<Region>,
    models: BTreeSet<ModelId>,
    geographies: BTreeSet<Geography>,
    sets: BTreeMap<&'static str, Destinations>,
    current: Vec<CurrentProfile>,
    retired: Vec<(ModelId, RetiredProfile)>,
    unconfirmed: Vec<(ModelId, ProfileId)>,
    on_demand: BTreeMap<ModelId, Arc<[Region]>>,
    lifecycles_as_of: &'static str,
    lifecycles: BTreeMap<ModelId, Vec<RegionalLifecycle>>,
}

impl Parser {
    fn line(&mut self, line: &'static str) -> Result<(), &'static str> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (kind, rest) = line
            .split_once(' ')
            .ok_or("nothing follows the first word")?;
        let columns: Vec<&str> = rest.split('|').map(str::trim).collect();
        match (kind, columns.as_slice()) {
            ("as-of", [date]) => self.as_of = date,
            ("set", [set]) => {
                let (name, regions) = set.split_once(' ').ok_or("a set without regions")?;
                let regions = self.regions(regions)?;
                self.sets.insert(name, Destinations::regions(regions));
            }
            ("current", [id, model, name, routes]) => {
                let (id, model, geography) = self.identity(id, model)?;
                let routes = self.routes(routes)?;
                self.current.push(CurrentProfile {
                    id,
                    model,
                    geography,
                    name,
                    routes,
                });
            }
            ("retired", [id, model, last_seen]) => {
                let (id, model, geography) = self.identity(id, model)?;
                let retired = RetiredProfile {
                    id,
                    geography,
                    last_seen,
                };
                self.retired.push((model, retired));
            }
            ("unconfirmed", [id, model]) => {
                let (id, model, _) = self.identity(id, model)?;
                self.unconfirmed.push((model, id));
            }
            ("on-demand", [entry]) => {
                let (model, regions) = entry.split_once(' ').ok_or("a model without regions")?;
                let model = model.parse().map_err(|_| "not a model ID")?;
                let model = self.models.get(&model).cloned().unwrap_or(model);
                let mut regions = self.regions(regions)?;
                regions.sort();
                self.on_demand.insert(model, regions.into());
            }
            ("lifecycles-as-of", [date]) => self.lifecycles_as_of = date,
            ("lifecycle" | "active", [model, legacy, extended_access, end_of_life, regions]) => {
                let model = model.parse().map_err(|_| "not a model ID")?;
                let model = self.models.get(&model).cloned().unwrap_or(model);
                let lifecycle = Lifecycle {
                    is_legacy: kind == "lifecycle",
                    legacy: date(legacy)?,
                    extended_access: date(extended_access)?,
                    end_of_life: date(end_of_life)?,
                };
                let regions = match *regions {
                    "" => return Err("a lifecycle without regions"),
                    "*" => None,
                    names => {
                        let mut regions = self.regions(names)?;
                        regions.sort();
                        Some(regions)
                    }
                };
                let known = self.lifecycles.entry(model).or_default();
                known.push(RegionalLifecycle { regions, lifecycle });
            }
            _ => return Err("not a known kind of line"),
        }
        Ok(())
    }

    fn identity(
        &mut self,
        id: &str,
        model: &str,
    ) -> Result<(ProfileId, ModelId, Geography), &'static str> {
        let id: ProfileId = id.parse().map_err(|_| "not a profile ID")?;
        let model = intern(
            &mut self.models,
            model.parse().map_err(|_| "not a model ID")?,
        );
        let geography = id.geography(&model).ok_or("an ID without geography")?;
        Ok((id, model, intern(&mut self.geographies, geography)))
    }

    fn regions(&mut self, names: &str) -> Result<Vec<Region>, &'static str> {
        names
            .split_whitespace()
            .map(|name| {
                let region = name.parse().map_err(|_| "not a region")?;
                Ok(intern(&mut self.regions, region))
            })
            .collect()
    }

    fn routes(&mut self, text: &str) -> Result<Box<[(Region, Destinations)]>, &'static str> {
        let mut routes = Vec::new();
        for group in text.split(';') {
            let (set, sources) = group.split_once(':').ok_or("a route without sources")?;
            let destinations = match set.trim() {
                "*" => Destinations::Anywhere,
                name => self.sets.get(name).ok_or("no such set")?.clone(),
            };
            let sources = self.regions(sources)?;
            routes.extend(sources.into_iter().map(|s| (s, destinations.clone())));
        }
        routes.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(routes.into())
    }

    fn finish(mut self) -> Embedded {
        self.current
            .sort_by(|a, b| (&a.model, &a.geography).cmp(&(&b.model, &b.geography)));
        self.retired
            .sort_by(|(a, x), (b, y)| (a, &x.geography).cmp(&(b, &y.geography)));
        self.unconfirmed.sort();
        for known in self.lifecycles.values_mut() {
            known.sort_by_key(|known| known.regions.is_none());
        }
        let source_regions = self
            .current
            .iter()
            .flat_map(|profile| profile.routes.iter().map(|(source, _)| source.clone()))
            .collect();
        Embedded {
            as_of: self.as_of,
            by_id: positions(&self.current),
            current: self.current,
            retired: self.retired,
            unconfirmed: self.unconfirmed,
            models: self.models,
            on_demand: self.on_demand,
            lifecycles_as_of: self.lifecycles_as_of,
            lifecycles: self.lifecycles,
            source_regions,
            regions: Regions::load(),
        }
    }
}

/// Parses a date. `-` is none.
fn date(text: &str) -> Result<Option<Date>, &'static str> {
    match text {
        "-" => Ok(None),
        text => text.parse().map(Some).map_err(|_| "not a date"),
    }
}

/// Returns an equal value that was seen before, if there is one, so that both share their text.
fn intern<T: Ord + Clone>(known: &mut BTreeSet<T>, value: T) -> T {
    if let Some(earlier) = known.get(&value) {
        return earlier.clone();
    }
    known.insert(value.clone());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str) -> ModelId {
        id.parse().expect(id)
    }

    fn region(name: &str) -> Region {
        name.parse().expect(name)
    }

    #[test]
    fn every_line_parses() {
        let mut parser = Parser::default();
        for line in FILES.into_iter().flat_map(str::lines) {
            assert_eq!(parser.line(line), Ok(()), "{line}");
        }
        for date in [parser.as_of, parser.lifecycles_as_of] {
            assert!(date.parse::<Date>().is_ok(), "{date}");
        }
        for (_, retired) in &parser.retired {
            assert!(retired.last_seen.parse::<Date>().is_ok(), "{retired:?}");
        }
    }

    #[test]
    fn lines_that_say_nothing_are_refused() {
        for line in [
            "current",
            "current eu.a.b | a.b",
            "current eu.a.b | a.b | | nowhere: eu-west-1",
            "current eu.a.b | a.b | | *",
            "current a.b | a.b | | *: eu-west-1",
            "retired eu.a.b | a b | 2026-01-01",
            "set eu-1 europe",
            "on-demand a.b",
            "lifecycle a b | - | - | - | *",
            "lifecycle a.b | - | - | - |",
            "lifecycle a.b | - | - | soon | *",
            "lifecycle a.b | - | - | 2027-01-01 | europe",
            "active a.b | 2027-01-01 | - | -",
            "sometimes eu.a.b",
        ] {
            assert!(Parser::default().line(line).is_err(), "{line}");
        }
    }

    /// The numbers are those of the data of 2026-10-27.
    #[test]
    fn nothing_was_lost() {
        let data = Embedded::load();
        assert_eq!(data.as_of(), "2026-10-27");
        assert_eq!(data.current.len(), 156);
        assert_eq!(data.retired.len(), 23);
        assert_eq!(data.unconfirmed.len(), 2);
        let ids: BTreeSet<&ProfileId> = data
            .current
            .iter()
            .map(|profile| &profile.id)
            .chain(data.retired.iter().map(|(_, profile)| &profile.id))
            .chain(data.unconfirmed.iter().map(|(_, id)| id))
            .collect();
        assert_eq!(ids.len(), 181);
        let routes: usize = data
            .current
            .iter()
            .map(|profile| profile.routes.len())
            .sum();
        assert_eq!(routes, 1497);
        let listed: usize = data
            .source_regions()
            .map(|region| data.catalog(region).profiles().len())
            .sum();
        assert_eq!(listed, 1497);
        assert_eq!(data.source_regions().count(), 33);
        assert_eq!(data.models().count(), 76);
    }

    #[test]
    fn a_profile_has_the_destinations_of_its_source_region() {
        let data = Embedded::load();
        let nova = model("amazon.nova-lite-v1:0");
        let us_gov: Geography = "us-gov".parse().expect("geography");
        for (source, geography, destinations) in [
            ("ca-central-1", "ca", "ca-central-1,ca-west-1"),
            ("us-east-1", "us", "us-east-1,us-east-2,us-west-2"),
            ("us-west-1", "us", "us-east-1,us-east-2,us-west-1,us-west-2"),
        ] {
            let catalog = data.catalog(&region(source));
            let profile = catalog
                .find(&nova, &geography.parse().expect(geography))
                .expect(source);
            assert_eq!(profile.destinations.to_string(), destinations, "{source}");
            assert_eq!(profile.id.as_str(), format!("{geography}.{nova}"));
        }
        assert_eq!(
            data.catalog(&region("us-gov-east-1"))
                .find(&model("anthropic.claude-sonnet-4-5-20250929-v1:0"), &us_gov)
                .expect("us-gov")
                .destinations
                .to_string(),
            "us-gov-west-1"
        );
        assert!(data.catalog(&region("cn-north-1")).profiles().is_empty());
    }

    #[test]
    fn hints() {
        let data = Embedded::load();
        let gone = model("anthropic.claude-3-5-sonnet-20240620-v1:0");
        let retired: Vec<_> = data
            .retired(&gone)
            .map(|profile| (profile.id.as_str(), profile.last_seen))
            .collect();
        assert_eq!(
            retired,
            [
                ("eu.anthropic.claude-3-5-sonnet-20240620-v1:0", "2026-03-31"),
                ("us.anthropic.claude-3-5-sonnet-20240620-v1:0", "2026-03-31"),
            ]
        );
        let routes = data.current_routes(&gone);
        let geographies: Vec<&str> = routes.keys().map(Geography::as_str).collect();
        assert_eq!(geographies, ["apac", "us-gov"]);
        assert_eq!(
            routes[&"apac".parse::<Geography>().expect("apac")],
            [region("ap-south-1")]
        );
        assert_eq!(
            data.on_demand_regions(&gone),
            [region("ap-northeast-2"), region("ap-southeast-1")]
        );
        assert!(data.on_demand_regions(&model("a.b")).is_empty());
        let nemotron = model("nvidia.nemotron-nano-9b-v2");
        assert_eq!(data.unconfirmed(&nemotron).count(), 1);
        assert!(data.models().any(|known| *known == nemotron));
        assert!(
            data.models_without_profile()
                .any(|known| known.as_str() == "ai21.jamba-1-5-large-v1:0")
        );
    }

    #[test]
    fn a_catalog_knows_the_models_of_its_region() {
        let data = Embedded::load();
        let dates = |legacy: &str, extended_access: &str, end_of_life: &str| Lifecycle {
            is_legacy: true,
            legacy: date(legacy).expect(legacy),
            extended_access: date(extended_access).expect(extended_access),
            end_of_life: date(end_of_life).expect(end_of_life),
        };
        for (source, id, expected) in [
            (
                "us-east-1",
                "amazon.nova-lite-v1:0",
                Some((Lifecycle::ACTIVE, true)),
            ),
            (
                "us-west-1",
                "amazon.nova-lite-v1:0",
                Some((Lifecycle::ACTIVE, false)),
            ),
            ("sa-east-1", "amazon.nova-lite-v1:0", None),
            (
                "us-east-1",
                "ai21.jamba-1-5-mini-v1:0",
                Some((dates("2026-05-26", "2026-08-26", "2026-11-26"), true)),
            ),
            (
                "eu-west-1",
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
                Some((dates("2026-10-08", "2027-01-08", "2027-04-08"), false)),
            ),
            (
                "us-gov-west-1",
                "anthropic.claude-sonnet-4-5-20250929-v1:0",
                Some((Lifecycle::ACTIVE, false)),
            ),
            (
                "us-gov-east-1",
                "anthropic.claude-3-7-sonnet-20250219-v1:0",
                Some((Lifecycle::LEGACY, false)),
            ),
        ] {
            let catalog = data.catalog(&region(source));
            let found = catalog
                .model(&model(id))
                .map(|model| (model.lifecycle, model.on_demand));
            assert_eq!(found, expected, "{id} in {source}");
        }
        assert_eq!(data.lifecycles().count(), 21);
        let nowhere = data.catalog(&region("cn-north-1"));
        assert_eq!(nowhere.models().map(<[_]>::len), Some(0));
    }

    #[test]
    fn a_lifecycle_holds_where_it_is_said() {
        let data = Embedded::parse([
            "",
            "",
            "lifecycle a.b | - | - | - | *\n\
             lifecycle a.b | 2026-01-01 | - | 2027-01-01 | us-east-1\n\
             active a.b | 2027-02-01 | 2027-05-01 | 2027-08-01 | eu-west-1 eu-north-1\n\
             active a.b | - | - | - | ca-central-1",
        ])
        .expect("data");
        let announced = Lifecycle {
            legacy: Some(jiff::civil::date(2027, 2, 1)),
            extended_access: Some(jiff::civil::date(2027, 5, 1)),
            end_of_life: Some(jiff::civil::date(2027, 8, 1)),
            ..Lifecycle::ACTIVE
        };
        let ending = Lifecycle {
            legacy: Some(jiff::civil::date(2026, 1, 1)),
            end_of_life: Some(jiff::civil::date(2027, 1, 1)),
            ..Lifecycle::LEGACY
        };
        for (source, lifecycle) in [
            ("us-east-1", ending),
            ("eu-north-1", announced),
            ("eu-west-1", announced),
            ("ca-central-1", Lifecycle::ACTIVE),
            ("us-west-2", Lifecycle::LEGACY),
        ] {
            let found = data.lifecycle(&model("a.b"), &region(source));
            assert_eq!(found, lifecycle, "{source}");
        }
        let error = Embedded::parse(["", "on-demand a.b", ""]).expect_err("no regions");
        assert_eq!(
            error.to_string(),
            r#""on-demand a.b": a model without regions"#
        );
    }

    #[test]
    fn equal_texts_are_kept_once() {
        let data = Embedded::load();
        let texts: BTreeSet<*const u8> = data
            .current
            .iter()
            .flat_map(|profile| profile.routes.iter())
            .map(|(source, _)| source.as_str().as_ptr())
            .collect();
        assert_eq!(texts.len(), 33);
    }
}
