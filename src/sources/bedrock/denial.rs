//! Reads from AWS's message which policy denied a request, and says what has to change.
//!
//! AWS gives that nowhere else: this is the only place where a text of AWS decides what the operator says, and it decides
//! nothing else.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>

/// A kind of policy that can deny a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyKind {
    ServiceControl,
    ResourceControl,
    VpcEndpoint,
    PermissionsBoundary,
    Session,
    ResourceBased,
    RoleTrust,
    IdentityBased,
}

/// AWS's names of the kinds. It has two for session policies.
const NAMES: [(&str, PolicyKind); 9] = [
    ("service control policy", PolicyKind::ServiceControl),
    ("resource control policy", PolicyKind::ResourceControl),
    ("VPC endpoint policy", PolicyKind::VpcEndpoint),
    ("permissions boundary", PolicyKind::PermissionsBoundary),
    ("session policy", PolicyKind::Session),
    ("sessions policy", PolicyKind::Session),
    ("resource-based policy", PolicyKind::ResourceBased),
    ("role trust policy", PolicyKind::RoleTrust),
    ("identity-based policy", PolicyKind::IdentityBased),
];

impl PolicyKind {
    fn name(self) -> &'static str {
        match self {
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::VpcEndpoint => "VPC endpoint policy",
            Self::PermissionsBoundary => "permissions boundary",
            Self::Session => "session policy",
            Self::ResourceBased => "resource-based policy",
            Self::RoleTrust => "role trust policy",
            Self::IdentityBased => "identity-based policy",
        }
    }

    fn article(self) -> &'static str {
        match self {
            Self::IdentityBased => "an",
            Self::RoleTrust => "the",
            _ => "a",
        }
    }

    /// Returns which policy of this kind it is, and where it is found.
    fn place(self) -> &'static str {
        match self {
            Self::ServiceControl => "the service control policy of the organization",
            Self::ResourceControl => "the resource control policy of the organization",
            Self::VpcEndpoint => "the policy of the VPC endpoint",
            Self::PermissionsBoundary => "the permissions boundary of the caller",
            Self::Session => "the policy that was given when the caller's session began",
            Self::ResourceBased => "the policy of the resource",
            Self::RoleTrust => "the trust policy of the role",
            Self::IdentityBased => "the policy attached to the caller",
        }
    }
}

/// Why a request was denied, as AWS's message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denial {
    /// A statement denies it.
    Explicit {
        /// `None` if AWS names no kind, or one that is not known here.
        kind: Option<PolicyKind>,
        /// The policy's ARN or ID, which AWS gives within an organization.
        policy: Option<String>,
    },
    /// No policy of this kind allows it.
    Implicit(PolicyKind),
}

impl Denial {
    /// Returns why a request was denied. Returns `None` for a message in no form that AWS documents.
    pub(super) fn read(message: &str) -> Option<Self> {
        const EXPLICIT: &str = "an explicit deny";
        // AWS may break lines anywhere.
        let words: Vec<&str> = message.split_whitespace().collect();
        let message = words.join(" ");
        if let Some((_, rest)) = message.split_once(EXPLICIT) {
            return Some(explicit(rest));
        }
        let (_, rest) = message.split_once("because no ")?;
        let (kind, rest) = kind_at_start(rest)?;
        rest.starts_with(" allows ").then_some(Self::Implicit(kind))
    }

    /// Returns what AWS says, without what differs between equal denials.
    fn in_words(&self, permission: &str) -> String {
        match self {
            Self::Explicit { kind: None, .. } => "with an explicit deny".to_owned(),
            Self::Explicit {
                kind: Some(kind),
                policy,
            } => {
                let policy = policy.as_ref().map(|name| format!(" ({name})"));
                format!(
                    "with an explicit deny in {} {}{}",
                    kind.article(),
                    kind.name(),
                    policy.unwrap_or_default()
                )
            }
            Self::Implicit(kind) => {
                format!("because no {} allows the {permission} action", kind.name())
            }
        }
    }

    /// Returns why, and what to change, if that is anything else than to allow the permission where the caller gets its own.
    /// `what` is the permission with the place that it is needed in, such as `bedrock:ListInferenceProfiles in eu-west-1`.
    pub(super) fn remedy(&self, permission: &str, what: &str) -> Option<String> {
        let change = match self {
            Self::Implicit(PolicyKind::IdentityBased) => return None,
            Self::Implicit(kind @ PolicyKind::ServiceControl) => {
                format!("{} must allow {what}, on every level", kind.place())
            }
            Self::Implicit(kind) => format!("{} must allow {what}", kind.place()),
            Self::Explicit { kind, .. } => {
                let place = kind.map_or("the policy that denies it", PolicyKind::place);
                format!("{place} must stop denying {what}")
            }
        };
        Some(format!(
            "{}: an allow elsewhere does not help; {change}",
            self.in_words(permission)
        ))
    }
}

/// Reads what follows "an explicit deny".
fn explicit(rest: &str) -> Denial {
    // An endpoint policy refuses for another policy, which is the one to change.
    let named = rest
        .split_once(" transitively through ")
        .map_or(rest.strip_prefix(" in "), |(_, through)| Some(through));
    let found = named
        .map(|text| {
            let (article, after) = text.split_once(' ').unwrap_or((text, ""));
            if matches!(article, "a" | "an" | "the") {
                after
            } else {
                text
            }
        })
        .and_then(kind_at_start);
    Denial::Explicit {
        kind: found.map(|(kind, _)| kind),
        policy: found.and_then(|(_, rest)| policy(rest)),
    }
}

/// Returns the kind that a text begins with, and what follows.
fn kind_at_start(text: &str) -> Option<(PolicyKind, &str)> {
    NAMES.iter().find_map(|(name, kind)| {
        let (start, rest) = text.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some((*kind, rest))
    })
}

/// Returns the ARN or ID of a policy that follows its kind.
fn policy(rest: &str) -> Option<String> {
    /// More than any ARN of a policy has.
    const LONGEST: usize = 256;
    let name = rest.strip_prefix(": ")?.split(' ').next()?;
    let name = name.trim_end_matches(['.', ',', ')', ';']);
    let is_policy = name.starts_with("arn:") || name.starts_with("p-");
    (is_policy && name.len() <= LONGEST).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "bedrock:ListInferenceProfiles";
    const SCP: &str = "arn:aws:organizations::111122223333:policy/o-a1/service_control_policy/p-b2";

    fn denies(kind: PolicyKind) -> Denial {
        Denial::Explicit {
            kind: Some(kind),
            policy: None,
        }
    }

    /// Asserts what is read from AWS's sentence with this end, on one line and on many.
    #[track_caller]
    fn assert_read(context: &str, expected: Option<&Denial>) {
        let message = format!(
            "User: arn:aws:iam::111122223333:user/u is not authorized to perform: {LIST} on resource: * {context}"
        );
        assert_eq!(Denial::read(&message).as_ref(), expected, "{context}");
        let lines = message.replace(' ', "\n");
        assert_eq!(Denial::read(&lines).as_ref(), expected, "{context}: lines");
    }

    #[test]
    fn every_form_that_aws_documents() {
        use PolicyKind::{
            IdentityBased, PermissionsBoundary, ResourceBased, ResourceControl, RoleTrust,
            ServiceControl, Session, VpcEndpoint,
        };
        for (context, kind) in [
            ("a service control policy", ServiceControl),
            ("a Service Control Policy", ServiceControl),
            ("a resource control policy", ResourceControl),
            ("a VPC endpoint policy", VpcEndpoint),
            (
                "a VPC endpoint policy transitively through a service control policy",
                ServiceControl,
            ),
            ("a permissions boundary", PermissionsBoundary),
            ("a session policy", Session),
            ("a sessions policy", Session),
            ("a resource-based policy", ResourceBased),
            ("the role trust policy", RoleTrust),
            ("an identity-based policy", IdentityBased),
        ] {
            let expected = denies(kind);
            assert_read(
                &format!("with an explicit deny in {context}"),
                Some(&expected),
            );
            assert_read(
                &format!("due to an explicit deny in {context}"),
                Some(&expected),
            );
        }
        for (name, kind) in NAMES {
            assert_read(
                &format!("because no {name} allows the {LIST} action"),
                Some(&Denial::Implicit(kind)),
            );
        }
    }

    #[test]
    fn the_name_of_the_policy_is_read_where_aws_gives_it() {
        for (after, policy) in [
            (format!(": {SCP}"), Some(SCP)),
            (": p-b2.".to_owned(), Some("p-b2")),
            (": see your administrator".to_owned(), None),
            (format!(": arn:{}", "a".repeat(300)), None),
        ] {
            let expected = Denial::Explicit {
                kind: Some(PolicyKind::ServiceControl),
                policy: policy.map(ToOwned::to_owned),
            };
            assert_read(
                &format!("with an explicit deny in a service control policy{after}"),
                Some(&expected),
            );
        }
    }

    #[test]
    fn an_explicit_deny_of_any_kind_is_one_and_other_words_are_not_understood() {
        let unknown = Denial::Explicit {
            kind: None,
            policy: None,
        };
        for context in [
            "with an explicit deny",
            "with an explicit deny in",
            "with an explicit deny in a cloud control policy",
            "with an explicit deny transitively through",
        ] {
            assert_read(context, Some(&unknown));
        }
        let remedy = unknown.remedy(LIST, LIST).expect("a remedy");
        assert!(
            remedy.contains("the policy that denies it must stop"),
            "{remedy}"
        );
        for context in [
            "because no cloud control policy allows it",
            "because no service control policy",
            "because you can't",
            "",
        ] {
            assert_read(context, None);
        }
    }

    #[test]
    fn a_remedy_names_the_kind_of_policy_and_what_it_must_say() {
        let what = format!("{LIST} in eu-west-1");
        for (_, kind) in NAMES {
            let place = kind.place();
            let denied = denies(kind).remedy(LIST, &what);
            let denied = denied.expect("a remedy");
            assert!(denied.contains(kind.name()), "{denied}");
            let says =
                format!("an allow elsewhere does not help; {place} must stop denying {what}");
            assert!(denied.ends_with(&says), "{denied}");
            let missing = Denial::Implicit(kind).remedy(LIST, &what);
            let Some(missing) = missing else {
                assert_eq!(kind, PolicyKind::IdentityBased);
                continue;
            };
            assert!(missing.contains(&format!(
                "because no {} allows the {LIST} action",
                kind.name()
            )));
            assert!(missing.contains(&format!("{place} must allow {what}")));
        }
        let named = Denial::read(&format!(
            "with an explicit deny in a service control policy: {SCP}"
        ));
        let text = named.and_then(|denial| denial.remedy(LIST, &what));
        assert_eq!(
            text.expect("a remedy"),
            format!(
                "with an explicit deny in a service control policy ({SCP}): an allow elsewhere does not help; the service \
                 control policy of the organization must stop denying {LIST} in eu-west-1"
            )
        );
    }
}
