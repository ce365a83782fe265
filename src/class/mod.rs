//! What does a binding get that names a class? Classes, parsed, and which terms they offer to whom.
//!
//! The rules here are pure: [`ClassUse::applied`] is called by the cache for every binding that names the class, and by the
//! commands for those in files.

mod selector;

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::{
    api::{Fallback, InferenceProfileClassSpec, Stage, condition::Reason},
    residency::{Limit, LimitError, LimitOrigin},
    resolve::Request,
    types::{ApplicationName, Geography, ModelId, ParseError, Region},
};

pub use selector::{Labels, Selector};

/// The most characters of a selector that a message repeats.
const SHOWN: usize = 200;

/// What is asked for, but for the source region and the application profile: a binding says it itself, or a class does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    model: ModelId,
    fallback_models: Vec<ModelId>,
    geography: Geography,
    fallbacks: Vec<Geography>,
    on_demand: bool,
}

impl Terms {
    /// Parses terms.
    ///
    /// # Errors
    /// [`ParseError`] for the first text that is not valid.
    pub fn parse(
        model: &str,
        geography: &str,
        fallback: Option<&Fallback>,
    ) -> Result<Self, ParseError> {
        let fallbacks = fallback.and_then(|fallback| fallback.geographies.as_deref());
        let fallback_models = fallback.and_then(|fallback| fallback.models.as_deref());
        Ok(Self {
            model: ModelId::parse_given(model)?,
            fallback_models: fallback_models
                .unwrap_or_default()
                .iter()
                .map(|model| ModelId::parse_given(model))
                .collect::<Result<_, _>>()?,
            geography: geography.parse()?,
            fallbacks: fallbacks
                .unwrap_or_default()
                .iter()
                .map(|name| name.parse())
                .collect::<Result<_, _>>()?,
            on_demand: fallback
                .and_then(|fallback| fallback.on_demand)
                .unwrap_or_default(),
        })
    }

    /// Returns the request that these terms make from a source region, with the application profile that is named beside them.
    #[must_use]
    pub fn request(self, source_region: Region, application: Option<ApplicationName>) -> Request {
        let request = Request {
            model: self.model,
            fallback_models: self.fallback_models,
            geography: self.geography,
            fallbacks: self.fallbacks,
            on_demand: self.on_demand,
            source_region,
            application,
        };
        request.without_repeats()
    }
}

/// Why it is not known what a binding asks for, or why it may not ask.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An older or wider CRD let an invalid value pass.
    #[error(transparent)]
    Invalid(#[from] ParseError),
    /// No class has the name.
    #[error("there is no class {0}: create it, or name one that `kubectl get ipc` lists")]
    ClassNotFound(Arc<str>),
    /// The class is not for the namespace.
    #[error(
        "the class {class} is not for this namespace: it is for namespaces with the labels {selector}; label the Namespace, or name another class"
    )]
    ClassNotAllowed {
        /// The class.
        class: Arc<str>,
        /// Its selector, shortened.
        selector: Box<str>,
    },
    /// The operator may not read classes, or the cluster does not know them.
    #[error(
        "it is not known what the class {0} asks for: the operator can't read classes; apply the CRD of classes (crds/) and allow the operator's service account to list and watch them"
    )]
    ClassesUnreadable(Arc<str>),
    /// The class asks for labels of Namespaces, which the operator may not read.
    #[error(
        "it is not known what the class {0} offers this namespace: the operator can't read its labels; allow its service account to list and watch Namespaces"
    )]
    LabelsUnreadable(Arc<str>),
    /// The class has an invalid value, which an older or wider CRD let pass.
    #[error("the class {class} can't be used until it is corrected: {error}")]
    ClassInvalid {
        /// The class.
        class: Arc<str>,
        /// What is wrong.
        error: ParseError,
    },
}

impl RequestError {
    /// Returns the reason of `RegionSupported`.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::ModelUnsupported,
            Self::ClassNotFound(_) => Reason::ClassNotFound,
            Self::ClassNotAllowed { .. } => Reason::ClassNotAllowed,
            Self::ClassesUnreadable(_) | Self::LabelsUnreadable(_) => Reason::ClassUnknown,
            Self::ClassInvalid { .. } => Reason::ClassInvalid,
        }
    }
}

/// A class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: Arc<str>,
    /// Its residency limit.
    pub limit: Option<Arc<Result<Limit, LimitError>>>,
    selector: Selector,
    terms: Result<Terms, ParseError>,
    stages: Box<[ParsedStage]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ParsedStage {
    name: Arc<str>,
    selector: Selector,
    terms: Result<Terms, ParseError>,
}

/// What a class offers a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'c> {
    /// The stage that selects the namespace. `None` if none does.
    pub stage: Option<&'c Arc<str>>,
    /// What is asked for.
    pub terms: &'c Terms,
}

impl Class {
    /// Reads a class. What is not valid is an error of its terms, so that only the bindings that get them see it.
    #[must_use]
    pub fn parse(name: &str, spec: &InferenceProfileClassSpec) -> Self {
        let stage = |stage: &Stage| ParsedStage {
            name: stage.name.as_str().into(),
            selector: Selector::of(&stage.namespace_selector),
            terms: Terms::parse(
                stage.model.as_ref().unwrap_or(&spec.model),
                stage.geography.as_ref().unwrap_or(&spec.geography),
                stage.fallback.as_ref().or(spec.fallback.as_ref()),
            ),
        };
        let selector = spec.namespace_selector.as_ref();
        Self {
            name: name.into(),
            limit: spec
                .allowed_regions
                .as_ref()
                .map(|entries| Arc::new(Limit::parse(LimitOrigin::Class, entries))),
            selector: selector.map(Selector::of).unwrap_or_default(),
            terms: Terms::parse(&spec.model, &spec.geography, spec.fallback.as_ref()),
            stages: spec.stages.iter().flatten().map(stage).collect(),
        }
    }

    /// Returns what the class offers a namespace with these labels. `None` means that they can't be read.
    ///
    /// # Errors
    /// [`RequestError`] if the namespace may not use the class, if that depends on labels that can't be read, or if what the
    /// class offers it is not valid.
    pub fn offer(
        &self,
        namespace: &str,
        labels: Option<&Labels>,
    ) -> Result<Offer<'_>, RequestError> {
        let selects = |selector: &Selector| match labels {
            _ if selector.selects_all() => Ok(true),
            Some(labels) => Ok(selector.selects(namespace, labels)),
            None => Err(RequestError::LabelsUnreadable(self.name.clone())),
        };
        if !selects(&self.selector)? {
            return Err(RequestError::ClassNotAllowed {
                class: self.name.clone(),
                selector: shortened(&self.selector),
            });
        }
        let mut found = (None, &self.terms);
        for stage in &self.stages {
            if selects(&stage.selector)? {
                found = (Some(&stage.name), &stage.terms);
                break;
            }
        }
        match found {
            (stage, Ok(terms)) => Ok(Offer { stage, terms }),
            (_, Err(error)) => Err(RequestError::ClassInvalid {
                class: self.name.clone(),
                error: error.clone(),
            }),
        }
    }

    /// Returns the names of the stages, in their order.
    pub fn stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|stage| stage.name.as_ref())
    }

    /// Returns what is wrong with the class, whoever uses it. `None` if nothing is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let stages = self.stages.iter().map(|stage| &stage.terms);
        let mut terms = std::iter::once(&self.terms).chain(stages);
        let invalid = terms.find_map(|terms| Some(terms.as_ref().err()?.to_string()));
        let limit = self
            .limit
            .as_ref()
            .and_then(|limit| (**limit).as_ref().err());
        invalid.or_else(|| limit.map(ToString::to_string))
    }
}

fn shortened(selector: &Selector) -> Box<str> {
    let text = selector.to_string();
    match text.char_indices().nth(SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}...", &text[..end]).into(),
    }
}

/// The class that a binding names, and what of it holds for the binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassUse {
    /// The class's name.
    pub name: Arc<str>,
    /// The stage that selects the binding's namespace. `None` if none does, or if the class is not known.
    pub stage: Option<Arc<str>>,
    /// The class's residency limit. It holds also where the class is not for the binding's namespace.
    pub limit: Option<Arc<Result<Limit, LimitError>>>,
    /// The binding's source region, which no class changes.
    pub source_region: Region,
    /// The application profile that the binding names, which no class changes either.
    pub application: Option<ApplicationName>,
}

// A limit has no hash. Equal ones have equal hashes all the same.
impl Hash for ClassUse {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.stage).hash(state);
        (&self.source_region, &self.application).hash(state);
    }
}

impl ClassUse {
    /// Returns the use of a class that is not known yet, by a binding with this source region and application profile.
    #[must_use]
    pub fn new(name: &str, source_region: Region, application: Option<ApplicationName>) -> Self {
        Self {
            name: name.into(),
            stage: None,
            limit: None,
            source_region,
            application,
        }
    }

    /// Takes in the class, or why there is none: returns what of it holds for a binding of this namespace, and the request that it makes. This is the
    /// one place that says what a binding with a class asks for.
    ///
    /// # Errors
    /// The request is a [`RequestError`] if it is not known what is asked for, or if the namespace may not ask for it.
    pub fn applied(
        &self,
        class: Result<&Class, RequestError>,
        namespace: &str,
        labels: Option<&Labels>,
    ) -> (Self, Result<Request, RequestError>) {
        let (source_region, application) = (self.source_region.clone(), self.application.clone());
        let mut found = Self::new(&self.name, source_region.clone(), application.clone());
        let class = match class {
            Ok(class) => class,
            Err(error) => return (found, Err(error)),
        };
        found.limit.clone_from(&class.limit);
        match class.offer(namespace, labels) {
            Ok(Offer { stage, terms }) => {
                found.stage = stage.cloned();
                let request = terms.clone().request(source_region, application);
                (found, Ok(request))
            }
            Err(error) => (found, Err(error)),
        }
    }
}

impl fmt::Display for ClassUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            None => write!(f, "the class {}", self.name),
            Some(stage) => write!(f, "the class {}, stage {stage}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "
model: a.chat
geography: eu
fallback: {geographies: [us], models: [a.old]}
allowedRegions: ['@eu', '@us']
namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}
stages:
- name: canary
  namespaceSelector: {matchLabels: {stage: dev}}
  model: a.next
- name: abroad
  namespaceSelector: {matchExpressions: [{key: stage, operator: In, values: [dev, us]}]}
  geography: us
  fallback: {onDemand: true}
- name: frozen
  namespaceSelector: {matchLabels: {stage: frozen}}
";

    fn class(yaml: &str) -> Class {
        Class::parse("chat", &serde_yaml::from_str(yaml).expect("a class"))
    }

    fn asked(class: &Class, labels: Option<&Labels>) -> (Option<String>, Result<String, Reason>) {
        let mine = ClassUse::new("chat", "eu-west-1".parse().expect("a region"), None);
        let (found, request) = mine.applied(Ok(class), "shop", labels);
        let request = request.map(|it| {
            let join = |texts: Vec<String>| texts.join(" ");
            let models = it.models().map(ToString::to_string).collect();
            let geographies = it.geographies().map(ToString::to_string).collect();
            format!("{}; {}; {}", join(models), join(geographies), it.on_demand)
        });
        (
            found.stage.map(|it| it.to_string()),
            request.map_err(|error| error.reason()),
        )
    }

    #[test]
    fn the_first_stage_that_selects_a_namespace_replaces_what_it_gives() {
        let class = class(CHAT);
        for (labels, stage, request) in [
            (vec![("team", "x")], None, "a.chat a.old; eu us; false"),
            (
                vec![("team", "x"), ("stage", "dev")],
                Some("canary"),
                "a.next a.old; eu us; false",
            ),
            (
                vec![("team", "x"), ("stage", "us")],
                Some("abroad"),
                "a.chat; us; true",
            ),
            (
                vec![("team", "x"), ("stage", "frozen")],
                Some("frozen"),
                "a.chat a.old; eu us; false",
            ),
        ] {
            let expected = (stage.map(str::to_owned), Ok(request.to_owned()));
            assert_eq!(asked(&class, Some(&Labels::new(labels))), expected);
        }
    }

    #[test]
    fn a_class_changes_neither_source_region_nor_application_profile() {
        let (region, application) = ("eu-west-1".parse(), "shop-chat".parse());
        let (region, application) = (region.expect("a region"), application.ok());
        let mine = ClassUse::new("chat", region, application.clone());
        let open = class("{model: a.b, geography: eu}");
        let (found, request) = mine.applied(Ok(&open), "shop", None);
        assert_eq!(found, mine);
        let request = request.expect("a request");
        assert_eq!(request.source_region, mine.source_region);
        assert_eq!(request.application, application);
        let gone = Err(RequestError::ClassNotFound("chat".into()));
        assert_eq!(mine.applied(gone, "shop", None).0, mine);
    }

    #[test]
    fn what_is_not_known_or_not_allowed_is_no_request() {
        let chat = class(CHAT);
        let nothing = Labels::default();
        assert_eq!(
            asked(&chat, Some(&nothing)),
            (None, Err(Reason::ClassNotAllowed))
        );
        assert_eq!(asked(&chat, None), (None, Err(Reason::ClassUnknown)));
        let open = class("{model: a.b, geography: eu, allowedRegions: ['@eu']}");
        assert_eq!(
            asked(&open, None).1,
            Ok("a.b; eu; false".to_owned()),
            "no label is asked for"
        );
        let invalid = class("{model: 'arn:x', geography: eu}");
        assert_eq!(asked(&invalid, Some(&nothing)).1, Err(Reason::ClassInvalid));
        assert!(invalid.fault().is_some_and(|fault| fault.contains("arn:x")));
        assert_eq!(open.fault(), None);
        let refused = chat
            .offer("shop", Some(&Labels::default()))
            .expect_err("refused");
        assert_eq!(
            refused.to_string(),
            "the class chat is not for this namespace: it is for namespaces with the labels team; label the Namespace, or name another class"
        );
    }
}
