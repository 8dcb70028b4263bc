//! Which part of the journal is collected.

use std::path::PathBuf;

use glob::Pattern;

/// Types of units, as systemd.unit(5) has them. A name without one is that of a service, as for systemctl.
const TYPES: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];

/// How the journal is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Of which units; none to collect nothing.
    pub units: Vec<Unit>,
    /// Where the journal's files are; `None` for where journalctl finds them.
    pub directory: Option<PathBuf>,
}

/// Units by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// Everything, the kernel and what has no unit included.
    All,
    /// Those whose names match.
    Named(Pattern),
}

impl Unit {
    /// Units as an operator names them: `all`, a name, or a glob.
    ///
    /// # Errors
    /// If it is no glob.
    pub fn named(name: &str) -> Result<Self, glob::PatternError> {
        if matches!(name, "all" | "*") {
            return Ok(Self::All);
        }
        let has_type = TYPES.iter().any(|kind| name.ends_with(kind));
        Pattern::new(&if has_type { name.to_owned() } else { format!("{name}.service") }).map(Self::Named)
    }
}

impl Config {
    /// Whether entries of that unit are collected; `None` for those of no unit.
    pub(super) fn wants(&self, unit: Option<&str>) -> bool {
        self.units.iter().any(|wanted| match (wanted, unit) {
            (Unit::All, _) => true,
            (Unit::Named(pattern), Some(unit)) => pattern.matches(unit),
            (Unit::Named(_), None) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_as_for_systemctl() {
        let wants = |names: &[&str], unit| {
            let units = names.iter().map(|name| Unit::named(name).unwrap()).collect();
            Config { units, directory: None }.wants(unit)
        };
        for (names, unit, is_wanted) in [
            (&["train"][..], Some("train.service"), true),
            (&["train"], Some("train.timer"), false),
            (&["train.timer"], Some("train.timer"), true),
            (&["train@*"], Some("train@7.service"), true),
            (&["a", "run-*.scope"], Some("run-r1.scope"), true),
            (&["train"], None, false),
            (&["all"], None, true),
            (&["*"], Some("any.mount"), true),
            (&[], Some("train.service"), false),
        ] {
            assert_eq!(wants(names, unit), is_wanted, "{names:?} {unit:?}");
        }
    }
}
