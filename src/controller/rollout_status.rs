//! How far the rollout of a workload is, by the status that the workload's own controller writes.

use std::time::Duration;

use serde::Deserialize;

use crate::api::WorkloadKind;

/// The fields of a workload that show the progress of its rollout.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Workload {
    metadata: WorkloadMetadata,
    spec: WorkloadSpec,
    status: WorkloadStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WorkloadMetadata {
    generation: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WorkloadSpec {
    /// Only Deployments and `StatefulSet`s.
    replicas: Option<i64>,
    /// Only Deployments.
    paused: bool,
    /// Only Deployments. The greatest number means that there is no deadline.
    progress_deadline_seconds: Option<i32>,
    /// Only `StatefulSet`s and `DaemonSet`s.
    update_strategy: UpdateStrategy,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UpdateStrategy {
    r#type: String,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RollingUpdate {
    /// Only `StatefulSet`s: pods with a lower ordinal keep the old template.
    partition: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WorkloadStatus {
    observed_generation: i64,
    replicas: i64,
    updated_replicas: i64,
    available_replicas: i64,
    desired_number_scheduled: i64,
    updated_number_scheduled: i64,
    number_available: i64,
    /// Only Deployments have those that are looked at here.
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on.
    UnderWay,
    /// It is complete.
    Complete,
    /// It did not come up within its progress deadline.
    Overdue,
}

/// Returns how far a rollout is that began so long ago. The deadline of a Deployment is its own, and the Deployment's controller
/// says when it has passed; that of others is `default_deadline`, as is that of a Deployment without any or without a controller.
#[must_use]
pub(super) fn progress(
    kind: WorkloadKind,
    workload: &Workload,
    elapsed: Duration,
    default_deadline: Duration,
) -> Progress {
    if is_complete(kind, workload) {
        return Progress::Complete;
    }
    let own = workload.spec.progress_deadline_seconds;
    let is_observed = workload.status.observed_generation >= workload.metadata.generation;
    let is_overdue = if own.is_some_and(|seconds| seconds < i32::MAX) && is_observed {
        // Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment
        workload.status.conditions.iter().any(|condition| {
            condition.r#type == "Progressing"
                && condition.status == "False"
                && condition.reason == "ProgressDeadlineExceeded"
        })
    } else {
        elapsed >= default_deadline
    };
    if is_overdue {
        Progress::Overdue
    } else {
        Progress::UnderWay
    }
}

/// Returns whether a rollout is complete: every pod has the current template and is available, or the workload leaves its
/// pods as they are until a person acts.
#[must_use]
fn is_complete(kind: WorkloadKind, workload: &Workload) -> bool {
    let Workload {
        metadata,
        spec,
        status,
    } = workload;
    let strategy = &spec.update_strategy;
    if status.observed_generation < metadata.generation {
        return false;
    }
    if spec.paused || strategy.r#type == "OnDelete" {
        return true;
    }
    let desired = spec.replicas.unwrap_or(1);
    let all_available = status.replicas == desired && status.available_replicas == desired;
    match kind {
        WorkloadKind::Deployment => all_available && status.updated_replicas == desired,
        WorkloadKind::StatefulSet => {
            let rolling = strategy.rolling_update.as_ref();
            let kept = rolling.map_or(0, |rolling| rolling.partition);
            all_available && status.updated_replicas >= desired - kept
        }
        WorkloadKind::DaemonSet => {
            status.updated_number_scheduled >= status.desired_number_scheduled
                && status.number_available >= status.desired_number_scheduled
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rollouts_in_progress_and_complete() {
        use WorkloadKind::{DaemonSet, Deployment, StatefulSet};
        let three = "status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, availableReplicas: 3}";
        let nodes = "status: {observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 2}";
        let rows = [
            ("done", Deployment, format!("{{spec: {{replicas: 3}}, {three}}}"), true),
            ("done", StatefulSet, format!("{{spec: {{replicas: 3}}, {three}}}"), true),
            ("done", DaemonSet, format!("{{{nodes}}}"), true),
            (
                "not observed yet",
                Deployment,
                "{spec: {replicas: 1}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}".to_owned(),
                false,
            ),
            ("no status yet", StatefulSet, "{spec: {replicas: 1}}".to_owned(), false),
            ("not observed yet", DaemonSet, "{status: {observedGeneration: 1}}".to_owned(), false),
            (
                "an old pod is still there",
                Deployment,
                "{spec: {replicas: 1}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 1}}".to_owned(),
                false,
            ),
            (
                "an old pod is not replaced yet",
                StatefulSet,
                "{spec: {replicas: 2}, status: {observedGeneration: 2, replicas: 2, updatedReplicas: 1, availableReplicas: 2}}".to_owned(),
                false,
            ),
            (
                "a new pod is not available",
                Deployment,
                "{spec: {replicas: 1}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, unavailableReplicas: 1}}".to_owned(),
                false,
            ),
            (
                "a node still has the old pod",
                DaemonSet,
                "{status: {observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 1, numberAvailable: 2}}".to_owned(),
                false,
            ),
            (
                "a node has no available pod",
                DaemonSet,
                "{status: {observedGeneration: 2, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1}}".to_owned(),
                false,
            ),
            (
                "one replica is the default",
                Deployment,
                "{status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1}}".to_owned(),
                true,
            ),
            ("scaled to zero", Deployment, "{spec: {replicas: 0}, status: {observedGeneration: 2}}".to_owned(), true),
            (
                "paused: nothing happens until a person resumes it",
                Deployment,
                "{spec: {replicas: 3, paused: true}, status: {observedGeneration: 2, replicas: 3, availableReplicas: 3}}".to_owned(),
                true,
            ),
            (
                "OnDelete: nothing happens until a person deletes pods",
                StatefulSet,
                "{spec: {replicas: 3, updateStrategy: {type: OnDelete}}, status: {observedGeneration: 2, replicas: 3}}".to_owned(),
                true,
            ),
            (
                "OnDelete: nothing happens until a person deletes pods",
                DaemonSet,
                "{spec: {updateStrategy: {type: OnDelete}}, status: {observedGeneration: 2, desiredNumberScheduled: 2}}".to_owned(),
                true,
            ),
            (
                "the pods above the partition are replaced",
                StatefulSet,
                "{spec: {replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}}, \
                  status: {observedGeneration: 2, replicas: 3, updatedReplicas: 1, availableReplicas: 3}}".to_owned(),
                true,
            ),
        ];
        for (name, kind, yaml, complete) in rows {
            let mut workload: Workload = serde_yaml::from_str(&yaml).expect("a workload");
            workload.metadata.generation = 2;
            let found = is_complete(kind, &workload);
            assert_eq!(found, complete, "{kind}: {name}");
        }
    }

    #[test]
    fn a_rollout_is_overdue_when_its_own_controller_says_so() {
        use WorkloadKind::{DaemonSet, Deployment};
        let late = "conditions: [{type: Available, status: 'True', reason: MinimumReplicasAvailable}, {type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}]";
        let moving = "conditions: [{type: Progressing, status: 'True', reason: ReplicaSetUpdated}]";
        let observed = "observedGeneration: 2, replicas: 1";
        let limit = Duration::from_mins(5);
        let (soon, later) = (Duration::from_secs(9), Duration::from_mins(6));
        for (name, kind, yaml, elapsed, expected) in [
            (
                "late",
                Deployment,
                format!(
                    "{{spec: {{progressDeadlineSeconds: 20}}, status: {{{observed}, {late}}}}}"
                ),
                soon,
                Progress::Overdue,
            ),
            (
                "slow",
                Deployment,
                format!(
                    "{{spec: {{progressDeadlineSeconds: 900}}, status: {{{observed}, {moving}}}}}"
                ),
                later,
                Progress::UnderWay,
            ),
            (
                "of the template before",
                Deployment,
                format!(
                    "{{spec: {{progressDeadlineSeconds: 20}}, status: {{observedGeneration: 1, {late}}}}}"
                ),
                soon,
                Progress::UnderWay,
            ),
            (
                "without a controller",
                Deployment,
                "{spec: {progressDeadlineSeconds: 20}}".to_owned(),
                later,
                Progress::Overdue,
            ),
            (
                "without a deadline",
                Deployment,
                format!(
                    "{{spec: {{progressDeadlineSeconds: 2147483647}}, status: {{{observed}}}}}"
                ),
                later,
                Progress::Overdue,
            ),
            (
                "slow",
                DaemonSet,
                "{status: {observedGeneration: 2, desiredNumberScheduled: 1}}".to_owned(),
                soon,
                Progress::UnderWay,
            ),
            (
                "late",
                DaemonSet,
                "{status: {observedGeneration: 2, desiredNumberScheduled: 1}}".to_owned(),
                later,
                Progress::Overdue,
            ),
            (
                "up after all",
                DaemonSet,
                "{status: {observedGeneration: 2}}".to_owned(),
                later,
                Progress::Complete,
            ),
        ] {
            let mut workload: Workload = serde_yaml::from_str(&yaml).expect("a workload");
            workload.metadata.generation = 2;
            let found = progress(kind, &workload, elapsed, limit);
            assert_eq!(found, expected, "{kind}: {name}");
        }
    }
}
