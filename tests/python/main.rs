//! Python's logging through the package `runlog`, and as it stands, with every interpreter that there is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod collector;
mod level;
mod notebooks;
mod plain;
mod program;
mod runs;
mod trouble;
mod wrapped;

use std::{collections::BTreeSet, process::Command, thread, time::Duration};

use program::{Program, agent, oldest_and_newest, python, pythons, spooled};
use runlog_tests::{Agent, Found, Line, eventually, eventually_within, root};

/// What a record is expected to be: its logger, severity and text.
const EVERYTHING: [(&str, i64, &str); 9] = [
    ("train.ridge", 5, "a debug"),
    ("train.ridge", 12, "between the levels"),
    ("train.ridge", 17, "failed"),
    ("train.ridge", 17, "a wrong format: %d ('x',)"),
    ("train.ridge", 13, "%r <tuple whose str() raises ValueError>"),
    ("train.ridge", 21, "umlaut ü, half a pair \u{fffd}, a pair 😀, NUL \0, quote \" and \\"),
    ("", 9, "of the root"),
    ("train.ridge", 9, "in a thread"),
    ("train.ridge", 9, "at exit"),
];

fn seen(line: &Line) -> (&str, i64, &str) {
    (line.text("scope"), line.severity(), line.body())
}

fn is_as_expected(lines: &[Line], python: &str) {
    let (parts, whole): (Vec<_>, Vec<_>) = lines.iter().partition(|line| !line.attribute("runlog.part.id").is_empty());
    let expected =
        EVERYTHING.map(|(logger, severity, text)| (if logger.is_empty() { "root" } else { logger }, severity, text));
    assert_eq!(whole.iter().map(|line| seen(line)).collect::<Vec<_>>(), expected, "{python}");

    let [debug, between, failed, wrong, broken, ..] = whole[..] else { panic!("{whole:?}") };
    let known = ["loss", "step", "ok", "none", "list"].map(|key| debug.attribute(key));
    assert_eq!(known, ["0.25", "7", "true", "", r#"[1,"a",{"b":2.5}]"#], "{python}: {debug:?}");
    assert!(debug.attribute("code.file.path").ends_with("tests/python/everything.py"), "{debug:?}");
    assert_eq!(debug.attribute("code.function.name"), "<module>");
    assert_ne!(debug.attribute("code.line.number"), "");
    assert_eq!((debug.text("severity_text"), between.text("severity_text")), ("DEBUG", "Level 25"));
    assert_eq!([debug.attribute("thread.name"), debug.attribute("ml.rank")], ["MainThread", "3"]);
    assert_eq!(debug.attribute("ml.world_size"), "8");
    assert!(between.attribute("code.stacktrace").contains("everything.py"), "{between:?}");
    assert_eq!(failed.attribute("exception.type"), "KeyError");
    assert_eq!(failed.attribute("exception.message"), "'no such layer'");
    assert!(failed.attribute("exception.stacktrace").contains("in deep"), "{failed:?}");
    assert!(wrong.attribute("runlog.format_error").starts_with("TypeError: "), "{wrong:?}");
    assert_eq!(broken.attribute("broken"), "<Broken whose str() raises ValueError>");
    assert_eq!(whole[7].attribute("thread.name"), "loader");

    let whole_text: String = parts.iter().map(|line| line.body()).collect();
    assert_eq!(whole_text, format!("h{}ge", "u".repeat(600_000)));
    assert_eq!(parts.last().unwrap().attribute("runlog.part.count"), parts.len().to_string());
}

#[test]
fn every_interpreter_sends_all_that_a_record_knows_over_the_socket_or_the_spool() {
    let ranks = [("RANK", "3"), ("WORLD_SIZE", "8")];
    let (mut listening, mut silent) = (agent(), Agent::builder().prepare());
    listening.start();
    silent.start();
    let programs: Vec<_> = pythons()
        .iter()
        .flat_map(|python| [&listening, &silent].map(|agent| (python.clone(), agent)))
        .map(|(python, agent)| {
            let run = format!("by{}", python.replace('/', "-"));
            (Program::start_with(agent, &python, &run, &["everything.py"], &ranks), agent, python, run)
        })
        .collect();
    for (program, agent, python, run) in programs {
        program.ends_in_silence();
        is_as_expected(&agent.eventually_lines(&run, EVERYTHING.len() + 3), &python);
    }
    eventually("the spool is empty", || (spooled(&silent) == 0).then_some(()));
    assert_eq!(silent.metric("runlog_lost_bytes_total{source=\"otlp\"}"), 0.0);
}

#[test]
fn every_interpreter_passes_the_tests_of_the_package() {
    let tests: Vec<_> = pythons()
        .into_iter()
        .map(|python| {
            thread::spawn(move || {
                let mut command = Command::new(&python);
                command.args(["-B", "-W", "error", "-m", "unittest", "discover", "-s", "tests"]);
                let package = root().join("proto/python");
                let output = command.current_dir(&package).env("PYTHONPATH", "src").output().unwrap();
                (python, output)
            })
        })
        .collect();
    for test in tests {
        let (python, output) = test.join().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("Ran 0 tests"), "{python}: {said}");
    }
}

#[test]
fn processes_of_every_kind_lose_nothing_at_their_end() {
    const COUNT: usize = 200;
    let mut agent = agent();
    agent.start();
    let of_all = ["before", "process", "pool-0", "pool-1", "pool-2", "after"];
    let mut programs = Vec::new();
    for (version, python) in oldest_and_newest().iter().enumerate() {
        for method in ["fork", "spawn", "forkserver"] {
            let run = format!("{method}-{version}");
            let program = Program::start(&agent, python, &run, &["workers.py", method, &COUNT.to_string()]);
            programs.push((program, run, method));
        }
    }
    for (program, run, method) in programs {
        program.ends_in_silence();
        let names = of_all.into_iter().chain(["parent", "child"].into_iter().filter(|_| method == "fork"));
        let expected: BTreeSet<String> =
            names.flat_map(|name| (0..COUNT).map(move |step| format!("{name} {step}"))).collect();
        let _ = agent.eventually_lines(&run, expected.len());
        let found = Found::in_store(&agent, &run);
        let bodies: Vec<String> = found.bodies().map(str::to_owned).collect();
        assert_eq!(bodies.len(), expected.len(), "{run}: some came twice");
        assert_eq!(bodies.into_iter().collect::<BTreeSet<_>>(), expected, "{run}");
    }
}

#[test]
fn a_hundred_thousand_records_of_many_threads_arrive() {
    let mut agent = agent();
    agent.start();
    let program = Program::start(&agent, &python(), "many", &["steps.py", "100000", "0", "8"]);
    program.says("ready");
    program.says("logged");
    assert!(program.end().0.success());
    // Asked for a number, since to read them all again and again takes the machine from those that send.
    let kept = "runlog_kept_records_total{source=\"otlp\"}";
    eventually_within(Duration::from_secs(600), "all are kept", || (agent.metric(kept) >= 100_000.0).then_some(()));
    let _ = agent.eventually_lines("many", 100_000);
    let found = Found::in_store(&agent, "many");
    let numbers: BTreeSet<usize> = found.bodies().map(|body| body[5..].parse().unwrap()).collect();
    assert_eq!((found.bodies().count(), numbers.len()), (100_000, 100_000));
}

#[test]
fn whatever_a_program_ends_with_its_last_record_is_there() {
    let mut agent = agent();
    agent.start();
    let python = python();
    let ways = ["return", "raise", "exit", "thread", "signal-handler", "SIGTERM", "SIGKILL", "_exit"];
    let programs = ways.map(|how| (how, Program::start(&agent, &python, how, &["ends.py", how])));
    for (how, program) in programs {
        let last = if how == "return" { "first" } else { "last" };
        let has_last = || eventually(how, || agent.lines(how).iter().any(|line| line.body() == last).then_some(()));
        // Nothing is done at these ends: it is there before, without anybody waiting for it in the program.
        if ["SIGTERM", "SIGKILL", "_exit"].contains(&how) {
            has_last();
        }
        let _ = program.end();
        has_last();
    }
}
