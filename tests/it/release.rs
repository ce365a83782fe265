//! What makes a release, as far as it can be tried without publishing one: the workflows, and the scripts that they call.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::common::{
    program::Output,
    tools::{skipped, tool},
    yaml::documents,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The targets of Rust that archives are made for, each with its platform and the end of its archive.
const TARGETS: [(&str, &str, &str); 5] = [
    ("x86_64-unknown-linux-gnu", "linux-amd64", "tar.gz"),
    ("aarch64-unknown-linux-gnu", "linux-arm64", "tar.gz"),
    ("x86_64-apple-darwin", "darwin-amd64", "tar.gz"),
    ("aarch64-apple-darwin", "darwin-arm64", "tar.gz"),
    ("x86_64-pc-windows-msvc", "windows-amd64", "zip"),
];

fn file(path: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a script of dev/release/.
fn script(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(Path::new(ROOT).join("dev/release").join(name));
    command
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", "1700000000");
    Output::of(&mut command, "")
}

/// Returns the workflows, by name.
fn workflows() -> Vec<(String, String)> {
    let folder = Path::new(ROOT).join(".github/workflows");
    let entries = fs::read_dir(folder).expect(".github/workflows/");
    let files: Vec<(String, String)> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read_to_string(&path).expect("text"))
        })
        .collect();
    assert!(files.len() >= 2, "the workflows were not found");
    files
}

fn shellcheck() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("shellcheck"))
        .find(|path| path.exists());
    if found.is_none() {
        skipped("shellcheck is not on PATH: make tools");
    }
    found
}

#[test]
fn workflows_have_no_findings() {
    let (Some(actionlint), Some(shellcheck)) = (tool("actionlint"), shellcheck()) else {
        return;
    };
    let mut command = Command::new(actionlint);
    command
        .current_dir(ROOT)
        .arg("-no-color")
        .arg(format!("-shellcheck={}", shellcheck.display()))
        .args(
            workflows()
                .iter()
                .map(|(name, _)| format!(".github/workflows/{name}")),
        );
    Output::of(&mut command, "").ok();
}

#[test]
fn shell_scripts_have_no_findings() {
    let Some(shellcheck) = shellcheck() else {
        return;
    };
    let mut listed = Command::new("git");
    listed
        .current_dir(ROOT)
        .args(["ls-files", "dev", "tests", ".ci"]);
    let listed = Output::of(&mut listed, "").ok();
    let scripts: Vec<&str> = listed
        .lines()
        .filter(|path| {
            let text = fs::read(Path::new(ROOT).join(path)).unwrap_or_default();
            text.starts_with(b"#!/usr/bin/env bash") || text.starts_with(b"#!/bin/sh")
        })
        .collect();
    assert!(
        scripts.len() > 15,
        "the scripts were not found: {scripts:?}"
    );
    let mut command = Command::new(shellcheck);
    command
        .current_dir(ROOT)
        .arg("--severity=warning")
        .args(scripts);
    Output::of(&mut command, "").ok();
}

/// A tag of an action can be moved, a commit can't.
#[test]
fn actions_are_pinned_by_their_commits() {
    let mut seen = BTreeSet::new();
    for (name, text) in workflows() {
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            if action.starts_with("./") {
                continue;
            }
            let (action, version) = action.split_once(" # v").unwrap_or((action, ""));
            let commit = action.split_once('@').map_or("", |(_, commit)| commit);
            assert!(
                commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()),
                "{name}: {line}"
            );
            assert!(!version.is_empty(), "{name}: no version beside {line}");
            seen.insert(action.to_owned());
        }
    }
    let actions: BTreeSet<&str> = seen
        .iter()
        .filter_map(|action| action.split('@').next())
        .collect();
    assert_eq!(actions.len(), seen.len(), "one version each: {seen:#?}");
}

/// In a workflow that another one calls, `github.workflow` is the name of that one: the called one would wait for a group that its own
/// run holds, and GitHub cancels that as a deadlock.
#[test]
fn a_workflow_that_is_called_waits_for_no_group_of_its_caller() {
    let mut groups = BTreeSet::new();
    let mut called = 0;
    for (name, text) in workflows() {
        let workflow = documents(&text).remove(0);
        let group = workflow["concurrency"]["group"].as_str().expect("a group");
        if text.contains("\n  workflow_call:") {
            called += 1;
            assert!(!group.contains("github.workflow "), "{name}: {group}");
        }
        assert!(
            groups.insert(group.to_owned()),
            "{name}: {group} is another's"
        );
    }
    assert!(called > 0, "no workflow is called");
}

#[test]
fn workflows_build_as_everything_else_does() {
    let dockerfile = file("Dockerfile");
    let (_, image) = dockerfile.split_once("FROM rust:").expect("Rust");
    let rust = image.split('-').next().expect("a version");
    let manifest = file("Cargo.toml");
    for (name, text) in workflows() {
        for (place, _) in text.match_indices("rustup default ") {
            let version = text[place..].split_whitespace().nth(2);
            assert_eq!(version, Some(rust), "{name}");
        }
        for (place, _) in text.match_indices("--features ") {
            let feature = text[place..].split_whitespace().nth(1).expect("a feature");
            assert!(
                manifest.contains(&format!("\n{feature} = [")),
                "{name}: {feature}"
            );
        }
    }
    let ci = file(".github/workflows/ci.yml");
    assert!(ci.contains(&format!("rust:{rust}-bookworm")), "{rust}");
    assert!(ci.contains("bash .ci/run"), "{ci}");
}

#[test]
fn a_version_is_released_only_where_everything_names_it() {
    assert_eq!(script("version", &[]).ok().trim(), VERSION);
    let refused = script("version", &["v9.9.9"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    let said = format!("the tag is v9.9.9, not v{VERSION}");
    assert!(refused.stderr.contains(&said), "{refused:#?}");
}

#[test]
fn the_notes_are_a_section_of_the_changelog() {
    let notes = script("notes", &["Unreleased"]).ok();
    assert!(notes.contains("- "), "{notes}");
    assert!(!notes.contains("\n## "), "{notes}");
    let refused = script("notes", &["9.9.9"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
}

/// Makes the files of a release from programs that are none.
fn assets() -> Option<tempfile::TempDir> {
    tool("helm")?;
    let folder = tempfile::tempdir().expect("a folder");
    for (target, ..) in TARGETS {
        let end = if target.contains("windows") {
            ".exe"
        } else {
            ""
        };
        let parts = folder
            .path()
            .join("parts")
            .join(format!("program-{target}"));
        fs::create_dir_all(&parts).expect("a folder");
        let program = parts.join(format!("inference-profile-operator{end}"));
        fs::write(program, format!("#!/bin/sh\necho {target}\n")).expect("a program");
    }
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let arguments = [VERSION, &path("parts"), &path("assets"), &digest];
    script("assets", &arguments).ok();
    Some(folder)
}

#[test]
fn a_release_has_archives_manifests_and_their_checksums() {
    let Some(folder) = assets() else { return };
    let assets = folder.path().join("assets");
    let run = |command: &mut Command| Output::of(command.current_dir(&assets), "").ok();
    let mut expected =
        BTreeSet::from(["checksums.txt", "install.yaml", "ipb.yaml"].map(str::to_owned));
    for (target, platform, end) in TARGETS {
        let archive = format!("inference-profile-operator-v{VERSION}-{platform}.{end}");
        let unpacked = folder.path().join(platform);
        fs::create_dir(&unpacked).expect("a folder");
        let exe = if end == "zip" {
            let mut unzip = Command::new("python3");
            run(unzip.args(["-m", "zipfile", "-e", &archive]).arg(&unpacked));
            ".exe"
        } else {
            // krew unpacks files and folders; an archive with anything else in it, it refuses.
            let listed = run(Command::new("tar").args(["-tvzf", &archive]));
            let is_file = |line: &str| line.starts_with('-');
            assert!(listed.lines().all(is_file), "{archive}: {listed}");
            run(Command::new("tar")
                .args(["-xzf", &archive, "-C"])
                .arg(&unpacked));
            let program = unpacked.join("kubectl-ipb");
            let said = Output::of(&mut Command::new(program), "").ok();
            assert_eq!(said.trim(), target, "it can be run");
            ""
        };
        let found: BTreeSet<String> = fs::read_dir(&unpacked)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        let programs =
            ["inference-profile-operator", "kubectl-ipb"].map(|name| format!("{name}{exe}"));
        let documents = ["LICENSE", "README.md"].map(str::to_owned);
        assert_eq!(
            found,
            programs.into_iter().chain(documents).collect(),
            "{archive}"
        );
        expected.insert(archive);
    }
    let found: BTreeSet<String> = fs::read_dir(&assets)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(found, expected);
    run(Command::new("sha256sum").args(["--check", "--strict", "checksums.txt"]));
    let checksums = fs::read_to_string(assets.join("checksums.txt")).expect("checksums");
    assert_eq!(checksums.lines().count(), TARGETS.len() + 1, "{checksums}");
    // The same programs give the same bytes.
    let again = self::assets().expect("made before");
    let again = fs::read_to_string(again.path().join("assets/checksums.txt")).expect("checksums");
    assert_eq!(again, checksums);
}

#[test]
fn krew_finds_an_archive_for_each_platform() {
    let Some(folder) = assets() else { return };
    let read =
        |name: &str| fs::read_to_string(folder.path().join("assets").join(name)).expect(name);
    let manifest = documents(&read("ipb.yaml")).remove(0);
    assert_eq!(
        manifest["apiVersion"],
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(manifest["metadata"]["name"], "ipb");
    let spec = &manifest["spec"];
    assert_eq!(spec["version"], format!("v{VERSION}"));
    let short = spec["shortDescription"].as_str().expect("a text");
    // As krew's index asks for.
    assert!(short.len() <= 50 && !short.contains('\n'), "{short}");
    let checksums = read("checksums.txt");
    let platforms = spec["platforms"].as_array().expect("platforms");
    assert_eq!(platforms.len(), TARGETS.len());
    for (platform, (_, name, end)) in platforms.iter().zip(TARGETS) {
        let (os, arch) = name.split_once('-').expect("two words");
        assert_eq!(
            platform["selector"],
            json!({"matchLabels": {"os": os, "arch": arch}})
        );
        let archive = format!("inference-profile-operator-v{VERSION}-{name}.{end}");
        let uri = platform["uri"].as_str().expect("a URI");
        assert!(
            uri.starts_with("https://") && uri.ends_with(&format!("/v{VERSION}/{archive}")),
            "{uri}"
        );
        let sum = platform["sha256"].as_str().expect("a checksum");
        assert!(
            checksums.contains(&format!("{sum}  {archive}")),
            "{archive}"
        );
        let exe = if end == "zip" { ".exe" } else { "" };
        assert_eq!(platform["bin"], format!("kubectl-ipb{exe}"));
    }

    let short = folder.path().join("short");
    fs::write(&short, "").expect("written");
    let refused = script("krew", &[VERSION, short.to_str().expect("UTF-8")]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("linux-arm64"), "{refused:#?}");
}

/// tests/apiserver/chart.rs applies it.
#[test]
fn install_yaml_names_one_image_and_waits_for_its_region() {
    let Some(folder) = assets() else { return };
    let text = fs::read_to_string(folder.path().join("assets/install.yaml")).expect("manifests");
    let objects = documents(&text);
    assert_eq!(objects[0]["kind"], "Namespace");
    let home = &objects[0]["metadata"]["name"];
    for object in &objects {
        let namespace = object["metadata"].get("namespace");
        assert!(
            namespace.is_none_or(|namespace| namespace == home),
            "{object:#}"
        );
        let labels = object["metadata"]["labels"].as_object();
        let of_helm = labels.is_some_and(|labels| labels.values().any(|value| value == "Helm"));
        assert!(!of_helm, "{object:#}");
        assert!(
            object["metadata"]["annotations"]
                .get("helm.sh/hook")
                .is_none()
        );
    }
    let of_kind = |kind: &str| -> Vec<&Value> {
        objects
            .iter()
            .filter(|object| object["kind"] == kind)
            .collect()
    };
    assert_eq!(of_kind("CustomResourceDefinition").len(), 2);
    let container = &of_kind("Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let image = container["image"].as_str().expect("an image");
    assert!(image.contains("@sha256:"), "{image}");
    let region = json!({"name": "AWS_REGION", "valueFrom": {"configMapKeyRef": {
        "name": "inference-profile-operator-environment", "key": "AWS_REGION",
    }}});
    let variables = container["env"].as_array().expect("variables");
    assert!(variables.contains(&region), "{variables:#?}");
}
