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

/// What restarts belong to that stop together: the name of a class.
pub type Wave = Arc<str>;

/// The workloads `W` whose restart is in progress, and a line of those that wait for one. Bindings `B` ask for restarts.
///
/// - A workload takes one slot, however many bindings restart it, from the moment that a binding may restart it until the
///   restart is complete. There are never more restarts in progress than slots.
/// - Restarts are granted first in, first out. A slot that becomes free is kept for the bindings whose turn it is; these are
///   returned so that they are visited. A binding that no longer asks when it is visited gives its turn to the next, by
///   [`Rollouts::retain`].
/// - A binding that asks again keeps its place in line.
/// - A wave stops where a workload that was restarted for it does not come up: its restarts keep their places in line, and others
///   pass them. The stuck workload itself may be restarted again, because that may be its cure.
#[derive(Debug)]
pub struct Rollouts<B, W> {
    slots: usize,
    /// The workloads that take a slot.
    taken: HashMap<W, Slot<B>>,
    /// The workloads that wait for a slot, each with the bindings that want to restart it. While a slot is free, only restarts of
    /// stopped waves wait.
    line: VecDeque<(W, Vec<Asking<B>>)>,
    /// The restarts that each binding has asked for, by workload. No inner map is empty.
    restarts: HashMap<B, HashMap<W, RestartState>>,
    /// The waves that are stopped, each with the workloads that have to come up first. None has no workload.
    stopped: HashMap<Wave, Vec<W>>,
}

/// A binding that may restart a workload, or waits for it, and the waves that the restart belongs to.
#[derive(Debug)]
struct Asking<B> {
    binding: B,
    waves: Box<[Wave]>,
}

/// A taken slot. It becomes free when it has no holders and no restart is in progress.
#[derive(Debug)]
struct Slot<B> {
    /// The bindings that may restart the workload now.
    holders: Vec<Asking<B>>,
    in_progress: bool,
    /// The waves that the restart in progress belongs to.
    waves: Vec<Wave>,
}

impl<B> Slot<B> {
    fn of(holders: Vec<Asking<B>>) -> Self {
        Self {
            holders,
            in_progress: false,
            waves: Vec::new(),
        }
    }
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
            stopped: HashMap::new(),
        }
    }

    /// Asks to restart a workload for these waves. Equal tokens name the same restart.
    pub fn ask(&mut self, binding: &B, workload: &W, token: &str, waves: &[Wave]) -> Turn {
        let may_begin = may_begin(&self.stopped, waves, workload);
        let restarts = self.restarts.entry(binding.clone()).or_default();
        match restarts.get(workload) {
            Some(RestartState::Triggered(done)) if done.as_ref() == token => return Turn::Done,
            Some(RestartState::Waiting) => return Turn::Later,
            Some(RestartState::Granted) => return Turn::Now,
            Some(RestartState::Triggered(_)) | None => {}
        }
        let asking = Asking {
            binding: binding.clone(),
            waves: waves.into(),
        };
        let is_full = self.taken.len() >= self.slots;
        match self.taken.get_mut(workload) {
            Some(slot) if may_begin => slot.holders.push(asking),
            None if may_begin && !is_full => {
                self.taken.insert(workload.clone(), Slot::of(vec![asking]));
            }
            _ => {
                restarts.insert(workload.clone(), RestartState::Waiting);
                self.queue(workload, asking);
                return Turn::Later;
            }
        }
        restarts.insert(workload.clone(), RestartState::Granted);
        Turn::Now
    }

    fn queue(&mut self, workload: &W, asking: Asking<B>) {
        let mut line = self.line.iter_mut();
        match line.find(|(waiting, _)| waiting == workload) {
            Some((_, bindings)) => bindings.push(asking),
            None => self.line.push_back((workload.clone(), vec![asking])),
        }
    }

    /// Records that a binding whose turn it was has restarted a workload. Returns whether the caller must now await the
    /// completion and report it by [`Rollouts::completed`]; if false, it is already awaited.
    pub fn triggered(&mut self, binding: &B, workload: &W, token: Arc<str>) -> bool {
        let restarts = self.restarts.entry(binding.clone()).or_default();
        let before = restarts.insert(workload.clone(), RestartState::Triggered(token));
        let mut asked = Vec::new();
        if before == Some(RestartState::Waiting) {
            // A wave stopped while the restart was under way.
            asked.extend(self.leave_line(binding, workload));
        }
        let slot = self.taken.entry(workload.clone());
        let slot = slot.or_insert_with(|| Slot::of(Vec::new()));
        let held = slot
            .holders
            .extract_if(.., |holder| holder.binding == *binding);
        asked.extend(held);
        for wave in asked.into_iter().flat_map(|asking| asking.waves) {
            if !slot.waves.contains(&wave) {
                slot.waves.push(wave);
            }
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
                    slot.holders.retain(|holder| holder.binding != *binding);
                }
                self.free(workload)
            }
            Some(RestartState::Waiting) => {
                self.leave_line(binding, workload);
                Vec::new()
            }
            Some(RestartState::Triggered(_)) | None => Vec::new(),
        }
    }

    fn leave_line(&mut self, binding: &B, workload: &W) -> Option<Asking<B>> {
        let place = (self.line.iter()).position(|(waiting, _)| waiting == workload)?;
        let (_, bindings) = self.line.get_mut(place)?;
        let index = bindings.iter().position(|it| it.binding == *binding)?;
        let left = bindings.remove(index);
        if bindings.is_empty() {
            self.line.remove(place);
        }
        Some(left)
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

    /// Records that the restart of a workload is complete or no longer awaited, and that its waves go on if it was what
    /// stopped them. Returns the bindings whose turn it is now.
    #[must_use]
    pub fn completed(&mut self, workload: &W) -> Vec<B> {
        self.stopped.retain(|_, stuck| {
            stuck.retain(|it| it != workload);
            !stuck.is_empty()
        });
        // A wave that another workload stops does not go on with this one either.
        self.take_back();
        if let Some(slot) = self.taken.get_mut(workload) {
            slot.in_progress = false;
            slot.waves.clear();
        }
        self.free(workload)
    }

    /// Records that a workload did not come up in time: its slot becomes free, and the waves that it was restarted for stop until
    /// [`Rollouts::completed`]. Returns the bindings whose turn it is now.
    #[must_use]
    pub fn overdue(&mut self, workload: &W) -> Vec<B> {
        let mut waves = Vec::new();
        if let Some(slot) = self.taken.get_mut(workload) {
            slot.in_progress = false;
            waves = std::mem::take(&mut slot.waves);
        }
        for wave in &waves {
            self.note_stuck(wave, workload);
        }
        self.free(workload)
    }

    /// Stops a wave until a workload has come up. Restarts of it that are granted and have not begun go back into the line.
    /// Returns the bindings whose turn it is now.
    #[must_use]
    pub fn stop(&mut self, wave: &Wave, workload: &W) -> Vec<B> {
        self.note_stuck(wave, workload);
        self.grant_free_slots()
    }

    fn note_stuck(&mut self, wave: &Wave, workload: &W) {
        let stuck = self.stopped.entry(wave.clone()).or_default();
        if !stuck.contains(workload) {
            stuck.push(workload.clone());
        }
        self.take_back();
    }

    /// Takes back what was granted and has not begun of waves that are stopped: it goes back into the line.
    fn take_back(&mut self) {
        let stopped = &self.stopped;
        let mut back = Vec::new();
        for (workload, slot) in &mut self.taken {
            let stops = |it: &mut Asking<B>| !may_begin(stopped, &it.waves, workload);
            let held = slot.holders.extract_if(.., stops);
            back.extend(held.map(|asking| (workload.clone(), asking)));
        }
        self.taken
            .retain(|_, slot| slot.in_progress || !slot.holders.is_empty());
        for (workload, asking) in back {
            if let Some(restarts) = self.restarts.get_mut(&asking.binding) {
                restarts.insert(workload.clone(), RestartState::Waiting);
            }
            let mut line = self.line.iter_mut();
            match line.find(|(waiting, _)| *waiting == workload) {
                Some((_, bindings)) => bindings.push(asking),
                None => self.line.push_front((workload, vec![asking])),
            }
        }
    }

    /// Says whether the restart of a workload that is in progress belongs to a wave.
    #[must_use]
    pub fn belongs_to_wave(&self, workload: &W) -> bool {
        let slot = self.taken.get(workload);
        slot.is_some_and(|slot| !slot.waves.is_empty())
    }

    /// Returns the waves that a workload stops.
    pub fn waves_of<'a>(&'a self, workload: &'a W) -> impl Iterator<Item = &'a Wave> {
        let stopped = self.stopped.iter();
        let stopped = stopped.filter(|(_, stuck)| stuck.contains(workload));
        stopped.map(|(wave, _)| wave)
    }

    /// Returns the workloads that stop a wave.
    #[must_use]
    pub fn stuck(&self, wave: &Wave) -> &[W] {
        self.stopped.get(wave).map_or(&[], Vec::as_slice)
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
        self.grant_free_slots()
    }

    fn grant_free_slots(&mut self) -> Vec<B> {
        let mut next = Vec::new();
        let mut place = 0;
        while let Some((workload, _)) = self.line.get(place) {
            let is_full = self.taken.len() >= self.slots;
            if is_full && self.stopped.is_empty() && !self.taken.contains_key(workload) {
                break;
            }
            if is_full && !self.taken.contains_key(workload) {
                place += 1;
                continue;
            }
            match self.grant(place) {
                granted if granted.is_empty() => place += 1,
                granted => next.extend(granted),
            }
        }
        next
    }

    /// Gives a slot to those at a place of the line that may begin. Returns them.
    fn grant(&mut self, place: usize) -> Vec<B> {
        let Some((workload, waiting)) = self.line.remove(place) else {
            return Vec::new();
        };
        let (go, stay): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .partition(|asking| may_begin(&self.stopped, &asking.waves, &workload));
        if !stay.is_empty() {
            self.line.insert(place, (workload.clone(), stay));
        }
        let granted: Vec<B> = go.iter().map(|asking| asking.binding.clone()).collect();
        for binding in &granted {
            if let Some(restarts) = self.restarts.get_mut(binding) {
                restarts.insert(workload.clone(), RestartState::Granted);
            }
        }
        if !go.is_empty() {
            let slot = self.taken.entry(workload);
            let slot = slot.or_insert_with(|| Slot::of(Vec::new()));
            slot.holders.extend(go);
        }
        granted
    }
}

/// Says whether a restart may begin as far as its waves are concerned: each of them goes on, or stops at this very workload.
fn may_begin<W: PartialEq>(stopped: &HashMap<Wave, Vec<W>>, waves: &[Wave], workload: &W) -> bool {
    let mut stuck = waves.iter().filter_map(|wave| stopped.get(wave));
    stuck.all(|stuck| stuck.contains(workload))
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
            .map(|workload| rollouts.ask(&binding, &workload, "t", &[]))
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
        assert_eq!(rollouts.ask(&"a", &'u', "t", &[]), Turn::Done);
        assert_eq!(rollouts.ask(&"a", &'u', "other", &[]), Turn::Now);
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

    fn wave(name: &str) -> Wave {
        name.into()
    }

    #[test]
    fn a_wave_stops_at_a_workload_that_does_not_come_up() {
        use Turn::{Later, Now};
        let mut rollouts = Rollouts::new(1);
        let chat = wave("chat");
        let ask = |rollouts: &mut Rollouts<_, _>, binding: &'static str, workload: char| {
            rollouts.ask(&binding, &workload, "t", std::slice::from_ref(&chat))
        };
        assert_eq!(ask(&mut rollouts, "a", 'u'), Now);
        assert_eq!(ask(&mut rollouts, "b", 'v'), Later);
        assert_eq!(ask(&mut rollouts, "c", 'w'), Later);
        assert!(rollouts.triggered(&"a", &'u', "t".into()));
        assert_eq!(rollouts.completed(&'u'), ["b"]);
        assert_eq!(ask(&mut rollouts, "b", 'v'), Now);
        assert!(rollouts.triggered(&"b", &'v', "t".into()));
        assert_eq!(
            rollouts.overdue(&'v'),
            NONE,
            "no further restart of the wave"
        );
        assert_eq!(rollouts.stuck(&"chat".into()), ['v']);
        assert_eq!(rollouts.waves_of(&'v').count(), 1);
        assert_eq!(ask(&mut rollouts, "c", 'w'), Later);
        assert_eq!(ask(&mut rollouts, "d", 'x'), Later);
        // Others take the slot.
        assert_eq!(asked(&mut rollouts, "e", "y"), [Now]);
        assert_eq!(rollouts.ask(&"f", &'z', "t", &[wave("embed")]), Later);
        rollouts.triggered(&"e", &'y', "t".into());
        assert_eq!(rollouts.completed(&'y'), ["f"]);
        rollouts.triggered(&"f", &'z', "t".into());
        assert_eq!(rollouts.completed(&'z'), NONE);
        // The stuck workload may be restarted again: that may cure it.
        assert_eq!(rollouts.ask(&"b", &'v', "other", &[wave("chat")]), Now);
        assert!(rollouts.triggered(&"b", &'v', "other".into()));
        assert_eq!(rollouts.completed(&'v'), ["c"]);
        assert!(rollouts.stuck(&"chat".into()).is_empty());
        assert_eq!(ask(&mut rollouts, "c", 'w'), Now);
    }

    #[test]
    fn what_was_granted_goes_back_into_the_line() {
        use Turn::{Later, Now};
        let mut rollouts = Rollouts::new(3);
        let chat = wave("chat");
        for (binding, workload) in [("a", 'u'), ("b", 'v'), ("c", 'w')] {
            assert_eq!(
                rollouts.ask(&binding, &workload, "t", std::slice::from_ref(&chat)),
                Now
            );
        }
        rollouts.triggered(&"a", &'u', "t".into());
        assert_eq!(rollouts.overdue(&'u'), NONE);
        assert_eq!(
            rollouts.ask(&"b", &'v', "t", &[chat.clone(), wave("embed")]),
            Later
        );
        // The call of this one was under way.
        assert!(rollouts.triggered(&"c", &'w', "t".into()));
        assert_eq!((rollouts.in_progress(), rollouts.waiting()), (1, 1));
        assert_eq!(rollouts.completed(&'w'), NONE);
        assert_eq!(rollouts.completed(&'u'), ["b"]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A binding is visited and wants these workloads restarted. Of those that it may restart now, the first ones, as many
        /// as this, exist.
        Visit(u8, HashSet<u8>, usize),
        /// The restart of a workload is complete.
        Complete(usize),
        /// A workload whose restart is in progress does not come up in time.
        Overdue(usize),
        /// One that did not comes up after all.
        ComeUp(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let wanted = prop::collection::hash_set(0..10_u8, 0..4);
        let visit = (0..6_u8, wanted, 0..5_usize)
            .prop_map(|(binding, wanted, exist)| Step::Visit(binding, wanted, exist));
        let complete = (0..64_usize).prop_map(Step::Complete);
        let overdue = (0..64_usize).prop_map(Step::Overdue);
        let come_up = (0..64_usize).prop_map(Step::ComeUp);
        let step = prop_oneof![8 => visit, 4 => complete, 1 => overdue, 1 => come_up];
        prop::collection::vec(step, 1..200)
    }

    /// The bindings and workloads around the line.
    struct World {
        rollouts: Rollouts<u8, u8>,
        wants: HashMap<u8, HashSet<u8>>,
        in_progress: Vec<u8>,
        stuck: Vec<u8>,
        /// The bindings whose turn it is and that are visited next.
        named: VecDeque<u8>,
    }

    impl World {
        fn visit(&mut self, binding: u8, exist: usize) {
            let wanted = self.wants.get(&binding).cloned().unwrap_or_default();
            self.named.extend(self.rollouts.retain(&binding, &wanted));
            let wave: Option<Wave> = (binding > 1).then(|| (binding % 2).to_string().into());
            let wave = wave.as_slice();
            let turns: Vec<u8> = wanted
                .into_iter()
                .filter(|workload| self.rollouts.ask(&binding, workload, "t", wave) == Turn::Now)
                .collect();
            for workload in &turns {
                let stuck = wave
                    .first()
                    .map_or(&[][..], |wave| self.rollouts.stuck(wave));
                assert!(
                    stuck.is_empty() || stuck.contains(workload),
                    "a stopped wave"
                );
            }
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
                self.stuck.retain(|stuck| *stuck != workload);
                self.named.extend(self.rollouts.completed(&workload));
            }
        }

        fn overdue(&mut self, which: usize) {
            if !self.in_progress.is_empty() {
                let workload = self.in_progress.remove(which % self.in_progress.len());
                self.stuck.push(workload);
                self.named.extend(self.rollouts.overdue(&workload));
            }
        }

        fn come_up(&mut self, which: usize) {
            let idle = |workload: &u8| !self.in_progress.contains(workload);
            let stuck: Vec<u8> = self.stuck.iter().copied().filter(idle).collect();
            if !stuck.is_empty() {
                let workload = stuck[which % stuck.len()];
                self.stuck.retain(|it| *it != workload);
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
                stuck: Vec::new(),
                named: VecDeque::new(),
            };
            for step in steps {
                match step {
                    Step::Visit(binding, wanted, exist) => {
                        world.wants.insert(binding, wanted);
                        world.visit(binding, exist);
                    }
                    Step::Complete(which) => world.complete(which),
                    Step::Overdue(which) => world.overdue(which),
                    Step::ComeUp(which) => world.come_up(which),
                }
                let rollouts = &world.rollouts;
                prop_assert!(rollouts.in_progress() <= slots);
                let is_full = rollouts.in_progress() == slots;
                prop_assert!(rollouts.waiting() == 0 || is_full || !rollouts.stopped.is_empty());
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
                world.come_up(0);
                rounds += 1;
                prop_assert!(rounds < 1_000, "a workload waits forever");
            }
        }
    }
}
