//! Roles that are assumed: which, by whom, how often, and what is said where one can't be.

use std::sync::Arc;

use inference_profile_operator::{
    api::condition::Reason,
    catalog::{CatalogError, FeedKey, Source, roles::AllowedRoles},
    sources::bedrock::Options,
};

use crate::common::{
    bedrock_server::BedrockServer,
    credentials_servers::{StsFault, StsServer},
};

use super::{aws_client, connect, operator, options, server};

const ROLE: &str = "arn:aws:iam::444455556666:role/bedrock-discovery";

fn key(role: &str, region: &str) -> FeedKey {
    FeedKey {
        role: Some(role.parse().expect(role)),
        region: region.parse().expect(region),
    }
}

fn with_roles(bedrock: &BedrockServer, sts: &StsServer, allowed: &str) -> Options {
    Options {
        sts_endpoint_url: Some(sts.url()),
        allowed_roles: AllowedRoles::parse(&[allowed]).expect(allowed),
        ..options(&bedrock.url())
    }
}

const ALLOWED: &str =
    "arn:aws:iam::444455556666:role/bedrock-*;namespaces=shop;external-id=cluster-1";

#[tokio::test]
async fn a_role_is_assumed_once_for_all_its_regions() {
    let (bedrock, sts) = (server().await, StsServer::start().await);
    let source = connect(with_roles(&bedrock, &sts, ALLOWED)).await;
    for region in ["eu-west-1", "us-east-1", "eu-west-1"] {
        source.list(&key(ROLE, region)).await.expect(region);
    }
    let log = sts.log();
    assert_eq!(log.len(), 1, "{log:?}");
    for (parameter, value) in [
        ("Action", "AssumeRole"),
        ("RoleArn", ROLE),
        ("RoleSessionName", "inference-profile-operator-eu-west-1"),
        ("ExternalId", "cluster-1"),
        ("signed-by", "AKIDEXAMPLE"),
        ("signed-for", "eu-west-1"),
    ] {
        assert_eq!(
            log[0].get(parameter).map(String::as_str),
            Some(value),
            "{parameter}"
        );
    }
    for request in bedrock.log() {
        assert_eq!(
            request.access_key_id.as_deref(),
            Some("ASIAXXXXXXXXBEDROCK-DISCOVERY")
        );
    }
    // The operator itself still asks as itself.
    source.list(&super::key("eu-west-1")).await.expect("own");
    let last = bedrock.log().pop().expect("a request");
    assert_eq!(last.access_key_id.as_deref(), Some("AKIDEXAMPLE"));
}

#[tokio::test]
async fn sessions_have_the_name_that_was_given_and_no_external_id_that_was_not() {
    let (bedrock, sts) = (server().await, StsServer::start().await);
    let options = Options {
        session_name: "cluster-7".parse().expect("a name"),
        ..with_roles(&bedrock, &sts, &format!("{ROLE};namespaces=*"))
    };
    connect(options)
        .await
        .list(&key(ROLE, "eu-west-1"))
        .await
        .expect("catalog");
    let log = sts.log();
    assert_eq!(log[0]["RoleSessionName"], "cluster-7");
    assert!(!log[0].contains_key("ExternalId"));
}

#[tokio::test]
async fn roles_are_refused_without_a_request() {
    let (bedrock, sts) = (server().await, StsServer::start().await);
    let gov = "arn:aws-us-gov:iam::444455556666:role/bedrock-discovery";
    for (allowed, role, region, says) in [
        ("", ROLE, "eu-west-1", "does not allow the role"),
        (
            ALLOWED,
            "arn:aws:iam::444455556666:role/admin",
            "eu-west-1",
            "does not allow the role",
        ),
        (
            ALLOWED,
            ROLE,
            "us-gov-west-1",
            "sourceRegion us-gov-west-1 in aws-us-gov",
        ),
        (
            "arn:aws-us-gov:iam::444455556666:role/*;namespaces=*",
            gov,
            "us-gov-west-1",
            "the operator's region eu-west-1 in aws",
        ),
    ] {
        let source = connect(with_roles(&bedrock, &sts, allowed)).await;
        let refused = source.list(&key(role, region)).await.expect_err(role);
        assert_eq!(refused.reason(), Reason::RoleNotAllowed, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        assert!(refused.to_string().contains(role), "{refused}");
    }
    assert!(bedrock.log().is_empty());
    assert!(sts.log().is_empty());
}

async fn refused(bedrock: &BedrockServer, sts: &StsServer, fault: StsFault) -> CatalogError {
    sts.fail([fault]);
    connect(with_roles(bedrock, sts, ALLOWED))
        .await
        .list(&key(ROLE, "eu-west-1"))
        .await
        .expect_err("refused")
}

#[tokio::test]
async fn a_refusal_of_sts_says_what_must_be_allowed() {
    let (bedrock, sts) = (server().await, StsServer::start().await);
    let denied = |session: u32| StsFault {
        status: 403,
        code: "AccessDenied",
        message: format!(
            "User: arn:aws:sts::111122223333:assumed-role/operator/session-{session} is not authorized to perform: \
             sts:AssumeRole on resource: {ROLE}"
        ),
    };
    let first = refused(&bedrock, &sts, denied(1)).await;
    let second = refused(&bedrock, &sts, denied(2)).await;
    assert_eq!(first.reason(), Reason::AccessDenied);
    assert_eq!(first.to_string(), second.to_string());
    let says = first.to_string();
    assert!(
        says.starts_with(&format!(
            "role {ROLE} can't be assumed: its trust policy must allow arn:aws:iam::111122223333:role/operator \
             sts:AssumeRole (with the external ID"
        )),
        "{says}"
    );
    assert!(!says.contains("cluster-1"), "{says}");

    for (status, code, reason) in [
        (403, "ExpiredToken", Reason::CredentialsUnavailable),
        (400, "Throttling", Reason::Throttled),
        (500, "InternalFailure", Reason::ServiceError),
    ] {
        let fault = StsFault {
            status,
            code,
            message: "x".to_owned(),
        };
        let error = refused(&bedrock, &sts, fault).await;
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains("STS"), "{error}");
    }
    assert!(bedrock.log().is_empty());
}

#[tokio::test]
async fn sts_that_can_not_be_reached_is_said_so() {
    let bedrock = server().await;
    let sts = StsServer::start().await;
    let options = Options {
        sts_endpoint_url: Some("http://sts.invalid".to_owned()),
        ..with_roles(&bedrock, &sts, ALLOWED)
    };
    let error = connect(options)
        .await
        .list(&key(ROLE, "eu-west-1"))
        .await
        .expect_err("unreachable");
    assert_eq!(error.reason(), Reason::CredentialsUnavailable);
    assert!(error.to_string().contains("can't be reached"), "{error}");
}

#[tokio::test]
async fn a_malformed_allow_list_ends_the_program_at_once() {
    let option = ["run", "--region", "eu-west-1", "--allow-role-arn", ROLE];
    let variable = [(
        "IPO_ALLOW_ROLE_ARN",
        format!("{ALLOWED} {ROLE};namespaces=pay;external-id=cluster-2"),
    )];
    for (output, says) in [
        (operator(&option, &[]).await, "namespaces= is missing"),
        (
            operator(&option[..3], &variable).await,
            "different external IDs",
        ),
    ] {
        assert_eq!(output.code, Some(2));
        assert!(output.stderr.contains(says), "{}", output.stderr);
    }
}

#[tokio::test]
async fn boto3_takes_the_server_for_sts() {
    let sts = Arc::new(StsServer::start().await);
    sts.fail([
        StsFault {
            status: 403,
            code: "AccessDenied",
            message: "no".to_owned(),
        },
        StsFault {
            status: 400,
            code: "ExpiredTokenException",
            message: "old".to_owned(),
        },
    ]);
    aws_client(&["sts", &sts.url()], &[]).await;
}
