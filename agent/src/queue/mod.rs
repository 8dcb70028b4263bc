//! Stage 5: what has to survive, on disk.

/// What the queue may occupy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes of all segments together.
    pub max_bytes: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
}
