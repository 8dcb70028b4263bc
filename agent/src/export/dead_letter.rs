//! What a destination refused for good, mostly single records, kept for people to look at.
//!
//! Goals: what was refused can be read and sent by hand; the folder stays below a bound; a letter that is
//! complete has both files. Not goals: sending again by itself; surviving a full disk, where the refusal is
//! only counted.
//!
//! The bytes, in one folder for all destinations:
//!
//! ```text
//! 01792000000000000000-default-42.0.otlp.zst    one zstd frame with an OTLP request of the signal
//! 01792000000000000000-default-42.0.json        why: {"destination", "address", "seq", "signal", "records",
//!                                               "run_id", "reason", "time_unix_nano"}
//! ```
//!
//! The name begins with the time, so the oldest letter sorts first; the destination, the batch's place in the
//! queue and a number of the letter in this process follow. A partial success, whose bytes the destination has
//! taken, leaves the JSON file alone.
//!
//! After a crash: the JSON file is written last, both are synced; a batch that was set aside but not yet
//! acknowledged is refused again and leaves a second letter.

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::record::UnixNanos;

/// What the folder may occupy unless the caller says otherwise.
pub const DEFAULT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A file occupies at least a block.
const BLOCK_BYTES: u64 = 4096;

/// The folder of dead letters. Bounded in bytes: the oldest are removed for new ones.
#[derive(Debug)]
pub struct DeadLetters {
    folder: PathBuf,
    max_bytes: u64,
    shelf: Mutex<Shelf>,
}

/// The folder cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {} for dead letters", folder.display())]
pub struct UnusableFolder {
    /// The folder.
    pub folder: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// One refusal.
#[derive(Debug, serde::Serialize)]
pub(super) struct Letter<'a> {
    pub(super) destination: &'a str,
    pub(super) address: &'a str,
    pub(super) seq: u64,
    /// logs, metrics or traces.
    pub(super) signal: &'a str,
    /// Log records, data points or spans.
    pub(super) records: u64,
    pub(super) run_id: &'a str,
    pub(super) reason: &'a str,
    pub(super) time_unix_nano: UnixNanos,
}

#[derive(Debug, Default)]
struct Shelf {
    /// Oldest first.
    files: VecDeque<(String, u64)>,
    bytes: u64,
    written: u64,
    removed: u64,
}

impl DeadLetters {
    /// Opens the folder, and makes it where it is missing. Letters of earlier runs count towards the bound.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(folder: &Path, max_bytes: u64) -> Result<Self, UnusableFolder> {
        let shelf = shelf(folder).map_err(|source| UnusableFolder { folder: folder.to_owned(), source })?;
        Ok(Self { folder: folder.to_owned(), max_bytes, shelf: Mutex::new(shelf) })
    }

    /// Bytes on disk, and how many files were removed to stay below the bound since the folder was opened.
    #[must_use]
    pub fn occupied(&self) -> (u64, u64) {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        (shelf.bytes, shelf.removed)
    }

    /// Writes a letter and syncs it. Blocks on the disk.
    pub(super) fn put(&self, letter: &Letter<'_>, body: Option<&[u8]>) -> io::Result<()> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let Letter { time_unix_nano, seq, .. } = letter;
        let stem = format!("{time_unix_nano:020}-{}-{seq}.{}", plain(letter.destination), shelf.written);
        shelf.written += 1;
        let why = serde_json::to_vec_pretty(letter)?;
        let bytes = body.map_or(0, occupies) + occupies(&why);
        self.make_room(&mut shelf, bytes);
        if let Some(body) = body {
            self.write(&mut shelf, format!("{stem}.otlp.zst"), body)?;
        }
        self.write(&mut shelf, format!("{stem}.json"), &why)?;
        File::open(&self.folder)?.sync_all()
    }

    fn write(&self, shelf: &mut Shelf, name: String, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(&name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        // From here on it counts, whole or not.
        shelf.bytes += occupies(bytes);
        shelf.files.push_back((name, occupies(bytes)));
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn make_room(&self, shelf: &mut Shelf, bytes: u64) {
        while shelf.bytes + bytes > self.max_bytes {
            let Some((name, freed)) = shelf.files.pop_front() else { return };
            // Somebody may have tidied up before us; a file that cannot be removed is not tried twice.
            let _ = fs::remove_file(self.folder.join(name));
            shelf.bytes -= freed;
            shelf.removed += 1;
        }
    }
}

fn shelf(folder: &Path) -> io::Result<Shelf> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.ends_with(".otlp.zst") || name.ends_with(".json") {
            files.push((name, entry.metadata()?.len().next_multiple_of(BLOCK_BYTES)));
        }
    }
    files.sort_unstable();
    let bytes = files.iter().map(|(_, bytes)| bytes).sum();
    Ok(Shelf { files: files.into(), bytes, ..Shelf::default() })
}

fn occupies(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).next_multiple_of(BLOCK_BYTES)
}

/// A destination's name as part of a file's name.
fn plain(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(time_unix_nano: UnixNanos) -> Letter<'static> {
        Letter {
            destination: "../a b",
            address: "http://backend:4318/v1/logs",
            seq: 42,
            signal: "logs",
            records: 3,
            run_id: "r",
            reason: "answered 400 Bad Request",
            time_unix_nano,
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_letter_is_the_bytes_and_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("dead-letter");
        let letters = DeadLetters::open(&folder, DEFAULT_MAX_BYTES).unwrap();
        letters.put(&letter(5), Some(b"frame")).unwrap();

        let names = names(&folder);
        assert_eq!(names, ["00000000000000000005-___a_b-42.0.json", "00000000000000000005-___a_b-42.0.otlp.zst"]);
        assert_eq!(fs::read(folder.join(&names[1])).unwrap(), b"frame");
        let why: serde_json::Value = serde_json::from_slice(&fs::read(folder.join(&names[0])).unwrap()).unwrap();
        assert_eq!(why["reason"], "answered 400 Bad Request");
        assert_eq!((why["seq"].as_u64(), why["records"].as_u64()), (Some(42), Some(3)));
    }

    #[test]
    fn the_oldest_letters_make_room_also_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let bound = 6 * BLOCK_BYTES;
        let letters = DeadLetters::open(dir.path(), bound).unwrap();
        for time in 1..=3 {
            letters.put(&letter(time), Some(b"frame")).unwrap();
        }
        assert_eq!(letters.occupied(), (bound, 0));
        drop(letters);

        let letters = DeadLetters::open(dir.path(), bound).unwrap();
        letters.put(&letter(4), Some(b"frame")).unwrap();
        assert_eq!(letters.occupied(), (bound, 2));
        let kept = names(dir.path());
        assert_eq!(kept.len(), 6);
        assert!(kept.iter().all(|name| !name.starts_with("00000000000000000001")), "{kept:?}");
    }

    #[test]
    fn a_letter_larger_than_the_bound_leaves_the_folder_to_itself() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::open(dir.path(), BLOCK_BYTES).unwrap();
        letters.put(&letter(1), Some(b"frame")).unwrap();
        letters.put(&letter(2), Some(b"frame")).unwrap();
        assert_eq!(names(dir.path()).len(), 2);
    }
}
