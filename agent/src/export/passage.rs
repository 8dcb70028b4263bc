//! One batch on its way: cut where it is too large or refused, until each of its records is taken or set aside.
//!
//! **A refused batch** (400 and the like) is cut in half, and each half sent by itself, until the records that are
//! refused stand alone: log2 n requests for each, which are set aside while the others arrive. The specification says
//! that refused data must not be sent again; a half is another request, and nine hundred good records should not share
//! the fate of a bad one. Where more than a few are refused alone, the rest is set aside as it stands. A batch of
//! which nothing was taken makes a pause, so that a wrong backend does not turn a whole backlog into dead letters.
//!
//! **A batch that the destination fails over** (500 and the like) is sent again. Over and over the same bytes: it may be
//! the destination's fault or theirs. So the batch is cut in the same way, and a record that goes on failing alone is
//! set aside only if something else was taken meanwhile: each time that it has failed, one that is behind it is tried
//! at once. If nothing is taken, it is the destination, and everything is kept for as long as that lasts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tracing::{error, info, warn};

use crate::record::{BatchMeta, Signal};

use super::{
    Deliver, Delivery, ExportState, Route, Shared, Waiting,
    backoff::Backoff,
    dead_letter::Letter,
    gate::{Gate, Turn},
    payload::{self, Part, Unreadable},
    report::{Report, in_full, size},
};

/// How often a destination is tried that refuses everything with these settings.
const MISCONFIGURED_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause while runlog is stopping: there is no later for what could be delivered now.
const STOPPING_PAUSE: Duration = Duration::from_secs(1);
/// Smaller requests than this are sent where they are needed, but not made a habit.
const SMALLEST_LIMIT: usize = 16 * 1024;
/// How often in a row the destination may fail over the same bytes before they are suspected.
const PATIENCE: u32 = 8;
/// How often in a row the destination has to say that it has no place for a signal before that is believed: a proxy may
/// say so while its server is away.
const PATIENCE_UNSERVED: u32 = 3;
/// How many records of a batch are set aside one by one.
const MOST_ALONE: u32 = 16;

/// The way to a destination, shared by the batches that are on it.
pub(super) struct Way<D> {
    pub(super) route: Route,
    pub(super) deliver: D,
    pub(super) shared: Shared,
    pub(super) gate: Gate,
    learned: Mutex<Learned>,
}

/// What the destination has taught.
struct Learned {
    /// Only shrinks, when the destination says that a request was too large.
    limit_bytes: usize,
    backoff: Backoff,
    report: Report,
    /// How often in a row each signal was said to have no place.
    unserved: [u32; Signal::ALL.len()],
}

/// A batch each of whose records is taken or set aside.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) seq: u64,
    /// Whether the destination took any of it.
    pub(super) is_taken: bool,
}

/// A part of the batch, and what happened to it so far.
struct Piece {
    part: Part,
    /// How often the destination failed over it.
    failures: u32,
    /// How often something had been taken before the first of these failures.
    taken_before: Option<u64>,
    /// Whether it cannot be cut, and was given all patience once.
    is_suspect: bool,
}

impl Piece {
    const fn new(part: Part, failures: u32) -> Self {
        Self { part, failures, taken_before: None, is_suspect: false }
    }
}

impl<D: Deliver> Way<D> {
    pub(super) fn new(route: Route, deliver: D, shared: Shared, random: fastrand::Rng) -> Self {
        let learned = Learned {
            limit_bytes: route.max_request_bytes,
            backoff: Backoff::new(route.min_backoff, route.max_backoff, random),
            report: Report::default(),
            unserved: [0; Signal::ALL.len()],
        };
        Self { gate: Gate::new(route.concurrency), learned: Mutex::new(learned), route, deliver, shared }
    }

    /// Carries a batch to the destination, behind all for which this was called before.
    pub(super) fn carry(
        &self,
        waiting: Waiting,
        stop: watch::Receiver<Option<Instant>>,
    ) -> impl Future<Output = Passed> + Send {
        let meta = BatchMeta::decode(&waiting.meta[..]);
        let run_id = meta.as_ref().map_or("", |meta| &meta.run_id);
        let turn = self.gate.enter(waiting.seq, run_id);
        async move {
            let (meta, unreadable) = match meta {
                Ok(meta) if Signal::try_from(meta.signal).is_ok() => (meta, None),
                Ok(meta) => (meta, Some("it is of a signal that only a newer runlog knows".to_owned())),
                Err(error) => (BatchMeta::default(), Some(format!("its description cannot be read: {error}"))),
            };
            let whole = Part { meta, body: waiting.body };
            let mut passage = Passage {
                way: self,
                seq: waiting.seq,
                turn,
                stop,
                pieces: VecDeque::new(),
                at: 0,
                next: 0,
                alone: 0,
                is_taken: false,
            };
            match unreadable {
                Some(reason) => passage.set_aside(&whole, &reason).await,
                None => passage.carry(whole).await,
            }
            Passed { seq: waiting.seq, is_taken: passage.is_taken }
        }
    }

    /// The line to log when deliveries succeed again.
    pub(super) fn recovered(&self, waiting_bytes: u64) -> Option<String> {
        self.learned().report.succeeded(self.deliver.address(), waiting_bytes, Instant::now())
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, what: &str) -> bool {
        self.learned().report.is_due(what, Instant::now())
    }
}

struct Passage<'a, D> {
    way: &'a Way<D>,
    seq: u64,
    turn: Turn<'a>,
    stop: watch::Receiver<Option<Instant>>,
    /// What is not taken or set aside yet, in the order of its records.
    pieces: VecDeque<Piece>,
    /// Where the piece in hand stood.
    at: usize,
    /// Where the piece stands that is sent next: in front, or behind those that are suspected.
    next: usize,
    /// Pieces that were refused and not cut any further.
    alone: u32,
    is_taken: bool,
}

impl<D: Deliver> Passage<'_, D> {
    async fn carry(&mut self, whole: Part) {
        if !self.way.deliver.serves(whole.meta.signal()) {
            self.pass_by(&whole);
            return;
        }
        self.pieces.push_back(Piece::new(whole, 0));
        let mut refusal = None;
        // A piece leaves when its fate is known, so that what was accepted is not sent again with the rest.
        while let Some(piece) = self.pieces.remove(self.next) {
            self.at = std::mem::take(&mut self.next);
            let limit_bytes = self.way.learned().limit_bytes;
            if piece.part.has_several_records() && piece.part.meta.uncompressed_bytes as usize > limit_bytes {
                let pieces = payload::cut(&piece.part, limit_bytes);
                self.replace(piece, pieces, 0).await;
                continue;
            }
            self.turn.comes().await;
            let signal = piece.part.meta.signal();
            match self.way.deliver.deliver(self.seq, &piece.part.meta, &piece.part.body).await {
                Delivery::Accepted { rejected, message } => self.accepted(&piece.part, rejected, &message).await,
                Delivery::Retry { after, reason } => {
                    self.put_back(piece);
                    let pause = self.way.learned().backoff.pause(after);
                    self.rest(ExportState::Retrying, signal, &reason, pause).await;
                }
                Delivery::Misconfigured { reason } => {
                    self.put_back(piece);
                    let pause = self.way.learned().backoff.about(MISCONFIGURED_PAUSE);
                    self.rest(ExportState::Misconfigured, signal, &reason, pause).await;
                }
                Delivery::Unserved { reason } => self.unserved(piece, &reason).await,
                Delivery::Failed { reason } => self.failed(piece, &reason).await,
                Delivery::Refused { reason } => {
                    self.refused(piece, &reason).await;
                    refusal = Some(reason);
                }
                Delivery::TooLarge { reason } if piece.part.has_several_records() => {
                    let pieces = self.halve(&piece.part, &reason);
                    self.replace(piece, pieces, 0).await;
                }
                Delivery::TooLarge { reason } => {
                    self.set_aside(&piece.part, &format!("a single record is too large: {reason}")).await;
                }
            }
        }
        if let Some(reason) = refusal.filter(|_| !self.is_taken) {
            self.refused_all(&reason).await;
        }
    }

    fn halve(&self, part: &Part, reason: &str) -> Result<Vec<Part>, Unreadable> {
        let half = part.meta.uncompressed_bytes as usize / 2;
        let limit_bytes = half.max(SMALLEST_LIMIT);
        let mut learned = self.way.learned();
        if limit_bytes < learned.limit_bytes {
            learned.limit_bytes = limit_bytes;
            let (address, limit) = (self.way.deliver.address(), size(limit_bytes as u64));
            info!(destination = %self.way.route.name, "{address}: {reason}; sending at most {limit} at once from now on");
        }
        payload::cut(part, half)
    }

    fn put_back(&mut self, piece: Piece) {
        self.pieces.insert(self.at, piece);
    }

    /// Puts the pieces where the one was that they were cut from.
    async fn replace(&mut self, piece: Piece, pieces: Result<Vec<Part>, Unreadable>, failures: u32) {
        match pieces {
            Ok(pieces) => {
                for part in pieces.into_iter().rev() {
                    // A record that stands alone is given all patience again, since there is nothing left to cut.
                    let failures = if part.has_several_records() { failures } else { 0 };
                    self.put_back(Piece::new(part, failures));
                }
            }
            Err(unreadable) => self.set_aside(&piece.part, &in_full(&unreadable)).await,
        }
    }

    async fn accepted(&mut self, part: &Part, rejected: u64, message: &str) {
        let way = self.way;
        self.is_taken = true;
        way.gate.taken();
        way.learned().backoff.reset();
        way.learned().unserved[part.meta.signal() as usize] = 0;
        let records = part.meta.items();
        way.shared.stats.accepted(&part.meta, rejected, part.body.len() as u64, way.shared.clock.now());
        if (rejected > 0 || !message.is_empty()) && way.is_due(message) {
            let address = way.deliver.address_of(part.meta.signal());
            warn!(
                destination = %way.route.name, run_id = part.meta.run_id, rejected, records,
                "{address} took a batch, but said: {message}"
            );
        }
        if rejected > 0 {
            let reason = format!("took the batch, but said: {message}");
            self.write_letter(&part.meta, None, rejected, &reason).await;
        }
    }

    async fn refused(&mut self, piece: Piece, reason: &str) {
        if self.way.route.bisect && piece.part.has_several_records() && self.alone < MOST_ALONE {
            let halves = payload::halve(&piece.part);
            self.replace(piece, halves, 0).await;
        } else {
            self.alone += 1;
            self.set_aside(&piece.part, reason).await;
        }
    }

    /// The destination refused every record of the batch, by its reason for the last.
    async fn refused_all(&mut self, reason: &str) {
        self.way.shared.stats.refused_all();
        let pause = self.way.learned().backoff.pause(None);
        if self.way.is_due("nothing of a batch") {
            let address = self.way.deliver.address();
            error!(
                destination = %self.way.route.name,
                "{address} took nothing of a batch: {reason}; if this is not the data's fault, see export.endpoint"
            );
        }
        self.pause(pause).await;
    }

    /// The destination says that it has no place for the signal. To keep it until there is one would hold up the logs.
    async fn unserved(&mut self, piece: Piece, reason: &str) {
        let signal = piece.part.meta.signal();
        let times = {
            let mut learned = self.way.learned();
            learned.unserved[signal as usize] += 1;
            learned.unserved[signal as usize]
        };
        if times < PATIENCE_UNSERVED {
            self.put_back(piece);
            let pause = self.way.learned().backoff.pause(None);
            self.rest(ExportState::Retrying, signal, reason, pause).await;
        } else {
            self.leave_out(&piece.part, reason);
        }
    }

    /// Counts what is for other destinations alone, as the embedded store keeps no metrics. Nothing is amiss then.
    fn pass_by(&self, part: &Part) {
        if let Some((address, signal)) = self.count_unserved(part) {
            info!(
                destination = %self.way.route.name,
                "{address} keeps logs and what runs log, their numbers among it; {signal} go to the backend alone \
                 and are counted here as rejected, no log and no number of a run is lost by it"
            );
        }
    }

    /// Counts what the destination has no place for.
    fn leave_out(&self, part: &Part, reason: &str) {
        if let Some((address, signal)) = self.count_unserved(part) {
            let destination = &self.way.route.name;
            warn!(%destination, "{address}: {reason}; it is sent no {signal}, which are counted as rejected");
        }
    }

    /// Counts what is not sent. Gives whose it would have been and the name of its signal, if it is time to say so.
    fn count_unserved(&self, part: &Part) -> Option<(&str, &'static str)> {
        let way = self.way;
        way.shared.stats.unserved(&part.meta);
        let signal = part.meta.signal();
        way.is_due(signal.as_str()).then(|| (way.deliver.address_of(signal), signal.as_str()))
    }

    async fn failed(&mut self, mut piece: Piece, reason: &str) {
        let (signal, times_taken) = (piece.part.meta.signal(), self.way.gate.times_taken());
        let taken_before = *piece.taken_before.get_or_insert(times_taken);
        piece.failures += 1;
        if piece.failures < PATIENCE || self.stop.borrow().is_some() {
            self.put_back(piece);
        } else if self.way.route.bisect && piece.part.has_several_records() {
            // Either something is taken soon, or the pauses grow again.
            self.way.learned().backoff.reset();
            let halves = payload::halve(&piece.part);
            self.replace(piece, halves, PATIENCE - 1).await;
        } else if times_taken > taken_before {
            return self.set_aside(&piece.part, &format!("{reason}, {PATIENCE} times while others were taken")).await;
        } else {
            self.put_back(Piece { failures: 0, taken_before: Some(times_taken), is_suspect: true, ..piece });
        }
        let pause = match self.probe() {
            Some(probe) => {
                self.next = probe;
                Duration::ZERO
            }
            None => self.way.learned().backoff.pause(None),
        };
        self.rest(ExportState::Retrying, signal, reason, pause).await;
    }

    /// The piece that is tried now to learn whose fault it is, if a suspect has just failed again.
    fn probe(&self) -> Option<usize> {
        if !self.pieces.get(self.at)?.is_suspect {
            return None;
        }
        let other = self.pieces.iter().position(|piece| !piece.is_suspect);
        if other.is_none() {
            self.turn.stand_aside();
        }
        other
    }

    /// Pauses after a try that has brought nothing.
    async fn rest(&mut self, state: ExportState, signal: Signal, reason: &str, pause: Duration) {
        let way = self.way;
        let pause = if self.stop.borrow().is_some() { pause.min(STOPPING_PAUSE) } else { pause };
        way.gate.narrow();
        way.shared.stats.failed(state, reason);
        let line = way.learned().report.failed(way.deliver.address_of(signal), reason, pause, Instant::now());
        match (line, state) {
            (None, _) => {}
            (Some(line), ExportState::Misconfigured) => error!(destination = %way.route.name, "{line}"),
            (Some(line), _) => warn!(destination = %way.route.name, "{line}"),
        }
        self.pause(pause).await;
    }

    /// Pauses; what is left of a long pause is cut short when runlog begins to stop.
    async fn pause(&mut self, length: Duration) {
        let end = Instant::now() + length;
        tokio::select! {
            () = sleep(length) => {}
            () = stopping(&mut self.stop) => sleep_until(end.min(Instant::now() + STOPPING_PAUSE)).await,
        }
    }

    async fn set_aside(&mut self, part: &Part, reason: &str) {
        let way = self.way;
        let records = part.meta.items();
        way.shared.stats.dead_lettered(&part.meta, reason);
        if way.is_due(reason) {
            let address = way.deliver.address_of(part.meta.signal());
            error!(
                destination = %way.route.name, run_id = part.meta.run_id, records,
                "{address}: {reason}; set aside as a dead letter"
            );
        }
        self.write_letter(&part.meta, Some(part.body.clone()), records, reason).await;
    }

    /// `body` is `None` if the destination has taken the bytes.
    async fn write_letter(&mut self, meta: &BatchMeta, body: Option<Bytes>, records: u64, reason: &str) {
        let Shared { dead_letters, clock, .. } = &self.way.shared;
        let (letters, run_id, reason) = (Arc::clone(dead_letters), meta.run_id.clone(), reason.to_owned());
        let (destination, signal) = (self.way.route.name.clone(), meta.signal());
        let address = self.way.deliver.address_of(signal).to_owned();
        let (seq, time_unix_nano) = (self.seq, clock.now());
        let written = tokio::task::spawn_blocking(move || {
            let letter = Letter {
                destination: &destination,
                address: &address,
                seq,
                signal: signal.as_str(),
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
            && self.way.is_due("dead letter")
        {
            let destination = &self.way.route.name;
            error!(%destination, %error, "a dead letter could not be written; only its count remains");
        }
    }
}

/// Ends when there is a deadline. If nobody is left who could set one, never.
async fn stopping(stop: &mut watch::Receiver<Option<Instant>>) {
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}
