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

/// Returns what LiteLLM makes of a configuration file, a value for each model.
fn lite_llm_reads(configuration: &str) -> Option<Vec<Value>> {
    let mut command = python::with_packages(&["litellm", "yaml"])?;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.yaml");
    fs::write(&file, configuration).expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/presets/lite_llm.py");
    let output = Output::of(command.arg(script).arg(file), "");
    let lines = output.ok();
    Some(
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect(),
    )
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

#[test]
fn lite_llm_calls_each_model_by_its_profile_in_its_region() {
    let target = "targets: [{kind: ConfigMap, name: litellm, preset: LiteLLM}]";
    let several = "models: {'no': {model: anthropic.claude-haiku-4-5-20251001-v1:0, geography: eu}, smart: {model: anthropic.claude-sonnet-5-5, geography: global}}";
    for (spec, expected) in [
        (
            format!("{{model: {SONNET}, geography: eu, {target}}}"),
            vec![request("chat", &format!("eu.{SONNET}"))],
        ),
        (
            format!("{{{several}, {target}}}"),
            vec![
                request("no", "eu.anthropic.claude-haiku-4-5-20251001-v1%3A0"),
                request("smart", &format!("global.{SONNET}")),
            ],
        ),
    ] {
        let Some(read) = lite_llm_reads(&rendered(&spec)) else {
            return;
        };
        assert_eq!(read, expected);
    }
}

#[test]
fn lite_llm_calls_a_model_through_its_application_profile() {
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
    for (models, name) in [
        (Models::One(values), "chat"),
        (Models::several([(Arc::from("smart"), values)]), "smart"),
    ] {
        let templates = lite_llm(&models, "chat");
        let (kind, policy) = (TargetKind::ConfigMap, CreationPolicy::Owner);
        let content = content(kind, policy, &[], &templates, &models).expect("a file");
        let Some(read) = lite_llm_reads(&content["config.yaml"]) else {
            return;
        };
        assert_eq!(
            read,
            [request(name, &ARN.replace(':', "%3A").replace('/', "%2F"))]
        );
    }
}
