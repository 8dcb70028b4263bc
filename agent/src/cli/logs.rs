//! `runlog logs`: what a run printed.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use runlog_proto::v1;
use tokio::time::sleep;

use crate::{
    record::{Severity, UnixNanos},
    serve::params,
    store::{Cursor, Events, MAX_LINES, Query, Take, parse_moment},
};

use super::{
    reader::Reader,
    terminal::{Color, Kind, Output, unless_closed},
};

/// How often a followed run is asked for new lines.
const POLL: Duration = Duration::from_millis(250);

/// What to print of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct LogsArgs {
    /// The run: its id, the beginning of its id, or `latest`.
    pub run: String,
    /// Go on with new lines until interrupted.
    #[arg(short, long)]
    pub follow: bool,
    /// No lower level: trace, debug, info, warn, error, fatal.
    #[arg(long)]
    pub level: Option<Severity>,
    /// Only lines in which this regular expression is found.
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Only from this time on: 10m ago, or 2026-11-24T06:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only the last lines, so many.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<usize>,
    /// Put time and level before each line.
    #[arg(short, long)]
    pub time: bool,
    /// One JSON object a line, with events.
    #[arg(long)]
    pub json: bool,
    /// Leave control characters as they are also on a terminal.
    #[arg(long)]
    pub raw: bool,
}

/// Prints the lines of a run as the training printed them, each followed by a newline.
///
/// With `--follow` it returns only when nobody reads the output any more.
///
/// # Errors
/// If there is no such run, an argument cannot be used, or the lines cannot be read.
pub async fn logs(args: &LogsArgs, reader: &Reader, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
    unless_closed(print(args, reader, out, now).await)
}

async fn print(args: &LogsArgs, reader: &Reader, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
    ensure!(!args.run.is_empty(), "name a run; `runlog runs` lists them");
    let run = reader.find(&args.run).await?;
    let mut query = query(args, &run.run_id, now)?;
    if !args.follow {
        // A run may grow faster than it is read: what comes from now on is not asked for.
        query.before = Some(end(reader, &run.run_id).await?);
    }
    if let Some(lines) = args.tail {
        query.after = Some(place_of_last(reader, &query, lines).await?);
    }
    let mut damaged_blocks = 0;
    loop {
        let answer = reader.logs(&query).await?;
        for line in &answer.lines {
            write(args, line, out)?;
        }
        damaged_blocks += answer.damaged_blocks;
        query.after = Some(cursor(&answer.next)?);
        if answer.more {
            continue;
        }
        out.writer.flush()?;
        if !args.follow {
            break;
        }
        sleep(POLL).await;
    }
    match damaged_blocks {
        0 => Ok(()),
        blocks => Err(anyhow!("{blocks} stored blocks of {} cannot be read; their lines are missing", run.run_id)),
    }
}

fn query(args: &LogsArgs, run: &str, now: UnixNanos) -> Result<Query> {
    let moment = |text: &Option<String>| text.as_deref().map(|text| parse_moment(text, now)).transpose();
    let grep = args.grep.as_deref().map(|pattern| {
        params::compile(pattern).map_err(|fault| anyhow!("--grep {pattern:?} is not a regular expression: {fault}"))
    });
    Ok(Query {
        min_level: args.level.unwrap_or_default(),
        grep: grep.transpose()?,
        since: moment(&args.since).context("--since cannot be used")?,
        until: moment(&args.until).context("--until cannot be used")?,
        events: if args.json { Events::Shown } else { Events::Hidden },
        ..Query::of(run)
    })
}

/// The place before which all lines of the run are that there are now.
async fn end(reader: &Reader, run: &str) -> Result<Cursor> {
    let newest = Query { take: Take::Last, limit: 1, ..Query::of(run) };
    Ok(cursor(&reader.logs(&newest).await?.next)?.next())
}

/// The place after which there are just so many matching lines, or all there are. Keeps no lines, however many.
async fn place_of_last(reader: &Reader, query: &Query, lines: usize) -> Result<Cursor> {
    let mut query = Query { take: Take::Last, ..query.clone() };
    let mut missing = lines;
    loop {
        query.limit = missing.clamp(1, MAX_LINES);
        let answer = reader.logs(&query).await?;
        if lines == 0 {
            return cursor(&answer.next);
        }
        missing -= answer.lines.len().min(missing);
        let first = cursor(&answer.previous)?;
        if missing == 0 || !answer.more {
            return Ok(first.previous());
        }
        query.before = Some(first);
    }
}

fn cursor(text: &str) -> Result<Cursor> {
    text.parse().context("the answer cannot be understood")
}

fn write(args: &LogsArgs, line: &v1::LogLine, out: &mut Output<'_>) -> Result<()> {
    if args.json {
        serde_json::to_writer(&mut out.writer, line).map_err(std::io::Error::from)?;
        writeln!(out.writer)?;
        return Ok(());
    }
    let severity = Severity::from_number(line.severity_number);
    if args.time {
        let head = format!("{} {:<5} ", line.time, severity.name());
        let head = if out.kind == Kind::ColorTerminal { format!("\x1b[2m{head}\x1b[0m") } else { head };
        write!(out.writer, "{head}")?;
    }
    // As it was printed: with what a launcher put before it.
    let prefix = line.attributes.get("runlog.prefix").map_or("", String::as_str);
    let printed = format!("{prefix}{}", line.body);
    let body = if args.raw { printed } else { out.safe(&printed).into_owned() };
    // A line that has colours keeps them.
    let color = match severity.range() {
        _ if body.contains('\x1b') => None,
        4 => Some(Color::Yellow),
        5 | 6 => Some(Color::Red),
        _ => None,
    };
    writeln!(out.writer, "{}", out.colored(&body, color))?;
    Ok(())
}
