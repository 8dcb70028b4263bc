//! The entries of a call: what they may be, and which events they become.

use std::collections::{BTreeMap, HashMap};

use opentelemetry_proto::tonic::common::v1::any_value;
use runlog_proto::{
    v1::{self, Value, Values},
    value::Kind,
};
use uuid::Uuid;

use crate::record::{Severity, UnixNanos};

use super::{
    check::{check_name, check_path, check_text, moment, parse_key},
    event::{Event, Telemetry, any, array, integer, map, string},
    problem::{Problem, Reason},
};

/// Values of a list that one event holds.
const LIST_PART: usize = 250;

/// A table's JSON that one event holds, about.
const TABLE_PART_BYTES: usize = 32 * 1024;

/// Columns that a row may have before its user is warned: some backends keep no more attributes of a record than 128.
const WIDE: usize = 15;

/// Characters of a name before its user is warned: other trackers take no longer ones.
const LONG: usize = 255;

/// The entries of one call on their way.
pub(super) struct Entries<'a> {
    pub(super) telemetry: &'a mut Telemetry,
    /// The call's key, and how many of its events there are.
    pub(super) key: Uuid,
    pub(super) place: usize,
    /// The call's time, and now.
    pub(super) time: UnixNanos,
    pub(super) now: UnixNanos,
    /// Whether the run takes no more metrics.
    pub(super) has_ended: bool,
    /// Which metrics are known to be tables, and which are not.
    pub(super) has_rows: &'a mut HashMap<String, bool>,
}

/// What an entry became, and what is to be said of it: a field and a sentence.
type Written = Result<Option<(&'static str, String)>, Problem>;

impl Entries<'_> {
    /// Writes an entry's events.
    pub(super) fn write(&mut self, entry: &v1::Entry) -> Written {
        let contents = [
            entry.scalar.is_some(),
            entry.list.is_some(),
            entry.row.is_some(),
            entry.table.is_some(),
            entry.artifact.is_some(),
            entry.tag.is_some(),
            entry.parameter.is_some(),
            entry.property.is_some(),
        ];
        if contents.iter().filter(|is_there| **is_there).count() != 1 {
            let accepted = "exactly one of scalar, list, row, table, artifact, tag, parameter, property";
            return Err(Problem::invalid("", "it is not known what this entry is", accepted));
        }
        let is_metric = contents[..4].contains(&true);
        if is_metric && self.has_ended {
            return Err(Problem::new(Reason::RunEnded, "the run has ended, and takes no more metrics"));
        }
        let own_key = if entry.key.is_empty() { None } else { Some(parse_key(&entry.key)?) };
        let time = moment(&entry.time, self.now)?.unwrap_or(self.time);
        let mut sent = Sent { own_key, own_place: 0, time, rank: entry.rank };
        match entry {
            v1::Entry { scalar: Some(scalar), .. } => self.scalar(&mut sent, scalar),
            v1::Entry { list: Some(list), .. } => self.list(&mut sent, list),
            v1::Entry { row: Some(row), .. } => self.row(&mut sent, row),
            v1::Entry { table: Some(table), .. } => self.table(&mut sent, table),
            v1::Entry { artifact: Some(artifact), .. } => self.artifact(&mut sent, artifact),
            v1::Entry { tag: Some(note), .. } => self.note(&mut sent, "tag", "ml.run.tag", note),
            v1::Entry { parameter: Some(note), .. } => self.note(&mut sent, "parameter", "ml.run.param", note),
            v1::Entry { property: Some(note), .. } => self.note(&mut sent, "property", "ml.run.property", note),
            _ => Ok(None),
        }
    }

    fn put(&mut self, sent: &mut Sent, event: Event) {
        let event = match sent.rank {
            Some(rank) => event.with("ml.rank", any_value::Value::IntValue(rank)),
            None => event,
        };
        let (key, place) = match &sent.own_key {
            Some(key) => (key, &mut sent.own_place),
            None => (&self.key, &mut self.place),
        };
        self.telemetry.put(event, key, *place);
        *place += 1;
    }

    fn scalar(&mut self, sent: &mut Sent, scalar: &v1::Scalar) -> Written {
        check_name("scalar.name", &scalar.name)?;
        check_text("scalar.description", &scalar.description)?;
        let value = scalar.value.clone().unwrap_or_default();
        check_value("scalar.value", &value)?;
        let remark = self.remark("scalar.name", &scalar.name, false);
        let body = match scalar.step {
            Some(step) => format!("{}={value} step={step}", scalar.name),
            None => format!("{}={value}", scalar.name),
        };
        let mut event = Event::new("ml.metric", sent.time, body).with("ml.metric.name", string(&scalar.name));
        let key = if matches!(value.kind, Some(Kind::Text(_))) { "ml.metric.text" } else { "ml.metric.value" };
        if let Some(any) = any(&value) {
            event = event.with(key, any);
        }
        if let Some(step) = scalar.step {
            event = event.with("ml.step", any_value::Value::IntValue(step));
        }
        if matches!(value.kind, Some(Kind::Number(number)) if !number.is_finite()) {
            event.severity = Severity::WARN;
            event = event.with("ml.metric.nonfinite", any_value::Value::BoolValue(true));
        }
        let event = event.with_text("ml.metric.description", &scalar.description);
        self.put(sent, event);
        Ok(remark)
    }

    fn list(&mut self, sent: &mut Sent, list: &v1::List) -> Written {
        check_name("list.name", &list.name)?;
        check_text("list.description", &list.description)?;
        for (at, value) in list.values.iter().enumerate() {
            check_value(&format!("list.values[{at}]"), value)?;
        }
        let remark = self.remark("list.name", &list.name, false);
        for part in list.values.chunks(LIST_PART) {
            let body = format!("{}: {} values", list.name, part.len());
            let event = Event::new("ml.list", sent.time, body)
                .with("ml.metric.name", string(&list.name))
                .with("ml.list.values", array(part))
                .with_text("ml.metric.description", &list.description);
            self.put(sent, event);
        }
        Ok(remark)
    }

    fn row(&mut self, sent: &mut Sent, row: &v1::Row) -> Written {
        check_name("row.name", &row.name)?;
        check_text("row.description", &row.description)?;
        check_columns("row.columns", row.columns.keys())?;
        for (name, value) in &row.columns {
            check_value(&format!("row.columns.{name}"), value)?;
        }
        let remark = self.remark("row.name", &row.name, true).or_else(|| wide("row.columns", row.columns.len()));
        let cells: Vec<_> = row.columns.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let event = Event::new("ml.row", sent.time, format!("{}{}", row.name, cells.concat()))
            .with("ml.table.name", string(&row.name))
            .with("ml.row", map(&row.columns))
            .with_text("ml.metric.description", &row.description);
        self.put(sent, event);
        Ok(remark)
    }

    fn table(&mut self, sent: &mut Sent, table: &v1::Table) -> Written {
        check_name("table.name", &table.name)?;
        check_text("table.description", &table.description)?;
        check_columns("table.columns", table.columns.keys())?;
        for (name, column) in &table.columns {
            for (at, value) in column.values.iter().enumerate() {
                check_value(&format!("table.columns.{name}[{at}]"), value)?;
            }
        }
        let lengths = || table.columns.values().map(|column| column.values.len());
        let rows = lengths().max().unwrap_or(0);
        let uneven = || {
            let is_uneven = lengths().any(|length| length != rows);
            is_uneven.then(|| {
                ("table.columns", format!("the columns are not equally long; null was added up to {rows} rows"))
            })
        };
        let remark = self
            .remark("table.name", &table.name, true)
            .or_else(uneven)
            .or_else(|| wide("table.columns", table.columns.len()));
        let bytes = serde_json::to_vec(&table.columns).map_or(0, |json| json.len());
        let at_once = (rows * TABLE_PART_BYTES / bytes.max(1)).clamp(1, rows.max(1));
        for first in (0..rows).step_by(at_once) {
            let part = rows_of(&table.columns, first, (first + at_once).min(rows));
            let count = (first + at_once).min(rows) - first;
            let event = Event::new("ml.table", sent.time, format!("{}: {count} rows", table.name))
                .with("ml.table.name", string(&table.name))
                // Columns can be written as JSON.
                .with("ml.table.data", string(&serde_json::to_string(&part).unwrap_or_default()))
                .with("ml.table.rows", integer(count))
                .with("ml.table.columns", integer(part.len()))
                .with_text("ml.metric.description", &table.description);
            self.put(sent, event);
        }
        Ok(remark)
    }

    fn artifact(&mut self, sent: &mut Sent, artifact: &v1::Artifact) -> Written {
        check_path("artifact.name", &artifact.name)?;
        check_text("artifact.description", &artifact.description)?;
        let kind = if artifact.kind.is_empty() { "file" } else { &artifact.kind };
        if !["file", "image", "json", "folder"].contains(&kind) {
            let message = format!("{kind:?} is no kind of artifact");
            return Err(Problem::invalid("artifact.kind", message, "file, image, json, folder"));
        }
        let sha256 = match kind {
            "folder" => String::new(),
            _ => crate::store::Digest::parse(&artifact.sha256)
                .map_err(|fault| Problem::from(fault).at("artifact.sha256"))?
                .as_str()
                .to_owned(),
        };
        let mut event = Event::new("ml.artifact", sent.time, format!("{} ({} bytes)", artifact.name, artifact.size))
            .with("ml.artifact.name", string(&artifact.name))
            .with("ml.artifact.kind", string(kind))
            .with_text("ml.artifact.sha256", &sha256)
            .with("ml.artifact.size", integer(artifact.size));
        let texts = [
            ("ml.artifact.media_type", "artifact.media_type", &artifact.media_type),
            ("ml.artifact.description", "artifact.description", &artifact.description),
            ("ml.artifact.schema_type", "artifact.schema_type", &artifact.schema_type),
        ];
        for (key, field, text) in texts {
            check_text(field, text)?;
            event = event.with_text(key, text);
        }
        for (key, pixels) in [("ml.artifact.width", artifact.width), ("ml.artifact.height", artifact.height)] {
            if let Some(pixels) = pixels {
                event = event.with(key, integer(pixels));
            }
        }
        self.put(sent, event);
        Ok(None)
    }

    fn note(&mut self, sent: &mut Sent, field: &str, name: &'static str, note: &v1::KeyValue) -> Written {
        check_name(&format!("{field}.key"), &note.key)?;
        let value = note.value.clone().unwrap_or_default();
        check_value(&format!("{field}.value"), &value)?;
        self.put(sent, note_event(name, sent.time, &note.key, &value));
        Ok(None)
    }

    /// What is to be said of a metric's name.
    fn remark(&mut self, field: &'static str, name: &str, has_rows: bool) -> Option<(&'static str, String)> {
        let first = *self.has_rows.entry(name.to_owned()).or_insert(has_rows);
        if first != has_rows {
            let (first, now) = if first { ("rows", "values") } else { ("values", "rows") };
            let message = format!("{name} holds {first}; these {now} are in the log, and not among the metrics");
            return Some((field, message));
        }
        (name.chars().count() > LONG).then(|| (field, format!("the name is longer than {LONG} characters")))
    }
}

/// How one entry is sent.
struct Sent {
    own_key: Option<Uuid>,
    own_place: usize,
    time: UnixNanos,
    rank: Option<i64>,
}

/// The event of a tag, a parameter or a property, which is called by that name.
pub(super) fn note_event(name: &'static str, time: UnixNanos, key: &str, value: &Value) -> Event {
    let event = Event::new(name, time, format!("{key}={value}")).with(&format!("{name}.key"), string(key));
    match any(value) {
        Some(any) => event.with(&format!("{name}.value"), any),
        None => event,
    }
}

/// Checks a value of a metric, a tag or a parameter.
pub(super) fn check_value(field: &str, value: &Value) -> Result<(), Problem> {
    match &value.kind {
        Some(Kind::Text(text)) => check_text(field, text),
        _ => Ok(()),
    }
}

fn check_columns<'a>(field: &str, names: impl ExactSizeIterator<Item = &'a String>) -> Result<(), Problem> {
    if names.len() == 0 {
        return Err(Problem::invalid(field, "there are no columns", "at least one"));
    }
    for name in names {
        check_name(&format!("{field}.{name}"), name)?;
    }
    Ok(())
}

fn wide(field: &'static str, columns: usize) -> Option<(&'static str, String)> {
    let message = || format!("{columns} columns are more than {WIDE}, which some backends do not show");
    (columns > WIDE).then(|| (field, message()))
}

fn rows_of(columns: &BTreeMap<String, Values>, first: usize, end: usize) -> BTreeMap<&String, Values> {
    let part = |column: &Values| {
        let value = |at: usize| column.values.get(at).cloned().unwrap_or_default();
        Values { values: (first..end).map(value).collect() }
    };
    columns.iter().map(|(name, column)| (name, part(column))).collect()
}
