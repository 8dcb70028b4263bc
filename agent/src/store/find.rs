//! Which runs there are.

use runlog_proto::v1;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{
    ReadError, Reader,
    cell::from_cell,
    index::{from_column, to_column},
    life::Status,
    logged::Note,
};

/// The word that stands for the run that was seen first most recently.
pub const LATEST: &str = "latest";

/// Candidates that an ambiguous beginning lists.
const LISTED: usize = 5;

pub(super) const RUN: &str =
    "SELECT run_id, experiment, host, status, exit_code, first_time, last_time, records, bytes,
 unspecified, trace, debug, info, warn, error, fatal, events,
 (SELECT min(complete) FROM receipts WHERE run = runs.id),
 (SELECT sum(records_kept) FROM receipts WHERE run = runs.id),
 name, parent, start_time, end_time, error_code, error_message FROM runs";

const NOTES_OF: &str = "SELECT kind, key, value FROM notes WHERE run = (SELECT id FROM runs WHERE run_id = ?1)";

/// No run, or more than one, is meant by a word.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is none.
    #[error("no run begins with {0:?}; `runlog runs` lists them")]
    Unknown(String),
    /// There are several; the most recent are listed.
    #[error("{word:?} begins more than one run: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        word: String,
        /// The ids of some of them, the newest first; the last is "…" if there are more.
        candidates: Vec<String>,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Reader {
    /// The runs, in the order in which they were first seen, the newest first, at most `limit`.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn runs(&self, limit: usize) -> Result<Vec<v1::Run>, ReadError> {
        self.list(&RunFilter { limit, ..RunFilter::default() })
    }

    /// The runs that a filter lets through, in the order in which they were first seen, the newest first.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn list(&self, filter: &RunFilter) -> Result<Vec<v1::Run>, ReadError> {
        self.ask(|index| {
            let (condition, values) = filter.condition();
            let mut rows = index
                .prepare_cached(&format!(
                    "{RUN} WHERE {condition} ORDER BY id DESC LIMIT {}",
                    to_column(filter.limit as u64)
                ))
                .map_err(ReadError::from)?;
            let runs = rows.query_map(params_from_iter(values), run).map_err(ReadError::from)?;
            let runs = runs.collect::<Result<Vec<_>, _>>().map_err(ReadError::from)?;
            runs.into_iter().map(|run| with_notes(index, run).map_err(ReadError::from)).collect()
        })
    }

    /// The run that a word means, with its receipts: its id, the beginning of its id and of no other's, or [`LATEST`].
    ///
    /// # Errors
    /// If it means none or several, or the index cannot be read.
    pub fn find(&self, word: &str) -> Result<v1::Run, FindError> {
        let fault = |fault: rusqlite::Error| FindError::Read(fault.into());
        self.ask(|index| {
            let exact = index
                .prepare_cached(&format!("{RUN} WHERE run_id = ?1"))
                .and_then(|mut rows| rows.query_row([word], run).optional())
                .map_err(fault)?;
            if let Some(run) = exact {
                return with_receipts(index, with_notes(index, run).map_err(fault)?).map_err(fault);
            }
            let mut rows = index
                .prepare_cached(&format!(
                    "{RUN} WHERE ?1 OR substr(run_id, 1, length(?2)) = ?2 ORDER BY id DESC LIMIT ?3"
                ))
                .map_err(fault)?;
            let is_latest = word == LATEST;
            let limit = if is_latest { 1 } else { LISTED + 1 };
            let mut found: Vec<v1::Run> = rows
                .query_map(params![is_latest, word, to_column(limit as u64)], run)
                .and_then(Iterator::collect)
                .map_err(fault)?;
            match found.len() {
                0 => Err(FindError::Unknown(word.to_owned())),
                1 => with_receipts(index, with_notes(index, found.remove(0)).map_err(fault)?).map_err(fault),
                several => {
                    let mut candidates: Vec<String> = found.into_iter().take(LISTED).map(|run| run.run_id).collect();
                    if several > LISTED {
                        candidates.push("…".to_owned());
                    }
                    Err(FindError::Ambiguous { word: word.to_owned(), candidates })
                }
            }
        })
    }
}

/// Which runs are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those of this experiment.
    pub experiment: Option<String>,
    /// Only those that stand there.
    pub status: Option<String>,
    /// Only the children of this run.
    pub parent: Option<String>,
    /// Only those with all of these tags, and with this value of them if one is given.
    pub tags: Vec<(String, Option<String>)>,
    /// Only those that were first seen before this one.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Default for RunFilter {
    /// All runs.
    fn default() -> Self {
        let [experiment, status, parent, before] = [const { None }; 4];
        Self { experiment, status, parent, tags: Vec::new(), before, limit: usize::MAX }
    }
}

impl RunFilter {
    /// The condition in SQL, and the values of its parameters.
    fn condition<'a>(&'a self) -> (String, Vec<&'a str>) {
        let (mut parts, mut values) = (vec!["true".to_owned()], Vec::<&str>::new());
        let mut put = |part: &str, value: &'a str| {
            parts.push(part.to_owned());
            values.push(value);
        };
        for (column, value) in [("experiment", &self.experiment), ("status", &self.status), ("parent", &self.parent)] {
            if let Some(value) = value {
                put(&format!("{column} = ?"), value);
            }
        }
        if let Some(before) = &self.before {
            put("id < (SELECT id FROM runs WHERE run_id = ?)", before);
        }
        for (key, value) in &self.tags {
            match value {
                None => put("id IN (SELECT run FROM notes WHERE kind = 0 AND key = ?)", key),
                Some(value) => {
                    put("id IN (SELECT run FROM notes WHERE kind = 0 AND key = ?", key);
                    put("CAST(value AS TEXT) = ?)", value);
                }
            }
        }
        (parts.join(" AND "), values)
    }
}

fn with_notes(index: &Connection, mut run: v1::Run) -> rusqlite::Result<v1::Run> {
    let mut question = index.prepare_cached(NOTES_OF)?;
    let mut notes = question.query([&run.run_id])?;
    while let Some(note) = notes.next()? {
        let kind: i64 = note.get(0)?;
        let all =
            [(Note::Tag, &mut run.tags), (Note::Parameter, &mut run.parameters), (Note::Property, &mut run.properties)];
        if let Some((_, kept)) = all.into_iter().find(|(known, _)| *known as i64 == kind) {
            kept.insert(note.get(1)?, from_cell(note.get_ref(2)?));
        }
    }
    Ok(run)
}

fn with_receipts(index: &Connection, mut run: v1::Run) -> rusqlite::Result<v1::Run> {
    let mut rows = index.prepare_cached(
        "SELECT receipt FROM receipts WHERE run = (SELECT id FROM runs WHERE run_id = ?1) ORDER BY id",
    )?;
    let texts = rows.query_map([&run.run_id], |row| row.get::<_, String>(0))?;
    for text in texts {
        // Written by `life.rs`; one that a later version wrote otherwise is left out.
        run.receipts.extend(serde_json::from_str::<v1::Receipt>(&text?));
    }
    Ok(run)
}

fn run(row: &Row<'_>) -> rusqlite::Result<v1::Run> {
    let number = |column: usize| row.get(column).map(from_column);
    let (complete, kept): (Option<bool>, Option<i64>) = (row.get(17)?, row.get(18)?);
    let status: String = row.get(3)?;
    let printed = number(7)?.saturating_sub(number(16)?);
    let complete = complete.zip(kept.map(from_column)).and_then(|(complete, kept)| {
        // Lines that come after a receipt will be in the next one.
        let may_go_on = complete && kept < printed && Status::from_column(&status).is_under_way();
        (!may_go_on).then_some(complete && kept == printed)
    });
    Ok(v1::Run {
        run_id: row.get(0)?,
        experiment: row.get(1)?,
        host: row.get(2)?,
        status,
        exit_code: row.get(4)?,
        first_time_unix_nano: number(5)?,
        last_time_unix_nano: number(6)?,
        records: number(7)?,
        stored_bytes: number(8)?,
        levels: Some([number(9)?, number(10)?, number(11)?, number(12)?, number(13)?, number(14)?, number(15)?].into()),
        events: number(16)?,
        complete,
        name: row.get(19)?,
        parent_run_id: row.get(20)?,
        start_time_unix_nano: number(21)?,
        end_time_unix_nano: number(22)?,
        error_code: row.get(23)?,
        error_message: row.get(24)?,
        ..v1::Run::default()
    })
}
