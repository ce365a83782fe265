//! etcd, kube-apiserver and kube-controller-manager as processes of the suite, each of which can end and come back.
//! `dev/controlplane/with` starts the same ones for whole runs.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use http::Request;
use kube::{Client, Config, config::AuthInfo};

use crate::{Outcome, etcd::Recorder, process::Process};

/// Users of the replicas, each with a token of the same name.
pub const REPLICAS: [&str; 2] = ["operator-a", "operator-b"];
const START_LIMIT: Duration = Duration::from_secs(90);

/// What the replicas write is logged with the answer, whose resource version says what came of it.
const AUDIT_POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  users: [operator-a, operator-b]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

/// The folder with the binaries. None: there is no control plane to run.
pub fn binaries() -> Option<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".controlplane"),
        PathBuf::from,
    );
    let all = ["etcd", "kube-apiserver", "kube-controller-manager"];
    all.iter()
        .all(|name| folder.join(name).exists())
        .then_some(folder)
}

/// A control plane of its own, in a folder of its own.
pub struct ControlPlane {
    binaries: PathBuf,
    pub folder: PathBuf,
    pub api_port: u16,
    pub etcd_port: u16,
    peer_port: u16,
    etcd: Option<Process>,
    apiserver: Option<Process>,
    controllers: Option<Process>,
    /// A client with all rights, by no detour.
    pub client: Client,
}

impl ControlPlane {
    /// Starts a control plane and waits until it answers.
    pub async fn start(binaries: PathBuf, folder: PathBuf) -> Result<Self, String> {
        let ports = free_ports();
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
        };
        let tokens: Vec<String> = REPLICAS
            .iter()
            .map(|name| format!("{name},{name},{name}"))
            .collect();
        write(
            "tokens.csv",
            format!("admin,admin,admin,system:masters\n{}\n", tokens.join("\n")),
        )?;
        write("audit.yaml", AUDIT_POLICY.to_owned())?;
        signing_key(&folder.join("service-accounts.key")).await?;
        let mut plane = Self {
            client: client(ports[0], "admin")?,
            binaries,
            folder,
            api_port: ports[0],
            etcd_port: ports[1],
            peer_port: ports[2],
            etcd: None,
            apiserver: None,
            controllers: None,
        };
        plane.kubeconfig("controllers", plane.api_port, "admin")?;
        plane.start_etcd()?;
        plane.start_apiserver()?;
        plane.answers().await?;
        Ok(plane)
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn server(&self, name: &str, arguments: &[String]) -> Result<Process, String> {
        let log = self.folder.join(format!("{name}.log"));
        Process::start(name, &self.binaries.join(name), arguments, &[], &log)
    }

    /// Writes a kubeconfig for a user who reaches the apiserver at this port.
    pub fn kubeconfig(&self, name: &str, port: u16, token: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(format!("{name}.kubeconfig"));
        let certificate = self.path("certificates/apiserver.crt");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: \"{certificate}\"}}\nusers:\n- name: u\n  user: {{token: {token}}}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\n"
        );
        fs::write(&path, text).map_err(|error| error.to_string())?;
        Ok(path)
    }

    fn start_etcd(&mut self) -> Outcome {
        let (client, peer) = (self.etcd_port, self.peer_port);
        let arguments = vec![
            "--name=chaos".to_owned(),
            format!("--data-dir={}", self.path("etcd")),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            format!("--initial-cluster=chaos=http://127.0.0.1:{peer}"),
        ];
        self.etcd = Some(self.server("etcd", &arguments)?);
        Ok(())
    }

    /// Starts the apiserver, without waiting until it answers.
    pub fn start_apiserver(&mut self) -> Outcome {
        let key = self.path("service-accounts.key");
        let arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.api_port),
            format!("--cert-dir={}", self.path("certificates")),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            format!(
                "--service-account-issuer=https://127.0.0.1:{}",
                self.api_port
            ),
            format!("--service-account-key-file={key}"),
            format!("--service-account-signing-key-file={key}"),
            "--storage-media-type=application/json".to_owned(),
            format!("--audit-log-path={}", self.path("audit.log")),
            format!("--audit-policy-file={}", self.path("audit.yaml")),
        ];
        self.apiserver = Some(self.server("kube-apiserver", &arguments)?);
        Ok(())
    }

    /// Starts garbage collection and the end of namespaces.
    pub fn start_controllers(&mut self) -> Outcome {
        let arguments = vec![
            format!("--kubeconfig={}", self.path("controllers.kubeconfig")),
            "--secure-port=0".to_owned(),
            "--leader-elect=false".to_owned(),
            "--controllers=garbage-collector-controller,namespace-controller".to_owned(),
            "--kube-api-qps=2000".to_owned(),
            "--kube-api-burst=4000".to_owned(),
        ];
        self.controllers = Some(self.server("kube-controller-manager", &arguments)?);
        Ok(())
    }

    /// Waits until the apiserver is ready.
    pub async fn answers(&mut self) -> Outcome {
        let started = Instant::now();
        loop {
            let request = Request::get("/readyz")
                .body(Vec::new())
                .map_err(|error| error.to_string())?;
            let answer =
                tokio::time::timeout(Duration::from_secs(5), self.client.request_text(request));
            if answer.await.is_ok_and(|answer| answer.is_ok()) {
                return Ok(());
            }
            if started.elapsed() > START_LIMIT
                || !self.apiserver.as_mut().is_some_and(Process::runs)
            {
                return Err(format!(
                    "the apiserver does not answer, see {}",
                    self.path("kube-apiserver.log")
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Kills the apiserver.
    pub async fn kill_apiserver(&mut self) {
        if let Some(mut apiserver) = self.apiserver.take() {
            apiserver.kill().await;
        }
    }

    /// Stops etcd's process in its place.
    pub async fn pause_etcd(&self) -> Outcome {
        self.etcd.as_ref().ok_or("no etcd")?.signal("STOP").await
    }

    /// Lets etcd go on.
    pub async fn resume_etcd(&self) -> Outcome {
        self.etcd.as_ref().ok_or("no etcd")?.signal("CONT").await
    }

    /// Keeps a copy of etcd's data.
    pub async fn keep_copy(&self) -> Outcome {
        self.pause_etcd().await?;
        let copied = copy(&self.folder.join("etcd"), &self.folder.join("etcd.copy"));
        self.resume_etcd().await?;
        copied.map_err(|error| format!("etcd's data can't be copied: {error}"))
    }

    /// Gives etcd the data that were kept, while everything that has cached them is down.
    pub async fn restore_copy(&mut self, recorder: &Recorder) -> Outcome {
        self.kill_apiserver().await;
        for mut process in [self.controllers.take(), self.etcd.take()]
            .into_iter()
            .flatten()
        {
            process.kill().await;
        }
        recorder.reborn();
        let (data, kept) = (self.folder.join("etcd"), self.folder.join("etcd.copy"));
        fs::remove_dir_all(&data)
            .and_then(|()| fs::rename(&kept, &data))
            .map_err(|error| format!("etcd's data can't be replaced: {error}"))?;
        self.start_etcd()?;
        self.start_apiserver()?;
        self.answers().await?;
        self.start_controllers()
    }
}

/// Makes a key for service accounts.
async fn signing_key(path: &Path) -> Outcome {
    let made = tokio::process::Command::new("openssl")
        .args([
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
        ])
        .arg(path)
        .output()
        .await
        .map_err(|error| format!("openssl makes the key of service accounts: {error}"))?;
    if made.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&made.stderr).into_owned())
    }
}

/// Returns a client of the apiserver at this port. The certificate is not looked at: it is on this machine.
fn client(port: u16, token: &str) -> Result<Client, String> {
    let url = format!("https://127.0.0.1:{port}")
        .parse()
        .map_err(|error| format!("{error}"))?;
    let mut config = Config::new(url);
    config.accept_invalid_certs = true;
    config.default_retry = false;
    config.auth_info = AuthInfo {
        token: Some(token.to_owned().into()),
        ..AuthInfo::default()
    };
    Client::try_from(config).map_err(|error| error.to_string())
}

/// Returns ports that nobody listens at, below those that outgoing connections take.
fn free_ports() -> Vec<u16> {
    let mut ports = Vec::new();
    while ports.len() < 3 {
        let port = fastrand::u16(10_000..32_000);
        if !ports.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    ports
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
