//! Reading of manifests.

use super::*;

const BINDING: &str = "apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: chat}
spec: {model: anthropic.claude-sonnet-4-5-20250929-v1:0, geography: eu, sourceRegion: eu-west-1}
";

fn reader(limits: Limits) -> Reader<'static> {
    Reader::new("default", None, limits).expect("a reader")
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
            "kind: \"InferenceProfileBindings\" is not a kind of inferenceprofiles.dev/v1alpha1: use InferenceProfileBinding",
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
        "a.yaml, document 1: status.observed: unknown field: known here: binding, conditions, missingWorkloads, modelLifecycle, observedGeneration, profile, targets"
    );
}

#[test]
fn templates_are_recognised() {
    let template = BINDING.replace("geography: eu", "geography: {{ .Values.geography }}");
    assert_eq!(
        refused(&format!("{template}---\n{template}")),
        "a.yaml, document 1: a Helm template that is not rendered: it has \"{{ .Values.geography }}\"; `helm template CHART` prints the manifests, and `-f -` reads them"
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

#[test]
fn folders_that_have_to_be_built_are_recognised() {
    for (file, command) in [
        ("kustomization.yaml", "kubectl kustomize"),
        ("Chart.yaml", "helm template"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.yaml"), "a: [").expect("written");
        std::fs::write(folder.path().join(file), "").expect("written");
        let mut reader = reader(LIMITS);
        reader.path(folder.path());
        let problems = reader.finish().err().expect("problems").to_string();
        let expected = format!("`{command} {}`", folder.path().display());
        assert!(problems.contains(&expected), "{problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Component\n";
    assert!(refused(kustomization).contains("`kubectl kustomize DIR`"));
}

#[test]
fn what_was_read_is_named_where_there_is_no_binding() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut reader = reader(LIMITS);
    reader.text("a.yaml", "");
    reader.text(
        "b.yaml",
        "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: Service\n",
    );
    reader.path(folder.path());
    for name in ["c.yaml", "d.yaml", "e.yaml", "f.yaml"] {
        reader.text(name, "# nothing\n");
    }
    assert_eq!(
        reader.finish().err().expect("problems").to_string(),
        format!(
            "no InferenceProfileBinding was found: a.yaml is empty; b.yaml holds Deployment, Service; {} has no *.yaml, *.yml or *.json files; c.yaml is empty; d.yaml is empty; and 2 more",
            folder.path().display()
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
        problems.ends_with("a.yaml is not UTF-8 text: see byte 3"),
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
                BINDING, "---\n", "\n", "\t", " ", "- ", "a: ", "&a ", "*a", "<<: ", "{", "}", "[", "]", "{{ .a }}", "|\n", "'",
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
