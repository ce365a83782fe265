//! The controller: watches -> cache -> queue -> workers, and the thin I/O around the plans.

mod apply;
mod failure;
mod gauges;
mod health;
mod progress;
mod reconcile;
mod rollout;
mod watch;

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use kube_runtime::events::{Recorder, Reporter};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};

use crate::{
    api::{TargetKind, names},
    cache::{Cache, FeedRules},
    catalog::{FeedState, Source, roles::AllowedRoles},
    feeds::{
        FeedChange, Feeds, Schedule,
        access::{AccessChecks, Pair},
        admission::FeedLimits,
    },
    leader::Leadership,
    metrics::{Metrics, Operation, Visit},
    plan::{
        Settings,
        identity::{ObjectKey, WorkloadKey},
    },
    queue::{Backoff, Corrections, Lane, Rollouts, WorkQueue},
    types::{ModelId, Region},
};

use failure::CallError;
use health::Pulse;
use reconcile::{Next, RETRY_CAP};

pub use health::Health;

/// Longest wait for one answer of the apiserver.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for visits under way when the operator stops: below the 30 s that Kubernetes gives a pod.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How many refreshes of the catalog pass before it is asked again whether a model can be used.
const REFRESHES_PER_ACCESS_CHECK: u32 = 4;

/// What the controller is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Namespaces to serve; none: all.
    pub namespaces: Vec<String>,
    /// Label selector of the bindings to serve.
    pub selector: Option<String>,
    /// Source region of bindings that name none.
    pub default_region: Region,
    /// How many bindings are visited at once.
    pub workers: usize,
    /// When catalogs are listed anew, and when they are old.
    pub schedule: Schedule,
    /// Which roles bindings may name.
    pub allowed_roles: AllowedRoles,
    /// How many catalogs are kept.
    pub feed_limits: FeedLimits,
    /// How many workloads restart at once.
    pub concurrent_rollouts: usize,
    /// What plans are told.
    pub settings: Settings,
}

/// Says why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A watch, or the task that follows the catalogs, ended by itself.
    #[error("a task of the controller ended unexpectedly")]
    TaskEnded,
}

/// What all tasks share.
struct Context {
    client: Client,
    config: Config,
    cache: Mutex<Cache>,
    queue: WorkQueue<ObjectKey>,
    feeds: Feeds,
    /// Nothing where it is not asked whether models can be used.
    access: Option<AccessChecks>,
    backoff: Mutex<Backoff<ObjectKey>>,
    corrections: Mutex<Corrections<ObjectKey>>,
    rollouts: Mutex<Rollouts<ObjectKey, WorkloadKey>>,
    /// Tells of workloads whose restart begins.
    begun: mpsc::UnboundedSender<WorkloadKey>,
    recorder: Recorder,
    leadership: Leadership,
    metrics: Metrics,
    pulse: Pulse,
}

impl Context {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        // A visit that panicked holds no lock: the cache's own methods don't panic.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn corrections(&self) -> MutexGuard<'_, Corrections<ObjectKey>> {
        self.corrections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn rollouts(&self) -> MutexGuard<'_, Rollouts<ObjectKey, WorkloadKey>> {
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff<ObjectKey>> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Awaits a call to the apiserver, but not for ever. For calls that change nothing; others are for [`Context::change_in_cluster`].
async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(CallError::Failed),
        Err(_) => Err(CallError::TimedOut),
    }
}

impl Context {
    /// Awaits a call that changes something in the cluster. It is not begun where this replica does not lead, and
    /// given up where its term ends meanwhile.
    async fn change_in_cluster<T>(
        &self,
        kind: &'static str,
        operation: Operation,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        let Some(remaining) = self.leadership.remaining() else {
            return Err(CallError::NotLeading);
        };
        let outcome = match tokio::time::timeout(remaining.min(CALL_TIMEOUT), call).await {
            Ok(answer) => answer.map_err(CallError::Failed),
            Err(_) if remaining < CALL_TIMEOUT => Err(CallError::NotLeading),
            Err(_) => Err(CallError::TimedOut),
        };
        self.metrics.wrote(kind, operation, outcome.is_ok());
        outcome
    }

    /// Waits for a binding to visit; nothing when the controller stops.
    async fn next(&self) -> Option<ObjectKey> {
        loop {
            tokio::select! {
                () = self.leadership.acquired() => {}
                () = self.queue.closed() => return None,
            }
            let (key, lane) = self.queue.next().await?;
            if self.leadership.remaining().is_some() {
                return Some(key);
            }
            // The term ended while this worker waited.
            self.queue.push(key.clone(), lane);
            self.queue.done(&key);
        }
    }
}

/// The controller, not running yet.
pub struct Controller {
    context: Arc<Context>,
    changes: mpsc::UnboundedReceiver<FeedChange>,
    restarts: mpsc::UnboundedReceiver<WorkloadKey>,
}

impl Controller {
    /// Makes a controller that writes only while it leads, and counts what it does.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn new(
        client: Client,
        source: Arc<dyn Source>,
        config: Config,
        leadership: Leadership,
        metrics: Metrics,
    ) -> Self {
        let (tell, changes) = mpsc::unbounded_channel();
        let rules = FeedRules {
            roles: source
                .kind()
                .is_live()
                .then(|| config.allowed_roles.clone()),
            limits: config.feed_limits,
            // A watch of all namespaces, or one for each.
            lists: config.namespaces.len().max(1),
        };
        let access = config.settings.check_access.then(|| {
            AccessChecks::of(
                &source,
                config.schedule.interval * REFRESHES_PER_ACCESS_CHECK,
            )
        });
        let feeds = Feeds::new(source, config.schedule, tell, metrics.clone());
        let (begun, restarts) = mpsc::unbounded_channel();
        // One replica asks AWS; those that stand by watch the cluster only.
        feeds.pause();
        let context = Arc::new(Context {
            recorder: Recorder::new(client.clone(), Reporter::from(names::EVENT_CONTROLLER)),
            cache: Mutex::new(Cache::new(rules)),
            queue: WorkQueue::new(config.workers),
            feeds,
            access: access.flatten(),
            backoff: Mutex::default(),
            corrections: Mutex::default(),
            rollouts: Mutex::new(Rollouts::new(config.concurrent_rollouts)),
            begun,
            leadership,
            metrics,
            pulse: Pulse::new(),
            client,
            config,
        });
        context
            .metrics
            .collect(gauges::Gauges::of(Arc::downgrade(&context)));
        Self {
            context,
            changes,
            restarts,
        }
    }

    /// Returns what to ask how the controller is.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::of(self.context.clone())
    }

    /// Runs the controller until `shutdown` resolves; then visits under way are finished.
    ///
    /// # Errors
    /// [`ControllerError`] where a task ended that must not.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ControllerError> {
        let Self {
            context,
            changes,
            restarts,
        } = self;
        let mut essential = JoinSet::new();
        let synced = start_watches(&context, &mut essential);
        essential.spawn(follow_feeds(context.clone(), changes));
        essential.spawn(follow_access(context.clone()));
        essential.spawn(rollout::follow_rollouts(context.clone(), restarts));
        essential.spawn(follow_leadership(context.clone()));
        let mut workers = JoinSet::new();
        let visits = async {
            join_all(synced).await;
            context.pulse.synced();
            tracing::info!(
                bindings = context.cache().bindings(),
                "synced: watches are complete, work begins"
            );
            for _ in 0..context.config.workers {
                workers.spawn(work(context.clone()));
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            _ = essential.join_next() => Err(ControllerError::TaskEnded),
            () = visits => Ok(()),
        };
        tracing::info!("stopping: visits under way are finished");
        context.queue.close();
        let finished = tokio::time::timeout(STOP_TIMEOUT, async {
            while workers.join_next().await.is_some() {}
        })
        .await;
        if finished.is_err() {
            tracing::warn!("some visits did not finish in time; the next start does them again");
        }
        ended
    }
}

/// Starts the watches; each tells when it is complete.
fn start_watches(context: &Arc<Context>, tasks: &mut JoinSet<()>) -> Vec<oneshot::Receiver<()>> {
    let scopes: Vec<Option<String>> = match context.config.namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    };
    let mut synced = Vec::new();
    let mut wait = || {
        let (tell, told) = oneshot::channel();
        synced.push(told);
        tell
    };
    for scope in scopes {
        tasks.spawn(watch::namespaces(context.clone(), scope.clone(), wait()));
        tasks.spawn(watch::bindings(context.clone(), scope.clone(), wait()));
        tasks.spawn(watch::targets::<ConfigMap>(
            context.clone(),
            TargetKind::ConfigMap,
            scope.clone(),
            wait(),
        ));
        if context.config.settings.enable_secrets {
            tasks.spawn(watch::targets::<Secret>(
                context.clone(),
                TargetKind::Secret,
                scope,
                wait(),
            ));
        }
    }
    synced
}

/// A worker: visits one binding after the other. A visit that fails, or panics, costs only its own binding.
async fn work(context: Arc<Context>) {
    while let Some(key) = context.next().await {
        context.pulse.beat();
        let start = Instant::now();
        let visit = AssertUnwindSafe(context.reconcile(&key))
            .catch_unwind()
            .await;
        if !matches!(visit, Ok(Ok(_))) {
            context.forget_restarts(&key);
        }
        let (ended, next) = match visit {
            Ok(Ok(Next::OnChange)) => (Visit::Success, Next::OnChange),
            Ok(Ok(next)) => (Visit::Requeued, next),
            Ok(Err(error)) if error.is_not_found() || error.is_replaced() => {
                (Visit::Success, Next::OnChange)
            }
            // Another replica leads now; this visit is due again where this one comes to lead once more.
            Ok(Err(CallError::NotLeading)) => (Visit::Requeued, Next::Backoff(RETRY_CAP)),
            Ok(Err(error)) => {
                tracing::warn!(binding = %key, error = &error as &dyn std::error::Error, "a visit failed; it is tried again{}", error.hint());
                (Visit::Error, Next::Backoff(RETRY_CAP))
            }
            Err(_) => {
                tracing::error!(binding = %key, "a visit panicked; it is tried again");
                (Visit::Error, Next::Backoff(RETRY_CAP))
            }
        };
        context.metrics.visited(ended, start.elapsed());
        match next {
            Next::OnChange => context.backoff().reset(&key),
            Next::Backoff(cap) => {
                let delay = context.backoff().failed(key.clone(), cap);
                context.queue.push_after(key.clone(), Lane::Low, delay);
            }
        }
        context.queue.done(&key);
        context.pulse.beat();
    }
}

/// Lets the feeds ask while this replica leads.
async fn follow_leadership(context: Arc<Context>) {
    loop {
        context.leadership.acquired().await;
        context.feeds.resume();
        context.leadership.lost().await;
        context.feeds.pause();
    }
}

/// Asks whether the models of bindings can be used while this replica leads, and wakes those whose answer differs.
async fn follow_access(context: Arc<Context>) {
    let Some(checks) = &context.access else {
        return std::future::pending().await;
    };
    loop {
        context.leadership.acquired().await;
        checks.wait().await;
        if context.leadership.remaining().is_none() {
            continue;
        }
        let audience = |(feed, model): &Pair| {
            let models = BTreeSet::from([model.clone()]);
            context.cache().audience(feed, Some(&models))
        };
        for pair in checks.due(|pair| !audience(pair).is_empty()) {
            if checks.ask(&pair).await {
                for key in audience(&pair) {
                    context.queue.push(key, Lane::Low);
                }
            }
        }
    }
}

/// Wakes the bindings that a changed feed concerns.
async fn follow_feeds(context: Arc<Context>, mut changes: mpsc::UnboundedReceiver<FeedChange>) {
    while let Some(change) = changes.recv().await {
        let keys = match concerned(&change.before, &change.after) {
            Concerned::All => context.cache().audience(&change.key, None),
            Concerned::Models(models) => context.cache().audience(&change.key, Some(&models)),
        };
        tracing::info!(region = %change.key.region, bindings = keys.len(), "bindings are visited for a changed catalog");
        for key in keys {
            context.queue.push(key, Lane::Low);
        }
    }
}

/// Whom a changed feed concerns.
#[derive(Debug, PartialEq, Eq)]
enum Concerned {
    All,
    Models(BTreeSet<ModelId>),
}

/// Compares two states of a feed. An answer depends on the profiles of its model, on whether there are any at all, and on
/// where the catalog came from.
fn concerned(before: &FeedState, after: &FeedState) -> Concerned {
    let (Some(old), Some(new)) = (&before.catalog, &after.catalog) else {
        return Concerned::All;
    };
    let same_origin = old.account() == new.account() && old.source() == new.source();
    if before.freshness != after.freshness
        || !same_origin
        || old.profiles().is_empty() != new.profiles().is_empty()
    {
        return Concerned::All;
    }
    if old.models().is_some() != new.models().is_some() {
        return Concerned::All;
    }
    let profiles = old.profiles().iter().chain(new.profiles());
    let listed = old.models().into_iter().chain(new.models()).flatten();
    let models: BTreeSet<ModelId> = profiles
        .map(|profile| &profile.model)
        .chain(listed.map(|model| &model.id))
        .filter(|model| {
            old.profiles_of(model) != new.profiles_of(model) || old.model(model) != new.model(model)
        })
        .cloned()
        .collect();
    Concerned::Models(models)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, Freshness, SourceKind, embedded::Embedded};

    fn state(region: &str, without: &str) -> FeedState {
        let region: Region = region.parse().expect("a region");
        let profiles = Embedded::load().catalog(&region).profiles().to_vec();
        let kept = profiles
            .into_iter()
            .filter(|profile| profile.model.as_str() != without);
        FeedState {
            catalog: Some(Arc::new(Catalog::new(
                SourceKind::Bedrock,
                region,
                None,
                None,
                kept.collect(),
            ))),
            freshness: Freshness::Fresh,
        }
    }

    #[test]
    fn a_changed_catalog_concerns_only_those_whose_answer_it_moves() {
        let gone = "amazon.nova-pro-v1:0";
        let (full, less) = (state("eu-west-1", ""), state("eu-west-1", gone));
        assert_eq!(
            concerned(&full, &less),
            Concerned::Models(BTreeSet::from([gone.parse().expect("a model")]))
        );
        assert_eq!(concerned(&less, &less), Concerned::Models(BTreeSet::new()));
        let failed = FeedState {
            freshness: Freshness::Failed {
                reason: crate::api::condition::Reason::Throttled,
                message: "slow down".into(),
            },
            ..full.clone()
        };
        assert_eq!(concerned(&full, &failed), Concerned::All);
        let nothing = FeedState {
            catalog: None,
            freshness: Freshness::Pending,
        };
        assert_eq!(concerned(&nothing, &full), Concerned::All);
    }
}
