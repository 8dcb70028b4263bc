//! The file system as the file source sees it: narrow, so that tests can put another one in its place.

use std::{
    ffi::OsStr,
    fmt, fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rustix::{
    buffer::spare_capacity,
    fs::{Mode, OFlags},
};
use tracing::warn;

use super::identity::FileId;

/// Finds and opens files.
pub trait Disk: Send + Sync {
    /// The paths that match any of `patterns` and none of `exclude`, each once.
    fn find(&self, patterns: &[String], exclude: &[String]) -> Vec<PathBuf>;
    /// The folders in which files of these patterns can appear, as far as they exist.
    fn folders(&self, patterns: &[String]) -> Vec<PathBuf>;
    /// The file of that identity in that folder, if it is there.
    ///
    /// # Errors
    /// If the folder cannot be read.
    fn find_by_id(&self, folder: &Path, id: FileId) -> io::Result<Option<PathBuf>>;
    /// Which file stands at that path; `None` if it is not a regular file.
    ///
    /// # Errors
    /// What the file system says.
    fn identify(&self, path: &Path) -> io::Result<Option<FileId>>;
    /// Where that path leads to, all links followed; the path itself if that cannot be told.
    fn resolve(&self, path: &Path) -> PathBuf;
    /// Opens a file for reading; `None` if it is not a regular file. Never blocks on a pipe or device.
    ///
    /// # Errors
    /// What the file system says.
    fn open(&self, path: &Path) -> io::Result<Option<(Box<dyn Handle>, FileId)>>;
}

/// An open file. It stays readable when its name goes.
pub trait Handle: Send + Sync + fmt::Debug {
    /// Appends up to `length` bytes from `offset` on. Nothing appended means the end.
    ///
    /// # Errors
    /// What the file system says.
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()>;
    /// How much is there, and since when.
    ///
    /// # Errors
    /// What the file system says.
    fn extent(&self) -> io::Result<Extent>;
    /// Whether no name is left.
    fn is_unlinked(&self) -> bool;
}

/// What can be known of a file's content without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Size in bytes.
    pub size: u64,
    /// When it was last written or cut, in nanoseconds since 1970.
    pub modified: i128,
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn find(&self, patterns: &[String], exclude: &[String]) -> Vec<PathBuf> {
        let exclude: Vec<_> = exclude.iter().filter_map(|pattern| glob::Pattern::new(pattern).ok()).collect();
        let mut found: Vec<PathBuf> = patterns.iter().flat_map(|pattern| matches_of(pattern)).collect();
        found.retain(|path| !exclude.iter().any(|pattern| pattern.matches_path(path)));
        found.sort_unstable();
        found.dedup();
        found
    }

    fn folders(&self, patterns: &[String]) -> Vec<PathBuf> {
        let folder = |pattern: &String| {
            let fixed: PathBuf =
                Path::new(pattern).components().take_while(|part| !has_wildcard(part.as_os_str())).collect();
            let start = if fixed == Path::new(pattern) { fixed.parent().map(Path::to_owned)? } else { fixed };
            start.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
        };
        patterns.iter().filter_map(folder).collect()
    }

    fn find_by_id(&self, folder: &Path, id: FileId) -> io::Result<Option<PathBuf>> {
        let mut paths = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(paths.find(|path| self.identify(path).ok().flatten() == Some(id)))
    }

    fn identify(&self, path: &Path) -> io::Result<Option<FileId>> {
        Ok(id_of(&fs::metadata(path)?))
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
    }

    fn open(&self, path: &Path) -> io::Result<Option<(Box<dyn Handle>, FileId)>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
        Ok(id_of(&file.metadata()?).map(|id| (Box::new(OpenFile(file.into())) as Box<dyn Handle>, id)))
    }
}

/// A file descriptor.
#[derive(Debug)]
struct OpenFile(OwnedFd);

impl Handle for OpenFile {
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
        into.reserve_exact(length);
        rustix::io::retry_on_intr(|| rustix::io::pread(&self.0, spare_capacity(into), offset))?;
        Ok(())
    }

    fn extent(&self) -> io::Result<Extent> {
        let stat = rustix::fs::fstat(&self.0)?;
        let modified = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        Ok(Extent { size: u64::try_from(stat.st_size).unwrap_or(0), modified })
    }

    fn is_unlinked(&self) -> bool {
        rustix::fs::fstat(&self.0).is_ok_and(|stat| stat.st_nlink == 0)
    }
}

fn id_of(metadata: &fs::Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    let since_1970 = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let birth = since_1970.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(0));
    metadata.is_file().then_some(FileId { device: metadata.dev(), inode: metadata.ino(), birth })
}

fn has_wildcard(part: &OsStr) -> bool {
    part.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

fn matches_of(pattern: &str) -> Vec<PathBuf> {
    if !has_wildcard(OsStr::new(pattern)) {
        return if Path::new(pattern).exists() { vec![PathBuf::from(pattern)] } else { Vec::new() };
    }
    match glob::glob(pattern) {
        // Folders that may not be read are passed over; what they hold cannot be followed anyway.
        Ok(paths) => paths.filter_map(Result::ok).collect(),
        Err(error) => {
            warn!(pattern, error = %error, "not a glob");
            Vec::new()
        }
    }
}
