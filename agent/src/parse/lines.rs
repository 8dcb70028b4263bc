//! The lines of one stream, as they were printed.

use memchr::memchr;

use crate::record::{Chunk, Ending, Format, Lane, Origin, ReadTo, origin::Left};

use super::{
    Config, Framer, Line,
    frame::{Rest, Returns},
    terminal::{self, Screens, Which},
    wrapped::{End, Unwrapper},
};

/// Finds the lines of one stream, takes off what a container runtime wrapped around them, and folds what they draw.
///
/// Holds at most one line's beginning, and one in each [`crate::record::Lane`] if lines are wrapped; and the newest
/// state of each progress bar.
#[derive(Debug)]
pub struct Lines {
    framer: Framer,
    unwrapper: Option<Box<Unwrapper>>,
    terminal: Option<terminal::Config>,
    /// Once something was drawn.
    screens: Option<Box<Screens>>,
}

impl Lines {
    /// Starts at offset `at` of the stream: where it was left, or between lines.
    #[must_use]
    pub fn new(config: &Config, origin: &Origin, at: u64) -> Self {
        let Left { read_to, inside_line, .. } = origin.left;
        let Config { max_line_bytes, terminal, .. } = *config;
        let given_to = read_to.lanes[Lane::Bare as usize];
        let inside_line = inside_line.filter(|_| at == read_to.offset);
        let rest = inside_line.map(|line_at| Rest::of(line_at, given_to, max_line_bytes));
        let returns = if terminal.is_some() { Returns::Rows } else { Returns::Bytes };
        match origin.format {
            Format::Plain => {
                let framer = Framer::within(max_line_bytes, at, rest, returns);
                Self { framer, unwrapper: None, terminal, screens: None }
            }
            Format::Auto | Format::Docker | Format::Cri => {
                let unwrapper = Unwrapper::new(origin.format, max_line_bytes, read_to, rest, returns);
                // A carriage return stands behind what a runtime puts before a line, so what a line is can be told by then.
                let is_open = origin.format == Format::Auto && terminal.is_some();
                let outer = if is_open { Returns::RowsOfBare(max_line_bytes) } else { Returns::Bytes };
                let framer = Framer::within(unwrapper.max_outer_bytes(), at, rest, outer);
                let unwrapper = Some(Box::new(unwrapper));
                Self { framer, unwrapper, terminal, screens: None }
            }
        }
    }

    /// Gives out the lines that are complete with this chunk.
    pub fn feed(&mut self, chunk: &Chunk, mut each: impl FnMut(Line<'_>)) {
        let Some(config) = self.terminal else { return self.find(chunk, each) };
        let is_quiet = self.screens.as_ref().is_none_or(|screens| screens.are_quiet());
        // One look over all bytes speaks for each line, if none was begun before.
        if is_quiet && self.unwrapper.is_none() && self.framer.is_between_lines() && Screens::are_text(&chunk.data) {
            return self.find(chunk, each);
        }
        let is_wrapped = self.unwrapper.is_some();
        let mut screens = self.screens.take().unwrap_or_else(|| Box::new(Screens::new(config, is_wrapped)));
        self.find(chunk, |line| screens.line(line, chunk.observed, &mut each));
        match chunk.ending {
            Ending::Open => {}
            Ending::Silent => {
                // Most bars begin with the carriage return, so the newest state has no end before the next one comes.
                if self.framer.row().is_some_and(Screens::is_bar) {
                    let mut draw = |line: Line<'_>| screens.line(line, chunk.observed, &mut each);
                    match &self.unwrapper {
                        Some(unwrapper) => self.framer.give_out_row(|line| unwrapper.row(line, &mut draw)),
                        None => self.framer.give_out_row(draw),
                    }
                }
                screens.flush(Which::Due, chunk.observed, self.found_to(), &mut each);
            }
            Ending::Stopped | Ending::Closed => {
                screens.flush(Which::All, chunk.observed, self.found_to(), &mut each);
            }
        }
        self.screens = Some(screens);
    }

    /// Gives out the lines as they were printed.
    fn find(&mut self, chunk: &Chunk, mut each: impl FnMut(Line<'_>)) {
        let Some(unwrapper) = &mut self.unwrapper else { return self.framer.feed(chunk, each) };
        let (mut start, all) = (0, chunk.data.len());
        loop {
            // The first line tells what carriage returns are behind it, so it is cut alone.
            let first = if unwrapper.is_told() { None } else { memchr(b'\n', &chunk.data[start..]) };
            let end = first.map_or(all, |length| start + length + 1);
            self.framer.feed_range(chunk, start..end, |line| {
                if line.is_overwritten {
                    return unwrapper.row(line, &mut each);
                }
                unwrapper.line(&line, &mut each);
            });
            if unwrapper.is_wrapped() {
                // What is not wrapped among such lines is no drawing.
                self.framer.are_returns(Returns::Bytes);
            }
            start = end;
            if start == all {
                break;
            }
        }
        match chunk.ending {
            Ending::Open => {}
            Ending::Silent | Ending::Closed => unwrapper.flush(self.framer.consumed(), End::Line, &mut each),
            Ending::Stopped => unwrapper.flush(self.framer.consumed(), End::Part, &mut each),
        }
    }

    /// Whether pieces of a line wait for more of it, or states of progress bars for the next one.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.unwrapper.as_ref().is_some_and(|unwrapper| unwrapper.is_waiting())
            || self.screens.as_ref().is_some_and(|screens| screens.are_waiting())
            || self.framer.row().is_some()
    }

    /// Whether nothing at all is held back: reading could go on from here with nothing remembered.
    #[must_use]
    pub fn is_between_lines(&self) -> bool {
        self.framer.is_between_lines()
            && !self.is_waiting()
            && self.screens.as_ref().is_none_or(|screens| screens.are_quiet())
    }

    /// How far the stream is given out.
    #[must_use]
    pub fn read_to(&self) -> ReadTo {
        self.screens.as_ref().map_or(self.found_to(), |screens| screens.read_to(self.found_to()))
    }

    /// How many states of progress bars were drawn over since this was asked last.
    pub fn take_folded(&mut self) -> u64 {
        self.screens.as_mut().map_or(0, |screens| screens.take_folded())
    }

    fn found_to(&self) -> ReadTo {
        let consumed = self.framer.consumed();
        self.unwrapper.as_ref().map_or(ReadTo::whole(consumed), |unwrapper| unwrapper.read_to(consumed))
    }
}
