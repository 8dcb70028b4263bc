//! Lines become one record, and none of them is missing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use fastrand::Rng;
use runlog::parse::{
    Alike, AlikeConfig, Fate, Line, Offered, Prefixes, Rank, detect,
    join::{self, Given, Joiner, Seen, Taken},
    prefix,
};
use runlog::record::{ReadTo, Severity};

/// A line as a framer gives it out.
fn line(at: u64, bytes: &[u8]) -> Line<'_> {
    let read_to = ReadTo::whole(at + bytes.len() as u64 + 1);
    let is_utf8 = std::str::from_utf8(bytes).is_ok();
    Line {
        at,
        read_from: at,
        read_to,
        bytes,
        names: &[],
        is_overwritten: false,
        is_utf8,
        time: 0,
        part: None,
        lane: runlog::record::Lane::Bare,
        attributes: &[],
        speaker: 0,
    }
}

/// A line without anything that launchers put before it, however often.
fn bare(mut line: &[u8]) -> &[u8] {
    loop {
        let rest = prefix(line).after(line);
        if rest.len() == line.len() {
            return rest;
        }
        line = rest;
    }
}

fn count(counts: &mut BTreeMap<Vec<u8>, i64>, line: &[u8], by: i64) {
    *counts.entry(bare(line).to_vec()).or_default() += by;
}

/// What came out of a joiner.
#[derive(Default)]
struct Out {
    /// Lines that came in, less those that came out.
    missing: BTreeMap<Vec<u8>, i64>,
    families: Vec<(String, u32)>,
}

impl Out {
    fn give_out(&mut self, joiner: &mut Joiner, max_bytes: usize) {
        joiner.give_out(|given| match given {
            Given::Line(line, single) => {
                assert!(single.from.is_none_or(|from| from.offset == line.at), "a line is not cut off where it begins");
                count(&mut self.missing, line.bytes, -1);
            }
            Given::Joined(line, joined) => {
                let pieces: Vec<_> = line.bytes.split(|byte| *byte == b'\n').collect();
                assert_eq!(pieces.len() as u64, joined.lines, "a record says of how many lines it is");
                assert!(pieces.len() == 1 || line.bytes.len() <= max_bytes, "a record of {} bytes", line.bytes.len());
                pieces.iter().for_each(|piece| count(&mut self.missing, piece, -1));
                self.families.push((format!("{:?}", joined.family), joined.lines.ilog2()));
            }
        });
    }
}

pub fn joined(input: &[u8], random: &mut Rng) -> impl std::hash::Hash + use<> {
    let config = join::Config { is_on: true, wait: Duration::from_secs(1), max_bytes: [256, 4096][random.usize(..2)] };
    let (mut joiner, mut out) = (Joiner::default(), Out::default());
    let mut now = Instant::now();
    let mut at = 0;
    let longest = input.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or(0);
    let max_bytes = config.max_bytes + longest + 1;
    for text in input.split(|byte| *byte == b'\n') {
        let line = line(at, text);
        let seen = Seen { from: ReadTo::whole(at), observed: 1, now };
        count(&mut out.missing, text, 1);
        let taken = loop {
            match joiner.take(&line, seen, &Prefixes::Known, &config) {
                Taken::GiveOut => out.give_out(&mut joiner, max_bytes),
                taken => break taken,
            }
        };
        let is_held = match taken {
            Taken::Held => true,
            Taken::Passes => {
                let takes = |found| joiner.take_head(&line, &found, seen, &Prefixes::Known) == Taken::Held;
                detect(text).is_some_and(takes)
            }
            Taken::Alone(_) | Taken::GiveOut => false,
        };
        if !is_held {
            count(&mut out.missing, text, -1);
        }
        if is_held && joiner.is_settled() {
            out.give_out(&mut joiner, max_bytes);
        }
        // Now and then more time passes than anything waits for.
        if random.u8(..32) == 0 {
            now += Duration::from_secs(60);
            joiner.expire(now, &config);
            out.give_out(&mut joiner, max_bytes);
        }
        assert!(joiner.held_from().is_none_or(|from| from.offset <= at), "held from behind the line");
        at += text.len() as u64 + 1;
    }
    joiner.close();
    out.give_out(&mut joiner, max_bytes);
    assert!(!joiner.is_holding(), "something is held for ever");
    out.missing.retain(|_, count| *count != 0);
    let shown: Vec<_> = out.missing.iter().map(|(line, count)| (line.escape_ascii().to_string(), *count)).collect();
    assert!(shown.is_empty(), "lines that came in less those that came out: {shown:?}");
    out.families.sort();
    out.families.dedup();
    out.families
}

pub fn alike(input: &[u8], random: &mut Rng) -> impl std::hash::Hash + use<> {
    let wait = |is_on: bool| is_on.then_some(Duration::from_secs(1));
    let config = AlikeConfig { repeats: wait(random.bool()), ranks: wait(random.bool()) };
    let (mut alike, now) = (Alike::default(), Instant::now());
    let (mut at, mut lines, mut bytes, mut read_to) = (0, 0, 0, 0);
    let mut stands_for = Vec::new();
    let mut give_out = |alike: &mut Alike, (lines, bytes): (&mut u64, &mut u64)| {
        alike.give_out(|given| {
            *lines += given.lines;
            *bytes += given.bytes;
            stands_for.push(given.lines.ilog2());
        });
        assert!(!alike.is_holding() && alike.held_from().is_none(), "something is held behind what was given out");
    };
    let (mut came, mut came_bytes) = (0, 0);
    for text in input.split(|byte| *byte == b'\n') {
        // Often the same line again.
        for _ in 0..random.u32(1..=3) {
            let prefix = prefix(text);
            let line = line(at, text);
            let (rank, prefix, from) = (Rank::of(&prefix), prefix.bytes.len(), ReadTo::whole(at));
            let severity = Severity::INFO;
            let offered = Offered { line: &line, prefix, rank, severity, may_repeat: true, from, observed: 1, now };
            (came, came_bytes) = (came + 1, came_bytes + text.len() as u64);
            loop {
                match alike.take(&offered, &config) {
                    Fate::Passes => {
                        assert!(!alike.is_holding(), "a line passes what is held");
                        (lines, bytes) = (lines + 1, bytes + text.len() as u64);
                    }
                    Fate::Held => assert!(config.is_on()),
                    Fate::GiveOut => {
                        give_out(&mut alike, (&mut lines, &mut bytes));
                        continue;
                    }
                }
                break;
            }
            let held_from = alike.held_from().map_or(at, |from| from.offset);
            assert!(held_from >= read_to && held_from <= at, "a position goes back or too far");
            read_to = held_from;
            at += text.len() as u64 + 1;
            if alike.is_settled() {
                give_out(&mut alike, (&mut lines, &mut bytes));
            }
        }
    }
    give_out(&mut alike, (&mut lines, &mut bytes));
    assert_eq!((lines, bytes), (came, came_bytes), "lines are missing");
    stands_for.sort_unstable();
    stands_for.dedup();
    stands_for
}
