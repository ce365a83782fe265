//! The bare client: the necessary writes and nothing else, with the content that the operator writes.

use std::time::Instant;

use inference_profile_operator::api::{
    InferenceProfileBinding, InferenceProfileBindingStatus, names,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::{
    Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
};
use serde_json::{Value, json};

use crate::{
    Failure,
    cluster::{self, Cluster, within},
};

/// Key of the `ConfigMaps` that the rewrites change.
pub const DESTINATIONS_KEY: &str = "BEDROCK_DESTINATION_REGIONS";

/// What the operator writes for one binding.
pub struct Sample {
    pub config_map: ConfigMap,
    pub status: InferenceProfileBindingStatus,
}

/// Creates bindings and makes each ready: create it, create its `ConfigMap`, apply its status. Returns when it began.
pub async fn create(
    cluster: &Cluster,
    namespace: &str,
    bindings: usize,
    in_flight: usize,
    sample: &Sample,
) -> Result<Instant, Failure> {
    let began = Instant::now();
    cluster::in_flight(in_flight, 0..bindings, |number| async move {
        let binding = cluster.create(namespace, &cluster::name(number)).await?;
        let mut body = config_map(namespace, &binding, &sample.config_map);
        body["metadata"]["resourceVersion"] = json!("1");
        let uid = apply_config_map(cluster, namespace, &binding.name_any(), &body).await?;
        let mut status = sample.status.clone();
        for target in &mut status.targets {
            target.name = binding.name_any();
            target.uid.clone_from(&uid);
        }
        apply_status(cluster, namespace, &binding, &status).await
    })
    .await?;
    Ok(began)
}

/// Writes other destination regions into bindings and their `ConfigMaps`: two writes each. Returns when it began.
pub async fn rewrite(
    cluster: &Cluster,
    namespace: &str,
    objects: Vec<(InferenceProfileBinding, ConfigMap)>,
    in_flight: usize,
    regions: &[&str],
) -> Result<Instant, Failure> {
    let began = Instant::now();
    cluster::in_flight(in_flight, objects, |(binding, mut target)| async move {
        if let Some(destinations) = target
            .data
            .as_mut()
            .and_then(|data| data.get_mut(DESTINATIONS_KEY))
        {
            *destinations = regions.join(",");
        }
        let mut body = config_map(namespace, &binding, &target);
        body["metadata"]["uid"] = json!(target.uid());
        apply_config_map(cluster, namespace, &binding.name_any(), &body).await?;
        let mut status = binding.status.clone().unwrap_or_default();
        if let Some(profile) = &mut status.profile {
            profile.destination_regions = regions.iter().map(ToString::to_string).collect();
        }
        apply_status(cluster, namespace, &binding, &status).await
    })
    .await?;
    Ok(began)
}

fn config_map(namespace: &str, binding: &InferenceProfileBinding, content: &ConfigMap) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": binding.name_any(),
            "namespace": namespace,
            "labels": content.labels(),
            "ownerReferences": [{
                "apiVersion": InferenceProfileBinding::api_version(&()),
                "kind": InferenceProfileBinding::kind(&()),
                "name": binding.name_any(),
                "uid": binding.uid(),
                "controller": true,
            }],
        },
        "data": content.data,
    })
}

/// Returns the UID of the object.
async fn apply_config_map(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    body: &Value,
) -> Result<String, Failure> {
    let mut params = PatchParams::apply(&names::target_manager(name));
    params.force = body["metadata"]["uid"].is_string();
    let api = cluster.config_maps(namespace);
    let written = within(api.patch_metadata(name, &params, &Patch::Apply(body))).await?;
    Ok(written.uid().unwrap_or_default())
}

async fn apply_status(
    cluster: &Cluster,
    namespace: &str,
    binding: &InferenceProfileBinding,
    status: &InferenceProfileBindingStatus,
) -> Result<(), Failure> {
    let body = json!({
        "apiVersion": InferenceProfileBinding::api_version(&()),
        "kind": InferenceProfileBinding::kind(&()),
        "metadata": {"name": binding.name_any(), "namespace": namespace, "uid": binding.uid()},
        "status": status,
    });
    let api: Api<PartialObjectMeta<InferenceProfileBinding>> =
        Api::namespaced(cluster.client.clone(), namespace);
    let params = PatchParams::apply(names::STATUS_MANAGER).force();
    within(api.patch_status(&binding.name_any(), &params, &Patch::Apply(&body))).await?;
    Ok(())
}
