//! `scan`: hard-coded models, profiles and ARNs in files or in a cluster, and what is wrong with them.

mod cluster;
mod files;
mod report;
mod sarif;
mod suggestions;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::PathBuf,
    str::FromStr,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use jiff::civil::Date;

use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    options::{CatalogOptions, DayOptions, EndOfLifeOptions, LimitOptions, RegionOptions},
    output::Form,
    printable,
};
use crate::{
    catalog::{Catalog, FeedKey, embedded::Embedded},
    residency::Limits,
    scan::{Bounds, Finder, Found, Judged, Mention, Reference, Scene, Verdict, judge},
    types::{Geography, Region},
};

/// Most findings that are reported.
const MOST_FINDINGS: usize = 10_000;
/// Most findings that are collected, of which the first are reported: files are read in no order.
const MOST_COLLECTED: usize = 10 * MOST_FINDINGS;
/// Most findings of one text.
const BOUNDS: Bounds = Bounds { findings: 1_000 };

/// Options of `scan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator scan .\n  inference-profile-operator scan charts --region eu-west-1 --allowed-regions @eu\n  helm template shop charts/shop | inference-profile-operator scan -\n  inference-profile-operator scan . --region eu-west-1 --suggest > bindings.yaml\n  inference-profile-operator scan . -o sarif > scan.sarif\n  inference-profile-operator scan . --fail-on Gone,WrongGeography --min-days-to-end-of-life 60\n  inference-profile-operator scan --cluster --all-namespaces\n\nA folder is read without what .gitignore names. A line with `ipo-scan: ignore` is passed over."
)]
pub struct ScanArgs {
    /// File, folder, or - for standard input; repeatable
    #[arg(value_name = "PATH", conflicts_with_all = ["cluster", "ConnectOptions"])]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    cluster: cluster::ClusterOptions,
    #[command(flatten)]
    region: RegionOptions,
    /// Geography that profiles must have; repeatable or comma-separated [default: any]
    #[arg(long, value_name = "GEOGRAPHY", value_delimiter = ',')]
    geography: Vec<Geography>,
    #[command(flatten)]
    limit: LimitOptions,
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    day: DayOptions,
    #[command(flatten)]
    end_of_life: EndOfLifeOptions,
    /// Exits with 3 where a finding has one of these verdicts; any: where there is a finding; repeatable or comma-separated
    #[arg(long, value_name = "VERDICT", value_delimiter = ',')]
    fail_on: Vec<FailOn>,
    /// Prints bindings that would take the place of the findings, instead of the findings
    #[arg(long, conflicts_with = "output")]
    suggest: bool,
    /// Format of the findings
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// A table, grouped by file
    Table,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
    /// SARIF 2.1.0, which code hosts show beside the lines
    Sarif,
}

/// A verdict that `--fail-on` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailOn {
    Any,
    Verdict(Verdict),
}

impl FromStr for FailOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("any") {
            return Ok(Self::Any);
        }
        let is_meant = |verdict: &Verdict| verdict.as_str().eq_ignore_ascii_case(text);
        let verdict = Verdict::ALL.into_iter().find(is_meant);
        verdict.map(Self::Verdict).ok_or_else(|| {
            let names: Vec<&str> = Verdict::ALL.into_iter().map(Verdict::as_str).collect();
            format!("expected any, or one of {}", names.join(", "))
        })
    }
}

/// What was scanned, before it is judged.
#[derive(Debug, Default)]
struct Scanned {
    /// Place and mention, sorted.
    mentions: Vec<(Place, Mention)>,
    /// How many files or objects were read.
    read: usize,
    /// How many were passed over because they are binary, or objects that the operator writes.
    passed_over: usize,
    ignored: usize,
    in_bindings: usize,
    /// Whether there are more than can be collected.
    is_full: bool,
    /// What could not be read, or not to its end.
    incomplete: Vec<String>,
}

/// A file, or a field of an object in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// The path of the file, or the object: its kind, namespace and name.
    name: Arc<str>,
    /// The field of the object.
    field: Option<Arc<str>>,
}

impl Scanned {
    fn add(&mut self, place: &Place, found: Found) {
        self.read += 1;
        self.ignored += found.ignored;
        self.in_bindings += found.in_bindings;
        if found.is_cut {
            self.incomplete.push(format!(
                "{} has more than {} findings: the others are left out",
                place.name, BOUNDS.findings
            ));
        }
        let room = MOST_COLLECTED.saturating_sub(self.mentions.len());
        self.is_full |= found.mentions.len() > room;
        let mentions = found.mentions.into_iter().take(room);
        self.mentions
            .extend(mentions.map(|mention| (place.clone(), mention)));
    }

    /// Sorts what was found, and cuts it to what can be reported.
    fn finish(&mut self) {
        self.mentions.sort();
        // A file may be given twice.
        self.mentions.dedup();
        if self.mentions.len() > MOST_FINDINGS {
            let more_than = if self.is_full { "more than " } else { "" };
            self.incomplete.push(format!(
                "there are {more_than}{} findings: those after the first {MOST_FINDINGS} are left out",
                self.mentions.len()
            ));
            self.mentions.truncate(MOST_FINDINGS);
        }
        self.incomplete.sort();
        self.incomplete.dedup();
    }
}

/// A mention, judged.
struct Finding<'a> {
    place: &'a Place,
    mention: &'a Mention,
    judged: &'a Judged,
    /// Why the model does not live long enough.
    too_short_a_life: Option<String>,
}

impl Finding<'_> {
    /// Returns the most serious verdict.
    fn verdict(&self) -> Verdict {
        let first = self.judged.opinions.first();
        first.map_or(Verdict::HardCoded, |opinion| opinion.verdict)
    }

    fn has(&self, fail_on: FailOn) -> bool {
        match fail_on {
            FailOn::Any => true,
            FailOn::Verdict(verdict) => {
                let mut opinions = self.judged.opinions.iter();
                opinions.any(|opinion| opinion.verdict == verdict)
            }
        }
    }
}

pub(super) async fn run(
    args: ScanArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    if args.paths.is_empty() && !args.cluster.cluster {
        return Err(Error::BadInput(
            "nothing to scan: name files and folders, - for standard input, or give --cluster"
                .to_owned(),
        ));
    }
    let limits = Limits::all(args.limit.parse()?.map(Ok));
    let region = args.region.optional()?;
    let embedded = Embedded::load();
    let mut listing = Listing {
        catalogs: Catalogs::new(&args.catalog),
        listed: BTreeMap::new(),
        remarks: BTreeSet::new(),
    };
    if let Some(region) = &region {
        listing.list(region).await?;
    }
    let models = listing.listed.values().flat_map(|catalog| {
        let models = catalog.models().unwrap_or_default().iter();
        let of_profiles = catalog.profiles().iter();
        let models = models.map(|model| model.id.clone());
        models.chain(of_profiles.map(|profile| profile.model.clone()))
    });
    let finder =
        Finder::new(embedded, models).map_err(|error| Error::BadInput(error.to_string()))?;
    let mut scanned = if args.cluster.cluster {
        cluster::scan(&args.cluster, &finder).await?
    } else {
        files::scan(&args.paths, &finder)?
    };
    scanned.finish();
    for (_, mention) in &scanned.mentions {
        if let Some(region) = mention.reference.arn_region() {
            listing.list_if_possible(region).await;
        }
    }
    let scene = Scene {
        embedded,
        catalogs: &listing.listed,
        region: region.as_ref(),
        geographies: &args.geography,
        limits: &limits,
        day: args.day.day(),
    };
    let judged = judge_each(&scanned, &scene);
    let findings = findings(&scanned, &judged, &args.end_of_life, args.day.day());
    if args.suggest {
        suggestions::print(&findings, &scene, out)?;
    } else {
        match args.output {
            Output::Table => report::table(&findings, out)?,
            Output::Json => report::object(&findings, &scanned, Form::Json, out)?,
            Output::Yaml => report::object(&findings, &scanned, Form::Yaml, out)?,
            Output::Sarif => sarif::print(&findings, &scanned, out)?,
        }
    }
    for remark in &listing.remarks {
        writeln!(err, "{}", printable(remark))?;
    }
    report::summary(&findings, &scanned, args.cluster.cluster, err)?;
    let lives = findings.iter().any(|it| it.too_short_a_life.is_some());
    let fails = |finding: &Finding<'_>| args.fail_on.iter().any(|it| finding.has(*it));
    if lives || findings.iter().any(fails) {
        return Ok(NOT_READY);
    }
    let is_gate = !args.fail_on.is_empty() || args.end_of_life.min_days_to_end_of_life.is_some();
    // What was not read proves nothing.
    Ok(u8::from(is_gate && !scanned.incomplete.is_empty()))
}

/// The catalogs of the regions that findings are about.
struct Listing<'a> {
    catalogs: Catalogs<'a>,
    listed: BTreeMap<Region, Arc<Catalog>>,
    remarks: BTreeSet<String>,
}

impl Listing<'_> {
    async fn list(&mut self, region: &Region) -> Result<(), Error> {
        let key = FeedKey {
            role: None,
            region: region.clone(),
        };
        let catalog = self.catalogs.catalog(&key).await?;
        self.listed.insert(region.clone(), catalog);
        Ok(())
    }

    /// Lists the catalog of the region of an ARN, or takes the embedded one in its place: anything may stand in a file.
    async fn list_if_possible(&mut self, region: &Region) {
        if self.listed.contains_key(region) {
            return;
        }
        if let Err(error) = self.list(region).await {
            self.remarks.insert(format!(
                "{region}, which an ARN names, is judged by the embedded data: {error}"
            ));
            let catalog = Arc::new(Embedded::load().catalog(region));
            self.listed.insert(region.clone(), catalog);
        }
    }
}

/// Judges each reference once: in a large tree most are repeated.
fn judge_each(scanned: &Scanned, scene: &Scene<'_>) -> BTreeMap<Reference, Judged> {
    let references: BTreeSet<&Reference> = scanned
        .mentions
        .iter()
        .map(|(_, mention)| &mention.reference)
        .collect();
    references
        .into_iter()
        .map(|reference| (reference.clone(), judge(reference, scene)))
        .collect()
}

fn findings<'a>(
    scanned: &'a Scanned,
    judged: &'a BTreeMap<Reference, Judged>,
    end_of_life: &EndOfLifeOptions,
    day: Date,
) -> Vec<Finding<'a>> {
    let judged = |mention: &Mention| judged.get(&mention.reference);
    scanned
        .mentions
        .iter()
        .filter_map(|(place, mention)| {
            let judged = judged(mention)?;
            let model = mention.reference.named.model();
            let too_short_a_life =
                model.and_then(|model| end_of_life.problem(model, judged.end_of_life, day));
            Some(Finding {
                place,
                mention,
                judged,
                too_short_a_life,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_that_fail() {
        assert_eq!("any".parse(), Ok(FailOn::Any));
        for verdict in Verdict::ALL {
            let lower = verdict.as_str().to_lowercase();
            assert_eq!(verdict.as_str().parse(), Ok(FailOn::Verdict(verdict)));
            assert_eq!(lower.parse(), Ok(FailOn::Verdict(verdict)));
        }
        let error = "Old".parse::<FailOn>().expect_err("no verdict");
        assert!(error.contains("any") && error.contains("Legacy"), "{error}");
    }

    #[test]
    fn more_findings_than_can_be_reported_are_named() {
        let mention = |line| Mention {
            line,
            column: 1,
            text: "a.b".to_owned(),
            reference: Reference {
                named: crate::scan::Named::Model("a.b".parse().expect("a model")),
                arn: None,
            },
        };
        let place = Place {
            name: "file".into(),
            field: None,
        };
        let mut scanned = Scanned::default();
        let found = Found {
            mentions: (0..=MOST_FINDINGS).map(mention).collect(),
            is_cut: true,
            ..Found::default()
        };
        scanned.add(&place, found.clone());
        scanned.add(&place, found);
        scanned.finish();
        assert_eq!(scanned.mentions.len(), MOST_FINDINGS);
        assert_eq!(scanned.incomplete.len(), 2, "{:?}", scanned.incomplete);
    }
}
