//! How values are written: durations, sizes, lists, switches.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use config::{Value, ValueKind};

use super::{Switch, fault::Rejected};

/// A value as text; a list as its entries with commas between them.
pub(super) fn text(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(entries) => entries.iter().map(text).collect::<Vec<_>>().join(","),
        ValueKind::Nil | ValueKind::Table(_) => String::new(),
        kind => kind.to_string(),
    }
}

/// Text without control characters.
pub(super) fn word(value: &Value) -> Result<String, Rejected> {
    let text = text(value).trim().to_owned();
    if text.chars().any(char::is_control) {
        return Err(Rejected::new("holds control characters", "use plain text"));
    }
    Ok(text)
}

/// Text, or `None` if there is none.
pub(super) fn optional(value: &Value) -> Result<Option<String>, Rejected> {
    word(value).map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// What is written, read by `read`, or `None` if nothing is.
pub(super) fn unless_empty<T>(
    value: &Value,
    read: impl FnOnce(&Value) -> Result<T, Rejected>,
) -> Result<Option<T>, Rejected> {
    if text(value).trim().is_empty() { Ok(None) } else { read(value).map(Some) }
}

/// A path, or `None` if there is none.
pub(super) fn path(value: &Value) -> Result<Option<PathBuf>, Rejected> {
    Ok(optional(value)?.map(PathBuf::from))
}

/// The entries of a list.
pub(super) fn list(value: &Value) -> Result<Vec<String>, Rejected> {
    match &value.kind {
        ValueKind::Array(entries) => entries.iter().map(word).collect(),
        _ => {
            Ok(word(value)?.split(',').map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty()).collect())
        }
    }
}

/// Globs, each of which can be used.
pub(super) fn globs(value: &Value) -> Result<Vec<String>, Rejected> {
    let globs = list(value)?;
    for glob in &globs {
        if let Err(error) = glob::Pattern::new(glob) {
            let problem = format!("holds {glob}, which is not a glob: {} at character {}", error.msg, error.pos + 1);
            return Err(Rejected::new(problem, "use paths with *, ?, [a-z] and **"));
        }
    }
    Ok(globs)
}

/// One of several words, in any case.
pub(super) fn choice<T: Copy>(value: &Value, what: &str, words: &[(&str, T)]) -> Result<T, Rejected> {
    let text = text(value);
    let found = words.iter().find(|(word, _)| text.trim().eq_ignore_ascii_case(word));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Rejected::new(format!("is not {what}"), format!("use one of: {}", words.join(", ")))
    })
}

/// auto, on or off; true and false count as on and off.
pub(super) fn switch(value: &Value) -> Result<Switch, Rejected> {
    match &value.kind {
        ValueKind::Boolean(true) => Ok(Switch::On),
        ValueKind::Boolean(false) => Ok(Switch::Off),
        _ => choice(value, "a switch", &[("auto", Switch::Auto), ("on", Switch::On), ("off", Switch::Off)]),
    }
}

/// true or false, or what else people write for them.
pub(super) fn truth(value: &Value) -> Result<bool, Rejected> {
    value.clone().into_bool().map_err(|_| Rejected::new("is neither true nor false", "use true or false"))
}

/// A duration in `range`, as `200ms` or `1m 30s`.
pub(super) fn duration(value: &Value, range: &RangeInclusive<Duration>) -> Result<Duration, Rejected> {
    let (from, to) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
    let text = text(value);
    let Ok(duration) = humantime::parse_duration(text.trim()) else {
        return Err(Rejected::new("is not a duration", format!("write a number and a unit, from {from} to {to}")));
    };
    within(duration, range, "duration", from, to)
}

/// A whole number in `range`.
pub(super) fn count(value: &Value, range: &RangeInclusive<usize>) -> Result<usize, Rejected> {
    let (from, to) = (range.start(), range.end());
    let Ok(count) = text(value).trim().parse::<usize>() else {
        return Err(Rejected::new("is not a whole number", format!("use a number from {from} to {to}")));
    };
    within(count, range, "number", from, to)
}

/// A number of bytes in `range`, as `64MiB` or `1048576`.
pub(super) fn size(value: &Value, range: &RangeInclusive<u64>) -> Result<u64, Rejected> {
    let (from, to) = (format_size(*range.start()), format_size(*range.end()));
    let Some(bytes) = parse_size(text(value).trim()) else {
        let remedy = format!("write a number and one of B, KiB, MiB, GiB, from {from} to {to}");
        return Err(Rejected::new("is not a size", remedy));
    };
    within(bytes, range, "size", from, to)
}

/// A size as people write it.
pub(super) fn format_size(bytes: u64) -> String {
    for (unit, factor) in UNITS.iter().rev() {
        if bytes >= *factor && bytes.is_multiple_of(*factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

const UNITS: [(&str, u64); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim();
    let factor = if unit.is_empty() { 1 } else { UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1 };
    number.checked_mul(factor)
}

fn within<T: PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    what: &str,
    from: impl Display,
    to: impl Display,
) -> Result<T, Rejected> {
    if range.contains(&value) {
        return Ok(value);
    }
    let side = if value < *range.start() { "too small" } else { "too large" };
    Err(Rejected::new(format!("is {side}"), format!("use a {what} from {from} to {to}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_bytes_with_a_binary_unit() {
        let cases = [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("64MiB", Some(64 << 20)),
            ("64 mib", Some(64 << 20)),
            ("2GiB", Some(2 << 30)),
            ("7B", Some(7)),
            ("64MB", None),
            ("MiB", None),
            ("-1KiB", None),
            ("1.5GiB", None),
            ("99999999999999GiB", None),
            ("", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_fits() {
        for text in ["0B", "7B", "1KiB", "1025B", "64MiB", "2GiB"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
    }
}
