//! A process that runlog starts and whose output it collects.

use std::time::Duration;

/// How a wrapped process is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long the process may be made to wait for room before its lines are dropped and counted.
    pub max_wait: Duration,
}
