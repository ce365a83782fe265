//! Validators.

use serde_json::json;

use super::*;
use crate::api::binding_definition;

/// Returns a definition whose spec has this schema.
fn definition(spec: &Value) -> CustomResourceDefinition {
    serde_json::from_value(json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Thing", "plural": "things"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    }))
    .expect("a definition")
}

fn fields(fields: &Value) -> Value {
    json!({"type": "object", "properties": fields})
}

fn judged(definition: &CustomResourceDefinition, spec: &Value) -> Vec<String> {
    let mut thing = json!({
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "a"},
        "spec": spec,
    });
    let mut found = Violations::keeping(10);
    let validator = Validator::new(definition).expect("a validator");
    validator.check(&mut thing, &mut found);
    let (violations, _) = found.into_parts();
    violations.iter().map(ToString::to_string).collect()
}

#[test]
fn the_definition_of_bindings_is_understood() {
    let validator = Validator::new(&binding_definition());
    assert!(validator.is_ok(), "{:?}", validator.err());
}

#[test]
fn a_definition_with_more_than_is_understood_is_refused() {
    for (field, part) in [
        (json!({"type": "integer", "minimum": 1}), "minimum"),
        (json!({"type": "string", "default": "a"}), "default"),
        (json!({"type": "string", "format": "date"}), "format"),
        (json!({"type": "object"}), "an object without fields"),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            "x-kubernetes-preserve-unknown-fields",
        ),
        (json!({"type": "string", "pattern": "("}), "pattern"),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self =="}]}),
            "self ==",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}),
            "oldSelf",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "messageExpression": "'a'"}]}),
            "only rule and message",
        ),
    ] {
        let definition = definition(&fields(&json!({"a": {"type": "array", "items": field}})));
        let error = Validator::new(&definition).err().expect(part);
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[test]
fn texts_are_judged_by_length_in_characters_and_by_pattern() {
    let definition = definition(&fields(&json!({
        "a": {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[aä]*$"},
    })));
    for (text, expected) in [
        ("aä", None),
        ("äää", None),
        (
            "a",
            Some("spec.a: Invalid value: \"a\": should be at least 2 characters long"),
        ),
        (
            "aaaa",
            Some("spec.a: Too long: may not be more than 3 characters, and has 4"),
        ),
        (
            "ab",
            Some("spec.a: Invalid value: \"ab\": should match \"^[aä]*$\""),
        ),
    ] {
        let found = judged(&definition, &json!({"a": text}));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{text}");
    }
}

#[test]
fn rules_are_judged_where_the_value_has_the_right_form() {
    let rule = |rule: &str| json!([{"rule": rule, "message": "broken"}]);
    let mut spec = fields(&json!({
        "a": {"type": "string", "maxLength": 3, "x-kubernetes-validations": rule("self != 'no'")},
        "b": {"type": "integer", "x-kubernetes-validations": rule("self / (self - 1) > 0")},
    }));
    spec["x-kubernetes-validations"] = rule("!has(self.b) || self.a == 'b'");
    let definition = definition(&spec);
    for (spec, expected) in [
        (json!({"a": "yes"}), &[][..]),
        (
            json!({"a": "no"}),
            &["spec.a: Invalid value: \"no\": broken"],
        ),
        (json!({"b": 3, "a": "a"}), &["spec: Invalid value: broken"]),
        // One that can't be judged is not kept.
        (
            json!({"b": 1, "a": "b"}),
            &["spec.b: Invalid value: 1: broken"],
        ),
        (
            json!({"a": "long", "b": 3}),
            &["spec.a: Too long: may not be more than 3 characters, and has 4"],
        ),
        // A null is no value.
        (json!({"a": null}), &[]),
    ] {
        assert_eq!(judged(&definition, &spec), expected, "{spec}");
    }
}

#[test]
fn unknown_fields_and_nulls_are_taken_away() {
    let validator = Validator::new(&binding_definition()).expect("a validator");
    let mut binding = json!({
        "apiVersion": "inferenceprofiles.dev/v1alpha1",
        "kind": "InferenceProfileBinding",
        "metadata": {"name": "a", "labels": null, "extra": 1},
        "spec": {"model": "a.b", "geography": "eu", "suspend": null, "region": null},
        "status": {"observedGeneration": 1},
    });
    let mut found = Violations::keeping(10);
    validator.check(&mut binding, &mut found);
    assert_eq!(
        binding,
        json!({
            "apiVersion": "inferenceprofiles.dev/v1alpha1",
            "kind": "InferenceProfileBinding",
            "metadata": {"name": "a"},
            "spec": {"model": "a.b", "geography": "eu"},
        })
    );
    let (violations, total) = found.into_parts();
    let at: Vec<&str> = violations.iter().map(|v| v.field.as_str()).collect();
    // A null in a field that is not known is refused, too.
    assert_eq!((at, total), (vec!["metadata.extra", "spec.region"], 2));
}

#[test]
fn a_missing_field_that_was_mistyped_is_told_once() {
    let definition = binding_definition();
    assert_eq!(
        judged(&definition, &json!({"modle": "a.b", "geography": "eu"})),
        ["spec.modle: unknown field: did you mean model?"]
    );
    assert_eq!(
        judged(&definition, &json!({"colour": "a.b"})).len(),
        2,
        "and that model and geography are missing"
    );
}

#[test]
fn names_are_compared_as_people_mistype_them() {
    let known = ["allowedRegions", "fallback", "geography", "keys", "roleARN"];
    for (name, expected) in [
        ("allowedregions", Some("allowedRegions")),
        ("allowed_regions", Some("allowedRegions")),
        ("geografy", Some("geography")),
        ("key", Some("keys")),
        ("roleArn", Some("roleARN")),
        ("colour", None),
        ("x", None),
    ] {
        assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
    }
    assert_eq!(nearest(&"k".repeat(1_000_000), known.into_iter()), None);
}

#[test]
fn messages_are_short_whatever_was_given() {
    let definition = binding_definition();
    let long = "ä\u{1b}".repeat(100_000);
    let mut labels = Map::new();
    labels.insert(long.clone(), json!(1));
    for spec in [
        json!({"model": long, "geography": long}),
        json!({long.clone(): 1}),
        json!({"targets": [{"kind": long, "name": labels}, {"kind": long, "name": long}]}),
        json!({"allowedRegions": [long, long]}),
    ] {
        for message in judged(&definition, &spec) {
            assert!(message.len() < 1000, "{} bytes", message.len());
            assert!(!message.contains('\u{1b}'));
        }
    }
}

#[test]
fn violations_are_counted_beyond_those_in_words() {
    let mut found = Violations::keeping(2);
    for _ in 0..5 {
        found.add(Path::Root, || "wrong".to_owned());
    }
    let (violations, total) = found.into_parts();
    assert_eq!((violations.len(), total), (2, 5));
}
