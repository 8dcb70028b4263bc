//! runlog is stopped, or killed, while its program runs.

use std::{
    fs,
    os::unix::process::{CommandExt, ExitStatusExt},
};

use runlog_tests::{State, eventually};

use crate::{
    printed,
    process::{send, started},
};

/// `T` for a process that is stopped.
fn state_of(pid: u32) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    status.rsplit_once(") ")?.1.split(' ').next().map(str::to_owned)
}

#[test]
fn p5_a_stop_and_a_continuation_reach_the_program_and_runlog_itself() {
    for pty in [&[][..], &["--pty"]] {
        let state = State::new();
        let script = ["--", "sh", "-c", "echo $$; read line; echo went on"];
        let mut command = state.command(&[&["exec", "--run-id", "r"], pty, &script].concat());
        // As a shell does: the kernel stops none whose group has no parent outside of it, as where tests are detached.
        command.stdin(std::process::Stdio::piped()).process_group(0);
        let (mut child, lines) = started(command);
        let program: u32 = lines.next().unwrap().parse().unwrap();
        let are_stopped = |expected: bool| {
            eventually("both follow the signal", || {
                let is_stopped = |pid| state_of(pid).is_some_and(|state| state == "T");
                (is_stopped(child.id()) == expected && is_stopped(program) == expected).then_some(())
            });
        };
        send("TSTP", child.id());
        // The kernel lets no terminal stop a process whose parent is in another session; runlog stops all the same.
        if pty.is_empty() {
            are_stopped(true);
        } else {
            eventually("runlog is stopped", || state_of(child.id()).filter(|state| state == "T"));
        }
        send("CONT", child.id());
        are_stopped(false);
        drop(child.stdin.take());
        assert_eq!(lines.next().unwrap(), "went on");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn p2_what_was_stored_before_runlog_was_killed_stays_and_the_program_learns_of_it() {
    for pty in [&[][..], &["--pty"]] {
        let state = State::new();
        let script =
            ["--", "sh", "-c", "echo $$; for i in 1 2 3; do echo line $i; done; while echo more; do sleep 0.05; done"];
        let (mut child, lines) = started(state.command(&[&["exec", "--run-id", "r"], pty, &script].concat()));
        let program: u32 = lines.next().unwrap().parse().unwrap();
        eventually("its lines are stored", || (printed(&state, "r", "stdout").len() > 3).then_some(()));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        drop(lines);
        eventually("the program has ended", || state_of(program).is_none_or(|state| state == "Z").then_some(()));
        assert_eq!(printed(&state, "r", "stdout")[1..4], ["line 1", "line 2", "line 3"]);
        // The next one delivers what the killed one had in its queue, and nothing is there twice.
        state.exec("next", "true");
        let numbered = |line: &String| line.starts_with("line ");
        assert_eq!(printed(&state, "r", "stdout").iter().filter(|line| numbered(line)).count(), 3);
        assert_eq!(fs::read_dir(state.dir().join("exec")).unwrap().count(), 0, "its queue is left behind");
    }
}
