//! Panics of Go and the stacks of its goroutines.

use super::{Next, StatesLevel, contains, is_blank};

/// How many lines a panic's value may have.
const MAX_MESSAGE_LINES: u8 = 8;

/// Where in a panic the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// Behind `panic: `, so many lines.
    Head(u8),
    /// Among the stacks.
    Trace,
}

impl Go {
    pub fn next(&mut self, line: &[u8], states_level: StatesLevel) -> Next {
        if is_goroutine(line) {
            *self = Self::Trace;
            return Next::Takes;
        }
        match *self {
            _ if line.starts_with(b"\t") || line.starts_with(b"[signal ") => Next::Takes,
            _ if is_blank(line) => Next::May,
            Self::Head(lines) if lines < MAX_MESSAGE_LINES && !states_level(line) => {
                *self = Self::Head(lines + 1);
                Next::May
            }
            Self::Trace if line.starts_with(b"exit status ") => Next::Ends,
            Self::Trace if is_of_trace(line) => Next::Takes,
            Self::Head(_) | Self::Trace => Next::Not,
        }
    }
}

/// `goroutine 1 [running]:`.
pub fn is_goroutine(line: &[u8]) -> bool {
    line.strip_prefix(b"goroutine ").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
        && contains(line, b" [")
        && line.ends_with(b":")
}

fn is_of_trace(line: &[u8]) -> bool {
    if [&b"created by "[..], b"runtime stack:", b"...", b"panic("].iter().any(|start| line.starts_with(start)) {
        return true;
    }
    // `main.(*Trainer).step(0xc000010000, 0x3)`; a register and its value.
    let function = line.iter().position(|byte| *byte == b'(').map_or(&b""[..], |end| &line[..end]);
    let is_call = function.contains(&b'.') && !function.contains(&b' ') && line.ends_with(b")");
    let is_register = line.len() < 32 && contains(line, b"  0x") && line[0].is_ascii_lowercase();
    is_call || is_register
}
