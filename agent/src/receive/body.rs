//! A request's bytes: no more than the limit, no more than there is room for, and none for ever.

use std::{
    io::{self, Read},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::{Instant, timeout_at};
use zstd::stream::read::Decoder;

use super::{End, Refusal};

/// How long a request's body may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to begin, or to go on.
const PATIENCE: Duration = Duration::from_secs(5);

/// What comes more slowly than this only keeps a place from others.
const MIN_BYTES_PER_SECOND: u64 = 1024;

/// What zstd may remember of what it has unpacked. RFC 8878 asks of every decoder that it can do with this.
const MAX_WINDOW_LOG: u32 = 23;

/// What most requests unpack to, in terms of their packed size: room for so much is taken at once.
const USUAL_RATIO: usize = 8;

/// Bytes are decompressed in steps of this size.
const STEP: usize = 64 * 1024;

/// The compressions that OTLP's clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// The names of all, as a client asks for them.
pub(super) const ENCODINGS: &str = "gzip, zstd, identity";

impl Encoding {
    /// From the value of `Content-Encoding` or `grpc-encoding`; empty if there is none.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        let is = |known: &str| name.trim().eq_ignore_ascii_case(known);
        match () {
            () if is("") || is("identity") => Ok(Self::Identity),
            () if is("gzip") => Ok(Self::Gzip),
            () if is("zstd") => Ok(Self::Zstd),
            () => Err(Refusal::Encoding),
        }
    }
}

/// Reads a body of at most `limit` bytes. `announced` tells its length by its first bytes, where those say it.
pub(super) async fn read<E, B>(
    body: B,
    limit: usize,
    announced: fn(&[u8]) -> Option<usize>,
    end: &E,
    room: &mut E::Room,
) -> Result<Vec<u8>, Refusal>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    let stated = body.size_hint().lower();
    if stated > limit as u64 {
        return Err(Refusal::TooLarge { limit });
    }
    let stated = usize::try_from(stated).unwrap_or(limit);
    let mut bytes = Vec::new();
    let mut body = pin!(body);
    let began = Instant::now();
    loop {
        let earned = Duration::from_secs(bytes.len() as u64 / MIN_BYTES_PER_SECOND);
        let deadline = began + (PATIENCE + earned).min(TIMEOUT);
        let deadline = deadline.min(Instant::now() + PATIENCE);
        let Some(frame) = timeout_at(deadline, body.frame()).await.map_err(|_| Refusal::TooSlow)? else { break };
        let frame = frame.map_err(|_| Refusal::Body(io::Error::other("it broke off")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        if bytes.len() + data.len() > bytes.capacity() {
            // All of it at once, once there is some: requests that each hold a part would wait for each other.
            let whole = stated.max(announced(&data).filter(|_| bytes.is_empty()).unwrap_or(0)).min(limit);
            let capacity = (bytes.len() + data.len()).max(bytes.capacity() * 2).max(whole);
            if !end.grow(room, capacity).await {
                return Err(Refusal::Busy);
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Decompresses to at most `limit` bytes.
pub(super) async fn decompress<E: End>(
    body: Vec<u8>,
    encoding: Encoding,
    limit: usize,
    end: &E,
    room: &mut E::Room,
) -> Result<Vec<u8>, Refusal> {
    match encoding {
        Encoding::Identity => Ok(body),
        Encoding::Gzip => {
            let mut rest = &body[..];
            let bytes = unpack(GzDecoder::new(&mut rest), (body.len(), 0), limit, end, room).await?;
            check_end(rest).map(|()| bytes)
        }
        Encoding::Zstd => {
            let mut rest = &body[..];
            let mut decoder = Decoder::with_buffer(&mut rest).map_err(Refusal::Body)?.single_frame();
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(Refusal::Body)?;
            let bytes = unpack(decoder, (body.len(), 1 << MAX_WINDOW_LOG), limit, end, room).await?;
            check_end(rest).map(|()| bytes)
        }
    }
}

/// One stream is what clients send. To look for more behind it is work that grows with nothing but the request.
fn check_end(rest: &[u8]) -> Result<(), Refusal> {
    if rest.is_empty() { Ok(()) } else { Err(Refusal::Body(io::Error::other("it goes on behind its compressed data"))) }
}

/// Step by step, so that neither memory nor this thread is taken by surprise. Held besides are the packed bytes, and what
/// the decoder remembers: all that has come out of it, up to its window.
async fn unpack<E: End>(
    mut decoder: impl Read + Send,
    (packed_bytes, window_bytes): (usize, usize),
    limit: usize,
    end: &E,
    room: &mut E::Room,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let usual = (packed_bytes * USUAL_RATIO).min(limit);
    if !end.grow(room, packed_bytes + usual + usual.min(window_bytes)).await {
        return Err(Refusal::Busy);
    }
    loop {
        if bytes.len() + STEP > bytes.capacity() {
            let capacity = (bytes.len() * 2).clamp(STEP, limit + STEP);
            if !end.grow(room, packed_bytes + capacity + capacity.min(window_bytes)).await {
                return Err(Refusal::Busy);
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        let read = decoder.by_ref().take(STEP as u64).read_to_end(&mut bytes).map_err(Refusal::Body)?;
        if bytes.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        if read == 0 {
            return Ok(bytes);
        }
        tokio::task::consume_budget().await;
    }
}
