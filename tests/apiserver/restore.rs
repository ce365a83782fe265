//! An etcd that is put back to an older copy of its data while the operator runs. The cases have a control plane of their own,
//! because they stop it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use futures::TryStreamExt;
use inference_profile_operator::{
    api::InferenceProfileClass,
    leader::{Candidacy, Election, Timing},
    metrics::Metrics,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, Config, ResourceExt, api::ListParams};
use kube_runtime::{
    WatchStreamExt,
    watcher::{self, watcher},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    case::{Case, case},
    operator::Options,
    stage::{EU, GLOBAL, ID, Stage, empty, sonnet},
    support::{Cluster, ROOT, eventually, yaml},
};

/// How far the revision is raised over all that the cluster ever had.
const BUMP: u64 = 2000;

/// What is done to a copy of etcd's data before it is served again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revision {
    /// Nothing: the revision goes back.
    AsCopied,
    /// What `etcdutl snapshot restore --bump-revision --mark-compacted` does: it goes forward, and nothing can be resumed. The
    /// versions of the objects still go back.
    BumpedAndCompacted,
}

pub fn cases() -> Vec<Case> {
    vec![
        case!(
            empty,
            "as_copied",
            what_is_restored_counts(Revision::AsCopied)
        ),
        case!(
            empty,
            "bumped_and_compacted",
            what_is_restored_counts(Revision::BumpedAndCompacted)
        ),
    ]
}

async fn what_is_restored_counts(stage: &Stage, revision: Revision) {
    let mut servers = Servers::start(&stage.cluster).await;
    let mut stage = Stage::new(servers.cluster.clone(), "restored").await;
    let candidacy = Candidacy {
        namespace: stage.namespace.clone(),
        name: "operator".to_owned(),
        identity: "only".to_owned(),
        timing: Timing::default(),
    };
    let election = Election::start(stage.cluster.client.clone(), candidacy, Metrics::new());
    stage.start(Options {
        leadership: election.leadership(),
        ..stage.options()
    });
    for name in ["edited", "deleted", "kept"] {
        stage.bound(name, sonnet()).await;
    }
    servers.copy().await;
    stage.bound("late", sonnet()).await;
    stage.unbind("deleted").await;
    stage.delete_object("deleted").await;
    for geography in ["global", "eu", "global"] {
        stage.edit("edited", json!({"geography": geography})).await;
        stage.ready("edited").await;
    }
    stage.until_id("edited", Some(GLOBAL)).await;

    servers.put_back(revision).await;
    assert_eq!(stage.config_map("late").await, None, "it is put back");
    let seen = Seen::of(&stage);
    // Others write what they like; where the operator looks at it, it looks at what is there now.
    stage.meddle("edited", json!({"data": {ID: "drift"}})).await;
    stage.until_id("edited", Some(EU)).await;
    stage.delete_object("kept").await;
    stage.until_id("kept", Some(EU)).await;
    stage.delete_object("deleted").await;
    stage.until_id("deleted", Some(EU)).await;
    stage.edit("kept", json!({"geography": "global"})).await;
    stage.ready("kept").await;
    assert_eq!(stage.id("kept").await.as_deref(), Some(GLOBAL));
    stage.bound("new", sonnet()).await;
    stage.settled().await;
    for name in ["edited", "deleted"] {
        stage.ready(name).await;
        assert_eq!(stage.id(name).await.as_deref(), Some(EU));
    }
    let values = seen.values();
    let gone = |(name, id): &(String, String)| {
        name == "late" || (matches!(name.as_str(), "edited" | "deleted") && id == GLOBAL)
    };
    assert!(!values.iter().any(gone), "no such spec exists: {values:?}");
    // The fixed point: nothing is written any more.
    let versions = async || {
        let mut versions = Vec::new();
        for name in ["edited", "deleted", "kept", "new"] {
            versions.push(stage.binding(name).await.resource_version());
            versions.push(stage.object(name).await.resource_version());
        }
        versions
    };
    let before = versions().await;
    stage.asked(8).await;
    stage.settled().await;
    assert_eq!(versions().await, before);
    stage.end().await;
    election.resign().await;
}

/// The values that `ConfigMaps` were seen to have, by name.
struct Seen {
    values: Arc<Mutex<Vec<(String, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Seen {
    fn of(stage: &Stage) -> Self {
        let values = Arc::<Mutex<Vec<_>>>::default();
        let (objects, noted) = (stage.config_maps(), values.clone());
        let task = tokio::spawn(async move {
            let events = watcher(objects, watcher::Config::default()).default_backoff();
            let noting = events.applied_objects().try_for_each(|object: ConfigMap| {
                let id = object.data.as_ref().and_then(|data| data.get(ID)).cloned();
                let mut noted = noted.lock().expect("not poisoned");
                noted.push((object.name_any(), id.unwrap_or_default()));
                std::future::ready(Ok(()))
            });
            let _ = noting.await;
        });
        Self { values, task }
    }

    fn values(self) -> Vec<(String, String)> {
        self.task.abort();
        self.values.lock().expect("not poisoned").clone()
    }
}

/// An etcd and a kube-apiserver of a case's own.
pub struct Servers {
    pub cluster: Cluster,
    binaries: PathBuf,
    folder: tempfile::TempDir,
    etcd_port: u16,
    peer_port: u16,
    api_port: u16,
    flags: &'static [&'static str],
    etcd: Child,
    apiserver: Child,
}

impl Servers {
    /// Starts them, with the CRD, from the binaries of another cluster.
    pub async fn start(other: &Cluster) -> Self {
        let servers = Self::start_without_crd(other, &[]).await;
        servers.define(&definition()).await;
        servers
    }

    /// Starts them, the apiserver with more flags, without the CRD of bindings.
    pub async fn start_without_crd(other: &Cluster, flags: &'static [&'static str]) -> Self {
        let servers = Self::start_empty(other, flags).await;
        let classes = Path::new(ROOT).join("crds/inferenceprofileclasses.yaml");
        let classes = classes.to_str().expect("UTF-8");
        let create = ["create", "-f", classes];
        servers.cluster.kubectl(&create).await.ok();
        servers.until_classes_are_served().await;
        servers
    }

    /// Starts them, the apiserver with more flags, without any CRD.
    pub async fn start_empty(other: &Cluster, flags: &'static [&'static str]) -> Self {
        let kubectl = other.kubectl_path();
        let binaries = kubectl.parent().expect("a folder").to_owned();
        let folder = tempfile::tempdir().expect("a folder");
        let (etcd_port, peer_port, api_port) =
            (free_port().await, free_port().await, free_port().await);
        let path = |name: &str| folder.path().join(name);
        let key = Command::new("openssl")
            .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout"])
            .output()
            .expect("openssl");
        fs::write(path("key"), key.stdout).expect("written");
        fs::write(path("tokens.csv"), "secret,admin,admin,system:masters\n").expect("written");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "own",
            "clusters": [{"name": "own", "cluster": {
                "server": format!("https://127.0.0.1:{api_port}"),
                "certificate-authority": path("certificates/apiserver.crt"),
            }}],
            "users": [{"name": "admin", "user": {"token": "secret"}}],
            "contexts": [{"name": "own", "context": {"cluster": "own", "user": "admin"}}],
        });
        fs::write(path("kubeconfig"), kubeconfig.to_string()).expect("written");
        let etcd = start_etcd(&binaries, &path("etcd"), etcd_port, peer_port);
        let apiserver = start_apiserver(&binaries, folder.path(), flags, etcd_port, api_port);
        eventually("there is a certificate", || async {
            // Its key is written after it.
            if path("certificates/apiserver.key").exists() {
                Ok(())
            } else {
                Err(())
            }
        })
        .await;
        let cluster = Cluster::at(path("kubeconfig"), kubectl.to_owned()).await;
        let servers = Self {
            cluster,
            binaries,
            folder,
            etcd_port,
            peer_port,
            api_port,
            flags,
            etcd,
            apiserver,
        };
        servers.until_ready().await;
        servers
    }

    /// Waits until classes are served.
    pub async fn until_classes_are_served(&self) {
        let classes = Api::<InferenceProfileClass>::all(self.cluster.client.clone());
        eventually("classes are served", || async {
            classes.list(&ListParams::default()).await
        })
        .await;
    }

    /// Applies a CRD, and waits until bindings are served.
    pub async fn define(&self, definition: &Value) {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let definition = definition.to_string();
        let applied = self.cluster.kubectl_reading(&definition, &apply).await;
        applied.ok();
        self.until_bindings_are_served().await;
    }

    /// Waits until bindings are served.
    pub async fn until_bindings_are_served(&self) {
        let bindings = self.cluster.bindings("default");
        eventually("bindings are served", || async {
            bindings.list(&ListParams::default()).await
        })
        .await;
    }

    /// Waits until the apiserver says that it is ready.
    pub async fn until_ready(&self) {
        let request = || http::Request::get("/readyz").body(Vec::new());
        eventually("the apiserver is ready", || async {
            let client = &self.cluster.client;
            client.request_text(request().expect("a request")).await
        })
        .await;
    }

    /// Stops the apiserver at once, as a crash does.
    pub fn stop_apiserver(&mut self) {
        self.apiserver.kill().expect("it ran");
        self.apiserver.wait().expect("it ends");
    }

    /// Starts the apiserver again.
    pub fn start_apiserver(&mut self) {
        let folder = self.folder.path();
        self.apiserver = start_apiserver(
            &self.binaries,
            folder,
            self.flags,
            self.etcd_port,
            self.api_port,
        );
    }

    fn stop_etcd(&mut self) {
        self.etcd.kill().expect("it ran");
        self.etcd.wait().expect("it ends");
    }

    fn start_etcd(&mut self, port: u16) {
        let data = self.folder.path().join("etcd");
        self.etcd = start_etcd(&self.binaries, &data, port, self.peer_port);
    }

    /// Copies etcd's data. It is stopped meanwhile.
    async fn copy(&mut self) {
        self.stop_etcd();
        let path = |name: &str| self.folder.path().join(name);
        copy_folder(&path("etcd"), &path("copy"));
        self.start_etcd(self.etcd_port);
        self.until_ready().await;
    }

    /// Puts etcd's data back to the copy, as the documentation of Kubernetes says: without an apiserver that runs.
    async fn put_back(&mut self, revision: Revision) {
        let highest = Gateway::at(self.etcd_port).revision().await;
        self.stop_apiserver();
        self.stop_etcd();
        let path = |name: &str| self.folder.path().join(name);
        fs::remove_dir_all(path("etcd")).expect("removed");
        fs::rename(path("copy"), path("etcd")).expect("renamed");
        if revision == Revision::BumpedAndCompacted {
            let port = free_port().await;
            self.start_etcd(port);
            Gateway::at(port).bump(highest + BUMP).await;
            self.stop_etcd();
        }
        self.start_etcd(self.etcd_port);
        self.start_apiserver();
        self.until_ready().await;
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in [&mut self.apiserver, &mut self.etcd] {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Returns the CRD of bindings of this version.
pub fn definition() -> Value {
    let path = Path::new(ROOT).join("crds/inferenceprofilebindings.yaml");
    yaml(&fs::read_to_string(path).expect("the CRD"))
}

/// Returns a port on which nobody listens. It is below the ephemeral ports, so that no outgoing connection takes it meanwhile.
async fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}

fn start_etcd(binaries: &Path, data: &Path, port: u16, peer_port: u16) -> Child {
    let peer = format!("http://127.0.0.1:{peer_port}");
    let client = format!("http://127.0.0.1:{port}");
    Command::new(binaries.join("etcd"))
        .arg("--name=own")
        .arg(format!("--data-dir={}", data.display()))
        .args(["--unsafe-no-fsync", "--log-level=error"])
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=own={peer}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd runs")
}

fn start_apiserver(
    binaries: &Path,
    folder: &Path,
    flags: &[&str],
    etcd_port: u16,
    api_port: u16,
) -> Child {
    let path = |name: &str| folder.join(name).display().to_string();
    Command::new(binaries.join("kube-apiserver"))
        .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--secure-port={api_port}"))
        .arg(format!("--cert-dir={}", path("certificates")))
        .args([
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
        ])
        .arg(format!("--token-auth-file={}", path("tokens.csv")))
        .args([
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://own",
        ])
        .arg(format!("--service-account-key-file={}", path("key")))
        .arg(format!(
            "--service-account-signing-key-file={}",
            path("key")
        ))
        .arg("--disable-admission-plugins=ServiceAccount")
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("kube-apiserver runs")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// etcd's API as JSON.
struct Gateway {
    client: Client,
}

impl Gateway {
    fn at(port: u16) -> Self {
        let url = format!("http://127.0.0.1:{port}").parse().expect("a URL");
        let client = Client::try_from(Config::new(url)).expect("client");
        Self { client }
    }

    async fn call(&self, method: &str, body: &Value) -> kube::Result<Value> {
        let request = http::Request::post(format!("/v3/kv/{method}"))
            .header("Content-Type", "application/json")
            .body(body.to_string().into_bytes());
        self.client.request(request.expect("a request")).await
    }

    async fn revision(&self) -> u64 {
        // "a", in base64.
        let body = json!({"key": "YQ=="});
        let answer = eventually("etcd answers", || self.call("range", &body)).await;
        let revision = answer["header"]["revision"].as_str().expect("a revision");
        revision.parse().expect("a number")
    }

    /// Raises the revision to this one, and compacts everything before it.
    async fn bump(&self, revision: u64) {
        let body = json!({"key": "YQ==", "value": "YQ=="});
        while self.revision().await < revision {
            for _ in 0..200 {
                self.call("put", &body).await.expect("written");
            }
        }
        let now = self.revision().await;
        let body = json!({"revision": now.to_string(), "physical": true});
        self.call("compaction", &body).await.expect("compacted");
    }
}
