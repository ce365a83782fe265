//! One visit of one binding: gather, plan, write, remove, restart, conclude, status, Events.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::Resource;
use kube_runtime::events::{Event, EventType};
use tokio::time::Instant;

use crate::{
    api::{InferenceProfileBinding, condition::ConditionType},
    catalog::{FeedState, Freshness},
    metrics::Operation,
    plan::{
        Notice, Plan, Removal, Retry, WriteOutcome,
        identity::ObjectKey,
        observed::{Binding, Observed},
        plan,
        status::Status,
    },
};

use super::{Context, failure::CallError};

/// Longest pause between two tries of what failed on the way.
pub(super) const RETRY_CAP: Duration = Duration::from_mins(1);
/// Longest pause between two looks at something that no watch shows.
const WAIT_CAP: Duration = Duration::from_mins(5);

/// When a binding is to be visited again without a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Not at all.
    OnChange,
    /// After a backoff that grows up to this.
    Backoff(Duration),
}

impl Context {
    /// Visits a binding.
    ///
    /// # Errors
    /// [`CallError`] where its own object could not be written; nothing is lost, the next visit does it again.
    pub(super) async fn reconcile(&self, key: &ObjectKey) -> Result<Next, CallError> {
        let Some(observed) = self.gather(key) else {
            self.forget_restarts(key);
            return Ok(Next::OnChange);
        };
        let binding = &*observed.binding;
        let now = Timestamp::now().as_second();
        let mut plan = plan(&observed, &self.config.settings, now);
        if plan.add_finalizer {
            self.set_finalizer(binding, true).await?;
        }
        if plan.corrects(binding) {
            tracing::info!(binding = %key, "a target was changed by others and is corrected");
            self.corrections().note(key.clone(), Instant::now());
        }
        let writes = self.write_all(binding, &plan).await;
        plan.fail_closed(binding, &writes);
        let removals = join_all(
            plan.removals
                .iter()
                .map(|removal| self.remove(binding, removal)),
        )
        .await;
        plan.plan_restarts(binding, &writes);
        let restarts = self.restart_all(binding, &plan.restarts).await;
        let removed = plan.removals.clone();
        let conclusion = plan.conclude(binding, &writes, &removals, &restarts, now);
        if let Some(status) = conclusion.status {
            log_decision(binding, &status, &removed);
            self.write_status(binding, status).await?;
        }
        if conclusion.drop_finalizer {
            self.set_finalizer(binding, false).await?;
        }
        for notice in &conclusion.notices {
            self.publish(binding, notice).await;
        }
        Ok(match conclusion.retry {
            Retry::Stop => Next::OnChange,
            Retry::Wait => Next::Backoff(WAIT_CAP),
            Retry::Retry => Next::Backoff(RETRY_CAP),
        })
    }

    /// Returns everything that is known of a binding; nothing where it is gone.
    fn gather(&self, key: &ObjectKey) -> Option<Observed> {
        let mut observed = self.cache().observe(key, |feed| match feed {
            Some(feed) => self.feeds.state(feed),
            None => FeedState {
                catalog: None,
                freshness: Freshness::Pending,
            },
        })?;
        let binding = &observed.binding;
        // Who may not see the catalog, may not see this; a suspended binding asks AWS nothing.
        if let (Some(checks), Some(_), false, Ok(request)) = (
            &self.access,
            &observed.feed.catalog,
            binding.spec.suspend || binding.deleting,
            &binding.spec.request,
        ) {
            let feed = self.cache().feed_of(binding);
            observed.usability = feed.and_then(|feed| checks.look((feed, request.model.clone())));
        }
        Some(observed)
    }

    async fn write_all(&self, binding: &Binding, plan: &Plan) -> Vec<WriteOutcome> {
        join_all(plan.writes.iter().map(|write| async move {
            match write {
                Ok(write) => self.write(binding, write).await,
                Err(problem) => Err(problem.clone()),
            }
        }))
        .await
    }

    /// Publishes an Event. One that is lost is only logged: the status says the same.
    async fn publish(&self, binding: &Binding, notice: &Notice) {
        let event = Event {
            type_: if notice.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: notice.reason.to_owned(),
            note: Some(shortened(&notice.message)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let reference = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(InferenceProfileBinding::api_version(&()).into_owned()),
            kind: Some(InferenceProfileBinding::kind(&()).into_owned()),
            namespace: Some(binding.key.namespace.to_string()),
            name: Some(binding.key.name.to_string()),
            uid: Some(binding.uid.to_string()),
            ..Default::default()
        };
        let call = self.recorder.publish(&event, &reference);
        if let Err(error) = self
            .change_in_cluster("Event", Operation::Apply, call)
            .await
        {
            tracing::warn!(binding = %binding.key, error = &error as &dyn std::error::Error, "an Event was not published");
        }
    }
}

/// Logs what a visit decided: one line for each status that is written, with all that an audit asks for.
fn log_decision(binding: &Binding, status: &Status, removals: &[Removal]) {
    let Some(ready) = status.conditions.first() else {
        return;
    };
    let (before, after) = (&binding.status.profile, &status.profile);
    let decision = match (before, after) {
        (Some(_), None) => "withdraw",
        (_, Some(_)) if before != after => "publish",
        _ => "keep",
    };
    let profile = after.as_deref().or(before.as_deref());
    let residency = status.condition(ConditionType::ResidencySatisfied);
    let removed: Vec<String> = removals
        .iter()
        .map(|removal| format!("{} ({:?})", removal.key, removal.cause))
        .collect();
    tracing::info!(
        binding = %binding.key,
        decision,
        ready = %ready.status,
        reason = %ready.reason,
        profile = profile.map(|written| written.profile.id()),
        source_region = profile.map(|written| written.profile.source_region.as_str()),
        destinations = profile.map(|written| written.profile.destinations.to_string()),
        catalog = profile.map(|written| written.provenance.source.as_ref()),
        residency = residency.map(|residency| residency.message.as_ref()),
        targets = status.targets.len(),
        removed = removed.join(", "),
        message = %ready.message,
    );
}

/// Cuts a message to the 1 kB that an Event may carry.
fn shortened(message: &str) -> String {
    const MOST: usize = 1024;
    if message.len() <= MOST {
        return message.to_owned();
    }
    let end = (0..=MOST - 3)
        .rev()
        .find(|end| message.is_char_boundary(*end))
        .unwrap_or_default();
    format!("{}...", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_at_a_character() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(1000));
        assert!(cut.len() <= 1024 && cut.ends_with("é..."));
    }
}
