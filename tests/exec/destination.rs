//! The destination is away while the program runs.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use runlog_tests::{Agent, Line, Port, State, eventually, runlog};
use serde_json::Value;

use crate::GRACE;

/// Runs a program whose lines cannot be delivered.
fn exec_to_nowhere(mut command: Command, run: &str) {
    command.args(["exec", "--run-id", run, "--", "sh", "-c", "echo kept; exit 5"]);
    let nobody = Port::new();
    // In which the line has to become durable.
    command.env("RUNLOG_STOP_GRACE", "5s");
    let output = command.env("RUNLOG_EXPORT_ENDPOINT", nobody.endpoint()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(output.stdout, b"kept\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let told = format!("runlog: run {run}: 1 line kept; not all is delivered yet, the rest waits for the next runlog");
    assert!(stderr.lines().any(|line| line == told), "{stderr}");
}

/// What the server has of a run: each line once.
fn delivered(server: &Agent, run: &str) -> Vec<String> {
    let lines = eventually(&format!("the server has run {run}"), || {
        server.try_lines(run).filter(|lines| lines.iter().any(|line| line.text("event_name") == "ml.run.end"))
    });
    lines.iter().map(|line| line.body().to_owned()).collect()
}

fn expected(run: &str) -> Vec<String> {
    vec![format!("run {run} started: sh"), "kept".to_owned(), format!("run {run} ended with exit code 5")]
}

#[test]
fn the_next_exec_delivers_what_was_left_behind() {
    let server = Agent::server().start();
    let state = State::new();
    exec_to_nowhere(state.command(&[]), "a");
    exec_to_nowhere(state.command(&[]), "b");

    let mut next = state.command(&["exec", "--run-id", "c", "--", "true"]);
    next.env("RUNLOG_EXPORT_ENDPOINT", server.address()).envs([GRACE]);
    assert!(next.status().unwrap().success());

    for run in ["a", "b"] {
        assert_eq!(delivered(&server, run), expected(run));
    }
    assert_eq!(fs::read_dir(state.dir().join("exec")).unwrap().count(), 0, "a queue is left behind");
}

#[test]
fn who_waits_for_a_destination_that_is_away_is_told_so_and_may_leave() {
    let state = State::new();
    let mut exec = state.command(&["exec", "--", "sh", "-c", "exit 5"]);
    let nobody = Port::new();
    let mut exec = exec.env("RUNLOG_EXPORT_ENDPOINT", nobody.endpoint()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(exec.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.skip_while(|line| !line.contains("delivering what was collected, for up to 25s; Ctrl-C"));
    assert!(lines.next().is_some(), "nothing was said for as long as it waited");
    let pid = exec.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(exec.wait().unwrap().code(), Some(5));
    let last = lines.last().unwrap();
    assert!(last.contains("the rest waits for the next runlog"), "{last}");
}

#[test]
fn the_next_agent_delivers_what_was_left_behind() {
    let server = Agent::server().start();
    let mut agent = Agent::builder().set("RUNLOG_EXPORT_ENDPOINT", server.address()).prepare();
    exec_to_nowhere(runlog(&agent.state()), "a");

    agent.start();

    assert_eq!(delivered(&server, "a"), expected("a"));
    eventually("the queue is removed", || {
        (fs::read_dir(agent.state().join("exec")).unwrap().count() == 0).then_some(())
    });
    assert!(agent.terminate().status.success());
}

#[test]
fn what_goes_through_an_agent_is_in_one_receipt() {
    let server = Agent::server().start();
    let mut agent = Agent::builder()
        .set("RUNLOG_EXPORT_ENDPOINT", server.address())
        .set("RUNLOG_OTLP_LISTEN", "127.0.0.1:0")
        .start();
    let between = eventually("the agent receives OTLP", || {
        let messages = agent.messages();
        let mut messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told = messages.find(|message| message["message"].as_str().is_some_and(|text| text.contains("OTLP")))?;
        Some(format!("http://{}", told["address"].as_str()?))
    });
    let state = State::new();
    let mut exec = state.command(&["exec", "--run-id", "a", "--", "sh", "-c", "echo kept; exit 5"]);
    assert_eq!(exec.env("RUNLOG_EXPORT_ENDPOINT", between).envs([GRACE]).status().unwrap().code(), Some(5));
    assert!(agent.terminate().status.success());

    assert_eq!(delivered(&server, "a"), expected("a"));
    let shown = eventually("the run has its receipt", || {
        let shown = String::from_utf8(server.run(&["runs", "show", "a"]).stdout).unwrap();
        shown.contains("complete: 1 line read, 1 kept").then_some(shown)
    });
    assert!(!shown.contains("NOT"), "{shown}");
}

#[test]
fn r1_each_line_has_one_uid_although_the_agent_that_takes_it_is_killed() {
    // It listens at the same address again.
    let port = Port::new();
    let mut agent = Agent::builder().set("RUNLOG_OTLP_LISTEN", port.address()).start();
    let state = State::new();
    // It prints what it is told to.
    let mut exec = state.command(&["exec", "--run-id", "a", "--", "sh", "-c", "while read -r a b; do seq $a $b; done"]);
    let exec = exec.env("RUNLOG_EXPORT_ENDPOINT", port.endpoint()).env("RUNLOG_EXPORT_MAX_BACKOFF", "1s").envs([GRACE]);
    let mut exec = exec.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut asked = exec.stdin.take().unwrap();
    let printed = |agent: &Agent| -> Vec<Line> {
        agent.try_lines("a").unwrap_or_default().into_iter().filter(Line::is_printed).collect()
    };
    for kill in 0..3 {
        let before = kill * 500;
        writeln!(asked, "{} {}", before + 1, before + 500).unwrap();
        eventually("more lines are stored", || (printed(&agent).len() > before).then_some(()));
        agent.kill();
        agent.start();
    }
    drop(asked);
    assert!(exec.wait().unwrap().success());
    assert!(agent.terminate().status.success());

    let mut bodies = BTreeMap::new();
    for line in printed(&agent) {
        let body = bodies.entry(line.attribute("log.record.uid").to_owned()).or_insert_with(|| line.body().to_owned());
        assert_eq!(body, line.body());
    }
    let mut numbers: Vec<u64> = bodies.values().map(|body| body.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=1_500), "a line is missing, or has two uids");
}
