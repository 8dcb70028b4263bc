//! One file that is being read.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::record::{Chunk, Ending, Origin, UnixNanos};

use super::{
    bookmark::FileBookmark,
    disk::{Disk, Extent, Handle},
};

/// Bytes of one chunk.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// How many bytes before the position are kept to notice that the file was written anew.
const REMEMBERED_BYTES: usize = 64;

/// What reading brought.
#[derive(Debug)]
pub enum Turn {
    /// The next bytes.
    Read(Chunk),
    /// Nothing more is there now.
    End,
    /// The file does not hold any more what was read from it. `lost_bytes` were seen there and never read.
    Replaced {
        /// Bytes known to have been lost.
        lost_bytes: u64,
    },
    /// The file system refused.
    Failed(io::Error),
}

/// Reads one generation of one file.
#[derive(Debug)]
pub struct Tail {
    origin: Arc<Origin>,
    bookmark: Arc<FileBookmark>,
    handle: Arc<dyn Handle>,
    path: PathBuf,
    offset: u64,
    /// Whether the kernel tells of changes.
    pub has_hints: bool,
    last_bytes: Vec<u8>,
    known_size: u64,
    known_modified: Option<i128>,
    is_rested: bool,
    next_look: Instant,
    pause: Duration,
    last_growth: Instant,
    is_present: bool,
    has_failed: bool,
}

impl Tail {
    /// Reads from `offset` on.
    #[must_use]
    pub fn new(
        origin: Arc<Origin>,
        bookmark: Arc<FileBookmark>,
        handle: Arc<dyn Handle>,
        path: PathBuf,
        offset: u64,
        has_hints: bool,
    ) -> Self {
        let now = Instant::now();
        let mut tail = Self {
            origin,
            bookmark,
            handle,
            path,
            offset,
            has_hints,
            last_bytes: Vec::new(),
            known_size: offset,
            known_modified: None,
            is_rested: false,
            next_look: now,
            pause: Duration::ZERO,
            last_growth: now,
            is_present: true,
            has_failed: false,
        };
        tail.last_bytes = tail.bytes_before_offset().unwrap_or_default();
        tail
    }

    /// Reads the next chunk.
    pub fn read(&mut self, observed: UnixNanos) -> Turn {
        let Extent { size, modified } = match self.handle.extent() {
            Ok(extent) => extent,
            Err(error) => return Turn::Failed(error),
        };
        let shrank = size < self.offset;
        // Also at the same size: a file that was cut may have grown to where it was.
        let is_touched = size > self.offset || self.known_modified != Some(modified);
        if shrank || is_touched && self.was_rewritten() {
            return Turn::Replaced { lost_bytes: self.known_size.saturating_sub(self.offset) };
        }
        self.known_size = size;
        self.known_modified = Some(modified);
        self.is_rested = false;
        let waiting = size - self.offset;
        if waiting == 0 {
            self.origin.tally.lag_bytes.store(0, Ordering::Relaxed);
            return Turn::End;
        }
        let length = usize::try_from(waiting).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut data = Vec::new();
        if let Err(error) = self.handle.read_at(self.offset, length, &mut data) {
            return Turn::Failed(error);
        }
        if data.is_empty() {
            return Turn::End;
        }
        let at = self.offset;
        self.offset += data.len() as u64;
        self.remember(&data);
        self.has_failed = false;
        self.last_growth = Instant::now();
        self.pause = Duration::ZERO;
        self.origin.tally.bytes_read.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.origin.tally.lag_bytes.store(size.saturating_sub(self.offset), Ordering::Relaxed);
        Turn::Read(Chunk {
            origin: Arc::clone(&self.origin),
            at,
            data,
            observed,
            marks: Vec::new(),
            ending: Ending::Open,
            permit: None,
        })
    }

    /// Whether it is time to look.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.next_look <= now
    }

    /// When to look next.
    #[must_use]
    pub const fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Looks at the next occasion, since something may have changed.
    pub fn look_now(&mut self) {
        self.next_look = Instant::now();
        // The time of a change is no finer than a tick of the kernel, and this may be the second in one tick.
        self.known_modified = None;
    }

    /// Looks again after a pause that grows from `shortest` to `longest` while nothing comes.
    pub fn rest(&mut self, shortest: Duration, longest: Duration) {
        self.is_rested = true;
        self.pause = (self.pause * 2).clamp(shortest, longest);
        self.next_look = Instant::now() + self.pause;
    }

    /// Whether this failure follows a success.
    pub const fn fails_anew(&mut self) -> bool {
        !std::mem::replace(&mut self.has_failed, true)
    }

    /// Notes whether the globs still lead to this file.
    pub fn set_present(&mut self, is_present: bool) {
        if self.is_present && !is_present {
            self.last_growth = Instant::now();
            self.look_now();
        }
        self.is_present = is_present;
    }

    /// Whether the file has gone from its place, was read to its end and has been silent for that long.
    #[must_use]
    pub fn is_finished(&self, grace: Duration) -> bool {
        !self.is_present
            && self.last_growth.elapsed() >= grace
            && self.is_rested
            && self.handle.extent().is_ok_and(|extent| extent.size <= self.offset)
    }

    /// Whether no name leads to the file any more.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.handle.is_unlinked()
    }

    /// Whether its path still leads to it.
    #[must_use]
    pub fn is_at_its_path(&self, disk: &dyn Disk) -> bool {
        disk.identify(&self.path).ok().flatten().is_some_and(|id| id.key() == self.origin.key)
    }

    /// The path it was last seen at.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It was seen at another path. Its records keep the name under which it was opened.
    pub fn set_path(&mut self, path: &Path) {
        path.clone_into(&mut self.path);
    }

    /// The stream that its chunks belong to.
    #[must_use]
    pub const fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// What describes its positions.
    #[must_use]
    pub fn bookmark(&self) -> &FileBookmark {
        &self.bookmark
    }

    /// The open file.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Handle> {
        Arc::clone(&self.handle)
    }

    /// How far it was read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Truncated and grown to the position or past it: the size looks like an append, the bytes do not.
    fn was_rewritten(&self) -> bool {
        self.bytes_before_offset().is_some_and(|bytes| bytes != self.last_bytes)
    }

    fn bytes_before_offset(&self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.offset).unwrap_or(usize::MAX).min(REMEMBERED_BYTES);
        let mut bytes = Vec::with_capacity(length);
        if length > 0 {
            self.handle.read_at(self.offset - length as u64, length, &mut bytes).ok()?;
            bytes.truncate(length);
        }
        Some(bytes)
    }

    fn remember(&mut self, data: &[u8]) {
        self.last_bytes.extend_from_slice(&data[data.len().saturating_sub(REMEMBERED_BYTES)..]);
        let surplus = self.last_bytes.len().saturating_sub(REMEMBERED_BYTES);
        self.last_bytes.drain(..surplus);
    }
}
