//! Each request to AWS is counted, by what came of it.

use std::{sync::Arc, time::Duration};

use inference_profile_operator::{
    catalog::Source,
    metrics::Metrics,
    sources::bedrock::{Options, Timeouts},
};

use crate::common::bedrock_server::{Fault, Scripted};

use super::{connect, key, options, server};

#[tokio::test]
async fn each_attempt_counts() {
    let server = server().await;
    let metrics = Metrics::new();
    let bedrock = connect(Options {
        attempts: 3,
        counter: Some(Arc::new(metrics.clone())),
        timeouts: Timeouts {
            attempt: Duration::from_millis(500),
            ..Timeouts::default()
        },
        ..options(&server.url())
    })
    .await;
    // Throttled, then failing, the listing succeeds; the listing of models gets an answer the second time.
    server.script([
        Scripted::Fault(Fault::throttled()),
        Scripted::Fault(Fault::internal()),
        Scripted::Pass,
        Scripted::Hang,
    ]);
    bedrock.list(&key("eu-west-1")).await.expect("a catalog");
    server.fail([Fault::access_denied("arn:aws:iam::111122223333:user/u")]);
    bedrock.list(&key("eu-west-1")).await.expect_err("denied");

    let page = metrics.encode().expect("a page");
    let mut counted: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("inference_profile_operator_aws_requests_total"))
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            r#"{operation="ListFoundationModels",result="no_answer"} 1"#,
            r#"{operation="ListFoundationModels",result="success"} 1"#,
            r#"{operation="ListInferenceProfiles",result="failed"} 1"#,
            r#"{operation="ListInferenceProfiles",result="refused"} 1"#,
            r#"{operation="ListInferenceProfiles",result="success"} 1"#,
            r#"{operation="ListInferenceProfiles",result="throttled"} 1"#,
        ]
    );
}
