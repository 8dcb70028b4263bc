//! `runlog status`: how a running daemon is doing.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use runlog_proto::v1;

use crate::record::{Clock, UnixNanos};

use super::{
    level,
    reader::Server,
    table::{Cell, Table, duration, size},
    terminal::{Color, Output, unless_closed},
};

/// So many streams are shown that were not asked for.
const SHOWN_STREAMS: usize = 10;

/// How to print the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct StatusArgs {
    /// One JSON object; with --watch one a line
    #[arg(long)]
    pub json: bool,
    /// All files, containers and other streams, not only those furthest behind and those heard of last
    #[arg(long, short)]
    pub all: bool,
    /// Print nothing, and fail unless it is ready: for the health checks of containers
    #[arg(long, conflicts_with_all = ["json", "all", "watch"])]
    pub ready: bool,
    /// Again every so many seconds, with the lines that came in each
    #[arg(long, short, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
        value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub watch: Option<u16>,
}

/// Asks a daemon how it is and prints the answer. With `watch` it returns only when nobody reads the output any more.
///
/// # Errors
/// If it does not answer, or if it has to be ready and is not.
pub async fn status(args: &StatusArgs, server: &Server, out: &mut Output<'_>, clock: &dyn Clock) -> Result<()> {
    if args.ready {
        let status = server.status(false).await?;
        ensure!(status.ready, "{} is not ready: {}", status.address, status.reasons.join("; "));
        return Ok(());
    }
    let mut before = None;
    loop {
        let status = server.status(args.all).await?;
        let (now, at) = (clock.now(), Instant::now());
        let rates =
            before.as_ref().map(|(before, since): &(v1::Status, Instant)| Rates::of(before, &status, at - *since));
        if let Err(error) = print(args, &status, rates.as_ref(), out, now) {
            return unless_closed(Err(error));
        }
        let Some(seconds) = args.watch else { return Ok(()) };
        before = Some((status, at));
        tokio::time::sleep_until((at + Duration::from_secs(seconds.into())).into()).await;
    }
}

/// Lines a second of each stream, between two answers. Those of all streams of a kind have no name.
struct Rates(HashMap<(String, String), f64>);

impl Rates {
    fn of(before: &v1::Status, after: &v1::Status, took: Duration) -> Self {
        let counted = |status: &v1::Status| -> HashMap<_, _> {
            let streams = status.streams.iter();
            let streams = streams.map(|stream| ((stream.kind.clone(), stream.name.clone()), stream.lines_read));
            let sources = status.sources.iter().map(|source| ((source.kind.clone(), String::new()), source.lines_read));
            streams.chain(sources).collect()
        };
        let then = counted(before);
        let rate = |(name, lines): ((String, String), u64)| {
            // One that is new, or is counted anew, has begun within this time.
            let before = then.get(&name).filter(|before| **before <= lines).unwrap_or(&0);
            let rate = (lines - before) as f64 / took.as_secs_f64().max(f64::EPSILON);
            (name, rate)
        };
        Self(counted(after).into_iter().map(rate).collect())
    }

    fn tell(rates: Option<&Self>, kind: &str, name: &str) -> String {
        let rate = |rates: &Self| rates.0.get(&(kind.to_owned(), name.to_owned())).copied().unwrap_or(0.0);
        rates.map(|rates| format!("{:.0}", rate(rates))).unwrap_or_default()
    }
}

fn print(
    args: &StatusArgs,
    status: &v1::Status,
    rates: Option<&Rates>,
    out: &mut Output<'_>,
    now: UnixNanos,
) -> Result<()> {
    if args.json {
        serde_json::to_writer(&mut out.writer, status).map_err(std::io::Error::from)?;
        writeln!(out.writer)?;
    } else {
        if args.watch.is_some() {
            out.begin_again()?;
        }
        summary(status, rates, out, now)?;
        streams(args, status, rates, out, now)?;
    }
    out.writer.flush()?;
    Ok(())
}

fn summary(status: &v1::Status, rates: Option<&Rates>, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
    let up = duration(now.saturating_sub(status.start_time_unix_nano));
    let (word, color) = if status.ready { ("ready", Color::Green) } else { ("not ready", Color::Red) };
    let word = out.colored(word, Some(color)).into_owned();
    writeln!(out.writer, "runlog {} at {}, up {up}: {word}", out.safe(&status.version), out.safe(&status.address))?;
    for reason in &status.reasons {
        writeln!(out.writer, "  {}", out.safe(reason))?;
    }
    for degraded in &status.degraded {
        let word = out.colored("degraded", Some(Color::Yellow)).into_owned();
        writeln!(out.writer, "  {word} {}", out.safe(degraded))?;
    }
    if let Some(queue) = &status.queue {
        writeln!(out.writer, "queue {} of {}", size(queue.bytes), size(queue.max_bytes))?;
    }
    sources(status, rates, out)?;
    levels(status, out, now)?;
    redactions(status, out)?;
    destinations(status, out)?;
    Ok(())
}

/// What was asked for; what the settings say is no news.
fn levels(status: &v1::Status, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
    if let Some(levels) = status.levels.as_ref().filter(|levels| !levels.asked.is_empty()) {
        writeln!(out.writer)?;
        level::table(levels, now).print(out)?;
    }
    if let Some(v1::Recording { max_bytes, bytes, lines, lines_forgotten }) = &status.recording {
        let (bytes, most) = (size(*bytes), size(*max_bytes));
        writeln!(out.writer, "\nflight recorder: {lines} lines in {bytes} of {most}, {lines_forgotten} forgotten")?;
    }
    Ok(())
}

fn redactions(status: &v1::Status, out: &mut Output<'_>) -> Result<()> {
    if status.redactions.is_empty() {
        return Ok(());
    }
    let mut rules: Vec<_> = status.redactions.iter().collect();
    rules.sort_by_key(|(rule, count)| (std::cmp::Reverse(**count), *rule));
    let rules: Vec<_> = rules.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    writeln!(out.writer, "\nsecrets masked: {}", out.safe(&rules.join(", ")))?;
    Ok(())
}

fn sources(status: &v1::Status, rates: Option<&Rates>, out: &mut Output<'_>) -> Result<()> {
    if status.sources.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["source", "lines", "kept", "filtered", "lost", "behind", "for", "lines/s"]);
    for source in &status.sources {
        let filtered = source.lines_filtered.unwrap_or_default();
        let filtered = filtered.unspecified
            + filtered.trace
            + filtered.debug
            + filtered.info
            + filtered.warn
            + filtered.error
            + filtered.fatal;
        let filtered = filtered.saturating_sub(source.lines_replayed);
        let lost = match source.bytes_lost {
            0 => source.lines_lost.to_string(),
            bytes => format!("{} + {}", source.lines_lost, size(bytes)),
        };
        let has_lost = source.lines_lost + source.bytes_lost > 0;
        table.row([
            Cell::left(source.kind.clone()),
            Cell::right(source.lines_read.to_string()),
            Cell::right(source.records_kept.to_string()),
            Cell::right(filtered.to_string()),
            Cell::right(lost).colored(has_lost.then_some(Color::Red)),
            lag_bytes(source.lag_bytes),
            lag_seconds(source.lag_seconds),
            Cell::right(Rates::tell(rates, &source.kind, "")),
        ]);
    }
    writeln!(out.writer)?;
    table.print(out)?;
    let limited = status.sources.iter().filter(|source| source.lines_limited > 0);
    let limited: Vec<_> = limited.map(|source| format!("{} {}", source.kind, source.lines_limited)).collect();
    if !limited.is_empty() {
        writeln!(out.writer, "\nlines over the limit: {}", out.safe(&limited.join(", ")))?;
    }
    Ok(())
}

fn streams(
    args: &StatusArgs,
    status: &v1::Status,
    rates: Option<&Rates>,
    out: &mut Output<'_>,
    now: UnixNanos,
) -> Result<()> {
    let shown = if args.all { status.streams.len() } else { SHOWN_STREAMS };
    if status.streams.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["stream", "read", "behind", "for", "lines", "lines/s", "last", "name"]);
    for stream in status.streams.iter().take(shown) {
        let last = (stream.last_read_unix_nano > 0)
            .then(|| format!("{} ago", duration(now.saturating_sub(stream.last_read_unix_nano))));
        table.row([
            Cell::left(stream.kind.clone()),
            Cell::right(size(if stream.position > 0 { stream.position } else { stream.bytes_read })),
            lag_bytes(stream.lag_bytes),
            lag_seconds(stream.lag_seconds),
            Cell::right(stream.lines_read.to_string()),
            Cell::right(Rates::tell(rates, &stream.kind, &stream.name)),
            Cell::right(last.unwrap_or_default()),
            Cell::left(stream.name.clone()),
        ]);
    }
    writeln!(out.writer)?;
    table.print(out)?;
    let left_out = status.stream_count.saturating_sub(shown as u64);
    if left_out > 0 {
        writeln!(out.writer, "and {left_out} more, shown with --all")?;
    }
    for stream in status.streams.iter().filter(|stream| !stream.last_error.is_empty()) {
        writeln!(out.writer, "{}: {}", out.safe(&stream.name), out.safe(&stream.last_error))?;
    }
    Ok(())
}

/// What nobody can tell is left open, and not called nothing.
fn lag_bytes(bytes: Option<u64>) -> Cell {
    let is_behind = bytes.is_some_and(|bytes| bytes > 0);
    Cell::right(bytes.map(size).unwrap_or_default()).colored(is_behind.then_some(Color::Yellow))
}

fn lag_seconds(seconds: Option<f64>) -> Cell {
    let told = seconds.map(|seconds| duration((seconds.max(0.0) * 1e9) as u64));
    let is_long = seconds.is_some_and(|seconds| seconds >= 1.0);
    Cell::right(told.unwrap_or_default()).colored(is_long.then_some(Color::Yellow))
}

fn destinations(status: &v1::Status, out: &mut Output<'_>) -> Result<()> {
    if status.destinations.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["destination", "state", "exported", "rejected", "waiting", "oldest", "endpoint"]);
    for to in &status.destinations {
        let color = if to.state == "ok" { Color::Green } else { Color::Red };
        let oldest = (to.oldest_pending_seconds.max(0.0) * 1e9) as u64;
        table.row([
            Cell::left(to.name.clone()),
            Cell::left(to.state.clone()).colored(Some(color)),
            Cell::right(to.records_exported.to_string()),
            Cell::right(to.records_rejected.to_string()),
            Cell::right(size(to.pending_bytes)),
            Cell::right(duration(oldest)),
            Cell::left(to.endpoint.clone()),
        ]);
    }
    writeln!(out.writer)?;
    table.print(out)?;
    for to in status.destinations.iter().filter(|to| !to.last_error.is_empty()) {
        writeln!(out.writer, "{}: {}", out.safe(&to.name), out.safe(&to.last_error))?;
    }
    Ok(())
}
