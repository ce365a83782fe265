//! Scans files, folders and standard input.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use ignore::{DirEntry, WalkBuilder, WalkState};
use parking_lot::Mutex;

use super::{BOUNDS, Error, Place, Scanned};
use crate::scan::Finder;

/// Most bytes of a file that are read.
const MOST_BYTES: usize = 16 << 20;
/// How many bytes of a file are read at first.
const FIRST_BYTES: usize = 64 << 10;
/// In how many bytes at the beginning of a file a NUL makes it a binary one.
const TELLING_BYTES: usize = 8 << 10;
/// Most files that are named because they can't be read.
const NAMED: usize = 20;

/// What standard input is called.
pub(super) const STANDARD_INPUT: &str = "standard input";

pub(super) fn scan(paths: &[PathBuf], finder: &Finder) -> Result<Scanned, Error> {
    let scanned = Mutex::new(Scanned::default());
    let mut folders = Vec::new();
    let mut buffer = Buffer::default();
    for path in paths {
        if path == Path::new("-") {
            scan_one(
                STANDARD_INPUT,
                io::stdin().lock(),
                &mut buffer,
                finder,
                &scanned,
            );
            continue;
        }
        let unreadable = |source| Error::Unreadable {
            path: path.display().to_string(),
            source,
        };
        if path.metadata().map_err(unreadable)?.is_dir() {
            folders.push(path);
        } else {
            // What is named is read, a pipe too.
            let file = File::open(path).map_err(unreadable)?;
            scan_one(&name(path), file, &mut buffer, finder, &scanned);
        }
    }
    if let Some((first, more)) = folders.split_first() {
        walk(first, more, finder, &scanned);
    }
    let mut scanned = scanned.into_inner();
    let unread = scanned.incomplete.len();
    if unread > NAMED {
        scanned.incomplete.sort();
        scanned.incomplete.truncate(NAMED);
        let more = unread - NAMED;
        scanned
            .incomplete
            .push(format!("and {more} more that could not be read to the end"));
    }
    Ok(scanned)
}

/// Scans the files below folders, in parallel, without those that .gitignore and .ignore name.
fn walk(first: &Path, more: &[&PathBuf], finder: &Finder, scanned: &Mutex<Scanned>) {
    let mut builder = WalkBuilder::new(first);
    for folder in more {
        builder.add(folder);
    }
    builder
        // .github is hidden, and full of workflows.
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    builder.build_parallel().run(|| {
        let mut buffer = Buffer::default();
        Box::new(move |entry| {
            match entry {
                Ok(entry) if is_file(&entry) => match File::open(entry.path()) {
                    Ok(file) => {
                        scan_one(&name(entry.path()), file, &mut buffer, finder, scanned);
                    }
                    Err(error) => unread(&name(entry.path()), &error, scanned),
                },
                Ok(_) => {}
                Err(error) => scanned.lock().incomplete.push(error.to_string()),
            }
            WalkState::Continue
        })
    });
}

fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_some_and(|kind| kind.is_file())
}

/// Returns what a file is called in the report.
fn name(path: &Path) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    path.display().to_string()
}

fn unread(name: &str, error: &io::Error, scanned: &Mutex<Scanned>) {
    let message = format!("{name} can't be read: {error}");
    scanned.lock().incomplete.push(message);
}

fn scan_one(
    name: &str,
    from: impl Read,
    buffer: &mut Buffer,
    finder: &Finder,
    scanned: &Mutex<Scanned>,
) {
    let read = match buffer.read(from) {
        Ok(read) => read,
        Err(error) => return unread(name, &error, scanned),
    };
    if read.is_binary {
        scanned.lock().passed_over += 1;
        return;
    }
    let decoded = from_utf16(read.bytes);
    let text = decoded.as_ref().map_or(read.bytes, String::as_bytes);
    let found = finder.find(text, BOUNDS);
    let place = Place {
        name: name.into(),
        field: None,
    };
    let mut scanned = scanned.lock();
    scanned.add(&place, found);
    if read.is_cut {
        scanned.incomplete.push(format!(
            "{name} has more than {MOST_BYTES} bytes: those after them are not read"
        ));
    }
}

/// Returns the text of a file in UTF-16, or `None` if it is not.
fn from_utf16(bytes: &[u8]) -> Option<String> {
    let unit = utf16(bytes)?;
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let characters = char::decode_utf16(units);
    Some(
        characters
            .map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
    )
}

/// Says how to read the units of a file in UTF-16, as PowerShell writes them, by its byte order mark.
fn utf16(bytes: &[u8]) -> Option<fn([u8; 2]) -> u16> {
    match bytes {
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes),
        _ => None,
    }
}

/// Memory that a thread reads files into, one after the other.
#[derive(Default)]
struct Buffer(Vec<u8>);

/// What was read of a file.
struct Text<'b> {
    bytes: &'b [u8],
    is_binary: bool,
    is_cut: bool,
}

impl Buffer {
    /// Reads a file, to its end or to the bound. Of a binary one, only the beginning is read.
    fn read(&mut self, mut from: impl Read) -> io::Result<Text<'_>> {
        if self.0.is_empty() {
            self.0.resize(FIRST_BYTES, 0);
        }
        let mut length = 0;
        let mut is_binary = false;
        let mut is_cut = false;
        loop {
            if length == self.0.len() {
                if length > MOST_BYTES {
                    is_cut = true;
                    length = MOST_BYTES;
                    break;
                }
                // One byte more than the bound tells that there are more.
                self.0.resize((length * 2).min(MOST_BYTES + 1), 0);
            }
            let read = match from.read(&mut self.0[length..]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if length < TELLING_BYTES {
                let telling = &self.0[length..(length + read).min(TELLING_BYTES)];
                let is_utf16 = utf16(&self.0[..length + read]).is_some();
                is_binary = !is_utf16 && memchr::memchr(0, telling).is_some();
            }
            length += read;
            if is_binary {
                break;
            }
        }
        Ok(Text {
            bytes: &self.0[..length],
            is_binary,
            is_cut,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_to_their_end_or_to_the_bound() {
        let mut buffer = Buffer::default();
        for size in [
            0,
            1,
            FIRST_BYTES,
            FIRST_BYTES + 1,
            MOST_BYTES,
            MOST_BYTES + 1,
            MOST_BYTES + FIRST_BYTES,
        ] {
            let file = vec![b'x'; size];
            let text = buffer.read(file.as_slice()).expect("read");
            assert_eq!(text.bytes.len(), size.min(MOST_BYTES), "{size}");
            assert_eq!(text.is_cut, size > MOST_BYTES, "{size}");
            assert!(!text.is_binary);
        }
        let text = buffer.read(&b"short"[..]).expect("read");
        assert_eq!(text.bytes, b"short", "nothing is left of an earlier file");
    }

    #[test]
    fn a_nul_near_the_beginning_makes_a_file_binary() {
        let mut buffer = Buffer::default();
        for (at, is_binary) in [(0, true), (TELLING_BYTES - 1, true), (TELLING_BYTES, false)] {
            let mut file = vec![b'x'; FIRST_BYTES];
            file[at] = 0;
            let text = buffer.read(file.as_slice()).expect("read");
            assert_eq!(text.is_binary, is_binary, "{at}");
        }
    }
}
