//! Stage 2: lines are found in bytes.

/// How lines are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Longer lines are split into parts of this size.
    pub max_line_bytes: usize,
}
