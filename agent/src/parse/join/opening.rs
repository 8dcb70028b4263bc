//! How things begin whose lines are one.

use super::{Grammar, contains, go::Go, java::Java, native::Native, node::Node, python::Python, rust::Rust};

/// A line that begins something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    pub grammar: Grammar,
    pub certainty: Certainty,
}

/// Whether it is known already that the line begins something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// It does.
    Certain,
    /// It does if the lines behind it say so; else it is a line like any other.
    IfFollowed,
    /// It does, and is all of it.
    Alone,
}

use Certainty::{Alone, Certain, IfFollowed};

/// The first bytes that something may begin with. Most lines begin with another one, and cost no more.
const FIRST: [bool; 256] = {
    let mut first = [false; 256];
    let mut byte = b'A';
    while byte <= b'Z' {
        first[byte as usize] = true;
        first[byte.to_ascii_lowercase() as usize] = true;
        byte += 1;
    }
    let others = b" \t*/_\xe2";
    let mut i = 0;
    while i < others.len() {
        first[others[i] as usize] = true;
        i += 1;
    }
    first
};

/// What the C library says before it aborts.
const GLIBC: [&[u8]; 11] = [
    b"double free or corruption",
    b"free(): ",
    b"malloc(): ",
    b"malloc_consolidate(): ",
    b"munmap_chunk(): ",
    b"realloc(): ",
    b"corrupted size vs. prev_size",
    b"corrupted double-linked list",
    b"tcache_thread_shutdown(): ",
    b"*** stack smashing detected ***",
    b"*** buffer overflow detected ***",
];

/// Whether a line may begin something, as far as its first byte says, which may be that of a launcher's prefix.
pub fn may_begin(line: &[u8]) -> bool {
    line.first().is_some_and(|first| FIRST[*first as usize] || matches!(first, b'[' | b'(' | 0x1b))
        || is_message_before_traceback(line)
}

/// `Scheduler hit an exception: Traceback (most recent call last):`, as programs print `traceback.format_exc()`.
pub fn is_message_before_traceback(line: &[u8]) -> bool {
    line.last() == Some(&b':') && line.ends_with(b": Traceback (most recent call last):")
}

/// What a line begins, the launcher's prefix taken off; `None` for most.
pub fn opening(line: &[u8]) -> Option<Opening> {
    let python = |state, certainty| Some(Opening { grammar: Grammar::Python(state), certainty });
    if is_message_before_traceback(line) {
        return python(Python::Frames, Certain);
    }
    if !FIRST[*line.first()? as usize] {
        return None;
    }
    let go = |state, certainty| Some(Opening { grammar: Grammar::Go(state), certainty });
    let native = |state, certainty| Some(Opening { grammar: Grammar::Native(state), certainty });
    match line {
        [b'T', b'r', ..] if is_traceback(line) => python(Python::Frames, Certain),
        [b' ' | b'\t', ..] => indented(line),
        [b'T' | b'C', ..] if is_thread(line) => python(Python::Dump, Certain),
        [b'T', b'i', ..] if line.starts_with(b"Timeout (") && line.ends_with(b")!") => python(Python::Dump, IfFollowed),
        [b'F', b'a', ..] if line.starts_with(b"Fatal Python error: ") => python(Python::FatalDump, Certain),
        [b'P', b'r', ..] if line.starts_with(b"Process ") && line.ends_with(b":") => {
            python(Python::Announced, IfFollowed)
        }
        [b'E', b'x', ..] if line.starts_with(b"Exception in thread \"") => {
            Some(Opening { grammar: Grammar::Java(Java::Message(0)), certainty: Certain })
        }
        [b'E', b'x', ..] if line.starts_with(b"Exception in thread ") || line.starts_with(b"Exception ignored in") => {
            python(Python::Announced, IfFollowed)
        }
        [0xe2, ..] if line.starts_with("╭".as_bytes()) && contains(line, b"Traceback (most recent call last)") => {
            python(Python::Boxed, Certain)
        }
        [b'p', b'a', ..] if line.starts_with(b"panic: ") => go(Go::Head(0), IfFollowed),
        [b'f', b'a', ..] if line.starts_with(b"fatal error: ") => go(Go::Head(0), IfFollowed),
        [b'g', b'o', ..] if super::go::is_goroutine(line) => go(Go::Trace, Certain),
        [b't', b'h', ..]
            if line.starts_with(b"thread '") && contains(line, b"' ") && contains(line, b" panicked at ") =>
        {
            let state = if line.ends_with(b":") { Rust::Place } else { Rust::Message(0) };
            Some(Opening { grammar: Grammar::Rust(state), certainty: Certain })
        }
        [b't', b'e', ..] if line.starts_with(b"terminate called ") => native(Native::Terminate, Certain),
        [b'*', ..] if line.starts_with(b"*** Error in `") => native(Native::Map, Certain),
        [b'/', ..] | [b'n', b'o', b'd', b'e', b':', ..] | [b'f', b'i', b'l', b'e', b':', ..] => node_place(line),
        [b'd' | b'f' | b'm' | b'r' | b'c' | b't' | b'*', ..] if GLIBC.iter().any(|said| line.starts_with(said)) => {
            native(Native::Map, Alone)
        }
        _ => name(line),
    }
}

pub fn is_traceback(line: &[u8]) -> bool {
    line.starts_with(b"Traceback (most recent call last)")
}

/// `Thread 0x00007f6b862816c0 (most recent call first):`, in 3.14 with the thread's name in brackets.
pub fn is_thread(line: &[u8]) -> bool {
    (line.starts_with(b"Thread 0x") || line.starts_with(b"Current thread"))
        && line.trim_ascii_end().ends_with(b"(most recent call first):")
}

fn indented(line: &[u8]) -> Option<Opening> {
    let text = line.trim_ascii_start();
    let (state, certainty) = match text.first()? {
        b'T' if is_traceback(text) => (Python::Frames, Certain),
        b'+' if text.starts_with(b"+ Exception Group Traceback (most recent call last)") => (Python::Group, Certain),
        b'F' if line.starts_with(b"  File \"") && contains(line, b"\", line ") => (Python::Place(0), IfFollowed),
        _ => return None,
    };
    Some(Opening { grammar: Grammar::Python(state), certainty })
}

/// Node shows first where an error was thrown: `/app/train.js:12`.
fn node_place(line: &[u8]) -> Option<Opening> {
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let path = line[..line.len() - digits].strip_suffix(b":").filter(|_| digits > 0)?;
    let is_script =
        [&b"js"[..], b"ts", b"jsx", b"tsx"].iter().any(|end| path.ends_with(end)) || path.starts_with(b"node:");
    is_script.then_some(Opening { grammar: Grammar::Node(Node::Place(0)), certainty: IfFollowed })
}

/// `java.lang.IllegalStateException: message` and `TypeError: message`, which frames have to follow.
fn name(line: &[u8]) -> Option<Opening> {
    let length = name_length(line);
    let (name, after) = line.split_at(length);
    let is_ended = after.is_empty() || after.starts_with(b": ") || after == b":" || after.starts_with(b" [");
    let is_error = [&b"Exception"[..], b"Error", b"Throwable", b"Traceback"].iter().any(|end| name.ends_with(end));
    (is_ended && is_error).then_some(Opening { grammar: Grammar::Java(Java::Name(0)), certainty: IfFollowed })
}

/// How long the name is that a line begins with: identifiers with dots, `<locals>` of Python among them.
pub fn name_length(line: &[u8]) -> usize {
    let is_inside =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'<' | b'>') || *byte >= 0x80;
    line.iter().position(|byte| !is_inside(byte)).unwrap_or(line.len())
}
