//! When somebody removes the queue's files while it is in use.
//!
//! A file that is open can be read after its name is gone, so its bytes are written under their names again, where
//! every frame of them is as valid as before. What was in a segment that is not kept open is lost, and counted as
//! damage by the readers that come to it.

use std::io::{self, IoSlice};

use tracing::error;

use super::{
    SyncError,
    log::{Log, Writer, lock},
    state::Segment,
    storage::{Lock, StoredFile, read_exact, write_all},
};

impl Log {
    /// Writes what was removed again, if something was.
    ///
    /// Appending waits for it. After an error the next call goes on.
    pub(super) fn put_back(&self, writer: &mut Writer) -> Result<(), SyncError> {
        let path = self.dir.clone();
        if !writer.is_removed {
            // All are looked at: the newest may have been made while the others were being removed. What cannot be
            // asked now is asked at the next commit.
            let segments = lock(&self.state).segments.clone();
            let is_there = |segment: &Segment| {
                segment.file.as_ref().is_none_or(|file| file.is_at(&self.path(segment.number)).unwrap_or(true))
            };
            if segments.iter().all(is_there) {
                return Ok(());
            }
            error!(path = %path.display(), "the queue's files were removed while it is in use, writing them again");
            lock(&self.state).removals += 1;
            writer.is_removed = true;
        }
        // What was begun there goes on in the next segment, from memory.
        writer.active = None;
        self.write_again().map_err(|source| self.fault(path, source))?;
        writer.is_removed = false;
        Ok(())
    }

    fn write_again(&self) -> io::Result<()> {
        self.storage.create_dir(&self.dir)?;
        let mut guard = lock(&self.second_lock);
        // The first lock holds a file that nobody else can find any more.
        match self.storage.lock(&self.dir.join("lock"))? {
            Lock::Ours(ours) => *guard = Some(ours),
            Lock::Theirs(pid) if guard.is_some() && pid == Some(std::process::id()) => {}
            Lock::Theirs(_) => return Err(io::ErrorKind::ResourceBusy.into()),
        }
        drop(guard);
        lock(&self.state).room.lose_reserve();
        let segments = lock(&self.state).segments.clone();
        for segment in segments {
            let path = self.path(segment.number);
            let Some(file) = segment.file else { continue };
            if file.is_at(&path)? {
                continue;
            }
            // A copy that could not be finished.
            let _ = self.storage.remove(&path);
            let copy = self.storage.create(&path)?;
            copy_bytes(&*file, segment.file_bytes, &*copy)?;
            self.sync_file(&*copy)?;
            if let Some(known) = lock(&self.state).segments.iter_mut().find(|known| known.number == segment.number) {
                known.file = Some(copy);
            }
        }
        self.sync_names()
    }
}

/// Copies the first bytes of a file into another.
pub(super) fn copy_bytes(from: &dyn StoredFile, length: u64, to: &dyn StoredFile) -> io::Result<()> {
    let mut bytes = vec![0; 256 * 1024];
    let mut offset = 0;
    while offset < length {
        let part_bytes = (length - offset).min(bytes.len() as u64);
        let part = &mut bytes[..part_bytes as usize];
        read_exact(from, part, offset)?;
        write_all(to, &mut [IoSlice::new(part)], offset)?;
        offset += part_bytes;
    }
    Ok(())
}
