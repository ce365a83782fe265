//! What the controllers of Kubernetes do with bindings, on which the operator relies.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::support::{Case, Cluster, case, eventually};

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "controllers::a_deleted_binding_takes_what_it_owns_with_it",
            garbage_is_collected,
        )
        .with_controllers(),
    ]
}

async fn garbage_is_collected(cluster: Cluster) {
    let namespace = cluster.namespace("controllers").await;
    let spec = json!({"model": "amazon.nova-lite-v1:0", "geography": "eu"});
    let binding = cluster
        .create_binding(&namespace, "a", spec)
        .await
        .expect("accepted");
    let config_maps = Api::<ConfigMap>::namespaced(cluster.client.clone(), &namespace);
    let owned = ConfigMap {
        metadata: ObjectMeta {
            name: Some("owned".to_owned()),
            owner_references: binding.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    config_maps
        .create(&PostParams::default(), &owned)
        .await
        .expect("created");

    cluster
        .bindings(&namespace)
        .delete("a", &DeleteParams::default())
        .await
        .expect("deleted");

    eventually("the ConfigMap is gone", || async {
        match config_maps.get_opt("owned").await.expect("an answer") {
            None => Ok(()),
            Some(found) => Err(found.name_any()),
        }
    })
    .await;
}
