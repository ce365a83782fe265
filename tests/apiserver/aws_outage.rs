//! An outage of AWS: what is written meanwhile, and what metrics and log say.
//!
//! The long form prints what they say:
//! `OUTAGE_MINUTES=10 OUTAGE_BINDINGS=1000 cargo test --test apiserver -- aws_outage`

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::future::join_all;
use inference_profile_operator::api::condition::Reason;
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use crate::{
    case::{Case, cases},
    common::bedrock_server::{BedrockServer, Fault, Scripted, profile},
    faults::summaries,
    operator::SONNET,
    running::Running,
    stage::{REGION, Stage, empty, sonnet},
    support::{eventually, within},
};

/// Requests of the setting-up in flight.
const IN_FLIGHT: usize = 16;
/// More than an interval of the long form.
const A_WHILE: Duration = Duration::from_mins(3);
/// The metrics that tell of an outage.
const TELLING: [&str; 6] = [
    "inference_profile_operator_aws_requests_total",
    "inference_profile_operator_bindings{",
    "inference_profile_operator_catalog_age_seconds",
    "inference_profile_operator_catalog_listings_total",
    "inference_profile_operator_writes_total",
    "workqueue_depth",
];

pub fn cases() -> Vec<Case> {
    cases![empty(an_outage_of_aws_writes_nothing)]
}

/// Returns the value of a variable, if it is set.
fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

/// Returns the resource versions of all bindings, `ConfigMaps` and Events of the namespace.
async fn versions(stage: &Stage) -> BTreeMap<String, Option<String>> {
    let client = &stage.cluster.client;
    let events = Api::<Event>::namespaced(client.clone(), &stage.namespace);
    let config_maps: Api<ConfigMap> = stage.config_maps();
    let all = ListParams::default();
    let mut versions = BTreeMap::new();
    for binding in stage.bindings().list(&all).await.expect("bindings") {
        versions.insert(
            format!("binding {}", binding.name_any()),
            binding.resource_version(),
        );
    }
    for object in config_maps.list(&all).await.expect("objects") {
        versions.insert(
            format!("ConfigMap {}", object.name_any()),
            object.resource_version(),
        );
    }
    for event in events.list(&all).await.expect("events") {
        versions.insert(
            format!("Event {}", event.name_any()),
            event.resource_version(),
        );
    }
    versions
}

/// What has happened up to a moment.
struct Moment {
    writes: u64,
    listed: u64,
    failed: u64,
    lines: usize,
}

impl Moment {
    async fn of(running: &Running) -> Self {
        let listings = "inference_profile_operator_catalog_listings_total";
        let listed = running.metric(listings, &["result=\"success\""]).await;
        Self {
            writes: running.writes().await,
            listed,
            failed: running.metric(listings, &[]).await - listed,
            lines: running.lines().len(),
        }
    }

    /// Shows the metrics that tell of an outage, and what the log has had since.
    async fn show(&self, when: &str, running: &Running) {
        println!("--- {when}: metrics");
        let page = running.get("/metrics").await;
        for line in page.lines() {
            if TELLING.iter().any(|name| line.starts_with(name)) {
                println!("{line}");
            }
        }
        println!("--- {when}: log");
        for line in &running.lines()[self.lines..] {
            println!("{line}");
        }
    }
}

/// Runs the program with a stand-in for AWS.
async fn start(stage: &Stage, interval: &str) -> (Running, BedrockServer) {
    let server = BedrockServer::start().await;
    server.set_profiles(REGION, summaries(REGION));
    let url = server.url();
    let refresh = format!("--refresh-interval={interval}");
    let environment = [
        ("AWS_ENDPOINT_URL_BEDROCK", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let arguments = ["--catalog=bedrock", &refresh];
    (
        Running::start(stage, &arguments, &environment).await,
        server,
    )
}

/// Creates so many bindings, and one that waits for a profile that AWS does not have. Waits until nothing is written any more.
async fn bind(stage: &Stage, running: &Running, count: u64) {
    let names: Vec<String> = (0..count)
        .map(|number| format!("claude-{number}"))
        .collect();
    for some in names.chunks(IN_FLIGHT) {
        join_all(some.iter().map(|name| stage.bind(name, sonnet()))).await;
    }
    let waiting = json!({"model": SONNET, "geography": "nordic"});
    stage.bind("waiting", waiting).await;
    stage
        .until("waiting", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    eventually("all are Ready, and nothing is written any more", || async {
        let bindings = "inference_profile_operator_bindings";
        let ready = running.metric(bindings, &["ready=\"True\""]).await;
        let before = running.writes().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = running.writes().await;
        if ready == count && before == after {
            Ok(())
        } else {
            Err((ready, before, after))
        }
    })
    .await;
}

/// Has AWS fail for so long at least, each way for a third of the time, and add a profile meanwhile.
async fn fail(server: &BedrockServer, lasts: Duration) {
    let began = Instant::now();
    let mut profiles = summaries(REGION);
    profiles.push(profile(REGION, "nordic", SONNET, &["eu-north-1"]));
    server.set_profiles(REGION, profiles);
    for (third, fault) in [
        (1, Scripted::Fault(Fault::internal())),
        (2, Scripted::Reset),
        (3, Scripted::Hang),
    ] {
        server.stand(Some(fault));
        let asked = server.listings().len();
        while server.listings().len() == asked || began.elapsed() < lasts * third / 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn an_outage_of_aws_writes_nothing(stage: &Stage) {
    let minutes = variable("OUTAGE_MINUTES");
    let count = variable("OUTAGE_BINDINGS").unwrap_or(20);
    let interval = if minutes.is_some() { "60s" } else { "1s" };
    let (running, server) = start(stage, interval).await;
    bind(stage, &running, count).await;

    let objects = versions(stage).await;
    let before = Moment::of(&running).await;
    if minutes.is_some() {
        before.show("before", &running).await;
    }
    let lasts = Duration::from_secs(60 * minutes.unwrap_or_default());
    fail(&server, lasts).await;
    eventually("a listing failed", || async {
        let failed = Moment::of(&running).await.failed - before.failed;
        if failed >= 1 { Ok(()) } else { Err(failed) }
    })
    .await;
    let after = Moment::of(&running).await;
    if minutes.is_some() {
        before.show("after the outage", &running).await;
    }
    let listed = after.listed - before.listed;
    assert!(
        listed <= 1,
        "{listed} listings: one may have been under way"
    );
    assert_eq!(after.writes, before.writes, "no write was tried");
    assert_eq!(versions(stage).await, objects, "nothing was written");
    // One line for each reason that begins: AWS fails, and it can't be reached.
    let problems = running.problems();
    assert!(matches!(problems.len(), 1 | 2), "{problems:#?}");

    server.stand(None);
    let mended = Instant::now();
    within(A_WHILE, "AWS is listed again", || async {
        let listed = Moment::of(&running).await.listed - after.listed;
        if listed >= 1 { Ok(()) } else { Err(listed) }
    })
    .await;
    let listed = mended.elapsed();
    stage.ready("waiting").await;
    let bound = mended.elapsed();
    let mut now = versions(stage).await;
    now.retain(|name, _| objects.contains_key(name) && name != "binding waiting");
    let mut as_before = objects;
    as_before.remove("binding waiting");
    assert_eq!(now, as_before, "only what waited for AWS was written");
    if minutes.is_some() {
        after.show("back", &running).await;
        println!("--- {count} bindings, interval {interval}");
        println!("writes in the outage: {}", after.writes - before.writes);
        println!("writes after it: {}", running.writes().await - after.writes);
        println!("listings that failed: {}", after.failed - before.failed);
        println!("back: listed after {listed:.1?}, what waited bound after {bound:.1?}");
    }
    running.stop().await;
}
