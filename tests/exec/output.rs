//! What the program prints is shown as it is, and kept.

use std::{fs, process::Stdio};

use runlog_tests::{Lines, State};

use crate::{GRACE, but_for_waiting, printed};

#[test]
fn each_output_is_shown_byte_for_byte_on_its_own_stream() {
    let state = State::new();
    let all: Vec<u8> = (0..=u8::MAX).cycle().take(300_000).collect();
    let reversed: Vec<u8> = all.iter().rev().copied().collect();
    fs::write(state.path("out"), &all).unwrap();
    fs::write(state.path("err"), &reversed).unwrap();

    let script = format!("cat {0}/out; cat {0}/err >&2", state.folder().display());
    let output = state.run(&["exec", "--run-id", "r", "--quiet", "--", "sh", "-c", &script]);

    assert!(output.status.success());
    assert!(output.stdout == all, "stdout is not what was printed");
    assert!(but_for_waiting(output.stderr) == reversed, "stderr is not what was printed");
}

#[test]
fn binary_output_is_kept_readable_and_stops_nothing() {
    let state = State::new();
    state.exec("r", r"printf 'nul \0 here\n'; printf 'broken \377\376 bytes\n'; echo after");

    assert_eq!(printed(&state, "r", "stdout"), ["nul \0 here", "broken \u{fffd}\u{fffd} bytes", "after"]);
    let lines = state.lines("r");
    let broken = lines.iter().find(|line| line.body().starts_with("broken")).unwrap();
    assert_eq!(broken.attribute("runlog.invalid_utf8"), "2");
}

#[test]
fn p4_two_big_outputs_at_once_are_shown_and_kept_whole_each_in_its_order() {
    const COUNT: usize = 100_000;
    let state = State::new();
    let expected = |word: &str| (1..=COUNT).map(|i| format!("{word} {i}")).collect::<Vec<_>>();
    let script = format!("seq -f 'out %.0f' {COUNT} & seq -f 'err %.0f' {COUNT} >&2; wait");

    let mut command = state.command(&["exec", "--run-id", "r", "--quiet", "--", "sh", "-c", &script]);
    // A slow machine is told that runlog is not done yet.
    let output = command.env("RUNLOG_LOG_LEVEL", "error").envs([GRACE]).output().unwrap();

    let shown = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(shown(output.stdout), expected("out").join("\n") + "\n");
    assert_eq!(shown(output.stderr), expected("err").join("\n") + "\n");
    let lines = state.lines("r");
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let kept = lines.iter().filter(|line| line.text("stream") == stream).map(|line| line.body());
        assert!(kept.eq(expected(word)), "{stream} is not kept whole and in its order");
    }
}

#[test]
fn a_last_line_without_newline_is_kept() {
    let state = State::new();
    state.exec("r", "echo first; printf 'no newline'; printf 'nor here' >&2");
    assert_eq!(printed(&state, "r", "stdout"), ["first", "no newline"]);
    assert_eq!(printed(&state, "r", "stderr"), ["nor here"]);
}

#[test]
fn a_prompt_is_shown_before_its_line_has_ended() {
    let state = State::new();
    let script = "printf 'password: '; printf 'hint\\n' >&2; read answer; echo \"got $answer\"";
    let mut command = state.command(&["exec", "--run-id", "r", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();

    let mut prompt = [0; 10];
    std::io::Read::read_exact(&mut stdout, &mut prompt).unwrap();
    assert_eq!(&prompt, b"password: ");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"secret\n").unwrap();

    assert_eq!(Lines::of(stdout).next().unwrap(), "got secret");
    assert!(child.wait().unwrap().success());
    assert_eq!(printed(&state, "r", "stdout"), ["password: got secret"]);
}

#[test]
fn lines_are_kept_when_nobody_reads_the_output() {
    let state = State::new();
    let mut command = state.command(&["exec", "--run-id", "r", "--", "sh", "-c", "read go; seq 20000; exit 6"]);
    command.envs([GRACE]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();

    assert_eq!(child.wait().unwrap().code(), Some(6));
    assert_eq!(printed(&state, "r", "stdout").len(), 20_000);
}

#[test]
fn the_levels_and_the_summary_say_what_was_kept_and_what_was_not() {
    let state = State::new();
    let script = "echo 'DEBUG:root:fine'; echo 'INFO:root:usual'; echo 'WARNING:root:odd'; echo plain; echo 'ERROR:root:bad' >&2";
    let output = state.run(&["exec", "--run-id", "r", "--level", "warn", "--", "sh", "-c", script]);

    let mut kept: Vec<_> =
        state.lines("r").iter().filter(|line| line.is_printed()).map(|l| (l.severity(), l.body().to_owned())).collect();
    kept.sort();
    assert_eq!(kept, [(13, "WARNING:root:odd".to_owned()), (17, "ERROR:root:bad".to_owned())]);
    let stderr = String::from_utf8(but_for_waiting(output.stderr)).unwrap();
    assert_eq!(
        stderr,
        "ERROR:root:bad\nrunlog: run r: 2 lines kept, 3 below warn left out (RUNLOG_LEVEL); runlog logs r\n"
    );
    let quiet = state.run(&["exec", "--run-id", "r", "--quiet", "--", "true"]);
    assert!(but_for_waiting(quiet.stderr).is_empty());
}
