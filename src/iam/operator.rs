//! The policy of the operator itself: it lists profiles and models, and assumes roles.

use std::collections::BTreeSet;

use crate::types::AccountId;

use super::document::{Conditions, Document, Effect, Statement};

/// Returns the policy of the operator, which does not allow invoking models.
///
/// Application profiles are listed where bindings name them.
///
/// It allows `sts:TagSession` beside `sts:AssumeRole` because sessions of EKS Pod Identity carry tags that are passed on to the
/// next role.
#[must_use]
pub fn policy(partition: &str, account: &AccountId, roles: &BTreeSet<String>) -> Document {
    let mut statements = vec![
        allow(
            "DiscoverProfiles",
            &["bedrock:ListInferenceProfiles"],
            ["application-inference-profile", "inference-profile"]
                .map(|kind| format!("arn:{partition}:bedrock:*:{account}:{kind}/*"))
                .to_vec(),
        ),
        allow(
            "DiscoverModels",
            &[
                "bedrock:GetFoundationModelAvailability",
                "bedrock:ListFoundationModels",
            ],
            vec!["*".to_owned()],
        ),
    ];
    if !roles.is_empty() {
        statements.push(allow(
            "AssumeRoles",
            &["sts:AssumeRole", "sts:TagSession"],
            roles.iter().cloned().collect(),
        ));
    }
    Document::new(statements)
}

fn allow(sid: &str, actions: &[&str], resource: Vec<String>) -> Statement {
    Statement {
        sid: sid.to_owned(),
        effect: Effect::Allow,
        action: actions.iter().map(ToString::to_string).collect(),
        resource,
        condition: Conditions::new(),
    }
}
