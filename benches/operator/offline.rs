//! What needs no cluster: `render` and `preview` of files, and the start of the program.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Failure,
    cluster::{MODEL, MODEL_OF_FEW},
    figures::Record,
    operator::{PROGRAM, REGION},
    process::cpu_of_children,
};

/// How often a command is timed.
const TIMES: u32 = 5;
/// How often the start of the program is timed.
const STARTS: u32 = 50;

/// Times the commands on files with so many bindings.
pub fn measure(bindings: usize, record: &mut Record<'_>) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let (old, new) = (
        folder.path().join("old.yaml"),
        folder.path().join("new.yaml"),
    );
    fs::write(&old, manifests(bindings, MODEL))?;
    fs::write(&new, manifests(bindings, MODEL_OF_FEW))?;
    let path = |path: &Path| path.display().to_string();
    let (old, new) = (&path(&old), &path(&new));
    let catalog = ["--catalog", "embedded", "--region", REGION];

    let render = [&["render", "-f", old][..], &catalog].concat();
    note("render", TIMES, &render, record)?;
    let preview = [&["preview", "-f", new, "--against", old][..], &catalog].concat();
    note("preview", TIMES, &preview, record)?;
    note("start", STARTS, &["--version"], record)
}

/// Returns bindings as people write them.
fn manifests(bindings: usize, model: &str) -> String {
    let mut text = String::new();
    for number in 0..bindings {
        let _ = write!(
            text,
            "---\n\
             apiVersion: inferenceprofiles.dev/v1alpha1\n\
             kind: InferenceProfileBinding\n\
             metadata:\n  name: chat-{number}\n  namespace: team-{}\n\
             spec:\n  model: {model}\n  geography: eu\n  allowedRegions: [\"@eu\"]\n",
            number % 100
        );
    }
    text
}

/// Runs a command several times, and notes how long it took, and its CPU time at the mean.
fn note(
    name: &str,
    times: u32,
    arguments: &[&str],
    record: &mut Record<'_>,
) -> Result<(), Failure> {
    let mut took: Vec<f64> = Vec::new();
    let before = cpu_of_children()?;
    for _ in 0..times {
        let nowhere = File::create("/dev/null")?;
        let began = Instant::now();
        let output = Command::new(PROGRAM)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(nowhere)
            .stderr(Stdio::piped())
            .output()?;
        took.push(began.elapsed().as_secs_f64());
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{name} ended with {}: {said}", output.status).into());
        }
    }
    let cpu: Duration = cpu_of_children()?.saturating_sub(before) / times;
    record.note(&format!("offline.{name}.seconds"), took)?;
    record.note(&format!("offline.{name}.cpuSeconds"), cpu.as_secs_f64())
}
