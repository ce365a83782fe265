//! Renders the content of a target: the values of a route, under the target's keys and in its templates.

mod presets;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, LazyLock},
};

use minijinja::{
    Environment, UndefinedBehavior, Value, context,
    machinery::{Token, tokenize},
    syntax::SyntaxConfig,
    value::{Enumerator, Object, ObjectRepr},
};

use crate::{
    api::{CreationPolicy, TargetKind, ValueName},
    models::{ModelName, Models},
    plain::{LONGEST_QUOTE, plain},
    route::Route,
    types::{AccountId, ApplicationProfileArn, Region},
};

pub use presets::{claude_code, lite_llm};

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// A value of a model.
    Value {
        /// The name of the model. `None` for the only one of a binding.
        model: Option<Arc<str>>,
        /// The value.
        value: ValueName,
    },
    /// This text.
    Text(&'static str),
}

impl From<ValueName> for KeySource {
    fn from(value: ValueName) -> Self {
        Self::Value { model: None, value }
    }
}

/// The keys of a target that specifies neither keys, templates nor a preset.
pub const DEFAULT_KEYS: [(&str, ValueName); 5] = [
    ("BEDROCK_DESTINATION_REGIONS", ValueName::DestinationRegions),
    ("BEDROCK_FOUNDATION_MODEL_ID", ValueName::FoundationModelID),
    ("BEDROCK_GEOGRAPHY", ValueName::Geography),
    ("BEDROCK_INFERENCE_PROFILE_ID", ValueName::ProfileID),
    ("BEDROCK_SOURCE_REGION", ValueName::SourceRegion),
];

/// The keys that a target has besides, if it specifies none of these and the binding names an application profile.
pub const APPLICATION_KEYS: [(&str, ValueName); 1] =
    [("BEDROCK_INVOCATION_ID", ValueName::InvocationID)];

/// What every default key begins with.
const DEFAULT_PREFIX: &str = "BEDROCK_";

/// Returns the keys that a target without keys, templates and a preset has for a model. The name of one of several models
/// stands in each, as in `BEDROCK_HAIKU_GEOGRAPHY`.
pub fn default_keys(
    model: ModelName<'_>,
    names_application: bool,
) -> impl Iterator<Item = (Arc<str>, KeySource)> {
    let infix = model.map(|name| format!("{}_", name.to_uppercase().replace('-', "_")));
    let infix = infix.unwrap_or_default();
    let application = APPLICATION_KEYS.iter().filter(move |_| names_application);
    let keys = DEFAULT_KEYS.iter().chain(application);
    let model = model.cloned();
    keys.map(move |(key, value)| {
        let rest = key.strip_prefix(DEFAULT_PREFIX).unwrap_or(key);
        let source = KeySource::Value {
            model: model.clone(),
            value: *value,
        };
        (format!("{DEFAULT_PREFIX}{infix}{rest}").into(), source)
    })
}

/// Keys of every owned Secret, as required by the Service Binding specification for Kubernetes
/// (<https://servicebinding.io/spec/core/1.1.0/#well-known-secret-entries>).
const SECRET_KEYS: [(&str, &str); 2] = [("provider", "aws"), ("type", "bedrock")];

/// Most steps of one template: thousands of times what a configuration file needs, and a few milliseconds.
const TEMPLATE_FUEL: u64 = 50_000;
/// Most bytes that one template may write.
const TEMPLATE_OUTPUT: usize = 64 * 1024;

/// Most words and signs of one expression or statement. The engine nests what stands in a row, such as calls, and needs a stack that
/// grows with it.
const TEMPLATE_TOKENS: usize = 256;

/// Most brackets, of any kind, that are open at once in one expression.
const TEMPLATE_BRACKETS: usize = 16;

/// Most `elif` in one template: the engine nests them, too.
const TEMPLATE_BRANCHES: usize = 64;

/// Most `+`, and commas and colons in brackets that hold more than constants, in one template. The engine counts the steps of making a list, but
/// none for the lists in it: each of these can double what is printed or compared, which takes a time and a memory that no budget
/// of steps bounds.
const TEMPLATE_COPIES: usize = 4;

/// Says why the content of a target cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A key needs a value that is not known.
    #[error(
        "{key} asks for {value}, which contains an AWS account ID, and none is known: start the operator with --account, or use ProfileID"
    )]
    ValueUnavailable {
        /// The key.
        key: String,
        /// The name of the value.
        value: &'static str,
    },
    /// A key needs the ARN of an application profile, and the binding names none.
    #[error(
        "{key} asks for ApplicationProfileARN, and the binding names no application profile: set application.name, or use InvocationID"
    )]
    NoApplicationProfile {
        /// The key.
        key: String,
    },
    /// A key names a model that there is not.
    #[error("{key} asks for a value of the model {model:?}, and spec.models has none of this name")]
    NoModel {
        /// The key.
        key: String,
        /// The model; empty where the key names none.
        model: String,
    },
    /// A template is malformed, uses an unknown name, or exceeds a limit.
    #[error("template {key}: {message}")]
    TemplateInvalid {
        /// The key of the template.
        key: String,
        /// What is wrong, with the line number if it is known.
        message: String,
    },
}

/// What the values of a model are derived from.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The route that workloads use.
    pub route: &'a Route,
    /// The account in the ARNs of profiles, if it is known.
    pub account: Option<&'a AccountId>,
    /// The application profile through which workloads invoke it, if the binding names one.
    pub application: Option<&'a ApplicationProfileArn>,
}

impl<'a> Values<'a> {
    /// Returns what workloads invoke: the ARN of the application profile where there is one, else the ID of the route.
    #[must_use]
    pub fn invocation_id(self) -> &'a str {
        let application = self.application.map(ApplicationProfileArn::as_str);
        application.unwrap_or_else(|| self.route.id())
    }

    /// Returns the value of this name, or `None` if it is not known.
    #[must_use]
    pub fn value(&self, name: ValueName) -> Option<String> {
        let route = self.route;
        Some(match name {
            ValueName::ProfileID => route.id().to_owned(),
            ValueName::ProfileARN => return route.arn(self.account),
            ValueName::FoundationModelID => route.model.to_string(),
            ValueName::FoundationModelARN => route.source_region.foundation_model_arn(&route.model),
            ValueName::Provider => route.model.provider().to_owned(),
            ValueName::Geography => route.geography().to_owned(),
            ValueName::SourceRegion => route.source_region.to_string(),
            ValueName::DestinationRegions => route.destinations.to_string(),
            ValueName::RuntimeEndpoint => route.source_region.runtime_endpoint(),
            ValueName::OpenAIBaseURL => openai_base_url(&route.source_region),
            ValueName::AnthropicBaseURL => anthropic_base_url(&route.source_region),
            ValueName::InvocationID => self.invocation_id().to_owned(),
            ValueName::ApplicationProfileARN => return self.application.map(ToString::to_string),
        })
    }
}

/// Returns the URL under which `bedrock-runtime` has the Chat Completions and Responses of `OpenAI`, for `OPENAI_BASE_URL`.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html>
fn openai_base_url(region: &Region) -> String {
    format!("{}/openai/v1", region.runtime_endpoint())
}

/// Returns the URL under which `bedrock-runtime` has the Messages of Anthropic, for `ANTHROPIC_BASE_URL`: clients append
/// `/v1/messages`.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html>
fn anthropic_base_url(region: &Region) -> String {
    format!("{}/anthropic", region.runtime_endpoint())
}

/// Returns the whole content of a target: key -> value.
///
/// # Errors
/// Returns [`RenderError`] if a value is not known or a template cannot be rendered. Content is never partial.
pub fn content(
    kind: TargetKind,
    policy: CreationPolicy,
    keys: &[(Arc<str>, KeySource)],
    templates: &[(Arc<str>, Arc<str>)],
    models: &Models<Values<'_>>,
) -> Result<BTreeMap<String, String>, RenderError> {
    let mut content = BTreeMap::new();
    if kind == TargetKind::Secret && policy == CreationPolicy::Owner {
        content.extend(SECRET_KEYS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    for (key, source) in keys {
        let value = match source {
            KeySource::Text(text) => (*text).to_owned(),
            KeySource::Value { model, value } => key_value(key, model.as_deref(), *value, models)?,
        };
        content.insert(key.to_string(), value);
    }
    for (key, template) in templates {
        content.insert(key.to_string(), render_template(key, template, models)?);
    }
    Ok(content)
}

fn key_value(
    key: &str,
    model: Option<&str>,
    name: ValueName,
    models: &Models<Values<'_>>,
) -> Result<String, RenderError> {
    let key = || key.to_owned();
    let values = models.get(model).ok_or_else(|| RenderError::NoModel {
        key: key(),
        model: model.unwrap_or_default().to_owned(),
    })?;
    values.value(name).ok_or_else(|| match name {
        ValueName::ApplicationProfileARN => RenderError::NoApplicationProfile { key: key() },
        _ => RenderError::ValueUnavailable {
            key: key(),
            value: "ProfileARN",
        },
    })
}

/// The template engine: no loader, no I/O, strict about undefined names, with a limit on steps.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // All let lists grow without steps: one over the turns of a loop, the others beside `+`.
    environment.remove_global("namespace");
    for filter in ["batch", "chain", "groupby", "slice", "zip"] {
        environment.remove_filter(filter);
    }
    environment
});

/// What is open in a template: a statement, or brackets of any kind in it.
#[derive(Default)]
struct Open {
    /// Commas, and in a mapping colons: a key may be a list, too.
    separators: usize,
    is_mapping: bool,
    /// Whether there is more in it than constants.
    holds_values: bool,
    /// Whether it holds what `map` is given.
    is_of_map: bool,
    /// Whether its commas separate names that it binds.
    binds: bool,
}

impl Open {
    /// Returns how often a value is copied.
    fn copies(&self) -> usize {
        let copies = self.holds_values && !self.binds;
        if copies { self.separators } else { 0 }
    }
}

/// Says what in a template could grow a list or the stack beyond any bound, or `None` if nothing could. The engine's own lexer reads
/// it, so that nothing is code to the one and text to the other.
fn unbounded(template: &str) -> Option<String> {
    let (mut copies, mut branches, mut in_block) = (0, 0, 0);
    let mut statement = Open::default();
    let mut brackets: Vec<Open> = Vec::new();
    let mut after = Token::VariableStart;
    // What the lexer refuses is refused when the template is compiled.
    for (token, _) in tokenize(template, false, SyntaxConfig::default()).map_while(Result::ok) {
        in_block += 1;
        let here = brackets.last_mut().unwrap_or(&mut statement);
        match &token {
            Token::VariableStart | Token::BlockStart => {
                (in_block, statement) = (0, Open::default());
                brackets.clear();
            }
            Token::VariableEnd | Token::BlockEnd => copies += statement.copies(),
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => brackets.push(Open {
                is_mapping: matches!(token, Token::BraceOpen),
                is_of_map: matches!(after, Token::Ident("map")),
                ..Open::default()
            }),
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                if let Some(closed) = brackets.pop() {
                    copies += closed.copies();
                    let around = brackets.last_mut().unwrap_or(&mut statement);
                    around.holds_values |= closed.holds_values;
                }
            }
            Token::Comma if here.is_of_map => {
                return Some(
                    "gives map more than one argument: use a loop in its place".to_owned(),
                );
            }
            Token::Comma => here.separators += 1,
            Token::Colon if here.is_mapping => here.separators += 1,
            Token::Plus => copies += 1,
            Token::Mul | Token::Pow => {
                return Some("has a * in an expression: write out what it makes".to_owned());
            }
            Token::Ident("recursive") => {
                return Some("has a recursive loop: use plain loops".to_owned());
            }
            Token::Ident("true" | "false" | "none" | "True" | "False" | "None") => {}
            Token::Ident(name) => {
                branches += usize::from(*name == "elif");
                here.holds_values = true;
                here.binds |= matches!(after, Token::BlockStart) && matches!(*name, "for" | "with");
            }
            _ => {}
        }
        after = token;
        if brackets.len() > TEMPLATE_BRACKETS {
            return Some(format!(
                "has an expression with more than {TEMPLATE_BRACKETS} brackets within each other: divide it by {{% set %}}"
            ));
        }
        if in_block > TEMPLATE_TOKENS {
            return Some(format!(
                "has an expression of more than {TEMPLATE_TOKENS} words and signs: divide it by {{% set %}}"
            ));
        }
    }
    if branches > TEMPLATE_BRANCHES {
        return Some(format!(
            "has {branches} elif, and may have {TEMPLATE_BRANCHES}: use fewer"
        ));
    }
    (copies > TEMPLATE_COPIES).then(|| {
        format!(
            "has {copies} + and commas between values in its expressions, and may have {TEMPLATE_COPIES}: join texts by ~, and put constants alone into lists"
        )
    })
}

/// Returns what a template knows of the route of a model.
fn route_names(values: Values<'_>) -> BTreeMap<&'static str, Value> {
    let route = values.route;
    let arn = route.arn(values.account);
    BTreeMap::from([
        ("id", route.id().into()),
        ("arn", arn.map_or(Value::UNDEFINED, Value::from)),
        ("geography", route.geography().into()),
        ("sourceRegion", route.source_region.as_str().into()),
        ("destinationRegions", route.destinations.names().into()),
        ("foundationModelID", route.model.as_str().into()),
        (
            "foundationModelARN",
            route
                .source_region
                .foundation_model_arn(&route.model)
                .into(),
        ),
        ("provider", route.model.provider().into()),
        (
            "runtimeEndpoint",
            route.source_region.runtime_endpoint().into(),
        ),
        (
            "openAIBaseURL",
            openai_base_url(&route.source_region).into(),
        ),
        (
            "anthropicBaseURL",
            anthropic_base_url(&route.source_region).into(),
        ),
    ])
}

/// Returns what a template knows of how a model is invoked: `invocation` and `application`.
fn invocation_names(values: Values<'_>) -> [(&'static str, Value); 2] {
    let arn = values.application.map(ApplicationProfileArn::as_str);
    let arn = arn.map_or(Value::UNDEFINED, Value::from);
    [
        ("invocation", context! { id => values.invocation_id() }),
        ("application", context! { arn => arn }),
    ]
}

/// Several models as a template sees them: a loop goes through them in the order of their names, and each is also found by its
/// name.
#[derive(Debug)]
struct Named(BTreeMap<Arc<str>, Value>);

impl Object for Named {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        self.0.get(name.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.values().cloned().collect())
    }
}

/// Returns all that a template knows.
fn names(models: &Models<Values<'_>>) -> Value {
    match models {
        Models::One(values) => {
            let profile = ("profile", Value::from(route_names(*values)));
            let all = invocation_names(*values).into_iter().chain([profile]);
            Value::from(all.collect::<BTreeMap<_, _>>())
        }
        Models::Several(several) => {
            let model = |(name, values): &(Arc<str>, Values<'_>)| {
                let mut model = route_names(*values);
                model.extend(invocation_names(*values));
                model.insert("name", Value::from(&**name));
                (name.clone(), Value::from(model))
            };
            let named = Named(several.iter().map(model).collect());
            context! { models => Value::from_object(named) }
        }
    }
}

fn render_template(
    key: &str,
    template: &str,
    models: &Models<Values<'_>>,
) -> Result<String, RenderError> {
    let invalid = |error: &minijinja::Error| RenderError::TemplateInvalid {
        key: key.to_owned(),
        message: match error.line() {
            Some(line) => format!("line {line}: {}", describe(error, models)),
            None => describe(error, models),
        },
    };
    if let Some(message) = unbounded(template) {
        return Err(RenderError::TemplateInvalid {
            key: key.to_owned(),
            message,
        });
    }
    // The engine drops one newline at the end. This adds one, so that the template's own newline stays.
    let template = format!("{template}\n");
    let template = ENVIRONMENT
        .template_from_str(&template)
        .map_err(|error| invalid(&error))?;
    let mut output = Bounded(Vec::new());
    template
        .render_captured_to(names(models), &mut output)
        .map_err(|error| invalid(&error))?;
    String::from_utf8(output.0).map_err(|_| RenderError::TemplateInvalid {
        key: key.to_owned(),
        message: "the output is not UTF-8".to_owned(),
    })
}

/// Describes what is wrong with a template.
fn describe(error: &minijinja::Error, models: &Models<Values<'_>>) -> String {
    use minijinja::ErrorKind;
    match error.kind() {
        ErrorKind::OutOfFuel => "takes too many steps: simplify the template".to_owned(),
        ErrorKind::WriteFailure => format!("writes more than {TEMPLATE_OUTPUT} bytes"),
        ErrorKind::UndefinedError => format!(
            "uses a name that is not known: available are {}",
            available(models)
        ),
        kind => error.detail().map_or_else(
            || kind.to_string(),
            |detail| format!("{kind}: {}", plain(detail, LONGEST_QUOTE)),
        ),
    }
}

/// Returns the names that a template may use, in words.
fn available(models: &Models<Values<'_>>) -> String {
    const OF_ROUTE: &str = ".geography, .sourceRegion, .destinationRegions, .foundationModelID, .foundationModelARN, .provider, .runtimeEndpoint, .openAIBaseURL, .anthropicBaseURL";
    match models {
        Models::One(_) => format!(
            "profile.id, .arn (with an account), {OF_ROUTE}, invocation.id, application.arn (with spec.application)"
        ),
        Models::Several(several) => {
            /// The most names that a message lists.
            const SHOWN: usize = 4;
            let names = several.iter().take(SHOWN);
            let names = names.map(|(name, _)| format!("models[\"{name}\"]"));
            let names: Vec<String> = names
                .chain((several.len() > SHOWN).then(|| "...".to_owned()))
                .collect();
            format!(
                "models, a list to loop over, and {}; of each .name, .id, .arn (with an account), {OF_ROUTE}, .invocation.id, .application.arn (with its application)",
                names.join(", ")
            )
        }
    }
}

/// Collects output up to [`TEMPLATE_OUTPUT`] bytes.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEMPLATE_OUTPUT {
            return Err(io::Error::other("too much output"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Destinations, Invocation};

    fn route() -> Route {
        Route {
            invocation: Invocation::Profile {
                id: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
                    .parse()
                    .expect("id"),
                geography: "eu".parse().expect("geography"),
            },
            model: "anthropic.claude-sonnet-4-5-20250929-v1:0"
                .parse()
                .expect("model"),
            source_region: "eu-west-1".parse().expect("region"),
            destinations: Destinations::regions(vec![
                "eu-west-3".parse().expect("region"),
                "eu-west-1".parse().expect("region"),
            ]),
        }
    }

    /// Returns the values of a route without a known account.
    fn of(route: &Route) -> Models<Values<'_>> {
        Models::One(values(route))
    }

    fn values(route: &Route) -> Values<'_> {
        Values {
            route,
            account: None,
            application: None,
        }
    }

    fn template(source: &str) -> Result<String, RenderError> {
        render_template("f", source, &of(&route()))
    }

    #[test]
    fn default_keys() {
        let keys: Vec<_> = super::default_keys(None, false).collect();
        let content = content(
            TargetKind::ConfigMap,
            CreationPolicy::Owner,
            &keys,
            &[],
            &of(&route()),
        )
        .expect("content");
        let lines: Vec<String> = content
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "BEDROCK_DESTINATION_REGIONS=eu-west-1,eu-west-3",
                "BEDROCK_FOUNDATION_MODEL_ID=anthropic.claude-sonnet-4-5-20250929-v1:0",
                "BEDROCK_GEOGRAPHY=eu",
                "BEDROCK_INFERENCE_PROFILE_ID=eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
                "BEDROCK_SOURCE_REGION=eu-west-1",
            ]
        );
    }

    #[test]
    fn values_of_a_model_on_demand() {
        let model = "amazon.nova-pro-v1:0".parse().expect("model");
        let on_demand = Route::on_demand(model, "eu-west-2".parse().expect("region"));
        let arn = "arn:aws:bedrock:eu-west-2::foundation-model/amazon.nova-pro-v1:0";
        for (name, expected) in [
            (ValueName::ProfileID, "amazon.nova-pro-v1:0"),
            (ValueName::ProfileARN, arn),
            (ValueName::FoundationModelID, "amazon.nova-pro-v1:0"),
            (ValueName::FoundationModelARN, arn),
            (ValueName::Provider, "amazon"),
            (ValueName::Geography, "on-demand"),
            (ValueName::SourceRegion, "eu-west-2"),
            (ValueName::DestinationRegions, "eu-west-2"),
            (
                ValueName::RuntimeEndpoint,
                "https://bedrock-runtime.eu-west-2.amazonaws.com",
            ),
            (
                ValueName::OpenAIBaseURL,
                "https://bedrock-runtime.eu-west-2.amazonaws.com/openai/v1",
            ),
            (
                ValueName::AnthropicBaseURL,
                "https://bedrock-runtime.eu-west-2.amazonaws.com/anthropic",
            ),
        ] {
            assert_eq!(values(&on_demand).value(name).as_deref(), Some(expected));
        }
        let template = "{{ profile.id }} {{ profile.geography }} {{ profile.arn }}";
        assert_eq!(
            render_template("f", template, &of(&on_demand)),
            Ok(format!("amazon.nova-pro-v1:0 on-demand {arn}"))
        );
    }

    #[test]
    fn base_urls_have_the_domain_of_their_partition() {
        for (region, host) in [
            ("eu-west-1", "bedrock-runtime.eu-west-1.amazonaws.com"),
            (
                "us-gov-west-1",
                "bedrock-runtime.us-gov-west-1.amazonaws.com",
            ),
            (
                "eusc-de-east-1",
                "bedrock-runtime.eusc-de-east-1.amazonaws.eu",
            ),
            ("us-iso-east-1", "bedrock-runtime.us-iso-east-1.c2s.ic.gov"),
            (
                "us-isob-east-1",
                "bedrock-runtime.us-isob-east-1.sc2s.sgov.gov",
            ),
            (
                "eu-isoe-west-1",
                "bedrock-runtime.eu-isoe-west-1.cloud.adc-e.uk",
            ),
            (
                "us-isof-south-1",
                "bedrock-runtime.us-isof-south-1.csp.hci.ic.gov",
            ),
        ] {
            let model = "anthropic.claude-3-haiku-20240307-v1:0";
            let route = Route::on_demand(
                model.parse().expect("model"),
                region.parse().expect("region"),
            );
            for (name, in_templates, path) in [
                (ValueName::RuntimeEndpoint, "runtimeEndpoint", ""),
                (ValueName::OpenAIBaseURL, "openAIBaseURL", "/openai/v1"),
                (
                    ValueName::AnthropicBaseURL,
                    "anthropicBaseURL",
                    "/anthropic",
                ),
            ] {
                let expected = format!("https://{host}{path}");
                assert_eq!(values(&route).value(name).as_ref(), Some(&expected));
                let template = format!("{{{{ profile.{in_templates} }}}}");
                assert_eq!(render_template("f", &template, &of(&route)), Ok(expected));
            }
        }
    }

    #[test]
    fn an_owned_secret_is_a_provisioned_service() {
        let owned = content(
            TargetKind::Secret,
            CreationPolicy::Owner,
            &[],
            &[],
            &of(&route()),
        )
        .expect("content");
        assert_eq!(owned.get("type").map(String::as_str), Some("bedrock"));
        assert_eq!(owned.get("provider").map(String::as_str), Some("aws"));
        assert!(
            content(
                TargetKind::Secret,
                CreationPolicy::Merge,
                &[],
                &[],
                &of(&route())
            )
            .expect("content")
            .is_empty()
        );
    }

    #[test]
    fn an_arn_without_an_account_is_unavailable() {
        let keys = [("ARN".into(), ValueName::ProfileARN.into())];
        let error = content(
            TargetKind::ConfigMap,
            CreationPolicy::Owner,
            &keys,
            &[],
            &of(&route()),
        )
        .expect_err("no account");
        assert!(error.to_string().contains("--account"), "{error}");
    }

    #[test]
    fn templates_render_or_say_what_is_wrong() {
        assert_eq!(
            template("id: {{ profile.id }}\n").as_deref(),
            Ok("id: eu.anthropic.claude-sonnet-4-5-20250929-v1:0\n")
        );
        assert_eq!(
            template("{{ profile.destinationRegions | join(' ') }}").as_deref(),
            Ok("eu-west-1 eu-west-3")
        );
        for (source, part) in [
            ("{{ profile.ID }}", "available are profile.id"),
            ("{{ profile.arn }}", "with an account"),
            ("a\n{% if %}", "line 2"),
            (
                "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
                "too many steps",
            ),
            (
                "{% for i in range(1000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
                "writes more than",
            ),
            ("{% include '/etc/passwd' %}", "template"),
        ] {
            let error = template(source).expect_err(source).to_string();
            assert!(error.contains(part), "{source}: {error}");
        }
    }

    #[test]
    fn what_is_known_of_several_models_is_told() {
        let route = route();
        let values = Values {
            route: &route,
            account: None,
            application: None,
        };
        let models = Models::several(["haiku", "small-fast"].map(|name| (Arc::from(name), values)));
        let error = render_template("f", "{{ profile.id }}", &models).expect_err("several");
        let says = r#"models, a list to loop over, and models["haiku"], models["small-fast"]; of each .name, .id,"#;
        assert!(error.to_string().contains(says), "{error}");
    }

    /// Each of these would run for hours, or take all memory.
    #[test]
    fn lists_can_not_grow_without_bound() {
        let doubled = "{% set a = ['x'] %}".to_owned() + &"{% set a = a + a %}".repeat(60);
        let looped = "{% set n = namespace(s=['x']) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}";
        let recursive = "{% for y in [['x']] recursive %}{% if loop.depth < 60 %}{{ loop([y + y]) }}{% else %}{{ y }}{% endif %}{% endfor %}";
        let list = |expression: &str| {
            let doubled = format!("{{% set a = {expression} %}}").repeat(60);
            format!("{{% set a = ['x'] %}}{doubled}{{{{ a|string|length }}}}")
        };
        let nested = |start: &str, end: &str| {
            let (starts, ends) = (start.repeat(60), end.repeat(60));
            format!("{{% set a = ['x'] %}}{starts}{{{{ a|string|length }}}}{ends}")
        };
        let chained = "{% set a = ['x'] %}".to_owned() + &"{% set a = a|chain(a) %}".repeat(60);
        for (template, says) in [
            (
                doubled + "{{ a }}",
                "has 60 + and commas between values in its expressions, and may have 4",
            ),
            (list("[a, a]"), "has 60 +"),
            (list("(a, a)"), "has 60 +"),
            (list("a, a"), "has 60 +"),
            (list("{'x': a, 'y': a}"), "has 180 +"),
            (list("{a: a}"), "has 60 +"),
            (list("[{'x': a}]|groupby('x')|list"), "has 60 +"),
            ("{{ [{'x': 1}]|groupby('x') }}".to_owned(), "unknown filter"),
            (list("dict(x=a, y=a)"), "has 60 +"),
            (list("[['x', a[0]], [a]]"), "has 120 +"),
            (
                nested("{% for a in [[a, a]] %}", "{% endfor %}"),
                "has 60 +",
            ),
            (nested("{% with a = [a, a] %}", "{% endwith %}"), "has 60 +"),
            (list("[a] * 1000"), "has a *"),
            (list("[1]|map(**{'default': a})"), "has a *"),
            (
                "{{ [1]|batch(1000, [])|list }}".to_owned(),
                "unknown filter",
            ),
            (
                "{{ [1]|slice(1000, [])|list }}".to_owned(),
                "unknown filter",
            ),
            (list("a|zip(a)|list"), "unknown filter"),
            (
                list("range(1000)|map(attribute='x', default=a)|list"),
                "more than one argument",
            ),
            (
                list("range(1000)|map('default', a, true)|list"),
                "more than one argument",
            ),
            (looped.to_owned(), "unknown function"),
            (recursive.to_owned(), "has a recursive loop"),
            (chained + "{{ a }}", "unknown filter"),
            ("{{ 'x' * 1000000000 }}".to_owned(), "has a *"),
            ("{{ range(1000000000)|list }}".to_owned(), ""),
            (
                "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
                    .to_owned(),
                "too many steps",
            ),
        ] {
            let error = self::template(&template).expect_err(&template);
            assert!(error.to_string().contains(says), "{template}: {error}");
        }
        // The most that is allowed is quick.
        let most = "{% set a = range(100000) %}{% set a = a + a %}{% set a = a + a %}{% set a = a + a %}{% set a = a + a %}{{ a }}";
        assert!(template(most).is_err(), "it is too long");
    }

    /// The stack of a worker is 2 MiB, as that of a test is: without the bound, the process ends.
    #[test]
    fn what_is_nested_does_not_exhaust_the_stack() {
        const MOST: usize = 16_384;
        let filled = |before: &str, piece: &str, after: &str, length: usize| {
            let times = (length - before.len() - after.len()) / piece.len();
            format!("{before}{}{after}", piece.repeat(times))
        };
        for (before, piece, after) in [
            ("{{ a", "()", "}}"),
            ("{{ a", ".a", "}}"),
            ("{{ a", "[0]", "}}"),
            ("{{ a", "|upper", "}}"),
            ("{{ a", "~a", "}}"),
            ("{{ 1", " and 1", "}}"),
            ("{{ 1", "**1", "}}"),
            ("{{ 1", "<1", "}}"),
            ("{{ 1", " is odd", "}}"),
            ("{{ ", "1 if 1 else ", "1}}"),
            ("{{ ", "-", "1}}"),
            ("{{ ", "not ", "1}}"),
            ("{{ ", "[", "}}"),
            ("{{ ", "(", "}}"),
            ("{{ ", "a(a|join(", "}}"),
            ("{{ ", "{1:", "}}"),
            ("", "{% if 1 %}", ""),
            ("", "{% for a in [] %}", ""),
            ("", "{% set a %}", ""),
            ("", "{% filter upper %}", ""),
            ("{% if 0 %}", "{% elif 0 %}", "{% endif %}"),
            ("", "{% with a = 1 %}", ""),
        ] {
            for length in [MOST, 4 * TEMPLATE_TOKENS, TEMPLATE_TOKENS] {
                let _ = template(&filled(before, piece, after, length));
            }
        }
        let ifs = "{% if 1 %}".repeat(780) + &"{% endif %}".repeat(780);
        let _ = template(&ifs);
        let nested = "{% set a = [1] %}".to_owned() + &"{% set a = [a] %}".repeat(900);
        for end in [
            "{{ a }}",
            "{{ a|string }}",
            "{{ a == [a] }}",
            "{{ a|sort }}",
        ] {
            let _ = template(&format!("{nested}{end}"));
        }
        let fors = "{% for a in [1] %}".repeat(400) + &"{% endfor %}".repeat(400);
        let _ = template(&fors);
    }

    #[test]
    fn what_does_not_grow_a_list_may_be_used() {
        for (source, expected) in [
            ("1+1+1+1+1+1", "1+1+1+1+1+1"),
            ("{{ '+++++++' }}", "+++++++"),
            ("{# + + + + + + + #}a", "a"),
            (
                "{% raw %}{{ ' + + + + + + {% endraw %}{{ 'a' }}",
                "{{ ' + + + + + + a",
            ),
            ("{{ {'a': {'b': 1}}['a']['b'] }}", "1"),
            ("{{ 1 + 2 }}{{ \"it's +\" ~ '\\'+' }}", "3it's +'+"),
            ("{%+ if true +%}a{% endif %}", "a"),
            (
                "{% for a in ['a', 'b', ['c', 'd', 1, true], {'e': 1, 'f': 2}, 'g'] %}{{ loop.index }}{% endfor %}",
                "12345",
            ),
            (
                "{{ 'abc'|replace('a', 'b')|replace('b', 'c')|replace('c', 'd')|replace('d', 'e')|replace('e', 'f')|default('x', true) }}",
                "fff",
            ),
            (
                "{% for k, v in {'a': 1, 'b': 2}|items %}{{ k }}{{ v }}{% endfor %}",
                "a1b2",
            ),
            (
                "{% with a=1, b=2, c=3, d=4, e=5, f=6 %}{{ f }}{% endwith %}",
                "6",
            ),
            (
                "{{ [profile.id, profile.provider, profile.geography]|map('length')|join(',') }}",
                "44,9,2",
            ),
        ] {
            assert_eq!(template(source).as_deref(), Ok(expected), "{source}");
        }
    }
}
