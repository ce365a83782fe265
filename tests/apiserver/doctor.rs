//! `doctor` in a cluster with a release of the chart, and AWS beside it: a whole situation, and broken ones.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use inference_profile_operator::api::condition::Reason;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    case::{Case, cases},
    chart_render::needing_helm,
    common::{
        bedrock_server::{BedrockServer, Fault, Scripted, model, profile},
        chart::rendered,
        credentials_servers::StsServer,
        program::{Output, PROGRAM},
        tools::tool,
        yaml::documents,
    },
    operator::SONNET,
    running::Running,
    stage::{Stage, empty, sonnet},
    support::eventually,
};

pub fn cases() -> Vec<Case> {
    needing_helm(cases![empty(
        a_whole_installation,
        broken_installations,
        a_cluster_that_does_not_answer,
        a_cluster_behind_a_proxy,
    )])
}

/// A release of the chart, with its operator as a process, and AWS.
struct Release<'a> {
    stage: &'a Stage,
    bedrock: BedrockServer,
    sts: StsServer,
}

impl<'a> Release<'a> {
    /// Installs what a release has, but for the pods; the operator that runs in their place holds its Lease.
    async fn install(stage: &'a Stage) -> (Self, Running) {
        let bedrock = BedrockServer::start().await;
        let region = "eu-west-1";
        let destinations = &["eu-west-1", "eu-central-1"];
        bedrock.set_profiles(region, vec![profile(region, "eu", SONNET, destinations)]);
        bedrock.set_models(
            region,
            vec![model(region, SONNET, &["INFERENCE_PROFILE"], &json!({}))],
        );
        bedrock.set_availability(
            SONNET,
            json!({
                "modelId": SONNET, "agreementAvailability": {"status": "AVAILABLE"}, "authorizationStatus": "AUTHORIZED",
                "entitlementAvailability": "AVAILABLE", "regionAvailability": "AVAILABLE",
            }),
        );
        let release = Self {
            stage,
            bedrock,
            sts: StsServer::start().await,
        };
        let namespace = stage.namespace.as_str();
        let values = format!(
            "region: eu-west-1\nfullnameOverride: {namespace}\nreplicas: 2\nguard: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}\n"
        );
        let helm = tool("helm").expect("looked for before");
        let text = rendered(&helm, namespace, namespace, &values).expect("rendered");
        let kinds = [
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Role",
            "RoleBinding",
            "Deployment",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ];
        let objects: Vec<Value> = documents(&text)
            .into_iter()
            .filter(|object| {
                object["kind"]
                    .as_str()
                    .is_some_and(|kind| kinds.contains(&kind))
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let apply = ["apply", "--server-side", "-f", "-"];
        stage.cluster.kubectl_reading(&list, &apply).await.ok();
        release.replicas_ready(2).await;
        let lease = format!("--lease-name={namespace}");
        let aws = release.aws();
        let aws: Vec<(&str, &str)> = aws
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let arguments = [&lease, "--refresh-interval=1s", "--catalog-grace=2s"];
        let running = Running::start(stage, &arguments, &aws).await;
        (release, running)
    }

    fn aws(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_BEDROCK", self.bedrock.url()),
            ("AWS_ENDPOINT_URL_STS", self.sts.url()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }

    /// Says that so many pods of the Deployment are ready: nothing runs pods here.
    async fn replicas_ready(&self, ready: u32) {
        let status = json!({"status": {
            "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready, "availableReplicas": ready,
        }});
        let namespace = &self.stage.namespace;
        let arguments = [
            "patch",
            "deployment",
            namespace,
            "-n",
            namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ];
        self.stage.cluster.kubectl(&arguments).await.ok();
    }

    /// Runs `doctor` with more arguments.
    async fn doctor(&self, more: &[&str]) -> Output {
        let namespace = self.stage.namespace.as_str();
        let mut command = Command::new(PROGRAM);
        command
            .args([
                "doctor",
                "--region=eu-west-1",
                "-n",
                namespace,
                "--operator-namespace",
                namespace,
            ])
            .args(more)
            .env("KUBECONFIG", self.stage.cluster.kubeconfig())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(self.aws());
        Output::awaited(command, "").await
    }

    /// Waits until `doctor` exits with this, and has these lines: check, verdict, and a part of what it says. Shows what a person sees.
    async fn until(&self, title: &str, more: &[&str], code: i32, lines: &[(&str, &str, &str)]) {
        let json = [more, &["-o", "json"]].concat();
        eventually(title, || async {
            let output = self.doctor(&json).await;
            let report: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
            let holds = |(check, verdict, says): &(&str, &str, &str)| {
                let mut all = report["lines"].as_array().into_iter().flatten();
                all.any(|line| {
                    let text = line["says"].as_str().unwrap_or_default();
                    line["check"] == *check && line["verdict"] == *verdict && text.contains(says)
                })
            };
            if output.code == Some(code) && lines.iter().all(holds) {
                Ok(())
            } else {
                Err(output)
            }
        })
        .await;
        let shown = self.doctor(more).await;
        println!("--- {title}\n{}", shown.stdout);
    }

    async fn kubectl(&self, arguments: &[&str]) {
        self.stage.cluster.kubectl(arguments).await.ok();
    }
}

async fn a_whole_installation(stage: &Stage) {
    let (release, _running) = Release::install(stage).await;
    stage.bound("chat", sonnet()).await;
    let namespace = &stage.namespace;
    let account =
        format!("system:serviceaccount:{namespace}:{namespace} may do all that its options need");
    let all: Vec<(&str, &str, &str)> = vec![
        ("region", "ok", "eu-west-1"),
        ("credentials", "ok", "AKIDEXAMPLE"),
        ("account", "ok", "account 111122223333"),
        ("proxy", "ok", "none"),
        ("endpoint", "ok", "answers"),
        ("clock", "ok", ""),
        ("list-profiles", "ok", "1 system-defined profile"),
        ("list-applications", "ok", "0 application profiles"),
        ("list-models", "ok", "1 foundation model"),
        ("model-availability", "ok", "is told"),
        ("apiserver", "ok", "Kubernetes v1."),
        (
            "crd",
            "ok",
            "InferenceProfileBinding, InferenceProfileClass: of this version's schema",
        ),
        ("your-rights", "ok", "all that the commands need"),
        ("operator", "ok", "2 of 2 replicas ready, version 0.1.0"),
        ("operator-rights", "ok", &account),
        ("leader", "ok", "renewed"),
        ("guard", "ok", "in force"),
        ("feeds", "ok", "the catalogs of 1 binding are current"),
        ("bindings", "ok", "1 binding is Ready"),
    ];
    release.until("a whole installation", &[], 0, &all).await;
}

/// One after the other, each mended before the next.
async fn broken_installations(stage: &Stage) {
    let (release, mut running) = Release::install(stage).await;
    let namespace = stage.namespace.as_str();
    stage.bound("chat", sonnet()).await;

    // AWS denies, and bindings tell.
    let user = "arn:aws:sts::111122223333:assumed-role/discovery/session";
    let denied = Fault::access_denied(user);
    release.bedrock.stand(Some(Scripted::Fault(denied)));
    stage
        .until("chat", "CatalogFresh", "False", Reason::AccessDenied)
        .await;
    let denial = "the role discovery of account 111122223333 may not list the inference profiles of eu-west-1";
    release
        .until(
            "AWS denies the listing",
            &[],
            1,
            &[
                ("list-profiles", "fails", denial),
                (
                    "feeds",
                    "fails",
                    "1 of 1 binding has a catalog that is not current: AccessDenied: ",
                ),
                ("bindings", "ok", "1 binding is Ready"),
            ],
        )
        .await;
    release.bedrock.stand(None);

    // A model that is not there.
    stage
        .bind(
            "lost",
            json!({"model": "amazon.nova-pro-v1:0", "geography": "jp"}),
        )
        .await;
    let says = "1 of 2 bindings is not Ready: ";
    release
        .until(
            "a binding is not Ready",
            &["--cluster-only"],
            1,
            &[("bindings", "fails", says)],
        )
        .await;
    stage.delete("lost").await;

    // RBAC, the guard and a pod.
    release
        .kubectl(&["delete", "clusterrolebinding", namespace])
        .await;
    let guard = format!("{namespace}-guard-targets");
    release
        .kubectl(&["delete", "validatingadmissionpolicybinding", &guard])
        .await;
    release.replicas_ready(1).await;
    let unbound = format!("no ValidatingAdmissionPolicyBinding denies by {guard}");
    release
        .until(
            "rights, guard and a replica are gone",
            &["--cluster-only"],
            1,
            &[
                ("operator", "fails", "1 of 2 replicas ready"),
                (
                    "operator-rights",
                    "fails",
                    "may not get/list/watch/create/patch/delete configmaps",
                ),
                ("guard", "fails", &unbound),
            ],
        )
        .await;

    release
        .until(
            "a namespace is mistyped",
            &["--cluster-only", "-n", "nowhere"],
            1,
            &[("bindings", "fails", "there is no namespace nowhere")],
        )
        .await;

    nobody_leads(&release, &mut running).await;
    somebody_has_no_rights(&release).await;
}

/// The Lease is as a leader left it.
async fn nobody_leads(release: &Release<'_>, running: &mut Running) {
    let namespace = release.stage.namespace.as_str();
    running.program.kill().await.expect("killed");
    let renewed = json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}).to_string();
    release
        .kubectl(&[
            "patch",
            "lease",
            namespace,
            "-n",
            namespace,
            "--type=merge",
            "-p",
            &renewed,
        ])
        .await;
    release
        .until(
            "nobody leads",
            &["--cluster-only", "--skip=operator,operator-rights,guard"],
            1,
            &[("leader", "fails", "s ago")],
        )
        .await;
}

/// Who may not ask for the rights of others either.
async fn somebody_has_no_rights(release: &Release<'_>) {
    let jane = ["--cluster-only", "--as=jane", "--as-group=shop"];
    release
        .until(
            "jane has no rights",
            &jane,
            1,
            &[
                ("crd", "ok", "of this version's schema"),
                (
                    "your-rights",
                    "fails",
                    "get/list/patch inferenceprofilebindings.inferenceprofiles.dev",
                ),
                ("operator", "unknown", "may not be read: "),
                ("guard", "unknown", "may not be read: "),
                ("bindings", "unknown", "may not be read: "),
            ],
        )
        .await;
}

fn kubeconfig(stage: &Stage) -> Value {
    let text = std::fs::read_to_string(stage.cluster.kubeconfig()).expect("read");
    crate::support::yaml(&text)
}

async fn a_cluster_that_does_not_answer(stage: &Stage) {
    let mut kubeconfig = kubeconfig(stage);
    kubeconfig["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).expect("written");
    let path = path.to_str().expect("a path");
    let mut kubeconfig = self::kubeconfig(stage);
    kubeconfig["users"][0]["user"] = json!({"token": "expired"});
    let expired = folder.path().join("expired");
    std::fs::write(&expired, kubeconfig.to_string()).expect("written");
    let expired = expired.to_str().expect("a path");
    for (arguments, says) in [
        (
            vec!["--kubeconfig", expired],
            "answers, and does not accept your credentials",
        ),
        (
            vec!["--kubeconfig", path],
            "https://127.0.0.1:1/ does not answer: ",
        ),
        (vec!["--kubeconfig", "/nonexistent"], "/nonexistent"),
        (
            vec!["--kubeconfig", path, "--context", "other"],
            "the kubeconfig has no context other: it has ",
        ),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(["doctor", "--cluster-only"]).args(&arguments);
        let output = Output::awaited(command, "").await;
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(
            output.stdout.contains("fails") && output.stdout.contains(says),
            "{output:#?}"
        );
        assert!(
            output.stdout.contains("0 ok, 1 fail, 0 unknown"),
            "{output:#?}"
        );
    }
}

/// The proxy of the kubeconfig is used, that of the environment is not: the apiserver is on this machine.
async fn a_cluster_behind_a_proxy(stage: &Stage) {
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = proxy.local_addr().expect("an address");
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counted = tunnels.clone();
    let proxying = tokio::spawn(async move {
        while let Ok((connection, _)) = proxy.accept().await {
            tokio::spawn(tunnel(connection, counted.clone()));
        }
    });
    let mut kubeconfig = kubeconfig(stage);
    kubeconfig["clusters"][0]["cluster"]["proxy-url"] = json!(format!("http://{address}"));
    let folder = tempfile::tempdir().expect("a folder");
    let proxied = folder.path().join("kubeconfig");
    std::fs::write(&proxied, kubeconfig.to_string()).expect("written");
    let direct = stage.cluster.kubeconfig().to_owned();
    for (kubeconfig, is_proxied) in [(proxied, true), (direct, false)] {
        let before = tunnels.load(Ordering::SeqCst);
        let mut command = Command::new(PROGRAM);
        command
            .args(["doctor", "--cluster-only", "-n", &stage.namespace])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy");
        let output = Output::awaited(command, "").await;
        assert!(
            output.stdout.contains("answers, Kubernetes v1."),
            "{output:#?}"
        );
        let is_more = tunnels.load(Ordering::SeqCst) > before;
        assert_eq!(is_more, is_proxied, "{output:#?}");
    }
    proxying.abort();
}

/// Serves CONNECT, once.
async fn tunnel(mut connection: TcpStream, tunnels: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let mut there = TcpStream::connect(target).await?;
    tunnels.fetch_add(1, Ordering::SeqCst);
    connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut connection, &mut there).await?;
    Ok(())
}
