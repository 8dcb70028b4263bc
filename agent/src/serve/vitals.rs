//! What runlog says about itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use runlog_proto::v1;

use crate::record::{Lag, Ledger, Signal, SourceKind, Tally, UnixNanos, tally::Counts};

/// So many streams are named in metrics, and in a status that is not asked for all: those furthest behind.
const NAMED_STREAMS: usize = 50;

/// Tells how runlog is doing.
pub trait Vitals: Send + Sync {
    /// The present state. Called for each request for health, metrics or status; does not wait.
    fn snapshot(&self) -> Snapshot;

    /// The parts of runlog that have made no progress for so long that it has to be started again. Does not wait, not
    /// even for a part that is stuck.
    fn stuck(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// The state at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When runlog started.
    pub started: UnixNanos,
    /// Why it is not ready, one sentence each; empty if it is.
    pub unready: Vec<String>,
    /// What does not work while the rest does, one sentence each.
    pub degraded: Vec<String>,
    /// [`crate::record::Ledger::sums`].
    pub sources: BTreeMap<SourceKind, Counts>,
    /// [`crate::record::Ledger::lags`].
    pub lags: BTreeMap<SourceKind, Lag>,
    /// [`crate::record::Ledger::streams`].
    pub streams: Vec<Arc<Tally>>,
    /// Records that the queue could never take.
    pub records_refused: u64,
    /// Places in the queue that were found damaged.
    pub queue_damages: u64,
    /// How often the queue could not be made durable.
    pub queue_sync_failures: u64,
    /// How often the files of the queue were removed while it was in use.
    pub queue_removals: u64,
    /// How often parts that had panicked were started again, by their names.
    pub restarts: BTreeMap<String, u64>,
    /// The queue; `None` where there is none.
    pub queue: Option<v1::QueueStatus>,
    /// The destinations, with what waits for them.
    pub destinations: Vec<v1::DestinationStatus>,
    /// Metrics and traces that were received, if there are any.
    pub signals: Vec<v1::SignalCounts>,
    /// [`crate::record::Ledger::refusals`].
    pub refusals: BTreeMap<&'static str, u64>,
    /// [`crate::record::Ledger::redactions`].
    pub redactions: BTreeMap<String, u64>,
    /// The levels that hold; `None` where nothing is collected.
    pub levels: Option<v1::Levels>,
    /// How the flight recorder is doing; `None` where nothing is recorded.
    pub recording: Option<v1::Recording>,
}

/// Metrics and traces that were received.
#[must_use]
pub fn received(ledger: &Ledger) -> Vec<v1::SignalCounts> {
    let counts = |signal: Signal| {
        let passed = ledger.passed(signal)?;
        let [taken, rejected] = [&passed.kept, &passed.rejected].map(|counter| counter.load(Ordering::Relaxed));
        Some(v1::SignalCounts { signal: signal.as_str().to_owned(), taken, rejected })
    };
    Signal::PASSED.into_iter().filter_map(counts).collect()
}

impl Snapshot {
    /// What waits in all streams of a kind.
    pub(super) fn lag(&self, kind: SourceKind) -> Lag {
        self.lags.get(&kind).copied().unwrap_or(Lag::Nothing)
    }

    /// The streams, those of one name together: the furthest behind first, then those heard of last.
    fn in_order(&self, now: UnixNanos) -> Vec<v1::StreamStatus> {
        let mut streams = BTreeMap::<_, (Lag, v1::StreamStatus)>::new();
        for tally in &self.streams {
            let (counts, progress) = (tally.counts(), tally.progress());
            let first = || (Lag::Nothing, v1::StreamStatus::default());
            let (lag, stream) = streams.entry((tally.kind, &*tally.name)).or_insert_with(first);
            *lag = lag.and(progress.lag);
            stream.position = stream.position.max(progress.position);
            stream.bytes_read += counts.bytes_read;
            stream.lines_read += counts.lines_read;
            stream.last_read_unix_nano = stream.last_read_unix_nano.max(progress.heard_at);
            if let Some(error) = progress.last_error {
                stream.last_error = error;
            }
        }
        let mut streams: Vec<_> = streams.into_iter().collect();
        streams.sort_by_key(|(_, (lag, stream))| {
            std::cmp::Reverse((lag.is_behind(), lag.bytes(), stream.last_read_unix_nano))
        });
        let named = |((kind, name), (lag, stream)): ((SourceKind, &str), (Lag, v1::StreamStatus))| v1::StreamStatus {
            kind: kind.as_str().to_owned(),
            name: name.to_owned(),
            lag_bytes: lag.bytes(),
            lag_seconds: lag.seconds(now),
            ..stream
        };
        streams.into_iter().map(named).collect()
    }

    /// The streams that have something left to read, the furthest behind first.
    pub(super) fn lagging(&self, now: UnixNanos) -> Vec<v1::StreamStatus> {
        let is_behind = |stream: &v1::StreamStatus| stream.lag_seconds.is_some() && stream.lag_bytes != Some(0);
        self.in_order(now).into_iter().take_while(is_behind).take(NAMED_STREAMS).collect()
    }

    /// The answer to `/api/v1/status`.
    pub(super) fn status(self, address: String, are_all_asked: bool, now: UnixNanos) -> v1::Status {
        let mut streams = self.in_order(now);
        let stream_count = streams.len() as u64;
        if !are_all_asked {
            streams.truncate(NAMED_STREAMS);
        }
        let sources = self.sources.iter().map(|(kind, counts)| source(*kind, counts, self.lag(*kind), now)).collect();
        v1::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address,
            start_time_unix_nano: self.started,
            ready: self.unready.is_empty(),
            streams,
            stream_count,
            sources,
            reasons: self.unready,
            degraded: self.degraded,
            queue: self.queue,
            destinations: self.destinations,
            signals: self.signals,
            redactions: self.redactions.into_iter().collect(),
            levels: self.levels,
            recording: self.recording,
            refusals: self.refusals.into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        }
    }
}

fn source(kind: SourceKind, counts: &Counts, lag: Lag, now: UnixNanos) -> v1::SourceStatus {
    v1::SourceStatus {
        kind: kind.as_str().to_owned(),
        bytes_read: counts.bytes_read,
        lines_read: counts.lines_read,
        records_kept: counts.records_kept,
        states_folded: counts.states_folded,
        lines_limited: counts.lines_limited,
        lines_filtered: Some(counts.lines_filtered.into()),
        lines_replayed: counts.lines_replayed,
        lines_lost: counts.lines_lost,
        bytes_lost: counts.bytes_lost,
        lag_bytes: lag.bytes(),
        lag_seconds: lag.seconds(now),
    }
}
