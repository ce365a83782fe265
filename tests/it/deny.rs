//! Which crates the build may have, under which licenses and from where: deny.toml says it, and cargo-deny looks.

use std::{fs, process::Command};

use crate::common::{program::Output, tools::tool};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns how `cargo deny check` ends with this configuration: for all but advisories, which need a database from the network.
fn checked(cargo_deny: &std::path::Path, config: &str) -> Output {
    let mut command = Command::new(cargo_deny);
    command
        .current_dir(ROOT)
        .args(["--offline", "--locked", "--color=never"])
        .args(["--config", config])
        .args(["check", "bans", "licenses", "sources"]);
    Output::of(&mut command, "")
}

#[test]
fn the_build_has_only_what_deny_toml_allows() {
    let Some(cargo_deny) = tool("cargo-deny") else {
        return;
    };
    checked(&cargo_deny, "deny.toml").ok();
}

/// Each of the three checks finds what it is for: a crate that is in the build, a license and a registry.
#[test]
fn what_deny_toml_does_not_allow_is_found() {
    let Some(cargo_deny) = tool("cargo-deny") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deny.toml");
    let config = fs::read_to_string(format!("{ROOT}/deny.toml")).expect("deny.toml");
    for (allowed, changed, says) in [
        ("crate = \"ring\"", "crate = \"tokio\"", "bans FAILED"),
        ("    \"ISC\",\n", "", "licenses FAILED"),
        (
            "\"https://github.com/rust-lang/crates.io-index\"",
            "\"https://registry.example.com/index\"",
            "sources FAILED",
        ),
    ] {
        assert!(config.contains(allowed), "{allowed}");
        fs::write(&path, config.replacen(allowed, changed, 1)).expect("written");
        let output = checked(&cargo_deny, path.to_str().expect("UTF-8"));
        assert_ne!(output.code, Some(0), "{output:#?}");
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(all.contains(says), "{says}: {all}");
    }
}
