//! One file that is being read.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tracing::warn;

use crate::record::{Chunk, Ending, Origin, ReadTo, UnixNanos, origin::Left};

use super::{
    blank,
    bookmark::{self, FileBookmark, FilePosition, Stream},
    disk::{Disk, Extent, Handle},
    identity::FileId,
    print::{LastBytes, Print},
    stream::Known,
};

/// Bytes of one chunk.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// What reading brought.
#[derive(Debug)]
pub enum Turn {
    /// The next bytes.
    Read(Chunk),
    /// Nothing more is there now.
    End,
    /// The file does not hold any more what was read from it.
    Replaced(Evidence),
    /// NULs stand where the next bytes should, and text goes on at that offset.
    Blank(u64),
    /// The file system refused.
    Failed(io::Error),
}

/// What tells that a file was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It is shorter than it was read.
    Size,
    /// Other bytes stand where bytes were read.
    Bytes,
}

/// What a file has while it is open.
#[derive(Debug)]
pub struct Awake {
    /// The stream that its chunks belong to.
    pub origin: Arc<Origin>,
    /// What describes its positions.
    pub bookmark: Arc<FileBookmark>,
    /// The open file.
    pub handle: Arc<dyn Handle>,
}

/// Reads one generation of one file. There is one for each file that was found, and most are idle: it is kept small.
#[derive(Debug)]
pub struct Tail {
    id: FileId,
    generation: u64,
    /// If its bytes are those of another file's stream.
    moved: Option<Box<Stream>>,
    awake: Option<Awake>,
    path: Arc<Path>,
    named: Arc<Path>,
    offset: u64,
    /// How it was left before it was opened, if not at the end of a line.
    left: Option<Box<Left>>,
    /// Whether the kernel can tell of its changes: under this path, since there is no other.
    pub has_one_name: bool,
    /// The walk through the globs that came by last.
    pub walk: u32,
    last_bytes: LastBytes,
    known_size: u64,
    known_modified: Option<i64>,
    /// NULs stand from `offset` up to there.
    blank_to: u64,
    /// Since when it has been shorter than it was read.
    short_since: Option<Instant>,
    is_rested: bool,
    next_look: Instant,
    pause: Duration,
    last_growth: Instant,
    is_present: bool,
    has_failed: bool,
}

impl Tail {
    /// Reads on from `position` of the file behind `handle`, once it is awake.
    #[must_use]
    pub fn new(handle: &dyn Handle, path: Arc<Path>, named: Arc<Path>, position: &FilePosition) -> Self {
        let now = Instant::now();
        let read_to = position.read_to();
        let stream = position.stream();
        let last_bytes = LastBytes::before(position.offset, handle).unwrap_or_default();
        let is_inside_line = last_bytes.last().is_some_and(|byte| byte != b'\n');
        let inside_line = is_inside_line.then(|| bookmark::line_start(handle, position.offset)).flatten();
        let left = Left { read_to, inside_line, formerly: None };
        Self {
            id: position.id(),
            generation: position.generation,
            moved: (stream.id != position.id() || stream.is_packed).then(|| Box::new(stream)),
            awake: None,
            path,
            named,
            offset: position.offset,
            left: worth_keeping(left, position.offset),
            has_one_name: false,
            walk: 0,
            last_bytes,
            // What is there is seen, so that it is known to be lost if it is gone before its turn.
            known_size: handle.extent().map_or(0, |extent| extent.size).max(position.offset),
            known_modified: None,
            blank_to: 0,
            short_since: None,
            is_rested: false,
            next_look: now,
            pause: Duration::ZERO,
            last_growth: now,
            is_present: true,
            has_failed: false,
        }
    }

    /// Reads the next chunk.
    pub fn read(&mut self, observed: UnixNanos) -> Turn {
        let Some(Awake { origin, bookmark, handle }) = &self.awake else {
            return Turn::Failed(io::Error::new(io::ErrorKind::NotConnected, "the file is not open"));
        };
        let Extent { size, modified } = match handle.extent() {
            Ok(extent) => extent,
            Err(error) => return Turn::Failed(error),
        };
        if size < self.offset {
            return Turn::Replaced(Evidence::Size);
        }
        self.short_since = None;
        let length = usize::try_from(size - self.offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut data = Vec::new();
        if length > 0
            && let Err(error) = handle.read_at(self.offset, length, &mut data)
        {
            return Turn::Failed(error);
        }
        // While a file is short, all of it tells it from others. Read before it is known that what was read is of it.
        let mut begin = Vec::new();
        if (1..bookmark::COMPARED_BYTES as u64).contains(&self.offset) && !data.is_empty() {
            // What cannot be read now is read with the next bytes.
            let _ = handle.read_at(0, bookmark::COMPARED_BYTES, &mut begin);
        }
        // Also at the same size: a file that was cut may have grown to where it was. And after the read: it may have
        // been cut since its size was asked for.
        let is_touched = size > self.offset || self.known_modified != Some(modified);
        if is_touched && self.was_rewritten(bookmark, handle.as_ref(), &data) {
            return Turn::Replaced(Evidence::Bytes);
        }
        if self.blank_to > size {
            self.blank_to = 0;
        }
        self.known_size = size;
        self.known_modified = Some(modified);
        self.is_rested = false;
        let waiting = size - self.offset;
        if waiting == 0 {
            origin.tally.reached(self.offset, 0, observed);
            return Turn::End;
        }
        if data.is_empty() {
            return Turn::End;
        }
        let at = self.offset;
        let ends_file = at + data.len() as u64 >= size;
        match blank::begin(&data, at == 0, ends_file) {
            Some(0) => {
                let from = self.blank_to.max(at + 1);
                let end = if from >= size { Ok(blank::End::Nowhere) } else { blank::end(handle.as_ref(), from, size) };
                match end {
                    // What is written from the front on may have come between the two looks.
                    Ok(blank::End::Text(_)) if !blank::is_at(handle.as_ref(), at) => return self.read(observed),
                    Ok(blank::End::Text(to)) => return Turn::Blank(to),
                    // What stands there may still be written.
                    Ok(blank::End::Nowhere) => self.blank_to = size,
                    Ok(blank::End::Beyond(to)) => self.blank_to = to,
                    Err(error) => return Turn::Failed(error),
                }
                origin.tally.reached(self.offset, 0, observed);
                return Turn::End;
            }
            Some(text) => data.truncate(text),
            None => {}
        }
        self.blank_to = 0;
        if at == 0 && [b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| data.starts_with(*mark)) {
            warn!(path = %self.path.display(), "file is UTF-16, which is not decoded");
        }
        if at == 0 {
            bookmark.begins_with(&data);
        } else if !begin.is_empty() {
            begin.truncate(usize::try_from(at).unwrap_or(usize::MAX).saturating_add(data.len()));
            bookmark.begins_with(&begin);
        }
        self.offset += data.len() as u64;
        self.last_bytes.follow(&data);
        self.has_failed = false;
        self.last_growth = Instant::now();
        self.pause = Duration::ZERO;
        origin.tally.bytes_read.fetch_add(data.len() as u64, Ordering::Relaxed);
        origin.tally.reached(self.offset, size.saturating_sub(self.offset), observed);
        Turn::Read(Chunk {
            origin: Arc::clone(origin),
            at,
            data,
            observed,
            marks: Vec::new(),
            ending: Ending::Open,
            permit: None,
        })
    }

    /// Whether all that was seen in the file has been read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.offset.max(self.blank_to) == self.known_size
    }

    /// Goes on behind NULs that are no text, once it is awake again.
    pub fn skip_to(&mut self, offset: u64) {
        self.offset = offset;
        self.blank_to = 0;
        self.last_bytes =
            self.awake.as_ref().and_then(|awake| LastBytes::before(offset, awake.handle.as_ref())).unwrap_or_default();
        self.left = None;
    }

    /// Since when the file has been shorter than it was read, which is now if it has not been yet.
    pub fn short_since(&mut self) -> Instant {
        *self.short_since.get_or_insert_with(Instant::now)
    }

    /// Which stream its bytes are.
    #[must_use]
    pub fn stream(&self) -> Stream {
        let own = Stream { id: self.id, generation: self.generation, is_packed: false };
        self.moved.as_deref().copied().unwrap_or(own)
    }

    /// Whether its bytes were those of another file's stream when they were found.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.stream().id != self.id
    }

    /// How its bytes are recognised elsewhere.
    #[must_use]
    pub fn print(&self) -> Print {
        let head = self.awake.as_ref().and_then(|awake| awake.bookmark.head());
        Print::Tail { offset: self.offset, head, last: self.last_bytes }
    }

    /// When it was last seen to be written.
    #[must_use]
    pub fn modified(&self) -> i64 {
        self.known_modified.unwrap_or(i64::MIN)
    }

    /// When to look next.
    #[must_use]
    pub const fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Sets when to look next.
    pub const fn look_at(&mut self, when: Instant) {
        self.next_look = when;
    }

    /// Something may have changed that neither size nor time show: the time of a change is no finer than a tick of
    /// the kernel, and this may be the second in one tick.
    pub const fn distrust(&mut self) {
        self.known_modified = None;
    }

    /// How long to wait for the next look: from `shortest` to `longest`, growing while nothing comes. A `shortest` that is
    /// longer is what the operator asked for.
    pub fn rest(&mut self, shortest: Duration, longest: Duration) -> Duration {
        self.is_rested = true;
        self.pause = (self.pause * 2).clamp(shortest, longest.max(shortest));
        self.pause
    }

    /// Whether this failure follows a success.
    pub const fn fails_anew(&mut self) -> bool {
        !std::mem::replace(&mut self.has_failed, true)
    }

    /// Whether the globs lead to this file.
    #[must_use]
    pub const fn is_present(&self) -> bool {
        self.is_present
    }

    /// Notes whether the globs still lead to this file.
    pub fn set_present(&mut self, is_present: bool) {
        if self.is_present && !is_present {
            self.last_growth = Instant::now();
        }
        self.is_present = is_present;
    }

    /// Whether the file has gone from its place, was read to its end and has been silent for that long.
    #[must_use]
    pub fn is_finished(&self, grace: Duration) -> bool {
        !self.is_present
            && self.last_growth.elapsed() >= grace
            && self.is_rested
            && self
                .awake
                .as_ref()
                .and_then(|awake| awake.handle.extent().ok())
                .is_some_and(|it| it.size <= self.offset.max(self.blank_to))
    }

    /// Whether the file is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.awake.is_some()
    }

    /// Whether the file can be closed without missing anything: all is read to the end of a line, and nothing of it
    /// is still on its way to the queue and would need the file for its position.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_alone = self.awake.as_ref().is_some_and(|awake| Arc::strong_count(&awake.origin) == 1);
        self.is_present && self.is_rested && self.is_at_end() && self.is_between_lines() && is_alone
    }

    /// Whether what was read ends with a line.
    #[must_use]
    pub fn is_between_lines(&self) -> bool {
        self.last_bytes.last().is_none_or(|byte| byte == b'\n')
    }

    /// Where the open file ends now. What cannot be looked at ends where it was read to.
    #[must_use]
    pub fn present_end(&self) -> u64 {
        let extent = self.awake.as_ref().and_then(|awake| awake.handle.extent().ok());
        extent.map_or(self.offset, |extent| extent.size)
    }

    /// What has to be known to open its stream.
    #[must_use]
    pub fn known(&self) -> Known {
        Known {
            id: self.id,
            stream: self.stream(),
            path: Arc::clone(&self.path),
            named: Arc::clone(&self.named),
            left: self.left(),
        }
    }

    /// Where its stream is left if it goes on under another name or through another handle.
    fn left(&self) -> Left {
        match (&self.left, &self.awake) {
            (Some(left), _) => **left,
            (None, Some(awake)) => awake.origin.left.after(self.offset),
            (None, None) => Left::from(ReadTo::whole(self.offset)),
        }
    }

    /// The file is open from now on.
    pub fn wake(&mut self, awake: Awake) {
        self.remember_begin(&awake);
        self.awake = Some(awake);
        self.left = None;
    }

    /// Closes the file. What it had is given back.
    pub fn sleep(&mut self) -> Option<Awake> {
        self.left = worth_keeping(self.left(), self.offset);
        self.awake.take()
    }

    /// What the file has if it is open.
    #[must_use]
    pub const fn awake(&self) -> Option<&Awake> {
        self.awake.as_ref()
    }

    /// When bytes last came.
    #[must_use]
    pub const fn last_growth(&self) -> Instant {
        self.last_growth
    }

    /// Bytes that were seen in the file and not read.
    #[must_use]
    pub fn unread_bytes(&self) -> u64 {
        self.known_size.saturating_sub(self.offset.max(self.blank_to))
    }

    /// Whether size and time are those that it had when it was last read.
    #[must_use]
    pub fn is_as_known(&self, extent: Extent) -> bool {
        self.known_size == extent.size && self.known_modified == Some(extent.modified)
    }

    /// The name under which it was written, which its records carry.
    #[must_use]
    pub const fn named(&self) -> &Arc<Path> {
        &self.named
    }

    /// Which file it is.
    #[must_use]
    pub const fn id(&self) -> FileId {
        self.id
    }

    /// Whether its path still leads to it.
    #[must_use]
    pub fn is_at_its_path(&self, disk: &dyn Disk) -> bool {
        matches!(disk.look(&self.path), Ok(Some((id, _))) if id == self.id)
    }

    /// The path it was last seen at.
    #[must_use]
    pub const fn path(&self) -> &Arc<Path> {
        &self.path
    }

    /// It was seen at another path. Its records keep their name.
    pub fn set_path(&mut self, path: Arc<Path>) {
        self.path = path;
    }

    /// How far it was read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Remembers how a file begins that is read on. Asked for later, it may be emptied and hold others at the position.
    fn remember_begin(&self, awake: &Awake) {
        let is_packed = self.moved.as_deref().is_some_and(|stream| stream.is_packed);
        let length = usize::try_from(self.offset).unwrap_or(usize::MAX).min(bookmark::COMPARED_BYTES);
        let mut begin = Vec::new();
        if is_packed || length == 0 || awake.handle.read_at(0, length, &mut begin).is_err() {
            return;
        }
        // What stands before the position now was read first, so the begin is of the same bytes if that is still there.
        if LastBytes::before(self.offset, awake.handle.as_ref()) == Some(self.last_bytes) {
            awake.bookmark.begins_with(&begin[..length.min(begin.len())]);
        }
    }

    /// Truncated and grown to the position or past it: the size looks like an append, the bytes do not. `data` is what
    /// was just read.
    fn was_rewritten(&self, bookmark: &FileBookmark, handle: &dyn Handle, data: &[u8]) -> bool {
        if self.moved.as_deref().is_some_and(|stream| stream.is_packed) {
            return false;
        }
        if self.offset == 0 {
            let begin = &data[..data.len().min(bookmark::COMPARED_BYTES)];
            let mut bytes = Vec::with_capacity(begin.len());
            // What is written where nothing was yet replaces nothing.
            let is_other = |(then, now): (&u8, &u8)| then != now && *then != 0;
            return !begin.is_empty()
                && handle.read_at(0, begin.len(), &mut bytes).is_ok()
                && begin.iter().zip(&bytes).any(is_other);
        }
        // Lines that repeat themselves may be the same before the position, so the begin is looked at as well.
        LastBytes::before(self.offset, handle).is_some_and(|bytes| bytes != self.last_bytes)
            || bookmark.head().is_some_and(|head| !head.is_of(handle))
    }
}

/// `None` if the offset alone says where the stream was left.
fn worth_keeping(left: Left, offset: u64) -> Option<Box<Left>> {
    (left != Left::from(ReadTo::whole(offset))).then(|| Box::new(left))
}
