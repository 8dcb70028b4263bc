//! The flight recorder: what the level leaves out of a run is kept for a while, and sent when the run gets into trouble.
//!
//! # Goals
//! - The last lines below the level are there when an error comes, the run fails, or an operator asks for them.
//! - Memory is bounded, over all runs together, and a line costs little: it is copied, and compressed with others.
//!
//! # Not goals
//! - To survive the process. What is recorded is in memory alone, and nothing of it ever touches a disk unasked.
//! - To record what another runlog sends: that one has a recorder.
//!
//! # What is kept
//! The lines as they were read, not as they would be sent: a line that is never wanted is not tagged and not encoded, and
//! its time is not looked for. All of that is done when it is sent, by the same code as for any other line, so that a
//! line is the same record either way, with the same uid; it has `runlog.replayed` beside its other attributes. One thing
//! cannot wait: a private key over many lines is masked when it is recorded, since its first line may be forgotten.
//!
//! A record that comes over OTLP is kept as it came, under its heads, which are written beside each: they compress well.
//!
//! Lines gather in an open block of each run, whose room grows with them. A full one is compressed by a thread of the
//! recorder's own (`packer.rs`), so that a line costs the stage a copy and no more. What counts is the memory that blocks
//! occupy. When there is no room, the oldest block of the run that holds most is forgotten, which is counted; so is what is
//! older than the span.
//!
//! So many bytes a second are compressed, and no more (`pace.rs`): the cost is bounded, however fast lines come. Blocks
//! beyond it stay as they are in the same memory, so that what is held goes less far back. It has no hole: whatever a block
//! is, the oldest goes first. Once there is time they are compressed after all, the newest first, which stays longest.
//!
//! # The position, and a crash
//! To the queue a recorded line is a line that was left out: the position of its stream passes it, and its account counts
//! it as filtered. After `kill -9` it is therefore not read again, and lost to a replay, as it would be without a
//! recorder. The other way round, to hold the position back until nobody wants the line any more, would read hours of a
//! log again at each start, and keep a file that was to be deleted.
//!
//! A replayed line goes into a batch of its own stream's resource. The position that passes it stands in that batch, or
//! in an earlier one: so no crash leaves a replayed line in the queue whose stream is read again from before it, and none
//! is there twice. The account of a replayed line (kept, and replayed) is in the entry that holds it. A crash in the midst
//! of a replay leaves what is in the queue, counted as sent, and the rest counted as filtered, which it then is.

mod block;
mod lines;
mod pace;
mod packer;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use block::Block;
pub use block::Replay;
use lines::{Open, room_for};
use pace::Pace;
use packer::{Packer, Work};

use crate::{
    parse::{Line, join::Family},
    record::{Origin, Severity, UnixNanos},
};

/// What a block may hold, unless a single line is longer.
const BLOCK_BYTES: usize = 64 << 10;
/// What the first block of a run makes room for at once.
const FIRST_BYTES: usize = 1 << 10;
/// The share of what all may take that open blocks make room for at once.
const OPEN_SHARE: usize = 4;

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What all runs together may take.
    pub bytes: usize,
    /// What is older is forgotten.
    pub span: Duration,
}

/// What is known of a line by the time that it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded<'a> {
    /// When it was read.
    pub observed: UnixNanos,
    /// Its level, and the word for it.
    pub severity: Severity,
    /// See `severity`.
    pub severity_text: &'a [u8],
    /// Who says so.
    pub logger: &'a [u8],
    /// Whose exception it tells of.
    pub family: Option<Family>,
    /// How many lines it was.
    pub lines: u64,
    /// What stood above it, if it is an encoded `LogRecord` and no line.
    pub heads: Option<Heads<'a>>,
}

/// What stands above a record that came encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heads<'a> {
    /// The fields of its `ResourceLogs` without the `ScopeLogs`.
    pub resource: &'a [u8],
    /// The fields of its `ScopeLogs` without the records.
    pub scope: &'a [u8],
}

/// Keeps what is left out, run by run. Does nothing if it is off.
pub struct Recorder {
    config: Option<Config>,
    tapes: Vec<Tape>,
    /// The place of each run's tape.
    places: HashMap<String, usize>,
    /// The stream that was recorded last, and the place of its run's tape.
    last: (u64, usize),
    /// The lines that are kept, and the memory that they take.
    lines: u64,
    bytes: usize,
    /// The number of the next block.
    next: u64,
    packer: Packer,
    pace: Pace,
    replays: Replays,
}

/// What is kept of a run.
struct Tape {
    run_id: String,
    blocks: VecDeque<Block>,
    open: Open,
    bytes: usize,
}

/// Whom the number of lines that were sent is told to.
type Told = Box<dyn FnOnce(u64) + Send>;

/// What is asked of a recorder from outside, and how it is doing. Clones are the same.
#[derive(Clone, Default)]
pub struct Replays(Arc<Shared>);

#[derive(Default)]
struct Shared {
    max_bytes: AtomicU64,
    lines: AtomicU64,
    bytes: AtomicU64,
    forgotten: AtomicU64,
    is_asked: AtomicBool,
    asked: Mutex<Vec<(Option<String>, Told)>>,
}

/// How a recorder is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recording {
    /// What it may take; 0 if it is off.
    pub max_bytes: u64,
    /// The lines that it holds.
    pub lines: u64,
    /// What they take.
    pub bytes: u64,
    /// The lines that it has forgotten for want of room or for their age.
    pub forgotten: u64,
}

impl Replays {
    /// Asks for what was recorded of a run, or of all. The stage does it within a second, and tells how many lines it sent.
    pub fn ask(&self, run_id: Option<String>, told: impl FnOnce(u64) + Send + 'static) {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).push((run_id, Box::new(told)));
        self.0.is_asked.store(true, Ordering::Release);
    }

    /// How it is doing.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { max_bytes, lines, bytes, forgotten, .. } = &*self.0;
        Recording { max_bytes: get(max_bytes), lines: get(lines), bytes: get(bytes), forgotten: get(forgotten) }
    }
}

impl Recorder {
    /// Records as the settings say; `None` is off.
    #[must_use]
    pub fn new(config: Option<Config>, replays: Replays) -> Self {
        replays.0.max_bytes.store(config.map_or(0, |config| config.bytes as u64), Ordering::Relaxed);
        let packer = if config.is_some() { Packer::start() } else { Packer::none() };
        let (tapes, places, pace) = (Vec::new(), HashMap::new(), Pace::new());
        Self { config, tapes, places, last: (0, 0), lines: 0, bytes: 0, next: 0, packer, pace, replays }
    }

    /// Whether anything is recorded at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.config.is_some()
    }

    /// Keeps a line of a stream, except its place and its pieces behind it.
    #[inline]
    pub fn record(&mut self, origin: &Arc<Origin>, line: &Line<'_>, recorded: &Recorded<'_>) {
        if self.last.0 != origin.id || self.tapes.is_empty() {
            self.last = (origin.id, self.tape_of(&origin.resource.run_id));
        }
        self.put_down(self.last.1, origin, line, recorded);
    }

    /// Keeps a record of a run that came through that origin.
    pub fn record_of_run(&mut self, run_id: &str, origin: &Arc<Origin>, line: &Line<'_>, recorded: &Recorded<'_>) {
        let tape = self.tape_of(run_id);
        self.put_down(tape, origin, line, recorded);
    }

    #[inline]
    fn put_down(&mut self, at: usize, origin: &Arc<Origin>, line: &Line<'_>, recorded: &Recorded<'_>) {
        let needed = room_for(line, recorded);
        if !self.tapes[at].open.is_ready(origin.id, needed) && !self.get_ready(at, origin, needed) {
            self.replays.0.forgotten.fetch_add(recorded.lines, Ordering::Relaxed);
            return;
        }
        self.tapes[at].open.write(line, recorded);
        self.lines += recorded.lines;
        // Nobody else writes it.
        self.replays.0.lines.store(self.lines, Ordering::Relaxed);
    }

    /// Gets a tape ready for a line of that stream. Forgets others if there is no room. `false` if there is none even so.
    #[cold]
    fn get_ready(&mut self, at: usize, origin: &Arc<Origin>, needed: usize) -> bool {
        let Some(Config { bytes, .. }) = self.config else { return false };
        let tape = &mut self.tapes[at];
        if !tape.open.raw.is_empty() && tape.open.raw.len() + needed > BLOCK_BYTES {
            tape.close(self.next);
            self.next += 1;
            if let Some(block) = tape.blocks.back_mut() {
                block.hand_over(&self.packer, &mut self.pace);
            }
            self.collect();
        }
        // A run that has filled a block fills another one.
        let share = (bytes / OPEN_SHARE / self.tapes.len()).clamp(FIRST_BYTES, BLOCK_BYTES);
        loop {
            let tape = &mut self.tapes[at];
            let least = if tape.blocks.is_empty() { FIRST_BYTES } else { share };
            let missing = tape.open.missing(origin.id, needed, least);
            if self.bytes + missing <= bytes {
                tape.open.turn_to(origin, needed, least);
                tape.bytes += missing;
                self.bytes += missing;
                break;
            }
            let most = (0..self.tapes.len()).max_by_key(|at| self.tapes[*at].bytes).filter(|_| self.bytes > 0);
            let Some(most) = most else {
                self.tell();
                return false;
            };
            self.forget_first(most);
        }
        self.tell();
        true
    }

    /// Says how much is kept.
    fn tell(&self) {
        self.replays.0.lines.store(self.lines, Ordering::Relaxed);
        self.replays.0.bytes.store(self.bytes as u64, Ordering::Relaxed);
    }

    /// Forgets what is older than the span by then, and compresses what there was no time for.
    pub fn forget_old(&mut self, now: UnixNanos) {
        let Some(Config { span, .. }) = self.config else { return };
        self.collect();
        let oldest = now.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        for at in (0..self.tapes.len()).rev() {
            while self.tapes[at].oldest().is_some_and(|newest| newest < oldest) {
                self.forget_first(at);
            }
            if self.tapes[at].oldest().is_none() {
                self.remove(at);
            }
        }
        self.pace.go_on(now);
        self.pack_more();
        self.tell();
    }

    /// Gives the packer what it has not had, the newest first.
    fn pack_more(&mut self) {
        let blocks = self.tapes.iter_mut().flat_map(|tape| &mut tape.blocks);
        let mut raw: Vec<&mut Block> = blocks.filter(|block| !block.is_tried()).collect();
        raw.sort_unstable_by_key(|block| Reverse(block.number));
        for block in raw {
            if !block.hand_over(&self.packer, &mut self.pace) {
                break;
            }
        }
    }

    /// Takes out what was recorded of a run, in the order in which it was read. `None` if that is nothing.
    pub fn take(&mut self, run_id: &str) -> Option<Replay> {
        let at = *self.places.get(run_id)?;
        while self.tapes[at].blocks.iter().any(Block::is_away) {
            // It is a matter of a millisecond. A packer that is gone leaves blocks that cannot be read.
            let Some(work) = self.packer.wait() else { break };
            self.place(work);
        }
        let mut tape = self.remove(at);
        self.bytes -= tape.bytes;
        tape.close(self.next);
        self.next += 1;
        self.lines -= tape.blocks.iter().map(|block| block.lines).sum::<u64>();
        self.tell();
        (!tape.blocks.is_empty()).then_some(Replay(tape.blocks))
    }

    /// The runs of which something is recorded.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        self.tapes.iter().map(|tape| tape.run_id.clone()).collect()
    }

    /// What was asked for since this was asked last.
    #[must_use]
    pub fn asked(&self) -> Vec<(Option<String>, Told)> {
        if !self.replays.0.is_asked.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.replays.0.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes back what the packer has finished.
    fn collect(&mut self) {
        while let Some(work) = self.packer.done() {
            self.place(work);
        }
    }

    fn place(&mut self, work: Work) {
        for tape in &mut self.tapes {
            // The newest ones are the last.
            if let Some(block) = tape.blocks.iter_mut().rev().find(|block| block.number == work.number) {
                let before = block.bytes();
                block.bytes = work.bytes;
                let after = block.bytes();
                tape.bytes = tape.bytes - before + after;
                self.bytes = self.bytes - before + after;
                return;
            }
        }
        debug_assert!(false, "none is forgotten while it is away");
    }

    fn tape_of(&mut self, run_id: &str) -> usize {
        if let Some(at) = self.places.get(run_id) {
            return *at;
        }
        let (blocks, open) = (VecDeque::new(), Open::default());
        self.tapes.push(Tape { run_id: run_id.to_owned(), blocks, open, bytes: 0 });
        self.places.insert(run_id.to_owned(), self.tapes.len() - 1);
        self.tapes.len() - 1
    }

    /// Takes out a tape. The last one is in its place then.
    fn remove(&mut self, at: usize) -> Tape {
        let tape = self.tapes.swap_remove(at);
        self.last = (0, 0);
        self.places.remove(&tape.run_id);
        if let Some(place) = self.tapes.get(at).and_then(|moved| self.places.get_mut(&moved.run_id)) {
            *place = at;
        }
        tape
    }

    /// Forgets the oldest block of a tape. The packer has the memory of one that is away, so that one is waited for and
    /// stays: it may be small enough now.
    fn forget_first(&mut self, at: usize) {
        let is_away = self.tapes[at].blocks.front().is_some_and(Block::is_away);
        if is_away && let Some(work) = self.packer.wait() {
            return self.place(work);
        }
        let tape = &mut self.tapes[at];
        let (lines, bytes) = match tape.blocks.pop_front() {
            Some(block) => (block.lines, block.bytes()),
            None => {
                let open = std::mem::take(&mut tape.open);
                (open.lines, open.bytes())
            }
        };
        tape.bytes -= bytes;
        self.bytes -= bytes;
        self.lines -= lines;
        self.replays.0.forgotten.fetch_add(lines, Ordering::Relaxed);
    }
}

impl Tape {
    /// When the last line of the oldest block was read.
    fn oldest(&self) -> Option<UnixNanos> {
        self.blocks.front().map(|block| block.newest).or(self.open.newest())
    }

    /// Makes a block of what is open.
    fn close(&mut self, number: u64) {
        let open = std::mem::take(&mut self.open);
        if !open.raw.is_empty() {
            self.blocks.push_back(Block::of(open, number));
        }
    }
}
