//! Leaves out what is below the level that was asked for.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crate::record::{Origin, Severity};

use super::levels::{Asked, Levels, MAX_RUNS, Thresholds};

/// Whether lines are kept, for one stream after the other.
#[derive(Debug)]
pub struct Filter {
    levels: Levels,
    /// What was asked for when it was last looked at.
    asked: Vec<Asked>,
    version: u64,
    /// When the first of it is over.
    over: Option<Instant>,
    /// The stream whose lines come, by its id and its run.
    stream: u64,
    run_id: String,
    thresholds: Thresholds,
    /// The runs that the levels were told of.
    met: HashSet<String>,
}

impl Filter {
    /// Keeps what those levels let through.
    #[must_use]
    pub fn new(levels: Levels) -> Self {
        let thresholds = Thresholds { stream: Severity::UNSPECIFIED, loggers: Vec::new() };
        // No stream has this id, so the first one is looked at.
        Self {
            levels,
            asked: Vec::new(),
            version: 0,
            over: None,
            stream: 0,
            run_id: String::new(),
            thresholds,
            met: HashSet::new(),
        }
    }

    /// Turns to the stream whose lines come next, and to what was asked for since.
    pub fn turn_to(&mut self, origin: &Arc<Origin>, run_id: &str, now: Instant) {
        if self.version != self.levels.version() || self.over.is_some_and(|over| over <= now) {
            // Before, so that what is asked for in between is found at the next turn.
            self.version = self.levels.version();
            self.asked = self.levels.asked(now);
            self.over = self.asked.iter().filter_map(|asked| Some(asked.until?.instant)).min();
        } else if self.stream == origin.id && self.run_id == run_id {
            return;
        }
        self.stream = origin.id;
        run_id.clone_into(&mut self.run_id);
        if !self.met.contains(run_id) {
            if self.met.len() >= MAX_RUNS {
                self.met.clear();
            }
            self.met.insert(run_id.to_owned());
            self.levels.met(run_id);
        }
        self.thresholds = self.levels.of(&self.asked, (origin.kind, &origin.tally.name), run_id, origin.level);
    }

    /// Whether a line of that level and logger would be kept.
    #[must_use]
    pub fn lets_through(&self, severity: Severity, logger: &[u8]) -> bool {
        severity >= self.thresholds.of(logger)
    }

    /// Whether a line of that level and logger is kept. A line that is left out is counted here.
    ///
    /// A line without a level counts as [`Severity::INFO`].
    #[must_use]
    pub fn keeps(&self, severity: Severity, logger: &[u8], origin: &Origin) -> bool {
        let is_kept = self.lets_through(severity, logger);
        if !is_kept {
            origin.tally.lines_filtered[severity.range()].fetch_add(1, Ordering::Relaxed);
        }
        is_kept
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        enrich::levels::{Scope, Until},
        record::{NoBookmark, Resource, SourceKind, Tally, origin::Stream},
    };

    fn origin() -> Arc<Origin> {
        Origin::new(Stream {
            key: String::new(),
            kind: SourceKind::File,
            identity: &[],
            resource: Arc::new(Resource { run_id: "r".to_owned(), encoded: Vec::new() }),
            attributes: Vec::new(),
            level: Severity::INFO,
            tally: Tally::detached(SourceKind::File, "a.log"),
            bookmark: Arc::new(NoBookmark),
        })
    }

    #[test]
    fn what_is_below_the_level_is_left_out_and_counted_by_its_own() {
        let (origin, mut filter) = (origin(), Filter::new(Levels::default()));
        filter.turn_to(&origin, "r", Instant::now());
        let cases = [
            (Severity::TRACE, false),
            (Severity::from_number(8), false),
            (Severity::INFO, true),
            (Severity::FATAL, true),
        ];
        for (severity, expected) in cases {
            assert_eq!(filter.keeps(severity, b"", &origin), expected, "{severity}");
        }
        assert_eq!(origin.tally.counts().lines_filtered, [0, 1, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_level_that_is_asked_for_holds_from_the_next_turn_to_its_end() {
        let (origin, levels, now) = (origin(), Levels::default(), Instant::now());
        let mut filter = Filter::new(levels.clone());
        let mut keeps_debug = |at| {
            filter.turn_to(&origin, "r", at);
            filter.keeps(Severity::DEBUG, b"", &origin)
        };
        assert!(!keeps_debug(now));

        let end = now + Duration::from_secs(10);
        let until = Some(Until { instant: end, time: 0 });
        levels.ask(Asked { level: Severity::DEBUG, scope: Scope::default(), until }).unwrap();

        assert!(keeps_debug(now) && keeps_debug(end - Duration::from_nanos(1)));
        assert!(!keeps_debug(end) && levels.asked(end).is_empty());
    }

    #[test]
    fn one_stream_in_two_runs_has_the_level_of_each() {
        let (origin, levels, now) = (origin(), Levels::default(), Instant::now());
        let scope = Scope { run: Some("loud".to_owned()), ..Scope::default() };
        levels.ask(Asked { level: Severity::TRACE, scope, until: None }).unwrap();
        let mut filter = Filter::new(levels);
        let kept = ["loud", "r", "loud"].map(|run| {
            filter.turn_to(&origin, run, now);
            filter.keeps(Severity::DEBUG, b"", &origin)
        });
        assert_eq!(kept, [true, false, true]);
    }
}
