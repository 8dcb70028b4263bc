//! The last entries of a stream by their digests, and how the place after them is found again.
//!
//! The engine's times are neither unique nor ordered, so they cannot say what was read already. The sequence of
//! entries can: it is the same each time the logs are read.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::frame::Seam;
use crate::record::UnixNanos;

/// How many runs a ring holds.
const RUNS: usize = 32;

/// How many seams are remembered.
const SEAMS: usize = 8;

/// How far the engine's times are expected to go back from one entry to the next.
pub(super) const DISORDER: UnixNanos = 2_000_000_000;

/// What is remembered of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Print {
    /// Over time, length and payload.
    pub digest: u64,
    pub time: UnixNanos,
}

impl Print {
    pub(super) fn of(time: UnixNanos, payload: &[u8]) -> Self {
        Self { digest: xxh3_64_with_seed(payload, time), time }
    }
}

/// An entry and how often it was repeated.
///
/// Counted, since the pieces of one long line have the same time and may have the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub print: Print,
    pub count: u32,
}

/// The last entries of a stream, oldest first. Neighbouring runs differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ring {
    runs: VecDeque<Run>,
    seams: VecDeque<Seam>,
}

impl Ring {
    pub(super) fn from_parts(runs: impl IntoIterator<Item = Run>, seams: impl IntoIterator<Item = Seam>) -> Self {
        Self { runs: runs.into_iter().collect(), seams: seams.into_iter().collect() }
    }

    pub(super) fn push(&mut self, print: Print) {
        match self.runs.back_mut() {
            Some(run) if run.print == print => run.count = run.count.saturating_add(1),
            _ => {
                if self.runs.len() == RUNS {
                    self.runs.pop_front();
                }
                self.runs.push_back(Run { print, count: 1 });
            }
        }
    }

    pub(super) fn push_seam(&mut self, seam: Seam) {
        if self.seams.len() == SEAMS {
            self.seams.pop_front();
        }
        self.seams.push_back(seam);
    }

    /// Forgets the entries; what is known about seams stays true.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(super) const fn runs(&self) -> &VecDeque<Run> {
        &self.runs
    }

    pub(super) const fn seams(&self) -> &VecDeque<Seam> {
        &self.seams
    }

    /// The time of the newest entry.
    pub(super) fn newest(&self) -> Option<UnixNanos> {
        self.runs.back().map(|run| run.print.time)
    }

    /// How many of the last runs are close in time to the newest, and the time from which on the logs hold them all.
    fn recent(&self) -> (usize, UnixNanos) {
        let newest = self.newest().unwrap_or(0);
        let close = |run: &&Run| run.print.time + DISORDER >= newest;
        let recent = self.runs.iter().rev().take_while(close);
        let oldest = recent.clone().map(|run| run.print.time).min().unwrap_or(newest);
        (recent.count(), oldest.saturating_sub(DISORDER))
    }
}

/// How much of the logs is looked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// From the time that [`Aligner::since`] says.
    Near,
    /// All that the engine still has. Its oldest entries may be gone, so the first one may be any of the ring's.
    Whole,
}

/// What an entry tells about the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It comes before the place.
    NotYet,
    /// It is the last before the place: everything after it is new.
    Found,
    /// It is so much later that the place is not to be expected any more.
    Passed,
}

/// Looks for a ring in the entries of its stream.
#[derive(Debug)]
pub(super) struct Aligner {
    runs: Vec<Run>,
    since: UnixNanos,
    rotated: bool,
    previous: Option<Print>,
    attempts: Vec<Attempt>,
}

/// The last entries seen agree with the ring up to the `seen`-th entry of `run`.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    run: usize,
    seen: u32,
    /// The run is the oldest that the engine has: its first entries may be gone.
    headless: bool,
}

impl Aligner {
    /// Of an empty ring nothing is ever found.
    pub(super) fn new(ring: &Ring, reach: Reach) -> Self {
        let (recent, since) = ring.recent();
        let skipped = if reach == Reach::Near { ring.runs.len() - recent } else { 0 };
        Self {
            runs: ring.runs.iter().skip(skipped).copied().collect(),
            since,
            rotated: reach == Reach::Whole,
            previous: None,
            attempts: Vec::new(),
        }
    }

    /// Where the reading has to start at the latest.
    pub(super) const fn since(&self) -> UnixNanos {
        self.since
    }

    /// Looks at the stream's next entry.
    pub(super) fn see(&mut self, print: Print) -> Sight {
        let runs = &self.runs;
        self.attempts = self.attempts.iter().filter_map(|attempt| attempt.next(runs, print)).collect();
        if self.previous.is_none() && self.rotated {
            let same = |&(_, run): &(usize, &Run)| run.print == print;
            let headless = |(run, _)| Attempt { run, seen: 1, headless: true };
            self.attempts.extend(runs.iter().enumerate().skip(1).filter(same).map(headless));
        }
        if self.previous != Some(print) && runs.first().is_some_and(|run| run.print == print) {
            self.attempts.push(Attempt { run: 0, seen: 1, headless: self.previous.is_none() && self.rotated });
        }
        self.previous = Some(print);
        if self.attempts.iter().any(|attempt| attempt.run + 1 == runs.len() && attempt.seen == runs[attempt.run].count)
        {
            return Sight::Found;
        }
        let late = runs.last().is_some_and(|run| print.time > run.print.time + DISORDER);
        if late && self.attempts.is_empty() { Sight::Passed } else { Sight::NotYet }
    }
}

impl Attempt {
    fn next(self, runs: &[Run], print: Print) -> Option<Self> {
        let run = runs[self.run];
        if run.print == print {
            return (self.seen < run.count).then_some(Self { seen: self.seen + 1, ..self });
        }
        let complete = self.headless || self.seen == run.count;
        let follows = runs.get(self.run + 1).is_some_and(|next| next.print == print);
        (complete && follows).then_some(Self { run: self.run + 1, seen: 1, headless: false })
    }
}
