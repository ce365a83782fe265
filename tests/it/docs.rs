//! The documents say what the code has: names, links and examples in them are real.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use inference_profile_operator::{
    api::{
        InferenceProfileBinding, InferenceProfileClass,
        condition::{ConditionType, Reason},
    },
    residency::sets,
};
use serde::Deserialize;

use crate::{common::chart::CHART, house::rust_files};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the pages in a folder of the project, in their order.
fn pages_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder");
    let mut pages: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.sort();
    pages
}

/// Returns the pages of `docs/` and of the folders in it.
pub fn docs_pages() -> Vec<PathBuf> {
    ["docs", "docs/how-to", "docs/reference"]
        .into_iter()
        .flat_map(pages_in)
        .collect()
}

/// Returns the documents: those in the root folder, of `docs/`, beside the applications and of the chart.
pub fn documents() -> Vec<PathBuf> {
    let mut files = docs_pages();
    for folder in [".", "examples/app", CHART] {
        files.extend(pages_in(folder));
    }
    assert!(files.len() > 5, "the documents were not found: {files:?}");
    files
}

#[test]
fn every_condition_and_reason_is_explained() {
    let page = text(&Path::new(ROOT).join("docs/conditions.md"));
    let types = ConditionType::ALL.iter().map(|kind| kind.as_str());
    let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
    let missing: Vec<&str> = types
        .chain(reasons)
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/conditions.md does not explain {missing:?}"
    );
}

/// Returns the names of metrics that a text has, without what Prometheus appends.
fn metrics(text: &str) -> BTreeSet<String> {
    const PREFIXES: [&str; 4] = [
        "controller_runtime_",
        "workqueue_",
        "leader_election_",
        "inference_profile_operator_",
    ];
    const SUFFIXES: [&str; 5] = ["_total", "_bucket", "_sum", "_count", "_info"];
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| {
            PREFIXES
                .iter()
                .any(|prefix| word.len() > prefix.len() && word.starts_with(prefix))
        })
        .map(|word| {
            SUFFIXES
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word)
                .to_owned()
        })
        .collect()
}

#[test]
fn metrics_are_those_of_the_code() {
    let root = Path::new(ROOT);
    let code: BTreeSet<String> = ["src/metrics.rs", "src/controller/gauges.rs"]
        .iter()
        .flat_map(|path| metrics(&text(&root.join(path))))
        .collect();
    assert_eq!(
        metrics(&text(&root.join("docs/operations.md"))),
        code,
        "docs/operations.md"
    );
    let chart = root.join(CHART);
    for folder in ["files", "templates"] {
        for entry in fs::read_dir(chart.join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let unknown: Vec<String> =
                    metrics(&text(&path)).difference(&code).cloned().collect();
                assert!(unknown.is_empty(), "{}: {unknown:?}", path.display());
            }
        }
    }
}

#[test]
fn the_sets_of_regions_are_told_with_their_date() {
    let document = text(&Path::new(ROOT).join("docs/residency.md"));
    assert!(document.contains(sets::AS_OF), "{}", sets::AS_OF);
    for set in sets::SETS {
        let row = document
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", set.name)));
        let row = row.unwrap_or_else(|| panic!("no row of {}", set.name));
        for region in set.regions {
            assert!(row.contains(region), "{region} is not in {row:?}");
        }
    }
}

#[test]
fn every_environment_variable_is_listed() {
    let page = text(&Path::new(ROOT).join("docs/cli.md"));
    let mut names = BTreeSet::new();
    for source in rust_files(&Path::new(ROOT).join("src")) {
        for (start, _) in text(&source).match_indices("\"IPO_") {
            let rest = text(&source)[start + 1..].to_owned();
            let name = rest.split('"').next().expect("a name").to_owned();
            names.insert(name);
        }
    }
    assert!(names.contains("IPO_CATALOG"), "no variables were found");
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !page.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "docs/cli.md does not list {missing:?}");
}

/// Returns the anchors that GitHub gives to the headings of a document.
fn anchors(document: &str) -> BTreeSet<String> {
    // What is between fences is code.
    let prose = document.split("```").step_by(2);
    let headings = prose.flat_map(str::lines).filter_map(|line| {
        let (marks, heading) = line.split_once(' ')?;
        (!marks.is_empty() && marks.chars().all(|mark| mark == '#')).then_some(heading)
    });
    headings
        .map(|heading| {
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect::<String>()
                .to_lowercase()
        })
        .collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading_in_it() {
    let mut headings = 0;
    for document in documents() {
        let folder = document.parent().expect("a folder");
        for rest in text(&document).split("](").skip(1) {
            let link = rest.split(')').next().expect("a link");
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = match link.split_once('#') {
                Some((file, anchor)) => (file, Some(anchor)),
                None => (link, None),
            };
            let leads_to = match file {
                "" => document.clone(),
                file => folder.join(file),
            };
            let place = document.display();
            assert!(leads_to.exists(), "{place}: the link {link} leads nowhere");
            if let Some(anchor) = anchor {
                assert!(
                    anchors(&text(&leads_to)).contains(anchor),
                    "{place}: the link {link} leads to no heading"
                );
                headings += 1;
            }
        }
    }
    assert!(headings > 5, "the links to headings were not found");
}

#[test]
fn every_reason_is_reached_from_the_troubleshooting_page() {
    let root = Path::new(ROOT);
    let page = text(&root.join("docs/troubleshooting.md"));
    let conditions = text(&root.join("docs/conditions.md"));
    for reason in Reason::ALL {
        let link = format!("[`{reason}`](conditions.md#");
        let anchors: Vec<&str> = page
            .split(&link)
            .skip(1)
            .map(|rest| rest.split(')').next().expect("an anchor"))
            .collect();
        assert!(
            !anchors.is_empty(),
            "docs/troubleshooting.md has no {link}...)"
        );
        for anchor in anchors {
            let section = section(&conditions, anchor);
            assert!(
                section.contains(&format!("`{reason}`")),
                "docs/troubleshooting.md: conditions.md#{anchor} does not explain {reason}"
            );
        }
    }
}

/// Returns the section of second level with this anchor, up to the next one.
fn section<'a>(document: &'a str, anchor: &str) -> &'a str {
    document
        .split("\n## ")
        .find(|section| anchors(&format!("## {section}")).contains(anchor))
        .unwrap_or_else(|| panic!("no section {anchor}"))
}

#[test]
fn the_start_page_leads_to_every_page() {
    let folder = Path::new(ROOT).join("docs");
    let start = text(&folder.join("README.md"));
    for page in docs_pages() {
        let name = page.strip_prefix(&folder).expect("below docs/");
        let name = name.to_str().expect("a name");
        assert!(
            ["README.md", "SUMMARY.md"].contains(&name) || start.contains(&format!("]({name})")),
            "docs/README.md does not lead to {name}"
        );
    }
}

#[test]
fn the_readme_is_short_and_names_both_commands_first() {
    let readme = text(&Path::new(ROOT).join("README.md"));
    let words = readme.split_whitespace().count();
    assert!(
        words <= 900,
        "README.md has {words} words, and may have 900"
    );
    let introduction = readme.split("\n## ").next().expect("an introduction");
    for command in ["\nmake demo ", "\nmake test "] {
        assert!(introduction.contains(command), "{command:?}");
    }
}

#[test]
fn the_readme_shows_the_example_that_it_renders() {
    let root = Path::new(ROOT);
    let example = text(&root.join("examples/01-smallest.yaml"));
    let readme = text(&root.join("README.md"));
    let shown = yaml_blocks(&readme)
        .into_iter()
        .find(|block| block.starts_with("apiVersion: inferenceprofiles.dev"))
        .expect("a binding");
    assert!(
        example.contains(shown),
        "examples/01-smallest.yaml is not\n{shown}"
    );
}

/// Returns the YAML blocks of a document, without the comment in front that names a file.
fn yaml_blocks(document: &str) -> Vec<&str> {
    document
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("a block"))
        .map(|block| match block.split_once('\n') {
            Some((comment, rest)) if comment.starts_with("# ") => rest,
            _ => block,
        })
        .collect()
}

#[test]
fn every_binding_and_class_shown_is_one() {
    let mut shown = 0;
    for document in documents() {
        let content = text(&document);
        let blocks = yaml_blocks(&content);
        for block in blocks
            .iter()
            .filter(|block| block.starts_with("apiVersion: inferenceprofiles.dev"))
        {
            let place = document.display();
            for part in serde_yaml::Deserializer::from_str(block) {
                let given = serde_yaml::Value::deserialize(part)
                    .unwrap_or_else(|error| panic!("{place}: {error}\n{block}"));
                let failed = |error: serde_yaml::Error| -> serde_yaml::Value {
                    panic!("{place}: {error}\n{block}")
                };
                // A misspelt field would be passed over in silence.
                let spec = if given["kind"] == "InferenceProfileClass" {
                    serde_yaml::from_value::<InferenceProfileClass>(given.clone())
                        .and_then(|class| serde_yaml::to_value(class.spec))
                } else {
                    serde_yaml::from_value::<InferenceProfileBinding>(given.clone())
                        .and_then(|binding| serde_yaml::to_value(binding.spec))
                };
                let spec = spec.unwrap_or_else(failed);
                assert_eq!(
                    given["spec"], spec,
                    "{place}: a field is not one of the API\n{block}"
                );
                shown += 1;
            }
        }
    }
    assert!(shown > 2, "the bindings were not found");
}

/// `SUITE PATH::FUNCTION`, where the suite is `lib`, `it` or `apiserver`.
#[test]
fn every_threat_names_a_test_that_exists() {
    let root = Path::new(ROOT);
    let security = text(&root.join("SECURITY.md"));
    let (_, threats) = security.split_once("## Threats").expect("a section");
    let (threats, _) = threats.split_once("\n## ").expect("another section");
    let rows: Vec<&str> = threats
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| who | tries"))
        .collect();
    assert!(rows.len() >= 15, "the table was not found");
    for row in rows {
        let named = row.rsplit('`').nth(1).unwrap_or_default();
        let (suite, path) = named
            .split_once(' ')
            .unwrap_or_else(|| panic!("no test at the end of {row}"));
        let folder = match suite {
            "lib" => root.join("src"),
            "it" | "apiserver" => root.join("tests").join(suite),
            other => panic!("{other} is no suite: {row}"),
        };
        let parts: Vec<&str> = path.split("::").filter(|part| *part != "tests").collect();
        let (function, modules) = parts.split_last().expect("a path");
        let module = folder.join(modules.join("/"));
        let files = [
            module.with_extension("rs"),
            module.join("mod.rs"),
            module.join("tests.rs"),
        ];
        let function = format!("fn {function}(");
        let exists = files
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok())
            .any(|source| source.contains(&function));
        assert!(exists, "there is no test {named}");
    }
}
