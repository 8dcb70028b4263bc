//! Too little memory, and too much waiting for it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use runlog_tests::{Agent, Found, Sink, Trainer, eventually};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;
/// What an agent may take beside what it takes at rest, with the least memory for lines: below any limit that is
/// given to a sidecar.
const GROWTH: u64 = 32 * MIB;

fn grows_little(agent: &Agent, at_rest: u64) {
    let grown = agent.bounds().peak_resident_bytes.saturating_sub(at_rest);
    println!("{} MiB more than at rest", grown / MIB);
    assert!(grown < GROWTH, "{} MiB more than at rest", grown / MIB);
}

#[test]
fn s4_a_flood_stays_below_a_small_limit_and_a_kill_in_its_midst_costs_nothing() {
    const LINES: u64 = 80_000;
    let mut agent = Agent::builder().set("RUNLOG_MEMORY_MAX_BYTES", "8MiB").start();
    let at_rest = agent.resident_bytes();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(LINES / 2);
    agent.eventually_stored("r", 5_000);
    grows_little(&agent, at_rest);
    trainer.print(LINES / 2);
    trainer.busily_wait_for(LINES / 2 + 1_000);
    // What the kernel does to who exceeds the limit.
    agent.kill();
    assert!(agent.stored("r") < LINES, "all was stored before the kill");

    agent.start();
    let printed = trainer.finish();
    agent.eventually_stored("r", LINES);
    grows_little(&agent, at_rest);
    assert_eq!(agent.terminate().status.code(), Some(0));
    Found::in_store(&agent, "r").accounts_for(&[printed]);
}

#[test]
fn s6_with_the_backend_away_and_the_queue_full_memory_and_disk_stay_bounded() {
    const QUEUE: u64 = 8 * MIB;
    let sink = Sink::prepare();
    let agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint())
        .set("RUNLOG_EXPORT_COMPRESSION", "zstd")
        .set("RUNLOG_QUEUE_MAX_BYTES", "8MiB")
        .set("RUNLOG_QUEUE_SEGMENT_BYTES", "1MiB")
        .set("RUNLOG_MEMORY_MAX_BYTES", "8MiB")
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "1s")
        .start();
    let at_rest = agent.resident_bytes();
    // Lines that hardly shrink, so that the queue is soon full.
    let mut random = fastrand::Rng::with_seed(6);
    let mut noise = fs::File::create(agent.path("noise")).unwrap();
    let lines = 70_000;
    for _ in 0..lines {
        let text: String = (0..500).map(|_| random.alphanumeric()).collect();
        writeln!(noise, "{text}").unwrap();
    }
    // There at once, since a source that is held back does not see its file grow.
    fs::rename(agent.path("noise"), agent.path("noise.log")).unwrap();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(10_000);
    let printed = trainer.finish();
    eventually("the queue is full", || agent.messages().contains("the queue is full").then_some(()));
    eventually("it says so", || agent.status()["reasons"][0].as_str()?.contains("the queue").then_some(()));

    let bounds = agent.bounds();
    assert!(bounds.state_bytes <= QUEUE + MIB, "{bounds:?}");
    assert!(agent.metric("runlog_lag_bytes{source=\"file\"}") > 0.0, "everything fits into the queue");
    grows_little(&agent, at_rest);

    sink.open();
    let _ = sink.eventually_records(lines + 10_000);
    grows_little(&agent, at_rest);
    let found = Found::at(&sink);
    assert_eq!(found.bodies().count(), lines + 10_000);
    found.accounts_for(&[printed]);
    agent.is_live_at(&sink);
}

#[test]
fn s10_a_new_run_with_each_record_does_not_fill_the_memory() {
    const RUNS: usize = 1_250;
    const PER_REQUEST: usize = 250;
    let agent =
        Agent::builder().set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0").set("RUNLOG_MEMORY_MAX_BYTES", "8MiB").start();
    let address = eventually("the agent receives OTLP", || {
        let messages = agent.messages();
        let told = messages.lines().find(|line| line.contains("receiving OTLP"))?;
        Some(serde_json::from_str::<Value>(told).unwrap()["address"].as_str()?.to_owned())
    });
    let at_rest = agent.resident_bytes();
    for first in (0..RUNS).step_by(PER_REQUEST) {
        let of_run = |run: usize| {
            json!({
                "resource": {"attributes": [{"key": "ml.run.id", "value": {"stringValue": format!("run-{run}")}}]},
                "scopeLogs": [{"logRecords": [{"severityNumber": 9, "body": {"stringValue": "x".repeat(2_000)}}]}],
            })
        };
        let runs: Vec<Value> = (first..first + PER_REQUEST).map(of_run).collect();
        let body = json!({ "resourceLogs": runs }).to_string();
        eventually("the request is taken", || {
            let mut connection = TcpStream::connect(&address).unwrap();
            write!(
                connection,
                "POST /v1/logs HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).unwrap();
            // What a busy disk has not made durable in time is sent again, as each client does.
            assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
            answer.starts_with("HTTP/1.1 200 ").then_some(())
        });
    }
    agent.eventually_metric("runlog_exported_records_total{destination=\"store\"}", RUNS as f64);
    grows_little(&agent, at_rest);
    for run in [0, RUNS / 2, RUNS - 1] {
        assert_eq!(agent.lines(&format!("run-{run}")).iter().filter(|line| line.is_printed()).count(), 1, "{run}");
    }
    agent.is_live("r");
}
