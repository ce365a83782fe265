//! Streams: finds the records in a text of any length, with a buffer that does not grow with it.
//!
//! A text is a sequence of JSON objects: records, or objects and arrays that have records in lists. Where records stand in lines
//! ([`Shape::Lines`]), what is damaged costs its line, and a text can be read in ranges.

use std::io::{self, Read};

use super::{
    json::{Fault, Scanner},
    record::{Fields, Reading, Record, Stop, is_list},
};

/// Bytes of a buffer at first.
const BUFFER: usize = 1 << 20;
/// The most bytes of a record: those of Bedrock have about 200 kB, since longer bodies are objects of their own.
const LONGEST_RECORD: usize = 16 << 20;
/// How many bytes of a text tell its shape.
pub const SAMPLE: usize = 256 << 10;
/// The most bytes before the record in a line: a time, and the name of a log stream.
const LONGEST_PREFIX: usize = 1024;
/// The most levels of lists in lists.
const DEEPEST_LIST: usize = 8;

/// How a text is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// No object goes over the end of a line.
    Lines,
    /// Objects end anywhere.
    Free,
}

impl Shape {
    /// Tells the shape by the beginning of a text: a line that is an object, or the text of a log with an object after its time,
    /// shows that lines are kept apart. Returns `None` if this is no text of records at all.
    #[must_use]
    pub fn of(sample: &[u8]) -> Option<Self> {
        let trimmed = sample.strip_prefix(BYTE_ORDER_MARK).unwrap_or(sample);
        let mut could_be = false;
        for line in trimmed.split_inclusive(|byte| *byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else {
                could_be |= is_beginning(line.trim_ascii_start());
                break;
            };
            could_be |= is_beginning(text.trim_ascii_start());
            if !is_beginning(text) {
                continue;
            }
            let scanner = Scanner::new(line, false);
            let Ok(Some(start)) = object_in_line(line, 0) else {
                continue;
            };
            if opens_list(text) {
                return Some(Self::Free);
            }
            let ends = scanner
                .skip(start)
                .is_ok_and(|end| matches!(line[end..].trim_ascii_start(), [] | [b'{' | b'[', ..]));
            if ends {
                return Some(Self::Lines);
            }
        }
        could_be.then_some(Self::Free)
    }
}

const BAD_ESCAPE: &str = "the text of an event has an escape that is not valid";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Says whether a text can begin with an object, an array or the time of a line of a log.
fn is_beginning(text: &[u8]) -> bool {
    matches!(text, [b'{' | b'[' | b'0'..=b'9', ..])
}

/// Says whether a line is the beginning of a list, or of an object with a list of records, whose elements have lines of their own.
fn opens_list(line: &[u8]) -> bool {
    let Some(before) = line.trim_ascii_end().strip_suffix(b"[") else {
        return false;
    };
    let key = before
        .strip_prefix(b"{")
        .and_then(|it| it.trim_ascii().strip_suffix(b":"))
        .and_then(|it| it.trim_ascii().strip_prefix(b"\"")?.strip_suffix(b"\""));
    before.is_empty() || key.is_some_and(is_list)
}

/// Returns where the object of a line begins, which has a time before it in exports of `CloudWatch` Logs. `None` means that there is
/// none.
fn object_in_line(text: &[u8], at: usize) -> Result<Option<usize>, Fault> {
    if matches!(text.get(at), Some(b'{' | b'[')) {
        return Ok(Some(at));
    }
    let end = text.len().min(at + LONGEST_PREFIX);
    let prefix = &text[at..end];
    match memchr::memchr2(b'{', b'\n', prefix) {
        Some(found) if prefix[found] == b'{' && found > 0 && prefix[found - 1] == b' ' => {
            Ok(Some(at + found))
        }
        None if end == text.len() && prefix.len() < LONGEST_PREFIX => Err(Fault::Incomplete),
        _ => Ok(None),
    }
}

/// What is found in a text.
pub(super) trait Sink {
    /// Takes a record of a request. Returns what is wrong with it, if it does not count.
    fn request(&mut self, record: &Record<'_>) -> Result<(), &'static str>;
    /// Takes an object that is no record of a served request.
    fn other(&mut self, reading: &Reading<'_>);
    /// Takes a record that can't be read: the position in the text, and what is wrong.
    fn bad(&mut self, at: u64, what: &'static str);
}

/// A list that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// Elements follow, or the end of the list.
    Elements,
    /// An element was read.
    AfterElement,
    /// The list of an object was read: the rest of the object follows.
    Rest,
}

/// Reads a text.
pub(super) struct Stream<R> {
    source: R,
    shape: Shape,
    buffer: Vec<u8>,
    /// What of the buffer is not yet read.
    start: usize,
    end: usize,
    /// The position of the buffer in the text.
    offset: u64,
    /// Whether the buffer has the end of the text, or what there is before a failure.
    is_over: bool,
    failure: Option<io::Error>,
    frames: Vec<Frame>,
    scratch: Vec<u8>,
}

/// What a step came to.
enum Next {
    /// More follows.
    More,
    /// The range is over.
    Over,
}

impl<R: Read> Stream<R> {
    /// Returns a stream of a text that begins at `offset` of its file.
    pub(super) fn new(source: R, shape: Shape, offset: u64) -> Self {
        Self {
            source,
            shape,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            offset,
            is_over: false,
            failure: None,
            frames: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Reads all records, or those of the lines that begin before `until`. With `after_line`, the rest of the line that the text
    /// begins in is passed over.
    ///
    /// # Errors
    /// What the source can't read. What was read before that counts.
    pub(super) fn read(
        &mut self,
        sink: &mut impl Sink,
        after_line: bool,
        until: Option<u64>,
    ) -> io::Result<()> {
        if after_line {
            self.skip_line(false);
        } else if self.offset == 0 {
            self.fill();
            if self.rest().starts_with(BYTE_ORDER_MARK) {
                self.start = BYTE_ORDER_MARK.len();
            }
        }
        // A line belongs to the range that it begins in: only the beginnings of lines are compared.
        let is_past = |at: u64| until.is_some_and(|until| at >= until);
        let mut is_over = is_past(self.position());
        while !is_over {
            match self.step(sink, until) {
                Ok(Next::More) => continue,
                Ok(Next::Over) => break,
                Err(Fault::Incomplete) if self.is_over => {
                    let is_open = !self.rest().trim_ascii().is_empty() || !self.frames.is_empty();
                    if is_open && self.failure.is_none() {
                        sink.bad(self.position(), "the text ends within a value");
                    }
                    break;
                }
                Err(Fault::Incomplete) if self.end - self.start < LONGEST_RECORD => {
                    self.fill();
                    continue;
                }
                Err(Fault::Incomplete) => {
                    sink.bad(self.position(), "the record is longer than 16 MiB");
                    self.start = self.end;
                }
                Err(Fault::Bad { at, what }) => {
                    sink.bad(self.offset + at as u64, what);
                    if self.shape == Shape::Free {
                        self.start = at;
                    }
                }
            }
            is_over = !self.recover() || is_past(self.position());
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Returns the position in the file of what is to be read.
    fn position(&self) -> u64 {
        self.offset + self.start as u64
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Fills the buffer: a value that goes on beyond it is read again from its beginning.
    fn fill(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.offset += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        while self.end < self.buffer.len() && !self.is_over {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_over = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.is_over = true;
                    self.failure = Some(error);
                }
            }
        }
    }

    /// Goes on after damage: in the next line, or where a line begins as a record can. Returns whether there is one.
    fn recover(&mut self) -> bool {
        self.frames.clear();
        self.skip_line(self.shape == Shape::Free)
    }

    /// Goes on in the next line; with `with_beginning`, in the next one that can begin with a record.
    fn skip_line(&mut self, with_beginning: bool) -> bool {
        loop {
            if let Some(found) = memchr::memchr(b'\n', self.rest()) {
                self.start += found + 1;
                if !with_beginning {
                    return true;
                }
                while self.start == self.end && !self.is_over {
                    self.fill();
                }
                if is_beginning(self.rest()) {
                    return true;
                }
                continue;
            }
            self.start = self.end;
            if self.is_over {
                return false;
            }
            self.fill();
        }
    }

    /// Reads the next value, or the next part of a list. What is incomplete is read again from its beginning.
    fn step(&mut self, sink: &mut impl Sink, until: Option<u64>) -> Result<Next, Fault> {
        let in_lines = self.shape == Shape::Lines;
        let text = &self.buffer[..self.end];
        let scanner = Scanner::new(text, in_lines);
        let mut at = self.start;
        let Some(frame) = self.frames.last_mut() else {
            // Between values, lines may end.
            loop {
                match scanner.byte(at)? {
                    b'\n' => {
                        at += 1;
                        self.start = at;
                        let begins = self.offset + at as u64;
                        if in_lines && until.is_some_and(|until| begins >= until) {
                            return Ok(Next::Over);
                        }
                    }
                    b' ' | b'\t' | b'\r' => {
                        at += 1;
                        self.start = at;
                    }
                    _ => break,
                }
            }
            let found = match scanner.byte(at)? {
                b'{' | b'[' => Some(at),
                b'0'..=b'9' => object_in_line(text, at)?,
                _ => None,
            };
            let Some(at) = found else {
                return Err(Fault::Bad {
                    at,
                    what: "expected a JSON object",
                });
            };
            if text[at] == b'[' {
                self.start = at + 1;
                self.frames.push(Frame::Elements);
                return Ok(Next::More);
            }
            return self.object(at, sink);
        };
        at = scanner.space(at)?;
        let byte = scanner.byte(at)?;
        match (*frame, byte) {
            (Frame::Elements | Frame::AfterElement, b']') | (Frame::Rest, b'}') => {
                self.frames.pop();
                self.start = at + 1;
            }
            (Frame::AfterElement, b',') => {
                *frame = Frame::Elements;
                self.start = at + 1;
            }
            (Frame::Elements, b'{') => {
                *frame = Frame::AfterElement;
                let outcome = self.object(at, sink);
                if let Err(Fault::Incomplete) = outcome
                    && let Some(frame) = self.frames.last_mut()
                {
                    *frame = Frame::Elements;
                }
                return outcome;
            }
            // What `--query 'events[].message'` leaves of an answer of `aws logs`.
            (Frame::Elements, b'"') => {
                let (message, end) = scanner.string(at)?;
                *frame = Frame::AfterElement;
                self.start = end;
                self.scratch.clear();
                let position = self.offset + at as u64;
                match message.unescape(&mut self.scratch) {
                    None => sink.bad(position, BAD_ESCAPE),
                    Some(()) => within_message(&self.scratch, position, sink),
                }
            }
            (Frame::Elements, _) => {
                self.start = scanner.skip(at)?;
                *frame = Frame::AfterElement;
            }
            (Frame::Rest, b',') => {
                let (key, value) = scanner.member(scanner.space(at + 1)?)?;
                let key = key.value();
                if key.is_some_and(|key| is_list(&key)) && scanner.byte(value)? == b'[' {
                    self.start = value + 1;
                    self.frames.push(Frame::Elements);
                } else {
                    self.start = scanner.skip(value)?;
                }
            }
            (Frame::AfterElement | Frame::Rest, _) => {
                return Err(Fault::Bad {
                    at,
                    what: "expected , or the end of a list",
                });
            }
        }
        Ok(Next::More)
    }

    /// Reads the object at a position.
    fn object(&mut self, at: usize, sink: &mut impl Sink) -> Result<Next, Fault> {
        let text = &self.buffer[..self.end];
        let scanner = Scanner::new(text, self.shape == Shape::Lines);
        let may_have_list = self.frames.len() + 2 <= DEEPEST_LIST;
        let (fields, end) = match Fields::read(scanner, at, may_have_list) {
            Ok(read) => read,
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::List(start)) => {
                self.frames.extend([Frame::Rest, Frame::Elements]);
                self.start = start;
                return Ok(Next::More);
            }
        };
        let position = self.offset + at as u64;
        let message = fields.message.filter(|_| !self.frames.is_empty());
        match fields.reading() {
            Reading::Other if message.is_some() => {
                self.scratch.clear();
                let message = message.and_then(|message| message.unescape(&mut self.scratch));
                match message {
                    None => sink.bad(position, BAD_ESCAPE),
                    Some(()) => within_message(&self.scratch, position, sink),
                }
            }
            reading => take(&reading, position, sink),
        }
        self.start = end;
        Ok(Next::More)
    }
}

/// Reads the record that an event has as text.
fn within_message(message: &[u8], position: u64, sink: &mut impl Sink) {
    let scanner = Scanner::new(message, false);
    let read = match scanner.space(0) {
        Ok(start) if message[start] == b'{' => Fields::read(scanner, start, false),
        _ => return sink.other(&Reading::Other),
    };
    match read {
        Ok((fields, _)) => take(&fields.reading(), position, sink),
        Err(_) => sink.bad(position, "the text of an event is not a JSON object"),
    }
}

fn take(reading: &Reading<'_>, position: u64, sink: &mut impl Sink) {
    match reading {
        Reading::Request(record) => {
            if let Err(what) = sink.request(record) {
                sink.bad(position, what);
            }
        }
        Reading::Bad(what) => sink.bad(position, what),
        other => sink.other(other),
    }
}
