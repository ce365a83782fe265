//! Judges a manifest by the custom resource definition, as the apiserver does under strict validation: unknown fields, the
//! schema, its rules (`x-kubernetes-validations`) and the metadata that every object has.
//!
//! There is no second list of rules: a definition with something that is not understood here is refused. What the apiserver
//! does with each part of a schema is in
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>;
//! tests/common/refusals.rs has cases that both judge.

mod metadata;
mod rules;
mod schema;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use regex::Regex;
use serde_json::{Map, Value};

use rules::Rules;
use schema::{fields, items, values};

/// Longest text that a message repeats, in characters.
const SHOWN: usize = 80;
/// Longest name that is compared with those of known fields, in bytes.
const COMPARED: usize = 64;

/// Says why a definition can't be judged by.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has no schema.
    #[error("the custom resource definition has no schema")]
    NoSchema,
    /// A part of the schema is not understood.
    #[error("the schema has {0:?}, which is not understood")]
    Unsupported(String),
    /// A rule can't be judged.
    #[error("the rule {rule:?} can't be judged: {why}")]
    Rule {
        /// The rule.
        rule: String,
        /// Why.
        why: String,
    },
    /// A pattern is malformed.
    #[error("a pattern of the schema is malformed")]
    Pattern(#[from] regex::Error),
    /// A schema is malformed.
    #[error("the schema can't be read")]
    Malformed(#[from] serde_json::Error),
}

/// Something that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, such as `spec.targets[0].name`; empty for the whole object.
    pub field: String,
    /// What is wrong with it, in the apiserver's words where it has some, and what to do.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// What is wrong with a manifest: the first violations in words, the others as a number.
#[derive(Debug)]
pub struct Violations {
    kept: Vec<Violation>,
    most: usize,
    total: usize,
}

impl Violations {
    /// Returns an empty collection that keeps at most so many in words.
    #[must_use]
    pub fn keeping(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            most,
            total: 0,
        }
    }

    /// Returns the first ones, and how many there are in all.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Violation>, usize) {
        (self.kept, self.total)
    }

    fn add(&mut self, field: impl fmt::Display, message: impl FnOnce() -> String) {
        self.total += 1;
        if self.kept.len() < self.most {
            self.kept.push(Violation {
                field: field.to_string(),
                message: message(),
            });
        }
    }
}

/// A path to a field. It becomes text only where something is wrong.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Field(&'p Path<'p>, &'p str),
    /// The value under a key of a map.
    Key(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    fn field(&'p self, name: &'p str) -> Self {
        Self::Field(self, name)
    }

    fn item(&'p self, index: usize) -> Self {
        Self::Item(self, index)
    }

    /// Writes the path. The apiserver writes keys of maps in brackets where it judges by rules, and as fields where it judges by
    /// the schema.
    fn write(&self, f: &mut fmt::Formatter<'_>, by_rules: bool) -> fmt::Result {
        let plain = |name: &str| {
            let mut bytes = name.bytes();
            name.len() <= SHOWN && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) if plain(name) => f.write_str(name),
            Self::Key(parent, name) if by_rules && plain(&name.replace(['-', '.'], "_")) => {
                parent.write(f, by_rules)?;
                write!(f, "[{name}]")
            }
            Self::Field(parent, name) | Self::Key(parent, name) if plain(name) => {
                parent.write(f, by_rules)?;
                write!(f, ".{name}")
            }
            Self::Field(parent, name) | Self::Key(parent, name) => {
                parent.write(f, by_rules)?;
                write!(f, "[{}]", shown(name))
            }
            Self::Item(parent, index) => {
                parent.write(f, by_rules)?;
                write!(f, "[{index}]")
            }
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

/// A path as rules give it.
struct ByRules<'p>(Path<'p>);

impl fmt::Display for ByRules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, true)
    }
}

/// Judges manifests of one kind.
pub struct Validator {
    /// The schema of the whole object, without the status.
    schema: JSONSchemaProps,
    /// The apiserver looks at the names of a status's fields, and drops it: statuses have an endpoint of their own.
    status: Option<JSONSchemaProps>,
    metadata: JSONSchemaProps,
    rules: Rules,
    patterns: BTreeMap<String, Regex>,
}

impl Validator {
    /// Returns the validator of a definition's first version.
    ///
    /// # Errors
    ///
    /// Fails where the definition has something that is not understood here.
    pub fn new(definition: &CustomResourceDefinition) -> Result<Self, Error> {
        let mut schema = schema::of(definition)?;
        let status = schema
            .properties
            .as_mut()
            .and_then(|fields| fields.remove("status"));
        schema::understood(&schema)?;
        let rules = Rules::compile(&schema)?;
        let mut patterns = BTreeMap::new();
        schema::each(&schema, &mut |schema| {
            if let Some(pattern) = &schema.pattern {
                patterns.insert(pattern.clone(), Regex::new(pattern)?);
            }
            Ok(())
        })?;
        let metadata = schema::of_metadata()?;
        schema::add_common_fields(&mut schema, &metadata);
        Ok(Self {
            schema,
            status,
            metadata,
            rules,
            patterns,
        })
    }

    /// Checks a manifest, and makes it what the apiserver would store: without unknown fields, nulls and status.
    pub fn check(&self, manifest: &mut Value, found: &mut Violations) {
        let root = Path::Root;
        let mut meant = HashSet::new();
        if let Value::Object(object) = manifest {
            if let (Some(mut status), Some(schema)) = (object.remove("status"), &self.status) {
                self.prune(schema, &mut status, root.field("status"), &mut meant, found);
            }
            if object.get("metadata").is_none_or(Value::is_null) {
                object.insert("metadata".to_owned(), Value::Object(Map::new()));
            }
        }
        self.prune(&self.schema, manifest, root, &mut meant, found);
        self.walk(&self.schema, manifest, root, &meant, found);
        metadata::check(manifest.get("metadata"), found);
    }

    /// Checks the metadata of an object of any kind, likewise. A name is not asked for.
    pub fn check_metadata(&self, metadata: &mut Value, found: &mut Violations) {
        let root = Path::Root;
        let at = root.field("metadata");
        let mut meant = HashSet::new();
        self.prune(&self.metadata, metadata, at, &mut meant, found);
        self.walk(&self.metadata, metadata, at, &meant, found);
        metadata::check(Some(metadata), found);
    }

    /// Takes away unknown fields, and nulls: one that is allowed means no more than a field that is absent, and one that is
    /// not is dropped by the apiserver too. Notes in `meant` which fields the unknown ones seem to be.
    fn prune(
        &self,
        schema: &JSONSchemaProps,
        value: &mut Value,
        path: Path<'_>,
        meant: &mut HashSet<String>,
        found: &mut Violations,
    ) {
        match value {
            Value::Object(object) if schema::is_closed(schema) => {
                object.retain(|name, value| {
                    let Some(schema) = fields(schema).get(name).or_else(|| values(schema)) else {
                        self.unknown(schema, path, name, meant, found);
                        return false;
                    };
                    self.prune(schema, value, path.field(name), meant, found);
                    !value.is_null()
                });
            }
            Value::Array(list) => {
                if let Some(schema) = items(schema) {
                    for (index, item) in list.iter_mut().enumerate() {
                        self.prune(schema, item, path.item(index), meant, found);
                    }
                }
            }
            _ => {}
        }
    }

    fn unknown(
        &self,
        schema: &JSONSchemaProps,
        parent: Path<'_>,
        name: &str,
        meant: &mut HashSet<String>,
        found: &mut Violations,
    ) {
        found.add(parent.field(name), || {
            let known = fields(schema);
            if let Some(near) = nearest(name, known.keys().map(String::as_str)) {
                meant.insert(parent.field(near).to_string());
                return format!("unknown field: did you mean {near}?");
            }
            if let Some(place) = schema::place_of(&self.schema, name) {
                return format!("unknown field: it belongs to {place}");
            }
            let known: Vec<&str> = known.keys().map(String::as_str).collect();
            format!("unknown field: known here: {}", known.join(", "))
        });
    }

    /// Checks a value by its schema, and says whether it has the right form: only then its rules can be judged.
    fn walk(
        &self,
        schema: &JSONSchemaProps,
        value: &Value,
        path: Path<'_>,
        meant: &HashSet<String>,
        found: &mut Violations,
    ) -> bool {
        let sound = has_type(schema, value, path, found)
            && is_in_enum(schema, value, path, found)
            && match value {
                Value::Object(object) => self.walk_object(schema, object, path, meant, found),
                Value::Array(list) => self.walk_list(schema, list, path, meant, found),
                Value::String(text) => self.is_text(schema, text, path, found),
                Value::Null | Value::Bool(_) | Value::Number(_) => true,
            };
        // What a mistyped field is meant to be is not in the object that the rules see.
        let is_as_meant = meant.is_empty() || {
            let prefix = format!("{path}.");
            let direct = |field: &str| !field.contains(['.', '[']);
            let mut within = meant.iter().filter_map(|it| it.strip_prefix(&prefix));
            !within.any(direct)
        };
        if sound && is_as_meant {
            for message in self.rules.broken(schema, value) {
                found.add(ByRules(path), || match value {
                    Value::Object(_) if matches!(path, Path::Root) => message.to_owned(),
                    Value::Object(_) | Value::Array(_) => format!("Invalid value: {message}"),
                    _ => format!("Invalid value: {}: {message}", shown_value(value)),
                });
            }
        }
        sound
    }

    fn walk_object(
        &self,
        schema: &JSONSchemaProps,
        object: &Map<String, Value>,
        path: Path<'_>,
        meant: &HashSet<String>,
        found: &mut Violations,
    ) -> bool {
        let mut sound = true;
        for name in schema.required.iter().flatten() {
            let at = path.field(name);
            if object.contains_key(name) {
                continue;
            }
            sound = false;
            if meant.is_empty() || !meant.contains(&at.to_string()) {
                found.add(at, || required(fields(schema).get(name)));
            }
        }
        if let Some(most) = exceeded(object.len(), schema.max_properties) {
            found.add(path, || {
                format!(
                    "Too many: {}: must have at most {most} entries",
                    object.len()
                )
            });
            return false;
        }
        for (name, value) in object {
            let (schema, at) = match (fields(schema).get(name), values(schema)) {
                (Some(schema), _) => (schema, path.field(name)),
                (None, Some(schema)) => (schema, Path::Key(&path, name)),
                (None, None) => continue,
            };
            sound &= self.walk(schema, value, at, meant, found);
        }
        sound
    }

    fn walk_list(
        &self,
        schema: &JSONSchemaProps,
        list: &[Value],
        path: Path<'_>,
        meant: &HashSet<String>,
        found: &mut Violations,
    ) -> bool {
        if let Some(most) = exceeded(list.len(), schema.max_items) {
            found.add(path, || {
                format!("Too many: {}: must have at most {most} items", list.len())
            });
            return false;
        }
        let mut sound = true;
        let mut seen = HashMap::new();
        for (index, item) in list.iter().enumerate() {
            let at = path.item(index);
            if let Some(schema) = items(schema) {
                sound &= self.walk(schema, item, at, meant, found);
            }
            let Some(identity) = schema::identity(schema, item) else {
                continue;
            };
            match seen.get(&identity) {
                Some(first) => found.add(at, || {
                    let first = path.item(*first);
                    let (identity, end) = cut(&identity);
                    format!("Duplicate value: {identity}{end}: the first is {first}")
                }),
                None => {
                    seen.insert(identity, index);
                }
            }
        }
        sound
    }

    fn is_text(
        &self,
        schema: &JSONSchemaProps,
        text: &str,
        path: Path<'_>,
        found: &mut Violations,
    ) -> bool {
        // Characters, though the apiserver's message speaks of bytes.
        let length = text.chars().count();
        if let Some(most) = exceeded(length, schema.max_length) {
            found.add(path, || {
                format!("Too long: may not be more than {most} characters, and has {length}")
            });
            return false;
        }
        let least = usize::try_from(schema.min_length.unwrap_or_default()).unwrap_or_default();
        if length < least {
            found.add(path, || {
                format!(
                    "Invalid value: {}: should be at least {least} characters long",
                    shown(text)
                )
            });
            return false;
        }
        if let Some(pattern) = &schema.pattern
            && !self
                .patterns
                .get(pattern)
                .is_some_and(|regex| regex.is_match(text))
        {
            found.add(path, || {
                format!("Invalid value: {}: should match {pattern:?}", shown(text))
            });
            return false;
        }
        if schema.format.as_deref() == Some("date-time") && text.parse::<Timestamp>().is_err() {
            found.add(path, || {
                format!(
                    "Invalid value: {}: not a time such as 2006-01-02T15:04:05Z",
                    shown(text)
                )
            });
            return false;
        }
        true
    }
}

fn has_type(
    schema: &JSONSchemaProps,
    value: &Value,
    path: Path<'_>,
    found: &mut Violations,
) -> bool {
    let Some(wanted) = schema.type_.as_deref() else {
        return true;
    };
    let given = type_of(value);
    if wanted == given || (wanted == "number" && given == "integer") {
        return true;
    }
    found.add(path, || {
        let advice = match (wanted, value) {
            ("string", Value::Bool(_)) => {
                ": put it into quotes (yes, no, on, off, y and n are booleans too)"
            }
            ("string", Value::Number(_)) => ": put it into quotes",
            ("boolean", Value::String(text)) if text == "true" || text == "false" => {
                ": leave out the quotes"
            }
            _ => "",
        };
        format!(
            "Invalid value: {}: must be of type {wanted}, and is {given}{advice}",
            shown_value(value)
        )
    });
    false
}

fn is_in_enum(
    schema: &JSONSchemaProps,
    value: &Value,
    path: Path<'_>,
    found: &mut Violations,
) -> bool {
    let Some(supported) = &schema.enum_ else {
        return true;
    };
    if supported.iter().any(|supported| supported.0 == *value) {
        return true;
    }
    found.add(path, || {
        let supported: Vec<String> = supported.iter().map(|value| value.0.to_string()).collect();
        format!(
            "Unsupported value: {}: supported values: {}",
            shown_value(value),
            supported.join(", ")
        )
    });
    false
}

/// Returns the limit where a size is above it.
fn exceeded(size: usize, most: Option<i64>) -> Option<usize> {
    let most = usize::try_from(most?).ok()?;
    (size > most).then_some(most)
}

fn required(schema: Option<&JSONSchemaProps>) -> String {
    let about = schema.and_then(|schema| schema.description.as_deref());
    match about.and_then(|text| text.split(['\n']).next()) {
        Some(about) => format!("Required value: {}", about.trim_end_matches('.')),
        None => "Required value".to_owned(),
    }
}

/// Returns the JSON type of a value, as schemas call it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number)
            if number.is_f64() && number.as_f64().is_none_or(|number| number.fract() != 0.0) =>
        {
            "number"
        }
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the name that is most like this one, where one is like it.
fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > COMPARED {
        return None;
    }
    let lower = name.to_lowercase();
    known
        .map(|known| {
            (
                strsim::damerau_levenshtein(&lower, &known.to_lowercase()),
                known,
            )
        })
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len().min(name.len()) / 4)
        .map(|(_, known)| known)
}

/// Returns a text in quotes, its end left out where it is long.
fn shown(text: &str) -> String {
    let (text, end) = cut(text);
    format!("{text:?}{end}")
}

/// Returns the beginning of a text, and what stands for the rest.
fn cut(text: &str) -> (&str, &'static str) {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => (&text[..end], "..."),
        None => (text, ""),
    }
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Object(_) => "{...}".to_owned(),
        Value::Array(_) => "[...]".to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
