//! Logging to stderr, as it stands: from a file and from a wrapped process.

use std::{fs, process::Command};

use runlog_tests::{Agent, State};

use crate::program::{oldest_and_newest, script};

/// Formats of `logging.basicConfig`; an empty one is its own.
const FORMATS: [&str; 5] = [
    "",
    "%(asctime)s %(levelname)s %(name)s: %(message)s",
    "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    "[%(asctime)s] [%(levelname)s] %(name)s: %(message)s",
    "%(asctime)s | %(levelname)-8s | %(name)s | %(message)s",
];

/// Severity of each record of `plain.py`: of a level, of 15, and of an exception with its traceback.
const SEVERITIES: [i64; 7] = [5, 9, 13, 17, 21, 8, 17];

fn arguments(format: &str) -> Vec<&str> {
    if format.is_empty() { Vec::new() } else { vec![format] }
}

fn is_understood(lines: &[runlog_tests::Line], what: &str) {
    assert_eq!(lines.iter().map(runlog_tests::Line::severity).collect::<Vec<_>>(), SEVERITIES, "{what}: {lines:?}");
    for line in lines {
        assert_eq!(line.text("scope"), "train.ridge", "{what}: {line:?}");
    }
    let last = lines.last().unwrap();
    assert!(last.body().contains("\nTraceback (most recent call last):\n"), "{what}: {last:?}");
    assert_ne!(last.attribute("exception.type"), "", "{what}: {last:?}");
}

#[test]
fn plain_logging_of_a_wrapped_process_is_understood() {
    let state = State::new();
    for (version, python) in oldest_and_newest().iter().enumerate() {
        for (nth, format) in FORMATS.iter().enumerate() {
            let run = format!("{version}-{nth}");
            let mut command = state.command(&["exec", "--run-id", &run, "--", python]);
            command.arg(script("plain.py")).args(arguments(format)).env("RUNLOG_LEVEL", "trace");
            assert!(command.output().unwrap().status.success());
            let lines: Vec<_> = state.lines(&run).into_iter().filter(|line| line.is_printed()).collect();
            is_understood(&lines, &format!("{python} {format}"));
        }
    }
}

#[test]
fn plain_logging_in_a_file_is_understood_and_has_its_own_time() {
    for format in FORMATS {
        let agent = Agent::builder().start();
        let python = &oldest_and_newest()[0];
        let file = fs::File::create(agent.path("train.log")).unwrap();
        let status = Command::new(python).arg(script("plain.py")).args(arguments(format)).stderr(file).status();
        assert!(status.unwrap().success());
        let lines = agent.eventually_lines("r", SEVERITIES.len());
        is_understood(&lines, format);
        for line in &lines {
            let has_time = line.0["time_unix_nano"] != 0;
            assert_eq!(has_time, !format.is_empty(), "{format}: {line:?}");
        }
    }
}
