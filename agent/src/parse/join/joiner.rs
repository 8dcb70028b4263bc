//! Holds the lines of one lane back until it is known which of them are one.

use std::time::{Duration, Instant};

use crate::{
    parse::{Found, Line, Part, Prefixes, detect},
    record::{ReadTo, Severity, UnixNanos},
};

use super::{
    Config, Family, Grammar, Next,
    held::{Held, Lines},
    opening::{Certainty, is_message_before_traceback, may_begin, opening},
};

/// How long a line waits that is one like any other unless what follows says otherwise. Who prints an exception behind
/// it prints both at once.
const HEAD_WAIT: Duration = Duration::from_millis(100);
/// How many waits other lines stay behind something that goes on and on.
const MAX_WAITS: u32 = 4;
/// No more lines are held.
const MAX_LINES: usize = 4096;

/// Joins the lines of one lane.
///
/// While something is open, what comes behind it in the lane is held as well, so that the order is kept and there is
/// one offset before which all is given out, and after which nothing is.
#[derive(Debug, Default)]
pub struct Joiner {
    lines: Lines,
    joins: Vec<Join>,
    /// What was given out before its end.
    left: Option<Left>,
    /// Empty; the text of what is given out.
    text: Vec<u8>,
}

/// Lines that are one, or may be.
#[derive(Debug)]
struct Join {
    prefix: Vec<u8>,
    /// Who printed it.
    speaker: u64,
    /// Whether the prefix stands only before what belongs to an exception, as PyTorch's `[rank3]: ` does.
    is_marked: bool,
    grammar: Grammar,
    /// What the grammar was when the last sure line was taken.
    sure: Grammar,
    /// The first and the last line that is held for it.
    first: usize,
    last: usize,
    /// Lines of it that are held before this index belong to it; zero while it is not certain that there is something.
    sure_to: usize,
    /// Whether it begins with a line that states a level.
    is_headed: bool,
    is_open: bool,
    /// Whether it is given out before its end.
    is_cut: bool,
    /// When its first line came, and its last one.
    since: Instant,
    heard: Instant,
    /// The offset of the first line and the number of this part.
    part: Option<(u64, u32)>,
}

/// What goes on from something that was given out.
#[derive(Debug)]
struct Left {
    prefix: Vec<u8>,
    speaker: u64,
    grammar: Grammar,
    is_marked: bool,
    line_at: u64,
    index: u32,
}

/// What is known when a line comes.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// How far the stream is given out, and held, without it.
    pub from: ReadTo,
    /// When it was read.
    pub observed: UnixNanos,
    /// The same by the clock.
    pub now: Instant,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is held.
    Held,
    /// It is not, and what is held has to be given out before it is offered again.
    GiveOut,
    /// It is not, and nothing is held.
    Passes,
    /// The same, and it is a thing of its own.
    Alone(Family),
}

/// What is given out.
#[derive(Debug, Clone, Copy)]
pub enum Given<'a> {
    /// A line like any other.
    Line(Line<'a>, Single),
    /// Lines that are one.
    Joined(Line<'a>, Joined),
}

/// What is known of a line like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Single {
    /// When it was read.
    pub observed: UnixNanos,
    /// How far the stream is given out without it and what came behind it. `None` if a position cannot tell: something
    /// that began before it goes on behind it.
    pub from: Option<ReadTo>,
}

/// What is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// When the first was read.
    pub observed: UnixNanos,
    /// How many there are.
    pub lines: u64,
    /// Their bytes, without line ends.
    pub bytes: u64,
    /// Whose way of speaking they follow.
    pub family: Family,
    /// Their level; `None` if the first one states it.
    pub severity: Option<Severity>,
}

impl Joiner {
    /// Whether anything has to be remembered.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.left.is_none()
    }

    /// Whether lines are held.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        !self.lines.is_empty()
    }

    /// The memory that they occupy.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.lines.memory()
    }

    /// How far the stream was given out when the first of them came.
    #[must_use]
    pub fn held_from(&self) -> Option<ReadTo> {
        self.lines.iter().next().map(|(_, held)| held.from)
    }

    /// The same for those that stay when what can be given out is.
    #[must_use]
    pub fn stays_from(&self) -> Option<ReadTo> {
        self.lines.iter().nth(self.settled()).map(|(_, held)| held.from)
    }

    /// Whether some of it can be given out.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled() > 0
    }

    /// How many lines can be given out: none of them, and no line behind them, belongs to what they belong to.
    fn settled(&self) -> usize {
        let open = self.joins.iter().filter(|join| join.is_open).map(|join| join.first);
        let mut end = open.min().unwrap_or(self.lines.count());
        while let Some(across) = self.joins.iter().find(|join| join.first < end && join.last >= end) {
            end = across.first;
        }
        end
    }

    /// Takes the next line of the lane, or not. It is whole, not a part of one that is too long.
    pub fn take(&mut self, line: &Line<'_>, seen: Seen, prefixes: &Prefixes, config: &Config) -> Taken {
        // A known prefix is told by its first byte; a template may begin with any.
        if self.is_idle() && !matches!(prefixes, Prefixes::Also(_)) && !may_begin(line.bytes) {
            return Taken::Passes;
        }
        let length = prefixes.length(line.bytes);
        let (before, text) = line.bytes.split_at(length);
        let key = before.trim_ascii_end();
        if self.lines.is_empty() {
            if let Some(left) = self.left.take_if(|left| left.speaker == line.speaker && left.prefix == key)
                && let Some(taken) = self.go_on(left, text, (line, length), seen)
            {
                return taken;
            }
            return match opening(text) {
                None => Taken::Passes,
                Some(found) if found.certainty == Certainty::Alone => Taken::Alone(found.grammar.family()),
                Some(found) => {
                    let is_certain = found.certainty == Certainty::Certain;
                    self.open(key, found.grammar, is_certain, (line, length), seen)
                }
            };
        }
        let is_full = self.lines.count() >= MAX_LINES || self.lines.bytes() + line.bytes.len() > config.max_bytes;
        let known =
            self.joins.iter().position(|join| join.is_open && join.speaker == line.speaker && join.prefix == key);
        if let Some(index) = known {
            let join = &mut self.joins[index];
            let mut grammar = join.grammar;
            let next = match grammar.next(text, states_level, join.is_marked) {
                Next::May if join.grammar != Grammar::Head && opening(text).is_some() => Next::Not,
                next => next,
            };
            match next {
                Next::Takes | Next::Ends | Next::May if is_full => {
                    self.cut(index);
                    return Taken::GiveOut;
                }
                Next::Takes | Next::Ends | Next::May => {
                    join.last = self.lines.count();
                    self.lines.push(line, length, seen, Some(index));
                    join.grammar = grammar;
                    join.heard = seen.now;
                    join.is_open = next != Next::Ends;
                    if next != Next::May {
                        (join.sure, join.sure_to) = (grammar, self.lines.count());
                    }
                    return Taken::Held;
                }
                Next::Aside => join.grammar = grammar,
                Next::Not => join.is_open = false,
            }
        }
        if is_full {
            self.close();
        }
        if self.is_settled() {
            return Taken::GiveOut;
        }
        let goes_on = known.is_some_and(|index| self.joins[index].is_open);
        if let Some(found) = opening(text).filter(|_| !goes_on) {
            let is_certain = found.certainty != Certainty::IfFollowed;
            let taken = self.open(key, found.grammar, is_certain, (line, length), seen);
            if let Some(join) = self.joins.last_mut() {
                join.is_open = found.certainty != Certainty::Alone;
            }
            return taken;
        }
        if let Some(found) = detect(text).filter(|_| !goes_on)
            && self.take_head(line, &found, seen, prefixes) == Taken::Held
        {
            return Taken::Held;
        }
        self.lines.push(line, length, seen, None);
        Taken::Held
    }

    /// Holds a line that states that level, which passed, if something may follow that it is the head of.
    pub fn take_head(&mut self, line: &Line<'_>, found: &Found<'_>, seen: Seen, prefixes: &Prefixes) -> Taken {
        let grammar = match found.logger {
            b"py.warnings" => Grammar::Warned,
            _ if found.severity >= Severity::ERROR => Grammar::Head,
            _ => return Taken::Passes,
        };
        let length = prefixes.length(line.bytes);
        let key = line.bytes[..length].trim_ascii_end();
        let taken = self.open(key, grammar, false, (line, length), seen);
        if let Some(join) = self.joins.last_mut() {
            join.is_headed = true;
        }
        taken
    }

    /// When something has waited long enough, if nothing more comes.
    #[must_use]
    pub fn deadline(&self, config: &Config) -> Option<Instant> {
        let open = self.joins.iter().filter(|join| join.is_open);
        open.map(|join| join.heard + join.wait(config)).min()
    }

    /// Ends what has waited long enough. What goes on behind it is a part of it.
    pub fn expire(&mut self, now: Instant, config: &Config) {
        let are_others_kept = self.joins.len() > 1 || self.lines.iter().any(|(_, held)| held.join.is_none());
        for index in 0..self.joins.len() {
            let join = &mut self.joins[index];
            let is_long = are_others_kept && join.since + config.wait * MAX_WAITS <= now;
            if join.is_open && (is_long || join.heard + join.wait(config) <= now) {
                join.is_open = false;
                self.leave(index, Break::Waited);
            }
        }
    }

    /// Ends all that is open: nothing more comes.
    pub fn close(&mut self) {
        self.joins.iter_mut().for_each(|join| join.is_open = false);
    }

    /// Gives out all of it that can be, in the order of first lines.
    pub fn give_out(&mut self, mut each: impl FnMut(Given<'_>)) {
        let count = self.settled();
        for (index, held) in self.lines.iter().take(count) {
            let join = held.join.map(|number| (number, &self.joins[number])).filter(|(_, join)| index < join.sure_to);
            let Some((number, join)) = join else {
                let is_around = |join: &Join| join.sure_to > 0 && join.first < index && join.last > index;
                let from = (!self.joins.iter().any(is_around)).then_some(held.from);
                each(Given::Line(self.lines.line(held), Single { observed: held.observed, from }));
                continue;
            };
            if index > join.first {
                continue;
            }
            let is_of_join = |index: usize, held: &Held| held.join == Some(number) && index < join.sure_to;
            let (lines, bytes, is_utf8) = self.lines.join(index, &mut self.text, is_of_join);
            let part = join.part.map(|(line_at, index)| Part { line_at, index, is_last: !join.is_cut });
            let line = Line { bytes: &self.text, is_utf8, part, ..self.lines.line(held) };
            let family = join.sure.family();
            let severity = (!join.is_headed).then(|| join.severity(family, &self.text[held.prefix..]));
            each(Given::Joined(line, Joined { observed: held.observed, lines, bytes, family, severity }));
        }
        self.text = Vec::new();
        self.lines.remove(count);
        let gone: Vec<bool> = self.joins.iter().map(|join| join.first < count).collect();
        self.lines.renumber(|join| join - gone[..join].iter().filter(|is_gone| **is_gone).count());
        self.joins.retain(|join| join.first >= count);
        for join in &mut self.joins {
            (join.first, join.last) = (join.first - count, join.last - count);
            join.sure_to = join.sure_to.saturating_sub(count);
        }
    }

    fn open(
        &mut self,
        key: &[u8],
        grammar: Grammar,
        is_certain: bool,
        (line, length): (&Line<'_>, usize),
        seen: Seen,
    ) -> Taken {
        self.left = None;
        let text = &line.bytes[length..];
        let first = self.lines.count();
        self.lines.push(line, length, seen, Some(self.joins.len()));
        self.joins.push(Join {
            prefix: key.to_vec(),
            speaker: line.speaker,
            is_marked: is_marked(&line.bytes[..length]),
            grammar,
            sure: grammar,
            first,
            last: first,
            sure_to: if is_certain { self.lines.count() } else { 0 },
            is_headed: is_message_before_traceback(text) && states_level(text),
            is_open: true,
            is_cut: false,
            since: seen.now,
            heard: seen.now,
            part: None,
        });
        Taken::Held
    }

    /// Goes on with what was given out, if the line does.
    fn go_on(&mut self, left: Left, text: &[u8], line: (&Line<'_>, usize), seen: Seen) -> Option<Taken> {
        let mut grammar = left.grammar;
        let next = grammar.next(text, states_level, left.is_marked);
        match next {
            Next::Takes | Next::Ends => {
                self.open(&left.prefix, grammar, true, line, seen);
                let join = self.joins.last_mut()?;
                join.is_marked = left.is_marked;
                join.part = Some((left.line_at, left.index));
                join.is_open = next == Next::Takes;
                Some(Taken::Held)
            }
            Next::May | Next::Aside => {
                // Too little to hold it for; what follows may go on all the same.
                self.left = Some(Left { grammar, ..left });
                None
            }
            Next::Not => None,
        }
    }

    /// Something is too long: it is given out as far as it came, and goes on with the next line.
    fn cut(&mut self, index: usize) {
        self.close();
        self.leave(index, Break::Full);
    }

    /// Remembers how something may go on.
    fn leave(&mut self, index: usize, why: Break) {
        let mut own = self.lines.iter().filter(|(_, held)| held.join == Some(index));
        let join = &mut self.joins[index];
        let Some((first, _)) = own.next().filter(|_| join.sure_to > 0) else { return };
        let (line_at, part) = join.part.unwrap_or((self.lines.at(first), 0));
        if why == Break::Full {
            join.part = Some((line_at, part));
            join.is_cut = true;
            // The next line was offered already, and is offered again.
            join.sure_to = self.lines.count();
            join.sure = join.grammar;
        }
        let Join { is_marked, grammar, .. } = *join;
        self.left = Some(Left {
            prefix: join.prefix.clone(),
            speaker: join.speaker,
            grammar,
            is_marked,
            line_at,
            index: part + 1,
        });
    }
}

impl Join {
    /// How long it waits for its next line.
    fn wait(&self, config: &Config) -> Duration {
        if self.sure_to > 0 { config.wait } else { HEAD_WAIT.min(config.wait) }
    }

    /// PyTorch marks what nobody has caught. A part has the level of the first one, which says most.
    fn severity(&self, family: Family, text: &[u8]) -> Severity {
        let is_uncaught = self.is_marked && family == Family::Python;
        if is_uncaught { Severity::FATAL } else { family.severity(text) }
    }
}

/// Why something is given out before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// It is as long as it may be.
    Full,
    /// Nothing has come for long.
    Waited,
}

fn states_level(line: &[u8]) -> bool {
    detect(line).is_some()
}

/// PyTorch puts `[rank3]: ` before each line of an exception, and before no other.
fn is_marked(before: &[u8]) -> bool {
    before.ends_with(b"]: ") && memchr::memmem::rfind(before, b"[rank").is_some()
}
