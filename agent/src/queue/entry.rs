//! What goes into the queue and comes out of it.

use std::fmt;

use bytes::Bytes;

/// The place of an entry in the log: 1, 2, 3 …, never given twice to entries that were durable. Zero is before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub(super) u64);

impl Seq {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    // At a billion entries a second, the numbers last for five hundred years.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(super) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is appended.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// What readers want to know without opening the body.
    pub meta: &'a [u8],
    /// The body; shared until it is durable, not copied. An entry with an empty one moves positions and is given to
    /// no reader.
    pub body: Bytes,
    /// Where sources go on once this entry is durable, by key. An empty value forgets the key.
    pub positions: &'a [(&'a str, &'a [u8])],
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log, and durable after the next group commit.
    At(Seq),
    /// There was no room; it is not in the log.
    Full(Full),
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Too much is waiting for the disk. Passes with the next group commit, which is under way.
    Unsynced,
    /// The queue has reached `max_bytes`. Passes when a destination acknowledges.
    Budget,
    /// The disk is full. Passes when somebody makes room, the queue's own destinations among them.
    Disk,
    /// What is left of the disk is for others. Passes in the same way.
    MinFree,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsynced => "the disk is slow",
            Self::Budget => "queue.max_bytes is reached",
            Self::Disk => "the disk is full",
            Self::MinFree => "the disk has less than queue.min_free left",
        })
    }
}

/// An entry as a reader is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place.
    pub seq: Seq,
    /// [`Entry::meta`].
    pub meta: Bytes,
    /// [`Entry::body`].
    pub body: Bytes,
}
