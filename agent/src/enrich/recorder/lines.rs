//! Lines as they stand in a block: a head of one length, the numbers that are not what they mostly are, and the texts.
//!
//! | bytes of the head | |
//! |---|---|
//! | 0, 1 | flags: what follows |
//! | 2 | severity |
//! | 3 | lane, and above it the family |
//! | 4, 5 | where the word for the level stands in the line, and how long it is |
//! | 6, 7 | the same of the logger |
//! | 8, 9 | how long the line is |
//! | 10, 11 | how many bytes of the stream lie between the line before and this one |
//!
//! Most lines are a head and the line alone. Numbers are differences to the line before. A word that does not stand in
//! the line, or too far behind in it, is written down with its length, as is that of a long line.

use std::sync::Arc;

use prost::encoding::{decode_varint, encode_varint};

use crate::{
    parse::{Line, Part, join::Family},
    record::{Lane, Origin, ReadTo, Severity, UnixNanos},
};

use super::{Heads, Recorded};

const HEAD_BYTES: usize = 12;
/// At most 13 numbers.
const NUMBERS_BYTES: usize = 13 * 10;
/// What each stream in a block takes beside its bytes.
pub(super) const VOICE_OVERHEAD: usize = 768;

const IS_UTF8: u16 = 1;
const IS_PART: u16 = 1 << 1;
const IS_LAST: u16 = 1 << 2;
const HAS_HEADS: u16 = 1 << 3;
const HAS_ATTRIBUTES: u16 = 1 << 4;
/// The lengths of the words and of the line are among the numbers.
const HAS_LENGTHS: u16 = 1 << 5;
const HAS_VOICE: u16 = 1 << 6;
const HAS_LINES: u16 = 1 << 7;
const HAS_OBSERVED: u16 = 1 << 8;
const HAS_TIME: u16 = 1 << 9;
const HAS_PLACE: u16 = 1 << 10;
/// Nothing is between the head and the line.
const PLAIN: u16 = IS_UTF8;

/// A stream, by its id, and what stands in for it when its lines are sent.
pub(super) type Voice = (u64, Arc<Origin>);

/// Lines that are not compressed yet.
#[derive(Default)]
pub(super) struct Open {
    pub(super) raw: Vec<u8>,
    pub(super) voices: Vec<Voice>,
    /// Which of them speaks.
    voice: usize,
    pub(super) lines: u64,
    pub(super) before: Before,
}

/// What numbers are written as differences to.
#[derive(Default, Clone, Copy)]
pub(super) struct Before {
    pub(super) observed: u64,
    time: u64,
    end: u64,
    voice: usize,
}

/// What a line may take in a block.
#[inline]
pub(super) fn room_for(line: &Line<'_>, recorded: &Recorded<'_>) -> usize {
    let heads = recorded.heads.map_or(0, |heads| heads.resource.len() + heads.scope.len());
    let words = recorded.severity_text.len() + recorded.logger.len();
    HEAD_BYTES + NUMBERS_BYTES + heads + words + line.attributes.len() + line.bytes.len()
}

impl Open {
    /// The memory that it takes, all that it has made room for.
    pub(super) fn bytes(&self) -> usize {
        self.raw.capacity() + self.voices.len() * VOICE_OVERHEAD
    }

    /// When its last line was read.
    pub(super) fn newest(&self) -> Option<UnixNanos> {
        (!self.raw.is_empty()).then_some(self.before.observed)
    }

    /// Whether the next line is of the stream that spoke last, and has room.
    #[inline]
    pub(super) fn is_ready(&self, stream: u64, needed: usize) -> bool {
        self.raw.capacity() - self.raw.len() >= needed
            && self.voices.get(self.voice).is_some_and(|(id, _)| *id == stream)
    }

    /// How much more memory it takes to be ready for that.
    pub(super) fn missing(&self, stream: u64, needed: usize, least: usize) -> usize {
        let is_known = self.voices.iter().any(|(id, _)| *id == stream);
        self.widened(needed, least) - self.raw.capacity() + if is_known { 0 } else { VOICE_OVERHEAD }
    }

    /// Gets ready for a line of that stream.
    pub(super) fn turn_to(&mut self, origin: &Arc<Origin>, needed: usize, least: usize) {
        let widened = self.widened(needed, least);
        self.raw.reserve_exact(widened - self.raw.len());
        self.voice = self.voices.iter().rposition(|(id, _)| *id == origin.id).unwrap_or_else(|| {
            self.voices.push((origin.id, origin.stand_in()));
            self.voices.len() - 1
        });
    }

    /// The room that it has once so many bytes more have one. It doubles.
    fn widened(&self, needed: usize, least: usize) -> usize {
        let whole = self.raw.len() + needed;
        match whole {
            _ if whole <= self.raw.capacity() => self.raw.capacity(),
            // A line of its own.
            _ if whole > super::BLOCK_BYTES => whole,
            _ => whole.next_power_of_two().max(least),
        }
    }

    /// Writes a line down, for which it is ready.
    #[inline]
    pub(super) fn write(&mut self, line: &Line<'_>, recorded: &Recorded<'_>) {
        let Recorded { observed, severity, severity_text, logger, family, lines, heads } = *recorded;
        let is_part = line.part.map_or(0, |part| IS_PART | if part.is_last { IS_LAST } else { 0 });
        let mut flags = is_part
            | flag(IS_UTF8, line.is_utf8)
            | flag(HAS_HEADS, heads.is_some())
            | flag(HAS_ATTRIBUTES, !line.attributes.is_empty())
            | flag(HAS_VOICE, self.voice != self.before.voice)
            | flag(HAS_LINES, lines != 1)
            | flag(HAS_OBSERVED, observed != self.before.observed)
            | flag(HAS_TIME, line.time != self.before.time);
        let skipped = u16::try_from(line.at.wrapping_sub(self.before.end)).unwrap_or_else(|_| {
            flags |= HAS_PLACE;
            0
        });
        let words = (place(severity_text, line.bytes), place(logger, line.bytes), u16::try_from(line.bytes.len()));
        let ([word, logger_at], length) = if let (Some(word), Some(logger), Ok(length)) = words {
            ([word, logger], length)
        } else {
            flags |= HAS_LENGTHS;
            ([[0; 2]; 2], 0)
        };
        let [flags_at, length, skipped] = [flags, length, skipped].map(u16::to_le_bytes);
        let family = family.map_or(0, |family| family as u8 + 1);
        let kind = line.lane as u8 | family << 2;
        let head = [flags_at, [severity.number(), kind], word, logger_at, length, skipped];
        self.raw.extend_from_slice(head.as_flattened());
        if flags & !PLAIN != 0 {
            self.write_more(flags, line, recorded);
        }
        self.raw.extend_from_slice(line.bytes);
        self.lines += lines;
        self.before = Before { observed, time: line.time, end: end(line), voice: self.voice };
    }

    /// Writes what stands between the head and the line.
    fn write_more(&mut self, flags: u16, line: &Line<'_>, recorded: &Recorded<'_>) {
        let Before { observed, time, end, .. } = self.before;
        let mut numbers = [0; NUMBERS_BYTES];
        let mut rest = &mut numbers[..];
        let mut number = |is_there: u16, number: u64| {
            if flags & is_there != 0 {
                encode_varint(number, &mut rest);
            }
        };
        number(HAS_VOICE, self.voice as u64);
        number(HAS_LINES, recorded.lines);
        number(HAS_OBSERVED, zigzag(recorded.observed, observed));
        number(HAS_TIME, zigzag(line.time, time));
        number(HAS_PLACE, zigzag(line.at, end));
        if let Some(part) = line.part {
            number(IS_PART, part.line_at);
            number(IS_PART, part.index.into());
        }
        let Heads { resource, scope } = recorded.heads.unwrap_or_default();
        let texts = [
            (HAS_HEADS, resource),
            (HAS_HEADS, scope),
            (HAS_ATTRIBUTES, line.attributes),
            (HAS_LENGTHS, recorded.severity_text),
            (HAS_LENGTHS, recorded.logger),
        ];
        texts.iter().for_each(|(is_there, text)| number(*is_there, text.len() as u64));
        number(HAS_LENGTHS, line.bytes.len() as u64);
        let left = rest.len();
        self.raw.extend_from_slice(&numbers[..NUMBERS_BYTES - left]);
        for (_, text) in texts.iter().filter(|(is_there, text)| flags & is_there != 0 && !text.is_empty()) {
            self.raw.extend_from_slice(text);
        }
    }
}

/// Reads the next line, what is known of it, and which voice it is of. `None` at the end.
pub(super) fn read<'a>(rest: &mut &'a [u8], before: &mut Before) -> Option<(usize, Line<'a>, Recorded<'a>)> {
    let (head, behind) = rest.split_first_chunk::<HEAD_BYTES>()?;
    let [low, high, severity, kind, words @ .., short, long, near, far] = *head;
    let flags = u16::from_le_bytes([low, high]);
    *rest = behind;
    let mut number = |is_there: u16, otherwise: u64| match flags & is_there {
        0 => Some(otherwise),
        _ => decode_varint(rest).ok(),
    };
    let voice = usize::try_from(number(HAS_VOICE, before.voice as u64)?).ok()?;
    let lines = number(HAS_LINES, 1)?;
    let observed = unzigzag(number(HAS_OBSERVED, 0)?, before.observed);
    let time = unzigzag(number(HAS_TIME, 0)?, before.time);
    let skipped = u16::from_le_bytes([near, far]);
    let at = unzigzag(number(HAS_PLACE, 0)?, before.end).wrapping_add(skipped.into());
    let (line_at, index) = (number(IS_PART, 0)?, u32::try_from(number(IS_PART, 0)?).ok()?);
    let part = (flags & IS_PART != 0).then_some(Part { line_at, index, is_last: flags & IS_LAST != 0 });
    let mut lengths = [0; 6];
    let kinds = [HAS_HEADS, HAS_HEADS, HAS_ATTRIBUTES, HAS_LENGTHS, HAS_LENGTHS, HAS_LENGTHS];
    for (length, is_there) in lengths.iter_mut().zip(kinds) {
        *length = usize::try_from(number(is_there, 0)?).ok()?;
    }
    if flags & HAS_LENGTHS == 0 {
        lengths[5] = u16::from_le_bytes([short, long]).into();
    }
    let mut texts = [&[][..]; 6];
    for (text, length) in texts.iter_mut().zip(lengths) {
        (*text, *rest) = rest.split_at_checked(length)?;
    }
    let [resource, scope, attributes, mut severity_text, mut logger, body] = texts;
    if flags & HAS_LENGTHS == 0 {
        let word = |at: u8, length: u8| body.get(usize::from(at)..)?.get(..length.into());
        (severity_text, logger) = (word(words[0], words[1])?, word(words[2], words[3])?);
    }
    let line = Line {
        is_utf8: flags & IS_UTF8 != 0,
        time,
        part,
        lane: [Lane::Bare, Lane::Stdout, Lane::Stderr].into_iter().find(|known| *known as u8 == kind & 3)?,
        attributes,
        // The position is past it, and does not move with it.
        read_to: ReadTo::whole(0),
        ..Line::bare(at, at, body)
    };
    *before = Before { observed, time, end: end(&line), voice };
    let family = (kind >> 2).checked_sub(1).and_then(|number| Family::ALL.get(usize::from(number)).copied());
    let heads = (flags & HAS_HEADS != 0).then_some(Heads { resource, scope });
    let severity = Severity::from_number(severity.into());
    Some((voice, line, Recorded { observed, severity, severity_text, logger, family, lines, heads }))
}

#[inline]
const fn flag(flag: u16, is_set: bool) -> u16 {
    if is_set { flag } else { 0 }
}

/// Where a word stands in the line, and its length, if both have room in the head.
#[inline]
fn place(word: &[u8], line: &[u8]) -> Option<[u8; 2]> {
    if word.is_empty() {
        return Some([0; 2]);
    }
    // A word of another memory is far away, or before the line.
    let at = u8::try_from(word.as_ptr().addr().wrapping_sub(line.as_ptr().addr())).ok()?;
    let length = u8::try_from(word.len()).ok()?;
    (usize::from(at) + word.len() <= line.len()).then_some([at, length])
}

/// Where the next line begins, most likely.
const fn end(line: &Line<'_>) -> u64 {
    line.at.wrapping_add(line.bytes.len() as u64).wrapping_add(1)
}

/// The difference to the number before, small where it is.
const fn zigzag(number: u64, before: u64) -> u64 {
    let difference = number.wrapping_sub(before).cast_signed();
    ((difference << 1) ^ (difference >> 63)).cast_unsigned()
}

const fn unzigzag(difference: u64, before: u64) -> u64 {
    before.wrapping_add((difference >> 1) ^ (difference & 1).wrapping_neg())
}
