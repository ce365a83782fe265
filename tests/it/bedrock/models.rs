//! Foundation models beside the profiles, and whether they can be used.

use inference_profile_operator::{
    api::condition::Reason,
    catalog::{Access, FoundationModel, Lifecycle, Source, Usability},
    sources::bedrock::Bedrock,
    types::ModelId,
};
use serde_json::{Value, json};

use crate::common::bedrock_server::{Fault, Scripted, model};

use super::{connect, key, options, server};

/// Returns models as eu-west-1 lists them.
pub fn wire() -> Vec<Value> {
    let source = "eu-west-1";
    let legacy = json!({
        "modelLifecycle": {
            "status": "LEGACY",
            "startOfLifeTime": "2025-09-29T00:00:00Z",
            "legacyTime": "2026-06-01T00:00:00Z",
            "publicExtendedAccessTime": "2026-09-01T00:00:00Z",
            "endOfLifeTime": "2026-12-01T00:00:00.000Z",
        },
    });
    let unknown = json!({ "modelLifecycle": { "status": "SLEEPING" }, "somethingNew": [1] });
    vec![
        model(
            source,
            "cohere.embed-v4:0",
            &["ON_DEMAND", "INFERENCE_PROFILE"],
            &json!({}),
        ),
        model(
            source,
            "anthropic.claude-sonnet-4-6",
            &["INFERENCE_PROFILE"],
            &unknown,
        ),
        model(
            source,
            "amazon.nova-lite-v1:0",
            &["ON_DEMAND", "PROVISIONED"],
            &legacy,
        ),
    ]
}

/// Returns an availability without obstacles.
pub fn available() -> Value {
    json!({
        "modelId": "amazon.nova-lite-v1:0",
        "agreementAvailability": { "status": "AVAILABLE" },
        "authorizationStatus": "AUTHORIZED",
        "entitlementAvailability": "AVAILABLE",
        "regionAvailability": "AVAILABLE",
    })
}

fn rows(models: Option<&[FoundationModel]>) -> Option<Vec<String>> {
    let row = |model: &FoundationModel| {
        let Lifecycle {
            is_legacy,
            legacy,
            extended_access,
            end_of_life,
        } = model.lifecycle;
        let state = if is_legacy { "legacy" } else { "active" };
        let dates = [legacy, extended_access, end_of_life].into_iter().flatten();
        let dates: Vec<String> = dates.map(|date| format!(" {date}")).collect();
        format!("{} {state}{} {}", model.id, dates.concat(), model.on_demand)
    };
    models.map(|models| models.iter().map(row).collect())
}

fn all() -> Vec<String> {
    [
        "amazon.nova-lite-v1:0 legacy 2026-06-01 2026-09-01 2026-12-01 true",
        "anthropic.claude-sonnet-4-6 active false",
        "cohere.embed-v4:0 active true",
    ]
    .map(ToOwned::to_owned)
    .to_vec()
}

#[tokio::test]
async fn models_come_with_the_profiles_by_one_request() {
    let server = server().await;
    server.set_models("eu-west-1", wire());
    server.set_page_size(2);
    let bedrock = connect(options(&server.url())).await;
    let catalog = bedrock.list(&key("eu-west-1")).await.expect("catalog");
    assert_eq!(rows(catalog.models()), Some(all()));
    let paths: Vec<String> = server
        .log()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(
        paths,
        [
            "/inference-profiles",
            "/inference-profiles",
            "/inference-profiles",
            "/foundation-models"
        ]
    );
}

#[tokio::test]
async fn a_listing_is_good_without_models() {
    let server = server().await;
    server.set_models("eu-west-1", wire());
    let denied = Fault::denied(
        "arn:aws:sts::111122223333:assumed-role/discovery/s",
        "bedrock:ListFoundationModels",
        "*",
    );
    let bedrock = connect(options(&server.url())).await;
    for (fault, models) in [
        (Some(Fault::internal()), None),
        (None, Some(all())),
        // Failing is not being refused: what was known last still holds.
        (Some(Fault::throttled()), Some(all())),
        (Some(denied.clone()), None),
        (Some(denied), None),
        (None, Some(all())),
    ] {
        let text = format!("{fault:?}");
        if let Some(fault) = fault {
            server.script([Scripted::Pass, Scripted::Fault(fault)]);
        }
        let catalog = bedrock.list(&key("eu-west-1")).await.expect("catalog");
        assert_eq!(catalog.profiles().len(), 5);
        assert_eq!(rows(catalog.models()), models, "{text}");
    }
}

async fn usability(bedrock: &Bedrock) -> Result<Usability, Reason> {
    let model: ModelId = "amazon.nova-lite-v1:0".parse().expect("model");
    bedrock
        .usability(&key("eu-west-1"), &model)
        .await
        .map_err(|error| error.reason())
}

#[tokio::test]
async fn a_listed_model_may_not_be_usable() {
    let server = server().await;
    let bedrock = connect(options(&server.url())).await;
    server.set_availability("amazon.nova-lite-v1:0", available());
    assert_eq!(usability(&bedrock).await, Ok(Usability::Usable));

    let mut obstructed = available();
    obstructed["authorizationStatus"] = "NOT_AUTHORIZED".into();
    obstructed["agreementAvailability"] = json!({ "status": "NOT_AVAILABLE", "errorMessage": "x" });
    server.set_availability("amazon.nova-lite-v1:0", obstructed);
    let Ok(Usability::NotUsable { message }) = usability(&bedrock).await else {
        panic!("usable");
    };
    assert!(
        message.contains("agreement") && message.contains("not authorized"),
        "{message}"
    );

    server.fail([Fault::denied(
        "arn:aws:iam::111122223333:user/u",
        "bedrock:GetFoundationModelAvailability",
        "*",
    )]);
    assert_eq!(usability(&bedrock).await, Err(Reason::AccessDenied));
    let last = server.log().pop().expect("a request");
    assert_eq!(
        last.path,
        "/foundation-model-availability/amazon.nova-lite-v1%3A0"
    );
}
