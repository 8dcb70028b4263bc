//! Batches close, and go into the queue with the positions and the accounts of what is in them.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use crate::{
    batch::{Due, Slot},
    queue::{AppendError, Appended, Entry, Full, Seq},
    record::{Account, Batch, Origin, PositionUpdate, Receipt, SourceKind},
};

use super::Stage;

/// How long a full queue is waited for before it is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    /// It is in the queue.
    Queued,
    /// The queue will never take it.
    Refused,
    /// There was no more time to wait for room.
    Abandoned,
}

impl Stage {
    pub(super) fn close_batches(&mut self, when: Due) -> io::Result<()> {
        for slot in self.batcher.due(when) {
            self.close(slot)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, slot: Slot) -> io::Result<()> {
        self.close_with(slot, Vec::new())
    }

    /// Closes a batch; its entry has those positions as well.
    pub(super) fn close_with(&mut self, slot: Slot, further: Vec<PositionUpdate>) -> io::Result<()> {
        // Before the lines that they stand in: after a kill between the two both are read again, and none is missing.
        if let Some(gauges) = self.batcher.close_gauges(slot)? {
            self.enqueue(&gauges, Vec::new());
        }
        let receipts = self.batcher.take_receipts(slot);
        let (run_id, mut counted) = self.batcher.take_accounts(slot);
        let batch = self.batcher.close(slot)?;
        let mut change = self.accounts.with(&run_id, &counted);
        if let Some(mut batch) = batch {
            batch.positions.extend(change.positions());
            batch.positions.extend(further);
            match self.enqueue(&batch, receipts) {
                Put::Queued => {}
                Put::Abandoned => {
                    abandon(&counted);
                    return Ok(());
                }
                Put::Refused => {
                    counted.iter_mut().for_each(|(_, account)| account.lose_kept());
                    change = self.accounts.with(&run_id, &counted).unwritten();
                }
            }
        } else {
            change = change.unwritten();
        }
        self.accounts.commit(change);
        Ok(())
    }

    /// Puts a batch into the queue, waiting for room: what the sources have not handed over yet is still safe there.
    fn enqueue(&mut self, batch: &Batch, receipts: Vec<Receipt>) -> Put {
        if self.is_abandoned {
            // A later position in the queue would pass over the lines that found no room.
            return Put::Abandoned;
        }
        let meta = prost::Message::encode_to_vec(&batch.meta);
        let positions: Vec<_> = batch.positions.iter().map(|p| (p.key.as_str(), p.bookmark.as_slice())).collect();
        let entry = Entry { meta: &meta, body: batch.payload.clone(), positions: &positions };
        let mut full: Option<(Full, Instant)> = None;
        loop {
            match self.queue.append(&entry) {
                Ok(Appended::At(seq)) => {
                    self.await_durable(seq, receipts);
                    break;
                }
                Ok(Appended::Full(reason)) => {
                    self.held_up.set(reason != Full::Unsynced);
                    if full.is_none() && reason != Full::Unsynced {
                        warn!(reason = %reason, "the queue is full, reading stops until there is room");
                    }
                    full.get_or_insert((reason, Instant::now()));
                }
                Err(error) => {
                    self.refused(batch, receipts, &error);
                    return Put::Refused;
                }
            }
            if self.gave_up.load(Ordering::Relaxed) {
                warn!(records = batch.meta.records, "stopped before the last lines found room in the queue");
                self.is_abandoned = true;
                return Put::Abandoned;
            }
            self.queue.wait_for_room(FULL_PAUSE);
            self.pulse.beat();
        }
        self.held_up.set(false);
        if let Some((reason, since)) = full
            && reason != Full::Unsynced
        {
            info!(waited = ?since.elapsed(), "the queue takes batches again");
        }
        Put::Queued
    }

    fn refused(&self, batch: &Batch, receipts: Vec<Receipt>, error: &AppendError) {
        let records = u64::from(batch.meta.records);
        self.ledger.records_refused.fetch_add(records, Ordering::Relaxed);
        error!(error = %error, run_id = batch.meta.run_id, lost_records = records, "the queue refused a batch");
        if *error != AppendError::Closed {
            // Their clients are told, since it would be refused again.
            for receipt in receipts {
                receipt.reject(1, error);
                receipt.durable();
            }
        }
    }

    /// Clients wait for their answer, so the queue does not linger with what they sent.
    fn await_durable(&self, seq: Seq, receipts: Vec<Receipt>) {
        if !receipts.is_empty() {
            self.queue.hurry();
            // It fails only when the pipeline is torn down; the clients are not answered then, and send again.
            let _ = self.awaited.blocking_send((seq, receipts));
        }
    }
}

/// Counts what found no room at the stop as lost, where it cannot be read again.
fn abandon(counted: &[(Arc<Origin>, Account)]) {
    for (origin, account) in counted.iter().filter(|(origin, _)| origin.kind == SourceKind::Process) {
        origin.tally.lines_lost.fetch_add(account.lines_kept, Ordering::Relaxed);
    }
}
