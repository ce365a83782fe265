//! Argo CD's view of bindings and classes: gitops/argocd/*/health.lua, run by the interpreter that Argo CD has in it.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;
use serde_json::Value;

use crate::common::{
    program::{Output, PROGRAM},
    tools,
    yaml::documents,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The folders of the checks, with the settings of Argo CD that hold them.
const CHECKS: [(&str, &str); 2] = [
    (
        "binding",
        "resource.customizations.health.inferenceprofiles.dev_InferenceProfileBinding",
    ),
    (
        "class",
        "resource.customizations.health.inferenceprofiles.dev_InferenceProfileClass",
    ),
];

/// What the check says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Health {
    status: String,
    message: String,
}

#[derive(Deserialize)]
struct Suite {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    health_status: Health,
    input_path: PathBuf,
}

fn folder(check: &str) -> PathBuf {
    Path::new(ROOT).join("gitops/argocd").join(check)
}

fn yaml(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns a value as a Lua expression.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            let mut literal = String::new();
            for byte in text.bytes() {
                write!(literal, "\\{byte:03}").expect("a String");
            }
            format!("\"{literal}\"")
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(lua).collect();
            format!("{{{}}}", items.join(","))
        }
        Value::Object(fields) => {
            let field = |(name, value)| format!("[{}]={}", lua(&Value::from(name)), lua(value));
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| field((name.as_str(), value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// Runs a check on an object. What Argo CD gives a check beside the object differs with its version and settings, so
/// here it gets next to nothing.
fn health(glua: &Path, check: &str, object: &Value) -> Health {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("run.lua");
    let source = format!(
        "local check = assert(loadfile(arg[1]))\n\
         setfenv(check, {{obj = {}, ipairs = ipairs}})\n\
         local hs = check()\n\
         print(hs.status)\n\
         print(hs.message)\n",
        lua(object)
    );
    fs::write(&script, source).expect("a script");
    let mut command = Command::new(glua);
    command
        .arg(&script)
        .arg(self::folder(check).join("health.lua"));
    let said = Output::of(&mut command, "").ok();
    let [status, message] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("a status and a message: {said}")
    };
    Health {
        status: status.to_owned(),
        message: message.to_owned(),
    }
}

#[test]
fn the_checks_say_what_their_own_tables_say() {
    let Some(glua) = tools::tool("glua") else {
        return;
    };
    for (check, _) in CHECKS {
        let folder = folder(check);
        let suite: Suite =
            serde_json::from_value(yaml(&folder.join("health_test.yaml"))).expect("a table");
        let inputs = fs::read_dir(folder.join("testdata")).expect("inputs");
        assert_eq!(suite.tests.len(), inputs.count(), "each input is used once");
        for test in suite.tests {
            let object = yaml(&folder.join(&test.input_path));
            assert_eq!(
                health(&glua, check, &object),
                test.health_status,
                "{check}/{}",
                test.input_path.display()
            );
        }
    }
}

/// But for the times and UIDs that only a cluster gives.
#[test]
fn the_inputs_of_the_table_are_what_the_operator_says_of_the_examples() {
    let rendered = rendered_examples();
    for (input, name) in [
        ("healthy", "claude"),
        ("degraded", "claude-jp-from-ireland"),
    ] {
        let mut object = yaml(&folder("binding").join(format!("testdata/{input}.yaml")));
        let status = &mut object["status"];
        for (list, field) in [("conditions", "lastTransitionTime"), ("targets", "uid")] {
            let items = status.get_mut(list).and_then(Value::as_array_mut);
            for item in items.into_iter().flatten() {
                item.as_object_mut().expect("an object").remove(field);
            }
        }
        let expected = rendered
            .iter()
            .find(|object| object["metadata"]["name"] == name && object.get("status").is_some())
            .expect(name);
        assert_eq!(object["status"], expected["status"], "{input}");
        assert_eq!(object["spec"], expected["spec"], "{input}");
    }
}

/// Returns what the operator says of the examples, and writes for them.
fn rendered_examples() -> Vec<Value> {
    let mut command = Command::new(PROGRAM);
    command
        .args(["render", "--enable-secrets", "-f"])
        .arg(Path::new(ROOT).join("examples"))
        .env_clear();
    documents(&Output::of(&mut command, "").stdout)
}

#[test]
fn the_check_understands_every_status_that_the_operator_gives_to_the_examples() {
    let Some(glua) = tools::tool("glua") else {
        return;
    };
    let (mut healthy, mut degraded, mut progressing) = (0, 0, 0);
    for mut object in rendered_examples() {
        if object["kind"] != "InferenceProfileBinding" {
            continue;
        }
        // A file has no generation; the apiserver gives the first.
        object["metadata"]["generation"] = Value::from(1);
        let conditions = object["status"]["conditions"].as_array().expect("a list");
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .expect("Ready");
        let expected = match ready["status"].as_str() {
            Some("True") => {
                healthy += 1;
                "Healthy"
            }
            Some("False") => {
                degraded += 1;
                "Degraded"
            }
            // The embedded catalog has no application profiles.
            Some("Unknown") => {
                progressing += 1;
                "Progressing"
            }
            other => panic!("Ready has no such status: {other:?}"),
        };
        let said = health(&glua, "binding", &object);
        assert_eq!(
            (said.status.as_str(), said.message.as_str().into()),
            (expected, ready["message"].clone())
        );
    }
    assert!(healthy > 5 && degraded > 0, "{healthy} and {degraded}");
    assert_eq!(progressing, 1, "the example with an application profile");
}

#[test]
fn what_is_installed_are_the_checks() {
    let installed = yaml(&Path::new(ROOT).join("gitops/argocd/argocd-cm.yaml"));
    for (check, setting) in CHECKS {
        let text = fs::read_to_string(folder(check).join("health.lua")).expect("the check");
        assert_eq!(installed["data"][setting], text);
    }
    assert_eq!(
        installed["data"].as_object().map(serde_json::Map::len),
        Some(CHECKS.len()),
        "nothing else of Argo CD's settings"
    );
}
