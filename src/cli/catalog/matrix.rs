//! `catalog matrix`: which geographies have a profile of each model.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use serde::Serialize;

use super::{
    Filters, catalogs,
    rows::{Permitted, Row, permitted, remark, rows},
};
use crate::{
    cli::{
        Error,
        options::CatalogOptions,
        output::{json, yaml},
        tables::{printed, table},
    },
    types::{Geography, ModelId, Region},
};

/// `catalog matrix`.
#[derive(Debug, Clone, Args)]
pub struct MatrixArgs {
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    filters: Filters,
    /// How to print: table gives the number of source regions (a check mark where --region names one), wide their names
    #[arg(short, long, value_enum, default_value_t = MatrixOutput::Table)]
    output: MatrixOutput,
}

/// Forms of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixOutput {
    /// A table that fits 80 columns.
    Table,
    /// A table with the names of the source regions.
    Wide,
    /// One JSON array, an object per model.
    Json,
    /// The same as YAML.
    Yaml,
}

pub(super) async fn run(args: MatrixArgs) -> Result<(String, String), Error> {
    let limits = args.filters.limits()?;
    let catalogs = catalogs(&args.catalog, &args.filters.region).await?;
    let rows = rows(&catalogs, &args.filters, None)?;
    let Permitted { rows, left_out } = permitted(rows, &limits);
    let models = models(&rows);
    let cell = match (args.output, args.filters.region.as_slice()) {
        (MatrixOutput::Wide, _) => Cell::Names,
        (_, [_]) => Cell::Mark,
        _ => Cell::Count,
    };
    let text = match args.output {
        MatrixOutput::Table | MatrixOutput::Wide => printed(&matrix_table(&models, cell, None)),
        MatrixOutput::Json => json(&models)?,
        MatrixOutput::Yaml => yaml(&models)?,
    };
    let remark = remark(&rows, left_out, &catalogs, &args.filters);
    Ok((text, remark))
}

/// The profiles of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ModelRow {
    #[serde(rename = "foundationModelID")]
    model: ModelId,
    /// Source regions by geography.
    geographies: BTreeMap<Geography, BTreeSet<Region>>,
}

fn models(rows: &[Row]) -> Vec<ModelRow> {
    let mut models: BTreeMap<&ModelId, BTreeMap<Geography, BTreeSet<Region>>> = BTreeMap::new();
    for row in rows {
        models
            .entry(row.model())
            .or_default()
            .entry(row.geography.clone())
            .or_default()
            .insert(row.source_region.clone());
    }
    models
        .into_iter()
        .map(|(model, geographies)| ModelRow {
            model: model.clone(),
            geographies,
        })
        .collect()
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

fn matrix_table(models: &[ModelRow], cell: Cell, width: Option<u16>) -> Table {
    let geographies: BTreeSet<&Geography> = models
        .iter()
        .flat_map(|row| row.geographies.keys())
        .collect();
    let mut header = vec!["MODEL".to_owned()];
    header.extend(geographies.iter().map(|g| g.as_str().to_uppercase()));
    let mut table = table(header, width);
    for row in models {
        let mut cells = vec![row.model.to_string()];
        cells.extend(
            geographies
                .iter()
                .map(|geography| cell.text(row.geographies.get(*geography))),
        );
        table.add_row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::catalog::tests::{embedded, fits};

    #[test]
    fn the_table_fits_the_terminal() {
        let all = rows(&embedded(&[]), &Filters::default(), None).expect("rows");
        fits(&matrix_table(&models(&all), Cell::Count, Some(80)), 80);
        let one = rows(&embedded(&["eu-west-2"]), &Filters::default(), None).expect("rows");
        assert!(
            matrix_table(&models(&one), Cell::Mark, Some(80))
                .trim_fmt()
                .contains('✓')
        );
    }
}
