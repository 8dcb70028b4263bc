//! What has arrived: requests as they came, and which lines were in them, how often and when.
//!
//! While an agent runs, a request costs its bytes: they are kept as they are, with the moment. They are read when
//! somebody asks for the [`Totals`], which the measuring side does once an agent has gone quiet. Knows nothing of HTTP,
//! so that each transport can bring requests.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use runlog::record::wire::{Malformed, Value, requests_resources};

use crate::{
    feed::Written,
    format::{Content, Format},
    lines::Mark,
};

/// What a request may decompress to.
const MAX_DECODED_BYTES: u64 = 256 << 20;
/// Requests that wait to be read. Past it they are read as they come, at the cost that was to be avoided.
const MAX_KEPT_BYTES: usize = 1 << 30;
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
    /// Lines that are allowed to have no mark: of a traceback or a progress bar.
    pub unmarked: u64,
    /// Records that are not whole lines of ours.
    pub foreign: u64,
    /// Requests in all.
    pub requests: u64,
    /// Requests among them that could not be read.
    pub unreadable: u64,
    /// Bytes of the requests as they were sent, with their heads.
    pub wire_bytes: u64,
    /// Bytes of their bodies before compression.
    pub decoded_bytes: u64,
}

/// Receives requests. Shared between the connections and whoever watches.
#[derive(Debug)]
pub struct Arrivals {
    format: Format,
    started: Instant,
    kept: Mutex<Kept>,
    /// Locked before `kept` where both are.
    read: Mutex<ReadSoFar>,
}

/// A request's body as it came.
#[derive(Debug)]
struct Request {
    at: Instant,
    encoding: Encoding,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: Vec<Request>,
    bytes: usize,
    count: u64,
    wire_bytes: u64,
    last: Option<Instant>,
}

#[derive(Debug, Default)]
struct ReadSoFar {
    totals: Totals,
    /// By stream, for each line the microseconds from the start to its first arrival, and one; zero if it is not here.
    seen: BTreeMap<u16, Vec<u32>>,
    decoded: Vec<u8>,
}

/// A request that cannot be counted.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
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
    /// Nothing has arrived; records of lines in that format are expected.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, started: Instant::now(), kept: Mutex::default(), read: Mutex::default() }
    }

    /// Keeps a request of `wire_bytes` with that body.
    pub fn take(&self, encoding: Encoding, body: Vec<u8>, wire_bytes: u64) {
        let at = Instant::now();
        let mut kept = lock(&self.kept);
        kept.count += 1;
        kept.wire_bytes += wire_bytes;
        kept.bytes += body.len();
        kept.last = Some(at);
        kept.requests.push(Request { at, encoding, body });
        let is_much = kept.bytes > MAX_KEPT_BYTES;
        drop(kept);
        if is_much {
            self.totals();
        }
    }

    /// How many requests came, and when the last one did. Costs nothing.
    #[must_use]
    pub fn latest(&self) -> (u64, Option<Instant>) {
        let kept = lock(&self.kept);
        (kept.count, kept.last)
    }

    /// Reads what has come since the last time and counts it. Takes about half a microsecond a line.
    pub fn totals(&self) -> Totals {
        let mut read = lock(&self.read);
        let mut kept = lock(&self.kept);
        let requests = mem::take(&mut kept.requests);
        kept.bytes = 0;
        (read.totals.requests, read.totals.wire_bytes) = (kept.count, kept.wire_bytes);
        drop(kept);
        for request in requests {
            if read.request(&request, self.format, self.started).is_err() {
                read.totals.unreadable += 1;
            }
        }
        read.totals
    }

    /// How long each line took that was written then and was among the last totals, shortest first.
    #[must_use]
    pub fn latencies(&self, stream: u16, written: &[Written]) -> Vec<Duration> {
        let read = lock(&self.read);
        let seen = read.seen.get(&stream).map_or(&[][..], Vec::as_slice);
        let mut latencies = Vec::with_capacity(seen.len());
        let mut from = 0;
        for batch in written {
            let until = usize::try_from(batch.until).unwrap_or(usize::MAX).min(seen.len());
            for micros in seen[from.min(until)..until].iter().filter(|micros| **micros > 0) {
                let at = self.started + Duration::from_micros(u64::from(micros - 1));
                latencies.push(at.saturating_duration_since(batch.at));
            }
            from = until;
        }
        latencies.sort_unstable();
        latencies
    }
}

impl ReadSoFar {
    fn request(&mut self, request: &Request, format: Format, started: Instant) -> Result<(), Unreadable> {
        let mut decoded = mem::take(&mut self.decoded);
        decoded.clear();
        let outcome = self.records(request, format, started, &mut decoded);
        self.totals.decoded_bytes += decoded.len() as u64;
        self.decoded = decoded;
        outcome
    }

    fn records(
        &mut self,
        request: &Request,
        format: Format,
        started: Instant,
        decoded: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let body = request.body.as_slice();
        match request.encoding {
            Encoding::Identity => decoded.extend_from_slice(body),
            Encoding::Gzip => fill(decoded, flate2::bufread::MultiGzDecoder::new(body))?,
            Encoding::Zstd => fill(decoded, zstd::stream::read::Decoder::with_buffer(body)?)?,
        }
        let micros = request.at.saturating_duration_since(started).as_micros();
        // Over an hour it stays at the end; no run is so long.
        let arrived = u32::try_from(micros + 1).unwrap_or(u32::MAX);
        for resource in requests_resources(decoded) {
            for scope in resource?.scopes() {
                for record in scope?.records() {
                    let record = record?;
                    if !record.event_name.is_empty() {
                        // Told about the run, such as its receipt. What it may tell of a loss shows as missing lines.
                        continue;
                    }
                    match record.body {
                        Value::String(text) => format.contents(text.as_bytes()).for_each(|is| self.count(is, arrived)),
                        _ => self.totals.foreign += 1,
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, content: Content, arrived: u32) {
        match content {
            Content::Line(Mark { stream, sequence }) if sequence < MAX_SEQUENCE => {
                let seen = self.seen.entry(stream).or_default();
                // Below MAX_SEQUENCE, so it fits.
                let line = sequence as usize;
                if seen.len() <= line {
                    seen.resize(line + 1, 0);
                }
                if seen[line] == 0 {
                    seen[line] = arrived;
                    self.totals.unique += 1;
                } else {
                    self.totals.repeated += 1;
                }
            }
            Content::Line(_) | Content::Foreign => self.totals.foreign += 1,
            Content::Unmarked => self.totals.unmarked += 1,
        }
    }
}

fn fill(decoded: &mut Vec<u8>, decoder: impl Read) -> io::Result<()> {
    decoder.take(MAX_DECODED_BYTES + 1).read_to_end(decoded)?;
    if decoded.len() as u64 > MAX_DECODED_BYTES {
        return Err(io::Error::other("the body is too large"));
    }
    Ok(())
}

// Counting does not panic halfway, so what another thread left behind is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
