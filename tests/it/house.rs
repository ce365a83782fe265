//! The house rules that the compiler does not check: modules import downward only, what decides is pure, and each kind of
//! I/O has one place. The sources are parsed, so that neither a group of imports nor a path in the middle of a line escapes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::{spanned::Spanned, visit::Visit};

/// The modules of the crate from the bottom up: each may import those before it. ARCHITECTURE.md says the same.
const ORDER: &[&str] = &[
    "plain",
    "types",
    "route",
    "models",
    "pause",
    "glob",
    "api",
    "catalog",
    "lifecycle",
    "residency",
    "resolve",
    "class",
    "iam",
    "render",
    "scan",
    "served",
    "plan",
    "sources",
    "metrics",
    "traces",
    "feeds",
    "queue",
    "cache",
    "leader",
    "controller",
    "server",
    "cli",
];

/// The last module that is pure: it and all below it decide from what they are given.
const LAST_PURE: &str = "plan";

/// Paths that only some files may name.
struct Reserved {
    /// The first parts of paths, as absolute paths have them.
    names: &'static [&'static str],
    /// Who may name them.
    allowed: Allowed,
    why: &'static str,
}

enum Allowed {
    /// These files and folders under src/, without `.rs`.
    Places(&'static [&'static str]),
    /// Every module above [`LAST_PURE`].
    AboveDecisions,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        names: &[
            "tokio",
            "tokio_util",
            "kube::Api",
            "kube::Client",
            "kube::Config",
            "kube::api",
            "kube::client",
            "kube::runtime",
            "kube_runtime",
            "axum",
            "fastrand",
            "std::env",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "jiff::Timestamp::now",
            "jiff::Zoned::now",
        ],
        allowed: Allowed::AboveDecisions,
        why: "what decides knows no runtime, no client, no clock, no chance and no file",
    },
    Reserved {
        names: &[
            "aws_config",
            "aws_credential_types",
            "aws_runtime",
            "aws_sdk_bedrock",
            "aws_sdk_sso",
            "aws_sdk_sts",
            "aws_smithy_http_client",
            "aws_smithy_runtime",
            "aws_smithy_runtime_api",
            "aws_smithy_types",
            "aws_types",
        ],
        allowed: Allowed::Places(&["sources/bedrock", "sources/aws_json"]),
        why: "the AWS SDK has its places",
    },
    Reserved {
        names: &["std::fs", "tokio::fs"],
        allowed: Allowed::Places(&["sources/directory", "cli"]),
        why: "files are read in one place, and by commands",
    },
    Reserved {
        names: &["kube::Api", "kube::Client"],
        allowed: Allowed::Places(&[
            "controller/mod",
            "controller/watch",
            "controller/watch_loop",
            "controller/writer",
            "leader",
            "cli",
        ]),
        why: "only the watches, the writer and the election of a leader talk to the apiserver",
    },
    Reserved {
        names: &["crate::catalog::embedded::Embedded::load"],
        allowed: Allowed::Places(&["cli"]),
        why: "embedded data are handed in",
    },
    Reserved {
        names: &["serde_yaml"],
        allowed: Allowed::Places(&["cli"]),
        why: "YAML is read and written at the edge",
    },
    Reserved {
        names: &["println", "print"],
        allowed: Allowed::Places(&["cli"]),
        why: "only the command line prints",
    },
];

/// Methods of `kube::Api` that change something in the cluster.
const WRITES: &[&str] = &[
    "create",
    "create_subresource",
    "delete",
    "delete_collection",
    "evict",
    "patch",
    "patch_metadata",
    "patch_scale",
    "patch_status",
    "patch_subresource",
    "replace",
    "replace_scale",
    "replace_status",
    "replace_subresource",
];

/// The files that may call them: others of these rooms can't write to the cluster. `cli/change` is what a person changes by a command.
const WRITERS: &[&str] = &["controller/writer", "leader", "cli/change"];

/// Something that code names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    /// An absolute path: of this crate from `crate`, of others from the crate's name; or the name of a method.
    path: String,
    line: usize,
    is_method: bool,
}

/// A source file, without its unit tests.
struct Source {
    /// Under src/, without `.rs`.
    place: String,
    named: BTreeSet<Named>,
}

impl Source {
    fn parse(place: &str, text: &str) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{place}.rs: {error}"));
        let mut reader = Reader {
            module: module_path(place),
            aliases: BTreeMap::new(),
            named: BTreeSet::new(),
        };
        reader.visit_file(&file);
        let Reader { aliases, named, .. } = reader;
        // A path that begins with an imported name goes on where the import left off.
        let named = named
            .into_iter()
            .map(|one| Named {
                path: absolute(&one.path, &aliases),
                ..one
            })
            .collect();
        Self {
            place: place.to_owned(),
            named,
        }
    }

    /// Returns the top-level module; `lib` and `main` are none.
    fn module(&self) -> Option<&str> {
        let module = self.place.split('/').next()?;
        (!["lib", "main"].contains(&module)).then_some(module)
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places
            .iter()
            .any(|place| self.place == *place || self.place.starts_with(&format!("{place}/")))
    }

    /// Returns the modules of this crate that the source imports, with the lines.
    fn imports(&self) -> impl Iterator<Item = (&str, usize)> {
        self.named
            .iter()
            .filter(|one| !one.is_method)
            .filter_map(|one| {
                let module = one.path.strip_prefix("crate::")?.split("::").next()?;
                Some((module, one.line))
            })
    }

    /// Returns what of this source breaks a rule.
    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Some(module) = self.module() else {
            return found;
        };
        let Some(level) = level(module) else {
            return vec![format!(
                "src/{}.rs: the module {module} has no place in ORDER of tests/it/house.rs",
                self.place
            )];
        };
        for (import, line) in self.imports() {
            if self::level(import).is_some_and(|imported| imported >= level && import != module) {
                found.push(format!(
                    "src/{}.rs:{line}: {module} imports {import}, which is above it: {}",
                    self.place,
                    ORDER.join(" < ")
                ));
            }
        }
        for reserved in RESERVED {
            let is_allowed = match reserved.allowed {
                Allowed::Places(places) => self.is_in(places),
                Allowed::AboveDecisions => Some(level) > self::level(LAST_PURE),
            };
            let names = |one: &&Named| {
                let mut names = reserved.names.iter();
                !one.is_method
                    && names
                        .any(|name| one.path == *name || one.path.starts_with(&format!("{name}::")))
            };
            if !is_allowed {
                found.extend(self.named.iter().filter(names).map(|one| {
                    format!(
                        "src/{}.rs:{}: {} is not for {module}: {}",
                        self.place, one.line, one.path, reserved.why
                    )
                }));
            }
        }
        // Elsewhere `replace` is one of texts: only what has an API at hand could write by it.
        let has_api = self.named.iter().any(|one| one.path == "kube::Api");
        let is_near = self.is_in(&["controller", "leader", "server"]) || has_api;
        if is_near && !self.is_in(WRITERS) {
            let writes = |one: &&Named| {
                let called = one.path.strip_prefix("kube::Api::");
                let method = one.is_method.then_some(one.path.as_str()).or(called);
                method.is_some_and(|method| WRITES.contains(&method))
            };
            found.extend(self.named.iter().filter(writes).map(|one| {
                format!(
                    "src/{}.rs:{}: .{}() is only for {}: nothing else writes to the cluster",
                    self.place,
                    one.line,
                    one.path,
                    WRITERS.join(" and ")
                )
            }));
        }
        found
    }
}

/// Returns the place of a module in the order; none for what stands in lib.rs itself.
fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

/// Returns the path of the module that a file is: `plan/mod` is `crate::plan`.
fn module_path(place: &str) -> Vec<String> {
    let parts = place
        .split('/')
        .filter(|part| !["mod", "lib", "main"].contains(part));
    std::iter::once("crate")
        .chain(parts)
        .map(ToOwned::to_owned)
        .collect()
}

/// Collects what a file names.
struct Reader {
    module: Vec<String>,
    /// Imported name -> absolute path.
    aliases: BTreeMap<String, String>,
    named: BTreeSet<Named>,
}

impl Reader {
    fn name(&mut self, path: &[String], line: usize) {
        let path = self.resolve(path);
        self.named.insert(Named {
            path,
            line,
            is_method: false,
        });
    }

    /// Makes a path that begins with `super` or `self` absolute.
    fn resolve(&self, path: &[String]) -> String {
        let mut module = self.module.clone();
        let mut rest = path;
        let relative = matches!(path.first().map(String::as_str), Some("super" | "self"));
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "super" => {
                    module.pop();
                }
                "self" => {}
                _ => break,
            }
            rest = after;
        }
        let parts: Vec<String> = if relative {
            module.into_iter().chain(rest.iter().cloned()).collect()
        } else {
            path.to_vec()
        };
        parts.join("::")
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String]) {
        let join = |name: &syn::Ident| -> Vec<String> {
            before.iter().cloned().chain([name.to_string()]).collect()
        };
        match tree {
            syn::UseTree::Path(path) => self.import(&path.tree, &join(&path.ident)),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before);
                }
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                let alias = before.last().cloned().unwrap_or_default();
                self.alias(&alias, before, name.span().start().line);
            }
            syn::UseTree::Name(name) => {
                let path = join(&name.ident);
                self.alias(&name.ident.to_string(), &path, name.span().start().line);
            }
            syn::UseTree::Rename(rename) => {
                let path = join(&rename.ident);
                self.alias(
                    &rename.rename.to_string(),
                    &path,
                    rename.span().start().line,
                );
            }
            syn::UseTree::Glob(glob) => self.name(before, glob.span().start().line),
        }
    }

    fn alias(&mut self, alias: &str, path: &[String], line: usize) {
        let absolute = self.resolve(path);
        self.aliases.insert(alias.to_owned(), absolute);
        self.name(path, line);
    }

    /// Reads paths out of the tokens of a macro, which may hold anything.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match &token {
                TokenTree::Ident(ident) if after_dot => {
                    self.named.insert(Named {
                        path: ident.to_string(),
                        line: ident.span().start().line,
                        is_method: true,
                    });
                }
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_path(&mut path, line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    let joint = punct.spacing() == Spacing::Joint;
                    colons = if colons == 1 || joint { colons + 1 } else { 3 };
                }
                TokenTree::Group(group) => {
                    self.end_path(&mut path, line);
                    colons = 0;
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.end_path(&mut path, line);
                    colons = 0;
                }
            }
            after_dot = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '.');
        }
        self.end_path(&mut path, line);
    }

    fn end_path(&mut self, path: &mut Vec<String>, line: usize) {
        if !path.is_empty() {
            self.name(&std::mem::take(path), line);
        }
    }
}

fn is_unit_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|what| what == "test")
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_unit_test(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_unit_test(&function.attrs) {
            syn::visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        self.name(&parts, path.span().start().line);
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, one: &'ast syn::Macro) {
        self.visit_path(&one.path);
        self.tokens(one.tokens.clone());
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.named.insert(Named {
            path: call.method.to_string(),
            line: call.method.span().start().line,
            is_method: true,
        });
        syn::visit::visit_expr_method_call(self, call);
    }
}

/// Returns a path with its first part replaced by what was imported under that name.
fn absolute(path: &str, aliases: &BTreeMap<String, String>) -> String {
    let (first, rest) = path
        .split_once("::")
        .map_or((path, None), |(a, b)| (a, Some(b)));
    match (aliases.get(first), rest) {
        (Some(imported), Some(rest)) => format!("{imported}::{rest}"),
        (Some(imported), None) => imported.clone(),
        (None, _) => path.to_owned(),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns the files in Rust below a folder, in order.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns all sources but those that hold unit tests alone.
fn sources() -> Vec<Source> {
    const TESTS: [&str; 2] = ["tests", "testing"];
    let found = rust_files(&root());
    let is_code = |path: &&PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str());
        name.is_none_or(|name| !TESTS.contains(&name))
    };
    found
        .iter()
        .filter(is_code)
        .map(|path| {
            let place = path
                .strip_prefix(root())
                .expect("under src/")
                .with_extension("");
            let text = fs::read_to_string(path).expect("a source");
            Source::parse(&place.to_string_lossy(), &text)
        })
        .collect()
}

#[test]
fn the_house_rules_hold() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources are found");
    let edges: BTreeSet<(&str, &str)> = sources
        .iter()
        .filter_map(|source| Some((source, source.module()?)))
        .flat_map(|(source, module)| source.imports().map(move |(import, _)| (module, import)))
        .collect();
    assert!(edges.contains(&("plan", "resolve")), "imports are found");
    let wrong: Vec<String> = sources.iter().flat_map(Source::violations).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every rule is about something that the code does where it may: a name that is found nowhere is misspelled.
#[test]
fn what_is_reserved_exists() {
    let sources = sources();
    let is_used = |names: &[&str]| {
        sources.iter().any(|source| {
            let mut named = source.named.iter();
            named.any(|one| names.iter().any(|name| one.path.starts_with(name)))
        })
    };
    for reserved in RESERVED {
        // Printing goes through a writer, so that nothing names these at all.
        assert!(
            is_used(reserved.names) || reserved.names.contains(&"println"),
            "{:?} is found nowhere",
            reserved.names
        );
    }
    for writer in WRITERS {
        let source = sources.iter().find(|source| source.place == *writer);
        let mut named = source.expect(writer).named.iter();
        assert!(named.any(|one| one.is_method && WRITES.contains(&one.path.as_str())));
    }
}

#[test]
fn modules_of_the_crate_have_a_place() {
    let lib = fs::read_to_string(root().join("lib.rs")).expect("lib.rs");
    let lib = syn::parse_file(&lib).expect("Rust");
    let modules: BTreeSet<String> = lib
        .items
        .iter()
        .filter_map(|item| match item {
            syn::Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    let order: BTreeSet<String> = ORDER.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(modules, order, "src/lib.rs, and ORDER of tests/it/house.rs");
}

/// A forbidden line is refused in every room that it is forbidden in, however it is written.
#[test]
fn every_forbidden_import_is_refused_in_every_layer() {
    let pure = &ORDER[..=level(LAST_PURE).expect("a module")];
    for module in pure {
        for forbidden in [
            "use tokio::sync::Mutex;",
            "use kube::{Api, Resource};",
            "use kube::Client as Cluster;",
            "use kube_runtime::watcher;",
            "use aws_sdk_bedrock::Client;",
            "use std::{collections::BTreeMap, fs, io};",
            "use jiff::Timestamp; fn f() -> Timestamp { Timestamp::now() }",
            "fn f() -> jiff::Timestamp { jiff::Timestamp::now() }",
            "fn f() { g(std::time::Instant::now()) }",
            "fn f() { assert!(std::fs::read(\"x\").is_ok()); }",
            "fn f() -> f64 { fastrand::f64() }",
            "use crate::catalog::embedded::Embedded; fn f() { Embedded::load(); }",
            "use crate::{sources::directory, types};",
            "fn f() { crate::controller::g(); }",
            "use super::cli::options;",
        ] {
            let source = Source::parse(module, forbidden);
            assert!(!source.violations().is_empty(), "{module}: {forbidden}");
        }
        for fine in [
            "use jiff::Timestamp; use std::{fmt, time::Duration};",
            "#[cfg(test)] mod tests { use tokio::time; use crate::cli; }",
            "/// Like `tokio::spawn`.\nfn f() -> &'static str { \"kube::Client\" }",
        ] {
            assert_eq!(Source::parse(module, fine).violations(), [""; 0], "{fine}");
        }
    }
    for (position, module) in ORDER.iter().enumerate() {
        for above in &ORDER[position + 1..] {
            let source = Source::parse(module, &format!("use crate::{{{above}::x}};"));
            assert_eq!(source.violations().len(), 1, "{module} imports {above}");
        }
        for below in &ORDER[..position] {
            let source = Source::parse(module, &format!("use crate::{below}::x;"));
            assert_eq!(source.violations(), [""; 0], "{module} imports {below}");
        }
    }
    for (place, forbidden, refused) in [
        ("controller/visit", "fn f(a: A) { a.patch(\"x\"); }", true),
        ("controller/watch", "fn f(a: A) { a.delete(\"x\"); }", true),
        (
            "controller/visit",
            "fn f(a: A) { select! { () = a.patch(1) => {} } }",
            true,
        ),
        (
            "controller/watch",
            "use kube::Api; fn f(a: A) { Api::patch(&a, 1); }",
            true,
        ),
        (
            "cli/evidence/mod",
            "use kube::{Api, Client}; fn f(a: A) { a.delete(\"x\"); }",
            true,
        ),
        ("cli/x", "fn f(a: &str) { a.replace(\"x\", \"y\"); }", false),
        ("controller/writer", "fn f(a: A) { a.patch(\"x\"); }", false),
        ("controller/visit", "use kube::Client;", true),
        ("feeds/mod", "use aws_sdk_bedrock::Client;", true),
        (
            "sources/bedrock/client",
            "use aws_sdk_bedrock::Client;",
            false,
        ),
        ("feeds/mod", "use tokio::fs;", true),
        ("feeds/mod", "fn f() { println!(\"x\"); }", true),
        ("cli/render", "fn f() { serde_yaml::to_string(&1); }", false),
        (
            "controller/mod",
            "fn f() { serde_yaml::to_string(&1); }",
            true,
        ),
    ] {
        let violations = Source::parse(place, forbidden).violations();
        assert_eq!(!violations.is_empty(), refused, "{place}: {violations:?}");
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
