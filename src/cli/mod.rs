//! The command line: what puts the program together, and the only place that prints.
//!
//! Each command is a file or folder. What several share stands beside them: `options`, `catalogs` (what a source listed),
//! `output` (for programs) and `tables` (for people).

mod catalog;
mod catalogs;
mod change;
mod cluster;
mod complete;
mod doctor;
mod evidence;
mod explain;
mod iam_policy;
mod input;
mod options;
mod output;
mod preview;
mod render;
mod run;
mod scan;
mod served_regions;
mod status;
mod tables;

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};

use self::change::Change;
use crate::{api, catalog::CatalogError};

/// The exit code if a binding is not Ready or not shown to be within its limits, a request is not supported, a policy denies
/// one, an edit would cost a binding its Ready or its value, or a scan found what it was to fail on.
const NOT_READY: u8 = 3;
/// The exit code if a request was served outside of the destinations that are known, or of a limit.
const SERVED_OUTSIDE: u8 = 4;
/// The exit code for bad input.
const BAD_INPUT: u8 = 2;

/// Finds the system-defined Amazon Bedrock inference profiles that workloads use, and writes their IDs into ConfigMaps
/// and Secrets.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 all is well; 1 something failed; 2 bad input; 3 a binding is not Ready or not shown to be within its limits, a request is not supported, a policy denies one, an edit would cost a binding its Ready or its value, or a scan found what it was to fail on; 4 a request was served where it must not be.\n\nInstalled as kubectl-ipb on PATH, the same commands are `kubectl ipb ...`."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the controller in, or beside, a cluster
    Run(Box<run::RunArgs>),
    /// Prints what the controller would write for bindings in files, without a cluster
    Render(render::RenderArgs),
    /// Says which profile serves a model from a region, and why the other candidates do not
    Explain(explain::ExplainArgs),
    /// Says what an edit of classes, bindings and Namespaces would do to a cluster, before it is applied
    Preview(Box<preview::PreviewArgs>),
    /// Reports the route of every binding in a cluster, the limits on it, and the verdict, for auditors
    Evidence(evidence::EvidenceArgs),
    /// Shows a binding of a cluster on one page: what it asks for, what it has, and why
    Status(Box<status::StatusArgs>),
    /// Has the operator list the catalog of a binding now
    Refresh(change::ChangeArgs),
    /// Leaves the targets and workloads of a binding as they are, until it is resumed
    Suspend(change::ChangeArgs),
    /// Ends the suspension of a binding
    Resume(change::ChangeArgs),
    /// Checks what the operator and its commands need, in AWS and in the cluster, and says what to do
    Doctor(Box<doctor::DoctorArgs>),
    /// Finds hard-coded models, profiles and ARNs in files or in a cluster, and says what is wrong with them
    Scan(Box<scan::ScanArgs>),
    /// Shows and exports what can be called from where
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Prints the least-privilege IAM policy of workloads, or says what service control policies deny them
    IamPolicy(iam_policy::IamPolicyArgs),
    /// Says where requests were served, from Bedrock's logs, and which should not have been served there
    ServedRegions(Box<served_regions::ServedRegionsArgs>),
    /// Prints the custom resource definitions
    #[command(
        after_help = "Example:\n  inference-profile-operator crd | kubectl apply --server-side -f -"
    )]
    Crd,
    /// Prints completions for a shell, or for kubectl
    Completions(complete::CompletionsArgs),
    /// Completes a command line for kubectl
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option or an input is wrong.
    #[error("{0}")]
    BadInput(String),
    /// Something is wrong with the manifests that were given.
    #[error(transparent)]
    Input(#[from] input::Problems),
    /// Manifests can't be checked.
    #[error("manifests can't be checked by the schema of bindings")]
    Validation(#[from] api::validation::Error),
    /// A file can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file can't be written.
    #[error("{path} can't be written")]
    Unwritable {
        /// The file or directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The catalog can't be listed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// No cluster can be reached.
    #[error("no cluster can be reached: check KUBECONFIG or the service account")]
    Cluster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cluster did not list what a report needs.
    #[error("{what} can't be listed: check that the cluster answers, and that you may list them")]
    Listing {
        /// What was asked for.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cluster did not show an object.
    #[error("{what} can't be read: check that the cluster answers, and that you may get it")]
    Reading {
        /// What was asked for.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cluster did not take a change.
    #[error("{what} can't be changed: check that the cluster answers, and that you may patch it")]
    Change {
        /// What was to be changed.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cluster took a change otherwise than it was meant.
    #[error("{0}")]
    NotTaken(String),
    /// The user interrupted a command that had something to clean up.
    #[error("{0}")]
    Interrupted(String),
    /// The controller ended.
    #[error("the controller ended")]
    Controller(#[from] crate::controller::ControllerError),
    /// Traces can't be sent.
    #[error("traces can't be sent to --otlp-endpoint")]
    Traces(#[source] crate::traces::StartError),
    /// The endpoints can't be served.
    #[error(
        "/healthz, /readyz and /metrics can't be served on {address}: choose another --http-addr"
    )]
    Endpoints {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The task of the leader election ended.
    #[error("the leader election ended unexpectedly")]
    ElectionEnded,
    /// The output can't be written.
    #[error("the output can't be written")]
    Output(#[from] io::Error),
}

impl Error {
    /// Returns the exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadInput(_)
            | Self::Input(_)
            | Self::Unreadable { .. }
            | Self::Catalog(CatalogError::SnapshotInvalid(_)) => BAD_INPUT,
            Self::Unwritable { .. }
            | Self::Validation(_)
            | Self::Catalog(_)
            | Self::Cluster(_)
            | Self::Listing { .. }
            | Self::Reading { .. }
            | Self::Change { .. }
            | Self::NotTaken(_)
            | Self::Interrupted(_)
            | Self::Controller(_)
            | Self::Traces(_)
            | Self::Endpoints { .. }
            | Self::ElectionEnded
            | Self::Output(_) => 1,
        }
    }
}

/// Runs the command and returns the exit code. An error is printed once, to standard error, with its causes.
pub async fn main() -> ExitCode {
    // Boxed: the futures of all commands together are too large for the stack of a thread.
    let outcome = Box::pin(execute(Cli::parse().command)).await;
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let lines: Vec<String> = chain(&error).lines().map(printable).collect();
            eprintln!("error: {}", lines.join("\n"));
            ExitCode::from(error.exit_code())
        }
    }
}

async fn execute(command: Command) -> Result<u8, Error> {
    let mut out = io::stdout().lock();
    match command {
        Command::Run(args) => {
            drop(out);
            Box::pin(run::run(*args)).await
        }
        Command::Render(args) => render::run(args, &mut out, &mut io::stderr()).await,
        Command::Explain(args) => explain::run(args, &mut out, &mut io::stderr()).await,
        Command::Preview(args) => Box::pin(preview::run(*args, &mut out, &mut io::stderr())).await,
        Command::Evidence(args) => evidence::run(args, &mut out, &mut io::stderr()).await,
        Command::Doctor(args) => Box::pin(doctor::run(*args, &mut out)).await,
        Command::Scan(args) => scan::run(*args, &mut out, &mut io::stderr()).await,
        Command::Catalog(command) => {
            catalog::run(command, &mut out, &mut io::stderr()).await?;
            Ok(0)
        }
        Command::IamPolicy(args) => iam_policy::run(args, &mut out, &mut io::stderr()).await,
        Command::ServedRegions(args) => {
            served_regions::run(*args, &mut out, &mut io::stderr()).await
        }
        Command::Crd => {
            for definition in [api::binding_definition(), api::class_definition()] {
                write!(out, "---\n{}", output::yaml(&definition)?)?;
            }
            Ok(0)
        }
        Command::Status(args) => Box::pin(status::run(*args, &mut out, &mut io::stderr())).await,
        Command::Refresh(args) => {
            change::run(args, Change::Refresh, &mut out, &mut io::stderr()).await
        }
        Command::Suspend(args) => {
            change::run(args, Change::Suspend, &mut out, &mut io::stderr()).await
        }
        Command::Resume(args) => {
            change::run(args, Change::Resume, &mut out, &mut io::stderr()).await
        }
        Command::Completions(args) => {
            complete::script(&args, Cli::command(), &mut out)?;
            Ok(0)
        }
        Command::Complete(args) => {
            complete::candidates(&args, Cli::command(), &mut out)?;
            Ok(0)
        }
    }
}

/// Joins an error and its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = cluster::in_words(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cluster::in_words(cause);
        // Some libraries' errors repeat their causes.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Returns a text as one line that moves no cursor, colours nothing and turns no line around: names of files, and what is in
/// them, are those of others.
fn printable(text: &str) -> String {
    let turns_around = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns_around(c) || matches!(c, '\u{2028}' | '\u{2029}') {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_has_no_control_characters() {
        assert_eq!(
            printable("\u{1b}[31mä\u{301}\n\u{202e}b\u{85} \"c\".yaml"),
            "\\u{1b}[31mä\u{301}\\n\\u{202e}b\\u{85} \"c\".yaml"
        );
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Help is wrapped to the terminal: a line that breaks by itself breaks twice there, and an example that is
    /// wrapped can't be pasted. No terminal is taken to be wider than 100.
    #[test]
    fn help_fits_a_terminal() {
        fn commands(command: &clap::Command) -> Vec<&clap::Command> {
            let inner = command.get_subcommands().flat_map(commands);
            [command].into_iter().chain(inner).collect()
        }
        let all = Cli::command();
        let mut seen = 0;
        for command in commands(&all) {
            let help = command.get_after_help().map(ToString::to_string);
            for paragraph in help.iter().flat_map(|help| help.split("\n\n")) {
                seen += 1;
                let name = command.get_name();
                if paragraph.starts_with("Example") {
                    let long = paragraph.lines().find(|line| line.len() > 100);
                    assert_eq!(long, None, "{name}");
                } else {
                    assert_eq!(paragraph.lines().count(), 1, "{name}: {paragraph}");
                }
            }
        }
        assert!(seen > 20, "{seen}");
    }
}
