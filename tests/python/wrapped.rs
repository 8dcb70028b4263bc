//! Programs that `runlog exec` starts: they log to it, and need no agent.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use runlog_tests::{Agent, Line, State, eventually, root};
use serde_json::Value;

use crate::{
    EVERYTHING, is_as_expected,
    program::{oldest_and_newest, python, script},
};

/// Adds a script of this suite to a command, with the package that it imports.
fn with_script<'a>(command: &'a mut Command, name: &str, arguments: &[&str]) -> &'a mut Command {
    command
        .arg(script(name))
        .args(arguments)
        .env("PYTHONPATH", root().join("proto/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RANK", "3")
        .env("WORLD_SIZE", "8")
}

fn printed(lines: Vec<Line>) -> Vec<Line> {
    lines.into_iter().filter(Line::is_printed).collect()
}

/// What is left in the folder of wrapped processes.
fn left_behind(state: &State) -> usize {
    state.dir().join("exec").read_dir().map_or(0, Iterator::count)
}

#[test]
fn a_wrapped_program_logs_to_its_run_without_an_agent() {
    let state = State::new();
    for (version, python) in oldest_and_newest().iter().enumerate() {
        let run = format!("by-{version}");
        let mut command = state.command(&["exec", "--level", "trace", "--run-id", &run, "--", python]);
        let output = with_script(&mut command, "everything.py", &[]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.contains(&format!("{} lines kept", EVERYTHING.len() + 3)), "{told}");
        // In the store by the end of the command, with nothing to wait for.
        is_as_expected(&printed(state.lines(&run)), python);
        let shown: Value = serde_json::from_slice(&state.run(&["runs", "show", &run, "--json"]).stdout).unwrap();
        assert_eq!((&shown["complete"], &shown["receipts"][0]["sources"][0]["kind"]), (&true.into(), &"otlp".into()));
    }
    assert_eq!(left_behind(&state), 0);
}

#[test]
fn what_a_wrapped_program_cannot_send_is_in_its_run_by_its_end() {
    let state = State::new();
    let mut command = state.command(&["exec", "--level", "trace", "--run-id", "r", "--"]);
    command.args(["env", "RUNLOG_SOCKET=/nowhere/otlp.sock", &python()]);
    let output = with_script(&mut command, "everything.py", &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    is_as_expected(&printed(state.lines("r")), "from the spool");
    assert_eq!(left_behind(&state), 0);
}

#[test]
fn an_agent_that_is_named_to_the_program_takes_its_records() {
    let mut agent = crate::agent();
    agent.start();
    let socket = crate::program::socket(&agent);
    let mut command = agent.other(&["exec", "--level", "trace", "--run-id", "named", "--", &python()]);
    let output = with_script(&mut command, "everything.py", &[]).env("RUNLOG_SOCKET", socket).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    agent.eventually_metric("runlog_kept_records_total{source=\"otlp\"}", (EVERYTHING.len() + 3) as f64);
}

// What was spooled beside the queue of a wrapper that was killed was lost with its folder.
#[test]
fn what_is_spooled_after_the_wrapper_was_killed_is_taken_by_the_next_agent() {
    let mut agent = Agent::builder().prepare();
    let mut command = agent.other(&["exec", "--run-id", "r", "--"]);
    command.args(["env", "RUNLOG_SOCKET=/nowhere/otlp.sock", &python()]);
    with_script(&mut command, "steps.py", &["10", "0", "1"]).env("PYTHONUNBUFFERED", "1");
    let mut wrapper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut shown = BufReader::new(wrapper.stdout.take().unwrap());
    let mut line = String::new();
    while line != "logged\n" {
        line.clear();
        assert!(shown.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let mut stdin = wrapper.stdin.take().unwrap();
    wrapper.kill().unwrap();
    wrapper.wait().unwrap();
    // Its end is when it gives up its file.
    stdin.write_all(b"\n").unwrap();
    drop(stdin);

    agent.start();
    let lines = eventually("all steps are stored", || {
        let lines = agent.lines("r");
        (0..10).all(|step| lines.iter().any(|line| line.body() == format!("step {step}"))).then_some(lines)
    });
    assert_eq!(lines.iter().filter(|line| line.body().starts_with("step ")).count(), 10);
}

#[test]
fn a_wrapped_program_asks_for_its_own_run_over_the_socket() {
    let state = State::new();
    let program =
        "import runlog; run = runlog.Run.get_context(); run.log('mse', 0.5); print(run.id, run.get_metrics())";
    let mut command = state.command(&["exec", "--quiet", "--run-id", "r", "--", &python(), "-c", program]);
    // What is not asked of the socket is asked of nobody.
    let output = command
        .env("PYTHONPATH", root().join("proto/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("RUNLOG_OTLP_SPOOL", "/nowhere/spool")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.trim(), "r {'mse': 0.5}");
}
