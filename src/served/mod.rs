//! Where requests were served: records of Bedrock's logs in, counts by profile, source region and region served out.
//!
//! Pure: [`read`] takes the bytes of a text and counts its records. A record is parsed, never searched: its prompt may hold copies
//! of every field's name. Nothing of a prompt is kept.

pub mod athena;
pub mod audit;
mod count;
mod dedupe;
pub mod insights;
mod json;
mod record;
mod stream;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use futures::future::BoxFuture;

pub use count::{BadRecord, Counter, Counts, Key, Records, Request, Tally};
pub use dedupe::Seen;
pub use record::{OPERATIONS, Tokens};
pub use stream::{SAMPLE, Shape};

use crate::{catalog::CatalogError, types::Region};
use insights::Window;

/// What was counted of a source region and time where the logs are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// The counts.
    pub counts: Counts,
    /// How many bytes were scanned for them.
    pub bytes_scanned: u64,
}

/// Logs that are counted where they are.
pub trait Logs: Send + Sync {
    /// Counts the records of a source region and time.
    fn count<'a>(
        &'a self,
        region: &'a Region,
        window: Window,
    ) -> BoxFuture<'a, Result<Counted, CatalogError>>;
}

/// A part of a file, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// Where it begins. Lines that begin before that are not read; so the text has to begin a byte earlier, unless this is 0.
    pub start: u64,
    /// Lines that begin here or later are not read. `None`: up to the end.
    pub end: Option<u64>,
}

/// Reads the records of a text. `text` begins at `range.start`, or a byte before it if that is not 0.
///
/// # Errors
/// What can't be read of the text. The records before that are counted.
pub fn read(
    text: impl Read,
    shape: Shape,
    range: Range,
    counter: &mut Counter<'_>,
) -> io::Result<()> {
    let begins = range.start.saturating_sub(1);
    let mut stream = stream::Stream::new(text, shape, begins);
    stream.read(counter, range.start > 0, range.end)
}
