//! Lines as they stand in a block: numbers as differences to those of the line before, the lengths of the texts, and these.

use std::sync::Arc;

use bytes::BufMut;
use prost::encoding::{decode_varint, encode_varint};

use crate::{
    parse::{Line, Part, join::Family},
    record::{Lane, Origin, ReadTo, Severity, UnixNanos},
};

use super::{Heads, Recorded};

/// Four bytes and at most 13 numbers.
const NUMBERS_BYTES: usize = 4 + 13 * 10;
/// What each stream in a block takes beside its bytes.
pub(super) const VOICE_OVERHEAD: usize = 768;

/// A stream, by its id, and what stands in for it when its lines are sent.
pub(super) type Voice = (u64, Arc<Origin>);

/// Lines that are not compressed yet.
#[derive(Default)]
pub(super) struct Open {
    pub(super) raw: Vec<u8>,
    pub(super) voices: Vec<Voice>,
    pub(super) lines: u64,
    pub(super) before: Before,
}

/// What numbers are written as differences to.
#[derive(Default, Clone, Copy)]
pub(super) struct Before {
    pub(super) observed: u64,
    time: u64,
    end: u64,
}

impl Open {
    pub(super) fn bytes(&self) -> usize {
        self.raw.len() + self.voices.len() * VOICE_OVERHEAD
    }

    /// When its last line was read.
    pub(super) fn newest(&self) -> Option<UnixNanos> {
        (!self.raw.is_empty()).then_some(self.before.observed)
    }

    /// Writes a line down. Says how many bytes that takes.
    pub(super) fn write(&mut self, origin: &Arc<Origin>, recorded: &Recorded<'_>) -> usize {
        let before = self.bytes();
        let voice = self.voices.iter().rposition(|(id, _)| *id == origin.id).unwrap_or_else(|| {
            self.voices.push((origin.id, origin.stand_in()));
            self.voices.len() - 1
        });
        let Recorded { line, observed, severity, severity_text, logger, family, lines, heads } = recorded;
        let part = line.part.map_or(0, |part| 2 | u8::from(part.is_last) << 2);
        let flags = u8::from(line.is_utf8) | part | u8::from(heads.is_some()) << 3;
        let (mut numbers, family) = ([0; NUMBERS_BYTES], family.map_or(0, |family| family as u8 + 1));
        let mut rest = &mut numbers[..];
        rest.put_slice(&[flags, severity.number(), line.lane as u8, family]);
        let mut number = |number: u64| encode_varint(number, &mut rest);
        number(voice as u64);
        number(*lines);
        number(zigzag(*observed, self.before.observed));
        number(zigzag(line.time, self.before.time));
        number(zigzag(line.at, self.before.end));
        if let Some(part) = line.part {
            number(part.line_at);
            number(part.index.into());
        }
        let Heads { resource, scope } = heads.unwrap_or_default();
        let texts = [resource, scope, severity_text, logger, line.attributes, line.bytes];
        let kept = if heads.is_some() { &texts[..] } else { &texts[2..] };
        kept.iter().for_each(|text| number(text.len() as u64));
        let left = rest.len();
        if self.raw.is_empty() {
            self.raw.reserve(super::BLOCK_BYTES + numbers.len() + line.bytes.len());
        }
        self.raw.extend_from_slice(&numbers[..NUMBERS_BYTES - left]);
        kept.iter().filter(|text| !text.is_empty()).for_each(|text| self.raw.extend_from_slice(text));
        self.lines += lines;
        self.before = Before { observed: *observed, time: line.time, end: end(line) };
        self.bytes() - before
    }
}

/// Reads the next line, and which voice it is of. `None` at the end.
pub(super) fn read<'a>(rest: &mut &'a [u8], before: &mut Before) -> Option<(usize, Recorded<'a>)> {
    let ([flags, severity, lane, family], behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    let mut number = || decode_varint(rest).ok();
    let (voice, lines) = (number()?, number()?);
    let observed = unzigzag(number()?, before.observed);
    let time = unzigzag(number()?, before.time);
    let at = unzigzag(number()?, before.end);
    let part = match flags & 2 {
        0 => None,
        _ => Some(Part { line_at: number()?, index: u32::try_from(number()?).ok()?, is_last: flags & 4 != 0 }),
    };
    let mut lengths = [0; 6];
    let kept = if flags & 8 == 0 { &mut lengths[2..] } else { &mut lengths[..] };
    for length in kept {
        *length = usize::try_from(number()?).ok()?;
    }
    let mut texts = [&[][..]; 6];
    for (text, length) in texts.iter_mut().zip(lengths) {
        (*text, *rest) = rest.split_at_checked(length)?;
    }
    let [resource, scope, severity_text, logger, attributes, body] = texts;
    let heads = (flags & 8 != 0).then_some(Heads { resource, scope });
    let line = Line {
        is_utf8: flags & 1 != 0,
        time,
        part,
        lane: [Lane::Bare, Lane::Stdout, Lane::Stderr].into_iter().find(|known| *known as u8 == *lane)?,
        attributes,
        // The position is past it, and does not move with it.
        read_to: ReadTo::whole(0),
        ..Line::bare(at, at, body)
    };
    *before = Before { observed, time, end: end(&line) };
    let family = family.checked_sub(1).and_then(|number| Family::ALL.get(usize::from(number)).copied());
    let severity = Severity::from_number((*severity).into());
    let recorded = Recorded { line, observed, severity, severity_text, logger, family, lines, heads };
    Some((usize::try_from(voice).ok()?, recorded))
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
