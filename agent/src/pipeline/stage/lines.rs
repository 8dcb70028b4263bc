//! Chunks of bytes become lines, some of which are held back until it is known what they belong to.

use std::{
    io,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use crate::{
    parse::Lines,
    record::{Chunk, Ending, Origin, Severity, UnixNanos},
};

use super::{IDLE, Stage, lanes::Lanes, writing::Writing};

/// How long pieces of a line wait for its end, which may never come: a container that dies leaves none.
pub(super) const PIECE_PATIENCE: Duration = Duration::from_secs(5);

/// What the lines that are held of all streams may occupy.
pub(super) const MAX_HELD_BYTES: usize = 8 << 20;

/// How many inputs of others are worked off while something has waited long enough: what it goes on with may be among
/// them.
const LATE_INPUTS: u32 = 64;

/// What has to be remembered of a stream from one chunk to the next.
pub(super) struct Stream {
    /// The stream has ended without a word once this is all that is left of it.
    pub(super) origin: Weak<Origin>,
    /// The same, while something waits that is given out after a silence: pieces of a line, or lines that may be one
    /// thing with the next. Whoever reads the stream sees by it that not all of it is on its way yet.
    pub(super) waiting: Option<Arc<Origin>>,
    lines: Lines,
    pub(super) lanes: Lanes,
    /// Behind its last bytes.
    end: u64,
    /// When they came, by the clock and on the wall.
    since: Instant,
    pub(super) observed: UnixNanos,
}

/// What is held of all streams.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    pub(super) bytes: usize,
    /// When the first of it has waited long enough.
    pub(super) due: Option<Instant>,
    /// How many inputs have come since.
    late: u32,
}

impl Stage {
    pub(super) fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let (origin, now) = (&chunk.origin, Instant::now());
        if chunk.ending == Ending::Closed && chunk.data.is_empty() && self.moved.remove(&origin.id) {
            // What it held back of a line is given out under another name, so it ends before that line.
            self.accounts.closed(origin);
            return Ok(());
        }
        let held = origin.left.formerly.and_then(|former| Some((former, self.streams.remove(&former)?)));
        let known = match held {
            Some((former, stream)) => {
                self.moved.insert(former);
                Some(stream)
            }
            None => self.streams.remove(&origin.id),
        };
        let mut stream = known.unwrap_or_else(|| self.stream(origin, chunk.at, chunk.observed, now));
        if origin.kind.is_of_container() && chunk.ending.goes_on() {
            self.accounts.opened(origin);
        }
        if !chunk.data.is_empty() {
            origin.tally.heard(chunk.observed);
        }
        let held_before = stream.lanes.bytes();
        let mut writing = Writing::new(self, origin, chunk.observed, now);
        stream.lines.feed(chunk, |line| writing.line(&mut stream.lanes, &line));
        writing.folded(stream.lines.take_folded());
        if !chunk.ending.goes_on() || writing.is_crowded(held_before, &stream.lanes) {
            writing.give_out_all(&mut stream.lanes);
        }
        stream.lanes.advance(stream.lines.read_to());
        let slot = writing.end(&stream.lanes)?;
        (stream.end, stream.since, stream.observed) = (chunk.at + chunk.data.len() as u64, now, chunk.observed);
        self.remember(origin, stream, held_before, chunk.ending);
        if chunk.ending == Ending::Closed {
            self.silence.closed(&origin.resource.run_id, origin.id);
        }
        if chunk.ending == Ending::Closed && origin.kind.is_of_container() {
            // What it gave is counted before it is known whether its run has ended.
            self.close(slot)?;
            if self.accounts.closed(origin) {
                self.receipt(&origin.resource.run_id)?;
            }
        }
        Ok(())
    }

    /// What is remembered of a stream that is read from `at` on.
    pub(super) fn stream(&self, origin: &Arc<Origin>, at: u64, observed: UnixNanos, now: Instant) -> Stream {
        let lines = Lines::new(&self.parse, origin, at);
        Stream {
            origin: Weak::new(),
            waiting: None,
            lanes: Lanes::new(lines.read_to(), origin.level.max(Severity::INFO)),
            lines,
            end: at,
            since: now,
            observed,
        }
    }

    /// Keeps what there is to remember of a stream. Thousands of idle files have nothing: the next chunk begins where
    /// the last one has ended.
    pub(super) fn remember(&mut self, origin: &Arc<Origin>, mut stream: Stream, held_before: usize, ending: Ending) {
        stream.origin = Arc::downgrade(origin);
        let is_waiting = stream.lines.is_waiting() || stream.lanes.is_holding();
        stream.waiting = is_waiting.then(|| Arc::clone(origin));
        self.held.bytes = self.held.bytes - held_before + stream.lanes.bytes();
        self.held.due = self.held.due.into_iter().chain(stream.lanes.deadline(&self.parse)).min();
        if ending.goes_on() && !(stream.waiting.is_none() && stream.lanes.is_idle() && stream.lines.is_between_lines())
        {
            self.streams.insert(origin.id, stream);
        }
    }

    /// Gives out pieces of lines that have waited for more of them for too long.
    pub(super) fn flush_silent(&mut self, now: Instant) -> io::Result<()> {
        self.next_flush = now + IDLE;
        let silence = |stream: &Stream| {
            let is_silent = stream.lines.is_waiting() && stream.since + PIECE_PATIENCE <= now;
            let origin = stream.waiting.as_ref().filter(|_| is_silent)?;
            // By the time it is told which states of progress bars are due.
            let silent_for = u64::try_from((now - stream.since).as_nanos()).unwrap_or(u64::MAX);
            Some(Chunk::silent(Arc::clone(origin), stream.end, stream.observed.saturating_add(silent_for)))
        };
        let silent: Vec<Chunk> = self.streams.values().filter_map(silence).collect();
        silent.iter().try_for_each(|chunk| self.chunk(chunk))
    }

    /// Gives out lines that have waited long enough for those that may be one thing with them. `has_input` says that
    /// more may have come already.
    pub(super) fn release_silent(&mut self, now: Instant, has_input: bool) -> io::Result<()> {
        if self.held.due.is_none_or(|due| due > now) {
            return Ok(());
        }
        self.held.late += 1;
        if has_input && self.held.late < LATE_INPUTS {
            return Ok(());
        }
        self.held.late = 0;
        let parse = &self.parse;
        let is_due = |stream: &Stream| stream.lanes.deadline(parse).is_some_and(|due| due <= now);
        let due: Vec<u64> = self.streams.iter().filter(|(_, stream)| is_due(stream)).map(|(id, _)| *id).collect();
        self.held.due =
            self.streams.values().filter_map(|stream| stream.lanes.deadline(parse)).filter(|due| *due > now).min();
        due.into_iter().try_for_each(|id| self.release(id, Some(now)))
    }

    /// Counts what is held after streams were forgotten.
    pub(super) fn count_held(&mut self) {
        if self.held.bytes > 0 {
            self.held.bytes = self.streams.values().map(|stream| stream.lanes.bytes()).sum();
        }
    }

    /// Gives out all that is held: no more comes.
    pub(super) fn release_all(&mut self) -> io::Result<()> {
        let held: Vec<u64> =
            self.streams.iter().filter(|(_, stream)| stream.lanes.is_holding()).map(|(id, _)| *id).collect();
        held.into_iter().try_for_each(|id| self.release(id, None))
    }

    /// Gives out what a stream holds: what has waited until then, or all.
    fn release(&mut self, id: u64, until: Option<Instant>) -> io::Result<()> {
        let Some(mut stream) = self.streams.remove(&id) else { return Ok(()) };
        let Some(origin) = stream.waiting.take() else { return Ok(()) };
        let now = until.unwrap_or_else(Instant::now);
        let held_before = stream.lanes.bytes();
        let mut writing = Writing::new(self, &origin, stream.observed, now);
        match until {
            Some(now) => writing.give_out_waited(&mut stream.lanes, now),
            None => writing.give_out_all(&mut stream.lanes),
        }
        writing.end(&stream.lanes)?;
        self.remember(&origin, stream, held_before, Ending::Open);
        Ok(())
    }
}
