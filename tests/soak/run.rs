//! Episode after episode, several at a time.

use std::{
    any::Any,
    cell::RefCell,
    io::{IsTerminal, Write},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    path::PathBuf,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    episode::{Episode, Learnt},
    kinds::Tally,
    plan::{Files, Plan},
};

/// After so many episodes each kind of fault has to have bitten.
const ENOUGH_EPISODES: u64 = 100;
/// The name of threads on which episodes happen.
const THREAD: &str = "episode";
/// How many violations of one episode are shown.
const SHOWN: usize = 8;

/// Which episodes are to happen.
pub struct Run {
    /// The seed of the first new one.
    pub first: u64,
    /// No new one is begun after that.
    pub lasts: Duration,
    /// How many new ones at most.
    pub most: u64,
    /// How many at a time.
    pub beside: usize,
    /// The seeds of those that once failed. They come first.
    pub known: Vec<u64>,
    /// What writers of new episodes may do to their files.
    pub files: Files,
    /// The library that changes an agent's time of day.
    pub faketime: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    first: u64,
    took: Duration,
    episodes: u64,
    lines: u64,
    printed_bytes: u64,
    destroyed_bytes: u64,
    unseen_bytes: u64,
    repeated: u64,
    peak_resident_bytes: u64,
    tally: Tally,
    has_clock: bool,
    empties_files: bool,
    failures: Vec<Failure>,
}

/// An episode that failed.
#[derive(Debug)]
struct Failure {
    seed: u64,
    violations: Vec<String>,
    kept: PathBuf,
}

/// The library that changes a process's time of day, if `tests/tools/faketime` has made it known.
pub fn faketime() -> Option<PathBuf> {
    std::env::var_os("RUNLOG_TEST_FAKETIME").map(PathBuf::from)
}

/// The seeds of `tests/soak/seeds.txt`: one a line, each with the reason why it is there.
pub fn known_seeds() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines().map(str::trim);
    let seeds = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    seeds
        .map(|line| crate::seed(line.split(' ').next().unwrap_or(line)).expect("each line begins with a seed"))
        .collect()
}

impl Run {
    /// Has all of them happen.
    pub fn all(&self) -> Outcome {
        let began = Instant::now();
        // The first new episode is the one of the run's own seed, so that a seed repeats its episode alone.
        let mut random = fastrand::Rng::with_seed(self.first);
        let new = std::iter::once(self.first).chain(std::iter::repeat_with(move || random.u64(..)));
        let in_time = |_: &u64| began.elapsed() < self.lasts;
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let known = self.known.iter().map(|seed| (*seed, Files::MayBeEmptied));
        let new = new.take(most).take_while(in_time).map(|seed| (seed, self.files));
        let seeds = Mutex::new(known.chain(new));
        let outcome = Mutex::new(Outcome {
            first: self.first,
            has_clock: self.faketime.is_some(),
            empties_files: self.files == Files::MayBeEmptied,
            ..Outcome::default()
        });
        panic::set_hook(Box::new(remember));
        thread::scope(|scope| {
            for _ in 0..self.beside {
                let episodes = || {
                    loop {
                        let Some((seed, files)) = seeds.lock().unwrap().next() else { break };
                        let began = Instant::now();
                        let came = self.one(seed, files);
                        outcome.lock().unwrap().add(seed, began.elapsed(), came);
                    }
                };
                thread::Builder::new().name(THREAD.to_owned()).spawn_scoped(scope, episodes).unwrap();
            }
        });
        let _ = panic::take_hook();
        let mut outcome = outcome.into_inner().unwrap();
        outcome.took = began.elapsed();
        outcome
    }

    fn one(&self, seed: u64, files: Files) -> Result<Learnt, Failure> {
        let plan = Plan::of(seed, files);
        let begun = panic::catch_unwind(|| Episode::begin(&plan, self.faketime.as_deref()));
        let mut episode = match begun {
            Ok(episode) => episode,
            Err(panic) => {
                return Err(Failure { seed, violations: vec![words(panic.as_ref())], kept: PathBuf::new() });
            }
        };
        match panic::catch_unwind(AssertUnwindSafe(|| episode.run(&plan))) {
            Ok(Ok(learnt)) => Ok(learnt),
            Ok(Err(violations)) => Err(Failure { seed, violations, kept: episode.keep() }),
            Err(panic) => Err(Failure { seed, violations: vec![words(panic.as_ref())], kept: episode.keep() }),
        }
    }
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What an episode's own thread panicked with is told with its failure; what another thread did, at once.
fn remember(panic: &PanicHookInfo<'_>) {
    if thread::current().name() != Some(THREAD) {
        eprintln!("soak: {panic}");
    }
    LAST_PANIC.with_borrow_mut(|last| *last = panic.to_string());
}

fn words(panic: &(dyn Any + Send)) -> String {
    let message = LAST_PANIC.with_borrow(Clone::clone);
    if message.is_empty() { format!("{panic:?}") } else { message }
}

impl Outcome {
    /// Whether nothing was violated and, in a long run, every kind of fault has bitten.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.toothless().is_empty()
    }

    fn toothless(&self) -> Vec<&'static str> {
        if self.episodes < ENOUGH_EPISODES {
            return Vec::new();
        }
        let mut toothless = self.tally.toothless();
        toothless.retain(|name| *name != "clock step" || self.has_clock);
        toothless.retain(|name| !name.ends_with("truncate") || self.empties_files);
        toothless
    }

    fn add(&mut self, seed: u64, took: Duration, came: Result<Learnt, Failure>) {
        self.episodes += 1;
        let what = match came {
            Ok(learnt) => {
                self.lines += learnt.account.records;
                self.printed_bytes += learnt.account.printed_bytes;
                self.destroyed_bytes += learnt.account.destroyed_bytes;
                self.unseen_bytes += learnt.account.unseen_bytes;
                self.repeated += learnt.repeated;
                self.peak_resident_bytes = self.peak_resident_bytes.max(learnt.bounds.peak_resident_bytes);
                self.tally.add(&learnt.tally);
                format!("{} records", learnt.account.records)
            }
            Err(failure) => {
                let what = format!("FAILED\n{}", failure.text());
                self.failures.push(failure);
                what
            }
        };
        let mut err = std::io::stderr().lock();
        let line = format!("{:>6}  {seed:#018x}  {:>5.1} s  {what}", self.episodes, took.as_secs_f64());
        // Nobody may be listening.
        let _ = writeln!(err, "{line}");
        if err.is_terminal() {
            let _ = write!(err, "{} lines, {} failed\r", self.lines, self.failures.len());
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = self.tally.table();
        text += &format!(
            "\n{} episodes from seed {:#x} in {:.0} s: {} records of {} printed bytes, {} bytes destroyed by others and \
             told, {} unseen, {} requests sent again, at most {} MiB resident\n",
            self.episodes,
            self.first,
            self.took.as_secs_f64(),
            self.lines,
            self.printed_bytes,
            self.destroyed_bytes,
            self.unseen_bytes,
            self.repeated,
            self.peak_resident_bytes >> 20,
        );
        if !self.has_clock {
            text += "clocks did not step: RUNLOG_TEST_FAKETIME names no libfaketime\n";
        }
        for failure in &self.failures {
            text += &format!("\nfailed: seed {:#x}\n{}", failure.seed, failure.text());
        }
        let toothless = self.toothless();
        if !toothless.is_empty() {
            text += &format!(
                "\nfailed: these never bit, so the run has not shown what it should: {}\n",
                toothless.join("; ")
            );
        }
        if self.is_good() {
            text += "nothing lost, nothing twice, nothing unknown";
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let failure = |failure: &Failure| {
            json!({
                "seed": format!("{:#x}", failure.seed), "violations": failure.violations, "kept": failure.kept,
                "again": again(failure.seed),
            })
        };
        json!({
            "seed": format!("{:#x}", self.first), "seconds": self.took.as_secs_f64(), "episodes": self.episodes,
            "records": self.lines, "printed_bytes": self.printed_bytes, "destroyed_bytes": self.destroyed_bytes,
            "unseen_bytes": self.unseen_bytes, "requests_sent_again": self.repeated, "peak_resident_bytes": self.peak_resident_bytes,
            "faults": self.tally.json(), "toothless": self.toothless(),
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    }
}

impl Failure {
    fn text(&self) -> String {
        let mut text: String = self.violations.iter().take(SHOWN).map(|what| format!("        {what}\n")).collect();
        if self.violations.len() > SHOWN {
            text += &format!("        and {} more\n", self.violations.len() - SHOWN);
        }
        text += &format!("        state and messages: {}\n        again: {}\n", self.kept.display(), again(self.seed));
        text
    }
}

fn again(seed: u64) -> String {
    format!("tests/soak/run --seed {seed:#x} --episodes 1 --new-only")
}
