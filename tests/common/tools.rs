//! The tools that `make tools` puts into `.tools/`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Returns where a tool is, if it is there. Says so where it isn't, past the capture of test output, and fails where
/// `REQUIRE_TOOLS` is 1.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".tools")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{name} is not in .tools/: make tools"));
    None
}

/// Says that something is skipped and why, past the capture of test output, and fails where `REQUIRE_TOOLS` is 1.
pub fn skipped(why: &str) {
    let message = format!("SKIPPED: {why}");
    assert!(
        std::env::var("REQUIRE_TOOLS").as_deref() != Ok("1"),
        "{message}"
    );
    writeln!(std::io::stderr(), "{message}").expect("stderr");
}
