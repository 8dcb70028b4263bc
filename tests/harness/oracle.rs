//! What has to be true of an agent whatever happened to it.
//!
//! A test makes a fault, proves that it happened, ends it, and asks here: is each printed line there, once, as it was
//! printed and in its order ([`Found::accounts_for`]); is a new line stored soon ([`Agent::is_live`]); does the agent
//! keep within its bounds ([`Agent::bounds`]).

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs,
    io::Write,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{Agent, Printed, Sink, process::waited_for_a_processor};

/// How soon a line is stored that is written after all faults have ended, on a machine that is the agent's.
const LIVENESS: Duration = Duration::from_secs(30);

/// What came out, in the order in which it came, whichever way it went.
#[derive(Debug, Default)]
pub struct Found {
    /// The uid and the body of each printed line.
    lines: Vec<(String, String)>,
    /// How many `runlog.gap` records there are.
    pub gaps: usize,
}

impl Found {
    /// What the embedded store has of a run.
    ///
    /// # Panics
    /// If it has a uid twice.
    #[must_use]
    pub fn in_store(agent: &Agent, run: &str) -> Self {
        let found = Self::of(
            agent
                .lines(run)
                .iter()
                .map(|line| (line.attribute("log.record.uid"), line.body(), line.text("event_name"))),
        );
        let uids: BTreeSet<&str> = found.lines.iter().map(|(uid, _)| uid.as_str()).collect();
        assert_eq!(uids.len(), found.lines.len(), "the store has uids twice");
        found
    }

    /// What a backend has that keeps each uid once.
    ///
    /// # Panics
    /// If two records of one uid differ.
    #[must_use]
    pub fn at(sink: &Sink) -> Self {
        let records = sink.records();
        let mut found =
            Self::of(records.iter().map(|record| (record.uid(), record.body(), record.record.event_name.as_str())));
        let mut bodies = BTreeMap::<String, String>::new();
        found.lines.retain(|(uid, body)| match bodies.entry(uid.clone()) {
            Entry::Vacant(first) => {
                first.insert(body.clone());
                true
            }
            Entry::Occupied(first) => {
                assert_eq!(first.get(), body, "two records have the uid {uid}");
                false
            }
        });
        found
    }

    fn of<'a>(records: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Self {
        let mut found = Self::default();
        for (uid, body, event_name) in records {
            match event_name {
                "" => found.lines.push((uid.to_owned(), body.to_owned())),
                "runlog.gap" => found.gaps += 1,
                _ => {}
            }
        }
        found
    }

    /// Fails unless each line of each trainer is there once, as it was printed, in the order of printing.
    pub fn accounts_for(&self, printed: &[Printed]) {
        for printed in printed {
            printed.is_there_once_and_in_order(self.bodies());
        }
    }

    /// The same where lines of one trainer may have gone through two files at a time: the order is open.
    pub fn accounts_for_in_any_order(&self, printed: &[Printed]) {
        let mut bodies: Vec<_> = self.bodies().collect();
        bodies.sort_unstable();
        for printed in printed {
            printed.is_there_once_and_in_order(bodies.iter().copied());
        }
    }

    /// The bodies of printed lines.
    pub fn bodies(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|(_, body)| body.as_str())
    }
}

/// What an agent takes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The most resident memory so far, in bytes.
    pub peak_resident_bytes: u64,
    /// Open files, sockets and the like.
    pub open_files: usize,
    /// Bytes below the state directory.
    pub state_bytes: u64,
}

impl Agent {
    /// Fails unless a line that is written now, into a file of its own, is stored within 30 s. What the agent waits for a
    /// processor meanwhile is not counted.
    pub fn is_live(&self, run: &str) {
        self.is_live_by(|probe| !self.run(&["logs", run, "--grep", probe]).stdout.is_empty());
    }

    /// The same for an agent that exports to that backend.
    pub fn is_live_at(&self, sink: &Sink) {
        self.is_live_by(|probe| sink.has(probe));
    }

    /// The same for any destination: `has` says whether it has a line.
    pub fn is_live_by(&self, has: impl Fn(&str) -> bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let probe = format!("probe {now}");
        let mut file = fs::File::create(self.path(&format!("probe-{now}.log"))).unwrap();
        writeln!(file, "{probe}").unwrap();
        let (since, waited) = (Instant::now(), waited_for_a_processor(self.pid()));
        loop {
            let others = waited_for_a_processor(self.pid()).saturating_sub(waited);
            let is_late = since.elapsed() >= LIVENESS + others;
            if has(&probe) {
                return;
            }
            assert!(!is_late, "a line that is written after the faults is not stored within 30 s: {}", self.told());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the agent says of itself, and the kernel of its process.
    fn told(&self) -> String {
        let kernel = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let state = kernel.lines().find(|line| line.starts_with("State:")).unwrap_or("no such process").to_owned();
        let status = self.run(&["status"]);
        [state.as_bytes(), &status.stdout, &status.stderr].map(String::from_utf8_lossy).join("\n")
    }

    /// What the agent takes now.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            peak_resident_bytes: self.peak_resident_bytes(),
            open_files: fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count(),
            state_bytes: bytes_below(&self.state()),
        }
    }
}

/// Files come and go while this looks.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}
