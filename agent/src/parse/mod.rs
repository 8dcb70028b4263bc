//! Stage 2: lines are found in bytes, and what they say about themselves: their rank, level,
//! logger and time.
//!
//! Plain synchronous code on slices of the chunk: nothing is allocated for a line that lies whole in it.

mod cause;
mod frame;
pub mod join;
mod lines;
mod parts;
mod rank;
mod severity;
mod terminal;
mod text;
mod time;
mod wrapped;

pub use cause::{cause, headline, named_rank};
pub use frame::{Framer, Line, Part};
pub use lines::Lines;
pub use parts::parts;
pub use rank::{Prefix, Prefixes, Template, UnusableTemplate, prefix};
pub use severity::{Found, detect};
pub use terminal::Config as TerminalConfig;
pub use text::{Readable, readable};
pub use time::{LocalZone, timestamp};

/// How lines are cut and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longer lines are split into parts of this size.
    pub max_line_bytes: usize,
    /// How what is drawn over is folded. `None` if it is kept as it was printed.
    pub terminal: Option<terminal::Config>,
    /// Which launchers' prefixes are taken off.
    pub rank_prefix: Prefixes,
    /// Which lines become one record.
    pub join: join::Config,
}

#[cfg(test)]
impl Default for Config {
    /// What tests do without settings.
    fn default() -> Self {
        let rank_prefix = Prefixes::Known;
        Self { max_line_bytes: 1 << 20, terminal: None, rank_prefix, join: join::Config::default() }
    }
}
