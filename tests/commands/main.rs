//! The commands that read and operate, as they are typed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod exit_with;
mod follow;
mod help;
mod logs;
mod pipe;
mod serve;
mod status;

use std::process::Output;

use runlog_tests::State;

/// What a command printed.
///
/// # Panics
/// If it failed, or complained.
#[track_caller]
fn printed(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one message of a command that fails.
#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs that have ended in different ways: `alpha-1`, `alpha-2` and `beta`.
fn three_runs() -> State {
    let state = State::new();
    state.exec(
        "alpha-1",
        "echo 'DEBUG:a:small'; echo 'INFO:a:usual 1'; echo 'INFO:a:usual 2'; echo plain; echo 'WARNING:a:odd'",
    );
    state.exec("alpha-2", "echo second");
    let failing = ["exec", "--run-id", "beta", "--experiment", "ridge", "--", "sh", "-c", "echo 'ERROR:b:bad'; exit 3"];
    assert_eq!(state.run(&failing).status.code(), Some(3));
    state
}
