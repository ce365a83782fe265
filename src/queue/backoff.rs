//! How long an object that failed waits for its next try.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// Longest wait after the first failure; it doubles with each further one.
const BASE: Duration = Duration::from_secs(1);

/// Counts the failures in a row of each object, and says how long it waits.
///
/// The wait is drawn evenly from zero to min(cap, 1 s × 2ⁿ) after the n-th failure, counted from zero ("full jitter",
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>): objects that failed together do not
/// return together. Objects that never fail take no memory.
#[derive(Debug)]
pub struct Backoff<K> {
    failures: HashMap<K, u32>,
    random: fastrand::Rng,
}

impl<K: Eq + Hash> Default for Backoff<K> {
    fn default() -> Self {
        Self::new(fastrand::Rng::new())
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Makes one that draws from this source of randomness.
    #[must_use]
    pub fn new(random: fastrand::Rng) -> Self {
        Self {
            failures: HashMap::new(),
            random,
        }
    }

    /// Notes a failure of an object, and returns how long it waits: at most `cap`.
    pub fn failed(&mut self, key: K, cap: Duration) -> Duration {
        let failures = self.failures.entry(key).or_default();
        let longest = longest_wait(*failures, cap);
        *failures = failures.saturating_add(1);
        longest.mul_f64(self.random.f64())
    }

    /// Notes a success of an object, or its end: its next failure counts as the first.
    pub fn reset(&mut self, key: &K) {
        self.failures.remove(key);
    }
}

/// Returns the longest wait after this many earlier failures.
fn longest_wait(failures: u32, cap: Duration) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    BASE.saturating_mul(factor).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY_CAP: Duration = Duration::from_mins(5);

    #[test]
    fn the_longest_wait_doubles_up_to_the_cap() {
        let cases = [
            (0, RETRY_CAP, 1),
            (1, RETRY_CAP, 2),
            (2, RETRY_CAP, 4),
            (8, RETRY_CAP, 256),
            (9, RETRY_CAP, 300),
            (31, RETRY_CAP, 300),
            (32, RETRY_CAP, 300),
            (u32::MAX, RETRY_CAP, 300),
            (5, Duration::from_secs(10), 10),
            (5, Duration::ZERO, 0),
        ];
        for (failures, cap, seconds) in cases {
            assert_eq!(
                longest_wait(failures, cap),
                Duration::from_secs(seconds),
                "{failures} failures, cap {cap:?}"
            );
        }
    }

    #[test]
    fn waits_fill_the_range_and_stay_inside() {
        for (earlier, longest) in [(0, 1.0), (3, 8.0), (20, 300.0)] {
            let mut backoff = Backoff::new(fastrand::Rng::with_seed(7));
            let waits: Vec<f64> = (0..1_000)
                .map(|key| {
                    for _ in 0..earlier {
                        backoff.failed(key, RETRY_CAP);
                    }
                    backoff.failed(key, RETRY_CAP).as_secs_f64() / longest
                })
                .collect();
            assert!(waits.iter().all(|wait| (0.0..=1.0).contains(wait)));
            let mean = waits.iter().sum::<f64>() / 1_000.0;
            assert!((0.45..0.55).contains(&mean), "mean {mean} of {longest}");
            assert!(waits.iter().any(|wait| *wait < 0.1) && waits.iter().any(|wait| *wait > 0.9));
        }
    }

    #[test]
    fn objects_count_apart_and_a_success_starts_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.failed("a", RETRY_CAP);
        }
        assert!(backoff.failed("b", RETRY_CAP) <= BASE);
        backoff.reset(&"a");
        assert!(backoff.failed("a", RETRY_CAP) <= BASE);
        backoff.reset(&"a");
        backoff.reset(&"b");
        assert!(backoff.failures.is_empty());
    }
}
