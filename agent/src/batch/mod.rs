//! Stage 4: records gather in a batch, which is compressed when it closes.

use std::time::Duration;

/// When a batch closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// At this size before compression.
    pub max_bytes: usize,
    /// When its first line has waited this long.
    pub linger: Duration,
}
