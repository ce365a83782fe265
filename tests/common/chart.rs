//! The chart, as Helm renders it.

use std::{fs, path::Path, process::Command};

use super::program::Output;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The chart, from the root of the project.
pub const CHART: &str = "charts/inference-profile-operator";

/// Runs a tool in the root of the project, with a text as its stdin. Its settings are its own, not those of the machine.
pub fn run(tool: &Path, arguments: &[&str], stdin: &str) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(tool);
    command
        .args(arguments)
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .current_dir(ROOT);
    Output::of(&mut command, stdin)
}

/// Returns what a release of the chart gives for these values, in YAML; or what Helm says against them.
pub fn rendered(
    helm: &Path,
    release: &str,
    namespace: &str,
    values: &str,
) -> Result<String, String> {
    let arguments = [
        "template",
        release,
        CHART,
        "--namespace",
        namespace,
        "--values",
        "-",
        // This command asks no cluster.
        "--api-versions",
        "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy,monitoring.coreos.com/v1/PrometheusRule,monitoring.coreos.com/v1/ServiceMonitor",
    ];
    let output = run(helm, &arguments, values);
    if output.code == Some(0) {
        Ok(output.stdout)
    } else {
        Err(output.stderr)
    }
}

/// Returns the sets of values that the tests know, and those that the chart shows, by name.
pub fn sets_of_values() -> Vec<(String, String)> {
    let mut sets: Vec<(String, String)> = ["tests/chart", &format!("{CHART}/examples")]
        .iter()
        .flat_map(|folder| fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder"))
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy();
            let text = fs::read_to_string(&path).expect("values");
            (name.into_owned(), text)
        })
        .collect();
    sets.sort();
    sets
}
