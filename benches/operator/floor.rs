//! The bare client: the necessary writes and nothing else, with the content that the operator writes.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use inference_profile_operator::api::{
    InferenceProfileBinding, InferenceProfileBindingStatus, names,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::PartialObjectMeta,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Failure,
    cluster::{self, Cluster, within},
    helper::{self, Process},
    process::Usage,
};

/// Key of the `ConfigMaps` that the rewrites change.
pub const DESTINATIONS_KEY: &str = "BEDROCK_DESTINATION_REGIONS";

/// What the operator writes for one binding.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    pub config_map: ConfigMap,
    pub status: InferenceProfileBindingStatus,
}

/// What the bare client is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub namespace: String,
    pub bindings: usize,
    pub in_flight: usize,
    pub task: Task,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Creates bindings and makes each ready: create it, create its `ConfigMap`, apply its status.
    Create(Box<Sample>),
    /// Writes other destination regions into bindings and their `ConfigMaps`: two writes each.
    Rewrite(Vec<String>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    /// Prepares everything but the writes.
    Prepare(Job),
    /// Writes.
    Write,
}

/// The bare client, as a process of its own.
pub struct Floor {
    process: Process,
    before: Usage,
}

impl Floor {
    /// Starts it, and has it prepare everything but the writes.
    pub async fn start(job: Job) -> Result<Self, Failure> {
        let mut process = Process::start("floor")?;
        process.ask::<()>(&Request::Prepare(job)).await?;
        let before = process.usage()?;
        Ok(Self { process, before })
    }

    /// Has it write, and waits for that.
    pub async fn write(&mut self) -> Result<(), Failure> {
        self.process.ask(&Request::Write).await
    }

    /// Returns the CPU time that its writes took.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        Ok(self.process.usage()?.cpu.saturating_sub(self.before.cpu))
    }

    /// Returns the most memory that it ever had, in KiB.
    pub fn peak_kib(&self) -> Result<u64, Failure> {
        Ok(self.process.usage()?.peak_kib)
    }
}

/// A job with what it needs.
enum Prepared {
    Create(Job, Box<Sample>),
    Rewrite(Job, Vec<(InferenceProfileBinding, ConfigMap)>, Vec<String>),
}

/// Serves the one who started this process.
pub async fn serve() -> Result<(), Failure> {
    let cluster = Cluster::connect().await?;
    let (cluster, prepared) = (&cluster, &RefCell::new(None));
    helper::answer(|request: Request| async move {
        match request {
            Request::Prepare(job) => *prepared.borrow_mut() = Some(prepare(cluster, job).await?),
            Request::Write => {
                let job = prepared.borrow_mut().take();
                write(cluster, job.ok_or("there is no job")?).await?;
            }
        }
        Ok(())
    })
    .await
}

async fn prepare(cluster: &Cluster, mut job: Job) -> Result<Prepared, Failure> {
    // Connects, so that this is not counted.
    cluster.machine().await?;
    match std::mem::replace(&mut job.task, Task::Rewrite(Vec::new())) {
        Task::Create(sample) => Ok(Prepared::Create(job, sample)),
        Task::Rewrite(regions) => {
            let targets = cluster::list_all(&cluster.config_maps(&job.namespace)).await?;
            let mut targets: BTreeMap<String, ConfigMap> = targets
                .into_iter()
                .map(|target| (target.name_any(), target))
                .collect();
            let bindings = cluster::list_all(&cluster.bindings(&job.namespace)).await?;
            let objects = bindings
                .into_iter()
                .filter(cluster::is_measured)
                .filter_map(|binding| {
                    let target = targets.remove(&binding.name_any())?;
                    Some((binding, target))
                });
            let objects = objects.collect();
            Ok(Prepared::Rewrite(job, objects, regions))
        }
    }
}

async fn write(cluster: &Cluster, prepared: Prepared) -> Result<(), Failure> {
    match prepared {
        Prepared::Create(job, sample) => {
            let (job, sample) = (&job, &sample);
            cluster::in_flight(job.in_flight, 0..job.bindings, |number| {
                create(cluster, job, sample, number)
            })
            .await
        }
        Prepared::Rewrite(job, objects, regions) => {
            let (job, regions) = (&job, &regions);
            cluster::in_flight(job.in_flight, objects, |(binding, target)| {
                rewrite(cluster, job, binding, target, regions)
            })
            .await
        }
    }
}

async fn create(
    cluster: &Cluster,
    job: &Job,
    sample: &Sample,
    number: usize,
) -> Result<(), Failure> {
    let (namespace, name) = (&job.namespace, cluster::name(number));
    let model = cluster::model_of(number, job.bindings);
    let binding = cluster.create(namespace, &name, model).await?;
    let mut body = config_map(namespace, &binding, &sample.config_map);
    body["metadata"]["resourceVersion"] = json!("1");
    let uid = apply_config_map(cluster, namespace, &name, &body).await?;
    let mut status = sample.status.clone();
    for target in &mut status.targets {
        target.name.clone_from(&name);
        target.uid.clone_from(&uid);
    }
    apply_status(cluster, namespace, &binding, &status).await
}

async fn rewrite(
    cluster: &Cluster,
    job: &Job,
    binding: InferenceProfileBinding,
    mut target: ConfigMap,
    regions: &[String],
) -> Result<(), Failure> {
    let namespace = &job.namespace;
    let data = target.data.as_mut();
    if let Some(destinations) = data.and_then(|data| data.get_mut(DESTINATIONS_KEY)) {
        *destinations = regions.join(",");
    }
    let mut body = config_map(namespace, &binding, &target);
    body["metadata"]["uid"] = json!(target.uid());
    apply_config_map(cluster, namespace, &binding.name_any(), &body).await?;
    let mut status = binding.status.clone().unwrap_or_default();
    if let Some(profile) = &mut status.profile {
        profile.destination_regions = regions.to_vec();
    }
    apply_status(cluster, namespace, &binding, &status).await
}

fn config_map(namespace: &str, binding: &InferenceProfileBinding, content: &ConfigMap) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": binding.name_any(),
            "namespace": namespace,
            "labels": content.labels(),
            "ownerReferences": [{
                "apiVersion": InferenceProfileBinding::api_version(&()),
                "kind": InferenceProfileBinding::kind(&()),
                "name": binding.name_any(),
                "uid": binding.uid(),
                "controller": true,
            }],
        },
        "data": content.data,
    })
}

/// Returns the UID of the object.
async fn apply_config_map(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    body: &Value,
) -> Result<String, Failure> {
    let mut params = PatchParams::apply(&names::target_manager(name));
    params.force = body["metadata"]["uid"].is_string();
    let api = cluster.config_maps(namespace);
    let written = within(api.patch_metadata(name, &params, &Patch::Apply(body))).await?;
    Ok(written.uid().unwrap_or_default())
}

async fn apply_status(
    cluster: &Cluster,
    namespace: &str,
    binding: &InferenceProfileBinding,
    status: &InferenceProfileBindingStatus,
) -> Result<(), Failure> {
    let body = json!({
        "apiVersion": InferenceProfileBinding::api_version(&()),
        "kind": InferenceProfileBinding::kind(&()),
        "metadata": {"name": binding.name_any(), "namespace": namespace, "uid": binding.uid()},
        "status": status,
    });
    let api: Api<PartialObjectMeta<InferenceProfileBinding>> =
        Api::namespaced(cluster.client.clone(), namespace);
    let params = PatchParams::apply(names::STATUS_MANAGER).force();
    within(api.patch_status(&binding.name_any(), &params, &Patch::Apply(&body))).await?;
    Ok(())
}
