//! The wall clock that a replica sees, moved by libfaketime (Debian's package faketime). The monotonic clock is left alone, as
//! it is when somebody sets the time of a machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::Outcome;

/// A clock that can be moved while the replica runs.
#[derive(Debug, Clone)]
pub struct MovedClock {
    library: PathBuf,
    offset: PathBuf,
}

impl MovedClock {
    /// Returns a clock that is right until it is moved. Its offset stands in a file of that folder.
    pub fn new(folder: &Path, user: &str) -> Result<Self, String> {
        let clock = Self {
            library: library()?,
            offset: folder.join(format!("{user}.clock")),
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// Moves it by so many seconds against the machine's clock.
    pub fn set(&self, seconds: i64) -> Outcome {
        // Replaced in one step: it may be read at any time.
        let new = self.offset.with_extension("new");
        let moved = fs::write(&new, format!("{seconds:+}\n"));
        moved
            .and_then(|()| fs::rename(&new, &self.offset))
            .map_err(|error| format!("{}: {error}", self.offset.display()))
    }

    /// Returns the environment of the replica.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

fn library() -> Result<PathBuf, String> {
    let folders = fs::read_dir("/usr/lib").map_err(|error| format!("/usr/lib: {error}"))?;
    folders
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .ok_or_else(|| "no libfaketime: install Debian's package faketime".to_owned())
}
