//! What the preset `LiteLLM` writes, given to LiteLLM itself. Claude Code is a program of 400 MB: that it reads the variables of its
//! preset is checked by hand, as docs/several-models.md says.

use std::{fs, path::Path, process::Command, sync::Arc};

use inference_profile_operator::{
    api::{CreationPolicy, TargetKind},
    models::Models,
    render::{Values, content, lite_llm},
    route::{Destinations, Invocation, Route},
};
use serde_json::{Value, json};

use crate::{
    common::{
        program::{Output, PROGRAM},
        yaml::documents,
    },
    python,
};

const ARN: &str = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1";
const SONNET: &str = "anthropic.claude-sonnet-5-5";

/// Returns what LiteLLM makes of configuration files, a value for each model of each.
fn lite_llm_reads(configurations: &[String]) -> Option<Vec<Value>> {
    let mut command = python::with_packages(&["litellm", "yaml"])?;
    let folder = tempfile::tempdir().expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/presets/lite_llm.py");
    command.arg(script);
    for (number, configuration) in configurations.iter().enumerate() {
        let file = folder.path().join(format!("{number}.yaml"));
        fs::write(&file, configuration).expect("written");
        command.arg(file);
    }
    let lines = Output::of(&mut command, "").ok();
    let read = |line: &str| serde_json::from_str(line).expect("JSON");
    Some(lines.lines().map(read).collect())
}

/// Returns the file that `render` prints for a spec.
fn rendered(spec: &str) -> String {
    let binding = format!(
        "{{apiVersion: inferenceprofiles.dev/v1alpha1, kind: InferenceProfileBinding, metadata: {{name: chat, namespace: shop}}, spec: {spec}}}"
    );
    let mut command = Command::new(PROGRAM);
    command
        .args(["render", "-f", "-", "--region", "eu-west-1"])
        .env_clear();
    let printed = documents(&Output::of(&mut command, &binding).ok());
    let file = &printed[0]["data"]["config.yaml"];
    file.as_str().expect("a file").to_owned()
}

fn request(name: &str, path: &str) -> Value {
    json!({"name": name, "provider": "bedrock", "path": format!("/model/{path}/converse"), "region": "eu-west-1"})
}

/// Returns the files for a model that is invoked through an application profile: the only one of a binding, and one by name.
fn through_an_application_profile() -> [String; 2] {
    let route = Route {
        invocation: Invocation::Profile {
            id: format!("eu.{SONNET}").parse().expect("an ID"),
            geography: "eu".parse().expect("a geography"),
        },
        model: SONNET.parse().expect("a model"),
        source_region: "eu-west-1".parse().expect("a region"),
        destinations: Destinations::regions(vec!["eu-west-1".parse().expect("a region")]),
    };
    let application = ARN.parse().expect("an ARN");
    let values = Values {
        route: &route,
        account: None,
        application: Some(&application),
    };
    let named = Models::several([(Arc::from("smart"), values)]);
    [Models::One(values), named].map(|models| {
        let templates = lite_llm(&models, "chat");
        let (kind, policy) = (TargetKind::ConfigMap, CreationPolicy::Owner);
        let content = content(kind, policy, &[], &templates, &models).expect("a file");
        content["config.yaml"].clone()
    })
}

#[test]
fn lite_llm_calls_each_model_by_its_profile_in_its_region() {
    let target = "targets: [{kind: ConfigMap, name: litellm, preset: LiteLLM}]";
    // YAML takes a bare no for false.
    let models = "models: {'no': {model: anthropic.claude-haiku-4-5-20251001-v1:0, geography: eu}, smart: {model: anthropic.claude-sonnet-5-5, geography: global}}";
    let [one, several] = through_an_application_profile();
    let files = [
        rendered(&format!("{{model: {SONNET}, geography: eu, {target}}}")),
        rendered(&format!("{{{models}, {target}}}")),
        one,
        several,
    ];
    let Some(read) = lite_llm_reads(&files) else {
        return;
    };
    let arn = ARN.replace(':', "%3A").replace('/', "%2F");
    let expected = [
        request("chat", &format!("eu.{SONNET}")),
        request("no", "eu.anthropic.claude-haiku-4-5-20251001-v1%3A0"),
        request("smart", &format!("global.{SONNET}")),
        request("chat", &arn),
        request("smart", &arn),
    ];
    assert_eq!(read, expected);
}
