//! Keeps the statuses of classes current, while this replica leads.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{
    api::{
        InferenceProfileClassStatus,
        condition::{ConditionType, Reason},
    },
    leader::Leadership,
    plan::{
        Notice,
        class_status::{census_event, class_status, is_urgent},
    },
};

use super::{clock::Clock, restarts::Restarts, state::State, writer::Writer};

/// How often the classes are looked at whose bindings or workloads have changed.
const TICK: Duration = Duration::from_millis(500);
/// Least time between two writes that only bring counts up to date, and after one that failed.
const COUNTS_INTERVAL: Duration = Duration::from_secs(30);

/// What keeps the statuses of classes.
pub(super) struct ClassStatuses {
    pub state: Arc<State>,
    pub writer: Writer,
    pub restarts: Arc<Restarts>,
    pub leadership: Leadership,
    pub clock: Arc<dyn Clock>,
    /// Whether every binding of the cluster is served. Else another operator may serve other bindings of a class, and only the
    /// classes that bindings of this one name are its business.
    pub serves_all: bool,
}

/// The last write about a class.
struct Written {
    /// UID of the class.
    uid: Arc<str>,
    /// What was written. `None` if the write failed.
    status: Option<InferenceProfileClassStatus>,
    at: Instant,
    /// How many bindings were refused then.
    refused: usize,
}

impl ClassStatuses {
    /// Writes the status of each class that changes. Conditions are written at once, counts every [`COUNTS_INTERVAL`] at most.
    pub async fn follow(self) {
        loop {
            self.leadership.acquired().await;
            self.restarts.adopt_anew();
            self.state.cache().touch_all_classes();
            self.while_leading().await;
        }
    }

    async fn while_leading(&self) {
        let mut written: HashMap<Arc<str>, Written> = HashMap::new();
        let mut waiting: BTreeSet<Arc<str>> = BTreeSet::new();
        while self.leadership.remaining().is_some() {
            sleep(TICK).await;
            if !self.state.gate.is_open() {
                continue;
            }
            waiting.append(&mut self.state.cache().take_touched_classes());
            let looked_at = std::mem::take(&mut waiting);
            for name in looked_at {
                if !self.is_current(&name, &mut written).await {
                    waiting.insert(name);
                }
            }
        }
    }

    /// Writes the status of a class if it is to be written now, and says whether it is current.
    async fn is_current(&self, name: &Arc<str>, written: &mut HashMap<Arc<str>, Written>) -> bool {
        self.restarts.adopt(name);
        let Some(known) = self.state.cache().known_class(name) else {
            written.remove(name);
            return true;
        };
        let census = self.state.cache().census(name);
        let stuck = self.restarts.stuck(name);
        let (class, before) = (&known.class, &known.status);
        let now = self.clock.now();
        let status = class_status(class, known.generation, before, &census, &stuck, now);
        let last = written.get(name).filter(|last| last.uid == known.uid);
        // What another operator, which serves other bindings of the class, wrote over it is not written over again.
        let is_told =
            !self.serves_all && last.is_some_and(|last| last.status.as_ref() == Some(&status));
        let is_ours = self.serves_all || last.is_some() || !census.ready.is_empty();
        if status == *before || is_told || !is_ours {
            return true;
        }
        let is_early = last.is_some_and(|last| last.at.elapsed() < COUNTS_INTERVAL);
        let has_failed = last.is_some_and(|last| last.status.is_none());
        if is_early && (has_failed || !is_urgent(before, &status)) {
            return false;
        }
        let refused: usize = census.refused.values().sum();
        let counted = last.and_then(|last| census_event(last.refused, &census));
        let notices = notice(before, &status).into_iter().chain(counted);
        match self.writer.write_class_status(&known, &status).await {
            Ok(()) => {
                let (status, at) = (Some(status), Instant::now());
                let now = Written {
                    uid: known.uid.clone(),
                    status,
                    at,
                    refused,
                };
                written.insert(name.clone(), now);
                for notice in notices {
                    self.writer.publish_about_class(&known, &notice).await;
                }
                true
            }
            Err(error) if error.is_not_found() || error.is_replaced() => true,
            // The change that it missed wakes it.
            Err(error) if error.is_outdated() => false,
            Err(error) => {
                if !has_failed && !error.is_outage() {
                    tracing::warn!(class = %name, error = &error as &dyn std::error::Error, "the status of a class was not written, and is tried again every 30 s");
                }
                let (status, at) = (None, Instant::now());
                let refused = last.map_or(refused, |last| last.refused);
                let failed = Written {
                    uid: known.uid.clone(),
                    status,
                    at,
                    refused,
                };
                written.insert(name.clone(), failed);
                false
            }
        }
    }
}

/// Returns the Event for a wave that stops, or that goes on.
fn notice(
    before: &InferenceProfileClassStatus,
    after: &InferenceProfileClassStatus,
) -> Option<Notice> {
    let is_healthy = after.stuck_workloads.is_empty();
    if before.stuck_workloads.is_empty() == is_healthy {
        return None;
    }
    let kind = ConditionType::RolloutHealthy.as_str();
    let mut conditions = after.conditions.iter();
    let condition = conditions.find(|condition| condition.type_ == kind)?;
    let reason = if is_healthy {
        Reason::Healthy
    } else {
        Reason::ProgressDeadlineExceeded
    };
    Some(Notice {
        warning: !is_healthy,
        reason: reason.as_str(),
        message: condition.message.clone(),
    })
}
