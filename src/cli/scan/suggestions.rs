//! `--suggest`: the bindings that would take the place of what is hard-coded.

use std::io::Write;

use kube::Resource;
use serde_json::{Value, json};

use super::{Error, Finding, printable};
use crate::{
    api::InferenceProfileBinding,
    cli::output::yaml,
    scan::{Scene, Suggested, suggest},
};

/// The key of an owned ConfigMap that has what a workload gives as the model ID.
const KEY: &str = "BEDROCK_INFERENCE_PROFILE_ID";

/// Prints a manifest for each binding, and comments: what it replaces, and how a pod reads the value.
pub(super) fn print(
    findings: &[Finding<'_>],
    scene: &Scene<'_>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let found = findings.iter().map(|finding| {
        let mention = finding.mention;
        (mention.text.as_str(), &mention.reference, finding.judged)
    });
    let (bindings, without) = suggest(found, scene);
    for binding in &bindings {
        writeln!(out, "---")?;
        for text in &binding.replaces {
            writeln!(out, "# Replaces {text}")?;
        }
        for change in &binding.changes {
            writeln!(out, "# {change}")?;
        }
        if binding.on_demand {
            writeln!(
                out,
                "# No profile serves it here: fallback.onDemand calls the model itself."
            )?;
        }
        writeln!(out, "# A pod reads it by:")?;
        writeln!(out, "#   env:")?;
        writeln!(out, "#   - name: MODEL_ID")?;
        writeln!(out, "#     valueFrom:")?;
        writeln!(
            out,
            "#       configMapKeyRef: {{name: {}, key: {}}}",
            binding.name, KEY
        )?;
        out.write_all(yaml(&manifest(binding))?.as_bytes())?;
    }
    for (text, why) in &without {
        writeln!(out, "# No binding for {text}: {}", printable(why))?;
    }
    Ok(())
}

fn manifest(binding: &Suggested) -> Value {
    let mut spec = json!({ "model": binding.model, "geography": binding.geography });
    if let Some(region) = &binding.source_region {
        spec["sourceRegion"] = json!(region);
    }
    if binding.on_demand {
        spec["fallback"] = json!({ "onDemand": true });
    }
    json!({
        "apiVersion": InferenceProfileBinding::api_version(&()),
        "kind": InferenceProfileBinding::kind(&()),
        "metadata": { "name": binding.name },
        "spec": spec,
    })
}
