//! What `catalog list` and `catalog matrix` show: the profiles that fit the filters and the limit, and a remark on them.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{Filters, account, list_catalogs};
use crate::{
    catalog::{Catalog, Profile, embedded::Embedded},
    cli::{Error, options::CatalogOptions},
    residency::Limits,
    types::{AccountId, Geography, ModelId, Region},
};

/// What is shown.
pub(super) struct Selection {
    /// Sorted by model, geography and source region.
    pub(super) profiles: Vec<ListedProfile>,
    /// What the user learns beside them, on standard error.
    pub(super) remark: String,
}

/// A profile of a source region, with the field names of `status.profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedProfile {
    pub(super) id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    #[serde(skip)]
    profile: Arc<Profile>,
    pub(super) geography: Geography,
    pub(super) source_region: Region,
    #[serde(rename = "foundationModelID")]
    pub(super) model: ModelId,
    pub(super) destination_regions: Vec<String>,
    catalog: Provenance,
}

impl ListedProfile {
    /// Returns whether the limits permit the route: its source region and every destination.
    fn is_permitted(&self, limits: &Limits) -> bool {
        let route = self.profile.route(&self.source_region);
        limits.judge(&route, Embedded::load()).permits()
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
    let catalogs = list_catalogs(options, &filters.region).await?;
    let filtered = filtered(&catalogs, filters, account)?;
    let (profiles, left_out) = permitted(filtered, &limits);
    let remark = remark(&profiles, left_out, &catalogs, filters);
    Ok(Selection { profiles, remark })
}

/// Returns the profiles that fit the filters, without regard to limits.
pub(super) fn filtered(
    catalogs: &[Arc<Catalog>],
    filters: &Filters,
    given: Option<&AccountId>,
) -> Result<Vec<ListedProfile>, Error> {
    let mut found = Vec::new();
    for catalog in catalogs {
        let account = account(catalog, given)?;
        let region = catalog.source_region();
        let wanted = catalog.profiles().iter().filter(|profile| {
            filters
                .model
                .as_ref()
                .is_none_or(|pattern| pattern.matches(&profile.model))
                && (filters.geography.is_empty() || filters.geography.contains(&profile.geography))
        });
        found.extend(wanted.map(|profile| ListedProfile {
            id: profile.id.to_string(),
            name: profile.name.clone(),
            arn: account.map(|account| region.profile_arn(account, &profile.id)),
            profile: profile.clone(),
            geography: profile.geography.clone(),
            source_region: region.clone(),
            model: profile.model.clone(),
            destination_regions: profile.destinations.names(),
            catalog: Provenance {
                source: catalog.source().as_str(),
                account: account.cloned(),
                as_of: catalog.as_of().map(ToOwned::to_owned),
            },
        }));
    }
    found.sort_by(|a, b| {
        (&a.model, &a.geography, &a.source_region).cmp(&(&b.model, &b.geography, &b.source_region))
    });
    Ok(found)
}

/// Returns the profiles that the limits permit, and how many models have none left.
fn permitted(mut profiles: Vec<ListedProfile>, limits: &Limits) -> (Vec<ListedProfile>, usize) {
    let models = |profiles: &[ListedProfile]| -> usize {
        let models: BTreeSet<_> = profiles.iter().map(|profile| &profile.model).collect();
        models.len()
    };
    let before = models(&profiles);
    profiles.retain(|profile| profile.is_permitted(limits));
    let left_out = before - models(&profiles);
    (profiles, left_out)
}

/// Returns a sentence on what is shown, or on what there is if nothing is shown, and a line on how many models have no
/// permitted route.
fn remark(
    profiles: &[ListedProfile],
    left_out: usize,
    catalogs: &[Arc<Catalog>],
    filters: &Filters,
) -> String {
    let shown = shown(profiles, left_out, catalogs, filters);
    if left_out == 0 {
        return shown;
    }
    format!(
        "{shown}\nmodels left out, because --allowed-regions permits no route to them: {left_out}"
    )
}

fn shown(
    profiles: &[ListedProfile],
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
    if !profiles.is_empty() {
        let ids: BTreeSet<&str> = profiles.iter().map(|profile| profile.id.as_str()).collect();
        let regions: BTreeSet<&Region> = profiles
            .iter()
            .map(|profile| &profile.source_region)
            .collect();
        return format!(
            "{catalog}; profiles: {}, source regions: {}",
            ids.len(),
            regions.len()
        );
    }
    if left_out > 0 {
        return format!(
            "{catalog}: no route is permitted; widen --allowed-regions (global profiles need the limit *), or leave out a filter"
        );
    }
    let known: BTreeSet<&ModelId> = catalogs
        .iter()
        .flat_map(|catalog| catalog.profiles())
        .map(|profile| &profile.model)
        .collect();
    match &filters.model {
        Some(pattern) if !known.iter().any(|model| pattern.matches(model)) => {
            let asked = pattern.0.as_str();
            format!(
                "{catalog}: no profile of {asked}{}; {}",
                last_seen(asked),
                similar(asked, &known)
            )
        }
        _ => {
            format!("{catalog}: no profile fits all filters; leave one out to see what there is")
        }
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
        for (model, geographies, shown) in [
            (Some(model), &["jp"][..], "jp@ap-northeast-1"),
            (Some(model), &["jp", "eu"], "eu@eu-west-1 jp@ap-northeast-1"),
            (
                Some("*claude-sonnet-4-5-*"),
                &["global"],
                "global@ap-northeast-1 global@eu-west-1",
            ),
            (Some(model), &["us"], ""),
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
        assert!(without.iter().all(|profile| profile.arn.is_none()));
        let with = filtered(&catalogs, &none, Some(&given)).expect("profiles");
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
            ("amazon.nova-lite-v1:0", &["jp"], "leave one out"),
        ] {
            let filters = filters(Some(model), geographies);
            let profiles = filtered(&catalogs, &filters, None).expect("profiles");
            assert!(profiles.is_empty(), "{model}");
            let remark = remark(&profiles, 0, &catalogs, &filters);
            assert!(remark.contains(says), "{remark}");
        }
    }
}
