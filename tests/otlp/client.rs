//! A program of Python that logs.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use runlog_tests::{Agent, eventually, eventually_within, tool};
use serde_json::Value;

/// A running client of one agent. Killed when dropped.
pub struct Client {
    child: Child,
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
    reader: Option<JoinHandle<()>>,
    complaints: PathBuf,
}

impl Client {
    /// Starts one that logs so many records, each with its number.
    pub fn start(agent: &Agent, protocol: &str, compression: &str, records: u64) -> Self {
        Self::start_with_padding(agent, protocol, compression, records, 0)
    }

    /// The same, with so many random bytes in each record.
    pub fn start_with_padding(agent: &Agent, protocol: &str, compression: &str, records: u64, padding: u64) -> Self {
        Self::start_padded(agent, &address(agent), protocol, compression, records, padding)
    }

    /// One that logs to another address, which sends to the agent.
    pub fn start_at(agent: &Agent, address: &str, protocol: &str, compression: &str, records: u64) -> Self {
        Self::start_padded(agent, address, protocol, compression, records, 0)
    }

    fn start_padded(
        agent: &Agent,
        address: &str,
        protocol: &str,
        compression: &str,
        records: u64,
        padding: u64,
    ) -> Self {
        let python = tool("RUNLOG_TEST_OTEL_PYTHON", "otel-python");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/otlp/client.py");
        let complaints = agent.path("client");
        let mut child = Command::new(python)
            .args([script, protocol, compression, address, &records.to_string(), &padding.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&complaints).unwrap())
            .spawn()
            .unwrap();
        let acknowledged = Arc::<Mutex<BTreeSet<u64>>>::default();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = thread::spawn({
            let acknowledged = Arc::clone(&acknowledged);
            move || {
                let numbers = lines.map_while(Result::ok).filter_map(|line| line.parse().ok());
                numbers.for_each(|number| _ = acknowledged.lock().unwrap().insert(number));
            }
        });
        Self { child, acknowledged, reader: Some(reader), complaints }
    }

    /// Waits until so many records are acknowledged.
    pub fn eventually_acknowledged(&self, count: usize) {
        let what = format!("{count} records are acknowledged");
        eventually(&what, || (self.acknowledged.lock().unwrap().len() >= count).then_some(()));
    }

    /// Waits until the SDK has said that.
    pub fn eventually_complains_of(&self, text: &str) {
        eventually(&format!("the SDK says {text:?}"), || self.complaints().contains(text).then_some(()));
    }

    /// Waits for its end. Gives the numbers of the records that were acknowledged.
    pub fn finish(mut self) -> BTreeSet<u64> {
        // Who was sent away comes again after a while, and after longer each time.
        let status = eventually_within(Duration::from_mins(5), "the client ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.complaints());
        self.acknowledged()
    }

    /// Kills it. Gives the numbers of the records that were acknowledged.
    pub fn kill(mut self) -> BTreeSet<u64> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.acknowledged()
    }

    fn acknowledged(&mut self) -> BTreeSet<u64> {
        self.reader.take().unwrap().join().unwrap();
        self.acknowledged.lock().unwrap().clone()
    }

    fn complaints(&self) -> String {
        fs::read_to_string(&self.complaints).unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program that measures and traces so many steps, all of which is acknowledged.
pub fn measure(address: &str, protocol: &str, compression: &str, steps: usize, environment: &[(&str, String)]) {
    if let Err(complaints) = try_measure(address, protocol, compression, steps, environment) {
        panic!("{protocol} {compression}: {complaints}");
    }
}

/// The same where it may be refused, which gives what the SDK has said.
pub fn try_measure(
    address: &str,
    protocol: &str,
    compression: &str,
    steps: usize,
    environment: &[(&str, String)],
) -> Result<(), String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/otlp/signals.py");
    let output = Command::new(tool("RUNLOG_TEST_OTEL_PYTHON", "otel-python"))
        .args([script, protocol, compression, address, &steps.to_string()])
        .envs(environment.iter().map(|(name, value)| (*name, value)))
        // These would be trusted in place of the authority that the SDK is told.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Runs a program of Go that logs, measures and traces so many steps, all of which is acknowledged.
pub fn run_go(agent: &Agent, protocol: &str, steps: usize) {
    let address = address(agent);
    let output = Command::new(tool("RUNLOG_TEST_OTEL_GO", "otel-go"))
        .args([protocol, address.trim_start_matches("http://"), &steps.to_string()])
        // What is not answered in time comes twice.
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{protocol}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where the agent receives OTLP, which it says once it does.
pub fn address(agent: &Agent) -> String {
    eventually("the agent receives OTLP", || {
        let messages = agent.messages();
        let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told = messages.find(|message| message["message"].as_str().is_some_and(|text| text.contains("OTLP")))?;
        Some(format!("http://{}", told["address"].as_str()?))
    })
}
