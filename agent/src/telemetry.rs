//! runlog's own messages and metrics.

use std::time::Duration;

/// How runlog speaks of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The `tracing` filter of our own messages.
    pub level: String,
    /// How they are written.
    pub format: Format,
    /// Whether our own metrics are sent over OTLP, and how often.
    pub otlp_interval: Option<Duration>,
}

/// The form of our own messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, else JSON.
    Auto,
    /// One line of text each.
    Text,
    /// One JSON object each.
    Json,
}
