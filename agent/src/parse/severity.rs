//! Finds the level that a line states at its head.
//!
//! A line is read token by token from its start. A launcher's prefix, timestamps, process ids and logger names may stand
//! before the level; two ordinary words end the search, so that prose that mentions a level has none.

mod fields;
mod head;
mod words;

use crate::record::Severity;

use super::rank::{prefix, without_escapes};

use fields::{in_json, in_logfmt};
use head::{at_head, glog, python_warning, signal_report};

/// How far into a line a level is looked for.
const HEAD_BYTES: usize = 200;
const ESCAPE: u8 = 0x1b;

/// A level that a line states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The level.
    pub severity: Severity,
    /// The source's own word for it, in UTF-8.
    pub text: &'a [u8],
    /// The logger's name in UTF-8; empty if the line does not state one.
    pub logger: &'a [u8],
}

/// Looks for a level. `None` if the line does not state one.
#[must_use]
pub fn detect(line: &[u8]) -> Option<Found<'_>> {
    let line = match line.first() {
        Some(b'[' | b'(' | &ESCAPE) => without_escapes(prefix(line).after(line)),
        _ => line,
    };
    in_plain(line).or_else(|| {
        let head = &line[..line.len().min(HEAD_BYTES)];
        memchr::memchr(ESCAPE, head).and_then(|_| in_colour(line))
    })
}

fn in_plain(line: &[u8]) -> Option<Found<'_>> {
    let line = line.trim_ascii_start();
    if let [b'{', after @ ..] = line
        && matches!(after.trim_ascii_start().first(), Some(b'"'))
    {
        return in_json(line);
    }
    glog(line)
        .or_else(|| at_head(line))
        .or_else(|| in_logfmt(line))
        .or_else(|| python_warning(line))
        .or_else(|| signal_report(line))
}

/// The same for a line whose parts are coloured: its head is read without the escapes.
fn in_colour(line: &[u8]) -> Option<Found<'_>> {
    let (mut plain, mut places, mut length) = ([0; HEAD_BYTES], [0; HEAD_BYTES], 0);
    let mut rest = line;
    while length < HEAD_BYTES {
        rest = without_escapes(rest);
        let Some((byte, after)) = rest.split_first() else { break };
        (plain[length], places[length]) = (*byte, line.len() - rest.len());
        (rest, length) = (after, length + 1);
    }
    let plain = &plain[..length];
    let found = in_plain(plain)?;
    // A word that is coloured in itself cannot be borrowed.
    let in_line = |part: &[u8]| -> &[u8] {
        let start = part.as_ptr().addr().wrapping_sub(plain.as_ptr().addr());
        let places = places.get(start..start.saturating_add(part.len())).unwrap_or_default();
        match places {
            [first, .., last] if last - first + 1 == part.len() => &line[*first..=*last],
            [one] => &line[*one..=*one],
            _ => b"",
        }
    };
    Some(Found { severity: found.severity, text: in_line(found.text), logger: in_line(found.logger) })
}

fn found<'a>(severity: Severity, text: &'a [u8], logger: &'a [u8]) -> Found<'a> {
    Found { severity, text: in_utf8(text), logger: in_utf8(logger) }
}

/// Nothing, if it is not. Names are ASCII, which is seen sooner than that they are UTF-8.
fn in_utf8(text: &[u8]) -> &[u8] {
    if text.is_ascii() || std::str::from_utf8(text).is_ok() { text } else { b"" }
}

fn digits_at(line: &[u8], at: usize) -> &[u8] {
    let rest = line.get(at..).unwrap_or_default();
    &rest[..rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())]
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
