//! The flight recorder, and `runlog replay`.

use std::{fs::OpenOptions, io::Write, path::Path};

use runlog_tests::{Agent, Line, State, eventually};
use serde_json::Value;

use crate::{printed, refused};

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn recording() -> Agent {
    Agent::builder().set("RUNLOG_LEVEL", "INFO").set("RUNLOG_RECORDER_ON", "true").start()
}

/// The text of each line, and whether it was sent after all.
fn told(lines: &[Line]) -> Vec<(&str, bool)> {
    lines.iter().map(|line| (line.body(), line.attribute("runlog.replayed") == "true")).collect()
}

fn recorded(agent: &Agent, lines: u64) {
    eventually("the recorder has the lines", || (agent.status()["recording"]["lines"] == lines).then_some(()));
}

#[test]
fn lines_below_the_level_come_once_with_the_error_that_calls_for_them() {
    let agent = recording();
    let log = agent.path("a.log");
    append(&log, "DEBUG:a:1\nINFO:a:2\nDEBUG:a:3\n");
    recorded(&agent, 2);
    append(&log, "ERROR:a:bad\n");
    let lines = agent.eventually_lines("r", 4);
    assert_eq!(told(&lines), [("INFO:a:2", false), ("ERROR:a:bad", false), ("DEBUG:a:1", true), ("DEBUG:a:3", true)]);
    append(&log, "DEBUG:a:4\nERROR:a:worse\n");
    let lines = agent.eventually_lines("r", 6);
    assert_eq!(told(&lines)[4..], [("ERROR:a:worse", false), ("DEBUG:a:4", true)]);

    let status = agent.status();
    let source = &status["sources"][0];
    assert_eq!((&source["records_kept"], &source["lines_filtered"]["debug"]), (&6.into(), &3.into()));
    assert_eq!((&source["lines_replayed"], &status["recording"]["lines"]), (&3.into(), &0.into()));
    let text = printed(&agent.run(&["status"]));
    assert!(text.contains("flight recorder: 0 lines in 0 B of 8.0 MiB, 0 forgotten"), "{text}");
}

#[test]
fn what_was_recorded_comes_when_it_is_asked_for_and_not_again() {
    let agent = recording();
    append(&agent.path("a.log"), "DEBUG:a:1\nDEBUG:a:2\nINFO:a:3\n");
    recorded(&agent, 2);
    let text = refused(&agent.run(&["replay", "--run", "gone"]));
    assert_eq!(text, "runlog: there is no run \"gone\" here (run)\nuse r\n");

    let answer = |arguments: &[&str]| -> Value { serde_json::from_str(&printed(&agent.run(arguments))).unwrap() };
    assert_eq!(answer(&["replay", "--run", "r", "--json"])["lines"], 2);
    assert_eq!(answer(&["replay", "--json"])["lines"], 0);
    let lines = agent.eventually_lines("r", 3);
    assert_eq!(told(&lines), [("INFO:a:3", false), ("DEBUG:a:1", true), ("DEBUG:a:2", true)]);
}

#[test]
fn where_nothing_is_recorded_a_replay_says_how_it_would_be() {
    let agent = Agent::builder().start();
    let text = refused(&agent.run(&["replay"]));
    assert_eq!(text, "runlog: nothing is recorded here\nuse recorder.on = true (RUNLOG_RECORDER_ON)\n");
}

#[test]
fn a_run_that_fails_has_what_was_recorded_and_its_receipt_counts_it() {
    let state = State::new();
    let run = |id: &str, code: &str| {
        let script = format!("echo DEBUG:a:1; echo INFO:a:2; exit {code}");
        let mut command = state.command(&["exec", "--run-id", id, "--level", "info", "--", "sh", "-c", &script]);
        let output = command.env("RUNLOG_RECORDER_ON", "true").output().unwrap();
        assert_eq!(output.status.code(), code.parse().ok());
        printed(&state.run(&["runs", "show", id]))
    };
    let text = run("fails", "3");
    assert!(text.contains("complete: 2 lines read, 2 kept, 0 below the level"), "{text}");
    assert_eq!(told(&state.lines("fails")).iter().filter(|(body, _)| body.starts_with("DEBUG")).count(), 1);
    let text = run("works", "0");
    assert!(text.contains("complete: 2 lines read, 1 kept, 1 below the level"), "{text}");
}

#[test]
fn what_was_recorded_before_a_kill_is_gone_and_what_was_sent_is_not_sent_again() {
    let mut agent = recording();
    let log = agent.path("a.log");
    append(&log, "DEBUG:a:1\nERROR:a:bad\n");
    let _ = agent.eventually_lines("r", 2);
    append(&log, "DEBUG:a:2\nINFO:a:3\n");
    let _ = agent.eventually_lines("r", 3);
    recorded(&agent, 1);

    agent.kill();
    agent.start();
    append(&log, "DEBUG:a:4\nERROR:a:worse\n");
    let lines = agent.eventually_lines("r", 5);
    let told = told(&lines);
    let expected = [
        ("ERROR:a:bad", false),
        ("DEBUG:a:1", true),
        ("INFO:a:3", false),
        ("ERROR:a:worse", false),
        ("DEBUG:a:4", true),
    ];
    assert_eq!(told, expected);
    assert!(agent.terminate().status.success());
    let text = printed(&agent.run(&["runs", "show", "r"]));
    assert!(text.contains("complete: 6 lines read, 5 kept, 1 below the level"), "{text}");
}
