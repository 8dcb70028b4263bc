//! The terminals of a stream, one for each of its lanes.

use super::{Config, Line, Scene, Terminal, is_bar, may_draw};
use crate::record::{Lane, ReadTo, UnixNanos};

/// Folds what a stream draws.
#[derive(Debug)]
pub struct Screens {
    config: Config,
    is_wrapped: bool,
    lanes: [Terminal; Lane::COUNT],
}

impl Screens {
    /// Of a stream of which nothing was drawn yet. `is_wrapped` if a container runtime wrapped its lines.
    pub fn new(config: Config, is_wrapped: bool) -> Self {
        Self { config, is_wrapped, lanes: Default::default() }
    }

    /// Whether bytes act on no screen and are no bar.
    pub fn are_text(bytes: &[u8]) -> bool {
        !may_draw(bytes)
    }

    /// Whether a row is a bar's and holds nothing else.
    pub fn is_bar(row: &[u8]) -> bool {
        is_bar(row)
    }

    /// Whether nothing is remembered.
    pub fn are_quiet(&self) -> bool {
        self.lanes.iter().all(Terminal::is_quiet)
    }

    /// Whether states of bars are held.
    pub fn are_waiting(&self) -> bool {
        self.lanes.iter().any(Terminal::is_waiting)
    }

    /// Takes a line, or a row of one that is drawn over, that came at `now`, and gives out what is complete with it.
    pub fn line(&mut self, line: Line<'_>, now: UnixNanos, each: &mut impl FnMut(Line<'_>)) {
        // Where no lane holds anything, nothing has to be asked about the others.
        let is_text = !line.is_overwritten && !may_draw(line.bytes);
        if is_text && self.are_quiet() {
            return each(line);
        }
        let others = self.held_in(|lane| lane != line.lane as usize);
        let mut each = |given: Line<'_>| each(Line { read_to: others.hold(given.read_to), ..given });
        let screen = &mut self.lanes[line.lane as usize];
        if is_text && screen.is_quiet() {
            return each(line);
        }
        let now = if line.time == 0 { now } else { line.time };
        screen.line(Scene { line, now, config: self.config, is_wrapped: self.is_wrapped }, &mut each);
    }

    /// Gives out states of bars that are due at `now`, or all of them: nothing more comes. The stream is given out up to
    /// there but for them.
    pub fn flush(&mut self, which: Which, now: UnixNanos, read_to: ReadTo, each: &mut impl FnMut(Line<'_>)) {
        for (lane, name) in [Lane::Bare, Lane::Stdout, Lane::Stderr].into_iter().enumerate() {
            let others = self.held_in(|other| other != lane);
            let mut each = |given: Line<'_>| each(Line { read_to: others.hold(given.read_to), ..given });
            let line = Line { lane: name, read_to, ..Line::bare(read_to.offset, read_to.offset, b"") };
            let scene = Scene { line, now, config: self.config, is_wrapped: self.is_wrapped };
            match which {
                Which::Due => self.lanes[lane].give_due(scene, 0, &mut each),
                Which::All => self.lanes[lane].flush(scene, &mut each),
            }
        }
    }

    /// How far the stream is given out, if it is up to `read_to` but for what is held here.
    pub fn read_to(&self, read_to: ReadTo) -> ReadTo {
        self.held_in(|_| true).hold(read_to)
    }

    /// How many states were drawn over since this was asked last.
    pub fn take_folded(&mut self) -> u64 {
        self.lanes.iter_mut().map(|lane| std::mem::take(&mut lane.folded)).sum()
    }

    fn held_in(&self, is_meant: impl Fn(usize) -> bool) -> Held {
        let mut held = Held { is_wrapped: self.is_wrapped, lanes: [None; Lane::COUNT] };
        for (lane, screen) in self.lanes.iter().enumerate().filter(|(lane, _)| is_meant(*lane)) {
            held.lanes[lane] = screen.held_from();
        }
        held
    }
}

/// Which states of bars are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that have waited for long enough.
    Due,
    /// All.
    All,
}

/// Where reading would have to start for what is held, and from which name on, for each lane.
struct Held {
    is_wrapped: bool,
    lanes: [Option<(u64, u64)>; Lane::COUNT],
}

impl Held {
    fn hold(&self, mut read_to: ReadTo) -> ReadTo {
        for (lane, held) in self.lanes.iter().enumerate() {
            let Some((read_from, at)) = held else { continue };
            if !self.is_wrapped {
                return ReadTo::whole(read_to.offset.min(*at));
            }
            read_to.offset = read_to.offset.min(*read_from);
            read_to.lanes[lane] = read_to.lanes[lane].min(*at);
        }
        read_to
    }
}
