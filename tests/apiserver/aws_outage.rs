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
    support::eventually,
};

/// Requests of the setting-up in flight.
const IN_FLIGHT: usize = 16;
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
    writes: f64,
    listed: f64,
    failed: f64,
    lines: usize,
}

impl Moment {
    async fn of(running: &Running) -> Self {
        let listings = "inference_profile_operator_catalog_listings_total";
        let listed = running.metric(listings, &["result=\"success\""]).await;
        Self {
            writes: running.writes(None).await,
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

async fn an_outage_of_aws_writes_nothing(stage: &Stage) {
    let minutes = variable("OUTAGE_MINUTES");
    let lasts = Duration::from_secs(60 * minutes.unwrap_or_default());
    let interval = if minutes.is_some() { "60s" } else { "1s" };
    let server = BedrockServer::start().await;
    server.set_profiles(REGION, summaries(REGION));
    let url = server.url();
    let refresh = format!("--refresh-interval={interval}");
    let running = Running::start(
        stage,
        &["--catalog=bedrock", &refresh],
        &[
            ("AWS_ENDPOINT_URL_BEDROCK", url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ],
    )
    .await;
    let names: Vec<String> = (0..variable("OUTAGE_BINDINGS").unwrap_or(20))
        .map(|number| format!("claude-{number}"))
        .collect();
    for some in names.chunks(IN_FLIGHT) {
        join_all(some.iter().map(|name| stage.bind(name, sonnet()))).await;
    }
    // One waits for a profile that AWS adds during the outage.
    let waiting = json!({"model": SONNET, "geography": "nordic"});
    stage.bind("waiting", waiting).await;
    stage
        .until("waiting", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    let created = f64::from(u32::try_from(names.len()).expect("not so many"));
    eventually("all are Ready, and nothing is written any more", || async {
        let bindings = "inference_profile_operator_bindings";
        let ready = running.metric(bindings, &["ready=\"True\""]).await;
        let before = running.writes(None).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = running.writes(None).await;
        if ready.to_bits() == created.to_bits() && before.to_bits() == after.to_bits() {
            Ok(())
        } else {
            Err((ready, before, after))
        }
    })
    .await;

    let objects = versions(stage).await;
    let before = Moment::of(&running).await;
    if minutes.is_some() {
        before.show("before", &running).await;
    }
    let began = Instant::now();
    let mut profiles = summaries(REGION);
    profiles.push(profile(REGION, "nordic", SONNET, &["eu-north-1"]));
    server.set_profiles(REGION, profiles);
    // It fails in every way, each for a third of the time.
    for (third, fault) in [
        (1, Scripted::Fault(Fault::internal())),
        (2, Scripted::Reset),
        (3, Scripted::Hang),
    ] {
        server.stand(Some(fault));
        let asked = server.listings().len();
        while server.listings().len() < asked + 2 || began.elapsed() < lasts * third / 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    eventually("listings fail", || async {
        let failed = Moment::of(&running).await.failed - before.failed;
        if failed >= 1.0 { Ok(()) } else { Err(failed) }
    })
    .await;
    let after = Moment::of(&running).await;
    if minutes.is_some() {
        before.show("after the outage", &running).await;
    }
    assert_eq!(
        after.listed.to_bits(),
        before.listed.to_bits(),
        "AWS was away"
    );
    assert_eq!(
        after.writes.to_bits(),
        before.writes.to_bits(),
        "no write was tried"
    );
    assert_eq!(versions(stage).await, objects, "nothing was written");
    assert_eq!(running.problems().len(), 1, "{:#?}", running.problems());

    server.stand(None);
    let mended = Instant::now();
    eventually("AWS is listed again", || async {
        let listed = Moment::of(&running).await.listed - after.listed;
        if listed >= 1.0 { Ok(()) } else { Err(listed) }
    })
    .await;
    let listed = mended.elapsed();
    stage.ready("waiting").await;
    let bound = mended.elapsed();
    let mut now = versions(stage).await;
    now.retain(|name, _| !name.ends_with("waiting") && !name.starts_with("Event waiting"));
    let mut as_before = objects;
    as_before.retain(|name, _| now.contains_key(name));
    assert_eq!(now, as_before, "only what waited for AWS was written");
    if minutes.is_some() {
        after.show("back", &running).await;
        let writes = running.writes(None).await - after.writes;
        println!(
            "--- {created} bindings, interval {interval}, outage of {:.1?}",
            began.elapsed()
        );
        println!(
            "writes during the outage: {}; after it: {writes}",
            after.writes - before.writes
        );
        println!("listings that failed: {}", after.failed - before.failed);
        println!("back: listed after {listed:.1?}, what waited is bound after {bound:.1?}");
    }
    running.stop().await;
}
