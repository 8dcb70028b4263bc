use std::{fmt::Write, fs, path::PathBuf, time::Duration};

use super::*;
use crate::{
    parse::{Line, Prefixes, detect},
    record::{ReadTo, Severity},
};

fn config() -> Config {
    Config { is_on: true, wait: Duration::from_secs(1), max_bytes: 64 * 1024 }
}

/// Joins the lines of one lane as the stage does.
struct Lane {
    joiner: Joiner,
    config: Config,
    now: std::time::Instant,
    at: u64,
    /// Who prints the next line.
    speaker: u64,
    given: Vec<Record>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    at: u64,
    text: String,
    lines: u64,
    /// Only of what is joined.
    family: Option<Family>,
    severity: Option<Severity>,
    part: Option<(u64, u32, bool)>,
}

impl Lane {
    fn new(config: Config) -> Self {
        let (joiner, now) = (Joiner::default(), std::time::Instant::now());
        Self { joiner, config, now, at: 0, speaker: 0, given: Vec::new() }
    }

    fn all(text: &str) -> Vec<Record> {
        let mut lane = Self::new(config());
        text.lines().for_each(|line| lane.line(line));
        lane.end();
        lane.given
    }

    fn line(&mut self, text: &str) {
        let end = self.at + text.len() as u64 + 1;
        let line = Line { speaker: self.speaker, ..Line::bare(self.at, end, text.as_bytes()) };
        let known = Prefixes::Known;
        let mut taken = self.joiner.take(&line, self.seen(), &known, &self.config);
        if taken == Taken::GiveOut {
            self.give_out();
            taken = self.joiner.take(&line, self.seen(), &known, &self.config);
        }
        if taken == Taken::Passes
            && let Some(found) = detect(line.bytes)
        {
            taken = self.joiner.take_head(&line, &found, self.seen(), &known);
        }
        match taken {
            Taken::Held => {}
            Taken::GiveOut => panic!("held behind nothing"),
            Taken::Passes => self.given.push(record(Given::Line(line, SINGLE))),
            Taken::Alone(family) => {
                let record = record(Given::Line(line, SINGLE));
                self.given.push(Record { family: Some(family), severity: Some(family.severity(line.bytes)), ..record });
            }
        }
        self.at = end;
        if self.joiner.is_settled() {
            self.give_out();
        }
    }

    fn seen(&self) -> Seen {
        Seen { from: ReadTo::whole(self.at), observed: 1, now: self.now }
    }

    fn give_out(&mut self) {
        self.joiner.give_out(|given| self.given.push(record(given)));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.joiner.expire(self.now, &self.config);
        if self.joiner.is_settled() {
            self.give_out();
        }
    }

    fn end(&mut self) {
        self.joiner.close();
        self.give_out();
    }
}

const SINGLE: Single = Single { observed: 1, from: None };

fn record(given: Given<'_>) -> Record {
    let (line, lines, family, severity) = match given {
        Given::Line(line, _) => (line, 1, None, None),
        Given::Joined(line, joined) => (line, joined.lines, Some(joined.family), joined.severity),
    };
    let text = String::from_utf8(line.bytes.to_vec()).unwrap();
    let part = line.part.map(|part| (part.line_at, part.index, part.is_last));
    Record { at: line.at, text, lines, family, severity, part }
}

/// What a text becomes, for people: how many lines each record has, its level, and what was raised.
fn told(text: &str) -> String {
    let mut told = String::new();
    for Record { text, lines, family, severity, .. } in Lane::all(text) {
        let Some(family) = family else {
            writeln!(told, "  {text:?}").unwrap();
            continue;
        };
        let first = text.lines().next().unwrap_or_default();
        let after = &text[prefix_length(&text)..];
        let level = severity.or_else(|| Some(detect(first.as_bytes())?.severity)).unwrap();
        write!(told, "  {lines} {family:?} {level}").unwrap();
        if let Some(exception) = Exception::read(family, after.as_bytes()) {
            let show = |bytes: &[u8]| format!("{:?}", std::str::from_utf8(bytes).unwrap());
            let from = after.len() - exception.stacktrace.len();
            write!(told, " {} {} from {from}", show(exception.class), show(exception.message)).unwrap();
        }
        writeln!(told).unwrap();
    }
    told
}

fn prefix_length(text: &str) -> usize {
    crate::parse::prefix(text.lines().next().unwrap_or_default().as_bytes()).bytes.len()
}

/// Real outputs, made by `tests/corpus/joins/make`.
fn corpus() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/joins");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let read =
        |path: &PathBuf| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap());
    files.iter().map(read).collect()
}

#[test]
fn what_really_ran_becomes_the_records_that_people_read() {
    let told: Vec<String> = corpus().iter().map(|(name, text)| format!("{name}\n{}", told(text))).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn no_byte_of_a_text_is_lost_or_given_out_twice() {
    for (name, text) in corpus() {
        let mut lines: Vec<(u64, String)> = Vec::new();
        for record in Lane::all(&text) {
            let prefix = record.text[..prefix_length(&record.text)].to_owned();
            // Of which line it is is not said, only that it is there once.
            for (number, line) in record.text.split('\n').enumerate() {
                let prefix = if number == 0 { "" } else { &prefix };
                lines.push((record.at, format!("{prefix}{line}")));
            }
        }
        let mut expected: Vec<&str> = text.lines().map(str::trim_end).collect();
        let mut found: Vec<&str> = lines.iter().map(|(_, line)| line.trim_end()).collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }
}

const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 'x'";

#[test]
fn a_traceback_that_breaks_off_is_given_out_as_far_as_it_came() {
    for lines in 1..=3 {
        let begun = TRACEBACK.lines().take(lines).collect::<Vec<_>>().join("\n");
        let records = Lane::all(&begun);
        assert_eq!(
            records.iter().map(|record| (&*record.text, record.lines)).collect::<Vec<_>>(),
            [(&*begun, lines as u64)]
        );
    }
}

#[test]
fn what_waits_too_long_is_given_out_and_what_comes_later_is_a_further_part_of_it() {
    let mut lane = Lane::new(config());
    let mut lines = TRACEBACK.lines();
    lines.by_ref().take(2).for_each(|line| lane.line(line));
    lane.pass(Duration::from_millis(999));
    assert_eq!(lane.given, []);
    lane.pass(Duration::from_millis(1));
    assert_eq!(lane.given.len(), 1);
    lane.line("[rank1]: another rank's");
    lane.line(lines.next().unwrap());
    lane.line("after");
    let told: Vec<_> = lane.given.iter().map(|record| (record.lines, record.part, record.family.is_some())).collect();
    assert_eq!(told, [(2, None, true), (1, None, false), (1, Some((0, 1, true)), true), (1, None, false)]);
}

#[test]
fn a_line_of_level_error_waits_a_tenth_of_a_second_for_its_traceback() {
    let mut lane = Lane::new(config());
    lane.line("ERROR:root:failed");
    lane.pass(Duration::from_millis(99));
    assert_eq!(lane.given, []);
    lane.pass(Duration::from_millis(1));
    assert_eq!(lane.given.len(), 1);
    assert!(!lane.joiner.is_holding());
}

#[test]
fn what_is_too_long_is_given_out_in_parts_that_say_so() {
    let mut lane = Lane::new(Config { max_bytes: 100, ..config() });
    let frames = (0..9).map(|number| format!("  File \"a.py\", line {number}, in f\n")).collect::<String>();
    let text = format!("Traceback (most recent call last):\n{frames}KeyError: 'x'\nafter");
    text.lines().for_each(|line| lane.line(line));
    let parts: Vec<_> = lane.given.iter().map(|record| (record.lines, record.part)).collect();
    let part = |index, is_last| Some((0, index, is_last));
    assert_eq!(parts, [(3, part(0, false)), (3, part(1, false)), (3, part(2, false)), (2, part(3, true)), (1, None)]);
    let whole: Vec<_> = lane.given.iter().map(|record| &*record.text).collect();
    assert_eq!(whole.join("\n"), text);
    assert!(lane.given[..4].iter().all(|record| record.severity == Some(Severity::ERROR)));
}

#[test]
fn what_others_print_behind_something_that_goes_on_does_not_wait_for_ever() {
    let mut lane = Lane::new(config());
    lane.line("[rank1]: Traceback (most recent call last):");
    lane.line("[rank2]: epoch 1");
    for _ in 0..7 {
        lane.pass(Duration::from_millis(500));
        assert_eq!(lane.given, []);
        lane.line("[rank1]:   File \"a.py\", line 1, in f");
    }
    lane.pass(Duration::from_millis(500));
    assert_eq!(lane.given.iter().map(|record| record.lines).collect::<Vec<_>>(), [8, 1]);
}

#[test]
fn of_ranks_that_go_on_failing_what_no_open_one_reaches_into_is_given_out() {
    let mut lane = Lane::new(config());
    for number in 0..3 {
        for rank in 0..2 {
            lane.line(&format!("[rank{rank}]: Traceback (most recent call last):"));
            lane.line(&format!("[rank{rank}]: KeyError: {number}"));
        }
        // The position of what is held begins with the first of them.
        let (given, held_from) = (lane.given.len(), lane.joiner.held_from().unwrap().offset);
        assert_eq!((given, held_from), (2 * number, 2 * number as u64 * 65), "{number}");
    }
}

#[test]
fn what_begins_behind_another_ranks_open_traceback_is_joined_as_well() {
    let text = format!(
        "[rank1]: {}\nERROR:root:failed\n{TRACEBACK}\nfree(): invalid pointer\nafter",
        TRACEBACK.lines().next().unwrap()
    );
    let records = Lane::all(&text);
    let told: Vec<_> = records.iter().map(|record| (record.lines, record.family, record.severity)).collect();
    let expected = [
        (1, Some(Family::Python), Some(Severity::FATAL)),
        (4, Some(Family::Python), None),
        (1, Some(Family::Native), Some(Severity::FATAL)),
        (1, None, None),
    ];
    assert_eq!(told, expected);
}

#[test]
fn lines_of_two_processes_are_not_one_thing_although_nothing_stands_before_them() {
    let lines = |who: u64| {
        [
            "Traceback (most recent call last):".into(),
            format!("  File \"{who}.py\", line 1"),
            format!("KeyError: {who}"),
        ]
    };
    let mut lane = Lane::new(config());
    for (first, second) in lines(1).iter().zip(&lines(2)) {
        for (speaker, line) in [(1, first), (2, second)] {
            lane.speaker = speaker;
            lane.line(line);
        }
    }
    lane.end();
    let texts: Vec<_> = lane.given.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(texts, [1, 2].map(|who| lines(who).join("\n")));
}

#[test]
fn an_exception_that_pytorch_marks_is_fatal_and_others_may_have_been_caught() {
    let severity = |prefix: &str| {
        let text = TRACEBACK.lines().map(|line| format!("{prefix}{line}\n")).collect::<String>();
        let records = Lane::all(&text);
        (records.len(), records[0].severity)
    };
    assert_eq!(severity("[rank1]: "), (1, Some(Severity::FATAL)));
    assert_eq!(severity("[default1]:"), (1, Some(Severity::ERROR)));
    assert_eq!(severity("[default1]:[rank9]: "), (1, Some(Severity::FATAL)));
    assert_eq!(severity(""), (1, Some(Severity::ERROR)));
}

#[test]
fn lines_that_are_not_joined_have_the_level_of_what_they_belong_to() {
    let text = format!("before\n{TRACEBACK}\nafter\npanic: not one\nfree(): invalid pointer\nafter");
    let mut follower = Follower::default();
    let levels: Vec<_> = text.lines().map(|line| follower.level(line.as_bytes(), &Prefixes::Known)).collect();
    let error = Some(Severity::ERROR);
    assert_eq!(levels, [None, error, error, error, None, None, Some(Severity::FATAL), None]);
}

#[test]
fn a_message_in_the_line_of_a_traceback_is_its_head() {
    let traceback = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'";
    let joined = |head: &str| told(&format!("before\n{head}: {traceback}\nafter"));
    let expected = |level: &str| format!("  \"before\"\n  3 Python {level} \"KeyError\" \"'x'\" from 0\n  \"after\"\n");
    assert_eq!(joined("[2026-11-24 05:44:23 TP3] Scheduler hit an exception"), expected("error"));
    assert_eq!(joined("2026-11-24 05:44:23,123 WARNING train: tried again"), expected("warn"));
}
