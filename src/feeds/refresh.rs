//! What follows from a source's answer: what the feed publishes, and when it lists again. Pure.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    api::condition::Reason,
    catalog::{Catalog, CatalogError, FeedState, Freshness, SourceKind},
    pause,
};

use super::{Schedule, staleness};

/// Pause after a first failure, and before a doubtful answer is checked by a second listing.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest wait that a source can ask for, unless the feed's interval is longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// By which share of itself a delay may be shorter or longer, so that many operators do not list at the same time.
const JITTER: f64 = 0.1;

/// What a feed remembers between two answers of its source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RefreshState {
    /// Number of consecutive failures.
    failures: u32,
    /// Whether the last answer was empty and needs to be confirmed by a second one.
    doubtful: bool,
}

/// What a feed does after an answer.
#[derive(Debug)]
pub(super) struct Step {
    /// What to publish; `None` if nothing changes.
    pub publish: Option<FeedState>,
    /// How long to wait before listing again.
    pub delay: Duration,
    /// Whether all feeds of the account wait that long.
    pub throttled: bool,
}

impl RefreshState {
    /// Evaluates an answer. `random` is in 0..1.
    pub fn step(
        &mut self,
        before: &FeedState,
        answer: Result<Catalog, CatalogError>,
        kind: SourceKind,
        schedule: Schedule,
        now: Timestamp,
        random: f64,
    ) -> Step {
        let interval = schedule.interval;
        if !self.doubtful && is_doubtful(before, &answer) {
            self.doubtful = true;
            return Step {
                publish: None,
                delay: pause::jittered(FIRST_RETRY.min(interval), JITTER, random),
                throttled: false,
            };
        }
        // A failure neither confirms nor refutes an empty answer: the next empty one has to be confirmed again.
        self.doubtful = false;
        self.failures = match &answer {
            Ok(_) => 0,
            Err(_) => self.failures.saturating_add(1),
        };
        let wait = retry_after(&answer);
        let is_withheld = self.failures == 1
            && before.catalog.is_some()
            && !is_overdue(wait.unwrap_or_default(), interval);
        Step {
            delay: next_delay(self.failures, wait, interval, random),
            throttled: matches!(answer, Err(CatalogError::Throttled { .. })),
            publish: publication(before, answer, kind, schedule.max_age, now)
                .filter(|_| !is_withheld),
        }
    }
}

/// Returns whether a catalog is overdue if it cannot be listed for as long as `wait`. If it is not, a single failure is not
/// worth two writes to every status: it is published only if the next listing fails too.
fn is_overdue(wait: Duration, interval: Duration) -> bool {
    wait > interval
}

/// Returns what a feed publishes while its account is throttled, or `None` if nothing changes. A feed without a catalog says
/// why it has none, and a feed whose catalog is overdue no longer claims to be fresh.
pub(super) fn while_throttled(
    before: &FeedState,
    wait: Duration,
    interval: Duration,
) -> Option<FeedState> {
    let failing = matches!(before.freshness, Freshness::Failed { .. });
    let differs = !failing && (before.catalog.is_none() || is_overdue(wait, interval));
    differs.then(|| FeedState {
        catalog: before.catalog.clone(),
        freshness: Freshness::Failed {
            reason: Reason::Throttled,
            message: "Bedrock limits the rate of requests of this account; the operator tries again by itself"
                .into(),
        },
    })
}

/// Returns whether an answer has to be confirmed by a second one: it is empty, and the catalog was not empty before.
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

/// Returns what to publish after an answer, or `None` if nothing changes. A failure keeps the catalog; an equal catalog
/// stays the same allocation.
fn publication(
    before: &FeedState,
    answer: Result<Catalog, CatalogError>,
    kind: SourceKind,
    max_age: Duration,
    now: Timestamp,
) -> Option<FeedState> {
    let (catalog, freshness) = match answer {
        Ok(catalog) => {
            let same = before.catalog.as_ref().filter(|old| ***old == catalog);
            let catalog = same.map_or_else(|| Arc::new(catalog), Arc::clone);
            let freshness = if kind.is_live() {
                Freshness::Fresh
            } else {
                staleness::freshness(&catalog, max_age, now)
            };
            (Some(catalog), freshness)
        }
        Err(error) => (before.catalog.clone(), Freshness::failed(&error)),
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

/// Returns how long to wait before listing again: the interval after a success; after a failure one second, doubled with
/// each further failure up to the interval. Both are jittered. The wait is never shorter than what the source asks for, up to
/// [`LONGEST_RETRY_AFTER`].
fn next_delay(
    failures: u32,
    retry_after: Option<Duration>,
    interval: Duration,
    random: f64,
) -> Duration {
    let delay = match failures {
        0 => interval,
        n => pause::doubled(FIRST_RETRY, n - 1, interval),
    };
    let least = retry_after
        .unwrap_or_default()
        .min(LONGEST_RETRY_AFTER.max(interval));
    pause::jittered(delay, JITTER, random).max(least)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{Answer, INTERVAL, SCHEDULE, catalog, denied, key, live},
        *,
    };

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
        assert_eq!(next_delay(0, None, secs(100), 0.0), secs(90));
        assert_eq!(next_delay(0, None, secs(100), 1.0), secs(110));
        assert!(next_delay(1, Some(secs(30)), INTERVAL, 0.0) >= secs(30));
    }

    #[test]
    fn what_is_published() {
        let cases = [
            (
                "first answer",
                FeedState::pending(),
                live(&["eu"]),
                Some((true, Freshness::Fresh)),
            ),
            (
                "first answer, empty",
                FeedState::pending(),
                live(&[]),
                Some((true, Freshness::Fresh)),
            ),
            (
                "first failure",
                FeedState::pending(),
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
            let published = publish(&before, answer, SourceKind::Bedrock);
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
        let after = publish(&before, denied(), SourceKind::Bedrock).expect("published");
        assert!(Arc::ptr_eq(
            before.catalog.as_ref().expect("before"),
            after.catalog.as_ref().expect("after")
        ));
        assert_eq!(
            publish(&FeedState::pending(), live(&[]), SourceKind::Directory)
                .expect("published")
                .freshness,
            Freshness::Snapshot
        );
    }

    fn now() -> Timestamp {
        "2026-11-01T00:00:00Z".parse().expect("a time")
    }

    fn publish(before: &FeedState, answer: Answer, kind: SourceKind) -> Option<FeedState> {
        publication(before, answer, kind, SCHEDULE.max_age, now())
    }

    /// Evaluates an answer of a live source, without jitter.
    fn step(refresh: &mut RefreshState, before: &FeedState, answer: Answer) -> Step {
        refresh.step(before, answer, SourceKind::Bedrock, SCHEDULE, now(), 0.5)
    }

    fn throttled(retry_after: Option<Duration>) -> Answer {
        Err(CatalogError::Throttled {
            message: "slow down".into(),
            retry_after,
        })
    }

    #[test]
    fn an_empty_answer_is_believed_only_twice_in_a_row() {
        let before = fresh(&["eu"]);
        let mut refresh = RefreshState::default();
        let mut answer = |answer| {
            let step = step(&mut refresh, &before, answer);
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
        assert_eq!(answer(denied()), (None, soon), "a first failure");
        assert_eq!(answer(live(&[])), (None, soon));
        assert_eq!(answer(live(&[])), (Some(0), INTERVAL));
    }

    #[test]
    fn a_single_failure_is_not_shown_where_there_is_a_catalog() {
        let hours = |hours| Some(Duration::from_hours(hours));
        let shown = |before: &FeedState, answers: Vec<Answer>| -> Vec<bool> {
            let mut refresh = RefreshState::default();
            let answers = answers.into_iter();
            answers
                .map(|answer| step(&mut refresh, before, answer).publish.is_some())
                .collect()
        };
        let good = fresh(&["eu"]);
        for (name, before, answers, expected) in [
            (
                "the first listing",
                &FeedState::pending(),
                vec![denied()],
                vec![true],
            ),
            (
                "twice in a row",
                &good,
                vec![denied(), denied()],
                vec![false, true],
            ),
            (
                "with an answer between",
                &good,
                vec![denied(), live(&["eu"]), denied()],
                vec![false, false, false],
            ),
            (
                "asked again within the interval",
                &good,
                vec![throttled(Some(INTERVAL))],
                vec![false],
            ),
            (
                "asked again later",
                &good,
                vec![throttled(hours(1))],
                vec![true],
            ),
        ] {
            assert_eq!(shown(before, answers), expected, "{name}");
        }
    }

    #[test]
    fn only_throttling_concerns_the_account() {
        let answers = [
            (throttled(None), true),
            (throttled(Some(INTERVAL)), true),
            (denied(), false),
            (live(&["eu"]), false),
        ];
        for (answer, expected) in answers {
            let step = step(&mut RefreshState::default(), &fresh(&["eu"]), answer);
            assert_eq!(step.throttled, expected);
        }
    }

    #[test]
    fn what_is_shown_while_the_account_pauses() {
        let good = fresh(&["eu"]);
        let longer = INTERVAL + Duration::from_secs(1);
        for (name, before, wait, shown) in [
            (
                "a first listing",
                &FeedState::pending(),
                Duration::from_secs(1),
                true,
            ),
            ("a good catalog", &good, INTERVAL, false),
            ("a good catalog that is late", &good, longer, true),
            ("another failure", &failed(None), longer, false),
        ] {
            let state = while_throttled(before, wait, INTERVAL);
            assert_eq!(state.is_some(), shown, "{name}");
            if let Some(state) = state {
                assert_eq!(state.catalog.is_some(), before.catalog.is_some(), "{name}");
            }
        }
    }

    #[test]
    fn a_snapshot_that_grows_old_is_shown_once() {
        let dated = || {
            let files = catalog(SourceKind::Directory, &["eu"]);
            let profiles = files.profiles().to_vec();
            let date = Some("2026-10-31".to_owned());
            Ok(Catalog::new(
                SourceKind::Directory,
                key().region,
                None,
                date,
                profiles,
            ))
        };
        let mut refresh = RefreshState::default();
        let mut state = FeedState::pending();
        let mut read = |hours: i64| {
            let now = now() + jiff::SignedDuration::from_hours(hours);
            let step = refresh.step(&state, dated(), SourceKind::Directory, SCHEDULE, now, 0.5);
            let shown = step.publish.map(|next| {
                state = next;
                state.freshness.clone()
            });
            (shown, state.catalog.is_some())
        };
        assert_eq!(read(0), (Some(Freshness::Snapshot), true));
        let (shown, kept) = read(1);
        assert!(
            kept && matches!(
                shown,
                Some(Freshness::Failed {
                    reason: Reason::SnapshotStale,
                    ..
                })
            )
        );
        assert_eq!(read(25), (None, true), "another day");
    }
}
