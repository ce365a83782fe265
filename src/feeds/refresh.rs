//! What follows from a source's answer: what the feed publishes, and when it lists again. Pure.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    api::condition::Reason,
    catalog::{
        ApplicationProfile, Applications, Catalog, CatalogError, FeedState, FoundationModel,
        Freshness, Profile, SourceKind,
    },
    pause,
    types::{ApplicationProfileArn, ModelId, ProfileId},
};

use super::{Schedule, staleness};

/// Pause after a first failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest wait that a source can ask for, unless the feed's interval is longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// By which share of itself a delay may be shorter or longer, so that many operators do not list at the same time.
const JITTER: f64 = 0.1;

/// What a feed remembers between two answers of its source.
#[derive(Debug, Default)]
pub(super) struct RefreshState {
    /// Number of consecutive failures.
    failures: u32,
    /// What the listings no longer have, and when the first one did not have it. It stays in the catalog until a later
    /// listing confirms that it is gone.
    missing: BTreeMap<Missing, Instant>,
}

/// What a listing had before and no longer has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    Profile(ProfileId),
    /// A model that was on demand.
    OnDemand(ModelId),
    Application(ApplicationProfileArn),
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
    /// By how much the number of profiles and models that the listings no longer have, unconfirmed, has grown.
    pub newly_missing: usize,
}

/// The moment of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The time of day.
    pub now: Timestamp,
    /// The time on the monotonic clock.
    pub at: Instant,
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
        self.failures = match &answer {
            Ok(_) => 0,
            Err(_) => self.failures.saturating_add(1),
        };
        // Whoever edits a file means it; it is read twice because it may be replaced meanwhile.
        let confirmation = if kind.is_live() {
            schedule.confirmation
        } else {
            FIRST_RETRY
        };
        let unconfirmed = self.missing.len();
        let answer =
            answer.map(|catalog| self.keep_missing(before, catalog, confirmation, moment.at));
        let interval = match &answer {
            Ok(_) => self.interval(schedule.interval, confirmation, moment.at),
            Err(_) => schedule.interval,
        };
        let asked_to_wait = answer.as_ref().err().and_then(retry_after);
        let delay = next_delay(self.failures, asked_to_wait, interval, moment.random);
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
            newly_missing: self.missing.len().saturating_sub(unconfirmed),
        }
    }
}

impl RefreshState {
    /// Returns the catalog with what was there before, is missing now and is not confirmed to be gone. A failure between two
    /// listings neither confirms nor refutes.
    fn keep_missing(
        &mut self,
        before: &FeedState,
        catalog: Catalog,
        confirmation: Duration,
        now: Instant,
    ) -> Catalog {
        let earlier = std::mem::take(&mut self.missing);
        let is_other_account = |old: &Catalog| {
            let (old, new) = (old.account(), catalog.account());
            old.is_some() && new.is_some() && old != new
        };
        let Some(old) = before.catalog.as_ref().filter(|old| !is_other_account(old)) else {
            return catalog;
        };
        let least = least(confirmation);
        let mut is_kept = |missing: Missing| {
            let since = earlier.get(&missing).copied();
            let is_gone = since.is_some_and(|since| now.saturating_duration_since(since) >= least);
            if !is_gone {
                self.missing.insert(missing, since.unwrap_or(now));
            }
            !is_gone
        };
        let is_listed = |profile: &Profile| {
            let listed = catalog.profiles_of(&profile.model);
            listed.iter().any(|listed| listed.id == profile.id)
        };
        let missing = old.profiles().iter().filter(|it| !is_listed(it));
        let mut profiles: Vec<_> = missing
            .filter(|it| is_kept(Missing::Profile(it.id.clone())))
            .cloned()
            .collect();
        let mut models = Vec::new();
        if let (Some(before), Some(_)) = (old.models(), catalog.models()) {
            for model in before.iter().filter(|model| model.on_demand) {
                let now = catalog.model(&model.id);
                if !now.is_some_and(|now| now.on_demand)
                    && is_kept(Missing::OnDemand(model.id.clone()))
                {
                    models.push(FoundationModel {
                        on_demand: true,
                        ..now.unwrap_or(model).clone()
                    });
                }
            }
        }
        let applications = (
            old.applications().profiles(),
            catalog.applications().profiles(),
        );
        let mut missing_applications = Vec::new();
        if let (Some(before), Some(now)) = applications {
            let is_listed =
                |old: &ApplicationProfile| now.iter().any(|listed| listed.arn == old.arn);
            let missing = before.iter().filter(|old| !is_listed(old));
            let kept = missing.filter(|old| is_kept(Missing::Application(old.arn.clone())));
            missing_applications.extend(kept.cloned());
        }
        if self.missing.is_empty() {
            return catalog;
        }
        profiles.extend_from_slice(catalog.profiles());
        // Of models with the same ID the first one is kept.
        let models = catalog.models().map(|listed| {
            models.extend_from_slice(listed);
            models
        });
        let applications = match catalog.applications().profiles() {
            Some(listed) if !missing_applications.is_empty() => {
                missing_applications.extend_from_slice(listed);
                Applications::listed(missing_applications)
            }
            _ => catalog.applications().clone(),
        };
        Catalog::new(
            catalog.source(),
            catalog.source_region().clone(),
            catalog.account().or(old.account()).cloned(),
            catalog.as_of().map(str::to_owned),
            profiles,
        )
        .with_models(models)
        .with_applications(applications)
    }

    /// Returns the time until the next listing after a success. What is missing is confirmed soon.
    fn interval(&self, interval: Duration, confirmation: Duration, now: Instant) -> Duration {
        let Some(since) = self.missing.values().min() else {
            return interval;
        };
        let wait = (*since + confirmation).saturating_duration_since(now);
        interval.min(wait.max(FIRST_RETRY))
    }
}

/// Returns how long after a listing another one confirms it at the earliest. It may come early by its jitter.
pub(super) fn least(confirmation: Duration) -> Duration {
    confirmation.mul_f64(1.0 - 2.0 * JITTER)
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

/// Returns how long the source asks to wait.
pub(super) fn retry_after(error: &CatalogError) -> Option<Duration> {
    match error {
        CatalogError::Throttled { retry_after, .. } => *retry_after,
        _ => None,
    }
}

/// Returns how long to wait before listing again: the interval after a success; after a failure one second, doubled with
/// each further failure up to the interval. Both are jittered. The wait is never shorter than what the source asks for, up to
/// [`LONGEST_RETRY_AFTER`].
pub(super) fn next_delay(
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
            at: Instant::now(),
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

    /// A feed of a live source on a clock of its own.
    struct Listed {
        refresh: RefreshState,
        state: FeedState,
        schedule: Schedule,
        start: Instant,
    }

    impl Listed {
        /// Returns a feed that has just listed this.
        fn of(answer: Answer) -> Self {
            Self {
                refresh: RefreshState::default(),
                state: FeedState {
                    catalog: answer.ok().map(Arc::new),
                    freshness: Freshness::Fresh,
                },
                schedule: SCHEDULE,
                start: Instant::now(),
            }
        }

        /// Takes an answer so long after the start, and returns when the next one is due.
        fn at(&mut self, since: Duration, answer: Answer) -> Duration {
            let moment = Moment {
                now: now(),
                at: self.start + since,
                age: Duration::ZERO,
                random: 0.5,
            };
            let kind = SourceKind::Bedrock;
            let step = self
                .refresh
                .step(&self.state, answer, kind, self.schedule, moment);
            if let Some(state) = step.publish {
                self.state = state;
            }
            step.delay
        }

        fn geographies(&self) -> Vec<&str> {
            let catalog = self.state.catalog.as_deref().expect("a catalog");
            let profiles = catalog.profiles().iter();
            profiles.map(|it| it.geography.as_str()).collect()
        }
    }

    const SECONDS: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn what_vanishes_counts_when_a_second_listing_agrees() {
        let pause = SCHEDULE.confirmation;
        assert!(pause < SECONDS(60), "within a minute");
        for without in [&["us"][..], &[]] {
            let mut feed = Listed::of(live(&["eu", "us"]));
            assert_eq!(feed.at(SECONDS(0), live(without)), pause);
            assert_eq!(feed.geographies(), ["eu", "us"], "one listing");
            assert_eq!(feed.at(pause, live(without)), INTERVAL);
            assert_eq!(feed.geographies(), without, "two");

            // A listing that has it refutes the one before.
            let mut feed = Listed::of(live(&["eu", "us"]));
            feed.at(SECONDS(0), live(without));
            assert_eq!(feed.at(pause, live(&["eu", "us"])), INTERVAL);
            assert_eq!(feed.at(pause * 2, live(without)), pause);
            assert_eq!(feed.geographies(), ["eu", "us"]);

            // A failure says nothing, and is retried as any other.
            let mut feed = Listed::of(live(&["eu", "us"]));
            feed.at(SECONDS(0), live(without));
            assert_eq!(feed.at(pause, denied()), FIRST_RETRY);
            assert_eq!(feed.at(pause + SECONDS(1), denied()), FIRST_RETRY * 2);
            assert_eq!(feed.geographies(), ["eu", "us"]);
            feed.at(pause + SECONDS(3), live(without));
            assert_eq!(feed.geographies(), without);
        }
    }

    #[test]
    fn what_appears_counts_at_once_while_something_is_missing() {
        let mut feed = Listed::of(live(&["eu"]));
        let pause = SCHEDULE.confirmation;
        feed.at(SECONDS(0), live(&["us"]));
        assert_eq!(feed.geographies(), ["eu", "us"]);
        // What vanishes later is confirmed later.
        assert_eq!(feed.at(SECONDS(20), live(&["jp"])), SECONDS(25));
        assert_eq!(feed.at(pause, live(&["jp"])), SECONDS(20));
        assert_eq!(feed.geographies(), ["jp", "us"]);
        feed.at(pause + SECONDS(20), live(&["jp"]));
        assert_eq!(feed.geographies(), ["jp"]);
    }

    #[test]
    fn a_catalog_that_flaps_is_never_published() {
        // Every 2 s for 30 s, wherever in that the first listing falls, and however often it is listed.
        for interval in [Duration::from_millis(100), SECONDS(1), SECONDS(7), INTERVAL] {
            for offset in 0..40_u64 {
                let offset = Duration::from_millis(offset * 100);
                let mut feed = Listed::of(live(&["eu", "us"]));
                feed.schedule.interval = interval;
                let mut since = offset;
                while since < SECONDS(120) {
                    let flaps = since < offset + SECONDS(30);
                    let is_missing = flaps && (since.as_secs() / 2).is_multiple_of(2);
                    let answer = if is_missing {
                        &["us"][..]
                    } else {
                        &["eu", "us"]
                    };
                    since += feed.at(since, live(answer));
                    assert_eq!(feed.geographies(), ["eu", "us"], "{interval:?} {offset:?}");
                }
            }
        }
    }

    #[test]
    fn a_model_that_is_no_longer_on_demand_counts_when_a_second_listing_agrees() {
        let with = |models: Option<&[bool]>| {
            let model = |on_demand: &bool| FoundationModel {
                id: "a.b".parse().expect("a model"),
                lifecycle: crate::catalog::Lifecycle::ACTIVE,
                on_demand: *on_demand,
            };
            let models = models.map(|models| models.iter().map(model).collect());
            Ok(catalog(SourceKind::Bedrock, &["eu"]).with_models(models))
        };
        let is_on_demand = |feed: &Listed| {
            let catalog = feed.state.catalog.as_ref().expect("a catalog");
            let model = catalog.model(&"a.b".parse().expect("a model"));
            model.map(|model| model.on_demand)
        };
        let pause = SCHEDULE.confirmation;
        for (without, after) in [(&[false][..], Some(false)), (&[], None)] {
            let mut feed = Listed::of(with(Some(&[true])));
            assert_eq!(feed.at(SECONDS(0), with(Some(without))), pause);
            assert_eq!(is_on_demand(&feed), Some(true));
            feed.at(pause, with(Some(without)));
            assert_eq!(is_on_demand(&feed), after);
        }
        // That the models can't be listed is not that one is gone.
        let mut feed = Listed::of(with(Some(&[true])));
        assert_eq!(feed.at(SECONDS(0), with(None)), INTERVAL);
        assert_eq!(is_on_demand(&feed), None);
    }

    #[test]
    fn another_account_has_its_own_profiles() {
        let of = |account: &str, geographies: &[&str]| {
            let profiles = catalog(SourceKind::Bedrock, geographies)
                .profiles()
                .to_vec();
            let account = account.parse().ok();
            let region = key().region;
            Ok(Catalog::new(
                SourceKind::Bedrock,
                region,
                account,
                None,
                profiles,
            ))
        };
        let mut feed = Listed::of(of("111122223333", &["eu", "us"]));
        feed.at(SECONDS(0), of("444455556666", &["us"]));
        assert_eq!(feed.geographies(), ["us"]);
        // An empty listing names no account, so the catalog keeps the one that it had.
        feed.at(SECONDS(1), live(&[]));
        let catalog = feed.state.catalog.as_deref().expect("a catalog");
        assert_eq!(
            catalog.account().map(crate::types::AccountId::as_str),
            Some("444455556666")
        );
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
        let last_moment = SCHEDULE.grace.mul_f64(0.999);
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
            interval,
            grace,
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
                at: Instant::now(),
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
