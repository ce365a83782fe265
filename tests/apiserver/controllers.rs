//! What the controllers of Kubernetes do with bindings, on which the operator relies.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::{
    case::{Case, cases, needing_controllers},
    stage::{Stage, empty},
    support::eventually,
};

pub fn cases() -> Vec<Case> {
    needing_controllers(cases![empty(a_deleted_binding_takes_what_it_owns_with_it)])
}

async fn a_deleted_binding_takes_what_it_owns_with_it(stage: &Stage) {
    let spec = json!({"model": "amazon.nova-lite-v1:0", "geography": "eu"});
    let binding = stage.bind("a", spec).await;
    let config_maps = stage.config_maps();
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

    stage.delete("a").await;

    eventually("the ConfigMap is gone", || async {
        match config_maps.get_opt("owned").await.expect("an answer") {
            None => Ok(()),
            Some(found) => Err(found.name_any()),
        }
    })
    .await;
}
