//! How much an agent costs: lines from a file to an acknowledged OTLP request, a CPU-second and a MiB.
//!
//! `docs/benchmarks.md` says what is measured and what the figures do not say; `tests/bench/run` starts this.
//! [`lines`] come through [`feed`] into a file, a [`peer`] reads it and sends to the [`sink`], [`measure`] watches,
//! [`report`] shows. Peers take turns in every round, so that a disturbance of the machine meets all.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod feed;
mod lines;
mod measure;
mod peer;
mod report;
mod sink;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail, ensure};
use clap::Parser;

use crate::{
    measure::{Pace, Workload, measure},
    peer::{Collector, Peer, Queue, Runlog},
    report::{Place, Series},
};

/// The file that agents read.
const INPUT: &str = "train.log";
/// The peer that ratios are to.
const REFERENCE: &str = "collector";

/// Measures what agents cost.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    /// Lines that each agent is given in each round
    #[arg(long, default_value_t = 2_000_000)]
    lines: u64,
    /// Rounds; in each, every agent has its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Write so many lines a second while the agent runs, instead of all of them ahead
    #[arg(long, value_name = "LINES_PER_SECOND", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Agents to measure
    #[arg(long, value_delimiter = ',', default_value = "runlog,collector,collector-queue")]
    peers: Vec<String>,
    /// The runlog program
    #[arg(long, default_value = "target/release/runlog")]
    runlog: PathBuf,
    /// The Collector
    #[arg(long, default_value = "otelcol")]
    collector: PathBuf,
    /// The core that agents run on; without it, they run where the system lets them
    #[arg(long, value_name = "NUMBER")]
    agent_core: Option<usize>,
    /// Where results and, while it runs, lines and state are kept
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let peers = options.peers()?;
    fs::create_dir_all(&options.out).with_context(|| format!("cannot create {}", options.out.display()))?;
    let out = options.out.canonicalize()?;
    let place = Place::here(options.agent_core);
    let all = options.rounds(&peers, &out)?;

    println!("{}", report::table(&all, REFERENCE));
    let path = out.join(if options.rate.is_some() { "rate.json" } else { "throughput.json" });
    let json = serde_json::to_string_pretty(&report::json(&place, &all, REFERENCE))?;
    fs::write(&path, json + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    println!(
        "{} lines a round, load average before {:.2}, all samples in {}",
        options.lines,
        place.load_before,
        path.display()
    );
    let inexact: Vec<&str> = all.iter().filter(|series| !series.is_exact()).map(|series| series.name).collect();
    if inexact.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("not every line arrived exactly once, so these figures count for nothing: {}", inexact.join(", "));
    Ok(ExitCode::FAILURE)
}

impl Options {
    fn peers(&self) -> anyhow::Result<Vec<Box<dyn Peer>>> {
        let collector = |queue| Box::new(Collector { program: self.collector.clone(), queue });
        let known: [Box<dyn Peer>; 3] =
            [Box::new(Runlog { program: self.runlog.clone() }), collector(Queue::Memory), collector(Queue::Disk)];
        let names = known.iter().map(|peer| peer.name()).collect::<Vec<_>>().join(", ");
        for wanted in &self.peers {
            ensure!(known.iter().any(|peer| peer.name() == wanted), "no agent is called {wanted}; there are: {names}");
        }
        Ok(known.into_iter().filter(|peer| self.peers.iter().any(|wanted| wanted == peer.name())).collect())
    }

    fn rounds(&self, peers: &[Box<dyn Peer>], out: &Path) -> anyhow::Result<Vec<Series>> {
        // On the disk that holds the repository, not in /tmp, which may be memory.
        let work = tempfile::tempdir_in(out)?;
        let ahead = work.path().join("ahead");
        let workload = match self.rate {
            None => {
                fs::create_dir(&ahead)?;
                feed::write_ahead(&ahead.join(INPUT), 0, self.lines).context("cannot write the lines")?;
                Workload { lines: self.lines, pace: Pace::Ahead }
            }
            Some(lines_per_second) => Workload { lines: self.lines, pace: Pace::Rate { lines_per_second } },
        };
        let mut all = Vec::new();
        for peer in peers {
            let version = version(peer.program())?;
            all.push(Series { name: peer.name(), settings: peer.settings(), version, samples: Vec::new() });
        }
        for round in 0..self.repeats as usize {
            for turn in 0..peers.len() {
                // Each round begins with another peer: nobody is always the one after the expensive one.
                let nth = (round + turn) % peers.len();
                let folder = tempfile::tempdir_in(work.path())?;
                let logs = if self.rate.is_some() { folder.path() } else { &ahead };
                let name = peers[nth].name();
                let sample = measure(peers[nth].as_ref(), workload, logs, folder.path(), self.agent_core)
                    .with_context(|| format!("cannot measure {name}"))?;
                eprintln!("round {}: {name} {:.0} lines/CPU-s", round + 1, sample.lines_per_cpu_second());
                all[nth].samples.push(sample);
            }
        }
        Ok(all)
    }
}

fn version(program: &Path) -> anyhow::Result<String> {
    let asked = || format!("cannot run {} --version", program.display());
    let output = Command::new(program).arg("--version").output().with_context(asked)?;
    if !output.status.success() {
        bail!("{}: {}", asked(), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
