//! What was read, kept, left out and lost, per stream and in sum.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{Lag, Progress, Severity, Signal, SourceKind, UnixNanos};

/// The counters of one stream, each of which only grows, and how far its reading is.
#[derive(Debug)]
pub struct Tally {
    /// The kind of source.
    pub kind: SourceKind,
    /// The stream's name for people: a path, a container's name and stream.
    pub name: String,
    /// Bytes that came in.
    pub bytes_read: AtomicU64,
    /// Lines that came in; a line split for its length counts once.
    pub lines_read: AtomicU64,
    /// Records that went into a batch.
    pub records_kept: AtomicU64,
    /// States of progress bars that were drawn over by later ones.
    pub states_folded: AtomicU64,
    /// Lines left out for what their stream may print in a second.
    pub lines_limited: AtomicU64,
    /// Lines left out for their level, by [`Severity::range`].
    pub lines_filtered: [AtomicU64; Severity::RANGES],
    /// Of the lines left out, those that the flight recorder sent after all. They are among the records kept as well.
    pub lines_replayed: AtomicU64,
    /// Lines that are gone although they should have been kept.
    pub lines_lost: AtomicU64,
    /// Bytes that are gone although they should have been kept, where no lines can be told.
    pub bytes_lost: AtomicU64,
    progress: Mutex<Progress>,
    /// Of the lines and bytes lost, those that are in the account of a run.
    accounted_lost: [AtomicU64; 2],
}

/// A plain copy of the counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of `Tally`")]
pub struct Counts {
    pub bytes_read: u64,
    pub lines_read: u64,
    pub records_kept: u64,
    pub states_folded: u64,
    pub lines_limited: u64,
    pub lines_filtered: [u64; Severity::RANGES],
    pub lines_replayed: u64,
    pub lines_lost: u64,
    pub bytes_lost: u64,
}

impl Counts {
    /// All lines left out for their level.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.lines_filtered.iter().sum()
    }

    /// Those that were not sent after all.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.filtered().saturating_sub(self.lines_replayed)
    }

    fn add(&mut self, other: &Self) {
        self.bytes_read += other.bytes_read;
        self.lines_read += other.lines_read;
        self.records_kept += other.records_kept;
        self.states_folded += other.states_folded;
        self.lines_limited += other.lines_limited;
        for (sum, one) in self.lines_filtered.iter_mut().zip(other.lines_filtered) {
            *sum += one;
        }
        self.lines_replayed += other.lines_replayed;
        self.lines_lost += other.lines_lost;
        self.bytes_lost += other.bytes_lost;
    }
}

impl Tally {
    /// A tally that no ledger knows, for tests.
    #[must_use]
    pub fn detached(kind: SourceKind, name: &str) -> Arc<Self> {
        Arc::new(Self {
            kind,
            name: name.to_owned(),
            bytes_read: AtomicU64::new(0),
            lines_read: AtomicU64::new(0),
            records_kept: AtomicU64::new(0),
            states_folded: AtomicU64::new(0),
            lines_limited: AtomicU64::new(0),
            lines_filtered: Default::default(),
            lines_replayed: AtomicU64::new(0),
            lines_lost: AtomicU64::new(0),
            bytes_lost: AtomicU64::new(0),
            progress: Mutex::default(),
            accounted_lost: Default::default(),
        })
    }

    /// Notes that the stream is read up to an offset, behind which so many bytes wait.
    pub fn reached(&self, position: u64, lag_bytes: u64, now: UnixNanos) {
        let mut progress = self.lock();
        progress.position = position;
        progress.lag = match progress.lag {
            _ if lag_bytes == 0 => Lag::Nothing,
            Lag::Behind { since, .. } => Lag::Behind { bytes: Some(lag_bytes), since },
            Lag::Unknown | Lag::Nothing => Lag::Behind { bytes: Some(lag_bytes), since: now },
        };
    }

    /// Notes that the stream is read up to a line that was written then, where nobody can tell how much is behind it.
    pub fn read_to(&self, position: u64, written: UnixNanos) {
        let mut progress = self.lock();
        (progress.position, progress.lag) = (position, Lag::Behind { bytes: None, since: written });
    }

    /// Notes that all is read that there is, as far as the source says.
    pub fn caught_up(&self) {
        self.lock().lag = Lag::Nothing;
    }

    /// Notes that nobody can tell any more how much there is to read.
    pub fn lost_sight(&self) {
        self.lock().lag = Lag::Unknown;
    }

    /// Notes when bytes of the stream came.
    pub fn heard(&self, at: UnixNanos) {
        self.lock().heard_at = at;
    }

    /// Notes what went wrong with the stream.
    pub fn failed(&self, error: impl std::fmt::Display) {
        self.lock().last_error = Some(error.to_string());
    }

    /// How far the reading of the stream has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines and bytes that were lost since this was last asked.
    #[must_use]
    pub fn newly_lost(&self) -> (u64, u64) {
        let [lines, bytes] = [&self.lines_lost, &self.bytes_lost].map(|lost| lost.load(Ordering::Relaxed));
        let [lines_before, bytes_before] = &self.accounted_lost;
        (lines - lines_before.swap(lines, Ordering::Relaxed), bytes - bytes_before.swap(bytes, Ordering::Relaxed))
    }

    /// The counters as they are now. They are read one after the other, so their sums may be off by lines in flight.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            bytes_read: get(&self.bytes_read),
            lines_read: get(&self.lines_read),
            records_kept: get(&self.records_kept),
            states_folded: get(&self.states_folded),
            lines_limited: get(&self.lines_limited),
            lines_filtered: std::array::from_fn(|range| get(&self.lines_filtered[range])),
            lines_replayed: get(&self.lines_replayed),
            lines_lost: get(&self.lines_lost),
            bytes_lost: get(&self.bytes_lost),
        }
    }
}

/// What came in of a signal that is only passed on: data points or spans.
#[derive(Debug, Default)]
pub struct Passed {
    /// Those that went into a batch.
    pub kept: AtomicU64,
    /// Those that no destination could have decoded.
    pub rejected: AtomicU64,
}

/// All tallies of this process.
#[derive(Debug, Default)]
pub struct Ledger {
    open: Mutex<Vec<Arc<Tally>>>,
    ended: Mutex<Ended>,
    /// Records that were kept and then refused by the queue for good, which is a bug or an absurd setting.
    pub records_refused: AtomicU64,
    passed: [Passed; Signal::PASSED.len()],
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    redactions: Mutex<BTreeMap<String, u64>>,
}

/// Streams that their sources are done with.
#[derive(Debug, Default)]
struct Ended {
    /// Lines of these are still on their way and will be counted.
    counting: Vec<Arc<Tally>>,
    /// Sums of all others.
    sums: BTreeMap<SourceKind, Counts>,
}

impl Ended {
    fn settle(&mut self) {
        let Self { counting, sums } = self;
        counting.retain(|tally| {
            let still = Arc::strong_count(tally) > 1;
            if !still {
                sums.entry(tally.kind).or_default().add(&tally.counts());
            }
            still
        });
    }
}

impl Ledger {
    /// Starts counting for a stream.
    pub fn open(&self, kind: SourceKind, name: &str) -> Arc<Tally> {
        let tally = Tally::detached(kind, name);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&tally));
        tally
    }

    /// Ends a stream: what it counted, and what is still counted for lines on their way, stays in the sums.
    pub fn close(&self, tally: &Arc<Tally>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = open.iter().position(|known| Arc::ptr_eq(known, tally)) else { return };
        let tally = open.swap_remove(at);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.counting.push(tally);
        ended.settle();
    }

    /// Ends the streams that nobody else knows any more: their source was cut short.
    pub fn close_forsaken(&self) {
        for tally in self.streams() {
            // The ledger's own and this one.
            if Arc::strong_count(&tally) <= 2 {
                self.close(&tally);
            }
        }
    }

    /// The counters of a signal that is only passed on; logs have none.
    #[must_use]
    pub fn passed(&self, signal: Signal) -> Option<&Passed> {
        Signal::PASSED.iter().position(|passed| *passed == signal).map(|at| &self.passed[at])
    }

    /// Counts a request or a connection that a receiver did not take, by the reason in one word.
    pub fn refuse(&self, reason: &'static str) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// How many were not taken, by the reason.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a secret that was masked, by the rule that found it.
    pub fn redact(&self, rule: &str) {
        let mut redactions = self.redactions.lock().unwrap_or_else(PoisonError::into_inner);
        match redactions.get_mut(rule) {
            Some(count) => *count += 1,
            None => _ = redactions.insert(rule.to_owned(), 1),
        }
    }

    /// How many secrets were masked, by the rule that found them.
    #[must_use]
    pub fn redactions(&self) -> BTreeMap<String, u64> {
        self.redactions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The streams that are open.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<Tally>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lag of each kind of source of which streams are open.
    #[must_use]
    pub fn lags(&self) -> BTreeMap<SourceKind, Lag> {
        let mut lags = BTreeMap::new();
        for tally in self.streams() {
            let lag = lags.entry(tally.kind).or_insert(Lag::Nothing);
            *lag = lag.and(tally.progress().lag);
        }
        lags
    }

    /// Sums per kind of source, over open and ended streams.
    #[must_use]
    pub fn sums(&self) -> BTreeMap<SourceKind, Counts> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.settle();
        let mut sums = ended.sums.clone();
        for tally in &ended.counting {
            sums.entry(tally.kind).or_default().add(&tally.counts());
        }
        for tally in open.iter() {
            sums.entry(tally.kind).or_default().add(&tally.counts());
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_behind_since_it_was_last_read_to_its_end() {
        let tally = Tally::detached(SourceKind::File, "a.log");
        assert_eq!(tally.progress().lag, Lag::Unknown);
        for (lag_bytes, now, since) in [(0, 1, None), (5, 2, Some(2)), (3, 3, Some(2)), (0, 4, None), (9, 5, Some(5))] {
            tally.reached(10 * now, lag_bytes, now);
            let lag = since.map_or(Lag::Nothing, |since| Lag::Behind { bytes: Some(lag_bytes), since });
            assert_eq!((tally.progress().position, tally.progress().lag), (10 * now, lag));
        }
    }

    #[test]
    fn a_stream_of_unknown_length_is_behind_by_the_age_of_its_last_line_until_its_source_says_that_it_is_not() {
        let tally = Tally::detached(SourceKind::Docker, "a/stdout");
        tally.read_to(10, 7);
        assert_eq!(tally.progress().lag, Lag::Behind { bytes: None, since: 7 });
        tally.caught_up();
        assert_eq!((tally.progress().position, tally.progress().lag), (10, Lag::Nothing));
        tally.lost_sight();
        assert_eq!(tally.progress().lag, Lag::Unknown);
    }

    #[test]
    fn a_closed_stream_is_still_counted_and_stays_in_the_sums_without_its_lag() {
        let ledger = Ledger::default();
        let tally = ledger.open(SourceKind::File, "a.log");
        tally.lines_read.fetch_add(3, Ordering::Relaxed);
        tally.reached(1, 7, 1);
        assert_eq!(ledger.lags()[&SourceKind::File].bytes(), Some(7));

        ledger.close(&tally);
        ledger.close(&tally);

        assert!(ledger.streams().is_empty() && ledger.lags().is_empty());
        // The pipeline still had a line of it.
        tally.lines_read.fetch_add(1, Ordering::Relaxed);
        drop(tally);
        ledger.close(&Tally::detached(SourceKind::File, "unknown"));
        assert_eq!(ledger.sums()[&SourceKind::File].lines_read, 4);
    }
}
