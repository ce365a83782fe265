//! Calls of the suite to the apiserver, by no detour. They are tried again while the apiserver is away.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, header::CONTENT_TYPE};
use kube::Client;
use serde_json::{Value, json};

use crate::Outcome;

/// Who the suite is, as a field manager.
pub const MANAGER: &str = "suite";
const PATIENCE: Duration = Duration::from_secs(90);
const ATTEMPT: Duration = Duration::from_secs(10);
const IN_FLIGHT: usize = 16;

/// A call that changes something, and may be repeated.
#[derive(Debug, Clone)]
pub enum Call {
    /// Applies an object, by its manifest.
    Apply(Value),
    /// Changes an object, as a person with an editor does.
    Merge(String, Value),
    /// Deletes an object, or a collection.
    Delete(String),
}

impl Call {
    /// Returns the manifest that is applied.
    pub fn manifest(&self) -> Option<&Value> {
        match self {
            Self::Apply(manifest) => Some(manifest),
            Self::Merge(..) | Self::Delete(_) => None,
        }
    }
}

/// Returns the path of an object; an empty name is that of the collection, an empty namespace that of all of them.
pub fn path(kind: &str, namespace: &str, name: &str) -> String {
    let (root, plural) = match kind {
        "Namespace" => ("/api/v1", "namespaces"),
        "ConfigMap" => ("/api/v1", "configmaps"),
        "Secret" => ("/api/v1", "secrets"),
        "ResourceQuota" => ("/api/v1", "resourcequotas"),
        "Deployment" => ("/apis/apps/v1", "deployments"),
        "Lease" => ("/apis/coordination.k8s.io/v1", "leases"),
        "ClusterRole" => ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
        "ClusterRoleBinding" => ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
        "CustomResourceDefinition" => {
            ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")
        }
        "ValidatingAdmissionPolicy" => (
            "/apis/admissionregistration.k8s.io/v1",
            "validatingadmissionpolicies",
        ),
        "ValidatingAdmissionPolicyBinding" => (
            "/apis/admissionregistration.k8s.io/v1",
            "validatingadmissionpolicybindings",
        ),
        "InferenceProfileBinding" => (
            "/apis/inferenceprofiles.dev/v1alpha1",
            "inferenceprofilebindings",
        ),
        other => panic!("the suite knows no {other}"),
    };
    let namespace = if namespace.is_empty() {
        String::new()
    } else {
        format!("/namespaces/{namespace}")
    };
    let name = if name.is_empty() {
        String::new()
    } else {
        format!("/{name}")
    };
    format!("{root}{namespace}/{plural}{name}")
}

/// Returns the path of the object that a manifest is of.
pub fn path_of(manifest: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &manifest["metadata"];
    path(
        &text(&manifest["kind"]),
        &text(&metadata["namespace"]),
        &text(&metadata["name"]),
    )
}

/// Makes calls.
#[derive(Clone)]
pub struct Caller {
    pub client: Client,
}

impl Caller {
    /// Makes sequences of calls, many sequences at once.
    pub async fn run(&self, sequences: Vec<Vec<Call>>) -> Outcome {
        stream::iter(sequences.into_iter().map(|calls| async move {
            for call in calls {
                self.make(&call).await?;
            }
            Ok::<(), String>(())
        }))
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
    }

    /// Makes a call, again and again until it is answered.
    pub async fn make(&self, call: &Call) -> Outcome {
        let started = Instant::now();
        loop {
            let answer =
                tokio::time::timeout(ATTEMPT, self.client.request_text(request(call)?)).await;
            let error = match answer {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(kube::Error::Api(status)))
                    if matches!(call, Call::Delete(_)) && status.code == 404 =>
                {
                    return Ok(());
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if started.elapsed() > PATIENCE {
                return Err(format!("{call:?}: {error}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Caller {
    /// Waits until a call is refused.
    pub async fn until_refused(&self, call: &Call) -> Outcome {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.client.request_text(request(call)?).await {
                Err(kube::Error::Api(status)) if status.code == 403 || status.code == 422 => {
                    return Ok(());
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(format!("{call:?} is not refused"))
    }
}

fn request(call: &Call) -> Result<Request<Vec<u8>>, String> {
    let request = match call {
        Call::Apply(manifest) => Request::patch(format!(
            "{}?fieldManager={MANAGER}&force=true",
            path_of(manifest)
        ))
        .header(CONTENT_TYPE, "application/apply-patch+yaml")
        .body(manifest.to_string().into_bytes()),
        Call::Merge(path, change) => Request::patch(format!("{path}?fieldManager=someone"))
            .header(CONTENT_TYPE, "application/merge-patch+json")
            .body(change.to_string().into_bytes()),
        Call::Delete(path) => Request::delete(path)
            .header(CONTENT_TYPE, "application/json")
            .body(
                json!({"propagationPolicy": "Background"})
                    .to_string()
                    .into_bytes(),
            ),
    };
    request.map_err(|error| error.to_string())
}
