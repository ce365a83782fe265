//! Every command of the documents is run, or it stands below why it is not.
//!
//! Run here is what needs the program and Helm alone: in a folder with the examples, the chart, and the files that the page shows.
//! Where a page shows what a command prints, that is what it prints.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    common::{
        program::{Output, PROGRAM},
        tools::tool,
    },
    docs::{documents, text},
    python,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const AWS: &str = "needs an AWS account";
const CLUSTER: &str = "needs a cluster";
const CONTAINERS: &str = "needs a container engine";
const RELEASE: &str = "makes or verifies a release: needs a registry and signing keys";
const HOURS: &str = "measures, for minutes to hours";
const FROM_THE_PAGE: &str = "tests/e2e/getting-started runs it, on a real node";
const READERS_FILES: &str = "needs files of the reader's";

/// Commands that are not run here: the document, `*` for each; how they begin; and why.
///
/// Of these, what the program is asked must still be something that it knows, and a target of make must exist.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("*", "aws ", AWS),
    ("*", "docker ", CONTAINERS),
    ("*", "make", "does what its help says; CI runs `make test`"),
    (
        "*",
        "inference-profile-operator served-regions --cloudtrail ",
        AWS,
    ),
    (
        "*",
        "inference-profile-operator served-regions --log-group ",
        AWS,
    ),
    ("*", "kubectl ipb doctor", CLUSTER),
    ("*", "kubectl ipb preview ", CLUSTER),
    ("*", "kubectl ipb refresh ", CLUSTER),
    ("*", "kubectl ipb resume ", CLUSTER),
    ("*", "kubectl ipb status ", CLUSTER),
    ("*", "kubectl ipb suspend ", CLUSTER),
    ("*", "kubectl ipb scan ", CLUSTER),
    ("*", "kubectl ipb evidence ", CLUSTER),
    ("*", "inference-profile-operator evidence ", CLUSTER),
    ("*", "kind ", "needs kind, and so a container engine"),
    (
        "README.md",
        "kubectl get ipb",
        "tests/e2e/run does it, on a real node",
    ),
    (
        "README.md",
        "helm install ",
        "needs a registry with the image",
    ),
    (
        "charts/inference-profile-operator/README.md",
        "helm install ",
        "tests/e2e/run does it, on a real node",
    ),
    (
        "docs/admission.md",
        "kubectl ",
        "tests/apiserver/admission.rs has the policies refuse",
    ),
    ("docs/api.md", "kubectl ", CLUSTER),
    ("docs/aws.md", "inference-profile-operator run ", CLUSTER),
    ("docs/catalog.md", "kubectl annotate ", CLUSTER),
    (
        "docs/classes.md",
        "kubectl get ",
        "tests/e2e/run does it, on a real node",
    ),
    ("docs/cli.md", "cargo build ", "builds the program"),
    (
        "docs/cli.md",
        "install -D ",
        "writes into the reader's folder",
    ),
    ("docs/cli.md", "helm template RELEASE ", READERS_FILES),
    (
        "docs/cli.md",
        "inference-profile-operator completions ",
        "writes into the reader's shell",
    ),
    (
        "docs/cli.md",
        "kubectl-ipb completions ",
        "writes into the reader's shell",
    ),
    ("docs/cli.md", "kubectl -n ", CLUSTER),
    ("docs/cli.md", "kubectl kustomize ", READERS_FILES),
    ("docs/cli.md", "envsubst ", READERS_FILES),
    (
        "docs/conditions.md",
        "kubectl wait ",
        "tests/e2e/getting-started does it, on a real node",
    ),
    ("docs/development.md", "cargo test ", "is this"),
    (
        "docs/development.md",
        "dev/controlplane/with ",
        "opens a shell; the cases of tests/apiserver run beside it",
    ),
    (
        "docs/getting-started.md",
        "cargo run -q -- iam-policy --operator --account 111122223333 --trust pod-identity | jq ",
        "needs jq",
    ),
    ("docs/getting-started.md", "cat trust.json", "needs jq"),
    ("docs/getting-started.md", "helm install ", FROM_THE_PAGE),
    (
        "docs/getting-started.md",
        "helm test ",
        "tests/e2e/run does it, on a real node",
    ),
    ("docs/getting-started.md", "kubectl ", FROM_THE_PAGE),
    ("docs/gitops.md", "kustomize ", READERS_FILES),
    (
        "docs/gitops.md",
        "kubectl patch ",
        "needs a cluster with Argo CD",
    ),
    (
        "docs/guard.md",
        "kubectl ",
        "tests/apiserver/guard.rs has the guard refuse",
    ),
    (
        "docs/how-to/keep-requests-in-the-eu.md",
        "helm upgrade ",
        CLUSTER,
    ),
    (
        "docs/how-to/keep-requests-in-the-eu.md",
        "kubectl annotate ",
        CLUSTER,
    ),
    (
        "docs/how-to/migrate-from-hard-coded-ids.md",
        "kubectl ",
        CLUSTER,
    ),
    ("docs/how-to/upgrade-a-model.md", "kubectl ", CLUSTER),
    (
        "docs/how-to/use-with-litellm-and-claude-code.md",
        "kubectl apply ",
        CLUSTER,
    ),
    ("docs/injection.md", "kubectl describe ", CLUSTER),
    (
        "docs/install.md",
        "helm ",
        "tests/e2e/run does it, on a real node",
    ),
    ("docs/install.md", "kubectl ", CLUSTER),
    ("docs/install.md", "cargo run --locked --release ", CLUSTER),
    ("docs/ownership.md", "kubectl patch ", CLUSTER),
    ("docs/releasing.md", "", RELEASE),
    ("docs/reliability.md", "OUTAGE_", HOURS),
    ("docs/residency.md", "kubectl annotate ", CLUSTER),
    (
        "docs/scan.md",
        "inference-profile-operator scan . -o json | jq ",
        "needs jq",
    ),
    ("docs/several-models.md", "kubectl get ipb", CLUSTER),
    ("docs/several-models.md", "npm pack ", "fetches Claude Code"),
    ("docs/several-models.md", "grep ", "reads that program"),
    ("docs/troubleshooting.md", "kubectl ", CLUSTER),
    ("examples/app/README.md", "kubectl ", CLUSTER),
    (
        "examples/app/README.md",
        "pip install ",
        "tests/it/app.rs runs the program with what it installs",
    ),
    (
        "examples/app/README.md",
        "BEDROCK_INFERENCE_PROFILE_ID=",
        AWS,
    ),
];

/// Commands that end with another code than 0: how they begin, the code, and why.
const CODES: &[(&str, i32, &str)] = &[
    (
        "inference-profile-operator explain anthropic.claude-sonnet-5-5 --geography eu --region eu-west-2 --allowed-regions @eu",
        3,
        "it is not within the limit",
    ),
    (
        "inference-profile-operator scan . --region eu-west-1 --fail-on any",
        3,
        "something is hard-coded",
    ),
    (
        "inference-profile-operator iam-policy -f examples/ --account 111122223333 --scp",
        3,
        "one of the examples is not supported, and left out",
    ),
];

/// A command of a document.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    /// Line of the document, from 0.
    line: usize,
    /// Without the prompt, and with all its lines.
    command: String,
    /// What the document shows that it prints.
    output: Vec<String>,
}

/// Returns the commands of a document: in `sh` blocks every line, in `console` blocks what stands after `$ `.
fn commands(document: &str) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    let (mut language, mut open) = (None, false);
    for (line, content) in document.lines().enumerate() {
        if let Some(fence) = content.trim_start().strip_prefix("```") {
            language = language.is_none().then_some(fence);
            open = false;
            continue;
        }
        let begins = match language {
            Some("console") => content.strip_prefix("$ "),
            Some("sh") if !open => Some(content),
            Some("sh") => None,
            _ => continue,
        };
        match (begins, found.last_mut()) {
            (Some(command), _) if command.trim().is_empty() || command.starts_with('#') => continue,
            (Some(command), _) => found.push(Shown {
                line,
                command: command.to_owned(),
                output: Vec::new(),
            }),
            (None, Some(last)) if open => {
                last.command.push('\n');
                last.command.push_str(content);
            }
            (None, Some(last)) => last.output.push(content.to_owned()),
            (None, None) => continue,
        }
        let command = &found.last().expect("a command").command;
        open = found.last().is_some_and(|last| last.output.is_empty())
            && (command.ends_with('\\')
                || (command.starts_with("for ") && !command.ends_with("\ndone")));
    }
    found
}

#[test]
fn commands_are_found() {
    let document = "\
```sh
# a comment
make demo   # it

for x in a; do
  echo $x
done
```
text
```console
$ one \\
    --more
printed
$ two
```
```yaml
$ three: 3
```
";
    let shown = |line, command: &str, output: &[&str]| Shown {
        line,
        command: command.to_owned(),
        output: output.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(
        commands(document),
        [
            shown(2, "make demo   # it", &[]),
            shown(4, "for x in a; do\n  echo $x\ndone", &[]),
            shown(10, "one \\\n    --more", &["printed"]),
            shown(13, "two", &[]),
        ]
    );
}

/// Returns the path of a document from the root of the project.
fn name(document: &Path) -> String {
    let path: PathBuf = document
        .strip_prefix(ROOT)
        .expect("in the project")
        .components()
        .filter(|part| part.as_os_str() != ".")
        .collect();
    path.display().to_string()
}

/// Returns a command with the program under its own name, however the document calls it.
fn named(command: &str) -> String {
    let name = "inference-profile-operator";
    command
        .replace("cargo run -q --", name)
        .replace("kubectl ipb", name)
        .replace("kubectl-ipb", name)
}

fn begins(document: &str, command: &str, row: &(&str, &str, &str)) -> bool {
    (row.0 == "*" || row.0 == document) && command.starts_with(row.1)
}

/// Returns whether a command needs the program or Helm alone.
fn runnable(command: &str) -> bool {
    named(command).starts_with("inference-profile-operator ")
        || command.starts_with("helm template ")
}

/// Makes the folder that the commands of a document are run in.
fn folder(document: &str) -> tempfile::TempDir {
    const FILES: [(&str, &str); 9] = [
        (
            "namespaces.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
        ),
        (
            // What docs/cli.md shows to be wrong.
            "shop.yaml",
            "\
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: a}
spec: {model: anthropic.claude-sonnet-5-5, geography: eu, allowedregions: ['@eu']}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: inferenceprofiles.dev/v1alpha1
kind: InferenceProfileBinding
metadata: {name: b}
spec: {model: anthropic.claude-sonnet-5-5, geography: eu, targets: [{kind: ConfigMap, name: Chat_Model}]}
",
        ),
        ("applications.json", r#"{"inferenceProfileSummaries": []}"#),
        ("root.json", ALL_ALLOWED),
        ("ou.json", ALL_ALLOWED),
        ("ou2.json", ALL_ALLOWED),
        ("ou-base.json", ALL_ALLOWED),
        ("ou-regions.json", ALL_ALLOWED),
        ("account.json", ALL_ALLOWED),
    ];
    const ALL_ALLOWED: &str = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let project = Path::new(ROOT);
    for part in ["examples", "charts", "crds", "tests/scan"] {
        let into = path.join(part);
        fs::create_dir_all(into.parent().expect("a folder")).expect("made");
        let mut copy = Command::new("cp");
        Output::of(copy.arg("-R").arg(project.join(part)).arg(&into), "").ok();
    }
    for (into, from) in [
        ("bindings", "06-residency-eu.yaml"),
        ("old", "01-smallest.yaml"),
        ("new", "01-smallest.yaml"),
    ] {
        fs::create_dir(path.join(into)).expect("made");
        fs::copy(
            project.join("examples").join(from),
            path.join(into).join(from),
        )
        .expect("copied");
    }
    for (name, content) in FILES {
        fs::write(path.join(name), content).expect("written");
    }
    let classes = text(&project.join("examples/10-class.yaml"));
    let class = classes.split("\n---").next().expect("a class");
    fs::write(path.join("class.yaml"), class).expect("written");
    fs::create_dir(path.join("logs")).expect("made");
    fs::write(path.join("logs/log.json"), log()).expect("written");
    for block in document.split("```yaml\n# ").skip(1) {
        let block = block.split("```").next().expect("a block");
        if let Some((name, content)) = block.split_once('\n')
            && Path::new(name).extension().is_some_and(|end| end == "yaml")
            && !name.contains([' ', '/'])
        {
            fs::write(path.join(name), content).expect("written");
        }
    }
    let programs = path.join(".programs");
    fs::create_dir(&programs).expect("made");
    std::os::unix::fs::symlink(PROGRAM, programs.join("inference-profile-operator"))
        .expect("linked");
    if let Some(helm) = tool("helm") {
        std::os::unix::fs::symlink(helm, programs.join("helm")).expect("linked");
    }
    folder
}

/// Returns an invocation log: what docs/served-regions.md counts.
fn log() -> String {
    const REQUESTS: [(&str, u32, &str); 8] = [
        ("08:01:15", 1050, r#","inferenceRegion":"eu-west-3""#),
        ("08:02:15", 1050, r#","inferenceRegion":"eu-west-1""#),
        ("08:04:15", 1050, r#","inferenceRegion":"eu-west-3""#),
        ("08:05:15", 0, r#","inferenceRegion":"eu-north-1""#),
        ("08:07:15", 1050, r#","inferenceRegion":"eu-west-3""#),
        ("08:08:15", 1050, ""),
        ("08:10:15", 1050, r#","inferenceRegion":"eu-west-3""#),
        ("08:11:15", 1050, r#","inferenceRegion":"eu-west-1""#),
    ];
    let record = |(time, tokens, served): (&str, u32, &str)| {
        format!(
            r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-04-14T{time}Z","accountId":"111122223333","region":"eu-west-1","requestId":"{time}","operation":"Converse","modelId":"eu.anthropic.claude-sonnet-5-5","input":{{"inputTokenCount":{tokens}}},"output":{{"outputTokenCount":0}}{served}}}"#
        )
    };
    REQUESTS.map(record).join("\n")
}

/// Runs a command as a shell does, without AWS, cluster and home.
fn run(command: &str, folder: &Path) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &named(command)])
        .env_clear()
        .env(
            "PATH",
            format!("{}:{path}", folder.join(".programs").display()),
        )
        .env("HOME", folder.join(".home"))
        .current_dir(folder);
    Output::of(&mut shell, "")
}

/// Returns what is wrong with a command that is not run: an option that the program does not know, a target that make does not.
fn unknown(command: &str, folder: &Path) -> Option<String> {
    if let Some(rest) = command.strip_prefix("make ") {
        let makefile = text(&Path::new(ROOT).join("Makefile"));
        let target = rest.split_whitespace().find(|word| !word.contains('='))?;
        let known = makefile
            .lines()
            .any(|line| line.starts_with(&format!("{target}:")));
        return (!known).then(|| format!("the Makefile has no target {target}"));
    }
    let command = named(command);
    if !command.starts_with("inference-profile-operator ") {
        return None;
    }
    let asked = command.split(['|', '>']).next().expect("a command");
    let asked = asked.split(" && ").next().expect("a command");
    let asked = asked.split(" #").next().expect("a command");
    let output = run(&format!("{} --help", asked.trim_end()), folder);
    (output.code != Some(0)).then_some(output.stderr)
}

/// What became of the commands of the documents.
#[derive(Default)]
struct Tally {
    wrong: Vec<String>,
    /// Whether documents are to show what is printed now.
    update: bool,
    run: usize,
    /// Rows of [`NOT_RUN`] and of [`CODES`] that a command has.
    not_run: BTreeSet<usize>,
    codes: BTreeSet<usize>,
}

impl Tally {
    /// Runs a command of a document, or looks why not. Returns what the document is to show in the place of what it shows.
    fn take(&mut self, document: &str, shown: &Shown, folder: &Path) -> Option<Vec<String>> {
        let command = &shown.command;
        let place = format!("{document}, line {}: {command}", shown.line + 1);
        if let Some(row) = NOT_RUN
            .iter()
            .position(|row| begins(document, command, row))
        {
            self.not_run.insert(row);
            let unknown = unknown(command, folder);
            self.wrong
                .extend(unknown.map(|why| format!("{place}\n{why}")));
            return None;
        }
        if !runnable(command) {
            self.wrong.push(format!(
                "{place}\nis neither run nor in NOT_RUN of tests/it/commands.rs"
            ));
            return None;
        }
        if command.starts_with("helm ") && tool("helm").is_none() {
            return None;
        }
        self.run += 1;
        let done = run(command, folder);
        if shown.output.is_empty() {
            let code = CODES
                .iter()
                .position(|row| named(command).starts_with(row.0));
            self.codes.extend(code);
            let expected = code.map_or(0, |row| CODES[row].1);
            if done.code != Some(expected) {
                self.wrong.push(format!(
                    "{place}\nends with {:?}, not {expected}\n{}",
                    done.code, done.stderr
                ));
            }
            return None;
        }
        let printed = if done.stdout.is_empty() {
            done.stderr
        } else {
            done.stdout
        };
        let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
        if printed == shown.output {
            return None;
        }
        if self.update {
            return Some(printed);
        }
        self.wrong.push(format!(
            "{place}\nprints\n{}\nIf that is right: UPDATE_GOLDEN=1 cargo test --test it commands::, and read the diff.",
            printed.join("\n")
        ));
        None
    }
}

#[test]
fn every_command_is_run_or_it_is_said_why_not() {
    let mut tally = Tally {
        update: std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1"),
        ..Tally::default()
    };
    for document in documents() {
        let content = text(&document);
        let shown = commands(&content);
        if shown.is_empty() {
            continue;
        }
        let folder = folder(&content);
        let mut updates = Vec::new();
        for shown in shown {
            if let Some(printed) = tally.take(&name(&document), &shown, folder.path()) {
                updates.push((shown, printed));
            }
        }
        if !updates.is_empty() {
            let mut lines: Vec<String> = content.lines().map(str::to_owned).collect();
            // From the end: what comes before stays where it is.
            for (shown, printed) in updates.into_iter().rev() {
                let first = shown.line + shown.command.lines().count();
                lines.splice(first..first + shown.output.len(), printed);
            }
            fs::write(&document, lines.join("\n") + "\n").expect("written");
        }
    }
    let Tally {
        wrong,
        run,
        not_run,
        codes,
        ..
    } = tally;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(run >= 40, "only {run} commands were run");
    for (number, row) in NOT_RUN.iter().enumerate() {
        assert!(
            not_run.contains(&number),
            "no document has a command of the row {row:?}"
        );
    }
    for (number, row) in CODES.iter().enumerate() {
        assert!(
            codes.contains(&number),
            "no document has a command of the row {row:?}"
        );
    }
}

#[test]
fn a_page_that_shows_something_else_fails() {
    let page = "\
# Page

## Run

```yaml
# file.yaml
a: 1
```

```console
$ skipped
$ cat file.yaml
# file.yaml
a: 1
$ printf 'one\\ntwo\\nthree\\nold 12s\\n'
one
...
old 3m4s
$ kind is not run either
```

## Other
";
    for (page, expected) in [
        (
            page.to_owned(),
            Some("2 commands of 'Run' print what the page shows"),
        ),
        (page.replace("\na: 1\n$", "\na: 2\n$"), None),
        (page.replace("\n...\n", "\n"), None),
        (page.replace("cat file.yaml", "cat other.yaml"), None),
        (page.replace("cat file", "dog file"), None),
    ] {
        let Some(mut python) = python::any() else {
            return;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.md");
        fs::write(&path, &page).expect("written");
        python
            .arg(Path::new(ROOT).join("tests/e2e/page"))
            .arg(&path);
        python.args(["Run", "cat "]).arg(folder.path());
        python.env_remove("UPDATE_GOLDEN");
        let output = Output::of(&mut python, "");
        assert_eq!(
            output.code == Some(0),
            expected.is_some(),
            "{page}\n{output:#?}"
        );
        assert!(
            expected.is_none_or(|text| output.stdout.contains(text)),
            "{output:#?}"
        );
    }
}
