//! The program's start, environment, stdin, signals and end.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use runlog_tests::{Lines, State, eventually};

use crate::printed;

fn code(state: &State, command: &[&str]) -> Option<i32> {
    state.run(&[&["exec", "--"], command].concat()).status.code()
}

#[test]
fn p5_the_exit_code_is_the_programs() {
    let state = State::new();
    let plain = state.path("not-executable");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&plain, PermissionsExt::from_mode(0o644)).unwrap();
    let cases: [(&[&str], i32); 8] = [
        (&["true"], 0),
        (&["sh", "-c", "exit 3"], 3),
        (&["sh", "-c", "exit 255"], 255),
        (&["no-such-program"], 127),
        (&[plain.to_str().unwrap()], 126),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["sh", "-c", "kill -SEGV $$"], 128 + 11),
    ];
    for (command, expected) in cases {
        assert_eq!(code(&state, command), Some(expected), "{command:?}");
    }
}

#[test]
fn s5_what_a_killed_program_printed_is_kept_and_how_it_ended_recorded() {
    let state = State::new();
    let script = "seq 10000; echo last words >&2; printf 'and half a li'; kill -KILL $$";
    let output = state.run(&["exec", "--run-id", "r", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(137));
    let mut lines: Vec<String> = (1..=10_000).map(|number| number.to_string()).collect();
    lines.push("and half a li".to_owned());
    assert!(printed(&state, "r", "stdout") == lines);
    assert_eq!(printed(&state, "r", "stderr"), ["last words"]);
    let end = state.lines("r").into_iter().find(|line| line.text("event_name") == "ml.run.end").unwrap();
    assert_eq!((end.body(), end.attribute("process.exit.code")), ("run r was ended by SIGKILL", "137"));
}

#[test]
fn s20_as_the_first_process_of_a_container_it_lays_orphans_to_rest() {
    let state = State::new();
    // Each of these leaves a child behind that ends later, and is there until somebody has asked how.
    let script = "for i in $(seq 20); do sh -c 'sleep 0.1 & exit 0'; done; left() { grep -lx sleep /proc/[0-9]*/comm 2>/dev/null | wc -l; }; for i in $(seq 600); do n=$(left); [ $n = 0 ] && break; sleep 0.1; done; echo left: $n; echo first: $(cat /proc/1/comm)";
    let inner = state.command(&["exec", "--run-id", "r", "--", "sh", "-c", script]);
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--map-root-user"])
        .arg(inner.get_program())
        .args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "left: 0\nfirst: runlog\n");
}

#[test]
fn how_the_run_ended_is_recorded() {
    let state = State::new();
    for (run, script) in [("fine", "exit 0"), ("failed", "exit 3"), ("killed", "kill -KILL $$")] {
        let _ = state.run(&["exec", "--run-id", run, "--", "sh", "-c", script]);
    }
    let end = |run| state.lines(run).into_iter().find(|line| line.text("event_name") == "ml.run.end").unwrap();
    let told =
        |run| (end(run).attribute("ml.run.result").to_owned(), end(run).attribute("process.exit.code").to_owned());
    assert_eq!(told("fine"), ("success".to_owned(), "0".to_owned()));
    assert_eq!(told("failed"), ("failure".to_owned(), "3".to_owned()));
    assert_eq!(told("killed"), ("failure".to_owned(), "137".to_owned()));
    assert_eq!(end("killed").attribute("runlog.exit.signal"), "SIGKILL");
    assert_eq!(end("killed").body(), "run killed was ended by SIGKILL");
}

#[test]
fn what_a_rank_of_torchrun_leaves_of_its_exception_is_kept_though_its_output_says_nothing() {
    let state = State::new();
    let path = state.path("error.json");
    let file = r#"{"message": {"message": "KeyError: 'x'", "extraInfo": {"py_callstack": "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n", "timestamp": "1764000000"}}}"#;
    let script = format!("echo started; cat >\"$TORCHELASTIC_ERROR_FILE\" <<'E'\n{file}\nE\nexit 1");
    let exec = |run: &str, script: &str| {
        let mut command = state.command(&["exec", "--run-id", run, "--", "sh", "-c", script]);
        command.env("TORCHELASTIC_ERROR_FILE", &path).envs([("RANK", "3"), ("WORLD_SIZE", "8")]);
        assert_eq!(command.output().unwrap().status.code(), Some(1));
    };
    exec("failed", &script);
    let lines = state.lines("failed");
    let left = lines.iter().find(|line| line.attribute("exception.type") == "KeyError").unwrap();
    assert_eq!((left.body(), left.attribute("ml.rank")), (file, "3"));
    let shown = String::from_utf8(state.run(&["runs", "show", "failed"]).stdout).unwrap();
    assert!(shown.contains("rank 3, exception at ") && shown.contains("KeyError: 'x'"), "{shown}");
    // It lies there still when another process fails.
    exec("other", "echo started; exit 1");
    assert!(state.lines("other").iter().all(|line| line.attribute("exception.type").is_empty()));
}

#[test]
fn a_program_that_cannot_be_started_leaves_one_clear_message() {
    let state = State::new();
    let script = state.path("train");
    fs::write(&script, "#!/no/such/python\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    for (program, why) in [
        ("no-such-program", "there is no such program in PATH"),
        (script.to_str().unwrap(), "its first line asks for \"/no/such/python\", which is not there"),
    ] {
        let output = state.run(&["exec", "--", program, "--flag"]);
        assert_eq!(output.status.code(), Some(127));
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(message, format!("runlog: {program} cannot be started: {why}\n"));
    }
    assert_eq!(fs::read_dir(state.dir().join("exec")).unwrap().count(), 0, "its queue is left behind");
}

#[test]
fn p5_s2_signals_reach_the_program() {
    let state = State::new();
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        // `wait` is what a trap interrupts at once.
        let script = format!(
            "trap 'echo got {signal}; kill $child; exit 9' {signal}; sleep 300 >/dev/null 2>&1 & child=$!; echo ready; wait $child"
        );
        let (mut child, lines) = started(state.command(&["exec", "--run-id", signal, "--", "sh", "-c", &script]));
        assert_eq!(lines.next().unwrap(), "ready");
        send(signal, child.id());
        assert_eq!(lines.next().unwrap(), format!("got {signal}"));
        assert_eq!(child.wait().unwrap().code(), Some(9), "{signal}");
        assert_eq!(printed(&state, signal, "stdout"), ["ready".to_owned(), format!("got {signal}")]);
    }
}

#[test]
fn a_signal_that_ends_the_program_ends_runlog_with_its_code() {
    let state = State::new();
    let (mut child, lines) = started(state.command(&["exec", "--", "sh", "-c", "echo ready; exec sleep 300"]));
    assert_eq!(lines.next().unwrap(), "ready");
    send("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn the_program_finds_its_run_in_the_environment() {
    let state = State::new();
    let show = r#"echo "$RUNLOG_RUN_ID|$RUNLOG_EXPERIMENT|$PYTHONUNBUFFERED|$OTHER""#;
    let seen = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = state.command(&[&["exec", "--quiet"], arguments, &["--", "sh", "-c", show]].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(seen(&["--run-id", "r1", "--experiment", "ridge"], &[("OTHER", "kept")]), "r1|ridge|1|kept");
    assert_eq!(seen(&[], &[("MLFLOW_RUN_ID", "m1"), ("PYTHONUNBUFFERED", "x")]), "m1||x|");
    assert_eq!(seen(&[], &[("RUNLOG_RUN_ID", "r2"), ("PYTHONUNBUFFERED", "")]), "r2|||");

    let generated = seen(&[], &[]);
    let generated = generated.strip_suffix("||1|").unwrap();
    assert_eq!(printed(&state, generated, "stdout"), [format!("{generated}||1|")]);
}

#[test]
fn stdin_is_the_programs_own() {
    let state = State::new();
    let mut command = state.command(&["exec", "--run-id", "r", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"typed\nlast").unwrap();
    drop(stdin);
    assert_eq!(child.wait_with_output().unwrap().stdout, b"typed\nlast");
    assert_eq!(printed(&state, "r", "stdout"), ["typed", "last"]);
}

#[test]
fn p3_a_grandchild_that_keeps_the_output_open_does_not_hold_the_end() {
    let state = State::new();
    let script = "sleep 300 & echo $!; printf begun; exit 4";
    let output = state.run(&["exec", "--run-id", "r", "--", "sh", "-c", script]);

    assert_eq!(output.status.code(), Some(4));
    let shown = String::from_utf8(output.stdout).unwrap();
    let grandchild = shown.strip_suffix("\nbegun").unwrap().to_owned();
    assert!(Path::new("/proc").join(&grandchild).exists(), "it was not there any more");
    assert!(Command::new("kill").arg(&grandchild).status().unwrap().success());
    assert_eq!(printed(&state, "r", "stdout"), [&grandchild, "begun"]);
}

#[test]
fn two_programs_at_once_share_a_state_directory() {
    let state = State::new();
    let cat = |run| {
        let mut command = state.command(&["exec", "--run-id", run, "--", "cat"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let (mut a, mut b) = (cat("a"), cat("b"));
    for i in 0..100 {
        for (child, run) in [(&mut a, "a"), (&mut b, "b")] {
            writeln!(child.stdin.as_mut().unwrap(), "{run} {i}").unwrap();
        }
    }
    // Both are stored while both run.
    eventually("the lines of both are there", || {
        (state.lines("a").len() > 100 && state.lines("b").len() > 100).then_some(())
    });
    for (child, run) in [(a, "a"), (b, "b")] {
        assert!(child.wait_with_output().unwrap().status.success());
        assert!(printed(&state, run, "stdout").iter().eq(&(0..100).map(|i| format!("{run} {i}")).collect::<Vec<_>>()));
    }
    assert_eq!(fs::read_dir(state.dir().join("exec")).unwrap().count(), 0, "a queue is left behind");
}

pub fn started(mut command: Command) -> (Child, Lines) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = Lines::of(child.stdout.take().unwrap());
    (child, lines)
}

pub fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap().success());
}
