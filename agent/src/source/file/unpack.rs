//! Files that were compressed after their rotation, read as if they were not.
//!
//! Only what is left of a file that was being read is taken from its compressed form. It is unpacked as it is read, so
//! memory does not depend on its size, and no further than what a log can be packed to.

use std::{
    ffi::OsStr,
    fmt,
    io::{self, BufReader, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use flate2::read::MultiGzDecoder;

use super::{
    bookmark::COMPARED_BYTES,
    disk::{Extent, Handle},
    tail::CHUNK_BYTES,
};

/// Endings of names of compressed files. None of them is text.
pub const PACKED: [&str; 4] = ["gz", "zst", "bz2", "xz"];

/// A file grows to at most so many times its size. It is what gzip can do at most; logs reach 5 to 50.
const MAX_GROWTH: u64 = 1_100;
/// And to so much in any case.
const HARMLESS_BYTES: u64 = 64 << 20;
/// The logarithm of the window that zstd may ask for, in memory: 8 MiB, as its levels up to 19 do.
const MAX_WINDOW_LOG: u32 = 23;

/// Whether a file of that name is compressed.
#[must_use]
pub fn is_packed(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| PACKED.contains(&ending))
}

/// What is in a compressed file. It can be read onward only, but for its first bytes.
pub struct Unpacked {
    packed: Arc<dyn Handle>,
    inner: Mutex<Inner>,
}

struct Inner {
    decoder: Box<dyn Read + Send>,
    /// The first bytes.
    head: Vec<u8>,
    at: u64,
    is_ended: bool,
    max_bytes: u64,
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacked").field("packed", &self.packed).finish_non_exhaustive()
    }
}

impl Unpacked {
    /// Reads what is in that file, of which the name says how it is compressed. `None` if it is not, or in a way that
    /// is not read.
    #[must_use]
    pub fn open(packed: Box<dyn Handle>, path: &Path) -> Option<Self> {
        let packed: Arc<dyn Handle> = Arc::from(packed);
        let bytes = BufReader::new(Onward { handle: Arc::clone(&packed), at: 0 });
        let decoder: Box<dyn Read + Send> = match path.extension()?.to_str()? {
            "gz" => Box::new(MultiGzDecoder::new(bytes)),
            "zst" => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).ok()?;
                decoder.window_log_max(MAX_WINDOW_LOG).ok()?;
                Box::new(decoder)
            }
            _ => return None,
        };
        let size = packed.extent().ok()?.size;
        let max_bytes = size.saturating_mul(MAX_GROWTH).saturating_add(HARMLESS_BYTES);
        let inner = Inner { decoder, head: Vec::new(), at: 0, is_ended: false, max_bytes };
        Some(Self { packed, inner: Mutex::new(inner) })
    }
}

impl Inner {
    /// Appends the next bytes, at most `length`, and fewer only at the end.
    fn next(&mut self, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let before = into.len();
        // Also where it fails half-way, since it cannot be asked again.
        let read = (&mut self.decoder).take(length as u64).read_to_end(into);
        let bytes = &into[before..];
        let of_head = COMPARED_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..of_head]);
        self.at += bytes.len() as u64;
        self.is_ended = read? < length;
        if self.at > self.max_bytes {
            let message = format!("it unpacks to more than {} bytes", self.max_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }
}

impl Handle for Unpacked {
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.at == 0 {
            inner.next(COMPARED_BYTES, &mut Vec::new())?;
        }
        let of_head = usize::try_from(offset).ok().and_then(|from| inner.head.get(from..)).unwrap_or_default();
        let of_head = &of_head[..length.min(of_head.len())];
        into.extend_from_slice(of_head);
        let (offset, length) = (offset + of_head.len() as u64, length - of_head.len());
        if length == 0 {
            return Ok(());
        }
        let mut skipped = Vec::new();
        while inner.at < offset && !inner.is_ended {
            skipped.clear();
            let left = usize::try_from(offset - inner.at).unwrap_or(usize::MAX);
            inner.next(left.min(CHUNK_BYTES), &mut skipped)?;
        }
        match inner.at == offset {
            true if !inner.is_ended => inner.next(length, into),
            true => Ok(()),
            false if inner.is_ended && inner.at < offset => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "a compressed file is read onward only")),
        }
    }

    fn next_written(&self, offset: u64) -> io::Result<Option<u64>> {
        Ok(Some(offset))
    }

    /// The size is how far it was unpacked, and more than is read at once until that is all.
    fn extent(&self) -> io::Result<Extent> {
        let modified = self.packed.extent()?.modified;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Extent { size: inner.at + if inner.is_ended { 0 } else { CHUNK_BYTES as u64 + 1 }, modified })
    }

    fn is_unlinked(&self) -> bool {
        self.packed.is_unlinked()
    }
}

/// The compressed bytes, one after the other.
struct Onward {
    handle: Arc<dyn Handle>,
    at: u64,
}

impl Read for Onward {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.handle.read_at(self.at, into.len(), &mut bytes)?;
        let length = bytes.len().min(into.len());
        into[..length].copy_from_slice(&bytes[..length]);
        self.at += length as u64;
        Ok(length)
    }
}
