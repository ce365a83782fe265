//! What waits for an outage to end, or for a right, comes back with it: the first call of that kind that succeeds wakes the
//! bindings that failed for the same cause. A state machine without runtime; the clock is an argument.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

/// How long a binding that was woken is not woken again: it may have a cause of its own, such as an admission policy.
const ONCE_PER: Duration = Duration::from_secs(30);
/// Time between two bindings that are woken.
const STEP: Duration = Duration::from_millis(5);
/// In which time all are woken.
const LONGEST_SPREAD: Duration = Duration::from_secs(5);

/// Why calls fail that another call tells the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// The apiserver did not answer, or failed itself.
    Outage,
    /// Writes of this kind are refused.
    Forbidden(&'static str),
}

/// The bindings `B` that wait, by cause.
#[derive(Debug)]
pub(super) struct Recovery<B> {
    waiting: HashMap<Cause, HashSet<B>>,
    /// For each cause a binding that is tried often.
    scouts: HashMap<Cause, B>,
    woken: HashMap<B, Instant>,
}

impl<B> Default for Recovery<B> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            scouts: HashMap::new(),
            woken: HashMap::new(),
        }
    }
}

impl<B: Clone + Eq + Hash> Recovery<B> {
    /// Records that a call of a binding failed for this cause.
    pub fn failed(&mut self, binding: &B, cause: Cause) {
        let waiting = self.waiting.entry(cause).or_default();
        waiting.insert(binding.clone());
        let scout = self.scouts.entry(cause);
        scout.or_insert_with(|| binding.clone());
    }

    /// Records that a call succeeded, which shows that this cause is over. Returns the bindings to wake, each with its delay.
    pub fn succeeded(&mut self, cause: Cause, now: Instant) -> Vec<(B, Duration)> {
        self.scouts.remove(&cause);
        let Some(waiting) = self.waiting.remove(&cause) else {
            return Vec::new();
        };
        self.woken
            .retain(|_, at| now.saturating_duration_since(*at) < ONCE_PER);
        let due: Vec<B> = waiting
            .into_iter()
            .filter(|binding| !self.woken.contains_key(binding))
            .collect();
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX).max(1);
        let step = STEP.min(LONGEST_SPREAD / count);
        for binding in &due {
            self.woken.insert(binding.clone(), now);
        }
        let delays = (0..count).map(|place| step * place);
        due.into_iter().zip(delays).collect()
    }

    /// Records that a binding waits for nothing any more.
    pub fn left(&mut self, binding: &B) {
        self.waiting.retain(|_, waiting| {
            waiting.remove(binding);
            !waiting.is_empty()
        });
        let waiting = &self.waiting;
        self.scouts.retain(|cause, scout| {
            if scout != binding {
                return true;
            }
            let next = waiting.get(cause).and_then(|it| it.iter().next());
            next.is_some_and(|next| {
                *scout = next.clone();
                true
            })
        });
    }

    /// Says whether a binding is the one that is tried often, so that the end of its cause is noticed soon. There is one for each
    /// cause, so that their number does not grow with that of the bindings.
    pub fn is_scout(&self, binding: &B) -> bool {
        self.scouts.values().any(|scout| scout == binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Cause = Cause::Forbidden("ConfigMap");

    fn names(woken: Vec<(&'static str, Duration)>) -> Vec<&'static str> {
        let mut names: Vec<_> = woken.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_first_success_wakes_those_that_failed_for_the_same_cause() {
        let now = Instant::now();
        let mut recovery = Recovery::default();
        for binding in ["a", "b", "c"] {
            recovery.failed(&binding, RIGHT);
        }
        recovery.failed(&"d", Cause::Outage);
        recovery.left(&"c");
        assert_eq!(recovery.succeeded(Cause::Forbidden("Secret"), now), []);
        assert_eq!(names(recovery.succeeded(RIGHT, now)), ["a", "b"]);
        assert_eq!(recovery.succeeded(RIGHT, now), []);
        assert_eq!(names(recovery.succeeded(Cause::Outage, now)), ["d"]);
    }

    #[test]
    fn who_fails_again_is_not_woken_by_every_success() {
        let now = Instant::now();
        let mut recovery = Recovery::default();
        recovery.failed(&"a", RIGHT);
        assert_eq!(names(recovery.succeeded(RIGHT, now)), ["a"]);
        for seconds in 1..30 {
            recovery.failed(&"a", RIGHT);
            let now = now + Duration::from_secs(seconds);
            assert_eq!(recovery.succeeded(RIGHT, now), []);
        }
        recovery.failed(&"a", RIGHT);
        assert_eq!(names(recovery.succeeded(RIGHT, now + ONCE_PER)), ["a"]);
    }

    #[test]
    fn many_are_spread_out_and_all_are_woken_soon() {
        for (count, longest) in [(3, STEP * 2), (100_000, LONGEST_SPREAD)] {
            let mut recovery = Recovery::default();
            for binding in 0..count {
                recovery.failed(&binding, Cause::Outage);
            }
            let woken = recovery.succeeded(Cause::Outage, Instant::now());
            assert_eq!(woken.len(), count);
            let last = woken.iter().map(|(_, delay)| *delay).max();
            assert!(
                last <= Some(longest) && last >= Some(longest / 2),
                "{last:?}"
            );
        }
    }

    #[test]
    fn one_is_tried_often_for_each_cause() {
        let mut recovery = Recovery::default();
        for binding in ["a", "b"] {
            recovery.failed(&binding, RIGHT);
        }
        assert!(recovery.is_scout(&"a") && !recovery.is_scout(&"b"));
        recovery.left(&"a");
        assert!(recovery.is_scout(&"b"));
        recovery.left(&"b");
        assert!(recovery.waiting.is_empty() && recovery.scouts.is_empty());
    }
}
