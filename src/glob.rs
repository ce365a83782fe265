//! The one pattern matcher: `*` stands for any text, none included; every other character stands for itself.
//!
//! Patterns come from users, so the work of a match is bounded: at most the length of the pattern, and once the length
//! of the text for each star. There is no recursion, and no step back.

use std::fmt;

use memchr::memmem;

/// The most stars of one pattern.
pub const MOST_STARS: usize = 4;

/// Says why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// The text has more stars than [`MOST_STARS`].
    #[error("it has {stars} stars (*), and at most {MOST_STARS} are allowed")]
    TooManyStars {
        /// How many it has.
        stars: usize,
    },
}

/// A pattern in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// Parses a pattern. One without a star matches itself alone.
    ///
    /// # Errors
    /// [`GlobError::TooManyStars`] where it has more than [`MOST_STARS`], neighbours counted one by one.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        let stars = text.matches('*').count();
        if stars > MOST_STARS {
            return Err(GlobError::TooManyStars { stars });
        }
        Ok(Self(text.into()))
    }

    /// Returns the pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether the whole of a text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        matches(&self.0, text, &mut 0)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A pattern of paths: `*` stands for any text without `/`, so that `app-*` does not reach into `app-1/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob(Glob);

impl PathGlob {
    /// Parses a pattern. One without a star matches itself alone.
    ///
    /// # Errors
    /// As [`Glob::parse`].
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        Glob::parse(text).map(Self)
    }

    /// Returns the pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Says whether the whole of a text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        path_matches(self.as_str(), text, &mut 0)
    }

    /// Says whether some text matches both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        by_segment(self.as_str(), other.as_str(), overlap)
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Says whether a text matches a pattern whose stars stand for any text. `steps` grows by the bytes that are handed to
/// comparisons and searches, each of which is linear in them.
fn matches(pattern: &str, text: &str, steps: &mut usize) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else {
        *steps += pattern.len();
        return pattern == text;
    };
    *steps += first.len() + last.len();
    let rest = text.strip_prefix(first);
    let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in parts {
        // The first place where a part is found leaves the most text to the parts after it: no other need be tried.
        // memmem promises a time linear in both, in the worst case too.
        *steps += part.len() + rest.len();
        let after = memmem::find(rest.as_bytes(), part.as_bytes())
            .and_then(|start| rest.get(start + part.len()..));
        let Some(after) = after else {
            return false;
        };
        rest = after;
    }
    true
}

fn path_matches(pattern: &str, text: &str, steps: &mut usize) -> bool {
    by_segment(pattern, text, |pattern, text| matches(pattern, text, steps))
}

/// Says whether two paths have as many segments as each other, and each pair of them passes a test. No star crosses `/`,
/// so that each `/` of a pattern has just one place in a text.
fn by_segment(one: &str, other: &str, mut test: impl FnMut(&str, &str) -> bool) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (Some(one), Some(other)) if test(one, other) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Says whether some text matches both patterns, whose stars stand for any text.
///
/// Where both have a star, only their ends can contradict each other: a text of both is the longer start, then what one
/// has between its stars, then what the other has, then the longer end.
fn overlap(one: &str, other: &str) -> bool {
    match (ends(one), ends(other)) {
        (Some((start, end)), Some((other_start, other_end))) => {
            (start.starts_with(other_start) || other_start.starts_with(start))
                && (end.ends_with(other_end) || other_end.ends_with(end))
        }
        (_, None) => matches(one, other, &mut 0),
        (None, _) => matches(other, one, &mut 0),
    }
}

/// Returns what stands before the first star and after the last; nothing where there is none.
fn ends(pattern: &str) -> Option<(&str, &str)> {
    let (start, _) = pattern.split_once('*')?;
    let (_, end) = pattern.rsplit_once('*')?;
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, test_runner::TestCaseResult};

    use super::*;

    /// Pattern, text, whether `*` as any text matches, whether `*` as any text without `/` matches.
    const CASES: &[(&str, &str, bool, bool)] = &[
        ("", "", true, true),
        ("", "a", false, false),
        ("abc", "abc", true, true),
        ("abc", "ab", false, false),
        ("*", "", true, true),
        ("*", "abc", true, true),
        ("*", "a/b", true, false),
        ("**", "", true, true),
        ("****", "abc", true, true),
        ("a*a", "a", false, false),
        ("a*a", "aa", true, true),
        ("a*c", "ac", true, true),
        ("a*c", "abcd", false, false),
        ("a*b*c", "aXbYbZc", true, true),
        ("*b*b", "b", false, false),
        ("*ab*ab", "abab", true, true),
        ("*aba*", "ababa", true, true),
        ("*aba*aba*", "ababa", false, false),
        ("a*", "a/b", true, false),
        ("a*/b", "aX/b", true, true),
        ("a*b", "a/b", true, false),
        ("*/*", "/", true, true),
        ("*/*", "a/b/c", true, false),
        ("*a*b", "a/ab", true, false),
        ("eu-*-1", "eu-west-1", true, true),
        ("eu-*-1", "eu-west-2", false, false),
        ("ap-*east-*", "ap-southeast-2", true, true),
        ("ap-*east-*", "ap-south-1", false, false),
        ("ü*ß", "üäß", true, true),
        ("*\u{308}", "u\u{308}", true, true),
    ];

    #[test]
    fn patterns_of_both_kinds() {
        for (pattern, text, any, within) in CASES {
            let glob = Glob::parse(pattern).expect(pattern);
            assert_eq!(glob.matches(text), *any, "{pattern} {text}");
            let path = PathGlob::parse(pattern).expect(pattern);
            assert_eq!(path.matches(text), *within, "path {pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_has_at_most_four_stars() {
        for pattern in ["*a*b*c*", "a****", "a/*/*/*/*"] {
            let glob = Glob::parse(pattern).expect(pattern);
            assert_eq!(
                (glob.as_str(), glob.to_string().as_str()),
                (pattern, pattern)
            );
            let path = PathGlob::parse(pattern).expect(pattern);
            assert_eq!(
                (path.as_str(), path.to_string().as_str()),
                (pattern, pattern)
            );
        }
        for (pattern, stars) in [("*a*b*c*d*", 5), ("a******", 6), ("a/*/*/*/*/*", 5)] {
            let error = GlobError::TooManyStars { stars };
            assert_eq!(Glob::parse(pattern), Err(error.clone()), "{pattern}");
            assert_eq!(PathGlob::parse(pattern), Err(error), "{pattern}");
        }
        assert_eq!(
            GlobError::TooManyStars { stars: 5 }.to_string(),
            "it has 5 stars (*), and at most 4 are allowed"
        );
    }

    #[test]
    fn overlaps() {
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a*", "ab", true),
            ("a*", "*b", true),
            ("a*c", "ab*", true),
            ("a*c", "*b", false),
            ("a*", "b*", false),
            ("*x*", "*y*", true),
            ("a*x*c", "a*y*c", true),
            ("a*", "a/*", false),
            ("*/b", "a/*", true),
            ("*/b", "a/c*", false),
            ("**", "", true),
            ("aa*", "a*a", true),
        ] {
            let parsed = |text| PathGlob::parse(text).expect(text);
            assert_eq!(
                parsed(one).overlaps(&parsed(other)),
                expected,
                "{one} {other}"
            );
            assert_eq!(
                parsed(other).overlaps(&parsed(one)),
                expected,
                "{other} {one}"
            );
        }
    }

    /// As the words have it: a star takes nothing, or one character more. `stop` is what it never takes.
    fn naive(pattern: &[u8], text: &[u8], stop: Option<u8>) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', later @ ..], _) => {
                naive(later, text, stop)
                    || matches!(text, [next, rest @ ..]
                        if Some(*next) != stop && naive(pattern, rest, stop))
            }
            ([a, later @ ..], [b, rest @ ..]) => a == b && naive(later, rest, stop),
            _ => false,
        }
    }

    /// The same for two patterns of paths: each star takes nothing, or one character more of the other pattern.
    fn naive_overlap(one: &[u8], other: &[u8]) -> bool {
        match (one, other) {
            ([], []) => true,
            ([b'*', later @ ..], _) if naive_overlap(later, other) => true,
            (_, [b'*', later @ ..]) if naive_overlap(one, later) => true,
            ([b'*', ..], [next, rest @ ..]) if !b"/*".contains(next) => naive_overlap(one, rest),
            ([next, rest @ ..], [b'*', ..]) if !b"/*".contains(next) => naive_overlap(rest, other),
            ([a, later @ ..], [b, rest @ ..]) => a == b && *a != b'*' && naive_overlap(later, rest),
            _ => false,
        }
    }

    /// Matches by both kinds of star, and asserts that neither takes more steps than it may.
    fn within_the_bound(pattern: &str, text: &str) -> TestCaseResult {
        let stars = Glob::parse(pattern)
            .expect("few stars")
            .as_str()
            .matches('*')
            .count();
        let most = pattern.len() + stars * text.len();
        let (mut steps, mut path_steps) = (0, 0);
        matches(pattern, text, &mut steps);
        path_matches(pattern, text, &mut path_steps);
        prop_assert!(steps <= most, "{} steps, at most {}", steps, most);
        prop_assert!(
            path_steps <= most,
            "{} steps of paths, at most {}",
            path_steps,
            most
        );
        Ok(())
    }

    /// What makes matchers try again and again: what almost fits, everywhere.
    #[test]
    fn the_worst_inputs_take_linear_steps() {
        let long = 1 << 20;
        let text = "a".repeat(long);
        let almost = format!("{}b", "a".repeat(long / 8));
        for pattern in [
            format!("*{almost}*{almost}*{almost}*"),
            format!("a*{almost}"),
            "*a*a*a*b".to_owned(),
            format!("*{}*{almost}*", "a".repeat(long / 2)),
            "*".repeat(MOST_STARS),
            "****b".to_owned(),
            text.clone(),
            format!("/{text}*"),
        ] {
            within_the_bound(&pattern, &text).expect("linear");
            within_the_bound(&pattern, &text.replace("aaaa", "aaa/")).expect("linear");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn matches_agree_with_a_naive_matcher(
            pattern in "([ab/]{0,3}[*]){0,4}[ab/]{0,3}",
            text in "[ab/]{0,10}",
        ) {
            let any = Glob::parse(&pattern).expect("few stars").matches(&text);
            prop_assert_eq!(any, naive(pattern.as_bytes(), text.as_bytes(), None));
            let within = PathGlob::parse(&pattern).expect("few stars").matches(&text);
            prop_assert_eq!(within, naive(pattern.as_bytes(), text.as_bytes(), Some(b'/')));
        }

        /// A text made from the pattern: what matches is found.
        #[test]
        fn what_fills_the_stars_matches(
            parts in prop::collection::vec("[ab/ü]{0,4}", 1..=MOST_STARS + 1),
            fillings in prop::collection::vec("[abü]{0,4}", MOST_STARS),
        ) {
            let pattern = parts.join("*");
            let mut text = parts[0].clone();
            for (filling, part) in fillings.iter().zip(&parts[1..]) {
                text.push_str(filling);
                text.push_str(part);
            }
            prop_assert!(Glob::parse(&pattern).expect("few stars").matches(&text));
            prop_assert!(PathGlob::parse(&pattern).expect("few stars").matches(&text));
        }

        #[test]
        fn overlaps_agree_with_a_naive_one(
            one in "([ab/]{0,2}[*]){0,2}[ab/]{0,2}",
            other in "([ab/]{0,2}[*]){0,2}[ab/]{0,2}",
        ) {
            let found = PathGlob::parse(&one).expect("few stars")
                .overlaps(&PathGlob::parse(&other).expect("few stars"));
            prop_assert_eq!(found, naive_overlap(one.as_bytes(), other.as_bytes()));
        }

        #[test]
        fn steps_are_bounded(
            pattern in "([ab/]{0,40}[*]){0,4}[ab/]{0,40}",
            text in "[ab]{0,400}|([ab]{0,20}/){0,20}",
        ) {
            within_the_bound(&pattern, &text)?;
        }
    }
}
