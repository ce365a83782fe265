//! `catalog list`: one line per profile, or model on demand, and source region.

use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, Table};

use super::{
    Filters,
    legend::{ENDED, LEGACY, with_legend},
    selection::{ListedRoute, Selection, select},
};
use crate::{
    cli::{
        Error,
        options::{AccountOptions, CatalogOptions},
        output::{json, yaml},
        tables::{printed, table},
    },
    types::ON_DEMAND,
};

/// `catalog list`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator catalog list --region eu-west-1\n  inference-profile-operator catalog list --model 'anthropic.claude-*' \\\n    --geography eu --allowed-regions @eu\n  inference-profile-operator catalog list --geography on-demand \\\n    --region us-east-1 -o json\n  inference-profile-operator catalog list --catalog bedrock --region eu-west-1"
)]
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
    /// One JSON array, an object per line of the table.
    Json,
    /// The same as YAML.
    Yaml,
}

pub(super) async fn run(args: ListArgs) -> Result<(String, String), Error> {
    let account = args.account.account.as_ref();
    let Selection { routes, remark, .. } = select(&args.catalog, &args.filters, account).await?;
    Ok(match args.output {
        ListOutput::Table => (
            printed(&list_table(&routes, None)),
            with_legend(remark, &routes),
        ),
        ListOutput::Json => (json(&routes)?, remark),
        ListOutput::Yaml => (yaml(&routes)?, remark),
    })
}

fn list_table(routes: &[ListedRoute], width: Option<u16>) -> Table {
    let marked = routes.iter().any(|route| !marks(route).is_empty());
    let mut header = vec!["ID", "SOURCE", "DESTINATIONS"];
    header.extend(marked.then_some("MARKS"));
    let mut table = table(header, width);
    for route in routes {
        let mut cells = vec![
            route.id.clone(),
            route.source_region.to_string(),
            route.destination_regions.join(" "),
        ];
        cells.extend(marked.then(|| marks(route)));
        table.add_row(cells);
    }
    if let Some(source) = table.column_mut(1) {
        source.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn marks(route: &ListedRoute) -> String {
    let marks = [
        route.is_on_demand().then_some(ON_DEMAND),
        route
            .is_legacy()
            .then(|| if route.has_ended() { ENDED } else { LEGACY }),
    ];
    marks.into_iter().flatten().collect::<Vec<_>>().join(" ")
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
        let all = filtered(&catalogs, &Filters::default(), None).expect("routes");
        let listed = catalogs.iter().map(|catalog| {
            let models = catalog.models().expect("models").iter();
            catalog.profiles().len() + models.filter(|model| model.on_demand).count()
        });
        assert_eq!(all.len(), listed.sum::<usize>());
        let table = list_table(&all, Some(300)).trim_fmt();
        let line = |id: &str, source: &str| {
            let mut lines = table.lines();
            lines
                .find(|line| line.starts_with(&format!("{id} ")) && line.contains(source))
                .unwrap_or_else(|| panic!("{id} in {source}"))
        };
        for (id, source, ending) in [
            ("eu.amazon.nova-lite-v1:0", "eu-west-1", "eu-west-3"),
            ("eu.twelvelabs.pegasus-1-2-v1:0", "eu-west-1", "LEGACY"),
            ("cohere.embed-english-v3", "eu-west-1", "on-demand"),
            ("ai21.jamba-1-5-mini-v1:0", "us-east-1", "on-demand ENDED"),
        ] {
            let line = line(id, source);
            assert!(line.trim_end().ends_with(ending), "{line}");
        }
        fits(&list_table(&all, Some(100)), 100);
        fits(&list_table(&all, Some(80)), 80);
    }
}
