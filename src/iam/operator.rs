//! The policy of the operator itself: it lists profiles and models, and assumes roles.

use std::collections::BTreeSet;

use crate::types::AccountId;

use super::document::{Conditions, Document, Effect, Statement};

/// What may be looked at beside the catalog: where requests were served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServedLogs<'a> {
    /// The log group of model invocation logging that may be queried.
    pub log_group: Option<&'a str>,
    /// Whether events of CloudTrail may be looked up.
    pub lookup_events: bool,
}

/// Returns the policy of the operator, which does not allow invoking models.
///
/// Application profiles are listed where bindings name them.
///
/// It allows `sts:TagSession` beside `sts:AssumeRole` because sessions of EKS Pod Identity carry tags that are passed on to the
/// next role.
#[must_use]
pub fn policy(
    partition: &str,
    account: &AccountId,
    roles: &BTreeSet<String>,
    logs: ServedLogs<'_>,
) -> Document {
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
    if let Some(group) = logs.log_group {
        let group = format!("arn:{partition}:logs:*:{account}:log-group:{group}");
        // A query changes nothing, and is named after what it begins. The other operations know no resources.
        statements.push(allow(
            "QueryInvocationLogs",
            &["logs:StartQuery"],
            vec![group.clone(), format!("{group}:*")],
        ));
        statements.push(allow(
            "FollowQueries",
            &[
                "logs:DescribeLogGroups",
                "logs:GetQueryResults",
                "logs:StopQuery",
            ],
            vec!["*".to_owned()],
        ));
    }
    if logs.lookup_events {
        statements.push(allow(
            "LookUpEvents",
            &["cloudtrail:LookupEvents"],
            vec!["*".to_owned()],
        ));
    }
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
        let all = ServedLogs {
            log_group: Some("/aws/bedrock"),
            lookup_events: true,
        };
        for (roles, logs) in [
            (BTreeSet::new(), ServedLogs::default()),
            (BTreeSet::from([role.clone()]), all),
        ] {
            let mut queries = 0;
            for statement in policy("aws", &account, &roles, logs).statement {
                if statement.sid == "AssumeRoles" {
                    assert_eq!(statement.action, ["sts:AssumeRole", "sts:TagSession"]);
                    assert_eq!(statement.resource, std::slice::from_ref(&role));
                    continue;
                }
                for action in statement.action {
                    let (service, name) = action.split_once(':').expect("SERVICE:ACTION");
                    if service != "bedrock" {
                        queries += 1;
                        assert_ne!(logs, ServedLogs::default(), "{action}");
                    }
                    let verbs = ["List", "Get", "Describe", "Lookup"];
                    let reads = verbs.iter().any(|verb| name.starts_with(verb));
                    let queries = ["logs:StartQuery", "logs:StopQuery"].contains(&&*action);
                    assert!(reads || queries, "{action}");
                }
            }
            assert_eq!(queries, if logs.lookup_events { 5 } else { 0 });
            let statements = policy("aws", &account, &roles, logs).statement;
            let takes_on = statements.iter().any(|it| it.sid == "AssumeRoles");
            assert_eq!(takes_on, !roles.is_empty());
        }
    }
}
