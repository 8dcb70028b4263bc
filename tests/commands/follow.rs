//! `runlog logs --follow`.

use std::{
    fs::OpenOptions,
    io::Write,
    path::Path,
    process::{Child, Stdio},
};

use runlog_tests::{Agent, Lines, eventually, runlog};

fn write(path: &Path, line: &str) {
    writeln!(OpenOptions::new().create(true).append(true).open(path).unwrap(), "{line}").unwrap();
}

/// `runlog logs r -f` with these further arguments.
fn follow(agent: &Agent, arguments: &[&str]) -> (Child, Lines) {
    let mut command = runlog(&agent.state());
    command.args(["logs", "r", "--follow"]).args(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    (child, lines)
}

#[test]
fn a_line_is_shown_soon_after_it_is_written() {
    let agent = Agent::builder().start();
    let log = agent.path("train.log");
    write(&log, "INFO:a:first");
    let _ = agent.eventually_lines("r", 1);
    let address = agent.address();
    let (mut from_disk, disk_lines) = follow(&agent, &["--level", "info"]);
    let (mut from_server, server_lines) = follow(&agent, &["--level", "info", "--server", &address]);
    for lines in [&disk_lines, &server_lines] {
        assert_eq!(lines.next().unwrap(), "INFO:a:first");
    }
    for i in 0..3 {
        write(&log, "DEBUG:a:left out");
        write(&log, &format!("INFO:a:later {i}"));
        for lines in [&disk_lines, &server_lines] {
            assert_eq!(lines.next().unwrap(), format!("INFO:a:later {i}"));
        }
    }
    for child in [&mut from_disk, &mut from_server] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_follower_can_begin_with_the_last_lines() {
    let agent = Agent::builder().start();
    let log = agent.path("train.log");
    (0..10).for_each(|i| write(&log, &format!("line {i}")));
    let _ = agent.eventually_lines("r", 10);
    let (mut child, lines) = follow(&agent, &["--tail", "2"]);
    assert_eq!(lines.next().unwrap(), "line 8");
    assert_eq!(lines.next().unwrap(), "line 9");
    write(&log, "line 10");
    assert_eq!(lines.next().unwrap(), "line 10");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_follower_ends_quietly_with_its_reader() {
    let agent = Agent::builder().start();
    let log = agent.path("train.log");
    write(&log, "first");
    let _ = agent.eventually_lines("r", 1);
    let mut command = runlog(&agent.state());
    let mut child = command.args(["logs", "r", "-f"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = eventually("the follower ends", || {
        write(&log, "unheard");
        child.try_wait().unwrap()
    });
    let stderr = child.wait_with_output().unwrap().stderr;
    assert!(status.success() && stderr.is_empty(), "{status}: {}", String::from_utf8_lossy(&stderr));
}
