//! Denials that enforce a residency limit, whatever a workload is allowed.
//!
//! Every check of a request carries the region that it is about, so that one condition holds the source and all
//! destinations: `aws:RequestedRegion`. For a global profile it is `unspecified`, which no limit contains.

use std::collections::BTreeMap;

use super::{
    REQUESTED_REGION,
    document::{Conditions, Document, Effect, Statement},
};

/// What runs a model: Converse and asynchronous calls are checked as these, too.
const ACTIONS: [&str; 2] = ["bedrock:CreateModelInvocationJob", "bedrock:InvokeModel*"];

/// Returns a policy that denies to run models outside of these regions, names or patterns with `*`.
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
        // The first statement denies this, too. This one still does after somebody allows `unspecified` there, and says
        // what it is for.
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
