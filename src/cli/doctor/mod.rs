//! `doctor`: checks what the operator and its commands need, on the side of AWS and in the cluster. It changes nothing.
//!
//! `reading`, and the examination of the catalog's source, ask; `aws` and `cluster` decide from what was answered; `line` is a
//! line of the report.

mod aws;
mod cluster;
mod facts;
mod line;
mod reading;

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, ValueEnum};

use self::{
    aws::{Needs, Proxies},
    facts::{ClusterFacts, OperatorFacts},
    line::{Check, Line, Report},
    reading::Scope,
};
use super::{
    Error,
    cluster::{ConnectOptions, client, first_set},
    options::{AwsOptions, RegionOptions},
    output,
};
use crate::{
    catalog::embedded::Embedded,
    sources::bedrock::{Examination, Timeouts},
};

/// How often a request to AWS is tried: the second attempt corrects a clock that is wrong.
const ATTEMPTS: u32 = 2;
/// How long a request to AWS may take. A person waits for it.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(8),
    attempt: Duration::from_secs(8),
    operation: Duration::from_secs(17),
};

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl ipb doctor\n  kubectl ipb doctor --aws-only --region eu-west-1\n  kubectl ipb doctor --cluster-only -n shop --context production\n  kubectl ipb doctor -o json | jq '.lines[] | select(.verdict == \"fails\")'\n  kubectl -n inference-profile-operator exec \\\n    deployment/inference-profile-operator -- \\\n    /usr/local/bin/inference-profile-operator doctor\n\nThe side of AWS is checked with the credentials of whoever runs this. The last example checks it as the operator. Exit codes: 0 nothing fails; 1 something fails; 2 bad input."
)]
pub struct DoctorArgs {
    /// Checks the side of AWS alone
    #[arg(long, conflicts_with = "cluster_only")]
    aws_only: bool,
    /// Checks the cluster alone
    #[arg(long)]
    cluster_only: bool,
    /// Check to leave out; repeatable or comma-separated
    #[arg(
        long,
        value_name = "CHECK",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    skip: Vec<Check>,
    #[command(flatten)]
    region: RegionOptions,
    #[command(flatten)]
    aws: AwsOptions,
    /// Namespace whose bindings are looked at; repeatable or comma-separated [default: all]
    #[arg(
        long = "namespace",
        short,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        help_heading = "Cluster"
    )]
    namespaces: Vec<String>,
    /// Looks at the bindings of all namespaces, as it does without --namespace
    #[arg(
        long,
        short = 'A',
        conflicts_with = "namespaces",
        help_heading = "Cluster"
    )]
    all_namespaces: bool,
    /// Namespace of the operator [default: wherever the chart's labels are]
    #[arg(long, value_name = "NAMESPACE", help_heading = "Cluster")]
    operator_namespace: Option<String>,
    #[command(flatten)]
    connect: ConnectOptions,
    /// Format of the output
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// A line for each check
    Table,
    /// One JSON object
    Json,
    /// The same as YAML
    Yaml,
}

pub(super) async fn run(args: DoctorArgs, out: &mut impl Write) -> Result<u8, Error> {
    let (aws, cluster) = futures::join!(aws_side(&args), cluster_side(&args));
    let mut lines = Vec::new();
    let facts = match &cluster {
        Some(Ok(facts)) => Some(facts),
        _ => None,
    };
    // Whoever names a region means to ask it.
    let unneeded = facts
        .and_then(catalog_without_aws)
        .filter(|_| args.region.region.is_none());
    let aws = aws?;
    if let Some(catalog) = unneeded.filter(|_| aws.is_some()) {
        lines.push(aws::not_needed(catalog));
    } else if let Some(found) = aws {
        lines.extend(found.before);
        if let Some(examination) = &found.examination {
            lines.extend(aws::lines(
                examination,
                &proxies(),
                needs(facts),
                SystemTime::now(),
            ));
        }
    }
    match &cluster {
        None => {}
        Some(Err(line)) => lines.push(line.clone()),
        Some(Ok(facts)) => lines.extend(cluster::lines(
            facts,
            jiff::Timestamp::now().as_second(),
            env!("CARGO_PKG_VERSION"),
            &args.connect.for_kubectl(),
        )),
    }
    lines.retain(|line| !args.skip.contains(&line.check));
    let report = Report {
        time: output::now(),
        program_version: env!("CARGO_PKG_VERSION"),
        lines,
    };
    match args.output {
        Output::Table => report.print(out)?,
        Output::Json => out.write_all(report.json()?.as_bytes())?,
        Output::Yaml => out.write_all(report.yaml()?.as_bytes())?,
    }
    Ok(u8::from(report.fails()))
}

/// What was found on the side of AWS.
struct AwsSide {
    /// Lines of what comes before the first request.
    before: Vec<Line>,
    examination: Option<Examination>,
}

/// Returns `None` where that side is not asked for.
async fn aws_side(args: &DoctorArgs) -> Result<Option<AwsSide>, Error> {
    if args.cluster_only {
        return Ok(None);
    }
    let Some((region, found_in)) = args.region.found()? else {
        let line = Line::fails(Check::Region, "no source region was found").next(
            "--region, AWS_REGION, or `region` of the profile; --cluster-only leaves AWS out",
        );
        return Ok(Some(AwsSide {
            before: vec![line],
            examination: None,
        }));
    };
    let absence = Embedded::load().regions().absence(&region);
    let mut before = vec![aws::region(&region, &found_in, absence)];
    let examination = match args.aws.bedrock(&region, TIMEOUTS, ATTEMPTS).await {
        Ok(bedrock) => Some(bedrock.examine(&region).await),
        Err(error) => {
            before.push(Line::fails(Check::Endpoint, error.to_string()));
            None
        }
    };
    Ok(Some(AwsSide {
        before,
        examination,
    }))
}

/// Returns what is known of the cluster, or the line that says why nothing is. `None` where that side is not asked for.
async fn cluster_side(args: &DoctorArgs) -> Option<Result<ClusterFacts, Line>> {
    if args.aws_only {
        return None;
    }
    let opened = async {
        let config = args.connect.config().await?;
        let url = config.cluster_url.to_string();
        Ok::<_, Error>((client(config)?, url))
    };
    Some(match opened.await {
        Ok((client, url)) => {
            let scope = Scope {
                namespaces: args.namespaces.clone(),
                operator_namespace: args.operator_namespace.clone(),
            };
            Ok(reading::facts(&client, url, scope).await)
        }
        Err(_) if !args.cluster_only && !names_a_cluster(&args.connect) => Err(Line::unknown(
            Check::Apiserver,
            "there is no kubeconfig and no service account: the cluster is left out",
        )),
        Err(error) => Err(Line::fails(Check::Apiserver, super::chain(&error))
            .next("check KUBECONFIG, --context and your login")),
    })
}

/// Says whether somebody meant a cluster, by option, environment or file.
fn names_a_cluster(connect: &ConnectOptions) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let home = std::env::var_os("HOME").map(PathBuf::from);
    connect.names_a_cluster()
        || is_set("KUBECONFIG")
        || is_set("KUBERNETES_SERVICE_HOST")
        || home.is_some_and(|home| home.join(".kube/config").exists())
}

/// Returns what an operator needs, as far as the cluster tells.
fn needs(facts: Option<&ClusterFacts>) -> Needs {
    let Some(facts) = facts else {
        return Needs::default();
    };
    let bindings = facts.bindings.as_ref().ok();
    let operators = facts.operators.as_ref().ok();
    let operators = operators.filter(|operators| !operators.is_empty());
    Needs {
        applications: bindings
            .filter(|bindings| !bindings.more && facts.namespaces.is_empty())
            .map(|bindings| bindings.all.iter().any(|binding| binding.application)),
        availability: operators.map(|operators| {
            let mut operators = operators.iter();
            operators.any(|operator| operator.is_on("--check-access"))
        }),
    }
}

/// Returns the catalog of the operators of a cluster, if there are some and none of them asks AWS.
fn catalog_without_aws(facts: &ClusterFacts) -> Option<&str> {
    let operators = facts.operators.as_ref().ok()?;
    let mut catalogs = operators.iter().map(OperatorFacts::catalog);
    let first = catalogs.next().filter(|catalog| *catalog != "bedrock")?;
    catalogs
        .all(|catalog| catalog != "bedrock")
        .then_some(first)
}

fn proxies() -> Proxies {
    Proxies {
        https: first_set(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
        http: first_set(&["HTTP_PROXY", "http_proxy"]),
        none_for: first_set(&["NO_PROXY", "no_proxy"]),
    }
}
