//! Policies in the formats of Terraform and CloudFormation.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;

use super::document::{Document, Statement};

/// Returns a Terraform data source `aws_iam_policy_document`, formatted as by `terraform fmt`. Its attribute `json` is the
/// policy.
#[must_use]
pub fn hcl(name: &str, document: &Document) -> String {
    let mut out = format!(
        "data \"aws_iam_policy_document\" \"{name}\" {{\n  version = {}\n",
        quoted(Document::VERSION)
    );
    for statement in &document.statement {
        hcl_statement(&mut out, statement);
    }
    out.push_str("}\n");
    out
}

fn hcl_statement(out: &mut String, statement: &Statement) {
    let Statement {
        sid,
        effect,
        action,
        resource,
        condition,
    } = statement;
    let (sid, effect) = (quoted(sid), quoted(effect.as_str()));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n  statement {{\n    sid    = {sid}\n    effect = {effect}\n"
    );
    list(out, "    ", "actions", action);
    list(out, "    ", "resources", resource);
    for (operator, keys) in condition {
        for (key, values) in keys {
            let (operator, key) = (quoted(operator), quoted(key));
            let _ = write!(
                out,
                "\n    condition {{\n      test     = {operator}\n      variable = {key}\n"
            );
            list(out, "      ", "values", values);
            out.push_str("    }\n");
        }
    }
    out.push_str("  }\n");
}

fn list(out: &mut String, indent: &str, name: &str, values: &[String]) {
    let _ = write!(out, "\n{indent}{name} = [\n");
    for value in values {
        let _ = writeln!(out, "{indent}  {},", quoted(value));
    }
    let _ = writeln!(out, "{indent}]");
}

/// Quotes a text. `${` and `%{` begin expressions in Terraform and are escaped.
fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace("${", "$${")
        .replace("%{", "%%{");
    format!("\"{text}\"")
}

/// The CloudFormation resource type of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `AWS::IAM::ManagedPolicy`
    ManagedPolicy,
    /// `AWS::Organizations::Policy`
    ServiceControlPolicy,
}

/// A CloudFormation template, ready to be serialized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Template<'a> {
    #[serde(rename = "AWSTemplateFormatVersion")]
    version: &'static str,
    resources: BTreeMap<&'a str, Resource<'a>>,
}

impl Template<'_> {
    /// Version of the template format.
    pub const VERSION: &'static str = "2010-09-09";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resource<'a> {
    r#type: &'static str,
    properties: Properties<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Properties<'a> {
    #[serde(rename_all = "PascalCase")]
    Managed { policy_document: &'a Document },
    #[serde(rename_all = "PascalCase")]
    ServiceControl {
        name: &'a str,
        r#type: &'static str,
        content: &'a Document,
    },
}

/// Returns a CloudFormation template of policies, each with its logical ID.
#[must_use]
pub fn cloudformation<'a>(kind: Kind, policies: &'a [(String, &Document)]) -> Template<'a> {
    let resources = policies
        .iter()
        .map(|(id, document)| (id.as_str(), resource(kind, id, document)))
        .collect();
    Template {
        version: Template::VERSION,
        resources,
    }
}

fn resource<'a>(kind: Kind, id: &'a str, document: &'a Document) -> Resource<'a> {
    match kind {
        Kind::ManagedPolicy => Resource {
            r#type: "AWS::IAM::ManagedPolicy",
            properties: Properties::Managed {
                policy_document: document,
            },
        },
        Kind::ServiceControlPolicy => Resource {
            r#type: "AWS::Organizations::Policy",
            properties: Properties::ServiceControl {
                name: id,
                r#type: "SERVICE_CONTROL_POLICY",
                content: document,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_terraform_expression_is_escaped() {
        assert_eq!(quoted(r#"a"${b}\"#), r#""a\"$${b}\\""#);
    }
}
