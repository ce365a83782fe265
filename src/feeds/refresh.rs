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
    /// What to publish at once; `None` if nothing changes.
    pub publish: Option<FeedState>,
    /// What to publish when the catalog is overdue, unless a listing succeeds before.
    pub overdue: Option<FeedState>,
    /// How long to wait before listing again.
    pub delay: Duration,
    /// Whether all feeds of the account wait that long.
    pub throttled: bool,
}

/// The moment of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The time of day.
    pub now: Timestamp,
    /// How long ago the source was last listed successfully, or else how long the feed has been running.
    pub age: Duration,
    /// A random number in 0..1.
    pub random: f64,
}

impl RefreshState {
    /// Evaluates an answer.
    pub fn step(
        &mut self,
        before: &FeedState,
        answer: Result<Catalog, CatalogError>,
        kind: SourceKind,
        schedule: Schedule,
        moment: Moment,
    ) -> Step {
        let interval = schedule.interval;
        if !self.doubtful && is_doubtful(before, &answer) {
            self.doubtful = true;
            return Step {
                publish: None,
                overdue: None,
                delay: pause::jittered(FIRST_RETRY.min(interval), JITTER, moment.random),
                throttled: false,
            };
        }
        // A failure neither confirms nor refutes an empty answer: the next empty one has to be confirmed again.
        self.doubtful = false;
        self.failures = match &answer {
            Ok(_) => 0,
            Err(_) => self.failures.saturating_add(1),
        };
        let delay = next_delay(self.failures, retry_after(&answer), interval, moment.random);
        let throttled = matches!(answer, Err(CatalogError::Throttled { .. }));
        let (publish, overdue) = match answer {
            Ok(catalog) => {
                let after = listed(before, catalog, kind, schedule.max_age, moment.now);
                (changed(before, after), None)
            }
            Err(error) if kind.is_live() => failed(
                before,
                error.reason(),
                error.to_string().into(),
                schedule.is_overdue(moment.age),
            ),
            // A file that is read while it is replaced is not worth telling.
            Err(_) if self.failures == 1 && before.catalog.is_some() => (None, None),
            Err(error) => failed(before, error.reason(), error.to_string().into(), true),
        };
        Step {
            publish,
            overdue,
            delay,
            throttled,
        }
    }
}

/// Returns what a feed publishes while its account is throttled, at once and when its catalog is overdue.
pub(super) fn while_throttled(
    before: &FeedState,
    overdue: bool,
) -> (Option<FeedState>, Option<FeedState>) {
    if before.freshness.failure().is_some() {
        return (None, None);
    }
    let message =
        "Bedrock limits the rate of requests of this account; the operator tries again by itself";
    failed(before, Reason::Throttled, message.into(), overdue)
}

/// Returns what a feed publishes after a failure, at once and when its catalog is overdue. While it is not, a feed with a
/// catalog publishes nothing, because a short failure is not worth two writes to every status; a feed without one says why
/// it has none.
fn failed(
    before: &FeedState,
    reason: Reason,
    message: Arc<str>,
    overdue: bool,
) -> (Option<FeedState>, Option<FeedState>) {
    let state = |freshness| FeedState {
        catalog: before.catalog.clone(),
        freshness,
    };
    let told = state(Freshness::Failed {
        reason,
        message: message.clone(),
    });
    if overdue {
        return (changed(before, told), None);
    }
    let at_once = before
        .catalog
        .is_none()
        .then(|| state(Freshness::Interrupted { reason, message }));
    (at_once.and_then(|after| changed(before, after)), Some(told))
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

/// Returns the state of a feed after a listing. An equal catalog stays the same allocation.
fn listed(
    before: &FeedState,
    catalog: Catalog,
    kind: SourceKind,
    max_age: Duration,
    now: Timestamp,
) -> FeedState {
    let same = before.catalog.as_ref().filter(|old| ***old == catalog);
    let catalog = same.map_or_else(|| Arc::new(catalog), Arc::clone);
    let freshness = if kind.is_live() {
        Freshness::Fresh
    } else {
        staleness::freshness(&catalog, max_age, now)
    };
    FeedState {
        catalog: Some(catalog),
        freshness,
    }
}

/// Returns the state of a feed if it differs from the one before.
fn changed(before: &FeedState, after: FeedState) -> Option<FeedState> {
    let same_catalog = match (&before.catalog, &after.catalog) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (None, None) => true,
        _ => false,
    };
    (!same_catalog || before.freshness != after.freshness).then_some(after)
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

    fn failing(catalog: Option<Arc<Catalog>>) -> FeedState {
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
                Some((false, failing(None).freshness)),
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
                Some((true, failing(None).freshness)),
            ),
            (
                "same failure again",
                failing(fresh(&["eu"]).catalog),
                denied(),
                None,
            ),
            (
                "same catalog after a failure",
                failing(fresh(&["eu"]).catalog),
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

    /// Evaluates an answer of a source whose catalog is as old as this, without jitter.
    fn step_of(
        refresh: &mut RefreshState,
        before: &FeedState,
        answer: Answer,
        kind: SourceKind,
        age: Duration,
    ) -> Step {
        let moment = Moment {
            now: now(),
            age,
            random: 0.5,
        };
        refresh.step(before, answer, kind, SCHEDULE, moment)
    }

    /// Evaluates an answer of a live source that was just listed, without jitter.
    fn step(refresh: &mut RefreshState, before: &FeedState, answer: Answer) -> Step {
        step_of(refresh, before, answer, SourceKind::Bedrock, Duration::ZERO)
    }

    fn publish(before: &FeedState, answer: Answer, kind: SourceKind) -> Option<FeedState> {
        let overdue = SCHEDULE.grace;
        step_of(&mut RefreshState::default(), before, answer, kind, overdue).publish
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
    fn a_failure_is_shown_at_once_only_where_there_is_no_catalog_or_an_overdue_one() {
        #[derive(Debug, PartialEq)]
        enum Shown {
            Nothing,
            ToBindingsWithoutAnAnswer,
            ToAll,
        }
        use Shown::{Nothing, ToAll, ToBindingsWithoutAnAnswer};
        let good = fresh(&["eu"]);
        let nothing = FeedState::pending();
        let last_moment = SCHEDULE.grace - Duration::from_secs(1);
        for (name, before, age, shown) in [
            (
                "no catalog",
                &nothing,
                Duration::ZERO,
                ToBindingsWithoutAnAnswer,
            ),
            (
                "none for long",
                &nothing,
                last_moment,
                ToBindingsWithoutAnAnswer,
            ),
            ("none for too long", &nothing, SCHEDULE.grace, ToAll),
            ("a good catalog", &good, Duration::ZERO, Nothing),
            ("an old one", &good, last_moment, Nothing),
            ("an overdue one", &good, SCHEDULE.grace, ToAll),
        ] {
            let mut refresh = RefreshState::default();
            // The second failure in a row shows no more than the first.
            for answer in [denied(), throttled(Some(INTERVAL * 100)), denied()] {
                let step = step_of(&mut refresh, before, answer, SourceKind::Bedrock, age);
                let found = match step.publish.map(|state| state.freshness) {
                    None => Nothing,
                    Some(Freshness::Interrupted { .. }) => ToBindingsWithoutAnAnswer,
                    Some(Freshness::Failed { .. }) => ToAll,
                    Some(other) => panic!("{name}: {other:?}"),
                };
                assert_eq!(found, shown, "{name}");
                let later = step.overdue.map(|state| state.freshness);
                assert_eq!(
                    matches!(later, Some(Freshness::Failed { .. })),
                    shown != ToAll,
                    "{name}: shown when it is overdue"
                );
            }
            let step = step_of(
                &mut refresh,
                before,
                live(&["eu"]),
                SourceKind::Bedrock,
                age,
            );
            assert!(step.overdue.is_none(), "{name}");
        }
    }

    #[test]
    fn two_intervals_are_the_least_grace() {
        let of = |grace, interval| Schedule {
            grace,
            interval,
            ..SCHEDULE
        };
        let hours = Duration::from_hours;
        assert_eq!(of(hours(3), hours(1)).overdue_after(), hours(3));
        assert_eq!(of(hours(1), hours(1)).overdue_after(), hours(2));
        assert_eq!(of(Duration::ZERO, hours(1)).overdue_after(), hours(2));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_shown_with_the_second_failure() {
        let before = FeedState {
            catalog: Some(Arc::new(catalog(SourceKind::Directory, &["eu"]))),
            freshness: Freshness::Snapshot,
        };
        let mut refresh = RefreshState::default();
        let mut shown = || {
            let kind = SourceKind::Directory;
            let step = step_of(&mut refresh, &before, denied(), kind, Duration::ZERO);
            step.publish.is_some()
        };
        assert_eq!([shown(), shown()], [false, true]);
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
        for (name, before, overdue, at_once, later) in [
            ("a first listing", &FeedState::pending(), false, true, true),
            ("a good catalog", &good, false, false, true),
            ("an overdue catalog", &good, true, true, false),
            ("another failure", &failing(None), true, false, false),
        ] {
            let (now, then) = while_throttled(before, overdue);
            assert_eq!((now.is_some(), then.is_some()), (at_once, later), "{name}");
            for state in now.into_iter().chain(then) {
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
            let moment = Moment {
                now,
                age: Duration::ZERO,
                random: 0.5,
            };
            let step = refresh.step(&state, dated(), SourceKind::Directory, SCHEDULE, moment);
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
