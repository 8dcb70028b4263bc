//! What each rank printed of level error and above, and which of it came first.
//!
//! When one rank fails, the others fail after it: collectives time out, connections break, the launcher ends what is
//! left. So the earliest error is often none of the rank at fault, and errors are ordered by what they tell of first.

use std::{cmp::Reverse, str::FromStr};

use serde::{Serialize, Serializer};

use super::FirstError;

/// What an error tells of, in an order by number: what is likelier to be the cause of others comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Cause {
    /// A line of level error that says no more; the first here is the default.
    Other = 4,
    /// Memory was used up, of the device or of the host.
    OutOfMemory = 1,
    /// The device or its driver failed.
    Device = 2,
    /// The program failed.
    Exception = 3,
    /// Another rank did not answer, or was gone.
    Peer = 5,
    /// A launcher ended it, or tells of ranks that have failed.
    Ended = 6,
    /// It was elsewhere in its collective operations than the others, which all waited. No line tells this alone.
    OutOfStep = 7,
}

impl Cause {
    const ALL: [Self; 7] =
        [Self::OutOfMemory, Self::Device, Self::Exception, Self::Other, Self::Peer, Self::Ended, Self::OutOfStep];

    /// The word for it in a receipt.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfMemory => "out_of_memory",
            Self::Device => "device",
            Self::Exception => "exception",
            Self::Other => "other",
            Self::Peer => "peer",
            Self::Ended => "ended",
            Self::OutOfStep => "out_of_step",
        }
    }

    /// What it is for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::OutOfMemory => "out of memory",
            Self::Device => "device fault",
            Self::Exception => "exception",
            Self::Other => "error",
            Self::Peer => "another rank did not answer",
            Self::Ended => "ended by its launcher",
            Self::OutOfStep => "out of step with the others in its collective operations",
        }
    }
}

impl FromStr for Cause {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word).ok_or(())
    }
}

/// The errors of one rank. A protobuf message of our own, beside [`super::Account`].
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize)]
pub struct RankErrors {
    /// The global rank, where it is known.
    #[prost(int64, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// The rank on its node, where it is known.
    #[prost(int64, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_rank: Option<i64>,
    /// The first error.
    #[prost(message, optional, tag = "3")]
    pub first: Option<FirstError>,
    /// The first of those that tell most of the cause; `None` if that is the first error.
    #[prost(message, optional, tag = "4")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telling: Option<FirstError>,
    /// What that one tells of.
    #[prost(enumeration = "Cause", tag = "5")]
    #[serde(serialize_with = "as_word")]
    pub cause: i32,
    /// How far the rank was in its collective operations when they were given up.
    #[prost(message, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collective: Option<Collective>,
}

/// What PyTorch's watchdog says of a rank's collective operations, which are numbered alike on all ranks of a group.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize)]
pub struct Collective {
    /// The operation that the rank has waited for in vain.
    #[prost(uint64, optional, tag = "1")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<u64>,
    /// The last one that it has begun.
    #[prost(uint64, optional, tag = "2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun: Option<u64>,
    /// What kind of operation it was, such as `ALLREDUCE`.
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
}

impl Collective {
    /// Adds what was said later. What was said first counts: later time-outs are of later operations.
    fn add(&mut self, later: &Self) {
        self.waited_for = self.waited_for.or(later.waited_for);
        self.begun = self.begun.or(later.begun);
        if self.kind.is_empty() {
            self.kind.clone_from(&later.kind);
        }
    }

    /// The last operation that the rank is known to have reached.
    fn reached(&self) -> Option<u64> {
        self.begun.max(self.waited_for)
    }
}

fn as_word<S: Serializer>(cause: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(Cause::try_from(*cause).unwrap_or_default().as_str())
}

impl RankErrors {
    /// Begins with one error.
    #[must_use]
    pub fn new(rank: Option<i64>, local_rank: Option<i64>, cause: Cause, error: FirstError) -> Self {
        Self { rank, local_rank, first: Some(error), telling: None, cause: cause.into(), collective: None }
    }

    /// Whether both are of one rank.
    #[must_use]
    pub fn is_of(&self, rank: Option<i64>, local_rank: Option<i64>) -> bool {
        match (self.rank, rank) {
            (Some(mine), Some(its)) => mine == its,
            (None, None) => self.local_rank == local_rank,
            _ => false,
        }
    }

    /// The error that tells most of the cause.
    #[must_use]
    pub fn most_telling(&self) -> Option<&FirstError> {
        self.telling.as_ref().or(self.first.as_ref())
    }

    /// Adds what came later.
    pub fn add(&mut self, later: &Self) {
        if later.cause() < self.cause() {
            self.telling = later.most_telling().cloned();
            self.cause = later.cause;
        }
        match (&mut self.collective, &later.collective) {
            (Some(known), Some(later)) => known.add(later),
            (known @ None, later) => known.clone_from(later),
            (Some(_), None) => {}
        }
    }
}

/// The rank that failed first: of those whose errors tell most of a cause, the one whose came first. Where all of them
/// only tell of another rank, the one that the others have waited for, if they say how far they were.
pub fn culprit<'a>(ranks: impl Iterator<Item = &'a RankErrors>) -> Option<RankErrors> {
    // Of two at the same time the one of which the rank is known.
    let place = |errors: &&RankErrors| {
        let time = errors.most_telling().map_or(u64::MAX, |error| error.time_unix_nano);
        (errors.cause(), time, Reverse(errors.rank.is_some()))
    };
    let ranks: Vec<_> = ranks.collect();
    let first = ranks.iter().copied().min_by_key(place)?;
    if first.cause() < Cause::Peer {
        return Some(first.clone());
    }
    Some(match out_of_step(&ranks) {
        Some(found) => RankErrors { cause: Cause::OutOfStep.into(), ..found.clone() },
        None => first.clone(),
    })
}

/// The rank that was elsewhere in its collective operations than the others.
fn out_of_step<'a>(ranks: &[&'a RankErrors]) -> Option<&'a RankErrors> {
    let of = |errors: &RankErrors| errors.collective.clone().unwrap_or_default();
    let known: Vec<_> = ranks.iter().copied().filter(|errors| of(errors).reached().is_some()).collect();
    let waited_for = known.iter().filter_map(|errors| of(errors).waited_for).max()?;
    // One that has not begun what others wait for.
    let behind = known.iter().copied().min_by_key(|errors| of(errors).reached())?;
    if of(behind).reached() < Some(waited_for) && of(behind).begun.is_some() {
        return Some(behind);
    }
    // One that waits for another operation than most do. Of two, the one that is further behind.
    let alike =
        |errors: &RankErrors| known.iter().filter(|other| of(other).waited_for == of(errors).waited_for).count();
    let alone = known.iter().copied().min_by_key(|errors| (alike(errors), of(errors).waited_for))?;
    (alike(alone) < known.len()).then_some(alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(rank: i64, cause: Cause, time: u64) -> RankErrors {
        RankErrors::new(Some(rank), None, cause, FirstError::new(time, format!("{cause:?} of {rank}").as_bytes()))
    }

    #[test]
    fn the_cause_comes_before_its_consequences_whatever_was_printed_first() {
        let ranks = [
            errors(0, Cause::Peer, 10),
            errors(1, Cause::Exception, 30),
            errors(2, Cause::Ended, 5),
            errors(3, Cause::Exception, 20),
        ];
        assert_eq!(culprit(ranks.iter()).unwrap().rank, Some(3));
        assert_eq!(culprit(ranks[..1].iter()).unwrap().rank, Some(0));
        assert_eq!(culprit([].iter()), None);
    }

    #[test]
    fn a_rank_keeps_its_first_error_and_the_one_that_tells_most() {
        let mut rank = errors(3, Cause::Other, 1);
        rank.add(&errors(3, Cause::Peer, 2));
        assert_eq!(rank.most_telling().unwrap().body, "Other of 3");
        rank.add(&errors(3, Cause::OutOfMemory, 3));
        rank.add(&errors(3, Cause::OutOfMemory, 4));
        assert_eq!(rank.first.as_ref().unwrap().time_unix_nano, 1);
        assert_eq!((rank.cause(), rank.most_telling().unwrap().time_unix_nano), (Cause::OutOfMemory, 3));
    }

    #[test]
    fn where_all_wait_the_rank_that_is_out_of_step_is_at_fault() {
        let waits = |rank, waited_for, begun| {
            let collective = Collective { waited_for, begun, kind: String::new() };
            RankErrors { collective: Some(collective), ..errors(rank, Cause::Peer, 10 + rank.cast_unsigned()) }
        };
        // Rank 2 has not begun what the others wait for.
        let behind = [waits(0, Some(9), Some(9)), waits(1, Some(9), Some(9)), waits(2, None, Some(8))];
        let found = culprit(behind.iter()).unwrap();
        assert_eq!((found.rank, found.cause()), (Some(2), Cause::OutOfStep));
        // Rank 2 waits for another operation, whether it is ahead or behind.
        for other in [5, 11] {
            let ahead = [waits(0, Some(9), Some(12)), waits(1, Some(9), Some(12)), waits(2, Some(other), Some(12))];
            assert_eq!(culprit(ahead.iter()).unwrap().rank, Some(2), "{other}");
        }
        // All wait for the same, and somebody has a reason to fail.
        let same = [waits(1, Some(9), None), waits(0, Some(9), None)];
        let found = culprit(same.iter()).unwrap();
        assert_eq!((found.rank, found.cause()), (Some(0), Cause::Peer));
        let reason = [behind[0].clone(), behind[2].clone(), errors(1, Cause::Exception, 90)];
        assert_eq!(culprit(reason.iter()).unwrap().rank, Some(1));
    }

    #[test]
    fn what_a_watchdog_says_first_stays_and_is_made_whole_by_what_it_says_next() {
        let said = |waited_for, begun| {
            let collective = Some(Collective { waited_for, begun, kind: String::new() });
            RankErrors { collective, ..errors(0, Cause::Peer, 1) }
        };
        let mut rank = errors(0, Cause::Peer, 1);
        for later in [said(Some(9), None), errors(0, Cause::Ended, 2), said(Some(10), Some(12))] {
            rank.add(&later);
        }
        assert_eq!(rank.collective, said(Some(9), Some(12)).collective);
    }

    #[test]
    fn every_cause_is_known_by_its_word() {
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse(), Ok(cause));
        }
    }
}
