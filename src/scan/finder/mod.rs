//! Finds IDs and ARNs of models and profiles in a text.
//!
//! One search for `PROVIDER.FAMILY` over the whole text, which is a search for literals, and a closer look at each hit: which
//! model is it, what stands before it, and is it a part of an ARN? A hit is a finding only if it is a known model, or looks
//! like one that is not known yet.

use std::collections::BTreeSet;

use regex::bytes::Regex;

use super::{Mention, Named, Reference};
use crate::{
    api::names::{GROUP, MANAGED_LABEL},
    catalog::embedded::Embedded,
    resolve,
    types::{Arn, Geography, ModelId, Region},
};

/// What stands on a line that is not to be reported.
pub const IGNORE_MARKER: &str = "ipo-scan: ignore";

/// The part of an ARN before the ID of an application inference profile.
const APPLICATION: &str = "application-inference-profile";
/// Most bytes of an ARN before its resource: those of Terraform have long variables in them.
const ARN_HEAD: usize = 256;
/// Most bytes of what stands before a model.
const PREFIX: usize = 64;
/// Providers whose models have IDs of the same form in other clouds: Oracle's Generative AI service calls its models
/// `cohere.command-r-plus-08-2024` or `xai.grok-3`. Of theirs, a model that is not known needs more to be one of Bedrock.
///
/// Source: <https://docs.oracle.com/en-us/iaas/Content/generative-ai/pretrained-models.htm>
const ALSO_ELSEWHERE: [&str; 5] = ["cohere", "google", "meta", "openai", "xai"];

/// Bounds of what is found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most findings.
    pub findings: usize,
}

/// What was found in a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The findings, in the order of the text.
    pub mentions: Vec<Mention>,
    /// How many stand on lines with [`IGNORE_MARKER`].
    pub ignored: usize,
    /// How many stand in bindings, or in objects that the operator writes: those are what this program is for.
    pub in_bindings: usize,
    /// Whether there are more than the bounds allow.
    pub is_cut: bool,
}

/// Finds mentions in texts. It is made once, for the models of the embedded data and of catalogs.
#[derive(Debug)]
pub struct Finder {
    search: Regex,
    models: BTreeSet<ModelId>,
    geographies: BTreeSet<Geography>,
}

impl Finder {
    /// Returns a finder of the models that the embedded data know, and of more.
    ///
    /// # Errors
    /// [`regex::Error`] if there are so many providers that no search can be made for them.
    pub fn new(
        embedded: &Embedded,
        more: impl IntoIterator<Item = ModelId>,
    ) -> Result<Self, regex::Error> {
        let with_lives = embedded.lifecycles().map(|(model, ..)| model);
        let models: BTreeSet<ModelId> = embedded
            .models()
            .chain(embedded.models_without_profile())
            .chain(with_lives)
            .cloned()
            .chain(more)
            .collect();
        let mut families: BTreeSet<String> = models
            .iter()
            .map(|model| regex::escape(family(model.as_str())))
            .collect();
        families.insert(APPLICATION.to_owned());
        let families: Vec<String> = families.into_iter().collect();
        Ok(Self {
            search: Regex::new(&families.join("|"))?,
            models,
            geographies: resolve::geographies(embedded),
        })
    }

    /// Returns what a text names. It takes time linear in the text.
    #[must_use]
    pub fn find(&self, text: &[u8], bounds: Bounds) -> Found {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut found = Found::default();
        let mut place = Place::new(text);
        let mut from = 0;
        while let Some(hit) = self.search.find_at(text, from) {
            from = hit.end();
            let Some(token) = self.token(text, hit.start(), hit.end()) else {
                continue;
            };
            from = from.max(token.end);
            place.go_to(token.start);
            if place.is_ignored() {
                found.ignored += 1;
            } else if place.is_in_binding() {
                found.in_bindings += 1;
            } else if found.mentions.len() == bounds.findings {
                found.is_cut = true;
                return found;
            } else {
                found.mentions.push(Mention {
                    line: place.line,
                    column: place.column,
                    text: String::from_utf8_lossy(&text[token.start..token.end]).into_owned(),
                    reference: token.reference,
                });
            }
        }
        found
    }

    /// Returns what a hit is a part of, or `None` if it is nothing of Bedrock.
    fn token(&self, text: &[u8], start: usize, end: usize) -> Option<Token> {
        if &text[start..end] == APPLICATION.as_bytes() {
            return application_profile(text, start, end);
        }
        let model = self.model(text, start, end)?;
        let (id_start, geography) = self.before(text, start, &model)?;
        let id = match &geography {
            None => Named::Model(model.id.clone()),
            Some(geography) => Named::Profile {
                id: format!("{geography}.{}", model.id).parse().ok()?,
                geography: geography.clone(),
                model: model.id.clone(),
            },
        };
        let arn = arn_before(text, id_start, &id);
        let is_plausible = model.is_known
            || model.is_versioned
            || geography.is_some()
            || arn.is_some()
            || !ALSO_ELSEWHERE.contains(&model.id.provider());
        is_plausible.then(|| Token {
            start: arn.as_ref().map_or(id_start, |(start, _)| *start),
            end: model.end,
            reference: Reference {
                named: id,
                arn: arn.map(|(_, region)| region),
            },
        })
    }

    /// Returns the model that begins with a hit: the longest known one, or what looks like one.
    fn model(&self, text: &[u8], start: usize, family_end: usize) -> Option<Model> {
        let mut ends = vec![word_end(text, family_end)];
        // A version, a context length, or the part after the point of a version.
        while let (Some(end), true) = (ends.last(), ends.len() < 3) {
            let Some(next) = separator(text, *end) else {
                break;
            };
            let word = word_end(text, next);
            if word == next {
                break;
            }
            ends.push(word);
        }
        let known = ends.iter().rev().find_map(|&end| {
            let id = decoded(&text[start..end]);
            let (known, _) = without_context_length(&id);
            let id: ModelId = known.parse().ok()?;
            self.models.contains(&id).then_some((id, end))
        });
        if let Some((id, end)) = known {
            let is_whole = !continues(text, end) && !is_pattern(text, end);
            return is_whole.then_some(Model {
                id,
                end,
                is_known: true,
                is_versioned: true,
            });
        }
        let mut end = ends[0];
        for pair in ends.windows(2) {
            let part = decoded(&text[pair[0]..pair[1]]);
            let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            let is_part = match part.split_at(1) {
                (".", rest) => rest.starts_with(|c: char| c.is_ascii_digit()),
                (_, rest) => is_number(rest.trim_end_matches('k')),
            };
            if !is_part {
                break;
            }
            end = pair[1];
        }
        let id = decoded(&text[start..end]);
        let (id, _) = without_context_length(&id);
        let rest = &id[(family_end - start).min(id.len())..];
        let family = id.split_once('.').map_or("", |(_, model)| model).len() - rest.len();
        let looks_like_one = family >= 2
            && rest.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && !rest.ends_with('-')
            && rest.contains(|c: char| c.is_ascii_digit())
            && !continues(text, end)
            && !is_pattern(text, end)
            && text.get(end) != Some(&b'(');
        let id = looks_like_one.then(|| id.parse().ok()).flatten()?;
        Some(Model {
            is_versioned: is_versioned(&id),
            id,
            end,
            is_known: false,
        })
    }

    /// Returns where an ID begins whose model begins at `start`, and its geography. Returns `None` if what stands before the
    /// model makes it something else, such as the name of a Java package.
    fn before(
        &self,
        text: &[u8],
        start: usize,
        model: &Model,
    ) -> Option<(usize, Option<Geography>)> {
        if start == 0 || text[start - 1] != b'.' {
            let may_begin = begins(text, start) || (model.is_known && follows_a_word(text, start));
            return may_begin.then_some((start, None));
        }
        let dot = start - 1;
        let least = dot.saturating_sub(PREFIX);
        let is_part = |b: &u8| b.is_ascii_lowercase() || *b == b'-';
        let length = text[least..dot]
            .iter()
            .rev()
            .take_while(|b| is_part(b))
            .count();
        let starts = || {
            (dot - length..dot).filter_map(|at| {
                let word = std::str::from_utf8(&text[at..dot]).ok()?;
                Some((at, word.parse::<Geography>().ok()?))
            })
        };
        let known = starts().find(|(at, geography)| {
            let may_begin = begins(text, *at) || (model.is_known && follows_a_word(text, *at));
            may_begin && self.geographies.contains(geography)
        });
        let (at, geography) = known.or_else(|| {
            starts().find(|(at, geography)| {
                let is_likely =
                    resolve::is_taken_for_a_geography(geography) || geography.as_str().len() == 2;
                let in_arn = ends_with(&text[..*at], "inference-profile/").is_some();
                begins(text, *at) && (in_arn || (model.is_known && is_likely))
            })
        })?;
        Some((at, Some(geography)))
    }
}

/// A model in a text.
struct Model {
    id: ModelId,
    end: usize,
    is_known: bool,
    /// Whether it ends in a version as only Bedrock has it.
    is_versioned: bool,
}

/// Something of Bedrock in a text.
struct Token {
    start: usize,
    end: usize,
    reference: Reference,
}

/// Returns the provider and the first word of a model ID: `anthropic.claude`.
fn family(model: &str) -> &str {
    let (provider, name) = model.split_once('.').unwrap_or((model, ""));
    let word = name
        .bytes()
        .take_while(u8::is_ascii_lowercase)
        .count()
        .max(1);
    &model[..(provider.len() + 1 + word).min(model.len())]
}

/// Returns the ARN of an application inference profile around this part of it.
fn application_profile(text: &[u8], start: usize, end: usize) -> Option<Token> {
    let after = &text[end..];
    let slash = [&b"/"[..], b"%2F", b"%2f"]
        .into_iter()
        .find(|slash| after.starts_with(slash))?;
    let id = end + slash.len();
    let length = text[id..]
        .iter()
        .take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        .count();
    if length == 0 || continues(text, id + length) || is_pattern(text, id + length) {
        return None;
    }
    let resource = decoded(&text[start..id + length]);
    // Of one whose account is a variable, the resource is taken.
    let (arn, region) = arn(text, start, &resource)
        .or_else(|| Some((start, Some(region_part(text, start)?.parse().ok()?))))?;
    region.is_some().then_some(Token {
        start: arn,
        end: id + length,
        reference: Reference {
            named: Named::ApplicationProfile,
            arn: Some(region),
        },
    })
}

/// Returns where the ARN begins that has this ID as its resource, and its region. Of an ARN that is a pattern or a template, only
/// the ID is taken.
fn arn_before(text: &[u8], id_start: usize, named: &Named) -> Option<(usize, Option<Region>)> {
    let (kind, id) = match named {
        Named::Model(model) => ("foundation-model/", model.as_str()),
        Named::Profile { id, .. } => ("inference-profile/", id.as_str()),
        Named::ApplicationProfile => return None,
    };
    let start = ends_with(&text[..id_start], kind)?;
    if let Some(whole) = arn(text, start, &format!("{kind}{id}")) {
        return Some(whole);
    }
    let part = region_part(text, start).unwrap_or_default();
    let region = part.parse().ok();
    // A model has this before it in ARNs alone, whatever they are composed of.
    let is_one = region.is_some() || part.contains('*') || matches!(named, Named::Model(_));
    is_one.then_some((id_start, region))
}

/// Returns what stands for the region in an ARN of Bedrock that is not whole, such as `arn:aws:bedrock:eu-west-1:${ACCOUNT}:` or
/// `arn:aws:bedrock:*:*:`.
fn region_part(text: &[u8], resource_start: usize) -> Option<String> {
    let least = resource_start.saturating_sub(ARN_HEAD);
    let head = decoded(&text[least..resource_start]);
    let line = head.rsplit('\n').next().unwrap_or_default();
    let arn = &line[line.rfind("arn:")?..];
    let mut open = 0_usize;
    // What is in braces is a variable, which may have colons: ${AWS::AccountId}.
    let ends_part = |c| {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        c == ':' && open == 0
    };
    let parts: Vec<&str> = arn.split(ends_part).collect();
    let [_, _, "bedrock", region, _, ""] = parts[..] else {
        return None;
    };
    Some(region.to_owned())
}

/// Returns where the ARN of a resource begins that stands at `resource_start`, and its region.
fn arn(text: &[u8], resource_start: usize, resource: &str) -> Option<(usize, Option<Region>)> {
    let least = resource_start.saturating_sub(ARN_HEAD);
    let head = &text[least..resource_start];
    let start = memchr::memmem::rfind(head, b"arn")?;
    // `Arn::parse` takes any account: what ends a text, such as a quote or the end of a line, ends an ARN too.
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"-:%".contains(b);
    if !head[start..].iter().all(is_part) {
        return None;
    }
    let whole = decoded(&head[start..]) + resource;
    let arn = Arn::parse(&whole)
        .ok()
        .filter(|arn| arn.service == "bedrock")?;
    begins(text, least + start).then_some((least + start, arn.region))
}

/// Returns where the end of a text begins, if it is this one, or has its `/` percent-encoded or as JSON may have it.
fn ends_with(text: &[u8], end: &str) -> Option<usize> {
    let plain = end.strip_suffix('/').unwrap_or(end);
    ["/", "%2F", "%2f", "\\/"]
        .into_iter()
        .map(|slash| format!("{plain}{slash}"))
        .find(|end| text.ends_with(end.as_bytes()))
        .map(|end| text.len() - end.len())
}

/// Returns the end of a word of a model ID.
fn word_end(text: &[u8], from: usize) -> usize {
    let is_part = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    from + text[from..]
        .iter()
        .take(PREFIX)
        .take_while(|b| is_part(b))
        .count()
}

/// Returns where the next part of a model ID begins, after a separator.
fn separator(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at..)? {
        [b'.' | b':', ..] => Some(at + 1),
        [b'%', b'3', b'A' | b'a', ..] => Some(at + 3),
        _ => None,
    }
}

/// Returns a part of an ID or ARN without percent-encoding.
fn decoded(text: &[u8]) -> String {
    String::from_utf8_lossy(text)
        .replace("%3A", ":")
        .replace("%3a", ":")
        .replace("%2F", "/")
        .replace("%2f", "/")
}

/// Returns a model ID without the length of context that provisioned throughput has, and that length.
fn without_context_length(id: &str) -> (&str, Option<&str>) {
    match id.rsplit_once(':') {
        Some((model, length))
            if length
                .strip_suffix('k')
                .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) =>
        {
            (model, Some(length))
        }
        _ => (id, None),
    }
}

/// Says whether a model ID ends in a version such as `-v1:0` or `-v2`.
fn is_versioned(model: &ModelId) -> bool {
    let id = model.as_str();
    let id = id.rsplit_once(':').map_or(id, |(id, _)| id);
    let version = id.rsplit_once("-v").map(|(_, version)| version);
    version
        .is_some_and(|version| !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Says whether an ID may begin here: not within a word, nor within a dotted name.
fn begins(text: &[u8], at: usize) -> bool {
    let before = &text[..at];
    let Some(&last) = before.last() else {
        return true;
    };
    if is_escape(before) {
        return true;
    }
    match last {
        b'.' => false,
        b'-' => {
            // An option, or the default of a shell variable: ${MODEL:-ID}, ${MODEL-ID}.
            let name = before[..at - 1].iter().rev().take(PREFIX);
            let name = name.take_while(|b| is_word(**b)).count();
            let start = at - 1 - name;
            name == 0 && !before[..start].ends_with(b".") || before[..start].ends_with(b"${")
        }
        last => !is_word(last),
    }
}

/// Says whether a text ends in an escaped character: `\n`, `\u0022`, `\x22`, `%22`.
fn is_escape(text: &[u8]) -> bool {
    let hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    if let [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] = text {
        return true;
    }
    let tail = |n: usize| text.len().checked_sub(n).map(|at| &text[at..]);
    tail(3).is_some_and(|t| t[0] == b'%' && hex(&t[1..]))
        || tail(4).is_some_and(|t| t.starts_with(b"\\x") && hex(&t[2..]))
        || tail(6).is_some_and(|t| t.starts_with(b"\\u") && hex(&t[2..]))
}

/// Says whether a word stands before, with `-` or `_` between. Before a model that is known that is the name of something
/// else, with the ID in it.
fn follows_a_word(text: &[u8], at: usize) -> bool {
    matches!(text[..at], [.., before, b'-' | b'_'] if is_word(before))
}

/// Says whether a name goes on after what was read.
fn continues(text: &[u8], at: usize) -> bool {
    matches!(text.get(at), Some(byte) if is_word(*byte) || *byte == b'-')
}

/// Says whether what was read is the beginning of a pattern or of a template.
fn is_pattern(text: &[u8], at: usize) -> bool {
    matches!(
        text.get(at..).unwrap_or_default(),
        [b'*' | b'{', ..]
            | [b'$', b'{' | b'(', ..]
            | [b'.', b'*', ..]
            | [b':', b'*' | b'$' | b'{', ..]
    )
}

/// A place in a text that only moves forward, and what is known of its line and document.
struct Place<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
    column: usize,
    line_start: usize,
    line_end: Option<usize>,
    ignored: Option<bool>,
    document: std::ops::Range<usize>,
    in_binding: Option<bool>,
}

impl<'t> Place<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            column: 1,
            line_start: 0,
            line_end: None,
            ignored: None,
            document: 0..0,
            in_binding: None,
        }
    }

    /// Moves on to a later place.
    fn go_to(&mut self, at: usize) {
        let passed = &self.text[self.at..at];
        let mut rest = passed;
        if let Some(last) = memchr::memrchr(b'\n', passed) {
            self.line += memchr::memchr_iter(b'\n', passed).count();
            self.line_start = self.at + last + 1;
            self.column = 1;
            self.line_end = None;
            self.ignored = None;
            rest = &passed[last + 1..];
        }
        // Bytes that continue a character are none of their own.
        self.column += rest.iter().filter(|b| **b & 0xc0 != 0x80).count();
        self.at = at;
    }

    fn line_end(&mut self) -> usize {
        let at = self.at;
        let text = self.text;
        *self.line_end.get_or_insert_with(|| {
            memchr::memchr(b'\n', &text[at..]).map_or(text.len(), |length| at + length)
        })
    }

    fn is_ignored(&mut self) -> bool {
        let line = self.line_start..self.line_end();
        let text = self.text;
        *self.ignored.get_or_insert_with(|| {
            memchr::memmem::find(&text[line], IGNORE_MARKER.as_bytes()).is_some()
        })
    }

    /// Says whether the document that this is in is a binding, or an object that the operator writes. Documents are separated as
    /// in YAML, in Markdown and in scripts.
    fn is_in_binding(&mut self) -> bool {
        while self.document.end <= self.line_start && self.document.end < self.text.len() {
            let start = self.document.end;
            self.document = start..self.next_separator(start);
            self.in_binding = None;
        }
        let document = &self.text[self.document.clone()];
        *self.in_binding.get_or_insert_with(|| is_ours(document))
    }

    /// Returns the start of the next line that separates documents, after the line that begins at `from`.
    fn next_separator(&self, from: usize) -> usize {
        let mut start = from;
        loop {
            let Some(length) = memchr::memchr(b'\n', &self.text[start..]) else {
                return self.text.len();
            };
            start += length + 1;
            let rest = &self.text[start..];
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            if is_separator(&rest[..end]) {
                return start;
            }
        }
    }
}

/// Says whether a line separates documents: `---`, the next object of a list, a fence of Markdown, or an end of a here-document.
fn is_separator(line: &[u8]) -> bool {
    // Not indented: an object's owners are a list of such lines, too.
    let begins_object = line.starts_with(b"- apiVersion:");
    let line = line.trim_ascii();
    begins_object
        || line.starts_with(b"---")
        || line.starts_with(b"```")
        || memchr::memmem::find(line, b"<<").is_some()
        || (line.len() >= 3 && line.iter().all(|b| b.is_ascii_uppercase() || *b == b'_'))
}

/// Says whether a document is of our API group, or carries the label of objects that the operator writes. A line of code that
/// only names them is neither.
fn is_ours(document: &[u8]) -> bool {
    let quotes = |b: &u8| !b" \t\"'".contains(b);
    memchr::memmem::find_iter(document, GROUP.as_bytes()).any(|at| {
        if let Some(rest) = document[at..].strip_prefix(MANAGED_LABEL.as_bytes()) {
            let value = rest.iter().take(9).filter(|b| quotes(b));
            return value.take(5).eq(b":true");
        }
        let start = memchr::memrchr(b'\n', &document[..at]).map_or(0, |end| end + 1);
        let key = document[start..at].iter().filter(|b| quotes(b));
        key.skip_while(|b| b"-{".contains(b)).eq(b"apiVersion:")
    })
}

#[cfg(test)]
mod tests;
