//! The time that the engine puts before each entry with `timestamps=1`.

use crate::record::UnixNanos;

/// The longest stamp: `2006-01-02T15:04:05.999999999+07:00` and a space.
const LONGEST: usize = 36;

/// The bytes do not start with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry does not start with its time")]
pub(super) struct NoStamp;

/// Reads the stamp at the start of `bytes`: its time, and its length with the space after it.
///
/// `None` if more bytes are needed to tell. Source: moby `daemon/server/httputils/write_log_stream.go`, which
/// writes RFC 3339 with nine decimals and an offset; fewer decimals are read as well.
pub(super) fn split(bytes: &[u8]) -> Result<Option<(UnixNanos, usize)>, NoStamp> {
    let head = &bytes[..bytes.len().min(LONGEST)];
    if let Some(space) = memchr::memchr(b' ', head) {
        return parse(&head[..space]).map(|time| Some((time, space + 1))).ok_or(NoStamp);
    }
    let may_become_one = head.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b':' | b'.' | b'T' | b'Z'));
    if may_become_one && head.len() < LONGEST { Ok(None) } else { Err(NoStamp) }
}

/// Reads a time as the engine writes it, in RFC 3339.
pub(super) fn parse(text: &[u8]) -> Option<UnixNanos> {
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if text.len() < 20 || separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let [year, month, day] = [number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?];
    let [hour, minute, second] = [number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?];
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(&text[19..])?;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset(zone)?;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Splits `.123456789Z` into nanoseconds and the zone.
fn fraction(text: &[u8]) -> Option<(u64, &[u8])> {
    let Some(decimals) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = decimals.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let value = u64::try_from(number(&decimals[..length])?).ok()?;
    Some((value * 10_u64.pow(u32::try_from(9 - length).ok()?), &decimals[length..]))
}

/// Seconds east of Greenwich.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = number(&[*h1, *h2])? * 3_600 + number(&[*m1, *m2])? * 60;
            Some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar; years are taken to begin in March, so that the leap day is last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_mean_what_rfc_3339_says() {
        let texts = [
            "1970-01-01T00:00:00.000000000Z",
            "2024-02-29T23:59:59.123456789Z",
            "2025-03-01T00:00:00Z",
            "2026-10-11T12:13:14.5Z",
            "2100-12-31T01:02:03.000000001+05:30",
            "2024-01-01T00:00:00.000000000-08:00",
        ];
        for text in texts {
            let expected = text.parse::<jiff::Timestamp>().unwrap().as_nanosecond();
            let (time, length) = split(format!("{text} payload").as_bytes()).unwrap().unwrap();
            assert_eq!((i128::from(time), length), (expected, text.len() + 1), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_stamp_is_refused() {
        let texts = [
            "Error grabbing logs: ",
            "2024-13-01T00:00:00Z ",
            "2024-01-01 00:00:00Z ",
            "1969-12-31T23:59:59Z ",
            "2024-01-01T00:00:00.Z ",
            "\n",
            "0000000000000000000000000000000000000000",
        ];
        for text in texts {
            assert_eq!(split(text.as_bytes()), Err(NoStamp), "{text:?}");
        }
    }

    #[test]
    fn a_stamp_cut_anywhere_waits_for_the_rest() {
        let text = "2024-02-29T23:59:59.123456789+01:00 ";
        for length in 0..text.len() {
            assert_eq!(split(&text.as_bytes()[..length]), Ok(None), "{length}");
        }
    }
}
