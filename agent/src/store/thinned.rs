//! A thinned copy of each metric, so that a chart of ten million points need not read them all.
//!
//! It has the smallest and the largest number of each [`STRETCH`] points that came one after the other, and is written in
//! the transaction that adds these. Points that an earlier runlog stored are not in it, which its counts tell: such a metric
//! is read in full, until its index is made again.

use runlog_proto::{v1::Value, value::Kind};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, types::ToSqlOutput};

use super::{
    cell::{Columns, from_cell, from_row_cell, to_cell, to_row_cell},
    index::{from_column, to_column},
};

/// Of so many points two are kept.
pub(super) const STRETCH: u64 = 256;

const OF_METRIC: &str =
    "SELECT time, seq, step, value, points FROM extremes WHERE metric = ?1 ORDER BY stretch, is_high";

const OF_STRETCH: &str =
    "SELECT time, seq, step, value, points FROM extremes WHERE metric = ?1 AND stretch = ?2 ORDER BY is_high";

/// What was logged once: a value, or a row of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Value(Value),
    Row(Columns),
}

/// A point of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point {
    pub(super) time: u64,
    /// Its place among those of its metric, in the order in which they came, from 1.
    pub(super) seq: u64,
    pub(super) step: Option<i64>,
    pub(super) content: Content,
}

impl Point {
    /// The point in a row's first four columns: time, place, step and value.
    pub(super) fn read(row: &Row<'_>, has_rows: bool) -> rusqlite::Result<Self> {
        let cell = row.get_ref(3)?;
        Ok(Self {
            time: row.get(0).map(from_column)?,
            seq: row.get(1).map(from_column)?,
            step: row.get(2)?,
            content: if has_rows { Content::Row(from_row_cell(cell)) } else { Content::Value(from_cell(cell)) },
        })
    }

    fn number(&self) -> Option<f64> {
        let number = match &self.content {
            Content::Value(Value { kind: Some(Kind::Number(number)) }) => *number,
            Content::Value(Value { kind: Some(Kind::Integer(number)) }) => *number as f64,
            _ => return None,
        };
        (!number.is_nan()).then_some(number)
    }
}

impl Content {
    /// As a column holds it.
    pub(super) fn to_cell(&self) -> ToSqlOutput<'_> {
        match self {
            Self::Value(value) => to_cell(value),
            Self::Row(columns) => to_row_cell(columns).into(),
        }
    }
}

/// The smallest and the largest of some points. What is no number gives way to what is one; of others the first stays.
#[derive(Debug, Default)]
pub(super) struct Extremes {
    low: Option<Point>,
    high: Option<Point>,
}

impl Extremes {
    /// Gives back a point that is neither.
    pub(super) fn take(&mut self, point: Point) -> Option<Point> {
        let number = point.number();
        let is_beyond = |known: &Point, is: fn(f64, f64) -> bool| match (number, known.number()) {
            (Some(number), Some(known)) => is(number, known),
            (number, known) => number.is_some() && known.is_none(),
        };
        if self.low.as_ref().is_none_or(|low| is_beyond(low, |number, low| number < low)) {
            let before = self.low.replace(point);
            // It has been both so far.
            if self.high.as_ref().is_none_or(|high| high.number().is_none()) {
                self.high = before;
            }
            return None;
        }
        if self.high.as_ref().is_none_or(|high| is_beyond(high, |number, high| number > high)) {
            self.high = Some(point);
            return None;
        }
        Some(point)
    }

    /// Takes them out, in the order of time.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Point> + use<> {
        let mut kept = [self.low.take(), self.high.take()];
        kept.sort_by_key(|point| point.as_ref().map(|point| (point.time, point.seq)));
        kept.into_iter().flatten()
    }
}

/// The points of a metric that are under way to its thinned copy.
#[derive(Debug)]
pub(super) struct Stretch {
    number: u64,
    points: u64,
    extremes: Extremes,
}

impl Stretch {
    /// The one that a point belongs to, as far as it has come.
    pub(super) fn open(change: &Transaction<'_>, metric: i64, seq: u64, has_rows: bool) -> rusqlite::Result<Self> {
        let number = number_of(seq);
        let mut stretch = Self { number, points: 0, extremes: Extremes::default() };
        if number == number_of(seq - 1) {
            let mut question = change.prepare_cached(OF_STRETCH)?;
            let mut rows = question.query(params![metric, to_column(number)])?;
            while let Some(row) = rows.next()? {
                stretch.points += row.get(4).map(from_column)?;
                stretch.extremes.take(Point::read(row, has_rows)?);
            }
        }
        Ok(stretch)
    }

    /// Whether a point belongs to it.
    pub(super) const fn is_of(&self, seq: u64) -> bool {
        self.number == number_of(seq)
    }

    pub(super) fn take(&mut self, point: Point) {
        self.points += 1;
        self.extremes.take(point);
    }

    /// Writes down how far it has come.
    pub(super) fn write(&self, change: &Transaction<'_>, metric: i64) -> rusqlite::Result<()> {
        let mut insert = change.prepare_cached(
            "INSERT OR REPLACE INTO extremes (metric, stretch, is_high, points, time, seq, step, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        // The count is in the first row.
        let rows = [(&self.extremes.low, false, self.points), (&self.extremes.high, true, 0)];
        for (point, is_high, points) in rows {
            let Some(point) = point else { continue };
            insert.execute(params![
                metric,
                to_column(self.number),
                is_high,
                to_column(points),
                to_column(point.time),
                to_column(point.seq),
                point.step,
                point.content.to_cell(),
            ])?;
        }
        Ok(())
    }
}

/// The number of the stretch that a point belongs to.
const fn number_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / STRETCH
}

/// The thinned copy of a metric with so many points, and the last of all, in the order of time. `None` if less than what is
/// wanted is in it, or not all points have gone into it.
pub(super) fn read(
    index: &Connection,
    metric: i64,
    points: u64,
    has_rows: bool,
    wanted: u64,
) -> rusqlite::Result<Option<Vec<Point>>> {
    if points / STRETCH * 2 < wanted {
        return Ok(None);
    }
    let mut thinned = Vec::new();
    let mut counted = 0;
    let mut question = index.prepare_cached(OF_METRIC)?;
    let mut rows = question.query([metric])?;
    while let Some(row) = rows.next()? {
        counted += row.get(4).map(from_column)?;
        thinned.push(Point::read(row, has_rows)?);
    }
    if counted != points {
        return Ok(None);
    }
    thinned.extend(
        index
            .prepare_cached(
                "SELECT time, seq, step, value FROM points WHERE metric = ?1 ORDER BY time DESC, seq DESC LIMIT 1",
            )?
            .query_row([metric], |row| Point::read(row, has_rows))
            .optional()?,
    );
    thinned.sort_by_key(|point| (point.time, point.seq));
    thinned.dedup_by_key(|point| point.seq);
    Ok(Some(thinned))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use runlog_proto::v1::Metric;

    use crate::{
        record::Severity,
        store::{
            MetricsQuery, Reader, Store,
            samples::{Sample, Word, append, line},
        },
    };

    use super::*;

    const POINTS: i64 = 5_000;
    /// No multiple and no part of a stretch.
    const BATCH: i64 = 37;
    const SPIKE: i64 = 1_234;
    const DIP: i64 = 3_333;

    fn metric(time: i64, number: i64) -> Sample {
        Sample {
            event_name: "ml.metric",
            attributes: vec![
                ("ml.metric.name", Word::Text("loss")),
                ("ml.metric.value", Word::Number(number)),
                ("ml.step", Word::Number(time)),
            ],
            ..line(time.unsigned_abs(), Severity::INFO, "loss")
        }
    }

    /// A store with a metric of which the batches came in that order.
    fn filled(dir: &Path, batches: impl Iterator<Item = i64>) -> Store {
        let store = Store::open(dir).unwrap();
        for (seq, batch) in (1..).zip(batches) {
            let point = |at: i64| match at {
                SPIKE => metric(at + 1, 1_000_000),
                DIP => metric(at + 1, -1_000_000),
                _ => metric(at + 1, at % 7),
            };
            let samples: Vec<_> = (batch * BATCH..POINTS.min((batch + 1) * BATCH)).map(point).collect();
            append(&store, seq, "r", &samples);
        }
        store
    }

    fn asked(reader: &Reader) -> Metric {
        let query = MetricsQuery { points: 20, ..MetricsQuery::of("r") };
        reader.metrics(&query).unwrap().metrics.remove("loss").unwrap()
    }

    fn change(dir: &Path, change: &str) {
        Connection::open(dir.join("index.sqlite")).unwrap().execute_batch(change).unwrap();
    }

    /// Forgets all points but the last one: what is answered then was not read from them.
    fn forget_points(dir: &Path) {
        change(dir, &format!("DELETE FROM points WHERE time < {POINTS}"));
    }

    #[track_caller]
    fn shows_all_that_matters(shown: &Metric) {
        assert!((10..=20).contains(&shown.values.len()), "{}", shown.values.len());
        assert_eq!(shown.total, POINTS.unsigned_abs());
        assert!(shown.times_unix_nano.is_sorted());
        for (at, number) in [(SPIKE, 1_000_000), (DIP, -1_000_000), (POINTS - 1, (POINTS - 1) % 7)] {
            let place = shown.times_unix_nano.iter().position(|time| *time == at.unsigned_abs() + 1);
            let place = place.unwrap_or_else(|| panic!("{at} is missing"));
            let step = Value { kind: Some(Kind::Integer(at + 1)) };
            assert_eq!((&shown.values[place], &shown.steps[place]), (&Kind::Integer(number).into(), &step));
        }
    }

    #[test]
    fn few_of_many_points_are_answered_without_reading_all() {
        let dir = tempfile::tempdir().unwrap();
        let reader = filled(dir.path(), 0..=POINTS / BATCH).reader();
        forget_points(dir.path());
        shows_all_that_matters(&asked(&reader));
    }

    #[test]
    fn points_that_came_in_another_order_than_that_of_their_times_are_shown_in_that_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let reader = filled(dir.path(), (0..=POINTS / BATCH).rev()).reader();
        forget_points(dir.path());
        shows_all_that_matters(&asked(&reader));
    }

    #[test]
    fn an_index_that_is_made_again_has_the_thinned_copy_too() {
        let dir = tempfile::tempdir().unwrap();
        let before = asked(&filled(dir.path(), 0..=POINTS / BATCH).reader());
        fs::remove_file(dir.path().join("index.sqlite")).unwrap();
        let reader = Store::open(dir.path()).unwrap().reader();
        forget_points(dir.path());
        assert_eq!(asked(&reader), before);
    }

    #[test]
    fn a_metric_that_an_earlier_runlog_began_is_read_in_full() {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(dir.path(), 0..=POINTS / BATCH);
        change(dir.path(), "DELETE FROM extremes WHERE stretch < 10");
        shows_all_that_matters(&asked(&store.reader()));
    }

    #[test]
    fn what_is_no_number_hides_no_extreme() {
        let mut extremes = Extremes::default();
        let texts = || Kind::Text("diverged".to_owned()).into();
        let values: [Value; 6] = [
            texts(),
            Kind::Number(f64::NAN).into(),
            Kind::Integer(5).into(),
            texts(),
            Kind::Integer(3).into(),
            texts(),
        ];
        for (seq, value) in (1..).zip(values) {
            extremes.take(Point { time: seq, seq, step: None, content: Content::Value(value) });
        }
        assert_eq!(extremes.drain().map(|point| point.seq).collect::<Vec<_>>(), [3, 5]);
    }
}
