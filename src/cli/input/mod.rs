//! What `-f` gives: bindings and classes, checked as the apiserver checks them, and the objects of other kinds that they are
//! judged by.

mod documents;
mod files;
mod other_formats;
mod problems;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map, hash_map::Entry},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde_json::{Map, Value};

use crate::{
    api::{
        InferenceProfileBinding, InferenceProfileClass, TargetKind, binding_definition,
        class_definition, names,
        validation::{self, Validator, Violations},
    },
    cache::decode::{WatchedNamespace, target_view},
    class::{Class, ClassUse, Labels, RequestError},
    plan::{
        identity::{ObjectKey, TargetKey},
        observed::{Binding, Spec, TargetView},
        status::Status,
    },
    residency::NamespaceLimit,
    resolve::Request,
    types::{ApplicationName, ParseError, Region},
};

use documents::{Allowance, Document};
use other_formats::{Other, Reading};
pub(super) use problems::Problems;
use problems::TOLD;

/// Bounds of what is read.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Bytes of a file.
    file: u64,
    /// What the documents of a file become.
    contents: Allowance,
    /// Objects in all files, those in Lists included.
    objects: usize,
}

const LIMITS: Limits = Limits {
    file: 16 << 20,
    contents: Allowance {
        parts: 2_000_000,
        bytes: 64 << 20,
    },
    objects: 100_000,
};

/// Most files, and most kinds of a file, that are named where there is no binding.
const NAMED: usize = 5;

/// A binding that was given.
pub(super) struct Given {
    pub(super) wire: InferenceProfileBinding,
    pub(super) binding: Binding,
}

/// Everything that was given.
#[derive(Default)]
pub(super) struct Input {
    pub(super) bindings: Vec<Given>,
    /// Objects that bindings may merge into.
    pub(super) objects: HashMap<TargetKey, TargetView>,
    /// Residency limits of the Namespaces among the files; one that is not among them is taken to set none.
    limits: HashMap<Arc<str>, NamespaceLimit>,
    /// Labels of the Namespaces among the files; one that is not among them is taken to have none but its name.
    labels: HashMap<Arc<str>, Labels>,
    /// The classes among the files.
    pub(super) classes: BTreeMap<Arc<str>, Arc<Class>>,
    /// What was passed over, for standard error.
    pub(super) remarks: Vec<String>,
}

impl Input {
    /// Reads files, folders and standard input, for a command of this name. `namespace` is that of objects that name none,
    /// `region` the source region of bindings that name none.
    ///
    /// # Errors
    ///
    /// Returns all that is wrong: what the apiserver would refuse, what can't be read, and that there is no binding.
    pub(super) fn read(
        command: &'static str,
        paths: &[PathBuf],
        namespace: &str,
        region: Option<&Region>,
    ) -> Result<Self, super::Error> {
        let mut reader = Reader::new(Reading(command), namespace, region, LIMITS)?;
        for path in paths {
            reader.path(path);
        }
        Ok(reader.finish()?)
    }

    /// Reads classes and Namespaces, likewise. Bindings are checked and left out.
    ///
    /// # Errors
    ///
    /// Returns all that is wrong, and that there is no class.
    pub(super) fn read_classes(
        command: &'static str,
        paths: &[PathBuf],
    ) -> Result<Self, super::Error> {
        let mut reader = Reader::new(Reading(command), "default", None, LIMITS)?;
        reader.wants = Wants::Classes;
        for path in paths {
            reader.path(path);
        }
        Ok(reader.finish()?)
    }

    /// Reads bindings, classes and Namespaces, of which none must be there but one object of any of these kinds. See
    /// [`Input::read`].
    ///
    /// # Errors
    ///
    /// Returns all that is wrong, and that there is no such object.
    pub(super) fn read_any(
        command: &'static str,
        paths: &[PathBuf],
        namespace: &str,
        region: Option<&Region>,
    ) -> Result<Self, super::Error> {
        let mut reader = Reader::new(Reading(command), namespace, region, LIMITS)?;
        reader.wants = Wants::Any;
        for path in paths {
            reader.path(path);
        }
        Ok(reader.finish()?)
    }

    /// Returns the Namespaces among the files: each with its name, its residency limit and its labels.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, NamespaceLimit, &Labels)> {
        let namespaces = self.labels.iter();
        namespaces.map(|(name, labels)| (name, self.limit_of(name), labels))
    }

    /// Returns the class of this name.
    ///
    /// # Errors
    ///
    /// [`RequestError::ClassNotFound`] if it is not among the files.
    pub(super) fn class(&self, name: &Arc<str>) -> Result<Arc<Class>, RequestError> {
        let class = self.classes.get(name).cloned();
        class.ok_or_else(|| RequestError::ClassNotFound(name.clone()))
    }

    /// Returns what a class offers a binding in a namespace, from a source region, and with the application profile that it names.
    pub(super) fn offer(
        &self,
        class: &str,
        namespace: &str,
        source_region: Region,
        application: Option<ApplicationName>,
    ) -> (ClassUse, Result<Request, RequestError>) {
        let class = ClassUse::new(class, source_region, application);
        let found = self.class(&class.name);
        let found = found.as_deref().map_err(Clone::clone);
        let labels = self.labels_of(namespace);
        class.applied(found, namespace, Some(&labels))
    }

    /// Returns the labels of a Namespace.
    pub(super) fn labels_of(&self, namespace: &str) -> Labels {
        self.labels.get(namespace).cloned().unwrap_or_default()
    }

    /// Returns the residency limit of a Namespace.
    pub(super) fn limit_of(&self, namespace: &str) -> NamespaceLimit {
        let limit = self.limits.get(namespace);
        limit.cloned().unwrap_or(NamespaceLimit::Unset)
    }
}

/// Where an object stands.
#[derive(Clone)]
struct Location {
    file: Arc<str>,
    document: usize,
    /// Its place in a List, and in Lists of Lists.
    items: Vec<usize>,
}

impl Location {
    fn item(&self, index: usize) -> Self {
        let mut inner = self.clone();
        inner.items.push(index);
        inner
    }
}

impl Location {
    /// Returns the path of the file, or what stands for it in commands.
    fn path(&self) -> &str {
        if self.is_standard_input() {
            "FILE"
        } else {
            &self.file
        }
    }

    /// Returns the name of the file, without its folders.
    fn file_name(&self) -> &str {
        let name = Path::new(&*self.file).file_name();
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Returns the Helm chart that the file belongs to.
    fn chart(&self) -> Option<&Path> {
        let path = Path::new(&*self.file);
        files::chart_of(path).filter(|_| !self.is_standard_input())
    }

    fn is_standard_input(&self) -> bool {
        &*self.file == files::STANDARD_INPUT
    }
}

/// What a file holds besides objects of known kinds.
enum Holds {
    Nothing,
    Comments,
    Objects,
}

impl Holds {
    /// Says what a text holds if no object is found in it.
    fn of(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            Self::Nothing
        } else {
            Self::Comments
        }
    }

    fn in_words(&self) -> &'static str {
        match self {
            Self::Nothing => "is empty",
            Self::Comments => "has nothing but comments",
            Self::Objects => "has an empty List",
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file, self.document)?;
        for (depth, index) in self.items.iter().enumerate() {
            let separator = if depth == 0 { ", " } else { "." };
            write!(f, "{separator}items[{index}]")?;
        }
        Ok(())
    }
}

/// What a command can't do without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Bindings,
    Classes,
    /// Bindings, classes or Namespaces.
    Any,
}

struct Reader<'r> {
    /// The command that reads.
    reading: Reading,
    wants: Wants,
    namespace: &'r str,
    region: Option<&'r Region>,
    limits: Limits,
    validator: Validator,
    class_validator: Validator,
    input: Input,
    /// Where each binding stands.
    places: HashMap<ObjectKey, Location>,
    /// Where each class stands.
    class_places: BTreeMap<Arc<str>, Location>,
    problems: Problems,
    /// How many objects were read.
    objects: usize,
    /// What the first files without a binding hold instead, and how many such files there are.
    others: (Vec<String>, usize),
    /// Kinds in the present file, other than bindings.
    kinds: BTreeSet<String>,
    /// What makes the manifests of the first object that stands for others.
    builder: Option<&'static str>,
}

impl<'r> Reader<'r> {
    fn new(
        reading: Reading,
        namespace: &'r str,
        region: Option<&'r Region>,
        limits: Limits,
    ) -> Result<Self, validation::Error> {
        Ok(Self {
            reading,
            wants: Wants::Bindings,
            namespace,
            region,
            limits,
            validator: Validator::new(&binding_definition())?,
            class_validator: Validator::new(&class_definition())?,
            input: Input::default(),
            places: HashMap::new(),
            class_places: BTreeMap::new(),
            problems: Problems::default(),
            objects: 0,
            others: (Vec::new(), 0),
            kinds: BTreeSet::new(),
            builder: None,
        })
    }

    /// Takes what a path names.
    fn path(&mut self, path: &Path) {
        let before = self.problems.mark();
        let files = files::list(path, self.reading, &mut self.problems);
        if files.is_empty() && !self.problems.grew(before) {
            self.other(|| files::no_manifests(path));
        }
        self.input.remarks.extend(files::passed_over(path));
        for file in files {
            if self.objects > self.limits.objects {
                return;
            }
            match files::text(&file, self.limits.file, self.reading) {
                Ok(text) => self.text(&files::name(&file), &text),
                Err(problem) => self.problems.add(|| problem),
            }
        }
    }

    /// Takes the documents of a file.
    fn text(&mut self, name: &str, text: &str) {
        let before = self.wanted();
        let file: Arc<str> = name.into();
        let mut left = self.limits.contents;
        self.kinds.clear();
        let mut holds = Holds::of(text);
        for document in documents::split(text) {
            let before = self.problems.mark();
            let at = Location {
                file: file.clone(),
                document: document.number,
                items: Vec::new(),
            };
            if !self.count(&at) {
                return;
            }
            match documents::parse(&document, &mut left) {
                Ok(Value::Null) => {}
                Ok(value) => {
                    holds = Holds::Objects;
                    self.objects(value, &at);
                }
                Err(fault) => self.tell_fault(&fault, &document, &at),
            }
            if self.objects > self.limits.objects {
                return;
            }
            if self.problems.grew(before) && self.tell_template(&document, &at, before) {
                break;
            }
        }
        if self.wanted() == before {
            let kinds: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
            let held = match kinds.len() {
                0 => format!("{name} {}", holds.in_words()),
                more if more > NAMED => {
                    format!("{name} holds {} and others", kinds[..NAMED].join(", "))
                }
                _ => format!("{name} holds {}", kinds.join(", ")),
            };
            self.other(|| held);
        }
    }

    /// Returns how many objects there are of the kind that the command can't do without.
    fn wanted(&self) -> usize {
        match self.wants {
            Wants::Bindings => self.input.bindings.len(),
            Wants::Classes => self.input.classes.len(),
            Wants::Any => {
                let input = &self.input;
                input.bindings.len() + input.classes.len() + input.labels.len()
            }
        }
    }

    /// Notes a file without what is wanted.
    fn other(&mut self, what: impl FnOnce() -> String) {
        self.others.1 += 1;
        if self.others.0.len() < NAMED {
            self.others.0.push(what());
        }
    }

    /// Tells why a document can't be parsed.
    fn tell_fault(&mut self, fault: &documents::Fault, document: &Document<'_>, at: &Location) {
        let syntax = fault
            .line
            .and_then(|line| other_formats::syntax(document.text, line));
        let message = syntax.map_or_else(
            || fault.message.clone(),
            |syntax| {
                let parser = &fault.message;
                syntax.in_words(document.lines_before, parser, at.path(), self.reading)
            },
        );
        self.problems.add(|| format!("{at}{message}"));
    }

    /// Tells the one thing that is wrong with a document that is still a template, instead of what follows from it. Returns
    /// whether the document is one.
    fn tell_template(
        &mut self,
        document: &Document<'_>,
        at: &Location,
        before: problems::Mark,
    ) -> bool {
        let Some(expression) = other_formats::helm_expression(document.text) else {
            return false;
        };
        self.problems.rewind(before);
        let advice = self.reading.helm_template(at.chart());
        self.problems.add(|| {
            format!("{at}: a Helm template that is not rendered: it has {expression:?}; {advice}")
        });
        true
    }

    /// Takes an object, or those of a List.
    fn objects(&mut self, value: Value, at: &Location) {
        let mut waiting = vec![(value, at.clone())];
        while let Some((value, at)) = waiting.pop() {
            if !at.items.is_empty() && !self.count(&at) {
                return;
            }
            let mut object = match value {
                Value::Object(object) => object,
                // An empty document.
                Value::Null => continue,
                Value::Array(_) => {
                    self.problems.add(|| {
                        format!("{at}: a list, not an object: put a line --- before each item, or all into the items of a List")
                    });
                    continue;
                }
                _ => {
                    self.problems.add(|| {
                        format!("{at}: not an object: a manifest has apiVersion, kind and metadata")
                    });
                    continue;
                }
            };
            let Some((api_version, kind)) = self.type_of(&object, &at) else {
                continue;
            };
            match items(&mut object, &kind) {
                Some(items) => {
                    let inherited = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
                    let items = items.into_iter().enumerate().rev();
                    waiting.extend(items.map(|(index, mut item)| {
                        inherit(&mut item, &api_version, inherited);
                        (item, at.item(index))
                    }));
                }
                None => self.object(object, &api_version, &kind, &at),
            }
        }
    }

    /// Counts a document or an item of a List, and says whether it is within the limit.
    fn count(&mut self, at: &Location) -> bool {
        self.objects += 1;
        let most = self.limits.objects;
        let within = self.objects <= most;
        if !within {
            self.problems
                .add(|| format!("{at}: more than {most} objects: split the input"));
        }
        within
    }

    /// Returns version and kind of an object.
    fn type_of(&mut self, object: &Map<String, Value>, at: &Location) -> Option<(String, String)> {
        let text = |name| object.get(name).and_then(Value::as_str);
        if let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) {
            return Some((api_version.to_owned(), kind.to_owned()));
        }
        if at.items.is_empty()
            && let Some(other) = other_formats::other(object, at.file_name())
        {
            let message = self.instead_of(other, at);
            self.problems.add(|| format!("{at}: {message}"));
            return None;
        }
        self.problems.add(|| {
            let mut missing = vec!["apiVersion", "kind"];
            missing.retain(|name| text(name).is_none());
            format!(
                "{at}: {}: Required value: every manifest has apiVersion and kind",
                missing.join(", ")
            )
        });
        None
    }

    /// Says what an object is that is no manifest, and what to do.
    fn instead_of(&self, other: Other, at: &Location) -> String {
        let path = Path::new(at.path());
        let folder = path.parent().filter(|_| !at.is_standard_input());
        match other {
            Other::Kustomization => format!(
                "a kustomization, which has to be built: {}",
                self.reading.kustomize(folder)
            ),
            Other::Chart => format!(
                "the description of a Helm chart, which has to be rendered: {}",
                self.reading.helm_template(folder)
            ),
            Other::Values => format!(
                "values of a Helm chart, not a manifest: {}",
                self.reading.helm_template(at.chart())
            ),
        }
    }

    fn object(&mut self, object: Map<String, Value>, api_version: &str, kind: &str, at: &Location) {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if kind == InferenceProfileClass::kind(&()) {
            self.note_kind(kind);
            self.class(Value::Object(object), api_version, at);
            return;
        }
        let ours = InferenceProfileBinding::kind(&());
        if group == names::GROUP || kind == ours {
            if self.wants == Wants::Classes {
                self.note_kind(kind);
            }
            self.binding(Value::Object(object), api_version, kind, at);
            return;
        }
        if group == "kustomize.config.k8s.io" {
            let folder = Path::new(at.path()).parent();
            let build = self
                .reading
                .kustomize(folder.filter(|_| !at.is_standard_input()));
            self.problems
                .add(|| format!("{at}: a {kind}, which has to be built: {build}"));
            return;
        }
        self.builder = self
            .builder
            .or_else(|| other_formats::builder(api_version, kind));
        self.note_kind(kind);
        let target = [TargetKind::ConfigMap, TargetKind::Secret]
            .into_iter()
            .find(|known| known.as_str() == kind);
        match (api_version, kind, target) {
            ("v1", "Namespace", _) => {
                if let Some(metadata) = self.metadata(object, at) {
                    let namespace = WatchedNamespace::from(metadata);
                    let (name, limit) = namespace.limit();
                    self.input.labels.insert(name.clone(), namespace.labels());
                    self.input.limits.insert(name, limit);
                }
            }
            ("v1", _, Some(kind)) => {
                if let Some(metadata) = self.metadata(object, at) {
                    let namespace = metadata.namespace.as_deref();
                    let key = TargetKey {
                        kind,
                        namespace: namespace
                            .filter(|n| !n.is_empty())
                            .unwrap_or(self.namespace)
                            .into(),
                        name: metadata.name.as_deref().unwrap_or_default().into(),
                    };
                    let view = target_view(&metadata, |_| None);
                    self.input.objects.insert(key, view);
                }
            }
            _ => {}
        }
    }

    /// Notes a kind in the present file.
    fn note_kind(&mut self, kind: &str) {
        if self.kinds.len() <= NAMED {
            self.kinds.insert(kind.chars().take(63).collect());
        }
    }

    fn class(&mut self, mut manifest: Value, api_version: &str, at: &Location) {
        let known = InferenceProfileClass::api_version(&());
        if api_version != known {
            self.problems
                .add(|| format!("{at}: apiVersion: {api_version:?} is not available: use {known}"));
            return;
        }
        let mut found = Violations::keeping(TOLD);
        self.class_validator.check(&mut manifest, &mut found);
        if self.tell(found, &manifest, at).is_none() {
            return;
        }
        let Some(wire) = self.decode::<InferenceProfileClass>(manifest, at) else {
            return;
        };
        let name: Arc<str> = wire.metadata.name.as_deref().unwrap_or_default().into();
        match self.class_places.entry(name.clone()) {
            btree_map::Entry::Occupied(first) => {
                let first = first.get();
                self.problems.add(|| {
                    format!("{at}: the class {name} is given twice: the first is in {first}")
                });
                return;
            }
            btree_map::Entry::Vacant(free) => free.insert(at.clone()),
        };
        let class = Class::parse(&name, &wire.spec);
        self.input.classes.insert(name, Arc::new(class));
    }

    /// Returns the metadata of an object of another kind, or `None` if something is wrong with them.
    fn metadata(&mut self, mut object: Map<String, Value>, at: &Location) -> Option<ObjectMeta> {
        let mut metadata = object
            .remove("metadata")
            .filter(|metadata| !metadata.is_null())
            .unwrap_or_else(|| Value::Object(Map::new()));
        let mut found = Violations::keeping(TOLD);
        self.validator.check_metadata(&mut metadata, &mut found);
        self.tell(found, &Value::Null, at)?;
        self.decode(metadata, at)
    }

    fn binding(&mut self, mut manifest: Value, api_version: &str, kind: &str, at: &Location) {
        let (known_version, known_kind) = (
            InferenceProfileBinding::api_version(&()),
            InferenceProfileBinding::kind(&()),
        );
        let before = self.problems.mark();
        if api_version != known_version {
            self.problems.add(|| {
                format!("{at}: apiVersion: {api_version:?} is not available: use {known_version}")
            });
        }
        if kind != known_kind {
            self.problems.add(|| {
                format!(
                    "{at}: kind: {kind:?} is not a kind of {known_version}: use {known_kind} or {}",
                    InferenceProfileClass::kind(&())
                )
            });
        }
        if self.problems.grew(before) {
            return;
        }
        let mut found = Violations::keeping(TOLD);
        self.validator.check(&mut manifest, &mut found);
        if self.tell(found, &manifest, at).is_none() {
            return;
        }
        if self.wants == Wants::Classes {
            return;
        }
        let Some(mut wire) = self.decode::<InferenceProfileBinding>(manifest, at) else {
            return;
        };
        let metadata = &mut wire.metadata;
        let namespace = metadata.namespace.take().filter(|name| !name.is_empty());
        let namespace = namespace.unwrap_or_else(|| self.namespace.to_owned());
        let key = ObjectKey {
            namespace: namespace.as_str().into(),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        };
        metadata.namespace = Some(namespace);
        match self.places.entry(key.clone()) {
            Entry::Occupied(first) => {
                let first = first.get();
                self.problems.add(|| {
                    format!("{at}: the binding {key} is given twice: the first is in {first}")
                });
                return;
            }
            Entry::Vacant(free) => free.insert(at.clone()),
        };
        match parse(&wire, key, self.region, self.input.bindings.len()) {
            Ok(binding) => self.input.bindings.push(Given { wire, binding }),
            Err(problem) => self.problems.add(|| format!("{at}: {problem}")),
        }
    }

    /// Tells what was found wrong with an object. Returns `None` if something was.
    fn tell(&mut self, found: Violations, object: &Value, at: &Location) -> Option<()> {
        let (violations, total) = found.into_parts();
        let told = violations.len();
        let reading = self.reading;
        for violation in violations {
            let value = other_formats::value_at(object, &violation.field);
            let placeholder = value
                .and_then(Value::as_str)
                .and_then(other_formats::placeholder);
            self.problems.add(|| match placeholder {
                Some(placeholder) => format!(
                    "{at}: {}: {}",
                    violation.field,
                    placeholder.in_words(at.path(), reading)
                ),
                None => format!("{at}: {violation}"),
            });
        }
        self.problems.add_untold(total - told);
        (total == 0).then_some(())
    }

    fn decode<T: serde::de::DeserializeOwned>(&mut self, value: Value, at: &Location) -> Option<T> {
        serde_json::from_value(value)
            .map_err(|error| self.problems.add(|| format!("{at}: {error}")))
            .ok()
    }

    fn finish(mut self) -> Result<Input, Problems> {
        if self.problems.is_empty() && self.wanted() == 0 {
            let (others, total) = &self.others;
            let more = match total - others.len() {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            let others = others.join("; ");
            let binding = InferenceProfileBinding::kind(&());
            let class = InferenceProfileClass::kind(&());
            let kind = match self.wants {
                Wants::Bindings => binding.into_owned(),
                Wants::Classes => class.into_owned(),
                Wants::Any => format!("{class} or {binding}"),
            };
            let wanted = match self.builder {
                Some(command) => self.reading.pipe(command),
                None => format!(
                    "give a manifest of apiVersion {} and kind {kind}",
                    InferenceProfileBinding::api_version(&()),
                ),
            };
            self.problems
                .add(|| format!("no {kind} was found: {others}{more}; {wanted}"));
        }
        // Classes and Namespaces may stand anywhere among the files.
        let mut bindings = std::mem::take(&mut self.input.bindings);
        for Given { binding, .. } in &mut bindings {
            let namespace = binding.key.namespace.clone();
            let labels = self.input.labels_of(&namespace);
            let classes = &self.input;
            binding
                .spec
                .apply_class(|name| classes.class(name), &namespace, Some(&labels));
        }
        self.input.bindings = bindings;
        if self.problems.is_empty() {
            Ok(self.input)
        } else {
            Err(self.problems)
        }
    }
}

/// Takes the items out of a List: `List` itself, or the list of a kind.
fn items(object: &mut Map<String, Value>, kind: &str) -> Option<Vec<Value>> {
    if !kind.ends_with("List") {
        return None;
    }
    match object.get_mut("items") {
        Some(Value::Array(items)) => Some(std::mem::take(items)),
        None | Some(Value::Null) if kind == "List" => Some(Vec::new()),
        _ => None,
    }
}

/// Gives an item the version and kind that it leaves to its list.
fn inherit(item: &mut Value, api_version: &str, kind: Option<&str>) {
    if let (Value::Object(item), Some(kind)) = (item, kind) {
        for (field, value) in [("apiVersion", api_version), ("kind", kind)] {
            item.entry(field).or_insert_with(|| value.into());
        }
    }
}

/// Makes a plan's binding of one that the apiserver would accept.
fn parse(
    wire: &InferenceProfileBinding,
    key: ObjectKey,
    region: Option<&Region>,
    position: usize,
) -> Result<Binding, String> {
    let default_region = match (region, &wire.spec.source_region) {
        (Some(region), _) => region.clone(),
        (None, Some(own)) => own
            .parse()
            .map_err(|error: ParseError| format!("spec.sourceRegion: {error}"))?,
        (None, None) => {
            return Err(
                "spec.sourceRegion: it names no sourceRegion: give --region or set AWS_REGION"
                    .to_owned(),
            );
        }
    };
    let spec = Spec::parse(&wire.spec, &key.name, &default_region);
    // What a class asks for is known when everything is read.
    for ask in spec.asks.values() {
        if let Err(error) = &ask.request
            && let RequestError::Invalid(error) = &**error
        {
            return Err(format!("spec: {error}"));
        }
    }
    Ok(Binding {
        key,
        uid: position.to_string().into(),
        generation: 1,
        // As applied: in the order given.
        created: i64::try_from(position).unwrap_or_default(),
        deleting: false,
        finalizer: true,
        refresh: None,
        spec,
        status: Status::default(),
    })
}

#[cfg(test)]
mod tests;
