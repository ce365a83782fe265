//! Every way in which a listing fails: its class, and that equal failures say the same.

use std::time::Duration;

use inference_profile_operator::{
    api::condition::Reason,
    catalog::{CatalogError, Source},
    sources::bedrock::Options,
};
use serde_json::json;

use crate::common::bedrock_server::{Fault, Scripted, profile};

use super::{EU, connect, error, five_profiles, key, list, nobody, options, server};

/// Returns a fault of each kind that `aws_client.py` knows, in its order.
pub fn all() -> Vec<Scripted> {
    let faults = [
        Fault::throttled(),
        Fault::throttled_for(1),
        Fault::access_denied("arn:aws:iam::111122223333:user/u"),
        Fault::internal(),
        Fault::error(
            503,
            "ServiceUnavailableException",
            "Service is unavailable.",
        ),
        Fault::unrecognized_client(),
        Fault::error(
            403,
            "ExpiredTokenException",
            "The security token is expired",
        ),
        Fault::skewed("InvalidSignatureException", 600),
        Fault::skewed("RequestTimeTooSkewed", 600),
        Fault::not_bedrock(502),
    ];
    let broken = [Scripted::Truncated, Scripted::Reset];
    faults
        .into_iter()
        .map(Scripted::Fault)
        .chain(broken)
        .collect()
}

#[tokio::test]
async fn a_denial_says_which_kind_of_policy_must_change() {
    const SCP: &str = "the service control policy of the organization";
    let server = server().await;
    for (context, says) in [
        (
            "with an explicit deny in a service control policy",
            format!("{SCP} must stop denying"),
        ),
        (
            "because no service control policy allows the bedrock:ListInferenceProfiles action",
            format!("{SCP} must allow"),
        ),
        (
            "with an explicit deny in a VPC endpoint policy",
            "the policy of the VPC endpoint must stop denying".to_owned(),
        ),
    ] {
        let message = format!(
            "User: arn:aws:sts::111122223333:assumed-role/r/s is not authorized to perform: bedrock:ListInferenceProfiles on \
             resource: arn:aws:bedrock:eu-west-1:111122223333:inference-profile/* {context}"
        );
        // AWS answers with either.
        for key in ["message", "Message"] {
            let fault = Fault::error(403, "AccessDeniedException", "");
            server.fail([Fault {
                body: json!({ key: message }).to_string(),
                ..fault
            }]);
            let error = error(&server.url()).await;
            assert_eq!(error.reason(), Reason::AccessDenied);
            let text = error.to_string();
            assert!(
                text.starts_with(&format!(
                    "the role r of account 111122223333 may not list the inference profiles of eu-west-1, {context}: an allow \
                     elsewhere does not help; {says} bedrock:ListInferenceProfiles in eu-west-1"
                )),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn failures_have_classes_and_say_the_same_each_time() {
    let denied = |session: u32| {
        Fault::access_denied(&format!(
            "arn:aws:sts::111122223333:assumed-role/discovery/session-{session}"
        ))
    };
    let error_of = |status, code| [1, 2].map(|n| Fault::error(status, code, &n.to_string()));
    let twice = |fault: Fault| [fault.clone(), fault];
    let cases = [
        (
            [denied(1), denied(2)],
            Reason::AccessDenied,
            "the role discovery of account 111122223333 may not",
        ),
        (
            twice(Fault::unrecognized_client()),
            Reason::CredentialsUnavailable,
            "(UnrecognizedClientException)",
        ),
        (
            error_of(403, "ExpiredTokenException"),
            Reason::CredentialsUnavailable,
            "they have expired",
        ),
        (
            error_of(403, "InvalidSignatureException"),
            Reason::CredentialsUnavailable,
            "check the secret access key",
        ),
        (
            [601, 600].map(|seconds| Fault::skewed("InvalidSignatureException", seconds)),
            Reason::CredentialsUnavailable,
            "the operator's clock is about 10 minutes behind AWS's",
        ),
        (
            [-3599, -3600].map(|seconds| Fault::skewed("RequestTimeTooSkewed", seconds)),
            Reason::CredentialsUnavailable,
            "the operator's clock is about 60 minutes ahead of AWS's",
        ),
        (
            twice(Fault::throttled()),
            Reason::Throttled,
            "throttles requests",
        ),
        (
            twice(Fault::internal()),
            Reason::ServiceError,
            "HTTP 500, InternalServerException",
        ),
        (
            error_of(503, "ServiceUnavailableException"),
            Reason::ServiceError,
            "HTTP 503, ServiceUnavailableException",
        ),
        (
            error_of(400, "ValidationException"),
            Reason::ServiceError,
            "HTTP 400, ValidationException",
        ),
        (
            twice(Fault::not_bedrock(502)),
            Reason::ServiceError,
            "HTTP 502",
        ),
        (
            twice(Fault::not_bedrock(200)),
            Reason::ServiceError,
            "did not come from Bedrock",
        ),
    ];
    let server = server().await;
    for (faults, reason, says) in cases {
        server.fail(faults);
        let (first, second) = (error(&server.url()).await, error(&server.url()).await);
        assert_eq!(first.reason(), reason, "{first}");
        assert_eq!(first.to_string(), second.to_string());
        assert!(first.to_string().contains(says), "{first}");
        assert!(first.to_string().contains("eu-west-1"), "{first}");
    }
    server.fail([Fault::throttled_for(7)]);
    let CatalogError::Throttled { retry_after, .. } = error(&server.url()).await else {
        panic!("not throttled");
    };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let server = server().await;
    for (broken, reason, says) in [
        (
            Scripted::Truncated,
            Reason::ServiceError,
            "did not come from Bedrock",
        ),
        (
            Scripted::Reset,
            Reason::EndpointUnreachable,
            "failed or broke",
        ),
    ] {
        server.script([broken.clone(), broken]);
        let (first, second) = (error(&server.url()).await, error(&server.url()).await);
        assert_eq!(first.reason(), reason, "{first}");
        assert_eq!(first.to_string(), second.to_string());
        assert!(first.to_string().contains(says), "{first}");
    }
}

#[tokio::test]
async fn a_passing_failure_is_tried_again() {
    let server = server().await;
    for passing in [
        vec![Scripted::Fault(Fault::internal())],
        vec![
            Scripted::Fault(Fault::error(503, "ServiceUnavailableException", "")),
            Scripted::Fault(Fault::throttled()),
        ],
        vec![Scripted::Reset],
        // The second attempt is signed with the time of the server.
        vec![Scripted::Fault(Fault::skewed("RequestTimeTooSkewed", 600))],
    ] {
        let before = server.listings().len();
        let attempts = 1 + passing.len();
        server.script(passing);
        let options = Options {
            attempts: 3,
            ..options(&server.url())
        };
        let catalog = connect(options).await.list(&key("eu-west-1")).await;
        assert_eq!(catalog.expect("catalog").profiles().len(), 5);
        assert_eq!(server.listings().len() - before, attempts);
    }
}

#[tokio::test]
async fn what_can_not_be_reached_is_said_so() {
    let server = server().await;
    server.script([Scripted::Hang]);
    let mut impatient = options(&server.url());
    impatient.timeouts.read = Duration::from_millis(50);
    let hanging = connect(impatient).await.list(&key("eu-west-1")).await;

    let nobody = nobody();
    for (error, says, host) in [
        (
            hanging.expect_err("hanging"),
            "did not answer in time",
            server.url(),
        ),
        (error(&nobody).await, "the connection to", nobody),
        (
            error("http://bedrock.invalid").await,
            "does not resolve: check --bedrock-endpoint or AWS_ENDPOINT_URL_BEDROCK",
            "http://bedrock.invalid".to_owned(),
        ),
    ] {
        assert_eq!(error.reason(), Reason::EndpointUnreachable, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        let host = host.trim_start_matches("http://");
        assert!(error.to_string().contains(host), "{error}");
    }
}

#[tokio::test]
async fn what_varies_between_listings_is_no_change() {
    let server = server().await;
    let once = list(&server.url(), "eu-west-1").await.expect("catalog");
    let mut other = five_profiles();
    other.reverse();
    for profile in &mut other {
        profile["models"].as_array_mut().expect("models").reverse();
        profile["updatedAt"] = "2026-10-03T11:22:33Z".into();
        profile["somethingNew"] = json!({ "a": [1] });
        let fields = profile.as_object_mut().expect("fields");
        fields.remove("description");
        fields.remove("createdAt");
    }
    server.set_profiles("eu-west-1", other);
    assert_eq!(
        list(&server.url(), "eu-west-1").await.expect("catalog"),
        once
    );
}

#[tokio::test]
async fn profiles_vanish_come_back_and_bring_new_geographies() {
    let server = server().await;
    let bedrock = connect(options(&server.url())).await;
    let ids = async || -> Vec<String> {
        let catalog = bedrock.list(&key("eu-west-1")).await.expect("catalog");
        let profiles = catalog.profiles().iter();
        profiles
            .map(|profile| format!("{} {}", profile.geography, profile.id))
            .collect()
    };
    let before = ids().await;
    let mut fewer = five_profiles();
    fewer.retain(|profile| profile["inferenceProfileId"] != "eu.cohere.embed-v4:0");
    server.set_profiles("eu-west-1", fewer);
    assert_eq!(ids().await.len(), before.len() - 1);
    let mut more = five_profiles();
    more.push(profile("eu-west-1", "nordic-sea", "cohere.embed-v4:0", EU));
    server.set_profiles("eu-west-1", more);
    let now = ids().await;
    assert!(
        now.contains(&"nordic-sea nordic-sea.cohere.embed-v4:0".to_owned()),
        "{now:?}"
    );
    assert!(before.iter().all(|id| now.contains(id)), "{now:?}");
}

#[tokio::test]
async fn a_page_that_fails_fails_the_listing() {
    let server = server().await;
    server.set_page_size(2);
    server.script([Scripted::Pass, Scripted::Fault(Fault::internal())]);
    assert_eq!(error(&server.url()).await.reason(), Reason::ServiceError);
}

#[tokio::test]
async fn pages_without_end_are_an_error() {
    let server = server().await;
    let page = json!({ "inferenceProfileSummaries": five_profiles(), "nextToken": "again" });
    server.script([Scripted::Body(page.clone()), Scripted::Body(page)]);
    let error = error(&server.url()).await;
    assert_eq!(error.reason(), Reason::ServiceError);
    assert!(error.to_string().contains("pages without end"), "{error}");
}

#[tokio::test]
async fn an_answer_of_another_region_is_not_believed() {
    let server = server().await;
    server.script([Scripted::Body(json!({
        "inferenceProfileSummaries": [profile("us-east-1", "us", "cohere.embed-v4:0", &["us-east-1"])],
    }))]);
    let error = error(&server.url()).await;
    assert_eq!(error.reason(), Reason::ServiceError);
    assert!(
        error.to_string().contains("AWS_ENDPOINT_URL_BEDROCK"),
        "{error}"
    );
}
