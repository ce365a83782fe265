//! What `catalog list` and `catalog matrix` show: the routes that fit the filters and the limit, and a remark on them.

use std::{collections::BTreeSet, sync::Arc};

use jiff::civil::Date;
use serde::Serialize;

use super::{Filters, account, list_catalogs, nothing_listed};
use crate::{
    catalog::{Catalog, FoundationModel, SourceKind, embedded::Embedded},
    cli::{
        Error,
        options::{CatalogOptions, DayOptions},
    },
    lifecycle::State,
    residency::Limits,
    resolve::not_a_geography,
    route::Route,
    types::{AccountId, ModelId, ON_DEMAND, Region},
};

/// What is shown.
pub(super) struct Selection {
    /// Sorted by model, geography and source region.
    pub(super) routes: Vec<ListedRoute>,
    /// Whether the catalogs have foundation models. Where they don't, none is shown as on demand or legacy.
    pub(super) models_known: bool,
    /// What the user learns beside them, on standard error.
    pub(super) remark: String,
}

/// The life of a model in a source region, with the field names of `status.modelLifecycle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedLifecycle {
    /// The state today.
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_extended_access: Option<Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_of_life: Option<Date>,
}

impl ListedLifecycle {
    fn of(model: &FoundationModel, day: Date) -> Self {
        let lifecycle = &model.lifecycle;
        Self {
            state: State::of(lifecycle, day),
            legacy: lifecycle.legacy,
            public_extended_access: lifecycle.extended_access,
            end_of_life: lifecycle.end_of_life,
        }
    }
}

/// A profile of a source region, or a model that is on demand there, with the field names of `status.profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedRoute {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    #[serde(skip)]
    route: Route,
    /// The geography, or `on-demand`.
    pub(super) geography: String,
    pub(super) source_region: Region,
    #[serde(rename = "foundationModelID")]
    pub(super) model: ModelId,
    pub(super) destination_regions: Vec<String>,
    /// `None` if the catalog does not have the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<ListedLifecycle>,
    catalog: Provenance,
}

impl ListedRoute {
    fn new(
        route: Route,
        name: Option<String>,
        catalog: &Catalog,
        account: Option<&AccountId>,
    ) -> Self {
        let region = &route.source_region;
        let arn = match route.profile() {
            Some(profile) => account.map(|account| region.profile_arn(account, profile)),
            None => Some(region.foundation_model_arn(&route.model)),
        };
        Self {
            id: route.id().to_owned(),
            name,
            arn,
            geography: route.geography().to_owned(),
            source_region: region.clone(),
            model: route.model.clone(),
            destination_regions: route.destinations.names(),
            lifecycle: catalog
                .model(&route.model)
                .map(|model| ListedLifecycle::of(model, DayOptions::default().day())),
            catalog: Provenance {
                source: catalog.source().as_str(),
                account: account.cloned(),
                as_of: catalog.as_of().map(ToOwned::to_owned),
            },
            route,
        }
    }

    /// Returns whether the limits permit the route: its source region and every destination.
    fn is_permitted(&self, limits: &Limits) -> bool {
        limits.judge(&self.route, Embedded::load()).permits()
    }

    /// Returns whether this is a model's own ID, without a profile.
    pub(super) fn is_on_demand(&self) -> bool {
        self.route.profile().is_none()
    }

    /// Returns whether the model is legacy in the source region, or its life has ended.
    pub(super) fn is_legacy(&self) -> bool {
        let lifecycle = self.lifecycle.as_ref();
        lifecycle.is_some_and(|lifecycle| lifecycle.state != State::Active)
    }

    /// Returns whether the life of the model has ended in the source region.
    pub(super) fn has_ended(&self) -> bool {
        let lifecycle = self.lifecycle.as_ref();
        lifecycle.is_some_and(|lifecycle| lifecycle.state == State::EndOfLifePassed)
    }
}

/// Where a profile was listed, with the field names of `status.profile.catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Provenance {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
}

/// Lists the catalogs and selects what fits the filters and the limit.
pub(super) async fn select(
    options: &CatalogOptions,
    filters: &Filters,
    account: Option<&AccountId>,
) -> Result<Selection, Error> {
    let limits = filters.limits()?;
    let catalogs = list_catalogs(options, &filters.region, false).await?;
    let filtered = filtered(&catalogs, filters, account)?;
    let (routes, left_out) = permitted(filtered, &limits);
    let remark = remark(&routes, left_out, &catalogs, filters);
    Ok(Selection {
        routes,
        models_known: catalogs.iter().all(|catalog| catalog.models().is_some()),
        remark,
    })
}

/// Returns the routes that fit the filters, without regard to limits.
pub(super) fn filtered(
    catalogs: &[Arc<Catalog>],
    filters: &Filters,
    given: Option<&AccountId>,
) -> Result<Vec<ListedRoute>, Error> {
    let wanted = |route: &Route| {
        let model = filters.model.as_ref();
        let geographies = &filters.geography;
        model.is_none_or(|pattern| pattern.matches(&route.model))
            && (geographies.is_empty()
                || geographies
                    .iter()
                    .any(|geography| geography.as_str() == route.geography()))
    };
    let mut found = Vec::new();
    for catalog in catalogs {
        let account = account(catalog, given)?;
        let routes = routes(catalog).filter(|(route, _)| wanted(route));
        found.extend(routes.map(|(route, name)| ListedRoute::new(route, name, catalog, account)));
    }
    found.sort_by(|a, b| {
        (&a.model, &a.geography, &a.source_region).cmp(&(&b.model, &b.geography, &b.source_region))
    });
    Ok(found)
}

/// Returns all routes of a catalog: its profiles, each with its name, and the models that are on demand.
fn routes(catalog: &Catalog) -> impl Iterator<Item = (Route, Option<String>)> {
    let region = catalog.source_region();
    let profiles = catalog.profiles().iter();
    let profiles = profiles.map(move |profile| (profile.route(region), Some(profile.name.clone())));
    let models = catalog.models().unwrap_or_default().iter();
    let on_demand = models.filter(|model| model.on_demand);
    profiles
        .chain(on_demand.map(|model| (Route::on_demand(model.id.clone(), region.clone()), None)))
}

/// Returns the routes that the limits permit, and how many models have none left.
fn permitted(mut routes: Vec<ListedRoute>, limits: &Limits) -> (Vec<ListedRoute>, usize) {
    let models = |routes: &[ListedRoute]| -> usize {
        let models: BTreeSet<_> = routes.iter().map(|route| &route.model).collect();
        models.len()
    };
    let before = models(&routes);
    routes.retain(|route| route.is_permitted(limits));
    let left_out = before - models(&routes);
    (routes, left_out)
}

/// Returns a sentence on what is shown, or on what there is if nothing is shown, and lines on what is not.
fn remark(
    routes: &[ListedRoute],
    left_out: usize,
    catalogs: &[Arc<Catalog>],
    filters: &Filters,
) -> String {
    let mut lines = vec![shown(routes, left_out, catalogs, filters)];
    if left_out > 0 {
        lines.push(format!(
            "models left out, because --allowed-regions permits no route to them: {left_out}"
        ));
    }
    lines.extend(
        catalogs
            .iter()
            .filter_map(|catalog| nothing_listed(catalog)),
    );
    if let Some(catalog) = catalogs.iter().find(|catalog| catalog.models().is_none()) {
        let why = match catalog.source() {
            SourceKind::Bedrock => format!(
                "the models of {} could not be listed: allow bedrock:ListFoundationModels",
                catalog.source_region()
            ),
            SourceKind::Directory | SourceKind::Embedded => {
                "the files have no models: use --catalog bedrock or embedded".to_owned()
            }
        };
        lines.push(format!(
            "which models are on demand or legacy is not known; {why}"
        ));
    }
    lines.join("\n")
}

fn shown(
    routes: &[ListedRoute],
    left_out: usize,
    catalogs: &[Arc<Catalog>],
    filters: &Filters,
) -> String {
    let dates: BTreeSet<&str> = catalogs
        .iter()
        .filter_map(|catalog| catalog.as_of())
        .collect();
    let source = catalogs.first().map_or("", |c| c.source().as_str());
    let catalog = match dates.into_iter().collect::<Vec<_>>().as_slice() {
        [] => format!("{source} catalog"),
        [date] => format!("{source} catalog of {date}"),
        [first, .., last] => format!("{source} catalog of {first} to {last}"),
    };
    if !routes.is_empty() {
        let ids = |on_demand| -> BTreeSet<&str> {
            let routes = routes.iter().filter(|r| r.is_on_demand() == on_demand);
            routes.map(|route| route.id.as_str()).collect()
        };
        let regions: BTreeSet<&Region> = routes.iter().map(|route| &route.source_region).collect();
        return format!(
            "{catalog}; profiles: {}, models on demand: {}, source regions: {}",
            ids(false).len(),
            ids(true).len(),
            regions.len()
        );
    }
    if left_out > 0 {
        return format!(
            "{catalog}: no route is permitted; widen --allowed-regions (global profiles need the limit *), or leave out a filter"
        );
    }
    format!("{catalog}: {}", nothing_fits(catalogs, filters))
}

/// Says why nothing fits the filters, and what there is instead.
fn nothing_fits(catalogs: &[Arc<Catalog>], filters: &Filters) -> String {
    let all: Vec<Route> = catalogs
        .iter()
        .flat_map(|catalog| routes(catalog).map(|(route, _)| route))
        .collect();
    if all.is_empty() {
        return "nothing is listed".to_owned();
    }
    let no_geographies: Vec<String> = filters
        .geography
        .iter()
        .filter(|asked| {
            asked.as_str() != ON_DEMAND
                && !all.iter().any(|route| route.geography() == asked.as_str())
        })
        .filter_map(|asked| {
            let why = not_a_geography(asked, Embedded::load())?;
            Some(format!("{asked} is {why}"))
        })
        .collect();
    if !no_geographies.is_empty() {
        return no_geographies.join("; ");
    }
    let of_model: BTreeSet<&str> = all
        .iter()
        .filter(|route| {
            let pattern = filters.model.as_ref();
            pattern.is_none_or(|pattern| pattern.matches(&route.model))
        })
        .map(Route::geography)
        .collect();
    match &filters.model {
        Some(pattern) if of_model.is_empty() => {
            let asked = pattern.0.as_str();
            let data = Embedded::load();
            let elsewhere = data
                .models()
                .filter(|model| !data.current_routes(model).is_empty())
                .chain(data.models_without_profile())
                .any(|model| pattern.matches(model));
            let instead = if elsewhere && !filters.region.is_empty() {
                format!(
                    "it is callable from other regions (by the embedded data of {}): leave out --region",
                    data.as_of()
                )
            } else {
                similar(asked, &all.iter().map(|route| &route.model).collect())
            };
            format!(
                "no profile of {asked}{}, nor is it on demand; {instead}",
                last_seen(asked)
            )
        }
        _ => format!(
            "nothing fits all filters; without --geography there are: {}",
            of_model.into_iter().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Returns when public data last listed a profile of a model that has none any more.
fn last_seen(asked: &str) -> String {
    let date = asked.parse().ok().and_then(|model| {
        let profiles = Embedded::load().retired(&model);
        profiles.map(|profile| profile.last_seen).max()
    });
    date.map_or_else(String::new, |date| format!(", last seen {date}"))
}

/// Returns the names of up to three similar models, first those that begin with the text.
fn similar(asked: &str, known: &BTreeSet<&ModelId>) -> String {
    const LIKE: f64 = 0.8;
    let likeness = |model: &ModelId| {
        if model.as_str().starts_with(asked) {
            2.0
        } else {
            strsim::jaro_winkler(asked, model.as_str())
        }
    };
    let mut near: Vec<(f64, &str)> = known
        .iter()
        .map(|model| (likeness(model), model.as_str()))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
    if names.is_empty() {
        "leave out --model to see all".to_owned()
    } else {
        format!("nearest: {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{
            catalog::tests::{embedded, filters},
            output::json,
        },
        residency::{Limit, LimitOrigin},
    };

    #[test]
    fn filters_are_all_to_be_satisfied() {
        let catalogs = embedded(&["ap-northeast-1", "eu-west-1"]);
        let model = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        let opus = "anthropic.claude-opus-4-8";
        for (model, geographies, shown) in [
            (Some(model), &["jp"][..], "jp@ap-northeast-1"),
            (Some(model), &["jp", "eu"], "eu@eu-west-1 jp@ap-northeast-1"),
            (
                Some("*claude-sonnet-4-5-*"),
                &["global"],
                "global@ap-northeast-1 global@eu-west-1",
            ),
            (Some(model), &["us"], ""),
            (
                Some(opus),
                &["on-demand", "jp"],
                "jp@ap-northeast-1 on-demand@ap-northeast-1 on-demand@eu-west-1",
            ),
            (
                Some("amazon.titan-embed-text-v2:0"),
                &[],
                "on-demand@ap-northeast-1 on-demand@eu-west-1",
            ),
        ] {
            let profiles =
                filtered(&catalogs, &filters(model, geographies), None).expect("profiles");
            let found: Vec<String> = profiles
                .iter()
                .map(|profile| format!("{}@{}", profile.geography, profile.source_region))
                .collect();
            assert_eq!(found.join(" "), shown);
        }
    }

    #[test]
    fn limits_leave_permitted_routes_and_count_models_without_one() {
        let wanted = filters(Some("anthropic.claude-sonnet-4-5-20250929-v1:0"), &["eu"]);
        for (regions, limit, shown, left_out) in [
            (&["eu-west-1"][..], &[][..], "eu@eu-west-1", 0),
            (&["eu-west-1"], &["@eu"], "eu@eu-west-1", 0),
            (&["eu-west-1"], &["eu-west-1"], "", 1),
            // The same profile, but its source region is outside.
            (&["eu-west-1", "eu-west-2"], &["@eu"], "eu@eu-west-1", 0),
            (&["eu-west-2"], &["@eu"], "", 1),
        ] {
            let limit = (!limit.is_empty()).then(|| Limit::parse(LimitOrigin::Operator, limit));
            let catalogs = embedded(regions);
            let all = filtered(&catalogs, &wanted, None).expect("profiles");
            let (profiles, count) = permitted(all, &Limits::all(limit));
            let found: Vec<String> = profiles
                .iter()
                .map(|profile| format!("{}@{}", profile.geography, profile.source_region))
                .collect();
            assert_eq!((found.join(" ").as_str(), count), (shown, left_out));
            let remark = remark(&profiles, left_out, &catalogs, &wanted);
            assert_eq!(remark.contains("them: 1"), left_out == 1, "{remark}");
            assert_eq!(
                remark.contains("no route is permitted"),
                shown.is_empty(),
                "{remark}"
            );
        }
    }

    #[test]
    fn an_account_completes_a_catalog_and_never_contradicts_it() {
        let given: AccountId = "111122223333".parse().expect("account");
        let catalogs = embedded(&["eu-west-1"]);
        let none = Filters::default();
        let without = filtered(&catalogs, &none, None).expect("profiles");
        assert!(
            without
                .iter()
                .all(|route| route.arn.is_none() != route.is_on_demand())
        );
        let with = filtered(&catalogs, &none, Some(&given)).expect("profiles");
        let (on_demand, with): (Vec<_>, Vec<_>) =
            with.into_iter().partition(ListedRoute::is_on_demand);
        assert!(on_demand.iter().all(|model| {
            model.arn.as_deref()
                == Some(&format!(
                    "arn:aws:bedrock:eu-west-1::foundation-model/{}",
                    model.id
                ))
        }));
        assert!(with.iter().all(|profile| {
            profile.arn.as_deref()
                == Some(&format!(
                    "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{}",
                    profile.id
                ))
        }));
        let other = Catalog::new(
            crate::catalog::SourceKind::Directory,
            "eu-west-1".parse().expect("region"),
            Some("444455556666".parse().expect("account")),
            None,
            Vec::new(),
        );
        assert!(matches!(
            filtered(&[Arc::new(other)], &none, Some(&given)),
            Err(Error::BadInput(_))
        ));
    }

    #[test]
    fn json_has_the_field_names_of_the_status() {
        let wanted = filters(Some("amazon.nova-lite-v1:0"), &["us"]);
        let profiles = filtered(&embedded(&["us-west-1"]), &wanted, None).expect("profiles");
        let value: serde_json::Value =
            serde_json::from_str(&json(&profiles).expect("JSON")).expect("json");
        assert_eq!(
            value,
            serde_json::json!([{
                "id": "us.amazon.nova-lite-v1:0",
                "name": "US Nova Lite",
                "geography": "us",
                "sourceRegion": "us-west-1",
                "foundationModelID": "amazon.nova-lite-v1:0",
                "destinationRegions": ["us-east-1", "us-east-2", "us-west-1", "us-west-2"],
                "lifecycle": {"state": "Active"},
                "catalog": {"source": "embedded", "asOf": "2026-10-27"},
            }])
        );
        let wanted = filters(Some("ai21.jamba-1-5-mini-v1:0"), &["on-demand"]);
        let models = filtered(&embedded(&["us-east-1"]), &wanted, None).expect("models");
        let value: serde_json::Value =
            serde_json::from_str(&json(&models).expect("JSON")).expect("json");
        assert_eq!(
            value,
            serde_json::json!([{
                "id": "ai21.jamba-1-5-mini-v1:0",
                "arn": "arn:aws:bedrock:us-east-1::foundation-model/ai21.jamba-1-5-mini-v1:0",
                "geography": "on-demand",
                "sourceRegion": "us-east-1",
                "foundationModelID": "ai21.jamba-1-5-mini-v1:0",
                "destinationRegions": ["us-east-1"],
                "lifecycle": {
                    "state": "EndOfLifePassed",
                    "legacy": "2026-05-26",
                    "publicExtendedAccess": "2026-08-26",
                    "endOfLife": "2026-11-26",
                },
                "catalog": {"source": "embedded", "asOf": "2026-10-27"},
            }])
        );
    }

    #[test]
    fn nothing_found_says_what_there_is() {
        let catalogs = embedded(&[]);
        for (model, geographies, says) in [
            (
                "anthropic.claude-haiku-4-5",
                &[][..],
                "nearest: anthropic.claude-haiku-4-5-20251001-v1:0",
            ),
            (
                "anthropic.claude-3-opus-20240229-v1:0",
                &[],
                "last seen 2026-02-20",
            ),
            ("zzz.zzz", &[], "leave out --model"),
            (
                "amazon.nova-lite-v1:0",
                &["jp"],
                "without --geography there are: apac, ",
            ),
            (
                "amazon.nova-lite-v1:0",
                &["ap"],
                "ap is not a geography of Bedrock; for Asia it is apac, jp, au or in",
            ),
        ] {
            let filters = filters(Some(model), geographies);
            let profiles = filtered(&catalogs, &filters, None).expect("profiles");
            assert!(profiles.is_empty(), "{model}");
            let remark = remark(&profiles, 0, &catalogs, &filters);
            assert!(remark.contains(says), "{remark}");
        }
    }

    #[test]
    fn a_model_of_other_regions_and_an_empty_listing_are_told() {
        let region: Region = "eu-west-9".parse().expect("region");
        let elsewhere = Filters {
            region: vec![region.clone()],
            ..filters(Some("ai21.jamba-1-5-mini-v1:0"), &[])
        };
        let said = remark(&[], 0, &embedded(&["eu-west-1"]), &elsewhere);
        assert!(said.contains("leave out --region"), "{said}");

        let empty = Catalog::new(SourceKind::Bedrock, region, None, None, Vec::new());
        let said = remark(&[], 0, &[Arc::new(empty)], &elsewhere);
        assert_eq!(
            said,
            "bedrock catalog: nothing is listed\n\
             nothing is listed in eu-west-9: the region is not known to this version, whose data are of 2026-11-01; nearest: \
             eu-west-1, eu-west-2, eu-west-3\n\
             which models are on demand or legacy is not known; the models of eu-west-9 could not be listed: allow \
             bedrock:ListFoundationModels"
        );
    }
}
