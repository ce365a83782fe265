//! How long an object waits before it is tried again after a failure.

use std::{collections::HashMap, hash::Hash, time::Duration};

use crate::pause;

/// Longest pause after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);

/// Counts the consecutive failures of each object and says how long the object waits after each.
///
/// The pause is between zero and min(cap, 1 s × 2ⁿ) after the n-th failure, counted from zero, with full jitter. Objects
/// that never fail take no memory.
#[derive(Debug)]
pub struct Backoff<K> {
    failures: HashMap<K, u32>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self {
            failures: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Records a failure of an object and returns how long it waits: at most `cap`. `random` is in 0..1.
    pub fn failed(&mut self, key: K, cap: Duration, random: f64) -> Duration {
        let failures = self.failures.entry(key).or_default();
        let longest = pause::doubled(FIRST, *failures, cap);
        *failures = failures.saturating_add(1);
        pause::full_jitter(longest, random)
    }

    /// Records that an object succeeded or is gone: its next failure counts as the first.
    pub fn reset(&mut self, key: &K) {
        self.failures.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_mins(5);

    #[test]
    fn the_pause_lies_between_zero_and_a_longest_one_that_doubles() {
        let mut backoff = Backoff::default();
        let mut after = |random| backoff.failed("a", CAP, random);
        assert_eq!(after(1.0), FIRST);
        assert_eq!(after(0.0), Duration::ZERO);
        assert_eq!(after(0.5), FIRST * 2);
        assert_eq!(after(1.0), FIRST * 8);
        for _ in 0..100 {
            after(0.5);
        }
        assert_eq!(after(1.0), CAP);
        assert_eq!(backoff.failed("a", FIRST, 1.0), FIRST, "the caller's cap");
    }

    #[test]
    fn objects_count_apart_and_a_success_starts_anew() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            backoff.failed("a", CAP, 1.0);
        }
        assert_eq!(backoff.failed("b", CAP, 1.0), FIRST);
        backoff.reset(&"a");
        assert_eq!(backoff.failed("a", CAP, 1.0), FIRST);
        backoff.reset(&"a");
        backoff.reset(&"b");
        assert!(backoff.failures.is_empty());
    }
}
