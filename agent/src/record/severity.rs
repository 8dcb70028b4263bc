//! Levels, as the OpenTelemetry log data model numbers them.
//!
//! Source: OpenTelemetry specification, `logs/data-model.md`, "Field: SeverityNumber".

use std::{fmt, str::FromStr};

/// A severity number: 1-4 trace, 5-8 debug, 9-12 info, 13-16 warn, 17-20 error, 21-24 fatal; 0 is unspecified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Severity(u8);

impl Severity {
    /// No severity is known.
    pub const UNSPECIFIED: Self = Self(0);
    /// The lowest number of the trace range.
    pub const TRACE: Self = Self(1);
    /// The lowest number of the debug range.
    pub const DEBUG: Self = Self(5);
    /// The lowest number of the info range.
    pub const INFO: Self = Self(9);
    /// The lowest number of the warn range.
    pub const WARN: Self = Self(13);
    /// The lowest number of the error range.
    pub const ERROR: Self = Self(17);
    /// The lowest number of the fatal range.
    pub const FATAL: Self = Self(21);

    /// How many ranges [`Severity::range`] tells apart.
    pub const RANGES: usize = 7;
    /// The names of the ranges, by [`Severity::range`].
    pub const RANGE_NAMES: [&'static str; Self::RANGES] =
        ["unspecified", "trace", "debug", "info", "warn", "error", "fatal"];

    /// The number as it stands on the wire, 0 to 24.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// From a number on the wire. What lies outside 0 to 24 is unspecified.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        if number >= 0 && number <= 24 { Self(number as u8) } else { Self(0) }
    }

    /// From a level of Python's `logging`, by the table in `docs/attributes.md`: 10-19 debug, 15 being 8, and so on.
    #[must_use]
    pub const fn from_python(level: u32) -> Self {
        let (start, above) = match level {
            0 => return Self::UNSPECIFIED,
            1..=9 => return Self::TRACE,
            10..=19 => (5, level - 10),
            20..=29 => (9, level - 20),
            30..=39 => (13, level - 30),
            40..=49 => (17, level - 40),
            _ => (21, level - 50),
        };
        Self(start + if above > 3 { 3 } else { above as u8 })
    }

    /// Index of the range: 0 unspecified, 1 trace, … 6 fatal.
    #[must_use]
    pub const fn range(self) -> usize {
        (self.0 as usize).div_ceil(4)
    }

    /// The name of the range, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::RANGE_NAMES[self.range()]
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a level; use one of: trace, debug, info, warn, error, fatal")]
pub struct UnknownLevel(pub String);

impl FromStr for Severity {
    type Err = UnknownLevel;

    /// Reads a level as operators write it, in any case; Python's names count as well.
    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        Ok(match word.to_ascii_lowercase().as_str() {
            "trace" | "all" | "notset" => Self::TRACE,
            "debug" => Self::DEBUG,
            "info" => Self::INFO,
            "warn" | "warning" => Self::WARN,
            "error" => Self::ERROR,
            "fatal" | "critical" => Self::FATAL,
            _ => return Err(UnknownLevel(word.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_levels_keep_their_place_inside_the_range() {
        let cases = [
            (0, 0),
            (5, 1),
            (10, 5),
            (15, 8),
            (20, 9),
            (25, 12),
            (30, 13),
            (35, 16),
            (40, 17),
            (50, 21),
            (51, 22),
            (99, 24),
        ];
        for (python, number) in cases {
            assert_eq!(Severity::from_python(python).number(), number, "python level {python}");
        }
    }

    #[test]
    fn ranges_hold_four_numbers_each() {
        for number in 0..=24 {
            let expected = if number == 0 { 0 } else { (number - 1) / 4 + 1 };
            assert_eq!(Severity::from_number(number).range(), usize::try_from(expected).unwrap());
        }
        assert_eq!(Severity::from_number(25), Severity::UNSPECIFIED);
        assert_eq!(Severity::from_number(-1), Severity::UNSPECIFIED);
    }
}
