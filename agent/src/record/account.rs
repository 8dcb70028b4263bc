//! What a run's sources gave, line by line accounted for: kept beside their positions, told in the run's receipt.

use super::{Cause, RankErrors, UnixNanos};

/// How much of an error is kept to show.
const MAX_ERROR_BYTES: usize = 400;

/// Beyond so many ranks of a source, the errors of further ones are not told apart: an account goes with each batch.
const MAX_RANKS: usize = 64;

/// What one stream gave to one batch, or one source to a run.
///
/// A line that was split for its length counts once. A protobuf message of our own; fields are only ever added. In the
/// receipt it is JSON with the same names.
#[derive(Clone, PartialEq, Eq, prost::Message, serde::Serialize)]
pub struct Account {
    /// Lines that came in.
    #[prost(uint64, tag = "1")]
    pub lines_read: u64,
    /// Bytes of those lines, without their ends and without what a container runtime wrapped around them.
    #[prost(uint64, tag = "2")]
    pub bytes_read: u64,
    /// Lines that became records.
    #[prost(uint64, tag = "3")]
    pub lines_kept: u64,
    /// Lines left out for their level.
    #[prost(uint64, tag = "4")]
    pub lines_filtered: u64,
    /// Lines that are gone although they should have been kept.
    #[prost(uint64, tag = "5")]
    pub lines_lost: u64,
    /// Bytes that are gone although they should have been kept, where no lines can be told.
    #[prost(uint64, tag = "6")]
    pub bytes_lost: u64,
    /// How often `runlog.gap` was recorded.
    #[prost(uint64, tag = "7")]
    pub gaps: u64,
    /// The first line of level error or above.
    #[prost(message, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<FirstError>,
    /// The source's `ml.rank`, if all of its lines have one.
    #[prost(int64, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<i64>,
    /// Records that the lines kept became: a long line is several.
    #[prost(uint64, tag = "10")]
    pub records_kept: u64,
    /// The errors of each rank.
    #[prost(message, repeated, tag = "11")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<RankErrors>,
    /// States of progress bars that were drawn over by later ones. They are no lines.
    #[prost(uint64, tag = "12")]
    #[serde(skip_serializing_if = "is_zero")]
    pub states_folded: u64,
    /// Of `lines_filtered`, those that the flight recorder sent after all. They count as kept as well.
    #[prost(uint64, tag = "13")]
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_replayed: u64,
    /// Numbers in lines that became values of the run's metrics.
    #[prost(uint64, tag = "14")]
    #[serde(skip_serializing_if = "is_zero")]
    pub scalars: u64,
    /// Of those, the ones that are NaN or infinite.
    #[prost(uint64, tag = "15")]
    #[serde(skip_serializing_if = "is_zero")]
    pub scalars_nonfinite: u64,
    /// Lines left out for what their stream may print in a second.
    #[prost(uint64, tag = "16")]
    #[serde(skip_serializing_if = "is_zero")]
    pub lines_limited: u64,
}

const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A source's first error.
#[derive(Clone, PartialEq, Eq, prost::Message, serde::Serialize)]
pub struct FirstError {
    /// When it was printed or, where that is not known, read.
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: UnixNanos,
    /// The line, cut short.
    #[prost(string, tag = "2")]
    pub body: String,
}

impl FirstError {
    /// Keeps the beginning of a line.
    #[must_use]
    pub fn new(time_unix_nano: UnixNanos, line: &[u8]) -> Self {
        let line = &line[..line.len().min(MAX_ERROR_BYTES)];
        Self { time_unix_nano, body: String::from_utf8_lossy(line).into_owned() }
    }
}

impl Account {
    /// Adds what came later.
    pub fn add(&mut self, later: &Self) {
        self.lines_read += later.lines_read;
        self.bytes_read += later.bytes_read;
        self.lines_kept += later.lines_kept;
        self.records_kept += later.records_kept;
        self.lines_filtered += later.lines_filtered;
        self.lines_lost += later.lines_lost;
        self.bytes_lost += later.bytes_lost;
        self.gaps += later.gaps;
        self.states_folded += later.states_folded;
        self.lines_replayed += later.lines_replayed;
        self.scalars += later.scalars;
        self.lines_limited += later.lines_limited;
        self.scalars_nonfinite += later.scalars_nonfinite;
        if self.first_error.is_none() {
            self.first_error.clone_from(&later.first_error);
        }
        self.rank = self.rank.or(later.rank);
        later.ranks.iter().for_each(|errors| self.add_errors(errors.clone()));
    }

    /// Adds the errors of a rank.
    pub fn add_errors(&mut self, errors: RankErrors) {
        let known = self.ranks.iter().position(|known| known.is_of(errors.rank, errors.local_rank));
        match known {
            Some(place) => self.ranks[place].add(&errors),
            None if self.ranks.len() < MAX_RANKS => self.ranks.push(errors),
            None => {}
        }
    }

    /// The errors of each rank; those that no prefix gave one to are the source's own.
    pub fn errors_by_rank(&self) -> impl Iterator<Item = RankErrors> {
        let rank = self.rank;
        self.ranks.iter().map(move |errors| match errors {
            RankErrors { rank: None, local_rank: None, .. } => RankErrors { rank, ..errors.clone() },
            _ => errors.clone(),
        })
    }

    /// Whether nothing more could be learned of the cause of a rank's errors.
    #[must_use]
    pub fn knows_the_cause(&self, rank: Option<i64>, local_rank: Option<i64>) -> bool {
        self.ranks.iter().any(|known| known.is_of(rank, local_rank) && known.cause() == Cause::OutOfMemory)
    }

    /// What was kept is lost: the queue refused it.
    pub const fn lose_kept(&mut self) {
        self.lines_lost += self.lines_kept;
        self.lines_kept = 0;
        self.records_kept = 0;
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The lines left out for their level that were not sent after all. A receipt before may have counted them.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.lines_filtered.saturating_sub(self.lines_replayed)
    }

    /// Whether each line that was read is kept or was to be left out, and nothing is known to be missing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.lines_lost == 0
            && self.bytes_lost == 0
            && self.gaps == 0
            && self.lines_read + self.lines_replayed == self.lines_kept + self.lines_filtered + self.lines_limited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_agree_until_something_is_missing() {
        let mut account = Account { lines_read: 3, lines_kept: 2, lines_filtered: 1, ..Account::default() };
        assert!(account.is_complete());
        for missing in [
            Account { lines_lost: 1, lines_read: 1, ..Account::default() },
            Account { bytes_lost: 1, ..Account::default() },
            Account { gaps: 1, ..Account::default() },
            Account { lines_read: 1, ..Account::default() },
        ] {
            let mut sum = account.clone();
            sum.add(&missing);
            assert!(!sum.is_complete(), "{missing:?}");
        }
        account.add(&Account { lines_read: 6, lines_kept: 4, lines_limited: 2, ..Account::default() });
        assert_eq!((account.lines_read, account.lines_kept, account.is_complete()), (9, 6, true));
    }

    #[test]
    fn the_first_error_stays_and_is_cut_short() {
        let of = |time, body: &str| Account {
            first_error: Some(FirstError::new(time, body.as_bytes())),
            ..Account::default()
        };
        let mut account = Account::default();
        account.add(&of(1, &"é".repeat(MAX_ERROR_BYTES)));
        account.add(&of(2, "later"));
        let first = account.first_error.unwrap();
        assert_eq!((first.time_unix_nano, first.body.len()), (1, MAX_ERROR_BYTES));
    }
}
