//! `catalog lifecycle`: when models become legacy, and when their lives end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use jiff::civil::Date;
use serde::Serialize;

use super::{ModelPattern, list_catalogs};
use crate::{
    catalog::{Catalog, Lifecycle, embedded::Embedded},
    cli::{
        Error,
        options::{CatalogOptions, CatalogSource, DayOptions},
        output::{json, yaml},
        tables::{printed, table},
    },
    lifecycle::{self, Known, State},
    types::{ModelId, Region},
};

/// `catalog lifecycle`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator catalog lifecycle\n  inference-profile-operator catalog lifecycle --region eu-west-1 -o json"
)]
pub struct LifecycleArgs {
    #[command(flatten)]
    catalog: CatalogOptions,
    /// Source region; repeatable [default: all regions of the catalog; with --catalog bedrock the one in `AWS_REGION`]
    #[arg(long, value_name = "REGION")]
    region: Vec<Region>,
    /// Foundation model ID, or a pattern with at most 4 `*`; repeatable [default: all models that are not active, or that have
    /// a date]
    #[arg(long, value_name = "MODEL")]
    model: Vec<ModelPattern>,
    #[command(flatten)]
    day: DayOptions,
    /// Format of the output: wide gives the names of the regions
    #[arg(short, long, value_enum, default_value_t = LifecycleOutput::Table)]
    output: LifecycleOutput,
}

/// Formats of the table of lifecycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LifecycleOutput {
    /// A table with the number of regions.
    Table,
    /// A table with the names of the regions.
    Wide,
    /// One JSON array, an object per model and set of dates.
    Json,
    /// The same as YAML.
    Yaml,
}

pub(super) async fn run(args: LifecycleArgs) -> Result<(String, String), Error> {
    let catalogs = list_catalogs(&args.catalog, &args.region, false).await?;
    let day = args.day.day();
    let rows = rows(&catalogs, &args, Embedded::load(), day);
    let is_wide = args.output == LifecycleOutput::Wide;
    let text = match args.output {
        LifecycleOutput::Table | LifecycleOutput::Wide => {
            printed(&lifecycle_table(&rows, is_wide, None))
        }
        LifecycleOutput::Json => json(&rows)?,
        LifecycleOutput::Yaml => yaml(&rows)?,
    };
    Ok((text, remark(&rows, &catalogs, Embedded::load(), day)))
}

/// The lifecycle of a model in the regions where its dates are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(rename = "foundationModelID")]
    model: ModelId,
    state: State,
    legacy: Option<Date>,
    public_extended_access: Option<Date>,
    end_of_life: Option<Date>,
    days_to_end_of_life: Option<i32>,
    regions: BTreeSet<Region>,
}

/// What one row is about: the model, its dates, and its state.
type RowKey = (ModelId, [Option<Date>; 3], State);

/// Returns a row for each model and set of dates; the life that ends first comes first.
fn rows(
    catalogs: &[Arc<Catalog>],
    args: &LifecycleArgs,
    embedded: &Embedded,
    day: Date,
) -> Vec<Row> {
    let mut found: BTreeMap<RowKey, BTreeSet<Region>> = BTreeMap::new();
    let mut note = |model: &ModelId, region: &Region, lifecycle: &Lifecycle| {
        let Lifecycle {
            legacy,
            extended_access,
            end_of_life,
            ..
        } = *lifecycle;
        let state = State::of(lifecycle, day);
        let is_wanted = if args.model.is_empty() {
            state != State::Active || lifecycle.has_dates()
        } else {
            args.model.iter().any(|pattern| pattern.matches(model))
        };
        if is_wanted {
            let key = (model.clone(), [legacy, extended_access, end_of_life], state);
            found.entry(key).or_default().insert(region.clone());
        }
    };
    for catalog in catalogs {
        let listed = catalog.models().unwrap_or_default().iter();
        let models: BTreeSet<&ModelId> = listed
            .map(|model| &model.id)
            .chain(catalog.profiles().iter().map(|profile| &profile.model))
            .collect();
        for model in models {
            if let Some(Known { lifecycle, .. }) = lifecycle::known(catalog, embedded, model) {
                note(model, catalog.source_region(), &lifecycle);
            }
        }
    }
    // What is gone from the catalog is still in the table of lives.
    if args.catalog.catalog == CatalogSource::Embedded {
        for (model, regions, lifecycle) in embedded.lifecycles() {
            for region in regions.unwrap_or_default() {
                if args.region.is_empty() || args.region.contains(region) {
                    note(model, region, &lifecycle);
                }
            }
        }
    }
    let mut rows: Vec<Row> = found
        .into_iter()
        .map(|((model, [legacy, extended, end], state), regions)| Row {
            model,
            state,
            legacy,
            public_extended_access: extended,
            end_of_life: end,
            days_to_end_of_life: end.map(|end| lifecycle::days_between(day, end)),
            regions,
        })
        .collect();
    rows.sort_by_key(|row| (row.end_of_life.is_none(), row.end_of_life));
    rows
}

fn lifecycle_table(rows: &[Row], is_wide: bool, width: Option<u16>) -> Table {
    let header = [
        "MODEL",
        "STATE",
        "LEGACY",
        "EXTENDED",
        "END OF LIFE",
        "REGIONS",
    ];
    let mut table = table(header, width);
    let date = |date: Option<Date>| date.map_or_else(|| "-".to_owned(), |date| date.to_string());
    for row in rows {
        let names = || {
            let names: Vec<&str> = row.regions.iter().map(Region::as_str).collect();
            names.join(" ")
        };
        table.add_row([
            row.model.to_string(),
            row.state.to_string(),
            date(row.legacy),
            date(row.public_extended_access),
            date(row.end_of_life),
            if is_wide {
                names()
            } else {
                row.regions.len().to_string()
            },
        ]);
    }
    table
}

/// Says what the table is about, and where it comes from.
fn remark(rows: &[Row], catalogs: &[Arc<Catalog>], embedded: &Embedded, day: Date) -> String {
    let mut origins: Vec<String> = Vec::new();
    for catalog in catalogs {
        let origin = if catalog.source().is_live() {
            format!("the listing of {}", catalog.source_region())
        } else {
            format!("the embedded data of {}", embedded.lifecycles_as_of())
        };
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    let unknown: Vec<&str> = catalogs
        .iter()
        .filter(|catalog| catalog.source().is_live() && catalog.models().is_none())
        .map(|catalog| catalog.source_region().as_str())
        .collect();
    if !unknown.is_empty() {
        return format!(
            "the models of {} could not be listed, so nothing is known of their lives: allow bedrock:ListFoundationModels",
            unknown.join(", ")
        );
    }
    let models: BTreeSet<&ModelId> = rows.iter().map(|row| &row.model).collect();
    let hint = if models.is_empty() {
        "; no model fits: `catalog list` shows what there is"
    } else {
        ""
    };
    format!(
        "models: {}, on {day}, by {}; -: AWS names no date{hint}",
        models.len(),
        origins.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::cli::catalog::tests::{embedded, fits};

    fn args(models: &[&str]) -> LifecycleArgs {
        LifecycleArgs {
            catalog: CatalogOptions {
                catalog: CatalogSource::Embedded,
                aws: crate::cli::options::AwsOptions::default(),
            },
            region: Vec::new(),
            model: models
                .iter()
                .map(|model| model.parse().expect(model))
                .collect(),
            day: DayOptions::default(),
            output: LifecycleOutput::Table,
        }
    }

    #[test]
    fn a_model_has_a_row_for_each_set_of_dates() {
        let catalogs = embedded(&[]);
        let day = date(2027, 1, 9);
        let rows = rows(
            &catalogs,
            &args(&["*sonnet-4-5*", "*haiku-4-5-2*"]),
            Embedded::load(),
            day,
        );
        let found: Vec<(&str, State, Option<i32>, usize)> = rows
            .iter()
            .map(|row| {
                let days = row.days_to_end_of_life;
                (row.model.as_str(), row.state, days, row.regions.len())
            })
            .collect();
        let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
        assert_eq!(
            found,
            [
                (sonnet, State::ExtendedAccess, Some(89), 31),
                (
                    "anthropic.claude-haiku-4-5-20251001-v1:0",
                    State::Active,
                    None,
                    31
                ),
                (sonnet, State::Active, None, 2),
            ]
        );
    }

    #[test]
    fn without_a_model_those_are_shown_that_are_not_active() {
        let catalogs = embedded(&["eu-west-1"]);
        let all = rows(&catalogs, &args(&[]), Embedded::load(), date(2026, 11, 28));
        assert!(all.iter().all(|row| row.state != State::Active));
        let gone = all
            .iter()
            .find(|row| row.model.as_str() == "amazon.nova-canvas-v1:0");
        assert_eq!(gone.expect("a row").state, State::EndOfLifePassed);
        let dates: Vec<Option<Date>> = all.iter().map(|row| row.end_of_life).collect();
        assert!(dates.is_sorted_by_key(|date| (date.is_none(), *date)));
        fits(&lifecycle_table(&all, false, Some(120)), 120);
        fits(&lifecycle_table(&all, true, Some(120)), 120);
    }
}
