//! Workers: each visits one binding after another and decides when a binding is visited again.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    leader::Leadership,
    metrics::{Metrics, VisitResult},
    plan::{Retry, identity::ObjectKey},
    queue::{Backoff, Lane},
};

use super::{call_error::CallError, health::Heartbeat, state::State, visit::Visitor};

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
        while let Some(key) = self.next(&mut leads_since).await {
            self.heartbeat.beat();
            let start = Instant::now();
            let (visit, retry) = self.visit(&key).await;
            self.metrics.visited(visit, start.elapsed());
            match retry.longest_pause() {
                None => self.backoff.lock().reset(&key),
                Some(cap) => {
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
    async fn next(&self, leads_since: &mut Instant) -> Option<ObjectKey> {
        let queue = &self.state.queue;
        loop {
            if self.leadership.remaining().is_none() {
                tokio::select! {
                    () = self.leadership.acquired() => *leads_since = Instant::now(),
                    () = queue.closed() => return None,
                }
            }
            let (key, lane, waited) = queue.next().await?;
            if self.leadership.remaining().is_some() {
                // While this replica stood by, nothing waited for it.
                let waited = waited.min(leads_since.elapsed());
                self.metrics.waited(lane.as_str(), waited);
                return Some(key);
            }
            // The term ended while this worker waited.
            queue.push(key.clone(), lane);
            queue.done(&key);
        }
    }

    async fn visit(&self, key: &ObjectKey) -> (VisitResult, Retry) {
        let visit = AssertUnwindSafe(self.visitor.visit(key))
            .catch_unwind()
            .await;
        let error = match visit {
            Ok(Ok(Retry::OnChange)) => return (VisitResult::Success, Retry::OnChange),
            Ok(Ok(retry)) => return (VisitResult::Requeued, retry),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        self.visitor.forget_restarts(key);
        match error {
            Some(error) if error.is_not_found() || error.is_replaced() => {
                (VisitResult::Success, Retry::OnChange)
            }
            // Another replica leads now; this binding is visited again if this replica leads again.
            Some(CallError::NotLeading) => (VisitResult::Requeued, Retry::Soon),
            Some(error) => {
                tracing::warn!(binding = %key, error = &error as &dyn std::error::Error, "a visit failed and is retried{}", error.hint());
                (VisitResult::Error, Retry::Soon)
            }
            None => {
                tracing::error!(binding = %key, "a visit panicked and is retried");
                (VisitResult::Error, Retry::Soon)
            }
        }
    }
}
