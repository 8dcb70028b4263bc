//! Reads the time at the head of a line, as Python, Rust, Go and Java loggers write it.
//!
//! `2026-11-24 05:44:23,123`, `2026-11-24T05:44:23.123456Z`, with `+01:00` or without a zone, after an opening
//! bracket or not. Source: RFC 3339 section 5.6, and Python's `logging.Formatter.formatTime`.

use jiff::{Timestamp, tz::TimeZone};

use crate::record::UnixNanos;

const SECOND: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Length of `2026-11-24 05:44:23`.
const HEAD_BYTES: usize = 19;
/// What a fraction of so many digits is multiplied with to be nanoseconds.
const FRACTION: [i64; 10] = [SECOND, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1000, 100, 10, 1];

/// The zone of times that state none: the machine's own.
///
/// Its offset is looked up once an hour of the lines' time, since most lines share theirs. The last date and time is
/// kept as it was written: of a thousand lines most have that of the line before, and only their fraction is read
/// (7 instead of 21 ns a line).
#[derive(Debug)]
pub struct LocalZone {
    zone: TimeZone,
    hour: i64,
    offset_seconds: i64,
    head: [u8; HEAD_BYTES],
    head_seconds: i64,
}

impl LocalZone {
    /// The zone of the machine (`TZ`, `/etc/localtime`).
    #[must_use]
    pub fn system() -> Self {
        Self::new(TimeZone::system())
    }

    /// A certain zone.
    #[must_use]
    pub const fn new(zone: TimeZone) -> Self {
        Self { zone, hour: i64::MIN, offset_seconds: 0, head: *b"1970-01-01 00:00:00", head_seconds: 0 }
    }

    fn offset_at(&mut self, local_seconds: i64) -> i64 {
        let hour = local_seconds.div_euclid(3600);
        if hour != self.hour {
            self.hour = hour;
            // The local reading is off by the offset itself, which matters only in the hours around a change.
            self.offset_seconds = Timestamp::from_second(local_seconds)
                .map_or(0, |instant| i64::from(self.zone.to_offset(instant).seconds()));
        }
        self.offset_seconds
    }
}

/// The time at the head of a line, if there is one after 1970.
#[must_use]
pub fn timestamp(line: &[u8], zone: &mut LocalZone) -> Option<UnixNanos> {
    let line = line.strip_prefix(b"[").unwrap_or(line);
    let head = line.first_chunk::<HEAD_BYTES>()?;
    if *head != zone.head {
        zone.head_seconds = civil_seconds(head)?;
        zone.head = *head;
    }
    let seconds = zone.head_seconds;

    let mut rest = &line[HEAD_BYTES..];
    let mut nanos = 0;
    if let [b'.' | b',', fraction @ ..] = rest {
        let mut length = 0;
        while let Some(digit @ b'0'..=b'9') = fraction.get(length)
            && length < 9
        {
            nanos = nanos * 10 + i64::from(digit - b'0');
            length += 1;
        }
        nanos *= FRACTION[length];
        rest = &fraction[length..];
    }
    let offset = match rest {
        [b'Z', ..] => 0,
        [sign @ (b'+' | b'-'), h1, h2, rest @ ..] if h1.is_ascii_digit() && h2.is_ascii_digit() => {
            let minutes = match rest {
                [b':', m1, m2, ..] | [m1, m2, ..] => digits(&[*m1, *m2]).unwrap_or(0),
                _ => 0,
            };
            let offset = digits(&[*h1, *h2])? * 3600 + minutes * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => zone.offset_at(seconds),
    };
    u64::try_from((seconds - offset).checked_mul(SECOND)?.checked_add(nanos)?).ok()
}

/// Seconds from 1970 to a date and time, as if it were UTC.
fn civil_seconds(head: &[u8; HEAD_BYTES]) -> Option<i64> {
    if !matches!(head, [_, _, _, _, b'-', _, _, b'-', _, _, b' ' | b'T', _, _, b':', _, _, b':', _, _]) {
        return None;
    }
    let number = |from: usize, to: usize| digits(&head[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, zone: TimeZone) -> Option<String> {
        let nanos = timestamp(line.as_bytes(), &mut LocalZone::new(zone))?;
        Some(Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string())
    }

    #[test]
    fn usual_heads_are_read() {
        let cases = [
            ("2026-11-24 05:44:23,123 INFO x", "2026-11-24T05:44:23.123Z"),
            ("[2026-11-24 05:44:23] x", "2026-11-24T05:44:23Z"),
            ("2026-11-24T05:44:23.123456789Z x", "2026-11-24T05:44:23.123456789Z"),
            ("2026-11-24T05:44:23+01:30 x", "2026-11-24T04:14:23Z"),
            ("2026-11-24T05:44:23.5-0800 x", "2026-11-24T13:44:23.5Z"),
            ("2024-02-29 00:00:00,000", "2024-02-29T00:00:00Z"),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line, TimeZone::UTC).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(read("2026-11-24 05:44:23,123 x", zone).as_deref(), Some("2026-11-24T03:44:23.123Z"));
    }

    #[test]
    fn what_is_no_time_is_left_alone() {
        for line in [
            "",
            "epoch 1",
            "2026-13-24 05:44:23",
            "2026-11-24 25:44:23",
            "2026-11-24",
            "1969-12-31T23:59:59Z",
            "0000-01-01 00:00:00",
        ] {
            assert_eq!(read(line, TimeZone::UTC), None, "{line}");
        }
    }

    #[test]
    fn the_line_before_changes_nothing() {
        let heads = ["2026-11-24 05:44:23", "2026-11-24 05:44:24", "2026-13-24 05:44:23", "1970-01-01 00:00:00"];
        let rests = ["", ",123", ".5Z", "+01:00", " INFO"];
        let mut zone = LocalZone::new(TimeZone::fixed(jiff::tz::offset(-1)));
        for (nth, before) in heads.iter().enumerate() {
            for head in heads.iter().skip(nth) {
                for rest in rests {
                    let line = format!("{head}{rest}");
                    let alone = timestamp(line.as_bytes(), &mut LocalZone::new(TimeZone::fixed(jiff::tz::offset(-1))));
                    let _ = timestamp(before.as_bytes(), &mut zone);
                    assert_eq!(timestamp(line.as_bytes(), &mut zone), alone, "{before} before {line}");
                }
            }
        }
        assert_eq!(timestamp(&[0; 30], &mut zone), None);
    }

    proptest::proptest! {
        #[test]
        fn any_instant_reads_back(nanos in 0_i64..4_000_000_000_000_000_000) {
            let text = Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string();
            proptest::prop_assert_eq!(timestamp(text.as_bytes(), &mut LocalZone::new(TimeZone::UTC)), u64::try_from(nanos).ok());
        }
    }
}
