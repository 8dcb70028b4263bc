//! How long to wait before the next try.
//!
//! Sources: OpenTelemetry specification, `protocol/exporter.md`, "Retry" (exponential, with jitter); RFC 9110,
//! section 10.2.3 (`Retry-After`).

use std::time::{Duration, UNIX_EPOCH};

use crate::record::UnixNanos;

/// A destination that asks for more patience than this does not get it.
pub(super) const LONGEST_WISH: Duration = Duration::from_secs(600);

/// Exponential backoff with full jitter.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: fastrand::Rng,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration, random: fastrand::Rng) -> Self {
        Self { min, max, failures: 0, random }
    }

    /// The destination answers again: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after one more failure: anything up to a bound that doubles each time.
    ///
    /// Never shorter than what the destination asked for, and then spread over `min`, so that many agents do
    /// not come back at the same moment.
    pub(super) fn pause(&mut self, wish: Option<Duration>) -> Duration {
        let bound = self.min.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let own = self.up_to(bound);
        match wish {
            Some(wish) => own.max(wish.min(LONGEST_WISH) + self.up_to(self.min)),
            None => own,
        }
    }

    /// A pause between a half and the whole of `length`.
    pub(super) fn about(&mut self, length: Duration) -> Duration {
        length / 2 + self.up_to(length / 2)
    }

    fn up_to(&mut self, bound: Duration) -> Duration {
        bound.mul_f64(self.random.f64())
    }
}

/// Reads the value of a `Retry-After` header: seconds or an HTTP-date. `None` if it is neither.
///
/// A date in the past is no wait; any wait is at most [`LONGEST_WISH`].
pub(super) fn retry_after(value: &str, now: UnixNanos) -> Option<Duration> {
    let value = value.trim();
    let wish = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is a very long time.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        date.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(Duration::from_nanos(now))
    };
    Some(wish.min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_clamped() {
        // 1994-11-06T08:49:37Z, the example of RFC 9110, section 5.6.7.
        let now = 784_111_777 * 1_000_000_000;
        let cases = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86400", Some(600)),
            ("99999999999999999999999999", Some(600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(600)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, seconds) in cases {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn pauses_grow_up_to_the_maximum_and_start_again_after_a_success() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut backoff = Backoff::new(min, max, fastrand::Rng::with_seed(7));
        for failures in 0..40 {
            let bound = Duration::from_secs(1 << failures.min(6)).min(max);
            assert!(backoff.pause(None) <= bound, "after {failures} failures");
        }
        let longest = (0..200).map(|_| backoff.pause(None)).max();
        assert!(longest > Some(Duration::from_secs(50)), "{longest:?}");

        backoff.reset();
        assert!(backoff.pause(None) <= min);
    }

    #[test]
    fn a_wish_is_kept_with_jitter_added() {
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut backoff = Backoff::new(min, max, fastrand::Rng::with_seed(7));
        let mut pauses = Vec::new();
        for _ in 0..20 {
            backoff.reset();
            let pause = backoff.pause(Some(Duration::from_secs(30)));
            assert!((30.0..=31.0).contains(&pause.as_secs_f64()), "{pause:?}");
            pauses.push(pause);
        }
        pauses.dedup();
        assert!(pauses.len() > 10, "agents would come back together");
    }

    #[test]
    fn a_wish_for_no_wait_at_all_does_not_end_the_backoff() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), fastrand::Rng::with_seed(7));
        let total: Duration = (0..20).map(|_| backoff.pause(Some(Duration::ZERO))).sum();
        assert!(total > Duration::from_secs(200), "{total:?}");
    }
}
