//! The lines of a run.

use std::{fmt, str::FromStr};

use regex::Regex;
use runlog_proto::v1;
use rusqlite::{Connection, OptionalExtension, params};

use crate::record::{
    Severity, UnixNanos,
    wire::{Malformed, RecordView, ResourceView, requests_resources},
};

use super::{
    ReadError, Reader,
    blocks::{BLOCK, Block},
    index::to_column,
    line,
};

/// No answer has more lines.
pub const MAX_LINES: usize = 10_000;

/// An answer ends after about so many bytes of lines.
const PAGE_BYTES: usize = 8 << 20;

/// An answer ends after so many bytes of decompressed blocks, whatever was found.
const SCAN_BYTES: u64 = 256 << 20;

/// A record's place in its run. It may name one that does not exist: a place between records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    block: i64,
    index: u32,
}

/// A text that no answer contained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cursor; use one that an earlier answer contained")]
pub struct UnknownCursor(pub String);

impl Cursor {
    const FIRST: Self = Self { block: 0, index: 0 };
    const LAST: Self = Self { block: i64::MAX, index: u32::MAX };

    /// The nearest place after this one.
    pub(crate) const fn next(self) -> Self {
        match self.index.checked_add(1) {
            Some(index) => Self { index, ..self },
            None => Self { block: self.block.saturating_add(1), index: 0 },
        }
    }

    /// The nearest place before this one: `after` it begins what `before` this one ended.
    pub(crate) const fn previous(self) -> Self {
        match self.index.checked_sub(1) {
            Some(index) => Self { index, ..self },
            // There is no block 0, so nothing lies before its places.
            None if self.block == 0 => self,
            None => Self { block: self.block - 1, index: u32::MAX },
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.block, self.index)
    }
}

impl FromStr for Cursor {
    type Err = UnknownCursor;

    fn from_str(text: &str) -> Result<Self, UnknownCursor> {
        text.split_once('.')
            .and_then(|(block, index)| Some(Self { block: block.parse().ok()?, index: index.parse().ok()? }))
            .filter(|cursor| cursor.block >= 0)
            .ok_or_else(|| UnknownCursor(text.to_owned()))
    }
}

/// Which end of the matching lines is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// The oldest.
    First,
    /// The newest.
    Last,
}

/// Whether records that are no lines of the training are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// All records.
    Shown,
    /// Only those without an `event_name`.
    Hidden,
}

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub struct Query {
    /// The run's full id.
    pub run: String,
    /// No lower level; a line without a level counts as info.
    pub min_level: Severity,
    /// Only bodies in which this is found.
    pub grep: Option<Regex>,
    /// Not before this time.
    pub since: Option<UnixNanos>,
    /// Before this time.
    pub until: Option<UnixNanos>,
    /// Only what comes after this.
    pub after: Option<Cursor>,
    /// Only what comes before this.
    pub before: Option<Cursor>,
    /// Which end to take.
    pub take: Take,
    /// At most so many lines; 1 to [`MAX_LINES`].
    pub limit: usize,
    /// Whether events are among them.
    pub events: Events,
}

impl Query {
    /// The oldest lines of a run, without any condition.
    #[must_use]
    pub fn of(run: &str) -> Self {
        Self {
            run: run.to_owned(),
            min_level: Severity::UNSPECIFIED,
            grep: None,
            since: None,
            until: None,
            after: None,
            before: None,
            take: Take::First,
            limit: MAX_LINES,
            events: Events::Shown,
        }
    }

    fn wants(&self, record: &RecordView<'_>) -> bool {
        let level = if record.severity == Severity::UNSPECIFIED { Severity::INFO } else { record.severity };
        let time = record.best_time();
        level >= self.min_level
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && (self.events == Events::Shown || record.event_name.is_empty())
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(&line::body(record)))
    }
}

impl Reader {
    /// The lines that a query asks for, in the order of the run. A run that does not exist has none.
    ///
    /// One answer is bounded in lines, in bytes and in what is searched for it; `more` says that it stopped there,
    /// and the same query with `after = next`, or `before = previous` for [`Take::Last`], goes on. At any time one
    /// block is in memory beside the answer.
    ///
    /// # Errors
    /// If the index cannot be read. A block that cannot be read is passed over and counted in the answer.
    pub fn logs(&self, query: &Query) -> Result<v1::QueryLogsResponse, ReadError> {
        self.ask(|index| Walk { reader: self, query, page: Page::default() }.walk(index))
    }
}

/// A record that a query wants.
struct Hit<'a> {
    index: u32,
    resource: ResourceView<'a>,
    scope: &'a str,
    record: RecordView<'a>,
}

/// An answer in the making; its lines are in the order in which they were found.
#[derive(Default)]
struct Page {
    lines: Vec<v1::LogLine>,
    bytes: usize,
    scanned: u64,
    damaged_blocks: u32,
}

struct Walk<'a> {
    reader: &'a Reader,
    query: &'a Query,
    page: Page,
}
impl Walk<'_> {
    fn walk(mut self, index: &Connection) -> Result<v1::QueryLogsResponse, ReadError> {
        let newest: i64 = index
            .prepare_cached("SELECT max(id) FROM blocks WHERE run = (SELECT id FROM runs WHERE run_id = ?1)")?
            .query_row([&self.query.run], |row| row.get(0))
            .optional()?
            .flatten()
            .unwrap_or(0);
        let low = self.query.after.map_or(Cursor::FIRST, Cursor::next);
        let high =
            self.query.before.map_or(Cursor::LAST, Cursor::previous).min(Cursor { block: newest, ..Cursor::LAST });
        let stopped = self.pass(index, low, high)?;
        let (previous, next) = match self.query.take {
            Take::First => (low, stopped.unwrap_or(high)),
            Take::Last => (stopped.unwrap_or(low), high),
        };
        if self.query.take == Take::Last {
            self.page.lines.reverse();
        }
        Ok(v1::QueryLogsResponse {
            lines: self.page.lines,
            next: next.to_string(),
            previous: previous.to_string(),
            more: stopped.is_some(),
            damaged_blocks: self.page.damaged_blocks,
        })
    }

    /// Collects lines from `low` to `high`, both included. If it stops early it tells the last place it has seen.
    fn pass(&mut self, index: &Connection, low: Cursor, high: Cursor) -> Result<Option<Cursor>, ReadError> {
        let mut rows = index.prepare_cached(&self.sql())?;
        let mut rows = rows.query(params![
            self.query.run,
            low.block,
            high.block,
            self.query.since.map_or(0, to_column),
            self.query.until.map_or(i64::MAX, to_column),
        ])?;
        let mut seen = None;
        while let Some(row) = rows.next()? {
            if self.page.scanned >= SCAN_BYTES {
                return Ok(seen);
            }
            let block = Block::of(self.reader.dir(), row)?;
            let full = self.search(&block, low, high);
            if full.is_some() {
                return Ok(full);
            }
            let index = if self.query.take == Take::First { u32::MAX } else { 0 };
            seen = Some(Cursor { block: block.id, index });
        }
        Ok(None)
    }

    /// The blocks that can contain what is wanted, in the order in which to look.
    fn sql(&self) -> String {
        // Records of unspecified level are counted among the info ones by `wants`, and batches whose counts are not
        // known among the unspecified: their blocks are always opened.
        let levels = match self.query.min_level.range() {
            0 | 1 => "",
            2 => "AND unspecified + debug + info + warn + error + fatal > 0",
            3 => "AND unspecified + info + warn + error + fatal > 0",
            4 => "AND unspecified + warn + error + fatal > 0",
            5 => "AND unspecified + error + fatal > 0",
            _ => "AND unspecified + fatal > 0",
        };
        let order = if self.query.take == Take::First { "ASC" } else { "DESC" };
        format!(
            "{BLOCK} WHERE run = (SELECT id FROM runs WHERE run_id = ?1) AND blocks.id BETWEEN ?2 AND ?3
             AND last_time >= ?4 AND first_time < ?5 {levels} ORDER BY blocks.id {order}"
        )
    }

    /// Adds the lines of one block. If the page is full then, it tells the last line's place.
    fn search(&mut self, block: &Block, low: Cursor, high: Cursor) -> Option<Cursor> {
        let request = block.read().and_then(|stored| block.request(&stored));
        let request = match request {
            Ok(request) => request,
            Err(fault) => {
                self.damaged(block, &fault);
                return None;
            }
        };
        self.page.scanned += request.len() as u64;
        let mut hits = Vec::new();
        let range = |index: u32| (low..=high).contains(&Cursor { block: block.id, index });
        if let Err(fault) = find_hits(&request, |index, record| range(index) && self.query.wants(record), &mut hits) {
            self.damaged(block, &fault);
        }
        if self.query.take == Take::Last {
            hits.reverse();
        }
        let limit = self.query.limit.clamp(1, MAX_LINES);
        for hit in &hits {
            let cursor = Cursor { block: block.id, index: hit.index };
            let line = line::line(cursor, &hit.resource, hit.scope, &hit.record);
            self.page.bytes += hit.record.bytes.len();
            self.page.lines.push(line);
            if self.page.lines.len() >= limit || self.page.bytes >= PAGE_BYTES {
                return Some(cursor);
            }
        }
        None
    }

    fn damaged(&mut self, block: &Block, fault: &dyn fmt::Display) {
        self.page.damaged_blocks += 1;
        tracing::warn!(path = %block.path.display(), offset = block.offset, %fault, "a stored block cannot be read");
    }
}

/// Adds the wanted records of a request, up to the first fault.
fn find_hits<'a>(
    request: &'a [u8],
    wanted: impl Fn(u32, &RecordView<'_>) -> bool,
    hits: &mut Vec<Hit<'a>>,
) -> Result<(), Malformed> {
    let mut index = 0;
    for resource in requests_resources(request) {
        let resource = resource?;
        for scope in resource.scopes() {
            let scope = scope?;
            for record in scope.records() {
                let record = record?;
                if wanted(index, &record) {
                    hits.push(Hit { index, resource, scope: scope.name, record });
                }
                index += 1;
            }
        }
    }
    Ok(())
}
