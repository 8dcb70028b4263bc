//! What containers print arrives once, as it was printed.

use std::collections::BTreeSet;

use runlog_tests::{Containers, Line};

const DEBUG: i64 = 5;
const INFO: i64 = 9;
const ERROR: i64 = 17;

fn bodies(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::body).collect()
}

/// Prints so many lines to each output, and from the half on only once there is a file `go`: who is killed before that is
/// killed while lines are outstanding, however quickly it reads.
pub fn pausing(lines: usize) -> String {
    let (half, waits) = (lines / 2, "while [ ! -e /go ]; do sleep 0.05; done");
    let prints = format!("i=$((i+1)); echo out $i; echo err $i >&2; [ $i != {half} ] || {waits}");
    format!("i=0; while [ $i -lt {lines} ]; do {prints}; done")
}

#[test]
fn plain_terminal_and_short_lived_containers_arrive_whole_under_their_runs() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    let _plain = containers.run(
        &["--label", "runlog.run-id=plain"],
        "echo 'DEBUG small'; sleep 0.2; echo 'INFO plain'; sleep 0.2; echo 'ERROR bad' >&2; sleep 1000",
    );
    let _terminal = containers.run(&["--tty", "--label", "runlog.run-id=terminal"], "echo hello; echo bye; sleep 1000");
    let _short =
        containers.run(&["--label", "runlog.run-id=short"], "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done");

    let plain = agent.eventually_lines("plain", 3);
    let mut seen: Vec<_> = plain.iter().map(Line::seen).collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [("stderr", ERROR, "ERROR bad"), ("stdout", DEBUG, "DEBUG small"), ("stdout", INFO, "INFO plain")]
    );
    let terminal = agent.eventually_lines("terminal", 2);
    let seen: Vec<_> = terminal.iter().map(Line::seen).collect();
    assert_eq!(seen, [("stdout", INFO, "hello"), ("stdout", INFO, "bye")]);
    let short = agent.eventually_lines("short", 10);
    let expected: Vec<String> = (1..=10).map(|i| format!("line {i}")).collect();
    assert_eq!(bodies(&short), expected);
}

#[test]
fn debug_lines_are_left_out_at_info_unless_the_container_asks_for_them() {
    let containers = Containers::new();
    let agent = containers.agent().set("RUNLOG_LEVEL", "INFO").start();
    let script = "echo 'DEBUG a'; echo 'INFO b'; echo 'DEBUG c'; echo 'WARNING d'";
    let _default = containers.run(&["--label", "runlog.run-id=default"], script);
    let _asked = containers.run(&["--label", "runlog.run-id=asked", "--label", "runlog.level=DEBUG"], script);

    assert_eq!(bodies(&agent.eventually_lines("asked", 4)), ["DEBUG a", "INFO b", "DEBUG c", "WARNING d"]);
    assert_eq!(bodies(&agent.eventually_lines("default", 2)), ["INFO b", "WARNING d"]);
    let filtered = &agent.status()["sources"][0]["lines_filtered"]["debug"];
    assert_eq!(filtered.as_u64(), Some(2), "{}", agent.status());
}

#[test]
fn s16_containers_from_before_the_agent_are_read_from_their_start() {
    let containers = Containers::new();
    let _exited = containers.run_to_end(&["--label", "runlog.run-id=exited"], "echo one; echo two");
    let running = containers.run(
        &["--label", "runlog.run-id=running"],
        "echo early; while [ ! -e /go ]; do sleep 0.1; done; echo late; sleep 1000",
    );

    let agent = containers.agent().start();
    assert_eq!(bodies(&agent.eventually_lines("exited", 2)), ["one", "two"]);
    assert_eq!(bodies(&agent.eventually_lines("running", 1)), ["early"]);
    running.shell("touch /go");
    assert_eq!(bodies(&agent.eventually_lines("running", 2)), ["early", "late"]);
}

#[test]
fn d5_lines_around_the_size_of_the_engines_pieces_and_longer_arrive_in_one() {
    const SIZES: [usize; 6] = [16_383, 16_384, 16_385, 32_768, 100_000, 1_000_000];
    let containers = Containers::new();
    let agent = containers.agent().start();
    let sizes = SIZES.map(|size| size.to_string()).join(" ");
    let script = &format!("for size in {sizes}; do head -c $size /dev/zero | tr '\\0' x; echo; done; echo after");
    let _plain = containers.run(&["--label", "runlog.run-id=plain"], script);
    let _terminal = containers.run(&["--tty", "--label", "runlog.run-id=terminal"], script);
    for run in ["plain", "terminal"] {
        let lines = agent.eventually_lines(run, SIZES.len() + 1);
        let found: Vec<usize> = lines.iter().map(|line| line.body().len()).collect();
        assert_eq!(found, [SIZES.as_slice(), &["after".len()]].concat(), "{run}");
        assert!(lines.iter().all(|line| line.body() == "after" || line.body().bytes().all(|byte| byte == b'x')));
    }
}

#[test]
fn d24_both_lives_of_a_restarted_container_are_read_once() {
    let containers = Containers::new();
    let agent = containers.agent().start();
    let container = containers.run_to_end(&["--label", "runlog.run-id=twice"], "echo life; printf half");
    assert_eq!(bodies(&agent.eventually_lines("twice", 2)), ["life", "half"]);
    container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(bodies(&agent.eventually_lines("twice", 4)), ["life", "half", "life", "half"]);
}

#[test]
fn kill_9_in_the_middle_of_two_streams_loses_and_repeats_nothing() {
    const LINES: usize = 10_000;
    let containers = Containers::new();
    let mut agent = containers.agent().start();
    let container = containers.run(&["--label", "runlog.run-id=killed"], &pausing(LINES));

    let _ = agent.eventually_lines("killed", 500);
    agent.kill();
    container.shell("touch /go");
    agent.start();
    agent.kill();
    agent.start();
    assert_eq!(container.wait(), 0);

    let lines = agent.eventually_lines("killed", 2 * LINES);
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let seen: Vec<&str> = lines.iter().filter(|line| line.text("stream") == stream).map(Line::body).collect();
        let expected: Vec<String> = (1..=LINES).map(|i| format!("{word} {i}")).collect();
        assert!(
            seen == expected,
            "{stream}: {} lines, {} different",
            seen.len(),
            BTreeSet::from_iter(seen.clone()).len()
        );
    }
    let uids: BTreeSet<&str> = lines.iter().map(|line| line.text("uid")).collect();
    assert_eq!(uids.len(), 2 * LINES, "no uid twice");
}
