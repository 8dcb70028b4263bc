//! The SQLite index: its schema, and connections to it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};

/// Grows with each change that an older runlog could not read.
const SCHEMA_VERSION: i64 = SCHEMA_STEPS.len() as i64;

/// How long a connection waits for another process's transaction.
const PATIENCE: Duration = Duration::from_secs(10);

/// What makes each version of the one before it, the first of nothing.
const SCHEMA_STEPS: [&str; 4] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];

// The level columns bear the names of `Severity::RANGE_NAMES`, in their order.
const VERSION_1: &str = "
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id TEXT NOT NULL UNIQUE,
  experiment TEXT NOT NULL DEFAULT '',
  host TEXT NOT NULL DEFAULT '',
  status TEXT NOT NULL,
  exit_code INTEGER,
  first_time INTEGER NOT NULL DEFAULT 0,
  last_time INTEGER NOT NULL DEFAULT 0,
  records INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  unspecified INTEGER NOT NULL DEFAULT 0,
  trace INTEGER NOT NULL DEFAULT 0,
  debug INTEGER NOT NULL DEFAULT 0,
  info INTEGER NOT NULL DEFAULT 0,
  warn INTEGER NOT NULL DEFAULT 0,
  error INTEGER NOT NULL DEFAULT 0,
  fatal INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE writers (
  writer BLOB PRIMARY KEY,
  high_water INTEGER NOT NULL
) STRICT;

CREATE TABLE files (
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  bytes INTEGER NOT NULL
) STRICT;

-- The id is the order of the blocks in their run, and is never given twice.
CREATE TABLE blocks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL REFERENCES runs (id),
  file INTEGER NOT NULL REFERENCES files (id),
  seq INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  length INTEGER NOT NULL,
  uncompressed INTEGER NOT NULL,
  records INTEGER NOT NULL,
  first_time INTEGER NOT NULL,
  last_time INTEGER NOT NULL,
  unspecified INTEGER NOT NULL,
  trace INTEGER NOT NULL,
  debug INTEGER NOT NULL,
  info INTEGER NOT NULL,
  warn INTEGER NOT NULL,
  error INTEGER NOT NULL,
  fatal INTEGER NOT NULL
) STRICT;

CREATE INDEX blocks_of_run ON blocks (run, id);
";

const VERSION_2: &str = "
ALTER TABLE runs ADD COLUMN events INTEGER NOT NULL DEFAULT 0;

-- A `v1::Receipt` each, as JSON.
CREATE TABLE receipts (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs (id),
  complete INTEGER NOT NULL,
  records_kept INTEGER NOT NULL,
  receipt TEXT NOT NULL
) STRICT;

CREATE INDEX receipts_of_run ON receipts (run, id);
";

// What runs say of themselves. `logged.rs` fills the tables from the events in the blocks.
const VERSION_3: &str = "
ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN start_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN end_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN status_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN error_code TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN error_message TEXT NOT NULL DEFAULT '';

CREATE INDEX runs_of_experiment ON runs (experiment, id);
CREATE INDEX runs_of_parent ON runs (parent, id);
CREATE INDEX runs_of_status ON runs (status, id);

-- Tags (kind 0), parameters (1), properties (2). Values as `cell.rs` has them.
CREATE TABLE notes (
  run INTEGER NOT NULL REFERENCES runs (id),
  kind INTEGER NOT NULL,
  key TEXT NOT NULL,
  value ANY,
  time INTEGER NOT NULL,
  PRIMARY KEY (run, kind, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_of_note ON notes (kind, key, run);

-- Which events of each client were seen.
CREATE TABLE calls (
  run INTEGER NOT NULL REFERENCES runs (id),
  key BLOB NOT NULL,
  highest INTEGER NOT NULL,
  bits BLOB NOT NULL,
  PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs (id),
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  points INTEGER NOT NULL DEFAULT 0,
  UNIQUE (run, name)
) STRICT;

-- A value, or a row of a table. Those of one metric lie together, in the order in which they are read.
CREATE TABLE points (
  metric INTEGER NOT NULL REFERENCES metrics (id),
  time INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  step INTEGER,
  value ANY,
  PRIMARY KEY (metric, time, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
  run INTEGER NOT NULL REFERENCES runs (id),
  name TEXT NOT NULL,
  time INTEGER NOT NULL,
  kind TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  description TEXT NOT NULL,
  schema_type TEXT NOT NULL,
  width INTEGER,
  height INTEGER,
  PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX artifacts_of_file ON artifacts (sha256);
";

// What `thinned.rs` keeps of the points of a metric.
const VERSION_4: &str = "
CREATE TABLE extremes (
  metric INTEGER NOT NULL REFERENCES metrics (id),
  stretch INTEGER NOT NULL,
  is_high INTEGER NOT NULL,
  points INTEGER NOT NULL,
  time INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  step INTEGER,
  value ANY,
  PRIMARY KEY (metric, stretch, is_high)
) STRICT, WITHOUT ROWID;
";

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be made or opened.
    #[error("cannot use the store's directory {path}", path = .path.display())]
    Directory {
        /// What was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// SQLite cannot use the index.
    #[error("cannot open the store's index {path}", path = .path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// A newer runlog made the index; nothing was changed.
    #[error(
        "the store's index {path} has version {found}, this runlog reads up to {SCHEMA_VERSION}; use a newer runlog",
        path = .path.display()
    )]
    Newer {
        /// The index.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// There is no store to read yet.
    #[error("nothing is stored in {path} yet", path = .path.display())]
    Absent {
        /// The directory.
        path: PathBuf,
    },
}

/// The index of a store, open.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) connection: Connection,
    path: PathBuf,
    /// The device and the inode of its file.
    file: Option<(u64, u64)>,
}

impl Index {
    /// Opens the index for reading.
    pub(super) fn open_to_read(dir: &Path) -> Result<Self, OpenError> {
        open_to_read(dir).map(|connection| Self::of(connection, dir))
    }

    pub(super) fn of(connection: Connection, dir: &Path) -> Self {
        let path = path_in(dir);
        let file = file_at(&path);
        Self { connection, path, file }
    }

    /// Whether the file is still where it was opened. One that was removed can be written to, and is lost.
    pub(super) fn is_in_place(&self) -> bool {
        self.file.is_some() && file_at(&self.path) == self.file
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join("index.sqlite")
}

/// Makes a directory that only its owner can enter, with its parents. It may be there already.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the directory and holds the lock under which an index is made or checked, until it is dropped.
pub(super) fn prepare(dir: &Path) -> Result<File, OpenError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Directory { path, source }
    };
    make_durable_dirs(dir).map_err(unusable(dir))?;
    lock(&dir.join("lock")).map_err(unusable(&dir.join("lock")))
}

/// Opens an index for writing, making it where there is none. The lock has to be held.
pub(super) fn open_to_write(path: &Path) -> Result<Connection, OpenError> {
    // SQLite gives its own files the mode of the index, so the index is made first, private.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .and_then(|_| path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()))
        .map_err(|source| OpenError::Directory { path: path.to_owned(), source })?;
    let fault = |source| OpenError::Index { path: path.to_owned(), source };
    let mut index = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fault)?;
    index.busy_timeout(PATIENCE).map_err(fault)?;
    let found = version(&index).map_err(fault)?;
    if found > SCHEMA_VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found });
    }
    index.pragma_update(None, "journal_mode", "wal").map_err(fault)?;
    index.pragma_update(None, "synchronous", "full").map_err(fault)?;
    if found < SCHEMA_VERSION {
        bring_up_to_date(&mut index, found).map_err(fault)?;
    }
    Ok(index)
}

/// Opens the index for reading.
fn open_to_read(dir: &Path) -> Result<Connection, OpenError> {
    let path = path_in(dir);
    // What may not be looked at may be there.
    if !path.try_exists().map_err(|source| OpenError::Directory { path: dir.to_owned(), source })? {
        return Err(OpenError::Absent { path: dir.to_owned() });
    }
    let fault = |source| OpenError::Index { path: path.clone(), source };
    let index = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fault)?;
    index.busy_timeout(PATIENCE).map_err(fault)?;
    match version(&index).map_err(fault)? {
        // Its maker has not come to the schema yet.
        0 => Err(OpenError::Absent { path: dir.to_owned() }),
        // An earlier runlog made it.
        found if found < SCHEMA_VERSION => {
            let _lock = prepare(dir)?;
            drop(open_to_write(&path)?);
            Ok(index)
        }
        found if found > SCHEMA_VERSION => Err(OpenError::Newer { path, found }),
        _ => Ok(index),
    }
}

fn make_durable_dirs(dir: &Path) -> io::Result<()> {
    make_private_dir(&dir.join("runs"))?;
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
    above.into_iter().chain([dir]).try_for_each(|dir| File::open(dir)?.sync_all())
}

/// Held until the file is dropped.
fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn version(index: &Connection) -> rusqlite::Result<i64> {
    index.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn bring_up_to_date(index: &mut Connection, version: i64) -> rusqlite::Result<()> {
    let change = index.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (_, step) in (0..).zip(SCHEMA_STEPS).filter(|(made, _)| *made >= version) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    change.commit()
}

/// Times and sizes as SQLite's signed integers; what does not fit is the largest.
pub(super) fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Back from [`to_column`]. Nothing negative is ever written.
pub(super) fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
