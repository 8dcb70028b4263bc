//! The files of runs, each kept once under the digest of its bytes.
//!
//! ```text
//! files/<2 hex digits>/<64 hex digits>   whole files, read only, named by their SHA-256
//! files/partial/<64 hex digits>          what has come so far of a file that comes in pieces; locked while it is written
//! ```
//!
//! Which run has which file under which name stands in the events. What survives a crash: a file has its name only
//! when all of it is on disk and its digest is right, so a name is as good as the bytes. A piece is durable when it is
//! answered.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};
use rustix::fs::{FlockOperation, flock};

use super::{Store, index::make_private_dir};

/// How much is read at once.
const STEP: usize = 256 * 1024;

/// The SHA-256 of a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Digest(String);

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no SHA-256; use 64 hexadecimal digits")]
pub struct NoDigest(pub String);

impl Digest {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// If the text is something else.
    pub fn parse(text: &str) -> Result<Self, NoDigest> {
        let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then(|| Self(text.to_ascii_lowercase())).ok_or_else(|| NoDigest(text.to_owned()))
    }

    /// The digest of what a reader gives, and how many bytes that is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let (mut context, mut buffer, mut length) = (Context::new(&SHA256), vec![0; STEP], 0);
        loop {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                return Ok((Self(hex), length));
            }
            context.update(&buffer[..read]);
            length += read as u64;
        }
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Bytes that were not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A piece does not begin where the one before it ended.
    #[error("the piece begins at byte {begin}, and {held} are held")]
    WrongRange {
        /// Where it begins.
        begin: u64,
        /// Where it should.
        held: u64,
    },
    /// The bytes are not those of the digest. They are thrown away.
    #[error("the bytes have the digest {found}")]
    WrongDigest {
        /// Their digest.
        found: String,
    },
    /// Somebody else is writing the same file.
    #[error("the same file is being written at the moment")]
    Busy,
    /// The disk does not take them.
    #[error("cannot write {path}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Takes the bytes of one file, or of its next piece.
///
/// What was written and is not kept is thrown away with it, but for pieces.
#[derive(Debug)]
pub struct Upload {
    dir: PathBuf,
    digest: Digest,
    path: PathBuf,
    file: File,
    /// Whether what is there of the file stays when this is dropped.
    is_piece: bool,
    is_kept: bool,
}

impl Store {
    /// Whether all of a file is held, and how many bytes are.
    ///
    /// # Errors
    /// If the disk does not say.
    pub fn held(&self, digest: &Digest) -> io::Result<(bool, u64)> {
        held(self.dir(), digest)
    }

    /// Begins to take a file, or the piece of it that begins there.
    ///
    /// # Errors
    /// If the piece does not go on with what is held, or the disk takes nothing.
    pub fn upload(&self, digest: &Digest, piece_at: Option<u64>) -> Result<Upload, FileError> {
        let partial = self.dir().join("files/partial");
        let path = match piece_at {
            Some(_) => partial.join(digest.as_str()),
            None => partial.join(format!("{}.{}", digest.as_str(), uuid::Uuid::new_v4().simple())),
        };
        let fault = |source| FileError::Io { path: path.clone(), source };
        make_private_dir(&partial).map_err(fault)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fault)?;
        if let Some(begin) = piece_at {
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| FileError::Busy)?;
            let held = file.seek(SeekFrom::End(0)).map_err(fault)?;
            if begin > held {
                return Err(FileError::WrongRange { begin, held });
            }
            // What came before a crash and was not answered may be sent again.
            file.set_len(begin).and_then(|()| file.seek(SeekFrom::Start(begin))).map_err(fault)?;
        }
        let (dir, is_piece) = (self.dir().to_owned(), piece_at.is_some());
        Ok(Upload { dir, digest: digest.clone(), path, file, is_piece, is_kept: false })
    }
}

impl Upload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(|source| self.fault(source))
    }

    /// Takes all that a reader gives. `unread` makes the error of one that cannot be read.
    ///
    /// # Errors
    /// If it cannot be read, or the disk does not take the bytes.
    pub fn write_all_of(
        &mut self,
        mut reader: impl Read,
        unread: impl Fn(io::Error) -> FileError,
    ) -> Result<(), FileError> {
        let mut buffer = vec![0; STEP];
        loop {
            match reader.read(&mut buffer).map_err(&unread)? {
                0 => return Ok(()),
                read => self.write(&buffer[..read])?,
            }
        }
    }

    /// Keeps what came for the next piece to go on with. Tells how many bytes are held.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn pause(mut self) -> Result<u64, FileError> {
        let held = self.file.stream_position().map_err(|source| self.fault(source))?;
        self.file.sync_data().map_err(|source| self.fault(source))?;
        self.is_kept = true;
        Ok(held)
    }

    /// Keeps the file: it is durable when this returns. Tells its size.
    ///
    /// # Errors
    /// If its bytes are not those of the digest, or the disk does not take them.
    pub fn finish(mut self) -> Result<u64, FileError> {
        let rewound = self.file.rewind();
        let (found, size) = rewound.and_then(|()| Digest::of(&self.file)).map_err(|source| self.fault(source))?;
        if found != self.digest {
            // A piece is of no more use either.
            self.is_piece = false;
            return Err(FileError::WrongDigest { found: found.0 });
        }
        self.file.sync_all().map_err(|source| self.fault(source))?;
        let path = path_of(&self.dir, &self.digest);
        self.name(&path).map_err(|source| FileError::Io { path, source })?;
        self.is_kept = true;
        Ok(size)
    }

    fn name(&self, path: &Path) -> io::Result<()> {
        let folders: Vec<_> = path.ancestors().skip(1).take(2).collect();
        if let Some(folder) = folders.first() {
            make_private_dir(folder)?;
        }
        fs::rename(&self.path, path)?;
        folders.iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn fault(&self, source: io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), source }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_kept && !self.is_piece {
            // What is left behind costs room, and no more.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where a whole file lies.
pub(super) fn path_of(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join("files").join(&digest.0[..2]).join(&digest.0)
}

pub(super) fn held(dir: &Path, digest: &Digest) -> io::Result<(bool, u64)> {
    let partial = dir.join("files/partial").join(digest.as_str());
    for (path, is_whole) in [(path_of(dir, digest), true), (partial, false)] {
        match fs::metadata(path) {
            Ok(found) => return Ok((is_whole, found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok((false, 0))
}
