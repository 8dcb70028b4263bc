//! `runlog status`: how a running daemon is doing.

use anyhow::Result;
use runlog_proto::v1;

use crate::record::UnixNanos;

use super::{
    reader::Server,
    table::{Cell, Table, duration, size},
    terminal::{Color, Output, unless_closed},
};

/// How to print the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct StatusArgs {
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Asks a daemon how it is and prints the answer.
///
/// # Errors
/// If it does not answer.
pub async fn status(args: &StatusArgs, server: &Server, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
    let status = server.status().await?;
    unless_closed(print(args, &status, out, now))
}

fn print(args: &StatusArgs, status: &v1::Status, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
    if args.json {
        serde_json::to_writer(&mut out.writer, status).map_err(std::io::Error::from)?;
        writeln!(out.writer)?;
    } else {
        summary(status, out, now)?;
    }
    out.writer.flush()?;
    Ok(())
}

fn summary(status: &v1::Status, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
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
    sources(status, out)?;
    destinations(status, out)?;
    Ok(())
}

fn sources(status: &v1::Status, out: &mut Output<'_>) -> Result<()> {
    if status.sources.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["source", "lines", "kept", "filtered", "lost", "behind"]);
    for source in &status.sources {
        let filtered = source.lines_filtered.unwrap_or_default();
        let filtered = filtered.unspecified
            + filtered.trace
            + filtered.debug
            + filtered.info
            + filtered.warn
            + filtered.error
            + filtered.fatal;
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
            Cell::right(size(source.lag_bytes)),
        ]);
    }
    writeln!(out.writer)?;
    Ok(table.print(out)?)
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
