//! `runlog level`: which level holds, and another one for a time.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hyper::Method;
use runlog_proto::v1;

use crate::record::{Clock, UnixNanos};

use super::{
    caller::Caller,
    table::{Cell, Table, duration},
    terminal::Output,
};

/// What to set, and for what.
#[derive(Debug, Default, clap::Args)]
pub struct LevelArgs {
    /// Leave out lines below this one: trace, debug, info, warn, error, fatal. Without it, show what holds
    pub level: Option<String>,
    /// Only of a kind of source (file, docker, kubernetes, process, otlp, journal), of a stream as `runlog status` names it,
    /// of all in a folder or of a container, or of those that a glob means
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Only of the run of this id, or of its beginning
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Only of this logger and those below it
    #[arg(long, value_name = "LOGGER")]
    pub logger: Option<String>,
    /// End it after this time, such as 10m; else it holds until --reset or until runlog ends
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, requires = "level")]
    pub time: Option<Duration>,
    /// Forget what was asked for: all, or that for the same source, run and logger
    #[arg(long, conflicts_with = "level")]
    pub reset: bool,
    /// One JSON object for each runlog that was asked
    #[arg(long)]
    pub json: bool,
}

/// Asks each of them, and prints what holds then. A source or a run may be known to one and not to the others.
///
/// # Errors
/// If none of them does it.
pub async fn level(args: &LevelArgs, callers: &[Caller], out: &mut Output<'_>, clock: &dyn Clock) -> Result<()> {
    let mut answers = Vec::new();
    for caller in callers {
        answers.push((caller.name(), ask(args, caller).await));
    }
    for (name, levels) in done(answers)? {
        print(args, name, &levels, out, clock.now())?;
    }
    out.writer.flush()?;
    Ok(())
}

/// The answers of those that did what they were asked.
///
/// # Errors
/// If there are none: who does not know a run says which ones it knows.
pub(super) fn done<T>(answers: Vec<(&str, Result<T>)>) -> Result<Vec<(&str, T)>> {
    let (mut done, mut refusals) = (Vec::new(), Vec::new());
    for (name, answer) in answers {
        match answer {
            Ok(answer) => done.push((name, answer)),
            Err(error) => refusals.push((name, error)),
        }
    }
    match (done.is_empty(), refusals.len()) {
        (true, 1) => Err(refusals.remove(0).1),
        (true, _) => {
            let refusals: Vec<_> = refusals.iter().map(|(name, error)| format!("{name}: {error}")).collect();
            Err(anyhow!(refusals.join("\n")))
        }
        (false, _) => Ok(done),
    }
}

async fn ask(args: &LevelArgs, caller: &Caller) -> Result<v1::Levels> {
    const PATH: &str = "/level";
    let method = match (&args.level, args.reset) {
        (Some(_), _) => Method::POST,
        (None, true) => Method::DELETE,
        (None, false) => return caller.get(PATH).await,
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let asked = v1::AskedLevel {
        level: text(&args.level),
        source: text(&args.source),
        run: text(&args.run),
        logger: text(&args.logger),
        until_time_unix_nano: 0,
        for_seconds: args.time.unwrap_or_default().as_secs_f64(),
    };
    caller.send(method, PATH, &asked).await
}

fn print(args: &LevelArgs, name: &str, levels: &v1::Levels, out: &mut Output<'_>, now: UnixNanos) -> Result<()> {
    if args.json {
        let mut told = serde_json::to_value(levels).context("the levels cannot be written")?;
        told["at"] = name.into();
        writeln!(out.writer, "{told}")?;
        return Ok(());
    }
    writeln!(out.writer, "{}", out.safe(name))?;
    table(levels, now).print(out)?;
    Ok(())
}

/// The levels, those first that count first.
pub(super) fn table(levels: &v1::Levels, now: UnixNanos) -> Table<4> {
    let mut table = Table::new(["level", "of", "ends", "from"]);
    let mut row = |level: &str, of: String, ends: String, from: &str| {
        table.row([Cell::left(level.to_owned()), Cell::left(of), Cell::left(ends), Cell::left(from.to_owned())]);
    };
    for asked in levels.asked.iter().rev() {
        let ends = match asked.until_time_unix_nano {
            0 => "by --reset".to_owned(),
            time => format!("in {}", duration(time.saturating_sub(now))),
        };
        row(&asked.level, of(asked), ends, "runlog level");
    }
    for logger in &levels.logger_levels {
        let (logger, level) = logger.rsplit_once('=').unwrap_or((logger, ""));
        row(level, format!("logger {logger}"), String::new(), "logger_levels");
    }
    row(&levels.level, "everything".to_owned(), String::new(), "level");
    table
}

fn of(asked: &v1::AskedLevel) -> String {
    let parts = [("source", &asked.source), ("run", &asked.run), ("logger", &asked.logger)];
    let parts: Vec<String> =
        parts.iter().filter(|(_, part)| !part.is_empty()).map(|(word, part)| format!("{word} {part}")).collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}
