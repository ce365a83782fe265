//! Reads files of records on all cores: several at once, large plain ones in ranges.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use flate2::bufread::MultiGzDecoder;
use parking_lot::{Condvar, Mutex};

use super::files::{Found, Walk, is_standard_input};
use crate::served::{self, Counter, Counts, Range, SAMPLE, Seen, Shape};

/// Bytes of a range of a large plain file.
const RANGE: u64 = 32 << 20;
/// Bytes that are read of a compressed file at once.
const COMPRESSED: usize = 256 << 10;
/// Bytes that go from the thread that decompresses to the one that parses at once, and how many such parts may wait.
const PART: usize = 512 << 10;
const PARTS: usize = 4;
/// The most files and folders that are named because something is wrong with them.
const NAMED: usize = 10;
const GZIP: &[u8] = b"\x1f\x8b";

/// How far the reading is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes read from files, compressed where they are.
    pub(super) bytes: AtomicU64,
    /// Files that were opened.
    pub(super) files: AtomicU64,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) files: u64,
    /// Files and folders that can't be read, or not up to their ends.
    pub(super) damaged: u64,
    /// The first of them, in words.
    pub(super) damages: BTreeMap<u64, String>,
    /// The names of the first files that have bad records.
    pub(super) names: BTreeMap<u64, String>,
    /// A folder that was passed over, because it holds bodies.
    pub(super) bodies: Option<PathBuf>,
    /// A link to a folder that was passed over.
    pub(super) links: Option<PathBuf>,
}

/// Something to read.
enum Work {
    File {
        number: u64,
        path: PathBuf,
        /// Whether other threads have nothing to do.
        is_last: bool,
    },
    Part {
        number: u64,
        path: PathBuf,
        range: Range,
    },
}

/// What is to be read.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    walk: Walk,
    parts: VecDeque<Work>,
    number: u64,
    /// Files that may yet be divided.
    opening: usize,
    read: Outcome,
}

impl Queue {
    fn next(&self) -> Option<Work> {
        let mut state = self.state.lock();
        loop {
            if let Some(part) = state.parts.pop_front() {
                return Some(part);
            }
            match state.walk.next() {
                Some(Found::File(path)) => {
                    state.number += 1;
                    state.opening += 1;
                    state.read.files += 1;
                    return Some(Work::File {
                        number: state.number,
                        path,
                        is_last: state.walk.is_over(),
                    });
                }
                Some(Found::Bodies(path)) => {
                    state.read.bodies.get_or_insert(path);
                }
                Some(Found::Link(path)) => {
                    state.read.links.get_or_insert(path);
                }
                Some(Found::Unreadable(path, error)) => {
                    state.number += 1;
                    let number = state.number;
                    state.read.damage(number, &path, &error);
                }
                None if state.opening == 0 => return None,
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Notes that a file was opened, and the ranges of it that others may read.
    fn opened(&self, parts: impl IntoIterator<Item = Work>) {
        let mut state = self.state.lock();
        state.parts.extend(parts);
        state.opening -= 1;
        self.changed.notify_all();
    }
}

impl Outcome {
    fn damage(&mut self, number: u64, path: &Path, error: &io::Error) {
        self.damaged += 1;
        let what = if error.kind() == io::ErrorKind::UnexpectedEof {
            "the compressed data end early".to_owned()
        } else {
            error.to_string()
        };
        note(
            &mut self.damages,
            number,
            format!("{}: {what}", path.display()),
        );
    }
}

/// Keeps the first texts.
fn note(first: &mut BTreeMap<u64, String>, number: u64, text: String) {
    first.insert(number, text);
    while first.len() > NAMED {
        first.pop_last();
    }
}

/// Reads everything. `seen` finds duplicates; `named` requests of each row are named.
pub(super) fn read(walk: Walk, seen: Option<&Seen>, named: usize, progress: &Progress) -> Outcome {
    let queue = Queue {
        state: Mutex::new(State {
            walk,
            parts: VecDeque::new(),
            number: 0,
            opening: 0,
            read: Outcome::default(),
        }),
        changed: Condvar::new(),
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        let mut counter = Counter::new(seen, named);
        while let Some(work) = queue.next() {
            one(&queue, work, &mut counter, workers, progress);
        }
        counter.finish(&mut queue.state.lock().read.counts);
    };
    thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(worker);
        }
        worker();
    });
    queue.state.into_inner().read
}

/// Reads one file, or a part of one.
fn one(queue: &Queue, work: Work, counter: &mut Counter<'_>, workers: usize, progress: &Progress) {
    let before = counter.bad_records();
    let (number, path, outcome) = match work {
        Work::File {
            number,
            path,
            is_last,
        } => {
            counter.file = number;
            progress.files.fetch_add(1, Ordering::Relaxed);
            let outcome = file(
                queue,
                number,
                &path,
                is_last && workers > 1,
                counter,
                progress,
            );
            (number, path, outcome)
        }
        Work::Part {
            number,
            path,
            range,
        } => {
            counter.file = number;
            let outcome = part(&path, range, counter, progress);
            (number, path, outcome)
        }
    };
    if counter.bad_records() > before || outcome.is_err() {
        let mut state = queue.state.lock();
        if counter.bad_records() > before {
            note(&mut state.read.names, number, path.display().to_string());
        }
        if let Err(error) = outcome {
            state.read.damage(number, &path, &error);
        }
    }
}

fn file(
    queue: &Queue,
    number: u64,
    path: &Path,
    with_helper: bool,
    counter: &mut Counter<'_>,
    progress: &Progress,
) -> io::Result<()> {
    let opened = open(path, progress);
    let (size, source) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            queue.opened([]);
            return Err(error);
        }
    };
    let source = Sampled::new(source, GZIP.len());
    if source.sample().starts_with(GZIP) {
        queue.opened([]);
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(COMPRESSED, source));
        if !with_helper {
            return whole(Sampled::new(decoder, SAMPLE), counter);
        }
        return thread::scope(|scope| {
            let (sender, receiver) = sync_channel(PARTS);
            scope.spawn(move || send(decoder, &sender));
            let text = Parts {
                receiver,
                part: Vec::new(),
                at: 0,
            };
            whole(Sampled::new(text, SAMPLE), counter)
        });
    }
    let source = Sampled::new(source, SAMPLE);
    let shape = Shape::of(source.sample());
    if let (Some(size), Some(Shape::Lines)) = (size, shape)
        && size > 2 * RANGE
    {
        let starts = (1..size.div_ceil(RANGE)).map(|number| number * RANGE);
        queue.opened(starts.map(|start| Work::Part {
            number,
            path: path.to_owned(),
            range: Range {
                start,
                end: Some(start + RANGE),
            },
        }));
        let range = Range {
            start: 0,
            end: Some(RANGE),
        };
        return served::read(source, Shape::Lines, range, counter);
    }
    queue.opened([]);
    whole(source, counter)
}

/// Reads a text to its end.
fn whole(source: Sampled<impl Read>, counter: &mut Counter<'_>) -> io::Result<()> {
    if let Some(shape) = Shape::of(source.sample()) {
        return served::read(source, shape, Range::default(), counter);
    }
    // An empty file is no damage; one that fails from the beginning says why itself.
    if !source.sample().trim_ascii().is_empty() {
        counter.not_records();
    }
    source.failure.map_or(Ok(()), Err)
}

fn part(
    path: &Path,
    range: Range,
    counter: &mut Counter<'_>,
    progress: &Progress,
) -> io::Result<()> {
    let mut source = File::open(path)?;
    source.seek(SeekFrom::Start(range.start.saturating_sub(1)))?;
    let source = Counted {
        source,
        bytes: &progress.bytes,
    };
    served::read(source, Shape::Lines, range, counter)
}

/// Opens a file, and returns its size if it can be read in ranges.
fn open<'p>(path: &Path, progress: &'p Progress) -> io::Result<(Option<u64>, Counted<'p, Source>)> {
    let (size, source): (_, Source) = if is_standard_input(path) {
        (None, Box::new(io::stdin()))
    } else {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        (facts.is_file().then_some(facts.len()), Box::new(file))
    };
    let bytes = &progress.bytes;
    Ok((size, Counted { source, bytes }))
}

/// A file, or standard input.
type Source = Box<dyn Read + Send>;

/// Counts the bytes that are read.
struct Counted<'p, R> {
    source: R,
    bytes: &'p AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A source of which the beginning was looked at.
struct Sampled<R> {
    sample: Vec<u8>,
    at: usize,
    /// Why there is no more than the sample.
    failure: Option<io::Error>,
    rest: R,
}

impl<R: Read> Sampled<R> {
    /// Looks at the first bytes of a source.
    fn new(mut source: R, bytes: usize) -> Self {
        let mut sample = Vec::new();
        let failure = source.by_ref().take(bytes as u64).read_to_end(&mut sample);
        Self {
            sample,
            at: 0,
            failure: failure.err(),
            rest: source,
        }
    }

    fn sample(&self) -> &[u8] {
        &self.sample
    }
}

impl<R: Read> Read for Sampled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.sample.len() {
            let count = (&self.sample[self.at..]).read(buffer)?;
            self.at += count;
            return Ok(count);
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => self.rest.read(buffer),
        }
    }
}

/// Decompresses a file for another thread.
fn send(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut part = Vec::new();
        let outcome = source.by_ref().take(PART as u64).read_to_end(&mut part);
        let is_over = part.len() < PART;
        if sender.send(Ok(part)).is_err() {
            return;
        }
        if let Err(error) = outcome {
            // Whoever reads may be gone.
            let _ = sender.send(Err(error));
            return;
        }
        if is_over {
            return;
        }
    }
}

/// What another thread decompresses.
struct Parts {
    receiver: Receiver<io::Result<Vec<u8>>>,
    part: Vec<u8>,
    at: usize,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.part.len() {
            match self.receiver.recv() {
                Ok(part) => (self.part, self.at) = (part?, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = (&self.part[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}
