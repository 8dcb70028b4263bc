//! Output that nobody reads to its end is no error.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use runlog_tests::State;

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let state = State::new();
    // Far more than a pipe holds.
    state.exec("r", "seq 100000");
    let mut command = state.command(&["logs", "r"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();

    assert_eq!(line, "1\n");
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn no_command_complains_about_a_closed_output() {
    let state = State::new();
    state.exec("r", "echo line");
    let commands: [&[&str]; 8] = [
        &["logs", "r"],
        &["logs", "r", "--json"],
        &["runs"],
        &["runs", "--json"],
        &["check"],
        &["check", "--show"],
        &["completions", "bash"],
        &["--help"],
    ];
    for arguments in commands {
        let mut command = state.command(arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let state = State::new();
    state.exec("r", "echo line");
    for arguments in [["logs", "r"].as_slice(), &["runs"], &["check", "--show"], &["completions", "bash"]] {
        // Writing there fails as if the disk were full: full(4).
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = state.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left on device"), "{arguments:?}");
    }
}
