//! One episode: an agent with writers and a destination, what befalls it, and what has to be true then.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use runlog_tests::{Agent, Bounds, eventually};

use crate::{
    backend::Backend,
    disk::SmallDisk,
    eye::Eye,
    found::{Found, messages},
    judge::{Account, Known, judge},
    kinds::Tally,
    plan::{Act, Destination, Fault, Mood, Plan},
    writer::{self, Written},
};

/// What an agent may take with a dozen files: the bound of the design.
const MOST_RESIDENT_BYTES: u64 = 64 << 20;
/// Files, sockets and the like that may be open beside the followed files.
const MOST_OPEN_FILES: usize = 80;
/// What the state directory may have beside what was printed.
const MOST_STATE_BYTES: u64 = 24 << 20;
/// How long the agent may take to deliver all when an episode is over.
const LAST_GRACE: Duration = Duration::from_secs(25);
/// One write in a hundred may take longer on a busy machine.
const SLOW_WRITE: Duration = Duration::from_millis(500);

/// What the agent says then.
const QUEUE_FULL: &str = "the queue is full";

/// An agent and its surroundings.
pub struct Episode {
    agent: Agent,
    backend: Option<Arc<Backend>>,
    disk: Option<SmallDisk>,
    eye: Eye,
    has_clock: bool,
    tally: Tally,
}

/// What was learnt from an episode.
#[derive(Debug)]
pub struct Learnt {
    /// How often faults happened and bit.
    pub tally: Tally,
    /// What was printed and came out.
    pub account: Account,
    /// Requests that were sent again.
    pub repeated: u64,
    /// What the agent took.
    pub bounds: Bounds,
}

impl Episode {
    /// Starts the agent and its surroundings. `faketime` is the library that changes the agent's time of day.
    pub fn begin(plan: &Plan, faketime: Option<&Path>) -> Self {
        let random = &mut fastrand::Rng::with_seed(!plan.seed);
        let backend = (plan.destination == Destination::Backend).then(|| Arc::new(Backend::start(random)));
        let mut agent = Agent::builder().prepare();
        for (name, value) in &plan.settings {
            agent.set(name, value);
        }
        if let Some(backend) = &backend {
            agent.set("RUNLOG_EXPORT_ENDPOINT", backend.endpoint());
        }
        if let Some(library) = faketime {
            agent.set("LD_PRELOAD", library.display().to_string());
            agent.set("FAKETIME_TIMESTAMP_FILE", agent.path("clock").display().to_string());
            agent.set("FAKETIME_NO_CACHE", "1");
            agent.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let disk = plan.small_disk_bytes.and_then(|bytes| SmallDisk::at(&agent.state(), bytes));
        let eye = Eye::default();
        let mut episode = Self { agent, backend, disk, eye, has_clock: faketime.is_some(), tally: Tally::default() };
        episode.set_clock(0);
        episode.start(&plan.faults);
        episode
    }

    /// Has it all happen, and looks at what came out.
    ///
    /// # Errors
    /// With what must not be.
    pub fn run(&mut self, plan: &Plan) -> Result<Learnt, Vec<String>> {
        let folder = self.agent.path("");
        let writer = |(stream, acts): (usize, &Vec<_>)| {
            let seed = plan.seed.wrapping_add(stream as u64);
            writer::start(stream, folder.clone(), acts.clone(), seed, self.eye.clone())
        };
        let writers: Vec<JoinHandle<Written>> = plan.writers.iter().enumerate().map(writer).collect();
        let behaving = self.backend.clone().map(|backend| {
            let moods = plan.moods.clone();
            thread::spawn(move || behave(&backend, &moods))
        });
        for (index, (pause, fault)) in plan.faults.iter().enumerate() {
            thread::sleep(*pause);
            self.suffer(*fault, &plan.faults[index + 1..]);
        }
        let written: Vec<Written> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        if let Some(behaving) = behaving {
            behaving.join().unwrap();
        }
        self.is_live();
        let bounds = self.agent.bounds();
        let finished = self.agent.terminate();
        let mut violations = self.out_of_bounds(&bounds, &written);
        if finished.status.code() != Some(0) {
            violations.push(format!("the agent did not deliver all within {LAST_GRACE:?}: {}", finished.status));
        }
        let found = self.found(plan);
        let generations: Vec<_> = written.iter().flat_map(|written| written.generations.clone()).collect();
        let is_told = |stream: usize| {
            let names = [format!("/w{stream}.log"), format!("/w{stream}-")];
            found.told.iter().any(|told| names.iter().any(|name| told.contains(name)))
        };
        let known = Known { is_told: &is_told, looked: !plan.holds_up() };
        let account = judge(&generations, &found.taken, &known);
        violations.extend(found.violations.iter().cloned());
        violations.extend(account.violations.iter().map(|violation| format!("{violation:?}")));
        self.count(&written, &account, &found);
        if violations.is_empty() {
            return Ok(Learnt { tally: self.tally.clone(), account, repeated: found.repeated, bounds });
        }
        found.write_down(&self.agent.path("found.txt"));
        Err(violations)
    }

    /// Leaves its folder behind, with the state directory and the agent's messages.
    pub fn keep(mut self) -> PathBuf {
        if let Some(disk) = self.disk.take() {
            disk.keep();
        }
        self.agent.keep()
    }

    /// Starts the agent with the grace that the next stop is to have.
    fn start(&mut self, coming: &[(Duration, Fault)]) {
        self.set_grace(coming);
        self.agent.start();
        self.eye.open();
    }

    fn set_grace(&mut self, coming: &[(Duration, Fault)]) {
        let stops = coming.iter().map(|(_, fault)| fault);
        let grace = stops
            .take_while(|fault| !matches!(fault, Fault::Kill(_) | Fault::FillDiskAndKill(_)))
            .find_map(|fault| match fault {
                Fault::Stop { grace, .. } => Some(*grace),
                Fault::StopAndKill(_) => Some(LAST_GRACE),
                _ => None,
            })
            .unwrap_or(LAST_GRACE);
        self.agent.set("RUNLOG_STOP_GRACE", format!("{}ms", grace.as_millis().max(1)));
    }

    fn suffer(&mut self, fault: Fault, coming: &[(Duration, Fault)]) {
        let lines = self.eye.lines();
        let has_bitten = match fault {
            Fault::Kill(away) => {
                self.eye.close();
                self.agent.kill();
                let has_bitten = self.has_unstored_lines();
                thread::sleep(away);
                self.start(coming);
                has_bitten
            }
            Fault::Stop { away, .. } => {
                self.eye.close();
                let finished = self.agent.terminate();
                let code = finished.status.code();
                assert!(matches!(code, Some(0 | 75)), "a stop ended with {}", finished.status);
                let has_bitten = code == Some(75) || self.has_unstored_lines();
                thread::sleep(away);
                self.start(coming);
                has_bitten
            }
            Fault::StopAndKill(pause) => {
                self.eye.close();
                self.agent.signal("TERM");
                thread::sleep(pause);
                let has_bitten = self.agent.kill_if_running();
                self.start(coming);
                has_bitten
            }
            Fault::Freeze(pause) => {
                self.eye.close();
                self.agent.signal("STOP");
                thread::sleep(pause);
                self.agent.signal("CONT");
                self.eye.open();
                self.eye.lines() > lines
            }
            Fault::FillDisk(pause) => {
                let Some(disk) = &self.disk else { return };
                disk.fill();
                thread::sleep(pause);
                disk.free();
                self.eye.lines() > lines
            }
            Fault::FillDiskAndKill(pause) => {
                if self.disk.is_none() {
                    return;
                }
                self.fill_disk_and_kill(pause, coming);
                self.eye.lines() > lines
            }
            Fault::StepClock(seconds, pause) => {
                if !self.has_clock {
                    return;
                }
                self.set_clock(seconds);
                thread::sleep(pause);
                self.set_clock(0);
                self.eye.lines() > lines
            }
        };
        self.tally.note(fault.name(), has_bitten);
    }

    fn fill_disk_and_kill(&mut self, pause: Duration, coming: &[(Duration, Fault)]) {
        let free = |episode: &Self| episode.disk.iter().for_each(SmallDisk::free);
        self.disk.iter().for_each(SmallDisk::fill);
        thread::sleep(pause / 2);
        self.eye.close();
        self.agent.kill();
        self.set_grace(coming);
        self.agent.spawn();
        thread::sleep(pause / 2);
        free(self);
        // Not waited for by its address, which had no room. That it takes lines again is asked in the end.
        let mut ended = None;
        eventually("it collects, or has ended", || {
            ended = self.agent.ended();
            (ended.is_some() || self.agent.messages().contains("\"collecting\"")).then_some(())
        });
        // Without room for what it needs to begin with, it may say so and end; a supervisor starts it again.
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(74), "a start without room: {}", self.agent.messages());
            self.agent.start();
        }
        self.eye.open();
    }

    fn set_clock(&self, seconds: i64) {
        if self.has_clock {
            // Renamed into place, so that it is never read half written.
            let (new, path) = (self.agent.path("clock.new"), self.agent.path("clock"));
            fs::write(&new, format!("{seconds:+}")).unwrap();
            fs::rename(new, path).unwrap();
        }
    }

    fn has_unstored_lines(&self) -> bool {
        let stored = match &self.backend {
            Some(backend) => backend.lines(),
            None => usize::try_from(self.agent.stored("r")).unwrap(),
        };
        stored < self.eye.lines()
    }

    fn is_live(&self) {
        self.agent.is_live_by(|probe| match &self.backend {
            Some(backend) => backend.has(probe),
            None => !self.agent.run(&["logs", "r", "--grep", probe]).stdout.is_empty(),
        });
    }

    fn out_of_bounds(&self, bounds: &Bounds, written: &[Written]) -> Vec<String> {
        let files: usize = written.iter().map(|written| written.generations.len()).sum();
        let bytes: usize = written.iter().flat_map(|it| &it.generations).map(|it| it.bytes.len()).sum();
        let mut latencies: Vec<Duration> = written.iter().flat_map(|it| it.latencies.iter().copied()).collect();
        latencies.sort_unstable();
        let slow = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
        let checks = [
            (
                bounds.peak_resident_bytes > MOST_RESIDENT_BYTES,
                format!("{} bytes resident", bounds.peak_resident_bytes),
            ),
            (bounds.open_files > MOST_OPEN_FILES + 2 * files, format!("{} open files", bounds.open_files)),
            (
                bounds.state_bytes > MOST_STATE_BYTES + 2 * bytes as u64,
                format!("{} bytes in the state directory", bounds.state_bytes),
            ),
            (slow > SLOW_WRITE, format!("one write in a hundred took {slow:?} or longer")),
        ];
        checks.into_iter().filter(|(is_out, _)| *is_out).map(|(_, what)| format!("out of bounds: {what}")).collect()
    }

    fn found(&self, plan: &Plan) -> Found {
        let mut found = match &self.backend {
            Some(backend) => {
                Found::at_backend(&backend.taken(), backend.met().contains_key(Mood::Answers(500, None).name()))
            }
            None => Found::in_store(&self.agent),
        };
        found.add_dead_letters(&self.agent.state());
        found.compare_with_receipts(plan.interruptions());
        found.taken.retain(|line| !line.body.starts_with("probe "));
        found.add_messages(&self.agent.path(""));
        found
    }

    /// Counts what is known of faults only in the end.
    fn count(&mut self, written: &[Written], account: &Account, found: &Found) {
        let messages = messages(&self.agent.path(""));
        let says = |what: &str| messages.iter().any(|message| message.contains(what));
        for act in written.iter().flat_map(|written| &written.acts) {
            if let Some(name) = act.name() {
                self.tally.note(name, *act != Act::Flood || says(QUEUE_FULL));
            }
        }
        let generations = written.iter().flat_map(|written| &written.generations);
        for (generation, is_whole) in generations.zip(&account.is_whole) {
            if let Some(name) = generation.fate.name() {
                self.tally.note(name, *is_whole && !generation.bytes.is_empty());
            }
        }
        for (name, times) in self.backend.iter().flat_map(|backend| backend.met()) {
            (0..times).for_each(|_| self.tally.note(name, true));
        }
        if says(QUEUE_FULL) {
            self.tally.note("queue full", true);
        }
        if says("onnection refused") {
            self.tally.note(Mood::Away.name(), true);
        }
        if found.taken.iter().any(|line| line.part.is_some()) {
            self.tally.note("line in parts", true);
        }
        if account.destroyed_bytes > 0 {
            self.tally.note("bytes destroyed, and told", true);
        }
    }
}

/// Lives through its moods, and is well then.
fn behave(backend: &Backend, moods: &[(Mood, Duration)]) {
    for (mood, lasts) in moods {
        backend.set_mood(*mood);
        thread::sleep(*lasts);
    }
    backend.set_mood(Mood::Well);
}
