//! Programs that run to their end: the one under test, and tools.

use std::{
    io::{ErrorKind, Write},
    process::{Command, Stdio},
};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_inference-profile-operator");

/// How a program ended.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Returns how a command ends that gets a text as its stdin.
    pub fn of(command: &mut Command, stdin: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
        let mut pipe = child.stdin.take().expect("piped");
        match pipe.write_all(stdin.as_bytes()) {
            // A program that reads no stdin may be gone by now.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.expect("written"),
        }
        drop(pipe);
        let output = child.wait_with_output().expect("it ends");
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// As [`Output::of`], while other tasks go on.
    pub async fn awaited(mut command: Command, stdin: &str) -> Self {
        let stdin = stdin.to_owned();
        tokio::task::spawn_blocking(move || Self::of(&mut command, &stdin))
            .await
            .expect("the command was run")
    }

    /// Returns what was printed, where the program succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }
}
