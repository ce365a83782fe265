//! `served-regions --log-group` and `--cloudtrail` against a stand-in for CloudWatch Logs and CloudTrail, and the stand-in against
//! AWS's own client.

use std::{process::Command, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{SONNET_IN_THE_EU, event, record};
use crate::{
    common::{
        logs_server::LogsServer,
        program::{Output, PROGRAM},
    },
    python,
};

const GROUP: &str = "/aws/bedrock/invocations";
const AWS_CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/served/aws_client.py");

/// Returns a time so many minutes ago.
fn ago(minutes: i64) -> String {
    let time = Timestamp::now() - SignedDuration::from_mins(minutes);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn record_of(id: &str, minutes: i64, source: &str, served_in: Option<&str>) -> Value {
    let mut record = record(id, 0, served_in);
    record["timestamp"] = ago(minutes).into();
    record["region"] = source.into();
    record
}

fn event_of(id: &str, minutes: i64, source: &str, served_in: Option<&str>) -> Value {
    let mut event = event(id, 0, served_in);
    event["eventTime"] = ago(minutes).into();
    event["awsRegion"] = source.into();
    event
}

fn command(server: &LogsServer, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("served-regions")
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", server.url())
        .env("AWS_ENDPOINT_URL_CLOUDTRAIL", server.url());
    command
}

async fn live(server: &LogsServer, arguments: &[&str]) -> Output {
    Output::awaited(command(server, arguments), "").await
}

async fn group(server: &LogsServer, arguments: &[&str]) -> Output {
    let common = [
        "--log-group",
        GROUP,
        "--source-region",
        "eu-west-1,eu-west-3",
    ];
    live(server, &[&common, arguments].concat()).await
}

/// Returns rows of the CSV format, without tokens and times.
fn rows(csv: &str) -> Vec<String> {
    let lines = csv.lines().skip(1);
    let cut = |line: &str| line.split(',').take(4).collect::<Vec<_>>().join(" ");
    lines.map(cut).collect()
}

async fn logs() -> LogsServer {
    let server = LogsServer::start().await;
    let mut failed = record_of("f", 5, "eu-west-1", None);
    failed["errorCode"] = "ThrottlingException".into();
    server.add_records(
        "eu-west-1",
        GROUP,
        [
            record_of("a", 10, "eu-west-1", Some("eu-north-1")),
            record_of("b", 9, "eu-west-1", Some("eu-north-1")),
            record_of("b", 9, "eu-west-1", Some("eu-north-1")),
            record_of("c", 8, "eu-west-1", None),
            failed,
            json!({"timestamp": ago(3), "schemaType": "Other"}),
            record_of("old", 60 * 25, "eu-west-1", Some("eu-north-1")),
        ],
    );
    server.add_records(
        "eu-west-3",
        GROUP,
        [record_of("d", 30, "eu-west-3", Some("us-west-2"))],
    );
    server
}

#[tokio::test]
async fn logs_insights_counts_in_several_regions_and_says_what_it_scans() {
    let server = logs().await;
    let output = group(&server, &["-o", "csv"]).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(
        rows(&output.stdout),
        [
            format!("{SONNET_IN_THE_EU} eu-west-1 eu-north-1 3"),
            format!("{SONNET_IN_THE_EU} eu-west-1  1"),
            format!("{SONNET_IN_THE_EU} eu-west-3 us-west-2 1"),
        ]
    );
    let told: Vec<&str> = output.stderr.lines().collect();
    assert_eq!(
        told,
        [
            "eu-west-1: to scan in /aws/bedrock/invocations: about 6.0 kB",
            "eu-west-3: to scan in /aws/bedrock/invocations: about 1.0 kB",
            "scanned: 7.0 kB",
            "records are counted: about 1 of them are of requests that have another one, as CloudWatch estimates it; `aws s3 sync` and a file count tell exactly",
            "requests: 5",
        ]
    );
    let regions: Vec<String> = server.queries().into_iter().map(|it| it.region).collect();
    assert_eq!(
        regions,
        ["eu-west-1", "eu-west-3"],
        "one query for each region"
    );
    assert!(server.asked("StopQuery").is_empty());
    // Nothing but the query and its answer was asked for: no record.
    let operations = ["StartQuery", "GetQueryResults"];
    assert!(
        server
            .log()
            .iter()
            .all(|it| operations.contains(&&*it.operation))
    );

    let report = group(&server, &["-o", "json", "--since", "15m"]).await.ok();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["bytesScanned"], 6000);
    assert_eq!(report["duplicatesLookedFor"], false);
    assert_eq!(report["profiles"][0]["inputTokens"], 4000);
    assert_eq!(report["profiles"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_audit_of_logs_names_the_first_request_of_each_combination() {
    let server = logs().await;
    let folder = tempfile::tempdir().expect("a folder");
    let output = group(&server, &["-f", folder.path().to_str().expect("UTF-8")]).await;
    assert_eq!(output.code, Some(2), "no manifests: {output:#?}");
    let manifest = folder.path().join("b.yaml");
    let binding = format!(
        "apiVersion: inferenceprofiles.dev/v1alpha1\nkind: InferenceProfileBinding\nmetadata: {{name: b}}\nspec: {{model: {}, geography: eu, sourceRegion: eu-west-3}}\n",
        "anthropic.claude-sonnet-5-5"
    );
    std::fs::write(&manifest, binding).expect("written");
    let manifest = manifest.to_str().expect("UTF-8");
    let output = group(&server, &["-f", manifest, "--allowed-regions", "@eu"]).await;
    assert_eq!(output.code, Some(4), "{output:#?}");
    let listed = output.stdout.lines().find(|line| line.ends_with(" d"));
    assert!(
        listed.is_some_and(|line| line.contains("us-west-2")),
        "{output:#?}"
    );
    assert!(
        output
            .stderr
            .contains("outside of destinations or limits: 1")
    );
}

#[tokio::test]
async fn what_would_scan_too_much_is_not_begun() {
    let server = logs().await;
    server.set_record_bytes(1_000_000);
    let output = group(&server, &["--max-scan", "6MB"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    let said = "error: 7.0 MB to scan, and --max-scan allows 6.0 MB; nothing was scanned: give a shorter --since, fewer --source-region, or a higher --max-scan";
    assert!(output.stderr.ends_with(&format!("{said}\n")), "{output:#?}");
    assert!(server.queries().is_empty());

    // Where AWS gives no estimate, all that is stored is the bound.
    server.without_estimate();
    let output = group(&server, &["--max-scan", "7MB"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output
            .stderr
            .contains("eu-west-1: to scan in /aws/bedrock/invocations: at most 7.0 MB")
    );
    assert!(server.queries().is_empty());
    let output = group(&server, &["--max-scan", "8MB"]).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[tokio::test]
async fn a_query_that_scans_more_than_it_may_is_stopped() {
    let server = logs().await;
    server.set_record_bytes(1_000_000);
    // An estimate can be wrong.
    server.set_estimate(1000);
    server.set_looks(4);
    let output = group(&server, &["--max-scan", "2MB"]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    let said = "error: eu-west-1: the query was stopped, because 3.0 MB were scanned, and --max-scan allows 2.0 MB: give a shorter --since, fewer --source-region, or a higher --max-scan\n";
    assert!(output.stderr.ends_with(said), "{output:#?}");
    assert_eq!(server.asked("StopQuery").len(), 1);
    assert_eq!(server.queries().len(), 1, "the next region is not asked");
}

#[tokio::test]
async fn an_interrupted_query_is_stopped() {
    let server = logs().await;
    server.set_looks(1000);
    let arguments = [
        "--log-group",
        GROUP,
        "--source-region",
        "eu-west-1",
        "--max-scan",
        "1GB",
    ];
    // The estimate takes as long; only storage says how much there is.
    server.without_estimate();
    let child = command(&server, &arguments)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    while server.asked("GetQueryResults").is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status();
    assert!(sent.expect("kill").success());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = ended.await.expect("waited").expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.ends_with("error: eu-west-1: the query was stopped\n"),
        "{told}"
    );
    assert_eq!(server.asked("StopQuery").len(), 1);
}

#[tokio::test]
async fn what_is_refused_is_said_so() {
    let server = logs().await;
    server.fail("StartQuery", [(400, "AccessDeniedException")]);
    let output = group(&server, &[]).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert_eq!(
        output.stderr,
        "error: the role operator of account 111122223333 may not logs:StartQuery in eu-west-1, because no identity-based policy \
         allows the logs:StartQuery action: allow logs:StartQuery on \
         arn:aws:logs:eu-west-1:ACCOUNT:log-group:/aws/bedrock/invocations:*\n"
    );
    let output = live(&server, &["--log-group", "/none", "--region", "eu-west-1"]).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    let said = "error: there is no log group /none in eu-west-1: name the one to which model invocation logging writes there, and only source regions that have it\n";
    assert_eq!(output.stderr, said);
    let output = live(&server, &["--log-group", GROUP]).await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(
        output
            .stderr
            .contains("no source region: give --source-region or --region")
    );
}

#[tokio::test]
async fn a_query_waits_while_too_many_others_run() {
    let server = logs().await;
    let limit = (400, "LimitExceededException");
    // The SDK tries three times by itself.
    server.fail("StartQuery", [limit; 4]);
    let output = group(&server, &["--since", "15m"]).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[tokio::test]
async fn cloudtrail_is_looked_up_page_by_page_at_its_rate() {
    let server = LogsServer::start().await;
    let mut events: Vec<Value> = (0..120)
        .map(|number| {
            event_of(
                &format!("r{number}"),
                number,
                "eu-west-1",
                Some("eu-north-1"),
            )
        })
        .collect();
    // What comes again counts once.
    events.push(events[7].clone());
    let mut invoked = event_of("i", 3, "eu-west-1", None);
    invoked["eventName"] = "InvokeModel".into();
    events.push(invoked);
    server.add_events("eu-west-1", events);
    server.add_events(
        "eu-west-3",
        [event_of("w", 9, "eu-west-3", Some("eu-west-3"))],
    );
    let arguments = [
        "--cloudtrail",
        "--since",
        "90d",
        "--source-region",
        "eu-west-3,eu-west-1",
    ];
    let output = live(&server, &[&arguments[..], &["-o", "csv"]].concat()).await;
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(
        rows(&output.stdout),
        [
            format!("{SONNET_IN_THE_EU} eu-west-1 eu-north-1 120"),
            format!("{SONNET_IN_THE_EU} eu-west-1  1"),
            format!("{SONNET_IN_THE_EU} eu-west-3 eu-west-3 1"),
        ]
    );
    assert!(
        output
            .stderr
            .ends_with("events: 123\nrequests: 122, duplicates: 1\n"),
        "{output:#?}"
    );
    // Four kinds of events; those of one kind are on three pages. None was refused for its rate.
    let of_region = |region: &str| {
        server
            .asked("LookupEvents")
            .iter()
            .filter(|it| it.region == region)
            .count()
    };
    assert_eq!((of_region("eu-west-1"), of_region("eu-west-3")), (6, 4));

    let output = live(
        &server,
        &["--cloudtrail", "--since", "91d", "--region", "eu-west-1"],
    )
    .await;
    assert_eq!(output.code, Some(2), "{output:#?}");
    let said = "error: CloudTrail's LookupEvents goes back 90 days: give --since 90d or less, or the files of a trail\n";
    assert_eq!(output.stderr, said);
}

#[tokio::test]
async fn boto3_takes_the_server_for_cloudwatch_logs_and_cloudtrail() {
    let server = logs().await;
    server.add_events(
        "eu-west-1",
        (0..3).map(|number| event_of("x", number, "eu-west-1", None)),
    );
    let Some(mut python) = python::with_boto3() else {
        return;
    };
    python
        .args([AWS_CLIENT, &server.url()])
        .env_remove("AWS_CA_BUNDLE");
    Output::awaited(python, "").await.ok();
}
