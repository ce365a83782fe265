//! The order in which bindings are visited: which is next, and when a binding is visited again.
//!
//! [`Queue`] decides, without clock or runtime. [`WorkQueue`] hands its decisions to worker tasks and adds delays. [`Backoff`]
//! decides how long a failing object waits, and [`Corrections`] how long one that drifts again. [`Rollouts`] decides which
//! workloads may restart.

mod backoff;
mod drift;
mod lanes;
mod rollouts;

use std::{
    collections::{HashMap, hash_map::Entry},
    future::poll_fn,
    hash::Hash,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    time::{DelayQueue, delay_queue},
};

pub use backoff::Backoff;
pub use drift::Corrections;
pub use lanes::{Lane, Queue};
pub use rollouts::{Rollouts, Turn, Wave};

/// Longest delay; a longer one is shortened to this. The timer wheel ends at about two years.
const LONGEST_DELAY: Duration = Duration::from_hours(365 * 24);

/// The number of objects in each part of a [`WorkQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Waiting in the high lane.
    pub high: usize,
    /// Waiting in the low lane.
    pub low: usize,
    /// With a worker.
    pub busy: usize,
    /// Waiting for a delay to end.
    pub delayed: usize,
}

/// A [`Queue`] that worker tasks wait on.
///
/// It expects as many worker tasks as it was made for, each in a loop of [`next`](Self::next), work and
/// [`done`](Self::done).
///
/// An object has at most one pending delay: the soonest that was requested, with the highest lane that was requested.
/// Handing the object to a worker drops its delay, because a visit looks at everything and requests the next one itself. So a
/// delay never causes a second visit for what a push has already caused, and a delay that is requested during a visit
/// remains.
#[derive(Debug)]
pub struct WorkQueue<K> {
    shared: Arc<Shared<K>>,
    _close_on_drop: DropGuard,
}

#[derive(Debug)]
struct Shared<K> {
    state: Mutex<State<K>>,
    ready: Notify,
    closed: CancellationToken,
}

#[derive(Debug)]
struct State<K> {
    queue: Queue<K>,
    /// Since when each object waits, and in which lane; also of objects that were pushed again while a worker has them.
    waiting: HashMap<K, (Lane, Instant)>,
    delays: DelayQueue<K>,
    delayed: HashMap<K, (delay_queue::Key, Lane)>,
}

impl<K: Clone + Eq + Hash + Send + 'static> WorkQueue<K> {
    /// Returns an empty queue for this many worker tasks, at least one, and starts the task that ends delays. That task stops
    /// when the queue is closed or dropped.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let closed = CancellationToken::new();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(workers),
                waiting: HashMap::new(),
                delays: DelayQueue::new(),
                delayed: HashMap::new(),
            }),
            ready: Notify::new(),
            closed: closed.clone(),
        });
        tokio::spawn(end_delays(Arc::clone(&shared)));
        Self {
            shared,
            _close_on_drop: closed.drop_guard(),
        }
    }

    /// Requests a visit as soon as a worker is free; see [`Queue::push`].
    pub fn push(&self, key: K, lane: Lane) {
        self.shared.state.lock().push(key, lane);
        self.shared.ready.notify_one();
    }

    /// Requests a visit after a delay, unless one is due sooner. A delay longer than a year is shortened to a year.
    pub fn push_after(&self, key: K, lane: Lane, delay: Duration) {
        let due = Instant::now() + delay.min(LONGEST_DELAY);
        self.shared.state.lock().delay(key, lane, due);
    }

    /// Waits for an object to work on, and returns it with its lane and the time that it waited there. Returns `None` once the
    /// queue is closed. Dropping the future loses no object.
    pub async fn next(&self) -> Option<(K, Lane, Duration)> {
        loop {
            if self.shared.closed.is_cancelled() {
                return None;
            }
            if let Some(next) = self.shared.pop() {
                return Some(next);
            }
            tokio::select! {
                () = self.shared.closed.cancelled() => return None,
                () = self.shared.ready.notified() => {}
            }
        }
    }

    /// Returns an object to the queue after its visit; see [`Queue::done`].
    pub fn done(&self, key: &K) {
        self.shared.state.lock().queue.done(key);
        self.shared.ready.notify_one();
    }

    /// Closes the queue: every current and future call of [`next`](Self::next) returns `None`. Visits in progress go on.
    pub fn close(&self) {
        self.shared.closed.cancel();
    }

    /// Waits until the queue is closed.
    pub async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    /// Returns the number of objects in each part of the queue.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let state = self.shared.state.lock();
        Depth {
            high: state.queue.waiting(Lane::High),
            low: state.queue.waiting(Lane::Low),
            busy: state.queue.busy(),
            delayed: state.delayed.len(),
        }
    }

    /// Returns how long the object has waited that waits longest in a lane; zero where none waits.
    #[must_use]
    pub fn age(&self, lane: Lane) -> Duration {
        let state = self.shared.state.lock();
        let of_lane = state
            .waiting
            .values()
            .filter(|(waits_in, _)| *waits_in == lane);
        let oldest = of_lane.map(|(_, since)| *since).min();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl<K: Clone + Eq + Hash> Shared<K> {
    fn pop(&self) -> Option<(K, Lane, Duration)> {
        let mut state = self.state.lock();
        let (key, lane) = state.queue.pop()?;
        state.drop_delay(&key);
        let since = state.waiting.remove(&key);
        let waited = since.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let more = state.queue.is_ready();
        drop(state);
        if more {
            // Notifications do not add up while no worker waits, so each worker that finds more wakes the next.
            self.ready.notify_one();
        }
        Some((key, lane, waited))
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn push(&mut self, key: K, lane: Lane) {
        let now = (lane, Instant::now());
        let waits = self.waiting.entry(key.clone()).or_insert(now);
        if lane > waits.0 {
            *waits = now;
        }
        self.queue.push(key, lane);
    }

    fn delay(&mut self, key: K, mut lane: Lane, due: Instant) {
        match self.delayed.entry(key) {
            Entry::Vacant(entry) => {
                let timer = self.delays.insert_at(entry.key().clone(), due);
                entry.insert((timer, lane));
            }
            Entry::Occupied(mut entry) => {
                let (mut timer, earlier_lane) = *entry.get();
                lane = lane.max(earlier_lane);
                if due < self.delays.deadline(&timer) {
                    // `reset_at` could leave the task that ends delays asleep.
                    self.delays.remove(&timer);
                    timer = self.delays.insert_at(entry.key().clone(), due);
                }
                entry.insert((timer, lane));
            }
        }
    }

    fn drop_delay(&mut self, key: &K) {
        if let Some((timer, _)) = self.delayed.remove(key) {
            self.delays.remove(&timer);
        }
    }

    /// Pushes the objects whose delay has ended. Ready if there were any.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut any = Poll::Pending;
        while let Poll::Ready(Some(expired)) = self.delays.poll_expired(context) {
            let key = expired.into_inner();
            if let Some((_, lane)) = self.delayed.remove(&key) {
                self.push(key, lane);
                any = Poll::Ready(());
            }
        }
        any
    }
}

async fn end_delays<K: Clone + Eq + Hash>(shared: Arc<Shared<K>>) {
    loop {
        tokio::select! {
            () = shared.closed.cancelled() => return,
            () = poll_fn(|context| shared.state.lock().poll_due(context)) => shared.ready.notify_one(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::time::sleep;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    async fn next(queue: &WorkQueue<&'static str>) -> Option<(&'static str, Lane)> {
        let (key, lane, _) = queue.next().await?;
        Some((key, lane))
    }

    /// Waits on the queue in a task of its own, as a worker does, but with a timeout.
    fn worker(
        queue: &Arc<WorkQueue<&'static str>>,
    ) -> impl Future<Output = Option<(&'static str, Lane)>> + use<> {
        let queue = Arc::clone(queue);
        let task =
            tokio::spawn(async move { tokio::time::timeout(seconds(100_000), next(&queue)).await });
        async move { task.await.unwrap().expect("the worker was never woken") }
    }

    /// Takes what is ready now.
    async fn take_ready(queue: &WorkQueue<&'static str>) -> Vec<(&'static str, Lane)> {
        let mut taken = Vec::new();
        while let Ok(Some(one)) = tokio::time::timeout(Duration::from_millis(1), next(queue)).await
        {
            taken.push(one);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_worker_gets_what_is_pushed() {
        let queue = Arc::new(WorkQueue::new(4));
        let worker = worker(&queue);
        sleep(seconds(1)).await;
        queue.push("a", Lane::Low);
        assert_eq!(worker.await, Some(("a", Lane::Low)));
        assert_eq!(
            queue.depth(),
            Depth {
                high: 0,
                low: 0,
                busy: 1,
                delayed: 0
            }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_ends_on_time_and_in_its_lane() {
        let queue = WorkQueue::new(4);
        let start = Instant::now();
        queue.push_after("later", Lane::Low, seconds(60));
        queue.push_after("sooner", Lane::High, seconds(30));
        assert_eq!(queue.depth().delayed, 2);
        assert_eq!(next(&queue).await, Some(("sooner", Lane::High)));
        assert_eq!(start.elapsed().as_secs(), 30);
        assert_eq!(next(&queue).await, Some(("later", Lane::Low)));
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(queue.depth().delayed, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_soonest_delay_of_an_object_wins_and_there_is_one_only() {
        for delays in [[60, 30, 90], [30, 60, 90], [90, 60, 30]] {
            let queue = WorkQueue::new(4);
            let start = Instant::now();
            for delay in delays {
                queue.push_after("a", Lane::Low, seconds(delay));
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(queue.depth().delayed, 1);
            assert_eq!(next(&queue).await, Some(("a", Lane::Low)));
            assert_eq!(start.elapsed().as_secs(), 30, "{delays:?}");
            queue.done(&"a");
            sleep(seconds(1000)).await;
            assert_eq!(take_ready(&queue).await, []);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_keeps_the_highest_lane_asked_for() {
        let queue = WorkQueue::new(4);
        queue.push_after("a", Lane::Low, seconds(5));
        queue.push_after("a", Lane::High, seconds(60));
        assert_eq!(next(&queue).await, Some(("a", Lane::High)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_visit_drops_the_delay_that_was_pending() {
        let queue = WorkQueue::new(4);
        queue.push_after("a", Lane::Low, seconds(10));
        queue.push("a", Lane::High);
        assert_eq!(next(&queue).await, Some(("a", Lane::High)));
        assert_eq!(queue.depth().delayed, 0);
        queue.done(&"a");
        sleep(seconds(60)).await;
        assert_eq!(take_ready(&queue).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_asked_for_during_a_visit_stands() {
        let queue = WorkQueue::new(4);
        queue.push("a", Lane::High);
        assert_eq!(next(&queue).await, Some(("a", Lane::High)));
        let start = Instant::now();
        queue.push_after("a", Lane::Low, seconds(10));
        queue.done(&"a");
        assert_eq!(next(&queue).await, Some(("a", Lane::Low)));
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_that_ends_during_a_visit_leads_to_one_visit_after_it() {
        let queue = WorkQueue::new(4);
        queue.push("a", Lane::High);
        assert_eq!(next(&queue).await, Some(("a", Lane::High)));
        queue.push_after("a", Lane::Low, seconds(10));
        sleep(seconds(60)).await;
        assert_eq!(take_ready(&queue).await, []);
        queue.done(&"a");
        assert_eq!(take_ready(&queue).await, [("a", Lane::Low)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_beyond_the_timer_is_kept() {
        let queue = WorkQueue::new(4);
        queue.push_after("a", Lane::Low, Duration::MAX);
        assert_eq!(queue.depth().delayed, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_that_end_together_wake_a_worker_each() {
        let queue = Arc::new(WorkQueue::new(12));
        let workers: Vec<_> = (0..3).map(|_| worker(&queue)).collect();
        for key in ["a", "b", "c"] {
            queue.push_after(key, Lane::Low, seconds(10));
        }
        let mut taken = Vec::new();
        for worker in workers {
            taken.push(worker.await);
        }
        taken.sort_unstable();
        assert_eq!(taken, ["a", "b", "c"].map(|key| Some((key, Lane::Low))));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_measured_by_lane_from_the_push_that_counts() {
        let queue = WorkQueue::new(2);
        assert_eq!(queue.age(Lane::High), Duration::ZERO);
        queue.push("moved", Lane::Low);
        queue.push("low", Lane::Low);
        queue.push_after("delayed", Lane::Low, seconds(20));
        sleep(seconds(10)).await;
        queue.push("moved", Lane::High);
        queue.push("low", Lane::Low);
        sleep(seconds(5)).await;
        assert_eq!(queue.age(Lane::High).as_secs(), 5);
        assert_eq!(queue.age(Lane::Low).as_secs(), 15);
        let taken = async || {
            let (key, lane, waited) = queue.next().await.expect("open");
            (key, lane, waited.as_secs())
        };
        assert_eq!(taken().await, ("moved", Lane::High, 5));
        assert_eq!(taken().await, ("low", Lane::Low, 15));
        // Pushed while a worker has it, it waits at once.
        queue.push("moved", Lane::High);
        sleep(seconds(3)).await;
        queue.done(&"moved");
        sleep(seconds(4)).await;
        assert_eq!(queue.age(Lane::High).as_secs(), 7);
        assert_eq!(taken().await, ("moved", Lane::High, 7));
        queue.done(&"low");
        // A delay is no waiting; what follows it is.
        assert_eq!(taken().await, ("delayed", Lane::Low, 2));
        assert_eq!(queue.age(Lane::Low), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_waiting_and_later_workers() {
        let queue = Arc::new(WorkQueue::new(4));
        let worker = worker(&queue);
        sleep(seconds(1)).await;
        queue.close();
        assert_eq!(worker.await, None);
        queue.push("a", Lane::High);
        assert_eq!(next(&queue).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_freed_by_another_that_stops_is_given_on() {
        let queue = Arc::new(WorkQueue::new(2)); // the low lane gets one worker
        queue.push("a", Lane::Low);
        queue.push("b", Lane::Low);
        assert_eq!(next(&queue).await, Some(("a", Lane::Low)));
        let worker = worker(&queue);
        sleep(seconds(1)).await;
        queue.done(&"a");
        assert_eq!(worker.await, Some(("b", Lane::Low)));
    }

    /// Many workers on several threads: every push is followed by a visit, and no object has two visits at once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn workers_on_threads_lose_and_double_nothing() {
        use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
        const KEYS: usize = 50;
        const PUSHES: usize = 4_000;

        struct Object {
            busy: AtomicBool,
            asked: AtomicUsize,
            seen: AtomicUsize,
        }
        let objects: Arc<Vec<Object>> = Arc::new(
            (0..KEYS)
                .map(|_| Object {
                    busy: AtomicBool::new(false),
                    asked: AtomicUsize::new(0),
                    seen: AtomicUsize::new(0),
                })
                .collect(),
        );
        let queue = Arc::new(WorkQueue::new(8));
        let workers: Vec<_> = (0..8)
            .map(|_| {
                let (queue, objects) = (Arc::clone(&queue), Arc::clone(&objects));
                tokio::spawn(async move {
                    while let Some((key, ..)) = queue.next().await {
                        let object: &Object = &objects[key];
                        assert!(!object.busy.swap(true, SeqCst), "two workers at once");
                        let asked = object.asked.load(SeqCst);
                        tokio::task::yield_now().await;
                        object.seen.store(asked, SeqCst);
                        object.busy.store(false, SeqCst);
                        queue.done(&key);
                    }
                })
            })
            .collect();
        let pushers: Vec<_> = (0..4)
            .map(|_| {
                let (queue, objects) = (Arc::clone(&queue), Arc::clone(&objects));
                tokio::spawn(async move {
                    for _ in 0..PUSHES {
                        let key = fastrand::usize(..KEYS);
                        objects[key].asked.fetch_add(1, SeqCst);
                        let lane = if fastrand::bool() {
                            Lane::High
                        } else {
                            Lane::Low
                        };
                        if fastrand::u8(..8) == 0 {
                            queue.push_after(key, lane, Duration::from_millis(fastrand::u64(..3)));
                        } else {
                            queue.push(key, lane);
                        }
                        if fastrand::u8(..4) == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for pusher in pushers {
            pusher.await.unwrap();
        }
        let idle = Depth {
            high: 0,
            low: 0,
            busy: 0,
            delayed: 0,
        };
        tokio::time::timeout(seconds(60), async {
            while queue.depth() != idle {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("everything asked for is visited");
        queue.close();
        for worker in workers {
            worker.await.unwrap();
        }
        for object in objects.iter() {
            assert_eq!(object.seen.load(SeqCst), object.asked.load(SeqCst));
        }
    }
}
