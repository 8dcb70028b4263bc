//! One agent, one job: started, watched until the sink has everything, stopped.

use std::{
    fs::{self, File},
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    feed,
    peer::{Invocation, Job, Peer},
    sink::{Sink, Totals, Waited},
};

/// Ticks a second in `/proc/PID/stat`: `USER_HZ`, the same on every Linux that runs this.
const TICKS_PER_SECOND: u64 = 100;
const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND);
/// An agent that has not sent a new line for so long will not send the rest.
const STALLED_AFTER: Duration = Duration::from_secs(20);
/// What an agent may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// How much of an agent's messages is shown when it fails.
const SHOWN_MESSAGE_BYTES: usize = 2000;

/// What an agent is given to read.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Lines in all.
    pub lines: u64,
    /// How they come.
    pub pace: Pace,
}

/// How lines come into their file.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// All are there when the agent starts.
    Ahead,
    /// So many a second, from the agent's start on.
    Rate {
        /// Lines a second.
        lines_per_second: u64,
    },
}

/// What was seen of one agent.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Lines that it was given.
    pub lines: u64,
    /// Its user and system time from its start until the sink had the last line.
    pub cpu: Duration,
    /// The same span on the clock.
    pub wall: Duration,
    /// The most memory that was resident in that span, files mapped by its program among it.
    pub peak_rss_bytes: u64,
    /// The sink's own time in that span, with that of the generator where lines come at a rate.
    pub sink_cpu: Duration,
    /// What had arrived after it ended.
    pub totals: Totals,
    /// How it ended when it was told to.
    pub exit: ExitStatus,
}

impl Sample {
    /// Lines a second of the agent's CPU time.
    #[must_use]
    pub fn lines_per_cpu_second(&self) -> f64 {
        self.totals.unique as f64 / self.cpu.as_secs_f64().max(TICK.as_secs_f64())
    }

    /// Lines that never arrived.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.lines.saturating_sub(self.totals.unique)
    }
}

/// An agent that runs. Killed when dropped.
struct Agent {
    child: Child,
    messages: PathBuf,
}

/// Measures a peer on the lines in `logs`, in a folder of its own that is empty, on that core.
///
/// # Errors
/// If it cannot be started, or ends by itself.
pub fn measure(
    peer: &dyn Peer,
    workload: Workload,
    logs: &Path,
    folder: &Path,
    core: Option<usize>,
) -> anyhow::Result<Sample> {
    let sink = Sink::start().context("cannot start the sink")?;
    let job = Job { logs, sink: sink.address(), folder };
    let invocation = peer.prepare(&job).context("cannot prepare the agent")?;
    let sink_cpu_before = own_cpu()?;
    let start = Instant::now();
    let mut agent = Agent::start(&invocation, folder, core)?;
    let complete_at = thread::scope(|scope| {
        // Ends when the last line is written.
        let feeding = match workload.pace {
            Pace::Ahead => None,
            Pace::Rate { lines_per_second } => {
                let path = logs.join(crate::INPUT);
                Some(scope.spawn(move || feed::write_at_rate(&path, 0, workload.lines, lines_per_second)))
            }
        };
        let complete_at = agent.wait_until_sent(&sink, workload.lines)?;
        if let Some(feeding) = feeding {
            feeding.join().map_err(|_| anyhow!("the generator panicked"))?.context("cannot write the lines")?;
        }
        anyhow::Ok(complete_at)
    })?;
    let (cpu, peak_rss_bytes) = (agent.cpu()?, agent.peak_rss_bytes()?);
    let sink_cpu = own_cpu()?.saturating_sub(sink_cpu_before);
    let exit = agent.end()?;
    // A line that is sent again at the end counts as well.
    let totals = sink.arrivals().totals();
    let wall = complete_at.saturating_duration_since(start);
    Ok(Sample { lines: workload.lines, cpu, wall, peak_rss_bytes, sink_cpu, totals, exit })
}

impl Agent {
    fn start(invocation: &Invocation, folder: &Path, core: Option<usize>) -> anyhow::Result<Self> {
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

    /// Returns when the last line came; if lines stay away, when that was noticed.
    fn wait_until_sent(&mut self, sink: &Sink, lines: u64) -> anyhow::Result<Instant> {
        loop {
            match sink.arrivals().wait_for(lines, PAUSE) {
                Waited::Complete(at) => return Ok(at),
                Waited::NotYet { quiet } if quiet > STALLED_AFTER => return Ok(Instant::now()),
                Waited::NotYet { .. } => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the agent ended by itself, {status}: {}", self.last_messages());
            }
        }
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(&self.child.id().to_string()).context("cannot read the agent's CPU time")
    }

    fn peak_rss_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).context("no VmHWM")?;
        Ok(kib * 1024)
    }

    /// SIGTERM; SIGKILL if that does not help.
    fn end(mut self) -> anyhow::Result<ExitStatus> {
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

fn own_cpu() -> io::Result<Duration> {
    cpu_of("self")
}

/// User and system time of a process, its ended threads included. Source: `proc_pid_stat(5)`, fields 14 and 15.
fn cpu_of(process: &str) -> io::Result<Duration> {
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
mod tests;
