//! Which targets are written and which are removed, and what stands in the way.

use std::collections::BTreeMap;

use crate::{
    api::{CreationPolicy, TargetKind, condition::Reason, names},
    render,
};

use super::{
    action::{How, Problem, Refused, Removal, RemovalCause, Retry, Write},
    identity::TargetKey,
    observed::{Binding, Observed, ObservedTarget, Settings, TargetSpec, TargetView},
    ownership::{self, Standing},
    publication::Publication,
    status::WrittenRoute,
};

/// Returns how a target is written, or why it is not.
pub(super) fn plan_write(
    binding: &Binding,
    target: &TargetSpec,
    seen: &ObservedTarget,
    route: &WrittenRoute,
    settings: &Settings,
) -> Result<Write, Refused> {
    let key = binding.target_key(target);
    write(binding, key.clone(), target, seen, route, settings)
        .map_err(|problem| Refused { key, problem })
}

fn write(
    binding: &Binding,
    key: TargetKey,
    target: &TargetSpec,
    seen: &ObservedTarget,
    route: &WrittenRoute,
    settings: &Settings,
) -> Result<Write, Problem> {
    if target.kind == TargetKind::Secret && !settings.enable_secrets {
        return Err(Problem::until_change(
            Reason::SecretsDisabled,
            format!(
                "{key}: this operator does not write Secrets; start it with --enable-secrets, or use a ConfigMap"
            ),
        ));
    }
    if let Some(other) = &seen.claimed_by {
        return Err(Problem::until_change(
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
        route.values(),
    )
    .map_err(|error| Problem::until_change(render_reason(&error), format!("{key}: {error}")))?;
    let how = match (target.policy, &seen.view) {
        (CreationPolicy::Owner, None) => How::Create,
        (CreationPolicy::Owner, Some(view)) => match ownership::judge(binding, &key, view) {
            Standing::Ours
                if view.labelled && view.holds(&binding.key.name, target.kind, &content) =>
            {
                How::InPlace(view.clone())
            }
            Standing::Ours | Standing::Adoptable => How::Update(view.clone()),
            Standing::Foreign { owner } => {
                return Err(foreign_object(&key, &owner, Retry::OnChange));
            }
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
    let retry = Retry::on_change_of(view);
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

/// Returns what must go: everything where the value is withdrawn, else what stands in the spec no more. The inventory and
/// the traces on objects are both asked, so that neither a lost status nor a stripped label leaves something behind.
pub(super) fn plan_removals(
    observed: &Observed,
    publication: &Publication,
    writes: &[Result<Write, Refused>],
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
        // The inventory may speak of a predecessor: an object that was replaced before its status was written.
        removal.uid = trace.view.uid.clone();
        removal.view = Some(trace.view.clone());
    }
    held.into_values()
        .filter(|removal| match cause {
            // Owned objects are left to garbage collection.
            RemovalCause::Deleted => removal.policy == CreationPolicy::Merge,
            RemovalCause::Withdrawn => true,
            RemovalCause::NotInSpec => {
                let is_refused = |key: &TargetKey| {
                    let mut refused = writes.iter().filter_map(|write| write.as_ref().err());
                    refused.any(|refused| refused.key == *key)
                };
                !binding.spec.targets.iter().any(|target| {
                    binding.target_key(target) == removal.key
                        && !(is_refused(&removal.key) && merged_before(binding, target, removal))
                })
            }
        })
        .collect()
}

/// Says whether a target that is to be owned now was merged into before: the merged keys must go, whoever gets the object.
///
/// Only the inventory tells. A field manager of our name on an object of others proves nothing: anyone can apply under it.
fn merged_before(binding: &Binding, target: &TargetSpec, removal: &Removal) -> bool {
    let recorded = binding.status.record(&removal.key);
    target.policy == CreationPolicy::Owner
        && recorded.is_some_and(|record| record.policy == CreationPolicy::Merge)
}
