//! The file system as the file source sees it: narrow, so that tests can put another one in its place.

use std::{
    ffi::OsStr,
    fmt, fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirEntryExt, MetadataExt},
    },
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rustix::{
    buffer::spare_capacity,
    fs::{Mode, OFlags, SeekFrom},
    io::Errno,
};

use super::identity::FileId;

/// Finds and opens files.
pub trait Disk: Send + Sync {
    /// Gives each name in a folder once, except `.` and `..`.
    ///
    /// # Errors
    /// What the file system says.
    fn list(&self, folder: &Path, each: &mut dyn FnMut(&Entry<'_>)) -> io::Result<()>;
    /// Whether that path leads to a folder.
    fn is_folder(&self, path: &Path) -> bool;
    /// Tells a folder from another one that stands or is mounted at the same path. `None` if there is none.
    fn folder_id(&self, path: &Path) -> Option<(u64, u64)>;
    /// Whether that link leads to a folder above itself, so that following it would not end.
    fn leads_up(&self, link: &Path) -> bool;
    /// Whether the kernel may tell of changes of that file under another name only: it is a link, or one of several.
    fn has_other_names(&self, path: &Path) -> bool;
    /// The file of that identity in that folder, if it is there.
    ///
    /// # Errors
    /// If the folder cannot be read.
    fn find_by_id(&self, folder: &Path, id: FileId) -> io::Result<Option<PathBuf>>;
    /// Which file stands at that path, and how much of it is there; `None` if it is not a regular file.
    ///
    /// # Errors
    /// What the file system says.
    fn look(&self, path: &Path) -> io::Result<Option<(FileId, Extent)>>;
    /// What kind of file system it is on; `None` if that cannot be told.
    fn system(&self, path: &Path) -> Option<System>;
    /// Where that path leads to, all links followed; the path itself if that cannot be told.
    fn resolve(&self, path: &Path) -> PathBuf;
    /// Opens a file for reading; `None` if it is not a regular file. Never blocks on a pipe or device.
    ///
    /// # Errors
    /// What the file system says.
    fn open(&self, path: &Path) -> io::Result<Option<(Box<dyn Handle>, FileId)>>;
}

/// A name in a folder.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a OsStr,
    /// What it leads to, as far as the folder says.
    pub kind: Kind,
    /// Inode number, as the folder says. Where another file system is mounted, that of what is below.
    pub inode: u64,
}

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A link, or something that the folder does not tell: it has to be looked at.
    Link,
    /// A file, a pipe, a device.
    Other,
}

/// What can be expected of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// The kernel tells of changes, and what it says of a file is so.
    Local,
    /// Others change it without telling the kernel, which may say for a while how a file was.
    Remote,
    /// A file that is written for the first time becomes another one.
    Layered,
}

/// File systems that change without telling the kernel. Source: `linux/magic.h`.
const REMOTE: [u64; 6] = [
    0x6969,      // nfs
    0xff53_4d42, // cifs
    0xfe53_4d42, // smb2
    0x6573_5546, // fuse
    0x0102_1997, // 9p
    0x0bd0_0bd0, // lustre
];
const OVERLAY: u64 = 0x794c_7630;

/// An open file. It stays readable when its name goes.
pub trait Handle: Send + Sync + fmt::Debug {
    /// Appends up to `length` bytes from `offset` on. Nothing appended means the end.
    ///
    /// # Errors
    /// What the file system says.
    fn read_at(&self, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()>;
    /// Where from `offset` on the next byte may be that was ever written: at once where the file system does not tell.
    /// `None` if there is none up to the end.
    ///
    /// # Errors
    /// What the file system says.
    fn next_written(&self, offset: u64) -> io::Result<Option<u64>>;
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
    /// When it was last written or cut, in nanoseconds since 1970. Compared only: times of other centuries wrap.
    pub modified: i64,
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn list(&self, folder: &Path, each: &mut dyn FnMut(&Entry<'_>)) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_dir() => Kind::Folder,
                Ok(kind) if !kind.is_symlink() => Kind::Other,
                Ok(_) | Err(_) => Kind::Link,
            };
            each(&Entry { name: &entry.file_name(), kind, inode: entry.ino() });
        }
        Ok(())
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn folder_id(&self, path: &Path) -> Option<(u64, u64)> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
        Some((metadata.dev(), metadata.ino()))
    }

    fn leads_up(&self, link: &Path) -> bool {
        let whole = fs::canonicalize(link).and_then(|to| Ok((to, fs::canonicalize(folder_of(link))?)));
        whole.is_ok_and(|(to, from)| from.starts_with(to))
    }

    fn has_other_names(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink() || metadata.nlink() > 1)
    }

    fn find_by_id(&self, folder: &Path, id: FileId) -> io::Result<Option<PathBuf>> {
        let mut entries = Vec::new();
        self.list(folder, &mut |entry| entries.push((entry.inode, path_in(folder, entry.name))))?;
        entries.sort_by_key(|(inode, _)| *inode != id.inode);
        for (inode, path) in entries {
            match self.look(&path) {
                Ok(Some((there, _))) if there == id => return Ok(Some(path)),
                // Some file systems tell another inode in the folder than at the file. This one does not, and so
                // has told already that it is not there.
                Ok(Some((there, _))) if there.inode == inode && inode != id.inode => return Ok(None),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    fn look(&self, path: &Path) -> io::Result<Option<(FileId, Extent)>> {
        let metadata = fs::metadata(path)?;
        let modified = nanoseconds(metadata.mtime(), metadata.mtime_nsec());
        Ok(id_of(&metadata).map(|id| (id, Extent { size: metadata.size(), modified })))
    }

    fn system(&self, path: &Path) -> Option<System> {
        Some(match rustix::fs::statfs(path).ok()?.f_type.cast_unsigned() {
            OVERLAY => System::Layered,
            magic if REMOTE.contains(&magic) => System::Remote,
            _ => System::Local,
        })
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

    fn next_written(&self, offset: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.0, SeekFrom::Data(offset)) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset)),
            Err(error) => Err(error.into()),
        }
    }

    fn extent(&self) -> io::Result<Extent> {
        let stat = rustix::fs::fstat(&self.0)?;
        let modified = nanoseconds(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
        Ok(Extent { size: u64::try_from(stat.st_size).unwrap_or(0), modified })
    }

    fn is_unlinked(&self) -> bool {
        rustix::fs::fstat(&self.0).is_ok_and(|stat| stat.st_nlink == 0)
    }
}

/// The folder that a path is in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    }
}

/// The path of a name in a folder. As it was typed: without a dot before it.
#[must_use]
pub fn path_in(folder: &Path, name: &OsStr) -> PathBuf {
    if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) }
}

const fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
}

fn id_of(metadata: &fs::Metadata) -> Option<FileId> {
    let since_1970 = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let birth = since_1970.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(0));
    metadata.is_file().then_some(FileId { device: metadata.dev(), inode: metadata.ino(), birth })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_its_identity_under_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, b"one\n").unwrap();
        fs::write(dir.path().join("b.log"), b"two\n").unwrap();
        let (id, extent) = RealDisk.look(&path).unwrap().unwrap();
        assert_eq!(extent.size, 4);
        let to = dir.path().join("a.log.1");
        fs::rename(&path, &to).unwrap();
        assert_eq!(RealDisk.find_by_id(dir.path(), id).unwrap(), Some(to.clone()));
        fs::remove_file(&to).unwrap();
        assert_eq!(RealDisk.find_by_id(dir.path(), id).unwrap(), None);
    }

    #[test]
    fn links_of_both_kinds_are_other_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a"), b"").unwrap();
        assert!(!RealDisk.has_other_names(&path("a")));
        std::os::unix::fs::symlink(path("a"), path("soft")).unwrap();
        assert!(RealDisk.has_other_names(&path("soft")));
        fs::hard_link(path("a"), path("hard")).unwrap();
        assert!(RealDisk.has_other_names(&path("a")));
    }
}
