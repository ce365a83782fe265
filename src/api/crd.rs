//! The custom resource definition as users apply it: what the derive gives, and the little it can't say.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON,
};
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};

use super::InferenceProfileBinding;

/// Returns the custom resource definition of `InferenceProfileBinding`.
///
/// The status has a default, `observedGeneration: -1`: without it, kstatus takes a binding that no operator has visited
/// for a ready one.
#[must_use]
pub fn custom_resource_definition() -> CustomResourceDefinition {
    let mut crd = InferenceProfileBinding::crd();
    for version in &mut crd.spec.versions {
        let status = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
            .and_then(|root| root.properties.as_mut())
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    crd
}

/// Returns the schema of `templates`: a bounded map of bounded texts.
pub(super) fn templates_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "minProperties": 1,
        "maxProperties": 8,
        "additionalProperties": {"type": "string", "maxLength": 16384}
    })
}
