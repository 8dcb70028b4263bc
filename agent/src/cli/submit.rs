//! `runlog submit`: a script, run once for each value of a sweep, in a copy of its folder.
//!
//! Each run is a `runlog exec` of its own, so that what holds for one wrapped process holds for each. A sweep is a run whose
//! children they are.

mod snapshot;
mod sweep;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use runlog_proto::v1;
use tokio::{process::Command, select, signal::ctrl_c, sync::Semaphore, task::JoinSet};
use uuid::Uuid;

use super::{
    caller::{Caller, escaped},
    exit::Exit,
    run::value_of,
    runs::manage,
    table::duration,
    terminal::Output,
};
use sweep::{Axis, Point, filled, points};

const EXAMPLES: &str = "\
Examples:
  runlog submit --experiment diabetes -- python train.py
  runlog submit --sweep alpha=0:1:0.05 --parallel 4 --sort mse -- python train.py --alpha {alpha}
  runlog submit --sweep lr=1e-3,1e-4 --sweep depth=2,3 -- python train.py --lr {lr} --depth {depth}

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
    #[arg(long)]
    pub show_output: bool,
    /// Sort the runs at the end by the last value of this metric
    #[arg(long, value_name = "METRIC")]
    pub sort: Option<String>,
    /// Print JSON at the end
    #[arg(long)]
    pub json: bool,
    /// The script and its arguments; {NAME} stands for a value of the sweep
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// What all runs of one call share.
#[derive(Clone)]
struct Plan {
    experiment: String,
    folder: PathBuf,
    state_dir: PathBuf,
    has_output: bool,
    /// Where programs find this process, if no agent is there to be found.
    socket: Option<PathBuf>,
}

/// What came of the runs.
#[derive(Default)]
struct Worked {
    failed: usize,
    /// Those that were not begun, since it was to end.
    left: Vec<String>,
    is_interrupted: bool,
}

/// One run.
struct Trial {
    id: String,
    name: String,
    command: Vec<String>,
}

/// Submits, waits for the end, and shows what came of it.
///
/// # Errors
/// If something is wrong with what was typed, the folder cannot be copied, or the runs cannot be started.
pub async fn submit(args: &SubmitArgs, state_dir: &Path, caller: &Caller, out: &mut Output<'_>) -> Result<Exit> {
    let axes = args.sweep.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>>>()?;
    let points = points(&axes)?;
    let commands = points.iter().map(|point| filled(&args.command, point)).collect::<Result<Vec<_>>>()?;
    let source =
        args.source_dir.canonicalize().with_context(|| format!("{} cannot be read", args.source_dir.display()))?;
    let id = Uuid::now_v7().to_string();
    let folder = state_dir.join("snapshots").join(&id);
    let (from, to) = (source.clone(), folder.clone());
    let copied =
        tokio::task::spawn_blocking(move || snapshot::copy(&from, &to)).await.context("copying was interrupted")?;
    if let Err(error) = copied {
        // What was copied so far is of no use.
        let _ = std::fs::remove_dir_all(&folder);
        return Err(error);
    }
    let own = source.file_name().map_or_else(|| "default".to_owned(), |name| name.to_string_lossy().into_owned());
    let experiment = args.experiment.clone().unwrap_or(own);
    let socket = caller.serve(state_dir.join(format!("{}.sock", &id[24..]))).await;
    let has_output = args.show_output;
    let plan = Plan { experiment, folder, state_dir: state_dir.to_owned(), has_output, socket: socket.path() };
    if axes.is_empty() {
        let name = args.name.clone().unwrap_or_default();
        start(caller, &plan, v1::StartRunRequest { run_id: id.clone(), name: name.clone(), ..Default::default() })
            .await?;
        let trial = Trial { id: id.clone(), name, command: args.command.clone() };
        eprintln!("runlog: run {id}");
        let worked = work(args.parallel, plan, vec![trial]).await?;
        manage::compare(args.json, vec![caller.get(&format!("/runs/{}", escaped(&id))).await?], None, caller, out)
            .await?;
        return Ok(worked.exit());
    }
    let name = args.name.clone().unwrap_or_else(|| "sweep".to_owned());
    start(caller, &plan, v1::StartRunRequest { run_id: id.clone(), name, ..Default::default() }).await?;
    sweep(args, &plan, &id, points.iter().zip(commands), caller, out).await
}

impl Worked {
    const fn exit(&self) -> Exit {
        if self.failed == 0 && !self.is_interrupted { Exit::Ok } else { Exit::Failed }
    }
}

async fn sweep(
    args: &SubmitArgs,
    plan: &Plan,
    id: &str,
    commands: impl Iterator<Item = (&Point, Vec<String>)>,
    caller: &Caller,
    out: &mut Output<'_>,
) -> Result<Exit> {
    let mut trials = Vec::new();
    for (point, command) in commands {
        let name = point.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        let child = v1::StartRunRequest {
            run_id: Uuid::now_v7().to_string(),
            name: name.clone(),
            parent_run_id: id.to_owned(),
            parameters: point.iter().map(|(name, value)| (name.clone(), value_of(value))).collect(),
            status: "queued".to_owned(),
            ..Default::default()
        };
        trials.push(Trial { id: child.run_id.clone(), name, command });
        start(caller, plan, child).await?;
    }
    eprintln!("runlog: sweep {id} of {} runs", trials.len());
    let count = trials.len();
    let worked = work(args.parallel, plan.clone(), trials).await?;
    for left in &worked.left {
        let ended = v1::EndRunRequest::default();
        let _: v1::RunResponse = caller.post(&format!("/runs/{}/cancel", escaped(left)), &ended).await?;
    }
    let (end, message) = match worked {
        Worked { is_interrupted: true, .. } => ("cancel", String::new()),
        Worked { failed: 0, .. } => ("complete", String::new()),
        Worked { failed, .. } => ("fail", format!("{failed} of {count} runs failed")),
    };
    let ended = v1::EndRunRequest { error_message: message, ..Default::default() };
    let _: v1::RunResponse = caller.post(&format!("/runs/{}/{end}", escaped(id)), &ended).await?;
    let children: v1::ListRunsResponse = caller.get(&format!("/runs?limit=10000&parent={}", escaped(id))).await?;
    let children = children.runs.into_iter().rev().collect();
    manage::compare(args.json, children, args.sort.as_deref(), caller, out).await?;
    Ok(worked.exit())
}

async fn start(caller: &Caller, plan: &Plan, request: v1::StartRunRequest) -> Result<()> {
    let request = v1::StartRunRequest { experiment: plan.experiment.clone(), ..request };
    caller.post::<v1::RunResponse>("/runs", &request).await.map(drop)
}

/// Runs all, some at the same time. Ctrl-C, which they hear as well, begins no further ones.
async fn work(parallel: u16, plan: Plan, trials: Vec<Trial>) -> Result<Worked> {
    let (plan, places) = (Arc::new(plan), Arc::new(Semaphore::new(parallel.into())));
    let count = trials.len();
    // Joined below.
    let mut running = JoinSet::new();
    for trial in trials {
        let (plan, places) = (Arc::clone(&plan), Arc::clone(&places));
        running.spawn(async move {
            // Closed by Ctrl-C.
            let Ok(_place) = places.acquire_owned().await else { return Ok((trial, None)) };
            let since = Instant::now();
            let code = run(&plan, &trial).await?;
            Ok::<_, anyhow::Error>((trial, Some((code, since.elapsed()))))
        });
    }
    let (mut worked, mut ended) = (Worked::default(), 0);
    loop {
        let joined = select! {
            joined = running.join_next() => joined,
            heard = ctrl_c(), if !worked.is_interrupted => {
                worked.is_interrupted = heard.is_ok();
                places.close();
                continue;
            }
        };
        let Some(joined) = joined else { return Ok(worked) };
        let (trial, end) = joined.context("a run was interrupted")??;
        let Some((code, elapsed)) = end else {
            worked.left.push(trial.id);
            continue;
        };
        ended += 1;
        worked.failed += usize::from(code != 0);
        let how = if code == 0 { "completed".to_owned() } else { format!("failed ({code})") };
        let elapsed = duration(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        let name = if trial.name.is_empty() { &trial.id } else { &trial.name };
        eprintln!("runlog: {ended}/{count} {name} {how} in {elapsed}");
    }
}

/// Runs one, and tells its exit code.
async fn run(plan: &Plan, trial: &Trial) -> Result<i32> {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["exec", "--quiet", "--run-id", &trial.id, "--experiment", &plan.experiment, "--"])
        .args(&trial.command)
        .current_dir(&plan.folder)
        .env("RUNLOG_STATE_DIR", &plan.state_dir)
        .stdin(Stdio::null());
    if let Some(socket) = &plan.socket {
        command.env("RUNLOG_SOCKET", socket);
    }
    if !plan.has_output {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let status = command.status().await.context("runlog exec cannot be started")?;
    match status.code() {
        // What runlog itself ends with is no end of the script.
        Some(code @ (64 | 74)) => bail!("runlog exec has ended with {code}; try the command with --show-output"),
        code => Ok(code.unwrap_or(1)),
    }
}
