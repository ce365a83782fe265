//! Cases against a real kube-apiserver, one control plane for all of them.
//!
//! `tests/controlplane/with` starts it and stops it. Without its binaries every case is reported as ignored, which
//! REQUIRE_CONTROLPLANE=1 turns into a failure.
//!
//! A case is an `async fn(Cluster)` in a module of its subject, listed in that module's `cases()`. It makes its own
//! namespace, so that cases run side by side.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod crd;
mod examples;
mod kubectl;
mod support;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};
use support::{Case, Cluster, ControlPlane, Unavailable};

/// Cases in flight where `--test-threads` does not say: they wait for the apiserver most of the time.
const IN_FLIGHT: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(IN_FLIGHT);
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("the first TLS provider of this process");
    let runtime = Arc::new(tokio::runtime::Runtime::new().expect("a runtime"));

    let cluster = Arc::new(OnceLock::new());
    let cases = [crd::cases(), examples::cases(), kubectl::cases()].concat();
    let mut trials: Vec<Trial> = cases
        .into_iter()
        .map(|case| trial(case, runtime.clone(), cluster.clone()))
        .collect();
    let selected = trials
        .iter()
        .filter(|trial| !arguments.is_filtered_out(trial))
        .count();
    if arguments.list || selected == 0 {
        return libtest_mimic::run(&arguments, trials).exit_code();
    }

    let control_plane = match ControlPlane::start() {
        Ok(control_plane) => control_plane,
        Err(Unavailable::Failed) => return ExitCode::FAILURE,
        Err(Unavailable::Absent)
            if std::env::var("REQUIRE_CONTROLPLANE").is_ok_and(|v| v == "1") =>
        {
            eprintln!(
                "FAILED: REQUIRE_CONTROLPLANE=1, and there is no control plane (the line above says how to get one)"
            );
            return ExitCode::FAILURE;
        }
        Err(Unavailable::Absent) => {
            eprintln!(
                "SKIPPED: all {selected} cases against a real apiserver (the line above says how to get one)"
            );
            trials = trials
                .into_iter()
                .map(|trial| trial.with_ignored_flag(true))
                .collect();
            return libtest_mimic::run(&arguments, trials).exit_code();
        }
    };
    let connected = runtime.block_on(Cluster::connect(&control_plane));
    cluster.set(connected).ok().expect("set once");
    let conclusion = libtest_mimic::run(&arguments, trials);
    control_plane.stop();
    conclusion.exit_code()
}

fn trial(
    case: Case,
    runtime: Arc<tokio::runtime::Runtime>,
    cluster: Arc<OnceLock<Cluster>>,
) -> Trial {
    Trial::test(case.name.clone(), move || {
        let cluster = cluster
            .get()
            .ok_or_else(|| Failed::from("there is no control plane"))?;
        runtime.block_on((case.run)(cluster.clone()));
        Ok(())
    })
}
