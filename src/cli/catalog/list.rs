//! `catalog list`: one line per profile and source region.

use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, Table};

use super::{
    Filters, catalogs,
    rows::{Permitted, Row, permitted, remark, rows},
};
use crate::cli::{
    Error,
    options::{AccountOptions, CatalogOptions},
    output::{json, yaml},
    tables::{printed, table},
};

/// `catalog list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    account: AccountOptions,
    #[command(flatten)]
    filters: Filters,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,
}

/// Forms of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListOutput {
    /// A table that fits the terminal.
    Table,
    /// One JSON array, an object per profile and source region.
    Json,
    /// The same as YAML.
    Yaml,
}

pub(super) async fn run(args: ListArgs) -> Result<(String, String), Error> {
    let limits = args.filters.limits()?;
    let catalogs = catalogs(&args.catalog, &args.filters.region).await?;
    let rows = rows(&catalogs, &args.filters, args.account.account.as_ref())?;
    let Permitted { rows, left_out } = permitted(rows, &limits);
    let text = match args.output {
        ListOutput::Table => printed(&list_table(&rows, None)),
        ListOutput::Json => json(&rows)?,
        ListOutput::Yaml => yaml(&rows)?,
    };
    let remark = remark(&rows, left_out, &catalogs, &args.filters);
    Ok((text, remark))
}

fn list_table(rows: &[Row], width: Option<u16>) -> Table {
    let mut table = table(["PROFILE", "SOURCE", "DESTINATIONS"], width);
    for row in rows {
        table.add_row([
            row.id.clone(),
            row.source_region.to_string(),
            row.destination_regions.join(" "),
        ]);
    }
    if let Some(source) = table.column_mut(1) {
        source.set_constraint(ColumnConstraint::ContentWidth);
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
        assert_eq!(all.len(), 1497);
        fits(&list_table(&all, Some(100)), 100);
        fits(&list_table(&all, Some(80)), 80);
    }
}
