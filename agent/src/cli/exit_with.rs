//! Waiting for what the agent ends with.

use std::{future::pending, os::fd::OwnedFd, path::Path, time::Duration};

use anyhow::anyhow;
use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::info;

use crate::{config::Settings, record::UnixNanos, run::ExitWith, source::docker};

use super::exit::{Exit, Failure};

/// How often it is looked for a file.
const LOOK: Duration = Duration::from_millis(500);

/// Returns when the run has ended that the agent is to end with, which began at that time; never, if it is to go on until
/// it is stopped. Cancel safe.
///
/// # Errors
/// If a process cannot be watched.
pub async fn ended(settings: &Settings, began: UnixNanos) -> Result<(), Failure> {
    match &settings.exit_with {
        None => pending().await,
        Some(ExitWith::Path(path)) => {
            appears(path).await;
            info!(path = %path.display(), "the file is there that this agent ends with (exit_with)");
        }
        Some(ExitWith::Pid(pid)) => {
            let unwatched = |error| {
                let text = format!("exit_with=pid:{pid} cannot be watched: {error}\nname a file or a container");
                Failure::new(Exit::Settings, anyhow!(text))
            };
            process_ends(*pid).await.map_err(unwatched)?;
            info!(pid, "the process has ended that this agent ends with (exit_with)");
        }
        Some(ExitWith::Container(name)) => {
            docker::ended(&settings.docker.socket, name, began).await;
            info!(container = name, "the container has ended that this agent ends with (exit_with)");
        }
    }
    Ok(())
}

async fn appears(path: &Path) {
    // What cannot be looked at is not there: the folder may be mounted later.
    while !tokio::fs::try_exists(path).await.unwrap_or(false) {
        tokio::time::sleep(LOOK).await;
    }
}

/// A number that no process has belonged to one that has ended already.
async fn process_ends(pid: u32) -> std::io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        // The descriptor can be read when the process has ended, so that its number may have another one by then.
        Ok(process) => watched(process)?.readable().await.map(|_ended| ()),
        Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[expect(deprecated, reason = "what tokio offers in its place is unsafe; an `OwnedFd` has one descriptor for its life")]
fn watched(process: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(process, Interest::READABLE)
}
