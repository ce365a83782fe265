//! The operator's allow-list of roles: which roles it may assume for which namespaces. Nothing is allowed by default.
//!
//! An entry is `ARN-PATTERN;namespaces=A,B[;external-id=X]`. A binding chooses a role; only the operator's configuration
//! decides whether it may, and with which external ID.

use std::{fmt, sync::Arc};

use crate::{
    glob::{Glob, PathGlob},
    types::{Arn, RoleArn},
};

/// What an entry looks like, for messages.
const EXAMPLE: &str = "arn:aws:iam::111122223333:role/bedrock-*;namespaces=shop,pay-*";

/// The most namespaces, as names or patterns, that all entries list together. Each entry has at least one.
const MOST_NAMESPACES: usize = 1024;

/// What is wrong with an allow-list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowedRolesError {
    /// One entry is malformed.
    #[error("allowed role {entry:?}: {problem}; an example: {EXAMPLE}")]
    Entry {
        /// The entry as it was given.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The list is too long.
    #[error(
        "the allowed roles list {count} namespaces together, and at most {MOST_NAMESPACES} are allowed: use patterns such as \
         pay-*, or * for all"
    )]
    TooManyNamespaces {
        /// How many namespaces all entries list together.
        count: usize,
    },
    /// A role would have two external IDs.
    #[error(
        "allowed roles {first} and {second} can be the same role and have different external IDs: give both the same one, or \
         narrow one of them"
    )]
    ExternalIds {
        /// Pattern of the earlier entry.
        first: String,
        /// Pattern of the later one.
        second: String,
    },
}

/// A refusal of a role: which roles are allowed instead, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RoleNotAllowed(String);

/// How an allowed role is assumed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// The external ID that the role's trust policy asks for.
    pub external_id: Option<Arc<str>>,
}

/// The roles that bindings may name, by namespace. The default allows none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedRoles {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// An ARN whose part after `role/` may hold `*`, which stands for any text without `/`: `role/app-*` does not reach
    /// into the path `role/app-1/`, which other people may fill.
    role: PathGlob,
    namespaces: Vec<Glob>,
    external_id: Option<Arc<str>>,
}

impl AllowedRoles {
    /// Parses an allow-list. Each text has one entry, or several separated by white space, which no entry contains.
    ///
    /// # Errors
    /// [`AllowedRolesError`] if an entry is malformed, if there are too many, or if two entries that match the same role have
    /// different external IDs: a role is assumed once for all who use it.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, AllowedRolesError> {
        let entries: Vec<Entry> = texts
            .iter()
            .flat_map(|text| text.as_ref().split_whitespace())
            .map(|entry| {
                Entry::parse(entry).map_err(|problem| AllowedRolesError::Entry {
                    entry: entry.to_owned(),
                    problem,
                })
            })
            .collect::<Result<_, _>>()?;
        let count = entries.iter().map(|entry| entry.namespaces.len()).sum();
        if count > MOST_NAMESPACES {
            return Err(AllowedRolesError::TooManyNamespaces { count });
        }
        for (position, second) in entries.iter().enumerate() {
            let contradicts = |first: &&Entry| {
                first.external_id != second.external_id && first.role.overlaps(&second.role)
            };
            if let Some(first) = entries[..position].iter().find(contradicts) {
                return Err(AllowedRolesError::ExternalIds {
                    first: first.role.to_string(),
                    second: second.role.to_string(),
                });
            }
        }
        Ok(Self { entries })
    }

    /// Returns how bindings of a namespace use a role.
    ///
    /// # Errors
    /// [`RoleNotAllowed`] if they may not. It names the roles that this namespace may use, and none of other namespaces.
    pub fn permits(
        &self,
        role_arn: &RoleArn,
        namespace: &str,
    ) -> Result<Permission, RoleNotAllowed> {
        let here = || self.entries.iter().filter(|entry| entry.is_for(namespace));
        find(here(), role_arn).ok_or_else(|| {
            let allowed: Vec<&str> = here().map(|entry| entry.role.as_str()).collect();
            RoleNotAllowed(if allowed.is_empty() {
                format!(
                    "the operator allows no roles in namespace {namespace}: remove roleARN, or let whoever runs the \
                     operator give it --allow-role-arn '{role_arn};namespaces={namespace}'"
                )
            } else {
                format!(
                    "the operator does not allow the role {role_arn} in namespace {namespace}: set roleARN to one of {}, \
                     or let whoever runs the operator give it --allow-role-arn '{role_arn};namespaces={namespace}'",
                    allowed.join(", ")
                )
            })
        })
    }

    /// Returns how bindings of any namespace use a role.
    ///
    /// # Errors
    /// [`RoleNotAllowed`] if none may. It names no entry.
    pub fn permits_anywhere(&self, role_arn: &RoleArn) -> Result<Permission, RoleNotAllowed> {
        find(self.entries.iter(), role_arn).ok_or_else(|| {
            RoleNotAllowed(format!(
                "the operator does not allow the role {role_arn}: remove roleARN, or let whoever runs the operator give \
                 it --allow-role-arn '{role_arn};namespaces=NAMESPACE'"
            ))
        })
    }
}

/// Returns the permission of the first entry that matches. All that match agree.
fn find<'a>(
    mut entries: impl Iterator<Item = &'a Entry>,
    role_arn: &RoleArn,
) -> Option<Permission> {
    let entry = entries.find(|entry| entry.role.matches(role_arn.as_str()))?;
    Some(Permission {
        external_id: entry.external_id.clone(),
    })
}

impl Entry {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';');
        let role = parts.next().unwrap_or_default();
        check_role(role)?;
        let role = PathGlob::parse(role).map_err(|error| format!("the role: {error}"))?;
        let (mut namespaces, mut external_id) = (None, None);
        for part in parts {
            let (seen, value) = match part.split_once('=') {
                Some(("namespaces", value)) => (&mut namespaces, value),
                Some(("external-id", value)) => (&mut external_id, value),
                _ => return Err("after a semicolon comes namespaces= or external-id=".into()),
            };
            if seen.replace(value).is_some() {
                return Err("namespaces= or external-id= is given twice".into());
            }
        }
        let namespaces = namespaces
            .ok_or("namespaces= is missing; namespaces=* means all")?
            .split(',')
            .map(parse_namespace)
            .collect::<Result<_, _>>()?;
        if external_id.is_some_and(|id| !is_external_id(id)) {
            return Err(
                "an external ID has 2 to 1224 letters, digits and characters of _+=,.@:/-".into(),
            );
        }
        Ok(Self {
            role,
            namespaces,
            external_id: external_id.map(Into::into),
        })
    }

    fn is_for(&self, namespace: &str) -> bool {
        self.namespaces
            .iter()
            .any(|pattern| pattern.matches(namespace))
    }
}

impl fmt::Display for AllowedRoles {
    /// Writes the entries as they were given, without external IDs, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return f.write_str("none");
        }
        for (position, entry) in self.entries.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            let namespaces: Vec<&str> = entry.namespaces.iter().map(Glob::as_str).collect();
            write!(
                f,
                "{space}{};namespaces={}",
                entry.role,
                namespaces.join(",")
            )?;
        }
        Ok(())
    }
}

/// Checks the ARN of a role, or a pattern of such ARNs. Partition and account are always literal.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
fn check_role(text: &str) -> Result<(), &'static str> {
    const NOT_LITERAL: &str = "it is not an ARN with a literal partition and account";
    let arn = Arn::parse(text).map_err(|_| NOT_LITERAL)?;
    let literal = !arn.partition.contains('*');
    if !literal || arn.service != "iam" || arn.region.is_some() || arn.account.is_none() {
        return Err(NOT_LITERAL);
    }
    // Only the resource can still have stars, and each stands for characters that a name may have.
    match text.replace('*', "x").parse::<RoleArn>() {
        Ok(_) => Ok(()),
        Err(_) => Err(
            "the ARN does not name a role: expected role/NAME, where * stands for any text without /",
        ),
    }
}

fn parse_namespace(text: &str) -> Result<Glob, String> {
    let character = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-*".contains(c);
    if !(1..=63).contains(&text.len()) || !text.chars().all(character) {
        return Err("namespaces must be comma-separated names, where * stands for any text".into());
    }
    Glob::parse(text).map_err(|error| format!("namespace {text}: {error}"))
}

/// Returns whether STS takes this as an external ID.
///
/// Source: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
fn is_external_id(text: &str) -> bool {
    (2..=1224).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str =
        "arn:aws:iam::111122223333:role/bedrock-*;namespaces=shop,pay-*;external-id=abc";
    const ALL: &str = "arn:aws:iam::444455556666:role/team/x;namespaces=*";

    fn role(arn: &str) -> RoleArn {
        arn.parse().expect(arn)
    }

    #[test]
    fn nothing_is_allowed_by_default() {
        let none = AllowedRoles::default();
        assert_eq!(AllowedRoles::parse::<&str>(&[]), Ok(none.clone()));
        assert_eq!(none.to_string(), "none");
        assert_eq!(
            none.permits(&role("arn:aws:iam::111122223333:role/r"), "shop")
                .expect_err("refused")
                .to_string(),
            "the operator allows no roles in namespace shop: remove roleARN, or let whoever runs the operator give it \
             --allow-role-arn 'arn:aws:iam::111122223333:role/r;namespaces=shop'"
        );
        assert!(
            none.permits_anywhere(&role("arn:aws:iam::111122223333:role/r"))
                .is_err()
        );
    }

    #[test]
    fn a_role_is_allowed_by_pattern_and_namespace() {
        let roles = AllowedRoles::parse(&[SHOP, ALL]).expect("entries");
        for (arn, namespace, external_id) in [
            (
                "arn:aws:iam::111122223333:role/bedrock-a",
                "shop",
                Some(Some("abc")),
            ),
            (
                "arn:aws:iam::111122223333:role/bedrock-",
                "pay-1",
                Some(Some("abc")),
            ),
            ("arn:aws:iam::111122223333:role/bedrock-a", "shop-2", None),
            ("arn:aws:iam::111122223333:role/bedrock-a", "xpay-1", None),
            ("arn:aws:iam::111122223333:role/bedrock", "shop", None),
            (
                "arn:aws:iam::111122223333:role/bedrock-a/admin",
                "shop",
                None,
            ),
            ("arn:aws:iam::111122223333:role/x/bedrock-a", "shop", None),
            ("arn:aws:iam::111122223334:role/bedrock-a", "shop", None),
            (
                "arn:aws-us-gov:iam::111122223333:role/bedrock-a",
                "shop",
                None,
            ),
            (
                "arn:aws:iam::444455556666:role/team/x",
                "anything",
                Some(None),
            ),
            ("arn:aws:iam::444455556666:role/team/xy", "anything", None),
        ] {
            let found = roles.permits(&role(arn), namespace).ok();
            let found = found.map(|permission| permission.external_id);
            let expected = external_id.map(|id| id.map(Arc::from));
            assert_eq!(found, expected, "{arn} in {namespace}");
        }
        let anywhere = roles.permits_anywhere(&role("arn:aws:iam::111122223333:role/bedrock-a"));
        assert_eq!(
            anywhere.expect("some namespace").external_id.as_deref(),
            Some("abc")
        );
    }

    #[test]
    fn a_refusal_names_what_this_namespace_may_use_and_nothing_of_others() {
        let roles = AllowedRoles::parse(&[SHOP]).expect("entries");
        let refusal = |namespace| {
            roles
                .permits(&role("arn:aws:iam::999999999999:role/r"), namespace)
                .expect_err("refused")
                .to_string()
        };
        assert_eq!(
            refusal("shop"),
            "the operator does not allow the role arn:aws:iam::999999999999:role/r in namespace shop: set roleARN to one \
             of arn:aws:iam::111122223333:role/bedrock-*, or let whoever runs the operator give it --allow-role-arn \
             'arn:aws:iam::999999999999:role/r;namespaces=shop'"
        );
        assert!(!refusal("shop").contains("abc"));
        for secret in ["111122223333", "bedrock-", "pay", "abc"] {
            assert!(!refusal("other").contains(secret), "{}", refusal("other"));
        }
        let anywhere = roles.permits_anywhere(&role("arn:aws:iam::999999999999:role/r"));
        assert!(
            !anywhere
                .expect_err("refused")
                .to_string()
                .contains("111122223333")
        );
    }

    #[test]
    fn several_entries_stand_in_one_text() {
        let text = format!("  {SHOP}\n{ALL} ");
        let roles = AllowedRoles::parse(&[text]).expect("entries");
        assert_eq!(Ok(roles.clone()), AllowedRoles::parse(&[SHOP, ALL]));
        assert_eq!(
            roles.to_string(),
            "arn:aws:iam::111122223333:role/bedrock-*;namespaces=shop,pay-* \
             arn:aws:iam::444455556666:role/team/x;namespaces=*"
        );
    }

    #[test]
    fn malformed_entries_say_what_is_wrong() {
        let role = "arn:aws:iam::111122223333:role/r";
        for (entry, says) in [
            (role.to_owned(), "namespaces= is missing"),
            (format!("{role};namespaces="), "comma-separated names"),
            (format!("{role};namespaces=a,"), "comma-separated names"),
            (format!("{role};namespaces=A"), "comma-separated names"),
            (format!("{role};namespaces=a;namespaces=b"), "twice"),
            (format!("{role};namespaces=a;external-id=x"), "2 to 1224"),
            (
                format!("{role};namespaces=a;session=x"),
                "after a semicolon",
            ),
            (format!("{role};namespaces=a;"), "after a semicolon"),
            ("*;namespaces=*".to_owned(), "literal partition and account"),
            (
                "arn:aws:iam::*:role/r;namespaces=*".to_owned(),
                "literal partition",
            ),
            (
                "arn:aws-*:iam::111122223333:role/r;namespaces=*".to_owned(),
                "literal partition",
            ),
            (
                "arn:aws:sts::111122223333:role/r;namespaces=*".to_owned(),
                "literal partition",
            ),
            (
                "arn:aws:iam:us-east-1:111122223333:role/r;namespaces=*".to_owned(),
                "literal",
            ),
            (
                "arn:aws:iam::111122223333:user/u;namespaces=*".to_owned(),
                "does not name a role",
            ),
            (
                "arn:aws:iam::111122223333:*;namespaces=*".to_owned(),
                "does not name a role",
            ),
            (
                "arn:aws:iam::111122223333:role/;namespaces=*".to_owned(),
                "does not name a role",
            ),
            (
                "arn:aws:iam::111122223333:role/ü;namespaces=*".to_owned(),
                "does not name a role",
            ),
            (
                "arn:aws:iam::111122223333:role/*a*b*c*d*;namespaces=*".to_owned(),
                "the role: it has 5 stars (*), and at most 4 are allowed",
            ),
            (
                format!("{role};namespaces=shop,p*a*y*-**"),
                "namespace p*a*y*-**: it has 5 stars (*), and at most 4 are allowed",
            ),
        ] {
            let error = AllowedRoles::parse(&[&entry])
                .expect_err(&entry)
                .to_string();
            assert!(error.contains(says) && error.contains(EXAMPLE), "{error}");
        }
    }

    #[test]
    fn a_list_has_a_bound() {
        let entry = |namespaces: usize| {
            let namespaces = vec!["a*b*c*d*"; namespaces].join(",");
            format!("arn:aws:iam::111122223333:role/*/*/*/*;namespaces={namespaces}")
        };
        let most = [entry(1000), vec![entry(1); 24].join(" ")];
        assert!(AllowedRoles::parse(&most).is_ok());
        let error = AllowedRoles::parse(&[entry(1000), vec![entry(1); 25].join(" ")]);
        assert_eq!(
            error.expect_err("too many").to_string(),
            "the allowed roles list 1025 namespaces together, and at most 1024 are allowed: use patterns such as pay-*, or * \
             for all"
        );
    }

    #[test]
    fn a_role_has_one_external_id() {
        let entry = |pattern: &str, rest: &str| {
            format!("arn:aws:iam::111122223333:role/{pattern};namespaces=a{rest}")
        };
        for (first, second, consistent) in [
            (
                entry("x*", ";external-id=11"),
                entry("x*", ";external-id=11"),
                true,
            ),
            (
                entry("x*", ";external-id=11"),
                entry("*y", ";external-id=22"),
                false,
            ),
            (entry("x*", ";external-id=11"), entry("x1", ""), false),
            (
                entry("x*", ";external-id=11"),
                entry("y*", ";external-id=22"),
                true,
            ),
            (
                entry("x*", ";external-id=11"),
                entry("x/*", ";external-id=22"),
                true,
            ),
        ] {
            let parsed = AllowedRoles::parse(&[&first, &second]);
            assert_eq!(parsed.is_ok(), consistent, "{first} {second}");
            assert_eq!(
                parsed.is_ok(),
                AllowedRoles::parse(&[&second, &first]).is_ok()
            );
        }
    }
}
