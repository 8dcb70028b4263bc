//! Storing batches.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use tracing::error;

use crate::record::{BatchMeta, Severity};

use super::{
    OpenError, Reader, Writer,
    blocks::{self, BlockFile},
    index::{Index, from_column, to_column},
    life::{Life, Status},
    logged::{self, NotAdded},
    rebuild,
};

/// A store that is open for writing. Several processes may have the same one open.
///
/// Its methods wait for the disk: call them where waiting is allowed.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    index: Mutex<Index>,
}

/// What became of the batches of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Batches that are stored now.
    pub stored: u32,
    /// Batches that had been stored before.
    pub repeated: u32,
}

/// Batches could not be stored; none of the call's are.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The index could not be changed.
    #[error("cannot write the store's index")]
    Index(#[from] rusqlite::Error),
    /// The index was removed or damaged, and cannot be made again.
    #[error("the store's index was removed or damaged, and cannot be made again")]
    Unmade(#[from] OpenError),
    /// Somebody has removed the store's files; what is to be stored has to be stored again.
    #[error("the store was removed while it was written to")]
    RemovedMeanwhile,
    /// A file of blocks could not be written.
    #[error("cannot write {path}", path = .path.display())]
    Blocks {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The task that stored them was ended by the runtime.
    #[error("storing was interrupted")]
    Interrupted,
}

impl StoreError {
    /// Whether trying again soon may help: a full, failing or read-only disk, a lock.
    ///
    /// The others (no right to write, a corrupt index) need the operator; the batches are not stored either way.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Index(fault) => matches!(
                fault.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::ReadOnly
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                )
            ),
            Self::Blocks { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            Self::Unmade(_) | Self::RemovedMeanwhile | Self::Interrupted => true,
        }
    }
}

impl Store {
    /// Opens the store in that directory, making both where there are none; only their owner can read them.
    ///
    /// # Errors
    /// If the directory cannot be used, or a newer runlog made the store.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let index = rebuild::open(dir)?;
        Ok(Self { dir: dir.to_owned(), index: Mutex::new(index) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) const fn index(&self) -> &Mutex<Index> {
        &self.index
    }

    /// A reader of this store, with connections of its own.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::of(&self.dir)
    }

    /// Stores a writer's batches (sequence number, description, one zstd frame), in ascending order of the number.
    ///
    /// They are durable when it returns. Each is stored exactly once: a number at or below the highest that this
    /// writer has stored is a repetition and is passed over. After an error none of them is stored, and the same
    /// call may be made again.
    ///
    /// # Errors
    /// If the disk or the index fails.
    pub fn append(&self, writer: Writer, batches: &[(u64, &BatchMeta, &[u8])]) -> Result<Appended, StoreError> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if !index.is_in_place() {
            error!(dir = %self.dir.display(), "the store was removed while it was in use, beginning another");
            *index = rebuild::open(&self.dir)?;
        }
        let appended = match self.append_to(&mut index.connection, writer, batches) {
            Err(StoreError::Index(fault)) if rebuild::is_damaged(&fault) => {
                *index = rebuild::again(&self.dir, &fault)?;
                self.append_to(&mut index.connection, writer, batches)?
            }
            appended => appended?,
        };
        // What was committed to files that were removed meanwhile is nowhere.
        if index.is_in_place() { Ok(appended) } else { Err(StoreError::RemovedMeanwhile) }
    }

    fn append_to(
        &self,
        connection: &mut Connection,
        writer: Writer,
        batches: &[(u64, &BatchMeta, &[u8])],
    ) -> Result<Appended, StoreError> {
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut high_water = high_water(&change, &writer)?;
        let mut appended = Appended::default();
        let mut addition = Addition { dir: &self.dir, writer, change: &change, files: BTreeMap::new() };
        for (seq, meta, payload) in batches {
            if high_water.is_some_and(|highest| *seq <= highest)
                || high_water.is_none() && addition.has(meta, payload)?
            {
                appended.repeated += 1;
                continue;
            }
            addition.add(*seq, meta, payload)?;
            high_water = Some(*seq);
            appended.stored += 1;
        }
        if appended.stored == 0 {
            return Ok(appended);
        }
        addition.sync()?;
        change
            .prepare_cached(
                "INSERT INTO writers (writer, high_water) VALUES (?1, ?2)
                 ON CONFLICT (writer) DO UPDATE SET high_water = excluded.high_water",
            )?
            .execute(params![writer, high_water.map(to_column)])?;
        change.commit()?;
        Ok(appended)
    }
}

fn high_water(change: &Transaction<'_>, writer: &Writer) -> rusqlite::Result<Option<u64>> {
    change
        .prepare_cached("SELECT high_water FROM writers WHERE writer = ?1")?
        .query_row([writer], |row| row.get(0).map(from_column))
        .optional()
}

/// The blocks that one transaction adds.
pub(super) struct Addition<'a> {
    pub(super) dir: &'a Path,
    pub(super) writer: Writer,
    pub(super) change: &'a Transaction<'a>,
    pub(super) files: BTreeMap<i64, Growing>,
}

/// A file of blocks with its end, up to which the index knows it.
pub(super) struct Growing {
    file: BlockFile,
    end: u64,
    is_new: bool,
}

impl Addition<'_> {
    fn add(&mut self, seq: u64, meta: &BatchMeta, payload: &[u8]) -> Result<(), StoreError> {
        let run = self.note_run(meta, payload)?;
        let (file, offset) = self.write(&meta.run_id, payload)?;
        self.name_block(run, file, seq, (offset, payload.len() as u64), meta)
    }

    /// Whether a batch is among the writer's blocks, byte for byte. An index that was made again knows the blocks of
    /// a writer, and not how far it had come.
    fn has(&self, meta: &BatchMeta, payload: &[u8]) -> Result<bool, StoreError> {
        let name = blocks::file_of(&meta.run_id, &self.writer);
        let mut question = self.change.prepare_cached(
            "SELECT blocks.offset FROM blocks JOIN files ON files.id = blocks.file
             WHERE files.path = ?1 AND blocks.length = ?2",
        )?;
        let mut offsets = question.query_map(params![name, to_column(payload.len() as u64)], |row| row.get(0))?;
        let is_same = |offset: i64| {
            let block = blocks::read(&self.dir.join(&name), from_column(offset), payload.len());
            block.is_ok_and(|block| block == payload)
        };
        Ok(offsets.try_fold(false, |found, offset| offset.map(|offset| found || is_same(offset)))?)
    }

    /// Names a block that lies at `place`, an offset and a length in a file.
    pub(super) fn name_block(
        &self,
        run: i64,
        file: i64,
        seq: u64,
        place: (u64, u64),
        meta: &BatchMeta,
    ) -> Result<(), StoreError> {
        let levels = levels_of(meta);
        self.change
            .prepare_cached(
                "INSERT INTO blocks (run, file, seq, offset, length, uncompressed, records, first_time, last_time,
                 unspecified, trace, debug, info, warn, error, fatal)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            )?
            .execute(params![
                run,
                file,
                to_column(seq),
                to_column(place.0),
                to_column(place.1),
                meta.uncompressed_bytes,
                meta.records,
                to_column(meta.first_time_unix_nano),
                to_column(meta.last_time_unix_nano),
                levels[0],
                levels[1],
                levels[2],
                levels[3],
                levels[4],
                levels[5],
                levels[6],
            ])?;
        Ok(())
    }

    /// The row of the batch's run, with the batch counted in it.
    pub(super) fn note_run(&self, meta: &BatchMeta, payload: &[u8]) -> Result<i64, StoreError> {
        let levels = printed_of(meta);
        let events: u64 = meta.events_by_range.iter().copied().map(u64::from).sum();
        let known = self
            .change
            .prepare_cached(
                "SELECT experiment, host, status, exit_code, name, parent, start_time, end_time, status_time, error_code,
                 error_message FROM runs WHERE run_id = ?1",
            )?
            .query_row([&meta.run_id], |row| {
                let status: String = row.get(2)?;
                Ok(Life {
                    experiment: row.get(0)?,
                    host: row.get(1)?,
                    status: Status::from_column(&status),
                    exit_code: row.get(3)?,
                    name: row.get(4)?,
                    parent: row.get(5)?,
                    start_time: row.get(6).map(from_column)?,
                    end_time: row.get(7).map(from_column)?,
                    status_time: row.get(8).map(from_column)?,
                    error_code: row.get(9)?,
                    error_message: row.get(10)?,
                })
            })
            .optional()?;
        let is_new = known.is_none();
        let mut life = known.unwrap_or_default();
        let mut receipts = Vec::new();
        let mut request = Vec::new();
        if is_new || meta.has_events {
            match blocks::decompress(payload, meta.uncompressed_bytes.into()) {
                Ok(decompressed) => request = decompressed,
                Err(fault) => unreadable(meta, &fault),
            }
            life.learn(&request, &mut receipts).unwrap_or_else(|fault| unreadable(meta, &fault));
        }
        let row = self
            .change
            .prepare_cached(
                "INSERT INTO runs (run_id, experiment, host, status, exit_code, first_time, last_time, records, bytes,
                 unspecified, trace, debug, info, warn, error, fatal, events, name, parent, start_time,
                 end_time, status_time, error_code, error_message)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                 ?22, ?23, ?24)
                 ON CONFLICT (run_id) DO UPDATE SET
                 experiment = excluded.experiment, host = excluded.host,
                 status = excluded.status, exit_code = excluded.exit_code, name = excluded.name, parent = excluded.parent,
                 start_time = excluded.start_time, end_time = excluded.end_time, status_time = excluded.status_time,
                 error_code = excluded.error_code, error_message = excluded.error_message,
                 first_time = CASE WHEN 0 IN (first_time, excluded.first_time)
                   THEN max(first_time, excluded.first_time) ELSE min(first_time, excluded.first_time) END,
                 last_time = max(last_time, excluded.last_time),
                 records = records + excluded.records, bytes = bytes + excluded.bytes,
                 unspecified = unspecified + excluded.unspecified, trace = trace + excluded.trace,
                 debug = debug + excluded.debug, info = info + excluded.info, warn = warn + excluded.warn,
                 error = error + excluded.error, fatal = fatal + excluded.fatal, events = events + excluded.events
                 RETURNING id",
            )?
            .query_row(
                params![
                    meta.run_id,
                    life.experiment,
                    life.host,
                    life.status.as_str(),
                    life.exit_code,
                    to_column(meta.first_time_unix_nano),
                    to_column(meta.last_time_unix_nano),
                    meta.records,
                    to_column(payload.len() as u64),
                    levels[0],
                    levels[1],
                    levels[2],
                    levels[3],
                    levels[4],
                    levels[5],
                    levels[6],
                    to_column(events),
                    life.name,
                    life.parent,
                    to_column(life.start_time),
                    to_column(life.end_time),
                    to_column(life.status_time),
                    life.error_code,
                    life.error_message,
                ],
                |row| row.get(0),
            )?;
        for receipt in receipts {
            self.change
                .prepare_cached("INSERT INTO receipts (run, complete, records_kept, receipt) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![row, receipt.complete, to_column(receipt.records_kept), receipt.json])?;
        }
        if meta.has_events {
            match logged::add(self.change, row, &request) {
                Ok(()) => {}
                Err(NotAdded::Malformed(fault)) => unreadable(meta, &fault),
                Err(NotAdded::Index(fault)) => return Err(fault.into()),
            }
        }
        Ok(row)
    }

    /// Writes a block behind the last one of its file, and tells the file's row and the block's offset.
    fn write(&mut self, run_id: &str, payload: &[u8]) -> Result<(i64, u64), StoreError> {
        let name = blocks::file_of(run_id, &self.writer);
        let (id, end, is_new) = match self
            .change
            .prepare_cached("SELECT id, bytes FROM files WHERE path = ?1")?
            .query_row([&name], |row| Ok((row.get(0)?, row.get(1).map(from_column)?)))
            .optional()?
        {
            Some((id, bytes)) => (id, bytes, false),
            None => {
                self.change.prepare_cached("INSERT INTO files (path, bytes) VALUES (?1, 0)")?.execute([&name])?;
                (self.change.last_insert_rowid(), 0, true)
            }
        };
        let path = self.dir.join(&name);
        let fault = |source| StoreError::Blocks { path: path.clone(), source };
        let growing = match self.files.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                vacant.insert(Growing { file: BlockFile::open(path.clone()).map_err(fault)?, end, is_new })
            }
        };
        let offset = growing.end;
        growing.file.write(payload, offset).map_err(fault)?;
        growing.end += payload.len() as u64;
        Ok((id, offset))
    }

    /// Makes all blocks durable and remembers where their files end.
    fn sync(&self) -> Result<(), StoreError> {
        for (id, growing) in &self.files {
            let synced =
                growing.file.sync().and_then(|()| if growing.is_new { growing.file.sync_name() } else { Ok(()) });
            synced.map_err(|source| StoreError::Blocks { path: growing.file.path().to_owned(), source })?;
            self.change
                .prepare_cached("UPDATE files SET bytes = ?2 WHERE id = ?1")?
                .execute(params![id, to_column(growing.end)])?;
        }
        Ok(())
    }
}

/// Says so. The block is kept as it came: it may be readable for someone else.
fn unreadable(meta: &BatchMeta, fault: &dyn std::error::Error) {
    tracing::warn!(run_id = %meta.run_id, %fault, "a stored block cannot be read");
}

/// The counts per level of what was printed, which events are not.
fn printed_of(meta: &BatchMeta) -> [u32; Severity::RANGES] {
    let mut levels = levels_of(meta);
    for (level, events) in levels.iter_mut().zip(&meta.events_by_range) {
        *level = level.saturating_sub(*events);
    }
    levels
}

/// The counts per level; those that a batch does not state are of unspecified level.
fn levels_of(meta: &BatchMeta) -> [u32; Severity::RANGES] {
    let mut levels: [u32; Severity::RANGES] =
        std::array::from_fn(|range| meta.records_by_range.get(range).copied().unwrap_or(0));
    let stated = levels.iter().fold(0, |sum: u32, count| sum.saturating_add(*count));
    levels[0] = levels[0].saturating_add(meta.records.saturating_sub(stated));
    levels
}
