//! Levels in a field: JSON objects and logfmt.

use crate::{parse::error_file::is_error_file, record::Severity};

use super::{
    Found, HEAD_BYTES, digits_at, found,
    words::{letter_level, word_any_case},
};

/// A field of a JSON object. The object is searched, not parsed: an escaped quote never ends a key.
pub(super) fn in_json(line: &[u8]) -> Option<Found<'_>> {
    if is_error_file(line) {
        return Some(found(Severity::ERROR, b"", b""));
    }
    let mut level = None;
    let (mut logger, mut name): (&[u8], &[u8]) = (b"", b"");
    for quote in memchr::memchr_iter(b'"', line) {
        let Some((key, value)) = json_member(&line[quote + 1..]) else { continue };
        match key {
            b"level" | b"levelname" | b"severity" | b"severity_text" | b"log.level" | b"lvl" => {
                level = level.or_else(|| json_level(value));
            }
            b"s" if level.is_none() => level = mongo_level(value),
            b"logger" | b"logger_name" if logger.is_empty() => logger = json_text(value).unwrap_or_default(),
            b"name" if name.is_empty() => name = json_text(value).unwrap_or_default(),
            _ => {}
        }
        if level.is_some() && !logger.is_empty() {
            break;
        }
    }
    let (severity, text) = level?;
    Some(found(severity, text, if logger.is_empty() { name } else { logger }))
}

/// A key that may be one of ours, and what stands behind its colon; given what stands behind the key's first quote.
fn json_member(text: &[u8]) -> Option<(&[u8], &[u8])> {
    const LONGEST: usize = b"severity_text".len();
    // Most strings are passed over by their first letter.
    if !matches!(text.first()?, b'l' | b's' | b'n') {
        return None;
    }
    let end = text.iter().take(LONGEST + 1).position(|byte| *byte == b'"')?;
    let value = text[end + 1..].trim_ascii_start().strip_prefix(b":")?;
    Some((&text[..end], value.trim_ascii_start()))
}

fn json_text(value: &[u8]) -> Option<&[u8]> {
    let text = value.strip_prefix(b"\"")?;
    Some(&text[..memchr::memchr2(b'"', b'\\', text)?])
}

fn json_level(value: &[u8]) -> Option<(Severity, &[u8])> {
    if let Some(text) = json_text(value) {
        return Some((word_any_case(text)?, text));
    }
    // pino and bunyan write numbers: 10 trace, 20 debug, … 60 fatal.
    let digits = digits_at(value, 0);
    let severity = match digits {
        b"10" => Severity::TRACE,
        b"20" => Severity::DEBUG,
        b"30" => Severity::INFO,
        b"40" => Severity::WARN,
        b"50" => Severity::ERROR,
        b"60" => Severity::FATAL,
        _ => return None,
    };
    Some((severity, digits))
}

/// MongoDB writes a letter, and behind that of debug how much: `D1` to `D5`.
fn mongo_level(value: &[u8]) -> Option<(Severity, &[u8])> {
    let text = json_text(value)?;
    match text {
        [letter] | [letter @ b'D', b'1'..=b'5'] => Some((letter_level(*letter)?, text)),
        _ => None,
    }
}

/// `level=info` and the like near the head.
pub(super) fn in_logfmt(line: &[u8]) -> Option<Found<'_>> {
    let head = &line[..line.len().min(HEAD_BYTES)];
    memchr::memchr_iter(b'=', head).find_map(|equals| {
        let key_at = head[..equals].iter().rposition(|byte| *byte == b' ').map_or(0, |space| space + 1);
        if !matches!(&head[key_at..equals], b"level" | b"lvl" | b"severity") {
            return None;
        }
        let value = &head[equals + 1..];
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let length = value.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(value.len());
        Some(found(word_any_case(&value[..length])?, &value[..length], b""))
    })
}
