//! What every case uses: the control plane, a client, fresh namespaces, bounded waiting, kubectl.

use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use inference_profile_operator::api::InferenceProfileBinding;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config, Resource};
use serde_json::{Value, json};

use crate::common::program::Output;

/// Root of the project.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Longest wait for anything to come true.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A running control plane. It ends with its stdin, so also when this process is killed.
pub struct ControlPlane {
    child: Child,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

/// Why there is no control plane. What happened is on stderr already.
pub enum Unavailable {
    /// Its binaries are not there.
    Absent,
    /// It did not start.
    Failed,
}

impl ControlPlane {
    /// Starts a control plane that serves the CRD.
    pub fn start() -> Result<Self, Unavailable> {
        let mut child = Command::new(Path::new(ROOT).join("dev/controlplane/with"))
            .arg("--crds")
            .arg(Path::new(ROOT).join("crds"))
            .args(["sh", "-c"])
            .arg(r#"echo "$KUBECONFIG"; command -v kubectl; exec cat"#)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dev/controlplane/with can be run");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().and_then(Result::ok).map(PathBuf::from);
        if let (Some(kubeconfig), Some(kubectl)) = (line(), line()) {
            return Ok(Self {
                child,
                kubeconfig,
                kubectl,
            });
        }
        let status = child.wait().expect("its exit code");
        Err(if status.code() == Some(69) {
            Unavailable::Absent
        } else {
            Unavailable::Failed
        })
    }

    /// Says whether kube-controller-manager runs.
    pub fn has_controllers(&self) -> bool {
        self.kubectl
            .with_file_name("kube-controller-manager")
            .exists()
    }

    /// Stops the control plane and waits until it is gone.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().expect("dev/controlplane/with ends");
    }
}

/// The control plane as a case sees it, as cluster-admin.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

impl Cluster {
    /// Connects to a control plane.
    pub async fn connect(control_plane: &ControlPlane) -> Self {
        Self::at(
            control_plane.kubeconfig.clone(),
            control_plane.kubectl.clone(),
        )
        .await
    }

    /// Connects to the control plane of a kubeconfig.
    pub async fn at(kubeconfig: PathBuf, kubectl: PathBuf) -> Self {
        let found = Kubeconfig::read_from(&kubeconfig).expect("kubeconfig");
        let config = Config::from_custom_kubeconfig(found, &KubeConfigOptions::default())
            .await
            .expect("client configuration");
        Self {
            client: Client::try_from(config).expect("client"),
            kubeconfig,
            kubectl,
        }
    }

    /// Returns the control plane as another user sees it, who may do nothing that is not granted.
    pub async fn impersonating(&self, user: &str) -> Self {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("client configuration");
        config.auth_info.impersonate = Some(user.to_owned());
        Self {
            client: Client::try_from(config).expect("client"),
            ..self.clone()
        }
    }

    /// Returns a client that reaches the apiserver by another port of this machine, and the apiserver's own address.
    pub async fn through(&self, port: u16) -> (Client, String) {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("client configuration");
        let server = config
            .cluster_url
            .authority()
            .expect("an address")
            .to_string();
        config.cluster_url = format!("https://127.0.0.1:{port}").parse().expect("a URL");
        config.default_retry = false;
        (Client::try_from(config).expect("client"), server)
    }

    /// Creates a namespace and returns its name, which begins with the prefix.
    pub async fn namespace(&self, prefix: &str) -> String {
        let mut namespace = Namespace::default();
        namespace.meta_mut().generate_name = Some(format!("{prefix}-"));
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .expect("a namespace")
            .meta()
            .name
            .clone()
            .expect("the name of the namespace")
    }

    /// Returns the bindings of a namespace.
    pub fn bindings(&self, namespace: &str) -> Api<InferenceProfileBinding> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Tries to create a binding from a spec in its wire form, valid or not.
    pub async fn try_bind(
        &self,
        namespace: &str,
        name: &str,
        spec: &Value,
        params: &PostParams,
    ) -> Result<DynamicObject, kube::Error> {
        let kind = ApiResource::erase::<InferenceProfileBinding>(&());
        let mut object = DynamicObject::new(name, &kind);
        object.data = json!({"spec": spec});
        Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &kind)
            .create(params, &object)
            .await
    }

    /// Returns the configuration with which other programs find this control plane.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes a kubeconfig into a folder with which other programs are another user, and returns its path.
    pub fn kubeconfig_as(&self, user: &str, folder: &Path) -> PathBuf {
        let mut config = yaml(&std::fs::read_to_string(&self.kubeconfig).expect("a kubeconfig"));
        config["users"][0]["user"]["as"] = json!(user);
        let path = folder.join("kubeconfig");
        std::fs::write(&path, config.to_string()).expect("written");
        path
    }

    /// Returns where the pinned kubectl is.
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// Runs the pinned kubectl against this control plane, with a text as its stdin.
    pub async fn kubectl_reading(&self, stdin: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.kubectl);
        command
            .args(arguments)
            .arg("--request-timeout=30s")
            .env("KUBECONFIG", &self.kubeconfig)
            .env(
                "KUBECACHEDIR",
                self.kubeconfig.with_file_name("kubectl-cache"),
            )
            .env("KUBERC", "off")
            .current_dir(ROOT);
        Output::awaited(command, stdin).await
    }

    /// Runs the pinned kubectl against this control plane.
    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_reading("", arguments).await
    }
}

/// Looks again and again until `look` gives Ok, and panics with what it saw last where that takes longer than
/// [`PATIENCE`]. Where one object tells it all, `kube_runtime::wait::await_condition` does the same with a watch.
pub async fn eventually<T, Seen, F>(what: &str, look: impl FnMut() -> F) -> T
where
    Seen: Debug,
    F: Future<Output = Result<T, Seen>>,
{
    within(PATIENCE, what, look).await
}

/// As [`eventually`], with another bound.
pub async fn within<T, Seen, F>(patience: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    Seen: Debug,
    F: Future<Output = Result<T, Seen>>,
{
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if started.elapsed() > patience => {
                panic!("not within {patience:?}: {what}; seen last: {seen:#?}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Parses YAML.
#[track_caller]
pub fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

/// Returns how to create an object without keeping it.
pub fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

/// Returns what the apiserver accepted; Err: why it was refused.
#[track_caller]
pub fn answer<T>(result: Result<T, kube::Error>) -> Result<T, String> {
    result.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("no answer: {other}"),
    })
}

/// Returns the apiserver's answer where it refused an object as invalid, and panics otherwise.
#[track_caller]
pub fn refusal<T: Debug>(result: Result<T, kube::Error>) -> Box<Status> {
    match result {
        Err(kube::Error::Api(status)) if status.is_invalid() => status,
        other => panic!("not refused as invalid: {other:#?}"),
    }
}

/// Asserts that a refusal names this field and says this about it.
#[track_caller]
pub fn assert_cause(refusal: &Status, field: &str, message: &str) {
    let causes = refusal.details.as_ref().map_or(&[][..], |d| &d.causes);
    assert!(
        causes
            .iter()
            .any(|cause| cause.field == field && cause.message.contains(message)),
        "no cause at {field:?} that says {message:?} among {causes:#?}"
    );
}
