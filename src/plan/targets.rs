//! Decides which targets are written and which are removed, and what prevents it.

use std::collections::BTreeMap;

use crate::{
    api::{CreationPolicy, TargetKind, condition::Reason, names},
    models::Models,
    render::{self, Values},
};

use super::{
    action::{Problem, Refused, Removal, RemovalCause, Retry, Write, WriteMode},
    identity::TargetKey,
    metadata,
    observed::{Binding, Observed, ObservedTarget, Settings, TargetSpec, TargetView},
    ownership::{self, Ownership},
    publication::Publication,
    status::TargetRecord,
};

/// Returns the write of a target that holds values of these models, or why it is refused.
pub(super) fn plan_write(
    binding: &Binding,
    target: &TargetSpec,
    seen: &ObservedTarget,
    models: &Models<Values<'_>>,
    settings: &Settings,
) -> Result<Write, Refused> {
    let key = binding.target_key(target);
    write(binding, key.clone(), target, seen, models, settings)
        .map_err(|problem| Refused { key, problem })
}

fn write(
    binding: &Binding,
    key: TargetKey,
    target: &TargetSpec,
    seen: &ObservedTarget,
    models: &Models<Values<'_>>,
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
        models,
    )
    .map_err(|error| Problem::until_change(render_reason(&error), format!("{key}: {error}")))?;
    let mode = match (target.policy, &seen.view) {
        (CreationPolicy::Owner, None) => WriteMode::Create,
        (CreationPolicy::Owner, Some(view)) => match ownership::judge(binding, &key, view) {
            Ownership::Ours
                if view.labelled
                    && view.holds(&binding.key.name, target.kind, &content)
                    && view.metadata == metadata::fingerprint_of(target.metadata.as_deref()) =>
            {
                WriteMode::Unchanged(view.clone())
            }
            Ownership::Ours | Ownership::Adoptable => WriteMode::Update(view.clone()),
            Ownership::Foreign { owner } => {
                return Err(foreign_object(&key, &owner, Retry::OnChange));
            }
        },
        (CreationPolicy::Merge, None) => WriteMode::MergeUnseen,
        (CreationPolicy::Merge, Some(view)) => {
            check_merge(binding, &key, view, &content)?;
            // An object that the binding still controls must be written: the write gives up the control.
            if !ownership::controls(binding, view)
                && view.holds(&binding.key.name, target.kind, &content)
            {
                WriteMode::Unchanged(view.clone())
            } else {
                WriteMode::Merge(view.clone())
            }
        }
    };
    Ok(Write {
        key,
        policy: target.policy,
        content,
        metadata: target.metadata.clone(),
        mode,
    })
}

fn render_reason(error: &render::RenderError) -> Reason {
    match error {
        render::RenderError::ValueUnavailable { .. }
        | render::RenderError::NoApplicationProfile { .. }
        | render::RenderError::NoModel { .. } => Reason::ValueUnavailable,
        render::RenderError::TemplateInvalid { .. } => Reason::TemplateInvalid,
    }
}

/// Returns the problem of an object that has the name of an owned target and belongs to someone else.
#[must_use]
pub fn foreign_object(key: &TargetKey, owner: &str, retry: Retry) -> Problem {
    Problem {
        reason: Reason::TargetConflict,
        message: format!(
            "{key} exists and does not belong to this binding: {owner}; it is left untouched; choose another target name, or creationPolicy Merge with its owner's consent"
        ),
        retry,
    }
}

/// Checks that a binding may merge a content into an object: its owner allows it, and no foreign field manager holds one of
/// the keys.
///
/// # Errors
/// Returns the [`Problem`] to show. Only a change of the object can cure it.
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
                "{key} does not allow this binding to merge keys: its owner must set the annotation {}: {}",
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

/// Returns the removals: everything if the value is withdrawn, else what is no longer in the spec. Where the binding is being deleted:
/// what it merged, and what it owns and is to stay. Both the inventory and
/// the objects themselves are consulted, so that neither a lost status nor a removed label leaves something behind.
pub(super) fn plan_removals(
    observed: &Observed,
    publication: &Publication,
    residency_violated: bool,
    writes: &[Result<Write, Refused>],
) -> Vec<Removal> {
    let binding = &*observed.binding;
    let cause = match publication {
        _ if binding.deleting => RemovalCause::Deleted,
        Publication::Withdraw { .. } => RemovalCause::Withdrawn,
        Publication::Leave => return Vec::new(),
        _ => RemovalCause::NotInSpec,
    };
    // A value that breaks a limit stays nowhere.
    let orphans = binding.deleting && binding.spec.orphans() && !residency_violated;
    let is_asked = |key: &TargetKey| {
        let mut targets = binding.spec.targets.iter();
        targets.any(|target| binding.target_key(target) == *key)
    };
    let mut removals: BTreeMap<TargetKey, Removal> = BTreeMap::new();
    for record in &binding.status.targets {
        removals.insert(
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
    for held in &observed.held_objects {
        // Without a controller it may belong to others, even if it holds no keys of theirs: only our keys are removed.
        let policy = match ownership::judge(binding, &held.key, &held.view) {
            Ownership::Ours | Ownership::Adoptable if held.view.controller.is_some() => {
                CreationPolicy::Owner
            }
            // An earlier visit released it.
            Ownership::Adoptable if orphans && is_asked(&held.key) => CreationPolicy::Owner,
            _ => CreationPolicy::Merge,
        };
        let removal = removals.entry(held.key.clone()).or_insert_with(|| Removal {
            key: held.key.clone(),
            uid: held.view.uid.clone(),
            policy,
            view: None,
            cause,
        });
        // The inventory may have the UID of an earlier object, which was replaced before the status was written.
        removal.uid = held.view.uid.clone();
        removal.view = Some(held.view.clone());
    }
    for removal in removals.values_mut() {
        if orphans && removal.policy == CreationPolicy::Owner {
            removal.cause = if is_asked(&removal.key) {
                RemovalCause::Orphaned
            } else {
                RemovalCause::NotInSpec
            };
        }
    }
    removals
        .into_values()
        .filter(|removal| match removal.cause {
            // Owned objects are left to garbage collection.
            RemovalCause::Deleted => removal.policy == CreationPolicy::Merge,
            RemovalCause::Withdrawn | RemovalCause::Orphaned => true,
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

/// Says whether the binding owns an object of this inventory that stays when the binding is deleted.
pub(super) fn keeps_owned(binding: &Binding, inventory: &[TargetRecord]) -> bool {
    let mut policies = inventory.iter().map(|record| record.policy);
    binding.spec.orphans() && policies.any(|policy| policy == CreationPolicy::Owner)
}

/// Says whether the binding merged keys into a target that it is to own now. The merged keys must be removed, whoever the
/// object belongs to.
///
/// Only the inventory can tell. A field manager with our name proves nothing on an object that belongs to others, because
/// anyone can apply under that name.
fn merged_before(binding: &Binding, target: &TargetSpec, removal: &Removal) -> bool {
    let recorded = binding.status.record(&removal.key);
    target.policy == CreationPolicy::Owner
        && recorded.is_some_and(|record| record.policy == CreationPolicy::Merge)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::plan::{
        observed::{Controller, HeldObject, Holding, fingerprint, fingerprints},
        status::Status,
        testing::{
            SETTINGS, bound, edited, full, observed, planned, problem, sonnet, visit,
            visit_with_failing_removals,
        },
    };

    use super::*;

    #[test]
    fn a_target_that_left_the_spec_is_cleaned_by_inventory_and_by_trace() {
        let before = edited(
            &bound("geography: eu"),
            "geography: eu, targets: [{kind: ConfigMap, name: other}]",
        );
        let (after, cleaning, _) = visit(&before, full(), &SETTINGS);
        assert_eq!(cleaning.removed(), ["claude"]);
        assert_eq!(
            after
                .status
                .targets
                .iter()
                .map(|record| record.key.name.as_ref())
                .collect::<Vec<_>>(),
            ["other"]
        );

        let forgotten = Binding {
            status: Status::default(),
            ..before
        };
        let mut seen = observed(&forgotten, full());
        seen.held_objects = vec![HeldObject {
            key: TargetKey {
                kind: TargetKind::ConfigMap,
                namespace: "shop".into(),
                name: "claude".into(),
            },
            view: Arc::new(TargetView {
                uid: "uid-t".into(),
                controller: Some(controller("uid-1", "claude")),
                ..TargetView::default()
            }),
        }];
        let plan = planned(seen);
        assert_eq!(plan.removals[0].policy, CreationPolicy::Owner);
    }

    fn controller(uid: &str, name: &str) -> Controller {
        Controller {
            uid: uid.into(),
            binding: Some(name.into()),
            description: format!("InferenceProfileBinding {name}").into(),
        }
    }

    /// Returns a view in which the binding holds exactly what `write` would write.
    fn in_place(write: &Write, uid: &str) -> TargetView {
        TargetView {
            uid: "uid-t".into(),
            labelled: true,
            controller: Some(controller(uid, "claude")),
            ours: [Holding {
                holder: "claude".into(),
                keys: fingerprints(write.key.kind, &write.content),
            }]
            .into(),
            ..TargetView::default()
        }
    }

    #[test]
    fn an_owned_target_is_written_only_where_it_differs() {
        let before = sonnet("geography: eu");
        let write = planned(observed(&before, full()))
            .writes
            .remove(0)
            .expect("a write");
        let good = in_place(&write, "uid-1");
        let mut drifted = good.clone();
        Arc::make_mut(&mut drifted.ours[0].keys)[0].1 ^= 1;
        let stripped = TargetView {
            labelled: false,
            ..good.clone()
        };
        let predecessors = in_place(&write, "uid-0");
        let unheld = TargetView {
            ours: Box::default(),
            ..good.clone()
        };
        let foreign = TargetView {
            controller: Some(Controller {
                binding: None,
                ..controller("x", "other")
            }),
            ..good.clone()
        };
        for (name, view, kind) in [
            ("in place", &good, "in place"),
            ("a value drifted", &drifted, "update"),
            ("the label is gone", &stripped, "update"),
            ("a predecessor's", &predecessors, "update"),
            ("managed fields cleared", &unheld, "update"),
            ("of others", &foreign, "conflict"),
        ] {
            let mut seen = observed(&before, full());
            seen.targets[0].view = Some(Arc::new(view.clone()));
            let write = planned(seen).writes.remove(0);
            let got = match &write {
                Ok(Write {
                    mode: WriteMode::Unchanged(_),
                    ..
                }) => "in place",
                Ok(Write {
                    mode: WriteMode::Update(_),
                    ..
                }) => "update",
                Err(refused) if refused.problem.reason == Reason::TargetConflict => "conflict",
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(got, kind, "{name}");
        }
    }

    #[test]
    fn labels_and_annotations_are_compared_with_those_that_the_binding_holds() {
        let with = |metadata: &str| {
            format!("geography: eu, targets: [{{kind: ConfigMap, name: claude{metadata}}}]")
        };
        let team = ", metadata: {labels: {team: a}, annotations: {note: n}}";
        let other = ", metadata: {labels: {team: b}}";
        let merged =
            ", creationPolicy: Merge, keys: {MODEL: ProfileID}, metadata: {labels: {team: a}}";
        let of = |rest: &str| {
            let spec = sonnet(&with(rest)).spec;
            metadata::fingerprint_of(spec.targets[0].metadata.as_deref())
        };
        assert_eq!(of(merged), 0, "others give their object its labels");
        for (asked, held, is_written) in [
            ("", of(""), false),
            ("", of(team), true),
            (team, of(team), false),
            (team, of(""), true),
            (team, of(other), true),
        ] {
            let before = sonnet(&with(asked));
            let write = planned(observed(&before, full())).writes.remove(0);
            let view = TargetView {
                metadata: held,
                ..in_place(&write.expect("a write"), "uid-1")
            };
            let mut seen = observed(&before, full());
            seen.targets[0].view = Some(Arc::new(view));
            let write = planned(seen).writes.remove(0).expect("a write");
            let updates = matches!(write.mode, WriteMode::Update(_));
            assert_eq!(
                (updates, write.changes_metadata()),
                (is_written, is_written),
                "{asked:?}"
            );
            let manifest = write.manifest(&before);
            let labels = &manifest["metadata"]["labels"];
            assert_eq!(labels[names::MANAGED_LABEL], "true");
            let asks = asked == team;
            assert_eq!(labels.get("team").is_some(), asks);
            assert_eq!(manifest["metadata"].get("annotations").is_some(), asks);
        }
    }

    #[test]
    fn a_merge_needs_consent_and_free_keys() {
        let merging = sonnet(
            "geography: eu, targets: [{kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]",
        );
        let app = |allow: Option<&str>, foreign: &str| TargetView {
            uid: "uid-t".into(),
            labelled: true,
            allow_merge: allow.map(Arc::from),
            foreign: [Holding {
                holder: "kubectl".into(),
                keys: [(fingerprint(foreign), 0)].into(),
            }]
            .into(),
            ..TargetView::default()
        };
        for (view, expected) in [
            (app(None, "X"), Err(Reason::TargetForbidden)),
            (app(Some("other"), "X"), Err(Reason::TargetForbidden)),
            (app(Some("claude"), "MODEL"), Err(Reason::TargetConflict)),
            (app(Some("other, claude"), "X"), Ok(())),
        ] {
            let mut seen = observed(&merging, full());
            seen.targets[0].view = Some(Arc::new(view));
            let plan = planned(seen);
            assert!(plan.needs_finalizer());
            let got = plan.writes[0]
                .as_ref()
                .map(|_| ())
                .map_err(|refused| refused.problem.reason);
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn deletion_takes_merged_keys_out_and_leaves_owned_objects_to_garbage_collection() {
        let two = "geography: eu, targets: [{kind: ConfigMap, name: own}, {kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]";
        let before = Binding {
            deleting: true,
            finalizer: true,
            ..bound(two)
        };
        let (_, actions, outcome) = visit(&before, full(), &SETTINGS);
        assert_eq!(actions.removed(), ["app"]);
        assert!(actions.writes.is_empty());
        assert!(outcome.drop_finalizer && outcome.status.is_none());

        let failed = problem(Reason::Retrying, "x", Retry::Soon);
        let outcome = visit_with_failing_removals(&before, &failed);
        assert!(!outcome.drop_finalizer, "the keys are still there");
    }

    /// Returns what becomes of each object when a binding with this inventory is deleted, under this spec.
    fn at_deletion(
        written: &str,
        spec: &str,
        held: Vec<HeldObject>,
    ) -> Vec<(String, CreationPolicy, RemovalCause)> {
        let before = Binding {
            deleting: true,
            finalizer: true,
            ..edited(&bound(written), spec)
        };
        let mut seen = observed(&before, full());
        seen.held_objects = held;
        let removals = planned(seen).removals.into_iter();
        removals
            .map(|it| (it.key.name.to_string(), it.policy, it.cause))
            .collect()
    }

    #[test]
    fn owned_objects_stay_where_the_spec_says_so() {
        use CreationPolicy::{Merge, Owner};

        let targets = |names: &str| {
            let own = |name: &str| format!("{{kind: ConfigMap, name: {name}}}");
            let all: Vec<String> = names.split(' ').map(own).collect();
            format!("geography: eu, targets: [{}", all.join(", "))
        };
        let app = "{kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}";
        let orphaning = |rest: &str| format!("{rest}], deletionPolicy: Orphan");
        let own = targets("own");
        for (written, spec, expected) in [
            (format!("{own}]"), format!("{own}]"), &[][..]),
            (
                orphaning(&own),
                orphaning(&own),
                &[("own", Owner, RemovalCause::Orphaned)],
            ),
            (
                orphaning(&format!("{own}, {app}")),
                orphaning(&format!("{own}, {app}")),
                &[
                    ("app", Merge, RemovalCause::Deleted),
                    ("own", Owner, RemovalCause::Orphaned),
                ],
            ),
            (
                orphaning(&targets("gone own")),
                orphaning(&own),
                &[
                    ("gone", Owner, RemovalCause::NotInSpec),
                    ("own", Owner, RemovalCause::Orphaned),
                ],
            ),
            (
                orphaning(&own),
                format!("{}, allowedRegions: ['@us']", orphaning(&own)),
                &[],
            ),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, policy, cause)| ((*name).to_owned(), *policy, *cause))
                .collect();
            assert_eq!(at_deletion(&written, &spec, Vec::new()), expected, "{spec}");
        }
    }

    #[test]
    fn what_was_released_is_not_emptied_by_the_next_visit() {
        let spec = "geography: eu, targets: [{kind: ConfigMap, name: own}], deletionPolicy: Orphan";
        let released = |name: &str| HeldObject {
            key: TargetKey {
                kind: TargetKind::ConfigMap,
                namespace: "shop".into(),
                name: name.into(),
            },
            view: Arc::new(TargetView {
                uid: "uid-t".into(),
                labelled: true,
                ours: [Holding {
                    holder: "claude".into(),
                    keys: Arc::default(),
                }]
                .into(),
                ..TargetView::default()
            }),
        };
        let own = (
            "own".to_owned(),
            CreationPolicy::Owner,
            RemovalCause::Orphaned,
        );
        let other = (
            "other".to_owned(),
            CreationPolicy::Merge,
            RemovalCause::Deleted,
        );
        assert_eq!(
            at_deletion(spec, spec, vec![released("own"), released("other")]),
            [other, own]
        );
    }

    #[test]
    fn the_finalizer_is_there_while_owned_objects_are_to_stay() {
        let own =
            |rest: &str| format!("geography: eu, targets: [{{kind: ConfigMap, name: own}}]{rest}");
        let orphan = ", deletionPolicy: Orphan";
        let needs = |binding: &Binding| planned(observed(binding, full())).needs_finalizer();
        let drops = |binding: &Binding| {
            let with = Binding {
                finalizer: true,
                ..binding.clone()
            };
            visit(&with, full(), &SETTINGS).2.drop_finalizer
        };
        let merging = "geography: eu, targets: [{kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]";
        let written = bound(&own(""));
        for (name, binding, expected) in [
            ("it deletes", written.clone(), false),
            ("it says so from the start", sonnet(&own(orphan)), true),
            ("it says so later", edited(&written, &own(orphan)), true),
            (
                "it says so while it is suspended",
                edited(&written, &own(", deletionPolicy: Orphan, suspend: true")),
                true,
            ),
            (
                "it deletes again",
                edited(&bound(&own(orphan)), &own("")),
                false,
            ),
            ("it merges", sonnet(merging), true),
        ] {
            assert_eq!(
                (needs(&binding), drops(&binding)),
                (expected, !expected),
                "{name}"
            );
        }
        // What is withdrawn does not stay.
        let withdrawn = edited(
            &written,
            &own(", deletionPolicy: Orphan, allowedRegions: ['@us']"),
        );
        assert!(!needs(&withdrawn));
    }

    #[test]
    fn an_object_that_the_inventory_does_not_know_yet_is_withdrawn_all_the_same() {
        // The object was created again, and the operator stopped before it wrote the status.
        let before = edited(
            &bound("geography: eu"),
            "geography: eu, allowedRegions: ['@us']",
        );
        let mut seen = observed(&before, full());
        seen.held_objects = vec![HeldObject {
            key: before.status.targets[0].key.clone(),
            view: Arc::new(TargetView {
                uid: "uid-new".into(),
                controller: Some(controller("uid-1", "claude")),
                ..TargetView::default()
            }),
        }];
        let removals = planned(seen).removals;
        let uids: Vec<&str> = removals
            .iter()
            .map(|removal| removal.uid.as_ref())
            .collect();
        assert_eq!(uids, ["uid-new"]);
    }
}
