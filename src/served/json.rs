//! A parser of JSON that reads the fields that are asked for and skips everything else by its structure.
//!
//! Bodies of requests are most of a record, and are of no interest. What is skipped is checked for balanced brackets and closed
//! strings, not for more. No recursion, no allocation; nesting has a bound. A text may end anywhere: then more of it is asked for.

use std::borrow::Cow;

/// The most levels of brackets, as `serde_json` has it.
const DEEPEST: u32 = 128;

/// Why a value can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The text ends within the value.
    Incomplete,
    /// The text is not JSON.
    Bad {
        /// The position in the text.
        at: usize,
        /// What is wrong, in words.
        what: &'static str,
    },
}

fn bad<T>(at: usize, what: &'static str) -> Result<T, Fault> {
    Err(Fault::Bad { at, what })
}

/// What stands between the quotes of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quoted<'t> {
    raw: &'t [u8],
    is_escaped: bool,
}

impl<'t> Quoted<'t> {
    /// Returns the bytes that the string means, or `None` if an escape is not valid.
    pub(super) fn value(self) -> Option<Cow<'t, [u8]>> {
        if !self.is_escaped {
            return Some(Cow::Borrowed(self.raw));
        }
        let mut value = Vec::with_capacity(self.raw.len());
        self.unescape(&mut value)?;
        Some(Cow::Owned(value))
    }

    /// Appends the bytes that the string means.
    pub(super) fn unescape(self, into: &mut Vec<u8>) -> Option<()> {
        let mut rest = self.raw;
        while let Some(position) = memchr::memchr(b'\\', rest) {
            into.extend_from_slice(&rest[..position]);
            let escape = *rest.get(position + 1)?;
            rest = &rest[position + 2..];
            into.push(match escape {
                b'"' | b'\\' | b'/' => escape,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let (c, after) = unicode(rest)?;
                    into.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = after;
                    continue;
                }
                _ => return None,
            });
        }
        into.extend_from_slice(rest);
        Some(())
    }
}

/// Reads the digits after `\u`, and the second half of a pair of surrogates.
fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let unit = |text: &[u8]| {
        let digits = text.get(..4)?;
        let is_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
        let digits = std::str::from_utf8(digits).ok().filter(|_| is_hexadecimal);
        u32::from_str_radix(digits?, 16).ok()
    };
    let (first, rest) = (unit(text)?, &text[4..]);
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let second = unit(rest.strip_prefix(b"\\u")?)?;
    if !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    let c = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
    Some((c, &rest[6..]))
}

/// A text of which values are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    /// Whether a value ends with its line, at the latest.
    in_lines: bool,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t [u8], in_lines: bool) -> Self {
        Self { text, in_lines }
    }

    /// Returns the byte at a position.
    #[inline]
    pub(super) fn byte(self, at: usize) -> Result<u8, Fault> {
        self.text.get(at).copied().ok_or(Fault::Incomplete)
    }

    fn line_ends<T>(at: usize) -> Result<T, Fault> {
        bad(at, "the line ends within a value")
    }

    /// Returns the position of what follows white space.
    #[inline]
    pub(super) fn space(self, at: usize) -> Result<usize, Fault> {
        // Logs are written without white space.
        if self.byte(at)? > b' ' {
            return Ok(at);
        }
        self.skip_space(at)
    }

    fn skip_space(self, mut at: usize) -> Result<usize, Fault> {
        loop {
            match self.byte(at)? {
                b'\n' if self.in_lines => return Self::line_ends(at),
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ => return Ok(at),
            }
            at += 1;
        }
    }

    /// Reads the string whose opening quote is at a position, and returns where it ends.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a fifth of the time")]
    pub(super) fn string(self, at: usize) -> Result<(Quoted<'t>, usize), Fault> {
        let start = at + 1;
        let end = self.special(start)?;
        if self.text[end] == b'"' {
            let raw = &self.text[start..end];
            let is_escaped = false;
            return Ok((Quoted { raw, is_escaped }, end + 1));
        }
        let end = self.end_of_string(end)?;
        let raw = &self.text[start..end];
        let is_escaped = true;
        Ok((Quoted { raw, is_escaped }, end + 1))
    }

    /// Returns the position of the quote that ends a string in which a backslash is at a position, or the line ends there.
    fn end_of_string(self, mut at: usize) -> Result<usize, Fault> {
        loop {
            match self.text[at] {
                b'"' => return Ok(at),
                b'\\' => at = self.special(at + 2)?,
                _ if self.in_lines => return Self::line_ends(at),
                _ => return bad(at, "a line ends within a string"),
            }
        }
    }

    /// Returns the position of the next quote, backslash or end of a line. Most strings are short: a vector search pays only
    /// for those that are not.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a fifth of the time")]
    fn special(self, at: usize) -> Result<usize, Fault> {
        if let Some(found) = self.special_in_word(at) {
            return Ok(found);
        }
        self.special_beyond(at)
    }

    /// Looks at eight bytes at once.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a fifth of the time")]
    fn special_in_word(self, at: usize) -> Option<usize> {
        let word = u64::from_le_bytes(*self.text.get(at..)?.first_chunk()?);
        let found = equal(word, b'"') | equal(word, b'\\') | equal(word, b'\n');
        (found != 0).then(|| at + (found.trailing_zeros() / 8) as usize)
    }

    fn special_beyond(self, mut at: usize) -> Result<usize, Fault> {
        const WORDS: usize = 6;
        for _ in 0..WORDS {
            if at + 8 > self.text.len() {
                break;
            }
            if let Some(found) = self.special_in_word(at) {
                return Ok(found);
            }
            at += 8;
        }
        let rest = self.text.get(at..).ok_or(Fault::Incomplete)?;
        let found = memchr::memchr3(b'"', b'\\', b'\n', rest);
        found.map(|position| at + position).ok_or(Fault::Incomplete)
    }

    /// Returns where the value that begins at a position ends.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a fifth of the time")]
    pub(super) fn skip(self, at: usize) -> Result<usize, Fault> {
        match self.byte(at)? {
            b'"' => Ok(self.string(at)?.1),
            b'{' | b'[' => self.skip_container(at),
            b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => self.skip_scalar(at),
            _ => bad(at, "expected a value"),
        }
    }

    fn skip_scalar(self, mut at: usize) -> Result<usize, Fault> {
        loop {
            match self.byte(at)? {
                b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'E' => at += 1,
                _ => return Ok(at),
            }
        }
    }

    /// Skips to the bracket that closes the one at a position. A bit for each open bracket says whether it is a brace.
    fn skip_container(self, mut at: usize) -> Result<usize, Fault> {
        let mut braces: u128 = 0;
        let mut depth: u32 = 0;
        loop {
            match self.byte(at)? {
                b'"' => {
                    at = self.string(at)?.1;
                    continue;
                }
                open @ (b'{' | b'[') => {
                    if depth == DEEPEST {
                        return bad(at, "brackets are nested too deep");
                    }
                    braces = braces << 1 | u128::from(open == b'{');
                    depth += 1;
                }
                close @ (b'}' | b']') => {
                    if (braces & 1 == 1) != (close == b'}') {
                        return bad(at, "a bracket is closed by one of another kind");
                    }
                    braces >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(at + 1);
                    }
                }
                b'\n' if self.in_lines => return Self::line_ends(at),
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads a string if there is one at a position. A value of another kind is skipped.
    #[inline]
    pub(super) fn text(self, at: usize) -> Result<(Option<Quoted<'t>>, usize), Fault> {
        if self.byte(at)? == b'"' {
            let (text, end) = self.string(at)?;
            return Ok((Some(text), end));
        }
        Ok((None, self.skip(at)?))
    }

    /// Reads a number without sign, fraction and exponent if there is one at a position. A value of another kind is skipped.
    #[inline]
    pub(super) fn number(self, at: usize) -> Result<(Option<u64>, usize), Fault> {
        let end = self.skip(at)?;
        let digits = &self.text[at..end];
        let number = digits.iter().try_fold(0_u64, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        });
        Ok((number, end))
    }

    /// Hands each member of the object at a position to `visit`: its key, and where its value begins. `visit` returns where the
    /// value ends. Returns where the object ends.
    #[inline]
    pub(super) fn members<E: From<Fault>>(
        self,
        at: usize,
        mut visit: impl FnMut(&[u8], usize) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let mut at = self.space(at + 1)?;
        if self.text[at] == b'}' {
            return Ok(at + 1);
        }
        loop {
            let (key, value) = self.member(at)?;
            at = if !key.is_escaped {
                visit(key.raw, value)?
            } else if let Some(key) = key.value() {
                visit(&key, value)?
            } else {
                bad(at, "a key has an escape that is not valid")?
            };
            at = self.space(at)?;
            match self.text[at] {
                b',' => at = self.space(at + 1)?,
                b'}' => return Ok(at + 1),
                _ => bad(at, "expected , or } after a value")?,
            }
        }
    }

    /// Reads a key, and returns where its value begins.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a fifth of the time")]
    pub(super) fn member(self, at: usize) -> Result<(Quoted<'t>, usize), Fault> {
        if self.byte(at)? != b'"' {
            return bad(at, "expected a key in quotes");
        }
        let (key, at) = self.string(at)?;
        let at = self.space(at)?;
        if self.text[at] != b':' {
            return bad(at, "expected : after a key");
        }
        Ok((key, self.space(at + 1)?))
    }
}

/// Returns a word whose lowest set bit is in the first byte that equals `byte`, or 0 if there is none.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let zeros = word ^ (LOW * u64::from(byte));
    zeros.wrapping_sub(LOW) & !zeros & (LOW << 7)
}
