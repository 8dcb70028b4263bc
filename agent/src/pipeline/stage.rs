//! Stages 2 to 5 on one thread: what comes through the door leaves as entries of the queue.

mod accounts;
mod alerts;
mod closing;
mod entries;
mod errors;
mod lanes;
mod lines;
mod passing;
mod replay;
mod scalars;
mod silence;
mod writing;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use accounts::Accounts;
use lines::{HeldBack, PIECE_PATIENCE, Stream};

use crate::{
    batch::{Batcher, Due, Slot},
    enrich::{Filter, Levels, Limit, Recorder, Redactor, Replays, Tags, recorder, redact},
    parse::{self, LocalZone},
    queue::{Queue, Seq},
    record::{
        Account, Clock, End, Event, Input, Ledger, Origin, Receipt, SystemClock,
        wire::{Fields, Text},
    },
    source::{HeldUp, Outlet, Received},
};

use super::watchdog::Pulse;

/// How often batches of ended streams are looked for, and the longest that the stage sleeps: the watchdog counts on it.
const IDLE: Duration = Duration::from_secs(1);

/// An entry that is in the queue, and who waits until it is durable.
pub type Awaited = (Seq, Vec<Receipt>);

/// The synchronous middle of the pipeline.
pub struct Stage {
    parse: parse::Config,
    batcher: Batcher,
    queue: Queue,
    ledger: Arc<Ledger>,
    streams: HashMap<u64, Stream>,
    held: HeldBack,
    /// Streams whose begun line is held under another name now.
    moved: HashSet<u64>,
    /// When pieces that wait are looked for.
    next_flush: Instant,
    zone: LocalZone,
    filter: Filter,
    tags: Tags,
    recorder: Recorder,
    /// Runs whose errors are a reason to send what is recorded of them.
    troubled: Vec<String>,
    redactor: Redactor,
    scalars: scalars::Counted,
    limit: Limit,
    /// When it was last said that lines are left out for it.
    limit_told: Option<Instant>,
    silence: silence::Silence,
    alerted: alerts::Alerted,
    /// Whose task answers the clients.
    awaited: mpsc::Sender<Awaited>,
    held_up: HeldUp,
    passing: passing::Passing,
    accounts: Accounts,
    /// Set when there is no more time to wait for room in the queue.
    gave_up: Arc<AtomicBool>,
    /// Set once a batch was left out of the queue.
    is_abandoned: bool,
    pulse: Pulse,
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
        let redactor = Redactor::new(redact::Config::default(), Arc::clone(&ledger));
        let limit = Limit::new(parse.lines_per_second);
        Self {
            parse,
            batcher,
            queue,
            ledger,
            streams: HashMap::new(),
            held: HeldBack::default(),
            moved: HashSet::new(),
            next_flush: Instant::now() + PIECE_PATIENCE,
            zone: LocalZone::system(),
            filter: Filter::new(Levels::default()),
            tags: Tags::default(),
            recorder: Recorder::new(None, Replays::default()),
            troubled: Vec::new(),
            redactor,
            scalars: scalars::Counted::default(),
            limit,
            limit_told: None,
            silence: silence::Silence::default(),
            alerted: alerts::Alerted::default(),
            awaited,
            held_up: HeldUp::default(),
            passing: passing::Passing::default(),
            accounts,
            gave_up,
            is_abandoned: false,
            pulse: Pulse::default(),
        }
    }

    /// Masks secrets as these settings say. Without it none are.
    #[must_use]
    pub fn redacting(mut self, config: redact::Config) -> Self {
        self.redactor = Redactor::new(config, Arc::clone(&self.ledger));
        self
    }

    /// Leaves out what is below those levels. Without it, what is below its stream's.
    #[must_use]
    pub fn at(mut self, levels: Levels) -> Self {
        self.filter = Filter::new(levels);
        self
    }

    /// Records what is left out, as these settings say. Without it nothing is.
    #[must_use]
    pub fn recording(mut self, config: Option<recorder::Config>, replays: Replays) -> Self {
        self.recorder = Recorder::new(config, replays);
        self
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
            let idle = Instant::now() + IDLE;
            let due = self.batcher.next_due().into_iter().chain(self.held.due).fold(idle, Instant::min);
            let received = outlet.receive(due);
            let has_input = matches!(received, Received::Input(_));
            match received {
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
                    self.count_held();
                    self.limit.forget_ended();
                    self.accounts.forget_idle();
                }
                Received::Finished => break,
            }
            let now = Instant::now();
            if self.next_flush <= now {
                self.flush_silent(now)?;
                self.recorder.forget_old(SystemClock.now());
                self.tell_silent_ranks(now)?;
            }
            self.release_silent(now, has_input)?;
            self.replay_due()?;
            self.close_batches(Due::At(now))?;
        }
        self.release_all()?;
        self.replay_due()?;
        self.close_batches(Due::All)?;
        // If there was no time to read all, the accounts go on with the next start.
        if !self.gave_up.load(Ordering::Relaxed) {
            for run_id in self.accounts.runs() {
                self.receipt(&run_id)?;
            }
        }
        self.queue.sync().map(drop).map_err(io::Error::other)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.heed(&event.origin.resource.run_id, event.severity);
        let slot = self.batcher.slot(&event.origin, Instant::now());
        let full = self.push_event(slot, event);
        if let Some(end) = End::of(event) {
            self.accounts.ended(&event.origin.resource.run_id, end);
        }
        let gaps = u64::from(event.name == "runlog.gap");
        self.batcher.account(slot, &note(&event.origin, Account { gaps, ..Account::default() }));
        full.map_or(Ok(()), |full| self.close(full))
    }

    fn push_event(&mut self, slot: Slot, event: &Event) -> Option<Slot> {
        let masked = self.redactor.mask(event.body.as_bytes());
        let fields = Fields {
            time: event.time,
            observed: event.time,
            severity: event.severity,
            severity_text: Text::EMPTY,
            body: Text::from_validated(masked.as_ref().map_or(event.body.as_bytes(), |masked| &masked.text)),
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
        self.count_held();
        self.close_batches(Due::All)
    }
}

/// Counts in the tally what is in an account, and in the account what the source says that it lost.
fn note(origin: &Origin, account: Account) -> Account {
    origin.tally.lines_read.fetch_add(account.lines_read, Ordering::Relaxed);
    origin.tally.records_kept.fetch_add(account.records_kept, Ordering::Relaxed);
    origin.tally.states_folded.fetch_add(account.states_folded, Ordering::Relaxed);
    origin.tally.lines_replayed.fetch_add(account.lines_replayed, Ordering::Relaxed);
    origin.tally.lines_limited.fetch_add(account.lines_limited, Ordering::Relaxed);
    let (lines_lost, bytes_lost) = origin.tally.newly_lost();
    Account { lines_lost, bytes_lost, ..account }
}

#[cfg(test)]
mod tests;
