//! The texts behind `-f`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::problems::Problems;

/// Names of the file that makes a folder a kustomization.
const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Returns the files that a path names: itself, or the manifests in a folder, without those in folders of it.
pub(super) fn list(path: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    if path == Path::new("-") || !path.is_dir() {
        if is_kustomization(path) {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            problems.add(|| unbuilt(folder.unwrap_or(Path::new("."))));
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
        problems.add(|| unbuilt(path));
        return Vec::new();
    }
    if names.iter().any(|name| name.ends_with("Chart.yaml")) {
        problems.add(|| {
            format!(
                "{0} is a Helm chart: `helm template {0}` prints its manifests, and `-f -` reads them",
                path.display()
            )
        });
        return Vec::new();
    }
    names.retain(|name| {
        let end = name.extension().and_then(|end| end.to_str());
        end.is_some_and(|end| ["yaml", "yml", "json"].contains(&end)) && name.is_file()
    });
    names.sort();
    names
}

/// Says that a kustomization has to be built.
fn unbuilt(folder: &Path) -> String {
    format!(
        "{0} is a kustomization, which has to be built: `kubectl kustomize {0}` prints its manifests, and `-f -` reads them",
        folder.display()
    )
}

fn is_kustomization(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| KUSTOMIZATIONS.iter().any(|known| name == *known))
}

/// Returns what a file is called in messages.
pub(super) fn name(path: &Path) -> String {
    match path.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => path.display().to_string(),
    }
}

/// Returns the text of a file or of standard input, or what is wrong with it.
pub(super) fn text(path: &Path, limit: u64) -> Result<String, String> {
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
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("{name} is not UTF-8 text: see byte {at}")
    })
}

/// Reads to the end, or to the first byte beyond the limit.
fn bytes(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
