//! The house rules that the compiler does not check: modules import downward only, and each kind of I/O has one place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules of the crate from the bottom up: each may import those before it. src/lib.rs says the same.
const ORDER: &[&str] = &[
    "types",
    "route",
    "pause",
    "glob",
    "api",
    "catalog",
    "residency",
    "resolve",
    "iam",
    "render",
    "plan",
    "sources",
    "metrics",
    "feeds",
    "queue",
    "cache",
    "leader",
    "controller",
    "server",
    "cli",
];

/// What only some files may name, and which.
struct Reserved {
    /// What is named: a path as the code has it.
    names: &'static [&'static str],
    /// Where it may be: files and folders under src/, without `.rs`.
    places: &'static [&'static str],
    why: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        names: &[
            "aws_sdk_bedrock",
            "aws_sdk_sts",
            "aws_config",
            "aws_credential_types",
            "aws_smithy_http_client",
            "aws_smithy_runtime_api",
        ],
        places: &["sources/bedrock"],
        why: "the AWS SDK has one place",
    },
    Reserved {
        names: &["std::fs", "tokio::fs", "fs::File"],
        places: &["sources/directory", "cli"],
        why: "files are read in one place, and by commands",
    },
    Reserved {
        names: &["serde_yaml"],
        places: &["cli"],
        why: "YAML is read and written at the edge",
    },
    Reserved {
        names: &["println!", "print!"],
        places: &["cli", "main"],
        why: "only the command line prints",
    },
    Reserved {
        names: &["kube::Client", "kube::Api"],
        places: &["controller", "leader", "cli"],
        why: "only the controller, and the election of a leader, talk to the apiserver",
    },
];

/// A line of code, without comments and texts.
struct Line {
    file: PathBuf,
    number: usize,
    code: String,
    /// Whether it belongs to unit tests, which stand at the end of a file or in a file of their own.
    unit_tests: bool,
}

impl Line {
    fn at(&self) -> String {
        format!("src/{}:{}", self.file.display(), self.number)
    }

    /// Returns the top-level module; nothing for lib.rs and main.rs.
    fn module(&self) -> Option<String> {
        let first = self.file.components().next()?;
        let name = first.as_os_str().to_string_lossy();
        let name = name.strip_suffix(".rs").unwrap_or(&name);
        (!["lib", "main"].contains(&name)).then(|| name.to_owned())
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the code of all files, uses of several lines joined into their first: `use crate::{a, b::{c, d}};`.
fn code() -> Vec<Line> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    found.sort();
    assert!(found.len() > 20, "the sources are found");
    found.iter().flat_map(|path| lines_of(path)).collect()
}

fn lines_of(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).expect("a source");
    let file = path.strip_prefix(root()).expect("under src/").to_owned();
    let mut lines: Vec<Line> = Vec::new();
    let mut open = false;
    let mut unit_tests = file.file_stem().is_some_and(|name| name == "tests");
    for (index, line) in text.lines().enumerate() {
        let code = without_texts(line);
        unit_tests |= code.trim() == "#[cfg(test)]";
        match lines.last_mut() {
            Some(last) if open => last.code.push_str(code.trim()),
            _ => lines.push(Line {
                file: file.clone(),
                number: index + 1,
                code,
                unit_tests,
            }),
        }
        let last = lines.last().expect("pushed above");
        let words = last.code.trim_start();
        let is_use = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .any(|start| words.starts_with(start));
        open = is_use && !last.code.contains(';');
    }
    lines
}

/// Drops what stands in quotes, and comments.
fn without_texts(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => {
                characters.next();
            }
            '"' => quoted = !quoted,
            '/' if !quoted && characters.peek() == Some(&'/') => break,
            _ if !quoted => code.push(character),
            _ => {}
        }
    }
    code
}

/// Returns the modules of the crate that a line names: after `crate::`, alone or in braces.
fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (start, prefix) in code.match_indices("crate::") {
        let standalone = !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !standalone {
            continue;
        }
        let rest = &code[start + prefix.len()..];
        match rest.strip_prefix('{') {
            None => names.insert(word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut item = String::new();
                for character in group.chars() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            names.insert(word(&item));
                            item.clear();
                            continue;
                        }
                        _ => {}
                    }
                    item.push(character);
                }
                names.insert(word(&item))
            }
        };
    }
    names.remove("");
    names
}

fn word(text: &str) -> String {
    text.trim()
        .chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

/// Returns the modules that lib.rs declares.
fn modules(lines: &[Line]) -> BTreeSet<String> {
    lines
        .iter()
        .filter(|line| line.file == Path::new("lib.rs"))
        .filter_map(|line| {
            let declaration = line.code.trim().trim_start_matches("pub ");
            let name = declaration.strip_prefix("mod ")?.strip_suffix(';')?;
            Some(name.to_owned())
        })
        .collect()
}

#[test]
fn imports_are_read_as_written() {
    let cases: &[(&str, &[&str])] = &[
        ("use crate::types::Region;", &["types"]),
        (
            "use crate::{api::{A, B}, plan::{self, c::D}, types};",
            &["api", "plan", "types"],
        ),
        ("let x = crate::queue::Lane::Low;", &["queue"]),
        ("pub(crate) fn x() {}", &[]),
        ("use other_crate::types;", &[]),
    ];
    for (code, expected) in cases {
        let expected: BTreeSet<String> = expected.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(imports(code), expected, "{code}");
    }
    let line = r#"f("a // \" crate::b"); // crate::c"#;
    assert_eq!(without_texts(line).trim_end(), "f();");
}

#[test]
fn every_module_has_its_place() {
    let lines = code();
    let modules = modules(&lines);
    assert!(modules.contains("plan"), "lib.rs is read: {modules:?}");
    for module in &modules {
        assert!(
            ORDER.contains(&module.as_str()),
            "src/lib.rs: the module {module} has no place in ORDER of tests/it/house.rs"
        );
    }
}

#[test]
fn modules_import_downward_only() {
    let lines = code();
    let modules = modules(&lines);
    let place = |module: &str| ORDER.iter().position(|name| *name == module);
    let mut wrong = Vec::new();
    let mut edges = BTreeMap::new();
    for line in &lines {
        let Some(module) = line.module() else {
            continue;
        };
        for import in imports(&line.code) {
            if import == module || !modules.contains(&import) {
                continue;
            }
            if place(&import) >= place(&module) {
                wrong.push(format!("{}: {module} imports {import}", line.at()));
            }
            edges.entry((module.clone(), import)).or_insert(line.at());
        }
    }
    assert!(edges.len() > 10, "imports are found: {edges:?}");
    assert!(
        wrong.is_empty(),
        "modules import only those below them ({}):\n{}",
        ORDER.join(" < "),
        wrong.join("\n")
    );
}

#[test]
fn what_has_one_place_is_nowhere_else() {
    let lines = code();
    let mut wrong = Vec::new();
    for reserved in RESERVED {
        let mut used = false;
        for line in lines.iter().filter(|line| !line.unit_tests) {
            let Some(name) = reserved.names.iter().find(|name| names(&line.code, name)) else {
                continue;
            };
            used = true;
            let file = line.file.with_extension("");
            if !reserved.places.iter().any(|place| file.starts_with(place)) {
                wrong.push(format!(
                    "{}: {name} is only for src/{}: {}",
                    line.at(),
                    reserved.places.join(", src/"),
                    reserved.why
                ));
            }
        }
        // Printing goes through a writer, so that nothing may name these at all.
        assert!(
            used || reserved.names.contains(&"println!"),
            "{:?} is found nowhere: does this test still read the code?",
            reserved.names
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says whether a line names a path: as it stands, or as a part of a group, as `use kube::{Api, Client};` does.
fn names(code: &str, path: &str) -> bool {
    let whole = code.match_indices(path).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + path.len()..].chars().next();
        let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !in_word(before) && !in_word(after)
    });
    let grouped = path.split_once("::").is_some_and(|(parent, child)| {
        code.trim_start().starts_with(&format!("use {parent}::{{"))
            && group(code).iter().any(|name| name == child)
    });
    whole || grouped
}

/// Returns the first words of the items of a `use a::{...};`.
fn group(code: &str) -> BTreeSet<String> {
    let (_, group) = code.split_once("::{").expect("a group");
    imports(&format!("crate::{{{group}"))
}

#[test]
fn names_are_found_in_groups() {
    for (code, path, found) in [
        ("use kube::{Api, Client};", "kube::Client", true),
        ("use kube::Client;", "kube::Client", true),
        ("use kube::{Resource, api::Patch};", "kube::Api", false),
        ("use std::{collections::BTreeMap, fs, io};", "std::fs", true),
        ("use std::fmt;", "std::fs", false),
        ("eprintln!(x)", "println!", false),
        ("println!(x)", "println!", true),
    ] {
        assert_eq!(names(code, path), found, "{path} in {code}");
    }
}

/// A second TLS stack would come in by a default feature of some dependency: it doubles what must be trusted and patched,
/// and with two providers of cryptography rustls chooses neither.
#[test]
fn one_tls_stack_is_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(root.join("Cargo.lock")).expect("Cargo.lock");
    let versions = |name: &str| lock.matches(&format!("\nname = \"{name}\"\n")).count();
    assert_eq!(versions("rustls"), 1, "versions of rustls");
    for other in ["openssl-sys", "native-tls", "s2n-tls"] {
        assert_eq!(versions(other), 0, "{other}");
    }
    // The lock file also names what no build uses.
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges=normal,build", "--invert=ring"])
        .current_dir(root)
        .output()
        .expect("cargo tree");
    assert_eq!(String::from_utf8_lossy(&tree.stdout), "", "who brings ring");
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
}
