//! `runlog metrics`: what a run has logged.

use std::io;

use anyhow::Result;
use jiff::tz::TimeZone;
use runlog_proto::v1::{self, Value};

use super::{
    caller::{Caller, escaped},
    runs::moment,
    table::{Cell, Table},
    terminal::{Output, unless_closed},
};

const EXAMPLES: &str = "\
Examples:
  runlog metrics latest                    what there is, and the last of each
  runlog metrics ridge-1 mse               all of one
  runlog metrics sweep mse --recursive     of its children as well";

/// `runlog metrics`
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct MetricsArgs {
    /// The run: its id, the beginning of its id, or `latest`
    pub run: String,
    /// Print all that was logged under this name
    pub name: Option<String>,
    /// Add what the run's children have logged
    #[arg(long)]
    pub recursive: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints the metrics of a run, or one of them.
///
/// # Errors
/// If there is no such run, or nobody answers.
pub async fn metrics(args: &MetricsArgs, caller: &Caller, out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    let mut path = format!("/runs/{}/metrics?recursive={}", escaped(&args.run), u8::from(args.recursive));
    if let Some(name) = &args.name {
        path += &format!("&name={}", escaped(name));
    }
    let answer: v1::GetMetricsResponse = caller.get(&path).await?;
    if let Some(name) = args.name.as_ref().filter(|name| !answer.metrics.contains_key(*name)) {
        anyhow::bail!("the run has logged nothing under {name:?}; `runlog metrics {}` lists what it has", args.run);
    }
    unless_closed(print(args, &answer, out, zone))
}

fn print(args: &MetricsArgs, answer: &v1::GetMetricsResponse, out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    match args.name.as_ref().and_then(|name| answer.metrics.get(name)) {
        _ if args.json => {
            serde_json::to_writer(&mut out.writer, answer).map_err(io::Error::from)?;
            writeln!(out.writer)?;
        }
        Some(metric) if metric.columns.is_empty() => values(metric, zone).print(out)?,
        Some(metric) => rows(metric, out)?,
        None => {
            let mut table = Table::new(["name", "kind", "count", "last"]);
            for (name, metric) in &answer.metrics {
                table.row([
                    Cell::left(name.clone()),
                    Cell::left(metric.kind.clone()),
                    Cell::right(metric.total.to_string()),
                    Cell::left(last(metric)),
                ]);
            }
            table.print(out)?;
        }
    }
    out.writer.flush()?;
    Ok(())
}

/// The last value, or the last row.
pub(super) fn last(metric: &v1::Metric) -> String {
    if let Some(value) = metric.values.last() {
        return value.to_string();
    }
    let cell = |(name, column): (&String, &v1::Values)| column.values.last().map(|value| format!("{name}={value}"));
    metric.columns.iter().filter_map(cell).collect::<Vec<_>>().join(" ")
}

fn values(metric: &v1::Metric, zone: &TimeZone) -> Table<3> {
    let mut table = Table::new(["step", "value", "time"]);
    for (at, (value, time)) in metric.values.iter().zip(&metric.times_unix_nano).enumerate() {
        let step = metric.steps.get(at).filter(|step| **step != Value::NULL).map(ToString::to_string);
        table.row([
            Cell::right(step.unwrap_or_default()),
            Cell::right(value.to_string()),
            Cell::left(moment(*time, zone)),
        ]);
    }
    table
}

/// Rows with tabs between their columns, since nobody knows how many there are.
fn rows(metric: &v1::Metric, out: &mut Output<'_>) -> io::Result<()> {
    let line = |cells: Vec<String>| cells.join("\t");
    let head = line(metric.columns.keys().cloned().collect());
    writeln!(out.writer, "{}", out.safe(&head).into_owned())?;
    for at in 0..metric.times_unix_nano.len() {
        let cell = |column: &v1::Values| column.values.get(at).map(ToString::to_string).unwrap_or_default();
        let row = line(metric.columns.values().map(cell).map(|cell| cell.replace(['\t', '\n'], " ")).collect());
        writeln!(out.writer, "{}", out.safe(&row).into_owned())?;
    }
    Ok(())
}
