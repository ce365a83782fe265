//! Measures the operator beside a floor, on a real apiserver: `make bench`.
//!
//! The *floor* is a bare client that does only the necessary writes, with the same content, at its best concurrency.
//! Both are timed by the same watch, take turns and start with an empty namespace. The machine does everything:
//! apiserver, etcd, operator and this program share its cores, so that only ratios of medians mean anything.
//! Requests are counted by the apiserver itself. Nothing here asserts a time; what can't be measured fails.

mod cluster;
mod floor;
mod operator;
mod phases;
mod process;
mod report;
mod requests;

use std::{error::Error, num::NonZeroUsize, process::ExitCode};

use clap::Parser;

/// Anything that keeps a measurement from being one.
type Failure = Box<dyn Error + Send + Sync>;

/// How many bindings this program creates at once.
const CREATES_IN_FLIGHT: usize = 64;

/// Measures the operator beside a floor. Expects KUBECONFIG to lead, as administrator, to an apiserver that serves the
/// CRD, does nothing else and is thrown away afterwards.
#[derive(Debug, Parser)]
struct Options {
    /// Numbers of bindings to measure with, comma-separated
    #[arg(
        long,
        env = "BENCH_SIZES",
        value_delimiter = ',',
        default_value = "1000,4000"
    )]
    sizes: Vec<NonZeroUsize>,

    /// How often each size is measured
    #[arg(long, env = "BENCH_RUNS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// How many bindings are created, one after another, while others are rewritten
    #[arg(long, env = "BENCH_SAMPLES", default_value_t = 50)]
    samples: usize,

    /// How many bindings the floor has in flight [default: 16, 32 or 64, whichever is fastest with 1000 bindings]
    #[arg(long, env = "BENCH_IN_FLIGHT")]
    in_flight: Option<usize>,

    /// How many seconds to count requests in while nothing changes
    #[arg(long, env = "BENCH_QUIET", default_value_t = 10)]
    quiet: u64,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        println!("a benchmark, not a test: run it with `make bench`");
        return ExitCode::SUCCESS;
    }
    match measure(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the benchmark failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<(), Failure> {
    let cluster = cluster::Cluster::connect().await?;
    let sample = phases::sample(&cluster).await?;
    let in_flight = match options.in_flight {
        Some(in_flight) => in_flight,
        None => phases::best_concurrency(&cluster, &sample).await?,
    };
    let mut sizes: Vec<report::Size> = options
        .sizes
        .iter()
        .map(|n| report::Size::of(n.get()))
        .collect();
    for run in 0..options.runs {
        for size in &mut sizes {
            eprintln!(
                "run {} of {}, {} bindings",
                run + 1,
                options.runs,
                size.bindings
            );
            // Who goes first changes, because the apiserver of a later measurement has more history.
            let measured = phases::run(
                &cluster,
                &sample,
                size.bindings,
                in_flight,
                run % 2 == 0,
                options,
            )
            .await?;
            size.runs.push(measured);
        }
    }
    report::print(&cluster.machine().await?, in_flight, &sizes)
}
