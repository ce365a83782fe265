//! A replica of the operator: the program itself, as a process, with a user and a way to the apiserver of its own.

use std::path::{Path, PathBuf};

use crate::{
    Outcome,
    bindings::REGION,
    clock::MovedClock,
    controlplane::{ControlPlane, REPLICAS},
    process::Process,
    wire::Wire,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_inference-profile-operator");
/// Namespace of the Lease.
pub const LEASE_NAMESPACE: &str = "chaos-system";
/// Where etcd has the Lease.
pub const LEASE_KEY: &str = "/registry/leases/chaos-system/inference-profile-operator";

/// A replica, running or not.
pub struct Replica {
    pub user: &'static str,
    pub wire: Wire,
    kubeconfig: PathBuf,
    folder: PathBuf,
    bedrock: String,
    pub process: Option<Process>,
    /// The clock that it sees; None for the machine's.
    pub clock: Option<MovedClock>,
}

impl Replica {
    /// Prepares one of the two, without starting it.
    pub async fn new(plane: &ControlPlane, number: usize, bedrock: &str) -> Result<Self, String> {
        let user = REPLICAS[number];
        let wire = Wire::to(plane.api_port).await?;
        Ok(Self {
            user,
            kubeconfig: plane.kubeconfig(user, wire.port, user)?,
            wire,
            folder: plane.folder.clone(),
            bedrock: bedrock.to_owned(),
            process: None,
            clock: None,
        })
    }

    /// Starts it.
    pub fn start(&mut self) -> Outcome {
        let arguments = [
            "run",
            "--leader-elect",
            "--lease-namespace",
            LEASE_NAMESPACE,
            "--lease-identity",
            self.user,
            "--region",
            REGION,
            "--refresh-interval=2s",
            "--enable-secrets",
            "--enable-rollout",
            // Workloads need not take turns: how long these take is not what is measured.
            "--concurrent-rollouts=64",
        ];
        let mut environment = vec![
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("AWS_ENDPOINT_URL_BEDROCK", self.bedrock.clone()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        environment.extend(self.clock.iter().flat_map(MovedClock::environment));
        let log = self.folder.join(format!("{}.log", self.user));
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        self.process = Some(Process::start(
            self.user,
            Path::new(PROGRAM),
            &arguments,
            &environment,
            &log,
        )?);
        Ok(())
    }

    /// Kills it, as `kill -9` does.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Sends it a signal.
    pub async fn signal(&self, signal: &str) -> Outcome {
        self.process
            .as_ref()
            .ok_or(format!("{} does not run", self.user))?
            .signal(signal)
            .await
    }
}
