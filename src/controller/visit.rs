//! One visit of one binding: gather, plan, write, remove, restart, conclude, write the status, publish Events.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use parking_lot::Mutex;

use crate::{
    api::condition::ConditionType,
    catalog::{FeedKey, FeedState, embedded::Embedded},
    feeds::access::AccessChecks,
    plan::{
        Outcome, Retry, Settings,
        identity::ObjectKey,
        observed::{Binding, Observed},
        plan,
        status::{Status, TargetRecord},
    },
    queue::Lane,
    residency::NamespaceLimit,
};

use super::{
    call_error::CallError, clock::Clock, restarts::Restarts, state::State, writer::Writer,
};

/// How long the first listing of a catalog is waited for, before bindings show that it is under way.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(3);

/// How long after a listing that confirms was due a binding is visited again: it has come by then, mostly.
const CONFIRMATION_SLACK: Duration = Duration::from_secs(1);

/// What a visit needs.
pub(super) struct Visitor {
    pub state: Arc<State>,
    pub writer: Writer,
    pub restarts: Arc<Restarts>,
    /// `None` if it is not checked whether models can be used.
    pub access: Option<Arc<AccessChecks>>,
    pub settings: Settings,
    pub embedded: &'static Embedded,
    pub clock: Arc<dyn Clock>,
    /// First values that were written and that statuses could not record.
    pub unrecorded: Mutex<Unrecorded>,
}

/// Records of targets by binding, with its UID.
type Unrecorded = HashMap<ObjectKey, (Arc<str>, Vec<TargetRecord>)>;

impl Visitor {
    /// Visits a binding and returns when the next visit is worthwhile.
    ///
    /// # Errors
    /// Returns [`CallError`] if the binding's own object could not be written. Nothing is lost: the next visit repeats it.
    pub async fn visit(&self, key: &ObjectKey) -> Result<Retry, CallError> {
        let list = self.state.gate.list();
        let Some((observed, feed)) = self.gather(key) else {
            self.restarts.forget(key);
            self.unrecorded.lock().remove(key);
            return Ok(Retry::OnChange);
        };
        if observed.namespace == NamespaceLimit::Terminating && !observed.binding.deleting {
            // The apiserver refuses new objects and Events there, and deletes the others. Only what deletion waits for is done.
            self.restarts.forget(key);
            return Ok(Retry::OnChange);
        }
        let now = self.clock.now();
        let mut plan = plan(observed, &self.settings, self.embedded, now);
        if plan.needs_confirmation()
            && let Some(wait) = feed
                .as_ref()
                .and_then(|feed| self.state.feeds.confirm(feed))
        {
            let wait = wait + CONFIRMATION_SLACK;
            self.state.changes().postpone(key);
            self.state.queue.push_after(key.clone(), Lane::Low, wait);
            return Ok(Retry::OnChange);
        }
        if plan.is_idle()
            && let Some(wait) = feed.and_then(|feed| self.first_answer_wait(&feed))
        {
            // The answer wakes the binding. A status that only says that it is awaited is not worth a write.
            self.state.changes().postpone(key);
            self.state.queue.push_after(key.clone(), Lane::Low, wait);
            return Ok(Retry::OnChange);
        }
        if plan.needs_finalizer() {
            self.writer.set_finalizer(plan.binding(), true).await?;
        }
        if let Some(status) = plan.mark(now) {
            match self
                .writer
                .write_status(plan.binding(), status.clone())
                .await
            {
                Ok(()) => plan = plan.marked(status),
                // What breaks a limit is replaced, also if a restart may be missed for it.
                Err(error) if plan.residency_violated() && !error.is_outdated() => {}
                Err(error) => return Err(error),
            }
        }
        let binding = plan.binding().clone();
        if plan.corrects() {
            tracing::info!(binding = %key, "others changed a target, and it is corrected");
            self.state.note_correction(key.clone());
        }
        let (writing, writes) = plan.begin();
        let writes = writes.into_iter();
        let tried = join_all(writes.map(|write| self.writer.write(&binding, write))).await;
        let (finishing, removals, restarts) = writing.finish(tried).begin();
        let removals = removals.into_iter();
        let removals = join_all(removals.map(|it| self.writer.remove(&binding, it))).await;
        let restarts = self.restarts.trigger(&binding, restarts).await;
        let mut outcome = finishing.conclude(removals, restarts, now);
        if let Some(status) = outcome.status.take()
            && self.writer.would_change(&binding, &status)
        {
            let first_values = first_values(&binding, &status);
            let written = if self.state.gate.list() == list {
                log_decision(&outcome, &status);
                self.writer.write_status(&binding, status).await
            } else {
                // What was observed may be of a cluster that is no longer so, and an action that was not tried is no failure.
                Err(CallError::NotSynced)
            };
            self.note_unrecorded(&binding, first_values, &written);
            written?;
            self.writer.answered(key);
        }
        if outcome.drop_finalizer {
            self.writer.set_finalizer(&binding, false).await?;
        }
        for notice in &outcome.notices {
            self.writer.publish(&binding, notice).await;
        }
        Ok(outcome.retry)
    }

    /// Remembers first values that the status could not record, until it does: if they change before, restarts are owed for it.
    fn note_unrecorded(
        &self,
        binding: &Binding,
        first_values: Vec<TargetRecord>,
        written: &Result<(), CallError>,
    ) {
        let mut unrecorded = self.unrecorded.lock();
        if written.is_ok() {
            unrecorded.remove(&binding.key);
        } else if !first_values.is_empty() {
            unrecorded.insert(binding.key.clone(), (binding.uid.clone(), first_values));
        }
    }

    /// Cancels the restarts of a binding whose visit failed.
    pub fn forget_restarts(&self, key: &ObjectKey) {
        self.restarts.forget(key);
    }

    /// Returns how long the first answer of a feed is still waited for, or `None` if none is under way, or not any more.
    fn first_answer_wait(&self, feed: &FeedKey) -> Option<Duration> {
        let wait = FIRST_ANSWER_WAIT.checked_sub(self.state.feeds.first_listing(feed)?)?;
        (!wait.is_zero()).then_some(wait)
    }

    /// Returns everything that is known of a binding, and its feed. Returns `None` if the binding is gone.
    fn gather(&self, key: &ObjectKey) -> Option<(Observed, Option<FeedKey>)> {
        let mut used_feed = None;
        let mut observed = self.state.cache().observe(key, |feed| {
            used_feed = feed.cloned();
            feed.map_or_else(FeedState::pending, |feed| self.state.feeds.state(feed))
        })?;
        let binding = &observed.binding;
        // A binding that may not use the catalog may not use this either, and a suspended binding causes no calls to AWS.
        if let (Some(checks), Some(feed), Some(_), false, Ok(request)) = (
            &self.access,
            &used_feed,
            &observed.feed.catalog,
            binding.spec.suspend || binding.deleting,
            &binding.spec.request,
        ) {
            observed.usability = checks.look((feed.clone(), request.model.clone()));
        }
        if let Some((uid, records)) = self.unrecorded.lock().get(key)
            && *uid == binding.uid
        {
            observed.unrecorded.clone_from(records);
        }
        Some((observed, used_feed))
    }
}

/// Returns the records of targets that the status before did not have, where a workload may have to restart for them.
fn first_values(binding: &Binding, status: &Status) -> Vec<TargetRecord> {
    if binding.spec.rollout.is_empty() {
        return Vec::new();
    }
    let is_new = |record: &&TargetRecord| binding.status.record(&record.key).is_none();
    status.targets.iter().filter(is_new).cloned().collect()
}

/// Logs what a visit decided: one line per status that is written, with everything that an audit needs.
fn log_decision(outcome: &Outcome, status: &Status) {
    let binding = &*outcome.binding;
    let Some(ready) = status.conditions.first() else {
        return;
    };
    let (before, after) = (&binding.status.route, &status.route);
    let decision = match (before, after) {
        (Some(_), None) => "withdraw",
        (_, Some(_)) if before != after => "publish",
        _ => "keep",
    };
    let route = after.as_deref().or(before.as_deref());
    let residency = status.condition(ConditionType::ResidencySatisfied);
    let removed: Vec<String> = outcome
        .removals
        .iter()
        .map(|removal| format!("{} ({:?})", removal.key, removal.cause))
        .collect();
    tracing::info!(
        binding = %binding.key,
        decision,
        ready = %ready.status,
        reason = %ready.reason,
        profile = route.map(|written| written.route.id()),
        source_region = route.map(|written| written.route.source_region.as_str()),
        destinations = route.map(|written| written.route.destinations.to_string()),
        catalog = route.map(|written| written.provenance.source.as_str()),
        residency = residency.map(|residency| residency.message.as_ref()),
        targets = status.targets.len(),
        removed = removed.join(", "),
        message = %ready.message,
    );
}
