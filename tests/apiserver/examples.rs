//! The manifests of examples/ and examples/app/: each is applied as it stands.

use std::path::{Path, PathBuf};

use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    case::{Case, case},
    stage::{Stage, embedded, empty},
    support::ROOT,
};

pub fn cases() -> Vec<Case> {
    let examples = manifests("examples").into_iter().map(|path| {
        case!(
            empty,
            format!("applies_{}", stem(&path)),
            applies(path.clone())
        )
    });
    let applications = manifests("examples/app").into_iter().map(|path| {
        let name = format!("gives_{}_what_it_needs", stem(&path));
        case!(embedded, name, gives(path.clone()))
    });
    examples.chain(applications).collect()
}

async fn applies(stage: &Stage, path: PathBuf) {
    let path = path.to_string_lossy();
    let applied = stage
        .cluster
        .kubectl(&["apply", "-n", &stage.namespace, "-f", &path])
        .await
        .ok();
    assert!(
        applied.contains("inferenceprofilebinding.inferenceprofiles.dev/"),
        "{path} holds no binding: {applied}"
    );
}

/// Applies an application where restricted pods alone are welcome, and looks for what its pods refer to.
async fn gives(stage: &Stage, path: PathBuf) {
    let path = path.to_string_lossy();
    warn_of_unrestricted_pods(stage).await;
    let arguments = ["apply", "-n", &stage.namespace, "-f", &path];
    for more in [&["--dry-run=server"][..], &[]] {
        let applied = stage
            .cluster
            .kubectl(&[&arguments[..], more].concat())
            .await;
        assert_eq!(applied.stderr, "", "{path}");
        applied.ok();
    }

    let bindings = stage.bindings().list(&ListParams::default()).await;
    let bindings = bindings.expect("the bindings").items;
    assert!(!bindings.is_empty(), "{path} holds no binding");
    for binding in &bindings {
        let name = binding.metadata.name.as_deref().expect("a name");
        stage.until(name, "Ready", "True", Reason::Bound).await;
    }
    let deployments = Api::<Deployment>::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let deployments = deployments.list(&ListParams::default()).await;
    let [deployment] = &deployments.expect("the Deployments").items[..] else {
        panic!("{path} holds not one Deployment")
    };
    let read = config_maps_of(deployment);
    assert!(!read.is_empty(), "{path}: the pods read no ConfigMap");
    for (name, key) in read {
        let data = stage.object(&name).await.data.unwrap_or_default();
        if let Some(key) = key {
            assert!(
                data.contains_key(&key),
                "{path}: {name} has no {key}: {data:?}"
            );
        }
    }
}

/// Makes kubectl say where a pod, or a Deployment's, is not what the restricted standard wants.
async fn warn_of_unrestricted_pods(stage: &Stage) {
    let labels = json!({"pod-security.kubernetes.io/warn": "restricted"});
    Api::<Namespace>::all(stage.cluster.client.clone())
        .patch(
            &stage.namespace,
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"labels": labels}})),
        )
        .await
        .expect("labelled");
}

/// Returns the names of the `ConfigMaps` that the pods of a Deployment read, each with the key, where they name one.
fn config_maps_of(deployment: &Deployment) -> Vec<(String, Option<String>)> {
    let spec = deployment.spec.as_ref().expect("a spec");
    let pod = spec.template.spec.as_ref().expect("a pod");
    let containers = || pod.containers.iter();
    let environment = containers()
        .flat_map(|container| container.env_from.iter().flatten())
        .filter_map(|source| Some((source.config_map_ref.as_ref()?.name.clone(), None)));
    let keys = containers()
        .flat_map(|container| container.env.iter().flatten())
        .filter_map(|variable| {
            let reference = variable.value_from.as_ref()?.config_map_key_ref.as_ref()?;
            Some((reference.name.clone(), Some(reference.key.clone())))
        });
    let volumes = pod.volumes.iter().flatten();
    let mounted =
        volumes.filter_map(|volume| Some((volume.config_map.as_ref()?.name.clone(), None)));
    environment.chain(keys).chain(mounted).collect()
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().expect("a name");
    stem.to_string_lossy().into_owned()
}

/// Returns the manifests in a folder of the project.
pub fn manifests(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Path::new(ROOT)
        .join(folder)
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    paths.sort();
    paths
}
