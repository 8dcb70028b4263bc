//! Patterns of the settings.

use std::{ops::Range, str::FromStr};

use regex::bytes::{Regex, RegexBuilder};

/// What a compiled pattern may take.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A name, and a regular expression of what is masked: its first group if it has one, else all of it.
///
/// It takes time in proportion to the line, whatever it is: there is neither backtracking nor looking around.
#[derive(Debug, Clone)]
pub struct Pattern {
    name: String,
    regex: Regex,
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusablePattern {
    /// It has no name.
    #[error("{0}, which has no name")]
    Nameless(String),
    /// It is no regular expression.
    #[error("{name}, which is not a regular expression: {reason}")]
    Malformed {
        /// The pattern's name.
        name: String,
        /// What is wrong, in one line.
        reason: String,
    },
    /// It would mask nothing, everywhere.
    #[error("{0}, which also matches an empty text")]
    Empty(String),
}

impl Pattern {
    /// How a pattern is written.
    pub const ACCEPTED: &'static str =
        "write each as name=EXPRESSION, the name of letters, digits and -, without looking around (?=...) and \\1";

    /// The name in the mask.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What of the text it masks.
    pub(super) fn find(&self, text: &[u8]) -> impl Iterator<Item = Range<usize>> {
        self.regex.captures_iter(text).filter_map(|captures| {
            let at = captures.get(1).or_else(|| captures.get(0))?.range();
            (!at.is_empty()).then_some(at)
        })
    }
}

impl FromStr for Pattern {
    type Err = UnusablePattern;

    fn from_str(text: &str) -> Result<Self, UnusablePattern> {
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let split = text.split_once('=').map(|(name, expression)| (name.trim(), expression.trim()));
        let (name, expression) =
            split.filter(|(name, _)| is_name(name)).ok_or_else(|| UnusablePattern::Nameless(text.to_owned()))?;
        let regex = RegexBuilder::new(expression).size_limit(MAX_COMPILED_BYTES).build().map_err(|error| {
            // The last line says what is wrong; the others draw where.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
            UnusablePattern::Malformed { name: name.to_owned(), reason }
        })?;
        if regex.is_match(b"") {
            return Err(UnusablePattern::Empty(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), regex })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for Pattern {}
