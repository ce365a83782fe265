//! `evidence`: a report of the route of every binding in a cluster, the limits on it, and the verdict.
//!
//! The status says what the operator decided. The report judges its route again by the limits in force now, so that it does not
//! rely on the operator alone.

mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;

pub(in crate::cli) use self::report::InForce;
use self::report::{BindingReport, Report, binding_reports, csv, table};
use super::{
    Error, NOT_READY,
    cluster::{ConnectOptions, client},
    input::Input,
    options::LimitOptions,
    output,
    served_regions::ServedReport,
};
use crate::{
    api::InferenceProfileBinding,
    cache::decode::{WatchedClass, WatchedNamespace},
    catalog::embedded::Embedded,
    class::{Class, Labels},
    residency::NamespaceLimit,
};

/// How long to wait for one page of a list.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The most objects on a page.
const PAGE: u32 = 500;

/// Options of `evidence`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl ipb evidence --allowed-regions @eu > report.json\n  kubectl ipb evidence -n shop -n chat -l team=shop -o csv > report.csv\n  kubectl ipb evidence --context production -o table\n  kubectl ipb evidence --served served.json\n\nExit codes: 0 all are shown to be within their limits; 1 the cluster can't be read; 2 bad input; 3 some are not."
)]
pub struct EvidenceArgs {
    /// Namespace to report on; repeatable or comma-separated [default: all]
    #[arg(
        long = "namespace",
        short,
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,
    /// Reports on all namespaces, as it does without --namespace
    #[arg(long, short = 'A', conflicts_with = "namespaces")]
    all_namespaces: bool,
    #[command(flatten)]
    connect: ConnectOptions,
    /// Label selector of the bindings to report on [default: all]
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    selector: Option<String>,
    /// Classes, in the place of those in the cluster: file, folder or - for standard input; repeatable
    #[arg(long = "filename", short = 'f', value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Give the operator's own limit here: the cluster does not show it.
    #[command(flatten)]
    limit: LimitOptions,
    /// What `served-regions -o json` printed: adds where the requests of each binding's profile were served
    #[arg(long, value_name = "FILE")]
    served: Option<PathBuf>,
    /// Format of the report
    #[arg(long, short, value_name = "FORMAT", default_value = "json")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
    /// A table for people: what is shown to be within its limits, and what is not
    Table,
    /// A line per binding, with a header
    Csv,
}

pub(super) async fn run(
    args: EvidenceArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    let limit = args.limit.parse()?;
    let served = args.served.as_deref().map(served).transpose()?;
    let given = match args.paths.as_slice() {
        [] => None,
        paths => Some(Input::read_classes("evidence", paths)?),
    };
    let config = args.connect.config().await?;
    let cluster = config.cluster_url.to_string();
    let client = client(config)?;
    let mut namespaces = args.namespaces;
    namespaces.sort();
    namespaces.dedup();
    let bindings = bindings(&client, &namespaces, args.selector.as_deref()).await?;
    let (namespaces, remark) = namespaces_in_force(&client, &namespaces).await?;
    let names_one = |binding: &InferenceProfileBinding| binding.spec.names_a_class();
    let (classes, class_remark) = match given {
        Some(given) => {
            let given = given.classes.iter();
            let given = given.map(|(name, class)| (name.clone(), (**class).clone()));
            (Some(given.collect()), None)
        }
        None if bindings.iter().any(names_one) => classes(&client).await?,
        None => (None, None),
    };
    let in_force = InForce {
        namespaces,
        classes,
    };
    let mut reports = binding_reports(&bindings, &in_force, limit.as_ref(), Embedded::load());
    if let Some(served) = &served {
        for report in &mut reports {
            report.add_served(served);
        }
    }
    let report = Report {
        time: output::now(),
        program_version: env!("CARGO_PKG_VERSION"),
        cluster,
        bindings: reports,
    };
    match args.output {
        Output::Json => out.write_all(output::json(&report)?.as_bytes())?,
        Output::Yaml => out.write_all(output::yaml(&report)?.as_bytes())?,
        Output::Table => out.write_all(table(&report).as_bytes())?,
        Output::Csv => out.write_all(&csv(&report)?)?,
    }
    for remark in remark.into_iter().chain(class_remark) {
        writeln!(err, "{remark}")?;
    }
    let open = report
        .bindings
        .iter()
        .filter(|binding| !binding.is_satisfied())
        .map(BindingReport::key);
    let open: BTreeSet<_> = open.collect();
    writeln!(
        err,
        "bindings: {}, not shown to be within their limits: {}",
        bindings.len(),
        open.len()
    )?;
    Ok(if open.is_empty() { 0 } else { NOT_READY })
}

type Namespaces = BTreeMap<Arc<str>, (NamespaceLimit, Labels)>;

/// Reads what `served-regions` printed.
fn served(path: &Path) -> Result<ServedReport, Error> {
    let text = fs::read(path).map_err(|source| Error::Unreadable {
        path: path.display().to_string(),
        source,
    })?;
    ServedReport::parse(path, &text)
}

/// Returns the bindings of these namespaces of a cluster, or of all if there are none, what they are judged by, and remarks on
/// what of that may not be read.
pub(super) async fn bindings_in_force(
    connect: &ConnectOptions,
    namespaces: &[String],
) -> Result<(Vec<InferenceProfileBinding>, InForce, Vec<String>), Error> {
    let client = client(connect.config().await?)?;
    let bindings = bindings(&client, namespaces, None).await?;
    let (namespaces, remark) = namespaces_in_force(&client, namespaces).await?;
    let names_one = bindings.iter().any(|it| it.spec.names_a_class());
    let (classes, class_remark) = if names_one {
        classes(&client).await?
    } else {
        (None, None)
    };
    let in_force = InForce {
        namespaces,
        classes,
    };
    let remarks = remark.into_iter().chain(class_remark).collect();
    Ok((bindings, in_force, remarks))
}

async fn bindings(
    client: &Client,
    namespaces: &[String],
    selector: Option<&str>,
) -> Result<Vec<InferenceProfileBinding>, Error> {
    let mut params = ListParams::default();
    if let Some(selector) = selector {
        params = params.labels(selector);
    }
    if namespaces.is_empty() {
        return list(&Api::all(client.clone()), &params)
            .await
            .map_err(failed("the bindings of all namespaces"));
    }
    let mut found = Vec::new();
    for namespace in namespaces {
        let api = Api::namespaced(client.clone(), namespace);
        let listed = list(&api, &params).await;
        found.extend(listed.map_err(failed(&format!("the bindings of namespace {namespace}")))?);
    }
    Ok(found)
}

/// Returns the limits and labels of Namespaces by name, and a remark if Namespaces may not be read. Their bindings are reported anyway, as
/// not shown to be within their limits.
async fn namespaces_in_force(
    client: &Client,
    namespaces: &[String],
) -> Result<(Namespaces, Option<String>), Error> {
    let api: Api<WatchedNamespace> = Api::all(client.clone());
    let mut pages = Vec::new();
    if namespaces.is_empty() {
        pages.push(list(&api, &ListParams::default()).await);
    }
    for namespace in namespaces {
        // The right to list one Namespace covers a list of that one alone.
        let params = ListParams::default().fields(&format!("metadata.name={namespace}"));
        let page = list(&api, &params).await;
        // A mistyped name would make an empty report, as if all were well.
        if page.as_ref().is_ok_and(Vec::is_empty) {
            return Err(Error::BadInput(format!(
                "there is no namespace {namespace}: `kubectl get namespaces` lists those that exist"
            )));
        }
        pages.push(page);
    }
    let mut limits = BTreeMap::new();
    let mut remark = None;
    for page in pages {
        match page {
            Ok(page) => limits.extend(page.iter().map(|namespace| {
                let (name, limit) = namespace.limit();
                (name, (limit, namespace.labels()))
            })),
            Err(ListError::Failed(kube::Error::Api(status))) if status.is_forbidden() => {
                remark = Some(format!(
                    "the limits of Namespaces are unknown: {}",
                    status.message
                ));
            }
            Err(error) => return Err(failed("Namespaces")(error)),
        }
    }
    Ok((limits, remark))
}

/// Returns the classes of the cluster, and a remark if they may not be read. The bindings that name one are reported anyway, as
/// not shown to be within their limits.
async fn classes(
    client: &Client,
) -> Result<(Option<BTreeMap<Arc<str>, Class>>, Option<String>), Error> {
    let api: Api<WatchedClass> = Api::all(client.clone());
    match list(&api, &ListParams::default()).await {
        Ok(listed) => {
            let known = listed.into_iter().filter_map(WatchedClass::into_class);
            let by_name =
                known.map(|(known, _)| (known.class.name.clone(), (*known.class).clone()));
            Ok((Some(by_name.collect()), None))
        }
        Err(ListError::Failed(kube::Error::Api(status)))
            if status.is_forbidden() || status.is_not_found() =>
        {
            let remark = format!("the limits of classes are unknown: {}", status.message);
            Ok((None, Some(remark)))
        }
        Err(error) => Err(failed("classes")(error)),
    }
}

#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error(transparent)]
    Failed(#[from] kube::Error),
    #[error("no answer within {CALL_TIMEOUT:?}")]
    Late(#[from] tokio::time::error::Elapsed),
}

fn failed(what: &str) -> impl FnOnce(ListError) -> Error {
    let what = what.to_owned();
    move |error| Error::Listing {
        what,
        source: match error {
            ListError::Failed(error) => error.into(),
            error @ ListError::Late(_) => error.into(),
        },
    }
}

/// Lists all objects, page by page.
async fn list<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>, ListError>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut found = Vec::new();
    let mut params = params.clone().limit(PAGE);
    loop {
        let page = tokio::time::timeout(CALL_TIMEOUT, api.list(&params)).await??;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
