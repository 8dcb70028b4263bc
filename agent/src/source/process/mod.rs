//! A process that runlog starts, whose output it shows and collects; or whatever else writes to its standard input.
//!
//! Its bytes cannot be read again, so the pipe is emptied at once; the process waits for us at most
//! [`Config::max_wait`] at a time, after which lines are dropped and counted. stdout and stderr have no common
//! order: each keeps its own.
//!
//! The end: each output is read until its pipe ends, and shown at its reader's pace, as without runlog. A child of
//! the process that holds the pipe open does not hold us: what the process itself left in it is read, nothing more.

mod error_file;
mod exit;
mod input;
mod memory;
mod orphans;
mod run;
mod signals;
mod stream;
mod terminal;

pub use exit::Exit;
pub use input::{Shown, read_input};
pub use orphans::Orphans;
pub use run::{Prints, Program, Tagging, run};
pub use signals::asked_again;
pub use terminal::{SESSION, lead_session};

use std::time::Duration;

/// How a wrapped process is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long the process may be made to wait for room before its lines are dropped and counted.
    pub max_wait: Duration,
}
