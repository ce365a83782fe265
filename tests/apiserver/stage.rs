//! A namespace with an operator in it, and the short words in which cases speak of the two.

use std::{fmt::Debug, sync::Arc};

use inference_profile_operator::{
    api::InferenceProfileBinding, api::condition::Reason, catalog::Source, controller::Health,
};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration,
    core::v1::{ConfigMap, Namespace, Secret},
    events::v1::Event,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    operator::{Operator, Options, SONNET, Script, condition, until},
    support::{Cluster, eventually},
    targets::{ALLOW, CHART, merge, spec},
};

/// Source region of the operator.
pub const REGION: &str = "eu-west-1";
/// The key that most cases look at.
pub const ID: &str = "BEDROCK_INFERENCE_PROFILE_ID";

/// The profile of [`sonnet`].
pub const EU: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
/// The profile of [`sonnet`] with another geography, `global`.
pub const GLOBAL: &str = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// A namespace, and what runs in it.
pub struct Stage {
    pub cluster: Cluster,
    pub namespace: String,
    /// A live catalog that the case scripts.
    pub script: Arc<Script>,
    operator: Option<Operator>,
    /// Operators that run beside it.
    beside: Vec<Operator>,
}

/// The set-up of a case that starts its operator itself, or needs none.
pub fn empty(_: &mut Stage) {}

/// The set-up of a case with an operator on the scripted live catalog.
pub fn live(stage: &mut Stage) {
    stage.start(stage.options());
}

/// The set-up of a case with an operator on the embedded catalog.
pub fn embedded(stage: &mut Stage) {
    stage.start(Options::default());
}

/// The set-up of a case with an operator on the embedded catalog that may write Secrets.
pub fn with_secrets(stage: &mut Stage) {
    stage.start(Options {
        enable_secrets: true,
        ..Options::default()
    });
}

impl Stage {
    /// Makes a namespace, whose name begins with the prefix, without an operator.
    pub async fn new(cluster: Cluster, prefix: &str) -> Self {
        let namespace = cluster.namespace(prefix).await;
        Self::at(cluster, namespace)
    }

    /// Takes a namespace that is there, without an operator.
    pub fn at(cluster: Cluster, namespace: String) -> Self {
        Self {
            cluster,
            namespace,
            script: Script::new(),
            operator: None,
            beside: Vec::new(),
        }
    }

    /// Makes another namespace in the same cluster, without an operator; what the case starts there it stops itself.
    pub async fn another(&self) -> Self {
        Self::new(self.cluster.clone(), "another").await
    }

    /// Returns the options of an operator on the script.
    pub fn options(&self) -> Options {
        Options {
            source: Arc::clone(&self.script) as Arc<dyn Source>,
            ..Options::default()
        }
    }

    /// Starts the operator.
    pub fn start(&mut self, options: Options) {
        self.operator = Some(Operator::start(&self.cluster, &self.namespace, options));
    }

    /// Returns what to ask how the operator is.
    pub fn health(&self) -> Health {
        self.operator
            .as_ref()
            .expect("a running operator")
            .health
            .clone()
    }

    /// Starts another operator beside the one that runs, as while a Deployment rolls without leader election.
    pub fn start_beside(&mut self) {
        let operator = Operator::start(&self.cluster, &self.namespace, self.options());
        self.beside.push(operator);
    }

    /// Stops every operator that still runs.
    pub async fn end(self) {
        for operator in self.operator.into_iter().chain(self.beside) {
            operator.stop().await;
        }
    }

    /// Stops the operator.
    pub async fn stop(&mut self) {
        self.operator
            .take()
            .expect("a running operator")
            .stop()
            .await;
    }

    /// Stops the operator and starts it again, on the script.
    pub async fn restart(&mut self, options: Options) {
        self.stop().await;
        self.start(options);
    }

    /// Sets, or for null takes away, the residency limit of the Namespace.
    pub async fn limit_namespace(&self, limit: Option<&str>) {
        let annotations = json!({"inferenceprofiles.dev/allowed-regions": limit});
        Api::<Namespace>::all(self.cluster.client.clone())
            .patch(
                &self.namespace,
                &PatchParams::default(),
                &Patch::Merge(json!({"metadata": {"annotations": annotations}})),
            )
            .await
            .expect("annotated");
    }

    /// Returns the bindings of the namespace.
    pub fn bindings(&self) -> Api<InferenceProfileBinding> {
        self.cluster.bindings(&self.namespace)
    }

    /// Returns the `ConfigMaps` of the namespace.
    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Returns the Secrets of the namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Creates a binding from a spec in its wire form, valid or not.
    pub async fn try_bind(
        &self,
        name: &str,
        spec: Value,
    ) -> Result<InferenceProfileBinding, kube::Error> {
        let created = self
            .cluster
            .try_bind(&self.namespace, name, &spec, &PostParams::default())
            .await?;
        let binding = created.try_parse();
        Ok(binding.expect("a binding that the code understands"))
    }

    /// Creates a binding.
    pub async fn bind(&self, name: &str, spec: Value) -> InferenceProfileBinding {
        self.try_bind(name, spec).await.expect("accepted")
    }

    /// Creates a binding and waits until it is Ready.
    pub async fn bound(&self, name: &str, spec: Value) -> InferenceProfileBinding {
        self.bind(name, spec).await;
        self.ready(name).await
    }

    /// Changes these fields of a binding's spec; null takes one away.
    pub async fn edit(&self, name: &str, spec: Value) {
        self.bindings()
            .patch(
                name,
                &PatchParams::default(),
                &Patch::Merge(json!({"spec": spec})),
            )
            .await
            .expect("accepted");
    }

    /// Suspends a binding and waits until it is.
    pub async fn suspend(&self, name: &str) {
        self.edit(name, json!({"suspend": true})).await;
        self.until(name, "Suspended", "True", Reason::SuspendedBySpec)
            .await;
    }

    /// Gives a binding these targets in the place of those it had.
    pub async fn retarget(&self, name: &str, targets: impl Into<Value>) {
        self.edit(name, json!({"targets": targets.into()})).await;
    }

    /// Takes a binding's status away, as a restore from a backup does.
    pub async fn wipe_status(&self, name: &str) {
        self.bindings()
            .patch_status(
                name,
                &PatchParams::default(),
                &Patch::Merge(json!({"status": null})),
            )
            .await
            .expect("accepted");
    }

    /// Deletes a binding.
    pub async fn delete(&self, name: &str) {
        self.bindings()
            .delete(name, &DeleteParams::default())
            .await
            .expect("deleted");
    }

    /// Deletes a binding and waits until it is not there.
    pub async fn unbind(&self, name: &str) {
        self.delete(name).await;
        self.until_unbound(name).await;
    }

    /// Waits until a binding is not there.
    pub async fn until_unbound(&self, name: &str) {
        let bindings = self.bindings();
        eventually(&format!("the binding {name} is gone"), || async {
            match bindings.get_opt(name).await.expect("an answer") {
                None => Ok(()),
                Some(found) => Err(found),
            }
        })
        .await;
    }

    /// Gives a user, in this namespace alone, the rights of an operator, with these on `ConfigMaps`, in the place of
    /// those it had.
    pub async fn grant(&self, user: &str, config_maps: &[&str]) {
        self.grant_all(
            user,
            &[
                (
                    "inferenceprofiles.dev",
                    "inferenceprofilebindings/status",
                    &["patch"],
                ),
                ("", "configmaps", config_maps),
            ],
        )
        .await;
    }

    /// Gives a user, in this namespace alone, the rights to read the Namespace and bindings and to publish Events, and these
    /// (group, resource, verbs), in the place of those it had.
    pub async fn grant_all(&self, user: &str, rights: &[(&str, &str, &[&str])]) {
        self.show_namespace(user).await;
        self.grant_inside(user, rights).await;
    }

    /// Lets a user read the Namespace itself, which no Role can.
    pub async fn show_namespace(&self, user: &str) {
        let name = format!("{}-{user}", self.namespace);
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{
                "apiGroups": [""], "resources": ["namespaces"], "resourceNames": [self.namespace],
                "verbs": ["get", "list", "watch"],
            }],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let force = PatchParams::apply("cases").force();
        Api::<ClusterRole>::all(self.cluster.client.clone())
            .patch(&name, &force, &Patch::Apply(role))
            .await
            .expect("a role");
        Api::<ClusterRoleBinding>::all(self.cluster.client.clone())
            .patch(&name, &force, &Patch::Apply(binding))
            .await
            .expect("a role binding");
    }

    /// As [`Stage::grant_all`], without the right to read the Namespace.
    pub async fn grant_inside(&self, user: &str, rights: &[(&str, &str, &[&str])]) {
        let always: [(&str, &str, &[&str]); 2] = [
            (
                "inferenceprofiles.dev",
                "inferenceprofilebindings",
                &["get", "list", "watch", "patch"],
            ),
            ("events.k8s.io", "events", &["create", "patch"]),
        ];
        let rules: Vec<Value> = always
            .iter()
            .chain(rights)
            .map(|(group, resource, verbs)| {
                json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
            })
            .collect();
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": user},
            "rules": rules,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let force = PatchParams::apply("cases").force();
        Api::<Role>::namespaced(self.cluster.client.clone(), &self.namespace)
            .patch(user, &force, &Patch::Apply(role))
            .await
            .expect("a role");
        Api::<RoleBinding>::namespaced(self.cluster.client.clone(), &self.namespace)
            .patch(user, &force, &Patch::Apply(binding))
            .await
            .expect("a role binding");
    }

    /// Starts an operator that has only the rights of a user.
    pub async fn start_as(&mut self, user: &str, options: Options) {
        let cluster = self.cluster.impersonating(user).await;
        self.operator = Some(Operator::start(&cluster, &self.namespace, options));
    }

    /// Lets every write of a kind in this namespace fail on its way, until [`Stage::clear`]: an admission webhook can't be
    /// reached, which says nothing definite of the object. `probe` is an object that could be applied otherwise.
    pub async fn obstruct<K>(&self, probe: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        const NAME: &str = "unreachable.example.com";
        let webhook = json!({
            "metadata": {"name": self.namespace},
            "webhooks": [{
                "name": NAME,
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
                "rules": [{"apiGroups": [K::group(&())], "apiVersions": ["v1"], "resources": [K::plural(&())], "operations": ["*"]}],
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 1,
            }],
        });
        let webhook = serde_json::from_value(webhook).expect("a webhook");
        self.webhooks()
            .create(&PostParams::default(), &webhook)
            .await
            .expect("created");
        let objects = Api::<K>::namespaced(self.cluster.client.clone(), &self.namespace);
        let object = json!({"apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": probe}});
        let dry = PatchParams::apply("cases").dry_run();
        eventually("the webhook is in force", || async {
            match objects.patch(probe, &dry, &Patch::Apply(&object)).await {
                Err(error) if error.to_string().contains(NAME) => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }

    /// Ends what [`Stage::obstruct`] began.
    pub async fn clear(&self) {
        self.webhooks()
            .delete(&self.namespace, &DeleteParams::default())
            .await
            .expect("deleted");
    }

    fn webhooks(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.cluster.client.clone())
    }

    /// Returns a binding.
    pub async fn binding(&self, name: &str) -> InferenceProfileBinding {
        self.bindings().get(name).await.expect("a binding")
    }

    /// Waits until a binding of the present spec is Ready.
    pub async fn ready(&self, name: &str) -> InferenceProfileBinding {
        until(
            &self.cluster,
            &self.namespace,
            name,
            "Ready",
            "True",
            Reason::Bound,
        )
        .await
    }

    /// Waits until a condition of the present spec stands so, and returns its message.
    pub async fn until(&self, name: &str, kind: &str, status: &str, reason: Reason) -> String {
        let binding = until(&self.cluster, &self.namespace, name, kind, status, reason).await;
        message(&binding, kind)
    }

    /// Waits until a binding's targets are not synced for this reason, and returns the message.
    pub async fn until_not_synced(&self, name: &str, reason: Reason) -> String {
        let (cluster, namespace) = (&self.cluster, &self.namespace);
        let binding = until(cluster, namespace, name, "TargetsSynced", "False", reason).await;
        let (_, ready, message) = condition(&binding, "Ready").expect("Ready");
        assert_eq!(ready, reason.as_str(), "Ready says it too");
        message
    }

    /// Waits until the operator has taken in the present spec of a binding.
    pub async fn observed(&self, name: &str) -> InferenceProfileBinding {
        eventually(&format!("{name} is observed"), || async {
            let binding = self.binding(name).await;
            let observed = binding
                .status
                .as_ref()
                .and_then(|status| status.observed_generation);
            if observed == binding.metadata.generation {
                Ok(binding)
            } else {
                Err(observed)
            }
        })
        .await
    }

    /// Returns a value of a `ConfigMap`; nothing where the object or the key is not there.
    pub async fn value(&self, config_map: &str, key: &str) -> Option<String> {
        self.config_map(config_map).await?.data?.get(key).cloned()
    }

    /// Returns the profile ID in a `ConfigMap`.
    pub async fn id(&self, config_map: &str) -> Option<String> {
        self.value(config_map, ID).await
    }

    /// Waits until a `ConfigMap` holds this profile ID, or, for none, no profile ID.
    pub async fn until_id(&self, config_map: &str, expected: Option<&str>) {
        eventually(&format!("{config_map} holds {expected:?}"), || async {
            let found = self.id(config_map).await;
            if found.as_deref() == expected {
                Ok(())
            } else {
                Err(found)
            }
        })
        .await;
    }

    /// Waits until a `ConfigMap` is not there.
    pub async fn until_gone(&self, config_map: &str) {
        eventually(&format!("{config_map} is gone"), || async {
            match self.config_map(config_map).await {
                None => Ok(()),
                Some(found) => Err(found),
            }
        })
        .await;
    }

    /// Waits until a `ConfigMap` is there and as expected.
    pub async fn until_object(
        &self,
        name: &str,
        what: &str,
        as_expected: impl Fn(&ConfigMap) -> bool,
    ) -> ConfigMap {
        let as_expected = &as_expected;
        eventually(&format!("{name}: {what}"), || async {
            match self.config_map(name).await {
                Some(found) if as_expected(&found) => Ok(found),
                other => Err(other),
            }
        })
        .await
    }

    /// Returns a `ConfigMap`, or nothing where it is not there.
    pub async fn config_map(&self, name: &str) -> Option<ConfigMap> {
        self.config_maps().get_opt(name).await.expect("an answer")
    }

    /// Returns a `ConfigMap` that is there.
    pub async fn object(&self, name: &str) -> ConfigMap {
        self.config_map(name).await.expect("the ConfigMap")
    }

    /// Creates a `ConfigMap` from its wire form, as [`CHART`].
    pub async fn create(&self, object: Value) -> ConfigMap {
        let object = serde_json::from_value(object).expect("a ConfigMap");
        let params = PostParams {
            field_manager: Some(CHART.to_owned()),
            ..PostParams::default()
        };
        self.config_maps()
            .create(&params, &object)
            .await
            .expect("created")
    }

    /// Makes a new `ConfigMap` another owner of one, beside its controller.
    pub async fn add_owner(&self, config_map: &str, owner: &str) {
        let keeper = self.create(json!({"metadata": {"name": owner}})).await;
        let second = json!([{
            "op": "add", "path": "/metadata/ownerReferences/-", "value": {
                "apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": keeper.metadata.uid,
            },
        }]);
        let second = Patch::<()>::Json(serde_json::from_value(second).expect("a patch"));
        self.config_maps()
            .patch(config_map, &PatchParams::default(), &second)
            .await
            .expect("changed");
    }

    /// Creates a `ConfigMap` of another owner, with a key of its own, that allows bindings to merge keys into it.
    pub async fn host(&self, name: &str, allowed: Option<&str>) -> ConfigMap {
        let annotations = allowed.map(|bindings| json!({ALLOW: bindings}));
        self.create(json!({
            "metadata": {"name": name, "annotations": annotations},
            "data": {"theirs": "untouched"},
        }))
        .await
    }

    /// Deletes a `ConfigMap`.
    pub async fn delete_object(&self, name: &str) {
        self.config_maps()
            .delete(name, &DeleteParams::default())
            .await
            .expect("deleted");
    }

    /// Changes a `ConfigMap` by a merge patch, as a manager of this name.
    pub async fn change(&self, config_map: &str, manager: &str, change: Value) {
        let params = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        self.config_maps()
            .patch(config_map, &params, &Patch::Merge(change))
            .await
            .expect("accepted");
    }

    /// Changes a `ConfigMap`, as a person with an editor does.
    pub async fn meddle(&self, config_map: &str, change: Value) {
        self.change(config_map, "someone", change).await;
    }

    /// Applies data to a `ConfigMap` as a manager of this name, taking over what others hold.
    pub async fn take(&self, config_map: &str, manager: &str, data: Value) {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": config_map}, "data": data,
        });
        let force = PatchParams::apply(manager).force();
        self.config_maps()
            .patch(config_map, &force, &Patch::Apply(object))
            .await
            .expect("applied");
    }

    /// Waits until the catalog was asked so many times more: what it says now is known by then.
    pub async fn asked(&self, more: usize) {
        let before = self.script.asked();
        eventually(&format!("asked {more} times more"), || async {
            let asked = self.script.asked() - before;
            if asked >= more { Ok(()) } else { Err(asked) }
        })
        .await;
    }

    /// Waits until the operator has acted on changes that were made after all others: it has seen those by then.
    /// Both kinds of change wait in line: a new binding, and, where one may be written at all, drift of a target.
    pub async fn settled(&self) {
        let name = format!("barrier-{}", fastrand::u64(..));
        self.bind(
            &name,
            json!({"model": "amazon.nova-lite-v1:0", "geography": "eu"}),
        )
        .await;
        self.until(&name, "RegionSupported", "True", Reason::ProfileFound)
            .await;
        if let Some(id) = self.id(&name).await {
            self.meddle(&name, json!({"data": {ID: "drifted"}})).await;
            self.until_id(&name, Some(&id)).await;
        }
        self.delete(&name).await;
    }

    /// Returns type, reason and count of each Event about a binding.
    pub async fn events(&self, name: &str) -> Vec<(String, String, i32)> {
        let list = Api::<Event>::namespaced(self.cluster.client.clone(), &self.namespace)
            .list(&ListParams::default())
            .await
            .expect("events");
        let mut events: Vec<Event> = list
            .items
            .into_iter()
            .filter(|event| {
                let about = event.regarding.as_ref();
                about.and_then(|about| about.name.as_deref()) == Some(name)
            })
            .collect();
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        events
            .into_iter()
            .map(|event| {
                let count = event.series.map_or(1, |series| series.count);
                (
                    event.type_.unwrap_or_default(),
                    event.reason.unwrap_or_default(),
                    count,
                )
            })
            .collect()
    }

    /// Waits until these Events were published about a binding, and no other.
    pub async fn until_events(&self, name: &str, expected: &[(&str, &str, i32)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(kind, reason, count)| ((*kind).to_owned(), (*reason).to_owned(), *count))
            .collect();
        eventually(&format!("Events {expected:?}"), || async {
            let found = self.events(name).await;
            if found == expected {
                Ok(())
            } else {
                Err(found)
            }
        })
        .await;
    }
}

/// Returns the message of a condition.
pub fn message(binding: &InferenceProfileBinding, kind: &str) -> String {
    condition(binding, kind).expect("the condition").2
}

/// Returns status and reason of a condition.
pub fn verdict(binding: &InferenceProfileBinding, kind: &str) -> Option<(String, String)> {
    condition(binding, kind).map(|(status, reason, _)| (status, reason))
}

/// Returns the ID of the profile in a binding's status.
pub fn profile_in_use(binding: &InferenceProfileBinding) -> Option<&str> {
    Some(binding.status.as_ref()?.profile.as_ref()?.id.as_str())
}

/// Returns a spec that gets a profile.
pub fn sonnet() -> Value {
    json!({"model": SONNET, "geography": "eu"})
}

/// Returns a spec that merges the profile ID into the `ConfigMap` `host`.
pub fn merging() -> Value {
    spec([merge("host", &[ID])])
}

/// Asserts that a binding gets nothing of an object that another one holds, which stays as it was.
pub async fn assert_kept_out(stage: &Stage, name: &str, holder: &str, object: &ConfigMap) {
    let message = stage.until_not_synced(name, Reason::TargetConflict).await;
    assert!(
        message.contains(&format!("claimed by the binding {holder}")),
        "{message}"
    );
    stage.settled().await;
    stage.ready(holder).await;
    let name = object.metadata.name.as_deref().expect("a name");
    assert_eq!(&stage.object(name).await, object);
}

pub async fn assert_host_is_clean(stage: &Stage) {
    let host = stage
        .config_map("host")
        .await
        .expect("it is not ours to delete");
    let data = host.data.expect("their key");
    assert_eq!(
        data.into_iter().collect::<Vec<_>>(),
        [("theirs".to_owned(), "untouched".to_owned())]
    );
    assert_eq!(host.metadata.labels, None, "our label");
}
