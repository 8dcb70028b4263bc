//! What is wrong with the settings, in words for the operator.

use std::fmt;

use super::{Origin, options};

/// How many characters of a value are shown.
const SHOWN: usize = 120;

/// One setting that cannot be used.
///
/// Its text has two lines: what is wrong and where it was set, then what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The option's key, or the name of what is no option.
    pub key: String,
    /// The value; `None` if it is secret or says nothing.
    pub value: Option<String>,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong, after the value: "is not a level".
    pub problem: String,
    /// What would be right: "use one of: trace, debug".
    pub remedy: String,
}

/// All settings that cannot be used. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// Why a value was not taken; becomes a [`Fault`] with the key, the value and the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejected {
    pub problem: String,
    pub remedy: String,
}

impl Rejected {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

impl Fault {
    /// What is wrong and where, without the remedy.
    #[must_use]
    pub fn headline(&self) -> String {
        let Self { key, value, origin, problem, .. } = self;
        let value = value.as_deref().map(printable);
        let setting = match (origin, value) {
            (Origin::Variable(name) | Origin::Flag(name), Some(value)) => format!("{name}={value}"),
            (Origin::Variable(name) | Origin::Flag(name), None) => name.clone(),
            (_, Some(value)) => format!("{key} = {value:?}"),
            (_, None) => key.clone(),
        };
        let place = origin.place();
        if origin.is_foreign() && options::find(key).is_some() {
            return format!("{setting} {problem} ({place}, sets {key})");
        }
        format!("{setting} {problem} ({place})")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.headline(), self.remedy)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if i == 0 { "" } else { "\n\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A suggestion for a name that does not exist.
pub(super) fn nearest<'a>(name: &'a str, known: impl Iterator<Item = &'a str>) -> String {
    // What all variables begin with makes none of them likelier.
    let own = |name: &'a str| name.strip_prefix("RUNLOG_").unwrap_or(name);
    let best = known
        .map(|candidate| (strsim::jaro_winkler(own(name), own(candidate)), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(likeness, _)| *likeness > 0.8);
    match best {
        Some((_, candidate)) => format!("did you mean {candidate}? `runlog check --show` lists all settings"),
        None => "`runlog check --show` lists all settings".to_owned(),
    }
}

// A value may come from anywhere; it must not steer the terminal that it is shown on.
fn printable(value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if value.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_alike_is_suggested() {
        let known = ["RUNLOG_LEVEL", "RUNLOG_SERVE_LISTEN", "RUNLOG_EXPORT_ENDPOINT"];
        let suggested = |name| nearest(name, known.into_iter());
        assert!(suggested("RUNLOG_LEVLE").starts_with("did you mean RUNLOG_LEVEL?"));
        assert!(suggested("RUNLOG_EXPORT_ENDPONT").starts_with("did you mean RUNLOG_EXPORT_ENDPOINT?"));
        assert!(suggested("LEVEL").starts_with("did you mean RUNLOG_LEVEL?"));
        // That they all begin alike says nothing.
        assert!(suggested("RUNLOG_SOMETHING_ELSE").starts_with("`runlog check"));
    }
}
