//! Puts the pieces of lines together again, those of each lane apart.

use std::ops::Range;

use memchr::memchr;

use crate::{
    parse::{
        Line, Part,
        frame::{Rest, Returns, without_cr},
        terminal::ESCAPE,
    },
    record::{Lane, ReadTo, UnixNanos},
};

/// An emptied buffer of at most this size is kept.
const KEPT_BYTES: usize = 64 * 1024;

/// What a wrapped line held: a printed line, or a piece of one.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// Offset of the wrapped line in the stream.
    pub at: u64,
    /// Offset behind the wrapped line.
    pub end: u64,
    /// See [`Line::lane`].
    pub lane: Lane,
    /// What was printed.
    pub bytes: &'a [u8],
    /// Whether what the wrapped line holds is known to be UTF-8.
    pub is_utf8: bool,
    /// See [`Line::time`].
    pub time: UnixNanos,
    /// Whether the printed line ends with it.
    pub ends_line: bool,
    /// Whether all pieces of a line have the same time, so that another time begins another line.
    pub has_line_time: bool,
    /// See [`Line::attributes`].
    pub attributes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// A line, or a part of one, that nothing is wrapped around.
    pub fn bare(line: &Line<'a>) -> Self {
        Self {
            at: line.at,
            end: line.read_to.offset,
            lane: Lane::Bare,
            bytes: line.bytes,
            is_utf8: line.is_utf8,
            time: line.time,
            ends_line: line.part.is_none_or(|part| part.is_last),
            has_line_time: false,
            attributes: &[],
        }
    }

    /// What the bytes from `from` on are the rest of, if that is known. What a terminal draws over is cut in rows, not in
    /// parts.
    fn rest_from(&self, from: usize, max_line_bytes: usize) -> Option<Rest> {
        // A part is no shorter than a line may be, a row mostly is.
        let is_rest = self.lane == Lane::Bare && from >= max_line_bytes;
        let is_part = is_rest && !matches!(self.bytes.get(from), Some(&(b'\r' | ESCAPE)));
        is_part.then(|| Rest::of(self.at, self.at + from as u64, max_line_bytes))
    }
}

/// Joins the pieces of one stream.
///
/// A byte is named by the offset of the wrapped line that it stands in and its own place in the text. Wrapping only
/// adds bytes, so these names are unique and ascend, and a text that was unescaped needs no map.
#[derive(Debug)]
pub struct Joiner {
    max_line_bytes: usize,
    returns: Returns,
    left_at: ReadTo,
    /// The beginning of a line, for each lane.
    lanes: [Option<Beginning>; Lane::COUNT],
    /// Empty; spares the next beginning an allocation.
    spare: Vec<u8>,
}

/// The beginning of a line whose end has not come yet.
#[derive(Debug)]
struct Beginning {
    /// Offset of the wrapped line that its first byte stands in.
    read_from: u64,
    /// Name of its first byte.
    at: u64,
    time: UnixNanos,
    /// The printed line, by the name of its first byte, if this is the rest of one too long.
    rest: Option<Rest>,
    bytes: Vec<u8>,
    /// See [`Line::names`].
    names: Vec<(usize, u64)>,
    /// A carriage return behind the bytes, of which it is not known yet whether it is the line's end: where reading has
    /// to start to come by it, and its name.
    has_return: Option<(u64, u64)>,
}

impl Joiner {
    /// Starts where the stream was left. Longer lines are split, so that no character is torn.
    /// `rest` is that of a line that nothing is wrapped around.
    pub fn new(max_line_bytes: usize, left_at: ReadTo, rest: Option<Rest>, returns: Returns) -> Self {
        let mut lanes = [const { None }; Lane::COUNT];
        lanes[Lane::Bare as usize] = rest.map(|rest| Beginning {
            read_from: left_at.offset,
            // The outer part that is read again may have been given out to there.
            at: left_at.lanes[Lane::Bare as usize],
            time: 0,
            rest: Some(rest),
            bytes: Vec::new(),
            names: Vec::new(),
            has_return: None,
        });
        Self { max_line_bytes, returns, left_at, lanes, spare: Vec::new() }
    }

    /// How long a line may be.
    pub const fn max_line_bytes(&self) -> usize {
        self.max_line_bytes
    }

    /// How far the stream is given out if wrapped lines were read up to `consumed`.
    pub fn read_to(&self, consumed: u64) -> ReadTo {
        // What was given out before the stream was opened may lie further on than what was read again so far.
        let mut read_to = ReadTo { offset: consumed, lanes: self.left_at.lanes.map(|left_at| left_at.max(consumed)) };
        for (lane, beginning) in self.lanes.iter().enumerate() {
            if let Some(beginning) = beginning {
                read_to.offset = read_to.offset.min(beginning.read_from);
                read_to.lanes[lane] = beginning.at;
            }
        }
        read_to
    }

    /// What was not given out before the stream was opened, of a row of a line that nothing is wrapped around.
    pub fn row<'a>(&self, line: Line<'a>) -> Option<Line<'a>> {
        let (end, left_at) = (line.read_to.offset, self.left_at.lanes[Lane::Bare as usize]);
        let from = usize::try_from(left_at.saturating_sub(line.at)).ok()?;
        let bytes = line.bytes.get(from..).filter(|bytes| !bytes.is_empty())?;
        Some(Line { at: line.at + from as u64, bytes, read_to: self.read_to(end), ..line })
    }

    /// Whether there are beginnings of lines.
    pub fn is_waiting(&self) -> bool {
        self.lanes.iter().flatten().any(Beginning::is_begun)
    }

    /// Takes the next piece and gives out what is complete with it.
    pub fn take(&mut self, piece: Piece<'_>, each: &mut impl FnMut(Line<'_>)) {
        let left_at = self.left_at.lanes[piece.lane as usize];
        if piece.end <= left_at {
            // Given out before the stream was opened; it is read again for another lane.
            return;
        }
        let waits_in_vain = |beginning: &Beginning| piece.has_line_time && beginning.time != piece.time;
        if self.lanes[piece.lane as usize].as_ref().is_some_and(waits_in_vain) {
            self.give_out(piece.lane, piece.at, End::Line, piece.attributes, each);
        }
        let is_whole = piece.ends_line && piece.bytes.len() <= self.max_line_bytes && piece.at >= left_at;
        if is_whole && self.lanes[piece.lane as usize].is_none() {
            let Piece { at, end, lane, bytes, is_utf8, time, attributes, .. } = piece;
            let (read_to, bytes) = (self.read_to(end), without_end(bytes, lane));
            return each(Line { read_to, is_utf8, time, lane, attributes, ..Line::bare(at, end, bytes) });
        }
        let given_out = usize::try_from(left_at.saturating_sub(piece.at)).unwrap_or(usize::MAX);
        self.join(piece, given_out.min(piece.bytes.len()), each);
    }

    /// Takes a piece from its byte `from` on.
    fn join(&mut self, piece: Piece<'_>, mut from: usize, each: &mut impl FnMut(Line<'_>)) {
        let lane = piece.lane as usize;
        let mut beginning = self.lanes[lane].take().unwrap_or_else(|| Beginning {
            read_from: piece.at,
            at: piece.at + from as u64,
            time: piece.time,
            rest: piece.rest_from(from, self.max_line_bytes),
            bytes: std::mem::take(&mut self.spare),
            names: Vec::new(),
            has_return: None,
        });
        let read_to = self.read_to(piece.end);
        let mut end = piece.bytes.len();
        if self.returns == Returns::Rows {
            if from < end
                && let Some((read_from, at)) = beginning.has_return.take()
            {
                beginning.end_row(&piece, (read_from, at), read_to, each);
            }
            let is_open = !piece.ends_line && from < end && piece.bytes[end - 1] == b'\r';
            end -= usize::from(is_open);
            // A carriage return at the line's end is no other row's beginning. That of a bare line is gone already.
            let has_end = piece.ends_line && piece.lane != Lane::Bare;
            let rows_end = end - usize::from(has_end && end > from && piece.bytes[end - 1] == b'\r');
            while let Some(length) = memchr(b'\r', &piece.bytes[from..rows_end]) {
                beginning = self.put(beginning, &piece, from..from + length, read_to, each);
                from += length;
                beginning.end_row(&piece, (piece.at, piece.at + from as u64), read_to, each);
                from += 1;
            }
            beginning = self.put(beginning, &piece, from..end, read_to, each);
            beginning.has_return = is_open.then(|| (piece.at, piece.at + end as u64)).or(beginning.has_return);
        } else {
            beginning = self.put(beginning, &piece, from..end, read_to, each);
        }
        if piece.ends_line {
            each(beginning.line(piece.lane, piece.attributes, End::Line, read_to));
            beginning.bytes.clear();
            if beginning.bytes.capacity() <= KEPT_BYTES {
                self.spare = beginning.bytes;
            }
        } else {
            self.lanes[lane] = Some(beginning);
        }
    }

    /// Holds those bytes of a piece, and gives out parts.
    fn put(
        &self,
        mut beginning: Beginning,
        piece: &Piece<'_>,
        range: Range<usize>,
        read_to: ReadTo,
        each: &mut impl FnMut(Line<'_>),
    ) -> Beginning {
        let Range { start: mut from, end } = range;
        while let Some(length) = beginning.part_length(&piece.bytes[from..end], self.max_line_bytes) {
            beginning.bytes.extend_from_slice(&piece.bytes[from..from + length]);
            from += length;
            let rest_at = piece.at + from as u64;
            let read_to = before(rest_at, piece, read_to);
            let Rest { line_at, parts } = beginning.rest.unwrap_or(Rest { line_at: beginning.at, parts: 0 });
            each(beginning.line(piece.lane, piece.attributes, End::Part, read_to));
            beginning.bytes.clear();
            beginning.names.clear();
            beginning = Beginning {
                read_from: piece.at,
                at: rest_at,
                rest: Some(Rest { line_at, parts: parts + 1 }),
                ..beginning
            };
        }
        beginning.names.push((beginning.bytes.len(), piece.at + from as u64));
        beginning.bytes.extend_from_slice(&piece.bytes[from..end]);
        beginning
    }

    /// Gives out the beginnings, first come first, the stream having been read up to `consumed`.
    pub fn flush<'a>(
        &mut self,
        consumed: u64,
        end: End,
        attributes: impl Fn(Lane) -> &'a [u8],
        each: &mut impl FnMut(Line<'_>),
    ) {
        let mut lanes = [Lane::Bare, Lane::Stdout, Lane::Stderr];
        lanes.sort_by_key(|lane| self.lanes[*lane as usize].as_ref().map(|beginning| beginning.at));
        for lane in lanes {
            self.give_out(lane, consumed, end, attributes(lane), each);
        }
    }

    /// Gives out the beginning in that lane as it is, if there is one.
    fn give_out(&mut self, lane: Lane, consumed: u64, end: End, attributes: &[u8], each: &mut impl FnMut(Line<'_>)) {
        let beginning = self.lanes[lane as usize].take_if(|beginning| beginning.is_begun());
        if let Some(beginning) = beginning
            && (end == End::Line || !beginning.bytes.is_empty())
        {
            each(beginning.line(lane, attributes, end, self.read_to(consumed)));
        }
    }
}

/// What ends with the bytes that are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A line.
    Line,
    /// A part of a line that goes on.
    Part,
}

/// What was printed without its carriage return. Of a line that nothing was wrapped around it is gone already.
fn without_end(bytes: &[u8], lane: Lane) -> &[u8] {
    if lane == Lane::Bare { bytes } else { without_cr(bytes) }
}

/// How far the stream is given out before that byte of a piece.
fn before(at: u64, piece: &Piece<'_>, read_to: ReadTo) -> ReadTo {
    let mut read_to = ReadTo { offset: read_to.offset.min(piece.at), ..read_to };
    read_to.lanes[piece.lane as usize] = at;
    read_to
}

impl Beginning {
    /// Whether there is anything of it, and not only a rest that more may come of.
    const fn is_begun(&self) -> bool {
        !self.bytes.is_empty() || self.has_return.is_some()
    }

    /// Gives out the row before a carriage return, which begins another one: where reading has to start to come by it,
    /// and its name.
    fn end_row(
        &mut self,
        piece: &Piece<'_>,
        (read_from, at): (u64, u64),
        read_to: ReadTo,
        each: &mut impl FnMut(Line<'_>),
    ) {
        if !self.bytes.is_empty() {
            let mut read_to = before(at, piece, read_to);
            read_to.offset = read_to.offset.min(read_from);
            let line = self.line(piece.lane, piece.attributes, End::Line, read_to);
            each(Line { is_overwritten: true, bytes: &self.bytes, ..line });
            self.bytes.clear();
            self.names.clear();
        }
        self.bytes.push(b'\r');
        (self.read_from, self.at, self.time, self.rest) = (read_from, at, piece.time, None);
    }

    fn line<'a>(&'a self, lane: Lane, attributes: &'a [u8], end: End, read_to: ReadTo) -> Line<'a> {
        let is_last = end == End::Line;
        let part = match self.rest {
            None if is_last => None,
            None => Some(Part { line_at: self.at, index: 0, is_last }),
            Some(Rest { line_at, parts: index }) => Some(Part { line_at, index, is_last }),
        };
        let bytes = if is_last { without_end(&self.bytes, lane) } else { &self.bytes };
        // Only now: a runtime cuts where its buffer is full, also inside a character.
        let is_utf8 = simdutf8::basic::from_utf8(bytes).is_ok();
        let Self { at, read_from, time, names, .. } = self;
        let line = Line { names, read_to, is_utf8, part, lane, attributes, ..Line::bare(*at, read_to.offset, bytes) };
        Line { read_from: *read_from, time: *time, ..line }
    }

    /// How much of `bytes` completes a part, if the line is too long with all of it.
    fn part_length(&self, bytes: &[u8], max_line_bytes: usize) -> Option<usize> {
        let length = max_line_bytes.saturating_sub(self.bytes.len());
        let (inside, behind) = bytes.split_at_checked(length).filter(|(_, behind)| !behind.is_empty())?;
        // Up to three bytes more, so that no character is torn: these stand in this piece, whereas three bytes less
        // may have come with pieces before it.
        let newest = inside.iter().rev().chain(self.bytes.iter().rev());
        let more = behind.iter().take(missing(newest)).take_while(|byte| is_continuation(**byte)).count();
        Some(length + more).filter(|length| *length < bytes.len())
    }
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// How many bytes the character lacks that the text breaks off in, given from its end on.
fn missing<'a>(newest: impl Iterator<Item = &'a u8>) -> usize {
    for (back, byte) in (1..=3).zip(newest) {
        let sequence: usize = match byte {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => 0,
        };
        return sequence.saturating_sub(back);
    }
    0
}
