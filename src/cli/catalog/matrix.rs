//! `catalog matrix`: which geographies have a profile of each model.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use comfy_table::Table;
use serde::Serialize;

use super::{
    Filters,
    selection::{ListedProfile, Selection, select},
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
    /// Format of the output: table gives the number of source regions (with one --region, a check mark), wide their names
    #[arg(short, long, value_enum, default_value_t = MatrixOutput::Table)]
    output: MatrixOutput,
}

/// Formats of a matrix.
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
    let Selection { profiles, remark } = select(&args.catalog, &args.filters, None).await?;
    let models = models(&profiles);
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
    Ok((text, remark))
}

/// The geographies that have a profile of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ModelGeographies {
    #[serde(rename = "foundationModelID")]
    model: ModelId,
    /// Source regions by geography.
    geographies: BTreeMap<Geography, BTreeSet<Region>>,
}

fn models(profiles: &[ListedProfile]) -> Vec<ModelGeographies> {
    let mut models: BTreeMap<&ModelId, BTreeMap<Geography, BTreeSet<Region>>> = BTreeMap::new();
    for profile in profiles {
        models
            .entry(&profile.model)
            .or_default()
            .entry(profile.geography.clone())
            .or_default()
            .insert(profile.source_region.clone());
    }
    models
        .into_iter()
        .map(|(model, geographies)| ModelGeographies {
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

fn matrix_table(models: &[ModelGeographies], cell: Cell, width: Option<u16>) -> Table {
    let geographies: BTreeSet<&Geography> = models
        .iter()
        .flat_map(|model| model.geographies.keys())
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
    use crate::cli::catalog::{
        selection::filtered,
        tests::{embedded, fits},
    };

    #[test]
    fn the_table_fits_the_terminal() {
        let all = filtered(&embedded(&[]), &Filters::default(), None).expect("profiles");
        fits(&matrix_table(&models(&all), Cell::Count, Some(80)), 80);
        let one = filtered(&embedded(&["eu-west-2"]), &Filters::default(), None).expect("profiles");
        assert!(
            matrix_table(&models(&one), Cell::Mark, Some(80))
                .trim_fmt()
                .contains('✓')
        );
    }
}
