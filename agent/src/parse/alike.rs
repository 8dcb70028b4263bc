//! Lines that are alike: one that is printed again and again, and one that all ranks print.
//!
//! Both are off unless asked for. What is alike is alike byte for byte, behind the launcher's prefix where it is of several
//! ranks. Of what is repeated the first line passes at once; the others wait to be counted. Of what ranks print the first
//! line waits for those of the others. Nothing behind what waits is given out before it, so a position stays before it.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::record::{
    Lane, ReadTo, Severity, UnixNanos,
    wire::{Value, record_attribute},
};

use super::{Line, Prefix};

/// Longer lines are never held.
const MAX_LINE_BYTES: usize = 8 << 10;
/// What the lines that are held may occupy.
const MAX_HELD_BYTES: usize = 256 << 10;
/// How many different lines wait for those of other ranks.
const MAX_HELD: usize = 256;
/// How many ranks of one lane are told apart.
const MAX_RANKS: usize = 4096;

/// How long lines wait for those that are alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Those that repeat the one before; `None` if each is a record.
    pub repeats: Option<Duration>,
    /// Those of other ranks; `None` if each is a record.
    pub ranks: Option<Duration>,
}

impl Config {
    /// Whether anything is held at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.repeats.is_some() || self.ranks.is_some()
    }
}

/// Who printed a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Of the run.
    Global(u32),
    /// Of its node.
    Local(u32),
}

impl Rank {
    /// The rank that a launcher's prefix names.
    #[must_use]
    pub fn of(prefix: &Prefix<'_>) -> Option<Self> {
        prefix.rank.map(Self::Global).or_else(|| prefix.local_rank.map(Self::Local))
    }

    /// The number, and the name of the attribute that has it.
    #[must_use]
    pub const fn named(self) -> (&'static str, u32) {
        match self {
            Self::Global(rank) => ("ml.rank", rank),
            Self::Local(rank) => ("ml.local_rank", rank),
        }
    }
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is a record of its own, and nothing is held.
    Passes,
    /// It is held.
    Held,
    /// It is not, and what is held has to be given out before it is offered again.
    GiveOut,
}

/// A line that is offered, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Offered<'a> {
    /// The line with its prefix.
    pub line: &'a Line<'a>,
    /// How long the prefix is.
    pub prefix: usize,
    /// The rank whose line may be one with those of others.
    pub rank: Option<Rank>,
    /// Its level.
    pub severity: Severity,
    /// Whether it may be a repetition of the one before: it is whole, and nothing is joined to it.
    pub may_repeat: bool,
    /// How far the stream is given out without it.
    pub from: ReadTo,
    /// When it was read, on the wall and by the clock.
    pub observed: UnixNanos,
    /// By the clock.
    pub now: Instant,
}

/// Holds the lines of one lane that are alike.
#[derive(Debug, Default)]
pub struct Alike {
    /// The line that passed last, if it can be repeated.
    last: Vec<u8>,
    held: Vec<Held>,
    /// Of the lines that are held.
    bytes: usize,
    /// The ranks that have printed lines.
    known: BTreeSet<Rank>,
    /// Whether one of them was not known before what is held came: more may come.
    has_grown: bool,
}

#[derive(Debug)]
struct Held {
    text: Vec<u8>,
    prefix: usize,
    attributes: Vec<u8>,
    is_utf8: bool,
    lane: Lane,
    severity: Severity,
    at: u64,
    from: ReadTo,
    since: Instant,
    /// Of the first line and of the last one, as the source knows them and as they were read.
    times: [UnixNanos; 2],
    observed: [UnixNanos; 2],
    lines: u64,
    line_bytes: u64,
    /// Empty for what repeats the line before.
    ranks: BTreeSet<Rank>,
}

/// What is given out: a line, and how many lines of how many bytes it stands for.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The line.
    pub line: Line<'a>,
    /// When it was read.
    pub observed: UnixNanos,
    /// Its level, which it may not state itself.
    pub severity: Severity,
    /// How many lines.
    pub lines: u64,
    /// Of how many bytes.
    pub bytes: u64,
}

impl Alike {
    /// Whether nothing has to be remembered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.held.is_empty() && self.last.is_empty() && self.known.is_empty()
    }

    /// Whether lines are held.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// The memory that lines occupy, and what is remembered of those that passed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes + self.last.capacity() + self.known.len() * 2 * size_of::<Rank>()
    }

    /// Forgets what passed. A line that repeats it is a record of its own.
    pub fn forget(&mut self) {
        self.last = Vec::new();
        self.known = BTreeSet::new();
    }

    /// How far the stream is given out without what is held.
    #[must_use]
    pub fn held_from(&self) -> Option<ReadTo> {
        self.held.first().map(|held| held.from)
    }

    /// When what is held has waited long enough.
    #[must_use]
    pub fn deadline(&self, config: &Config) -> Option<Instant> {
        let first = self.held.first()?;
        let wait = if first.ranks.is_empty() { config.repeats } else { config.ranks };
        Some(first.since + wait.unwrap_or_default())
    }

    /// Whether all ranks have printed what is held, as far as they are known.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let all = self.known.len();
        all > 1 && !self.has_grown && !self.held.is_empty() && self.held.iter().all(|held| held.ranks.len() == all)
    }

    /// Takes the next line.
    pub fn take(&mut self, offered: &Offered<'_>, config: &Config) -> Fate {
        let is_short = offered.line.bytes.len() <= MAX_LINE_BYTES;
        if let Some(rank) = offered.rank.filter(|_| config.ranks.is_some() && is_short) {
            return self.take_of_rank(rank, offered);
        }
        let is_repeated = config.repeats.is_some() && offered.may_repeat && is_short;
        if self.held.first().is_some_and(|held| !held.ranks.is_empty()) {
            return Fate::GiveOut;
        }
        if is_repeated && !self.last.is_empty() && self.last == offered.line.bytes {
            match self.held.first_mut() {
                Some(held) => held.count(offered),
                None => self.hold(offered, BTreeSet::new()),
            }
            return Fate::Held;
        }
        if !self.held.is_empty() {
            return Fate::GiveOut;
        }
        self.last.clear();
        if is_repeated {
            self.last.extend_from_slice(offered.line.bytes);
        }
        Fate::Passes
    }

    fn take_of_rank(&mut self, rank: Rank, offered: &Offered<'_>) -> Fate {
        let is_full = self.held.len() >= MAX_HELD || self.bytes >= MAX_HELD_BYTES;
        if self.held.first().is_some_and(|held| held.ranks.is_empty()) || is_full {
            return Fate::GiveOut;
        }
        self.last.clear();
        if self.known.len() < MAX_RANKS {
            self.has_grown |= self.known.insert(rank);
        }
        let text = &offered.line.bytes[offered.prefix..];
        // The lines of a rank keep their order.
        let behind = self.held.iter().rposition(|held| held.ranks.contains(&rank)).map_or(0, |last| last + 1);
        match self.held[behind..].iter_mut().find(|held| held.text[held.prefix..] == *text) {
            Some(held) => {
                held.ranks.insert(rank);
                held.count(offered);
            }
            None => self.hold(offered, BTreeSet::from([rank])),
        }
        Fate::Held
    }

    fn hold(&mut self, offered: &Offered<'_>, ranks: BTreeSet<Rank>) {
        let Line { at, time, bytes, attributes, is_utf8, lane, .. } = *offered.line;
        self.bytes += bytes.len() + attributes.len() + size_of::<Held>();
        self.held.push(Held {
            text: bytes.to_vec(),
            prefix: offered.prefix,
            attributes: attributes.to_vec(),
            is_utf8,
            lane,
            severity: offered.severity,
            at,
            from: offered.from,
            since: offered.now,
            times: [time; 2],
            observed: [offered.observed; 2],
            lines: 1,
            line_bytes: bytes.len() as u64,
            ranks,
        });
    }

    /// Gives out all that is held, in its order.
    pub fn give_out(&mut self, mut each: impl FnMut(Given<'_>)) {
        (self.bytes, self.has_grown) = (0, false);
        for mut held in self.held.drain(..) {
            held.describe();
            let (at, place) = (held.at, usize::from(held.ranks.is_empty()));
            let line = Line {
                is_utf8: held.is_utf8,
                time: held.times[place],
                lane: held.lane,
                attributes: &held.attributes,
                ..Line::bare(at, at, &held.text)
            };
            let (observed, severity) = (held.observed[place], held.severity);
            each(Given { line, observed, severity, lines: held.lines, bytes: held.line_bytes });
        }
    }
}

impl Held {
    fn count(&mut self, offered: &Offered<'_>) {
        self.lines += 1;
        self.line_bytes += offered.line.bytes.len() as u64;
        self.times[1] = offered.line.time;
        self.observed[1] = offered.observed;
    }

    /// Adds to the attributes what the record stands for.
    fn describe(&mut self) {
        let attributes = &mut self.attributes;
        if self.ranks.is_empty() {
            let time = |place: usize| match self.times[place] {
                0 => self.observed[place],
                time => time,
            };
            let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
            record_attribute(attributes, "runlog.repeats", number(self.lines));
            record_attribute(attributes, "runlog.repeats.from_unix_nano", number(time(0)));
            record_attribute(attributes, "runlog.repeats.to_unix_nano", number(time(1)));
        } else if self.ranks.len() > 1 {
            let pick = |of: fn(Rank) -> Option<u32>| spans(self.ranks.iter().filter_map(|rank| of(*rank)));
            let global = pick(|rank| if let Rank::Global(rank) = rank { Some(rank) } else { None });
            let local = pick(|rank| if let Rank::Local(rank) = rank { Some(rank) } else { None });
            for (key, ranks) in [("ml.ranks", global), ("ml.local_ranks", local)] {
                if !ranks.is_empty() {
                    record_attribute(attributes, key, Value::String(&ranks));
                }
            }
        }
    }
}

/// `0-3,7`, of numbers in their order.
fn spans(numbers: impl Iterator<Item = u32>) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => spans.push((number, number)),
        }
    }
    let mut text = String::new();
    for (first, last) in spans {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a text does not fail.
        let _ = if first == last { write!(text, "{comma}{first}") } else { write!(text, "{comma}{first}-{last}") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::prefix;

    fn config() -> Config {
        Config { repeats: Some(Duration::from_secs(10)), ranks: Some(Duration::from_secs(1)) }
    }

    /// What is given out for these lines, each with how many it stands for; those in brackets passed.
    fn told(lines: &[&str], config: &Config) -> Vec<String> {
        let (mut alike, mut told, mut at) = (Alike::default(), Vec::new(), 0);
        let now = Instant::now();
        for text in lines {
            let end = at + text.len() as u64 + 1;
            let line = Line::bare(at, end, text.as_bytes());
            let prefix = prefix(text.as_bytes());
            let rank = Rank::of(&prefix);
            let (prefix, from) = (prefix.bytes.len(), ReadTo::whole(at));
            let severity = Severity::INFO;
            let offered = Offered { line: &line, prefix, rank, severity, may_repeat: true, from, observed: end, now };
            loop {
                match alike.take(&offered, config) {
                    Fate::Passes => told.push(format!("[{text}]")),
                    Fate::Held => {}
                    Fate::GiveOut => {
                        give_out(&mut alike, &mut told);
                        continue;
                    }
                }
                break;
            }
            if alike.is_settled() {
                give_out(&mut alike, &mut told);
            }
            at = end;
        }
        give_out(&mut alike, &mut told);
        alike.forget();
        assert!(!alike.is_holding() && alike.is_idle() && alike.bytes() == 0);
        told
    }

    fn give_out(alike: &mut Alike, told: &mut Vec<String>) {
        alike.give_out(|given| told.push(format!("{} x{}", String::from_utf8_lossy(given.line.bytes), given.lines)));
    }

    #[test]
    fn the_first_passes_and_what_repeats_it_is_counted() {
        let lines = ["a", "a", "a", "b", "c", "c", "", "", "a"];
        assert_eq!(told(&lines, &config()), ["[a]", "a x2", "[b]", "[c]", "c x1", "[]", "[]", "[a]"]);
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        assert_eq!(told(&[&long, &long], &config()).len(), 2);
        assert_eq!(told(&["a", "a"], &Config { repeats: None, ..config() }), ["[a]", "[a]"]);
    }

    #[test]
    fn what_all_ranks_print_is_one_and_each_rank_keeps_its_order() {
        let ranks = ["[rank0]: a", "[rank0]: b", "[rank1]: a", "[rank1]: b", "[rank0]: c", "[rank1]: b", "[rank1]: c"];
        let expected = ["[rank0]: a x2", "[rank0]: b x2", "[rank0]: c x1", "[rank1]: b x1", "[rank1]: c x1"];
        assert_eq!(told(&ranks, &config()), expected);
        assert_eq!(told(&["[rank0]: a", "[rank0]: a"], &config()), ["[rank0]: a x1", "[rank0]: a x1"]);
        let between = ["[rank0]: a", "launcher", "[rank1]: a"];
        assert_eq!(told(&between, &config()), ["[rank0]: a x1", "[launcher]", "[rank1]: a x1"]);
        assert_eq!(told(&ranks[..2], &Config { ranks: None, ..config() }), ["[[rank0]: a]", "[[rank0]: b]"]);
    }

    #[test]
    fn what_has_passed_counts_as_memory_until_it_is_forgotten_and_is_not_known_again() {
        let (mut alike, text) = (Alike::default(), "x".repeat(MAX_LINE_BYTES));
        let line = Line::bare(0, 0, text.as_bytes());
        let (from, now, severity) = (ReadTo::whole(0), Instant::now(), Severity::INFO);
        let offered =
            Offered { line: &line, prefix: 0, rank: None, severity, may_repeat: true, from, observed: 1, now };
        assert_eq!(alike.take(&offered, &config()), Fate::Passes);
        assert!(alike.bytes() >= MAX_LINE_BYTES && !alike.is_holding(), "{}", alike.bytes());
        alike.forget();
        assert_eq!((alike.bytes(), alike.take(&offered, &config())), (0, Fate::Passes));
    }

    #[test]
    fn no_more_is_held_than_may_be() {
        let lines: Vec<String> = (0..2 * MAX_HELD).map(|at| format!("[rank0]: {at}")).collect();
        let mut alike = Alike::default();
        for text in &lines {
            let line = Line::bare(0, 0, text.as_bytes());
            let rank = Some(Rank::Global(0));
            let (from, now) = (ReadTo::whole(0), Instant::now());
            let severity = Severity::INFO;
            let offered = Offered { line: &line, prefix: 9, rank, severity, may_repeat: true, from, observed: 1, now };
            if alike.take(&offered, &config()) == Fate::GiveOut {
                assert_eq!(alike.held.len(), MAX_HELD);
                return;
            }
        }
        panic!("all are held");
    }

    #[test]
    fn ranks_are_written_as_spans() {
        for (ranks, expected) in [(&[][..], ""), (&[3], "3"), (&[0, 1, 2, 3, 7, 9, 10], "0-3,7,9-10")] {
            assert_eq!(spans(ranks.iter().copied()), expected);
        }
    }
}
