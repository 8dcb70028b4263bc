//! The log that all handles of a queue share: its writing end.
//!
//! Three locks, taken in this order: `committing` (one commit at a time), `writer` (what is written where),
//! `state` (what everybody may know). Files are written under `writer`, and synced under `committing` alone, so
//! that appending goes on while the disk is busy.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use tracing::warn;

use super::{
    AppendError, Appended, Config, Entry, Full, Seq, SyncPolicy,
    frame::{Frame, Kind, Place},
    image::Image,
    payload,
    segment::file_name,
    state::State,
    storage::{Storage, StoredFile, is_no_room, write_all},
};

/// Frames that are kept in memory until they are durable.
const MAX_UNSYNCED_BYTES: u64 = 8 * 1024 * 1024;

/// From here on the committer does not linger, so that appending need not stop.
const HURRY_BYTES: u64 = MAX_UNSYNCED_BYTES / 2;

/// The largest entry. Far below what a frame can hold, since a snapshot must hold the positions of many.
const MAX_ENTRY_BYTES: u64 = 16 * 1024 * 1024;

/// Positions of all keys together.
const MAX_POSITIONS_BYTES: usize = 16 * 1024 * 1024;

pub(super) struct Log {
    pub storage: Arc<dyn Storage>,
    pub dir: PathBuf,
    pub id: [u8; 16],
    pub max_bytes: u64,
    pub segment_bytes: u64,
    pub min_free_bytes: u64,
    pub sync: SyncPolicy,
    /// The lock that was taken when the file of the first was found removed.
    pub second_lock: Mutex<Option<Box<dyn Send + Sync>>>,
    pub committing: Mutex<()>,
    pub writer: Mutex<Writer>,
    pub state: Mutex<State>,
    /// The committer has something to do.
    pub wake: Condvar,
    /// Something became durable or was removed.
    pub room: Condvar,
    /// The same for readers, and that the queue is closed.
    pub progress: watch::Sender<()>,
}

/// What is written where.
pub(super) struct Writer {
    /// The segment that is written to. `None` if it has failed or none could be made: the committer makes one.
    pub active: Option<Active>,
    pub next_number: u64,
    pub next_seq: Seq,
    /// What the durable frames say.
    pub image: Image,
    /// Frames that are not durable yet, in order. All of them are written if there is an active segment.
    pub unsynced: VecDeque<Frame>,
    /// The last attempt to make something durable failed.
    pub failing: bool,
    /// The files were found removed, and are not all written again yet.
    pub is_removed: bool,
}

pub(super) struct Active {
    pub file: Arc<dyn StoredFile>,
    pub place: Place,
    /// Bytes before this offset are durable.
    pub synced_to: u64,
}

impl Active {
    /// Adds a frame.
    pub(super) fn write(&mut self, frame: &Frame) -> Result<(), WriteFault> {
        let header = frame.header(self.synced_to).encode(self.place);
        let parts = &mut [IoSlice::new(&header), IoSlice::new(&frame.lead), IoSlice::new(&frame.body)];
        match write_all(&*self.file, parts, self.place.offset) {
            Ok(()) => {
                self.place.offset += frame.bytes();
                Ok(())
            }
            Err(source) if is_no_room(&source) && self.file.set_length(self.place.offset).is_ok() => {
                Err(WriteFault::NoRoom(source))
            }
            Err(source) => Err(WriteFault::Failed(source)),
        }
    }
}

/// Why a frame could not be written.
pub(super) enum WriteFault {
    /// The disk is full; the segment is as it was before.
    NoRoom(io::Error),
    /// Nothing more may be written to this segment.
    Failed(io::Error),
}

impl Log {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        dir: &Path,
        id: [u8; 16],
        config: &Config,
        writer: Writer,
        state: State,
    ) -> Self {
        Self {
            storage,
            dir: dir.to_owned(),
            id,
            max_bytes: config.max_bytes,
            // Space is given back by the segment, so a queue is made of several.
            segment_bytes: config.segment_bytes.min(config.max_bytes / 4),
            min_free_bytes: config.min_free_bytes,
            sync: config.sync,
            second_lock: Mutex::new(None),
            committing: Mutex::new(()),
            writer: Mutex::new(writer),
            state: Mutex::new(state),
            wake: Condvar::new(),
            room: Condvar::new(),
            progress: watch::Sender::new(()),
        }
    }

    /// Makes a file durable, or takes it for that if the disk is not waited for.
    pub(super) fn sync_file(&self, file: &dyn StoredFile) -> io::Result<()> {
        if self.sync == SyncPolicy::Never { Ok(()) } else { file.sync() }
    }

    /// The same for the names in the queue's directory.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        if self.sync == SyncPolicy::Never { Ok(()) } else { self.storage.sync_dir(&self.dir) }
    }

    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(file_name(segment))
    }

    pub(super) fn append(&self, entry: &Entry<'_>) -> Result<Appended, AppendError> {
        let kind = if entry.body.is_empty() { Kind::Positions } else { Kind::Entry };
        let lead = payload::entry(entry.meta, entry.positions);
        let mut writer = lock(&self.writer);
        let frame = Frame::new(kind, writer.next_seq, self.storage.now(), lead, entry.body.clone());
        self.admit(&writer, entry, &frame)?;
        if let Some(full) = self.full(&frame) {
            return Ok(self.refuse(full));
        }
        if let Some(active) = &mut writer.active {
            match active.write(&frame) {
                Ok(()) => {}
                Err(WriteFault::NoRoom(_)) => return Ok(self.refuse(Full::Disk)),
                Err(WriteFault::Failed(error)) => {
                    warn!(segment = active.place.segment, %error, "a segment of the queue cannot be written, beginning another");
                    writer.active = None;
                    if is_no_room(&error) {
                        return Ok(self.refuse(Full::Disk));
                    }
                    // The frame is kept in memory and goes into the next segment.
                }
            }
        }
        Ok(Appended::At(self.keep(&mut writer, frame)))
    }

    /// Whether an entry can be appended at all.
    fn admit(&self, writer: &Writer, entry: &Entry<'_>, frame: &Frame) -> Result<(), AppendError> {
        let limit = MAX_ENTRY_BYTES.min(self.max_bytes / 2);
        if lock(&self.state).closed {
            return Err(AppendError::Closed);
        }
        if frame.bytes() > limit {
            return Err(AppendError::TooLarge { bytes: frame.bytes(), limit });
        }
        let is_new = |key: &str, value: &[u8]| !value.is_empty() && !writer.image.positions.contains_key(key);
        if entry.positions.iter().any(|(key, value)| is_new(key, value))
            && writer.image.positions_bytes() > MAX_POSITIONS_BYTES
        {
            return Err(AppendError::TooManyPositions { limit: MAX_POSITIONS_BYTES });
        }
        Ok(())
    }

    /// Whether there is no room for a frame now.
    fn full(&self, frame: &Frame) -> Option<Full> {
        let state = lock(&self.state);
        // The rest is for entries that only move positions, so that lines left out for their level pass for longer.
        let reserve = if frame.kind == Kind::Entry { self.max_bytes / 32 } else { 0 };
        if state.unsynced_bytes > 0 && state.unsynced_bytes + frame.bytes() > MAX_UNSYNCED_BYTES {
            Some(Full::Unsynced)
        } else if state.disk_bytes() + frame.bytes() + reserve > self.max_bytes {
            Some(Full::Budget)
        } else {
            state.room.refuses(frame)
        }
    }

    fn refuse(&self, full: Full) -> Appended {
        let mut state = lock(&self.state);
        state.full = Some(full);
        match full {
            Full::Unsynced => state.hurry(),
            // A disk that is full is tried again at leisure.
            Full::Disk | Full::MinFree => state.dirty = true,
            Full::Budget => {}
        }
        self.wake.notify_one();
        Appended::Full(full)
    }

    /// Takes in a frame that is written, or will be once there is a segment.
    fn keep(&self, writer: &mut Writer, frame: Frame) -> Seq {
        let seq = frame.seq;
        writer.next_seq = seq.next();
        let mut state = lock(&self.state);
        state.appended = seq;
        state.full = None;
        state.unsynced_bytes += frame.bytes();
        state.room.take(&frame);
        for destination in state.destinations.values_mut() {
            destination.add_if_pending(&frame.header(0));
        }
        if let Some(active) = &writer.active {
            state.note_file_bytes(active);
        }
        let crowded = writer.active.as_ref().is_none_or(|active| active.place.offset >= self.segment_bytes);
        let was_idle = !state.dirty;
        state.dirty = true;
        state.urgent |= crowded || state.unsynced_bytes >= HURRY_BYTES;
        if was_idle || state.urgent {
            self.wake.notify_one();
        }
        drop(state);
        writer.unsynced.push_back(frame);
        seq
    }

    /// All positions, those that are not durable yet included.
    pub(super) fn image(&self) -> Image {
        let writer = lock(&self.writer);
        let mut image = writer.image.clone();
        for frame in &writer.unsynced {
            image.take(frame);
        }
        image
    }
}

impl Image {
    /// Takes in a frame of our own making.
    pub(super) fn take(&mut self, frame: &Frame) {
        self.apply(frame.kind, &frame.lead).expect("what was encoded here can be decoded here");
    }
}

impl State {
    /// Notes how far the active segment has grown.
    pub(super) fn note_file_bytes(&mut self, active: &Active) {
        if let Some(segment) = self.segments.back_mut().filter(|segment| segment.number == active.place.segment) {
            segment.file_bytes = active.place.offset;
        }
    }
}

/// A panic elsewhere leaves nothing half done that the next holder could stumble over: files are only appended to.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
