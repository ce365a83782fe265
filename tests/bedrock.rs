//! The live catalog against a stand-in for Bedrock, and the stand-in against AWS's own client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation fails the test"
)]

#[path = "support/bedrock_server.rs"]
mod bedrock_server;
#[path = "support/python.rs"]
mod python;

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use bedrock_server::{BedrockServer, Fault, Scripted, application_profile, profile};
use inference_profile_operator::{
    api::condition::Reason,
    catalog::{
        Catalog, CatalogError, FeedKey, Source,
        bedrock::{Bedrock, Options},
    },
    types::AccountId,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_inference-profile-operator");
const AWS_CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/aws_client.py");
const EU: &[&str] = &["eu-west-3", "eu-west-1", "eu-central-1", "eu-north-1"];

fn key(region: &str) -> FeedKey {
    FeedKey {
        role: None,
        region: region.parse().expect(region),
    }
}

/// Returns options for one attempt at this URL.
fn options(url: &str) -> Options {
    Options {
        endpoint_url: Some(url.to_owned()),
        credentials: Some(SharedCredentialsProvider::new(Credentials::new(
            "AKIDEXAMPLE",
            "secret",
            None,
            None,
            "test",
        ))),
        attempts: 1,
        ..Options::new("eu-west-1".parse().expect("region"))
    }
}

async fn list(url: &str, region: &str) -> Result<Catalog, CatalogError> {
    Bedrock::connect(options(url))
        .await
        .list(&key(region))
        .await
}

async fn error(url: &str) -> CatalogError {
    list(url, "eu-west-1").await.expect_err("an error")
}

fn five_profiles() -> Vec<Value> {
    let source = "eu-west-1";
    vec![
        profile(source, "eu", "amazon.nova-lite-v1:0", EU),
        profile(source, "eu", "anthropic.claude-sonnet-4-6", EU),
        application_profile(source, "q1w2e3r4t5y6", "amazon.nova-lite-v1:0"),
        profile(source, "global", "anthropic.claude-sonnet-4-6", &[]),
        profile(source, "global", "cohere.embed-v4:0", &[]),
        profile(source, "eu", "cohere.embed-v4:0", EU),
    ]
}

async fn server() -> BedrockServer {
    let server = BedrockServer::start().await;
    server.set_profiles("eu-west-1", five_profiles());
    server
}

/// Runs the program with nothing of this process's environment.
async fn operator(args: &[&str], environment: &[(&str, String)]) -> Output {
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    run(command).await
}

async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("a process"))
        .await
        .expect("a thread")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn lists_every_page_signed_for_the_region() {
    let server = server().await;
    server.set_page_size(2);
    let catalog = list(&server.url(), "eu-west-1").await.expect("catalog");
    let rows: Vec<String> = catalog
        .profiles()
        .iter()
        .map(|profile| format!("{} {}", profile.id, profile.destinations))
        .collect();
    assert_eq!(
        rows,
        [
            "eu.amazon.nova-lite-v1:0 eu-central-1,eu-north-1,eu-west-1,eu-west-3",
            "eu.anthropic.claude-sonnet-4-6 eu-central-1,eu-north-1,eu-west-1,eu-west-3",
            "global.anthropic.claude-sonnet-4-6 *",
            "eu.cohere.embed-v4:0 eu-central-1,eu-north-1,eu-west-1,eu-west-3",
            "global.cohere.embed-v4:0 *",
        ]
    );
    assert_eq!(
        catalog.account().map(AccountId::as_str),
        Some("111122223333")
    );
    assert_eq!(catalog.as_of(), None);

    let log = server.log();
    assert_eq!(log.len(), 3);
    for (index, request) in log.iter().enumerate() {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("GET", "/inference-profiles")
        );
        assert_eq!(request.query["type"], "SYSTEM_DEFINED");
        assert_eq!(request.query["maxResults"], "1000");
        assert_eq!(request.query.contains_key("nextToken"), index > 0);
        assert_eq!(request.signing_region.as_deref(), Some("eu-west-1"));
        assert_eq!(request.signing_name.as_deref(), Some("bedrock"));
        assert_eq!(request.access_key_id.as_deref(), Some("AKIDEXAMPLE"));
    }
}

#[tokio::test]
async fn each_region_is_asked_for_itself() {
    let server = server().await;
    server.set_profiles(
        "us-gov-east-1",
        vec![profile(
            "us-gov-east-1",
            "us-gov",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            &["us-gov-west-1"],
        )],
    );
    let bedrock = Bedrock::connect(options(&server.url())).await;
    for (region, profiles) in [("us-gov-east-1", 1), ("eu-west-1", 5), ("sa-east-1", 0)] {
        let catalog = bedrock.list(&key(region)).await.expect(region);
        assert_eq!(catalog.profiles().len(), profiles, "{region}");
        let last = server.log().pop().expect("a request");
        assert_eq!(last.signing_region.as_deref(), Some(region));
    }
}

#[tokio::test]
async fn failures_have_classes_and_say_the_same_each_time() {
    let denied = |session: u32| {
        Fault::access_denied(&format!(
            "arn:aws:sts::111122223333:assumed-role/discovery/session-{session}"
        ))
    };
    let cases = [
        (
            [denied(1), denied(2)],
            Reason::AccessDenied,
            "the role discovery of account 111122223333 may not",
        ),
        (
            [Fault::unrecognized_client(), Fault::unrecognized_client()],
            Reason::CredentialsUnavailable,
            "(UnrecognizedClientException)",
        ),
        (
            [
                Fault::error(403, "ExpiredTokenException", "1"),
                Fault::error(403, "ExpiredTokenException", "2"),
            ],
            Reason::CredentialsUnavailable,
            "expired",
        ),
        (
            [Fault::throttled(), Fault::throttled()],
            Reason::Throttled,
            "rate of requests",
        ),
        (
            [Fault::internal(), Fault::internal()],
            Reason::ServiceError,
            "HTTP 500, InternalServerException",
        ),
        (
            [
                Fault::error(400, "ValidationException", "1"),
                Fault::error(400, "ValidationException", "2"),
            ],
            Reason::ServiceError,
            "HTTP 400, ValidationException",
        ),
        (
            [Fault::not_bedrock(502), Fault::not_bedrock(502)],
            Reason::ServiceError,
            "HTTP 502",
        ),
        (
            [Fault::not_bedrock(200), Fault::not_bedrock(200)],
            Reason::ServiceError,
            "not one of Bedrock",
        ),
    ];
    let server = server().await;
    for (faults, reason, says) in cases {
        server.fail(faults);
        let (first, second) = (error(&server.url()).await, error(&server.url()).await);
        assert_eq!(first.reason(), reason, "{first}");
        assert_eq!(first.to_string(), second.to_string());
        assert!(first.to_string().contains(says), "{first}");
        assert!(first.to_string().contains("eu-west-1"), "{first}");
    }
    server.fail([Fault::throttled_for(7)]);
    let CatalogError::Throttled { retry_after, .. } = error(&server.url()).await else {
        panic!("not throttled");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_passing_failure_is_tried_again() {
    let server = server().await;
    server.fail([Fault::internal()]);
    let options = Options {
        attempts: 2,
        ..options(&server.url())
    };
    let catalog = Bedrock::connect(options)
        .await
        .list(&key("eu-west-1"))
        .await;
    assert_eq!(catalog.expect("catalog").profiles().len(), 5);
    assert_eq!(server.log().len(), 2);
}

#[tokio::test]
async fn what_can_not_be_reached_is_said_so() {
    let server = server().await;
    server.script([Scripted::Hang]);
    let mut impatient = options(&server.url());
    impatient.timeouts.read = Duration::from_millis(50);
    let hanging = Bedrock::connect(impatient)
        .await
        .list(&key("eu-west-1"))
        .await;

    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("port");
    let nobody = format!("http://{}", closed.local_addr().expect("address"));
    drop(closed);

    for (error, says) in [
        (hanging.expect_err("hanging"), "did not answer in time"),
        (error(&nobody).await, "no connection to"),
        (error("http://bedrock.invalid").await, "does not resolve"),
    ] {
        assert_eq!(error.reason(), Reason::EndpointUnreachable, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// The AWS SDK and the Kubernetes client disagree on rustls' cryptography; the program must have chosen before either
/// opens a connection, or this panics.
#[tokio::test]
async fn the_program_speaks_tls() {
    let not_tls = server().await;
    let url = not_tls.url().replace("http://", "https://");
    let environment = [
        ("AWS_ENDPOINT_URL_BEDROCK", url),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let args = [
        "catalog",
        "list",
        "--catalog",
        "bedrock",
        "--region",
        "eu-west-1",
    ];
    let output = operator(&args, &environment).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.starts_with("error: ") && !stderr.contains("panicked"),
        "{stderr}"
    );
}

#[tokio::test]
async fn roles_are_refused_without_a_request() {
    let server = server().await;
    let key = FeedKey {
        role: Some("arn:aws:iam::111122223333:role/other".into()),
        ..key("eu-west-1")
    };
    let refused = Bedrock::connect(options(&server.url()))
        .await
        .list(&key)
        .await;
    assert_eq!(
        refused.expect_err("refused").reason(),
        Reason::RoleNotAllowed
    );
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn pages_without_end_are_an_error() {
    let server = server().await;
    let page = json!({ "inferenceProfileSummaries": five_profiles(), "nextToken": "again" });
    server.script([Scripted::Body(page.clone()), Scripted::Body(page)]);
    let error = error(&server.url()).await;
    assert_eq!(error.reason(), Reason::ServiceError);
    assert!(error.to_string().contains("pages without end"), "{error}");
}

#[tokio::test]
async fn an_answer_of_another_region_is_not_believed() {
    let server = server().await;
    server.script([Scripted::Body(json!({
        "inferenceProfileSummaries": [profile("us-east-1", "us", "cohere.embed-v4:0", &["us-east-1"])],
    }))]);
    let error = error(&server.url()).await;
    assert_eq!(error.reason(), Reason::ServiceError);
    assert!(
        error.to_string().contains("AWS_ENDPOINT_URL_BEDROCK"),
        "{error}"
    );
}

#[tokio::test]
async fn the_program_lists_from_the_endpoint_of_its_environment() {
    let server = server().await;
    let environment = [
        ("AWS_ENDPOINT_URL_BEDROCK", server.url()),
        ("AWS_ACCESS_KEY_ID", "AKIDCHILD".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let args = [
        "catalog",
        "list",
        "--catalog",
        "bedrock",
        "--region",
        "eu-west-1",
        "-o",
        "json",
    ];
    let output = operator(&args, &environment).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows: Value = serde_json::from_slice(&output.stdout).expect("json");
    assert_eq!(rows.as_array().expect("array").len(), 5);
    assert_eq!(
        rows[0]["arn"],
        "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.amazon.nova-lite-v1:0"
    );
    let log = server.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].access_key_id.as_deref(), Some("AKIDCHILD"));
}

#[tokio::test]
async fn the_program_says_what_is_missing() {
    let server = server().await;
    let url = ("AWS_ENDPOINT_URL_BEDROCK", server.url());
    let args = ["catalog", "list", "--catalog", "bedrock"];
    let without_region = operator(&args, std::slice::from_ref(&url)).await;
    assert_eq!(without_region.status.code(), Some(2));
    assert!(text(&without_region.stderr).contains("give --region, or set AWS_REGION"));

    let region = ("AWS_REGION", "eu-west-1".to_owned());
    let without_credentials = operator(&args, &[url, region]).await;
    assert_eq!(without_credentials.status.code(), Some(1));
    let said = text(&without_credentials.stderr);
    assert!(said.contains("no AWS credentials were found"), "{said}");
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn an_export_reads_back_as_it_was_and_is_what_aws_would_answer() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().to_str().expect("path");
    let account = ["--account", "111122223333"];
    let export = [
        &["catalog", "export", "--region", "us-east-1", path][..],
        &account,
    ]
    .concat();
    let output = operator(&export, &[]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let first = fs::read(dir.path().join("us-east-1.json")).expect("listing");
    assert!(
        operator(&export, &[]).await.status.success(),
        "exported again"
    );
    assert_eq!(
        first,
        fs::read(dir.path().join("us-east-1.json")).expect("listing")
    );

    let rows = |output: Output| {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let mut rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("json");
        for row in &mut rows {
            row["catalog"]["source"] = "any".into();
        }
        rows
    };
    let list = |catalog| {
        [
            &[
                "catalog",
                "list",
                "-o",
                "json",
                "--region",
                "us-east-1",
                "--catalog",
                catalog,
            ][..],
            &account,
        ]
        .concat()
    };
    let directory = format!("directory:{path}");
    let embedded = rows(operator(&list("embedded"), &[]).await);
    assert_eq!(embedded.len(), 94);
    assert_eq!(rows(operator(&list(&directory), &[]).await), embedded);

    if let Some(mut python) = python::with_boto3() {
        python.args([AWS_CLIENT, "listing", &format!("{path}/us-east-1.json")]);
        let output = run(python).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[tokio::test]
async fn boto3_takes_the_server_for_bedrock() {
    let server = server().await;
    for mode in ["server", "faults"] {
        let Some(mut python) = python::with_boto3() else {
            return;
        };
        if mode == "faults" {
            server.fail([
                Fault::throttled(),
                Fault::access_denied("arn:aws:iam::111122223333:user/u"),
                Fault::internal(),
                Fault::unrecognized_client(),
            ]);
        }
        python.args([AWS_CLIENT, mode, &server.url()]);
        let output = run(python).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let gets: Vec<String> = server
        .log()
        .into_iter()
        .map(|request| request.path)
        .filter(|path| path != "/inference-profiles")
        .collect();
    assert!(
        gets.iter().any(|path| path.contains("%2F")),
        "an ARN is one segment: {gets:?}"
    );
}
