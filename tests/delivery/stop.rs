//! SIGTERM.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use runlog_tests::{Agent, Line, Sink};

#[test]
fn s1_f14_a_last_line_without_its_end_is_stored_before_a_stop_ends_and_its_rest_when_it_comes() {
    let mut agent = Agent::builder().start();
    fs::write(agent.path("a.log"), "epoch 1\nepoch 2, interrup").unwrap();
    let finished = agent.terminate();
    assert_eq!(finished.status.code(), Some(0), "{}", finished.messages);
    let bodies = |lines: &[Line]| lines.iter().map(|line| line.body().to_owned()).collect::<Vec<_>>();
    assert_eq!(bodies(&agent.lines("r")), ["epoch 1", "epoch 2, interrup"]);

    let mut file = fs::OpenOptions::new().append(true).open(agent.path("a.log")).unwrap();
    agent.start();
    file.write_all(b"ted by a stop\nepoch 3\n").unwrap();
    let lines = agent.eventually_lines("r", 4);
    assert_eq!(bodies(&lines), ["epoch 1", "epoch 2, interrup", "ted by a stop", "epoch 3"]);
    let part = |line: &Line, key| line.attribute(&format!("runlog.part.{key}")).to_owned();
    assert_eq!((part(&lines[1], "index"), part(&lines[1], "count")), ("0".into(), String::new()));
    assert_eq!((part(&lines[2], "index"), part(&lines[2], "count")), ("1".into(), "2".into()));
    assert!(!part(&lines[1], "id").is_empty());
    assert_eq!(part(&lines[1], "id"), part(&lines[2], "id"));
    assert_eq!(part(&lines[3], "id"), "");
}

#[test]
fn s3_a_stop_with_the_backend_away_ends_in_time_with_75_and_the_next_start_delivers() {
    let sink = Sink::prepare();
    let mut agent =
        Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", sink.endpoint()).set("RUNLOG_STOP_GRACE", "500ms").start();
    fs::write(agent.path("a.log"), "epoch 1\nepoch 2").unwrap();
    let asked = Instant::now();
    let finished = agent.terminate();
    assert_eq!(finished.status.code(), Some(75), "{}", finished.messages);
    // The default is 25 s; the rest is for a slow machine.
    assert!(asked.elapsed() < Duration::from_secs(24), "{:?}", asked.elapsed());

    sink.open();
    agent.start();
    let records = sink.eventually_records(2);
    assert_eq!(records.iter().map(|record| record.body()).collect::<Vec<_>>(), ["epoch 1", "epoch 2"]);
    assert_eq!(agent.terminate().status.code(), Some(0));
}
