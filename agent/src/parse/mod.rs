//! Stage 2: lines are found in bytes, and what they say about themselves: their rank, level, logger and
//! time.
//!
//! Plain synchronous code on slices of the chunk: nothing is allocated for a line that lies whole in it.

mod frame;
mod lines;
mod parts;
mod rank;
mod severity;
mod text;
mod time;
mod traceback;
mod wrapped;

pub use frame::{Framer, Line, Part};
pub use lines::Lines;
pub use parts::parts;
pub use rank::{Prefix, prefix};
pub use severity::{Found, detect};
pub use text::{Readable, readable};
pub use time::{LocalZone, timestamp};
pub use traceback::Traceback;

/// How lines are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longer lines are split into parts of this size.
    pub max_line_bytes: usize,
}
