//! One visit of one binding: gather, plan, write, remove, restart, conclude, write the status, publish Events.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;

use crate::{
    api::condition::ConditionType,
    catalog::{FeedKey, FeedState, embedded::Embedded},
    feeds::access::AccessChecks,
    models::listed,
    plan::{
        Outcome, Retry, Settings,
        identity::ObjectKey,
        observed::{Ask, Binding, Observed},
        plan,
        status::{Status, WrittenRoute},
    },
    queue::Lane,
    residency::NamespaceLimit,
};

use super::{
    call_error::CallError, clock::Clock, restarts::Restarts, served::ServedRequests, state::State,
    writer::Writer,
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
    /// `None` if it is not looked at where requests are served.
    pub served: Option<Arc<ServedRequests>>,
    pub settings: Settings,
    pub embedded: &'static Embedded,
    pub clock: Arc<dyn Clock>,
}

impl Visitor {
    /// Visits a binding and returns when the next visit is worthwhile.
    ///
    /// # Errors
    /// Returns [`CallError`] if the binding's own object could not be written. Nothing is lost: the next visit repeats it.
    pub async fn visit(&self, key: &ObjectKey) -> Result<Retry, CallError> {
        let list = self.state.gate.list();
        let Some((observed, feed)) = self.gather(key) else {
            self.restarts.forget(key);
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
            && let Some(wait) = feed.and_then(|feed| self.first_answer_wait(&feed, plan.binding()))
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
        if self.state.gate.list() != list {
            // What was observed may be of a cluster that is no longer so, and an action that was not tried is no failure.
            return Err(CallError::NotSynced);
        }
        let mut outcome = finishing.conclude(removals, restarts, now);
        if let Some(status) = outcome.status.take()
            && self.writer.would_change(&binding, &status)
        {
            log_decision(&outcome, &status);
            self.writer.write_status(&binding, status).await?;
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

    /// Cancels the restarts of a binding whose visit failed.
    pub fn forget_restarts(&self, key: &ObjectKey) {
        self.restarts.forget(key);
    }

    /// Returns how long the first answer of a feed to a binding is still waited for, or `None` if none is under way, or not any more.
    fn first_answer_wait(&self, feed: &FeedKey, binding: &Binding) -> Option<Duration> {
        let feeds = &self.state.feeds;
        let mut requests = binding.spec.requests();
        let names_application = requests.any(|request| request.application.is_some());
        let under_way = feeds.first_listing(feed).or_else(|| {
            let under_way = feeds.first_listing_of_applications(feed);
            under_way.filter(|_| names_application)
        });
        let wait = FIRST_ANSWER_WAIT.checked_sub(under_way?)?;
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
        if let (Some(checks), Some(feed), Some(_), false) = (
            &self.access,
            &used_feed,
            &observed.feed.catalog,
            binding.spec.suspend || binding.deleting,
        ) {
            let look = |ask: &Ask| {
                let request = ask.request.as_ref().ok()?;
                checks.look((feed.clone(), request.model.clone()))
            };
            observed.usability = binding.spec.asks.values().map(look).collect();
        }
        if let Some(served) = &self.served {
            // A role is of another account, whose logs are not looked at.
            let is_own = observed.binding.spec.role.is_none();
            let written = observed.binding.status.written().map(|(_, it)| &**it);
            let seen = served.seen(written.filter(|_| is_own));
            observed.served = Some(seen);
        }
        Some((observed, used_feed))
    }
}

/// Logs what a visit decided: one line per status that is written, with everything that an audit needs.
fn log_decision(outcome: &Outcome, status: &Status) {
    let binding = &*outcome.binding;
    let Some(ready) = status.conditions.first() else {
        return;
    };
    let routes = |status: &Status| -> Vec<_> {
        let written = status.written();
        written
            .map(|(name, route)| (name.cloned(), route.clone()))
            .collect()
    };
    let (before, after) = (routes(&binding.status), routes(status));
    let decision = match (before.is_empty(), after.is_empty()) {
        (false, true) => "withdraw",
        (_, false) if before != after => "publish",
        _ => "keep",
    };
    let routes = if after.is_empty() { before } else { after };
    let of_each = |value: &dyn Fn(&WrittenRoute) -> String| {
        let values = routes
            .iter()
            .map(|(name, route)| (name.as_ref(), value(route)));
        (!routes.is_empty()).then(|| listed(values))
    };
    let first = routes.first().map(|(_, route)| route);
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
        profile = of_each(&|written| written.route.id().to_owned()),
        source_region = first.map(|written| written.route.source_region.as_str()),
        destinations = of_each(&|written| written.route.destinations.to_string()),
        catalog = first.map(|written| written.provenance.source.as_str()),
        residency = residency.map(|residency| residency.message.as_ref()),
        targets = status.targets.len(),
        removed = removed.join(", "),
        // Lines to copy follow in some messages.
        message = ready.message.lines().next(),
    );
}
