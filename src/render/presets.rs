//! What programs read, as keys and templates: the presets of targets.
//!
//! Each is held against the program itself in tests/it/presets.rs.

use std::sync::Arc;

use crate::{
    api::ValueName,
    models::{ModelName, Models},
};

use super::KeySource;

/// The names of models that Claude Code has variables for. `default` is the model that a session starts with.
const TIERS: [&str; 5] = ["default", "sonnet", "opus", "haiku", "fable"];

/// The variables that select a model, each with the names of models that it takes, the first that is there.
/// `ANTHROPIC_SMALL_FAST_MODEL` is what earlier versions read in the place of that for haiku.
///
/// Source: <https://code.claude.com/docs/en/model-config>
const SELECTING: [(&str, &[&str]); 7] = [
    ("ANTHROPIC_MODEL", &["default"]),
    ("ANTHROPIC_DEFAULT_SONNET_MODEL", &["sonnet"]),
    ("ANTHROPIC_DEFAULT_OPUS_MODEL", &["opus"]),
    ("ANTHROPIC_DEFAULT_HAIKU_MODEL", &["haiku"]),
    ("ANTHROPIC_DEFAULT_FABLE_MODEL", &["fable", "opus"]),
    ("ANTHROPIC_SMALL_FAST_MODEL", &["haiku"]),
    ("CLAUDE_CODE_SUBAGENT_MODEL", &["default"]),
];

/// Returns the keys of the preset `ClaudeCode`. Every variable that selects a model is set: where one were not, the program would
/// take an ID of its own, of whatever geography. One whose model is not among these takes the first of [`TIERS`] that is.
///
/// Source: <https://code.claude.com/docs/en/amazon-bedrock>
pub fn claude_code<T>(models: &Models<T>) -> Vec<(Arc<str>, KeySource)> {
    let of = |wanted: &str| {
        let mut names = models.iter().map(|(name, _)| name);
        names.find(|name| name.is_some_and(|name| **name == *wanted))
    };
    let mut tiers = TIERS.iter().filter_map(|name| of(name));
    // The CRD insists on one of them. The first model of all is what a wider CRD leaves.
    let Some(first) = tiers.next().or_else(|| Some(models.iter().next()?.0)) else {
        return Vec::new();
    };
    let source = |model: ModelName<'_>, value| KeySource::Value {
        model: model.cloned(),
        value,
    };
    let variables = SELECTING.iter().map(|(variable, names)| {
        let model = names.iter().find_map(|name| of(name)).unwrap_or(first);
        (Arc::from(*variable), source(model, ValueName::InvocationID))
    });
    let others = [
        ("AWS_REGION", source(first, ValueName::SourceRegion)),
        ("CLAUDE_CODE_USE_BEDROCK", KeySource::Text("1")),
    ];
    let others = others.map(|(variable, source)| (Arc::from(variable), source));
    variables.chain(others).collect()
}

/// The key of the preset `LiteLLM`.
const LITE_LLM_KEY: &str = "config.yaml";

/// The file of the preset `LiteLLM` for several models, each under its name. `model_id` takes the place of the ID in requests.
///
/// Source: <https://docs.litellm.ai/docs/providers/bedrock>
const LITE_LLM: &str = r#"model_list:
{%- for m in models %}
- model_name: "{{ m.name }}"
  litellm_params:
    model: "bedrock/converse/{{ m.id }}"
{%- if m.application.arn is defined %}
    model_id: "{{ m.application.arn }}"
{%- endif %}
    aws_region_name: "{{ m.sourceRegion }}"
{%- endfor %}
"#;

/// The same for one model, under the name of the binding.
const LITE_LLM_ONE: &str = r#"model_list:
- model_name: "BINDING"
  litellm_params:
    model: "bedrock/converse/{{ profile.id }}"
{%- if application.arn is defined %}
    model_id: "{{ application.arn }}"
{%- endif %}
    aws_region_name: "{{ profile.sourceRegion }}"
"#;

/// Returns the templates of the preset `LiteLLM` for the models of a binding.
pub fn lite_llm<T>(models: &Models<T>, binding: &str) -> Vec<(Arc<str>, Arc<str>)> {
    let template = match models {
        Models::One(_) => LITE_LLM_ONE.replace("BINDING", binding).into(),
        Models::Several(_) => LITE_LLM.into(),
    };
    vec![(LITE_LLM_KEY.into(), template)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn several(names: &[&str]) -> Models<()> {
        Models::several(names.iter().map(|name| (Arc::from(*name), ())))
    }

    #[test]
    fn claude_code_finds_every_variable_set() {
        for (names, expected) in [
            (
                &["default", "fable", "haiku", "opus", "sonnet"][..],
                ["default", "sonnet", "opus", "haiku", "fable"],
            ),
            (
                &["haiku", "sonnet"],
                ["sonnet", "sonnet", "sonnet", "haiku", "sonnet"],
            ),
            (
                &["haiku", "opus", "sonnet"],
                ["sonnet", "sonnet", "opus", "haiku", "opus"],
            ),
            (&["haiku", "other"], ["haiku"; 5]),
            (
                &["default", "haiku"],
                ["default", "default", "default", "haiku", "default"],
            ),
            (&["other"], ["other"; 5]),
        ] {
            let keys = claude_code(&several(names));
            let found: Vec<&str> = keys[..5]
                .iter()
                .map(|(_, source)| match source {
                    KeySource::Value {
                        model: Some(model),
                        value: ValueName::InvocationID,
                    } => &**model,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(found, expected, "{names:?}");
        }
        let one = claude_code(&Models::One(()));
        assert_eq!(one.len(), 9);
        let unnamed = |(_, source): &(Arc<str>, KeySource)| {
            matches!(
                source,
                KeySource::Value { model: None, .. } | KeySource::Text("1")
            )
        };
        assert!(one.iter().all(unnamed));
    }
}
