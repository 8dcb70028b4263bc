//! Where reading of a file goes on after a restart, and how it is told that it is still the same file.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::record::{
    Bookmark, Lane, ReadTo,
    wire::{Value, record_attribute},
};

use super::{disk::Handle, identity::FileId};

/// Keys of files in the queue's positions start so.
pub const KEY_PREFIX: &str = "file:";

/// How many bytes at the start, and before the position, are compared.
const COMPARED_BYTES: usize = 1024;

/// A file's position, as the queue keeps it. A protobuf message of our own; fields are only ever added.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FilePosition {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    #[prost(uint64, tag = "2")]
    device: u64,
    #[prost(uint64, tag = "3")]
    inode: u64,
    #[prost(uint64, tag = "4")]
    birth: u64,
    /// Tells the contents apart that one file had before and after a truncation.
    #[prost(fixed64, tag = "5")]
    pub generation: u64,
    /// Where to read on.
    #[prost(uint64, tag = "6")]
    pub offset: u64,
    /// Hash of the first bytes: as many as there were, at most 1,024.
    #[prost(uint32, tag = "7")]
    head_bytes: u32,
    #[prost(fixed64, tag = "8")]
    head_hash: u64,
    /// Hash of the last bytes that were given out. Training scripts print the same banner at each start, so heads
    /// alone would be mistaken for each other.
    #[prost(fixed64, tag = "9")]
    anchor_hash: u64,
    /// For each lane, how many bytes from `offset` on were given out of it already. Empty if none.
    #[prost(uint64, repeated, tag = "10")]
    given_out: Vec<u64>,
}

impl FilePosition {
    /// The start of a file that was never read.
    #[must_use]
    pub fn start(id: FileId, path: &Path, generation: u64) -> Self {
        Self {
            path: std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec(),
            device: id.device,
            inode: id.inode,
            birth: id.birth,
            generation,
            ..Self::default()
        }
    }

    /// Reads what [`FileBookmark`] wrote.
    ///
    /// # Errors
    /// If the bytes are not that.
    pub fn read(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Self::decode(bytes)
    }

    /// Which file it was.
    #[must_use]
    pub const fn id(&self) -> FileId {
        FileId { device: self.device, inode: self.inode, birth: self.birth }
    }

    /// Where it stood.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&self.path))
    }

    /// How far the file was given out.
    #[must_use]
    pub fn read_to(&self) -> ReadTo {
        let mut read_to = ReadTo::whole(self.offset);
        for (lane, bytes) in read_to.lanes.iter_mut().zip(&self.given_out) {
            *lane = lane.saturating_add(*bytes);
        }
        read_to
    }

    /// Whether the file has the same start, and the same bytes before the position.
    #[must_use]
    pub fn matches(&self, handle: &dyn Handle) -> bool {
        let head_bytes = self.head_bytes as usize;
        hash(handle, 0, head_bytes) == Some(self.head_hash)
            && anchor(handle, self.read_to().furthest()) == Some(self.anchor_hash)
            || self.read_to() == ReadTo::default()
    }
}

/// Describes positions of one generation of a file.
#[derive(Debug)]
pub struct FileBookmark {
    id: FileId,
    path: Arc<Path>,
    generation: u64,
    handle: Arc<dyn Handle>,
    /// Hash of the first [`COMPARED_BYTES`], which do not change once they are there.
    head_hash: OnceLock<u64>,
    is_forgotten: AtomicBool,
}

impl FileBookmark {
    /// Positions of the file behind `handle`.
    #[must_use]
    pub const fn new(id: FileId, path: Arc<Path>, generation: u64, handle: Arc<dyn Handle>) -> Self {
        Self { id, path, generation, handle, head_hash: OnceLock::new(), is_forgotten: AtomicBool::new(false) }
    }

    /// The next position is none: the file is gone.
    pub fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Release);
    }

    /// The position where the file is given out so far. `None` if it cannot be read there.
    #[must_use]
    pub fn position(&self, read_to: ReadTo) -> Option<FilePosition> {
        let furthest = read_to.furthest();
        let is_woven = read_to != ReadTo::whole(read_to.offset);
        let head_bytes = usize::try_from(furthest).unwrap_or(usize::MAX).min(COMPARED_BYTES);
        let handle = self.handle.as_ref();
        let head_hash = match self.head_hash.get() {
            Some(hash) if head_bytes == COMPARED_BYTES => *hash,
            _ => hash(handle, 0, head_bytes)?,
        };
        if head_bytes == COMPARED_BYTES {
            self.head_hash.get_or_init(|| head_hash);
        }
        Some(FilePosition {
            offset: read_to.offset,
            head_bytes: u32::try_from(head_bytes).unwrap_or(0),
            head_hash,
            anchor_hash: anchor(handle, furthest)?,
            given_out: read_to.lanes.map(|lane| lane - read_to.offset)[..if is_woven { Lane::COUNT } else { 0 }]
                .to_vec(),
            ..FilePosition::start(self.id, &self.path, self.generation)
        })
    }
}

impl Bookmark for FileBookmark {
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>> {
        if self.is_forgotten.load(Ordering::Acquire) {
            return Some(Vec::new());
        }
        self.position(read_to).map(|position| position.encode_to_vec())
    }
}

/// The agent's record attributes and the file's.
#[must_use]
pub fn attributes(common: &[u8], path: &Path) -> Vec<u8> {
    let mut attributes = common.to_vec();
    record_attribute(&mut attributes, "log.file.path", Value::String(&path.to_string_lossy()));
    if let Some(name) = path.file_name() {
        record_attribute(&mut attributes, "log.file.name", Value::String(&name.to_string_lossy()));
    }
    attributes
}

fn anchor(handle: &dyn Handle, offset: u64) -> Option<u64> {
    let start = offset.saturating_sub(COMPARED_BYTES as u64);
    hash(handle, start, usize::try_from(offset - start).ok()?)
}

fn hash(handle: &dyn Handle, from: u64, length: usize) -> Option<u64> {
    let mut bytes = Vec::with_capacity(length);
    if length > 0 {
        handle.read_at(from, length, &mut bytes).ok()?;
        bytes.truncate(length);
    }
    (bytes.len() == length).then(|| xxh3_64(&bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::file::{Disk, RealDisk};

    #[test]
    fn a_place_in_woven_streams_is_found_again_and_told_from_another_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "0123456789 a line of stdout inside one of stderr").unwrap();
        let open = || RealDisk.open(&path).unwrap().unwrap();
        let (handle, id) = open();
        let bookmark = FileBookmark::new(id, Arc::from(path.as_path()), 7, Arc::from(handle));
        for read_to in [ReadTo::whole(30), ReadTo { offset: 11, lanes: [30, 30, 13] }] {
            let position = FilePosition::read(&bookmark.at(read_to).unwrap()).unwrap();
            assert_eq!((position.read_to(), position.generation), (read_to, 7));
            assert!(position.matches(&*open().0));
        }
        let position = FilePosition::read(&bookmark.at(ReadTo { offset: 0, lanes: [30, 30, 2] }).unwrap()).unwrap();
        fs::write(&path, "0123456789 A line of stdout inside one of stderr").unwrap();
        assert!(!position.matches(&*open().0), "bytes that were given out already are others now");
    }
}
