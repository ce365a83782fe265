//! The documentation as a site: it can be built, has every page, and no link within it is broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use crate::{
    common::{program::Output, tools::tool},
    docs::docs_pages,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the values of an attribute in HTML as mdBook writes it.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\""))
        .skip(1)
        .map(|rest| rest.split('"').next().expect("a value"))
        .collect()
}

/// Returns a path without `.` and `..`, or nothing where it leads out of the folder that it begins in.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    Some(parts.iter().collect())
}

/// Returns what is wrong with the links of a site, given its pages by their paths and the paths of all its files.
fn broken(pages: &BTreeMap<PathBuf, String>, files: &BTreeSet<PathBuf>) -> Vec<String> {
    let anchors: BTreeMap<&Path, BTreeSet<&str>> = pages
        .iter()
        .map(|(path, html)| (path.as_path(), attributes(html, "id").into_iter().collect()))
        .collect();
    let mut broken = Vec::new();
    for (page, html) in pages {
        let links = attributes(html, "href")
            .into_iter()
            .chain(attributes(html, "src"));
        for link in links {
            if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let leads_to = match file {
                "" => Some(page.clone()),
                file => normal(&page.with_file_name("").join(file)),
            };
            let Some(leads_to) = leads_to.filter(|path| files.contains(path)) else {
                broken.push(format!("{}: {link} leads nowhere", page.display()));
                continue;
            };
            let known = anchors
                .get(leads_to.as_path())
                .is_some_and(|anchors| anchors.contains(anchor));
            if !anchor.is_empty() && !known {
                broken.push(format!("{}: {link} leads to no anchor", page.display()));
            }
        }
    }
    broken
}

#[test]
fn broken_links_are_found() {
    let page = |html: &str| (PathBuf::from("docs/a.html"), html.to_owned());
    let files = ["docs/a.html", "docs/b.html", "x.svg"].map(PathBuf::from);
    let files: BTreeSet<PathBuf> = files.into_iter().collect();
    let b = (PathBuf::from("docs/b.html"), r#"<h1 id="here">"#.to_owned());
    for (html, wrong) in [
        (r#"<a href="b.html#here">"#, None),
        (
            r#"<img src="../x.svg"><a href="https://example.com/x">"#,
            None,
        ),
        (r##"<p id="p"><a href="#p">"##, None),
        (r#"<a href="c.html">"#, Some("c.html leads nowhere")),
        (r#"<img src="x.svg">"#, Some("x.svg leads nowhere")),
        (
            r#"<a href="../../x.svg">"#,
            Some("../../x.svg leads nowhere"),
        ),
        (
            r#"<a href="b.html#there">"#,
            Some("b.html#there leads to no anchor"),
        ),
        (r##"<a href="#q">"##, Some("#q leads to no anchor")),
    ] {
        let found = broken(&BTreeMap::from([page(html), b.clone()]), &files);
        let expected: Vec<String> = wrong
            .map(|wrong| format!("docs/a.html: {wrong}"))
            .into_iter()
            .collect();
        assert_eq!(found, expected, "{html}");
    }
}

/// Returns the files below a folder, by their paths from there.
fn files_below(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).expect("below").to_owned());
            }
        }
    }
    files
}

#[test]
fn the_site_is_built_and_every_link_in_it_holds() {
    if tool("mdbook").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let site = folder.path().join("site");
    let mut build = Command::new(Path::new(ROOT).join("dev/site/build"));
    Output::of(build.arg(&site), "").ok();
    let files = files_below(&site);
    let pages: BTreeMap<PathBuf, String> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "html"))
        // What a server shows where a page is missing: its links are from the root of the server.
        .filter(|path| *path != Path::new("404.html"))
        .map(|path| {
            (
                path.clone(),
                fs::read_to_string(site.join(path)).expect("HTML"),
            )
        })
        .collect();
    let links: usize = pages
        .values()
        .map(|html| attributes(html, "href").len())
        .sum();
    assert!(links > 500, "only {links} links were found");
    let broken = broken(&pages, &files);
    assert!(broken.is_empty(), "{broken:#?}");
    let contents = &pages[Path::new("toc.html")];
    assert!(
        contents.contains("docs/getting-started.html"),
        "the table of contents does not lead to its pages"
    );
    assert!(
        files
            .iter()
            .any(|path| path.to_string_lossy().starts_with("searchindex")),
        "the site can't be searched"
    );
}

#[test]
fn every_page_is_on_the_site() {
    let summary = fs::read_to_string(Path::new(ROOT).join("docs/SUMMARY.md")).expect("a file");
    for page in docs_pages() {
        let name = page
            .strip_prefix(Path::new(ROOT).join("docs"))
            .expect("below");
        assert!(
            name == Path::new("SUMMARY.md") || summary.contains(&format!("]({})", name.display())),
            "docs/SUMMARY.md does not name {}",
            name.display()
        );
    }
}
