//! What the events of a run say, for the tables of the index: metrics, tags, files.
//!
//! The events are what is kept; the tables can be made again from them in any order of the blocks. So a later tag
//! and an earlier parameter win by their times, points are ordered by theirs, and an event that a client sent twice is
//! known by its uid (`seen.rs`).

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value},
    logs::v1::LogRecord,
};
use prost::Message;
use runlog_proto::{
    v1::{self, Value, Values},
    value::Kind,
};
use rusqlite::{Transaction, params};

use crate::record::{
    UnixNanos,
    wire::{self, Malformed, RecordView, requests_resources},
};

use super::{
    cell::to_cell,
    index::{from_column, to_column},
    seen::Seen,
    thinned::{Content, Point, Stretch},
};

/// What a tag, a parameter or a property is in the table of notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    Tag = 0,
    Parameter = 1,
    Property = 2,
}

/// What was logged under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    Scalar,
    List,
    Row,
    Table,
}

impl MetricKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::List => "list",
            Self::Row => "row",
            Self::Table => "table",
        }
    }

    /// Whether points are rows of a table, and not values.
    pub(super) fn has_rows(kind: &str) -> bool {
        [Self::Row, Self::Table].iter().any(|rows| rows.as_str() == kind)
    }
}

/// Why what a request says is not in the tables.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAdded {
    /// The request cannot be read. What stands before the fault is added.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The index cannot be changed.
    #[error(transparent)]
    Index(#[from] rusqlite::Error),
}

/// Adds what a request with events says of the run in that row.
pub(super) fn add(change: &Transaction<'_>, run: i64, request: &[u8]) -> Result<(), NotAdded> {
    let mut tables = Tables { change, run, metrics: HashMap::new(), seen: Seen::default() };
    let read = tables.add_request(request);
    tables.finish()?;
    read
}

struct Tables<'a> {
    change: &'a Transaction<'a>,
    run: i64,
    metrics: HashMap<String, Metric>,
    seen: Seen,
}

struct Metric {
    id: i64,
    has_rows: bool,
    points: u64,
    /// What the last points are gathered in for the thinned copy.
    stretch: Option<Stretch>,
}

/// What all metrics' events say.
#[derive(Default)]
struct Head<'a> {
    name: &'a str,
    description: &'a str,
    uid: &'a str,
    step: Option<i64>,
}

impl<'a> Head<'a> {
    fn read(record: &RecordView<'a>) -> Result<Self, Malformed> {
        let mut head = Self::default();
        for attribute in record.attributes() {
            match attribute? {
                ("ml.metric.name" | "ml.table.name", wire::Value::String(name)) => head.name = name,
                ("ml.metric.description", wire::Value::String(text)) => head.description = text,
                ("log.record.uid", wire::Value::String(uid)) => head.uid = uid,
                ("ml.step", wire::Value::Int(step)) => head.step = Some(step),
                _ => {}
            }
        }
        Ok(head)
    }
}

impl Tables<'_> {
    fn add_request(&mut self, request: &[u8]) -> Result<(), NotAdded> {
        for resource in requests_resources(request) {
            for scope in resource?.scopes() {
                for record in scope?.records() {
                    self.add_record(&record?)?;
                }
            }
        }
        Ok(())
    }

    fn add_record(&mut self, record: &RecordView<'_>) -> Result<(), NotAdded> {
        match record.event_name {
            "ml.metric" => self.scalar(record),
            "ml.list" => self.list(record),
            "ml.row" => self.row(record),
            "ml.table" => self.table(record),
            "ml.artifact" => self.artifact(record),
            "ml.run.tag" => self.note(record, Note::Tag, ["ml.run.tag.key", "ml.run.tag.value"]),
            "ml.run.param" => self.note(record, Note::Parameter, ["ml.run.param.key", "ml.run.param.value"]),
            "ml.run.property" => self.note(record, Note::Property, ["ml.run.property.key", "ml.run.property.value"]),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, record: &RecordView<'_>) -> Result<(), NotAdded> {
        let head = Head::read(record)?;
        let mut value = Value::NULL;
        for attribute in record.attributes() {
            if let ("ml.metric.value" | "ml.metric.text", found) = attribute? {
                value = value_of(found);
            }
        }
        self.points(&head, MetricKind::Scalar, record.best_time(), [Content::Value(value)])
    }

    fn list(&mut self, record: &RecordView<'_>) -> Result<(), NotAdded> {
        let head = Head::read(record)?;
        let Some(any_value::Value::ArrayValue(array)) = attribute_of(record, "ml.list.values")? else { return Ok(()) };
        let values = array.values.into_iter().map(|value| Content::Value(value_from(value)));
        self.points(&head, MetricKind::List, record.best_time(), values)
    }

    fn row(&mut self, record: &RecordView<'_>) -> Result<(), NotAdded> {
        let head = Head::read(record)?;
        let Some(any_value::Value::KvlistValue(columns)) = attribute_of(record, "ml.row")? else { return Ok(()) };
        let columns = columns.values.into_iter().map(|pair| (pair.key, pair.value.map_or(Value::NULL, value_from)));
        self.points(&head, MetricKind::Row, record.best_time(), [Content::Row(columns.collect())])
    }

    fn table(&mut self, record: &RecordView<'_>) -> Result<(), NotAdded> {
        let head = Head::read(record)?;
        let mut columns = BTreeMap::<String, Values>::new();
        for attribute in record.attributes() {
            if let ("ml.table.data", wire::Value::String(json)) = attribute? {
                // Others may write such events too; what cannot be read has no rows.
                columns = serde_json::from_str(json).unwrap_or_default();
            }
        }
        let rows = columns.values().map(|column| column.values.len()).max().unwrap_or(0);
        let row = |at: usize| {
            let cell = |(name, column): (&String, &Values)| (name.clone(), column.values.get(at).cloned());
            Content::Row(columns.iter().map(cell).map(|(name, value)| (name, value.unwrap_or_default())).collect())
        };
        self.points(&head, MetricKind::Table, record.best_time(), (0..rows).map(row))
    }

    fn points(
        &mut self,
        head: &Head<'_>,
        kind: MetricKind,
        time: UnixNanos,
        points: impl IntoIterator<Item = Content>,
    ) -> Result<(), NotAdded> {
        if head.name.is_empty() || self.seen.see(self.change, self.run, head.uid)? {
            return Ok(());
        }
        let (change, run) = (self.change, self.run);
        let metric = match self.metrics.entry(head.name.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(Metric::open(change, run, head, kind)?),
        };
        if metric.has_rows != MetricKind::has_rows(kind.as_str()) {
            return Ok(());
        }
        let mut insert =
            change.prepare_cached("INSERT INTO points (metric, time, seq, step, value) VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for content in points {
            metric.points += 1;
            let point = Point { time, seq: metric.points, step: head.step, content };
            insert.execute(params![
                metric.id,
                to_column(time),
                to_column(point.seq),
                point.step,
                point.content.to_cell()
            ])?;
            metric.thin(change, point)?;
        }
        Ok(())
    }

    fn note(&self, record: &RecordView<'_>, note: Note, [key_name, value_name]: [&str; 2]) -> Result<(), NotAdded> {
        let (mut key, mut value) = ("", Value::NULL);
        for attribute in record.attributes() {
            match attribute? {
                (name, wire::Value::String(text)) if name == key_name => key = text,
                (name, found) if name == value_name => value = value_of(found),
                _ => {}
            }
        }
        if key.is_empty() {
            return Ok(());
        }
        // The last tag wins, and the first of all else. Of two at the same time the later one wins, or the earlier.
        let wins = if note == Note::Tag { "excluded.time >= time" } else { "excluded.time < time" };
        self.change
            .prepare_cached(&format!(
                "INSERT INTO notes (run, kind, key, value, time) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (run, kind, key) DO UPDATE SET value = excluded.value, time = excluded.time WHERE {wins}"
            ))?
            .execute(params![self.run, note as i64, key, to_cell(&value), to_column(record.best_time())])?;
        Ok(())
    }

    fn artifact(&self, record: &RecordView<'_>) -> Result<(), NotAdded> {
        let artifact = artifact(record)?;
        if artifact.name.is_empty() {
            return Ok(());
        }
        self.change
            .prepare_cached(
                "INSERT INTO artifacts (run, name, time, kind, sha256, size, media_type, description, schema_type,
                 width, height) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (run, name) DO UPDATE SET time = excluded.time, kind = excluded.kind,
                 sha256 = excluded.sha256, size = excluded.size, media_type = excluded.media_type,
                 description = excluded.description, schema_type = excluded.schema_type,
                 width = excluded.width, height = excluded.height WHERE excluded.time >= time",
            )?
            .execute(params![
                self.run,
                artifact.name,
                to_column(record.best_time()),
                artifact.kind,
                artifact.sha256,
                to_column(artifact.size),
                artifact.media_type,
                artifact.description,
                artifact.schema_type,
                artifact.width,
                artifact.height,
            ])?;
        Ok(())
    }

    /// Writes down how far each metric and each call has come.
    fn finish(self) -> rusqlite::Result<()> {
        for metric in self.metrics.values() {
            self.change
                .prepare_cached("UPDATE metrics SET points = ?2 WHERE id = ?1")?
                .execute(params![metric.id, to_column(metric.points)])?;
            metric.stretch.iter().try_for_each(|stretch| stretch.write(self.change, metric.id))?;
        }
        self.seen.finish(self.change, self.run)
    }
}

impl Metric {
    fn open(change: &Transaction<'_>, run: i64, head: &Head<'_>, kind: MetricKind) -> rusqlite::Result<Self> {
        change
            .prepare_cached(
                "INSERT INTO metrics (run, name, kind, description) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (run, name) DO UPDATE SET
                 description = CASE description WHEN '' THEN excluded.description ELSE description END
                 RETURNING id, kind, points",
            )?
            .query_row(params![run, head.name, kind.as_str(), head.description], |row| {
                let kind: String = row.get(1)?;
                let points = row.get(2).map(from_column)?;
                Ok(Self { id: row.get(0)?, has_rows: MetricKind::has_rows(&kind), points, stretch: None })
            })
    }

    /// Adds a point to the thinned copy.
    fn thin(&mut self, change: &Transaction<'_>, point: Point) -> rusqlite::Result<()> {
        let stretch = match &mut self.stretch {
            Some(stretch) if stretch.is_of(point.seq) => stretch,
            other => {
                other.iter().try_for_each(|full| full.write(change, self.id))?;
                other.insert(Stretch::open(change, self.id, point.seq, self.has_rows)?)
            }
        };
        stretch.take(point);
        Ok(())
    }
}

fn artifact(record: &RecordView<'_>) -> Result<v1::Artifact, Malformed> {
    let mut artifact = v1::Artifact::default();
    for attribute in record.attributes() {
        match attribute? {
            ("ml.artifact.name", wire::Value::String(text)) => text.clone_into(&mut artifact.name),
            ("ml.artifact.kind", wire::Value::String(text)) => text.clone_into(&mut artifact.kind),
            ("ml.artifact.sha256", wire::Value::String(text)) => text.clone_into(&mut artifact.sha256),
            ("ml.artifact.media_type", wire::Value::String(text)) => text.clone_into(&mut artifact.media_type),
            ("ml.artifact.description", wire::Value::String(text)) => text.clone_into(&mut artifact.description),
            ("ml.artifact.schema_type", wire::Value::String(text)) => text.clone_into(&mut artifact.schema_type),
            ("ml.artifact.size", wire::Value::Int(size)) => artifact.size = size.try_into().unwrap_or(0),
            ("ml.artifact.width", wire::Value::Int(width)) => artifact.width = width.try_into().ok(),
            ("ml.artifact.height", wire::Value::Int(height)) => artifact.height = height.try_into().ok(),
            _ => {}
        }
    }
    Ok(artifact)
}

fn value_of(value: wire::Value<'_>) -> Value {
    match value {
        wire::Value::String(text) => Kind::Text(text.to_owned()).into(),
        wire::Value::Int(number) => Kind::Integer(number).into(),
        wire::Value::Bool(truth) => Kind::Bool(truth).into(),
        wire::Value::Double(number) => Kind::Number(number).into(),
        wire::Value::Bytes(_) | wire::Value::Other => Value::NULL,
    }
}

/// An attribute that holds others, which are decoded.
fn attribute_of(record: &RecordView<'_>, name: &str) -> Result<Option<any_value::Value>, Malformed> {
    let record = LogRecord::decode(record.bytes).map_err(|_| Malformed { at: 0 })?;
    let found = record.attributes.into_iter().find(|attribute| attribute.key == name);
    Ok(found.and_then(|attribute| attribute.value?.value))
}

fn value_from(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => Kind::Text(text).into(),
        Some(any_value::Value::IntValue(number)) => Kind::Integer(number).into(),
        Some(any_value::Value::BoolValue(truth)) => Kind::Bool(truth).into(),
        Some(any_value::Value::DoubleValue(number)) => Kind::Number(number).into(),
        // Nobody writes others there.
        _ => Value::NULL,
    }
}
