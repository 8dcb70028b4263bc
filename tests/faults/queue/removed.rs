//! A state directory that somebody removes.

use std::fs;

use runlog_tests::{Agent, Found, Sink, Trainer, eventually};

#[test]
fn q14_lines_that_wait_in_a_state_directory_outlive_its_removal_and_a_kill_after_it() {
    let sink = Sink::prepare();
    let mut agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint()).start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(5_000);
    agent.eventually_metric("runlog_kept_records_total{source=\"file\"}", 5_000.0);
    let mut segments = Vec::new();
    eventually("the lines are in the queue", || {
        segments = files_in(&agent);
        segments.iter().any(|(_, bytes)| *bytes > 20_000).then_some(())
    });

    remove_state(&agent);

    eventually("the queue is there again", || (files_in(&agent).len() > segments.len()).then_some(()));
    assert!(agent.messages_of("ERROR").iter().any(|text| text.contains("were removed while it is in use")));
    trainer.print(1_000);
    agent.kill();
    sink.open();
    agent.start();
    let printed = trainer.finish();
    let _ = sink.eventually_records(6_000);
    Found::at(&sink).accounts_for(&[printed]);
    agent.is_live_at(&sink);
}

#[test]
fn q14_an_embedded_store_that_is_removed_begins_again() {
    let mut agent = Agent::builder().start();
    let mut trainer = Trainer::start(agent.path("a.log"), "a");
    trainer.print(1_000);
    agent.eventually_stored("r", 1_000);

    remove_state(&agent);

    let mut later = Trainer::start(agent.path("b.log"), "b");
    later.print(1_000);
    agent.eventually_stored("r", 1_000);
    Found::in_store(&agent, "r").accounts_for(&[later.finish()]);
    agent.is_live("r");
    eventually("other commands find the agent again", || agent.state().join("address").exists().then_some(()));
    let _ = agent.status();
    assert_eq!(trainer.finish().lines, 1_000);
    assert_eq!(agent.terminate().status.code(), Some(0));
}

/// Removes the state directory at once: one that is removed file by file can be filled again meanwhile.
fn remove_state(agent: &Agent) {
    let aside = agent.path("removed");
    fs::rename(agent.state(), &aside).unwrap();
    fs::remove_dir_all(aside).unwrap();
}

/// The segments of the agent's queue, with their bytes.
fn files_in(agent: &Agent) -> Vec<(String, u64)> {
    let Ok(entries) = fs::read_dir(agent.state().join("queue")) else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| name.ends_with(".segment"))?;
        Some((name, entry.metadata().ok()?.len()))
    });
    found.collect()
}
