//! What an agent says about itself, by number.

use std::{
    fmt::Display,
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::{Agent, eventually};

impl Agent {
    /// A sample of `/metrics`, named as it stands there: `runlog_kept_records_total{source="file"}`. Zero if it is
    /// not there yet.
    #[must_use]
    pub fn metric(&self, sample: &str) -> f64 {
        let metrics = self.get("/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a sample of `/metrics` is at least that large, for as long as it grows.
    pub fn eventually_metric(&self, sample: &str, at_least: f64) {
        eventually_grows(sample, || self.metric(sample), at_least);
    }

    /// The body that the agent answers to `GET path` with.
    #[must_use]
    pub fn get(&self, path: &str) -> String {
        let address = self.address();
        let address = address.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        body.to_owned()
    }

    /// How many printed lines of a run are in the embedded store, read straight from there.
    #[must_use]
    pub fn stored(&self, run: &str) -> u64 {
        let output = self.run(&["runs", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let runs = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_run = runs.into_iter().find(|known| known["run_id"] == run);
        of_run.map_or(0, |run| run["records"].as_u64().unwrap() - run["events"].as_u64().unwrap())
    }

    /// Waits until so many records of a run are in the embedded store, for as long as there are more and more.
    pub fn eventually_stored(&self, run: &str, at_least: u64) {
        eventually_grows("what is stored", || self.stored(run), at_least);
    }

    /// The largest resident memory so far, in bytes.
    #[must_use]
    pub fn peak_resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// Waits until something is that large. A slow machine is no failure: what grows is waited for.
fn eventually_grows<N: PartialOrd + Copy + Display>(what: &str, ask: impl Fn() -> N, at_least: N) {
    let mut largest = ask();
    while largest < at_least {
        let what = format!("{what} is {at_least}, having been {largest}");
        largest = eventually(&what, || Some(ask()).filter(|now| *now > largest));
    }
}
