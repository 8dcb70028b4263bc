//! One destination's task: the next batches, delivered, acknowledged in order.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesOrdered};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::info;

use crate::record::Clock;

use super::{
    Backlog, Config, DeadLetters, Deliver, ExportStats,
    passage::{Passed, Way},
    report::size,
};

/// What one destination is called and how it is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination's name in the configuration.
    pub name: String,
    /// Batches are split to stay below this many bytes before compression.
    pub max_request_bytes: usize,
    /// The first pause after a failed try.
    pub min_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// How many batches may be under way at once.
    pub concurrency: usize,
    /// Whether a refused batch is cut until the records that are refused stand alone.
    pub bisect: bool,
}

impl From<&Config> for Route {
    fn from(config: &Config) -> Self {
        Self {
            name: config.name.clone(),
            max_request_bytes: config.max_request_bytes,
            min_backoff: config.min_backoff,
            max_backoff: config.max_backoff,
            concurrency: config.concurrency,
            bisect: config.bisect,
        }
    }
}

/// What destinations share with the rest of runlog.
#[derive(Clone)]
pub struct Shared {
    /// Where refused batches go.
    pub dead_letters: Arc<DeadLetters>,
    /// What this destination counts.
    pub stats: Arc<ExportStats>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// Delivers a backlog.
pub struct Destination<B, D> {
    backlog: B,
    way: Way<D>,
    /// What waited before this process brought anything.
    left_bytes: u64,
}

/// Why a destination's task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The backlog has ended, and all of it is delivered or set aside as dead letters.
    Delivered,
    /// The deadline passed before that. What is left stays in the queue.
    Late,
}

impl<B: Backlog, D: Deliver> Destination<B, D> {
    /// Prepares a destination; nothing is sent before [`Destination::run`]. `random` spreads the pauses.
    pub fn new(route: Route, backlog: B, deliver: D, shared: Shared, random: fastrand::Rng) -> Self {
        let left_bytes = backlog.waiting_bytes();
        Self { backlog, way: Way::new(route, deliver, shared, random), left_bytes }
    }

    /// Delivers until the backlog ends, or until the deadline that appears in `stop`.
    ///
    /// A deadline says that runlog is stopping: pauses become short. A later deadline replaces an earlier one.
    /// At the deadline requests under way are abandoned and their batches not acknowledged.
    pub async fn run(mut self, stop: watch::Receiver<Option<Instant>>) -> Ended {
        if self.left_bytes > 0 {
            // What waits follows the destination's name, so another endpoint gets what was meant for the one before.
            let (waiting, address) = (size(self.left_bytes), self.way.deliver.address());
            info!(destination = %self.way.route.name, "{waiting} waits in the queue and goes to {address}");
        }
        let deadline = passed(stop.clone());
        tokio::select! {
            biased;
            () = self.deliver_all(&stop) => Ended::Delivered,
            () = deadline => Ended::Late,
        }
    }

    /// Ends when the backlog ends.
    async fn deliver_all(&mut self, stop: &watch::Receiver<Option<Instant>>) {
        let Self { backlog, way, .. } = self;
        let mut room_changes = way.gate.room_changes();
        // Gives back in the order in which batches were taken, so that no batch is acknowledged before those ahead.
        let mut under_way = FuturesOrdered::new();
        let mut is_ended = false;
        while !is_ended || !under_way.is_empty() {
            let has_room = under_way.len() < way.gate.room();
            tokio::select! {
                biased;
                Some(Passed { seq, is_taken }) = under_way.next() => {
                    backlog.acknowledge(seq);
                    if is_taken && let Some(line) = way.recovered(backlog.waiting_bytes()) {
                        info!(destination = %way.route.name, "{line}");
                    }
                }
                next = backlog.next(), if !is_ended && has_room => match next {
                    Some(waiting) => under_way.push_back(way.carry(waiting, stop.clone())),
                    None => is_ended = true,
                },
                // The gate lives as long as the way.
                Ok(()) = room_changes.changed() => {}
            }
        }
    }
}

/// Ends when the newest deadline has passed.
async fn passed(mut stop: watch::Receiver<Option<Instant>>) {
    loop {
        let deadline = *stop.borrow_and_update();
        let deadline = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = deadline => return,
            // Nobody left who could set another: the one that is set, or none, stays.
            Ok(()) = stop.changed() => {}
        }
    }
}
