//! The controller's health, for liveness and readiness probes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::leader::Leadership;

use super::state::State;

/// How long bindings may wait while no visit begins or ends: far longer than the calls of one visit can take.
const STUCK: Duration = Duration::from_mins(5);

/// The workers' signs of life.
pub(super) struct Heartbeat {
    start: Instant,
    /// When a visit last began or ended, in milliseconds after `start`.
    last: AtomicU64,
    synced: AtomicBool,
    ready: AtomicBool,
}

impl Heartbeat {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            ready: AtomicBool::new(false),
        }
    }

    /// Records that a visit began or ended.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Records that the first lists of all watches are complete.
    pub(super) fn synced(&self) {
        self.beat();
        self.synced.store(true, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }
}

/// Tells whether the controller is alive and ready.
#[derive(Clone)]
pub struct Health {
    heartbeat: Arc<Heartbeat>,
    state: Arc<State>,
    leadership: Leadership,
}

impl Health {
    pub(super) fn of(heartbeat: Arc<Heartbeat>, state: Arc<State>, leadership: Leadership) -> Self {
        Self {
            heartbeat,
            state,
            leadership,
        }
    }

    /// Checks that work is being done if there is any.
    ///
    /// # Errors
    /// Returns a sentence that says what is wrong.
    pub fn alive(&self) -> Result<(), &'static str> {
        let heartbeat = &self.heartbeat;
        let depth = self.state.queue.depth();
        let works = depth.high + depth.low + depth.busy > 0
            && self.state.gate.is_open()
            && self.leadership.remaining().is_some();
        if works && heartbeat.silence() > STUCK {
            return Err(
                "bindings wait to be visited, and no visit has begun or ended for 5 minutes",
            );
        }
        Ok(())
    }

    /// Checks that the watches are complete and that each of the first catalogs is listed or known to fail. Once ready, a
    /// controller stays ready, also while a new source region is listed for the first time.
    ///
    /// # Errors
    /// Returns a sentence that says what is being waited for.
    pub fn ready(&self) -> Result<(), &'static str> {
        let heartbeat = &self.heartbeat;
        if heartbeat.ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !heartbeat.synced.load(Ordering::Relaxed) {
            return Err(
                "the watches are not complete: if this lasts, look for \"a watch failed\" in the log",
            );
        }
        if !self.state.feeds.answered() {
            return Err("the first listing of inference profiles is in progress");
        }
        heartbeat.ready.store(true, Ordering::Relaxed);
        Ok(())
    }
}
