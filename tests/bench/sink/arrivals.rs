//! What has arrived: which lines, how often, in how many requests and bytes.
//!
//! Knows nothing of HTTP, so that another transport can bring requests too.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use runlog::record::wire::{Malformed, Value, requests_resources};

use crate::lines::{Mark, mark};

/// What a request may decompress to.
const MAX_DECODED_BYTES: u64 = 256 << 20;
/// Lines of a stream that a mark may name; anything above is not from our generator.
const MAX_SEQUENCE: u64 = 1 << 30;

/// How a body is compressed, by its name in `Content-Encoding` (RFC 9110 section 8.4) or `grpc-encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952
    Gzip,
    /// RFC 8878
    Zstd,
}

/// Totals of everything that was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Different lines.
    pub unique: u64,
    /// Records of lines that had come before.
    pub repeated: u64,
    /// Records that are not a whole line of ours.
    pub foreign: u64,
    /// Requests that were accepted.
    pub requests: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Bytes of the requests as they were sent, with their heads.
    pub wire_bytes: u64,
    /// Bytes of their bodies before compression.
    pub decoded_bytes: u64,
}

/// How waiting for lines ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// All are here; the last one came then.
    Complete(Instant),
    /// Not yet.
    NotYet {
        /// How long no new line has come.
        quiet: Duration,
    },
}

/// Counts arrivals. Shared between the connections and whoever waits.
#[derive(Debug)]
pub struct Arrivals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    totals: Totals,
    /// One bit a line.
    seen: BTreeMap<u16, Vec<u64>>,
    last_new: Instant,
}

/// Buffers of one connection, used again for each of its requests.
#[derive(Debug, Default)]
pub struct Desk {
    decoded: Vec<u8>,
    marks: Vec<Mark>,
}

/// A request that cannot be counted.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its compression is broken, or it is too large.
    #[error("cannot decompress the body")]
    Compression(#[from] io::Error),
    /// It is not an `ExportLogsServiceRequest`.
    #[error("not an export request")]
    Protobuf(#[from] Malformed),
}

impl Encoding {
    /// The encoding of that name. `None` if this sink does not know it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "" | "identity" => Some(Self::Identity),
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl Arrivals {
    /// Nothing has arrived.
    #[must_use]
    pub fn new() -> Self {
        let state = State { totals: Totals::default(), seen: BTreeMap::new(), last_new: Instant::now() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Counts a request of `wire_bytes` with that body.
    ///
    /// # Errors
    /// If the body cannot be read; it is counted as refused, and none of its records is.
    pub fn take(&self, desk: &mut Desk, encoding: Encoding, body: &[u8], wire_bytes: u64) -> Result<(), Unreadable> {
        let read = desk.read(encoding, body);
        let mut state = self.lock();
        let foreign = match read {
            Ok(foreign) => foreign,
            Err(unreadable) => {
                state.totals.refused += 1;
                return Err(unreadable);
            }
        };
        let unique = state.totals.unique;
        for mark in &desk.marks {
            state.count(*mark);
        }
        state.totals.foreign += foreign;
        state.totals.requests += 1;
        state.totals.wire_bytes += wire_bytes;
        state.totals.decoded_bytes += desk.decoded.len() as u64;
        if state.totals.unique > unique {
            state.last_new = Instant::now();
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until so many different lines are here, for at most `patience`.
    #[must_use]
    pub fn wait_for(&self, unique: u64, patience: Duration) -> Waited {
        let waiting = |state: &mut State| state.totals.unique < unique;
        let waited = self.changed.wait_timeout_while(self.lock(), patience, waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.totals.unique < unique {
            return Waited::NotYet { quiet: state.last_new.elapsed() };
        }
        Waited::Complete(state.last_new)
    }

    /// The totals so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.lock().totals
    }

    // Counting does not panic halfway, so what another thread left behind is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, mark: Mark) {
        if mark.sequence >= MAX_SEQUENCE {
            self.totals.foreign += 1;
            return;
        }
        let seen = self.seen.entry(mark.stream).or_default();
        // Below MAX_SEQUENCE, so it fits.
        let word = (mark.sequence / 64) as usize;
        let bit = 1 << (mark.sequence % 64);
        if seen.len() <= word {
            seen.resize(word + 1, 0);
        }
        if seen[word] & bit == 0 {
            seen[word] |= bit;
            self.totals.unique += 1;
        } else {
            self.totals.repeated += 1;
        }
    }
}

impl Desk {
    /// Reads the marks of a request; returns how many records have none.
    fn read(&mut self, encoding: Encoding, body: &[u8]) -> Result<u64, Unreadable> {
        self.decoded.clear();
        self.marks.clear();
        match encoding {
            Encoding::Identity => self.decoded.extend_from_slice(body),
            Encoding::Gzip => self.fill(flate2::bufread::MultiGzDecoder::new(body))?,
            Encoding::Zstd => self.fill(zstd::stream::read::Decoder::with_buffer(body)?)?,
        }
        let mut foreign = 0;
        for resource in requests_resources(&self.decoded) {
            for scope in resource?.scopes() {
                for record in scope?.records() {
                    match record?.body {
                        Value::String(text) => match mark(text.as_bytes()) {
                            Some(mark) => self.marks.push(mark),
                            None => foreign += 1,
                        },
                        _ => foreign += 1,
                    }
                }
            }
        }
        Ok(foreign)
    }

    fn fill(&mut self, decoder: impl Read) -> io::Result<()> {
        decoder.take(MAX_DECODED_BYTES + 1).read_to_end(&mut self.decoded)?;
        if self.decoded.len() as u64 > MAX_DECODED_BYTES {
            return Err(io::Error::other("the body is too large"));
        }
        Ok(())
    }
}
