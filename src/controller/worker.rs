//! Workers: each visits one binding after another and decides when a binding is visited again.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    leader::Leadership,
    metrics::{Metrics, VisitResult},
    plan::{Retry, identity::ObjectKey},
    queue::{Backoff, Lane},
    traces,
};

use super::{call_error::CallError, health::Heartbeat, state::State, visit::Visitor};

/// Longest pause before a binding is visited again that changed while it was visited.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Longest pause of a binding that finds out for others whether the cause of their failures is over.
const SCOUT: Duration = Duration::from_secs(15);

/// What the workers share.
pub(super) struct Workers {
    pub state: Arc<State>,
    pub visitor: Visitor,
    pub leadership: Leadership,
    pub metrics: Metrics,
    pub heartbeat: Arc<Heartbeat>,
    pub backoff: Mutex<Backoff<ObjectKey>>,
}

impl Workers {
    /// Visits one binding after another until the controller stops. A visit that fails or panics affects only its own binding.
    pub async fn work(self: Arc<Self>) {
        let mut leads_since = Instant::now();
        while let Some((key, lane)) = self.next(&mut leads_since).await {
            self.heartbeat.beat();
            let start = Instant::now();
            let span = traces::visit(&key.namespace, &key.name, lane.as_str());
            self.state.changes().begin(&key, leads_since);
            let (visit, retry) = self.visit(&key).instrument(span.clone()).await;
            self.state.changes().end(&key);
            traces::ended(&span, visit.as_str(), visit == VisitResult::Error);
            drop(span);
            self.metrics.visited(visit, start.elapsed());
            match retry {
                None => {
                    self.backoff.lock().reset(&key);
                    self.state.recovery().left(&key);
                }
                Some(cap) => {
                    // One binding finds out for all when a right has come back.
                    let is_scout = self.state.recovery().is_scout(&key);
                    let cap = if is_scout { cap.min(SCOUT) } else { cap };
                    let random = fastrand::f64();
                    let delay = self.backoff.lock().failed(key.clone(), cap, random);
                    self.state.queue.push_after(key.clone(), Lane::Low, delay);
                }
            }
            self.state.queue.done(&key);
            self.heartbeat.beat();
        }
    }

    /// Waits for a binding to visit. Returns `None` when the controller stops.
    async fn next(&self, leads_since: &mut Instant) -> Option<(ObjectKey, Lane)> {
        let queue = &self.state.queue;
        loop {
            if self.leadership.remaining().is_none() || !self.state.gate.is_open() {
                tokio::select! {
                    () = self.may_work() => *leads_since = Instant::now(),
                    () = queue.closed() => return None,
                }
            }
            let (key, lane, waited) = queue.next().await?;
            if self.leadership.remaining().is_some() && self.state.gate.is_open() {
                // While this replica stood by, nothing waited for it.
                let waited = waited.min(leads_since.elapsed());
                self.metrics.waited(lane.as_str(), waited);
                return Some((key, lane));
            }
            // The term ended, or a watch lost its place, while this worker waited.
            queue.push(key.clone(), lane);
            queue.done(&key);
        }
    }

    /// Waits until this replica leads and knows what is in the cluster.
    async fn may_work(&self) {
        while !(self.leadership.remaining().is_some() && self.state.gate.is_open()) {
            self.leadership.acquired().await;
            self.state.gate.opened().await;
        }
    }

    /// Visits a binding. Returns the longest pause before it is visited again, or `None` if only a change is worth it.
    async fn visit(&self, key: &ObjectKey) -> (VisitResult, Option<Duration>) {
        let visit = AssertUnwindSafe(self.visitor.visit(key))
            .catch_unwind()
            .await;
        let error = match visit {
            Ok(Ok(Retry::OnChange)) => return (VisitResult::Success, None),
            Ok(Ok(retry)) => return (VisitResult::Requeued, retry.longest_pause()),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        self.visitor.forget_restarts(key);
        if let Some(error) = &error
            && (error.is_not_found() || error.is_replaced())
        {
            // The event of its deletion comes, or it was not the apiserver itself that answered.
            return (VisitResult::Requeued, Retry::Soon.longest_pause());
        }
        self.state.changes().postpone(key);
        match error {
            // It is looked at again at once; the event of the change may arrive a little later.
            Some(error) if error.is_outdated() => (VisitResult::Requeued, Some(LOOK_AGAIN)),
            // It is visited when everything is listed.
            Some(CallError::NotSynced) => {
                self.state.queue.push(key.clone(), Lane::Low);
                (VisitResult::Requeued, None)
            }
            // Another replica leads now; this binding is visited again if this replica leads again.
            Some(CallError::NotLeading) => (VisitResult::Requeued, Retry::Soon.longest_pause()),
            // One line says that the apiserver can't be reached; a binding whose call failed for it adds nothing.
            Some(error)
                if error.is_unreachable()
                    || (error.is_outage() && !self.state.gate.permits_log()) =>
            {
                tracing::debug!(binding = %key, error = &error as &dyn std::error::Error, "a visit failed and is retried");
                (VisitResult::Error, Retry::Soon.longest_pause())
            }
            Some(error) => {
                tracing::warn!(binding = %key, error = &error as &dyn std::error::Error, "a visit failed and is retried{}", error.hint());
                (VisitResult::Error, Retry::Soon.longest_pause())
            }
            None => {
                tracing::error!(binding = %key, "a visit panicked and is retried");
                (VisitResult::Error, Retry::Soon.longest_pause())
            }
        }
    }
}
