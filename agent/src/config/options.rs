//! The options that exist: read from `default.toml`, which is the only list of them.

use std::sync::OnceLock;

/// The text of `default.toml`.
pub(super) const DEFAULTS: &str = include_str!("../../default.toml");

/// `RUNLOG_` variables that are not options, and what they are.
pub(super) const OTHER_VARIABLES: [(&str, &str); 5] = [
    ("RUNLOG_CONFIG", "the configuration file to read, as `--config`"),
    ("RUNLOG_SOCKET", "for programs: where Python's `runlog` finds the agent, a path or host:port"),
    ("RUNLOG_PYTHON_DEBUG", "for programs: Python's `runlog` prints what goes wrong"),
    ("RUNLOG_BIN", "for programs: the `runlog` that Python's `Experiment.submit` runs scripts with, else that of PATH"),
    ("RUNLOG_ATTEMPT", "which attempt at the run this is, written as `ml.run.attempt`"),
];

/// An option that has another name now.
pub(super) struct Renamed {
    /// The key that it had.
    pub from: &'static str,
    /// The key that it has.
    pub to: &'static str,
    /// How what stood there is written now.
    pub as_what: &'static str,
}

/// Options of which the old names are still written somewhere.
pub(super) const RENAMED: [Renamed; 1] = [Renamed {
    from: "docker.labels",
    to: "docker.include",
    as_what: "each label as label=KEY or label=KEY=VALUE, with spaces between those that all have to be there",
}];

/// One option, as `default.toml` describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The key with its table, such as `export.endpoint`.
    pub key: String,
    /// The environment variable, such as `RUNLOG_EXPORT_ENDPOINT`.
    pub variable: String,
    /// The default as it is written in TOML.
    pub default: String,
    /// The comment above it, in one line.
    pub comment: String,
}

impl Known {
    /// Whether the option is a list of texts.
    pub(super) fn is_list(&self) -> bool {
        self.default.starts_with('[')
    }

    /// The key's table, empty at the top.
    pub(super) fn table(&self) -> &str {
        self.key.split_once('.').map_or("", |(table, _)| table)
    }
}

/// All options, in the order of `default.toml`.
pub(super) fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| read(DEFAULTS))
}

/// Of each option its variable, its default and what it means, in the order of `default.toml`.
pub fn documented() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    known().iter().map(|option| (option.variable.as_str(), option.default.as_str(), option.comment.as_str()))
}

/// The option of that key.
pub(super) fn find(key: &str) -> Option<&'static Known> {
    known().iter().find(|option| option.key == key)
}

/// The environment variable that sets the option of that key.
pub(super) fn variable(key: &str) -> String {
    format!("RUNLOG_{}", key.to_ascii_uppercase().replace('.', "_"))
}

// Comments are not part of what a TOML parser gives back, so the lines are read here; a test compares the keys.
fn read(text: &str) -> Vec<Known> {
    let (mut found, mut table, mut comment) = (Vec::new(), "", Vec::new());
    for line in text.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            (table, comment) = (name, Vec::new());
        } else if let Some((name, default)) = line.split_once(" = ") {
            let key = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
            found.push(Known {
                variable: variable(&key),
                key,
                default: default.to_owned(),
                comment: comment.join(" "),
            });
            comment = Vec::new();
        } else {
            comment = Vec::new();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::layers;

    #[test]
    fn every_line_of_the_defaults_is_an_option_with_a_comment() {
        let parsed: BTreeSet<String> = layers::defaults().into_iter().map(|(key, _)| key).collect();
        let read: BTreeSet<String> = known().iter().map(|option| option.key.clone()).collect();
        assert_eq!(parsed, read);
        for option in known() {
            assert!(option.comment.ends_with('.'), "{} has no comment that is a sentence", option.key);
        }
    }

    #[test]
    fn no_two_options_share_a_variable() {
        let mut taken: BTreeSet<String> = OTHER_VARIABLES.iter().map(|(name, _)| (*name).to_owned()).collect();
        for option in known() {
            assert!(taken.insert(option.variable.clone()), "{} is taken", option.variable);
            assert!(taken.insert(format!("{}_FILE", option.variable)), "{}_FILE is taken", option.variable);
        }
    }

    #[test]
    fn a_key_gives_its_variable() {
        assert_eq!(find("export.max_backoff").unwrap().variable, "RUNLOG_EXPORT_MAX_BACKOFF");
        assert_eq!(find("level").unwrap().variable, "RUNLOG_LEVEL");
    }
}
