//! Stage 2: lines are found in bytes, and what they say about themselves: their rank, level,
//! logger and time.
//!
//! Plain synchronous code on slices of the chunk: nothing is allocated for a line that lies whole in it.

mod alike;
mod cause;
mod collective;
mod error_file;
mod frame;
pub mod join;
mod lines;
mod parts;
mod rank;
mod scalars;
mod severity;
mod terminal;
mod text;
mod time;
mod wrapped;

pub use alike::{Alike, Config as AlikeConfig, Fate, Offered, Rank};
pub use cause::{cause, headline, named_rank};
pub use collective::{RootCause, collective, root_cause};
pub use error_file::{ErrorFile, error_file};
pub use frame::{Framer, Line, Part};
pub use lines::Lines;
pub use parts::parts;
pub use rank::{Prefix, Prefixes, Template, UnusableTemplate, prefix};
pub use scalars::{Scalar, Scalars, scalars};
pub use severity::{Found, detect};
pub use terminal::Config as TerminalConfig;
pub use text::{Readable, readable};
pub use time::{LocalZone, timestamp};

/// How lines are cut and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longer lines are split into parts of this size.
    pub max_line_bytes: usize,
    /// Which launchers' prefixes are taken off.
    pub rank_prefix: Prefixes,
    /// How what is drawn over is folded. `None` if it is kept as it was printed.
    pub terminal: Option<terminal::Config>,
    /// Which lines become one record.
    pub join: join::Config,
    /// Which numbers in lines are metrics of the run, by their names.
    pub scalars: Vec<glob::Pattern>,
    /// Whether a destination takes gauges of them; the embedded store has the events.
    pub are_gauges_sent: bool,
    /// Which lines that are alike become one record.
    pub alike: alike::Config,
    /// How long a rank may be silent while others are not; `None` if nobody listens.
    pub silent_rank_after: Option<std::time::Duration>,
    /// So many lines of one stream are kept in a second; `None` for all.
    pub lines_per_second: Option<std::num::NonZeroU32>,
}

impl Default for Config {
    /// For tests, which have no settings.
    fn default() -> Self {
        Self {
            max_line_bytes: 1 << 20,
            rank_prefix: Prefixes::Known,
            terminal: None,
            join: join::Config::default(),
            scalars: Vec::new(),
            are_gauges_sent: true,
            alike: alike::Config::default(),
            silent_rank_after: None,
            lines_per_second: None,
        }
    }
}
