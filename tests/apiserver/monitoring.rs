//! The dashboard and the alerts of the chart, on two replicas that a real Prometheus scrapes: every query finds what it is
//! about. When alerts fire is tested in tests/it/alerts.rs, with series that tests make up.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Stdio,
    time::Duration,
};

use inference_profile_operator::api::condition::Reason;
use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    case::{Case, cases},
    chart_render::needing_helm,
    common::{
        bedrock_server::{BedrockServer, Fault, model, profile},
        chart::{CHART, rendered},
        logs_server::LogsServer,
        program::Output,
        tools::tool,
        yaml::documents,
    },
    probes::{run, terminate},
    stage::{ID, REGION, Stage, empty},
    support::{ROOT, eventually},
};

/// What takes the place of Grafana's variables.
const VARIABLES: [(&str, &str); 3] = [
    ("$namespace", ".*"),
    ("$job", ".*"),
    ("$__rate_interval", "15s"),
];
/// The panels whose value is certain: of three bindings one is not Ready, and of two replicas one leads.
const CERTAIN: [(&str, &str); 4] = [
    ("Bindings Ready", "2"),
    ("Bindings not Ready", "1"),
    ("Leader", "1"),
    ("Versions", "2"),
];
/// The model that bindings ask for, which the stand-in for Bedrock says is legacy.
const MODEL: &str = "anthropic.claude-sonnet-5-5";
/// The log group of the stand-in for CloudWatch Logs.
const LOG_GROUP: &str = "/aws/bedrock/invocations";
/// Names the file that the answers for dev/dashboard-picture are written to.
const ANSWERS: &str = "DASHBOARD_ANSWERS";
/// How long the operator works for the picture, in seconds.
const DRAWN_SECONDS: i64 = 120;

pub fn cases() -> Vec<Case> {
    if tool("prometheus").is_none() || tool("promtool").is_none() {
        return Vec::new();
    }
    let mut cases = needing_helm(cases![empty(
        every_panel_has_data,
        every_alert_looks_at_series_that_exist,
    )]);
    if std::env::var_os(ANSWERS).is_some() {
        cases.extend(cases![empty(the_dashboard_is_drawn)]);
    }
    cases
}

/// A Prometheus that scrapes these addresses each second, as a `ServiceMonitor` has it done.
struct Prometheus {
    url: String,
    _program: Child,
    _folder: TempDir,
}

impl Prometheus {
    async fn start(addresses: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{
                "job_name": "ipo",
                "static_configs": [{"targets": addresses, "labels": {"namespace": "default"}}],
            }],
        });
        let path = folder.path().join("prometheus.yml");
        fs::write(&path, config.to_string()).expect("written");
        let mut program = Command::new(tool("prometheus").expect("looked for before"))
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Prometheus runs");
        let mut lines = BufReader::new(program.stderr.take().expect("piped")).lines();
        let address = loop {
            let line = lines.next_line().await.expect("a log").expect("an address");
            if line.contains("Listening on") {
                let (_, rest) = line.split_once("address=").expect("an address");
                break rest.trim().to_owned();
            }
        };
        // A full pipe would hold it up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            url: format!("http://{address}"),
            _program: program,
            _folder: folder,
        }
    }

    /// Returns what promtool prints for a query, of this kind and with these options.
    async fn ask(&self, kind: &str, options: &[&str], query: &str) -> Vec<Value> {
        let mut command = std::process::Command::new(tool("promtool").expect("looked for before"));
        command.args(["query", kind, "--format=json"]).args(options);
        command.args([&self.url, query]);
        let found = Output::awaited(command, "").await.ok();
        serde_json::from_str(&found).expect("series")
    }

    /// Returns what an instant query finds: labels and a value of each series.
    async fn query(&self, query: &str) -> Vec<(Value, String)> {
        let found = self.ask("instant", &[], query).await;
        found
            .into_iter()
            .map(|series| {
                let value = series["value"][1].as_str().expect("a value");
                (series["metric"].clone(), value.to_owned())
            })
            .collect()
    }
}

/// Returns records of the minutes that are counted while these cases run: the operator allows five minutes for late ones.
fn invocations() -> Vec<Value> {
    let requests = (0..1200_i64).map(|number| {
        let time = Timestamp::now() - SignedDuration::from_secs(8 * 60 - number / 2);
        let served = [REGION, "eu-north-1", "eu-north-1"][fastrand::usize(..3)];
        json!({
            "schemaType": "ModelInvocationLog", "timestamp": time.to_string(), "requestId": number.to_string(),
            "modelId": format!("eu.{MODEL}"), "region": REGION, "inferenceRegion": served,
        })
    });
    requests.collect()
}

fn spec(geography: &str) -> Value {
    json!({"model": MODEL, "geography": geography})
}

fn without_variables(query: &str) -> String {
    let replace = |query: String, (name, value): &(&str, &str)| query.replace(name, value);
    VARIABLES.iter().fold(query.to_owned(), replace)
}

/// Returns the queries of each panel of the dashboard, by its title.
fn panels(dashboard: &Value) -> Vec<(&str, Vec<String>)> {
    let panels = dashboard["panels"].as_array().expect("panels");
    panels
        .iter()
        .map(|panel| {
            let targets = panel["targets"].as_array().expect("targets");
            let queries = targets
                .iter()
                .map(|target| without_variables(target["expr"].as_str().expect("a query")))
                .collect();
            (panel["title"].as_str().expect("a title"), queries)
        })
        .collect()
}

/// Asserts that each variable that lists values of a label has some.
async fn variables_have_values(dashboard: &Value, prometheus: &Prometheus) {
    let variables = dashboard["templating"]["list"].as_array();
    let mut labels = Vec::new();
    for variable in variables.expect("variables") {
        let Some(query) = variable["query"]["query"].as_str() else {
            continue;
        };
        let arguments = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|arguments| arguments.rsplit_once(", "));
        let (metric, label) = arguments.unwrap_or_else(|| panic!("no label_values: {query}"));
        let found = prometheus.query(&without_variables(metric)).await;
        let values: BTreeSet<&str> = found
            .iter()
            .filter_map(|(labels, _)| labels[label].as_str())
            .collect();
        assert_eq!(values.len(), 1, "{query}: {found:?}");
        labels.push(label);
    }
    assert_eq!(labels, ["namespace", "job"]);
}

/// Returns the dashboard.
fn dashboard() -> Value {
    let path = Path::new(ROOT).join(CHART).join("files/dashboard.json");
    let text = fs::read_to_string(path).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

/// Two replicas of the program on the live catalog, and a Prometheus that scrapes them.
struct Monitored {
    prometheus: Prometheus,
    replicas: [Child; 2],
    bedrock: BedrockServer,
    _logs: LogsServer,
}

impl Monitored {
    /// Starts all, with two bindings that are Ready and one that is not, and a class. So many requests to Bedrock are throttled first.
    async fn start(stage: &Stage, throttled: usize) -> Self {
        let bedrock = BedrockServer::start().await;
        let destinations = [REGION, "eu-north-1"];
        bedrock.set_profiles(REGION, vec![profile(REGION, "eu", MODEL, &destinations)]);
        let in_days =
            |days: i64| (Timestamp::now() + SignedDuration::from_hours(24 * days)).to_string();
        let dates = json!({
            "status": "LEGACY",
            "legacyTime": in_days(-100),
            "publicExtendedAccessTime": in_days(100),
            "endOfLifeTime": in_days(200),
        });
        let lifecycle = json!({"modelLifecycle": dates});
        let model = model(REGION, MODEL, &["INFERENCE_PROFILE"], &lifecycle);
        bedrock.set_models(REGION, vec![model]);
        bedrock.fail((0..throttled).map(|_| Fault::throttled()));
        let logs = LogsServer::start().await;
        logs.add_records(REGION, LOG_GROUP, invocations());
        let (url, logs_url) = (bedrock.url(), logs.url());
        let environment = [
            ("AWS_ENDPOINT_URL_BEDROCK", url.as_str()),
            ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", logs_url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let log_group = format!("--invocation-log-group={LOG_GROUP}");
        let arguments = [
            "--catalog=bedrock",
            "--refresh-interval=1s",
            &log_group,
            "--invocation-log-interval=1m",
        ];
        stage.offer(spec("eu")).await;
        let (leader, first) = run(stage, &arguments, &environment).await;
        for name in ["claude", "sonnet"] {
            stage.bound(name, spec("eu")).await;
        }
        stage.bind("jp", spec("jp")).await;
        stage
            .until("jp", "Ready", "False", Reason::GeographyUnsupported)
            .await;
        let (standby, second) = run(stage, &arguments, &environment).await;
        Self {
            prometheus: Prometheus::start(&[&first, &second]).await,
            replicas: [standby, leader],
            bedrock,
            _logs: logs,
        }
    }

    async fn stop(self, stage: &Stage) {
        stage.delete_class().await;
        for mut replica in self.replicas {
            terminate(&mut replica).await;
        }
    }
}

async fn every_panel_has_data(stage: &Stage) {
    let monitored = Monitored::start(stage, 0).await;
    let prometheus = &monitored.prometheus;
    let dashboard = dashboard();
    // Waiting, visits and writes show only where they happened lately.
    let happen = async || {
        let key = format!("MODEL_{}", fastrand::u32(..));
        let target = json!({"kind": "ConfigMap", "name": "sonnet", "keys": {key: "ProfileID"}});
        stage.retarget("sonnet", json!([target])).await;
    };
    let mut certain: BTreeMap<&str, &str> = CERTAIN.into_iter().collect();
    for (title, queries) in panels(&dashboard) {
        for query in queries {
            eventually(&format!("{title} has data: {query}"), || async {
                happen().await;
                let found = prometheus.query(&query).await;
                let as_expected = found.iter().any(|(_, value)| match certain.get(title) {
                    Some(certain) => value == certain,
                    None => value != "NaN",
                });
                if as_expected { Ok(()) } else { Err(found) }
            })
            .await;
        }
        certain.remove(title);
    }
    assert!(certain.is_empty(), "there is no panel {certain:?}");

    variables_have_values(&dashboard, prometheus).await;
    monitored.stop(stage).await;
}

/// Has the operator do a bit of everything for a while: edits, drift, a limit, a failure, throttling.
async fn work_for_the_picture(stage: &Stage, bedrock: &BedrockServer, start: Timestamp) {
    let names: Vec<String> = (0..12).map(|number| format!("app-{number}")).collect();
    for name in &names {
        stage.bound(name, spec("eu")).await;
    }
    for turn in 0.. {
        let elapsed = Timestamp::now().duration_since(start).as_secs();
        if elapsed >= DRAWN_SECONDS {
            return;
        }
        let name = &names[fastrand::usize(..names.len())];
        if turn % 4 == 0 {
            let drift = json!({"data": {ID: format!("drift-{turn}")}});
            stage.meddle(name, drift).await;
        } else {
            let key = format!("MODEL_{turn}");
            let keys = json!({ID: "ProfileID", key: "ProfileID"});
            let target = json!({"kind": "ConfigMap", "name": name, "keys": keys});
            stage.retarget(name, json!([target])).await;
        }
        if (40..50).contains(&elapsed) {
            bedrock.fail([Fault::throttled()]);
        }
        match turn {
            30 => {
                let outside =
                    json!({"model": MODEL, "geography": "eu", "allowedRegions": ["us-*"]});
                stage.bind("outside", outside).await;
            }
            // It changes nothing but what is said of each binding.
            60 => stage.limit_namespace(Some("eu-*")).await,
            70 => stage.limit_namespace(None).await,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(200..1500))).await;
    }
}

/// Writes what Prometheus answers to the dashboard's queries, for dev/dashboard-picture.
async fn the_dashboard_is_drawn(stage: &Stage) {
    let monitored = Monitored::start(stage, 0).await;
    let start = Timestamp::now();
    work_for_the_picture(stage, &monitored.bedrock, start).await;
    let (from, to) = (start.as_second(), Timestamp::now().as_second());
    let (start, end) = (format!("--start={from}"), format!("--end={to}"));
    let options = [start.as_str(), end.as_str(), "--step=2s"];
    let mut drawn = Vec::new();
    for panel in dashboard()["panels"].as_array().expect("panels") {
        let mut queries = Vec::new();
        for target in panel["targets"].as_array().expect("targets") {
            let query = without_variables(target["expr"].as_str().expect("a query"));
            let series = monitored.prometheus.ask("range", &options, &query).await;
            queries.push(json!({"legend": target["legendFormat"], "series": series}));
        }
        drawn.push(json!({
            "title": panel["title"],
            "type": panel["type"],
            "gridPos": panel["gridPos"],
            "unit": panel["fieldConfig"]["defaults"]["unit"],
            "queries": queries,
        }));
    }
    let answers = json!({"start": from, "end": to, "panels": drawn});
    let path = std::env::var_os(ANSWERS).expect("looked at before");
    fs::write(path, answers.to_string()).expect("written");
    monitored.stop(stage).await;
}

/// A rule that looks for a label that no series has would never fire.
async fn every_alert_looks_at_series_that_exist(stage: &Stage) {
    let helm = tool("helm").expect("looked for before");
    let values = "{region: eu-west-1, fullnameOverride: ipo, invocationLogs: {logGroup: /logs}, metrics: {prometheusRule: {enabled: true}}}";
    let chart = documents(&rendered(&helm, "ipo", "default", values).expect("rendered"));
    let rules = chart
        .iter()
        .find(|object| object["kind"] == "PrometheusRule");
    let rules = rules.expect("rules")["spec"]["groups"][0]["rules"].as_array();
    let selector = Regex::new(r"[a-z_]+\{[^}]*\}").expect("a pattern");

    let monitored = Monitored::start(stage, 3).await;
    for rule in rules.expect("rules") {
        let texts = [&rule["expr"], &rule["annotations"]["description"]];
        let texts = texts.map(|text| text.as_str().expect("a text"));
        // In the description, the labels of the alert take these places.
        let queries = texts.concat().replace("=%q", "=~\".+\"");
        let selectors: Vec<&str> = selector.find_iter(&queries).map(|it| it.as_str()).collect();
        assert!(!selectors.is_empty(), "{queries}");
        for selector in selectors {
            eventually(
                &format!("{}: {selector} has series", rule["alert"]),
                || async {
                    let found = monitored.prometheus.query(selector).await;
                    if found.is_empty() { Err(()) } else { Ok(()) }
                },
            )
            .await;
        }
    }
    monitored.stop(stage).await;
}
