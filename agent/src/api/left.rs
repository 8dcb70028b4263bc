//! Files that programs have left in the spool, since nobody was there to take them.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use crate::store::{Digest, FileError, Store};

/// Takes what lies in the folder into the store: files that are named by their digests. Gives how many there were.
///
/// What has another digest than its name is removed: it is no use to anybody.
///
/// # Errors
/// If one cannot be taken; it stays, and so do those behind it.
pub fn take_left(folder: &Path, store: &Store) -> io::Result<usize> {
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut count = 0;
    for entry in entries {
        let path = entry?.path();
        let digest = path.file_name().and_then(|name| name.to_str()).and_then(|name| Digest::parse(name).ok());
        // What else lies there is on its way to such a name.
        let Some(digest) = digest.filter(|_| path.symlink_metadata().is_ok_and(|found| found.is_file())) else {
            continue;
        };
        match take(&path, &digest, store) {
            Ok(()) => count += 1,
            Err(FileError::WrongDigest { found }) => {
                tracing::warn!(path = %path.display(), found, "a file in the spool is not what it is called, it is removed");
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        fs::remove_file(&path)?;
    }
    Ok(count)
}

fn take(path: &Path, digest: &Digest, store: &Store) -> Result<(), FileError> {
    let fault = |source| FileError::Io { path: path.to_owned(), source };
    if store.held(digest).map_err(fault)?.0 {
        return Ok(());
    }
    let file = File::open(path).map_err(fault)?;
    let mut upload = store.upload(digest, None)?;
    upload.write_all_of(file, fault)?;
    upload.finish().map(drop)
}
