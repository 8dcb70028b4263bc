//! What runs have logged, read back.

use std::collections::{BTreeMap, HashMap, btree_map::Entry};

use runlog_proto::{
    v1::{self, Value, Values},
    value::Kind,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    FindError, ReadError, Reader,
    cell::Columns,
    index::from_column,
    logged::MetricKind,
    thinned::{self, Content, Extremes, Point},
};

/// No answer has more values or rows of one name.
pub const MAX_POINTS: usize = 1_000_000;

const OF_RUN: &str =
    "SELECT id, name, kind, description, points FROM metrics WHERE run = ?1 AND (?2 IS NULL OR name = ?2)
 ORDER BY name";

const POINTS: &str = "SELECT time, seq, step, value FROM points WHERE metric = ?1 ORDER BY time, seq";

const DESCENDANTS: &str = "WITH RECURSIVE descendants (id, run_id) AS (
 SELECT id, run_id FROM runs WHERE run_id = ?1
 UNION SELECT runs.id, runs.run_id FROM runs JOIN descendants ON runs.parent = descendants.run_id
 WHERE runs.parent != ''
) SELECT id FROM descendants ORDER BY id";

/// Which metrics are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsQuery {
    /// The run's id.
    pub run: String,
    /// Only the metric of that name; `None` for all.
    pub name: Option<String>,
    /// Whether what all descendants logged is asked for as well.
    pub with_descendants: bool,
    /// At most so many values or rows of each name.
    pub points: usize,
}

impl MetricsQuery {
    /// All metrics of a run.
    #[must_use]
    pub fn of(run: &str) -> Self {
        Self { run: run.to_owned(), name: None, with_descendants: false, points: MAX_POINTS }
    }
}

impl Reader {
    /// What was logged in a run, by name.
    ///
    /// Where there is more than is asked for, what is left out lies between what is there: of numbers the smallest and
    /// the largest of each stretch stay, and of all the last.
    ///
    /// # Errors
    /// If there is no such run, or the index cannot be read.
    pub fn metrics(&self, query: &MetricsQuery) -> Result<v1::GetMetricsResponse, FindError> {
        self.ask(|index| {
            let fault = |fault: rusqlite::Error| FindError::Read(ReadError::from(fault));
            let runs = runs(index, query).map_err(fault)?;
            if runs.is_empty() {
                return Err(FindError::Unknown(query.run.clone()));
            }
            let mut metrics = BTreeMap::new();
            for run in runs {
                add(index, run, query, &mut metrics).map_err(fault)?;
            }
            Ok(v1::GetMetricsResponse { metrics })
        })
    }
}

impl Reader {
    /// The names of a run's metrics, each with whether it has rows.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub fn metric_names(&self, run: &str) -> Result<HashMap<String, bool>, ReadError> {
        self.ask(|index| {
            let mut question = index
                .prepare_cached("SELECT name, kind FROM metrics WHERE run = (SELECT id FROM runs WHERE run_id = ?1)")
                .map_err(ReadError::from)?;
            let name = |row: &rusqlite::Row<'_>| {
                let kind: String = row.get(1)?;
                Ok((row.get(0)?, MetricKind::has_rows(&kind)))
            };
            let names = question.query_map([run], name).map_err(ReadError::from)?;
            names.collect::<Result<_, _>>().map_err(ReadError::from)
        })
    }
}

fn runs(index: &Connection, query: &MetricsQuery) -> rusqlite::Result<Vec<i64>> {
    if query.with_descendants {
        return index.prepare_cached(DESCENDANTS)?.query_map([&query.run], |row| row.get(0))?.collect();
    }
    let run = index
        .prepare_cached("SELECT id FROM runs WHERE run_id = ?1")?
        .query_row([&query.run], |row| row.get(0))
        .optional()?;
    Ok(run.into_iter().collect())
}

fn add(
    index: &Connection,
    run: i64,
    query: &MetricsQuery,
    metrics: &mut BTreeMap<String, v1::Metric>,
) -> rusqlite::Result<()> {
    let mut question = index.prepare_cached(OF_RUN)?;
    let mut rows = question.query(params![run, query.name])?;
    while let Some(row) = rows.next()? {
        let (id, total): (i64, u64) = (row.get(0)?, row.get(4).map(from_column)?);
        let (name, kind, description): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let has_rows = MetricKind::has_rows(&kind);
        let metric = match metrics.entry(name) {
            Entry::Vacant(vacant) => vacant.insert(v1::Metric { kind, description, ..v1::Metric::default() }),
            // What another run calls the same, and is no more than that.
            Entry::Occupied(known) if MetricKind::has_rows(&known.get().kind) != has_rows => continue,
            Entry::Occupied(known) => known.into_mut(),
        };
        metric.total += total;
        if let Some(points) = thinned::read(index, id, total, has_rows, query.points as u64)? {
            let mut sample = Sample::new(points.len() as u64, query.points, metric, has_rows);
            points.into_iter().for_each(|point| sample.take(point));
            sample.finish();
            continue;
        }
        let mut sample = Sample::new(total, query.points, metric, has_rows);
        let mut question = index.prepare_cached(POINTS)?;
        let mut points = question.query([id])?;
        while let Some(point) = points.next()? {
            sample.take(Point::read(point, has_rows)?);
        }
        sample.finish();
    }
    Ok(())
}

/// Lets through as many points as are asked for.
struct Sample<'a> {
    metric: &'a mut v1::Metric,
    has_rows: bool,
    total: u64,
    /// Points of which the extremes stay: two of each. `None` to let all through.
    stretches: Option<u64>,
    seen: u64,
    extremes: Extremes,
    /// What came behind both of them, of which the very last stays.
    behind: Option<Point>,
}

impl<'a> Sample<'a> {
    fn new(total: u64, wanted: usize, metric: &'a mut v1::Metric, has_rows: bool) -> Self {
        let wanted = wanted as u64;
        let stretches = (total > wanted).then_some((wanted.saturating_sub(1) / 2).max(1));
        Self { metric, has_rows, total, stretches, seen: 0, extremes: Extremes::default(), behind: None }
    }

    fn take(&mut self, point: Point) {
        let Some(stretches) = self.stretches else { return self.put(point) };
        let at = self.seen;
        self.seen += 1;
        if at * stretches / self.total != at.saturating_sub(1) * stretches / self.total {
            self.flush();
        }
        self.behind = self.extremes.take(point);
    }

    fn flush(&mut self) {
        self.extremes.drain().for_each(|point| self.put(point));
    }

    fn put(&mut self, point: Point) {
        let metric = &mut *self.metric;
        let before = metric.times_unix_nano.len();
        metric.times_unix_nano.push(point.time);
        match point.content {
            Content::Value(value) => metric.values.push(value),
            Content::Row(columns) => put_row(&mut metric.columns, columns, before),
        }
        let has_steps = !metric.steps.is_empty();
        if !self.has_rows && (has_steps || point.step.is_some()) {
            metric.steps.resize(before, Value::NULL);
            metric.steps.push(point.step.map_or(Value::NULL, |step| Kind::Integer(step).into()));
        }
    }

    fn finish(mut self) {
        self.flush();
        if let Some(last) = self.behind.take() {
            self.put(last);
        }
    }
}

fn put_row(table: &mut BTreeMap<String, Values>, columns: Columns, before: usize) {
    for (name, value) in columns {
        let column = &mut table.entry(name).or_default().values;
        column.resize(before, Value::NULL);
        column.push(value);
    }
    for column in table.values_mut() {
        column.values.resize(before + 1, Value::NULL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::Severity,
        store::{
            Store,
            find::RUN,
            samples::{Sample, Word, append, line},
        },
    };

    const POINTS_OF_TEST: u64 = 5_000;

    fn filled(dir: &std::path::Path) -> Store {
        let store = Store::open(dir).unwrap();
        let point = |at: u64| Sample {
            event_name: "ml.metric",
            attributes: vec![
                ("ml.metric.name", Word::Text("loss")),
                ("ml.metric.value", Word::Number(if at == 1_234 { 1_000_000 } else { i64::try_from(at % 7).unwrap() })),
            ],
            ..line(at + 1, Severity::INFO, "loss")
        };
        append(&store, 1, "r", &(0..POINTS_OF_TEST).map(point).collect::<Vec<_>>());
        store
    }

    #[test]
    fn fewer_points_than_there_are_still_show_the_extremes_in_the_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let reader = filled(dir.path()).reader();
        let all = reader.metrics(&MetricsQuery::of("r")).unwrap().metrics.remove("loss").unwrap();
        assert_eq!((all.values.len() as u64, all.total), (POINTS_OF_TEST, POINTS_OF_TEST));
        let query = MetricsQuery { points: 100, ..MetricsQuery::of("r") };
        let some = reader.metrics(&query).unwrap().metrics.remove("loss").unwrap();
        assert!((51..=100).contains(&some.values.len()), "{}", some.values.len());
        assert_eq!(some.total, POINTS_OF_TEST);
        let at = some.values.iter().position(|value| *value == Kind::Integer(1_000_000).into());
        assert_eq!(some.times_unix_nano[at.expect("the spike stays")], 1_235);
        assert!(some.times_unix_nano.is_sorted());
        assert_eq!(some.times_unix_nano.last(), all.times_unix_nano.last(), "where it has come to is there");
    }

    #[test]
    fn no_question_looks_through_all_runs_or_all_points() {
        let dir = tempfile::tempdir().unwrap();
        let reader = filled(dir.path()).reader();
        let of = |condition: &str| format!("{RUN} WHERE {condition} ORDER BY id DESC LIMIT 10");
        let tagged = "id IN (SELECT run FROM notes WHERE kind = 0 AND key = 'a')";
        let questions = [
            (POINTS.to_owned(), "PRIMARY KEY"),
            (OF_RUN.to_owned(), "INDEX sqlite_autoindex_metrics_1"),
            (of("experiment = 'e'"), "INDEX runs_of_experiment"),
            (of("parent = 'p'"), "INDEX runs_of_parent"),
            (of(tagged), "INDEX runs_of_note"),
            (DESCENDANTS.to_owned(), "INDEX runs_of_parent"),
        ];
        for (question, index) in questions {
            let plan: Vec<String> = reader
                .ask::<_, ReadError>(|connection| {
                    let mut rows = connection.prepare(&format!("EXPLAIN QUERY PLAN {question}"))?;
                    let count = rows.parameter_count();
                    let parameters = rusqlite::params_from_iter(vec!["1"; count]);
                    Ok(rows.query_map(parameters, |row| row.get(3))?.collect::<Result<_, _>>()?)
                })
                .unwrap();
            let plan = plan.join("; ");
            assert!(plan.contains(index), "{question}: {plan}");
            for table in ["runs", "points", "metrics", "notes"] {
                assert!(!plan.contains(&format!("SCAN {table}")), "{question}: {plan}");
            }
        }
    }
}
