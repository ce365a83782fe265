//! `scan`, as a person or a pipeline calls it: on files, on standard input, and on a stand-in for an apiserver.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    sync::Arc,
};

use axum::{Json, Router, extract::Request, http::StatusCode, response::IntoResponse};
use inference_profile_operator::{catalog::embedded::Embedded, scan::Verdict};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    cli::assert_golden,
    common::{
        chart::{self, sets_of_values},
        program::{Output, PROGRAM},
        serving::Serving,
        tools::{skipped, tool},
        yaml::documents,
    },
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SHOP: &str = "tests/scan/shop";
const DAY: [&str; 2] = ["--at", "2026-11-28"];

/// Runs `scan` in a folder, in an empty environment.
fn scan_in(folder: &Path, arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .arg("scan")
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .current_dir(folder);
    Output::of(&mut command, stdin)
}

fn scan(arguments: &[&str]) -> Output {
    scan_in(Path::new(ROOT), arguments, "")
}

/// Returns the findings of a report as (file, line, text).
fn found(report: &str) -> Vec<(String, u64, String)> {
    let report: Value = serde_json::from_str(report).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let findings = report["findings"].as_array().expect("a list");
    findings
        .iter()
        .map(|it| {
            (
                text(&it["file"]),
                it["line"].as_u64().expect("a line"),
                text(&it["text"]),
            )
        })
        .collect()
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

#[test]
fn a_tree_is_reported_in_each_format() {
    let in_ireland = ["--region", "eu-west-1", "--allowed-regions", "@eu"];
    for (name, arguments) in [
        ("scan-shop.txt", [].as_slice()),
        ("scan-shop-ireland.txt", &in_ireland),
        (
            "scan-shop-ireland.json",
            &[in_ireland.as_slice(), &["-o", "json"]].concat(),
        ),
        (
            "scan-shop-ireland.sarif",
            &[in_ireland.as_slice(), &["-o", "sarif"]].concat(),
        ),
        (
            "scan-shop-suggested.yaml",
            &[in_ireland.as_slice(), &["--suggest"]].concat(),
        ),
    ] {
        let output = scan(&[&[SHOP], DAY.as_slice(), arguments].concat());
        let summary = output.stderr.lines().last().expect("a summary").to_owned();
        assert!(summary.starts_with("findings: 12 ("), "{summary}");
        assert!(
            summary.ends_with("; files read: 5; on lines to ignore: 1; in bindings: 1"),
            "{summary}"
        );
        assert_golden(name, &output.ok());
    }
}

#[test]
fn what_is_suggested_is_bindings_that_are_bound() {
    let arguments = [
        "--region",
        "eu-west-1",
        "--allowed-regions",
        "@eu",
        "--suggest",
    ];
    let suggested = scan(&[&[SHOP], DAY.as_slice(), &arguments].concat()).ok();
    let mut render = Command::new(PROGRAM);
    render
        .args(["render", "-f", "-", "--allowed-regions", "@eu"])
        .args(DAY)
        .env_clear();
    let rendered = Output::of(&mut render, &suggested).ok();
    let objects = documents(&rendered);
    let kind = |kind: &str| objects.iter().filter(|it| it["kind"] == kind).count();
    assert_eq!(kind("ConfigMap"), kind("InferenceProfileBinding"));
    assert!(kind("ConfigMap") >= 5, "{rendered}");
    // Where a pod is told to look, there the value is.
    for line in suggested
        .lines()
        .filter_map(|line| line.split_once("configMapKeyRef: "))
    {
        let reference = &documents(line.1)[0];
        let config_map = objects
            .iter()
            .find(|it| it["kind"] == "ConfigMap" && it["metadata"]["name"] == reference["name"]);
        let key = reference["key"].as_str().expect("a key");
        assert!(
            config_map.expect(line.1)["data"][key].is_string(),
            "{}",
            line.1
        );
    }
    // What was suggested is not found again.
    let again = scan_in(Path::new(ROOT), &["-", "-o", "json"], &suggested);
    let replaced = |text: &str| text.starts_with("# ");
    let report: Value = serde_json::from_str(&again.ok()).expect("JSON");
    let lines: Vec<&str> = suggested.lines().collect();
    for finding in report["findings"].as_array().expect("a list") {
        let line = finding["line"].as_u64().expect("a line");
        let line = lines[usize::try_from(line).expect("a line") - 1];
        assert!(replaced(line), "{line}");
    }
}

/// The structure that SARIF 2.1.0 requires, and code hosts rely on.
#[test]
fn sarif_has_the_structure_of_its_standard() {
    let output = scan(&[&[SHOP, "-o", "sarif"], DAY.as_slice()].concat()).ok();
    let log: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    assert!(
        log["$schema"]
            .as_str()
            .expect("a schema")
            .ends_with("sarif-schema-2.1.0.json")
    );
    let [run] = log["runs"].as_array().expect("runs").as_slice() else {
        panic!("{log}")
    };
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "inference-profile-operator");
    let rules = driver["rules"].as_array().expect("rules");
    let ids: Vec<&str> = rules
        .iter()
        .map(|it| it["id"].as_str().expect("an ID"))
        .collect();
    assert_eq!(ids, Verdict::ALL.map(Verdict::as_str));
    let levels = ["none", "note", "warning", "error"];
    let is_level = |value: &Value| value.as_str().is_some_and(|level| levels.contains(&level));
    for rule in rules {
        assert!(is_level(&rule["defaultConfiguration"]["level"]), "{rule}");
        assert!(
            rule["shortDescription"]["text"]
                .as_str()
                .is_some_and(|it| it.ends_with('.'))
        );
    }
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 12);
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("an index");
        assert_eq!(
            result["ruleId"],
            ids[usize::try_from(index).expect("an index")]
        );
        assert!(is_level(&result["level"]), "{result}");
        assert!(
            result["message"]["text"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let [location] = result["locations"]
            .as_array()
            .expect("locations")
            .as_slice()
        else {
            panic!("{result}")
        };
        let physical = &location["physicalLocation"];
        let uri = physical["artifactLocation"]["uri"].as_str().expect("a URI");
        let region = &physical["region"];
        let number = |name: &str| usize::try_from(region[name].as_u64().expect(name)).expect(name);
        let file = fs::read_to_string(Path::new(ROOT).join(uri)).expect(uri);
        let line = file.lines().nth(number("startLine") - 1).expect("a line");
        let at = number("startColumn") - 1..number("endColumn") - 1;
        assert_eq!(
            line[at],
            *region["snippet"]["text"].as_str().expect("a snippet")
        );
    }
}

/// Manifests, charts, code and prose that name providers, hosts, packages and keys, but no model of Bedrock.
#[test]
fn ordinary_files_have_no_findings() {
    let output = scan(&["tests/scan/ordinary", "--fail-on", "any"]);
    let summary = output.stderr.clone();
    assert_eq!(output.ok(), "");
    assert!(
        summary.starts_with("findings: 0; files read: 11"),
        "{summary}"
    );
}

/// The chart of this project is an ordinary one, but for the examples in the texts of its custom resource definition, and for
/// models that its values name.
#[test]
fn the_rendered_chart_has_no_findings_of_its_own() {
    let Some(helm) = tool("helm") else { return };
    let mut objects = 0;
    for (name, values) in sets_of_values() {
        let Ok(rendered) = chart::rendered(&helm, "shop", "shop", &values) else {
            continue;
        };
        let mut manifests: Vec<Value> = documents(&rendered);
        manifests.retain(|it| it["kind"] != "CustomResourceDefinition" && !it.is_null());
        objects += manifests.len();
        let text = serde_json::to_string_pretty(&manifests).expect("JSON");
        let output = scan_in(Path::new(ROOT), &["-", "-o", "json"], &text);
        for (_, line, id) in found(&output.ok()) {
            // A rule of admission names the models that it allows.
            assert!(values.contains(&id), "{name}, line {line}: {id}");
        }
    }
    assert!(objects > 100, "{objects} objects were rendered");
}

/// Where an ID may stand in a line.
const SURROUNDINGS: [&str; 20] = [
    "model: ID",
    "  model: \"ID\"",
    "- 'ID'",
    "MODEL_ID=ID",
    "export MODEL_ID=\"${MODEL_ID:-ID}\"",
    "    modelId = \"ID\"  # the model",
    "{\"modelId\": \"ID\", \"body\": {}}",
    "\"settings\": \"model:\\n  ID\\n\"",
    "const MODEL: &str = \"ID\";",
    "args: [\"--model\", \"ID\"]",
    "args: [--model=ID]",
    "model: bedrock/ID",
    "model: bedrock/converse/ID",
    "https://bedrock-runtime.us-east-1.amazonaws.com/model/ID/invoke",
    "curl 'https://example.com/?modelId=ID&stream=1'",
    "| `ID` | 1 |",
    "Use ID, which is fast.",
    "<code>ID</code>",
    "model_id: str = os.environ.get('MODEL', 'ID')",
    "key:ID;other:1",
];

/// Two hundred IDs and ARNs of the embedded data, planted among ordinary files, are found, and nothing else is.
#[test]
fn two_hundred_planted_ones_are_found() {
    let data = Embedded::load();
    let mut random = fastrand::Rng::with_seed(20_261_128);
    let mut ids: Vec<String> = Vec::new();
    for model in data.models().chain(data.models_without_profile()) {
        ids.push(model.to_string());
        ids.push(format!(
            "arn:aws:bedrock:us-east-1::foundation-model/{model}"
        ));
        let retired = data.retired(model).map(|it| it.id.to_string());
        let current = data.current_routes(model).into_keys();
        let current = current.map(|geography| format!("{geography}.{model}"));
        for id in current.chain(retired) {
            ids.push(format!(
                "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/{id}"
            ));
            ids.push(id);
        }
    }
    for number in 0..20 {
        ids.push(format!(
            "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a{number}b"
        ));
    }
    random.shuffle(&mut ids);
    let folder = tempfile::tempdir().expect("a folder");
    let ordinary: Vec<String> = fs::read_dir(Path::new(ROOT).join("tests/scan/ordinary"))
        .expect("a folder")
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a text"))
        .collect();
    let mut expected = Vec::new();
    let mut surroundings = SURROUNDINGS.iter().cycle();
    for file in 0..40 {
        let name = format!("{}/{file}.txt", random.u32(0..5));
        let mut lines: Vec<String> = Vec::new();
        for _ in 0..5 {
            let others = &ordinary[random.usize(0..ordinary.len())];
            lines.extend(others.lines().map(ToOwned::to_owned));
            let id = ids.pop().expect("an ID");
            // Within a URL, an ID is encoded.
            let surrounding = surroundings.next().expect("a line");
            let id = if surrounding.contains("https://") {
                id.replace(':', "%3A").replace('/', "%2F")
            } else {
                id
            };
            lines.push(
                surrounding
                    .replace("ID", &id)
                    .replace(&format!("MODEL_{id}"), "MODEL_ID"),
            );
            expected.push((name.clone(), lines.len() as u64, id));
        }
        write(folder.path(), &name, lines.join("\n"));
    }
    assert_eq!(expected.len(), 200);
    let output = scan_in(folder.path(), &[".", "-o", "json"], "");
    let found: BTreeSet<_> = found(&output.ok()).into_iter().collect();
    let expected: BTreeSet<_> = expected.into_iter().collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let wrong: Vec<_> = found.difference(&expected).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "missing {missing:#?} wrong {wrong:#?}"
    );
}

#[test]
fn files_in_utf_16_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "\u{feff}a: \u{fc}\r\nb: amazon.nova-pro-v1:0\r\n";
    let units = || text.encode_utf16();
    let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
    for (name, bytes) in [("big", big), ("little", little)] {
        write(folder.path(), name, bytes);
    }
    let output = scan_in(folder.path(), &[".", "--fail-on", "any"], "");
    assert_eq!(output.code, Some(3), "{output:#?}");
    assert_eq!(
        output.stdout,
        "big\n  2:4  HardCoded  amazon.nova-pro-v1:0\n\nlittle\n  2:4  HardCoded  amazon.nova-pro-v1:0\n"
    );
}

#[test]
fn folders_are_read_as_git_sees_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let id = "amazon.nova-pro-v1:0";
    for name in [
        "a.txt",
        ".github/b.yaml",
        ".git/config",
        "target/c.txt",
        "d/e.txt",
        "d/f.log",
    ] {
        write(folder.path(), name, id);
    }
    write(folder.path(), ".gitignore", "/target\n");
    write(folder.path(), "d/.gitignore", "*.log\n");
    write(folder.path(), "binary", format!("\0{id}"));
    write(
        folder.path(),
        "large",
        format!("{}{id}", " ".repeat(16 << 20)),
    );
    let output = scan_in(folder.path(), &["."], "");
    assert!(output.stderr.contains("binary files: 1"), "{output:#?}");
    assert!(
        output
            .stderr
            .contains("large has more than 16777216 bytes: those after them are not read"),
        "{output:#?}"
    );
    let files: Vec<&str> = output
        .stdout
        .lines()
        .filter(|it| it.starts_with(|c| c != ' '))
        .collect();
    assert_eq!(files, [".github/b.yaml", "a.txt", "d/e.txt"]);
    // What is named is read, whatever .gitignore says, and once.
    let output = scan_in(
        folder.path(),
        &["target/c.txt", "target", "target/c.txt", "-o", "json"],
        "",
    );
    let once = [("target/c.txt".to_owned(), 1, id.to_owned())];
    assert_eq!(found(&output.ok()), once);
    // What was not read to its end proves nothing.
    let output = scan_in(folder.path(), &["large", "--fail-on", "any"], "");
    assert_eq!(output.code, Some(1), "{output:#?}");
}

#[test]
fn the_exit_code_is_that_of_a_gate() {
    let gone = "us.anthropic.claude-3-5-sonnet-20240620-v1:0";
    let legacy = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
    for (text, arguments, code) in [
        (gone, [].as_slice(), 0),
        (gone, &["--fail-on", "any"], 3),
        (gone, &["--fail-on", "Gone"], 3),
        (gone, &["--fail-on", "legacy,gone"], 3),
        (gone, &["--fail-on", "WrongGeography"], 0),
        ("nothing", &["--fail-on", "any"], 0),
        (legacy, &["--min-days-to-end-of-life", "131"], 0),
        (legacy, &["--min-days-to-end-of-life", "132"], 3),
        (legacy, &["--suggest", "--fail-on", "any"], 3),
        (legacy, &["--fail-on", "Old"], 2),
        (legacy, &["--suggest", "-o", "json"], 2),
        (legacy, &["--cluster"], 2),
        (legacy, &["-n", "shop"], 2),
        (legacy, &["/nonexistent"], 2),
        (legacy, &["--region", "nowhere"], 2),
    ] {
        let all = [&["-"], DAY.as_slice(), arguments].concat();
        let output = scan_in(Path::new(ROOT), &all, text);
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:#?}");
    }
    let output = scan(&[]);
    assert_eq!(output.code, Some(2), "{output:#?}");
}

#[test]
fn standard_input_is_read() {
    let output = scan_in(Path::new(ROOT), &["-"], "a\n b eu.amazon.nova-pro-v1:0\n");
    assert_eq!(
        output.ok(),
        "standard input\n  2:4  HardCoded  eu.amazon.nova-pro-v1:0\n"
    );
}

#[test]
fn a_directory_of_listings_is_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let listing = json!({ "inferenceProfileSummaries": [] });
    write(folder.path(), "eu-west-1.json", listing.to_string());
    let catalog = format!("directory:{}", folder.path().display());
    let text = "eu.amazon.nova-pro-v1:0\narn:aws:bedrock:eu-west-3:111122223333:inference-profile/eu.amazon.nova-pro-v1:0";
    let arguments = ["-", "--catalog", &catalog, "--region", "eu-west-1"];
    let output = scan_in(Path::new(ROOT), &arguments, text);
    let says = "eu-west-3, which an ARN names, is judged by the embedded data: ";
    assert!(output.stderr.contains(says), "{output:#?}");
    let stdout = output.ok();
    assert!(stdout.contains("1:1  Gone "), "{stdout}");
    assert!(stdout.contains("2:1  HardCoded "), "{stdout}");
}

/// An apiserver with two pages of ConfigMaps, which refuses to list `StatefulSets`, and what was asked of it.
async fn apiserver() -> (Serving, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let router = Router::new().fallback(move |request: Request| {
        let uri = request.uri().clone();
        log.lock().push(uri.path().to_owned());
        async move { answer(uri.path(), uri.query().unwrap_or_default()).into_response() }
    });
    (Serving::router(router).await, asked)
}

fn answer(path: &str, query: &str) -> (StatusCode, Json<Value>) {
    let list = |kind: &str, items: Value, more: &str| {
        let list = json!({
            "apiVersion": "v1", "kind": format!("{kind}List"),
            "metadata": { "continue": more, "resourceVersion": "1" }, "items": items,
        });
        (StatusCode::OK, Json(list))
    };
    let status = |code: StatusCode, reason: &str, message: &str| {
        let status = json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code.as_u16(),
            "reason": reason, "message": message,
        });
        (code, Json(status))
    };
    let kind = path.rsplit('/').next().unwrap_or_default();
    let meta = |name: &str| json!({ "name": name, "namespace": "shop" });
    let pod = |model: &str| {
        json!({ "spec": { "containers": [{
            "name": "app", "env": [{ "name": "MODEL", "value": model }],
            "args": ["--small", "us.amazon.nova-lite-v1:0"],
        }] } })
    };
    match kind {
        "configmaps" if query.contains("continue=second") => {
            let ours = json!({ "name": "ours", "namespace": "shop",
                "labels": { "inferenceprofiles.dev/managed": "true" } });
            let items = json!([
                { "metadata": ours, "data": { "a": "eu.amazon.nova-lite-v1:0" } },
                { "metadata": meta("second"), "data": { "settings": "a: 1\nmodel: eu.amazon.nova-pro-v1:0\n" } },
            ]);
            list("ConfigMap", items, "")
        }
        "configmaps" => {
            let items = json!([{ "metadata": meta("first"), "data": { "a": "eu.amazon.nova-micro-v1:0" } }]);
            list("ConfigMap", items, "second")
        }
        "deployments" => {
            let spec = json!({ "selector": {}, "template": pod("anthropic.claude-sonnet-5-5") });
            list(
                "Deployment",
                json!([{ "metadata": meta("app"), "spec": spec }]),
                "",
            )
        }
        "statefulsets" => status(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "statefulsets.apps is forbidden: User \"jane\" cannot list resource",
        ),
        "daemonsets" => list("DaemonSet", json!([]), ""),
        "cronjobs" => {
            let job = json!({ "spec": { "template": pod("eu.amazon.nova-pro-v1:0") } });
            let spec = json!({ "schedule": "@daily", "jobTemplate": job });
            list(
                "CronJob",
                json!([{ "metadata": meta("nightly"), "spec": spec }]),
                "",
            )
        }
        "jobs" => {
            let owned = json!({ "name": "nightly-1", "namespace": "shop", "ownerReferences": [
                { "apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "1" }] });
            let spec = json!({ "template": pod("eu.amazon.nova-pro-v1:0") });
            list("Job", json!([{ "metadata": owned, "spec": spec }]), "")
        }
        "shop" => (
            StatusCode::OK,
            Json(json!({ "metadata": { "name": "shop" } })),
        ),
        _ => status(StatusCode::NOT_FOUND, "NotFound", "not found"),
    }
}

async fn scan_cluster(server: &Serving, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
        "clusters": [
            { "name": "c", "cluster": { "server": server.url() } },
            { "name": "n", "cluster": { "server": "http://127.0.0.1:9" } },
        ],
        "contexts": [
            { "name": "test", "context": { "cluster": "c", "user": "u", "namespace": "shop" } },
            { "name": "nowhere", "context": { "cluster": "n", "user": "u" } },
        ],
        "users": [{ "name": "u", "user": {} }],
    });
    write(folder.path(), "config", kubeconfig.to_string());
    let mut command = Command::new(PROGRAM);
    command
        .args(["scan", "--cluster", "--context", "test"])
        .args(DAY)
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", folder.path().join("config"));
    Output::awaited(command, "").await
}

#[tokio::test]
async fn a_cluster_is_scanned_but_for_its_secrets() {
    let (server, asked) = apiserver().await;
    let output = scan_cluster(&server, &[]).await;
    let forbidden =
        "the statefulsets of namespace shop may not be listed: statefulsets.apps is forbidden";
    assert!(output.stderr.contains(forbidden), "{output:#?}");
    assert!(
        output
            .stderr
            .contains("; objects that the operator writes: 1"),
        "{output:#?}"
    );
    assert_golden("scan-cluster.txt", &output.ok());
    let asked: BTreeMap<String, usize> =
        asked
            .lock()
            .drain(..)
            .fold(BTreeMap::new(), |mut counts, path| {
                *counts.entry(path).or_default() += 1;
                counts
            });
    let kinds: Vec<(&str, usize)> = asked
        .iter()
        .map(|(path, count)| (path.rsplit('/').next().expect("a kind"), *count))
        .collect();
    assert_eq!(
        kinds,
        [
            ("shop", 1),
            ("configmaps", 2),
            ("daemonsets", 1),
            ("deployments", 1),
            ("statefulsets", 1),
            ("cronjobs", 1),
            ("jobs", 1),
        ],
        "nothing else is asked for, Secrets least of all"
    );
    // A gate does not pass what it could not see.
    let output = scan_cluster(&server, &["--fail-on", "Gone"]).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
}

#[tokio::test]
async fn namespaces_of_a_cluster_are_named() {
    let (server, asked) = apiserver().await;
    let output = scan_cluster(&server, &["-n", "shpo"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output.stderr.contains("there is no namespace shpo"),
        "{output:#?}"
    );
    asked.lock().clear();
    scan_cluster(&server, &["-A", "-o", "sarif"]).await.ok();
    assert!(
        asked.lock().contains(&"/api/v1/configmaps".to_owned()),
        "{asked:?}"
    );
}

/// Runs a command of an example by a shell that finds the program on its path.
fn shell(command: &str, environment: &[(&str, &str)], folder: &Path) -> Option<Output> {
    let found = Command::new("bash").arg("--version").output();
    if !found.is_ok_and(|found| found.status.success()) {
        skipped("there is no bash");
        return None;
    }
    let program = Path::new(PROGRAM).parent().expect("a folder").display();
    let path = std::env::var("PATH").expect("a path");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", command])
        .env_clear()
        .env("PATH", format!("{program}:{path}"))
        .envs(environment.iter().copied())
        .current_dir(folder);
    Some(Output::of(&mut bash, ""))
}

fn example(name: &str) -> Value {
    let path = Path::new(ROOT).join("examples/scan").join(name);
    let text = fs::read_to_string(path).expect(name);
    documents(&text).remove(0)
}

#[test]
fn the_pre_commit_hook_works() {
    let config = example("pre-commit-config.yaml");
    let entry = config["repos"][0]["hooks"][0]["entry"]
        .as_str()
        .expect("an entry");
    let folder = tempfile::tempdir().expect("a folder");
    write(
        folder.path(),
        "good.yaml",
        "model: eu.amazon.nova-lite-v1:0",
    );
    write(folder.path(), "bad.yaml", "model: ap.amazon.nova-lite-v1:0");
    for (files, code) in [("good.yaml", 0), ("good.yaml bad.yaml", 3)] {
        let Some(output) = shell(&format!("{entry} {files}"), &[], folder.path()) else {
            return;
        };
        assert_eq!(output.code, Some(code), "{output:#?}");
    }
}

#[test]
fn the_github_action_works() {
    let action = example("action.yml");
    let inputs = action["inputs"].as_object().expect("inputs");
    let value = |expression: &str| -> String {
        let name = expression
            .trim_start_matches("${{ inputs.")
            .trim_end_matches(" }}");
        let input = inputs
            .get(name)
            .unwrap_or_else(|| panic!("no input {name}"));
        input["default"].as_str().expect("a default").to_owned()
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (text, code) in [
        ("eu.amazon.nova-lite-v1:0", 0),
        ("ap.amazon.nova-lite-v1:0", 3),
    ] {
        write(folder.path(), "a.yaml", text);
        let mut codes = Vec::new();
        for step in action["runs"]["steps"].as_array().expect("steps") {
            let Some(command) = step["run"].as_str() else {
                assert_eq!(step["with"]["sarif_file"], "bedrock-models.sarif");
                continue;
            };
            let environment: Vec<(String, String)> = step["env"]
                .as_object()
                .expect("an environment")
                .iter()
                .map(|(name, expression)| {
                    (name.clone(), value(expression.as_str().expect("a text")))
                })
                .collect();
            let environment: Vec<(&str, &str)> = environment
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let Some(output) = shell(command, &environment, folder.path()) else {
                return;
            };
            codes.push(output.code);
        }
        assert_eq!(codes, [Some(0), Some(code)]);
    }
    let log = fs::read_to_string(folder.path().join("bedrock-models.sarif")).expect("a log");
    let log: Value = serde_json::from_str(&log).expect("JSON");
    assert_eq!(log["runs"][0]["results"][0]["ruleId"], "UnknownPrefix");
}
