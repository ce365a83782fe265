//! `status`: a binding of a cluster on one page. It only reads.

mod page;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::Duration,
};

use clap::{Args, ValueEnum};
use kube::{Api, Client};
use serde::de::DeserializeOwned;

use self::page::{Around, Page};
use super::{
    Error, NOT_READY,
    catalogs::Catalogs,
    cluster::{ConnectOptions, client},
    options::{CatalogOptions, DayOptions, LimitOptions, RegionOptions},
    output,
};
use crate::{
    api::InferenceProfileBinding,
    cache::decode::{WatchedClass, WatchedNamespace},
    catalog::{FeedKey, embedded::Embedded},
};

/// How long to wait for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Options of `status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl ipb status chat\n  kubectl ipb status chat -n shop --context production\n  kubectl ipb status chat -n shop --catalog bedrock --allowed-regions @eu\n  kubectl ipb status chat -n shop -o json | jq .candidates\n\nWhat is written is read from the cluster. Candidates are judged here, by --catalog: give --catalog, --region and --allowed-regions as the operator has them. Exit codes: 0 the binding is Ready; 1 the cluster can't be read; 2 bad input, or no such binding; 3 it is not Ready.\n\nRights: get inferenceprofilebindings; for candidates and limits get namespaces and inferenceprofileclasses too."
)]
pub struct StatusArgs {
    /// Name of the binding
    name: String,
    /// Namespace of the binding [default: that of the context]
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    connect: ConnectOptions,
    /// By default, that of its status.
    #[command(flatten)]
    region: RegionOptions,
    /// Give the operator's own limit here: the cluster does not show it.
    #[command(flatten)]
    limit: LimitOptions,
    #[command(flatten)]
    catalog: CatalogOptions,
    #[command(flatten)]
    day: DayOptions,
    /// Format of the output
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// One page
    #[value(alias = "table")]
    Text,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
}

pub(super) async fn run(
    args: StatusArgs,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    let limit = args.limit.parse()?;
    let config = args.connect.config().await?;
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = client(config)?;
    let api: Api<InferenceProfileBinding> = Api::namespaced(client.clone(), &namespace);
    let what = format!("the binding {namespace}/{}", args.name);
    let Some(binding) = get(&api, &args.name, &what).await? else {
        return Err(Error::BadInput(format!(
            "there is no binding {} in namespace {namespace}: `kubectl get ipb -n {namespace}` lists those that exist",
            args.name
        )));
    };
    let mut remarks = Vec::new();
    let around = around(&client, &namespace, &binding, &mut remarks).await;
    let mut page = Page::new(
        &binding,
        &namespace,
        &around,
        limit.as_ref(),
        Embedded::load(),
    );
    let region = match page.source_region() {
        Some(region) => Some(region),
        None => args.region.optional()?,
    };
    match region {
        None => remarks.push(
            "no candidates: no source region is known; give --region, that of the operator"
                .to_owned(),
        ),
        Some(region) => {
            let key = FeedKey { role: None, region };
            let mut asked = binding.spec.asked();
            let names_one = asked.any(|(_, asked)| asked.application.is_some());
            let application = names_one.then(|| key.clone());
            let mut catalogs = Catalogs::new(&args.catalog).with_applications(application);
            match catalogs.catalog(&key).await {
                Ok(catalog) => {
                    let judged = page.judge(
                        &binding,
                        &around,
                        limit.as_ref(),
                        &catalog,
                        Embedded::load(),
                        args.day.day(),
                    );
                    remarks.extend(judged.err());
                }
                Err(error) => remarks.push(format!("no candidates: {error}")),
            }
        }
    }
    match args.output {
        Output::Text => page.print(out)?,
        Output::Json => out.write_all(output::json(&page)?.as_bytes())?,
        Output::Yaml => out.write_all(output::yaml(&page)?.as_bytes())?,
    }
    for remark in remarks {
        writeln!(err, "{}", super::printable(&remark))?;
    }
    Ok(if page.is_ready() { 0 } else { NOT_READY })
}

/// Reads the Namespace and the classes. What may not be read is a remark.
async fn around(
    client: &Client,
    namespace: &str,
    binding: &InferenceProfileBinding,
    remarks: &mut Vec<String>,
) -> Around {
    let namespaces: Api<WatchedNamespace> = Api::all(client.clone());
    let read = get(&namespaces, namespace, "the Namespace").await;
    let namespace = match read {
        Ok(found) => found.map(|found| (found.limit().1, found.labels())),
        Err(error) => {
            remarks.push(format!(
                "the limit of the Namespace is not known: {}",
                super::chain(&error)
            ));
            None
        }
    };
    let asked = binding.spec.asked();
    let names: BTreeSet<&str> = asked.filter_map(|(_, asked)| asked.class).collect();
    let api: Api<WatchedClass> = Api::all(client.clone());
    let mut classes = BTreeMap::new();
    for name in names {
        let class = match get(&api, name, "the class").await {
            Ok(found) => {
                let known = found.and_then(WatchedClass::into_class);
                Ok(known.map(|(known, _)| known.class))
            }
            Err(error) => Err(super::chain(&error)),
        };
        classes.insert(name.to_owned(), class);
    }
    Around { namespace, classes }
}

async fn get<K>(api: &Api<K>, name: &str, what: &str) -> Result<Option<K>, Error>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Listing {
        what: what.to_owned(),
        source,
    };
    let got = tokio::time::timeout(CALL_TIMEOUT, api.get_opt(name)).await;
    got.map_err(|_| failed("no answer within 15 s".into()))?
        .map_err(|error| failed(error.into()))
}
