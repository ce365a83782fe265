//! The trust policy of a role: who may take it on.
//!
//! Sources: <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html>,
//! <https://docs.aws.amazon.com/eks/latest/userguide/associate-service-account-role.html>

use std::collections::BTreeMap;

use serde::Serialize;

use super::document::Document;
use crate::types::AccountId;

/// The audience of tokens that EKS mounts for STS.
const AUDIENCE: &str = "sts.amazonaws.com";

/// A service account of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl std::str::FromStr for ServiceAccount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_name = |name: &str| {
            let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            !name.is_empty() && name.len() <= 253 && name.chars().all(legal)
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err("expected NAMESPACE/NAME, such as shop/chat"),
        }
    }
}

/// The IAM OIDC provider of a cluster: the issuer without `https://`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcProvider(String);

impl std::str::FromStr for OidcProvider {
    type Err = &'static str;

    /// Takes the issuer's URL, the same without its scheme, or the ARN of the provider.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let of_arn = text.split_once(":oidc-provider/").map(|(_, issuer)| issuer);
        let issuer = of_arn.unwrap_or(text);
        let issuer = issuer.strip_prefix("https://").unwrap_or(issuer);
        let legal = |c: char| c.is_ascii_alphanumeric() || "-./_".contains(c);
        if issuer.contains('.') && issuer.chars().all(legal) && !issuer.starts_with(['.', '/']) {
            Ok(Self(issuer.trim_end_matches('/').to_owned()))
        } else {
            Err(
                "expected the cluster's issuer, such as oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE: `aws eks describe-cluster --name CLUSTER --query cluster.identity.oidc.issuer` prints it",
            )
        }
    }
}

/// A trust policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrustPolicy {
    version: &'static str,
    statement: [TrustStatement; 1],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TrustStatement {
    sid: &'static str,
    effect: &'static str,
    principal: BTreeMap<&'static str, String>,
    action: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<String, String>>,
}

impl TrustPolicy {
    fn new(statement: TrustStatement) -> Self {
        Self {
            version: Document::VERSION,
            statement: [statement],
        }
    }
}

/// Returns the trust policy of a role that EKS Pod Identity gives to a service account; to whatever account a pod identity
/// association names, if none is given.
#[must_use]
pub fn pod_identity(account: Option<&ServiceAccount>) -> TrustPolicy {
    let tags = account.map(|account| {
        BTreeMap::from([
            (
                "aws:RequestTag/kubernetes-namespace".to_owned(),
                account.namespace.clone(),
            ),
            (
                "aws:RequestTag/kubernetes-service-account".to_owned(),
                account.name.clone(),
            ),
        ])
    });
    TrustPolicy::new(TrustStatement {
        sid: "PodIdentity",
        effect: "Allow",
        principal: BTreeMap::from([("Service", "pods.eks.amazonaws.com".to_owned())]),
        action: vec!["sts:AssumeRole", "sts:TagSession"],
        condition: tags
            .map(|tags| ("StringEquals", tags))
            .into_iter()
            .collect(),
    })
}

/// Returns the trust policy of a role that a service account takes on by a token of the cluster's issuer (IRSA). Both the subject
/// and the audience of the token are checked: without the subject, every pod of the cluster could take on the role.
#[must_use]
pub fn web_identity(
    partition: &str,
    of: &AccountId,
    provider: &OidcProvider,
    account: &ServiceAccount,
) -> TrustPolicy {
    let issuer = &provider.0;
    let subject = format!(
        "system:serviceaccount:{}:{}",
        account.namespace, account.name
    );
    TrustPolicy::new(TrustStatement {
        sid: "WebIdentity",
        effect: "Allow",
        principal: BTreeMap::from([(
            "Federated",
            format!("arn:{partition}:iam::{of}:oidc-provider/{issuer}"),
        )]),
        action: vec!["sts:AssumeRoleWithWebIdentity"],
        condition: BTreeMap::from([(
            "StringEquals",
            BTreeMap::from([
                (format!("{issuer}:aud"), AUDIENCE.to_owned()),
                (format!("{issuer}:sub"), subject),
            ]),
        )]),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_account_is_trusted_by_its_token() {
        let account: ServiceAccount = "shop/chat".parse().expect("an account");
        let of: AccountId = "111122223333".parse().expect("an account");
        let issuer = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE";
        let arn = format!("arn:aws:iam::111122223333:oidc-provider/{issuer}");
        for given in [issuer.to_owned(), format!("https://{issuer}/"), arn.clone()] {
            let provider: OidcProvider = given.parse().expect("a provider");
            let policy = web_identity("aws", &of, &provider, &account);
            assert_eq!(
                serde_json::to_value(policy).expect("JSON")["Statement"][0],
                json!({
                    "Sid": "WebIdentity",
                    "Effect": "Allow",
                    "Principal": {"Federated": arn},
                    "Action": ["sts:AssumeRoleWithWebIdentity"],
                    "Condition": {"StringEquals": {
                        format!("{issuer}:aud"): "sts.amazonaws.com",
                        format!("{issuer}:sub"): "system:serviceaccount:shop:chat",
                    }},
                })
            );
        }
    }

    #[test]
    fn pod_identity_is_held_to_the_service_account_where_one_is_given() {
        let wide = serde_json::to_value(pod_identity(None)).expect("JSON");
        assert!(wide["Statement"][0].get("Condition").is_none());
        let account = "shop/chat".parse().expect("an account");
        let policy = serde_json::to_value(pod_identity(Some(&account))).expect("JSON");
        assert_eq!(
            policy["Statement"][0]["Condition"],
            json!({"StringEquals": {
                "aws:RequestTag/kubernetes-namespace": "shop",
                "aws:RequestTag/kubernetes-service-account": "chat",
            }})
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "shop",
            "shop/",
            "/chat",
            "shop/Chat",
            "shop/a/b",
            "*/chat",
        ] {
            assert!(text.parse::<ServiceAccount>().is_err(), "{text}");
        }
        for text in ["", "issuer", "a.b*", "https://", "a.b?c"] {
            assert!(text.parse::<OidcProvider>().is_err(), "{text}");
        }
    }
}
