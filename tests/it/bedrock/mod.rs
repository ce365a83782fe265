//! The live catalog against a stand-in for Bedrock, and the stand-in against AWS's own client.

mod applications;
mod credentials;
mod doctor;
mod faults;
mod models;
mod network;
mod network_servers;
mod regions;
mod requests;
mod roles;

use std::{fs, io, net::IpAddr, process::Command, sync::Arc};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use futures::future::BoxFuture;
use inference_profile_operator::{
    catalog::{Catalog, CatalogError, FeedKey, Source, embedded::Embedded},
    sources::bedrock::{Bedrock, Options, Resolver},
    types::AccountId,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    common::{
        bedrock_server::{BedrockServer, application_profile, profile},
        program::{Output, PROGRAM},
    },
    python,
};

const AWS_CLIENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/bedrock/aws_client.py"
);
const EU: &[&str] = &["eu-west-3", "eu-west-1", "eu-central-1", "eu-north-1"];

fn key(region: &str) -> FeedKey {
    FeedKey {
        role: None,
        region: region.parse().expect(region),
    }
}

/// Knows some names, all of this machine, and asks nobody.
#[derive(Debug)]
struct Names(&'static [&'static str]);

impl Resolver for Names {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let found = if self.0.contains(&host) {
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        } else {
            Err(io::Error::other("no such name"))
        };
        Box::pin(std::future::ready(found))
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
        resolver: Arc::new(Names(&[])),
        attempts: 1,
        ..Options::new("eu-west-1".parse().expect("region"), Embedded::load())
    }
}

async fn connect(options: Options) -> Bedrock {
    Bedrock::connect(options).await.expect("a client")
}

async fn list(url: &str, region: &str) -> Result<Catalog, CatalogError> {
    connect(options(url)).await.list(&key(region)).await
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

/// Returns the arguments that list a region.
const fn list_in(region: &str) -> [&str; 6] {
    [
        "catalog",
        "list",
        "--catalog",
        "bedrock",
        "--region",
        region,
    ]
}

/// Returns the URL of a port where nobody listens.
fn nobody() -> String {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("port");
    format!("http://{}", closed.local_addr().expect("address"))
}

/// Writes a file into a folder and returns its path.
fn written(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).expect("written");
    path.to_str().expect("path").to_owned()
}

/// Writes the token of a service account into a folder and returns its path.
fn token(folder: &TempDir) -> String {
    written(folder, "token", "a.b.c")
}

async fn server() -> BedrockServer {
    let server = BedrockServer::start().await;
    server.set_profiles("eu-west-1", five_profiles());
    server
}

/// Runs the program with nothing of this process's environment.
async fn operator(args: &[&str], environment: &[(&str, String)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(args)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    Output::awaited(command, "").await
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

    let log = server.listings();
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
    let bedrock = connect(options(&server.url())).await;
    for (region, profiles) in [("us-gov-east-1", 1), ("eu-west-1", 5), ("sa-east-1", 0)] {
        let catalog = bedrock.list(&key(region)).await.expect(region);
        assert_eq!(catalog.profiles().len(), profiles, "{region}");
        let last = server.log().pop().expect("a request");
        assert_eq!(last.signing_region.as_deref(), Some(region));
    }
}

#[tokio::test]
async fn the_program_lists_from_the_endpoint_of_its_environment() {
    let server = server().await;
    let environment = [
        ("AWS_ENDPOINT_URL_BEDROCK", server.url()),
        ("AWS_ACCESS_KEY_ID", "AKIDCHILD".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let args = [&list_in("eu-west-1")[..], &["-o", "json"]].concat();
    let printed = operator(&args, &environment).await.ok();
    let rows: Value = serde_json::from_str(&printed).expect("json");
    assert_eq!(rows.as_array().expect("array").len(), 5);
    assert_eq!(
        rows[0]["arn"],
        "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.amazon.nova-lite-v1:0"
    );
    let log = server.listings();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].access_key_id.as_deref(), Some("AKIDCHILD"));
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
    operator(&export, &[]).await.ok();
    let first = fs::read(dir.path().join("us-east-1.json")).expect("listing");
    // Exported again.
    operator(&export, &[]).await.ok();
    assert_eq!(
        first,
        fs::read(dir.path().join("us-east-1.json")).expect("listing")
    );

    let rows = |output: Output| {
        let mut rows: Vec<Value> = serde_json::from_str(&output.ok()).expect("json");
        // Files have no models.
        rows.retain(|row| row["geography"] != "on-demand");
        for row in &mut rows {
            row["catalog"]["source"] = "any".into();
            row["lifecycle"] = Value::Null;
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
    let us_east_1 = "us-east-1".parse().expect("a region");
    let expected = Embedded::load().catalog(&us_east_1);
    assert_eq!(embedded.len(), expected.profiles().len());
    assert_eq!(rows(operator(&list(&directory), &[]).await), embedded);

    aws_client(&["listing", &format!("{path}/us-east-1.json")], &[]).await;
}

/// Lets `aws_client.py` succeed; nothing where there is no boto3.
async fn aws_client(args: &[&str], environment: &[(&str, String)]) -> Option<()> {
    let mut python = python::with_boto3()?;
    python
        .arg(AWS_CLIENT)
        .args(args)
        .env_remove("AWS_CA_BUNDLE")
        .envs(environment.iter().map(|(name, value)| (name, value)));
    Output::awaited(python, "").await.ok();
    Some(())
}

#[tokio::test]
async fn boto3_takes_the_server_for_bedrock() {
    let server = server().await;
    server.set_models("eu-west-1", models::wire());
    server.set_availability("amazon.nova-lite-v1:0", models::available());
    if aws_client(&["server", &server.url()], &[]).await.is_none() {
        return;
    }
    server.script(faults::all());
    aws_client(&["faults", &server.url()], &[]).await;
    let gets: Vec<String> = server
        .log()
        .into_iter()
        .map(|request| request.path)
        .filter(|path| path.starts_with("/inference-profiles/"))
        .collect();
    assert!(
        gets.iter().any(|path| path.contains("%2F")),
        "an ARN is one segment: {gets:?}"
    );
}
