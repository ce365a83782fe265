//! `catalog list`: one line per profile and source region.

use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, Table};

use super::{
    Filters,
    selection::{ListedProfile, Selection, select},
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
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,
}

/// Formats of a list.
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
    let account = args.account.account.as_ref();
    let Selection { profiles, remark } = select(&args.catalog, &args.filters, account).await?;
    let text = match args.output {
        ListOutput::Table => printed(&list_table(&profiles, None)),
        ListOutput::Json => json(&profiles)?,
        ListOutput::Yaml => yaml(&profiles)?,
    };
    Ok((text, remark))
}

fn list_table(profiles: &[ListedProfile], width: Option<u16>) -> Table {
    let mut table = table(["PROFILE", "SOURCE", "DESTINATIONS"], width);
    for profile in profiles {
        table.add_row([
            profile.id.clone(),
            profile.source_region.to_string(),
            profile.destination_regions.join(" "),
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
    use crate::cli::catalog::{
        selection::filtered,
        tests::{embedded, fits},
    };

    #[test]
    fn the_table_fits_the_terminal() {
        let catalogs = embedded(&[]);
        let all = filtered(&catalogs, &Filters::default(), None).expect("profiles");
        let listed = catalogs.iter().map(|catalog| catalog.profiles().len());
        assert_eq!(all.len(), listed.sum::<usize>());
        fits(&list_table(&all, Some(100)), 100);
        fits(&list_table(&all, Some(80)), 80);
    }
}
