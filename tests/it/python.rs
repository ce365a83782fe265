//! The Python that tests run programs with.

use std::{io::Write, process::Command};

use crate::common::tools::skipped;

/// Returns the Python that `IPO_TEST_PYTHON` names, or `python3`. Says so where there is none.
pub fn any() -> Option<Command> {
    let interpreter = interpreter();
    let found = Command::new(&interpreter).arg("--version").output();
    if found.is_ok_and(|found| found.status.success()) {
        return Some(Command::new(interpreter));
    }
    skipped(&format!("there is no {interpreter}"));
    None
}

fn interpreter() -> String {
    std::env::var("IPO_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// Returns the Python that `IPO_TEST_PYTHON` names, if it has boto3; `pip install -r tests/requirements.txt` gives it.
/// Says so where it hasn't, past the capture of test output, and fails where `REQUIRE_BOTO3` is 1.
pub fn with_boto3() -> Option<Command> {
    with_packages(&["boto3"])
}

/// As [`with_boto3`], with other packages of tests/requirements.txt.
pub fn with_packages(packages: &[&str]) -> Option<Command> {
    let interpreter = interpreter();
    let packages = packages.join(" ");
    // They are looked for and not imported, which takes seconds with some.
    let script = "import sys; from importlib.util import find_spec; print(sys.executable) if all(map(find_spec, sys.argv[1].split())) else sys.exit(1)";
    let found = Command::new(&interpreter)
        .args(["-c", script, &packages])
        .output();
    // By its path: a test may clear the environment, and PATH with it.
    if let Ok(found) = found
        && found.status.success()
    {
        let path = String::from_utf8(found.stdout).expect("UTF-8");
        return Some(Command::new(path.trim_end()));
    }
    let message =
        format!("SKIPPED: {interpreter} lacks {packages}: pip install -r tests/requirements.txt");
    assert!(
        std::env::var("REQUIRE_BOTO3").as_deref() != Ok("1"),
        "{message}"
    );
    writeln!(std::io::stderr(), "{message}").expect("stderr");
    None
}
