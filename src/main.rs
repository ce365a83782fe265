//! The program `inference-profile-operator`.

use std::{error::Error as _, io, process::ExitCode};

use clap::{Parser, Subcommand};
use inference_profile_operator::cli::catalog::{self, CatalogCommand, Error};

/// Finds system-defined Amazon Bedrock inference profiles.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show and export what can be called from where
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Catalog(command) = Cli::parse().command;
    match catalog::run(command, &mut io::stdout(), &mut io::stderr()).await {
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::from(error.exit_code())
        }
    }
}
