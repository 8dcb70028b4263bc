//! What a source hands over.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    Forgotten, Origin, Receipt, Resource, Severity, Signal, SourceKind, Tally, UnixNanos, origin::Stream, wire::Outline,
};

/// One thing that a source says about one of its streams.
#[derive(Debug)]
pub enum Input {
    /// The next bytes of a stream.
    Chunk(Chunk),
    /// The next records of a stream whose source tells them apart itself.
    Entries(Entries),
    /// Something that happened, to be recorded between the stream's lines.
    Event(Event),
    /// Records that are encoded already.
    Pushed(Pushed),
    /// Asks to be told when all that was handed over before is in the queue, and lines that have no end yet are
    /// forgotten: a source that was cut short reads them again.
    Settle(oneshot::Sender<()>),
}

/// Consecutive bytes of one stream.
#[derive(Debug)]
pub struct Chunk {
    /// The stream that they belong to.
    pub origin: Arc<Origin>,
    /// Offset of `data[0]` in the stream. The bytes of a stream are handed over in order and without holes;
    /// a hole is a new [`Origin`].
    pub at: u64,
    /// The bytes, cut anywhere.
    pub data: Vec<u8>,
    /// When the bytes were read.
    pub observed: UnixNanos,
    /// Times that the source itself knows for parts of `data`, in ascending order of `end`. Empty if it knows none.
    pub marks: Vec<Mark>,
    /// Whether more bytes of this stream may follow.
    pub ending: Ending,
    /// The share of the memory budget that these bytes occupy; given back when the chunk is dropped.
    pub permit: Option<OwnedSemaphorePermit>,
}

impl Chunk {
    /// Says that a stream is read from offset `at` on, before the first bytes of it: its position is kept from now on.
    #[must_use]
    pub fn opening(origin: Arc<Origin>, at: u64, observed: UnixNanos) -> Self {
        Self { ending: Ending::Open, ..Self::closing(origin, at, observed) }
    }

    /// Whether it is such a one.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        self.data.is_empty() && self.ending == Ending::Open
    }

    /// Ends a stream at offset `at` without further bytes.
    #[must_use]
    pub const fn closing(origin: Arc<Origin>, at: u64, observed: UnixNanos) -> Self {
        Self { origin, at, data: Vec::new(), observed, marks: Vec::new(), ending: Ending::Closed, permit: None }
    }

    /// Tells of a stream that was read up to offset `at` that nothing has come for long.
    #[must_use]
    pub fn silent(origin: Arc<Origin>, at: u64, observed: UnixNanos) -> Self {
        Self { ending: Ending::Silent, ..Self::closing(origin, at, observed) }
    }

    /// Leaves a stream at offset `at` that may grow: its last line is given out as far as it has come.
    #[must_use]
    pub fn stopping(origin: Arc<Origin>, at: u64, observed: UnixNanos) -> Self {
        Self { ending: Ending::Stopped, ..Self::closing(origin, at, observed) }
    }

    /// Lets the queue drop the position of a stream that is gone, behind its last lines: filed under the same resource,
    /// so that no batch with it is closed before theirs, nor behind that of a stream which has the key from now on.
    #[must_use]
    pub fn forgetting_behind(last: &Origin, observed: UnixNanos) -> Self {
        Self::forgetting_under(Arc::clone(&last.resource), last.key.clone(), last.kind, observed)
    }

    /// Lets the queue drop the position of a stream that is gone and was not read by this process.
    #[must_use]
    pub fn forgetting(key: String, kind: SourceKind, observed: UnixNanos) -> Self {
        let of_no_run = Arc::new(Resource { run_id: String::new(), encoded: Vec::new() });
        Self::forgetting_under(of_no_run, key, kind, observed)
    }

    fn forgetting_under(resource: Arc<Resource>, key: String, kind: SourceKind, observed: UnixNanos) -> Self {
        let origin = Origin::new(Stream {
            key,
            kind,
            identity: &[],
            resource,
            attributes: Vec::new(),
            level: Severity::UNSPECIFIED,
            tally: Tally::detached(kind, ""),
            bookmark: Arc::new(Forgotten),
        });
        Self::closing(origin, 0, observed)
    }
}

/// Consecutive records of one stream, none of which goes on in the next.
#[derive(Debug)]
pub struct Entries {
    /// The stream that they belong to.
    pub origin: Arc<Origin>,
    /// The records, by ascending numbers.
    pub entries: Vec<Entry>,
    /// The number up to which the stream is read with them.
    pub read_to: u64,
    /// When they were read.
    pub observed: UnixNanos,
    /// The share of the memory budget that they occupy; given back when they are dropped.
    pub permit: Option<OwnedSemaphorePermit>,
}

impl Entries {
    /// The memory that they occupy.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| size_of::<Entry>() + entry.bytes.len() + entry.attributes.len()).sum()
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which one it is of those that this process has read. What [`super::ReadTo`] counts.
    pub number: u64,
    /// Its place in the stream, the same each time that it is read: completes the uid. The lowest
    /// [`Entry::PART_BITS`] bits are zero.
    pub at: u64,
    /// The text, of any number of lines.
    pub bytes: Vec<u8>,
    /// When it was written.
    pub time: UnixNanos,
    /// The level that stands beside the text, and its word. Without it the text may say one.
    pub level: Option<(Severity, &'static str)>,
    /// The logger's name that stands beside the text; empty if there is none.
    pub logger: String,
    /// Record attributes that stand beside the text, encoded.
    pub attributes: Vec<u8>,
}

impl Entry {
    /// Bits of [`Entry::at`] that tell the parts of a long text apart.
    pub const PART_BITS: u32 = 20;
}

/// The time of a part of a chunk: of the bytes up to `end`, from the mark before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Exclusive end, as an index into `Chunk::data`.
    pub end: usize,
    /// When the source received these bytes.
    pub time: UnixNanos,
}

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// More may come; an unterminated last line is held back.
    Open,
    /// More may come, but nothing has for long: pieces that a container runtime cut are complete as they are.
    Silent,
    /// More may come, but nobody reads it now: an unterminated last line is given out as the first part of a line.
    Stopped,
    /// Nothing will be added: an unterminated last line is complete.
    Closed,
}

impl Ending {
    /// Whether the stream's reader may hand over more of it.
    #[must_use]
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::Open | Self::Silent)
    }
}

/// An occurrence that becomes one record with an `event_name`, such as the end of a run.
#[derive(Debug)]
pub struct Event {
    /// The stream beside which it is recorded.
    pub origin: Arc<Origin>,
    /// One of the names in `docs/attributes.md`, such as `ml.run.end`.
    pub name: &'static str,
    /// When it happened.
    pub time: UnixNanos,
    /// How grave it is.
    pub severity: Severity,
    /// One sentence for people.
    pub body: String,
    /// Attributes, already encoded by [`super::wire::record_attribute`].
    pub attributes: Vec<u8>,
}

/// In whose receipts the lines of a request are counted. Those of a run add up, so a line must be in one of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// In ours.
    Here,
    /// In those of another runlog, which sent it.
    Before,
}

/// A request of a client that has its records encoded already, and waits until they are durable.
#[derive(Debug)]
pub struct Pushed {
    /// Whom it came through: gives the run, the level and the tally.
    pub origin: Arc<Origin>,
    /// What it holds.
    pub signal: Signal,
    /// A request of that signal, such as `ExportLogsServiceRequest`.
    pub request: Vec<u8>,
    /// The outline of the request.
    pub outline: Outline,
    /// In whose receipts its lines are.
    pub counted: Counted,
    /// When it was received.
    pub observed: UnixNanos,
    /// Answers the client.
    pub receipt: Receipt,
    /// The share of the memory budget that the request occupies; given back when it is dropped.
    pub permit: Option<OwnedSemaphorePermit>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NoBookmark, ReadTo};

    #[test]
    fn f6_a_position_is_forgotten_in_a_batch_of_the_run_of_its_stream() {
        // Elsewhere it could come before the last lines, or behind the position of what the file holds by then.
        let resource = Arc::new(Resource { run_id: "r".into(), encoded: Vec::new() });
        let last = Origin::new(Stream {
            key: "file:1".into(),
            kind: SourceKind::File,
            identity: &[],
            resource: Arc::clone(&resource),
            attributes: Vec::new(),
            level: Severity::INFO,
            tally: Tally::detached(SourceKind::File, ""),
            bookmark: Arc::new(NoBookmark),
        });
        let Chunk { origin, .. } = Chunk::forgetting_behind(&last, 1);
        assert!(Arc::ptr_eq(&origin.resource, &resource));
        assert_eq!((origin.key.as_str(), origin.bookmark.at(ReadTo::whole(0))), ("file:1", Some(Vec::new())));
    }
}
