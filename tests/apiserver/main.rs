//! Cases against a real kube-apiserver, one control plane for all of them.
//!
//! `dev/controlplane/with` starts it and stops it. Without its binaries every case is reported as ignored, which
//! `REQUIRE_CONTROLPLANE=1` turns into a failure.
//!
//! A case is an `async fn(&Stage)` or `async fn(&mut Stage)` in the module of its subject, listed once, in that module's
//! `cases()`. Its stage is a namespace of its own, so that cases run side by side, with the operator that the list says.
//! The wrapper in `case` makes the stage, and stops the operator at the end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod admission;
mod applications;
mod aws_outage;
mod by_command;
mod case;
mod chart;
mod chart_render;
mod classes;
mod cleaned;
#[path = "../common/mod.rs"]
mod common;
mod controllers;
mod crd;
mod crd_life;
mod deletion;
mod demo;
mod doctor;
mod evidence;
mod examples;
mod faults;
mod feeds;
mod gitops;
mod guard;
mod injection;
mod kubectl;
mod leader;
mod log;
mod manifests;
mod merge;
mod models;
mod monitoring;
mod operator;
mod outages;
mod ownership;
mod preview;
mod probes;
mod published;
mod reasons;
mod residency;
mod restore;
mod rollout;
mod running;
mod scan;
mod secrets;
mod served;
mod several_models;
mod stage;
mod steady;
mod support;
mod suspended;
mod target_metadata;
mod targets;
mod traces;
mod upgrade;
mod withdrawn;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use support::{Cluster, ControlPlane, Unavailable};
use tokio::runtime::Runtime;

/// Cases in flight where `--test-threads` does not say: they wait for the apiserver most of the time.
const IN_FLIGHT: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(IN_FLIGHT);
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("the first TLS provider of this process");

    let suite = Suite {
        runtime: Arc::new(Runtime::new().expect("a runtime")),
        cluster: Arc::default(),
        cases: [
            admission::cases(),
            applications::cases(),
            aws_outage::cases(),
            by_command::cases(),
            chart::cases(),
            classes::cases(),
            cleaned::cases(),
            controllers::cases(),
            crd::cases(),
            crd_life::cases(),
            deletion::cases(),
            demo::cases(),
            doctor::cases(),
            evidence::cases(),
            examples::cases(),
            faults::cases(),
            feeds::cases(),
            gitops::cases(),
            guard::cases(),
            injection::cases(),
            kubectl::cases(),
            leader::cases(),
            log::cases(),
            manifests::cases(),
            merge::cases(),
            models::cases(),
            monitoring::cases(),
            outages::cases(),
            ownership::cases(),
            preview::cases(),
            probes::cases(),
            published::cases(),
            reasons::cases(),
            residency::cases(),
            restore::cases(),
            rollout::cases(),
            scan::cases(),
            secrets::cases(),
            several_models::cases(),
            served::cases(),
            steady::cases(),
            suspended::cases(),
            target_metadata::cases(),
            traces::cases(),
            upgrade::cases(),
            withdrawn::cases(),
        ]
        .concat(),
    };
    // Listing, or running other tests by name, needs no control plane.
    let selected = suite
        .trials(|_| false)
        .iter()
        .filter(|trial| !arguments.is_filtered_out(trial))
        .count();
    if arguments.list || selected == 0 {
        return libtest_mimic::run(&arguments, suite.trials(|_| false)).exit_code();
    }

    let required = std::env::var("REQUIRE_CONTROLPLANE").is_ok_and(|value| value == "1");
    let control_plane = match ControlPlane::start() {
        Ok(control_plane) => control_plane,
        Err(Unavailable::Absent) if !required => {
            let conclusion = libtest_mimic::run(&arguments, suite.trials(|_| true));
            eprintln!(
                "SKIPPED {selected} cases against a real apiserver: run dev/controlplane/build, or set KUBEBUILDER_ASSETS\n"
            );
            return conclusion.exit_code();
        }
        Err(Unavailable::Absent) => {
            eprintln!("FAILED: REQUIRE_CONTROLPLANE=1, and there is no control plane");
            return ExitCode::FAILURE;
        }
        Err(Unavailable::Failed) => return ExitCode::FAILURE,
    };
    let controllers = control_plane.has_controllers();
    if required && !controllers {
        eprintln!("FAILED: REQUIRE_CONTROLPLANE=1, and there is no kube-controller-manager");
        control_plane.stop();
        return ExitCode::FAILURE;
    }
    let cluster = suite.runtime.block_on(Cluster::connect(&control_plane));
    let minor = suite.runtime.block_on(minor(&cluster));
    suite.cluster.set(cluster).ok().expect("set once");
    let trials =
        suite.trials(|case| case.needs_controllers && !controllers || case.needs_minor > minor);
    let conclusion = libtest_mimic::run(&arguments, trials);
    control_plane.stop();
    conclusion.exit_code()
}

/// Returns the minor version of the apiserver: 30 of Kubernetes 1.30.
async fn minor(cluster: &Cluster) -> u32 {
    let version = cluster.client.apiserver_version().await.expect("a version");
    // Some providers append a plus sign.
    let digits = version
        .minor
        .trim_end_matches(|c: char| !c.is_ascii_digit());
    digits.parse().expect("a number")
}

/// The cases and what they run on.
struct Suite {
    runtime: Arc<Runtime>,
    cluster: Arc<OnceLock<Cluster>>,
    cases: Vec<Case>,
}

impl Suite {
    /// Returns the cases as the test runner takes them, some of them ignored.
    fn trials(&self, ignored: impl Fn(&Case) -> bool) -> Vec<Trial> {
        self.cases
            .iter()
            .cloned()
            .map(|case| {
                let (runtime, cluster) = (self.runtime.clone(), self.cluster.clone());
                let ignored = ignored(&case);
                Trial::test(case.name.clone(), move || {
                    let cluster = cluster
                        .get()
                        .ok_or_else(|| Failed::from("there is no control plane"))?;
                    runtime.block_on(case.run(cluster.clone()));
                    Ok(())
                })
                .with_ignored_flag(ignored)
            })
            .collect()
    }
}
