//! The texts behind `-f`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    other_formats::{self, Reading},
    problems::Problems,
};

/// The file that makes a folder a Helm chart.
const CHART: &str = "Chart.yaml";
/// Most folders that are named where a folder has no manifests itself.
const NAMED: usize = 3;

/// What standard input is called in messages.
pub(super) const STANDARD_INPUT: &str = "standard input";
/// Names of the file that makes a folder a kustomization.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Returns the files that a path names: itself, or the manifests in a folder, without those in folders of it.
pub(super) fn list(path: &Path, reading: Reading, problems: &mut Problems) -> Vec<PathBuf> {
    if path == Path::new("-") || !path.is_dir() {
        let folder = path.parent().unwrap_or(Path::new(""));
        if is_kustomization(path) {
            problems.add(|| unbuilt(path, folder, reading));
            return Vec::new();
        }
        if path.ends_with(CHART) && path.is_file() {
            problems.add(|| unrendered(path, folder, reading));
            return Vec::new();
        }
        return vec![path.to_owned()];
    }
    let names = fs::read_dir(path).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<PathBuf>>>()
    });
    let mut names = match names {
        Ok(names) => names,
        Err(error) => {
            problems.add(|| format!("{} can't be read: {error}", path.display()));
            return Vec::new();
        }
    };
    if names.iter().any(|name| is_kustomization(name)) {
        problems.add(|| unbuilt(path, path, reading));
        return Vec::new();
    }
    if names.iter().any(|name| name.ends_with(CHART)) {
        problems.add(|| unrendered(path, path, reading));
        return Vec::new();
    }
    names.retain(|name| is_manifest(name));
    names.sort();
    names
}

/// Says that a kustomization has to be built.
fn unbuilt(path: &Path, folder: &Path, reading: Reading) -> String {
    format!(
        "{} is a kustomization, which has to be built: {}",
        path.display(),
        reading.kustomize(Some(folder))
    )
}

/// Says that a Helm chart has to be rendered.
fn unrendered(path: &Path, chart: &Path, reading: Reading) -> String {
    format!(
        "{} is a Helm chart, which has to be rendered: {}",
        path.display(),
        reading.helm_template(Some(chart))
    )
}

/// Returns the Helm chart that a file belongs to: the nearest folder of its path with a `Chart.yaml`.
pub(super) fn chart_of(path: &Path) -> Option<&Path> {
    path.ancestors()
        .skip(1)
        .find(|folder| folder.join(CHART).is_file())
}

/// Says that a folder has no manifests, and which folders there are in it.
pub(super) fn no_manifests(folder: &Path) -> String {
    let head = format!("{} has no *.yaml, *.yml or *.json files", folder.display());
    match folders_in(folder, |_| true) {
        None => head,
        Some(names) => {
            format!("{head}, and folders in it are not read: give them, too: {names}")
        }
    }
}

/// Says which folders in a folder have manifests, which are not read. Returns `None` if there are none.
pub(super) fn passed_over(path: &Path) -> Option<String> {
    let has_manifests = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .any(|name| is_manifest(&name))
    };
    let names = folders_in(path, has_manifests)?;
    Some(format!(
        "{}: folders in it are not read: give them, too, by -f: {names}",
        path.display()
    ))
}

/// Returns the first folders in a folder that a test holds for, and how many more there are, or `None` if there are none.
fn folders_in(folder: &Path, test: impl Fn(&Path) -> bool) -> Option<String> {
    if !folder.is_dir() {
        return None;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut inner: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && test(path))
        .collect();
    inner.sort();
    if inner.is_empty() {
        return None;
    }
    let more = inner.len().saturating_sub(NAMED);
    inner.truncate(NAMED);
    let names: Vec<String> = inner
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let names = names.join(", ");
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    Some(names + &more)
}

fn is_manifest(name: &Path) -> bool {
    let end = name.extension().and_then(|end| end.to_str());
    end.is_some_and(|end| ["yaml", "yml", "json"].contains(&end)) && name.is_file()
}

fn is_kustomization(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| KUSTOMIZATIONS.iter().any(|known| name == *known))
}

/// Returns what a file is called in messages.
pub(super) fn name(path: &Path) -> String {
    match path.to_str() {
        Some("-") => STANDARD_INPUT.to_owned(),
        _ => path.display().to_string(),
    }
}

/// Returns the text of a file or of standard input, or what is wrong with it.
pub(super) fn text(path: &Path, limit: u64, reading: Reading) -> Result<String, String> {
    let read = if path == Path::new("-") {
        bytes(io::stdin(), limit)
    } else {
        File::open(path).and_then(|file| bytes(file, limit))
    };
    let name = name(path);
    let bytes = read.map_err(|error| format!("{name} can't be read: {error}"))?;
    if bytes.len() as u64 > limit {
        return Err(format!("{name} has more than {limit} bytes: split it"));
    }
    if let Some(problem) = other_formats::not_utf8(&bytes, path, reading) {
        return Err(format!("{name} {problem}"));
    }
    String::from_utf8(bytes).map_err(|error| format!("{name} can't be read: {error}"))
}

/// Reads to the end, or to the first byte beyond the limit.
fn bytes(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
