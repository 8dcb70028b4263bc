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
}

impl Cause {
    const ALL: [Self; 6] = [Self::OutOfMemory, Self::Device, Self::Exception, Self::Other, Self::Peer, Self::Ended];

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
}

fn as_word<S: Serializer>(cause: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(Cause::try_from(*cause).unwrap_or_default().as_str())
}

impl RankErrors {
    /// Begins with one error.
    #[must_use]
    pub fn new(rank: Option<i64>, local_rank: Option<i64>, cause: Cause, error: FirstError) -> Self {
        Self { rank, local_rank, first: Some(error), telling: None, cause: cause.into() }
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
    }
}

/// The rank that failed first: of those whose errors tell most of a cause, the one whose came first.
pub fn culprit<'a>(ranks: impl Iterator<Item = &'a RankErrors>) -> Option<&'a RankErrors> {
    // Of two at the same time the one of which the rank is known.
    let place = |errors: &&RankErrors| {
        let time = errors.most_telling().map_or(u64::MAX, |error| error.time_unix_nano);
        (errors.cause(), time, Reverse(errors.rank.is_some()))
    };
    ranks.min_by_key(place)
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
    fn every_cause_is_known_by_its_word() {
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse(), Ok(cause));
        }
    }
}
