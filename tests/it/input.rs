//! What `render` refuses is what the apiserver refuses: the cases of tests/common/refusals.rs, judged by the program.
use std::process::Command;

use crate::common::{
    program::{Output, PROGRAM},
    refusals::{
        ACCEPTED, ACCEPTED_MANIFESTS, LIMITS, REFUSALS, REFUSED_MANIFESTS, binding, rendered_code,
        replaced, spec,
    },
};
use inference_profile_operator::api::{
    binding_definition,
    validation::{Validator, Violation, Violations},
};
use serde_json::Value;

fn judge(spec: &Value) -> Vec<Violation> {
    let validator = Validator::new(&binding_definition()).expect("a validator");
    let mut binding = binding(spec);
    let mut found = Violations::keeping(20);
    validator.check(&mut binding, &mut found);
    let (kept, total) = found.into_parts();
    assert_eq!(kept.len(), total);
    kept
}

/// Runs a command of the program with a manifest as its standard input.
fn run(name: &str, manifest: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args([name, "--region", "eu-west-1", "--account"])
        .args(["111122223333", "-f", "-"])
        .env_clear();
    Output::of(&mut command, manifest)
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

#[test]
fn what_the_apiserver_refuses_is_refused_at_the_same_field() {
    let mut wrong = Vec::new();
    let mut refused = |name: &str, spec: Value, at: &str, message: &str| {
        let found = judge(&spec);
        if !found
            .iter()
            .any(|violation| violation.field == at && violation.message.contains(message))
        {
            wrong.push(format!("{name}: no {at}: {message} in {found:?}"));
        }
    };
    for case in REFUSALS {
        refused(case.name, spec(yaml(case.fields)), case.at, case.message);
    }
    for limit in LIMITS {
        let more = spec((limit.fields)(limit.most + 1));
        refused(limit.of, more, limit.at, &limit.most.to_string());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_apiserver_accepts_is_accepted() {
    for (name, fields) in ACCEPTED {
        assert_eq!(judge(&spec(yaml(fields))), [], "{name}");
    }
    for limit in LIMITS {
        assert_eq!(
            judge(&spec((limit.fields)(limit.most))),
            [],
            "{} {}",
            limit.most,
            limit.of
        );
    }
}

#[test]
fn manifests_that_kubectl_does_not_apply_are_refused() {
    let mut wrong = Vec::new();
    for case in REFUSED_MANIFESTS {
        let output = run("render", &case.text());
        let said = output.stderr;
        let expected = ["standard input, document 1", case.render];
        if output.code != Some(2)
            || !output.stdout.is_empty()
            || !expected.iter().all(|part| said.contains(part))
        {
            wrong.push(format!(
                "{}: where kubectl says {:?}, no {:?} in {said}",
                case.name, case.kubectl, case.render
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn manifests_that_kubectl_applies_are_accepted() {
    for (name, part, by) in ACCEPTED_MANIFESTS {
        let manifest = replaced(part, by);
        let output = run("render", &manifest);
        let code = rendered_code(&manifest);
        assert_eq!(output.code, Some(code), "{name}: {output:?}");
    }
}

#[test]
fn iam_policy_reads_bindings_likewise() {
    let manifest = replaced("geography", "geografy");
    let said = |command| run(command, &manifest).stderr;
    assert!(said("iam-policy").contains("spec.geografy: unknown field"));
    assert_eq!(said("iam-policy"), said("render"));
    assert_eq!(run("iam-policy", &manifest).code, Some(2));
}
