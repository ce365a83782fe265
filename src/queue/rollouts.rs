//! Which workloads restart now, and which wait: a few at a time over all bindings, so that one change of a catalog does not
//! restart everything together. A state machine without clock or runtime.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::Hash,
    sync::Arc,
};

/// What a binding is told that asks to restart a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It restarts the workload now, and says what became of it by [`Rollouts::triggered`] or [`Rollouts::let_go`].
    Now,
    /// It waits in line; it is named when its turn comes.
    Later,
    /// It has restarted the workload for this already.
    Done,
}

/// A line of workloads to be restarted, by bindings `B`, and the workloads `W` whose restart is under way.
///
/// - A workload takes one slot, however many bindings restart it, from the moment that a binding may restart it until that
///   is complete. There are never more workloads under way than slots.
/// - First in, first out. A slot that becomes free is kept for the bindings whose turn it is; these are returned, to be
///   visited. One that does not ask when it is visited gives its turn to the next, by [`Rollouts::retain`].
/// - A binding that returns keeps its place.
#[derive(Debug)]
pub struct Rollouts<B, W> {
    slots: usize,
    /// Workloads that take a slot.
    taken: HashMap<W, Slot<B>>,
    /// Workloads that wait for one, each with the bindings that want to restart it. Empty while a slot is free.
    line: VecDeque<(W, Vec<B>)>,
    /// What each binding has to do with which workload: never empty.
    restarts: HashMap<B, HashMap<W, RestartState>>,
}

/// A slot: it is free again when nobody holds it and no restart is under way.
#[derive(Debug)]
struct Slot<B> {
    /// Bindings that may restart the workload now.
    holders: Vec<B>,
    under_way: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum RestartState {
    /// In line.
    Waiting,
    /// Among the holders of a slot.
    Granted,
    /// Restarted for what this token names.
    Triggered(Arc<str>),
}

impl<B: Clone + Eq + Hash, W: Clone + Eq + Hash> Rollouts<B, W> {
    /// Makes one with this many slots, at least one.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self {
            slots: slots.max(1),
            taken: HashMap::new(),
            line: VecDeque::new(),
            restarts: HashMap::new(),
        }
    }

    /// Asks to restart a workload for what a token names.
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
                under_way: false,
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

    /// Notes that a binding whose turn it was has restarted a workload. Returns whether its completion is to be awaited from
    /// now on, and [`Rollouts::completed`] told; otherwise it is awaited already.
    pub fn triggered(&mut self, binding: &B, workload: &W, token: Arc<str>) -> bool {
        let Some(slot) = self.taken.get_mut(workload) else {
            return false;
        };
        slot.holders.retain(|holder| holder != binding);
        if let Some(restarts) = self.restarts.get_mut(binding) {
            restarts.insert(workload.clone(), RestartState::Triggered(token));
        }
        !std::mem::replace(&mut slot.under_way, true)
    }

    /// Takes a binding's turn or place in line at a workload away: there is nothing to restart, or it failed. Returns the
    /// bindings whose turn it is now.
    #[must_use]
    pub fn let_go(&mut self, binding: &B, workload: &W) -> Vec<B> {
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

    /// Lets a binding have to do with these workloads only: it is gone, its spec changed, or nothing is to be restarted any
    /// more. Returns the bindings whose turn it is now.
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
            .flat_map(|workload| self.let_go(binding, workload))
            .collect()
    }

    /// Notes that the restart of a workload is complete, or is not awaited any longer. Returns the bindings whose turn it is
    /// now.
    #[must_use]
    pub fn completed(&mut self, workload: &W) -> Vec<B> {
        if let Some(slot) = self.taken.get_mut(workload) {
            slot.under_way = false;
        }
        self.free(workload)
    }

    /// Returns how many workloads take a slot.
    #[cfg(test)]
    fn under_way(&self) -> usize {
        self.taken.len()
    }

    /// Returns how many workloads wait for a slot.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Frees the slot of a workload that nothing is going on with, and fills it with the next.
    fn free(&mut self, workload: &W) -> Vec<B> {
        let idle = |slot: &Slot<B>| slot.holders.is_empty() && !slot.under_way;
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
                    under_way: false,
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

    const NOBODY: [&str; 0] = [];

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
            "the slot is kept for the first"
        );
        assert_eq!(asked(&mut rollouts, "a", "w"), [Now]);
        assert_eq!((rollouts.under_way(), rollouts.waiting()), (2, 1));
        assert_eq!(
            rollouts.let_go(&"a", &'w'),
            ["b"],
            "there is no such workload"
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
            "it is followed already"
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
        assert_eq!(rollouts.completed(&'u'), NOBODY);
        assert!(
            rollouts.triggered(&"b", &'u', "t".into()),
            "it is to be followed anew"
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
    fn whoever_leaves_holds_up_nobody() {
        let mut rollouts = Rollouts::new(1);
        asked(&mut rollouts, "a", "u");
        for binding in ["b", "c", "d"] {
            let workload = binding.to_uppercase();
            asked(&mut rollouts, binding, &workload);
        }
        assert_eq!(rollouts.retain(&"b", []), NOBODY, "it waited");
        rollouts.triggered(&"a", &'u', "t".into());
        assert_eq!(rollouts.completed(&'u'), ["c"]);
        assert_eq!(
            rollouts.retain(&"c", [&'Z']),
            ["d"],
            "its spec changed before its turn came"
        );
        assert_eq!(rollouts.retain(&"d", []), NOBODY);
        assert_eq!(rollouts.retain(&"a", []), NOBODY);
        assert_eq!((rollouts.under_way(), rollouts.waiting()), (0, 0));
        assert!(rollouts.restarts.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A binding is visited and wants these workloads restarted; the first so many of those whose turn it is exist.
        Visit(u8, HashSet<u8>, usize),
        /// The restart of a workload that is under way is complete.
        Complete(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let wanted = prop::collection::hash_set(0..10_u8, 0..4);
        let visit = (0..6_u8, wanted, 0..5_usize)
            .prop_map(|(binding, wanted, exist)| Step::Visit(binding, wanted, exist));
        let complete = (0..64_usize).prop_map(Step::Complete);
        prop::collection::vec(prop_oneof![2 => visit, 1 => complete], 1..200)
    }

    /// Bindings and workloads around the line.
    struct World {
        rollouts: Rollouts<u8, u8>,
        wants: HashMap<u8, HashSet<u8>>,
        under_way: Vec<u8>,
        /// Bindings whose turn it is, to be visited.
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
                    self.named.extend(self.rollouts.let_go(&binding, workload));
                } else if self.rollouts.triggered(&binding, workload, "t".into()) {
                    self.under_way.push(*workload);
                }
            }
        }

        fn complete(&mut self, which: usize) {
            if !self.under_way.is_empty() {
                let workload = self.under_way.remove(which % self.under_way.len());
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
                under_way: Vec::new(),
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
                prop_assert!(rollouts.under_way() <= slots);
                prop_assert!(rollouts.waiting() == 0 || rollouts.under_way() == slots);
                let takes_a_slot = |workload| rollouts.taken[workload].under_way;
                prop_assert!(world.under_way.iter().all(takes_a_slot));
            }
            // From now on only those are visited whose turn comes, and every restart becomes complete: nobody is forgotten.
            let mut rounds = 0;
            while world.rollouts.waiting() > 0 || world.rollouts.under_way() > 0 {
                while let Some(binding) = world.named.pop_front() {
                    world.visit(binding, usize::MAX);
                }
                world.complete(0);
                rounds += 1;
                prop_assert!(rounds < 1_000, "someone waits for ever");
            }
        }
    }
}
