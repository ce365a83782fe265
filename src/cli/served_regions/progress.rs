//! One line on the terminal that says how far a long reading is.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    sync::{
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use super::{
    files::{Found, Walk, is_standard_input},
    reading::Progress,
};

/// How long a reading may take without a word.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(200);
const WIDTH: usize = 24;

/// Shows how far the reading is, where standard error is a terminal, until `done` is closed. `walk` is one of its own, to find out
/// how much there is.
pub(super) fn show(progress: &Progress, walk: Walk, done: &Receiver<()>) {
    let mut err = io::stderr();
    if !err.is_terminal() || done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
        return;
    }
    let total = total(walk, done);
    loop {
        let bytes = progress.bytes.load(Ordering::Relaxed);
        let files = progress.files.load(Ordering::Relaxed);
        // A line that can't be shown is no reason to stop.
        let _ = write!(err, "\r\x1b[K{}", line(bytes, files, total));
        let _ = err.flush();
        if done.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
            let _ = write!(err, "\r\x1b[K");
            return;
        }
    }
}

/// Returns how many bytes the files have, or `None` if that is not known.
fn total(walk: Walk, done: &Receiver<()>) -> Option<u64> {
    let mut total = 0;
    for found in walk {
        if let Found::File(path) = found {
            let is_known = !is_standard_input(&path) && done.try_recv().is_err();
            total += is_known.then(|| fs::metadata(&path).ok())??.len();
        }
    }
    Some(total)
}

fn line(bytes: u64, files: u64, total: Option<u64>) -> String {
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let read = megabytes(bytes);
    match total {
        Some(total) if total > 0 => {
            let share = usize::try_from(u128::from(bytes.min(total)) * 100 / u128::from(total));
            let share = share.unwrap_or(100);
            let bar = "#".repeat(share * WIDTH / 100);
            let total = megabytes(total);
            format!("[{bar:<WIDTH$}] {share} %, {read} of {total} MB, file {files}")
        }
        _ => format!("{read} MB, file {files}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (bytes, total, expected) in [
            (
                0,
                Some(10_000_000),
                "[                        ] 0 %, 0 of 10 MB, file 1",
            ),
            (
                5_000_000,
                Some(10_000_000),
                "[############            ] 50 %, 5 of 10 MB, file 1",
            ),
            (
                11_000_000,
                Some(10_000_000),
                "[########################] 100 %, 11 of 10 MB, file 1",
            ),
            (5_000_000, Some(0), "5 MB, file 1"),
            (5_000_000, None, "5 MB, file 1"),
        ] {
            assert_eq!(line(bytes, 1, total), expected);
        }
    }
}
