//! Many samples become tables and charts for people and JSON for programs.

pub mod chart;
mod place;
#[cfg(test)]
pub mod samples;

use std::fmt::Write;

use serde_json::{Value, json};

pub use self::place::Place;
use crate::{
    measure::{Sample, agent::ending},
    scenario::{Aspect, Column, Scenario},
};

/// The samples of one peer in one scenario, one a round.
#[derive(Debug)]
pub struct Series {
    /// The peer's name.
    pub name: &'static str,
    /// In the order of the rounds; the same rounds for every peer.
    pub samples: Vec<Sample>,
}

/// What a scenario brought.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured.
    pub scenario: Scenario,
    /// One for each peer.
    pub series: Vec<Series>,
}

/// A peer's program.
#[derive(Debug)]
pub struct Program {
    /// The peer's name.
    pub name: &'static str,
    /// What is measured, in a few words.
    pub settings: &'static str,
    /// What it says of its version.
    pub version: String,
    /// Its size.
    pub bytes: u64,
}

/// The middle of some values, with the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the values are not above it.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// The spread of at least one value; of none, zero.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (values.first(), values.last()) else {
            return Self { median: 0.0, least: 0.0, most: 0.0 };
        };
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Self { median, least: *least, most: *most }
    }

    fn json(self) -> Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}

impl Series {
    /// The spread of a figure over the rounds.
    #[must_use]
    pub fn spread(&self, column: Column) -> Spread {
        Spread::of(self.samples.iter().map(column.of))
    }

    /// How many times the figure of `other`, round by round: what disturbs a round disturbs both.
    fn ratio_to(&self, other: &Self, column: Column) -> Spread {
        Spread::of(
            self.samples.iter().zip(&other.samples).map(|(ours, theirs)| (column.of)(ours) / (column.of)(theirs)),
        )
    }

    /// Whether every line arrived once and nothing else did, in every round.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.samples.iter().all(Sample::is_exact)
    }
}

impl Outcome {
    fn reference(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|series| series.name == name)
    }
}

/// Tables of everything, as Markdown that is aligned to be read on a terminal. Ratios are to the peer of the name
/// `reference`, if it was measured.
#[must_use]
pub fn tables(outcomes: &[Outcome], programs: &[Program], reference: &str) -> String {
    let mut text = String::new();
    for aspect in Aspect::ALL {
        let outcomes: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.scenario.aspect == aspect).collect();
        if !outcomes.is_empty() {
            heading(&mut text, aspect.title());
            text.push_str(&table(aspect, &outcomes, reference));
        }
    }
    heading(&mut text, "Programs");
    let mut rows = vec![["agent", "MB", "version", "settings"].map(str::to_owned).to_vec()];
    rows.extend(programs.iter().map(|program| {
        let megabytes = format!("{:.1}", program.bytes as f64 / 1e6);
        vec![program.name.to_owned(), megabytes, program.version.clone(), program.settings.to_owned()]
    }));
    text.push_str(&aligned(&rows));
    text
}

fn heading(text: &mut String, title: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str("### ");
    text.push_str(title);
    text.push_str("\n\n");
}

fn table(aspect: Aspect, outcomes: &[&Outcome], reference: &str) -> String {
    let (main, others) = (aspect.main(), aspect.others());
    let mut head = vec!["scenario", "agent", main.name, "least", "most", "ratio"];
    head.extend(others.iter().map(|column| column.name));
    head.push("missing");
    head.push("repeated");
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for outcome in outcomes {
        for series in &outcome.series {
            let spread = series.spread(main);
            let mut row = vec![outcome.scenario.name.clone(), series.name.to_owned()];
            row.extend([spread.median, spread.least, spread.most].map(|figure| grouped(figure, main.digits)));
            let ratio = outcome.reference(reference).map(|other| series.ratio_to(other, main).median);
            row.push(ratio.map_or_else(String::new, |ratio| grouped(ratio, 2)));
            row.extend(others.iter().map(|column| grouped(series.spread(*column).median, column.digits)));
            row.push(series.samples.iter().map(Sample::missing).sum::<u64>().to_string());
            row.push(series.samples.iter().map(|sample| sample.totals.repeated).sum::<u64>().to_string());
            rows.push(row);
        }
    }
    aligned(&rows)
}

/// Everything that was measured.
#[must_use]
pub fn json(place: &Place, outcomes: &[Outcome], programs: &[Program], reference: &str) -> Value {
    let outcome = |outcome: &Outcome| {
        let aspect = outcome.scenario.aspect;
        let peer = |series: &Series| {
            let columns = [aspect.main()].into_iter().chain(aspect.others());
            let figures = columns.map(|column| (column.name.to_owned(), series.spread(column).json()));
            let ratio = outcome.reference(reference).map(|other| series.ratio_to(other, aspect.main()).json());
            json!({
                "name": series.name,
                "figures": figures.collect::<serde_json::Map<_, _>>(),
                "ratio": ratio,
                "is_exact": series.is_exact(),
                "samples": series.samples.iter().map(sample).collect::<Vec<_>>(),
            })
        };
        json!({
            "scenario": outcome.scenario.name,
            "compared_by": aspect.main().name,
            "peers": outcome.series.iter().map(peer).collect::<Vec<_>>(),
        })
    };
    let program = |program: &Program| {
        json!({
            "name": program.name,
            "settings": program.settings,
            "version": program.version,
            "bytes": program.bytes,
        })
    };
    json!({
        "place": place.json(),
        "ratio_to": reference,
        "programs": programs.iter().map(program).collect::<Vec<_>>(),
        "outcomes": outcomes.iter().map(outcome).collect::<Vec<_>>(),
    })
}

fn sample(sample: &Sample) -> Value {
    json!({
        "lines": sample.lines,
        "cpu_seconds": sample.cpu.as_secs_f64(),
        "wall_seconds": sample.wall.as_secs_f64(),
        "peak_rss_bytes": sample.peak_rss_bytes,
        "rss_bytes": sample.rss_bytes,
        "sink_cpu_seconds": sample.sink_cpu.as_secs_f64(),
        "engine_cpu_seconds": sample.engine_cpu.as_secs_f64(),
        "exit": ending(sample.exit),
        "missing": sample.missing(),
        "unique": sample.totals.unique,
        "repeated": sample.totals.repeated,
        "unmarked": sample.totals.unmarked,
        "foreign": sample.totals.foreign,
        "requests": sample.totals.requests,
        "unreadable": sample.totals.unreadable,
        "wire_bytes": sample.totals.wire_bytes,
        "decoded_bytes": sample.totals.decoded_bytes,
    })
}

/// A number, its whole part in groups of three digits. A dash where there is none.
#[must_use]
pub fn grouped(number: f64, digits: usize) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    let text = format!("{number:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (i, character) in text.chars().enumerate() {
        if i > 0 && i < whole && (whole - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(character);
    }
    grouped
}

/// A Markdown table, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let is_number = |text: &String| text.chars().all(|character| "0123456789.,-".contains(character));
    let widths: Vec<usize> =
        (0..columns).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0).max(2)).collect();
    let numbers: Vec<bool> = (0..columns).map(|i| rows.iter().skip(1).all(|row| is_number(&row[i]))).collect();
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        for ((cell, width), number) in row.iter().zip(&widths).zip(&numbers) {
            let written = if *number { write!(text, "| {cell:>width$} ") } else { write!(text, "| {cell:width$} ") };
            written.expect("a String takes all text");
        }
        text.push_str("|\n");
        if n == 0 {
            for (width, number) in widths.iter().zip(&numbers) {
                let (dashes, end) = ("-".repeat(width + 1), if *number { ":" } else { "-" });
                write!(text, "|{dashes}{end}").expect("a String takes all text");
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests;
