//! Cuts a stream of bytes into lines.

use memchr::memchr;

use crate::record::{Chunk, Ending, Lane, ReadTo, UnixNanos};

/// One line, or one part of a line that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Offset of the first byte in the stream.
    pub at: u64,
    /// How far the stream is given out with this line.
    pub read_to: ReadTo,
    /// The bytes without the line's end: `\n` or `\r\n`.
    pub bytes: &'a [u8],
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
}

impl<'a> Line<'a> {
    /// A line of UTF-8 that nothing is wrapped around; the next one starts at offset `end`.
    pub(crate) const fn bare(at: u64, end: u64, bytes: &'a [u8]) -> Self {
        let read_to = ReadTo::whole(end);
        Self { at, read_to, bytes, is_utf8: true, time: 0, part: None, lane: Lane::Bare, attributes: &[] }
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
    /// Goes on at offset `at`. The parts were as long as they may be, and the last one ended with the stream.
    pub fn of(line_at: u64, at: u64, max_line_bytes: usize) -> Self {
        let whole_parts = (at - line_at) / max_line_bytes.max(1) as u64;
        Self { line_at, parts: u32::try_from(whole_parts).unwrap_or(u32::MAX).saturating_add(1) }
    }
}

/// What some programs put before the first byte of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds the lines of one stream, whatever pieces it comes in.
///
/// Holds at most one line's beginning, never more than the longest line allowed.
#[derive(Debug)]
pub struct Framer {
    max_line_bytes: usize,
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
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
        Self { max_line_bytes, held: Vec::new(), held_time: 0, consumed: at, parts: None }
    }

    /// Starts at offset `at`, inside a line if there is a rest of one.
    #[must_use]
    pub fn within(max_line_bytes: usize, at: u64, rest: Option<Rest>) -> Self {
        Self { parts: rest.map(|rest| (rest.line_at, rest.parts)), ..Self::new(max_line_bytes, at) }
    }

    /// Offset up to which all bytes have been given out: where reading would have to start again.
    #[must_use]
    pub const fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Whether nothing is held back: another framer could go on from here.
    #[must_use]
    pub const fn is_between_lines(&self) -> bool {
        self.held.is_empty() && self.parts.is_none()
    }

    /// Gives out the lines that are complete with this chunk.
    pub fn feed(&mut self, chunk: &Chunk, mut each: impl FnMut(Line<'_>)) {
        let mut data = chunk.data.as_slice();
        if self.consumed == 0 {
            data = self.without_byte_order_mark(data);
        }
        let mut marks = Marks { marks: &chunk.marks, next: 0 };
        if !self.held.is_empty() || self.parts.is_some() {
            let end = memchr(b'\n', data).map_or(data.len(), |newline| newline + 1);
            self.hold(&data[..end], &mut each);
            marks.skip(end);
            data = &data[end..];
        }
        // Line ends never stand inside a UTF-8 sequence, so one look over all lines speaks for each of them.
        let all_utf8 =
            memchr::memrchr(b'\n', data).is_some_and(|last| simdutf8::basic::from_utf8(&data[..=last]).is_ok());
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &data[start..]) {
            let time = marks.at(chunk.data.len() - data.len() + start);
            if length > self.max_line_bytes {
                self.held_time = time;
                self.hold(&data[start..=start + length], &mut each);
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
            self.held_time = marks.at(chunk.data.len() - data.len() + start);
            self.hold(&data[start..], &mut each);
        }
        match chunk.ending {
            Ending::Open | Ending::Silent => {}
            Ending::Stopped if self.held.is_empty() => {}
            Ending::Stopped => self.give_out(Cut::Part, &mut each),
            Ending::Closed => self.close(&mut each),
        }
    }

    /// The first bytes of the stream without the mark, if they are it: it may come in pieces.
    fn without_byte_order_mark<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let Some(missing) = BYTE_ORDER_MARK.strip_prefix(self.held.as_slice()) else { return data };
        let Some(rest) = data.strip_prefix(missing).filter(|_| !missing.is_empty()) else { return data };
        self.held.clear();
        self.consumed = BYTE_ORDER_MARK.len() as u64;
        rest
    }

    /// Takes the next piece of the held line and gives out what is complete: parts, or the line if `piece` ends it.
    fn hold(&mut self, mut piece: &[u8], each: &mut impl FnMut(Line<'_>)) {
        let terminated = piece.last() == Some(&b'\n');
        if terminated {
            piece = &piece[..piece.len() - 1];
        }
        while self.held.len() + piece.len() > self.max_line_bytes {
            let (now, later) = piece.split_at(self.max_line_bytes - self.held.len());
            self.held.extend_from_slice(now);
            piece = later;
            // A character is not torn between two parts.
            let whole = floor_char_boundary(&self.held);
            let rest = self.held.split_off(whole);
            self.give_out(Cut::Part, each);
            self.held = rest;
        }
        self.held.extend_from_slice(piece);
        if terminated {
            self.give_out(Cut::Newline, each);
        }
    }

    fn close(&mut self, each: &mut impl FnMut(Line<'_>)) {
        if !self.held.is_empty() || self.parts.is_some() {
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
        let bytes = if ends_line { without_cr(&self.held) } else { &self.held };
        let is_utf8 = simdutf8::basic::from_utf8(bytes).is_ok();
        let at = self.consumed;
        self.consumed += self.held.len() as u64 + u64::from(cut == Cut::Newline);
        each(Line { is_utf8, time: self.held_time, part, ..Line::bare(at, self.consumed, bytes) });
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
