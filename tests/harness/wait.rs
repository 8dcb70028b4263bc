//! Waiting for a fact.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a fact may take that should be there soon. Generous: a slow machine is not a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer; fails with `what` if there is none for three minutes.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask)
}

/// Asks until there is an answer; fails with `what` if there is none within `patience`.
pub fn eventually_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        // Before it is asked: to ask takes its time as well.
        let is_late = Instant::now() >= deadline;
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(!is_late, "not within {patience:?}: {what}");
        thread::sleep(PAUSE);
    }
}
