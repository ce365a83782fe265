//! Feeds: one per role and region, shared by all that need it, each keeping one catalog current.
//!
//! A feed asks its source again and again, alone: never two listings of one key at a time. What it publishes is
//! immutable, and it says so only when something differs.

pub mod access;
pub mod admission;
mod age;
mod progress;
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
    catalog::{
        Catalog, CatalogError, FeedKey, FeedState, Freshness, Source, SourceKind,
        embedded::Embedded,
    },
    metrics::Metrics,
    types::{Region, RoleArn},
};

use progress::Progress;
use throttle::Pauses;

/// Shortest time between a listing and one that is asked for.
const REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// How often a source is looked at that tells cheaply whether a listing would differ.
const LOOK: Duration = Duration::from_secs(2);

/// When catalogs are listed anew, and when they are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How often a catalog is listed.
    pub interval: Duration,
    /// How long a snapshot is good after its date.
    pub max_age: Duration,
}

/// That a feed knows something else than before.
#[derive(Debug, Clone)]
pub struct FeedChange {
    /// The feed.
    pub key: FeedKey,
    /// What it knew.
    pub before: FeedState,
    /// What it knows now.
    pub after: FeedState,
}

/// All feeds of one source.
///
/// [`Feeds::hold`] must be called inside a Tokio runtime.
pub struct Feeds {
    source: Arc<dyn Source>,
    schedule: Schedule,
    changed: UnboundedSender<FeedChange>,
    metrics: Metrics,
    embedded: &'static Embedded,
    pauses: Arc<Mutex<Pauses>>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    feeds: HashMap<FeedKey, Feed>,
    /// Whether nobody is asked for the time being.
    paused: bool,
}

struct Feed {
    holders: usize,
    shown: Arc<Mutex<Shown>>,
    /// Told when a listing is asked for.
    demand: Arc<Notify>,
    /// Nothing while paused.
    task: Option<AbortHandle>,
}

/// What everybody sees of a feed.
struct Shown {
    state: FeedState,
    /// When the source listed last.
    listed: Option<Instant>,
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
    /// Returns the feeds of a source, none of them running. A [`FeedChange`] is sent to `changed` when a catalog or its
    /// freshness differs from before, the first answer included.
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
            pauses: Arc::default(),
            running: Mutex::default(),
        }
    }

    /// Stops asking the source. What is known stays, and feeds are held and let go as before.
    pub fn pause(&self) {
        let mut running = self.running.lock();
        running.paused = true;
        for feed in running.feeds.values_mut() {
            feed.stop();
        }
    }

    /// Asks the source again, for every feed at once. The opposite of [`Feeds::pause`]; without one it does nothing.
    pub fn resume(&self) {
        let mut running = self.running.lock();
        if std::mem::take(&mut running.paused) {
            for (key, feed) in &mut running.feeds {
                feed.task = Some(self.start(key, feed, Progress::default(), None));
            }
        }
    }

    /// Returns which kind of source the catalogs come from.
    #[must_use]
    pub fn kind(&self) -> SourceKind {
        self.source.kind()
    }

    /// Starts the feed of a key, or takes part in it. Each call needs a [`Feeds::release`].
    ///
    /// Embedded data and files are there when this returns, without being sent to `changed`; a live listing is not
    /// waited for.
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
        let mut progress = Progress::default();
        let mut state = nothing_known();
        let first_delay = answer.map(|answer| {
            let now = Timestamp::now();
            let step = progress.step(&state, answer, kind, self.schedule, now, fastrand::f64());
            if let Some(first) = step.publish {
                state = first;
            }
            step.delay
        });
        let mut feed = Feed {
            holders: 1,
            shown: Arc::new(Mutex::new(Shown {
                state,
                listed: None,
            })),
            demand: Arc::default(),
            task: None,
        };
        if !running.paused {
            feed.task = Some(self.start(key, &feed, progress, first_delay));
        }
        running.feeds.insert(key.clone(), feed);
    }

    /// Starts the task of a feed.
    fn start(
        &self,
        key: &FeedKey,
        feed: &Feed,
        progress: Progress,
        first_delay: Option<Duration>,
    ) -> AbortHandle {
        let poll = Poll {
            source: Arc::clone(&self.source),
            key: key.clone(),
            schedule: self.schedule,
            changed: self.changed.clone(),
            metrics: self.metrics.clone(),
            region_label: region_label(self.embedded, &key.region),
            pauses: Arc::clone(&self.pauses),
            shown: Arc::clone(&feed.shown),
            demand: Arc::clone(&feed.demand),
            progress,
        };
        tokio::spawn(poll.run(first_delay)).abort_handle()
    }

    /// Lets a feed list now, or [`REFRESH_PAUSE`] after its last listing. It says in the log when it has.
    pub fn refresh(&self, key: &FeedKey) {
        let running = self.running.lock();
        let feed = running.feeds.get(key).filter(|_| !running.paused);
        if let Some(feed) = feed {
            feed.demand.notify_one();
        }
    }

    /// Gives back one [`Feeds::hold`]; the last one ends the feed and forgets its catalog.
    pub fn release(&self, key: &FeedKey) {
        let mut running = self.running.lock();
        if let Some(feed) = running.feeds.get_mut(key) {
            feed.holders -= 1;
            if feed.holders == 0 {
                running.feeds.remove(key);
            }
        }
    }

    /// Returns what the feed of a key knows; [`Freshness::Pending`] where nobody holds it.
    #[must_use]
    pub fn state(&self, key: &FeedKey) -> FeedState {
        self.running
            .lock()
            .feeds
            .get(key)
            .map_or_else(nothing_known, |feed| feed.shown.lock().state.clone())
    }

    /// Says whether every feed that runs has a catalog, or is known to fail.
    #[must_use]
    pub fn answered(&self) -> bool {
        let running = self.running.lock();
        running.paused
            || running.feeds.values().all(|feed| {
                let shown = feed.shown.lock();
                shown.state.freshness != Freshness::Pending
            })
    }

    /// Returns the catalogs that there are, each with its region as a label of metrics.
    #[must_use]
    pub fn catalogs(&self) -> Vec<(&'static str, Arc<Catalog>)> {
        let running = self.running.lock();
        let catalogs = running.feeds.iter().filter_map(|(key, feed)| {
            let catalog = feed.shown.lock().state.catalog.clone()?;
            Some((region_label(self.embedded, &key.region), catalog))
        });
        catalogs.collect()
    }

    /// Returns how long ago each region was listed, by the feed that waits longest; regions that the embedded data don't
    /// know are told as one, `other`.
    #[must_use]
    pub fn ages(&self) -> BTreeMap<&'static str, Duration> {
        let mut ages: BTreeMap<&'static str, Duration> = BTreeMap::new();
        for (key, feed) in &self.running.lock().feeds {
            if let Some(listed) = feed.shown.lock().listed {
                let age = ages
                    .entry(region_label(self.embedded, &key.region))
                    .or_default();
                *age = listed.elapsed().max(*age);
            }
        }
        ages
    }

    /// Returns how many feeds there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.running.lock().feeds.len()
    }

    /// Says whether there are no feeds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn nothing_known() -> FeedState {
    FeedState {
        catalog: None,
        freshness: Freshness::Pending,
    }
}

/// The task of a feed.
struct Poll {
    source: Arc<dyn Source>,
    key: FeedKey,
    schedule: Schedule,
    changed: UnboundedSender<FeedChange>,
    metrics: Metrics,
    /// The region as a label of metrics.
    region_label: &'static str,
    pauses: Arc<Mutex<Pauses>>,
    shown: Arc<Mutex<Shown>>,
    demand: Arc<Notify>,
    progress: Progress,
}

impl Poll {
    async fn run(mut self, first_delay: Option<Duration>) {
        let mut demanded = false;
        if let Some(delay) = first_delay {
            let version = self.source.version(&self.key);
            demanded = self.rest(Instant::now(), version, delay).await;
        }
        // Nobody listens any more when the operator stops.
        while !self.changed.is_closed() {
            self.wait_for_account().await;
            // What was asked for until now is what this listing answers.
            demanded |= self.demand.notified().now_or_never().is_some();
            let asked = Instant::now();
            let version = self.source.version(&self.key);
            let delay = self.list(demanded).await;
            demanded = self.rest(asked, version, delay).await;
        }
    }

    /// Lists once. Returns when to do so again.
    async fn list(&mut self, demanded: bool) -> Duration {
        let answer = self.source.list(&self.key).await;
        let failure = answer.as_ref().err().map(CatalogError::reason);
        self.metrics.listed(self.region_label, failure);
        if demanded {
            let (region, role) = (
                &self.key.region,
                self.key.role.as_ref().map(RoleArn::as_str),
            );
            match failure {
                None => tracing::info!(%region, role, "listed on demand"),
                Some(reason) => tracing::warn!(%region, role, %reason, "listing on demand failed"),
            }
        }
        let before = {
            let mut shown = self.shown.lock();
            if answer.is_ok() {
                shown.listed = Some(Instant::now());
            }
            shown.state.clone()
        };
        let step = self.progress.step(
            &before,
            answer,
            self.source.kind(),
            self.schedule,
            Timestamp::now(),
            fastrand::f64(),
        );
        if step.throttled {
            self.pauses
                .lock()
                .begin(&self.key, step.delay, Instant::now());
        }
        self.show(before, step.publish);
        step.delay
    }

    /// Waits until the account may be asked.
    async fn wait_for_account(&self) {
        let pause = || {
            self.pauses
                .lock()
                .wait(&self.key, Instant::now(), fastrand::f64())
        };
        while let Some(wait) = pause() {
            let before = self.shown.lock().state.clone();
            let now = progress::while_paused(&before, wait, self.schedule.interval);
            self.show(before, now);
            sleep(wait).await;
        }
    }

    /// Waits for the next listing: it is due, it is asked for, or it would say something else. Returns whether it is
    /// asked for.
    async fn rest(&self, asked: Instant, version: Option<u64>, delay: Duration) -> bool {
        let differs = async {
            if version.is_none() {
                pending::<()>().await;
            }
            while self.source.version(&self.key) == version {
                sleep(LOOK).await;
            }
        };
        let due = Instant::now() + delay;
        tokio::select! {
            () = sleep_until(due) => false,
            () = differs => false,
            () = self.demand.notified() => {
                sleep_until(due.min(asked + REFRESH_PAUSE)).await;
                true
            }
        }
    }

    /// Lets everybody see what is known from now on.
    fn show(&self, before: FeedState, now: Option<FeedState>) {
        let Some(after) = now else {
            return;
        };
        log(&self.key, &after.freshness);
        self.shown.lock().state = after.clone();
        let key = self.key.clone();
        // A failure ends the task after the next wait.
        let _ = self.changed.send(FeedChange { key, before, after });
    }
}

/// Returns a region as a label of metrics: specs name regions, so only those of the embedded data stand for themselves.
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
        tracing::info!(%region, role, "the catalog changed or is fresh again");
    }
}

#[cfg(test)]
mod tests;
