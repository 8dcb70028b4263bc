//! Stage 4: records gather in a batch, which is compressed when it closes.
//!
//! One batch is open per resource, so a batch belongs to one run. It holds the records already in their final
//! form and, for each stream, how far it has been read: a batch and the positions after it are one thing.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::record::{
    Account, Batch, BatchMeta, Origin, PositionUpdate, ReadTo, Receipt, Resource, Severity, Signal, UnixNanos, batch,
    wire::{Above, Fields, Gathered, Gauges, RequestWriter, Sample, Seen, Text},
};

/// Names the version of the attributes that are written. Documented in `docs/attributes.md`.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.38.0";

/// When a batch closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// At this size before compression.
    pub max_bytes: usize,
    /// When its first line is there, but not within this time of the batch before.
    pub linger: Duration,
}

/// Open batches together may grow to this many full ones; then the largest is closed early.
const FULL_BATCHES_OPEN: usize = 8;

/// Runs whose passed-on records may have open batches: clients name them as they like.
const MAX_PASSED_RUNS: usize = 64;

/// How long a line that comes after a silence waits for those that are printed with it.
const GATHER: Duration = Duration::from_millis(10);

/// A client that waits for its answer waits for this part of the linger.
const LINGER_FOR_CLIENTS: u32 = 4;

/// With more resources than this, an emptied batch gives its memory back.
const KEPT_BUFFERS: usize = 4;

/// Gathers records and closes batches.
pub struct Batcher {
    config: Config,
    open: Vec<Open>,
    open_bytes: usize,
    compressor: zstd::bulk::Compressor<'static>,
    compressed: Vec<u8>,
}

/// Names an open batch until the next call of [`Batcher::forget_idle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(usize);

struct Open {
    signal: Signal,
    resource: Arc<Resource>,
    writer: RequestWriter,
    ranges: [u32; Severity::RANGES],
    first_time: u64,
    last_time: u64,
    /// Of `ranges`.
    events: [u32; Severity::RANGES],
    /// Of metrics.
    points: u32,
    /// What lines say of the run's metrics, which is a batch of its own.
    gauges: Gauges,
    /// Set with the first record or position.
    since: Option<Instant>,
    /// When the batch before it was closed.
    last: Option<Instant>,
    /// The stream that was asked for last stands last. Two generations of a file share a key, and the later one must
    /// come later in the positions.
    streams: Vec<Progress>,
    /// Of the requests whose records were passed on.
    receipts: Vec<Receipt>,
}

/// What a batch knows of a stream.
struct Progress {
    origin: Arc<Origin>,
    /// How far it has been read, if it was.
    read_to: Option<ReadTo>,
    /// What it gave to this batch, and what of it was left out.
    account: Account,
}

impl Batcher {
    /// Starts with no batch open.
    ///
    /// # Errors
    /// If zstd has no memory.
    pub fn new(config: Config) -> io::Result<Self> {
        Ok(Self { config, open: Vec::new(), open_bytes: 0, compressor: batch::compressor()?, compressed: Vec::new() })
    }

    /// The open batch for records of that stream.
    pub fn slot(&mut self, origin: &Arc<Origin>, now: Instant) -> Slot {
        let same = |open: &Open| Arc::ptr_eq(&open.resource, &origin.resource) || open.resource == origin.resource;
        let known = self.open.iter().position(|open| !open.writer.is_passing() && same(open));
        let slot = known.unwrap_or_else(|| {
            self.open.push(Open::new(Arc::clone(&origin.resource)));
            self.open.len() - 1
        });
        let open = &mut self.open[slot];
        open.since.get_or_insert(now);
        open.select(origin);
        Slot(slot)
    }

    /// The open batch for records of that run and signal that are passed on. It keeps a share of the receipt.
    pub fn slot_of_run(&mut self, run_id: &str, signal: Signal, receipt: &Receipt, now: Instant) -> Slot {
        let same = |open: &Open| open.writer.is_passing() && open.signal == signal && open.resource.run_id == run_id;
        let slot = self.open.iter().position(same).unwrap_or_else(|| {
            self.open.push(Open::passing(run_id, signal));
            self.open.len() - 1
        });
        let open = &mut self.open[slot];
        open.since.get_or_insert(now);
        if open.receipts.last().is_none_or(|last| !last.is_of(receipt)) {
            open.receipts.push(receipt.clone());
        }
        Slot(slot)
    }

    /// Whether clients have named so many runs that all batches are to be closed, and the idle ones forgotten.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.open.iter().filter(|open| open.writer.is_passing()).count() > MAX_PASSED_RUNS
    }

    /// Passes a record on, into a slot of [`Batcher::slot_of_run`]. Says which batch has to be closed now, if any.
    pub fn pass(
        &mut self,
        slot: Slot,
        above: &Above<'_>,
        record: &[u8],
        seen: &Seen,
        observed: UnixNanos,
    ) -> Option<Slot> {
        let open = &mut self.open[slot.0];
        let before = open.writer.len();
        let is_log = open.signal == Signal::Logs;
        open.writer.pass(above, record, (is_log && seen.time == 0).then_some(observed));
        let time = if seen.time == 0 { observed } else { seen.time };
        open.count(time, seen.severity, seen.has_event_name);
        open.points += seen.points;
        self.open_bytes += open.writer.len() - before;
        self.full(slot)
    }

    /// Writes a record of the stream that the slot was asked for; `read_to` is how far the stream is read with it.
    /// Says which batch has to be closed now, if any.
    pub fn push(&mut self, slot: Slot, scope: Text<'_>, fields: &Fields<'_>, read_to: Option<ReadTo>) -> Option<Slot> {
        let open = &mut self.open[slot.0];
        let before = open.writer.len();
        open.writer.record(scope, fields);
        self.open_bytes += open.writer.len() - before;
        let time = if fields.time == 0 { fields.observed } else { fields.time };
        open.count(time, fields.severity, !fields.event_name.is_empty());
        if let Some(read_to) = read_to {
            open.read_to(read_to);
        }
        self.full(slot)
    }

    /// Adds a value to the gauges of the run whose slot it is.
    pub fn gauge(&mut self, slot: Slot, sample: &Sample<'_>) {
        let open = &mut self.open[slot.0];
        open.gauges.add(&open.resource.run_id, sample);
    }

    /// The batch that has to be closed after that one has grown.
    fn full(&self, slot: Slot) -> Option<Slot> {
        if self.open[slot.0].writer.len() >= self.config.max_bytes {
            return Some(slot);
        }
        if self.open_bytes < FULL_BATCHES_OPEN * self.config.max_bytes {
            return None;
        }
        (0..self.open.len()).max_by_key(|slot| self.open[*slot].writer.len()).map(Slot)
    }

    /// Notes how far the stream that the slot was asked for has been read, whatever was kept of it.
    pub fn advance(&mut self, slot: Slot, read_to: ReadTo) {
        self.open[slot.0].read_to(read_to);
    }

    /// Adds to the account of a stream whose records were passed on into that slot.
    pub fn account_passed(&mut self, slot: Slot, origin: &Arc<Origin>, account: &Account) {
        self.open[slot.0].select(origin);
        self.account(slot, account);
    }

    /// Adds to the account of the stream that the slot was asked for.
    pub fn account(&mut self, slot: Slot, account: &Account) {
        if let Some(stream) = self.open[slot.0].streams.last_mut() {
            stream.account.add(account);
        }
    }

    /// The run of the batch of that slot, which is about to be closed, and the accounts of what is in it.
    pub fn take_accounts(&mut self, slot: Slot) -> (String, Vec<(Arc<Origin>, Account)>) {
        let take = |stream: &mut Progress| {
            let account = std::mem::take(&mut stream.account);
            (!account.is_empty()).then(|| (Arc::clone(&stream.origin), account))
        };
        let open = &mut self.open[slot.0];
        (open.resource.run_id.clone(), open.streams.iter_mut().filter_map(take).collect())
    }

    /// When the next batch has waited long enough.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.open.iter().filter_map(|open| open.due(&self.config)).min()
    }

    /// Closes the batch of that slot. `None` if there is nothing to say.
    ///
    /// # Errors
    /// If zstd fails, for want of memory.
    pub fn close(&mut self, slot: Slot) -> io::Result<Option<Batch>> {
        let gives_memory_back = self.open.len() > KEPT_BUFFERS;
        let open = &mut self.open[slot.0];
        let mut payload = Bytes::new();
        let run_id = open.resource.run_id.clone();
        let mut meta = BatchMeta { run_id, signal: open.signal.into(), ..BatchMeta::default() };
        if !open.writer.is_empty() {
            meta.records = open.writer.records();
            meta.first_time_unix_nano = open.first_time;
            meta.last_time_unix_nano = open.last_time;
            meta.points = open.points;
            if open.signal == Signal::Logs {
                meta.records_by_range = open.ranges.to_vec();
            }
            meta.has_events = open.events.iter().any(|count| *count > 0);
            if meta.has_events {
                meta.events_by_range = open.events.to_vec();
            }
            let request = open.writer.finish();
            meta.uncompressed_bytes = u32::try_from(request.len()).unwrap_or(u32::MAX);
            self.compressed.clear();
            self.compressed.reserve(zstd::zstd_safe::compress_bound(request.len()));
            self.compressor.compress_to_buffer(request, &mut self.compressed)?;
            // The queue holds the payload until it is durable, so it is given no more than its bytes.
            payload = Bytes::copy_from_slice(&self.compressed);
        }
        let positions = open.positions();
        let closed_bytes = open.writer.len();
        open.reset(gives_memory_back);
        self.open_bytes -= closed_bytes - open.writer.len();
        Ok((meta.records > 0 || !positions.is_empty()).then_some(Batch { meta, payload, positions }))
    }

    /// Closes the gauges of what is in the batch of that slot, which is closed behind them. `None` if there are none.
    ///
    /// # Errors
    /// If zstd fails, for want of memory.
    pub fn close_gauges(&mut self, slot: Slot) -> io::Result<Option<Batch>> {
        let open = &mut self.open[slot.0];
        let Some(gathered) = open.gauges.take(&open.resource.encoded, SCHEMA_URL) else { return Ok(None) };
        let Gathered { request, metrics, points, times } = gathered;
        let meta = BatchMeta {
            run_id: open.resource.run_id.clone(),
            signal: Signal::Metrics.into(),
            records: metrics,
            points,
            first_time_unix_nano: times.0,
            last_time_unix_nano: times.1,
            uncompressed_bytes: u32::try_from(request.len()).unwrap_or(u32::MAX),
            ..BatchMeta::default()
        };
        let payload = Bytes::from(self.compressor.compress(&request)?);
        Ok(Some(Batch { meta, payload, positions: Vec::new() }))
    }

    /// The receipts of what is in the batch of that slot, which is about to be closed.
    pub fn take_receipts(&mut self, slot: Slot) -> Vec<Receipt> {
        std::mem::take(&mut self.open[slot.0].receipts)
    }

    /// The slots of the batches that have waited long enough, or of all that are not empty.
    #[must_use]
    pub fn due(&self, when: Due) -> Vec<Slot> {
        let is_due = |open: &Open| match (open.due(&self.config), when) {
            (None, _) => false,
            (Some(_), Due::All) => true,
            (Some(due), Due::At(now)) => due <= now,
        };
        (0..self.open.len()).filter(|slot| is_due(&self.open[*slot])).map(Slot).collect()
    }

    /// Forgets batches of resources that nothing is open for, so that their memory does not outlive their streams.
    pub fn forget_idle(&mut self) {
        self.open.retain(|open| open.since.is_some() || Arc::strong_count(&open.resource) > 1);
    }
}

/// Which batches to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Those whose first line has waited long enough by then.
    At(Instant),
    /// All that are not empty.
    All,
}

impl Open {
    fn new(resource: Arc<Resource>) -> Self {
        let writer = RequestWriter::new(&resource.encoded, SCHEMA_URL, 0);
        Self::with(resource, Signal::Logs, writer)
    }

    /// For records under heads of their own.
    fn passing(run_id: &str, signal: Signal) -> Self {
        let resource = Resource { run_id: run_id.to_owned(), encoded: Vec::new() };
        Self::with(Arc::new(resource), signal, RequestWriter::passing())
    }

    fn with(resource: Arc<Resource>, signal: Signal, writer: RequestWriter) -> Self {
        Self {
            signal,
            writer,
            resource,
            ranges: [0; Severity::RANGES],
            first_time: u64::MAX,
            last_time: 0,
            events: [0; Severity::RANGES],
            points: 0,
            gauges: Gauges::default(),
            since: None,
            last: None,
            streams: Vec::new(),
            receipts: Vec::new(),
        }
    }

    /// When it has waited long enough, if it is not empty: what comes seldom hardly waits, and what comes often is
    /// sent once a linger.
    fn due(&self, config: &Config) -> Option<Instant> {
        let linger = if self.receipts.is_empty() { config.linger } else { config.linger / LINGER_FOR_CLIENTS };
        let gathered = self.since? + GATHER.min(linger);
        Some(self.last.map_or(gathered, |last| gathered.max(last + linger)))
    }

    /// Notes a record for the description.
    fn count(&mut self, time: UnixNanos, severity: Severity, is_event: bool) {
        self.ranges[severity.range()] += 1;
        self.first_time = self.first_time.min(time);
        self.last_time = self.last_time.max(time);
        self.events[severity.range()] += u32::from(is_event);
    }

    fn select(&mut self, origin: &Arc<Origin>) {
        let stream = match self.streams.iter().rposition(|known| known.origin.id == origin.id) {
            Some(at) => self.streams.remove(at),
            None => Progress { origin: Arc::clone(origin), read_to: None, account: Account::default() },
        };
        self.streams.push(stream);
    }

    fn read_to(&mut self, read_to: ReadTo) {
        if let Some(stream) = self.streams.last_mut() {
            stream.read_to = Some(read_to);
        }
    }

    fn positions(&self) -> Vec<PositionUpdate> {
        let describe = |Progress { origin, read_to, .. }: &Progress| {
            let bookmark = origin.bookmark.at((*read_to)?)?;
            Some(PositionUpdate { key: origin.key.clone(), bookmark })
        };
        self.streams.iter().filter_map(describe).collect()
    }

    fn reset(&mut self, gives_memory_back: bool) {
        self.writer.clear();
        if gives_memory_back {
            self.writer.shrink();
        }
        self.ranges = [0; Severity::RANGES];
        self.first_time = u64::MAX;
        self.last_time = 0;
        self.events = [0; Severity::RANGES];
        self.points = 0;
        self.last = Some(Instant::now());
        self.since = None;
        self.streams.clear();
        self.receipts.clear();
    }
}

#[cfg(test)]
mod tests;
