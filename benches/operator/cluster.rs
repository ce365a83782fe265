//! The apiserver: namespaces, the watch that times everything, and what it says of itself.

use std::{
    collections::HashMap,
    fmt::Debug,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use inference_profile_operator::api::{
    InferenceProfileBinding, InferenceProfileBindingSpec, InferenceProfileClass, names,
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use kube_runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    CREATES_IN_FLIGHT, Failure,
    requests::{self, Requests},
};

/// Longest wait for an answer. An apiserver that shares two cores with its clients, and has just taken in tens of thousands of
/// objects, can be silent for long.
const CALL_LIMIT: Duration = Duration::from_mins(3);
/// Longest wait for a watch to show what is there.
const START_LIMIT: Duration = Duration::from_mins(3);
const QUIET_LIMIT: Duration = Duration::from_mins(10);
/// How many objects are deleted at once.
const DELETES_IN_FLIGHT: usize = 32;
/// How many objects a page of a list has.
const PAGE: u32 = 500;
/// How often a deletion is tried.
const DELETE_TRIES: u32 = 5;

/// A client of the apiserver.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
}

/// Awaits an answer, but not for ever.
pub async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match timeout(CALL_LIMIT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(format!(
            "the apiserver gave no answer for {} s",
            CALL_LIMIT.as_secs()
        )
        .into()),
    }
}

/// Returns how long to wait at most for this many bindings.
pub fn patience(bindings: usize) -> Duration {
    Duration::from_mins(1)
        + Duration::from_millis(100) * u32::try_from(bindings).unwrap_or(u32::MAX)
}

/// Returns the name of the n-th binding of a measurement.
pub fn name(number: usize) -> String {
    format!("b-{number:06}")
}

/// Model of all bindings but the last ones.
pub const MODEL: &str = "anthropic.claude-sonnet-5-5";
/// Model of the last ones.
pub const MODEL_OF_FEW: &str = "anthropic.claude-opus-5-5";
/// How many the last ones are.
pub const FEW: usize = 10;

/// Says whether the n-th of so many bindings is one of the last ones.
pub fn is_of_few(number: usize, bindings: usize) -> bool {
    bindings > FEW && number >= bindings - FEW
}

/// Returns the model of the n-th of so many bindings.
pub fn model_of(number: usize, bindings: usize) -> &'static str {
    if is_of_few(number, bindings) {
        MODEL_OF_FEW
    } else {
        MODEL
    }
}

impl Cluster {
    pub async fn connect() -> Result<Self, Failure> {
        let mut config = Config::infer().await?;
        // A retried request would be counted twice.
        config.default_retry = false;
        let client = Client::try_from(config)?;
        Ok(Self { client })
    }

    pub fn bindings(&self, namespace: &str) -> Api<InferenceProfileBinding> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn config_maps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes a new namespace and returns its name.
    pub async fn namespace(&self) -> Result<String, Failure> {
        let mut namespace = Namespace::default();
        namespace.meta_mut().generate_name = Some("bench-".to_owned());
        let created =
            within(Api::all(self.client.clone()).create(&PostParams::default(), &namespace))
                .await?;
        Ok(created.name_any())
    }

    /// Empties a namespace, and waits until the apiserver is quiet. The namespace stays: its deletion would go on during
    /// the next measurement.
    pub async fn empty(&self, namespace: &str) -> Result<(), Failure> {
        // The targets first, so that nothing is left to garbage collection, which would go on too. A request for each object,
        // because one that deletes many is answered when the last one is gone.
        delete_all(&self.config_maps(namespace)).await?;
        delete_all(&self.bindings(namespace)).await?;
        self.settle().await?;
        Ok(())
    }

    /// Creates a binding of a model, and returns it.
    pub async fn create(
        &self,
        namespace: &str,
        name: &str,
        model: &str,
    ) -> Result<InferenceProfileBinding, Failure> {
        let spec = InferenceProfileBindingSpec {
            model: Some(model.to_owned()),
            geography: Some("eu".to_owned()),
            ..InferenceProfileBindingSpec::default()
        };
        let binding = InferenceProfileBinding::new(name, spec);
        within(
            self.bindings(namespace)
                .create(&PostParams::default(), &binding),
        )
        .await
    }

    /// Deletes bindings while an operator runs, and waits until the apiserver is quiet: their targets go too.
    pub async fn delete(&self, namespace: &str, names: Vec<String>) -> Result<(), Failure> {
        let api = &self.bindings(namespace);
        in_flight(CREATES_IN_FLIGHT, names, |name| async move {
            within(api.delete(&name, &DeleteParams::default()))
                .await
                .map(drop)
        })
        .await?;
        self.settle().await?;
        Ok(())
    }

    /// Creates this many bindings, the last ones of another model.
    pub async fn create_many(&self, namespace: &str, bindings: usize) -> Result<(), Failure> {
        in_flight(CREATES_IN_FLIGHT, 0..bindings, |number| async move {
            let model = model_of(number, bindings);
            self.create(namespace, &name(number), model).await.map(drop)
        })
        .await
    }

    /// Has these bindings ask by a class, each by that which `class` says.
    pub async fn move_to_class(
        &self,
        namespace: &str,
        bindings: usize,
        class: impl Fn(usize) -> String,
    ) -> Result<(), Failure> {
        let api: &Api<PartialObjectMeta<InferenceProfileBinding>> =
            &Api::namespaced(self.client.clone(), namespace);
        in_flight(CREATES_IN_FLIGHT, 0..bindings, |number| {
            let spec = json!({"className": class(number), "model": null, "geography": null});
            async move {
                let patch = Patch::Merge(json!({ "spec": spec }));
                let name = name(number);
                let params = PatchParams::default();
                within(api.patch_metadata(&name, &params, &patch))
                    .await
                    .map(drop)
            }
        })
        .await
    }

    /// Has a class offer a model, whether or not it exists already.
    pub async fn apply_class(&self, name: &str, model: &str) -> Result<(), Failure> {
        let api: Api<InferenceProfileClass> = Api::all(self.client.clone());
        let body = json!({
            "apiVersion": InferenceProfileClass::api_version(&()),
            "kind": InferenceProfileClass::kind(&()),
            "metadata": {"name": name},
            "spec": {"model": model, "geography": "eu"},
        });
        let params = PatchParams::apply("bench").force();
        within(api.patch(name, &params, &Patch::Apply(&body)))
            .await
            .map(drop)
    }

    /// Deletes all classes.
    pub async fn delete_classes(&self) -> Result<(), Failure> {
        delete_all(&Api::<InferenceProfileClass>::all(self.client.clone())).await
    }

    /// Sets the residency limit of a Namespace.
    pub async fn limit(&self, namespace: &str, regions: &str) -> Result<(), Failure> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let annotations = json!({ names::ALLOWED_REGIONS_ANNOTATION: regions });
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        within(api.patch_metadata(namespace, &PatchParams::default(), &patch))
            .await
            .map(drop)
    }

    /// Returns the requests counted until now.
    pub async fn requests(&self) -> Result<Requests, Failure> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let metrics = within(self.client.request_text(request)).await?;
        requests::parse(&metrics)
    }

    /// Waits until there were no requests for two seconds, and returns those counted until now.
    pub async fn settle(&self) -> Result<Requests, Failure> {
        let mut last = self.requests().await?;
        let settled = timeout(QUIET_LIMIT, async {
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let now = self.requests().await?;
                if now == last {
                    return Ok(now);
                }
                last = now;
            }
        });
        settled.await.unwrap_or_else(|_| {
            Err(format!(
                "there were requests all the time for {} s",
                QUIET_LIMIT.as_secs()
            )
            .into())
        })
    }

    /// Describes what all this runs on.
    pub async fn machine(&self) -> Result<Machine, Failure> {
        let version = within(self.client.apiserver_version()).await?;
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            processors
                .lines()
                .find(|line| line.starts_with(name))
                .and_then(|line| line.split_once(": "))
        };
        Ok(Machine {
            cores: std::thread::available_parallelism()?.get(),
            processor: field("model name")
                .map_or("unknown", |(_, model)| model)
                .to_owned(),
            apiserver: version.git_version,
        })
    }
}

/// What all this runs on.
pub struct Machine {
    pub cores: usize,
    pub processor: String,
    pub apiserver: String,
}

/// Does something for each item, so many at once; ends with the first failure.
pub async fn in_flight<T, F>(
    limit: usize,
    items: impl IntoIterator<Item = T>,
    work: impl FnMut(T) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    stream::iter(items.into_iter().map(work))
        .buffer_unordered(limit)
        .try_collect()
        .await
}

/// Says whether this is one of the bindings created at once, or the target of one.
pub fn is_measured(object: &impl ResourceExt) -> bool {
    object.name_any().starts_with("b-")
}

/// Lists all objects, page by page.
pub async fn list_all<K>(api: &Api<K>) -> Result<Vec<K>, Failure>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = within(api.list(&params)).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

async fn delete_all<K>(api: &Api<K>) -> Result<(), Failure>
where
    K: Clone + DeserializeOwned + Debug + Resource<DynamicType = ()>,
{
    loop {
        let page = within(api.list_metadata(&ListParams::default().limit(PAGE))).await?;
        if page.items.is_empty() {
            return Ok(());
        }
        in_flight(DELETES_IN_FLIGHT, page.items, |object| async move {
            let name = object.name_any();
            for tried in 1..=DELETE_TRIES {
                match within(api.delete(&name, &DeleteParams::background())).await {
                    Err(error) if tried == DELETE_TRIES => return Err(error),
                    // It is gone already, or the next list shows it.
                    Ok(_) => break,
                    Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                }
            }
            Ok(())
        })
        .await?;
    }
}

/// The objects of a namespace for which something holds, kept current by a watch.
pub struct Seen {
    since: watch::Receiver<HashMap<String, Instant>>,
    task: JoinHandle<()>,
}

impl Seen {
    /// Starts the watch, and waits until it shows what is there.
    pub async fn watch<K>(
        api: Api<K>,
        holds: impl Fn(&K) -> bool + Send + 'static,
    ) -> Result<Self, Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let (sender, since) = watch::channel(HashMap::new());
        let (started, mut complete) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default().streaming_lists()).boxed();
            // An error is followed by another try; what is never seen ends a wait.
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        let holds = holds(&object);
                        sender.send_if_modified(|since| {
                            if holds {
                                since.entry(object.name_any()).or_insert_with(Instant::now);
                            } else {
                                since.remove(&object.name_any());
                            }
                            true
                        });
                    }
                    Ok(Event::Delete(object)) => {
                        sender.send_if_modified(|since| since.remove(&object.name_any()).is_some());
                    }
                    Ok(Event::InitDone) => drop(started.send(true)),
                    Ok(Event::Init) => {}
                    Err(error) => {
                        eprintln!("a watch of the benchmark failed, it is tried again: {error}");
                    }
                }
            }
        });
        timeout(START_LIMIT, complete.wait_for(|complete| *complete))
            .await
            .map_err(|_| "a watch of the benchmark did not start")??;
        Ok(Self { since, task })
    }

    /// Returns for how many objects it holds now.
    pub fn count(&self) -> usize {
        self.since.borrow().len()
    }

    /// Returns when it was first seen to hold for any object.
    pub fn first(&self) -> Option<Instant> {
        self.since.borrow().values().min().copied()
    }

    /// Waits until it holds for this many objects, and returns when that was seen.
    pub async fn all(&self, objects: usize) -> Result<Instant, Failure> {
        self.until(objects, |since| {
            (since.len() >= objects).then(|| since.values().max().copied())?
        })
        .await
    }

    /// Waits until it holds for an object, and returns when that was seen.
    pub async fn one(&self, name: &str, bindings: usize) -> Result<Instant, Failure> {
        self.until(bindings, |since| since.get(name).copied()).await
    }

    async fn until<T>(
        &self,
        bindings: usize,
        find: impl Fn(&HashMap<String, Instant>) -> Option<T>,
    ) -> Result<T, Failure> {
        let mut since = self.since.clone();
        let patience = patience(bindings);
        let found = timeout(patience, async {
            let since = since.wait_for(|since| find(since).is_some()).await?;
            find(&since).ok_or_else(|| Failure::from("unreachable: it was just found"))
        })
        .await;
        found.unwrap_or_else(|_| {
            Err(format!(
                "only {} of {bindings} were seen after {} s",
                self.count(),
                patience.as_secs()
            )
            .into())
        })
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.task.abort();
    }
}
