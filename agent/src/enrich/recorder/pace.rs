//! How much may be compressed: so many bytes a second, whatever comes.
//!
//! A line needs ten times as long to be compressed as to be recorded. At the rate of a training that is next to nothing. But
//! what is recorded while a backlog is read falls out within a second, so that to compress all of it would be for nothing.

use crate::record::UnixNanos;

/// What may be compressed in a second: 12,000 lines of Python's logging, for which zstd takes less than 1 % of a core.
pub(super) const BYTES_PER_SECOND: usize = 2 << 20;
const SECOND: u128 = 1_000_000_000;

/// What may be compressed by now.
pub(super) struct Pace {
    /// Below zero when the last block was more than was left.
    left: i64,
    at: UnixNanos,
}

impl Pace {
    /// It begins with what is for a second.
    pub(super) const fn new() -> Self {
        Self { left: BYTES_PER_SECOND as i64, at: 0 }
    }

    /// Goes on to that time. What is saved up is for a second at most.
    pub(super) fn go_on(&mut self, now: UnixNanos) {
        // A clock that was set back costs what was earned since, and no more.
        let passed = u128::from(now.saturating_sub(self.at));
        let earned = i64::try_from(passed * BYTES_PER_SECOND as u128 / SECOND).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(earned).min(BYTES_PER_SECOND as i64);
        self.at = now;
    }

    /// Whether another block may be compressed.
    pub(super) const fn has_left(&self) -> bool {
        self.left > 0
    }

    /// Counts a block of so many bytes.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub_unsigned(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 64 << 10;
    const STEP: UnixNanos = 100_000_000;

    /// Compresses blocks as long as it may, and says how many bytes.
    fn spent(pace: &mut Pace) -> usize {
        let mut spent = 0;
        while pace.has_left() {
            pace.spend(BLOCK);
            spent += BLOCK;
        }
        spent
    }

    #[test]
    fn as_much_is_compressed_as_the_pace_says_however_much_there_is() {
        let mut pace = Pace::new();
        pace.go_on(STEP);
        assert_eq!(spent(&mut pace), BYTES_PER_SECOND, "what is for the first second");
        let mut all = 0;
        for step in 2..=601 {
            pace.go_on(step * STEP);
            all += spent(&mut pace);
        }
        assert!(all.abs_diff(60 * BYTES_PER_SECOND) <= BLOCK, "{all} bytes in a minute");
    }

    #[test]
    fn no_more_than_a_second_is_saved_up_and_a_large_block_is_paid_off() {
        let mut pace = Pace::new();
        pace.go_on(36_000 * STEP);
        assert_eq!(spent(&mut pace), BYTES_PER_SECOND);
        pace.go_on(36_010 * STEP);
        pace.spend(4 * BYTES_PER_SECOND);
        pace.go_on(36_040 * STEP);
        assert!(!pace.has_left());
        pace.go_on(36_041 * STEP);
        assert!(pace.has_left());
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_and_goes_on_from_there() {
        let mut pace = Pace::new();
        pace.go_on(1_000 * STEP);
        spent(&mut pace);
        pace.go_on(STEP);
        assert!(!pace.has_left());
        pace.go_on(2 * STEP);
        assert!(pace.has_left());
    }
}
