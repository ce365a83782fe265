//! `dev/controlplane/build`: what it builds, and what it finds built, with a Go that compiles nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// Notes the packages that it is to build, and leaves an empty file for each.
const GO: &str = r#"#!/bin/sh
case $1 in
  list) echo a; echo b ;;
  build)
    shift
    for argument; do
      case $argument in
        */v3) echo etcd; touch "$folder/server" ;;
        k8s.io/*) echo "${argument##*/}"; touch "$folder/${argument##*/}" ;;
        /*) folder=$argument ;;
      esac
    done >> "$NOTES"
    [ ! -e "$FAILS" ] || { echo 'no space left on device' >&2; exit 1; }
    ;;
esac
"#;

/// A project with nothing but the script, and a PATH with a Go and, where asked for, a kubectl of its own.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let project = Self { folder };
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("dev/controlplane");
        let there = project.path("dev/controlplane");
        fs::create_dir_all(&there).expect("made");
        for file in ["build", "go.mod", "go.sum"] {
            fs::copy(here.join(file), there.join(file)).expect("copied");
        }
        fs::create_dir(project.path("bin")).expect("made");
        project.program("go", GO);
        // One that tells no version is taken by none, whatever this machine has.
        project.program("kubectl", "#!/bin/sh\n");
        project
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn has_kubectl(&self, version: &str) {
        let text = format!(
            "#!/bin/sh\necho '{{\"clientVersion\": {{\n    \"gitVersion\": \"{version}\"}}}}'\n"
        );
        self.program("kubectl", &text);
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").expect("a PATH");
        Command::new(self.path("dev/controlplane/build"))
            .args(arguments)
            .env(
                "PATH",
                format!("{}:{path}", self.path("bin").to_str().expect("UTF-8")),
            )
            .env("NOTES", self.path("notes"))
            .env("FAILS", self.path("fails"))
            .env_remove("KUBEBUILDER_ASSETS")
            .output()
            .expect("it can be run")
    }

    /// Returns what one call builds, and asserts that it prints the folder and leaves there what the pins say.
    #[track_caller]
    fn builds(&self, arguments: &[&str]) -> Vec<String> {
        let _ = fs::remove_file(self.path("notes"));
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:#?}");
        let out = PathBuf::from(String::from_utf8(output.stdout).expect("UTF-8").trim());
        let mut there: Vec<_> = fs::read_dir(&out)
            .expect("the folder that is printed")
            .map(|entry| entry.expect("an entry"))
            .filter(|entry| entry.path().is_file() && entry.file_name() != "pins")
            .map(|entry| entry.file_name().into_string().expect("UTF-8"))
            .collect();
        let pins = fs::read_to_string(out.join("pins")).expect("pins");
        let mut listed: Vec<_> = pins.lines().skip(1).map(str::to_owned).collect();
        there.sort();
        listed.sort();
        assert_eq!(there, listed);
        let mut built: Vec<String> = fs::read_to_string(self.path("notes"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        built.sort();
        built
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn tests_build_what_the_demo_left_out() {
    let project = Project::new();
    assert_eq!(
        project.builds(&["--demo"]),
        ["etcd", "kube-apiserver", "kubectl"]
    );
    assert_eq!(project.builds(&["--demo"]), NOTHING);
    assert_eq!(project.builds(&[]), ["kube-controller-manager"]);
    assert_eq!(project.builds(&["--node"]), ["kube-scheduler", "kubelet"]);
    for arguments in [&["--node"][..], &["--demo"], &[]] {
        assert_eq!(project.builds(arguments), NOTHING);
    }
}

#[test]
fn another_version_is_built_beside_the_usual_one() {
    let project = Project::new();
    let pins = project.path("dev/controlplane/v1.30");
    fs::create_dir(&pins).expect("made");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("dev/controlplane/v1.30");
    for file in ["go.mod", "go.sum"] {
        fs::copy(here.join(file), pins.join(file)).expect("copied");
    }
    let all = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
    ];
    assert_eq!(project.builds(&["--version", "1.30"]), all);
    assert_eq!(project.builds(&["--version", "1.30"]), NOTHING);
    assert_eq!(project.builds(&[]), all);
    assert_eq!(project.builds(&["--version", "1.30"]), NOTHING);
    let unknown = project.run(&["--version", "1.29"]);
    assert_eq!(unknown.status.code(), Some(64), "{unknown:#?}");
    let said = String::from_utf8(unknown.stderr).expect("UTF-8");
    assert!(
        said.contains("dev/controlplane/v1.29/go.mod is missing"),
        "{said}"
    );
}

/// Kubernetes' version skew policy: kubectl is within one minor version of kube-apiserver.
#[test]
fn the_demo_takes_a_kubectl_of_a_version_that_fits() {
    let pins = include_str!("../../dev/controlplane/go.mod");
    let pinned: u32 = pins
        .split("k8s.io/kubernetes v1.")
        .nth(1)
        .and_then(|rest| rest.split('.').next())
        .and_then(|minor| minor.parse().ok())
        .expect("the pinned version");
    for (minor, rest, fits) in [
        (pinned - 2, ".9", false),
        (pinned - 1, ".0-eks-1234567", true),
        (pinned, ".2", true),
        (pinned + 1, ".0-rc.1", true),
        (pinned + 2, ".0", false),
    ] {
        let project = Project::new();
        let version = format!("v1.{minor}{rest}");
        project.has_kubectl(&version);
        let built = project.builds(&["--demo"]);
        assert_eq!(!built.contains(&"kubectl".to_owned()), fits, "{version}");
        let rest = project.builds(&[]);
        assert_eq!(
            rest.contains(&"kubectl".to_owned()),
            fits,
            "{version}: tests use the pinned one"
        );
    }
}

#[test]
fn other_pins_build_everything_anew() {
    let project = Project::new();
    project.builds(&["--node"]);
    let sums = project.path("dev/controlplane/go.sum");
    let changed = fs::read_to_string(&sums).expect("sums") + "\n";
    fs::write(&sums, changed).expect("written");
    assert_eq!(
        project.builds(&["--demo"]),
        ["etcd", "kube-apiserver", "kubectl"]
    );
}

#[test]
fn what_is_measured_is_built_apart() {
    let project = Project::new();
    project.builds(&[]);
    let all = [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
    ];
    assert_eq!(project.builds(&["--optimized"]), all);
    assert_eq!(project.builds(&["--optimized"]), NOTHING);
    assert_eq!(project.builds(&[]), NOTHING);
}

#[test]
fn a_build_that_fails_leaves_nothing() {
    let project = Project::new();
    fs::write(project.path("fails"), "").expect("written");
    let output = project.run(&["--demo"]);
    assert_eq!(output.status.code(), Some(1), "{output:#?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no space left on device"), "{told}");
    let left: Vec<_> = fs::read_dir(project.path(".controlplane"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["pins"]);
    fs::remove_file(project.path("fails")).expect("removed");
    assert_eq!(
        project.builds(&["--demo"]),
        ["etcd", "kube-apiserver", "kubectl"]
    );
}
