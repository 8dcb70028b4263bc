//! Ranks that say nothing any more while others do: a hang is seen before the collectives time out.
//!
//! Many a rank prints a few lines at its start and is then silent for good. So only a rank counts that has spoken for as
//! long as it may be silent.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use crate::parse::Rank;

/// Of so many runs ranks are watched.
const MAX_RUNS: usize = 1_000;
/// Of so many ranks of a run.
const MAX_RANKS: usize = 4_096;

/// When each rank of each run was heard.
#[derive(Debug, Default)]
pub(super) struct Silence {
    runs: HashMap<String, BTreeMap<Rank, Heard>>,
}

#[derive(Debug)]
struct Heard {
    /// The stream that it was heard in last.
    stream: u64,
    /// Since when it has not been silent for too long.
    speaks_since: Instant,
    last: Instant,
    is_silent: bool,
}

/// What is told of a rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) run_id: String,
    pub(super) rank: Rank,
    pub(super) silent_for: Duration,
}

impl Silence {
    /// Notes that a rank has printed something. Says for how long it was silent, if that was told.
    pub(super) fn hear(
        &mut self,
        run_id: &str,
        rank: Rank,
        stream: u64,
        now: Instant,
        after: Duration,
    ) -> Option<Duration> {
        if !self.runs.contains_key(run_id) {
            if self.runs.len() >= MAX_RUNS {
                return None;
            }
            self.runs.insert(run_id.to_owned(), BTreeMap::new());
        }
        let ranks = self.runs.get_mut(run_id)?;
        let Some(heard) = ranks.get_mut(&rank) else {
            if ranks.len() < MAX_RANKS {
                ranks.insert(rank, Heard { stream, speaks_since: now, last: now, is_silent: false });
            }
            return None;
        };
        let silent_for = now.saturating_duration_since(heard.last);
        let was_silent = std::mem::take(&mut heard.is_silent);
        if silent_for >= after {
            heard.speaks_since = now;
        }
        (heard.last, heard.stream) = (now, stream);
        was_silent.then_some(silent_for)
    }

    /// The ranks of which it has to be told that they are silent. Each is told once.
    pub(super) fn tell(&mut self, now: Instant, after: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        for (run_id, ranks) in &mut self.runs {
            let silent_for = |heard: &Heard| now.saturating_duration_since(heard.last);
            if ranks.values().all(|heard| silent_for(heard) >= after) {
                continue;
            }
            let is_silent = |heard: &Heard| {
                !heard.is_silent && silent_for(heard) >= after && heard.last - heard.speaks_since >= after
            };
            for (rank, heard) in ranks.iter_mut().filter(|(_, heard)| is_silent(heard)) {
                heard.is_silent = true;
                told.push(Told { run_id: run_id.clone(), rank: *rank, silent_for: silent_for(heard) });
            }
        }
        told
    }

    /// A stream has ended, and what was heard in it is silent with good reason.
    pub(super) fn closed(&mut self, run_id: &str, stream: u64) {
        if let Some(ranks) = self.runs.get_mut(run_id) {
            ranks.retain(|_, heard| heard.stream != stream);
            if ranks.is_empty() {
                self.runs.remove(run_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    /// Lets ranks speak at these seconds, and says what is told at the last one.
    fn told(spoken: &[(u32, u64)], at: u64) -> Vec<(Rank, u64)> {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let moment = |second| start + Duration::from_secs(second);
        for (rank, second) in spoken {
            assert_eq!(silence.hear("r", Rank::Global(*rank), 1, moment(*second), AFTER), None);
        }
        let told = silence.tell(moment(at), AFTER);
        assert_eq!(silence.tell(moment(at), AFTER), [], "each is told once");
        told.into_iter().map(|told| (told.rank, told.silent_for.as_secs())).collect()
    }

    #[test]
    fn a_rank_that_has_spoken_and_says_nothing_while_others_do_is_told() {
        let steady = |rank: u32, to: u64| (0..=to / 30).map(move |at| (rank, 30 * at));
        let spoken: Vec<_> = steady(0, 180).chain(steady(1, 90)).chain(steady(2, 30)).collect();
        // Rank 2 has only spoken at its start.
        assert_eq!(told(&spoken, 190), [(Rank::Global(1), 100)]);
        assert_eq!(told(&spoken, 140), []);
        // All are silent: the run has come to its end, or something else is wrong.
        assert_eq!(told(&spoken, 400), []);
    }

    #[test]
    fn a_rank_that_speaks_again_is_told_once_and_can_be_silent_again() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let hear = |silence: &mut Silence, rank, second: u64| {
            silence.hear("r", Rank::Local(rank), u64::from(rank), start + Duration::from_secs(second), AFTER)
        };
        for second in [0, 50, 100] {
            assert_eq!((hear(&mut silence, 0, second), hear(&mut silence, 1, second)), (None, None));
        }
        hear(&mut silence, 0, 150);
        assert_eq!(silence.tell(start + Duration::from_secs(170), AFTER).len(), 1);
        assert_eq!(hear(&mut silence, 1, 195), Some(Duration::from_secs(95)));
        assert_eq!(hear(&mut silence, 1, 196), None);
        silence.closed("r", 1);
        hear(&mut silence, 0, 300);
        assert_eq!(silence.tell(start + Duration::from_secs(301), AFTER), []);
        silence.closed("r", 0);
        assert!(silence.runs.is_empty());
    }
}
