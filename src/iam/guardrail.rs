//! A policy that enforces a residency limit by denials, whatever else a workload is allowed to do.
//!
//! Every check of a request carries its region in `aws:RequestedRegion`, so that one condition covers the source region and all
//! destination regions. For a global profile the value is `unspecified`, which no limit contains.

use std::collections::BTreeMap;

use super::{
    REQUESTED_REGION,
    document::{Conditions, Document, Effect, Statement},
};

/// The actions that run a model. IAM also checks Converse and asynchronous calls as these.
const ACTIONS: [&str; 2] = ["bedrock:CreateModelInvocationJob", "bedrock:InvokeModel*"];

/// Returns a policy that denies running models outside these regions, which are names or patterns with `*`.
#[must_use]
pub fn policy(regions: &[String]) -> Document {
    let operator = if regions.iter().any(|region| region.contains('*')) {
        "StringNotLike"
    } else {
        "StringNotEquals"
    };
    let outside = BTreeMap::from([(REQUESTED_REGION, regions.to_vec())]);
    Document::new(vec![
        deny(
            "DenyModelsOutsideLimit",
            "*",
            Conditions::from([(operator, outside)]),
        ),
        // The first statement denies this too. This statement still does if someone adds `unspecified` there, and its name
        // says what it is for.
        deny(
            "DenyGlobalProfiles",
            "arn:*:bedrock:::foundation-model/*",
            Conditions::new(),
        ),
    ])
}

fn deny(sid: &str, resource: &str, condition: Conditions) -> Statement {
    Statement {
        sid: sid.to_owned(),
        effect: Effect::Deny,
        action: ACTIONS.map(ToOwned::to_owned).to_vec(),
        resource: vec![resource.to_owned()],
        condition,
    }
}
