//! `run`: the controller as a process.

use std::{
    fs,
    io::{self, IsTerminal, Read, Write},
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use kube::Client;
use tracing_subscriber::{
    EnvFilter, Layer, filter::FilterExt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::{
    catalog::{Source, embedded::Embedded, regions::Absence},
    controller::{Config, Controller, Health, ServedConfig, clock::SystemClock},
    feeds::{CONFIRMATION, Schedule, admission::FeedLimits},
    leader::{self, Candidacy, Election, Leadership, Timing},
    metrics::Metrics,
    plain::plain,
    plan::Settings,
    server,
    sources::logs::InvocationLogs,
    traces::{self, Endpoint, Exporter},
    types::{AccountId, Region},
};

use super::{
    Error,
    cluster::{ConnectOptions, client},
    options::{AwsOptions, CatalogSource, LimitOptions, RegionOptions, RoleOptions, aws},
    served_regions::log_group,
};

/// Longest token of `/metrics`, in bytes.
const LONGEST_TOKEN: u64 = 16 * 1024;

/// How long after a time its records of model invocation logging count as complete.
const LOG_ALLOWANCE: Duration = Duration::from_mins(5);
/// The shortest time that one query of them counts.
const SHORTEST_LOG_INTERVAL: Duration = Duration::from_mins(1);

/// What is logged by default. The client has a line for each call that fails; the operator has one for an outage.
const LOG_FILTER: &str = "info,kube_client=error,kube_client::client::builder=off";

/// Options of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  inference-profile-operator run --region eu-west-1\n  inference-profile-operator run --region eu-west-1 --catalog embedded \\\n    --namespace shop --http-addr 127.0.0.1:8080\n\nThe cluster is found as kubectl finds it. The chart runs this command."
)]
pub struct RunArgs {
    /// Where inference profiles are looked up
    #[arg(
        long,
        env = "IPO_CATALOG",
        value_name = "bedrock|embedded|directory:PATH",
        default_value = "bedrock"
    )]
    catalog: CatalogSource,
    #[command(flatten)]
    region: RegionOptions,
    #[command(flatten)]
    aws: AwsOptions,
    #[command(flatten)]
    roles: RoleOptions,
    /// AWS account ID for the ARNs of profiles, if no live listing names it
    #[arg(long, env = "IPO_ACCOUNT", value_name = "ACCOUNT-ID")]
    account: Option<AccountId>,
    /// Namespace to serve; repeatable, or comma-separated in the environment [default: all]
    #[arg(
        long = "namespace",
        env = "IPO_NAMESPACE",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,
    /// Label selector of the bindings to serve
    #[arg(long, env = "IPO_SELECTOR", value_name = "SELECTOR")]
    selector: Option<String>,
    #[command(flatten)]
    feeds: FeedOptions,
    /// How many bindings are visited at once
    #[arg(long, env = "IPO_CONCURRENCY", value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Lets a newer embedded catalog move values that an older one gave
    #[arg(long, env = "IPO_FOLLOW_EMBEDDED")]
    follow_embedded: bool,
    /// Writes Secret targets too
    #[arg(long, env = "IPO_ENABLE_SECRETS")]
    enable_secrets: bool,
    /// Restarts the workloads in spec.rollout when a written value changes
    #[arg(long, env = "IPO_ENABLE_ROLLOUT")]
    enable_rollout: bool,
    /// How many workloads restart at once, across all bindings
    #[arg(long, env = "IPO_CONCURRENT_ROLLOUTS", value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrent_rollouts: u16,
    /// Asks AWS whether the models of bindings can be used, and shows it as the condition `ModelUsable`
    #[arg(long, env = "IPO_CHECK_ACCESS")]
    check_access: bool,
    #[command(flatten)]
    limit: LimitOptions,
    /// Writes nothing for bindings without a residency limit
    #[arg(long, env = "IPO_REQUIRE_RESIDENCY")]
    require_residency: bool,
    #[command(flatten)]
    served: ServedOptions,
    #[command(flatten)]
    election: ElectionOptions,
    /// Address of /healthz, /readyz and /metrics, such as 0.0.0.0:8080 [default: not served]
    #[arg(long, env = "IPO_HTTP_ADDR", value_name = "IP:PORT")]
    http_addr: Option<SocketAddr>,
    /// File with the bearer token that /metrics asks for, such as a mounted Secret [default: anybody may read it]
    #[arg(
        long,
        env = "IPO_METRICS_TOKEN_FILE",
        value_name = "PATH",
        requires = "http_addr"
    )]
    metrics_token_file: Option<PathBuf>,
    /// Base URL of a receiver of traces by OTLP over HTTP, such as `http://collector:4318` [default: no traces]
    #[arg(long, env = "IPO_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<Endpoint>,
    /// Format of the log lines
    #[arg(
        long,
        env = "IPO_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

/// How catalogs are kept current, and how many.
#[derive(Debug, Args)]
struct FeedOptions {
    /// How often each catalog is listed, such as 15m or 90s
    #[arg(long, env = "IPO_REFRESH_INTERVAL", value_name = "DURATION", default_value = "15m", value_parser = duration)]
    refresh_interval: Duration,
    /// How old a live catalog may be before `CatalogFresh` says that listings fail, such as 1h; at least two refresh intervals
    #[arg(long, env = "IPO_CATALOG_GRACE", value_name = "DURATION", default_value = "1h", value_parser = duration)]
    catalog_grace: Duration,
    /// How old a directory or embedded catalog may be before `CatalogFresh` says so, such as 2160h
    #[arg(long, env = "IPO_CATALOG_MAX_AGE", value_name = "DURATION", default_value = "2160h", value_parser = duration)]
    catalog_max_age: Duration,
    /// The most catalogs that are kept, one for each role and source region
    #[arg(
        long,
        env = "IPO_MAX_FEEDS",
        value_name = "NUMBER",
        default_value = "64"
    )]
    max_feeds: NonZeroUsize,
    /// The most catalogs that the bindings of one namespace can use
    #[arg(
        long,
        env = "IPO_MAX_FEEDS_PER_NAMESPACE",
        value_name = "NUMBER",
        default_value = "8"
    )]
    max_feeds_per_namespace: NonZeroUsize,
}

impl FeedOptions {
    fn schedule(&self) -> Schedule {
        Schedule {
            interval: self.refresh_interval,
            grace: self.catalog_grace,
            confirmation: CONFIRMATION,
            max_age: self.catalog_max_age,
        }
    }

    fn limits(&self) -> FeedLimits {
        FeedLimits {
            total: self.max_feeds.get(),
            per_namespace: self.max_feeds_per_namespace.get(),
        }
    }
}

/// Whether it is looked at where requests are served.
#[derive(Debug, Args)]
struct ServedOptions {
    /// Counts where requests were served, in this log group of model invocation logging, by CloudWatch Logs Insights, which charges
    /// by bytes scanned; shows it as metrics, and as the condition `ServedWithinLimits` [default: not counted]
    #[arg(long, env = "IPO_INVOCATION_LOG_GROUP", value_name = "NAME", value_parser = log_group)]
    invocation_log_group: Option<String>,
    /// How much time one query counts, at least 1m, such as 15m
    #[arg(long, env = "IPO_INVOCATION_LOG_INTERVAL", value_name = "DURATION", default_value = "15m", value_parser = log_interval)]
    invocation_log_interval: Duration,
}

impl ServedOptions {
    /// Returns how it is looked at, if it is. `region` is where credentials are obtained.
    async fn config(self, region: &Region) -> Result<Option<ServedConfig>, Error> {
        let Some(group) = self.invocation_log_group else {
            return Ok(None);
        };
        Ok(Some(ServedConfig {
            logs: Arc::new(InvocationLogs::new(aws(region).await?, group)),
            interval: self.invocation_log_interval,
            allowance: LOG_ALLOWANCE,
        }))
    }
}

/// How replicas elect the leader, the only one that writes.
#[derive(Debug, Args)]
struct ElectionOptions {
    /// Writes only while holding a Lease, so that several replicas can run
    #[arg(long, env = "IPO_LEADER_ELECT")]
    leader_elect: bool,
    /// Name of the Lease
    #[arg(
        long,
        env = "IPO_LEASE_NAME",
        value_name = "NAME",
        default_value = "inference-profile-operator"
    )]
    lease_name: String,
    /// Namespace of the Lease [default: that of the service account or kubeconfig]
    #[arg(long, env = "IPO_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this replica in the Lease, to which a random suffix is added [default: the host's name]
    #[arg(long, env = "IPO_LEASE_IDENTITY", value_name = "NAME")]
    lease_identity: Option<String>,
}

impl ElectionOptions {
    fn start(&self, client: &Client, metrics: &Metrics) -> Option<Election> {
        let host = || std::env::var("HOSTNAME").unwrap_or_else(|_| "replica".to_owned());
        self.leader_elect.then(|| {
            let candidacy = Candidacy {
                namespace: self
                    .lease_namespace
                    .clone()
                    .unwrap_or_else(|| client.default_namespace().to_owned()),
                name: self.lease_name.clone(),
                identity: leader::identity(&self.lease_identity.clone().unwrap_or_else(host)),
                timing: Timing::default(),
            };
            Election::start(client.clone(), candidacy, metrics.clone())
        })
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// Reads a duration of whole seconds, minutes or hours.
fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "expected a duration such as 90s, 15m or 1h".to_owned())?;
    Duration::try_from(span)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a duration above zero".to_owned())
}

fn log_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < SHORTEST_LOG_INTERVAL {
        return Err("expected 1m or more: each query costs".to_owned());
    }
    Ok(interval)
}

/// Refuses a source region that does not exist, by the embedded data if they are the catalog. Another catalog may know newer
/// regions, so that one is only warned of.
fn check_region(catalog: &CatalogSource, region: &Region) -> Result<(), Error> {
    match Embedded::load().regions().absence(region) {
        Some(why @ Absence::NoRegion { .. }) if *catalog == CatalogSource::Embedded => {
            Err(Error::BadInput(format!("--region {region}: {why}")))
        }
        Some(why) => {
            tracing::warn!(%region, "bindings that name no sourceRegion will probably find nothing: {why}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Runs the controller until SIGTERM or SIGINT.
pub(super) async fn run(args: RunArgs) -> Result<u8, Error> {
    let default_region = args.region.required()?;
    let limit = args.limit.parse()?;
    let roles = args.roles.parse()?;
    let allowed_roles = roles.allowed.clone();
    let traces = args.otlp_endpoint.as_ref().map(Exporter::start);
    let traces = traces.transpose().map_err(Error::Traces)?;
    start_logging(args.log_format, traces.as_ref());
    check_region(&args.catalog, &default_region)?;
    let metrics = Metrics::new();
    let source: Arc<dyn Source> = args
        .catalog
        .open(
            &default_region,
            &args.aws,
            roles,
            Some(Arc::new(metrics.clone())),
        )
        .await?;
    let cluster = ConnectOptions::default().config().await?;
    let address = cluster.cluster_url.clone();
    let client = client(cluster)?;
    let served = args.served.config(&default_region).await?;
    let config = Config {
        served,
        namespaces: args.namespaces,
        selector: args.selector,
        default_region,
        workers: usize::from(args.concurrency),
        schedule: args.feeds.schedule(),
        allowed_roles,
        feed_limits: args.feeds.limits(),
        concurrent_rollouts: usize::from(args.concurrent_rollouts),
        embedded: Embedded::load(),
        clock: Arc::new(SystemClock),
        settings: Settings {
            enable_secrets: args.enable_secrets,
            enable_rollout: args.enable_rollout,
            check_access: args.check_access,
            account: args.account,
            limit,
            require_limit: args.require_residency,
            follow_embedded: args.follow_embedded,
        },
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster = %address,
        catalog = source.kind().as_str(),
        region = %config.default_region,
        allowed_roles = %config.allowed_roles,
        "started"
    );
    if args.check_access && source.access().is_none() {
        tracing::warn!(
            "--check-access has no effect: only the bedrock catalog knows whether models can be used"
        );
    }
    let shutdown = termination()?;
    let mut election = args.election.start(&client, &metrics);
    let leadership = election
        .as_ref()
        .map_or_else(Leadership::always, Election::leadership);
    let controller = Controller::new(client, source, config, leadership, metrics.clone());
    let health = controller.health();
    let controlling = pin!(controller.run(shutdown));
    let outcome = tokio::select! {
        ended = controlling => ended.map_err(Error::from),
        failed = serve(args.http_addr, health, metrics, args.metrics_token_file) => Err(failed),
        () = ended(&mut election) => Err(Error::ElectionEnded),
    };
    // No visit is under way any more: another replica may begin.
    if let Some(election) = election {
        election.resign().await;
    }
    if let Some(traces) = traces {
        traces.stop().await;
    }
    outcome.map(|()| 0)
}

/// Waits for the end of the election's task, which should never end.
async fn ended(election: &mut Option<Election>) {
    match election {
        Some(election) => election.ended().await,
        None => std::future::pending().await,
    }
}

/// Serves the endpoints. Returns only if that fails.
async fn serve(
    address: Option<SocketAddr>,
    health: Health,
    metrics: Metrics,
    token_file: Option<PathBuf>,
) -> Error {
    let Some(address) = address else {
        return std::future::pending().await;
    };
    let token = token_file.map(|path| -> server::ReadToken { Arc::new(move || token(&path)) });
    let source = server::serve(address, health, metrics, token)
        .await
        .err()
        .unwrap_or_else(|| io::Error::other("the server ended"));
    Error::Endpoints { address, source }
}

/// Reads the token that `/metrics` asks for. A token is short: what comes after [`LONGEST_TOKEN`] is an error.
fn token(path: &Path) -> io::Result<String> {
    let mut token = String::new();
    let file = fs::File::open(path)?;
    let read = file.take(LONGEST_TOKEN + 1).read_to_string(&mut token)?;
    if read as u64 > LONGEST_TOKEN {
        return Err(io::Error::other(format!(
            "it is longer than {LONGEST_TOKEN} bytes"
        )));
    }
    Ok(token)
}

/// Returns a future that ends on SIGTERM or SIGINT.
#[cfg(unix)]
fn termination() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Returns a future that ends on Ctrl-C: no orchestrator ends it here.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn termination() -> Result<impl Future<Output = ()>, Error> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Longest line of the log, in bytes.
const LONGEST_LINE: usize = 32 * 1024;

/// Writes what is written at once as one line, so that no text in it forges another one.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if text.len() <= LONGEST_LINE && !text.contains(&b'\n') {
            self.0.write_all(line)?;
        } else {
            let text = String::from_utf8_lossy(text);
            writeln!(self.0, "{}", plain(&text, LONGEST_LINE))?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Starts logging to standard error, and tracing where it is asked for. `RUST_LOG` sets the filter of the log; the default is
/// info.
fn start_logging(format: LogFormat, traces: Option<&Exporter>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| OneLine(io::stderr()));
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.and(traces::no_spans())))
        .with(traces.map(Exporter::layer))
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_at_once_is_one_line() {
        let forged = format!("{}\n", "x".repeat(2 * LONGEST_LINE));
        for (text, lines) in [("a\n", 1), ("a\nb\n", 1), (forged.as_str(), 1)] {
            let mut log = OneLine(Vec::new());
            log.write_all(text.as_bytes()).expect("written");
            let log = String::from_utf8(log.0).expect("a text");
            assert_eq!(log.lines().count(), lines);
            assert!(log.ends_with('\n') && log.len() <= LONGEST_LINE + 1);
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(log_interval("1m"), Ok(Duration::from_mins(1)));
        assert!(log_interval("59s").is_err());
        for bad in ["", "15", "0s", "-1m", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
