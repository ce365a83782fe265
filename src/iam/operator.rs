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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_only_reads_and_takes_on_only_named_roles() {
        let account = "111122223333".parse().expect("an account");
        let role = "arn:aws:iam::444455556666:role/discovery".to_owned();
        for roles in [BTreeSet::new(), BTreeSet::from([role.clone()])] {
            for statement in policy("aws", &account, &roles).statement {
                if statement.sid == "AssumeRoles" {
                    assert_eq!(statement.action, ["sts:AssumeRole", "sts:TagSession"]);
                    assert_eq!(statement.resource, std::slice::from_ref(&role));
                    continue;
                }
                for action in statement.action {
                    let (service, name) = action.split_once(':').expect("SERVICE:ACTION");
                    let reads = name.starts_with("List") || name.starts_with("Get");
                    assert!(service == "bedrock" && reads, "{action}");
                }
            }
            let statements = policy("aws", &account, &roles).statement;
            let takes_on = statements.iter().any(|it| it.sid == "AssumeRoles");
            assert_eq!(takes_on, !roles.is_empty());
        }
    }
}
