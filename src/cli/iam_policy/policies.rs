//! How policies are printed.

use std::io::Write;

use super::Output;
use crate::{
    cli::{
        Error,
        output::{json, yaml},
    },
    iam::{
        Action,
        document::{Document, INLINE_POLICIES_LIMIT, MANAGED_POLICY_LIMIT},
        format::{self, Kind, Template},
        workload::WorkloadPolicy,
    },
};

/// Prints policies. If there are several, all but the first have a number in their names.
pub(super) fn print(
    out: &mut impl Write,
    output: Output,
    name: &str,
    documents: &[&Document],
) -> Result<(), Error> {
    let numbered = |name: &str, separator: &str, index: usize| match index {
        0 => name.to_owned(),
        _ => format!("{name}{separator}{}", index + 1),
    };
    match output {
        Output::Json => {
            for document in documents {
                out.write_all(json(document)?.as_bytes())?;
            }
        }
        Output::Hcl => {
            for (index, document) in documents.iter().enumerate() {
                if index > 0 {
                    writeln!(out)?;
                }
                write!(
                    out,
                    "{}",
                    format::hcl(&numbered(name, "_", index), document)
                )?;
            }
        }
        Output::Cloudformation if documents.is_empty() => {}
        Output::Cloudformation => {
            let policies: Vec<(String, &Document)> = documents
                .iter()
                .enumerate()
                .map(|(index, document)| (numbered(&logical_id(name), "", index), *document))
                .collect();
            print_template(out, Kind::ManagedPolicy, &policies)?;
        }
    }
    Ok(())
}

pub(super) fn print_guardrail(
    out: &mut impl Write,
    output: Output,
    document: &Document,
) -> Result<(), Error> {
    const NAME: &str = "bedrock_guardrail";
    if let Output::Cloudformation = output {
        let policies = [(logical_id(NAME), document)];
        return print_template(out, Kind::ServiceControlPolicy, &policies);
    }
    print(out, output, NAME, &[document])
}

fn print_template(
    out: &mut impl Write,
    kind: Kind,
    policies: &[(String, &Document)],
) -> Result<(), Error> {
    let mut yaml = yaml(&format::cloudformation(kind, policies))?;
    // Without quotes, some parsers take these for dates.
    for version in [Template::VERSION, Document::VERSION] {
        yaml = yaml.replace(
            &format!("ersion: {version}\n"),
            &format!("ersion: '{version}'\n"),
        );
    }
    out.write_all(yaml.as_bytes())?;
    Ok(())
}

/// Returns a name in the form that CloudFormation takes: letters and digits.
fn logical_id(name: &str) -> String {
    name.split('_')
        .filter_map(|word| {
            let (first, rest) = word.split_at_checked(1)?;
            Some(format!("{}{rest}", first.to_ascii_uppercase()))
        })
        .collect()
}

/// Prints what the policies themselves don't show.
pub(super) fn remark(
    err: &mut impl Write,
    policies: &[WorkloadPolicy],
    actions: &[Action],
) -> Result<(), Error> {
    if policies.len() > 1 {
        writeln!(
            err,
            "{} policies: IAM allows one partition per policy, {MANAGED_POLICY_LIMIT} characters per managed policy, and {INLINE_POLICIES_LIMIT} in all inline policies of a role together",
            policies.len()
        )?;
        for (index, policy) in policies.iter().enumerate() {
            writeln!(
                err,
                "policy {}: partition {}, {}, {} characters",
                index + 1,
                policy.partition,
                policy.account.as_ref().map_or_else(
                    || "any account".to_owned(),
                    |account| format!("account {account}")
                ),
                policy.document.size()
            )?;
        }
    }
    if actions.contains(&Action::Batch) && !policies.is_empty() {
        writeln!(
            err,
            "batch: whoever submits a job also needs iam:PassRole on the job's service role; that role needs its buckets, and the policy of --actions invoke"
        )?;
    }
    Ok(())
}
