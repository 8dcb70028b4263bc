//! `runlog runs`: which runs there are, and what came of one.

pub mod archive;
pub mod manage;
mod show;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, bail};
use jiff::{Timestamp, tz::TimeZone};
use runlog_proto::v1;
use tokio::task::spawn_blocking;

use crate::store::Store;

use super::{
    reader::Reader,
    table::{Cell, Table, duration},
    terminal::{Color, Output, unless_closed},
};

/// How to print the runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct RunsArgs {
    /// One JSON object a line.
    #[arg(long, global = true)]
    pub json: bool,
    /// What else to print.
    #[command(subcommand)]
    pub command: Option<RunsCommand>,
}

/// Further questions about runs.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum RunsCommand {
    /// Show what came of one run: how it ended, what each source gave, what is missing, the first errors.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// The run: its id, the beginning of its id, or `latest`.
        run: String,
    },
    /// List runs, those that are asked for.
    List {
        /// Only those of this experiment.
        #[arg(long)]
        experiment: Option<String>,
        /// Only those that stand there, such as running or failed.
        #[arg(long)]
        status: Option<String>,
        /// Only the children of this run.
        #[arg(long, value_name = "ID")]
        parent: Option<String>,
        /// Only those with this tag; may be given several times.
        #[arg(long, value_name = "KEY[=VALUE]")]
        tag: Vec<String>,
    },
    /// Wait until a run has ended; the exit code says how.
    Wait {
        /// The run.
        run: String,
        /// No longer than so many seconds.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
    /// Say that runs were to end; those of `runlog submit` are ended, a sweep with all that are a part of it.
    Cancel {
        /// Their ids, whole.
        #[arg(required = true)]
        runs: Vec<String>,
    },
    /// Show parameters and metrics of several runs side by side.
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare {
        /// The runs.
        runs: Vec<String>,
        /// The children of this run.
        #[arg(long, value_name = "ID")]
        parent: Option<String>,
        /// Sort by the last value of this metric, the smallest first.
        #[arg(long, value_name = "METRIC")]
        sort: Option<String>,
    },
    /// Write a run to a file that `import` and other programs read: its logs, metrics and files.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// The run: its id, the beginning of its id, or `latest`.
        run: String,
        /// Where to; RUN.runlog.tar.gz in this folder if it is not said.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take a run from a file that `export` has written into the store of this machine.
    Import {
        /// The file.
        file: PathBuf,
    },
    /// Remove runs that have ended, with all that they logged.
    Delete {
        /// Their ids, whole.
        #[arg(required = true)]
        runs: Vec<String>,
    },
}

impl RunsArgs {
    /// Whether a run is to be taken into the store.
    #[must_use]
    pub const fn is_import(&self) -> bool {
        matches!(self.command, Some(RunsCommand::Import { .. }))
    }

    /// Whether more is wanted than to read what is there.
    #[must_use]
    pub const fn needs_caller(&self) -> bool {
        !matches!(
            self.command,
            None | Some(RunsCommand::Show { .. } | RunsCommand::Export { .. } | RunsCommand::Import { .. })
        )
    }
}

const COMPARE_EXAMPLES: &str = "\
Examples:
  runlog runs compare ridge-1 ridge-2
  runlog runs compare --parent sweep-1 --sort mse";

const EXPORT_EXAMPLES: &str = "\
Examples:
  runlog runs export latest
  runlog runs export ridge-1 --output /backup/ridge-1.runlog.tar.gz
  tar -xzf ridge-1.runlog.tar.gz metrics.csv logs.jsonl files";

const SHOW_EXAMPLES: &str = "\
Examples:
  runlog runs show latest
  runlog runs show ridge-1 --json";

/// Prints the runs, the newest first, or one run, with times in that zone.
///
/// # Errors
/// If they cannot be read.
pub async fn runs(args: &RunsArgs, reader: &Reader, out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    if let Some(RunsCommand::Show { run }) = &args.command {
        let run = reader.find(run).await?;
        return unless_closed(show::print(args.json, &run, out, zone));
    }
    if let Some(RunsCommand::Export { run, output }) = &args.command {
        let Reader::Disk(store) = reader else {
            bail!("a run is exported where its store is: run this there, without --server");
        };
        let (store, run, output) = (store.clone(), run.clone(), output.clone());
        let carried = spawn_blocking(move || archive::export(&store, &run, output.as_deref())).await??;
        return unless_closed(tell(args.json, &carried, "exported to", out));
    }
    let runs = reader.runs().await?;
    unless_closed(print(args, &runs, out, zone))
}

/// Takes the run of an archive into the store.
///
/// # Errors
/// If it is no archive, or its run cannot be stored.
pub async fn import(args: &RunsArgs, store: Arc<Store>, out: &mut Output<'_>) -> Result<()> {
    let Some(RunsCommand::Import { file }) = args.command.clone() else { return Ok(()) };
    let carried = spawn_blocking(move || archive::import(&store, &file)).await??;
    unless_closed(tell(args.json, &carried, "imported from", out))
}

fn tell(json: bool, carried: &archive::Carried, what: &str, out: &mut Output<'_>) -> Result<()> {
    if json {
        serde_json::to_writer(&mut out.writer, carried).map_err(std::io::Error::from)?;
        writeln!(out.writer)?;
    } else {
        let archive::Carried { run_id, archive, files, .. } = carried;
        let unit = if *files == 1 { "file" } else { "files" };
        let line = format!("{run_id} {what} {}, with {files} {unit}", archive.display());
        writeln!(out.writer, "{}", out.safe(&line).into_owned())?;
    }
    Ok(out.writer.flush()?)
}

fn print(args: &RunsArgs, runs: &[v1::Run], out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    if args.json {
        for run in runs {
            serde_json::to_writer(&mut out.writer, run).map_err(std::io::Error::from)?;
            writeln!(out.writer)?;
        }
    } else {
        let head = ["run", "name", "experiment", "status", "lines", "warn", "error", "receipt", "started", "duration"];
        let mut table = Table::new(head);
        for run in runs {
            table.row(row(run, zone));
        }
        table.print(out)?;
    }
    out.writer.flush()?;
    Ok(())
}

fn row(run: &v1::Run, zone: &TimeZone) -> [Cell; 10] {
    let levels = run.levels.unwrap_or_default();
    let errors = levels.error + levels.fatal;
    let status = status(run);
    let status_color = match run.status.as_str() {
        "running" => Some(Color::Cyan),
        "completed" => Some(Color::Green),
        "failed" => Some(Color::Red),
        _ => None,
    };
    let some = |count: u64, color| Cell::right(count.to_string()).colored((count > 0).then_some(color));
    [
        Cell::left(run.run_id.clone()),
        Cell::left(run.name.clone()),
        Cell::left(run.experiment.clone()),
        Cell::left(status).colored(status_color),
        Cell::right(run.records.saturating_sub(run.events).to_string()),
        some(levels.warn, Color::Yellow),
        some(errors, Color::Red),
        receipt(run),
        Cell::left(moment(run.first_time_unix_nano, zone)),
        Cell::right(duration(run.last_time_unix_nano.saturating_sub(run.first_time_unix_nano))),
    ]
}

/// Whether every line is there.
fn receipt(run: &v1::Run) -> Cell {
    match run.complete {
        Some(true) => Cell::left("complete".to_owned()).colored(Some(Color::Green)),
        Some(false) => Cell::left("INCOMPLETE".to_owned()).colored(Some(Color::Red)),
        None => Cell::left(String::new()),
    }
}

/// How it ended, with its exit code if that is not 0.
fn status(run: &v1::Run) -> String {
    match run.exit_code {
        Some(code) if code != 0 => format!("{} ({code})", run.status),
        _ => run.status.clone(),
    }
}

pub(super) fn moment(time_unix_nano: u64, zone: &TimeZone) -> String {
    match Timestamp::from_nanosecond(time_unix_nano.into()) {
        Ok(time) if time_unix_nano > 0 => {
            time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        _ => "-".to_owned(),
    }
}
