//! Tells a pipeline that works, or has nothing to do, from one that is stuck.
//!
//! It has a thread of its own, since what it watches are the runtime, the stage and the queue. It counts its own
//! rounds and not the time: on a machine that gives the process little of its CPU, or none for an hour, all of it is
//! slow together, and that is not being stuck.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use tracing::{error, info};

use crate::queue::Queue;

/// How often it looks.
const ROUND: Duration = Duration::from_secs(1);
/// After so many rounds without progress a part is stuck.
const PATIENCE: u32 = 30;

/// How often to look, and how often in vain before a part is stuck.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    round: Duration,
    patience: u32,
}

impl Rhythm {
    /// Rounds of that length or less. Shorter ones do not make it less patient.
    fn of(round: Duration) -> Self {
        let round = round.min(ROUND);
        let patience = (ROUND * PATIENCE).as_millis() / round.as_millis().max(1);
        Self { round, patience: u32::try_from(patience).unwrap_or(u32::MAX) }
    }
}

/// A count that moves at least once a second, also while there is nothing to do.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Says that its owner is alive.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has beaten.
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is known of who is stuck. Clones are the same.
#[derive(Debug, Clone)]
pub struct Verdict(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    /// When the watchdog looked last.
    at: Instant,
    stuck: Vec<&'static str>,
}

impl Verdict {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Seen { at: Instant::now(), stuck: Vec::new() })))
    }

    /// The parts that have not moved for long, the watchdog included.
    #[must_use]
    pub fn stuck(&self) -> Vec<&'static str> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_blind = seen.at.elapsed() > ROUND * PATIENCE;
        seen.stuck.iter().copied().chain(is_blind.then_some("watchdog")).collect()
    }

    fn say(&self, stuck: Vec<&'static str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Seen { at: Instant::now(), stuck };
    }
}

/// A watchdog at work, until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    verdict: Verdict,
    /// Closed by the drop, which ends the thread.
    _leash: mpsc::Sender<()>,
    ticker: JoinHandle<()>,
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

impl Watchdog {
    /// Begins to watch. Must be called inside the runtime. `well` is called in each round in which nothing is stuck,
    /// `round` or less after the one before.
    ///
    /// # Errors
    /// If its thread cannot be started.
    pub fn start(queue: &Queue, stage: Pulse, round: Duration, well: impl Fn() + Send + 'static) -> io::Result<Self> {
        Self::at(Rhythm::of(round), queue, stage, well)
    }

    fn at(rhythm: Rhythm, queue: &Queue, stage: Pulse, well: impl Fn() + Send + 'static) -> io::Result<Self> {
        let Rhythm { round, patience } = rhythm;
        let runtime = Pulse::default();
        let ticks = runtime.clone();
        // Aborted by the drop.
        let ticker = tokio::spawn(async move {
            loop {
                ticks.beat();
                tokio::time::sleep(round).await;
            }
        });
        let verdict = Verdict::new();
        let (told, queue) = (verdict.clone(), queue.clone());
        let (leash, end) = mpsc::channel();
        // Ends with the leash, which the drop lets go.
        thread::Builder::new().name("runlog-watchdog".into()).spawn(move || {
            let mut watches = [Watch::of("runtime"), Watch::of("stage"), Watch::of("queue")];
            while end.recv_timeout(round) == Err(RecvTimeoutError::Timeout) {
                let signs = [Sign::At(runtime.count()), Sign::At(stage.count()), committing(&queue)];
                let stuck: Vec<&'static str> = watches
                    .iter_mut()
                    .zip(signs)
                    .filter_map(|(watch, sign)| watch.look(sign, patience).then_some(watch.part))
                    .collect();
                let is_well = stuck.is_empty();
                told.say(stuck);
                if is_well {
                    well();
                }
            }
        })?;
        Ok(Self { verdict, _leash: leash, ticker })
    }

    /// Who is stuck.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

/// The queue's thread has nothing to do, or does it: durable entries and failed attempts are both progress.
fn committing(queue: &Queue) -> Sign {
    let stats = queue.stats();
    if stats.unsynced_bytes == 0 { Sign::Idle } else { Sign::At(stats.durable.get() + stats.sync_failures) }
}

/// What a part shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Nothing to do.
    Idle,
    /// How far it has come.
    At(u64),
}

/// One part, as it was seen.
#[derive(Debug)]
struct Watch {
    part: &'static str,
    last: Sign,
    silent_rounds: u32,
    is_stuck: bool,
}

impl Watch {
    const fn of(part: &'static str) -> Self {
        Self { part, last: Sign::Idle, silent_rounds: 0, is_stuck: false }
    }

    /// Looks once more. Says whether the part is stuck.
    fn look(&mut self, sign: Sign, patience: u32) -> bool {
        let moves = sign == Sign::Idle || sign != self.last;
        self.last = sign;
        self.silent_rounds = if moves { 0 } else { self.silent_rounds.saturating_add(1) };
        let was_stuck = std::mem::replace(&mut self.is_stuck, self.silent_rounds >= patience);
        match (was_stuck, self.is_stuck) {
            (false, true) => error!(part = self.part, "no progress for {PATIENCE} s, runlog is stuck"),
            (true, false) => info!(part = self.part, "there is progress again"),
            _ => {}
        }
        self.is_stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{self, Disk};

    #[test]
    fn s13_a_part_that_stands_still_is_stuck_and_one_that_is_idle_or_moves_is_not() {
        let mut watch = Watch::of("part");
        for n in 0..100 {
            assert!(!watch.look(Sign::At(n), PATIENCE));
            assert!(!watch.look(Sign::Idle, PATIENCE));
        }
        let mut looks = (0..=PATIENCE).map(|_| watch.look(Sign::At(7), PATIENCE));
        assert_eq!(looks.by_ref().take_while(|is_stuck| !is_stuck).count() as u32, PATIENCE);
        assert!(!watch.look(Sign::At(8), PATIENCE), "it moves again");
    }

    #[tokio::test]
    async fn s13_a_stage_or_a_runtime_that_stands_still_is_found_and_nobody_is_told_that_all_is_well() {
        let dir = tempfile::tempdir().unwrap();
        let config = queue::Config::sized(64 << 20, 8 << 20);
        let (queue, _) = Queue::open(dir.path(), &config, &["d"], Arc::new(Disk), Duration::ZERO).unwrap();
        let (stage, calls) = (Pulse::default(), Pulse::default());
        let (beating, well) = (stage.clone(), calls.clone());
        let rhythm = Rhythm { round: Duration::from_millis(2), patience: 50 };
        let watchdog = Watchdog::at(rhythm, &queue, stage, move || well.beat()).unwrap();
        let verdict = watchdog.verdict().clone();

        while verdict.stuck() != ["stage"] {
            tokio::task::yield_now().await;
        }
        let before = calls.count();
        assert!(before > 0, "all was well at first");
        for _ in 0..3 {
            let last_look = verdict.0.lock().unwrap().at;
            while verdict.0.lock().unwrap().at == last_look {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(calls.count(), before, "all was well while the stage stood still");
        while !verdict.stuck().is_empty() {
            beating.beat();
            tokio::task::yield_now().await;
        }

        // The runtime of this test has one thread, which does not give way here.
        while verdict.stuck() != ["runtime"] {
            beating.beat();
            thread::yield_now();
        }
    }

    #[test]
    fn s13_short_rounds_are_as_patient_as_long_ones() {
        let patience = [Duration::MAX, ROUND, ROUND / 4].map(|round| Rhythm::of(round).patience);
        assert_eq!(patience, [PATIENCE, PATIENCE, PATIENCE * 4]);
    }
}
