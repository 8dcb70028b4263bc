//! One destination's task: the next batch, delivered, acknowledged, in order.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::{error, info, warn};

use crate::record::{BatchMeta, Clock};

use super::{
    Backlog, Config, DeadLetters, Deliver, Delivery, ExportState, ExportStats, Waiting,
    backoff::Backoff,
    dead_letter::Letter,
    payload::{self, Part, Unreadable},
    report::{Report, in_full, size},
};

/// How often a destination is tried that refuses everything with these settings.
const MISCONFIGURED_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause while runlog is stopping: there is no later for what could be delivered now.
const STOPPING_PAUSE: Duration = Duration::from_secs(1);
/// Smaller requests than this are sent where they are needed, but not made a habit.
const SMALLEST_LIMIT: usize = 16 * 1024;

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
}

impl From<&Config> for Route {
    fn from(config: &Config) -> Self {
        Self {
            name: config.name.clone(),
            max_request_bytes: config.max_request_bytes,
            min_backoff: config.min_backoff,
            max_backoff: config.max_backoff,
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
    route: Route,
    backlog: B,
    deliver: D,
    shared: Shared,
    /// Only shrinks, when the destination says that a request was too large.
    limit_bytes: usize,
    backoff: Backoff,
    report: Report,
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
        Self {
            limit_bytes: route.max_request_bytes,
            backoff: Backoff::new(route.min_backoff, route.max_backoff, random),
            report: Report::default(),
            route,
            backlog,
            deliver,
            shared,
        }
    }

    /// Delivers until the backlog ends, or until the deadline that appears in `stop`.
    ///
    /// A deadline says that runlog is stopping: pauses become short. A later deadline replaces an earlier one.
    /// At the deadline a request under way is abandoned and its batch not acknowledged.
    pub async fn run(mut self, stop: watch::Receiver<Option<Instant>>) -> Ended {
        let deadline = passed(stop.clone());
        tokio::select! {
            biased;
            () = self.deliver_all(stop) => Ended::Delivered,
            () = deadline => Ended::Late,
        }
    }

    /// Ends when the backlog ends.
    async fn deliver_all(&mut self, mut stop: watch::Receiver<Option<Instant>>) {
        while let Some(waiting) = self.backlog.next().await {
            self.deliver_batch(&waiting, &mut stop).await;
            self.backlog.acknowledge(waiting.seq);
        }
    }

    /// Ends when each part of the batch is accepted or set aside.
    async fn deliver_batch(&mut self, waiting: &Waiting, stop: &mut watch::Receiver<Option<Instant>>) {
        let seq = waiting.seq;
        let meta = match BatchMeta::decode(&waiting.meta[..]) {
            Ok(meta) => meta,
            Err(error) => {
                let unknown = Part { meta: BatchMeta::default(), body: waiting.body.clone() };
                return self.set_aside(seq, &unknown, &format!("its description cannot be read: {error}")).await;
            }
        };
        let mut parts = VecDeque::from([Part { meta, body: waiting.body.clone() }]);
        // A part leaves when its fate is known, so that what was accepted is not sent again with the rest.
        while let Some(part) = parts.front() {
            if part.meta.uncompressed_bytes as usize > self.limit_bytes && part.meta.records > 1 {
                match payload::cut(part, self.limit_bytes) {
                    Ok(pieces) => put_in_place(&mut parts, pieces),
                    Err(unreadable) => {
                        self.set_aside(seq, part, &in_full(&unreadable)).await;
                        parts.pop_front();
                    }
                }
                continue;
            }
            match self.deliver.deliver(seq, &part.meta, &part.body).await {
                Delivery::Accepted { rejected, message } => self.accepted(seq, part, rejected, &message).await,
                Delivery::Retry { after, reason } => {
                    let pause = at_most(self.backoff.pause(after), stop);
                    self.failed(ExportState::Retrying, &reason, pause);
                    rest(pause, stop).await;
                    continue;
                }
                Delivery::Misconfigured { reason } => {
                    let pause = at_most(self.backoff.about(MISCONFIGURED_PAUSE), stop);
                    self.failed(ExportState::Misconfigured, &reason, pause);
                    rest(pause, stop).await;
                    continue;
                }
                // Finding the one bad record among the good ones, by cutting as below, is issue 5.
                Delivery::Refused { reason } => self.set_aside(seq, part, &reason).await,
                Delivery::TooLarge { reason } if part.meta.records <= 1 => {
                    self.set_aside(seq, part, &format!("a single record is too large: {reason}")).await;
                }
                Delivery::TooLarge { reason } => match self.halve(part, &reason) {
                    Ok(pieces) => {
                        put_in_place(&mut parts, pieces);
                        continue;
                    }
                    Err(unreadable) => self.set_aside(seq, part, &in_full(&unreadable)).await,
                },
            }
            self.backoff.reset();
            parts.pop_front();
        }
    }

    fn halve(&mut self, part: &Part, reason: &str) -> Result<Vec<Part>, Unreadable> {
        let half = part.meta.uncompressed_bytes as usize / 2;
        let limit_bytes = half.max(SMALLEST_LIMIT);
        if limit_bytes < self.limit_bytes {
            self.limit_bytes = limit_bytes;
            let (address, limit) = (self.deliver.address(), size(limit_bytes as u64));
            info!(destination = %self.route.name, "{address}: {reason}; sending at most {limit} at once from now on");
        }
        payload::cut(part, half)
    }

    async fn accepted(&mut self, seq: u64, part: &Part, rejected: u64, message: &str) {
        let records = u64::from(part.meta.records);
        let now = self.shared.clock.now();
        self.shared.stats.accepted(records, rejected, part.body.len() as u64, now);
        let address = self.deliver.address();
        if let Some(line) = self.report.succeeded(address, self.backlog.waiting_bytes(), Instant::now()) {
            info!(destination = %self.route.name, "{line}");
        }
        if (rejected > 0 || !message.is_empty()) && self.report.is_due(message, Instant::now()) {
            warn!(
                destination = %self.route.name, run_id = part.meta.run_id, rejected, records,
                "{address} took a batch, but said: {message}"
            );
        }
        if rejected > 0 {
            self.write_letter(seq, &part.meta.run_id, None, rejected, &format!("took the batch, but said: {message}"))
                .await;
        }
    }

    fn failed(&mut self, state: ExportState, reason: &str, pause: Duration) {
        self.shared.stats.failed(state, reason);
        if let Some(line) = self.report.failed(self.deliver.address(), reason, pause, Instant::now()) {
            match state {
                ExportState::Misconfigured => error!(destination = %self.route.name, "{line}"),
                _ => warn!(destination = %self.route.name, "{line}"),
            }
        }
    }

    async fn set_aside(&mut self, seq: u64, part: &Part, reason: &str) {
        let records = u64::from(part.meta.records);
        self.shared.stats.dead_lettered(records, reason);
        if self.report.is_due(reason, Instant::now()) {
            let address = self.deliver.address();
            error!(
                destination = %self.route.name, run_id = part.meta.run_id, records,
                "{address}: {reason}; the batch is set aside as a dead letter"
            );
        }
        self.write_letter(seq, &part.meta.run_id, Some(part.body.clone()), records, reason).await;
    }

    /// `body` is `None` if the destination has taken the bytes.
    async fn write_letter(&mut self, seq: u64, run_id: &str, body: Option<Bytes>, records: u64, reason: &str) {
        let (letters, run_id, reason) = (Arc::clone(&self.shared.dead_letters), run_id.to_owned(), reason.to_owned());
        let (destination, address) = (self.route.name.clone(), self.deliver.address().to_owned());
        let time_unix_nano = self.shared.clock.now();
        let written = tokio::task::spawn_blocking(move || {
            let letter = Letter {
                destination: &destination,
                address: &address,
                seq,
                records,
                run_id: &run_id,
                reason: &reason,
                time_unix_nano,
            };
            letters.put(&letter, body.as_deref())
        })
        .await
        .unwrap_or_else(|stopped| Err(std::io::Error::other(stopped)));
        // A full disk must not make one bad batch block all others: it stays counted as rejected.
        if let Err(error) = written
            && self.report.is_due("dead letter", Instant::now())
        {
            error!(destination = %self.route.name, %error, "a dead letter could not be written; only its count remains");
        }
    }
}

/// Puts the pieces where the part was that they were cut from.
fn put_in_place(parts: &mut VecDeque<Part>, pieces: Vec<Part>) {
    parts.pop_front();
    for piece in pieces.into_iter().rev() {
        parts.push_front(piece);
    }
}

/// The pause that there is time for.
fn at_most(pause: Duration, stop: &watch::Receiver<Option<Instant>>) -> Duration {
    if stop.borrow().is_some() { pause.min(STOPPING_PAUSE) } else { pause }
}

/// Pauses; what is left of a long pause is cut short when runlog begins to stop.
async fn rest(pause: Duration, stop: &mut watch::Receiver<Option<Instant>>) {
    let end = Instant::now() + pause;
    tokio::select! {
        () = sleep(pause) => {}
        () = stopping(stop) => sleep_until(end.min(Instant::now() + STOPPING_PAUSE)).await,
    }
}

/// Ends when there is a deadline. If nobody is left who could set one, never.
async fn stopping(stop: &mut watch::Receiver<Option<Instant>>) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
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
