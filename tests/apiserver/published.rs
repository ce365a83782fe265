//! Each row of "what happens to the written value", on a real apiserver.

use inference_profile_operator::api::condition::Reason;
use serde_json::json;

use crate::{
    operator::{Operator, SONNET, until, until_ready, value},
    support::{Case, Cluster, case},
};

pub fn cases() -> Vec<Case> {
    vec![
        case("published::a_resolved_binding_is_written", resolved),
        case("published::an_unsupported_binding_is_not", unsupported),
    ]
}

async fn resolved(cluster: Cluster) {
    let namespace = cluster.namespace("published").await;
    let operator = Operator::start(&cluster, &namespace);
    cluster
        .create_binding(
            &namespace,
            "claude",
            json!({"model": SONNET, "geography": "eu"}),
        )
        .await
        .expect("accepted");
    until_ready(&cluster, &namespace, "claude").await;
    assert_eq!(
        value(
            &cluster,
            &namespace,
            "claude",
            "BEDROCK_INFERENCE_PROFILE_ID"
        )
        .await,
        Some(format!("eu.{SONNET}"))
    );
    operator.stop().await;
}

async fn unsupported(cluster: Cluster) {
    let namespace = cluster.namespace("published").await;
    let operator = Operator::start(&cluster, &namespace);
    cluster
        .create_binding(
            &namespace,
            "claude",
            json!({"model": SONNET, "geography": "jp"}),
        )
        .await
        .expect("accepted");
    until(
        &cluster,
        &namespace,
        "claude",
        "Ready",
        "False",
        Reason::GeographyUnsupported,
    )
    .await;
    assert_eq!(
        value(
            &cluster,
            &namespace,
            "claude",
            "BEDROCK_INFERENCE_PROFILE_ID"
        )
        .await,
        None
    );
    operator.stop().await;
}
