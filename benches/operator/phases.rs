//! What is done and timed, step by step.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use inference_profile_operator::api::InferenceProfileBinding;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{ResourceExt, api::ListParams};
use serde_json::json;

use crate::{
    Failure, Options,
    cluster::{Cluster, MODEL, Seen, name, within},
    floor::{self, DESTINATIONS_KEY, Sample},
    operator::{Operator, REGION},
    report::{Restart, Rewrite, Run},
    requests,
};

/// Destinations that the catalog of the rewrites changes between, none of them those of the embedded catalog.
const DESTINATIONS: [[&str; 3]; 2] = [
    ["eu-central-1", "eu-north-1", "eu-west-1"],
    ["eu-central-1", "eu-south-1", "eu-west-1"],
];
/// Destinations that the bare client writes.
const DESTINATIONS_OF_FLOOR: [&str; 3] = ["eu-central-1", "eu-west-1", "eu-west-3"];
/// How often the catalog may change until enough bindings were created during a rewrite.
const REWRITES_LIMIT: usize = 100;

/// Lets the operator make one binding ready, and returns what it wrote.
pub async fn sample(cluster: &Cluster) -> Result<Sample, Failure> {
    let namespace = cluster.namespace().await?;
    let ready = Seen::watch(cluster.bindings(&namespace), is_ready).await?;
    let operator = Operator::start(&namespace, &["--catalog", "embedded"])?;
    cluster.create_many(&namespace, 1).await?;
    ready.all(1).await.map_err(|error| operator.failed(error))?;
    operator.stop().await?;
    let config_map = within(cluster.config_maps(&namespace).get(&name(0))).await?;
    let binding = within(cluster.bindings(&namespace).get(&name(0))).await?;
    cluster.empty(&namespace).await?;
    Ok(Sample {
        config_map,
        status: binding.status.unwrap_or_default(),
    })
}

/// Returns the number of bindings in flight with which the bare client is fastest.
pub async fn best_concurrency(cluster: &Cluster, sample: &Sample) -> Result<usize, Failure> {
    let mut best = (Duration::MAX, 0);
    // The first one only warms the apiserver up.
    for in_flight in [64, 16, 32, 64] {
        let took = create_floor(cluster, sample, 1000, in_flight).await?;
        eprintln!(
            "floor with {in_flight} in flight, 1000 bindings: {:.2} s",
            took.as_secs_f64()
        );
        best = best.min((took, in_flight));
    }
    Ok(best.1)
}

/// Measures everything once.
pub async fn run(
    cluster: &Cluster,
    sample: &Sample,
    bindings: usize,
    in_flight: usize,
    floor_first: bool,
    options: &Options,
) -> Result<Run, Failure> {
    let mut run = Run::default();
    if floor_first {
        run.floor_create = create_floor(cluster, sample, bindings, in_flight).await?;
    }
    let namespace = cluster.namespace().await?;
    create(cluster, &namespace, bindings, options, &mut run).await?;
    run.restart = restart(cluster, &namespace).await?;
    run.rewrite = rewrite(
        cluster,
        &namespace,
        bindings,
        in_flight,
        floor_first,
        options.samples,
    )
    .await?;
    cluster.empty(&namespace).await?;
    if !floor_first {
        run.floor_create = create_floor(cluster, sample, bindings, in_flight).await?;
    }
    Ok(run)
}

async fn create_floor(
    cluster: &Cluster,
    sample: &Sample,
    bindings: usize,
    in_flight: usize,
) -> Result<Duration, Failure> {
    let namespace = cluster.namespace().await?;
    let ready = Seen::watch(cluster.bindings(&namespace), is_ready).await?;
    cluster.settle().await?;
    let began = floor::create(cluster, &namespace, bindings, in_flight, sample).await?;
    let took = ready.all(bindings).await? - began;
    cluster.empty(&namespace).await?;
    Ok(took)
}

async fn create(
    cluster: &Cluster,
    namespace: &str,
    bindings: usize,
    options: &Options,
    run: &mut Run,
) -> Result<(), Failure> {
    let ready = Seen::watch(cluster.bindings(namespace), is_ready).await?;
    let operator = Operator::start(namespace, &["--catalog", "embedded"])?;
    let requests_before = cluster.settle().await?;
    let cpu_before = operator.usage()?.cpu;
    let began = Instant::now();
    cluster.create_many(namespace, bindings).await?;
    let ended = ready
        .all(bindings)
        .await
        .map_err(|error| operator.failed(error))?;
    run.create = ended - began;
    let requests_after = cluster.settle().await?;
    run.create_requests = requests::between(&requests_before, &requests_after);
    let used = operator.usage()?;
    run.cpu = used.cpu.saturating_sub(cpu_before);
    run.peak_kib = used.peak_kib;
    tokio::time::sleep(Duration::from_secs(options.quiet)).await;
    run.quiet_requests = requests::between(&requests_after, &cluster.requests().await?);
    operator.stop().await
}

async fn restart(cluster: &Cluster, namespace: &str) -> Result<Restart, Failure> {
    let before = cluster.settle().await?;
    let operator = Operator::start(namespace, &["--catalog", "embedded"])?;
    let after = cluster.settle().await?;
    let restart = Restart {
        synced: operator.synced_after,
        requests: requests::between(&before, &after),
        peak_kib: operator.usage()?.peak_kib,
    };
    operator.stop().await?;
    Ok(restart)
}

async fn rewrite(
    cluster: &Cluster,
    namespace: &str,
    bindings: usize,
    in_flight: usize,
    floor_first: bool,
    samples: usize,
) -> Result<Rewrite, Failure> {
    let catalog = tempfile::tempdir()?;
    let mut result = Rewrite::default();
    if floor_first {
        result.floor = rewrite_floor(cluster, namespace, bindings, in_flight).await?;
    }
    write_catalog(catalog.path(), &DESTINATIONS[0])?;
    let source = format!("directory:{}", catalog.path().display());
    let operator = Operator::start(
        namespace,
        &["--catalog", &source, "--refresh-interval", "1s"],
    )?;
    let rewritten = Rewritten::watch(cluster, namespace, &DESTINATIONS[0]).await?;
    rewritten
        .all(bindings)
        .await
        .map_err(|error| operator.failed(error))?;
    let before = cluster.settle().await?;

    let rewritten = Rewritten::watch(cluster, namespace, &DESTINATIONS[1]).await?;
    let changed = Instant::now();
    write_catalog(catalog.path(), &DESTINATIONS[1])?;
    let ended = rewritten
        .all(bindings)
        .await
        .map_err(|error| operator.failed(error))?;
    let first = rewritten.first().unwrap_or(changed);
    result.noticed = first - changed;
    result.took = ended - changed;
    result.requests = requests::between(&before, &cluster.settle().await?);

    let ready = Seen::watch(cluster.bindings(namespace), is_ready).await?;
    for turn in 0..REWRITES_LIMIT {
        if result.new_bindings.len() >= samples {
            break;
        }
        let destinations = &DESTINATIONS[turn % 2];
        let rewritten = Rewritten::watch(cluster, namespace, destinations).await?;
        write_catalog(catalog.path(), destinations)?;
        rewritten
            .statuses
            .all(1)
            .await
            .map_err(|error| operator.failed(error))?;
        while rewritten.statuses.count() < bindings && result.new_bindings.len() < samples {
            let name = format!("new-{:06}", result.new_bindings.len());
            let began = Instant::now();
            cluster.create(namespace, &name).await?;
            let seen = ready
                .one(&name, bindings)
                .await
                .map_err(|error| operator.failed(error))?;
            result.new_bindings.push(seen - began);
        }
        rewritten
            .all(bindings)
            .await
            .map_err(|error| operator.failed(error))?;
    }
    operator.stop().await?;
    if !floor_first {
        result.floor = rewrite_floor(cluster, namespace, bindings, in_flight).await?;
    }
    Ok(result)
}

async fn rewrite_floor(
    cluster: &Cluster,
    namespace: &str,
    bindings: usize,
    in_flight: usize,
) -> Result<Duration, Failure> {
    let everything = ListParams::default();
    let targets = within(cluster.config_maps(namespace).list(&everything)).await?;
    let mut targets: BTreeMap<String, ConfigMap> = targets
        .items
        .into_iter()
        .map(|target| (target.name_any(), target))
        .collect();
    let objects: Vec<_> = within(cluster.bindings(namespace).list(&everything))
        .await?
        .items
        .into_iter()
        .filter(is_measured)
        .filter_map(|binding| {
            targets
                .remove(&binding.name_any())
                .map(|target| (binding, target))
        })
        .collect();
    let rewritten = Rewritten::watch(cluster, namespace, &DESTINATIONS_OF_FLOOR).await?;
    cluster.settle().await?;
    let began = floor::rewrite(
        cluster,
        namespace,
        objects,
        in_flight,
        &DESTINATIONS_OF_FLOOR,
    )
    .await?;
    Ok(rewritten.all(bindings).await? - began)
}

/// The objects that carry certain destinations.
struct Rewritten {
    targets: Seen,
    statuses: Seen,
}

impl Rewritten {
    async fn watch(
        cluster: &Cluster,
        namespace: &str,
        destinations: &'static [&'static str],
    ) -> Result<Self, Failure> {
        let value = destinations.join(",");
        let targets = Seen::watch(cluster.config_maps(namespace), move |target: &ConfigMap| {
            is_measured(target)
                && target
                    .data
                    .as_ref()
                    .and_then(|data| data.get(DESTINATIONS_KEY))
                    == Some(&value)
        })
        .await?;
        let statuses = Seen::watch(
            cluster.bindings(namespace),
            move |binding: &InferenceProfileBinding| {
                let profile = binding
                    .status
                    .as_ref()
                    .and_then(|status| status.profile.as_ref());
                is_measured(binding)
                    && profile.is_some_and(|profile| profile.destination_regions == destinations)
            },
        )
        .await?;
        Ok(Self { targets, statuses })
    }

    async fn all(&self, bindings: usize) -> Result<Instant, Failure> {
        Ok(self
            .targets
            .all(bindings)
            .await?
            .max(self.statuses.all(bindings).await?))
    }

    fn first(&self) -> Option<Instant> {
        self.targets.first().min(self.statuses.first())
    }
}

/// Says whether this is one of the bindings created at once, or the target of one.
fn is_measured(object: &impl ResourceExt) -> bool {
    object.name_any().starts_with("b-")
}

fn is_ready(binding: &InferenceProfileBinding) -> bool {
    let conditions = binding.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Writes, at once, a catalog whose only profile has these destinations.
fn write_catalog(directory: &Path, destinations: &[&str]) -> Result<(), Failure> {
    let models: Vec<_> = destinations
        .iter()
        .map(|region| json!({"modelArn": format!("arn:aws:bedrock:{region}::foundation-model/{MODEL}")}))
        .collect();
    let id = format!("eu.{MODEL}");
    let listing = json!({"inferenceProfileSummaries": [{
        "inferenceProfileName": "EU Anthropic Claude Sonnet 4.5",
        "inferenceProfileArn": format!("arn:aws:bedrock:{REGION}:111122223333:inference-profile/{id}"),
        "models": models,
        "inferenceProfileId": id,
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }]});
    let new = directory.join("new");
    fs::write(&new, listing.to_string())?;
    fs::rename(new, directory.join(format!("{REGION}.json")))?;
    Ok(())
}
