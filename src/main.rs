//! The program `inference-profile-operator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("crd") {
        eprintln!("usage: inference-profile-operator crd");
        return ExitCode::from(2);
    }
    let crd = inference_profile_operator::api::custom_resource_definition();
    match serde_yaml::to_string(&crd) {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the CRD could not be printed as YAML: {error}");
            ExitCode::FAILURE
        }
    }
}
