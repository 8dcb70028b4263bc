//! Levels in lines of programs that really log: `tests/corpus/levels` says how they were made.
//!
//! Rules are written from the lines that are known. Those that are held out show what becomes of lines that no rule
//! was written for; when one of them leads to a rule, its source moves to the others.

use std::collections::BTreeMap;

use crate::{
    parse::{Prefixes, join::Follower},
    record::Severity,
};

use super::detect;

const KNOWN: &str = include_str!("../../../../tests/corpus/levels/known.tsv");
const HELD_OUT: &str = include_str!("../../../../tests/corpus/levels/held_out.tsv");

/// What was found in a corpus.
#[derive(Default)]
struct Score {
    lines: usize,
    wrong: Vec<String>,
    /// By more than one step of the ranges.
    far: usize,
    /// Lines and wrong ones of each source.
    sources: BTreeMap<&'static str, (usize, usize)>,
}

impl Score {
    fn of(corpus: &'static str) -> Self {
        let mut score = Self::default();
        for line in corpus.lines() {
            let mut fields = line.splitn(3, '\t');
            let mut field = || fields.next().expect("a line has three fields");
            let (level, source, text) = (field(), field(), unescaped(field()));
            // A line that states no level counts as info, and so does one of which no level is found.
            let expected = level.parse().unwrap_or(Severity::INFO).range();
            // The head of a traceback states no level, and has that of what it begins.
            let found = detect(text.as_bytes()).map(|found| found.severity);
            let begun = || Follower::default().level(text.as_bytes(), &Prefixes::Known);
            let found = found.or_else(begun).unwrap_or(Severity::INFO).range();
            let (lines, wrong) = score.sources.entry(source).or_default();
            score.lines += 1;
            *lines += 1;
            if found != expected {
                *wrong += 1;
                score.far += usize::from(found.abs_diff(expected) > 1);
                score.wrong.push(format!("{level}, found {}: {source}: {text}", Severity::RANGE_NAMES[found]));
            }
        }
        score
    }

    fn right_percent(&self) -> f64 {
        100.0 * (self.lines - self.wrong.len()) as f64 / self.lines as f64
    }

    fn told(&self) -> String {
        let sources = self.sources.iter().filter(|(_, (_, wrong))| *wrong > 0);
        let sources = sources.map(|(source, (lines, wrong))| format!("{source}: {wrong} of {lines}"));
        let told: Vec<String> = self.wrong.iter().cloned().chain(sources).collect();
        format!("{:.2} % of {} lines are right\n{}", self.right_percent(), self.lines, told.join("\n"))
    }
}

fn unescaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        line.push(match (character, if character == '\\' { characters.next() } else { None }) {
            ('\\', Some('e')) => '\u{1b}',
            ('\\', Some('t')) => '\t',
            ('\\', Some(other)) => other,
            (character, _) => character,
        });
    }
    line
}

#[test]
fn every_line_that_rules_were_written_from_has_its_level() {
    let score = Score::of(KNOWN);
    assert!(score.lines > 1000 && score.wrong.is_empty(), "{}", score.told());
}

#[test]
fn of_lines_that_no_rule_was_written_from_99_in_100_have_their_level() {
    let score = Score::of(HELD_OUT);
    assert!(score.lines > 300 && score.right_percent() >= 99.0, "{}", score.told());
    assert_eq!(score.far, 0, "{}", score.told());
}
