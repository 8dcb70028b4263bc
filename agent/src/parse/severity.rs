//! Finds the level that a line states at its head.
//!
//! A line is read token by token from its start. A launcher's prefix, timestamps, process ids and logger names may stand
//! before the level; two ordinary words end the search, so that prose that mentions a level has none.

use crate::record::Severity;

use super::rank::{prefix, without_escapes};

/// How far into a line a level is looked for.
const HEAD_BYTES: usize = 200;
/// How many tokens may stand before the level.
const HEAD_TOKENS: usize = 10;

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
    let line = without_escapes(prefix(line).after(line));
    let line = line.trim_ascii_start();
    if *line.first()? == b'{' {
        return in_json(line);
    }
    glog(line).or_else(|| at_head(line)).or_else(|| in_logfmt(line)).or_else(|| python_warning(line))
}

/// A level's word in capitals, as loggers print it.
fn word(token: &[u8]) -> Option<Severity> {
    Some(match token {
        b"INFO" => Severity::INFO,
        b"DEBUG" => Severity::DEBUG,
        b"WARNING" | b"WARN" => Severity::WARN,
        b"ERROR" => Severity::ERROR,
        b"CRITICAL" | b"FATAL" | b"PANIC" | b"EMERGENCY" | b"ABORT" => Severity::FATAL,
        b"TRACE" => Severity::TRACE,
        b"NOTICE" => Severity::from_number(10),
        b"SUCCESS" => Severity::from_number(12),
        b"SEVERE" => Severity::ERROR,
        b"EXCEPTION" => Severity::ERROR,
        _ => return None,
    })
}

/// A level's word in any case, for places where only a level can stand.
fn word_any_case(token: &[u8]) -> Option<Severity> {
    let mut upper = [0; 12];
    let upper = upper.get_mut(..token.len())?;
    upper.copy_from_slice(token);
    upper.make_ascii_uppercase();
    word(upper).or(match &*upper {
        b"INFORMATION" => Some(Severity::INFO),
        b"ERR" => Some(Severity::ERROR),
        b"DBG" => Some(Severity::DEBUG),
        _ => None,
    })
}

/// Bytes of tokens and of logger names, looked up since they are asked about for each byte of a head.
const TOKEN: u8 = 1;
const NAME: u8 = 2;
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_word = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'.');
        if is_word || byte >= 0x80 || matches!(byte as u8, b'/' | b'+' | b'@' | b'#' | b'%') {
            classes[byte] |= TOKEN;
        }
        if is_word || byte as u8 == b'-' {
            classes[byte] |= NAME;
        }
        byte += 1;
    }
    classes
};

const fn is_in(class: u8, byte: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

/// A hyphen belongs to a token if a digit follows: `2026-11-24`, `node-1`.
fn token_length(text: &[u8]) -> usize {
    let is_inside =
        |i: usize| is_in(TOKEN, text[i]) || text[i] == b'-' && text.get(i + 1).is_some_and(u8::is_ascii_digit);
    (0..text.len()).find(|i| !is_inside(*i)).unwrap_or(text.len())
}

fn at_head(line: &[u8]) -> Option<Found<'_>> {
    let head = &line[..line.len().min(HEAD_BYTES)];
    // Most heads begin with a date and a time; passing over them at once takes half of the cost of the search.
    let mut at = time_length(head);
    let mut logger: &[u8] = b"";
    let mut words = 0;
    let mut has_time = at > 0;
    for nth in 0..HEAD_TOKENS {
        let start = at + head[at..].iter().position(|byte| is_in(TOKEN, *byte))?;
        let length = token_length(&head[start..]);
        let token = &head[start..start + length];
        let end = start + length;
        let next = line.get(end).copied().unwrap_or(b' ');
        let before = if start == 0 { b' ' } else { head[start - 1] };

        if let Some(severity) = word(token).filter(|_| !matches!(next, b'=' | b'\'' | b'"' | b'(')) {
            let logger = logger_after(line, end, has_time).unwrap_or(logger);
            return Some(found(severity, token, logger));
        }
        // "[info]", "warning: ...", "| debug |": not capitals, so the place has to say that it is a level.
        let is_closed_in = matches!((before, next), (b'[', b']') | (b'<', b'>') | (b'(', b')') | (b'|', b'|'));
        if (is_closed_in || (next == b':' && (nth == 0 || has_time)))
            && let Some(severity) = word_any_case(token)
        {
            return Some(found(severity, token, logger_after(line, end, has_time).unwrap_or(logger)));
        }
        if token == b"Level" && next == b' ' {
            // Python's name for a level that has none: "Level 15".
            let digits = digits_at(line, end + 1);
            if !digits.is_empty() && digits.len() <= 3 {
                let level = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
                let end = end + 1 + digits.len();
                let logger = logger_after(line, end, has_time).unwrap_or(logger);
                return Some(found(Severity::from_python(level), &line[start..end], logger));
            }
        }

        let has_digit = token.iter().any(u8::is_ascii_digit);
        if has_digit && is_time_like(token, next) {
            has_time = true;
        } else if !has_digit || token.iter().any(|byte| *byte == b'.' || *byte == b'_') {
            let is_set_off =
                matches!(before, b'[' | b'(' | b'<' | b'|') || matches!(next, b']' | b')' | b'>' | b'|' | b':');
            let is_dashed = line[end..].starts_with(b" - ") || line[end..].trim_ascii_start().starts_with(b"| ");
            if !(is_set_off || is_dashed || token == b"NCCL" || token == b"T" || token == b"Z" || token == b"UTC") {
                words += 1;
                if words > usize::from(has_time) {
                    return None;
                }
            }
            // Prose goes on after a colon: "Note: this is an INFO line".
            if next == b':' && !has_time && before == b' ' && line.get(end + 1) == Some(&b' ') {
                return None;
            }
            logger = token;
        }
        at = end;
    }
    None
}

/// Bytes of `2026-11-24 05:44:23`, its fraction and its `Z` at the start, in a bracket or not.
fn time_length(head: &[u8]) -> usize {
    let start = usize::from(head.first() == Some(&b'['));
    let Some([_, _, _, _, b'-', _, _, b'-', _, _, b' ' | b'T', _, _, b':', _, _, b':', last, _]) =
        head.get(start..).and_then(|head| head.first_chunk::<19>())
    else {
        return 0;
    };
    if !head[start].is_ascii_digit() || !last.is_ascii_digit() {
        return 0;
    }
    let mut end = start + 19;
    if matches!(head.get(end), Some(b',' | b'.')) {
        end += 1 + digits_at(head, end + 1).len();
    }
    end + usize::from(head.get(end) == Some(&b'Z'))
}

fn found<'a>(severity: Severity, text: &'a [u8], logger: &'a [u8]) -> Found<'a> {
    Found { severity, text: in_utf8(text), logger: in_utf8(logger) }
}

/// Nothing, if it is not. Names are ASCII, which is seen sooner than that they are UTF-8.
fn in_utf8(text: &[u8]) -> &[u8] {
    if text.is_ascii() || std::str::from_utf8(text).is_ok() { text } else { b"" }
}

/// The name in `LEVEL:name:message` and, where a time stood before, in `LEVEL name: message`.
fn logger_after(line: &[u8], level_end: usize, has_time: bool) -> Option<&[u8]> {
    let rest = &line[level_end..];
    let is_basic = rest.first() == Some(&b':') && rest.get(1).is_some_and(|byte| *byte != b' ');
    if !is_basic && !has_time {
        return None;
    }
    let is_in_columns = || line[level_end..].trim_ascii_start().starts_with(b"|");
    let rest = &rest[rest.iter().position(|byte| !matches!(byte, b' ' | b':' | b']' | b'|' | b'-' | b'['))?..];
    let mut length = 0;
    while let Some(byte) = rest.get(length) {
        if is_in(NAME, *byte) {
            length += 1;
        } else if *byte == b':' && rest.get(length + 1) == Some(&b':') {
            length += 2;
        } else {
            break;
        }
    }
    let (name, after) = rest.split_at(length);
    let is_name = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    // `engine.py:88` is a place in a file; `com.acme.Train - …` is log4j's way.
    let is_ended = after.first() == Some(&b':') && !after.get(1).is_some_and(u8::is_ascii_digit)
        || after.starts_with(b" - ") && name.contains(&b'.')
        || after.starts_with(b" | ") && is_in_columns();
    (is_name && is_ended).then_some(name)
}

fn is_time_like(token: &[u8], next: u8) -> bool {
    token.len() >= 2 && token[0].is_ascii_digit() && matches!(next, b':' | b'-' | b',' | b' ' | b']' | b'|')
        || token.contains(&b'/')
}

fn digits_at(line: &[u8], at: usize) -> &[u8] {
    let rest = line.get(at..).unwrap_or_default();
    &rest[..rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())]
}

/// glog, absl, klog and PyTorch's C++: `I1124 05:44:23.123456 …`, there in brackets.
fn glog(line: &[u8]) -> Option<Found<'_>> {
    let rest = line.strip_prefix(b"[").unwrap_or(line);
    let severity = match *rest.first()? {
        b'D' => Severity::DEBUG,
        b'I' => Severity::INFO,
        b'W' => Severity::WARN,
        b'E' => Severity::ERROR,
        b'F' | b'C' => Severity::FATAL,
        _ => return None,
    };
    let digits = digits_at(rest, 1).len();
    let after = rest.get(1 + digits..)?;
    let is_head = (3..=8).contains(&digits) && after.first() == Some(&b' ') && digits_at(after, 1).len() == 2;
    is_head.then(|| found(severity, &rest[..1], b""))
}

/// A field of a JSON object. The object is searched, not parsed: an escaped quote never ends a key.
fn in_json(line: &[u8]) -> Option<Found<'_>> {
    let mut level = None;
    let (mut logger, mut name): (&[u8], &[u8]) = (b"", b"");
    for quote in memchr::memchr_iter(b'"', line) {
        let Some((key, value)) = json_member(&line[quote + 1..]) else { continue };
        match key {
            b"level" | b"levelname" | b"severity" | b"severity_text" | b"log.level" | b"lvl" => {
                level = level.or_else(|| json_level(value));
            }
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

/// `level=info` and the like near the head.
fn in_logfmt(line: &[u8]) -> Option<Found<'_>> {
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

/// Python's `warnings`: `path/file.py:12: UserWarning: message`.
fn python_warning(line: &[u8]) -> Option<Found<'_>> {
    let head = &line[..line.len().min(2 * HEAD_BYTES)];
    memchr::memchr_iter(b':', head).find_map(|colon| {
        let digits = digits_at(head, colon + 1).len();
        let category = head[colon + 1 + digits..].strip_prefix(b": ").filter(|_| digits > 0)?;
        let end = category.iter().position(|byte| !is_in(NAME, *byte))?;
        let is_warning = category[..end].ends_with(b"Warning") && category[end..].starts_with(b": ");
        is_warning.then(|| found(Severity::WARN, &category[..end], b"py.warnings"))
    })
}

#[cfg(test)]
mod tests;
