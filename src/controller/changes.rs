//! Since when does a change wait for its write? From when the operator saw it until the first write for it was answered, over
//! all pauses and tries between. A state machine without runtime; the clock is an argument.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

use crate::metrics::Change;

/// A change that the operator saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    change: Change,
    at: Instant,
}

/// The changes of bindings `B` that may need a write: one of each, the earliest of the highest kind.
#[derive(Debug)]
pub(super) struct Changes<B> {
    /// Those that no visit looked at yet.
    waiting: HashMap<B, Seen>,
    /// Those that a visit under way looks at.
    visited: HashMap<B, Seen>,
}

impl<B> Default for Changes<B> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            visited: HashMap::new(),
        }
    }
}

impl<B: Clone + Eq + Hash> Changes<B> {
    /// Records a change that concerns a binding.
    pub fn note(&mut self, binding: &B, change: Change, now: Instant) {
        self.wait(binding, Seen { change, at: now });
    }

    /// Takes in that a visit begins. What was seen before this replica could work counts from then.
    pub fn begin(&mut self, binding: &B, working_since: Instant) {
        if let Some(mut seen) = self.waiting.remove(binding) {
            seen.at = seen.at.max(working_since);
            self.visited.insert(binding.clone(), seen);
        }
    }

    /// Takes in that a write was answered. Returns the change and how long it waited, if this is the first write for it.
    pub fn written(&mut self, binding: &B, now: Instant) -> Option<(Change, Duration)> {
        let seen = self.visited.remove(binding)?;
        Some((seen.change, now.saturating_duration_since(seen.at)))
    }

    /// Takes in that a visit leaves the change to a later one.
    pub fn postpone(&mut self, binding: &B) {
        if let Some(seen) = self.visited.remove(binding) {
            self.wait(binding, seen);
        }
    }

    /// Takes in that a visit has ended. A change for which nothing was written needed no write.
    pub fn end(&mut self, binding: &B) {
        self.visited.remove(binding);
    }

    fn wait(&mut self, binding: &B, seen: Seen) {
        match self.waiting.entry(binding.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(seen);
            }
            Entry::Occupied(mut entry) => {
                let waits = entry.get_mut();
                let is_earlier = seen.change == waits.change && seen.at < waits.at;
                if seen.change > waits.change || is_earlier {
                    *waits = seen;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_change_waits_from_its_event_to_its_first_write() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        let at = |after| start + seconds(after);
        changes.note(&"a", Change::Binding, at(0));
        assert_eq!(changes.written(&"a", at(1)), None, "no visit looked at it");
        changes.begin(&"a", start);
        assert_eq!(
            changes.written(&"a", at(3)),
            Some((Change::Binding, seconds(3)))
        );
        assert_eq!(changes.written(&"a", at(4)), None, "the second write");
    }

    #[test]
    fn tries_and_pauses_count() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        changes.note(&"a", Change::Catalog, start);
        for _ in 0..3 {
            changes.begin(&"a", start);
            changes.postpone(&"a");
            changes.end(&"a");
        }
        changes.note(&"a", Change::Catalog, start + seconds(5));
        changes.begin(&"a", start);
        assert_eq!(
            changes.written(&"a", start + seconds(60)),
            Some((Change::Catalog, seconds(60)))
        );
    }

    #[test]
    fn a_change_that_needs_no_write_is_forgotten() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        changes.note(&"a", Change::Catalog, start);
        changes.begin(&"a", start);
        changes.end(&"a");
        changes.begin(&"a", start);
        assert_eq!(changes.written(&"a", start + seconds(60)), None);
        assert!(changes.waiting.is_empty() && changes.visited.is_empty());
    }

    #[test]
    fn one_that_comes_during_a_visit_is_another() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        changes.note(&"a", Change::Binding, start);
        changes.begin(&"a", start);
        changes.note(&"a", Change::Binding, start + seconds(2));
        assert_eq!(
            changes.written(&"a", start + seconds(3)),
            Some((Change::Binding, seconds(3)))
        );
        changes.end(&"a");
        changes.begin(&"a", start);
        assert_eq!(
            changes.written(&"a", start + seconds(6)),
            Some((Change::Binding, seconds(4)))
        );
    }

    #[test]
    fn what_a_person_waits_for_counts_by_itself() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        changes.note(&"a", Change::Catalog, start);
        changes.note(&"a", Change::Binding, start + seconds(5));
        changes.note(&"a", Change::Target, start + seconds(6));
        changes.begin(&"a", start);
        assert_eq!(
            changes.written(&"a", start + seconds(7)),
            Some((Change::Binding, seconds(2)))
        );
    }

    #[test]
    fn nothing_waits_for_a_standby() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        changes.note(&"a", Change::Binding, start);
        changes.begin(&"a", start + seconds(100));
        assert_eq!(
            changes.written(&"a", start + seconds(101)),
            Some((Change::Binding, seconds(1)))
        );
    }
}
