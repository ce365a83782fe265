//! What the tasks of the controller share: what is known of the cluster, which bindings are to be visited, and the feeds;
//! with what follows from a change of the one for the others. It can't write to the cluster.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::{
    cache::{Cache, FollowUp},
    feeds::Feeds,
    plan::identity::ObjectKey,
    queue::{Corrections, Lane, WorkQueue},
};

/// What the tasks of the controller share.
pub(super) struct State {
    cache: Mutex<Cache>,
    corrections: Mutex<Corrections<ObjectKey>>,
    /// Bindings to be visited.
    pub queue: WorkQueue<ObjectKey>,
    /// The catalogs.
    pub feeds: Feeds,
}

impl State {
    pub fn new(cache: Cache, queue: WorkQueue<ObjectKey>, feeds: Feeds) -> Self {
        Self {
            cache: Mutex::new(cache),
            corrections: Mutex::default(),
            queue,
            feeds,
        }
    }

    /// Locks the cache.
    pub fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock()
    }

    /// Notes that a target of a binding is corrected, after others changed it.
    pub fn note_correction(&self, key: ObjectKey) {
        self.corrections.lock().note(key, Instant::now());
    }

    /// Visits these bindings when nobody waits for others.
    pub fn wake(&self, bindings: impl IntoIterator<Item = ObjectKey>) {
        for key in bindings {
            self.queue.push(key, Lane::Low);
        }
    }

    /// Changes the cache and follows up. The feeds are held and let go under the lock, in the order of the changes.
    pub fn change(&self, change: impl FnOnce(&mut Cache) -> FollowUp) {
        let mut cache = self.cache();
        let follow_up = change(&mut cache);
        for feed in &follow_up.hold {
            self.feeds.hold(feed);
        }
        for feed in &follow_up.release {
            self.feeds.release(feed);
        }
        for feed in &follow_up.refresh {
            self.feeds.refresh(feed);
        }
        for (key, lane) in follow_up.wake {
            self.queue.push(key, lane);
        }
    }

    /// Changes the cache by what a watch shows of a target, and follows up: later where others keep changing it.
    pub fn change_target(&self, change: impl FnOnce(&mut Cache) -> FollowUp) {
        let follow_up = change(&mut self.cache());
        let now = Instant::now();
        let corrections = self.corrections.lock();
        for (key, lane) in follow_up.wake {
            match corrections.wait(&key, now) {
                Duration::ZERO => self.queue.push(key, lane),
                wait => self.queue.push_after(key, lane, wait),
            }
        }
    }
}
