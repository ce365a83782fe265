//! The tools that `tests/tools/build` builds into `.tools/`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Returns where a tool is, if it is built. Says so where it isn't, past the capture of test output, and fails where
/// `REQUIRE_TOOLS` is 1.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".tools")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    let message = format!("SKIPPED: {name} is not built: tests/tools/build {name}");
    assert!(
        std::env::var("REQUIRE_TOOLS").as_deref() != Ok("1"),
        "{message}"
    );
    writeln!(std::io::stderr(), "{message}").expect("stderr");
    None
}
