//! The policy of the operator itself: it lists profiles and models, and assumes roles.

use std::collections::BTreeSet;

use crate::types::AccountId;

use super::document::{Conditions, Document, Effect, Statement};

/// What an operator does in AWS besides listing system-defined profiles and models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses<'a> {
    /// Lists application profiles, because bindings name some.
    pub applications: bool,
    /// Asks whether models can be used, with `--check-access`.
    pub availability: bool,
    /// The log group of model invocation logging that is queried for where requests were served.
    pub log_group: Option<&'a str>,
    /// Looks up events of CloudTrail.
    pub lookup_events: bool,
}

/// Returns the policy of the operator, which allows what it uses, and not to invoke models.
///
/// It allows `sts:TagSession` beside `sts:AssumeRole` because sessions of EKS Pod Identity carry tags that are passed on to the
/// next role.
#[must_use]
pub fn policy(
    partition: &str,
    account: &AccountId,
    roles: &BTreeSet<String>,
    uses: Uses<'_>,
) -> Document {
    let applications = uses.applications.then_some("application-inference-profile");
    let kinds = applications.into_iter().chain(["inference-profile"]);
    let availability = uses
        .availability
        .then_some("bedrock:GetFoundationModelAvailability");
    let models: Vec<&str> = availability
        .into_iter()
        .chain(["bedrock:ListFoundationModels"])
        .collect();
    let mut statements = vec![
        allow(
            "DiscoverProfiles",
            &["bedrock:ListInferenceProfiles"],
            kinds
                .map(|kind| format!("arn:{partition}:bedrock:*:{account}:{kind}/*"))
                .collect(),
        ),
        allow("DiscoverModels", &models, vec!["*".to_owned()]),
    ];
    if let Some(group) = uses.log_group {
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
    if uses.lookup_events {
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
        let all = Uses {
            applications: true,
            availability: true,
            log_group: Some("/aws/bedrock"),
            lookup_events: true,
        };
        for (roles, uses) in [
            (BTreeSet::new(), Uses::default()),
            (BTreeSet::from([role.clone()]), all),
        ] {
            let mut queries = 0;
            for statement in policy("aws", &account, &roles, uses).statement {
                if statement.sid == "AssumeRoles" {
                    assert_eq!(statement.action, ["sts:AssumeRole", "sts:TagSession"]);
                    assert_eq!(statement.resource, std::slice::from_ref(&role));
                    continue;
                }
                for action in statement.action {
                    let (service, name) = action.split_once(':').expect("SERVICE:ACTION");
                    if service != "bedrock" {
                        queries += 1;
                        assert_ne!(uses, Uses::default(), "{action}");
                    }
                    let verbs = ["List", "Get", "Describe", "Lookup"];
                    let reads = verbs.iter().any(|verb| name.starts_with(verb));
                    let queries = ["logs:StartQuery", "logs:StopQuery"].contains(&&*action);
                    assert!(reads || queries, "{action}");
                }
            }
            assert_eq!(queries, if uses.lookup_events { 5 } else { 0 });
            let statements = policy("aws", &account, &roles, uses).statement;
            let takes_on = statements.iter().any(|it| it.sid == "AssumeRoles");
            assert_eq!(takes_on, !roles.is_empty());
        }
    }

    #[test]
    fn it_allows_what_is_used_alone() {
        let account = "111122223333".parse().expect("an account");
        let allowed = |uses| {
            let statements = policy("aws", &account, &BTreeSet::new(), uses).statement;
            let parts = statements.iter();
            let texts =
                parts.map(|it| format!("{} {}", it.action.join(" "), it.resource.join(" ")));
            texts.collect::<Vec<_>>().join("\n")
        };
        let least = allowed(Uses::default());
        assert!(!least.contains("application-inference-profile"), "{least}");
        assert!(!least.contains("GetFoundationModelAvailability"), "{least}");
        let more = allowed(Uses {
            applications: true,
            availability: true,
            ..Uses::default()
        });
        assert!(more.contains("application-inference-profile/*"), "{more}");
        assert!(more.contains("GetFoundationModelAvailability"), "{more}");
    }
}
