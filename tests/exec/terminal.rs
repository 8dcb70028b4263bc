//! `runlog exec --pty`: the program has a terminal.

use std::{
    fs::File,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use runlog_tests::{State, eventually};
use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::{
    GRACE, but_for_waiting, printed,
    process::{send, started},
};

/// A terminal, and runlog as the leader of its session.
struct Site {
    near: File,
    far: OwnedFd,
    shown: Receiver<Vec<u8>>,
    seen: String,
    runlog: Child,
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Site {
    fn start(state: &State, script: &str) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let far = ioctl_tiocgptpeer(&near, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        tcsetwinsize(&near, size(31, 101)).unwrap();
        let inner = state.command(&["exec", "--run-id", "r", "--quiet", "--pty", "--", "sh", "-c", script]);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let end = || Stdio::from(far.try_clone().unwrap());
        let runlog = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let mut reading = File::from(near.try_clone().unwrap());
        let (sender, shown) = channel();
        // Ends with the terminal.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reading.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { near: near.into(), far, shown, seen: String::new(), runlog }
    }

    fn eventually_shows(&mut self, text: &str) {
        eventually(&format!("the terminal shows {text:?}"), || {
            self.seen.extend(self.shown.try_iter().map(|bytes| String::from_utf8(bytes).unwrap()));
            self.seen.contains(text).then_some(())
        });
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.far).unwrap().local_modes.contains(LocalModes::ICANON)
    }
}

#[test]
fn a_program_on_a_terminal_is_shown_as_it_prints_and_kept_line_by_line() {
    let state = State::new();
    let script = "test -t 1 && test -t 2 && echo a terminal; stty size <&1; tty <&1 >/dev/null && echo its own; cat; echo err >&2";
    let mut command = state.command(&["exec", "--run-id", "r", "--quiet", "--pty", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"piped in\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = ["a terminal", "24 80", "its own", "piped in", "err"];
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lines.join("\n") + "\n");
    assert_eq!(printed(&state, "r", "stdout"), lines);
    assert!(but_for_waiting(output.stderr).is_empty());
}

#[test]
fn all_that_was_printed_before_the_end_is_shown_and_kept() {
    let state = State::new();
    let script = "seq 50000; printf 'and half a li'; exit 7";
    let mut command = state.command(&["exec", "--run-id", "r", "--quiet", "--pty", "--", "sh", "-c", script]);
    let output = command.envs([GRACE]).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let mut lines: Vec<String> = (1..=50_000).map(|number| number.to_string()).collect();
    lines.push("and half a li".to_owned());
    assert!(String::from_utf8(output.stdout).unwrap() == lines.join("\n"));
    assert!(printed(&state, "r", "stdout") == lines);
}

#[test]
fn keys_and_window_are_the_programs_and_the_terminal_is_as_before_afterwards() {
    let state = State::new();
    let script = "trap 'echo resized $(stty size)' WINCH; trap 'echo interrupted; exit 5' INT; stty size; \
                  read line; echo \"got $line\"; echo waiting; while :; do sleep 0.05; done";
    let mut site = Site::start(&state, script);
    site.eventually_shows("31 101\r\n");
    assert!(site.is_raw());
    site.near.write_all(b"typed\r").unwrap();
    // The terminal of the program echoes, ours does not.
    site.eventually_shows("typed\r\ngot typed\r\n");
    site.eventually_shows("waiting\r\n");
    tcsetwinsize(&site.near, size(41, 141)).unwrap();
    site.eventually_shows("resized 41 141\r\n");
    site.near.write_all(b"\x03").unwrap();
    site.eventually_shows("interrupted\r\n");
    assert_eq!(site.runlog.wait().unwrap().code(), Some(5));
    assert!(!site.is_raw(), "the terminal is left raw");
    let lines = printed(&state, "r", "stdout");
    assert_eq!(lines[..4], ["31 101", "typed", "got typed", "waiting"]);
}

#[test]
fn the_terminal_is_as_before_when_the_program_is_killed_and_when_runlog_is_told_to_end() {
    let state = State::new();
    for (signal, expected) in [("KILL", 137), ("TERM", 143)] {
        let mut site = Site::start(&state, "echo pid $$; exec sleep 300");
        site.eventually_shows("pid ");
        site.eventually_shows("\r\n");
        assert!(site.is_raw());
        let pid = site.seen.split_whitespace().nth(1).unwrap().parse().unwrap();
        send(signal, if signal == "KILL" { pid } else { site.runlog.id() });
        let status = site.runlog.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(expected), None));
        assert!(!site.is_raw(), "the terminal is left raw after SIG{signal}");
    }
}

#[test]
fn p5_signals_reach_the_whole_group_of_a_program_on_a_terminal() {
    for signal in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"] {
        let state = State::new();
        let trap = |name: &str, then: &str| format!("trap 'echo {name} got {signal}; {then}' {signal};");
        let script = format!(
            // In the foreground, since a shell lets what is in the background ignore SIGINT.
            "{} ( {} echo ready; while :; do sleep 0.05; done ); exit 9",
            trap("leader", ":"),
            trap("worker", "exit 0")
        );
        let (mut child, lines) = started(state.command(&["exec", "--run-id", "r", "--pty", "--", "sh", "-c", &script]));
        assert_eq!(lines.next().unwrap(), "ready");
        send(signal, child.id());
        // The shell says of what it waited for that the signal has reached it as well.
        let mut told: Vec<String> =
            std::iter::from_fn(|| lines.next()).filter(|line| line.contains(" got ")).take(2).collect();
        told.sort();
        assert_eq!(told, [format!("leader got {signal}"), format!("worker got {signal}")]);
        assert_eq!(child.wait().unwrap().code(), Some(9), "{signal}");
    }
}

#[test]
fn p5_a_program_that_cannot_be_started_on_a_terminal_ends_with_the_shells_code() {
    let state = State::new();
    for (program, code) in [("no-such-program", 127), ("/", 126)] {
        let output = state.run(&["exec", "--quiet", "--pty", "--", program]);
        assert_eq!(output.status.code(), Some(code));
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.starts_with(&format!("runlog: {program} cannot be started: ")), "{shown}");
    }
}
