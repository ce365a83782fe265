//! Processes that the suite starts, stops, continues and kills. Each ends with its value, and with the suite.

use std::{fs::OpenOptions, path::Path, process::Stdio};

use tokio::process::{Child, Command};

use crate::Outcome;

/// A running process.
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts a program, whose output is appended to a log.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, String)],
        log: &Path,
    ) -> Result<Self, String> {
        let failed = |error| format!("{name} can't be started: {error}");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(failed)?;
        // With setpriv (util-linux) it ends even where the suite is killed outright.
        let tied = Path::new("/usr/bin/setpriv");
        let mut command = if tied.exists() {
            let mut command = Command::new(tied);
            command.args(["--pdeathsig", "KILL"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Sends a signal, such as `STOP` or `CONT`.
    pub async fn signal(&self, signal: &str) -> Outcome {
        let id = self.child.id().ok_or(format!("{} has ended", self.name))?;
        let sent = Command::new("kill")
            .args([format!("-{signal}"), id.to_string()])
            .status()
            .await;
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("{signal} did not reach {}: {other:?}", self.name)),
        }
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub async fn kill(&mut self) {
        // Fails where it has ended already.
        let _ = self.child.kill().await;
    }

    /// Says whether it runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}
