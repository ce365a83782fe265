//! Which workloads restart now, and which wait. Only a few restart at a time, over all bindings, so that one change of a
//! catalog does not restart everything at once. A state machine without clock or runtime.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::Hash,
    sync::Arc,
};

/// The answer to a binding that asks to restart a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The binding restarts the workload now, and reports by [`Rollouts::triggered`] or [`Rollouts::cancel`].
    Now,
    /// The binding waits in line. It is among the bindings that are returned when its turn comes.
    Later,
    /// The binding has already restarted the workload for this token.
    Done,
}

/// The workloads `W` whose restart is in progress, and a line of those that wait for one. Bindings `B` ask for restarts.
///
/// - A workload takes one slot, however many bindings restart it, from the moment that a binding may restart it until the
///   restart is complete. There are never more restarts in progress than slots.
/// - Restarts are granted first in, first out. A slot that becomes free is kept for the bindings whose turn it is; these are
///   returned so that they are visited. A binding that no longer asks when it is visited gives its turn to the next, by
///   [`Rollouts::retain`].
/// - A binding that asks again keeps its place in line.
#[derive(Debug)]
pub struct Rollouts<B, W> {
    slots: usize,
    /// The workloads that take a slot.
    taken: HashMap<W, Slot<B>>,
    /// The workloads that wait for a slot, each with the bindings that want to restart it. Empty while a slot is free.
    line: VecDeque<(W, Vec<B>)>,
    /// The restarts that each binding has asked for, by workload. No inner map is empty.
    restarts: HashMap<B, HashMap<W, RestartState>>,
}

/// A taken slot. It becomes free when it has no holders and no restart is in progress.
#[derive(Debug)]
struct Slot<B> {
    /// The bindings that may restart the workload now.
    holders: Vec<B>,
    in_progress: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum RestartState {
    /// The binding waits in line.
    Waiting,
    /// The binding holds a slot.
    Granted,
    /// The binding has restarted the workload for this token.
    Triggered(Arc<str>),
}

impl<B: Clone + Eq + Hash, W: Clone + Eq + Hash> Rollouts<B, W> {
    /// Returns an empty line with this many slots, at least one.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots: slots.max(1),
            taken: HashMap::new(),
            line: VecDeque::new(),
            restarts: HashMap::new(),
        }
    }

    /// Asks to restart a workload. Equal tokens name the same restart.
    pub fn ask(&mut self, binding: &B, workload: &W, token: &str) -> Turn {
        let restarts = self.restarts.entry(binding.clone()).or_default();
        match restarts.get(workload) {
            Some(RestartState::Triggered(done)) if done.as_ref() == token => return Turn::Done,
            Some(RestartState::Waiting) => return Turn::Later,
            Some(RestartState::Granted) => return Turn::Now,
            Some(RestartState::Triggered(_)) | None => {}
        }
        if let Some(slot) = self.taken.get_mut(workload) {
            slot.holders.push(binding.clone());
        } else if self.taken.len() < self.slots {
            let holders = vec![binding.clone()];
            let slot = Slot {
                holders,
                in_progress: false,
            };
            self.taken.insert(workload.clone(), slot);
        } else {
            match self
                .line
                .iter_mut()
                .find(|(waiting, _)| waiting == workload)
            {
                Some((_, bindings)) => bindings.push(binding.clone()),
                None => self
                    .line
                    .push_back((workload.clone(), vec![binding.clone()])),
            }
            restarts.insert(workload.clone(), RestartState::Waiting);
            return Turn::Later;
        }
        restarts.insert(workload.clone(), RestartState::Granted);
        Turn::Now
    }

    /// Records that a binding whose turn it was has restarted a workload. Returns whether the caller must now await the
    /// completion and report it by [`Rollouts::completed`]; if false, it is already awaited.
    pub fn triggered(&mut self, binding: &B, workload: &W, token: Arc<str>) -> bool {
        let Some(slot) = self.taken.get_mut(workload) else {
            return false;
        };
        slot.holders.retain(|holder| holder != binding);
        if let Some(restarts) = self.restarts.get_mut(binding) {
            restarts.insert(workload.clone(), RestartState::Triggered(token));
        }
        !std::mem::replace(&mut slot.in_progress, true)
    }

    /// Cancels a binding's restart of a workload, granted or waiting, because it is not needed or failed. Returns the bindings
    /// whose turn it is now.
    #[must_use]
    pub fn cancel(&mut self, binding: &B, workload: &W) -> Vec<B> {
        let Entry::Occupied(mut restarts) = self.restarts.entry(binding.clone()) else {
            return Vec::new();
        };
        let state = restarts.get_mut().remove(workload);
        if restarts.get().is_empty() {
            restarts.remove();
        }
        match state {
            Some(RestartState::Granted) => {
                if let Some(slot) = self.taken.get_mut(workload) {
                    slot.holders.retain(|holder| holder != binding);
                }
                self.free(workload)
            }
            Some(RestartState::Waiting) => {
                for (waiting, bindings) in &mut self.line {
                    if waiting == workload {
                        bindings.retain(|other| other != binding);
                    }
                }
                self.line.retain(|(_, bindings)| !bindings.is_empty());
                Vec::new()
            }
            Some(RestartState::Triggered(_)) | None => Vec::new(),
        }
    }

    /// Cancels a binding's restarts of all workloads but these. Returns the bindings whose turn it is now.
    #[must_use]
    pub fn retain<'a>(&mut self, binding: &B, wanted: impl IntoIterator<Item = &'a W>) -> Vec<B>
    where
        W: 'a,
    {
        let Some(restarts) = self.restarts.get(binding) else {
            return Vec::new();
        };
        let wanted: Vec<&W> = wanted.into_iter().collect();
        let left: Vec<W> = restarts
            .keys()
            .filter(|workload| !wanted.contains(workload))
            .cloned()
            .collect();
        left.iter()
            .flat_map(|workload| self.cancel(binding, workload))
            .collect()
    }

    /// Records that the restart of a workload is complete or no longer awaited. Returns the bindings whose turn it is now.
    #[must_use]
    pub fn completed(&mut self, workload: &W) -> Vec<B> {
        if let Some(slot) = self.taken.get_mut(workload) {
            slot.in_progress = false;
        }
        self.free(workload)
    }

    /// Returns the number of workloads that take a slot.
    #[cfg(test)]
    fn in_progress(&self) -> usize {
        self.taken.len()
    }

    /// Returns the number of workloads that wait for a slot.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Frees the slot of a workload if it has no holders and no restart in progress, and gives free slots to those that wait.
    fn free(&mut self, workload: &W) -> Vec<B> {
        let idle = |slot: &Slot<B>| slot.holders.is_empty() && !slot.in_progress;
        if self.taken.get(workload).is_some_and(idle) {
            self.taken.remove(workload);
        }
        let mut next = Vec::new();
        while self.taken.len() < self.slots
            && let Some((workload, holders)) = self.line.pop_front()
        {
            for binding in &holders {
                if let Some(restarts) = self.restarts.get_mut(binding) {
                    restarts.insert(workload.clone(), RestartState::Granted);
                }
            }
            next.extend(holders.iter().cloned());
            self.taken.insert(
                workload,
                Slot {
                    holders,
                    in_progress: false,
                },
            );
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use proptest::prelude::*;

    use super::*;

    const NONE: [&str; 0] = [];

    fn asked(
        rollouts: &mut Rollouts<&'static str, char>,
        binding: &'static str,
        workloads: &str,
    ) -> Vec<Turn> {
        workloads
            .chars()
            .map(|workload| rollouts.ask(&binding, &workload, "t"))
            .collect()
    }

    #[test]
    fn first_in_first_out_and_never_more_than_the_slots() {
        use Turn::{Later, Now};
        let mut rollouts = Rollouts::new(2);
        assert_eq!(asked(&mut rollouts, "a", "uvw"), [Now, Now, Later]);
        assert_eq!(asked(&mut rollouts, "b", "x"), [Later]);
        assert!(rollouts.triggered(&"a", &'u', "t".into()));
        assert!(rollouts.triggered(&"a", &'v', "t".into()));
        assert_eq!(
            asked(&mut rollouts, "a", "uvw"),
            [Turn::Done, Turn::Done, Later]
        );
        assert_eq!(rollouts.completed(&'v'), ["a"]);
        assert_eq!(
            asked(&mut rollouts, "b", "x"),
            [Later],
            "the slot is kept for the first in line"
        );
        assert_eq!(asked(&mut rollouts, "a", "w"), [Now]);
        assert_eq!((rollouts.in_progress(), rollouts.waiting()), (2, 1));
        assert_eq!(
            rollouts.cancel(&"a", &'w'),
            ["b"],
            "the workload does not exist"
        );
        assert_eq!(asked(&mut rollouts, "b", "x"), [Now]);
    }

    #[test]
    fn two_bindings_restart_one_workload_in_one_slot() {
        let mut rollouts = Rollouts::new(1);
        assert_eq!(asked(&mut rollouts, "a", "u"), [Turn::Now]);
        assert_eq!(asked(&mut rollouts, "b", "u"), [Turn::Now]);
        assert!(rollouts.triggered(&"a", &'u', "t".into()));
        assert!(
            !rollouts.triggered(&"b", &'u', "t".into()),
            "it is already awaited"
        );
        for binding in ["c", "d"] {
            assert_eq!(asked(&mut rollouts, binding, "v"), [Turn::Later]);
        }
        assert_eq!(
            rollouts.completed(&'u'),
            ["c", "d"],
            "their turn comes together"
        );
    }

    #[test]
    fn a_slot_is_held_while_another_binding_is_about_to_restart_the_workload() {
        let mut rollouts = Rollouts::new(1);
        asked(&mut rollouts, "a", "u");
        rollouts.triggered(&"a", &'u', "t".into());
        asked(&mut rollouts, "b", "u");
        asked(&mut rollouts, "c", "v");
        assert_eq!(rollouts.completed(&'u'), NONE);
        assert!(
            rollouts.triggered(&"b", &'u', "t".into()),
            "it must be awaited again"
        );
        assert_eq!(rollouts.completed(&'u'), ["c"]);
    }

    #[test]
    fn another_change_restarts_again() {
        let mut rollouts = Rollouts::new(1);
        asked(&mut rollouts, "a", "u");
        rollouts.triggered(&"a", &'u', "t".into());
        assert_eq!(rollouts.ask(&"a", &'u', "t"), Turn::Done);
        assert_eq!(rollouts.ask(&"a", &'u', "other"), Turn::Now);
    }

    #[test]
    fn a_binding_that_leaves_holds_up_no_other() {
        let mut rollouts = Rollouts::new(1);
        asked(&mut rollouts, "a", "u");
        for binding in ["b", "c", "d"] {
            let workload = binding.to_uppercase();
            asked(&mut rollouts, binding, &workload);
        }
        assert_eq!(rollouts.retain(&"b", []), NONE, "it waited");
        rollouts.triggered(&"a", &'u', "t".into());
        assert_eq!(rollouts.completed(&'u'), ["c"]);
        assert_eq!(
            rollouts.retain(&"c", [&'Z']),
            ["d"],
            "its spec changed before its turn came"
        );
        assert_eq!(rollouts.retain(&"d", []), NONE);
        assert_eq!(rollouts.retain(&"a", []), NONE);
        assert_eq!((rollouts.in_progress(), rollouts.waiting()), (0, 0));
        assert!(rollouts.restarts.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A binding is visited and wants these workloads restarted. Of those that it may restart now, the first ones, as many
        /// as this, exist.
        Visit(u8, HashSet<u8>, usize),
        /// The restart of a workload is complete.
        Complete(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let wanted = prop::collection::hash_set(0..10_u8, 0..4);
        let visit = (0..6_u8, wanted, 0..5_usize)
            .prop_map(|(binding, wanted, exist)| Step::Visit(binding, wanted, exist));
        let complete = (0..64_usize).prop_map(Step::Complete);
        prop::collection::vec(prop_oneof![2 => visit, 1 => complete], 1..200)
    }

    /// The bindings and workloads around the line.
    struct World {
        rollouts: Rollouts<u8, u8>,
        wants: HashMap<u8, HashSet<u8>>,
        in_progress: Vec<u8>,
        /// The bindings whose turn it is and that are visited next.
        named: VecDeque<u8>,
    }

    impl World {
        fn visit(&mut self, binding: u8, exist: usize) {
            let wanted = self.wants.get(&binding).cloned().unwrap_or_default();
            self.named.extend(self.rollouts.retain(&binding, &wanted));
            let turns: Vec<u8> = wanted
                .into_iter()
                .filter(|workload| self.rollouts.ask(&binding, workload, "t") == Turn::Now)
                .collect();
            for (index, workload) in turns.iter().enumerate() {
                if index >= exist {
                    self.named.extend(self.rollouts.cancel(&binding, workload));
                } else if self.rollouts.triggered(&binding, workload, "t".into()) {
                    self.in_progress.push(*workload);
                }
            }
        }

        fn complete(&mut self, which: usize) {
            if !self.in_progress.is_empty() {
                let workload = self.in_progress.remove(which % self.in_progress.len());
                self.named.extend(self.rollouts.completed(&workload));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn slots_are_kept_and_everyone_gets_a_turn(slots in 1..4_usize, steps in steps()) {
            let mut world = World {
                rollouts: Rollouts::new(slots),
                wants: HashMap::new(),
                in_progress: Vec::new(),
                named: VecDeque::new(),
            };
            for step in steps {
                match step {
                    Step::Visit(binding, wanted, exist) => {
                        world.wants.insert(binding, wanted);
                        world.visit(binding, exist);
                    }
                    Step::Complete(which) => world.complete(which),
                }
                let rollouts = &world.rollouts;
                prop_assert!(rollouts.in_progress() <= slots);
                prop_assert!(rollouts.waiting() == 0 || rollouts.in_progress() == slots);
                let takes_a_slot = |workload| rollouts.taken[workload].in_progress;
                prop_assert!(world.in_progress.iter().all(takes_a_slot));
            }
            // From now on only bindings whose turn it is are visited, and every restart completes: no binding is forgotten.
            let mut rounds = 0;
            while world.rollouts.waiting() > 0 || world.rollouts.in_progress() > 0 {
                while let Some(binding) = world.named.pop_front() {
                    world.visit(binding, usize::MAX);
                }
                world.complete(0);
                rounds += 1;
                prop_assert!(rounds < 1_000, "a workload waits forever");
            }
        }
    }
}
