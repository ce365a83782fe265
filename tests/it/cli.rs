//! The program as a person or a pipeline calls it: what it prints, and how it ends.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::common::{
    program::{Output, PROGRAM},
    yaml::documents,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SONNET: &str = "anthropic.claude-sonnet-5-5";
/// Has a profile of the geography `jp`.
const HAIKU: &str = "anthropic.claude-haiku-5-5";
const EU_FROM_IRELAND: [&str; 4] = ["--geography", "eu", "--region", "eu-west-1"];

/// Runs the program in an empty environment: no AWS, no cluster, no home.
fn program(arguments: &[&str]) -> Output {
    program_in(&[], "", arguments)
}

fn program_in(environment: &[(&str, &str)], stdin: &str, arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home.path())
        .envs(environment.iter().copied())
        .current_dir(ROOT);
    Output::of(&mut command, stdin)
}

impl Output {
    /// Asserts the exit code and returns what was printed.
    #[track_caller]
    fn ends_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.stdout
    }

    /// Asserts that it failed with one line that says this, and printed nothing.
    #[track_caller]
    fn fails_with(self, code: i32, message: &str) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stdout, "", "nothing is printed halfway: {self:#?}");
        self.says(message);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:#?}");
    }

    /// Asserts that its arguments were not understood, which it says with this, and that it printed nothing.
    #[track_caller]
    fn is_misused(&self, message: &str) {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert_eq!(self.stdout, "", "errors go to standard error: {self:#?}");
        self.says(message);
    }

    /// Asserts that this is on standard error.
    #[track_caller]
    fn says(&self, message: &str) {
        assert!(
            self.stderr.contains(message),
            "{message:?} is not in {self:#?}"
        );
    }
}

/// Compares an output with the file that keeps it.
#[track_caller]
pub fn assert_golden(name: &str, output: &str) {
    let path = Path::new(ROOT).join("tests/golden").join(name);
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, output).expect("written");
    }
    let golden =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("tests/golden/{name}: {error}"));
    if golden == output {
        return;
    }
    let line = golden
        .lines()
        .zip(output.lines())
        .position(|(golden, output)| golden != output)
        .unwrap_or_else(|| golden.lines().count().min(output.lines().count()));
    let at = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    panic!(
        "tests/golden/{name} differs from line {}:\n- {}\n+ {}\nIf the new output is right: UPDATE_GOLDEN=1 cargo test --test it cli::, and read the diff.",
        line + 1,
        at(&golden),
        at(output)
    );
}

fn binding(name: &str, geography: &str, rest: &str) -> String {
    format!(
        "---\napiVersion: inferenceprofiles.dev/v1alpha1\nkind: InferenceProfileBinding\nmetadata: {{name: {name}}}\nspec: {{model: '{SONNET}', geography: {geography}, sourceRegion: eu-west-1{rest}}}\n"
    )
}

fn render(stdin: &str, arguments: &[&str]) -> Output {
    let all = [&["render", "-f", "-"], arguments].concat();
    program_in(&[], stdin, &all)
}

#[test]
fn run_needs_a_region() {
    program(&["run"]).fails_with(2, "no source region: give --region or set AWS_REGION");
    program_in(&[("AWS_REGION", "europe")], "", &["run"]).fails_with(2, "AWS_REGION");
}

#[test]
fn run_knows_regions() {
    let run = |catalog, region| program(&["run", "--catalog", catalog, "--region", region]);
    run("embedded", "eu-west-9").fails_with(
        2,
        "--region eu-west-9: AWS had no such region on 2026-11-01 (by the embedded data); nearest: eu-west-1, ",
    );
    // A live catalog may know newer regions, and bindings may name others than one without Bedrock.
    for (catalog, region) in [("bedrock", "eu-west-9"), ("embedded", "ap-east-1")] {
        let output = run(catalog, region);
        output.says("bindings that name no sourceRegion will probably find nothing: ");
        output.ends_with(1);
    }
}

#[test]
fn run_needs_a_cluster() {
    let arguments = ["run", "--region", "eu-west-1", "--catalog", "embedded"];
    program(&arguments).fails_with(1, "no cluster can be reached: check KUBECONFIG");
    let kubeconfig = [("KUBECONFIG", "/nonexistent")];
    program_in(&kubeconfig, "", &arguments).fails_with(1, "/nonexistent");
}

#[test]
fn run_refuses_what_it_does_not_understand() {
    for (option, value, message) in [
        ("--allowed-regions", "europe", "europe"),
        ("--allowed-regions", "e*u*w*1**", "it has 5 stars (*)"),
        (
            "--allow-role-arn",
            "arn:aws:iam::111122223333:role/b*e*d*r*o*;namespaces=*",
            "the role: it has 5 stars (*), and at most 4 are allowed",
        ),
        ("--catalog", "directory:/nonexistent", "/nonexistent"),
    ] {
        let arguments = ["run", "--region", "eu-west-1", option, value];
        program(&arguments).fails_with(2, message);
    }
    for (option, value) in [
        ("--refresh-interval", "soon"),
        ("--concurrency", "0"),
        ("--catalog", "live"),
        ("--account", "mine"),
        ("--region", "europe"),
    ] {
        program(&["run", option, value]).is_misused(option);
    }
}

#[test]
fn render_of_the_examples_is_golden() {
    let output = program(&["render", "-f", "examples/", "--enable-secrets"]);
    // One example shows what is not supported.
    assert_golden("render-examples.yaml", &output.ends_with(3));
    let again = program(&["render", "-f", "examples/", "--enable-secrets"]);
    assert_golden("render-examples.yaml", &again.ends_with(3));
}

const CLASS: &str = "---
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileClass
metadata: {name: chat}
spec:
  model: anthropic.claude-sonnet-5-5
  geography: eu
  allowedRegions: ['@eu']
  namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}
  stages:
  - name: wide
    namespaceSelector: {matchLabels: {stage: dev}}
    geography: global
";

fn of_class(namespace: &str) -> String {
    format!(
        "---
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {{name: a, namespace: {namespace}}}
spec: {{className: chat, sourceRegion: eu-west-1}}
"
    )
}

fn namespace(name: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n"
    )
}

#[test]
fn classes_are_taken_from_files() {
    let shop = namespace("shop", "team: x");
    let printed = render(&[&of_class("shop"), CLASS, &shop].concat(), &[]).ends_with(0);
    assert!(
        printed.contains("eu.anthropic.claude-sonnet-5-5"),
        "{printed}"
    );
    assert!(
        printed.contains("    class:\n      name: chat\n"),
        "{printed}"
    );
    let dev = namespace("shop", "team: x, stage: dev");
    let printed = render(&[CLASS, &dev, &of_class("shop")].concat(), &[]).ends_with(3);
    for part in ["RegionNotAllowed", "the class''s spec.allowedRegions"] {
        assert!(printed.contains(part), "{printed}");
    }
    for (input, reason) in [
        (of_class("shop"), "ClassNotFound"),
        ([CLASS, &of_class("shop")].concat(), "ClassNotAllowed"),
    ] {
        let printed = render(&input, &[]).ends_with(3);
        assert!(printed.contains(reason), "{printed}");
        let output = program_in(
            &[],
            &input,
            &["iam-policy", "-f", "-", "--account", "111122223333"],
        );
        output.says("shop/a: left out: ");
        output.ends_with(3);
    }
    let input = [CLASS, &shop, &of_class("shop")].concat();
    let printed = program_in(
        &[],
        &input,
        &["iam-policy", "-f", "-", "--account", "111122223333"],
    );
    assert!(
        printed
            .ends_with(0)
            .contains("inference-profile/eu.anthropic.claude-sonnet-5-5")
    );
    let twice = [CLASS, CLASS, &of_class("shop")].concat();
    render(&twice, &[]).fails_with(2, "the class chat is given twice");
    let wrong = CLASS.replace("geography: eu", "geografy: eu");
    render(&[&wrong, &of_class("shop")[..]].concat(), &[])
        .fails_with(2, "spec.geografy: unknown field: did you mean geography?");
    let wrong = CLASS.replace("operator: Exists", "operator: In");
    render(&[&wrong, &of_class("shop")[..]].concat(), &[]).fails_with(
        2,
        "spec.namespaceSelector.matchExpressions[0]: Invalid value: In and NotIn need values",
    );
}

#[test]
fn a_class_is_explained() {
    let explain = |input: &str, more: &[&str]| {
        let arguments = [
            "explain",
            "--class",
            "chat",
            "-f",
            "-",
            "--region",
            "eu-west-1",
        ];
        program_in(&[], input, &[&arguments, more].concat())
    };
    let shop = [CLASS, &namespace("shop", "team: x")].concat();
    let printed = explain(&shop, &["-n", "shop"]).ends_with(0);
    for line in [
        "Class:          chat\n",
        "Profile:        eu.anthropic.claude-sonnet-5-5\n",
        "Limit:          @eu (set by the class's spec.allowedRegions)\n",
        "Residency:      permitted\n",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    let dev = [CLASS, &namespace("shop", "team: x, stage: dev")].concat();
    let printed = explain(&dev, &["-n", "shop"]).ends_with(3);
    for part in ["Class:          chat, stage wide\n", "NOT permitted"] {
        assert!(printed.contains(part), "{printed}");
    }
    let printed = explain(&dev, &["-n", "shop", "-o", "json"]).ends_with(3);
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(
        printed["class"],
        serde_json::json!({"name": "chat", "stage": "wide", "allowedRegions": ["@eu"]})
    );
    let printed = explain(&shop, &["-n", "shop", "--application", "shop-chat"]).ends_with(3);
    assert!(
        printed.contains("Application:    CatalogUnavailable\n"),
        "{printed}"
    );
    let refused = explain(CLASS, &["-n", "shop"]);
    refused.says("ClassNotAllowed: the class chat is not for this namespace");
    refused.ends_with(3);
    explain("", &[]).fails_with(2, "no InferenceProfileClass was found");
    program(&["explain", "--class", "chat", "--region", "eu-west-1"]).is_misused("--filename");
    program(&["explain", SONNET, "--class", "chat", "-f", "-"]).is_misused("--class");
}

#[test]
fn render_ends_with_0_where_all_is_ready_and_3_where_not() {
    let ready = binding("a", "eu", "");
    let not_ready = binding("b", "jp", "");
    assert_eq!(documents(&render(&ready, &[]).ends_with(0)).len(), 2);
    let printed = render(&not_ready, &[]).ends_with(3);
    assert_eq!(documents(&printed).len(), 1, "the status alone");
    assert!(printed.contains("GeographyUnsupported"), "{printed}");
    let printed = render(&format!("{ready}{not_ready}"), &[]).ends_with(3);
    assert_eq!(documents(&printed).len(), 3, "the other is rendered");
}

#[test]
fn render_reads_files_folders_and_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("one.yaml"), binding("one", "eu", "")).expect("written");
    fs::write(path("two.yml"), binding("two", "eu", "")).expect("written");
    fs::write(path("notes.txt"), "not: [a manifest").expect("written");
    let names = |printed: &str| -> Vec<String> {
        documents(printed)
            .iter()
            .filter(|document| document["kind"] == "InferenceProfileBinding")
            .map(|document| document["metadata"]["name"].to_string())
            .collect()
    };
    let all = &folder.path().display().to_string();
    let printed = program(&["render", "-f", all]).ends_with(0);
    assert_eq!(names(&printed), [r#""one""#, r#""two""#]);
    let two = path("two.yml");
    let printed = program(&["render", "--filename", &two]).ends_with(0);
    assert_eq!(names(&printed), [r#""two""#]);
    let one = path("one.yaml");
    let arguments = ["render", "-f", "-", "-f", &one];
    let printed = program_in(&[], &binding("three", "eu", ""), &arguments).ends_with(0);
    assert_eq!(names(&printed), [r#""three""#, r#""one""#]);
}

#[test]
fn render_puts_bindings_into_the_namespace_given() {
    let own = binding("a", "eu", "").replace("{name: a}", "{name: a, namespace: own}");
    let input = format!("{own}{}", binding("b", "eu", ""));
    for (arguments, other) in [
        (&[][..], "default"),
        (&["--namespace", "shop"], "shop"),
        (&["-n", "shop"], "shop"),
    ] {
        let printed = render(&input, arguments).ends_with(0);
        let namespaces: Vec<_> = documents(&printed)
            .iter()
            .map(|document| document["metadata"]["namespace"].clone())
            .collect();
        assert_eq!(namespaces, ["own", "own", other, other]);
    }
}

#[test]
fn render_refuses_bad_input() {
    render("a: [", &[]).fails_with(2, "standard input");
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    render(other, &[]).fails_with(
        2,
        "no InferenceProfileBinding was found: standard input holds ConfigMap; give a manifest of apiVersion",
    );
    render("", &[]).fails_with(
        2,
        "no InferenceProfileBinding was found: standard input is empty",
    );
    render("kind: ConfigMap\n", &[]).fails_with(2, "document 1: apiVersion: Required value");
    let twice = format!("{0}{0}", binding("a", "eu", ""));
    render(&twice, &[]).fails_with(2, "default/a is given twice");
    let no_name = binding("a", "eu", "").replace("name: a", "labels: {}");
    render(&no_name, &[]).fails_with(2, "metadata.name: Required value: give the object a name");
    let no_model = binding("a", "eu", "").replace("model:", "modle:");
    render(&no_model, &[]).fails_with(2, "model");
    program(&["render", "-f", "/nonexistent.yaml"])
        .fails_with(2, "/nonexistent.yaml can't be read");
    program(&["render"]).is_misused("--filename");
}

#[test]
fn what_is_no_manifest_leads_to_the_command_that_makes_some() {
    let template = binding("a", "'{{ .Values.geography }}'", "");
    let advice = |command: &str| {
        format!("; run `helm template RELEASE CHART | inference-profile-operator {command} -f -`")
    };
    render(&template, &[]).fails_with(2, &advice("render"));
    program_in(&[], &template, &["iam-policy", "-f", "-"]).fails_with(2, &advice("iam-policy"));
    // The program is called in a folder that is a chart: what comes from elsewhere is not of it.
    let chart = tempfile::tempdir().expect("a folder");
    fs::write(chart.path().join("Chart.yaml"), "").expect("written");
    let mut command = Command::new(PROGRAM);
    command
        .args(["render", "-f", "-"])
        .env_clear()
        .current_dir(chart.path());
    Output::of(&mut command, &template).fails_with(2, &advice("render"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("\u{1b}[31ma.yaml");
    fs::write(&path, binding("a", "${GEO}", "")).expect("written");
    let said = program(&["render", "-f", &path.display().to_string()]);
    said.says("\\u{1b}[31ma.yaml");
    assert!(!said.stderr.contains('\u{1b}'), "{said:?}");
    said.fails_with(
        2,
        "the variable ${GEO} is not replaced by its value: run `envsubst < ",
    );
}

#[test]
fn regions_that_do_not_exist_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("export").display().to_string();
    for arguments in [
        &["catalog", "export", &path][..],
        &["catalog", "list"],
        &["catalog", "matrix"],
    ] {
        for (region, message) in [
            (
                "eu-west-9",
                "--region eu-west-9: AWS had no such region on 2026-11-01 (by the embedded data); nearest: eu-west-1, ",
            ),
            (
                "cn-north-1",
                "--region cn-north-1: Amazon Bedrock had no endpoint there on 2026-11-01 (by the embedded data); `catalog list`",
            ),
        ] {
            program(&[arguments, &["--region", region]].concat()).fails_with(2, message);
        }
    }
    assert!(!Path::new(&path).exists(), "nothing is written");
    // Files may be of a region that is newer than this version.
    let listing = folder.path().join("eu-west-9.json");
    fs::write(listing, r#"{"inferenceProfileSummaries": []}"#).expect("written");
    let catalog = format!("directory:{}", folder.path().display());
    let list = program(&["catalog", "list", "--catalog", &catalog]);
    list.says("nothing is listed in eu-west-9: the region is not known to this version");
    list.ends_with(0);
    let export = program(&["catalog", "export", "--catalog", &catalog, &path]);
    export.says("nothing is listed in eu-west-9: the region is not known to this version");
    export.ends_with(0);
}

#[test]
fn render_of_a_merge_asks_the_object_in_the_files() {
    let merge = ", targets: [{kind: ConfigMap, name: app, creationPolicy: Merge, keys: {MODEL: ProfileID}}]";
    let input = binding("chat", "eu", merge);
    let object = |annotations: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app{annotations}}}\ndata: {{THEIRS: '1'}}\n"
        )
    };
    let allowed = object(", annotations: {inferenceprofiles.dev/allow-merge: chat}");
    let printed = render(&format!("{input}{allowed}"), &[]).ends_with(0);
    let manifests = documents(&printed);
    assert_eq!(
        manifests[0]["data"],
        serde_json::json!({"MODEL": format!("eu.{SONNET}")}),
        "our keys alone"
    );
    assert!(manifests[0]["metadata"].get("ownerReferences").is_none());

    let refused = object("");
    let printed = render(&format!("{refused}{input}"), &[]).ends_with(3);
    assert!(printed.contains("TargetForbidden"), "{printed}");
    assert_eq!(documents(&printed).len(), 1);

    render(&input, &[]).ends_with(0);
}

#[test]
fn render_writes_secrets_only_where_they_are_enabled() {
    let input = binding("a", "eu", ", targets: [{kind: Secret, name: s}]");
    let printed = render(&input, &[]).ends_with(3);
    assert!(printed.contains("SecretsDisabled"), "{printed}");
    let printed = render(&input, &["--enable-secrets"]).ends_with(0);
    let secret = &documents(&printed)[0];
    assert_eq!(secret["type"], "servicebinding.io/bedrock");
    assert!(secret.get("stringData").is_none());
}

#[test]
fn render_knows_limits_and_accounts() {
    let input = binding("a", "eu", "");
    render(&input, &["--allowed-regions", "@eu"]).ends_with(0);
    let printed = render(&input, &["--allowed-regions", "eu-west-1,eu-west-3"]).ends_with(3);
    assert!(printed.contains("RegionNotAllowed"), "{printed}");
    render(&input, &["--allowed-regions", "europe"]).fails_with(2, "europe");

    let arn = ", targets: [{kind: ConfigMap, name: c, keys: {ARN: ProfileARN}}]";
    let input = binding("a", "eu", arn);
    let printed = render(&input, &[]).ends_with(3);
    assert!(printed.contains("ValueUnavailable"), "{printed}");
    let printed = render(&input, &["--account", "111122223333"]).ends_with(0);
    assert_eq!(
        documents(&printed)[0]["data"]["ARN"],
        format!("arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.{SONNET}")
    );
}

#[test]
fn explain_is_golden() {
    let explain = |arguments: &[&str]| {
        // HAIKU where a profile of the geography jp is asked for: SONNET has none.
        let model = if arguments.contains(&"jp") {
            HAIKU
        } else {
            SONNET
        };
        let all = [&["explain", model, "--region", "eu-west-1"], arguments].concat();
        program(&all)
    };
    for (name, code, arguments) in [
        ("explain-found.txt", 0, &["--geography", "eu"][..]),
        ("explain-unsupported.txt", 3, &["--geography", "jp"]),
        (
            "explain-fallback.txt",
            0,
            &[
                "--geography",
                "jp",
                "--fallback",
                "apac",
                "--fallback",
                "eu",
            ],
        ),
        (
            "explain-not-permitted.txt",
            3,
            &["--geography", "global", "--allowed-regions", "@eu"],
        ),
        (
            "explain-found.json",
            0,
            &["--geography", "eu", "--output", "json"],
        ),
        (
            "explain-policy.txt",
            0,
            &[
                "--geography",
                "eu",
                "--allowed-regions",
                "@eu,eu-west-2",
                "--account",
                "111122223333",
            ],
        ),
        (
            "explain-policy.json",
            0,
            &[
                "--geography",
                "global",
                "--allowed-regions",
                "*",
                "--account",
                "111122223333",
                "--output",
                "json",
            ],
        ),
    ] {
        assert_golden(name, &explain(arguments).ends_with(code));
    }
    let account = ["--geography", "eu", "--account", "111122223333"];
    let printed = explain(&account).ends_with(0);
    let (_, policy) = printed.split_once("IAM policy:\n").expect("a policy");
    let policy: serde_json::Value = serde_json::from_str(policy).expect("JSON at the end");
    let same = iam_policy(&[&["--model", SONNET], &EU_FROM_IRELAND[..]].concat()).ends_with(0);
    let same: serde_json::Value = serde_json::from_str(&same).expect("JSON");
    assert_eq!(policy, same, "as iam-policy prints it");
    let mistyped = ["explain", "anthropic.claude-sonet-5-5"];
    let printed = program(&[&mistyped, &EU_FROM_IRELAND[..]].concat()).ends_with(3);
    assert!(
        printed.contains(SONNET),
        "the nearest model is named: {printed}"
    );
}

#[test]
fn a_model_on_demand_is_explained_and_rendered_where_it_is_allowed() {
    const RERANK: &str = "amazon.rerank-v1:0";
    let explain = |arguments: &[&str]| {
        let request = [
            "explain",
            RERANK,
            "--region",
            "eu-central-1",
            "--geography",
            "eu",
        ];
        program(&[&request[..], arguments].concat())
    };
    assert_golden(
        "explain-on-demand.txt",
        &explain(&["--on-demand"]).ends_with(0),
    );
    let hint = explain(&[]).ends_with(3);
    assert!(
        hint.contains("is on demand in eu-central-1: set fallback.onDemand"),
        "{hint}"
    );
    let binding = format!(
        "{{apiVersion: inferenceprofiles.dev/v1alpha1, kind: InferenceProfileBinding, metadata: {{name: rerank}}, \
         spec: {{model: '{RERANK}', geography: eu, sourceRegion: eu-central-1, fallback: {{onDemand: true}}}}}}"
    );
    let written = program_in(&[], &binding, &["render", "-f", "-"]).ends_with(0);
    for line in [
        "BEDROCK_GEOGRAPHY: on-demand",
        "BEDROCK_INFERENCE_PROFILE_ID: amazon.rerank-v1:0",
        "BEDROCK_DESTINATION_REGIONS: eu-central-1",
        "reason: OnDemandFallback",
    ] {
        assert!(written.contains(line), "{line} in {written}");
    }
}

#[test]
fn explain_refuses_bad_input() {
    program(&[&["explain", "claude"], &EU_FROM_IRELAND[..]].concat())
        .fails_with(2, "not a foundation model ID");
    program(&["explain", SONNET, "--geography", "eu"]).fails_with(2, "no source region");
    program(&["explain", SONNET, "--region", "eu-west-1"]).is_misused("--geography");
    let environment = [("AWS_REGION", "eu-west-1")];
    program_in(&environment, "", &["explain", SONNET, "--geography", "eu"]).ends_with(0);
}

#[test]
fn catalog_lists_and_exports() {
    let list = [
        "catalog",
        "list",
        "--region",
        "eu-west-1",
        "--model",
        SONNET,
    ];
    let table = program(&list).ends_with(0);
    assert!(table.contains(&format!("eu.{SONNET}")), "{table}");
    let json = program(&[&list[..], &["-o", "json"]].concat()).ends_with(0);
    let profiles: Vec<serde_json::Value> = serde_json::from_str(&json).expect("an array");
    assert!(!profiles.is_empty());
    let matrix = program(&["catalog", "matrix", "--model", SONNET]).ends_with(0);
    assert!(matrix.contains(SONNET), "{matrix}");

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let account = ["--account", "111122223333"];
    let export = [
        "catalog",
        "export",
        "--catalog",
        "embedded",
        "--region",
        "eu-west-1",
    ];
    let output = program(&[&export[..], &account, &[&path]].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    let catalog = format!("directory:{path}");
    let explain = [&["explain", SONNET], &EU_FROM_IRELAND[..]].concat();
    let from_files = program(&[&explain[..], &["--catalog", &catalog]].concat()).ends_with(0);
    assert!(
        from_files.contains(":111122223333:"),
        "the account is in the files: {from_files}"
    );
    let embedded = program(&[&explain[..], &account].concat());
    assert_eq!(from_files, embedded.ends_with(0));
}

#[test]
fn catalog_shows_what_a_limit_permits() {
    let matrix = program(&["catalog", "matrix", "--allowed-regions", "@eu"]);
    matrix.says("models left out, because --allowed-regions permits no route to them: ");
    matrix.says("on-demand: invoked by the model's own ID, without a profile");
    matrix.says("LEGACY: closed to new customers");
    let geography = ["catalog", "list", "--geography", "ap"];
    program(&geography).says("ap is not a geography of Bedrock; for Asia it is apac, jp, au or in");
    assert_golden("catalog-matrix-eu.txt", &matrix.ends_with(0));
    let sonnet = ["--model", SONNET];
    let list = [
        "catalog",
        "list",
        "--allowed-regions",
        "@jp",
        "--model",
        HAIKU,
    ];
    let list = program(&list).ends_with(0);
    assert_golden("catalog-list-jp.txt", &list);
    let nothing = ["catalog", "matrix", "--allowed-regions", "eu-west-1"];
    let nothing = program(&[&nothing[..], &sonnet].concat());
    nothing.says("no route is permitted; widen");
    assert_eq!(nothing.ends_with(0), "");
    program(&["catalog", "list", "--allowed-regions", "europe"]).fails_with(2, "europe");
}

#[test]
fn patterns_have_at_most_four_stars() {
    let explain = |limit: &str| {
        let limit = ["--allowed-regions", limit];
        program(&[&["explain", SONNET], &EU_FROM_IRELAND[..], &limit].concat())
    };
    explain("e*u*-*-*").ends_with(0);
    let outside = explain("e*u*w*s*").ends_with(3);
    assert!(outside.contains("NOT permitted"), "{outside}");
    explain("eu-****z").ends_with(3);
    for (limit, message) in [
        (
            "e*u*-*-**",
            "\"e*u*-*-**\" in the operator's --allowed-regions is not a valid limit: it has 5 stars (*), and at most 4 are \
             allowed; leave some out, or list the regions",
        ),
        (
            "e******************************z",
            "it has 30 stars (*), and at most 4 are allowed",
        ),
        (&"eu-*,".repeat(65), "at most 64 are allowed"),
    ] {
        explain(limit).fails_with(2, message);
    }

    let list = |model: &str| program(&["catalog", "list", "--model", model]);
    let found = list("*a*u*-sonnet-5-*").ends_with(0);
    assert!(found.contains(SONNET), "{found}");
    list("*a*u*-sonnet-5-**").is_misused("it has 5 stars (*), and at most 4 are allowed");
}

/// Files that leave out a destination which the embedded data know: every command counts both.
#[test]
fn commands_agree_on_data_that_contradict_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let listing = serde_json::json!({"inferenceProfileSummaries": [{
        "inferenceProfileName": "EU",
        "inferenceProfileArn": format!("arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.{SONNET}"),
        "inferenceProfileId": format!("eu.{SONNET}"),
        "models": [{"modelArn": format!("arn:aws:bedrock:eu-west-1::foundation-model/{SONNET}")}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }]});
    fs::write(folder.path().join("eu-west-1.json"), listing.to_string()).expect("written");
    let catalog = format!("directory:{}", folder.path().display());
    // The embedded data have more destinations. The files count.
    for (limit, code) in [("eu-west-1", 0), ("eu-central-1", 3)] {
        let options = ["--catalog", &catalog, "--allowed-regions", limit];
        let all = [&["explain", SONNET], &EU_FROM_IRELAND[..], &options].concat();
        let explained = program(&all).ends_with(code);
        assert_eq!(
            explained.contains("NOT permitted"),
            code == 3,
            "{explained}"
        );
        for part in [
            "other destinations, which do not count: ",
            "(by the embedded data of ",
        ] {
            assert!(explained.contains(part), "{part:?} in {explained}");
        }
        let all = [&["--model", SONNET], &EU_FROM_IRELAND[..], &options].concat();
        let policy = iam_policy(&all).ends_with(code);
        assert_eq!(policy.is_empty(), code == 3, "{policy}");
        let list = program(&[&["catalog", "list"], &options[..]].concat()).ends_with(0);
        assert_eq!(list.is_empty(), code == 3, "{list}");
    }
}

#[test]
fn evidence_needs_a_cluster_and_a_limit_that_is_one() {
    program(&["evidence"]).fails_with(1, "no cluster can be reached: check KUBECONFIG");
    program(&["evidence", "--allowed-regions", "europe"]).fails_with(2, "europe");
    // What there is is named.
    program(&["evidence", "-o", "xlsx"]).is_misused("csv");
}

#[test]
fn crd_prints_the_ones_in_crds() {
    let file = |name: &str| {
        let path = Path::new(ROOT).join(format!("crds/{name}.yaml"));
        let text = fs::read_to_string(path).expect("the CRD");
        let content = text.lines().filter(|line| !line.starts_with('#'));
        content.fold("---\n".to_owned(), |text, line| text + line + "\n")
    };
    let printed = program(&["crd"]).ends_with(0);
    let expected = file("inferenceprofilebindings") + &file("inferenceprofileclasses");
    assert!(printed == expected, "run `make crds`");
}

#[test]
fn completions_name_every_command() {
    for (shell, start) in [
        ("bash", "_inference__profile__operator() {"),
        ("zsh", "#compdef inference-profile-operator"),
        ("fish", "complete -c inference-profile-operator"),
    ] {
        let script = program(&["completions", shell]).ends_with(0);
        assert!(script.contains(start), "{shell}");
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
    // What there is is named.
    program(&["completions", "cobol"]).is_misused("bash");
}

/// Returns the commands that --help names.
pub fn commands() -> Vec<String> {
    let help = program(&["--help"]).ends_with(0);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<String> = listed
        .take_while(|line| line.starts_with("  "))
        // Descriptions go on in lines that are indented further.
        .filter(|line| !line.starts_with("    "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .map(str::to_owned)
        .collect();
    assert!(commands.len() > 5, "{help}");
    commands
}

#[test]
fn every_command_has_help() {
    for command in commands() {
        let help = program(&[&command, "--help"]).ends_with(0);
        assert!(help.contains("Usage: inference-profile-operator"), "{help}");
    }
    let help = program(&["--help"]).ends_with(0);
    assert!(help.contains("Exit codes:"), "{help}");
}

#[test]
fn help_and_version_are_told_apart_from_errors() {
    let version = program(&["--version"]).ends_with(0);
    assert_eq!(
        version,
        format!("inference-profile-operator {}\n", env!("CARGO_PKG_VERSION"))
    );
    for arguments in [&[][..], &["nonsense"], &["render", "--nonsense"]] {
        program(arguments).is_misused("Usage:");
    }
}

#[test]
fn a_reader_that_goes_is_no_error() {
    for arguments in [
        &["completions", "bash"][..],
        &["crd"],
        &["render", "-f", "examples/01-smallest.yaml"],
        &[&["explain", SONNET], &EU_FROM_IRELAND[..]].concat(),
        &["catalog", "list"],
    ] {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .current_dir(ROOT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(
            !stderr.contains("rror") && !stderr.contains("panic"),
            "{arguments:?}: {stderr}"
        );
    }
}

const ACCOUNT: [&str; 2] = ["--account", "111122223333"];

/// Calls `iam-policy` for one account.
fn iam_policy(arguments: &[&str]) -> Output {
    program(&[&["iam-policy"], &ACCOUNT[..], arguments].concat())
}

#[test]
fn iam_policies_are_golden() {
    let sonnet = ["--model", SONNET, "--region", "eu-west-1", "--geography"];
    for (name, arguments) in [
        ("geographic.json", &["eu"][..]),
        ("global.json", &["global"]),
        ("batch.json", &["eu", "--actions", "batch"]),
        (
            "with-fallbacks.tf",
            &[
                "jp",
                "--fallback",
                "eu",
                "--fallback",
                "global",
                "--with-fallbacks",
                "-o",
                "hcl",
            ],
        ),
    ] {
        let printed = iam_policy(&[&sonnet, arguments].concat()).ends_with(0);
        assert_golden(&format!("iam-policy-{name}"), &printed);
    }
    for (name, arguments) in [
        (
            "operator.json",
            &[
                "--operator",
                "--assume-role",
                "arn:aws:iam::444455556666:role/discovery",
            ][..],
        ),
        (
            "operator-all.json",
            &[
                "--operator",
                "--application-profiles",
                "--check-access",
                "--trust",
                "pod-identity",
            ],
        ),
        (
            "guardrail.json",
            &["--guardrail", "--allowed-regions", "@eu,eu-west-2"],
        ),
        (
            "guardrail.yaml",
            &[
                "--guardrail",
                "--allowed-regions",
                "us-*",
                "-o",
                "cloudformation",
            ],
        ),
        (
            "guardrail.tf",
            &["--guardrail", "--allowed-regions", "@jp", "-o", "hcl"],
        ),
    ] {
        let printed = iam_policy(arguments).ends_with(0);
        assert_golden(&format!("iam-policy-{name}"), &printed);
    }
}

#[test]
fn iam_policies_of_bindings_leave_out_and_name_those_without_a_profile() {
    let output = iam_policy(&["-f", "examples/", "-o", "cloudformation"]);
    output.says("default/claude-jp-from-ireland: left out: no jp profile");
    assert_golden("iam-policy-examples.yaml", &output.ends_with(3));
    let outside = binding("a", "eu", ", allowedRegions: [eu-west-1]");
    let all = [&["iam-policy", "-f", "-"], &ACCOUNT[..]].concat();
    let output = program_in(&[], &outside, &all);
    // What the operator does not publish is not allowed either.
    output.says("default/a: left out: not allowed by spec.allowedRegions");
    assert_eq!(output.ends_with(3), "");
}

#[test]
fn iam_policies_are_one_per_partition_and_no_larger_than_iam_takes() {
    let gov = binding("gov", "us-gov", "")
        .replace(SONNET, "anthropic.claude-sonnet-4-5-20250929-v1:0")
        .replace("eu-west-1", "us-gov-east-1");
    let all = [&["iam-policy", "-f", "-"], &ACCOUNT[..]].concat();
    let output = program_in(&[], &format!("{}{gov}", binding("eu", "eu", "")), &all);
    output.says("2 policies");
    output.says("policy 2: partition aws-us-gov");
    let policies: Vec<serde_json::Value> = serde_json::Deserializer::from_str(&output.ends_with(0))
        .into_iter()
        .map(|policy| policy.expect("a policy"))
        .collect();
    assert_eq!(policies.len(), 2);
    assert!(
        policies[1]
            .to_string()
            .contains("arn:aws-us-gov:bedrock:us-gov-west-1::")
    );
}

#[test]
fn iam_policy_takes_the_account_from_a_catalog_that_knows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("catalog").display().to_string();
    let export = [
        "catalog",
        "export",
        "--region",
        "eu-west-1",
        "--account",
        "999988887777",
        &path,
    ];
    program(&export).ends_with(0);
    let catalog = format!("directory:{path}");
    let sonnet = [&["iam-policy", "--model", SONNET], &EU_FROM_IRELAND[..]].concat();
    let printed = program(&[&sonnet[..], &["--catalog", &catalog]].concat()).ends_with(0);
    assert!(
        printed.contains(":999988887777:inference-profile/"),
        "{printed}"
    );
    program(&sonnet).fails_with(
        2,
        "the account is unknown: ARNs of profiles name one, and the embedded catalog does not",
    );
}

#[test]
fn service_control_policies_are_reported_per_check() {
    let scp = |name: &str| format!("tests/iam/scp/{name}.json");
    let full = scp("full-access");
    let deny = format!("{full},{}", scp("region-deny"));
    let nova = [
        "--model",
        "amazon.nova-pro-v1:0",
        "--geography",
        "eu",
        "--region",
        "eu-central-1",
        "--scp",
        &full,
        "--scp",
    ];
    let role = ["--principal", "arn:aws:iam::111122223333:role/chat"];
    let exempt = ["--principal", "arn:aws:iam::111122223333:role/break-glass"];
    let guests = format!("{full},{}", scp("deny-guests"));
    for (name, file, principal, code) in [
        ("denied", &deny, &role[..], 3),
        ("not-denied", &deny, &exempt, 0),
        // Hardly any workload is exempt, but who knows.
        ("denied-unless-exempt", &deny, &[], 3),
        // Not knowing is no assurance.
        ("cant-judge", &guests, &[], 3),
    ] {
        let printed = iam_policy(&[&nova[..], &[file], principal].concat()).ends_with(code);
        assert_golden(&format!("iam-policy-scp-{name}.txt"), &printed);
    }
    let output = iam_policy(&[
        "-f",
        "examples/",
        "--actions",
        "invoke,batch",
        "--scp",
        &deny,
    ]);
    assert_golden("iam-policy-scp-examples.txt", &output.ends_with(3));
}

#[test]
fn service_control_policies_that_only_deny_are_judged_with_full_access() {
    let only_denies = "tests/iam/scp/organization-region-deny.json";
    let excepts = "tests/iam/scp/region-deny-except-profiles.json";
    let sonnet = [
        "--model",
        "anthropic.claude-sonnet-4-6",
        "--region",
        "eu-west-1",
        "--geography",
    ];
    for (name, arguments, code) in [
        ("only-denies", &["eu", "--scp", only_denies][..], 3),
        (
            "only-denies-strict",
            &["eu", "--scp", only_denies, "--strict"],
            3,
        ),
        ("excepts-profiles", &["eu", "--scp", excepts], 0),
        ("excepts-profiles-global", &["global", "--scp", excepts], 0),
    ] {
        let printed = iam_policy(&[&sonnet[..], arguments].concat()).ends_with(code);
        assert_golden(&format!("iam-policy-scp-{name}.txt"), &printed);
    }
    // Once, for all levels and all requests.
    let both = format!("{only_denies},{excepts}");
    let full = "tests/iam/scp/full-access.json";
    let levels = ["--scp", &both, "--scp", full, "--scp", excepts];
    let printed = iam_policy(&[&["-f", "examples/"], &levels[..]].concat()).ends_with(3);
    let said = format!(
        "No policy of level 1 ({only_denies}, {excepts}) or level 3 ({excepts}) allows anything"
    );
    assert_eq!(printed.matches("FullAWSAccess").count(), 1, "{printed}");
    assert!(printed.starts_with(&said), "{printed}");
}

#[test]
fn iam_policy_of_a_model_on_demand_needs_no_account() {
    let nova = [
        "iam-policy",
        "--model",
        "amazon.nova-pro-v1:0",
        "--region",
        "us-east-1",
        "--geography",
        "jp",
        "--on-demand",
    ];
    let arn = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0";
    let printed = program(&nova).ends_with(0);
    assert!(printed.contains("OnDemandModels") && printed.contains(arn));
    let scp = ["--scp", "tests/iam/scp/region-deny.json"];
    let printed = program(&[&nova[..], &scp].concat()).ends_with(3);
    assert!(printed.contains("DENIED in us-east-1"), "{printed}");
    program(&[&nova[..], &["--actions", "batch"]].concat())
        .fails_with(2, "the account is unknown: ARNs of batch jobs name one");
}

#[test]
fn iam_policy_with_fallbacks_covers_the_model_on_demand() {
    let nova = [
        "--model",
        "amazon.nova-pro-v1:0",
        "--region",
        "us-east-1",
        "--geography",
        "us",
    ];
    let on_demand = |arguments: &[&str]| {
        let printed = iam_policy(&[&nova[..], arguments].concat()).ends_with(0);
        assert!(printed.contains("GeographicProfiles"), "{printed}");
        printed.contains("OnDemandModels")
    };
    assert!(on_demand(&["--on-demand", "--with-fallbacks"]));
    // It is not needed now, or never.
    assert!(!on_demand(&["--on-demand"]));
    assert!(!on_demand(&["--with-fallbacks"]));
    let bound = binding("a", "us", ", fallback: {onDemand: true}")
        .replace(SONNET, "amazon.nova-pro-v1:0")
        .replace("eu-west-1", "us-east-1");
    let all = [&["iam-policy", "-f", "-", "--with-fallbacks"], &ACCOUNT[..]].concat();
    let printed = program_in(&[], &bound, &all).ends_with(0);
    assert!(printed.contains("OnDemandModels"), "{printed}");
}

#[test]
fn iam_policy_refuses_bad_input() {
    let sonnet = [&["--model", SONNET], &EU_FROM_IRELAND[..]].concat();
    iam_policy(&[&sonnet[..], &["--scp", "/nonexistent.json"]].concat())
        .fails_with(2, "/nonexistent.json can't be read");
    iam_policy(&[&sonnet[..], &["--scp", "tests/iam/package.json"]].concat()).fails_with(
        2,
        "tests/iam/package.json: not a policy: expected an object with a list Statement",
    );
    let other = "arn:aws:iam::444455556666:role/chat";
    let scp = ["--scp", "tests/iam/scp/full-access.json", "--principal"];
    iam_policy(&[&sonnet[..], &scp, &[other]].concat()).fails_with(
        2,
        "--principal belongs to account 444455556666, but --account is 111122223333",
    );
    iam_policy(&["--guardrail"]).fails_with(2, "no limit to enforce: give --allowed-regions");
    iam_policy(&["--guardrail", "--allowed-regions", "eu-west-1,*"])
        .fails_with(2, "the limit * allows any region");
    iam_policy(&["--operator", "--assume-role", "discovery"])
        .fails_with(2, "is not the ARN of a role");
    program(&["iam-policy", "--operator"]).fails_with(2, "give --account");
    for (arguments, message) in [
        (&[][..], "--filename"),
        (&["--model", SONNET], "--geography"),
        (&["--operator", "--guardrail"], "--guardrail"),
        (&["-f", "-", "--scp", "a", "-o", "hcl"], "--output"),
        (
            &["-f", "-", "--scp", "a", "--principal", "chat"],
            "is not the ARN of a role or user",
        ),
        (&["-f", "-", "--actions", "train"], "train"),
        (&["-f", "-", "--strict"], "--scp"),
        (&["-f", "-", "--on-demand"], "--model"),
    ] {
        iam_policy(arguments).is_misused(message);
    }
}

#[test]
fn iam_policy_prints_the_trust_policy_too() {
    let bound = binding("a", "eu", "");
    let print = |arguments: &[&str]| {
        let all = [&["iam-policy", "-f", "-"], &ACCOUNT[..], arguments].concat();
        program_in(&[], &bound, &all)
    };
    let issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE";
    let printed = print(&[
        "--trust",
        "irsa",
        "--service-account",
        "shop/chat",
        "--oidc-provider",
        issuer,
    ])
    .ends_with(0);
    let mut documents =
        serde_json::Deserializer::from_str(&printed).into_iter::<serde_json::Value>();
    let policy = documents.next().expect("the policy").expect("JSON");
    assert_eq!(policy["Statement"][0]["Sid"], "GeographicProfiles");
    let trust = documents.next().expect("the trust policy").expect("JSON");
    let conditions = &trust["Statement"][0]["Condition"]["StringEquals"];
    let issuer = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE";
    assert_eq!(
        conditions[format!("{issuer}:sub")],
        "system:serviceaccount:shop:chat"
    );
    assert_eq!(conditions[format!("{issuer}:aud")], "sts.amazonaws.com");
    assert!(documents.next().is_none());
    print(&["--trust", "pod-identity"]).ends_with(0);
    for (arguments, message) in [
        (
            &["--trust", "irsa"][..],
            "--trust irsa needs --oidc-provider, the cluster's issuer: `aws eks",
        ),
        (
            &["--trust", "irsa", "--oidc-provider", issuer],
            "needs --service-account",
        ),
        (
            &["--trust", "pod-identity", "-o", "hcl"],
            "--trust prints JSON",
        ),
    ] {
        print(arguments).fails_with(2, message);
    }
    print(&["--service-account", "shop/chat"]).is_misused("--trust");
    print(&["--trust", "pod-identity", "--service-account", "chat"]).is_misused("NAMESPACE/NAME");
    print(&["--application-profiles"]).is_misused("--application-profiles");
}

#[test]
fn render_sums_up_what_failed() {
    let input = [
        binding("a", "eu", ""),
        binding("b", "jp", ""),
        binding("c", "jp", ""),
    ]
    .concat();
    let output = render(&input, &[]);
    let last = output
        .stderr
        .trim_end()
        .lines()
        .last()
        .map(ToOwned::to_owned);
    assert_eq!(
        last.as_deref(),
        Some("2 of 3 bindings failed: default/b, default/c")
    );
    output.ends_with(3);
    let output = render(&binding("a", "eu", ""), &[]);
    assert_eq!(output.stderr, "");
}

#[test]
fn render_prints_targets_alone() {
    let targets = ", targets: [{kind: ConfigMap, name: t}, {kind: Secret, name: s}]";
    let input = [binding("a", "eu", targets), binding("b", "jp", "")].concat();
    let printed = render(&input, &["--targets-only", "--enable-secrets"]).ends_with(3);
    let documents = documents(&printed);
    let kinds: Vec<&str> = documents
        .iter()
        .filter_map(|it| it["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["ConfigMap", "Secret"]);
    for document in &documents {
        let metadata = document["metadata"].as_object().expect("metadata");
        let fields: Vec<&str> = metadata.keys().map(String::as_str).collect();
        assert_eq!(fields, ["name", "namespace"], "{document:#}");
    }
}

#[test]
fn yaml_says_what_json_says() {
    let class = [CLASS, &namespace("shop", "team: x")].concat();
    let kept = tempfile::tempdir().expect("a folder");
    let file = kept.path().join("class.yaml");
    fs::write(&file, class).expect("written");
    let file = file.to_str().expect("a path");
    let explain = [
        "explain",
        SONNET,
        "--geography",
        "eu",
        "--region",
        "eu-west-1",
    ];
    let preview = [
        "preview",
        "-f",
        file,
        "--against",
        "examples/",
        "--region",
        "eu-west-1",
    ];
    let scan = ["scan", "examples/app"];
    for command in [&explain[..], &preview, &scan] {
        let print = |form| program(&[command, &["-o", form]].concat()).stdout;
        let json: serde_json::Value = serde_json::from_str(&print("json")).expect("JSON");
        let yaml = documents(&print("yaml"));
        assert_eq!(yaml, [json], "{command:?}");
    }
    program(&[&explain[..], &["-o", "table"]].concat()).ends_with(0);
}

#[test]
fn kubectl_is_given_completions() {
    let printed = program(&["completions", "--kubectl"]).ends_with(0);
    assert!(printed.starts_with("#!/bin/sh\n"), "{printed}");
    assert!(
        printed.contains("exec kubectl-ipb complete -- "),
        "{printed}"
    );
    let complete = |words: &[&str]| {
        let all = [&["complete", "--"], words].concat();
        program(&all).ends_with(0)
    };
    let printed = complete(&["sus"]);
    assert!(
        printed.starts_with("suspend\tLeaves the targets"),
        "{printed}"
    );
    assert!(printed.ends_with("\n:4\n"), "{printed}");
    assert!(complete(&["status", "--kubec"]).starts_with("--kubeconfig\t"));
    program(&["completions"]).is_misused("<SHELL>");
}

#[test]
fn completions_are_of_the_name_by_which_it_is_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let plugin = folder.path().join("kubectl-ipb");
    std::os::unix::fs::symlink(PROGRAM, &plugin).expect("linked");
    let output = Output::of(Command::new(&plugin).args(["completions", "bash"]), "");
    let script = output.ok();
    assert!(script.contains("-o default kubectl-ipb"));
    let printed = program(&["completions", "bash"]).ends_with(0);
    assert!(printed.contains("-o default inference-profile-operator"));
}

#[test]
fn the_region_of_the_profile_counts_last() {
    let home = tempfile::tempdir().expect("a folder");
    fs::create_dir(home.path().join(".aws")).expect("made");
    let config = "[default]\nregion = eu-west-1\n[profile us]\nregion = us-east-1\n[profile odd]\nregion = europe\n";
    fs::write(home.path().join(".aws/config"), config).expect("written");
    let home = home.path().to_str().expect("a path");
    let explain = |environment: &[(&str, &str)], more: &[&str]| {
        let environment = [&[("HOME", home)], environment].concat();
        let all = [
            &["explain", "amazon.nova-lite-v1:0", "--geography", "eu"],
            more,
        ]
        .concat();
        program_in(&environment, "", &all)
    };
    for (environment, more, region) in [
        (&[][..], &[][..], "eu-west-1"),
        (&[("AWS_PROFILE", "us")], &[], "us-east-1"),
        (&[("AWS_REGION", "eu-west-3")], &[], "eu-west-3"),
        (
            &[("AWS_REGION", "eu-west-3")],
            &["--region", "eu-north-1"],
            "eu-north-1",
        ),
    ] {
        let output = explain(environment, more);
        let line = format!("Source region:  {region}\n");
        assert!(output.stdout.contains(&line), "{output:#?}");
    }
    explain(&[("AWS_PROFILE", "odd")], &[]).fails_with(2, "region of the AWS profile odd: ");
    explain(&[("AWS_PROFILE", "none")], &[]).fails_with(2, "no source region");
}

/// Help is what people read first.
#[test]
fn every_command_shows_examples() {
    for command in [
        &["render"][..],
        &["preview"],
        &["explain"],
        &["evidence"],
        &["scan"],
        &["iam-policy"],
        &["doctor"],
        &["status"],
        &["refresh"],
        &["suspend"],
        &["resume"],
        &["catalog", "list"],
        &["catalog", "matrix"],
        &["catalog", "lifecycle"],
        &["catalog", "export"],
        &["completions"],
        &["crd"],
        &["run"],
    ] {
        let help = program(&[command, &["--help"]].concat()).ends_with(0);
        assert!(help.contains("Example"), "{command:?}: {help}");
    }
}
