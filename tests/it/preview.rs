//! `preview` of files against files, as a person or a pipeline calls it.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    cli::assert_golden,
    common::program::{Output, PROGRAM},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OLD: &str = "tests/preview/old.yaml";
const NEW: &str = "tests/preview/new.yaml";

fn preview_of(stdin: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(["preview", "--at", "2026-11-28"])
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .current_dir(ROOT);
    Output::of(&mut command, stdin)
}

fn preview(arguments: &[&str]) -> Output {
    preview_of("", arguments)
}

#[track_caller]
fn rows(output: &Output) -> Vec<String> {
    let report: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = report["bindings"].as_array().expect("a list").iter();
    rows.map(|row| {
        let fields = ["namespace", "name", "effect", "valueThen"];
        fields.map(|field| text(&row[field])).join(" ")
    })
    .collect()
}

#[test]
fn an_edit_is_shown_in_each_format() {
    for (name, format) in [("preview.txt", "table"), ("preview.json", "json")] {
        let output = preview(&["-f", NEW, "--against", OLD, "-o", format]);
        assert_eq!(output.code, Some(3), "two would not be Ready: {output:#?}");
        assert_golden(name, &output.stdout);
        assert_eq!(
            output.stderr,
            "bindings: 7, would stay as they are: 2, would change: 5, would lose Ready or their value: 2, not judged: 0; workloads that would restart: 1\n"
        );
    }
}

#[test]
fn what_is_not_edited_is_counted_only() {
    let output = preview(&["-f", OLD, "--against", OLD]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout, "");
    assert!(
        output
            .stderr
            .starts_with("bindings: 5, would stay as they are: 5, would change: 0"),
        "{output:#?}"
    );
}

/// A Namespace alone: its labels choose the stage, its limit takes a value away.
#[test]
fn a_namespace_alone_moves_and_withdraws() {
    let namespace =
        |rest: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, {rest}}}\n");
    let arguments = ["-f", "-", "--against", OLD, "-o", "json"];
    let output = preview_of(&namespace("labels: {stage: dev}"), &arguments);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let opus = "eu.anthropic.claude-opus-5-5";
    assert_eq!(
        rows(&output),
        [
            format!("shop batch Moves {opus}"),
            format!("shop web Moves {opus}")
        ]
    );
    let limit = "annotations: {inferenceprofiles.dev/allowed-regions: '@us'}";
    let output = preview_of(&namespace(limit), &arguments);
    assert_eq!(output.code, Some(3), "{output:#?}");
    assert_eq!(
        rows(&output),
        [
            "shop batch Withdrawn ",
            "shop own Withdrawn ",
            "shop web Withdrawn "
        ]
    );
}

#[test]
fn what_a_catalog_can_not_answer_is_not_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(
        folder.path().join("us-east-1.json"),
        r#"{"inferenceProfileSummaries": []}"#,
    )
    .expect("written");
    let catalog = format!("directory:{}", folder.path().display());
    let output = preview(&["-f", NEW, "--against", OLD, "--catalog", &catalog]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("not judged: 7"), "{output:#?}");
    assert!(output.stderr.contains("and 2 more that can't be judged"));
}

#[test]
fn application_profiles_that_are_not_known_are_told() {
    let binding = "apiVersion: inferenceprofiles.dev/v1alpha1\nkind: InferenceProfileBinding\nmetadata: {name: a, namespace: shop}\nspec: {className: chat, sourceRegion: eu-west-1, application: {name: shop-chat}}\n";
    let output = preview_of(binding, &["-f", "-", "--against", OLD]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    for part in [
        "not judged: 1",
        "shop/a",
        "the catalog has no application profiles: use --catalog bedrock",
    ] {
        assert!(output.stderr.contains(part), "{part}: {output:#?}");
    }
}

#[test]
fn bad_input_is_told() {
    let output = preview(&["-f", "docs", "--against", OLD]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let output = preview_of(config_map, &["-f", "-", "--against", OLD]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output
            .stderr
            .contains("no InferenceProfileClass or InferenceProfileBinding was found"),
        "{output:#?}"
    );
    let output = preview(&["-f", NEW]);
    assert_eq!(output.code, Some(1), "no cluster: {output:#?}");
}
