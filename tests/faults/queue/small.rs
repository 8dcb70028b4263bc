//! Disks that are full.

use std::fs;

use runlog_tests::{Agent, Found, Sink, SmallDisk, Trainer, eventually};

/// An agent whose state is on a small disk, and a backend that is away.
fn on_a_small_disk(options: &str, min_free: &str) -> (Sink, Agent, SmallDisk) {
    let sink = Sink::prepare();
    let mut agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint())
        .set("RUNLOG_EXPORT_MIN_BACKOFF", "50ms")
        .set("RUNLOG_EXPORT_MAX_BACKOFF", "200ms")
        .set("RUNLOG_QUEUE_MIN_FREE", min_free)
        .set("RUNLOG_QUEUE_SEGMENT_BYTES", "1MiB")
        .prepare();
    let disk = SmallDisk::mount(agent.state(), options);
    agent.start();
    (sink, agent, disk)
}

fn eventually_says_that_it_is_full(agent: &Agent, reason: &str) {
    eventually("the queue is full", || agent.messages().contains(reason).then_some(()));
    assert_eq!(agent.messages_of("WARN").iter().filter(|text| text.starts_with("the queue is full")).count(), 1);
}

fn all_comes_and_goes_on(sink: &Sink, agent: &mut Agent, trainer: Trainer) {
    let printed = trainer.finish();
    let _ = sink.eventually_records(usize::try_from(printed.lines).unwrap());
    Found::at(sink).accounts_for(&[printed]);
    agent.is_live_at(sink);
    assert_eq!(agent.terminate().status.code(), Some(0));
}

#[test]
fn q5_a_queue_that_has_filled_its_disk_empties_it_when_the_backend_is_back() {
    let (sink, mut agent, disk) = on_a_small_disk("size=512k", "0");
    let _others = disk.fill_but(30_000);
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(15_000);
    eventually_says_that_it_is_full(&agent, "the disk is full");
    assert!(disk.free_bytes() < 30_000, "{} bytes are free", disk.free_bytes());

    sink.open();

    all_comes_and_goes_on(&sink, &mut agent, trainer);
}

#[test]
fn q6_an_agent_whose_disk_others_fill_waits_until_there_is_room_again() {
    let (sink, mut agent, disk) = on_a_small_disk("size=8m", "400KiB");
    sink.open();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(100);
    let _ = sink.eventually_records(100);
    let ballast = disk.fill_but(300 << 10);
    trainer.print(20_000);
    eventually_says_that_it_is_full(&agent, "the disk has less than queue.min_free left");
    assert!(disk.free_bytes() > 100 << 10, "what is left is for others");

    fs::remove_file(ballast).unwrap();

    all_comes_and_goes_on(&sink, &mut agent, trainer);
}
