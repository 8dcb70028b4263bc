//! Containers whose logs are read from the engine's own files.

use std::collections::BTreeSet;

use runlog_tests::{AgentBuilder, Containers, Line};

fn bodies(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::body).collect()
}

/// An agent that reads files, and would find no engine to ask.
fn agent(containers: &Containers) -> AgentBuilder {
    let nobody = "unix:///nonexistent/docker.sock";
    containers.agent().set("RUNLOG_DOCKER_FILES", containers.folder()).set("RUNLOG_DOCKER_HOST", nobody)
}

#[test]
fn lines_arrive_under_their_runs_without_an_engine_that_answers() {
    let containers = Containers::new();
    let _before = containers.run_to_end(&["--label", "runlog.run-id=before"], "echo early; echo 'ERROR bad' >&2");
    let agent = agent(&containers).set("RUNLOG_LEVEL", "INFO").start();
    let script = "echo 'DEBUG a'; head -c 100000 /dev/zero | tr '\\0' x; echo; echo after";
    let flags = ["--label", "runlog.run-id=long", "--label", "runlog.level=debug", "--env", "RANK=3"];
    let _long = containers.run(&[&flags[..], &["--env", "WORLD_SIZE=4"]].concat(), script);

    let long = agent.eventually_lines("long", 3);
    assert!(bodies(&long) == ["DEBUG a", &"x".repeat(100_000), "after"], "{} lines", long.len());
    assert_eq!(long[0].attribute("ml.rank"), "3");
    let before = agent.eventually_lines("before", 2);
    let seen: BTreeSet<_> = before.iter().map(|line| (line.text("stream"), line.body())).collect();
    assert_eq!(seen, BTreeSet::from([("stdout", "early"), ("stderr", "ERROR bad")]));
}

#[test]
fn kill_9_in_the_middle_of_two_streams_and_of_rotations_loses_and_repeats_nothing() {
    const LINES: usize = 10_000;
    let containers = Containers::new();
    let mut agent = agent(&containers).start();
    let script = format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo out $i; echo err $i >&2; done");
    let rotated = ["--log-opt", "max-size=200k", "--log-opt", "max-file=100", "--label", "runlog.run-id=killed"];
    let container = containers.run(&rotated, &script);
    let before = agent.eventually_lines("killed", 500).len();
    agent.kill();
    assert!(before < 2 * LINES, "the kill came while lines were outstanding");
    agent.start();
    assert_eq!(container.wait(), 0);

    let lines = agent.eventually_lines("killed", 2 * LINES);
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let seen = lines.iter().filter(|line| line.text("stream") == stream).map(|line| line.body().to_owned());
        let expected: BTreeSet<String> = (1..=LINES).map(|i| format!("{word} {i}")).collect();
        assert!(seen.collect::<BTreeSet<_>>() == expected, "{stream} is not what was printed");
    }
    assert_eq!(lines.len(), 2 * LINES, "a line came twice");
}

#[test]
fn d24_both_lives_of_a_restarted_container_are_read_once() {
    let containers = Containers::new();
    let agent = agent(&containers).start();
    let container = containers.run_to_end(&["--label", "runlog.run-id=twice"], "echo life; printf half");
    container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(bodies(&agent.eventually_lines("twice", 4)), ["life", "half", "life", "half"]);
}

#[test]
fn a_container_that_was_begun_through_the_engine_is_read_to_its_end_through_it() {
    let containers = Containers::new();
    let mut agent = containers.agent().start();
    let script = "echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after; sleep 1000";
    let container = containers.run(&["--label", "runlog.run-id=changed"], script);
    assert_eq!(bodies(&agent.eventually_lines("changed", 1)), ["before"]);
    assert!(agent.terminate().status.success());
    agent.set("RUNLOG_DOCKER_FILES", containers.folder());
    agent.start();
    let _new = containers.run(&["--label", "runlog.run-id=new"], "echo new; sleep 1000");
    container.shell("touch /go");
    assert_eq!(bodies(&agent.eventually_lines("new", 1)), ["new"]);
    let _ = agent.eventually_lines("changed", 2);
    assert!(agent.terminate().status.success());
    assert_eq!(bodies(&agent.lines("changed")), ["before", "after"]);
    assert_eq!(bodies(&agent.lines("new")), ["new"]);
}
