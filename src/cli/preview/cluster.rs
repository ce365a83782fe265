//! Reads what a preview is made from out of a cluster: bindings, Namespaces, classes and `ConfigMaps`. Secrets are never read.

use std::{fmt::Debug, time::Duration};

use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;

use super::{Error, World};
use crate::{
    api::TargetKind,
    cache::{
        decode::{WatchedBinding, WatchedClass, WatchedNamespace, WatchedTarget},
        target_selector,
    },
    cli::{
        options::{RegionOptions, region_of_environment},
        run::{client, cluster_config, cluster_config_of},
    },
    plan::identity::TargetKey,
    types::Region,
};

/// How long to wait for one page of a list.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Most objects on a page.
const PAGE: u32 = 500;
/// Most `ConfigMaps` on a page: each may have 1 MiB.
const CONFIG_MAPS: u32 = 50;
/// Most objects of a kind that are read.
const MOST_OBJECTS: usize = 200_000;

/// Which cluster, and what of it.
#[derive(Debug, Clone, Args)]
pub struct ClusterOptions {
    /// Namespace whose bindings are previewed; repeatable or comma-separated [default: all]
    #[arg(
        long = "namespace",
        short,
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    pub(super) namespaces: Vec<String>,
    /// Previews the bindings of all namespaces, as it does without --namespace
    #[arg(long, short = 'A', conflicts_with = "namespaces")]
    all_namespaces: bool,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "CONTEXT", conflicts_with = "against")]
    context: Option<String>,
}

/// What was read of a cluster.
pub(super) struct Cluster {
    pub(super) world: World,
    /// The namespace of the context.
    pub(super) own_namespace: String,
    /// The source region of bindings that name none.
    pub(super) region: Option<Region>,
}

pub(super) async fn read(
    options: &ClusterOptions,
    region: &RegionOptions,
) -> Result<Cluster, Error> {
    let config = match &options.context {
        Some(context) => cluster_config_of(context).await?,
        None => cluster_config().await?,
    };
    let own_namespace = config.default_namespace.clone();
    let mut namespaces = options.namespaces.clone();
    namespaces.sort();
    namespaces.dedup();
    let mut reading = Reading {
        client: client(config)?,
        namespaces,
        world: World::default(),
    };
    // A mistyped namespace is refused before anything else.
    reading.namespaces().await?;
    let region = reading.bindings(region).await?;
    reading.classes().await?;
    reading.targets().await?;
    Ok(Cluster {
        world: reading.world,
        own_namespace,
        region,
    })
}

struct Reading {
    client: Client,
    /// None: all.
    namespaces: Vec<String>,
    world: World,
}

/// How a list ended.
enum Listed {
    Complete,
    /// It may not be read, or the cluster does not know the kind.
    Refused(String),
}

impl Reading {
    /// Reads limits and labels of Namespaces.
    async fn namespaces(&mut self) -> Result<(), Error> {
        let api: Api<WatchedNamespace> = Api::all(self.client.clone());
        let known = &mut self.world.namespaces;
        let mut take = |namespace: WatchedNamespace| {
            let (name, limit) = namespace.limit();
            known.insert(name, (limit, namespace.labels()));
        };
        let what = "Namespaces";
        let mut refused = None;
        if self.namespaces.is_empty() {
            let params = ListParams::default();
            if let Listed::Refused(why) = list(&api, &params, PAGE, what, &mut take).await? {
                refused = Some(why);
            }
        }
        for name in &self.namespaces {
            // The right to list one Namespace covers a list of that one alone.
            let params = ListParams::default().fields(&format!("metadata.name={name}"));
            if let Listed::Refused(why) = list(&api, &params, PAGE, what, &mut take).await? {
                refused = Some(why);
            }
        }
        if let Some(why) = refused {
            self.world.incomplete.push(format!(
                "limits and labels of Namespaces are not considered: it takes the right to list namespaces: {why}"
            ));
            return Ok(());
        }
        self.world.knows_namespaces = true;
        let is_missing = |name: &&String| !self.world.namespaces.contains_key(name.as_str());
        match self.namespaces.iter().find(is_missing) {
            None => Ok(()),
            Some(name) => Err(Error::BadInput(format!(
                "there is no namespace {name}: `kubectl get namespaces` lists those that exist"
            ))),
        }
    }

    /// Reads the bindings, and returns the source region of those that name none.
    async fn bindings(&mut self, region: &RegionOptions) -> Result<Option<Region>, Error> {
        let mut found: Vec<WatchedBinding> = Vec::new();
        for (api, what) in self.scopes::<WatchedBinding>("bindings") {
            let params = ListParams::default();
            let listed = list(&api, &params, PAGE, &what, &mut |it| found.push(it)).await?;
            if let Listed::Refused(why) = listed {
                return Err(Error::Listing {
                    what,
                    source: why.into(),
                });
            }
        }
        // What the operator uses for them, their statuses tell better than the environment of whoever asks.
        let in_use = || {
            let mut open = found.iter().filter(|it| it.named_region().is_none());
            open.find_map(WatchedBinding::written_region)
        };
        let default = match region.region.clone().or_else(in_use) {
            Some(region) => Some(region),
            None => region_of_environment()?,
        };
        for binding in found {
            let key = binding.key();
            let Some(region) = binding.named_region().or_else(|| default.clone()) else {
                return Err(Error::BadInput(format!(
                    "the binding {key} names no sourceRegion: give --region, that of the operator"
                )));
            };
            match binding.into_binding(&region) {
                Some(known) => self.world.bindings.push(known),
                None => self
                    .world
                    .incomplete
                    .push(format!("the binding {key} can't be read")),
            }
        }
        Ok(default)
    }

    async fn classes(&mut self) -> Result<(), Error> {
        let api: Api<WatchedClass> = Api::all(self.client.clone());
        let classes = &mut self.world.classes;
        let mut take = |class: WatchedClass| classes.extend(class.into_class());
        let params = ListParams::default();
        match list(&api, &params, PAGE, "classes", &mut take).await? {
            Listed::Complete => self.world.knows_classes = true,
            Listed::Refused(why) => {
                let names_one = |(binding, _): &(crate::plan::observed::Binding, u64)| {
                    binding.spec.classes().next().is_some()
                };
                if self.world.bindings.iter().any(names_one) {
                    self.world.incomplete.push(format!(
                        "only the classes in files are known: it takes the right to list inferenceprofileclasses.inferenceprofiles.dev: {why}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Reads the `ConfigMaps` that the operator writes. Their values are replaced by fingerprints while they are decoded.
    async fn targets(&mut self) -> Result<(), Error> {
        let params = ListParams::default().labels(&target_selector());
        for (api, what) in self.scopes::<WatchedTarget<ConfigMap>>("ConfigMaps") {
            let targets = &mut self.world.targets;
            let mut take = |target: WatchedTarget<ConfigMap>| {
                let (namespace, name) = target.names();
                let key = TargetKey {
                    kind: TargetKind::ConfigMap,
                    namespace: namespace.into(),
                    name: name.into(),
                };
                let (view, version) = target.into_view();
                targets.push((key, view, version));
            };
            let listed = list(&api, &params, CONFIG_MAPS, &what, &mut take).await?;
            if let Listed::Refused(why) = listed {
                self.world.remarks.push(format!(
                    "{what} are judged by what statuses have of them: it takes the right to list configmaps: {why}"
                ));
                break;
            }
        }
        Ok(())
    }

    /// Returns where to list a kind, and what that is called.
    fn scopes<K>(&self, kind: &str) -> Vec<(Api<K>, String)>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        if self.namespaces.is_empty() {
            let all = Api::all(self.client.clone());
            return vec![(all, format!("the {kind} of all namespaces"))];
        }
        let one = |name: &String| {
            let api = Api::namespaced(self.client.clone(), name);
            (api, format!("the {kind} of namespace {name}"))
        };
        self.namespaces.iter().map(one).collect()
    }
}

/// Lists objects page by page.
async fn list<K>(
    api: &Api<K>,
    params: &ListParams,
    page: u32,
    what: &str,
    take: &mut impl FnMut(K),
) -> Result<Listed, Error>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Listing {
        what: what.to_owned(),
        source,
    };
    let mut params = params.clone().limit(page);
    let mut objects = 0;
    loop {
        let listed = tokio::time::timeout(CALL_TIMEOUT, api.list(&params)).await;
        let listed = match listed.map_err(|_| failed("no answer within 30 s".into()))? {
            Ok(listed) => listed,
            Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_not_found() => {
                return Ok(Listed::Refused(status.message.clone()));
            }
            Err(error) => return Err(failed(error.into())),
        };
        objects += listed.items.len();
        if objects > MOST_OBJECTS {
            return Err(Error::BadInput(format!(
                "{what} are more than {MOST_OBJECTS}: name namespaces with --namespace"
            )));
        }
        for object in listed.items {
            take(object);
        }
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(Listed::Complete),
        }
    }
}
