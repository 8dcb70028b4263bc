//! The lines of one stream, as they were printed.

use crate::record::{Chunk, Ending, Format, Origin, ReadTo, origin::Left};

use super::{
    Framer, Line,
    frame::Rest,
    wrapped::{End, Unwrapper},
};

/// Finds the lines of one stream and takes off what a container runtime wrapped around them.
///
/// Holds at most one line's beginning, and one in each [`crate::record::Lane`] if lines are wrapped.
#[derive(Debug)]
pub struct Lines {
    framer: Framer,
    unwrapper: Option<Box<Unwrapper>>,
}

impl Lines {
    /// Starts at offset `at` of the stream: where it was left, or between lines.
    #[must_use]
    pub fn new(max_line_bytes: usize, origin: &Origin, at: u64) -> Self {
        let Left { read_to, inside_line, .. } = origin.left;
        let rest = inside_line.filter(|_| at == read_to.offset).map(|line_at| Rest::of(line_at, at, max_line_bytes));
        match origin.format {
            Format::Plain => Self { framer: Framer::within(max_line_bytes, at, rest), unwrapper: None },
            Format::Auto | Format::Docker | Format::Cri => {
                let unwrapper = Unwrapper::new(origin.format, max_line_bytes, read_to, rest);
                let framer = Framer::within(unwrapper.max_outer_bytes(), at, rest);
                Self { framer, unwrapper: Some(Box::new(unwrapper)) }
            }
        }
    }

    /// Gives out the lines that are complete with this chunk.
    pub fn feed(&mut self, chunk: &Chunk, mut each: impl FnMut(Line<'_>)) {
        let Some(unwrapper) = &mut self.unwrapper else { return self.framer.feed(chunk, each) };
        self.framer.feed(chunk, |line| unwrapper.line(&line, &mut each));
        match chunk.ending {
            Ending::Open => {}
            Ending::Silent | Ending::Closed => unwrapper.flush(self.framer.consumed(), End::Line, &mut each),
            Ending::Stopped => unwrapper.flush(self.framer.consumed(), End::Part, &mut each),
        }
    }

    /// Whether pieces of a line wait for more of it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.unwrapper.as_ref().is_some_and(|unwrapper| unwrapper.is_waiting())
    }

    /// Whether nothing at all is held back: reading could go on from here with nothing remembered.
    #[must_use]
    pub fn is_between_lines(&self) -> bool {
        self.framer.is_between_lines() && !self.is_waiting()
    }

    /// How far the stream is given out.
    #[must_use]
    pub fn read_to(&self) -> ReadTo {
        let consumed = self.framer.consumed();
        self.unwrapper.as_ref().map_or(ReadTo::whole(consumed), |unwrapper| unwrapper.read_to(consumed))
    }
}
