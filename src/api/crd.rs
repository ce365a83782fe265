//! The custom resource definitions as users apply them: what the derive macro generates, and a few changes that it cannot express.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use super::{InferenceProfileBinding, InferenceProfileClass};

/// Returns the custom resource definition of `InferenceProfileBinding`.
#[must_use]
pub fn binding_definition() -> CustomResourceDefinition {
    as_applied(InferenceProfileBinding::crd())
}

/// Returns the custom resource definition of `InferenceProfileClass`.
#[must_use]
pub fn class_definition() -> CustomResourceDefinition {
    as_applied(InferenceProfileClass::crd())
}

/// The status has the default `observedGeneration: -1`. Without it, kstatus considers an object ready that no operator has
/// visited yet.
fn as_applied(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        let status = root
            .properties
            .as_mut()
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
        accept_null_in_enums(root);
    }
    crd
}

/// Makes every optional enum of this schema accept null, which templates of manifests often leave behind. The apiserver compares
/// the null of a nullable enum with the enum's values, none of which can be null, but it drops the null of an enum that is not
/// nullable.
fn accept_null_in_enums(schema: &mut JSONSchemaProps) {
    if schema.enum_.is_some() {
        schema.nullable = None;
    }
    schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
        .for_each(accept_null_in_enums);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        accept_null_in_enums(items);
    }
}
