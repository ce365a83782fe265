//! Feeds: one per role and region, shared by all that need it, each keeping one catalog current.
//!
//! A feed asks its source again and again, alone: never two listings of one key at a time. What it publishes is
//! immutable, and it says so only when something differs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use tokio::{sync::mpsc::UnboundedSender, task::AbortHandle, time::Instant};

use crate::{metrics::Metrics, types::Region};

use super::{
    Catalog, CatalogError, FeedKey, FeedState, Freshness, Source, SourceKind, embedded::Embedded,
};

/// How long after a first failure, and before a doubtful answer is confirmed.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// No source makes a feed wait longer than this, or than its interval where that is longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Delays differ from what they should be by up to this share, so that many operators do not ask at the same time.
const JITTER: f64 = 0.1;

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
    interval: Duration,
    changed: UnboundedSender<FeedChange>,
    metrics: Metrics,
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
    /// Nothing where the data never changes, and while paused.
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
    /// Returns the feeds of a source, none of them running. Each asks about every `interval`. A [`FeedChange`] is
    /// sent to `changed` when a catalog or its freshness differs from before, the first answer included.
    #[must_use]
    pub fn new(
        source: Arc<dyn Source>,
        interval: Duration,
        changed: UnboundedSender<FeedChange>,
        metrics: Metrics,
    ) -> Self {
        Self {
            source,
            interval,
            changed,
            metrics,
            running: Mutex::default(),
        }
    }

    /// Stops asking the source. What is known stays, and feeds are held and let go as before.
    pub fn pause(&self) {
        let mut running = lock(&self.running);
        running.paused = true;
        for feed in running.feeds.values_mut() {
            feed.stop();
        }
    }

    /// Asks the source again, for every feed at once. The opposite of [`Feeds::pause`]; without one it does nothing.
    pub fn resume(&self) {
        let mut running = lock(&self.running);
        if std::mem::take(&mut running.paused) {
            for (key, feed) in &mut running.feeds {
                feed.task = self.start(key, &feed.shown, Progress::default(), None);
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
        let mut running = lock(&self.running);
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
        let mut state = pending();
        let first_delay = answer.map(|answer| {
            let step = progress.step(&state, answer, kind, self.interval, fastrand::f64());
            if let Some(first) = step.publish {
                state = first;
            }
            step.delay
        });
        let shown = Arc::new(Mutex::new(Shown {
            state,
            listed: None,
        }));
        let task = if running.paused {
            None
        } else {
            self.start(key, &shown, progress, first_delay)
        };
        let feed = Feed {
            holders: 1,
            shown,
            task,
        };
        running.feeds.insert(key.clone(), feed);
    }

    /// Starts the task of a feed; embedded data need none.
    fn start(
        &self,
        key: &FeedKey,
        shown: &Arc<Mutex<Shown>>,
        progress: Progress,
        first_delay: Option<Duration>,
    ) -> Option<AbortHandle> {
        (self.source.kind() != SourceKind::Embedded).then(|| {
            let poll = Poll {
                source: Arc::clone(&self.source),
                key: key.clone(),
                interval: self.interval,
                changed: self.changed.clone(),
                metrics: self.metrics.clone(),
                shown: Arc::clone(shown),
                progress,
            };
            tokio::spawn(poll.run(first_delay)).abort_handle()
        })
    }

    /// Gives back one [`Feeds::hold`]; the last one ends the feed and forgets its catalog.
    pub fn release(&self, key: &FeedKey) {
        let mut running = lock(&self.running);
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
        lock(&self.running)
            .feeds
            .get(key)
            .map_or_else(pending, |feed| lock(&feed.shown).state.clone())
    }

    /// Says whether every feed that runs has a catalog, or is known to fail.
    #[must_use]
    pub fn answered(&self) -> bool {
        let running = lock(&self.running);
        running.paused
            || running.feeds.values().all(|feed| {
                let shown = lock(&feed.shown);
                shown.state.freshness != Freshness::Pending
            })
    }

    /// Returns how long ago each region was listed, by the feed that waits longest; regions that the embedded data don't
    /// know are told as one, `other`.
    #[must_use]
    pub fn ages(&self) -> BTreeMap<&'static str, Duration> {
        let mut ages: BTreeMap<&'static str, Duration> = BTreeMap::new();
        for (key, feed) in &lock(&self.running).feeds {
            if let Some(listed) = lock(&feed.shown).listed {
                let age = ages.entry(region_label(&key.region)).or_default();
                *age = listed.elapsed().max(*age);
            }
        }
        ages
    }

    /// Returns how many feeds there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.running).feeds.len()
    }

    /// Says whether there are no feeds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn pending() -> FeedState {
    FeedState {
        catalog: None,
        freshness: Freshness::Pending,
    }
}

/// Locks; what is behind these locks is replaced whole, so that a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The task of a feed.
struct Poll {
    source: Arc<dyn Source>,
    key: FeedKey,
    interval: Duration,
    changed: UnboundedSender<FeedChange>,
    metrics: Metrics,
    shown: Arc<Mutex<Shown>>,
    progress: Progress,
}

impl Poll {
    async fn run(mut self, first_delay: Option<Duration>) {
        if let Some(delay) = first_delay {
            tokio::time::sleep(delay).await;
        }
        loop {
            let answer = self.source.list(&self.key).await;
            self.metrics.listed(
                region_label(&self.key.region),
                answer.as_ref().err().map(CatalogError::reason),
            );
            let before = {
                let mut shown = lock(&self.shown);
                if answer.is_ok() {
                    shown.listed = Some(Instant::now());
                }
                shown.state.clone()
            };
            let step = self.progress.step(
                &before,
                answer,
                self.source.kind(),
                self.interval,
                fastrand::f64(),
            );
            if let Some(now) = step.publish {
                log(&self.key, &now.freshness);
                lock(&self.shown).state = now.clone();
                let change = FeedChange {
                    key: self.key.clone(),
                    before,
                    after: now,
                };
                if self.changed.send(change).is_err() {
                    return;
                }
            }
            tokio::time::sleep(step.delay).await;
        }
    }
}

/// Returns a region as a label of metrics: specs name regions, so only those of the embedded data stand for themselves.
fn region_label(region: &Region) -> &'static str {
    Embedded::load()
        .source_regions()
        .find(|known| *known == region)
        .map_or("other", Region::as_str)
}

fn log(key: &FeedKey, freshness: &Freshness) {
    let (region, role) = (&key.region, key.role.as_deref());
    if let Freshness::Failed { reason, message } = freshness {
        tracing::warn!(%region, role, %reason, %message, "the catalog can't be refreshed");
    } else {
        tracing::info!(%region, role, "the catalog changed or is fresh again");
    }
}

/// What a feed remembers between two answers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Failed answers in a row.
    failures: u32,
    /// Whether the last answer was empty and waits for a second one that says the same.
    doubted: bool,
}

/// What follows from an answer.
#[derive(Debug)]
struct Step {
    /// What everybody sees from now on, where it differs.
    publish: Option<FeedState>,
    /// When to ask again.
    delay: Duration,
}

impl Progress {
    /// Takes in an answer. `random` is in 0..1.
    fn step(
        &mut self,
        before: &FeedState,
        answer: Result<Catalog, CatalogError>,
        kind: SourceKind,
        interval: Duration,
        random: f64,
    ) -> Step {
        if !self.doubted && is_doubtful(before, &answer) {
            self.doubted = true;
            return Step {
                publish: None,
                delay: jittered(FIRST_RETRY.min(interval), random),
            };
        }
        // A failure neither confirms nor refutes an empty answer: the next one is doubted anew.
        self.doubted = false;
        self.failures = match &answer {
            Ok(_) => 0,
            Err(_) => self.failures.saturating_add(1),
        };
        let delay = next_delay(self.failures, retry_after(&answer), interval, random);
        Step {
            publish: publication(before, answer, kind),
            delay,
        }
    }
}

/// Says whether an answer is to be confirmed by a second one: nothing, where there was something before.
fn is_doubtful(before: &FeedState, answer: &Result<Catalog, CatalogError>) -> bool {
    let had_some = before
        .catalog
        .as_ref()
        .is_some_and(|catalog| !catalog.profiles().is_empty());
    had_some
        && answer
            .as_ref()
            .is_ok_and(|catalog| catalog.profiles().is_empty())
}

/// Returns what an answer changes for those who look; nothing where all stays as it was. A failure keeps the catalog,
/// an equal catalog stays the same allocation.
fn publication(
    before: &FeedState,
    answer: Result<Catalog, CatalogError>,
    kind: SourceKind,
) -> Option<FeedState> {
    let (catalog, freshness) = match answer {
        Ok(catalog) => {
            let same = before.catalog.as_ref().filter(|old| ***old == catalog);
            let catalog = same.map_or_else(|| Arc::new(catalog), Arc::clone);
            let freshness = if kind.is_live() {
                Freshness::Fresh
            } else {
                Freshness::Snapshot
            };
            (Some(catalog), freshness)
        }
        Err(error) => {
            let freshness = Freshness::Failed {
                reason: error.reason(),
                message: error.to_string().into(),
            };
            (before.catalog.clone(), freshness)
        }
    };
    let same_catalog = match (&before.catalog, &catalog) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (None, None) => true,
        _ => false,
    };
    (!same_catalog || before.freshness != freshness).then_some(FeedState { catalog, freshness })
}

fn retry_after(answer: &Result<Catalog, CatalogError>) -> Option<Duration> {
    match answer {
        Err(CatalogError::Throttled { retry_after, .. }) => *retry_after,
        _ => None,
    }
}

/// Returns how long to wait before asking again: the interval after a success, else one second that doubles with each
/// failure up to the interval, jittered; not less than what the source asks for, within reason.
fn next_delay(
    failures: u32,
    retry_after: Option<Duration>,
    interval: Duration,
    random: f64,
) -> Duration {
    let delay = match failures {
        0 => interval,
        n => FIRST_RETRY
            .saturating_mul(2_u32.saturating_pow(n - 1))
            .min(interval),
    };
    let least = retry_after
        .unwrap_or_default()
        .min(LONGEST_RETRY_AFTER.max(interval));
    jittered(delay, random).max(least)
}

/// Returns the duration, made longer or shorter by up to a tenth. `random` is in 0..1.
fn jittered(duration: Duration, random: f64) -> Duration {
    duration.mul_f64(1.0 + JITTER * (2.0 * random - 1.0))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::future::BoxFuture;
    use tokio::{
        sync::mpsc::{UnboundedReceiver, unbounded_channel},
        time::Instant,
    };

    use super::*;
    use crate::{
        api::condition::Reason,
        catalog::{Destinations, Profile},
    };

    type Answer = Result<Catalog, CatalogError>;

    const INTERVAL: Duration = Duration::from_mins(15);

    fn key() -> FeedKey {
        FeedKey {
            role: None,
            region: "eu-west-1".parse().expect("region"),
        }
    }

    fn catalog(kind: SourceKind, geographies: &[&str]) -> Catalog {
        let profiles = geographies
            .iter()
            .map(|geography| {
                Arc::new(Profile {
                    id: format!("{geography}.a.b").parse().expect("id"),
                    name: "A name".into(),
                    model: "a.b".parse().expect("model"),
                    geography: geography.parse().expect("geography"),
                    destinations: Destinations::Anywhere,
                })
            })
            .collect();
        Catalog::new(kind, key().region, None, None, profiles)
    }

    #[allow(clippy::unnecessary_wraps, reason = "it stands beside failures")]
    fn live(geographies: &[&str]) -> Answer {
        Ok(catalog(SourceKind::Bedrock, geographies))
    }

    fn denied() -> Answer {
        Err(CatalogError::AccessDenied("no".into()))
    }

    fn fresh(geographies: &[&str]) -> FeedState {
        FeedState {
            catalog: Some(Arc::new(catalog(SourceKind::Bedrock, geographies))),
            freshness: Freshness::Fresh,
        }
    }

    fn failed(catalog: Option<Arc<Catalog>>) -> FeedState {
        FeedState {
            catalog,
            freshness: Freshness::Failed {
                reason: Reason::AccessDenied,
                message: "no".into(),
            },
        }
    }

    #[test]
    fn delays() {
        let secs = Duration::from_secs;
        for (failures, retry_after, interval, delay) in [
            (0, None, INTERVAL, INTERVAL),
            (1, None, INTERVAL, secs(1)),
            (2, None, INTERVAL, secs(2)),
            (5, None, INTERVAL, secs(16)),
            (11, None, INTERVAL, INTERVAL),
            (u32::MAX, None, INTERVAL, INTERVAL),
            (3, None, secs(2), secs(2)),
            (1, Some(secs(30)), INTERVAL, secs(30)),
            (6, Some(secs(2)), INTERVAL, secs(32)),
            (1, Some(secs(1_000_000)), INTERVAL, secs(3600)),
            (1, Some(secs(1_000_000)), secs(7200), secs(7200)),
        ] {
            assert_eq!(
                next_delay(failures, retry_after, interval, 0.5),
                delay,
                "{failures} {retry_after:?} {interval:?}"
            );
        }
        assert_eq!(jittered(secs(100), 0.0), secs(90));
        assert_eq!(jittered(secs(100), 1.0), secs(110));
        assert!(next_delay(1, Some(secs(30)), INTERVAL, 0.0) >= secs(30));
    }

    #[test]
    fn what_is_published() {
        let cases = [
            (
                "first answer",
                pending(),
                live(&["eu"]),
                Some((true, Freshness::Fresh)),
            ),
            (
                "first answer, empty",
                pending(),
                live(&[]),
                Some((true, Freshness::Fresh)),
            ),
            (
                "first failure",
                pending(),
                denied(),
                Some((false, failed(None).freshness)),
            ),
            ("same again", fresh(&["eu"]), live(&["eu"]), None),
            (
                "more",
                fresh(&["eu"]),
                live(&["eu", "us"]),
                Some((true, Freshness::Fresh)),
            ),
            (
                "failure keeps the catalog",
                fresh(&["eu"]),
                denied(),
                Some((true, failed(None).freshness)),
            ),
            (
                "same failure again",
                failed(fresh(&["eu"]).catalog),
                denied(),
                None,
            ),
            (
                "same catalog after a failure",
                failed(fresh(&["eu"]).catalog),
                live(&["eu"]),
                Some((true, Freshness::Fresh)),
            ),
        ];
        for (name, before, answer, expected) in cases {
            let expected_catalog = answer.as_ref().ok().cloned();
            let published = publication(&before, answer, SourceKind::Bedrock);
            assert_eq!(
                published
                    .as_ref()
                    .map(|state| (state.catalog.is_some(), state.freshness.clone())),
                expected,
                "{name}"
            );
            if let (Some(published), Some(expected)) = (published, expected_catalog) {
                assert_eq!(published.catalog.as_deref(), Some(&expected), "{name}");
            }
        }
        let before = fresh(&["eu"]);
        let after = publication(&before, denied(), SourceKind::Bedrock).expect("published");
        assert!(Arc::ptr_eq(
            before.catalog.as_ref().expect("before"),
            after.catalog.as_ref().expect("after")
        ));
        assert_eq!(
            publication(&pending(), live(&[]), SourceKind::Directory)
                .expect("published")
                .freshness,
            Freshness::Snapshot
        );
    }

    #[test]
    fn an_empty_answer_is_believed_only_twice_in_a_row() {
        let before = fresh(&["eu"]);
        let mut progress = Progress::default();
        let mut answer = |answer| {
            let step = progress.step(&before, answer, SourceKind::Bedrock, INTERVAL, 0.5);
            (
                step.publish
                    .map(|state| state.catalog.expect("catalog").profiles().len()),
                step.delay,
            )
        };
        let soon = Duration::from_secs(1);
        assert_eq!(answer(live(&[])), (None, soon));
        assert_eq!(answer(live(&["eu"])), (None, INTERVAL));
        assert_eq!(answer(live(&[])), (None, soon));
        assert_eq!(answer(denied()), (Some(1), soon));
        assert_eq!(answer(live(&[])), (None, soon));
        assert_eq!(answer(live(&[])), (Some(0), INTERVAL));
    }

    /// Answers in turn, then the last one for ever, and notes when it was asked.
    struct Fake {
        kind: SourceKind,
        answers: Mutex<VecDeque<Answer>>,
        latency: Duration,
        asked: Mutex<Vec<Instant>>,
        listings: Mutex<usize>,
    }

    impl Fake {
        fn new(kind: SourceKind, answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
            Arc::new(Self {
                kind,
                answers: Mutex::new(answers.into_iter().collect()),
                latency: Duration::ZERO,
                asked: Mutex::default(),
                listings: Mutex::default(),
            })
        }

        fn asked(&self) -> usize {
            lock(&self.asked).len()
        }
    }

    impl Source for Fake {
        fn kind(&self) -> SourceKind {
            self.kind
        }

        fn list<'a>(&'a self, _: &'a FeedKey) -> BoxFuture<'a, Answer> {
            async move {
                *lock(&self.listings) += 1;
                assert_eq!(*lock(&self.listings), 1, "two listings at a time");
                lock(&self.asked).push(Instant::now());
                if !self.latency.is_zero() {
                    tokio::time::sleep(self.latency).await;
                }
                *lock(&self.listings) -= 1;
                lock(&self.answers)
                    .pop_front()
                    .unwrap_or_else(|| Err(CatalogError::ServiceError("nothing left".into())))
            }
            .boxed()
        }
    }

    fn feeds_of(source: &Arc<Fake>) -> (Feeds, UnboundedReceiver<FeedChange>) {
        let (sender, receiver) = unbounded_channel();
        let source: Arc<dyn Source> = Arc::<Fake>::clone(source);
        (
            Feeds::new(source, INTERVAL, sender, Metrics::new()),
            receiver,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn paused_feeds_ask_nothing_and_keep_what_they_know() {
        let source = Fake::new(
            SourceKind::Bedrock,
            [live(&["eu"]), live(&["eu", "global"])],
        );
        let (feeds, mut changes) = feeds_of(&source);
        feeds.pause();
        feeds.hold(&key());
        assert!(feeds.answered(), "nothing is waited for");
        tokio::time::sleep(INTERVAL * 3).await;
        assert_eq!(source.asked(), 0);
        feeds.resume();
        assert!(!feeds.answered());
        changes.recv().await.expect("the first listing");
        assert!(feeds.answered());
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(feeds.ages(), [("eu-west-1", Duration::from_mins(1))].into());
        feeds.pause();
        tokio::time::sleep(INTERVAL * 3).await;
        assert_eq!(source.asked(), 1);
        assert_eq!(feeds.state(&key()).freshness, Freshness::Fresh);
        feeds.resume();
        changes.recv().await.expect("another listing, at once");
        assert_eq!(source.asked(), 2);
    }

    #[test]
    fn regions_of_specs_make_no_labels() {
        assert_eq!(region_label(&key().region), "eu-west-1");
        let made_up = "xx-made-up-1".parse().expect("a region by its form");
        assert_eq!(region_label(&made_up), "other");
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_for_all_holders_and_none_after_the_last() {
        let source = Fake::new(SourceKind::Bedrock, (0..10).map(|_| live(&["eu"])));
        let (feeds, mut changes) = feeds_of(&source);
        for _ in 0..5 {
            feeds.hold(&key());
        }
        assert_eq!(feeds.state(&key()).freshness, Freshness::Pending);
        assert_eq!(changes.recv().await.expect("a change").key, key());
        assert_eq!(feeds.state(&key()).freshness, Freshness::Fresh);
        tokio::time::sleep(INTERVAL.mul_f64(1.2)).await;
        assert_eq!(source.asked(), 2);
        assert!(
            changes.try_recv().is_err(),
            "nothing changed, nothing is sent"
        );
        for _ in 0..4 {
            feeds.release(&key());
        }
        assert_eq!(feeds.state(&key()).freshness, Freshness::Fresh);
        feeds.release(&key());
        assert!(feeds.is_empty());
        assert!(feeds.state(&key()).catalog.is_none());
        tokio::time::sleep(INTERVAL * 5).await;
        assert_eq!(source.asked(), 2);
        feeds.release(&key());
        feeds.hold(&key());
        assert_eq!(changes.recv().await.expect("a change").key, key());
        assert_eq!(source.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_retried_soon_and_keep_the_catalog() {
        let throttled = || {
            Err(CatalogError::Throttled {
                message: "slow down".into(),
                retry_after: Some(Duration::from_mins(1)),
            })
        };
        let source = Fake::new(
            SourceKind::Bedrock,
            [
                denied(),
                denied(),
                live(&["eu"]),
                throttled(),
                throttled(),
                live(&["eu", "us"]),
            ],
        );
        let (feeds, mut changes) = feeds_of(&source);
        feeds.hold(&key());
        changes.recv().await.expect("denied");
        assert!(matches!(
            feeds.state(&key()).freshness,
            Freshness::Failed { .. }
        ));
        changes
            .recv()
            .await
            .expect("fresh, the second denial unsaid");
        assert_eq!(source.asked(), 3);
        changes.recv().await.expect("throttled");
        let state = feeds.state(&key());
        assert!(matches!(
            state.freshness,
            Freshness::Failed {
                reason: Reason::Throttled,
                ..
            }
        ));
        assert_eq!(state.catalog.expect("kept").profiles().len(), 1);
        changes.recv().await.expect("fresh");
        assert_eq!(
            feeds
                .state(&key())
                .catalog
                .expect("catalog")
                .profiles()
                .len(),
            2
        );
        let asked = lock(&source.asked).clone();
        let waits: Vec<f64> = asked
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
            .collect();
        for (wait, expected) in waits.iter().zip([1.0, 2.0, 900.0, 60.0, 60.0]) {
            assert!(
                (expected * 0.9..=expected * 1.1 + 0.01).contains(wait),
                "{waits:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_listing_is_never_doubled() {
        let source = Arc::new(Fake {
            latency: INTERVAL * 3,
            ..Arc::into_inner(Fake::new(
                SourceKind::Bedrock,
                [live(&["eu"]), live(&["us"])],
            ))
            .expect("only one")
        });
        let (feeds, mut changes) = feeds_of(&source);
        feeds.hold(&key());
        feeds.hold(&key());
        changes.recv().await.expect("first");
        changes.recv().await.expect("second");
        assert_eq!(source.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_listing_is_confirmed() {
        let source = Fake::new(
            SourceKind::Bedrock,
            [
                live(&["eu"]),
                live(&[]),
                live(&["eu"]),
                live(&[]),
                live(&[]),
            ],
        );
        let (feeds, mut changes) = feeds_of(&source);
        feeds.hold(&key());
        changes.recv().await.expect("first");
        changes.recv().await.expect("empty");
        assert_eq!(source.asked(), 5);
        assert!(
            feeds
                .state(&key())
                .catalog
                .expect("catalog")
                .profiles()
                .is_empty()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn embedded_data_is_there_at_once_and_for_good() {
        let source = Fake::new(
            SourceKind::Embedded,
            [Ok(catalog(SourceKind::Embedded, &["eu"]))],
        );
        let (feeds, mut changes) = feeds_of(&source);
        feeds.hold(&key());
        assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
        assert!(feeds.state(&key()).catalog.is_some());
        tokio::time::sleep(INTERVAL * 3).await;
        assert_eq!(source.asked(), 1);
        assert!(changes.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn files_are_there_at_once_and_polled() {
        let files = |geographies: &[&str]| Ok(catalog(SourceKind::Directory, geographies));
        let source = Fake::new(
            SourceKind::Directory,
            [
                files(&["eu"]),
                Err(CatalogError::SnapshotInvalid("half written".into())),
                files(&["eu", "us"]),
            ],
        );
        let (feeds, mut changes) = feeds_of(&source);
        feeds.hold(&key());
        assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
        assert!(
            changes.try_recv().is_err(),
            "the first read is not announced"
        );
        changes.recv().await.expect("half written");
        assert!(feeds.state(&key()).catalog.is_some());
        changes.recv().await.expect("whole again");
        assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
        assert_eq!(
            feeds
                .state(&key())
                .catalog
                .expect("catalog")
                .profiles()
                .len(),
            2
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_can_not_be_read_is_said_at_once_and_tried_again() {
        let source = Fake::new(
            SourceKind::Directory,
            [
                Err(CatalogError::SnapshotInvalid("no file".into())),
                Ok(catalog(SourceKind::Directory, &["eu"])),
            ],
        );
        let (feeds, mut changes) = feeds_of(&source);
        feeds.hold(&key());
        assert!(matches!(
            feeds.state(&key()).freshness,
            Freshness::Failed { .. }
        ));
        changes.recv().await.expect("a file");
        assert_eq!(feeds.state(&key()).freshness, Freshness::Snapshot);
        let asked = lock(&source.asked).clone();
        assert!(asked[1] - asked[0] < Duration::from_secs(2), "{asked:?}");
    }
}
