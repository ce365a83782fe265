//! Limits: who sets one, what its entries are, and which ones hold for a binding.

use std::{fmt, sync::Arc};

use super::sets::{RegionSet, SETS};
use crate::{
    api::names,
    glob::{Glob, GlobError, MOST_STARS},
    types::Region,
};

/// The most entries that a limit can have.
const MOST_ENTRIES: usize = 64;
/// The most characters that a pattern can have.
const MOST_CHARACTERS: usize = 32;

/// Who set a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitOrigin {
    /// `spec.allowedRegions` of the binding.
    Binding,
    /// `spec.allowedRegions` of the class that the binding names.
    Class,
    /// The annotation `inferenceprofiles.dev/allowed-regions` of the binding's Namespace.
    Namespace,
    /// `--allowed-regions` of the operator.
    Operator,
}

impl LimitOrigin {
    /// All of them, in the order in which they are named.
    pub const ALL: [Self; 4] = [Self::Binding, Self::Class, Self::Namespace, Self::Operator];

    /// Returns the word for it in a status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Class => "class",
            Self::Namespace => "namespace",
            Self::Operator => "operator",
        }
    }
}

/// Some of those who set limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitOrigins(u8);

impl LimitOrigins {
    /// Returns those that a status names, by their words. Other words are left out.
    #[must_use]
    pub fn from_words(text: &str) -> Self {
        let all = LimitOrigin::ALL.into_iter();
        all.filter(|origin| text.split(',').any(|word| word == origin.as_str()))
            .collect()
    }

    /// Returns these and others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Returns their words, separated by commas. Returns `None` where there are none.
    #[must_use]
    pub fn words(self) -> Option<String> {
        let all = LimitOrigin::ALL.into_iter();
        let words: Vec<&str> = all
            .filter(|origin| self.0 & bit(*origin) != 0)
            .map(LimitOrigin::as_str)
            .collect();
        (!words.is_empty()).then(|| words.join(","))
    }
}

fn bit(origin: LimitOrigin) -> u8 {
    1 << origin as u8
}

impl FromIterator<LimitOrigin> for LimitOrigins {
    fn from_iter<I: IntoIterator<Item = LimitOrigin>>(origins: I) -> Self {
        Self(origins.into_iter().map(bit).fold(0, |all, one| all | one))
    }
}

impl fmt::Display for LimitOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binding => f.write_str("spec.allowedRegions"),
            Self::Class => f.write_str("the class's spec.allowedRegions"),
            Self::Namespace => write!(
                f,
                "the Namespace's annotation {}",
                names::ALLOWED_REGIONS_ANNOTATION
            ),
            Self::Operator => f.write_str("the operator's --allowed-regions"),
        }
    }
}

/// One entry of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// `*` alone.
    Anywhere,
    /// A region name.
    Region(Region),
    /// A name with `*` in it.
    Pattern(Glob),
    /// A named set.
    Set(&'static RegionSet),
}

impl Entry {
    fn matches(&self, region: &Region) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Region(allowed) => allowed == region,
            Self::Pattern(pattern) => pattern.matches(region.as_str()),
            Self::Set(set) => set.regions.contains(&region.as_str()),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anywhere => "*",
            Self::Region(region) => region.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
            Self::Set(set) => set.name,
        })
    }
}

/// What is wrong with a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// The limit lists nothing.
    #[error(
        "{origin} is empty, so it allows nothing: list regions, patterns with *, sets, or * for any region"
    )]
    Empty {
        /// Who set the limit.
        origin: LimitOrigin,
    },
    /// The limit has too many entries.
    #[error(
        "{origin} has {entries} entries, and at most {MOST_ENTRIES} are allowed: use patterns with * and sets instead of single regions"
    )]
    TooManyEntries {
        /// Who set the limit.
        origin: LimitOrigin,
        /// How many entries it has.
        entries: usize,
    },
    /// An entry is neither a region, nor a pattern, nor a set.
    #[error(
        "{entry:?} in {origin} is not a valid limit: expected a region name (eu-west-1), a pattern with * (eu-*) of at most {MOST_CHARACTERS} characters, * alone, or one of the sets {}",
        set_names()
    )]
    Malformed {
        /// Who set the limit.
        origin: LimitOrigin,
        /// The entry, or its beginning.
        entry: String,
    },
    /// A pattern has too many stars.
    #[error(
        "{entry:?} in {origin} is not a valid limit: it has {stars} stars (*), and at most {MOST_STARS} are allowed; leave some out, or list the regions"
    )]
    TooManyStars {
        /// Who set the limit.
        origin: LimitOrigin,
        /// The entry.
        entry: String,
        /// How many stars it has.
        stars: usize,
    },
}

impl LimitError {
    /// Returns who set the limit.
    #[must_use]
    pub fn origin(&self) -> LimitOrigin {
        match self {
            Self::Empty { origin }
            | Self::TooManyEntries { origin, .. }
            | Self::Malformed { origin, .. }
            | Self::TooManyStars { origin, .. } => *origin,
        }
    }
}

fn set_names() -> String {
    SETS.iter()
        .map(|set| set.name)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A list of allowed regions, and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    origin: LimitOrigin,
    entries: Vec<Entry>,
}

impl Limit {
    /// Parses a limit.
    ///
    /// # Errors
    /// [`LimitError`] if there are no entries or too many, or for the first entry that is not valid.
    pub fn parse<S: AsRef<str>>(origin: LimitOrigin, entries: &[S]) -> Result<Self, LimitError> {
        if entries.is_empty() {
            return Err(LimitError::Empty { origin });
        }
        if entries.len() > MOST_ENTRIES {
            let entries = entries.len();
            return Err(LimitError::TooManyEntries { origin, entries });
        }
        let entries = entries
            .iter()
            .map(|entry| parse_entry(origin, entry.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { origin, entries })
    }

    /// Parses the value of a Namespace's annotation: entries separated by commas.
    ///
    /// # Errors
    /// See [`Limit::parse`].
    fn parse_annotation(text: &str) -> Result<Self, LimitError> {
        let origin = LimitOrigin::Namespace;
        if text.trim().is_empty() {
            return Err(LimitError::Empty { origin });
        }
        Self::parse(origin, &text.split(',').collect::<Vec<_>>())
    }

    /// Returns who set the limit.
    #[must_use]
    pub fn origin(&self) -> LimitOrigin {
        self.origin
    }

    /// Returns the entries as they were given.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(ToString::to_string)
    }

    /// Returns the names and patterns of this limit, sorted, with the regions of its sets. `*` alone stays `*`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .entries
            .iter()
            .flat_map(|entry| match entry {
                Entry::Anywhere => vec!["*".to_owned()],
                Entry::Region(region) => vec![region.to_string()],
                Entry::Pattern(pattern) => vec![pattern.to_string()],
                Entry::Set(set) => set.regions.iter().map(ToString::to_string).collect(),
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn allows(&self, region: &Region) -> bool {
        self.entries.iter().any(|entry| entry.matches(region))
    }

    pub(super) fn allows_anywhere(&self) -> bool {
        self.entries.contains(&Entry::Anywhere)
    }
}

fn parse_entry(origin: LimitOrigin, given: &str) -> Result<Entry, LimitError> {
    let malformed = || LimitError::Malformed {
        origin,
        entry: shortened(given),
    };
    let text = given.trim();
    if text == "*" {
        return Ok(Entry::Anywhere);
    }
    if text.starts_with('@') {
        let set = SETS.iter().find(|set| set.name == text);
        return set.map(Entry::Set).ok_or_else(malformed);
    }
    if !text.contains('*') {
        return text.parse().map(Entry::Region).map_err(|_| malformed());
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '*';
    if text.len() > MOST_CHARACTERS
        || !text.starts_with(|c: char| c.is_ascii_lowercase())
        || !text.chars().all(plain)
    {
        return Err(malformed());
    }
    Glob::parse(text)
        .map(Entry::Pattern)
        .map_err(
            |GlobError::TooManyStars { stars }| LimitError::TooManyStars {
                origin,
                entry: text.to_owned(),
                stars,
            },
        )
}

/// Returns the beginning of an entry: an annotation can have 256 KiB, and the status of every binding in the Namespace repeats
/// the message.
fn shortened(text: &str) -> String {
    let most = 2 * MOST_CHARACTERS;
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// What is known about the limit of a Namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NamespaceLimit {
    /// The Namespace can't be read.
    #[default]
    Unknown,
    /// The Namespace is being deleted, with everything in it: no limit matters any more.
    Terminating,
    /// It sets none.
    Unset,
    /// It sets this one.
    Set(Arc<Result<Limit, LimitError>>),
}

impl NamespaceLimit {
    /// Returns the limit that this annotation sets.
    #[must_use]
    pub fn of_annotation(annotation: Option<&str>) -> Self {
        annotation.map_or(Self::Unset, |text| {
            Self::Set(Arc::new(Limit::parse_annotation(text)))
        })
    }
}

/// The limits that hold for one binding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub(super) set: Vec<Result<Limit, LimitError>>,
    /// Whether a limit can't be read.
    pub(super) unknown: bool,
    /// Whether a limit is required.
    pub(super) required: bool,
}

impl Limits {
    /// Returns these limits together: all of them must hold.
    #[must_use]
    pub fn all(limits: impl IntoIterator<Item = Result<Limit, LimitError>>) -> Self {
        Self {
            set: limits.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds the limit of the Namespace.
    #[must_use]
    pub fn and_namespace(mut self, limit: &NamespaceLimit) -> Self {
        match limit {
            NamespaceLimit::Unknown | NamespaceLimit::Terminating => self.unknown = true,
            NamespaceLimit::Unset => {}
            NamespaceLimit::Set(limit) => self.set.push((**limit).clone()),
        }
        self
    }

    /// Adds a limit that can't be read.
    #[must_use]
    pub fn and_unknown(mut self) -> Self {
        self.unknown = true;
        self
    }

    /// Sets whether a limit is required. If it is, nothing is allowed without one.
    #[must_use]
    pub fn required(mut self, required: bool) -> Self {
        self.required = required;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_limit_hold_what_is_in_its_sets() {
        let limit = Limit::parse(LimitOrigin::Operator, &["us-*", "@jp", "ap-northeast-1"]);
        assert_eq!(
            limit.expect("a limit").names(),
            ["ap-northeast-1", "ap-northeast-3", "us-*"]
        );
    }

    #[test]
    fn origins_are_written_as_words_and_read_again() {
        use LimitOrigin::{Binding, Namespace, Operator};

        for (origins, words) in [
            (&[][..], None),
            (&[Namespace], Some("namespace")),
            (&[Operator, Binding, Binding], Some("binding,operator")),
            (&LimitOrigin::ALL, Some("binding,class,namespace,operator")),
        ] {
            let origins: LimitOrigins = origins.iter().copied().collect();
            assert_eq!(origins.words().as_deref(), words);
            assert_eq!(LimitOrigins::from_words(words.unwrap_or_default()), origins);
        }
        assert_eq!(
            LimitOrigins::from_words("galaxy,operators"),
            LimitOrigins::default()
        );
    }

    #[test]
    fn the_schema_knows_the_sets_and_the_bounds() {
        let names: Vec<&str> = SETS.iter().map(|set| &set.name[1..]).collect();
        let crd = serde_json::to_value(crate::api::binding_definition()).expect("JSON");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let limit = &schema["properties"]["spec"]["properties"]["allowedRegions"];
        assert_eq!(limit["maxItems"], MOST_ENTRIES);
        assert_eq!(limit["items"]["maxLength"], MOST_CHARACTERS);
        let rule = &limit["items"]["x-kubernetes-validations"][0]["rule"];
        let rule = rule.as_str().expect("a rule");
        assert!(rule.contains(&format!("@({})", names.join("|"))), "{rule}");
        assert!(
            rule.contains(&format!("([*][a-z0-9-]*){{1,{MOST_STARS}}}")),
            "{rule}"
        );
    }
}
