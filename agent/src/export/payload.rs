//! From the queue's bytes to the bytes of a request.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;

use crate::record::{BatchMeta, Signal, batch, wire};

use super::Compression;

/// A batch that cannot be opened, so that it cannot be sent in any other form.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the stored batch cannot be decompressed")]
    Zstd(#[source] io::Error),
    #[error("the batch cannot be compressed with gzip")]
    Gzip(#[source] io::Error),
    #[error("the stored batch holds {found} bytes and should hold {expected}")]
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

impl Part {
    /// Whether it could be cut in two.
    pub(super) const fn has_several_records(&self) -> bool {
        self.meta.records > 1
    }
}

/// The request's body in the given compression. zstd is the queue's own, and costs nothing.
pub(super) fn transcode(meta: &BatchMeta, body: &Bytes, to: Compression) -> Result<Bytes, Unreadable> {
    match to {
        Compression::Zstd => Ok(body.clone()),
        Compression::None => Ok(open(meta, body)?.into()),
        Compression::Gzip => {
            let request = open(meta, body)?;
            let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() * 2), flate2::Compression::fast());
            encoder.write_all(&request).map_err(Unreadable::Gzip)?;
            Ok(encoder.finish().map_err(Unreadable::Gzip)?.into())
        }
    }
}

/// A message as the queue would keep it: compressed, and described as far as sending needs.
///
/// # Errors
/// If zstd has no memory.
pub(super) fn pack(message: &[u8], meta: BatchMeta) -> io::Result<Part> {
    let body = batch::compressor()?.compress(message)?.into();
    // No message of ours comes near this size.
    let uncompressed_bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
    Ok(Part { meta: BatchMeta { uncompressed_bytes, ..meta }, body })
}

/// Cuts a batch into parts of at most `max_bytes` before compression.
///
/// The parts' times and levels are those of the whole batch; their records and sizes are their own.
pub(super) fn cut(part: &Part, max_bytes: usize) -> Result<Vec<Part>, Unreadable> {
    let request = open(&part.meta, &part.body)?;
    packed(part, wire::split(&request, max_bytes)?)
}

/// Cuts a batch into two parts that hold half of its records each, whatever their sizes.
pub(super) fn halve(part: &Part) -> Result<Vec<Part>, Unreadable> {
    let request = open(&part.meta, &part.body)?;
    packed(part, wire::split_records(&request, part.meta.records.div_ceil(2))?)
}

fn packed(part: &Part, cuts: Vec<wire::Part>) -> Result<Vec<Part>, Unreadable> {
    let pack = |cut: wire::Part| {
        let points = if part.meta.signal() == Signal::Metrics { wire::points_in(&cut.bytes)? } else { 0 };
        let meta = BatchMeta { records: cut.records, points, ..part.meta.clone() };
        pack(&cut.bytes, meta).map_err(Unreadable::Zstd)
    };
    cuts.into_iter().map(pack).collect()
}

/// Opens a batch: as many bytes as it should hold, else it is refused. At once, since in pieces it takes 70 ns a line
/// more.
fn open(meta: &BatchMeta, body: &Bytes) -> Result<Vec<u8>, Unreadable> {
    let expected = meta.uncompressed_bytes;
    let refused = |found| Unreadable::Size { found, expected };
    if let Ok(Some(stated)) = zstd::zstd_safe::get_frame_content_size(body)
        && stated != u64::from(expected)
    {
        return Err(refused(stated));
    }
    // What the frame itself says may be wrong; more than expected is not unpacked.
    let request = zstd::bulk::decompress(body, expected as usize).map_err(Unreadable::Zstd)?;
    if request.len() == expected as usize { Ok(request) } else { Err(refused(request.len() as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(request: &[u8]) -> (BatchMeta, Bytes) {
        let meta =
            BatchMeta { uncompressed_bytes: u32::try_from(request.len()).unwrap(), records: 1, ..BatchMeta::default() };
        (meta, batch::compressor().unwrap().compress(request).unwrap().into())
    }

    #[test]
    fn zstd_goes_out_as_the_very_bytes_of_the_queue() {
        let (meta, body) = stored(&[7; 1000]);
        let sent = transcode(&meta, &body, Compression::Zstd).unwrap();
        assert_eq!((sent.as_ptr(), sent.len()), (body.as_ptr(), body.len()));
    }

    #[test]
    fn every_retry_is_compressed_to_the_same_bytes() {
        let (meta, body) = stored(b"epoch 1 loss 0.31".repeat(5000).as_slice());
        let gzip = || transcode(&meta, &body, Compression::Gzip).unwrap();
        assert_eq!(gzip(), gzip());
    }

    #[test]
    fn a_batch_that_is_not_what_it_should_be_is_not_opened_further() {
        let (meta, body) = stored(&[7; 100_000]);
        let smaller = BatchMeta { uncompressed_bytes: 10, ..meta.clone() };
        let larger = BatchMeta { uncompressed_bytes: 100_001, ..meta.clone() };
        let size = |meta: &BatchMeta| match transcode(meta, &body, Compression::None) {
            Err(Unreadable::Size { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!((size(&smaller), size(&larger)), (100_000, 100_000));

        let torn = body.slice(..body.len() - 1);
        assert!(matches!(transcode(&meta, &torn, Compression::Gzip), Err(Unreadable::Zstd(_))));
        let part = Part { meta, body };
        assert!(matches!(cut(&part, 10), Err(Unreadable::Otlp(_))));
    }
}
