//! The only part of the controller that can write to the cluster: server-side apply with the ownership guard.
//!
//! A first write is create-only; every other write carries the UID of the object that was judged. So neither an object of
//! others nor an object that has since taken the same name is ever written to.
//!
//! Updates of owned targets and of statuses also carry the version that was judged, so that a write that arrives late, in the
//! term of another leader, changes nothing. Merges do not: others may write their object all the time, and many bindings may
//! share it, so that each write would refuse those beside it. Its fields are guarded by their field managers.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, ObjectReference, Secret},
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, GetParams, Patch, PatchParams, Preconditions},
    core::{ObjectMeta, PartialObjectMeta, Request},
};
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::Instrument;

use crate::{
    api::{
        CreationPolicy, InferenceProfileBinding, InferenceProfileBindingStatus,
        InferenceProfileClass, InferenceProfileClassStatus, TargetKind, WorkloadKind,
        condition::Reason, names,
    },
    cache::{
        KnownClass,
        decode::{WrittenObject, WrittenTarget, target_view, version},
    },
    leader::Leadership,
    metrics::{Metrics, Operation},
    plain::plain,
    plan::{
        Notice, Problem, Removal, RemovalCause, Restart, Retry, Tried, TriedRemoval, TriedWrite,
        Write, WriteMode, check_merge, foreign_object,
        identity::{ObjectKey, TargetKey, WorkloadKey},
        observed::{Binding, TargetView, fingerprint, fingerprints},
        ownership::{self, Ownership},
        status::Status,
    },
    queue::Lane,
    traces,
};

use super::{
    call_error::CallError,
    recovery::Cause,
    rollout_status::Workload,
    state::State,
    status_schema::{self, StatusSchema},
};

/// Longest wait for an answer of the apiserver.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The media type of an answer that has the metadata of an object alone.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/// The kind of bindings.
const BINDING_KIND: &str = "InferenceProfileBinding";
/// The kind of classes in metrics.
const CLASS_KIND: &str = "InferenceProfileClass";

/// Which object an apply may change, and whether it takes fields over.
enum ApplyMode<'a> {
    /// Creates the object; fails if it exists.
    Create,
    /// Changes the object with this UID, of this version and no other, and takes over fields of other field managers.
    Force(&'a str, u64),
    /// Changes the object with this UID; fails if another field manager holds a field.
    NoForce(&'a str),
}

/// Writes to the cluster while this replica leads, counts its writes, and has the cache assume them.
#[derive(Clone)]
pub(super) struct Writer {
    client: Client,
    leadership: Leadership,
    metrics: Metrics,
    recorder: Recorder,
    state: Arc<State>,
    schema: Arc<Mutex<StatusSchema>>,
}

/// The outcome of a write: the UID of the object that holds the content, or a problem.
type WriteOutcome = Result<Arc<str>, Problem>;

impl Writer {
    pub fn new(
        client: Client,
        leadership: Leadership,
        metrics: Metrics,
        state: Arc<State>,
    ) -> Self {
        Self {
            recorder: Recorder::new(client.clone(), Reporter::from(names::EVENT_CONTROLLER)),
            client,
            leadership,
            metrics,
            state,
            schema: Arc::default(),
        }
    }

    /// Awaits a call that changes something in the cluster for a binding: see [`Writer::change`]. Notes for what the binding waits
    /// if the call fails.
    async fn change_in_cluster<T>(
        &self,
        binding: &ObjectKey,
        kind: &'static str,
        operation: Operation,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        match self.change(kind, operation, call).await {
            Err(CallError::Failed(error))
                if matches!(&error, kube::Error::Api(status) if status.is_forbidden())
                    && self.state.gate.has_just_recovered() =>
            {
                self.state.recovery().failed(binding, Cause::Outage);
                Err(CallError::JustStarted(error))
            }
            // Nothing was tried.
            Err(error @ (CallError::NotLeading | CallError::NotSynced)) => Err(error),
            outcome => {
                self.note_cause(binding, kind, &outcome);
                outcome
            }
        }
    }

    /// Awaits a call that changes something in the cluster. The call is not started if this replica does not lead, or does not
    /// know what is in the cluster, and it is abandoned if the replica's term ends during the call.
    async fn change<T>(
        &self,
        kind: &'static str,
        operation: Operation,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        let Some(remaining) = self.leadership.remaining() else {
            return Err(CallError::NotLeading);
        };
        if !self.state.gate.is_open() {
            return Err(CallError::NotSynced);
        }
        let span = traces::write(kind, operation.as_str());
        let call = call.instrument(span.clone());
        let outcome = match tokio::time::timeout(remaining.min(CALL_TIMEOUT), call).await {
            Ok(answer) => answer.map_err(CallError::Failed),
            Err(_) if remaining < CALL_TIMEOUT => Err(CallError::NotLeading),
            Err(_) => Err(CallError::TimedOut),
        };
        self.metrics.wrote(kind, operation, outcome.is_ok());
        let result = if outcome.is_ok() { "success" } else { "error" };
        traces::ended(&span, result, outcome.is_err());
        outcome
    }

    /// Counts how long a change of the binding waited, if this is the first write for it.
    pub fn answered(&self, binding: &ObjectKey) {
        let answered = self.state.changes().written(binding, Instant::now());
        if let Some((change, waited)) = answered {
            self.metrics.answered(change, waited);
        }
    }

    /// Notes for what a binding waits, and wakes those that waited for what this call shows to be over.
    fn note_cause<T>(
        &self,
        binding: &ObjectKey,
        kind: &'static str,
        outcome: &Result<T, CallError>,
    ) {
        match outcome {
            Ok(_) => {
                self.state.recovered(Cause::Outage);
                self.state.recovered(Cause::Forbidden(kind));
            }
            Err(error) if error.is_outage() => {
                self.state.recovery().failed(binding, Cause::Outage);
            }
            Err(error) if error.is_forbidden() => {
                self.state
                    .recovery()
                    .failed(binding, Cause::Forbidden(kind));
            }
            Err(_) => {}
        }
    }

    /// Writes a target as planned.
    pub async fn write(&self, binding: &Binding, write: Write) -> TriedWrite {
        let outcome = match &write.mode {
            WriteMode::Unchanged(view) => Ok(view.uid.clone()),
            WriteMode::Create => self.create(binding, &write).await,
            WriteMode::Update(view) => self.update(binding, &write, view).await,
            WriteMode::Merge(view) => self.merge(binding, &write, view).await,
            WriteMode::MergeUnseen => self.merge_unseen(binding, &write).await,
        };
        Tried {
            what: write,
            outcome,
        }
    }

    /// Updates an owned object. If it has changed since it was judged, it is looked at again, once.
    async fn update(&self, binding: &Binding, write: &Write, view: &TargetView) -> WriteOutcome {
        let judged = self.state.cache().version_of_target(&write.key, view);
        let outcome = match judged {
            Some(version) => {
                let mode = ApplyMode::Force(&view.uid, version);
                self.apply(binding, write, mode, Some(view)).await
            }
            None => Err(CallError::Outdated),
        };
        match outcome {
            Err(error) if error.is_outdated() => self.judge_again(binding, write, judged).await,
            outcome => outcome.map_err(|error| error.problem(&write.key)),
        }
    }

    async fn merge_unseen(&self, binding: &Binding, write: &Write) -> WriteOutcome {
        let (view, _) = self
            .read_metadata(&write.key)
            .await
            .map_err(|error| error.problem(&write.key))?;
        check_merge(binding, &write.key, &view, &write.content)?;
        self.merge(binding, write, &view).await
    }

    /// Creates an owned object. If it exists after all, its metadata show why: its label was removed, another replica was
    /// faster, or the object belongs to others.
    async fn create(&self, binding: &Binding, write: &Write) -> WriteOutcome {
        match self.apply(binding, write, ApplyMode::Create, None).await {
            Err(error) if error.is_conflict() => self.judge_again(binding, write, None).await,
            outcome => outcome.map_err(|error| error.problem(&write.key)),
        }
    }

    /// Writes an owned object as its metadata, read anew, allow. `judged` is the version that was judged before.
    async fn judge_again(
        &self,
        binding: &Binding,
        write: &Write,
        judged: Option<u64>,
    ) -> WriteOutcome {
        let (view, version) = match self.read_metadata(&write.key).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => {
                return Err(Problem {
                    reason: Reason::Retrying,
                    message: format!("{} disappeared while it was written; retrying", write.key),
                    retry: Retry::Soon,
                });
            }
            Err(error) => return Err(error.problem(&write.key)),
        };
        if judged.is_some_and(|judged| version < judged) {
            // No object gets older, unless etcd was put back to an older copy.
            self.state.gate.list_anew();
            return Err(CallError::NotSynced.problem(&write.key));
        }
        match ownership::judge(binding, &write.key, &view) {
            Ownership::Ours | Ownership::Adoptable => self
                .apply(
                    binding,
                    write,
                    ApplyMode::Force(&view.uid, version),
                    Some(&view),
                )
                .await
                .map_err(|error| error.problem(&write.key)),
            // The watches only see objects with our label.
            Ownership::Foreign { owner } => Err(foreign_object(&write.key, &owner, Retry::Rarely)),
        }
    }

    async fn merge(&self, binding: &Binding, write: &Write, view: &TargetView) -> WriteOutcome {
        let error = match self
            .apply(binding, write, ApplyMode::NoForce(&view.uid), Some(view))
            .await
        {
            Ok(uid) => return Ok(uid),
            Err(error) => error,
        };
        let managers = error.conflicting_managers();
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

    /// Applies a target and has the cache assume it. `before` is what was known of the target.
    async fn apply(
        &self,
        binding: &Binding,
        write: &Write,
        mode: ApplyMode<'_>,
        before: Option<&TargetView>,
    ) -> Result<Arc<str>, CallError> {
        let mut params = PatchParams::apply(&names::target_manager(&binding.key.name));
        params.force = matches!(mode, ApplyMode::Force(..));
        let body = target_body(binding, write, &mode);
        let content = fingerprints(write.key.kind, &write.content);
        // Other bindings may hold keys in the same target.
        let others = before
            .iter()
            .flat_map(|view| &view.ours)
            .flat_map(|holding| holding.keys.iter());
        let content = others.chain(content.iter()).copied().collect();
        let patch = Patch::Apply(&body);
        let meta = self
            .write_target(&binding.key, &write.key, &params, &patch, &content)
            .await?;
        Ok(meta.uid.unwrap_or_default().into())
    }

    /// Patches a target and has the cache assume it. `content` has the fingerprints of the keys and values that it holds afterwards.
    async fn write_target(
        &self,
        binding: &ObjectKey,
        key: &TargetKey,
        params: &PatchParams,
        patch: &Patch<&Value>,
        content: &HashMap<u64, u64>,
    ) -> Result<ObjectMeta, CallError> {
        self.state.cache().begin_write(key);
        let written = self.patch(binding, key, params, patch).await;
        let assumed = written.as_ref().ok().map(|meta| {
            let view = target_view(meta, |key| content.get(&fingerprint(key)).copied());
            (view, version(meta))
        });
        let vanished = self.state.cache().end_write(key, assumed);
        let meta = written?;
        if vanished {
            self.state.queue.push(binding.clone(), Lane::Low);
        }
        Ok(meta)
    }

    /// Carries out a planned removal.
    pub async fn remove(&self, binding: &Binding, removal: Removal) -> TriedRemoval {
        let outcome = self.try_remove(binding, &removal).await;
        Tried {
            what: removal,
            outcome,
        }
    }

    async fn try_remove(&self, binding: &Binding, removal: &Removal) -> Result<(), Problem> {
        let view = match &removal.view {
            Some(view) => view.clone(),
            None => match self.read_metadata(&removal.key).await {
                Ok((view, _)) => Arc::new(view),
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error.problem(&removal.key)),
            },
        };
        if view.uid != removal.uid {
            return Ok(());
        }
        match removal.policy {
            CreationPolicy::Owner => match ownership::judge(binding, &removal.key, &view) {
                Ownership::Ours | Ownership::Adoptable
                    if removal.cause == RemovalCause::Orphaned =>
                {
                    self.release(binding, removal, &view).await
                }
                Ownership::Ours | Ownership::Adoptable => self.delete(&binding.key, removal).await,
                Ownership::Foreign { .. } => Ok(()),
            },
            CreationPolicy::Merge => self.remove_keys(binding, removal, &view).await,
        }
    }

    async fn delete(&self, binding: &ObjectKey, removal: &Removal) -> Result<(), Problem> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(removal.uid.to_string()),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let key = &removal.key;
        let api = self.targets(key);
        let call = api.delete(&key.name, &params);
        let outcome = self
            .change_in_cluster(binding, key.kind.as_str(), Operation::Remove, call)
            .await;
        match outcome {
            Ok(_) => {
                self.answered(binding);
                self.state.cache().assume_removed(key, &removal.uid);
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error.problem(key)),
        }
    }

    /// Takes the controller, which is the binding or a deleted one of its name, out of an object's owner references, as garbage
    /// collection does where dependents are orphaned. Everything else stays, so that another binding of the name can adopt it.
    async fn release(
        &self,
        binding: &Binding,
        removal: &Removal,
        view: &TargetView,
    ) -> Result<(), Problem> {
        let Some(controller) = &view.controller else {
            return Ok(());
        };
        let owner = json!({"$patch": "delete", "uid": controller.uid.as_ref()});
        let body = json!({
            "metadata": {"uid": removal.uid.as_ref(), "ownerReferences": [owner]},
        });
        let params = PatchParams::default();
        let (owner, key, patch) = (&binding.key, &removal.key, Patch::Strategic(&body));
        let released = match &removal.view {
            Some(view) => {
                let content = view.ours.iter().flat_map(|holding| holding.keys.iter());
                let content = content.copied().collect();
                self.write_target(owner, key, &params, &patch, &content)
                    .await
            }
            // Without our label it is in no watch, and not in the cache.
            None => self.patch(owner, key, &params, &patch).await,
        };
        match released {
            Ok(_) => Ok(()),
            Err(error) if error.leaves_nothing_to_remove() => Ok(()),
            Err(error) => Err(error.problem(&removal.key)),
        }
    }

    /// Removes our keys and our label from an object of others, and checks that they are gone.
    async fn remove_keys(
        &self,
        binding: &Binding,
        removal: &Removal,
        view: &TargetView,
    ) -> Result<(), Problem> {
        let key = &removal.key;
        let body = json!({
            "apiVersion": "v1",
            "kind": key.kind,
            "metadata": {"name": key.name.as_ref(), "namespace": key.namespace.as_ref(), "uid": removal.uid.as_ref()},
        });
        let params = PatchParams::apply(&names::target_manager(&binding.key.name)).force();
        let patch = Patch::Apply(&body);
        let meta = match self.patch(&binding.key, key, &params, &patch).await {
            Ok(meta) => meta,
            Err(error) if error.leaves_nothing_to_remove() => return Ok(()),
            Err(error) => return Err(error.problem(key)),
        };
        self.state.cache().assume_removed(key, &removal.uid);
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
                    "{key}: the field manager {} also holds a key, which therefore remains; remove the key there",
                    holding.holder
                ),
                retry: Retry::OnChange,
            }),
        }
    }

    /// Reads the metadata of a target, but never its values. Returns its version too.
    async fn read_metadata(&self, key: &TargetKey) -> Result<(TargetView, u64), CallError> {
        let found = with_timeout(self.targets(key).get_metadata(&key.name)).await?;
        let view = target_view(&found.metadata, |_| None);
        Ok((view, version(&found.metadata)))
    }

    /// Patches a target. Only its metadata are returned.
    async fn patch(
        &self,
        binding: &ObjectKey,
        key: &TargetKey,
        params: &PatchParams,
        patch: &Patch<&Value>,
    ) -> Result<ObjectMeta, CallError> {
        let url = self.targets(key).resource_url().to_owned();
        let request = Request::new(url).patch(&key.name, params, patch);
        let call = self.answered_by_metadata::<WrittenTarget>(request);
        let patched = self
            .change_in_cluster(binding, key.kind.as_str(), Operation::Apply, call)
            .await?;
        self.answered(binding);
        Ok(patched.metadata)
    }

    /// Sends a request that is answered with the metadata of the object alone, and reads what is asked for of them.
    async fn answered_by_metadata<T: DeserializeOwned>(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> kube::Result<T> {
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(METADATA_ONLY));
        self.client.request(request).await
    }

    /// Returns the API for a target's kind and namespace.
    fn targets(&self, key: &TargetKey) -> Api<DynamicObject> {
        let kind = match key.kind {
            TargetKind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
            TargetKind::Secret => ApiResource::erase::<Secret>(&()),
        };
        Api::namespaced_with(self.client.clone(), &key.namespace, &kind)
    }

    /// Says whether a status would change what the binding has, of the fields that the CRD has.
    pub fn would_change(&self, binding: &Binding, status: &Status) -> bool {
        let namespace = &binding.key.namespace;
        self.schema.lock().servable(namespace, status) != binding.status
    }

    /// Writes the status and has the cache assume it. Fails if the binding has changed since it was judged. Fields that the CRD
    /// lacks are left out.
    pub async fn write_status(&self, binding: &Binding, status: Status) -> Result<(), CallError> {
        let error = match self.apply_status(binding, &status, status.to_wire()).await {
            Ok(()) => {
                self.schema.lock().accepted(&status);
                return Ok(());
            }
            Err(error) => error,
        };
        if !error.is_internal() {
            return Err(error);
        }
        let Ok(schema) = self.published_schema().await else {
            return Err(error);
        };
        if !self.schema.lock().refused(&status, schema) {
            return Err(error);
        }
        let namespace = &binding.key.namespace;
        let servable = self.schema.lock().servable(namespace, &status);
        if servable == binding.status {
            return Ok(());
        }
        let wire = self.schema.lock().servable_wire(&servable);
        self.apply_status(binding, &servable, wire).await
    }

    /// Reads the schema of statuses as the apiserver publishes it to whoever is authenticated.
    async fn published_schema(&self) -> Result<Value, CallError> {
        let group = InferenceProfileBinding::group(&());
        let request = Request::new(format!("/openapi/v3/apis/{group}"))
            .get(
                &InferenceProfileBinding::version(&()),
                &GetParams::default(),
            )
            .map_err(|error| CallError::Failed(kube::Error::BuildRequest(error)))?;
        let document: Value = with_timeout(self.client.request(request)).await?;
        Ok(status_schema::in_document(&document))
    }

    /// `wire` is what is sent of the status.
    async fn apply_status(
        &self,
        binding: &Binding,
        status: &Status,
        wire: InferenceProfileBindingStatus,
    ) -> Result<(), CallError> {
        let judged = self.state.cache().version_of_binding(binding);
        let judged = judged.ok_or(CallError::Outdated)?;
        let body = StatusBody {
            api_version: InferenceProfileBinding::api_version(&()),
            kind: BINDING_KIND,
            metadata: JudgedObject {
                name: &binding.key.name,
                namespace: &binding.key.namespace,
                uid: &binding.uid,
                resource_version: judged.to_string(),
            },
            status: wire,
        };
        let params = PatchParams::apply(names::STATUS_MANAGER).force();
        let url = self.bindings(binding).resource_url().to_owned();
        let request = Request::new(url).patch_subresource(
            "status",
            &binding.key.name,
            &params,
            &Patch::Apply(&body),
        );
        let call = self.answered_by_metadata::<WrittenObject>(request);
        let written = self
            .change_in_cluster(&binding.key, BINDING_KIND, Operation::Apply, call)
            .await?;
        self.state.cache().assume_status(
            &binding.key,
            &binding.uid,
            status.clone(),
            version(&written.metadata),
        );
        Ok(())
    }

    /// Writes the status of a class and has the cache assume it. Fails if the class has changed since it was judged.
    pub async fn write_class_status(
        &self,
        class: &Arc<KnownClass>,
        status: &InferenceProfileClassStatus,
    ) -> Result<(), CallError> {
        let judged = self.state.cache().version_of_class(class);
        let judged = judged.ok_or(CallError::Outdated)?;
        let name = &class.class.name;
        let body = json!({
            "apiVersion": InferenceProfileClass::api_version(&()),
            "kind": CLASS_KIND,
            "metadata": {
                "name": name.as_ref(),
                "uid": class.uid.as_ref(),
                "resourceVersion": judged.to_string(),
            },
            "status": status,
        });
        let params = PatchParams::apply(names::STATUS_MANAGER).force();
        let api: Api<PartialObjectMeta<InferenceProfileClass>> = Api::all(self.client.clone());
        let patch = Patch::Apply(&body);
        let call = api.patch_status(name, &params, &patch);
        let written = self.change(CLASS_KIND, Operation::Apply, call).await?;
        let version = version(&written.metadata);
        self.state
            .cache()
            .assume_class_status(class, status.clone(), version);
        Ok(())
    }

    /// Publishes an Event about a class. A failure is only logged, because the status says the same.
    pub async fn publish_about_class(&self, class: &KnownClass, notice: &Notice) {
        let reference = ObjectReference {
            api_version: Some(InferenceProfileClass::api_version(&()).into_owned()),
            kind: Some(CLASS_KIND.to_owned()),
            name: Some(class.class.name.to_string()),
            uid: Some(class.uid.to_string()),
            ..ObjectReference::default()
        };
        let event = event_of(notice);
        let call = self.recorder.publish(&event, &reference);
        if let Err(error) = self.change("Event", Operation::Apply, call).await {
            tracing::info!(class = %class.class.name, error = &error as &dyn std::error::Error, "an Event about a class was not published");
        }
    }

    /// Adds or removes our finalizer. It has a field manager of its own, so that finalizers of others stay.
    pub async fn set_finalizer(&self, binding: &Binding, present: bool) -> Result<(), CallError> {
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
            .change_in_cluster(&binding.key, BINDING_KIND, Operation::Apply, call)
            .await?;
        // With another generation, an event of a changed spec is under way, which must not be taken for an older one.
        if written.metadata.generation == Some(binding.generation) {
            self.state.cache().assume_finalizer(
                &binding.key,
                &binding.uid,
                present,
                version(&written.metadata),
            );
        }
        Ok(())
    }

    /// Restarts a workload by an annotation of its pod template. A template that already has the annotation does not change.
    ///
    /// This is a merge patch, because a server-side apply would try to create a workload that does not exist.
    pub async fn annotate_template(
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
        self.change_in_cluster(binding, workload.kind.as_str(), Operation::Apply, call)
            .await
            .map(drop)
    }

    /// Reads what tells the progress of a workload's rollout, and nothing else of it: the values in its pod template are
    /// secrets of others.
    pub async fn rollout_status(&self, workload: &WorkloadKey) -> Result<Workload, CallError> {
        let path = self.workloads(workload).resource_url().to_owned();
        let request = Request::new(path)
            .get(&workload.name, &GetParams::default())
            .map_err(|error| CallError::Failed(kube::Error::BuildRequest(error)))?;
        with_timeout(self.client.request(request)).await
    }

    /// Publishes an Event. A failure is only logged, because the status says the same.
    pub async fn publish(&self, binding: &Binding, notice: &Notice) {
        let event = event_of(notice);
        let reference = ObjectReference {
            api_version: Some(InferenceProfileBinding::api_version(&()).into_owned()),
            kind: Some(InferenceProfileBinding::kind(&()).into_owned()),
            namespace: Some(binding.key.namespace.to_string()),
            name: Some(binding.key.name.to_string()),
            uid: Some(binding.uid.to_string()),
            ..ObjectReference::default()
        };
        let call = self.recorder.publish(&event, &reference);
        if let Err(error) = self
            .change_in_cluster(&binding.key, "Event", Operation::Apply, call)
            .await
            && !error.is_unreachable()
            && (!error.is_outage() || self.state.gate.permits_log())
        {
            tracing::warn!(binding = %binding.key, error = &error as &dyn std::error::Error, "an Event was not published");
        }
    }

    /// Returns the API for a workload's kind and namespace.
    fn workloads(&self, key: &WorkloadKey) -> Api<DynamicObject> {
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

/// The apply of a binding's status. It goes out as it stands, without a tree of values between.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusBody<'a> {
    api_version: Cow<'static, str>,
    kind: &'static str,
    metadata: JudgedObject<'a>,
    status: InferenceProfileBindingStatus,
}

/// The object, in the version that was judged.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JudgedObject<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
    resource_version: String,
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

fn target_body(binding: &Binding, write: &Write, mode: &ApplyMode<'_>) -> Value {
    let mut body = write.manifest(binding);
    let metadata = &mut body["metadata"];
    match mode {
        // With a resource version, an apply creates an object only if it is absent, and answers 409 otherwise.
        ApplyMode::Create => metadata["resourceVersion"] = json!("1"),
        ApplyMode::Force(uid, version) => {
            metadata["uid"] = json!(uid);
            metadata["resourceVersion"] = json!(version.to_string());
        }
        ApplyMode::NoForce(uid) => metadata["uid"] = json!(uid),
    }
    body
}

/// Awaits a call that only reads, with a timeout. Calls that write go through [`Writer::change_in_cluster`].
async fn with_timeout<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(answer) => answer.map_err(CallError::Failed),
        Err(_) => Err(CallError::TimedOut),
    }
}

fn event_of(notice: &Notice) -> Event {
    Event {
        type_: if notice.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: notice.reason.to_owned(),
        note: Some(shortened(&notice.message)),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// Shortens a message to the 1 kB that an Event may carry.
fn shortened(message: &str) -> String {
    plain(message, 1024).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"é".repeat(1000));
        assert!(cut.len() <= 1024 && cut.ends_with("é..."));
    }
}
