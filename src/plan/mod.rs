//! What to do about one binding: pure, infallible, the same for the controller and for `render`.
//!
//! [`plan`] turns what is observed into writes and removals. When they were tried, [`Plan::conclude`] turns their
//! outcomes into the status, Events and the next visit. Neither reads a clock nor talks to anyone.

pub mod observed;
pub mod ownership;
mod publication;
pub mod status;
mod supported;

use std::{collections::BTreeMap, sync::Arc};

use kube::Resource;
use serde_json::{Value, json};

use crate::{
    api::{
        CreationPolicy, InferenceProfileBinding, TargetKind,
        condition::{ConditionStatus, ConditionType, Reason},
        names,
    },
    render,
    residency::{Limit, Limits},
    types::AccountId,
};

use observed::{Binding, Observed, ObservedTarget, TargetKey, TargetSpec, TargetView, wire_value};
use ownership::Standing;
use publication::Publication;
use status::{Finding, Status, TargetRecord, WrittenProfile};

/// What the operator's configuration says about plans.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether Secrets may be written.
    pub enable_secrets: bool,
    /// Account for ARNs where the catalog knows none.
    pub account: Option<AccountId>,
    /// The operator's own residency limit.
    pub limit: Option<Limit>,
}

/// How an object is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// As the watch shows it, it holds the content already.
    InPlace(Arc<TargetView>),
    /// Created; where it exists after all, its metadata decide.
    Create,
    /// Brought back to the content: it is the binding's.
    Update(Arc<TargetView>),
    /// The keys are merged into an object that allows it.
    Merge(Arc<TargetView>),
    /// The keys are to be merged into an object that the watch does not show: its metadata decide.
    MergeUnseen,
}

/// A target to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The object.
    pub key: TargetKey,
    /// How it is held.
    pub policy: CreationPolicy,
    /// What it shall hold.
    pub content: BTreeMap<String, String>,
    /// How.
    pub how: How,
}

impl Write {
    /// Returns the object as it is applied: only what is the binding's.
    #[must_use]
    pub fn manifest(&self, binding: &Binding) -> Value {
        let key = &self.key;
        let mut metadata = json!({
            "name": key.name.as_ref(),
            "namespace": key.namespace.as_ref(),
            "labels": {names::MANAGED_LABEL: "true"},
        });
        if self.policy == CreationPolicy::Owner {
            // No blockOwnerDeletion: it would need rights on the binding's finalizers, and delay its deletion.
            metadata["ownerReferences"] = json!([{
                "apiVersion": InferenceProfileBinding::api_version(&()),
                "kind": InferenceProfileBinding::kind(&()),
                "name": binding.key.name.as_ref(),
                "uid": binding.uid.as_ref(),
                "controller": true,
            }]);
        }
        // `data`, never `stringData`: the removal of a key there is lost.
        let data: BTreeMap<&str, String> = self
            .content
            .iter()
            .map(|(name, value)| (name.as_str(), wire_value(key.kind, value)))
            .collect();
        let mut manifest =
            json!({"apiVersion": "v1", "kind": key.kind, "metadata": metadata, "data": data});
        if key.kind == TargetKind::Secret && self.policy == CreationPolicy::Owner {
            manifest["type"] = json!(names::SECRET_TYPE);
        }
        manifest
    }
}

/// Why something is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalCause {
    /// The target stands in the spec no more.
    NotInSpec,
    /// The value may no longer be published.
    Withdrawn,
    /// The binding is being deleted.
    Deleted,
}

/// An object, or the binding's keys in it, to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The object.
    pub key: TargetKey,
    /// Its UID: another object of the name is not touched.
    pub uid: Arc<str>,
    /// Owner: the object is deleted. Merge: our keys are taken out.
    pub policy: CreationPolicy,
    /// What the watch shows of it.
    pub view: Option<Arc<TargetView>>,
    /// Why.
    pub cause: RemovalCause,
}

/// When something that failed is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// Only after a change that a watch shows.
    Stop,
    /// After a change that no watch shows: asked again, ever more rarely.
    Wait,
    /// Soon: it failed on the way.
    Retry,
}

/// Why a target is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Reason of `TargetsSynced`.
    pub reason: Reason,
    /// What happened, and what to do.
    pub message: String,
    /// When to try again.
    pub retry: Retry,
}

impl Problem {
    /// Returns a problem that only a change cures.
    pub fn stop(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: Retry::Stop,
        }
    }
}

/// What became of a write: the UID of the object that holds the content, or the problem.
pub type WriteOutcome = Result<Arc<str>, Problem>;
/// What became of a removal.
pub type RemovalOutcome = Result<(), Problem>;

/// An Event to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether something is wrong.
    pub warning: bool,
    /// Reason, in CamelCase.
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether our finalizer must be there before anything is written.
    pub add_finalizer: bool,
    /// What to write, by position among the targets of the spec; a problem where nothing is to be tried.
    pub writes: Vec<Result<Write, Problem>>,
    /// What to remove.
    pub removals: Vec<Removal>,
    publication: Publication,
    supported: Finding,
    residency: Finding,
    catalog: Finding,
}

/// What came of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// The status to write, where it differs from the one observed; nothing where the binding is being deleted.
    pub status: Option<Status>,
    /// Whether our finalizer may go.
    pub drop_finalizer: bool,
    /// Events.
    pub notices: Vec<Notice>,
    /// Whether, and how soon, to come back without being called.
    pub retry: Retry,
}

/// Returns what to do about a binding. `now` is in seconds since 1970.
#[must_use]
pub fn plan(observed: &Observed, settings: &Settings, now: i64) -> Plan {
    let binding = &*observed.binding;
    let limits = limits(binding, settings);
    let answer = supported::answer(observed, &limits, settings, now);
    let publication = if binding.deleting {
        Publication::Leave
    } else {
        publication::decide(observed, &answer, &limits)
    };
    let writes = match publication.profile() {
        Some(profile) => binding
            .spec
            .targets
            .iter()
            .zip(&observed.targets)
            .map(|(target, seen)| plan_write(binding, target, seen, profile, settings))
            .collect(),
        None => Vec::new(),
    };
    Plan {
        add_finalizer: !binding.deleting
            && !binding.finalizer
            && publication.profile().is_some()
            && binding.spec.merges(),
        removals: plan_removals(observed, &publication, &writes),
        supported: supported::finding(binding, &answer, &publication, &observed.feed),
        residency: publication::residency_finding(
            binding,
            &answer,
            &publication,
            &limits,
            &observed.feed,
        ),
        catalog: supported::catalog_finding(binding, &observed.feed),
        writes,
        publication,
    }
}

/// Returns all limits that hold for a binding. The Namespace's joins here.
#[must_use]
pub fn limits(binding: &Binding, settings: &Settings) -> Limits {
    let own = binding.spec.limit.as_deref().cloned();
    Limits::all(own.into_iter().chain(settings.limit.clone().map(Ok)))
}

fn plan_write(
    binding: &Binding,
    target: &TargetSpec,
    seen: &ObservedTarget,
    profile: &WrittenProfile,
    settings: &Settings,
) -> Result<Write, Problem> {
    let key = target_key(binding, target);
    if target.kind == TargetKind::Secret && !settings.enable_secrets {
        return Err(Problem::stop(
            Reason::SecretsDisabled,
            format!(
                "{key}: this operator does not write Secrets; start it with --enable-secrets, or use a ConfigMap"
            ),
        ));
    }
    if let Some(other) = &seen.claimed_by {
        return Err(Problem::stop(
            Reason::TargetConflict,
            format!(
                "{key} is claimed by the binding {other}; give this binding another target name or other keys"
            ),
        ));
    }
    let content = render::content(
        target.kind,
        target.policy,
        &target.keys,
        &target.templates,
        &profile.profile,
    )
    .map_err(|error| Problem::stop(render_reason(&error), format!("{key}: {error}")))?;
    let how = match (target.policy, &seen.view) {
        (CreationPolicy::Owner, None) => How::Create,
        (CreationPolicy::Owner, Some(view)) => match ownership::judge(binding, &key, view) {
            Standing::Ours
                if view.labelled && view.holds(&binding.key.name, target.kind, &content) =>
            {
                How::InPlace(view.clone())
            }
            Standing::Ours | Standing::Adoptable => How::Update(view.clone()),
            Standing::Foreign { owner } => return Err(foreign_object(&key, &owner, Retry::Stop)),
        },
        (CreationPolicy::Merge, None) => How::MergeUnseen,
        (CreationPolicy::Merge, Some(view)) => {
            check_merge(binding, &key, view, &content)?;
            // An object owned until now is given up by the write.
            if !ownership::controls(binding, view)
                && view.holds(&binding.key.name, target.kind, &content)
            {
                How::InPlace(view.clone())
            } else {
                How::Merge(view.clone())
            }
        }
    };
    Ok(Write {
        key,
        policy: target.policy,
        content,
        how,
    })
}

fn render_reason(error: &render::RenderError) -> Reason {
    match error {
        render::RenderError::ValueUnavailable { .. } => Reason::ValueUnavailable,
        render::RenderError::TemplateInvalid { .. } => Reason::TemplateInvalid,
    }
}

/// Returns the problem of an object of others in the place of an owned target.
#[must_use]
pub fn foreign_object(key: &TargetKey, owner: &str, retry: Retry) -> Problem {
    Problem {
        reason: Reason::TargetConflict,
        message: format!(
            "{key} exists and is not this binding's: {owner}; it is left untouched; choose another target name, or creationPolicy Merge with its owner's consent"
        ),
        retry,
    }
}

/// Checks that a binding may merge a content into an object: its owner allows it, and no other manager holds a key.
///
/// # Errors
/// The [`Problem`] to show; it ends as soon as the labelled object changes.
pub fn check_merge(
    binding: &Binding,
    key: &TargetKey,
    view: &TargetView,
    content: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    let retry = if view.labelled {
        Retry::Stop
    } else {
        Retry::Wait
    };
    if !ownership::merge_allowed(view, binding) {
        return Err(Problem {
            reason: Reason::TargetForbidden,
            message: format!(
                "{key} does not allow it: its owner must set the annotation {}: {}",
                names::ALLOW_MERGE_ANNOTATION,
                binding.key.name
            ),
            retry,
        });
    }
    for name in content.keys() {
        if let Some(holder) = view.foreign_holder(name) {
            return Err(Problem {
                reason: Reason::TargetConflict,
                message: format!(
                    "{key}: the key {name} is held by the field manager {holder}; remove it there or use another key"
                ),
                retry,
            });
        }
    }
    Ok(())
}

fn target_key(binding: &Binding, target: &TargetSpec) -> TargetKey {
    TargetKey {
        kind: target.kind,
        namespace: binding.key.namespace.clone(),
        name: target.name.clone(),
    }
}

/// Returns what must go: everything where the value is withdrawn, else what stands in the spec no more. The inventory and
/// the traces on objects are both asked, so that neither a lost status nor a stripped label leaves something behind.
fn plan_removals(
    observed: &Observed,
    publication: &Publication,
    writes: &[Result<Write, Problem>],
) -> Vec<Removal> {
    let binding = &*observed.binding;
    let cause = match publication {
        _ if binding.deleting => RemovalCause::Deleted,
        Publication::Withdraw { .. } => RemovalCause::Withdrawn,
        Publication::Leave => return Vec::new(),
        _ => RemovalCause::NotInSpec,
    };
    let mut held: BTreeMap<TargetKey, Removal> = BTreeMap::new();
    for record in &binding.status.targets {
        held.insert(
            record.key.clone(),
            Removal {
                key: record.key.clone(),
                uid: record.uid.clone(),
                policy: record.policy,
                view: None,
                cause,
            },
        );
    }
    for trace in &observed.traces {
        // Without a controller it may be an object of others that holds nothing else: only our keys are taken out.
        let policy = match ownership::judge(binding, &trace.key, &trace.view) {
            Standing::Ours | Standing::Adoptable if trace.view.controller.is_some() => {
                CreationPolicy::Owner
            }
            _ => CreationPolicy::Merge,
        };
        let removal = held.entry(trace.key.clone()).or_insert_with(|| Removal {
            key: trace.key.clone(),
            uid: trace.view.uid.clone(),
            policy,
            view: None,
            cause,
        });
        removal.view = Some(trace.view.clone());
    }
    held.into_values()
        .filter(|removal| match cause {
            // Owned objects are left to garbage collection.
            RemovalCause::Deleted => removal.policy == CreationPolicy::Merge,
            RemovalCause::Withdrawn => true,
            RemovalCause::NotInSpec => {
                !binding
                    .spec
                    .targets
                    .iter()
                    .enumerate()
                    .any(|(index, target)| {
                        target_key(binding, target) == removal.key
                            && !merged_before(binding, target, removal, writes.get(index))
                    })
            }
        })
        .collect()
}

/// Says whether a target that is to be owned now was merged into before: the merged keys must go, whoever gets the object.
///
/// Only the inventory tells. A field manager of our name on an object of others proves nothing: anyone can apply under it.
fn merged_before(
    binding: &Binding,
    target: &TargetSpec,
    removal: &Removal,
    write: Option<&Result<Write, Problem>>,
) -> bool {
    let recorded = binding.status.record(&removal.key);
    target.policy == CreationPolicy::Owner
        && recorded.is_some_and(|record| record.policy == CreationPolicy::Merge)
        && matches!(write, Some(Err(_)))
}

impl Plan {
    /// Returns the inventory, the conditions, Events and the next visit from what became of the plan. `writes` has an
    /// outcome for each element of [`Plan::writes`], `removals` for each of [`Plan::removals`].
    #[must_use]
    pub fn conclude(
        self,
        binding: &Binding,
        writes: &[WriteOutcome],
        removals: &[RemovalOutcome],
        now: i64,
    ) -> Conclusion {
        let inventory = self.inventory(binding, writes, removals);
        let problems: Vec<&Problem> = writes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .chain(removals.iter().filter_map(|outcome| outcome.as_ref().err()))
            .collect();
        let retry = problems
            .iter()
            .map(|problem| problem.retry)
            .max()
            .unwrap_or(Retry::Stop);
        // An immutable object lets go of nothing, ever: it holds up no deletion.
        let cleaned = removals.iter().all(|outcome| {
            is_final(outcome)
                || matches!(outcome, Err(problem) if problem.reason == Reason::TargetInvalid)
        });
        if binding.deleting {
            return Conclusion {
                status: None,
                drop_finalizer: binding.finalizer && cleaned,
                notices: Vec::new(),
                retry,
            };
        }
        let merges = binding.spec.merges()
            || inventory
                .iter()
                .any(|record| record.policy == CreationPolicy::Merge);
        let drop_finalizer = binding.finalizer && !merges;
        let status = self.status(binding, inventory, &problems, now);
        let notices = self.notices(binding, &status);
        Conclusion {
            status: (status != binding.status).then_some(status),
            drop_finalizer,
            notices,
            retry,
        }
    }

    fn inventory(
        &self,
        binding: &Binding,
        writes: &[WriteOutcome],
        removals: &[RemovalOutcome],
    ) -> Vec<TargetRecord> {
        let mut records: BTreeMap<TargetKey, TargetRecord> = binding
            .status
            .targets
            .iter()
            .map(|record| (record.key.clone(), record.clone()))
            .collect();
        for (removal, outcome) in self.removals.iter().zip(removals) {
            if is_final(outcome) {
                records.remove(&removal.key);
            }
        }
        for (write, outcome) in self.writes.iter().zip(writes) {
            if let (Ok(write), Ok(uid)) = (write, outcome) {
                records.insert(
                    write.key.clone(),
                    TargetRecord {
                        key: write.key.clone(),
                        uid: uid.clone(),
                        policy: write.policy,
                        hash: render::content_hash(&write.content).into(),
                    },
                );
            }
        }
        records.into_values().collect()
    }

    fn status(
        &self,
        binding: &Binding,
        inventory: Vec<TargetRecord>,
        problems: &[&Problem],
        now: i64,
    ) -> Status {
        let prior = &binding.status;
        let generation = binding.generation;
        let synced = self.synced_finding(binding, problems);
        let profile = match &self.publication {
            Publication::Publish(profile) | Publication::Keep(profile) => Some(profile.clone()),
            Publication::Withdraw { .. } if inventory.is_empty() => None,
            Publication::Withdraw { .. } | Publication::Leave => prior.profile.clone(),
            Publication::Nothing => None,
        };
        let ready = ready_finding(
            &self.supported,
            &self.residency,
            &synced,
            profile.as_deref(),
        );
        let secret = inventory
            .iter()
            .find(|record| {
                record.key.kind == TargetKind::Secret && record.policy == CreationPolicy::Owner
            })
            .map(|record| record.key.name.clone());
        let mut status = Status {
            observed_generation: Some(generation),
            conditions: Vec::with_capacity(ConditionType::ALL.len()),
            profile,
            targets: inventory,
            secret,
        };
        let progress = match ready.status {
            _ if binding.spec.suspend => None,
            ConditionStatus::True => None,
            ConditionStatus::False => Some((ConditionType::Stalled, ready.clone())),
            ConditionStatus::Unknown => Some((ConditionType::Reconciling, ready.clone())),
        };
        let mut set = |kind, finding| status.upsert(prior, kind, finding, generation, now);
        set(ConditionType::Ready, ready);
        set(ConditionType::RegionSupported, self.supported.clone());
        set(ConditionType::ResidencySatisfied, self.residency.clone());
        set(ConditionType::TargetsSynced, synced);
        set(ConditionType::CatalogFresh, self.catalog.clone());
        if let Some((kind, ready)) = progress {
            set(
                kind,
                Finding::new(ConditionStatus::True, ready.reason, ready.message),
            );
        }
        if binding.spec.suspend {
            set(
                ConditionType::Suspended,
                Finding::new(
                    ConditionStatus::True,
                    Reason::SuspendedBySpec,
                    "spec.suspend is true: targets are left as they are; residency limits and deletion still act",
                ),
            );
        }
        status
    }

    fn synced_finding(&self, binding: &Binding, problems: &[&Problem]) -> Finding {
        if let Some(worst) = problems
            .iter()
            .max_by_key(|problem| problem.retry == Retry::Retry)
        {
            // What failed on the way comes first: as long as it does, nothing definite is known of the targets.
            let status = if worst.retry == Retry::Retry {
                ConditionStatus::Unknown
            } else {
                ConditionStatus::False
            };
            let first = if worst.retry == Retry::Retry {
                worst
            } else {
                &problems[0]
            };
            let message = match problems.len() {
                1 => first.message.clone(),
                more => format!("{} (and {} more)", first.message, more - 1),
            };
            return Finding::new(status, first.reason, message);
        }
        match &self.publication {
            Publication::Publish(_) | Publication::Keep(_) => {
                let names: Vec<String> = self
                    .writes
                    .iter()
                    .flatten()
                    .map(|write| write.key.to_string())
                    .collect();
                Finding::new(
                    ConditionStatus::True,
                    Reason::Synced,
                    format!("up to date: {}", names.join(", ")),
                )
            }
            Publication::Withdraw { why } => Finding::new(
                ConditionStatus::Unknown,
                Reason::NoProfile,
                format!("withdrawn: {why}"),
            ),
            Publication::Leave => binding
                .status
                .finding(ConditionType::TargetsSynced)
                .unwrap_or_else(|| {
                    Finding::new(
                        ConditionStatus::Unknown,
                        Reason::NoProfile,
                        "nothing was written yet",
                    )
                }),
            // Why a value was withdrawn stands until the spec changes.
            Publication::Nothing => binding
                .status
                .finding(ConditionType::TargetsSynced)
                .filter(|before| {
                    before.reason == Reason::NoProfile
                        && binding.status.observed_generation == Some(binding.generation)
                })
                .unwrap_or_else(|| {
                    Finding::new(
                        ConditionStatus::Unknown,
                        Reason::NoProfile,
                        "there is no value to write",
                    )
                }),
        }
    }

    fn notices(&self, binding: &Binding, status: &Status) -> Vec<Notice> {
        let mut notices = Vec::new();
        let prior = &binding.status;
        let (before, after) = (
            prior.condition(ConditionType::Ready),
            status.condition(ConditionType::Ready),
        );
        if let Publication::Withdraw { why } = &self.publication
            && prior.profile.is_some()
            && status.profile.is_none()
        {
            let id = prior
                .profile
                .as_ref()
                .map(|written| written.profile.id.to_string())
                .unwrap_or_default();
            notices.push(Notice {
                warning: true,
                reason: "Withdrawn",
                message: format!(
                    "{id} was removed from the targets: {why}. Pods that run keep the value"
                ),
            });
        }
        if let (Some(old), Some(new)) = (&prior.profile, &status.profile)
            && old.profile.id != new.profile.id
        {
            notices.push(Notice {
                warning: false,
                reason: "ProfileChanged",
                message: format!("{} replaces {}", new.profile.id, old.profile.id),
            });
        }
        if let Some(after) = after
            && before
                .is_none_or(|before| (before.status, before.reason) != (after.status, after.reason))
        {
            match (before, after.status) {
                (_, ConditionStatus::False) => notices.push(Notice {
                    warning: true,
                    reason: after.reason.as_str(),
                    message: after.message.to_string(),
                }),
                // The first success needs no Event: a write per new binding would say what the status says.
                (Some(before), ConditionStatus::True)
                    if before.status == ConditionStatus::False =>
                {
                    notices.push(Notice {
                        warning: false,
                        reason: after.reason.as_str(),
                        message: after.message.to_string(),
                    });
                }
                _ => {}
            }
        }
        notices
    }
}

/// Says whether a removal needs no other try: what was refused is still there, and stays in the inventory.
fn is_final(outcome: &RemovalOutcome) -> bool {
    outcome
        .as_ref()
        .err()
        .is_none_or(|problem| problem.retry == Retry::Stop)
}

/// Returns what Ready says: the first of the three that is not True, or that all is well.
fn ready_finding(
    supported: &Finding,
    residency: &Finding,
    synced: &Finding,
    profile: Option<&WrittenProfile>,
) -> Finding {
    if let Some(first) = [supported, residency, synced]
        .into_iter()
        .find(|finding| !finding.is_true())
    {
        return first.clone();
    }
    let id = profile
        .map(|written| written.profile.id.as_str())
        .unwrap_or_default();
    let region = profile
        .map(|written| written.profile.source_region.as_str())
        .unwrap_or_default();
    Finding::new(
        ConditionStatus::True,
        Reason::Bound,
        format!("{id} is written to the targets; valid when called from {region}"),
    )
}

#[cfg(test)]
mod tests;
