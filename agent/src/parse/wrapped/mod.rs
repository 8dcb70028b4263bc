//! Lines that a container runtime wrapped, each with its time and the stream that it was printed to.
//!
//! A runtime cuts long lines in pieces and weaves stdout and stderr together in one file. Here the pieces become
//! lines again, as they were printed. What is not wrapped as expected is given out as it stands and says so.

mod attributes;
mod cri;
mod docker;
mod join;
mod reader;
mod stamp;

use crate::record::{Format, ReadTo};

use super::{
    Line,
    frame::{Rest, Returns},
};
pub use join::End;
use join::Joiner;
use reader::Reader;

/// A wrapped line is not taken apart if it is longer, unless lines may be: sixteen KiB of text, each byte escaped to
/// six, and room for what stands around it.
const MAX_OUTER_BYTES: usize = 128 * 1024;

/// Takes the wrapping off the lines of one stream.
#[derive(Debug)]
pub struct Unwrapper {
    reader: Reader,
    joiner: Joiner,
}

impl Unwrapper {
    /// Starts where the stream was left.
    pub fn new(format: Format, max_line_bytes: usize, left_at: ReadTo, rest: Option<Rest>, returns: Returns) -> Self {
        Self { reader: Reader::new(format), joiner: Joiner::new(max_line_bytes, left_at, rest, returns) }
    }

    /// How long wrapped lines may be.
    pub fn max_outer_bytes(&self) -> usize {
        self.joiner.max_line_bytes().max(MAX_OUTER_BYTES)
    }

    /// Takes the next wrapped line, or the next part of one, and gives out the lines that are complete with it.
    pub fn line(&mut self, line: &Line<'_>, each: &mut impl FnMut(Line<'_>)) {
        self.joiner.take(self.reader.read(line), each);
    }

    /// Gives out a row of a line that nothing is wrapped around.
    pub fn row<'a>(&self, line: Line<'a>, each: &mut impl FnMut(Line<'a>)) {
        if let Some(row) = self.joiner.row(line) {
            each(row);
        }
    }

    /// Gives out the beginnings of lines as they are, the stream having been read up to `consumed`: as lines, or as
    /// first parts of lines.
    pub fn flush(&mut self, consumed: u64, end: End, each: &mut impl FnMut(Line<'_>)) {
        self.joiner.flush(consumed, end, |lane| self.reader.attributes(lane), each);
    }

    /// Whether there are beginnings of lines.
    pub fn is_waiting(&self) -> bool {
        self.joiner.is_waiting()
    }

    /// Whether it is known if something is wrapped around the lines: the first line that is whole tells it.
    pub fn is_told(&self) -> bool {
        self.reader.is_told()
    }

    /// Whether something is wrapped around the lines, as far as that is known.
    pub fn is_wrapped(&self) -> bool {
        self.reader.is_wrapped()
    }

    /// How far the stream is given out if wrapped lines were read up to `consumed`.
    pub fn read_to(&self, consumed: u64) -> ReadTo {
        self.joiner.read_to(consumed)
    }
}

/// Whether a line, of which there may be more, begins as one that something is wrapped around.
pub fn is_like(line: &[u8]) -> bool {
    docker::is_like(line) || cri::split(line).is_some()
}

#[cfg(test)]
mod tests;
