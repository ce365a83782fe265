//! The status of a binding in the form that plans compare and the cache keeps, and its way to and from the wire.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as WireCondition, Time};

use crate::{
    api::{
        BindingReference, CatalogReference, CreationPolicy, InferenceProfileBindingStatus,
        ProfileStatus, TargetStatus,
        condition::{ConditionStatus, ConditionType, Reason},
    },
    catalog::Destinations,
    render::{Invocation, ProfileInUse},
    types::{ModelId, ON_DEMAND, ParseError},
};

use super::identity::TargetKey;

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
    pub source: Arc<str>,
    /// Account asked, where known.
    pub account: Option<Arc<str>>,
    /// When the answer first appeared.
    pub as_of: Arc<str>,
}

/// The profile that the written values are made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WrittenProfile {
    /// The profile.
    pub profile: ProfileInUse,
    /// Where it came from.
    pub provenance: Provenance,
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
    /// The profile in use.
    pub profile: Option<Arc<WrittenProfile>>,
    /// The inventory.
    pub targets: Vec<TargetRecord>,
    /// The Secret of the Provisioned Service.
    pub secret: Option<Arc<str>>,
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
            profile: wire
                .profile
                .as_ref()
                .and_then(|profile| read_profile(profile).ok())
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
                    since: target
                        .last_change_time
                        .as_ref()
                        .map(|time| time.0.as_second()),
                })
                .collect(),
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
            profile: self.profile.as_deref().map(write_profile),
            targets: self
                .targets
                .iter()
                .map(|record| TargetStatus {
                    kind: record.key.kind,
                    name: record.key.name.to_string(),
                    uid: record.uid.to_string(),
                    creation_policy: record.policy,
                    values_hash: record.hash.to_string(),
                    last_change_time: record.since.map(time),
                })
                .collect(),
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

fn read_profile(wire: &ProfileStatus) -> Result<WrittenProfile, ParseError> {
    let destinations = if wire.destination_regions.iter().any(|name| name == "*") {
        Destinations::Anywhere
    } else {
        Destinations::regions(
            wire.destination_regions
                .iter()
                .map(|name| name.parse())
                .collect::<Result<_, _>>()?,
        )
    };
    let model: ModelId = wire.foundation_model_id.parse()?;
    Ok(WrittenProfile {
        profile: ProfileInUse {
            invocation: read_invocation(wire, &model)?,
            arn: wire.arn.as_deref().map(Arc::from),
            model,
            source_region: wire.source_region.parse()?,
            destinations,
        },
        provenance: Provenance {
            source: Arc::from(wire.catalog.source.as_str()),
            account: wire.catalog.account.as_deref().map(Arc::from),
            as_of: Arc::from(wire.catalog.as_of.as_str()),
        },
    })
}

/// A model on demand stands there by its own ID: no profile has that.
fn read_invocation(wire: &ProfileStatus, model: &ModelId) -> Result<Invocation, ParseError> {
    if wire.id == model.as_str() && wire.geography == ON_DEMAND {
        return Ok(Invocation::OnDemand);
    }
    Ok(Invocation::Profile {
        id: wire.id.parse()?,
        geography: wire.geography.parse()?,
    })
}

fn write_profile(written: &WrittenProfile) -> ProfileStatus {
    let WrittenProfile {
        profile,
        provenance,
    } = written;
    ProfileStatus {
        id: profile.id().to_owned(),
        arn: profile.arn.as_deref().map(str::to_owned),
        geography: profile.geography().to_owned(),
        source_region: profile.source_region.to_string(),
        foundation_model_id: profile.model.to_string(),
        destination_regions: profile.destinations.names(),
        catalog: CatalogReference {
            source: provenance.source.to_string(),
            account: provenance.account.as_deref().map(str::to_owned),
            as_of: provenance.as_of.to_string(),
        },
    }
}
