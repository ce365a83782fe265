//! Finds the files of records: those given, and those in folders as AWS lays them out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::cli::Error;

/// What stands for standard input.
pub(super) const STANDARD_INPUT: &str = "-";

/// Folders that hold the large bodies of requests, beside the records in `BedrockModelInvocationLogs/`.
const BODIES: &str = "data";

/// Files that AWS writes to see whether it may.
const PERMISSION_CHECKS: [&str; 2] = [
    "amazon-bedrock-logs-permission-check",
    "aws-logs-write-test",
];

/// What is found.
#[derive(Debug)]
pub(super) enum Found {
    /// A file.
    File(PathBuf),
    /// A folder that holds bodies and no records.
    Bodies(PathBuf),
    /// A link to a folder, which may lead back.
    Link(PathBuf),
    /// A folder that can't be read.
    Unreadable(PathBuf, io::Error),
}

/// Walks through files and folders, in the order of their names.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// The next one is the last one. Those that were given are walked through whatever their names.
    ahead: Vec<(PathBuf, bool)>,
}

impl Walk {
    /// Returns a walk through what was given.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for the first one that is not there.
    pub(super) fn new(given: &[PathBuf]) -> Result<Self, Error> {
        for path in given.iter().filter(|path| !is_standard_input(path)) {
            fs::metadata(path).map_err(|source| Error::Unreadable {
                path: path.display().to_string(),
                source,
            })?;
        }
        let ahead = given.iter().rev().map(|path| (path.clone(), true));
        Ok(Self {
            ahead: ahead.collect(),
        })
    }

    /// Returns whether nothing follows.
    pub(super) fn is_over(&self) -> bool {
        self.ahead.is_empty()
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut inside = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let leads_to_records = || {
                let target = entry.path().metadata();
                // A link that leads nowhere is something that can't be read.
                target.map_or(true, |it| it.is_dir() || it.is_file())
            };
            let is_wanted =
                kind.is_dir() || kind.is_file() || (kind.is_symlink() && leads_to_records());
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if is_wanted && !name.starts_with('.') && !PERMISSION_CHECKS.contains(&&*name) {
                inside.push((entry.path(), false));
            }
        }
        inside.sort_by(|a, b| b.cmp(a));
        self.ahead.extend(inside);
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        while let Some((path, is_given)) = self.ahead.pop() {
            if is_standard_input(&path) || !path.is_dir() {
                return Some(Found::File(path));
            }
            if !is_given && path.file_name().is_some_and(|name| name == BODIES) {
                return Some(Found::Bodies(path));
            }
            if !is_given && path.is_symlink() {
                return Some(Found::Link(path));
            }
            if let Err(error) = self.folder(&path) {
                return Some(Found::Unreadable(path, error));
            }
        }
        None
    }
}

pub(super) fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}
