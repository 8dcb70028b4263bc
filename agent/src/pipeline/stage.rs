//! Stages 2 to 5 on one thread: what comes through the door leaves as entries of the queue.

mod accounts;
mod entries;
mod passing;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use accounts::Accounts;

use crate::{
    batch::{Batcher, Due, Slot},
    enrich::{Tags, is_kept},
    parse::{self, Line, Lines, LocalZone, Traceback, detect, readable, timestamp},
    queue::{AppendError, Appended, Entry, Full, Queue, Seq},
    record::{
        Account, Batch, Chunk, Clock, Ending, Event, FirstError, Input, Lane, Ledger, Origin, PositionUpdate, Receipt,
        Severity, SourceKind, SystemClock, UnixNanos,
        wire::{Fields, Text},
    },
    source::{HeldUp, Outlet, Received},
};

use super::watchdog::Pulse;

/// How long a full queue is waited for before it is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// How often batches of ended streams are looked for.
const IDLE: Duration = Duration::from_secs(1);
/// How long pieces of a line wait for its end, which may never come: a container that dies leaves none.
const PIECE_PATIENCE: Duration = Duration::from_secs(5);

/// An entry that is in the queue, and who waits until it is durable.
pub type Awaited = (Seq, Vec<Receipt>);

/// The synchronous middle of the pipeline.
pub struct Stage {
    parse: parse::Config,
    batcher: Batcher,
    queue: Queue,
    ledger: Arc<Ledger>,
    streams: HashMap<u64, Stream>,
    /// Streams whose begun line is held under another name now.
    moved: HashSet<u64>,
    /// When pieces that wait are looked for.
    next_flush: Instant,
    zone: LocalZone,
    tags: Tags,
    /// Whose task answers the clients.
    awaited: mpsc::Sender<Awaited>,
    held_up: HeldUp,
    passing: passing::Passing,
    tracebacks: entries::Tracebacks,
    accounts: Accounts,
    /// Set when there is no more time to wait for room in the queue.
    gave_up: Arc<AtomicBool>,
    /// Set once a batch was left out of the queue.
    is_abandoned: bool,
    pulse: Pulse,
}

/// What has to be remembered of a stream from one chunk to the next.
struct Stream {
    /// The stream has ended without a word once this is all that is left of it.
    origin: Weak<Origin>,
    /// The same, while pieces of a line wait that are given out after a silence. Whoever reads the stream sees by it
    /// that not all of it is on its way yet.
    waiting: Option<Arc<Origin>>,
    lines: Lines,
    tracebacks: [Traceback; Lane::COUNT],
    /// Of the line whose parts are coming.
    severities: [Severity; Lane::COUNT],
    /// Behind its last bytes.
    end: u64,
    /// When they came, by the clock and on the wall.
    since: Instant,
    observed: UnixNanos,
}

/// A line's level, the word for it, and who says so.
#[derive(Clone, Copy)]
struct Level<'a> {
    severity: Severity,
    text: Text<'a>,
    logger: Text<'a>,
}

impl Stage {
    /// A stage that appends to that queue.
    pub fn new(
        parse: parse::Config,
        batcher: Batcher,
        queue: Queue,
        positions: &BTreeMap<String, Vec<u8>>,
        ledger: Arc<Ledger>,
        awaited: mpsc::Sender<Awaited>,
        gave_up: Arc<AtomicBool>,
    ) -> Self {
        let accounts = Accounts::resume(positions);
        Self {
            parse,
            batcher,
            queue,
            ledger,
            streams: HashMap::new(),
            moved: HashSet::new(),
            next_flush: Instant::now() + PIECE_PATIENCE,
            zone: LocalZone::system(),
            tags: Tags::default(),
            awaited,
            held_up: HeldUp::default(),
            passing: passing::Passing::default(),
            tracebacks: entries::Tracebacks::default(),
            accounts,
            gave_up,
            is_abandoned: false,
            pulse: Pulse::default(),
        }
    }

    /// Beats as long as the stage makes progress, or waits for something to do or for room.
    pub const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Works until all sources have finished and everything they gave is durable.
    ///
    /// # Errors
    /// If zstd has no memory, or the queue cannot make its last entries durable.
    pub fn run(mut self, outlet: &Outlet) -> io::Result<()> {
        self.held_up = outlet.held_up().clone();
        loop {
            self.pulse.beat();
            let deadline = self.batcher.next_due().unwrap_or_else(|| Instant::now() + IDLE);
            match outlet.receive(deadline) {
                Received::Input(Input::Chunk(chunk)) => self.chunk(&chunk)?,
                Received::Input(Input::Entries(entries)) => self.entries(&entries)?,
                Received::Input(Input::Event(event)) => self.event(&event)?,
                Received::Input(Input::Pushed(pushed)) => self.pushed(pushed)?,
                Received::Input(Input::Settle(done)) => {
                    self.settle()?;
                    // Who asked may have been stopped meanwhile.
                    let _ = done.send(());
                }
                Received::Nothing => {
                    self.batcher.forget_idle();
                    self.streams.retain(|_, stream| stream.origin.strong_count() > 0);
                    self.tracebacks.forget_ended();
                }
                Received::Finished => break,
            }
            let now = Instant::now();
            if self.next_flush <= now {
                self.flush_silent(now)?;
            }
            self.close_batches(Due::At(now))?;
        }
        self.close_batches(Due::All)?;
        // If there was no time to read all, the accounts go on with the next start.
        if !self.gave_up.load(Ordering::Relaxed) {
            for run_id in self.accounts.runs() {
                self.receipt(&run_id)?;
            }
        }
        self.queue.sync().map(drop).map_err(io::Error::other)
    }

    fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let (origin, now) = (&chunk.origin, Instant::now());
        if chunk.ending == Ending::Closed && chunk.data.is_empty() && self.moved.remove(&origin.id) {
            // What it held back of a line is given out under another name, so it ends before that line.
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
        let mut stream = known.unwrap_or_else(|| Stream {
            origin: Weak::new(),
            waiting: None,
            lines: Lines::new(self.parse.max_line_bytes, origin, chunk.at),
            tracebacks: Default::default(),
            // Of a line that is read on after a restart: what is kept of it is kept whole.
            severities: [origin.level.max(Severity::INFO); Lane::COUNT],
            end: chunk.at,
            since: now,
            observed: chunk.observed,
        });
        stream.origin = Arc::downgrade(origin);
        if !chunk.data.is_empty() {
            origin.tally.heard(chunk.observed);
        }
        let mut slot = self.batcher.slot(origin, now);
        let mut outcome = Ok(());
        let mut account = Account::default();
        stream.lines.feed(chunk, |line| {
            if outcome.is_err() {
                return;
            }
            // A line that was split counts once.
            let is_first = u64::from(line.part.is_none_or(|part| part.index == 0));
            account.lines_read += is_first;
            account.bytes_read += line.bytes.len() as u64;
            let lane = line.lane as usize;
            let severity = &mut stream.severities[lane];
            let kept = self.line(chunk, &line, &mut stream.tracebacks[lane], severity, slot);
            let Some(full) = kept else {
                account.lines_filtered += is_first;
                return;
            };
            account.lines_kept += is_first;
            account.records_kept += 1;
            if *severity >= Severity::ERROR && account.first_error.is_none() {
                let time = if line.time == 0 { chunk.observed } else { line.time };
                account.first_error = Some(FirstError::new(time, line.bytes));
            }
            if let Some(full) = full {
                // In one entry with the lines that it counts.
                self.batcher.account(slot, &note(origin, std::mem::take(&mut account)));
                outcome = self.close(full);
                slot = self.batcher.slot(origin, now);
            }
        });
        outcome?;
        self.batcher.advance(slot, stream.lines.read_to());
        self.batcher.account(slot, &note(origin, account));
        let is_waiting = stream.lines.is_waiting();
        stream.waiting = is_waiting.then(|| Arc::clone(origin));
        // Thousands of idle files have nothing to be remembered; the next chunk begins where this one has ended.
        let in_traceback = stream.tracebacks.iter().any(|traceback| *traceback != Traceback::None);
        if chunk.ending.goes_on() && (is_waiting || in_traceback || !stream.lines.is_between_lines()) {
            (stream.end, stream.since, stream.observed) = (chunk.at + chunk.data.len() as u64, now, chunk.observed);
            self.streams.insert(origin.id, stream);
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

    /// Gives out pieces of lines that have waited for more of them for too long.
    fn flush_silent(&mut self, now: Instant) -> io::Result<()> {
        self.next_flush = now + IDLE;
        let silence = |stream: &Stream| {
            let origin = stream.waiting.as_ref().filter(|_| stream.since + PIECE_PATIENCE <= now)?;
            Some(Chunk::silent(Arc::clone(origin), stream.end, stream.observed))
        };
        let silent: Vec<Chunk> = self.streams.values().filter_map(silence).collect();
        silent.iter().try_for_each(|chunk| self.chunk(chunk))
    }

    /// Writes a line into its batch. `None` if it is left out, else the batch that is full now, if one is.
    ///
    /// `severity` becomes that of the line: a part of a long line has that of the part before.
    fn line(
        &mut self,
        chunk: &Chunk,
        line: &Line<'_>,
        traceback: &mut Traceback,
        severity: &mut Severity,
        slot: Slot,
    ) -> Option<Option<Slot>> {
        let is_continued = line.part.is_some_and(|part| part.index > 0);
        let (found, severity_text, logger) = match detect(line.bytes) {
            _ if is_continued => (*severity, Text::EMPTY, Text::EMPTY),
            Some(found) => {
                traceback.interrupt();
                (found.severity, Text::from_validated(found.text), Text::from_validated(found.logger))
            }
            None if traceback.covers(line.bytes) => (Severity::ERROR, Text::EMPTY, Text::EMPTY),
            None => (Severity::INFO, Text::EMPTY, Text::EMPTY),
        };
        *severity = found;
        self.write(&chunk.origin, chunk.observed, line, Level { severity: found, text: severity_text, logger }, slot)
    }

    /// The same for a line of which the level is known.
    fn write(
        &mut self,
        origin: &Arc<Origin>,
        observed: UnixNanos,
        line: &Line<'_>,
        level: Level<'_>,
        slot: Slot,
    ) -> Option<Option<Slot>> {
        let Level { severity, text: severity_text, logger } = level;
        if !is_kept(severity, origin) {
            return None;
        }
        let shown = (!line.is_utf8).then(|| readable(line.bytes));
        let body = shown.as_ref().map_or(Text::from_validated(line.bytes), |shown| Text::new(&shown.text));
        let time = match origin.kind {
            _ if line.time != 0 => line.time,
            SourceKind::File | SourceKind::Kubernetes => timestamp(line.bytes, &mut self.zone).unwrap_or(0),
            // A pipe is read as it is written.
            SourceKind::Docker | SourceKind::Process | SourceKind::Otlp | SourceKind::Journal => observed,
        };
        let fields = Fields {
            time,
            observed,
            severity,
            severity_text,
            body,
            attributes: [&origin.attributes, self.tags.of(origin, line, shown.as_ref())],
            uid: (&origin.uid_prefix, line.at),
            event_name: "",
        };
        Some(self.batcher.push(slot, logger, &fields, Some(line.read_to)))
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let slot = self.batcher.slot(&event.origin, Instant::now());
        let full = self.push_event(slot, event);
        let gaps = u64::from(event.name == "runlog.gap");
        self.batcher.account(slot, &note(&event.origin, Account { gaps, ..Account::default() }));
        full.map_or(Ok(()), |full| self.close(full))
    }

    fn push_event(&mut self, slot: Slot, event: &Event) -> Option<Slot> {
        let fields = Fields {
            time: event.time,
            observed: event.time,
            severity: event.severity,
            severity_text: Text::EMPTY,
            body: Text::new(&event.body),
            attributes: [&event.origin.attributes, &event.attributes],
            uid: (b"", 0),
            event_name: event.name,
        };
        self.batcher.push(slot, Text::new("runlog"), &fields, None)
    }

    /// Tells what came of a run's lines, and ends its accounts.
    fn receipt(&mut self, run_id: &str) -> io::Result<()> {
        let Some(origin) = self.accounts.origin(run_id) else { return Ok(()) };
        // What is counted so far is in the queue first.
        let slot = self.batcher.slot(&origin, Instant::now());
        self.close(slot)?;
        if self.is_abandoned {
            return Ok(());
        }
        let Some(event) = self.accounts.receipt(run_id, origin, SystemClock.now()) else { return Ok(()) };
        let slot = self.batcher.slot(&event.origin, Instant::now());
        self.push_event(slot, &event);
        let settled = self.accounts.settle(run_id);
        self.close_with(slot, settled)
    }

    /// Puts all that has come into the queue, and forgets the begun lines of streams that have lost their source.
    fn settle(&mut self) -> io::Result<()> {
        self.streams.retain(|_, stream| stream.origin.strong_count() > usize::from(stream.waiting.is_some()));
        self.close_batches(Due::All)
    }

    fn close_batches(&mut self, when: Due) -> io::Result<()> {
        for slot in self.batcher.due(when) {
            self.close(slot)?;
        }
        Ok(())
    }

    fn close(&mut self, slot: Slot) -> io::Result<()> {
        self.close_with(slot, Vec::new())
    }

    /// Closes a batch; its entry has those positions as well.
    fn close_with(&mut self, slot: Slot, further: Vec<PositionUpdate>) -> io::Result<()> {
        let receipts = self.batcher.take_receipts(slot);
        let (run_id, mut counted) = self.batcher.take_accounts(slot);
        let batch = self.batcher.close(slot)?;
        let mut change = self.accounts.with(&run_id, &counted);
        if let Some(mut batch) = batch {
            batch.positions.extend(change.positions());
            batch.positions.extend(further);
            match self.enqueue(&batch, receipts) {
                Put::Queued => {}
                Put::Abandoned => {
                    abandon(&counted);
                    return Ok(());
                }
                Put::Refused => {
                    counted.iter_mut().for_each(|(_, account)| account.lose_kept());
                    change = self.accounts.with(&run_id, &counted);
                }
            }
        }
        self.accounts.commit(change);
        Ok(())
    }

    /// Puts a batch into the queue, waiting for room: what the sources have not handed over yet is still safe there.
    fn enqueue(&mut self, batch: &Batch, receipts: Vec<Receipt>) -> Put {
        if self.is_abandoned {
            // A later position in the queue would pass over the lines that found no room.
            return Put::Abandoned;
        }
        let meta = prost::Message::encode_to_vec(&batch.meta);
        let positions: Vec<_> = batch.positions.iter().map(|p| (p.key.as_str(), p.bookmark.as_slice())).collect();
        let entry = Entry { meta: &meta, body: batch.payload.clone(), positions: &positions };
        let mut full: Option<(Full, Instant)> = None;
        loop {
            match self.queue.append(&entry) {
                Ok(Appended::At(seq)) => {
                    self.await_durable(seq, receipts);
                    break;
                }
                Ok(Appended::Full(reason)) => {
                    self.held_up.set(reason != Full::Unsynced);
                    if full.is_none() && reason != Full::Unsynced {
                        warn!(reason = %reason, "the queue is full, reading stops until there is room");
                    }
                    full.get_or_insert((reason, Instant::now()));
                }
                Err(error) => {
                    self.refused(batch, receipts, &error);
                    return Put::Refused;
                }
            }
            if self.gave_up.load(Ordering::Relaxed) {
                warn!(records = batch.meta.records, "stopped before the last lines found room in the queue");
                self.is_abandoned = true;
                return Put::Abandoned;
            }
            self.queue.wait_for_room(FULL_PAUSE);
            self.pulse.beat();
        }
        self.held_up.set(false);
        if let Some((reason, since)) = full
            && reason != Full::Unsynced
        {
            info!(waited = ?since.elapsed(), "the queue takes batches again");
        }
        Put::Queued
    }

    fn refused(&self, batch: &Batch, receipts: Vec<Receipt>, error: &AppendError) {
        let records = u64::from(batch.meta.records);
        self.ledger.records_refused.fetch_add(records, Ordering::Relaxed);
        error!(error = %error, run_id = batch.meta.run_id, lost_records = records, "the queue refused a batch");
        if *error != AppendError::Closed {
            // Their clients are told, since it would be refused again.
            for receipt in receipts {
                receipt.reject(1, error);
                receipt.durable();
            }
        }
    }

    /// Clients wait for their answer, so the queue does not linger with what they sent.
    fn await_durable(&self, seq: Seq, receipts: Vec<Receipt>) {
        if !receipts.is_empty() {
            self.queue.hurry();
            // It fails only when the pipeline is torn down; the clients are not answered then, and send again.
            let _ = self.awaited.blocking_send((seq, receipts));
        }
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    /// It is in the queue.
    Queued,
    /// The queue will never take it.
    Refused,
    /// There was no more time to wait for room.
    Abandoned,
}

/// Counts in the tally what is in an account, and in the account what the source says that it lost.
fn note(origin: &Origin, account: Account) -> Account {
    origin.tally.lines_read.fetch_add(account.lines_read, Ordering::Relaxed);
    origin.tally.records_kept.fetch_add(account.records_kept, Ordering::Relaxed);
    let (lines_lost, bytes_lost) = origin.tally.newly_lost();
    Account { lines_lost, bytes_lost, ..account }
}

/// Counts what found no room at the stop as lost, where it cannot be read again.
fn abandon(counted: &[(Arc<Origin>, Account)]) {
    for (origin, account) in counted.iter().filter(|(origin, _)| origin.kind == SourceKind::Process) {
        origin.tally.lines_lost.fetch_add(account.lines_kept, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
