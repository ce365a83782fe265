//! What the chart's policies let nobody borrow from the operator.

use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, cases},
    chart_render::{apply_policies, needing_helm, render},
    operator::SONNET,
    stage::{Stage, empty, merging, sonnet},
    support::{ROOT, answer, dry_run, eventually, yaml},
    targets::{FINALIZER, controller},
};

pub fn cases() -> Vec<Case> {
    needing_helm(cases![empty(
        whoever_creates_a_binding_may_write_its_targets,
        whoever_creates_a_binding_may_patch_its_workloads,
        every_change_of_a_spec_is_checked,
        a_change_of_anything_but_the_spec_is_not_checked,
        the_last_of_as_many_as_there_may_be_is_checked,
        the_rights_of_an_editor_are_enough_for_a_gitops_controller,
        the_operator_itself_is_not_hindered,
        a_stolen_token_changes_nothing_of_others,
    )])
}

/// A stage in whose namespace the policies are in force.
struct Guarded<'a> {
    stage: &'a Stage,
}

impl<'a> Guarded<'a> {
    async fn new(stage: &'a Stage) -> Self {
        apply_policies(stage, "guard.yaml", "guard").await;
        let guarded = Self { stage };
        guarded
            .grant("probe", &[rule("", "configmaps", &["create", "update"])])
            .await;
        for (spec, refused) in [
            (
                json!({"targets": [target("Secret", "s")]}),
                "may not create secrets",
            ),
            (
                json!({"rollout": [target("Deployment", "d")]}),
                "may not patch deployments.apps/d",
            ),
        ] {
            eventually(&format!("a policy is in force: {refused}"), || async {
                match guarded.create("probe", &spec).await {
                    Err(message) if message.contains(refused) => Ok(()),
                    other => Err(other),
                }
            })
            .await;
        }
        guarded
    }

    /// Gives a user the right to write bindings, and these.
    async fn grant(&self, user: &str, rules: &[Value]) {
        let mut all = vec![
            rule("inferenceprofiles.dev", "inferenceprofilebindings", &["*"]),
            rule(
                "inferenceprofiles.dev",
                "inferenceprofilebindings/status",
                &["patch"],
            ),
        ];
        all.extend_from_slice(rules);
        self.apply::<Role>(user, json!({"rules": all})).await;
        self.bind_role(user, user, "Role", user).await;
    }

    /// Gives a user the rights of a role.
    async fn bind_role(&self, name: &str, user: &str, kind: &str, role: &str) {
        let group = "rbac.authorization.k8s.io";
        self.apply::<RoleBinding>(
            name,
            json!({
                "roleRef": {"apiGroup": group, "kind": kind, "name": role},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
            }),
        )
        .await;
    }

    async fn apply<K>(&self, name: &str, content: Value)
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let mut object = content;
        object["apiVersion"] = K::api_version(&()).into();
        object["kind"] = K::kind(&()).into();
        object["metadata"] = json!({"name": name});
        Api::<K>::namespaced(self.stage.cluster.client.clone(), &self.stage.namespace)
            .patch(
                name,
                &PatchParams::apply("cases").force(),
                &Patch::Apply(object),
            )
            .await
            .expect("applied");
    }

    /// Lets a user try to create the binding `chat`, without keeping it; Err: why it was refused.
    async fn create(&self, user: &str, spec: &Value) -> Result<(), String> {
        let mut whole = sonnet();
        json_merge(&mut whole, spec);
        let cluster = self.stage.cluster.impersonating(user).await;
        let created = cluster
            .try_bind(&self.stage.namespace, "chat", &whole, &dry_run())
            .await;
        answer(created).map(drop)
    }

    /// Lets a user try a merge patch of a binding, without keeping it; Err: why it was refused.
    async fn patch(&self, user: &str, name: &str, patch: &Value) -> Result<(), String> {
        let cluster = self.stage.cluster.impersonating(user).await;
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let patched = cluster
            .bindings(&self.stage.namespace)
            .patch(name, &params, &Patch::Merge(patch))
            .await;
        answer(patched).map(drop)
    }

    /// Creates, as cluster-admin, the binding `chat` with one Secret target.
    async fn with_secret_target(&self) {
        let spec = json!({"model": SONNET, "geography": "eu", "targets": [target("Secret", "s")]});
        // An administrator may do all.
        self.stage.bind("chat", spec).await;
    }
}

fn json_merge(object: &mut Value, other: &Value) {
    for (key, value) in other.as_object().expect("an object") {
        object[key] = value.clone();
    }
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
}

fn named(group: &str, resource: &str, verbs: &[&str], names: &[&str]) -> Value {
    let mut rule = rule(group, resource, verbs);
    rule["resourceNames"] = json!(names);
    rule
}

fn target(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "name": name})
}

/// Waits until an attempt is answered as expected: allowed, or refused with these words. Rights that were granted count
/// a little later; one that was not granted is never there.
async fn answered<F>(what: &str, refused: Option<&str>, attempt: impl Fn() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    let attempt = &attempt;
    eventually(what, || async {
        match (attempt().await, refused) {
            (Ok(()), None) => Ok(()),
            (Err(message), Some(words)) if message.contains(words) => Ok(()),
            (Ok(()), Some(words)) => panic!("{what}: allowed, and not refused with {words:?}"),
            (Err(message), _) => Err(message),
        }
    })
    .await;
}

/// Lets users, who may write bindings and have these rights besides, try to create bindings of these specs.
async fn creates(
    guarded: &Guarded<'_>,
    users: &[(&str, &[Value])],
    attempts: &[(&str, Value, Option<&str>)],
) {
    for (user, rules) in users {
        guarded.grant(user, rules).await;
    }
    for (user, spec, refused) in attempts {
        let what = format!("{user} creates {spec}");
        answered(&what, *refused, || guarded.create(user, spec)).await;
    }
}

async fn whoever_creates_a_binding_may_write_its_targets(stage: &Stage) {
    let guarded = Guarded::new(stage).await;
    let create = rule("", "configmaps", &["create"]);
    let users: [(&str, &[Value]); 5] = [
        ("none", &[]),
        ("all", &[rule("", "configmaps", &["create", "update"])]),
        ("creates", std::slice::from_ref(&create)),
        (
            "chat",
            &[
                create.clone(),
                named("", "configmaps", &["update"], &["chat"]),
            ],
        ),
        ("host", &[named("", "configmaps", &["update"], &["host"])]),
    ];
    let namespace = &guarded.stage.namespace;
    let no_config_map = format!(
        "user none may not create configmaps in namespace {namespace}, which this binding needs for ConfigMap/chat: "
    );
    let no_config_map = Some(no_config_map.as_str());
    let no_secret = format!(
        "user all may not create secrets in namespace {namespace}, which this binding needs for Secret/s: "
    );
    let no_chat =
        format!("user creates may not update configmaps/chat in namespace {namespace}, a target");
    let suspended = json!({"suspend": true});
    let other = json!({"targets": [target("ConfigMap", "other")]});
    let secret = json!({"targets": [target("ConfigMap", "chat"), target("Secret", "s")]});
    let merged = json!({"targets": merging()["targets"]});
    creates(
        &guarded,
        &users,
        &[
            ("none", json!({}), no_config_map),
            ("none", json!({"targets": []}), no_config_map),
            ("none", json!({"targets": null}), no_config_map),
            ("none", suspended, no_config_map),
            ("all", json!({}), None),
            ("all", json!({"targets": []}), None),
            ("all", json!({"targets": null, "rollout": null}), None),
            ("all", other.clone(), None),
            ("all", secret, Some(&no_secret)),
            ("creates", json!({}), Some(&no_chat)),
            ("chat", json!({}), None),
            ("chat", other, Some("may not update configmaps/other")),
            // The operator creates no object to merge into.
            ("host", merged.clone(), None),
            ("host", json!({}), Some("may not create configmaps")),
            ("chat", merged, Some("may not update configmaps/host")),
        ],
    )
    .await;
}

async fn whoever_creates_a_binding_may_patch_its_workloads(stage: &Stage) {
    let guarded = Guarded::new(stage).await;
    let config_maps = rule("", "configmaps", &["create", "update"]);
    let users: [(&str, &[Value]); 2] = [
        ("none", std::slice::from_ref(&config_maps)),
        (
            "web",
            &[
                config_maps.clone(),
                named("apps", "deployments", &["patch"], &["web"]),
            ],
        ),
    ];
    let no_web = format!(
        "user none may not patch deployments.apps/web in namespace {}, which stands under spec.rollout",
        guarded.stage.namespace
    );
    let rollout = |kind: &str, name: &str| json!({"rollout": [target(kind, name)]});
    creates(
        &guarded,
        &users,
        &[
            ("none", json!({"rollout": []}), None),
            ("none", rollout("Deployment", "web"), Some(&no_web)),
            ("web", rollout("Deployment", "web"), None),
            (
                "web",
                rollout("Deployment", "shop"),
                Some("may not patch deployments.apps/shop"),
            ),
            (
                "web",
                rollout("StatefulSet", "web"),
                Some("may not patch statefulsets.apps/web"),
            ),
            (
                "web",
                rollout("DaemonSet", "web"),
                Some("may not patch daemonsets.apps/web"),
            ),
        ],
    )
    .await;
}

async fn every_change_of_a_spec_is_checked(stage: &Stage) {
    let guarded = Guarded::new(stage).await;
    guarded.with_secret_target().await;
    let config_maps = rule("", "configmaps", &["create", "update"]);
    let secrets = rule("", "secrets", &["create", "update"]);
    guarded
        .grant("config-maps", std::slice::from_ref(&config_maps))
        .await;
    guarded.grant("both", &[config_maps, secrets]).await;
    let no_secret = Some("may not create secrets");
    for (change, refused) in [
        // The target stays and what is written there changes.
        (json!({"geography": "global"}), no_secret),
        (json!({"suspend": true}), no_secret),
        (json!({"targets": [target("Secret", "other")]}), no_secret),
        // What is given up needs no right.
        (json!({"targets": []}), None),
    ] {
        let patch = json!({"spec": change});
        let attempt = |user| guarded.patch(user, "chat", &patch);
        answered(&format!("one changes {patch}"), refused, || {
            attempt("config-maps")
        })
        .await;
        answered(&format!("another changes {patch}"), None, || {
            attempt("both")
        })
        .await;
    }
}

async fn a_change_of_anything_but_the_spec_is_not_checked(stage: &Stage) {
    let guarded = Guarded::new(stage).await;
    guarded.with_secret_target().await;
    guarded.grant("binds", &[]).await;
    for patch in [
        json!({"metadata": {"labels": {"team": "shop"}, "annotations": {"note": "x"}}}),
        json!({"metadata": {"finalizers": [FINALIZER]}}),
        json!({"spec": {"geography": "eu"}}),
    ] {
        answered(&format!("patch {patch}"), None, || {
            guarded.patch("binds", "chat", &patch)
        })
        .await;
    }
    let bindings = guarded
        .stage
        .cluster
        .impersonating("binds")
        .await
        .bindings(&guarded.stage.namespace);
    bindings
        .patch_status(
            "chat",
            &PatchParams::default(),
            &Patch::Merge(json!({"status": {"observedGeneration": 1}})),
        )
        .await
        .expect("the status is not the spec");
    bindings
        .delete("chat", &DeleteParams::default())
        .await
        .expect("deleting needs no right to the targets");
}

async fn the_last_of_as_many_as_there_may_be_is_checked(stage: &Stage) {
    let crd = std::fs::read_to_string(format!("{ROOT}/crds/inferenceprofilebindings.yaml"))
        .expect("the custom resource definition");
    let crd = yaml(&crd);
    let most = |field: &str| {
        let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let most = crd.pointer(&format!("{schema}/{field}/maxItems"));
        usize::try_from(most.and_then(Value::as_u64).expect("a limit")).expect("a number")
    };
    let guarded = Guarded::new(stage).await;
    let names = |field: &str| -> Vec<String> {
        (1..=most(field))
            .map(|i| format!("{field}-{i:02}"))
            .collect()
    };
    let (targets, workloads) = (names("targets"), names("rollout"));
    let rules = |targets: &[String], workloads: &[String]| {
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let workloads: Vec<&str> = workloads.iter().map(String::as_str).collect();
        [
            rule("", "configmaps", &["create"]),
            rule("", "secrets", &["create"]),
            named("", "configmaps", &["update"], &targets),
            named("", "secrets", &["update"], &targets),
            named("apps", "statefulsets", &["patch"], &workloads),
        ]
    };
    let all_but_last = |names: &[String]| names[..names.len() - 1].to_vec();
    guarded.grant("all", &rules(&targets, &workloads)).await;
    guarded
        .grant("targets", &rules(&targets, &all_but_last(&workloads)))
        .await;
    guarded
        .grant("workloads", &rules(&all_but_last(&targets), &workloads))
        .await;

    let list = |kinds: [&str; 2], names: &[String]| -> Value {
        names
            .iter()
            .enumerate()
            .map(|(i, name)| target(kinds[i % 2], name))
            .collect()
    };
    let spec = json!({
        "targets": list(["ConfigMap", "Secret"], &targets),
        "rollout": list(["StatefulSet", "StatefulSet"], &workloads),
    });
    let final_one = |names: &[String]| names.last().expect("one").clone();
    let no_target = format!("may not update secrets/{}", final_one(&targets));
    let no_workload = format!("may not patch statefulsets.apps/{}", final_one(&workloads));
    for (user, refused) in [
        ("all", None),
        ("workloads", Some(no_target.as_str())),
        ("targets", Some(no_workload.as_str())),
    ] {
        answered(user, refused, || guarded.create(user, &spec)).await;
    }
}

async fn the_rights_of_an_editor_are_enough_for_a_gitops_controller(stage: &Stage) {
    let guarded = Guarded::new(stage).await;
    let user = "system:serviceaccount:argocd:application-controller";
    guarded.grant("gitops", &[]).await;
    guarded.bind_role("gitops", user, "Role", "gitops").await;
    // The part of the ClusterRole `edit` that Kubernetes brings with it.
    guarded
        .bind_role(
            "gitops-edit",
            user,
            "ClusterRole",
            "system:aggregate-to-edit",
        )
        .await;
    let spec = json!({
        "targets": [target("ConfigMap", "chat"), target("Secret", "s")],
        "rollout": [target("Deployment", "a"), target("StatefulSet", "b"), target("DaemonSet", "c")],
    });
    answered("an editor", None, || guarded.create(user, &spec)).await;
}

/// Puts the policies in force that hold the operator's own service account, and returns its name.
async fn confined(stage: &Stage) -> String {
    let namespace = stage.namespace.as_str();
    let manifest = render(
        "guard-operator.yaml",
        &[
            "--name-template",
            namespace,
            "--namespace",
            namespace,
            "--set",
            "rollout.enabled=true,serviceAccount.name=operator",
        ],
    )
    .expect("rendered");
    let cluster = &stage.cluster;
    cluster
        .kubectl_reading(&manifest, &["create", "-f", "-"])
        .await
        .ok();
    let user = format!("system:serviceaccount:{namespace}:operator");
    // The rights of a cluster administrator: only the policies stand in the way.
    let role = ["--clusterrole=cluster-admin", "--user", &user];
    let create = ["create", "clusterrolebinding", namespace];
    cluster.kubectl(&[&create[..], &role].concat()).await.ok();
    for (resource, reason) in [
        ("configmap", "may not create configmaps/probe"),
        ("secret", "may not create secrets/probe"),
    ] {
        eventually(&format!("a policy is in force: {reason}"), || async {
            match as_operator(stage, &user, &create_probe(resource)).await {
                Err(said) if said.contains(reason) => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
    user
}

/// Returns the arguments that create an object without our label. Nothing is kept.
fn create_probe(resource: &str) -> Vec<&str> {
    match resource {
        "secret" => vec!["create", "secret", "generic", "probe", "--dry-run=server"],
        _ => vec!["create", resource, "probe", "--dry-run=server"],
    }
}

/// Runs kubectl as the operator; Err: what was said.
async fn as_operator(stage: &Stage, user: &str, arguments: &[&str]) -> Result<(), String> {
    let as_user = [&["--as", user][..], arguments].concat();
    let output = stage.cluster.kubectl(&as_user).await;
    if output.code == Some(0) {
        Ok(())
    } else {
        Err(output.stderr)
    }
}

/// Returns the arguments that make a binding the controller of a `ConfigMap`. Nothing is kept.
fn owned_by_a_binding(name: &str) -> Vec<&str> {
    const PATCH: &str = r#"{"metadata":{"ownerReferences":[{"apiVersion":"inferenceprofiles.dev/v1alpha1","kind":"InferenceProfileBinding","name":"claude","uid":"1","controller":true}]}}"#;
    vec![
        "patch",
        "configmap",
        name,
        "--type=merge",
        "--patch",
        PATCH,
        "--dry-run=server",
    ]
}

#[allow(clippy::too_many_lines, reason = "a table")]
async fn a_stolen_token_changes_nothing_of_others(stage: &mut Stage) {
    let user = confined(stage).await;
    let namespace = ["--namespace", &stage.namespace];
    let cluster = &stage.cluster;
    for arguments in [
        &["create", "configmap", "foreign", "--from-literal=a=1"][..],
        &["create", "configmap", "host", "--from-literal=a=1"],
        &[
            "annotate",
            "configmap",
            "host",
            "inferenceprofiles.dev/allow-merge=claude",
        ],
        &["create", "configmap", "labelled", "--from-literal=a=1"],
        &[
            "label",
            "configmap",
            "labelled",
            "inferenceprofiles.dev/managed=true",
        ],
        &["create", "deployment", "chat", "--image=a"],
    ] {
        cluster
            .kubectl(&[arguments, &namespace].concat())
            .await
            .ok();
    }
    let patch = [
        "--type=merge",
        "--patch",
        r#"{"data":{"a":"2"}}"#,
        "--dry-run=server",
    ];
    let annotation = r#"{"spec":{"template":{"metadata":{"annotations":{"rollout.inferenceprofiles.dev/claude":"1"}}}}}"#;
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"evil"}]}}}}"#;
    let kube_system = ["--namespace", "kube-system"];
    let of_kubernetes = stage.namespace.clone();
    cluster
        .kubectl(&[&["create", "configmap", &of_kubernetes][..], &kube_system].concat())
        .await
        .ok();
    let of = |name| [&["patch", "configmap", name][..], &patch].concat();
    let restart = |patch| {
        let patch = ["--type=strategic", "--patch", patch, "--dry-run=server"];
        [&["patch", "deployment", "chat"][..], &patch].concat()
    };
    for (where_to, arguments, refused) in [
        (
            &kube_system,
            of(&of_kubernetes),
            Some("may touch nothing in a namespace of Kubernetes itself"),
        ),
        (
            &namespace,
            of("foreign"),
            Some("may not change configmaps/foreign"),
        ),
        (&namespace, of("host"), None),
        (&namespace, of("labelled"), None),
        (
            &namespace,
            vec!["delete", "configmap", "foreign", "--dry-run=server"],
            Some("may not delete configmaps/foreign"),
        ),
        (
            &namespace,
            vec!["delete", "configmap", "labelled", "--dry-run=server"],
            Some("may not delete configmaps/labelled"),
        ),
        (
            &namespace,
            create_probe("configmap"),
            Some("may not create configmaps/probe"),
        ),
        (
            &namespace,
            create_probe("secret"),
            Some("may not create secrets/probe"),
        ),
        (&namespace, restart(annotation), None),
        (&namespace, restart(image), Some("and not change it")),
        (
            &namespace,
            restart(r#"{"spec":{"replicas":0}}"#),
            Some("and not change it"),
        ),
        (
            &namespace,
            restart(r#"{"spec":{"paused":true}}"#),
            Some("and not change it"),
        ),
        (
            &namespace,
            restart(r#"{"metadata":{"finalizers":["example.com/stuck"]}}"#),
            Some("and not change it"),
        ),
        (
            &namespace,
            owned_by_a_binding("host"),
            Some("may not change the owners of configmaps/host"),
        ),
        (
            &namespace,
            owned_by_a_binding("labelled"),
            Some("may not change the owners of configmaps/labelled"),
        ),
    ] {
        let arguments = [&arguments[..], where_to].concat();
        let what = arguments.join(" ");
        answered(&what, refused, || as_operator(stage, &user, &arguments)).await;
    }
    // What the operator does is allowed: it creates, merges, corrects and removes.
    let options = stage.options();
    stage.start_as(&user, options).await;
    let mut spec = merging();
    let own = target("ConfigMap", "own");
    spec["targets"].as_array_mut().expect("targets").push(own);
    stage.bound("claude", spec.clone()).await;
    stage
        .meddle(
            "own",
            json!({"metadata": {"labels": {"inferenceprofiles.dev/managed": null}}}),
        )
        .await;
    stage.settled().await;
    spec["targets"].as_array_mut().expect("targets").pop();
    stage
        .edit("claude", json!({"targets": spec["targets"]}))
        .await;
    stage.until_gone("own").await;
    stage.unbind("claude").await;
    // It releases what is to stay, and a binding of the same name takes it back.
    let mut stays = sonnet();
    stays["deletionPolicy"] = json!("Orphan");
    stage.bound("claude", stays.clone()).await;
    let before = stage.object("claude").await;
    stage.unbind("claude").await;
    let released = stage.object("claude").await;
    assert_eq!(controller(&released), None);
    let successor = stage.bound("claude", stays).await;
    let adopted = stage.object("claude").await;
    assert_eq!(adopted.metadata.uid, before.metadata.uid);
    assert_eq!(controller(&adopted), successor.metadata.uid);
}

/// The operator writes by patches, and may neither update what it writes nor change what a person wrote.
async fn the_operator_itself_is_not_hindered(stage: &mut Stage) {
    Guarded::new(stage).await;
    stage
        .grant(
            "operator",
            &["get", "list", "watch", "create", "patch", "delete"],
        )
        .await;
    let options = stage.options();
    stage.start_as("operator", options).await;
    stage.host("host", Some("claude")).await;
    let bound = stage.bound("claude", merging()).await;
    assert_eq!(
        bound.metadata.finalizers.as_deref(),
        Some(&[FINALIZER.to_owned()][..])
    );
    stage.unbind("claude").await;
}
