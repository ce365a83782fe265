//! The status of a binding in the form that plans compare and the cache keeps, and its way to and from the wire.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as WireCondition, Time};

use crate::{
    api::{
        BindingReference, CatalogReference, CreationPolicy, InferenceProfileBindingStatus,
        LifecycleStatus, MissingWorkload, ProfileStatus, TargetStatus,
        condition::{ConditionStatus, ConditionType, Reason},
    },
    catalog::SourceKind,
    render::Values,
    route::Route,
    types::{AccountId, Arn, ModelId, ParseError},
};

use super::{identity::TargetKey, observed::Workloads};

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Type.
    pub kind: ConditionType,
    /// Status.
    pub status: ConditionStatus,
    /// Reason.
    pub reason: Reason,
    /// Message.
    pub message: Arc<str>,
    /// Generation that it speaks of.
    pub generation: i64,
    /// Last transition, seconds since 1970.
    pub since: i64,
}

/// What a condition says, before it is known since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Status.
    pub status: ConditionStatus,
    /// Reason.
    pub reason: Reason,
    /// Message.
    pub message: Arc<str>,
}

impl Finding {
    /// Returns a finding.
    pub fn new(status: ConditionStatus, reason: Reason, message: impl Into<Arc<str>>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
        }
    }

    /// Says whether this is True.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == ConditionStatus::True
    }
}

/// Where the answer came from that the written values are made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// Kind of the source.
    pub source: SourceKind,
    /// Account asked, where known.
    pub account: Option<AccountId>,
    /// When the answer first appeared.
    pub as_of: Arc<str>,
}

/// The route that the written values are made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WrittenRoute {
    /// The route.
    pub route: Route,
    /// The account that its ARN names, where one is known.
    pub account: Option<AccountId>,
    /// Where it came from.
    pub provenance: Provenance,
}

impl WrittenRoute {
    /// Returns what the values of targets are made of.
    #[must_use]
    pub fn values(&self) -> Values<'_> {
        Values {
            route: &self.route,
            account: self.account.as_ref(),
        }
    }
}

/// An object in the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRecord {
    /// The object.
    pub key: TargetKey,
    /// Its UID.
    pub uid: Arc<str>,
    /// How it is held.
    pub policy: CreationPolicy,
    /// Hash of the content last written; see [`super::values_hash`].
    pub hash: Arc<str>,
    /// Keys whose value changed, and for which workloads are still to be restarted.
    pub restart_pending: Box<[Arc<str>]>,
    /// When this content took the place of another one, seconds since 1970. What is restarted for the next one is named after
    /// it, so that a content that comes back is told from the one that was there before.
    pub since: Option<i64>,
}

/// A status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Generation of the spec that it speaks of; nothing before the first visit.
    pub observed_generation: Option<i64>,
    /// Conditions, in the order of [`ConditionType::ALL`].
    pub conditions: Vec<Condition>,
    /// The route in use.
    pub route: Option<Arc<WrittenRoute>>,
    /// The inventory.
    pub targets: Vec<TargetRecord>,
    /// Workloads of the spec that were not there when they were to be restarted.
    pub missing_workloads: Workloads,
    /// What was said of a legacy model.
    pub lifecycle: Option<Arc<LegacyModel>>,
    /// The Secret of the Provisioned Service.
    pub secret: Option<Arc<str>>,
}

/// What a status says of a legacy model beside its condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LegacyModel {
    /// The end of its life, an RFC 3339 date, where it is known.
    pub end_of_life: Option<Arc<str>>,
    /// IDs of models that can take its place, the nearest first.
    pub successors: Box<[ModelId]>,
}

impl Status {
    /// Returns a condition by type.
    #[must_use]
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }

    /// Returns what a condition says.
    #[must_use]
    pub fn finding(&self, kind: ConditionType) -> Option<Finding> {
        self.condition(kind).map(|condition| Finding {
            status: condition.status,
            reason: condition.reason,
            message: condition.message.clone(),
        })
    }

    /// Returns an object's entry in the inventory.
    #[must_use]
    pub fn record(&self, key: &TargetKey) -> Option<&TargetRecord> {
        self.targets.iter().find(|record| record.key == *key)
    }

    /// Sets a condition. The time of the last transition moves only where the status changes (Kubernetes API
    /// conventions).
    pub fn upsert(
        &mut self,
        prior: &Self,
        kind: ConditionType,
        finding: Finding,
        generation: i64,
        now: i64,
    ) {
        let since = match prior.condition(kind) {
            Some(before) if before.status == finding.status => before.since,
            _ => now,
        };
        self.conditions.push(Condition {
            kind,
            status: finding.status,
            reason: finding.reason,
            message: finding.message,
            generation,
            since,
        });
    }

    /// Reads a status from the wire. What can't be read is left out, so that the next plan differs and writes it anew.
    #[must_use]
    pub fn from_wire(wire: &InferenceProfileBindingStatus, namespace: &Arc<str>) -> Self {
        let mut conditions: Vec<Condition> =
            wire.conditions.iter().filter_map(read_condition).collect();
        conditions.sort_by_key(|condition| condition.kind);
        Self {
            observed_generation: wire
                .observed_generation
                .filter(|generation| *generation >= 0),
            conditions,
            route: wire
                .profile
                .as_ref()
                .and_then(|profile| read_route(profile).ok())
                .map(Arc::new),
            targets: wire
                .targets
                .iter()
                .map(|target| TargetRecord {
                    key: TargetKey {
                        kind: target.kind,
                        namespace: namespace.clone(),
                        name: Arc::from(target.name.as_str()),
                    },
                    uid: Arc::from(target.uid.as_str()),
                    policy: target.creation_policy,
                    hash: Arc::from(target.values_hash.as_str()),
                    restart_pending: target
                        .restart_pending_keys
                        .iter()
                        .map(|key| Arc::from(key.as_str()))
                        .collect(),
                    since: target
                        .last_change_time
                        .as_ref()
                        .map(|time| time.0.as_second()),
                })
                .collect(),
            missing_workloads: wire
                .missing_workloads
                .iter()
                .map(|workload| (workload.kind, Arc::from(workload.name.as_str())))
                .collect(),
            lifecycle: wire.model_lifecycle.as_ref().map(read_lifecycle),
            secret: wire
                .binding
                .as_ref()
                .map(|binding| Arc::from(binding.name.as_str())),
        }
    }

    /// Returns the wire form.
    #[must_use]
    pub fn to_wire(&self) -> InferenceProfileBindingStatus {
        InferenceProfileBindingStatus {
            observed_generation: self.observed_generation,
            conditions: self.conditions.iter().map(write_condition).collect(),
            profile: self.route.as_deref().map(write_route),
            targets: self
                .targets
                .iter()
                .map(|record| TargetStatus {
                    kind: record.key.kind,
                    name: record.key.name.to_string(),
                    uid: record.uid.to_string(),
                    creation_policy: record.policy,
                    values_hash: record.hash.to_string(),
                    restart_pending_keys: record
                        .restart_pending
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                    last_change_time: record.since.map(time),
                })
                .collect(),
            missing_workloads: self
                .missing_workloads
                .iter()
                .map(|(kind, name)| MissingWorkload {
                    kind: *kind,
                    name: name.to_string(),
                })
                .collect(),
            model_lifecycle: self.lifecycle.as_deref().map(write_lifecycle),
            binding: self.secret.as_ref().map(|name| BindingReference {
                name: name.to_string(),
            }),
        }
    }
}

fn read_condition(wire: &WireCondition) -> Option<Condition> {
    Some(Condition {
        kind: ConditionType::from_name(&wire.type_)?,
        status: ConditionStatus::from_name(&wire.status)?,
        reason: Reason::from_name(&wire.reason)?,
        message: Arc::from(wire.message.as_str()),
        generation: wire.observed_generation.unwrap_or_default(),
        since: wire.last_transition_time.0.as_second(),
    })
}

fn write_condition(condition: &Condition) -> WireCondition {
    WireCondition {
        type_: condition.kind.to_string(),
        status: condition.status.to_string(),
        reason: condition.reason.to_string(),
        message: condition.message.to_string(),
        observed_generation: Some(condition.generation),
        last_transition_time: time(condition.since),
    }
}

fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap_or_default())
}

fn read_lifecycle(wire: &LifecycleStatus) -> Arc<LegacyModel> {
    Arc::new(LegacyModel {
        end_of_life: wire.end_of_life.as_deref().map(Arc::from),
        successors: wire
            .successors
            .iter()
            .filter_map(|model| model.parse().ok())
            .collect(),
    })
}

fn write_lifecycle(legacy: &LegacyModel) -> LifecycleStatus {
    LifecycleStatus {
        end_of_life: legacy.end_of_life.as_deref().map(ToOwned::to_owned),
        successors: legacy.successors.iter().map(ToString::to_string).collect(),
    }
}

fn read_route(wire: &ProfileStatus) -> Result<WrittenRoute, ParseError> {
    let arn = wire.arn.as_deref().and_then(|arn| Arn::parse(arn).ok());
    let asked = wire.catalog.account.as_deref();
    Ok(WrittenRoute {
        route: wire.route()?,
        account: arn.and_then(|arn| arn.account),
        provenance: Provenance {
            // A source that only another version knows is taken for one that retires nothing.
            source: SourceKind::from_name(&wire.catalog.source).unwrap_or(SourceKind::Directory),
            account: asked.and_then(|account| account.parse().ok()),
            as_of: Arc::from(wire.catalog.as_of.as_str()),
        },
    })
}

fn write_route(written: &WrittenRoute) -> ProfileStatus {
    let WrittenRoute {
        route,
        account,
        provenance,
    } = written;
    ProfileStatus {
        id: route.id().to_owned(),
        arn: route.arn(account.as_ref()),
        geography: route.geography().to_owned(),
        source_region: route.source_region.to_string(),
        foundation_model_id: route.model.to_string(),
        destination_regions: route.destinations.names(),
        catalog: CatalogReference {
            source: provenance.source.as_str().to_owned(),
            account: provenance.account.as_ref().map(ToString::to_string),
            as_of: provenance.as_of.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        catalog::embedded::Embedded,
        plan::{
            plan,
            testing::{NOW, SETTINGS, bound, edited, full, observed, succeed},
        },
    };

    use super::*;

    #[test]
    fn a_transition_time_moves_with_the_status_alone() {
        let before = bound("geography: eu");
        let changed = edited(&before, "geography: eu, allowedRegions: ['@eu']");
        let later = plan(
            observed(&changed, full()),
            &SETTINGS,
            Embedded::load(),
            NOW + 60,
        );
        let (_, later) = succeed(later, NOW + 60);
        let status = later.status.expect("the generation moved");
        let residency = status
            .condition(ConditionType::ResidencySatisfied)
            .expect("residency");
        assert_eq!(
            (residency.reason, residency.since),
            (Reason::AllRegionsAllowed, NOW)
        );
    }

    #[test]
    fn status_goes_there_and_back() {
        let before = bound("geography: eu, allowedRegions: ['@eu']");
        let wire = serde_json::to_value(before.status.to_wire()).expect("json");
        let back = Status::from_wire(
            &serde_json::from_value(wire).expect("a status"),
            &"shop".into(),
        );
        assert_eq!(back, before.status);
    }
}
