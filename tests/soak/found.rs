//! What came out, wherever it went.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs,
    io::Read,
    path::Path,
};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use runlog_tests::{Agent, SinkRecord, SinkRequest};
use serde_json::Value;

use crate::judge::Taken;

/// What came out.
#[derive(Debug, Default)]
pub struct Found {
    /// Printed lines, each once, in the order in which they came.
    pub taken: Vec<Taken>,
    /// What was told of losses: messages and records, as text.
    pub told: Vec<String>,
    /// Requests that repeat an earlier one.
    pub repeated: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

/// A request and what was in it.
#[derive(Debug, Clone)]
pub struct Request {
    body: Vec<u8>,
    taken: Vec<Taken>,
    gaps: Vec<String>,
}

impl Request {
    /// Reads a request as it came.
    pub fn read(request: &SinkRequest) -> Self {
        let logs = request.logs();
        let body = prost::Message::encode_to_vec(&logs);
        let scopes = logs.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        let records: Vec<SinkRecord> =
            scopes.flat_map(|scope| scope.log_records).map(|record| SinkRecord { request: 0, record }).collect();
        let gaps = records.iter().filter(|record| is_gap(&record.record)).map(|record| format!("{record:?}")).collect();
        let lines = records.iter().filter(|record| record.record.event_name.is_empty());
        let taken = lines.map(|line| Taken {
            uid: line.uid().to_owned(),
            body: line.body().to_owned(),
            original: line.bytes("log.record.original").map(<[u8]>::to_vec),
            is_part: !line.text("runlog.part.id").is_empty(),
            is_set_aside: false,
        });
        Self { body, taken: taken.collect(), gaps }
    }

    /// How many printed lines are in it.
    pub fn lines(&self) -> usize {
        self.taken.len()
    }

    /// Whether it has a line with that body.
    pub fn has(&self, body: &str) -> bool {
        self.taken.iter().any(|line| line.body == body)
    }
}

fn is_gap(record: &LogRecord) -> bool {
    record.event_name == "runlog.gap"
}

impl Found {
    /// What the embedded store has of the run.
    pub fn in_store(agent: &Agent) -> Self {
        let mut found = Self::default();
        let mut seen = HashMap::new();
        for line in agent.lines("r") {
            match line.text("event_name") {
                "" => {}
                "runlog.gap" => {
                    found.told.push(line.0.to_string());
                    continue;
                }
                _ => continue,
            }
            let record = Taken {
                uid: line.attribute("log.record.uid").to_owned(),
                body: line.body().to_owned(),
                original: None,
                is_part: !line.attribute("runlog.part.id").is_empty(),
                is_set_aside: false,
            };
            if seen.insert(record.uid.clone(), ()).is_some() {
                found.violations.push(format!("the store has {record:?} twice"));
            }
            found.taken.push(record);
        }
        found
    }

    /// What a backend has of these requests, which keeps each uid once. What is sent again has to be the same bytes,
    /// or a part of the same lines where a request was refused, and so cut.
    pub fn at_backend(requests: &[Request], may_be_cut: bool) -> Self {
        let mut found = Self::default();
        let mut first = HashMap::<&str, (usize, &Taken)>::new();
        for (number, request) in requests.iter().enumerate() {
            let known = |line: &Taken| first.get(line.uid.as_str()).copied();
            if let Some((earlier, _)) = request.taken.iter().find_map(known) {
                let is_part = || request.taken.iter().all(|line| known(line).is_some_and(|(_, known)| known == line));
                if requests[earlier].body == request.body || may_be_cut && is_part() {
                    found.repeated += 1;
                } else {
                    let what = format!("request {number} repeats lines of request {earlier}, but is another");
                    found.violations.push(what);
                }
            }
            for line in &request.taken {
                match first.entry(&line.uid) {
                    Entry::Vacant(entry) => {
                        entry.insert((number, line));
                        found.taken.push(line.clone());
                    }
                    Entry::Occupied(entry) if entry.get().0 == number => {
                        found.violations.push(format!("request {number} has {line:?} twice"));
                    }
                    Entry::Occupied(_) => {}
                }
            }
            found.told.extend(request.gaps.iter().cloned());
        }
        found
    }

    /// Adds the lines that were refused and set aside. Some of them may have been taken all the same: before that, or
    /// after a kill that made the agent forget that they had been set aside, and then behind lines that follow them.
    pub fn add_dead_letters(&mut self, state: &Path) {
        let mut letters: Vec<_> = fs::read_dir(state.join("dead-letter")).into_iter().flatten().flatten().collect();
        letters.sort_by_key(fs::DirEntry::file_name);
        let mut places: HashMap<String, usize> =
            (0..).zip(&self.taken).map(|(place, line)| (line.uid.clone(), place)).collect();
        for letter in letters.iter().filter(|letter| letter.path().extension().is_some_and(|it| it == "zst")) {
            let mut body = Vec::new();
            fs::File::open(letter.path()).unwrap().read_to_end(&mut body).unwrap();
            let headers = [("content-encoding".to_owned(), "zstd".to_owned())].into();
            let request = Request::read(&SinkRequest { path: String::new(), headers, body: body.into() });
            for line in request.taken {
                let place = *places.entry(line.uid.clone()).or_insert(self.taken.len());
                if place == self.taken.len() {
                    self.taken.push(line);
                }
                self.taken[place].is_set_aside = true;
            }
        }
    }

    /// Writes it down, for people to look at.
    pub fn write_down(&self, path: &Path) {
        let lines: String = self.taken.iter().map(|line| format!("{line:?}\n")).collect();
        fs::write(path, lines).unwrap();
    }

    /// Adds what the agent said on stderr, at each of its starts.
    pub fn add_messages(&mut self, folder: &Path) {
        for message in messages(folder) {
            if message.contains("panicked") {
                self.violations.push(format!("the agent panicked: {message}"));
            }
            let fields = serde_json::from_str::<Value>(&message).unwrap_or_default();
            if fields.to_string().contains("lost_bytes") {
                self.told.push(message);
            }
        }
    }
}

/// What the agent said on stderr, at each of its starts.
pub fn messages(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.file_stem().is_some_and(|stem| stem == "messages"));
    files.flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}
