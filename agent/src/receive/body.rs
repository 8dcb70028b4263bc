//! A request's bytes: no more than the limit, no more than there is room for, and none for ever.

use std::{
    io::{self, Read},
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::timeout;
use zstd::stream::read::Decoder;

use super::{End, Refusal};

/// How long a request's body may take.
const TIMEOUT: Duration = Duration::from_secs(30);

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

/// Reads a body of at most `limit` bytes.
pub(super) async fn read<E, B>(body: B, limit: usize, end: &E, room: &mut E::Room) -> Result<Vec<u8>, Refusal>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    timeout(TIMEOUT, read_all(body, limit, end, room)).await.unwrap_or(Err(Refusal::TooSlow))
}

async fn read_all<E, B>(body: B, limit: usize, end: &E, room: &mut E::Room) -> Result<Vec<u8>, Refusal>
where
    E: End,
    B: Body<Data = Bytes> + Send,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(Refusal::TooLarge { limit });
    }
    let mut bytes = Vec::new();
    let announced = usize::try_from(announced).unwrap_or(limit);
    grow(&mut bytes, announced, end, room).await?;
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Body(io::Error::other("it broke off")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        grow(&mut bytes, data.len(), end, room).await?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Makes room for `more` bytes.
async fn grow<E: End>(bytes: &mut Vec<u8>, more: usize, end: &E, room: &mut E::Room) -> Result<(), Refusal> {
    let needed = bytes.len() + more;
    if needed > bytes.capacity() {
        let capacity = needed.max(bytes.capacity() * 2);
        if !end.grow(room, capacity).await {
            return Err(Refusal::Busy);
        }
        bytes.reserve_exact(capacity - bytes.len());
    }
    Ok(())
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
        Encoding::Gzip => unpack(MultiGzDecoder::new(&body[..]), body.len(), limit, end, room).await,
        Encoding::Zstd => {
            let decoder = Decoder::with_buffer(&body[..]).map_err(Refusal::Body)?;
            unpack(decoder, body.len(), limit, end, room).await
        }
    }
}

/// Step by step, so that neither memory nor this thread is taken by surprise.
async fn unpack<E: End>(
    mut decoder: impl Read + Send,
    packed_bytes: usize,
    limit: usize,
    end: &E,
    room: &mut E::Room,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    loop {
        if bytes.len() + STEP > bytes.capacity() {
            let capacity = (bytes.len() * 2).clamp(STEP, limit + STEP);
            if !end.grow(room, packed_bytes + capacity).await {
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
