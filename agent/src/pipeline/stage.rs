//! Stages 2 to 5 on one thread: what comes through the door leaves as entries of the queue.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use crate::{
    batch::{Batcher, Due, Slot},
    enrich::{Tags, is_kept},
    parse::{self, Framer, Line, LocalZone, Traceback, detect, readable, timestamp},
    queue::{Appended, Entry, Full, Queue},
    record::{
        Batch, Chunk, Ending, Event, Input, Ledger, Origin, Severity, SourceKind,
        wire::{Fields, Text},
    },
    source::{Outlet, Received},
};

/// How long a full queue is waited for before it is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(50);
/// How often batches of ended streams are looked for.
const IDLE: Duration = Duration::from_secs(1);

/// The synchronous middle of the pipeline.
pub struct Stage {
    parse: parse::Config,
    batcher: Batcher,
    queue: Queue,
    ledger: Arc<Ledger>,
    streams: HashMap<u64, Stream>,
    zone: LocalZone,
    tags: Tags,
    /// Set when there is no more time to wait for room in the queue.
    gave_up: Arc<AtomicBool>,
    /// Set once a batch was left out of the queue.
    is_abandoned: bool,
}

/// What has to be remembered of a stream from one chunk to the next.
struct Stream {
    /// The stream has ended without a word once this is all that is left of it.
    origin: Weak<Origin>,
    framer: Framer,
    traceback: Traceback,
}

impl Stage {
    /// A stage that appends to that queue.
    pub fn new(
        parse: parse::Config,
        batcher: Batcher,
        queue: Queue,
        ledger: Arc<Ledger>,
        gave_up: Arc<AtomicBool>,
    ) -> Self {
        Self {
            parse,
            batcher,
            queue,
            ledger,
            streams: HashMap::new(),
            zone: LocalZone::system(),
            tags: Tags::default(),
            gave_up,
            is_abandoned: false,
        }
    }

    /// Works until all sources have finished and everything they gave is durable.
    ///
    /// # Errors
    /// If zstd has no memory, or the queue cannot make its last entries durable.
    pub fn run(mut self, outlet: &Outlet) -> io::Result<()> {
        loop {
            let deadline = self.batcher.next_due().unwrap_or_else(|| Instant::now() + IDLE);
            match outlet.receive(deadline) {
                Received::Input(Input::Chunk(chunk)) => self.chunk(&chunk)?,
                Received::Input(Input::Event(event)) => self.event(&event)?,
                Received::Nothing => {
                    self.batcher.forget_idle();
                    self.streams.retain(|_, stream| stream.origin.strong_count() > 0);
                }
                Received::Finished => break,
            }
            self.close_batches(Due::At(Instant::now()))?;
        }
        self.close_batches(Due::All)?;
        self.queue.sync().map(drop).map_err(io::Error::other)
    }

    fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let origin = &chunk.origin;
        let mut stream = self.streams.remove(&origin.id).unwrap_or_else(|| Stream {
            origin: Arc::downgrade(origin),
            framer: Framer::new(self.parse.max_line_bytes, chunk.at),
            traceback: Traceback::default(),
        });
        let now = Instant::now();
        let mut slot = self.batcher.slot(origin, now);
        let mut outcome = Ok(());
        let (mut lines, mut kept) = (0, 0);
        stream.framer.feed(chunk, |line| {
            if outcome.is_err() {
                return;
            }
            lines += u64::from(line.part.is_none_or(|part| part.index == 0));
            let Some(full) = self.line(chunk, &line, &mut stream.traceback, slot) else { return };
            kept += 1;
            if let Some(full) = full {
                outcome = self.close(full);
                slot = self.batcher.slot(origin, now);
            }
        });
        outcome?;
        self.batcher.advance(slot, stream.framer.consumed());
        origin.tally.lines_read.fetch_add(lines, Ordering::Relaxed);
        origin.tally.records_kept.fetch_add(kept, Ordering::Relaxed);
        // Thousands of idle files have nothing to be remembered; the next chunk begins where this one has ended.
        let is_to_go_on = !stream.framer.is_between_lines() || stream.traceback != Traceback::None;
        if chunk.ending == Ending::Open && is_to_go_on {
            self.streams.insert(origin.id, stream);
        }
        Ok(())
    }

    /// Writes a line into its batch. `None` if it is left out, else the batch that is full now, if one is.
    fn line(&mut self, chunk: &Chunk, line: &Line<'_>, traceback: &mut Traceback, slot: Slot) -> Option<Option<Slot>> {
        let origin = &chunk.origin;
        let (severity, severity_text, logger) = match detect(line.bytes) {
            Some(found) => {
                traceback.interrupt();
                (found.severity, found.text, found.logger)
            }
            None if traceback.covers(line.bytes) => (Severity::ERROR, "", ""),
            None => (Severity::INFO, "", ""),
        };
        if !is_kept(severity, origin) {
            return None;
        }
        let shown = (!line.is_utf8).then(|| readable(line.bytes));
        let body = shown.as_ref().map_or(Text::from_validated(line.bytes), |shown| Text::new(&shown.text));
        let time = match origin.kind {
            _ if line.time != 0 => line.time,
            SourceKind::File => timestamp(line.bytes, &mut self.zone).unwrap_or(0),
            // A pipe is read as it is written.
            SourceKind::Docker | SourceKind::Process => chunk.observed,
        };
        let fields = Fields {
            time,
            observed: chunk.observed,
            severity,
            severity_text,
            body,
            attributes: [&origin.attributes, self.tags.of(origin, line, shown.as_ref())],
            uid: (&origin.uid_prefix, line.at),
            event_name: "",
        };
        Some(self.batcher.push(slot, logger, &fields, Some(line.end)))
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let origin = &event.origin;
        let slot = self.batcher.slot(origin, Instant::now());
        let fields = Fields {
            time: event.time,
            observed: event.time,
            severity: event.severity,
            severity_text: "",
            body: Text::new(&event.body),
            attributes: [&origin.attributes, &event.attributes],
            uid: (b"", 0),
            event_name: event.name,
        };
        match self.batcher.push(slot, "runlog", &fields, None) {
            Some(full) => self.close(full),
            None => Ok(()),
        }
    }

    fn close_batches(&mut self, when: Due) -> io::Result<()> {
        for slot in self.batcher.due(when) {
            self.close(slot)?;
        }
        Ok(())
    }

    fn close(&mut self, slot: Slot) -> io::Result<()> {
        if let Some(batch) = self.batcher.close(slot)? {
            self.enqueue(&batch);
        }
        Ok(())
    }

    /// Puts a batch into the queue, waiting for room: what the sources have not handed over yet is still safe there.
    fn enqueue(&mut self, batch: &Batch) {
        if self.is_abandoned {
            // A later position in the queue would pass over the lines that found no room.
            return;
        }
        let meta = prost::Message::encode_to_vec(&batch.meta);
        let positions: Vec<_> = batch.positions.iter().map(|p| (p.key.as_str(), p.bookmark.as_slice())).collect();
        let entry = Entry { meta: &meta, body: batch.payload.clone(), positions: &positions };
        let mut full: Option<(Full, Instant)> = None;
        loop {
            match self.queue.append(&entry) {
                Ok(Appended::At(_)) => break,
                Ok(Appended::Full(reason)) => {
                    if full.is_none() && reason != Full::Unsynced {
                        warn!(reason = %reason, "the queue is full, reading stops until there is room");
                    }
                    full.get_or_insert((reason, Instant::now()));
                }
                Err(error) => {
                    let records = u64::from(batch.meta.records);
                    self.ledger.records_refused.fetch_add(records, Ordering::Relaxed);
                    error!(error = %error, run_id = batch.meta.run_id, lost_records = records, "the queue refused a batch");
                    return;
                }
            }
            if self.gave_up.load(Ordering::Relaxed) {
                warn!(records = batch.meta.records, "stopped before the last lines found room in the queue");
                self.is_abandoned = true;
                return;
            }
            self.queue.wait_for_room(FULL_PAUSE);
        }
        if let Some((reason, since)) = full
            && reason != Full::Unsynced
        {
            info!(waited = ?since.elapsed(), "the queue takes batches again");
        }
    }
}
