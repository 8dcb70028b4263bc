//! The name of a run.

use std::fmt;

use uuid::Uuid;

/// How many characters an id may have.
const MAX_CHARS: usize = 256;

/// Names a run: 1 to 256 characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

/// A text that cannot name a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a run id; use 1 to 256 characters without control characters")]
pub struct UnusableRunId(pub String);

impl RunId {
    /// Takes a name as it was given, without surrounding white space and paired quotes.
    ///
    /// # Errors
    /// If nothing is left, or too much, or it holds control characters.
    pub fn new(text: &str) -> Result<Self, UnusableRunId> {
        let bare = unquoted(text);
        if bare.is_empty() || bare.chars().count() > MAX_CHARS || bare.chars().any(char::is_control) {
            return Err(UnusableRunId(text.to_owned()));
        }
        Ok(Self(bare.to_owned()))
    }

    /// A new id that sorts by time (UUID version 7, RFC 9562).
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text without white space around it and without the quotes that a shell or a template left on it.
pub(super) fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_taken_without_its_quotes() {
        let cases = [
            ("run-1", "run-1"),
            (" run 1 ", "run 1"),
            ("\"run-1\"", "run-1"),
            ("'run-1'", "run-1"),
            ("\"run-1", "\"run-1"),
            ("Läufer/7", "Läufer/7"),
        ];
        for (given, taken) in cases {
            assert_eq!(RunId::new(given).unwrap().as_str(), taken);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let long = "x".repeat(257);
        for given in ["", "  ", "\"\"", "a\nb", "a\u{1b}[2J", &long] {
            assert!(RunId::new(given).is_err(), "{given:?}");
        }
        assert!(RunId::new(&"ü".repeat(256)).is_ok());
    }

    #[test]
    fn generated_ids_sort_by_the_time_they_were_made() {
        let (first, second) = (RunId::generate(), RunId::generate());
        assert!(first < second, "{first} {second}");
    }
}
