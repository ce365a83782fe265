//! Feeds: one per role and source region, shared by all bindings that need it. Each keeps one catalog current.
//!
//! A feed lists its source periodically and is the only one to do so: there are never two listings of one key at a time.
//! What it publishes is immutable, and it announces only what differs.

pub mod access;
pub mod admission;
mod refresh;
mod staleness;
mod throttle;

use std::{
    collections::{BTreeMap, HashMap},
    future::pending,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc::UnboundedSender},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    catalog::{Catalog, CatalogError, FeedKey, FeedState, Freshness, Source, embedded::Embedded},
    metrics::Metrics,
    types::{Region, RoleArn},
};

use refresh::RefreshState;
use throttle::ThrottledAccounts;

/// Shortest time between a listing and one that a user requests.
const REQUESTED_REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// How often the version of a source is checked, if the source has one.
const VERSION_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// When catalogs are listed again, and when a snapshot is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How often a catalog is listed.
    pub interval: Duration,
    /// How old a snapshot may be before it is stale.
    pub max_age: Duration,
}

/// A change of what a feed publishes.
#[derive(Debug, Clone)]
pub struct FeedChange {
    /// The feed.
    pub key: FeedKey,
    /// What it published before.
    pub before: FeedState,
    /// What it publishes now.
    pub after: FeedState,
}

/// All feeds of one source.
///
/// [`Feeds::hold`] and [`Feeds::resume`] must be called inside a Tokio runtime.
pub struct Feeds {
    source: Arc<dyn Source>,
    schedule: Schedule,
    changed: UnboundedSender<FeedChange>,
    metrics: Metrics,
    embedded: &'static Embedded,
    throttled: Arc<Mutex<ThrottledAccounts>>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    feeds: HashMap<FeedKey, Feed>,
    /// Whether the source is left alone for the time being.
    paused: bool,
}

struct Feed {
    holders: usize,
    /// Its region as a metrics label.
    region_label: &'static str,
    published: Arc<Mutex<Published>>,
    /// Notified when a user requests a listing.
    refresh_requested: Arc<Notify>,
    /// `None` while paused.
    task: Option<AbortHandle>,
}

/// What a feed publishes.
struct Published {
    state: FeedState,
    /// When the source was last listed successfully.
    listed_at: Option<Instant>,
}

impl Feed {
    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Feeds {
    /// Returns the feeds of a source; none of them is running yet. A [`FeedChange`] is sent to `changed` whenever a catalog
    /// or its freshness changes, the first answer included.
    #[must_use]
    pub fn new(
        source: Arc<dyn Source>,
        schedule: Schedule,
        changed: UnboundedSender<FeedChange>,
        metrics: Metrics,
        embedded: &'static Embedded,
    ) -> Self {
        Self {
            source,
            schedule,
            changed,
            metrics,
            embedded,
            throttled: Arc::default(),
            running: Mutex::default(),
        }
    }

    /// Stops listing. What is known stays, and feeds can still be held and released.
    pub fn pause(&self) {
        let mut running = self.running.lock();
        running.paused = true;
        for feed in running.feeds.values_mut() {
            feed.stop();
        }
    }

    /// Starts listing again, for every feed at once. Reverses [`Feeds::pause`]; does nothing if the feeds are not paused.
    pub fn resume(&self) {
        let mut running = self.running.lock();
        if std::mem::take(&mut running.paused) {
            for (key, feed) in &mut running.feeds {
                feed.task = Some(self.start(key, feed, RefreshState::default(), None));
            }
        }
    }

    /// Starts the feed of a key, or adds a holder to it. Each call must be matched by a call of [`Feeds::release`].
    ///
    /// The catalog of a source that is not live is available when this returns, and is not sent to `changed`. A live
    /// listing is not awaited.
    pub fn hold(&self, key: &FeedKey) {
        let mut running = self.running.lock();
        if let Some(feed) = running.feeds.get_mut(key) {
            feed.holders += 1;
            return;
        }
        let kind = self.source.kind();
        let answer = if kind.is_live() {
            None
        } else {
            self.source.list(key).now_or_never()
        };
        let mut refresh = RefreshState::default();
        let mut state = FeedState::pending();
        let first_delay = answer.map(|answer| {
            let now = Timestamp::now();
            let step = refresh.step(&state, answer, kind, self.schedule, now, fastrand::f64());
            if let Some(first) = step.publish {
                state = first;
            }
            step.delay
        });
        let mut feed = Feed {
            holders: 1,
            region_label: region_label(self.embedded, &key.region),
            published: Arc::new(Mutex::new(Published {
                state,
                listed_at: None,
            })),
            refresh_requested: Arc::default(),
            task: None,
        };
        if !running.paused {
            feed.task = Some(self.start(key, &feed, refresh, first_delay));
        }
        running.feeds.insert(key.clone(), feed);
    }

    /// Starts the task of a feed.
    fn start(
        &self,
        key: &FeedKey,
        feed: &Feed,
        refresh: RefreshState,
        first_delay: Option<Duration>,
    ) -> AbortHandle {
        let poll = Poll {
            source: Arc::clone(&self.source),
            key: key.clone(),
            schedule: self.schedule,
            changed: self.changed.clone(),
            metrics: self.metrics.clone(),
            region_label: feed.region_label,
            throttled: Arc::clone(&self.throttled),
            published: Arc::clone(&feed.published),
            refresh_requested: Arc::clone(&feed.refresh_requested),
            refresh,
        };
        tokio::spawn(poll.run(first_delay)).abort_handle()
    }

    /// Requests a listing, which follows at once or, at the earliest, `REQUESTED_REFRESH_PAUSE` after the last one. The result is logged.
    pub fn refresh(&self, key: &FeedKey) {
        let running = self.running.lock();
        let feed = running.feeds.get(key).filter(|_| !running.paused);
        if let Some(feed) = feed {
            feed.refresh_requested.notify_one();
        }
    }

    /// Removes a holder of a feed. The feed ends with its last holder, and its catalog is dropped.
    pub fn release(&self, key: &FeedKey) {
        let mut running = self.running.lock();
        if let Some(feed) = running.feeds.get_mut(key) {
            feed.holders -= 1;
            if feed.holders == 0 {
                running.feeds.remove(key);
            }
        }
    }

    /// Returns what the feed of a key publishes; [`Freshness::Pending`] if the feed has no holder.
    #[must_use]
    pub fn state(&self, key: &FeedKey) -> FeedState {
        self.running
            .lock()
            .feeds
            .get(key)
            .map_or_else(FeedState::pending, |feed| {
                feed.published.lock().state.clone()
            })
    }

    /// Returns whether every running feed has a catalog or is known to fail.
    #[must_use]
    pub fn answered(&self) -> bool {
        let running = self.running.lock();
        running.paused
            || running.feeds.values().all(|feed| {
                let published = feed.published.lock();
                published.state.freshness != Freshness::Pending
            })
    }

    /// Returns the known catalogs, each with its region as a metrics label.
    #[must_use]
    pub fn catalogs(&self) -> Vec<(&'static str, Arc<Catalog>)> {
        let running = self.running.lock();
        let catalogs = running.feeds.values().filter_map(|feed| {
            let catalog = feed.published.lock().state.catalog.clone()?;
            Some((feed.region_label, catalog))
        });
        catalogs.collect()
    }

    /// Returns the known catalogs, each with its key.
    #[must_use]
    pub fn catalogs_by_key(&self) -> Vec<(FeedKey, Arc<Catalog>)> {
        let running = self.running.lock();
        let catalogs = running.feeds.iter().filter_map(|(key, feed)| {
            let catalog = feed.published.lock().state.catalog.clone()?;
            Some((key.clone(), catalog))
        });
        catalogs.collect()
    }

    /// Returns how long ago each region was listed, by the feed that was listed least recently. Regions that the embedded
    /// data do not contain are reported together, as `other`.
    #[must_use]
    pub fn ages(&self) -> BTreeMap<&'static str, Duration> {
        let mut ages: BTreeMap<&'static str, Duration> = BTreeMap::new();
        for feed in self.running.lock().feeds.values() {
            if let Some(listed_at) = feed.published.lock().listed_at {
                let age = ages.entry(feed.region_label).or_default();
                *age = listed_at.elapsed().max(*age);
            }
        }
        ages
    }

    /// Returns whether there are no feeds.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.running.lock().feeds.is_empty()
    }
}

/// The task of a feed.
struct Poll {
    source: Arc<dyn Source>,
    key: FeedKey,
    schedule: Schedule,
    changed: UnboundedSender<FeedChange>,
    metrics: Metrics,
    /// The region as a metrics label.
    region_label: &'static str,
    throttled: Arc<Mutex<ThrottledAccounts>>,
    published: Arc<Mutex<Published>>,
    refresh_requested: Arc<Notify>,
    refresh: RefreshState,
}

impl Poll {
    async fn run(mut self, first_delay: Option<Duration>) {
        let mut requested = false;
        if let Some(delay) = first_delay {
            let version = self.source.version(&self.key);
            requested = self.wait_until_due(Instant::now(), version, delay).await;
        }
        // The receiver is dropped when the operator stops.
        while !self.changed.is_closed() {
            self.wait_for_account().await;
            // This listing answers every request made until now.
            requested |= self.refresh_requested.notified().now_or_never().is_some();
            let asked = Instant::now();
            let version = self.source.version(&self.key);
            let delay = self.list(requested).await;
            requested = self.wait_until_due(asked, version, delay).await;
        }
    }

    /// Lists once and returns how long to wait before the next listing.
    async fn list(&mut self, requested: bool) -> Duration {
        let answer = self.source.list(&self.key).await;
        let failure = answer.as_ref().err().map(CatalogError::reason);
        self.metrics.listed(self.region_label, failure);
        if requested {
            let (region, role) = (
                &self.key.region,
                self.key.role.as_ref().map(RoleArn::as_str),
            );
            match failure {
                None => tracing::info!(%region, role, "listed as requested"),
                Some(reason) => {
                    tracing::warn!(%region, role, %reason, "the requested listing failed");
                }
            }
        }
        let before = {
            let mut published = self.published.lock();
            if answer.is_ok() {
                published.listed_at = Some(Instant::now());
            }
            published.state.clone()
        };
        let step = self.refresh.step(
            &before,
            answer,
            self.source.kind(),
            self.schedule,
            Timestamp::now(),
            fastrand::f64(),
        );
        if step.throttled {
            self.throttled
                .lock()
                .record(&self.key, step.delay, Instant::now());
        }
        self.publish(before, step.publish);
        step.delay
    }

    /// Waits until the account is no longer throttled.
    async fn wait_for_account(&self) {
        let pause = || {
            self.throttled
                .lock()
                .wait(&self.key, Instant::now(), fastrand::f64())
        };
        while let Some(wait) = pause() {
            let before = self.published.lock().state.clone();
            let now = refresh::while_throttled(&before, wait, self.schedule.interval);
            self.publish(before, now);
            sleep(wait).await;
        }
    }

    /// Waits until the next listing is due, is requested, or would differ because the source's version changed. Returns
    /// whether it was requested.
    async fn wait_until_due(&self, asked: Instant, version: Option<u64>, delay: Duration) -> bool {
        let differs = async {
            if version.is_none() {
                pending::<()>().await;
            }
            while self.source.version(&self.key) == version {
                sleep(VERSION_CHECK_INTERVAL).await;
            }
        };
        let due = Instant::now() + delay;
        tokio::select! {
            () = sleep_until(due) => false,
            () = differs => false,
            () = self.refresh_requested.notified() => {
                sleep_until(due.min(asked + REQUESTED_REFRESH_PAUSE)).await;
                true
            }
        }
    }

    /// Publishes a new state, if there is one, and announces the change.
    fn publish(&self, before: FeedState, now: Option<FeedState>) {
        let Some(after) = now else {
            return;
        };
        log(&self.key, &after.freshness);
        self.published.lock().state = after.clone();
        let key = self.key.clone();
        // If the receiver is gone, the task ends after its next wait.
        let _ = self.changed.send(FeedChange { key, before, after });
    }
}

/// Returns a region as a metrics label. Users name regions freely, so only those of the embedded data become labels.
fn region_label(embedded: &'static Embedded, region: &Region) -> &'static str {
    embedded
        .source_regions()
        .find(|known| *known == region)
        .map_or("other", Region::as_str)
}

fn log(key: &FeedKey, freshness: &Freshness) {
    let (region, role) = (&key.region, key.role.as_ref().map(RoleArn::as_str));
    if let Freshness::Failed { reason, message } = freshness {
        tracing::warn!(%region, role, %reason, %message, "the catalog can't be refreshed");
    } else {
        tracing::info!(%region, role, "the catalog changed, or is fresh again");
    }
}

#[cfg(test)]
mod tests;
