//! `doctor` on the side of AWS: a whole situation, and broken ones.

use serde_json::Value;

use crate::common::{
    bedrock_server::{BedrockServer, Fault, Scripted},
    credentials_servers::StsServer,
};

use super::{models, nobody, operator, server};

const DOCTOR: [&str; 4] = ["doctor", "--aws-only", "--region", "eu-west-1"];
const USER: &str = "arn:aws:sts::111122223333:assumed-role/discovery/session";

/// AWS as a person finds it.
struct Aws {
    bedrock: BedrockServer,
    sts: StsServer,
}

impl Aws {
    async fn new() -> Self {
        let bedrock = server().await;
        bedrock.set_models("eu-west-1", models::wire());
        for model in models::wire() {
            let model = model["modelId"].as_str().expect("an ID");
            bedrock.set_availability(model, models::available());
        }
        Self {
            bedrock,
            sts: StsServer::start().await,
        }
    }

    /// Runs `doctor`, and returns its exit code, its lines by their check, and what a person sees.
    async fn doctor(&self, more: &[(&str, String)]) -> (Option<i32>, Value, String) {
        let mut environment = vec![
            ("AWS_ENDPOINT_URL_BEDROCK", self.bedrock.url()),
            ("AWS_ENDPOINT_URL_STS", self.sts.url()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ];
        environment.extend(more.iter().cloned());
        let json = [&DOCTOR[..], &["-o", "json"]].concat();
        let output = operator(&json, &environment).await;
        let report: Value = serde_json::from_str(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:#?}"));
        let table = operator(&DOCTOR, &environment).await;
        assert_eq!(table.code, output.code);
        (output.code, report["lines"].clone(), table.stdout)
    }
}

#[track_caller]
fn assert_line(lines: &Value, check: &str, verdict: &str, says: &str) {
    let mut all = lines.as_array().expect("lines").iter();
    let line = all
        .find(|line| line["check"] == check)
        .unwrap_or_else(|| panic!("no {check} in {lines:#}"));
    assert_eq!(line["verdict"], verdict, "{line:#}");
    let text = line["says"].as_str().expect("a text");
    assert!(text.contains(says), "{says:?} is not in {line:#}");
}

#[tokio::test]
async fn all_is_well() {
    let aws = Aws::new().await;
    let (code, lines, table) = aws.doctor(&[]).await;
    println!("{table}");
    assert_eq!(code, Some(0), "{table}");
    let models = format!("{} foundation models", models::wire().len());
    for (check, says) in [
        ("region", "eu-west-1, from --region"),
        (
            "credentials",
            "access key AKIDEXAMPLE, from the environment",
        ),
        (
            "account",
            "account 111122223333, as arn:aws:sts::111122223333:assumed-role/discovery/session",
        ),
        ("proxy", "none"),
        ("endpoint", "127.0.0.1:"),
        ("clock", "agrees with AWS's"),
        ("list-profiles", "5 system-defined profiles"),
        ("list-applications", "1 application profile"),
        ("list-models", &models),
        ("model-availability", "is told"),
    ] {
        assert_line(&lines, check, "ok", says);
    }
    assert!(!table.contains("secret"), "{table}");
    // It only reads.
    assert!(
        aws.bedrock
            .log()
            .iter()
            .all(|request| request.method == "GET")
    );
}

#[tokio::test]
async fn a_permission_is_missing() {
    let aws = Aws::new().await;
    let denied = Fault::denied(USER, "bedrock:ListFoundationModels", "*");
    for _ in 0..2 {
        aws.bedrock.script([Scripted::Pass, Scripted::Pass]);
        aws.bedrock.fail([denied.clone()]);
    }
    let (code, lines, table) = aws.doctor(&[]).await;
    println!("{table}");
    assert_eq!(code, Some(1), "{table}");
    assert_line(&lines, "list-profiles", "ok", "5 system-defined");
    let says = "the role discovery of account 111122223333 may not list the foundation models of eu-west-1";
    assert_line(&lines, "list-models", "fails", says);
    assert_line(
        &lines,
        "model-availability",
        "unknown",
        "no model was listed",
    );
    assert!(
        table.contains("-> `inference-profile-operator iam-policy --operator"),
        "{table}"
    );
}

#[tokio::test]
async fn an_optional_permission_is_missing() {
    let aws = Aws::new().await;
    let resource = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/*";
    aws.bedrock.fail_applications(Some(Fault::denied(
        USER,
        "bedrock:ListInferenceProfiles",
        resource,
    )));
    let (code, lines, table) = aws.doctor(&[]).await;
    assert_eq!(code, Some(0), "{table}");
    assert_line(
        &lines,
        "list-applications",
        "unknown",
        "may not list the application",
    );
}

#[tokio::test]
async fn there_are_no_credentials() {
    let aws = Aws::new().await;
    let none = [
        ("AWS_ACCESS_KEY_ID", String::new()),
        ("HTTP_PROXY", "http://user:hidden@proxy:3128".to_owned()),
    ];
    let (code, lines, table) = aws.doctor(&none).await;
    println!("{table}");
    assert_eq!(code, Some(1), "{table}");
    assert_line(
        &lines,
        "credentials",
        "fails",
        "no AWS credentials were found",
    );
    assert_line(
        &lines,
        "proxy",
        "fails",
        "HTTP_PROXY=http://...@proxy:3128: the way to credentials",
    );
    assert_line(&lines, "endpoint", "unknown", "it takes credentials");
    assert!(!table.contains("hidden"), "{table}");
    assert!(aws.bedrock.log().is_empty());
}

#[tokio::test]
async fn the_clock_is_wrong() {
    let aws = Aws::new().await;
    let skewed = Fault::skewed("InvalidSignatureException", 1200);
    aws.bedrock.stand(Some(Scripted::Fault(skewed)));
    let (code, lines, table) = aws.doctor(&[]).await;
    println!("{table}");
    assert_eq!(code, Some(1), "{table}");
    assert_line(&lines, "clock", "fails", "minutes behind AWS's");
    assert_line(
        &lines,
        "list-profiles",
        "fails",
        "clock is about 20 minutes behind",
    );
}

#[tokio::test]
async fn the_endpoint_is_not_reached() {
    let aws = Aws::new().await;
    let elsewhere = [("AWS_ENDPOINT_URL_BEDROCK", nobody())];
    let (code, lines, table) = aws.doctor(&elsewhere).await;
    println!("{table}");
    assert_eq!(code, Some(1), "{table}");
    assert_line(
        &lines,
        "endpoint",
        "fails",
        "failed or broke: check egress rules",
    );
    assert_line(
        &lines,
        "list-profiles",
        "unknown",
        "the endpoint is not reached",
    );
    assert_line(&lines, "account", "ok", "account 111122223333");
}

#[tokio::test]
async fn there_is_no_region_and_no_cluster() {
    let output = operator(&["doctor"], &[]).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output.stdout.contains("no source region was found"),
        "{output:#?}"
    );
    assert!(
        output
            .stdout
            .contains("no kubeconfig and no service account"),
        "{output:#?}"
    );
    let output = operator(&["doctor", "--cluster-only"], &[]).await;
    assert_eq!(output.code, Some(1), "{output:#?}");
    let skipped = operator(&["doctor", "--skip", "region,apiserver"], &[]).await;
    assert_eq!(skipped.code, Some(0), "{skipped:#?}");
}
