//! Restarts: a visit triggers those whose turn it is, and ends; a task follows them and gives their slots on.

use std::{sync::Arc, time::Duration};

use kube::{Api, api::DynamicObject};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    plan::{
        Restart, RestartOutcome, Restarted,
        identity::{ObjectKey, WorkloadKey},
        observed::Binding,
    },
    queue::{Lane, Turn},
};

use super::{
    Context,
    progress::{Workload, is_complete},
    within,
};

/// Pause between two looks at a workload.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time that a workload takes a slot: one that is stuck holds up the others no longer.
const PATIENCE: Duration = Duration::from_mins(5);

impl Context {
    /// Triggers the restarts of a binding whose turn it is; the others wait. The binding's earlier ones are forgotten.
    pub(super) async fn restart_all(
        &self,
        binding: &Binding,
        restarts: &[Restart],
    ) -> Vec<RestartOutcome> {
        let wanted = restarts.iter().map(|restart| &restart.workload);
        let next = self.rollouts().retain(&binding.key, wanted);
        self.wake(next);
        // All ask before any is triggered: they stand in line in the order of the spec.
        let turns: Vec<Turn> = restarts
            .iter()
            .map(|restart| {
                self.rollouts()
                    .ask(&binding.key, &restart.workload, &restart.token)
            })
            .collect();
        futures::future::join_all(
            restarts
                .iter()
                .zip(turns)
                .map(|(restart, turn)| async move {
                    match turn {
                        Turn::Now => self.restart(binding, restart).await,
                        Turn::Later => Ok(Restarted::Waits),
                        Turn::Done => Ok(Restarted::Triggered),
                    }
                }),
        )
        .await
    }

    async fn restart(&self, binding: &Binding, restart: &Restart) -> RestartOutcome {
        let (key, workload) = (&binding.key, &restart.workload);
        let error = match self.annotate_template(key, restart).await {
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
        let next = self.rollouts().let_go(key, workload);
        self.wake(next);
        if error.is_not_found() {
            return Ok(Restarted::Missing);
        }
        Err(error.restart_problem(workload))
    }

    /// Lets a binding have nothing to do with restarts any more: it is gone, or done, or its visit failed.
    pub(super) fn forget_restarts(&self, key: &ObjectKey) {
        let next = self.rollouts().retain(key, []);
        self.wake(next);
    }

    /// Visits the bindings whose turn it is.
    fn wake(&self, bindings: Vec<ObjectKey>) {
        for key in bindings {
            self.queue.push(key, Lane::Low);
        }
    }

    /// Waits until a workload's rollout is complete, or patience ends.
    async fn await_completion(&self, workload: &WorkloadKey) {
        let api: Api<DynamicObject> = self.workloads(workload);
        let until = Instant::now() + PATIENCE;
        let mut blind = false;
        while Instant::now() < until {
            sleep(LOOK_INTERVAL).await;
            match within(api.get(&workload.name)).await {
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

/// Follows the restarts that begin, and gives their slots to those that wait.
pub(super) async fn follow_rollouts(
    context: Arc<Context>,
    mut begun: mpsc::UnboundedReceiver<WorkloadKey>,
) {
    let mut followed = JoinSet::new();
    loop {
        tokio::select! {
            workload = begun.recv() => {
                let Some(workload) = workload else { return };
                let context = context.clone();
                followed.spawn(async move {
                    context.await_completion(&workload).await;
                    let next = context.rollouts().completed(&workload);
                    context.wake(next);
                });
            }
            Some(_) = followed.join_next() => {}
        }
    }
}
