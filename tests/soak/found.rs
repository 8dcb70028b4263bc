//! What came out, wherever it went.

use std::{
    collections::{BTreeSet, HashMap, HashSet, hash_map::Entry},
    fs,
    io::Read,
    path::Path,
};

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use runlog_tests::{Agent, Line, SinkRecord, SinkRequest};
use serde_json::Value;

use crate::judge::Taken;

const GAP: &str = "runlog.gap";
const RECEIPT: &str = "runlog.receipt";
const LINES_READ: &str = "runlog.receipt.lines_read";
const LINES_KEPT: &str = "runlog.receipt.lines_kept";

/// What came out.
#[derive(Debug, Default)]
pub struct Found {
    /// Printed lines, each once, in the order in which they came.
    pub taken: Vec<Taken>,
    /// What the agent says that it took in.
    receipts: HashSet<Receipt>,
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
    receipts: Vec<Receipt>,
    gaps: Vec<String>,
}

/// What the agent says that a run's sources gave, since the receipt before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Receipt {
    time: u64,
    read: u64,
    kept: u64,
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
        let receipts = records.iter().filter(|record| record.record.event_name == RECEIPT).map(|record| {
            let number = |key: &str| record.number(key).and_then(|lines| lines.try_into().ok()).unwrap_or_default();
            Receipt { time: record.record.time_unix_nano, read: number(LINES_READ), kept: number(LINES_KEPT) }
        });
        let receipts = receipts.collect();
        let lines = records.iter().filter(|record| record.record.event_name.is_empty());
        let taken = lines.map(|line| Taken {
            uid: line.uid().to_owned(),
            body: line.body().to_owned(),
            original: line.bytes("log.record.original").map(<[u8]>::to_vec),
            part: line.number("runlog.part.index").and_then(|index| index.try_into().ok()),
            is_set_aside: false,
        });
        Self { body, taken: taken.collect(), receipts, gaps }
    }

    /// How many printed lines are in it.
    pub fn lines(&self) -> usize {
        self.taken.len()
    }

    /// Whether it has a line with that body.
    pub fn has(&self, body: &str) -> bool {
        self.taken.iter().any(|line| line.body == body)
    }

    /// Whether its lines, as they are, follow each other in the other one as well.
    fn is_part_of(&self, other: &Self) -> bool {
        let from = self.taken.first().and_then(|first| other.taken.iter().position(|line| line == first));
        from.is_some_and(|from| other.taken[from..].starts_with(&self.taken))
    }
}

fn is_gap(record: &LogRecord) -> bool {
    record.event_name == GAP
}

impl Found {
    /// What the embedded store has of the run.
    pub fn in_store(agent: &Agent) -> Self {
        let mut found = Self::default();
        let mut seen = HashMap::new();
        let output = agent.run(&["logs", "r", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in output.stdout.split_inclusive(|byte| *byte == b'\n') {
            let line = Line(serde_json::from_slice(line).unwrap());
            match line.text("event_name") {
                "" => {}
                GAP => {
                    found.told.push(line.0.to_string());
                    continue;
                }
                RECEIPT => {
                    let number = |key: &str| line.attribute(key).parse().unwrap_or_default();
                    let time = line.text("time_unix_nano").parse().unwrap_or_default();
                    found.receipts.insert(Receipt { time, read: number(LINES_READ), kept: number(LINES_KEPT) });
                    continue;
                }
                _ => continue,
            }
            let record = Taken {
                uid: line.attribute("log.record.uid").to_owned(),
                body: line.body().to_owned(),
                original: None,
                part: line.attribute("runlog.part.index").parse().ok(),
                is_set_aside: false,
            };
            if seen.insert(record.uid.clone(), ()).is_some() {
                found.violations.push(format!("the store has {record:?} twice"));
            }
            found.taken.push(record);
        }
        found
    }

    /// What a backend has of these requests, which keeps each uid once. What is sent again has to be the same bytes.
    /// Where a request was refused, and so cut, it is a part of the same lines, or all of them once more: an agent that
    /// is killed between two parts begins with the whole.
    pub fn at_backend(requests: &[Request], may_be_cut: bool) -> Self {
        let mut found = Self::default();
        let mut places = HashMap::<&str, (usize, usize)>::new();
        let mut taken = Vec::<Option<&Taken>>::new();
        for (number, request) in requests.iter().enumerate() {
            let again: Vec<_> =
                request.taken.iter().filter_map(|line| places.get(line.uid.as_str())).copied().collect();
            let earlier: BTreeSet<usize> = again.iter().map(|(earlier, _)| *earlier).collect();
            let repeats = |earlier: usize| {
                let earlier = &requests[earlier];
                earlier.body == request.body
                    || may_be_cut && (earlier.is_part_of(request) || request.is_part_of(earlier))
            };
            if let Some(other) = earlier.iter().find(|earlier| !repeats(**earlier)) {
                let (again, all) = (again.len(), request.taken.len());
                let first = request.taken.iter().find(|line| places.contains_key(line.uid.as_str()));
                found.violations.push(format!(
                    "request {number} repeats {again} of its {all} lines, but is not request {other}: {first:?}"
                ));
            } else if !again.is_empty() {
                found.repeated += 1;
            }
            // In the order of the whole, if a part of it came first.
            let is_whole = again.len() < request.taken.len();
            for (_, place) in again.iter().filter(|_| is_whole) {
                taken[*place] = None;
            }
            for line in &request.taken {
                match places.entry(&line.uid) {
                    Entry::Occupied(entry) if entry.get().0 == number => {
                        found.violations.push(format!("request {number} has {line:?} twice"));
                    }
                    Entry::Occupied(_) if !is_whole => {}
                    entry => {
                        entry.insert_entry((number, taken.len()));
                        taken.push(Some(line));
                    }
                }
            }
            found.told.extend(request.gaps.iter().cloned());
            found.receipts.extend(request.receipts.iter().cloned());
        }
        found.taken = taken.into_iter().flatten().cloned().collect();
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
            self.told.extend(request.gaps);
            self.receipts.extend(request.receipts);
            for line in request.taken {
                let place = *places.entry(line.uid.clone()).or_insert(self.taken.len());
                if place == self.taken.len() {
                    self.taken.push(line);
                }
                self.taken[place].is_set_aside = true;
            }
        }
    }

    /// Compares the lines with what the receipts of the run say, however often the agent was killed. A line that was
    /// given out in two because of that may count as one or as two.
    pub fn compare_with_receipts(&mut self, interruptions: u64) {
        let lines = self.taken.iter().filter(|line| line.part.is_none_or(|index| index == 0)).count() as u64;
        let sum = |of: fn(&Receipt) -> u64| self.receipts.iter().map(of).sum::<u64>();
        let (read, kept) = (sum(|receipt| receipt.read), sum(|receipt| receipt.kept));
        if read != kept || read.abs_diff(lines) > interruptions {
            self.violations.push(format!("receipts say {read} lines read and {kept} kept, but {lines} came out"));
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
            // Without a number where the agent cannot know it.
            let fields = serde_json::from_str::<Value>(&message).unwrap_or_default();
            if fields["level"] == "WARN" && !fields["path"].is_null() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&str, &str)]) -> Request {
        let taken = lines.iter().map(|(uid, body)| Taken {
            uid: (*uid).to_owned(),
            body: (*body).to_owned(),
            original: None,
            part: None,
            is_set_aside: false,
        });
        let body = format!("{lines:?}").into_bytes();
        Request { body, taken: taken.collect(), receipts: Vec::new(), gaps: Vec::new() }
    }

    #[test]
    fn what_is_sent_again_is_the_same_or_where_it_may_be_cut_a_part_or_the_whole() {
        type Lines<'a> = &'a [(&'a str, &'a str)];
        let whole = [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")];
        let cases: [(&[Lines<'_>], bool, bool); 9] = [
            (&[&whole, &whole], true, true),
            (&[&whole, &whole[1..3]], false, true),
            (&[&whole[..2], &whole], false, true),
            (&[&whole[2..], &whole], false, true),
            (&[&whole[..2], &whole[2..], &whole], false, true),
            (&[&whole[..3], &whole[1..]], false, false),
            (&[&whole[..2], &[("2", "b"), ("1", "a"), ("3", "c")]], false, false),
            (&[&whole[..2], &[("1", "a"), ("2", "other"), ("3", "c")]], false, false),
            (&[&[("1", "a"), ("1", "a")]], false, false),
        ];
        for (requests, uncut, cut) in cases {
            let requests: Vec<_> = requests.iter().map(|lines| request(lines)).collect();
            for (may_be_cut, is_right) in [(false, uncut), (true, cut)] {
                let found = Found::at_backend(&requests, may_be_cut);
                assert_eq!(found.violations.is_empty(), is_right, "{requests:?} {may_be_cut}");
                if is_right {
                    let bodies: Vec<_> = found.taken.iter().map(|line| line.body.as_str()).collect();
                    assert_eq!(bodies, ["a", "b", "c", "d"], "{requests:?}");
                }
            }
        }
    }
}
