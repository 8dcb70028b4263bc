//! `runlog runs`: which runs there are.

use anyhow::Result;
use jiff::{Timestamp, tz::TimeZone};
use runlog_proto::v1;

use super::{
    reader::Reader,
    table::{Cell, Table, duration},
    terminal::{Color, Output, unless_closed},
};

/// How to print the runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct RunsArgs {
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Prints the runs, the newest first, with times in that zone.
///
/// # Errors
/// If they cannot be read.
pub async fn runs(args: &RunsArgs, reader: &Reader, out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    let runs = reader.runs().await?;
    unless_closed(print(args, &runs, out, zone))
}

fn print(args: &RunsArgs, runs: &[v1::Run], out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    if args.json {
        for run in runs {
            serde_json::to_writer(&mut out.writer, run).map_err(std::io::Error::from)?;
            writeln!(out.writer)?;
        }
    } else {
        let mut table = Table::new(["run", "experiment", "status", "lines", "warn", "error", "started", "duration"]);
        for run in runs {
            table.row(row(run, zone));
        }
        table.print(out)?;
    }
    out.writer.flush()?;
    Ok(())
}

fn row(run: &v1::Run, zone: &TimeZone) -> [Cell; 8] {
    let levels = run.levels.unwrap_or_default();
    let errors = levels.error + levels.fatal;
    let status = match run.exit_code {
        Some(code) if code != 0 => format!("{} ({code})", run.status),
        _ => run.status.clone(),
    };
    let status_color = match run.status.as_str() {
        "running" => Some(Color::Cyan),
        "completed" => Some(Color::Green),
        "failed" => Some(Color::Red),
        _ => None,
    };
    let some = |count: u64, color| Cell::right(count.to_string()).colored((count > 0).then_some(color));
    [
        Cell::left(run.run_id.clone()),
        Cell::left(run.experiment.clone()),
        Cell::left(status).colored(status_color),
        Cell::right(run.records.to_string()),
        some(levels.warn, Color::Yellow),
        some(errors, Color::Red),
        Cell::left(started(run, zone)),
        Cell::right(duration(run.last_time_unix_nano.saturating_sub(run.first_time_unix_nano))),
    ]
}

fn started(run: &v1::Run, zone: &TimeZone) -> String {
    match Timestamp::from_nanosecond(run.first_time_unix_nano.into()) {
        Ok(time) if run.first_time_unix_nano > 0 => {
            time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        _ => "-".to_owned(),
    }
}
