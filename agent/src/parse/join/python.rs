//! Tracebacks of Python, and the dumps of its `faulthandler`.

use super::{
    Next, StatesLevel, contains, is_blank, is_indented,
    opening::{is_thread, is_traceback, name_length},
};

/// Beyond so many lines of others between the lines of a traceback, it is not waited for.
const MAX_ASIDE: u8 = 32;

/// Where in a traceback the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Python {
    /// Behind `Process ForkPoolWorker-1:` or `Exception in thread Thread-1:`.
    Announced,
    /// Behind the place of a syntax error that has no head, so many lines.
    Place(u8),
    /// Among the frames.
    Frames,
    /// The same, behind an empty line.
    FramesGap,
    /// The same, so many lines of others between them.
    Aside(u8),
    /// In a frame that rich has drawn.
    Boxed,
    /// In an exception group.
    Group,
    /// Behind the exception's own line.
    Message,
    /// Behind that of a `ValidationError`, which names fields at the line's start.
    Fields,
    /// Behind such a name.
    Field,
    /// Behind torchrun's error, whose message is a report between two lines of `=`.
    Failed,
    /// In that report.
    Report,
    /// Behind an empty line after the message.
    Gap,
    /// Behind the sentence that another exception follows.
    Chain,
    /// In another process's traceback, between quotes.
    Quoted,
    /// In a dump of threads.
    Dump,
    /// The same, behind a fatal error.
    FatalDump,
}

/// Sentences between two exceptions.
const CHAINS: [&[u8]; 2] = [
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
];

/// What PyTorch adds to messages, at the line's start.
const HINTS: [&[u8]; 7] = [
    b"CUDA kernel errors might be asynchronously reported",
    b"For debugging consider passing ",
    b"Compile with `TORCH_USE_CUDA_DSA`",
    b"Device-side assertion",
    b"Search for `cuda",
    b"Exception raised from ",
    b"frame #",
];

impl Python {
    pub fn next(&mut self, line: &[u8], states_level: StatesLevel, is_marked: bool) -> Next {
        let (next, state) = match *self {
            Self::Announced => header(line),
            Self::Place(lines) => place(lines, line),
            Self::Frames | Self::FramesGap | Self::Aside(_) => self.frames(line, states_level),
            Self::Boxed => boxed(line),
            Self::Group => group(line, states_level, is_marked),
            Self::Message => message(line, states_level, is_marked),
            Self::Fields => match message(line, states_level, is_marked) {
                (Next::Not, _) if !states_level(line) => (Next::May, Self::Field),
                (next, Self::Message) => (next, Self::Fields),
                other => other,
            },
            Self::Field if is_indented(line) => (Next::Takes, Self::Fields),
            Self::Field => (Next::Not, Self::Field),
            Self::Failed if is_ruler(line) => (Next::Takes, Self::Report),
            Self::Failed => message(line, states_level, is_marked),
            Self::Report if is_ruler(line) => (Next::Ends, Self::Report),
            Self::Report => (Next::Takes, Self::Report),
            Self::Gap if is_chain(line) => (Next::Takes, Self::Chain),
            Self::Gap if line.starts_with(b"Exception raised from ") => (Next::Takes, Self::Message),
            Self::Gap => (Next::Not, Self::Gap),
            Self::Chain if is_blank(line) => (Next::Takes, Self::Chain),
            Self::Chain => header(line),
            Self::Quoted if is_quote(line) => (Next::Takes, Self::Message),
            Self::Quoted => (Next::Takes, Self::Quoted),
            state @ (Self::Dump | Self::FatalDump) => (dump(line), state),
        };
        *self = state;
        next
    }

    fn frames(self, line: &[u8], states_level: StatesLevel) -> (Next, Self) {
        if is_blank(line) {
            // loguru leaves them between the frames.
            return (Next::May, Self::FramesGap);
        }
        if line.starts_with(b"> File \"") || is_indented(line) && !is_traceback(line.trim_ascii_start()) {
            return (Next::Takes, Self::Frames);
        }
        let name = &line[..name_length(line)];
        let after = &line[name.len()..];
        let is_name = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_' || *byte >= 0x80);
        let is_level = name.len() > 1 && name.iter().all(u8::is_ascii_uppercase) && states_level(line);
        if is_name && !is_level && (after.is_empty() || after.starts_with(b":")) {
            let is_validation = name.ends_with(b"ValidationError");
            let behind = match is_validation {
                true => Self::Fields,
                false if name.ends_with(b".ChildFailedError") => Self::Failed,
                false => Self::Message,
            };
            return (Next::Takes, behind);
        }
        // Another process or thread has printed between two frames.
        let aside = if let Self::Aside(aside) = self { aside } else { 0 };
        if aside < MAX_ASIDE { (Next::Aside, Self::Aside(aside + 1)) } else { (Next::Not, self) }
    }
}

/// A traceback has to begin here.
fn header(line: &[u8]) -> (Next, Python) {
    let text = line.trim_ascii_start();
    if is_traceback(text) {
        (Next::Takes, Python::Frames)
    } else if text.starts_with(b"+ Exception Group Traceback") {
        (Next::Takes, Python::Group)
    } else if is_quote(line) {
        (Next::Takes, Python::Quoted)
    } else {
        (Next::Not, Python::Announced)
    }
}

/// `  File "train.py", line 2`, the line itself, where it breaks off, `SyntaxError: …`.
fn place(lines: u8, line: &[u8]) -> (Next, Python) {
    if is_indented(line) && lines < 3 {
        return (Next::May, Python::Place(lines + 1));
    }
    let is_syntax =
        [&b"SyntaxError: "[..], b"IndentationError: ", b"TabError: "].iter().any(|name| line.starts_with(name));
    if is_syntax { (Next::Takes, Python::Message) } else { (Next::Not, Python::Place(lines)) }
}

fn message(line: &[u8], states_level: StatesLevel, is_marked: bool) -> (Next, Python) {
    if is_blank(line) {
        return (Next::May, if is_marked { Python::Message } else { Python::Gap });
    }
    if is_chain(line) {
        return (Next::Takes, Python::Chain);
    }
    if line.starts_with(b"Original Traceback (most recent call last)") {
        // Of a worker of PyTorch's DataLoader.
        return (Next::Takes, Python::Frames);
    }
    if is_quote(line) {
        return (Next::Takes, Python::Quoted);
    }
    if is_marked && is_traceback(line) {
        return (Next::Not, Python::Message);
    }
    let goes_on = is_marked && !states_level(line)
        || is_indented(line) && super::opening(line).is_none()
        || HINTS.iter().any(|hint| line.starts_with(hint));
    (if goes_on { Next::Takes } else { Next::Not }, Python::Message)
}

/// A drawn frame ends with its lower edge, behind which the exception's line stands.
fn boxed(line: &[u8]) -> (Next, Python) {
    if line.starts_with("╰".as_bytes()) {
        (Next::Takes, Python::Frames)
    } else if line.starts_with("│".as_bytes()) {
        (Next::Takes, Python::Boxed)
    } else {
        (Next::Not, Python::Boxed)
    }
}

fn group(line: &[u8], states_level: StatesLevel, is_marked: bool) -> (Next, Python) {
    match line.trim_ascii_start().first() {
        Some(b'|' | b'+') if is_indented(line) => (Next::Takes, Python::Group),
        _ => message(line, states_level, is_marked),
    }
}

fn dump(line: &[u8]) -> Next {
    let goes_on = line.starts_with(b"  ")
        || is_thread(line)
        || [&b"Python runtime state: "[..], b"Extension modules: ", b"Current thread's C stack trace"]
            .iter()
            .any(|start| line.starts_with(start));
    match (goes_on, is_blank(line)) {
        (true, _) => Next::Takes,
        (false, true) => Next::May,
        (false, false) => Next::Not,
    }
}

/// What torchrun draws above and below its report.
fn is_ruler(line: &[u8]) -> bool {
    line.starts_with(b"==========") && line.iter().all(|byte| *byte == b'=')
}

fn is_chain(line: &[u8]) -> bool {
    CHAINS.iter().any(|chain| line.trim_ascii() == *chain)
}

fn is_quote(line: &[u8]) -> bool {
    matches!(line.trim_ascii(), b"\"\"\"" | b"'''")
}

/// Of the frames of a group, what stands behind its margin.
pub fn without_margin(line: &[u8]) -> &[u8] {
    let text = line.trim_ascii_start();
    match text.strip_prefix(b"| ").or_else(|| text.strip_prefix(b"|")) {
        Some(inside) if contains(line, b"|") => inside,
        _ => line,
    }
}
