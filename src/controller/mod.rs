//! The controller: watches -> cache -> queue -> workers. This file creates its parts and connects them; each part gets what it
//! needs and no more. Only `writer` can write to the cluster.

mod call_error;
mod catalog_changes;
mod changes;
mod classes;
pub mod clock;
mod gauges;
mod health;
mod lifecycles;
mod recovery;
mod restarts;
mod rollout_status;
mod served;
mod state;
mod status_schema;
mod sync_gate;
mod visit;
mod watch;
mod watch_loop;
mod worker;
mod writer;

use std::{sync::Arc, time::Duration};

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

use classes::ClassStatuses;
use clock::Clock;
use health::Heartbeat;
use restarts::Restarts;
use served::ServedRequests;
use state::State;
use visit::Visitor;
use worker::Workers;
use writer::Writer;

pub use health::Health;
pub use served::ServedConfig;

/// Longest wait for visits in progress when the operator stops: below the 30 s that Kubernetes gives a pod.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How many refresh intervals of the catalog pass between two checks of whether a model can be used.
const REFRESHES_PER_ACCESS_CHECK: u32 = 4;

/// The controller's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Namespaces to serve; all if empty.
    pub namespaces: Vec<String>,
    /// Label selector of the bindings to serve; all if `None`.
    pub selector: Option<String>,
    /// Source region of bindings that do not name one.
    pub default_region: Region,
    /// How many bindings are visited at once.
    pub workers: usize,
    /// When catalogs are listed again, and when a snapshot is stale.
    pub schedule: Schedule,
    /// The roles that bindings may name.
    pub allowed_roles: AllowedRoles,
    /// Limits on the number of catalogs.
    pub feed_limits: FeedLimits,
    /// How many workloads restart at once.
    pub concurrent_rollouts: usize,
    /// Where requests are served is looked at, if this says how.
    pub served: Option<ServedConfig>,
    /// The settings that plans depend on.
    pub settings: Settings,
    /// The embedded data.
    pub embedded: &'static Embedded,
    /// The clock that times in statuses, and the lifecycles of models, are judged by.
    pub clock: Arc<dyn Clock>,
}

/// Says why the controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A watch or another task that must run all the time has ended.
    #[error("a task of the controller ended unexpectedly")]
    TaskEnded,
}

/// A controller that is not running yet.
pub struct Controller {
    client: Client,
    config: Config,
    state: Arc<State>,
    workers: Arc<Workers>,
    restarts: Arc<Restarts>,
    class_statuses: ClassStatuses,
    access: Option<Arc<AccessChecks>>,
    served: Option<Arc<ServedRequests>>,
    feed_changes: mpsc::UnboundedReceiver<FeedChange>,
    begun_restarts: mpsc::UnboundedReceiver<WorkloadKey>,
}

impl Controller {
    /// Returns a controller that writes only while it leads, and that counts in `metrics` what it does.
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
        // Only the leader lists in AWS; a standby only watches the cluster.
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
        let class_statuses = ClassStatuses {
            state: state.clone(),
            writer: writer.clone(),
            restarts: restarts.clone(),
            leadership: leadership.clone(),
            clock: config.clock.clone(),
            serves_all: config.namespaces.is_empty() && config.selector.is_none(),
        };
        let served = config.served.clone().map(|served| {
            Arc::new(ServedRequests::new(
                served,
                state.clone(),
                metrics.clone(),
                config.clock.clone(),
                config.embedded,
            ))
        });
        let visitor = Visitor {
            served: served.clone(),
            state: state.clone(),
            writer,
            restarts: restarts.clone(),
            access: access.clone(),
            settings: config.settings.clone(),
            embedded: config.embedded,
            clock: config.clock.clone(),
        };
        metrics.collect(gauges::Gauges::of(
            Arc::downgrade(&state),
            config.workers,
            config.embedded,
            config.served.is_some(),
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
            class_statuses,
            access,
            served,
            feed_changes,
            begun_restarts,
        }
    }

    /// Returns a handle that tells whether the controller is alive and ready.
    #[must_use]
    pub fn health(&self) -> Health {
        let workers = &self.workers;
        Health::of(
            workers.heartbeat.clone(),
            self.state.clone(),
            workers.leadership.clone(),
        )
    }

    /// Runs the controller until `shutdown` resolves, and then finishes the visits in progress.
    ///
    /// # Errors
    /// Returns [`ControllerError`] if a task ended that must not end.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ControllerError> {
        let Self {
            client,
            config,
            state,
            workers,
            restarts,
            class_statuses,
            access,
            served,
            feed_changes,
            begun_restarts,
        } = self;
        let leadership = workers.leadership.clone();
        let mut essential = JoinSet::new();
        watch::start(&client, &config, &state, &mut essential);
        essential.spawn(catalog_changes::follow_feeds(state.clone(), feed_changes));
        essential.spawn(catalog_changes::follow_access(
            state.clone(),
            leadership.clone(),
            access,
        ));
        essential.spawn(catalog_changes::follow_leadership(
            state.clone(),
            leadership.clone(),
        ));
        if let Some(served) = served {
            essential.spawn(served.follow(leadership.clone()));
        }
        essential.spawn(list_anew_after_a_restore(state.clone(), leadership));
        essential.spawn(lifecycles::follow_lifecycles(
            state.clone(),
            config.clock.clone(),
            config.embedded,
        ));
        essential.spawn(restarts.follow(begun_restarts));
        essential.spawn(class_statuses.follow());
        let mut working = JoinSet::new();
        let visits = async {
            state.gate.opened().await;
            workers.heartbeat.synced();
            tracing::info!(
                bindings = state.cache().bindings(),
                "synced: the watches are complete, and work begins"
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
        tracing::info!("stopping: visits in progress are finished");
        state.queue.close();
        let finished = tokio::time::timeout(STOP_TIMEOUT, async {
            while working.join_next().await.is_some() {}
        })
        .await;
        if finished.is_err() {
            tracing::warn!(
                "some visits did not finish in time; they are repeated after the next start"
            );
        }
        ended
    }
}

/// Has the watches list anew whenever the Lease shows that etcd was put back to an older copy: a watch that is resumed after a
/// version of the future sees nothing.
async fn list_anew_after_a_restore(state: Arc<State>, mut leadership: Leadership) {
    loop {
        leadership.version_went_back().await;
        tracing::warn!("etcd was put back to an older copy of its data: everything is listed anew");
        state.gate.list_anew();
    }
}
