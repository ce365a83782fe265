//! How the controller is: what liveness and readiness probes ask.

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

/// How long work may wait without a visit beginning or ending: far more than the calls of one visit can take.
const STUCK: Duration = Duration::from_mins(5);

/// Signs of life of the workers.
pub(super) struct Heartbeat {
    start: Instant,
    /// When a visit began or ended last, in milliseconds after `start`.
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

    /// Notes that a visit began or ended.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Notes that the watches have shown everything there is.
    pub(super) fn synced(&self) {
        self.beat();
        self.synced.store(true, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }
}

/// How the controller is.
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

    /// Says whether work is being done, where there is any.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub fn alive(&self) -> Result<(), &'static str> {
        let heartbeat = &self.heartbeat;
        let depth = self.state.queue.depth();
        let works = depth.high + depth.low + depth.busy > 0
            && heartbeat.synced.load(Ordering::Relaxed)
            && self.leadership.remaining().is_some();
        if works && heartbeat.silence() > STUCK {
            return Err(
                "bindings wait to be visited, and no visit has begun or ended for 5 minutes",
            );
        }
        Ok(())
    }

    /// Says whether the watches are complete, and the first catalogs are there or known to fail. Once ready, always
    /// ready: a new source region takes nothing back.
    ///
    /// # Errors
    /// What is waited for, in a sentence.
    pub fn ready(&self) -> Result<(), &'static str> {
        let heartbeat = &self.heartbeat;
        if heartbeat.ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !heartbeat.synced.load(Ordering::Relaxed) {
            return Err(
                "the watches are not complete: look for \"a watch failed\" in the log where this lasts",
            );
        }
        if !self.state.feeds.answered() {
            return Err("the first listing of inference profiles is under way");
        }
        heartbeat.ready.store(true, Ordering::Relaxed);
        Ok(())
    }
}
