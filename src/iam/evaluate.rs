//! Evaluates policies for a request, in three-valued logic: yes, no, and unknown.
//!
//! A condition on an unknown key is neither true nor false. The result names the key and the statement.
//!
//! Sources: <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_evaluation.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.

use std::fmt;

use serde_json::Value as Json;

use super::{
    PRINCIPAL_ARN,
    context::{Context, Value},
    document::Effect,
    pattern::{Pattern, Wildcards},
    truth::Truth,
};

/// Says why a document is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The document is not JSON.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// The document has no statements.
    #[error("not a policy: expected an object with a list Statement")]
    NoStatements,
    /// A statement is not valid.
    #[error("{statement}: {problem}")]
    Statement {
        /// The statement's Sid or number.
        statement: String,
        /// What is wrong.
        problem: String,
    },
}

/// A parsed policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    name: String,
    statements: Vec<Statement>,
}

/// The policies attached at one level: the root, an organizational unit or the account.
pub type Level = Vec<Policy>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    name: String,
    effect: Effect,
    action: Patterns,
    resource: Patterns,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction`, `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Patterns {
    not: bool,
    patterns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
    set: Option<SetOperator>,
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Comparison {
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Bool,
    Null,
    /// An operator that is not evaluated here.
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SetOperator {
    Any,
    All,
}

impl Policy {
    /// Parses a policy document. `name` identifies the policy in messages.
    ///
    /// # Errors
    /// Returns [`PolicyError`] for anything that is not understood; nothing is skipped.
    pub fn parse(name: &str, text: &str) -> Result<Self, PolicyError> {
        let document: Json =
            serde_json::from_str(text).map_err(|error| PolicyError::NotJson(error.to_string()))?;
        let statements = match document.get("Statement") {
            Some(Json::Array(list)) => list.clone(),
            Some(one @ Json::Object(_)) => vec![one.clone()],
            _ => return Err(PolicyError::NoStatements),
        };
        let statements = statements
            .iter()
            .enumerate()
            .map(|(index, statement)| parse_statement(index, statement))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            statements,
        })
    }

    /// Returns the name that identifies the policy in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the policy that AWS attaches to the root, and to each organizational unit and account, until somebody detaches
    /// it.
    ///
    /// Source: <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_evaluation.html>
    fn full_aws_access() -> Self {
        let everything = || Patterns {
            not: false,
            patterns: vec!["*".to_owned()],
        };
        Self {
            name: "FullAWSAccess".to_owned(),
            statements: vec![Statement {
                name: "statement 1".to_owned(),
                effect: Effect::Allow,
                action: everything(),
                resource: everything(),
                conditions: Vec::new(),
            }],
        }
    }

    fn has_allow(&self) -> bool {
        let mut statements = self.statements.iter();
        statements.any(|statement| statement.effect == Effect::Allow)
    }
}

/// Adds `FullAWSAccess` to each level whose policies have no statement that allows, and returns the indices of these levels.
///
/// Who writes a policy that only denies relies on it, and has no file of it.
pub fn add_full_access(levels: &mut [Level]) -> Vec<usize> {
    let mut added = Vec::new();
    for (index, level) in levels.iter_mut().enumerate() {
        if !level.iter().any(Policy::has_allow) {
            level.push(Policy::full_aws_access());
            added.push(index);
        }
    }
    added
}

/// Elements that a statement of a service control policy may have.
const ELEMENTS: [&str; 7] = [
    "Sid",
    "Effect",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn parse_statement(index: usize, json: &Json) -> Result<Statement, PolicyError> {
    let name = match json.get("Sid").and_then(Json::as_str) {
        Some(sid) if !sid.is_empty() => sid.to_owned(),
        _ => format!("statement {}", index + 1),
    };
    let bad = |problem: String| PolicyError::Statement {
        statement: name.clone(),
        problem,
    };
    let fields = json
        .as_object()
        .ok_or_else(|| bad("not an object".to_owned()))?;
    if let Some(unknown) = fields.keys().find(|key| !ELEMENTS.contains(&key.as_str())) {
        return Err(bad(format!(
            "{unknown} is not an element of a service control policy"
        )));
    }
    let effect = match fields.get("Effect").and_then(Json::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err(bad("Effect is neither Allow nor Deny".to_owned())),
    };
    let names = |element: &str, opposite: &str| match (fields.get(element), fields.get(opposite)) {
        (Some(json), None) | (None, Some(json)) => texts(json)
            .map(|patterns| Patterns {
                not: fields.contains_key(opposite),
                patterns,
            })
            .ok_or_else(|| {
                bad(format!(
                    "{element} is neither a string nor a list of strings"
                ))
            }),
        _ => Err(bad(format!("expected either {element} or {opposite}"))),
    };
    let action = names("Action", "NotAction")?;
    let resource = names("Resource", "NotResource")?;
    let mut conditions = Vec::new();
    if let Some(json) = fields.get("Condition") {
        let operators = json
            .as_object()
            .ok_or_else(|| bad("Condition is not an object".to_owned()))?;
        for (operator, keys) in operators {
            let keys = keys
                .as_object()
                .ok_or_else(|| bad(format!("{operator} is not an object")))?;
            for (key, values) in keys {
                let values = texts(values).ok_or_else(|| {
                    bad(format!("{key} is neither a string nor a list of strings"))
                })?;
                conditions.push(parse_condition(operator, key, values));
            }
        }
    }
    Ok(Statement {
        name,
        effect,
        action,
        resource,
        conditions,
    })
}

/// Returns a string, a boolean, a number, or a list of these, as a list of texts.
fn texts(json: &Json) -> Option<Vec<String>> {
    match json {
        Json::Array(list) => list.iter().map(text).collect(),
        one => Some(vec![text(one)?]),
    }
}

fn text(json: &Json) -> Option<String> {
    match json {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(json.to_string()),
        _ => None,
    }
}

fn parse_condition(operator: &str, key: &str, values: Vec<String>) -> Condition {
    let lower = operator.to_ascii_lowercase();
    let (set, rest) = if let Some(rest) = lower.strip_prefix("foranyvalue:") {
        (Some(SetOperator::Any), rest)
    } else if let Some(rest) = lower.strip_prefix("forallvalues:") {
        (Some(SetOperator::All), rest)
    } else {
        (None, lower.as_str())
    };
    let (base, if_exists) = match rest.strip_suffix("ifexists") {
        Some(base) => (base, true),
        None => (rest, false),
    };
    let (comparison, negated) = match base {
        "stringequals" => (Comparison::Equals, false),
        "stringnotequals" => (Comparison::Equals, true),
        "stringequalsignorecase" => (Comparison::EqualsIgnoreCase, false),
        "stringnotequalsignorecase" => (Comparison::EqualsIgnoreCase, true),
        "stringlike" => (Comparison::Like, false),
        "stringnotlike" => (Comparison::Like, true),
        "arnlike" | "arnequals" => (Comparison::Arn, false),
        "arnnotlike" | "arnnotequals" => (Comparison::Arn, true),
        "bool" => (Comparison::Bool, false),
        "null" => (Comparison::Null, false),
        _ => (Comparison::Other(operator.to_owned()), false),
    };
    Condition {
        comparison,
        negated,
        if_exists,
        set,
        key: key.to_owned(),
        values,
    }
}

impl Condition {
    fn holds(&self, context: &Context) -> Truth {
        let value = match (context.get(&self.key), &self.comparison) {
            (_, Comparison::Other(operator)) => {
                return Truth::unknown(format!("{operator} of {}", self.key));
            }
            (Value::Unknown, _) => return Truth::unknown(&self.key),
            (value, Comparison::Null) => {
                let absent = *value == Value::Absent;
                let wanted = |text: &String| text.eq_ignore_ascii_case(&absent.to_string());
                return self.values.iter().any(wanted).into();
            }
            (Value::Absent, _) => return self.holds_without_key().into(),
            (Value::Is(value), _) => value,
        };
        let matches = |wanted: &String| self.matches(wanted, value, context);
        let any = Truth::any(self.values.iter().map(matches));
        if self.negated { any.not() } else { any }
    }

    /// Returns whether the condition holds if the request does not have the key.
    fn holds_without_key(&self) -> bool {
        match self.set {
            _ if self.if_exists => true,
            Some(SetOperator::All) => true,
            Some(SetOperator::Any) => false,
            None => self.negated,
        }
    }

    fn matches(&self, wanted: &str, value: &str, context: &Context) -> Truth {
        let wildcards = if matches!(self.comparison, Comparison::Like | Comparison::Arn) {
            Wildcards::Meant
        } else {
            Wildcards::Literal
        };
        let lower = str::to_ascii_lowercase;
        match self.comparison {
            Comparison::EqualsIgnoreCase | Comparison::Bool => {
                Pattern::new(&lower(wanted), wildcards, context).matches(&lower(value))
            }
            Comparison::Arn => Pattern::new(wanted, wildcards, context).matches_arn(value),
            Comparison::Equals | Comparison::Like | Comparison::Null | Comparison::Other(_) => {
                Pattern::new(wanted, wildcards, context).matches(value)
            }
        }
    }
}

impl Statement {
    fn applies(&self, action: &str, resource: &str, context: &Context) -> Truth {
        let action = action.to_ascii_lowercase();
        let acts = self.action.holds(|pattern| {
            Pattern::new(&pattern.to_ascii_lowercase(), Wildcards::Meant, context).matches(&action)
        });
        if acts == Truth::No {
            return Truth::No;
        }
        let conditions = Truth::all(self.conditions.iter().map(|one| one.holds(context)));
        if conditions == Truth::No {
            return Truth::No;
        }
        let concerns = self.resource.holds(|pattern| {
            Pattern::new(pattern, Wildcards::Meant, context).matches_resource(resource)
        });
        acts.and(conditions).and(concerns)
    }
}

impl Patterns {
    fn holds(&self, matches: impl Fn(&str) -> Truth) -> Truth {
        let any = Truth::any(self.patterns.iter().map(|pattern| matches(pattern)));
        if self.not { any.not() } else { any }
    }
}

/// The decision of the policies of all levels about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Every level allows the request, and no statement denies it.
    Allowed,
    /// The request is denied.
    Denied(Denial),
    /// The decision depends on unknown condition keys.
    CantJudge(Vec<Doubt>),
}

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// A statement denies the request.
    Statement {
        /// The policy.
        policy: String,
        /// The statement's Sid or number.
        statement: String,
        /// Whether the statement exempts principals by name, and it is not known who calls.
        exempts: bool,
    },
    /// No statement of a level allows the request.
    NotAllowed {
        /// Number of the level, from 1.
        level: usize,
        /// The policies of that level.
        policies: Vec<String>,
    },
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement {
                policy,
                statement,
                exempts,
            } => {
                let but = if *exempts {
                    ", except for principals that it names"
                } else {
                    ""
                };
                write!(f, "{statement} of {policy}{but}")
            }
            Self::NotAllowed { level, policies } => write!(
                f,
                "no statement of level {level} ({}) allows it",
                policies.join(", ")
            ),
        }
    }
}

/// A statement whose result is unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    /// The policy.
    pub policy: String,
    /// The statement's Sid or number.
    pub statement: String,
    /// The unknown condition keys.
    pub unknown: Vec<String>,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unknown, statement, policy) = (self.unknown.join(", "), &self.statement, &self.policy);
        write!(f, "{statement} of {policy} depends on {unknown}")
    }
}

/// Evaluates a request: any Deny wins, and every level must have an Allow.
///
/// An explicit Deny is named before a missing Allow. Of explicit ones, those that hold for every principal come first.
#[must_use]
pub fn judge(levels: &[Level], action: &str, resource: &str, context: &Context) -> Decision {
    let unnamed = unnamed_principal(resource, context);
    let mut doubts = Vec::new();
    let mut denied_unless_named = None;
    let mut not_allowed = None;
    for (index, level) in levels.iter().enumerate() {
        let mut allowed = Truth::No;
        let mut allow_doubts = Vec::new();
        for (policy, statement) in level
            .iter()
            .flat_map(|policy| policy.statements.iter().map(move |one| (policy, one)))
        {
            let truth = statement.applies(action, resource, context);
            let denial = |exempts| Denial::Statement {
                policy: policy.name.clone(),
                statement: statement.name.clone(),
                exempts,
            };
            if let Truth::Unknown(unknown) = &truth {
                let doubt = Doubt {
                    policy: policy.name.clone(),
                    statement: statement.name.clone(),
                    unknown: unknown.iter().cloned().collect(),
                };
                match statement.effect {
                    Effect::Allow => allow_doubts.push(doubt),
                    Effect::Deny => {
                        if let Some(unnamed) = &unnamed
                            && statement.applies(action, resource, unnamed) == Truth::Yes
                        {
                            denied_unless_named.get_or_insert_with(|| denial(true));
                        }
                        doubts.push(doubt);
                    }
                }
            }
            match (statement.effect, truth) {
                (Effect::Deny, Truth::Yes) => return Decision::Denied(denial(false)),
                (Effect::Deny, _) => {}
                (Effect::Allow, truth) => allowed = allowed.or(truth),
            }
        }
        match allowed {
            Truth::Yes => {}
            Truth::No => {
                not_allowed.get_or_insert_with(|| Denial::NotAllowed {
                    level: index + 1,
                    policies: level.iter().map(|policy| policy.name.clone()).collect(),
                });
            }
            Truth::Unknown(_) => doubts.extend(allow_doubts),
        }
    }
    match denied_unless_named.or(not_allowed) {
        Some(denial) => Decision::Denied(denial),
        None if doubts.is_empty() => Decision::Allowed,
        None => {
            doubts.sort();
            doubts.dedup();
            Decision::CantJudge(doubts)
        }
    }
}

/// Returns the context of a role that no policy names, if it is not known who calls.
///
/// Policies that deny regions exempt a few roles by name, those that set up accounts. The denial holds for all others, so it
/// is told as one. A statement that denies named principals is not decided by this: it stays in doubt.
fn unnamed_principal(resource: &str, context: &Context) -> Option<Context> {
    // A character that neither a policy nor the name of a role can have.
    const NAME: &str = "\u{1f}";
    if *context.get(PRINCIPAL_ARN) != Value::Unknown {
        return None;
    }
    let partition = resource.split(':').nth(1).unwrap_or("aws");
    let account = match context.get("aws:PrincipalAccount") {
        Value::Is(account) => account,
        Value::Absent | Value::Unknown => "",
    };
    let arn = format!("arn:{partition}:iam::{account}:role/{NAME}");
    Some(context.clone().with(PRINCIPAL_ARN, Value::Is(arn)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:bedrock:eu-west-1::foundation-model/a.b";

    fn policy(name: &str, statements: &[(&str, &str)]) -> Policy {
        let statements: Vec<Json> = statements
            .iter()
            .map(|(effect, condition)| {
                let condition: Json = serde_json::from_str(condition).expect("JSON");
                serde_json::json!({
                    "Sid": format!("{effect}It"), "Effect": effect, "Action": "bedrock:*",
                    "Resource": "*", "Condition": condition,
                })
            })
            .collect();
        let document = serde_json::json!({"Statement": statements});
        Policy::parse(name, &document.to_string()).expect("a policy")
    }

    #[test]
    fn three_values() {
        let (yes, no, unknown) = (Truth::Yes, Truth::No, Truth::unknown("a"));
        for (a, b, and, or) in [
            (&yes, &yes, &yes, &yes),
            (&yes, &no, &no, &yes),
            (&no, &no, &no, &no),
            (&unknown, &yes, &unknown, &yes),
            (&unknown, &no, &no, &unknown),
            (&unknown, &unknown, &unknown, &unknown),
        ] {
            for (a, b) in [(a, b), (b, a)] {
                assert_eq!(a.clone().and(b.clone()), *and, "{a:?} and {b:?}");
                assert_eq!(a.clone().or(b.clone()), *or, "{a:?} or {b:?}");
            }
        }
        assert_eq!(Truth::all([]), Truth::Yes);
        assert_eq!(Truth::any([]), Truth::No);
    }

    /// The policies of each level, and their decision.
    type Case<'a> = (&'a [&'a [(&'a str, &'a str)]], &'a str);

    #[test]
    fn levels() {
        const ALWAYS: &str = "{}";
        const NEVER: &str = r#"{"Bool": {"aws:SecureTransport": "false"}}"#;
        const MAYBE: &str = r#"{"StringEquals": {"aws:PrincipalTag/team": "chat"}}"#;
        const BUT_ADMIN: &str =
            r#"{"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/admin"}}"#;
        const BUT_ALL_ROLES: &str =
            r#"{"StringNotLike": {"aws:PrincipalArn": "arn:*:iam::*:role/*"}}"#;
        const ONLY_GUESTS: &str =
            r#"{"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/guest-*"}}"#;
        const BUT_ADMIN_AND_TEAM: &str = r#"{
            "ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/admin"},
            "StringNotEquals": {"aws:PrincipalTag/team": "chat"}
        }"#;
        let context = Context::default().with("AWS:SecureTransport", Value::Is("true".to_owned()));
        let cases: &[Case<'_>] = &[
            (&[], "allowed"),
            (&[&[("Allow", ALWAYS)]], "allowed"),
            (&[&[("Allow", ALWAYS), ("Deny", NEVER)]], "allowed"),
            (&[&[("Allow", ALWAYS), ("Deny", ALWAYS)]], "DenyIt of 1"),
            (
                &[&[("Allow", ALWAYS)], &[]],
                "no statement of level 2 (2) allows it",
            ),
            (
                &[&[("Allow", NEVER)]],
                "no statement of level 1 (1) allows it",
            ),
            (
                &[&[("Allow", ALWAYS), ("Deny", MAYBE)]],
                "DenyIt of 1 depends on aws:PrincipalTag/team",
            ),
            (
                &[&[("Allow", MAYBE)]],
                "AllowIt of 1 depends on aws:PrincipalTag/team",
            ),
            // One certain Allow is enough.
            (&[&[("Allow", MAYBE), ("Allow", ALWAYS)]], "allowed"),
            // A certain decision counts, on whatever level.
            (
                &[&[("Allow", MAYBE), ("Deny", MAYBE)], &[("Deny", ALWAYS)]],
                "DenyIt of 2",
            ),
            (
                &[&[("Allow", MAYBE)], &[("Allow", NEVER)]],
                "no statement of level 2 (2) allows it",
            ),
            // A Deny that exempts principals holds for whoever it does not name, and is named before a missing Allow.
            (
                &[&[("Allow", ALWAYS), ("Deny", BUT_ADMIN)]],
                "DenyIt of 1, except for principals that it names",
            ),
            (
                &[&[("Deny", BUT_ADMIN)]],
                "DenyIt of 1, except for principals that it names",
            ),
            (
                &[&[("Deny", BUT_ADMIN)], &[("Deny", ALWAYS)]],
                "DenyIt of 2",
            ),
            (
                &[&[("Allow", ALWAYS), ("Deny", BUT_ALL_ROLES)]],
                "DenyIt of 1 depends on aws:PrincipalArn",
            ),
            // One that names whom it denies says nothing of others.
            (
                &[&[("Allow", ALWAYS), ("Deny", ONLY_GUESTS)]],
                "DenyIt of 1 depends on aws:PrincipalArn",
            ),
            (
                &[&[("Allow", ALWAYS), ("Deny", BUT_ADMIN_AND_TEAM)]],
                "DenyIt of 1 depends on aws:PrincipalArn, aws:PrincipalTag/team",
            ),
        ];
        for (levels, expected) in cases {
            let levels: Vec<Level> = levels
                .iter()
                .enumerate()
                .map(|(index, statements)| vec![policy(&(index + 1).to_string(), statements)])
                .collect();
            let found = match judge(&levels, "bedrock:InvokeModel", ARN, &context) {
                Decision::Allowed => "allowed".to_owned(),
                Decision::Denied(denial) => denial.to_string(),
                Decision::CantJudge(doubts) => doubts[0].to_string(),
            };
            assert_eq!(found, *expected, "{levels:?}");
        }
    }

    #[test]
    fn a_level_that_only_denies_is_judged_with_full_access() {
        const ALWAYS: &str = "{}";
        const NEVER: &str = r#"{"Bool": {"aws:SecureTransport": "false"}}"#;
        let context = Context::default().with("aws:SecureTransport", Value::Is("true".to_owned()));
        let (allow, deny) = (
            policy("allow", &[("Allow", NEVER)]),
            policy("deny", &[("Deny", NEVER)]),
        );
        let deny_all = policy("deny-all", &[("Deny", ALWAYS)]);
        for (mut levels, added, allowed) in [
            (vec![], vec![], true),
            (vec![vec![deny.clone()]], vec![0], true),
            (
                vec![vec![deny.clone(), deny.clone()], vec![deny.clone()]],
                vec![0, 1],
                true,
            ),
            // An Allow counts even if it does not apply.
            (vec![vec![deny.clone(), allow.clone()]], vec![], false),
            (vec![vec![allow], vec![deny]], vec![1], false),
            (vec![vec![deny_all]], vec![0], false),
        ] {
            assert_eq!(add_full_access(&mut levels), added, "{levels:?}");
            let decision = judge(&levels, "bedrock:InvokeModel", ARN, &context);
            assert_eq!(decision == Decision::Allowed, allowed, "{levels:?}");
            assert_eq!(add_full_access(&mut levels), [0; 0], "once is enough");
        }
    }
}
