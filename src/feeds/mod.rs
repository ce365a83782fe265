//! Feeds: one per role and source region, shared by all bindings that need it. Each keeps one catalog current.
//!
//! A feed lists its source periodically and is the only one to do so: there are never two listings of one key at a time.
//! What it publishes is immutable, and it announces only what differs.

pub mod access;
pub mod admission;
mod applications;
mod refresh;
mod staleness;
mod throttle;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
use tracing::{Instrument, Span};

use crate::{
    api::condition::Reason,
    catalog::{
        Applications, Catalog, CatalogError, FeedKey, FeedState, Freshness, Source,
        embedded::Embedded,
    },
    metrics::Metrics,
    traces,
    types::{Region, RoleArn},
};

use applications::{ApplicationsRefresh, Asking};
use refresh::{Moment, RefreshState};
use throttle::ThrottledAccounts;

/// Shortest time between a listing and one that a user requests.
const REQUESTED_REFRESH_PAUSE: Duration = Duration::from_secs(10);
/// How often the version of a source is checked, if the source has one.
const VERSION_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// About how long what live listings no longer have must be missing before it counts as gone. With its jitter it is less than a
/// minute, and more than the half minute that a listing can change to and fro.
pub const CONFIRMATION: Duration = Duration::from_secs(45);
/// How many refresh intervals pass at least before a catalog is overdue.
const LEAST_INTERVALS_OF_GRACE: u32 = 2;

/// When catalogs are listed again, and when they are overdue or stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How often a catalog is listed.
    pub interval: Duration,
    /// How old a live catalog is at most before it is overdue. Two intervals are the least, whatever this is.
    pub grace: Duration,
    /// About how long what live listings no longer have must be missing before it counts as gone.
    pub confirmation: Duration,
    /// How old a snapshot may be before it is stale.
    pub max_age: Duration,
}

impl Schedule {
    /// Returns the age from which a live catalog is overdue: only then do bindings that have an answer show that listings fail.
    fn overdue_after(&self) -> Duration {
        self.grace.max(self.interval * LEAST_INTERVALS_OF_GRACE)
    }

    fn is_overdue(&self, age: Duration) -> bool {
        age >= self.overdue_after()
    }
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
    /// Those of which bindings name application profiles, whether they run or not.
    asking: HashSet<FeedKey>,
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
    /// Notified when a second listing is to confirm the first one.
    confirmation_requested: Arc<Notify>,
    /// Whether bindings name application profiles.
    asking: Arc<Asking>,
    /// `None` while paused.
    task: Option<AbortHandle>,
    /// When the task started.
    started: Instant,
}

/// What a feed publishes.
struct Published {
    state: FeedState,
    /// When the source was last listed successfully.
    listed_at: Option<Instant>,
    /// When it was first listed successfully.
    first_listed_at: Option<Instant>,
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

    /// Stops listing. Feeds can still be held and released. What a live source said is forgotten: another replica acts on later
    /// answers meanwhile, and an old one must not move values back when this replica leads again. What files and data say stays.
    pub fn pause(&self) {
        let is_live = self.source.kind().is_live();
        let mut running = self.running.lock();
        running.paused = true;
        for feed in running.feeds.values_mut() {
            feed.stop();
            if is_live {
                *feed.published.lock() = Published {
                    state: FeedState::pending(),
                    listed_at: None,
                    first_listed_at: None,
                };
            }
        }
    }

    /// Starts listing again, for every feed at once. Reverses [`Feeds::pause`]; does nothing if the feeds are not paused.
    pub fn resume(&self) {
        let mut running = self.running.lock();
        if std::mem::take(&mut running.paused) {
            for (key, feed) in &mut running.feeds {
                feed.started = Instant::now();
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
            let moment = Moment {
                now: Timestamp::now(),
                at: Instant::now(),
                age: Duration::ZERO,
                random: fastrand::f64(),
            };
            let step = refresh.step(&state, answer, kind, self.schedule, moment);
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
                first_listed_at: None,
            })),
            refresh_requested: Arc::default(),
            confirmation_requested: Arc::default(),
            asking: Arc::default(),
            task: None,
            started: Instant::now(),
        };
        feed.asking.set(running.asking.contains(key));
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
            confirmation_requested: Arc::clone(&feed.confirmation_requested),
            asking: Arc::clone(&feed.asking),
            applications: ApplicationsRefresh::default(),
            refresh,
            started: Instant::now(),
            overdue: None,
            logged: None,
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

    /// Sets whether bindings of a feed name application profiles. Those are listed with the rest while they do; where they begin to,
    /// at once or, if they were listed before, after `REQUESTED_REFRESH_PAUSE`.
    pub fn ask_applications(&self, key: &FeedKey, asked: bool) {
        let mut running = self.running.lock();
        if asked {
            running.asking.insert(key.clone());
        } else {
            running.asking.remove(key);
        }
        if let Some(feed) = running.feeds.get(key) {
            feed.asking.set(asked);
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

    /// Returns for how long the first listing of a feed has been under way, or `None` if none is.
    #[must_use]
    pub fn first_listing(&self, key: &FeedKey) -> Option<Duration> {
        let running = self.running.lock();
        let feed = running.feeds.get(key).filter(|_| !running.paused)?;
        let is_pending = feed.published.lock().state.freshness == Freshness::Pending;
        is_pending.then(|| feed.started.elapsed())
    }

    /// Returns for how long the first listing of a feed's application profiles has been under way, or `None` if none is.
    #[must_use]
    pub fn first_listing_of_applications(&self, key: &FeedKey) -> Option<Duration> {
        let running = self.running.lock();
        let feed = running.feeds.get(key).filter(|_| !running.paused)?;
        let published = feed.published.lock();
        let catalog = published.state.catalog.as_ref()?;
        let is_pending = *catalog.applications() == Applications::default();
        feed.asking
            .since()
            .filter(|_| is_pending && catalog.source().is_live())
            .map(|since| since.elapsed())
    }

    /// If the catalog of a feed comes from its first listing alone, requests a second one, and returns after how long that is due.
    /// What an earlier operator had from AWS and the first listing lacks may be there again. Returns `None` if the catalog is
    /// confirmed.
    #[must_use]
    pub fn confirm(&self, key: &FeedKey) -> Option<Duration> {
        let running = self.running.lock();
        let feed = running.feeds.get(key)?;
        let published = feed.published.lock();
        let (first, last) = (published.first_listed_at?, published.listed_at?);
        if last.saturating_duration_since(first) >= refresh::least(self.schedule.confirmation) {
            return None;
        }
        feed.confirmation_requested.notify_one();
        Some((first + self.schedule.confirmation).saturating_duration_since(Instant::now()))
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
    confirmation_requested: Arc<Notify>,
    asking: Arc<Asking>,
    applications: ApplicationsRefresh,
    refresh: RefreshState,
    /// When this task started.
    started: Instant,
    /// What to publish when the catalog is overdue.
    overdue: Option<FeedState>,
    /// The reason of the failure that was logged last, if listings fail.
    logged: Option<Reason>,
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
            self.confirmation_requested.notified().now_or_never();
            let asked = Instant::now();
            let version = self.source.version(&self.key);
            let delay = self.list(requested).await;
            requested = self.wait_until_due(asked, version, delay).await;
        }
    }

    /// Lists once and returns how long to wait before the next listing.
    async fn list(&mut self, requested: bool) -> Duration {
        let role = self.key.role.as_ref().map(RoleArn::as_str);
        let kind = self.source.kind().as_str();
        let span = traces::list(kind, self.key.region.as_str(), role);
        let answer = {
            let (source, key) = (Arc::clone(&self.source), self.key.clone());
            let listing = async move { source.list(&key).await };
            self.tell_while(listing.instrument(span.clone())).await
        };
        let (answer, applications) = self.list_applications(answer, &span).await;
        let failure = answer.as_ref().err().or(applications.error.as_ref());
        let reason = failure.map(CatalogError::reason);
        let result = reason.map_or("success", Reason::as_str);
        traces::ended(&span, result, reason.is_some());
        drop(span);
        self.metrics.listed(self.region_label, reason);
        self.log(failure, requested);
        let failure = answer.as_ref().err().map(CatalogError::reason);
        if answer.is_ok() {
            let mut published = self.published.lock();
            let now = Instant::now();
            published.listed_at = Some(now);
            published.first_listed_at.get_or_insert(now);
        }
        let before = self.published.lock().state.clone();
        let moment = Moment {
            now: Timestamp::now(),
            at: Instant::now(),
            age: self.age(),
            random: fastrand::f64(),
        };
        let kind = self.source.kind();
        let step = self
            .refresh
            .step(&before, answer, kind, self.schedule, moment);
        let delay = applications.delay(step.delay);
        if step.throttled || applications.throttled {
            self.throttled
                .lock()
                .record(&self.key, delay, Instant::now());
        }
        if step.newly_missing > 0 {
            let (region, role) = (
                &self.key.region,
                self.key.role.as_ref().map(RoleArn::as_str),
            );
            tracing::info!(%region, role, missing = step.newly_missing, "profiles or models are no longer listed; they count as gone if the next listing agrees");
        }
        if let (None, Some(after)) = (failure, &step.publish) {
            log_change(&self.key, &after.freshness);
        }
        self.publish(before, step.publish);
        self.overdue = step.overdue;
        delay
    }

    /// Lists the application profiles too, if bindings name any and the rest could be listed, and adds what is known of them.
    async fn list_applications(
        &mut self,
        answer: Result<Catalog, CatalogError>,
        span: &Span,
    ) -> (Result<Catalog, CatalogError>, ApplicationsListing) {
        let nothing = ApplicationsListing::default();
        if !self.asking.take() {
            self.applications = ApplicationsRefresh::default();
            return (answer, nothing);
        }
        let Ok(catalog) = answer else {
            return (answer, nothing);
        };
        let (source, key) = (Arc::clone(&self.source), self.key.clone());
        let Some(listing) = source.applications(&key, &catalog) else {
            return (Ok(catalog), nothing);
        };
        let listed = self.tell_while(listing.instrument(span.clone())).await;
        let error = listed.as_ref().err().cloned();
        let before = self.published.lock().state.catalog.clone();
        let before = before.filter(|before| before.account() == catalog.account());
        let before = before.map_or_else(Applications::default, |it| it.applications().clone());
        let (now, random) = (Instant::now(), fastrand::f64());
        let step = self
            .applications
            .step(&before, listed, self.schedule, now, random);
        let catalog = catalog.with_applications(step.applications);
        let listing = ApplicationsListing {
            error,
            retry: step.retry,
            throttled: step.throttled,
        };
        (Ok(catalog), listing)
    }

    /// Logs the first failure of its kind, and its end. A requested listing is always logged.
    fn log(&mut self, error: Option<&CatalogError>, requested: bool) {
        let (region, role) = (
            &self.key.region,
            self.key.role.as_ref().map(RoleArn::as_str),
        );
        let before = std::mem::replace(&mut self.logged, error.map(CatalogError::reason));
        match error {
            Some(error) if requested => {
                let reason = error.reason();
                tracing::warn!(%region, role, %reason, message = %error, "the requested listing failed");
            }
            Some(error) if self.logged != before => {
                let reason = error.reason();
                tracing::warn!(%region, role, %reason, message = %error, "listing fails; what is known stays in use, and it is tried again");
            }
            None if requested => tracing::info!(%region, role, "listed as requested"),
            None if before.is_some() => tracing::info!(%region, role, "listed again"),
            _ => {}
        }
    }

    /// Returns how long ago the source was last listed successfully, or else how long this task has been running.
    fn age(&self) -> Duration {
        let listed_at = self.published.lock().listed_at;
        listed_at.unwrap_or(self.started).elapsed()
    }

    /// Waits until the account is no longer throttled.
    async fn wait_for_account(&mut self) {
        loop {
            let pause = self
                .throttled
                .lock()
                .wait(&self.key, Instant::now(), fastrand::f64());
            let Some(pause) = pause else {
                return;
            };
            if self.overdue.is_none() {
                let before = self.published.lock().state.clone();
                let is_overdue = self.schedule.is_overdue(self.age());
                let (now, overdue) = refresh::while_throttled(&before, is_overdue);
                self.publish(before, now);
                self.overdue = overdue;
            }
            self.tell_while(sleep(pause)).await;
        }
    }

    /// Waits until the next listing is due, is requested, or would differ because the source's version changed. Returns
    /// whether it was requested.
    async fn wait_until_due(
        &mut self,
        asked: Instant,
        version: Option<u64>,
        delay: Duration,
    ) -> bool {
        let (source, key) = (Arc::clone(&self.source), self.key.clone());
        let differs = async move {
            if version.is_none() {
                pending::<()>().await;
            }
            while source.version(&key) == version {
                sleep(VERSION_CHECK_INTERVAL).await;
            }
        };
        let due = Instant::now() + delay;
        let requested = Arc::clone(&self.refresh_requested);
        let confirmation_requested = Arc::clone(&self.confirmation_requested);
        let confirmation = self.schedule.confirmation;
        let confirmed = async move {
            confirmation_requested.notified().await;
            sleep_until(asked + confirmation).await;
        };
        // A listing that is tried again soon answers those too.
        let begun = self.logged.is_none().then(|| Arc::clone(&self.asking));
        let earliest = self.applications.at_the_earliest(asked);
        let applications = async move {
            match begun {
                Some(asking) => asking.begun().await,
                None => pending().await,
            }
            sleep_until(due.min(earliest)).await;
        };
        self.tell_while(async move {
            tokio::select! {
                () = sleep_until(due) => false,
                () = applications => false,
                () = differs => false,
                () = confirmed => false,
                () = requested.notified() => {
                    sleep_until(due.min(asked + REQUESTED_REFRESH_PAUSE)).await;
                    true
                }
            }
        })
        .await
    }

    /// Waits, and publishes meanwhile that the catalog is overdue, when it is.
    async fn tell_while<T>(&mut self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        if self.overdue.is_some() {
            let left = self.schedule.overdue_after().saturating_sub(self.age());
            tokio::select! {
                biased;
                done = &mut wait => return done,
                () = sleep(left) => {
                    let before = self.published.lock().state.clone();
                    let overdue = self.overdue.take();
                    self.publish(before, overdue);
                }
            }
        }
        wait.await
    }

    /// Publishes a new state, if there is one, and announces the change.
    fn publish(&self, before: FeedState, now: Option<FeedState>) {
        let Some(after) = now else {
            return;
        };
        self.published.lock().state = after.clone();
        let key = self.key.clone();
        // If the receiver is gone, the task ends after its next wait.
        let _ = self.changed.send(FeedChange { key, before, after });
    }
}

/// What came of a listing of application profiles. The default: there was none.
#[derive(Default)]
struct ApplicationsListing {
    error: Option<CatalogError>,
    retry: Option<Duration>,
    throttled: bool,
}

impl ApplicationsListing {
    /// Returns how long to wait before listing again, where the rest would wait so long.
    fn delay(&self, rest: Duration) -> Duration {
        match self.retry {
            Some(retry) if self.throttled => retry,
            Some(retry) => retry.min(rest),
            None => rest,
        }
    }
}

/// Returns a region as a metrics label. Users name regions freely, so only those of the embedded data become labels.
#[must_use]
pub fn region_label(embedded: &'static Embedded, region: &Region) -> &'static str {
    embedded
        .source_regions()
        .find(|known| *known == region)
        .map_or("other", Region::as_str)
}

/// Logs what a listing changed.
fn log_change(key: &FeedKey, freshness: &Freshness) {
    let (region, role) = (&key.region, key.role.as_ref().map(RoleArn::as_str));
    if let Some((reason, message)) = freshness.failure() {
        tracing::warn!(%region, role, %reason, %message, "the catalog is too old");
    } else {
        tracing::info!(%region, role, "the catalog changed, or is fresh again");
    }
}

#[cfg(test)]
mod tests;
