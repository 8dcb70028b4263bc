//! Pauses between attempts.

use std::time::Duration;

use crate::source::Stop;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double up to 5 s, each shortened at random by up to a half so that containers do not return at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { next: SHORTEST }
    }

    /// Starts again with the shortest pause.
    pub(super) const fn reset(&mut self) {
        self.next = SHORTEST;
    }

    /// Waits for the next attempt, or for the stop.
    pub(super) async fn pause(&mut self, stop: &mut Stop) {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        // Either ending of the wait is the caller's cue to look again.
        let _ = tokio::time::timeout(pause, stop.thrown()).await;
    }
}
