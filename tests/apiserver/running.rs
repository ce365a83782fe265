//! The program as a process on a stage: what it logs and what it serves.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::{common::program::PROGRAM, probes::terminate, stage::Stage, support::eventually};

/// A running program.
pub struct Running {
    pub program: Child,
    /// Where it serves.
    pub address: String,
    pub log: Log,
}

/// The lines that a program has logged.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }

    /// Returns how many lines have this text.
    pub fn count(&self, text: &str) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line.contains(text)).count()
    }
}

impl Running {
    /// Runs the program on the stage as a candidate for its Lease, with more arguments and variables.
    pub async fn start(stage: &Stage, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let kubeconfig = stage.cluster.kubeconfig();
        Self::start_with(kubeconfig, stage, arguments, environment).await
    }

    /// As [`Self::start`], with what another kubeconfig allows.
    pub async fn start_with(
        kubeconfig: &Path,
        stage: &Stage,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut program = Command::new(PROGRAM)
            .args(["run", "--region=eu-west-1", "--http-addr=127.0.0.1:0"])
            .args(["--namespace", &stage.namespace])
            .args(["--leader-elect", "--lease-namespace", &stage.namespace])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program runs");
        let log = Log::default();
        let (noted, stderr) = (log.clone(), program.stderr.take().expect("piped"));
        // A full pipe would hold it up.
        tokio::spawn(async move {
            let mut read = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = read.next_line().await {
                noted.0.lock().expect("not poisoned").push(line);
            }
        });
        let address = eventually("it says where it serves", || async {
            let lines = log.lines();
            let found = lines.iter().find_map(|line| line.split_once("address="));
            found
                .map(|(_, address)| address.trim().to_owned())
                .ok_or_else(|| log.lines())
        })
        .await;
        Self {
            program,
            address,
            log,
        }
    }

    /// Returns the lines of the log so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Returns how many lines of the log have these words.
    pub fn count(&self, words: &str) -> usize {
        self.log.count(words)
    }

    /// Waits until so many lines of the log have these words.
    pub async fn until_logged(&self, words: &str, times: usize) {
        eventually(&format!("{times} lines say {words:?}"), || async {
            if self.count(words) == times {
                Ok(())
            } else {
                Err(self.lines())
            }
        })
        .await;
    }

    /// Returns the warnings and errors in the log so far.
    pub fn problems(&self) -> Vec<String> {
        let of_level = |line: &String| line.contains(" WARN ") || line.contains("ERROR ");
        self.lines().into_iter().filter(of_level).collect()
    }

    /// Gets a path and returns status line, headers and body.
    pub async fn get(&self, path: &str) -> String {
        get_with(&self.address, path, "").await
    }

    /// Returns the sum of a metric that counts, over the series that have all of these labels, such as `kind="ConfigMap"`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let page = self.get("/metrics").await;
        let series = page.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Returns how many writes it has tried.
    pub async fn writes(&self) -> u64 {
        self.metric("inference_profile_operator_writes_total", &[])
            .await
    }

    /// Ends the program as kubelet does.
    pub async fn stop(mut self) {
        terminate(&mut self.program).await;
    }
}

/// Gets a path with more headers, each with the end of its line.
pub async fn get_with(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}
