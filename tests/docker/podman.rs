//! Containers of Podman, through the same API.

use std::collections::BTreeSet;

use runlog_tests::{Containers, Line, Podman, eventually};

fn bodies(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::body).collect()
}

#[test]
fn d21_what_containers_of_podman_print_arrives_whole_under_its_run() {
    let podman = Podman::start();
    let containers = Containers::on(&podman.host());
    let _before = containers.run_to_end(&["--label", "runlog.run-id=before"], "echo early; echo 'ERROR bad' >&2");
    let agent = containers.agent().start();
    let sizes = [8_191, 8_192, 16_383, 16_384, 16_385, 100_000, 1_000_000];
    let words = sizes.map(|size: usize| size.to_string()).join(" ");
    let script = &format!("for size in {words}; do head -c $size /dev/zero | tr '\\0' x; echo; done; echo after");
    let _long = containers.run(&["--label", "runlog.run-id=long", "--env", "RANK=3"], script);
    let _terminal = containers.run(&["--tty", "--label", "runlog.run-id=terminal"], "echo one; echo two; sleep 1000");
    let script = r"printf 'a\xffb\n'; printf half";
    let _bytes = containers.run(&["--label", "runlog.run-id=bytes"], script);
    let short = |n| containers.run(&["--label", "runlog.run-id=short"], &format!("echo {n}"));
    let _short: Vec<_> = (0..5).map(short).collect();

    let before: BTreeSet<(String, String)> = agent
        .eventually_lines("before", 2)
        .iter()
        .map(|line| (line.text("stream").to_owned(), line.body().to_owned()))
        .collect();
    let expected = [("stdout", "early"), ("stderr", "ERROR bad")];
    assert_eq!(before, expected.map(|(stream, body)| (stream.to_owned(), body.to_owned())).into());
    let long = agent.eventually_lines("long", sizes.len() + 1);
    let found: Vec<usize> = long.iter().map(|line| line.body().len()).collect();
    assert_eq!(found, [sizes.as_slice(), &["after".len()]].concat());
    assert_eq!(bodies(&agent.eventually_lines("terminal", 2)), ["one", "two"]);
    assert_eq!(bodies(&agent.eventually_lines("bytes", 2)), ["a\u{fffd}b", "half"]);
    let short = agent.eventually_lines("short", 5);
    assert_eq!(short.iter().map(Line::body).collect::<BTreeSet<_>>().len(), 5);
    assert_eq!(agent.messages_of("WARN"), Vec::<String>::new());
}

#[test]
fn d13_d21_agents_services_and_containers_that_begin_again_lose_and_repeat_nothing() {
    const LINES: usize = 3_000;
    let mut podman = Podman::start();
    let containers = Containers::on(&podman.host());
    let mut agent = containers.agent().start();
    let script =
        format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo out $i; echo err $i >&2; usleep 500; done");
    let flood = containers.run(&["--label", "runlog.run-id=flood"], &script);
    let _ = agent.eventually_lines("flood", 100);
    agent.kill();
    agent.start();
    let count = agent.lines("flood").len();
    let _ = agent.eventually_lines("flood", (count + 100).min(2 * LINES));
    podman.stop();
    podman.up();
    assert_eq!(flood.wait(), 0);
    let lines = agent.eventually_lines("flood", 2 * LINES);
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let seen: Vec<&str> = lines.iter().filter(|line| line.text("stream") == stream).map(Line::body).collect();
        let expected: Vec<String> = (1..=LINES).map(|i| format!("{word} {i}")).collect();
        assert!(seen == expected, "{stream}: {} lines", seen.len());
    }

    let twice = containers.run_to_end(&["--label", "runlog.run-id=twice"], "echo life");
    assert_eq!(bodies(&agent.eventually_lines("twice", 1)), ["life"]);
    twice.start();
    assert_eq!(twice.wait(), 0);
    let _ = agent.eventually_lines("twice", 2);
    assert!(agent.terminate().status.success());
    assert_eq!(bodies(&agent.lines("twice")), ["life", "life"]);
}

// Podman empties the log each time, and does not say how much of it those who follow have not seen.
#[test]
fn d19_d21_a_log_that_podman_empties_when_it_is_full_is_read_to_its_end() {
    let podman = Podman::start();
    let containers = Containers::on(&podman.host());
    let agent = containers.agent().start();
    let rotated = ["--log-opt", "max-size=16k", "--label", "runlog.run-id=small"];
    let script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; usleep 100; done; echo end";
    let container = containers.run(&rotated, script);
    assert_eq!(container.wait(), 0);
    let lines = eventually("the end", || {
        Some(agent.lines("small")).filter(|lines| lines.iter().any(|line| line.body() == "end"))
    });
    let numbers: Vec<u32> = lines.iter().filter_map(|line| line.body().strip_prefix("line ")?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "a line came twice: {numbers:?}");
}
