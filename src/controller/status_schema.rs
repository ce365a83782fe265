//! Which fields of a status does the cluster's CRD know? Where it is older than this program, the apiserver refuses a status
//! as a whole for one field that is missing there. Without such fields it accepts it.

use std::{collections::BTreeSet, sync::Arc};

use kube::Resource;
use serde_json::Value;

use crate::{
    api::{InferenceProfileBinding, InferenceProfileBindingStatus},
    plan::status::Status,
};

/// The schema of statuses where it lacks fields that this program writes.
#[derive(Debug, Default)]
pub(super) struct StatusSchema {
    /// `None` where nothing was seen to be missing.
    lacking: Option<Value>,
    /// The missing fields that were logged.
    logged: BTreeSet<String>,
}

impl StatusSchema {
    /// Returns a status of a namespace's binding without the fields that the CRD lacks.
    pub fn servable(&self, namespace: &Arc<str>, status: &Status) -> Status {
        let Some(schema) = &self.lacking else {
            return status.clone();
        };
        let (pruned, _) = pruned(status, schema);
        serde_json::from_value(pruned).map_or_else(
            |_| status.clone(),
            |wire| Status::from_wire(&wire, namespace),
        )
    }

    /// Returns the wire form of a status without the fields that the CRD lacks: some are made only for it.
    pub fn servable_wire(&self, status: &Status) -> InferenceProfileBindingStatus {
        let lacking = self.lacking.as_ref();
        lacking
            .and_then(|schema| serde_json::from_value(pruned(status, schema).0).ok())
            .unwrap_or_else(|| status.to_wire())
    }

    /// Takes in the schema after a status was refused. Returns whether that lacks a field of it. Each such field is logged
    /// once.
    pub fn refused(&mut self, status: &Status, schema: Value) -> bool {
        let (_, lacking) = pruned(status, &schema);
        if lacking.is_empty() {
            return false;
        }
        self.lacking = Some(schema);
        if !lacking.is_subset(&self.logged) {
            self.logged.extend(lacking);
            let fields: Vec<&str> = self.logged.iter().map(String::as_str).collect();
            tracing::warn!(
                fields = fields.join(", "),
                "the CRD is older than this program, and statuses are written without the fields that it lacks: \
                 apply the CRD of this version"
            );
        }
        true
    }

    /// Takes in that a status was accepted as it is.
    pub fn accepted(&mut self, status: &Status) {
        let lacks = |schema: &Value| !pruned(status, schema).1.is_empty();
        if self.lacking.as_ref().is_some_and(lacks) {
            *self = Self::default();
        }
    }
}

/// Returns the schema of statuses in the `OpenAPI` document of the group. Returns null if there is none.
pub(super) fn in_document(document: &Value) -> Value {
    let kind = InferenceProfileBinding::kind(&());
    let schemas = document["components"]["schemas"].as_object();
    let of_kind = schemas.into_iter().flatten().find(|(_, schema)| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds
            .into_iter()
            .flatten()
            .any(|found| found["kind"].as_str() == Some(&kind))
    });
    of_kind.map_or(Value::Null, |(_, schema)| {
        schema["properties"]["status"].clone()
    })
}

/// Returns a status in its wire form without what a schema has no field for, and these fields. A part that the schema says
/// nothing of stays.
fn pruned(status: &Status, schema: &Value) -> (Value, BTreeSet<String>) {
    let mut value = serde_json::to_value(status.to_wire()).unwrap_or_default();
    let mut pruned = BTreeSet::new();
    prune("", &mut value, schema, &mut pruned);
    (value, pruned)
}

fn prune(path: &str, value: &mut Value, schema: &Value, pruned: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let Some(known) = schema["properties"].as_object() else {
                return;
            };
            fields.retain(|name, field| {
                let path = match path {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                let Some(schema) = known.get(name) else {
                    pruned.insert(path);
                    return false;
                };
                prune(&path, field, schema, pruned);
                true
            });
        }
        Value::Array(items) => {
            for item in items {
                prune(path, item, &schema["items"], pruned);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::binding_definition;

    use super::*;

    fn namespace() -> Arc<str> {
        "shop".into()
    }

    fn status(secret: Option<&str>) -> Status {
        let wire = json!({
            "observedGeneration": 3,
            "targets": [{
                "kind": "Secret", "name": "s", "uid": "u", "creationPolicy": "Owner", "valuesHash": "h",
                "lastChangeTime": "2026-11-28T12:00:00Z",
            }],
            "binding": secret.map(|name| json!({"name": name})),
        });
        let wire = serde_json::from_value(wire).expect("a status");
        Status::from_wire(&wire, &namespace())
    }

    fn without_binding() -> Value {
        let crd = serde_json::to_value(binding_definition()).expect("JSON");
        let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/status";
        let mut schema = crd.pointer(schema).expect("a schema").clone();
        let fields = schema["properties"].as_object_mut().expect("fields");
        assert!(fields.remove("binding").is_some());
        let of_targets = schema.pointer_mut("/properties/targets/items/properties");
        let of_targets = of_targets.and_then(Value::as_object_mut);
        assert!(
            of_targets
                .expect("fields")
                .remove("lastChangeTime")
                .is_some()
        );
        schema
    }

    #[test]
    fn what_the_crd_lacks_is_left_out_until_it_is_accepted() {
        let mut schema = StatusSchema::default();
        let full = status(Some("s"));
        assert_eq!(schema.servable(&namespace(), &full), full);
        assert!(schema.refused(&full, without_binding()));
        let logged: Vec<&str> = schema.logged.iter().map(String::as_str).collect();
        assert_eq!(logged, ["binding", "targets.lastChangeTime"]);
        let served = schema.servable(&namespace(), &full);
        let mut expected = status(None);
        expected.targets[0].since = None;
        assert_eq!(served, expected);
        schema.accepted(&served);
        assert_eq!(
            schema.servable(&namespace(), &full),
            served,
            "it says nothing of the others"
        );
        schema.accepted(&full);
        assert_eq!(
            schema.servable(&namespace(), &full),
            full,
            "the CRD is of this version"
        );
    }

    #[test]
    fn what_is_made_only_for_the_wire_is_left_out_too() {
        let mut without = without_binding();
        let path = "/properties/profile/properties";
        let fields = without.pointer_mut(path).and_then(Value::as_object_mut);
        assert!(fields.expect("fields").remove("destinations").is_some());
        let wire = json!({"profile": {
            "id": "eu.a.b", "geography": "eu", "sourceRegion": "eu-west-1", "foundationModelID": "a.b",
            "destinationRegions": ["eu-central-1", "eu-west-1"],
            "catalog": {"source": "bedrock", "asOf": "2026-11-28"},
        }});
        let wire = serde_json::from_value(wire).expect("a status");
        let status = Status::from_wire(&wire, &namespace());
        let sent = |schema: &StatusSchema| {
            let wire = schema.servable_wire(&status);
            wire.profile?.destinations
        };
        let mut schema = StatusSchema::default();
        assert_eq!(sent(&schema).as_deref(), Some("eu-central-1,eu-west-1"));
        assert!(schema.refused(&status, without));
        assert_eq!(schema.servable(&namespace(), &status), status);
        assert_eq!(sent(&schema), None);
    }

    #[test]
    fn a_refusal_for_another_cause_is_none_for_a_missing_field() {
        let mut schema = StatusSchema::default();
        let mut served = status(None);
        served.targets[0].since = None;
        assert!(!schema.refused(&served, without_binding()));
        assert!(
            !schema.refused(&status(Some("s")), Value::Null),
            "it is not published yet"
        );
    }

    #[test]
    fn the_schema_is_found_by_the_kind() {
        let crd = serde_json::to_value(binding_definition()).expect("JSON");
        let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        schema["x-kubernetes-group-version-kind"] = json!([{"kind": "InferenceProfileBinding"}]);
        let list =
            json!({"x-kubernetes-group-version-kind": [{"kind": "InferenceProfileBindingList"}]});
        let document = json!({"components": {"schemas": {"a": list, "b": schema}}});
        assert!(in_document(&document)["properties"]["profile"].is_object());
        assert_eq!(in_document(&json!({})), Value::Null);
    }
}
