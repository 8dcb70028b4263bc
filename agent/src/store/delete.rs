//! Removing a run.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::PoisonError,
};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::{
    Store,
    append::StoreError,
    blocks,
    files::{Digest, path_of},
};

/// What a run has in the index, by the column that names it.
const ROWS: [&str; 9] = [
    "DELETE FROM extremes WHERE metric IN (SELECT id FROM metrics WHERE run = ?1)",
    "DELETE FROM points WHERE metric IN (SELECT id FROM metrics WHERE run = ?1)",
    "DELETE FROM metrics WHERE run = ?1",
    "DELETE FROM notes WHERE run = ?1",
    "DELETE FROM calls WHERE run = ?1",
    "DELETE FROM artifacts WHERE run = ?1",
    "DELETE FROM receipts WHERE run = ?1",
    "DELETE FROM blocks WHERE run = ?1",
    "DELETE FROM runs WHERE id = ?1",
];

const FILES: &str = "SELECT DISTINCT sha256 FROM artifacts WHERE run = ?1 AND sha256 NOT IN
 (SELECT sha256 FROM artifacts WHERE run != ?1)";

impl Store {
    /// Removes the run with that id, its logs, its metrics, and the files that no other run has.
    ///
    /// A crash in the middle leaves bytes behind that nothing names. What comes for the run later makes it anew.
    ///
    /// # Errors
    /// If the index cannot be changed, or a file cannot be removed.
    pub fn delete(&self, run_id: &str) -> Result<(), StoreError> {
        let mut index = self.index().lock().unwrap_or_else(PoisonError::into_inner);
        let Some(digests) = forget(&mut index.connection, run_id)? else { return Ok(()) };
        clear_away(self.dir(), &mut index.connection, run_id, &digests)
    }
}

/// Removes the run's bytes from the disk, but for what was stored for it after its rows were removed.
pub(super) fn clear_away(
    dir: &Path,
    connection: &mut Connection,
    run_id: &str,
    digests: &[String],
) -> Result<(), StoreError> {
    // Nobody else stores anything while this transaction is open: blocks are written inside of one.
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let name = blocks::folder_of(run_id);
    let folder = dir.join(&name);
    if is_any(&change, "SELECT 1 FROM files WHERE path LIKE ?1 || '/%'", &name)? {
        return Ok(());
    }
    gone(fs::remove_dir_all(&folder), folder)?;
    for digest in digests {
        let is_wanted = is_any(&change, "SELECT 1 FROM artifacts WHERE sha256 = ?1", digest)?;
        if let Ok(digest) = Digest::parse(digest)
            && !is_wanted
        {
            let path = path_of(dir, &digest);
            gone(fs::remove_file(&path), path)?;
        }
    }
    Ok(())
}

fn is_any(change: &Transaction<'_>, question: &str, of: &str) -> rusqlite::Result<bool> {
    change.prepare_cached(question)?.exists([of])
}

/// Removes the run's rows. Gives the digests of the files that nobody needs any more; `None` if there is no such run.
pub(super) fn forget(connection: &mut Connection, run_id: &str) -> Result<Option<Vec<String>>, StoreError> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let run: Option<i64> =
        change.query_row("SELECT id FROM runs WHERE run_id = ?1", [run_id], |row| row.get(0)).optional()?;
    let Some(run) = run else { return Ok(None) };
    let digests = change.prepare(FILES)?.query_map([run], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for rows in ROWS {
        change.execute(rows, [run])?;
    }
    change.execute("DELETE FROM files WHERE path LIKE ?1 || '/%'", [blocks::folder_of(run_id)])?;
    change.commit()?;
    Ok(Some(digests))
}

fn gone(removed: io::Result<()>, path: PathBuf) -> Result<(), StoreError> {
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::Blocks { path, source }),
        _ => Ok(()),
    }
}
