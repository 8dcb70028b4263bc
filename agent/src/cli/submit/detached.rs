//! Runs that go on when `runlog submit` has ended.
//!
//! Two processes see to that, in a session of their own: a keeper, and the supervisor whose child it is. A supervisor that
//! is killed is started again and takes over what is under way, so that each run still ends as what it was, and those
//! that wait are begun. What both need to know stands in a file, which is removed when all have completed.

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::process::setsid;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{
    super::exit::Exit,
    plan::{Plan, log_of},
};

/// What a supervisor says once it has begun.
const READY: &str = "ready";

/// How often a supervisor that is killed is started again.
const AGAIN: usize = 5;

/// Hands a plan over to a process in the background.
///
/// # Errors
/// If it does not begin.
pub async fn begin(plan: &Plan) -> Result<()> {
    let path = plan.path();
    let log = log_of(&path);
    let said = fs::File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let mut keeper = tokio::process::Command::from(supervise(&path, &["--keep"]));
    keeper.env("RUNLOG_STATE_DIR", &plan.state_dir).stdout(Stdio::piped()).stderr(said);
    // It goes on when this process ends.
    let mut keeper = keeper.spawn().context("the supervisor cannot be started")?;
    let mut line = String::new();
    if let Some(stdout) = keeper.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).await.context("the supervisor cannot be heard")?;
    }
    if line.trim() != READY {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("the supervisor has not begun: {}", said.trim());
    }
    Ok(())
}

/// Tells whoever has submitted that the runs are in good hands.
pub fn say_ready() {
    // A supervisor that takes over has nobody to tell.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{READY}").and_then(|()| stdout.flush());
}

/// Has a supervisor work at the plan until it is done, whoever kills it.
///
/// # Errors
/// If none can be started.
pub fn keep(path: &Path) -> Result<Exit> {
    // One that leads a session already is in nobody's.
    let _ = setsid();
    let mut arguments: &[&str] = &[];
    for _ in 0..AGAIN {
        let status = supervise(path, arguments).status().context("the supervisor cannot be started")?;
        if let Some(signal) = status.signal() {
            eprintln!("runlog: the supervisor was ended by signal {signal}, another one takes over");
            arguments = &["--take-over"];
            continue;
        }
        return Ok(if status.success() { Exit::Ok } else { Exit::Failed });
    }
    bail!("the supervisor was ended {AGAIN} times");
}

fn supervise(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("supervise").args(arguments).arg(path).stdin(Stdio::null());
    command
}
