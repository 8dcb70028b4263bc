//! One agent, one task: given its lines, watched until the sink has them, stopped.

pub mod agent;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};

use self::agent::{Agent, Sent, TICK, own_cpu};
use crate::{
    client,
    containers::{Containers, Engine},
    feed::{self, Rate, Written},
    format::{Format, Writer},
    lines::Lines,
    peer::{Input, Job, Peer},
    sink::{Sink, Totals},
};

/// How long an agent that is to be idle may still have something to do.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
/// How often an agent is woken, and the pause before each time.
const WAKES: u64 = 5;
const WAKE_PAUSE: Duration = Duration::from_secs(2);
const START_WITHIN: Duration = Duration::from_secs(30);
const READY_PAUSE: Duration = Duration::from_millis(1);

/// What an agent is given to do.
#[derive(Debug, Clone, Copy)]
pub enum Task {
    /// Files that are there when it starts.
    Files {
        /// How their lines lie in them.
        format: Format,
        /// How many files.
        files: u16,
        /// Lines in all.
        lines: u64,
    },
    /// Lines that come from the start on.
    Pace(Rate),
    /// Files of one line that get no more.
    Idle {
        /// How many files.
        files: u32,
        /// How long it is watched.
        watched: Duration,
    },
    /// A line now and then.
    Wake,
    /// A file of one line, for the time until it is sent.
    Start,
    /// Containers that have printed their lines and ended.
    Containers {
        /// How many.
        containers: u16,
        /// Lines in all.
        lines: u64,
    },
    /// Requests over OTLP/HTTP.
    Pass {
        /// Records in all.
        lines: u64,
    },
}

/// What was seen of one agent.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Lines that it was given.
    pub read: u64,
    /// Lines that were to arrive.
    pub lines: u64,
    /// Its user and system time: from its start until the sink had the last line, or while it was idle.
    pub cpu: Duration,
    /// The same span on the clock.
    pub wall: Duration,
    /// The most memory that was resident until then, files mapped by its program among it.
    pub peak_rss_bytes: u64,
    /// What was resident at the end of the span.
    pub rss_bytes: u64,
    /// The sink's own time in that span, without the reading of requests, with that of the generator if there is one.
    pub sink_cpu: Duration,
    /// The Docker engine's CPU time in that span; zero where none is asked.
    pub engine_cpu: Duration,
    /// From the write of a line to its arrival, shortest first; empty where lines were there before.
    pub latencies: Vec<Duration>,
    /// From the start of the process until it said that it is ready; `None` if it cannot be asked.
    pub ready: Option<Duration>,
    /// What had arrived after it ended.
    pub totals: Totals,
    /// How it ended when it was told to.
    pub exit: ExitStatus,
}

impl Sample {
    /// Lines a second of the agent's CPU time.
    #[must_use]
    pub fn lines_per_cpu_second(&self) -> f64 {
        let read = self.read as f64 * self.totals.unique as f64 / self.lines.max(1) as f64;
        read / self.cpu.as_secs_f64().max(TICK.as_secs_f64())
    }

    /// Lines that never arrived.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.lines.saturating_sub(self.totals.unique)
    }

    /// Whether every line arrived once and nothing else did.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        let Totals { repeated, foreign, unreadable, .. } = self.totals;
        self.missing() == 0 && repeated == 0 && foreign == 0 && unreadable == 0
    }
}

impl Task {
    /// The format of its lines.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Files { format, .. } => format,
            _ => Format::Python,
        }
    }

    /// Writes what is there before an agent starts.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write_ahead(self, logs: &Path) -> io::Result<()> {
        match self {
            Self::Files { format, files, lines } => feed::write_ahead(logs, format, files, lines / u64::from(files)),
            Self::Containers { containers, lines } => {
                feed::write_ahead(logs, Format::Python, containers, lines / u64::from(containers))
            }
            Self::Idle { files, .. } => feed::write_one_each(logs, files),
            Self::Start | Self::Wake => feed::write_one_each(logs, 1),
            Self::Pace(_) | Self::Pass { .. } => Ok(()),
        }
    }

    /// Lets containers print what was written ahead, if it is to come from there.
    ///
    /// # Errors
    /// If the engine does not let them.
    pub fn containers(self, logs: &Path) -> anyhow::Result<Option<Containers>> {
        match self {
            Self::Containers { containers, .. } => Containers::print(logs, containers).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether agents change the folder of logs, or what is in it is written for each of them.
    #[must_use]
    pub const fn needs_own_logs(self) -> bool {
        matches!(self, Self::Pace(_) | Self::Wake)
    }

    /// The lines that are to arrive from that peer.
    fn lines_of(self, peer: &dyn Peer) -> u64 {
        match self {
            Self::Files { format, files, lines } if peer.leaves_out() => {
                (0..files).map(|stream| Writer::new(format, stream).count_kept(lines / u64::from(files))).sum()
            }
            _ => self.lines(),
        }
    }

    const fn lines(self) -> u64 {
        match self {
            Self::Files { files, lines, .. } => lines / files as u64 * files as u64,
            Self::Containers { containers, lines } => lines / containers as u64 * containers as u64,
            Self::Pace(rate) => rate.count,
            Self::Idle { files, .. } => files as u64,
            Self::Wake => 1 + WAKES,
            Self::Start => 1,
            Self::Pass { lines } => lines,
        }
    }
}

/// Measures a peer on the lines in `logs`, in a folder of its own that is empty, on that core.
///
/// # Errors
/// If it cannot be started, or ends by itself.
pub fn measure(peer: &dyn Peer, task: Task, logs: &Path, folder: &Path, core: Option<usize>) -> anyhow::Result<Sample> {
    let lines = task.lines_of(peer);
    let sink = Sink::start(task.format()).context("cannot start the sink")?;
    let input = match task {
        Task::Pass { .. } => Input::Otlp(free_address()?),
        Task::Containers { .. } => Input::Containers(Engine::find()?),
        _ => Input::Files(logs, task.format()),
    };
    let job = Job { input, sink: sink.address(), folder };
    let invocation = peer.prepare(&job).context("cannot prepare the agent")?;
    let requests = if let Task::Pass { lines } = task { client::requests(lines) } else { Vec::new() };
    let engine_cpu = || if let Input::Containers(_) = job.input { Engine::cpu() } else { Ok(Duration::ZERO) };
    let engine_before = engine_cpu()?;
    let own_cpu_before = own_cpu()?;
    let start = Instant::now();
    let mut agent = Agent::start(&invocation, folder, core)?;
    let mut ready = None;
    let mut written = Vec::new();
    let mut span_start = start;
    let sent = match (task, &job.input) {
        (Task::Pace(rate), _) => {
            let sent;
            (sent, written) = while_fed(&mut agent, &sink, rate.count, || feed::write_at_rate(logs, rate))?;
            sent
        }
        (Task::Pass { lines }, Input::Otlp(address)) => {
            wait_for(|| TcpStream::connect(address).is_ok()).context("the agent does not listen")?;
            while_fed(&mut agent, &sink, lines, || client::post_all(*address, &requests))?.0
        }
        (Task::Idle { files, watched }, _) => {
            agent.wait_until_sent(&sink, u64::from(files))?;
            thread::sleep(SETTLED_AFTER);
            let before = agent.exact_cpu_of_threads()?;
            span_start = Instant::now();
            thread::sleep(watched);
            let cpu = agent.exact_cpu_of_threads()?.saturating_sub(before);
            Sent { at: Instant::now(), cpu, own_cpu: own_cpu()? }
        }
        (Task::Wake, _) => {
            agent.wait_until_sent(&sink, 1)?;
            written.push(Written { until: 1, at: Instant::now() });
            let mut lines = Lines::from(0, 1);
            for until in 2..2 + WAKES {
                thread::sleep(WAKE_PAUSE);
                let at = feed::append_line(&feed::path_of(logs, 0), &mut lines)?;
                written.push(Written { until, at });
            }
            agent.wait_until_sent(&sink, task.lines())?
        }
        (Task::Start, _) => {
            if let Some(asked) = peer.is_ready(folder) {
                debug_assert!(!asked, "it has just been started");
                wait_for(|| peer.is_ready(folder) == Some(true)).context("the agent does not become ready")?;
                ready = Some(start.elapsed());
            }
            agent.wait_until_sent(&sink, 1)?
        }
        _ => agent.wait_until_sent(&sink, lines)?,
    };
    let engine_cpu = engine_cpu()?.saturating_sub(engine_before);
    let (peak_rss_bytes, rss_bytes) = agent.rss_bytes()?;
    let sink_cpu = sent.own_cpu.saturating_sub(own_cpu_before);
    let exit = agent.end()?;
    // A line that is sent again at the end counts as well.
    let totals = sink.arrivals().totals();
    let mut latencies = sink.arrivals().latencies(0, &written);
    if let Task::Wake = task {
        // The line that was there before is none that woke it, and it came before it was entered: nothing is shorter.
        latencies.remove(0);
    }
    Ok(Sample {
        read: task.lines(),
        lines,
        cpu: sent.cpu,
        wall: sent.at.saturating_duration_since(span_start),
        peak_rss_bytes,
        rss_bytes,
        sink_cpu,
        engine_cpu,
        latencies,
        ready,
        totals,
        exit,
    })
}

/// Waits for the lines that `feed` writes meanwhile; ends when the last one is written and has arrived.
fn while_fed<T: Send>(
    agent: &mut Agent,
    sink: &Sink,
    lines: u64,
    feed: impl FnOnce() -> io::Result<T> + Send,
) -> anyhow::Result<(Sent, T)> {
    thread::scope(|scope| {
        let feeding = scope.spawn(feed);
        let sent = agent.wait_until_sent(sink, lines)?;
        let fed = feeding.join().map_err(|_| anyhow!("the generator panicked"))?.context("cannot write the lines")?;
        Ok((sent, fed))
    })
}

fn wait_for(mut is_so: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_WITHIN;
    while !is_so() {
        anyhow::ensure!(Instant::now() < deadline, "not within {START_WITHIN:?}");
        thread::sleep(READY_PAUSE);
    }
    Ok(())
}

/// An address where nobody listened a moment ago.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

/// Whether an HTTP server answers a GET of that path with 200.
#[must_use]
pub fn answers_ok(address: &str, path: &str) -> bool {
    let asked = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    asked().unwrap_or(false)
}

#[cfg(test)]
mod tests;
