//! Too little memory, and too much waiting for it.

use std::{fs, io::Write};

use runlog_tests::{Agent, Found, Sink, Trainer, eventually};

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
    trainer.print(LINES);
    agent.eventually_stored("r", 5_000);
    grows_little(&agent, at_rest);
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
