//! Entries that have just become durable, kept in memory for the readers that wait for them.
//!
//! A destination that keeps up is given the bytes that were appended, and never waits for the disk. One that does
//! not keep up reads the segments, and these entries are forgotten.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    Seq, Stored,
    frame::{Frame, Kind},
    payload::split_entry,
};

/// Bytes of the entries that are kept.
const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The newest durable entries.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    entries: VecDeque<FreshEntry>,
    bytes: u64,
}

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct FreshEntry {
    pub stored: Stored,
    pub frame_bytes: u64,
    pub time: u64,
    /// Where a frame begins on the disk, at the entry or before it.
    pub segment: u64,
    pub offset: u64,
    /// There is no other entry between this seq and the entry's.
    after: Seq,
}

impl Fresh {
    /// Takes in a frame that is durable now, if it is an entry. Frames come in the order of their numbers.
    pub(super) fn add(&mut self, frame: Frame, segment: u64, offset: u64) {
        let Some(parts) = split_entry(&frame.lead).filter(|_| frame.kind == Kind::Entry) else { return };
        let (seq, frame_bytes, time) = (frame.seq, frame.bytes(), frame.time);
        let after = self.entries.back().map_or(seq.before(), |last| last.stored.seq);
        let stored = Stored { seq, meta: Bytes::from(frame.lead).slice(parts.meta), body: frame.body };
        self.entries.push_back(FreshEntry { stored, frame_bytes, time, segment, offset, after });
        self.bytes += frame_bytes;
        while self.bytes > MAX_BYTES {
            self.forget_first();
        }
    }

    /// The entry that comes next after `seq`, if it is here.
    pub(super) fn next_after(&self, seq: Seq) -> Option<&FreshEntry> {
        let at = self.entries.partition_point(|entry| entry.stored.seq <= seq);
        self.entries.get(at).filter(|entry| entry.after <= seq)
    }

    /// Forgets the entries up to this one, which nobody needs any more.
    pub(super) fn forget(&mut self, seq: Seq) {
        while self.entries.front().is_some_and(|first| first.stored.seq <= seq) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes -= first.frame_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::payload;

    fn frame(kind: Kind, seq: u64, body: usize) -> Frame {
        Frame::new(kind, Seq(seq), 0, payload::entry(b"meta", &[("key", b"value")]), Bytes::from(vec![7; body]))
    }

    fn next(fresh: &Fresh, seq: u64) -> Option<u64> {
        fresh.next_after(Seq(seq)).map(|entry| entry.stored.seq.0)
    }

    #[test]
    fn only_an_entry_that_surely_comes_next_is_given() {
        let mut fresh = Fresh::default();
        fresh.add(frame(Kind::Entry, 5, 10), 1, 128);
        fresh.add(frame(Kind::Positions, 6, 0), 1, 128);
        fresh.add(frame(Kind::Entry, 7, 10), 1, 128);
        // Before 5 there may be others, on the disk alone.
        assert_eq!([3, 4, 5, 6, 7].map(|seq| next(&fresh, seq)), [None, Some(5), Some(7), Some(7), None]);
        let entry = fresh.next_after(Seq(6)).unwrap();
        assert_eq!((&entry.stored.meta[..], entry.stored.body.len()), (&b"meta"[..], 10));
    }

    #[test]
    fn what_is_acknowledged_or_too_much_is_forgotten() {
        let mut fresh = Fresh::default();
        for seq in 1..=4 {
            fresh.add(frame(Kind::Entry, seq, MAX_BYTES as usize / 3), 1, 128);
        }
        assert_eq!([0, 1, 2, 3].map(|seq| next(&fresh, seq)), [None, None, Some(3), Some(4)]);
        fresh.forget(Seq(3));
        assert_eq!([2, 3].map(|seq| next(&fresh, seq)), [None, Some(4)]);
        fresh.forget(Seq(9));
        assert_eq!((fresh.entries.len(), fresh.bytes), (0, 0));
    }
}
