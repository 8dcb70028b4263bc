//! What a destination has taken so far, for metrics and `runlog status`.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use crate::record::{BatchMeta, Signal, UnixNanos};

/// Whether a destination takes what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportState {
    /// It does, or nothing was sent yet.
    #[default]
    Ok,
    /// It cannot be reached, or asked to wait.
    Retrying,
    /// It refuses everything with these settings.
    Misconfigured,
}

impl ExportState {
    /// The word used in metrics and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Retrying => "retrying",
            Self::Misconfigured => "misconfigured",
        }
    }
}

/// The counters of one destination. Each only grows.
#[derive(Debug, Default)]
pub struct ExportStats {
    batches: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
    rejected_records: AtomicU64,
    dead_lettered: AtomicU64,
    passed: [Passed; Signal::PASSED.len()],
    now: Mutex<Now>,
}

/// Data points or spans.
#[derive(Debug, Default)]
struct Passed {
    taken: AtomicU64,
    rejected: AtomicU64,
}

#[derive(Debug, Default)]
struct Now {
    state: ExportState,
    last_error: Option<String>,
    last_success: UnixNanos,
}

/// A plain copy of the counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportCounts {
    /// Batches, or parts of them, that were accepted.
    pub batches: u64,
    /// Log records that were accepted.
    pub records: u64,
    /// Size of the accepted batches as the queue keeps them.
    pub bytes: u64,
    /// Tries that failed and were or will be repeated.
    pub retries: u64,
    /// Log records that the destination did not keep: refused with their batch, or in a partial success.
    pub rejected_records: u64,
    /// Of each signal that is only passed on, the data points or spans that were accepted, and those that were not kept.
    pub passed: [(u64, u64); Signal::PASSED.len()],
    /// Batches, or parts of them, that were set aside as dead letters.
    pub dead_lettered: u64,
    /// Whether the destination takes what it is sent.
    pub state: ExportState,
    /// The last thing that went wrong, in words; kept after it went right again.
    pub last_error: Option<String>,
    /// When a batch was last accepted; zero if none was.
    pub last_success: UnixNanos,
}

impl ExportStats {
    /// The counters as they are now, read one after the other.
    #[must_use]
    pub fn counts(&self) -> ExportCounts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        ExportCounts {
            batches: get(&self.batches),
            records: get(&self.records),
            bytes: get(&self.bytes),
            retries: get(&self.retries),
            rejected_records: get(&self.rejected_records),
            dead_lettered: get(&self.dead_lettered),
            passed: self.passed.each_ref().map(|passed| (get(&passed.taken), get(&passed.rejected))),
            state: now.state,
            last_error: now.last_error.clone(),
            last_success: now.last_success,
        }
    }

    /// What is counted of a signal: what was taken, and what was not.
    fn counters(&self, signal: Signal) -> (&AtomicU64, &AtomicU64) {
        match Signal::PASSED.iter().position(|passed| *passed == signal) {
            Some(at) => (&self.passed[at].taken, &self.passed[at].rejected),
            None => (&self.records, &self.rejected_records),
        }
    }

    pub(super) fn accepted(&self, meta: &BatchMeta, rejected: u64, bytes: u64, at: UnixNanos) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let (taken, not_taken) = self.counters(meta.signal());
        taken.fetch_add(meta.items().saturating_sub(rejected), Ordering::Relaxed);
        not_taken.fetch_add(rejected, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.state = ExportState::Ok;
        now.last_success = at;
    }

    pub(super) fn failed(&self, state: ExportState, reason: &str) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.state = state;
        now.last_error = Some(reason.to_owned());
    }

    /// The destination answers, but nothing of a batch was to its liking.
    pub(super) fn refused_all(&self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.state = ExportState::Misconfigured;
    }

    /// There is no place for a batch of that signal.
    pub(super) fn unserved(&self, meta: &BatchMeta) {
        self.counters(meta.signal()).1.fetch_add(meta.items(), Ordering::Relaxed);
    }

    pub(super) fn dead_lettered(&self, meta: &BatchMeta, reason: &str) {
        self.dead_lettered.fetch_add(1, Ordering::Relaxed);
        self.counters(meta.signal()).1.fetch_add(meta.items(), Ordering::Relaxed);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        // It answered, so it can be reached.
        now.state = ExportState::Ok;
        now.last_error = Some(reason.to_owned());
    }
}
