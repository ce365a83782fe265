//! Application profiles beside the system-defined ones: their own pages, their own failures.

use inference_profile_operator::{
    api::condition::Reason,
    catalog::{ApplicationProfile, Catalog, CatalogError, Source},
    sources::bedrock::Bedrock,
};
use serde_json::{Value, json};

use crate::common::{
    bedrock_server::{BedrockServer, Fault, application_profile_of, profile},
    program::Output,
};

use super::{EU, connect, key, operator, options};

const MODEL: &str = "anthropic.claude-sonnet-4-6";
const REGION: &str = "eu-west-1";

/// Returns a server that lists five system-defined profiles and these application profiles.
async fn with(applications: Vec<Value>) -> BedrockServer {
    let server = BedrockServer::start().await;
    let profiles = [super::five_profiles(), applications].concat();
    server.set_profiles(REGION, profiles);
    server
}

/// Returns application profiles named `app-0` and so on.
fn some(count: usize) -> Vec<Value> {
    let eu = profile(REGION, "eu", MODEL, EU);
    let copies = 0..count;
    copies
        .map(|n| application_profile_of(&format!("app-{n}"), &format!("id{n}"), &eu))
        .collect()
}

type Listed = Result<Vec<std::sync::Arc<ApplicationProfile>>, CatalogError>;

async fn listed(bedrock: &Bedrock) -> (Catalog, Listed) {
    let key = key(REGION);
    let catalog = bedrock.list(&key).await.expect("the rest");
    let listed = bedrock.applications(&key, &catalog).expect("a live source");
    let listed = listed.await;
    (catalog, listed)
}

#[tokio::test]
async fn every_page_is_listed_and_only_when_asked() {
    let server = with(some(5)).await;
    server.set_page_size(2);
    let bedrock = connect(options(&server.url())).await;
    let catalog = bedrock.list(&key(REGION)).await.expect("catalog");
    assert_eq!(catalog.applications().profiles(), None);
    assert_eq!(server.listings_of("APPLICATION"), 0);

    let (_, found) = listed(&bedrock).await;
    let names: Vec<String> = found
        .expect("profiles")
        .iter()
        .map(|profile| format!("{} {}", profile.name, profile.arn))
        .collect();
    // One of the five profiles of the stand-in is an application profile too.
    assert_eq!(names.len(), 6);
    assert_eq!(
        names[1],
        "app-0 arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/id0"
    );
    assert_eq!(server.listings_of("APPLICATION"), 3);
    let last = server.listings().pop().expect("a request");
    assert_eq!(last.query["maxResults"], "1000");
    assert_eq!(last.signing_region.as_deref(), Some(REGION));
}

#[tokio::test]
async fn failures_say_what_could_not_be_listed() {
    let server = with(some(1)).await;
    let bedrock = connect(options(&server.url())).await;
    let denied = Fault::denied(
        "arn:aws:sts::111122223333:assumed-role/discovery/s",
        "bedrock:ListInferenceProfiles",
        "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/*",
    );
    for (fault, reason, says) in [
        (
            denied,
            Reason::AccessDenied,
            "application-inference-profile/*",
        ),
        (Fault::throttled(), Reason::Throttled, ""),
        (Fault::internal(), Reason::ServiceError, ""),
    ] {
        server.fail_applications(Some(fault));
        let (catalog, failed) = listed(&bedrock).await;
        assert_eq!(catalog.profiles().len(), 5, "the rest is listed");
        let error = failed.expect_err("a failure");
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    server.fail_applications(None);
    let elsewhere = json!("arn:aws:bedrock:eu-west-1:444455556666:application-inference-profile/x");
    let mut odd = some(1);
    odd[0]["inferenceProfileArn"] = elsewhere;
    server.set_profiles(REGION, [super::five_profiles(), odd].concat());
    let error = listed(&bedrock).await.1.expect_err("of another account");
    assert!(error.to_string().contains("444455556666"), "{error}");
}

#[tokio::test]
async fn pages_without_end_are_a_failure() {
    let server = with(some(300)).await;
    server.set_page_size(2);
    let bedrock = connect(options(&server.url())).await;
    let error = listed(&bedrock)
        .await
        .1
        .expect_err("more pages than any account has");
    assert!(error.to_string().contains("pages without end"), "{error}");
    assert_eq!(server.listings_of("APPLICATION"), 100);
}

fn environment(server: &BedrockServer) -> [(&'static str, String); 3] {
    [
        ("AWS_ENDPOINT_URL_BEDROCK", server.url()),
        ("AWS_ACCESS_KEY_ID", "AKIDCHILD".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

/// Asserts the exit code and returns what was printed.
#[track_caller]
fn ended(output: Output, code: i32) -> String {
    assert_eq!(output.code, Some(code), "{output:#?}");
    output.stdout
}

const APPLICATION: &str =
    "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/id0";

#[tokio::test]
async fn commands_ask_for_them_only_where_one_is_named() {
    let server = with(some(1)).await;
    let environment = environment(&server);
    let request = [
        "--geography",
        "eu",
        "--region",
        REGION,
        "--catalog",
        "bedrock",
    ];
    let explain = |more: &[&'static str]| [&["explain", MODEL][..], &request, more].concat();
    let found = operator(
        &explain(&["--application", "app-0", "-o", "json"]),
        &environment,
    )
    .await;
    let printed: Value = serde_json::from_str(&found.ok()).expect("JSON");
    assert_eq!(
        printed["application"],
        json!({"name": "app-0", "arn": APPLICATION, "reason": null, "message": null})
    );
    let policy = printed["policy"].to_string();
    assert!(policy.contains(APPLICATION), "{policy}");
    assert!(!policy.contains(":inference-profile/"), "{policy}");
    assert_eq!(server.listings_of("APPLICATION"), 1);

    operator(&explain(&[]), &environment).await.ok();
    assert_eq!(server.listings_of("APPLICATION"), 1, "nobody asked");

    let absent = operator(&explain(&["--application", "shop-chat"]), &environment).await;
    let printed = ended(absent, 3);
    for part in [
        "Application:    ApplicationProfileNotFound",
        "aws bedrock create-inference-profile --inference-profile-name shop-chat --model-source copyFrom=arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-sonnet-4-6 --region eu-west-1",
    ] {
        assert!(printed.contains(part), "{part} in {printed}");
    }

    let policy = [
        &["iam-policy", "--model", MODEL, "--application", "app-0"][..],
        &request,
    ]
    .concat();
    let printed = operator(&policy, &environment).await.ok();
    assert!(printed.contains("ApplicationProfiles") && printed.contains(APPLICATION));
}

#[tokio::test]
async fn an_export_has_them_on_request_alone() {
    let server = with(some(1)).await;
    let environment = environment(&server);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let export = |to: &str, more: &[&str]| {
        let to = path(to);
        let all = [
            "catalog",
            "export",
            "--catalog",
            "bedrock",
            "--region",
            REGION,
            &to,
        ];
        let all: Vec<String> = all.iter().chain(more).map(ToString::to_string).collect();
        let environment = environment.clone();
        async move {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            operator(&all, &environment).await
        }
    };
    export("plain", &[]).await.ok();
    export("all", &["--application-profiles"]).await.ok();
    let explain = |from: &str| {
        let directory = format!("directory:{}", path(from));
        async move {
            let all = [
                "explain",
                MODEL,
                "--geography",
                "eu",
                "--region",
                REGION,
                "--application",
                "app-0",
                "--catalog",
                &directory,
            ];
            operator(&all, &[]).await
        }
    };
    let found = explain("all").await.ok();
    assert!(
        found.contains(&format!("Application:    {APPLICATION}")),
        "{found}"
    );
    let unknown = ended(explain("plain").await, 3);
    assert!(
        unknown.contains("it is not known whether there is one named app-0"),
        "{unknown}"
    );
    let embedded = [
        "catalog",
        "export",
        "--application-profiles",
        "--region",
        REGION,
        &path("none"),
    ];
    ended(operator(&embedded, &[]).await, 2);
    assert_eq!(
        server.listings_of("APPLICATION"),
        1,
        "for the second export alone"
    );
}
