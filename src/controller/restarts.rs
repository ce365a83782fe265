//! Restarts of workloads. A visit triggers the restarts whose turn it is and does not wait for them; a task follows them and
//! passes their slots on.

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
        Problem, Restart, RestartOutcome, Tried, TriedRestart,
        identity::{ObjectKey, WorkloadKey},
        observed::Binding,
    },
    queue::{Rollouts, Turn},
};

use super::{rollout_status::is_complete, state::State, writer::Writer};

/// Pause between two reads of a workload.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time that a workload takes a slot, so that one that is stuck does not hold up the others.
const ROLLOUT_TIMEOUT: Duration = Duration::from_mins(5);

/// The restarts of all bindings.
pub(super) struct Restarts {
    rollouts: Mutex<Rollouts<ObjectKey, WorkloadKey>>,
    writer: Writer,
    state: Arc<State>,
    /// Sends the workloads whose restart begins to the task that follows them.
    begun: mpsc::UnboundedSender<WorkloadKey>,
}

impl Restarts {
    /// Returns restarts of which at most `slots` are in progress at a time.
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

    /// Triggers the restarts of a binding whose turn it is; the others wait. Restarts that the binding no longer needs are
    /// cancelled.
    pub async fn trigger(&self, binding: &Binding, restarts: Vec<Restart>) -> Vec<TriedRestart> {
        let wanted = restarts.iter().map(|restart| &restart.workload);
        let next = self.rollouts().retain(&binding.key, wanted);
        self.state.wake(next);
        // All restarts join the line before any is triggered, so that the line follows the order of the spec.
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
                Turn::Later => Ok(RestartOutcome::Waiting),
                Turn::Done => Ok(RestartOutcome::Triggered),
            };
            Tried {
                what: restart,
                outcome,
            }
        }))
        .await
    }

    async fn restart(
        &self,
        binding: &Binding,
        restart: &Restart,
    ) -> Result<RestartOutcome, Problem> {
        let (key, workload) = (&binding.key, &restart.workload);
        let error = match self.writer.annotate_template(key, restart).await {
            Ok(()) => {
                tracing::info!(binding = %key, %workload, "a restart was triggered because a written value changed");
                let begins = self
                    .rollouts()
                    .triggered(key, workload, restart.token.clone());
                if begins {
                    // The receiving task ends only with the operator.
                    let _ = self.begun.send(workload.clone());
                }
                return Ok(RestartOutcome::Triggered);
            }
            Err(error) => error,
        };
        let next = self.rollouts().cancel(key, workload);
        self.state.wake(next);
        if error.is_not_found() {
            return Ok(RestartOutcome::Missing);
        }
        Err(error.restart_problem(workload))
    }

    /// Cancels all restarts of a binding: it is gone, or its visit failed.
    pub fn forget(&self, key: &ObjectKey) {
        let next = self.rollouts().retain(key, []);
        self.state.wake(next);
    }

    /// Follows the restarts that begin, and gives their slots to workloads that wait.
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

    /// Waits until a workload's rollout is complete, at most [`ROLLOUT_TIMEOUT`].
    async fn await_completion(&self, workload: &WorkloadKey) {
        let until = Instant::now() + ROLLOUT_TIMEOUT;
        let mut is_reported = false;
        while Instant::now() < until {
            sleep(POLL_INTERVAL).await;
            match self.writer.rollout_status(workload).await {
                Ok(status) if is_complete(workload.kind, &status) => return,
                Err(error) if error.is_not_found() => return,
                Err(error) if !is_reported => {
                    is_reported = true;
                    tracing::warn!(
                        %workload, namespace = %workload.namespace,
                        error = &error as &dyn std::error::Error,
                        "the progress of a restart can't be read; other restarts wait for it, at most 5 minutes"
                    );
                }
                Ok(_) | Err(_) => {}
            }
        }
        tracing::warn!(
            %workload, namespace = %workload.namespace,
            "a restart is not complete after 5 minutes; other restarts no longer wait for it"
        );
    }
}
