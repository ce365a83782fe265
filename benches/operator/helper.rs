//! Parts of the benchmark that are processes of their own: this program again, that answers each line with a line.

use std::process::Stdio;

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    Failure,
    process::{Usage, usage},
};

/// A running process. It is killed when dropped.
pub struct Process {
    name: &'static str,
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program with a subcommand.
    pub fn start(name: &'static str) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("unreachable: both were asked for".into());
        };
        Ok(Self {
            name,
            child,
            requests,
            answers: BufReader::new(answers).lines(),
        })
    }

    /// Sends a request and awaits its answer.
    pub async fn ask<A: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
    ) -> Result<A, Failure> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.requests.write_all(&line).await?;
        let answer = self.answers.next_line().await?;
        let answer = answer.ok_or_else(|| format!("the process {} has ended", self.name))?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Returns what it has used until now.
    pub fn usage(&self) -> Result<Usage, Failure> {
        usage(self.child.id().ok_or("the process has ended")?)
    }
}

/// Answers the lines of stdin, until it ends.
pub async fn answer<R, A, F>(mut work: impl FnMut(R) -> F) -> Result<(), Failure>
where
    R: DeserializeOwned,
    A: Serialize,
    F: Future<Output = Result<A, Failure>>,
{
    while let Some(request) = next_line().await? {
        let answer = work(serde_json::from_str(&request)?).await?;
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

/// Returns the next line of stdin, while other tasks go on.
async fn next_line() -> Result<Option<String>, Failure> {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().lines().next().transpose());
    Ok(read.await??)
}
