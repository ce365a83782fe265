//! AWS's answers about foundation models: their lifecycle, how they are invoked, and whether an account can use them.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_FoundationModelSummary.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_GetFoundationModelAvailability.html>

use aws_sdk_bedrock::{
    operation::get_foundation_model_availability::GetFoundationModelAvailabilityOutput,
    primitives::DateTime,
    types::{
        AgreementStatus, AuthorizationStatus, EntitlementAvailability, FoundationModelLifecycle,
        FoundationModelLifecycleStatus, FoundationModelSummary, InferenceType, RegionAvailability,
    },
};
use jiff::{civil::Date, tz::TimeZone};

use crate::{
    catalog::{FoundationModel, Lifecycle, Usability},
    types::{ModelId, Region},
};

/// Returns a listed model, or `None` if its ID is not one that bindings can name.
pub(super) fn foundation_model(summary: &FoundationModelSummary) -> Option<FoundationModel> {
    Some(FoundationModel {
        id: summary.model_id().parse().ok()?,
        lifecycle: lifecycle(summary.model_lifecycle()),
        // Values that the SDK does not know, such as INFERENCE_PROFILE, don't matter for this one.
        on_demand: summary
            .inference_types_supported()
            .contains(&InferenceType::OnDemand),
    })
}

/// Returns the lifecycle: active, unless AWS calls the model legacy, with all dates that AWS states.
fn lifecycle(lifecycle: Option<&FoundationModelLifecycle>) -> Lifecycle {
    let Some(known) = lifecycle else {
        return Lifecycle::ACTIVE;
    };
    Lifecycle {
        is_legacy: *known.status() == FoundationModelLifecycleStatus::Legacy,
        legacy: known.legacy_time().and_then(date),
        extended_access: known.public_extended_access_time().and_then(date),
        end_of_life: known.end_of_life_time().and_then(date),
    }
}

fn date(time: &DateTime) -> Option<Date> {
    let time = jiff::Timestamp::from_second(time.secs()).ok()?;
    Some(TimeZone::UTC.to_datetime(time).date())
}

/// Returns whether a model can be used. A value that is not known here counts as no obstacle.
pub(super) fn usability(
    answer: &GetFoundationModelAvailabilityOutput,
    model: &ModelId,
    region: &Region,
) -> Usability {
    let agreement = answer
        .agreement_availability()
        .map_or(&AgreementStatus::Available, |agreement| agreement.status());
    let obstacles = obstacles(
        answer.region_availability(),
        agreement,
        answer.entitlement_availability(),
        answer.authorization_status(),
    );
    if obstacles.is_empty() {
        return Usability::Usable;
    }
    Usability::NotUsable {
        message: format!(
            "the account can't use {model} from {region}: {}",
            obstacles.join("; ")
        )
        .into(),
    }
}

fn obstacles(
    region: &RegionAvailability,
    agreement: &AgreementStatus,
    entitlement: &EntitlementAvailability,
    authorization: &AuthorizationStatus,
) -> Vec<&'static str> {
    let mut found = Vec::new();
    if *region == RegionAvailability::NotAvailable {
        found.push("the model is not available in this region: choose another sourceRegion");
    }
    match agreement {
        AgreementStatus::NotAvailable => found.push(
            "its agreement is not accepted: accept it under Model access in the Bedrock console, or by \
             CreateFoundationModelAgreement",
        ),
        AgreementStatus::Pending => {
            found.push("its agreement is being processed: wait until it is accepted");
        }
        AgreementStatus::Error => found.push(
            "accepting its agreement failed: see Model access in the Bedrock console, and check aws-marketplace:Subscribe \
             and the payment method",
        ),
        _ => {}
    }
    if *entitlement == EntitlementAvailability::NotAvailable {
        found.push(
            "the account is not entitled to it: request access under Model access in the Bedrock console",
        );
    }
    if *authorization == AuthorizationStatus::NotAuthorized {
        found.push(
            "the account is not authorized for it: check service control policies and that the model is not closed to new \
             customers",
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_bedrock::types::AgreementAvailability;

    fn summary(id: &str) -> aws_sdk_bedrock::types::builders::FoundationModelSummaryBuilder {
        FoundationModelSummary::builder()
            .model_arn(format!("arn:aws:bedrock:eu-west-1::foundation-model/{id}"))
            .model_id(id)
    }

    #[test]
    fn models_of_a_listing() {
        let legacy = |[legacy, extended, end]: [Option<i64>; 3]| {
            FoundationModelLifecycle::builder()
                .status("LEGACY".into())
                .set_legacy_time(legacy.map(DateTime::from_secs))
                .set_public_extended_access_time(extended.map(DateTime::from_secs))
                .set_end_of_life_time(end.map(DateTime::from_secs))
                .build()
                .expect("lifecycle")
        };
        let active = FoundationModelLifecycle::builder()
            .status("ACTIVE".into())
            .build()
            .expect("lifecycle");
        let in_between = FoundationModelLifecycle::builder()
            .status("SLEEPING".into())
            .build()
            .expect("lifecycle");
        for (summary, lifecycle, on_demand) in [
            (summary("a.b"), Lifecycle::ACTIVE, false),
            (
                summary("a.b")
                    .model_lifecycle(active)
                    .inference_types_supported("ON_DEMAND".into()),
                Lifecycle::ACTIVE,
                true,
            ),
            (
                summary("a.b")
                    .model_lifecycle(in_between)
                    .inference_types_supported("INFERENCE_PROFILE".into())
                    .inference_types_supported("PROVISIONED".into()),
                Lifecycle::ACTIVE,
                false,
            ),
            (
                summary("a.b").model_lifecycle(legacy([None; 3])),
                Lifecycle::LEGACY,
                false,
            ),
            (
                summary("a.b")
                    .model_lifecycle(legacy([
                        Some(1_772_323_199),
                        Some(1_780_272_000),
                        Some(1_796_083_200),
                    ]))
                    .inference_types_supported("INFERENCE_PROFILE".into())
                    .inference_types_supported("ON_DEMAND".into()),
                Lifecycle {
                    legacy: Some(jiff::civil::date(2026, 2, 28)),
                    extended_access: Some(jiff::civil::date(2026, 6, 1)),
                    end_of_life: Some(jiff::civil::date(2026, 12, 1)),
                    ..Lifecycle::LEGACY
                },
                true,
            ),
        ] {
            let found = foundation_model(&summary.build().expect("summary")).expect("a model");
            assert_eq!((found.lifecycle, found.on_demand), (lifecycle, on_demand));
        }
        let odd = summary("Not an ID").build().expect("summary");
        assert_eq!(foundation_model(&odd), None);
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let usability = |region: &str, agreement: &str, entitlement: &str, authorization: &str| {
            let answer = GetFoundationModelAvailabilityOutput::builder()
                .model_id("a.b")
                .region_availability(region.into())
                .set_agreement_availability((!agreement.is_empty()).then(|| {
                    AgreementAvailability::builder()
                        .status(agreement.into())
                        .error_message("request 1234 failed")
                        .build()
                        .expect("agreement")
                }))
                .entitlement_availability(entitlement.into())
                .authorization_status(authorization.into())
                .build()
                .expect("answer");
            let model = "a.b".parse().expect("model");
            usability(&answer, &model, &"eu-west-1".parse().expect("region"))
        };
        let (yes, no) = ("AVAILABLE", "NOT_AVAILABLE");
        for (region, agreement, entitlement, authorization) in [
            (yes, yes, yes, "AUTHORIZED"),
            (yes, "", yes, "AUTHORIZED"),
            ("MAYBE", "SIGNED_TWICE", "SOON", "PERHAPS"),
        ] {
            assert_eq!(
                usability(region, agreement, entitlement, authorization),
                Usability::Usable
            );
        }
        for (region, agreement, entitlement, authorization, says) in [
            (no, yes, yes, "AUTHORIZED", &["another sourceRegion"][..]),
            (yes, no, yes, "AUTHORIZED", &["not accepted"]),
            (yes, "PENDING", yes, "AUTHORIZED", &["wait"]),
            (
                yes,
                "ERROR",
                yes,
                "AUTHORIZED",
                &["aws-marketplace:Subscribe"],
            ),
            (yes, yes, no, "AUTHORIZED", &["not entitled"]),
            (yes, yes, yes, "NOT_AUTHORIZED", &["not authorized"]),
            (
                no,
                no,
                no,
                "NOT_AUTHORIZED",
                &["sourceRegion", "agreement", "entitled", "authorized"],
            ),
        ] {
            let Usability::NotUsable { message } =
                usability(region, agreement, entitlement, authorization)
            else {
                panic!("usable: {says:?}")
            };
            assert!(
                message.starts_with("the account can't use a.b from eu-west-1: "),
                "{message}"
            );
            for part in says {
                assert!(message.contains(part), "{message}");
            }
            assert!(!message.contains("1234"), "{message}");
        }
    }
}
