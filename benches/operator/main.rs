//! Measures the operator beside a floor, on a real apiserver: `make bench`.
//!
//! The *floor* is a bare client that does only the necessary writes, with the same content, at its best concurrency. It is a
//! process of its own, and so is the stand-in for AWS that the operator lists from: what one of them uses is not counted for
//! another. Floor and operator are timed by the same watch, take turns and start with an empty namespace. The machine does
//! everything: apiserver, etcd, operator and this program share its cores, so that only ratios mean anything. Requests are
//! counted by the apiserver itself. Nothing here asserts a time; what can't be measured fails.
//!
//! Each figure is appended to a file as soon as it is measured. A step that fails costs the rest of its run, no figure and no
//! other run. `dev/bench-picture` draws the file.

#[path = "../../tests/common/bedrock_server.rs"]
#[allow(clippy::expect_used, missing_docs, reason = "shared with the tests")]
mod bedrock_server;
mod cluster;
mod figures;
mod floor;
mod helper;
mod offline;
mod operator;
mod phases;
mod process;
mod report;
mod requests;
#[path = "../../tests/common/serving.rs"]
#[allow(clippy::expect_used, reason = "shared with the tests")]
mod serving;
mod stand_in;

use std::{error::Error, num::NonZeroUsize, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use figures::Figures;

/// Anything that keeps a measurement from being one.
type Failure = Box<dyn Error + Send + Sync>;

/// How many bindings this program creates at once.
const CREATES_IN_FLIGHT: usize = 64;

/// Measures the operator beside a floor. Expects KUBECONFIG to lead, as administrator, to an apiserver that serves the
/// CRDs, does nothing else and is thrown away afterwards.
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of bindings to measure with, comma-separated
    #[arg(
        long,
        env = "BENCH_SIZES",
        value_delimiter = ',',
        default_value = "1000,4000,10000"
    )]
    sizes: Vec<NonZeroUsize>,

    /// How often each size is measured
    #[arg(long, env = "BENCH_RUNS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// What is measured, comma-separated
    #[arg(
        long,
        env = "BENCH_STEPS",
        value_enum,
        value_delimiter = ',',
        default_value = "create,restart,rewrite,class,offline"
    )]
    steps: Vec<Step>,

    /// How many bindings are created, one after another, while others are rewritten
    #[arg(long, env = "BENCH_SAMPLES", default_value_t = 200)]
    samples: usize,

    /// How many bindings the floor has in flight [default: 16, 32 or 64, whichever is fastest with 1000 bindings]
    #[arg(long, env = "BENCH_IN_FLIGHT")]
    in_flight: Option<usize>,

    /// How many seconds to count requests in while nothing changes
    #[arg(long, env = "BENCH_QUIET", default_value_t = 60)]
    quiet: u64,

    /// How many seconds AWS fails
    #[arg(long, env = "BENCH_OUTAGE", default_value_t = 30)]
    outage: u64,

    /// File that the figures are appended to
    #[arg(
        long,
        env = "BENCH_RESULTS",
        value_name = "FILE",
        default_value = "target/bench/operator.jsonl"
    )]
    results: PathBuf,

    /// Measures nothing, and prints what a file holds
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,

    /// Given by `cargo bench`
    #[arg(long, hide = true, global = true)]
    bench: bool,

    #[command(subcommand)]
    helper: Option<Helper>,
}

/// A part of the benchmark that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Bindings are created at once
    Create,
    /// The operator starts anew, the leader changes, AWS fails
    Restart,
    /// The catalog changes, and the limit of a Namespace
    Rewrite,
    /// A class changes
    Class,
    /// `render` and `preview` of files, and the start of the program
    Offline,
}

/// What this program does as a process of its own.
#[derive(Debug, Clone, Copy, Subcommand)]
#[command(hide = true)]
enum Helper {
    /// The bare client
    Floor,
    /// The stand-in for AWS
    Aws,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match (options.helper, &options.show) {
        (Some(Helper::Floor), _) => floor::serve().await,
        (Some(Helper::Aws), _) => stand_in::serve().await,
        (None, Some(file)) => Figures::read(file).map(|figures| report::print(&figures)),
        (None, None) if options.bench => measure(&options).await,
        (None, None) => {
            println!("a benchmark, not a test: run it with `make bench`");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, and prints what was measured, also where a part of it failed.
async fn measure(options: &Options) -> Result<(), Failure> {
    let mut figures = Figures::append_to(&options.results)?;
    eprintln!("figures are appended to {}", options.results.display());
    let outcome = measure_into(options, &mut figures).await;
    report::print(&figures);
    outcome
}

async fn measure_into(options: &Options, figures: &mut Figures) -> Result<(), Failure> {
    let cluster = cluster::Cluster::connect().await?;
    let machine = cluster.machine().await?;
    figures.note_machine(&machine)?;
    let mut bench = phases::Bench::prepare(cluster, options).await?;
    figures.note_floor(bench.in_flight)?;
    let mut failed = Vec::new();
    for run in 1..=options.runs {
        for size in options.sizes.iter().map(|size| size.get()) {
            eprintln!("run {run} of {}, {size} bindings", options.runs);
            let mut record = figures.of(run, size);
            // Who goes first changes, because the apiserver of a later measurement has more history.
            if let Err(error) = bench.run(size, run % 2 == 1, &mut record).await {
                eprintln!("run {run} with {size} bindings failed: {error}");
                failed.push(format!("run {run} with {size} bindings: {error}"));
                bench.clean_up().await?;
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("\n").into())
    }
}
