//! Schemas: what a validator understands of them, and the one of metadata.

use std::collections::BTreeMap;

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Error;

/// Keywords that the validator follows, and those that restrict nothing.
const KEYWORDS: &[&str] = &[
    "additionalProperties",
    "description",
    "enum",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minLength",
    "nullable",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
];

static NO_FIELDS: BTreeMap<String, JSONSchemaProps> = BTreeMap::new();

/// Returns the schema of a definition's first version.
pub(super) fn of(definition: &CustomResourceDefinition) -> Result<JSONSchemaProps, Error> {
    definition
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.clone())
        .ok_or(Error::NoSchema)
}

/// Returns the schema of every object's metadata.
pub(super) fn of_metadata() -> Result<JSONSchemaProps, Error> {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    let schema = settings
        .into_generator()
        .into_root_schema_for::<ObjectMeta>();
    Ok(serde_json::from_value(schema.to_value())?)
}

/// Adds the fields that every object has and no definition describes.
pub(super) fn add_common_fields(schema: &mut JSONSchemaProps, metadata: &JSONSchemaProps) {
    let text = |about: &str| JSONSchemaProps {
        type_: Some("string".to_owned()),
        description: Some(about.to_owned()),
        ..JSONSchemaProps::default()
    };
    let mut metadata = metadata.clone();
    metadata.required = Some(vec!["name".to_owned()]);
    let fields = metadata.properties.get_or_insert_default();
    fields.insert(
        "name".to_owned(),
        text("give the object a name: one made from generateName is known only in a cluster"),
    );
    let fields = schema.properties.get_or_insert_default();
    fields.insert("metadata".to_owned(), metadata);
    for (name, about) in [("apiVersion", "group and version"), ("kind", "the kind")] {
        fields.insert(name.to_owned(), text(about));
    }
}

/// Refuses a schema with a keyword that the validator does not follow.
pub(super) fn understood(schema: &JSONSchemaProps) -> Result<(), Error> {
    each(schema, &mut |schema| {
        let keywords = match serde_json::to_value(schema)? {
            Value::Object(keywords) => keywords,
            other => return Err(Error::Unsupported(other.to_string())),
        };
        for keyword in keywords.keys() {
            if !KEYWORDS.contains(&keyword.as_str()) {
                return Err(Error::Unsupported(keyword.clone()));
            }
        }
        if schema.type_.as_deref() == Some("object") && !is_closed(schema) {
            return Err(Error::Unsupported("an object without fields".to_owned()));
        }
        Ok(())
    })
}

/// Calls a function for a schema and all schemas in it.
pub(super) fn each(
    schema: &JSONSchemaProps,
    visit: &mut impl FnMut(&JSONSchemaProps) -> Result<(), Error>,
) -> Result<(), Error> {
    visit(schema)?;
    let children = fields(schema).values();
    for child in children.chain(values(schema)).chain(items(schema)) {
        each(child, visit)?;
    }
    Ok(())
}

/// Returns the fields of an object that have names.
pub(super) fn fields(schema: &JSONSchemaProps) -> &BTreeMap<String, JSONSchemaProps> {
    schema.properties.as_ref().unwrap_or(&NO_FIELDS)
}

/// Returns the schema of a map's values.
pub(super) fn values(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.additional_properties.as_ref()? {
        JSONSchemaPropsOrBool::Schema(schema) => Some(schema),
        JSONSchemaPropsOrBool::Bool(_) => None,
    }
}

/// Returns the schema of a list's items.
pub(super) fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(schema) => Some(schema),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// Says whether a schema names the fields of its objects, so that others are unknown. That of `fieldsV1` in `managedFields`
/// names none.
pub(super) fn is_closed(schema: &JSONSchemaProps) -> bool {
    !fields(schema).is_empty() || values(schema).is_some()
}

/// Returns what no other item of a list may have: the item itself in a set, its key fields in a list of type map.
pub(super) fn identity(schema: &JSONSchemaProps, item: &Value) -> Option<String> {
    match schema.x_kubernetes_list_type.as_deref()? {
        "set" => Some(item.to_string()),
        "map" => {
            let keys = schema.x_kubernetes_list_map_keys.iter().flatten();
            let keys: Option<serde_json::Map<String, Value>> = keys
                .map(|key| Some((key.clone(), item.get(key)?.clone())))
                .collect();
            Some(Value::Object(keys?).to_string())
        }
        _ => None,
    }
}

/// Returns the path of the object in a spec that has a field of this name.
pub(super) fn place_of(schema: &JSONSchemaProps, name: &str) -> Option<String> {
    fn search(schema: &JSONSchemaProps, path: &str, name: &str) -> Option<String> {
        if fields(schema).contains_key(name) {
            return Some(path.to_owned());
        }
        fields(schema)
            .iter()
            .find_map(|(field, schema)| match items(schema) {
                Some(items) => search(items, &format!("{path}.{field}[]"), name),
                None => search(schema, &format!("{path}.{field}"), name),
            })
    }
    search(fields(schema).get("spec")?, "spec", name)
}
