//! Where reading of a file goes on after a restart, and how it is told that it is still the same file.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use memchr::memrchr;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::record::{
    Bookmark, ReadTo,
    wire::{Value, record_attribute},
};

use super::{disk::Handle, identity::FileId, tail::CHUNK_BYTES};

/// Keys of files in the queue's positions start so.
pub const KEY_PREFIX: &str = "file:";

/// How many bytes at the start, and before the position, are compared.
pub const COMPARED_BYTES: usize = 1024;

/// How far back the start of a line is looked for that was given out in part.
const LONGEST_PART: u64 = 16 << 20;

/// The paths at which the files stood that have a position in the queue. One that cannot be read has none.
pub fn paths_with_position(positions: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = PathBuf> {
    let of_files = positions.iter().filter(|(key, _)| key.starts_with(KEY_PREFIX));
    of_files.filter_map(|(_, bytes)| Some(FilePosition::read(bytes).ok()?.path()))
}

/// What the queue has of a file at that path.
#[cfg(test)]
pub fn position_of(path: &Path) -> (String, Vec<u8>) {
    use std::os::unix::ffi::OsStrExt;
    let id = FileId { device: 1, inode: xxh3_64(path.as_os_str().as_bytes()), birth: 1 };
    (id.key(), FilePosition::start(id, path, 1).encode_to_vec())
}

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
    /// The file that held the stream before, if these are its bytes in another file: its uids go on.
    #[prost(message, optional, tag = "11")]
    former: Option<Former>,
    /// Whether the file is compressed. Offsets are of what is in it.
    #[prost(bool, tag = "12")]
    pub is_packed: bool,
    /// How large the file was.
    #[prost(uint64, tag = "13")]
    seen_size: u64,
    /// When it was last written, as in [`super::disk::Extent`].
    #[prost(sfixed64, tag = "14")]
    pub modified: i64,
    /// Whether the file held other bytes already. Then nothing but its start is known, if that.
    #[prost(bool, tag = "15")]
    is_overwritten: bool,
}

/// A [`FileId`], as the queue keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct Former {
    #[prost(uint64, tag = "1")]
    device: u64,
    #[prost(uint64, tag = "2")]
    inode: u64,
    #[prost(uint64, tag = "3")]
    birth: u64,
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

    /// The place in another file that holds the bytes of that stream now.
    #[must_use]
    pub fn moved(id: FileId, path: &Path, stream: Stream, read_to: ReadTo) -> Self {
        let FileId { device, inode, birth } = stream.id;
        Self {
            offset: read_to.offset,
            given_out: given_out(read_to),
            former: (stream.id != id).then_some(Former { device, inode, birth }),
            is_packed: stream.is_packed,
            ..Self::start(id, path, stream.generation)
        }
    }

    /// Reads what [`FileBookmark`] wrote.
    ///
    /// # Errors
    /// If the bytes are not that.
    pub fn read(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Self::decode(bytes)
    }

    /// Says that the file of this place, of which nothing was given out, holds other bytes by now.
    pub const fn leads_nowhere(&mut self) {
        self.is_overwritten = true;
        // What was seen of it was in the other file as well.
        self.seen_size = 0;
    }

    /// Which file it was.
    #[must_use]
    pub const fn id(&self) -> FileId {
        FileId { device: self.device, inode: self.inode, birth: self.birth }
    }

    /// Which stream its bytes are.
    #[must_use]
    pub fn stream(&self) -> Stream {
        let id = self.former.map_or(self.id(), |Former { device, inode, birth }| FileId { device, inode, birth });
        Stream { id, generation: self.generation, is_packed: self.is_packed }
    }

    /// Whether its bytes were those of another file.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.stream().id != self.id()
    }

    /// How many bytes were there and not given out.
    #[must_use]
    pub fn unread_bytes(&self) -> u64 {
        self.seen_size.saturating_sub(self.read_to().furthest())
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
        if self.is_overwritten {
            return false;
        }
        // A compressed file does not change, and is not read twice.
        let is_anchored = || {
            let anchor = || anchor(handle, self.read_to().furthest());
            self.is_packed || anchor().is_ok_and(|hash| hash == Some(self.anchor_hash))
        };
        self.head().is_of(handle) && is_anchored() || self.read_to() == ReadTo::default()
    }

    /// Whether another file holds the bytes that were read from this one, at the same place.
    #[must_use]
    pub fn is_copied_to(&self, handle: &dyn Handle) -> bool {
        if self.offset == 0 {
            return false;
        }
        if self.is_overwritten {
            let (head, furthest) = (self.head(), self.read_to().furthest());
            let reaches = |offset: u64| hash(handle, offset - 1, 1).is_ok_and(|hash| hash.is_some());
            // A short head tells a copy from others if it is all that was given out.
            let is_telling = head.is_whole() || head.bytes as u64 >= furthest;
            return is_telling && head.is_of(handle) && reaches(furthest);
        }
        self.matches(handle)
    }

    /// How the file began.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { bytes: self.head_bytes as usize, hash: self.head_hash }
    }
}

/// Which stream the bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// The file that held them first.
    pub id: FileId,
    /// Tells the contents apart that it had.
    pub generation: u64,
    /// Whether they are compressed now.
    pub is_packed: bool,
}

/// The first bytes of a file, as they were once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    bytes: usize,
    hash: u64,
}

impl Head {
    /// The first bytes of a file that was given out up to there. `None` if there are fewer.
    fn of(handle: &dyn Handle, furthest: u64) -> io::Result<Option<Self>> {
        let bytes = usize::try_from(furthest).unwrap_or(usize::MAX).min(COMPARED_BYTES);
        Ok(hash(handle, 0, bytes)?.map(|hash| Self { bytes, hash }))
    }

    /// Whether it is as long as that of a file that was given out up to there.
    fn covers(&self, furthest: u64) -> bool {
        self.bytes as u64 == furthest.min(COMPARED_BYTES as u64)
    }

    /// Whether the file begins so.
    #[must_use]
    pub fn is_of(&self, handle: &dyn Handle) -> bool {
        hash(handle, 0, self.bytes).is_ok_and(|hash| hash == Some(self.hash))
    }

    /// Whether these are as many as ever are compared.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.bytes == COMPARED_BYTES
    }
}

/// Describes positions of one generation of a file.
#[derive(Debug)]
pub struct FileBookmark {
    id: FileId,
    path: Arc<Path>,
    stream: Stream,
    handle: Arc<dyn Handle>,
    /// How the file began, as far as it was read.
    head: Mutex<Option<Head>>,
}

impl FileBookmark {
    /// Positions of the file behind `handle`.
    #[must_use]
    pub const fn new(id: FileId, path: Arc<Path>, stream: Stream, handle: Arc<dyn Handle>) -> Self {
        Self { id, path, stream, handle, head: Mutex::new(None) }
    }

    /// Remembers how the file begins, if that is more than is known.
    pub fn begins_with(&self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(COMPARED_BYTES)];
        let mut known = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|head| head.bytes < bytes.len()) {
            *known = Some(Head { bytes: bytes.len(), hash: xxh3_64(bytes) });
        }
    }

    /// How the file began, as far as that is known.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position where the file is given out so far.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn position(&self, read_to: ReadTo) -> io::Result<FilePosition> {
        let start = FilePosition::moved(self.id, &self.path, self.stream, read_to);
        let handle = self.handle.as_ref();
        let (seen_size, modified) = match handle.extent() {
            Ok(extent) if !self.stream.is_packed => (extent.size, extent.modified),
            Ok(_) | Err(_) => (0, 0),
        };
        let mut known = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let head = match *known {
            // Whether it is so still is looked at below.
            Some(head) if head.covers(read_to.furthest()) => Some(head),
            _ => Head::of(handle, read_to.furthest())?,
        };
        let anchor_hash = match self.stream.is_packed {
            true => Some(0),
            false => anchor(handle, read_to.furthest())?,
        };
        // Looked at last: what was hashed before that is of the same bytes.
        let is_as_it_was = match *known {
            Some(head) => hash(handle, 0, head.bytes)? == Some(head.hash),
            None => true,
        };
        let (Some(head), Some(anchor_hash), true) = (head, anchor_hash, is_as_it_was) else {
            let Head { bytes, hash } = known.unwrap_or_default();
            let head_bytes = u32::try_from(bytes).unwrap_or(0);
            return Ok(FilePosition { head_bytes, head_hash: hash, is_overwritten: true, ..start });
        };
        // A position further to the front has a shorter one, and an empty one is that of any file.
        if known.is_none_or(|longest| longest.bytes < head.bytes) {
            *known = Some(head);
        }
        let head_bytes = u32::try_from(head.bytes).unwrap_or(0);
        Ok(FilePosition { head_bytes, head_hash: head.hash, anchor_hash, seen_size, modified, ..start })
    }
}

impl Bookmark for FileBookmark {
    fn at(&self, read_to: ReadTo) -> Option<Vec<u8>> {
        // The last one stays, and lines behind it would come again.
        self.position(read_to).ok().map(|position| position.encode_to_vec())
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
    // An agent that is of a rank itself collects for it.
    if let Some(local_rank) = local_rank(path)
        && memchr::memmem::find(common, b"ml.local_rank").is_none()
    {
        record_attribute(&mut attributes, "ml.local_rank", Value::Int(local_rank.into()));
    }
    attributes
}

/// Whose file it is in the folders of torchrun's `--log-dir`: `attempt_0/3/stderr.log`.
fn local_rank(path: &Path) -> Option<u32> {
    let mut names = path.components().rev().map(|component| component.as_os_str().to_str());
    let (file, rank, attempt) = (names.next()??, names.next()??, names.next()??);
    let is_of_torchrun = matches!(file, "stdout.log" | "stderr.log" | "error.json");
    let attempt = attempt.strip_prefix("attempt_").filter(|_| is_of_torchrun)?;
    attempt.parse::<u32>().ok()?;
    rank.parse().ok()
}

/// For each lane, how many bytes behind the offset are given out of it. Empty if none.
fn given_out(read_to: ReadTo) -> Vec<u64> {
    if read_to == ReadTo::whole(read_to.offset) {
        return Vec::new();
    }
    read_to.lanes.map(|lane| lane - read_to.offset).to_vec()
}

/// Where the line begins that `offset` is inside of. `None` if that is too far back.
#[must_use]
pub fn line_start(handle: &dyn Handle, offset: u64) -> Option<u64> {
    let mut end = offset;
    let mut bytes = Vec::new();
    while end > 0 && offset - end < LONGEST_PART {
        let from = end.saturating_sub(CHUNK_BYTES as u64);
        let length = usize::try_from(end - from).ok()?;
        bytes.clear();
        handle.read_at(from, length, &mut bytes).ok().filter(|()| bytes.len() == length)?;
        if let Some(newline) = memrchr(b'\n', &bytes) {
            return Some(from + newline as u64 + 1);
        }
        end = from;
    }
    (end == 0).then_some(0)
}

fn anchor(handle: &dyn Handle, offset: u64) -> io::Result<Option<u64>> {
    let start = offset.saturating_sub(COMPARED_BYTES as u64);
    hash(handle, start, usize::try_from(offset - start).unwrap_or(COMPARED_BYTES))
}

/// `None` if so many bytes are not there.
fn hash(handle: &dyn Handle, from: u64, length: usize) -> io::Result<Option<u64>> {
    let mut bytes = Vec::with_capacity(length);
    if length > 0 {
        handle.read_at(from, length, &mut bytes)?;
        bytes.truncate(length);
    }
    Ok((bytes.len() == length).then(|| xxh3_64(&bytes)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::file::{Disk, RealDisk};

    #[test]
    fn a_file_in_a_folder_of_torchrun_is_of_its_local_rank() {
        let rank = |path: &str| local_rank(Path::new(path));
        assert_eq!(rank("/logs/none_x1/attempt_0/3/stderr.log"), Some(3));
        assert_eq!(rank("attempt_12/0/error.json"), Some(0));
        for other in
            ["/logs/attempt_0/3/train.log", "/logs/attempt_x/3/stdout.log", "/logs/3/stdout.log", "error.json", ""]
        {
            assert_eq!(rank(other), None, "{other}");
        }
    }

    #[test]
    fn a_place_in_woven_streams_is_found_again_and_told_from_another_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "0123456789 a line of stdout inside one of stderr").unwrap();
        let open = || RealDisk.open(&path).unwrap().unwrap();
        let (handle, id) = open();
        let stream = Stream { id, generation: 7, is_packed: false };
        let bookmark = FileBookmark::new(id, Arc::from(path.as_path()), stream, Arc::from(handle));
        for read_to in [ReadTo::whole(30), ReadTo { offset: 11, lanes: [30, 30, 13] }] {
            let position = FilePosition::read(&bookmark.at(read_to).unwrap()).unwrap();
            assert_eq!((position.read_to(), position.generation), (read_to, 7));
            assert!(position.matches(&*open().0));
        }
        let position = FilePosition::read(&bookmark.at(ReadTo { offset: 0, lanes: [30, 30, 2] }).unwrap()).unwrap();
        fs::write(&path, "0123456789 A line of stdout inside one of stderr").unwrap();
        assert!(!position.matches(&*open().0), "bytes that were given out already are others now");
    }

    fn bookmark(path: &Path) -> FileBookmark {
        let (handle, id) = RealDisk.open(path).unwrap().unwrap();
        FileBookmark::new(id, Arc::from(path), Stream { id, generation: 7, is_packed: false }, Arc::from(handle))
    }

    #[test]
    fn f6_a_position_does_not_lead_into_what_a_file_holds_since_it_was_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "first 1\nfirst 2\n").unwrap();
        let bookmark = bookmark(&path);
        bookmark.begins_with(b"first 1\nfirst 2\n");
        // Only asked for while nothing was given out, and then with more bytes than before.
        assert!(bookmark.at(ReadTo::whole(0)).is_some());
        fs::write(&path, "other 1\nother 2\nother 3\n").unwrap();
        let position = FilePosition::read(&bookmark.at(ReadTo::whole(8)).unwrap()).unwrap();
        assert!(!position.matches(&*RealDisk.open(&path).unwrap().unwrap().0));
    }
}
