//! Policies as Terraform and CloudFormation have them.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;

use super::document::{Document, Statement};

/// Returns a data source `aws_iam_policy_document` of Terraform, formatted as `terraform fmt` does. Its attribute `json`
/// is the policy.
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
    // Writing to a String does not fail.
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

/// Quotes a text; `${` and `%{` begin expressions in Terraform.
fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace("${", "$${")
        .replace("%{", "%%{");
    format!("\"{text}\"")
}

/// What a policy is in CloudFormation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `AWS::IAM::ManagedPolicy`
    ManagedPolicy,
    /// `AWS::Organizations::Policy`
    ServiceControlPolicy,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Template<'a> {
    #[serde(rename = "AWSTemplateFormatVersion")]
    version: &'static str,
    resources: BTreeMap<&'a str, Resource<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Resource<'a> {
    r#type: &'static str,
    properties: Properties<'a>,
}

#[derive(Serialize)]
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

/// Returns a CloudFormation template of policies, each with its logical ID, as YAML.
///
/// # Errors
/// None that is known: all of it can be YAML.
pub fn cloudformation(
    kind: Kind,
    policies: &[(String, &Document)],
) -> Result<String, serde_yaml::Error> {
    let resources = policies
        .iter()
        .map(|(id, document)| (id.as_str(), resource(kind, id, document)))
        .collect();
    let template = Template {
        version: FORMAT_VERSION,
        resources,
    };
    let mut yaml = serde_yaml::to_string(&template)?;
    // Without quotes, some parsers take these for dates.
    for version in [FORMAT_VERSION, Document::VERSION] {
        yaml = yaml.replace(
            &format!("ersion: {version}\n"),
            &format!("ersion: '{version}'\n"),
        );
    }
    Ok(yaml)
}

const FORMAT_VERSION: &str = "2010-09-09";

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
    fn what_begins_an_expression_in_terraform_is_escaped() {
        assert_eq!(quoted(r#"a"${b}\"#), r#""a\"$${b}\\""#);
    }
}
