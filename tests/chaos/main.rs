//! The fault suite: `make chaos`.
//!
//! A real etcd and apiserver, two replicas of the program, a stand-in for AWS, and bindings of every kind. Each fault is
//! acted out and mended; then all must stand again as it must, and nothing may have been lost on the way. That is judged by
//! what stood in etcd at any time and by the apiserver's audit log, not by what the operator says.
//!
//! Choices come from a seed, which is printed. How fast the machine is decides in the middle of what a fault strikes, so
//! that the same seed makes the same changes, but not the same history.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test"
)]

mod audit;
mod bindings;
mod calls;
mod checks;
mod clock;
mod common;
mod controlplane;
mod etcd;
mod faults;
mod manifests;
mod process;
mod replica;
mod report;
mod wire;
mod world;

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{ArgAction, Parser, builder::BoolishValueParser};

use futures::future::try_join_all;
use parking_lot::Mutex;

use faults::{CAP, Fault};
use report::{Row, Try};
use world::World;

/// Done, or what went wrong, in words.
type Outcome = Result<(), String>;

/// Acts out faults, and judges what the operator makes of them.
#[derive(Debug, Parser)]
struct Options {
    /// Where choices come from [default: by chance]
    #[arg(long, env = "CHAOS_SEED")]
    seed: Option<u64>,

    /// How often each fault is tried
    #[arg(long, env = "CHAOS_ROUNDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,

    /// Only these faults, comma-separated
    #[arg(long, env = "CHAOS_ONLY", value_delimiter = ',')]
    only: Vec<String>,

    /// How many bindings there are [default: 500; in the short form 60]
    #[arg(long, env = "CHAOS_BINDINGS")]
    bindings: Option<usize>,

    /// The faults of the short form alone: at most 5 minutes on 2 cores
    #[arg(long, env = "CHAOS_SHORT", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    short: bool,

    /// How many control planes with replicas are at work side by side
    #[arg(long, env = "CHAOS_WORLDS", default_value_t = 2)]
    worlds: usize,

    /// Document to put the table into
    #[arg(long, env = "CHAOS_REPORT")]
    report: Option<PathBuf>,
}

impl Options {
    fn bindings(&self) -> usize {
        self.bindings.unwrap_or(if self.short { 60 } else { 500 })
    }

    fn faults(&self) -> Result<Vec<Fault>, String> {
        let all = faults::all();
        let only: Vec<&String> = self.only.iter().filter(|name| !name.is_empty()).collect();
        if let Some(unknown) = only
            .iter()
            .find(|name| all.iter().all(|fault| fault.name != name.as_str()))
        {
            let names: Vec<&str> = all.iter().map(|fault| fault.name).collect();
            return Err(format!(
                "there is no fault {unknown}; there are: {}",
                names.join(", ")
            ));
        }
        let chosen = |fault: &Fault| {
            if only.is_empty() {
                fault.short || !self.short
            } else {
                only.iter().any(|name| *name == fault.name)
            }
        };
        Ok(all.into_iter().filter(chosen).collect())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::var("REQUIRE_CHAOS").as_deref() != Ok("1") {
        println!("the fault suite takes its time: run it with `make chaos`");
        return ExitCode::SUCCESS;
    }
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("the first TLS provider of this process");
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the fault suite could not run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tries the faults; says whether none failed.
async fn run(options: &Options) -> Result<bool, String> {
    let binaries = controlplane::binaries()
        .ok_or("no control plane: run dev/controlplane/build, or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kube-controller-manager")?;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let faults = options.faults()?;
    let rows: Vec<Row> = faults
        .iter()
        .map(|fault| Row::of(fault.name, fault.within))
        .collect();
    let started = Instant::now();
    eprintln!(
        "{} bindings, {} faults, CHAOS_SEED={seed}",
        options.bindings(),
        faults.len()
    );
    let waiting: VecDeque<(u64, usize)> = (0..options.rounds)
        .flat_map(|round| (0..faults.len()).map(move |fault| (round, fault)))
        .collect();
    let waiting = Mutex::new(waiting);
    let rows = Mutex::new(rows);
    // Most of a try is waiting: several worlds have room on one machine.
    let worlds = (0..options.worlds).map(|_| async {
        let mut world: Option<World> = None;
        loop {
            let Some((round, number)) = waiting.lock().pop_front() else {
                return Ok::<_, String>(());
            };
            let fault = &faults[number];
            eprintln!(
                "{:4} s: {}, try {} of {}",
                started.elapsed().as_secs(),
                fault.name,
                round + 1,
                options.rounds
            );
            let mut present = match world.take() {
                Some(present) => present,
                None => World::start(binaries.clone(), options.bindings()).await?,
            };
            let tried = attempt(&mut present, fault, derived(seed, fault.name, round)).await;
            let failed = tried.failed();
            rows.lock()[number].add(tried);
            if failed {
                let kept = keep_logs(&present, fault.name, round)?;
                eprintln!("  logs are in {}", kept.display());
            } else if let Err(why) = present.reset(options.bindings()).await {
                eprintln!("  the next fault begins anew: {why}");
            } else {
                world = Some(present);
            }
        }
    });
    try_join_all(worlds).await?;
    let rows = rows.into_inner();
    let table = report::table(options, seed, &rows);
    println!("{table}");
    println!("{} s in all", started.elapsed().as_secs());
    if let Some(document) = &options.report {
        report::write(document, &table)?;
    }
    for row in rows.iter().filter(|row| row.failed > 0) {
        println!("FAILED: {}", row.fault);
    }
    Ok(rows.iter().all(|row| row.failed == 0))
}

/// Tries a fault once.
async fn attempt(world: &mut World, fault: &Fault, seed: u64) -> Try {
    world.begin(seed);
    let settled = match (fault.act)(world).await {
        Ok(()) => {
            let bound = Duration::from_secs(fault.within * CAP / 100);
            world.settle(bound + world.allowance()).await
        }
        Err(why) => Err(format!("it could not be acted out: {why}")),
    };
    Try {
        settled,
        findings: checks::judge(world),
    }
}

/// Returns the seed of a try, which does not depend on which other faults are tried.
fn derived(seed: u64, fault: &str, round: u64) -> u64 {
    let name = fault.bytes().fold(0_u64, |hash, byte| {
        hash.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    fastrand::Rng::with_seed(seed ^ name.rotate_left(16) ^ round.rotate_left(48)).u64(..)
}

/// Keeps the logs of a try that failed, and returns where.
fn keep_logs(world: &World, fault: &str, round: u64) -> Result<PathBuf, String> {
    let failed = |error| format!("logs can't be kept: {error}");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("chaos")
        .join(format!("{fault}-{round}"));
    fs::create_dir_all(&kept).map_err(failed)?;
    for entry in fs::read_dir(&world.plane.folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "log")
        {
            fs::copy(entry.path(), kept.join(entry.file_name())).map_err(failed)?;
        }
    }
    Ok(kept)
}
