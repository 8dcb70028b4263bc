//! What is held back of a stream's lines, each lane for itself, and how far the stream is given out without it.

use std::{array, time::Instant};

use crate::{
    parse::{
        self, Alike,
        join::{Follower, Joiner, Seen},
    },
    record::{Format, Lane, Origin, ReadTo, Severity, UnixNanos},
};

/// The lanes of one stream.
#[derive(Debug)]
pub struct Lanes {
    lanes: [One; Lane::COUNT],
    /// How far the stream is given out with what is held here.
    read_to: ReadTo,
}

#[derive(Debug)]
struct One {
    joiner: Joiner,
    /// What comes out of the joiner, or passes it.
    alike: Alike,
    follower: Follower,
    /// Of the line whose parts are coming.
    severity: Severity,
    /// Whether that line is left out for the limit.
    is_over_limit: bool,
}

impl Lanes {
    /// Goes on from there. A line that goes on as well has that level: what is kept of it is kept whole.
    pub fn new(read_to: ReadTo, severity: Severity) -> Self {
        let one = |_| One {
            joiner: Joiner::default(),
            alike: Alike::default(),
            follower: Follower::default(),
            severity,
            is_over_limit: false,
        };
        Self { lanes: array::from_fn(one), read_to }
    }

    /// Whether reading could go on with nothing remembered.
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|one| one.joiner.is_idle() && one.alike.is_idle() && one.follower.is_idle())
    }

    /// Whether lines are held.
    pub fn is_holding(&self) -> bool {
        self.lanes.iter().any(|one| one.joiner.is_holding() || one.alike.is_holding())
    }

    /// The memory that held lines occupy.
    pub fn bytes(&self) -> usize {
        self.lanes.iter().map(|one| one.joiner.bytes() + one.alike.bytes()).sum()
    }

    /// When something has waited long enough.
    pub fn deadline(&self, config: &parse::Config) -> Option<Instant> {
        let of_one = |one: &One| one.joiner.deadline(&config.join).into_iter().chain(one.alike.deadline(&config.alike));
        self.lanes.iter().flat_map(of_one).min()
    }

    /// Where reading has to start again.
    pub fn given_out(&self, origin: &Origin) -> ReadTo {
        self.without(origin, |one, _| one.held_from())
    }

    /// The same once all of a lane is given out that can be.
    pub fn given_out_with(&self, origin: &Origin, settled: Lane) -> ReadTo {
        self.without(origin, |one, lane| {
            if lane != settled as usize {
                return one.held_from();
            }
            one.alike.held_from().or_else(|| one.joiner.stays_from())
        })
    }

    fn without(&self, origin: &Origin, held_from: impl Fn(&One, usize) -> Option<ReadTo>) -> ReadTo {
        let mut read_to = self.read_to;
        for (lane, one) in self.lanes.iter().enumerate() {
            let Some(held_from) = held_from(one, lane) else { continue };
            if origin.format == Format::Plain {
                return held_from;
            }
            read_to.offset = read_to.offset.min(held_from.offset);
            read_to.lanes[lane] = held_from.lanes[lane];
        }
        read_to
    }

    /// All before that is given out or held.
    pub const fn advance(&mut self, read_to: ReadTo) {
        self.read_to = read_to;
    }

    /// What a joiner wants to know of the next line.
    pub const fn seen(&self, observed: UnixNanos, now: Instant) -> Seen {
        Seen { from: self.read_to, observed, now }
    }

    pub const fn joiner(&mut self, lane: Lane) -> &mut Joiner {
        &mut self.lanes[lane as usize].joiner
    }

    pub const fn follower(&mut self, lane: Lane) -> &mut Follower {
        &mut self.lanes[lane as usize].follower
    }

    /// What holds the lines of a lane that are alike.
    pub const fn alike(&mut self, lane: Lane) -> &mut Alike {
        &mut self.lanes[lane as usize].alike
    }

    /// The level of the line whose parts are coming.
    pub const fn severity(&mut self, lane: Lane) -> &mut Severity {
        &mut self.lanes[lane as usize].severity
    }

    /// Whether the line whose parts are coming is left out for the limit.
    pub const fn is_over_limit(&mut self, lane: Lane) -> &mut bool {
        &mut self.lanes[lane as usize].is_over_limit
    }

    /// Takes what is held in a lane out of it, to be given out and put back.
    pub fn take(&mut self, lane: Lane) -> Joiner {
        std::mem::take(&mut self.lanes[lane as usize].joiner)
    }

    /// The lanes in the order in which they have to be given out.
    pub fn in_order(&self) -> [Lane; Lane::COUNT] {
        let mut lanes = [Lane::Bare, Lane::Stdout, Lane::Stderr];
        lanes.sort_by_key(|lane| self.lanes[*lane as usize].held_from().map(|held_from| held_from.offset));
        lanes
    }
}

impl One {
    /// Where reading has to start again for what is held. What is alike came before what may go on.
    fn held_from(&self) -> Option<ReadTo> {
        self.alike.held_from().or_else(|| self.joiner.held_from())
    }
}
