//! Processes whose parents have ended.
//!
//! The first process of a container inherits them, and has to ask how they ended: until then they stay as zombies,
//! which count against the container's limit of processes.

use std::{fs, io};

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tracing::debug;

/// Lays orphans to rest until it is dropped.
#[derive(Debug)]
pub struct Orphans(Option<JoinHandle<()>>);

impl Orphans {
    /// Begins, if this is the first process of a container. `own` is a child that somebody else waits for. Must be
    /// called inside the runtime.
    ///
    /// # Errors
    /// If it cannot be noticed that a child has ended.
    pub fn of_container(own: Option<u32>) -> io::Result<Self> {
        if std::process::id() != 1 {
            return Ok(Self(None));
        }
        let ended = signal(SignalKind::child())?;
        // Aborted by the drop.
        Ok(Self(Some(tokio::spawn(lay_to_rest(ended, own)))))
    }
}

impl Drop for Orphans {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn lay_to_rest(mut ended: Signal, own: Option<u32>) {
    loop {
        for pid in zombies().into_iter().filter(|pid| Some(pid.as_raw_nonzero().get().unsigned_abs()) != own) {
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(_) => debug!(pid = pid.as_raw_nonzero(), "an orphan has ended"),
                Err(error) => debug!(pid = pid.as_raw_nonzero(), error = %error, "an orphan has ended unseen"),
            }
        }
        ended.recv().await;
    }
}

/// Our children that have ended and were not waited for.
fn zombies() -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pid = |name: &str| name.parse().ok().and_then(Pid::from_raw);
    let names = processes.flatten().map(|entry| entry.file_name());
    let stats = names.filter_map(|name| {
        let pid = pid(name.to_str()?)?;
        let stat = fs::read_to_string(format!("/proc/{}/stat", name.to_str()?)).ok()?;
        is_zombie_of(&stat, std::process::id()).then_some(pid)
    });
    stats.collect()
}

/// Source: `proc_pid_stat(5)`. The name, in brackets, may hold anything.
fn is_zombie_of(stat: &str, parent: u32) -> bool {
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut fields = rest.split(' ');
    fields.next() == Some("Z") && fields.next().and_then(|field| field.parse().ok()) == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s20_a_zombie_is_known_whatever_its_name_is() {
        for (stat, is_zombie) in [
            ("7 (sh) Z 1 7 7 0", true),
            ("7 (a) Z 9) Z 1 7", true),
            ("7 (sh) S 1 7 7 0", false),
            ("7 (sh) Z 12 7 7 0", false),
            ("7 (sh", false),
        ] {
            assert_eq!(is_zombie_of(stat, 1), is_zombie, "{stat}");
        }
    }
}
