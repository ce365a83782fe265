//! Restarts: a visit triggers those whose turn it is, and ends; a task follows them and gives their slots on.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    plan::{
        Problem, Restart, Restarted, Tried, TriedRestart,
        identity::{ObjectKey, WorkloadKey},
        observed::Binding,
    },
    queue::{Rollouts, Turn},
};

use super::{
    rollout_status::{Workload, is_complete},
    state::State,
    writer::Writer,
};

/// Pause between two looks at a workload.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time that a workload takes a slot: one that is stuck holds up the others no longer.
const ROLLOUT_TIMEOUT: Duration = Duration::from_mins(5);

/// The restarts of all bindings.
pub(super) struct Restarts {
    rollouts: Mutex<Rollouts<ObjectKey, WorkloadKey>>,
    writer: Writer,
    state: Arc<State>,
    /// Tells of workloads whose restart begins.
    begun: mpsc::UnboundedSender<WorkloadKey>,
}

impl Restarts {
    /// Returns restarts of which so many are under way at once.
    pub fn new(
        slots: usize,
        writer: Writer,
        state: Arc<State>,
        begun: mpsc::UnboundedSender<WorkloadKey>,
    ) -> Self {
        Self {
            rollouts: Mutex::new(Rollouts::new(slots)),
            writer,
            state,
            begun,
        }
    }

    fn rollouts(&self) -> MutexGuard<'_, Rollouts<ObjectKey, WorkloadKey>> {
        self.rollouts.lock()
    }

    /// Triggers the restarts of a binding whose turn it is; the others wait. The binding's earlier ones are forgotten.
    pub async fn trigger(&self, binding: &Binding, restarts: Vec<Restart>) -> Vec<TriedRestart> {
        let wanted = restarts.iter().map(|restart| &restart.workload);
        let next = self.rollouts().retain(&binding.key, wanted);
        self.state.wake(next);
        // All ask before any is triggered: they stand in line in the order of the spec.
        let turns: Vec<(Restart, Turn)> = restarts
            .into_iter()
            .map(|restart| {
                let turn = self
                    .rollouts()
                    .ask(&binding.key, &restart.workload, &restart.token);
                (restart, turn)
            })
            .collect();
        join_all(turns.into_iter().map(|(restart, turn)| async move {
            let outcome = match turn {
                Turn::Now => self.restart(binding, &restart).await,
                Turn::Later => Ok(Restarted::Waits),
                Turn::Done => Ok(Restarted::Triggered),
            };
            Tried {
                what: restart,
                outcome,
            }
        }))
        .await
    }

    async fn restart(&self, binding: &Binding, restart: &Restart) -> Result<Restarted, Problem> {
        let (key, workload) = (&binding.key, &restart.workload);
        let error = match self.writer.annotate_template(key, restart).await {
            Ok(()) => {
                tracing::info!(binding = %key, %workload, "a restart was triggered: a written value changed");
                let begins = self
                    .rollouts()
                    .triggered(key, workload, restart.token.clone());
                if begins {
                    // The task that follows ends only with the operator.
                    let _ = self.begun.send(workload.clone());
                }
                return Ok(Restarted::Triggered);
            }
            Err(error) => error,
        };
        let next = self.rollouts().cancel(key, workload);
        self.state.wake(next);
        if error.is_not_found() {
            return Ok(Restarted::Missing);
        }
        Err(error.restart_problem(workload))
    }

    /// Lets a binding have nothing to do with restarts any more: it is gone, or done, or its visit failed.
    pub fn forget(&self, key: &ObjectKey) {
        let next = self.rollouts().retain(key, []);
        self.state.wake(next);
    }

    /// Follows the restarts that begin, and gives their slots to those that wait.
    pub async fn follow(self: Arc<Self>, mut begun: mpsc::UnboundedReceiver<WorkloadKey>) {
        let mut followed = JoinSet::new();
        loop {
            tokio::select! {
                workload = begun.recv() => {
                    let Some(workload) = workload else { return };
                    let restarts = self.clone();
                    followed.spawn(async move {
                        restarts.await_completion(&workload).await;
                        let next = restarts.rollouts().completed(&workload);
                        restarts.state.wake(next);
                    });
                }
                Some(_) = followed.join_next() => {}
            }
        }
    }

    /// Waits until a workload's rollout is complete, or patience ends.
    async fn await_completion(&self, workload: &WorkloadKey) {
        let until = Instant::now() + ROLLOUT_TIMEOUT;
        let mut blind = false;
        while Instant::now() < until {
            sleep(POLL_INTERVAL).await;
            match self.writer.workload(workload).await {
                Ok(object) => {
                    let generation = object.metadata.generation.unwrap_or_default();
                    let read = serde_json::from_value(object.data).ok();
                    let complete = |read: Workload| is_complete(workload.kind, generation, &read);
                    // What can't be read can't be followed.
                    if read.is_none_or(complete) {
                        return;
                    }
                }
                Err(error) if error.is_not_found() => return,
                Err(error) if !blind => {
                    blind = true;
                    tracing::warn!(
                        %workload, namespace = %workload.namespace,
                        error = &error as &dyn std::error::Error,
                        "the progress of a restart can't be read; others wait for it, at most 5 minutes"
                    );
                }
                Err(_) => {}
            }
        }
        tracing::warn!(
            %workload, namespace = %workload.namespace,
            "a restart is not complete after 5 minutes; others wait for it no longer"
        );
    }
}
