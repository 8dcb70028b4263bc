//! The configurations of `deploy/backends`, with the backends themselves: what an agent sent is counted by their own query.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod clickhouse;
mod collector;
mod dashboards;
mod http;
mod process;
mod prometheus;
mod victorialogs;

use std::{fmt::Write as _, fs, time::Duration};

use runlog_tests::{Agent, AgentBuilder, eventually_within, root};

use clickhouse::ClickHouse;
use collector::Collector;
use victorialogs::VictoriaLogs;

const LINES: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// A text of `deploy/backends`.
fn deployed(name: &str) -> String {
    fs::read_to_string(root().join("deploy/backends").join(name)).unwrap()
}

/// An agent with the variables of such a file, but with that endpoint.
fn agent(file: Option<&str>, endpoint: String) -> AgentBuilder {
    let text = file.map(deployed).unwrap_or_default();
    let variables = text.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| !name.starts_with('#'));
    let agent = variables.fold(Agent::builder(), |agent, (name, value)| agent.set(name, value));
    // What is sent again, because a slow machine has not answered, would be there twice.
    let agent = agent.set("RUNLOG_EXPORT_TIMEOUT", "120s");
    agent.set("RUNLOG_EXPORT_ENDPOINT", endpoint).set("RUNLOG_LEVEL", "debug")
}

/// An agent of that run, and 100,000 lines for it to collect.
fn with_lines(agent: AgentBuilder, run: &str) -> Agent {
    let agent = agent.set("RUNLOG_RUN_ID", run).set("RUNLOG_EXPERIMENT", "ridge").start();
    let mut text = String::new();
    for number in 0..LINES {
        let level = ["DEBUG", "INFO", "WARNING", "ERROR"][number % 4];
        writeln!(text, "2026-03-01 12:00:00,000 {level} train: line {number}").unwrap();
    }
    fs::write(agent.path("train.log"), text).unwrap();
    agent
}

/// Collects 100,000 lines, and waits until VictoriaLogs counts them.
fn collects(backend: &VictoriaLogs, agent: AgentBuilder, run: &str) {
    let mut agent = with_lines(agent, run);
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
    let endpoint = format!("{}/insert/opentelemetry", backend.address());
    let collector = Collector::start("collector.yaml", &endpoint, &["exporters.otlphttp.timeout=120s"]);
    collects(&backend, agent(None, collector.address()), "ml/through");
}

#[test]
fn clickhouse_has_each_line_that_came_through_a_collector() {
    let backend = ClickHouse::start();
    // The lines are of one day, and would be gone as they arrive: by a ttl of days at once, and by one of a hundred years
    // as well, since ClickHouse's seconds end in 2106 and begin again.
    // And what it sends again, because a slow machine has not answered in five seconds, would be there twice.
    let settings = ["exporters.clickhouse.ttl=0", "exporters.clickhouse.timeout=120s"];
    let collector = Collector::start("clickhouse.yaml", &backend.address(), &settings);
    let mut agent = with_lines(agent(None, collector.address()), "ml/ridge");
    let of_run = "FROM otel.otel_logs WHERE ResourceAttributes['ml.run.id'] = 'ml/ridge' AND LogAttributes['log.file.name'] != ''";
    eventually_within(PATIENCE, "the backend counts every line", || {
        (backend.count(&format!("SELECT count() n {of_run}")) >= LINES).then_some(())
    });
    assert!(agent.terminate().status.success());
    let count = |what: &str| backend.count(&format!("SELECT {what} n {of_run}"));
    assert_eq!((count("count()"), count("uniqExact(LogAttributes['log.record.uid'])")), (LINES, LINES));
    assert_eq!(count("countIf(SeverityNumber >= 17 AND SeverityText = 'ERROR')"), LINES / 4);
    assert_eq!(count("uniqExact(ServiceName)"), 1);

    // What its part of the README says works.
    let readme = deployed("README.md");
    let query = readme.split_once("```sql\n").unwrap().1.split_once(";\n```").unwrap().0;
    let rows = backend.ask(query);
    let first = "2026-03-01 12:00:00,000 DEBUG train: line 0";
    assert!(rows.len() >= LINES && rows.iter().any(|row| row["Body"] == first), "{:?}", rows.first());
}
