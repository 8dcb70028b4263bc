//! `runlog runs show`: what came of one run.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::tz::TimeZone;
use runlog_proto::v1;

use crate::{
    cli::{
        table::{Cell, Table, duration},
        terminal::{Color, Output},
    },
    record::{self, Cause, Collective, End, FirstError, RankErrors},
};

use super::{moment, status};

/// Sources and errors that are listed at most; JSON has all.
const LISTED: usize = 50;

pub(super) fn print(json: bool, run: &v1::Run, out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    if json {
        serde_json::to_writer(&mut out.writer, run).map_err(std::io::Error::from)?;
        writeln!(out.writer)?;
    } else {
        head(run, out, zone)?;
        let sources = sources(run);
        if !sources.is_empty() {
            writeln!(out.writer)?;
            table(&sources).print(out)?;
            left_out(sources.len(), out)?;
        }
        let ends = ends(run);
        if !ends.is_empty() {
            writeln!(out.writer)?;
            let mut table = Table::new(["ended", "name", "how"]);
            for end in ends.iter().take(LISTED) {
                table.row([
                    Cell::left(moment(end.time_unix_nano, zone)),
                    Cell::left(end.name.clone()),
                    Cell::left(end.words()).colored((!end.is_well()).then_some(Color::Red)),
                ]);
            }
            table.print(out)?;
            left_out(ends.len(), out)?;
        }
        let errors = errors(&sources);
        if !errors.is_empty() {
            writeln!(out.writer)?;
            let mut table = Table::new(["first errors", "rank", "source", "line"]);
            for error in errors.iter().take(LISTED) {
                table.row([
                    Cell::left(moment(error.first.time_unix_nano, zone)),
                    Cell::right(error.rank_word()),
                    Cell::left(error.source.to_owned()),
                    Cell::left(error.first.body.clone()).colored(Some(Color::Red)),
                ]);
            }
            table.print(out)?;
            left_out(errors.len(), out)?;
        }
    }
    out.writer.flush()?;
    Ok(())
}

fn head(run: &v1::Run, out: &mut Output<'_>, zone: &TimeZone) -> Result<()> {
    let lasted = duration(run.last_time_unix_nano.saturating_sub(run.first_time_unix_nano));
    let color = match run.complete {
        Some(true) => Some(Color::Green),
        Some(false) => Some(Color::Red),
        None => None,
    };
    let notes = |notes: &BTreeMap<String, v1::Value>| {
        notes.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    };
    let error = [&run.error_code[..], &run.error_message].into_iter().filter(|text| !text.is_empty());
    for (name, text, color) in [
        ("run", run.run_id.clone(), None),
        ("name", run.name.clone(), None),
        ("experiment", run.experiment.clone(), None),
        ("parent", run.parent_run_id.clone(), None),
        ("status", status(run), None),
        ("error", error.collect::<Vec<_>>().join(": "), Some(Color::Red)),
        ("parameters", notes(&run.parameters), None),
        ("tags", notes(&run.tags), None),
        ("host", run.host.clone(), None),
        ("started", format!("{}, lasted {lasted}", moment(run.first_time_unix_nano, zone)), None),
        ("receipt", verdict(run), color),
        ("cause", cause(run, zone), Some(Color::Red)),
    ] {
        if !text.is_empty() {
            let text = out.safe(&text).into_owned();
            let text = out.colored(&text, color);
            writeln!(out.writer, "{name:<11} {text}")?;
        }
    }
    Ok(())
}

/// The first errors of one rank of a source, or of a source whose ranks are not told apart.
struct Errors<'a> {
    source: &'a str,
    rank: Option<i64>,
    local_rank: Option<i64>,
    first: &'a v1::FirstError,
    telling: &'a v1::FirstError,
    cause: Cause,
    collective: Option<Collective>,
}

impl Errors<'_> {
    fn of_rank(&self) -> RankErrors {
        let first = |error: &v1::FirstError| FirstError::new(error.time_unix_nano, error.body.as_bytes());
        let errors = RankErrors::new(self.rank, self.local_rank, self.cause, first(self.telling));
        RankErrors { collective: self.collective.clone(), ..errors }
    }

    fn rank_word(&self) -> String {
        rank_word(self.rank, self.local_rank)
    }
}

fn rank_word(rank: Option<i64>, local_rank: Option<i64>) -> String {
    match (rank, local_rank) {
        (Some(rank), _) => rank.to_string(),
        (None, Some(local_rank)) => format!("local {local_rank}"),
        (None, None) => String::new(),
    }
}

/// The first errors of all ranks, in the order of their time.
fn errors(sources: &[v1::SourceReceipt]) -> Vec<Errors<'_>> {
    let mut errors = Vec::new();
    for source in sources {
        let of_source = |errors: &'_ v1::RankErrors| match (errors.rank, errors.local_rank) {
            (None, None) => source.rank,
            (rank, _) => rank,
        };
        let before = errors.len();
        errors.extend(source.ranks.iter().filter_map(|found| {
            let first = found.first.as_ref()?;
            Some(Errors {
                source: &source.name,
                rank: of_source(found),
                local_rank: found.local_rank,
                first,
                telling: found.telling.as_ref().unwrap_or(first),
                cause: found.cause.parse().unwrap_or_default(),
                collective: found.collective.clone().map(|found| Collective {
                    waited_for: found.waited_for,
                    begun: found.begun,
                    kind: found.kind,
                }),
            })
        }));
        // What an agent of an earlier version wrote.
        if let Some(first) = source.first_error.as_ref().filter(|_| errors.len() == before) {
            let (rank, cause) = (source.rank, Cause::default());
            errors.push(Errors {
                source: &source.name,
                rank,
                local_rank: None,
                first,
                telling: first,
                cause,
                collective: None,
            });
        }
    }
    errors.sort_by_key(|errors| errors.first.time_unix_nano);
    errors
}

/// Which rank failed first and of what, in one sentence; nothing where there is only one to ask.
fn cause(run: &v1::Run, zone: &TimeZone) -> String {
    let sources = sources(run);
    let errors = errors(&sources);
    let ranks: Vec<RankErrors> = errors.iter().map(Errors::of_rank).collect();
    let Some(culprit) = record::culprit(ranks.iter()) else { return String::new() };
    let (rank, error) = (rank_word(culprit.rank, culprit.local_rank), culprit.most_telling());
    let Some(error) = error.filter(|_| !rank.is_empty()) else { return String::new() };
    let at = moment(error.time_unix_nano, zone);
    format!("rank {rank}, {} at {at}: {}", culprit.cause().meaning(), error.body)
}

/// What the receipts and the store say together, in one sentence.
fn verdict(run: &v1::Run) -> String {
    if run.receipts.is_empty() {
        return "none: the run has not ended, or nobody was there to see its end".to_owned();
    }
    let sum = |count: fn(&v1::SourceReceipt) -> u64| -> u64 {
        run.receipts.iter().flat_map(|receipt| &receipt.sources).map(count).sum()
    };
    let (read, replayed) = (sum(|source| source.lines_read), sum(|source| source.lines_replayed));
    let filtered = sum(|source| source.lines_filtered).saturating_sub(replayed);
    let kept = sum(|source| source.lines_kept);
    let records = sum(|source| source.records_kept);
    let stored = run.records.saturating_sub(run.events);
    let mut faults = Vec::new();
    for (count, what) in [
        (sum(|source| source.lines_lost), "lines lost"),
        (sum(|source| source.bytes_lost), "bytes lost"),
        (sum(|source| source.gaps), "gaps"),
        (records.saturating_sub(stored), "records not stored"),
        (stored.saturating_sub(records), "records stored that no receipt counts"),
    ] {
        if count > 0 {
            faults.push(format!("{count} {what}"));
        }
    }
    let lines = if read == 1 { "line" } else { "lines" };
    let mut summary = format!("{read} {lines} read, {kept} kept, {filtered} below the level");
    match sum(|source| source.lines_limited) {
        0 => {}
        limited => summary += &format!(", {limited} over the limit"),
    }
    match run.complete {
        Some(true) => format!("complete: {summary}"),
        None => format!("so far: {summary}; what came after the last receipt is not in it"),
        _ if faults.is_empty() => format!("NOT complete: {summary}; the sums do not agree"),
        _ => format!("NOT complete: {summary}; {}", faults.join(", ")),
    }
}

/// What each source gave, over all receipts.
fn sources(run: &v1::Run) -> Vec<v1::SourceReceipt> {
    let mut sums: Vec<v1::SourceReceipt> = Vec::new();
    for source in run.receipts.iter().flat_map(|receipt| &receipt.sources) {
        match sums.iter_mut().find(|sum| (&sum.kind, &sum.name) == (&source.kind, &source.name)) {
            Some(sum) => {
                sum.lines_read += source.lines_read;
                sum.bytes_read += source.bytes_read;
                sum.lines_kept += source.lines_kept;
                sum.lines_filtered += source.lines_filtered;
                sum.lines_lost += source.lines_lost;
                sum.bytes_lost += source.bytes_lost;
                sum.gaps += source.gaps;
                sum.records_kept += source.records_kept;
                sum.states_folded += source.states_folded;
                sum.lines_replayed += source.lines_replayed;
                sum.lines_limited += source.lines_limited;
                if sum.first_error.is_none() {
                    sum.first_error.clone_from(&source.first_error);
                }
                sum.ranks.extend(source.ranks.iter().cloned());
            }
            None => sums.push(source.clone()),
        }
    }
    sums
}

/// How the run's processes and containers ended, over all receipts, each once.
fn ends(run: &v1::Run) -> Vec<End> {
    let mut ends: Vec<End> = Vec::new();
    for v1::End { name, time_unix_nano, exit_code, signal, oom_killed } in
        run.receipts.iter().flat_map(|receipt| receipt.ends.clone())
    {
        let end = End { name, time_unix_nano, exit_code, signal, oom_killed };
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends.sort_by_key(|end| end.time_unix_nano);
    ends
}

fn table(sources: &[v1::SourceReceipt]) -> Table<8> {
    let mut table = Table::new(["source", "kind", "read", "kept", "below level", "lines lost", "bytes lost", "gaps"]);
    for source in sources.iter().take(LISTED) {
        let missing = |count: u64| Cell::right(count.to_string()).colored((count > 0).then_some(Color::Red));
        table.row([
            Cell::left(source.name.clone()),
            Cell::left(source.kind.clone()),
            Cell::right(source.lines_read.to_string()),
            Cell::right(source.lines_kept.to_string()),
            Cell::right(source.lines_filtered.saturating_sub(source.lines_replayed).to_string()),
            missing(source.lines_lost),
            missing(source.bytes_lost),
            missing(source.gaps),
        ]);
    }
    table
}

fn left_out(count: usize, out: &mut Output<'_>) -> Result<()> {
    if count > LISTED {
        writeln!(out.writer, "and {} more; --json has all", count - LISTED)?;
    }
    Ok(())
}
