//! SIGTERM.

use std::{
    fs,
    time::{Duration, Instant},
};

use runlog_tests::{Agent, Line, Sink};

#[test]
fn s1_a_line_that_is_last_and_has_no_newline_is_stored_before_a_stop_ends() {
    let mut agent = Agent::builder().start();
    fs::write(agent.path("a.log"), "epoch 1\nepoch 2, interrup").unwrap();
    let finished = agent.terminate();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
    assert_eq!(agent.lines("r").iter().map(Line::body).collect::<Vec<_>>(), ["epoch 1", "epoch 2, interrup"]);
}

#[test]
fn s3_a_stop_with_the_backend_away_ends_in_time_with_75_and_the_next_start_delivers() {
    let sink = Sink::prepare();
    let mut agent =
        Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint()).set("RUNLOG_STOP_GRACE", "2s").start();
    fs::write(agent.path("a.log"), "epoch 1\nepoch 2").unwrap();
    let asked = Instant::now();
    let finished = agent.terminate();
    assert_eq!(finished.status.code(), Some(75), "{}", finished.messages);
    // The default is 25 s; the rest is for a slow machine.
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());

    sink.open();
    agent.start();
    let records = sink.eventually_records(2);
    assert_eq!(records.iter().map(|record| record.body()).collect::<Vec<_>>(), ["epoch 1", "epoch 2"]);
    assert_eq!(agent.terminate().status.code(), Some(0));
}
