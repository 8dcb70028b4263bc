//! Moments as people write them.

use std::time::Duration;

use jiff::Timestamp;

use crate::record::UnixNanos;

/// A text that is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a moment; use a duration such as 10m or 2h, or a time such as 2026-11-24T06:00:00Z")]
pub struct UnknownMoment(pub String);

/// Reads how long ago (`10m`), or a time with its offset from UTC (RFC 3339).
///
/// # Errors
/// If it is neither, or before 1970.
pub fn parse_moment(text: &str, now: UnixNanos) -> Result<UnixNanos, UnknownMoment> {
    let unknown = || UnknownMoment(text.to_owned());
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(now.saturating_sub(nanos(ago)));
    }
    let time: Timestamp = text.parse().map_err(|_| unknown())?;
    u64::try_from(time.as_nanosecond()).map_err(|_| unknown())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now = 100_000_000_000;
        let cases = [
            ("10s", Some(90_000_000_000)),
            ("1m 5s", Some(35_000_000_000)),
            ("10m", Some(0)),
            ("1970-01-01T00:00:01.5Z", Some(1_500_000_000)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1969-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_moment(text, now).ok(), expected, "{text:?}");
        }
    }
}
