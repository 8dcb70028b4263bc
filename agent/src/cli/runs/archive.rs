//! `runlog runs export` and `import`: a run as one file.
//!
//! ```text
//! <run>.runlog.tar.gz        a gzipped tar archive, its entries in this order
//!   run.json                 `Head`: the version of this form, the archive's own id, and the run as `runlog runs show --json`
//!                            prints it
//!   blocks/00000000.zst      what the store keeps, as it is: zstd frames of one OTLP `ExportLogsServiceRequest` each
//!   logs.jsonl               the same as OTLP JSON, a request a line, as the Collector's file exporter writes it
//!   metrics.csv              metric, kind, time, step, column, value
//!   files/<name>             what the run has uploaded and is held here
//! ```
//!
//! `import` reads `run.json`, `blocks` and `files`, which hold everything: a run's metrics, tags and receipts are made from
//! its events. The rest is for other programs. JSON has no NaN: in `logs.jsonl` it is null.

use std::{
    env,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use runlog_proto::{
    v1::{self, Value},
    value::Kind,
};
use serde::{Deserialize, Serialize};
use tar::{Archive, Builder, Entry, Header};
use uuid::Uuid;

use crate::store::{Digest, FileError, MetricsQuery, Reader, Store, Stored};

/// The version of the form that is written, and the only one that is read.
const VERSION: u32 = 1;

/// No block of an archive is larger.
const MAX_BLOCK_BYTES: u64 = 64 << 20;

/// No head is larger.
const MAX_HEAD_BYTES: u64 = 64 << 20;

/// What stands first in an archive.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    /// A UUID.
    archive: String,
    run: v1::Run,
}

/// What was carried.
#[derive(Debug, Default, Serialize)]
pub struct Carried {
    /// The run.
    pub run_id: String,
    /// Its archive.
    pub archive: PathBuf,
    /// Blocks of its log.
    pub blocks: u64,
    /// Its files.
    pub files: u64,
}

/// Writes the run that a word means to an archive, beside it first, so that no half of one has its name.
///
/// # Errors
/// If there is no such run, it cannot be read, or the archive cannot be written or is there already.
pub fn export(reader: &Reader, word: &str, target: Option<&Path>) -> Result<Carried> {
    let run = reader.find(word)?;
    let target = target.map_or_else(|| named_after(&run.run_id), Path::to_owned);
    if target.try_exists().unwrap_or(false) {
        bail!("{} is there already; name another file with --output", target.display());
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let draft =
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("{} cannot be written", target.display()))?;
    let mut carried = Carried { run_id: run.run_id.clone(), archive: target.clone(), ..Carried::default() };
    let mut archive = Builder::new(GzEncoder::new(BufWriter::new(draft.as_file()), Compression::default()));
    write(&mut archive, reader, run, &mut carried)
        .and_then(|()| Ok(archive.into_inner()?.finish()?.flush()?))
        .and_then(|()| Ok(draft.as_file().sync_all()?))
        .with_context(|| format!("{} cannot be written", target.display()))?;
    draft.persist_noclobber(&target).with_context(|| format!("{} cannot be written", target.display()))?;
    Ok(carried)
}

/// `a/b` is a run id, and no file.
fn named_after(run_id: &str) -> PathBuf {
    let is_plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let name: String = run_id.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    PathBuf::from(format!("{}.runlog.tar.gz", name.trim_start_matches('.')))
}

fn write<W: Write>(archive: &mut Builder<W>, reader: &Reader, run: v1::Run, carried: &mut Carried) -> Result<()> {
    let run_id = run.run_id.clone();
    let head = Head { version: VERSION, archive: Uuid::new_v4().to_string(), run };
    append(archive, "run.json", &serde_json::to_vec_pretty(&head)?)?;
    // The lines are as many times larger than the blocks as they compress well.
    let mut lines = BufWriter::new(tempfile::tempfile()?);
    for block in reader.blocks(&run_id)? {
        let stored = block.read()?;
        append(archive, &format!("blocks/{:08}.zst", carried.blocks), &stored)?;
        write_line(&mut lines, &block, &stored)?;
        carried.blocks += 1;
    }
    let mut lines = lines.into_inner().map_err(io::IntoInnerError::into_error)?;
    append_file(archive, "logs.jsonl", &mut lines)?;
    append(archive, "metrics.csv", &metrics(&reader.metrics(&MetricsQuery::of(&run_id))?)?)?;
    for file in reader.files(&run_id)?.into_iter().filter(|file| file.is_held) {
        let mut bytes = reader.open_file(&Digest::parse(&file.sha256)?)?;
        append_file(archive, &format!("files/{}", file.name), &mut bytes)?;
        carried.files += 1;
    }
    Ok(())
}

fn write_line(lines: &mut impl Write, block: &Stored, stored: &[u8]) -> Result<()> {
    let request = ExportLogsServiceRequest::decode(&block.request(stored)?[..])?;
    serde_json::to_writer(&mut *lines, &request)?;
    Ok(lines.write_all(b"\n")?)
}

fn append<W: Write>(archive: &mut Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(bytes.len() as u64), name, bytes)
}

fn append_file<W: Write>(archive: &mut Builder<W>, name: &str, file: &mut File) -> io::Result<()> {
    let size = file.seek(io::SeekFrom::End(0))?;
    file.rewind()?;
    archive.append_data(&mut header(size), name, file.take(size))
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header
}

/// The points of all metrics, one to a line; a row of a table is a line for each of its columns.
fn metrics(logged: &v1::GetMetricsResponse) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["metric", "kind", "time_unix_nano", "step", "column", "value"])?;
    for (name, metric) in &logged.metrics {
        for (at, time) in metric.times_unix_nano.iter().enumerate() {
            let step = metric.steps.get(at).map(plain).unwrap_or_default();
            let columns =
                metric.columns.iter().filter_map(|(column, values)| Some((&column[..], values.values.get(at)?)));
            for (column, value) in metric.values.get(at).map(|value| ("", value)).into_iter().chain(columns) {
                csv.write_record([name, &metric.kind, &time.to_string(), &step, column, &plain(value)])?;
            }
        }
    }
    Ok(csv.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

/// As a table has it: nothing is empty.
fn plain(value: &Value) -> String {
    match &value.kind {
        None => String::new(),
        Some(Kind::Text(text)) => text.clone(),
        Some(Kind::Number(number)) => number.to_string(),
        Some(_) => value.to_string(),
    }
}

/// Stores the run of an archive. One that is here already stays as it is; an import that was interrupted goes on.
///
/// # Errors
/// If it is no such archive, the run is here from elsewhere, or it cannot be stored.
pub fn import(store: &Store, path: &Path) -> Result<Carried> {
    let opened = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(opened)));
    read(&mut archive, store, path).with_context(|| format!("{} was not imported", path.display()))
}

fn read(archive: &mut Archive<impl Read>, store: &Store, path: &Path) -> Result<Carried> {
    const NO_ARCHIVE: &str = "it is no archive of a run; `runlog runs export` writes them";
    let mut entries = archive.entries()?;
    let mut first = entries.next().context(NO_ARCHIVE)?.context(NO_ARCHIVE)?;
    if *first.path_bytes() != *b"run.json" {
        bail!(NO_ARCHIVE);
    }
    let head: Head = serde_json::from_slice(&whole(&mut first, MAX_HEAD_BYTES)?).context(NO_ARCHIVE)?;
    if head.version != VERSION {
        bail!("its form has version {}, this runlog reads {VERSION}; use a newer runlog", head.version);
    }
    let id = Uuid::parse_str(&head.archive).context(NO_ARCHIVE)?;
    let mut carried = Carried { run_id: head.run.run_id, archive: path.to_owned(), ..Carried::default() };
    for entry in entries {
        let mut entry = entry.context("it ends before its end, or is damaged")?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match name.split_once('/') {
            Some(("blocks", _)) => {
                let block = whole(&mut entry, MAX_BLOCK_BYTES)?;
                store
                    .adopt(id, &carried.run_id, carried.blocks, &block)
                    .with_context(|| format!("its entry {name}"))?;
                carried.blocks += 1;
            }
            Some(("files", name)) => {
                keep(store, entry).with_context(|| format!("its file {name}"))?;
                carried.files += 1;
            }
            _ => {}
        }
    }
    Ok(carried)
}

fn whole(entry: &mut Entry<'_, impl Read>, most: u64) -> Result<Vec<u8>> {
    if entry.size() > most {
        bail!("an entry of it has {} bytes, more than any may have", entry.size());
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).context("it ends before its end, or is damaged")?;
    Ok(bytes)
}

/// Keeps the bytes of a file. Which run has it under which name stands in the run's blocks.
fn keep(store: &Store, mut entry: Entry<'_, impl Read>) -> Result<()> {
    let mut draft = tempfile::tempfile()?;
    io::copy(&mut entry, &mut draft).context("it ends before its end, or is damaged")?;
    draft.rewind()?;
    let (digest, _) = Digest::of(&draft)?;
    draft.rewind()?;
    let mut upload = store.upload(&digest, None)?;
    upload.write_all_of(draft, |source| FileError::Io { path: env::temp_dir(), source })?;
    upload.finish()?;
    Ok(())
}
