//! The operator as a child process.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    Failure,
    process::{Usage, usage},
    stand_in::Aws,
};

/// The program that is measured.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_inference-profile-operator");

/// Source region of all bindings.
pub const REGION: &str = "eu-west-1";

const START_LIMIT: Duration = Duration::from_mins(3);
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// How many of the last lines of its log are shown when it fails.
const LOG_LINES: usize = 8;
/// How much of each of them.
const LOG_CHARACTERS: usize = 300;

/// A running operator. It is killed when dropped.
pub struct Operator {
    child: Child,
    log: Log,
    /// Where it serves its metrics.
    address: SocketAddr,
    /// Time from its start until it said that its watches are complete.
    pub synced_after: Duration,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(LOG_CHARACTERS).collect());
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
    /// Starts a replica of the operator for these namespaces, and waits until its watches are complete. Its Lease is in the first one.
    pub async fn start(
        aws: &Aws,
        namespaces: &[&str],
        refresh_interval: &str,
    ) -> Result<Self, Failure> {
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let started = Instant::now();
        let mut child = Command::new(PROGRAM)
            .args(["run", "--region", REGION, "--leader-elect"])
            .args(["--refresh-interval", refresh_interval])
            .args(["--http-addr", &address.to_string()])
            .args(["--lease-namespace", namespaces.first().unwrap_or(&"")])
            .args(namespaces.iter().flat_map(|it| ["--namespace", it]))
            .envs(aws.environment())
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
            address,
            synced_after: Duration::ZERO,
        };
        match tokio::task::spawn_blocking(move || said.recv_timeout(START_LIMIT)).await? {
            Ok(at) => operator.synced_after = at - started,
            Err(_) => {
                return Err(operator.failed("the operator did not say `synced` after its start"));
            }
        }
        Ok(operator)
    }

    /// Waits until it is the leader.
    pub async fn leads(&self) -> Result<(), Failure> {
        let waited = timeout(START_LIMIT, async {
            while self.metric("leader_election_master_status").await? == 0 {
                sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        });
        waited
            .await
            .unwrap_or_else(|_| Err(self.failed("the operator did not become the leader")))
    }

    /// Returns how many bindings it has visited until now.
    pub async fn visits(&self) -> Result<u64, Failure> {
        self.metric("controller_runtime_reconcile_total").await
    }

    /// Returns the sum of a metric over all labels.
    async fn metric(&self, name: &str) -> Result<u64, Failure> {
        let mut connection = TcpStream::connect(self.address).await?;
        connection
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .await?;
        let mut page = String::new();
        connection.read_to_string(&mut page).await?;
        let values = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let of_name = series.split('{').next() == Some(name);
            of_name.then(|| value.parse::<u64>().ok())?
        });
        Ok(values.sum())
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
            log.push(&line);
        }
    });
}
