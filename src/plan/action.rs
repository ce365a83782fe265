//! The actions of a plan: writes and removals of targets, their outcomes, and when a failed one is retried.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Resource;
use serde_json::{Value, json};

use crate::api::{CreationPolicy, InferenceProfileBinding, TargetKind, condition::Reason, names};

use super::{
    identity::TargetKey,
    metadata::{self, TargetMetadata},
    observed::{Binding, TargetView, wire_value},
    restarts::{Restart, RestartOutcome},
};

/// How a target is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteMode {
    /// Nothing is written: the object, as the watch shows it, already holds the content.
    Unchanged(Arc<TargetView>),
    /// The object is created. If it exists after all, its metadata decide what is done.
    Create,
    /// The object belongs to the binding and is updated to the content.
    Update(Arc<TargetView>),
    /// The keys are merged into an object whose owner allows it.
    Merge(Arc<TargetView>),
    /// The keys are merged into an object that the watch does not show. Its metadata decide whether that is allowed.
    MergeUnseen,
}

/// A target to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The object.
    pub key: TargetKey,
    /// Whether the binding owns the object or merges keys into it.
    pub policy: CreationPolicy,
    /// Key -> value, as the object is to hold them.
    pub content: BTreeMap<String, String>,
    /// Labels and annotations beside those of the operator. `None` when there are none.
    pub metadata: Option<Arc<TargetMetadata>>,
    /// How it is written.
    pub mode: WriteMode,
}

impl Write {
    /// Says whether these labels and annotations differ from those that the binding holds in the object.
    #[must_use]
    pub fn changes_metadata(&self) -> bool {
        match &self.mode {
            WriteMode::Update(view) => {
                view.metadata != metadata::fingerprint_of(self.metadata.as_deref())
            }
            _ => false,
        }
    }

    /// Returns the manifest to apply: the fields that the binding owns, and no others.
    #[must_use]
    pub fn manifest(&self, binding: &Binding) -> Value {
        let key = &self.key;
        let mut metadata = json!({
            "name": key.name.as_ref(),
            "namespace": key.namespace.as_ref(),
        });
        if let Some(more) = &self.metadata {
            for (field, entries) in [("labels", &more.labels), ("annotations", &more.annotations)] {
                for (key, value) in entries {
                    metadata[field][key.as_ref()] = json!(value.as_ref());
                }
            }
        }
        metadata["labels"][names::MANAGED_LABEL] = json!("true");
        if self.policy == CreationPolicy::Owner {
            // No blockOwnerDeletion: it would need permission on the binding's finalizers, and delay its deletion.
            metadata["ownerReferences"] = json!([{
                "apiVersion": InferenceProfileBinding::api_version(&()),
                "kind": InferenceProfileBinding::kind(&()),
                "name": binding.key.name.as_ref(),
                "uid": binding.uid.as_ref(),
                "controller": true,
            }]);
        }
        // `data`, never `stringData`: removing a key from `stringData` does not remove it from the Secret.
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

/// Why a target is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalCause {
    /// The target is no longer in the spec.
    NotInSpec,
    /// The value may no longer be published.
    Withdrawn,
    /// The binding is being deleted, and takes its merged keys with it.
    Deleted,
    /// The binding is being deleted, and the objects that it owns stay.
    Orphaned,
}

/// An object to delete, to release, or to remove the binding's keys from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The object.
    pub key: TargetKey,
    /// Its UID. Another object of the same name is not touched.
    pub uid: Arc<str>,
    /// Owner: the object is deleted or, where it is orphaned, released: it no longer has the binding as its owner. Merge: the
    /// binding's keys are removed from it.
    pub policy: CreationPolicy,
    /// The object as the watch shows it. `None` when the watch does not show it.
    pub view: Option<Arc<TargetView>>,
    /// Why it is removed.
    pub cause: RemovalCause,
}

/// How soon a failed action is retried. It decides when a binding is visited again although nothing about it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// Never by itself: only a change that a watch shows can cure the failure.
    OnChange,
    /// At growing intervals: a change that no watch shows can cure the failure.
    Rarely,
    /// Soon: the failure is transient.
    Soon,
}

impl Retry {
    /// Returns the longest pause between two retries. Returns `None` when nothing is retried before a change.
    #[must_use]
    pub fn longest_pause(self) -> Option<Duration> {
        match self {
            Self::OnChange => None,
            Self::Rarely => Some(Duration::from_mins(5)),
            Self::Soon => Some(Duration::from_mins(1)),
        }
    }

    /// Returns when to retry what a change of the object can cure. Watches show a change of a labelled object only.
    #[must_use]
    pub fn on_change_of(view: &TargetView) -> Self {
        if view.labelled {
            Self::OnChange
        } else {
            Self::Rarely
        }
    }
}

/// Why a target is not as the spec asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Reason of `TargetsSynced`.
    pub reason: Reason,
    /// What happened, and what to do.
    pub message: String,
    /// When to retry.
    pub retry: Retry,
}

impl Problem {
    /// Returns a problem that is not retried before a change.
    pub fn until_change(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: Retry::OnChange,
        }
    }
}

/// A target of the spec whose write is refused before anything is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The target.
    pub key: TargetKey,
    /// Why it is refused.
    pub problem: Problem,
}

/// An action that was tried, with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried<T, O> {
    /// The action.
    pub what: T,
    /// Its outcome.
    pub outcome: Result<O, Problem>,
}

/// A write that was tried. Its outcome is the UID of the object that holds the content.
pub type TriedWrite = Tried<Write, Arc<str>>;

/// A removal that was tried.
pub type TriedRemoval = Tried<Removal, ()>;

/// A restart that was tried.
pub type TriedRestart = Tried<Restart, RestartOutcome>;
