//! The two lanes of the queue, as a state machine without clock or runtime.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// The priority with which an object waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Work that no person waits for: changed catalogs, drift, retries.
    Low,
    /// Work that a person waits for: new objects, and objects whose spec changed.
    High,
}

impl Lane {
    /// Returns the lane as a label of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

/// How many visits for each worker the low lane begins with few workers, after one of the high lane: about a second of a small
/// apiserver.
const CONSIDERATE_VISITS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    WaitingHigh,
    WaitingLow { ticket: u64 },
    Busy { lane: Lane, again: Option<Lane> },
}

/// A two-lane queue of objects for a fixed number of workers.
///
/// - Each object is in the queue at most once: it waits in one lane, or one worker is busy with it.
/// - The high lane is served before the low one; within a lane, objects are served first in, first out.
/// - The low lane takes at most five eighths of the workers, which keeps a small apiserver busy, and at most a quarter of them
///   while the high lane has work: from a visit of the high lane until four visits for each worker have begun in the low one. So
///   a worker is always free for the high lane, and its calls wait behind few others at the apiserver. At least one worker
///   serves the low lane; a single one serves both.
/// - Every push is followed by a visit that starts after it.
///
/// All operations take amortized constant time.
#[derive(Debug)]
pub struct Queue<K> {
    workers: usize,
    busy: usize,
    busy_low: usize,
    /// How many visits of the low lane begin with few workers, because the high lane had work.
    considerate: usize,
    states: HashMap<K, KeyState>,
    high: VecDeque<K>,
    /// Also holds stale entries of objects that moved to the high lane, at most as many as current ones. The ticket of a
    /// stale entry differs from the one in `states`.
    low: VecDeque<(u64, K)>,
    stale: usize,
    next_ticket: u64,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// Returns an empty queue for this many workers, at least one.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let workers = workers.max(1);
        Self {
            workers,
            busy: 0,
            busy_low: 0,
            considerate: 0,
            states: HashMap::new(),
            high: VecDeque::new(),
            low: VecDeque::new(),
            stale: 0,
            next_ticket: 0,
        }
    }

    /// Requests a visit of an object.
    ///
    /// An object that waits in this lane or a higher one keeps its place. One that waits in a lower lane moves to the tail of
    /// this lane. One that a worker is busy with returns when the worker is done, in the highest lane requested by then.
    pub fn push(&mut self, key: K, lane: Lane) {
        match self.states.get_mut(&key) {
            None => self.wait(key, lane),
            Some(KeyState::WaitingHigh) => {}
            Some(KeyState::WaitingLow { .. }) => {
                if lane == Lane::High {
                    self.stale += 1;
                    self.wait(key, Lane::High);
                    self.drop_stale();
                }
            }
            Some(KeyState::Busy { again, .. }) => *again = (*again).max(Some(lane)),
        }
    }

    /// Returns the next object and its lane, or `None` if no object waits or no worker may take it. A worker is busy with the
    /// object until [`done`](Self::done).
    pub fn pop(&mut self) -> Option<(K, Lane)> {
        let lane = self.next_lane()?;
        let key = match lane {
            Lane::High => self.high.pop_front()?,
            Lane::Low => self.pop_low()?,
        };
        if let Some(state) = self.states.get_mut(&key) {
            *state = KeyState::Busy { lane, again: None };
        }
        self.busy += 1;
        match lane {
            Lane::High => self.considerate = self.workers * CONSIDERATE_VISITS,
            Lane::Low => {
                self.busy_low += 1;
                self.considerate = self.considerate.saturating_sub(1);
            }
        }
        Some((key, lane))
    }

    /// Ends the work on an object, which waits again if it was pushed in the meantime. Does nothing if no worker is busy with
    /// the object.
    pub fn done(&mut self, key: &K) {
        let Some((key, state)) = self.states.remove_entry(key) else {
            return;
        };
        let KeyState::Busy { lane, again } = state else {
            self.states.insert(key, state);
            return;
        };
        self.busy -= 1;
        self.busy_low -= usize::from(lane == Lane::Low);
        if let Some(lane) = again {
            self.wait(key, lane);
        }
    }

    /// Returns whether [`pop`](Self::pop) would return an object.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.next_lane().is_some()
    }

    /// Returns the number of objects that wait in a lane.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        match lane {
            Lane::High => self.high.len(),
            Lane::Low => self.low.len() - self.stale,
        }
    }

    /// Returns the number of objects that workers are busy with.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy
    }

    fn next_lane(&self) -> Option<Lane> {
        if self.busy >= self.workers {
            None
        } else if self.waiting(Lane::High) > 0 {
            Some(Lane::High)
        } else if self.waiting(Lane::Low) > 0 && self.busy_low < self.low_workers() {
            Some(Lane::Low)
        } else {
            None
        }
    }

    /// Returns how many workers the low lane may take now.
    fn low_workers(&self) -> usize {
        low_workers(self.workers, self.considerate > 0)
    }

    fn wait(&mut self, key: K, lane: Lane) {
        let state = match lane {
            Lane::High => {
                self.high.push_back(key.clone());
                KeyState::WaitingHigh
            }
            Lane::Low => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.low.push_back((ticket, key.clone()));
                KeyState::WaitingLow { ticket }
            }
        };
        self.states.insert(key, state);
    }

    fn pop_low(&mut self) -> Option<K> {
        let key = loop {
            let (ticket, key) = self.low.pop_front()?;
            if is_current(&self.states, &key, ticket) {
                break key;
            }
            self.stale -= 1;
        };
        self.drop_stale();
        Some(key)
    }

    /// Drops the stale entries of the low lane once they outnumber the current ones. The moves that made them stale pay for
    /// it, so that a move takes amortized constant time.
    fn drop_stale(&mut self) {
        if self.stale > self.low.len() / 2 {
            let states = &self.states;
            self.low
                .retain(|(ticket, key)| is_current(states, key, *ticket));
            self.stale = 0;
        }
    }
}

fn low_workers(workers: usize, is_considerate: bool) -> usize {
    let eighths = if is_considerate { 2 } else { 5 };
    (workers * eighths / 8).max(1)
}

fn is_current<K: Eq + Hash>(states: &HashMap<K, KeyState>, key: &K, ticket: u64) -> bool {
    states.get(key) == Some(&KeyState::WaitingLow { ticket })
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    use Lane::{High, Low};

    fn drain(queue: &mut Queue<&'static str>) -> Vec<(&'static str, Lane)> {
        std::iter::from_fn(|| {
            let next = queue.pop()?;
            queue.done(&next.0);
            Some(next)
        })
        .collect()
    }

    #[test]
    fn order_of_waiting_objects() {
        type Pushes = &'static [(&'static str, Lane)];
        let cases: &[(&str, Pushes, Pushes)] = &[
            (
                "first in, first out",
                &[("a", Low), ("b", Low), ("c", High), ("d", High)],
                &[("c", High), ("d", High), ("a", Low), ("b", Low)],
            ),
            (
                "a second push into the same lane changes nothing",
                &[("a", Low), ("b", Low), ("a", Low)],
                &[("a", Low), ("b", Low)],
            ),
            (
                "a push into a lower lane changes nothing",
                &[("a", High), ("b", High), ("a", Low)],
                &[("a", High), ("b", High)],
            ),
            (
                "a push into a higher lane moves to its tail",
                &[("a", Low), ("b", Low), ("c", High), ("a", High)],
                &[("c", High), ("a", High), ("b", Low)],
            ),
        ];
        for (name, pushes, expected) in cases {
            let mut queue = Queue::new(64);
            for (key, lane) in *pushes {
                queue.push(*key, *lane);
            }
            assert_eq!(drain(&mut queue), *expected, "{name}");
        }
    }

    #[test]
    fn an_object_pushed_during_work_comes_again_at_the_tail_of_the_highest_lane_asked_for() {
        let mut queue = Queue::new(64);
        queue.push("a", Low);
        assert_eq!(queue.pop(), Some(("a", Low)));
        queue.push("b", High);
        queue.push("a", High);
        queue.push("a", Low);
        assert_eq!(queue.pop(), Some(("b", High)));
        assert_eq!(queue.pop(), None);
        queue.push("c", High);
        queue.done(&"a");
        assert_eq!(queue.pop(), Some(("c", High)));
        assert_eq!(queue.pop(), Some(("a", High)));
        queue.done(&"a");
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn an_object_that_returns_to_the_low_lane_after_a_move_waits_at_its_tail() {
        let mut queue = Queue::new(64);
        for key in ["a", "b", "c", "d", "e"] {
            queue.push(key, Low);
        }
        queue.push("a", High);
        assert_eq!(queue.pop(), Some(("a", High)));
        queue.done(&"a");
        queue.push("a", Low);
        let order: Vec<_> = drain(&mut queue).into_iter().map(|(key, _)| key).collect();
        assert_eq!(order, ["b", "c", "d", "e", "a"]);
    }

    #[test]
    fn done_without_work_changes_nothing() {
        let mut queue = Queue::new(64);
        queue.done(&"a");
        queue.push("a", Low);
        queue.done(&"a");
        assert_eq!(drain(&mut queue), [("a", Low)]);
    }

    #[test]
    fn workers_of_the_low_lane() {
        let cases = [
            (0, 1, 1),
            (1, 1, 1),
            (2, 1, 1),
            (3, 1, 1),
            (4, 2, 1),
            (8, 5, 2),
            (64, 40, 16),
        ];
        let full = |workers| {
            let mut queue = Queue::new(workers);
            for key in 0..1000 {
                queue.push(key, Low);
            }
            let low = std::iter::from_fn(|| queue.pop()).count();
            (queue, low)
        };
        for (workers, alone, beside_high) in cases {
            let (mut queue, low) = full(workers);
            assert_eq!(low, alone, "low alone, {workers} workers");
            for key in 1000..1200 {
                queue.push(key, High);
            }
            let high = std::iter::from_fn(|| queue.pop()).count();
            assert_eq!(low + high, workers.max(1), "then high, {workers} workers");

            let (mut queue, low) = full(workers);
            queue.push(1000, High);
            let at_once = queue.pop();
            for key in 0..i32::try_from(low).expect("a few") {
                queue.done(&key);
            }
            let high = at_once.or_else(|| queue.pop());
            assert_eq!(high, Some((1000, High)));
            queue.done(&1000);
            let low = std::iter::from_fn(|| queue.pop()).count();
            assert_eq!(low, beside_high, "low after high, {workers} workers");
        }
    }

    #[test]
    fn the_low_lane_takes_more_workers_again_once_the_high_one_had_no_work() {
        let mut queue = Queue::new(8);
        for key in 0..100 {
            queue.push(key, Low);
        }
        queue.push(100, High);
        assert_eq!(queue.pop(), Some((100, High)));
        queue.done(&100);
        let mut begun = 0;
        let mut busy: VecDeque<i32> = VecDeque::new();
        while busy.len() < 5 {
            while let Some((key, _)) = queue.pop() {
                begun += 1;
                busy.push_back(key);
            }
            if busy.len() < 5 {
                assert_eq!(busy.len(), 2, "after {begun} visits");
                queue.done(&busy.pop_front().expect("one is busy"));
            }
        }
        // The last one of 32, and those that could begin beside it then.
        assert_eq!(begun, 8 * CONSIDERATE_VISITS + 3);
    }

    #[test]
    fn moves_between_lanes_leave_no_memory_behind() {
        let mut queue = Queue::new(1);
        queue.push(0, Low);
        assert_eq!(queue.pop(), Some((0, Low)));
        queue.push(1, Low);
        for key in 2..100_000 {
            queue.push(key, Low);
            queue.push(key, High);
            assert!(queue.low.len() <= 3, "{}", queue.low.len());
            queue.done(&0);
            assert_eq!(queue.pop(), Some((key, High)));
            queue.done(&key);
            queue.push(0, High);
            queue.pop();
        }
        assert!(queue.states.len() <= 2);
        assert!(queue.low.capacity() < 100 && queue.high.capacity() < 100);
    }

    fn considerate_after(before: usize, workers: usize, lane: Lane) -> usize {
        match lane {
            High => 4 * workers,
            Low => before.saturating_sub(1),
        }
    }

    /// The same queue in its simplest form: lists that are searched.
    #[derive(Default)]
    struct Reference {
        workers: usize,
        considerate: usize,
        waiting: Vec<(u8, Lane)>,
        busy: Vec<(u8, Lane, Option<Lane>)>,
    }

    impl Reference {
        fn push(&mut self, key: u8, lane: Lane) {
            if let Some(work) = self.busy.iter_mut().find(|work| work.0 == key) {
                work.2 = work.2.max(Some(lane));
            } else if let Some(at) = self.waiting.iter().position(|entry| entry.0 == key) {
                if lane > self.waiting[at].1 {
                    self.waiting.remove(at);
                    self.waiting.push((key, lane));
                }
            } else {
                self.waiting.push((key, lane));
            }
        }

        fn pop(&mut self) -> Option<(u8, Lane)> {
            if self.busy.len() >= self.workers {
                return None;
            }
            let busy_low = self.busy.iter().filter(|work| work.1 == Low).count();
            let first = |lane| self.waiting.iter().position(|entry| entry.1 == lane);
            let most_low = low_workers(self.workers, self.considerate > 0);
            let at = first(High).or_else(|| first(Low).filter(|_| busy_low < most_low))?;
            let (key, lane) = self.waiting.remove(at);
            self.considerate = considerate_after(self.considerate, self.workers, lane);
            self.busy.push((key, lane, None));
            Some((key, lane))
        }

        fn done(&mut self, key: u8) {
            if let Some(at) = self.busy.iter().position(|work| work.0 == key)
                && let (_, _, Some(lane)) = self.busy.remove(at)
            {
                self.waiting.push((key, lane));
            }
        }

        fn count(&self, lane: Lane) -> usize {
            self.waiting.iter().filter(|entry| entry.1 == lane).count()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8, Lane),
        Pop,
        Done(u8),
    }

    fn step(keys: u8) -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..keys, prop_oneof![Just(Low), Just(High)]).prop_map(|(key, lane)| Step::Push(key, lane)),
            2 => Just(Step::Pop),
            2 => (0..keys).prop_map(Step::Done),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn behaves_as_the_reference(
            workers in prop_oneof![Just(1), Just(2), Just(8), Just(16)],
            steps in prop::collection::vec(step(16), 1..300),
        ) {
            let mut queue = Queue::new(workers);
            let mut reference = Reference { workers, ..Reference::default() };
            for step in steps {
                match step {
                    Step::Push(key, lane) => {
                        queue.push(key, lane);
                        reference.push(key, lane);
                    }
                    Step::Pop => {
                        let ready = queue.is_ready();
                        let popped = queue.pop();
                        prop_assert_eq!(popped, reference.pop());
                        prop_assert_eq!(popped.is_some(), ready);
                    }
                    Step::Done(key) => {
                        queue.done(&key);
                        reference.done(key);
                    }
                }
                prop_assert_eq!(queue.waiting(High), reference.count(High));
                prop_assert_eq!(queue.waiting(Low), reference.count(Low));
                prop_assert_eq!(queue.busy(), reference.busy.len());
            }
        }
    }

    /// What an observer who sees only the calls may rely on, for one object.
    #[derive(Clone, Copy, Default)]
    struct Seen {
        busy: Option<Lane>,
        /// Lane and step of entering it, while waiting.
        entered: Option<(Lane, u64)>,
        /// Highest lane asked for during work.
        again: Option<Lane>,
        pushed: u64,
        started: u64,
    }

    struct Observer {
        queue: Queue<u32>,
        seen: Vec<Seen>,
        working: Vec<u32>,
        workers: usize,
        considerate: usize,
        waiting: [usize; 2],
        last_popped: [u64; 2],
        step: u64,
    }

    impl Observer {
        fn new(workers: usize, keys: usize) -> Self {
            Self {
                queue: Queue::new(workers),
                seen: vec![Seen::default(); keys],
                working: Vec::new(),
                workers,
                considerate: 0,
                waiting: [0; 2],
                last_popped: [0; 2],
                step: 0,
            }
        }

        fn enter(&mut self, key: u32, lane: Lane) {
            let seen = &mut self.seen[key as usize];
            if let Some((old, _)) = seen.entered.replace((lane, self.step)) {
                self.waiting[old as usize] -= 1;
            }
            self.waiting[lane as usize] += 1;
        }

        fn push(&mut self, key: u32, lane: Lane) {
            self.step += 1;
            self.queue.push(key, lane);
            let seen = &mut self.seen[key as usize];
            seen.pushed = self.step;
            if seen.busy.is_some() {
                seen.again = seen.again.max(Some(lane));
            } else if seen.entered.is_none_or(|(waits_in, _)| lane > waits_in) {
                self.enter(key, lane);
            }
        }

        fn pop(&mut self) {
            self.step += 1;
            let busy_low = self
                .working
                .iter()
                .filter(|key| self.seen[**key as usize].busy == Some(Low))
                .count();
            let most_low = low_workers(self.workers, self.considerate > 0);
            let Some((key, lane)) = self.queue.pop() else {
                assert!(
                    self.working.len() == self.workers
                        || self.waiting[High as usize] == 0
                            && (self.waiting[Low as usize] == 0 || busy_low >= most_low),
                    "a free worker was refused"
                );
                return;
            };
            assert!(self.working.len() < self.workers, "more work than workers");
            if lane == Low {
                assert_eq!(self.waiting[High as usize], 0, "low before high");
                assert!(busy_low < most_low, "low took too many workers");
            }
            self.considerate = considerate_after(self.considerate, self.workers, lane);
            let seen = &mut self.seen[key as usize];
            assert_eq!(seen.busy, None, "two workers at once");
            let (waited_in, entered) = seen.entered.take().expect("something that waits");
            assert_eq!(lane, waited_in);
            let last = &mut self.last_popped[lane as usize];
            assert!(entered > *last, "overtaken within a lane");
            *last = entered;
            seen.busy = Some(lane);
            seen.started = self.step;
            self.waiting[lane as usize] -= 1;
            self.working.push(key);
        }

        fn done(&mut self, at: usize) {
            self.step += 1;
            let key = self.working.swap_remove(at);
            self.queue.done(&key);
            let seen = &mut self.seen[key as usize];
            seen.busy = None;
            if let Some(lane) = seen.again.take() {
                self.enter(key, lane);
            }
        }

        fn finish(&mut self) {
            while !self.working.is_empty() || self.waiting != [0, 0] {
                self.pop();
                if !self.working.is_empty() {
                    self.done(0);
                }
            }
            assert_eq!(self.queue.pop(), None);
            for seen in &self.seen {
                assert!(seen.started >= seen.pushed, "a push without a visit");
            }
            assert!(self.queue.states.is_empty() && self.queue.low.is_empty());
        }
    }

    #[test]
    fn millions_of_random_steps_keep_every_promise() {
        let seed = fastrand::u64(..);
        println!("seed {seed}: put it here to repeat a failure");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..20 {
            let workers = *random.choice(&[4, 8, 64]).unwrap();
            let keys = *random.choice(&[10_usize, 100, 10_000]).unwrap();
            let mut observer = Observer::new(workers, keys);
            for _ in 0..50 {
                // Each phase leans another way: bursts, drains, more or less of the high lane.
                let pushes = random.u8(30..200);
                let highs = *random.choice(&[5, 50, 200]).unwrap();
                for _ in 0..2_000 {
                    if random.u8(..) < pushes {
                        let lane = if random.u8(..) < highs { High } else { Low };
                        let key = u32::try_from(random.usize(..keys)).unwrap();
                        observer.push(key, lane);
                    } else if observer.working.is_empty() || random.bool() {
                        observer.pop();
                    } else {
                        let at = random.usize(..observer.working.len());
                        observer.done(at);
                    }
                    let queue = &observer.queue;
                    assert_eq!(queue.waiting(High), observer.waiting[High as usize]);
                    assert_eq!(queue.waiting(Low), observer.waiting[Low as usize]);
                    assert!(queue.stale <= queue.low.len() / 2, "stale entries pile up");
                }
            }
            observer.finish();
        }
    }
}
