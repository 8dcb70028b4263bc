//! Where a container's stream has to be read on: what is kept of it in memory and in the queue.
//!
//! Goals: to find the place again by content in a log that the engine may have cut at its head; to describe any
//! offset that the pipeline has finished with, also inside an entry; to occupy little, since it is written with
//! each batch. Not goals: to find it in the logs of another container, or after the engine rewrote its entries.
//!
//! The bytes are one protobuf message, [`Position`]; fields are only ever added. It survives a crash as a whole or
//! not at all, being part of a queue entry.

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use prost::Message;

use super::{
    frame::Seam,
    ring::{Print, Ring, Run},
};
use crate::record::{Bookmark, ReadTo, UnixNanos};

/// How many entries between the reader and the queue are remembered one by one.
///
/// Further ones are passed over: until the pipeline is beyond them, the place is described by an earlier entry and
/// a longer way from there, which costs reading them again after a restart and nothing else.
const MAX_OUTSTANDING: usize = 4096;

/// What the queue keeps of a stream.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Position {
    /// The time up to which the container's logs could not be aligned last; 0 if they always could.
    #[prost(fixed64, tag = "1")]
    pub epoch: UnixNanos,
    /// Digest of the stream's first entry in this epoch.
    #[prost(fixed64, tag = "2")]
    pub generation: u64,
    /// Payload bytes of the stream that are in the queue.
    #[prost(uint64, tag = "3")]
    pub consumed: u64,
    /// Payload bytes up to the end of the newest entry below. Not more than `consumed`.
    #[prost(uint64, tag = "4")]
    pub end: u64,
    /// Payload bytes of the container's other stream that come before that end in the logs.
    #[prost(uint64, tag = "5")]
    pub beside: u64,
    /// Digests of the last entries, oldest first.
    #[prost(fixed64, repeated, tag = "6")]
    digests: Vec<u64>,
    /// How often each was repeated.
    #[prost(uint32, repeated, tag = "7")]
    counts: Vec<u32>,
    /// The time of each, as the difference from the one before.
    #[prost(sint64, repeated, tag = "8")]
    steps: Vec<i64>,
    /// Times of lines that ended unfinished.
    #[prost(fixed64, repeated, tag = "9")]
    seam_times: Vec<u64>,
    /// Their lengths.
    #[prost(uint32, repeated, tag = "10")]
    seam_lengths: Vec<u32>,
}

impl Position {
    fn set_ring(&mut self, ring: &Ring) {
        let mut before = 0_i64;
        for run in ring.runs() {
            let time = run.print.time.cast_signed();
            self.digests.push(run.print.digest);
            self.counts.push(run.count);
            self.steps.push(time.wrapping_sub(before));
            before = time;
        }
        for seam in ring.seams() {
            self.seam_times.push(seam.time);
            self.seam_lengths.push(u32::try_from(seam.length).unwrap_or(u32::MAX));
        }
    }

    fn ring(&self) -> Ring {
        let mut time = 0_i64;
        let runs = self.digests.iter().zip(&self.counts).zip(&self.steps).map(|((&digest, &count), &step)| {
            time = time.wrapping_add(step);
            Run { print: Print { digest, time: time.cast_unsigned() }, count }
        });
        let seams = self.seam_times.iter().zip(&self.seam_lengths);
        Ring::from_parts(runs, seams.map(|(&time, &length)| Seam { time, length: length as usize }))
    }
}

/// Where a stream can be entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The entries before.
    pub ring: Ring,
    /// See [`Position::end`].
    pub end: u64,
    /// See [`Position::beside`].
    pub beside: u64,
}

/// An entry that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub print: Print,
    /// Payload bytes before it.
    pub start: u64,
    /// Payload bytes up to its end.
    pub end: u64,
    /// See [`Position::beside`].
    pub beside: u64,
}

/// The place of one stream, shared by its reader and the pipeline.
#[derive(Debug)]
pub(super) struct Place(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    epoch: UnixNanos,
    generation: u64,
    consumed: u64,
    /// The newest entry that the pipeline has finished with.
    settled: Tail,
    outstanding: VecDeque<Outstanding>,
    /// Up to where entries are known.
    read_to: u64,
    forgotten: bool,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    end: u64,
    beside: u64,
    /// `None` for entries that were passed over.
    print: Option<Print>,
}

impl Place {
    /// The beginning of a stream.
    pub(super) fn new(epoch: UnixNanos, generation: u64) -> Self {
        Self::resumed(&Position { epoch, generation, ..Position::default() })
    }

    /// Where the queue says that a stream was.
    pub(super) fn resumed(position: &Position) -> Self {
        Self(Mutex::new(Inner {
            epoch: position.epoch,
            generation: position.generation,
            consumed: position.consumed,
            settled: Tail { ring: position.ring(), end: position.end, beside: position.beside },
            outstanding: VecDeque::new(),
            read_to: position.end,
            forgotten: false,
        }))
    }

    /// Notes an entry before its bytes are handed over. Entries that were noted earlier are left as they are.
    pub(super) fn read(&self, step: Step) {
        let mut inner = self.lock();
        if step.end <= inner.read_to {
            return;
        }
        if step.start > inner.read_to {
            inner.pass(step.start, step.beside);
        }
        if inner.outstanding.len() < MAX_OUTSTANDING {
            inner.outstanding.push_back(Outstanding { end: step.end, beside: step.beside, print: Some(step.print) });
        } else {
            inner.pass(step.end, step.beside);
        }
        inner.read_to = step.end;
    }

    /// Notes that the newest entry ended unfinished.
    pub(super) fn seam(&self, seam: Seam) {
        self.lock().settled.ring.push_seam(seam);
    }

    /// The newest entry that can be found again, with those before it.
    pub(super) fn tail(&self) -> Tail {
        let inner = self.lock();
        let mut tail = inner.settled.clone();
        for (index, step) in inner.outstanding.iter().enumerate() {
            if step.print.is_some() || index + 1 < inner.outstanding.len() {
                tail.advance(*step);
            }
        }
        tail
    }

    /// Lets the queue drop the position with the next batch.
    pub(super) fn forget(&self) {
        self.lock().forgotten = true;
    }

    /// See [`Position::generation`].
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Goes on to `end` without remembering what lies before it.
    fn pass(&mut self, end: u64, beside: u64) {
        let passed = Outstanding { end, beside, print: None };
        match self.outstanding.back_mut() {
            Some(last) if last.print.is_none() => *last = passed,
            _ => self.outstanding.push_back(passed),
        }
    }
}

impl Tail {
    fn advance(&mut self, step: Outstanding) {
        self.end = step.end;
        self.beside = step.beside;
        match step.print {
            Some(print) => self.ring.push(print),
            None => self.ring.clear(),
        }
    }
}

impl Bookmark for Place {
    /// An offset before one that was asked for earlier is answered with that one: what is in the queue stays there.
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>> {
        let inner = &mut *self.lock();
        if inner.forgotten {
            return Some(Vec::new());
        }
        inner.consumed = inner.consumed.max(read_to.offset);
        while let Some(&step) = inner.outstanding.front() {
            // Without an entry after it, nothing would be left to align by.
            let bare = step.print.is_none() && inner.outstanding.get(1).is_none_or(|next| next.end > inner.consumed);
            if step.end > inner.consumed || bare {
                break;
            }
            inner.settled.advance(step);
            inner.outstanding.pop_front();
        }
        if inner.outstanding.is_empty() {
            inner.outstanding.shrink_to(64);
        }
        let mut position = Position {
            epoch: inner.epoch,
            generation: inner.generation,
            consumed: inner.consumed,
            end: inner.settled.end,
            beside: inner.settled.beside,
            ..Position::default()
        };
        position.set_ring(&inner.settled.ring);
        Some(position.encode_to_vec())
    }
}
