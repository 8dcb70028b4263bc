//! Exceptions of Java and of what else runs on its machine.

use super::{Next, StatesLevel, is_blank, is_indented};

/// How many lines a message may go on for before the first frame.
const MAX_MESSAGE_LINES: u8 = 4;

/// Where in a stack trace the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Java {
    /// Behind a line that is the name of an exception, so many lines.
    Name(u8),
    /// Behind the name where it is known to be one.
    Message(u8),
    /// Among the frames.
    Trace,
    /// What looked like it is an error of Node.
    IsNode,
    /// What looked like it is another process's exception, of Python.
    IsPython,
}

impl Java {
    pub fn next(&mut self, line: &[u8], states_level: StatesLevel) -> Next {
        match *self {
            Self::Name(lines) | Self::Message(lines) => {
                if line.starts_with(b"    at ") {
                    *self = Self::IsNode;
                    return Next::Takes;
                }
                if is_of_trace(line) {
                    *self = Self::Trace;
                    return Next::Takes;
                }
                if lines == 0 && line == b"\"\"\"" {
                    *self = Self::IsPython;
                    return Next::Takes;
                }
                if lines >= MAX_MESSAGE_LINES || is_blank(line) || states_level(line) {
                    return Next::Not;
                }
                *self = match *self {
                    Self::Name(_) => Self::Name(lines + 1),
                    _ => Self::Message(lines + 1),
                };
                Next::May
            }
            _ if is_cause(line) => {
                *self = Self::Message(0);
                Next::Takes
            }
            _ if is_of_trace(line) => Next::Takes,
            _ => Next::Not,
        }
    }
}

fn is_cause(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    [&b"Caused by: "[..], b"Suppressed: ", b"Wrapped by: "].iter().any(|start| text.starts_with(start))
}

fn is_of_trace(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    is_indented(line) && (text.starts_with(b"at ") || text.starts_with(b"... ") || text.starts_with(b"[CIRCULAR"))
        || is_cause(line)
}
