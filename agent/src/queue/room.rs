//! Room on the disk: what is left to others, and what is kept so that a full disk can be emptied.
//!
//! Giving space back takes some: the cursors that prove what is not needed any more, or a segment in place of one
//! that is. A file of `RESERVE_BYTES` takes up that much, and is removed when the disk is full. From then on no entry
//! is taken until it is there again.

use std::path::{Path, PathBuf};

use tracing::debug;

use super::{
    Full,
    frame::{Frame, Kind},
    log::{Log, Writer, lock},
    state::State,
    storage::{Storage, is_no_room},
    volume::{Medium, Volume},
};

/// Bytes of the reserve. A small queue and a small disk have a smaller one.
const RESERVE_BYTES: u64 = 1024 * 1024;

const NAME: &str = "reserve";

/// How much others leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes that entries may take before the next look at the disk.
    entry_bytes: u64,
    reserve: Reserve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reserve {
    Held,
    /// It was given up for want of room.
    GivenUp,
    /// There is none for another reason, which is no reason to take no entries.
    Absent,
}

impl Default for Room {
    fn default() -> Self {
        Self { entry_bytes: u64::MAX, reserve: Reserve::Absent }
    }
}

impl Room {
    /// Whether a frame would take what is kept for others, or for cursors.
    pub(super) fn refuses(&self, frame: &Frame) -> Option<Full> {
        if self.reserve == Reserve::GivenUp {
            Some(Full::Disk)
        } else if frame.kind == Kind::Entry && frame.bytes() > self.entry_bytes {
            Some(Full::MinFree)
        } else {
            None
        }
    }

    /// The file is gone, and not because it was given up.
    pub(super) fn lose_reserve(&mut self) {
        self.reserve = Reserve::Absent;
    }

    /// A frame is written.
    pub(super) fn take(&mut self, frame: &Frame) {
        self.entry_bytes = self.entry_bytes.saturating_sub(frame.bytes());
    }
}

impl Log {
    /// Looks at the disk again: how much entries may take, and whether there is room for the reserve.
    pub(super) fn survey(&self) {
        // A disk that does not say how much it has left says when it is full.
        let unknown = Volume { free_bytes: u64::MAX, total_bytes: u64::MAX, medium: Medium::Disk };
        let volume = self.storage.volume(&self.dir).unwrap_or(unknown);
        let Volume { free_bytes, total_bytes, .. } = volume;
        let min_free = volume.left_to_others(self.min_free_bytes);
        let mut state = lock(&self.state);
        state.room.entry_bytes = if min_free == 0 { u64::MAX } else { free_bytes.saturating_sub(min_free) };
        if state.room.reserve == Reserve::Held {
            return;
        }
        drop(state);
        let bytes = RESERVE_BYTES.min(self.max_bytes / 32).min(total_bytes / 32);
        let reserve = self.take_reserve(bytes, free_bytes);
        lock(&self.state).room.reserve = reserve;
    }

    /// Makes the room that was kept, or says that there is none.
    pub(super) fn give_up_reserve(&self) -> bool {
        let held = lock(&self.state).room.reserve == Reserve::Held;
        lock(&self.state).room.reserve = Reserve::GivenUp;
        let removed = held && self.storage.remove(&self.reserve_path()).is_ok();
        if removed {
            debug!("the disk is full, the queue goes on with what it kept for that");
        }
        removed
    }

    fn take_reserve(&self, bytes: u64, free_bytes: u64) -> Reserve {
        let path = self.reserve_path();
        if is_whole(&*self.storage, &path, bytes) {
            return Reserve::Held;
        }
        // Half of one may have been left.
        let _ = self.storage.remove(&path);
        if free_bytes < bytes {
            return Reserve::GivenUp;
        }
        match self.storage.create(&path).and_then(|file| file.take_up(bytes)) {
            Ok(()) => Reserve::Held,
            Err(error) => {
                let _ = self.storage.remove(&path);
                if is_no_room(&error) { Reserve::GivenUp } else { Reserve::Absent }
            }
        }
    }

    fn reserve_path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Whether the disk is full, and the segment that is written to holds only what nobody needs any more.
    pub(super) fn is_spent(&self, writer: &Writer) -> bool {
        let state = lock(&self.state);
        let is_last_needed = |state: &State| {
            let last = state.segments.back().and_then(|segment| segment.last_body);
            last.is_none_or(|last| writer.image.cursors.values().any(|acknowledged| *acknowledged < last))
        };
        let is_short = matches!(state.full, Some(Full::Disk | Full::MinFree));
        is_short && writer.unsynced.is_empty() && !is_last_needed(&state)
    }
}

/// Whether there is a reserve that an earlier process has left.
fn is_whole(storage: &dyn Storage, path: &Path, bytes: u64) -> bool {
    storage.open(path).and_then(|file| file.length()).is_ok_and(|found| found == bytes)
}
