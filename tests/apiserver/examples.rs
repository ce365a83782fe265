//! The manifests of examples/: each is applied as it stands.

use std::path::{Path, PathBuf};

use crate::support::{Case, ROOT, case};

pub fn cases() -> Vec<Case> {
    manifests()
        .into_iter()
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            case(format!("examples::applies_{name}"), move |cluster| {
                let path = path.to_string_lossy().into_owned();
                async move {
                    let namespace = cluster.namespace("examples").await;
                    let applied = cluster
                        .kubectl(&["apply", "-n", &namespace, "-f", &path])
                        .await
                        .ok();
                    assert!(
                        applied.contains("inferenceprofilebinding.inferenceprofiles.dev/"),
                        "{path} holds no binding: {applied}"
                    );
                }
            })
        })
        .collect()
}

fn manifests() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Path::new(ROOT)
        .join("examples")
        .read_dir()
        .expect("examples/")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    paths
}
