//! `catalog list`, `catalog matrix` and `catalog export`: what can be called from where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use super::options::{AccountOptions, CatalogOptions, CatalogSource, LimitOptions};
use crate::{
    catalog::{
        Catalog, CatalogError, FeedKey, Profile,
        embedded::Embedded,
        listing::{self, Listing},
    },
    glob::Glob,
    residency::Limits,
    sources::directory::{Directory, MANIFEST, Manifest, sha256_hex},
    types::{AccountId, Geography, ModelId, Region},
};

/// Commands on catalogs.
#[derive(Debug, Clone, Subcommand)]
pub enum CatalogCommand {
    /// List inference profiles, one line per profile and source region
    List(ListArgs),
    /// Show which geographies have a profile of each model
    Matrix(MatrixArgs),
    /// Write listings into a directory, for --catalog directory:PATH
    Export(ExportArgs),
}

/// Which profiles to show.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// Source region, the one that Bedrock is called in; can be repeated [default: all that the catalog knows; with
    /// --catalog bedrock the one in `AWS_REGION`]
    #[arg(long, value_name = "REGION")]
    pub region: Vec<Region>,
    /// Foundation model ID, or a pattern with at most 4 `*`, each of which stands for any text
    #[arg(long, value_name = "MODEL")]
    pub model: Option<ModelPattern>,
    /// Geography, the prefix of the profile ID; can be repeated
    #[arg(long, value_name = "GEOGRAPHY")]
    pub geography: Vec<Geography>,
    /// Profiles with a region outside are left out.
    #[command(flatten)]
    pub limit: LimitOptions,
}

impl Filters {
    fn limits(&self) -> Result<Limits, Error> {
        let limit = self
            .limit
            .parse()
            .map_err(|error| Error::BadInput(error.to_string()))?;
        Ok(Limits::all(limit.map(Ok)))
    }
}

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

/// `catalog export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    account: AccountOptions,
    /// Source region; can be repeated [default: all that the catalog knows; with --catalog bedrock the one in
    /// `AWS_REGION`]
    #[arg(long, value_name = "REGION")]
    region: Vec<Region>,
    /// Overwrite files that are not an unchanged earlier export
    #[arg(long)]
    force: bool,
    /// Directory to write into; made where it is not there
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
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

/// A foundation model ID, in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern(Glob);

impl FromStr for ModelPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('*') {
            ModelId::parse_given(text).map_err(|error| format!("{error}, or a pattern with *"))?;
        }
        Glob::parse(text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

impl ModelPattern {
    /// Says whether a model's ID fits.
    #[must_use]
    pub fn matches(&self, model: &ModelId) -> bool {
        self.0.matches(model.as_str())
    }
}

/// Says why a command on catalogs ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given can't be used.
    #[error("{0}")]
    BadInput(String),
    /// A catalog could not be had.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file could not be read or written.
    #[error("{}", .path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// The output could not be written.
    #[error("the output can't be written")]
    Output(#[source] io::Error),
}

impl Error {
    /// Returns the exit code: 2 for bad input, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_) | Self::Catalog(CatalogError::SnapshotInvalid(_)) => 2,
            _ => 1,
        }
    }
}

/// Runs a command on catalogs. What was asked for goes to `out`, remarks go to `err`.
///
/// # Errors
/// [`Error`], with a text for the person at the terminal.
pub async fn run(
    command: CatalogCommand,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<(), Error> {
    let (text, remark) = match command {
        CatalogCommand::List(args) => list(args).await?,
        CatalogCommand::Matrix(args) => matrix(args).await?,
        CatalogCommand::Export(args) => (String::new(), export(args).await?),
    };
    out.write_all(text.as_bytes()).map_err(Error::Output)?;
    writeln!(err, "{remark}").map_err(Error::Output)
}

/// A profile as seen from a source region, with the field names of `status.profile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arn: Option<String>,
    #[serde(skip)]
    profile: Arc<Profile>,
    geography: Geography,
    source_region: Region,
    #[serde(rename = "foundationModelID")]
    foundation_model_id: String,
    destination_regions: Vec<String>,
    catalog: RowCatalog,
}

impl Row {
    fn model(&self) -> &ModelId {
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
struct RowCatalog {
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<String>,
}

async fn list(args: ListArgs) -> Result<(String, String), Error> {
    let limits = args.filters.limits()?;
    let catalogs = catalogs(&args.catalog, &args.filters.region).await?;
    let rows = rows(&catalogs, &args.filters, args.account.account.as_ref())?;
    let Permitted { rows, left_out } = permitted(rows, &limits);
    let text = match args.output {
        ListOutput::Table => printed(&list_table(&rows, None)),
        ListOutput::Json => json(&rows),
        ListOutput::Yaml => yaml(&rows),
    };
    let remark = remark(&rows, left_out, &catalogs, &args.filters);
    Ok((text, remark))
}

async fn matrix(args: MatrixArgs) -> Result<(String, String), Error> {
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
        MatrixOutput::Json => json(&models),
        MatrixOutput::Yaml => yaml(&models),
    };
    let remark = remark(&rows, left_out, &catalogs, &args.filters);
    Ok((text, remark))
}

/// Returns the catalogs of the given regions, of all regions that the source knows where none is given.
async fn catalogs(options: &CatalogOptions, given: &[Region]) -> Result<Vec<Catalog>, Error> {
    let regions: BTreeSet<Region> = match (&options.catalog, given) {
        (CatalogSource::Embedded, []) => Embedded::load().source_regions().cloned().collect(),
        (CatalogSource::Directory(path), []) => {
            Directory::open(path)?.regions()?.into_iter().collect()
        }
        (CatalogSource::Bedrock, []) => BTreeSet::from([region_of_environment()?]),
        (_, given) => given.iter().cloned().collect(),
    };
    let Some(first) = regions.first() else {
        return Err(Error::BadInput(
            "the catalog has no region: give a directory of <region>.json files, as `catalog export` writes it"
                .to_owned(),
        ));
    };
    let source = options.open(first).await?;
    let mut catalogs = Vec::with_capacity(regions.len());
    for region in regions {
        catalogs.push(source.list(&FeedKey { role: None, region }).await?);
    }
    Ok(catalogs)
}

fn region_of_environment() -> Result<Region, Error> {
    let name = ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .ok_or_else(|| {
            Error::BadInput(
                "--catalog bedrock asks one region: give --region, or set AWS_REGION".to_owned(),
            )
        })?;
    name.parse()
        .map_err(|error| Error::BadInput(format!("AWS_REGION: {error}")))
}

fn rows(
    catalogs: &[Catalog],
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
struct Permitted {
    rows: Vec<Row>,
    /// How many models have no row left.
    left_out: usize,
}

fn permitted(mut rows: Vec<Row>, limits: &Limits) -> Permitted {
    let models = |rows: &[Row]| rows.iter().map(Row::model).collect::<BTreeSet<_>>().len();
    let before = models(&rows);
    rows.retain(|row| row.is_permitted(limits));
    Permitted {
        left_out: before - models(&rows),
        rows,
    }
}

/// Returns the catalog's account, or the given one where the catalog knows none.
fn account<'a>(
    catalog: &'a Catalog,
    given: Option<&'a AccountId>,
) -> Result<Option<&'a AccountId>, Error> {
    match (catalog.account(), given) {
        (Some(known), Some(given)) if known != given => Err(Error::BadInput(format!(
            "--account {given}: the catalog of {} is of account {known}",
            catalog.source_region()
        ))),
        (known, given) => Ok(known.or(given)),
    }
}

/// Says in a sentence what is shown, or what there would be where nothing is, and in a line of its own how many models
/// have no permitted route.
fn remark(rows: &[Row], left_out: usize, catalogs: &[Catalog], filters: &Filters) -> String {
    let shown = shown(rows, left_out, catalogs, filters);
    if left_out == 0 {
        return shown;
    }
    format!(
        "{shown}\nleft out, because --allowed-regions permits no route to them: models: {left_out}"
    )
}

fn shown(rows: &[Row], left_out: usize, catalogs: &[Catalog], filters: &Filters) -> String {
    let dates: BTreeSet<&str> = catalogs.iter().filter_map(Catalog::as_of).collect();
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
        .flat_map(Catalog::profiles)
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

/// Returns a table without lines that fits `width`, or the terminal, or nothing where the output is no terminal.
pub(super) fn table(header: Vec<String>, width: Option<u16>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if let Some(width) = width {
        table.set_width(width);
    }
    table
}

fn list_table(rows: &[Row], width: Option<u16>) -> Table {
    let header = ["PROFILE", "SOURCE", "DESTINATIONS"];
    let mut table = table(header.map(ToOwned::to_owned).to_vec(), width);
    for row in rows {
        table.add_row([
            row.id.clone(),
            row.source_region.to_string(),
            row.destination_regions.join(" "),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    if let Some(source) = table.column_mut(1) {
        source.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
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
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
}

fn printed(table: &Table) -> String {
    if table.is_empty() {
        return String::new();
    }
    table.trim_fmt() + "\n"
}

/// Returns JSON. Values of this module can't fail to serialize: their keys are texts.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// Returns YAML. Values of this module can't fail to serialize: their keys are texts.
fn yaml(value: &impl Serialize) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}

async fn export(args: ExportArgs) -> Result<String, Error> {
    let catalogs = catalogs(&args.catalog, &args.region).await?;
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let snapshot = snapshot(&catalogs, args.account.account.as_ref(), &now)?;
    fs::create_dir_all(&args.directory).map_err(file_error(&args.directory))?;
    if !args.force {
        check_overwrite(&args.directory, &snapshot)?;
    }
    for (name, text) in snapshot.files() {
        let path = args.directory.join(name);
        fs::write(&path, text).map_err(file_error(&path))?;
    }
    Ok(format!(
        "wrote {} listings of {} and {MANIFEST} into {}",
        snapshot.listings.len(),
        snapshot.manifest.as_of.as_deref().unwrap_or_default(),
        args.directory.display()
    ))
}

/// The files of an export: equal catalogs make equal bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Snapshot {
    listings: BTreeMap<String, String>,
    manifest: Manifest,
}

impl Snapshot {
    /// Returns names and contents, the manifest last: whoever reads over an earlier export in between sees hashes that
    /// do not fit instead of a mixture.
    fn files(&self) -> impl Iterator<Item = (&str, String)> {
        let listings = self
            .listings
            .iter()
            .map(|(name, text)| (name.as_str(), text.clone()));
        listings.chain([(MANIFEST, json(&self.manifest))])
    }
}

fn snapshot(catalogs: &[Catalog], given: Option<&AccountId>, now: &str) -> Result<Snapshot, Error> {
    let mut listings = BTreeMap::new();
    let mut accounts = BTreeSet::new();
    let mut dates = BTreeSet::new();
    for catalog in catalogs {
        let account = account(catalog, given)?;
        let region = catalog.source_region();
        let listing = Listing {
            summaries: catalog
                .profiles()
                .iter()
                .map(|profile| listing::summary(profile, region, account))
                .collect(),
            next_token: None,
        };
        listings.insert(format!("{region}.json"), json(&listing));
        accounts.insert(account.cloned());
        dates.insert(catalog.as_of().unwrap_or(now));
    }
    if accounts.len() > 1 {
        return Err(Error::BadInput(
            "the listings are of different accounts: export them into a directory each".to_owned(),
        ));
    }
    let manifest = Manifest {
        // The oldest: nothing is said to be newer than it is.
        as_of: dates.first().map(|date| (*date).to_owned()),
        account: accounts.pop_first().flatten(),
        sha256: listings
            .iter()
            .map(|(name, text)| (name.clone(), sha256_hex(text.as_bytes())))
            .collect(),
    };
    Ok(Snapshot { listings, manifest })
}

/// Refuses a directory with files that are not an unchanged earlier export of the same regions.
fn check_overwrite(directory: &Path, snapshot: &Snapshot) -> Result<(), Error> {
    let refuse = |name: &str, why: &str| {
        Err(Error::BadInput(format!(
            "{}: {why}; choose another directory, or give --force to overwrite what is there",
            directory.join(name).display()
        )))
    };
    let present = Directory::open(directory)?;
    let Ok(manifest) = present.manifest() else {
        return refuse(MANIFEST, "this is not the manifest of an export");
    };
    for region in present.regions()? {
        let name = format!("{region}.json");
        if !snapshot.listings.contains_key(&name) {
            return refuse(
                &name,
                "this export does not contain the region, and would speak for its file too",
            );
        }
        let path = directory.join(&name);
        let bytes = fs::read(&path).map_err(file_error(&path))?;
        if manifest.sha256.get(&name) != Some(&sha256_hex(&bytes)) {
            return refuse(&name, "this file is not an unchanged earlier export");
        }
    }
    Ok(())
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residency::{Limit, LimitOrigin};

    fn embedded(regions: &[&str]) -> Vec<Catalog> {
        let data = Embedded::load();
        if regions.is_empty() {
            return data
                .source_regions()
                .map(|region| data.catalog(region))
                .collect();
        }
        regions
            .iter()
            .map(|name| data.catalog(&name.parse().expect(name)))
            .collect()
    }

    fn filters(model: Option<&str>, geographies: &[&str]) -> Filters {
        Filters {
            region: Vec::new(),
            limit: LimitOptions::default(),
            model: model.map(|model| model.parse().expect(model)),
            geography: geographies
                .iter()
                .map(|name| name.parse().expect(name))
                .collect(),
        }
    }

    fn fits(table: &Table, width: usize) {
        for line in table.trim_fmt().lines() {
            assert!(line.chars().count() <= width, "{line}");
        }
    }

    #[test]
    fn model_patterns() {
        let model: ModelId = "anthropic.claude-sonnet-4-5-20250929-v1:0"
            .parse()
            .expect("model");
        for (pattern, fits) in [
            ("anthropic.claude-sonnet-4-5-20250929-v1:0", true),
            ("anthropic.claude-sonnet-4-5", false),
            ("anthropic.*", true),
            ("*sonnet*", true),
            ("*sonnet-4*v1:0", true),
            ("anthropic.*haiku*", false),
            ("*", true),
            ("**", true),
            ("*v1:0*v1:0", false),
            ("claude*", false),
        ] {
            let pattern: ModelPattern = pattern.parse().expect(pattern);
            assert_eq!(pattern.matches(&model), fits, "{pattern:?}");
        }
        let arn = "arn:aws:bedrock:us-east-1::foundation-model/a.b".parse::<ModelPattern>();
        assert!(arn.expect_err("an ARN").contains("is an ARN"));
        assert!("sonnet".parse::<ModelPattern>().is_err());
        let stars = "*a*n*t*h*".parse::<ModelPattern>();
        assert_eq!(
            stars.expect_err("5 stars"),
            "it has 5 stars (*), and at most 4 are allowed"
        );
    }

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
            rows(&[other], &none, Some(&given)),
            Err(Error::BadInput(_))
        ));
    }

    #[test]
    fn tables_fit_the_terminal() {
        let all = rows(&embedded(&[]), &Filters::default(), None).expect("rows");
        assert_eq!(all.len(), 1497);
        fits(&list_table(&all, Some(100)), 100);
        fits(&list_table(&all, Some(80)), 80);
        fits(&matrix_table(&models(&all), Cell::Count, Some(80)), 80);
        let one = rows(&embedded(&["eu-west-2"]), &Filters::default(), None).expect("rows");
        assert!(
            matrix_table(&models(&one), Cell::Mark, Some(80))
                .trim_fmt()
                .contains('✓')
        );
    }

    #[test]
    fn json_has_the_field_names_of_the_status() {
        let wanted = filters(Some("amazon.nova-lite-v1:0"), &["us"]);
        let rows = rows(&embedded(&["us-west-1"]), &wanted, None).expect("rows");
        let value: serde_json::Value = serde_json::from_str(&json(&rows)).expect("json");
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

    #[test]
    fn equal_catalogs_make_equal_bytes() {
        let once = snapshot(&embedded(&["us-east-1"]), None, "now").expect("snapshot");
        assert_eq!(
            once,
            snapshot(&embedded(&["us-east-1"]), None, "later").expect("snapshot")
        );
        let names: Vec<&str> = once.files().map(|(name, _)| name).collect();
        assert_eq!(names, ["us-east-1.json", MANIFEST]);
    }

    #[test]
    fn an_export_overwrites_only_an_unchanged_export() {
        let of = |regions: &[&str]| snapshot(&embedded(regions), None, "now").expect("snapshot");
        let ireland = of(&["eu-west-1"]);
        let dir = tempfile::tempdir().expect("directory");
        let write = || {
            for (name, text) in ireland.files() {
                fs::write(dir.path().join(name), text).expect("file");
            }
        };
        assert!(check_overwrite(dir.path(), &ireland).is_ok(), "empty");
        write();
        assert!(check_overwrite(dir.path(), &ireland).is_ok(), "own");
        assert!(check_overwrite(dir.path(), &of(&["eu-west-1", "eu-west-2"])).is_ok());
        for (file, text) in [
            ("eu-west-1.json", "{}"),
            ("eu-west-3.json", "{}"),
            (MANIFEST, "[]"),
            (MANIFEST, "{}"),
        ] {
            write();
            fs::write(dir.path().join(file), text).expect("file");
            let error = check_overwrite(dir.path(), &ireland).expect_err(file);
            assert!(error.to_string().contains("--force"), "{error}");
            assert_eq!(error.exit_code(), 2);
            fs::remove_file(dir.path().join(file)).expect("file");
        }
    }
}
