//! Lines of Docker's `json-file` driver.
//!
//! `{"log":"text\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-11-24T05:44:23.123456789Z"}`: `attrs` only if
//! asked for, and `log` without `\n` if the line goes on in the next object of its stream, which has the same time then.
//! Source: moby `daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go`.

use std::borrow::Cow;

use memchr::{memchr2, memmem, memrchr};
use serde::Deserialize;

use super::stamp;
use crate::record::Lane;

const HEAD: &[u8] = b"{\"log\":\"";
const STDOUT: &[u8] = b"\",\"stream\":\"stdout\"";
const STDERR: &[u8] = b"\",\"stream\":\"stderr\"";
const ATTRS: &[u8] = b",\"attrs\":";
const TIME: &[u8] = b",\"time\":";
/// Bytes of a machine's word.
const WORD: usize = 8;

/// The parts of a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Docker<'a> {
    /// When it was printed.
    pub stamp: Cow<'a, [u8]>,
    /// Where to.
    pub lane: Lane,
    /// Whether the line that was printed ends with it.
    pub ends_line: bool,
    /// What was printed, without its end. `None` if it had to be unescaped.
    pub text: Option<&'a [u8]>,
    /// The object of further attributes; empty if there is none.
    pub attrs: Cow<'a, [u8]>,
}

/// Whether a line begins as the driver begins each.
pub fn is_like(line: &[u8]) -> bool {
    line.starts_with(HEAD)
}

/// Takes a line apart; `unescaped` receives the text if it had escapes. `None` if the line is not of this form;
/// whether the stamp is one is not looked at.
pub fn split<'a>(line: &'a [u8], unescaped: &mut Vec<u8>) -> Option<Docker<'a>> {
    as_written(line, unescaped).or_else(|| by_the_book(line, unescaped))
}

/// Reads an object that has the driver's own fields in the driver's own order and spacing.
fn as_written<'a>(line: &'a [u8], unescaped: &mut Vec<u8>) -> Option<Docker<'a>> {
    let inner = line.strip_prefix(HEAD)?.strip_suffix(b"\"}")?;
    // From the end: a quote inside a string is escaped, so what is matched here cannot stand in the text.
    let window = inner.len().saturating_sub(stamp::LONGEST + 1);
    let quote = window + memrchr(b'"', &inner[window..])?;
    let stamp = &inner[quote + 1..];
    let rest = inner[..quote].strip_suffix(TIME)?;
    let (rest, attrs) = match rest {
        [.., b'}'] => memmem::rfind(rest, ATTRS).map(|at| (&rest[..at], &rest[at + ATTRS.len()..]))?,
        _ => (rest, &[][..]),
    };
    let (text, lane) = match rest.strip_suffix(STDOUT) {
        Some(text) => (text, Lane::Stdout),
        None => (rest.strip_suffix(STDERR)?, Lane::Stderr),
    };
    let (text, mut ends_line) = without_end(text);
    let text = match memchr2(b'\\', b'"', text) {
        None => Some(text),
        Some(first) => {
            unescape(text, first, unescaped)?;
            ends_line = ends_line || unescaped.pop_if(|byte| *byte == b'\n').is_some();
            None
        }
    };
    Some(Docker { stamp: Cow::Borrowed(stamp), lane, ends_line, text, attrs: Cow::Borrowed(attrs) })
}

/// Takes off the escaped newline at the end of a line.
fn without_end(text: &[u8]) -> (&[u8], bool) {
    match text {
        // An odd number of backslashes before it: the last of them is escaped by this one, and the n is a letter.
        [rest @ .., b'\\', b'n'] if rest.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0 => {
            (rest, true)
        }
        _ => (text, false),
    }
}

/// Puts the text into `into` with its escapes resolved, the first of which is at `first`. `None` if something is odd.
///
/// Texts with escapes have many of them, close to each other, so eight bytes are looked at and copied at a time: a
/// search and a copy for each cost more.
fn unescape(text: &[u8], first: usize, into: &mut Vec<u8>) -> Option<()> {
    into.clear();
    into.extend_from_slice(&text[..first]);
    // No text grows by this, and the last word may reach behind what counts of it.
    into.resize(text.len() + WORD, 0);
    let (mut from, mut to) = (first, first);
    while from < text.len() {
        let plain = match text[from..].first_chunk::<WORD>() {
            Some(word) => {
                into[to..to + WORD].copy_from_slice(word);
                plain_bytes(u64::from_le_bytes(*word))
            }
            None => {
                into[to] = text[from];
                usize::from(!matches!(text[from], b'\\' | b'"'))
            }
        };
        from += plain;
        to += plain;
        if matches!(text.get(from), Some(b'\\' | b'"')) {
            let (character, length) = escape(&text[from..])?;
            to += character.encode_utf8(&mut into[to..]).len();
            from += length;
        }
    }
    into.truncate(to);
    Some(())
}

/// How many bytes stand before the first quote or backslash of a word, the first byte being the lowest.
/// Source: Sean Eron Anderson, "Bit Twiddling Hacks", determining if a word has a byte equal to n.
const fn plain_bytes(word: u64) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; WORD]);
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & (ONES << 7)
    }
    let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
    found.trailing_zeros() as usize / 8
}

/// The character that an escape stands for, and the length of the escape.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let [b'\\', kind, rest @ ..] = text else { return None };
    Some(match kind {
        b'n' => ('\n', 2),
        b't' => ('\t', 2),
        b'r' => ('\r', 2),
        b'b' => ('\u{8}', 2),
        b'f' => ('\u{c}', 2),
        b'"' | b'\\' | b'/' => (char::from(*kind), 2),
        b'u' => {
            let digits = rest.first_chunk::<4>()?;
            let code = digits.iter().try_fold(0, |code, digit| Some(code << 4 | hex(*digit)?))?;
            (char::from_u32(code)?, 6)
        }
        _ => return None,
    })
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

/// The same object, written by somebody else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    log: String,
    stream: Stream,
    #[serde(default)]
    attrs: serde_json::Map<String, serde_json::Value>,
    time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stream {
    Stdout,
    Stderr,
}

/// Reads an object in any order and spacing.
fn by_the_book<'a>(line: &'a [u8], unescaped: &mut Vec<u8>) -> Option<Docker<'a>> {
    let object: Object = serde_json::from_slice(line).ok()?;
    *unescaped = object.log.into_bytes();
    let ends_line = unescaped.pop_if(|byte| *byte == b'\n').is_some();
    let attrs = if object.attrs.is_empty() { Vec::new() } else { serde_json::to_vec(&object.attrs).ok()? };
    let lane = match object.stream {
        Stream::Stdout => Lane::Stdout,
        Stream::Stderr => Lane::Stderr,
    };
    let stamp = Cow::Owned(object.time.into_bytes());
    Some(Docker { stamp, lane, ends_line, text: None, attrs: Cow::Owned(attrs) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The text, whether it ends its line, and whether it was taken as it stands.
    fn read(line: &str) -> Option<(String, bool, bool)> {
        let mut unescaped = b"left over".to_vec();
        let docker = split(line.as_bytes(), &mut unescaped)?;
        let text = docker.text.unwrap_or(&unescaped).to_vec();
        Some((String::from_utf8(text).unwrap(), docker.ends_line, docker.text.is_some()))
    }

    fn object(log: &str) -> String {
        format!(r#"{{"log":"{log}","stream":"stdout","time":"2026-11-24T05:44:23.1Z"}}"#)
    }

    #[test]
    fn text_is_unescaped_and_freed_of_its_end() {
        let cases = [
            (r"step 1\n", "step 1", true, true),
            (r"", "", false, true),
            (r"\n", "", true, true),
            (r"a piece", "a piece", false, true),
            (r#"{\"a\": \"b\"}\n"#, r#"{"a": "b"}"#, true, false),
            (r"C:\\new", r"C:\new", false, false),
            (r"C:\\n", r"C:\n", false, false),
            (r"C:\\\n", r"C:\", true, false),
            (r"\u003c\u0026\u003e \u001b[1m\r\n", "<&> \u{1b}[1m\r", true, false),
            (r"\u00e9 \u2028 é\n", "é \u{2028} é", true, false),
            (r"\ud83d\ude00\n", "\u{1f600}", true, false),
            (r"tab\tb\bf\f\/\u000a", "tab\tb\u{8}f\u{c}/", true, false),
        ];
        for (log, text, ends_line, is_borrowed) in cases {
            assert_eq!(read(&object(log)), Some((text.to_owned(), ends_line, is_borrowed)), "{log}");
        }
    }

    #[test]
    fn all_fields_are_read_in_the_order_of_the_driver_and_in_any_other() {
        let lines = [
            r#"{"log":"x\n","stream":"stderr","attrs":{"tag":"a,}"},"time":"2026-11-24T05:44:23.1Z"}"#,
            r#"{"log":"x\n", "time": "2026-11-24T05:44:23.1Z", "stream": "stderr", "attrs": {"tag": "a,}"} }"#,
        ];
        for line in lines {
            let mut unescaped = Vec::new();
            let docker = split(line.as_bytes(), &mut unescaped).unwrap();
            assert_eq!(
                (docker.lane, docker.ends_line, &*docker.stamp),
                (Lane::Stderr, true, &b"2026-11-24T05:44:23.1Z"[..])
            );
            assert_eq!(&*docker.attrs, br#"{"tag":"a,}"}"#);
            assert_eq!(docker.text.unwrap_or(&unescaped), b"x");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_refused() {
        let lines = [
            r#"{"log":"x"}"#,
            r#"{"log":"x","stream":"stdout"}"#,
            r#"{"log":"x\n","stream":"stdin","time":"2026-11-24T05:44:23.1Z"}"#,
            r#"{"log":"x\n","level":"info","stream":"stdout","time":"2026-11-24T05:44:23.1Z"}"#,
            r#"{"log":"x{"log":"y\n","stream":"stdout","time":"2026-11-24T05:44:23.1Z"}"#,
            r#"{"log":"x\","stream":"stdout","time":"2026-11-24T05:44:23.1Z"}"#,
            r#"{"log":"\ud83d x\n","stream":"stdout","time":"2026-11-24T05:44:23.1Z"}"#,
            r#"{"log":"\q\n","stream":"stdout","time":"2026-11-24T05:44:23.1Z"}"#,
            r#"{"log":"x\n","stream":"stdout","time":"2026-11-24T05:44:23.1Z"#,
        ];
        for line in lines {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        // Reading it fast and reading it by the book mean the same.
        #[test]
        fn any_text_comes_out_as_it_went_in(text in "([a-z\"\\\\/<&é\u{1f600}\r\n\t\u{0}]|\\PC){0,40}") {
            let line = json!({"log": text}).to_string();
            let line = format!(r#"{},"stream":"stdout","time":"2026-11-24T05:44:23.1Z"}}"#, &line[..line.len() - 1]);
            let expected = text.strip_suffix('\n').map_or((text.as_str(), false), |text| (text, true));
            let mut unescaped = Vec::new();
            let docker = as_written(line.as_bytes(), &mut unescaped).expect("this is how the driver writes");
            let found = String::from_utf8(docker.text.unwrap_or(&unescaped).to_vec()).unwrap();
            prop_assert_eq!((found.as_str(), docker.ends_line), expected);
        }
    }
}
