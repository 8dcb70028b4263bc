//! A disk that does what network file systems and failing ones do, at will.

use std::{
    ffi::OsStr,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard},
};

use super::*;
use crate::source::file::{bookmark::COMPARED_BYTES, disk::Entry, identity::FileId};

const ESTALE: i32 = 116;

/// What goes wrong, and how often it did.
#[derive(Debug, Default)]
pub struct Faults {
    /// Of all paths.
    pub system: Option<System>,
    /// So many reads fail with this error of the system.
    pub failing_reads: Option<(u32, i32)>,
    /// How many files are open, and how many were at a time.
    pub open: usize,
    pub most_open: usize,
    /// How many files were opened, and up to which one the server has forgotten them.
    pub opened: u32,
    pub forgotten: u32,
    /// Each read brings no more than so many bytes.
    pub short_reads: Option<usize>,
    /// Just before a read from that offset, the file is emptied and written anew. At the start of a file comparing is
    /// no read.
    pub rewritten: Option<(u64, PathBuf, &'static str)>,
    /// Just after a read from the start of a file, this is written over its first bytes. Comparing is no read.
    pub filled: Option<(PathBuf, &'static str)>,
    /// Just after the file of this path was opened for this many times, it is renamed to that path.
    pub renamed: Option<(u32, PathBuf, PathBuf)>,
    /// All open files are said to be of this size.
    pub shown_size: Option<u64>,
    /// Files of this name never end.
    pub endless: Option<&'static str>,
    /// How many reads have failed.
    pub failed: u32,
    /// How often the wrong size was told.
    pub told_wrong: u32,
    /// How many bytes were read of endless files.
    pub endless_read: usize,
}

/// The real disk with faults.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<Faults>>);

impl FaultyDisk {
    /// What goes wrong.
    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap()
    }
}

#[derive(Debug)]
struct FaultyHandle {
    inner: Box<dyn Handle>,
    disk: FaultyDisk,
    number: u32,
    is_endless: bool,
}

impl Drop for FaultyHandle {
    fn drop(&mut self) {
        self.disk.faults().open -= 1;
    }
}

impl Disk for FaultyDisk {
    fn list(&self, folder: &Path, each: &mut dyn FnMut(&Entry<'_>)) -> io::Result<()> {
        RealDisk.list(folder, each)
    }

    fn is_folder(&self, path: &Path) -> bool {
        RealDisk.is_folder(path)
    }

    fn folder_id(&self, path: &Path) -> Option<(u64, u64)> {
        RealDisk.folder_id(path)
    }

    fn leads_up(&self, link: &Path) -> bool {
        RealDisk.leads_up(link)
    }

    fn has_other_names(&self, path: &Path) -> bool {
        RealDisk.has_other_names(path)
    }

    fn find_by_id(&self, folder: &Path, id: FileId) -> io::Result<Option<PathBuf>> {
        RealDisk.find_by_id(folder, id)
    }

    fn look(&self, path: &Path) -> io::Result<Option<(FileId, Extent)>> {
        RealDisk.look(path)
    }

    fn system(&self, path: &Path) -> Option<System> {
        self.faults().system.or_else(|| RealDisk.system(path))
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        RealDisk.resolve(path)
    }

    fn open(&self, path: &Path) -> io::Result<Option<(Box<dyn Handle>, FileId)>> {
        let mut faults = self.faults();
        faults.opened += 1;
        let (number, disk) = (faults.opened, self.clone());
        let is_endless = faults.endless.is_some_and(|name| path.file_name() == Some(OsStr::new(name)));
        let faulty = |inner| Box::new(FaultyHandle { inner, disk, number, is_endless }) as Box<dyn Handle>;
        let opened = RealDisk.open(path)?.map(|(inner, id)| (faulty(inner), id));
        faults.open += usize::from(opened.is_some());
        faults.most_open = faults.most_open.max(faults.open);
        if let Some((left, ..)) = faults.renamed.as_mut().filter(|(_, from, _)| from == path) {
            *left -= 1;
        }
        if let Some((_, from, to)) = faults.renamed.take_if(|(left, ..)| *left == 0) {
            std::fs::rename(from, to)?;
        }
        Ok(opened)
    }
}

impl Handle for FaultyHandle {
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        let mut faults = self.disk.faults();
        if self.number <= faults.forgotten {
            faults.failed += 1;
            return Err(io::Error::from_raw_os_error(ESTALE));
        }
        if let Some((left, error)) = faults.failing_reads.as_mut().filter(|(left, _)| *left > 0) {
            *left -= 1;
            let error = io::Error::from_raw_os_error(*error);
            faults.failed += 1;
            return Err(error);
        }
        if let Some((_, path, text)) =
            faults.rewritten.take_if(|(at, ..)| *at == offset && (offset > 0 || length > COMPARED_BYTES))
        {
            fs::write(path, text)?;
        }
        if self.is_endless {
            into.resize(into.len() + length, b'\n');
            faults.endless_read += length;
            return Ok(());
        }
        self.inner.read_at(offset, faults.short_reads.map_or(length, |most| most.min(length)), into)?;
        if let Some((path, text)) = faults.filled.take_if(|_| offset == 0 && length > COMPARED_BYTES) {
            fs::OpenOptions::new().write(true).open(path)?.write_all_at(text.as_bytes(), 0)?;
        }
        Ok(())
    }

    fn next_written(&self, offset: u64) -> io::Result<Option<u64>> {
        self.inner.next_written(offset)
    }

    fn extent(&self) -> io::Result<Extent> {
        let mut faults = self.disk.faults();
        let mut extent = self.inner.extent()?;
        if self.is_endless {
            extent.size = u64::MAX / 2;
        }
        if let Some(size) = faults.shown_size {
            faults.told_wrong += 1;
            extent.size = size;
        }
        Ok(extent)
    }

    fn is_unlinked(&self) -> bool {
        self.inner.is_unlinked()
    }
}
