//! The operator as a child process.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Failure,
    process::{Usage, usage},
};

/// Source region of all bindings.
pub const REGION: &str = "eu-west-1";

const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// How many of the last lines of its log are shown when it fails.
const LOG_LINES: usize = 20;

/// A running operator. It is killed when dropped.
pub struct Operator {
    child: Child,
    log: Log,
    /// Time from its start until it said that its watches are complete.
    pub synced_after: Duration,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Operator {
    /// Starts the operator for one namespace, and waits until its watches are complete.
    pub fn start(namespace: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_inference-profile-operator"))
            .args(["run", "--region", REGION, "--namespace", namespace])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = Log::default();
        let (synced, said) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            follow(stdout, log.clone(), synced.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            follow(stderr, log.clone(), synced);
        }
        let mut operator = Self {
            child,
            log,
            synced_after: Duration::ZERO,
        };
        match said.recv_timeout(START_LIMIT) {
            Ok(at) => operator.synced_after = at - started,
            Err(_) => {
                return Err(operator.failed("the operator did not say `synced` after its start"));
            }
        }
        Ok(operator)
    }

    /// Returns what it has used until now.
    pub fn usage(&self) -> Result<Usage, Failure> {
        usage(self.child.id())
    }

    /// Says what failed, with the end of the operator's log.
    pub fn failed(&self, what: impl std::fmt::Display) -> Failure {
        format!("{what}; the last lines of its log:\n{}", self.log.text()).into()
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        if !asked.success() {
            return Err(self.failed("the operator is not there any more"));
        }
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(self.failed(format!("asked to end, the operator ended with {status}")))
                };
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(self.failed("the operator did not end when asked to"))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // Fails where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps the end of an output, and says when `synced` stood in it.
fn follow(output: impl Read + Send + 'static, log: Log, synced: mpsc::Sender<Instant>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line.contains("synced") {
                // Nobody listens after the first time.
                let _ = synced.send(Instant::now());
            }
            log.push(line);
        }
    });
}
