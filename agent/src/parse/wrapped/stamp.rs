//! The time that a container runtime puts on each line: RFC 3339 with up to nine decimals.

use jiff::tz::TimeZone;

use crate::{
    parse::time::{LocalZone, timestamp},
    record::UnixNanos,
};

/// Bytes of `2026-11-24T05:44:23`.
const SECOND_BYTES: usize = 19;
/// Bytes of the shortest stamp, which ends with `Z`.
pub const SHORTEST: usize = SECOND_BYTES + 1;
/// Bytes of the longest stamp: nine decimals, and a zone such as `+01:00`.
pub const LONGEST: usize = SECOND_BYTES + 10 + 6;
/// Nanoseconds in the last of so many decimals, less one.
const UNITS: [u64; 9] = [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// Reads stamps. Most lines share their second with the one before, so it is looked up only when it changes.
#[derive(Debug)]
pub struct Stamps {
    second: [u8; SECOND_BYTES],
    zone: Vec<u8>,
    /// The time of that second; zero if it cannot be told.
    time: UnixNanos,
    utc: LocalZone,
}

impl Stamps {
    /// Knows no second yet.
    pub const fn new() -> Self {
        Self { second: [0; SECOND_BYTES], zone: Vec::new(), time: 0, utc: LocalZone::new(TimeZone::UTC) }
    }

    /// The time of a stamp; zero if it is before 1970. `None` if it is not a stamp.
    pub fn read(&mut self, text: &[u8]) -> Option<UnixNanos> {
        let (second, rest) = text.split_first_chunk::<SECOND_BYTES>()?;
        let (mut nanos, mut zone) = (0, rest);
        if let [b'.', decimals @ ..] = rest {
            let mut length = 0;
            while let Some(digit @ b'0'..=b'9') = decimals.get(length).filter(|_| length < UNITS.len()) {
                nanos = nanos * 10 + u64::from(digit - b'0');
                length += 1;
            }
            nanos *= UNITS[length.checked_sub(1)?];
            zone = &decimals[length..];
        }
        if *second != self.second || zone != self.zone {
            self.look_up(second, zone)?;
        }
        Some(if self.time == 0 { 0 } else { self.time + nanos })
    }

    fn look_up(&mut self, second: &[u8; SECOND_BYTES], zone: &[u8]) -> Option<()> {
        let is_digit = |at: &usize| second[*at].is_ascii_digit();
        let [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _] = second else { return None };
        let has_digits = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18].iter().all(is_digit);
        let is_zone = match zone {
            b"Z" => true,
            [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|digit| digit.is_ascii_digit()),
            _ => false,
        };
        if !has_digits || !is_zone {
            return None;
        }
        self.second = *second;
        self.zone = zone.to_vec();
        self.time = timestamp(&[second.as_slice(), zone].concat(), &mut self.utc).unwrap_or(0);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_mean_what_rfc_3339_says() {
        let mut stamps = Stamps::new();
        let texts = [
            "2024-02-29T23:59:59.123456789Z",
            "2024-02-29T23:59:59.5Z",
            "2024-02-29T23:59:59Z",
            "2024-02-29T23:59:59.5+05:30",
            "2024-02-29T23:59:59.000000001-08:00",
            "2025-03-01T00:00:00Z",
        ];
        for text in texts {
            let expected = text.parse::<jiff::Timestamp>().unwrap().as_nanosecond();
            assert_eq!(stamps.read(text.as_bytes()).map(i128::from), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_time_before_1970_is_a_stamp_without_a_time() {
        assert_eq!(Stamps::new().read(b"1969-12-31T23:59:59.9Z"), Some(0));
    }

    #[test]
    fn text_that_is_no_stamp_is_refused() {
        let texts = [
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567891Z",
            "2024-01-01T00:00:00ZZ",
            "2024-01-0xT00:00:00Z",
            "2024-01-01T00:00:00+0100",
            "",
        ];
        for text in texts {
            assert_eq!(Stamps::new().read(text.as_bytes()), None, "{text}");
        }
    }
}
