//! The controller: watches -> cache -> queue -> workers. Here its parts are made and wired; each gets what it needs and no
//! more. Only [`writer`] can write to the cluster.

mod call_error;
mod catalog_changes;
mod gauges;
mod health;
mod restarts;
mod rollout_status;
mod state;
mod visit;
mod watch;
mod worker;
mod writer;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use kube::Client;
use parking_lot::Mutex;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    cache::{Cache, FeedRules},
    catalog::{Source, embedded::Embedded, roles::AllowedRoles},
    feeds::{FeedChange, Feeds, Schedule, access::AccessChecks, admission::FeedLimits},
    leader::Leadership,
    metrics::Metrics,
    plan::{Settings, identity::WorkloadKey},
    queue::{Backoff, WorkQueue},
    types::Region,
};

use health::Heartbeat;
use restarts::Restarts;
use state::State;
use visit::Visitor;
use worker::Workers;
use writer::Writer;

pub use health::Health;

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
    /// The data compiled in.
    pub embedded: &'static Embedded,
}

/// Says why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A watch, or the task that follows the catalogs, ended by itself.
    #[error("a task of the controller ended unexpectedly")]
    TaskEnded,
}

/// The controller, not running yet.
pub struct Controller {
    client: Client,
    config: Config,
    state: Arc<State>,
    workers: Arc<Workers>,
    restarts: Arc<Restarts>,
    access: Option<Arc<AccessChecks>>,
    feed_changes: mpsc::UnboundedReceiver<FeedChange>,
    begun_restarts: mpsc::UnboundedReceiver<WorkloadKey>,
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
        let (tell, feed_changes) = mpsc::unbounded_channel();
        let rules = FeedRules {
            roles: source
                .kind()
                .is_live()
                .then(|| config.allowed_roles.clone()),
            limits: config.feed_limits,
            // A watch of all namespaces, or one for each.
            lists: config.namespaces.len().max(1),
        };
        let access_interval = config.schedule.interval * REFRESHES_PER_ACCESS_CHECK;
        let access = config
            .settings
            .check_access
            .then(|| AccessChecks::of(&source, access_interval))
            .flatten()
            .map(Arc::new);
        let feeds = Feeds::new(
            source,
            config.schedule,
            tell,
            metrics.clone(),
            config.embedded,
        );
        // One replica asks AWS; those that stand by watch the cluster only.
        feeds.pause();
        let queue = WorkQueue::new(config.workers);
        let state = Arc::new(State::new(Cache::new(rules), queue, feeds));
        let writer = Writer::new(
            client.clone(),
            leadership.clone(),
            metrics.clone(),
            state.clone(),
        );
        let (begun, begun_restarts) = mpsc::unbounded_channel();
        let restarts = Arc::new(Restarts::new(
            config.concurrent_rollouts,
            writer.clone(),
            state.clone(),
            begun,
        ));
        let visitor = Visitor {
            state: state.clone(),
            writer,
            restarts: restarts.clone(),
            access: access.clone(),
            settings: config.settings.clone(),
            embedded: config.embedded,
        };
        metrics.collect(gauges::Gauges::of(
            Arc::downgrade(&state),
            config.workers,
            config.embedded,
        ));
        let workers = Arc::new(Workers {
            state: state.clone(),
            visitor,
            leadership,
            metrics,
            heartbeat: Arc::new(Heartbeat::new()),
            backoff: Mutex::new(Backoff::default()),
        });
        Self {
            client,
            config,
            state,
            workers,
            restarts,
            access,
            feed_changes,
            begun_restarts,
        }
    }

    /// Returns what to ask how the controller is.
    #[must_use]
    pub fn health(&self) -> Health {
        let workers = &self.workers;
        Health::of(
            workers.heartbeat.clone(),
            self.state.clone(),
            workers.leadership.clone(),
        )
    }

    /// Runs the controller until `shutdown` resolves; then visits under way are finished.
    ///
    /// # Errors
    /// [`ControllerError`] where a task ended that must not.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ControllerError> {
        let Self {
            client,
            config,
            state,
            workers,
            restarts,
            access,
            feed_changes,
            begun_restarts,
        } = self;
        let leadership = workers.leadership.clone();
        let mut essential = JoinSet::new();
        let synced = watch::start(&client, &config, &state, &mut essential);
        essential.spawn(catalog_changes::follow_feeds(state.clone(), feed_changes));
        essential.spawn(catalog_changes::follow_access(
            state.clone(),
            leadership.clone(),
            access,
        ));
        essential.spawn(catalog_changes::follow_leadership(
            state.clone(),
            leadership,
        ));
        essential.spawn(restarts.follow(begun_restarts));
        let mut working = JoinSet::new();
        let visits = async {
            join_all(synced).await;
            workers.heartbeat.synced();
            tracing::info!(
                bindings = state.cache().bindings(),
                "synced: watches are complete, work begins"
            );
            for _ in 0..config.workers {
                working.spawn(workers.clone().work());
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            _ = essential.join_next() => Err(ControllerError::TaskEnded),
            () = visits => Ok(()),
        };
        tracing::info!("stopping: visits under way are finished");
        state.queue.close();
        let finished = tokio::time::timeout(STOP_TIMEOUT, async {
            while working.join_next().await.is_some() {}
        })
        .await;
        if finished.is_err() {
            tracing::warn!("some visits did not finish in time; the next start does them again");
        }
        ended
    }
}
