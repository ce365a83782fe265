//! The status of a binding in the form that plans compare and the cache keeps, and its conversion to and from the API type.

use std::{borrow::Cow, sync::Arc};

use jiff::{Timestamp, civil::Date};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as WireCondition, Time};

use crate::{
    api::{
        BindingReference, CatalogReference, ClassReference, CreationPolicy,
        InferenceProfileBindingStatus, LifecycleStatus, MissingWorkload, NamedModelStatus,
        ProfileStatus, ServedOutsideStatus, TargetStatus,
        condition::{ConditionStatus, ConditionType, Reason},
        written_names,
    },
    catalog::SourceKind,
    class::ClassUse,
    models::{ModelName, Models, listed},
    plain::{LONGEST_MESSAGE, plain},
    render::Values,
    residency::LimitOrigins,
    route::Route,
    types::{AccountId, ApplicationProfileArn, Arn, ModelId, ParseError, Region},
};

use super::{identity::TargetKey, observed::Workloads};

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Type.
    pub kind: ConditionType,
    /// Status.
    pub status: ConditionStatus,
    /// Reason.
    pub reason: Reason,
    /// Message.
    pub message: Arc<str>,
    /// The generation that it is about: `observedGeneration`.
    pub generation: i64,
    /// Last transition, in seconds since the Unix epoch.
    pub since: i64,
}

/// A condition without its generation and time: status, reason and message.
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
    /// Returns a finding. Its message is put on one line and bounded: others may have worded a part of it.
    pub fn new(status: ConditionStatus, reason: Reason, message: impl Into<Arc<str>>) -> Self {
        let message: Arc<str> = message.into();
        let message = match plain(&message, LONGEST_MESSAGE) {
            Cow::Borrowed(_) => message,
            Cow::Owned(shown) => shown.into(),
        };
        Self {
            status,
            reason,
            message,
        }
    }

    /// Says whether this is True.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == ConditionStatus::True
    }
}

/// Where the written route came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// Kind of source.
    pub source: SourceKind,
    /// The account that was listed. `None` when it is not known.
    pub account: Option<AccountId>,
    /// When this answer first appeared: an RFC 3339 date or time.
    pub as_of: Arc<str>,
}

/// The route that the written values are made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WrittenRoute {
    /// The route.
    pub route: Route,
    /// The account in its ARN. `None` when none is known, and on demand.
    pub account: Option<AccountId>,
    /// The application profile through which workloads invoke it. `None` when the spec names none.
    pub application: Option<ApplicationProfileArn>,
    /// Where it came from.
    pub provenance: Provenance,
    /// The class that asked for it. `None` when the binding itself did.
    pub class: Option<ClassOrigin>,
}

/// The class, and its stage if there is one, that asked for a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClassOrigin {
    /// Name of the class.
    pub name: Arc<str>,
    /// Name of the stage.
    pub stage: Option<Arc<str>>,
}

impl ClassOrigin {
    /// Returns the origin of what a binding asks for by a class.
    #[must_use]
    pub fn of(class: &ClassUse) -> Self {
        Self {
            name: class.name.clone(),
            stage: class.stage.clone(),
        }
    }
}

impl WrittenRoute {
    /// Returns what the values of targets are rendered from.
    #[must_use]
    pub fn values(&self) -> Values<'_> {
        Values {
            route: &self.route,
            account: self.account.as_ref(),
            application: self.application.as_ref(),
        }
    }
}

/// An entry of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRecord {
    /// The object.
    pub key: TargetKey,
    /// Its UID.
    pub uid: Arc<str>,
    /// Whether the binding owns the object or merges keys into it.
    pub policy: CreationPolicy,
    /// Hash of the content that was last written; see `plan::values_hash`.
    pub hash: Arc<str>,
    /// Keys whose value changed and for which restarts are pending.
    pub restart_pending: Box<[Arc<str>]>,
    /// When this content was written, and all restarts for it were done, in seconds since the Unix epoch. It is part of the
    /// token of the next restart, so that the same change can trigger a restart again after the content has changed back.
    pub since: Option<i64>,
}

/// A model in use: the only one of a binding, or one of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelInUse {
    /// The written route: the targets hold its values. `None` when nothing is written.
    pub route: Option<Arc<WrittenRoute>>,
    /// The lifecycle of the model. `None` while it is active and no date is known.
    pub lifecycle: Option<Arc<ModelLifecycle>>,
    /// The state of the model in its life: a reason of `ModelActive`. `None` when it is not known.
    pub state: Option<Reason>,
}

impl Models<ModelInUse> {
    /// Returns these, or the one empty entry that a status without any of them has.
    #[must_use]
    pub fn or_none(self) -> Self {
        let nothing = ModelInUse::default();
        if self.values().all(|model| *model == nothing) {
            return Self::default();
        }
        self
    }
}

/// The status of a binding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The generation of the spec that it is about. `None` before the first visit.
    pub observed_generation: Option<i64>,
    /// Conditions, in the order of [`ConditionType::ALL`]. Bindings that share a fate share them in memory.
    pub conditions: Arc<Vec<Condition>>,
    /// The models in use. Either each has a written route, whose values the targets hold, or none has.
    pub models: Models<ModelInUse>,
    /// The inventory.
    pub targets: Vec<TargetRecord>,
    /// Workloads of the spec that did not exist when they were to be restarted.
    pub missing_workloads: Workloads,
    /// The name of the Secret that makes the binding a Provisioned Service, of the Service Binding specification.
    pub secret: Option<Arc<str>>,
    /// Where requests ran outside of the limits, by profile.
    pub served_outside: Box<[ServedOutside]>,
    /// Who set residency limits that forbid what is asked for.
    pub limited_by: LimitOrigins,
}

/// Requests that ran outside of the limits, in the status beside the condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServedOutside {
    /// The ID of the profile or model.
    pub profile: Arc<str>,
    /// Where it was called.
    pub source_region: Region,
    /// Where requests ran, outside of the limits.
    pub regions: Box<[Region]>,
    /// When the first one ran that was seen, in seconds since the Unix epoch.
    pub since: i64,
}

/// The lifecycle of a model, in the status beside its condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelLifecycle {
    /// The model. `None` in the status of an older version.
    pub model: Option<ModelId>,
    /// The day on which it becomes, or became, legacy.
    pub legacy: Option<Date>,
    /// The first day of public extended access.
    pub extended_access: Option<Date>,
    /// The day on which requests begin to fail.
    pub end_of_life: Option<Date>,
    /// IDs of models that can replace it, the nearest first.
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

    /// Returns the finding of a condition.
    #[must_use]
    pub fn finding(&self, kind: ConditionType) -> Option<Finding> {
        self.condition(kind).map(|condition| Finding {
            status: condition.status,
            reason: condition.reason,
            message: condition.message.clone(),
        })
    }

    /// Returns the written routes with the names of their models. Returns none when nothing is written.
    pub fn written(&self) -> impl Iterator<Item = (ModelName<'_>, &Arc<WrittenRoute>)> {
        let routes = self.models.iter();
        routes.filter_map(|(name, in_use)| Some((name, in_use.route.as_ref()?)))
    }

    /// Says whether values are written.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.written().next().is_some()
    }

    /// Returns what workloads invoke by the written values, for messages. Returns `None` when nothing is written.
    #[must_use]
    pub fn invoked(&self) -> Option<String> {
        let ids = self.written();
        let ids = ids.map(|(name, written)| (name, written.values().invocation_id()));
        self.is_written().then(|| listed(ids))
    }

    /// Returns an object's entry in the inventory.
    #[must_use]
    pub fn record(&self, key: &TargetKey) -> Option<&TargetRecord> {
        self.targets.iter().find(|record| record.key == *key)
    }

    /// Adds a condition. Its transition time is that of `prior` if the status is the same, else `now` (Kubernetes API
    /// conventions). `now` is in seconds since the Unix epoch.
    pub fn add_condition(
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
        Arc::make_mut(&mut self.conditions).push(Condition {
            kind,
            status: finding.status,
            reason: finding.reason,
            message: finding.message,
            generation,
            since,
        });
    }

    /// Converts from the API type. What can't be read is left out, so that the next plan writes it again.
    #[must_use]
    pub fn from_wire(wire: &InferenceProfileBindingStatus, namespace: &Arc<str>) -> Self {
        let mut conditions: Vec<Condition> =
            wire.conditions.iter().filter_map(read_condition).collect();
        conditions.sort_by_key(|condition| condition.kind);
        Self {
            observed_generation: wire
                .observed_generation
                .filter(|generation| *generation >= 0),
            models: read_models(wire, &conditions),
            conditions: Arc::new(conditions),
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
            secret: wire
                .binding
                .as_ref()
                .map(|binding| Arc::from(binding.name.as_str())),
            served_outside: wire
                .served_outside
                .iter()
                .filter_map(read_served_outside)
                .collect(),
            limited_by: wire
                .limited_by
                .as_deref()
                .map(LimitOrigins::from_words)
                .unwrap_or_default(),
        }
    }

    /// Converts to the API type.
    #[must_use]
    pub fn to_wire(&self) -> InferenceProfileBindingStatus {
        let (one, models) = match &self.models {
            Models::One(one) => (Some(one), Vec::new()),
            Models::Several(several) => {
                let several = several.iter();
                (
                    None,
                    several.map(|(name, it)| write_named(name, it)).collect(),
                )
            }
        };
        InferenceProfileBindingStatus {
            observed_generation: self.observed_generation,
            conditions: self.conditions.iter().map(write_condition).collect(),
            profile: one.and_then(|one| one.route.as_deref().map(write_route)),
            model_names: written_names(&models),
            models,
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
            model_lifecycle: one.and_then(|one| one.lifecycle.as_deref().map(write_lifecycle)),
            limited_by: self.limited_by.words(),
            binding: self.secret.as_ref().map(|name| BindingReference {
                name: name.to_string(),
            }),
            served_outside: self
                .served_outside
                .iter()
                .map(write_served_outside)
                .collect(),
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

/// Reads the models in use. Of several whose routes can't all be read, none is taken to be written.
fn read_models(
    wire: &InferenceProfileBindingStatus,
    conditions: &[Condition],
) -> Models<ModelInUse> {
    let route =
        |profile: Option<&ProfileStatus>| profile.and_then(|it| read_route(it).ok()).map(Arc::new);
    if wire.models.is_empty() {
        let mut active = conditions.iter();
        let active = active.find(|condition| condition.kind == ConditionType::ModelActive);
        return Models::One(ModelInUse {
            route: route(wire.profile.as_ref()),
            lifecycle: wire.model_lifecycle.as_ref().map(read_lifecycle),
            state: active.map(|condition| condition.reason),
        });
    }
    let read = |model: &NamedModelStatus| {
        let state = model.model_state.as_deref();
        let in_use = ModelInUse {
            route: route(model.profile.as_ref()),
            lifecycle: model.model_lifecycle.as_ref().map(read_lifecycle),
            state: state.and_then(Reason::from_name),
        };
        (Arc::from(model.name.as_str()), in_use)
    };
    let mut models = Models::several(wire.models.iter().map(read));
    if models.values().any(|model| model.route.is_none()) {
        for model in models.values_mut() {
            model.route = None;
        }
    }
    models
}

fn write_named(name: &str, in_use: &ModelInUse) -> NamedModelStatus {
    NamedModelStatus {
        name: name.to_owned(),
        profile: in_use.route.as_deref().map(write_route),
        model_state: in_use.state.map(|state| state.to_string()),
        model_lifecycle: in_use.lifecycle.as_deref().map(write_lifecycle),
    }
}

fn read_served_outside(wire: &ServedOutsideStatus) -> Option<ServedOutside> {
    let regions = wire.regions.iter().map(|region| region.parse().ok());
    Some(ServedOutside {
        profile: wire.profile.as_str().into(),
        source_region: wire.source_region.parse().ok()?,
        regions: regions.collect::<Option<_>>()?,
        since: wire.since.0.as_second(),
    })
}

fn write_served_outside(outside: &ServedOutside) -> ServedOutsideStatus {
    ServedOutsideStatus {
        profile: outside.profile.to_string(),
        source_region: outside.source_region.to_string(),
        regions: outside.regions.iter().map(ToString::to_string).collect(),
        since: time(outside.since),
    }
}

fn read_lifecycle(wire: &LifecycleStatus) -> Arc<ModelLifecycle> {
    let date = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    Arc::new(ModelLifecycle {
        model: wire.model.as_deref().and_then(|model| model.parse().ok()),
        legacy: date(&wire.legacy),
        extended_access: date(&wire.public_extended_access),
        end_of_life: date(&wire.end_of_life),
        successors: wire
            .successors
            .iter()
            .filter_map(|model| model.parse().ok())
            .collect(),
    })
}

fn write_lifecycle(lifecycle: &ModelLifecycle) -> LifecycleStatus {
    let date = |date: Option<Date>| date.map(|date| date.to_string());
    LifecycleStatus {
        model: lifecycle.model.as_ref().map(ToString::to_string),
        legacy: date(lifecycle.legacy),
        public_extended_access: date(lifecycle.extended_access),
        end_of_life: date(lifecycle.end_of_life),
        successors: lifecycle
            .successors
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

fn read_route(wire: &ProfileStatus) -> Result<WrittenRoute, ParseError> {
    let arn = wire.arn.as_deref().and_then(|arn| Arn::parse(arn).ok());
    let asked = wire.catalog.account.as_deref();
    Ok(WrittenRoute {
        route: wire.route()?,
        account: arn.and_then(|arn| arn.account),
        application: wire
            .application_profile_arn
            .as_deref()
            .and_then(|arn| arn.parse().ok()),
        provenance: Provenance {
            // A source that only another version knows is treated as one that retires no profile.
            source: SourceKind::from_name(&wire.catalog.source).unwrap_or(SourceKind::Directory),
            account: asked.and_then(|account| account.parse().ok()),
            as_of: Arc::from(wire.catalog.as_of.as_str()),
        },
        class: wire.class.as_ref().map(|class| ClassOrigin {
            name: class.name.as_str().into(),
            stage: class.stage.as_deref().map(Arc::from),
        }),
    })
}

fn write_route(written: &WrittenRoute) -> ProfileStatus {
    let WrittenRoute {
        route,
        account,
        application,
        provenance,
        class,
    } = written;
    ProfileStatus {
        id: route.id().to_owned(),
        arn: route.arn(account.as_ref()),
        application_profile_arn: application.as_ref().map(ToString::to_string),
        geography: route.geography().to_owned(),
        source_region: route.source_region.to_string(),
        foundation_model_id: route.model.to_string(),
        destinations: Some(route.destinations.names().join(",")),
        destination_regions: route.destinations.names(),
        catalog: CatalogReference {
            source: provenance.source.as_str().to_owned(),
            account: provenance.account.as_ref().map(ToString::to_string),
            as_of: provenance.as_of.to_string(),
        },
        class: class.as_ref().map(|class| ClassReference {
            name: class.name.to_string(),
            stage: class.stage.as_deref().map(str::to_owned),
        }),
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
