//! `served-regions`: which requests were served where, from Bedrock's logs; and whether any was served where it must not be.

mod athena;
mod files;
mod live;
mod progress;
mod reading;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use clap::{Args, ValueEnum};

pub(in crate::cli) use self::live::log_group;
pub(in crate::cli) use self::report::{SeenServed, ServedReport};
use self::{
    athena::AthenaOptions,
    files::{Walk, is_standard_input},
    live::{Live, LiveOptions},
    reading::{Outcome, Progress},
    report::{
        AuditReport, Files, Report, UnknownDestinations, audit_report, counts_table, csv, grouped,
        not_expected, outside_text, profiles,
    },
};
use super::{
    Error, SERVED_OUTSIDE,
    catalogs::Catalogs,
    cluster::ConnectOptions,
    evidence::{self, InForce},
    input::{Given, Input},
    options::{CatalogOptions, LimitOptions, RegionOptions},
    output,
    tables::printed,
};
use crate::{
    api::{InferenceProfileBinding, InferenceProfileBindingStatus},
    catalog::{FeedKey, listing::Listing},
    models::ModelName,
    plan::observed::{Ask, Spec},
    residency::{Limit, Limits, NamespaceLimit},
    served::{
        Counts, Seen,
        audit::{Applications, Bound, Known, audit},
    },
    types::Region,
};

/// The exit code if an audit found nothing, and could not look at everything.
const NOT_COMPLETE: u8 = 1;

/// The most profiles, and bindings, that are told in remarks. A report as JSON has all of them.
const MOST_TOLD: usize = 10;

/// Options of `served-regions`.
#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("subject").required(true).multiple(true)),
    after_help = "Examples:\n  inference-profile-operator served-regions logs/\n  inference-profile-operator served-regions logs/ --allowed-regions @eu\n  inference-profile-operator served-regions logs/ -f bindings/ -o json > report.json\n  inference-profile-operator served-regions --cloudtrail --since 90d --source-region eu-west-1\n\nExit codes: 0 counted, and an audit found nothing outside; 1 something failed, or an audit could not read or judge everything; 2 bad input; 4 a request was served outside of its destinations or of a limit."
)]
pub struct ServedRegionsArgs {
    /// Model invocation logs or CloudTrail records: file, folder (all in it) or - for standard input; plain or gzip
    #[arg(value_name = "PATH", group = "subject")]
    paths: Vec<PathBuf>,
    /// Format of the output
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
    /// Counts records of one request that lie in several places as several requests; needs no memory for them
    #[arg(long)]
    no_dedupe: bool,
    /// The most requests that are remembered to find duplicates: 11 to 16 bytes of memory for each
    #[arg(
        long,
        value_name = "REQUESTS",
        default_value_t = 250_000_000,
        conflicts_with = "no_dedupe"
    )]
    dedupe_limit: u64,
    /// What `aws bedrock list-inference-profiles --type-equals APPLICATION` printed: requests of these profiles count as those of
    /// the profiles that they were made from; repeatable
    #[arg(long, value_name = "FILE")]
    application_profiles: Vec<PathBuf>,
    /// Audits by the bindings in these files, read as `render` reads them; repeatable. --allowed-regions audits without bindings,
    /// too
    #[arg(long = "filename", short = 'f', value_name = "PATH")]
    bindings: Vec<PathBuf>,
    /// Audits by the bindings in the cluster
    #[arg(long, conflicts_with = "bindings")]
    cluster: bool,
    /// Namespace of bindings in files that name none [default: default]; with --cluster, the only one whose bindings count
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    connect: ConnectOptions,
    #[command(flatten)]
    region: RegionOptions,
    #[command(flatten)]
    limit: LimitOptions,
    #[command(flatten)]
    catalog: CatalogOptions,
    /// The most requests that an audit lists
    #[arg(long, value_name = "REQUESTS", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    list: u16,
    #[command(flatten)]
    athena: AthenaOptions,
    #[command(flatten)]
    live: LiveOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// A table, with bars on a terminal
    Table,
    /// One JSON object
    Json,
    /// A line per profile, source region and region served
    Csv,
}

impl OutputFormat {
    fn write(
        self,
        report: &Report,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> Result<(), Error> {
        let listing = report.audit.as_ref().map(outside_text).unwrap_or_default();
        match self {
            Self::Table => {
                let with_bars = io::stdout().is_terminal();
                out.write_all(printed(&counts_table(report, with_bars, None)).as_bytes())?;
                out.write_all(listing.as_bytes())?;
            }
            Self::Json => out.write_all(output::json(report)?.as_bytes())?,
            Self::Csv => {
                out.write_all(&csv(report)?)?;
                err.write_all(listing.as_bytes())?;
            }
        }
        Ok(())
    }
}

pub(super) async fn run(
    args: ServedRegionsArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    if args.athena.is_asked_for() {
        out.write_all(args.athena.sql()?.as_bytes())?;
        return Ok(0);
    }
    let operator = args.limit.parse()?;
    let bindings = args.bindings(operator.as_ref(), err).await?;
    let applications = applications(&args.application_profiles)?;
    let seen = (!args.no_dedupe).then(|| Seen::new(args.dedupe_limit));
    let is_audit = bindings.is_some() || operator.is_some();
    let most = if is_audit { args.list.into() } else { 0 };
    let is_live = args.live.is_asked_for();
    let (read, live) = if is_live {
        let region = args.region.optional()?;
        let mut live = args.live.read(region, seen.as_ref(), most, err).await?;
        let read = Outcome {
            counts: std::mem::take(&mut live.counts),
            ..Outcome::default()
        };
        (read, live)
    } else {
        let walk = Walk::new(&args.paths)?;
        (read(walk, seen.as_ref(), most), Live::default())
    };
    drop(seen);
    let bindings = bindings.unwrap_or_default();
    let known = args
        .known(&read.counts, &bindings, applications, is_audit, err)
        .await?;
    let counts = known.named(read.counts.clone(), most);
    let audit = is_audit.then(|| audit(&counts, &known, &bindings, operator.as_ref()));
    let report = Report {
        program_version: env!("CARGO_PKG_VERSION"),
        files: Files {
            read: read.files,
            damaged: read.damaged,
        },
        bytes_scanned: live.bytes_scanned,
        records: counts.records,
        duplicates_looked_for: !args.no_dedupe && (!is_live || args.live.finds_duplicates()),
        profiles: profiles(&counts),
        audit: audit
            .as_ref()
            .map(|audit| audit_report(audit, bindings.len(), most)),
    };
    match args.output.write(&report, out, err) {
        // Who reads may have enough after some lines: what was found stays the same.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        outcome => outcome?,
    }
    remarks(&report, &read, is_live, err)?;
    let is_damaged = report.records.bad > 0 || read.damaged > 0;
    if !is_live && report.records.requests == 0 && (is_damaged || read.files == 0) {
        return Err(Error::BadInput(format!(
            "no record of a request in {} files: give model invocation logs or CloudTrail records of Bedrock",
            read.files
        )));
    }
    let Some(audit) = audit else {
        return Ok(0);
    };
    if !audit.outside.is_empty() {
        return Ok(SERVED_OUTSIDE);
    }
    if is_damaged || live.is_cut_off || report.records.beyond > 0 {
        writeln!(
            err,
            "the audit is not complete: not every record could be read or judged"
        )?;
        return Ok(NOT_COMPLETE);
    }
    Ok(0)
}

/// Reads all files, and shows how far that is.
fn read(walk: Walk, seen: Option<&Seen>, named: usize) -> Outcome {
    let progress = Progress::default();
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        let of_its_own = walk.clone();
        let shown = &progress;
        scope.spawn(move || progress::show(shown, of_its_own, &is_done));
        let read = reading::read(walk, seen, named, &progress);
        drop(done);
        read
    })
}

/// Reads listings of application profiles.
fn applications(paths: &[PathBuf]) -> Result<Applications, Error> {
    let mut applications = Applications::default();
    for path in paths {
        let text = fs::read(path).map_err(|source| unreadable(path, source))?;
        let listing: Listing = serde_json::from_slice(&text).map_err(|error| {
            let command = "`aws bedrock list-inference-profiles --type-equals APPLICATION`";
            not_expected(path, &error, command)
        })?;
        applications.add(&listing);
    }
    Ok(applications)
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Unreadable {
        path: path.display().to_string(),
        source,
    }
}

impl ServedRegionsArgs {
    /// Returns the bindings to audit by, or `None` if none are given.
    async fn bindings(
        &self,
        operator: Option<&Limit>,
        err: &mut impl Write,
    ) -> Result<Option<Vec<Bound>>, Error> {
        let region = self.region.optional()?;
        if self.cluster {
            let namespaces = self.namespace.as_slice();
            let (bindings, in_force, remarks) =
                evidence::bindings_in_force(&self.connect, namespaces).await?;
            for remark in remarks {
                writeln!(err, "{remark}")?;
            }
            let (mut bound, mut left_out) = (Vec::new(), 0);
            for wire in &bindings {
                let namespace = wire.metadata.namespace.as_deref().unwrap_or_default();
                let models = wire.spec.models.as_ref().map_or(1, BTreeMap::len);
                let before = bound.len();
                bound.extend(of_cluster(
                    wire,
                    namespace,
                    &in_force,
                    operator,
                    region.as_ref(),
                ));
                left_out += usize::from(bound.len() - before < models);
            }
            if left_out > 0 {
                writeln!(
                    err,
                    "not judged by: {left_out} bindings that name no source region and have no route, whose class does not serve them, or that can't be understood; --region gives the operator's"
                )?;
            }
            return Ok(Some(bound));
        }
        if self.connect != ConnectOptions::default() {
            return Err(Error::BadInput(
                "--context, --kubeconfig and --as say which cluster is audited, and as whom: give --cluster too"
                    .to_owned(),
            ));
        }
        if self.bindings.is_empty() {
            return Ok(None);
        }
        if [&self.paths, &self.bindings]
            .iter()
            .all(|paths| paths.iter().any(|path| is_standard_input(path)))
        {
            return Err(Error::BadInput(
                "standard input can't hold both records and bindings: give files for one of them"
                    .to_owned(),
            ));
        }
        let input = Input::read(
            "served-regions",
            &self.bindings,
            self.namespace.as_deref().unwrap_or("default"),
            region.as_ref(),
        )?;
        for remark in &input.remarks {
            writeln!(err, "{remark}")?;
        }
        let bound = input.bindings.iter().flat_map(|Given { binding, .. }| {
            let limit = input.limit_of(&binding.key.namespace);
            let spec = &binding.spec;
            bound(&binding.key.to_string(), spec, &limit, operator)
        });
        Ok(Some(bound.collect()))
    }

    /// Returns what is known of the profiles that requests went to.
    async fn known(
        &self,
        counts: &Counts,
        bindings: &[Bound],
        applications: Applications,
        is_audit: bool,
        err: &mut impl Write,
    ) -> Result<Known, Error> {
        let mut known = Known {
            catalogs: BTreeMap::new(),
            applications,
        };
        if !is_audit && self.application_profiles.is_empty() {
            return Ok(known);
        }
        let mut catalogs = Catalogs::new(&self.catalog);
        let sources = counts.rows.keys().map(|key| &key.source_region);
        let bound = bindings.iter().map(|it| &it.request.source_region);
        let regions: BTreeSet<&Region> = sources.chain(bound).collect();
        for region in regions {
            let key = FeedKey {
                role: None,
                region: region.clone(),
            };
            let state = catalogs.state(&key).await?;
            match (state.catalog, state.freshness.failure()) {
                (Some(catalog), _) => {
                    known.catalogs.insert(region.clone(), catalog);
                }
                (None, Some((_, message))) => {
                    writeln!(err, "the profiles of {region} are not known: {message}")?;
                }
                (None, None) => {}
            }
        }
        Ok(known)
    }
}

/// Returns what holds for each model of a binding that asks for something that can be understood.
fn bound(
    name: &str,
    spec: &Spec,
    of_namespace: &NamespaceLimit,
    of_operator: Option<&Limit>,
) -> Vec<Bound> {
    let of_model = |(model, ask): (ModelName<'_>, &Ask)| {
        let of_spec = spec.limits(Some(ask)).cloned();
        let operator = of_operator.cloned().map(Ok);
        Some(Bound {
            name: match model {
                Some(model) => format!("{name}/{model}"),
                None => name.to_owned(),
            },
            request: ask.request.clone().ok()?,
            limits: Limits::all(of_spec.chain(operator)).and_namespace(of_namespace),
        })
    };
    spec.asks.iter().filter_map(of_model).collect()
}

/// Returns what holds for each model of a binding of the cluster, or nothing if its source region is not known: the operator's own
/// one is shown by a route alone.
fn of_cluster(
    wire: &InferenceProfileBinding,
    namespace: &str,
    in_force: &InForce,
    of_operator: Option<&Limit>,
    region: Option<&Region>,
) -> Vec<Bound> {
    let name: Arc<str> = wire.metadata.name.clone().unwrap_or_default().into();
    let status = wire.status.as_ref();
    let mut written = status
        .into_iter()
        .flat_map(InferenceProfileBindingStatus::profiles);
    let written = written.find_map(|(_, profile)| profile.source_region.parse().ok());
    let own = wire.spec.source_region.as_ref();
    let own = own.and_then(|name| name.parse().ok());
    let Some(region) = own.or(written).or_else(|| region.cloned()) else {
        return Vec::new();
    };
    let mut spec = Spec::parse(&wire.spec, &name, &region);
    let known = in_force.namespaces.get(namespace);
    let labels = known.map(|(_, labels)| labels);
    spec.apply_class(|name| in_force.class(name), namespace, labels);
    let of_namespace = known.map(|(limit, _)| limit.clone());
    bound(
        &format!("{namespace}/{name}"),
        &spec,
        &of_namespace.unwrap_or_default(),
        of_operator,
    )
}

/// Says what else there is to know.
fn remarks(report: &Report, read: &Outcome, is_live: bool, err: &mut impl Write) -> io::Result<()> {
    let records = &report.records;
    let mut parts = vec![format!("requests: {}", grouped(records.requests))];
    for (number, what) in [
        (records.duplicates, "duplicates"),
        (records.failed, "failed and not served"),
        (records.other, "other records"),
    ] {
        if number > 0 {
            parts.push(format!("{what}: {}", grouped(number)));
        }
    }
    if !is_live {
        parts.push(format!("files: {}", grouped(report.files.read)));
    }
    writeln!(err, "{}", parts.join(", "))?;
    if records.mantle > 0 {
        writeln!(
            err,
            "not covered: {} records of the endpoint bedrock-mantle, which has no cross-region inference",
            grouped(records.mantle)
        )?;
    }
    if records.not_remembered > 0 {
        writeln!(
            err,
            "duplicates among {} requests were not looked for: raise --dedupe-limit, or read fewer days at once",
            grouped(records.not_remembered)
        )?;
    }
    if records.beyond > 0 {
        writeln!(
            err,
            "{} requests are not in the table: there are too many profiles and regions",
            grouped(records.beyond)
        )?;
    }
    for (path, what) in [
        (&read.bodies, "folders of large bodies"),
        (&read.links, "links to folders"),
    ] {
        if let Some(path) = path {
            writeln!(
                err,
                "passed over, as {what}: {}; name such a folder to read it",
                super::printable(&path.display().to_string())
            )?;
        }
    }
    if records.bad > 0 {
        writeln!(err, "bad records: {}", grouped(records.bad))?;
        for bad in &read.counts.bad {
            match read.names.get(&bad.file) {
                Some(name) => {
                    let name = super::printable(name);
                    writeln!(err, "  {name}, byte {}: {}", bad.at, bad.what)?;
                }
                // What came from AWS has no place that a user could look at.
                None => writeln!(err, "  {}", bad.what)?,
            }
        }
        tell_more(records.bad, read.counts.bad.len(), err)?;
    }
    if read.damaged > 0 {
        writeln!(err, "damaged files: {}", grouped(read.damaged))?;
        for damage in read.damages.values() {
            writeln!(err, "  {}", super::printable(damage))?;
        }
        tell_more(read.damaged, read.damages.len(), err)?;
    }
    match &report.audit {
        Some(audit) => audit_remarks(audit, err),
        None => Ok(()),
    }
}

/// Says what an audit did not judge, and how much it found.
fn audit_remarks(audit: &AuditReport, err: &mut impl Write) -> io::Result<()> {
    let unknown = &audit.unknown_destinations;
    for unknown in unknown.iter().take(MOST_TOLD) {
        writeln!(err, "{unknown}")?;
    }
    tell_more(unknown.len() as u64, MOST_TOLD, err)?;
    if unknown.iter().any(UnknownDestinations::is_of_application) {
        writeln!(
            err,
            "--application-profiles tells what an application profile was made from"
        )?;
    }
    for binding in audit.unknown_limits.iter().take(MOST_TOLD) {
        writeln!(
            err,
            "binding {binding}: a limit can't be read, so it was not judged by"
        )?;
    }
    tell_more(audit.unknown_limits.len() as u64, MOST_TOLD, err)?;
    if audit.not_stated_requests > 0 {
        writeln!(
            err,
            "not judged: {} requests whose records do not say where they were served",
            grouped(audit.not_stated_requests)
        )?;
    }
    writeln!(
        err,
        "outside of destinations or limits: {}",
        grouped(audit.outside_requests)
    )
}

fn tell_more(all: u64, told: usize, err: &mut impl Write) -> io::Result<()> {
    let more = all.saturating_sub(told as u64);
    if more > 0 && told > 0 {
        writeln!(err, "  and {} more", grouped(more))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::class::{Class, Labels};

    #[test]
    fn a_binding_of_the_cluster_is_judged_by_its_class() {
        let wire = json!({
            "apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": "InferenceProfileBinding",
            "metadata": {"name": "chat", "namespace": "shop"}, "spec": {"className": "chat"},
        });
        let wire: InferenceProfileBinding = serde_json::from_value(wire).expect("a binding");
        let yaml = "{model: a.b, geography: us, allowedRegions: ['us-*']}";
        let class = Class::parse("chat", &serde_yaml::from_str(yaml).expect("a class"));
        let namespaces =
            BTreeMap::from([("shop".into(), (NamespaceLimit::Unset, Labels::default()))]);
        let region = "us-east-1".parse().ok();
        let found = |classes| {
            let namespaces = namespaces.clone();
            let in_force = InForce {
                namespaces,
                classes,
            };
            of_cluster(&wire, "shop", &in_force, None, region.as_ref())
        };
        let bound = found(Some([("chat".into(), class)].into()));
        let [bound] = &bound[..] else {
            panic!("one model: {bound:?}");
        };
        assert_eq!(bound.request.model.as_str(), "a.b");
        let outside: Region = "eu-west-1".parse().expect("a region");
        let here = crate::route::Destinations::regions(vec![outside.clone()]);
        assert!(bound.limits.verdict(&outside, &here).forbids());
        for unknown in [None, Some(BTreeMap::new())] {
            assert!(found(unknown).is_empty(), "nothing is known of the class");
        }
    }
}
