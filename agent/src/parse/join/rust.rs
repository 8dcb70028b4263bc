//! Panics of Rust.

use super::{Next, StatesLevel, is_blank};

/// How many further lines a message may have.
const MAX_MESSAGE_LINES: u8 = 8;

/// Where in a panic the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rust {
    /// Behind the place, where the message follows on a line of its own.
    Place,
    /// Behind the message, so many lines.
    Message(u8),
    /// In the backtrace.
    Trace,
}

impl Rust {
    pub fn next(&mut self, line: &[u8], states_level: StatesLevel) -> Next {
        let (next, state) = match *self {
            Self::Place => (Next::Takes, Self::Message(0)),
            Self::Message(_) if line == b"stack backtrace:" => (Next::Takes, Self::Trace),
            Self::Message(_) | Self::Trace if line.starts_with(b"note: ") => (Next::Ends, Self::Trace),
            Self::Trace if line.starts_with(b" ") => (Next::Takes, Self::Trace),
            Self::Message(lines) if lines < MAX_MESSAGE_LINES && !is_blank(line) && !states_level(line) => {
                (Next::May, Self::Message(lines + 1))
            }
            state => (Next::Not, state),
        };
        *self = state;
        next
    }
}
