//! How far the reading of a stream has come, and how far it is behind.

use super::UnixNanos;

/// How far the reading of a stream has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Up to which offset it was read. 0 where it has none.
    pub position: u64,
    /// When its last bytes came, as [`UnixNanos`]. 0 if none has.
    pub heard_at: UnixNanos,
    /// What waits to be read.
    pub lag: Lag,
    /// What last went wrong with it.
    pub last_error: Option<String>,
}

/// What waits to be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lag {
    /// Nobody can tell.
    #[default]
    Unknown,
    /// Nothing, as far as the source says.
    Nothing,
    /// Something.
    Behind {
        /// How much, where that can be told.
        bytes: Option<u64>,
        /// Since when some of it has waited, at the earliest.
        since: UnixNanos,
    },
}

impl Lag {
    /// How many bytes wait. `None` if nobody can tell.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::Nothing => Some(0),
            Self::Behind { bytes, .. } => bytes,
        }
    }

    /// For how many seconds something has waited by then. `None` if nobody can tell.
    #[must_use]
    pub fn seconds(self, now: UnixNanos) -> Option<f64> {
        match self {
            Self::Unknown => None,
            Self::Nothing => Some(0.0),
            Self::Behind { since, .. } => Some(now.saturating_sub(since) as f64 / 1e9),
        }
    }

    /// Whether something waits for certain.
    #[must_use]
    pub const fn is_behind(self) -> bool {
        matches!(self, Self::Behind { .. })
    }

    /// The lag of both together: a sum with an unknown part is not known.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Nothing, lag) | (lag, Self::Nothing) => lag,
            (Self::Behind { bytes, since }, Self::Behind { bytes: more, since: earlier }) => Self::Behind {
                bytes: bytes.zip(more).map(|(bytes, more)| bytes.saturating_add(more)),
                since: since.min(earlier),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_lag_is_never_nothing_nor_a_part_of_a_sum() {
        let behind = |bytes, since| Lag::Behind { bytes, since };
        for (one, other, sum) in [
            (Lag::Nothing, Lag::Nothing, Lag::Nothing),
            (Lag::Nothing, Lag::Unknown, Lag::Unknown),
            (behind(Some(3), 5), Lag::Unknown, Lag::Unknown),
            (behind(Some(3), 5), Lag::Nothing, behind(Some(3), 5)),
            (behind(Some(3), 5), behind(Some(4), 2), behind(Some(7), 2)),
            (behind(Some(3), 5), behind(None, 7), behind(None, 5)),
        ] {
            assert_eq!((one.and(other), other.and(one)), (sum, sum));
        }
        assert_eq!((Lag::Unknown.bytes(), Lag::Unknown.seconds(9)), (None, None));
        assert_eq!((Lag::Nothing.bytes(), Lag::Nothing.seconds(9)), (Some(0), Some(0.0)));
        assert_eq!((behind(None, 1).bytes(), behind(None, 1).seconds(1_500_000_001)), (None, Some(1.5)));
    }
}
