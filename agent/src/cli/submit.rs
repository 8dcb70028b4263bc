//! `runlog submit`: a script, run once for each value of a sweep, in a copy of its folder.
//!
//! Each run is a `runlog exec` of its own, so that what holds for one wrapped process holds for each. A sweep is a run whose
//! children they are. This process supervises them (`work.rs`), or one in the background does (`detached.rs`).

pub mod detached;
mod group;
pub mod left;
mod plan;
mod progress;
mod snapshot;
mod sweep;
mod work;

pub use plan::{Plan, read};
pub use work::Begun;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use runlog_proto::v1;
use serde_json::json;
use uuid::Uuid;

use crate::record::{Clock, SystemClock};

use super::{
    caller::{Caller, escaped},
    exec::no_flag,
    exit::Exit,
    program::{self, Place},
    run::value_of,
    runs::manage,
    terminal::{Output, unless_closed},
};
use plan::Trial;
use sweep::{Point, axes, filled, points};
use work::{Worked, work};

const EXAMPLES: &str = "\
Examples:
  runlog submit --experiment diabetes -- python train.py
  runlog submit --sweep alpha=0:1:0.05 --parallel 4 --sort mse -- python train.py --alpha {alpha}
  runlog submit --sweep lr=1e-3,1e-4 --sweep depth=2,3 -- python train.py --lr {lr} --depth {depth}
  run=$(runlog submit --no-wait -- python train.py); runlog runs wait $run

The folder is copied first, without what .runlogignore (or .amlignore, .gitignore) names, and the script runs in the copy.
It finds its run in RUNLOG_RUN_ID: `runlog run log mse 0.5`, or Python's Run.get_context(), log to it.";

/// `runlog submit`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct SubmitArgs {
    /// Copy this folder, and run in the copy
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub source_dir: PathBuf,
    /// What the run is a part of; otherwise the folder's name
    #[arg(long, value_name = "NAME")]
    pub experiment: Option<String>,
    /// Its name for people
    #[arg(long)]
    pub name: Option<String>,
    /// Run once for each of these values: NAME=FROM:TO:STEP or NAME=VALUE,VALUE; several are combined
    #[arg(long, value_name = "NAME=VALUES")]
    pub sweep: Vec<String>,
    /// So many runs at the same time
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    /// Show what the runs print
    #[arg(long, conflicts_with = "no_wait")]
    pub show_output: bool,
    /// Print the run's id and let it go on in the background
    #[arg(long)]
    pub no_wait: bool,
    /// Keep the copy of the folder when all runs have completed
    #[arg(long)]
    pub keep_copy: bool,
    /// Sort the runs at the end by the last value of this metric, and tell the smallest meanwhile
    #[arg(long, value_name = "METRIC")]
    pub sort: Option<String>,
    /// Print JSON at the end
    #[arg(long)]
    pub json: bool,
    /// The script and its arguments; {NAME} stands for a value of the sweep
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Submits, waits for the end unless that is not wanted, and shows what came of it.
///
/// # Errors
/// If something is wrong with what was typed, the folder cannot be copied, or the runs cannot be started.
pub async fn submit(args: &SubmitArgs, state_dir: &Path, caller: &Caller, out: &mut Output<'_>) -> Result<Exit> {
    let axes = axes(&args.sweep)?;
    let points = points(&axes)?;
    let commands = points.iter().map(|point| filled(&args.command, point)).collect::<Result<Vec<_>>>()?;
    let source =
        args.source_dir.canonicalize().with_context(|| format!("{} cannot be read", args.source_dir.display()))?;
    let id = Uuid::now_v7().to_string();
    let folder = left::copies_in(state_dir).join(&id);
    let part = folder.with_extension(left::PART);
    let (from, to) = (source.clone(), part.clone());
    let copied =
        tokio::task::spawn_blocking(move || snapshot::copy(&from, &to)).await.context("copying was interrupted")?;
    let whole = || format!("{} cannot be made", folder.display());
    if let Err(error) = copied.and_then(|_| std::fs::rename(&part, &folder).with_context(whole)) {
        // What was copied so far is of no use.
        let _ = std::fs::remove_dir_all(&part);
        return Err(error);
    }
    let search = std::env::var_os("PATH");
    let place = Place { folder: &folder, called: "the copy of the folder", search: search.as_deref() };
    if let Err(error) = commands.iter().try_for_each(|command| can_be_started(&command[0], &place)) {
        let _ = std::fs::remove_dir_all(&folder);
        return Err(error);
    }
    let own = source.file_name().map_or_else(|| "default".to_owned(), |name| name.to_string_lossy().into_owned());
    let mut plan = Plan {
        id: id.clone(),
        experiment: args.experiment.clone().unwrap_or(own),
        folder,
        copied: SystemClock.now(),
        keeps_copy: args.keep_copy,
        state_dir: state_dir.to_owned(),
        parallel: args.parallel,
        has_output: args.show_output,
        metric: args.sort.clone(),
        trials: Vec::new(),
    };
    let _held = left::hold(&plan.folder);
    match start(args, &plan, points.iter().zip(commands), caller).await {
        Ok(trials) => plan.trials = trials,
        Err(error) => {
            // Nothing has run in it.
            let _ = std::fs::remove_dir_all(&plan.folder);
            return Err(error);
        }
    }
    plan.write()?;
    let (what, count) = if axes.is_empty() { ("run", String::new()) } else { ("sweep", of_runs(points.len())) };
    if args.no_wait {
        detached::begin(&plan).await?;
        eprintln!("runlog: {what} {id}{count} goes on in the background; runlog runs wait {id}");
        return tell(args.json, &id, out).map(|()| Exit::Ok);
    }
    eprintln!("runlog: {what} {id}{count}");
    let worked = work(&plan, Begun::Never, caller).await?;
    clean_up(&plan, &worked);
    let shown = if plan.is_sweep() {
        let children: v1::ListRunsResponse = caller.get(&format!("/runs?limit=10000&parent={}", escaped(&id))).await?;
        children.runs.into_iter().rev().collect()
    } else {
        vec![caller.get(&format!("/runs/{}", escaped(&id))).await?]
    };
    manage::compare(args.json, shown, args.sort.as_deref().filter(|_| plan.is_sweep()), caller, out).await?;
    Ok(if worked.is_complete() { Exit::Ok } else { Exit::Failed })
}

/// What is typed before the program is taken for the program if it is no flag.
fn can_be_started(name: &str, place: &Place) -> Result<()> {
    program::check(name.as_ref(), place)
        .map_err(|error| if name.starts_with('-') { no_flag("submit", name) } else { error })
}

fn of_runs(count: usize) -> String {
    format!(" of {count} runs")
}

/// Tells which run was begun, for a script that goes on with it.
fn tell(is_json: bool, id: &str, out: &mut Output<'_>) -> Result<()> {
    let line = if is_json { json!({ "run_id": id }).to_string() } else { id.to_owned() };
    let told = writeln!(out.writer, "{line}").and_then(|()| out.writer.flush());
    unless_closed(told.map_err(Into::into))
}

/// Starts the run, or the sweep with its runs, which wait then.
async fn start(
    args: &SubmitArgs,
    plan: &Plan,
    commands: impl Iterator<Item = (&Point, Vec<String>)>,
    caller: &Caller,
) -> Result<Vec<Trial>> {
    let is_sweep = !args.sweep.is_empty();
    let own = if is_sweep { "sweep".to_owned() } else { String::new() };
    let name = args.name.clone().unwrap_or(own);
    let request = |run_id: &str, name: &str| v1::StartRunRequest {
        run_id: run_id.to_owned(),
        experiment: plan.experiment.clone(),
        name: name.to_owned(),
        ..Default::default()
    };
    let status = if is_sweep { "running" } else { "queued" };
    let first = v1::StartRunRequest { status: status.to_owned(), ..request(&plan.id, &name) };
    let _: v1::RunResponse = caller.post("/runs", &first).await?;
    if !is_sweep {
        return Ok(vec![Trial { id: plan.id.clone(), name, command: args.command.clone() }]);
    }
    let mut trials = Vec::new();
    for (point, command) in commands {
        let name = point.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        let id = Uuid::now_v7().to_string();
        let child = v1::StartRunRequest {
            parent_run_id: plan.id.clone(),
            parameters: point.iter().map(|(name, value)| (name.clone(), value_of(value))).collect(),
            status: "queued".to_owned(),
            ..request(&id, &name)
        };
        let _: v1::RunResponse = caller.post("/runs", &child).await?;
        trials.push(Trial { id, name, command });
    }
    Ok(trials)
}

/// Goes on with what another process has submitted, in the background.
///
/// # Errors
/// If the plan cannot be read, or nobody takes what is to be said of the runs.
pub async fn go_on(plan: &Plan, begun: Begun, caller: &Caller) -> Result<Exit> {
    let _held = left::hold(&plan.folder);
    detached::say_ready();
    let worked = work(plan, begun, caller).await?;
    clean_up(plan, &worked);
    Ok(if worked.is_complete() { Exit::Ok } else { Exit::Failed })
}

/// Removes the copy, unless it is wanted or has something that is nowhere else.
fn clean_up(plan: &Plan, worked: &Worked) {
    if !worked.is_complete() {
        return;
    }
    plan.remove();
    if plan.keeps_copy {
        return;
    }
    let removed = match snapshot::has_grown(&plan.folder, plan.copied) {
        Ok(false) => std::fs::remove_dir_all(&plan.folder),
        Ok(true) => {
            eprintln!("runlog: the runs have left files in {}", plan.folder.display());
            return;
        }
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        eprintln!("runlog: the copy {} is not removed: {error}", plan.folder.display());
    }
}
