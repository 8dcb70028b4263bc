//! How often a container's logs are read.
//!
//! A line that comes alone is read at once. Where lines follow each other, waiting a moment for more of them saves
//! most of what a line costs: a wake, a read and a hand-over. The moment is short enough for the engine never to
//! wait: its socket takes some 270 lines before it does.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(8);

/// Bytes of a reading that was too early.
const LITTLE: usize = 4 * 1024;

/// Bytes of a reading that was late.
const MUCH: usize = 16 * 1024;

/// The pause before the next reading.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    /// Since when there is nothing to do but to wait for bytes.
    waiting_since: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { pause: Duration::ZERO, waiting_since: Instant::now() }
    }

    /// Says that so many bytes have come.
    pub(super) fn read(&mut self, bytes: usize) {
        if self.waiting_since.elapsed() >= LONGEST {
            self.pause = Duration::ZERO;
        } else if bytes < LITTLE {
            self.pause = (self.pause * 2).clamp(SHORTEST, LONGEST);
        } else if bytes > MUCH {
            let shorter = self.pause / 2;
            self.pause = if shorter < SHORTEST { Duration::ZERO } else { shorter };
        }
    }

    /// Lets a moment pass before the next reading.
    pub(super) async fn pause(&mut self) {
        if !self.pause.is_zero() {
            sleep(self.pause).await;
        }
        self.waiting_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses after readings of `bytes` that each came `after` the pause before.
    async fn pauses(readings: &[(u64, usize)]) -> Vec<u128> {
        let mut pace = Pace::new();
        let mut pauses = Vec::new();
        for &(after, bytes) in readings {
            sleep(Duration::from_millis(after)).await;
            pace.read(bytes);
            let begun = Instant::now();
            pace.pause().await;
            pauses.push(begun.elapsed().as_millis());
        }
        pauses
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_comes_alone_is_not_kept_waiting() {
        assert_eq!(pauses(&[(1000, 100), (8, 100), (10, 100)]).await, [0, 0, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_follow_each_other_are_waited_for_until_it_is_worth_it() {
        let sparse = [(1000, 100), (0, 100), (2, 100), (0, 300), (0, 500), (0, 500)];
        assert_eq!(pauses(&sparse).await, [0, 1, 2, 4, 8, 8]);
        let dense = [(0, 100), (0, 10_000), (0, 10_000), (0, 20_000), (0, 60_000)];
        assert_eq!(pauses(&dense).await, [1, 1, 1, 0, 0]);
        let ends = [(0, 100), (0, 100), (9, 100)];
        assert_eq!(pauses(&ends).await, [1, 2, 0]);
    }
}
