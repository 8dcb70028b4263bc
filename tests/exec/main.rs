//! `runlog exec`: the program behaves as if nothing were around it, and everything that it printed is kept.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests speak by panicking")]

mod destination;
mod memory;
mod output;
mod process;
mod progress;
mod stdin;
mod stopping;
mod terminal;

use runlog_tests::State;

/// The bodies of what a run printed on one stream, in their order.
fn printed(state: &State, run: &str, stream: &str) -> Vec<String> {
    let lines = state.lines(run);
    lines.iter().filter(|line| line.text("stream") == stream).map(|line| line.body().to_owned()).collect()
}
