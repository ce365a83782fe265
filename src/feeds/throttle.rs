//! What the feeds of one account know of being throttled. AWS counts by account, so one throttled feed speaks for all.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::{catalog::FeedKey, pause, types::RoleArn};

/// Longest time over which the feeds of an account come back after a pause.
const LONGEST_SPREAD: Duration = Duration::from_mins(1);

/// Pauses of accounts, each told by the role that asks: nothing for the operator's own credentials.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    by_role: HashMap<Option<RoleArn>, Pause>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

impl Pauses {
    /// Notes that a feed was throttled, and asks again after `delay`. A longer pause that goes on already stays.
    pub fn begin(&mut self, key: &FeedKey, delay: Duration, now: Instant) {
        self.by_role.retain(|_, pause| pause.until > now);
        let until = now + delay;
        let known = self.by_role.get(&key.role);
        if known.is_none_or(|known| known.until < until) {
            let length = delay;
            self.by_role
                .insert(key.role.clone(), Pause { until, length });
        }
    }

    /// Returns how long a feed has to wait for its account; nothing where it may ask now. `random` is in 0..1: after the
    /// pause the feeds come back one by one, spread over as long again, so that the first answer is there before the
    /// others ask.
    pub fn wait(&self, key: &FeedKey, now: Instant, random: f64) -> Option<Duration> {
        let pause = self.by_role.get(&key.role)?;
        let remaining = pause.until.checked_duration_since(now)?;
        let spread = pause::full_jitter(pause.length.min(LONGEST_SPREAD), random);
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
        let mut pauses = Pauses::default();
        assert_eq!(pauses.wait(&own, start, 0.5), None);
        pauses.begin(&own, secs(30), start);
        for (feed, after, random, expected) in [
            (&own, 0, 0.0, Some(30)),
            (&key(None, "eu-west-3"), 0, 0.0, Some(30)),
            (&key(None, "eu-west-3"), 10, 0.5, Some(35)),
            (&key(None, "eu-west-3"), 30, 0.5, None),
            (&key(None, "eu-west-3"), 90, 0.5, None),
            (&key(role, "eu-west-1"), 0, 0.5, None),
        ] {
            assert_eq!(
                pauses.wait(feed, start + secs(after), random),
                expected.map(secs),
                "{feed:?} after {after} s"
            );
        }
    }

    #[test]
    fn a_pause_is_prolonged_and_never_shortened() {
        let secs = Duration::from_secs;
        let start = Instant::now();
        let (first, second) = (key(None, "eu-west-1"), key(None, "eu-west-3"));
        let mut pauses = Pauses::default();
        pauses.begin(&first, secs(3600), start);
        pauses.begin(&second, secs(1), start);
        assert_eq!(pauses.wait(&second, start, 0.0), Some(secs(3600)));
        assert_eq!(
            pauses.wait(&second, start, 1.0),
            Some(secs(3660)),
            "spread over a minute at most"
        );
        let later = start + secs(3600);
        pauses.begin(&first, secs(2), later);
        assert_eq!(pauses.wait(&second, later, 0.0), Some(secs(2)));
    }
}
