//! Where credentials come from: each way of the SDK's chain, against a stand-in of what it asks.

use std::path::Path;

use crate::common::bedrock_server::BedrockServer;

use super::{
    aws_client,
    credentials_servers::{InstanceMetadata, PodIdentityAgent, StsFault, StsServer},
    nobody, operator, server, token, written,
};

const LIST: [&str; 4] = ["catalog", "list", "--catalog", "bedrock"];

/// What the environment of a way is.
type Environment = Vec<(&'static str, String)>;

fn path(path: &Path) -> String {
    path.to_str().expect("a path").to_owned()
}

/// Lists one region, and returns who signed.
async fn signer(bedrock: &BedrockServer, mut environment: Environment) -> String {
    environment.push(("AWS_ENDPOINT_URL_BEDROCK", bedrock.url()));
    environment.push(("AWS_REGION", "eu-west-1".to_owned()));
    operator(&LIST, &environment).await.ok();
    let last = bedrock.log().pop().expect("a request");
    last.access_key_id.expect("a signature")
}

/// Lists where there are no credentials, and returns what is said.
async fn refusal(bedrock: &BedrockServer, mut environment: Environment) -> String {
    environment.push(("AWS_ENDPOINT_URL_BEDROCK", bedrock.url()));
    environment.push(("AWS_REGION", "eu-west-1".to_owned()));
    let output = operator(&LIST, &environment).await;
    assert_eq!(output.code, Some(1));
    assert!(bedrock.log().is_empty());
    output.stderr
}

#[tokio::test]
async fn environment_and_shared_files() {
    let bedrock = server().await;
    let folder = tempfile::tempdir().expect("folder");
    let profile = |name: &str| {
        format!(
            "[{name}]\naws_access_key_id = AKID{}\naws_secret_access_key = secret\n",
            name.to_uppercase()
        )
    };
    let both = profile("default") + &profile("other");
    let shared = (
        "AWS_SHARED_CREDENTIALS_FILE",
        written(&folder, "credentials", &both),
    );
    for (environment, expected) in [
        (
            vec![
                ("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
                shared.clone(),
            ],
            "AKIDENVIRONMENT",
        ),
        (vec![shared.clone()], "AKIDDEFAULT"),
        (
            vec![shared, ("AWS_PROFILE", "other".to_owned())],
            "AKIDOTHER",
        ),
    ] {
        assert_eq!(signer(&bedrock, environment).await, expected);
    }
}

/// Returns what is set where STS, at this URL, gives credentials for a token.
fn irsa(sts: String, token: &str) -> Environment {
    vec![
        ("AWS_ENDPOINT_URL_STS", sts),
        (
            "AWS_ROLE_ARN",
            "arn:aws:iam::111122223333:role/irsa".to_owned(),
        ),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_owned()),
    ]
}

#[tokio::test]
async fn iam_roles_for_service_accounts() {
    let (bedrock, sts) = (server().await, StsServer::start().await);
    let folder = tempfile::tempdir().expect("folder");
    let token = token(&folder);
    assert_eq!(
        signer(&bedrock, irsa(sts.url(), &token)).await,
        "ASIAXXXXXXXXIRSA"
    );
    let log = sts.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["Action"], "AssumeRoleWithWebIdentity");
    assert_eq!(log[0]["RoleArn"], "arn:aws:iam::111122223333:role/irsa");
    assert_eq!(log[0]["WebIdentityToken"], "a.b.c");
}

#[tokio::test]
async fn a_service_account_that_sts_refuses_is_said_so() {
    let (bedrock, sts) = (server().await, StsServer::start().await);
    let folder = tempfile::tempdir().expect("folder");
    let token = token(&folder);
    for (code, says) in [
        ("AccessDenied", "must allow sts:AssumeRoleWithWebIdentity"),
        ("InvalidIdentityToken", "IAM OIDC provider"),
        ("ExpiredTokenException", "has expired"),
    ] {
        let fault = StsFault {
            status: if code == "AccessDenied" { 403 } else { 400 },
            code,
            message: "no".to_owned(),
        };
        sts.fail([fault]);
        let said = refusal(&bedrock, irsa(sts.url(), &token)).await;
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn pod_identity_with_a_token_that_rotates() {
    let bedrock = server().await;
    let folder = tempfile::tempdir().expect("folder");
    let token = folder.path().join("token");
    let agent = PodIdentityAgent::start(&token).await;
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.uri()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path(&token)),
        ("AWS_ENDPOINT_URL_BEDROCK", bedrock.url()),
    ];
    let regions = ["--region", "eu-west-1", "--region", "eu-west-2"];
    operator(&[&LIST[..], &regions].concat(), &environment)
        .await
        .ok();
    assert!(
        bedrock
            .log()
            .iter()
            .all(|request| request.access_key_id.as_deref() == Some("ASIAXXXXXXXXPOD"))
    );
    let tokens = agent.tokens();
    assert!(tokens.len() > 1, "refreshed: {tokens:?}");
    for (index, token) in tokens.iter().enumerate() {
        assert_eq!(*token, format!("token-{}", index + 1));
    }
}

#[tokio::test]
async fn instance_metadata_version_2() {
    let (bedrock, metadata) = (server().await, InstanceMetadata::start().await);
    let environment = vec![
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url()),
        ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
    ];
    assert_eq!(signer(&bedrock, environment).await, "ASIAXXXXXXXXNODE");
    let log = metadata.log();
    assert_eq!(log[0], "token", "{log:?}");
    assert!(
        !log.iter()
            .any(|path| path.contains("region") || path.contains("placement")),
        "the region is never asked for: {log:?}"
    );
}

#[tokio::test]
async fn what_provides_credentials_and_is_not_there_is_said_so() {
    let bedrock = server().await;
    let nobody = nobody();
    let folder = tempfile::tempdir().expect("folder");
    let token = token(&folder);
    for (environment, says) in [
        (
            vec![
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{nobody}/v1/credentials"),
                ),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.clone()),
            ],
            "can't be reached",
        ),
        (irsa(nobody.clone(), &token), "can't be reached"),
        (
            vec![
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody),
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
            ],
            "no AWS credentials were found",
        ),
    ] {
        let said = refusal(&bedrock, environment).await;
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn the_program_says_what_is_missing() {
    let server = server().await;
    let url = ("AWS_ENDPOINT_URL_BEDROCK", server.url());
    let without_region = operator(&LIST, std::slice::from_ref(&url)).await;
    assert_eq!(without_region.code, Some(2));
    assert!(
        without_region
            .stderr
            .contains("give --region or set AWS_REGION")
    );

    let region = ("AWS_REGION", "eu-west-1".to_owned());
    let without_credentials = operator(&LIST, &[url, region]).await;
    assert_eq!(without_credentials.code, Some(1));
    let said = without_credentials.stderr;
    assert!(said.contains("no AWS credentials were found"), "{said}");
    assert!(server.log().is_empty());
}

#[tokio::test]
async fn boto3_takes_the_servers_for_pod_identity_and_instance_metadata() {
    let folder = tempfile::tempdir().expect("folder");
    let token = folder.path().join("token");
    let agent = PodIdentityAgent::start(&token).await;
    let metadata = InstanceMetadata::start().await;
    for (environment, expected) in [
        (
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.uri()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path(&token)),
            ],
            "ASIAXXXXXXXXPOD",
        ),
        (
            vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url())],
            "ASIAXXXXXXXXNODE",
        ),
    ] {
        aws_client(&["credentials", expected], &environment).await;
    }
}
