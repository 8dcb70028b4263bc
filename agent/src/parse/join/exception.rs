//! What was raised, read from the text that tells of it.

use crate::record::Severity;

use super::{
    Family, contains, is_blank, is_indented,
    opening::{is_message_before_traceback, is_traceback, name_length, opening},
    python::without_margin,
};

/// What a joined record says of the exception in it: parts of its text, in UTF-8 if the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exception<'a> {
    /// Its class, or the word for what ended the program. Empty if the text breaks off before it.
    pub class: &'a [u8],
    /// What it says.
    pub message: &'a [u8],
    /// All of it, without the message of the logger before it.
    pub stacktrace: &'a [u8],
}

impl Family {
    /// The level of a text that does not state one: whether it tells of a program's end.
    #[must_use]
    pub fn severity(self, text: &[u8]) -> Severity {
        let last = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let is_fatal = match self {
            Self::Warning => return Severity::WARN,
            Self::Python => false,
            Self::Dump => text.starts_with(b"Fatal "),
            Self::Java => text.starts_with(b"Exception in thread \"main\""),
            Self::Node => last.starts_with(b"Node.js v"),
            Self::Go => !text.starts_with(b"goroutine "),
            Self::Rust => text.starts_with(b"thread 'main'"),
            Self::Native => true,
        };
        if is_fatal { Severity::FATAL } else { Severity::ERROR }
    }
}

impl<'a> Exception<'a> {
    /// Reads a text of that family, the prefixes of launchers taken off. `None` if it tells of no exception.
    #[must_use]
    pub fn read(family: Family, text: &'a [u8]) -> Option<Self> {
        match family {
            Family::Warning => None,
            Family::Python => Some(python(text)),
            Family::Java | Family::Node => Some(named(text)),
            Family::Go => Some(go(text)),
            Family::Rust => Some(rust(text)),
            Family::Native => Some(native(text)),
            Family::Dump => Some(dump(text)),
        }
    }
}

/// The lines of a text and where each begins.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    text.split(|byte| *byte == b'\n').map(move |line| {
        let start = at;
        at += line.len() + 1;
        (start, line)
    })
}

/// From one place to the first line that `ends` it.
fn to_line(text: &[u8], from: usize, ends: impl Fn(&[u8]) -> bool) -> &[u8] {
    let end = lines(&text[from..]).skip(1).find(|(_, line)| ends(line)).map_or(text.len(), |(at, _)| from + at);
    text[from..end].trim_ascii_end()
}

/// `class: message` at that place.
fn class_at(text: &[u8], at: usize, ends: impl Fn(&[u8]) -> bool) -> (&[u8], &[u8]) {
    let length = name_length(&text[at..]);
    let class = &text[at..at + length];
    let rest = &text[at + length..];
    let said = if rest.starts_with(b": ") { 2 } else { usize::from(rest.starts_with(b":")) };
    let message = to_line(text, at + length + said, ends);
    (class, if said == 0 { b"" } else { message })
}

fn python(text: &[u8]) -> Exception<'_> {
    let is_header = |line: &[u8]| {
        let line = line.trim_ascii_start();
        is_traceback(line.strip_prefix(b"+ Exception Group ").unwrap_or(line))
            || is_message_before_traceback(line)
            || line.starts_with("╭".as_bytes())
    };
    let is_chain = |line: &[u8]| line.ends_with(b" exception occurred:") || line.ends_with(b" following exception:");
    let is_start =
        |line: &[u8]| is_header(line) || line.starts_with(b"  File \"") || line.ends_with(b"RemoteTraceback: ");
    let start = lines(text).find(|(_, line)| is_start(line)).map_or(0, |(at, _)| at);
    let (mut is_expected, mut is_in_frames) = (true, text[start..].starts_with(b"  File \""));
    let (mut class, mut message): (&[u8], &[u8]) = (b"", b"");
    for (at, line) in lines(text).skip_while(|(at, _)| *at < start) {
        let inside = without_margin(line);
        if is_expected && is_header(line) {
            (is_expected, is_in_frames) = (false, true);
        } else if is_chain(inside) {
            is_expected = true;
        } else if is_in_frames
            && !is_indented(inside)
            && !is_blank(inside)
            && name_length(inside) > 0
            && inside[0] != b'>'
        {
            is_in_frames = line.starts_with("│".as_bytes()) || line.starts_with("╰".as_bytes());
            if !is_in_frames {
                let margin = line.len() - inside.len();
                let ends = |line: &[u8]| {
                    is_chain(line) || line.starts_with(b"Original Traceback") || margin > 0 && contains(line, b"+-")
                };
                (class, message) = class_at(text, at + margin, ends);
            }
        }
    }
    Exception { class, message, stacktrace: &text[start..] }
}

/// Java and Node: the first line that is an exception's name, the thread before it in Java.
fn named(text: &[u8]) -> Exception<'_> {
    let is_frame = |line: &[u8]| {
        let text = line.trim_ascii_start();
        is_indented(line)
            && (text.starts_with(b"at ") || text.starts_with(b"... ") || text.starts_with(b"Suppressed: "))
            || line.starts_with(b"Caused by: ")
            || is_blank(line)
    };
    let (mut behind_mark, mut found) = (None, None);
    let mut is_marked = false;
    for (at, line) in lines(text) {
        let thread = line.strip_prefix(b"Exception in thread \"").and_then(|rest| memchr::memmem::find(rest, b"\" "));
        let name_at = thread.map_or(0, |end| 21 + end + 2);
        if thread.is_some() || matches!(opening(line).map(|found| found.grammar), Some(super::Grammar::Java(_))) {
            found = Some((at, at + name_at));
            break;
        }
        if is_marked && !is_blank(line) && behind_mark.is_none() {
            behind_mark = Some(at);
        }
        is_marked |= line.ends_with(b"^") && is_indented(line);
    }
    match (found, behind_mark) {
        (Some((start, at)), _) => {
            let (class, message) = class_at(text, at, is_frame);
            let start = if is_marked { 0 } else { start };
            Exception { class, message, stacktrace: &text[start..] }
        }
        // What is thrown need not be an error.
        (None, Some(at)) => {
            let message = to_line(text, at, |line| line.starts_with(b"(Use ") || is_frame(line));
            Exception { class: b"", message, stacktrace: text }
        }
        (None, None) => Exception { class: b"", message: b"", stacktrace: text },
    }
}

fn go(text: &[u8]) -> Exception<'_> {
    let class = [&b"panic"[..], b"fatal error"].into_iter().find(|class| text.starts_with(class));
    let length = class.map_or(0, <[u8]>::len);
    let is_end = |line: &[u8]| is_blank(line) || line.starts_with(b"[signal ") || line.starts_with(b"goroutine ");
    let message = if length == 0 { b"" } else { to_line(text, (length + 2).min(text.len()), is_end) };
    Exception { class: &text[..length], message, stacktrace: text }
}

fn rust(text: &[u8]) -> Exception<'_> {
    let first = to_line(text, 0, |_| true);
    let is_end = |line: &[u8]| line == b"stack backtrace:" || line.starts_with(b"note: ");
    let message = match memchr::memmem::find(first, b" panicked at '") {
        // Until 1.73 the message stood before the place.
        Some(at) => {
            let message = &first[at + 14..];
            &message[..memchr::memmem::rfind(message, b"', ").unwrap_or(message.len())]
        }
        None => to_line(text, (first.len() + 1).min(text.len()), is_end),
    };
    Exception { class: b"panic", message, stacktrace: text }
}

fn native(text: &[u8]) -> Exception<'_> {
    let first = to_line(text, 0, |_| true);
    if !first.starts_with(b"terminate called") {
        return Exception { class: b"SIGABRT", message: first, stacktrace: text };
    }
    let mut quoted = first.split(|byte| *byte == b'\'');
    let class = quoted.nth(1).unwrap_or(b"SIGABRT");
    let is_end = |line: &[u8]| is_blank(line) || line.starts_with(b"frame #") || line.starts_with(b"Exception raised");
    let message = memchr::memmem::find(text, b"what():").map_or(first, |at| to_line(text, at + 7, is_end));
    Exception { class, message: message.trim_ascii_start(), stacktrace: text }
}

fn dump(text: &[u8]) -> Exception<'_> {
    const FATAL: &[u8] = b"Fatal Python error";
    let first = to_line(text, 0, |_| true);
    let (class, message): (&[u8], &[u8]) = match first.strip_prefix(FATAL) {
        Some(rest) => (&text[..FATAL.len()], rest.strip_prefix(b": ").unwrap_or(rest)),
        None => (b"", b""),
    };
    Exception { class, message, stacktrace: text }
}
