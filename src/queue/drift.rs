//! How long a corrected object is left alone when it drifts again, so that the operator does not fight another writer.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

use crate::pause;

/// Pause after the first correction; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_mins(5);
/// How long an object must stay unchanged before its next drift counts as the first again.
const QUIET: Duration = Duration::from_mins(10);

/// Counts the corrections of each object and says how long its next correction waits.
///
/// The first drift is corrected at once. If another writer keeps changing the object back, such as a GitOps tool with the same
/// object in its repository, it is corrected at growing intervals.
#[derive(Debug)]
pub struct Corrections<K> {
    corrected: HashMap<K, Corrected>,
}

#[derive(Debug, Clone, Copy)]
struct Corrected {
    times: u32,
    last: Instant,
}

impl Corrected {
    fn pause(self) -> Duration {
        pause::doubled(FIRST, self.times.saturating_sub(1), LONGEST)
    }
}

impl<K> Default for Corrections<K> {
    fn default() -> Self {
        Self {
            corrected: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Corrections<K> {
    /// Records that an object was corrected.
    pub fn note(&mut self, key: K, now: Instant) {
        self.corrected
            .retain(|_, corrected| now.saturating_duration_since(corrected.last) < QUIET);
        let corrected = self.corrected.entry(key).or_insert(Corrected {
            times: 0,
            last: now,
        });
        corrected.times = corrected.times.saturating_add(1);
        corrected.last = now;
    }

    /// Returns how long a correction that is needed now waits. The wait is zero for an object without recent corrections.
    #[must_use]
    pub fn wait(&self, key: &K, now: Instant) -> Duration {
        self.corrected.get(key).map_or(Duration::ZERO, |corrected| {
            let since = now.saturating_duration_since(corrected.last);
            corrected.pause().saturating_sub(since)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_drift_is_corrected_at_growing_intervals() {
        let mut corrections = Corrections::default();
        let mut now = Instant::now();
        assert_eq!(corrections.wait(&"a", now), Duration::ZERO);
        let mut waits = Vec::new();
        for _ in 0..11 {
            corrections.note("a", now);
            let wait = corrections.wait(&"a", now);
            waits.push(wait.as_secs());
            now += wait;
            assert_eq!(corrections.wait(&"a", now), Duration::ZERO);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(corrections.wait(&"b", now), Duration::ZERO);
    }

    #[test]
    fn a_quiet_object_is_forgotten() {
        let mut corrections = Corrections::default();
        let now = Instant::now();
        corrections.note("a", now);
        corrections.note("a", now);
        corrections.note("b", now + QUIET);
        assert_eq!(corrections.corrected.len(), 1);
        corrections.note("a", now + QUIET);
        assert_eq!(corrections.wait(&"a", now + QUIET), FIRST);
    }
}
