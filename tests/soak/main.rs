//! A long randomized run: the agent as a process, with writers, rotations, kills, a moody backend, full disks and
//! clocks that step, drawn from one seed.
//!
//! An episode is a world of its own with a seed of its own ([`plan`]), so the seed of one that failed repeats it
//! alone. [`episode`] has it happen, [`writer`] prints and remembers, [`judge`] lays what came out over what was
//! printed. `docs/faults.md` says how to run it and what was found; `tests/soak/run` builds and starts it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "an episode fails by panicking; main prints"
)]

mod backend;
mod disk;
mod episode;
mod eye;
mod found;
mod judge;
mod kinds;
mod plan;
mod run;
mod writer;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use crate::{plan::Files, run::Run};

/// Has many things happen to an agent at once, and sees that no line is lost or there twice.
///
/// Ends with 1 if something was violated; it says what, and how to repeat it.
#[derive(Debug, Parser)]
#[command(name = "soak", after_help = EXAMPLES)]
struct Options {
    /// Begin no new episode after this time
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "10m")]
    lasts: Duration,
    /// Do not do more episodes than this, besides the listed ones
    #[arg(long, value_name = "COUNT")]
    episodes: Option<u64>,
    /// Where to begin; the first episode is the one of this seed
    #[arg(long, value_name = "NUMBER", value_parser = seed)]
    seed: Option<u64>,
    /// Episodes that happen at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    beside: usize,
    /// Leave out the episodes that once failed, listed in tests/soak/seeds.txt
    #[arg(long)]
    new_only: bool,
    /// Let writers rename and remove their files, but not empty them
    #[arg(long)]
    no_emptying: bool,
    /// Say in JSON what was found
    #[arg(long)]
    json: bool,
    /// The runlog program
    #[arg(long, value_name = "PATH", default_value = "target/release/runlog")]
    agent: PathBuf,
    /// The library that gives the agent another time of day [default: $RUNLOG_TEST_FAKETIME]
    #[arg(long, value_name = "PATH")]
    faketime: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  tests/soak/run                                   for 10 minutes, from a new seed
  tests/soak/run --for 8h --json >soak.json        over night
  tests/soak/run --episodes 1000 --beside 4        on a machine with more cores
  tests/soak/run --seed 0x2a --episodes 1 --new-only    one episode again";

fn main() -> ExitCode {
    let options = Options::parse();
    runlog_tests::use_binary(options.agent.canonicalize().unwrap_or(options.agent));
    let run = Run {
        first: options.seed.unwrap_or_else(|| fastrand::u64(..)),
        lasts: options.lasts,
        most: options.episodes.unwrap_or(u64::MAX),
        beside: options.beside,
        known: if options.new_only { Vec::new() } else { run::known_seeds() },
        files: if options.no_emptying { Files::KeepTheirBytes } else { Files::MayBeEmptied },
        faketime: options.faketime.or_else(run::faketime),
    };
    let outcome = run.all();
    if options.json {
        println!("{:#}", outcome.json());
    } else {
        println!("{}", outcome.text());
    }
    if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seed(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long new episodes are tried where nobody says otherwise.
    const A_MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn episodes_that_once_failed_and_new_ones_lose_nothing_and_have_nothing_twice() {
        let lasts = std::env::var("RUNLOG_SOAK").map_or(A_MINUTE, |lasts| humantime::parse_duration(&lasts).unwrap());
        let run = Run {
            first: std::env::var("RUNLOG_SOAK_SEED").map_or_else(|_| fastrand::u64(..), |text| seed(&text).unwrap()),
            lasts,
            most: u64::MAX,
            beside: 2,
            known: run::known_seeds(),
            files: Files::MayBeEmptied,
            faketime: Some(runlog_tests::tool("RUNLOG_TEST_FAKETIME", "faketime").into()),
        };
        let outcome = run.all();
        assert!(outcome.is_good(), "{}", outcome.text());
        println!("{}", outcome.text());
    }
}
