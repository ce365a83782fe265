//! `refresh`, `suspend` and `resume`: the changes that a person makes to a binding by a command. Each is one patch of one field, in
//! the name of a field manager of its own.

use std::{fmt::Debug, io::Write, time::Duration};

use clap::Args;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    Error,
    cluster::{ConnectOptions, client, is_absent},
    printable,
};
use crate::api::{InferenceProfileBinding, names::REFRESH_ANNOTATION};

/// The field manager of what these commands change.
const MANAGER: &str = "kubectl-ipb";
/// How long to wait for an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Managers of fields that are no tool: what people use by hand.
const BY_HAND: [&str; 7] = [
    "kubectl-client-side-apply",
    "kubectl-create",
    "kubectl-edit",
    "kubectl-patch",
    "kubectl",
    // A client that says no name.
    "unknown",
    MANAGER,
];

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The catalog of the binding is listed anew.
    Refresh,
    /// Targets and workloads are left as they are.
    Suspend,
    /// They are written again.
    Resume,
}

/// Which binding.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl ipb refresh chat -n shop\n  kubectl ipb suspend chat -n shop --context production\n  kubectl ipb resume chat -n shop --as jane --as-group shop-admins\n\nExit codes: 0 done; 1 the cluster did not take it; 2 bad input, or no such binding.\n\nRights: patch inferenceprofilebindings; with the guard, those to the targets for suspend and resume."
)]
pub struct ChangeArgs {
    /// Name of the binding
    name: String,
    /// Namespace of the binding [default: that of the context]
    #[arg(long, short, value_name = "NAMESPACE")]
    namespace: Option<String>,
    #[command(flatten)]
    connect: ConnectOptions,
}

pub(super) async fn run(
    args: ChangeArgs,
    change: Change,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<u8, Error> {
    let config = args.connect.config().await?;
    let namespace = args
        .namespace
        .unwrap_or_else(|| config.default_namespace.clone());
    let api: Api<InferenceProfileBinding> = Api::namespaced(client(config)?, &namespace);
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch(change, &super::output::now()));
    let call = tokio::time::timeout(CALL_TIMEOUT, api.patch(&args.name, &params, &patch)).await;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Change {
        what: format!("the binding {namespace}/{}", args.name),
        source,
    };
    let changed = match call.map_err(|_| failed("no answer within 15 s".into()))? {
        Ok(changed) => changed,
        Err(kube::Error::Api(status)) if is_absent(&status) => {
            return Err(Error::BadInput(format!(
                "there is no binding {} in namespace {namespace}: `kubectl get ipb -n {namespace}` lists those that exist",
                args.name
            )));
        }
        Err(error) => return Err(failed(error.into())),
    };
    if !change.is_taken(&changed) {
        return Err(Error::NotTaken(format!(
            "{namespace}/{} is not suspended: the cluster's definition of bindings is older than spec.suspend, and drops it: install that \
             of this program, `inference-profile-operator crd | kubectl apply --server-side -f -`",
            args.name
        )));
    }
    let name = printable(&changed.name_any());
    let what = match change {
        Change::Refresh => {
            "refresh requested: the operator lists its catalog now, at most once in 10 seconds"
        }
        Change::Suspend => {
            "suspended: targets and workloads stay as they are; residency limits and deletion still take effect"
        }
        Change::Resume => "resumed",
    };
    writeln!(out, "{namespace}/{name} {what}")?;
    if let Some(tool) = change.is_of_spec().then(|| tool(&changed)).flatten() {
        writeln!(
            err,
            "{} applies this binding, and may undo that: change spec.suspend in its source too",
            printable(tool)
        )?;
    }
    Ok(0)
}

impl Change {
    /// Says whether a binding is as it was to be: an apiserver drops a field that its definition does not have.
    fn is_taken(self, binding: &InferenceProfileBinding) -> bool {
        self != Self::Suspend || binding.spec.suspend == Some(true)
    }

    fn is_of_spec(self) -> bool {
        matches!(self, Self::Suspend | Self::Resume)
    }
}

/// Returns the merge patch of a change. The time makes each request for a listing another one.
fn patch(change: Change, now: &str) -> Value {
    match change {
        Change::Refresh => json!({"metadata": {"annotations": {REFRESH_ANNOTATION: now}}}),
        Change::Suspend => json!({"spec": {"suspend": true}}),
        // The field goes: what is not said is not suspended, and a tool that never said it sees no difference.
        Change::Resume => json!({"spec": {"suspend": null}}),
    }
}

/// Returns the tool that applies a binding, by the manager of a field of its spec.
fn tool(binding: &InferenceProfileBinding) -> Option<&str> {
    let fields = binding.metadata.managed_fields.iter().flatten();
    fields
        .filter(|entry| entry.subresource.is_none())
        .filter(|entry| {
            let owned = entry.fields_v1.as_ref();
            owned.is_some_and(|owned| owned.0.get("f:spec").is_some())
        })
        .filter_map(|entry| entry.manager.as_deref())
        .find(|manager| !BY_HAND.contains(manager))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_changed() {
        assert_eq!(
            patch(Change::Suspend, "t"),
            json!({"spec": {"suspend": true}})
        );
        assert_eq!(
            patch(Change::Resume, "t"),
            json!({"spec": {"suspend": null}})
        );
        assert_eq!(
            patch(Change::Refresh, "t")["metadata"]["annotations"]["inferenceprofiles.dev/refresh"],
            "t"
        );
    }

    #[test]
    fn a_field_that_the_cluster_drops_is_noticed() {
        for (change, spec, expected) in [
            (Change::Suspend, json!({"suspend": true}), true),
            (Change::Suspend, json!({}), false),
            (Change::Resume, json!({}), true),
            (Change::Refresh, json!({}), true),
        ] {
            let binding = json!({
                "apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": "InferenceProfileBinding",
                "metadata": {"name": "a"}, "spec": spec,
            });
            let binding = serde_json::from_value(binding).expect("a binding");
            assert_eq!(change.is_taken(&binding), expected, "{change:?}");
        }
    }

    #[test]
    fn a_tool_that_applies_the_spec_is_told() {
        let managed = |manager: &str, field: &str, subresource: Option<&str>| {
            json!({
                "manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": {field: {}}, "subresource": subresource,
            })
        };
        for (managers, expected) in [
            (vec![managed("kubectl-ipb", "f:spec", None)], None),
            (
                vec![managed("kubectl-client-side-apply", "f:spec", None)],
                None,
            ),
            (
                vec![managed("inferenceprofiles.dev", "f:status", Some("status"))],
                None,
            ),
            (vec![managed("x", "f:metadata", None)], None),
            (
                vec![
                    managed("kubectl-ipb", "f:spec", None),
                    managed("kustomize-controller", "f:spec", None),
                ],
                Some("kustomize-controller"),
            ),
        ] {
            let binding = json!({
                "apiVersion": "inferenceprofiles.dev/v1alpha1", "kind": "InferenceProfileBinding",
                "metadata": {"name": "a", "managedFields": managers},
                "spec": {},
            });
            let binding = serde_json::from_value(binding).expect("a binding");
            assert_eq!(tool(&binding), expected);
        }
    }
}
