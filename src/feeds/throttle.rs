//! Which accounts are throttled, and until when. AWS limits the rate of requests by account, so that what one feed meets
//! holds for all feeds of its account.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{catalog::FeedKey, pause, types::RoleArn};

/// Longest time over which the feeds of an account resume after it was throttled.
const LONGEST_SPREAD: Duration = Duration::from_mins(1);

/// The throttled accounts, each identified by the role that lists in it: `None` for the operator's own credentials.
#[derive(Debug, Default)]
pub(super) struct ThrottledAccounts {
    by_role: HashMap<Option<RoleArn>, Throttle>,
}

#[derive(Debug, Clone, Copy)]
struct Throttle {
    until: Instant,
    length: Duration,
}

impl ThrottledAccounts {
    /// Records that a feed was throttled and lists again after `delay`. It never shortens a wait that is already recorded.
    pub fn record(&mut self, key: &FeedKey, delay: Duration, now: Instant) {
        self.by_role.retain(|_, throttle| throttle.until > now);
        let until = now + delay;
        let known = self.by_role.get(&key.role);
        if known.is_none_or(|known| known.until < until) {
            let length = delay;
            self.by_role
                .insert(key.role.clone(), Throttle { until, length });
        }
    }

    /// Returns how long a feed has to wait for its account, or `None` if it may list now. `random` is in 0..1: the feeds
    /// resume one by one, over the same length of time again, so that the first answer arrives before the others list.
    pub fn wait(&self, key: &FeedKey, now: Instant, random: f64) -> Option<Duration> {
        let throttle = self.by_role.get(&key.role)?;
        let remaining = throttle.until.checked_duration_since(now)?;
        let spread = pause::full_jitter(throttle.length.min(LONGEST_SPREAD), random);
        (!remaining.is_zero()).then(|| remaining + spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(role: Option<&str>, region: &str) -> FeedKey {
        FeedKey {
            role: role.map(|role| role.parse().expect(role)),
            region: region.parse().expect("a region"),
        }
    }

    #[test]
    fn an_account_waits_and_others_do_not() {
        let secs = Duration::from_secs;
        let start = Instant::now();
        let role = Some("arn:aws:iam::111122223333:role/r");
        let own = key(None, "eu-west-1");
        let mut accounts = ThrottledAccounts::default();
        assert_eq!(accounts.wait(&own, start, 0.5), None);
        accounts.record(&own, secs(30), start);
        for (feed, after, random, expected) in [
            (&own, 0, 0.0, Some(30)),
            (&key(None, "eu-west-3"), 0, 0.0, Some(30)),
            (&key(None, "eu-west-3"), 10, 0.5, Some(35)),
            (&key(None, "eu-west-3"), 30, 0.5, None),
            (&key(None, "eu-west-3"), 90, 0.5, None),
            (&key(role, "eu-west-1"), 0, 0.5, None),
        ] {
            assert_eq!(
                accounts.wait(feed, start + secs(after), random),
                expected.map(secs),
                "{feed:?} after {after} s"
            );
        }
    }

    #[test]
    fn a_wait_is_prolonged_and_never_shortened() {
        let secs = Duration::from_secs;
        let start = Instant::now();
        let (first, second) = (key(None, "eu-west-1"), key(None, "eu-west-3"));
        let mut accounts = ThrottledAccounts::default();
        accounts.record(&first, secs(3600), start);
        accounts.record(&second, secs(1), start);
        assert_eq!(accounts.wait(&second, start, 0.0), Some(secs(3600)));
        assert_eq!(
            accounts.wait(&second, start, 1.0),
            Some(secs(3660)),
            "spread over a minute at most"
        );
        let later = start + secs(3600);
        accounts.record(&first, secs(2), later);
        assert_eq!(accounts.wait(&second, later, 0.0), Some(secs(2)));
    }
}
