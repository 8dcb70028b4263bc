//! What an operator decides about the queue.

/// What the queue may occupy, and how soon it is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bytes of all segments together.
    pub max_bytes: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Bytes of the file system that are left to others, but never more than a twentieth of it. 0 leaves none.
    pub min_free_bytes: u64,
    /// When the disk is waited for.
    pub sync: SyncPolicy,
    /// Whether a file system that other machines share is used at all.
    pub allow_network_fs: bool,
}

impl Config {
    /// A queue of that size, for tests and measurements: it leaves nothing to others and syncs by the group.
    #[must_use]
    pub const fn sized(max_bytes: u64, segment_bytes: u64) -> Self {
        Self { max_bytes, segment_bytes, min_free_bytes: 0, sync: SyncPolicy::Group, allow_network_fs: false }
    }
}

/// When the disk is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Once for all that was appended during a linger.
    Group,
    /// At each entry, before the call that appends it returns.
    Batch,
    /// Never: what is written counts as durable. A power cut takes some of it away again.
    Never,
}
