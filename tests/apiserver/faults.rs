//! What bindings show while AWS fails in every way that the stand-in plays, and that nothing but time cures it: the operator
//! asks the stand-in over HTTP, as it asks AWS.

use std::{
    io,
    net::IpAddr,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use futures::future::BoxFuture;
use inference_profile_operator::{
    api::condition::Reason,
    catalog::{embedded::Embedded, listing},
    sources::bedrock::{Bedrock, Options as AwsOptions, Resolver, Timeouts},
};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    case::{Case, cases},
    common::{
        bedrock_server::{self, BedrockServer, Fault, Scripted},
        program::PROGRAM,
    },
    operator::{ACCOUNT, Options, SONNET, condition},
    probes::terminate,
    stage::{EU, GLOBAL, ID, REGION, Stage, empty, profile_in_use, sonnet, verdict},
    support::eventually,
};

pub fn cases() -> Vec<Case> {
    cases![empty(
        every_fault_is_shown_and_passes,
        listings_that_say_the_same_otherwise_move_nothing,
        a_profile_that_vanishes_and_comes_back,
        a_new_geography_is_found,
        a_name_that_does_not_resolve_for_a_while,
        the_process_keeps_its_calm,
    )]
}

/// Returns what the embedded catalog has for a region, as the wire has it.
pub fn summaries(region: &str) -> Vec<Value> {
    let region = region.parse().expect("a region");
    let account = ACCOUNT.parse().expect("an account");
    let catalog = Embedded::load().catalog(&region);
    let profiles = catalog.profiles().iter();
    profiles
        .map(|profile| {
            let summary = listing::summary(profile, &region, Some(&account));
            serde_json::to_value(summary).expect("JSON")
        })
        .collect()
}

fn without(region: &str, id: &str) -> Vec<Value> {
    let all = summaries(region).into_iter();
    all.filter(|summary| summary["inferenceProfileId"] != id)
        .collect()
}

async fn server(regions: &[&str]) -> BedrockServer {
    let server = BedrockServer::start().await;
    for region in regions {
        server.set_profiles(region, summaries(region));
    }
    server
}

/// Knows one name, or none, as it is told.
#[derive(Debug, Default)]
struct Names {
    broken: AtomicBool,
}

impl Resolver for Names {
    fn addresses<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let found = if self.broken.load(Ordering::SeqCst) {
            Err(io::Error::other("no such name"))
        } else {
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        };
        Box::pin(std::future::ready(found))
    }
}

/// Starts an operator that asks the server, quickly and without patience.
async fn start_on(stage: &mut Stage, server: &BedrockServer) {
    start_at(stage, server.url(), Arc::new(Names::default())).await;
}

async fn start_at(stage: &mut Stage, url: String, names: Arc<Names>) {
    let short = Duration::from_millis(300);
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let options = AwsOptions {
        endpoint_url: Some(url),
        resolver: names,
        credentials: Some(SharedCredentialsProvider::new(credentials)),
        attempts: 1,
        timeouts: Timeouts {
            connect: short,
            read: short,
            attempt: short,
            operation: short,
        },
        ..AwsOptions::new(REGION.parse().expect("a region"), Embedded::load())
    };
    let source = Bedrock::connect(options).await.expect("a source");
    stage.start(Options {
        source: Arc::new(source),
        ..Options::default()
    });
}

async fn every_fault_is_shown_and_passes(stage: &mut Stage) {
    let server = server(&[REGION]).await;
    start_on(stage, &server).await;
    let ready = condition(&stage.bound("claude", sonnet()).await, "Ready");
    let written = stage.object("claude").await;
    let token = json!({"inferenceProfileSummaries": [], "nextToken": "again"});
    let skewed = |code| Scripted::Fault(Fault::skewed(code, 900));
    let faults = [
        (
            "throttled",
            Scripted::Fault(Fault::throttled()),
            Reason::Throttled,
        ),
        (
            "throttled, with a time to wait",
            Scripted::Fault(Fault::throttled_for(1)),
            Reason::Throttled,
        ),
        ("no answer", Scripted::Hang, Reason::EndpointUnreachable),
        (
            "reset in the middle",
            Scripted::Reset,
            Reason::EndpointUnreachable,
        ),
        ("truncated", Scripted::Truncated, Reason::ServiceError),
        (
            "denied",
            Scripted::Fault(Fault::access_denied(
                "arn:aws:sts::111122223333:assumed-role/r/s",
            )),
            Reason::AccessDenied,
        ),
        (
            "another partition's credentials",
            Scripted::Fault(Fault::unrecognized_client()),
            Reason::CredentialsUnavailable,
        ),
        (
            "expired",
            Scripted::Fault(Fault::error(403, "ExpiredTokenException", "expired")),
            Reason::CredentialsUnavailable,
        ),
        (
            "a wrong clock",
            skewed("RequestTimeTooSkewed"),
            Reason::CredentialsUnavailable,
        ),
        (
            "failing",
            Scripted::Fault(Fault::internal()),
            Reason::ServiceError,
        ),
        (
            "a proxy's page",
            Scripted::Fault(Fault::not_bedrock(502)),
            Reason::ServiceError,
        ),
        (
            "pages without end",
            Scripted::Body(token),
            Reason::ServiceError,
        ),
    ];
    for (name, fault, reason) in faults {
        server.stand(Some(fault));
        let message = stage.until("claude", "CatalogFresh", "False", reason).await;
        assert!(!message.is_empty(), "{name}");
        let shown = stage.binding("claude").await;
        assert_eq!(condition(&shown, "Ready"), ready, "{name}");
        assert_eq!(stage.id("claude").await.as_deref(), Some(EU), "{name}");
        // What is new meanwhile waits in words, or gets what is known; no hand and no restart is needed afterwards.
        server.stand(None);
        stage
            .until("claude", "CatalogFresh", "True", Reason::Fresh)
            .await;
    }
    assert_eq!(
        stage.object("claude").await.metadata.resource_version,
        written.metadata.resource_version,
        "the value was not written anew"
    );
}

async fn listings_that_say_the_same_otherwise_move_nothing(stage: &mut Stage) {
    let server = server(&[REGION]).await;
    server.set_page_size(3);
    start_on(stage, &server).await;
    let binding = stage.bound("claude", sonnet()).await;
    let mut turned = summaries(REGION);
    turned.reverse();
    for summary in &mut turned {
        let fields = summary.as_object_mut().expect("an object");
        fields.remove("description");
        fields.remove("createdAt");
        fields.insert("newField".to_owned(), json!({"unknown": [1, 2]}));
        fields["models"].as_array_mut().expect("models").reverse();
    }
    server.set_profiles(REGION, turned);
    let listings = server.listings().len();
    eventually("listed again, on all pages", || async {
        let more = server.listings().len() - listings;
        if more > 20 { Ok(()) } else { Err(more) }
    })
    .await;
    assert_eq!(
        stage.binding("claude").await.metadata.resource_version,
        binding.metadata.resource_version
    );
}

async fn a_profile_that_vanishes_and_comes_back(stage: &mut Stage) {
    let server = server(&[REGION]).await;
    start_on(stage, &server).await;
    stage.bound("claude", sonnet()).await;
    server.set_profiles(REGION, without(REGION, EU));
    let message = stage
        .until("claude", "RegionSupported", "False", Reason::ProfileRetired)
        .await;
    assert!(message.contains("111122223333"), "{message}");
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU), "it stays");
    server.set_profiles(REGION, summaries(REGION));
    stage.ready("claude").await;
    // A listing that is suddenly empty is believed only when it is so twice: then the region has none.
    server.set_profiles(REGION, Vec::new());
    stage
        .until("claude", "RegionSupported", "False", Reason::ProfileRetired)
        .await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
    server.set_profiles(REGION, summaries(REGION));
    stage.ready("claude").await;
}

async fn a_name_that_does_not_resolve_for_a_while(stage: &mut Stage) {
    let server = server(&[REGION]).await;
    let url = format!("http://bedrock.example:{}", server.address().port());
    let names = Arc::new(Names::default());
    names.broken.store(true, Ordering::SeqCst);
    start_at(stage, url, names.clone()).await;
    stage.bind("claude", sonnet()).await;
    let message = stage
        .until(
            "claude",
            "CatalogFresh",
            "False",
            Reason::EndpointUnreachable,
        )
        .await;
    assert!(message.contains("bedrock.example"), "{message}");
    let message = stage
        .until("claude", "Ready", "Unknown", Reason::CatalogUnavailable)
        .await;
    assert!(
        message.contains(EU),
        "what the snapshot would give: {message}"
    );
    assert_eq!(stage.config_map("claude").await, None);
    names.broken.store(false, Ordering::SeqCst);
    stage.ready("claude").await;
    assert_eq!(stage.id("claude").await.as_deref(), Some(EU));
}

async fn a_new_geography_is_found(stage: &mut Stage) {
    let server = server(&[REGION]).await;
    start_on(stage, &server).await;
    stage
        .bind("claude", json!({"model": SONNET, "geography": "nordic"}))
        .await;
    stage
        .until(
            "claude",
            "RegionSupported",
            "False",
            Reason::GeographyUnsupported,
        )
        .await;
    let mut profiles = summaries(REGION);
    profiles.push(bedrock_server::profile(
        REGION,
        "nordic",
        SONNET,
        &["eu-north-1", "eu-west-1"],
    ));
    server.set_profiles(REGION, profiles);
    let binding = stage.ready("claude").await;
    assert_eq!(
        profile_in_use(&binding),
        Some("nordic.anthropic.claude-sonnet-4-5-20250929-v1:0")
    );
}

/// The whole way: the program, the SDK's default chain, three source regions.
async fn the_process_keeps_its_calm(stage: &Stage) {
    const US: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    let regions = [REGION, "us-east-1", "ap-northeast-1"];
    let server = server(&regions).await;
    let mut program = Command::new(PROGRAM)
        .args(["run", "--region=eu-west-1", "--refresh-interval=1s"])
        .arg("--catalog-grace=2s")
        .args(["--namespace", &stage.namespace])
        .env("KUBECONFIG", stage.cluster.kubeconfig())
        .env("AWS_ENDPOINT_URL_BEDROCK", server.url())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env_remove("AWS_PROFILE")
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program runs");
    for (region, geography) in regions.iter().zip(["eu", "us", "jp"]) {
        let spec = json!({"model": SONNET, "geography": geography, "sourceRegion": region});
        stage.bind(geography, spec).await;
    }
    for name in ["eu", "us", "jp"] {
        stage.ready(name).await;
    }
    // One profile goes.
    server.set_profiles("us-east-1", without("us-east-1", US));
    stage
        .until("us", "Ready", "False", Reason::ProfileRetired)
        .await;
    assert_eq!(stage.value("us", ID).await.as_deref(), Some(US));
    stage
        .until_events("us", &[("Warning", "ProfileRetired", 1)])
        .await;
    // One comes: who waited for it gets it.
    stage
        .bind("late", json!({"model": SONNET, "geography": "nordic"}))
        .await;
    stage
        .until("late", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    let mut more = summaries(REGION);
    let nordic = bedrock_server::profile(REGION, "nordic", SONNET, &["eu-north-1"]);
    more.push(nordic);
    server.set_profiles(REGION, more);
    stage.ready("late").await;
    // AWS throttles: values stay, Ready stays, and the requests become fewer.
    server.stand(Some(Scripted::Fault(Fault::throttled_for(2))));
    for name in ["eu", "jp"] {
        stage
            .until(name, "CatalogFresh", "False", Reason::Throttled)
            .await;
        let binding = stage.binding(name).await;
        assert_eq!(
            verdict(&binding, "Ready"),
            Some(("True".to_owned(), "Bound".to_owned()))
        );
    }
    server.stand(None);
    for name in ["eu", "jp", "late"] {
        stage
            .until(name, "CatalogFresh", "True", Reason::Fresh)
            .await;
    }
    let signed: std::collections::BTreeSet<_> = server
        .listings()
        .into_iter()
        .filter_map(|request| request.signing_region)
        .collect();
    assert_eq!(
        signed.iter().map(String::as_str).collect::<Vec<_>>(),
        ["ap-northeast-1", "eu-west-1", "us-east-1"]
    );
    assert_ne!(stage.id("eu").await.as_deref(), Some(GLOBAL));
    terminate(&mut program).await;
}
