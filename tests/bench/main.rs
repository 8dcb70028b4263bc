//! How much an agent costs: lines from files to an acknowledged OTLP request, in CPU time, memory and delay.
//!
//! `docs/benchmarks.md` says what is measured and what the figures do not say; `tests/bench/run` starts this.
//! [`lines`] in a [`format`](mod@format) come through [`feed`] or [`client`], a [`peer`] takes them and sends to the
//! [`sink`], [`measure`] watches, [`report`] shows. A [`scenario`] says which lines and what is looked at. Peers take
//! turns in every round, so that a disturbance of the machine meets all.

#![allow(clippy::print_stdout, reason = "the tables are what this program is for")]

mod client;
mod containers;
mod feed;
mod format;
mod lines;
mod measure;
mod peer;
mod report;
mod scenario;
mod sink;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, bail, ensure};
use clap::Parser;

use crate::{
    measure::measure,
    peer::{Collector, Features, Peer, Queue, Runlog, Wire},
    report::{Outcome, Place, Program, Series, chart, grouped},
    scenario::{Aspect, Scenario},
};

/// The peer that ratios are to.
const REFERENCE: &str = "collector";

/// Measures what agents cost.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    /// What to measure: names, or `all`
    #[arg(long, value_delimiter = ',', default_value = "python")]
    scenario: Vec<String>,
    /// Lines that each agent is given in each round of a throughput scenario
    #[arg(long, default_value_t = 2_000_000)]
    lines: u64,
    /// Rounds; in each, every agent has its turn. Scenarios that mostly wait have fewer
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Agents to measure
    #[arg(long, value_delimiter = ',', default_value = "runlog,runlog-files,collector,collector-queue")]
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
    let (peers, scenarios) = (options.peers()?, options.scenarios()?);
    fs::create_dir_all(&options.out).with_context(|| format!("cannot create {}", options.out.display()))?;
    let out = options.out.canonicalize()?;
    let place = Place::here(options.agent_core);
    let programs = peers.iter().map(|peer| program(peer.as_ref())).collect::<anyhow::Result<Vec<_>>>()?;
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let name = scenario.name.clone();
        let outcome = options.rounds(scenario, &peers, &out).with_context(|| format!("cannot measure {name}"))?;
        outcomes.push(outcome);
    }

    let tables = report::tables(&outcomes, &programs, REFERENCE);
    println!("{tables}");
    let json = serde_json::to_string_pretty(&report::json(&place, &outcomes, &programs, REFERENCE))? + "\n";
    let mut files = vec![("results.md".to_owned(), tables), ("results.json".to_owned(), json)];
    let svg = |aspect: Aspect| Some((format!("{}.svg", aspect.file_name()), chart::svg(aspect, &outcomes)?));
    files.extend(Aspect::ALL.into_iter().filter_map(svg));
    for (name, text) in files {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("load average before {:.2}; tables, charts and all samples are in {}", place.load_before, out.display());

    let all = outcomes.iter().flat_map(|outcome| outcome.series.iter().map(move |series| (outcome, series)));
    let inexact: Vec<String> = all
        .filter(|(_, series)| !series.is_exact())
        .map(|(outcome, series)| format!("{} of {}", outcome.scenario.name, series.name))
        .collect();
    if inexact.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("not every line arrived exactly once, so these figures count for nothing: {}", inexact.join(", "));
    Ok(ExitCode::FAILURE)
}

impl Options {
    fn peers(&self) -> anyhow::Result<Vec<Box<dyn Peer>>> {
        let collector = |queue| Box::new(Collector { program: self.collector.clone(), queue });
        let runlog = |wire| Box::new(Runlog { program: self.runlog.clone(), wire, features: Features::All });
        let with = |features| Box::new(Runlog { program: self.runlog.clone(), wire: Wire::Zstd, features });
        let known: [Box<dyn Peer>; 14] = [
            runlog(Wire::Zstd),
            runlog(Wire::Gzip),
            runlog(Wire::Grpc),
            runlog(Wire::EngineFiles),
            with(Features::NoJoin),
            with(Features::NoTerminal),
            with(Features::NoRedact),
            with(Features::NoPrefix),
            with(Features::None),
            with(Features::Scalars),
            with(Features::Level),
            with(Features::Recorder),
            collector(Queue::Memory),
            collector(Queue::Disk),
        ];
        let names: Vec<&str> = known.iter().map(|peer| peer.name()).collect();
        check(&self.peers, &names, "agent")?;
        Ok(known.into_iter().filter(|peer| is_wanted(&self.peers, peer.name())).collect())
    }

    fn scenarios(&self) -> anyhow::Result<Vec<Scenario>> {
        let all = scenario::all(self.lines);
        let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
        check(&self.scenario, &names, "scenario")?;
        Ok(all.into_iter().filter(|scenario| is_wanted(&self.scenario, &scenario.name)).collect())
    }

    fn rounds(&self, scenario: Scenario, peers: &[Box<dyn Peer>], out: &Path) -> anyhow::Result<Outcome> {
        // On the disk that holds the repository, not in /tmp, which may be memory.
        let work = tempfile::tempdir_in(out)?;
        let shared = logs_in(work.path())?;
        if !scenario.task.needs_own_logs() {
            scenario.task.write_ahead(&shared).context("cannot write the lines")?;
        }
        let _printed = scenario.task.containers(&shared)?;
        let peers: Vec<&dyn Peer> = peers.iter().map(AsRef::as_ref).filter(|peer| peer.takes(scenario.task)).collect();
        let mut series: Vec<Series> =
            peers.iter().map(|peer| Series { name: peer.name(), samples: Vec::new() }).collect();
        for round in 0..self.repeats.min(scenario.most_rounds) as usize {
            for turn in 0..peers.len() {
                // Each round begins with another peer: nobody is always the one after the expensive one.
                let nth = (round + turn) % peers.len();
                let folder = tempfile::tempdir_in(work.path())?;
                let mut logs = shared.clone();
                if scenario.task.needs_own_logs() {
                    logs = logs_in(folder.path())?;
                    scenario.task.write_ahead(&logs).context("cannot write the lines")?;
                }
                let name = peers[nth].name();
                let sample = measure(peers[nth], scenario.task, &logs, folder.path(), self.agent_core)
                    .with_context(|| format!("cannot measure {name}"))?;
                let main = scenario.aspect.main();
                let figure = grouped((main.of)(&sample), main.digits);
                eprintln!("{}, round {}: {name} {figure} {}", scenario.name, round + 1, main.name);
                series[nth].samples.push(sample);
            }
        }
        Ok(Outcome { scenario, series })
    }
}

fn logs_in(folder: &Path) -> anyhow::Result<PathBuf> {
    let logs = folder.join("logs");
    fs::create_dir(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    Ok(logs)
}

fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.iter().any(|wanted| wanted == name || wanted == "all")
}

fn check(wanted: &[String], known: &[&str], what: &str) -> anyhow::Result<()> {
    for name in wanted {
        ensure!(
            name == "all" || known.contains(&name.as_str()),
            "no {what} is called {name}; there are: {}",
            known.join(", ")
        );
    }
    Ok(())
}

fn program(peer: &dyn Peer) -> anyhow::Result<Program> {
    let path = peer.program();
    let asked = || format!("cannot run {} --version", path.display());
    let output = Command::new(path).arg("--version").output().with_context(asked)?;
    if !output.status.success() {
        bail!("{}: {}", asked(), output.status);
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // One that is found in PATH has no size here.
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    Ok(Program { name: peer.name(), settings: peer.settings(), version, bytes })
}
