//! Errors of Node and other engines of JavaScript.

use super::{Next, StatesLevel, is_blank, is_indented};

/// How many lines a message may go on for.
const MAX_MESSAGE_LINES: u8 = 4;

/// Where in what Node prints the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Behind the place where the error was thrown, so many lines.
    Place(u8),
    /// Behind the mark below the source line.
    Mark,
    /// Behind the error's own line, so many lines.
    Thrown(u8),
    /// Among the frames.
    Trace,
    /// Behind an empty line.
    Gap,
}

impl Node {
    pub fn next(&mut self, line: &[u8], states_level: StatesLevel) -> Next {
        let (next, state) = match *self {
            Self::Place(_) if is_mark(line) => (Next::Takes, Self::Mark),
            Self::Place(lines) if lines < 2 => (Next::May, Self::Place(lines + 1)),
            Self::Mark if is_blank(line) => (Next::Takes, Self::Mark),
            Self::Mark => (Next::Takes, Self::Thrown(0)),
            Self::Thrown(_) | Self::Trace if is_blank(line) => (Next::May, Self::Gap),
            Self::Thrown(_) | Self::Trace | Self::Gap if line.starts_with(b"Node.js v") => (Next::Ends, Self::Gap),
            Self::Thrown(_) | Self::Trace | Self::Gap if line.starts_with(b"(Use `node ") => (Next::Takes, Self::Trace),
            Self::Trace | Self::Gap if line.starts_with(b"Emitted 'error' event") => (Next::Takes, Self::Trace),
            Self::Thrown(_) if line.starts_with(b"    at ") => (Next::Takes, Self::Trace),
            Self::Thrown(lines) if lines < MAX_MESSAGE_LINES && !states_level(line) => {
                (Next::May, Self::Thrown(lines + 1))
            }
            Self::Trace if is_indented(line) || line == b"}" => (Next::Takes, Self::Trace),
            state => (Next::Not, state),
        };
        *self = state;
        next
    }
}

fn is_mark(line: &[u8]) -> bool {
    line.ends_with(b"^") && line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'^' | b'~'))
}
