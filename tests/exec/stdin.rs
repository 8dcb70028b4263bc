//! `train | runlog stdin`.

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use runlog_tests::{Agent, Lines, Port, State, eventually};

use crate::{GRACE, but_for_waiting, process::send};

/// runlog reading from us.
fn reading(state: &State, arguments: &[&str]) -> (Child, ChildStdin) {
    let mut command = state.command(&[&["stdin", "--run-id", "r"], arguments].concat());
    command.envs([GRACE]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

fn bodies(state: &State) -> Vec<String> {
    state.lines("r").iter().map(|line| line.body().to_owned()).collect()
}

#[test]
fn what_is_piped_in_is_shown_byte_for_byte_and_kept_as_a_run() {
    let state = State::new();
    let printed = b"INFO:root:one\nbroken \xff\nERROR:root:bad\nno newline";
    for (arguments, shown) in [(&[][..], &printed[..]), (&["--quiet"], b"")] {
        let (child, mut stdin) = reading(&state, arguments);
        stdin.write_all(printed).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stdout, shown);
        let told = String::from_utf8(but_for_waiting(output.stderr)).unwrap();
        let summary = "runlog: run r: 4 lines kept; runlog logs r\n";
        assert_eq!(told, if arguments.is_empty() { summary } else { "" });
    }
    let run = [
        "run r started: standard input",
        "INFO:root:one",
        "broken \u{fffd}",
        "ERROR:root:bad",
        "no newline",
        "run r ended: standard input was closed",
    ];
    assert_eq!(bodies(&state), [run, run].concat());
    let levels: Vec<_> = state.lines("r").iter().take(5).map(runlog_tests::Line::severity).collect();
    assert_eq!(levels, [9, 9, 9, 17, 9]);
}

#[test]
fn a_line_is_shown_and_stored_while_the_writer_goes_on() {
    let state = State::new();
    let (mut child, mut stdin) = reading(&state, &[]);
    stdin.write_all(b"epoch 1\n").unwrap();
    assert_eq!(Lines::of(child.stdout.take().unwrap()).next().unwrap(), "epoch 1");
    eventually("the line is stored", || bodies(&state).contains(&"epoch 1".to_owned()).then_some(()));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

// Ctrl-C reaches the whole pipeline, and what the trainer says then is what one wants to read.
#[test]
fn a_signal_is_the_writers_to_answer_and_a_second_one_is_ours() {
    for signal in ["INT", "TERM"] {
        let state = State::new();
        let (child, mut stdin) = reading(&state, &[]);
        let mut print = |line: &str| {
            writeln!(stdin, "{line}").unwrap();
            eventually(&format!("{line} is stored"), || bodies(&state).iter().any(|body| body == line).then_some(()));
        };
        print("before");
        let began = Instant::now();
        send(signal, child.id());
        send("USR1", child.id());
        // For longer than what is in the pipe is waited for.
        let mut expected = "before\n".to_owned();
        for number in 0.. {
            print(&format!("checkpoint {number}"));
            expected += &format!("checkpoint {number}\n");
            if began.elapsed() > Duration::from_secs(3) {
                break;
            }
        }
        send(signal, child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), expected.as_bytes()), "{signal}");
        assert!(stdin.write_all(b"nobody reads\n").is_err());
    }
}

#[test]
fn lines_are_kept_when_nobody_reads_what_is_passed_on() {
    let state = State::new();
    let (mut child, mut stdin) = reading(&state, &[]);
    drop(child.stdout.take());
    for number in 0..20_000 {
        writeln!(stdin, "line {number}").unwrap();
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(bodies(&state).len(), 20_000 + 2);
}

#[test]
fn p1_a_full_queue_holds_the_writer_for_no_longer_than_allowed_and_each_line_that_is_dropped_is_counted() {
    const LINES: usize = 60_000;
    let server = Agent::server().start();
    let state = State::new();
    let nobody = Port::new();
    let nowhere = nobody.endpoint();
    let mut command = state.command(&["stdin", "--run-id", "r"]);
    command.envs([
        ("RUNLOG_EXPORT_ENDPOINT", nowhere.as_str()),
        ("RUNLOG_STOP_GRACE", "300ms"),
        ("RUNLOG_QUEUE_MAX_BYTES", "8MiB"),
        ("RUNLOG_QUEUE_SEGMENT_BYTES", "1MiB"),
        ("RUNLOG_MEMORY_MAX_BYTES", "1MiB"),
        ("RUNLOG_PROCESS_MAX_WAIT", "100ms"),
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut random = (0..LINES * 60).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31));
    let mut longest = Duration::ZERO;
    for number in 0..LINES {
        let noise: String = random.by_ref().take(16).map(|word| format!("{:016x}", word ^ word >> 29)).collect();
        let began = Instant::now();
        writeln!(stdin, "line {number} {noise}").unwrap();
        longest = longest.max(began.elapsed());
    }
    drop(stdin);
    // A pipe holds one piece that is read at a time. Without a bound it would wait for as long as the destination is away.
    assert!(longest < Duration::from_secs(60), "the writer had to wait for {longest:?}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    let told = String::from_utf8(output.stderr).unwrap();
    let summary = told.lines().last().unwrap();
    let lost = summary.split_once(" kept, ").and_then(|(_, rest)| rest.split_once(" LOST for want of room"));
    let lost: usize =
        lost.unwrap_or_else(|| panic!("nothing is lost, which proves nothing: {summary}")).0.parse().unwrap();

    let mut next = state.command(&["exec", "--run-id", "next", "--quiet", "--", "true"]);
    next.env("RUNLOG_EXPORT_ENDPOINT", server.address()).env("RUNLOG_STOP_GRACE", "5m");
    // The queue is sent as it is.
    next.env("RUNLOG_EXPORT_COMPRESSION", "zstd");
    assert!(next.status().unwrap().success());
    assert_eq!(fs::read_dir(state.dir().join("exec")).unwrap().count(), 0, "not all is delivered");
    let lines = server.lines("r");
    let whole = lines.iter().filter(|line| line.body().starts_with("line ") && line.body().len() > 260).count();
    // Where something was dropped, a line before and one behind it are there in part.
    assert!(whole > 0 && whole + lost >= LINES, "{whole} of {LINES} are whole, and {summary}");
}

#[test]
fn p2_what_was_stored_before_a_kill_stays_and_the_writer_learns_of_it() {
    let state = State::new();
    let mut train = Command::new("sh");
    train.args(["-c", "for i in $(seq 100); do echo line $i; done; while echo more; do sleep 0.05; done"]);
    let mut train = train.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut command = state.command(&["stdin", "--run-id", "r", "--quiet"]);
    let mut child = command.stdin(train.stdout.take().unwrap()).stderr(Stdio::null()).spawn().unwrap();
    // It has our copy of the pipe's end.
    drop(command);
    eventually("its lines are stored", || (bodies(&state).len() > 101).then_some(()));
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    // Of SIGPIPE, as without runlog.
    assert_ne!(train.wait().unwrap().code(), Some(0));
    state.exec("next", "true");
    let numbered: Vec<String> = bodies(&state).into_iter().filter(|body| body.starts_with("line ")).collect();
    assert_eq!(numbered, (1..=100).map(|number| format!("line {number}")).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(state.dir().join("exec")).unwrap().count(), 0, "its queue is left behind");
}
