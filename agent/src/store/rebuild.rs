//! An index that is missing or damaged, made again from the blocks.
//!
//! All that the index says of a block is in the block, but for the number that its writer gave it; see
//! `Addition::has` for what stands in for that. The damaged index is set aside. The new one is made beside it and
//! takes its place when it is whole, so that a crash leaves one or the other.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use rusqlite::{ErrorCode, Transaction, TransactionBehavior, params};
use tracing::{info, warn};

use crate::record::{
    BatchMeta, Severity,
    wire::{Malformed, Value, requests_resources},
};

use super::{
    OpenError, StoreError, Writer,
    append::Addition,
    blocks::{self, MAX_BLOCK_BYTES},
    index::{self, Index, to_column},
};

/// Opens the index in that directory for writing, making it where there is none, and again where it is of no use.
pub(super) fn open(dir: &Path) -> Result<Index, OpenError> {
    let _lock = index::prepare(dir)?;
    let path = index::path_in(dir);
    if !is_absent(&path) {
        match index::open_to_write(&path) {
            Err(OpenError::Index { source, .. }) if is_damaged(&source) => set_aside(&path, &source)?,
            opened => return opened.map(|connection| Index::of(connection, dir)),
        }
    }
    make(dir)
}

/// The same when an index that was opened turns out to be of no use.
pub(super) fn again(dir: &Path, fault: &rusqlite::Error) -> Result<Index, OpenError> {
    let _lock = index::prepare(dir)?;
    set_aside(&index::path_in(dir), fault)?;
    make(dir)
}

fn make(dir: &Path) -> Result<Index, OpenError> {
    let mut files = block_files(dir).map_err(|source| OpenError::Directory { path: dir.join("runs"), source })?;
    if !files.is_empty() {
        // Runs are listed in the order in which they came.
        files.sort_by_cached_key(|name| first_time(&dir.join(name)));
        from_blocks(dir, &files)?;
    }
    index::open_to_write(&index::path_in(dir)).map(|connection| Index::of(connection, dir))
}

/// Whether nothing was ever written to an index there. Blocks that it should name would be overwritten.
fn is_absent(path: &Path) -> bool {
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    !path.exists() || bytes(path) + bytes(&with_suffix(path, "-wal")) == 0
}

fn set_aside(path: &Path, fault: &rusqlite::Error) -> Result<(), OpenError> {
    let aside = path.with_extension("damaged");
    warn!(error = %fault, set_aside = %aside.display(), "the store's index is damaged, making it again");
    fs::rename(path, &aside).map_err(|source| OpenError::Directory { path: aside, source })
}

pub(super) fn is_damaged(fault: &rusqlite::Error) -> bool {
    matches!(fault.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The files of blocks, relative to the store's directory.
fn block_files(dir: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for folder in fs::read_dir(dir.join("runs"))? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.strip_prefix(dir).ok().and_then(Path::to_str);
            files.extend(name.filter(|name| writer_of(name).is_some()).map(str::to_owned));
        }
    }
    Ok(files)
}

/// The time of the first record in a file of blocks, if it can be read.
fn first_time(path: &Path) -> Option<u64> {
    let request = next_block(&mut BufReader::new(File::open(path).ok()?)).ok()?;
    describe(&request).ok().map(|meta| meta.first_time_unix_nano)
}

/// The writer whose file has that name.
fn writer_of(name: &str) -> Option<Writer> {
    let (_, file) = name.rsplit_once('/')?;
    (file.len() == 32).then(|| u128::from_str_radix(file, 16).ok().map(u128::to_be_bytes)).flatten()
}

fn from_blocks(dir: &Path, files: &[String]) -> Result<(), OpenError> {
    let path = index::path_in(dir);
    let fresh = path.with_extension("new");
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Directory { path, source }
    };
    let fault = |source| OpenError::Index { path: fresh.clone(), source };
    // What belonged to the index that was here, or to one that was not finished.
    for stale in [&fresh, &with_suffix(&fresh, "-wal"), &with_suffix(&path, "-wal"), &with_suffix(&path, "-shm")] {
        match fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(stale)(error)),
            _ => {}
        }
    }
    let mut connection = index::open_to_write(&fresh)?;
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    let mut blocks = 0;
    for name in files {
        blocks += add_file(&change, dir, name).map_err(|error| match error {
            StoreError::Index(source) => fault(source),
            StoreError::Blocks { path, source } => OpenError::Directory { path, source },
            other => OpenError::Directory { path: dir.to_owned(), source: io::Error::other(other) },
        })?;
    }
    change.commit().map_err(fault)?;
    // One file then, that can be given its name at once.
    connection.pragma_update(None, "journal_mode", "delete").map_err(fault)?;
    drop(connection);
    fs::rename(&fresh, &path).and_then(|()| File::open(dir)?.sync_all()).map_err(unusable(&path))?;
    info!(blocks, "the store's index was made again from its blocks");
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Names the blocks of a file. What follows one that cannot be read is left where it is, and said to be lost.
fn add_file(change: &Transaction<'_>, dir: &Path, name: &str) -> Result<u64, StoreError> {
    let Some(writer) = writer_of(name) else { return Ok(0) };
    let path = dir.join(name);
    let fault = |source| StoreError::Blocks { path: path.clone(), source };
    let file = File::open(&path).map_err(fault)?;
    let length = file.metadata().map_err(fault)?.len();
    change
        .prepare_cached("INSERT INTO files (path, bytes) VALUES (?1, ?2)")?
        .execute(params![name, to_column(length)])?;
    let id = change.last_insert_rowid();
    let addition = Addition { dir, writer, change, files: BTreeMap::new() };
    let mut reader = BufReader::new(file);
    let (mut offset, mut count) = (0, 0);
    while offset < length {
        let meta = next_block(&mut reader).ok().and_then(|request| describe(&request).ok());
        let end = reader.stream_position().map_err(fault)?;
        let Some(meta) = meta.filter(|meta| blocks::file_of(&meta.run_id, &writer) == name) else {
            warn!(path = %path.display(), lost_bytes = length - offset, "blocks cannot be read, they are not found any more");
            break;
        };
        let bytes = usize::try_from(end - offset).map_err(io::Error::other).map_err(fault)?;
        let payload = blocks::read(&path, offset, bytes).map_err(fault)?;
        let run = addition.note_run(&meta, &payload)?;
        addition.name_block(run, id, 0, (offset, end - offset), &meta)?;
        (offset, count) = (end, count + 1);
    }
    Ok(count)
}

/// Decompresses one frame, and leaves the reader behind it.
fn next_block(reader: &mut BufReader<File>) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(reader)?.single_frame();
    decoder.take(MAX_BLOCK_BYTES + 1).read_to_end(&mut request)?;
    if request.len() as u64 > MAX_BLOCK_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the block is larger than any block may be"));
    }
    Ok(request)
}

/// What a batch's description said of it.
fn describe(request: &[u8]) -> Result<BatchMeta, Malformed> {
    let mut records_by_range = vec![0; Severity::RANGES];
    let mut events_by_range = vec![0; Severity::RANGES];
    let mut meta = BatchMeta {
        uncompressed_bytes: u32::try_from(request.len()).unwrap_or(u32::MAX),
        first_time_unix_nano: u64::MAX,
        ..BatchMeta::default()
    };
    for resource in requests_resources(request) {
        let resource = resource?;
        for attribute in resource.attributes() {
            if let ("ml.run.id", Value::String(id)) = attribute? {
                id.clone_into(&mut meta.run_id);
            }
        }
        for scope in resource.scopes() {
            for record in scope?.records() {
                let record = record?;
                let range = record.severity.range();
                meta.records += 1;
                records_by_range[range] += 1;
                if !record.event_name.is_empty() {
                    meta.has_events = true;
                    events_by_range[range] += 1;
                }
                meta.first_time_unix_nano = meta.first_time_unix_nano.min(record.best_time());
                meta.last_time_unix_nano = meta.last_time_unix_nano.max(record.best_time());
            }
        }
    }
    meta.records_by_range = records_by_range;
    if meta.has_events {
        meta.events_by_range = events_by_range;
    }
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        Query, Store,
        samples::{WRITER, batch, end, line, start},
    };

    /// A store with two runs, one of which has ended, and what it says of them.
    fn filled(dir: &Path) -> Vec<String> {
        let store = Store::open(dir).unwrap();
        let runs = [
            ("a", vec![start(1), line(2, Severity::INFO, "one")]),
            ("b", vec![line(3, Severity::WARN, "two")]),
            ("a", vec![line(4, Severity::ERROR, "three"), end(5, "failure", 3)]),
        ];
        for (seq, (run, samples)) in (1..).zip(&runs) {
            let (meta, payload) = batch(run, samples);
            store.append(WRITER, &[(seq, &meta, &payload)]).unwrap();
        }
        told(&store)
    }

    fn told(store: &Store) -> Vec<String> {
        let reader = store.reader();
        let mut told: Vec<String> = reader.runs(10).unwrap().iter().map(|run| format!("{run:?}")).collect();
        for run in ["a", "b"] {
            let lines = reader.logs(&Query::of(run)).unwrap().lines;
            told.extend(lines.iter().map(|line| line.body.to_string()));
        }
        told
    }

    #[test]
    fn q17_a_damaged_or_missing_index_is_made_again_and_says_the_same() {
        let damages: [fn(&Path); 5] = [
            |path| fs::remove_file(path).unwrap(),
            |path| fs::write(path, b"").unwrap(),
            |path| fs::write(path, b"not an index at all, and longer than a header").unwrap(),
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[..16].fill(0xee);
                fs::write(path, bytes).unwrap();
            },
            |path| File::options().write(true).open(path).unwrap().set_len(700).unwrap(),
        ];
        for (number, damage) in damages.iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let expected = filled(dir.path());
            damage(&dir.path().join("index.sqlite"));
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(told(&store), expected, "damage {number}");
            assert_eq!(dir.path().join("index.damaged").exists(), number > 1, "damage {number}");
        }
    }

    #[test]
    fn q17_batches_that_come_again_after_it_are_stored_once_and_new_ones_behind_the_old() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        fs::remove_file(dir.path().join("index.sqlite")).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let again = batch("a", &[line(4, Severity::ERROR, "three"), end(5, "failure", 3)]);
        let new = batch("a", &[line(6, Severity::INFO, "four")]);
        let appended = store.append(WRITER, &[(3, &again.0, &again.1), (4, &new.0, &new.1)]).unwrap();
        assert_eq!((appended.stored, appended.repeated), (1, 1));
        let lines = store.reader().logs(&Query::of("a")).unwrap().lines;
        let bodies: Vec<_> = lines.iter().map(|line| line.body.to_string()).collect();
        assert_eq!(bodies, ["run started", "one", "three", "run ended", "four"]);
    }

    #[test]
    fn q17_an_index_whose_damage_shows_only_when_it_is_written_to_is_made_again_then() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let path = dir.path().join("index.sqlite");
        let mut bytes = fs::read(&path).unwrap();
        bytes[4096..].fill(0xee);
        fs::write(&path, bytes).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (meta, payload) = batch("b", &[line(6, Severity::INFO, "four")]);
        assert_eq!(store.append(WRITER, &[(4, &meta, &payload)]).unwrap().stored, 1);
        assert_eq!(told(&store)[2..], ["run started", "one", "three", "run ended", "two", "four"]);
    }

    #[test]
    fn q17_a_torn_end_is_left_alone_and_what_comes_is_stored_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let expected = filled(dir.path());
        let (_, payload) = batch("b", &[line(9, Severity::INFO, "torn")]);
        let name = blocks::file_of("b", &WRITER);
        let file = File::options().append(true).open(dir.path().join(name)).unwrap();
        io::Write::write_all(&mut &file, &payload[..payload.len() / 2]).unwrap();
        fs::remove_file(dir.path().join("index.sqlite")).unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(told(&store), expected);
        let (meta, payload) = batch("b", &[line(9, Severity::INFO, "whole")]);
        store.append(WRITER, &[(4, &meta, &payload)]).unwrap();
        let answer = store.reader().logs(&Query::of("b")).unwrap();
        assert_eq!((answer.lines.len(), answer.damaged_blocks), (2, 0));
    }
}
