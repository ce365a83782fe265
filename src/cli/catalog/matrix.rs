//! `catalog matrix`: which geographies have a profile of each model, and where it is on demand.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use serde::Serialize;

use super::{
    Filters,
    legend::{ENDED, LEGACY, with_legend},
    selection::{ListedRoute, Selection, select},
};
use crate::{
    cli::{
        Error,
        options::CatalogOptions,
        output::{json, yaml},
        tables::{printed, table},
    },
    types::{ModelId, ON_DEMAND, Region},
};

/// `catalog matrix`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator catalog matrix\n  inference-profile-operator catalog matrix --region eu-west-1 \\\n    --allowed-regions @eu\n  inference-profile-operator catalog matrix --model 'amazon.nova-*' -o wide"
)]
pub struct MatrixArgs {
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    filters: Filters,
    /// Format of the output: table gives the number of source regions (with one --region, a check mark), wide their names
    #[arg(short, long, value_enum, default_value_t = MatrixOutput::Table)]
    output: MatrixOutput,
}

/// Formats of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixOutput {
    /// A table that fits the terminal.
    Table,
    /// A table with the names of the source regions.
    Wide,
    /// One JSON array, an object per model.
    Json,
    /// The same as YAML.
    Yaml,
}

pub(super) async fn run(args: MatrixArgs) -> Result<(String, String), Error> {
    let Selection {
        routes,
        models_known,
        remark,
    } = select(&args.catalog, &args.filters, None).await?;
    let models = models(&routes, models_known);
    let cell = match (args.output, args.filters.region.as_slice()) {
        (MatrixOutput::Wide, _) => Cell::Names,
        (_, [_]) => Cell::Mark,
        _ => Cell::Count,
    };
    let numbers = match cell {
        Cell::Count => "\nnumbers: source regions",
        Cell::Mark | Cell::Names => "",
    };
    Ok(match args.output {
        MatrixOutput::Table | MatrixOutput::Wide => (
            printed(&matrix_table(&models, cell, None)),
            with_legend(remark, &routes) + numbers,
        ),
        MatrixOutput::Json => (json(&models)?, remark),
        MatrixOutput::Yaml => (yaml(&models)?, remark),
    })
}

/// How a model can be called, each way with its source regions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelRoutes {
    /// Source regions of profiles, by geography.
    geographies: BTreeMap<String, BTreeSet<Region>>,
    /// Regions where the model is on demand. `None` if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand: Option<BTreeSet<Region>>,
    /// Which of all these source regions have the model as a legacy one. `None` if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy: Option<BTreeSet<Region>>,
    /// In which of these the life of the model has ended.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    ended: BTreeSet<Region>,
}

/// A model and its routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    #[serde(rename = "foundationModelID")]
    model: ModelId,
    #[serde(flatten)]
    routes: ModelRoutes,
}

fn models(routes: &[ListedRoute], models_known: bool) -> Vec<Row> {
    let mut models: BTreeMap<&ModelId, ModelRoutes> = BTreeMap::new();
    for route in routes {
        let model = models.entry(&route.model).or_insert_with(|| ModelRoutes {
            geographies: BTreeMap::new(),
            on_demand: models_known.then(BTreeSet::new),
            legacy: models_known.then(BTreeSet::new),
            ended: BTreeSet::new(),
        });
        let region = route.source_region.clone();
        if route.has_ended() {
            model.ended.insert(region.clone());
        }
        if route.is_legacy() {
            let legacy = model.legacy.get_or_insert_default();
            legacy.insert(region.clone());
        }
        let regions = if route.is_on_demand() {
            model.on_demand.get_or_insert_default()
        } else {
            model
                .geographies
                .entry(route.geography.clone())
                .or_default()
        };
        regions.insert(region);
    }
    models
        .into_iter()
        .map(|(model, routes)| Row {
            model: model.clone(),
            routes,
        })
        .collect()
}

impl ModelRoutes {
    /// Returns the mark of a model whose life has ended, or that is legacy, in all of its source regions or in so many of them.
    fn mark(&self) -> String {
        let legacy = self.legacy.as_ref().map_or(0, BTreeSet::len);
        let ended = self.ended.len();
        let regions: BTreeSet<&Region> = self
            .geographies
            .values()
            .chain(&self.on_demand)
            .flatten()
            .collect();
        let (mark, count) = if ended == 0 {
            (LEGACY, legacy)
        } else {
            (ENDED, ended)
        };
        match count {
            0 => String::new(),
            all if all == regions.len() => mark.to_owned(),
            some => format!("{mark} in {some}"),
        }
    }
}

/// What a cell of the matrix shows.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Count,
    Mark,
    Names,
}

impl Cell {
    fn text(self, regions: Option<&BTreeSet<Region>>) -> String {
        match (self, regions) {
            (_, None) => String::new(),
            (Self::Count, Some(regions)) => regions.len().to_string(),
            (Self::Mark, Some(_)) => "✓".to_owned(),
            (Self::Names, Some(regions)) => {
                let names: Vec<&str> = regions.iter().map(Region::as_str).collect();
                names.join(" ")
            }
        }
    }
}

fn matrix_table(models: &[Row], cell: Cell, width: Option<u16>) -> Table {
    let geographies: BTreeSet<&String> = models
        .iter()
        .flat_map(|row| row.routes.geographies.keys())
        .collect();
    let on_demand = |row: &Row| row.routes.on_demand.clone().filter(|set| !set.is_empty());
    let any_on_demand = models.iter().any(|row| on_demand(row).is_some());
    let any_legacy = models.iter().any(|row| !row.routes.mark().is_empty());
    let mut header = vec!["MODEL".to_owned()];
    header.extend(geographies.iter().map(|g| g.to_uppercase()));
    header.extend(any_on_demand.then(|| ON_DEMAND.to_uppercase()));
    header.extend(any_legacy.then(|| "LIFECYCLE".to_owned()));
    let mut table = table(header, width);
    for row in models {
        let mut cells = vec![row.model.to_string()];
        cells.extend(
            geographies
                .iter()
                .map(|geography| cell.text(row.routes.geographies.get(*geography))),
        );
        cells.extend(any_on_demand.then(|| cell.text(on_demand(row).as_ref())));
        cells.extend(any_legacy.then(|| row.routes.mark()));
        table.add_row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog::{
        selection::filtered,
        tests::{embedded, filters, fits},
    };

    fn rows(regions: &[&str], filters: &Filters) -> Vec<Row> {
        let routes = filtered(&embedded(regions), filters, None).expect("routes");
        models(&routes, true)
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let all = rows(&[], &Filters::default());
        fits(&matrix_table(&all, Cell::Count, Some(80)), 80);
        // No model ID is wrapped.
        let table = matrix_table(&all, Cell::Count, Some(120));
        fits(&table, 120);
        assert_eq!(table.trim_fmt().lines().count(), all.len() + 1);
        let one = rows(&["eu-west-2"], &Filters::default());
        assert!(
            matrix_table(&one, Cell::Mark, Some(80))
                .trim_fmt()
                .contains('✓')
        );
    }

    #[test]
    fn models_on_demand_and_legacy_models_are_marked() {
        let model = |id| rows(&[], &filters(Some(id), &[])).remove(0);
        let rerank = model("amazon.rerank-v1:0");
        assert!(rerank.routes.geographies.is_empty());
        assert_eq!(
            serde_json::to_value(&rerank).expect("JSON"),
            serde_json::json!({
                "foundationModelID": "amazon.rerank-v1:0",
                "geographies": {},
                "onDemand": ["ap-northeast-1", "ca-central-1", "eu-central-1", "us-west-2"],
                "legacy": [],
            })
        );
        assert_eq!(rerank.routes.mark(), "");
        let mut palmyra = model("writer.palmyra-x4-v1:0");
        assert_eq!(palmyra.routes.mark(), "LEGACY");
        if let Some(legacy) = &mut palmyra.routes.legacy {
            legacy.pop_first();
        }
        assert!(palmyra.routes.mark().starts_with("LEGACY in "));
        // Geographies alone leave on demand out.
        let profiles = rows(&[], &filters(Some("amazon.rerank-v1:0"), &["eu"]));
        assert_eq!(profiles, []);
        // A catalog without models says nothing about them.
        let routes = filtered(&embedded(&[]), &filters(None, &["eu"]), None).expect("routes");
        let unknown = &models(&routes, false)[0];
        let unknown = serde_json::to_value(unknown).expect("JSON");
        assert!(unknown.get("onDemand").is_none() && unknown.get("legacy").is_none());
    }
}
