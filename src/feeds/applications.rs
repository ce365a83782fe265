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
    use super::{super::tests::SCHEDULE, *};
    use crate::api::condition::Reason;

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
}
