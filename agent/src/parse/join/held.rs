//! Lines that wait until it is known what they belong to.

use std::ops::Range;

use crate::{
    parse::Line,
    record::{Lane, ReadTo, UnixNanos},
};

use super::Seen;

/// Copies of lines, in their order, in one buffer.
#[derive(Debug, Default)]
pub struct Lines {
    lines: Vec<Held>,
    bytes: Vec<u8>,
}

/// One of them.
#[derive(Debug)]
pub struct Held {
    at: u64,
    time: UnixNanos,
    pub observed: UnixNanos,
    /// How far the stream was given out, and held, without it.
    pub from: ReadTo,
    is_utf8: bool,
    lane: Lane,
    text: Range<usize>,
    /// How much of the text a launcher has put before it.
    pub prefix: usize,
    attributes: Range<usize>,
    /// Which of the joins it is for, or may be for.
    pub join: Option<usize>,
}

impl Lines {
    pub fn push(&mut self, line: &Line<'_>, prefix: usize, seen: Seen, join: Option<usize>) {
        let text = self.bytes.len()..self.bytes.len() + line.bytes.len();
        self.bytes.extend_from_slice(line.bytes);
        let attributes = self.bytes.len()..self.bytes.len() + line.attributes.len();
        self.bytes.extend_from_slice(line.attributes);
        let (&Line { at, time, is_utf8, lane, .. }, Seen { from, observed, .. }) = (line, seen);
        self.lines.push(Held { at, time, observed, from, is_utf8, lane, text, prefix, attributes, join });
    }

    pub const fn count(&self) -> usize {
        self.lines.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How long they are together.
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Held)> {
        self.lines.iter().enumerate()
    }

    /// The same with what is known of each.
    pub const fn memory(&self) -> usize {
        self.bytes.len() + self.lines.len() * size_of::<Held>()
    }

    /// The first byte's offset.
    pub fn at(&self, index: usize) -> u64 {
        self.lines[index].at
    }

    /// One as it came. How far its stream is given out with it is for the caller to say.
    pub fn line(&self, held: &Held) -> Line<'_> {
        let &Held { at, time, is_utf8, lane, .. } = held;
        let (bytes, attributes) = (&self.bytes[held.text.clone()], &self.bytes[held.attributes.clone()]);
        Line { at, read_to: ReadTo::whole(at), bytes, is_utf8, time, part: None, lane, attributes }
    }

    /// Puts those into `text` that `belongs` names, with newlines between them and the prefix only before the first.
    /// Says how many they are, how many bytes they were, and whether all are UTF-8.
    pub fn join(&self, from: usize, text: &mut Vec<u8>, belongs: impl Fn(usize, &Held) -> bool) -> (u64, u64, bool) {
        let (mut lines, mut bytes, mut is_utf8) = (0, 0, true);
        text.clear();
        for (_, held) in self.iter().skip(from).filter(|(index, held)| belongs(*index, held)) {
            let skipped = if lines == 0 { 0 } else { held.prefix };
            if lines > 0 {
                text.push(b'\n');
            }
            text.extend_from_slice(&self.bytes[held.text.start + skipped..held.text.end]);
            lines += 1;
            bytes += held.text.len() as u64;
            is_utf8 &= held.is_utf8;
        }
        (lines, bytes, is_utf8)
    }

    /// Gives the joins that lines are for other numbers.
    pub fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        for held in &mut self.lines {
            held.join = held.join.map(&number);
        }
    }

    /// Forgets the first `count`, and gives back memory that is seldom needed.
    pub fn remove(&mut self, count: usize) {
        const KEPT_BYTES: usize = 16 * 1024;
        let bytes = self.lines.get(count).map_or(self.bytes.len(), |held| held.text.start);
        self.lines.drain(..count);
        self.bytes.drain(..bytes);
        for Held { text, attributes, .. } in &mut self.lines {
            *text = text.start - bytes..text.end - bytes;
            *attributes = attributes.start - bytes..attributes.end - bytes;
        }
        if self.lines.is_empty() && self.bytes.capacity() > KEPT_BYTES {
            *self = Self::default();
        }
    }
}
