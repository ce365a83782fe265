//! Server-side apply with the ownership guard: every write of the operator goes through here.
//!
//! A first write is create-only, every other one carries the uid of the object that was judged, so that neither an object
//! of others nor one that took a name's place is ever written to.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions},
    core::{NamespaceResourceScope, ObjectMeta, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    api::{
        CreationPolicy, InferenceProfileBinding, TargetKind, WorkloadKind, condition::Reason, names,
    },
    cache::decode::{target_view, version},
    metrics::Operation,
    plan::{
        How, Problem, Removal, RemovalOutcome, Restart, Retry, Write, WriteOutcome, check_merge,
        foreign_object,
        identity::{ObjectKey, TargetKey, WorkloadKey},
        observed::{Binding, TargetView, fingerprint, fingerprints},
        ownership::{self, Standing},
        status::Status,
    },
};

use super::{Context, failure::CallError, within};

/// Kind of bindings, as metrics name it.
const BINDING_KIND: &str = "InferenceProfileBinding";

/// What an apply insists on.
enum Insist<'a> {
    /// The object does not exist.
    Absent,
    /// The object is this one; fields of others may be taken over.
    Force(&'a str),
    /// The object is this one; fields of others are left to them.
    Yield(&'a str),
}

impl Context {
    /// Writes a target as planned.
    pub(super) async fn write(&self, binding: &Binding, write: &Write) -> WriteOutcome {
        match &write.how {
            How::InPlace(view) => Ok(view.uid.clone()),
            How::Create => self.create(binding, write).await,
            How::Update(view) => self
                .apply(binding, write, Insist::Force(&view.uid), Some(view))
                .await
                .map_err(|error| error.problem(&write.key)),
            How::Merge(view) => self.merge(binding, write, view).await,
            How::MergeUnseen => {
                let view = self
                    .look(&write.key)
                    .await
                    .map_err(|error| error.problem(&write.key))?;
                check_merge(binding, &write.key, &view, &write.content)?;
                self.merge(binding, write, &view).await
            }
        }
    }

    /// Creates an owned object. Where it exists after all, its metadata decide: a label taken off, a lost race with
    /// another replica, or an object of others.
    async fn create(&self, binding: &Binding, write: &Write) -> WriteOutcome {
        match self.apply(binding, write, Insist::Absent, None).await {
            Err(error) if error.is_conflict() => {}
            outcome => return outcome.map_err(|error| error.problem(&write.key)),
        }
        let view = match self.look(&write.key).await {
            Ok(view) => view,
            Err(error) if error.is_not_found() => {
                return Err(Problem {
                    reason: Reason::Retrying,
                    message: format!("{} vanished while it was written; retried", write.key),
                    retry: Retry::Retry,
                });
            }
            Err(error) => return Err(error.problem(&write.key)),
        };
        match ownership::judge(binding, &write.key, &view) {
            Standing::Ours | Standing::Adoptable => self
                .apply(binding, write, Insist::Force(&view.uid), Some(&view))
                .await
                .map_err(|error| error.problem(&write.key)),
            // No watch shows an object without the label.
            Standing::Foreign { owner } => Err(foreign_object(&write.key, &owner, Retry::Wait)),
        }
    }

    async fn merge(&self, binding: &Binding, write: &Write, view: &TargetView) -> WriteOutcome {
        let error = match self
            .apply(binding, write, Insist::Yield(&view.uid), Some(view))
            .await
        {
            Ok(uid) => return Ok(uid),
            Err(error) => error,
        };
        let managers = error.objecting_managers();
        if managers.is_empty() {
            return Err(error.problem(&write.key));
        }
        Err(Problem {
            reason: Reason::TargetConflict,
            message: format!(
                "{}: held by another field manager: {}; remove the keys there or use others",
                write.key,
                managers.join(", ")
            ),
            retry: Retry::on_change_of(view),
        })
    }

    /// Applies a target and remembers it. `before` is what was known of it.
    async fn apply(
        &self,
        binding: &Binding,
        write: &Write,
        insist: Insist<'_>,
        before: Option<&TargetView>,
    ) -> Result<Arc<str>, CallError> {
        let mut params = PatchParams::apply(&names::target_manager(&binding.key.name));
        params.force = matches!(insist, Insist::Force(_));
        let body = target_body(binding, write, &insist);
        self.cache().begin_write(&write.key);
        let written = self.patch(&write.key, &params, &body).await;
        let remembered = written.as_ref().ok().map(|meta| {
            let content = fingerprints(write.key.kind, &write.content);
            // Other bindings of ours may hold keys there too.
            let others = before
                .iter()
                .flat_map(|view| &view.ours)
                .flat_map(|holding| &holding.keys);
            let known: HashMap<u64, u64> = others.chain(&content).copied().collect();
            let view = target_view(meta, |key| known.get(&fingerprint(key)).copied());
            (view, version(meta))
        });
        let vanished = self.cache().end_write(&write.key, remembered);
        let meta = written?;
        if vanished {
            self.queue
                .push(binding.key.clone(), crate::queue::Lane::Low);
        }
        Ok(meta.uid.unwrap_or_default().into())
    }

    /// Removes what was planned to be removed.
    pub(super) async fn remove(&self, binding: &Binding, removal: &Removal) -> RemovalOutcome {
        let view = match &removal.view {
            Some(view) => view.clone(),
            None => match self.look(&removal.key).await {
                Ok(view) => Arc::new(view),
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error.problem(&removal.key)),
            },
        };
        if view.uid != removal.uid {
            return Ok(());
        }
        match removal.policy {
            CreationPolicy::Owner => match ownership::judge(binding, &removal.key, &view) {
                Standing::Ours | Standing::Adoptable => self.delete(removal).await,
                Standing::Foreign { .. } => Ok(()),
            },
            CreationPolicy::Merge => self.take_out(binding, removal, &view).await,
        }
    }

    async fn delete(&self, removal: &Removal) -> RemovalOutcome {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(removal.uid.to_string()),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let (key, params) = (&removal.key, &params);
        let outcome = match key.kind {
            TargetKind::ConfigMap => {
                let api = self.api::<ConfigMap>(key);
                let call = api.delete(&key.name, params);
                self.change_in_cluster(key.kind.as_str(), Operation::Remove, call)
                    .await
                    .map(drop)
            }
            TargetKind::Secret => {
                let api = self.api::<Secret>(key);
                let call = api.delete(&key.name, params);
                self.change_in_cluster(key.kind.as_str(), Operation::Remove, call)
                    .await
                    .map(drop)
            }
        };
        match outcome {
            Ok(()) => {
                self.cache().assume_removed(key, &removal.uid);
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error.problem(key)),
        }
    }

    /// Takes our keys and our label out of an object of others, and looks whether they are gone.
    async fn take_out(
        &self,
        binding: &Binding,
        removal: &Removal,
        view: &TargetView,
    ) -> RemovalOutcome {
        let key = &removal.key;
        let body = json!({
            "apiVersion": "v1",
            "kind": key.kind,
            "metadata": {"name": key.name.as_ref(), "namespace": key.namespace.as_ref(), "uid": removal.uid.as_ref()},
        });
        let params = PatchParams::apply(&names::target_manager(&binding.key.name)).force();
        let meta = match self.patch(key, &params, &body).await {
            Ok(meta) => meta,
            Err(error)
                if error.is_not_found()
                    || error.is_conflict()
                    || error.is_replaced()
                    || error.is_namespace_terminating() =>
            {
                return Ok(());
            }
            Err(error) => return Err(error.problem(key)),
        };
        self.cache().assume_removed(key, &removal.uid);
        let after = target_view(&meta, |_| None);
        let ours = view
            .held_by(&binding.key.name)
            .map(|holding| holding.keys.as_ref())
            .unwrap_or_default();
        let still_held = after.foreign.iter().find(|holding| {
            holding
                .keys
                .iter()
                .any(|(held, _)| ours.iter().any(|(mine, _)| mine == held))
        });
        match still_held {
            None => Ok(()),
            Some(holding) => Err(Problem {
                reason: Reason::TargetConflict,
                message: format!(
                    "{key}: the field manager {} holds a key too, so it is still there; remove it there",
                    holding.holder
                ),
                retry: Retry::Stop,
            }),
        }
    }

    /// Reads the metadata of a target: never its values.
    async fn look(&self, key: &TargetKey) -> Result<TargetView, CallError> {
        let meta = match key.kind {
            TargetKind::ConfigMap => {
                within(self.api::<ConfigMap>(key).get_metadata(&key.name))
                    .await?
                    .metadata
            }
            TargetKind::Secret => {
                within(self.api::<Secret>(key).get_metadata(&key.name))
                    .await?
                    .metadata
            }
        };
        Ok(target_view(&meta, |_| None))
    }

    /// Patches a target; only its metadata come back.
    async fn patch(
        &self,
        key: &TargetKey,
        params: &PatchParams,
        body: &Value,
    ) -> Result<ObjectMeta, CallError> {
        let patch = Patch::Apply(body);
        Ok(match key.kind {
            TargetKind::ConfigMap => {
                let api = self.api::<ConfigMap>(key);
                let call = api.patch_metadata(&key.name, params, &patch);
                self.change_in_cluster(key.kind.as_str(), Operation::Apply, call)
                    .await?
                    .metadata
            }
            TargetKind::Secret => {
                let api = self.api::<Secret>(key);
                let call = api.patch_metadata(&key.name, params, &patch);
                self.change_in_cluster(key.kind.as_str(), Operation::Apply, call)
                    .await?
                    .metadata
            }
        })
    }

    fn api<K>(&self, key: &TargetKey) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// Writes the status and remembers it.
    pub(super) async fn write_status(
        &self,
        binding: &Binding,
        status: Status,
    ) -> Result<(), CallError> {
        let mut body = binding_body(binding);
        body["status"] = serde_json::to_value(status.to_wire()).unwrap_or_default();
        let params = PatchParams::apply(names::STATUS_MANAGER).force();
        let (api, patch) = (self.bindings(binding), Patch::Apply(&body));
        let call = api.patch_status(&binding.key.name, &params, &patch);
        let written = self
            .change_in_cluster(BINDING_KIND, Operation::Apply, call)
            .await?;
        self.cache().assume_status(
            &binding.key,
            &binding.uid,
            status,
            version(&written.metadata),
        );
        Ok(())
    }

    /// Puts our finalizer on, or takes it off, as a field manager of its own: finalizers of others stay.
    pub(super) async fn set_finalizer(
        &self,
        binding: &Binding,
        present: bool,
    ) -> Result<(), CallError> {
        let mut body = binding_body(binding);
        body["metadata"]["finalizers"] = if present {
            json!([names::MERGE_FINALIZER])
        } else {
            json!([])
        };
        let params = PatchParams::apply(names::FINALIZER_MANAGER).force();
        let (api, patch) = (self.bindings(binding), Patch::Apply(&body));
        let call = api.patch_metadata(&binding.key.name, &params, &patch);
        let written = self
            .change_in_cluster(BINDING_KIND, Operation::Apply, call)
            .await?;
        self.cache().assume_finalizer(
            &binding.key,
            &binding.uid,
            present,
            version(&written.metadata),
        );
        Ok(())
    }

    /// Restarts a workload by an annotation of its pod template; nothing happens where the template has it already.
    ///
    /// A merge patch: a server-side apply would try to create a workload that is not there.
    pub(super) async fn annotate_template(
        &self,
        binding: &ObjectKey,
        restart: &Restart,
    ) -> Result<(), CallError> {
        let workload = &restart.workload;
        let annotation = names::rollout_annotation(&binding.name);
        let annotations = json!({ annotation: restart.token.as_ref() });
        let body = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let params = PatchParams {
            field_manager: Some(names::target_manager(&binding.name)),
            ..PatchParams::default()
        };
        let (api, patch) = (self.workloads(workload), Patch::Merge(&body));
        let call = api.patch_metadata(&workload.name, &params, &patch);
        self.change_in_cluster(workload.kind.as_str(), Operation::Apply, call)
            .await
            .map(drop)
    }

    /// Returns the workloads of a kind and namespace.
    pub(super) fn workloads(&self, key: &WorkloadKey) -> Api<DynamicObject> {
        let kind = match key.kind {
            WorkloadKind::Deployment => ApiResource::erase::<Deployment>(&()),
            WorkloadKind::StatefulSet => ApiResource::erase::<StatefulSet>(&()),
            WorkloadKind::DaemonSet => ApiResource::erase::<DaemonSet>(&()),
        };
        Api::namespaced_with(self.client.clone(), &key.namespace, &kind)
    }

    fn bindings(&self, binding: &Binding) -> Api<PartialObjectMeta<InferenceProfileBinding>> {
        Api::namespaced(self.client.clone(), &binding.key.namespace)
    }
}

fn binding_body(binding: &Binding) -> Value {
    json!({
        "apiVersion": InferenceProfileBinding::api_version(&()),
        "kind": InferenceProfileBinding::kind(&()),
        "metadata": {
            "name": binding.key.name.as_ref(),
            "namespace": binding.key.namespace.as_ref(),
            "uid": binding.uid.as_ref(),
        },
    })
}

fn target_body(binding: &Binding, write: &Write, insist: &Insist<'_>) -> Value {
    let mut body = write.manifest(binding);
    let metadata = &mut body["metadata"];
    match insist {
        // A resource version of something that does not exist: created if absent, 409 otherwise.
        Insist::Absent => metadata["resourceVersion"] = json!("1"),
        Insist::Force(uid) | Insist::Yield(uid) => metadata["uid"] = json!(uid),
    }
    body
}
