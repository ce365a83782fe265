//! What probes and Prometheus get from a running operator.

use std::fs;

use inference_profile_operator::leader::{Candidacy, Election, Timing};
use inference_profile_operator::{api::condition::Reason, metrics::Metrics};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::{
    case::{Case, cases},
    common::bedrock_server::{BedrockServer, profile},
    operator::{Options, SONNET},
    running::{Log, Running, get_with},
    stage::{EU, ID, REGION, Stage, empty, sonnet},
    support::eventually,
};

pub fn cases() -> Vec<Case> {
    cases![empty(
        ready_when_the_first_listing_is_there,
        ready_when_the_catalog_is_known_to_fail,
        a_standby_is_ready,
        the_process_serves_probes_and_metrics,
        the_time_from_a_change_to_its_write_is_counted_by_what_changed,
        metrics_can_ask_for_a_token,
    )]
}

async fn until_ready(stage: &Stage) {
    let health = stage.health();
    eventually("ready", || async { health.ready() }).await;
    assert_eq!(health.alive(), Ok(()));
}

async fn ready_when_the_first_listing_is_there(stage: &mut Stage) {
    stage.bind("a", sonnet()).await;
    stage.script.falls_silent();
    stage.start(stage.options());
    stage.observed("a").await;
    let why = stage.health().ready().expect_err("nothing was listed yet");
    assert!(why.contains("first listing"), "{why}");
    assert_eq!(stage.health().alive(), Ok(()));
    stage.script.answers_again();
    until_ready(stage).await;
    // A source region that comes later takes nothing back.
    stage.script.falls_silent();
    stage
        .bind("b", serde_json::json!({"model": "amazon.nova-lite-v1:0", "geography": "us", "sourceRegion": "us-east-1"}))
        .await;
    stage.observed("b").await;
    assert_eq!(stage.health().ready(), Ok(()));
}

async fn ready_when_the_catalog_is_known_to_fail(stage: &mut Stage) {
    stage.bind("a", sonnet()).await;
    stage.script.denies(REGION);
    stage.start(stage.options());
    until_ready(stage).await;
    // Whose binding it is learns why it has no value.
    stage
        .until_events("a", &[("Warning", "AccessDenied", 1)])
        .await;
}

async fn a_standby_is_ready(stage: &mut Stage) {
    stage.bind("a", sonnet()).await;
    let stand = |identity: &str| {
        let candidacy = Candidacy {
            namespace: stage.namespace.clone(),
            name: "operator".to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
        };
        Election::start(stage.cluster.client.clone(), candidacy, Metrics::new())
    };
    let leader = stand("leader");
    leader.leadership().acquired().await;
    let election = stand("standby");
    let options = Options {
        leadership: election.leadership(),
        ..stage.options()
    };
    stage.start(options);
    until_ready(stage).await;
    assert_eq!(stage.script.asked(), 0, "a standby asks AWS nothing");
    assert!(
        stage
            .binding("a")
            .await
            .status
            .expect("the default")
            .conditions
            .is_empty()
    );
    leader.resign().await;
    stage.ready("a").await;
}

async fn the_process_serves_probes_and_metrics(stage: &Stage) {
    let (mut program, address) = run(stage, &["--catalog=embedded"], &[]).await;
    stage.bound("a", sonnet()).await;
    assert_eq!(stage.value("a", ID).await.as_deref(), Some(EU));
    stage
        .bind("abroad", json!({"model": SONNET, "geography": "ca"}))
        .await;
    stage
        .until("abroad", "Ready", "False", Reason::GeographyUnsupported)
        .await;
    for path in ["/healthz", "/readyz"] {
        let answer = get(&address, path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let page = get(&address, "/metrics").await;
    for line in [
        r#"inference_profile_operator_bindings{ready="True",reason="Bound"} 1"#,
        r#"inference_profile_operator_writes_total{kind="ConfigMap",operation="apply",result="success"} 1"#,
        "inference_profile_operator_bindings_failing_unnamed 0",
        r#"leader_election_master_status{name="inference-profile-operator"} 1"#,
        r#"workqueue_depth{name="inferenceprofilebinding",priority="high"} 0"#,
        r#"controller_runtime_max_concurrent_reconciles{controller="inferenceprofilebinding"} 64"#,
        r#"controller_runtime_reconcile_errors_total{controller="inferenceprofilebinding"} 0"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let failing = |binding: &str, condition: &str, reason: &str| {
        let namespace = &stage.namespace;
        format!(
            r#"inference_profile_operator_binding_failing{{binding_namespace="{namespace}",binding="{binding}",condition="{condition}",status="False",reason="{reason}"}} 1"#
        )
    };
    let named = page.lines();
    let named = named.filter(|line| line.starts_with("inference_profile_operator_binding_failing"));
    assert_eq!(
        named.collect::<Vec<_>>(),
        [
            failing("a", "ModelActive", "LegacyModel"),
            failing("abroad", "Ready", "GeographyUnsupported"),
            failing("abroad", "ModelActive", "LegacyModel"),
        ]
    );
    assert!(get(&address, "/else").await.starts_with("HTTP/1.1 404"));
    let leases: Api<Lease> = Api::namespaced(stage.cluster.client.clone(), &stage.namespace);
    let held = |lease: &Lease| lease.spec.as_ref()?.holder_identity.clone();
    let name = "inference-profile-operator";
    assert!(held(&leases.get(name).await.expect("a Lease")).is_some());
    terminate(&mut program).await;
    assert_eq!(held(&leases.get(name).await.expect("a Lease")), None);
}

async fn the_time_from_a_change_to_its_write_is_counted_by_what_changed(stage: &Stage) {
    let bedrock = Bedrock::start(&[REGION]).await;
    let environment = bedrock.environment();
    let arguments = ["--catalog=bedrock", "--refresh-interval=1s"];
    let (mut program, address) = run(stage, &arguments, &environment).await;
    let until_counted = async |change: &str| {
        let metric = "inference_profile_operator_change_to_write_seconds_count";
        let line = format!(r#"{metric}{{change="{change}"}} 1"#);
        eventually(&line, || async {
            let page = get(&address, "/metrics").await;
            let found: Vec<&str> = page.lines().filter(|line| line.contains(metric)).collect();
            if found.contains(&line.as_str()) {
                Ok(())
            } else {
                Err(found.join("\n"))
            }
        })
        .await;
    };
    stage.bound("a", sonnet()).await;
    until_counted("binding").await;
    stage.meddle("a", json!({"data": {ID: "drifted"}})).await;
    until_counted("target").await;
    bedrock.list(&[REGION, "eu-north-1"]);
    until_counted("catalog").await;
    stage.limit_namespace(Some("us-*")).await;
    until_counted("namespace").await;
    // Each change was counted once, with the first of its writes.
    until_counted("binding").await;
    terminate(&mut program).await;
}

async fn metrics_can_ask_for_a_token(stage: &Stage) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "first\n").expect("written");
    let option = format!("--metrics-token-file={}", file.display());
    let (mut program, address) = run(stage, &["--catalog=embedded", &option], &[]).await;
    let metrics = async |token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        get_with(&address, "/metrics", &header).await
    };
    let refused = get(&address, "/metrics").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    assert!(metrics("second").await.starts_with("HTTP/1.1 401"));
    assert!(metrics("first").await.starts_with("HTTP/1.1 200"));
    // A mounted Secret changes in place.
    fs::write(&file, "second").expect("written");
    assert!(metrics("first").await.starts_with("HTTP/1.1 401"));
    assert!(metrics("second").await.starts_with("HTTP/1.1 200"));
    fs::remove_file(&file).expect("removed");
    assert!(metrics("second").await.starts_with("HTTP/1.1 503"));
    let healthy = get(&address, "/healthz").await;
    assert!(
        healthy.starts_with("HTTP/1.1 200"),
        "probes need no token: {healthy}"
    );
    terminate(&mut program).await;
}

/// A stand-in for Bedrock that lists one profile.
pub struct Bedrock {
    pub server: BedrockServer,
    url: String,
}

impl Bedrock {
    /// Starts it, with a profile that has these destination regions.
    pub async fn start(destinations: &[&str]) -> Self {
        let server = BedrockServer::start().await;
        let url = server.url();
        let bedrock = Self { server, url };
        bedrock.list(destinations);
        bedrock
    }

    /// Has it list a profile of these destination regions, in the place of the one before.
    pub fn list(&self, destinations: &[&str]) {
        let profile = profile(REGION, "eu", SONNET, destinations);
        self.server.set_profiles(REGION, vec![profile]);
    }

    /// Returns the variables with which a program asks it.
    pub fn environment(&self) -> [(&str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL_BEDROCK", self.url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    /// Waits until it was listed this many times more.
    pub async fn listed(&self, times: usize) {
        let before = self.server.listings().len();
        eventually("it is listed", || async {
            let since = self.server.listings().len() - before;
            if since >= times { Ok(()) } else { Err(since) }
        })
        .await;
    }
}

/// As [`run_logged`], for those who do not look at the log.
pub async fn run(
    stage: &Stage,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Child, String) {
    let (program, address, _) = run_logged(stage, arguments, environment).await;
    (program, address)
}

/// Runs the program on the stage as a candidate for its Lease, with more arguments and variables, and returns where it
/// serves, and its log.
pub async fn run_logged(
    stage: &Stage,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (Child, String, Log) {
    let Running {
        program,
        address,
        log,
    } = Running::start(stage, arguments, environment).await;
    (program, address, log)
}

/// Ends a program as kubelet does.
pub async fn terminate(program: &mut Child) {
    let id = program.id().expect("it runs").to_string();
    let kill = Command::new("kill").args(["-TERM", &id]).status();
    assert!(kill.await.expect("kill").success());
    assert!(program.wait().await.expect("its end").success());
}

async fn get(address: &str, path: &str) -> String {
    get_with(address, path, "").await
}
