//! What `catalog list` and `catalog matrix` show, and the remark beside it.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{Filters, account};
use crate::{
    catalog::{Catalog, Profile, embedded::Embedded},
    cli::Error,
    residency::Limits,
    types::{AccountId, Geography, ModelId, Region},
};

/// A profile as seen from a source region, with the field names of `status.profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    #[serde(skip)]
    profile: Arc<Profile>,
    pub(super) geography: Geography,
    pub(super) source_region: Region,
    #[serde(rename = "foundationModelID")]
    foundation_model_id: String,
    pub(super) destination_regions: Vec<String>,
    catalog: RowCatalog,
}

impl Row {
    pub(super) fn model(&self) -> &ModelId {
        &self.profile.model
    }

    /// Says whether the limits permit the route: its source region, and every destination.
    fn is_permitted(&self, limits: &Limits) -> bool {
        let route = self.profile.route(&self.source_region);
        limits.judge(&route, Embedded::load()).permits()
    }
}

/// Where a row comes from, with the field names of `status.profile.catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RowCatalog {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
}

pub(super) fn rows(
    catalogs: &[Arc<Catalog>],
    filters: &Filters,
    given: Option<&AccountId>,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
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
        rows.extend(wanted.map(|profile| Row {
            id: profile.id.to_string(),
            name: profile.name.clone(),
            arn: account.map(|account| region.profile_arn(account, &profile.id)),
            profile: profile.clone(),
            geography: profile.geography.clone(),
            source_region: region.clone(),
            foundation_model_id: profile.model.to_string(),
            destination_regions: profile.destinations.names(),
            catalog: RowCatalog {
                source: catalog.source().as_str(),
                account: account.cloned(),
                as_of: catalog.as_of().map(ToOwned::to_owned),
            },
        }));
    }
    rows.sort_by(|a, b| {
        (a.model(), &a.geography, &a.source_region).cmp(&(
            b.model(),
            &b.geography,
            &b.source_region,
        ))
    });
    Ok(rows)
}

/// What the limits leave of rows.
pub(super) struct Permitted {
    pub(super) rows: Vec<Row>,
    /// How many models have no row left.
    pub(super) left_out: usize,
}

pub(super) fn permitted(mut rows: Vec<Row>, limits: &Limits) -> Permitted {
    let models = |rows: &[Row]| rows.iter().map(Row::model).collect::<BTreeSet<_>>().len();
    let before = models(&rows);
    rows.retain(|row| row.is_permitted(limits));
    Permitted {
        left_out: before - models(&rows),
        rows,
    }
}

/// Says in a sentence what is shown, or what there would be where nothing is, and in a line of its own how many models
/// have no permitted route.
pub(super) fn remark(
    rows: &[Row],
    left_out: usize,
    catalogs: &[Arc<Catalog>],
    filters: &Filters,
) -> String {
    let shown = shown(rows, left_out, catalogs, filters);
    if left_out == 0 {
        return shown;
    }
    format!(
        "{shown}\nleft out, because --allowed-regions permits no route to them: models: {left_out}"
    )
}

fn shown(rows: &[Row], left_out: usize, catalogs: &[Arc<Catalog>], filters: &Filters) -> String {
    let dates: BTreeSet<&str> = catalogs
        .iter()
        .filter_map(|catalog| catalog.as_of())
        .collect();
    let source = catalogs.first().map_or("", |c| c.source().as_str());
    let of = match dates.into_iter().collect::<Vec<_>>().as_slice() {
        [] => format!("{source} catalog"),
        [date] => format!("{source} catalog of {date}"),
        [first, .., last] => format!("{source} catalog of {first} to {last}"),
    };
    if !rows.is_empty() {
        let profiles: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let regions: BTreeSet<&Region> = rows.iter().map(|row| &row.source_region).collect();
        return format!(
            "{of}; profiles: {}, source regions: {}",
            profiles.len(),
            regions.len()
        );
    }
    let known: BTreeSet<&ModelId> = catalogs
        .iter()
        .flat_map(|catalog| catalog.profiles())
        .map(|profile| &profile.model)
        .collect();
    if left_out > 0 {
        return format!(
            "{of}: no route is permitted; widen --allowed-regions (global profiles need the limit *), or leave out a filter"
        );
    }
    match &filters.model {
        Some(pattern) if !known.iter().any(|model| pattern.matches(model)) => {
            let asked = pattern.0.as_str();
            format!(
                "{of}: no profile of {asked} there{}; {}",
                retired(asked),
                similar(asked, &known)
            )
        }
        _ => {
            format!("{of}: no profile fits all of the filters; leave one out to see what there is")
        }
    }
}

/// Says when public data last saw profiles of a model that has none any more.
fn retired(asked: &str) -> String {
    let last_seen = asked.parse().ok().and_then(|model| {
        let profiles = Embedded::load().retired(&model);
        profiles.map(|profile| profile.last_seen).max()
    });
    last_seen.map_or_else(String::new, |date| format!(", last seen {date}"))
}

/// Names up to three models that are like the text: first those that begin with it.
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
            let rows = rows(&catalogs, &filters(model, geographies), None).expect("rows");
            let found: Vec<String> = rows
                .iter()
                .map(|row| format!("{}@{}", row.geography, row.source_region))
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
            let all = rows(&catalogs, &wanted, None).expect("rows");
            let kept = permitted(all, &Limits::all(limit));
            let found: Vec<String> = kept
                .rows
                .iter()
                .map(|row| format!("{}@{}", row.geography, row.source_region))
                .collect();
            assert_eq!((found.join(" ").as_str(), kept.left_out), (shown, left_out));
            let remark = remark(&kept.rows, left_out, &catalogs, &wanted);
            assert_eq!(remark.contains("models: 1"), left_out == 1, "{remark}");
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
        let without = rows(&catalogs, &none, None).expect("rows");
        assert!(without.iter().all(|row| row.arn.is_none()));
        let with = rows(&catalogs, &none, Some(&given)).expect("rows");
        assert!(with.iter().all(|row| {
            row.arn.as_deref()
                == Some(&format!(
                    "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{}",
                    row.id
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
            rows(&[Arc::new(other)], &none, Some(&given)),
            Err(Error::BadInput(_))
        ));
    }

    #[test]
    fn json_has_the_field_names_of_the_status() {
        let wanted = filters(Some("amazon.nova-lite-v1:0"), &["us"]);
        let rows = rows(&embedded(&["us-west-1"]), &wanted, None).expect("rows");
        let value: serde_json::Value =
            serde_json::from_str(&json(&rows).expect("JSON")).expect("json");
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
            let rows = rows(&catalogs, &filters, None).expect("rows");
            assert!(rows.is_empty(), "{model}");
            let remark = remark(&rows, 0, &catalogs, &filters);
            assert!(remark.contains(says), "{remark}");
        }
    }
}
