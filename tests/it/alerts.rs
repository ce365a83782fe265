//! The alerts of the chart, as Prometheus evaluates them. What happens over time, and which alerts that fires, is in
//! tests/alerts/, in the format of `promtool test rules`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::common::{
    chart::{rendered, run},
    tools::tool,
    yaml::documents,
};

/// The values of the release whose alerts are tested.
const VALUES: &str = "{region: eu-west-1, fullnameOverride: ipo, invocationLogs: {logGroup: /logs}, metrics: {prometheusRule: {enabled: true}}}";
/// How often the tests evaluate the rules, in minutes.
const INTERVAL: u64 = 1;

/// Returns the groups of rules that a release has.
fn groups(helm: &Path, values: &str) -> Value {
    let text = rendered(helm, "ipo", "default", values).expect("rendered");
    let objects = documents(&text);
    let mut rules = objects
        .iter()
        .filter(|object| object["kind"] == "PrometheusRule");
    rules.next().expect("rules")["spec"].clone()
}

/// Returns the alerts of these rules, each with its severity.
fn alerts(groups: &Value) -> BTreeMap<&str, &str> {
    let rules = groups["groups"][0]["rules"].as_array().expect("rules");
    rules
        .iter()
        .map(|rule| {
            let name = rule["alert"].as_str().expect("a name");
            let severity = rule["labels"]["severity"].as_str();
            (name, severity.expect("a severity"))
        })
        .collect()
}

/// Returns the tests of tests/alerts/, by file.
fn scenarios() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts");
    let entries = fs::read_dir(folder).expect("tests/alerts/");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            let text = fs::read_to_string(&path).expect("a test");
            (name.into_owned(), text)
        })
        .collect()
}

#[test]
fn alerts_fire_when_they_should_and_say_what_they_should() {
    let (Some(helm), Some(promtool)) = (tool("helm"), tool("promtool")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let write = |name: &str, text: &str| fs::write(path(name), text).expect("written");
    write("rules.yaml", &groups(&helm, VALUES).to_string());
    let scenarios = scenarios();
    for (name, text) in &scenarios {
        write(name, text);
    }
    let files: Vec<String> = scenarios.keys().map(|name| path(name)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    run(&promtool, &[&["test", "rules"], &files[..]].concat(), "").ok();
}

/// Every set of values gives rules that Prometheus takes, also those that leave alerts out or change their limits.
#[test]
fn prometheus_takes_the_rules_of_every_set_of_values() {
    let (Some(helm), Some(promtool)) = (tool("helm"), tool("promtool")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yaml");
    let path = path.to_str().expect("UTF-8");
    for values in [
        VALUES,
        "{region: eu-west-1, catalog: {type: embedded}, metrics: {prometheusRule: {enabled: true}}}",
        "{region: eu-west-1, replicas: 1, leaderElection: {enabled: false}, metrics: {prometheusRule: {enabled: true}}}",
        include_str!("../chart/monitoring.yaml"),
        include_str!("../chart/everything.yaml"),
    ] {
        fs::write(path, groups(&helm, values).to_string()).expect("written");
        run(&promtool, &["check", "rules", path], "").ok();
    }
}

#[test]
fn the_documents_list_each_alert_with_its_severity() {
    let Some(helm) = tool("helm") else {
        return;
    };
    let groups = groups(&helm, VALUES);
    let page = include_str!("../../docs/operations.md");
    let listed: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| {
            let (name, rest) = line
                .strip_prefix("| `InferenceProfile")?
                .split_once("` | ")?;
            Some((name, rest.split_once(" | ")?.0))
        })
        .collect();
    let expected: BTreeMap<&str, &str> = alerts(&groups)
        .into_iter()
        .filter_map(|(name, severity)| Some((name.strip_prefix("InferenceProfile")?, severity)))
        .collect();
    assert_eq!(listed, expected);
}

/// Returns a time of promtool in minutes.
fn minutes(time: &str) -> u64 {
    let minutes = time.strip_suffix('m').and_then(|time| time.parse().ok());
    minutes.unwrap_or_else(|| panic!("{time} is not in minutes"))
}

/// promtool looks only at what a test names. So each alert must be seen to fire, and not to fire one evaluation before.
#[test]
fn each_alert_is_seen_just_before_it_fires_and_when_it_does() {
    let Some(helm) = tool("helm") else {
        return;
    };
    let groups = groups(&helm, VALUES);
    let alerts: BTreeSet<&str> = alerts(&groups).into_keys().collect();

    let mut seen = BTreeSet::new();
    for text in scenarios().values() {
        let [file] = &documents(text)[..] else {
            panic!("one document: {text}");
        };
        assert_eq!(file["evaluation_interval"], format!("{INTERVAL}m"));
        for test in file["tests"].as_array().expect("tests") {
            let looks: Vec<(&str, u64, bool)> = test["alert_rule_test"]
                .as_array()
                .expect("looks")
                .iter()
                .map(|look| {
                    let name = look["alertname"].as_str().expect("a name");
                    let time = minutes(look["eval_time"].as_str().expect("a time"));
                    (name, time, look.get("exp_alerts").is_some())
                })
                .collect();
            for (name, time, fires) in &looks {
                assert!(alerts.contains(name), "there is no alert {name}");
                if *fires && looks.contains(&(name, time - INTERVAL, false)) {
                    seen.insert((*name).to_owned());
                }
            }
        }
    }
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, alerts);
}
