//! What an operator gets wrong, and what a machine lacks: one clear message each, and the documented exit code, or a
//! state that can be seen while the rest goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod going_on;
mod settings;
mod state_dir;

use std::process::{Command, Output, Stdio};

use runlog_tests::{State, transcript};

/// How long an agent may take to find out that it cannot start.
const PATIENCE_SECONDS: &str = "120";

/// What a command that must end by itself said, with the folder called FOLDER.
fn told(state: &State, command: &Command) -> String {
    let text = transcript(&ended(command));
    text.replace(state.folder().to_str().unwrap(), "FOLDER")
}

/// Runs a command that must not begin to work: one that does is ended by `timeout`, with code 124.
fn ended(command: &Command) -> Output {
    let mut bounded = Command::new("timeout");
    bounded.arg(PATIENCE_SECONDS).arg(command.get_program()).args(command.get_args()).env_clear();
    bounded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bounded.stdin(Stdio::null()).output().unwrap()
}
