//! The text of what is written: the values of a profile in use, under the keys and in the templates of a target.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, LazyLock},
};

use minijinja::{Environment, UndefinedBehavior, context};

use crate::{
    api::{CreationPolicy, TargetKind, ValueName},
    catalog::Destinations,
    residency,
    types::{Geography, ModelId, ON_DEMAND, ProfileId, Region},
};

/// Keys written where a target names neither keys nor templates.
pub const DEFAULT_KEYS: [(&str, ValueName); 5] = [
    ("BEDROCK_DESTINATION_REGIONS", ValueName::DestinationRegions),
    ("BEDROCK_FOUNDATION_MODEL_ID", ValueName::FoundationModelID),
    ("BEDROCK_GEOGRAPHY", ValueName::Geography),
    ("BEDROCK_INFERENCE_PROFILE_ID", ValueName::ProfileID),
    ("BEDROCK_SOURCE_REGION", ValueName::SourceRegion),
];

/// Keys of every owned Secret, as the Service Binding specification for Kubernetes wants them
/// (<https://servicebinding.io/spec/core/1.1.0/#well-known-secret-entries>).
const SECRET_KEYS: [(&str, &str); 2] = [("provider", "aws"), ("type", "bedrock")];

/// Steps that one template may take: thousands of times what a configuration file needs, a few milliseconds.
const TEMPLATE_FUEL: u64 = 50_000;
/// Bytes that one template may write.
const TEMPLATE_OUTPUT: usize = 64 * 1024;

/// How a foundation model is invoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Invocation {
    /// By an inference profile.
    Profile {
        /// ID of the profile.
        id: ProfileId,
        /// Geography of the profile.
        geography: Geography,
    },
    /// By its own ID, on demand in the source region.
    OnDemand,
}

/// What the written values are made of: a profile, or a foundation model that is invoked without one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProfileInUse {
    /// How the model is invoked.
    pub invocation: Invocation,
    /// ARN that can be given in the place of the ID, where it is known: a profile's holds an account, a model's does not.
    pub arn: Option<Arc<str>>,
    /// Foundation model behind it.
    pub model: ModelId,
    /// Where the workload calls Bedrock from.
    pub source_region: Region,
    /// Where requests may be served.
    pub destinations: Destinations,
}

impl ProfileInUse {
    /// Returns what workloads give as model ID.
    #[must_use]
    pub fn id(&self) -> &str {
        match &self.invocation {
            Invocation::Profile { id, .. } => id.as_str(),
            Invocation::OnDemand => self.model.as_str(),
        }
    }

    /// Returns the geography's name; `on-demand` where there is no profile.
    #[must_use]
    pub fn geography(&self) -> &str {
        match &self.invocation {
            Invocation::Profile { geography, .. } => geography.as_str(),
            Invocation::OnDemand => ON_DEMAND,
        }
    }

    /// Returns where requests can be served as far as anybody knows: what residency is judged by.
    #[must_use]
    pub fn reachable(&self) -> Destinations {
        match &self.invocation {
            Invocation::Profile { id, .. } => {
                residency::reachable(id, &self.source_region, &self.destinations)
            }
            Invocation::OnDemand => self.destinations.clone(),
        }
    }
}

/// Says why a target's values can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A value is asked for that is not known.
    #[error(
        "{key} asks for {value}, which holds an AWS account ID, and none is known: start the operator with --account, or use ProfileID"
    )]
    ValueUnavailable {
        /// The key, or the template's.
        key: String,
        /// The value's name.
        value: &'static str,
    },
    /// A template is malformed, names something unknown, or takes too long.
    #[error("template {key}: {message}")]
    TemplateInvalid {
        /// The template's key.
        key: String,
        /// What is wrong, with the line.
        message: String,
    },
}

/// Returns the value of this name, or nothing where it is not known.
#[must_use]
pub fn value(profile: &ProfileInUse, name: ValueName) -> Option<String> {
    Some(match name {
        ValueName::ProfileID => profile.id().to_owned(),
        ValueName::ProfileARN => return profile.arn.as_deref().map(str::to_owned),
        ValueName::FoundationModelID => profile.model.to_string(),
        ValueName::FoundationModelARN => profile.source_region.foundation_model_arn(&profile.model),
        ValueName::Provider => profile.model.provider().to_owned(),
        ValueName::Geography => profile.geography().to_owned(),
        ValueName::SourceRegion => profile.source_region.to_string(),
        ValueName::DestinationRegions => profile.destinations.to_string(),
        ValueName::RuntimeEndpoint => profile.source_region.runtime_endpoint(),
    })
}

/// Returns the whole content of a target: key -> value.
///
/// # Errors
/// [`RenderError`] where a value is not known or a template can't be rendered; nothing is returned half.
pub fn content(
    kind: TargetKind,
    policy: CreationPolicy,
    keys: &[(Arc<str>, ValueName)],
    templates: &[(Arc<str>, Arc<str>)],
    profile: &ProfileInUse,
) -> Result<BTreeMap<String, String>, RenderError> {
    let mut content = BTreeMap::new();
    if kind == TargetKind::Secret && policy == CreationPolicy::Owner {
        content.extend(SECRET_KEYS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    for (key, name) in keys {
        let value = value(profile, *name).ok_or_else(|| RenderError::ValueUnavailable {
            key: key.to_string(),
            value: "ProfileARN",
        })?;
        content.insert(key.to_string(), value);
    }
    for (key, template) in templates {
        content.insert(key.to_string(), render_template(key, template, profile)?);
    }
    Ok(content)
}

/// No loader, no I/O, strict about undefined names, with a bound on steps.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
});

fn render_template(key: &str, source: &str, profile: &ProfileInUse) -> Result<String, RenderError> {
    let names = context! {
        profile => context! {
            id => profile.id(),
            arn => profile.arn.as_deref().map_or(minijinja::Value::UNDEFINED, minijinja::Value::from),
            geography => profile.geography(),
            sourceRegion => profile.source_region.as_str(),
            destinationRegions => profile.destinations.names(),
            foundationModelID => profile.model.as_str(),
            foundationModelARN => value(profile, ValueName::FoundationModelARN),
            provider => profile.model.provider(),
            runtimeEndpoint => profile.source_region.runtime_endpoint(),
        },
    };
    let invalid = |error: &minijinja::Error| RenderError::TemplateInvalid {
        key: key.to_owned(),
        message: match error.line() {
            Some(line) => format!("line {line}: {}", describe(error)),
            None => describe(error),
        },
    };
    // The engine drops one newline at the end: this one, so that the template's own stays.
    let source = format!("{source}\n");
    let template = ENVIRONMENT
        .template_from_str(&source)
        .map_err(|error| invalid(&error))?;
    let mut output = Bounded(Vec::new());
    template
        .render_captured_to(names, &mut output)
        .map_err(|error| invalid(&error))?;
    String::from_utf8(output.0).map_err(|_| RenderError::TemplateInvalid {
        key: key.to_owned(),
        message: "the output is not UTF-8".to_owned(),
    })
}

/// Says what is wrong with a template in a person's words.
fn describe(error: &minijinja::Error) -> String {
    use minijinja::ErrorKind;
    match error.kind() {
        ErrorKind::OutOfFuel => "takes too many steps: simplify the template".to_owned(),
        ErrorKind::WriteFailure => format!("writes more than {TEMPLATE_OUTPUT} bytes"),
        ErrorKind::UndefinedError => "names something that is not known: available are profile.id, .arn (with an account), .geography, .sourceRegion, .destinationRegions, .foundationModelID, .foundationModelARN, .provider, .runtimeEndpoint".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    }
}

/// Refuses to grow past the bound.
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

    fn profile() -> ProfileInUse {
        ProfileInUse {
            invocation: Invocation::Profile {
                id: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
                    .parse()
                    .expect("id"),
                geography: "eu".parse().expect("geography"),
            },
            arn: None,
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

    fn template(source: &str) -> Result<String, RenderError> {
        render_template("f", source, &profile())
    }

    #[test]
    fn default_keys() {
        let keys: Vec<(Arc<str>, ValueName)> = DEFAULT_KEYS
            .iter()
            .map(|(key, name)| ((*key).into(), *name))
            .collect();
        let content = content(
            TargetKind::ConfigMap,
            CreationPolicy::Owner,
            &keys,
            &[],
            &profile(),
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
        let profile = ProfileInUse {
            invocation: Invocation::OnDemand,
            arn: Some("arn:aws:bedrock:eu-west-2::foundation-model/amazon.nova-pro-v1:0".into()),
            model: "amazon.nova-pro-v1:0".parse().expect("model"),
            source_region: "eu-west-2".parse().expect("region"),
            destinations: Destinations::regions(vec!["eu-west-2".parse().expect("region")]),
        };
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
        ] {
            assert_eq!(value(&profile, name).as_deref(), Some(expected));
        }
        let template = "{{ profile.id }} {{ profile.geography }} {{ profile.arn }}";
        assert_eq!(
            render_template("f", template, &profile),
            Ok(format!("amazon.nova-pro-v1:0 on-demand {arn}"))
        );
    }

    #[test]
    fn an_owned_secret_is_a_provisioned_service() {
        let owned = content(
            TargetKind::Secret,
            CreationPolicy::Owner,
            &[],
            &[],
            &profile(),
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
                &profile()
            )
            .expect("content")
            .is_empty()
        );
    }

    #[test]
    fn an_arn_without_an_account_is_unavailable() {
        let keys = [("ARN".into(), ValueName::ProfileARN)];
        let error = content(
            TargetKind::ConfigMap,
            CreationPolicy::Owner,
            &keys,
            &[],
            &profile(),
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
}
