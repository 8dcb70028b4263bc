//! What appending, committing and reading have to agree on. Locked for moments, never while a file is touched.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{
    Full, Pending, Seq, Stats,
    frame::{Header, Kind},
    fresh::Fresh,
    room::Room,
    segment::FIRST_FRAME,
    storage::StoredFile,
};

/// Segments whose files are kept open: all of them, at the default sizes.
pub(super) const MAX_HELD: usize = 64;

/// A segment that is on disk for good. The last one is written to, unless it has failed.
#[derive(Clone)]
pub(super) struct Segment {
    pub number: u64,
    /// Frames before this offset are durable and may be read.
    pub readable_to: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// The last durable entry with a body.
    pub last_body: Option<Seq>,
    /// Kept open for the newest, so that they can be read when somebody has removed them.
    pub file: Option<Arc<dyn StoredFile>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Destination {
    /// The last entry that was acknowledged, durably or not.
    pub acknowledged: Seq,
    /// Entries with a body after it. Too high after damage, until the destination is drained.
    pub pending_entries: u64,
    /// Bytes of their frames.
    pub pending_bytes: u64,
    /// When the first of them was appended, as far as it is known.
    pub oldest: u64,
}

#[derive(Default)]
pub(super) struct State {
    /// In the order of their numbers, without those that are removed.
    pub segments: VecDeque<Segment>,
    pub destinations: BTreeMap<String, Destination>,
    pub appended: Seq,
    pub durable: Seq,
    pub unsynced_bytes: u64,
    /// Of the durable entries, the newest.
    pub fresh: Fresh,
    /// There is something to commit.
    pub dirty: bool,
    /// Something was acknowledged since the last commit.
    pub acknowledging: bool,
    /// It should be committed without lingering.
    pub urgent: bool,
    /// No more appends.
    pub closed: bool,
    /// The last handle is gone.
    pub ended: bool,
    pub full: Option<Full>,
    pub room: Room,
    pub sync_failures: u64,
    /// What the last commit failed with.
    pub failure: Option<String>,
    /// Times that the files were found removed and were written again.
    pub removals: u64,
    /// Commits so far, failed ones too.
    pub commits: u64,
    /// Where frames were found damaged: segment and offset.
    pub damage: BTreeSet<(u64, u64)>,
    pub damaged_frames: u64,
}

impl Destination {
    /// A destination that has everything up to `acknowledged`, and waits for nothing yet.
    pub(super) fn after(acknowledged: Seq) -> Self {
        Self { acknowledged, ..Self::default() }
    }

    /// Counts a frame that comes after all frames counted before, if this destination is waiting for it.
    pub(super) fn add_if_pending(&mut self, header: &Header) {
        if header.kind != Kind::Entry || header.seq <= self.acknowledged {
            return;
        }
        if self.pending_entries == 0 {
            self.oldest = header.time;
        }
        self.pending_entries += 1;
        self.pending_bytes += header.frame_bytes();
    }

    /// An entry is acknowledged; what comes after it was appended at `next_time` or not much earlier.
    pub(super) fn acknowledge(&mut self, seq: Seq, frame_bytes: u64, next_time: u64) {
        self.acknowledged = self.acknowledged.max(seq);
        self.pending_entries = self.pending_entries.saturating_sub(1);
        self.pending_bytes = self.pending_bytes.saturating_sub(frame_bytes);
        self.oldest = next_time;
    }
}

/// What a reader finds after the place that it has come to.
pub(super) enum Ahead {
    /// Durable frames, an entry among them: from `offset` of `segment`, up to `end`.
    Frames { segment: u64, offset: u64, end: u64, file: Option<Arc<dyn StoredFile>> },
    /// Nothing yet.
    Nothing,
    /// Nothing, and nothing will come.
    End,
}

impl State {
    /// Bytes of all segments together.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.file_bytes).sum()
    }

    /// Looks for entries after `seq` from an offset of a segment, which may be removed or read to its end already.
    pub(super) fn ahead(&self, segment: u64, offset: u64, seq: Seq) -> Ahead {
        let first = self.segments.partition_point(|known| known.number < segment);
        for known in self.segments.range(first..) {
            let offset = if known.number == segment { offset } else { FIRST_FRAME };
            if offset < known.readable_to && known.last_body > Some(seq) {
                let file = known.file.clone();
                return Ahead::Frames { segment: known.number, offset, end: known.readable_to, file };
            }
        }
        if self.closed && self.durable == self.appended { Ahead::End } else { Ahead::Nothing }
    }

    /// Adds the newest segment, and lets go of the file of one that is not among the newest any more.
    pub(super) fn add_segment(&mut self, segment: Segment) {
        self.segments.push_back(segment);
        if let Some(old) = self.segments.len().checked_sub(MAX_HELD + 1) {
            self.segments[old].file = None;
        }
    }

    /// The last entry that every destination has acknowledged.
    pub(super) fn lowest_acknowledged(&self) -> Option<Seq> {
        self.destinations.values().map(|known| known.acknowledged).min()
    }

    /// A frame was found damaged; it counts once, whoever comes across it.
    pub(super) fn found_damage(&mut self, segment: u64, offset: u64) {
        if self.damage.insert((segment, offset)) {
            self.damaged_frames += 1;
        }
    }

    /// Whether a commit is due even if nothing more is appended: a cursor has moved, or will.
    pub(super) fn awaits_cursors(&self) -> bool {
        self.acknowledging || self.destinations.values().any(|known| known.pending_entries > 0)
    }

    /// Asks the committer for a commit that does not linger.
    pub(super) fn hurry(&mut self) {
        self.dirty = true;
        self.urgent = true;
    }

    pub(super) fn stats(&self, now: u64, max_bytes: u64) -> Stats {
        let pending = |destination: &Destination| Pending {
            entries: destination.pending_entries,
            bytes: destination.pending_bytes,
            oldest_age: (destination.pending_entries > 0)
                .then(|| Duration::from_nanos(now.saturating_sub(destination.oldest))),
        };
        Stats {
            disk_bytes: self.disk_bytes(),
            max_bytes,
            unsynced_bytes: self.unsynced_bytes,
            durable: self.durable,
            destinations: self.destinations.iter().map(|(name, known)| (name.clone(), pending(known))).collect(),
            full: self.full,
            sync_failures: self.sync_failures,
            failure: self.failure.clone(),
            removals: self.removals,
            damaged_frames: self.damaged_frames,
        }
    }
}
