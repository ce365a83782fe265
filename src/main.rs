//! The program `inference-profile-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The AWS SDK and the Kubernetes client bring rustls without agreeing on its cryptography: without a choice, made
    // before either opens a connection, rustls panics.
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        eprintln!("error: the TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(inference_profile_operator::cli::main()),
        Err(error) => {
            eprintln!("error: the runtime can't start: {error}");
            ExitCode::FAILURE
        }
    }
}
