//! The example applications: they get from a binding's `ConfigMap` what they need, and the one written here runs with it.

mod runtime_server;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use runtime_server::{Runtime, RuntimeServer};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    common::{
        program::{Output, PROGRAM},
        yaml::documents,
    },
    python,
};

const APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/app");
const PROFILE: &str = "eu.anthropic.claude-sonnet-5-5";
/// Longest wait for two calls.
const PATIENCE: Duration = Duration::from_secs(30);
const MODEL: &str = "anthropic.claude-sonnet-5-5";

type Data = BTreeMap<String, String>;

/// Returns the pod of the Deployment in a manifest of examples/app/.
fn pod(manifest: &str) -> Value {
    let text = fs::read_to_string(Path::new(APP).join(manifest)).expect("a manifest");
    let mut objects = documents(&text).into_iter();
    let deployment = objects.find(|object| object["kind"] == "Deployment");
    deployment.expect("a Deployment")["spec"]["template"]["spec"].clone()
}

/// Returns the data of each `ConfigMap` that is there once the operator has written what the bindings in a manifest of
/// examples/app/ ask for.
fn config_maps(manifest: &str) -> BTreeMap<String, Data> {
    let path = Path::new(APP).join(manifest);
    let mut command = Command::new(PROGRAM);
    command.args(["render", "-f"]).arg(&path).env_clear();
    // Each binding is Ready.
    let written = documents(&Output::of(&mut command, "").ok());
    let applied = documents(&fs::read_to_string(path).expect("a manifest"));
    let mut config_maps = BTreeMap::<String, Data>::new();
    for object in applied.into_iter().chain(written) {
        if object["kind"] == "ConfigMap" {
            let name = object["metadata"]["name"].as_str().expect("a name");
            let data: Data = serde_json::from_value(object["data"].clone()).expect("data");
            config_maps.entry(name.to_owned()).or_default().extend(data);
        }
    }
    config_maps
}

/// Returns the environment of the only container in the pod of a manifest, as the kubelet makes it.
fn environment(manifest: &str) -> Data {
    let pod = pod(manifest);
    let container = &pod["containers"][0];
    let config_maps = config_maps(manifest);
    let mut environment = Data::new();
    for source in container["envFrom"].as_array().into_iter().flatten() {
        let name = source["configMapRef"]["name"]
            .as_str()
            .expect("a ConfigMap");
        environment.extend(config_maps[name].clone());
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().expect("a name").to_owned();
        let reference = &variable["valueFrom"]["configMapKeyRef"];
        if let Some(value) = variable["value"].as_str() {
            environment.insert(name, value.to_owned());
        } else if let (Some(object), Some(key)) =
            (reference["name"].as_str(), reference["key"].as_str())
        {
            environment.insert(name, config_maps[object][key].clone());
        }
    }
    environment
}

/// Returns converse.py with nothing but this environment and the server.
fn program(environment: &Data, server: &RuntimeServer) -> Option<Command> {
    let mut command = python::with_boto3()?;
    command
        .arg(Path::new(APP).join("converse.py"))
        .env_clear()
        .envs(environment)
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent");
    Some(command)
}

/// Lets converse.py ask a question once.
async fn converse(environment: &Data, server: &RuntimeServer) -> Option<Output> {
    let mut command = program(environment, server)?;
    command.arg("Which city?");
    Some(Output::awaited(command, "").await)
}

/// Returns what AWS knows of the profile in converse.yaml.
fn runtime() -> Runtime {
    Runtime {
        profiles: vec![("eu-west-1".to_owned(), PROFILE.to_owned())],
        profile_only_models: vec![MODEL.to_owned()],
        denied_destination: None,
        answer: "Dublin".to_owned(),
    }
}

#[tokio::test]
async fn converse_calls_the_profile_of_its_config_map() {
    let server = RuntimeServer::start(runtime()).await;
    let Some(run) = converse(&environment("converse.yaml"), &server).await else {
        return;
    };
    assert_eq!(
        (run.code, run.stdout.as_str(), run.stderr.as_str()),
        (Some(0), "Dublin\n", "")
    );
    let calls = server.calls();
    let [call] = calls.as_slice() else {
        panic!("one call: {calls:?}")
    };
    assert_eq!(call.model_id, PROFILE);
    assert_eq!(call.signing_region, "eu-west-1");
    assert_eq!(call.question, "Which city?");
    assert!(
        call.path.starts_with("/model/eu.anthropic."),
        "{}",
        call.path
    );
}

#[tokio::test]
async fn converse_asks_again_until_it_is_terminated() {
    let server = RuntimeServer::start(runtime()).await;
    let Some(mut command) = program(&environment("converse.yaml"), &server) else {
        return;
    };
    command.args(["--every", "0.01"]).stdout(Stdio::null());
    let mut child = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .expect("a process");
    tokio::select! {
        called = timeout(PATIENCE, server.called(2)) => called.expect("two calls"),
        ended = child.wait() => panic!("it goes on: {ended:?}"),
    }
    let id = child.id().expect("it goes on").to_string();
    let terminated = Command::new("kill").arg(id).status();
    assert!(terminated.expect("kill").success());
    let status = child.wait().await.expect("a process of ours");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn converse_names_the_variable_that_is_missing() {
    let server = RuntimeServer::start(runtime()).await;
    for name in ["BEDROCK_INFERENCE_PROFILE_ID", "BEDROCK_SOURCE_REGION"] {
        let mut environment = environment("converse.yaml");
        environment.remove(name).expect("set by the operator");
        let Some(run) = converse(&environment, &server).await else {
            return;
        };
        assert_fails(&run, &[&format!("{name} is not set"), "envFrom"]);
    }
    assert!(server.calls().is_empty());
}

#[tokio::test]
async fn converse_explains_each_refusal_in_one_line() {
    let denied = Runtime {
        denied_destination: Some("eu-south-2".to_owned()),
        ..runtime()
    };
    let rows: [(Runtime, &str, &str, &[&str]); 3] = [
        (
            runtime(),
            "BEDROCK_INFERENCE_PROFILE_ID",
            MODEL,
            &[
                MODEL,
                "only through an inference profile",
                "BEDROCK_INFERENCE_PROFILE_ID",
            ],
        ),
        (
            runtime(),
            "BEDROCK_SOURCE_REGION",
            "us-east-1",
            &[
                "can't be called from us-east-1",
                "set sourceRegion of the binding to us-east-1",
            ],
        ),
        (
            denied,
            "BEDROCK_SOURCE_REGION",
            "eu-west-1",
            &[
                "in eu-south-2:",
                "allow bedrock:InvokeModel",
                "eu-central-1,eu-north-1",
                "explicit deny in a service control policy",
            ],
        ),
    ];
    for (runtime, name, value, said) in rows {
        let server = RuntimeServer::start(runtime).await;
        let mut environment = environment("converse.yaml");
        environment.insert(name.to_owned(), value.to_owned());
        let Some(run) = converse(&environment, &server).await else {
            return;
        };
        assert_fails(&run, said);
        assert_eq!(server.calls().len(), 1, "no refusal is worth a retry");
    }
}

#[track_caller]
fn assert_fails(run: &Output, said: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{}", run.stderr);
    for words in said {
        assert!(run.stderr.contains(words), "{words:?} in {}", run.stderr);
    }
}

#[test]
fn the_proxy_mounts_a_configuration_that_names_the_profile() {
    let pod = pod("litellm.yaml");
    let container = &pod["containers"][0];
    let file = container["args"][1].as_str().expect("a file");
    let (folder, key) = file.rsplit_once('/').expect("a folder");
    let mount = &container["volumeMounts"][0];
    assert_eq!(mount["mountPath"], folder);
    assert_eq!(mount["name"], pod["volumes"][0]["name"]);
    let name = pod["volumes"][0]["configMap"]["name"]
        .as_str()
        .expect("a ConfigMap");

    let content = &config_maps("litellm.yaml")[name][key];
    let configuration: Value = serde_yaml::from_str(content).expect("YAML");
    let models = configuration["model_list"].as_array().expect("a list");
    let [model] = models.as_slice() else {
        panic!("one model: {content}")
    };
    assert_eq!(model["model_name"], "chat");
    let parameters = &model["litellm_params"];
    assert_eq!(parameters["model"], format!("bedrock/converse/{PROFILE}"));
    assert_eq!(parameters["aws_region_name"], "eu-west-1");
    let secret = &configuration["general_settings"]["master_key"];
    let variable = container["env"][0]["name"].as_str().expect("a name");
    assert_eq!(*secret, format!("os.environ/{variable}"));
}

/// The names are those of <https://code.claude.com/docs/en/model-config> and <https://code.claude.com/docs/en/amazon-bedrock>.
#[test]
fn claude_code_gets_every_variable_that_selects_a_model_from_one_object() {
    let [opus, sonnet, haiku] =
        ["opus", "sonnet", "haiku"].map(|family| format!("eu.anthropic.claude-{family}-5-5"));
    let environment = environment("claude-code.yaml");
    let expected = [
        ("ANTHROPIC_DEFAULT_FABLE_MODEL", opus.as_str()),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", &haiku),
        ("ANTHROPIC_DEFAULT_OPUS_MODEL", &opus),
        ("ANTHROPIC_DEFAULT_SONNET_MODEL", &sonnet),
        ("ANTHROPIC_MODEL", &sonnet),
        ("ANTHROPIC_SMALL_FAST_MODEL", &haiku),
        ("AWS_REGION", "eu-west-1"),
        ("CLAUDE_CODE_SUBAGENT_MODEL", &sonnet),
        ("CLAUDE_CODE_USE_BEDROCK", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let home = ("HOME".to_owned(), "/home/claude".to_owned());
    assert_eq!(environment, expected.into_iter().chain([home]).collect());

    // Nothing is optional, so the pod waits for what is not written yet.
    let pod = pod("claude-code.yaml");
    let container = &pod["containers"][0];
    assert!(container.get("envFrom").is_none());
    let config_maps = config_maps("claude-code.yaml");
    let [data] = config_maps.values().collect::<Vec<_>>()[..] else {
        panic!("one object: {config_maps:?}")
    };
    for key in data.keys() {
        let reference = serde_json::json!({"name": key, "valueFrom": {"configMapKeyRef": {"name": "claude-code", "key": key}}});
        let variables = container["env"].as_array().expect("a list");
        assert!(variables.contains(&reference), "{key}");
    }
}
