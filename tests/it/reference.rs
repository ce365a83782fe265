//! The reference in docs/reference/ is what the definitions in crds/ say.

use std::{fmt::Write, fs, path::Path};

use serde_yaml::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns a text as it stands in a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('|', "\\|")
}

fn strings<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let values = value[key].as_sequence().into_iter().flatten();
    values.filter_map(Value::as_str).collect()
}

/// Returns the type of a field, in words.
fn kind(schema: &Value) -> String {
    let values = strings(schema, "enum");
    if !values.is_empty() {
        return values
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_mapping() => {
            format!("map to {}", kind(&schema["additionalProperties"]))
        }
        Some(other) => match schema["format"].as_str() {
            Some("date-time") => "time".to_owned(),
            _ => other.to_owned(),
        },
        None => "any".to_owned(),
    }
}

/// Returns what is refused of a field, with the messages of its rules.
fn rules(schema: &Value) -> Vec<String> {
    const BOUNDS: [(&str, &str, &str); 7] = [
        ("minItems", "at least", " entries"),
        ("maxItems", "at most", " entries"),
        ("minProperties", "at least", " entries"),
        ("maxProperties", "at most", " entries"),
        ("minLength", "at least", " characters"),
        ("maxLength", "at most", " characters"),
        ("minimum", "at least", ""),
    ];
    let mut found: Vec<String> = BOUNDS
        .iter()
        .filter_map(|(key, words, unit)| {
            let bound = schema[*key].as_f64()?;
            Some(format!("{words} {bound}{unit}"))
        })
        .collect();
    for rule in schema["x-kubernetes-validations"]
        .as_sequence()
        .into_iter()
        .flatten()
    {
        found.push(match (rule["message"].as_str(), rule["rule"].as_str()) {
            (Some(message), _) => cell(message).replace('*', "\\*"),
            (None, Some(rule)) => format!("`{}`", cell(rule)),
            (None, None) => panic!("a rule without a text: {rule:?}"),
        });
    }
    for (part, each) in [
        ("items", "each: "),
        ("additionalProperties", "each value: "),
    ] {
        if schema[part].is_mapping() && !schema[part]["properties"].is_mapping() {
            let of_each = rules(&schema[part]);
            found.extend(of_each.iter().map(|rule| format!("{each}{rule}")));
        }
    }
    found
}

/// Writes a row for a field, and rows for what is in it.
fn rows(out: &mut String, path: &str, schema: &Value, required: bool) {
    let default = match &schema["default"] {
        Value::Null => String::new(),
        value => format!(
            ", default `{}`",
            serde_json::to_string(value).expect("JSON")
        ),
    };
    let mut description = cell(schema["description"].as_str().unwrap_or_default());
    for rule in rules(schema) {
        write!(description, "<br>• {rule}").expect("a String");
    }
    let required = if required { ", required" } else { "" };
    writeln!(
        out,
        "| `{path}` | {}{required}{default} | {} |",
        kind(schema),
        description.trim_start_matches("<br>"),
    )
    .expect("a String");
    let (inner, path) = match schema["type"].as_str() {
        Some("array") => (&schema["items"], format!("{path}[]")),
        Some("object") if schema["additionalProperties"].is_mapping() => {
            (&schema["additionalProperties"], format!("{path}.*"))
        }
        _ => (schema, path.to_owned()),
    };
    fields(out, &path, inner);
}

/// Writes the rows of the fields of an object.
fn fields(out: &mut String, path: &str, schema: &Value) {
    let required = strings(schema, "required");
    for (name, field) in schema["properties"].as_mapping().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        rows(
            out,
            &format!("{path}.{name}"),
            field,
            required.contains(&name),
        );
    }
}

/// Returns the page about a definition.
fn page(definition: &Value) -> String {
    let spec = &definition["spec"];
    let version = &spec["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut page = format!(
        "<!-- Generated from crds/ by `make reference`. -->\n\n# {}\n\n{}\n\n| | |\n|---|---|\n",
        text(&spec["names"]["kind"]),
        cell(&text(&schema["description"])),
    );
    let names = strings(&spec["names"], "shortNames").join(", ");
    for (name, value) in [
        (
            "API version",
            format!("`{}/{}`", text(&spec["group"]), text(&version["name"])),
        ),
        (
            "plural, short name",
            format!("`{}`, `{names}`", text(&spec["names"]["plural"])),
        ),
        ("scope", text(&spec["scope"])),
    ] {
        writeln!(page, "| {name} | {value} |").expect("a String");
    }
    for part in ["spec", "status"] {
        let schema = &schema["properties"][part];
        write!(page, "\n## {part}\n\n").expect("a String");
        if let Some(description) = schema["description"].as_str() {
            write!(page, "{}\n\n", cell(description)).expect("a String");
        }
        if !schema["default"].is_null() {
            let default = serde_json::to_string(&schema["default"]).expect("JSON");
            write!(page, "Default: `{default}`.\n\n").expect("a String");
        }
        let own = rules(schema);
        for rule in &own {
            writeln!(page, "- {rule}").expect("a String");
        }
        if !own.is_empty() {
            page.push('\n');
        }
        page.push_str("| field | type | description, and what is refused |\n|---|---|---|\n");
        fields(&mut page, part, schema);
    }
    page.push_str("\n## Columns of `kubectl get`\n\n| column | shown | from |\n|---|---|---|\n");
    for column in version["additionalPrinterColumns"]
        .as_sequence()
        .into_iter()
        .flatten()
    {
        let shown = match column["priority"].as_i64() {
            Some(1..) => "with `-o wide`",
            _ => "always",
        };
        writeln!(
            page,
            "| {} | {shown} | `{}` |",
            text(&column["name"]),
            text(&column["jsonPath"]).replace('|', "\\|"),
        )
        .expect("a String");
    }
    page
}

#[test]
fn a_field_is_told_with_its_type_its_default_and_its_rules() {
    let schema: Value = serde_yaml::from_str(
        "
properties:
  names:
    description: Names, a|b.
    type: array
    maxItems: 2
    items:
      type: string
      maxLength: 3
      x-kubernetes-validations:
      - {message: not a <name>, rule: self != ''}
  kind: {type: string, enum: [A, B], default: A}
required: [names]",
    )
    .expect("YAML");
    let mut out = String::new();
    fields(&mut out, "spec", &schema);
    assert_eq!(
        out,
        "| `spec.names` | list of string, required | Names, a\\|b.<br>• at most 2 entries<br>• each: at most 3 characters<br>• each: not a &lt;name> |\n\
         | `spec.kind` | `A`, `B`, default `\"A\"` |  |\n"
    );
}

#[test]
fn the_reference_is_current() {
    let root = Path::new(ROOT);
    for (definition, name) in [
        ("inferenceprofilebindings", "inferenceprofilebinding"),
        ("inferenceprofileclasses", "inferenceprofileclass"),
    ] {
        let definition =
            fs::read_to_string(root.join(format!("crds/{definition}.yaml"))).expect("a CRD");
        let page = page(&serde_yaml::from_str(&definition).expect("YAML"));
        let path = root.join(format!("docs/reference/{name}.md"));
        if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
            fs::write(&path, &page).expect("written");
        }
        assert!(
            fs::read_to_string(&path).is_ok_and(|written| written == page),
            "{} is not what crds/ says: run `make reference`",
            path.display()
        );
    }
}
