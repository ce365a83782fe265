//! Application profiles: listed by a feed only while a binding names one, and after the rest. Their failures count apart: what else
//! was listed is in use.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::catalog::{
    ApplicationProfile, Applications, CatalogError, application::ApplicationsFailure,
};

use super::{
    REQUESTED_REFRESH_PAUSE, Schedule,
    refresh::{next_delay, retry_after},
};

/// Whether bindings of a feed name application profiles.
#[derive(Debug, Default)]
pub(super) struct Asking {
    since: Mutex<Option<Instant>>,
    /// Notified when they begin to.
    began: Notify,
}

impl Asking {
    /// Sets whether they do.
    pub fn set(&self, asked: bool) {
        let mut since = self.since.lock();
        match (*since, asked) {
            (None, true) => {
                *since = Some(Instant::now());
                self.began.notify_one();
            }
            (_, false) => *since = None,
            (Some(_), true) => {}
        }
    }

    /// Returns since when they do. `None` if they do not.
    pub fn since(&self) -> Option<Instant> {
        *self.since.lock()
    }

    /// Says whether they do, and takes note of it: the listing that begins now answers them.
    pub fn take(&self) -> bool {
        // A notification that nobody has waited for is used up.
        let _ = futures::FutureExt::now_or_never(self.began.notified());
        self.since().is_some()
    }

    /// Waits until they begin to, if no listing has answered them since.
    pub async fn begun(&self) {
        self.began.notified().await;
    }
}

/// What a feed remembers of its listings of application profiles.
#[derive(Debug, Default)]
pub(super) struct ApplicationsRefresh {
    /// Number of consecutive failures.
    failures: u32,
    /// When they were first asked for, or last listed.
    counted_from: Option<Instant>,
}

/// What a feed does after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What is known now.
    pub applications: Applications,
    /// How long to wait before listing again at the latest. `None` after a success.
    pub retry: Option<Duration>,
    /// Whether all feeds of the account wait that long.
    pub throttled: bool,
}

impl ApplicationsRefresh {
    /// Evaluates an answer. `before` is what was known; `random` is in 0..1.
    pub fn step(
        &mut self,
        before: &Applications,
        answer: Result<Vec<Arc<ApplicationProfile>>, CatalogError>,
        schedule: Schedule,
        now: Instant,
        random: f64,
    ) -> Step {
        let counted_from = *self.counted_from.get_or_insert(now);
        let error = match answer {
            Ok(profiles) => {
                *self = Self {
                    failures: 0,
                    counted_from: Some(now),
                };
                return Step {
                    applications: Applications::listed(profiles),
                    retry: None,
                    throttled: false,
                };
            }
            Err(error) => error,
        };
        self.failures = self.failures.saturating_add(1);
        let is_overdue = schedule.is_overdue(now.saturating_duration_since(counted_from));
        let retry = next_delay(
            self.failures,
            retry_after(&error),
            schedule.interval,
            random,
        );
        Step {
            // A short failure is worth telling only where nothing is known.
            applications: if before.profiles().is_some() && !is_overdue {
                before.clone()
            } else {
                before.clone().failed(ApplicationsFailure {
                    reason: error.reason(),
                    message: error.to_string().into(),
                    is_overdue,
                })
            },
            retry: Some(retry),
            throttled: matches!(error, CatalogError::Throttled { .. }),
        }
    }

    /// Returns when a binding that begins to ask has them listed: at once, unless the source was asked for them before.
    pub fn at_the_earliest(&self, asked: Instant) -> Instant {
        match self.counted_from {
            Some(_) => asked + REQUESTED_REFRESH_PAUSE,
            None => asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures::{FutureExt, future::BoxFuture};
    use tokio::{
        sync::mpsc::{UnboundedReceiver, unbounded_channel},
        time::sleep,
    };

    use super::{
        super::{
            FeedChange, Feeds,
            tests::{INTERVAL, SCHEDULE, catalog, key},
        },
        *,
    };
    use crate::{
        api::condition::Reason,
        catalog::{Catalog, FeedKey, FeedState, Freshness, Source, SourceKind, embedded::Embedded},
        metrics::Metrics,
    };

    fn profile() -> Arc<ApplicationProfile> {
        let arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/a1";
        Arc::new(ApplicationProfile {
            name: "shop-chat".into(),
            arn: arn.parse().expect("an ARN"),
            reach: Ok(Box::default()),
        })
    }

    #[test]
    fn a_failure_is_told_where_nothing_is_known_and_later_where_something_is() {
        let throttled = || {
            Err(CatalogError::Throttled {
                message: "slow down".into(),
                retry_after: Some(Duration::from_secs(30)),
            })
        };
        let nothing = Applications::default();
        let known = Applications::listed(vec![profile()]);
        let start = Instant::now();
        let late = start + SCHEDULE.grace;
        for (before, at, told) in [
            (&nothing, start, Some(false)),
            (&nothing, late, Some(true)),
            (&known, start, None),
            (&known, late, Some(true)),
        ] {
            let mut refresh = ApplicationsRefresh::default();
            refresh.step(before, throttled(), SCHEDULE, start, 0.5);
            let step = refresh.step(before, throttled(), SCHEDULE, at, 0.5);
            let failure = step.applications.failure();
            assert_eq!(failure.map(|failure| failure.is_overdue), told);
            assert!(failure.is_none_or(|failure| failure.reason == Reason::Throttled));
            assert_eq!(step.applications.profiles(), before.profiles(), "it stays");
            assert_eq!(step.retry, Some(Duration::from_secs(30)));
            assert!(step.throttled);
        }
    }

    #[test]
    fn retries_grow_and_a_success_ends_them() {
        let denied = || Err(CatalogError::AccessDenied("no".into()));
        let mut refresh = ApplicationsRefresh::default();
        let mut before = Applications::default();
        let start = Instant::now();
        for seconds in [1, 2, 4] {
            let step = refresh.step(&before, denied(), SCHEDULE, start, 0.5);
            assert_eq!(step.retry, Some(Duration::from_secs(seconds)));
            before = step.applications;
        }
        let step = refresh.step(&before, Ok(vec![profile()]), SCHEDULE, start, 0.5);
        assert_eq!(
            step,
            Step {
                applications: Applications::listed(vec![profile()]),
                retry: None,
                throttled: false
            }
        );
        let step = refresh.step(&step.applications, denied(), SCHEDULE, start, 0.5);
        assert_eq!(step.retry, Some(Duration::from_secs(1)));
    }

    type Answer = Result<Vec<Arc<ApplicationProfile>>, CatalogError>;

    /// Lists one system-defined profile, and the scripted application profiles in turn, the last ones for ever.
    struct Lists {
        answers: Mutex<VecDeque<Answer>>,
        rest: AtomicUsize,
        applications: AtomicUsize,
    }

    impl Source for Lists {
        fn kind(&self) -> SourceKind {
            SourceKind::Bedrock
        }

        fn list<'a>(&'a self, _: &'a FeedKey) -> BoxFuture<'a, Result<Catalog, CatalogError>> {
            self.rest.fetch_add(1, Ordering::SeqCst);
            async { Ok(catalog(SourceKind::Bedrock, &["eu"])) }.boxed()
        }

        fn applications<'a>(
            &'a self,
            _: &'a FeedKey,
            _: &'a Catalog,
        ) -> Option<BoxFuture<'a, Answer>> {
            self.applications.fetch_add(1, Ordering::SeqCst);
            let mut answers = self.answers.lock();
            let answer = if answers.len() > 1 {
                answers.pop_front()
            } else {
                answers.front().cloned()
            };
            Some(async move { answer.unwrap_or_else(|| Ok(Vec::new())) }.boxed())
        }
    }

    impl Lists {
        /// Returns how often the rest and application profiles were asked for.
        fn asked(&self) -> (usize, usize) {
            let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
            (of(&self.rest), of(&self.applications))
        }
    }

    fn feeds_of(
        answers: impl IntoIterator<Item = Answer>,
    ) -> (Arc<Lists>, Feeds, UnboundedReceiver<FeedChange>) {
        let source = Arc::new(Lists {
            answers: Mutex::new(answers.into_iter().collect()),
            rest: AtomicUsize::new(0),
            applications: AtomicUsize::new(0),
        });
        let (sender, receiver) = unbounded_channel();
        let of = Arc::<Lists>::clone(&source);
        let feeds = Feeds::new(of, SCHEDULE, sender, Metrics::new(), Embedded::load());
        (source, feeds, receiver)
    }

    /// Returns how many application profiles a feed has. `None` if they were never listed.
    fn listed(state: &FeedState) -> Option<usize> {
        let catalog = state.catalog.as_ref().expect("a catalog");
        catalog.applications().profiles().map(<[_]>::len)
    }

    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn they_are_listed_only_while_a_binding_asks() {
        let (source, feeds, mut changes) = feeds_of([Ok(vec![profile()])]);
        feeds.hold(&key());
        let first = changes.recv().await.expect("the first listing");
        assert_eq!(listed(&first.after), None);
        sleep(INTERVAL.mul_f64(1.2)).await;
        assert_eq!(source.asked(), (2, 0), "nobody asks");
        assert_eq!(feeds.first_listing_of_applications(&key()), None);

        feeds.ask_applications(&key(), true);
        assert_eq!(
            feeds.first_listing_of_applications(&key()),
            Some(Duration::ZERO)
        );
        let change = changes.recv().await.expect("they are listed at once");
        assert_eq!(
            (listed(&change.before), listed(&change.after)),
            (None, Some(1))
        );
        assert_eq!(source.asked(), (3, 1));
        assert_eq!(feeds.first_listing_of_applications(&key()), None);
        feeds.ask_applications(&key(), true);
        sleep(INTERVAL.mul_f64(1.2)).await;
        assert_eq!(source.asked(), (4, 2), "once each interval");

        feeds.ask_applications(&key(), false);
        sleep(INTERVAL.mul_f64(1.2)).await;
        assert_eq!(source.asked(), (5, 2));
        assert_eq!(listed(&feeds.state(&key())), None, "nothing is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_that_starts_for_a_binding_that_asks_lists_them_at_first() {
        let (source, feeds, mut changes) = feeds_of([Ok(vec![profile()])]);
        feeds.ask_applications(&key(), true);
        feeds.hold(&key());
        let first = changes.recv().await.expect("the first listing");
        assert_eq!(listed(&first.after), Some(1));
        sleep(INTERVAL / 2).await;
        assert_eq!(source.asked(), (1, 1));
        feeds.pause();
        feeds.resume();
        changes.recv().await.expect("another leader's term");
        assert_eq!(listed(&feeds.state(&key())), Some(1));
        assert_eq!(source.asked(), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_binding_that_comes_and_goes_does_not_ask_each_time() {
        let (source, feeds, mut changes) = feeds_of([Ok(vec![profile()])]);
        feeds.hold(&key());
        changes.recv().await.expect("the first listing");
        for _ in 0..50 {
            feeds.ask_applications(&key(), true);
            sleep(MOMENT).await;
            feeds.ask_applications(&key(), false);
            sleep(MOMENT).await;
        }
        sleep(REQUESTED_REFRESH_PAUSE * 2).await;
        let (_, applications) = source.asked();
        assert!(applications <= 2, "{applications}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_vanishes_counts_when_a_second_listing_agrees() {
        let with = || Ok(vec![profile()]);
        let (source, feeds, mut changes) = feeds_of([with(), Ok(vec![]), with(), Ok(vec![])]);
        feeds.ask_applications(&key(), true);
        feeds.hold(&key());
        changes.recv().await.expect("the first listing");
        // Gone once, and there again.
        sleep(INTERVAL.mul_f64(1.2) + SCHEDULE.confirmation.mul_f64(1.2)).await;
        assert_eq!(source.asked(), (3, 3));
        assert!(changes.try_recv().is_err(), "nothing is published");
        // Gone for good: a listing, and a second one within a minute.
        let gone = changes.recv().await.expect("a change");
        assert_eq!((listed(&gone.after), source.asked()), (Some(0), (5, 5)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_leaves_the_rest_as_it_is_and_is_tried_again() {
        let denied = || Err(CatalogError::AccessDenied("no".into()));
        let (source, feeds, mut changes) = feeds_of([denied(), denied(), Ok(vec![profile()])]);
        feeds.ask_applications(&key(), true);
        feeds.hold(&key());
        let first = changes.recv().await.expect("the first listing").after;
        assert_eq!(
            (&first.freshness, listed(&first)),
            (&Freshness::Fresh, None)
        );
        let catalog = first.catalog.expect("a catalog");
        assert_eq!(catalog.profiles().len(), 1, "the rest is in use");
        let failure = catalog.applications().failure().expect("a failure");
        assert_eq!(
            (failure.reason, &*failure.message),
            (Reason::AccessDenied, "no")
        );
        // The second failure says nothing new.
        let then = changes.recv().await.expect("they are listed").after;
        assert_eq!((listed(&then), source.asked()), (Some(1), (3, 3)));
        assert_eq!(
            then.catalog.expect("a catalog").applications().failure(),
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_failure_publishes_nothing_and_a_long_one_is_told() {
        let denied = || Err(CatalogError::AccessDenied("no".into()));
        let (_, feeds, mut changes) = feeds_of([Ok(vec![profile()]), denied()]);
        feeds.ask_applications(&key(), true);
        feeds.hold(&key());
        changes.recv().await.expect("the first listing");
        sleep(SCHEDULE.grace).await;
        assert!(changes.try_recv().is_err(), "within the grace");
        let told = changes.recv().await.expect("after it").after;
        assert_eq!(listed(&told), Some(1), "they stay");
        let catalog = told.catalog.expect("a catalog");
        assert!(
            catalog
                .applications()
                .failure()
                .is_some_and(|it| it.is_overdue)
        );
        sleep(INTERVAL * 3).await;
        assert!(changes.try_recv().is_err(), "told once");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_holds_up_every_feed_of_the_account() {
        let throttled = Err(CatalogError::Throttled {
            message: "slow down".into(),
            retry_after: Some(Duration::from_mins(2)),
        });
        let (source, feeds, mut changes) = feeds_of([throttled, Ok(vec![])]);
        feeds.ask_applications(&key(), true);
        feeds.hold(&key());
        changes.recv().await.expect("the first listing");
        sleep(Duration::from_secs(100)).await;
        let other = FeedKey {
            region: "eu-west-3".parse().expect("a region"),
            ..key()
        };
        feeds.hold(&other);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(source.asked(), (1, 1), "nothing is asked meanwhile");
        // Feeds resume one by one, over a minute after the wait.
        sleep(Duration::from_mins(3)).await;
        assert_eq!(source.asked(), (3, 2));
    }
}
