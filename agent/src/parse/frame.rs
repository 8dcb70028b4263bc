//! Cuts a stream of bytes into lines.

use std::ops::Range;

use memchr::memchr;

use super::wrapped;
use crate::record::{Chunk, Ending, Lane, ReadTo, UnixNanos};

/// One line, or one part of a line that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Offset of the first byte in the stream.
    pub at: u64,
    /// Where reading has to start to come by it: before `at` only if something is wrapped around the line.
    pub read_from: u64,
    /// How far the stream is given out with this line.
    pub read_to: ReadTo,
    /// The bytes without the line's end: `\n` or `\r\n`.
    pub bytes: &'a [u8],
    /// Where pieces of `bytes` begin in them and how their first bytes are named, if they do not stand one after the other
    /// from `at` on.
    pub names: &'a [(usize, u64)],
    /// Whether no newline ends it but a carriage return, which is the next one's first byte.
    pub is_overwritten: bool,
    /// Whether the bytes are known to be UTF-8.
    pub is_utf8: bool,
    /// When the source received the first byte; zero if it does not know.
    pub time: UnixNanos,
    /// Set if this is a part of a longer line.
    pub part: Option<Part>,
    /// Which lines it goes on from.
    pub lane: Lane,
    /// Record attributes that what was wrapped around the line states, encoded.
    pub attributes: &'a [u8],
    /// Which process printed it, where that is known: lines of two of them are never one thing.
    pub speaker: u64,
}

impl<'a> Line<'a> {
    /// A line of UTF-8 that nothing is wrapped around; the next one starts at offset `end`.
    pub(crate) const fn bare(at: u64, end: u64, bytes: &'a [u8]) -> Self {
        let read_to = ReadTo::whole(end);
        Self {
            at,
            read_from: at,
            read_to,
            bytes,
            names: &[],
            is_overwritten: false,
            is_utf8: true,
            time: 0,
            part: None,
            lane: Lane::Bare,
            attributes: &[],
            speaker: 0,
        }
    }

    /// The name of the byte at `index`: its offset in the stream, if nothing is wrapped around the line.
    #[must_use]
    pub fn name(&self, index: usize) -> u64 {
        let piece = self.names.iter().rev().find(|(start, _)| *start <= index);
        let (start, name) = piece.copied().unwrap_or((0, self.at));
        name + (index - start) as u64
    }
}

/// The place of a part in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Offset of the line's first byte in the stream.
    pub line_at: u64,
    /// 0 for the first part.
    pub index: u32,
    /// Whether the line ends with this part.
    pub is_last: bool,
}

/// The rest of a line of which the first parts were given out before its stream was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// Where the line begins.
    pub line_at: u64,
    /// How many parts were given out.
    pub parts: u32,
}

impl Rest {
    /// Goes on at offset `at`. The parts were as long as they may be, and the last one may have ended with the stream.
    pub fn of(line_at: u64, at: u64, max_line_bytes: usize) -> Self {
        let parts = at.saturating_sub(line_at).div_ceil(max_line_bytes.max(1) as u64);
        Self { line_at, parts: u32::try_from(parts).unwrap_or(u32::MAX).max(1) }
    }
}

/// What a carriage return inside a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// A byte like others.
    Bytes,
    /// The begin of another row. Of a line that waits for its end, the rows before the last one are given out, so that
    /// a progress bar of hours is no line of megabytes. A line that is there as a whole is not cut.
    Rows,
    /// The same where a line does not begin as one that something is wrapped around, and a row is no longer than that.
    RowsOfBare(usize),
}

/// What some programs put before the first byte of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds the lines of one stream, whatever pieces it comes in.
///
/// Holds at most one line's beginning, never more than the longest line allowed.
#[derive(Debug)]
pub struct Framer {
    max_line_bytes: usize,
    returns: Returns,
    /// The beginning of a line, or of a row, whose end has not come yet.
    held: Vec<u8>,
    /// Whether a carriage return stands behind it, of which it is not known yet whether it is a line's end.
    has_return: bool,
    held_time: UnixNanos,
    /// Offset of the first byte that has not been given out.
    consumed: u64,
    /// Offset and number of parts of the long line that is being given out.
    parts: Option<(u64, u32)>,
}

impl Framer {
    /// Starts at offset `at` of the stream, which must be the start of a line.
    #[must_use]
    pub const fn new(max_line_bytes: usize, at: u64) -> Self {
        let returns = Returns::Bytes;
        Self { max_line_bytes, returns, held: Vec::new(), has_return: false, held_time: 0, consumed: at, parts: None }
    }

    /// Starts at offset `at`, inside a line if there is a rest of one.
    #[must_use]
    pub fn within(max_line_bytes: usize, at: u64, rest: Option<Rest>, returns: Returns) -> Self {
        Self { parts: rest.map(|rest| (rest.line_at, rest.parts)), returns, ..Self::new(max_line_bytes, at) }
    }

    /// Offset up to which all bytes have been given out: where reading would have to start again.
    #[must_use]
    pub const fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Whether nothing is held back: another framer could go on from here.
    #[must_use]
    pub const fn is_between_lines(&self) -> bool {
        self.held.is_empty() && !self.has_return && self.parts.is_none()
    }

    /// The row that waits for its end, if it is drawn over another one.
    #[must_use]
    pub fn row(&self) -> Option<&[u8]> {
        let is_row = self.returns != Returns::Bytes && self.parts.is_none() && self.held.first() == Some(&b'\r');
        is_row.then_some(self.held.as_slice())
    }

    /// Says what carriage returns are from the next bytes on.
    pub const fn are_returns(&mut self, returns: Returns) {
        self.returns = returns;
    }

    /// Gives that row out as it is.
    pub fn give_out_row(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.held.is_empty() {
            self.give_out(Cut::Return, &mut each);
        }
    }

    /// Gives out the lines that are complete with this chunk.
    pub fn feed(&mut self, chunk: &Chunk, each: impl FnMut(Line<'_>)) {
        self.feed_range(chunk, 0..chunk.data.len(), each);
    }

    /// The same with those bytes of the chunk, those before them having been fed. Its ending counts behind the last one.
    pub fn feed_range(&mut self, chunk: &Chunk, range: Range<usize>, mut each: impl FnMut(Line<'_>)) {
        let (mut start, data) = (range.start, &chunk.data[..range.end]);
        if self.consumed == 0 {
            start += self.byte_order_mark(&data[start..]);
        }
        let mut marks = Marks { marks: &chunk.marks, next: 0 };
        if !self.is_between_lines() {
            let end = memchr(b'\n', &data[start..]).map_or(data.len(), |length| start + length + 1);
            self.hold(&data[start..end], start, &mut marks, &mut each);
            marks.skip(end);
            start = end;
        }
        // Line ends never stand inside a UTF-8 sequence, so one look over all lines speaks for each of them.
        let all_utf8 = memchr::memrchr(b'\n', &data[start..])
            .is_some_and(|last| simdutf8::basic::from_utf8(&data[start..=start + last]).is_ok());
        while let Some(length) = memchr(b'\n', &data[start..]) {
            let time = marks.at(start);
            if length > self.max_line_bytes && without_cr(&data[start..start + length]).len() > self.max_line_bytes {
                self.held_time = time;
                self.hold(&data[start..=start + length], start, &mut marks, &mut each);
            } else {
                let bytes = without_cr(&data[start..start + length]);
                let is_utf8 = all_utf8 || simdutf8::basic::from_utf8(bytes).is_ok();
                let at = self.consumed;
                self.consumed += length as u64 + 1;
                each(Line { is_utf8, time, ..Line::bare(at, self.consumed, bytes) });
            }
            start += length + 1;
        }
        if start < data.len() {
            self.held_time = marks.at(start);
            self.hold(&data[start..], start, &mut marks, &mut each);
        }
        if range.end < chunk.data.len() {
            return;
        }
        match chunk.ending {
            Ending::Open | Ending::Silent => {}
            Ending::Stopped if self.held.is_empty() => {}
            Ending::Stopped => self.give_out(Cut::Part, &mut each),
            Ending::Closed => self.close(&mut each),
        }
    }

    /// How many of these bytes, the first of the stream, belong to the mark, if they are it: it may come in pieces.
    fn byte_order_mark(&mut self, data: &[u8]) -> usize {
        let missing = BYTE_ORDER_MARK.strip_prefix(self.held.as_slice()).unwrap_or_default();
        if missing.is_empty() || !data.starts_with(missing) {
            return 0;
        }
        self.held.clear();
        self.consumed = BYTE_ORDER_MARK.len() as u64;
        missing.len()
    }

    /// Takes the next piece of the held line and gives out what is complete: rows, parts, or the line if `piece` ends it.
    /// `piece` begins at that index of its chunk.
    fn hold(&mut self, mut piece: &[u8], mut index: usize, marks: &mut Marks<'_>, each: &mut impl FnMut(Line<'_>)) {
        let terminated = piece.last() == Some(&b'\n');
        if terminated {
            piece = &piece[..piece.len() - 1];
        }
        if self.has_return && !piece.is_empty() {
            self.has_return = false;
            self.put_return(marks.at(index), each);
        }
        // A carriage return that comes last may belong to the line's end, which counts for no length.
        let ends_in_return = piece.last() == Some(&b'\r');
        if ends_in_return {
            piece = &piece[..piece.len() - 1];
        }
        if self.returns != Returns::Bytes {
            while let Some(at) = memchr(b'\r', piece) {
                self.put(&piece[..at], each);
                self.put_return(marks.at(index + at), each);
                (piece, index) = (&piece[at + 1..], index + at + 1);
            }
        }
        self.put(piece, each);
        self.has_return |= ends_in_return;
        if terminated {
            self.give_out(Cut::Newline, each);
        }
    }

    /// A carriage return behind the held bytes, which came then and is not the line's end.
    fn put_return(&mut self, time: UnixNanos, each: &mut impl FnMut(Line<'_>)) {
        if self.begins_row() {
            if !self.held.is_empty() {
                self.give_out(Cut::Return, each);
            }
            // A rest that nothing has come of: the row that it is of has ended.
            self.parts = None;
            self.held.push(b'\r');
            self.held_time = time;
        } else {
            self.put(b"\r", each);
        }
    }

    /// Whether a carriage return behind what is held begins another row.
    fn begins_row(&self) -> bool {
        match self.returns {
            Returns::Bytes => false,
            Returns::Rows => true,
            Returns::RowsOfBare(max_bytes) => {
                let is_bare = self.held.first() == Some(&b'\r') || !wrapped::is_like(&self.held);
                self.parts.is_none() && self.held.len() <= max_bytes && is_bare
            }
        }
    }

    /// Holds more bytes, and gives out parts.
    fn put(&mut self, mut piece: &[u8], each: &mut impl FnMut(Line<'_>)) {
        while self.held.len() + piece.len() > self.max_line_bytes {
            let (now, later) = piece.split_at(self.max_line_bytes.saturating_sub(self.held.len()));
            self.held.extend_from_slice(now);
            piece = later;
            // A character is not torn between two parts.
            let whole = floor_char_boundary(&self.held);
            let rest = self.held.split_off(whole);
            self.give_out(Cut::Part, each);
            self.held = rest;
        }
        self.held.extend_from_slice(piece);
    }

    fn close(&mut self, each: &mut impl FnMut(Line<'_>)) {
        if !self.is_between_lines() {
            self.give_out(Cut::StreamEnd, each);
        }
    }

    fn give_out(&mut self, cut: Cut, each: &mut impl FnMut(Line<'_>)) {
        let ends_line = cut != Cut::Part;
        let part = match (&mut self.parts, ends_line) {
            (None, true) => None,
            (None, false) => {
                self.parts = Some((self.consumed, 1));
                Some(Part { line_at: self.consumed, index: 0, is_last: false })
            }
            (Some((line_at, count)), is_last) => {
                let part = Part { line_at: *line_at, index: *count, is_last };
                *count += 1;
                Some(part)
            }
        };
        let bytes = self.held.as_slice();
        let is_utf8 = simdutf8::basic::from_utf8(bytes).is_ok();
        let at = self.consumed;
        self.consumed += bytes.len() as u64;
        if matches!(cut, Cut::Newline | Cut::StreamEnd) {
            self.consumed += u64::from(std::mem::take(&mut self.has_return)) + u64::from(cut == Cut::Newline);
        }
        let is_overwritten = cut == Cut::Return;
        each(Line { is_utf8, time: self.held_time, part, is_overwritten, ..Line::bare(at, self.consumed, bytes) });
        self.held.clear();
        if ends_line {
            self.parts = None;
        }
    }
}

/// Why a held piece is given out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Part,
    /// Before a carriage return.
    Return,
    Newline,
    StreamEnd,
}

/// Walks along the times of a chunk.
struct Marks<'a> {
    marks: &'a [crate::record::Mark],
    next: usize,
}

impl Marks<'_> {
    fn skip(&mut self, index: usize) {
        while self.marks.get(self.next).is_some_and(|mark| mark.end <= index) {
            self.next += 1;
        }
    }

    fn at(&mut self, index: usize) -> UnixNanos {
        self.skip(index);
        self.marks.get(self.next).map_or(0, |mark| mark.time)
    }
}

pub(super) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where to cut so that no UTF-8 sequence is torn. Bytes that are not UTF-8 are cut where they end.
pub(super) fn floor_char_boundary(bytes: &[u8]) -> usize {
    let length = bytes.len();
    for back in 1..=3.min(length.saturating_sub(1)) {
        let byte = bytes[length - back];
        let sequence = match byte {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => return length,
        };
        return if sequence > back { length - back } else { length };
    }
    length
}

#[cfg(test)]
mod tests;
