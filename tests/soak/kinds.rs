//! What the faults are called, and how often each happened and bit.
//!
//! A fault that never bites proves nothing: a kill that finds all lines stored, a full disk that nobody writes to.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    plan::{Act, Aside, Fault, Mood},
    writer::Fate,
};

/// A long run without a bite of one of these has not shown what it should.
pub const ALL: [&str; 28] = [
    "rename inside the globs",
    "rename outside the globs",
    "copy inside the globs, truncate",
    "copy outside the globs, truncate",
    "truncate",
    "delete",
    "half a line",
    "many files",
    "flood",
    "kill -9",
    "SIGTERM",
    "SIGTERM, kill -9",
    "SIGSTOP",
    "disk full",
    "disk full, kill -9",
    "clock step",
    "backend away",
    "backend answers 429",
    "backend answers 500",
    "backend answers 502",
    "backend answers 503",
    "backend hangs",
    "backend takes and drops",
    "backend drops",
    "backend rejects a record",
    "backend is slow",
    "queue full",
    "line in parts",
];

/// How often faults happened and bit.
#[derive(Debug, Clone, Default)]
pub struct Tally(BTreeMap<&'static str, (u64, u64)>);

impl Tally {
    /// It happened once more.
    pub fn note(&mut self, name: &'static str, has_bitten: bool) {
        let (times, bites) = self.0.entry(name).or_default();
        *times += 1;
        *bites += u64::from(has_bitten);
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        for (name, (times, bites)) in &other.0 {
            let own = self.0.entry(name).or_default();
            *own = (own.0 + times, own.1 + bites);
        }
    }

    /// Those of [`ALL`] that never bit.
    pub fn toothless(&self) -> Vec<&'static str> {
        ALL.into_iter().filter(|name| self.0.get(name).is_none_or(|(_, bites)| *bites == 0)).collect()
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut table = format!("{:<34} {:>9} {:>9}\n", "fault", "happened", "bit");
        for (name, (times, bites)) in &self.0 {
            writeln!(table, "{name:<34} {times:>9} {bites:>9}").expect("a String takes all");
        }
        table
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        let entry = |(name, (times, bites)): (&&str, &(u64, u64))| {
            ((*name).to_owned(), serde_json::json!({ "happened": times, "bit": bites }))
        };
        self.0.iter().map(entry).collect::<serde_json::Map<_, _>>().into()
    }
}

impl Act {
    /// What it is called. `None` if it is no fault, or leaves a file whose [`Fate`] is counted.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Flood => Some("flood"),
            Self::HalfALine(_) => Some("half a line"),
            Self::ManyFiles(_) => Some("many files"),
            Self::Print(_) | Self::Pause(_) | Self::Rename(..) | Self::Truncate(_) | Self::Delete(_) => None,
        }
    }
}

impl Fate {
    /// What it is called. `None` if it is no fault.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::IsThere => return None,
            Self::Renamed(Aside::InsideTheGlobs) => "rename inside the globs",
            Self::Renamed(Aside::OutsideTheGlobs) => "rename outside the globs",
            Self::Copied(Aside::InsideTheGlobs) => "copy inside the globs, truncate",
            Self::Copied(Aside::OutsideTheGlobs) => "copy outside the globs, truncate",
            Self::Emptied => "truncate",
            Self::Removed => "delete",
        })
    }
}

impl Fault {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9",
            Self::Stop { .. } => "SIGTERM",
            Self::StopAndKill(_) => "SIGTERM, kill -9",
            Self::Freeze(_) => "SIGSTOP",
            Self::FillDisk(_) => "disk full",
            Self::FillDiskAndKill(_) => "disk full, kill -9",
            Self::StepClock(..) => "clock step",
        }
    }
}

impl Mood {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "backend takes",
            Self::Away => "backend away",
            Self::Answers(429, _) => "backend answers 429",
            Self::Answers(500, _) => "backend answers 500",
            Self::Answers(502, _) => "backend answers 502",
            Self::Answers(..) => "backend answers 503",
            Self::Hangs => "backend hangs",
            Self::TakesAndDrops => "backend takes and drops",
            Self::Drops => "backend drops",
            Self::RejectsOne => "backend rejects a record",
            Self::Slow(_) => "backend is slow",
        }
    }
}
