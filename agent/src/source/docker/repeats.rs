//! Entries that the engine sends twice in one reading.
//!
//! Older engines go back by an entry or more at each rotation (20.10 does). Their times tell, since no two entries have
//! the same nanosecond, but for the pieces of one line. Where the engine's clock is coarser than its entries follow each
//! other, equal times tell nothing.

use std::collections::VecDeque;

use super::{frame::Entry, ring::Print};
use crate::record::UnixNanos;

/// How many entries of a stream are remembered.
const RECENT: usize = 256;

/// What a reading has given out last.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    streams: [Stream; 2],
    /// The latest time.
    latest: UnixNanos,
    /// Whether entries of one stream had the same time that were no pieces of one line.
    is_coarse: bool,
}

#[derive(Debug, Default)]
struct Stream {
    recent: VecDeque<Print>,
    /// The time of the line whose pieces are being read.
    unfinished: Option<UnixNanos>,
}

impl Repeats {
    /// Begins a reading: what an earlier one gave out may come again.
    pub(super) fn begin(&mut self) {
        self.latest = 0;
        for stream in &mut self.streams {
            stream.recent.clear();
            stream.unfinished = None;
        }
    }

    /// Whether the next entry came before. If not, it is remembered.
    pub(super) fn is_one(&mut self, entry: &Entry<'_>, print: Print) -> bool {
        let stream = &mut self.streams[entry.stdio as usize];
        let goes_on = stream.unfinished == Some(entry.time);
        let is_old = entry.time < self.latest || entry.time == self.latest && !self.is_coarse;
        if is_old && !goes_on && stream.recent.contains(&print) {
            return true;
        }
        self.is_coarse |= !goes_on && stream.recent.back().is_some_and(|last| last.time == print.time);
        self.latest = self.latest.max(entry.time);
        stream.unfinished = (!entry.payload.ends_with(b"\n")).then_some(entry.time);
        if stream.recent.len() == RECENT {
            stream.recent.pop_front();
        }
        stream.recent.push_back(print);
        false
    }
}
