//! Scans the ConfigMaps and workloads of a cluster. Secrets are never read.

use std::{fmt::Debug, sync::Arc, time::Duration};

use clap::Args;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::{CronJob, Job},
        core::v1::{ConfigMap, Namespace, PodSpec, PodTemplateSpec},
    },
};
use kube::{Api, Client, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;

use super::{BOUNDS, Error, Place, Scanned};
use crate::{
    api::names::MANAGED_LABEL,
    cli::cluster::{ConnectOptions, client},
    scan::Finder,
};

/// How long to wait for one page of a list.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Most ConfigMaps on a page: each may have 1 MiB.
const CONFIG_MAPS: u32 = 50;
/// Most workloads on a page.
const WORKLOADS: u32 = 500;
/// Most objects that are read.
const MOST_OBJECTS: usize = 200_000;

/// Which cluster, and what of it.
#[derive(Debug, Clone, Args)]
pub struct ClusterOptions {
    /// Scans a cluster instead of files: ConfigMaps, and the environment, arguments and commands of workloads; never Secrets
    #[arg(long)]
    pub(super) cluster: bool,
    /// Namespace to scan; repeatable or comma-separated [default: that of the context]
    #[arg(
        long = "namespace",
        short,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        conflicts_with = "paths"
    )]
    namespaces: Vec<String>,
    /// Scans all namespaces
    #[arg(long, short = 'A', conflicts_with_all = ["namespaces", "paths"])]
    all_namespaces: bool,
    #[command(flatten)]
    connect: ConnectOptions,
}

/// A field of an object, and its text.
type Texts = Vec<(String, String)>;

pub(super) async fn scan(options: &ClusterOptions, finder: &Finder) -> Result<Scanned, Error> {
    let config = options.connect.config().await?;
    let own = config.default_namespace.clone();
    let client = client(config)?;
    let mut namespaces = options.namespaces.clone();
    if namespaces.is_empty() {
        namespaces.push(own);
    }
    namespaces.sort();
    namespaces.dedup();
    let mut scanning = Scanning {
        client,
        finder,
        scanned: Scanned::default(),
        objects: 0,
    };
    if options.all_namespaces {
        scanning.everything(None).await?;
    } else {
        for namespace in &namespaces {
            scanning.exists(namespace).await?;
            scanning.everything(Some(namespace)).await?;
        }
    }
    Ok(scanning.scanned)
}

struct Scanning<'a> {
    client: Client,
    finder: &'a Finder,
    scanned: Scanned,
    /// How many objects were read.
    objects: usize,
}

impl Scanning<'_> {
    /// Refuses a namespace that is not there: a mistyped name would look as if all were well. Who may not read it, may still list
    /// what is in it.
    async fn exists(&self, namespace: &str) -> Result<(), Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let got = tokio::time::timeout(CALL_TIMEOUT, api.get_opt(namespace)).await;
        if matches!(got, Ok(Ok(None))) {
            return Err(Error::BadInput(format!(
                "there is no namespace {namespace}: `kubectl get namespaces` lists those that exist"
            )));
        }
        Ok(())
    }

    async fn everything(&mut self, namespace: Option<&str>) -> Result<(), Error> {
        self.list(namespace, CONFIG_MAPS, config_map).await?;
        self.list(namespace, WORKLOADS, |it: Deployment| {
            template(it.spec.map(|spec| spec.template))
        })
        .await?;
        self.list(namespace, WORKLOADS, |it: StatefulSet| {
            template(it.spec.map(|spec| spec.template))
        })
        .await?;
        self.list(namespace, WORKLOADS, |it: DaemonSet| {
            template(it.spec.map(|spec| spec.template))
        })
        .await?;
        self.list(namespace, WORKLOADS, |it: CronJob| {
            let job = it.spec.and_then(|spec| spec.job_template.spec);
            let texts = template(job.map(|spec| spec.template));
            let within = |(field, text)| (format!("spec.jobTemplate.{field}"), text);
            texts.into_iter().map(within).collect()
        })
        .await?;
        self.list(namespace, WORKLOADS, |it: Job| {
            let of_cron_job = it.owner_references().iter().any(|it| it.kind == "CronJob");
            if of_cron_job {
                // Its CronJob is what has to be edited.
                return Vec::new();
            }
            template(it.spec.map(|spec| spec.template))
        })
        .await
    }

    /// Scans the objects of a kind. What may not be listed is named, and the rest goes on.
    async fn list<K>(
        &mut self,
        namespace: Option<&str>,
        page: u32,
        texts: impl Fn(K) -> Texts,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let api: Api<K> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let of = namespace.map_or_else(
            || "all namespaces".to_owned(),
            |namespace| format!("namespace {namespace}"),
        );
        let what = format!("the {} of {of}", K::plural(&()));
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Listing {
            what: what.clone(),
            source,
        };
        let mut params = ListParams::default().limit(page);
        loop {
            let listed = tokio::time::timeout(CALL_TIMEOUT, api.list(&params)).await;
            let listed = match listed.map_err(|_| failed("no answer within 30 s".into()))? {
                Ok(listed) => listed,
                Err(kube::Error::Api(status)) if status.is_forbidden() => {
                    let why = format!("{what} may not be listed: {}", status.message);
                    self.scanned.incomplete.push(why);
                    return Ok(());
                }
                Err(error) => return Err(failed(error.into())),
            };
            for object in listed.items {
                self.objects += 1;
                if self.objects > MOST_OBJECTS {
                    self.scanned.incomplete.push(format!(
                        "there are more than {MOST_OBJECTS} objects: {what} are not read to the end"
                    ));
                    return Ok(());
                }
                self.object(object, &texts);
            }
            match listed.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }

    fn object<K: Resource<DynamicType = ()>>(&mut self, object: K, texts: impl Fn(K) -> Texts) {
        if object.labels().contains_key(MANAGED_LABEL) {
            self.scanned.passed_over += 1;
            return;
        }
        let name: Arc<str> = format!(
            "{} {}/{}",
            K::kind(&()),
            object.namespace().unwrap_or_default(),
            object.name_any()
        )
        .into();
        for (field, text) in texts(object) {
            let found = self.finder.find(text.as_bytes(), BOUNDS);
            let place = Place {
                name: name.clone(),
                field: Some(field.into()),
            };
            self.scanned.add(&place, found);
        }
    }
}

fn config_map(object: ConfigMap) -> Texts {
    let data = object.data.unwrap_or_default().into_iter();
    data.map(|(key, text)| (format!("data[{key}]"), text))
        .collect()
}

fn template(template: Option<PodTemplateSpec>) -> Texts {
    template
        .and_then(|template| template.spec)
        .map(pod)
        .unwrap_or_default()
}

/// Returns the environment, the arguments and the commands of the containers of a pod.
fn pod(pod: PodSpec) -> Texts {
    let mut texts = Vec::new();
    let init = pod.init_containers.unwrap_or_default();
    let groups = [("containers", pod.containers), ("initContainers", init)];
    for (group, containers) in groups {
        for container in containers {
            let at = format!("spec.template.spec.{group}[{}]", container.name);
            for variable in container.env.unwrap_or_default() {
                if let Some(value) = variable.value {
                    texts.push((format!("{at}.env[{}]", variable.name), value));
                }
            }
            let lists = [("args", container.args), ("command", container.command)];
            for (list, items) in lists {
                for (index, item) in items.unwrap_or_default().into_iter().enumerate() {
                    texts.push((format!("{at}.{list}[{index}]"), item));
                }
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_of_a_pod_is_read() {
        let spec = json!({
            "containers": [{
                "name": "app",
                "env": [
                    { "name": "MODEL", "value": "a" },
                    { "name": "OTHER", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                ],
                "args": ["b", "c"],
                "command": ["d"],
            }],
            "initContainers": [{ "name": "init", "args": ["e"] }],
        });
        let texts = pod(serde_json::from_value(spec).expect("a pod"));
        let texts: Vec<String> = texts
            .into_iter()
            .map(|(field, text)| format!("{field}={text}"))
            .collect();
        let at = "spec.template.spec";
        assert_eq!(
            texts,
            [
                format!("{at}.containers[app].env[MODEL]=a"),
                format!("{at}.containers[app].args[0]=b"),
                format!("{at}.containers[app].args[1]=c"),
                format!("{at}.containers[app].command[0]=d"),
                format!("{at}.initContainers[init].args[0]=e"),
            ]
        );
    }
}
