//! Reading of manifests.

use super::*;

const BINDING: &str = "apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: chat}
spec: {model: anthropic.claude-sonnet-4-5-20250929-v1:0, geography: eu, sourceRegion: eu-west-1}
";

fn reader(limits: Limits) -> Reader<'static> {
    Reader::new(Reading("render"), "default", None, limits).expect("a reader")
}

fn read(text: &str) -> Result<Input, Problems> {
    let mut reader = reader(LIMITS);
    reader.text("a.yaml", text);
    reader.finish()
}

#[track_caller]
fn refused(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problems) => problems.to_string(),
    }
}

fn names(input: &Input) -> Vec<String> {
    let keys = input.bindings.iter();
    keys.map(|given| given.binding.key.to_string()).collect()
}

fn named(name: &str) -> String {
    BINDING.replace("chat", name)
}

/// Returns a manifest as an item of a list.
fn item(manifest: &str) -> String {
    format!("- {}", manifest.trim_end().replace('\n', "\n  "))
}

#[test]
fn lists_are_unpacked() {
    let two = format!("{}\n{}", item(&named("a")), item(&named("b")));
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{two}");
    assert_eq!(
        names(&read(&list).expect("fine")),
        ["default/a", "default/b"]
    );
    let nested = format!("apiVersion: v1\nkind: List\nitems:\n{}", item(&list));
    assert_eq!(
        names(&read(&nested).expect("fine")),
        ["default/a", "default/b"]
    );
    // The list of a kind, whose items may leave out what they are.
    let own = format!(
        "apiVersion: inferenceprofiles.dev/v1alpha1\nkind: InferenceProfileBindingList\nmetadata: {{}}\nitems:\n- {}",
        BINDING
            .split_once("Binding\n")
            .expect("two parts")
            .1
            .trim_end()
            .replace('\n', "\n  ")
    );
    assert_eq!(names(&read(&own).expect("fine")), ["default/chat"]);
    let limits = format!(
        "{BINDING}---\napiVersion: v1\nkind: NamespaceList\nitems:\n- metadata: {{name: shop, annotations: {{inferenceprofiles.dev/allowed-regions: '@eu'}}}}\n"
    );
    let input = read(&limits).expect("fine");
    assert!(matches!(input.limit_of("shop"), NamespaceLimit::Set(_)));
    assert!(matches!(input.limit_of("other"), NamespaceLimit::Unset));
    let wrong = format!(
        "apiVersion: v1\nkind: List\nitems:\n{two}\n- 1\n{}",
        item(&BINDING.replace("geography", "geografy"))
    );
    assert_eq!(
        refused(&wrong),
        "2 problems:
  a.yaml, document 1, items[2]: not an object: a manifest has apiVersion, kind and metadata
  a.yaml, document 1, items[3]: spec.geografy: unknown field: did you mean geography?"
    );
}

#[test]
fn all_problems_of_all_files_are_told() {
    let mut reader = reader(LIMITS);
    reader.text("a.yaml", "a: [");
    reader.text("b.yaml", &format!("{BINDING}---\n{BINDING}"));
    reader.text(
        "c.yaml",
        &BINDING.replace("geography: eu", "geography: EU, suspend: 1"),
    );
    reader.path(Path::new("/nonexistent"));
    let problems = reader.finish().err().expect("problems").to_string();
    let lines: Vec<&str> = problems.lines().collect();
    for (line, part) in [
        (0, "5 problems:"),
        (1, "a.yaml, document 1, line 1, column 4: unclosed bracket"),
        (
            2,
            "b.yaml, document 2: the binding default/chat is given twice: the first is in b.yaml, document 1",
        ),
        (
            3,
            "c.yaml, document 1: spec.geography: Invalid value: \"EU\": not a geography",
        ),
        (
            4,
            "c.yaml, document 1: spec.suspend: Invalid value: 1: must be of type boolean",
        ),
        (5, "/nonexistent can't be read: No such file"),
    ] {
        assert!(lines[line].contains(part), "{part:?} in {problems}");
    }
}

#[test]
fn bindings_of_the_same_name_are_found_in_other_files_and_by_the_namespace_given() {
    let mut reader = reader(LIMITS);
    reader.text("a.yaml", BINDING);
    reader.text(
        "b.yaml",
        &BINDING.replace("name: chat", "name: chat, namespace: shop"),
    );
    reader.text(
        "c.yaml",
        &BINDING.replace("name: chat", "name: chat, namespace: default"),
    );
    let problems = reader.finish().err().expect("problems").to_string();
    assert_eq!(
        problems,
        "c.yaml, document 1: the binding default/chat is given twice: the first is in a.yaml, document 1"
    );
}

#[test]
fn what_is_of_our_group_must_be_known() {
    for (from, to, message) in [
        (
            "v1alpha1",
            "v1",
            "apiVersion: \"inferenceprofiles.dev/v1\" is not available: use inferenceprofiles.dev/v1alpha1",
        ),
        (
            "profiles.dev",
            "profile.dev",
            "apiVersion: \"inferenceprofile.dev/v1alpha1\" is not available: use inferenceprofiles.dev/v1alpha1",
        ),
        (
            "ProfileBinding",
            "ProfileBindings",
            "kind: \"InferenceProfileBindings\" is not a kind of inferenceprofiles.dev/v1alpha1: use InferenceProfileBinding or InferenceProfileClass",
        ),
        (
            "kind: InferenceProfileBinding\n",
            "",
            "kind: Required value: every manifest has apiVersion and kind",
        ),
    ] {
        assert_eq!(
            refused(&BINDING.replace(from, to)),
            format!("a.yaml, document 1: {message}")
        );
    }
}

#[test]
fn a_status_is_dropped() {
    let input = read(&format!("{BINDING}status: {{observedGeneration: x}}\n")).expect("fine");
    assert_eq!(input.bindings[0].wire.status, None);
    assert_eq!(
        refused(&format!("{BINDING}status: {{observed: 1}}\n")),
        "a.yaml, document 1: status.observed: unknown field: known here: binding, conditions, limitedBy, missingWorkloads, modelLifecycle, modelNames, models, observedGeneration, profile, servedOutsideLimits, targets"
    );
}

#[test]
fn templates_are_recognised() {
    let template = BINDING.replace("geography: eu", "geography: {{ .Values.geography }}");
    assert_eq!(
        refused(&format!("{template}---\n{template}")),
        "a.yaml, document 1: a Helm template that is not rendered: it has \"{{ .Values.geography }}\"; run `helm template RELEASE CHART | inference-profile-operator render -f -`"
    );
    let quoted = BINDING.replace("geography: eu", "geography: '{{ .Values.geography }}'");
    assert!(refused(&quoted).contains("a Helm template"));
    // A template of a target is Jinja, and text that is quoted may hold anything.
    let jinja = BINDING.replace(
        "sourceRegion",
        "targets: [{kind: ConfigMap, name: a, templates: {f: '{{ profile.id }} {{ .Values }}'}}], sourceRegion",
    );
    assert!(read(&jinja).is_ok());
}

/// Returns the first line of what is said of a path, with the folder as F.
fn said_of(folder: &Path, path: &Path) -> String {
    let mut reader = reader(LIMITS);
    reader.path(path);
    let problems = reader.finish().err().expect("problems").to_string();
    problems.replace(&folder.display().to_string(), "F")
}

#[test]
fn folders_that_have_to_be_built_are_recognised() {
    const BUILD: &str =
        "which has to be built: run `kubectl kustomize F | inference-profile-operator render -f -`";
    const RENDER: &str = "which has to be rendered: run `helm template RELEASE F | inference-profile-operator render -f -`";
    for (file, what) in [
        ("kustomization.yaml", format!("a kustomization, {BUILD}")),
        ("Kustomization", format!("a kustomization, {BUILD}")),
        ("Chart.yaml", format!("a Helm chart, {RENDER}")),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::write(folder.join("a.yaml"), "a: [").expect("written");
        std::fs::write(folder.join(file), "").expect("written");
        assert_eq!(said_of(folder, folder), format!("F is {what}"));
        let file = folder.join(file);
        let name = file
            .display()
            .to_string()
            .replace(&folder.display().to_string(), "F");
        assert_eq!(said_of(folder, &file), format!("{name} is {what}"));
    }
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Component\n";
    assert!(refused(kustomization).contains("`kubectl kustomize . |"));
    let by_its_fields = "resources: [a.yaml]\nnamespace: x\n";
    assert!(
        refused(by_its_fields)
            .contains("a kustomization, which has to be built: run `kubectl kustomize . |")
    );
}

#[test]
fn files_of_a_chart_lead_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    std::fs::create_dir(folder.join("templates")).expect("a folder");
    for (file, text, what) in [
        ("Chart.yaml", "", None),
        (
            "values.yaml",
            "geography: eu\n",
            Some("values of a Helm chart, not a manifest"),
        ),
        (
            "templates/binding.yaml",
            "{{- if .Values.a }}\nb: c\n{{- end }}\n",
            Some("a Helm template that is not rendered: it has \"{{- if .Values.a }}\""),
        ),
    ] {
        std::fs::write(folder.join(file), text).expect("written");
        let Some(what) = what else { continue };
        let separator = if what.contains("template") {
            "; "
        } else {
            ": "
        };
        assert_eq!(
            said_of(folder, &folder.join(file)),
            format!(
                "F/{file}, document 1: {what}{separator}run `helm template RELEASE F | inference-profile-operator render -f -`"
            )
        );
    }
}

#[test]
fn what_is_no_manifest_is_recognised() {
    let flow = "{apiVersion: inferenceprofiles.dev/v1alpha1, kind: InferenceProfileBinding, metadata: {name: a}, spec: {geography: GEO}}";
    let piped = "inference-profile-operator render -f -`";
    for (text, message) in [
        (
            BINDING.replace("geography: eu", "geography: '${GEO}'"),
            format!(
                ": spec.geography: the variable ${{GEO}} is not replaced by its value: run `envsubst < a.yaml | {piped} (with Flux, `flux envsubst`)"
            ),
        ),
        (
            BINDING.replace("chat", "chat-$ENV"),
            format!(
                ": metadata.name: the variable $ENV is not replaced by its value: run `envsubst < a.yaml | {piped} (with Flux, `flux envsubst`)"
            ),
        ),
        (
            BINDING.replace("chat", "<NAME>"),
            ": metadata.name: the placeholder <NAME> is not replaced by a value: render the file with the tool that it is written for".to_owned(),
        ),
        // A variable elsewhere is not at fault.
        (
            BINDING.replace("name: chat", "name: chat, annotations: {a: '${A}'}").replace("geography: eu", "geography: EU"),
            ": spec.geography: Invalid value: \"EU\": not a geography: expected the prefix of a profile ID, such as us, eu, apac, jp or global".to_owned(),
        ),
        (
            flow.replace("GEO", "${GEO}"),
            format!("; the variable ${{GEO}} is not replaced by its value: run `envsubst < a.yaml | {piped} (with Flux, `flux envsubst`)"),
        ),
        (
            flow.replace("GEO", "{{ geo }}"),
            "; the placeholder {{ geo }} is not replaced by a value: render the file with the tool that it is written for".to_owned(),
        ),
        (
            format!("# a\n---\n{}", BINDING.replace("spec: {", "spec:\n\t{")),
            ", line 7: it is indented by a tab: YAML allows spaces only".to_owned(),
        ),
        (
            "{\"kind\": \"A\"}\n{\"kind\": \"B\"}\n".to_owned(),
            ", line 2: a second JSON object begins here: put a line --- before it, or both into the items of a List".to_owned(),
        ),
        (
            "[{\"kind\": \"A\"}]".to_owned(),
            ": a list, not an object: put a line --- before each item, or all into the items of a List".to_owned(),
        ),
        (
            format!("<<<<<<< HEAD\n{BINDING}=======\n>>>>>>> b\n"),
            ", line 1: a merge conflict is not resolved: keep one side".to_owned(),
        ),
        (
            "apiVersion: v2\nname: a\nversion: 0.1.0\n".to_owned(),
            format!(": the description of a Helm chart, which has to be rendered: run `helm template RELEASE . | {piped}"),
        ),
    ] {
        let said = refused(&text);
        assert!(
            said.starts_with("a.yaml, document 1") && said.ends_with(&message) && said.lines().count() == 1,
            "{message:?} is not in {said:?}"
        );
    }
    // Trailing commas are YAML, and a byte order mark is none of its characters.
    assert!(read(&BINDING.replace("eu-west-1}", "eu-west-1, }")).is_ok());
    assert!(read(&format!("\u{feff}{BINDING}")).is_ok());
}

#[test]
fn names_are_printed_without_control_characters() {
    let mut reader = reader(LIMITS);
    reader.text("a\u{1b}[31m\n.yaml", "kind: \"\\e[31mx\"\napiVersion: v1\n");
    let problems = reader.finish().err().expect("problems").to_string();
    assert!(
        problems.contains("a\\u{1b}[31m\\n.yaml holds \\u{1b}[31mx;"),
        "{problems}"
    );
    assert!(!problems.contains(char::is_control), "{problems:?}");
}

#[test]
fn what_was_read_is_named_where_there_is_no_binding() {
    const WANTED: &str = "give a manifest of apiVersion inferenceprofiles.dev/v1alpha1 and kind InferenceProfileBinding";
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut all = reader(LIMITS);
    all.text("a.yaml", "");
    all.text(
        "b.yaml",
        "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: Service\n",
    );
    all.path(folder);
    for name in ["c.yaml", "d.yaml"] {
        all.text(name, "# nothing\n---\n");
    }
    for name in ["e.yaml", "f.yaml"] {
        all.text(name, " \n");
    }
    assert_eq!(
        all.finish().err().expect("problems").to_string(),
        format!(
            "no InferenceProfileBinding was found: a.yaml is empty; b.yaml holds Deployment, Service; {} has no *.yaml, *.yml or *.json files; c.yaml has nothing but comments; d.yaml has nothing but comments; and 2 more; {WANTED}",
            folder.display()
        )
    );
    assert_eq!(
        refused("apiVersion: v1\nkind: List\nitems: []\n"),
        format!("no InferenceProfileBinding was found: a.yaml has an empty List; {WANTED}")
    );
    for (group, kind, command) in [
        (
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            "flux build kustomization NAME --path DIR",
        ),
        (
            "helm.toolkit.fluxcd.io/v2",
            "HelmRelease",
            "helm template RELEASE CHART -f VALUES",
        ),
        (
            "argoproj.io/v1alpha1",
            "Application",
            "argocd app manifests NAME",
        ),
    ] {
        assert_eq!(
            refused(&format!("apiVersion: {group}\nkind: {kind}\n")),
            format!(
                "no InferenceProfileBinding was found: a.yaml holds {kind}; run `{command} | inference-profile-operator render -f -`"
            )
        );
    }
    for inner in ["a", "b", "c", "d"] {
        std::fs::create_dir(folder.join(inner)).expect("a folder");
    }
    assert_eq!(
        said_of(folder, folder),
        format!(
            "no InferenceProfileBinding was found: F has no *.yaml, *.yml or *.json files, and folders in it are not read: give them, too: F/a, F/b, F/c and 1 more; {WANTED}"
        )
    );
}

#[test]
fn files_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.yaml");
    let size = BINDING.len() as u64;
    std::fs::write(&path, BINDING).expect("written");
    for (file, fits) in [(size, true), (size - 1, false)] {
        let mut reader = reader(Limits { file, ..LIMITS });
        reader.path(&path);
        let outcome = reader.finish().map(|input| input.bindings.len());
        let expected = format!("{} has more than {file} bytes: split it", path.display());
        match outcome {
            Ok(bindings) => assert!(fits && bindings == 1),
            Err(problems) => assert_eq!((problems.to_string(), fits), (expected, false)),
        }
    }
    std::fs::write(&path, b"a: \xff").expect("written");
    let mut reader = reader(LIMITS);
    reader.path(&path);
    let problems = reader.finish().err().expect("problems").to_string();
    assert!(
        problems.contains("a.yaml is not UTF-8 text: see byte 3, in line 1; "),
        "{problems}"
    );
}

#[test]
fn documents_and_items_are_bounded() {
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}", item(BINDING));
    for (text, objects) in [
        (format!("{}---\n{}", named("a"), named("b")), 2),
        (list, 2),
        ("---\n".repeat(3) + BINDING, 3),
    ] {
        for (most, fits) in [(objects, true), (objects - 1, false)] {
            let mut reader = reader(Limits {
                objects: most,
                ..LIMITS
            });
            reader.text("a.yaml", &text);
            reader.text("b.yaml", "");
            let problems = reader.finish().err().map(|problems| problems.to_string());
            let expected = format!("more than {most} objects: split the input");
            assert_eq!(problems.is_none(), fits, "{text}: {problems:?}");
            assert!(problems.is_none_or(|problems| problems.ends_with(&expected)));
        }
    }
}

#[test]
fn the_number_of_problems_told_is_bounded() {
    let fields: Vec<String> = (0..1000).map(|index| format!(", f{index}: 1")).collect();
    let wrong = BINDING.replace(", sourceRegion: eu-west-1", &fields.concat());
    let mut reader = reader(LIMITS);
    for _ in 0..3 {
        reader.text("a.yaml", &wrong);
    }
    let problems = reader.finish().err().expect("problems").to_string();
    assert!(problems.starts_with("3000 problems:\n"), "{problems}");
    assert!(problems.ends_with("and 2980 more"), "{problems}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                BINDING, "---\n", "\n", "\t", " ", "- ", "a: ", "${a}", "<a>", "&a ", "*a", "<<: ", "{", "}", "[", "]", "{{ .a }}", "|\n", "'",
                "\"", "#", "!!str ", "~", "ä", "\u{feff}", "kind: List\n", "items:\n", "spec:\n", "metadata:\n",
            ]),
            0..30,
        ),
    ) {
        let (text, problems) = (parts.concat(), read(&parts.concat()));
        if let Err(problems) = problems {
            let problems = problems.to_string();
            proptest::prop_assert!(problems.lines().count() <= 22, "{text:?}: {problems}");
        }
    }
}

#[test]
fn folders_that_are_passed_over_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let binding = "apiVersion: inferenceprofiles.dev/v1alpha1\nkind: InferenceProfileBinding\nmetadata: {name: a}\nspec: {model: a.b, geography: eu}\n";
    std::fs::write(folder.join("a.yaml"), binding).expect("written");
    let remarks = || {
        let region = "eu-west-1".parse().expect("a region");
        let input = Input::read("render", &[folder.to_owned()], "x", Some(&region));
        input.expect("a binding").remarks
    };
    std::fs::create_dir(folder.join("empty")).expect("a folder");
    assert_eq!(remarks(), [""; 0]);
    for team in ["one", "two"] {
        std::fs::create_dir(folder.join(team)).expect("a folder");
        std::fs::write(folder.join(team).join("b.yml"), binding).expect("written");
    }
    let expected = "F: folders in it are not read: give them, too, by -f: F/one, F/two";
    let name = folder.display().to_string();
    assert_eq!(remarks(), [expected.replace('F', &name)]);
}
