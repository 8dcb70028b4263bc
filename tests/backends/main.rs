//! The configurations of `deploy/backends`, with the backends themselves: what an agent sent is counted by their own query.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod collector;
mod dashboards;
mod http;
mod prometheus;
mod victorialogs;

use std::{fmt::Write as _, fs, time::Duration};

use runlog_tests::{Agent, AgentBuilder, eventually_within, root};

use collector::Collector;
use victorialogs::VictoriaLogs;

const LINES: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(180);

/// A text of `deploy/backends`.
fn deployed(name: &str) -> String {
    fs::read_to_string(root().join("deploy/backends").join(name)).unwrap()
}

/// An agent with the variables of such a file, but with that endpoint.
fn agent(file: Option<&str>, endpoint: String) -> AgentBuilder {
    let text = file.map(deployed).unwrap_or_default();
    let variables = text.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.starts_with('#'));
    let agent = variables.fold(Agent::builder(), |agent, (name, value)| agent.set(name, value));
    agent.set("RUNLOG_EXPORT_ENDPOINT", endpoint).set("RUNLOG_LEVEL", "debug")
}

/// Collects 100,000 lines, and waits until the backend counts them.
fn collects(backend: &VictoriaLogs, agent: AgentBuilder, run: &str) {
    let mut agent = agent.set("RUNLOG_RUN_ID", run).set("RUNLOG_EXPERIMENT", "ridge").start();
    let mut text = String::new();
    for number in 0..LINES {
        let level = ["DEBUG", "INFO", "WARNING", "ERROR"][number % 4];
        writeln!(text, "2026-03-01 12:00:00,000 {level} train: line {number}").unwrap();
    }
    fs::write(agent.path("train.log"), text).unwrap();
    // Stored twice it would be seen here as well: there is no outage.
    let of_run = format!("ml.run.id:=\"{run}\" log.file.name:*");
    eventually_within(PATIENCE, "the backend counts every line", || {
        (backend.count(&format!("{of_run} | stats count() n")) >= LINES).then_some(())
    });
    assert!(agent.terminate().status.success());
    assert_eq!(backend.count(&format!("{of_run} | stats count() n")), LINES);
    assert_eq!(backend.count(&format!("{of_run} | stats count_uniq(log.record.uid) n")), LINES);
    assert_eq!(backend.count(&format!("{of_run} severity_number:>=17 | stats count() n")), LINES / 4);
    assert_eq!(backend.count("ml.run.id:=other | stats count() n"), 0);
    // A stream for the run, and none for a record's own attributes.
    let streams = backend.ask(&format!("{of_run} | uniq by (_stream)"));
    assert_eq!(streams.len(), 1, "{streams:?}");
    let stream = streams[0]["_stream"].as_str().unwrap();
    assert!(stream.contains(&format!("ml.run.id=\"{run}\"")) && !stream.contains("service.instance.id"), "{stream}");
}

#[test]
fn victorialogs_has_each_line_under_its_run() {
    let backend = VictoriaLogs::start();
    let agent = agent(Some("victorialogs.env"), format!("{}/insert/opentelemetry", backend.address()));
    collects(&backend, agent, "ml/direct");
}

#[test]
fn victorialogs_has_each_line_that_came_through_a_collector() {
    let backend = VictoriaLogs::start();
    let collector = Collector::start(&format!("{}/insert/opentelemetry", backend.address()));
    collects(&backend, agent(None, collector.address()), "ml/through");
}
