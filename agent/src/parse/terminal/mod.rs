//! What is printed to be drawn over: progress bars, and the escape sequences that draw them.
//!
//! A row ends at a newline, at a carriage return, or where a sequence moves the cursor. What is drawn over is dropped
//! if it is an earlier state of what takes its place, and counted; else it is a line of its own. So no order of carriage
//! returns and cursor movements costs a line, and nobody has to know how high the screen is.
//!
//! The states of a bar are told by its name (`progress::Bar::key`), not by its place on the screen. The newest state is
//! held until it is complete, is due, or nothing more comes. A position does not pass it unless a line behind it was
//! given out: then it is in memory only, and `kill -9` takes it, as the next state would have.

mod bars;
mod escape;
mod progress;
mod row;
mod screens;
mod shape;

use std::time::Duration;

use memchr::{memchr2, memchr3};

use super::{Line, detect};
use crate::record::{
    ReadTo, UnixNanos,
    wire::{Value, record_attribute},
};
use bars::{Bar, MAX_BARS};
pub use escape::ESCAPE;
use progress::Progress;
use row::{Cut, Text};
pub use screens::{Screens, Which};
use shape::shape;

/// How often progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// A state of a bar becomes a record this long after the one before, if the bar is not finished before.
    pub progress_every: Duration,
}

/// Longer rows are lines, not bars.
const MAX_ROW_BYTES: usize = 4096;

/// Whether bytes may act on a terminal, or be a bar's: without these they are text.
fn may_draw(bytes: &[u8]) -> bool {
    // The third one begins what bars are drawn with.
    memchr3(b'\r', ESCAPE, 0xe2, bytes).is_some()
}

/// Whether a row is a bar's and holds nothing else.
fn is_bar(raw: &[u8]) -> bool {
    let mut text = Text::default();
    let raw = raw.strip_prefix(b"\r").unwrap_or(raw);
    let (_, cut) = text.read(raw);
    let shown = text.bytes.trim_ascii_end();
    cut == Cut::End && progress::bar(shown).is_some_and(|bar| bar.is_certain && bar.end == shown.len())
}

/// Folds what one lane of a stream draws.
#[derive(Debug, Default)]
pub struct Terminal {
    /// What was drawn on the row so far.
    row: Row,
    bars: Vec<Bar>,
    /// The name of the first byte behind what was given out last.
    given_to: u64,
    /// States that were drawn over since this was asked for.
    folded: u64,
    /// The text of a row; used again for the next one, as the attributes of a line are.
    text: Text,
    encoded: Vec<u8>,
}

/// What the row is that the cursor stands on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    /// Whether text is drawn over what may be there.
    is_over: bool,
    /// Whether there was text, or may have been.
    is_used: bool,
    /// The bar that was drawn on it.
    bar: Option<u64>,
}

/// What a line is read with.
#[derive(Clone, Copy)]
struct Scene<'a> {
    line: Line<'a>,
    now: UnixNanos,
    config: Config,
    /// Whether something is wrapped around the stream's lines.
    is_wrapped: bool,
}

impl Scene<'_> {
    /// How far the stream is given out before the byte of the line that stands there.
    fn read_to(&self, index: usize) -> ReadTo {
        let line = &self.line;
        if index >= line.bytes.len() {
            return line.read_to;
        }
        let at = line.name(index);
        if !self.is_wrapped {
            return ReadTo::whole(at);
        }
        let mut read_to = ReadTo { offset: line.read_to.offset.min(line.read_from), ..line.read_to };
        read_to.lanes[line.lane as usize] = at;
        read_to
    }
}

/// A row of a line.
#[derive(Clone, Copy)]
struct Drawn<'a> {
    text: &'a Text,
    /// Where it begins in the line, with what moved the cursor to it; where its text does; and where it ends.
    start: usize,
    text_start: usize,
    end: usize,
    /// Whether a newline ends it.
    has_ended: bool,
}

impl Terminal {
    /// Whether a line of text would be given out as it is.
    fn is_quiet(&self) -> bool {
        self.bars.is_empty() && self.row == Row::default()
    }

    /// Whether states of bars are held.
    fn is_waiting(&self) -> bool {
        self.bars.iter().any(|bar| !bar.is_given)
    }

    /// Where reading would have to start, and from which name on, for what is held since a line was given out last.
    fn held_from(&self) -> Option<(u64, u64)> {
        let held = self.bars.iter().filter(|bar| !bar.is_given && bar.at >= self.given_to);
        held.map(|bar| (bar.read_from, bar.at)).min_by_key(|(_, at)| *at)
    }

    /// Takes a line, or a row of one that is drawn over, and gives out what is complete with it.
    fn line(&mut self, scene: Scene<'_>, each: &mut impl FnMut(Line<'_>)) {
        let line = &scene.line;
        if let Some(part) = line.part {
            // Too long for a bar, and maybe cut inside a sequence: it stays as it is.
            self.settle(scene, 0, each);
            self.given_to = line.read_to.lanes[line.lane as usize];
            each(*line);
            self.row = if part.is_last && !line.is_overwritten {
                Row::default()
            } else {
                Row { is_used: true, ..Row::default() }
            };
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        let (mut start, mut text_start) = (0, 0);
        let is_drawn = line.is_overwritten || memchr2(b'\r', ESCAPE, line.bytes).is_some();
        loop {
            let (length, cut) = if is_drawn { text.read(&line.bytes[text_start..]) } else { text.copy(line.bytes) };
            let end = text_start + length;
            let has_ended = cut == Cut::End && !line.is_overwritten;
            let is_blank = text.bytes.trim_ascii().is_empty();
            self.drawn(Drawn { text: &text, start, text_start, end, has_ended }, scene, each);
            // Not between two rows: what comes next may be the newer state.
            if !is_blank || has_ended {
                self.give_due(scene, end, each);
            }
            let move_bytes = match cut {
                Cut::End => break,
                Cut::Return => 1,
                Cut::Move(bytes) => {
                    self.row = Row { is_used: true, ..Row::default() };
                    bytes
                }
            };
            self.row.is_over = true;
            (start, text_start) = (end, end + move_bytes);
        }
        self.row =
            if line.is_overwritten { Row { is_over: true, ..std::mem::take(&mut self.row) } } else { Row::default() };
        self.text = text;
    }

    fn drawn(&mut self, drawn: Drawn<'_>, scene: Scene<'_>, each: &mut impl FnMut(Line<'_>)) {
        let shown = drawn.text.bytes.as_slice();
        if shown.trim_ascii().is_empty() {
            match self.row.bar {
                Some(key) if drawn.has_ended => self.row_ended(key, scene, drawn.end, each),
                None if drawn.has_ended && !self.row.is_used => self.text(drawn, 0, None, scene, each),
                _ => {}
            }
            return;
        }
        let is_over = self.row.is_over || !drawn.has_ended;
        self.row.is_used = true;
        let bar = if shown.len() > MAX_ROW_BYTES { None } else { progress::bar(shown) };
        let (key, progress, is_certain, length) = match bar {
            Some(bar) => (bar.key, Some(bar.progress), bar.is_certain, bar.end),
            // Nothing of it is counted, so it has no total.
            None => (!shape(shown), None, false, shown.len()),
        };
        let is_glued = !shown[length..].trim_ascii().is_empty();
        let is_known = self.bars.iter().any(|bar| bar.key == key);
        let is_state = match (is_certain, drawn.has_ended && !is_glued) {
            (true, _) => is_over || is_known,
            // It may be a message that only looks so, unless it was drawn before.
            (false, true) => is_over && is_known,
            (false, false) => is_over && shown.len() <= MAX_ROW_BYTES && detect(&shown[..length]).is_none(),
        };
        if !is_state {
            return self.text(drawn, 0, progress.filter(|_| is_certain && !is_glued), scene, each);
        }
        let state = Bar {
            key,
            text: shown[..length].trim_ascii().to_vec(),
            is_utf8: scene.line.is_utf8,
            shape: shape(&shown[..length]),
            progress,
            is_certain,
            at: scene.line.name(drawn.start),
            read_from: scene.line.read_from,
            time: scene.now,
            attributes: scene.line.attributes.to_vec(),
            folded: 0,
            since: scene.now,
            is_given: false,
            has_ended: false,
        };
        self.row.bar = Some(key);
        self.state(state, scene, drawn, each);
        if is_glued {
            self.text(drawn, length, None, scene, each);
        } else if drawn.has_ended {
            self.row_ended(key, scene, drawn.end, each);
        }
    }

    /// Takes the next state of a bar.
    fn state(&mut self, state: Bar, scene: Scene<'_>, drawn: Drawn<'_>, each: &mut impl FnMut(Line<'_>)) {
        let before = scene.read_to(drawn.start);
        let Some(index) = self.bars.iter().position(|bar| bar.key == state.key) else {
            self.give_where(scene, before, Bar::is_complete, each);
            if self.bars.len() >= MAX_BARS {
                self.give(0, scene, before, each);
                self.bars.remove(0);
            }
            return self.bars.push(state);
        };
        let held = &mut self.bars[index];
        if held.begins_anew_with(state.progress) {
            self.give(index, scene, before, each);
            self.bars[index] = state;
            return;
        }
        // The last state is often drawn twice, the second time with the newline.
        let is_told = held.is_given && held.is_finished() && state.is_finished() && held.shape == state.shape;
        if is_told || !held.is_given {
            held.folded += 1;
            self.folded += 1;
        }
        let (folded, since) = (held.folded, held.since);
        *held = Bar { folded, since, is_given: is_told, ..state };
    }

    /// The row of a bar has ended with a newline: it goes on only if the cursor comes back to it.
    fn row_ended(&mut self, key: u64, scene: Scene<'_>, end: usize, each: &mut impl FnMut(Line<'_>)) {
        let Some(index) = self.bars.iter().position(|bar| bar.key == key) else { return };
        let bar = &mut self.bars[index];
        bar.has_ended = true;
        if bar.is_complete() || !bar.is_certain {
            self.give(index, scene, scene.read_to(end), each);
            self.bars.remove(index);
        }
    }

    /// Gives out a row as a line, from that byte of its text on.
    fn text(
        &mut self,
        drawn: Drawn<'_>,
        from: usize,
        progress: Option<Progress>,
        scene: Scene<'_>,
        each: &mut impl FnMut(Line<'_>),
    ) {
        let raw = if from == 0 { drawn.start } else { drawn.text_start + drawn.text.raw_index(from) };
        self.settle(scene, raw, each);
        self.row.bar = None;
        let (line, bytes) = (&scene.line, &drawn.text.bytes[from..]);
        self.encoded.clear();
        self.encoded.extend_from_slice(line.attributes);
        if let Some(progress) = progress {
            progress.encode(&mut self.encoded);
        }
        let (at, read_to) = (line.name(raw), scene.read_to(drawn.end));
        let is_utf8 = line.is_utf8 || simdutf8::basic::from_utf8(bytes).is_ok();
        self.given_to = read_to.lanes[line.lane as usize];
        let attributes = self.encoded.as_slice();
        each(Line { at, read_to, bytes, names: &[], is_utf8, attributes, is_overwritten: false, ..*line });
    }

    /// Gives out what cannot change any more, before a line that is printed behind it.
    fn settle(&mut self, scene: Scene<'_>, index: usize, each: &mut impl FnMut(Line<'_>)) {
        let is_over = self.row.is_over;
        let is_settled = |bar: &Bar| bar.is_complete() || bar.has_ended && !is_over;
        self.give_where(scene, scene.read_to(index), is_settled, each);
    }

    /// Gives out all that is held.
    fn flush(&mut self, scene: Scene<'_>, each: &mut impl FnMut(Line<'_>)) {
        self.give_where(scene, scene.line.read_to, |_| true, each);
        self.bars.clear();
        self.row = Row::default();
    }

    /// Gives out the states that have waited for long enough.
    fn give_due(&mut self, scene: Scene<'_>, end: usize, each: &mut impl FnMut(Line<'_>)) {
        let every = u64::try_from(scene.config.progress_every.as_nanos()).unwrap_or(u64::MAX);
        self.give_where(scene, scene.read_to(end), |bar| scene.now.saturating_sub(bar.since) >= every, each);
    }

    /// Gives out those states, first come first, the stream being given out up to there with the last one.
    fn give_where(
        &mut self,
        scene: Scene<'_>,
        read_to: ReadTo,
        is_meant: impl Fn(&Bar) -> bool,
        each: &mut impl FnMut(Line<'_>),
    ) {
        let next = |bars: &[Bar]| {
            let meant = bars.iter().enumerate().filter(|(_, bar)| !bar.is_given && is_meant(bar));
            meant.min_by_key(|(_, bar)| bar.at).map(|(index, _)| index)
        };
        while let Some(index) = next(&self.bars) {
            self.give(index, scene, read_to, each);
        }
    }

    /// Gives out the state of that bar, if it was not given out.
    fn give(&mut self, index: usize, scene: Scene<'_>, mut read_to: ReadTo, each: &mut impl FnMut(Line<'_>)) {
        if self.bars[index].is_given {
            return;
        }
        let (lane, at) = (scene.line.lane, self.bars[index].at);
        // A position does not pass what is complete and in no later state.
        let is_earlier = |bar: &Bar| !bar.is_given && bar.is_complete() && bar.at < at && bar.at >= self.given_to;
        if let Some(earlier) = self.bars.iter().position(is_earlier) {
            self.give(earlier, scene, read_to, each);
            return self.give(index, scene, read_to, each);
        }
        // What is held behind it is read again, if it has to be.
        let behind = self.bars.iter().filter(|bar| !bar.is_given && bar.at > at && bar.at >= self.given_to);
        if let Some(next) = behind.min_by_key(|bar| bar.at)
            && next.at < read_to.lanes[lane as usize]
        {
            if scene.is_wrapped {
                read_to.offset = read_to.offset.min(next.read_from);
                read_to.lanes[lane as usize] = next.at;
            } else {
                read_to = ReadTo::whole(next.at);
            }
        }
        self.given_to = read_to.lanes[lane as usize];
        let bar = &mut self.bars[index];
        if let Some(progress) = bar.progress {
            progress.encode(&mut bar.attributes);
        }
        if bar.folded > 0 {
            let folded = i64::try_from(bar.folded).unwrap_or(i64::MAX);
            record_attribute(&mut bar.attributes, "runlog.folded", Value::Int(folded));
        }
        (bar.is_given, bar.folded, bar.since) = (true, 0, scene.now);
        let is_utf8 = bar.is_utf8 || simdutf8::basic::from_utf8(&bar.text).is_ok();
        let Bar { read_from, time, text, attributes, .. } = &*bar;
        let line = Line { read_to, is_utf8, lane, attributes, ..Line::bare(at, at, text) };
        each(Line { read_from: *read_from, time: *time, ..line });
    }
}

#[cfg(test)]
mod tests;
