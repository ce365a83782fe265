//! What a plan consists of: writes and removals of targets, what becomes of them, and when a failed one is tried again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Resource;
use serde_json::{Value, json};

use crate::api::{CreationPolicy, InferenceProfileBinding, TargetKind, condition::Reason, names};

use super::{
    identity::TargetKey,
    observed::{Binding, TargetView, wire_value},
    restarts::{Restart, Restarted},
};

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

/// When a binding is visited again without being called: how soon what failed is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// Only after a change that a watch shows.
    OnChange,
    /// After a change that no watch shows: asked again, ever more rarely.
    Rarely,
    /// Soon: it failed on the way.
    Soon,
}

impl Retry {
    /// Returns the longest pause between two tries; nothing where only a change brings the binding back.
    #[must_use]
    pub fn longest_pause(self) -> Option<Duration> {
        match self {
            Self::OnChange => None,
            Self::Rarely => Some(Duration::from_mins(5)),
            Self::Soon => Some(Duration::from_mins(1)),
        }
    }

    /// Returns when a problem of an object is worth another try that ends with a change of it: watches select by the label.
    #[must_use]
    pub fn on_change_of(view: &TargetView) -> Self {
        if view.labelled {
            Self::OnChange
        } else {
            Self::Rarely
        }
    }
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
    pub fn until_change(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: Retry::OnChange,
        }
    }
}

/// A target of the spec that is not written, without a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The target.
    pub key: TargetKey,
    /// Why.
    pub problem: Problem,
}

/// Something that was tried, with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried<T, O> {
    /// What was tried.
    pub what: T,
    /// What became of it.
    pub outcome: Result<O, Problem>,
}

/// A write that was tried, with the UID of the object that holds the content.
pub type TriedWrite = Tried<Write, Arc<str>>;

/// A removal that was tried.
pub type TriedRemoval = Tried<Removal, ()>;

/// A restart that was tried.
pub type TriedRestart = Tried<Restart, Restarted>;
