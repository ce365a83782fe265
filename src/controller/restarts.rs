//! Restarts of workloads. A visit triggers the restarts whose turn it is and does not wait for them; a task follows them and
//! passes their slots on.
//!
//! The restarts of the bindings of a class are a wave. It stops where a workload does not come up, until it does. Which workload
//! that is stands in the status of the class too, so that it survives the operator.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

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
    queue::{Rollouts, Turn, Wave},
};

use super::{
    rollout_status::{Progress, progress},
    state::State,
    writer::Writer,
};

/// Pause between two reads of a workload.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Pause between two reads of a workload that stops a wave.
const STUCK_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time that a workload takes a slot, so that one that is stuck does not hold up the others.
const ROLLOUT_TIMEOUT: Duration = Duration::from_mins(5);

/// The restarts of all bindings.
pub(super) struct Restarts {
    rollouts: Mutex<Rollouts<ObjectKey, WorkloadKey>>,
    /// The workloads whose deadline has passed.
    overdue: Mutex<HashSet<WorkloadKey>>,
    /// The classes whose status was read for workloads that stopped their wave before this replica led.
    adopted: Mutex<HashSet<Wave>>,
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
            overdue: Mutex::default(),
            adopted: Mutex::default(),
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
        let classes: BTreeSet<Wave> = binding.spec.classes().map(|it| it.name.clone()).collect();
        let waves = &Vec::from_iter(classes);
        for wave in waves.iter().filter(|_| !restarts.is_empty()) {
            self.adopt(wave);
        }
        let wanted = restarts.iter().map(|restart| &restart.workload);
        let next = self.rollouts().retain(&binding.key, wanted);
        self.state.wake(next);
        // All restarts join the line before any is triggered, so that the line follows the order of the spec.
        let turns: Vec<(Restart, Turn)> = restarts
            .into_iter()
            .map(|restart| {
                let turn =
                    self.rollouts()
                        .ask(&binding.key, &restart.workload, &restart.token, waves);
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
                    followed.spawn(async move { restarts.follow_one(&workload).await });
                }
                Some(_) = followed.join_next() => {}
            }
        }
    }

    /// Follows a workload until its rollout is complete. Its slot is passed on after [`ROLLOUT_TIMEOUT`] at the latest; after that
    /// only one that stops a wave is followed.
    async fn follow_one(&self, workload: &WorkloadKey) {
        let begun = Instant::now();
        let mut is_reported = false;
        let mut has_slot = true;
        loop {
            let pause = if has_slot {
                POLL_INTERVAL
            } else {
                STUCK_POLL_INTERVAL
            };
            sleep(pause).await;
            let elapsed = begun.elapsed();
            let found = match self.writer.rollout_status(workload).await {
                Ok(status) => progress(workload.kind, &status, elapsed, ROLLOUT_TIMEOUT),
                Err(error) if error.is_not_found() => Progress::Complete,
                Err(error) => {
                    if !is_reported {
                        is_reported = true;
                        tracing::warn!(
                            %workload, namespace = %workload.namespace,
                            error = &error as &dyn std::error::Error,
                            "the progress of a restart can't be read; other restarts wait for it, at most 5 minutes"
                        );
                    }
                    Progress::UnderWay
                }
            };
            if found == Progress::Complete {
                self.complete(workload);
                return;
            }
            let is_overdue = found == Progress::Overdue;
            let times_out = elapsed >= ROLLOUT_TIMEOUT
                || (is_overdue && self.rollouts().belongs_to_wave(workload));
            if has_slot && times_out {
                has_slot = false;
                let next = self.rollouts().overdue(workload);
                self.state.wake(next);
            }
            let waves = self.waves_of(workload);
            if !has_slot && waves.is_empty() {
                // No wave stops for it, or one that was restarted again is followed by another.
                tracing::warn!(
                    %workload, namespace = %workload.namespace,
                    "a restart is not complete in time; other restarts no longer wait for it"
                );
                return;
            }
            if is_overdue && !has_slot && self.overdue.lock().insert(workload.clone()) {
                self.state.cache().touch_classes(&waves);
            }
        }
    }

    fn complete(&self, workload: &WorkloadKey) {
        let waves = self.waves_of(workload);
        self.overdue.lock().remove(workload);
        let next = self.rollouts().completed(workload);
        self.state.wake(next);
        self.state.cache().touch_classes(&waves);
    }

    /// Returns the classes whose wave a workload stops.
    fn waves_of(&self, workload: &WorkloadKey) -> Vec<Wave> {
        self.rollouts().waves_of(workload).cloned().collect()
    }

    /// Returns the workloads that stop the wave of a class and whose deadline has passed.
    pub fn stuck(&self, class: &Wave) -> Vec<WorkloadKey> {
        let stuck = self.rollouts().stuck(class).to_vec();
        let overdue = self.overdue.lock();
        stuck
            .into_iter()
            .filter(|it| overdue.contains(it))
            .collect()
    }

    /// Has the statuses of classes read again for workloads that stop their waves: another replica may have led.
    pub fn adopt_anew(&self) {
        self.adopted.lock().clear();
    }

    /// Takes in which workloads stop the wave of a class, as its status says, once.
    pub fn adopt(&self, class: &Wave) {
        let Some(known) = self.state.cache().known_class(class) else {
            return;
        };
        if !self.adopted.lock().insert(class.clone()) {
            return;
        }
        for stuck in &known.status.stuck_workloads {
            let workload = WorkloadKey {
                kind: stuck.kind,
                namespace: stuck.namespace.as_str().into(),
                name: stuck.name.as_str().into(),
            };
            let next = {
                let mut rollouts = self.rollouts();
                if rollouts.stuck(class).contains(&workload) {
                    continue;
                }
                rollouts.stop(class, &workload)
            };
            self.state.wake(next);
            self.overdue.lock().insert(workload.clone());
            // The receiving task ends only with the operator.
            let _ = self.begun.send(workload);
        }
    }
}
