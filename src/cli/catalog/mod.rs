//! `catalog list`, `catalog matrix`, `catalog lifecycle` and `catalog export`: what can be called from where, and until when.

mod export;
mod legend;
mod lifecycle;
mod list;
mod matrix;
mod selection;

use std::{collections::BTreeSet, io::Write, str::FromStr, sync::Arc};

use clap::{Args, Subcommand};

use self::{export::ExportArgs, lifecycle::LifecycleArgs, list::ListArgs, matrix::MatrixArgs};
use super::{
    Error,
    catalogs::Catalogs,
    options::{CatalogOptions, CatalogSource, LimitOptions, region_of_environment},
};
use crate::{
    catalog::{Catalog, FeedKey, embedded::Embedded, regions::Absence},
    glob::Glob,
    residency::Limits,
    sources::directory::Directory,
    types::{AccountId, Geography, ModelId, Region},
};

/// The `catalog` commands.
#[derive(Debug, Clone, Subcommand)]
pub enum CatalogCommand {
    /// Lists inference profiles and models on demand, one line per ID and source region
    List(ListArgs),
    /// Shows which geographies have a profile of each model, and where it is on demand
    Matrix(MatrixArgs),
    /// Shows when models become legacy, and when their lives end
    Lifecycle(LifecycleArgs),
    /// Writes listings into a directory, for --catalog directory:PATH
    Export(ExportArgs),
}

/// Which profiles to show.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// Source region, where Bedrock is called; repeatable [default: all regions of the catalog; with --catalog bedrock the one
    /// in `AWS_REGION`]
    #[arg(long, value_name = "REGION")]
    pub region: Vec<Region>,
    /// Foundation model ID, or a pattern with at most 4 `*`, each of which stands for any text
    #[arg(long, value_name = "MODEL")]
    pub model: Option<ModelPattern>,
    /// Geography, the prefix of the profile ID, or on-demand for models without a profile; repeatable
    #[arg(long, value_name = "GEOGRAPHY")]
    pub geography: Vec<Geography>,
    /// Leaves out routes with a region outside the limit.
    #[command(flatten)]
    pub limit: LimitOptions,
}

impl Filters {
    fn limits(&self) -> Result<Limits, Error> {
        let limit = self.limit.parse()?;
        Ok(Limits::all(limit.map(Ok)))
    }
}

/// A foundation model ID, where `*` stands for any text.
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
    /// Returns whether a model's ID matches.
    #[must_use]
    pub fn matches(&self, model: &ModelId) -> bool {
        self.0.matches(model.as_str())
    }
}

/// Runs a `catalog` command. Its output goes to `out`, remarks go to `err`.
pub async fn run(
    command: CatalogCommand,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<(), Error> {
    let (text, remark) = match command {
        CatalogCommand::List(args) => list::run(args).await?,
        CatalogCommand::Matrix(args) => matrix::run(args).await?,
        CatalogCommand::Lifecycle(args) => lifecycle::run(args).await?,
        CatalogCommand::Export(args) => (String::new(), export::run(args).await?),
    };
    out.write_all(text.as_bytes())?;
    writeln!(err, "{remark}")?;
    Ok(())
}

/// Returns the catalogs of the given regions, or of all that the source has if none is given, on request with their application
/// profiles.
async fn list_catalogs(
    options: &CatalogOptions,
    given: &[Region],
    with_applications: bool,
) -> Result<Vec<Arc<Catalog>>, Error> {
    let regions: BTreeSet<Region> = match (&options.catalog, given) {
        (CatalogSource::Embedded, []) => Embedded::load().source_regions().cloned().collect(),
        (CatalogSource::Directory(path), []) => {
            Directory::open(path)?.regions()?.into_iter().collect()
        }
        (CatalogSource::Bedrock, []) => {
            let region = region_of_environment()?.ok_or_else(|| {
                Error::BadInput(
                    "--catalog bedrock needs a region: give --region or set AWS_REGION".to_owned(),
                )
            })?;
            BTreeSet::from([region])
        }
        (_, given) => given.iter().cloned().collect(),
    };
    if regions.is_empty() {
        return Err(Error::BadInput(
            "the catalog has no regions: give a directory of <region>.json files, as `catalog export` writes it"
                .to_owned(),
        ));
    }
    if options.catalog == CatalogSource::Embedded {
        check_embedded(&regions)?;
    }
    let key = |region: &Region| FeedKey {
        role: None,
        region: region.clone(),
    };
    let naming = regions.iter().filter(|_| with_applications).map(key);
    let mut catalogs = Catalogs::new(options).with_applications(naming);
    let mut listed = Vec::with_capacity(regions.len());
    for region in &regions {
        listed.push(catalogs.catalog(&key(region)).await?);
    }
    Ok(listed)
}

/// Refuses regions of which the embedded data have nothing. An empty listing of them would say that AWS has nothing there.
fn check_embedded(regions: &BTreeSet<Region>) -> Result<(), Error> {
    let data = Embedded::load();
    for region in regions {
        let why = match data.regions().absence(region) {
            Some(why) => why.to_string(),
            None if has_nothing(&data.catalog(region)) => format!(
                "the embedded data of {} have no profile and no model of this region: ask AWS with --catalog bedrock",
                data.as_of()
            ),
            None => continue,
        };
        return Err(Error::BadInput(format!(
            "--region {region}: {why}; `catalog list` without --region shows every source region"
        )));
    }
    Ok(())
}

fn has_nothing(catalog: &Catalog) -> bool {
    catalog.profiles().is_empty() && catalog.models().is_none_or(<[_]>::is_empty)
}

/// Says what is known of a region where nothing is listed. Returns `None` for a region where something is. A listing is newer
/// than the embedded data, so a region that they do not know may exist.
fn nothing_listed(catalog: &Catalog) -> Option<String> {
    if !has_nothing(catalog) {
        return None;
    }
    let region = catalog.source_region();
    let head = format!("nothing is listed in {region}");
    Some(match Embedded::load().regions().absence(region) {
        None => head,
        Some(why @ Absence::NoBedrock { .. }) => format!("{head}: {why}"),
        Some(Absence::NoRegion { as_of, nearest }) => format!(
            "{head}: the region is not known to this version, whose data are of {as_of}; nearest: {}",
            nearest.join(", ")
        ),
    })
}

/// Returns the catalog's account, or the given one if the catalog has none.
fn account<'a>(
    catalog: &'a Catalog,
    given: Option<&'a AccountId>,
) -> Result<Option<&'a AccountId>, Error> {
    match (catalog.account(), given) {
        (Some(known), Some(given)) if known != given => Err(Error::BadInput(format!(
            "--account {given}: the catalog of {} belongs to account {known}",
            catalog.source_region()
        ))),
        (known, given) => Ok(known.or(given)),
    }
}

#[cfg(test)]
mod tests {
    use comfy_table::Table;

    use super::*;

    pub(super) fn embedded(regions: &[&str]) -> Vec<Arc<Catalog>> {
        let data = Embedded::load();
        if regions.is_empty() {
            return data
                .source_regions()
                .map(|region| Arc::new(data.catalog(region)))
                .collect();
        }
        regions
            .iter()
            .map(|name| Arc::new(data.catalog(&name.parse().expect(name))))
            .collect()
    }

    pub(super) fn filters(model: Option<&str>, geographies: &[&str]) -> Filters {
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

    pub(super) fn fits(table: &Table, width: usize) {
        for line in table.trim_fmt().lines() {
            assert!(line.chars().count() <= width, "{line}");
        }
    }

    #[test]
    fn regions_of_which_the_data_have_nothing_are_refused() {
        for (regions, says) in [
            (&["eu-west-1", "us-west-2"][..], None),
            (
                &["eu-west-1", "eu-west-9"],
                Some(
                    "--region eu-west-9: AWS had no such region on 2026-11-01 (by the embedded data); nearest: eu-west-1, \
                     eu-west-2, eu-west-3; `catalog list` without --region shows every source region",
                ),
            ),
            (
                &["cn-north-1"],
                Some(
                    "--region cn-north-1: Amazon Bedrock had no endpoint there on 2026-11-01 (by the embedded data); `catalog \
                     list` without --region shows every source region",
                ),
            ),
            (
                &["me-south-1"],
                Some(
                    "--region me-south-1: the embedded data of 2026-10-27 have no profile and no model of this region: ask AWS \
                     with --catalog bedrock; `catalog list` without --region shows every source region",
                ),
            ),
        ] {
            let regions = regions
                .iter()
                .map(|name| name.parse().expect(name))
                .collect();
            let refused = check_embedded(&regions).err();
            assert!(refused.as_ref().is_none_or(|error| error.exit_code() == 2));
            assert_eq!(refused.map(|error| error.to_string()).as_deref(), says);
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
}
