//! `served-regions`: from files as AWS lays them out to tables, exit codes, and the SQL for Athena.

mod live;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::{
    cli::assert_golden,
    common::program::{Output, PROGRAM},
    python,
    records::{self, Expected, FORBIDDEN, Key, Kind, Recipe},
};

const SONNET_IN_THE_EU: &str = "eu.anthropic.claude-sonnet-5-5";

/// Runs `served-regions` in a folder, without AWS and without a cluster.
fn served_in(folder: &Path, stdin: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .arg("served-regions")
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder);
    Output::of(&mut command, stdin)
}

fn record(id: &str, minute: u8, served_in: Option<&str>) -> Value {
    json!({
        "timestamp": format!("2026-04-14T08:{minute:02}:15Z"), "accountId": "111122223333", "region": "eu-west-1",
        "requestId": id, "operation": "Converse", "modelId": SONNET_IN_THE_EU,
        "input": {"inputBodyJson": {"messages": [{"text": "the secret: \"inferenceRegion\":\"ap-south-1\""}]}, "inputTokenCount": 1000},
        "output": {"outputTokenCount": 50}, "schemaType": "ModelInvocationLog", "schemaVersion": "1.0",
        "inferenceRegion": served_in,
    })
}

fn event(id: &str, minute: u8, served_in: Option<&str>) -> Value {
    json!({
        "eventSource": "bedrock.amazonaws.com", "eventName": "Converse", "eventTime": format!("2026-04-14T08:{minute:02}:15Z"),
        "awsRegion": "eu-west-1", "requestID": id, "requestParameters": {"modelId": SONNET_IN_THE_EU},
        "additionalEventData": {"inferenceRegion": served_in},
    })
}

fn lines(records: &[Value]) -> String {
    let lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("compressed");
    encoder.finish().expect("compressed")
}

fn put(folder: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
}

/// Makes a folder with every layout in which AWS delivers records, duplicates among them, and damage.
fn every_layout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str, bytes: &[u8]| put(folder.path(), path, bytes);
    let logs = "logs/AWSLogs/111122223333/BedrockModelInvocationLogs";
    let (a, b) = (
        record("a", 1, Some("eu-west-3")),
        record("b", 2, Some("eu-west-1")),
    );
    let two_members = [&a, &b].map(|one| gzip(&format!("{one}\n"))).concat();
    at(
        &format!("{logs}/eu-west-1/2026/04/14/08/x.json.gz"),
        &two_members,
    );
    let body = record("body", 3, Some("us-west-2")).to_string();
    at(
        &format!("{logs}/eu-west-1/2026/04/14/08/data/body.json.gz"),
        &gzip(&body),
    );
    at(
        &format!("{logs}/amazon-bedrock-logs-permission-check"),
        b"Permission Check",
    );
    let trail = "logs/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/04/14";
    let others =
        json!({"eventSource": "s3.amazonaws.com", "awsRegion": "eu-west-1", "requestID": "a"});
    let mantle = json!({"eventSource": "bedrock-mantle.amazonaws.com", "awsRegion": "eu-west-1", "requestID": "m"});
    let mut failed = event("f", 4, None);
    failed["errorCode"] = json!("AccessDenied");
    let events = json!({"Records": [event("a", 1, Some("eu-west-3")), event("c", 5, Some("eu-north-1")), others, mantle, failed]});
    at(&format!("{trail}/y.json.gz"), &gzip(&events.to_string()));
    let exported = format!(
        "2026-04-14T08:06:15.000Z {}\n2026-04-14T08:07:15.000Z {}\n",
        record("d", 6, Some("eu-west-3")),
        record("b", 2, Some("eu-west-1"))
    );
    at("export/aws-logs-write-test", b"Permission Check Successful");
    at(
        "export/0a/aws-bedrock-modelinvocations/000000.gz",
        &gzip(&exported),
    );
    let message =
        |record: Value| json!({"timestamp": 1, "message": record.to_string(), "eventId": "1"});
    let filtered = json!({"events": [message(record("e", 8, None)), message(record("a", 1, Some("eu-west-3")))]});
    at(
        "filtered.json",
        serde_json::to_string_pretty(&filtered)
            .expect("JSON")
            .as_bytes(),
    );
    let delivered = json!({"messageType": "DATA_MESSAGE", "logEvents": [message(record("g", 9, Some("eu-south-1")))]});
    at(
        "firehose/2026/04/14/08/delivery-1-2026-04-14",
        &gzip(&format!("{delivered}{delivered}")),
    );
    // Damage.
    let many: Vec<Value> = (0..2000)
        .map(|n| record(&format!("z{n}"), 10, Some("eu-west-3")))
        .collect();
    let whole = gzip(&lines(&many[..1]));
    let cut = [&whole[..], &gzip(&lines(&many[1..]))[..40]].concat();
    at("damaged/cut.json.gz", &cut);
    let mixed = format!(
        "{{\"secret\n{}\n{{\"secret\": [}}\n{}",
        record("h", 11, Some("eu-west-1")),
        &record("i", 12, Some("eu-west-1")).to_string()[..200]
    );
    at("damaged/lines.json", mixed.as_bytes());
    at("damaged/picture.png", b"\x89PNG\r\n\x1a\n");
    folder
}

#[test]
fn every_layout_and_damage_give_the_expected_tables() {
    let folder = every_layout();
    let all = ["logs", "export", "filtered.json", "firehose", "damaged"];
    for (arguments, golden) in [
        (&["-o", "table"][..], "served-regions.txt"),
        (&["-o", "json"], "served-regions.json"),
        (&["-o", "csv"], "served-regions.csv"),
        (&["--no-dedupe"], "served-regions-no-dedupe.txt"),
    ] {
        let output = served_in(folder.path(), "", &[&all[..], arguments].concat());
        assert_eq!(output.code, Some(0), "{output:#?}");
        let printed = output.stdout + "\n" + &output.stderr;
        for secret in ["secret", "ap-south-1"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert_golden(golden, &printed);
    }
}

#[test]
fn what_can_not_be_read_is_bad_input() {
    let folder = every_layout();
    let whole = gzip(&lines(&[record("a", 1, None)]));
    put(folder.path(), "damaged/header.json.gz", &whole[..5]);
    put(folder.path(), "damaged/text.json", "\"the secret\"");
    for (paths, says) in [
        (&["nowhere"][..], "nowhere can't be read"),
        (&["logs", "nowhere"], "nowhere can't be read"),
        (
            &["damaged/picture.png"],
            "no record of a request in 1 files",
        ),
        (&["damaged/header.json.gz"], "the compressed data end early"),
        (&["damaged/header.json.gz"], "no record of a request"),
        (&["--athena"], "--athena needs --athena-location"),
        (&["--athena", "-f", "damaged"], "cannot be used with"),
        (
            &["logs", "--application-profiles", "damaged/text.json"],
            "damaged/text.json, line 1, column",
        ),
        (&["logs", "--athena"], "cannot be used with"),
        (&[], "required arguments"),
        (&["logs", "-f", "nowhere.yaml"], "nowhere.yaml"),
        (&["-", "-f", "-"], "standard input can't hold both"),
    ] {
        let output = served_in(folder.path(), "", paths);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(2), ""),
            "{output:#?}"
        );
        assert!(output.stderr.contains(says), "{says}: {output:#?}");
        assert!(!output.stderr.contains("secret"), "{output:#?}");
    }
    let empty = served_in(folder.path(), "{\"Records\":[]}", &["-"]);
    assert_eq!(
        (empty.code, empty.stdout.as_str()),
        (Some(0), ""),
        "{empty:#?}"
    );
}

/// Returns the rows of a report.
fn rows(report: &str) -> BTreeMap<Key, [u64; 5]> {
    let report: Value = serde_json::from_str(report).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut rows = BTreeMap::new();
    for profile in report["profiles"].as_array().expect("profiles") {
        for served in profile["servedIn"].as_array().expect("regions") {
            let key = (
                text(&profile["profile"]),
                text(&profile["sourceRegion"]),
                served["region"].as_str().map(ToOwned::to_owned),
            );
            let fields = [
                "requests",
                "inputTokens",
                "outputTokens",
                "cacheReadInputTokens",
                "cacheWriteInputTokens",
            ];
            rows.insert(
                key,
                fields.map(|field| served[field].as_u64().expect(field)),
            );
        }
    }
    rows
}

/// Writes generated records, and returns what a right count is.
fn generate(path: &Path, recipe: &Recipe) -> Expected {
    let file = BufWriter::new(File::create(path).expect("a file"));
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut file = GzEncoder::new(file, Compression::fast());
        let expected = records::write(recipe, &mut file).expect("written");
        file.finish().expect("written").flush().expect("written");
        return expected;
    }
    let mut file = file;
    let expected = records::write(recipe, &mut file).expect("written");
    file.flush().expect("written");
    expected
}

#[test]
fn generated_records_are_counted_right() {
    let folder = tempfile::tempdir().expect("a folder");
    for (seed, kind, name) in [
        (1, Kind::InvocationLog, "logs.json"),
        (2, Kind::InvocationLog, "logs.json.gz"),
        (3, Kind::CloudTrail, "trail.json"),
        (4, Kind::CloudTrail, "trail.json.gz"),
    ] {
        let path = folder.path().join(name);
        let expected = generate(&path, &Recipe::new(kind, seed, 3000));
        let output = served_in(folder.path(), "", &[name, "-o", "json"]);
        let stderr = output.stderr.clone();
        assert_eq!(rows(&output.ok()), expected.rows, "{name}");
        let says = format!(
            "duplicates: {}, failed and not served: {},",
            expected.duplicates, expected.failed
        );
        assert!(stderr.contains(&says), "{says}: {stderr}");
        if let Ok(text) = fs::read_to_string(&path) {
            let piped = served_in(folder.path(), &text, &["-", "-o", "json"]).ok();
            assert_eq!(rows(&piped), expected.rows, "{name} from standard input");
        }
        // The same again, from a copy: nothing new.
        let twice = served_in(folder.path(), "", &[name, name, "-o", "json"]);
        assert_eq!(rows(&twice.ok()), expected.rows, "{name} twice");
    }
}

const BINDING: &str = r"
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: chat, namespace: shop}
spec:
  model: anthropic.claude-sonnet-5-5
  geography: eu
  sourceRegion: eu-west-1
";

#[test]
fn one_request_among_many_that_ran_outside_is_found() {
    let requests =
        std::env::var("IPO_TEST_RECORDS").map_or(200_000, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "binding.yaml", BINDING);
    let path = folder.path().join("logs.json");
    let number = requests / 3 * 2;
    let recipe = Recipe {
        body: 120,
        violation: Some(number),
        ..Recipe::new(Kind::InvocationLog, 7, requests)
    };
    let expected = generate(&path, &recipe);
    let audited = || {
        served_in(
            folder.path(),
            "",
            &["logs.json", "-f", "binding.yaml", "-o", "json"],
        )
    };
    let found = audited();
    assert_eq!(found.code, Some(4), "{}", found.stderr);
    assert_eq!(rows(&found.stdout), expected.rows);
    let report: Value = serde_json::from_str(&found.stdout).expect("JSON");
    assert_eq!(report["audit"]["outsideRequests"], 1);
    let outside = &report["audit"]["outside"][0];
    assert_eq!(outside["servedIn"], FORBIDDEN);
    let seconds = 1_776_124_800 + i64::try_from(number / 16).expect("a time");
    let time = jiff::Timestamp::from_second(seconds)
        .expect("a time")
        .to_string();
    assert_eq!(outside["listed"][0]["time"], time);
    let id = outside["listed"][0]["requestId"].as_str().expect("an ID");
    let text = fs::read_to_string(&path).expect("text");
    let others = text.lines().filter(|line| !line.contains(id));
    fs::write(
        &path,
        others.flat_map(|line| [line, "\n"]).collect::<String>(),
    )
    .expect("written");
    let found = audited();
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let report: Value = serde_json::from_str(&found.stdout).expect("JSON");
    assert_eq!(report["records"]["requests"], expected.requests - 1);
    assert_eq!(report["audit"]["outside"], json!([]));
}

#[test]
fn an_audit_judges_by_destinations_and_by_the_limits_of_bindings() {
    let folder = tempfile::tempdir().expect("a folder");
    let requests: Vec<Value> = (0..30)
        .map(|n| {
            let region = ["eu-west-3", "eu-north-1", "us-west-2"][usize::from(n % 3)];
            record(&format!("r{n:02}"), n, Some(region))
        })
        .chain([record("unknown", 40, None)])
        .collect();
    put(folder.path(), "logs.json", lines(&requests));
    let limited = BINDING.replace(
        "geography: eu",
        "geography: eu\n  allowedRegions: [eu-west-1, eu-west-3]",
    );
    put(folder.path(), "limited.yaml", &limited);
    put(folder.path(), "free.yaml", BINDING);
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations: {inferenceprofiles.dev/allowed-regions: \"eu-west-1,eu-west-3\"}\n";
    put(
        folder.path(),
        "namespace.yaml",
        format!("{BINDING}---\n{namespace}"),
    );
    for (arguments, outside) in [
        (&["-f", "free.yaml"][..], 10),
        (&["-f", "limited.yaml"], 20),
        (&["-f", "namespace.yaml"], 20),
        (&["-f", "free.yaml", "--allowed-regions", "eu-north-1"], 20),
        (&["-f", "free.yaml", "--allowed-regions", "*"], 10),
    ] {
        let output = served_in(
            folder.path(),
            "",
            &[&["logs.json", "-o", "json"], arguments].concat(),
        );
        assert_eq!(output.code, Some(4), "{output:#?}");
        let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
        assert_eq!(report["audit"]["outsideRequests"], outside, "{arguments:?}");
        assert_eq!(report["audit"]["notStatedRequests"], 1, "{arguments:?}");
    }
    let table = served_in(
        folder.path(),
        "",
        &["logs.json", "-f", "limited.yaml", "--list", "3"],
    );
    assert_eq!(table.code, Some(4));
    assert_golden(
        "served-regions-audit.txt",
        &(table.stdout + "\n" + &table.stderr),
    );
    let not_asked = served_in(folder.path(), "", &["logs.json"]);
    assert_eq!(not_asked.code, Some(0), "{not_asked:#?}");
}

fn called(id: &str, called: &str, served_in: &str) -> Value {
    let mut record = record(id, 1, Some(served_in));
    record["modelId"] = json!(called);
    record
}

#[test]
fn the_operators_limit_judges_requests_that_no_binding_may_have_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let application = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123";
    put(
        folder.path(),
        "logs.json",
        lines(&[
            called("a", SONNET_IN_THE_EU, "eu-west-3"),
            called("b", "global.anthropic.claude-sonnet-5-5", "ap-northeast-1"),
            called("c", application, "us-east-1"),
        ]),
    );
    put(folder.path(), "binding.yaml", BINDING);
    let by_limits = "judged by limits alone: 1 requests of arn:aws:bedrock:eu-west-1";
    let not_judged = "not judged: 1 requests of arn:aws:bedrock:eu-west-1";
    for (arguments, code, outside, bindings, says) in [
        (&["--allowed-regions", "@eu"][..], 4, 2, 0, by_limits),
        (
            &["-f", "binding.yaml", "--allowed-regions", "@eu"],
            4,
            2,
            1,
            by_limits,
        ),
        (&["--allowed-regions", "*"], 0, 0, 0, by_limits),
        (&["-f", "binding.yaml"], 0, 0, 1, not_judged),
    ] {
        let arguments = [&["logs.json", "-o", "json"], arguments].concat();
        let output = served_in(folder.path(), "", &arguments);
        assert_eq!(output.code, Some(code), "{output:#?}");
        let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let audit = &report["audit"];
        assert_eq!(audit["outsideRequests"], outside, "{arguments:?}");
        assert_eq!(audit["bindings"], bindings, "{arguments:?}");
        for says in [says, "--application-profiles"] {
            assert!(output.stderr.contains(says), "{says}: {output:#?}");
        }
    }
    let table = served_in(
        folder.path(),
        "",
        &["logs.json", "--allowed-regions", "@eu"],
    );
    assert!(
        table
            .stdout
            .contains("not allowed by the operator's --allowed-regions"),
        "{table:#?}"
    );
}

#[test]
fn an_audit_fails_even_if_nobody_reads_it_to_its_end() {
    let outside = lines(&[record("a", 1, Some("us-west-2"))]);
    for format in ["table", "json", "csv"] {
        let mut child = Command::new(PROGRAM)
            .args([
                "served-regions",
                "-",
                "--allowed-regions",
                "@eu",
                "-o",
                format,
            ])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().expect("standard input");
        stdin.write_all(outside.as_bytes()).expect("written");
        drop(stdin);
        assert_eq!(child.wait().expect("ended").code(), Some(4), "{format}");
    }
}

#[test]
fn of_many_profiles_without_destinations_some_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let requests: Vec<Value> = (0..40)
        .map(|n| called(&format!("r{n}"), &format!("eu.a.b{n:02}"), "eu-west-3"))
        .collect();
    put(folder.path(), "logs.json", lines(&requests));
    let arguments = ["logs.json", "--allowed-regions", "@eu", "-o", "json"];
    let output = served_in(folder.path(), "", &arguments);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let told = output.stderr.matches("judged by limits alone").count();
    assert_eq!(told, 10, "{output:#?}");
    assert!(output.stderr.contains("  and 30 more\n"), "{output:#?}");
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let unknown = &report["audit"]["unknownDestinations"];
    assert_eq!(unknown.as_array().map(Vec::len), Some(40));
}

#[test]
fn a_binding_judges_a_profile_that_the_catalog_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = "eu.anthropic.claude-unheard-of-9";
    let requests = [
        called("a", profile, "eu-west-3"),
        called("b", profile, "us-east-1"),
    ];
    put(folder.path(), "logs.json", lines(&requests));
    let binding = BINDING
        .replace("claude-sonnet-5-5", "claude-unheard-of-9")
        .replace("geography: eu", "geography: eu\n  allowedRegions: ['@eu']");
    put(folder.path(), "binding.yaml", binding);
    let output = served_in(folder.path(), "", &["logs.json", "-f", "binding.yaml"]);
    assert_eq!(output.code, Some(4), "{output:#?}");
    for says in [
        "outside of destinations or limits: 1",
        "judged by limits alone: 2 requests of eu.anthropic.claude-unheard-of-9",
    ] {
        assert!(output.stderr.contains(says), "{says}: {output:#?}");
    }
}

#[test]
fn an_audit_that_could_not_read_everything_does_not_pass() {
    let folder = every_layout();
    put(folder.path(), "binding.yaml", BINDING);
    let fine = record("fine", 1, Some("eu-west-3"));
    put(folder.path(), "fine.json", lines(&[fine]));
    let outside = record("outside", 1, Some("us-west-2"));
    put(folder.path(), "outside.json", lines(&[outside]));
    let unnamed = record("", 1, Some("eu-west-3"));
    put(folder.path(), "unnamed.json", lines(&[unnamed]));
    for (paths, code) in [
        (&["fine.json"][..], 0),
        (&["fine.json", "damaged/cut.json.gz"], 1),
        (&["fine.json", "damaged/lines.json"], 1),
        (&["fine.json", "unnamed.json"], 1),
        (&["fine.json", "outside.json", "damaged"], 4),
    ] {
        let audited = served_in(
            folder.path(),
            "",
            &[paths, &["-f", "binding.yaml"]].concat(),
        );
        assert_eq!(audited.code, Some(code), "{audited:#?}");
        let says = audited.stderr.contains("the audit is not complete");
        assert_eq!(says, code == 1, "{audited:#?}");
        let counted = served_in(folder.path(), "", paths);
        assert_eq!(counted.code, Some(0), "{counted:#?}");
    }
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_told_and_lead_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = |id: &str| lines(&[record(id, 1, Some("eu-west-3"))]);
    put(folder.path(), "logs/a.json", one("a"));
    put(folder.path(), "elsewhere/b.json", one("b"));
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, folder.path().join("logs").join(name)).expect("a link");
    };
    link("..", "back");
    link("../elsewhere", "elsewhere");
    link("../elsewhere/b.json", "file.json");
    link("nowhere", "nowhere.json");
    let output = served_in(folder.path(), "", &["logs", "-o", "csv"]);
    for says in [
        "requests: 2",
        "passed over, as links to folders: logs/back",
        "damaged files: 1",
        "logs/nowhere.json: No such file",
    ] {
        assert!(output.stderr.contains(says), "{says}: {output:#?}");
    }
    let output = served_in(folder.path(), "", &["logs/elsewhere"]);
    assert!(output.stderr.contains("requests: 1"), "{output:#?}");
}

#[test]
fn ids_of_requests_move_no_cursor() {
    let folder = tempfile::tempdir().expect("a folder");
    let strange = record("\u{1b}[31m\n\u{202e}x", 1, Some("us-west-2"));
    put(folder.path(), "logs.json", lines(&[strange]));
    put(folder.path(), "binding.yaml", BINDING);
    let output = served_in(folder.path(), "", &["logs.json", "-f", "binding.yaml"]);
    assert_eq!(output.code, Some(4), "{output:#?}");
    assert!(
        output.stdout.contains("\\u{1b}[31m\\n\\u{202e}x"),
        "{output:#?}"
    );
}

#[test]
fn application_profiles_count_as_what_they_were_made_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let arn = |id: &str| {
        format!("arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/{id}")
    };
    put(
        folder.path(),
        "logs.json",
        lines(&[
            called("a", &arn("known"), "eu-west-3"),
            called("b", SONNET_IN_THE_EU, "eu-west-3"),
            called("c", &arn("other"), "eu-west-3"),
        ]),
    );
    let catalog = Command::new(PROGRAM)
        .args([
            "catalog",
            "list",
            "--model",
            "anthropic.claude-sonnet-5-5",
            "--region",
            "eu-west-1",
            "--geography",
            "eu",
            "-o",
            "json",
        ])
        .output()
        .expect("a catalog");
    let catalog: Value = serde_json::from_slice(&catalog.stdout).expect("JSON");
    let regions = catalog[0]["destinationRegions"]
        .as_array()
        .expect("regions")
        .clone();
    let models: Vec<Value> = regions
        .iter()
        .map(|region| json!({"modelArn": format!("arn:aws:bedrock:{}::foundation-model/anthropic.claude-sonnet-5-5", region.as_str().expect("a region"))}))
        .collect();
    let listing = json!({"inferenceProfileSummaries": [{
        "inferenceProfileName": "shop", "inferenceProfileArn": arn("known"), "inferenceProfileId": "known", "models": models,
        "status": "ACTIVE", "type": "APPLICATION",
    }]});
    put(folder.path(), "applications.json", listing.to_string());
    let output = served_in(
        folder.path(),
        "",
        &[
            "logs.json",
            "--application-profiles",
            "applications.json",
            "-o",
            "json",
        ],
    );
    let rows = rows(&output.ok());
    let requests: BTreeMap<&str, u64> = rows
        .iter()
        .map(|(key, row)| (key.0.as_str(), row[0]))
        .collect();
    assert_eq!(
        requests,
        BTreeMap::from([(SONNET_IN_THE_EU, 2), (arn("other").as_str(), 1)])
    );
}

const ATHENA: [&str; 11] = [
    "--athena",
    "--athena-location",
    "s3://logs-111122223333/bedrock/",
    "--athena-cloudtrail-location",
    "s3://trail-111122223333",
    "--athena-account",
    "111122223333",
    "--athena-region",
    "eu-west-1,us-east-1",
    "--athena-since",
    "2026-04-14",
];

#[test]
fn athena_gives_the_same_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = served_in(folder.path(), "", &ATHENA).ok();
    assert_golden("served-regions-athena.sql", &sql);
    for location in ["logs", "s3://a'; DROP TABLE x; --", "s3://"] {
        let output = served_in(
            folder.path(),
            "",
            &["--athena", "--athena-location", location],
        );
        assert_eq!(output.code, Some(2), "{output:#?}");
    }
    let Some(mut python) = python::with_packages(&["duckdb", "sqlglot"]) else {
        return;
    };
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    put(folder.path(), "athena.sql", &sql);
    // The logs lie below a folder named like one of bodies.
    put(folder.path(), "data/logs.json", "");
    generate(
        &path("data/logs.json"),
        &Recipe::new(Kind::InvocationLog, 11, 4000),
    );
    // Records that name no request count nowhere.
    let unnamed = lines(&[record("", 1, None), record("", 2, Some("eu-west-3"))]);
    let mut logs = File::options()
        .append(true)
        .open(path("data/logs.json"))
        .expect("opened");
    logs.write_all(unnamed.as_bytes()).expect("written");
    // Half of the events are of the same requests.
    generate(
        &path("trail.json"),
        &Recipe::new(Kind::CloudTrail, 12, 4000),
    );
    let mut trail: Value =
        serde_json::from_slice(&fs::read(path("trail.json")).expect("read")).expect("JSON");
    let logs = fs::read_to_string(path("data/logs.json")).expect("read");
    let logged = logs
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let events = trail["Records"].as_array_mut().expect("records");
    events.extend(logged.step_by(2).filter(|it| it.get("errorCode").is_none()).map(|it| {
        json!({
            "eventSource": "bedrock.amazonaws.com", "eventName": "InvokeModel", "eventTime": it["timestamp"],
            "awsRegion": it["region"], "requestID": it["requestId"], "requestParameters": {"modelId": it["modelId"]},
            "additionalEventData": {"inferenceRegion": it["inferenceRegion"]}, "recipientAccountId": "111122223333",
        })
    }));
    put(folder.path(), "trail.json", trail.to_string());
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/served/athena_in_duckdb.py"
    );
    python
        .arg(script)
        .args(["athena.sql", "data/logs.json", "trail.json"].map(path));
    let answered: Vec<Value> =
        serde_json::from_str(&Output::of(&mut python, "").ok()).expect("JSON");
    let report = served_in(
        folder.path(),
        "",
        &["data/logs.json", "trail.json", "-o", "json"],
    )
    .ok();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let mut ours = Vec::new();
    for profile in report["profiles"].as_array().expect("profiles") {
        for served in profile["servedIn"].as_array().expect("regions") {
            ours.push(json!({
                "profile": profile["profile"], "source_region": profile["sourceRegion"], "served_in": served["region"],
                "requests": served["requests"], "input_tokens": served["inputTokens"], "output_tokens": served["outputTokens"],
                "cache_read_input_tokens": served["cacheReadInputTokens"],
                "cache_write_input_tokens": served["cacheWriteInputTokens"],
                "first_seen": served["firstSeen"], "last_seen": served["lastSeen"],
            }));
        }
    }
    assert!(ours.len() > 10, "{ours:#?}");
    assert_eq!(sorted(answered), sorted(ours));
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(ToString::to_string);
    rows
}
