//! Leaves out what one stream prints beyond so many lines a second.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Weak},
};

use crate::record::{Origin, Severity, UnixNanos};

const SECOND: u64 = 1_000_000_000;

/// Lets each stream have so many lines a second; after a silence, those of one second at once.
#[derive(Debug, Default)]
pub struct Limit {
    lines_per_second: Option<NonZeroU32>,
    streams: HashMap<u64, Spent>,
}

/// What a stream may still have.
#[derive(Debug)]
struct Spent {
    /// The stream has ended once this is all that is left of it.
    origin: Weak<Origin>,
    /// In nanoseconds: a line takes its part of a second.
    left: u64,
    at: UnixNanos,
}

impl Limit {
    /// So many lines a second; `None` lets everything pass.
    #[must_use]
    pub fn new(lines_per_second: Option<NonZeroU32>) -> Self {
        Self { lines_per_second, streams: HashMap::new() }
    }

    /// Whether there is a limit.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.lines_per_second.is_some()
    }

    /// Whether so many lines of that time are within the limit, which they are taken from. Errors always pass.
    pub fn admits(&mut self, origin: &Arc<Origin>, severity: Severity, lines: u64, time: UnixNanos) -> bool {
        let Some(limit) = self.lines_per_second else { return true };
        if severity >= Severity::ERROR {
            return true;
        }
        let new = || Spent { origin: Arc::downgrade(origin), left: SECOND, at: time };
        let spent = self.streams.entry(origin.id).or_insert_with(new);
        spent.left = spent.left.saturating_add(time.saturating_sub(spent.at)).min(SECOND);
        spent.at = spent.at.max(time);
        // What is one record counts as one second's lines at most, or it could never pass.
        let cost = (SECOND / u64::from(limit.get())).saturating_mul(lines).min(SECOND);
        let is_admitted = spent.left >= cost;
        if is_admitted {
            spent.left -= cost;
        }
        is_admitted
    }

    /// Forgets streams that are gone.
    pub fn forget_ended(&mut self) {
        self.streams.retain(|_, spent| spent.origin.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NoBookmark, Resource, SourceKind, Tally, origin::Stream};

    fn origin() -> Arc<Origin> {
        Origin::new(Stream {
            key: String::new(),
            kind: SourceKind::File,
            identity: &[],
            resource: Arc::new(Resource { run_id: String::new(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::INFO,
            tally: Tally::detached(SourceKind::File, ""),
            bookmark: Arc::new(NoBookmark),
        })
    }

    #[test]
    fn a_stream_has_so_many_lines_a_second_and_its_errors() {
        let mut limit = Limit::new(NonZeroU32::new(10));
        let (busy, other) = (origin(), origin());
        let mut admitted = |origin: &Arc<Origin>, severity, time: u64, lines| {
            (0..lines).filter(|_| limit.admits(origin, severity, 1, time)).count()
        };
        assert_eq!(admitted(&busy, Severity::INFO, SECOND, 25), 10);
        assert_eq!(admitted(&busy, Severity::WARN, SECOND, 5), 0);
        assert_eq!(admitted(&busy, Severity::ERROR, SECOND, 5), 5);
        assert_eq!(admitted(&other, Severity::INFO, SECOND, 5), 5);
        assert_eq!(admitted(&busy, Severity::INFO, SECOND + SECOND / 2, 25), 5);
        // A clock that goes back gives nothing.
        assert_eq!(admitted(&busy, Severity::INFO, SECOND, 25), 0);
        assert_eq!(admitted(&busy, Severity::INFO, 100 * SECOND, 25), 10);
    }

    #[test]
    fn a_record_of_more_lines_than_a_second_has_may_pass_and_what_has_ended_is_forgotten() {
        let mut limit = Limit::new(NonZeroU32::new(2));
        let stream = origin();
        assert!(limit.admits(&stream, Severity::INFO, 1_000, SECOND));
        assert!(!limit.admits(&stream, Severity::INFO, 1, SECOND));
        drop(stream);
        limit.forget_ended();
        assert!(limit.streams.is_empty());
        assert!((0..100).all(|_| Limit::default().admits(&origin(), Severity::INFO, 1, 0)));
    }
}
