//! Patterns in policies: wildcards, ARNs and policy variables.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use super::{
    context::{Context, Value},
    truth::Truth,
};

/// A part of a pattern, after variables were replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// This character.
    Literal(char),
    /// `?`
    One,
    /// `*`
    Any,
}

/// A pattern of a policy, ready for matching.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
    /// Variables whose values are not known; each matches anything.
    unknown: Vec<String>,
    /// Whether a variable has no value, so that nothing matches.
    unmatchable: bool,
    /// Whether there is a variable before the fifth colon, where ARNs of resources must not have one.
    variable_in_prefix: bool,
}

/// How `*` and `?` are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    /// As wildcards.
    Meant,
    /// As ordinary characters.
    Literal,
}

impl Pattern {
    /// Parses a pattern and replaces the variables that the context knows.
    pub(super) fn new(text: &str, wildcards: Wildcards, context: &Context) -> Self {
        let mut pattern = Self {
            tokens: Vec::new(),
            unknown: Vec::new(),
            unmatchable: false,
            variable_in_prefix: false,
        };
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if let Some((variable, after)) = rest
                .strip_prefix("${")
                .and_then(|inside| inside.split_once('}'))
            {
                pattern.variable(variable, context);
                rest = after;
                continue;
            }
            pattern.tokens.push(match (next, wildcards) {
                ('*', Wildcards::Meant) => Token::Any,
                ('?', Wildcards::Meant) => Token::One,
                _ => Token::Literal(next),
            });
            rest = &rest[next.len_utf8()..];
        }
        pattern
    }

    /// Appends the value of the text between `${` and `}`: a key, possibly with a default, or an escaped character.
    fn variable(&mut self, text: &str, context: &Context) {
        let (key, default) = match text.split_once(',') {
            Some((key, default)) => (key.trim(), Some(default.trim().trim_matches('\''))),
            None => (text.trim(), None),
        };
        if matches!(key, "*" | "?" | "$") {
            self.tokens.extend(key.chars().map(Token::Literal));
            return;
        }
        self.variable_in_prefix |= arn_parts(&self.tokens).is_none();
        match (context.get(key), default) {
            (Value::Is(value), _) => self.tokens.extend(value.chars().map(Token::Literal)),
            (Value::Absent, Some(default)) => {
                self.tokens.extend(default.chars().map(Token::Literal));
            }
            (Value::Absent, None) => self.unmatchable = true,
            (Value::Unknown, _) => {
                self.tokens.push(Token::Any);
                self.unknown.push(format!("${{{text}}}"));
            }
        }
    }

    /// Returns whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> Truth {
        let text: Vec<char> = text.chars().collect();
        self.truth(glob(&self.tokens, &text, &mut 0))
    }

    /// Returns whether an ARN matches, comparing each of its six parts separately, as `ArnLike` does. The result is unknown if
    /// the pattern is not an ARN.
    pub(super) fn matches_arn(&self, text: &str) -> Truth {
        let (Some(parts), Some(given)) = (arn_parts(&self.tokens), arn_parts(&literal(text)))
        else {
            let is_arn = arn_parts(&self.tokens).is_some();
            return if is_arn || self.unmatchable {
                Truth::No
            } else {
                Truth::unknown("a value that is not an ARN")
            };
        };
        let all = parts
            .iter()
            .zip(&given)
            .all(|(part, given)| glob(part, &characters(given), &mut 0));
        self.truth(all)
    }

    /// Returns whether the resource of a request matches, comparing part by part. Parts that the pattern leaves out match
    /// anything: `arn:aws:bedrock:*` matches all resources of Bedrock. A pattern that does not begin as an ARN, such as `*`, is
    /// compared as a whole.
    pub(super) fn matches_resource(&self, resource: &str) -> Truth {
        if self.variable_in_prefix {
            return Truth::unknown("a variable before the fifth colon of its resource");
        }
        if !self.tokens.starts_with(&literal("arn:")) {
            return self.matches(resource);
        }
        let mut whole = self.clone();
        while arn_parts(&whole.tokens).is_none() {
            whole.tokens.extend([Token::Literal(':'), Token::Any]);
        }
        whole.matches_arn(resource)
    }

    fn truth(&self, matched: bool) -> Truth {
        if self.unmatchable || !matched {
            Truth::No
        } else if self.unknown.is_empty() {
            Truth::Yes
        } else {
            self.unknown
                .iter()
                .fold(Truth::Yes, |all, name| all.and(Truth::unknown(name)))
        }
    }
}

fn literal(text: &str) -> Vec<Token> {
    text.chars().map(Token::Literal).collect()
}

fn characters(tokens: &[Token]) -> Vec<char> {
    tokens
        .iter()
        .filter_map(|token| match token {
            Token::Literal(character) => Some(*character),
            Token::One | Token::Any => None,
        })
        .collect()
}

/// Splits an ARN at its first five colons.
fn arn_parts(tokens: &[Token]) -> Option<Vec<Vec<Token>>> {
    let parts: Vec<Vec<Token>> = tokens
        .splitn(6, |token| *token == Token::Literal(':'))
        .map(<[Token]>::to_vec)
        .collect();
    (parts.len() == 6).then_some(parts)
}

/// Matches with a single backtracking point: if the tokens after the last `*` do not match, that `*` takes one more character.
/// `steps` grows by the number of tokens compared, at most `(pattern.len() + 1) * (text.len() + 1)`.
///
/// This is not [`crate::glob`]: here `?` matches one character, the value of a variable is always literal, and IAM allows any
/// number of `*`.
fn glob(pattern: &[Token], text: &[char], steps: &mut usize) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        *steps += 1;
        match pattern.get(at) {
            Some(Token::Any) => {
                star = Some((at, position));
                at += 1;
            }
            Some(Token::One) => {
                at += 1;
                position += 1;
            }
            Some(Token::Literal(character)) if *character == text[position] => {
                at += 1;
                position += 1;
            }
            _ => match star {
                Some((of, from)) => {
                    star = Some((of, from + 1));
                    at = of + 1;
                    position = from + 1;
                }
                None => return false,
            },
        }
    }
    *steps += pattern.len() - at;
    pattern[at..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context::default()
            .with("aws:PrincipalAccount", Value::Is("111122223333".to_owned()))
            .with("aws:SourceVpc", Value::Absent)
    }

    #[test]
    fn wildcards() {
        for (pattern, text, matched) in [
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("eu-*", "eu-west-1", true),
            ("*-1", "eu-west-1", true),
            ("e*w*1", "eu-west-1", true),
            ("e*w*2", "eu-west-1", false),
            ("eu-west-1*", "eu-west-1", true),
            ("a*b*c", "abcbcd", false),
        ] {
            let found = Pattern::new(pattern, Wildcards::Meant, &context()).matches(text);
            let expected = if matched { Truth::Yes } else { Truth::No };
            assert_eq!(found, expected, "{pattern} {text}");
        }
        let literal = Pattern::new("eu-*", Wildcards::Literal, &context());
        assert_eq!(literal.matches("eu-west-1"), Truth::No);
        assert_eq!(literal.matches("eu-*"), Truth::Yes);
    }

    /// A service control policy has at most 5,120 characters, an ARN at most 2,048.
    ///
    /// Sources: <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html>,
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    #[test]
    fn steps_are_bounded_for_the_largest_policies() {
        const POLICY: usize = 5_120;
        const ARN: usize = 2_048;
        let filled = |piece: &str, end: &str| piece.repeat(POLICY / piece.len()) + end;
        for pattern in [
            filled("*", "b"),
            filled("*a", "b"),
            filled("*?", "b"),
            filled("*a?", "*b"),
            format!("*{}b", "a".repeat(ARN / 2)),
            format!("*{}b", "?".repeat(ARN / 2)),
            format!("{}*{}b", "a?*".repeat(200), "a".repeat(ARN / 2)),
        ] {
            let pattern = Pattern::new(&pattern, Wildcards::Meant, &context()).tokens;
            let text = vec!['a'; ARN];
            let mut steps = 0;
            assert!(!glob(&pattern, &text, &mut steps));
            let most = (pattern.len() + 1) * (text.len() + 1);
            assert!(steps <= most, "{steps} steps, at most {most}");
        }
    }

    #[test]
    fn variables() {
        let role = "arn:aws:iam::111122223333:role/a";
        for (pattern, expected) in [
            (
                "arn:aws:iam::${aws:PrincipalAccount}:role/a",
                Some(Truth::Yes),
            ),
            (
                "arn:aws:iam::${aws:PrincipalAccount}:role/b",
                Some(Truth::No),
            ),
            ("arn:aws:iam::${aws:SourceVpc}:role/*", Some(Truth::No)),
            (
                "arn:aws:iam::${aws:SourceVpc, '111122223333'}:role/*",
                Some(Truth::Yes),
            ),
            ("arn:aws:iam::111122223333:role/${*}", Some(Truth::No)),
            ("arn:aws:iam::${Account}:role/a", None),
            ("arn:aws:iam::${Account}:role/b", Some(Truth::No)),
        ] {
            let found = Pattern::new(pattern, Wildcards::Meant, &context()).matches_arn(role);
            let expected = expected.unwrap_or_else(|| Truth::unknown("${Account}"));
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn a_wildcard_stays_within_its_part_of_an_arn() {
        let model = "arn:aws:bedrock:::foundation-model/a.b:0";
        for (pattern, matched) in [
            ("arn:aws:bedrock:*::foundation-model/*", true),
            ("arn:*:bedrock:::foundation-model/a.b:0", true),
            ("arn:aws:bedrock:us-east-1::foundation-model/*", false),
            ("arn:aws:bedrock:*:foundation-model/*", false),
            ("arn:aws:bedrock:*", true),
            (
                "arn:aws:bedrock:::foundation-model/${aws:PrincipalAccount}",
                false,
            ),
            ("*", true),
        ] {
            let found = Pattern::new(pattern, Wildcards::Meant, &context()).matches_resource(model);
            let expected = if matched { Truth::Yes } else { Truth::No };
            assert_eq!(found, expected, "{pattern}");
        }
        let variable_in_prefix = "arn:aws:bedrock:*:${aws:PrincipalAccount}:inference-profile/*";
        let found =
            Pattern::new(variable_in_prefix, Wildcards::Meant, &context()).matches_resource(model);
        assert!(matches!(found, Truth::Unknown(_)), "{found:?}");
    }
}
