//! Where credentials come from: each way of the SDK's chain, against a stand-in of what it asks.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use crate::common::{
    bedrock_server::BedrockServer,
    credentials_servers::{
        IdentityCenter, InstanceMetadata, PodIdentityAgent, StsFault, StsServer,
    },
    program::Output,
};

use super::{aws_client, nobody, operator, server, token, written};

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
async fn boto3_takes_the_server_for_identity_center() {
    let portal = IdentityCenter::start(Laptop::TOKEN).await;
    aws_client(&["sso", &portal.url()], &[]).await;
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

/// What the shared files of a laptop are: a configuration with these lines, and the token of a session.
struct Laptop {
    home: TempDir,
    portal: IdentityCenter,
}

impl Laptop {
    const TOKEN: &str = "signed-in";
    const START: &str = "https://shop.awsapps.com/start";

    async fn new(config: &str) -> Self {
        let home = tempfile::tempdir().expect("folder");
        fs::create_dir_all(home.path().join(".aws/sso/cache")).expect("made");
        fs::write(home.path().join(".aws/config"), config).expect("written");
        Self {
            home,
            portal: IdentityCenter::start(Self::TOKEN).await,
        }
    }

    /// A profile `dev` with a session.
    async fn with_session(role: &str) -> Self {
        Self::new(&format!(
            "[profile dev]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = {role}\n\n\
             [sso-session corp]\nsso_start_url = {}\nsso_region = eu-central-1\n",
            Self::START
        ))
        .await
    }

    /// Signs in as `aws sso login` does, for so many seconds.
    fn sign_in(&self, token: &str, seconds: i64) {
        let until = jiff::Timestamp::now()
            .checked_add(jiff::SignedDuration::from_secs(seconds))
            .expect("a time");
        let cached = json!({
            "accessToken": token,
            "expiresAt": until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "region": "eu-central-1",
            "startUrl": Self::START,
        });
        // The SHA-1 of `corp`, by which the AWS CLI names the file.
        let name = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
        fs::write(self.home.path().join(name), cached.to_string()).expect("written");
    }

    fn environment(&self, profile: &str) -> Environment {
        vec![
            ("HOME", path(self.home.path())),
            ("AWS_PROFILE", profile.to_owned()),
            ("AWS_ENDPOINT_URL_SSO", self.portal.url()),
            // A command needs the programs of the machine.
            ("PATH", std::env::var("PATH").unwrap_or_default()),
        ]
    }

    /// Lists as this profile, with no region but that of the profile.
    async fn list(&self, bedrock: &BedrockServer, profile: &str) -> Output {
        let mut environment = self.environment(profile);
        environment.push(("AWS_ENDPOINT_URL_BEDROCK", bedrock.url()));
        operator(&LIST, &environment).await
    }

    #[track_caller]
    fn refused(output: &Output, says: &str) {
        assert_eq!(output.code, Some(1), "{output:#?}");
        assert!(output.stderr.contains(says), "{says:?} in {output:#?}");
    }
}

#[tokio::test]
async fn a_session_of_identity_center() {
    let (bedrock, laptop) = (server().await, Laptop::with_session("Reader").await);
    let output = laptop.list(&bedrock, "dev").await;
    Laptop::refused(
        &output,
        "profile dev: the SSO session is missing or has expired: run `aws sso login --profile dev`",
    );
    laptop.sign_in(Laptop::TOKEN, -60);
    let output = laptop.list(&bedrock, "dev").await;
    Laptop::refused(&output, "run `aws sso login --profile dev`");
    laptop.sign_in("of yesterday", 3600);
    let output = laptop.list(&bedrock, "dev").await;
    Laptop::refused(
        &output,
        "profile dev: the SSO session expired (UnauthorizedException): run `aws sso login --profile dev`",
    );
    assert!(bedrock.log().is_empty());

    laptop.sign_in(Laptop::TOKEN, 3600);
    laptop.list(&bedrock, "dev").await.ok();
    let last = bedrock.log().pop().expect("a request");
    assert_eq!(last.access_key_id.as_deref(), Some("ASIAXXXXXXXXSSO"));
    assert_eq!(
        last.signing_region.as_deref(),
        Some("eu-west-1"),
        "of the profile"
    );
    let asked = laptop.portal.log().pop().expect("a request");
    assert_eq!(
        (asked["account_id"].as_str(), asked["role_name"].as_str()),
        ("111122223333", "Reader")
    );
}

#[tokio::test]
async fn a_profile_that_lacks_something_is_named() {
    let bedrock = server().await;
    let laptop = Laptop::with_session("Nobody").await;
    laptop.sign_in(Laptop::TOKEN, 3600);
    let output = laptop.list(&bedrock, "dev").await;
    Laptop::refused(
        &output,
        "profile dev: IAM Identity Center does not give you its role (ForbiddenException): check sso_account_id and sso_role_name",
    );
    let laptop = Laptop::new(
        "[profile dev]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = 111122223333\n[sso-session corp]\nsso_start_url = x\nsso_region = eu-west-1\n\
         [profile lost]\nregion = eu-west-1\nsso_session = gone\nsso_account_id = 111122223333\nsso_role_name = r\n",
    )
    .await;
    for (profile, says) in [
        (
            "dev",
            "profile dev lacks sso_role_name: add them in ~/.aws/config",
        ),
        (
            "lost",
            "profile lost: its sso_session gone is not in ~/.aws/config",
        ),
    ] {
        Laptop::refused(&laptop.list(&bedrock, profile).await, says);
    }
    let mut environment = laptop.environment("mistyped");
    environment.push(("AWS_REGION", "eu-west-1".to_owned()));
    let output = operator(&LIST, &environment).await;
    Laptop::refused(
        &output,
        "profile mistyped, which AWS_PROFILE names, is not in the shared configuration files: they have dev, lost",
    );
    assert!(bedrock.log().is_empty());
}

#[tokio::test]
async fn a_credential_process() {
    let bedrock = server().await;
    let printed = json!({
        "Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "secret", "SessionToken": "token",
    });
    let laptop = Laptop::new(&format!(
        "[profile good]\nregion = eu-west-1\ncredential_process = echo '{printed}'\n\
         [profile bad]\nregion = eu-west-1\ncredential_process = sh -c 'echo no vault >&2; exit 3'\n"
    ))
    .await;
    laptop.list(&bedrock, "good").await.ok();
    let last = bedrock.log().pop().expect("a request");
    assert_eq!(last.access_key_id.as_deref(), Some("AKIDPROCESS"));
    let output = laptop.list(&bedrock, "bad").await;
    Laptop::refused(
        &output,
        "profile bad: its credential_process gave no credentials: run the command",
    );
}
