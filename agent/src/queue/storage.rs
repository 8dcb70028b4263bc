//! The files under the queue, behind a trait so narrow that a test can stand in for a disk that fails.

#[cfg(test)]
pub(super) mod sim;

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, IoSlice, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::{FallocateFlags, fallocate};

use super::volume::Volume;

/// What the queue asks of the machine.
pub trait Storage: Send + Sync {
    /// Makes a directory and its parents, for this user only. One that exists is left as it is.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes a lock that lasts until it is dropped or the process ends, without waiting for it.
    ///
    /// # Errors
    /// What the system says, except that somebody else has the lock.
    fn lock(&self, path: &Path) -> io::Result<Lock>;

    /// The names of the files in a directory, in any order; those that are not UTF-8 are left out.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a file that does not exist yet, for this user only.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::AlreadyExists`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>>;

    /// Opens a file that exists, to read and write.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::NotFound`].
    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>>;

    /// Gives a file another name in its directory, replacing a file of that name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which files a directory has.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// What the file system that holds a directory is, and how much room it has.
    ///
    /// # Errors
    /// What the system says.
    fn volume(&self, dir: &Path) -> io::Result<Volume>;

    /// The same bytes until the machine is started again, when what was written and not synced may be gone.
    fn boot(&self) -> [u8; 16];

    /// Nanoseconds since 1970. May jump in either direction.
    fn now(&self) -> u64;

    /// Bytes that were never given out before and never will be again.
    fn unique(&self) -> [u8; 16];
}

/// A file without a place of its own where reading or writing goes on.
pub trait StoredFile: Send + Sync {
    /// Bytes of the file.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;

    /// Reads some bytes from `offset`; none at the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of the parts, one after the other, at `offset`, and says how many bytes.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Cuts the file, or fills it with zeros, to `length`.
    ///
    /// # Errors
    /// What the system says.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes an empty file that long and takes up the disk's blocks for it, so that removing it makes that much room.
    ///
    /// # Errors
    /// What the system says.
    fn take_up(&self, length: u64) -> io::Result<()>;

    /// Whether `path` names this very file.
    ///
    /// # Errors
    /// What the system says, except that there is no such path.
    fn is_at(&self, path: &Path) -> io::Result<bool>;

    /// Makes the bytes and the length durable. After an error nothing is known about bytes not synced before, and
    /// another call may wrongly succeed.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;
}

/// What became of taking a lock.
pub enum Lock {
    /// It is ours until this is dropped.
    Ours(Box<dyn Send + Sync>),
    /// The process with this id has it, as far as can be told.
    Theirs(Option<u32>),
}

/// Reads exactly `bytes.len()` bytes.
pub(super) fn read_exact(file: &dyn StoredFile, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.read_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all parts, one after the other. After an error an unknown part of them may have been written.
pub(super) fn write_all(file: &dyn StoredFile, parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    let mut parts = parts;
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.write_at(parts, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut parts, written);
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether an error says that there is no room, which passes by itself when somebody makes some.
pub(super) fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The machine's own files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Storage for Disk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        dir.parent()
            .map_or(Ok(()), |parent| self.sync_dir(if parent == Path::new("") { Path::new(".") } else { parent }))
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
                Ok(Lock::Ours(Box::new(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                Ok(Lock::Theirs(holder.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StoredFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn volume(&self, dir: &Path) -> io::Result<Volume> {
        Volume::of(dir)
    }

    fn boot(&self) -> [u8; 16] {
        // A kernel that does not say may have been started again each time.
        let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let id = told.and_then(|text| uuid::Uuid::try_parse(text.trim()).ok());
        id.map_or_else(|| self.unique(), uuid::Uuid::into_bytes)
    }

    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }

    fn unique(&self) -> [u8; 16] {
        *uuid::Uuid::new_v4().as_bytes()
    }
}

impl StoredFile for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(self, parts, offset)?)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn take_up(&self, length: u64) -> io::Result<()> {
        match rustix::io::retry_on_intr(|| fallocate(self, FallocateFlags::empty(), 0, length)) {
            // Some file systems cannot promise blocks; zeros take up as many.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let zeros = vec![0; usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?];
                write_all(self, &mut [IoSlice::new(&zeros)], 0)
            }
            other => Ok(other?),
        }
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let own = self.metadata()?;
        match std::fs::symlink_metadata(path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
