//! What the tasks of the controller share: the cache, the queue and the feeds. A change of the cache is followed up in the
//! queue and the feeds here. Nothing in this file can write to the cluster.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::{
    cache::{Cache, FollowUp},
    feeds::Feeds,
    metrics::Change,
    plan::identity::ObjectKey,
    queue::{Corrections, Lane, WorkQueue},
};

use super::{
    changes::Changes,
    recovery::{Cause, Recovery},
    sync_gate::SyncGate,
};

/// What the tasks of the controller share.
pub(super) struct State {
    cache: Mutex<Cache>,
    corrections: Mutex<Corrections<ObjectKey>>,
    recovery: Mutex<Recovery<ObjectKey>>,
    changes: Mutex<Changes<ObjectKey>>,
    /// Whether what the cache holds is current.
    pub gate: SyncGate,
    /// The bindings to visit.
    pub queue: WorkQueue<ObjectKey>,
    /// The catalogs.
    pub feeds: Feeds,
}

impl State {
    pub fn new(cache: Cache, queue: WorkQueue<ObjectKey>, feeds: Feeds) -> Self {
        Self {
            cache: Mutex::new(cache),
            corrections: Mutex::default(),
            recovery: Mutex::default(),
            changes: Mutex::default(),
            gate: SyncGate::new(),
            queue,
            feeds,
        }
    }

    /// Locks the cache.
    pub fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock()
    }

    /// Records that a target of a binding is corrected after others changed it.
    pub fn note_correction(&self, key: ObjectKey) {
        self.corrections.lock().note(key, Instant::now());
    }

    /// Locks what is known of the bindings that wait for a cause to end.
    pub fn recovery(&self) -> MutexGuard<'_, Recovery<ObjectKey>> {
        self.recovery.lock()
    }

    /// Locks what is known of the changes that wait for their write.
    pub fn changes(&self) -> MutexGuard<'_, Changes<ObjectKey>> {
        self.changes.lock()
    }

    /// Wakes the bindings that waited for this cause to end, because a call shows that it has.
    pub fn recovered(&self, cause: Cause) {
        let woken = self.recovery().succeeded(cause, Instant::now());
        for (key, delay) in woken {
            self.queue.push_after(key, Lane::Low, delay);
        }
    }

    /// Queues these bindings in the low lane.
    pub fn wake(&self, bindings: impl IntoIterator<Item = ObjectKey>) {
        for key in bindings {
            self.queue.push(key, Lane::Low);
        }
    }

    /// Queues the bindings that a change of what AWS offers, or of a model's life, concerns.
    pub fn catalog_changed(&self, bindings: impl IntoIterator<Item = ObjectKey>) {
        let now = Instant::now();
        for key in bindings {
            self.changes().note(&key, Change::Catalog, now);
            self.queue.push(key, Lane::Low);
        }
    }

    /// Changes the cache and follows up. Feeds are held and released under the lock, so that they follow the order of the
    /// changes.
    pub fn change(&self, what: Change, change: impl FnOnce(&mut Cache) -> FollowUp) {
        self.change_counted(|_, _| Some(what), change);
    }

    /// As [`State::change`], for an event of a binding. Where it wakes the binding itself in the low lane, only its status moved:
    /// that is mostly the operator's own doing, and no change that waits for a write.
    pub fn change_binding(&self, binding: &ObjectKey, change: impl FnOnce(&mut Cache) -> FollowUp) {
        let of_spec = |woken: &ObjectKey, lane| woken != binding || lane == Lane::High;
        self.change_counted(
            |woken, lane| of_spec(woken, lane).then_some(Change::Binding),
            change,
        );
    }

    fn change_counted(
        &self,
        what: impl Fn(&ObjectKey, Lane) -> Option<Change>,
        change: impl FnOnce(&mut Cache) -> FollowUp,
    ) {
        let mut cache = self.cache();
        let follow_up = change(&mut cache);
        // First, so that a feed that starts now lists them at once.
        for (feed, asked) in &follow_up.applications {
            self.feeds.ask_applications(feed, *asked);
        }
        for feed in &follow_up.hold {
            self.feeds.hold(feed);
        }
        for feed in &follow_up.release {
            self.feeds.release(feed);
        }
        for feed in &follow_up.refresh {
            self.feeds.refresh(feed);
        }
        let now = Instant::now();
        for (key, lane) in follow_up.wake {
            if let Some(what) = what(&key, lane) {
                self.changes().note(&key, what, now);
            }
            self.queue.push(key, lane);
        }
    }

    /// Applies a watch event of a target to the cache and follows up. A target that others keep changing is corrected later.
    pub fn change_target(&self, change: impl FnOnce(&mut Cache) -> FollowUp) {
        let follow_up = change(&mut self.cache());
        let now = Instant::now();
        let corrections = self.corrections.lock();
        for (key, lane) in follow_up.wake {
            self.changes().note(&key, Change::Target, now);
            match corrections.wait(&key, now) {
                Duration::ZERO => self.queue.push(key, lane),
                wait => self.queue.push_after(key, lane, wait),
            }
        }
    }
}
