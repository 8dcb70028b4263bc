//! What is done with runs beside reading: choosing, waiting, comparing, removing.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use axum::body::Body;
use hyper::Method;
use jiff::tz::TimeZone;
use runlog_proto::{
    ENDED,
    v1::{self, Value},
    value::Kind,
};
use serde_json::json;
use tokio::time::sleep;

use crate::record::{Clock, SystemClock, system_time};

use super::{
    super::{
        caller::{Caller, escaped},
        metrics::last,
        submit::left,
        terminal::{Output, unless_closed},
    },
    RunsArgs, RunsCommand, print,
};

/// How often it is asked whether a run has ended.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What stands in a cell that has nothing.
const NOTHING: &str = "-";

/// Does what is asked for. What is submitted from that state directory goes with its run.
///
/// # Errors
/// If nobody answers, there is no such run, or a run that is waited for does not complete.
pub async fn runs(args: &RunsArgs, caller: &Caller, state_dir: &Path, out: &mut Output<'_>) -> Result<()> {
    match &args.command {
        Some(RunsCommand::List { experiment, status, parent, tag }) => {
            let mut query = Vec::new();
            for (name, value) in [("experiment", experiment), ("status", status), ("parent", parent)] {
                query.extend(value.as_ref().map(|value| format!("{name}={}", escaped(value))));
            }
            query.extend(tag.iter().map(|tag| format!("tag={}", escaped(tag))));
            let answer: v1::ListRunsResponse = caller.get(&format!("/runs?{}", query.join("&"))).await?;
            unless_closed(print(args, &answer.runs, out, &TimeZone::system()))
        }
        Some(RunsCommand::Wait { run, timeout }) => {
            wait(args, run, timeout.map(Duration::from_secs), caller, out).await
        }
        Some(RunsCommand::Compare { runs, parent, sort }) => {
            let mut found = found(runs, caller).await?;
            if let Some(parent) = parent {
                let children: v1::ListRunsResponse = caller.get(&format!("/runs?parent={}", escaped(parent))).await?;
                found.extend(children.runs);
            }
            if found.is_empty() {
                bail!("there is nothing to compare; name runs, or a --parent that has some");
            }
            compare(args.json, found, sort.as_deref(), caller, out).await
        }
        Some(RunsCommand::Cancel { runs }) => {
            found(runs, caller).await?;
            for run in runs {
                let request = v1::EndRunRequest::default();
                let _: v1::RunResponse = caller.post(&format!("/runs/{}/cancel", escaped(run)), &request).await?;
            }
            Ok(())
        }
        Some(RunsCommand::Delete { runs }) => {
            if let Some(run) = found(runs, caller).await?.iter().find(|run| !ENDED.contains(&&run.status[..])) {
                bail!("nothing is removed: run {} is {} still", run.run_id, run.status);
            }
            for run in runs {
                caller.call(Method::DELETE, &format!("/runs/{}", escaped(run)), Body::empty()).await?;
                clear(state_dir, run).with_context(|| format!("{run} is removed, but not the copy that it ran in"))?;
            }
            Ok(())
        }
        None | Some(RunsCommand::Show { .. } | RunsCommand::Export { .. } | RunsCommand::Import { .. }) => Ok(()),
    }
}

/// All of these runs, so that nothing is done with some of them if one is mistyped.
async fn found(runs: &[String], caller: &Caller) -> Result<Vec<v1::Run>> {
    let mut found = Vec::new();
    for run in runs {
        found.push(caller.get(&format!("/runs/{}", escaped(run))).await?);
    }
    Ok(found)
}

/// Removes what a submit has left of a run.
fn clear(state_dir: &Path, run: &str) -> io::Result<()> {
    let now = system_time(SystemClock.now());
    left::clear(state_dir, &[run], |_| true, now).into_iter().try_for_each(|(_, cleared)| cleared)
}

async fn wait(
    args: &RunsArgs,
    run: &str,
    timeout: Option<Duration>,
    caller: &Caller,
    out: &mut Output<'_>,
) -> Result<()> {
    let since = Instant::now();
    loop {
        let found: v1::Run = caller.get(&format!("/runs/{}", escaped(run))).await?;
        if ENDED.contains(&&found.status[..]) {
            if args.json {
                unless_closed(print(args, std::slice::from_ref(&found), out, &TimeZone::system()))?;
            }
            return match &found.status[..] {
                "completed" => Ok(()),
                status if found.error_message.is_empty() => Err(anyhow!("run {} {status}", found.run_id)),
                status => Err(anyhow!("run {} {status}: {}", found.run_id, found.error_message)),
            };
        }
        if timeout.is_some_and(|timeout| since.elapsed() >= timeout) {
            bail!("run {} is {} still", found.run_id, found.status);
        }
        sleep(ASK_EVERY).await;
    }
}

/// One run among those that are compared.
struct Compared {
    run: v1::Run,
    metrics: v1::GetMetricsResponse,
}

/// Prints runs side by side, sorted by the last value of a metric if one is named.
///
/// # Errors
/// If their metrics cannot be asked for.
pub async fn compare(
    is_json: bool,
    runs: Vec<v1::Run>,
    sort: Option<&str>,
    caller: &Caller,
    out: &mut Output<'_>,
) -> Result<()> {
    let mut compared = Vec::new();
    for run in runs {
        let metrics = caller.get(&format!("/runs/{}/metrics", escaped(&run.run_id))).await?;
        compared.push(Compared { run, metrics });
    }
    if let Some(name) = sort {
        compared.sort_by(|one, other| number(one, name).total_cmp(&number(other, name)));
    }
    unless_closed(print_compared(is_json, &compared, out))
}

/// The last number that a run has logged under that name; runs without one come last.
fn number(compared: &Compared, name: &str) -> f64 {
    let last = compared.metrics.metrics.get(name).and_then(|metric| metric.values.last());
    match last {
        Some(Value { kind: Some(Kind::Number(number)) }) => *number,
        Some(Value { kind: Some(Kind::Integer(number)) }) => *number as f64,
        _ => f64::NAN,
    }
}

fn print_compared(is_json: bool, compared: &[Compared], out: &mut Output<'_>) -> Result<()> {
    if is_json {
        for Compared { run, metrics } in compared {
            serde_json::to_writer(&mut out.writer, &json!({"run": run, "metrics": metrics.metrics}))
                .map_err(io::Error::from)?;
            writeln!(out.writer)?;
        }
        out.writer.flush()?;
        return Ok(());
    }
    let names = |of: fn(&Compared) -> Vec<String>| compared.iter().flat_map(of).collect::<BTreeSet<_>>();
    let parameters = names(|one| one.run.parameters.keys().cloned().collect());
    let metrics = names(|one| one.metrics.metrics.keys().cloned().collect());
    let head = ["RUN", "STATUS"]
        .into_iter()
        .map(str::to_owned)
        .chain(parameters.iter().cloned())
        .chain(metrics.iter().cloned());
    let mut rows = vec![head.collect::<Vec<_>>()];
    for Compared { run, metrics: logged } in compared {
        let name = if run.name.is_empty() { &run.run_id } else { &run.name };
        let parameter = |key| run.parameters.get(key).map_or_else(|| NOTHING.to_owned(), ToString::to_string);
        let metric = |key| logged.metrics.get(key).map_or_else(|| NOTHING.to_owned(), last);
        let own = [name.clone(), run.status.clone()].into_iter();
        rows.push(own.chain(parameters.iter().map(parameter)).chain(metrics.iter().map(metric)).collect());
    }
    let safe = |cell: &String| out.safe(cell).replace('\n', " ");
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(safe).collect()).collect();
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.chars().count())));
        writeln!(out.writer, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    out.writer.flush()?;
    Ok(())
}
