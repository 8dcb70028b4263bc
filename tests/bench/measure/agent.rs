//! One agent's process: started on its core, watched, stopped.

use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{peer::Invocation, sink::Sink};

/// Ticks a second in `/proc/PID/stat`: `USER_HZ`, the same on every Linux that runs this.
const TICKS_PER_SECOND: u64 = 100;
/// How exactly [`Agent::cpu`] is known.
pub const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND);
/// After so long without a request, those that came are read. Longer than an agent waits to fill a batch.
const QUIET: Duration = Duration::from_millis(300);
/// An agent that has sent nothing for so long will not send the rest.
const STALLED_AFTER: Duration = Duration::from_secs(20);
/// What an agent may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// How much of an agent's messages is shown when it fails.
const SHOWN_MESSAGE_BYTES: usize = 2000;

/// An agent that runs. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    messages: PathBuf,
}

/// The moment at which everything had been sent, or no more came.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// When the last request came.
    pub at: Instant,
    /// The agent's CPU time soon after it.
    pub cpu: Duration,
    /// This process's own then, before it read what had come.
    pub own_cpu: Duration,
}

impl Agent {
    /// Starts it in a folder of its own.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn start(invocation: &Invocation, folder: &Path, core: Option<usize>) -> anyhow::Result<Self> {
        // `taskset` becomes the program, so the process stays the same one.
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(core.to_string()).arg(&invocation.program);
                command
            }
            None => Command::new(&invocation.program),
        };
        let messages = folder.join("messages");
        let child = command
            .args(&invocation.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(invocation.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(&messages)?)
            .stderr(File::options().append(true).open(&messages)?)
            .spawn()
            .with_context(|| format!("cannot start {}", invocation.program.display()))?;
        Ok(Self { child, messages })
    }

    /// Waits until so many lines have arrived, or no more come.
    ///
    /// # Errors
    /// If the agent ends by itself.
    pub fn wait_until_sent(&mut self, sink: &Sink, lines: u64) -> anyhow::Result<Sent> {
        let mut read = 0;
        let mut last_change = Instant::now();
        loop {
            let (requests, last) = sink.arrivals().latest();
            let at = last.unwrap_or(last_change).max(last_change);
            if requests > read && at.elapsed() > QUIET {
                // Before the requests are read, which takes a while.
                let sent = Sent { at, cpu: self.cpu()?, own_cpu: own_cpu()? };
                read = requests;
                if sink.arrivals().totals().unique >= lines {
                    return Ok(sent);
                }
                last_change = Instant::now();
            } else if at.elapsed() > STALLED_AFTER {
                return Ok(Sent { at, cpu: self.cpu()?, own_cpu: own_cpu()? });
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended by itself, {status}: {}", self.last_messages());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Its user and system time, in ticks.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(&self.child.id().to_string()).context("cannot read the agent's CPU time")
    }

    /// The time on a processor of the threads that it has now, to the nanosecond. Source: the kernel's
    /// `sched-stats.rst`.
    ///
    /// # Errors
    /// If it has ended.
    pub fn exact_cpu_of_threads(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += stat.split(' ').next().and_then(|first| first.parse::<u64>().ok()).context("no schedstat")?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// The most memory that was resident, and what is now; files mapped by its program among it.
    ///
    /// # Errors
    /// If it has ended.
    pub fn rss_bytes(&self) -> anyhow::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
        };
        field("VmHWM:").zip(field("VmRSS:")).context("no VmHWM or VmRSS")
    }

    /// SIGTERM; SIGKILL if that does not help.
    ///
    /// # Errors
    /// If it cannot be asked to.
    pub fn end(mut self) -> anyhow::Result<ExitStatus> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(PAUSE);
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    fn last_messages(&self) -> String {
        let text = fs::read(&self.messages).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN_MESSAGE_BYTES)..]).into_owned()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail, without harm, if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How an agent ended, in a word.
#[must_use]
pub fn ending(exit: ExitStatus) -> String {
    match (exit.code(), exit.signal()) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// This process's own.
///
/// # Errors
/// If `/proc` is not there.
pub fn own_cpu() -> io::Result<Duration> {
    cpu_of("self")
}

/// User and system time of a process, its ended threads included. Source: `proc_pid_stat(5)`, fields 14 and 15.
///
/// # Errors
/// If there is no such process.
pub fn cpu_of(process: &str) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    cpu_in(&stat).ok_or_else(|| io::Error::other("not the format of proc_pid_stat(5)"))
}

fn cpu_in(stat: &str) -> Option<Duration> {
    // The name in brackets may hold anything; the third field follows its last bracket.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u32>);
    let (user, system) = (ticks.next()?.ok()?, ticks.next()?.ok()?);
    Some(TICK * (user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_behind_any_name() {
        let stat = "7 (a) 1 (b) S 1 7 7 0 -1 4194304 9 9 9 9 150 25 3 4 20 0 1 0 1 1 1";
        assert_eq!(cpu_in(stat), Some(Duration::from_millis(1750)));
        assert_eq!(cpu_in("7 (sh) S 1"), None);
    }
}
