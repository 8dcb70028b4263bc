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

/// As long as a slow machine may need to store what was printed.
const GRACE: (&str, &str) = ("RUNLOG_STOP_GRACE", "5m");

/// What came out on stderr, without the sentence that is told to whoever has to wait for the end, as on a slow machine.
fn but_for_waiting(mut stderr: Vec<u8>) -> Vec<u8> {
    const SENTENCE: &[u8] = b"delivering what was collected, for up to ";
    if let Some(at) = stderr.windows(SENTENCE.len()).position(|bytes| bytes == SENTENCE) {
        let begin = stderr[..at].iter().rposition(|byte| *byte == b'{').unwrap();
        let length = stderr[at..].iter().position(|byte| *byte == b'\n').unwrap();
        stderr.drain(begin..=at + length);
    }
    stderr
}

/// The bodies of what a run printed on one stream, in their order.
fn printed(state: &State, run: &str, stream: &str) -> Vec<String> {
    let lines = state.lines(run);
    lines.iter().filter(|line| line.text("stream") == stream).map(|line| line.body().to_owned()).collect()
}
