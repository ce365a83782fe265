//! Shows a text of others in a message: on one line, and no longer than a bound.
//!
//! Templates, objects, webhooks and AWS put words into messages. What has no bound fills memory and logs, and a line break in it
//! forges a line of the log.

use std::borrow::Cow;

/// Longest message of a condition, in bytes. The longest of our own are a fraction of it.
pub const LONGEST_MESSAGE: usize = 4096;

/// Longest part of a message that others have worded, in bytes.
pub const LONGEST_QUOTE: usize = 300;

/// Returns a text on one line, of at most so many bytes. Line breaks become spaces, other control characters the replacement
/// character; what is cut off is told by three dots.
#[must_use]
pub fn plain(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let is_cut = text.len() > most;
    let end = text.floor_char_boundary(if is_cut { most.saturating_sub(3) } else { most });
    let shown = text[..end].chars().map(|c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut shown: String = shown.collect();
    if is_cut {
        shown.push_str("...");
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_on_one_line_and_bounded() {
        for (text, most, expected) in [
            ("as it is, é", 20, "as it is, é"),
            ("a\nb\r\nc\td", 20, "a b  c d"),
            ("\u{1b}[31m", 20, "\u{fffd}[31m"),
            ("0123456789", 10, "0123456789"),
            ("0123456789x", 10, "0123456..."),
            ("ééééé", 8, "éé..."),
            ("", 0, ""),
        ] {
            assert_eq!(plain(text, most), expected, "{text:?}");
        }
    }
}
