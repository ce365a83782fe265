//! The rules of a schema (`x-kubernetes-validations`), judged as the apiserver judges them.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Context, Env, Program,
    extractors::This,
    objects::{Key, Map},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, ValidationRule,
};
use parking_lot::Mutex;
use regex::Regex;
use serde_json::Value;

use super::{Error, schema};

/// The compiled rules of a schema.
pub(super) struct Rules {
    context: Context<'static, 'static>,
    /// By the text of the rule.
    programs: HashMap<String, Program>,
}

impl Rules {
    /// Compiles every rule of a schema, those of its fields included.
    pub(super) fn compile(schema: &JSONSchemaProps) -> Result<Self, Error> {
        let env = Arc::new(Env::stdlib());
        let mut programs = HashMap::new();
        schema::each(schema, &mut |schema| {
            for rule in rules_of(schema) {
                let unsupported = |why: String| Error::Rule {
                    rule: rule.rule.clone(),
                    why,
                };
                // What was there before, and names that rules have to escape.
                if ["oldSelf", "__"]
                    .iter()
                    .any(|part| rule.rule.contains(part))
                {
                    return Err(unsupported("oldSelf and __ are not supported".to_owned()));
                }
                if rule.message_expression.is_some() || rule.field_path.is_some() {
                    return Err(unsupported(
                        "only rule and message are supported".to_owned(),
                    ));
                }
                let program = env
                    .compile(&rule.rule)
                    .map_err(|error| unsupported(error.to_string()))?;
                programs.insert(rule.rule.clone(), program);
            }
            Ok(())
        })?;
        let mut context = Context::with_env(env);
        context
            .add_function("matches", matches())
            .map_err(|error| Error::Rule {
                rule: "matches".to_owned(),
                why: error.to_string(),
            })?;
        Ok(Self { context, programs })
    }

    /// Returns the messages of the rules that a value does not keep. One that can't be judged is not kept.
    pub(super) fn broken<'s>(
        &self,
        schema: &'s JSONSchemaProps,
        value: &Value,
    ) -> impl Iterator<Item = &'s str> {
        let rules = rules_of(schema);
        let mut context = self.context.new_inner_scope();
        if !rules.is_empty() {
            context.add_variable_from_value("self", to_cel(value));
        }
        rules.iter().filter_map(move |rule| {
            let kept = self
                .programs
                .get(&rule.rule)
                .is_some_and(|program| program.execute(&context) == Ok(cel::Value::Bool(true)));
            (!kept).then(|| rule.message.as_deref().unwrap_or(&rule.rule))
        })
    }
}

fn rules_of(schema: &JSONSchemaProps) -> &[ValidationRule] {
    schema.x_kubernetes_validations.as_deref().unwrap_or(&[])
}

/// Returns CEL's function `matches`. Patterns are compiled once: they are literals of the rules, and compiling one costs a
/// hundred times what matching does.
fn matches() -> impl Fn(This<Arc<String>>, Arc<String>) -> Result<bool, cel::ExecutionError> {
    let compiled: Mutex<HashMap<Arc<String>, Regex>> = Mutex::default();
    move |This(text), pattern| {
        let mut compiled = compiled.lock();
        if let Some(regex) = compiled.get(&pattern) {
            return Ok(regex.is_match(&text));
        }
        let regex = Regex::new(&pattern)
            .map_err(|error| cel::ExecutionError::function_error("matches", error))?;
        let matched = regex.is_match(&text);
        compiled.insert(pattern, regex);
        Ok(matched)
    }
}

/// Converts a value as rules see it.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => cel::Value::Int(number),
            (None, Some(number)) => cel::Value::UInt(number),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => cel::Value::Map(Map {
            map: Arc::new(
                fields
                    .iter()
                    .map(|(name, value)| (Key::String(Arc::new(name.clone())), to_cel(value)))
                    .collect(),
            ),
        }),
    }
}
