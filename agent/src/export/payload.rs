//! From the queue's bytes to the bytes of a request.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use zstd::stream::read::Decoder;

use crate::record::{BatchMeta, wire};

use super::Compression;

/// As the batch stage compresses.
const ZSTD_LEVEL: i32 = 1;

/// A batch that cannot be opened, so that it cannot be sent in any other form.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the stored batch cannot be decompressed")]
    Zstd(#[source] io::Error),
    #[error("the stored batch holds {found} bytes or more and should hold {expected}")]
    Size { found: u64, expected: u32 },
    #[error("the stored batch is no OTLP request")]
    Otlp(#[from] wire::Malformed),
}

/// A batch, or a part of one, in the form in which the queue keeps batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) meta: BatchMeta,
    pub(super) body: Bytes,
}

/// The request's body in the given compression. zstd is the queue's own, and costs nothing.
pub(super) fn transcode(meta: &BatchMeta, body: &Bytes, to: Compression) -> Result<Bytes, Unreadable> {
    match to {
        Compression::Zstd => Ok(body.clone()),
        Compression::None => Ok(open(meta, body)?.into()),
        Compression::Gzip => {
            let encoder = GzEncoder::new(Vec::with_capacity(body.len() * 2), flate2::Compression::fast());
            let encoder = decompress(meta, body, encoder)?;
            Ok(encoder.finish().map_err(Unreadable::Zstd)?.into())
        }
    }
}

/// Cuts a batch into parts of at most `max_bytes` before compression.
///
/// The parts' times and levels are those of the whole batch; their records and sizes are their own.
pub(super) fn cut(part: &Part, max_bytes: usize) -> Result<Vec<Part>, Unreadable> {
    let request = open(&part.meta, &part.body)?;
    wire::split(&request, max_bytes)?
        .into_iter()
        .map(|cut| {
            let body = zstd::bulk::compress(&cut.bytes, ZSTD_LEVEL).map_err(Unreadable::Zstd)?;
            let meta = BatchMeta {
                records: cut.records,
                // A part is no larger than its whole, but for a few bytes of padding.
                uncompressed_bytes: u32::try_from(cut.bytes.len()).unwrap_or(u32::MAX),
                ..part.meta.clone()
            };
            Ok(Part { meta, body: body.into() })
        })
        .collect()
}

fn open(meta: &BatchMeta, body: &Bytes) -> Result<Vec<u8>, Unreadable> {
    decompress(meta, body, Vec::with_capacity(meta.uncompressed_bytes as usize))
}

/// Streams a batch into `out`: as many bytes as it should hold, else it is refused.
fn decompress<W: Write>(meta: &BatchMeta, body: &Bytes, mut out: W) -> Result<W, Unreadable> {
    let expected = u64::from(meta.uncompressed_bytes);
    let decoder = Decoder::with_buffer(&body[..]).map_err(Unreadable::Zstd)?;
    let found = io::copy(&mut decoder.take(expected + 1), &mut out).map_err(Unreadable::Zstd)?;
    if found == expected { Ok(out) } else { Err(Unreadable::Size { found, expected: meta.uncompressed_bytes }) }
}
