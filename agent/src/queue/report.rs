//! What the queue says of itself.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{Full, Seq};

/// What was found when the queue was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Intact entries with a body.
    pub entries: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Bytes after the last sync from the first that are incomplete. Their sources read them again.
    pub torn_bytes: u64,
    /// Damaged places that were passed by.
    pub corrupt_frames: u64,
    /// Entries that are missing, for at least one destination, between those that are there.
    pub lost_entries: u64,
    /// Files that are no use to the queue and were renamed, and copies of damaged segments.
    pub set_aside: Vec<PathBuf>,
    /// Destinations that had a cursor and are not configured any more. Theirs is gone.
    pub removed_destinations: Vec<String>,
}

/// How the queue is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all segments. May exceed `max_bytes` by what cursors and snapshots take.
    pub disk_bytes: u64,
    /// [`Config::max_bytes`].
    pub max_bytes: u64,
    /// Bytes that are not durable yet.
    pub unsynced_bytes: u64,
    /// The newest durable entry.
    pub durable: Seq,
    /// What each destination has still to acknowledge.
    pub destinations: BTreeMap<String, Pending>,
    /// Why the last append found no room; `None` if it did.
    pub full: Option<Full>,
    /// How often something could not be made durable, since the queue was opened.
    pub sync_failures: u64,
    /// Why what was appended last cannot be made durable; `None` if it can.
    pub failure: Option<String>,
    /// How often the queue's files were found removed while it was open, and were written again.
    pub removals: u64,
    /// Damaged places that were found, since the queue was opened or when it was.
    pub damaged_frames: u64,
}

impl Stats {
    /// Entries that the destination furthest behind has still to acknowledge.
    #[must_use]
    pub fn entries_left(&self) -> u64 {
        self.destinations.values().map(|pending| pending.entries).max().unwrap_or(0)
    }
}

/// What a destination has still to acknowledge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pending {
    /// Entries with a body.
    pub entries: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// How long ago the oldest was appended, by the wall clock; `None` if there is none.
    pub oldest_age: Option<Duration>,
}
