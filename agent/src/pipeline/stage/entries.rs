//! Records that a source tells apart itself, and may state the level of.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    time::Instant,
};

use crate::{
    parse::{Line, Prefixes, join::Follower},
    record::{Ending, Entries, Entry, ReadTo, Severity, wire::Text},
};

use super::{
    Stage,
    writing::{Level, Writing},
};

impl Stage {
    /// Writes records into their batch, and notes how far their stream is read with them. Those that are lines of a
    /// program's output are joined as its lines are that come in another way.
    pub(super) fn entries(&mut self, entries: &Entries) -> io::Result<()> {
        let (origin, now) = (&entries.origin, Instant::now());
        if !entries.entries.is_empty() {
            origin.tally.heard(entries.observed);
        }
        let from = entries.entries.first().map_or(entries.read_to, |first| first.number);
        let known = self.streams.remove(&origin.id);
        let mut stream = known.unwrap_or_else(|| self.stream(origin, from, entries.observed, now));
        let held_before = stream.lanes.bytes();
        let max_line_bytes = self.parse.max_line_bytes;
        let mut writing = Writing::new(self, origin, entries.observed, now);
        for entry in &entries.entries {
            match line(entry, max_line_bytes) {
                Some(line) => writing.line(&mut stream.lanes, &line),
                None => {
                    let level = level(entry, &writing.stage.parse.rank_prefix);
                    writing.entry(&mut stream.lanes, entry, level);
                }
            }
        }
        if writing.is_crowded(held_before, &stream.lanes) {
            writing.give_out_all(&mut stream.lanes);
        }
        stream.lanes.advance(ReadTo::whole(entries.read_to));
        writing.end(&stream.lanes)?;
        stream.observed = entries.observed;
        self.remember(origin, stream, held_before, Ending::Open);
        Ok(())
    }
}

/// An entry that is one line of which nothing stands beside the text: a program has printed it.
fn line(entry: &Entry, max_line_bytes: usize) -> Option<Line<'_>> {
    let Entry { number, at, bytes, time, level, logger, attributes } = entry;
    let is_line =
        level.is_none() && logger.is_empty() && bytes.len() <= max_line_bytes && memchr::memchr(b'\n', bytes).is_none();
    is_line.then(|| {
        let mut speaker = DefaultHasher::new();
        attributes.hash(&mut speaker);
        Line {
            is_utf8: simdutf8::basic::from_utf8(bytes).is_ok(),
            read_to: ReadTo::whole(number + 1),
            time: *time,
            attributes,
            // The number of its process is among them.
            speaker: speaker.finish(),
            ..Line::bare(*at, *at, bytes)
        }
    })
}

/// What stands beside the text counts, else what the text says.
fn level<'a>(entry: &'a Entry, prefixes: &Prefixes) -> Level<'a> {
    let beside = Text::new(&entry.logger);
    if let Some((severity, word)) = entry.level {
        return Level { text: Text::new(word), logger: beside, ..Level::unstated(severity) };
    }
    let level = match prefixes.detect(&entry.bytes) {
        Some(found) => Level::stated(found),
        None => Level::unstated(Follower::default().level(&entry.bytes, prefixes).unwrap_or(Severity::INFO)),
    };
    if entry.logger.is_empty() { level } else { Level { logger: beside, ..level } }
}
