//! Removing the oldest runs, so that a store does not fill its disk.
//!
//! How old a run is says when something was last stored for it (the time of its files), not the times of its lines: a log
//! of last year that was stored today is new.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::PoisonError,
    time::{Duration, SystemTime},
};

use super::{
    Store,
    append::StoreError,
    blocks,
    files::{Digest, path_of},
    life::Status,
};

/// A run of which nothing came for so long may be removed for want of room, though nobody said that it has ended.
const SILENT: Duration = Duration::from_hours(24);

/// What may stay in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// Runs of which nothing came for so long are removed; `None` keeps them for ever.
    pub max_age: Option<Duration>,
    /// Bytes of logs and files. Above it the oldest runs that have ended are removed, but for the newest of all; `None`
    /// sets no limit.
    pub max_bytes: Option<u64>,
}

/// What became of the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// The runs that were removed, the oldest first.
    pub removed: Vec<Removed>,
    /// Bytes of logs and files that are left, without the index.
    pub bytes: u64,
}

/// A run that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its id.
    pub run_id: String,
    /// What that freed.
    pub bytes: u64,
    /// The option that it was removed for.
    pub option: &'static str,
}

/// A run with what it takes on the disk.
struct Held {
    run_id: String,
    is_under_way: bool,
    /// When something was last stored for it.
    changed: SystemTime,
    blocks: u64,
    digests: Vec<String>,
}

/// How many runs have a file, and its size.
type Shared = BTreeMap<String, (usize, u64)>;

impl Retention {
    /// Whether nothing is ever removed.
    #[must_use]
    pub const fn is_without_limit(&self) -> bool {
        self.max_age.is_none() && self.max_bytes.is_none()
    }
}

impl Store {
    /// Removes what may not stay.
    ///
    /// # Errors
    /// If the index or the files cannot be read or changed. What was removed before stays so.
    pub fn retain(&self, rules: &Retention, now: SystemTime) -> Result<Retained, StoreError> {
        let (mut runs, mut files) = self.held_by_run()?;
        runs.sort_by_key(|run| run.changed);
        let mut retained = Retained {
            bytes: runs.iter().map(|run| run.blocks).chain(files.values().map(|(_, size)| *size)).sum(),
            removed: Vec::new(),
        };
        let newest = runs.last().map(|run| run.run_id.clone());
        for run in runs {
            let age = now.duration_since(run.changed).unwrap_or_default();
            let may_go = newest.as_ref() != Some(&run.run_id) && (!run.is_under_way || age >= SILENT);
            let option = if rules.max_age.is_some_and(|most| age >= most) {
                "store.max_age"
            } else if may_go && rules.max_bytes.is_some_and(|most| retained.bytes > most) {
                "store.max_bytes"
            } else {
                continue;
            };
            self.delete(&run.run_id)?;
            let bytes = run.blocks + let_go(&mut files, &run.digests);
            retained.bytes -= bytes;
            retained.removed.push(Removed { run_id: run.run_id, bytes, option });
        }
        Ok(retained)
    }

    fn held_by_run(&self) -> Result<(Vec<Held>, Shared), StoreError> {
        let (runs, artifacts) = {
            let index = self.index().lock().unwrap_or_else(PoisonError::into_inner);
            let mut question = index.connection.prepare_cached("SELECT id, run_id, status FROM runs")?;
            let runs = question.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let runs = runs.collect::<Result<Vec<(i64, String, String)>, _>>()?;
            let mut question = index.connection.prepare_cached("SELECT DISTINCT run, sha256 FROM artifacts")?;
            let artifacts = question.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            (runs, artifacts.collect::<Result<Vec<(i64, String)>, _>>()?)
        };
        let mut digests: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        let mut files = Shared::new();
        for (run, digest) in artifacts {
            // One whose bytes never came here takes no room.
            let path = Digest::parse(&digest).map(|digest| path_of(self.dir(), &digest));
            if let Some(file) = path.ok().and_then(|path| fs::metadata(path).ok()) {
                files.entry(digest.clone()).or_insert((0, file.len())).0 += 1;
                digests.entry(run).or_default().push(digest);
            }
        }
        let held = |(id, run_id, status): (i64, String, String)| {
            let folder = self.dir().join(blocks::folder_of(&run_id));
            let (blocks, changed) =
                in_folder(&folder).map_err(|source| StoreError::Blocks { path: folder.clone(), source })?;
            let is_under_way = Status::from_column(&status).is_under_way();
            Ok(Held { run_id, is_under_way, changed, blocks, digests: digests.remove(&id).unwrap_or_default() })
        };
        Ok((runs.into_iter().map(held).collect::<Result<_, StoreError>>()?, files))
    }
}

/// The bytes of the files in a folder, and when the newest was changed. One that is not there is empty, and older than any.
fn in_folder(folder: &Path) -> io::Result<(u64, SystemTime)> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, SystemTime::UNIX_EPOCH)),
        entries => entries?,
    };
    let mut held = (0, SystemTime::UNIX_EPOCH);
    for entry in entries {
        let found = entry?.metadata()?;
        held = (held.0 + found.len(), held.1.max(found.modified()?));
    }
    Ok(held)
}

/// Takes a run's files out of what is held. Gives the bytes of those that no other run has.
fn let_go(files: &mut Shared, digests: &[String]) -> u64 {
    let mut freed = 0;
    for digest in digests {
        if let Some((runs, size)) = files.get_mut(digest) {
            *runs -= 1;
            if *runs == 0 {
                freed += *size;
                files.remove(digest);
            }
        }
    }
    freed
}

#[cfg(test)]
mod tests;
